// Reads the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding/), strictly: every length is
// checked against the message that holds it, and nothing is read past its end.

import { FormatError, UnsupportedError } from "../../../bindings/errors.js";
import { decodeUtf8 } from "../utf8.js";
import type { Schema } from "./schema.js";

/** Messages within messages at most, as in the reference implementation. */
const MAX_DEPTH = 100;

/** Characters of a place that are shown in an error. */
const MAX_PLACE = 120;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
const WIRE_TYPES = ["a varint", "64 bits", "bytes", "a group", "a group", "32 bits"];

/** For each schema the names of its fields by number. */
const names = /* @__PURE__ */ new WeakMap<Schema, ReadonlyMap<number, string>>();

function namesOf(schema: Schema): ReadonlyMap<number, string> {
  let found = names.get(schema);
  if (found === undefined) names.set(schema, (found = new Map(Object.entries(schema).map(([k, n]) => [n, k]))));
  return found;
}

/**
 * Reads the fields of a message one after the other. After `next` the field's value must be read before the next field, by
 * the method of its type; a field that the schema does not list is skipped.
 */
export class MessageReader<Field extends string = string> {
  /** What errors call this message beside its place, such as the name of a node. */
  label = "";
  private readonly start: number;
  private readonly depth: number;
  private readonly names: ReadonlyMap<number, string>;
  private field: Field | undefined;
  private wire = 0;
  /** The last varint, as two halves without sign. */
  private low = 0;
  private high = 0;

  constructor(
    private readonly bytes: Uint8Array,
    schema: Schema<Field>,
    /** The message that holds this one, or what errors call it. */
    private readonly parent: MessageReader | string,
    private position = 0,
    private end = bytes.length,
    private readonly index?: number,
  ) {
    this.start = position;
    this.depth = typeof parent === "string" ? 0 : parent.depth + 1;
    this.names = namesOf(schema);
    if (this.depth > MAX_DEPTH) this.fail("deeper nesting", `at most ${MAX_DEPTH} levels of messages`);
  }

  /** The bytes of the message. */
  get size(): number {
    return this.end - this.start;
  }

  /** Begins anew. */
  rewind(): void {
    this.position = this.start;
  }

  /** The name of the next field that the schema lists; undefined at the end. */
  next(): Field | undefined {
    for (;;) {
      this.field = undefined;
      if (this.position >= this.end) return undefined;
      this.readVarint();
      this.wire = this.low & 7;
      const number = this.low >>> 3;
      if (this.high !== 0 || number === 0) this.fail("a broken tag", "a field's number and type");
      this.field = this.names.get(number) as Field | undefined;
      if (this.field !== undefined) return this.field;
      this.skip();
    }
  }

  /** Skips the value of a field. */
  skip(): void {
    if (this.wire === VARINT) this.readVarint();
    else if (this.wire === LENGTH) this.length();
    else if (this.wire === FIXED64) this.advance(8);
    else if (this.wire === FIXED32) this.advance(4);
    else this.fail(WIRE_TYPES[this.wire] ?? `type ${this.wire}`, "a varint, 32 or 64 bits, or bytes");
  }

  /** A view of the bytes of a field. */
  view(): Uint8Array {
    this.expect(LENGTH);
    const size = this.length();
    return this.bytes.subarray(this.position - size, this.position);
  }

  string(): string {
    const view = this.view();
    try {
      return decodeUtf8(view, "");
    } catch (error) {
      return this.fail((error as FormatError).received, "UTF-8"); // a place costs time: it is put together for errors alone
    }
  }

  /** A message within this one. `index` tells a repeated one from the others in errors. */
  message<T, F extends string>(schema: Schema<F>, read: (reader: MessageReader<F>) => T, index?: number): T {
    this.expect(LENGTH);
    const size = this.length();
    const begin = this.position - size;
    return read(new MessageReader(this.bytes, schema, this, begin, this.position, index));
  }

  /** An int64 that must be a whole number from `least` to `most`. */
  whole(least: number, most: number): number {
    const value = this.int64();
    if (!(value >= least && value <= most)) this.fail(`${value}`, `a whole number from ${least} to ${most}`);
    return value;
  }

  /** An int64; beyond 2^53 the nearest double. */
  int64(): number {
    this.expect(VARINT);
    this.readVarint();
    return this.signed();
  }

  float(): number {
    return new Float32Array(this.fixed(4).slice().buffer)[0]!;
  }

  /** The bytes of numbers of 4 or 8 bytes: one, or many that are packed. */
  fixed(size: 4 | 8): Uint8Array {
    if (this.wire === LENGTH) {
      const view = this.view();
      if (view.length % size !== 0) this.fail(`${view.length} bytes`, `a multiple of ${size}`);
      return view;
    }
    this.expect(size === 4 ? FIXED32 : FIXED64);
    this.advance(size);
    return this.bytes.subarray(this.position - size, this.position);
  }

  /**
   * Varints: one, or many that are packed.
   *
   * @param take gets each as an int64 (beyond 2^53 the nearest double), and its halves without sign
   */
  varints(take: (value: number, low: number, high: number) => void): void {
    if (this.wire !== LENGTH) {
      this.expect(VARINT);
      this.readVarint();
      return take(this.signed(), this.low, this.high);
    }
    const { end } = this;
    const size = this.length();
    this.end = this.position;
    this.position -= size;
    while (this.position < this.end) {
      this.readVarint();
      take(this.signed(), this.low, this.high);
    }
    this.end = end;
  }

  /** @throws FormatError naming the place of the current field */
  fail(received: string, expected: string): never {
    throw new FormatError(this.place(), received, expected);
  }

  /** The error that says that something at the current field is not supported. */
  unsupported(received: string, expected: string): UnsupportedError {
    return new UnsupportedError(this.place(), received, expected);
  }

  /** The current field, from the outermost message on: graph.node[3] "conv".attribute[0] "pads".ints; its end where it is long. */
  private place(): string {
    let place = this.field === undefined ? "" : `.${this.field}`;
    let reader = this as MessageReader;
    for (;;) {
      const { label, index, parent } = reader;
      const own = `${index === undefined ? "" : `[${index}]`}${label === "" ? "" : ` ${JSON.stringify(label.slice(0, 40))}`}`;
      const name = typeof parent === "string" ? parent : `.${parent.field}`;
      place = `${name}${own}${place}`;
      if (typeof parent === "string") break;
      if (place.length > MAX_PLACE) return `...${place}`;
      reader = parent;
    }
    return place.startsWith(".") ? place.slice(1) : place;
  }

  private expect(wire: number): void {
    if (this.wire !== wire) this.fail(WIRE_TYPES[this.wire] ?? `type ${this.wire}`, WIRE_TYPES[wire]!);
  }

  private advance(size: number): void {
    const left = this.end - this.position;
    if (size > left) this.fail(`a length of ${size} bytes`, `at most the ${left} that are left`);
    this.position += size;
  }

  /** Reads a length and moves past the bytes that have it. */
  private length(): number {
    this.readVarint();
    const size = this.high * 2 ** 32 + this.low;
    this.advance(size);
    return size;
  }

  private signed(): number {
    return (this.high | 0) * 2 ** 32 + this.low;
  }

  private readVarint(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= this.end) this.fail("its end within a number", "a whole number");
      const byte = this.bytes[this.position++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift > 25) high |= shift < 32 ? bits >>> (32 - shift) : bits << (shift - 32);
      if (byte < 0x80) {
        if (shift === 63 && bits > 1) break;
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    this.fail("a number of more than 64 bits", "at most 64 bits");
  }
}
