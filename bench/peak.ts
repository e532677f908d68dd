// The peak of one core of this machine in this process, that figures are put beside.

import { compile } from "./compile.mjs";

interface PeakExports {
  CHAINS: WebAssembly.Global;
  peak_f64: (rounds: number) => void;
  peak_f32: (rounds: number) => void;
}

export type Variant = "simd" | "relaxed";
export type Dtype = "f64" | "f32";

const ROUNDS = 20_000;

/** Compiles AssemblyScript for a build; the exports of its module, with memory to compute in. */
export function instantiate<E>(source: string, variant: Variant): E & { memory: WebAssembly.Memory } {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(compile(source, variant)));
  const exports = instance.exports as unknown as E & { memory: WebAssembly.Memory };
  exports.memory.grow(1);
  return exports;
}

/** A function that measures GFLOP/s by bench/assembly/peak.ts, the best of some short runs. */
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
