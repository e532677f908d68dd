// The bytes of an HDF5 file, read with checks.
//
// Files may be hostile: every address is checked against the bytes, every node and group is visited once, and what is read together is
// bounded by the size of the file.

import { FormatError, UnsupportedError } from "../../../bindings/errors.js";
import { decodeUtf8 } from "../utf8.js";

/** The most that deflate makes of a byte. */
export const DEFLATE_RATIO = 1032;
/** An address that is none: 2^64 - 1, which is 2^64 as a number. */
export const UNDEFINED = 2 ** 64;

export class Bytes {
  readonly all: Uint8Array;
  readonly #view: DataView;
  /** Objects and nodes that were visited. */
  readonly #seen = new Set<number>();
  /** Bytes that datasets may still take. */
  #budget: number;
  /** Bytes of names and attributes, and steps through heaps, that there may still be. */
  #work: number;

  /** @param argument the file's name in errors */
  constructor(
    readonly argument: string,
    bytes: Uint8Array,
  ) {
    this.all = bytes.slice(); // a caller may change its own
    this.#view = new DataView(this.all.buffer);
    this.#budget = this.all.length;
    this.#work = 2 ** 16 + 16 * this.all.length;
  }

  get length(): number {
    return this.all.length;
  }

  refuse(received: string, expected: string): never {
    throw new FormatError(this.argument, received, expected);
  }

  unsupported(received: string, expected: string): never {
    throw new UnsupportedError(this.argument, received, expected);
  }

  /** Checks that bytes are there. */
  at(start: number, length: number): number {
    const { length: all } = this.all;
    if (!(start >= 0 && length >= 0 && start + length <= all)) this.refuse(`an address past its ${all} bytes`, "an HDF5 file that is whole"); // prettier-ignore
    return start;
  }

  u8(at: number): number {
    return this.#view.getUint8(this.at(at, 1));
  }
  u16(at: number): number {
    return this.#view.getUint16(this.at(at, 2), true);
  }
  u32(at: number): number {
    return this.#view.getUint32(this.at(at, 4), true);
  }
  /** A length or an address; large ones are past every file. */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 2 ** 32;
  }
  /** A number of up to 8 bytes. */
  uint(at: number, width: number): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.u8(at + i);
    return value;
  }

  expect(at: number, signature: string): void {
    for (let i = 0; i < signature.length; i++) {
      if (this.u8(at + i) !== signature.charCodeAt(i)) this.refuse("something else", `${signature} at ${at}`);
    }
  }
  visit(at: number): void {
    if (this.#seen.has(at)) this.refuse(`two references to ${at}`, "one");
    this.#seen.add(at);
  }
  spend(bytes: number): void {
    this.#budget -= bytes;
    if (!(this.#budget >= 0)) this.refuse("more data than it has", "data that are there once");
  }
  toil(steps: number): void {
    this.#work -= steps;
    if (!(this.#work >= 0)) this.refuse("names that refer to the same bytes", "names of their own");
  }
  /** Up to a zero. */
  text(start: number, length: number): string {
    const bytes = this.all.subarray(this.at(start, length), start + length);
    const end = bytes.indexOf(0);
    return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end), this.argument);
  }
}
