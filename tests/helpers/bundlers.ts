// The bundlers of tests/bundlers/package.json: installing them, and how each makes a page of src/index.js with nothing
// configured that it does not ask for.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installedVersion, installPinned } from "../../scripts/pinned.js";
import { run } from "./project.js";
import { reportMissing } from "./tools.js";

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
  try {
    installPinned(folder);
    return true;
  } catch (error) {
    reportMissing(
      `The bundlers of tests/bundlers could not be installed from the npm registry: ${(error as Error).message}`,
    );
    return false;
  }
}

/** The version of a bundler that is installed. */
export function bundlerVersion(name: string): string | undefined {
  return installedVersion(folder, name);
}
