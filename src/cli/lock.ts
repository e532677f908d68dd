// One run at a time on one output: a lock file beside it that names the process which writes there. A lock whose process has
// ended, however that happened, counts as none.
//
// The lock comes into being whole, as a hard link to a finished file, and is recognised as stale by the process: its id and
// its time of start (an id may be another program's by now), within one machine, boot and namespace of processes. Where the
// process cannot be seen (another machine, a container), the lock counts as long as it is touched, which its owner does.

import { spawnSync } from "node:child_process";
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { statSync, writeFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { createTemporary, remove, temporaryPrefix } from "./atomic.js";
import { CliError, codeOf, messageOf } from "./errors.js";

/** Milliseconds between two touches of a lock, and those without one after which an unseen owner counts as dead. */
const TOUCH = 10_000;
const SILENCE = 10 * 60_000;

/** Who holds a lock. The last three are empty where the system does not tell them. */
interface Owner {
  pid: number;
  host: string;
  /** The process's time of start, in the system's words. */
  start: string;
  /** The boot of the machine, and the namespace in which `pid` counts. */
  boot: string;
  namespace: string;
}

/** The lock of an output, held until it is released or the process ends. */
export class OutputLock {
  #touched = performance.now();

  readonly path: string;
  readonly content = JSON.stringify(thisProcess());

  private constructor(readonly target: string) {
    this.path = join(dirname(target), `${temporaryPrefix(target)}lock`);
  }

  /**
   * Takes the lock of the output `target`, which is no symbolic link. `name` is what the user calls it. Throws CliError,
   * with the process id of the owner, where it is held.
   */
  static acquire(target: string, name: string): OutputLock {
    const lock = new OutputLock(target);
    for (let attempt = 0; attempt < 20; attempt++) {
      const temporary = lock.#prepare();
      try {
        if (lock.#link(temporary)) return lock;
        const now = statSync(temporary).mtimeMs; // the clock of the disk, which may be another machine's
        const found = readIfThere(lock.path);
        if (found === undefined) continue;
        const held = describeOwner(found, now - statSync(lock.path).mtimeMs, lock.path);
        if (held !== undefined) throw new CliError(`${name} is in use: ${held}`);
        lock.#removeStale(found);
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error; // a file that another starting run removed
      } finally {
        remove(temporary);
      }
    }
    throw new CliError(`${name} is in use: other runs are starting on it`);
  }

  /** Writes this process's entry to a temporary file, synced. */
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

  /** Gives the entry the lock's name; false where the name is taken. */
  #link(temporary: string): boolean {
    try {
      linkSync(temporary, this.path);
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      if (codeOf(error) === "ENOENT") throw error;
    }
    // a disk without hard links
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

  /** Removes the lock if it is still `stale`: moves it aside first, since another run may have put its own there. */
  #removeStale(stale: string): void {
    const { path: aside, fd } = createTemporary(this.target);
    closeSync(fd);
    renameSync(this.path, aside);
    if (readFileSync(aside, "utf8") !== stale) {
      try {
        linkSync(aside, this.path);
      } catch {
        // taken again: the run that lost it will notice
      }
    }
    remove(aside);
  }

  /** Shows runs on other machines, from time to time, that this one lives. */
  touch(): void {
    const now = performance.now();
    if (now - this.#touched < TOUCH) return;
    this.#touched = now;
    if (readIfThere(this.path) !== this.content) return; // check() tells
    try {
      const fd = openSync(this.path, "r+");
      writeSync(fd, this.content); // the same again: the disk notes the time, by its own clock
      closeSync(fd);
    } catch {
      // another time
    }
  }

  /** Throws CliError where the lock was lost. Called before anything is written. */
  check(name: string): void {
    const found = readIfThere(this.path);
    if (found === this.content) return;
    if (found === undefined) {
      const temporary = this.#prepare(); // somebody removed it: back
      try {
        if (this.#link(temporary)) return;
      } finally {
        remove(temporary);
      }
    }
    throw new CliError(`another run has taken ${name} over; nothing more is written`);
  }

  /** Gives the lock up. */
  release(): void {
    if (readIfThere(this.path) === this.content) remove(this.path);
  }
}

/** Says who holds a lock, or undefined where nobody does. `age` is the milliseconds since the lock was touched. */
function describeOwner(content: string, age: number, path: string): string | undefined {
  const owner = parseOwner(content);
  if (owner === undefined) {
    // half written, on a disk without hard links; or by hand
    return age < TOUCH ? "another run is starting on it" : undefined;
  }
  const { pid, host, start, boot, namespace } = owner;
  const own = thisProcess();
  if (host === own.host && boot === own.boot && namespace === own.namespace) {
    return isRunning(pid, start, own) ? `process ${pid} is training it` : undefined;
  }
  if (host === own.host && boot !== own.boot && namespace === own.namespace) return undefined; // the machine was restarted
  if (age > SILENCE) return undefined;
  const since = Math.max(0, Math.round(age / 1000));
  return `process ${pid} on ${host} is training it (last sign of life ${since} s ago; if it has ended, remove ${path})`;
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

/** Whether the process of this machine with this id is there, and is the one that started at `start`. */
function isRunning(pid: number, start: string, own: Owner): boolean {
  if (pid === own.pid) return start === own.start && start !== "";
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false; // EPERM: it is there, and another user's
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

/** When a process started, in the system's words; "ended" for one that has ended, "" where the system does not tell. */
function startOf(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat !== undefined) {
    // pid (name) state ppid ...: the 22nd field is the start, in ticks since boot; the name may hold spaces and brackets
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
