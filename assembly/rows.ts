// Gathers and scatters rows of a matrix: embeddings, sequences of different lengths, halves of bidirectional outputs.
//
// index [count] i32, or 0 for 0, 1, 2 ...; the caller has checked it. Rows are `stride` numbers apart.

import { add } from "./elementwise";
import { bytes } from "./simd";

/** to[i] = from[index[i]], rows of `width` numbers; zeros where an index is negative. */
export function gatherRows<T>(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
): void {
  for (let i = 0; i < count; i++) {
    const row = index ? load<i32>(index + 4 * <usize>i) : i;
    if (row < 0) memory.fill(to, 0, bytes<T>(width));
    else memory.copy(to, from + <usize>row * bytes<T>(fromStride), bytes<T>(width));
    to += bytes<T>(toStride);
  }
}

/** to[index[i]] += from[i], rows of `width` numbers, i in ascending order; an index of `skip` adds nothing. */
export function scatterRows<T>(
  count: i32,
  width: i32,
  index: usize,
  from: usize,
  fromStride: i32,
  to: usize,
  toStride: i32,
  skip: i32,
): void {
  for (let i = 0; i < count; i++) {
    const row = index ? load<i32>(index + 4 * <usize>i) : i;
    if (row != skip) {
      const sum = to + <usize>row * bytes<T>(toStride);
      add<T>(width, sum, from, sum);
    }
    from += bytes<T>(fromStride);
  }
}
