// The input of the recurrent product, and layer normalisation of both products on their way to the gates.

import { add, mul } from "../elementwise";
import { layerNormBackward, layerNormForward } from "../layernorm";
import { at, bytes, matrixBytes } from "../simd";
import { hBefore, rowsAt, Sequence } from "./sequence";

/** mask h, for m rows of one step: written to `scratch` [m,P], or h itself where there is no mask. */
export function masked<T>(s: Sequence, m: i32, h: usize, scratch: usize): usize {
  if (!s.mask) return h;
  mul<T>(m * s.p, h, s.mask, scratch);
  return scratch;
}

/** Bytes of `out` for `writeRecurrentInputs`. */
export function recurrentInputsBytes<T>(s: Sequence): u64 {
  return s.batchSizes || s.mask ? matrixBytes<T>(s.rows, s.p) : 0;
}

/** mask h_(t-1) of all steps, [rows,P]: in `out`, or the first rows of hs where those are the same. */
export function recurrentInputs(s: Sequence, out: usize): usize {
  return s.batchSizes || s.mask ? out : s.hs;
}

/** Writes what `recurrentInputs` has in `out`. */
export function writeRecurrentInputs<T>(s: Sequence, out: usize): void {
  if (!s.batchSizes && !s.mask) return;
  let row = 0;
  for (let i = 0; i < s.t; i++) {
    const m = rowsAt(s, i);
    const h = hBefore<T>(s, i, row);
    const to = at<T>(out, row * s.p);
    if (s.mask) mul<T>(m * s.p, h, s.mask, to);
    else memory.copy(to, h, bytes<T>(m * s.p));
    row += m;
  }
}

/** Added to a variance before its square root is taken. */
// @ts-ignore: decorator
@inline
function epsilon<T>(): T {
  return <T>1e-5;
}

/**
 * to [m,count] = gain LN(product) + bias, each row normalised on its own.
 *
 *   product   in: [m,count], rows `stride` numbers apart
 *   gain      in: [count]
 *   bias      in: [count], or 0 for none
 *   to        out: rows toStride numbers apart
 *   moments   out: [m] means here, and [m] 1 / standard deviations `rows` numbers further
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
): void {
  const rstd = at<T>(moments, rows);
  layerNormForward<T>(m, count, product, stride, gain, bias, epsilon<T>(), to, toStride, moments, rstd);
}

/** to [m,count] += gain LN(product); scratch: [m,count]. The rest as of `normalise`. */
export function addNormalised<T>(
  m: i32,
  count: i32,
  product: usize,
  stride: i32,
  gain: usize,
  to: usize,
  toStride: i32,
  moments: usize,
  rows: i32,
  scratch: usize,
): void {
  normalise<T>(m, count, product, stride, gain, 0, scratch, count, moments, rows);
  for (let i = 0; i < m; i++) {
    add<T>(count, to, at<T>(scratch, i * count), to);
    to += bytes<T>(toStride);
  }
}

/** The gradient of both: product is replaced by its gradient, dGain += its own. */
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
): void {
  const rstd = at<T>(moments, rows);
  layerNormBackward<T>(m, count, product, stride, moments, rstd, gain, dTo, dToStride, product, stride, dGain, 0);
}
