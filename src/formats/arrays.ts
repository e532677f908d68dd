// Typed arrays from outside, as they really are: what they are called and where they lie is asked by the language's own
// getters, which properties of the same name, subclasses and other realms cannot change. Nothing is copied here.

import { DtypeError } from "../../bindings/errors.js";
import { describe, intrinsic, kindOf } from "../../bindings/tensor.js";

const buffer = /* @__PURE__ */ intrinsic("buffer");
const byteOffset = /* @__PURE__ */ intrinsic("byteOffset");
const byteLength = /* @__PURE__ */ intrinsic("byteLength");

/** Names of the arrays' number types, for messages. */
const DTYPES: ReadonlyMap<unknown, string> = /* @__PURE__ */ new Map([
  ["Float64Array", "f64"],
  ["Float32Array", "f32"],
  ["Float16Array", "f16"],
  ["BigInt64Array", "i64"],
  ["BigUint64Array", "u64"],
  ["Int32Array", "i32"],
  ["Uint32Array", "u32"],
  ["Int16Array", "i16"],
  ["Uint16Array", "u16"],
  ["Int8Array", "i8"],
  ["Uint8Array", "u8"],
  ["Uint8ClampedArray", "u8"],
]);

/** The number type of a typed array (a subclass or one of another realm, too): f64, i64 ...; undefined for anything else. */
export function numberTypeOf(data: unknown): string | undefined {
  return DTYPES.get(kindOf(data));
}

/** Whether a value is a Uint8Array, a subclass' (Node's Buffer) or another realm's included. */
export function isBytes(value: unknown): value is Uint8Array {
  return kindOf(value) === "Uint8Array";
}

/**
 * A plain Uint8Array over the bytes of one from outside, of the length that it has now.
 *
 * @throws DtypeError naming `argument`
 */
export function takeBytes(argument: string, value: unknown): Uint8Array {
  if (!isBytes(value)) {
    const isBuffer = Object.prototype.toString.call(value) === "[object ArrayBuffer]";
    throw new DtypeError(argument, describe(value), isBuffer ? "a Uint8Array: new Uint8Array(buffer)" : "a Uint8Array");
  }
  return bytesOf(argument, value);
}

/**
 * The bytes of a typed array from outside, where they are.
 *
 * @throws DtypeError naming `argument` for an array that has detached
 */
export function bytesOf(argument: string, array: unknown): Uint8Array {
  try {
    return new Uint8Array(
      buffer.call(array) as ArrayBuffer,
      byteOffset.call(array) as number,
      byteLength.call(array) as number,
    );
  } catch {
    throw new DtypeError(argument, "an array that has detached", "one that still has its numbers");
  }
}
