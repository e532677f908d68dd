// The dense layer, to the bit, against one multiply-add after the other.

import { linearBackward, linearForward } from "../linear";
import "./scratch";
import { Buffer, expectIntact, expectSame, input, maddScalar, output, SIZES, state } from "./helpers";

function check<T>(rows: i32, inFeatures: i32, outFeatures: i32): void {
  const what = `linear, ${rows} rows, ${inFeatures} to ${outFeatures}`;
  const x = input<T>(rows * inFeatures);
  const weight = input<T>(outFeatures * inFeatures);
  const bias = input<T>(outFeatures);
  for (let biased = 0; biased < 2; biased++) {
    const expected = new Buffer<T>(rows * outFeatures);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < outFeatures; j++) {
        let sum: T = biased ? bias[j] : 0;
        for (let p = 0; p < inFeatures; p++) {
          sum = maddScalar<T>(x[i * inFeatures + p], weight[j * inFeatures + p], sum);
        }
        expected[i * outFeatures + j] = sum;
      }
    }
    const y = output<T>(rows * outFeatures);
    linearForward<T>(rows, inFeatures, outFeatures, x.p, weight.p, biased ? bias.p : 0, y.p);
    expectSame<T>(`y, ${what}`, y, expected);
  }

  const dy = input<T>(rows * outFeatures);
  const startWeight = state<T>(weight.length);
  const startBias = state<T>(bias.length);
  const dxExpected = new Buffer<T>(x.length).fill(0);
  const dWeightExpected = startWeight.copy();
  const dBiasExpected = startBias.copy();
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < outFeatures; j++) {
      const d = dy[i * outFeatures + j];
      dBiasExpected[j] = dBiasExpected[j] + d;
      for (let p = 0; p < inFeatures; p++) {
        const w = j * inFeatures + p;
        const xi = i * inFeatures + p;
        dxExpected[xi] = maddScalar<T>(d, weight[w], dxExpected[xi]);
        dWeightExpected[w] = maddScalar<T>(d, x[xi], dWeightExpected[w]);
      }
    }
  }
  for (let wanted = 0; wanted < 4; wanted++) {
    const dx = output<T>(x.length);
    const dWeight = startWeight.copy();
    const dBias = startBias.copy();
    const dxP = wanted & 1 ? dx.p : 0;
    const dBiasP = wanted & 2 ? dBias.p : 0;
    linearBackward<T>(rows, inFeatures, outFeatures, x.p, weight.p, dy.p, dxP, dWeight.p, dBiasP);
    expectSame<T>(`dx, ${what}`, dx, wanted & 1 ? dxExpected : output<T>(x.length));
    expectSame<T>(`dW, ${what}`, dWeight, dWeightExpected);
    expectSame<T>(`db, ${what}`, dBias, wanted & 2 ? dBiasExpected : startBias);
  }
  expectIntact(what);
}

function sizes<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    for (let j = 0; j < SIZES.length; j++) {
      check<T>(SIZES[i], SIZES[j], SIZES[(i + 3 * j) % SIZES.length]);
    }
  }
  check<T>(300, 3, 2);
  check<T>(2, 300, 3);
  check<T>(1, 5, 600);
}

describe("linear", () => {
  test("forward and backward f64", () => sizes<f64>());
  test("forward and backward f32", () => sizes<f32>());
});
