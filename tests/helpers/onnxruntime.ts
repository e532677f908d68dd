// onnxruntime-node, onnxruntime-web and vad-web of tests/onnxruntime, which the tests that use them install.

import { createRequire } from "node:module";
import { join } from "node:path";
import type * as Common from "onnxruntime-common";
import { installOrReport } from "./installed.js";
import { root } from "./project.js";

const FOLDER = "tests/onnxruntime";

/** The path of a file of an installed package. */
export const installedFile = (path: string): string => join(root, FOLDER, "node_modules", path);

/** Installs the packages where one is missing. Returns whether all are there; reports it if not. */
export const installOnnxRuntime = (): boolean => installOrReport(FOLDER);

/** onnxruntime-node: the reference. Call `installOnnxRuntime` first. */
export function onnxRuntimeNode(): typeof Common {
  return createRequire(installedFile("index.js"))("onnxruntime-node") as typeof Common;
}

/** Runs on one thread, as this package does. */
export const ONE_THREAD: Common.InferenceSession.SessionOptions = {
  executionProviders: ["cpu"],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
};
