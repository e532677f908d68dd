// Typed arrays from callers. Their kind and memory are read by the language's own getters, which properties of the same
// name, subclasses and other realms cannot change. Nothing is copied here.

import { DtypeError } from "../../bindings/errors.js";
import { describe, intrinsic, kindOf } from "../../bindings/tensor.js";
import { quote } from "./json.js";

const buffer = /* @__PURE__ */ intrinsic("buffer");
const byteOffset = /* @__PURE__ */ intrinsic("byteOffset");
const byteLength = /* @__PURE__ */ intrinsic("byteLength");

/** Number types by class of array, for messages. */
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

/** The number type of a typed array, also of a subclass or another realm: f64, i64 ...; undefined for anything else. */
export function numberTypeOf(data: unknown): string | undefined {
  return DTYPES.get(kindOf(data));
}

/** Whether a value is a Uint8Array, also of a subclass (Node's Buffer) or another realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return kindOf(value) === "Uint8Array";
}

/**
 * A plain Uint8Array over the bytes of a caller's, with its current length.
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
 * `takeBytes` of a caller's files by their names. All are read before the first view is taken: a getter may detach another file.
 */
export function takeFileBytes(files: object): [name: string, bytes: Uint8Array][] {
  const entries: [string, unknown][] = Object.entries(files);
  return entries.map(([name, value]) => [name, takeBytes(`files[${quote(name)}]`, value)]);
}

/**
 * A view of the bytes of a caller's typed array.
 *
 * @throws DtypeError naming `argument` for a detached array
 */
export function bytesOf(argument: string, array: unknown): Uint8Array {
  try {
    return new Uint8Array(
      buffer.call(array) as ArrayBuffer,
      byteOffset.call(array) as number,
      byteLength.call(array) as number,
    );
  } catch {
    throw new DtypeError(argument, "a detached array", "one that still has its numbers");
  }
}
