// Pooling of tensors [N,C,...] by tables of windows (windows.ts): of each channel, the largest number or the mean of the window of
// each position. Padding is -Infinity or 0 in the copy that has it. Taps are taken in their order, so that the bits of an output
// depend on its window alone.

import { at, bytes, lanes, loadLanes } from "../simd";
import { areEverySecond, areNeighbours, gather, loadEverySecond, offset, put } from "./windows";

/** Arguments of the kernels. Strides are in numbers. */
@unmanaged
export class PoolWindows {
  /** Images times channels, and how far apart they are in x. */
  planes: i32;
  xPlane: i32;
  x: usize;
  /** [taps] and [count] i32: offsets of taps and of positions, in bytes, ascending. */
  taps: i32;
  offsets: usize;
  positions: usize;
  count: i32;
  /** [planes,count]. */
  y: usize;
  /** [count] numbers by which sums are divided. */
  divisors: usize;
  /** Indices: [planes,count] i32; rows and columns of x, and whether columns are the outer ones in them. */
  indices: usize;
  rows: i32;
  columns: i32;
  columnMajor: i32;
  /** Padding before the first row and column, and the length of a row with padding. */
  top: i32;
  left: i32;
  paddedRow: i32;
}

const MAX: i32 = 0;
const MEAN: i32 = 1;

// @ts-ignore: decorator
@inline
function combine<T>(operation: i32, a: v128, b: v128): v128 {
  return operation == MAX ? v128.max<T>(a, b) : v128.add<T>(a, b);
}

// @ts-ignore: decorator
@inline
function pool<T>(operation: i32, s: PoolWindows): void {
  let x = s.x;
  let y = s.y;
  const start = v128.splat<T>(<T>(operation == MAX ? -Infinity : 0));
  for (let plane = 0; plane < s.planes; plane++) {
    for (let i = 0; i < s.count; i += lanes<T>()) {
      const rest = s.count - i;
      let result = start;
      const dense = areNeighbours<T>(s.positions, i, rest, lanes<T>());
      const second = areEverySecond<T>(s.positions, i, rest);
      const position = offset(s.positions, i);
      for (let t = 0; t < s.taps; t++) {
        const p = x + offset(s.offsets, t);
        let v: v128;
        if (dense) v = v128.load(p + position);
        else if (second) v = loadEverySecond(p + position);
        else v = gather<T>(p, s.positions, i, rest);
        result = combine<T>(operation, result, v);
      }
      if (operation == MEAN) result = v128.div<T>(result, loadLanes<T>(at<T>(s.divisors, i), rest));
      put<T>(result, y, 0, i, rest);
    }
    x += bytes<T>(s.xPlane);
    y += bytes<T>(s.count);
  }
}

/** y = the largest numbers; NaN where a window has one. */
export function poolMax<T>(s: PoolWindows): void {
  pool<T>(MAX, s);
}

/** y = the sums, divided. */
export function poolMean<T>(s: PoolWindows): void {
  pool<T>(MEAN, s);
}

/** indices = where in x without padding the first tap is that has the number of y (or is NaN with it); 0 where it is padding. */
export function poolIndices<T>(s: PoolWindows): void {
  let x = s.x;
  let y = s.y;
  let to = s.indices;
  for (let plane = 0; plane < s.planes; plane++) {
    for (let i = 0; i < s.count; i++) {
      const largest = load<T>(y);
      const position = offset(s.positions, i);
      let index = 0;
      for (let t = 0; t < s.taps; t++) {
        const p = position + offset(s.offsets, t);
        const v = load<T>(x + p);
        if (v != largest && (v == v || largest == largest)) continue;
        const number = <i32>(p / sizeof<T>());
        const row = number / s.paddedRow - s.top;
        const column = (number % s.paddedRow) - s.left;
        if (<u32>row >= <u32>s.rows || <u32>column >= <u32>s.columns) continue;
        index = s.columnMajor ? column * s.rows + row : row * s.columns + column;
        break;
      }
      store<i32>(to, plane * s.rows * s.columns + index);
      y += bytes<T>(1);
      to += 4;
    }
    x += bytes<T>(s.xPlane);
  }
}
