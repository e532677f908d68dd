// Tensors as users have them: a typed array and a shape. Tensors that live in wasm memory are in memory.ts.

import { DtypeError, OutOfMemoryError, ShapeError } from "./errors.js";

/** The number types: 64-bit and 32-bit floating point, and 32-bit integers for indices. */
export type Dtype = "f64" | "f32" | "i32";

/** The number types that a layer can have. */
export type FloatDtype = "f64" | "f32";

/** The array that holds a tensor's numbers: of f64, f32 or i32. */
export type TensorData = Float64Array | Float32Array | Int32Array;

/** Numbers with a shape: row-major and dense. Any plain record `{ data, shape }` will do where a tensor is taken. */
export interface Tensor {
  /** The numbers, row-major: the last axis lies together. A live tensor (`Parameter.value`) gives a current view. */
  readonly data: TensorData;
  /** The length of each axis; [] for a single number. */
  readonly shape: readonly number[];
}

/** A number, or arrays of numbers nested to any depth. */
export type NestedNumbers = number | ArrayLike<NestedNumbers>;

const ARRAYS = { f64: Float64Array, f32: Float32Array, i32: Int32Array } as const;

/** More axes than anyone needs; an array that contains itself has no end of them. */
const MAX_RANK = 64;

/** Bytes of one number of the type. */
export const BYTES: Readonly<Record<Dtype, number>> = { f64: 8, f32: 4, i32: 4 };

/**
 * A new array of `size` zeros.
 *
 * @throws OutOfMemoryError
 */
export function zeros(dtype: Dtype, size: number): TensorData {
  try {
    return new ARRAYS[dtype](size);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OutOfMemoryError("a new array", `${size} numbers of ${dtype}`, "what the engine can allocate");
  }
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
export function showShape(shape: readonly unknown[]): string {
  const first = Array.from(shape.slice(0, 16), (n) =>
    typeof n === "number" || typeof n === "string" ? n : describe(n),
  );
  return `[${first.join(", ")}${shape.length > 16 ? ", ..." : ""}]`;
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
export function tensor(
  values: NestedNumbers,
  shape?: readonly number[],
  dtype: Dtype = isTensorData(values) ? dtypeOf(values) : "f64",
): Tensor {
  const nested = nesting(values);
  if (dtype !== "f64" && dtype !== "f32" && dtype !== "i32") {
    throw new DtypeError("dtype", describe(dtype), '"f64", "f32" or "i32"');
  }
  const size = sizeOf(nested);
  const given = shape === undefined ? nested : checkDimensions("shape", shape);
  if (sizeOf(given) !== size) {
    throw new ShapeError("values", `${size} numbers`, `${sizeOf(given)} for shape ${showShape(given)}`);
  }
  const data = zeros(dtype, size);
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
    if (dtype === "i32" && (value | 0) !== value) throw new DtypeError("values", `${value}`, "a 32-bit integer");
    data[next++] = value;
  };
  if (isTensorData(values) && dtypeOf(values) === dtype && lengthOf(values) === size && size > 0) data.set(values);
  else fill(values, 0);
  return { data, shape: Object.freeze(given) };
}

function nesting(values: NestedNumbers): number[] {
  const shape: number[] = [];
  for (let level = values; isArrayLike(level); level = level[0]!) {
    if (shape.length === MAX_RANK) throw new ShapeError("values", "a deeper nesting", `at most ${MAX_RANK} axes`);
    shape.push(level.length);
    if (level.length === 0) break;
  }
  return shape;
}

function isArrayLike(value: unknown): value is ArrayLike<NestedNumbers> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function isTensorData(value: unknown): value is TensorData {
  if (!ArrayBuffer.isView(value)) return false; // an object that only has the prototype
  return value instanceof Float64Array || value instanceof Float32Array || value instanceof Int32Array;
}

const typedArrayLength = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Int32Array.prototype) as object,
  "length",
)!;

/** How many numbers there really are: `data.length` can be shadowed by a property of the same name. */
function lengthOf(data: TensorData): number {
  return typedArrayLength.get!.call(data) as number;
}

/** What a value is, for an error message. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") {
    const name: unknown = value.constructor?.name;
    return typeof name === "string" && name !== "" ? name : "an object";
  }
  if (typeof value === "function") return "a function";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  return `${typeof value} ${(value as number).toString()}`;
}

/** A copy of a shape from outside. */
function checkDimensions(argument: string, shape: unknown): number[] {
  if (!Array.isArray(shape)) throw new ShapeError(argument, describe(shape), "a shape: an array of whole numbers >= 0");
  if (shape.length > MAX_RANK) throw new ShapeError(argument, `${shape.length} axes`, `at most ${MAX_RANK}`);
  const copy: number[] = [];
  for (let i = 0; i < shape.length; i++) {
    const n: unknown = shape[i];
    if (!Number.isSafeInteger(n) || (n as number) < 0) {
      throw new ShapeError(argument, showShape(shape), "whole numbers >= 0");
    }
    copy.push(n as number);
  }
  return copy;
}

/**
 * Holds a value from outside against what is expected of it.
 *
 * @param pattern a number fixes a dimension, a string names a free one; "..." at the front stands for any number of them
 * @returns the data and a copy of the shape, as they were checked: use these, since reading a property of `value` again
 *   may give something else
 * @throws DtypeError, ShapeError
 */
export function checkTensor(
  argument: string,
  value: Tensor,
  dtype: Dtype,
  pattern: readonly (number | string)[],
): Tensor {
  const data: unknown = (value as Tensor | null | undefined)?.data;
  if (!isTensorData(data)) {
    throw new DtypeError(argument, describe(value), `a tensor { data, shape } with ${dtype} data`);
  }
  const shape = checkDimensions(argument, value.shape);
  if (dtypeOf(data) !== dtype) throw new DtypeError(argument, dtypeOf(data), dtype);
  const any = pattern[0] === "...";
  const fixed = any ? pattern.slice(1) : pattern;
  const skip = shape.length - fixed.length;
  const fits = (any ? skip >= 0 : skip === 0) && fixed.every((n, i) => typeof n === "string" || n === shape[skip + i]);
  if (!fits) throw new ShapeError(argument, showShape(shape), showShape(pattern));
  const length = lengthOf(data);
  if (length !== sizeOf(shape)) {
    const detached = length === 0 && data.buffer.byteLength === 0 ? " (a live view that has detached?)" : "";
    throw new ShapeError(argument, `${length} numbers${detached}`, `${sizeOf(shape)} for shape ${showShape(shape)}`);
  }
  return { data: length === 0 ? zeros(dtype, 0) : data, shape }; // a detached array has no numbers, and throws when read
}
