// expect(actual).toHaveBits(expected): the same shape, number type and bit patterns, where -0 is not 0 and no tolerance
// helps.
import { expect } from "vitest";
import type { Tensor } from "../../src/index.js";
import { indexOf } from "./close.js";
import { bytes } from "./tensors.js";

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
