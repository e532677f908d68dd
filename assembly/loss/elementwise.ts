// Losses of single elements, each with its gradient in the same pass.

import { expNonPositive, log } from "../math";
import { at, bytes } from "../simd";
import { weightAt } from "./weight";

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
