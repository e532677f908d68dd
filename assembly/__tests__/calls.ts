// How the tests call the kernels of rnn, lstm and gru: descriptors, scratch, and what a pass leaves. Every buffer is exactly
// as long as sequence.ts and the cell's own functions say; one that is not there has the length 0, and the address 0 goes
// into its field.

import { gruBackward, gruForward, gruPack, gruPackedBytes, gruWorkspace } from "../recurrent/gru";
import { lstmBackward, lstmForward, lstmPack, lstmPackedBytes, lstmWorkspace } from "../recurrent/lstm";
import { rnnBackward, rnnForward, rnnPack, rnnPackedBytes, rnnWorkspace } from "../recurrent/rnn";
import { Sequence } from "../recurrent/sequence";
import { bytes } from "../simd";
import { Buffer, expectClose, expectSame, expectSameRange, output, wide } from "./helpers";
import "./scratch";
import { Case, COUPLED, LSTM, NO_DX, RAGGED, RNN } from "./sequence";

/** A descriptor of nothing, between canaries: the address of a `Sequence`. */
export function descriptor(): Buffer<f64> {
  return new Buffer<f64>(<i32>((offsetof<Sequence>() + 7) / 8)).fill(0);
}

function address<T>(buffer: Buffer<T>): usize {
  return buffer.length ? buffer.p : 0;
}

/** One call of a kernel: a descriptor, which the kernel must leave as it is, and its scratch. */
export class Call<T> {
  readonly s: Sequence;
  private readonly block: Buffer<f64>;

  constructor(readonly c: Case<T>) {
    const block = descriptor();
    const s = changetype<Sequence>(block.p);
    this.block = block;
    this.s = s;
    s.hardSlope = c.slope;
    s.hardOffset = c.offset;
    s.clip = c.clip;
    s.t = c.t;
    s.n = c.n;
    s.d = c.d;
    s.h = c.h;
    s.p = c.p;
    s.rows = c.rows;
    s.batchSizes = c.flags & RAGGED ? c.batchSizes.p : 0;
    s.sigma = c.sigma;
    s.phi = c.phi;
    s.psi = c.psi;
    s.resetAfter = c.resetAfter;
    s.coupled = c.flags & COUPLED ? 1 : 0;
    s.x = address<T>(c.x);
    s.weightIh = c.weightIh.p;
    s.weightHh = c.weightHh.p;
    s.biasIh = address<T>(c.biasIh);
    s.biasHh = address<T>(c.biasHh);
    s.weightHr = address<T>(c.weightHr);
    s.peephole = address<T>(c.peephole);
    s.normIh = address<T>(c.normIh);
    s.normHh = address<T>(c.normHh);
    s.normC = address<T>(c.normC);
    s.normCBias = address<T>(c.normCBias);
    s.mask = address<T>(c.mask);
  }

  /** The states, and what is kept. */
  point(kept: Kept<T>): void {
    const s = this.s;
    s.hs = kept.hs.p;
    s.cs = address<T>(kept.cs);
    s.gates = address<T>(kept.gates);
    s.psiC = address<T>(kept.psiC);
    s.products = address<T>(kept.products);
    s.recurrentProducts = address<T>(kept.recurrentProducts);
    s.moments = address<T>(kept.moments);
  }

  /** The gradients. */
  pointBackward(grad: Gradients<T>): void {
    const s = this.s;
    s.dOutput = address<T>(this.c.dOutput);
    s.dh = grad.dh.p;
    s.dc = address<T>(grad.dc);
    s.dx = address<T>(grad.dx);
    if (this.c.cell == RNN) s.da = grad.gates.p;
    else s.gates = grad.gates.p;
    s.psiC = address<T>(grad.psiC);
    s.products = address<T>(grad.products);
    s.recurrentProducts = address<T>(grad.recurrentProducts);
    s.dWeightIh = grad.weightIh.p;
    s.dWeightHh = grad.weightHh.p;
    s.dBiasIh = address<T>(grad.biasIh);
    s.dBiasHh = address<T>(grad.biasHh);
    s.dWeightHr = address<T>(grad.weightHr);
    s.dNormIh = address<T>(grad.normIh);
    s.dNormHh = address<T>(grad.normHh);
    s.dNormC = address<T>(grad.normC);
    s.dNormCBias = address<T>(grad.normCBias);
  }

  private takeWork(backward: bool): void {
    const s = this.s;
    const cell = this.c.cell;
    let size: usize;
    if (cell == RNN) size = rnnWorkspace<T>(s, backward);
    else size = cell == LSTM ? lstmWorkspace<T>(s, backward) : gruWorkspace<T>(s, backward);
    s.work = output<T>(<i32>(size / sizeof<T>())).p;
    this.block.freeze();
  }

  forward(): void {
    this.takeWork(false);
    if (this.c.cell == RNN) rnnForward<T>(this.s);
    else if (this.c.cell == LSTM) lstmForward<T>(this.s);
    else gruForward<T>(this.s);
  }

  backward(): void {
    this.takeWork(true);
    if (this.c.cell == RNN) rnnBackward<T>(this.s);
    else if (this.c.cell == LSTM) lstmBackward<T>(this.s);
    else gruBackward<T>(this.s);
  }

  /** From here on for step i alone, a sequence of one step between its states in the middle of all. */
  narrow(i: i32): void {
    const c = this.c;
    const s = this.s;
    const m = c.batchSizes[i];
    const row = c.start(i);
    const before = c.before(i, 0);
    s.t = 1;
    s.n = i == 0 ? c.n : c.batchSizes[i - 1];
    s.rows = m;
    s.batchSizes = m == s.n ? 0 : c.batchSizes.p + 4 * <usize>i;
    s.chunk = min(s.chunk, 1);
    s.x += bytes<T>(row * c.d);
    s.hs += bytes<T>(before * c.p);
    if (s.psiC) s.cs += bytes<T>(before * c.h);
    if (s.psiC) s.psiC += bytes<T>(row * c.h);
    if (s.training || s.dh) {
      s.gates += bytes<T>(row * c.columns);
      if (c.normed) {
        s.products += bytes<T>(row * c.g);
        s.recurrentProducts += bytes<T>(row * c.g);
        s.moments += bytes<T>(8 * row);
      }
    }
    if (s.dOutput) s.dOutput += bytes<T>(row * c.p);
    if (s.dx) s.dx += bytes<T>(row * c.d);
    if (s.da) s.da += bytes<T>(row * c.h);
  }
}

/** What a forward pass leaves; without `keep` the cell state in place, and the gates of a chunk. */
export class Kept<T> {
  hs: Buffer<T>;
  cs: Buffer<T>;
  gates: Buffer<T>;
  psiC: Buffer<T>;
  products: Buffer<T>;
  recurrentProducts: Buffer<T>;
  moments: Buffer<T>;

  /** With `stepwise`, each step is to leave its moments as a sequence of its own: [8,its rows], one behind the other. */
  constructor(
    readonly c: Case<T>,
    readonly keep: bool,
    readonly chunk: i32,
    readonly stepwise: bool = false,
  ) {
    const kept = keep && c.cell == LSTM ? c.rows * c.h : 0;
    this.hs = states<T>(c.h0, c.rows * c.p);
    this.cs = states<T>(c.c0, kept);
    const rows = c.start(chunk); // of the longest chunk
    this.gates = output<T>(rows * c.columns);
    this.psiC = output<T>(kept);
    this.products = output<T>(c.normed ? rows * c.g : 0);
    this.recurrentProducts = output<T>(c.normed ? rows * c.g : 0);
    this.moments = output<T>(c.normed ? 8 * rows : 0);
  }

  /** A call that starts from these states. */
  call(packed: usize = 0): Call<T> {
    const call = new Call<T>(this.c);
    call.point(this);
    call.s.panels = packed;
    if (this.c.cell != RNN) {
      call.s.training = this.keep;
      call.s.chunk = this.chunk;
    }
    return call;
  }

  /** The moments of a training pass, as its steps one by one leave them. */
  private momentsBySteps(): Buffer<T> {
    if (this.stepwise || !this.moments.length) return this.moments;
    const c = this.c;
    const bySteps = new Buffer<T>(8 * c.rows);
    let to = 0;
    for (let i = 0; i < c.t; i++) {
      for (let moment = 0; moment < 8; moment++) {
        for (let r = 0; r < c.batchSizes[i]; r++) bySteps[to++] = this.moments[moment * c.rows + c.start(i) + r];
      }
    }
    return bySteps;
  }

  expectSame(what: string, other: Kept<T>): void {
    expectSame<T>(`hs, ${what}`, this.hs, other.hs);
    expectSame<T>(`cs, ${what}`, this.cs, other.cs);
    expectSame<T>(`gates, ${what}`, this.gates, other.gates);
    expectSame<T>(`psi(c), ${what}`, this.psiC, other.psiC);
    expectSame<T>(`products, ${what}`, this.products, other.products);
    expectSame<T>(`recurrent products, ${what}`, this.recurrentProducts, other.recurrentProducts);
    expectSame<T>(`moments, ${what}`, this.momentsBySteps(), other.momentsBySteps());
  }

  /** These are of a pass that kept nothing: the same outputs, and the same last cell states. */
  expectSameResults(what: string, kept: Kept<T>): void {
    const c = this.c;
    expectSame<T>(`hs, ${what}`, this.hs, kept.hs);
    if (c.cell != LSTM) return;
    for (let r = 0; r < c.n; r++) {
      const last = kept.keep ? c.before(c.lengthOf(r), r) : r;
      expectSameRange<T>(`cn, ${what}`, this.cs, r * c.h, kept.cs, last * c.h, c.h);
    }
  }
}

/** `first`, and room for so many numbers behind it. */
function states<T>(first: Buffer<T>, more: i32): Buffer<T> {
  const states = output<T>(first.length + more);
  memory.copy(states.p, first.p, <usize>first.length * sizeof<T>());
  return states;
}

/** A forward pass. */
export function forward<T>(c: Case<T>, keep: bool = true, chunk: i32 = i32.MAX_VALUE): Kept<T> {
  const kept = new Kept<T>(c, keep, min(chunk, c.t));
  kept.call().forward();
  return kept;
}

/** A backward pass, from copies of what it overwrites. */
export function backward<T>(c: Case<T>, kept: Kept<T>, sums: Gradients<T> | null = null): Gradients<T> {
  const grad = new Gradients<T>(c, kept, sums);
  grad.call(kept).backward();
  return grad;
}

/** The weights, packed into exactly as many bytes as it takes. */
export function packOnce<T>(c: Case<T>): Buffer<T> {
  const call = new Call<T>(c);
  const s = call.s;
  let size: usize;
  if (c.cell == RNN) size = rnnPackedBytes<T>(s);
  else size = c.cell == LSTM ? lstmPackedBytes<T>(s) : gruPackedBytes<T>(s);
  const packed = output<T>(<i32>(size / sizeof<T>()));
  if (c.cell == RNN) rnnPack<T>(s, packed.p);
  else if (c.cell == LSTM) lstmPack<T>(s, packed.p);
  else gruPack<T>(s, packed.p);
  packed.freeze();
  return packed;
}

/** What the gradients of the parameters are before backward adds to them: always the same numbers. */
export function some<T>(length: i32): Buffer<T> {
  const buffer = new Buffer<T>(length);
  for (let i = 0; i < length; i++) buffer[i] = <T>(0.25 * <f64>(((7 * i) % 9) - 4));
  return buffer;
}

/** Everything that backward writes; the gradients of the parameters go on from `sums`, if given. */
export class Gradients<T> {
  dx: Buffer<T>;
  dh: Buffer<T>;
  dc: Buffer<T>;
  gates: Buffer<T>;
  psiC: Buffer<T>;
  weightIh: Buffer<T>;
  weightHh: Buffer<T>;
  biasIh: Buffer<T>;
  biasHh: Buffer<T>;
  weightHr: Buffer<T>;
  products: Buffer<T>;
  recurrentProducts: Buffer<T>;
  normIh: Buffer<T>;
  normHh: Buffer<T>;
  normC: Buffer<T>;
  normCBias: Buffer<T>;

  constructor(
    readonly c: Case<T>,
    kept: Kept<T>,
    sums: Gradients<T> | null,
  ) {
    this.dx = output<T>(c.flags & NO_DX ? 0 : c.rows * c.d);
    this.dh = c.dhn.copy();
    this.dc = c.dcn.copy();
    this.gates = c.cell == RNN ? output<T>(c.rows * c.h) : kept.gates.copy();
    this.psiC = kept.psiC.copy();
    this.weightIh = sums ? sums.weightIh : some<T>(c.weightIh.length);
    this.weightHh = sums ? sums.weightHh : some<T>(c.weightHh.length);
    this.biasIh = sums ? sums.biasIh : some<T>(c.biasIh.length);
    this.biasHh = sums ? sums.biasHh : some<T>(c.biasHh.length);
    this.weightHr = sums ? sums.weightHr : some<T>(c.weightHr.length);
    this.products = kept.products.copy();
    this.recurrentProducts = kept.recurrentProducts.copy();
    this.normIh = sums ? sums.normIh : some<T>(c.normIh.length);
    this.normHh = sums ? sums.normHh : some<T>(c.normHh.length);
    this.normC = sums ? sums.normC : some<T>(c.normC.length);
    this.normCBias = sums ? sums.normCBias : some<T>(c.normCBias.length);
    if (!c.projected) this.psiC.freeze();
  }

  /** A call that starts from what `kept` holds, which must not change. */
  call(kept: Kept<T>): Call<T> {
    const call = new Call<T>(this.c);
    kept.hs.freeze();
    kept.cs.freeze();
    kept.moments.freeze();
    call.point(kept);
    call.pointBackward(this);
    return call;
  }

  /**
   * dx, dh_0, dc_0 have the bits of `other`, the gradients of the parameters differ by rounding alone.
   *
   * @param condition as of `expectClose`
   */
  expectSame(what: string, other: Gradients<T>, condition: f64 = 1): void {
    expectSame<T>(`dh0, ${what}`, this.dh, other.dh);
    expectSame<T>(`dc0, ${what}`, this.dc, other.dc);
    expectSame<T>(`dx, ${what}`, this.dx, other.dx);
    expectSame<T>(`gradients of the gates, ${what}`, this.gates, other.gates);
    expectSame<T>(`gradients of the products, ${what}`, this.products, other.products);
    expectSame<T>(`gradients of the recurrent products, ${what}`, this.recurrentProducts, other.recurrentProducts);
    this.expectCloseParameters(what, other, condition);
  }

  expectCloseParameters(what: string, other: Gradients<T>, condition: f64 = 1): void {
    expectClose<T>(`dW_ih, ${what}`, this.weightIh, wide<T>(other.weightIh), condition);
    expectClose<T>(`dW_hh, ${what}`, this.weightHh, wide<T>(other.weightHh), condition);
    expectClose<T>(`db_ih, ${what}`, this.biasIh, wide<T>(other.biasIh), condition);
    expectClose<T>(`db_hh, ${what}`, this.biasHh, wide<T>(other.biasHh), condition);
    expectClose<T>(`dW_hr, ${what}`, this.weightHr, wide<T>(other.weightHr), condition);
    expectClose<T>(`gradient of the gain of W_ih x, ${what}`, this.normIh, wide<T>(other.normIh), condition);
    expectClose<T>(`gradient of the gain of W_hh h, ${what}`, this.normHh, wide<T>(other.normHh), condition);
    expectClose<T>(`gradient of the gain of c, ${what}`, this.normC, wide<T>(other.normC), condition);
    expectClose<T>(`gradient of the bias of c, ${what}`, this.normCBias, wide<T>(other.normCBias), condition);
  }
}
