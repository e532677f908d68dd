// The module's exports, and nothing else. The kernels' are in exports.ts, each for f64 and for f32 (scripts/exports.mjs writes
// it); arguments are described at the kernels. Nothing is checked here: bindings/ does that.

import { madd } from "./simd";
import { log as naturalLog } from "./math";
import { gemmScratchBytes, setGemmScratch } from "./gemm/gemm";
export * from "./exports";

/** Whether this is the relaxed SIMD build. */
export const RELAXED: bool = ASC_FEATURE_RELAXED_SIMD;

/** Tells modules of these sources, in either build, from those of other sources (scripts/wasm.mjs). */
export const BUILD: i32 = isDefined(BUILD_ID) ? BUILD_ID : 0;

/** Past this module's constants, on a cache line: those of the graph module come next, then the host's memory (scripts/wasm.mjs). */
export function heapBase(): usize {
  return (__heap_base + 63) & ~63;
}

/** Bytes of scratch that each instance needs. */
export function scratchBytes(): usize {
  return gemmScratchBytes();
}

/** Gives this instance its scratch, on a cache line, before any other call. */
export function setScratch(address: usize): void {
  setGemmScratch(address);
}

/** a * b + c as the kernels compute it: tells a fused multiply-add from an unfused one. */
export function madd_f64(a: f64, b: f64, c: f64): f64 {
  return f64x2.extract_lane(madd<f64>(f64x2.splat(a), f64x2.splat(b), f64x2.splat(c)), 0);
}
export function madd_f32(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd<f32>(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

/** Natural logarithm, the same bits in both builds. */
export function log(x: f64): f64 {
  return naturalLog(x);
}
