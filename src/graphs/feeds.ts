// Tensors from outside into a graph and out of it. Each is read once; an array's numbers are copied before they are checked.

import { DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { checkDimensions, describe, lengthOf, showShape, sizeOf, zeros } from "../../bindings/tensor.js";
import { ELEMENT_ARRAYS, narrowBits, widenBits, type ElementData, type ElementType } from "../base/element.js";
import { numberTypeOf } from "../formats/arrays.js";
import type { StoredTensor } from "../formats/safetensors.js";
import { floatOf, makeArray, makeNumbers, type Numbers, type Value } from "./value.js";

/** An input or output of a model. */
export interface ModelValue {
  /** As in the file. */
  readonly name: string;
  /** The type of its numbers. */
  readonly dtype: ElementType;
  /** The length of each axis; for an open axis its name, or "". Undefined where the file says nothing. */
  readonly shape: readonly (number | string)[] | undefined;
}

/** A tensor that was read, and its array as it came. */
export interface Fed {
  readonly shape: readonly number[];
  readonly data: object;
}

/** Tensors by name. Names come from files, so the records have no prototype. */
export type Tensors = Record<string, StoredTensor>;

/** The arrays in which an input of a type may come. */
function accepted(dtype: ElementType): readonly string[] {
  if (dtype === "i64") return ["i64", "i32"];
  if (dtype === "f64") return ["f64", "f32"];
  if (dtype === "f16") return ["u16", "f16"];
  if (dtype === "bf16") return ["u16"];
  return [dtype === "bool" ? "u8" : dtype];
}

function arrayName(dtype: ElementType): string {
  return `${ELEMENT_ARRAYS[dtype].name} (${dtype})`;
}

/**
 * Reads a tensor from outside. Its numbers are not copied.
 *
 * @throws DtypeError, ShapeError
 */
export function readFed(name: string, value: unknown, dtype: ElementType): Fed {
  if (value === null || typeof value !== "object") refuseFed(name, describe(value), dtype);
  const data: unknown = (value as StoredTensor).data;
  const shape = checkDimensions(`feeds.${name}`, (value as StoredTensor).shape);
  return { data: checkData(name, data, dtype, accepted(dtype), sizeOf(shape)), shape };
}

function refuseFed(name: string, received: string, dtype: ElementType): never {
  throw new DtypeError(`feeds.${name}`, received, `a tensor { data: ${arrayName(dtype)}, shape }`);
}

/**
 * A copy of a tensor of whole numbers of any type as i32; others than tensors come back as they are, for `readFed` to refuse.
 *
 * @throws ValueError for a number that is not whole, or does not fit
 */
export function wholeNumbers(argument: string, value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  const { data, shape } = value as StoredTensor;
  const isList = Array.isArray(data);
  if (!isList && numberTypeOf(data) === undefined) return value;
  const length = isList ? (data as ArrayLike<number>).length : lengthOf(data);
  const copy = makeNumbers("i32", length) as Int32Array;
  for (let i = 0; i < length; i++) {
    const number = Number(data[i]);
    copy[i] = number;
    if (copy[i] !== number) throw new ValueError(`${argument}[${i}]`, `${number}`, "a whole number of 32 bits");
  }
  return { data: copy, shape };
}

/** The array of a tensor; a plain array is copied. Nothing is allocated for a typed one. */
function checkData(name: string, data: unknown, dtype: ElementType, kinds: readonly string[], size: number): object {
  const kind = numberTypeOf(data);
  if (kind === undefined && Array.isArray(data) && dtype === "i64") return readList(`feeds.${name}`, data, size);
  if (kind === undefined || !kinds.includes(kind)) refuseFed(name, kind ?? describe(data), dtype);
  const length = lengthOf(data as ArrayBufferView);
  if (length !== size) throw new ShapeError(`feeds.${name}`, `${length} numbers`, `${size}`);
  return data as object;
}

/** Checks a shape against the one that the model declares. */
export function checkDeclared(name: string, shape: readonly number[], declared: ModelValue["shape"]): void {
  if (!declared) return;
  if (shape.length === declared.length && declared.every((n, i) => typeof n === "string" || n === shape[i])) return;
  throw new ShapeError(`feeds.${name}`, showShape(shape), showShape(declared.map((n) => (n === "" ? "any" : n))));
}

/** Whether a shape from outside is this one, without an allocation. */
function isShape(given: unknown, shape: readonly number[]): boolean {
  if (!Array.isArray(given) || given.length !== shape.length) return false;
  for (let i = 0; i < shape.length; i++) if (given[i] !== shape[i]) return false;
  return true;
}

/** Whole numbers of a plain array, each read once. */
function readList(argument: string, list: readonly unknown[], size: number): Float64Array {
  if (list.length !== size) throw new ShapeError(argument, `${list.length} numbers`, `${size}`);
  return Float64Array.from({ length: size }, (_, i) => {
    const value = list[i];
    if (typeof value !== "number" || !Number.isSafeInteger(value)) {
      throw new DtypeError(`${argument}[${i}]`, describe(value), "a whole number");
    }
    return value;
  });
}

/** The place of an input: in wasm memory, or in JavaScript. */
export class Slot {
  readonly tensor: WasmTensor | undefined;
  readonly numbers: Numbers | undefined;
  readonly size: number;
  readonly #kinds: readonly string[];
  readonly #wide: WideNumbers | undefined;
  readonly #half: HalfNumbers | undefined;

  constructor(
    arena: Arena,
    readonly name: string,
    readonly dtype: ElementType,
    readonly shape: readonly number[],
  ) {
    this.size = sizeOf(shape);
    this.#kinds = accepted(dtype);
    const float = floatOf(dtype);
    if (dtype === "f16" || dtype === "bf16") this.#half = new HalfNumbers(dtype, this.size);
    if (dtype === "i64" || dtype === "u64") this.#wide = new WideNumbers(dtype, this.size);
    if (float) this.tensor = arena.zeros(name, float, shape);
    else this.numbers = makeNumbers(dtype, this.size);
  }

  /** The numbers as they are now. */
  get current(): Numbers {
    return this.tensor ? this.tensor.data : this.numbers!;
  }

  /**
   * The array of a tensor from outside, which must have this shape. Nothing is allocated, but for plain arrays.
   *
   * @throws DtypeError, ShapeError
   */
  read(value: unknown): object {
    const { name, dtype, shape, size } = this;
    if (value === null || typeof value !== "object") refuseFed(name, describe(value), dtype);
    const data: unknown = (value as StoredTensor).data;
    const given: unknown = (value as StoredTensor).shape;
    if (!isShape(given, shape)) {
      throw new ShapeError(`feeds.${name}`, showShape(checkDimensions(`feeds.${name}`, given)), showShape(shape));
    }
    return checkData(name, data, dtype, this.#kinds, size);
  }

  /**
   * Copies numbers in, which were read.
   *
   * @throws ValueError; ShapeError for an array whose length has changed since
   */
  write(data: object): void {
    const length = lengthOf(data as ArrayBufferView);
    if (length !== this.size) throw new ShapeError(`feeds.${this.name}`, `${length} numbers`, `${this.size}`);
    const kind = numberTypeOf(data);
    if (kind === "i64" || kind === "u64") this.#wide!.read(this.name, data as BigInt64Array, this.numbers!);
    else if (kind === "u16" && this.#half) this.current.set(this.#half.widen(data as Uint16Array));
    else this.current.set(data as Float32Array);
    if (this.dtype === "bool") for (let i = 0; i < this.size; i++) this.numbers![i] = Number(this.numbers![i] !== 0);
  }
}

/** Conversions between 64-bit integers and numbers, without an allocation. */
class WideNumbers {
  readonly wide: BigInt64Array | BigUint64Array;
  readonly #halves: Int32Array;

  constructor(
    readonly dtype: "i64" | "u64",
    size: number,
  ) {
    this.wide = makeArray<BigInt64Array | BigUint64Array, "i64" | "u64">(
      { i64: BigInt64Array, u64: BigUint64Array },
      dtype,
      size,
    );
    this.#halves = new Int32Array(this.wide.buffer);
  }

  /**
   * Copies integers, and checks the copy.
   *
   * @throws ValueError
   */
  read(name: string, data: BigInt64Array, to: Numbers): void {
    const halves = this.#halves;
    (this.wide as BigInt64Array).set(data);
    const signed = this.dtype === "i64";
    for (let i = 0; i < to.length; i++) {
      const high = signed ? halves[2 * i + 1]! : halves[2 * i + 1]! >>> 0;
      const value = high * 2 ** 32 + (halves[2 * i]! >>> 0);
      if (!Number.isSafeInteger(value)) throw new ValueError(`feeds.${name}`, `${value}`, "integers up to 2^53");
      to[i] = value;
    }
  }

  /** Beyond the type's ends integers are those. */
  write(numbers: Numbers): void {
    const halves = this.#halves;
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i]!;
      const high = Math.floor(value / 2 ** 32);
      const saturated = this.dtype === "i64" && value >= 2 ** 63;
      halves[2 * i] = saturated ? -1 : value - high * 2 ** 32;
      halves[2 * i + 1] = saturated ? 0x7fffffff : high;
    }
  }
}

/** Conversions between f32 and half precision, without an allocation. */
class HalfNumbers {
  readonly #numbers: Float32Array;
  readonly #bits: Int32Array;
  readonly #unsigned: Uint32Array;

  constructor(
    readonly dtype: "f16" | "bf16",
    size: number,
  ) {
    this.#numbers = zeros("f32", size);
    this.#bits = new Int32Array(this.#numbers.buffer);
    this.#unsigned = new Uint32Array(this.#numbers.buffer);
  }

  widen(halves: Uint16Array): Float32Array {
    widenBits(this.dtype, halves, this.#bits);
    return this.#numbers;
  }

  narrow(numbers: Numbers, halves: Uint16Array): void {
    this.#numbers.set(numbers);
    narrowBits(this.dtype, this.#unsigned, halves);
  }
}

/** Writes numbers of a graph into an array as users get it. */
export class OutputArray {
  readonly data: ElementData;
  readonly #wide: WideNumbers | undefined;
  readonly #half: HalfNumbers | undefined;

  constructor(
    readonly dtype: ElementType,
    size: number,
  ) {
    if (dtype === "i64" || dtype === "u64") this.#wide = new WideNumbers(dtype, size);
    if (dtype === "f16" || dtype === "bf16") this.#half = new HalfNumbers(dtype, size);
    this.data = this.#wide?.wide ?? makeArray<ElementData>(ELEMENT_ARRAYS, dtype, size);
  }

  write(numbers: Numbers): void {
    if (this.#wide) this.#wide.write(numbers);
    else if (this.#half) this.#half.narrow(numbers, this.data as Uint16Array);
    else (this.data as Float32Array).set(numbers);
  }
}

/** A fresh tensor of a value's numbers. */
export function download(value: Value, numbers: Numbers, dtype: ElementType): StoredTensor {
  const array = new OutputArray(dtype, value.size);
  array.write(numbers);
  return { data: array.data, shape: [...value.shape] };
}
