// Reads texts and models from the disk, with error messages that name the file.

import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { CliError, codeOf, messageOf } from "./errors.js";

/** A text, with the path and hash of its file. */
export interface TextFile {
  path: string;
  text: string;
  sha256: string;
}

/** SHA-256 of bytes, in hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Whether there is a folder at `path`. */
export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Reads a regular file. `what` says in errors what was expected: "text", "model". */
export function readBytes(path: string, what: string): Uint8Array {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw new CliError(`${path} is a folder, not a ${what} file`);
    if (!stat.isFile()) throw new CliError(`${path} is not a regular file`);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (codeOf(error) === "ENOENT") throw new CliError(`no such file: ${path}`);
    throw new CliError(`cannot read ${path}: ${messageOf(error)}`);
  }
}

/** Decodes UTF-8 without its byte order mark. `what` says in errors what was expected. */
export function decodeText(path: string, bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (codeOf(error) !== "ERR_ENCODING_INVALID_ENCODED_DATA") throw new CliError(`${path}: ${messageOf(error)}`);
    throw new CliError(`${path} is not a ${what}: it is not valid UTF-8`);
  }
}

/** Reads a text: UTF-8 without NUL characters, not empty. A byte order mark is dropped. */
export function readText(path: string): TextFile {
  const bytes = readBytes(path, "text");
  if (bytes.length === 0) throw new CliError(`${path} is empty`);
  const text = decodeText(path, bytes, "text");
  if (text.includes("\0")) throw new CliError(`${path} is not a text: it has NUL characters`);
  return { path: resolve(path), text, sha256: sha256(bytes) };
}
