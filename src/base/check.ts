// Checks of arguments from outside, with the same error messages everywhere: options, sizes, flags, numbers, lists, functions.

import { DtypeError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype } from "../../bindings/tensor.js";

/**
 * A copy of options, or of any record of named arguments. Each value is read once, so that no getter can return a different
 * one later. Unknown names are refused instead of ignored.
 *
 * @throws ValueError where it is no object; UnsupportedError naming the unknown name, and the nearest known one
 */
export function checkOptions<Options extends object>(
  owner: string,
  options: Options,
  known: readonly string[],
): Options {
  if (options === null || typeof options !== "object") {
    throw new ValueError(`${owner} options`, describe(options), "an object");
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    throw new UnsupportedError(`${owner} option`, key, `${known.join(", ")}${near ? `; did you mean ${near}?` : ""}`);
  }
  const copy: Record<string, unknown> = {};
  for (const key of known) {
    if (!Object.hasOwn(options, key)) continue;
    const value = (options as Readonly<Record<string, unknown>>)[key];
    if (value !== undefined) copy[key] = value;
  }
  return copy as Options;
}

/**
 * The name with the smallest edit distance (Levenshtein 1966), if that is at most a third of the letters; `_` and case do not
 * count.
 */
function nearest(key: string, names: readonly string[]): string | undefined {
  const plain = (name: string) => name.slice(0, 64).replaceAll("_", "").toLowerCase();
  const given = plain(key);
  let least = Math.floor(given.length / 3) + 1;
  let best: string | undefined;
  for (const name of names) {
    let row = [...plain(name)].map((_, j) => j + 1); // changes from the first i letters of given to the first j + 1 of name
    [...given].forEach((letter, i) => {
      let [left, diagonal] = [i + 1, i];
      row = row.map((up, j) => {
        left = Math.min(left + 1, up + 1, diagonal + Number(letter !== plain(name)[j]));
        diagonal = up;
        return left;
      });
    });
    const changes = row[row.length - 1]!;
    if (changes < least) [best, least] = [name, changes];
  }
  return best;
}

export function checkSize(argument: string, value: number, largest = Infinity): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > largest) {
    const expected = largest === Infinity ? "an integer >= 1" : `an integer from 1 to ${largest}`;
    throw new ShapeError(argument, describe(value), expected);
  }
}

/** Checks a number of steps, characters and the like: an integer >= `least`. */
export function checkCount(argument: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new ValueError(argument, describe(value), `an integer >= ${least}`);
  }
}

export function checkFlag(argument: string, value: boolean): void {
  if (typeof value !== "boolean") throw new ValueError(argument, describe(value), "true or false");
}

export function checkDtype(dtype: FloatDtype): void {
  if (dtype !== "f64" && dtype !== "f32") throw new ValueError("dtype", describe(dtype), '"f64" or "f32"');
}

/** Checks that 0 <= value < limit. */
export function checkNumber(argument: string, value: number, limit = Infinity): void {
  if (typeof value !== "number" || !(value >= 0) || !(value < limit)) {
    const expected = limit === Infinity ? "a finite number >= 0" : `0 <= ${argument} < ${limit}`;
    throw new ValueError(argument, describe(value), expected);
  }
}

/** The longest list: no model has so many parameters. 2^20 as a literal, which bundlers leave out where nothing uses it. */
const MAX_PARAMETERS = 1_048_576;

/** A copy of a list from outside, each element read once; `expected` names the elements in errors. */
export function readList(argument: string, list: unknown, expected: string): unknown[] {
  if (!Array.isArray(list)) throw new ValueError(argument, describe(list), `an array of ${expected}`);
  const length: unknown = list.length;
  if (!Number.isSafeInteger(length) || (length as number) < 0 || (length as number) > MAX_PARAMETERS) {
    throw new ValueError(argument, `an array of length ${describe(length)}`, `at most ${MAX_PARAMETERS} ${expected}`);
  }
  return Array.from({ length: length as number }, (_, i) => list[i] as unknown);
}

export function checkFunction(argument: string, value: unknown): void {
  if (typeof value !== "function") throw new ValueError(argument, describe(value), "a function");
}

export function checkDict(dict: unknown): void {
  if (dict === null || typeof dict !== "object") {
    throw new DtypeError("dict", describe(dict), "a record of tensors by name");
  }
}

/** Makes an object's fields read-only at run time: the kernels' sizes depend on them. */
export function lockFields(object: object): void {
  for (const name of Object.keys(object)) Object.defineProperty(object, name, { writable: false, configurable: false });
}
