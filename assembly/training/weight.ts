// Optional weights.

import { at } from "../simd";

/** Number `i` of p; 1 where p is 0. */
// @ts-ignore: decorator
@inline
export function weightAt<T>(p: usize, i: i32): f64 {
  return p ? <f64>load<T>(at<T>(p, i)) : 1;
}
