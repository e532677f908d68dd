// The files that a training writes: claimed for one run, checked before any work is done, and saved as a checkpoint that is
// whole or not there. What is in the files is not known here.

import { createHash } from "node:crypto";
import { closeSync, existsSync, lstatSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { PendingFile, removeTemporaries } from "./atomic.js";
import { CliError, codeOf, messageOf, usageError } from "./errors.js";
import { OutputLock } from "./lock.js";

const EXTENSION = ".safetensors";
const STATE_EXTENSION = ".state.safetensors";

/** The files of one training: the model, the state to resume from, the loss curve. */
export interface OutputPaths {
  model: string;
  state: string;
  curve: string;
}

/** Names the files of the training whose model is `model`: moby.safetensors, moby.state.safetensors, moby.svg. */
export function outputPaths(model: string): OutputPaths {
  if (!model.endsWith(EXTENSION) || model.endsWith(STATE_EXTENSION) || basename(model) === EXTENSION) {
    throw usageError(
      `${model}: expected a model's file name, NAME${EXTENSION} (NAME${STATE_EXTENSION} lies beside it)`,
    );
  }
  const stem = model.slice(0, -EXTENSION.length);
  return { model, state: stem + STATE_EXTENSION, curve: `${stem}.svg` };
}

/** Names the model for `text` where --out names none: after the text, in the current folder. */
export function defaultModelPath(text: string): string {
  return basename(text).replace(/(?<=.)\.[^.]*$/, "") + EXTENSION;
}

/** Contents of a checkpoint, in the order in which they get their names. */
export type Contents = Partial<Record<keyof OutputPaths, Uint8Array>>;

/** The order in which files get their names: the state first, from which the others can be made. */
const ORDER = ["state", "model", "curve"] as const;

/** The outputs of this run, which no other run can write until release(). */
export class Outputs {
  readonly #lock: OutputLock;
  readonly #pending = new Set<PendingFile>();
  readonly #onExit = () => this.release();

  private constructor(
    /** As the user named them. */
    readonly paths: OutputPaths,
    /** Where symbolic links lead, since a file is replaced and not the link to it. */
    readonly targets: OutputPaths,
  ) {
    this.#lock = OutputLock.acquire(targets.model, paths.model);
  }

  /** Claims the outputs, and removes what killed runs left beside them. */
  static claim(paths: OutputPaths): Outputs {
    const [model, state, curve] = [paths.model, paths.state, paths.curve].map(resolveTarget) as [
      string,
      string,
      string,
    ];
    const outputs = new Outputs(paths, { model, state, curve });
    process.on("exit", outputs.#onExit);
    for (const target of [model, state, curve]) removeTemporaries(target);
    return outputs;
  }

  /** Refuses what is no regular file, the text itself, and, for a new training without `force`, whatever exists. */
  check(text: string, overwrite: boolean): void {
    for (const kind of ["model", "state", "curve"] as const) {
      const [path, target] = [this.paths[kind], this.targets[kind]];
      if (existsSync(target)) {
        if (isSameFile(target, text)) throw usageError(`${path} is the text to train on; choose another --out`);
        if (!statSync(target).isFile()) throw new CliError(`${path} exists and is not a regular file`);
        if (overwrite) continue;
        throw new CliError(`${path} exists; --force overwrites it, --resume ${this.paths.model} continues it`);
      }
      if (target === resolve(path) || overwrite) continue;
      if (isLink(path)) throw new CliError(`${path} is a link to ${target}; --force creates that file`);
    }
  }

  /** Shows that this run lives; to be called often. */
  touch(): void {
    this.#lock.touch();
  }

  /**
   * Writes the files, all or none: each is whole on the disk before the first gets its name. An end between two names
   * leaves a state with an older model beside it.
   */
  async save(contents: Contents): Promise<void> {
    const files: (readonly [path: string, file: PendingFile])[] = [];
    let path = this.paths.model;
    try {
      this.#lock.check(path);
      for (const kind of ORDER) {
        const bytes = contents[kind];
        if (bytes === undefined) continue;
        path = this.paths[kind];
        files.push([path, await PendingFile.write(this.targets[kind], bytes, (file) => this.#pending.add(file))]);
      }
      for (const [name, file] of files) {
        path = name;
        await file.place();
      }
    } catch (error) {
      if (error instanceof CliError) throw error;
      throw new CliError(`cannot write ${path}: ${messageOf(error)}`);
    } finally {
      for (const file of this.#pending) file.discard();
      this.#pending.clear();
    }
  }

  /** Lets other runs write the outputs, and removes unfinished files. Also called when the process exits. */
  release(): void {
    for (const file of this.#pending) file.discard();
    this.#lock.release();
    process.off("exit", this.#onExit);
  }
}

/** The SHA-256 of a file, read in pieces, in hexadecimal digits; undefined where there is none. */
export function hashOfFile(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const fd = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(1 << 20);
    for (let count; (count = readSync(fd, buffer)) > 0;) hash.update(buffer.subarray(0, count));
    return hash.digest("hex");
  } finally {
    closeSync(fd);
  }
}

/** Whether the file at `path` has this content. */
export function holds(path: string, content: Uint8Array): boolean {
  return existsSync(path) && statSync(path).size === content.length && readFileSync(path).equals(content);
}

/** The file that writing to `path` would create or change: symbolic links are followed, also those that lead nowhere yet. */
function resolveTarget(path: string): string {
  try {
    let current = path;
    for (let links = 0; links < 40; links++) {
      if (!isLink(current)) return join(realpathSync(checkFolder(dirname(current))), basename(current));
      current = resolve(realpathSync(dirname(current)), readlinkSync(current));
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`cannot write ${path}: ${messageOf(error)}`);
  }
  throw new CliError(`cannot write ${path}: too many symbolic links`);
}

/** Refuses a folder that is missing. */
function checkFolder(folder: string): string {
  if (!existsSync(folder)) throw new CliError(`no such folder: ${folder}`);
  if (!statSync(folder).isDirectory()) throw new CliError(`${folder} is not a folder`);
  return folder;
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

function isSameFile(a: string, b: string): boolean {
  const [one, other] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  if (one.ino === 0n && other.ino === 0n) return realpathSync(a) === realpathSync(b);
  return one.dev === other.dev && one.ino === other.ino;
}
