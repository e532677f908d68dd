// expect(actual).toHaveBits(expected): the same shape, number type and bit patterns, where -0 is not 0 and no tolerance
// helps. Parts of tensors, to compare pieces with wholes.
import { expect } from "vitest";
import type { Tensor } from "../../src/index.js";
import { indexOf } from "./close.js";

declare module "vitest" {
  interface Matchers<T> {
    /** Compares shapes, number types and all bits. */
    toHaveBits(expected: Tensor): T;
  }
}

expect.extend({
  toHaveBits(received: Tensor, expected: Tensor) {
    const problem = difference(received, expected);
    return { pass: problem === undefined, message: () => problem ?? "expected other bits" };
  },
});

function difference(actual: Tensor, expected: Tensor): string | undefined {
  if (String(actual.shape) !== String(expected.shape)) {
    return `shape [${String(actual.shape)}], expected [${String(expected.shape)}]`;
  }
  if (actual.data.constructor !== expected.data.constructor || actual.data.length !== expected.data.length) {
    return `${actual.data.length} numbers in a ${actual.data.constructor.name}, expected ${expected.data.length} in a ${expected.data.constructor.name}`;
  }
  const [a, e] = [bytes(actual), bytes(expected)];
  if (a.equals(e)) return undefined;
  const { BYTES_PER_ELEMENT: size } = expected.data;
  const at = Math.floor(a.findIndex((byte, i) => byte !== e[i]) / size);
  const hex = (of: Buffer): string => of.subarray(at * size, (at + 1) * size).toString("hex");
  return (
    `first difference at [${indexOf(at, expected.shape).join(", ")}]: ` +
    `got ${actual.data[at]} (${hex(a)}), expected ${expected.data[at]} (${hex(e)})`
  );
}

/** The bytes of a tensor's numbers: the same memory. */
export function bytes({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** The given indices of an axis, in the given order. */
export function take({ data, shape }: Tensor, axis: number, indices: readonly number[]): Tensor {
  const outer = shape.slice(0, axis).reduce((product, n) => product * n, 1);
  const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const out = data.slice(0, outer * indices.length * inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (const index of indices) {
      const from = (o * shape[axis]! + index) * inner;
      out.set(data.subarray(from, from + inner), to);
      to += inner;
    }
  }
  return { data: out, shape: [...shape.slice(0, axis), indices.length, ...shape.slice(axis + 1)] };
}

/** [a, b, c] -> [b, a, c]. */
export function swap(x: Tensor): Tensor {
  const [a, b, c] = x.shape as [number, number, number];
  const data = x.data.slice();
  for (let j = 0; j < b; j++) data.set(take(x, 1, [j]).data, j * a * c);
  return { data, shape: [b, a, c] };
}

/** One after the other along the first axis. */
export function concatenate(first: Tensor, second: Tensor): Tensor {
  const data = new (first.data.constructor as Float64ArrayConstructor)(first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return { data, shape: [first.shape[0]! + second.shape[0]!, ...first.shape.slice(1)] };
}

/** first, first + 1, ..., last - 1. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first }, (_, i) => first + i);
}
