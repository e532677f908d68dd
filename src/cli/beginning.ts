// Reads the beginning of a file, which may be larger than memory.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { CliError, codeOf, messageOf } from "./errors.js";

/** The first bytes of a file, and the file's size. */
export interface Beginning {
  readonly bytes: Uint8Array;
  readonly size: number;
}

/** Reads the first `length` bytes of a regular file, or all of a shorter one. */
export function readBeginning(path: string, length: number): Beginning {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const stat = fstatSync(file);
    if (stat.isDirectory()) throw new CliError(`${path} is a folder, not a model file`);
    if (!stat.isFile()) throw new CliError(`${path} is not a regular file`);
    const bytes = new Uint8Array(Math.min(length, stat.size));
    let filled = 0;
    while (filled < bytes.length) {
      const count = readSync(file, bytes, filled, bytes.length - filled, filled);
      if (count === 0) throw new Error("it was truncated while it was read");
      filled += count;
    }
    return { bytes, size: stat.size };
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (codeOf(error) === "ENOENT") throw new CliError(`no such file: ${path}`);
    throw new CliError(`cannot read ${path}: ${messageOf(error)}`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
