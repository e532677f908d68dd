// The graph module's elementwise kernels, against a loop that computes each index from scratch.

import * as activation from "../activation";
import { elementwise, Operands } from "../graph/elementwise";
import * as wide from "../graph/transcendental";
import { bitsOf, Buffer, expectIntact, expectSame, fail, input, output } from "./helpers";

// prettier-ignore
const NAMES: StaticArray<string> = [
  "add", "sub", "mul", "div", "minimum", "maximum", "prelu", "pow", "fmod", "mod", "equal", "tanhBackward", "sigmoidBackward",
  "reluBackward", "where",
];
const POW: i32 = 7;
const WHERE: i32 = 14;

function run<T>(operation: i32, s: Operands): void {
  s.operation = operation;
  elementwise<T>(s);
}

function lane<T>(v: v128): T {
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(v, 0) : f32x4.extract_lane(v, 0));
}

function pow<T>(a: T, b: T): T {
  if (b == 1) return a;
  if (b == 2) return (a * a) as T;
  if (b == 3) return <T>(<T>(a * a) * a);
  if (b == -1) return (1 / a) as T;
  if (b == <T>0.5 && a != <T>-Infinity) return sqrt<T>(<T>(a + 0));
  return <T>f64x2.extract_lane(wide.pow(f64x2.splat(<f64>a), f64x2.splat(<f64>b)), 0);
}

/** The same by scalars. */
function exact<T>(operation: i32, a: T, b: T, condition: i32): T {
  if (operation == 0) return (a + b) as T;
  if (operation == 1) return (a - b) as T;
  if (operation == 2) return (a * b) as T;
  if (operation == 3) return (a / b) as T;
  if (operation == 4) return min<T>(a, b);
  if (operation == 5) return max<T>(a, b);
  if (operation == 6) return a > 0 ? a : ((a * b) as T);
  if (operation == POW) return pow<T>(a, b);
  if (operation == 8) return (a % b) as T;
  if (operation == 9) {
    const rest: T = a % b;
    if (rest != 0 && rest < 0 != b < 0) return (rest + b) as T;
    return rest;
  }
  if (operation == 10) return a == b ? 1 : 0;
  if (operation == 11) return lane<T>(activation.tanhBackward<T>(v128.splat<T>(a), v128.splat<T>(b)));
  if (operation == 12) return lane<T>(activation.sigmoidBackward<T>(v128.splat<T>(a), v128.splat<T>(b)));
  if (operation == 13) return b <= 0 ? 0 : a;
  return condition ? a : b;
}

/** A call over `axes`, [rank,4]: length, strides of a, b and condition. */
function call<T>(axes: Buffer<i32>, a: Buffer<T>, b: Buffer<T>, condition: Buffer<i32>, out: Buffer<T>): Operands {
  const s = new Operands();
  s.a = a.p;
  s.b = b.p;
  s.condition = condition.p;
  s.out = out.p;
  s.axes = axes.p;
  s.rank = axes.length / 4;
  return s;
}

/** The numbers that a tensor with these strides (column 1 of `axes`: a, 2: b, 3: condition) spans. */
function spanOf(axes: Buffer<i32>, column: i32): i32 {
  let last = 0;
  for (let axis = 0; axis < axes.length; axis += 4) last += (axes[axis] - 1) * axes[axis + column];
  return last + 1;
}

/** Number `i` of the output is that of the operand at the returned index. */
function indexOf(axes: Buffer<i32>, column: i32, i: i32): i32 {
  let index = 0;
  for (let axis = axes.length - 4; axis >= 0; axis -= 4) {
    index += (i % axes[axis]) * axes[axis + column];
    i /= axes[axis];
  }
  return index;
}

/** 0, 1, another number that means yes, 0 ... */
function conditions(length: i32): Buffer<i32> {
  const buffer = new Buffer<i32>(length);
  for (let i = 0; i < length; i++) buffer[i] = [0, 1, -7, 0, i32.MIN_VALUE][i % 5];
  buffer.freeze();
  return buffer;
}

function expectResult<T>(what: string, axes: Buffer<i32>): void {
  let n = 1;
  for (let axis = 0; axis < axes.length; axis += 4) n *= axes[axis];
  axes.freeze();
  const a = input<T>(spanOf(axes, 1));
  const b = input<T>(spanOf(axes, 2));
  const condition = conditions(spanOf(axes, 3));
  for (let operation = 0; operation <= WHERE; operation++) {
    const expected = new Buffer<T>(n);
    for (let i = 0; i < n; i++) {
      const yes = condition[indexOf(axes, 3, i)];
      expected[i] = exact<T>(operation, a[indexOf(axes, 1, i)], b[indexOf(axes, 2, i)], yes);
    }
    const out = output<T>(n);
    run<T>(operation, call<T>(axes, a, b, condition, out));
    expectSame<T>(`${NAMES[operation]}, ${what}`, out, expected);
  }
  expectIntact(what);
}

/** One axis: each operand dense, repeated, or every second or third number. */
function oneAxis<T>(): void {
  const sizes: StaticArray<i32> = [1, 2, 3, 4, 5, 7, 8, 17, 33];
  for (let s = 0; s < sizes.length; s++) {
    for (let strides = 0; strides < 64; strides++) {
      const axes = new Buffer<i32>(4);
      axes[0] = sizes[s];
      axes[1] = strides & 3;
      axes[2] = (strides >> 2) & 3;
      axes[3] = strides >> 4;
      expectResult<T>(`${sizes[s]} numbers, strides ${axes[1]}, ${axes[2]} and ${axes[3]}`, axes);
    }
  }
}

/** Three axes of a dense row-major tensor, any of them of length 1 and repeated in an operand. */
function threeAxes<T>(): void {
  const sizes: StaticArray<i32> = [1, 3, 7];
  for (let lengths = 0; lengths < 27; lengths++) {
    for (let repeated = 0; repeated < 64; repeated++) {
      const axes = new Buffer<i32>(12);
      let code = lengths;
      let strideA = 1;
      let strideB = 1;
      for (let axis = 8; axis >= 0; axis -= 4) {
        const length = sizes[code % 3];
        const bit = axis / 4;
        axes[axis] = length;
        axes[axis + 1] = repeated & (1 << bit) ? 0 : strideA;
        axes[axis + 2] = repeated & (8 << bit) ? 0 : strideB;
        axes[axis + 3] = axes[axis + 1] ? 0 : bit + 1;
        if (axes[axis + 1]) strideA *= length;
        if (axes[axis + 2]) strideB *= length;
        code /= 3;
      }
      expectResult<T>(`lengths ${lengths}, repeated ${repeated}`, axes);
    }
  }
}

function axesOf(numbers: StaticArray<i32>): Buffer<i32> {
  const axes = new Buffer<i32>(numbers.length);
  for (let i = 0; i < numbers.length; i++) axes[i] = numbers[i];
  axes.freeze();
  return axes;
}

/** The output may be an operand that is not broadcast. */
function inPlace<T>(): void {
  const axes = axesOf([3, 5, 0, 0, 5, 1, 1, 1]); // a [3,5] and b [5]
  const axis = axesOf([5, 1, 1, 1]);
  const condition = conditions(5);
  for (let operation = 0; operation <= WHERE; operation++) {
    const a = input<T>(15);
    const b = input<T>(5);
    const out = output<T>(15);
    run<T>(operation, call<T>(axes, a, b, condition, out));
    const left = a.copy();
    run<T>(operation, call<T>(axes, left, b, condition, left));
    expectSame<T>(`${NAMES[operation]} onto a`, left, out);
    const square = output<T>(5);
    run<T>(operation, call<T>(axis, b, b, condition, square));
    const both = b.copy();
    run<T>(operation, call<T>(axis, both, both, condition, both));
    expectSame<T>(`${NAMES[operation]} of one operand onto itself`, both, square);
  }
  expectIntact("in place");
}

/** NaN, infinities, signed zeros, denormals: the bits of scalar arithmetic. */
function specials<T>(): void {
  const denormal = <T>(sizeof<T>() == 8 ? 5e-324 : 1e-45);
  // prettier-ignore
  const values: T[] = [
    <T>NaN, <T>Infinity, <T>-Infinity, denormal, -denormal, <T>-0.0, 0, 3, <T>-0.25, 1, 2, <T>0.5, -1, -7, <T>2.75,
  ];
  const n = values.length;
  const axes = axesOf([n, 1, 0, 1, n, 0, 1, 0]); // a [n,1], b [n] and condition [n,1]
  const a = new Buffer<T>(n);
  for (let i = 0; i < n; i++) a[i] = values[i];
  const condition = conditions(n);
  for (let operation = 0; operation <= WHERE; operation++) {
    const out = output<T>(n * n);
    run<T>(operation, call<T>(axes, a, a, condition, out));
    for (let i = 0; i < n * n; i++) {
      const expected = exact<T>(operation, a[i / n], a[i % n], condition[i / n]);
      const same = expected != expected ? out[i] != out[i] : bitsOf<T>(out[i]) == bitsOf<T>(expected);
      if (!same) fail(`${NAMES[operation]} of ${a[i / n]} and ${a[i % n]} is ${out[i]}`);
    }
  }
  expectIntact("specials");
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
