// Packages that some tests and measurements want and nothing else does (tests/bundlers, tests/runtimes, bench): each of
// these folders has a package.json and a lock file of its own.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

function readJson<T>(folder: string, path: string): T {
  return JSON.parse(readFileSync(join(folder, path), "utf8")) as T;
}

/** The version of a package that is installed in a folder. */
export function installedVersion(folder: string, name: string): string | undefined {
  const path = `node_modules/${name}/package.json`;
  return existsSync(join(folder, path))
    ? readJson<{ version: string }>(folder, path).version.replace(/^v/, "")
    : undefined;
}

/**
 * Installs what a folder's package.json names, where anything is missing or of another version than the lock file has.
 *
 * @throws Error with what npm says, where it fails
 */
export function installPinned(folder: string): void {
  const { dependencies } = readJson<{ dependencies: object }>(folder, "package.json");
  const { packages } = readJson<{ packages: Record<string, { version: string }> }>(folder, "package-lock.json");
  const isThere = (name: string) => installedVersion(folder, name) === packages[`node_modules/${name}`]!.version;
  if (Object.keys(dependencies).every(isThere)) return;
  console.log(`Installing into ${join(folder, "node_modules")}`);
  // Without scripts: they fetch or compile what is not needed here. By `install`, which follows the lock file: `ci` of
  // npm 11 wants binaries of other platforms in it that the registry did not have when it was written.
  execFileSync("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], {
    cwd: folder,
    stdio: "pipe",
    shell: process.platform === "win32",
  });
}
