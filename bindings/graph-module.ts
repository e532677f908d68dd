// Starts the graph module. Only what imports this file carries the module's bytes: what calls its kernels does not, so that tables of
// operations and derivatives can be named wherever they may be needed.

import { starter } from "./extension.js";
import { graphInstances } from "./graph.js";
import { relaxedPatch, simdPatch } from "./wasm-graph.js";

/** The graph's kernels over a core's memory. */
export const startGraph = /* @__PURE__ */ starter("graph", simdPatch, relaxedPatch, { instances: graphInstances });
