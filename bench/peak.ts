// The peak of one core of this machine in this process, that figures are put beside.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";

interface PeakExports {
  memory: WebAssembly.Memory;
  CHAINS: WebAssembly.Global;
  peak_f64: (rounds: number) => void;
  peak_f32: (rounds: number) => void;
}

export type Variant = "simd" | "relaxed";
export type Dtype = "f64" | "f32";

const ROUNDS = 20_000;

/** Compiles bench/assembly/peak.ts; a function that measures GFLOP/s, the best of some short runs. */
export function peakMeter(variant: Variant): (dtype: Dtype) => number {
  mkdirSync("build", { recursive: true });
  const out = `build/peak.${variant}.wasm`;
  const features = variant === "relaxed" ? ["--enable", "relaxed-simd"] : [];
  // prettier-ignore
  execFileSync(process.execPath, ["node_modules/assemblyscript/bin/asc.js", "bench/assembly/peak.ts", "-o", out, "-O3",
    "--config", "none", "--runtime", "stub", "--use", "abort=", "--enable", "simd", ...features], { stdio: "inherit" });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(out)));
  const exports = instance.exports as unknown as PeakExports;
  exports.memory.grow(1);
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
