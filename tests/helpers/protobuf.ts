// Protocol buffers put together byte by byte, without the writer under test.

/** A varint; below 0 as of an int64. */
export function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

/** The bytes of all parts. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A field: of whole numbers as varints, of text or bytes with their length. */
export function field(number: number, value: number | bigint | string | Uint8Array): Uint8Array {
  if (typeof value === "number" || typeof value === "bigint") return join(varint(number * 8), varint(value));
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return join(varint(number * 8 + 2), varint(bytes.length), bytes);
}

/** A field of 32 or 64 bits. */
export function fixedField(number: number, value: Float32Array | Float64Array): Uint8Array {
  const wire = value.length === 1 && value.BYTES_PER_ELEMENT === 4 ? 5 : 1;
  return join(varint(number * 8 + wire), bytesOf(value));
}

/** A packed field of varints. */
export function packed(number: number, values: readonly (number | bigint)[]): Uint8Array {
  return field(number, join(...values.map(varint)));
}

export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
