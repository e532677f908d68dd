// Tensors as users have them: a typed array and a shape. Tensors that live in wasm memory are in memory.ts.

import { DtypeError, ShapeError } from "./errors.js";

/** The number types: 64-bit and 32-bit floating point, and 32-bit integers for indices. */
export type Dtype = "f64" | "f32" | "i32";

/** The number types that a layer can have. */
export type FloatDtype = "f64" | "f32";

/** Where a tensor's numbers are. */
export type TensorData = Float64Array | Float32Array | Int32Array;

/** Numbers with a shape: row-major and dense. Any plain record `{ data, shape }` will do where a tensor is taken. */
export interface Tensor {
  readonly data: TensorData;
  readonly shape: readonly number[];
}

/** A number, or arrays of numbers nested to any depth. */
export type NestedNumbers = number | ArrayLike<NestedNumbers>;

const ARRAYS = { f64: Float64Array, f32: Float32Array, i32: Int32Array } as const;

/** Bytes of one number of the type. */
export const BYTES: Readonly<Record<Dtype, number>> = { f64: 8, f32: 4, i32: 4 };

/** A new array of `size` zeros. */
export function zeros(dtype: Dtype, size: number): TensorData {
  return new ARRAYS[dtype](size);
}

/** How many numbers a shape holds; 1 for []. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** The type of an array's numbers. */
export function dtypeOf(data: TensorData): Dtype {
  return data instanceof Float64Array ? "f64" : data instanceof Float32Array ? "f32" : "i32";
}

/** A shape for people: [2, 3]. */
export function showShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(", ")}]`;
}

/**
 * Makes a tensor.
 *
 * @param values a number, nested arrays, a flat array, or a typed array; copied
 * @param shape  by default the nesting of `values`; given, it holds the numbers of `values` in row-major order
 * @param dtype  by default that of a Float64Array, Float32Array or Int32Array, else "f64"
 * @throws ShapeError where the nesting is ragged or the count does not fit the shape; DtypeError where a value is no
 *   number, or not a 32-bit integer for "i32"
 */
export function tensor(values: NestedNumbers, shape?: readonly number[], dtype?: Dtype): Tensor {
  const nested = nesting(values);
  const type = dtype ?? (isTensorData(values) ? dtypeOf(values) : "f64");
  if (!(type in ARRAYS)) throw new DtypeError("dtype", String(dtype), '"f64", "f32" or "i32"');
  const size = sizeOf(nested);
  if (shape !== undefined) {
    checkDimensions("shape", shape);
    if (sizeOf(shape) !== size) {
      throw new ShapeError("values", `${size} numbers`, `${sizeOf(shape)} for shape ${showShape(shape)}`);
    }
  }
  const data = zeros(type, size);
  let next = 0;
  const fill = (value: NestedNumbers, depth: number): void => {
    if (depth < nested.length) {
      const rows = value as ArrayLike<NestedNumbers>;
      if (!isArrayLike(value) || rows.length !== nested[depth]) {
        throw new ShapeError("values", "a ragged array", `${nested[depth]} elements in each array at depth ${depth}`);
      }
      for (let i = 0; i < rows.length; i++) fill(rows[i]!, depth + 1);
      return;
    }
    if (typeof value !== "number") throw new DtypeError("values", describe(value), "a number");
    if (type === "i32" && (value | 0) !== value) throw new DtypeError("values", `${value}`, "a 32-bit integer");
    data[next++] = value;
  };
  if (isTensorData(values) && dtypeOf(values) === type) data.set(values);
  else fill(values, 0);
  return { data, shape: Object.freeze([...(shape ?? nested)]) };
}

function nesting(values: NestedNumbers): number[] {
  const shape: number[] = [];
  for (let level = values; isArrayLike(level); level = level[0]!) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  return shape;
}

function isArrayLike(value: unknown): value is ArrayLike<NestedNumbers> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function isTensorData(value: unknown): value is TensorData {
  return value instanceof Float64Array || value instanceof Float32Array || value instanceof Int32Array;
}

/** What a value is, for an error message. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") return value.constructor?.name ?? "an object";
  return typeof value === "string" ? JSON.stringify(value) : `${typeof value} ${String(value)}`;
}

function checkDimensions(argument: string, shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new ShapeError(argument, Array.isArray(shape) ? showShape(shape) : describe(shape), "whole numbers >= 0");
  }
}

/**
 * Holds a value from outside against what is expected of it.
 *
 * @param pattern a number fixes a dimension, a string names a free one; "..." at the front stands for any number of them
 * @throws DtypeError, ShapeError
 */
export function checkTensor(
  argument: string,
  value: Tensor,
  dtype: Dtype,
  pattern: readonly (number | string)[],
): void {
  const data: unknown = (value as Tensor | null | undefined)?.data;
  if (!isTensorData(data)) {
    throw new DtypeError(argument, describe(value), `a tensor { data, shape } with ${dtype} data`);
  }
  checkDimensions(argument, value.shape);
  const { shape } = value;
  if (dtypeOf(data) !== dtype) throw new DtypeError(argument, dtypeOf(data), dtype);
  const any = pattern[0] === "...";
  const fixed = any ? pattern.slice(1) : pattern;
  const skip = shape.length - fixed.length;
  const fits = (any ? skip >= 0 : skip === 0) && fixed.every((n, i) => typeof n === "string" || n === shape[skip + i]);
  if (!fits) throw new ShapeError(argument, showShape(shape), showShape(pattern));
  if (data.length !== sizeOf(shape)) {
    throw new ShapeError(argument, `${data.length} numbers`, `${sizeOf(shape)} for shape ${showShape(shape)}`);
  }
}
