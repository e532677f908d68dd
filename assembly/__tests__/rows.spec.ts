// Gather and scatter-add, compared bit by bit.

import { gatherRows, scatterRows } from "../rows";
import { Buffer, expectIntact, expectSame, given, input, output, random, randomBits, SIZES, state } from "./helpers";

function indicesBelow(rows: i32, count: i32): Buffer<i32> {
  const indices = new Buffer<i32>(count);
  for (let i = 0; i < count; i++) indices[i] = <i32>(randomBits() % rows);
  indices[count - 1] = rows - 1;
  indices[0] = 0;
  indices.freeze();
  return indices;
}

/** Sizes with more indices than rows, so rows repeat, and with fewer. */
function sizes<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      for (let s = 0; s < SIZES.length; s++) {
        const rows = SIZES[r];
        const count = SIZES[c];
        const d = SIZES[s];
        const what = `rows: ${count} in ${rows} x ${d}`;
        const indices = indicesBelow(rows, count);
        const weight = input<T>(rows * d);
        const expected = new Buffer<T>(count * d);
        for (let i = 0; i < count; i++) {
          for (let p = 0; p < d; p++) expected[i * d + p] = weight[indices[i] * d + p];
        }
        const out = output<T>(count * d);
        gatherRows<T>(count, d, indices.p, weight.p, d, out.p, d);
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
          scatterRows<T>(count, d, indices.p, dOut.p, d, dWeight.p, d, paddingIdx);
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
  scatterRows<T>(4, 1, indices.p, dOut.p, 1, dWeight.p, 1, 0);
  const expected: T = <T>(<T>(<T>(2 + huge) + 1) - huge);
  expectSame<T>("repeated", dWeight, given<T>([5, expected, 7])); // row 0 is padding: its NaN is not added
  expectIntact("repeated");
}

/** A column range of a wider matrix, with and without indices; a negative index gives zeros, and adds nothing. */
function strided<T>(): void {
  const index = given<i32>([2, -1, 0]);
  const inOrder = given<i32>([0, 1, 2]);
  for (let width = 1; width <= 7; width++) {
    for (let indexed = 0; indexed < 2; indexed++) {
      const what = `width ${width}, ${indexed ? "by index" : "in order"}`;
      const at = indexed ? index : inOrder;
      const wide = 2 * width + 1;
      const from = input<T>(3 * wide);
      const to = output<T>(3 * (width + 2));
      const expected = to.copy();
      const address = indexed ? index.p : 0;
      gatherRows<T>(3, width, address, from.p + width * sizeof<T>(), wide, to.p, width + 2);
      for (let i = 0; i < 3; i++) {
        for (let p = 0; p < width; p++) {
          expected[i * (width + 2) + p] = at[i] < 0 ? 0 : from[at[i] * wide + width + p];
        }
      }
      expectSame<T>(`gathered, ${what}`, to, expected);

      const dTo = output<T>(3 * (width + 2)); // NaN between the rows
      const back = state<T>(3 * wide);
      const sums = back.copy();
      for (let i = 0; i < 3; i++) {
        for (let p = 0; p < width; p++) dTo[i * (width + 2) + p] = <T>random();
        if (at[i] < 0) continue;
        for (let p = 0; p < width; p++) {
          const sum = at[i] * wide + width + p;
          sums[sum] = sums[sum] + dTo[i * (width + 2) + p];
        }
      }
      dTo.freeze();
      scatterRows<T>(3, width, address, dTo.p, width + 2, back.p + width * sizeof<T>(), wide, -1);
      expectSame<T>(`added, ${what}`, back, sums);
      expectIntact(what);
    }
  }
}

describe("rows", () => {
  test("forward and backward f64", () => sizes<f64>());
  test("forward and backward f32", () => sizes<f32>());
  test("strides f64", () => strided<f64>());
  test("strides f32", () => strided<f32>());
  test("repeated indices f64", () => repeated<f64>());
  test("repeated indices f32", () => repeated<f32>());
});
