// Reads zip archives in memory (PKWARE's APPNOTE): the directory at the end, and entries that are stored or deflated. fflate
// inflates; its own unzip allocates by the sizes that the directory tells, and compares no checksums. Names are keys, no paths.

import { Inflate, zipSync, type Zippable } from "fflate/browser";
import { FormatError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { quote } from "./json.js";
import { hinted, identify } from "./identify.js";
import { decodeLatin1, decodeUtf8, encodeUtf8 } from "./utf8.js";

/** A file in an archive. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes of its content. */
  readonly size: number;
  /** Bytes in the archive. */
  readonly packed: number;
  readonly deflated: boolean;
  readonly crc: number;
  /** Where its local header begins. */
  readonly header: number;
}

/** The contents of files may have 1 GiB together, or four times the bytes of the file that was read. */
const DEFAULT_LIMIT = 2 ** 30;

/** Deflate packs 258 bytes into two bits at best. */
const MAX_RATIO = 1032;

/** Bytes that are inflated at a time. */
const PIECE = 1 << 16;

const END = 22;
const DIRECTORY_ENTRY = 46;
const LOCAL_HEADER = 30;

/**
 * The option `maxBytes`: an integer >= 0, or what a file of that size gets by default.
 *
 * @throws ValueError
 */
export function checkMaxBytes(maxBytes: unknown, fileSize: number): number {
  if (maxBytes === undefined) return Math.max(DEFAULT_LIMIT, 4 * fileSize);
  if (!Number.isSafeInteger(maxBytes) || (maxBytes as number) < 0) {
    throw new ValueError("maxBytes", describe(maxBytes), "an integer >= 0");
  }
  return maxBytes as number;
}

/** The error for content beyond the option `maxBytes`. */
export function beyondLimit(argument: string, bytes: number, maxBytes: number): FormatError {
  return new FormatError(argument, `${bytes} bytes of content`, `at most ${maxBytes} (the option maxBytes)`);
}

/** Whether a file begins as zip archives do. */
export function looksLikeZip(bytes: Uint8Array): boolean {
  const [p, k, three, four] = bytes;
  return p === 0x50 && k === 0x4b && ((three === 3 && four === 4) || (three === 5 && four === 6));
}

/**
 * The directory of an archive, by name. Time and memory are a small multiple of the directory's size.
 *
 * @param bytes the archive
 * @param maxBytes the most bytes that all contents may have together
 * @throws FormatError for anything that is no whole archive, for a name that comes twice, and beyond `maxBytes`;
 *   UnsupportedError for encryption, several disks, and compression other than deflate
 */
export function readZip(bytes: Uint8Array, expected: string, maxBytes: number): Map<string, ZipEntry> {
  if (!looksLikeZip(bytes)) {
    const kind = identify(bytes);
    throw new FormatError("bytes", kind?.name ?? "no zip archive", kind ? hinted(expected, kind) : expected);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { count, start, end } = findDirectory(view);
  const entries = new Map<string, ZipEntry>();
  let [at, contents, packed] = [start, 0, 0];
  for (let i = 0; i < count; i++) {
    const { entry, next } = readEntry(bytes, view, at, end);
    if (entries.has(entry.name)) throw new FormatError(`entry ${quote(entry.name)}`, "the name twice", "it once");
    entries.set(entry.name, entry);
    at = next;
    contents += entry.size;
    packed += entry.packed;
    if (contents > maxBytes) throw beyondLimit("bytes", contents, maxBytes);
    // entries that share bytes would make much of little
    if (packed > bytes.length)
      throw new FormatError("entries", `${packed} bytes`, `at most ${bytes.length}, the file's`);
  }
  return entries;
}

/**
 * The content of an entry: a view of the archive where it is stored, else a fresh array.
 *
 * @throws FormatError where it is not what the directory says
 */
export function unzip(bytes: Uint8Array, entry: ZipEntry): Uint8Array {
  const argument = `entry ${quote(entry.name)}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fixed = entry.header + LOCAL_HEADER;
  if (fixed > bytes.length || view.getUint32(entry.header, true) !== 0x04034b50) {
    throw new FormatError(argument, `no file at byte ${entry.header}`, "a file's header");
  }
  const begin = fixed + view.getUint16(entry.header + 26, true) + view.getUint16(entry.header + 28, true);
  const end = begin + entry.packed;
  if (end > bytes.length) throw new FormatError(argument, "an end beyond the file's", `${bytes.length} at most`);
  const packed = bytes.subarray(begin, end);
  const content = entry.deflated ? inflate(argument, packed, entry.size) : packed;
  if (crc32(content) !== entry.crc) throw new FormatError(argument, "another checksum", "the directory's (CRC-32)");
  return content;
}

/**
 * An archive of files, in the record's order; equal arguments give equal bytes.
 *
 * @throws FormatError for a name that zip cannot hold; UnsupportedError for more than 4 GiB or 65535 files
 */
export function writeZip(files: ReadonlyMap<string, Uint8Array>, compress: boolean): Uint8Array<ArrayBuffer> {
  const record = Object.create(null) as Zippable;
  let total = END;
  for (const [name, content] of files) {
    const { length } = encodeUtf8(name);
    if (length > 0xffff) throw new FormatError("name", `${length} bytes`, "at most 65535");
    total += content.length + DIRECTORY_ENTRY + LOCAL_HEADER + 2 * length;
    // a date that does not depend on today or on the time zone
    record[name] = [content, { level: compress ? 6 : 0, mtime: new Date(1980, 0, 1) }];
  }
  if (files.size > 0xfffe || total > 0xffff_0000) {
    throw new UnsupportedError("tensors", `${files.size} files, ${total} bytes`, "at most 65534 files and 4 GiB");
  }
  return zipSync(record);
}

// --- the directory ---------------------------------------------------------------------------------------------------

/** How many entries the directory has, where it begins and where it must end. */
function findDirectory(view: DataView): { count: number; start: number; end: number } {
  const last = view.byteLength - END;
  for (let at = last; at >= 0 && at >= last - 0xffff; at--) {
    if (view.getUint32(at, true) !== 0x06054b50 || at + END + view.getUint16(at + 20, true) !== view.byteLength)
      continue;
    const large = findLargeDirectory(view, at);
    if (!large && (view.getUint16(at + 4, true) !== 0 || view.getUint16(at + 6, true) !== 0)) {
      throw new UnsupportedError("bytes", "a zip archive of several disks", "one");
    }
    const end = large?.at ?? at;
    const count = large?.count ?? view.getUint16(at + 10, true);
    const start = large?.start ?? view.getUint32(at + 16, true);
    if (start > end || count * DIRECTORY_ENTRY > end - start) {
      throw new FormatError(
        "zip directory",
        `${count} entries at byte ${start}`,
        `entries that end before byte ${end}`,
      );
    }
    return { count, start, end };
  }
  throw new FormatError("bytes", "a zip archive without its end", "a whole one");
}

/** The end of directory of zip64, if the archive has one. */
function findLargeDirectory(view: DataView, end: number): { at: number; count: number; start: number } | undefined {
  const locator = end - 20;
  if (locator < 0 || view.getUint32(locator, true) !== 0x07064b50) return undefined;
  const at = Number(view.getBigUint64(locator + 8, true));
  if (at + 56 > locator || view.getUint32(at, true) !== 0x06064b50) {
    throw new FormatError("zip directory", `no end of directory at byte ${at}`, "that of zip64");
  }
  return { at, count: Number(view.getBigUint64(at + 32, true)), start: Number(view.getBigUint64(at + 48, true)) };
}

function readEntry(bytes: Uint8Array, view: DataView, at: number, end: number): { entry: ZipEntry; next: number } {
  const fixed = at + DIRECTORY_ENTRY;
  if (fixed > end || view.getUint32(at, true) !== 0x02014b50) {
    throw new FormatError("zip directory", `no entry at byte ${at}`, "an entry");
  }
  const u16 = (offset: number) => view.getUint16(at + offset, true);
  const u32 = (offset: number) => view.getUint32(at + offset, true);
  const extra = fixed + u16(28);
  const next = extra + u16(30) + u16(32);
  if (next > end) throw new FormatError("zip directory", `an entry up to byte ${next}`, `its end by byte ${end}`);
  const raw = bytes.subarray(fixed, extra);
  const flags = u16(8);
  const name = flags & 0x800 ? decodeUtf8(raw, "zip directory") : decodeLatin1(raw);
  const argument = `entry ${quote(name)}`;
  if (flags & 0x2041) throw new UnsupportedError(argument, "encryption", "an archive without a password");
  const method = u16(10);
  if (method !== 0 && method !== 8) throw new UnsupportedError(argument, `compression ${method}`, "stored or deflated");
  const [size = 0, packed = 0, header = 0] = largeFields(argument, view, extra, extra + u16(30), [
    u32(24),
    u32(20),
    u32(42),
  ]);
  const deflated = method === 8;
  if (packed > bytes.length || (deflated ? size > MAX_RATIO * packed : size !== packed)) {
    const expected = deflated ? `at most ${MAX_RATIO} times as many` : `as many, at most ${bytes.length}`;
    throw new FormatError(argument, `${size} bytes in ${packed}`, expected);
  }
  return { entry: { name, size, packed, deflated, crc: u32(16), header }, next };
}

/** The fields; those of 2^32 - 1 are in the extra field of zip64. */
function largeFields(argument: string, view: DataView, from: number, end: number, fields: readonly number[]): number[] {
  if (!fields.includes(0xffffffff)) return [...fields];
  for (let at = from; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const last = Math.min(at + 4 + view.getUint16(at + 2, true), end);
    let next = at + 4;
    return fields.map((field) => {
      if (field !== 0xffffffff) return field;
      if (next + 8 > last) throw new FormatError(argument, "a short field of zip64", "its sizes");
      next += 8;
      return Number(view.getBigUint64(next - 8, true));
    });
  }
  throw new FormatError(argument, "no field of zip64", "its sizes");
}

// --- contents --------------------------------------------------------------------------------------------------------

/** Inflates piece by piece, and stops where more comes than the directory says. */
function inflate(argument: string, packed: Uint8Array, size: number): Uint8Array {
  const content = new Uint8Array(size);
  let filled = 0;
  let excess = false;
  const stream = new Inflate((piece) => {
    excess ||= filled + piece.length > size;
    if (!excess) content.set(piece, filled);
    filled += piece.length;
  });
  for (let at = 0; at < packed.length && !excess; at += PIECE) {
    try {
      stream.push(packed.subarray(at, at + PIECE), at + PIECE >= packed.length);
    } catch (error) {
      throw new FormatError(argument, `broken compression (${(error as Error).message})`, "deflate");
    }
  }
  if (filled !== size)
    throw new FormatError(argument, excess ? "more bytes" : `${filled} bytes`, `the directory's ${size}`);
  return content;
}

const CRC_TABLE = /* @__PURE__ */ Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

/** The checksum of zip. */
function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}
