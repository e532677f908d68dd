// Cases for the tests of rnn, lstm and gru: what goes into a layer. How the kernels are called, and what comes out, is in
// calls.ts; the scalar loops that they are held against in naive.ts; what must hold of every cell in properties.ts.
//
// A buffer that is not there has the length 0.

import { SIGMOID, TANH } from "../activation";
import { Buffer, input, randomBits } from "./helpers";

export const RNN: i32 = 0;
export const LSTM: i32 = 1;
export const GRU: i32 = 2;

// What a case leaves out, and what it has beyond the plain layer.
export const NO_BIAS: i32 = 1;
export const NO_DOUTPUT: i32 = 2;
export const NO_DX: i32 = 4;
export const MASKED: i32 = 8;
export const RAGGED: i32 = 16;
export const PROJECTED: i32 = 32; // LSTM
export const RESET_AFTER: i32 = 32; // GRU
// Forward only; the first two LSTM only.
export const PEEPHOLE: i32 = 64;
export const COUPLED: i32 = 128;
export const CLIPPED: i32 = 256;
/** Layer-normalised: LSTM, and GRU, which then resets after the product. */
export const NORMED: i32 = 512;

/** Everything that goes into a layer, forward and backward. */
export class Case<T> {
  sigma: i32 = SIGMOID;
  phi: i32 = TANH;
  psi: i32 = TANH;
  slope: f64 = 0.2;
  offset: f64 = 0.5;

  /** Size of h. */
  readonly p: i32;
  /** Rows of the weights, and gate columns that are kept. */
  readonly g: i32;
  readonly columns: i32;
  /** Rows of each step, and of all. */
  readonly batchSizes: Buffer<i32>;
  readonly rows: i32;

  x: Buffer<T>;
  h0: Buffer<T>;
  c0: Buffer<T>;
  weightIh: Buffer<T>;
  weightHh: Buffer<T>;
  biasIh: Buffer<T>;
  biasHh: Buffer<T>;
  weightHr: Buffer<T>;
  peephole: Buffer<T>;
  normIh: Buffer<T>;
  normHh: Buffer<T>;
  normC: Buffer<T>;
  normCBias: Buffer<T>;
  mask: Buffer<T>;
  dOutput: Buffer<T>;
  dhn: Buffer<T>;
  dcn: Buffer<T>;

  /** Random numbers; parameters and non-linearities of `like`, if given. */
  constructor(
    readonly cell: i32,
    readonly flags: i32,
    readonly t: i32,
    readonly n: i32,
    readonly d: i32,
    readonly h: i32,
    like: Case<T> | null = null,
  ) {
    const projected = cell == LSTM && (flags & PROJECTED) != 0;
    const p = projected ? (h < 3 ? h + 1 : (h + 1) / 2) : h;
    const g = (cell == RNN ? 1 : cell == LSTM ? 4 : 3) * h;
    this.p = p;
    this.g = g;
    this.columns = cell == RNN ? 0 : 4 * h;
    const batchSizes = new Buffer<i32>(t).fill(0);
    let rows = 0;
    for (let r = 0; r < n; r++) {
      const length = flags & RAGGED ? <i32>(randomBits() % (t + 1)) : t;
      for (let i = 0; i < length; i++) batchSizes[i] = batchSizes[i] + 1;
      rows += length;
    }
    batchSizes.freeze();
    this.batchSizes = batchSizes;
    this.rows = rows;

    this.x = input<T>(rows * d);
    this.h0 = input<T>(n * p);
    this.c0 = input<T>(cell == LSTM ? n * h : 0);
    const bias = flags & NO_BIAS ? 0 : g;
    this.weightIh = like ? like.weightIh : input<T>(g * d, 1 / sqrt<f64>(d));
    this.weightHh = like ? like.weightHh : input<T>(g * p, 1 / sqrt<f64>(p));
    this.biasIh = like ? like.biasIh : input<T>(bias);
    this.biasHh = like ? like.biasHh : input<T>(bias);
    this.weightHr = like ? like.weightHr : input<T>(projected ? p * h : 0, 1 / sqrt<f64>(h));
    this.peephole = like ? like.peephole : input<T>(flags & PEEPHOLE ? 3 * h : 0);
    const gains = flags & NORMED ? g : 0;
    const ofC = cell == LSTM && gains ? h : 0;
    this.normIh = like ? like.normIh : input<T>(gains);
    this.normHh = like ? like.normHh : input<T>(gains);
    this.normC = like ? like.normC : input<T>(ofC);
    this.normCBias = like ? like.normCBias : input<T>(ofC);
    if (like) {
      this.sigma = like.sigma;
      this.phi = like.phi;
      this.psi = like.psi;
      this.slope = like.slope;
      this.offset = like.offset;
    }
    const mask = new Buffer<T>(flags & MASKED ? n * p : 0).randomize(2);
    for (let i = 0; i < mask.length; i += 5) mask[i] = 0;
    mask.freeze();
    this.mask = mask;
    this.dOutput = input<T>(flags & NO_DOUTPUT ? 0 : rows * p);
    this.dhn = input<T>(n * p);
    this.dcn = input<T>(cell == LSTM ? n * h : 0);
  }

  get projected(): bool {
    return this.cell == LSTM && (this.flags & PROJECTED) != 0;
  }
  get resetAfter(): bool {
    return this.cell == GRU && (this.flags & (RESET_AFTER | NORMED)) != 0;
  }
  get normed(): bool {
    return (this.flags & NORMED) != 0;
  }
  get clip(): f64 {
    return this.flags & CLIPPED ? 0.4 : 0;
  }
  get name(): string {
    const sizes = `T ${this.t}, N ${this.n}, D ${this.d}, H ${this.h}`;
    return `${sizes}, flags ${this.flags}, non-linearities ${this.sigma} ${this.phi} ${this.psi}`;
  }

  /** Steps of row r of the batch. */
  lengthOf(r: i32): i32 {
    let length = 0;
    while (length < this.t && this.batchSizes[length] > r) length++;
    return length;
  }

  /** The first row of step i among those of all steps. */
  start(i: i32): i32 {
    let rows = 0;
    for (let before = 0; before < i; before++) rows += this.batchSizes[before];
    return rows;
  }

  /** Where in the states row r starts step i from; its last state is where step lengthOf(r) would start from. */
  before(i: i32, r: i32): i32 {
    return i == 0 ? r : this.n + this.start(i - 1) + r;
  }

  /** Row r of the batch, `width` numbers of each of its steps. */
  pick(all: Buffer<T>, width: i32, r: i32): Buffer<T> {
    const length = all.length ? this.lengthOf(r) : 0;
    const one = new Buffer<T>(length * width);
    for (let i = 0; i < length; i++) {
      for (let j = 0; j < width; j++) one[i * width + j] = all[(this.start(i) + r) * width + j];
    }
    one.freeze();
    return one;
  }

  /** Row r of the batch alone, over its own length, with the same parameters. */
  row(r: i32): Case<T> {
    const one = new Case<T>(this.cell, this.flags & ~RAGGED, this.lengthOf(r), 1, this.d, this.h, this);
    one.x = this.pick(this.x, this.d, r);
    one.dOutput = this.pick(this.dOutput, this.p, r);
    one.h0 = slice<T>(this.h0, r, this.n);
    one.c0 = slice<T>(this.c0, r, this.n);
    one.mask = slice<T>(this.mask, r, this.n);
    one.dhn = slice<T>(this.dhn, r, this.n);
    one.dcn = slice<T>(this.dcn, r, this.n);
    return one;
  }
}

/** Row r of n. */
export function slice<T>(all: Buffer<T>, r: i32, n: i32): Buffer<T> {
  const width = all.length / n;
  const one = new Buffer<T>(width);
  for (let j = 0; j < width; j++) one[j] = all[r * width + j];
  one.freeze();
  return one;
}

/** T, N, D, H: odd and even, one and many; rows, gate columns and inputs on both sides of the blocks of gemm. */
export const SHAPES: StaticArray<i32> = [
  1, 1, 1, 1, 2, 1, 3, 2, 3, 2, 1, 5, 2, 5, 7, 3, 4, 3, 5, 7, 2, 17, 3, 33, 3, 1, 33, 17, 5, 7, 2, 17, 2, 33, 17, 5, 7,
  2, 5, 1, 9, 33, 3, 2, 1, 2, 259, 3, 2, 3, 2, 131,
];

/** A case of the shape at this place of SHAPES. */
export function caseOf<T>(cell: i32, flags: i32, shape: i32): Case<T> {
  return new Case<T>(cell, flags, SHAPES[shape], SHAPES[shape + 1], SHAPES[shape + 2], SHAPES[shape + 3]);
}

/** Whether a shape is small: then it runs all variants, else some in which every bit is on and off. */
export function isSmall(shape: i32): bool {
  return SHAPES[shape] * SHAPES[shape + 1] * SHAPES[shape + 3] <= 100;
}
