// What every module exports beside its kernels. The first one, the core, exports the memory; the others import it. None allocates;
// their constants lie behind one another (scripts/wasm.mjs). No module imports from the kernels of a later one.

import { setScratch as setGemmScratch } from "./gemm/gemm";

/** The end of this module's constants, on a cache line: the next module's come there, and the host's memory past the last. */
export function heapBase(): usize {
  return (__heap_base + 63) & ~63;
}

/**
 * Gives this instance of the module its scratch, before any other call: from `address` to the address that it returns. `tallTiles`: whether
 * products are computed in tiles of 6 rows, which the SIMD build has not.
 */
export function setScratch(address: usize, tallTiles: bool): usize {
  return setGemmScratch(address, tallTiles);
}
