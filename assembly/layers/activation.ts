// Element-wise non-linearities of layers, forward and backward, and PReLU. Those of cells are in ../activation.ts.
//
//   elu         x where x > 0, else e^x - 1                 elu' = 1 where y > 0, else y + 1
//   leaky ReLU  x where x > 0, else x / 100                 1 where y > 0, else 1 / 100
//   PReLU       x where x > 0, else slope x, one slope for each column or one for all (He et al. 2015)

import { activate, activateBackward, expm1Below } from "../activation";
import * as math from "../math";
import { at, bytes, fillLanes, lanes, loadLanes, loadSplat, madd, storeLanes, sumLanes } from "../simd";

/** Codes past those of ../activation.ts. */
const ELU: i32 = 5;
const LEAKY_RELU: i32 = 6;

/** Slope and offset of Keras' hard sigmoid. */
const HARD = memory.data<f64>([0.2, 0.5], 16);

/** Slope of the leaky ReLU below 0, that of PyTorch. */
const LEAK: f64 = 0.01;

// @ts-ignore: decorator
@inline
function positive<T>(x: v128): v128 {
  return v128.gt<T>(x, v128.splat<T>(0));
}

/** y [n] = the activation of x [n]; y may be x. */
export function activationForward<T>(code: i32, n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    const v = loadLanes<T>(at<T>(x, i), n - i);
    let result: v128;
    if (code == ELU) result = v128.bitselect(v, expm1Below<T>(v), positive<T>(v));
    else if (code == LEAKY_RELU) {
      result = v128.bitselect(v, v128.mul<T>(v, v128.splat<T>(<T>LEAK)), positive<T>(v));
    } else result = activate<T>(code, v, HARD);
    storeLanes<T>(at<T>(y, i), result, n - i);
  }
}

/** dx [n] from dy and y = the activation of x; dx may be dy. */
export function activationBackward<T>(code: i32, n: i32, y: usize, dy: usize, dx: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    const v = loadLanes<T>(at<T>(y, i), n - i);
    const d = loadLanes<T>(at<T>(dy, i), n - i);
    let result: v128;
    if (code == ELU) result = v128.bitselect(d, madd<T>(d, v, d), positive<T>(v));
    else if (code == LEAKY_RELU) {
      result = v128.bitselect(d, v128.mul<T>(d, v128.splat<T>(<T>LEAK)), positive<T>(v));
    } else result = activateBackward<T>(code, d, v, HARD);
    storeLanes<T>(at<T>(dx, i), result, n - i);
  }
}

/** y [rows,n] = PReLU of x, slope [n], or [1] where `shared`; y may be x. */
export function preluForward<T>(rows: i32, n: i32, x: usize, slope: usize, shared: bool, y: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i += lanes<T>()) {
      const v = loadLanes<T>(at<T>(x, i), n - i);
      const a = shared ? loadSplat<T>(slope) : loadLanes<T>(at<T>(slope, i), n - i);
      storeLanes<T>(at<T>(y, i), v128.bitselect(v, v128.mul<T>(a, v), positive<T>(v)), n - i);
    }
    x += bytes<T>(n);
    y += bytes<T>(n);
  }
}

/** dx [rows,n] from dy and x, dx may be dy; dSlope += sum of dy x where x <= 0. */
export function preluBackward<T>(
  rows: i32,
  n: i32,
  x: usize,
  slope: usize,
  shared: bool,
  dy: usize,
  dx: usize,
  dSlope: usize,
): void {
  let sum = v128.splat<T>(0);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i += lanes<T>()) {
      const rest = n - i;
      const v = loadLanes<T>(at<T>(x, i), rest);
      const d = loadLanes<T>(at<T>(dy, i), rest);
      const a = shared ? loadSplat<T>(slope) : loadLanes<T>(at<T>(slope, i), rest);
      const above = positive<T>(v);
      const product = v128.andnot(v128.mul<T>(d, v), above);
      if (shared) sum = v128.add<T>(sum, fillLanes<T>(product, 0, rest));
      else storeLanes<T>(at<T>(dSlope, i), v128.add<T>(loadLanes<T>(at<T>(dSlope, i), rest), product), rest);
      storeLanes<T>(at<T>(dx, i), v128.bitselect(d, v128.mul<T>(a, d), above), rest);
    }
    x += bytes<T>(n);
    dy += bytes<T>(n);
    dx += bytes<T>(n);
  }
  if (shared) store<T>(dSlope, load<T>(dSlope) + sumLanes<T>(sum));
}
