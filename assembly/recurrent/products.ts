// The input of the recurrent product, and the layer normalisation of products on their way to the gates.

import { add, mul } from "../elementwise";
import { layerNormBackward, layerNormForward } from "../layernorm";
import { at, bytes, matrixBytes } from "../simd";
import { rowsAt, rowsBefore, Sequence } from "./sequence";

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
