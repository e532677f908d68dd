// Reductions over neighbouring axes. A sum of n numbers is that of four partial sums, of the numbers k, k + 4, k + 8 ... each in
// ascending order, added as (0 + 2) + (1 + 3): its bits depend on the numbers and n alone, not on the axis or what lies beside it. So it
// is with products.

import { logLanes } from "../logarithm";
import * as math from "../math";
import { at, bytes, fillLanes, lanes, loadLanes, loadSplat, madd, storeLanes } from "../simd";

/** Arguments of a reduction. */
@unmanaged
export class Reduction {
  /** One of the codes below. */
  operation: i32;
  /** in: [outer,n,inner], dense and row-major. */
  x: usize;
  /** out: [outer,inner]; must not overlap x. */
  out: usize;
  outer: i32;
  n: i32;
  inner: i32;
}

// Codes of the operations.
const SUM: i32 = 0;
const MEAN: i32 = 1;
const MAX: i32 = 2; // NaN where a number is
const MIN: i32 = 3;
const PROD: i32 = 4;
const SUM_SQUARES: i32 = 5;
const L1: i32 = 6; // the sum of |x|
const L2: i32 = 7; // the root of the sum of squares
const LOG_SUM: i32 = 8;
const LOG_SUM_EXP: i32 = 9; // log(sum of e^x), by way of the largest x

/** What a result is before there are numbers. */
// @ts-ignore: decorator
@inline
function initial<T>(operation: i32): T {
  if (operation == MAX) return <T>-Infinity;
  if (operation == MIN) return <T>Infinity;
  return operation == PROD ? 1 : 0;
}

/** A number that changes no result. */
// @ts-ignore: decorator
@inline
function neutral<T>(operation: i32): T {
  return operation == LOG_SUM_EXP ? <T>-Infinity : initial<T>(operation);
}

/** Joins results. */
// @ts-ignore: decorator
@inline
function join<T>(operation: i32, a: v128, b: v128): v128 {
  if (operation == MAX) return v128.max<T>(a, b);
  if (operation == MIN) return v128.min<T>(a, b);
  return operation == PROD ? v128.mul<T>(a, b) : v128.add<T>(a, b);
}

/** A result with one more number, less `shift` where that is an exponent. */
function extendAny<T>(operation: i32, result: v128, x: v128, shift: v128): v128 {
  if (operation == SUM_SQUARES || operation == L2) return madd<T>(x, x, result);
  if (operation == L1) return v128.add<T>(result, v128.abs<T>(x));
  if (operation == LOG_SUM_EXP) return v128.add<T>(result, math.exp<T>(v128.sub<T>(x, shift)));
  return join<T>(operation, result, x);
}

// @ts-ignore: decorator
@inline
function extend<T>(operation: i32, result: v128, x: v128, shift: v128): v128 {
  if (operation == SUM || operation == MAX) return join<T>(operation, result, x);
  return extendAny<T>(operation, result, x, shift);
}

/** The results of a reduction other than a sum or product, of joined numbers. */
function finishAny<T>(operation: i32, v: v128, shift: v128): v128 {
  return operation == L2 ? v128.sqrt<T>(v) : v128.add<T>(logLanes<T>(v), shift);
}

// @ts-ignore: decorator
@inline
function finish<T>(operation: i32, v: v128, n: i32, shift: v128): v128 {
  if (operation == MEAN) return v128.div<T>(v, v128.splat<T>(<T>n));
  return operation < L2 ? v : finishAny<T>(operation, v, shift);
}

/** The largest numbers, and 0 for those that are not finite. */
// @ts-ignore: decorator
@inline
function shiftOf<T>(largest: v128): v128 {
  return v128.and(largest, v128.eq<T>(v128.sub<T>(largest, largest), v128.splat<T>(0)));
}

/** n numbers beside each other; the result is in lane 0. */
// @ts-ignore: decorator
@inline
function reduceRow<T>(operation: i32, n: i32, x: usize, shift: v128): v128 {
  const other = neutral<T>(operation);
  let low = v128.splat<T>(initial<T>(operation)); // partial results 0 and 1 (f64), or all four (f32)
  let high = low; // 2 and 3 of f64
  for (let i = 0; i < n; i += 4) {
    const rest = n - i;
    low = extend<T>(operation, low, fillLanes<T>(loadLanes<T>(at<T>(x, i), rest), other, rest), shift);
    if (sizeof<T>() == 8 && rest > 2) {
      const next = fillLanes<T>(loadLanes<T>(at<T>(x, i + 2), rest - 2), other, rest - 2);
      high = extend<T>(operation, high, next, shift);
    }
  }
  if (sizeof<T>() == 4) high = v128.shuffle<i32>(low, low, 2, 3, 0, 1);
  const pair = join<T>(operation, low, high);
  const second = sizeof<T>() == 8 ? v128.shuffle<i64>(pair, pair, 1, 0) : v128.shuffle<i32>(pair, pair, 1, 0, 3, 2);
  return join<T>(operation, pair, second);
}

/** min(inner, lanes) columns of [n,inner], side by side. */
// @ts-ignore: decorator
@inline
function reduceColumns<T>(operation: i32, n: i32, inner: i32, rest: i32, x: usize, shift: v128): v128 {
  const step = bytes<T>(inner);
  let v0 = v128.splat<T>(initial<T>(operation));
  let v1 = v0;
  let v2 = v0;
  let v3 = v0;
  for (let k = 0; k < n; k += 4) {
    v0 = extend<T>(operation, v0, loadLanes<T>(x, rest), shift);
    if (k + 1 < n) v1 = extend<T>(operation, v1, loadLanes<T>(x + step, rest), shift);
    if (k + 2 < n) v2 = extend<T>(operation, v2, loadLanes<T>(x + 2 * step, rest), shift);
    if (k + 3 < n) v3 = extend<T>(operation, v3, loadLanes<T>(x + 3 * step, rest), shift);
    x += 4 * step;
  }
  return join<T>(operation, join<T>(operation, v0, v2), join<T>(operation, v1, v3));
}

/** The results for min(inner, lanes) neighbours: of a row where inner is 1, else of columns. */
// @ts-ignore: decorator
@inline
function partial<T>(operation: i32, s: Reduction, rest: i32, x: usize, shift: v128): v128 {
  if (s.inner == 1) return reduceRow<T>(operation, s.n, x, shift);
  return reduceColumns<T>(operation, s.n, s.inner, rest, x, shift);
}

/**
 * out = the reductions over n.
 *
 * @param extension an operation that takes numbers in as `operation` does
 */
// @ts-ignore: decorator
@inline
function all<T>(extension: i32, operation: i32, s: Reduction): void {
  let x = s.x;
  let out = s.out;
  for (let i = 0; i < s.outer; i++) {
    for (let j = 0; j < s.inner; j += lanes<T>()) {
      const rest = s.inner - j;
      const to = at<T>(out, j);
      let shift = v128.splat<T>(0);
      if (extension == LOG_SUM_EXP) shift = shiftOf<T>(s.inner == 1 ? loadSplat<T>(to) : loadLanes<T>(to, rest));
      const result = partial<T>(extension, s, rest, at<T>(x, j), shift);
      storeLanes<T>(to, finish<T>(operation, result, s.n, shift), rest);
    }
    x += <usize>s.n * bytes<T>(s.inner);
    out += bytes<T>(s.inner);
  }
}

/** out = the reductions over n by an operation that is not a sum. */
function other<T>(operation: i32, s: Reduction): void {
  all<T>(operation, operation, s);
}

/** out = the reductions over n. Most time goes into sums: their loop is its own. */
export function reduce<T>(s: Reduction): void {
  const operation = s.operation;
  if (operation == SUM || operation == MEAN || operation == LOG_SUM) return all<T>(SUM, operation, s);
  if (operation == LOG_SUM_EXP) other<T>(MAX, s);
  other<T>(operation, s);
}
