// Trees of HDF5, and the heap of the latest form, in which groups of many objects have their links, and objects their many attributes.

import { UNDEFINED, type Bytes } from "./bytes.js";

/** A part of the file. */
export interface Region {
  readonly start: number;
  readonly end: number;
}

/**
 * Calls with the place of each key of the leaves of a B-tree of version 1.
 *
 * @param keySize bytes of a key of chunks; 0: of symbols
 */
export function eachLeaf(bytes: Bytes, tree: number, keySize: number, call: (at: number) => void): void {
  if (tree === UNDEFINED) return;
  const width = keySize === 0 ? 8 : keySize;
  const open: [address: number, level: number | undefined][] = [[tree, undefined]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [node, level] = next;
    bytes.visit(node);
    bytes.expect(node, "TREE");
    const own = bytes.u8(node + 5);
    if (bytes.u8(node + 4) !== Number(keySize > 0) || (level !== undefined && own !== level)) {
      bytes.refuse("a node of another tree", "a tree");
    }
    const count = bytes.u16(node + 6);
    const places = Array.from({ length: count }, (_, i) => node + 24 + i * (width + 8));
    if (own === 0) places.forEach(call);
    else for (const at of places.reverse()) open.push([bytes.u64(at + width), own - 1]);
  }
}

/** Bytes that hold numbers up to a limit. */
const bytesFor = (limit: number) => Math.floor(Math.log2(Math.max(1, limit)) / 8) + 1;

/** The places of all records of a B-tree of version 2. */
export function recordsOf(bytes: Bytes, tree: number, type: number): number[] {
  const places: number[] = [];
  if (tree === UNDEFINED) return places;
  bytes.expect(tree, "BTHD");
  bytes.visit(tree);
  const [nodeSize, size, depth] = [bytes.u32(tree + 6), bytes.u16(tree + 10), bytes.u16(tree + 12)];
  if (bytes.u8(tree + 5) !== type || size === 0 || nodeSize < 10 + size || depth > 32) bytes.refuse("another tree", `one of type ${type}`); // prettier-ignore
  // What a node points to its nodes by: an address, the number of records, from level 2 on that of the whole branch.
  const most = [Math.floor((nodeSize - 10) / size)];
  const branches = [0]; // bytes of the number of records of a whole branch
  const countWidth = bytesFor(most[0]!);
  for (let level = 1, whole = most[0]!; level <= depth; level++) {
    const pointer = 8 + countWidth + branches[level - 1]!;
    most.push(Math.floor((nodeSize - 10 - pointer) / (size + pointer)));
    whole = (most[level]! + 1) * whole + most[level]!;
    branches.push(bytesFor(whole));
  }
  const open: [address: number, level: number, count: number][] = [[bytes.u64(tree + 16), depth, bytes.u16(tree + 24)]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [node, level, count] = next;
    if (node === UNDEFINED || count === 0) continue;
    bytes.visit(node);
    bytes.expect(node, level === 0 ? "BTLF" : "BTIN");
    if (bytes.u8(node + 5) !== type || count > most[level]!) bytes.refuse("a node of another tree", "a tree");
    bytes.at(node, 6 + count * size);
    for (let i = 0; i < count; i++) places.push(node + 6 + i * size);
    if (level === 0) continue;
    const width = 8 + countWidth + branches[level - 1]!;
    for (let i = count; i >= 0; i--) {
      const at = node + 6 + count * size + i * width;
      open.push([bytes.u64(at), level - 1, bytes.uint(at + 8, countWidth)]);
    }
  }
  return places;
}

/**
 * The messages in a fractal heap to which the records of a tree refer.
 *
 * @param info the place of the address of the heap, and then of the tree
 * @param type of the tree
 * @param skip bytes of a record before its reference
 */
export function denseMessages(bytes: Bytes, info: number, type: number, skip: number): Region[] {
  const heap = bytes.u64(info);
  if (heap === UNDEFINED) return [];
  const objectOf = openHeap(bytes, heap);
  return recordsOf(bytes, bytes.u64(info + 8), type).map((at) => objectOf(at + skip));
}

/** A function of the places of references into a heap. */
function openHeap(bytes: Bytes, heap: number): (at: number) => Region {
  bytes.expect(heap, "FRHP");
  if (bytes.u16(heap + 7) !== 0) bytes.unsupported("a heap with filters", "plain ones");
  const idLength = bytes.u16(heap + 5);
  const [mostManaged, huge] = [bytes.u32(heap + 10), bytes.u64(heap + 22)];
  const [width, first, mostDirect] = [bytes.u16(heap + 110), bytes.u64(heap + 112), bytes.u64(heap + 120)];
  const [bits, root, rootRows] = [bytes.u16(heap + 128), bytes.u64(heap + 132), bytes.u16(heap + 140)];
  const isPower = (n: number) => n >= 1 && n < 2 ** 40 && Number.isInteger(Math.log2(n));
  if (!(width >= 1 && isPower(width) && isPower(first) && isPower(mostDirect) && first <= mostDirect && bits <= 48 && rootRows <= 64)) bytes.refuse("a heap of odd blocks", "a heap"); // prettier-ignore
  const offsetWidth = Math.ceil(bits / 8);
  const lengthWidth = Math.min(Math.ceil(Math.log2(mostDirect) / 8), Math.floor((Math.floor(Math.log2(Math.max(1, mostManaged))) + 7) / 8)); // prettier-ignore
  const directRows = Math.log2(mostDirect / first) + 2;
  const sizeOfRow = (row: number) => first * 2 ** Math.max(0, row - 1);

  const region = (start: number, length: number): Region => {
    bytes.toil(length); // many references may be to the same bytes
    return { start: bytes.at(start, length), end: start + length };
  };
  /** The address of the block that has an offset, and where the block starts in the heap. */
  const blockOf = (offset: number): readonly [address: number, start: number] => {
    if (rootRows === 0) return offset < first ? [root, 0] : bytes.refuse("an offset past its heap", "an offset within");
    let [node, rows, base] = [root, rootRows, 0];
    for (;;) {
      bytes.toil(1);
      bytes.expect(node, "FHIB");
      let start = base;
      let row = 0;
      while (row < rows && offset >= start + width * sizeOfRow(row)) start += width * sizeOfRow(row++);
      if (row >= rows) bytes.refuse("an offset past its heap", "an offset within");
      const size = sizeOfRow(row);
      const column = Math.floor((offset - start) / size);
      const address = bytes.u64(node + 13 + offsetWidth + 8 * (row * width + column));
      start += column * size;
      if (row < directRows) return [address, start];
      // a block of blocks, which is smaller than this one
      [node, rows, base] = [address, Math.log2(size / (first * width)) + 1, start];
    }
  };
  let large: Map<number, Region> | undefined;
  return (at) => {
    const kind = (bytes.u8(at) >> 4) & 3;
    if (kind === 0) {
      const [offset, length] = [bytes.uint(at + 1, offsetWidth), bytes.uint(at + 1 + offsetWidth, lengthWidth)];
      const [address, start] = blockOf(offset);
      bytes.expect(address, "FHDB");
      return region(address + offset - start, length);
    }
    if (kind !== 1) bytes.unsupported("an object within its reference", "objects in their heap");
    // large objects are not in the heap, but in a tree: address, length, number
    large ??= new Map(
      recordsOf(bytes, huge, 1).map((each) => {
        const [start, length] = [bytes.u64(each), bytes.u64(each + 8)];
        return [bytes.u64(each + 16), region(start, length)];
      }),
    );
    const found = large.get(bytes.uint(at + 1, Math.min(8, idLength - 1)));
    return found ?? bytes.refuse("an object that is not there", "an object in its heap");
  };
}
