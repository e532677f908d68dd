// The core's exports. Those of the kernels are in exports.ts, each for f64 and f32 (written by scripts/exports.mjs); their
// arguments are described at the kernels. Nothing is checked here: bindings/ does that.

import { madd } from "./simd";
import { log as naturalLog } from "./math";
export * from "./exports";

/** Whether this is the relaxed SIMD build. */
export const RELAXED: bool = ASC_FEATURE_RELAXED_SIMD;

/** A hash of the sources, the same in both builds: identifies modules of this version (scripts/wasm.mjs). */
export const BUILD: i32 = isDefined(BUILD_ID) ? BUILD_ID : 0;

/** a * b + c as the kernels compute it, for the host to find out whether it is fused. */
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
