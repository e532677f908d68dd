// Runs the built command line as a user does, in temporary folders. The build stands: `npm test` makes it first.

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const CLI = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

/** The results of a process. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A line of --json output. */
export type JsonLine = { event: string } & Record<string, unknown>;

/** A fresh folder, removed when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts `wasm-rnn ...args` in `folder`. */
export function start(folder: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [CLI, ...args], { cwd: folder });
}

/** Waits for a process to end; `onLine` sees each line of stdout as it comes. */
export async function finish(child: ChildProcessWithoutNullStreams, onLine?: (line: string) => void): Promise<Outcome> {
  const outcome: Outcome = { code: null, stdout: "", stderr: "" };
  let seen = 0;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    outcome.stdout += text;
    for (let end; (end = outcome.stdout.indexOf("\n", seen)) >= 0; seen = end + 1) {
      onLine?.(outcome.stdout.slice(seen, end));
    }
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (outcome.stderr += text));
  outcome.code = await new Promise((resolve) => child.on("close", resolve));
  return outcome;
}

/** Runs `wasm-rnn ...args` in `folder` to its end. */
export function run(folder: string, ...args: string[]): Promise<Outcome> {
  return finish(start(folder, args));
}

/** The objects of --json output; every line must be one. */
export function jsonLines({ stdout }: Outcome): JsonLine[] {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as JsonLine);
}

/** All files below `folder`, with hashes of their contents and their times of change. */
export function snapshot(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    files[name] = stat.isFile()
      ? `${createHash("sha256").update(readFileSync(path)).digest("hex")} ${stat.mtimeMs}`
      : stat.isDirectory()
        ? "folder"
        : `link to ${readlinkSync(path)}`;
  }
  return files;
}

/** English-looking text of `length` characters, always the same, with a few characters beyond ASCII. */
export function sampleText(length: number): string {
  const words = "the whale — sea ship and of old captain ahab said white 🐋 deep\n into, night. stars under".split(" ");
  let text = "";
  for (let n = 1; text.length < 2 * length; n = (n * 48271) % 2147483647) text += `${words[n % words.length] ?? ""} `;
  return [...text].slice(0, length).join("");
}

/** A model so small that a step takes about a millisecond. */
export const SMALL = ["--hidden", "16", "--embedding", "8", "--layers", "2", "--seq", "10", "--batch", "8"];

/** A temporary folder with a text in it, book.txt. */
export function folderWithText(length = 6000): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "book.txt"), sampleText(length));
  return folder;
}

/** The lines of one event. */
export function ofEvent(lines: readonly JsonLine[], event: string): JsonLine[] {
  return lines.filter((line) => line.event === event);
}
