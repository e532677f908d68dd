// The layers module's convolution, forward bit by bit and backward in f64 loops, and sequences laid out row by row.

import {
  conv1dBackward,
  conv1dForward,
  conv1dPack,
  conv1dPackedBytes,
  conv1dWorkBytes,
  Convolution,
} from "../layers/conv";
import { fromRows, StepsOfRows, toRows } from "../layers/steps";
import {
  Buffer,
  expectClose,
  expectIntact,
  expectSame,
  input,
  maddScalar,
  output,
  SIZES,
  state,
  wide,
} from "./helpers";
import { scratch } from "./scratch";

/** Steps of x that `count` outputs read. */
function stepsOf(s: Convolution, count: i32): i32 {
  return (count - 1) * s.stride + (s.taps - 1) * s.dilation + 1;
}

/** One convolution with `n` rows of at most `t` outputs, forward and backward. */
function check<T>(
  n: i32,
  t: i32,
  c: i32,
  o: i32,
  taps: i32,
  stride: i32,
  dilation: i32,
  groups: i32,
  bias: bool,
): void {
  assert(scratch != 0);
  const what = `${n} rows of ${t}, ${c} to ${o} channels, ${taps} taps, stride ${stride}, dilation ${dilation}, ${groups} groups`;
  const s = new Convolution();
  s.n = n;
  s.t = t;
  s.c = c;
  s.o = o;
  s.taps = taps;
  s.stride = stride;
  s.dilation = dilation;
  s.groups = groups;
  const counts = new Buffer<i32>(n);
  for (let row = 0; row < n; row++) counts[row] = row == 0 ? t : (row * 5) % (t + 1);
  counts.freeze();
  const steps = stepsOf(s, t);
  const width = c / groups;
  const x = input<T>(n * steps * c);
  const weight = input<T>(o * width * taps);
  const b = input<T>(o);
  const gap = 2;
  const rowsApart = 3;
  const y = output<T>(n * (t * (o + gap) + rowsApart));
  s.counts = counts.p;
  s.x = x.p;
  s.xRow = steps * c;
  s.weight = weight.p;
  s.bias = bias ? b.p : 0;
  s.y = y.p;
  s.yStep = o + gap;
  s.yRow = t * (o + gap) + rowsApart;
  const panels = output<T>(<i32>(conv1dPackedBytes<T>(s) / sizeof<T>()));
  s.panels = panels.p;
  conv1dPack<T>(s);
  panels.freeze();
  conv1dForward<T>(s);

  const dy = input<T>(n * t * o);
  const dx = state<T>(n * steps * c);
  const dWeight = state<T>(o * width * taps);
  const dBias = state<T>(o);
  const expected = output<T>(y.length);
  const dxExpected = wide<T>(dx);
  const dWeightExpected = wide<T>(dWeight);
  const dBiasExpected = wide<T>(dBias);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < t; i++) {
      for (let j = 0; j < o; j++) {
        const at = row * s.yRow + i * s.yStep + j;
        expected[at] = 0;
        if (i >= counts[row]) continue;
        const d = <f64>dy[(row * t + i) * o + j];
        const first = (j / (o / groups)) * width;
        let sum: T = bias ? b[j] : 0;
        for (let k = 0; k < taps; k++) {
          for (let p = 0; p < width; p++) {
            const from = row * s.xRow + (i * stride + k * dilation) * c + first + p;
            const w = (j * width + p) * taps + k;
            sum = maddScalar<T>(x[from], weight[w], sum);
            dxExpected[from] += <f64>weight[w] * d;
            dWeightExpected[w] += <f64>x[from] * d;
          }
        }
        dBiasExpected[j] += d;
        expected[at] = sum;
      }
    }
  }
  expectSame<T>(`y of ${what}`, y, expected);

  s.dy = dy.p;
  s.dx = dx.p;
  s.dWeight = dWeight.p;
  s.dBias = dBias.p;
  const work = output<T>(<i32>(conv1dWorkBytes<T>(s) / sizeof<T>()));
  s.work = work.p;
  conv1dBackward<T>(s);
  expectClose<T>(`dx of ${what}`, dx, dxExpected, 10);
  expectClose<T>(`dWeight of ${what}`, dWeight, dWeightExpected, 10);
  expectClose<T>(`dBias of ${what}`, dBias, dBiasExpected, 10);
  expectIntact(what);
}

function sizes<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b += 2)
      check<T>(2, SIZES[b], SIZES[a], SIZES[SIZES.length - 1 - a], 3, 1, 1, 1, true);
    check<T>(1, 5, SIZES[a], 4, SIZES[a], 1, 1, 1, false);
    check<T>(3, SIZES[a], 3, 5, 2, 3, 1, 1, true);
    check<T>(2, SIZES[a], 5, 3, 3, 2, 2, 1, true);
    check<T>(2, 4, SIZES[a], SIZES[a], 3, 1, 2, SIZES[a], true); // depthwise
    check<T>(2, 4, SIZES[a], SIZES[a], 4, 2, 1, SIZES[a], false);
    check<T>(2, 4, SIZES[a], 2 * SIZES[a], 3, 1, 1, SIZES[a], true); // two outputs of each channel
    check<T>(2, 4, 3 * SIZES[a], 6, 2, 1, 3, 3, true);
  }
  check<T>(1, 3, 130, 9, 3, 1, 1, 1, true); // blocks of k
}

/** A batch of 3 rows of 5 steps of c numbers, time first and batch first. */
function rows<T>(): void {
  for (let k = 0; k < SIZES.length; k++) {
    for (let batchFirst = 0; batchFirst < 2; batchFirst++) {
      const c = SIZES[k];
      const x = input<T>(15 * c);
      const lengths = new Buffer<i32>(3);
      lengths[0] = 5;
      lengths[2] = 2;
      lengths.freeze();
      const s = new StepsOfRows();
      s.n = 3;
      s.c = c;
      s.lengths = lengths.p;
      s.tensor = x.p;
      s.t = 5;
      s.stepStride = batchFirst ? c : 3 * c;
      s.rowStride = batchFirst ? 5 * c : c;
      s.left = k % 3;
      s.steps = 4 + k; // 4: the last steps are left out
      const rows = output<T>(3 * s.steps * c);
      s.rows = rows.p;
      toRows<T>(s);
      const back = output<T>(15 * c);
      s.tensor = back.p;
      fromRows<T>(s);
      const expected = new Buffer<T>(rows.length).fill(0);
      const expectedBack = new Buffer<T>(back.length).fill(0);
      for (let row = 0; row < 3; row++) {
        for (let i = 0; i < lengths[row] && i < s.steps - s.left; i++) {
          for (let j = 0; j < c; j++) {
            const at = i * s.stepStride + row * s.rowStride + j;
            expected[(row * s.steps + s.left + i) * c + j] = x[at];
            expectedBack[at] = x[at];
          }
        }
      }
      const what = `${c} numbers, batch first ${batchFirst}`;
      expectSame<T>(what, rows, expected);
      expectSame<T>(what, back, expectedBack);
      expectIntact(what);
    }
  }
}

describe("layers: convolution", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
  test("sequences row by row f64", () => rows<f64>());
  test("sequences row by row f32", () => rows<f32>());
});
