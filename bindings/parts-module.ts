// The module of recurrent passes that run in parts: the core's kernels, compiled for passes of several threads. Only threads.ts starts it.

import { extensionBytes } from "./extension.js";
import type { Variant } from "./instantiate.js";
import { relaxedPatch, simdPatch } from "./wasm-parts.js";

/** Its bytes. */
export function partsBytes(variant: Variant): Uint8Array<ArrayBuffer> {
  return extensionBytes(variant, simdPatch, relaxedPatch);
}
