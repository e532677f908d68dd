// Writes a file atomically: whenever the process or the machine stops, the file has its old content or its new content, and
// never a part. The content goes to a temporary file in the same folder, which is synced, read back and compared. Only then is
// it renamed, and the folder synced.

import { createHash, randomBytes } from "node:crypto";
import {
  close,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  open,
  openSync,
  read,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  write,
  type Stats,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "./errors.js";

/** Bytes per write or read. */
const CHUNK = 1 << 22;

/** Extensions that the names of temporary files leave out, so that all files of a training share a prefix. */
const EXTENSIONS = [".state.safetensors", ".safetensors", ".svg"];

/** The random end of a temporary file's name. */
const DIGITS = /^[0-9a-f]{6}$/;

/** The prefix of temporary files for `target`: ".wasm-rnn.moby." for moby.safetensors. */
export function temporaryPrefix(target: string): string {
  const name = basename(target);
  const stem = name.slice(0, name.length - (EXTENSIONS.find((extension) => name.endsWith(extension)) ?? "").length);
  // a name has at most 255 bytes
  const short = Buffer.byteLength(stem) > 220 ? createHash("sha256").update(stem).digest("hex") : stem;
  return `.wasm-rnn.${short}.`;
}

/** Creates a file with a new name in the folder of `target`, open for writing. */
export function createTemporary(target: string): { path: string; fd: number } {
  for (;;) {
    const path = join(dirname(target), temporaryPrefix(target) + randomBytes(3).toString("hex"));
    try {
      return { path, fd: openSync(path, "wx") };
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
  }
}

/** Removes the temporary files for `target` that killed processes left. The caller must hold its lock. */
export function removeTemporaries(target: string): void {
  const folder = dirname(target);
  const prefix = temporaryPrefix(target);
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return; // the folder can be written but not listed
  }
  for (const name of names) {
    if (name.startsWith(prefix) && DIGITS.test(name.slice(prefix.length))) remove(join(folder, name));
  }
}

/** Removes a file if it exists and can be removed. */
export function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // already removed, or not permitted
  }
}

/** A file that is complete on the disk, but does not have its final name yet. */
export class PendingFile {
  #placed = false;

  private constructor(
    readonly target: string,
    readonly path: string,
  ) {}

  /**
   * Writes `bytes` to a temporary file in the folder of `target`, which must not be a symbolic link. If not all of them reach
   * the disk, removes the file and throws. Calls `began` as soon as the file exists.
   */
  static async write(target: string, bytes: Uint8Array, began?: (file: PendingFile) => void): Promise<PendingFile> {
    const { path, fd } = createTemporary(target);
    const file = new PendingFile(target, path);
    began?.(file);
    try {
      try {
        copyPermissions(fd, target);
        await writeAll(fd, bytes);
        await sync(fd);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      await closed(fd); // some disks report only here that they are full
      await compare(path, bytes);
      return file;
    } catch (error) {
      file.discard();
      throw error;
    }
  }

  /** Renames the file to its target, which it replaces, and syncs the folder. */
  async place(): Promise<void> {
    renameSync(this.path, this.target);
    this.#placed = true;
    await syncFolder(dirname(this.target));
  }

  /** Removes the file, unless `place` has renamed it. */
  discard(): void {
    if (!this.#placed) remove(this.path);
  }
}

/** Gives a new file the permissions, and if possible the owner, of the file that it will replace. */
function copyPermissions(fd: number, target: string): void {
  let old: Stats;
  try {
    old = statSync(target);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  const own = fstatSync(fd);
  if (own.mode !== old.mode) attempt(() => fchmodSync(fd, old.mode & 0o7777));
  if (own.uid !== old.uid || own.gid !== old.gid) attempt(() => fchownSync(fd, old.uid, old.gid));
}

/** Runs `work`, and ignores errors of operations that the user may not do or the disk does not support. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!["EPERM", "ENOSYS", "ENOTSUP", "EINVAL"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** Writes all of `bytes`. A single write may write fewer bytes, for example when the disk is almost full. */
async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    const size = Math.min(CHUNK, bytes.length - offset);
    const written = await new Promise<number>((resolve, reject) =>
      write(fd, bytes, offset, size, null, (error, count) => (error ? reject(error) : resolve(count))),
    );
    if (!(written > 0)) throw new Error(`the disk accepted ${offset} of ${bytes.length} bytes`);
    offset += written;
  }
}

/** Reads a file back and compares its size and its SHA-256 with those of `bytes`. */
async function compare(path: string, bytes: Uint8Array): Promise<void> {
  const fd = await new Promise<number>((resolve, reject) =>
    open(path, "r", (error, opened) => (error ? reject(error) : resolve(opened))),
  );
  const hash = createHash("sha256");
  let size = 0;
  try {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, bytes.length + 1));
    for (;;) {
      const count = await new Promise<number>((resolve, reject) =>
        read(fd, buffer, 0, buffer.length, null, (error, taken) => (error ? reject(error) : resolve(taken))),
      );
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      size += count;
    }
  } finally {
    closeSync(fd);
  }
  if (size !== bytes.length) throw new Error(`the disk kept ${size} of ${bytes.length} bytes`);
  if (hash.digest("hex") !== createHash("sha256").update(bytes).digest("hex")) {
    throw new Error("the disk returned other bytes than were written");
  }
}

/** Syncs a folder, so that a rename in it survives a power failure. Ignores systems that cannot. */
async function syncFolder(folder: string): Promise<void> {
  let fd: number | undefined;
  try {
    fd = openSync(folder, "r");
    await sync(fd);
  } catch (error) {
    const unsupported = ["EINVAL", "ENOSYS", "ENOTSUP", "EISDIR", "EACCES", "EPERM", "EBADF"];
    if (!unsupported.includes(codeOf(error) ?? "")) throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function sync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())));
}

function closed(fd: number): Promise<void> {
  return new Promise((resolve, reject) => close(fd, (error) => (error ? reject(error) : resolve())));
}
