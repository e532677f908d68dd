// The peak of one core: a loop of multiply-adds in registers (bench/assembly/peak.ts), which the project's benchmarks use as
// well. The modules come as bytes from the build script.

import relaxed from "peak:relaxed";
import simd from "peak:simd";
import type { Dtype } from "./protocol.js";

interface Exports {
  CHAINS: WebAssembly.Global;
  memory: WebAssembly.Memory;
  peak_f64: (rounds: number) => void;
  peak_f32: (rounds: number) => void;
}

/** A browser's clock may tick in tenths of a millisecond: a run takes some of them. */
const ROUNDS = 2_000_000;
const RUNS = 6;

/** GFLOP/s, the best of some runs; 50 ms in all. */
export function measurePeak(build: "simd" | "relaxed", dtype: Dtype): number {
  const module = new WebAssembly.Module(build === "relaxed" ? relaxed : simd);
  const exports = new WebAssembly.Instance(module).exports as unknown as Exports;
  exports.memory.grow(1);
  const run = exports[`peak_${dtype}`];
  const flops = ROUNDS * (exports.CHAINS.value as number) * 2 * (dtype === "f64" ? 2 : 4);
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    run(ROUNDS);
    best = Math.min(best, performance.now() - start);
  }
  return flops / best / 1e6;
}
