// Turns a module of this package into one for shared memory: the same sections, code and constants among them, but for the memory, which
// it imports as a shared one.

/** The pages of 64 KiB that a shared memory may grow to: it has to be told when it is made. */
export const MAX_PAGES = 65536;

const TYPES = 1;
const IMPORTS = 2;
const MEMORIES = 5;

/** An unsigned number in LEB128. */
function encode(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

/** The number in LEB128 at `start`, and where it ends. */
function decode(bytes: Uint8Array, start: number): [value: number, end: number] {
  let value = 0;
  for (let i = start, shift = 0; ; i++, shift += 7) {
    value |= (bytes[i]! & 127) << shift;
    if (bytes[i]! < 128) return [value >>> 0, i + 1];
  }
}

/** A name, its length before it. */
const text = (name: string): number[] => [name.length, ...Array.from(name, (c) => c.charCodeAt(0))];

/**
 * @param bytes a module that has a memory, or imports one and nothing else
 * @returns the module that imports a shared memory, "env"."memory", and the pages which that must have at least
 */
export function forSharedMemory(bytes: Uint8Array): { bytes: Uint8Array<ArrayBuffer>; pages: number } {
  const name = [...text("env"), ...text("memory")];
  const pieces: Uint8Array[] = [bytes.subarray(0, 8)];
  let place = 1;
  let pages = 0;
  for (let start = 8; start < bytes.length;) {
    const id = bytes[start]!;
    const [size, content] = decode(bytes, start + 1);
    const end = content + size;
    if (id === IMPORTS)
      pages = decode(bytes, content + 3 + name.length)[0]; // count, names, kind and flags before it
    else if (id === MEMORIES)
      pages = decode(bytes, content + 2)[0]; // count and flags before it
    else pieces.push(bytes.subarray(start, end));
    if (id === TYPES) place = pieces.length;
    start = end;
  }
  const content = [1, ...name, 2, 3, ...encode(pages), ...encode(MAX_PAGES)];
  pieces.splice(place, 0, new Uint8Array([IMPORTS, ...encode(content.length), ...content]));
  const shared = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const piece of pieces) {
    shared.set(piece, end);
    end += piece.length;
  }
  return { bytes: shared, pages };
}
