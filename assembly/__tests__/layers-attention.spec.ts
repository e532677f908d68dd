// The layers module's additive attention, forward and backward, compared with its equations in f64 loops.

import { Additive, additiveBackward, additiveForward } from "../layers/attention";
import { Buffer, expectClose, expectIntact, input, output, randomBits, SIZES, state, wide } from "./helpers";

class Problem<T> {
  query: Buffer<T>;
  projected: Buffer<T>;
  keys: Buffer<T>;
  v: Buffer<T>;
  mask: Buffer<i32>;
  weights: Buffer<T>;
  output: Buffer<T>;
  dOutput: Buffer<T>;
  dWeights: Buffer<T>;

  constructor(
    public readonly n: i32,
    public readonly t: i32,
    public readonly h: i32,
    public readonly k: i32,
    public readonly batchFirst: bool,
    public readonly masked: bool,
  ) {
    this.query = input<T>(n * h);
    this.projected = state<T>(n * t * h);
    this.keys = state<T>(n * t * k);
    this.v = input<T>(h);
    this.mask = new Buffer<i32>(n * t).fill(1);
    this.weights = output<T>(n * t);
    this.output = output<T>(n * k);
    this.dOutput = input<T>(n * k);
    this.dWeights = input<T>(n * t);
    if (masked) this.leaveOut();
  }

  /** Some steps take part, none in row 0; the numbers of the others are NaN, as they must not be read. */
  private leaveOut(): void {
    const n = this.n;
    for (let i = 0; i < n * this.t; i++) this.mask[i] = i32(randomBits() % 3 > 0);
    for (let t = 0; t < this.t; t++) this.mask[t] = 0;
    for (let r = 0; r < n; r++) {
      for (let t = 0; t < this.t; t++) {
        if (this.mask[r * this.t + t]) continue;
        for (let i = 0; i < this.h; i++) this.projected[this.place(r, t) * this.h + i] = <T>NaN;
        for (let i = 0; i < this.k; i++) this.keys[this.place(r, t) * this.k + i] = <T>NaN;
      }
    }
  }

  place(r: i32, t: i32): i32 {
    return this.batchFirst ? r * this.t + t : t * this.n + r;
  }

  arguments(): Additive {
    this.projected.freeze();
    this.keys.freeze();
    this.mask.freeze();
    const s = new Additive();
    s.n = this.n;
    s.t = this.t;
    s.h = this.h;
    s.k = this.k;
    s.query = this.query.p;
    s.projected = this.projected.p;
    s.keys = this.keys.p;
    s.batchFirst = this.batchFirst;
    s.v = this.v.p;
    s.mask = this.masked ? this.mask.p : 0;
    s.weights = this.weights.p;
    s.output = this.output.p;
    return s;
  }
}

/** option: bit 0 batchFirst, 1 mask, 2 no gradient of the output, 3 none of the weights. */
function compare<T>(n: i32, t: i32, h: i32, k: i32, option: i32): void {
  const what = `${n} rows, ${t} steps, ${h} units, keys of ${k}, option ${option}`;
  const problem = new Problem<T>(n, t, h, k, (option & 1) != 0, (option & 2) != 0);
  const s = problem.arguments();
  additiveForward<T>(s);
  const dQuery = output<T>(n * h);
  const dProjected = output<T>(n * t * h);
  const dKeys = output<T>(n * t * k);
  const dV = state<T>(h);
  const withOutput = (option & 4) == 0;
  const withWeights = (option & 8) == 0;

  const w = new StaticArray<f64>(n * t);
  const o = new StaticArray<f64>(n * k);
  const dq = new StaticArray<f64>(n * h);
  const dp = new StaticArray<f64>(n * t * h);
  const dk = new StaticArray<f64>(n * t * k);
  const dv = wide<T>(dV);
  const q = wide<T>(problem.query);
  const p = wide<T>(problem.projected);
  const keys = wide<T>(problem.keys);
  const v = wide<T>(problem.v);
  for (let r = 0; r < n; r++) {
    let sum: f64 = 0;
    for (let i = 0; i < t; i++) {
      if (!problem.mask[r * t + i]) continue;
      let e: f64 = 0;
      for (let j = 0; j < h; j++) e += v[j] * Math.tanh(q[r * h + j] + p[problem.place(r, i) * h + j]);
      w[r * t + i] = Math.exp(e);
      sum += Math.exp(e);
    }
    let mean: f64 = 0;
    const a = new StaticArray<f64>(t);
    for (let i = 0; i < t; i++) {
      if (!problem.mask[r * t + i]) continue;
      w[r * t + i] /= sum;
      if (withWeights) a[i] = <f64>problem.dWeights[r * t + i];
      for (let j = 0; j < k; j++) {
        const key = keys[problem.place(r, i) * k + j];
        const d = withOutput ? <f64>problem.dOutput[r * k + j] : 0;
        o[r * k + j] += w[r * t + i] * key;
        dk[problem.place(r, i) * k + j] = w[r * t + i] * d;
        a[i] += d * key;
      }
      mean += w[r * t + i] * a[i];
    }
    for (let i = 0; i < t; i++) {
      if (!problem.mask[r * t + i]) continue;
      const de = w[r * t + i] * (a[i] - mean);
      for (let j = 0; j < h; j++) {
        const at = problem.place(r, i) * h + j;
        const y = Math.tanh(q[r * h + j] + p[at]);
        dp[at] = de * v[j] * (1 - y * y);
        dq[r * h + j] += dp[at];
        dv[j] += de * y;
      }
    }
  }
  expectClose<T>(`${what}: weights`, problem.weights, w);
  expectClose<T>(`${what}: output`, problem.output, o);
  problem.weights.freeze();
  s.dOutput = withOutput ? problem.dOutput.p : 0;
  s.dWeights = withWeights ? problem.dWeights.p : 0;
  s.dQuery = dQuery.p;
  s.dProjected = dProjected.p;
  s.dKeys = dKeys.p;
  s.dV = dV.p;
  additiveBackward<T>(s);
  expectClose<T>(`${what}: query's gradient`, dQuery, dq, 4);
  expectClose<T>(`${what}: gradient of the projected keys`, dProjected, dp, 4);
  expectClose<T>(`${what}: keys' gradient`, dKeys, dk, 4);
  expectClose<T>(`${what}: v's gradient`, dV, dv, 4);
  expectIntact(what);
}

function sizes<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    for (let option = 0; option < 16; option++) {
      const other = SIZES[(i + option) % SIZES.length];
      compare<T>(1 + (i % 3), SIZES[i], other, SIZES[(2 * i + option) % SIZES.length], option);
      compare<T>(2, other, SIZES[i], 1 + option, option);
    }
  }
}

/** No steps, no rows: zeros, or nothing. */
function empty<T>(): void {
  for (let option = 0; option < 4; option++) {
    compare<T>(2, 0, 3, 3, option);
    compare<T>(0, 3, 2, 5, option & 1);
  }
}

describe("layers: additive attention", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
  test("no steps or rows f64", () => empty<f64>());
  test("no steps or rows f32", () => empty<f32>());
});
