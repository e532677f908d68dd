// How as-pect runs the kernel tests. scripts/test-kernels.mjs starts it, once for each build.

import v8 from "node:v8";

// Node 20 has relaxed SIMD only behind this flag; later versions have it without, and refuse the flag.
if (parseInt(process.versions.v8) < 12) v8.setFlagsFromString("--experimental-wasm-relaxed-simd");

export default {
  entries: ["assembly/__tests__/*.spec.ts"],
  include: [],
  disclude: [/node_modules/],
  instantiate: async (memory, createImports, instantiate, binary) =>
    instantiate(binary, createImports({ env: { memory } })),
};
