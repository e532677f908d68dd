// The graph module's arithmetic of two operands, against a loop that computes each index from scratch.

import { add, Binary, div, mul, sub } from "../graph/elementwise";
import { bitsOf, Buffer, expectIntact, expectSame, fail, input, output } from "./helpers";

const NAMES: StaticArray<string> = ["add", "sub", "mul", "div"];

function run<T>(operation: i32, s: Binary): void {
  if (operation == 0) add<T>(s);
  else if (operation == 1) sub<T>(s);
  else if (operation == 2) mul<T>(s);
  else div<T>(s);
}

function exact<T>(operation: i32, a: T, b: T): T {
  if (operation == 0) return (a + b) as T;
  if (operation == 1) return (a - b) as T;
  if (operation == 2) return (a * b) as T;
  return (a / b) as T;
}

/** A call over `axes`, [rank,3]: length, stride of a, stride of b. */
function binary<T>(axes: Buffer<i32>, a: Buffer<T>, b: Buffer<T>, out: Buffer<T>): Binary {
  const s = new Binary();
  s.a = a.p;
  s.b = b.p;
  s.out = out.p;
  s.axes = axes.p;
  s.rank = axes.length / 3;
  return s;
}

/** The numbers that a tensor with these strides (column 1 of `axes`: a, 2: b) spans. */
function spanOf(axes: Buffer<i32>, column: i32): i32 {
  let last = 0;
  for (let axis = 0; axis < axes.length; axis += 3) last += (axes[axis] - 1) * axes[axis + column];
  return last + 1;
}

/** Number `i` of the output is that of the operand at the returned index. */
function indexOf(axes: Buffer<i32>, column: i32, i: i32): i32 {
  let index = 0;
  for (let axis = axes.length - 3; axis >= 0; axis -= 3) {
    index += (i % axes[axis]) * axes[axis + column];
    i /= axes[axis];
  }
  return index;
}

function expectResult<T>(what: string, axes: Buffer<i32>): void {
  let n = 1;
  for (let axis = 0; axis < axes.length; axis += 3) n *= axes[axis];
  axes.freeze();
  const a = input<T>(spanOf(axes, 1));
  const b = input<T>(spanOf(axes, 2));
  for (let operation = 0; operation < 4; operation++) {
    const expected = new Buffer<T>(n);
    for (let i = 0; i < n; i++) expected[i] = exact<T>(operation, a[indexOf(axes, 1, i)], b[indexOf(axes, 2, i)]);
    const out = output<T>(n);
    run<T>(operation, binary<T>(axes, a, b, out));
    expectSame<T>(`${NAMES[operation]}, ${what}`, out, expected);
  }
  expectIntact(what);
}

/** One axis: each operand dense, repeated, or every second or third number. */
function oneAxis<T>(): void {
  const sizes: StaticArray<i32> = [1, 2, 3, 4, 5, 7, 8, 17, 33];
  for (let s = 0; s < sizes.length; s++) {
    for (let a = 0; a < 4; a++) {
      for (let b = 0; b < 4; b++) {
        const axes = new Buffer<i32>(3);
        axes[0] = sizes[s];
        axes[1] = a;
        axes[2] = b;
        expectResult<T>(`${sizes[s]} numbers, strides ${a} and ${b}`, axes);
      }
    }
  }
}

/** Three axes of a dense row-major tensor, any of them of length 1 and repeated in either operand. */
function threeAxes<T>(): void {
  const sizes: StaticArray<i32> = [1, 3, 7];
  for (let lengths = 0; lengths < 27; lengths++) {
    for (let repeated = 0; repeated < 64; repeated++) {
      const axes = new Buffer<i32>(9);
      let code = lengths;
      let strideA = 1;
      let strideB = 1;
      for (let axis = 6; axis >= 0; axis -= 3) {
        const length = sizes[code % 3];
        const bit = axis / 3;
        axes[axis] = length;
        axes[axis + 1] = repeated & (1 << bit) ? 0 : strideA;
        axes[axis + 2] = repeated & (8 << bit) ? 0 : strideB;
        if (axes[axis + 1]) strideA *= length;
        if (axes[axis + 2]) strideB *= length;
        code /= 3;
      }
      expectResult<T>(`lengths ${lengths}, repeated ${repeated}`, axes);
    }
  }
}

/** The output may be an operand that is not broadcast. */
function inPlace<T>(): void {
  const axes = new Buffer<i32>(6);
  const numbers: StaticArray<i32> = [3, 5, 0, 5, 1, 1]; // a [3,5] and b [5]
  for (let i = 0; i < 6; i++) axes[i] = numbers[i];
  axes.freeze();
  for (let operation = 0; operation < 4; operation++) {
    const a = input<T>(15);
    const b = input<T>(5);
    const out = output<T>(15);
    run<T>(operation, binary<T>(axes, a, b, out));
    const left = a.copy();
    run<T>(operation, binary<T>(axes, left, b, left));
    expectSame<T>(`${NAMES[operation]} onto a`, left, out);
    const square = output<T>(5);
    const axis = new Buffer<i32>(3).fill(1);
    axis[0] = 5;
    run<T>(operation, binary<T>(axis, b, b, square));
    const both = b.copy();
    run<T>(operation, binary<T>(axis, both, both, both));
    expectSame<T>(`${NAMES[operation]} of one operand onto itself`, both, square);
    expectIntact(NAMES[operation]);
  }
}

/** NaN, infinities, signed zeros, denormals: the bits of scalar arithmetic. */
function specials<T>(): void {
  const denormal = <T>(sizeof<T>() == 8 ? 5e-324 : 1e-45);
  const values: T[] = [<T>NaN, <T>Infinity, <T>-Infinity, denormal, -denormal, <T>-0.0, 0, 3, <T>-0.25];
  const n = values.length;
  const axes = new Buffer<i32>(6);
  const numbers: StaticArray<i32> = [n, 1, 0, n, 0, 1]; // a [n,1] and b [n]
  for (let i = 0; i < 6; i++) axes[i] = numbers[i];
  const a = new Buffer<T>(n);
  for (let i = 0; i < n; i++) a[i] = values[i];
  for (let operation = 0; operation < 4; operation++) {
    const out = output<T>(n * n);
    run<T>(operation, binary<T>(axes, a, a, out));
    for (let i = 0; i < n * n; i++) {
      const expected = exact<T>(operation, a[i / n], a[i % n]);
      const same = expected != expected ? out[i] != out[i] : bitsOf<T>(out[i]) == bitsOf<T>(expected);
      if (!same) fail(`${NAMES[operation]} of ${a[i / n]} and ${a[i % n]} is ${out[i]}`);
    }
    expectIntact(NAMES[operation]);
  }
}

describe("graph: elementwise", () => {
  test("one axis f64", () => oneAxis<f64>());
  test("one axis f32", () => oneAxis<f32>());
  test("three axes f64", () => threeAxes<f64>());
  test("three axes f32", () => threeAxes<f32>());
  test("in place f64", () => inPlace<f64>());
  test("in place f32", () => inPlace<f32>());
  test("NaN, infinities, denormals f64", () => specials<f64>());
  test("NaN, infinities, denormals f32", () => specials<f32>());
});
