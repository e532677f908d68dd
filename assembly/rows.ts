// Rows of a matrix by index, there and back: embeddings (what a product with one-hot vectors gives, without the product),
// packed sequences, and the halves of bidirectional outputs.
//
// index [count] i32, or 0: row i is row i. Rows are `stride` numbers apart. Indices are checked by the caller.

import { add } from "./elementwise";
import { bytes } from "./simd";

/** to [count,width] = the rows from[index]; zeros where an index is negative. */
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

/** to[index] += from [count,width], in the order of the indices; an index of `skip` adds nothing. */
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
