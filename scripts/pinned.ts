// Packages that only some tests and benchmarks need (tests/bundlers, tests/jest, tests/runtimes, bench). Each of these folders
// has its own package.json and lock file.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

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
  if (Object.keys(dependencies).every(isThere)) return;
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
