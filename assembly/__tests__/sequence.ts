// A recurrent layer's inputs and gradients, for the tests of rnn and lstm, and the part of the naive backward pass that
// they share. G is the number of gate columns: H for RNN, 4H for LSTM.

import { packWeight, packedBytes } from "../gemm";
import { Buffer, expectClose, expectSame, expectSameRange, input, output, state, wide } from "./helpers";

/** Everything that goes into a layer, forward and backward. */
export class Case<T> {
  x: Buffer<T>;
  h0: Buffer<T>;
  c0: Buffer<T>;
  weightIh: Buffer<T>;
  weightHh: Buffer<T>;
  biasIh: Buffer<T>;
  biasHh: Buffer<T>;
  dOutput: Buffer<T>;
  dhn: Buffer<T>;
  dcn: Buffer<T>;
  // What the gradients of the parameters are before backward adds to them.
  startIh: Buffer<T>;
  startHh: Buffer<T>;
  startBias: Buffer<T>;

  /** variant: bit 0 the non-linearity, 1 no biases, 2 no dOutput, 3 no dx. */
  constructor(
    readonly variant: i32,
    readonly t: i32,
    readonly n: i32,
    readonly d: i32,
    readonly h: i32,
    readonly g: i32,
  ) {
    this.x = input<T>(t * n * d);
    this.h0 = input<T>(n * h);
    this.c0 = input<T>(n * h);
    this.weightIh = input<T>(g * d, 1 / sqrt<f64>(d));
    this.weightHh = input<T>(g * h, 1 / sqrt<f64>(h));
    this.biasIh = input<T>(g);
    this.biasHh = input<T>(g);
    this.dOutput = input<T>(t * n * h);
    this.dhn = input<T>(n * h);
    this.dcn = input<T>(n * h);
    this.startIh = input<T>(g * d);
    this.startHh = input<T>(g * h);
    this.startBias = input<T>(g);
  }

  get name(): string {
    return `T ${this.t}, N ${this.n}, D ${this.d}, H ${this.h}, variant ${this.variant}`;
  }
  get phi(): i32 {
    return this.variant & 1;
  }
  get hasBias(): bool {
    return !(this.variant & 2);
  }
  get hasDOutput(): bool {
    return !(this.variant & 4);
  }
  get hasDx(): bool {
    return !(this.variant & 8);
  }
  get biasIhP(): usize {
    return this.hasBias ? this.biasIh.p : 0;
  }
  get biasHhP(): usize {
    return this.hasBias ? this.biasHh.p : 0;
  }
  get dOutputP(): usize {
    return this.hasDOutput ? this.dOutput.p : 0;
  }

  /** One row of the batch, with the same parameters. */
  row(r: i32): Case<T> {
    const one = new Case<T>(this.variant, this.t, 1, this.d, this.h, this.g);
    one.x = pick<T>(this.x, this.t, this.n, r);
    one.h0 = pick<T>(this.h0, 1, this.n, r);
    one.c0 = pick<T>(this.c0, 1, this.n, r);
    one.dOutput = pick<T>(this.dOutput, this.t, this.n, r);
    one.dhn = pick<T>(this.dhn, 1, this.n, r);
    one.dcn = pick<T>(this.dcn, 1, this.n, r);
    one.weightIh = this.weightIh;
    one.weightHh = this.weightHh;
    one.biasIh = this.biasIh;
    one.biasHh = this.biasHh;
    return one;
  }

  /** W_ih^T and W_hh^T, packed for the cells. */
  packedIh(): Buffer<T> {
    const packed = output<T>(<i32>(packedBytes<T>(this.d, this.g) / sizeof<T>()));
    packWeight<T>(this.d, this.g, this.weightIh.p, 1, this.d, packed.p);
    return packed;
  }
  packedHh(): Buffer<T> {
    const packed = output<T>(<i32>(packedBytes<T>(this.h, this.g) / sizeof<T>()));
    packWeight<T>(this.h, this.g, this.weightHh.p, 1, this.h, packed.p);
    return packed;
  }

  /** [slots + 1, N, H] with `first` in slot 0 and NaN in the others. */
  states(first: Buffer<T>): Buffer<T> {
    const states = output<T>((this.t + 1) * this.n * this.h);
    memory.copy(states.p, first.p, <usize>first.length * sizeof<T>());
    return states;
  }

  /** b_ih + b_hh in the kernels' order. */
  bias(): Buffer<T> {
    const sum = new Buffer<T>(this.g);
    for (let i = 0; i < this.g; i++) sum[i] = this.biasIh[i] + this.biasHh[i];
    return sum;
  }
}

/** Row r of the n rows of each of `slots`. */
function pick<T>(all: Buffer<T>, slots: i32, n: i32, r: i32): Buffer<T> {
  const width = all.length / (slots * n);
  const one = new Buffer<T>(slots * width);
  for (let s = 0; s < slots; s++) {
    for (let i = 0; i < width; i++) one[s * width + i] = all[(s * n + r) * width + i];
  }
  one.freeze();
  return one;
}

/** Row r of the batch in `all` [slots, N, ...] has the bits of `one`, the same row alone. */
export function expectSameRow<T>(what: string, all: Buffer<T>, one: Buffer<T>, slots: i32, n: i32, r: i32): void {
  expectSame<T>(`${what}: row ${r} of the batch, and alone`, pick<T>(all, slots, n, r), one);
}

/** Everything that backward writes. */
export class Gradients<T> {
  dx: Buffer<T>;
  dh: Buffer<T>;
  dc: Buffer<T>;
  weightIh: Buffer<T>;
  weightHh: Buffer<T>;
  biasIh: Buffer<T>;
  biasHh: Buffer<T>;

  constructor(readonly source: Case<T>) {
    this.dx = output<T>(source.x.length);
    this.dh = source.dhn.copy();
    this.dc = source.dcn.copy();
    this.weightIh = source.startIh.copy();
    this.weightHh = source.startHh.copy();
    this.biasIh = source.startBias.copy();
    this.biasHh = source.startBias.copy();
  }

  get dxP(): usize {
    return this.source.hasDx ? this.dx.p : 0;
  }
  get biasIhP(): usize {
    return this.source.hasBias ? this.biasIh.p : 0;
  }
  get biasHhP(): usize {
    return this.source.hasBias ? this.biasHh.p : 0;
  }

  /** dx, dh_0, dc_0 have the bits of `other`, the gradients of the parameters differ by rounding alone. */
  expectSame(what: string, other: Gradients<T>): void {
    expectSame<T>(`${what}: dh0`, this.dh, other.dh);
    expectSame<T>(`${what}: dc0`, this.dc, other.dc);
    if (this.source.hasDx) expectSame<T>(`${what}: dx`, this.dx, other.dx);
    expectClose<T>(`${what}: dW_ih`, this.weightIh, wide<T>(other.weightIh));
    expectClose<T>(`${what}: dW_hh`, this.weightHh, wide<T>(other.weightHh));
    expectClose<T>(`${what}: db_ih`, this.biasIh, wide<T>(other.biasIh));
    expectClose<T>(`${what}: db_hh`, this.biasHh, wide<T>(other.biasHh));
  }
}

/** The naive gradients, in f64. */
export class Expected<T> {
  dx: StaticArray<f64>;
  dh: StaticArray<f64>;
  dc: StaticArray<f64>;
  weightIh: StaticArray<f64>;
  weightHh: StaticArray<f64>;
  bias: StaticArray<f64>;

  constructor(readonly source: Case<T>) {
    this.dx = new StaticArray<f64>(source.x.length);
    this.dh = wide<T>(source.dhn);
    this.dc = wide<T>(source.dcn);
    this.weightIh = wide<T>(source.startIh);
    this.weightHh = wide<T>(source.startHh);
    this.bias = wide<T>(source.startBias);
  }

  /** One row of one step, from da [G]: dx, dh_(t-1), and what it adds to the gradients of the parameters. */
  addRow(s: i32, r: i32, da: StaticArray<f64>, hs: StaticArray<f64>): void {
    const c = this.source;
    const row = s * c.n + r;
    for (let p = 0; p < c.h; p++) this.dh[r * c.h + p] = 0;
    for (let j = 0; j < c.g; j++) {
      this.bias[j] += c.hasBias ? da[j] : 0;
      for (let p = 0; p < c.d; p++) {
        this.weightIh[j * c.d + p] += da[j] * <f64>c.x[row * c.d + p];
        this.dx[row * c.d + p] += da[j] * <f64>c.weightIh[j * c.d + p];
      }
      for (let p = 0; p < c.h; p++) {
        this.weightHh[j * c.h + p] += da[j] * hs[row * c.h + p];
        this.dh[r * c.h + p] += da[j] * <f64>c.weightHh[j * c.h + p];
      }
    }
  }

  expectClose(gradients: Gradients<T>): void {
    const c = this.source;
    if (c.hasDx) expectClose<T>(`dx, ${c.name}`, gradients.dx, this.dx);
    expectClose<T>(`dh0, ${c.name}`, gradients.dh, this.dh);
    expectClose<T>(`dc0, ${c.name}`, gradients.dc, this.dc);
    expectClose<T>(`dW_ih, ${c.name}`, gradients.weightIh, this.weightIh);
    expectClose<T>(`dW_hh, ${c.name}`, gradients.weightHh, this.weightHh);
    expectClose<T>(`db_ih, ${c.name}`, gradients.biasIh, this.bias);
    expectClose<T>(`db_hh, ${c.name}`, gradients.biasHh, this.bias);
  }
}

/** b_ih + b_hh + W_ih x + W_hh h of one row and gate column j, at step s. */
export function preactivation<T>(c: Case<T>, s: i32, r: i32, j: i32, hs: StaticArray<f64>): f64 {
  const row = s * c.n + r;
  let sum: f64 = c.hasBias ? <f64>c.biasIh[j] + <f64>c.biasHh[j] : 0;
  for (let p = 0; p < c.d; p++) sum += <f64>c.weightIh[j * c.d + p] * <f64>c.x[row * c.d + p];
  for (let p = 0; p < c.h; p++) sum += <f64>c.weightHh[j * c.h + p] * hs[row * c.h + p];
  return sum;
}

/** The chosen non-linearity, and its derivative from its value. */
export function phi(variant: i32, x: f64): f64 {
  return variant & 1 ? max(x, 0) : Math.tanh(x);
}
export function phiDerivative(variant: i32, y: f64): f64 {
  return variant & 1 ? (y > 0 ? 1 : 0) : 1 - y * y;
}

/** For the naive loops: e^-x would overflow where the sigmoid is a denormal. */
export function sigmoid(x: f64): f64 {
  const e = Math.exp(-abs(x));
  return (x < 0 ? e : 1) / (1 + e);
}

/** T, N, D, H: odd and even, one and many; rows, gate columns and inputs on both sides of the blocks of gemm. */
export const SHAPES: StaticArray<i32> = [
  1, 1, 1, 1, 2, 1, 3, 2, 3, 2, 1, 5, 2, 5, 7, 3, 4, 3, 5, 7, 2, 17, 3, 33, 3, 1, 33, 17, 5, 7, 2, 17, 2, 33, 17, 5, 7,
  2, 5, 1, 9, 33, 3, 2, 1, 2, 259, 3, 2, 3, 2, 131,
];

/** Small shapes run all 16 variants, the others 4 in which every bit is on and off. */
export function stride(shape: i32): i32 {
  return SHAPES[shape] * SHAPES[shape + 1] * SHAPES[shape + 3] > 100 ? 5 : 1;
}
