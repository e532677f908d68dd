// Writes the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding/).

import { encodeUtf8 } from "../utf8.js";
import type { Schema } from "./schema.js";

const VARINT = 0;
const LENGTH = 2;
const FIXED32 = 5;

/** Collects the fields of a message. Long bytes are not copied before the whole is put together. */
export class MessageWriter<Field extends string = string> {
  private readonly parts: ArrayLike<number>[] = [];
  private size = 0;

  constructor(private readonly schema: Schema<Field>) {}

  /** A whole number as int64; 2^63, the nearest double of the largest, is the largest. */
  int(field: Field, value: number): void {
    this.tag(field, VARINT);
    this.append(varint(value));
  }

  /** A text; "" is left out, as a reader takes it for what is missing. */
  text(field: Field, value: string): void {
    if (value !== "") this.bytes(field, encodeUtf8(value));
  }

  /** Texts, "" included. */
  texts(field: Field, values: readonly string[]): void {
    for (const value of values) this.bytes(field, encodeUtf8(value));
  }

  floats(field: Field, values: readonly number[]): void {
    for (const value of values) {
      this.tag(field, FIXED32);
      this.append(new Uint8Array(Float32Array.of(value).buffer));
    }
  }

  bytes(field: Field, bytes: Uint8Array): void {
    this.tag(field, LENGTH);
    this.append(varint(bytes.length));
    this.append(bytes);
  }

  /** A message within this one. */
  message<F extends string>(field: Field, schema: Schema<F>, write: (writer: MessageWriter<F>) => void): void {
    const inner = new MessageWriter(schema);
    write(inner);
    this.tag(field, LENGTH);
    this.append(varint(inner.size));
    for (const part of inner.parts) this.append(part);
  }

  /** The bytes of the message. */
  finish(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.size);
    let position = 0;
    for (const part of this.parts) {
      bytes.set(part, position);
      position += part.length;
    }
    return bytes;
  }

  private tag(field: Field, wire: number): void {
    this.append(varint(this.schema[field] * 8 + wire));
  }

  private append(part: ArrayLike<number>): void {
    this.parts.push(part);
    this.size += part.length;
  }
}

function varint(value: number): number[] {
  let rest = BigInt.asUintN(64, value >= 2 ** 63 ? 2n ** 63n - 1n : BigInt(value));
  const bytes: number[] = [];
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return bytes;
}
