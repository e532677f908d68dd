// The files of tests/golden/files.json (files.py tells its schema), and damaged copies of files.
import { expect } from "vitest";
import type { StoredData } from "../../src/safetensors.js";
import { golden } from "./close.js";

/** A file, and what reading it gives: a value, or an error with this in its message. */
export interface FileCase {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly value?: unknown;
  readonly error?: string;
}

const ARRAYS = {
  Float64Array,
  Float32Array,
  BigInt64Array,
  Int32Array,
  Int16Array,
  Int8Array,
  BigUint64Array,
  Uint32Array,
  Uint16Array,
  Uint8Array,
} as const;

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "base64"));

function decode(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const [[kind, content] = []] = Object.entries(value as Record<string, unknown>);
  switch (kind) {
    case "tensor": {
      const [name, shape, text] = content as [keyof typeof ARRAYS, number[], string];
      return { data: new ARRAYS[name](bytesOf(text).buffer) as StoredData, shape };
    }
    case "record": {
      const record = Object.create(null) as Record<string, unknown>;
      for (const [key, each] of content as [string, unknown][]) record[key] = decode(each);
      return record;
    }
    case "array":
      return (content as unknown[]).map(decode);
    case "bytes":
      return bytesOf(content as string);
    case "bigint":
      return BigInt(content as string);
    case "number":
      return { nan: NaN, inf: Infinity, "-inf": -Infinity }[content as string];
    default:
      throw new Error(`files.json has ${kind}`);
  }
}

/** The cases of a kind: "npy", "npz", "pickle" or "torch". */
export function fileCases(kind: string): FileCase[] {
  const cases = golden("files") as Record<string, Record<string, { bytes: string; value?: unknown; error?: string }>>;
  return Object.entries(cases[kind]!).map(([name, { bytes, value, error }]) => ({
    name,
    bytes: bytesOf(bytes),
    ...(error === undefined ? { value: decode(value) } : { error }),
  }));
}

/** The case of that name. */
export function fileCase(kind: string, name: string): FileCase {
  const found = fileCases(kind).find((each) => each.name === name);
  if (!found) throw new Error(`files.json has no ${kind} "${name}"`);
  return found;
}

/** The same values: numbers to the bit (but for NaN's), arrays of the same class, keys in the same order but for whole numbers. */
export function expectValue(got: unknown, want: unknown, path = "value"): void {
  if (ArrayBuffer.isView(want)) {
    expect(got, path).toBeInstanceOf(want.constructor);
    expect([...(got as Float64Array)], path).toEqual([...(want as Float64Array)]); // by Object.is
    return;
  }
  if (typeof want !== "object" || want === null) {
    expect(got, path).toBe(want);
    return;
  }
  expect(typeof got, path).toBe("object");
  expect(Array.isArray(got), path).toBe(Array.isArray(want));
  const [a, b] = [got as Record<string, unknown>, want as Record<string, unknown>];
  expect(Object.keys(a).sort(), path).toEqual(Object.keys(b).sort());
  for (const key of Object.keys(b)) expectValue(a[key], b[key], `${path}[${JSON.stringify(key)}]`);
}

/** Numbers by xorshift: below `n`. */
export function seeded(seed: number): (n: number) => number {
  let x = seed | 1;
  return (n) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % n;
  };
}

/** A copy with one to four bits, bytes or stretches changed. */
export function damage(bytes: Uint8Array, random: (n: number) => number): Uint8Array {
  const copy = bytes.slice();
  for (let n = 1 + random(4); n > 0; n--) {
    const at = random(copy.length);
    switch (random(4)) {
      case 0:
        copy[at] = copy[at]! ^ (1 << random(8));
        break;
      case 1:
        copy[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)]!;
        break;
      case 2:
        copy.copyWithin(at, random(copy.length), random(copy.length));
        break;
      default:
        copy.fill(random(256), at, at + random(9));
    }
  }
  return copy;
}
