// The module's exports, and nothing else: each kernel for f64 and for f32, under its own name with the type behind it.
// Arguments are described at the kernels. Nothing is checked here: bindings/kernels.ts does that.

import * as gemm from "./gemm";
import * as activation from "./activation";
import * as elementwise from "./elementwise";
import * as rnn from "./rnn";
import * as lstm from "./lstm";
import * as gru from "./gru";
import * as linear from "./linear";
import * as rows from "./rows";
import * as layernorm from "./layernorm";
import * as loss from "./loss";
import * as optim from "./optim";
import * as orthonormal from "./orthonormal";
import { Sequence } from "./sequence";
import { madd } from "./simd";
import { log as naturalLog } from "./math";

/** Whether this is the relaxed SIMD build. */
export const RELAXED: bool = ASC_FEATURE_RELAXED_SIMD;

/** Tells what was built from these sources, in either build, from what was built from others (scripts/build.mjs). */
export const BUILD: i32 = isDefined(BUILD_ID) ? BUILD_ID : 0;

/** Where the memory that the host hands out begins: below lie the kernels' own tables and blocks. */
export function heapBase(): usize {
  return __heap_base;
}

/** a * b + c as the kernels compute it: tells a fused multiply-add from an unfused one. */
export function madd_f64(a: f64, b: f64, c: f64): f64 {
  return f64x2.extract_lane(madd<f64>(f64x2.splat(a), f64x2.splat(b), f64x2.splat(c)), 0);
}
export function madd_f32(a: f32, b: f32, c: f32): f32 {
  return f32x4.extract_lane(madd<f32>(f32x4.splat(a), f32x4.splat(b), f32x4.splat(c)), 0);
}

/** Where the host describes the sequence that the next kernel of rnn.ts, lstm.ts or gru.ts is to run over. */
export function sequence(): usize {
  return SEQUENCE;
}
const SEQUENCE: usize = memory.data(512, 16);

/** Natural logarithm, the same bits in both builds. */
export function log(x: f64): f64 {
  return naturalLog(x);
}

export function gemm_f64(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  start: usize,
  startRow: i32,
  c: usize,
  ldc: i32,
): void {
  gemm.gemm<f64>(m, n, k, a, aRow, aColumn, b, bRow, bColumn, start, startRow, c, ldc);
}
export function gemm_f32(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  start: usize,
  startRow: i32,
  c: usize,
  ldc: i32,
): void {
  gemm.gemm<f32>(m, n, k, a, aRow, aColumn, b, bRow, bColumn, start, startRow, c, ldc);
}

export function exp_f64(n: i32, x: usize, y: usize): void {
  activation.exp<f64>(n, x, y);
}
export function exp_f32(n: i32, x: usize, y: usize): void {
  activation.exp<f32>(n, x, y);
}

export function sigmoid_f64(n: i32, x: usize, y: usize): void {
  activation.sigmoid<f64>(n, x, y);
}
export function sigmoid_f32(n: i32, x: usize, y: usize): void {
  activation.sigmoid<f32>(n, x, y);
}

export function activation_f64(kind: i32, n: i32, x: usize, y: usize): void {
  activation.activation<f64>(kind, n, x, y);
}
export function activation_f32(kind: i32, n: i32, x: usize, y: usize): void {
  activation.activation<f32>(kind, n, x, y);
}

export function add_f64(n: i32, a: usize, b: usize, out: usize): void {
  elementwise.add<f64>(n, a, b, out);
}
export function add_f32(n: i32, a: usize, b: usize, out: usize): void {
  elementwise.add<f32>(n, a, b, out);
}

export function mul_f64(n: i32, a: usize, b: usize, out: usize): void {
  elementwise.mul<f64>(n, a, b, out);
}
export function mul_f32(n: i32, a: usize, b: usize, out: usize): void {
  elementwise.mul<f32>(n, a, b, out);
}

export function scale_f64(n: i32, x: usize, factor: f64): void {
  elementwise.scale<f64>(n, x, factor);
}
export function scale_f32(n: i32, x: usize, factor: f32): void {
  elementwise.scale<f32>(n, x, factor);
}

export function clip_f64(n: i32, x: usize, limit: f64): void {
  elementwise.clip<f64>(n, x, limit);
}
export function clip_f32(n: i32, x: usize, limit: f32): void {
  elementwise.clip<f32>(n, x, limit);
}

export function sumSquares_f64(n: i32, x: usize): f64 {
  return elementwise.sumSquares<f64>(n, x);
}
export function sumSquares_f32(n: i32, x: usize): f64 {
  return elementwise.sumSquares<f32>(n, x);
}

export function rnnPackedBytes_f64(s: Sequence): usize {
  return rnn.rnnPackedBytes<f64>(s);
}
export function rnnPackedBytes_f32(s: Sequence): usize {
  return rnn.rnnPackedBytes<f32>(s);
}

export function rnnPack_f64(s: Sequence, packed: usize): void {
  rnn.rnnPack<f64>(s, packed);
}
export function rnnPack_f32(s: Sequence, packed: usize): void {
  rnn.rnnPack<f32>(s, packed);
}

export function rnnWorkspace_f64(s: Sequence, backward: bool): usize {
  return rnn.rnnWorkspace<f64>(s, backward);
}
export function rnnWorkspace_f32(s: Sequence, backward: bool): usize {
  return rnn.rnnWorkspace<f32>(s, backward);
}

export function rnnForward_f64(s: Sequence): void {
  rnn.rnnForward<f64>(s);
}
export function rnnForward_f32(s: Sequence): void {
  rnn.rnnForward<f32>(s);
}

export function rnnBackward_f64(s: Sequence): void {
  rnn.rnnBackward<f64>(s);
}
export function rnnBackward_f32(s: Sequence): void {
  rnn.rnnBackward<f32>(s);
}

export function lstmPackedBytes_f64(s: Sequence): usize {
  return lstm.lstmPackedBytes<f64>(s);
}
export function lstmPackedBytes_f32(s: Sequence): usize {
  return lstm.lstmPackedBytes<f32>(s);
}

export function lstmPack_f64(s: Sequence, packed: usize): void {
  lstm.lstmPack<f64>(s, packed);
}
export function lstmPack_f32(s: Sequence, packed: usize): void {
  lstm.lstmPack<f32>(s, packed);
}

export function lstmWorkspace_f64(s: Sequence, backward: bool): usize {
  return lstm.lstmWorkspace<f64>(s, backward);
}
export function lstmWorkspace_f32(s: Sequence, backward: bool): usize {
  return lstm.lstmWorkspace<f32>(s, backward);
}

export function lstmForward_f64(s: Sequence): void {
  lstm.lstmForward<f64>(s);
}
export function lstmForward_f32(s: Sequence): void {
  lstm.lstmForward<f32>(s);
}

export function lstmBackward_f64(s: Sequence): void {
  lstm.lstmBackward<f64>(s);
}
export function lstmBackward_f32(s: Sequence): void {
  lstm.lstmBackward<f32>(s);
}

export function gruPackedBytes_f64(s: Sequence): usize {
  return gru.gruPackedBytes<f64>(s);
}
export function gruPackedBytes_f32(s: Sequence): usize {
  return gru.gruPackedBytes<f32>(s);
}

export function gruPack_f64(s: Sequence, packed: usize): void {
  gru.gruPack<f64>(s, packed);
}
export function gruPack_f32(s: Sequence, packed: usize): void {
  gru.gruPack<f32>(s, packed);
}

export function gruWorkspace_f64(s: Sequence, backward: bool): usize {
  return gru.gruWorkspace<f64>(s, backward);
}
export function gruWorkspace_f32(s: Sequence, backward: bool): usize {
  return gru.gruWorkspace<f32>(s, backward);
}

export function gruForward_f64(s: Sequence): void {
  gru.gruForward<f64>(s);
}
export function gruForward_f32(s: Sequence): void {
  gru.gruForward<f32>(s);
}

export function gruBackward_f64(s: Sequence): void {
  gru.gruBackward<f64>(s);
}
export function gruBackward_f32(s: Sequence): void {
  gru.gruBackward<f32>(s);
}

export function linearForward_f64(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  bias: usize,
  y: usize,
): void {
  linear.linearForward<f64>(rows, inFeatures, outFeatures, x, weight, bias, y);
}
export function linearForward_f32(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  bias: usize,
  y: usize,
): void {
  linear.linearForward<f32>(rows, inFeatures, outFeatures, x, weight, bias, y);
}

export function linearBackward_f64(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dWeight: usize,
  dBias: usize,
): void {
  linear.linearBackward<f64>(rows, inFeatures, outFeatures, x, weight, dy, dx, dWeight, dBias);
}
export function linearBackward_f32(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dWeight: usize,
  dBias: usize,
): void {
  linear.linearBackward<f32>(rows, inFeatures, outFeatures, x, weight, dy, dx, dWeight, dBias);
}

export function gatherRows_f64(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
): void {
  rows.gatherRows<f64>(count, width, index, from, fromStride, to, toStride);
}
export function gatherRows_f32(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
): void {
  rows.gatherRows<f32>(count, width, index, from, fromStride, to, toStride);
}

export function scatterRows_f64(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
  skip: i32,
): void {
  rows.scatterRows<f64>(count, width, index, from, fromStride, to, toStride, skip);
}
export function scatterRows_f32(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
  skip: i32,
): void {
  rows.scatterRows<f32>(count, width, index, from, fromStride, to, toStride, skip);
}

export function softmax_f64(rows: i32, n: i32, x: usize, y: usize): void {
  loss.softmax<f64>(rows, n, x, y);
}
export function softmax_f32(rows: i32, n: i32, x: usize, y: usize): void {
  loss.softmax<f32>(rows, n, x, y);
}

export function logSoftmax_f64(rows: i32, n: i32, x: usize, y: usize): void {
  loss.logSoftmax<f64>(rows, n, x, y);
}
export function logSoftmax_f32(rows: i32, n: i32, x: usize, y: usize): void {
  loss.logSoftmax<f32>(rows, n, x, y);
}

export function crossEntropy_f64(
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
  return loss.crossEntropy<f64>(
    rows,
    n,
    logits,
    targets,
    probabilities,
    weight,
    sampleWeight,
    ignoreIndex,
    smoothing,
    mean,
    losses,
    dLogits,
  );
}
export function crossEntropy_f32(
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
  return loss.crossEntropy<f32>(
    rows,
    n,
    logits,
    targets,
    probabilities,
    weight,
    sampleWeight,
    ignoreIndex,
    smoothing,
    mean,
    losses,
    dLogits,
  );
}

export function nll_f64(
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
  return loss.nll<f64>(rows, n, x, targets, weight, sampleWeight, ignoreIndex, mean, losses, dX);
}
export function nll_f32(
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
  return loss.nll<f32>(rows, n, x, targets, weight, sampleWeight, ignoreIndex, mean, losses, dX);
}

export function elementwiseLoss_f64(
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
  return loss.elementwiseLoss<f64>(
    kind,
    n,
    inner,
    prediction,
    target,
    beta,
    weight,
    posWeight,
    sampleWeight,
    mean,
    losses,
    dPrediction,
  );
}
export function elementwiseLoss_f32(
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
  return loss.elementwiseLoss<f32>(
    kind,
    n,
    inner,
    prediction,
    target,
    beta,
    weight,
    posWeight,
    sampleWeight,
    mean,
    losses,
    dPrediction,
  );
}

export function layerNormForward_f64(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  weight: usize,
  bias: usize,
  eps: f64,
  y: usize,
  strideY: i32,
  mean: usize,
  rstd: usize,
): void {
  layernorm.layerNormForward<f64>(rows, n, x, strideX, weight, bias, eps, y, strideY, mean, rstd);
}
export function layerNormForward_f32(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  weight: usize,
  bias: usize,
  eps: f32,
  y: usize,
  strideY: i32,
  mean: usize,
  rstd: usize,
): void {
  layernorm.layerNormForward<f32>(rows, n, x, strideX, weight, bias, eps, y, strideY, mean, rstd);
}

export function layerNormBackward_f64(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  mean: usize,
  rstd: usize,
  weight: usize,
  dy: usize,
  strideDy: i32,
  dx: usize,
  strideDx: i32,
  dWeight: usize,
  dBias: usize,
): void {
  layernorm.layerNormBackward<f64>(rows, n, x, strideX, mean, rstd, weight, dy, strideDy, dx, strideDx, dWeight, dBias);
}
export function layerNormBackward_f32(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  mean: usize,
  rstd: usize,
  weight: usize,
  dy: usize,
  strideDy: i32,
  dx: usize,
  strideDx: i32,
  dWeight: usize,
  dBias: usize,
): void {
  layernorm.layerNormBackward<f32>(rows, n, x, strideX, mean, rstd, weight, dy, strideDy, dx, strideDx, dWeight, dBias);
}

export function sgd_f64(
  n: i32,
  p: usize,
  g: usize,
  buffer: usize,
  lr: f64,
  direction: f64,
  weightDecay: f64,
  momentum: f64,
  keep: f64,
  nesterov: bool,
): void {
  optim.sgd<f64>(n, p, g, buffer, lr, direction, weightDecay, momentum, keep, nesterov);
}
export function sgd_f32(
  n: i32,
  p: usize,
  g: usize,
  buffer: usize,
  lr: f32,
  direction: f32,
  weightDecay: f32,
  momentum: f32,
  keep: f32,
  nesterov: bool,
): void {
  optim.sgd<f32>(n, p, g, buffer, lr, direction, weightDecay, momentum, keep, nesterov);
}

export function adam_f64(
  n: i32,
  p: usize,
  g: usize,
  expAvg: usize,
  expAvgSq: usize,
  maxExpAvgSq: usize,
  stepSize: f64,
  beta1: f64,
  oneMinusBeta1: f64,
  beta2: f64,
  oneMinusBeta2: f64,
  correction2: f64,
  eps: f64,
  direction: f64,
  weightDecay: f64,
  keep: f64,
): void {
  optim.adam<f64>(
    n,
    p,
    g,
    expAvg,
    expAvgSq,
    maxExpAvgSq,
    stepSize,
    beta1,
    oneMinusBeta1,
    beta2,
    oneMinusBeta2,
    correction2,
    eps,
    direction,
    weightDecay,
    keep,
  );
}
export function adam_f32(
  n: i32,
  p: usize,
  g: usize,
  expAvg: usize,
  expAvgSq: usize,
  maxExpAvgSq: usize,
  stepSize: f32,
  beta1: f32,
  oneMinusBeta1: f32,
  beta2: f32,
  oneMinusBeta2: f32,
  correction2: f32,
  eps: f32,
  direction: f32,
  weightDecay: f32,
  keep: f32,
): void {
  optim.adam<f32>(
    n,
    p,
    g,
    expAvg,
    expAvgSq,
    maxExpAvgSq,
    stepSize,
    beta1,
    oneMinusBeta1,
    beta2,
    oneMinusBeta2,
    correction2,
    eps,
    direction,
    weightDecay,
    keep,
  );
}

export function rmsprop_f64(
  n: i32,
  p: usize,
  g: usize,
  squareAvg: usize,
  gradAvg: usize,
  buffer: usize,
  lr: f64,
  alpha: f64,
  oneMinusAlpha: f64,
  eps: f64,
  direction: f64,
  weightDecay: f64,
  momentum: f64,
): void {
  optim.rmsprop<f64>(
    n,
    p,
    g,
    squareAvg,
    gradAvg,
    buffer,
    lr,
    alpha,
    oneMinusAlpha,
    eps,
    direction,
    weightDecay,
    momentum,
  );
}
export function rmsprop_f32(
  n: i32,
  p: usize,
  g: usize,
  squareAvg: usize,
  gradAvg: usize,
  buffer: usize,
  lr: f32,
  alpha: f32,
  oneMinusAlpha: f32,
  eps: f32,
  direction: f32,
  weightDecay: f32,
  momentum: f32,
): void {
  optim.rmsprop<f32>(
    n,
    p,
    g,
    squareAvg,
    gradAvg,
    buffer,
    lr,
    alpha,
    oneMinusAlpha,
    eps,
    direction,
    weightDecay,
    momentum,
  );
}

export function adagrad_f64(
  n: i32,
  p: usize,
  g: usize,
  sum: usize,
  stepSize: f64,
  eps: f64,
  direction: f64,
  weightDecay: f64,
): void {
  optim.adagrad<f64>(n, p, g, sum, stepSize, eps, direction, weightDecay);
}
export function adagrad_f32(
  n: i32,
  p: usize,
  g: usize,
  sum: usize,
  stepSize: f32,
  eps: f32,
  direction: f32,
  weightDecay: f32,
): void {
  optim.adagrad<f32>(n, p, g, sum, stepSize, eps, direction, weightDecay);
}

/** For f64 alone: initial values of f32 are those of f64, rounded. */
export function project_f64(count: i32, n: i32, vectors: usize, pairs: usize): void {
  orthonormal.project(count, n, vectors, pairs);
}
