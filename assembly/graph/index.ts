// The second module: kernels of graphs of operations, over the memory of a core, which it imports. It allocates nothing; its
// constants lie past the core's (scripts/wasm.mjs). The core does not import from here, so that only what runs graphs
// carries their kernels.

import { setScratch as setGemmScratch } from "../gemm/gemm";

export * from "./exports";

/** The end of this module's constants, on a cache line: from here on the memory is the host's. */
export function heapBase(): usize {
  return (__heap_base + 63) & ~63;
}

/** Gives this instance of the module its scratch, before any other call: from `address` to the address that it returns. */
export function setScratch(address: usize): usize {
  return setGemmScratch(address);
}
