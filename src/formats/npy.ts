// Reads and writes NumPy's .npy and .npz files in memory; ../npy.ts describes the formats.

import { DtypeError, FormatError, ShapeError, UnsupportedError } from "../../bindings/errors.js";
import { describe, MAX_RANK, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions } from "../base/check.js";
import { bytesPerElement, type ElementType } from "../base/element.js";
import { bytesOf, numberTypeOf, takeBytes } from "./arrays.js";
import { hinted, identify } from "./identify.js";
import { isRecord, quote } from "./json.js";
import { checkOnly, type NameFilter } from "./only.js";
import { parsePython } from "./python-literal.js";
import { elements } from "./safetensors-header.js";
import { sizesOf, type StoredTensor } from "./safetensors.js";
import { columnMajor, readNumbers } from "./strided.js";
import { decodeLatin1, decodeUtf8 } from "./utf8.js";
import { checkMaxBytes, readZip, unzip, writeZip } from "./zip.js";

/** Options of `readNpz`. */
export interface NpzOptions {
  /** The arrays to read, by their names, or by a function of a name (default: all). */
  only?: readonly string[] | NameFilter | undefined;
  /**
   * The most bytes that the archive's files may have together when inflated (default: 1 GiB, or four times the size of the
   * archive if that is more).
   */
  maxBytes?: number | undefined;
}

/** Options of `writeNpz`. */
export interface WriteNpzOptions {
  /** Whether to deflate the arrays, as `numpy.savez_compressed` does (default false). */
  compress?: boolean | undefined;
}

const MAGIC = "\x93NUMPY";

/** The types by NumPy's kind and size. */
const TYPES: ReadonlyMap<string, ElementType> = /* @__PURE__ */ new Map([
  ["f8", "f64"],
  ["f4", "f32"],
  ["f2", "f16"],
  ["i8", "i64"],
  ["i4", "i32"],
  ["i2", "i16"],
  ["i1", "i8"],
  ["u8", "u64"],
  ["u4", "u32"],
  ["u2", "u16"],
  ["u1", "u8"],
  ["b1", "bool"],
]);

/** What is written for each type of array. */
const DESCRIPTIONS: ReadonlyMap<string, string> = /* @__PURE__ */ new Map(
  /* @__PURE__ */ [...TYPES]
    .filter(([, type]) => type !== "bool")
    .map(([name, type]) => [type, (name.endsWith("1") ? "|" : "<") + name]),
);

const KINDS = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1, of either byte order";

/**
 * Reads a .npy file. float64, float32 and int32 keep their type and float16 widens to f32 exactly: these are Tensors. int64
 * and uint64 come as BigInt64Array and BigUint64Array, int16, int8, uint32, uint16 and uint8 as the arrays of those names,
 * bool as a Uint8Array. Numbers in Fortran order or of the other byte order come row-major and native. The array is fresh.
 *
 * @typeParam T the type that the caller expects: `Tensor` (default), as layers take it, or `StoredTensor`. It is not checked
 *   here; functions that take a Tensor refuse other arrays with a DtypeError
 * @param bytes the whole file, of version 1.0, 2.0 or 3.0
 * @throws FormatError, saying what is wrong, or what the file is, for anything that is not a whole valid file;
 *   UnsupportedError for other dtypes (object, complex, string, structured ...) and versions; DtypeError where bytes is no
 *   Uint8Array
 */
export function readNpy<T extends StoredTensor = Tensor>(bytes: Uint8Array): T {
  return decode("bytes", takeBytes("bytes", bytes)) as T;
}

/**
 * Reads a .npz archive: its arrays by their names, without ".npy". The record has no prototype, so that any name is an
 * ordinary key. Nothing is unpacked to a disk.
 *
 * @typeParam T as of `readNpy`
 * @param bytes the whole file, stored or deflated
 * @param options `only`: which arrays to read, the others may have any dtype; `maxBytes`: a limit against archives that inflate
 *   to much more than they are
 * @throws as `readNpy`, naming the array; FormatError also for files that are no arrays, and beyond `maxBytes`; ValueError for
 *   options, naming the names of `only` that are not in the archive
 */
export function readNpz<T extends StoredTensor = Tensor>(
  bytes: Uint8Array,
  options: NpzOptions = {},
): Record<string, T> {
  const { only, maxBytes } = checkOptions("readNpz", options, ["only", "maxBytes"]);
  const chooses = checkOnly(only);
  const file = takeBytes("bytes", bytes);
  const size = file.length;
  const entries = readZip(file, "a NumPy .npz file", checkMaxBytes(maxBytes, size));
  const arrays = [...entries.values()].map((entry) => {
    if (!entry.name.endsWith(".npy")) {
      const expected = 'names that end in ".npy"';
      const kind = identify(file);
      const given = kind === undefined || kind.name.includes("npz") ? `a file ${quote(entry.name)}` : kind.name;
      throw new FormatError("bytes", given, kind ? hinted(expected, kind) : expected);
    }
    return { name: entry.name.slice(0, -".npy".length), entry };
  });
  const chosen = chooses(arrays);
  if (file.length !== size) throw new DtypeError("bytes", "an array that changed its length", "one that stays");
  const tensors = Object.create(null) as Record<string, StoredTensor>;
  for (const { name, entry } of chosen) tensors[name] = decode(`array ${quote(name)}`, unzip(file, entry));
  return tensors as Record<string, T>;
}

/**
 * Writes a .npy file, of version 1.0, little-endian and row-major: the bytes of `numpy.save`.
 *
 * @param tensor numbers of any type that `readNpy` gives; a Uint8Array becomes uint8
 * @throws DtypeError for another kind of array, ShapeError where the shape does not hold its data
 */
export function writeNpy(tensor: StoredTensor): Uint8Array<ArrayBuffer> {
  return encode("tensor", tensor);
}

/**
 * Writes a .npz archive, as `numpy.savez` does, in the order of the record's keys. Equal arguments give equal bytes.
 *
 * @param tensors by name, such as a `stateDict()`
 * @param options `compress`: deflate, as `numpy.savez_compressed`
 * @throws as `writeNpy`, naming the tensor; FormatError for a name that is no Unicode, ValueError for options;
 *   UnsupportedError for more than 4 GiB
 */
export function writeNpz(
  tensors: Readonly<Record<string, StoredTensor>>,
  options: WriteNpzOptions = {},
): Uint8Array<ArrayBuffer> {
  const { compress = false } = checkOptions("writeNpz", options, ["compress"]);
  checkFlag("compress", compress);
  if (!isRecord(tensors)) throw new DtypeError("tensors", describe(tensors), "a record of tensors by name");
  const files = new Map<string, Uint8Array>();
  for (const [name, tensor] of Object.entries(tensors))
    files.set(`${name}.npy`, encode(`tensor ${quote(name)}`, tensor));
  return writeZip(files, compress);
}

// --- reading ---------------------------------------------------------------------------------------------------------

function decode(argument: string, bytes: Uint8Array): StoredTensor {
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[i] === MAGIC.charCodeAt(i)) continue;
    const kind = identify(bytes);
    const received = kind?.name ?? (bytes.length < MAGIC.length ? `${bytes.length} bytes` : "another beginning");
    throw new FormatError(argument, received, kind ? hinted("a NumPy .npy file", kind) : "a NumPy .npy file");
  }
  const [major, minor] = [bytes[6] ?? 0, bytes[7] ?? 0];
  if (bytes.length < 12) throw new FormatError(argument, `${bytes.length} bytes`, "a whole .npy file");
  if (major < 1 || major > 3 || minor !== 0) {
    throw new UnsupportedError(`${argument} version`, `${major}.${minor}`, "1.0, 2.0 or 3.0");
  }
  const start = major === 1 ? 10 : 12;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + length > bytes.length) {
    throw new FormatError(`${argument} header`, `a length of ${length} bytes`, `at most ${bytes.length - start}`);
  }
  const { type, bigEndian, fortran, shape } = readHeader(argument, bytes.subarray(start, start + length), major === 3);
  const count = elements(shape);
  const data = bytes.subarray(start + length);
  const wanted = count * bytesPerElement(type);
  if (data.length !== wanted) {
    throw new FormatError(
      argument,
      `${data.length} bytes of numbers`,
      `${wanted} for ${type} of shape ${quote(shape)}`,
    );
  }
  const strides = fortran && count > 0 ? columnMajor(shape) : undefined;
  return { data: readNumbers(type, data, { bigEndian, strides, shape, count }), shape };
}

/** The header: the text of a Python dictionary. */
function readHeader(argument: string, bytes: Uint8Array, utf8: boolean) {
  const where = `${argument} header`;
  const header = parsePython(where, utf8 ? decodeUtf8(bytes, where) : decodeLatin1(bytes));
  if (!(header instanceof Map) || header.size !== 3) {
    throw new FormatError(where, "another literal", "a dictionary of descr, fortran_order, shape");
  }
  const fortran = header.get("fortran_order");
  if (typeof fortran !== "boolean") throw new FormatError(`${where} fortran_order`, quote(fortran), "True or False");
  const shape = sizesOf(header.get("shape"));
  if (shape === undefined || shape.length > MAX_RANK || Number.isNaN(elements(shape))) {
    const expected = `at most ${MAX_RANK} whole numbers >= 0, fewer than 2^53 elements`;
    throw new FormatError(`${where} shape`, quote(header.get("shape")), expected);
  }
  return { ...parseDescription(argument, header.get("descr")), fortran, shape };
}

/** The type and byte order of a dtype's description, such as "<f4". */
export function parseDescription(argument: string, descr: unknown): { type: ElementType; bigEndian: boolean } {
  if (typeof descr !== "string") {
    if (!Array.isArray(descr)) throw new FormatError(`${argument} descr`, quote(descr), "a dtype such as '<f4'");
    throw new UnsupportedError(`${argument} dtype`, "a structured one", KINDS);
  }
  const order = /^[<>=|]/.exec(descr)?.[0];
  const type = TYPES.get(order ? descr.slice(1) : descr);
  if (type === undefined) throw new UnsupportedError(`${argument} dtype`, quote(descr), KINDS);
  return { type, bigEndian: order === ">" };
}

// --- writing ---------------------------------------------------------------------------------------------------------

/** NumPy leaves room for an axis to grow to so many digits. */
const GROWTH_DIGITS = 21;

function encode(argument: string, tensor: unknown): Uint8Array<ArrayBuffer> {
  if (!isRecord(tensor)) throw new DtypeError(argument, describe(tensor), "a tensor { data, shape }");
  const { data, shape: given } = tensor;
  const type = numberTypeOf(data);
  const descr = DESCRIPTIONS.get(type ?? "");
  if (descr === undefined) throw new DtypeError(argument, describe(data), "a typed array of numbers");
  const shape = sizesOf(given);
  const bytes = bytesOf(argument, data);
  const size = Number(descr.slice(2));
  if (shape === undefined || shape.length > MAX_RANK || elements(shape) * size !== bytes.length) {
    throw new ShapeError(argument, `shape ${quote(given)}`, `one that holds its ${bytes.length / size} numbers`);
  }
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const growth = shape.length === 0 ? 0 : GROWTH_DIGITS - `${shape[0]}`.length;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }${" ".repeat(growth)}`;
  const start = Math.ceil((10 + text.length + 1) / 64) * 64;
  const header = `${MAGIC}\x01\x00\x00\x00${text}`.padEnd(start - 1) + "\n";
  const file = new Uint8Array(start + bytes.length);
  for (let i = 0; i < start; i++) file[i] = header.charCodeAt(i);
  new DataView(file.buffer).setUint16(8, start - 10, true);
  file.set(bytes, start);
  return file;
}
