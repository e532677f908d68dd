// expect(actual).toBeAllClose(expected, { rtol, atol }): every number and the shape. Readers for the JSON tensors of
// tests/golden. Nothing here knows about layers.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Tensor } from "../../src/index.js";

/** Anything with a shape and flat, row-major numbers: a Tensor, or a tensor of a JSON file. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Numbers of a JSON file, of which those that are not finite are Python's texts. */
export interface Texts {
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
}

/** |actual - expected| <= atol + rtol * |expected|; both default to 0. */
export interface Tolerance {
  readonly rtol?: number;
  readonly atol?: number;
}

export type Dtype = "f64" | "f32";
export type Tensors = Record<string, Tensor>;

declare module "vitest" {
  interface Matchers<T> {
    /** Compares shapes and all numbers. NaN only equals NaN, an infinity only itself. A plain number has the shape []. */
    toBeAllClose(expected: Numbers | number, tolerance?: Tolerance): T;
  }
}

expect.extend({
  toBeAllClose(received: unknown, expected: Numbers | number, tolerance: Tolerance = {}) {
    const problem = difference(received, asNumbers(expected), tolerance);
    const { rtol = 0, atol = 0 } = tolerance;
    return {
      pass: problem === undefined,
      message: () => problem ?? `expected a difference of more than atol ${atol} + rtol ${rtol}`,
    };
  },
});

/** A description of the first difference; undefined if there is none. */
function difference(received: unknown, expected: Numbers, { rtol = 0, atol = 0 }: Tolerance): string | undefined {
  if (!isNumbers(received)) return `expected a tensor or a number, got ${String(received)}`;
  const actual = asNumbers(received);
  const size = expected.shape.reduce((product, extent) => product * extent, 1);
  if (String(actual.shape) !== String(expected.shape) || actual.shape.length !== expected.shape.length) {
    return `shape [${actual.shape.join(", ")}], expected [${expected.shape.join(", ")}]`;
  }
  if (actual.data.length !== size || expected.data.length !== size) {
    return `${actual.data.length} numbers, expected ${expected.data.length}, for shape [${expected.shape.join(", ")}]`;
  }
  let wrong = 0;
  let worst = -1;
  let worstRatio = 0;
  for (let i = 0; i < size; i++) {
    const a = actual.data[i] as number;
    const e = expected.data[i] as number;
    const error = errorOf(a, e);
    if (error === 0 || (error < Infinity && error <= atol + rtol * Math.abs(e))) continue;
    wrong++;
    const ratio = error / (atol + rtol * Math.abs(e)); // Infinity where the tolerance is 0
    if (worst < 0 || ratio > worstRatio) {
      worst = i;
      worstRatio = ratio;
    }
  }
  if (worst < 0) return undefined;
  const a = actual.data[worst] as number;
  const e = expected.data[worst] as number;
  const where = indexOf(worst, expected.shape).join(", ");
  return (
    `${wrong} of ${size} numbers differ; worst at [${where}]: got ${a}, expected ${e}, ` +
    `error ${errorOf(a, e)} where atol ${atol} + rtol ${rtol} allow ${atol + rtol * Math.abs(e)}`
  );
}

function errorOf(actual: number, expected: number): number {
  if (actual === expected || (Number.isNaN(actual) && Number.isNaN(expected))) return 0;
  const error = Math.abs(actual - expected);
  return Number.isNaN(error) ? Infinity : error;
}

function isNumbers(value: unknown): value is Numbers | number {
  return (
    typeof value === "number" || (typeof value === "object" && value !== null && "shape" in value && "data" in value)
  );
}

function asNumbers(value: Numbers | number): Numbers {
  return typeof value === "number" ? { shape: [], data: [value] } : value;
}

/** The index along each axis of the flat position `flat`. */
export function indexOf(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  for (const extent of [...shape].reverse()) {
    index.unshift(flat % extent);
    flat = Math.floor(flat / extent);
  }
  return index;
}

/** The part of a tensor under the first axes' `index`, as a flat list. */
export function part({ shape, data }: Numbers, index: readonly number[]): number[] {
  let offset = 0;
  index.forEach((i, axis) => (offset = offset * (shape[axis] as number) + i));
  const size = shape.slice(index.length).reduce((product, extent) => product * extent, 1);
  return Array.from(data).slice(offset * size, (offset + 1) * size);
}

/** Half a unit of the last printed digit. NumPy prints a row with one number of decimals and drops trailing zeros. */
export function halfUnit(figures: readonly string[]): number {
  const decimals = (figure: string): number => {
    const [mantissa = "", exponent = "0"] = figure.split("e");
    return (mantissa.split(".")[1] ?? "").length - Number(exponent);
  };
  return 0.5 * 10 ** -Math.max(...figures.map(decimals));
}

/** A tensor of a JSON file as one of the library's. Indices ("i32") become an Int32Array. */
export function tensorOf({ shape, data }: Numbers, dtype: Dtype | "i32" = "f64"): Tensor {
  const kinds = { f64: Float64Array, f32: Float32Array, i32: Int32Array };
  return { shape: [...shape], data: kinds[dtype].from(data) };
}

/** The numbers that texts stand for. */
export function numbersOf({ shape, data }: Texts): Numbers {
  return { shape, data: data.map((v) => Number(v === "nan" ? NaN : String(v).replace("inf", "Infinity"))) };
}

/** All tensors of a record. */
export function tensorsOf(record: Readonly<Record<string, Numbers>>, dtype: Dtype = "f64"): Tensors {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, tensorOf(value, dtype)]));
}

/** Reads tests/golden/<name>.json. */
export function golden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/${name}.json`, import.meta.url), "utf8"));
}
