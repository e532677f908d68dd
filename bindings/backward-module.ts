// Starts the backward module: gradients of the core's layers, which a model that only runs does not need.

import { starter } from "./extension.js";
import type { KernelsOf } from "./instantiate.js";
import type { Arena } from "./memory.js";
import type { FloatDtype } from "./tensor.js";
import { relaxedPatch, simdPatch, type Exports } from "./wasm-backward.js";

/** Its kernels over a core's memory. */
export const startBackward = /* @__PURE__ */ starter<Exports>("backward", simdPatch, relaxedPatch, {
  kernel: "lstmBackward",
});

/** Those of a number type in the arena's core. */
export function backwardKernels({ core }: Arena, dtype: FloatDtype): KernelsOf<Exports> {
  return startBackward(core)[dtype];
}
