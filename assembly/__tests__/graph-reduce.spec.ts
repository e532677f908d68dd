// The graph module's reductions, against scalar loops; the bits of a sum do not depend on the axis.

import { max, mean, Reduction, sum } from "../graph/reduce";
import { bitsOf, Buffer, expectClose, expectIntact, expectSame, fail, input, output } from "./helpers";

const NAMES: StaticArray<string> = ["sum", "mean", "max"];
const MAX: i32 = 2;
const SIZES: StaticArray<i32> = [1, 2, 3, 4, 5, 7, 8, 17, 33];

function run<T>(operation: i32, x: Buffer<T>, out: Buffer<T>, outer: i32, n: i32, inner: i32): void {
  const s = new Reduction();
  s.x = x.p;
  s.out = out.p;
  s.outer = outer;
  s.n = n;
  s.inner = inner;
  if (operation == 0) sum<T>(s);
  else if (operation == 1) mean<T>(s);
  else max<T>(s);
}

/** Sum and mean in the order at the head of reduce.ts. */
function exact<T>(operation: i32, x: Buffer<T>, first: i32, n: i32, step: i32): T {
  let largest = <T>-Infinity;
  const parts: T[] = [0, 0, 0, 0];
  for (let k = 0; k < n; k++) {
    const value = x[first + k * step];
    parts[k % 4] = (parts[k % 4] + value) as T;
    if (value > largest) largest = value;
  }
  if (operation == MAX) return largest;
  const total = <T>(<T>(parts[0] + parts[2]) + <T>(parts[1] + parts[3]));
  return (operation == 0 ? total : total / <T>n) as T;
}

function reductions<T>(): void {
  for (let operation = 0; operation <= MAX; operation++) {
    for (let outer = 1; outer <= 3; outer += 2) {
      for (let i = 0; i < SIZES.length; i++) {
        for (let j = 0; j < SIZES.length; j++) {
          const n = SIZES[i];
          const inner = SIZES[j];
          const x = input<T>(outer * n * inner);
          const expected = new Buffer<T>(outer * inner);
          for (let k = 0; k < outer * inner; k++) {
            expected[k] = exact<T>(operation, x, (k / inner) * n * inner + (k % inner), n, inner);
          }
          const out = output<T>(outer * inner);
          run<T>(operation, x, out, outer, n, inner);
          const what = `${NAMES[operation]} [${outer},${n},${inner}]`;
          expectSame<T>(what, out, expected);
          expectIntact(what);
        }
      }
    }
  }
}

/** Against one running sum. */
function accuracy<T>(): void {
  const n = 1001;
  const x = input<T>(n);
  let total: f64 = 0;
  for (let k = 0; k < n; k++) total += <f64>x[k];
  const out = output<T>(1);
  run<T>(0, x, out, 1, n, 1);
  expectClose<T>("sum of 1001", out, [total], 10);
  run<T>(1, x, out, 1, n, 1);
  expectClose<T>("mean of 1001", out, [total / n]);
  expectIntact("accuracy");
}

/** A NaN in any place, infinities, and nothing to add. */
function specials<T>(): void {
  for (let operation = 0; operation <= MAX; operation++) {
    for (let inner = 1; inner <= 3; inner += 2) {
      for (let n = 1; n <= 9; n++) {
        for (let place = 0; place < n * inner; place++) {
          const x = input<T>(n * inner);
          x[place] = <T>NaN;
          const out = output<T>(inner);
          run<T>(operation, x, out, 1, n, inner);
          for (let j = 0; j < inner; j++) {
            if ((out[j] != out[j]) != (j == place % inner))
              fail(`${NAMES[operation]} with a NaN at ${place} is ${out[j]}`);
          }
        }
      }
      const none = output<T>(0);
      const out = output<T>(2 * inner);
      run<T>(operation, none, out, 2, 0, inner);
      const expected: T = operation == 0 ? 0 : operation == 1 ? <T>NaN : <T>-Infinity;
      for (let j = 0; j < 2 * inner; j++) {
        if (bitsOf<T>(out[j]) != bitsOf<T>(expected)) fail(`${NAMES[operation]} of nothing is ${out[j]}`);
      }
    }
  }
  const low = new Buffer<T>(5).fill(<T>-Infinity);
  const out = output<T>(1);
  run<T>(MAX, low, out, 1, 5, 1);
  expect(out[0]).toBe(<T>-Infinity);
}

describe("graph: reductions", () => {
  test("every size f64", () => reductions<f64>());
  test("every size f32", () => reductions<f32>());
  test("accuracy f64", () => accuracy<f64>());
  test("accuracy f32", () => accuracy<f32>());
  test("NaN, infinities, nothing f64", () => specials<f64>());
  test("NaN, infinities, nothing f32", () => specials<f32>());
});
