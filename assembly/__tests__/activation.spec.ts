// The array functions against the vector functions of math.ts, number by number; relu; the derivatives.

import * as activation from "../activation";
import { RELU, TANH } from "../activation";
import { lanes } from "../simd";
import * as math from "../math";
import { bitsOf, Buffer, expectIntact, expectSame, fail, output, random, SIZES } from "./helpers";

const EXP: i32 = 10;
const SIGMOID: i32 = 11;

/** The function of one number, in lane 0. */
function single<T>(f: i32, x: T): T {
  if (f == RELU) return x > 0 ? x : x == x ? <T>0 : x;
  const v = v128.splat<T>(x);
  const y = f == EXP ? math.exp<T>(v) : f == SIGMOID ? math.sigmoid<T>(v) : math.tanh<T>(v);
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(y, 0) : f32x4.extract_lane(y, 0));
}

function run<T>(f: i32, n: i32, x: usize, y: usize): void {
  if (f == EXP) activation.exp<T>(n, x, y);
  else if (f == SIGMOID) activation.sigmoid<T>(n, x, y);
  else activation.activation<T>(f, n, x, y);
}

/** Every size, with a special value at every place, out of place and in place. */
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
      const inPlace = x.copy().guard(-9); // relu hands a NaN on with all its bits, but not this
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

/** dy phi'(x) from y, in every lane. */
function derivatives<T>(): void {
  const ys: T[] = [<T>-0.75, 0, <T>0.5, 1, <T>NaN, <T>1e-30, -1, <T>0.25];
  for (let i = 0; i < 200; i++) {
    const dy = new Buffer<T>(lanes<T>()).randomize(1);
    const y = new Buffer<T>(lanes<T>());
    for (let j = 0; j < y.length; j++) y[j] = ys[(i + 3 * j) % ys.length];
    const out = output<T>(lanes<T>());
    for (let f = 0; f < 3; f++) {
      const d = v128.load(dy.p);
      const v = v128.load(y.p);
      if (f == TANH) v128.store(out.p, activation.activateBackward<T>(TANH, d, v));
      else if (f == RELU) v128.store(out.p, activation.activateBackward<T>(RELU, d, v));
      else v128.store(out.p, activation.sigmoidBackward<T>(d, v));
      for (let j = 0; j < y.length; j++) {
        let expected: T;
        if (f == TANH) expected = dy[j] * <T>(1 - <T>(y[j] * y[j]));
        else if (f == RELU) expected = y[j] <= 0 ? 0 : dy[j];
        else expected = dy[j] * <T>(y[j] * <T>(1 - y[j]));
        if (bitsOf<T>(out[j]) != bitsOf<T>(expected)) fail(`derivative ${f} of ${y[j]}: ${out[j]}, not ${expected}`);
      }
    }
  }
}

describe("activation", () => {
  test("exp f64", () => arrays<f64>(EXP, "exp"));
  test("exp f32", () => arrays<f32>(EXP, "exp"));
  test("sigmoid f64", () => arrays<f64>(SIGMOID, "sigmoid"));
  test("sigmoid f32", () => arrays<f32>(SIGMOID, "sigmoid"));
  test("tanh f64", () => arrays<f64>(TANH, "tanh"));
  test("tanh f32", () => arrays<f32>(TANH, "tanh"));
  test("relu f64", () => arrays<f64>(RELU, "relu"));
  test("relu f32", () => arrays<f32>(RELU, "relu"));
  test("derivatives f64", () => derivatives<f64>());
  test("derivatives f32", () => derivatives<f32>());
});
