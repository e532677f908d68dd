// The graph module's reductions, against scalar loops; the bits of a sum do not depend on the axis.

import { reduce, Reduction } from "../graph/reduce";
import { logLanes } from "../logarithm";
import * as math from "../math";
import {
  bitsOf,
  Buffer,
  expectClose,
  expectIntact,
  expectSame,
  fail,
  input,
  maddScalar,
  output,
  wide,
} from "./helpers";

const NAMES: StaticArray<string> = [
  "sum",
  "mean",
  "max",
  "min",
  "prod",
  "sumSquares",
  "l1",
  "l2",
  "logSum",
  "logSumExp",
];
const MAX: i32 = 2;
const MIN: i32 = 3;
const PROD: i32 = 4;
const LOG_SUM: i32 = 8;
const LOG_SUM_EXP: i32 = 9;
const SIZES: StaticArray<i32> = [1, 2, 3, 4, 5, 7, 8, 17, 33];

function run<T>(operation: i32, x: Buffer<T>, out: Buffer<T>, outer: i32, n: i32, inner: i32): void {
  const s = new Reduction();
  s.operation = operation;
  s.x = x.p;
  s.out = out.p;
  s.outer = outer;
  s.n = n;
  s.inner = inner;
  reduce<T>(s);
}

function lane<T>(v: v128): T {
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(v, 0) : f32x4.extract_lane(v, 0));
}

function log<T>(x: T): T {
  return lane<T>(logLanes<T>(v128.splat<T>(x)));
}

/** One more number of a partial sum. */
function extended<T>(operation: i32, part: T, x: T, shift: T): T {
  if (operation == MAX) return max<T>(part, x);
  if (operation == MIN) return min<T>(part, x);
  if (operation == PROD) return (part * x) as T;
  if (operation == 5 || operation == 7) return maddScalar<T>(x, x, part);
  if (operation == 6) return <T>(part + abs<T>(x));
  if (operation == LOG_SUM_EXP) return <T>(part + lane<T>(math.exp<T>(v128.splat<T>(<T>(x - shift)))));
  return (part + x) as T;
}

function joined<T>(operation: i32, a: T, b: T): T {
  if (operation == MAX) return max<T>(a, b);
  if (operation == MIN) return min<T>(a, b);
  return operation == PROD ? <T>(a * b) : <T>(a + b);
}

/** The reduction of numbers first, first + step ... in the order at the head of reduce.ts. */
function exact<T>(operation: i32, x: Buffer<T>, first: i32, n: i32, step: i32): T {
  const shift = operation == LOG_SUM_EXP ? exact<T>(MAX, x, first, n, step) : <T>0;
  const none: T = operation == MAX ? <T>-Infinity : operation == MIN ? <T>Infinity : operation == PROD ? 1 : 0;
  const parts: T[] = [none, none, none, none];
  for (let k = 0; k < n; k++) parts[k % 4] = extended<T>(operation, parts[k % 4], x[first + k * step], shift);
  const total = joined<T>(
    operation,
    joined<T>(operation, parts[0], parts[2]),
    joined<T>(operation, parts[1], parts[3]),
  );
  if (operation == 1) return (total / <T>n) as T;
  if (operation == 7) return sqrt<T>(total);
  if (operation == LOG_SUM) return log<T>(total);
  return operation == LOG_SUM_EXP ? <T>(log<T>(total) + shift) : total;
}

function reductions<T>(): void {
  for (let operation = 0; operation < NAMES.length; operation++) {
    for (let outer = 1; outer <= 3; outer += 2) {
      for (let i = 0; i < SIZES.length; i++) {
        for (let j = 0; j < SIZES.length; j++) {
          const n = SIZES[i];
          const inner = SIZES[j];
          const x = input<T>(outer * n * inner);
          const expected = new Buffer<T>(outer * inner);
          for (let k = 0; k < outer * inner; k++) {
            expected[k] = exact<T>(operation, x, (k / inner) * n * inner + (k % inner), n, inner);
          }
          const out = output<T>(outer * inner);
          run<T>(operation, x, out, outer, n, inner);
          const what = `${NAMES[operation]} [${outer},${n},${inner}]`;
          expectSame<T>(what, out, expected);
          expectIntact(what);
        }
      }
    }
  }
}

/** Against running sums in f64. */
function accuracy<T>(): void {
  const n = 1001;
  const x = input<T>(n, 3);
  const values = wide<T>(x);
  let total: f64 = 0;
  let squares: f64 = 0;
  let sizes: f64 = 0;
  let exponentials: f64 = 0;
  for (let k = 0; k < n; k++) {
    total += values[k];
    squares += values[k] * values[k];
    sizes += abs(values[k]);
    exponentials += NativeMath.exp(values[k]);
  }
  const log = NativeMath.log(exponentials);
  const expected: StaticArray<f64> = [total, total / n, 0, 0, 0, squares, sizes, NativeMath.sqrt(squares), 0, log];
  for (let operation = 0; operation < NAMES.length; operation++) {
    if (expected[operation] == 0) continue;
    const out = output<T>(1);
    run<T>(operation, x, out, 1, n, 1);
    expectClose<T>(`${NAMES[operation]} of 1001`, out, [expected[operation]], 30);
  }
  expectIntact("accuracy");
}

/** A NaN in any place, infinities, and nothing to add. */
function specials<T>(): void {
  for (let operation = 0; operation < NAMES.length; operation++) {
    for (let inner = 1; inner <= 3; inner += 2) {
      for (let n = 1; n <= 9; n++) {
        for (let place = 0; place < n * inner; place++) {
          const x = new Buffer<T>(n * inner).fill(2);
          x[place] = <T>NaN;
          const out = output<T>(inner);
          run<T>(operation, x, out, 1, n, inner);
          for (let j = 0; j < inner; j++) {
            if ((out[j] != out[j]) != (j == place % inner))
              fail(`${NAMES[operation]} with a NaN at ${place} is ${out[j]}`);
          }
        }
      }
      const none = output<T>(0);
      const out = output<T>(2 * inner);
      run<T>(operation, none, out, 2, 0, inner);
      const expected = exact<T>(operation, none, 0, 0, 1);
      const log = operation == LOG_SUM || operation == LOG_SUM_EXP;
      for (let j = 0; j < 2 * inner; j++) {
        if (bitsOf<T>(out[j]) != bitsOf<T>(log ? <T>-Infinity : expected))
          fail(`${NAMES[operation]} of nothing is ${out[j]}`);
      }
    }
  }
  expectIntact("specials");
}

/** logSumExp where e^x overflows or is 0 for all x, and of infinities. */
function logSumExps<T>(): void {
  for (let inner = 1; inner <= 2; inner++) {
    const values: T[] = [1000, -1000, <T>-Infinity, <T>Infinity];
    const expected: f64[] = [1000 + NativeMath.log(5), -1000 + NativeMath.log(5), -Infinity, Infinity];
    for (let i = 0; i < values.length; i++) {
      const x = new Buffer<T>(5 * inner).fill(values[i]);
      const out = output<T>(inner);
      run<T>(LOG_SUM_EXP, x, out, 1, 5, inner);
      const results = new StaticArray<f64>(inner).fill(expected[i]);
      expectClose<T>(`logSumExp of ${values[i]}`, out, results);
      const mixed = new Buffer<T>(5 * inner).fill(<T>-Infinity);
      for (let j = 0; j < inner; j++) mixed[3 * inner + j] = values[i];
      run<T>(LOG_SUM_EXP, mixed, out, 1, 5, inner);
      for (let j = 0; j < inner; j++) if (out[j] != values[i]) fail(`logSumExp of ${values[i]} alone is ${out[j]}`);
    }
  }
  expectIntact("logSumExp");
}

describe("graph: reductions", () => {
  test("every size f64", () => reductions<f64>());
  test("every size f32", () => reductions<f32>());
  test("accuracy f64", () => accuracy<f64>());
  test("accuracy f32", () => accuracy<f32>());
  test("NaN, nothing f64", () => specials<f64>());
  test("NaN, nothing f32", () => specials<f32>());
  test("logSumExp f64", () => logSumExps<f64>());
  test("logSumExp f32", () => logSumExps<f32>());
});
