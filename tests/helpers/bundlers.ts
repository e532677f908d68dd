// The bundlers of tests/bundlers/package.json, and how each bundles src/index.js for a page with the least configuration it
// accepts.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installedVersion } from "../../scripts/pinned.js";
import { run } from "./project.js";

const folder = fileURLToPath(new URL("../bundlers", import.meta.url));

export interface Bundler {
  readonly name: string;
  /** A script under node_modules, and its arguments. */
  readonly command: readonly string[];
  /** Whether it bundles index.html; the others bundle src/index.js into main.js. */
  readonly html: boolean;
  /** Whether it bundles the worker that `new Worker(new URL(...))` names, for a page without inline scripts. */
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
    name: "rollup", // resolves package names by a plugin, and does not minify
    command: ["rollup/dist/bin/rollup", "src/index.js", "--plugin", "node-resolve", "--file", "dist/main.js"],
    html: false,
    workers: false,
  },
  {
    name: "parcel", // bundles workers too, but adds an inline import map to the page, which a strict policy refuses
    command: ["parcel/lib/bin.js", "build", "index.html"],
    html: true,
    workers: false,
  },
];

/** Runs a bundler in a project. Its output goes to dist. */
export async function bundle({ command: [path, ...args] }: Bundler, project: string): Promise<void> {
  await run(project, process.execPath, [join(folder, "node_modules", path!), ...args]);
}

/** The version of a bundler that is installed. */
export function bundlerVersion(name: string): string | undefined {
  return installedVersion(folder, name);
}
