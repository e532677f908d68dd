// One typed function per kernel: checks shapes, allocates results, calls. The recurrent kernels are in recurrent.ts, the losses in
// loss.ts, parameter updates in optim.ts, those that run frame by frame in frames.ts; the mathematics is in assembly/.
//
// Arguments may be anywhere (`Arena.upload` copies them into wasm memory where needed); results belong to the arena.

import { backwardKernels } from "./backward-module.js";
import { DtypeError, ShapeError, ValueError } from "./errors.js";
import {
  BYTES,
  describe,
  dtypeOf,
  showShape,
  sizeOf,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "./tensor.js";
import type { Arena, WasmTensor } from "./memory.js";
import type { Kernels } from "./instantiate.js";

/** A tensor of f64 or f32 numbers in wasm memory. */
export type FloatTensor = WasmTensor<FloatDtype>;

/** The kernels of a number type in the arena's core. */
export function kernelsOf(arena: Arena, dtype: FloatDtype): Kernels {
  return arena.core.kernels[dtype];
}

/** The address of an optional tensor: 0 for none. */
export function pointer(tensor: WasmTensor | undefined): number {
  return tensor === undefined ? 0 : tensor.pointer;
}

/** The type of a tensor from outside that must hold floating-point numbers. */
export function floatDtype(argument: string, value: Tensor): FloatDtype {
  const dtype = dtypeOf((value as Tensor | null | undefined)?.data);
  if (dtype === "f64" || dtype === "f32") return dtype;
  throw new DtypeError(argument, dtype ?? describe(value), "a tensor of f64 or f32");
}

/** Checks that 0 <= index < count (or index == allowed) of every index. */
export function checkIndices(argument: string, data: TensorData, count: number, allowed?: number): void {
  for (let i = 0; i < data.length; i++) {
    const index = data[i]!;
    if ((index < 0 || index >= count) && index !== allowed) {
      throw new ValueError(argument, `${index} at position ${i}`, `indices from 0 to ${count - 1}`);
    }
  }
}

/** All axes but the last. */
export function leading(shape: readonly number[]): number[] {
  return shape.slice(0, -1);
}

/** Draws of U(-bound, bound). `words`: the state of the generator, of 4 integers, which advances. */
export function uniform(y: FloatTensor, bound: number, words: Uint32Array): void {
  const { record, heap, kernels } = y.arena.core;
  const state = new Uint32Array(heap.view("i32").buffer, record, words.length);
  state.set(words);
  kernels.f64.uniform(sizeOf(y.shape), record, bound, y.pointer, BYTES[y.dtype]);
  words.set(state);
}

/** y [..., out] = x [..., in] W^T + b. */
export function linearForward(
  arena: Arena,
  dtype: FloatDtype,
  args: { x: Tensor; weight: Tensor; bias?: Tensor | undefined },
): FloatTensor {
  const weight = arena.upload("weight", args.weight, dtype, ["out", "in"]);
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  if (inFeatures === 0) throw new ShapeError("weight", showShape(weight.shape), "at least one input feature");
  const bias = args.bias && arena.upload("bias", args.bias, dtype, [outFeatures]);
  const x = arena.upload("x", args.x, dtype, ["...", inFeatures]);
  const y = arena.allocate("y", dtype, [...leading(x.shape), outFeatures]);
  const rows = sizeOf(leading(x.shape));
  // prettier-ignore
  kernelsOf(arena, dtype).linearForward(rows, inFeatures, outFeatures, x.pointer, weight.pointer, pointer(bias), y.pointer);
  return y;
}

/** dx [..., in] from dy [..., out]; dWeight and dBias are added to. */
export function linearBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: { x: FloatTensor; weight: FloatTensor; dy: Tensor; dWeight: FloatTensor; dBias?: FloatTensor | undefined },
): FloatTensor {
  const { x, weight, dWeight, dBias } = args;
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const dy = arena.copy("output", args.dy, dtype, [...leading(x.shape), outFeatures]); // may be dWeight itself
  const dx = arena.allocate("dx", dtype, x.shape);
  // prettier-ignore
  backwardKernels(arena, dtype).linearBackward(sizeOf(leading(x.shape)), inFeatures, outFeatures, x.pointer, weight.pointer,
    dy.pointer, dx.pointer, dWeight.pointer, pointer(dBias));
  return dx;
}

/** A copy of indices [...] (i32) into a table of `count` rows. */
export function uploadIndices(arena: Arena, argument: string, indices: Tensor, count: number): WasmTensor<"i32"> {
  const copy = arena.copy(argument, indices, "i32", ["..."]);
  checkIndices(argument, copy.data, count);
  return copy;
}

/** weight [count,D] at indices [...] (of `uploadIndices`): [..., D]. */
export function embeddingForward(
  arena: Arena,
  dtype: FloatDtype,
  { indices, weight }: { indices: WasmTensor<"i32">; weight: FloatTensor },
): FloatTensor {
  const d = weight.shape[1]!;
  const output = arena.allocate("output", dtype, [...indices.shape, d]);
  const rows = sizeOf(indices.shape);
  kernelsOf(arena, dtype).gatherRows(rows, d, indices.pointer, weight.pointer, d, output.pointer, d);
  return output;
}

/** dWeight[indices] += dOutput [..., D]; rows of paddingIdx (-1: none) get nothing. */
export function embeddingBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: { indices: WasmTensor<"i32">; dOutput: Tensor; dWeight: FloatTensor; paddingIdx: number },
): void {
  const { indices, dWeight, paddingIdx } = args;
  const d = dWeight.shape[1]!;
  const dOutput = arena.copy("output", args.dOutput, dtype, [...indices.shape, d]); // may be dWeight itself
  // prettier-ignore
  kernelsOf(arena, dtype).scatterRows(sizeOf(indices.shape), d, indices.pointer, dOutput.pointer, d,
    dWeight.pointer, d, paddingIdx);
}

/** Some columns of a matrix in wasm memory: `width` numbers a row, rows `stride` numbers apart. */
export interface Columns {
  /** The matrix; rows are all its axes but the last, whose length is the stride. */
  of: FloatTensor;
  first: number;
  width: number;
}

const columns = (dtype: FloatDtype, { of, first }: Columns): [number, number] => [
  of.pointer + first * BYTES[dtype],
  of.shape[of.shape.length - 1]!,
];

/** Rows of `to` [count] = the rows `index` of `from` (row i is row i by default; negative: zeros). */
export function gatherRows(
  dtype: FloatDtype,
  count: number,
  index: WasmTensor<"i32"> | undefined,
  from: Columns,
  to: Columns,
): void {
  kernelsOf(to.of.arena, dtype).gatherRows(
    count,
    to.width,
    pointer(index),
    ...columns(dtype, from),
    ...columns(dtype, to),
  );
}

/** The rows `index` of `to` += the rows of `from` [count]; a negative index adds nothing. */
export function scatterRows(
  dtype: FloatDtype,
  count: number,
  index: WasmTensor<"i32"> | undefined,
  from: Columns,
  to: Columns,
): void {
  // prettier-ignore
  kernelsOf(to.of.arena, dtype).scatterRows(count, to.width, pointer(index), ...columns(dtype, from),
    ...columns(dtype, to), -1);
}

/** out = x + y, element by element; out may be x or y. */
export function add(x: FloatTensor, y: FloatTensor, out: FloatTensor): void {
  kernelsOf(out.arena, out.dtype).add(sizeOf(out.shape), x.pointer, y.pointer, out.pointer);
}

/** x *= y, element by element. */
export function mul(x: FloatTensor, y: FloatTensor): void {
  kernelsOf(x.arena, x.dtype).mul(sizeOf(x.shape), x.pointer, y.pointer, x.pointer);
}

/** Softmax over the last axis, in place. */
export function softmax(arena: Arena, dtype: FloatDtype, x: FloatTensor): void {
  const classes = x.shape[x.shape.length - 1]!;
  if (classes > 0) kernelsOf(arena, dtype).softmax(sizeOf(leading(x.shape)), classes, x.pointer, x.pointer);
}

/** Element-wise 1 / (1 + e^-x), in place. */
export function sigmoid(arena: Arena, dtype: FloatDtype, x: FloatTensor): void {
  kernelsOf(arena, dtype).sigmoid(sizeOf(x.shape), x.pointer, x.pointer);
}

/** What layer normalisation saves for the backward pass: x [..., n] and, for each row, the mean and 1 / deviation. */
export interface Normalized {
  x: FloatTensor;
  mean: FloatTensor;
  rstd: FloatTensor;
}

/** y, in the shape of x, from rows of `n` numbers: the last axes of x. */
export function layerNormForward(
  arena: Arena,
  dtype: FloatDtype,
  args: Normalized & { n: number; weight?: FloatTensor | undefined; bias?: FloatTensor | undefined; eps: number },
): FloatTensor {
  const { x, mean, rstd, n, weight, bias, eps } = args;
  const y = arena.allocate("output", dtype, x.shape);
  // prettier-ignore
  kernelsOf(arena, dtype).layerNormForward(sizeOf(mean.shape), n, x.pointer, n, pointer(weight), pointer(bias), eps,
    y.pointer, n, mean.pointer, rstd.pointer);
  return y;
}

/** dx from dy, both in the shape of x; dWeight and dBias are added to. */
export function layerNormBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: Normalized & {
    n: number;
    weight?: FloatTensor | undefined;
    dy: Tensor;
    dWeight?: FloatTensor | undefined;
    dBias?: FloatTensor | undefined;
  },
): FloatTensor {
  const { x, mean, rstd, n, weight, dWeight, dBias } = args;
  const d = arena.copy("output", args.dy, dtype, x.shape); // dy, then dx
  // prettier-ignore
  backwardKernels(arena, dtype).layerNormBackward(sizeOf(mean.shape), n, x.pointer, n, mean.pointer, rstd.pointer,
    pointer(weight), d.pointer, n, d.pointer, n, pointer(dWeight), pointer(dBias));
  return d;
}

/** The sum of squares, in f64. */
export function sumSquares(x: FloatTensor): number {
  return kernelsOf(x.arena, x.dtype).sumSquares(sizeOf(x.shape), x.pointer);
}

/** x *= factor. */
export function scale(x: FloatTensor, factor: number): void {
  kernelsOf(x.arena, x.dtype).scale(sizeOf(x.shape), x.pointer, factor);
}

/** x = min(max(x, -limit), limit). */
export function clip(x: FloatTensor, limit: number): void {
  kernelsOf(x.arena, x.dtype).clip(sizeOf(x.shape), x.pointer, limit);
}

/** Bytes of scratch of a graph's convolution (`work` of assembly/graph/conv.ts), for numbers of `size` bytes. */
export function convScratchBytes(k: number, outputs: number, size: number): number {
  return 208 + 3 * (k + outputs) * size;
}
