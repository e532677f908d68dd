// The bytes of a dataset: compact, contiguous, or in chunks that may be deflated, shuffled and checked.

import { Inflate } from "fflate/browser";
import { sizeOf } from "../../../bindings/tensor.js";
import { DEFLATE_RATIO, UNDEFINED, type Bytes } from "./bytes.js";
import { eachLeaf } from "./trees.js";

/** What is known of a dataset: places of its messages, and sizes. */
export interface Stored {
  readonly layout: number;
  readonly filters: number | undefined;
  /** The place of a message with the number where nothing was written. */
  readonly fill: number | undefined;
  readonly shape: readonly number[];
  /** Bytes of one number. */
  readonly size: number;
}

/** A chunk in the file. */
interface Chunk {
  readonly offsets: readonly number[];
  readonly address: number;
  readonly length: number;
  /** Filters that were not applied. */
  readonly mask: number;
}

/** The bytes of a dataset, in the order of its numbers. */
export function dataOf(bytes: Bytes, stored: Stored): Uint8Array {
  const { layout, shape, size } = stored;
  const total = sizeOf(shape) * size;
  if (!(total <= bytes.length * DEFLATE_RATIO)) bytes.refuse("a dataset larger than the file", "data that are there");
  const [version, kind] = [bytes.u8(layout), bytes.u8(layout + 1)];
  if (version !== 3 && version !== 4) bytes.unsupported(`a layout of version ${version}`, "version 3 or 4");
  if (kind === 2) return chunked(bytes, stored, version, total);
  if (kind > 2) bytes.unsupported(`a layout of class ${kind}`, "compact, contiguous or chunked");
  const start = kind === 0 ? layout + 4 : bytes.u64(layout + 2);
  bytes.spend(total);
  if (kind === 1 && start === UNDEFINED) return filled(bytes, stored, total);
  const there = kind === 0 ? bytes.u16(layout + 2) : bytes.u64(layout + 10);
  if (there < total) bytes.refuse(`${there} bytes of data`, `${total}`);
  bytes.at(start, total);
  return bytes.all.subarray(start, start + total);
}

/** Bytes of a dataset of which nothing was written. */
function filled(bytes: Bytes, { fill, size }: Stored, total: number): Uint8Array {
  const out = new Uint8Array(total);
  if (fill === undefined) return out;
  const version = bytes.u8(fill);
  const flags = bytes.u8(fill + 1);
  const at = version === 3 ? fill + 2 : fill + 4;
  const isThere = version === 3 ? (flags & 0x20) !== 0 : version === 1 || bytes.u8(fill + 3) !== 0;
  const width = isThere ? bytes.u32(at) : 0;
  if (width === 0) return out;
  if (width !== size) bytes.refuse(`${width} bytes to fill with`, `${size}`);
  const one = bytes.all.subarray(bytes.at(at + 4, width), at + 4 + width);
  if (one.some((byte) => byte !== 0)) for (let i = 0; i < total; i += width) out.set(one, i);
  return out;
}

function chunked(bytes: Bytes, stored: Stored, version: number, total: number): Uint8Array {
  const { layout, filters, shape, size } = stored;
  const rank = bytes.u8(layout + (version === 3 ? 2 : 3)) - 1;
  if (rank !== shape.length || rank < 1) bytes.refuse(`chunks of ${rank} axes`, `${shape.length}`);
  const width = version === 3 ? 4 : bytes.u8(layout + 4);
  if (width < 1 || width > 8) bytes.refuse(`lengths of ${width} bytes`, "1 to 8");
  const first = layout + (version === 3 ? 11 : 5);
  const chunk = shape.map((_, i) => bytes.uint(first + width * i, width));
  const most = sizeOf(chunk) * size;
  if (!(most > 0 && most <= bytes.length * DEFLATE_RATIO))
    bytes.refuse("chunks larger than the file", "data that are there");
  const pipeline = filters === undefined ? [] : filtersOf(bytes, filters);
  const index = first + width * (rank + 1);
  const chunks = version === 3 ? treeOfChunks(bytes, bytes.u64(layout + 3), rank) : chunksOf(bytes, index, stored, chunk, most); // prettier-ignore
  const there = chunks.reduce((sum, { length }) => sum + length, 0);
  bytes.spend(there);
  if (!(total <= Math.max(there, 1) * DEFLATE_RATIO)) bytes.refuse(`${there} bytes of chunks`, `${total} bytes of numbers`); // prettier-ignore
  const out = filled(bytes, stored, total);
  for (const { offsets, address, length, mask } of chunks) {
    if (offsets.some((offset, i) => !(offset < shape[i]!) || offset % chunk[i]! !== 0))
      bytes.refuse("a chunk outside", "chunks within");
    if (!(most <= (length + 64) * DEFLATE_RATIO)) bytes.refuse(`a chunk of ${length} bytes`, `what ${most} bytes need`);
    const start = bytes.at(address, length);
    let data: Uint8Array = bytes.all.subarray(start, start + length);
    for (let i = pipeline.length - 1; i >= 0; i--) {
      if (((mask >> i) & 1) === 0) data = undo(bytes, pipeline[i]!, data, size, most);
    }
    if (data.length < most) bytes.refuse(`a chunk of ${data.length} bytes`, `${most}`);
    copyChunk(data, chunk, out, shape, offsets, size);
  }
  return out;
}

/** Chunks by a tree: the older form. */
function treeOfChunks(bytes: Bytes, tree: number, rank: number): Chunk[] {
  const chunks: Chunk[] = [];
  const keySize = 8 + 8 * (rank + 1);
  eachLeaf(bytes, tree, keySize, (at) => {
    const offsets = Array.from({ length: rank }, (_, i) => bytes.u64(at + 8 + 8 * i));
    chunks.push({ offsets, address: bytes.u64(at + keySize), length: bytes.u32(at), mask: bytes.u32(at + 4) });
  });
  return chunks;
}

/** Chunks in the latest form, for datasets that do not grow: one, one after the other, or by an array. */
function chunksOf(bytes: Bytes, index: number, stored: Stored, chunk: readonly number[], most: number): Chunk[] {
  const { layout, shape, filters } = stored;
  const kind = bytes.u8(index);
  if ((bytes.u8(layout + 2) & 1) !== 0) bytes.unsupported("chunks at the edge without filters", "the same for all");
  const counts = shape.map((n, i) => Math.ceil(n / chunk[i]!));
  const count = sizeOf(counts);
  if (!(count <= bytes.length)) bytes.refuse(`${count} chunks`, "chunks that are there");
  const chunkAt = (i: number, address: number, length = most, mask = 0): Chunk[] => {
    if (address === UNDEFINED) return [];
    let rest = i;
    const offsets = counts.map(() => 0);
    for (let axis = counts.length - 1; axis >= 0; axis--) {
      offsets[axis] = (rest % counts[axis]!) * chunk[axis]!;
      rest = Math.floor(rest / counts[axis]!);
    }
    return [{ offsets, address, length, mask }];
  };
  if (kind === 1) {
    const isFiltered = (bytes.u8(layout + 2) & 2) !== 0;
    const address = bytes.u64(index + (isFiltered ? 13 : 1));
    return isFiltered ? chunkAt(0, address, bytes.u64(index + 1), bytes.u32(index + 9)) : chunkAt(0, address);
  }
  if (kind === 2) {
    const address = bytes.u64(index + 1);
    if (address === UNDEFINED) return [];
    return Array.from({ length: count }, (_, i) => chunkAt(i, address + i * most)).flat();
  }
  if (kind !== 3) bytes.unsupported("chunks of a dataset that may grow, in the latest form", "a dataset of one shape");
  const header = bytes.u64(index + 2);
  if (header === UNDEFINED) return [];
  bytes.expect(header, "FAHD");
  bytes.visit(header);
  const [entry, pageBits] = [bytes.u8(header + 6), bytes.u8(header + 7)];
  const [entries, block] = [bytes.u64(header + 8), bytes.u64(header + 16)];
  if (block === UNDEFINED) return [];
  if (entries > 2 ** pageBits) bytes.unsupported(`an array of ${entries} chunks`, `at most ${2 ** pageBits}`);
  bytes.expect(block, "FADB");
  if (entries !== count || entry < 8 + (filters === undefined ? 0 : 5)) bytes.refuse("an array of other chunks", "an array of its chunks"); // prettier-ignore
  return Array.from({ length: count }, (_, i) => {
    const at = block + 14 + i * entry;
    if (entry === 8) return chunkAt(i, bytes.u64(at));
    return chunkAt(i, bytes.u64(at), bytes.uint(at + 8, entry - 12), bytes.u32(at + entry - 4));
  }).flat();
}

/** The numbers of filters, in their order. */
function filtersOf(bytes: Bytes, start: number): number[] {
  const version = bytes.u8(start);
  const count = bytes.u8(start + 1);
  let at = start + (version === 1 ? 8 : 2);
  return Array.from({ length: count }, () => {
    const id = bytes.u16(at);
    at += 2;
    let name = 0;
    if (version === 1 || id >= 256) {
      name = bytes.u16(at);
      at += 2;
    }
    const values = bytes.u16(at + 2);
    at +=
      4 + (version === 1 ? Math.ceil(name / 8) * 8 : name) + 4 * values + (version === 1 && values % 2 === 1 ? 4 : 0);
    return id;
  });
}

function undo(bytes: Bytes, filter: number, data: Uint8Array, size: number, most: number): Uint8Array {
  if (filter === 1) return inflate(bytes, data, most);
  if (filter === 2) {
    const out = new Uint8Array(data.length);
    const count = Math.floor(data.length / size);
    for (let i = 0; i < count; i++) for (let k = 0; k < size; k++) out[i * size + k] = data[k * count + i]!;
    return out;
  }
  if (filter === 3) return data.subarray(0, Math.max(0, data.length - 4)); // a checksum at the end
  bytes.unsupported(`filter ${filter}`, "deflate, shuffle or fletcher32");
}

/** zlib's format: two bytes, deflate, a checksum. */
function inflate(bytes: Bytes, data: Uint8Array, most: number): Uint8Array {
  const out = new Uint8Array(most + 4); // a checksum may be inside
  let length = 0;
  const stream = new Inflate((part) => {
    if (length + part.length > out.length) throw new RangeError("too much");
    out.set(part, length);
    length += part.length;
  });
  try {
    stream.push(data.subarray(2, Math.max(2, data.length - 4)), true);
  } catch {
    bytes.refuse("deflated data that are not whole", "data");
  }
  return out.subarray(0, length);
}

/** Copies the part of a chunk that is within the dataset. */
function copyChunk(
  data: Uint8Array,
  chunk: readonly number[],
  out: Uint8Array,
  shape: readonly number[],
  offsets: readonly number[],
  size: number,
): void {
  const last = shape.length - 1;
  const counts = chunk.map((n, i) => Math.min(n, shape[i]! - offsets[i]!));
  const width = counts[last]! * size;
  const rows = sizeOf(counts.slice(0, -1));
  for (let row = 0; row < rows; row++) {
    let [from, to, rest] = [0, 0, row];
    const index = counts.slice(0, -1).map(() => 0);
    for (let i = last - 1; i >= 0; i--) {
      index[i] = rest % counts[i]!;
      rest = Math.floor(rest / counts[i]!);
    }
    for (let i = 0; i < last; i++) {
      from = from * chunk[i]! + index[i]!;
      to = to * shape[i]! + offsets[i]! + index[i]!;
    }
    from = from * chunk[last]! * size;
    to = (to * shape[last]! + offsets[last]!) * size;
    out.set(data.subarray(from, from + width), to);
  }
}
