// The commands' dealings with the disk: reading texts and models with clear complaints, checking where results shall go
// before any work is done, and writing them atomically. What is in the files is not known here.

import { createHash, randomUUID } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, realpathSync, statSync, unlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { CliError, codeOf, messageOf, usageError } from "./errors.js";

const EXTENSION = ".safetensors";
const STATE_EXTENSION = ".state.safetensors";

/** The files of one training: the model, the state to go on from, the loss curve. */
export interface OutputPaths {
  model: string;
  state: string;
  curve: string;
}

/** A text and what identifies it. */
export interface TextFile {
  path: string;
  text: string;
  sha256: string;
}

/** SHA-256 of bytes, in hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Reads a regular file whole. `what` names it in complaints: "text", "model". */
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

/** Reads a text: UTF-8 without NUL characters, not empty. A byte order mark is dropped. */
export function readText(path: string): TextFile {
  const bytes = readBytes(path, "text");
  if (bytes.length === 0) throw new CliError(`${path} is empty`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (codeOf(error) !== "ERR_ENCODING_INVALID_ENCODED_DATA") throw new CliError(`${path}: ${messageOf(error)}`);
    throw new CliError(`${path} is not a text: it is not valid UTF-8`);
  }
  if (text.includes("\0")) throw new CliError(`${path} is not a text: it has NUL characters`);
  return { path: resolve(path), text, sha256: sha256(bytes) };
}

/** Where the files of the training whose model is `model` lie: moby.safetensors, moby.state.safetensors, moby.svg. */
export function outputPaths(model: string): OutputPaths {
  if (!model.endsWith(EXTENSION) || model.endsWith(STATE_EXTENSION) || basename(model) === EXTENSION) {
    throw usageError(
      `${model}: expected a model's file name, NAME${EXTENSION} (NAME${STATE_EXTENSION} lies beside it)`,
    );
  }
  const stem = model.slice(0, -EXTENSION.length);
  return { model, state: stem + STATE_EXTENSION, curve: `${stem}.svg` };
}

/** The model's name for `text` where --out names none: the text's own, in the current folder. */
export function defaultModelPath(text: string): string {
  return basename(text).replace(/(?<=.)\.[^.]*$/, "") + EXTENSION;
}

/**
 * Refuses results that could not be written, or that would overwrite the text or, without `force`, anything else. It
 * tries the folder by making and removing a file, since permissions alone do not tell (read-only disks, root).
 */
export function checkOutputs(paths: OutputPaths, text: string, force: boolean): void {
  checkFolder(dirname(paths.model));
  for (const path of [paths.model, paths.state, paths.curve]) {
    if (!existsSync(path)) continue;
    if (realpathSync(path) === realpathSync(text))
      throw usageError(`${path} is the text to train on; choose another --out`);
    if (!statSync(path).isFile()) throw new CliError(`${path} exists and is not a regular file`);
    if (!force) throw new CliError(`${path} exists; --force overwrites it, --resume ${paths.model} goes on from it`);
  }
}

/** Refuses a folder that is missing or in which no file can be made. */
export function checkFolder(folder: string): void {
  if (!existsSync(folder)) throw new CliError(`no such folder: ${folder}`);
  if (!statSync(folder).isDirectory()) throw new CliError(`${folder} is not a folder`);
  const probe = join(folder, `.wasm-rnn-${randomUUID()}`);
  try {
    closeSync(openSync(probe, "wx"));
    unlinkSync(probe);
  } catch (error) {
    throw new CliError(`cannot write in ${folder}: ${messageOf(error)}`);
  }
}

/**
 * Writes files, each atomically: under its name is the old content or the new, whole. They are prepared at once and
 * renamed within moments of each other.
 */
export async function writeFiles(
  files: readonly (readonly [path: string, content: Uint8Array | string])[],
): Promise<void> {
  const results = await Promise.allSettled(
    files.map(async ([path, content]) => {
      const bytes =
        typeof content === "string"
          ? Buffer.from(content)
          : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
      await writeFileAtomic(path, bytes);
      if (statSync(path).size !== bytes.length) throw new Error("the disk took only a part of it");
    }),
  );
  for (const [index, result] of results.entries()) {
    if (result.status === "rejected") {
      throw new CliError(`cannot write ${files[index]?.[0] ?? ""}: ${messageOf(result.reason)}`);
    }
  }
}
