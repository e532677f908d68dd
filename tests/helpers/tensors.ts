// Tensors for tests: numbers to put in, parts to compare with wholes, and where those of layers live.
import type { Heap } from "../../bindings/heap.js";
import { wasmTensorOf, type WasmTensor } from "../../bindings/memory.js";
import type { FloatDtype, Parameter, Tensor } from "../../src/index.js";

/** The wasm tensor of a parameter's value or gradient. */
export function resident(x: Tensor): WasmTensor<FloatDtype> {
  return wasmTensorOf(x) as WasmTensor<FloatDtype>;
}

/** The heap in which a layer lives. */
export function heapOf(layer: { parameters(): Parameter[] }): Heap {
  return resident(layer.parameters()[0]!.value).arena.core.heap;
}

/** Numbers between -1 and 1 with no pattern, always the same. */
export function wave(shape: readonly number[], dtype: "f64" | "f32", start = 0): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const data = dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
  for (let i = 0; i < size; i++) data[i] = Math.sin(1 + start + 2.7 * i);
  return { data, shape };
}

/** The bytes of a tensor's numbers: the same memory. */
export function bytes({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** The given indices of an axis, in the given order. */
export function take({ data, shape }: Tensor, axis: number, indices: readonly number[]): Tensor {
  const outer = shape.slice(0, axis).reduce((product, n) => product * n, 1);
  const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const out = data.slice(0, outer * indices.length * inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * shape[axis]! + index) * inner;
      out.set(data.subarray(from, from + inner), to);
      to += inner;
    }
  }
  return { data: out, shape: [...shape.slice(0, axis), indices.length, ...shape.slice(axis + 1)] };
}

/** [a, b, c] -> [b, a, c]. */
export function swap(x: Tensor): Tensor {
  const [a, b, c] = x.shape as [number, number, number];
  const data = x.data.slice();
  for (let j = 0; j < b; j++) data.set(take(x, 1, [j]).data, j * a * c);
  return { data, shape: [b, a, c] };
}

/** One after the other along the first axis. */
export function concatenate(first: Tensor, second: Tensor): Tensor {
  const data = new (first.data.constructor as Float64ArrayConstructor)(first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return { data, shape: [first.shape[0]! + second.shape[0]!, ...first.shape.slice(1)] };
}

/** first, first + 1, ..., last - 1. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first }, (_, i) => first + i);
}

/** With a hole. */
export function sparse(numbers: number[], hole: number): number[] {
  // eslint-disable-next-line @typescript-eslint/no-array-delete
  delete numbers[hole];
  return numbers;
}
