// Tests of every recurrent cell: close to the scalar loops, and the same bits however a sequence is split.

import { HARD_SIGMOID, LINEAR, RELU, SIGMOID, TANH } from "../activation";
import { bytes } from "../simd";
import { backward, forward, Gradients, Kept, packOnce } from "./calls";
import { Buffer, expectIntact, expectSame, expectSameRange, fail, output } from "./helpers";
import { Naive } from "./naive";
import {
  Case,
  caseOf,
  CLIPPED,
  COUPLED,
  GRU,
  isSmall,
  LSTM,
  MASKED,
  NO_BIAS,
  NORMED,
  PEEPHOLE,
  PROJECTED,
  RAGGED,
  RESET_AFTER,
  RNN,
  SHAPES,
  slice,
} from "./sequence";

// `own`: flags that all cases of a test have, NORMED or none.

/** The number of variants of a training pass: bit 0 selects tanh or ReLU, the others are flags. */
function variants(cell: i32, own: i32 = 0): i32 {
  return cell == RNN || (cell == GRU && own & NORMED) ? 64 : 128; // a layer-normalised GRU is always resetAfter
}
function variantOf<T>(cell: i32, variant: i32, shape: i32, own: i32 = 0): Case<T> {
  const c = caseOf<T>(cell, (variant >> 1) | own, shape);
  c.phi = c.psi = variant & 1 ? RELU : TANH;
  return c;
}

/** Small shapes run all variants; the others some, in which each bit is set and clear. */
function stride(shape: i32): i32 {
  return isSmall(shape) ? 1 : 11;
}

/** The same for a forward pass, without NO_DOUTPUT and NO_DX. */
function forwardVariants(cell: i32, own: i32 = 0): i32 {
  return variants(cell, own) / 4;
}
function forwardVariantOf<T>(cell: i32, variant: i32, shape: i32, own: i32 = 0): Case<T> {
  const low = variant & (1 | (NO_BIAS << 1));
  return variantOf<T>(cell, low | ((variant - low) << 2), shape, own);
}
function forwardStride(shape: i32): i32 {
  return isSmall(shape) ? 1 : 3;
}

/** Forward and backward compared with the scalar loops: all variants of a layer, with tanh and ReLU. */
export function naive<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    // Some of the variances of 297 rows of two numbers are tiny, several of them in one sequence; each amplifies the rounding
    // errors, and together they leave f32 no digits. The tests of bits cover this shape in f32.
    if (own & NORMED && shape == 40 && sizeof<T>() == 4) continue;
    for (let variant = 0; variant < variants(cell, own); variant += stride(shape)) {
      checkNaive<T>(variantOf<T>(cell, variant, shape, own));
    }
  }
}

function checkNaive<T>(c: Case<T>): void {
  const kept = forward<T>(c);
  const expected = new Naive<T>(c);
  expected.expectForward(kept);
  expected.backward().expectBackward(backward<T>(c, kept));
  expectIntact(c.name);
}

/** All combinations of non-linearities. */
export function nonlinearities<T>(cell: i32, own: i32 = 0): void {
  const codes: StaticArray<i32> = [TANH, RELU, SIGMOID, LINEAR, HARD_SIGMOID];
  const shapes: StaticArray<i32> = [4, 12, 16];
  let count = 0;
  for (let sigma = 0; sigma < (cell == RNN ? 1 : codes.length); sigma++) {
    const unbounded = codes[sigma] == RELU || codes[sigma] == LINEAR; // rounding errors grow fast from step to step
    for (let phi = 0; phi < codes.length; phi++) {
      for (let psi = 0; psi < (cell == LSTM ? codes.length : 1); psi++) {
        for (let variant = 0; variant < (cell == RNN ? 2 : 4); variant++) {
          const flags = own | (variant & 2 ? PROJECTED | RESET_AFTER : 0);
          const c = unbounded
            ? new Case<T>(cell, flags, 2, 1, 3, own & NORMED ? 5 : 2) // the variance of two numbers is often small
            : caseOf<T>(cell, flags, shapes[count++ % shapes.length]);
          c.sigma = codes[sigma];
          c.phi = codes[phi];
          c.psi = codes[psi];
          if (variant & 1) c.slope = 1.0 / 6;
          checkNaive<T>(c);
        }
      }
    }
  }
}

/** Passes without training, in chunks of any size: the same bits in h and c_n. */
export function chunks<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < forwardVariants(cell, own); variant += forwardStride(shape)) {
      const c = forwardVariantOf<T>(cell, variant, shape, own);
      const kept = forward<T>(c);
      for (let chunk = 1; chunk <= c.t; chunk++) {
        forward<T>(c, false, chunk).expectSameResults(`in chunks of ${chunk}, ${c.name}`, kept);
      }
      expectIntact(c.name);
    }
  }
}

/** h_0 and c_0 elsewhere, steps from the last to the first, other states between those of two steps: the same bits. */
export function placed<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < forwardVariants(cell, own); variant += forwardStride(shape)) {
      for (let place = 0; place < 4; place++) {
        const c = forwardVariantOf<T>(cell, variant, shape, own);
        if (c.flags & RAGGED) continue;
        checkPlaced<T>(c, (place & 1) != 0, place & 2);
        expectIntact(c.name);
      }
    }
  }
}

function checkPlaced<T>(c: Case<T>, reversed: bool, others: i32): void {
  const what = `reversed ${reversed}, ${others} others, ${c.name}`;
  const size = c.n * c.p;
  const hs = output<T>(c.t * size * (1 + others));
  const expected = hs.copy();
  const cs = output<T>(c.c0.length);
  const chunk = min(2, c.t);
  const call = new Kept<T>(c, false, chunk).call();
  const s = call.s;
  s.hs = hs.p - bytes<T>(size);
  s.cs = cs.length ? cs.p : 0;
  s.h0 = c.h0.p;
  s.c0 = cs.length ? c.c0.p : 0;
  s.reversed = reversed;
  s.others = others;
  call.forward();

  const step = c.n * c.d;
  const x = c.x;
  if (reversed) {
    c.x = x.copy();
    for (let i = 0; i < x.length; i++) c.x[i] = x[(c.t - 1 - i / step) * step + (i % step)];
  }
  const kept = forward<T>(c, false);
  for (let i = 0; i < c.t; i++) {
    const to = (reversed ? c.t - 1 - i : i) * (1 + others) * size;
    for (let j = 0; j < size; j++) expected[to + j] = kept.hs[(1 + i) * size + j];
  }
  expectSame<T>(`hs, ${what}`, hs, expected);
  expectSame<T>(`cs, ${what}`, cs, kept.cs);
}

/** Every step as a sequence of its own, on the states of the whole, with weights packed once. */
function forwardBySteps<T>(c: Case<T>, training: bool): Kept<T> {
  const kept = new Kept<T>(c, training, training ? c.t : 1, true);
  const packed = packOnce<T>(c);
  for (let i = 0; i < c.t; i++) {
    const call = kept.call(packed.p);
    call.narrow(i);
    call.forward();
  }
  return kept;
}

function backwardBySteps<T>(c: Case<T>, kept: Kept<T>): Gradients<T> {
  const grad = new Gradients<T>(c, kept, null);
  for (let i = c.t - 1; i >= 0; i--) {
    const call = grad.call(kept);
    call.narrow(i);
    call.backward();
  }
  return grad;
}

/** The `condition` of `expectClose`: terms this many times as large cancel in the parameter gradients. */
function conditionOf<T>(c: Case<T>): f64 {
  return c.normed ? new Naive<T>(c).condition : 1;
}

/** Step by step, forward and backward: the same bits. */
export function steps<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < variants(cell, own); variant += stride(shape)) {
      const c = variantOf<T>(cell, variant, shape, own);
      const kept = forward<T>(c);
      const bySteps = forwardBySteps<T>(c, true);
      bySteps.expectSame(`by steps, ${c.name}`, kept);
      forwardBySteps<T>(c, false).expectSameResults(`by steps in place, ${c.name}`, kept);
      backwardBySteps<T>(c, bySteps).expectSame(`by steps, ${c.name}`, backward<T>(c, kept), conditionOf<T>(c));
      expectIntact(c.name);
    }
  }
}

/** With packed weights the weights themselves are not read, and the bits are the same. */
export function packed<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < forwardVariants(cell, own); variant += forwardStride(shape)) {
      const c = forwardVariantOf<T>(cell, variant, shape, own);
      const weights = packOnce<T>(c);
      const kept = new Kept<T>(c, true, c.t);
      for (let pass = 0; pass < 2; pass++) {
        const call = kept.call(weights.p);
        call.s.weightIh = call.s.weightHh = call.s.biasIh = call.s.biasHh = 0;
        call.forward();
      }
      kept.expectSame(`packed once, ${c.name}`, forward<T>(c));
      expectIntact(c.name);
    }
  }
}

/** Row r of the batch has the bits of a pass over this row alone. */
function expectSameRow<T>(c: Case<T>, kept: Kept<T>, r: i32, one: Kept<T>): void {
  for (let i = 0; i <= one.c.t; i++) {
    const what = `row ${r} at step ${i}, ${c.name}`;
    expectSameRange<T>(`hs, ${what}`, kept.hs, c.before(i, r) * c.p, one.hs, i * c.p, c.p);
    if (kept.cs.length) expectSameRange<T>(`cs, ${what}`, kept.cs, c.before(i, r) * c.h, one.cs, i * c.h, c.h);
  }
}

/** Each row of a batch alone, with equal and with different lengths: the same bits. Parameter gradients are sums of rows. */
export function rows<T>(cell: i32, own: i32 = 0): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < variants(cell, own); variant += stride(shape)) {
      const c = variantOf<T>(cell, variant, shape, own);
      const kept = forward<T>(c);
      const grad = backward<T>(c, kept);
      let sums: Gradients<T> | null = null;
      for (let r = 0; r < c.n; r++) {
        const what = `row ${r}, ${c.name}`;
        if (c.lengthOf(r) == 0) {
          expectSame<T>(`dh0, ${what}`, slice<T>(grad.dh, r, c.n), slice<T>(c.dhn, r, c.n));
          expectSame<T>(`dc0, ${what}`, slice<T>(grad.dc, r, c.n), slice<T>(c.dcn, r, c.n));
          continue;
        }
        const one = c.row(r);
        const keptOne = forward<T>(one);
        expectSameRow<T>(c, kept, r, keptOne);
        const gradOne = backward<T>(one, keptOne, sums);
        expectSame<T>(`dx, ${what}`, c.pick(grad.dx, c.d, r), gradOne.dx);
        expectSame<T>(`dh0, ${what}`, slice<T>(grad.dh, r, c.n), gradOne.dh);
        expectSame<T>(`dc0, ${what}`, slice<T>(grad.dc, r, c.n), gradOne.dc);
        sums = gradOne;
      }
      const total = sums ? sums : new Gradients<T>(c, kept, null);
      grad.expectCloseParameters(`the sum of the rows, ${c.name}`, total, conditionOf<T>(c));
      expectIntact(c.name);
    }
  }
}

/** Forward-only variants (peepholes, f = 1 - i, clip): compared with the scalar loops, in chunks, row by row. */
export function forwardOnly<T>(cell: i32): void {
  const shapes: StaticArray<i32> = [0, 4, 8, 12, 16, 28, 32];
  const first = cell == LSTM ? PEEPHOLE : CLIPPED;
  for (let s = 0; s < shapes.length; s++) {
    for (let own = first; own < 2 * CLIPPED; own += first) {
      for (let variant = 0; variant < forwardVariants(cell); variant += forwardStride(shapes[s])) {
        const c = forwardVariantOf<T>(cell, variant, shapes[s], own);
        if (s & 1) c.sigma = HARD_SIGMOID;
        const whole = forward<T>(c, false);
        new Naive<T>(c).expectForward(whole);
        for (let chunk = 1; chunk < c.t; chunk++) {
          forward<T>(c, false, chunk).expectSameResults(`in chunks of ${chunk}, ${c.name}`, whole);
        }
        forwardBySteps<T>(c, false).expectSameResults(`by steps, ${c.name}`, whole);
        for (let r = 0; r < c.n; r += 3) {
          const length = c.lengthOf(r);
          if (length == 0) continue;
          const one = forward<T>(c.row(r), false);
          for (let i = 1; i <= length; i++) {
            const what = `row ${r} at step ${i}, ${c.name}`;
            expectSameRange<T>(what, whole.hs, c.before(i, r) * c.p, one.hs, i * c.p, c.p);
          }
        }
        expectIntact(c.name);
      }
    }
  }
}

/** Variants for the tests of NaN. */
function nanFlags(cell: i32): StaticArray<i32> {
  if (cell == RNN) return [0, MASKED, CLIPPED];
  if (cell == GRU) {
    return [0, MASKED, RESET_AFTER, MASKED | RESET_AFTER, NORMED, NORMED | MASKED, CLIPPED, CLIPPED | RESET_AFTER];
  }
  return [
    0,
    MASKED,
    PROJECTED,
    NORMED,
    NORMED | MASKED,
    NORMED | PROJECTED,
    PEEPHOLE,
    COUPLED,
    CLIPPED,
    PEEPHOLE | COUPLED | CLIPPED | MASKED,
  ];
}

/** A NaN in x makes the states of its row NaN from its step on; a NaN in dOutput makes dx of its row NaN up to its step. */
export function nan<T>(cell: i32): void {
  const codes: StaticArray<i32> = [TANH, RELU, HARD_SIGMOID, LINEAR, SIGMOID];
  const flags = nanFlags(cell);
  for (let f = 0; f < flags.length; f++) {
    for (let code = 0; code < codes.length; code++) {
      const training = !(flags[f] & (PEEPHOLE | COUPLED | CLIPPED));
      const c = new Case<T>(cell, flags[f], 3, 5, 3, 7);
      c.phi = c.psi = codes[code];
      if (codes[code] == HARD_SIGMOID) c.sigma = HARD_SIGMOID;
      const before = forward<T>(c, training);
      const grad = training ? backward<T>(c, before) : null;

      const x = c.x;
      c.x = x.copy();
      c.x[(1 * 5 + 2) * 3 + 1] = <T>NaN;
      expectNaN<T>(`NaN in x, ${c.name}`, forward<T>(c, training).hs, before.hs, 2, 3, c.p);

      // An infinity saturates bounded non-linearities; a layer-normalised row has no finite mean and becomes NaN.
      c.x[(1 * 5 + 2) * 3 + 1] = <T>-Infinity;
      if (c.normed) {
        expectNaN<T>(`infinity in x, ${c.name}`, forward<T>(c, training).hs, before.hs, 2, 3, c.p);
      } else if (codes[code] != RELU && codes[code] != LINEAR) {
        const hs = forward<T>(c, training).hs;
        for (let i = 2; i <= 3; i++) {
          for (let j = (i * 5 + 2) * c.p; j < (i * 5 + 3) * c.p; j++) {
            if (!isFinite(hs[j])) fail(`infinity in x, ${c.name}: h is ${hs[j]}`);
            hs[j] = <T>NaN;
          }
        }
        expectNaN<T>(`infinity in x, ${c.name}`, hs, before.hs, 2, 3, c.p);
      }

      c.x = x;
      if (grad) {
        for (let j = 0; j < c.p; j++) c.dOutput[(1 * 5 + 2) * c.p + j] = <T>NaN; // the slope of ReLU may be 0 at some
        c.dOutput.freeze();
        const broken = backward<T>(c, before);
        expectNaN<T>(`NaN in dOutput, ${c.name}`, broken.dx, grad.dx, 0, 1, c.d);
        expectNaN<T>(`NaN in dOutput, ${c.name}`, broken.dh, grad.dh, 0, 0, c.p);
      }
      expectIntact(c.name);
    }
  }
}

/** A NaN in the bias of any gate makes its unit of h NaN. */
export function nanInGate<T>(cell: i32): void {
  const flags = nanFlags(cell);
  for (let f = 0; f < flags.length; f++) {
    if (cell == LSTM && flags[f] & PROJECTED) continue;
    for (let code = TANH; code <= LINEAR; code++) {
      const c = new Case<T>(cell, flags[f], 1, 2, 3, 3);
      c.sigma = c.phi = c.psi = code;
      for (let j = 0; j < c.g; j++) {
        if (cell == LSTM && flags[f] & COUPLED && j / c.h == 1) continue; // f = 1 - i
        const bias = c.biasIh;
        c.biasIh = bias.copy();
        c.biasIh[j] = <T>NaN;
        const h = forward<T>(c, false).hs[2 * c.h + (j % c.h)];
        if (!isNaN(h)) fail(`NaN in gate column ${j}, ${c.name}: h is ${h}`);
        c.biasIh = bias;
      }
      expectIntact(c.name);
    }
  }
}

/** Row 2 of 5 is NaN at the steps first..last; all other numbers have the bits of `expected`. */
function expectNaN<T>(what: string, actual: Buffer<T>, expected: Buffer<T>, first: i32, last: i32, width: i32): void {
  const wanted = expected.copy();
  for (let i = first; i <= last; i++) {
    for (let j = 0; j < width; j++) wanted[(i * 5 + 2) * width + j] = <T>NaN;
  }
  expectSame<T>(what, actual, wanted);
}

/** Denormal states without input, compared with the scalar loops. */
export function denormals<T>(cell: i32): void {
  const unit: f64 = sizeof<T>() == 8 ? 5e-324 : 1.4e-45;
  for (let own = 0; own <= (cell == GRU ? RESET_AFTER : 0); own += RESET_AFTER) {
    const c = new Case<T>(cell, NO_BIAS | own, 2, 3, 2, 5);
    c.x.fill(0).freeze();
    c.h0.randomize(sizeof<T>() == 8 ? 1e-309 : 1e-39).freeze();
    const kept = forward<T>(c);
    const expected = new Naive<T>(c);
    for (let i = 0; i < kept.hs.length; i++) {
      const a = <f64>kept.hs[i];
      const e = expected.hs[i];
      if (!(a != 0 && abs(a - e) <= 16 * unit)) fail(`h is ${a}, expected ${e}`);
    }
    expectIntact("denormals");
  }
}
