// Losses over single elements, each with its gradient in the same pass.

import { expNonPositive, log } from "../math";
import { at, bytes } from "../simd";
import { weightAt } from "./weight";

// Values of ElementLoss.kind.
const MSE: i32 = 0;
const SMOOTH_L1: i32 = 1;
const BCE_WITH_LOGITS: i32 = 2;
const L1: i32 = 3;

/** What `elementwiseLoss` takes; bindings/loss.ts fills it in. 0 stands for an array that is left out. */
@unmanaged
export class ElementLoss {
  /** SMOOTH_L1 only. */
  beta: f64;
  /** What the total and the gradient are multiplied by; 0: `elementFactor`. */
  factor: f64;
  kind: i32;
  n: i32;
  /** Elements to each number of sampleWeight, where there is one. */
  inner: i32;
  /** in: x and t, [n]. */
  prediction: usize;
  target: usize;
  /** in: [n]; by default ones. */
  weight: usize;
  posWeight: usize;
  /** in: [n / inner]; by default ones. */
  sampleWeight: usize;
  /** Whether the total is the mean. */
  mean: i32;
  /** out: [n]. */
  losses: usize;
  /** out: [n] f64, the losses before they are rounded, or 0. */
  terms: usize;
  /** out: [n], the gradient of x. */
  dPrediction: usize;
}

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
 * The divisor of a mean over elements: the sum of weight times sampleWeight over those that count; for BCE_WITH_LOGITS the sum
 * of sampleWeight alone, as in PyTorch.
 */
function elementDivisor<T>(e: ElementLoss): f64 {
  const inner = e.inner;
  const weighted = e.weight != 0 && e.kind != BCE_WITH_LOGITS;
  if (!weighted && !e.sampleWeight) return <f64>e.n;
  let sum: f64 = 0;
  for (let i = 0, step = 0; i < e.n; i += inner, step++) {
    const s = weightAt<T>(e.sampleWeight, step);
    if (s == 0) continue;
    if (weighted) for (let j = 0; j < inner; j++) sum += s * weightAt<T>(e.weight, i + j);
    else sum += s * <f64>inner;
  }
  return sum;
}

/** The factor of the total and the gradient: 1 / `elementDivisor` of a mean, else 1. */
export function elementFactor<T>(e: ElementLoss): f64 {
  return e.mean ? 1 / elementDivisor<T>(e) : 1;
}

/**
 * Losses over single elements:
 *
 *   losses [n]       = s weight l(x, t)
 *   dPrediction [n]  = factor s weight dl/dx
 *
 *   MSE              l = (x - t)^2
 *   SMOOTH_L1        l = |x - t| < beta ? (x - t)^2 / (2 beta) : |x - t| - beta / 2        beta = 0: |x - t|
 *   BCE_WITH_LOGITS  l = (1 - t) softplus(x) + posWeight t softplus(-x)                    softplus(x) = log(1 + e^x)
 *   L1               l = |x - t|                                                           dl/dx = 0 where l is NaN
 *
 * s is the sampleWeight of the step. Where it is 0, losses and gradients are 0, whatever the numbers are.
 *
 * Returns the total: the sum of the losses times factor. It and all intermediate numbers are f64.
 */
export function elementwiseLoss<T>(e: ElementLoss): f64 {
  const kind = e.kind;
  const inner = e.sampleWeight ? e.inner : e.n;
  const prediction = e.prediction;
  const target = e.target;
  const weight = e.weight;
  const posWeight = e.posWeight;
  const losses = e.losses;
  const dPrediction = e.dPrediction;
  const beta = e.beta;
  const terms = e.terms;
  const factor = e.factor == 0 ? elementFactor<T>(e) : e.factor;
  let total: f64 = 0;
  for (let start = 0, step = 0; start < e.n; start += inner, step++) {
    const s = weightAt<T>(e.sampleWeight, step);
    if (s == 0) {
      memory.fill(at<T>(losses, start), 0, bytes<T>(inner));
      if (terms) memory.fill(at<f64>(terms, start), 0, bytes<f64>(inner));
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
          slope = distance > 0 ? copysign<f64>(1, error) : kind == L1 ? 0 : error; // 0 at 0; at NaN as in PyTorch
        }
      } else {
        const exp = expNegativeAbs(x);
        const rest = log1p(exp);
        const positive = weightAt<T>(posWeight, i) * t;
        const sigmoid = (x < 0 ? exp : 1) / (1 + exp);
        const sigmoidNegative = (x < 0 ? 1 : exp) / (1 + exp);
        loss = (1 - t) * (max<f64>(x, 0) + rest) + positive * (max<f64>(-x, 0) + rest);
        slope = (1 - t) * sigmoid - positive * sigmoidNegative;
      }
      const w = s * weightAt<T>(weight, i);
      store<T>(at<T>(losses, i), <T>(w * loss));
      if (terms) store<f64>(at<f64>(terms, i), w * loss);
      store<T>(at<T>(dPrediction, i), <T>(factor * w * slope));
      total += w * loss;
    }
  }
  return total * factor;
}
