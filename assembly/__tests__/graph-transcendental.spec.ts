// The graph module's transcendental functions against the standard library's, which are within 1 ulp, over random numbers; their values at
// infinities, zeros and the ends of their domains. tests/ops/accuracy.test.ts has references of 60 digits.

import * as wide from "../graph/transcendental";
import { bitsOf, fail, random, randomBits } from "./helpers";

// prettier-ignore
const NAMES: StaticArray<string> = [
  "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "softplus", "mish",
];
/** Largest distances in ulp: the function's error, and the reference's. */
const BOUNDS: StaticArray<f64> = [2.9, 2.9, 4.5, 4, 3.5, 2.5, 3.5, 3, 3.5, 4, 3.5, 4, 4, 6];

function at(f: i32, x: f64, other: f64 = 0.7): f64 {
  const y = f64x2.extract_lane(wide.evaluate(f, f64x2(x, other)), 0);
  const second = f64x2.extract_lane(wide.evaluate(f, f64x2(other, x)), 1);
  if (bitsOf<f64>(y) != bitsOf<f64>(second)) fail(`${NAMES[f]}(${x}) is ${y} and ${second} in the second lane`);
  return y;
}

function reference(f: i32, x: f64): f64 {
  if (f == wide.SIN) return NativeMath.sin(x);
  if (f == wide.COS) return NativeMath.cos(x);
  if (f == wide.TAN) return NativeMath.tan(x);
  if (f == wide.ASIN) return NativeMath.asin(x);
  if (f == wide.ACOS) return NativeMath.acos(x);
  if (f == wide.ATAN) return NativeMath.atan(x);
  if (f == wide.SINH) return NativeMath.sinh(x);
  if (f == wide.COSH) return NativeMath.cosh(x);
  if (f == wide.ASINH) return NativeMath.asinh(x);
  if (f == wide.ACOSH) return NativeMath.acosh(x);
  if (f == wide.ATANH) return NativeMath.atanh(x);
  if (f == wide.SOFTPLUS) return max(x, 0) + NativeMath.log1p(NativeMath.exp(-abs(x)));
  if (f == wide.MISH) return x * NativeMath.tanh(reference(wide.SOFTPLUS, x));
  // erf by its series, the sum of 2 / sqrt(pi) (-1)^n x^(2n + 1) / (n! (2n + 1))
  let sum: f64 = 0;
  let term = 1.1283791670955126 * x;
  for (let n = 0; n < 60; n++) {
    sum += term / <f64>(2 * n + 1);
    term *= (-x * x) / <f64>(n + 1);
  }
  return sum;
}

function ulp(x: f64): f64 {
  const exponent = max(<i32>((reinterpret<u64>(x) >> 52) & 0x7ff), 1) - 1075;
  if (exponent < -1022) return reinterpret<f64>((<u64>1) << (exponent + 1074));
  return reinterpret<f64>((<u64>(exponent + 1023)) << 52);
}

function check(f: i32, x: f64, bound: f64): void {
  const expected = reference(f, x);
  const y = at(f, x);
  if (!(abs(y - expected) <= bound * ulp(expected)) && y != expected) {
    fail(`${NAMES[f]}(${x}) is ${y}, expected ${expected}: ${abs(y - expected) / ulp(expected)} ulp`);
  }
}

/** Numbers over a range, evenly over their exponents or their values. */
function accuracy(f: i32): void {
  const bound = BOUNDS[f];
  const trigonometric = f <= wide.TAN;
  const unit = f == wide.ASIN || f == wide.ACOS || f == wide.ATANH;
  for (let i = 0; i < 4000; i++) {
    const sign: f64 = i & 1 ? -1 : 1;
    const small = sign * (1 + abs(random())) * reinterpret<f64>((1023 - 60 + (randomBits() % 59)) << 52); // below 1
    if (f == wide.ACOSH) {
      check(f, 1 + abs(small), bound);
      check(f, 1 + 4 * abs(random()), bound);
      check(f, abs((1 + random()) * reinterpret<f64>((1023 + (randomBits() % 1000)) << 52)) + 1, bound);
      continue;
    }
    check(f, small, bound);
    check(f, random(), bound);
    if (unit) continue;
    if (f == wide.ERF) {
      check(f, 2.5 * random(), 60); // the series loses digits there
      continue;
    }
    check(f, 2 * random(), bound);
    check(f, 20 * random(), bound);
    if (f < wide.SOFTPLUS) check(f, 700 * random(), bound);
    if (trigonometric) {
      check(f, 1e6 * random(), bound);
      check(f, 1.5707963267948966 * nearest<f64>(1e5 * random()), bound); // near multiples of pi / 2
      check(f, sign * (1 + abs(random())) * reinterpret<f64>((1023 + (randomBits() % 1024)) << 52), bound);
    }
    if (f == wide.ATAN || f == wide.ASINH) check(f, small * 1e30, bound);
  }
}

function expectBits(f: i32, x: f64, expected: f64): void {
  const y = at(f, x);
  if (bitsOf<f64>(y) != bitsOf<f64>(expected)) fail(`${NAMES[f]}(${x}) is ${y}, expected ${expected}`);
}

/** An odd function at zeros, denormals and infinities. */
function odd(f: i32, atInfinity: f64): void {
  expectBits(f, 0, 0);
  expectBits(f, -0.0, -0.0);
  if (f != wide.ERF) expectBits(f, 5e-324, 5e-324);
  expectBits(f, Infinity, atInfinity);
  expectBits(f, -Infinity, -atInfinity);
}

function ends(): void {
  for (let f = 0; f < NAMES.length; f++) expectBits(f, NaN, NaN);
  odd(wide.SIN, NaN);
  odd(wide.TAN, NaN);
  odd(wide.ASIN, NaN);
  odd(wide.ATAN, 1.5707963267948966);
  odd(wide.SINH, Infinity);
  odd(wide.ASINH, Infinity);
  odd(wide.ATANH, NaN);
  odd(wide.ERF, 1);
  expectBits(wide.COS, 0, 1);
  expectBits(wide.COS, Infinity, NaN);
  expectBits(wide.ASIN, 1, 1.5707963267948966);
  expectBits(wide.ASIN, 1.0000000000000002, NaN);
  expectBits(wide.ACOS, 1, 0);
  expectBits(wide.ACOS, -1, 3.141592653589793);
  expectBits(wide.ACOS, -1.0000000000000002, NaN);
  expectBits(wide.COSH, 0, 1);
  expectBits(wide.COSH, -Infinity, Infinity);
  check(wide.COSH, 710.4, 3);
  expectBits(wide.COSH, 710.5, Infinity);
  check(wide.SINH, -710.4, 3);
  expectBits(wide.SINH, -710.5, -Infinity);
  expectBits(wide.ACOSH, 1, 0);
  expectBits(wide.ACOSH, 0.9999999999999999, NaN);
  expectBits(wide.ACOSH, Infinity, Infinity);
  check(wide.ACOSH, 1.7e308, 2);
  check(wide.ASINH, -1.7e308, 2);
  expectBits(wide.ATANH, 1, Infinity);
  expectBits(wide.ATANH, -1, -Infinity);
  expectBits(wide.ATANH, 1.0000000000000002, NaN);
  expectBits(wide.ERF, 6, 1);
  expectBits(wide.ERF, -1e300, -1);
  expectBits(wide.SOFTPLUS, Infinity, Infinity);
  expectBits(wide.SOFTPLUS, -Infinity, 0);
  check(wide.SOFTPLUS, -740, 2);
  expectBits(wide.MISH, 1e300, 1e300);
}

/** gelu and its approximation, against their formulas. */
function gelus(): void {
  for (let i = 0; i < 4000; i++) {
    const x = 2 * random();
    const exact = 0.5 * x * (1 + reference(wide.ERF, x * 0.7071067811865476));
    const tanh = 0.5 * x * (1 + NativeMath.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    if (!(abs(at(wide.GELU, x) - exact) <= 2e-15)) fail(`gelu(${x}) is ${at(wide.GELU, x)}, expected ${exact}`);
    if (!(abs(at(wide.GELU_TANH, x) - tanh) <= 2e-15)) fail(`geluTanh(${x}) is ${at(wide.GELU_TANH, x)}`);
  }
}

function power(x: f64, y: f64): f64 {
  const result = f64x2.extract_lane(wide.pow(f64x2(x, 3), f64x2(y, 0.1)), 0);
  const second = f64x2.extract_lane(wide.pow(f64x2(2, x), f64x2(-7.5, y)), 1);
  if (bitsOf<f64>(result) != bitsOf<f64>(second)) fail(`${x}^${y} is ${result} and ${second} in the second lane`);
  return result;
}

function checkPower(x: f64, y: f64): void {
  const one = x == 1 || (x == -1 && abs(y) == Infinity); // as in C; JavaScript's are NaN for some y
  const expected = one ? 1 : NativeMath.pow(x, y);
  const actual = power(x, y);
  const same = expected != expected ? actual != actual : abs(actual - expected) <= 2.5 * ulp(expected);
  if (!same && actual != expected) fail(`${x}^${y} is ${actual}, expected ${expected}`);
  if (expected == 0 && bitsOf<f64>(actual) != bitsOf<f64>(expected)) fail(`${x}^${y} is ${actual}`);
}

function powers(): void {
  for (let i = 0; i < 5000; i++) {
    const wideRange = (1 + abs(random())) * reinterpret<f64>((1 + (randomBits() % 2045)) << 52);
    checkPower(wideRange, (700 * random()) / NativeMath.log(wideRange));
    const near = 1 + random() * reinterpret<f64>((1023 - (randomBits() % 50)) << 52);
    if (near != 1 && near > 0) checkPower(near, (745 * random()) / NativeMath.log(near));
    checkPower(10 * random(), nearest<f64>(20 * random()));
    checkPower(5 * abs(random()), 10 * random());
    checkPower(reinterpret<f64>(randomBits() >> 12), random()); // denormal
  }
  // prettier-ignore
  const values: StaticArray<f64> = [
    0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, Infinity, -Infinity, NaN, 5e-324, -5e-324, 1e300, -1e300, 1e-300, 1e21, -1e21,
    9007199254740991, -9007199254740991, 4503599627370497.5, 1.0000000000000002, 0.9999999999999999, 0.1, 1e300,
  ];
  for (let i = 0; i < values.length; i++) {
    for (let j = 0; j < values.length; j++) checkPower(values[i], values[j]);
  }
}

describe("graph: transcendental functions", () => {
  test("sin", () => accuracy(wide.SIN));
  test("cos", () => accuracy(wide.COS));
  test("tan", () => accuracy(wide.TAN));
  test("asin", () => accuracy(wide.ASIN));
  test("acos", () => accuracy(wide.ACOS));
  test("atan", () => accuracy(wide.ATAN));
  test("sinh", () => accuracy(wide.SINH));
  test("cosh", () => accuracy(wide.COSH));
  test("asinh", () => accuracy(wide.ASINH));
  test("acosh", () => accuracy(wide.ACOSH));
  test("atanh", () => accuracy(wide.ATANH));
  test("erf", () => accuracy(wide.ERF));
  test("softplus", () => accuracy(wide.SOFTPLUS));
  test("mish", () => accuracy(wide.MISH));
  test("ends of their domains", ends);
  test("gelu", gelus);
  test("pow", powers);
});
