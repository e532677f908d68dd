// The files that a training writes. They are locked for one run, checked before any work is done, and saved together as a
// checkpoint.

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

/** The files of the training of `model`: moby.safetensors, moby.state.safetensors, moby.svg. */
export function outputPaths(model: string): OutputPaths {
  if (!model.endsWith(EXTENSION) || model.endsWith(STATE_EXTENSION) || basename(model) === EXTENSION) {
    throw usageError(
      `${model}: expected a model's file name, NAME${EXTENSION} (NAME${STATE_EXTENSION} lies beside it)`,
    );
  }
  const stem = model.slice(0, -EXTENSION.length);
  return { model, state: stem + STATE_EXTENSION, curve: `${stem}.svg` };
}

/** The model file without --out: named after the text, in the current folder. */
export function defaultModelPath(text: string): string {
  return basename(text).replace(/(?<=.)\.[^.]*$/, "") + EXTENSION;
}

/** The contents of a checkpoint. */
export type Contents = Partial<Record<keyof OutputPaths, Uint8Array>>;

/** The order in which files are renamed: the state first, since the others can be made from it. */
const ORDER = ["state", "model", "curve"] as const;

/** The outputs of this run, locked against other runs until `release()`. */
export class Outputs {
  readonly #lock: OutputLock;
  readonly #pending = new Set<PendingFile>();
  readonly #onExit = () => this.release();

  private constructor(
    /** As the user named them. */
    readonly paths: OutputPaths,
    /** With symbolic links resolved: a file is replaced, not a link to it. */
    readonly targets: OutputPaths,
  ) {
    this.#lock = OutputLock.acquire(targets.model, paths.model);
  }

  /** Locks the outputs, and removes temporary files that killed runs left. */
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

  /** Refuses outputs that are not regular files, files that are read, and, unless `overwrite`, any file that exists. */
  check(inputs: readonly { path: string; what: string }[], overwrite: boolean): void {
    for (const kind of ["model", "state", "curve"] as const) {
      const [path, target] = [this.paths[kind], this.targets[kind]];
      if (existsSync(target)) {
        const input = inputs.find((each) => isSameFile(target, each.path));
        if (input) throw usageError(`${path} is ${input.what}; choose another --out`);
        if (!statSync(target).isFile()) throw new CliError(`${path} exists and is not a regular file`);
        if (overwrite) continue;
        throw new CliError(`${path} exists; --force overwrites it, --resume ${this.paths.model} continues it`);
      }
      if (target === resolve(path) || overwrite) continue;
      if (isLink(path)) throw new CliError(`${path} is a link to ${target}; --force creates that file`);
    }
  }

  /** Shows other runs that this one is alive. To be called often. */
  touch(): void {
    this.#lock.touch();
  }

  /**
   * Writes all files or none: all are complete on the disk before the first is renamed. If the process ends between two
   * renames, the state is newer than the model.
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

  /** Releases the lock, and removes temporary files. Also called when the process exits. */
  release(): void {
    for (const file of this.#pending) file.discard();
    this.#lock.release();
    process.off("exit", this.#onExit);
  }
}

/** The SHA-256 of a file in hexadecimal digits; undefined if it does not exist. Reads the file in chunks. */
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

/** The file that writing to `path` would create or change. Follows symbolic links, including those to files that do not exist. */
export function resolveTarget(path: string): string {
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

/** Throws CliError unless `folder` is a folder. Returns it. */
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

/** Whether two paths lead to the same file; both must exist. */
export function isSameFile(a: string, b: string): boolean {
  const [one, other] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
  if (one.ino === 0n && other.ino === 0n) return realpathSync(a) === realpathSync(b);
  return one.dev === other.dev && one.ino === other.ino;
}
