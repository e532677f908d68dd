// The graph module's normalisation by given statistics, bit by bit.

import { Normalization, normalize } from "../graph/norm";
import { expectIntact, expectSame, input, maddScalar, output, SIZES, state } from "./helpers";

function check<T>(images: i32, channels: i32, n: i32, statistics: bool): void {
  const what = `${images} images, ${channels} channels of ${n}, statistics ${statistics}`;
  const x = input<T>(images * channels * n);
  const y = output<T>(x.length);
  const mean = input<T>(channels);
  const variance = state<T>(channels);
  for (let c = 0; c < channels; c++) variance[c] = abs<T>(variance[c]);
  variance.freeze();
  const scale = input<T>(channels);
  const bias = input<T>(channels);
  const s = new Normalization();
  s.epsilon = 0.5;
  s.planes = images * channels;
  s.channels = channels;
  s.n = n;
  s.x = x.p;
  s.y = y.p;
  s.mean = statistics ? mean.p : 0;
  s.variance = statistics ? variance.p : 0;
  s.scale = scale.p;
  s.bias = bias.p;
  normalize<T>(s);
  const expected = output<T>(x.length);
  for (let i = 0; i < x.length; i++) {
    const c = (i / n) % channels;
    let factor = scale[c];
    if (statistics) factor /= sqrt<T>(variance[c] + <T>0.5);
    expected[i] = maddScalar<T>(x[i] - (statistics ? mean[c] : 0), factor, bias[c]);
  }
  expectSame<T>(what, y, expected);
  expectIntact(what);
}

function sizes<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b++) check<T>(1 + (a % 3), SIZES[a], SIZES[b], b % 2 == 0);
  }
}

describe("graph: normalisation", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
});
