// Saves the files that a command made: all of them whole, or none.

import { existsSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { PendingFile, removeTemporaries } from "./atomic.js";
import { CliError, messageOf, usageError } from "./errors.js";
import { OutputLock } from "./lock.js";
import { isSameFile, resolveTarget } from "./outputs.js";

/** A file to be written. */
export interface NewFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * Writes files: each is complete on the disk before the first gets its name; they get them in their order. Makes the folder of several files
 * if it does not exist. Refuses `inputs`, outputs that are no regular files and, unless `overwrite`, any file that exists.
 */
export async function saveFiles(
  files: readonly NewFile[],
  inputs: readonly string[],
  overwrite: boolean,
): Promise<void> {
  const folder = dirname(files[0]!.path);
  const isNew = files.length > 1 && !existsSync(folder);
  try {
    if (isNew) mkdirSync(folder);
  } catch (error) {
    throw new CliError(`cannot make the folder ${folder}: ${messageOf(error)}`);
  }
  try {
    await saveAll(files, inputs, overwrite);
  } catch (error) {
    if (isNew) removeEmpty(folder);
    throw error;
  }
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // somebody else has put a file there
  }
}

async function saveAll(files: readonly NewFile[], inputs: readonly string[], overwrite: boolean): Promise<void> {
  const targets = files.map(({ path, bytes }) => ({ path, bytes, target: resolveTarget(path) }));
  for (const { path, target } of targets) {
    if (!existsSync(target)) continue;
    if (inputs.some((input) => isSameFile(target, input))) throw usageError(`${path} is read: choose another output`);
    if (!statSync(target).isFile()) throw new CliError(`${path} exists and is not a regular file`);
    if (!overwrite) throw new CliError(`${path} exists; --force overwrites it`);
  }
  const locks: OutputLock[] = [];
  const pending = new Set<PendingFile>();
  const cleanUp = () => {
    for (const file of pending) file.discard();
    for (const lock of locks) lock.release();
  };
  process.on("exit", cleanUp);
  let current = targets[0]!.path;
  try {
    for (const { path, target } of targets) locks.push(OutputLock.acquire(target, path));
    for (const { target } of targets) removeTemporaries(target);
    const written: PendingFile[] = [];
    for (const { path, target, bytes } of targets) {
      current = path;
      written.push(await PendingFile.write(target, bytes, (file) => pending.add(file)));
    }
    for (const [i, file] of written.entries()) {
      current = targets[i]!.path;
      await file.place();
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`cannot write ${current}: ${messageOf(error)}`);
  } finally {
    cleanUp();
    process.off("exit", cleanUp);
  }
}
