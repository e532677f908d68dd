// The recurrent layers in f64 and scalar loops, a row of a step at a time: what the kernels are held against. The equations
// are those at the head of rnn.ts, lstm.ts and gru.ts.

import { HARD_SIGMOID, RELU, SIGMOID, TANH } from "../activation";
import { Gradients, Kept, some } from "./calls";
import { Buffer, expectClose, wide } from "./helpers";
import { Case, COUPLED, GRU, LSTM, RNN } from "./sequence";

/** A non-linearity of the case. */
function activate<T>(c: Case<T>, code: i32, x: f64): f64 {
  if (code == TANH) return Math.tanh(x);
  if (code == RELU) return max(x, 0);
  if (code == HARD_SIGMOID) return min(max(c.slope * x + c.offset, 0), 1);
  if (code != SIGMOID) return x;
  const e = Math.exp(-abs(x)); // e^-x would overflow where the sigmoid is a denormal
  return (x < 0 ? e : 1) / (1 + e);
}

/** Its derivative, from its value. */
function derivative<T>(c: Case<T>, code: i32, y: f64): f64 {
  if (code == TANH) return 1 - y * y;
  if (code == RELU) return y > 0 ? 1 : 0;
  if (code == HARD_SIGMOID) return y > 0 && y < 1 ? c.slope : 0;
  return code == SIGMOID ? y * (1 - y) : 1;
}

/** The sum of a[i + k] b[j + k]. */
function dot(n: i32, a: StaticArray<f64>, i: i32, b: StaticArray<f64>, j: i32): f64 {
  let sum: f64 = 0;
  for (let k = 0; k < n; k++) sum += a[i + k] * b[j + k];
  return sum;
}

/** y[i + k] += factor x[j + k]. */
function addScaled(n: i32, factor: f64, x: StaticArray<f64>, j: i32, y: StaticArray<f64>, i: i32): void {
  for (let k = 0; k < n; k++) y[i + k] += factor * x[j + k];
}

function orZeros(values: StaticArray<f64>, length: i32): StaticArray<f64> {
  return values.length ? values : new StaticArray<f64>(length);
}

/** What layer normalisation adds to a variance. */
const EPSILON: f64 = 1e-5;

export class Naive<T> {
  // As in sequence.ts.
  hs: StaticArray<f64>;
  cs: StaticArray<f64>;
  gates: StaticArray<f64>;
  psiC: StaticArray<f64>;
  dx: StaticArray<f64>;
  dh: StaticArray<f64>;
  dc: StaticArray<f64>;
  dGates: StaticArray<f64>;
  dWeightIh: StaticArray<f64>;
  dWeightHh: StaticArray<f64>;
  dBiasIh: StaticArray<f64>;
  dBiasHh: StaticArray<f64>;
  dWeightHr: StaticArray<f64>;
  // Layer-normalised.
  products: StaticArray<f64>;
  recurrentProducts: StaticArray<f64>;
  moments: StaticArray<f64>;
  dProducts: StaticArray<f64>;
  dRecurrentProducts: StaticArray<f64>;
  dNormIh: StaticArray<f64>;
  dNormHh: StaticArray<f64>;
  dNormC: StaticArray<f64>;
  dNormCBias: StaticArray<f64>;
  /**
   * Layer normalisation divides by a standard deviation, and with it the error of what it normalises, which had a rounding
   * or a few: this is the largest 1 / standard deviation of the pass, up to 1 / sqrt(epsilon) = 316 where the numbers of a
   * row are few and by chance nearly the same. One number alone is its own mean, without error. 1 elsewhere.
   */
  condition: f64 = 1;

  private readonly x: StaticArray<f64>;
  private readonly weightIh: StaticArray<f64>;
  private readonly weightHh: StaticArray<f64>;
  private readonly biasIh: StaticArray<f64>;
  private readonly biasHh: StaticArray<f64>;
  private readonly weightHr: StaticArray<f64>;
  private readonly peephole: StaticArray<f64>;
  private readonly normIh: StaticArray<f64>;
  private readonly normHh: StaticArray<f64>;
  private readonly normC: StaticArray<f64>;
  private readonly normCBias: StaticArray<f64>;
  private readonly dOutput: StaticArray<f64>;

  // Of one row: h' = m h, what W_ih x + b_ih and W_hh h' + b_hh give (normalised before the biases, where they are) and
  // their gradients, what psi takes and its gradient, o psi(c) and its gradient.
  private readonly seen: StaticArray<f64>;
  private readonly dSeen: StaticArray<f64>;
  private readonly fromX: StaticArray<f64>;
  private readonly fromH: StaticArray<f64>;
  private readonly seenC: StaticArray<f64>;
  private readonly dSeenC: StaticArray<f64>;
  private readonly hidden: StaticArray<f64>;
  /** What comes down to h_t, and what goes to h_(t-1) past W_hh. */
  private readonly dhRow: StaticArray<f64>;
  private readonly past: StaticArray<f64>;
  /** GRU, of one row: r q or r h'. */
  private readonly q: StaticArray<f64>;

  constructor(readonly c: Case<T>) {
    const rows = c.rows;
    this.hs = new StaticArray<f64>((rows + c.n) * c.p);
    this.cs = new StaticArray<f64>((rows + c.n) * c.h);
    this.gates = new StaticArray<f64>(rows * c.columns);
    this.psiC = new StaticArray<f64>(c.cell == LSTM ? rows * c.h : 0);
    this.dx = new StaticArray<f64>(rows * c.d);
    this.dh = wide<T>(c.dhn);
    this.dc = wide<T>(c.dcn);
    this.dGates = new StaticArray<f64>(rows * (c.cell == RNN ? c.h : c.columns));
    this.dWeightIh = wide<T>(some<T>(c.weightIh.length));
    this.dWeightHh = wide<T>(some<T>(c.weightHh.length));
    this.dBiasIh = wide<T>(some<T>(c.g));
    this.dBiasHh = wide<T>(some<T>(c.g));
    this.dWeightHr = wide<T>(some<T>(c.weightHr.length));
    const products = c.normed ? rows * c.g : 0;
    this.products = new StaticArray<f64>(products);
    this.recurrentProducts = new StaticArray<f64>(products);
    this.moments = new StaticArray<f64>(c.normed ? 8 * rows : 0).fill(NaN);
    this.dProducts = new StaticArray<f64>(products);
    this.dRecurrentProducts = new StaticArray<f64>(products);
    this.dNormIh = wide<T>(some<T>(c.normIh.length));
    this.dNormHh = wide<T>(some<T>(c.normHh.length));
    this.dNormC = wide<T>(some<T>(c.normC.length));
    this.dNormCBias = wide<T>(some<T>(c.normCBias.length));
    this.x = wide<T>(c.x);
    this.weightIh = wide<T>(c.weightIh);
    this.weightHh = wide<T>(c.weightHh);
    this.biasIh = orZeros(wide<T>(c.biasIh), c.g);
    this.biasHh = orZeros(wide<T>(c.biasHh), c.g);
    this.weightHr = wide<T>(c.weightHr);
    this.peephole = wide<T>(c.peephole);
    this.normIh = wide<T>(c.normIh);
    this.normHh = wide<T>(c.normHh);
    this.normC = wide<T>(c.normC);
    this.normCBias = wide<T>(c.normCBias);
    this.dOutput = orZeros(wide<T>(c.dOutput), rows * c.p);
    this.seen = new StaticArray<f64>(c.p);
    this.dSeen = new StaticArray<f64>(c.p);
    this.fromX = new StaticArray<f64>(c.g);
    this.fromH = new StaticArray<f64>(c.g);
    this.seenC = new StaticArray<f64>(c.h);
    this.dSeenC = new StaticArray<f64>(c.h);
    this.hidden = new StaticArray<f64>(c.h);
    this.dhRow = new StaticArray<f64>(c.p);
    this.past = new StaticArray<f64>(c.p);
    this.q = new StaticArray<f64>(c.h);
    for (let i = 0; i < c.h0.length; i++) this.hs[i] = <f64>c.h0[i];
    for (let i = 0; i < c.c0.length; i++) this.cs[i] = <f64>c.c0[i];
    for (let i = 0; i < c.t; i++) {
      for (let r = 0; r < c.batchSizes[i]; r++) this.forward(i, r);
    }
  }

  private maskOf(r: i32, p: i32): f64 {
    return this.c.mask.length ? <f64>this.c.mask[r * this.c.p + p] : 1;
  }

  private limited(x: f64): f64 {
    const limit = this.c.clip;
    return limit ? min(max(x, -limit), limit) : x;
  }

  private forward(i: i32, r: i32): void {
    const c = this.c;
    const row = c.start(i) + r;
    const before = c.before(i, r);
    for (let p = 0; p < c.p; p++) this.seen[p] = this.maskOf(r, p) * this.hs[before * c.p + p];
    for (let j = 0; j < c.g; j++) {
      this.fromX[j] = dot(c.d, this.weightIh, j * c.d, this.x, row * c.d);
      this.fromH[j] = dot(c.p, this.weightHh, j * c.p, this.seen, 0);
    }
    if (c.normed) this.normProducts(row);
    for (let j = 0; j < c.g; j++) {
      this.fromX[j] += this.biasIh[j];
      this.fromH[j] += this.biasHh[j];
    }
    if (c.cell == LSTM) this.lstmForward(row, before);
    else if (c.cell == GRU) this.gruForward(row, before);
    else {
      for (let j = 0; j < c.h; j++) {
        this.hs[(c.n + row) * c.h + j] = activate<T>(c, c.phi, this.limited(this.fromX[j] + this.fromH[j]));
      }
    }
  }

  private lstmForward(row: i32, before: i32): void {
    const c = this.c;
    const h = c.h;
    for (let j = 0; j < h; j++) {
      const cPrev = this.cs[before * h + j];
      let seenI = this.fromX[j] + this.fromH[j];
      let seenF = this.fromX[h + j] + this.fromH[h + j];
      let seenO = this.fromX[3 * h + j] + this.fromH[3 * h + j];
      if (this.peephole.length) {
        seenI += this.peephole[j] * cPrev;
        seenF += this.peephole[h + j] * cPrev;
      }
      const i = activate<T>(c, c.sigma, this.limited(seenI));
      const f = c.flags & COUPLED ? 1 - i : activate<T>(c, c.sigma, this.limited(seenF));
      const g = activate<T>(c, c.phi, this.limited(this.fromX[2 * h + j] + this.fromH[2 * h + j]));
      const next = f * cPrev + i * g;
      if (this.peephole.length) seenO += this.peephole[2 * h + j] * next;
      const o = activate<T>(c, c.sigma, this.limited(seenO));
      this.setGates(row, j, i, f, g, o);
      this.cs[(c.n + row) * h + j] = next;
      this.seenC[j] = next;
    }
    if (c.normed) {
      this.norm(4, row, h, this.seenC, 0, this.normC, 0);
      addScaled(h, 1, this.normCBias, 0, this.seenC, 0);
    }
    for (let j = 0; j < h; j++) {
      const psiC = activate<T>(c, c.psi, this.limited(this.seenC[j]));
      this.psiC[row * h + j] = psiC;
      this.hidden[j] = this.gates[row * 4 * h + 3 * h + j] * psiC;
    }
    for (let p = 0; p < c.p; p++) {
      const out = c.projected ? dot(h, this.weightHr, p * h, this.hidden, 0) : this.hidden[p];
      this.hs[(c.n + row) * c.p + p] = out;
    }
  }

  private gruForward(row: i32, before: i32): void {
    const c = this.c;
    const h = c.h;
    const at = row * 4 * h;
    for (let j = 0; j < h; j++) {
      const r = activate<T>(c, c.sigma, this.limited(this.fromX[j] + this.fromH[j]));
      const z = activate<T>(c, c.sigma, this.limited(this.fromX[h + j] + this.fromH[h + j]));
      this.q[j] = c.resetAfter ? this.fromH[2 * h + j] : r * this.seen[j];
      this.setGates(row, j, 0, r, z, this.q[j]);
    }
    for (let j = 0; j < h; j++) {
      let a = this.fromX[2 * h + j];
      if (c.resetAfter) a += this.gates[at + h + j] * this.q[j];
      else a += this.biasHh[2 * h + j] + dot(h, this.weightHh, (2 * h + j) * h, this.q, 0);
      const n = activate<T>(c, c.phi, this.limited(a));
      const z = this.gates[at + 2 * h + j];
      this.gates[at + j] = n;
      this.hs[(c.n + row) * h + j] = (1 - z) * n + z * this.hs[before * h + j];
    }
  }

  /** x [n] from `at` on = gain LN(x); moment, moment + 1: where its mean and 1 / standard deviation go. */
  private norm(moment: i32, row: i32, n: i32, x: StaticArray<f64>, at: i32, gain: StaticArray<f64>, gainAt: i32): void {
    let mean: f64 = 0;
    let variance: f64 = 0;
    for (let k = 0; k < n; k++) mean += x[at + k] / n;
    for (let k = 0; k < n; k++) variance += ((x[at + k] - mean) * (x[at + k] - mean)) / n;
    const rstd = 1 / sqrt(variance + EPSILON);
    for (let k = 0; k < n; k++) x[at + k] = gain[gainAt + k] * (x[at + k] - mean) * rstd;
    this.moments[moment * this.c.rows + row] = mean;
    this.moments[(moment + 1) * this.c.rows + row] = rstd;
    if (n > 1) this.condition = max(this.condition, rstd);
  }

  /** d [n] from `at` on, the gradient of gain LN(x), becomes that of x; dGain += its gradient. */
  private normBackward(
    moment: i32,
    row: i32,
    n: i32,
    x: StaticArray<f64>,
    xAt: i32,
    d: StaticArray<f64>,
    at: i32,
    gain: StaticArray<f64>,
    dGain: StaticArray<f64>,
    gainAt: i32,
  ): void {
    const mean = this.moments[moment * this.c.rows + row];
    const rstd = this.moments[(moment + 1) * this.c.rows + row];
    let sum: f64 = 0;
    let along: f64 = 0;
    for (let k = 0; k < n; k++) {
      const xhat = (x[xAt + k] - mean) * rstd;
      dGain[gainAt + k] += d[at + k] * xhat;
      d[at + k] *= gain[gainAt + k];
      sum += d[at + k];
      along += d[at + k] * xhat;
    }
    for (let k = 0; k < n; k++) {
      const xhat = (x[xAt + k] - mean) * rstd;
      d[at + k] = rstd * (d[at + k] - sum / n - (xhat * along) / n);
    }
  }

  /** Keeps what the weights give, and normalises it: of a GRU r and z together, n on its own. */
  private normProducts(row: i32): void {
    const c = this.c;
    const h = c.h;
    const at = row * c.g;
    if (c.cell == LSTM) {
      addScaled(c.g, 1, this.fromX, 0, this.products, at);
      addScaled(c.g, 1, this.fromH, 0, this.recurrentProducts, at);
      this.norm(0, row, c.g, this.fromX, 0, this.normIh, 0);
      this.norm(2, row, c.g, this.fromH, 0, this.normHh, 0);
      return;
    }
    addScaled(h, 1, this.fromX, 2 * h, this.products, at); // n r z, as the gates
    addScaled(2 * h, 1, this.fromX, 0, this.products, at + h);
    addScaled(3 * h, 1, this.fromH, 0, this.recurrentProducts, at);
    this.norm(0, row, h, this.fromX, 2 * h, this.normIh, 2 * h);
    this.norm(2, row, 2 * h, this.fromX, 0, this.normIh, 0);
    this.norm(4, row, 2 * h, this.fromH, 0, this.normHh, 0);
    this.norm(6, row, h, this.fromH, 2 * h, this.normHh, 2 * h);
  }

  /** fromX and fromH become gradients of what the weights gave. */
  private normProductsBackward(row: i32): void {
    const c = this.c;
    const h = c.h;
    const at = row * c.g;
    const x = this.products;
    const y = this.recurrentProducts;
    if (c.cell == LSTM) {
      this.normBackward(0, row, c.g, x, at, this.fromX, 0, this.normIh, this.dNormIh, 0);
      this.normBackward(2, row, c.g, y, at, this.fromH, 0, this.normHh, this.dNormHh, 0);
      addScaled(c.g, 1, this.fromX, 0, this.dProducts, at);
    } else {
      this.normBackward(0, row, h, x, at, this.fromX, 2 * h, this.normIh, this.dNormIh, 2 * h);
      this.normBackward(2, row, 2 * h, x, at + h, this.fromX, 0, this.normIh, this.dNormIh, 0);
      this.normBackward(4, row, 2 * h, y, at, this.fromH, 0, this.normHh, this.dNormHh, 0);
      this.normBackward(6, row, h, y, at + 2 * h, this.fromH, 2 * h, this.normHh, this.dNormHh, 2 * h);
      addScaled(h, 1, this.fromX, 2 * h, this.dProducts, at);
      addScaled(2 * h, 1, this.fromX, 0, this.dProducts, at + h);
    }
    addScaled(c.g, 1, this.fromH, 0, this.dRecurrentProducts, at);
  }

  private setGates(row: i32, j: i32, a: f64, b: f64, c: f64, d: f64): void {
    setFour(this.gates, row, this.c.h, j, a, b, c, d);
  }

  /** The whole backward pass. */
  backward(): this {
    const c = this.c;
    for (let i = c.t - 1; i >= 0; i--) {
      for (let r = 0; r < c.batchSizes[i]; r++) this.backwardRow(i, r);
    }
    return this;
  }

  private backwardRow(i: i32, r: i32): void {
    const c = this.c;
    const row = c.start(i) + r;
    const before = c.before(i, r);
    for (let p = 0; p < c.p; p++) {
      this.seen[p] = this.maskOf(r, p) * this.hs[before * c.p + p];
      this.dhRow[p] = this.dOutput[row * c.p + p] + this.dh[r * c.p + p];
      this.dSeen[p] = 0;
      this.past[p] = 0;
    }
    // From here on fromX and fromH are gradients.
    if (c.cell == LSTM) this.lstmBackward(row, before, r);
    else if (c.cell == GRU) this.gruBackward(row, before);
    else {
      for (let j = 0; j < c.h; j++) {
        const da = this.dhRow[j] * derivative<T>(c, c.phi, this.hs[(c.n + row) * c.h + j]);
        this.dGates[row * c.h + j] = da;
        this.fromX[j] = da;
        this.fromH[j] = da;
      }
    }
    for (let j = 0; j < c.g; j++) {
      this.dBiasIh[j] += this.fromX[j];
      this.dBiasHh[j] += this.fromH[j];
    }
    if (c.normed) this.normProductsBackward(row);
    for (let j = 0; j < c.g; j++) {
      addScaled(c.d, this.fromX[j], this.x, row * c.d, this.dWeightIh, j * c.d);
      addScaled(c.d, this.fromX[j], this.weightIh, j * c.d, this.dx, row * c.d);
      if (c.cell == GRU && !c.resetAfter && j >= 2 * c.h) {
        addScaled(c.p, this.fromH[j], this.q, 0, this.dWeightHh, j * c.p); // W_hn sees r h'
      } else {
        addScaled(c.p, this.fromH[j], this.seen, 0, this.dWeightHh, j * c.p);
        addScaled(c.p, this.fromH[j], this.weightHh, j * c.p, this.dSeen, 0);
      }
    }
    for (let p = 0; p < c.p; p++) this.dh[r * c.p + p] = this.past[p] + this.maskOf(r, p) * this.dSeen[p];
  }

  private lstmBackward(row: i32, before: i32, r: i32): void {
    const c = this.c;
    const h = c.h;
    for (let j = 0; j < h; j++) {
      const o = this.gates[row * 4 * h + 3 * h + j];
      const psiC = this.psiC[row * h + j];
      if (c.projected) {
        this.hidden[j] = 0;
        for (let p = 0; p < c.p; p++) {
          this.hidden[j] += this.dhRow[p] * this.weightHr[p * h + j];
          this.dWeightHr[p * h + j] += this.dhRow[p] * (o * psiC);
        }
      } else {
        this.hidden[j] = this.dhRow[j];
      }
      this.dSeenC[j] = this.hidden[j] * o * derivative<T>(c, c.psi, psiC);
    }
    if (c.normed) {
      addScaled(h, 1, this.dSeenC, 0, this.dNormCBias, 0);
      this.normBackward(4, row, h, this.cs, (c.n + row) * h, this.dSeenC, 0, this.normC, this.dNormC, 0);
    }
    for (let j = 0; j < h; j++) {
      const i = this.gates[row * 4 * h + j];
      const f = this.gates[row * 4 * h + h + j];
      const g = this.gates[row * 4 * h + 2 * h + j];
      const o = this.gates[row * 4 * h + 3 * h + j];
      const psiC = this.psiC[row * h + j];
      const dHidden = this.hidden[j];
      const dc = this.dc[r * h + j] + this.dSeenC[j];
      const di = dc * g * derivative<T>(c, c.sigma, i);
      const df = dc * this.cs[before * h + j] * derivative<T>(c, c.sigma, f);
      const dg = dc * i * derivative<T>(c, c.phi, g);
      const dO = dHidden * psiC * derivative<T>(c, c.sigma, o);
      setFour(this.dGates, row, h, j, di, df, dg, dO);
      setFour(this.fromX, 0, h, j, di, df, dg, dO);
      setFour(this.fromH, 0, h, j, di, df, dg, dO);
      this.dc[r * h + j] = dc * f;
    }
  }

  private gruBackward(row: i32, before: i32): void {
    const c = this.c;
    const h = c.h;
    const at = row * 4 * h;
    for (let j = 0; j < h; j++) {
      const n = this.gates[at + j];
      const z = this.gates[at + 2 * h + j];
      const dh = this.dhRow[j];
      this.q[j] = this.gates[at + 3 * h + j];
      this.fromX[h + j] = dh * (this.hs[before * h + j] - n) * derivative<T>(c, c.sigma, z);
      this.fromX[2 * h + j] = dh * (1 - z) * derivative<T>(c, c.phi, n);
      this.past[j] = dh * z;
    }
    for (let j = 0; j < h; j++) {
      const r = this.gates[at + h + j];
      const dn = this.fromX[2 * h + j];
      let dr: f64;
      if (c.resetAfter) {
        dr = dn * this.q[j];
      } else {
        let dq: f64 = 0;
        for (let k = 0; k < h; k++) dq += this.fromX[2 * h + k] * this.weightHh[(2 * h + k) * h + j];
        dr = dq * this.seen[j];
        this.dSeen[j] = dq * r;
      }
      this.fromX[j] = dr * derivative<T>(c, c.sigma, r);
      this.fromH[j] = this.fromX[j];
      this.fromH[h + j] = this.fromX[h + j];
      this.fromH[2 * h + j] = c.resetAfter ? dn * r : dn;
      const last = c.resetAfter ? dn * r : this.q[j];
      setFour(this.dGates, row, h, j, dn, this.fromX[j], this.fromX[h + j], last);
    }
  }

  private close(what: string, actual: Buffer<T>, expected: StaticArray<f64>): void {
    expectClose<T>(`${what}, ${this.c.name}`, actual, expected, this.condition);
  }

  expectForward(kept: Kept<T>): void {
    const c = this.c;
    this.close("hs", kept.hs, this.hs);
    if (kept.keep) {
      if (c.cell == LSTM) this.close("cs", kept.cs, this.cs);
      this.close("gates", kept.gates, this.gates);
      this.close("psi(c)", kept.psiC, this.psiC);
      expectClose<T>(`products, ${c.name}`, kept.products, this.products);
      this.close("recurrent products", kept.recurrentProducts, this.recurrentProducts);
      this.close("moments", kept.moments, this.moments);
    } else if (c.cell == LSTM) {
      const cn = new StaticArray<f64>(c.n * c.h);
      for (let r = 0; r < c.n; r++) addScaled(c.h, 1, this.cs, c.before(c.lengthOf(r), r) * c.h, cn, r * c.h);
      this.close("cn", kept.cs, cn);
    }
  }

  expectBackward(grad: Gradients<T>): void {
    const c = this.c;
    if (grad.dx.length) this.close("dx", grad.dx, this.dx);
    this.close("dh0", grad.dh, this.dh);
    this.close("dc0", grad.dc, this.dc);
    this.close("gradients of the gates", grad.gates, this.dGates);
    this.close("dW_ih", grad.weightIh, this.dWeightIh);
    this.close("dW_hh", grad.weightHh, this.dWeightHh);
    this.close("dW_hr", grad.weightHr, this.dWeightHr);
    this.close("gradients of the products", grad.products, this.dProducts);
    this.close("gradients of the recurrent products", grad.recurrentProducts, this.dRecurrentProducts);
    this.close("gradient of the gain of W_ih x", grad.normIh, this.dNormIh);
    this.close("gradient of the gain of W_hh h", grad.normHh, this.dNormHh);
    this.close("gradient of the gain of c", grad.normC, this.dNormC);
    this.close("gradient of the bias of c", grad.normCBias, this.dNormCBias);
    if (grad.biasIh.length) {
      this.close("db_ih", grad.biasIh, this.dBiasIh);
      this.close("db_hh", grad.biasHh, this.dBiasHh);
    }
  }
}

/** Column j of each of the four gates of a row. */
function setFour(gates: StaticArray<f64>, row: i32, h: i32, j: i32, a: f64, b: f64, c: f64, d: f64): void {
  const at = row * 4 * h + j;
  gates[at] = a;
  gates[at + h] = b;
  gates[at + 2 * h] = c;
  gates[at + 3 * h] = d;
}
