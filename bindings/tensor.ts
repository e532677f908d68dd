// Tensors on the JavaScript side: a typed array and a shape. Tensors in wasm memory are in memory.ts.

import { DtypeError, OutOfMemoryError, ShapeError } from "./errors.js";

/** The number types: 64-bit and 32-bit floating point, and 32-bit integers for indices. */
export type Dtype = "f64" | "f32" | "i32";

/** The number types of layers. */
export type FloatDtype = "f64" | "f32";

/** The typed array of each number type. */
export interface DtypeArrays {
  /** 64-bit floating point. */
  f64: Float64Array;
  /** 32-bit floating point. */
  f32: Float32Array;
  /** 32-bit integers. */
  i32: Int32Array;
}

/**
 * The typed array that holds a tensor's numbers.
 *
 * @typeParam D the number type; any of the three by default
 */
export type TensorData<D extends Dtype = Dtype> = DtypeArrays[D];

/**
 * Numbers with a shape, row-major and dense. Every function that takes a tensor accepts any plain record `{ data, shape }`.
 *
 * @typeParam D the number type: the data of `Tensor<"f32">` is a Float32Array. `Tensor` alone has any of the three.
 */
export interface Tensor<D extends Dtype = Dtype> {
  /** The numbers, row-major: the last axis is contiguous. The `data` of a live tensor (`Parameter.value`) is a current view. */
  readonly data: TensorData<D>;
  /** The length of each axis; [] for a single number. */
  readonly shape: readonly number[];
}

/** A number, or arrays of numbers nested to any depth. */
export type NestedNumbers = number | ArrayLike<NestedNumbers>;

/**
 * The number type that `tensor` gives to values when it gets no dtype: a Float32Array or an Int32Array keeps its own,
 * everything else becomes f64.
 *
 * @typeParam V the type of the values
 */
export type InferredDtype<V> = V extends Float32Array
  ? "f32"
  : V extends Int32Array
    ? "i32"
    : Float32Array extends V // perhaps a typed array, which is known only at run time
      ? Dtype
      : "f64";

const ARRAYS = { f64: Float64Array, f32: Float32Array, i32: Int32Array } as const;

/** A getter of every typed array, to be called with the array as `this`. */
export type Intrinsic = (this: unknown) => unknown;

// The engine's own getters of typed arrays: no property or subclass of the caller's overrides them, and they work on arrays
// of any realm (a frame, node:vm).
export const intrinsic = (name: string | symbol): Intrinsic => {
  const property = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Int8Array.prototype) as object, name)!;
  return property.get as Intrinsic; // eslint-disable-line @typescript-eslint/unbound-method -- called with an array as `this`
};
const tag = /* @__PURE__ */ intrinsic(Symbol.toStringTag);
const length = /* @__PURE__ */ intrinsic("length");
const buffer = /* @__PURE__ */ intrinsic("buffer");
const byteOffset = /* @__PURE__ */ intrinsic("byteOffset");

/** The most axes that a tensor can have. An array that contains itself would have infinitely many. */
/** The most axes of a tensor. */
export const MAX_RANK = 64;

/** Bytes of one number. */
export const BYTES: Readonly<Record<Dtype, number>> = { f64: 8, f32: 4, i32: 4 };

/**
 * A new array of `size` zeros.
 *
 * @throws OutOfMemoryError
 */
export function zeros<D extends Dtype>(dtype: D, size: number): TensorData<D> {
  try {
    return new ARRAYS[dtype](size) as TensorData<D>;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OutOfMemoryError("a new array", `${size} numbers of ${dtype}`, "room for it");
  }
}

/** A copy of a view; engines copy long ones faster this way than by slice(), of shared memory above all. */
export function copied<T extends TensorData>(view: T): T {
  return view.length < 2048 ? (view.slice() as T) : new (view.constructor as new (numbers: T) => T)(view);
}

/** The product of the dimensions; 1 for []. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i]!; // streams allocate no iterator
  return size;
}

/** The class name of a typed array of any realm, such as "Float64Array"; undefined for anything else. */
export function kindOf(value: unknown): string | undefined {
  return tag.call(value) as string | undefined;
}

const DTYPES: Readonly<Record<string, Dtype | undefined>> = {
  Float64Array: "f64",
  Float32Array: "f32",
  Int32Array: "i32",
};

/** The number type of an array; undefined for anything but arrays of f64, f32 or i32. */
export function dtypeOf<D extends Dtype>(data: TensorData<D>): D;
export function dtypeOf(data: unknown): Dtype | undefined;
export function dtypeOf(data: unknown): Dtype | undefined {
  return DTYPES[kindOf(data) ?? ""];
}

/** The current length of a typed array: 0 where its buffer is detached or has shrunk below it. */
export function lengthOf(array: ArrayBufferView): number {
  return length.call(array) as number;
}

/** A view of fixed length of a typed array's numbers, read by intrinsic getters alone. */
function plainView(data: TensorData): TensorData {
  const size = lengthOf(data);
  const dtype = dtypeOf(data);
  if (size === 0) return new ARRAYS[dtype](0); // perhaps detached: a view would throw
  return new ARRAYS[dtype](buffer.call(data) as ArrayBuffer, byteOffset.call(data) as number, size);
}

/** A shape as text: [2, 3]. */
export function showShape(shape: readonly unknown[]): string {
  const first = Array.from(shape.slice(0, 16), (n) =>
    typeof n === "number" || typeof n === "string" ? n : describe(n),
  );
  return `[${first.join(", ")}${shape.length > 16 ? ", ..." : ""}]`;
}

/**
 * Creates a tensor.
 *
 * @param values a number, nested arrays, a flat array, or a typed array; copied
 * @param shape  the shape of the numbers in row-major order; by default the nesting of `values`
 * @param dtype  the number type; by default that of a Float64Array, Float32Array or Int32Array, else "f64"
 * @throws ShapeError where the nesting is ragged or the count does not fit the shape; DtypeError where a value is no
 *   number, or for "i32" no 32-bit integer
 */
export function tensor<V extends NestedNumbers>(
  values: V,
  shape?: readonly number[],
  dtype?: undefined,
): Tensor<InferredDtype<V>>;
export function tensor<D extends Dtype>(
  values: NestedNumbers,
  shape: readonly number[] | undefined,
  dtype: D,
): Tensor<D>;
export function tensor(values: NestedNumbers, shape?: readonly number[], dtype?: Dtype): Tensor;
export function tensor(
  values: NestedNumbers,
  shape?: readonly number[],
  dtype: Dtype = dtypeOf(values as unknown) ?? "f64",
): Tensor {
  const own = dtypeOf(values as unknown);
  if (dtype !== "f64" && dtype !== "f32" && dtype !== "i32") {
    throw new DtypeError("dtype", describe(dtype), '"f64", "f32" or "i32"');
  }
  const given = shape === undefined ? undefined : checkDimensions("shape", shape);
  if (own === dtype) {
    const numbers = plainView(values as TensorData);
    const data = zeros(dtype, fitting(numbers.length, given));
    data.set(numbers);
    return { data, shape: Object.freeze(given ?? [numbers.length]) };
  }
  // Elements may be getters, so each is read once. The first number completes the shape; all are allocated then.
  const nested: number[] = [];
  let data: TensorData | undefined;
  let next = 0;
  const start = (): TensorData => zeros(dtype, fitting(sizeOf(nested), given));
  const fill = (value: NestedNumbers, depth: number): void => {
    if (isArrayLike(value)) {
      const count = kindOf(value) === undefined ? value.length : lengthOf(value as unknown as ArrayBufferView);
      if (data === undefined) {
        if (depth === MAX_RANK) throw new ShapeError("values", "a deeper nesting", `at most ${MAX_RANK} axes`);
        if (!Number.isSafeInteger(count)) throw new ShapeError("values", describe(count), "a length"); // of a Proxy
        nested.push(count);
        if (count === 0) data = start();
      }
      if (depth >= nested.length) throw new DtypeError("values", describe(value), "a number");
      if (nested[depth] !== count) ragged(depth, nested[depth]!);
      for (let i = 0; i < count; i++) fill(value[i]!, depth + 1);
      return;
    }
    if (typeof value !== "number") throw new DtypeError("values", describe(value), "a number");
    data ??= start();
    if (depth < nested.length) ragged(depth, nested[depth]!);
    if (dtype === "i32" && (value | 0) !== value) throw new DtypeError("values", `${value}`, "a 32-bit integer");
    data[next++] = value;
  };
  fill(values, 0);
  return { data: data!, shape: Object.freeze(given ?? nested) };
}

/** Checks that `size` numbers fill the shape, where there is one; returns `size`. */
function fitting(size: number, shape: readonly number[] | undefined): number {
  if (shape === undefined || sizeOf(shape) === size) return size;
  throw new ShapeError("values", `${size} numbers`, `${sizeOf(shape)} for shape ${showShape(shape)}`);
}

function ragged(depth: number, count: number): never {
  throw new ShapeError("values", "a ragged array", `${count} elements in each array at depth ${depth}`);
}

function isArrayLike(value: unknown): value is ArrayLike<NestedNumbers> {
  return Array.isArray(value) || kindOf(value) !== undefined;
}

/**
 * Reads numbers from a plain or typed array of the caller's, each once.
 *
 * @param count   how many there must be
 * @param what    where the count comes from, for the error message
 * @param target  receives the numbers, and is returned
 * @throws DtypeError, ShapeError
 */
export function readNumbers<T extends number[] | Float64Array | Float32Array>(
  argument: string,
  values: ArrayLike<number>,
  count: number,
  what: string,
  target: T,
): T {
  const kind = kindOf(values);
  // Texts are built only where they are thrown: otherwise every step of a stream would allocate.
  if (kind === undefined ? !Array.isArray(values) : kind === "BigInt64Array" || kind === "BigUint64Array") {
    throw new DtypeError(argument, describe(values), `${count} numbers (${what})`);
  }
  const size: unknown = kind === undefined ? values.length : lengthOf(values as unknown as ArrayBufferView);
  if (size !== count) {
    const received = typeof size === "number" ? `${size} numbers` : describe(size);
    throw new ShapeError(argument, received, `${count} numbers (${what})`);
  }
  if (kind !== undefined && kindOf(target) !== undefined) {
    try {
      (target as Float64Array).set(values);
    } catch {
      throw new ShapeError(argument, "an array that grows", `${count} numbers (${what})`); // another thread grows it
    }
    return target;
  }
  for (let i = 0; i < count; i++) {
    const value = values[i];
    if (typeof value !== "number") throw new DtypeError(`${argument}[${i}]`, describe(value), "a number");
    target[i] = value;
  }
  return target;
}

/** A short description of a value, for error messages. Never throws. */
export function describe(value: unknown): string {
  try {
    if (value === null || value === undefined) return String(value);
    if (typeof value === "object") {
      const name: unknown = kindOf(value) ?? value.constructor?.name;
      return typeof name === "string" && name !== "" ? name : "an object";
    }
    if (typeof value === "function") return "a function";
    if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
    return `${typeof value} ${(value as number | symbol).toString()}`;
  } catch {
    return "an object"; // a getter or a Proxy that throws
  }
}

/** A copy of a shape from outside, each element read once. */
export function checkDimensions(argument: string, shape: unknown): number[] {
  if (!Array.isArray(shape)) throw new ShapeError(argument, describe(shape), "a shape: an array of whole numbers >= 0");
  const rank: unknown = shape.length;
  if (typeof rank !== "number" || !(rank <= MAX_RANK)) {
    throw new ShapeError(argument, `${typeof rank === "number" ? rank : describe(rank)} axes`, `at most ${MAX_RANK}`);
  }
  const copy: number[] = [];
  for (let i = 0; i < rank; i++) copy.push(shape[i] as number);
  if (!copy.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new ShapeError(argument, showShape(copy), "whole numbers >= 0");
  }
  return copy;
}

/** A tensor from outside as it was read, once. */
export class ReadTensor implements Tensor {
  constructor(
    readonly data: TensorData,
    readonly shape: readonly number[],
    /** The caller's own array, by which a recording knows the tensor. */
    readonly source: TensorData,
  ) {}
}

/**
 * Reads a tensor from outside once. The caller cannot reach the record that is returned: a view of fixed length and a copy
 * of the shape. The caller can still change the numbers, so copy indices first and check the copy.
 *
 * @throws DtypeError where the value is no tensor; ShapeError
 */
export function readTensor(argument: string, value: Tensor, expected = "a tensor { data, shape }"): ReadTensor {
  if (value instanceof ReadTensor) return value;
  if (value === null || (typeof value !== "object" && typeof value !== "function")) {
    throw new DtypeError(argument, describe(value), expected);
  }
  const given: unknown = value.data;
  if (dtypeOf(given) === undefined) throw new DtypeError(argument, describe(value), expected);
  const shape = checkDimensions(argument, value.shape);
  const data = plainView(given as TensorData); // last: the code of the caller's that runs above may change the array's buffer
  if (data.length !== sizeOf(shape)) {
    const detached = data.length === 0 ? " (a detached view?)" : "";
    throw new ShapeError(
      argument,
      `${data.length} numbers${detached}`,
      `${sizeOf(shape)} for shape ${showShape(shape)}`,
    );
  }
  return new ReadTensor(data, shape, given as TensorData);
}

/**
 * Checks the dtype and the shape of a tensor from outside.
 *
 * @param pattern a number is a fixed dimension, a string names a free one, "..." in front stands for any number of free ones
 * @returns the record that was checked (`readTensor`); a getter of `value` may return something else the next time
 * @throws DtypeError, ShapeError
 */
export function checkTensor<D extends Dtype>(
  argument: string,
  value: Tensor,
  dtype: D,
  pattern: readonly (number | string)[],
): Tensor<D> {
  const plain = readTensor(argument, value, `a tensor { data, shape } with ${dtype} data`);
  checkKind(argument, plain, dtype, pattern);
  return plain as Tensor as Tensor<D>;
}

/** `checkTensor` of a result of `readTensor`. */
export function checkKind(
  argument: string,
  { data, shape }: Tensor,
  dtype: Dtype,
  pattern: readonly (number | string)[],
): void {
  const own = dtypeOf(data);
  if (own !== dtype) throw new DtypeError(argument, own, dtype);
  checkShape(argument, shape, pattern);
}

/** `checkTensor` of a shape alone. */
export function checkShape(argument: string, shape: readonly number[], pattern: readonly (number | string)[]): void {
  const any = pattern[0] === "...";
  const fixed = any ? pattern.slice(1) : pattern;
  const skip = shape.length - fixed.length;
  const fits = (any ? skip >= 0 : skip === 0) && fixed.every((n, i) => typeof n === "string" || n === shape[skip + i]);
  if (!fits) throw new ShapeError(argument, showShape(shape), showShape(pattern));
}
