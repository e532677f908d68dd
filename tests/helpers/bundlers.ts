// The bundlers of tests/bundlers/package.json: installing them, and how each makes a page of src/index.js with nothing
// configured that it does not ask for.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { reportMissing } from "./browser.js";
import { run } from "./project.js";

const folder = fileURLToPath(new URL("../bundlers", import.meta.url));

export interface Bundler {
  readonly name: string;
  /** A script under node_modules, and its arguments. */
  readonly command: readonly string[];
  /** Whether index.html is what it bundles; the others bundle src/index.js, into main.js. */
  readonly html: boolean;
  /** Whether it bundles what `new Worker(new URL(...))` names, for a page without inline scripts. */
  readonly workers: boolean;
}

export const BUNDLERS: readonly Bundler[] = [
  { name: "vite", command: ["vite/bin/vite.js", "build"], html: true, workers: true },
  { name: "webpack", command: ["webpack/bin/webpack.js", "--mode", "production"], html: false, workers: true },
  {
    name: "esbuild",
    command: ["esbuild/bin/esbuild", "src/index.js", "--bundle", "--minify", "--outfile=dist/main.js"],
    html: false,
    workers: false,
  },
  {
    name: "rollup", // which resolves names of packages by a plugin, and minifies nothing by itself
    command: ["rollup/dist/bin/rollup", "src/index.js", "--plugin", "node-resolve", "--file", "dist/main.js"],
    html: false,
    workers: false,
  },
  {
    name: "parcel", // bundles workers, too, but puts an inline import map into the page, which a strict policy refuses
    command: ["parcel/lib/bin.js", "build", "index.html"],
    html: true,
    workers: false,
  },
];

/** Runs a bundler in a project; what it makes is in dist. */
export async function bundle({ command: [path, ...args] }: Bundler, project: string): Promise<void> {
  await run(project, process.execPath, [join(folder, "node_modules", path!), ...args]);
}

/** Installs the bundlers where one is missing. Whether they are there then; reports it where they are not. */
export function installBundlers(): boolean {
  const { dependencies } = manifest("package.json") as { dependencies: Record<string, string> };
  if (Object.entries(dependencies).every(([name, version]) => bundlerVersion(name) === version)) return true;
  console.log("Installing the bundlers into tests/bundlers/node_modules");
  try {
    // Without scripts: they fetch or compile what is not needed here. By `install`, which follows the lock file: `ci` of
    // npm 11 wants binaries of other platforms in it that the registry did not have when it was written.
    execFileSync("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"], {
      cwd: folder,
      stdio: "pipe",
      encoding: "utf8",
      shell: process.platform === "win32",
    });
    return true;
  } catch (error) {
    reportMissing(`The bundlers could not be installed: ${(error as Error).message}`);
    return false;
  }
}

/** The version of an installed package of tests/bundlers/package.json. */
export function bundlerVersion(name: string): string | undefined {
  const path = `node_modules/${name}/package.json`;
  return existsSync(join(folder, path)) ? (manifest(path) as { version: string }).version : undefined;
}

function manifest(path: string): unknown {
  return JSON.parse(readFileSync(join(folder, path), "utf8"));
}
