// Reads the header of a safetensors file: the tensors' types, shapes and offsets, and the metadata. Every size is checked
// against the file's size before it is used. safetensors.ts reads the numbers.

import { FormatError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { hinted, identify } from "./identify.js";
import { isRecord, parseJson, quote } from "./json.js";
import { decodeUtf8 } from "./utf8.js";

/** Header limit of the format's reference implementation, in bytes. */
export const MAX_HEADER = 100_000_000;

/** Bytes of the prefix, which holds the header's length. */
export const PREFIX = 8;

/** Bytes per number of the format's types; types of less than a byte are not listed. */
const BYTES: ReadonlyMap<string, number> = /* @__PURE__ */ (() =>
  new Map([
    ...["F64", "I64", "U64", "C64"].map((name) => [name, 8] as const),
    ...["F32", "I32", "U32"].map((name) => [name, 4] as const),
    ...["F16", "BF16", "I16", "U16"].map((name) => [name, 2] as const),
    ...["I8", "U8", "BOOL", "F8_E5M2", "F8_E4M3", "F8_E8M0"].map((name) => [name, 1] as const),
  ]))();

/** A tensor in a file. */
export interface StoredEntry {
  readonly name: string;
  /** The file's name of the type: F32, I64 ..., or one that is unknown here. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its bytes, counted from the start of the data. */
  readonly begin: number;
  readonly end: number;
}

/** A parsed header. */
export interface SafetensorsHeader {
  /** In the order of the file. */
  readonly entries: readonly StoredEntry[];
  /** A record without a prototype. */
  readonly metadata: Record<string, string>;
  /** Where the data starts. */
  readonly dataStart: number;
}

/**
 * Reads and checks a header.
 *
 * @param bytes the file, or its beginning up to the end of the header
 * @param fileSize bytes of the whole file
 * @throws FormatError, which names the file's kind if it is known
 */
export function readHeader(bytes: Uint8Array, fileSize: number): SafetensorsHeader {
  const dataStart = PREFIX + headerLength(bytes, fileSize);
  const header = parseHeader(bytes.subarray(PREFIX, dataStart));
  const metadata = Object.create(null) as Record<string, string>;
  const entries: StoredEntry[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") readMetadata(entry, metadata);
    else entries.push(checkEntry(name, entry, fileSize - dataStart));
  }
  checkCover(entries, fileSize - dataStart);
  return { entries, metadata, dataStart };
}

/** The header's length as the prefix says it; NaN where the file is shorter than the prefix. */
function prefixOf(bytes: Uint8Array): number {
  if (bytes.length < PREFIX) return NaN;
  return Number(new DataView(bytes.buffer, bytes.byteOffset, PREFIX).getBigUint64(0, true));
}

/** Whether a file may be safetensors, judged by its size and its first nine bytes. */
export function looksLikeSafetensors(bytes: Uint8Array, fileSize: number): boolean {
  return bytes[PREFIX] === 0x7b && prefixOf(bytes) <= Math.min(MAX_HEADER, fileSize - PREFIX);
}

/**
 * The header's length in bytes, checked.
 *
 * @param bytes at least the first nine bytes of the file
 * @throws FormatError
 */
export function headerLength(bytes: Uint8Array, fileSize: number): number {
  if (!looksLikeSafetensors(bytes, fileSize)) {
    const kind = identify(bytes);
    if (kind) throw new FormatError("bytes", kind.name, hinted("a safetensors file", kind));
  }
  if (bytes.length < PREFIX) throw new FormatError("bytes", `${bytes.length}`, "at least the 8 of the header's length");
  const size = prefixOf(bytes);
  const limit = Math.min(MAX_HEADER, fileSize - PREFIX);
  if (size > limit) {
    const whose = limit === MAX_HEADER ? "" : " that follow in the file";
    const shown = new DataView(bytes.buffer, bytes.byteOffset, PREFIX).getBigUint64(0, true);
    throw new FormatError("header", `a length of ${shown} bytes`, `at most the ${limit}${whose}`);
  }
  return size;
}

function parseHeader(bytes: Uint8Array): object {
  const expected = "a JSON object from its first byte on";
  if (bytes[0] !== 0x7b) throw new FormatError("header", `first byte ${bytes[0] ?? "none"}`, expected);
  const header = parseJson("header", decodeUtf8(bytes, "header"), expected);
  if (!isRecord(header)) throw new FormatError("header", describe(header), expected);
  return header;
}

function readMetadata(value: unknown, metadata: Record<string, string>): void {
  if (!isRecord(value)) throw new FormatError("__metadata__", describe(value), "a JSON object");
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new FormatError(`metadata ${quote(key)}`, describe(text), "a string");
    metadata[key] = text;
  }
}

/** Checks one tensor's entry: the types of its fields, its offsets, and that its shape fits them. */
function checkEntry(name: string, entry: unknown, dataSize: number): StoredEntry {
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
  const count = elements(shape);
  if (Number.isNaN(count)) throw new FormatError(`${tensor} shape`, quote(shape), "fewer than 2^53 elements");
  const bytes = BYTES.get(dtype);
  if (bytes !== undefined && bytes * count !== end - begin) {
    const expected = `${bytes * count} for ${dtype} of shape ${quote(shape)}`;
    throw new FormatError(`${tensor} data_offsets`, `${end - begin} bytes`, expected);
  }
  return { name, dtype, shape, begin, end };
}

/** Checks that the tensors cover the data exactly: each begins where the one before it ends. */
function checkCover(entries: readonly StoredEntry[], dataSize: number): void {
  let covered = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      const expected = `${covered}, where the one before ends`;
      throw new FormatError(`tensor ${quote(name)} data_offsets`, `begin ${begin}`, expected);
    }
    covered = end;
  }
  if (covered !== dataSize) throw new FormatError("data", `${dataSize} bytes`, `${covered}, the last tensor's end`);
}

/** The number of elements; 1 for a scalar's []; NaN, which equals no size, where the product is no safe integer. */
export function elements(shape: readonly number[]): number {
  let product = 1;
  for (const size of shape) product = product * size > Number.MAX_SAFE_INTEGER ? NaN : product * size;
  return product;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
