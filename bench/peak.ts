// The peak of one core in this process, which other figures are compared with.

import { compile } from "./compile.mjs";

interface PeakExports {
  CHAINS: WebAssembly.Global;
  peak_f64: (rounds: number) => void;
  peak_f32: (rounds: number) => void;
}

export type Variant = "simd" | "relaxed";
export type Dtype = "f64" | "f32";

const ROUNDS = 20_000;

/** Compiles AssemblyScript for a build and returns the exports of its module, with a page of memory added. */
export function instantiate<E>(source: string, variant: Variant): E & { memory: WebAssembly.Memory } {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(compile(source, variant)));
  const exports = instance.exports as unknown as E & { memory: WebAssembly.Memory };
  exports.memory.grow(1);
  return exports;
}

/** A function that measures GFLOP/s with bench/assembly/peak.ts: the best of 40 short runs. */
export function peakMeter(variant: Variant): (dtype: Dtype) => number {
  const exports = instantiate<PeakExports>("bench/assembly/peak.ts", variant);
  return (dtype) => {
    const run = exports[`peak_${dtype}`];
    const flops = ROUNDS * (exports.CHAINS.value as number) * 2 * (dtype === "f64" ? 2 : 4);
    let best = Infinity;
    for (let i = 0; i < 40; i++) {
      const start = performance.now();
      run(ROUNDS);
      best = Math.min(best, performance.now() - start);
    }
    return flops / best / 1e6;
  };
}
