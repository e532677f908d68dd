// Reductions over neighbouring axes. A sum of n numbers is that of four partial sums, of the numbers k, k + 4, k + 8 ... each in
// ascending order, added as (0 + 2) + (1 + 3): its bits depend on the numbers and n alone, not on the axis or what lies beside it.

import { at, bytes, fillLanes, lanes, loadLanes, storeLanes } from "../simd";

/** Arguments of a reduction. */
@unmanaged
export class Reduction {
  /** in: [outer,n,inner], dense and row-major. */
  x: usize;
  /** out: [outer,inner]; must not overlap x. */
  out: usize;
  outer: i32;
  n: i32;
  inner: i32;
}

const SUM: i32 = 0;
const MEAN: i32 = 1;
const MAX: i32 = 2;

// @ts-ignore: decorator
@inline
function initial<T>(operation: i32): T {
  return operation == MAX ? <T>-Infinity : <T>0;
}

// @ts-ignore: decorator
@inline
function combine<T>(operation: i32, a: v128, b: v128): v128 {
  return operation == MAX ? v128.max<T>(a, b) : v128.add<T>(a, b);
}

// @ts-ignore: decorator
@inline
function finish<T>(operation: i32, v: v128, n: i32): v128 {
  return operation == MEAN ? v128.div<T>(v, v128.splat<T>(<T>n)) : v;
}

/** n numbers beside each other; the result is in lane 0. */
// @ts-ignore: decorator
@inline
function reduceRow<T>(operation: i32, n: i32, x: usize): v128 {
  const start = initial<T>(operation);
  let low = v128.splat<T>(start); // partial results 0 and 1 (f64), or all four (f32)
  let high = low; // 2 and 3 of f64
  for (let i = 0; i < n; i += 4) {
    const rest = n - i;
    low = combine<T>(operation, low, fillLanes<T>(loadLanes<T>(at<T>(x, i), rest), start, rest));
    if (sizeof<T>() == 8 && rest > 2) {
      high = combine<T>(operation, high, fillLanes<T>(loadLanes<T>(at<T>(x, i + 2), rest - 2), start, rest - 2));
    }
  }
  if (sizeof<T>() == 4) high = v128.shuffle<i32>(low, low, 2, 3, 0, 1);
  const pair = combine<T>(operation, low, high);
  const second = sizeof<T>() == 8 ? v128.shuffle<i64>(pair, pair, 1, 0) : v128.shuffle<i32>(pair, pair, 1, 0, 3, 2);
  return finish<T>(operation, combine<T>(operation, pair, second), n);
}

/** The columns of [n,inner]: lanes of neighbours side by side. */
// @ts-ignore: decorator
@inline
function reduceColumns<T>(operation: i32, n: i32, inner: i32, x: usize, out: usize): void {
  const step = bytes<T>(inner);
  const start = v128.splat<T>(initial<T>(operation));
  for (let j = 0; j < inner; j += lanes<T>()) {
    const rest = inner - j;
    let p = at<T>(x, j);
    let v0 = start;
    let v1 = start;
    let v2 = start;
    let v3 = start;
    for (let k = 0; k < n; k += 4) {
      v0 = combine<T>(operation, v0, loadLanes<T>(p, rest));
      if (k + 1 < n) v1 = combine<T>(operation, v1, loadLanes<T>(p + step, rest));
      if (k + 2 < n) v2 = combine<T>(operation, v2, loadLanes<T>(p + 2 * step, rest));
      if (k + 3 < n) v3 = combine<T>(operation, v3, loadLanes<T>(p + 3 * step, rest));
      p += 4 * step;
    }
    const all = combine<T>(operation, combine<T>(operation, v0, v2), combine<T>(operation, v1, v3));
    storeLanes<T>(at<T>(out, j), finish<T>(operation, all, n), rest);
  }
}

// @ts-ignore: decorator
@inline
function reduce<T>(operation: i32, s: Reduction): void {
  let x = s.x;
  let out = s.out;
  for (let i = 0; i < s.outer; i++) {
    if (s.inner == 1) storeLanes<T>(out, reduceRow<T>(operation, s.n, x), 1);
    else reduceColumns<T>(operation, s.n, s.inner, x, out);
    x += <usize>s.n * bytes<T>(s.inner);
    out += bytes<T>(s.inner);
  }
}

/** out = the sums over n; 0 for n = 0. */
export function sum<T>(s: Reduction): void {
  reduce<T>(SUM, s);
}

/** out = the sums over n, divided by n; NaN for n = 0. */
export function mean<T>(s: Reduction): void {
  reduce<T>(MEAN, s);
}

/** out = the largest of n >= 1 numbers; NaN where one of them is NaN. */
export function max<T>(s: Reduction): void {
  reduce<T>(MAX, s);
}
