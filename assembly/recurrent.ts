// What all recurrent layers share: packed weights, the recurrent product's input, the gradients of the weights.
//
// The weights of a layer are packed once, into one block that the cells lay out alike:
//
//   W_ih^T [D,G'] | W_hh^T [P,G'] | b_ih + b_hh [G'] | W_hr^T [H,P] where there is a projection

import { at, bytes, lanes, loadLanes, matrixBytes, storeLanes } from "./simd";
import { gemm, packedBytes, packedSize, packWeight } from "./gemm";
import { add, mul } from "./elementwise";
import { layerNormBackward, layerNormForward } from "./layernorm";
import { rowsAt, rowsBefore, Sequence } from "./sequence";

/** Bytes of weights packed by `packWeights`; g = G' gate columns. */
export function packedWeightsBytes<T>(s: Sequence, g: i32): u64 {
  const projection = s.weightHr ? packedSize<T>(s.h, s.p) : 0;
  return packedSize<T>(s.d, g) + packedSize<T>(s.p, g) + <u64>biasBytes<T>(g) + projection;
}

// @ts-ignore: decorator
@inline
function biasBytes<T>(g: i32): usize {
  return (bytes<T>(g) + 31) & ~31;
}

/** Packs the weights of a layer; b_ih + b_hh is zeros where there are no biases. */
export function packWeights<T>(s: Sequence, g: i32, packed: usize): void {
  packWeight<T>(s.d, g, s.weightIh, 1, s.d, packed);
  packWeight<T>(s.p, g, s.weightHh, 1, s.p, packedHh<T>(s, g, packed));
  sumBiases<T>(g, s.biasIh, s.biasHh, packedBias<T>(s, g, packed));
  if (s.weightHr) packWeight<T>(s.h, s.p, s.weightHr, 1, s.h, packedHr<T>(s, g, packed));
}

// @ts-ignore: decorator
@inline
export function packedHh<T>(s: Sequence, g: i32, packed: usize): usize {
  return packed + packedBytes<T>(s.d, g);
}

// @ts-ignore: decorator
@inline
export function packedBias<T>(s: Sequence, g: i32, packed: usize): usize {
  return packedHh<T>(s, g, packed) + packedBytes<T>(s.p, g);
}

// @ts-ignore: decorator
@inline
export function packedHr<T>(s: Sequence, g: i32, packed: usize): usize {
  return packedBias<T>(s, g, packed) + biasBytes<T>(g);
}

/** out [n] = biasIh + biasHh, or zeros where there are none (both 0). */
export function sumBiases<T>(n: i32, biasIh: usize, biasHh: usize, out: usize): void {
  if (biasIh) add<T>(n, biasIh, biasHh, out);
  else memory.fill(out, 0, bytes<T>(n));
}

/** What the recurrent product takes at one step of m rows: h, or h times the mask, which goes to `scratch`. */
// @ts-ignore: decorator
@inline
export function masked<T>(s: Sequence, m: i32, h: usize, scratch: usize): usize {
  if (!s.mask) return h;
  mul<T>(m * s.p, h, s.mask, scratch);
  return scratch;
}

/** Bytes of `out` for `recurrentInputs`. */
export function recurrentInputsBytes<T>(s: Sequence): u64 {
  return s.counts || s.mask ? matrixBytes<T>(s.rows, s.p) : 0;
}

/** [rows,P], what the recurrent product took at every step: the first rows of hs, or `out`. */
export function recurrentInputs<T>(s: Sequence, out: usize): usize {
  if (!s.counts && !s.mask) return s.hs;
  let h = s.hs;
  let to = out;
  for (let i = 0; i < s.t; i++) {
    const size = rowsAt(s, i) * s.p;
    if (s.mask) mul<T>(size, h, s.mask, to);
    else memory.copy(to, h, bytes<T>(size));
    h += bytes<T>(rowsBefore(s, i)) * <usize>s.p;
    to += bytes<T>(size);
  }
  return out;
}

/**
 * dW [columns,width] += dGates^T other, db += column sums of dGates.
 *
 *   dGates   in: [rows,columns], rows `stride` numbers apart
 *   other    in: [rows,width]
 */
export function addWeightGradient<T>(
  rows: i32,
  columns: i32,
  width: i32,
  dGates: usize,
  stride: i32,
  other: usize,
  dWeight: usize,
): void {
  gemm<T>(columns, width, rows, dGates, 1, stride, other, width, 1, dWeight, width, dWeight, width);
}

/** sums [columns] += the sums of m [rows,columns] over its rows, from first to last; rows `stride` numbers apart. */
export function addColumnSums<T>(rows: i32, columns: i32, m: usize, stride: i32, sums: usize): void {
  for (let j = 0; j < columns; j += lanes<T>()) {
    let p = at<T>(m, j);
    let sum = loadLanes<T>(at<T>(sums, j), columns - j);
    for (let i = 0; i < rows; i++) {
      sum = v128.add<T>(sum, loadLanes<T>(p, columns - j));
      p += bytes<T>(stride);
    }
    storeLanes<T>(at<T>(sums, j), sum, columns - j);
  }
}

/** What is added to a variance before its root is taken. */
// @ts-ignore: decorator
@inline
function epsilon<T>(): T {
  return <T>1e-5;
}

/**
 * Layer normalisation of a product of m rows, columns first..first + count of `stride`, on its way to the gates:
 *
 *   to [m,count] = (accumulate ? to : 0) + gain LN(product) + bias
 *
 *   moments   out: the moments of these rows, means here and 1 / standard deviations `rows` numbers further
 *   scratch   [m,count], where it accumulates
 */
export function normalise<T>(
  m: i32,
  count: i32,
  product: usize,
  stride: i32,
  gain: usize,
  bias: usize,
  to: usize,
  toStride: i32,
  moments: usize,
  rows: i32,
  accumulate: bool,
  scratch: usize,
): void {
  const rstd = at<T>(moments, rows);
  if (!accumulate) {
    layerNormForward<T>(m, count, product, stride, gain, bias, epsilon<T>(), to, toStride, moments, rstd);
    return;
  }
  layerNormForward<T>(m, count, product, stride, gain, bias, epsilon<T>(), scratch, count, moments, rstd);
  for (let i = 0; i < m; i++) {
    add<T>(count, to, at<T>(scratch, i * count), to);
    to += bytes<T>(toStride);
  }
}

/** The gradient of `normalise`: product becomes its own; dGain (or 0) is added to. */
export function normaliseBackward<T>(
  m: i32,
  count: i32,
  product: usize,
  stride: i32,
  gain: usize,
  dTo: usize,
  dToStride: i32,
  moments: usize,
  rows: i32,
  dGain: usize,
  dBias: usize,
): void {
  const rstd = at<T>(moments, rows);
  layerNormBackward<T>(m, count, product, stride, moments, rstd, gain, dTo, dToStride, product, stride, dGain, dBias);
}

/**
 * The gradients that all steps give at once, from dGates [rows,g] of RNN and LSTM: dx, dW_ih, dW_hh and the biases'.
 *
 *   hs                     in: [rows,P], what the recurrent product took
 *   dProducts, dRecurrent  in: [rows,g], gradients of what W_ih and W_hh gave: dGates, but for layer normalisation
 */
export function gatesBackward<T>(
  s: Sequence,
  g: i32,
  dGates: usize,
  hs: usize,
  dProducts: usize,
  dRecurrent: usize,
): void {
  if (s.dx) gemm<T>(s.rows, s.d, g, dProducts, g, 1, s.weightIh, s.d, 1, 0, 0, s.dx, s.d);
  addWeightGradient<T>(s.rows, g, s.d, dProducts, g, s.x, s.dWeightIh);
  addWeightGradient<T>(s.rows, g, s.p, dRecurrent, g, hs, s.dWeightHh);
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasIh);
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasHh);
  }
}
