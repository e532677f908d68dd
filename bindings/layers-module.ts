// Starts the layers module: kernels of layers and losses that graphs do not run.

import { starter } from "./extension.js";
import { relaxedPatch, simdPatch, type Exports } from "./wasm-layers.js";

/** Its kernels over a core's memory. */
export const startLayers = /* @__PURE__ */ starter<Exports>("layers", simdPatch, relaxedPatch);
