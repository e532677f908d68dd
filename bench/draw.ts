// Random inputs, the same in every run of a script.

import { Random, tensor, type FloatDtype, type Tensor } from "../dist/index.js";

const random = new Random(1);

/** Numbers from U(-1, 1). */
export function draw(dtype: FloatDtype, ...shape: number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return tensor(
    Array.from({ length: size }, () => 2 * random.uniform() - 1),
    shape,
    dtype,
  );
}

/** An integer from 0 to n - 1. */
export function drawIndex(n: number): number {
  return Math.floor(random.uniform() * n);
}
