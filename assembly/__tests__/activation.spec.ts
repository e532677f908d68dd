// Array functions compared with the vector functions of math.ts, number by number; ReLU and the hard sigmoid with scalar
// ones; derivatives. A code selects the same function for gates and for candidates.

import * as activation from "../activation";
import { HARD_SIGMOID, LINEAR, RELU, SIGMOID, TANH } from "../activation";
import { lanes } from "../simd";
import * as math from "../math";
import { bitsOf, Buffer, expectIntact, expectSame, fail, maddScalar, output, SIZES } from "./helpers";

const EXP: i32 = 10;
const SIGMOID_ARRAY: i32 = 11;

const SLOPE: f64 = 1.0 / 6;
const OFFSET: f64 = 0.4;
const HARD: usize = memory.data<f64>([SLOPE, OFFSET]);

/** The function of one number, in lane 0. */
function single<T>(f: i32, x: T): T {
  if (f == LINEAR) return x;
  if (f == RELU) return x > 0 ? x : x == x ? <T>0 : x;
  if (f == HARD_SIGMOID) {
    const y = maddScalar<T>(<T>SLOPE, x, <T>OFFSET);
    return y <= 0 ? 0 : y >= 1 ? 1 : y;
  }
  const v = v128.splat<T>(x);
  const y = f == EXP ? math.exp<T>(v) : f == TANH ? math.tanh<T>(v) : math.sigmoid<T>(v);
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(y, 0) : f32x4.extract_lane(y, 0));
}

function run<T>(f: i32, n: i32, x: usize, y: usize): void {
  if (f == EXP) activation.exp<T>(n, x, y);
  else if (f == SIGMOID_ARRAY) activation.sigmoid<T>(n, x, y);
  else if (f == HARD_SIGMOID) activation.activateArray<T>(f, n, x, y, HARD);
  else activation.activation<T>(f, n, x, y);
}

/** Every size, with special values in every position, out of place and in place. */
function arrays<T>(f: i32, name: string): void {
  const denormal = <T>(sizeof<T>() == 8 ? 5e-324 : 1e-45);
  const specials: T[] = [<T>NaN, <T>Infinity, <T>-Infinity, denormal, -denormal, 800, -800, -100, 0];
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    for (let first = 0; first < n; first++) {
      const x = new Buffer<T>(n).randomize(4);
      x[first] = specials[first % specials.length];
      const expected = new Buffer<T>(n);
      for (let i = 0; i < n; i++) expected[i] = single<T>(f, x[i]);
      const inPlace = x.copy().guard(-9); // ReLU copies a NaN bit by bit, but not this number
      x.freeze();
      const y = output<T>(n);
      run<T>(f, n, x.p, y.p);
      expectSame<T>(`${name} ${n}`, y, expected);
      run<T>(f, n, inPlace.p, inPlace.p);
      expectSame<T>(`${name} ${n} in place`, inPlace, expected);
      expectIntact(`${name} ${n}`);
    }
  }
}

/** Selected by code, as a gate and as a candidate, in every lane. */
function codes<T>(): void {
  for (let i = 0; i < 200; i++) {
    const x = new Buffer<T>(lanes<T>()).randomize(6);
    if (i < x.length) x[i] = <T>NaN;
    const gate = output<T>(lanes<T>());
    const candidate = output<T>(lanes<T>());
    for (let code = TANH; code <= LINEAR; code++) {
      v128.store(gate.p, activation.activateGate<T>(code, v128.load(x.p), HARD));
      v128.store(candidate.p, activation.activate<T>(code, v128.load(x.p), HARD));
      for (let j = 0; j < x.length; j++) {
        const expected = bitsOf<T>(single<T>(code, x[j]));
        if (bitsOf<T>(gate[j]) != expected) fail(`gate ${code} of ${x[j]} is ${gate[j]}`);
        if (bitsOf<T>(candidate[j]) != expected) fail(`candidate ${code} of ${x[j]} is ${candidate[j]}`);
      }
    }
    expectIntact("codes");
  }
}

/** dy f'(x) from y = f(x). */
function derivative<T>(code: i32, dy: T, y: T): T {
  if (code == TANH) return dy * <T>(1 - <T>(y * y));
  if (code == RELU) return y <= 0 ? 0 : dy;
  if (code == SIGMOID) return dy * <T>(y * <T>(1 - y));
  if (code == HARD_SIGMOID) return y <= 0 || y >= 1 ? 0 : dy * <T>SLOPE;
  return dy;
}

/** Derivatives selected by code, as of a gate and of a candidate, in every lane. */
function derivatives<T>(): void {
  const ys: T[] = [<T>-0.75, 0, <T>0.5, 1, <T>NaN, <T>1e-30, -1, <T>0.25];
  for (let i = 0; i < 200; i++) {
    const dy = new Buffer<T>(lanes<T>()).randomize(1);
    const y = new Buffer<T>(lanes<T>());
    for (let j = 0; j < y.length; j++) y[j] = ys[(i + 3 * j) % ys.length];
    const gate = output<T>(lanes<T>());
    const candidate = output<T>(lanes<T>());
    for (let code = TANH; code <= LINEAR; code++) {
      v128.store(gate.p, activation.activateGateBackward<T>(code, v128.load(dy.p), v128.load(y.p), HARD));
      v128.store(candidate.p, activation.activateBackward<T>(code, v128.load(dy.p), v128.load(y.p), HARD));
      for (let j = 0; j < y.length; j++) {
        const expected = derivative<T>(code, dy[j], y[j]);
        if (bitsOf<T>(gate[j]) != bitsOf<T>(expected)) fail(`gate ${code} at ${y[j]}: ${gate[j]}, not ${expected}`);
        if (bitsOf<T>(candidate[j]) != bitsOf<T>(expected)) {
          fail(`candidate ${code} at ${y[j]}: ${candidate[j]}, not ${expected}`);
        }
      }
    }
    expectIntact("derivatives");
  }
}

describe("activation", () => {
  test("exp f64", () => arrays<f64>(EXP, "exp"));
  test("exp f32", () => arrays<f32>(EXP, "exp"));
  test("sigmoid f64", () => arrays<f64>(SIGMOID_ARRAY, "sigmoid"));
  test("sigmoid f32", () => arrays<f32>(SIGMOID_ARRAY, "sigmoid"));
  test("tanh f64", () => arrays<f64>(TANH, "tanh"));
  test("tanh f32", () => arrays<f32>(TANH, "tanh"));
  test("relu f64", () => arrays<f64>(RELU, "relu"));
  test("relu f32", () => arrays<f32>(RELU, "relu"));
  test("sigmoid by its code f64", () => arrays<f64>(SIGMOID, "sigmoid by its code"));
  test("sigmoid by its code f32", () => arrays<f32>(SIGMOID, "sigmoid by its code"));
  test("hard sigmoid f64", () => arrays<f64>(HARD_SIGMOID, "hard sigmoid"));
  test("hard sigmoid f32", () => arrays<f32>(HARD_SIGMOID, "hard sigmoid"));
  test("linear f64", () => arrays<f64>(LINEAR, "linear"));
  test("linear f32", () => arrays<f32>(LINEAR, "linear"));
  test("gates and candidates f64", () => codes<f64>());
  test("gates and candidates f32", () => codes<f32>());
  test("derivatives f64", () => derivatives<f64>());
  test("derivatives f32", () => derivatives<f32>());
});
