// Long short-term memory, cell and sequence, against scalar loops; and against itself, to the bit.

import { lstmBackward, lstmCellBackward, lstmCellForward, lstmForward, lstmWorkspace } from "../lstm";
import { bytes } from "../simd";
import { Buffer, expectClose, expectIntact, expectSame, expectSameRange, output } from "./helpers";
import {
  Case,
  Expected,
  expectSameRow,
  Gradients,
  phi,
  phiDerivative,
  preactivation,
  SHAPES,
  sigmoid,
  stride,
} from "./sequence";

function workspace<T>(h: i32): Buffer<T> {
  return output<T>(<i32>(lstmWorkspace<T>(h) / sizeof<T>()));
}

function makeCase<T>(variant: i32, shape: i32): Case<T> {
  const h = SHAPES[shape + 3];
  return new Case<T>(variant, SHAPES[shape], SHAPES[shape + 1], SHAPES[shape + 2], h, 4 * h);
}

/** What the forward pass of a training step leaves. */
class Kept<T> {
  hs: Buffer<T>;
  cs: Buffer<T>;
  gates: Buffer<T>;
  phiC: Buffer<T>;

  constructor(c: Case<T>) {
    this.hs = c.states(c.h0);
    this.cs = c.states(c.c0);
    this.gates = output<T>(c.t * c.n * c.g);
    this.phiC = output<T>(c.t * c.n * c.h);
  }

  expectSame(what: string, other: Kept<T>): void {
    expectSame<T>(`hs ${what}`, this.hs, other.hs);
    expectSame<T>(`cs ${what}`, this.cs, other.cs);
    expectSame<T>(`gates ${what}`, this.gates, other.gates);
    expectSame<T>(`phi(c) ${what}`, this.phiC, other.phiC);
  }
}

function run<T>(c: Case<T>, hs: Buffer<T>, cs: Buffer<T>, phiC: usize, gates: Buffer<T>, chunk: i32): void {
  const work = workspace<T>(c.h);
  lstmForward<T>(
    c.phi,
    c.t,
    c.n,
    c.d,
    c.h,
    c.x.p,
    c.weightIh.p,
    c.weightHh.p,
    c.biasIhP,
    c.biasHhP,
    hs.p,
    cs.p,
    phiC,
    gates.p,
    chunk,
    work.p,
  );
}

function forward<T>(c: Case<T>): Kept<T> {
  const kept = new Kept<T>(c);
  run<T>(c, kept.hs, kept.cs, kept.phiC.p, kept.gates, c.t);
  return kept;
}

/** `gates` is consumed: its copy is. */
function backward<T>(c: Case<T>, kept: Kept<T>): Gradients<T> {
  kept.hs.freeze();
  kept.cs.freeze();
  kept.phiC.freeze();
  const grad = new Gradients<T>(c);
  const work = workspace<T>(c.h);
  lstmBackward<T>(
    c.phi,
    c.t,
    c.n,
    c.d,
    c.h,
    c.x.p,
    kept.hs.p,
    kept.cs.p,
    kept.phiC.p,
    kept.gates.copy().p,
    c.weightIh.p,
    c.weightHh.p,
    c.dOutputP,
    grad.dh.p,
    grad.dc.p,
    grad.dxP,
    grad.weightIh.p,
    grad.weightHh.p,
    grad.biasIhP,
    grad.biasHhP,
    work.p,
  );
  return grad;
}

/** The same in f64 and scalar loops. */
class Naive<T> {
  hs: StaticArray<f64>;
  cs: StaticArray<f64>;
  gates: StaticArray<f64>;
  phiC: StaticArray<f64>;

  constructor(readonly c: Case<T>) {
    const rows = c.t * c.n;
    this.hs = new StaticArray<f64>((rows + c.n) * c.h);
    this.cs = new StaticArray<f64>((rows + c.n) * c.h);
    this.gates = new StaticArray<f64>(rows * c.g);
    this.phiC = new StaticArray<f64>(rows * c.h);
    for (let i = 0; i < c.n * c.h; i++) {
      this.hs[i] = <f64>c.h0[i];
      this.cs[i] = <f64>c.c0[i];
    }
    for (let row = 0; row < rows; row++) this.forward(row);
  }

  private forward(row: i32): void {
    const c = this.c;
    const g = row * c.g;
    for (let j = 0; j < c.g; j++) {
      const a = preactivation<T>(c, row / c.n, row % c.n, j, this.hs);
      this.gates[g + j] = j / c.h == 2 ? phi(c.variant, a) : sigmoid(a);
    }
    for (let j = 0; j < c.h; j++) {
      const i = this.gates[g + j];
      const f = this.gates[g + c.h + j];
      const candidate = this.gates[g + 2 * c.h + j];
      const o = this.gates[g + 3 * c.h + j];
      const next = (row + c.n) * c.h + j;
      this.cs[next] = f * this.cs[row * c.h + j] + i * candidate;
      this.phiC[row * c.h + j] = phi(c.variant, this.cs[next]);
      this.hs[next] = o * this.phiC[row * c.h + j];
    }
  }

  backward(): Expected<T> {
    const c = this.c;
    const grad = new Expected<T>(c);
    const da = new StaticArray<f64>(c.g);
    for (let s = c.t - 1; s >= 0; s--) {
      for (let r = 0; r < c.n; r++) {
        const row = s * c.n + r;
        for (let j = 0; j < c.h; j++) {
          const i = this.gates[row * c.g + j];
          const f = this.gates[row * c.g + c.h + j];
          const g = this.gates[row * c.g + 2 * c.h + j];
          const o = this.gates[row * c.g + 3 * c.h + j];
          const pc = this.phiC[row * c.h + j];
          const dOutput = c.hasDOutput ? <f64>c.dOutput[row * c.h + j] : 0;
          const dh = dOutput + grad.dh[r * c.h + j];
          const dc = grad.dc[r * c.h + j] + dh * o * phiDerivative(c.variant, pc);
          da[j] = dc * g * i * (1 - i);
          da[c.h + j] = dc * this.cs[row * c.h + j] * f * (1 - f);
          da[2 * c.h + j] = dc * i * phiDerivative(c.variant, g);
          da[3 * c.h + j] = dh * pc * o * (1 - o);
          grad.dc[r * c.h + j] = dc * f;
        }
        grad.addRow(s, r, da, this.hs);
      }
    }
    return grad;
  }
}

function sequence<T>(): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < 16; variant += stride(shape)) {
      const c = makeCase<T>(variant, shape);
      const kept = forward<T>(c);
      const naive = new Naive<T>(c);
      expectClose<T>(`hs, ${c.name}`, kept.hs, naive.hs);
      expectClose<T>(`cs, ${c.name}`, kept.cs, naive.cs);
      expectClose<T>(`gates, ${c.name}`, kept.gates, naive.gates);
      expectClose<T>(`phi(c), ${c.name}`, kept.phiC, naive.phiC);
      const grad = backward<T>(c, kept);
      naive.backward().expectClose(grad);
      if (!c.hasDx) expectSame<T>(`no dx, ${c.name}`, grad.dx, output<T>(c.x.length));
      expectIntact(c.name);
    }
  }
}

/** Without phiC, c in place, any chunk: the same bits in h and c_n. */
function inference<T>(): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < 4; variant++) {
      const c = makeCase<T>(variant, shape);
      const kept = forward<T>(c);
      for (let chunk = 1; chunk <= c.t; chunk++) {
        const hs = c.states(c.h0);
        const cell = c.c0.copy();
        run<T>(c, hs, cell, 0, output<T>(chunk * c.n * c.g), chunk);
        expectSame<T>(`hs in chunks of ${chunk}, ${c.name}`, hs, kept.hs);
        expectSameRange<T>(`cn in chunks of ${chunk}, ${c.name}`, cell, 0, kept.cs, c.t * c.n * c.h, c.n * c.h);
      }
      expectIntact(c.name);
    }
  }
}

/** All steps forward by the cell; without phiC, c stays in place. */
function forwardByCells<T>(c: Case<T>, training: bool): Kept<T> {
  const kept = new Kept<T>(c);
  const step = bytes<T>(c.n * c.h);
  const packedIh = c.packedIh();
  const packedHh = c.packedHh();
  const bias = c.bias();
  const cell = c.c0.copy();
  const gates = output<T>(c.n * c.g);
  for (let s = 0; s < c.t; s++) {
    const offset = <usize>s * step;
    lstmCellForward<T>(
      c.phi,
      c.n,
      c.d,
      c.h,
      c.x.p + <usize>s * bytes<T>(c.n * c.d),
      kept.hs.p + offset,
      training ? kept.cs.p + offset : cell.p,
      packedIh.p,
      packedHh.p,
      c.hasBias ? bias.p : 0,
      kept.hs.p + offset + step,
      training ? kept.cs.p + offset + step : cell.p,
      training ? kept.gates.p + 4 * offset : gates.p,
      training ? kept.phiC.p + offset : 0,
    );
  }
  if (!training) kept.cs = cell;
  return kept;
}

/** All steps backward by the cell. */
function backwardByCells<T>(c: Case<T>, kept: Kept<T>): Gradients<T> {
  const grad = new Gradients<T>(c);
  const step = bytes<T>(c.n * c.h);
  const gates = kept.gates.copy();
  for (let s = c.t - 1; s >= 0; s--) {
    const offset = <usize>s * step;
    const dhNext = output<T>(c.n * c.h);
    for (let j = 0; j < dhNext.length; j++) dhNext[j] = c.dOutput[s * c.n * c.h + j] + grad.dh[j];
    dhNext.freeze();
    lstmCellBackward<T>(
      c.phi,
      c.n,
      c.d,
      c.h,
      c.x.p + <usize>s * bytes<T>(c.n * c.d),
      kept.hs.p + offset,
      kept.cs.p + offset,
      gates.p + 4 * offset,
      kept.phiC.p + offset,
      c.weightIh.p,
      c.weightHh.p,
      dhNext.p,
      grad.dc.p,
      grad.dx.p + <usize>s * bytes<T>(c.n * c.d),
      grad.dh.p,
      grad.weightIh.p,
      grad.weightHh.p,
      grad.biasIhP,
      grad.biasHhP,
    );
  }
  return grad;
}

function cells<T>(): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    for (let variant = 0; variant < 4; variant++) {
      const c = makeCase<T>(variant, shape);
      const kept = forward<T>(c);
      forwardByCells<T>(c, true).expectSame(`by cells, ${c.name}`, kept);
      const inPlace = forwardByCells<T>(c, false);
      expectSame<T>(`hs by cells in place, ${c.name}`, inPlace.hs, kept.hs);
      expectSameRange<T>(`cn by cells in place, ${c.name}`, inPlace.cs, 0, kept.cs, c.t * c.n * c.h, c.n * c.h);
      backwardByCells<T>(c, kept).expectSame(`by cells, ${c.name}`, backward<T>(c, kept));
      expectIntact(c.name);
    }
  }
}

/** A row of a batch alone: the same bits. */
function rows<T>(): void {
  for (let shape = 0; shape < SHAPES.length; shape += 4) {
    const n = SHAPES[shape + 1];
    if (n == 1) continue;
    for (let variant = 0; variant < 4; variant++) {
      const c = makeCase<T>(variant, shape);
      const kept = forward<T>(c);
      const grad = backward<T>(c, kept);
      for (let r = 0; r < n; r += n > 7 ? 5 : 1) {
        const one = c.row(r);
        const keptOne = forward<T>(one);
        const gradOne = backward<T>(one, keptOne);
        expectSameRow<T>(`hs, ${c.name}`, kept.hs, keptOne.hs, c.t + 1, n, r);
        expectSameRow<T>(`cs, ${c.name}`, kept.cs, keptOne.cs, c.t + 1, n, r);
        expectSameRow<T>(`dx, ${c.name}`, grad.dx, gradOne.dx, c.t, n, r);
        expectSameRow<T>(`dh0, ${c.name}`, grad.dh, gradOne.dh, 1, n, r);
        expectSameRow<T>(`dc0, ${c.name}`, grad.dc, gradOne.dc, 1, n, r);
      }
      expectIntact(c.name);
    }
  }
}

/** A NaN or an infinity in x or c0 reaches its row alone, from its step on. */
function nan<T>(): void {
  for (let variant = 0; variant < 2; variant++) {
    const c = new Case<T>(variant, 3, 5, 3, 7, 28);
    const before = forward<T>(c);
    c.x[(1 * 5 + 2) * 3 + 1] = <T>NaN;
    c.x.freeze();
    c.c0[4 * 7 + 6] = <T>Infinity;
    c.c0.freeze();
    const after = forward<T>(c);
    for (let s = 1; s <= 3; s++) {
      for (let r = 0; r < 5; r++) {
        const first = (s * 5 + r) * 7;
        if (r == 2 && s > 1) {
          for (let j = 0; j < 7; j++) expect(isNaN(after.hs[first + j])).toBe(true, `NaN at step ${s}`);
        } else if (r == 4) {
          if (variant == 1 && s > 1) continue; // relu passes it on to h, where infinities of both signs meet
          expect(after.cs[first + 6]).toBe(<T>Infinity, `infinity at step ${s}`);
        } else {
          expectSameRange<T>(`row ${r} at step ${s}`, after.hs, first, before.hs, first, 7);
        }
      }
    }
    expectIntact("NaN");
  }
}

/** Gates and states among the denormals are those of the scalar loops. */
function denormals<T>(): void {
  const c = new Case<T>(0, 2, 3, 2, 5, 20);
  c.c0 = new Buffer<T>(15).randomize(sizeof<T>() == 8 ? 1e-309 : 1e-39);
  c.c0.freeze();
  c.biasIh.fill(sizeof<T>() == 8 ? -720 : -96); // every gate a denormal, or nearly
  for (let j = 10; j < 15; j++) c.biasIh[j] = 1;
  c.biasIh.freeze();
  const kept = forward<T>(c);
  const naive = new Naive<T>(c);
  const unit: f64 = sizeof<T>() == 8 ? 5e-324 : 1.4e-45;
  for (let i = 0; i < kept.cs.length; i++) {
    const a = <f64>kept.cs[i];
    const e = naive.cs[i];
    expect(abs(a - e) <= max(8 * unit, abs(e) * (sizeof<T>() == 8 ? 1e-12 : 1e-5))).toBe(true, `c: ${a}, not ${e}`);
  }
  expectIntact("denormals");
}

describe("lstm", () => {
  test("sequence f64", () => sequence<f64>());
  test("sequence f32", () => sequence<f32>());
  test("inference in chunks f64", () => inference<f64>());
  test("inference in chunks f32", () => inference<f32>());
  test("cells f64", () => cells<f64>());
  test("cells f32", () => cells<f32>());
  test("rows of a batch f64", () => rows<f64>());
  test("rows of a batch f32", () => rows<f32>());
  test("NaN and infinities f64", () => nan<f64>());
  test("NaN and infinities f32", () => nan<f32>());
  test("denormals f64", () => denormals<f64>());
  test("denormals f32", () => denormals<f32>());
});
