// Batch normalisation over the rows of a matrix (Ioffe & Szegedy 2015, "Batch Normalization", algorithm 1). Of the M rows that
// count, for each column:
//
//   mean = (sum of x) / M        var = (sum of (x - mean)^2) / M        rstd = 1 / sqrt(var + eps)
//   y = weight (x - mean) rstd + bias
//   runningMean += f (mean - runningMean)        runningVar += f (var M / (M - 1) - runningVar)
//
// In inference mean and var are the running ones. backward, from dy, with xhat = (x - mean) rstd:
//
//   dWeight += sum of dy xhat        dBias += sum of dy
//   dx = weight rstd (dy - (sum of dy) / M - xhat (sum of dy xhat) / M)        in inference weight rstd dy
//
// Rows that do not count give zeros. Sums over rows are in f64 for both types, from the first row to the last.

import { at, bytes, lanes, loadLanes, madd, nmadd, storeLanes } from "../simd";

/** Arguments of the kernels; all matrices are dense [rows,C]. */
@unmanaged
export class BatchNorm {
  eps: f64;
  /** f: the weight of this batch in the running statistics. */
  factor: f64;
  rows: i32;
  c: i32;
  /** [rows] i32, 1 for a row that counts; or 0: all do. */
  valid: usize;
  /** M, at least 2 in training. */
  count: i32;
  training: i32;
  x: usize;
  /** [C] each, or 0 for ones and zeros. */
  weight: usize;
  bias: usize;
  /** [C] each. In training the forward pass changes them. */
  runningMean: usize;
  runningVar: usize;
  /** [C] each: out in the forward pass, in in the backward pass. */
  mean: usize;
  rstd: usize;
  y: usize;
  /** Backward: dx may be dy; dWeight and dBias [C] are added to, or 0 for none. */
  dy: usize;
  dx: usize;
  dWeight: usize;
  dBias: usize;
  /** Scratch: [2,C] f64. */
  work: usize;
}

// @ts-ignore: decorator
@inline
function counts(s: BatchNorm, row: i32): bool {
  return s.valid == 0 || load<i32>(s.valid + 4 * <usize>row) != 0;
}

/** min(n, 2) numbers as f64, and 0 in the lane past them. */
// @ts-ignore: decorator
@inline
function loadWide<T>(p: usize, n: i32): v128 {
  if (sizeof<T>() == 8) return loadLanes<f64>(p, n);
  return f64x2.promote_low_f32x4(n > 1 ? v128.load64_zero(p) : v128.load32_zero(p));
}

/** y from x, and in training the running statistics. */
export function batchNormForward<T>(s: BatchNorm): void {
  if (s.training) statistics<T>(s);
  else {
    for (let c = 0; c < s.c; c++) {
      store<T>(at<T>(s.mean, c), load<T>(at<T>(s.runningMean, c)));
      const variance = <f64>load<T>(at<T>(s.runningVar, c));
      store<T>(at<T>(s.rstd, c), <T>(1 / sqrt<f64>(variance + s.eps)));
    }
  }
  let x = s.x;
  let y = s.y;
  for (let row = 0; row < s.rows; row++) {
    if (counts(s, row)) {
      for (let c = 0; c < s.c; c += lanes<T>()) {
        const rest = s.c - c;
        let v = v128.sub<T>(loadLanes<T>(at<T>(x, c), rest), loadLanes<T>(at<T>(s.mean, c), rest));
        v = v128.mul<T>(v, loadLanes<T>(at<T>(s.rstd, c), rest));
        if (s.weight) v = v128.mul<T>(loadLanes<T>(at<T>(s.weight, c), rest), v);
        if (s.bias) v = v128.add<T>(v, loadLanes<T>(at<T>(s.bias, c), rest));
        storeLanes<T>(at<T>(y, c), v, rest);
      }
    } else memory.fill(y, 0, bytes<T>(s.c));
    x += bytes<T>(s.c);
    y += bytes<T>(s.c);
  }
}

/** mean, rstd and the running statistics of a batch. */
function statistics<T>(s: BatchNorm): void {
  const means = s.work;
  const squares = at<f64>(means, s.c);
  memory.fill(means, 0, bytes<f64>(2 * s.c));
  let x = s.x;
  for (let row = 0; row < s.rows; row++) {
    if (counts(s, row)) {
      for (let c = 0; c < s.c; c += 2) {
        const sum = at<f64>(means, c);
        storeLanes<f64>(sum, f64x2.add(loadLanes<f64>(sum, s.c - c), loadWide<T>(at<T>(x, c), s.c - c)), s.c - c);
      }
    }
    x += bytes<T>(s.c);
  }
  for (let c = 0; c < s.c; c++) store<f64>(at<f64>(means, c), load<f64>(at<f64>(means, c)) / <f64>s.count);
  x = s.x;
  for (let row = 0; row < s.rows; row++) {
    if (counts(s, row)) {
      for (let c = 0; c < s.c; c += 2) {
        const rest = s.c - c;
        const sum = at<f64>(squares, c);
        const d = f64x2.sub(loadWide<T>(at<T>(x, c), rest), loadLanes<f64>(at<f64>(means, c), rest));
        storeLanes<f64>(sum, madd<f64>(d, d, loadLanes<f64>(sum, rest)), rest);
      }
    }
    x += bytes<T>(s.c);
  }
  for (let c = 0; c < s.c; c++) {
    const mean = load<f64>(at<f64>(means, c));
    const sum = load<f64>(at<f64>(squares, c));
    store<T>(at<T>(s.mean, c), <T>mean);
    store<T>(at<T>(s.rstd, c), <T>(1 / sqrt<f64>(sum / <f64>s.count + s.eps)));
    update<T>(at<T>(s.runningMean, c), mean, s.factor);
    update<T>(at<T>(s.runningVar, c), sum / <f64>(s.count - 1), s.factor);
  }
}

/** A running average: (1 - factor) of what it was, and factor of `value`. */
// @ts-ignore: decorator
@inline
function update<T>(p: usize, value: f64, factor: f64): void {
  store<T>(p, <T>((1 - factor) * <f64>load<T>(p) + factor * value));
}

/** dx from dy; dWeight and dBias are added to. */
export function batchNormBackward<T>(s: BatchNorm): void {
  const sums = s.work; // of dy
  const dots = at<f64>(sums, s.c); // of dy xhat
  memory.fill(sums, 0, bytes<f64>(2 * s.c));
  let x = s.x;
  let dy = s.dy;
  for (let row = 0; row < s.rows; row++) {
    if (counts(s, row)) {
      for (let c = 0; c < s.c; c += 2) {
        const rest = s.c - c;
        const centred = f64x2.sub(loadWide<T>(at<T>(x, c), rest), loadWide<T>(at<T>(s.mean, c), rest));
        const xhat = f64x2.mul(centred, loadWide<T>(at<T>(s.rstd, c), rest));
        const d = loadWide<T>(at<T>(dy, c), rest);
        const sum = at<f64>(sums, c);
        const dot = at<f64>(dots, c);
        storeLanes<f64>(sum, f64x2.add(loadLanes<f64>(sum, rest), d), rest);
        storeLanes<f64>(dot, madd<f64>(d, xhat, loadLanes<f64>(dot, rest)), rest);
      }
    }
    x += bytes<T>(s.c);
    dy += bytes<T>(s.c);
  }
  for (let c = 0; c < s.c; c++) {
    if (s.dWeight) add<T>(at<T>(s.dWeight, c), load<f64>(at<f64>(dots, c)));
    if (s.dBias) add<T>(at<T>(s.dBias, c), load<f64>(at<f64>(sums, c)));
    // From here on the means, as T, in the first half of each sum.
    store<T>(at<T>(sums, c), <T>(s.training ? load<f64>(at<f64>(sums, c)) / <f64>s.count : 0));
  }
  for (let c = 0; c < s.c; c++) {
    store<T>(at<T>(dots, c), <T>(s.training ? load<f64>(at<f64>(dots, c)) / <f64>s.count : 0));
  }
  x = s.x;
  dy = s.dy;
  let dx = s.dx;
  for (let row = 0; row < s.rows; row++) {
    if (counts(s, row)) {
      for (let c = 0; c < s.c; c += lanes<T>()) {
        const rest = s.c - c;
        const rstd = loadLanes<T>(at<T>(s.rstd, c), rest);
        const centred = v128.sub<T>(loadLanes<T>(at<T>(x, c), rest), loadLanes<T>(at<T>(s.mean, c), rest));
        let d = v128.sub<T>(loadLanes<T>(at<T>(dy, c), rest), loadLanes<T>(at<T>(sums, c), rest));
        d = nmadd<T>(v128.mul<T>(centred, rstd), loadLanes<T>(at<T>(dots, c), rest), d);
        d = v128.mul<T>(d, rstd);
        if (s.weight) d = v128.mul<T>(d, loadLanes<T>(at<T>(s.weight, c), rest));
        storeLanes<T>(at<T>(dx, c), d, rest);
      }
    } else memory.fill(dx, 0, bytes<T>(s.c));
    x += bytes<T>(s.c);
    dy += bytes<T>(s.c);
    dx += bytes<T>(s.c);
  }
}

// @ts-ignore: decorator
@inline
function add<T>(p: usize, value: f64): void {
  store<T>(p, <T>(<f64>load<T>(p) + value));
}
