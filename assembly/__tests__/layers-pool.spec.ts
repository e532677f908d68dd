// The layers module's pooling, compared with plain loops.

import { maxPool, maxPoolBackward, meanPool, meanPoolBackward, Pool } from "../layers/pool";
import { Buffer, expectClose, expectIntact, expectSame, fail, input, output, SIZES, wide } from "./helpers";

/** Three rows: t steps, one step, none. kind: 0 maximum, 1 mean over taps, 2 mean over steps. */
function check<T>(kind: i32, t: i32, c: i32, taps: i32, stride: i32, left: i32, batchFirst: bool): void {
  const what = `kind ${kind}, ${t} x ${c}, ${taps} taps, stride ${stride}, left ${left}`;
  const s = new Pool();
  const lengths = new Buffer<i32>(3);
  const counts = new Buffer<i32>(3);
  lengths[0] = t;
  lengths[1] = 1;
  for (let row = 0; row < 2; row++) counts[row] = max(0, (lengths[row] + 2 * left - taps + stride) / stride);
  if (counts[0] == 0) return;
  lengths.freeze();
  counts.freeze();
  s.n = 3;
  s.c = c;
  s.t = t;
  s.outputs = counts[0];
  s.lengths = lengths.p;
  s.counts = counts.p;
  s.taps = taps;
  s.stride = stride;
  s.left = left;
  s.padded = kind == 1 ? 1 : 0;
  const x = input<T>(3 * t * c);
  const y = output<T>(3 * s.outputs * c);
  const where = output<T>(3 * s.outputs * c);
  s.x = x.p;
  s.xStep = batchFirst ? c : 3 * c;
  s.xRow = batchFirst ? t * c : c;
  s.y = y.p;
  s.yStep = batchFirst ? c : 3 * c;
  s.yRow = batchFirst ? s.outputs * c : c;
  s.where = where.p;
  if (kind == 0) maxPool<T>(s);
  else meanPool<T>(s);
  const dy = input<T>(y.length);
  const dx = output<T>(x.length);
  const expected = new StaticArray<f64>(y.length);
  const dxExpected = new StaticArray<f64>(x.length);
  for (let row = 0; row < 3; row++) {
    for (let i = 0; i < counts[row]; i++) {
      for (let j = 0; j < c; j++) {
        const at = row * s.yRow + i * s.yStep + j;
        let best = -1;
        let sum: f64 = 0;
        let seen = 0;
        for (let k = 0; k < taps; k++) {
          const step = i * stride - left + k;
          if (step < 0 || step >= lengths[row]) continue;
          const from = row * s.xRow + step * s.xStep + j;
          if (best < 0 || x[from] > x[best]) best = from;
          sum += <f64>x[from];
          seen++;
        }
        const divisor = kind == 1 ? taps : seen;
        expected[at] = kind == 0 ? <f64>x[best] : sum / divisor;
        for (let k = 0; k < taps; k++) {
          const step = i * stride - left + k;
          if (step < 0 || step >= lengths[row]) continue;
          const from = row * s.xRow + step * s.xStep + j;
          if (kind > 0) dxExpected[from] += <f64>dy[at] / divisor;
          else if (from == best) dxExpected[from] += <f64>dy[at];
        }
      }
    }
  }
  expectClose<T>(`y, ${what}`, y, expected);
  s.x = dx.p;
  s.y = dy.p;
  if (kind == 0) maxPoolBackward<T>(s);
  else meanPoolBackward<T>(s);
  expectClose<T>(`dx, ${what}`, dx, dxExpected);
  s.x = x.p;
  s.y = y.p;
  s.where = 0;
  const before = y.copy();
  if (kind == 0) maxPool<T>(s);
  expectSame<T>(what, y, before);
  expectIntact(what);
}

function sizes<T>(): void {
  for (let kind = 0; kind < 3; kind++) {
    for (let a = 0; a < SIZES.length; a++) {
      for (let b = 0; b < SIZES.length; b++) {
        const c = SIZES[a];
        const t = SIZES[b];
        check<T>(kind, t, c, t, 1, 0, false);
        check<T>(kind, t, c, 2, 2, 1, true);
        check<T>(kind, t, c, 3, 1, 1, false);
        check<T>(kind, t, c, 1, 3, 0, true);
      }
    }
  }
}

/** NaN is the maximum, wherever it is; of equal numbers the first gets the gradient. */
function specials<T>(): void {
  const counts = new Buffer<i32>(1);
  const lengths = new Buffer<i32>(1);
  counts[0] = 1;
  lengths[0] = 5;
  const s = new Pool();
  s.n = 1;
  s.c = 1;
  s.t = 5;
  s.outputs = 1;
  s.lengths = lengths.p;
  s.counts = counts.p;
  s.taps = 5;
  s.stride = 1;
  s.xStep = 1;
  s.yStep = 1;
  const y = output<T>(1);
  const where = output<T>(1);
  s.y = y.p;
  s.where = where.p;
  for (let i = 0; i < 5; i++) {
    const x = new Buffer<T>(5).fill(2);
    x[i] = <T>NaN;
    s.x = x.p;
    maxPool<T>(s);
    if (y[0] == y[0]) fail(`the maximum beside a NaN at ${i} is ${y[0]}`);
  }
  const x = new Buffer<T>(5).fill(<T>-Infinity);
  s.x = x.p;
  maxPool<T>(s);
  const dx = output<T>(5);
  const dy = new Buffer<T>(1).fill(3);
  s.x = dx.p;
  s.y = dy.p;
  maxPoolBackward<T>(s);
  const expected = new Buffer<T>(5).fill(0);
  expected[0] = 3;
  expectSame<T>("equal numbers", dx, expected);
  assert(wide<T>(y)[0] == -Infinity);
  expectIntact("specials");
}

describe("layers: pooling", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
  test("NaN and equal numbers f64", () => specials<f64>());
  test("NaN and equal numbers f32", () => specials<f32>());
});
