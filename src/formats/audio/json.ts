// Checks parsed JSON of audio models: objects, lists, sizes, arrays of numbers. Errors name the place in the file.

import { FormatError, ShapeError } from "../../../bindings/errors.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { bytesOf, isBytes } from "../arrays.js";
import { hinted, identify, identifyJson } from "../identify.js";

/** The file as an object; refuses text, bytes and files of other programs. */
export function parsed(json: unknown, expected: string): Readonly<Record<string, unknown>> {
  if (typeof json === "string") throw new FormatError("json", "a string", `${expected}, parsed: JSON.parse(text)`);
  if (isBytes(json)) {
    const kind = identify(bytesOf("json", json));
    if (kind === undefined) throw new FormatError("json", "bytes", `${expected}, parsed`);
    const isJson = kind.name.includes("JSON");
    const how = `${expected}, parsed${isJson ? ": JSON.parse(new TextDecoder().decode(bytes))" : ""}`;
    throw new FormatError("json", `bytes of ${kind.name}`, kind.name === expected ? how : hinted(how, kind));
  }
  const file = record("json", json);
  const kind = identifyJson(file);
  if (kind === undefined || kind.name === expected) return file;
  const keys = expected === "JSON of Proteus" ? " (model_data, state_dict)" : " (in_shape, layers; or a state_dict)";
  throw new FormatError("json", kind.name, hinted(expected + keys, kind));
}

export function record(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FormatError(path, describe(value), "an object");
}

export function array(path: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new FormatError(path, describe(value), "an array");
  if (value.length === 0) throw new FormatError(path, "an empty array", "at least one entry");
  return value;
}

export function size(path: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new FormatError(path, describe(value), "a whole number > 0");
}

/** The last extent of a shape; those before it (batch, time) are null. */
export function lastOf(path: string, value: unknown): number {
  const shape = array(path, value);
  return size(`${path}[${shape.length - 1}]`, shape[shape.length - 1]);
}

/** The numbers of a frame, from its shape: the last extent, or of four [batch, time, features, filters] the last two. */
export function frameSize(path: string, value: unknown): number {
  const shape = array(path, value);
  const last = lastOf(path, shape);
  return shape.length === 4 ? last * size(`${path}[2]`, shape[2]) : last;
}

/** A whole number > 0, alone or at the end of an array. */
export function lastSize(path: string, value: unknown, otherwise?: number): number {
  if (otherwise !== undefined && (value === undefined || value === null)) return otherwise;
  return Array.isArray(value) ? lastOf(path, value) : size(path, value);
}

/** A tensor from nested arrays. `pattern` is its shape, with undefined for unknown extents. */
export function numbers(
  path: string,
  value: unknown,
  pattern: readonly (number | undefined)[],
  dtype: FloatDtype,
): Tensor {
  const shape: number[] = [];
  const data: number[] = [];
  const walk = (place: string, each: unknown, axis: number): void => {
    const entries = array(place, each);
    const { length } = entries;
    const expected = (shape[axis] ??= pattern[axis] ?? length);
    if (length !== expected) throw new ShapeError(place, `${length} entries`, `${expected}`);
    for (let i = 0; i < expected; i++) {
      const entry = entries[i];
      if (axis < pattern.length - 1) {
        walk(`${place}[${i}]`, entry, axis + 1);
        continue;
      }
      if (typeof entry !== "number") throw new FormatError(`${place}[${i}]`, describe(entry), "a number");
      const rounded = dtype === "f64" ? entry : Math.fround(entry);
      if (!Number.isFinite(rounded)) {
        throw new FormatError(`${place}[${i}]`, describe(entry), `a number that is finite in ${dtype}`);
      }
      data.push(rounded);
    }
  };
  walk(path, value, 0);
  return { data: dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data), shape };
}
