// Node 20 (V8 11) has relaxed SIMD behind a flag: switched on here, so that both builds are tested everywhere. Later
// versions have it without, and no longer know the flag.
import v8 from "node:v8";

if (Number.parseInt(process.versions.v8, 10) < 12) v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
