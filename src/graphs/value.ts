// The tensors of a graph. Numbers of floating point are in wasm memory; integers and booleans, which are mostly arithmetic on
// shapes, stay in JavaScript, where 64-bit integers are numbers that must be safe.

import { OutOfMemoryError } from "../../bindings/errors.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import type { ElementType } from "../base/element.js";
import type { Operation } from "../ops/operation.js";

/** Numbers in JavaScript: i64 and u64 as whole f64, f16 and bf16 as f32, bool as 0 and 1. */
export type Numbers =
  Float64Array | Float32Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;

const ARRAYS = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Float32Array,
  bf16: Float32Array,
  i64: Float64Array,
  u64: Float64Array,
  i32: Int32Array,
  u32: Uint32Array,
  i16: Int16Array,
  u16: Uint16Array,
  i8: Int8Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Record<ElementType, unknown>;

/** The type in wasm memory of floating-point numbers; undefined for integers and booleans. */
export function floatOf(dtype: ElementType): FloatDtype | undefined {
  if (dtype === "f64") return "f64";
  return dtype === "f32" || dtype === "f16" || dtype === "bf16" ? "f32" : undefined;
}

/** Bytes of one number where it is computed with. */
export function bytesOf(dtype: ElementType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/**
 * New zeros.
 *
 * @throws OutOfMemoryError
 */
export function makeNumbers(dtype: ElementType, size: number): Numbers {
  return makeArray<Numbers>(ARRAYS, dtype, size);
}

/** A new array, of those by type. */
export function makeArray<Data, Type extends ElementType = ElementType>(
  arrays: Readonly<Record<Type, new (size: number) => Data>>,
  dtype: Type,
  size: number,
): Data {
  try {
    return new arrays[dtype](size);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OutOfMemoryError("a tensor", `${size} numbers of ${dtype}`, "room for it");
  }
}

/** What is known of a tensor before there are numbers. */
export interface ValueSpec {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
}

/** Makes numbers of numbers: results from inputs. Results are written whole, unless they are zeros. */
export type Compute = (inputs: readonly Numbers[], outputs: readonly Numbers[]) => void;

/** A call of an operation, or of a function in JavaScript. */
export interface Step {
  readonly operation?: Operation<unknown>;
  readonly attributes?: unknown;
  readonly compute?: Compute;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** The node that it is part of, for errors. */
  readonly where: string | undefined;
}

/** A tensor of a graph. How its numbers are found is the builder's affair. */
export class Value implements ValueSpec {
  readonly size: number;
  /** The numbers, where they are fixed. */
  known: Numbers | undefined;
  /** The numbers in wasm memory. */
  tensor: WasmTensor | undefined;
  /** The numbers in JavaScript, current while the graph runs. */
  numbers: Numbers | undefined;
  /** Owns `tensor` where it is a copy of numbers that are known; by default the builder does. */
  owner: Arena | undefined;
  /** The value whose memory this one shares, from number `offset` on. */
  base: Value | undefined;
  offset = 0;
  /** The integers, fed and few, that it is computed from, where these are all. */
  sources: ReadonlySet<Value> | undefined;
  /** How it is computed, where a plan says so. */
  step: Step | undefined;

  /** @param inWasm whether the numbers are in wasm memory when the graph runs */
  constructor(
    readonly dtype: ElementType,
    readonly shape: readonly number[],
    readonly inWasm = floatOf(dtype) !== undefined,
  ) {
    this.size = sizeOf(shape);
  }
}

/** The value whose memory a value has. Those on the way then share it directly. */
export function rootOf(value: Value): Value {
  if (!value.base) return value;
  const way: Value[] = [];
  for (let each = value; each.base; each = each.base) way.push(each);
  const root = way[way.length - 1]!.base!;
  for (let i = way.length - 2; i >= 0; i--) {
    way[i]!.offset += way[i + 1]!.offset;
    way[i]!.base = root;
  }
  return root;
}

/** A value whose numbers are fixed. */
export function constant(dtype: ElementType, shape: readonly number[], numbers: Numbers): Value {
  const value = new Value(dtype, shape);
  value.known = numbers;
  return value;
}
