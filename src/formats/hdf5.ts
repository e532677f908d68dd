// HDF5 files, as far as h5py writes them for Keras (https://docs.hdfgroup.org/hdf5/develop/_f_m_t3.html), in the oldest form of each
// structure and in the latest: groups, attributes of numbers and strings, datasets that are contiguous, compact, or chunked with deflate,
// shuffle and checksums. Files may be hostile: hdf5/bytes.ts has the checks.

import { sizeOf, type Tensor } from "../../bindings/tensor.js";
import { widenHalf } from "../base/element.js";
import { Bytes } from "./hdf5/bytes.js";
import { dataOf } from "./hdf5/data.js";
import { denseMessages, eachLeaf } from "./hdf5/trees.js";

/** Groups within groups at most. */
const MAX_DEPTH = 32;

/** A group: names may be any, so they are keys of Maps. */
export interface Hdf5Group {
  readonly attributes: ReadonlyMap<string, Hdf5Attribute>;
  readonly groups: ReadonlyMap<string, Hdf5Group>;
  readonly datasets: ReadonlyMap<string, Hdf5Dataset>;
}

/** Strings or numbers of an attribute; empty where its type is not known. */
export type Hdf5Attribute = readonly string[] | readonly number[];

/** A dataset, read when it is asked for. */
export interface Hdf5Dataset {
  readonly shape: readonly number[];
  /** A copy: f64 as f64, integers of up to 32 bits as i32, longer ones as f64, other floating-point numbers as f32. */
  read(): Tensor;
}

interface Type {
  readonly kind: "float" | "integer" | "string" | "text" | "other";
  /** Bytes of one. */
  readonly size: number;
  readonly bigEndian: boolean;
  readonly signed: boolean;
  readonly half: "f16" | "bf16";
}

/** A message of an object header: where its data are. */
interface Message {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Reads the structure of a file.
 *
 * @param argument its name in errors
 * @throws FormatError, UnsupportedError
 */
export function readHdf5(argument: string, bytes: Uint8Array): Hdf5Group {
  return new Reader(argument, bytes).root();
}

class Reader {
  readonly #bytes: Bytes;

  constructor(argument: string, bytes: Uint8Array) {
    this.#bytes = new Bytes(argument, bytes);
  }

  root(): Hdf5Group {
    if (this.#bytes.length < 48) this.#bytes.refuse(`${this.#bytes.length} bytes`, "an HDF5 file");
    this.#bytes.expect(0, "\x89HDF\r\n\x1a\n");
    const version = this.#bytes.u8(8);
    if (version > 3) this.#bytes.unsupported(`superblock version ${version}`, "0 to 3");
    const sizes = version < 2 ? 13 : 9;
    if (this.#bytes.u8(sizes) !== 8 || this.#bytes.u8(sizes + 1) !== 8)
      this.#bytes.unsupported("addresses of another size", "64 bits");
    const base = this.#bytes.u64(version < 2 ? 24 + 4 * version : 12);
    if (base !== 0) this.#bytes.unsupported("a user block", "none");
    const root = this.#bytes.u64(version < 2 ? 24 + 4 * version + 40 : 36);
    this.#bytes.visit(root);
    return this.#group(this.#messages(root), 0);
  }

  /** The messages of an object header. */
  #messages(address: number): Message[] {
    const messages: Message[] = [];
    if (this.#bytes.u8(address) === 1) {
      const blocks = [[address + 16, this.#bytes.u32(address + 8)] as const];
      for (let i = 0; i < blocks.length; i++) {
        const [start, length] = blocks[i]!;
        const end = this.#bytes.at(start, length) + length;
        for (let at = start; at + 8 <= end;) {
          this.#bytes.visit(-1 - at);
          this.#message(messages, this.#bytes.u16(at), this.#bytes.u8(at + 4), at + 8, this.#bytes.u16(at + 2), end);
          const { type, start: data } = messages[messages.length - 1]!;
          if (type === 0x10) blocks.push([this.#bytes.u64(data), this.#bytes.u64(data + 8)]);
          at += 8 + this.#bytes.u16(at + 2);
        }
      }
      return messages;
    }
    this.#bytes.expect(address, "OHDR");
    if (this.#bytes.u8(address + 4) !== 2) this.#bytes.unsupported("another version of headers", "1 or 2");
    const flags = this.#bytes.u8(address + 5);
    const sizeAt = address + 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
    const width = 1 << (flags & 3);
    const size = this.#bytes.uint(sizeAt, width);
    const blocks = [[sizeAt + width, size] as const];
    const head = flags & 4 ? 6 : 4;
    for (let i = 0; i < blocks.length; i++) {
      const [start, length] = blocks[i]!;
      const end = this.#bytes.at(start, length) + length;
      for (let at = start; at + head <= end;) {
        this.#bytes.visit(-1 - at);
        this.#message(messages, this.#bytes.u8(at), this.#bytes.u8(at + 3), at + head, this.#bytes.u16(at + 1), end);
        const { type, start: data } = messages[messages.length - 1]!;
        if (type === 0x10) {
          const [next, all] = [this.#bytes.u64(data), this.#bytes.u64(data + 8)];
          this.#bytes.expect(next, "OCHK");
          if (all < 8) this.#bytes.refuse("a block of no messages", "messages");
          blocks.push([next + 4, all - 8]); // without signature and checksum
        }
        at += head + this.#bytes.u16(at + 1);
      }
    }
    return messages;
  }

  #message(messages: Message[], type: number, flags: number, start: number, size: number, limit: number): void {
    if (start + size > limit) this.#bytes.refuse("a message past its block", "messages within it");
    if (flags & 2 && type !== 0) this.#bytes.unsupported("a shared message", "messages of its own");
    messages.push({ type, start, end: start + size });
  }

  #group(messages: readonly Message[], depth: number): Hdf5Group {
    if (depth > MAX_DEPTH) this.#bytes.refuse("deeper groups", `at most ${MAX_DEPTH} in each other`);
    const groups = new Map<string, Hdf5Group>();
    const datasets = new Map<string, Hdf5Dataset>();
    for (const [name, address] of this.#links(messages)) {
      if (groups.has(name) || datasets.has(name)) this.#bytes.refuse("two links of one name", "each name once");
      this.#bytes.visit(address);
      const own = this.#messages(address);
      if (own.some(({ type }) => type === 0x08)) datasets.set(name, this.#dataset(own));
      else groups.set(name, this.#group(own, depth + 1));
    }
    return { attributes: this.#attributes(messages), groups, datasets };
  }

  /** Names and addresses of a group's objects. */
  #links(messages: readonly Message[]): [string, number][] {
    const links: [string, number][] = [];
    for (const { type, start, end } of messages) {
      if (type === 0x11) this.#symbols(this.#bytes.u64(start), this.#bytes.u64(start + 8), links);
      else if (type === 0x06) this.#link(start, end, links);
      else if (type === 0x02) {
        for (const each of denseMessages(this.#bytes, start + 2 + (this.#bytes.u8(start + 1) & 1 ? 8 : 0), 5, 4)) {
          this.#link(each.start, each.end, links);
        }
      }
    }
    return links;
  }

  #link(start: number, end: number, links: [string, number][]): void {
    const flags = this.#bytes.u8(start + 1);
    let at = start + 2;
    const kind = flags & 8 ? this.#bytes.u8(at++) : 0;
    if (flags & 4) at += 8;
    if (flags & 16) at++;
    const width = 1 << (flags & 3);
    const length = this.#bytes.uint(at, width);
    at += width;
    if (at + length > end) this.#bytes.refuse("a name past its message", "a name");
    if (kind === 0) links.push([this.#bytes.text(at, length), this.#bytes.u64(at + length)]);
  }

  /** A B-tree of symbol tables, whose names are in a heap. */
  #symbols(tree: number, heap: number, links: [string, number][]): void {
    this.#bytes.expect(heap, "HEAP");
    const size = this.#bytes.u64(heap + 8);
    const names = this.#bytes.at(this.#bytes.u64(heap + 24), size);
    eachLeaf(this.#bytes, tree, 0, (at) => {
      const node = this.#bytes.u64(at + 8);
      this.#bytes.visit(node);
      this.#bytes.expect(node, "SNOD");
      const count = this.#bytes.u16(node + 6);
      for (let i = 0; i < count; i++) {
        const entry = node + 8 + 40 * i;
        const offset = this.#bytes.u64(entry);
        if (!(offset < size)) this.#bytes.refuse("a name past its heap", "a name");
        const end = this.#bytes.all.indexOf(0, names + offset);
        if (end < 0 || end > names + size) this.#bytes.refuse("a name past its heap", "a name");
        const length = end - names - offset;
        this.#bytes.toil(length); // names may be long, and referred to often
        if (this.#bytes.u32(entry + 16) !== 2)
          links.push([this.#bytes.text(names + offset, length), this.#bytes.u64(entry + 8)]); // no soft links
      }
    });
  }

  #type(at: number): Type {
    const kind = this.#bytes.u8(at) & 15;
    const bits = this.#bytes.u8(at + 1);
    const size = this.#bytes.u32(at + 4);
    const common = { size, bigEndian: (bits & 1) === 1, signed: (bits & 8) !== 0, half: "f16" as const };
    if (kind === 1 && (size === 2 || size === 4 || size === 8)) {
      return { ...common, kind: "float", half: size === 2 && this.#bytes.u8(at + 13) === 8 ? "bf16" : "f16" };
    }
    if (kind === 0 && (size === 1 || size === 2 || size === 4 || size === 8)) return { ...common, kind: "integer" };
    if (kind === 3 && size > 0) return { ...common, kind: "string" };
    if (kind === 9 && (bits & 15) === 1 && size === 16) return { ...common, kind: "text" };
    return { ...common, kind: "other" };
  }

  #shape(at: number): number[] {
    const version = this.#bytes.u8(at);
    const rank = this.#bytes.u8(at + 1);
    if (rank > 32) this.#bytes.refuse(`${rank} axes`, "at most 32");
    if (version === 2 && this.#bytes.u8(at + 3) === 2) return [0]; // no numbers
    const start = at + (version === 1 ? 8 : 4);
    return Array.from({ length: rank }, (_, i) => this.#bytes.u64(start + 8 * i));
  }

  #attributes(messages: readonly Message[]): Map<string, Hdf5Attribute> {
    const attributes = new Map<string, Hdf5Attribute>();
    for (const { type, start } of messages) {
      if (type === 0x0c) this.#attribute(start, attributes);
      if (type !== 0x15) continue;
      for (const each of denseMessages(this.#bytes, start + 2 + (this.#bytes.u8(start + 1) & 1 ? 2 : 0), 8, 0)) {
        this.#attribute(each.start, attributes);
      }
    }
    return attributes;
  }

  #attribute(start: number, attributes: Map<string, Hdf5Attribute>): void {
    const version = this.#bytes.u8(start);
    if (version < 1 || version > 3) this.#bytes.unsupported(`attributes of version ${version}`, "1 to 3");
    if (version > 1 && this.#bytes.u8(start + 1) !== 0) this.#bytes.unsupported("a shared type", "types of their own");
    const padded = (length: number) => (version === 1 ? Math.ceil(length / 8) * 8 : length);
    const [name, type, space] = [2, 4, 6].map((at) => this.#bytes.u16(start + at)) as [number, number, number];
    const nameAt = start + (version === 3 ? 9 : 8);
    const typeAt = nameAt + padded(name);
    const spaceAt = typeAt + padded(type);
    attributes.set(
      this.#bytes.text(nameAt, name),
      this.#values(this.#type(typeAt), this.#shape(spaceAt), spaceAt + padded(space)),
    );
  }

  #values(type: Type, shape: readonly number[], at: number): Hdf5Attribute {
    const { kind, size } = type;
    if (kind === "other") return [];
    const count = sizeOf(shape);
    if (!(count * size <= this.#bytes.length))
      this.#bytes.refuse("an attribute past its bytes", "an attribute that is whole");
    this.#bytes.at(at, count * size);
    this.#bytes.toil(count * size);
    const places = Array.from({ length: count }, (_, i) => at + i * size);
    if (kind === "string") return places.map((each) => this.#bytes.text(each, size));
    if (kind === "text") return places.map((each) => this.#heapText(each));
    return Array.from(this.#numbers(type, count, this.#bytes.all.subarray(at, at + count * size)).data);
  }

  /** A string in the global heap. */
  #heapText(at: number): string {
    const length = this.#bytes.u32(at);
    const [heap, index] = [this.#bytes.u64(at + 4), this.#bytes.u32(at + 12)];
    if (length === 0 || heap === 0) return "";
    this.#bytes.expect(heap, "GCOL");
    const end = heap + this.#bytes.at(this.#bytes.u64(heap + 8), 0);
    for (let next = heap + 16; next + 16 <= end;) {
      const [own, size] = [this.#bytes.u16(next), this.#bytes.u64(next + 8)];
      if (own === 0) break;
      this.#bytes.toil(1);
      if (own === index) {
        if (length > size) break;
        this.#bytes.toil(length);
        return this.#bytes.text(next + 16, length);
      }
      next += 16 + Math.ceil(size / 8) * 8;
    }
    this.#bytes.refuse("a string that is not there", "a string in its heap");
  }

  #dataset(messages: readonly Message[]): Hdf5Dataset {
    const find = (type: number) => messages.find((each) => each.type === type)?.start;
    const [space, type, fill, layout, filters] = [find(0x01), find(0x03), find(0x05), find(0x08)!, find(0x0b)];
    if (space === undefined || type === undefined) this.#bytes.refuse("a dataset without a type", "datasets");
    const shape = this.#shape(space);
    const own = this.#type(type);
    let known: Tensor | undefined;
    return {
      shape,
      read: () => {
        if (known) return known;
        if (own.kind !== "float" && own.kind !== "integer") this.#bytes.unsupported("a dataset of no numbers", "numbers"); // prettier-ignore
        const data = dataOf(this.#bytes, { layout, filters, fill, shape, size: own.size });
        return (known = { ...this.#numbers(own, sizeOf(shape), data), shape: [...shape] });
      },
    };
  }

  #numbers({ kind, size, bigEndian, signed, half }: Type, count: number, bytes: Uint8Array): Pick<Tensor, "data"> {
    const own = new Uint8Array(bytes.subarray(0, count * size)); // aligned
    if (bigEndian) for (let i = 0; i < count; i++) own.subarray(i * size, (i + 1) * size).reverse();
    const { buffer } = own;
    if (kind === "float") {
      if (size === 8) return { data: new Float64Array(buffer) };
      return { data: size === 4 ? new Float32Array(buffer) : widenHalf(half, new Uint16Array(buffer)) };
    }
    if (size === 8) {
      return { data: Float64Array.from(signed ? new BigInt64Array(buffer) : new BigUint64Array(buffer), Number) };
    }
    if (size === 4) return { data: signed ? new Int32Array(buffer) : Float64Array.from(new Uint32Array(buffer)) };
    if (size === 2) return { data: Int32Array.from(signed ? new Int16Array(buffer) : new Uint16Array(buffer)) };
    return { data: Int32Array.from(signed ? new Int8Array(buffer) : new Uint8Array(buffer)) };
  }
}

/** The strings of an attribute; Keras splits long lists: weight_names0, weight_names1 ... */
export function hdf5Strings({ attributes }: Hdf5Group, name: string): string[] | undefined {
  const all: unknown[] = [...(attributes.get(name) ?? [])];
  for (let i = 0; attributes.has(`${name}${i}`); i++) all.push(...attributes.get(`${name}${i}`)!);
  const isThere = attributes.has(name) || attributes.has(`${name}0`);
  return isThere ? all.filter((each): each is string => typeof each === "string") : undefined;
}
