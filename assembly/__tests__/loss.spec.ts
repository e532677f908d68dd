// Softmax and the losses, against f64 loops of the standard library.

import { crossEntropy, mse, softmax, softmaxBackward } from "../loss";
import {
  Buffer,
  expectClose,
  expectIntact,
  expectSame,
  fail,
  given,
  input,
  output,
  SIZES,
  state,
  wide,
} from "./helpers";

/** e^x / sum of e^x of each row. */
function naiveSoftmax<T>(rows: i32, n: i32, x: Buffer<T>): StaticArray<f64> {
  const y = new StaticArray<f64>(rows * n);
  for (let r = 0; r < rows; r++) {
    let largest = -Infinity;
    for (let j = 0; j < n; j++) largest = max(largest, <f64>x[r * n + j]);
    let sum: f64 = 0;
    for (let j = 0; j < n; j++) {
      y[r * n + j] = Math.exp(<f64>x[r * n + j] - largest);
      sum += y[r * n + j];
    }
    for (let j = 0; j < n; j++) y[r * n + j] /= sum;
  }
  return y;
}

/** Logits in [-scale, scale) + shift: a shift leaves the result alone, however far from 0 it is. */
function softmaxSizes<T>(): void {
  const shifts: StaticArray<f64> = [0, 1000, -1000];
  for (let s = 0; s < SIZES.length; s++) {
    for (let i = 0; i < shifts.length; i++) {
      for (let rows = 1; rows <= 3; rows++) {
        const n = SIZES[s];
        const x = new Buffer<T>(rows * n).randomize(8);
        for (let j = 0; j < x.length; j++) x[j] = x[j] + <T>shifts[i];
        const y = output<T>(rows * n);
        const inPlace = x.copy();
        x.freeze();
        softmax<T>(rows, n, x.p, y.p);
        expectClose<T>(`softmax of ${rows} x ${n}, shift ${shifts[i]}`, y, naiveSoftmax<T>(rows, n, x));
        softmax<T>(rows, n, inPlace.p, inPlace.p);
        expectSame<T>("softmax in place", inPlace, y);

        const dy = input<T>(rows * n);
        const expected = new StaticArray<f64>(rows * n);
        for (let r = 0; r < rows; r++) {
          let dot: f64 = 0;
          for (let j = r * n; j < (r + 1) * n; j++) dot += <f64>dy[j] * <f64>y[j];
          for (let j = r * n; j < (r + 1) * n; j++) expected[j] = <f64>y[j] * (<f64>dy[j] - dot);
        }
        y.freeze();
        const dx = output<T>(rows * n);
        softmaxBackward<T>(rows, n, y.p, dy.p, dx.p);
        expectClose<T>(`softmax of ${rows} x ${n} backward`, dx, expected);
        const onto = dy.copy();
        softmaxBackward<T>(rows, n, y.p, onto.p, onto.p);
        expectSame<T>("softmax backward in place", onto, dx);
        expectIntact("softmax");
      }
    }
  }
}

/** A row with a NaN, +infinity or nothing but -infinity is NaN, and no other row; a -infinity has probability 0. */
function softmaxSpecials<T>(): void {
  for (let n = 2; n <= 9; n++) {
    for (let j = 0; j < n; j++) {
      const x = state<T>(2 * n);
      const clean = output<T>(2 * n);
      softmax<T>(2, n, x.p, clean.p);
      const y = output<T>(2 * n);
      for (let special = 0; special < 3; special++) {
        const value = <T>(special == 0 ? NaN : special == 1 ? Infinity : -Infinity);
        const broken = x.copy();
        broken[j] = value;
        softmax<T>(2, n, broken.p, y.p);
        let sum: f64 = 0;
        for (let i = 0; i < n; i++) {
          sum += <f64>y[i];
          if (special < 2 && y[i] == y[i]) fail(`${value} at ${j} of ${n} gives ${y[i]} at ${i}`);
          if (y[n + i] != clean[n + i]) fail(`${value} at ${j} of ${n} reaches the next row at ${i}`);
        }
        if (special == 2 && (y[j] != 0 || !(abs(sum - 1) < 1e-6))) fail(`-infinity at ${j} of ${n} gives ${y[j]}`);
      }
      for (let i = 0; i < n; i++) x[i] = <T>-Infinity;
      softmax<T>(2, n, x.p, y.p);
      for (let i = 0; i < n; i++) if (y[i] == y[i]) fail(`a row of -infinities gives ${y[i]}`);
      expectIntact("specials");
    }
  }
}

/** Losses, their sum and gradients; every third row is ignored. */
function crossEntropySizes<T>(): void {
  const shifts: StaticArray<f64> = [0, 3000, -3000];
  for (let s = 0; s < SIZES.length; s++) {
    for (let i = 0; i < shifts.length; i++) {
      for (let rows = 1; rows <= 7; rows += 2) {
        const n = SIZES[s];
        const what = `cross-entropy of ${rows} x ${n}, shift ${shifts[i]}`;
        const ignoreIndex = i == 1 ? n - 1 : -100;
        const weight: f64 = i == 2 ? 1 : 0.125;
        const logits = new Buffer<T>(rows * n).randomize(5);
        for (let j = 0; j < logits.length; j++) logits[j] = logits[j] + <T>shifts[i];
        logits.freeze();
        const targets = new Buffer<i32>(rows);
        for (let r = 0; r < rows; r++) targets[r] = r % 3 == 2 ? ignoreIndex : (5 * r + 3) % n;
        targets.freeze();
        const losses = output<T>(rows);
        const dLogits = output<T>(rows * n);
        const total = crossEntropy<T>(rows, n, logits.p, targets.p, ignoreIndex, <T>weight, losses.p, dLogits.p);
        const y = naiveSoftmax<T>(rows, n, logits);
        const lossesExpected = new StaticArray<f64>(rows);
        let totalExpected: f64 = 0;
        for (let r = 0; r < rows; r++) {
          const counts = targets[r] != ignoreIndex;
          lossesExpected[r] = counts ? -Math.log(y[r * n + targets[r]]) : 0;
          totalExpected += lossesExpected[r];
          for (let j = 0; j < n; j++) {
            y[r * n + j] = counts ? weight * (y[r * n + j] - (j == targets[r] ? 1 : 0)) : 0;
          }
        }
        expectClose<T>(`losses, ${what}`, losses, lossesExpected);
        expectClose<T>(`dLogits, ${what}`, dLogits, y);
        const tolerance = (sizeof<T>() == 8 ? 1e-13 : 1e-6) * (1 + totalExpected);
        if (!(abs(total - totalExpected) <= tolerance)) fail(`${what}: ${total}, expected ${totalExpected}`);
        expectIntact(what);
      }
    }
  }
}

function crossEntropySpecials<T>(): void {
  const infinity = <T>Infinity;
  const nan = <T>NaN;
  const targets = given<i32>([0, 1, 2, 0, 1]);
  // A target of probability 0; -infinity elsewhere; NaN; a sure thing; one so far ahead that e^-x is 0.
  const logits = given<T>([-infinity, 0, 0, -infinity, 0, 0, 0, nan, 1, 0, -infinity, -infinity, -2000, 2000, 0]);
  logits.freeze();
  const losses = output<T>(5);
  const dLogits = output<T>(15);
  const total = crossEntropy<T>(5, 3, logits.p, targets.p, -100, 1, losses.p, dLogits.p);
  expect(isNaN(total)).toBe(true);
  const ln2 = Math.log(2);
  expectClose<T>("losses", losses, [Infinity, ln2, NaN, 0, 0]);
  expectClose<T>("dLogits", dLogits, [-1, 0.5, 0.5, 0, -0.5, 0.5, NaN, NaN, NaN, 0, 0, 0, 0, 0, 0]);
  expectIntact("specials");
}

function mseSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    const prediction = input<T>(n);
    const target = input<T>(n);
    const weight: f64 = 0.25;
    const lossesExpected = wide<T>(prediction);
    const dExpected = wide<T>(prediction);
    let totalExpected: f64 = 0;
    for (let i = 0; i < n; i++) {
      const error = <f64>prediction[i] - <f64>target[i];
      lossesExpected[i] = error * error;
      dExpected[i] = 2 * weight * error;
      totalExpected += error * error;
    }
    const losses = output<T>(n);
    const dPrediction = output<T>(n);
    const total = mse<T>(n, prediction.p, target.p, <T>weight, losses.p, dPrediction.p);
    expectClose<T>(`losses ${n}`, losses, lossesExpected);
    expectClose<T>(`dPrediction ${n}`, dPrediction, dExpected);
    const tolerance = (sizeof<T>() == 8 ? 1e-14 : 1e-6) * totalExpected;
    if (!(abs(total - totalExpected) <= tolerance)) fail(`mse ${n}: ${total}, expected ${totalExpected}`);
    expectIntact(`mse ${n}`);
  }
  // A NaN makes its own loss NaN, and the sum.
  const losses = output<T>(3);
  const dPrediction = output<T>(3);
  const broken = given<T>([1, <T>NaN, 3]);
  expect(isNaN(mse<T>(3, broken.p, given<T>([0, 0, 5]).p, 1, losses.p, dPrediction.p))).toBe(true);
  expectSame<T>("losses", losses, given<T>([1, <T>NaN, 4]));
  expectSame<T>("dPrediction", dPrediction, given<T>([2, <T>NaN, -4]));
  expectIntact("mse");
}

describe("loss", () => {
  test("softmax f64", () => softmaxSizes<f64>());
  test("softmax f32", () => softmaxSizes<f32>());
  test("softmax: NaN and infinities f64", () => softmaxSpecials<f64>());
  test("softmax: NaN and infinities f32", () => softmaxSpecials<f32>());
  test("cross-entropy f64", () => crossEntropySizes<f64>());
  test("cross-entropy f32", () => crossEntropySizes<f32>());
  test("cross-entropy: NaN and infinities f64", () => crossEntropySpecials<f64>());
  test("cross-entropy: NaN and infinities f32", () => crossEntropySpecials<f32>());
  test("mse f64", () => mseSizes<f64>());
  test("mse f32", () => mseSizes<f32>());
});
