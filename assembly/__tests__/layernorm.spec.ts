// Layer normalisation forward and backward, over dense rows and rows with gaps, compared with its equations in f64 loops.

import { layerNormBackward, layerNormForward } from "../layernorm";
import { Buffer, expectClose, expectIntact, expectSame, fail, input, output, SIZES, state, wide } from "./helpers";

const EPS: f64 = 0.1; // large: f32 loses little precision where the numbers of a row are nearly equal

/** Rows of n numbers in a buffer of rows strideX apart. */
function gather<T>(rows: i32, n: i32, x: Buffer<T>, stride: i32): StaticArray<f64> {
  const values = new StaticArray<f64>(rows * n);
  for (let r = 0; r < rows; r++) for (let i = 0; i < n; i++) values[r * n + i] = <f64>x[r * stride + i];
  return values;
}

/** The rows are close to `expected`; the gaps are still NaN. */
function expectRows<T>(what: string, rows: i32, n: i32, y: Buffer<T>, stride: i32, expected: StaticArray<f64>): void {
  const all = new StaticArray<f64>(y.length).fill(NaN);
  for (let r = 0; r < rows; r++) for (let i = 0; i < n; i++) all[r * stride + i] = expected[r * n + i];
  expectClose<T>(what, y, all);
}

/** option: bit 0 weight and bias, 1 gaps between rows, 2 in place. */
function sizes<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    for (let option = 0; option < 8; option++) {
      for (let rows = 1; rows <= 5; rows += 2) {
        const n = SIZES[s];
        const what = `layer norm of ${rows} x ${n}, option ${option}`;
        const affine = (option & 1) != 0;
        const gap = option & 2 ? 3 : 0;
        const inPlace = (option & 4) != 0;
        const strideX = n + gap;
        const strideY = inPlace ? strideX : n + 2 * gap;
        const lengthX = rows * strideX - gap;
        const lengthY = rows * strideY - (strideY - n);
        const x = input<T>(lengthX, 3);
        const weight = input<T>(n);
        const bias = input<T>(n);
        const dy = input<T>(lengthX);
        const dWeight = state<T>(n);
        const dBias = state<T>(n);

        const xs = gather<T>(rows, n, x, strideX);
        const dys = gather<T>(rows, n, dy, strideX);
        const yExpected = new StaticArray<f64>(rows * n);
        const dxExpected = new StaticArray<f64>(rows * n);
        const meanExpected = new StaticArray<f64>(rows);
        const rstdExpected = new StaticArray<f64>(rows);
        const dWeightExpected = wide<T>(dWeight);
        const dBiasExpected = wide<T>(dBias);
        for (let r = 0; r < rows; r++) {
          let mean: f64 = 0;
          for (let i = 0; i < n; i++) mean += xs[r * n + i] / n;
          let variance: f64 = 0;
          for (let i = 0; i < n; i++) variance += ((xs[r * n + i] - mean) * (xs[r * n + i] - mean)) / n;
          const rstd = 1 / sqrt(variance + EPS);
          meanExpected[r] = mean;
          rstdExpected[r] = rstd;
          let sum: f64 = 0;
          let dot: f64 = 0;
          for (let i = 0; i < n; i++) {
            const xhat = (xs[r * n + i] - mean) * rstd;
            const d = dys[r * n + i];
            const w: f64 = affine ? <f64>weight[i] : 1;
            yExpected[r * n + i] = w * xhat + (affine ? <f64>bias[i] : 0);
            dWeightExpected[i] += d * xhat;
            dBiasExpected[i] += d;
            sum += d * w;
            dot += d * w * xhat;
          }
          for (let i = 0; i < n; i++) {
            const xhat = (xs[r * n + i] - mean) * rstd;
            const w: f64 = affine ? <f64>weight[i] : 1;
            dxExpected[r * n + i] = rstd * (w * dys[r * n + i] - sum / n - (xhat * dot) / n);
          }
        }

        const mean = output<T>(rows);
        const rstd = output<T>(rows);
        const y = output<T>(lengthY);
        const onto = x.copy();
        const target = inPlace ? onto.p : y.p;
        const weightP = affine ? weight.p : 0;
        const biasP = affine ? bias.p : 0;
        // prettier-ignore
        layerNormForward<T>(rows, n, x.p, strideX, weightP, biasP, <T>EPS, y.p, strideY, mean.p, rstd.p);
        expectRows<T>(`y, ${what}`, rows, n, y, strideY, yExpected);
        expectClose<T>(`mean, ${what}`, mean, meanExpected);
        expectClose<T>(`rstd, ${what}`, rstd, rstdExpected);
        if (inPlace) {
          layerNormForward<T>(rows, n, onto.p, strideX, weightP, biasP, <T>EPS, target, strideX, 0, 0);
          for (let r = 0; r < rows; r++) {
            for (let i = 0; i < strideX && r * strideX + i < lengthX; i++) {
              const at = r * strideX + i;
              if (onto[at] != (i < n ? y[at] : x[at])) fail(`${what}: in place, number ${at} is ${onto[at]}`);
            }
          }
        }

        const dx = output<T>(lengthY);
        const dOnto = dy.copy();
        // prettier-ignore
        layerNormBackward<T>(rows, n, x.p, strideX, mean.p, rstd.p, weightP, dy.p, strideX, dx.p, strideY,
          affine ? dWeight.p : 0, affine ? dBias.p : 0);
        expectRows<T>(`dx, ${what}`, rows, n, dx, strideY, dxExpected);
        if (affine) {
          expectClose<T>(`dWeight, ${what}`, dWeight, dWeightExpected);
          expectClose<T>(`dBias, ${what}`, dBias, dBiasExpected);
        }
        if (inPlace) {
          // prettier-ignore
          layerNormBackward<T>(rows, n, x.p, strideX, mean.p, rstd.p, weightP, dOnto.p, strideX, dOnto.p, strideX, 0, 0);
          for (let r = 0; r < rows; r++) {
            for (let i = 0; i < n; i++) {
              const at = r * strideX + i;
              if (dOnto[at] != dx[at]) fail(`${what}: backward in place, number ${at} is ${dOnto[at]}`);
            }
          }
        }
        expectIntact(what);
      }
    }
  }
}

/** A row's bits depend on its numbers alone; a NaN or infinity affects no other row. */
function rowsApart<T>(): void {
  const n = 7;
  const x = input<T>(3 * n);
  const all = output<T>(3 * n);
  layerNormForward<T>(3, n, x.p, n, 0, 0, <T>EPS, all.p, n, 0, 0);
  for (let r = 0; r < 3; r++) {
    const row = new Buffer<T>(n);
    const expected = new Buffer<T>(n);
    for (let i = 0; i < n; i++) {
      row[i] = x[r * n + i];
      expected[i] = all[r * n + i];
    }
    const y = output<T>(n);
    layerNormForward<T>(1, n, row.p, n, 0, 0, <T>EPS, y.p, n, 0, 0);
    expectSame<T>(`row ${r}`, y, expected);
  }
  for (let at = 0; at < n; at++) {
    const broken = x.copy();
    broken[n + at] = at & 1 ? <T>NaN : <T>Infinity;
    const y = output<T>(3 * n);
    layerNormForward<T>(3, n, broken.p, n, 0, 0, <T>EPS, y.p, n, 0, 0);
    for (let i = 0; i < 3 * n; i++) {
      const same = y[i] == all[i];
      if (same == (i >= n && i < 2 * n)) fail(`a row with ${broken[n + at]} at ${at}: number ${i} is ${y[i]}`);
    }
  }
  expectIntact("rows");
}

/** A constant row has variance 0 and becomes the bias; numbers far from 0 keep their variance. */
function constants<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const n = SIZES[s];
    const x = new Buffer<T>(n).fill(2.5);
    const bias = input<T>(n);
    const y = output<T>(n);
    layerNormForward<T>(1, n, x.p, n, 0, bias.p, <T>1e-5, y.p, n, 0, 0);
    expectSame<T>(`constant row of ${n}`, y, bias);
    for (let i = 0; i < n; i++) x[i] = <T>4096 + <T>(i & 1);
    const rstd = output<T>(1);
    layerNormForward<T>(1, n, x.p, n, 0, 0, <T>1e-5, y.p, n, 0, rstd.p);
    const odd = <f64>(n >> 1) / n;
    expectClose<T>(`far row of ${n}`, rstd, [1 / sqrt(odd * (1 - odd) + 1e-5)]);
    expectIntact("constants");
  }
}

/** A row whose variance overflows becomes NaN; its neighbours do not change. */
function overflow<T>(): void {
  const large: StaticArray<f64> = sizeof<T>() == 8 ? [1e155, 1e200, 1e308, 1.7e308] : [2e19, 1e25, 1e38, 3e38];
  for (let n = 2; n <= 9; n++) {
    for (let i = 0; i < large.length; i++) {
      const x = input<T>(3 * n).copy();
      for (let j = 0; j < n; j++) x[n + j] = <T>(j & 1 ? large[i] : -large[i]);
      const y = output<T>(3 * n);
      const rstd = output<T>(3);
      layerNormForward<T>(3, n, x.p, n, 0, 0, <T>EPS, y.p, n, 0, rstd.p);
      for (let j = 0; j < 3 * n; j++) {
        const inside = j >= n && j < 2 * n;
        if ((y[j] != y[j]) != inside) fail(`a row of ${n} with ${large[i]}: number ${j} is ${y[j]}`);
      }
      if (rstd[1] == rstd[1]) fail(`a row of ${n} with ${large[i]}: rstd is ${rstd[1]}`);
      expectIntact("overflow");
    }
  }
}

describe("layer norm", () => {
  test("a variance that overflows f64", () => overflow<f64>());
  test("a variance that overflows f32", () => overflow<f32>());
  test("sizes f64", () => sizes<f64>());
  test("sizes f32", () => sizes<f32>());
  test("rows f64", () => rowsApart<f64>());
  test("rows f32", () => rowsApart<f32>());
  test("constant and far rows f64", () => constants<f64>());
  test("constant and far rows f32", () => constants<f32>());
});
