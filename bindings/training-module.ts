// Starts the training module: losses, updates of parameters, and the orthogonalisation of first weights.

import { starter } from "./extension.js";
import type { KernelsOf } from "./instantiate.js";
import type { Arena, WasmTensor } from "./memory.js";
import type { FloatDtype } from "./tensor.js";
import { relaxedPatch, simdPatch, type Exports } from "./wasm-training.js";

/** Its kernels over a core's memory. */
export const startTraining = /* @__PURE__ */ starter<Exports>("training", simdPatch, relaxedPatch, { kernel: "adam" });

/** Those of a number type in the arena's core. */
export function trainingKernels({ core }: Arena, dtype: FloatDtype): KernelsOf<Exports> {
  return startTraining(core)[dtype];
}

/** Subtracts from both vectors in `pairs` [n,2] (f64) their projections on `count` of `vectors` [...,n], from `first` on. */
export function project(vectors: WasmTensor<"f64">, first: number, count: number, pairs: WasmTensor<"f64">): void {
  const chosen = vectors.slice(first, count);
  trainingKernels(chosen.arena, "f64").project(count, chosen.shape[1]!, chosen.pointer, pairs.pointer);
}
