// The second module: kernels of graphs of operations, over the memory of a core, which it imports. It allocates nothing; its
// constants lie past the core's (scripts/wasm.mjs). The core does not import from here, so that only what runs graphs
// carries their kernels.

export * from "./exports";

/** The end of this module's constants, on a cache line: from here on the memory is the host's. */
export function heapBase(): usize {
  return (__heap_base + 63) & ~63;
}
