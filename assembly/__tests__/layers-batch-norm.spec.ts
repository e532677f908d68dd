// The layers module's batch normalisation, compared with its equations in f64 loops.

import { BatchNorm, batchNormBackward, batchNormForward } from "../layers/batch-norm";
import { Buffer, expectClose, expectIntact, input, output, SIZES, state, wide } from "./helpers";

const EPS: f64 = 0.1; // large: f32 loses little precision where the numbers of a column are nearly equal

/** option: bit 0 weight and bias, 1 some rows do not count, 2 training, 3 dx over dy. */
function check<T>(rows: i32, c: i32, option: i32): void {
  const what = `batch norm of ${rows} x ${c}, option ${option}`;
  const affine = (option & 1) != 0;
  const valid = new Buffer<i32>(rows).fill(1);
  if (option & 2) for (let row = 0; row < rows; row++) valid[row] = row % 3 == 1 ? 0 : 1;
  valid.freeze();
  const training = (option & 4) != 0;
  let count = 0;
  for (let row = 0; row < rows; row++) count += valid[row];
  if (training && count < 2) return;
  const x = input<T>(rows * c, 2);
  const weight = input<T>(c);
  const bias = input<T>(c);
  const runningMean = state<T>(c);
  const runningVar = state<T>(c);
  for (let j = 0; j < c; j++) runningVar[j] = abs(runningVar[j]) as T;
  const dy = state<T>(rows * c);
  const dWeight = state<T>(c);
  const dBias = state<T>(c);
  const means = new StaticArray<f64>(c);
  const rstds = new StaticArray<f64>(c);
  const y = new StaticArray<f64>(rows * c);
  const dx = new StaticArray<f64>(rows * c);
  const dWeights = wide<T>(dWeight);
  const dBiases = wide<T>(dBias);
  const newMean = wide<T>(runningMean);
  const newVar = wide<T>(runningVar);
  for (let j = 0; j < c; j++) {
    let mean: f64 = <f64>runningMean[j];
    let variance: f64 = <f64>runningVar[j];
    if (training) {
      mean = 0;
      variance = 0;
      for (let row = 0; row < rows; row++) if (valid[row]) mean += <f64>x[row * c + j] / count;
      for (let row = 0; row < rows; row++) {
        if (valid[row]) variance += (<f64>x[row * c + j] - mean) ** 2 / count;
      }
      newMean[j] = 0.7 * newMean[j] + 0.3 * mean;
      newVar[j] = 0.7 * newVar[j] + (0.3 * variance * count) / (count - 1);
    }
    const rstd = 1 / sqrt(variance + EPS);
    means[j] = mean;
    rstds[j] = rstd;
    let sum: f64 = 0;
    let dot: f64 = 0;
    const w: f64 = affine ? <f64>weight[j] : 1;
    for (let row = 0; row < rows; row++) {
      if (!valid[row]) continue;
      const xhat = (<f64>x[row * c + j] - mean) * rstd;
      y[row * c + j] = w * xhat + (affine ? <f64>bias[j] : 0);
      sum += <f64>dy[row * c + j];
      dot += <f64>dy[row * c + j] * xhat;
    }
    dWeights[j] += dot;
    dBiases[j] += sum;
    for (let row = 0; row < rows; row++) {
      if (!valid[row]) continue;
      const xhat = (<f64>x[row * c + j] - mean) * rstd;
      const d = <f64>dy[row * c + j];
      dx[row * c + j] = w * rstd * (training ? d - sum / count - (xhat * dot) / count : d);
    }
  }
  const s = new BatchNorm();
  s.eps = EPS;
  s.factor = 0.3;
  s.rows = rows;
  s.c = c;
  s.valid = option & 2 ? valid.p : 0;
  s.count = count;
  s.training = training ? 1 : 0;
  s.x = x.p;
  s.weight = affine ? weight.p : 0;
  s.bias = affine ? bias.p : 0;
  s.runningMean = runningMean.p;
  s.runningVar = runningVar.p;
  const mean = output<T>(c);
  const rstd = output<T>(c);
  const out = output<T>(rows * c);
  const work = output<f64>(2 * c);
  s.mean = mean.p;
  s.rstd = rstd.p;
  s.y = out.p;
  s.work = work.p;
  batchNormForward<T>(s);
  expectClose<T>(`y, ${what}`, out, y, 20);
  expectClose<T>(`mean, ${what}`, mean, means);
  expectClose<T>(`rstd, ${what}`, rstd, rstds, 10);
  expectClose<T>(`running mean, ${what}`, runningMean, newMean);
  expectClose<T>(`running variance, ${what}`, runningVar, newVar, 10);
  mean.freeze();
  rstd.freeze();
  const back = option & 8 ? dy : output<T>(rows * c);
  if (!(option & 8)) dy.freeze();
  s.dy = dy.p;
  s.dx = back.p;
  s.dWeight = affine ? dWeight.p : 0;
  s.dBias = affine ? dBias.p : 0;
  batchNormBackward<T>(s);
  expectClose<T>(`dx, ${what}`, back, dx, 50);
  if (affine) {
    expectClose<T>(`dWeight, ${what}`, dWeight, dWeights, 50);
    expectClose<T>(`dBias, ${what}`, dBias, dBiases, 10);
  }
  expectIntact(what);
}

function sizes<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b++) {
      for (let option = 0; option < 16; option++) check<T>(SIZES[a], SIZES[b], option);
    }
  }
}

describe("layers: batch normalisation", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
});
