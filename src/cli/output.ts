// Writing to stdout, for all commands. A write that fails is never silent: a reader that went away (EPIPE) ends a command
// quietly, anything else (a full disk, a terminal that is gone) ends it with a line on stderr and exit code 1.

import { fstatSync, writeSync } from "node:fs";
import { CliError, codeOf, messageOf } from "./errors.js";
import { escapeControls } from "./escape.js";

let handler: (error: unknown) => void = quit;
let toFile: boolean | undefined;

/** Writes `text` whole. A failure goes to the handler of errors, now or later. */
export function print(text: string): void {
  toFile ??= isFile();
  if (!toFile) {
    process.stdout.write(text);
    return;
  }
  // Node's own stream for files takes a short write, which a disk that fills up gives, for a whole one.
  try {
    const bytes = Buffer.from(text);
    for (let offset = 0; offset < bytes.length;) offset += writeSync(1, bytes, offset);
  } catch (error) {
    handler(error);
  }
}

/** As print; resolves once stdout has taken the text, so that a slow reader slows the writer down. */
export function printAndWait(text: string): Promise<void> {
  toFile ??= isFile();
  if (!toFile) return new Promise((resolve) => process.stdout.write(text, () => resolve()));
  print(text);
  return Promise.resolve();
}

/** Sends errors of stdout to `handle` from now on; without one, they end the process, as at the start. */
export function onOutputError(handle: (error: unknown) => void = quit): void {
  handler = handle;
}

/** Takes over the errors of stdout. Called once, before anything is written. */
export function guardOutput(): void {
  process.stdout.on("error", (error) => handler(error));
  process.stderr.on("error", () => {}); // nobody to tell
}

/** The failure of a write to stdout as an error of the command. */
export function outputError(error: unknown): CliError {
  return new CliError(`cannot write output: ${messageOf(error)}`);
}

function quit(error: unknown): void {
  if (codeOf(error) === "EPIPE") process.exit(0);
  process.stderr.write(`wasm-rnn: ${escapeControls(outputError(error).message)}\n`);
  process.exit(1);
}

/** Whether stdout is a file, or a device that is no terminal (/dev/null, /dev/full). */
function isFile(): boolean {
  if (process.stdout.isTTY) return false;
  try {
    const stat = fstatSync(1);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false; // closed: the stream tells
  }
}
