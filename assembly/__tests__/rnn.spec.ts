// The simple recurrent network, cell and sequence, against scalar loops; and against itself, to the bit.

import { rnnBackward, rnnCellBackward, rnnCellForward, rnnForward, rnnWorkspace } from "../rnn";
import { bytes } from "../simd";
import { Buffer, expectClose, expectIntact, expectSame, output, wide } from "./helpers";
import {
  Case,
  Expected,
  expectSameRow,
  Gradients,
  phi,
  phiDerivative,
  preactivation,
  SHAPES,
  stride,
} from "./sequence";

function workspace<T>(h: i32): Buffer<T> {
  return output<T>(<i32>(rnnWorkspace<T>(h) / sizeof<T>()));
}

/** hs [T+1,N,H]. */
function forward<T>(c: Case<T>): Buffer<T> {
  const hs = c.states(c.h0);
  const work = workspace<T>(c.h);
  const x = c.x.p;
  rnnForward<T>(c.phi, c.t, c.n, c.d, c.h, x, c.weightIh.p, c.weightHh.p, c.biasIhP, c.biasHhP, hs.p, work.p);
  return hs;
}

function naiveForward<T>(c: Case<T>): StaticArray<f64> {
  const hs = new StaticArray<f64>((c.t + 1) * c.n * c.h);
  for (let i = 0; i < c.h0.length; i++) hs[i] = <f64>c.h0[i];
  for (let s = 0; s < c.t; s++) {
    for (let r = 0; r < c.n; r++) {
      for (let j = 0; j < c.h; j++) {
        hs[((s + 1) * c.n + r) * c.h + j] = phi(c.variant, preactivation<T>(c, s, r, j, hs));
      }
    }
  }
  return hs;
}

function backward<T>(c: Case<T>, hs: Buffer<T>): Gradients<T> {
  const grad = new Gradients<T>(c);
  const da = output<T>(c.t * c.n * c.h);
  const work = workspace<T>(c.h);
  rnnBackward<T>(
    c.phi,
    c.t,
    c.n,
    c.d,
    c.h,
    c.x.p,
    hs.p,
    c.weightIh.p,
    c.weightHh.p,
    c.dOutputP,
    grad.dh.p,
    da.p,
    grad.dxP,
    grad.weightIh.p,
    grad.weightHh.p,
    grad.biasIhP,
    grad.biasHhP,
    work.p,
  );
  return grad;
}

function naiveBackward<T>(c: Case<T>, hs: StaticArray<f64>): Expected<T> {
  const grad = new Expected<T>(c);
  const da = new StaticArray<f64>(c.h);
  for (let s = c.t - 1; s >= 0; s--) {
    for (let r = 0; r < c.n; r++) {
      for (let j = 0; j < c.h; j++) {
        const dOutput = c.hasDOutput ? <f64>c.dOutput[(s * c.n + r) * c.h + j] : 0;
        const h = hs[((s + 1) * c.n + r) * c.h + j];
        da[j] = (dOutput + grad.dh[r * c.h + j]) * phiDerivative(c.variant, h);
      }
      grad.addRow(s, r, da, hs);
    }
  }
  return grad;
}

function sequence<T>(): void {
  for (let i = 0; i < SHAPES.length; i += 4) {
    for (let variant = 0; variant < 16; variant += stride(i)) {
      const h = SHAPES[i + 3];
      const c = new Case<T>(variant, SHAPES[i], SHAPES[i + 1], SHAPES[i + 2], h, h);
      const hs = forward<T>(c);
      const expected = naiveForward<T>(c);
      expectClose<T>(`hs, ${c.name}`, hs, expected);
      hs.freeze();
      const grad = backward<T>(c, hs);
      naiveBackward<T>(c, expected).expectClose(grad);
      // Without dx there is none; without biases nothing is added to their gradients.
      if (!c.hasDx) expectSame<T>(`no dx, ${c.name}`, grad.dx, output<T>(c.x.length));
      expectIntact(c.name);
    }
  }
}

/** All steps by the cell: the same bits. */
function cells<T>(): void {
  for (let i = 0; i < SHAPES.length; i += 4) {
    for (let variant = 0; variant < 4; variant++) {
      const h = SHAPES[i + 3];
      const c = new Case<T>(variant, SHAPES[i], SHAPES[i + 1], SHAPES[i + 2], h, h);
      const hs = forward<T>(c);
      const grad = backward<T>(c, hs);
      const hStep = bytes<T>(c.n * h);
      const xStep = bytes<T>(c.n * c.d);

      const byCell = c.states(c.h0);
      const packedIh = c.packedIh();
      const packedHh = c.packedHh();
      const bias = c.bias();
      for (let s = 0; s < c.t; s++) {
        const x = c.x.p + <usize>s * xStep;
        const hPrev = byCell.p + <usize>s * hStep;
        const b: usize = c.hasBias ? bias.p : 0;
        rnnCellForward<T>(c.phi, c.n, c.d, h, x, hPrev, packedIh.p, packedHh.p, b, hPrev + hStep);
      }
      expectSame<T>(`hs by cells, ${c.name}`, byCell, hs);

      hs.freeze();
      const gradByCell = new Gradients<T>(c);
      for (let s = c.t - 1; s >= 0; s--) {
        const dhNext = output<T>(c.n * h);
        for (let j = 0; j < dhNext.length; j++) dhNext[j] = c.dOutput[s * c.n * h + j] + gradByCell.dh[j];
        dhNext.freeze();
        const da = output<T>(c.n * h);
        const hPrev = hs.p + <usize>s * hStep;
        rnnCellBackward<T>(
          c.phi,
          c.n,
          c.d,
          h,
          c.x.p + <usize>s * xStep,
          hPrev,
          hPrev + hStep,
          c.weightIh.p,
          c.weightHh.p,
          dhNext.p,
          da.p,
          gradByCell.dx.p + <usize>s * xStep,
          gradByCell.dh.p,
          gradByCell.weightIh.p,
          gradByCell.weightHh.p,
          gradByCell.biasIhP,
          gradByCell.biasHhP,
        );
      }
      gradByCell.expectSame(`by cells, ${c.name}`, grad);
      expectIntact(c.name);
    }
  }
}

/** A row of a batch alone: the same bits. */
function rows<T>(): void {
  for (let i = 0; i < SHAPES.length; i += 4) {
    const n = SHAPES[i + 1];
    if (n == 1) continue;
    for (let variant = 0; variant < 4; variant++) {
      const h = SHAPES[i + 3];
      const c = new Case<T>(variant, SHAPES[i], n, SHAPES[i + 2], h, h);
      const hs = forward<T>(c);
      const grad = backward<T>(c, hs);
      for (let r = 0; r < n; r += n > 7 ? 5 : 1) {
        const one = c.row(r);
        const hsOne = forward<T>(one);
        const gradOne = backward<T>(one, hsOne);
        expectSameRow<T>(`hs, ${c.name}`, hs, hsOne, c.t + 1, n, r);
        expectSameRow<T>(`dx, ${c.name}`, grad.dx, gradOne.dx, c.t, n, r);
        expectSameRow<T>(`dh0, ${c.name}`, grad.dh, gradOne.dh, 1, n, r);
      }
      expectIntact(c.name);
    }
  }
}

/** A NaN in x reaches its row from its step on, and no other. */
function nan<T>(): void {
  for (let variant = 0; variant < 2; variant++) {
    const c = new Case<T>(variant, 3, 5, 3, 7, 7);
    const before = wide<T>(forward<T>(c));
    c.x[(1 * 5 + 2) * 3 + 1] = <T>NaN;
    c.x.freeze();
    const after = forward<T>(c);
    for (let s = 2; s <= 3; s++) {
      for (let j = 0; j < 7; j++) before[(s * 5 + 2) * 7 + j] = NaN;
    }
    for (let i = 0; i < after.length; i++) {
      const a = <f64>after[i];
      expect(a == before[i] || (isNaN(a) && isNaN(before[i]))).toBe(true, `number ${i}`);
    }
    expectIntact("NaN");
  }
}

describe("rnn", () => {
  test("sequence f64", () => sequence<f64>());
  test("sequence f32", () => sequence<f32>());
  test("cells f64", () => cells<f64>());
  test("cells f32", () => cells<f32>());
  test("rows of a batch f64", () => rows<f64>());
  test("rows of a batch f32", () => rows<f32>());
  test("NaN f64", () => nan<f64>());
  test("NaN f32", () => nan<f32>());
});
