// Gather and scatter-add, to the bit.

import { embeddingBackward, embeddingForward } from "../embedding";
import { Buffer, expectIntact, expectSame, given, input, output, randomBits, SIZES, state } from "./helpers";

function indicesBelow(rows: i32, count: i32): Buffer<i32> {
  const indices = new Buffer<i32>(count);
  for (let i = 0; i < count; i++) indices[i] = <i32>(randomBits() % rows);
  indices[count - 1] = rows - 1;
  indices[0] = 0;
  indices.freeze();
  return indices;
}

/** More indices than rows wherever the sizes allow it: rows repeat. */
function sizes<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      for (let s = 0; s < SIZES.length; s++) {
        const rows = SIZES[r];
        const count = SIZES[c];
        const d = SIZES[s];
        const what = `embedding of ${count} in ${rows} x ${d}`;
        const indices = indicesBelow(rows, count);
        const weight = input<T>(rows * d);
        const expected = new Buffer<T>(count * d);
        for (let i = 0; i < count; i++) {
          for (let p = 0; p < d; p++) expected[i * d + p] = weight[indices[i] * d + p];
        }
        const out = output<T>(count * d);
        embeddingForward<T>(count, d, indices.p, weight.p, out.p);
        expectSame<T>(what, out, expected);

        const dOut = input<T>(count * d);
        const start = state<T>(rows * d);
        for (let paddingIdx = -1; paddingIdx < rows; paddingIdx += rows) {
          const dWeight = start.copy();
          const sums = start.copy();
          for (let i = 0; i < count; i++) {
            if (indices[i] == paddingIdx) continue;
            for (let p = 0; p < d; p++) {
              const at = indices[i] * d + p;
              sums[at] = sums[at] + dOut[i * d + p];
            }
          }
          embeddingBackward<T>(count, d, indices.p, dOut.p, dWeight.p, paddingIdx);
          expectSame<T>(`${what}, padding ${paddingIdx}`, dWeight, sums);
        }
        expectIntact(what);
      }
    }
  }
}

/** The same row three times: its gradient is the sum of three, in the order of the indices. */
function repeated<T>(): void {
  const indices = given<i32>([1, 1, 0, 1]);
  const huge = <T>(sizeof<T>() == 8 ? 1e17 : 1e9);
  const dOut = given<T>([huge, 1, <T>NaN, -huge]);
  const dWeight = given<T>([5, 2, 7]);
  embeddingBackward<T>(4, 1, indices.p, dOut.p, dWeight.p, 0);
  const expected: T = <T>(<T>(<T>(2 + huge) + 1) - huge);
  expectSame<T>("repeated", dWeight, given<T>([5, expected, 7])); // row 0 is padding: its NaN stays out
  expectIntact("repeated");
}

describe("embedding", () => {
  test("forward and backward f64", () => sizes<f64>());
  test("forward and backward f32", () => sizes<f32>());
  test("repeated indices f64", () => repeated<f64>());
  test("repeated indices f32", () => repeated<f32>());
});
