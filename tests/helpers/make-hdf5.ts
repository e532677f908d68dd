// Writes small HDF5 files in the form that h5py gives them: superblock 0, headers of version 1, symbol tables, contiguous data.

/** A group to write: numbers become datasets of f32, strings attributes. */
export interface H5Group {
  readonly attributes?: Readonly<Record<string, string | readonly string[]>>;
  readonly entries?: Readonly<
    Record<string, H5Group | { readonly data: ArrayLike<number>; readonly shape: readonly number[] }>
  >;
}

class Writer {
  bytes = new Uint8Array(96);

  /** Adds bytes at the end, which is a multiple of 8; where they are. */
  add(part: Uint8Array): number {
    const at = this.bytes.length;
    const grown = new Uint8Array(at + Math.ceil(part.length / 8) * 8);
    grown.set(this.bytes);
    grown.set(part, at);
    this.bytes = grown;
    return at;
  }
}

const ascii = (text: string) => new TextEncoder().encode(text);
const u16 = (n: number) => [n & 255, n >> 8];
const u32 = (n: number) => [...u16(n & 65535), ...u16(n >>> 16)];
const u64 = (n: number) => [...u32(n), 0, 0, 0, 0];
const pad = (bytes: readonly number[]) => [...bytes, ...Array<number>((8 - (bytes.length % 8)) % 8).fill(0)];

function header(writer: Writer, messages: readonly (readonly [type: number, data: readonly number[]])[]): number {
  const all = messages.flatMap(([type, data]) => {
    const padded = pad(data);
    return [...u16(type), ...u16(padded.length), 0, 0, 0, 0, ...padded];
  });
  return writer.add(
    Uint8Array.from([1, 0, ...u16(messages.length), ...u32(1), ...u32(all.length), 0, 0, 0, 0, ...all]),
  );
}

const space = (shape: readonly number[]) => [1, shape.length, 0, 0, 0, 0, 0, 0, ...shape.flatMap(u64)];

function attribute(name: string, value: string | readonly string[]): readonly [number, readonly number[]] {
  const list = typeof value === "string" ? [value] : value;
  const size = Math.max(1, ...list.map((each) => ascii(each).length));
  const type = [0x13, 0, 0, 0, ...u32(size)];
  const shape = space(typeof value === "string" ? [] : [list.length]);
  const nameBytes = [...ascii(name), 0];
  const data = list.flatMap((each) => [...ascii(each), ...Array<number>(size - ascii(each).length).fill(0)]);
  const head = [1, 0, ...u16(nameBytes.length), ...u16(type.length), ...u16(shape.length)];
  return [0x0c, [...head, ...pad(nameBytes), ...pad(type), ...pad(shape), ...data]];
}

function group(writer: Writer, { attributes = {}, entries = {} }: H5Group): number {
  const names = Object.keys(entries).sort();
  const addresses = names.map((name) => {
    const each = entries[name]!;
    if (!("data" in each)) return group(writer, each);
    const data = writer.add(new Uint8Array(Float32Array.from(each.data).buffer));
    const type = [0x11, 0x20, 31, 0, ...u32(4), ...u16(0), ...u16(32), 23, 8, 0, 23, ...u32(127)];
    return header(writer, [
      [0x01, space(each.shape)],
      [0x03, type],
      [0x08, [3, 1, ...u64(data), ...u64(4 * each.data.length)]],
    ]);
  });
  const offsets: number[] = [];
  const heap: number[] = Array<number>(8).fill(0);
  for (const name of names) {
    offsets.push(heap.length);
    heap.push(...pad([...ascii(name), 0]));
  }
  const heapData = writer.add(Uint8Array.from(heap));
  const heapAt = writer.add(
    Uint8Array.from([...ascii("HEAP"), 0, 0, 0, 0, ...u64(heap.length), ...u64(1), ...u64(heapData)]),
  );
  const symbols = names.flatMap((_, i) => [...u64(offsets[i]!), ...u64(addresses[i]!), ...Array<number>(24).fill(0)]);
  const node = writer.add(Uint8Array.from([...ascii("SNOD"), 1, 0, ...u16(names.length), ...symbols]));
  const none = Array<number>(8).fill(255);
  const tree = writer.add(
    Uint8Array.from([...ascii("TREE"), 0, 0, ...u16(1), ...none, ...none, ...u64(0), ...u64(node), ...u64(0)]),
  );
  const own = Object.entries(attributes).map(([name, value]) => attribute(name, value));
  return header(writer, [[0x11, [...u64(tree), ...u64(heapAt)]], ...own]);
}

/** The bytes of a file. */
export function makeHdf5(root: H5Group): Uint8Array {
  const writer = new Writer();
  const address = group(writer, root);
  const { bytes } = writer;
  const none = Array<number>(8).fill(255);
  const start = [0x89, ...ascii("HDF\r\n\x1a\n"), 0, 0, 0, 0, 0, 8, 8, 0, ...u16(4), ...u16(16), ...u32(0)];
  bytes.set([...start, ...u64(0), ...none, ...u64(bytes.length), ...none, ...u64(0), ...u64(address)]);
  return bytes;
}
