// Softmax and its logarithm.

import { expNonPositive, log } from "./math";
import { at, bytes, fillLanes, lanes, loadLanes, storeLanes, sumLanes } from "./simd";

/** The largest lane. */
// @ts-ignore: decorator
@inline
function maxLanes<T>(v: v128): T {
  if (sizeof<T>() == 8) return <T>max(f64x2.extract_lane(v, 0), f64x2.extract_lane(v, 1));
  const pairs = f32x4.max(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return <T>max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** max x [n]; NaN where an element is NaN. */
export function maximum<T>(n: i32, x: usize): T {
  let largest = v128.splat<T>(<T>-Infinity);
  for (let i = 0; i < n; i += lanes<T>()) {
    largest = v128.max<T>(largest, fillLanes<T>(loadLanes<T>(at<T>(x, i), n - i), <T>-Infinity, n - i));
  }
  return maxLanes<T>(largest);
}

/** y [n] = e^(x - shift), shift >= max x; returns the sum of y. y may be x. */
export function expShifted<T>(n: i32, x: usize, shift: T, y: usize): T {
  const s = v128.splat<T>(shift);
  let sum = v128.splat<T>(0);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const e = expNonPositive<T>(v128.sub<T>(loadLanes<T>(at<T>(x, i), rest), s));
    storeLanes<T>(at<T>(y, i), e, rest);
    sum = v128.add<T>(sum, fillLanes<T>(e, 0, rest));
  }
  return sumLanes<T>(sum);
}

/** y [rows,n] = e^x / sum over n of e^x; y may be x. */
export function softmax<T>(rows: i32, n: i32, x: usize, y: usize): void {
  for (let r = 0; r < rows; r++) {
    const sum = expShifted<T>(n, x, maximum<T>(n, x), y);
    const divisor = v128.splat<T>(sum);
    for (let i = 0; i < n; i += lanes<T>()) {
      storeLanes<T>(at<T>(y, i), v128.div<T>(loadLanes<T>(at<T>(y, i), n - i), divisor), n - i);
    }
    x += bytes<T>(n);
    y += bytes<T>(n);
  }
}

/** y [rows,n] = x - log(sum over n of e^x); y is not x. */
export function logSoftmax<T>(rows: i32, n: i32, x: usize, y: usize): void {
  for (let r = 0; r < rows; r++) {
    const shift = maximum<T>(n, x);
    const logSum = v128.splat<T>(<T>log(<f64>expShifted<T>(n, x, shift, y)));
    const s = v128.splat<T>(shift);
    for (let i = 0; i < n; i += lanes<T>()) {
      const shifted = v128.sub<T>(loadLanes<T>(at<T>(x, i), n - i), s);
      storeLanes<T>(at<T>(y, i), v128.sub<T>(shifted, logSum), n - i);
    }
    x += bytes<T>(n);
    y += bytes<T>(n);
  }
}
