// Pooling over time: of each channel, the largest number or the mean of windows of `taps` steps,
//
//   y[t,c] = max or mean of x[t stride - left + k, c], k = 0 ... taps - 1
//
// Steps before and past a sequence are left out of a maximum, and are zeros in a mean. A gradient of a maximum goes to the
// first of the largest numbers, of a mean to each of its steps:
//
//   dx[t stride - left + k, c] += dy[t,c] where x is the maximum, or dy[t,c] / divisor
//
// Each output is taken from its first step to its last, so its bits depend on its window alone. Means over steps of a sequence are
// summed as those of ../graph/reduce.ts are: by four partial sums, of steps k, k + 4, k + 8 ..., added as (0 + 2) + (1 + 3).

import { at, bytes, lanes, loadLanes, storeLanes } from "../simd";

/** Arguments of the kernels. Strides are in numbers. */
@unmanaged
export class Pool {
  /** Rows, channels; the most steps of a sequence, the most outputs. */
  n: i32;
  c: i32;
  t: i32;
  outputs: i32;
  /** [N] i32: steps and outputs of each row. Each window has at least one of the steps. */
  lengths: usize;
  counts: usize;
  taps: i32;
  stride: i32;
  left: i32;
  /** Means: whether the divisor is `taps`, or else the number of steps of the sequence in the window. */
  padded: i32;
  /** Input, or its gradient; steps and rows apart as given. */
  x: usize;
  xStep: i32;
  xRow: i32;
  /** Output, or its gradient. */
  y: usize;
  yStep: i32;
  yRow: i32;
  /** Maxima: where in its window each is, a whole number as wide as T, in the layout of y; may be 0 in the forward pass. */
  where: usize;
}

/** A whole number in every lane, as many bits wide as T. */
// @ts-ignore: decorator
@inline
function splatIndex<T>(i: i32): v128 {
  return sizeof<T>() == 8 ? i64x2.splat(i) : i32x4.splat(i);
}

// @ts-ignore: decorator
@inline
function sameIndex<T>(a: v128, b: v128): v128 {
  return sizeof<T>() == 8 ? i64x2.eq(a, b) : i32x4.eq(a, b);
}

/** y = the largest numbers, zeros past a row's outputs; NaN where a window has one. */
export function maxPool<T>(s: Pool): void {
  for (let row = 0; row < s.n; row++) {
    const length = load<i32>(s.lengths + 4 * <usize>row);
    const count = load<i32>(s.counts + 4 * <usize>row);
    const x = s.x + <usize>row * bytes<T>(s.xRow);
    for (let i = 0; i < s.outputs; i++) {
      const offset = <usize>row * bytes<T>(s.yRow) + <usize>i * bytes<T>(s.yStep);
      const y = s.y + offset;
      if (i >= count) {
        memory.fill(y, 0, bytes<T>(s.c));
        continue;
      }
      const start = i * s.stride - s.left;
      const first = max(start, 0);
      const end = min(start + s.taps, length);
      for (let c = 0; c < s.c; c += lanes<T>()) {
        const rest = s.c - c;
        let from = at<T>(x + <usize>first * bytes<T>(s.xStep), c);
        let largest = loadLanes<T>(from, rest);
        let found = splatIndex<T>(first - start);
        for (let t = first + 1; t < end; t++) {
          from += bytes<T>(s.xStep);
          const v = loadLanes<T>(from, rest);
          const larger = v128.or(v128.gt<T>(v, largest), v128.ne<T>(v, v));
          largest = v128.bitselect(v, largest, larger);
          found = v128.bitselect(splatIndex<T>(t - start), found, larger);
        }
        storeLanes<T>(at<T>(y, c), largest, rest);
        if (s.where) storeLanes<T>(at<T>(s.where + offset, c), found, rest);
      }
    }
  }
}

/** dx (x of the record) = the gradient, from dy (y). */
export function maxPoolBackward<T>(s: Pool): void {
  for (let row = 0; row < s.n; row++) {
    const length = load<i32>(s.lengths + 4 * <usize>row);
    const count = load<i32>(s.counts + 4 * <usize>row);
    const dx = s.x + <usize>row * bytes<T>(s.xRow);
    clear<T>(s, dx);
    for (let i = 0; i < count; i++) {
      const offset = <usize>row * bytes<T>(s.yRow) + <usize>i * bytes<T>(s.yStep);
      const start = i * s.stride - s.left;
      const end = min(start + s.taps, length);
      for (let t = max(start, 0); t < end; t++) {
        const to = dx + <usize>t * bytes<T>(s.xStep);
        const tap = splatIndex<T>(t - start);
        for (let c = 0; c < s.c; c += lanes<T>()) {
          const rest = s.c - c;
          const chosen = sameIndex<T>(loadLanes<T>(at<T>(s.where + offset, c), rest), tap);
          const d = v128.and(loadLanes<T>(at<T>(s.y + offset, c), rest), chosen);
          storeLanes<T>(at<T>(to, c), v128.add<T>(loadLanes<T>(at<T>(to, c), rest), d), rest);
        }
      }
    }
  }
}

/** The sums of `rest` columns over n steps. */
// @ts-ignore: decorator
@inline
function partialSums<T>(from: usize, step: usize, n: i32, rest: i32): v128 {
  let v0 = v128.splat<T>(0);
  let v1 = v0;
  let v2 = v0;
  let v3 = v0;
  for (let t = 0; t < n; t += 4) {
    v0 = v128.add<T>(v0, loadLanes<T>(from, rest));
    if (t + 1 < n) v1 = v128.add<T>(v1, loadLanes<T>(from + step, rest));
    if (t + 2 < n) v2 = v128.add<T>(v2, loadLanes<T>(from + 2 * step, rest));
    if (t + 3 < n) v3 = v128.add<T>(v3, loadLanes<T>(from + 3 * step, rest));
    from += 4 * step;
  }
  return v128.add<T>(v128.add<T>(v0, v2), v128.add<T>(v1, v3));
}

/** y = the means, zeros past a row's outputs. */
export function meanPool<T>(s: Pool): void {
  for (let row = 0; row < s.n; row++) {
    const length = load<i32>(s.lengths + 4 * <usize>row);
    const count = load<i32>(s.counts + 4 * <usize>row);
    const x = s.x + <usize>row * bytes<T>(s.xRow);
    let y = s.y + <usize>row * bytes<T>(s.yRow);
    for (let i = 0; i < s.outputs; i++) {
      if (i >= count) {
        memory.fill(y, 0, bytes<T>(s.c));
      } else {
        const start = i * s.stride - s.left;
        const first = max(start, 0);
        const end = min(start + s.taps, length);
        const divisor = v128.splat<T>(<T>(s.padded ? s.taps : end - first));
        for (let c = 0; c < s.c; c += lanes<T>()) {
          const rest = s.c - c;
          let from = at<T>(x + <usize>first * bytes<T>(s.xStep), c);
          let sum = v128.splat<T>(0);
          if (s.padded) {
            for (let t = first; t < end; t++) {
              sum = v128.add<T>(sum, loadLanes<T>(from, rest));
              from += bytes<T>(s.xStep);
            }
          } else sum = partialSums<T>(from, bytes<T>(s.xStep), end - first, rest);
          storeLanes<T>(at<T>(y, c), v128.div<T>(sum, divisor), rest);
        }
      }
      y += bytes<T>(s.yStep);
    }
  }
}

/** dx (x of the record) = the gradient, from dy (y). */
export function meanPoolBackward<T>(s: Pool): void {
  for (let row = 0; row < s.n; row++) {
    const length = load<i32>(s.lengths + 4 * <usize>row);
    const count = load<i32>(s.counts + 4 * <usize>row);
    const dx = s.x + <usize>row * bytes<T>(s.xRow);
    clear<T>(s, dx);
    let dy = s.y + <usize>row * bytes<T>(s.yRow);
    for (let i = 0; i < count; i++) {
      const start = i * s.stride - s.left;
      const first = max(start, 0);
      const end = min(start + s.taps, length);
      const divisor = v128.splat<T>(<T>(s.padded ? s.taps : end - first));
      for (let t = first; t < end; t++) {
        const to = dx + <usize>t * bytes<T>(s.xStep);
        for (let c = 0; c < s.c; c += lanes<T>()) {
          const rest = s.c - c;
          const d = v128.div<T>(loadLanes<T>(at<T>(dy, c), rest), divisor);
          storeLanes<T>(at<T>(to, c), v128.add<T>(loadLanes<T>(at<T>(to, c), rest), d), rest);
        }
      }
      dy += bytes<T>(s.yStep);
    }
  }
}

/** Zeros in all steps of a row. */
function clear<T>(s: Pool, row: usize): void {
  for (let t = 0; t < s.t; t++) {
    memory.fill(row, 0, bytes<T>(s.c));
    row += bytes<T>(s.xStep);
  }
}
