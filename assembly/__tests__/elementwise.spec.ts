// add, mul, scale, clip, sumSquares.

import * as elementwise from "../elementwise";
import { bitsOf, Buffer, expectIntact, expectSame, fail, given, input, output, SIZES, state } from "./helpers";

/** A kernel of two operands, compared with `exact`, out of place and onto either operand. */
function binary<T>(
  name: string,
  kernel: (n: i32, a: usize, b: usize, out: usize) => void,
  exact: (a: T, b: T) => T,
): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    const a = input<T>(n);
    const b = input<T>(n);
    const expected = new Buffer<T>(n);
    for (let i = 0; i < n; i++) expected[i] = exact(a[i], b[i]);
    const out = output<T>(n);
    kernel(n, a.p, b.p, out.p);
    expectSame<T>(`${name} ${n}`, out, expected);
    const left = a.copy();
    kernel(n, left.p, b.p, left.p);
    expectSame<T>(`${name} ${n} onto a`, left, expected);
    const right = b.copy();
    kernel(n, a.p, right.p, right.p);
    expectSame<T>(`${name} ${n} onto b`, right, expected);
    expectIntact(`${name} ${n}`);
  }
}

function add<T>(): void {
  binary<T>(
    "add",
    (n: i32, a: usize, b: usize, out: usize): void => elementwise.add<T>(n, a, b, out),
    (a: T, b: T): T => (a + b) as T,
  );
}

function mul<T>(): void {
  binary<T>(
    "mul",
    (n: i32, a: usize, b: usize, out: usize): void => elementwise.mul<T>(n, a, b, out),
    (a: T, b: T): T => (a * b) as T,
  );
}

function scale<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    const x = state<T>(n);
    const expected = new Buffer<T>(n);
    for (let i = 0; i < n; i++) expected[i] = x[i] * <T>0.7;
    elementwise.scale<T>(n, x.p, <T>0.7);
    expectSame<T>(`scale ${n}`, x, expected);
    expectIntact(`scale ${n}`);
  }
}

/** Special values in every position of a vector and of its tail. */
function specials<T>(n: i32, first: i32): Buffer<T> {
  const denormal = <T>(sizeof<T>() == 8 ? 5e-324 : 1e-45);
  const values: T[] = [<T>NaN, <T>Infinity, <T>-Infinity, denormal, -denormal, <T>-0.0, <T>0.5, <T>-0.25, 3, -3, 0];
  const buffer = new Buffer<T>(n);
  for (let i = 0; i < n; i++) buffer[i] = values[(first + i) % values.length];
  return buffer;
}

function clip<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    for (let first = 0; first < 11; first++) {
      // A NaN would be copied bit by bit; these canaries would not.
      const x = specials<T>(n, first).guard(<T>-1e30);
      const expected = new Buffer<T>(n);
      for (let i = 0; i < n; i++) {
        let v = x[i];
        if (v > <T>0.5) v = <T>0.5;
        if (v < <T>-0.5) v = <T>-0.5;
        expected[i] = v;
      }
      elementwise.clip<T>(n, x.p, <T>0.5);
      expectSame<T>(`clip ${n}`, x, expected);
      expectIntact(`clip ${n}`);
    }
  }
}

function sumSquares<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    const x = input<T>(n);
    let expected: f64 = 0;
    for (let i = 0; i < n; i++) expected += <f64>x[i] * <f64>x[i];
    const sum = elementwise.sumSquares<T>(n, x.p);
    if (!(abs(sum - expected) <= 1e-14 * expected)) fail(`sumSquares ${n} is ${sum}, expected ${expected}`);
    for (let i = 0; i < n; i++) {
      const broken = x.copy();
      broken[i] = <T>NaN;
      if (!isNaN(elementwise.sumSquares<T>(n, broken.p))) fail(`sumSquares ${n} does not see a NaN at ${i}`);
      broken[i] = <T>-Infinity;
      if (elementwise.sumSquares<T>(n, broken.p) != Infinity) fail(`sumSquares ${n} does not see an infinity at ${i}`);
    }
    expectIntact(`sumSquares ${n}`);
  }
  // In f64 for both types: f32 would overflow, and lose 1 beside 2^48.
  expect(elementwise.sumSquares<T>(1, given<T>([<T>1e30]).p)).toBe(<f64>(<T>1e30) * <f64>(<T>1e30));
  expect(elementwise.sumSquares<T>(3, given<T>([1, 16777216, 1]).p)).toBe(281474976710658);
}

function arithmeticSpecials<T>(): void {
  for (let first = 0; first < 11; first++) {
    const a = specials<T>(17, first);
    const b = specials<T>(17, 3 * first + 1);
    const x = a.copy();
    const out = output<T>(17);
    const product = output<T>(17);
    elementwise.add<T>(17, a.p, b.p, out.p);
    elementwise.mul<T>(17, a.p, b.p, product.p);
    elementwise.scale<T>(17, x.p, <T>0.5);
    for (let i = 0; i < 17; i++) {
      if (bitsOf<T>(out[i]) != bitsOf<T>(a[i] + b[i])) fail(`${a[i]} + ${b[i]} is ${out[i]}`);
      if (bitsOf<T>(product[i]) != bitsOf<T>(a[i] * b[i])) fail(`${a[i]} * ${b[i]} is ${product[i]}`);
      if (bitsOf<T>(x[i]) != bitsOf<T>(a[i] * <T>0.5)) fail(`${a[i]} * 0.5 is ${x[i]}`);
    }
    expectIntact("specials");
  }
}

describe("elementwise", () => {
  test("add f64", () => add<f64>());
  test("add f32", () => add<f32>());
  test("mul f64", () => mul<f64>());
  test("mul f32", () => mul<f32>());
  test("scale f64", () => scale<f64>());
  test("scale f32", () => scale<f32>());
  test("add, mul, scale: NaN, infinities, denormals f64", () => arithmeticSpecials<f64>());
  test("add, mul, scale: NaN, infinities, denormals f32", () => arithmeticSpecials<f32>());
  test("clip f64", () => clip<f64>());
  test("clip f32", () => clip<f32>());
  test("sumSquares f64", () => sumSquares<f64>());
  test("sumSquares f32", () => sumSquares<f32>());
});
