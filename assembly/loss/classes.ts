// Losses of classes, each with its gradient in the same pass.

import { scale } from "../elementwise";
import { log } from "../math";
import { at, bytes } from "../simd";
import { expShifted, maximum } from "./softmax";
import { weightAt } from "./weight";

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
