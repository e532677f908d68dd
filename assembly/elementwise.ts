// Arithmetic over flat arrays, and reductions. Non-linear functions are in activation.ts.

import { at, lanes, loadLanes, madd, storeLanes, sumLanes } from "./simd";

/** out [n] = a + b; out may be a or b. */
export function add<T>(n: i32, a: usize, b: usize, out: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    const sum = v128.add<T>(loadLanes<T>(at<T>(a, i), n - i), loadLanes<T>(at<T>(b, i), n - i));
    storeLanes<T>(at<T>(out, i), sum, n - i);
  }
}

/** out [n] = a b; out may be a or b. */
export function mul<T>(n: i32, a: usize, b: usize, out: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    const product = v128.mul<T>(loadLanes<T>(at<T>(a, i), n - i), loadLanes<T>(at<T>(b, i), n - i));
    storeLanes<T>(at<T>(out, i), product, n - i);
  }
}

/** x [n] *= factor. */
export function scale<T>(n: i32, x: usize, factor: T): void {
  const f = v128.splat<T>(factor);
  for (let i = 0; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(x, i), v128.mul<T>(loadLanes<T>(at<T>(x, i), n - i), f), n - i);
  }
}

/** x [n] = min(max(x, -limit), limit); NaN for NaN. */
export function clip<T>(n: i32, x: usize, limit: T): void {
  const high = v128.splat<T>(limit);
  const low = v128.neg<T>(high);
  for (let i = 0; i < n; i += lanes<T>()) {
    const v = loadLanes<T>(at<T>(x, i), n - i);
    storeLanes<T>(at<T>(x, i), v128.pmin<T>(v128.pmax<T>(v, low), high), n - i);
  }
}

/** Sum of the squares of x [n], in f64 for both types. */
export function sumSquares<T>(n: i32, x: usize): f64 {
  let even = f64x2.splat(0);
  let odd = f64x2.splat(0);
  for (let i = 0; i < n; i += lanes<T>()) {
    const v = loadLanes<T>(at<T>(x, i), n - i);
    if (sizeof<T>() == 8) {
      even = madd<f64>(v, v, even);
    } else {
      const low = f64x2.promote_low_f32x4(v);
      const high = f64x2.promote_low_f32x4(v128.shuffle<i32>(v, v, 2, 3, 0, 1));
      even = madd<f64>(low, low, even);
      odd = madd<f64>(high, high, odd);
    }
  }
  return sumLanes<f64>(f64x2.add(even, odd));
}
