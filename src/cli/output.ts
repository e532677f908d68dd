// Writes to stdout, for all commands. If the reader has closed the pipe (EPIPE), the command ends quietly. Any other failure
// (a full disk, a closed terminal) ends it with a line on stderr and exit code 1.

import { fstatSync, writeSync } from "node:fs";
import { CliError, codeOf, messageOf } from "./errors.js";
import { escapeControls } from "./escape.js";

let handler: (error: unknown) => void = quit;
let toFile: boolean | undefined;

/** Writes all of `text`. Passes an error to the handler of `onOutputError`, now or later. */
export function print(text: string): void {
  toFile ??= isFile();
  if (!toFile) {
    process.stdout.write(text);
    return;
  }
  // Node's stream for files ignores short writes, which happen when a disk fills up.
  try {
    const bytes = Buffer.from(text);
    for (let offset = 0; offset < bytes.length;) offset += writeSync(1, bytes, offset);
  } catch (error) {
    handler(error);
  }
}

/** Writes all of `text`. Resolves once stdout has accepted it, so that the caller is no faster than the reader. */
export function printAndWait(text: string): Promise<void> {
  toFile ??= isFile();
  if (!toFile) return new Promise((resolve) => process.stdout.write(text, () => resolve()));
  print(text);
  return Promise.resolve();
}

/** Sets the handler for errors of stdout. By default they end the process. */
export function onOutputError(handle: (error: unknown) => void = quit): void {
  handler = handle;
}

/** Installs the handlers for errors of stdout and stderr. To be called once, before anything is written. */
export function guardOutput(): void {
  process.stdout.on("error", (error) => handler(error));
  process.stderr.on("error", () => {}); // an error of stderr cannot be reported
}

/** An error of stdout as the command's error. */
export function outputError(error: unknown): CliError {
  return new CliError(`cannot write output: ${messageOf(error)}`);
}

function quit(error: unknown): void {
  if (codeOf(error) === "EPIPE") process.exit(0);
  process.stderr.write(`wasm-rnn: ${escapeControls(outputError(error).message)}\n`);
  process.exit(1);
}

/** Whether stdout is a file, or a device other than a terminal (/dev/null, /dev/full). */
function isFile(): boolean {
  if (process.stdout.isTTY) return false;
  try {
    const stat = fstatSync(1);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false; // closed: the stream reports it
  }
}
