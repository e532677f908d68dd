// A lock file beside each output, so that only one run at a time writes it. It names the process that holds it. A lock whose
// process has ended, in whatever way, is stale and ignored.
//
// The lock is created atomically, as a hard link to a complete file. Within one machine, boot and process namespace, a lock is
// stale if no process has its id and its start time (an id may be reused). If the process is not visible from here (another
// machine, a container), the lock is valid as long as its owner touches it regularly.

import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { statSync, writeFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { createTemporary, remove, temporaryPrefix } from "./atomic.js";
import { CliError, codeOf, messageOf } from "./errors.js";

/** Milliseconds between two touches of a lock; an owner that is not visible counts as dead after SILENCE without one. */
const TOUCH = 10_000;
const SILENCE = 10 * 60_000;

/** Who holds a lock. The last three are empty if the system does not report them. */
interface Owner {
  pid: number;
  host: string;
  /** The start time of the process, as the system formats it. */
  start: string;
  /** The id of the machine's boot, and of the process namespace of `pid`. */
  boot: string;
  namespace: string;
}

/** The lock of an output. It is held until `release` or the end of the process. */
export class OutputLock {
  #touched = performance.now();

  readonly path: string;
  readonly content = JSON.stringify(thisProcess());

  private constructor(readonly target: string) {
    this.path = join(dirname(target), `${temporaryPrefix(target)}lock`);
  }

  /**
   * Takes the lock of the output `target`, which must not be a symbolic link. Error messages call the output `name`. If another
   * process holds the lock, throws a CliError with its process id.
   */
  static acquire(target: string, name: string): OutputLock {
    const lock = new OutputLock(target);
    for (let attempt = 0; attempt < 20; attempt++) {
      const temporary = lock.#prepare();
      try {
        if (lock.#link(temporary)) return lock;
        const now = statSync(temporary).mtimeMs; // by the clock of the disk, which may be another machine's
        const found = readIfThere(lock.path);
        if (found === undefined) continue;
        const held = describeOwner(found, now - statSync(lock.path).mtimeMs, lock.path);
        if (held !== undefined) throw new CliError(`${name} is in use: ${held}`);
        lock.#removeStale(found);
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error; // another run that is starting removed a file
      } finally {
        remove(temporary);
      }
    }
    throw new CliError(`${name} is in use: other runs are starting on it`);
  }

  /** Writes this process's entry to a temporary file, and syncs it. */
  #prepare(): string {
    try {
      const { path, fd } = createTemporary(this.target);
      try {
        writeFileSync(fd, this.content);
        fsyncSync(fd);
      } catch (error) {
        remove(path);
        throw error;
      } finally {
        closeSync(fd);
      }
      return path;
    } catch (error) {
      throw new CliError(`cannot write in ${dirname(this.target)}: ${messageOf(error)}`);
    }
  }

  /** Links the entry to the lock's name. Returns false if the name is taken. */
  #link(temporary: string): boolean {
    try {
      linkSync(temporary, this.path);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      if (codeOf(error) === "ENOENT") throw error;
    }
    // the disk does not support hard links
    try {
      const fd = openSync(this.path, "wx");
      writeFileSync(fd, this.content);
      closeSync(fd);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      throw error;
    }
  }

  /** Removes the lock if its content is still `stale`. Renames it first, since another run may have replaced it meanwhile. */
  #removeStale(stale: string): void {
    const { path: aside, fd } = createTemporary(this.target);
    closeSync(fd);
    renameSync(this.path, aside);
    if (readFileSync(aside, "utf8") !== stale) {
      try {
        linkSync(aside, this.path);
      } catch {
        // a third run has taken the lock: the run that lost it finds out in check()
      }
    }
    remove(aside);
  }

  /** Renews the lock's time every TOUCH milliseconds, which shows runs on other machines that this one is alive. */
  touch(): void {
    const now = performance.now();
    if (now - this.#touched < TOUCH) return;
    this.#touched = now;
    if (readIfThere(this.path) !== this.content) return; // check() reports it
    try {
      const fd = openSync(this.path, "r+");
      writeSync(fd, this.content); // the same content: the disk sets the time, by its own clock
      closeSync(fd);
    } catch {
      // the next touch tries again
    }
  }

  /** Throws CliError if the lock was lost. To be called before each write. */
  check(name: string): void {
    const found = readIfThere(this.path);
    if (found === this.content) return;
    if (found === undefined) {
      const temporary = this.#prepare(); // somebody removed the lock: take it again
      try {
        if (this.#link(temporary)) return;
      } finally {
        remove(temporary);
      }
    }
    throw new CliError(`another run has taken over ${name}; nothing more is written`);
  }

  /** Removes the lock, if this process still holds it. */
  release(): void {
    if (readIfThere(this.path) === this.content) remove(this.path);
  }
}

/** Describes who holds a lock; undefined if it is stale. `age` is the time since the lock was touched, in milliseconds. */
function describeOwner(content: string, age: number, path: string): string | undefined {
  const owner = parseOwner(content);
  if (owner === undefined) {
    // half written, on a disk without hard links, or edited by hand
    return age < TOUCH ? "another run is starting on it" : undefined;
  }
  const { pid, host, start, boot, namespace } = owner;
  const own = thisProcess();
  if (host === own.host && boot === own.boot && namespace === own.namespace) {
    return isRunning(pid, start, own) ? `process ${pid} is writing it` : undefined;
  }
  if (host === own.host && boot !== own.boot && namespace === own.namespace) return undefined; // the machine was restarted
  if (age > SILENCE) return undefined;
  const since = Math.max(0, Math.round(age / 1000));
  return `process ${pid} on ${host} is writing it (last sign of life ${since} s ago; if it has ended, remove ${path})`;
}

function parseOwner(content: string): Owner | undefined {
  try {
    const value = JSON.parse(content) as Record<keyof Owner, unknown> | null;
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, host, start, boot, namespace } = value;
    if (!Number.isSafeInteger(pid) || (pid as number) < 1) return undefined;
    if (![host, start, boot, namespace].every((text) => typeof text === "string")) return undefined;
    return value as Owner;
  } catch {
    return undefined;
  }
}

/** Whether a process with this id exists on this machine and started at `start`. */
function isRunning(pid: number, start: string, own: Owner): boolean {
  if (pid === own.pid) return start === own.start && start !== "";
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false; // EPERM: it exists, and belongs to another user
  }
  const now = startOf(pid);
  return now !== "ended" && (now === "" || start === "" || now === start);
}

function thisProcess(): Owner {
  return {
    pid: process.pid,
    host: hostname(),
    start: startOf(process.pid),
    boot: readIfThere("/proc/sys/kernel/random/boot_id")?.trim() ?? "",
    namespace: namespaceOfProcesses(),
  };
}

/** The start time of a process, as the system formats it; "ended" if it has ended, "" if the system does not report it. */
function startOf(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat !== undefined) {
    // pid (name) state ppid ...: field 22 is the start time, in ticks since boot; the name may contain spaces and brackets
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? "ended" : (fields[19] ?? "");
  }
  if (process.platform === "win32" || process.platform === "linux") return "";
  const { stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
  return (stdout ?? "").trim();
}

function namespaceOfProcesses(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
