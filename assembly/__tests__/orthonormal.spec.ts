// The projection of two vectors, compared bit by bit with one vector and one product at a time.

import { project } from "../training/orthonormal";
import { Buffer, expectIntact, expectSame, input, SIZES, state } from "./helpers";

function naive(count: i32, n: i32, vectors: Buffer<f64>, pairs: Buffer<f64>): void {
  for (let which = 0; which < 2; which++) {
    for (let k = 0; k < count; k++) {
      let share: f64 = 0;
      for (let i = 0; i < n; i++) share += pairs[2 * i + which] * vectors[k * n + i];
      for (let i = 0; i < n; i++) pairs[2 * i + which] = pairs[2 * i + which] - share * vectors[k * n + i];
    }
  }
}

describe("orthonormal", () => {
  test("project", () => {
    for (let s = 0; s < SIZES.length; s++) {
      for (let count = 0; count <= 5; count++) {
        const n = SIZES[s];
        const vectors = input<f64>(count * n);
        const pairs = state<f64>(2 * n);
        const expected = pairs.copy();
        naive(count, n, vectors, expected);
        project(count, n, vectors.p, pairs.p);
        expectSame<f64>(`${count} vectors of ${n}`, pairs, expected);
        expectIntact("project");
      }
    }
  });
});
