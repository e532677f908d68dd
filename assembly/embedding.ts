// Rows of a table by index: what a product with one-hot vectors gives, without the product.
//
// indices [count] (i32, checked by the caller: 0 <= index < rows of weight), weight [rows,D]

import { add } from "./elementwise";
import { bytes } from "./simd";

/** out [count,D] = weight[indices]. */
export function embeddingForward<T>(count: i32, d: i32, indices: usize, weight: usize, out: usize): void {
  for (let i = 0; i < count; i++) {
    memory.copy(out, weight + <usize>load<i32>(indices) * bytes<T>(d), bytes<T>(d));
    indices += 4;
    out += bytes<T>(d);
  }
}

/** dWeight[indices] += dOut [count,D], in the order of the indices; rows of `paddingIdx` (-1: none) are left alone. */
export function embeddingBackward<T>(
  count: i32,
  d: i32,
  indices: usize,
  dOut: usize,
  dWeight: usize,
  paddingIdx: i32,
): void {
  for (let i = 0; i < count; i++) {
    const index = load<i32>(indices);
    if (index != paddingIdx) {
      const row = dWeight + <usize>index * bytes<T>(d);
      add<T>(d, row, dOut, row);
    }
    indices += 4;
    dOut += bytes<T>(d);
  }
}
