// Softmax and the losses, each with its gradient in the same pass.

import { at, bytes, fillLanes, lanes, loadLanes, storeLanes, sumLanes } from "./simd";
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

/** Number `i` of what may be left out: 1 where p is 0. */
// @ts-ignore: decorator
@inline
function weightAt<T>(p: usize, i: i32): f64 {
  return p ? <f64>load<T>(at<T>(p, i)) : 1;
}

/** a_j of `crossEntropy`. */
function share<T>(j: i32, n: i32, target: i32, probabilities: usize, weight: usize, smoothing: f64): f64 {
  const p: f64 = probabilities ? <f64>load<T>(at<T>(probabilities, j)) : j == target ? 1 : 0;
  return weightAt<T>(weight, j) * (p * (1 - smoothing) + smoothing / <f64>n);
}

/**
 * The divisor of a mean over classes: the sum of weight[target] sampleWeight over the rows that count; for probabilities
 * (targets 0), the sum of sampleWeight alone.
 */
function classDivisor<T>(rows: i32, targets: usize, weight: usize, sampleWeight: usize, ignoreIndex: i32): f64 {
  let sum: f64 = 0;
  for (let r = 0; r < rows; r++) {
    const s = weightAt<T>(sampleWeight, r);
    if (s == 0) continue;
    if (targets) {
      const target = load<i32>(at<i32>(targets, r));
      if (target != ignoreIndex) sum += s * weightAt<T>(weight, target);
    } else sum += s;
  }
  return sum;
}

/**
 * Softmax and cross-entropy, forward and backward in one pass over the rows:
 *
 *   a_j                = s weight_j ((1 - smoothing) p_j + smoothing / n)     p: probabilities, or onehot(target)
 *   losses [rows]      = sum over j of a_j (log(sum e^x) - x_j)
 *   dLogits [rows,n]   = factor ((sum of a) softmax(x) - a)
 *
 * s is the row's sampleWeight. A row does not count where s is 0 or its target is ignoreIndex: its loss and gradient are
 * 0, whatever its numbers are. A class with a_j = 0 counts nothing, also where x_j is -infinity.
 *
 *   logits         in: [rows,n]
 *   targets        in: [rows] i32, each ignoreIndex or 0 <= target < n (checked by the caller) where the row's sampleWeight
 *                  is not 0, any number elsewhere; 0: probabilities are given
 *   probabilities  in: [rows,n], or 0
 *   weight         in: [n], or 0 for ones
 *   sampleWeight   in: [rows], or 0 for ones
 *   mean           whether the total is the mean; factor is then 1 / `classDivisor`, else 1
 * Returns the total: the sum of the losses, in f64, times factor.
 */
export function crossEntropy<T>(
  rows: i32,
  n: i32,
  logits: usize,
  targets: usize,
  probabilities: usize,
  weight: usize,
  sampleWeight: usize,
  ignoreIndex: i32,
  smoothing: f64,
  mean: bool,
  losses: usize,
  dLogits: usize,
): f64 {
  const factor: f64 = mean ? 1 / classDivisor<T>(rows, targets, weight, sampleWeight, ignoreIndex) : 1;
  let total: f64 = 0;
  for (let r = 0; r < rows; r++) {
    const target = targets ? load<i32>(at<i32>(targets, r)) : -1;
    const s = weightAt<T>(sampleWeight, r);
    let loss: f64 = 0;
    if (s == 0 || (targets && target == ignoreIndex)) {
      memory.fill(dLogits, 0, bytes<T>(n));
    } else {
      const shift = maximum<T>(n, logits);
      const sum = expShifted<T>(n, logits, shift, dLogits);
      const logSum = log(<f64>sum);
      const scaled = factor * s;
      if (targets && smoothing == 0) {
        const w = weightAt<T>(weight, target);
        loss = w * (logSum - <f64>(load<T>(at<T>(logits, target)) - shift));
        scale<T>(n, dLogits, <T>(scaled * w) / sum);
        const dTarget = at<T>(dLogits, target);
        store<T>(dTarget, load<T>(dTarget) - <T>(scaled * w));
      } else {
        let shares: f64 = 0;
        for (let j = 0; j < n; j++) {
          const a = share<T>(j, n, target, probabilities, weight, smoothing);
          if (a != 0) loss += a * (logSum - <f64>(load<T>(at<T>(logits, j)) - shift));
          shares += a;
        }
        for (let j = 0; j < n; j++) {
          const a = share<T>(j, n, target, probabilities, weight, smoothing);
          const d = at<T>(dLogits, j);
          store<T>(d, <T>(scaled * (<f64>load<T>(d) * (shares / <f64>sum) - a)));
        }
      }
      loss *= s;
    }
    store<T>(at<T>(losses, r), <T>loss);
    total += loss;
    if (probabilities) probabilities += bytes<T>(n);
    logits += bytes<T>(n);
    dLogits += bytes<T>(n);
  }
  return total * factor;
}

/**
 * The negative log-likelihood of log-probabilities x [rows,n]: losses [rows] = -s weight[target] x[target] and
 * dX [rows,n] = -factor s weight[target] onehot(target); both 0 where a row does not count. targets, weight, sampleWeight,
 * mean, factor and the total are those of `crossEntropy`.
 */
export function nll<T>(
  rows: i32,
  n: i32,
  x: usize,
  targets: usize,
  weight: usize,
  sampleWeight: usize,
  ignoreIndex: i32,
  mean: bool,
  losses: usize,
  dX: usize,
): f64 {
  const factor: f64 = mean ? 1 / classDivisor<T>(rows, targets, weight, sampleWeight, ignoreIndex) : 1;
  let total: f64 = 0;
  for (let r = 0; r < rows; r++) {
    const target = load<i32>(at<i32>(targets, r));
    const s = weightAt<T>(sampleWeight, r);
    let loss: f64 = 0;
    memory.fill(dX, 0, bytes<T>(n));
    if (s != 0 && target != ignoreIndex) {
      const w = s * weightAt<T>(weight, target);
      loss = -w * <f64>load<T>(at<T>(x, target));
      store<T>(at<T>(dX, target), <T>(-factor * w));
    }
    store<T>(at<T>(losses, r), <T>loss);
    total += loss;
    x += bytes<T>(n);
    dX += bytes<T>(n);
  }
  return total * factor;
}

// Kinds of elementwiseLoss.
const MSE: i32 = 0;
const SMOOTH_L1: i32 = 1;
const BCE_WITH_LOGITS: i32 = 2;
const L1: i32 = 3;

/** e^-|x|. */
function expNegativeAbs(x: f64): f64 {
  return f64x2.extract_lane(expNonPositive<f64>(f64x2.splat(-abs(x))), 0);
}

/** log(1 + e) for 0 <= e <= 1; the quotient makes up for the rounding of 1 + e (Kahan). */
function log1p(e: f64): f64 {
  const u = 1 + e;
  return u == 1 ? e : log(u) * (e / (u - 1));
}

/**
 * The divisor of a mean over elements: the sum of weight sampleWeight over those that count; the sum of sampleWeight alone
 * for BCE_WITH_LOGITS (PyTorch's rule).
 */
function elementDivisor<T>(kind: i32, n: i32, inner: i32, weight: usize, sampleWeight: usize): f64 {
  const weighted = weight != 0 && kind != BCE_WITH_LOGITS;
  if (!weighted && !sampleWeight) return <f64>n;
  let sum: f64 = 0;
  for (let i = 0, step = 0; i < n; i += inner, step++) {
    const s = weightAt<T>(sampleWeight, step);
    if (s == 0) continue;
    if (weighted) for (let j = 0; j < inner; j++) sum += s * weightAt<T>(weight, i + j);
    else sum += s * <f64>inner;
  }
  return sum;
}

/**
 * Losses of single elements, losses [n] = s weight l(x, t), and dPrediction [n] = factor s weight dl/dx:
 *
 *   MSE              l = (x - t)^2
 *   SMOOTH_L1        l = |x - t| < beta ? (x - t)^2 / (2 beta) : |x - t| - beta / 2        beta = 0: |x - t|
 *   BCE_WITH_LOGITS  l = (1 - t) softplus(x) + posWeight t softplus(-x)                    softplus(x) = log(1 + e^x)
 *   L1               l = |x - t|                                                           dl/dx = 0 where l is NaN
 *
 * s is the sampleWeight of the step. Where it is 0, losses and gradients are 0, whatever the numbers are.
 *
 *   prediction, target  in: x and t, [n]
 *   weight, posWeight   in: [n], or 0 for ones
 *   sampleWeight        in: [n / inner], one for each `inner` elements, or 0 for ones
 *   mean                whether the total is the mean; factor is then 1 / `elementDivisor`, else 1
 * Returns the total: the sum of the losses times factor, in f64, as are all intermediate numbers.
 */
export function elementwiseLoss<T>(
  kind: i32,
  n: i32,
  inner: i32,
  prediction: usize,
  target: usize,
  beta: f64,
  weight: usize,
  posWeight: usize,
  sampleWeight: usize,
  mean: bool,
  losses: usize,
  dPrediction: usize,
): f64 {
  const factor: f64 = mean ? 1 / elementDivisor<T>(kind, n, inner, weight, sampleWeight) : 1;
  let total: f64 = 0;
  for (let start = 0, step = 0; start < n; start += inner, step++) {
    const s = weightAt<T>(sampleWeight, step);
    if (s == 0) {
      memory.fill(at<T>(losses, start), 0, bytes<T>(inner));
      memory.fill(at<T>(dPrediction, start), 0, bytes<T>(inner));
      continue;
    }
    for (let i = start; i < start + inner; i++) {
      const x = <f64>load<T>(at<T>(prediction, i));
      const t = <f64>load<T>(at<T>(target, i));
      const error = x - t;
      let loss: f64;
      let slope: f64;
      if (kind == MSE) {
        loss = error * error;
        slope = 2 * error;
      } else if (kind == SMOOTH_L1 || kind == L1) {
        const distance = abs(error);
        if (distance < beta) {
          slope = error / beta;
          loss = 0.5 * error * slope;
        } else {
          loss = distance - 0.5 * beta;
          slope = distance > 0 ? copysign<f64>(1, error) : kind == L1 ? 0 : error; // of 0 it is 0, of NaN as PyTorch's
        }
      } else {
        const e = expNegativeAbs(x);
        const rest = log1p(e);
        const positive = weightAt<T>(posWeight, i) * t;
        const sigmoid = (x < 0 ? e : 1) / (1 + e);
        const sigmoidNegative = (x < 0 ? 1 : e) / (1 + e);
        loss = (1 - t) * (max<f64>(x, 0) + rest) + positive * (max<f64>(-x, 0) + rest);
        slope = (1 - t) * sigmoid - positive * sigmoidNegative;
      }
      const w = s * weightAt<T>(weight, i);
      store<T>(at<T>(losses, i), <T>(w * loss));
      store<T>(at<T>(dPrediction, i), <T>(factor * w * slope));
      total += w * loss;
    }
  }
  return total * factor;
}
