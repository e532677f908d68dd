// Reads and writes safetensors files in memory; ../safetensors.ts describes the format.

import { DtypeError, FormatError, ShapeError, UnsupportedError } from "../../bindings/errors.js";
import { describe, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { bytesPerElement, ELEMENT_ARRAYS, widenHalf, type ElementType } from "../base/element.js";
import { bytesOf, numberTypeOf, takeBytes } from "./arrays.js";
import { isRecord, quote } from "./json.js";
import { checkOnly, type NameFilter } from "./only.js";
import { elements, MAX_HEADER, PREFIX, readHeader } from "./safetensors-header.js";
import { encodeUtf8 } from "./utf8.js";

/** Arrays of a safetensors file: those of a Tensor, and integers of other sizes. */
export type StoredData =
  TensorData | BigInt64Array | BigUint64Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;

/** A tensor of any type that a safetensors file can hold. Layers take `Tensor`, which has fewer types. */
export interface StoredTensor {
  /** The numbers, row-major. */
  readonly data: StoredData;
  /** The length of each axis; [] for a single number. */
  readonly shape: readonly number[];
}

/**
 * The contents of a safetensors file. Neither record has a prototype, so that any name is an ordinary key.
 *
 * @typeParam T the type of the tensors, as of `readSafetensors`
 */
export interface SafetensorsContent<T extends StoredTensor = Tensor> {
  /** The tensors by name. */
  tensors: Record<string, T>;
  /** The entries of `__metadata__`; empty if there are none. */
  metadata: Record<string, string>;
}

/** Options of `readSafetensors`. */
export interface SafetensorsOptions {
  /** The tensors to read, by their names, or by a function of a name (default: all). */
  only?: readonly string[] | NameFilter | undefined;
}

/** The format's names of the types that are read: F64, BF16 ... */
const STORED: ReadonlyMap<string, ElementType> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ (Object.keys(ELEMENT_ARRAYS) as ElementType[]).map((dtype) => [dtype.toUpperCase(), dtype]),
);

/**
 * Reads a safetensors file. F64, F32 and I32 keep their type, F16 and BF16 widen to f32 exactly: these are Tensors. I64
 * and U64 come as BigInt64Array and BigUint64Array, I16, I8, U32, U16 and U8 as the arrays of those names, BOOL as a
 * Uint8Array. Every array is fresh. Time and memory are a small multiple of the file's size.
 *
 * @typeParam T the type that the caller expects: `Tensor` (default), as layers take it, or `StoredTensor`. It is not checked
 *   here; functions that take a Tensor refuse other arrays with a DtypeError
 * @param bytes the whole file, as of https://huggingface.co/docs/safetensors#format
 * @param options `only`: which tensors to read; the others may have any dtype
 * @throws FormatError, saying what is wrong, or what the file is, for anything that is not a whole valid file;
 *   UnsupportedError, naming the tensor, for another dtype (F8 ...); ValueError naming the names of `only` that are not in
 *   the file; DtypeError where bytes is no Uint8Array
 */
export function readSafetensors<T extends StoredTensor = Tensor>(
  bytes: Uint8Array,
  options: SafetensorsOptions = {},
): SafetensorsContent<T> {
  const file = takeBytes("bytes", bytes);
  const size = file.length;
  const chooses = checkOnly(checkOptions("readSafetensors", options, ["only"]).only);
  const { entries, metadata, dataStart } = readHeader(file, size);
  const chosen = chooses(entries);
  if (file.length !== size) throw new DtypeError("bytes", "an array that changed its length", "one that stays");
  for (const { name, dtype } of chosen) {
    if (STORED.has(dtype)) continue;
    const expected = `${[...STORED.keys()].join(", ")}, or \`only\` without it`;
    throw new UnsupportedError(`tensor ${quote(name)} dtype`, dtype, expected);
  }
  const tensors = Object.create(null) as Record<string, StoredTensor>;
  for (const { name, dtype, shape, begin, end } of chosen) {
    // a copy is aligned, and the caller's own
    const copy = new Uint8Array(end - begin);
    copy.set(file.subarray(dataStart + begin, dataStart + end));
    const type = STORED.get(dtype)!;
    const numbers = new ELEMENT_ARRAYS[type](copy.buffer);
    const data = type === "f16" || type === "bf16" ? widenHalf(type, numbers as Uint16Array) : numbers;
    tensors[name] = { data, shape };
  }
  return { tensors: tensors as Record<string, T>, metadata };
}

/**
 * Writes a safetensors file. f64, f32 and i32 arrays become F64, F32, I32, integers of other sizes I64, U64, U32, I16, U16, I8, U8, sorted
 * so that each is aligned in the file: equal arguments give equal bytes, whatever the order of the keys.
 *
 * @param tensors by name, such as a `stateDict()`, of any type that `readSafetensors` gives
 * @param metadata strings by name (default: none)
 * @returns the bytes of the file
 * @throws DtypeError for another kind of array, ShapeError where a shape does not hold its data, FormatError for a name or
 *   metadata that the format cannot hold
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, StoredTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  if (!isRecord(tensors)) throw new DtypeError("tensors", describe(tensors), "a record of tensors by name");
  if (!isRecord(metadata)) throw new FormatError("metadata", describe(metadata), "a record of strings by name");
  const entries = Object.entries(tensors).map(([name, tensor]) => encodeEntry(name, tensor));
  entries.sort((a, b) => b.size - a.size || compare(a.name, b.name));

  const fields: string[] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => compare(a, b));
  for (const [key, value] of pairs) {
    if (typeof value !== "string") throw new FormatError(`metadata ${quote(key)}`, describe(value), "a string");
  }
  if (pairs.length > 0) fields.push(`"__metadata__":${JSON.stringify(Object.fromEntries(pairs))}`);
  let offset = 0;
  for (const { name, dtype, size, shape, bytes } of entries) {
    if (bytes.length !== elements(shape) * size) {
      // a getter of a later entry detached the array
      throw new DtypeError(`tensor ${quote(name)}`, "an array that changed its length", "one that stays");
    }
    const end = offset + bytes.length;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = encodeUtf8(`{${fields.join(",")}}`);
  const headerSize = Math.ceil(json.length / 8) * 8;
  if (headerSize > MAX_HEADER) throw new FormatError("header", `${headerSize} bytes`, `at most ${MAX_HEADER}`);

  const file = new Uint8Array(PREFIX + headerSize + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerSize), true);
  file.set(json, PREFIX);
  file.fill(0x20, PREFIX + json.length, PREFIX + headerSize);
  let position = PREFIX + headerSize;
  for (const { bytes } of entries) {
    file.set(bytes, position);
    position += bytes.length;
  }
  return file;
}

// --- writing ---------------------------------------------------------------------------------------------------------

function encodeEntry(name: string, tensor: unknown) {
  const argument = `tensor ${quote(name)}`;
  if (name === "__metadata__") throw new FormatError(argument, "a reserved name", "another");
  if (!isRecord(tensor)) throw new DtypeError(argument, describe(tensor), "a tensor { data, shape }");
  const { data, shape: given } = tensor;
  const dtype = numberTypeOf(data) as ElementType | undefined;
  if (dtype === undefined) throw new DtypeError(argument, describe(data), "a typed array of numbers");
  const bytes = bytesOf(argument, data);
  const size = bytesPerElement(dtype);
  const shape = sizesOf(given);
  if (shape === undefined || elements(shape) * size !== bytes.length) {
    throw new ShapeError(argument, `shape ${quote(given)}`, `one that holds its ${bytes.length / size} numbers`);
  }
  return { name, dtype: dtype.toUpperCase(), size, shape, bytes };
}

/** A copy of a caller's shape; undefined where it is no shape. */
export function sizesOf(value: unknown): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const sizes: number[] = [];
  for (let i = 0; i < value.length; i++) {
    const size: unknown = value[i];
    if (!Number.isSafeInteger(size) || (size as number) < 0) return undefined;
    sizes.push(size as number);
  }
  return sizes;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
