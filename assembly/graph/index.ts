// The second module: kernels of graphs of operations, over the memory of a core, which it imports. It allocates nothing; its
// constants lie past the core's (scripts/wasm.mjs). The core does not import from here, so that only what runs graphs
// carries their kernels.

export * from "./exports";

/** Past this module's constants, on a cache line: here the host's memory begins. */
export function heapBase(): usize {
  return (__heap_base + 63) & ~63;
}
