// Parameter updates, every option on and off, over several steps, against scalar f64 loops of PyTorch's equations.

import { adagrad, AdagradStep, adam, AdamStep, rmsprop, RmspropStep, sgd, SgdStep } from "../training/optim";
import { Buffer, expectClose, expectIntact, expectSame, fail, input, output, SIZES, state, wide } from "./helpers";

const STEPS: i32 = 4;
const LR: f64 = 0.1;

function sgdStep<T>(
  p: Buffer<T>,
  g: Buffer<T>,
  buffer: usize,
  lr: f64,
  direction: f64,
  weightDecay: f64,
  momentum: f64,
  dampened: f64,
  nesterov: bool,
): void {
  const r = new SgdStep();
  r.lr = lr;
  r.direction = direction;
  r.weightDecay = weightDecay;
  r.momentum = momentum;
  r.dampened = dampened;
  r.n = p.length;
  r.p = p.p;
  r.g = g.p;
  r.buffer = buffer;
  r.nesterov = nesterov;
  sgd<T>(r);
}

/** Without weight decay: stepSize 1, both betas 0.5. */
function adamStep<T>(p: Buffer<T>, g: Buffer<T>, m: Buffer<T>, v: Buffer<T>, largest: usize): AdamStep {
  const r = new AdamStep();
  r.stepSize = 1;
  r.beta1 = 0.5;
  r.beta2 = 0.5;
  r.correction2 = 1;
  r.eps = 1;
  r.direction = 1;
  r.weightDecay = 0;
  r.decay = 1;
  r.n = p.length;
  r.p = p.p;
  r.g = g.p;
  r.expAvg = m.p;
  r.expAvgSq = v.p;
  r.maxExpAvgSq = largest;
  return r;
}

/** Without weight decay and momentum: lr and eps 1, alpha 0.5. */
function rmspropStep<T>(p: Buffer<T>, g: Buffer<T>, squareAvg: Buffer<T>, gradAvg: usize, buffer: usize): RmspropStep {
  const r = new RmspropStep();
  r.lr = 1;
  r.alpha = 0.5;
  r.eps = 1;
  r.direction = 1;
  r.weightDecay = 0;
  r.momentum = 0;
  r.n = p.length;
  r.p = p.p;
  r.g = g.p;
  r.squareAvg = squareAvg.p;
  r.gradAvg = gradAvg;
  r.buffer = buffer;
  return r;
}

/** Without weight decay: stepSize 1. */
function adagradStep<T>(p: Buffer<T>, g: Buffer<T>, sum: Buffer<T>, eps: f64): AdagradStep {
  const r = new AdagradStep();
  r.stepSize = 1;
  r.eps = eps;
  r.direction = 1;
  r.weightDecay = 0;
  r.n = p.length;
  r.p = p.p;
  r.g = g.p;
  r.sum = sum.p;
  return r;
}

/** option: bit 0 weight decay, 1 momentum, 2 nesterov, 3 dampening, 4 maximize. */
function sgdSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 32; option++) {
      const n = SIZES[s];
      const what = `sgd of ${n}, option ${option}`;
      const decay: f64 = option & 1 ? 0.01 : 0;
      const momentum: f64 = option & 2 ? 0.9 : 0;
      const nesterov = (option & 4) != 0;
      const dampening: f64 = option & 8 ? 0.3 : 0;
      const direction: f64 = option & 16 ? -1 : 1;
      const p = state<T>(n);
      const buffer = output<T>(n);
      if (momentum) buffer.fill(0);
      const expected = wide<T>(p);
      const bufferExpected = new StaticArray<f64>(n);
      for (let step = 0; step < STEPS; step++) {
        const g = input<T>(n);
        const dampened = step == 0 ? 1 : 1 - dampening;
        for (let i = 0; i < n; i++) {
          const gradient = direction * <f64>g[i] + decay * expected[i];
          bufferExpected[i] = momentum * bufferExpected[i] + dampened * gradient;
          let d = gradient;
          if (momentum) d = nesterov ? gradient + momentum * bufferExpected[i] : bufferExpected[i];
          expected[i] -= LR * d;
        }
        const bufferP = momentum ? buffer.p : 0;
        sgdStep<T>(p, g, bufferP, LR, direction, decay, momentum, dampened, nesterov);
        expectClose<T>(`${what}, step ${step}`, p, expected);
        if (momentum) expectClose<T>(`buffer, ${what}, step ${step}`, buffer, bufferExpected);
        else expectSame<T>(`buffer, ${what}`, buffer, output<T>(n));
      }
      expectIntact(what);
    }
  }
}

/** option: bit 0 weight decay, 1 a decoupled one, 2 amsgrad, 3 maximize. */
function adamSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 16; option++) {
      const n = SIZES[s];
      const what = `adam of ${n}, option ${option}`;
      const decay: f64 = option & 1 ? 0.01 : 0;
      const factor: f64 = option & 2 ? 0.98 : 1;
      const amsgrad = (option & 4) != 0;
      const direction: f64 = option & 8 ? -1 : 1;
      const beta1: f64 = 0.8;
      const beta2: f64 = 0.95;
      const eps: f64 = 1e-3;
      const p = state<T>(n);
      const m = new Buffer<T>(n).fill(0);
      const v = new Buffer<T>(n).fill(0);
      const largest = output<T>(n);
      if (amsgrad) largest.fill(0);
      const expected = wide<T>(p);
      const mExpected = new StaticArray<f64>(n);
      const vExpected = new StaticArray<f64>(n);
      const largestExpected = new StaticArray<f64>(n);
      let power1: f64 = 1;
      let power2: f64 = 1;
      for (let step = 0; step < STEPS; step++) {
        const g = input<T>(n, step == 1 ? 2 : 1); // large once, so that the largest average is not the last
        power1 *= beta1;
        power2 *= beta2;
        const stepSize = LR / (1 - power1);
        const correction2 = sqrt(1 - power2);
        for (let i = 0; i < n; i++) {
          expected[i] *= factor;
          const gradient = direction * <f64>g[i] + decay * expected[i];
          mExpected[i] = beta1 * mExpected[i] + (1 - beta1) * gradient;
          vExpected[i] = beta2 * vExpected[i] + (1 - beta2) * gradient * gradient;
          const mHat = mExpected[i] / (1 - power1);
          largestExpected[i] = max(largestExpected[i], vExpected[i]);
          const vHat = (amsgrad ? largestExpected[i] : vExpected[i]) / (1 - power2);
          expected[i] -= (LR * mHat) / (sqrt(vHat) + eps);
        }
        const r = adamStep<T>(p, g, m, v, amsgrad ? largest.p : 0);
        r.stepSize = stepSize;
        r.beta1 = beta1;
        r.beta2 = beta2;
        r.correction2 = correction2;
        r.eps = eps;
        r.direction = direction;
        r.weightDecay = decay;
        r.decay = factor;
        adam<T>(r);
        expectClose<T>(`${what}, step ${step}`, p, expected);
        expectClose<T>(`expAvg, ${what}, step ${step}`, m, mExpected);
        expectClose<T>(`expAvgSq, ${what}, step ${step}`, v, vExpected);
        if (amsgrad) expectClose<T>(`maxExpAvgSq, ${what}, step ${step}`, largest, largestExpected);
        else expectSame<T>(`maxExpAvgSq, ${what}`, largest, output<T>(n));
      }
      expectIntact(what);
    }
  }
}

/** option: bit 0 weight decay, 1 momentum, 2 centered, 3 maximize. */
function rmspropSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 16; option++) {
      const n = SIZES[s];
      const what = `rmsprop of ${n}, option ${option}`;
      const decay: f64 = option & 1 ? 0.01 : 0;
      const momentum: f64 = option & 2 ? 0.9 : 0;
      const centered = (option & 4) != 0;
      const direction: f64 = option & 8 ? -1 : 1;
      const alpha: f64 = 0.9;
      const eps: f64 = 0.01;
      const p = state<T>(n);
      const squareAvg = new Buffer<T>(n).fill(0);
      const gradAvg = output<T>(n);
      if (centered) gradAvg.fill(0);
      const buffer = output<T>(n);
      if (momentum) buffer.fill(0);
      const expected = wide<T>(p);
      const squaresExpected = new StaticArray<f64>(n);
      const averagesExpected = new StaticArray<f64>(n);
      const bufferExpected = new StaticArray<f64>(n);
      for (let step = 0; step < STEPS; step++) {
        const g = input<T>(n);
        for (let i = 0; i < n; i++) {
          const gradient = direction * <f64>g[i] + decay * expected[i];
          squaresExpected[i] = alpha * squaresExpected[i] + (1 - alpha) * gradient * gradient;
          averagesExpected[i] = alpha * averagesExpected[i] + (1 - alpha) * gradient;
          let variance = squaresExpected[i];
          if (centered) variance -= averagesExpected[i] * averagesExpected[i];
          const u = gradient / (sqrt(variance) + eps);
          bufferExpected[i] = momentum * bufferExpected[i] + u;
          expected[i] -= LR * (momentum ? bufferExpected[i] : u);
        }
        const r = rmspropStep<T>(p, g, squareAvg, centered ? gradAvg.p : 0, momentum ? buffer.p : 0);
        r.lr = LR;
        r.alpha = alpha;
        r.eps = eps;
        r.direction = direction;
        r.weightDecay = decay;
        r.momentum = momentum;
        rmsprop<T>(r);
        expectClose<T>(`${what}, step ${step}`, p, expected);
        expectClose<T>(`squareAvg, ${what}, step ${step}`, squareAvg, squaresExpected);
        if (centered) expectClose<T>(`gradAvg, ${what}, step ${step}`, gradAvg, averagesExpected);
        else expectSame<T>(`gradAvg, ${what}`, gradAvg, output<T>(n));
        if (momentum) expectClose<T>(`buffer, ${what}, step ${step}`, buffer, bufferExpected);
        else expectSame<T>(`buffer, ${what}`, buffer, output<T>(n));
      }
      expectIntact(what);
    }
  }
}

/** option: bit 0 weight decay, 1 maximize, 2 a sum that starts with 0.5. */
function adagradSizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 8; option++) {
      const n = SIZES[s];
      const what = `adagrad of ${n}, option ${option}`;
      const decay: f64 = option & 1 ? 0.01 : 0;
      const direction: f64 = option & 2 ? -1 : 1;
      const start: f64 = option & 4 ? 0.5 : 0;
      const eps: f64 = 0.01;
      const p = state<T>(n);
      const sum = new Buffer<T>(n).fill(<T>start);
      const expected = wide<T>(p);
      const sumExpected = wide<T>(sum);
      for (let step = 0; step < STEPS; step++) {
        const g = input<T>(n);
        const stepSize = LR / (1 + 0.1 * step);
        for (let i = 0; i < n; i++) {
          const gradient = direction * <f64>g[i] + decay * expected[i];
          sumExpected[i] += gradient * gradient;
          expected[i] -= (stepSize * gradient) / (sqrt(sumExpected[i]) + eps);
        }
        const r = adagradStep<T>(p, g, sum, eps);
        r.stepSize = stepSize;
        r.direction = direction;
        r.weightDecay = decay;
        adagrad<T>(r);
        expectClose<T>(`${what}, step ${step}`, p, expected);
        expectClose<T>(`sum, ${what}, step ${step}`, sum, sumExpected);
      }
      expectIntact(what);
    }
  }
}

/** The update of number `at` is NaN, all others are what they are without it. */
function expectOnly<T>(what: string, at: i32, broken: Buffer<T>, clean: Buffer<T>): void {
  for (let i = 0; i < clean.length; i++) {
    const reached = broken[i] != broken[i];
    if (reached != (i == at)) fail(`${what}: a NaN at ${at}, and number ${i} is ${broken[i]}`);
    if (!reached && broken[i] != clean[i]) fail(`${what}: a NaN at ${at} changes number ${i}`);
  }
}

function nan<T>(): void {
  const n = 7;
  for (let at = 0; at < n; at++) {
    const p = input<T>(n);
    const g = input<T>(n);
    const m = input<T>(n);
    const broken = g.copy();
    broken[at] = <T>NaN;
    const clean = p.copy();
    sgdStep<T>(clean, g, 0, 1, 1, 1, 0, 1, false);
    const p1 = p.copy();
    sgdStep<T>(p1, broken, 0, 1, 1, 1, 0, 1, false);
    expectOnly<T>("sgd", at, p1, clean);
    const v = new Buffer<T>(n).fill(1);
    const clean2 = p.copy();
    adam<T>(adamStep<T>(clean2, g, m.copy(), v.copy(), v.copy().p));
    const p2 = p.copy();
    adam<T>(adamStep<T>(p2, broken, m.copy(), v.copy(), v.copy().p));
    expectOnly<T>("adam", at, p2, clean2);
    const clean3 = p.copy();
    rmsprop<T>(rmspropStep<T>(clean3, g, v.copy(), 0, 0));
    const p3 = p.copy();
    rmsprop<T>(rmspropStep<T>(p3, broken, v.copy(), 0, 0));
    expectOnly<T>("rmsprop", at, p3, clean3);
    const clean4 = p.copy();
    adagrad<T>(adagradStep<T>(clean4, g, v.copy(), 1));
    const p4 = p.copy();
    adagrad<T>(adagradStep<T>(p4, broken, v.copy(), 1));
    expectOnly<T>("adagrad", at, p4, clean4);
    expectIntact("NaN");
  }
}

/** The least normal number. */
function leastNormal<T>(): T {
  return sizeof<T>() == 8 ? <T>f64.MIN_NORMAL_VALUE : <T>f32.MIN_NORMAL_VALUE;
}

/** Moments: below the least normal number in both signs, exactly that number halved by the update, normal, NaN, 0. */
function smallMoments<T>(n: i32, least: T): Buffer<T> {
  const moments = new Buffer<T>(n);
  for (let i = 0; i < n; i++) {
    const kind = i % 6;
    if (kind == 0) moments[i] = least / 4;
    else if (kind == 1) moments[i] = -least / 4;
    else if (kind == 2) moments[i] = least;
    else if (kind == 3) moments[i] = -4 * least;
    else if (kind == 4) moments[i] = <T>NaN;
    else moments[i] = 0;
  }
  return moments;
}

/** Half of x, 0 where that is below the least normal number. */
function halved<T>(x: T, least: T): T {
  const half = x / 2;
  return abs(half) < least ? 0 : half;
}

/**
 * Moments that fall below the least normal number become 0, others keep their bits. Squares stay where the step needs them
 * (its other factor is not 0) and with eps = 0.
 */
function flushes<T>(): void {
  const least = leastNormal<T>();
  for (let n = 1; n <= 13; n++) {
    const moments = smallMoments<T>(n, least);
    const flushed = new Buffer<T>(n);
    const squares = new Buffer<T>(n).fill(least / 8);
    const kept = new Buffer<T>(n).fill(least / 16);
    const squaresFlushed = new Buffer<T>(n);
    for (let i = 0; i < n; i++) {
      flushed[i] = halved<T>(moments[i], least);
      squaresFlushed[i] = flushed[i] == 0 ? 0 : least / 16;
    }
    const zeros = new Buffer<T>(n).fill(0);
    const idle = new Buffer<T>(n).fill(1);
    const g = zeros.copy();
    const p = idle.copy();
    let m = moments.copy();
    sgdStep<T>(p, g, m.p, 1, 1, 0, 0.5, 1, false);
    expectSame<T>(`sgd of ${n}: buffer`, m, flushed);
    for (let squared = 0; squared < 2; squared++) {
      const eps: f64 = squared ? 1e-8 : 0;
      m = moments.copy();
      let v = squares.copy();
      const largest = kept.copy();
      const a = adamStep<T>(p, g, m, v, largest.p);
      a.eps = eps;
      adam<T>(a);
      expectSame<T>(`adam of ${n}, eps ${eps}: maxExpAvgSq`, largest, squared ? squaresFlushed : kept);
      expectSame<T>(`adam of ${n}: expAvg`, m, flushed);
      expectSame<T>(`adam of ${n}, eps ${eps}: expAvgSq`, v, squared ? squaresFlushed : kept);
      m = moments.copy();
      v = squares.copy();
      const average = moments.copy();
      const step = idle.copy();
      const r = rmspropStep<T>(step, g, v, average.p, m.p);
      r.eps = eps;
      r.momentum = 0.5;
      rmsprop<T>(r);
      expectSame<T>(`rmsprop of ${n}: gradAvg`, average, flushed);
      expectSame<T>(`rmsprop of ${n}, eps ${eps}: squareAvg`, v, squared ? zeros : kept);
      if (squared) {
        m = moments.copy();
        r.gradAvg = 0;
        r.buffer = m.p;
        rmsprop<T>(r);
        expectSame<T>(`rmsprop of ${n}: buffer`, m, flushed);
      }
      v = kept.copy();
      adagrad<T>(adagradStep<T>(step, g, v, eps));
      expectSame<T>(`adagrad of ${n}, eps ${eps}: sum`, v, squared ? zeros : kept);
    }
    // A gradient whose square is 0: the step is not 0, so the squares stay.
    for (let i = 0; i < n; i++) g[i] = least;
    let v = squares.copy();
    rmsprop<T>(rmspropStep<T>(p, g, v, 0, 0));
    expectSame<T>(`rmsprop of ${n}, tiny gradients: squareAvg`, v, kept);
    v = kept.copy();
    adagrad<T>(adagradStep<T>(p, g, v, 1));
    expectSame<T>(`adagrad of ${n}, tiny gradients: sum`, v, kept);
    expectIntact("flushes");
  }
}

/** Without weight decay an infinite parameter stays out of the moments, and of its own next steps. */
function infinite<T>(): void {
  for (let n = 1; n <= 5; n++) {
    const p = new Buffer<T>(n).fill(<T>-Infinity);
    const expected = p.copy();
    const g = new Buffer<T>(n).fill(0.5);
    const one = new Buffer<T>(n).fill(1);
    const v = one.copy();
    sgdStep<T>(p, g, 0, 1, 1, 0, 0, 1, false);
    expectSame<T>("sgd", p, expected);
    adam<T>(adamStep<T>(p, g, one.copy(), v, 0));
    expectSame<T>("adam", p, expected);
    expectClose<T>("adam, expAvgSq", v, wide<T>(new Buffer<T>(n).fill(0.625)));
    rmsprop<T>(rmspropStep<T>(p, g, v, 0, 0));
    expectSame<T>("rmsprop", p, expected);
    adagrad<T>(adagradStep<T>(p, g, v, 1));
    expectSame<T>("adagrad", p, expected);
    expectIntact("infinite");
  }
}

describe("optim", () => {
  test("sgd f64", () => sgdSizes<f64>());
  test("sgd f32", () => sgdSizes<f32>());
  test("adam f64", () => adamSizes<f64>());
  test("adam f32", () => adamSizes<f32>());
  test("rmsprop f64", () => rmspropSizes<f64>());
  test("rmsprop f32", () => rmspropSizes<f32>());
  test("adagrad f64", () => adagradSizes<f64>());
  test("adagrad f32", () => adagradSizes<f32>());
  test("moments below the least normal number f64", () => flushes<f64>());
  test("moments below the least normal number f32", () => flushes<f32>());
  test("infinite parameters f64", () => infinite<f64>());
  test("infinite parameters f32", () => infinite<f32>());
  test("NaN f64", () => nan<f64>());
  test("NaN f32", () => nan<f32>());
});
