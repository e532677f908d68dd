// Softmax and the losses, against f64 loops of the standard library.

import { classFactor, ClassLoss, crossEntropy, nll } from "../training/classes";
import { elementFactor, ElementLoss, elementwiseLoss } from "../training/elementwise";
import { logSoftmax, softmax } from "../softmax";
import {
  bitsOf,
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

        const logarithm = output<T>(rows * n);
        logSoftmax<T>(rows, n, x.p, logarithm.p);
        const expected = naiveSoftmax<T>(rows, n, x);
        for (let j = 0; j < expected.length; j++) expected[j] = Math.log(expected[j]);
        expectClose<T>(`logSoftmax of ${rows} x ${n}, shift ${shifts[i]}`, logarithm, expected);
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
      const logarithm = output<T>(2 * n);
      const y = output<T>(2 * n);
      for (let special = 0; special < 3; special++) {
        const value = <T>(special == 0 ? NaN : special == 1 ? Infinity : -Infinity);
        const broken = x.copy();
        broken[j] = value;
        softmax<T>(2, n, broken.p, y.p);
        logSoftmax<T>(2, n, broken.p, logarithm.p);
        for (let i = 0; i < 2 * n; i++) {
          const expected = <T>Math.log(<f64>y[i]);
          if (!(abs(logarithm[i] - expected) < <T>1e-5) && bitsOf<T>(logarithm[i]) != bitsOf<T>(expected)) {
            fail(`${value} at ${j} of ${n}: logSoftmax is ${logarithm[i]} at ${i}, expected ${expected}`);
          }
        }
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

/** Fails where the sum that a loss kernel returns is not `expected`. */
/** Terms, times the factor, add up to the total, bit by bit; they are the losses before these were rounded. */
function expectTerms<T>(what: string, terms: Buffer<f64>, losses: Buffer<T>, total: f64, factor: f64): void {
  let sum: f64 = 0;
  for (let i = 0; i < terms.length; i++) {
    sum += terms[i];
    const same = isNaN(losses[i]) ? isNaN(terms[i]) : <T>terms[i] == losses[i];
    if (!same) fail(`${what}: term ${terms[i]} of loss ${losses[i]}`);
  }
  sum *= factor;
  if (!(isNaN(total) ? isNaN(sum) : sum == total)) fail(`${what}: the terms' ${sum}, not ${total}`);
}

function expectTotal<T>(what: string, total: f64, expected: f64): void {
  const tolerance = (sizeof<T>() == 8 ? 1e-13 : 1e-6) * (1 + abs(expected));
  const fits = isNaN(expected) ? isNaN(total) : abs(total - expected) <= tolerance; // a mean over nothing is NaN
  if (!fits) fail(`${what}: ${total}, expected ${expected}`);
}

/** Numbers in [0.5, 1.5). */
function weights<T>(n: i32): Buffer<T> {
  const buffer = new Buffer<T>(n).randomize(0.5);
  for (let i = 0; i < n; i++) buffer[i] = buffer[i] + 1;
  buffer.freeze();
  return buffer;
}

/** Every third row is ignored; where `sampled`, every fourth one is no class. */
function targetsOf(rows: i32, n: i32, ignoreIndex: i32, sampled: bool): Buffer<i32> {
  const targets = new Buffer<i32>(rows);
  for (let r = 0; r < rows; r++) targets[r] = r % 3 == 2 ? ignoreIndex : (5 * r + 3) % n;
  for (let r = 3; sampled && r < rows; r += 4) targets[r] = 0x7fffffff;
  targets.freeze();
  return targets;
}

/** sampleWeight of rows or steps: weights, every fourth one 0. */
function stepWeights<T>(n: i32): Buffer<T> {
  const buffer = new Buffer<T>(n).randomize(0.5);
  for (let i = 0; i < n; i++) buffer[i] = i % 4 == 3 ? 0 : buffer[i] + 1;
  buffer.freeze();
  return buffer;
}

/** The record of a loss over classes: a sum over all rows, by default. */
function classLoss<T>(x: Buffer<T>, n: i32, targets: usize, losses: Buffer<T>, dX: Buffer<T>): ClassLoss {
  const c = new ClassLoss();
  c.smoothing = 0;
  c.factor = 0;
  c.terms = 0;
  c.rows = losses.length;
  c.n = n;
  c.x = x.p;
  c.targets = targets;
  c.probabilities = 0;
  c.weight = 0;
  c.sampleWeight = 0;
  c.ignoreIndex = -100;
  c.mean = 0;
  c.losses = losses.p;
  c.dX = dX.p;
  return c;
}

/**
 * Losses, their sum or mean and gradients. option: bit 0 weight, 1 label smoothing, 2 probabilities, 3 sampleWeight: rows
 * of weight 0 then hold NaN and targets that are no class.
 */
function crossEntropySizes<T>(option: i32): void {
  const shifts: StaticArray<f64> = [0, 3000, -3000];
  const smoothing: f64 = option & 2 ? 0.2 : 0;
  for (let s = 0; s < SIZES.length; s++) {
    for (let i = 0; i < shifts.length; i++) {
      for (let rows = 1; rows <= 7; rows += 2) {
        const n = SIZES[s];
        const what = `cross-entropy of ${rows} x ${n}, shift ${shifts[i]}, option ${option}`;
        const ignoreIndex = i == 1 ? n - 1 : -100;
        const mean = i != 2;
        const sampled = (option & 8) != 0;
        const logits = new Buffer<T>(rows * n).randomize(5);
        for (let j = 0; j < logits.length; j++) logits[j] = logits[j] + <T>shifts[i];
        const targets = targetsOf(rows, n, ignoreIndex, sampled);
        const probabilities = weights<T>(rows * n);
        const weight = weights<T>(n);
        const sampleWeight = stepWeights<T>(rows);
        for (let r = 3; sampled && r < rows; r += 4) logits[r * n] = <T>NaN;
        logits.freeze();
        const losses = output<T>(rows);
        const dLogits = output<T>(rows * n);
        const c = classLoss<T>(logits, n, option & 4 ? 0 : targets.p, losses, dLogits);
        if (option & 4) c.probabilities = probabilities.p;
        if (option & 1) c.weight = weight.p;
        if (sampled) c.sampleWeight = sampleWeight.p;
        c.ignoreIndex = ignoreIndex;
        c.smoothing = smoothing;
        c.mean = mean;
        const total = crossEntropy<T>(c);
        const terms = output<f64>(rows);
        const again = output<T>(rows);
        const dAgain = output<T>(rows * n);
        c.terms = terms.p;
        c.factor = classFactor<T>(c);
        c.losses = again.p;
        c.dX = dAgain.p;
        crossEntropy<T>(c);
        expectTerms<T>(what, terms, losses, total, c.factor);
        expectSame<T>(`losses by a given factor, ${what}`, again, losses);
        expectSame<T>(`dLogits by a given factor, ${what}`, dAgain, dLogits);
        const y = naiveSoftmax<T>(rows, n, logits);
        const d = new StaticArray<f64>(rows * n);
        const lossesExpected = new StaticArray<f64>(rows);
        let totalExpected: f64 = 0;
        let divisor: f64 = 0;
        for (let r = 0; r < rows; r++) {
          const s: f64 = sampled ? <f64>sampleWeight[r] : 1;
          if (s == 0 || (!(option & 4) && targets[r] == ignoreIndex)) continue;
          for (let k = 0; k < n; k++) {
            let a: f64 = option & 4 ? <f64>probabilities[r * n + k] : k == targets[r] ? 1 : 0;
            a = s * ((1 - smoothing) * a + smoothing / n);
            if (option & 1) a *= <f64>weight[k];
            lossesExpected[r] -= a * Math.log(y[r * n + k]);
            for (let j = 0; j < n; j++) d[r * n + j] += a * (y[r * n + j] - (j == k ? 1 : 0));
          }
          totalExpected += lossesExpected[r];
          divisor += option & 1 && !(option & 4) ? s * <f64>weight[targets[r]] : s;
        }
        if (mean) totalExpected /= divisor;
        for (let j = 0; mean && j < rows * n; j++) d[j] = d[j] == 0 ? 0 : d[j] / divisor;
        expectClose<T>(`losses, ${what}`, losses, lossesExpected);
        expectClose<T>(`dLogits, ${what}`, dLogits, d);
        expectTotal<T>(what, total, totalExpected);
        expectIntact(what);
      }
    }
  }
}

function crossEntropyOptions<T>(): void {
  for (let option = 0; option < 16; option++) crossEntropySizes<T>(option);
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
  const c = classLoss<T>(logits, 3, targets.p, losses, dLogits);
  const total = crossEntropy<T>(c);
  expect(isNaN(total)).toBe(true);
  const ln2 = Math.log(2);
  expectClose<T>("losses", losses, [Infinity, ln2, NaN, 0, 0]);
  expectClose<T>("dLogits", dLogits, [-1, 0.5, 0.5, 0, -0.5, 0.5, NaN, NaN, NaN, 0, 0, 0, 0, 0, 0]);
  // The same by probabilities: a class of probability 0 adds nothing, even where its logit is -infinity.
  const onehot = given<T>([1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
  c.targets = 0;
  c.probabilities = onehot.p;
  crossEntropy<T>(c);
  expectClose<T>("losses", losses, [Infinity, ln2, NaN, 0, 0]);
  expectClose<T>("dLogits", dLogits, [-1, 0.5, 0.5, 0, -0.5, 0.5, NaN, NaN, NaN, 0, 0, 0, 0, 0, 0]);
  expectIntact("specials");
}

/** option: bit 0 weight, 1 mean, 2 sampleWeight. */
function nllSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 8; option++) {
      for (let rows = 1; rows <= 7; rows += 2) {
        const n = SIZES[s];
        const what = `nll of ${rows} x ${n}, option ${option}`;
        const ignoreIndex = option & 1 ? n - 1 : -100;
        const mean = (option & 2) != 0;
        const sampled = (option & 4) != 0;
        const x = input<T>(rows * n);
        const targets = targetsOf(rows, n, ignoreIndex, sampled);
        const weight = weights<T>(n);
        const sampleWeight = stepWeights<T>(rows);
        const losses = output<T>(rows);
        const dx = output<T>(rows * n);
        const c = classLoss<T>(x, n, targets.p, losses, dx);
        if (option & 1) c.weight = weight.p;
        if (sampled) c.sampleWeight = sampleWeight.p;
        c.ignoreIndex = ignoreIndex;
        c.mean = mean;
        const total = nll<T>(c);
        const d = new StaticArray<f64>(rows * n);
        const lossesExpected = new StaticArray<f64>(rows);
        let totalExpected: f64 = 0;
        let divisor: f64 = 0;
        for (let r = 0; r < rows; r++) {
          const s: f64 = sampled ? <f64>sampleWeight[r] : 1;
          if (s == 0 || targets[r] == ignoreIndex) continue;
          const w: f64 = s * (option & 1 ? <f64>weight[targets[r]] : 1);
          lossesExpected[r] = -w * <f64>x[r * n + targets[r]];
          d[r * n + targets[r]] = -w;
          totalExpected += lossesExpected[r];
          divisor += w;
        }
        if (mean) totalExpected /= divisor;
        for (let j = 0; mean && j < rows * n; j++) d[j] = d[j] == 0 ? 0 : d[j] / divisor;
        expectClose<T>(`losses, ${what}`, losses, lossesExpected);
        expectClose<T>(`dX, ${what}`, dx, d);
        expectTotal<T>(what, total, totalExpected);
        expectIntact(what);
      }
    }
  }
}

const MSE: i32 = 0;
const SMOOTH_L1: i32 = 1;
const BCE_WITH_LOGITS: i32 = 2;
const L1: i32 = 3;

/** -posWeight t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)), which loses digits only far from 0. */
function naiveBce(x: f64, t: f64, posWeight: f64): f64 {
  return posWeight * t * Math.log1p(Math.exp(-x)) + (1 - t) * Math.log1p(Math.exp(x));
}

/** The record of a loss over elements: a sum without weights, by default. */
function elementLoss<T>(kind: i32, x: Buffer<T>, t: Buffer<T>, losses: Buffer<T>, d: Buffer<T>): ElementLoss {
  const e = new ElementLoss();
  e.beta = 0;
  e.factor = 0;
  e.terms = 0;
  e.kind = kind;
  e.n = x.length;
  e.inner = x.length;
  e.prediction = x.p;
  e.target = t.p;
  e.weight = 0;
  e.posWeight = 0;
  e.sampleWeight = 0;
  e.mean = 0;
  e.losses = losses.p;
  e.dPrediction = d.p;
  return e;
}

/** option: bit 0 weight, 1 posWeight, 2 beta 0 instead of 0.75, 3 mean, 4 sampleWeight of every three elements. */
function elementwiseSizes<T>(kind: i32): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 32; option++) {
      const sampled = (option & 16) != 0;
      const mean = (option & 8) != 0;
      const inner = sampled ? 3 : SIZES[s];
      const n = sampled ? 3 * SIZES[s] : SIZES[s];
      const what = `loss ${kind} of ${n}, option ${option}`;
      const sampleWeight = stepWeights<T>(SIZES[s]);
      const x = new Buffer<T>(n).randomize(2);
      for (let i = 9; sampled && i < n; i += 12) x[i] = <T>NaN;
      x.freeze();
      const t = kind == BCE_WITH_LOGITS ? weights<T>(n) : input<T>(n);
      const weight = weights<T>(n);
      const posWeight = weights<T>(n);
      const beta: f64 = option & 4 || kind == L1 ? 0 : 0.75;
      const lossesExpected = new StaticArray<f64>(n);
      const d = new StaticArray<f64>(n);
      let totalExpected: f64 = 0;
      let divisor: f64 = 0;
      for (let i = 0; i < n; i++) {
        const sample: f64 = sampled ? <f64>sampleWeight[i / inner] : 1;
        if (sample == 0) continue;
        const error = <f64>x[i] - <f64>t[i];
        const positive: f64 = option & 2 ? <f64>posWeight[i] : 1;
        const w: f64 = sample * (option & 1 ? <f64>weight[i] : 1);
        divisor += kind == BCE_WITH_LOGITS ? sample : w;
        let slope: f64 = 0;
        if (kind == MSE) {
          lossesExpected[i] = w * error * error;
          slope = 2 * error;
        } else if (kind == SMOOTH_L1 || kind == L1) {
          const near = abs(error) < beta;
          lossesExpected[i] = w * (near ? (0.5 * error * error) / beta : abs(error) - 0.5 * beta);
          slope = near ? error / beta : error < 0 ? -1 : 1;
        } else {
          const target = <f64>t[i];
          lossesExpected[i] = w * naiveBce(<f64>x[i], target, positive);
          const sigmoid = 1 / (1 + Math.exp(-(<f64>x[i])));
          slope = (1 - target) * sigmoid - positive * target * (1 - sigmoid);
        }
        d[i] = w * slope;
        totalExpected += lossesExpected[i];
      }
      if (mean) totalExpected /= divisor;
      for (let i = 0; mean && i < n; i++) d[i] = d[i] == 0 ? 0 : d[i] / divisor;
      const losses = output<T>(n);
      const dx = output<T>(n);
      const e = elementLoss<T>(kind, x, t, losses, dx);
      e.inner = inner;
      e.beta = beta;
      if (option & 1) e.weight = weight.p;
      if (option & 2) e.posWeight = posWeight.p;
      if (sampled) e.sampleWeight = sampleWeight.p;
      e.mean = mean;
      const total = elementwiseLoss<T>(e);
      const terms = output<f64>(n);
      const again = output<T>(n);
      const dAgain = output<T>(n);
      e.terms = terms.p;
      e.factor = elementFactor<T>(e);
      e.losses = again.p;
      e.dPrediction = dAgain.p;
      elementwiseLoss<T>(e);
      expectTerms<T>(what, terms, losses, total, e.factor);
      expectSame<T>(`losses by a given factor, ${what}`, again, losses);
      expectSame<T>(`dPrediction by a given factor, ${what}`, dAgain, dx);
      expectClose<T>(`losses, ${what}`, losses, lossesExpected);
      expectClose<T>(`dPrediction, ${what}`, dx, d);
      expectTotal<T>(what, total, totalExpected);
      expectIntact(what);
    }
  }
}

/** NaN in, NaN out, and nowhere else; equal numbers; logits whose e^x is no number of either type. */
function elementwiseSpecials<T>(): void {
  const losses = output<T>(5);
  const dx = output<T>(5);
  const nan = <T>NaN;
  const x = given<T>([1, nan, 3, 2, -1e30]);
  const t = given<T>([0, 0, 5, 2, 0]);
  const four = elementLoss<T>(MSE, x, t, losses, dx);
  four.n = four.inner = 4;
  expect(isNaN(elementwiseLoss<T>(four))).toBe(true);
  expectClose<T>("mse", losses, [1, NaN, 4, 0, NaN]);
  expectClose<T>("mse, d", dx, [2, NaN, -4, 0, NaN]);
  expect(isNaN(elementwiseLoss<T>(elementLoss<T>(L1, x, t, losses, dx)))).toBe(true);
  expectClose<T>("l1", losses, [1, NaN, 2, 0, 1e30]);
  expectClose<T>("l1, d", dx, [1, 0, -1, 0, -1]);
  const smooth = elementLoss<T>(SMOOTH_L1, x, t, losses, dx);
  expect(isNaN(elementwiseLoss<T>(smooth))).toBe(true);
  expectClose<T>("smooth l1, beta 0", losses, [1, NaN, 2, 0, 1e30]);
  expectClose<T>("smooth l1, beta 0, d", dx, [1, NaN, -1, 0, -1]);
  smooth.beta = 2;
  expect(isNaN(elementwiseLoss<T>(smooth))).toBe(true);
  expectClose<T>("smooth l1", losses, [0.25, NaN, 1, 0, 1e30]);
  expectClose<T>("smooth l1, d", dx, [0.5, NaN, -1, 0, -1]);
  const logits = given<T>([2000, -2000, 2000, -40, nan]);
  const labels = given<T>([1, 0, 0, 0, 1]);
  elementwiseLoss<T>(elementLoss<T>(BCE_WITH_LOGITS, logits, labels, losses, dx));
  expectClose<T>("bce", losses, [0, 0, 2000, Math.exp(-40), NaN]);
  expectClose<T>("bce, d", dx, [0, 0, 1, Math.exp(-40), NaN]);
  const relative = abs(<f64>losses[3] / Math.exp(-40) - 1);
  if (!(relative < 1e-6)) fail(`the loss of a sure answer is ${losses[3]}`);
  expectIntact("specials");
}

describe("loss", () => {
  test("softmax f64", () => softmaxSizes<f64>());
  test("softmax f32", () => softmaxSizes<f32>());
  test("softmax: NaN and infinities f64", () => softmaxSpecials<f64>());
  test("softmax: NaN and infinities f32", () => softmaxSpecials<f32>());
  test("cross-entropy f64", () => crossEntropyOptions<f64>());
  test("cross-entropy f32", () => crossEntropyOptions<f32>());
  test("cross-entropy: NaN and infinities f64", () => crossEntropySpecials<f64>());
  test("cross-entropy: NaN and infinities f32", () => crossEntropySpecials<f32>());
  test("nll f64", () => nllSizes<f64>());
  test("nll f32", () => nllSizes<f32>());
  test("mse f64", () => elementwiseSizes<f64>(MSE));
  test("mse f32", () => elementwiseSizes<f32>(MSE));
  test("smooth l1 f64", () => elementwiseSizes<f64>(SMOOTH_L1));
  test("smooth l1 f32", () => elementwiseSizes<f32>(SMOOTH_L1));
  test("l1 f64", () => elementwiseSizes<f64>(L1));
  test("l1 f32", () => elementwiseSizes<f32>(L1));
  test("bce with logits f64", () => elementwiseSizes<f64>(BCE_WITH_LOGITS));
  test("bce with logits f32", () => elementwiseSizes<f32>(BCE_WITH_LOGITS));
  test("element-wise: NaN and infinities f64", () => elementwiseSpecials<f64>());
  test("element-wise: NaN and infinities f32", () => elementwiseSpecials<f32>());
});
