// Sequences row by row: between a strided tensor ([T,N,C] or [N,T,C]) and dense rows [N,steps,C] with zeros around each sequence.

import { at, bytes } from "../simd";

/** Arguments of `toRows` and `fromRows`. Strides are in numbers. */
@unmanaged
export class StepsOfRows {
  /** Rows; numbers of a step. */
  n: i32;
  c: i32;
  /** [N] i32: the steps of each sequence, at most t. */
  lengths: usize;
  /** The strided tensor, its steps, and how far apart its steps and rows are. */
  tensor: usize;
  t: i32;
  stepStride: i32;
  rowStride: i32;
  /** Dense rows [N,steps,C]; a sequence starts at step `left`. left + t <= steps, but for steps that are not copied. */
  rows: usize;
  steps: i32;
  left: i32;
}

/** rows = the sequences of the tensor, and zeros before and after each. A part of a sequence past the last step is left out. */
export function toRows<T>(s: StepsOfRows): void {
  const width = bytes<T>(s.c);
  let out = s.rows;
  for (let row = 0; row < s.n; row++) {
    const length = min(load<i32>(s.lengths + 4 * <usize>row), s.steps - s.left);
    let from = s.tensor + <usize>row * bytes<T>(s.rowStride);
    memory.fill(out, 0, <usize>s.left * width);
    let to = out + <usize>s.left * width;
    for (let i = 0; i < length; i++) {
      memory.copy(to, from, width);
      from += bytes<T>(s.stepStride);
      to += width;
    }
    out += <usize>s.steps * width;
    memory.fill(to, 0, out - to);
  }
}

/** The tensor = the sequences of the rows, and zeros past the end of each, and where a sequence is longer than its row. */
export function fromRows<T>(s: StepsOfRows): void {
  const width = bytes<T>(s.c);
  for (let row = 0; row < s.n; row++) {
    const length = min(load<i32>(s.lengths + 4 * <usize>row), s.steps - s.left);
    let from = s.rows + <usize>row * <usize>s.steps * width + <usize>s.left * width;
    let to = s.tensor + <usize>row * bytes<T>(s.rowStride);
    for (let i = 0; i < s.t; i++) {
      if (i < length) memory.copy(to, from, width);
      else memory.fill(to, 0, width);
      from += width;
      to += bytes<T>(s.stepStride);
    }
  }
}
