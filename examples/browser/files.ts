// Reads files of any model. A script of its own, since few people load files: worker.ts imports it when they do. It has its own copy of
// the package, so that only bytes and descriptions leave it.

import { CharLM, writeCharLM } from "../../src/index.js";
import { loadModel } from "../../src/load.js";
import { describeLoaded } from "./described.js";
import type { Described } from "./protocol.js";

/** A model of characters as its file; others are described. */
export async function readFiles(
  files: Record<string, Uint8Array<ArrayBuffer>>,
): Promise<{ bytes: Uint8Array } | { described: Described }> {
  const loaded = await loadModel(files);
  try {
    if (!(loaded.model instanceof CharLM)) return { described: describeLoaded(loaded) };
    return { bytes: writeCharLM(loaded.model, { steps: Number(loaded.metadata.trained_steps ?? 0) }) };
  } finally {
    loaded.model?.dispose();
  }
}
