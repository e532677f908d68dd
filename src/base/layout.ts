// Tensors rearranged on the JavaScript side: axes and number types. No arithmetic.

import { floatDtype } from "../../bindings/kernels.js";
import { checkKind, dtypeOf, readTensor, sizeOf, zeros, type Dtype, type Tensor } from "../../bindings/tensor.js";

/**
 * A copy with its axes in another order (NumPy's transpose): axis i of the result is axis `axes[i]` of x; 2 or 3 axes.
 *
 * @param part copies only `length` numbers of the last axis of x, from `start`
 */
export function permute<D extends Dtype>(
  x: Tensor<D>,
  axes: readonly number[],
  part?: { start: number; length: number },
): Tensor<D> {
  const last = x.shape.length - 1;
  const extent = (axis: number) => (axis === last && part ? part.length : x.shape[axis]!);
  const stride = (axis: number) => (axis === last ? 1 : axis === last - 1 ? x.shape[last]! : x.shape[1]! * x.shape[2]!);
  const shape = axes.map(extent);
  const [a, b, c] = last === 1 ? [1, ...shape] : shape;
  const [sa, sb, sc] = last === 1 ? [0, ...axes.map(stride)] : axes.map(stride);
  const from = x.data;
  const data = zeros(dtypeOf<D>(from), sizeOf(shape));
  if (data.length === 0) return { data, shape }; // its axes may still be long
  let next = 0;
  for (let i = 0; i < a!; i++) {
    for (let j = 0; j < b!; j++) {
      let at = i * sa! + j * sb! + (part?.start ?? 0);
      for (let k = 0; k < c!; k++, at += sc!) data[next++] = from[at]!;
    }
  }
  return { data, shape };
}

/** The same numbers in another shape. */
export function reshape<D extends Dtype>(x: Tensor<D>, shape: readonly number[]): Tensor<D> {
  return { data: x.data, shape };
}

/**
 * A copy of a tensor from outside, converted to `dtype`. It must be of f64 or f32, in a shape that fits `pattern`.
 *
 * @throws DtypeError, ShapeError naming `argument`
 */
export function take(argument: string, x: Tensor, dtype: Dtype, pattern: readonly (number | string)[]): Tensor {
  const read = readTensor(argument, x, "a tensor of f64 or f32");
  checkKind(argument, read, floatDtype(argument, read), pattern);
  const { data, shape } = read;
  const numbers = zeros(dtype, sizeOf(shape));
  numbers.set(data);
  return { data: numbers, shape };
}

/** Entry `index` of the first axis, without that axis; the same memory. */
export function select(x: Tensor, index: number): Tensor {
  return reshape(slice(x, index, 1), x.shape.slice(1));
}

/** The part start..start+count-1 of the first axis; the same memory. */
export function slice(x: Tensor, start: number, count: number): Tensor {
  const rest = x.shape.slice(1);
  const size = sizeOf(rest);
  return { data: x.data.subarray(start * size, (start + count) * size), shape: [count, ...rest] };
}
