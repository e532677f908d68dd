// Tools that tests use and that a machine may lack: where they are looked for, and how a test goes without one. They are looked
// for on PATH and in environment variables, and nowhere else (on macOS and Windows also where browsers install themselves), so
// that `PATH` decides what a run has. On a build server (CI is set) a missing tool is a failure; elsewhere the tests that need
// it are skipped, with a note that says how to get it, which summary.ts prints at the end of the run.

import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test, type TestContext } from "vitest";

/** Whether this runs on a build server, where nothing may be missing. */
export const ON_CI = !["", "0", "false", undefined].includes(process.env.CI);

/** Ends a test that lacks a tool: as failed on a build server, as skipped elsewhere. */
export function goWithout(context: TestContext, note: string): never {
  if (ON_CI) expect.fail(note);
  return context.skip(note);
}

/** A test that stands for all those of a file or suite that a missing tool leaves out. */
export function reportMissing(note: string): void {
  test("nothing is missing", (context) => goWithout(context, note));
}

/** All programs on PATH that have one of the names: those of the first name first, each in the order of PATH. */
export function programs(...names: readonly string[]): string[] {
  const suffix = process.platform === "win32" ? ".exe" : "";
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return names.flatMap((name) => folders.map((folder) => join(folder, name + suffix))).filter(isExecutable);
}

/**
 * The program that an environment variable names.
 *
 * @throws Error where it is set to something that cannot be run
 */
export function programOf(variable: string): string | undefined {
  const given = process.env[variable];
  if (!given) return undefined;
  if (!isExecutable(given)) throw new Error(`${variable} is ${given}, which is no program that can be run`);
  return given;
}

/** A Python that has some modules: PYTHON_PATH, else the first python3 on PATH that has them. */
export function findPython(modules: readonly string[], env = process.env): string | undefined {
  const given = programOf("PYTHON_PATH");
  const code = ["pass", ...modules.map((name) => `import ${name}`)].join("\n");
  const works = (path: string) => spawnSync(path, ["-c", code], { env, timeout: 100_000 }).status === 0;
  return (given === undefined ? programs("python3") : [given]).find(works);
}

/** What to say where `findPython` finds none. */
export function missingPython(modules: readonly string[]): string {
  const packages = modules.filter((name) => name === "torch" || name === "numpy").map((name) => `python3-${name}`);
  const what = modules.length === 0 ? "No python3 was found." : `No python3 with ${modules.join(", ")} was found.`;
  const debian = packages.length === 0 ? "python3" : packages.join(" ");
  return `${what} Install it (Debian: apt-get install ${debian}) or set PYTHON_PATH.`;
}

/** What to say where no `programs("redis-server", "valkey-server")` are there. */
export const MISSING_REDIS =
  "No redis-server or valkey-server was found. Install one (Debian: apt-get install redis-server).";

/** What to say where no `programs("script")` are there. */
export const MISSING_SCRIPT =
  "No `script` was found, which gives a program a terminal. Install it (Debian: apt-get install bsdutils).";

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
