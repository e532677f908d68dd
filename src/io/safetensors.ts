/**
 * The safetensors format (https://huggingface.co/docs/safetensors), both ways, in memory.
 *
 *     u64 little-endian: H | H bytes of JSON, padded with spaces | data: every tensor's numbers, little-endian, row-major
 *     { "__metadata__": { string: string }, name: { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] } }
 *
 * Offsets count from the start of the data and cover it without gap or overlap. Files on a disk, and what the tensors
 * mean, are not handled here. Hosts are taken to be little-endian, as WebAssembly is.
 *
 * @module wasm-rnn/safetensors
 */

import { DtypeError, FormatError, ShapeError, UnsupportedError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";

/** What a safetensors file holds. Both records have no prototype, so that any name is an ordinary key. */
export interface SafetensorsContent {
  /** The tensors by name. */
  tensors: Record<string, Tensor>;
  /** What stands under `__metadata__`; empty where nothing does. */
  metadata: Record<string, string>;
}

/** Header limit of the format's reference implementation, in bytes. */
const MAX_HEADER = 100_000_000;

/** How one stored dtype becomes a Tensor's array. `size` is bytes per element; `read` takes a fresh, aligned buffer. */
interface StoredType {
  size: number;
  read: (buffer: ArrayBuffer) => Tensor["data"];
}

const STORED = new Map<string, StoredType>([
  ["F64", { size: 8, read: (buffer) => new Float64Array(buffer) }],
  ["F32", { size: 4, read: (buffer) => new Float32Array(buffer) }],
  ["I32", { size: 4, read: (buffer) => new Int32Array(buffer) }],
  ["F16", { size: 2, read: (buffer) => widen(new Uint16Array(buffer), f16ToF32Bits) }],
  ["BF16", { size: 2, read: (buffer) => widen(new Uint16Array(buffer), (half) => half << 16) }],
]);

/**
 * Reads a safetensors file. F64, F32 and I32 keep their type; F16 and BF16 widen to f32 exactly. Every array is fresh.
 *
 * No size in the file is trusted before it was checked against `bytes`.
 *
 * @param bytes the whole file, as of https://huggingface.co/docs/safetensors#format
 * @throws FormatError, saying what is wrong, for anything that is not a whole valid file; UnsupportedError, naming the
 *   tensor, for another dtype; DtypeError where bytes is no Uint8Array
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsContent {
  const dataStart = headerEnd(bytes);
  const header = parseHeader(bytes.subarray(8, dataStart));
  const content: SafetensorsContent = { tensors: emptyRecord(), metadata: emptyRecord() };
  const ranges: Range[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") readMetadata(entry, content.metadata);
    else ranges.push(checkEntry(name, entry, bytes.length - dataStart));
  }
  checkCover(ranges, bytes.length - dataStart);
  for (const { name, type, shape, begin, end } of ranges) {
    // a copy is aligned, and the caller's own
    const copy = new Uint8Array(end - begin);
    copy.set(bytes.subarray(dataStart + begin, dataStart + end));
    content.tensors[name] = { data: type.read(copy.buffer), shape };
  }
  return content;
}

/**
 * Writes a safetensors file. f64, f32 and i32 arrays become F64, F32, I32, sorted so that each is aligned in the file:
 * equal arguments give equal bytes, whatever the order of the keys.
 *
 * @param tensors by name, such as a `stateDict()`
 * @param metadata strings by name (default: none)
 * @returns the bytes of the file
 * @throws DtypeError for another kind of array, ShapeError where a shape does not hold its data, FormatError for a name or
 *   metadata that the format cannot hold
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const entries = Object.entries(tensors).map(([name, tensor]) => encodeEntry(name, tensor));
  entries.sort((a, b) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT || compare(a.name, b.name));

  const fields: string[] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => compare(a, b));
  for (const [key, value] of pairs) {
    if (typeof value !== "string") throw new FormatError(`metadata ${quote(key)}`, describe(value), "a string");
  }
  if (pairs.length > 0) fields.push(`"__metadata__":${JSON.stringify(Object.fromEntries(pairs))}`);
  let offset = 0;
  for (const { name, dtype, shape, data } of entries) {
    const end = offset + data.byteLength;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = encodeUtf8(`{${fields.join(",")}}`);
  const headerSize = Math.ceil(json.length / 8) * 8;
  if (headerSize > MAX_HEADER) throw new FormatError("header", `${headerSize} bytes`, `at most ${MAX_HEADER}`);

  const file = new Uint8Array(8 + headerSize + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerSize), true);
  file.set(json, 8);
  file.fill(0x20, 8 + json.length, 8 + headerSize);
  let position = 8 + headerSize;
  for (const { data } of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return file;
}

// --- reading ---------------------------------------------------------------------------------------------------------

interface Range {
  name: string;
  type: StoredType;
  shape: number[];
  begin: number;
  end: number;
}

/** Checks the length prefix and returns where the data starts. */
function headerEnd(bytes: Uint8Array): number {
  if (!(bytes instanceof Uint8Array)) throw new DtypeError("bytes", describe(bytes), "a Uint8Array");
  if (bytes.length < 8) throw new FormatError("bytes", `${bytes.length}`, "at least the 8 of the header's length");
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER, bytes.length - 8);
  if (length > BigInt(limit)) {
    const whose = limit === MAX_HEADER ? "" : " that follow in the file";
    throw new FormatError("header", `a length of ${length} bytes`, `at most the ${limit}${whose}`);
  }
  return 8 + Number(length);
}

function parseHeader(bytes: Uint8Array): object {
  const expected = "a JSON object from its first byte on";
  if (bytes[0] !== 0x7b) throw new FormatError("header", `first byte ${bytes[0] ?? "none"}`, expected);
  const text = decodeUtf8(bytes, "header");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw new FormatError("header", error instanceof Error ? error.message : String(error), expected);
  }
  if (!isRecord(header)) throw new FormatError("header", describe(header), expected);
  checkDuplicates(text);
  return header;
}

/** JSON.parse keeps the last of equal keys without a word, so they are looked for in the text (valid JSON by now). */
function checkDuplicates(json: string): void {
  const open: Set<string>[] = []; // the keys seen in each object or array around the place
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === "{" || character === "[") open.push(new Set());
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const start = i++;
      for (; json[i] !== '"'; i++) if (json[i] === "\\") i++;
      let next = i + 1;
      while (json.charCodeAt(next) <= 0x20) next++; // JSON's white space; no other control character can stand here
      if (json[next] !== ":") continue;
      const key = String(JSON.parse(json.slice(start, i + 1)));
      const keys = open[open.length - 1];
      if (keys?.has(key)) throw new FormatError("header", `key ${quote(key)} twice`, "each key once");
      keys?.add(key);
    }
  }
}

function readMetadata(value: unknown, metadata: Record<string, string>): void {
  if (!isRecord(value)) throw new FormatError("__metadata__", describe(value), "a JSON object");
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new FormatError(`metadata ${quote(key)}`, describe(text), "a string");
    metadata[key] = text;
  }
}

/** Checks one tensor's entry: types, dtype, the shape against the offsets, the offsets against the data. */
function checkEntry(name: string, entry: unknown, dataSize: number): Range {
  const tensor = `tensor ${quote(name)}`;
  if (!isRecord(entry)) throw new FormatError(tensor, describe(entry), "a JSON object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string") throw new FormatError(`${tensor} dtype`, describe(dtype), "a string");
  if (!isSizes(shape)) throw new FormatError(`${tensor} shape`, quote(shape), "a list of whole numbers >= 0");
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw new FormatError(`${tensor} data_offsets`, quote(offsets), "two whole numbers >= 0");
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end || end > dataSize) {
    const expected = `begin <= end <= ${dataSize}, the bytes of data in the file`;
    throw new FormatError(`${tensor} data_offsets`, quote(offsets), expected);
  }
  const type = STORED.get(dtype);
  if (type === undefined) throw new UnsupportedError(`${tensor} dtype`, dtype, [...STORED.keys()].join(", "));
  const count = elements(shape);
  if (Number.isNaN(count)) throw new FormatError(`${tensor} shape`, quote(shape), "fewer than 2^53 elements");
  if (type.size * count !== end - begin) {
    const expected = `${type.size * count} for ${dtype} of shape ${quote(shape)}`;
    throw new FormatError(`${tensor} data_offsets`, `${end - begin} bytes`, expected);
  }
  return { name, type, shape, begin, end };
}

/** The tensors must cover the data exactly: each begins where the one before it ended. */
function checkCover(ranges: readonly Range[], dataSize: number): void {
  let covered = 0;
  for (const { name, begin, end } of [...ranges].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      throw new FormatError(
        `tensor ${quote(name)} data_offsets`,
        `begin ${begin}`,
        `${covered}, where the one before ends`,
      );
    }
    covered = end;
  }
  if (covered !== dataSize) throw new FormatError("data", `${dataSize} bytes`, `${covered}, the last tensor's end`);
}

/** Half-precision numbers to f32; `bits` gives the f32 pattern of one. Working on patterns keeps NaN payloads. */
function widen(halves: Uint16Array, bits: (half: number) => number): Float32Array {
  const patterns = new Int32Array(halves.length);
  for (let i = 0; i < halves.length; i++) patterns[i] = bits(halves[i] ?? 0);
  return new Float32Array(patterns.buffer);
}

function f16ToF32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // brings the leading one of a subnormal to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

// --- writing ---------------------------------------------------------------------------------------------------------

function encodeEntry(name: string, tensor: Tensor) {
  const argument = `tensor ${quote(name)}`;
  if (name === "__metadata__") throw new FormatError(argument, "a reserved name", "another");
  const { data, shape } = tensor;
  const dtype = storedDtype(data);
  if (dtype === undefined) throw new DtypeError(argument, describe(data), "a Float64Array, Float32Array or Int32Array");
  if (!isSizes(shape) || elements(shape) !== data.length) {
    throw new ShapeError(argument, `shape ${quote(shape)}`, `one that holds its ${data.length} numbers`);
  }
  return { name, dtype, shape, data };
}

function storedDtype(data: unknown): string | undefined {
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Float32Array) return "F32";
  return data instanceof Int32Array ? "I32" : undefined;
}

// --- both ------------------------------------------------------------------------------------------------------------

/** Elements of a shape; 1 for a scalar's []; NaN, which equals no size, where the product leaves the safe integers. */
function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => (product * size > Number.MAX_SAFE_INTEGER ? NaN : product * size), 1);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function emptyRecord<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A value as JSON has it, cut where it is long, for messages. */
function quote(value: unknown): string {
  const json = JSON.stringify(value) ?? "nothing";
  return json.length > 100 ? `${json.slice(0, 100)}...` : json;
}
