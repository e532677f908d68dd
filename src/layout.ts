// Rearranging tensors on the JavaScript side: axes, number types. Nothing here computes.

import { floatDtype } from "../bindings/kernels.js";
import { checkTensor, dtypeOf, sizeOf, zeros, type Dtype, type Tensor } from "../bindings/tensor.js";

/** A copy with its axes in another order (NumPy's transpose): axis i of the result is axis `axes[i]` of x; 2 or 3 axes. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const shape = axes.map((axis) => x.shape[axis]!);
  const strides = axes.map((axis) => x.shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const [a, b, c] = shape.length === 2 ? [1, ...shape] : shape;
  const [sa, sb, sc] = strides.length === 2 ? [0, ...strides] : strides;
  const from = x.data;
  const data = zeros(dtypeOf(from), from.length);
  let next = 0;
  for (let i = 0; i < a!; i++) {
    for (let j = 0; j < b!; j++) {
      let at = i * sa! + j * sb!;
      for (let k = 0; k < c!; k++, at += sc!) data[next++] = from[at]!;
    }
  }
  return { data, shape };
}

/** The same numbers in another shape. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  return { data: x.data, shape };
}

/**
 * A copy in `dtype`, held against a shape; f64 and f32 convert.
 *
 * @throws DtypeError, ShapeError naming `argument`
 */
export function convert(argument: string, x: Tensor, dtype: Dtype, pattern: readonly (number | string)[]): Tensor {
  checkTensor(argument, x, floatDtype(argument, x), pattern);
  const data = zeros(dtype, x.data.length);
  data.set(x.data);
  return { data, shape: [...x.shape] };
}

/** The first `count` of the first axis: the same memory. */
export function first(x: Tensor, count: number): Tensor {
  const shape = [count, ...x.shape.slice(1)];
  return { data: x.data.subarray(0, sizeOf(shape)), shape };
}
