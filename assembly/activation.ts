// Element-wise functions: over arrays (exp, sigmoid, tanh, relu), and the choice of a cell's non-linearity.

import { at, lanes, loadLanes, storeLanes } from "./simd";
import * as math from "./math";

/** Codes of a cell's non-linearity. */
export const TANH: i32 = 0;
export const RELU: i32 = 1;

/** max(x, 0); NaN stays. */
// @ts-ignore: decorator
@inline
export function relu<T>(x: v128): v128 {
  return v128.pmax<T>(x, v128.splat<T>(0));
}

/** y = phi(x). */
// @ts-ignore: decorator
@inline
export function activate<T>(activation: i32, x: v128): v128 {
  return activation == RELU ? relu<T>(x) : math.tanh<T>(x);
}

/** dx = dy phi'(x), from y = phi(x): tanh' = 1 - y^2, relu' = [y > 0] (NaN passes dy on). */
// @ts-ignore: decorator
@inline
export function activateBackward<T>(activation: i32, dy: v128, y: v128): v128 {
  if (activation == RELU) return v128.andnot(dy, v128.le<T>(y, v128.splat<T>(0)));
  return v128.mul<T>(dy, v128.sub<T>(math.one<T>(), v128.mul<T>(y, y)));
}

/** dx = dy s'(x), from y = sigmoid(x): s' = y (1 - y). */
// @ts-ignore: decorator
@inline
export function sigmoidBackward<T>(dy: v128, y: v128): v128 {
  return v128.mul<T>(dy, v128.mul<T>(y, v128.sub<T>(math.one<T>(), y)));
}

/** y [n] = e^x [n]; y may be x. */
export function exp<T>(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>())
    storeLanes<T>(at<T>(y, i), math.exp<T>(loadLanes<T>(at<T>(x, i), n - i)), n - i);
}

/** y [n] = 1 / (1 + e^-x [n]); y may be x. */
export function sigmoid<T>(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(y, i), math.sigmoid<T>(loadLanes<T>(at<T>(x, i), n - i)), n - i);
  }
}

/** y [n] = phi(x [n]); y may be x. */
export function activation<T>(kind: i32, n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(y, i), activate<T>(kind, loadLanes<T>(at<T>(x, i), n - i)), n - i);
  }
}
