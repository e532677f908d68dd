// Packages that some tests use and `npm ci` does not install: tests/bundlers, tests/jest, tests/onnxruntime, tests/runtimes and
// tests/tensorflow pin them.

import { join } from "node:path";
import { installPinned } from "../../scripts/pinned.js";
import { root } from "./project.js";
import { reportMissing } from "./tools.js";

/** Installs the packages that a folder pins, where one is missing. Returns whether all are there; reports it if not. */
export function installOrReport(folder: string): boolean {
  try {
    installPinned(join(root, folder));
    return true;
  } catch (error) {
    reportMissing(
      `The packages of ${folder} could not be installed from the npm registry: ${(error as Error).message}`,
    );
    return false;
  }
}
