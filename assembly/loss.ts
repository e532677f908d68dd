// Softmax and the losses, each with its gradient in the same pass.

import { at, bytes, lanes, loadLanes, madd, storeLanes, sumLanes } from "./simd";
import { expNonPositive, log } from "./math";
import { scale } from "./elementwise";

/** The largest lane. */
// @ts-ignore: decorator
@inline
function maxLanes<T>(v: v128): T {
  if (sizeof<T>() == 8) return <T>max(f64x2.extract_lane(v, 0), f64x2.extract_lane(v, 1));
  const pairs = f32x4.max(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return <T>max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Number `count` of lanes from `v`, the others from `other`. */
// @ts-ignore: decorator
@inline
function fillLanes<T>(v: v128, other: T, count: i32): v128 {
  if (count >= lanes<T>()) return v;
  if (sizeof<T>() == 8) return f64x2.replace_lane(v, 1, <f64>other);
  if (count < 4) v = f32x4.replace_lane(v, 3, <f32>other);
  if (count < 3) v = f32x4.replace_lane(v, 2, <f32>other);
  if (count < 2) v = f32x4.replace_lane(v, 1, <f32>other);
  return v;
}

/** max x [n]; NaN where an element is NaN. */
function maximum<T>(n: i32, x: usize): T {
  let largest = v128.splat<T>(<T>-Infinity);
  for (let i = 0; i < n; i += lanes<T>()) {
    largest = v128.max<T>(largest, fillLanes<T>(loadLanes<T>(at<T>(x, i), n - i), <T>-Infinity, n - i));
  }
  return maxLanes<T>(largest);
}

/** y [n] = e^(x - shift), shift >= max x; returns the sum of y. y may be x. */
function expShifted<T>(n: i32, x: usize, shift: T, y: usize): T {
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

/** dx [rows,n] = y (dy - sum over n of dy y), from y = softmax(x); dx may be dy. */
export function softmaxBackward<T>(rows: i32, n: i32, y: usize, dy: usize, dx: usize): void {
  for (let r = 0; r < rows; r++) {
    let dot = v128.splat<T>(0);
    for (let i = 0; i < n; i += lanes<T>()) {
      dot = madd<T>(loadLanes<T>(at<T>(dy, i), n - i), loadLanes<T>(at<T>(y, i), n - i), dot);
    }
    const sum = v128.splat<T>(sumLanes<T>(dot));
    for (let i = 0; i < n; i += lanes<T>()) {
      const d = v128.sub<T>(loadLanes<T>(at<T>(dy, i), n - i), sum);
      storeLanes<T>(at<T>(dx, i), v128.mul<T>(loadLanes<T>(at<T>(y, i), n - i), d), n - i);
    }
    y += bytes<T>(n);
    dy += bytes<T>(n);
    dx += bytes<T>(n);
  }
}

/**
 * Softmax and cross-entropy, forward and backward in one pass over the rows:
 *
 *   losses [rows]      = log(sum e^x) - x[target]              0 where target is ignoreIndex
 *   dLogits [rows,n]   = weight (softmax(x) - onehot(target))  0 where target is ignoreIndex
 *
 *   logits    in: [rows,n]
 *   targets   in: [rows] i32, each ignoreIndex or 0 <= target < n (checked by the caller)
 *   weight    what the loss is multiplied with in the total: 1, or 1 / (number of rows that count)
 * Returns the sum of the losses, in f64.
 */
export function crossEntropy<T>(
  rows: i32,
  n: i32,
  logits: usize,
  targets: usize,
  ignoreIndex: i32,
  weight: T,
  losses: usize,
  dLogits: usize,
): f64 {
  let total: f64 = 0;
  for (let r = 0; r < rows; r++) {
    const target = load<i32>(targets);
    if (target == ignoreIndex) {
      memory.fill(dLogits, 0, bytes<T>(n));
      store<T>(losses, 0);
    } else {
      const shift = maximum<T>(n, logits);
      const sum = expShifted<T>(n, logits, shift, dLogits);
      const loss = log(<f64>sum) - <f64>(load<T>(at<T>(logits, target)) - shift);
      store<T>(losses, <T>loss);
      total += loss;
      scale<T>(n, dLogits, weight / sum);
      const dTarget = at<T>(dLogits, target);
      store<T>(dTarget, load<T>(dTarget) - weight);
    }
    targets += 4;
    losses += sizeof<T>();
    logits += bytes<T>(n);
    dLogits += bytes<T>(n);
  }
  return total;
}

/**
 * losses [n] = (prediction - target)^2;  dPrediction [n] = 2 weight (prediction - target).
 * Returns the sum of the losses, in f64.
 */
export function mse<T>(n: i32, prediction: usize, target: usize, weight: T, losses: usize, dPrediction: usize): f64 {
  let total: f64 = 0;
  for (let i = 0; i < n; i++) {
    const error = load<T>(at<T>(prediction, i)) - load<T>(at<T>(target, i));
    const loss = error * error;
    store<T>(at<T>(losses, i), loss);
    store<T>(at<T>(dPrediction, i), 2 * weight * error);
    total += <f64>loss;
  }
  return total;
}
