// Losses over classes, each with its gradient in the same pass.

import { scale } from "../elementwise";
import { log } from "../math";
import { at, bytes } from "../simd";
import { expShifted, maximum } from "../softmax";
import { weightAt } from "./weight";

/** What `crossEntropy` and `nll` take; bindings/loss.ts fills it in. 0 stands for an array that is left out. */
@unmanaged
export class ClassLoss {
  /** Label smoothing; `crossEntropy` only. */
  smoothing: f64;
  /** What the total and the gradient are multiplied by; 0: `classFactor`. `crossEntropy` only. */
  factor: f64;
  rows: i32;
  /** Classes. */
  n: i32;
  /** in: [rows,n], logits or log-probabilities. */
  x: usize;
  /**
   * in: [rows] i32, each ignoreIndex or in [0, n), except where the row's sampleWeight is 0: the caller checks. 0 where
   * there are probabilities.
   */
  targets: usize;
  /** in: [rows,n]; `crossEntropy` only. */
  probabilities: usize;
  /** in: [n]; by default ones. */
  weight: usize;
  /** in: [rows]; by default ones. */
  sampleWeight: usize;
  ignoreIndex: i32;
  /** Whether the total is the mean. */
  mean: i32;
  /** out: [rows]. */
  losses: usize;
  /** out: [rows] f64, the losses before they are rounded, or 0; `crossEntropy` only. */
  terms: usize;
  /** out: [rows,n], the gradient of x. */
  dX: usize;
}

/** a_j of `crossEntropy`. */
function share<T>(j: i32, n: i32, target: i32, probabilities: usize, weight: usize, smoothing: f64): f64 {
  const p: f64 = probabilities ? <f64>load<T>(at<T>(probabilities, j)) : j == target ? 1 : 0;
  return weightAt<T>(weight, j) * (p * (1 - smoothing) + smoothing / <f64>n);
}

/**
 * The divisor of a mean over classes: the sum of weight[target] sampleWeight over the rows that count; for probabilities,
 * the sum of sampleWeight alone.
 */
function classDivisor<T>(c: ClassLoss): f64 {
  let sum: f64 = 0;
  for (let r = 0; r < c.rows; r++) {
    const s = weightAt<T>(c.sampleWeight, r);
    if (s == 0) continue;
    if (c.targets) {
      const target = load<i32>(at<i32>(c.targets, r));
      if (target != c.ignoreIndex) sum += s * weightAt<T>(c.weight, target);
    } else sum += s;
  }
  return sum;
}

/** The factor of the total and the gradient: 1 / `classDivisor` of a mean, else 1. */
export function classFactor<T>(c: ClassLoss): f64 {
  return c.mean ? 1 / classDivisor<T>(c) : 1;
}

/**
 * Softmax and cross-entropy, forward and backward in one pass over the rows:
 *
 *   a_j            = s weight_j ((1 - smoothing) p_j + smoothing / n)     p: probabilities, or onehot(target)
 *   losses [rows]  = sum over j of a_j (log(sum e^x) - x_j)
 *   dX [rows,n]    = factor ((sum of a) softmax(x) - a)
 *
 * s is the row's sampleWeight. A row does not count where s is 0 or its target is ignoreIndex: its loss and gradient are
 * then 0, whatever its numbers are. A class with a_j = 0 adds nothing, even where x_j is -infinity.
 *
 * Returns the total: the sum of the losses, in f64, times factor.
 */
export function crossEntropy<T>(c: ClassLoss): f64 {
  const n = c.n;
  const targets = c.targets;
  const weight = c.weight;
  const smoothing = c.smoothing;
  const factor = c.factor == 0 ? classFactor<T>(c) : c.factor;
  let logits = c.x;
  let dLogits = c.dX;
  let probabilities = c.probabilities;
  let total: f64 = 0;
  for (let r = 0; r < c.rows; r++) {
    const target = targets ? load<i32>(at<i32>(targets, r)) : -1;
    const s = weightAt<T>(c.sampleWeight, r);
    let loss: f64 = 0;
    if (s == 0 || (targets && target == c.ignoreIndex)) {
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
    store<T>(at<T>(c.losses, r), <T>loss);
    if (c.terms) store<f64>(at<f64>(c.terms, r), loss);
    total += loss;
    if (probabilities) probabilities += bytes<T>(n);
    logits += bytes<T>(n);
    dLogits += bytes<T>(n);
  }
  return total * factor;
}

/**
 * The negative log-likelihood of log-probabilities x [rows,n], with s, factor, the total and the rows that count as for
 * `crossEntropy`:
 *
 *   losses [rows]  = -s weight[target] x[target]
 *   dX [rows,n]    = -factor s weight[target] onehot(target)
 */
export function nll<T>(c: ClassLoss): f64 {
  const n = c.n;
  const factor = classFactor<T>(c);
  let x = c.x;
  let dX = c.dX;
  let total: f64 = 0;
  for (let r = 0; r < c.rows; r++) {
    const target = load<i32>(at<i32>(c.targets, r));
    const s = weightAt<T>(c.sampleWeight, r);
    let loss: f64 = 0;
    memory.fill(dX, 0, bytes<T>(n));
    if (s != 0 && target != c.ignoreIndex) {
      const w = s * weightAt<T>(c.weight, target);
      loss = -w * <f64>load<T>(at<T>(x, target));
      store<T>(at<T>(dX, target), <T>(-factor * w));
    }
    store<T>(at<T>(c.losses, r), <T>loss);
    total += loss;
    x += bytes<T>(n);
    dX += bytes<T>(n);
  }
  return total * factor;
}
