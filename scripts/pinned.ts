// Packages that only some tests and benchmarks need (tests/bundlers, tests/jest, tests/onnxruntime, tests/runtimes, tests/tensorflow,
// bench). Each of these folders has its own package.json and lock file.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

function readJson<T>(folder: string, path: string): T {
  return JSON.parse(readFileSync(join(folder, path), "utf8")) as T;
}

/** The version of a package in a folder's node_modules; undefined if it is not installed. */
export function installedVersion(folder: string, name: string): string | undefined {
  const path = `node_modules/${name}/package.json`;
  return existsSync(join(folder, path))
    ? readJson<{ version: string }>(folder, path).version.replace(/^v/, "")
    : undefined;
}

/**
 * Installs the dependencies of a folder, unless all are there in the versions of its lock file.
 *
 * @throws Error with the first line of npm's explanation if it fails
 */
export function installPinned(folder: string): void {
  const { dependencies } = readJson<{ dependencies: object }>(folder, "package.json");
  const { packages } = readJson<{ packages: Record<string, { version: string }> }>(folder, "package-lock.json");
  const isThere = (name: string) => installedVersion(folder, name) === packages[`node_modules/${name}`]!.version;
  const areThere = () => Object.keys(dependencies).every(isThere);
  const lock = join(folder, "node_modules/.wasm-rnn-installing");
  if (areThere() && !existsSync(lock)) return;
  takeLock(lock);
  try {
    if (!areThere()) runInstall(folder);
  } finally {
    rmSync(lock);
  }
}

/** Waits until no other process holds the lock: tests of several files may need the same packages. */
function takeLock(lock: string): void {
  mkdirSync(dirname(lock), { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (!holderRuns(lock)) rmSync(lock, { force: true });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

/** Whether the process that wrote a lock still runs. One that has not written its id yet does. */
function holderRuns(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, "utf8") || process.pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function runInstall(folder: string): void {
  console.log(`Installing into ${join(folder, "node_modules")}`);
  // Without install scripts, which fetch or compile parts that are not needed here. `npm install` follows the lock file, too;
  // `npm ci` of version 11 also requires entries for other platforms that the registry did not have.
  try {
    execFileSync("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], {
      cwd: folder,
      stdio: "pipe",
      shell: process.platform === "win32",
    });
  } catch (error) {
    const lines = String((error as { stderr?: Buffer }).stderr).split("\n");
    const reason = lines.find((line) => /^npm error (?!code |errno |syscall )/.test(line));
    throw new Error(reason ?? (error as Error).message, { cause: error });
  }
}
