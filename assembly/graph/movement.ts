// Moving numbers without arithmetic: one strided copy is every transposition, slice, concatenation and repetition, and a
// strided sum its way back.

import { add } from "../elementwise";
import { at, bytes } from "../simd";

/** Arguments of `move` and `moveAdd`. */
@unmanaged
export class Move {
  /** in. */
  from: usize;
  /** out: must not overlap `from`. */
  to: usize;
  /** in: [rank,4] i32, outermost axis first: length (>= 1), and how many numbers apart its elements are in `from` and in `to`. */
  axes: usize;
  /** >= 1. */
  rank: i32;
}

// @ts-ignore: decorator
@inline
function put<T>(adding: bool, to: usize, value: T): void {
  store<T>(to, adding ? load<T>(to) + value : value);
}

function walk<T>(adding: bool, rank: i32, axis: usize, from: usize, to: usize): void {
  const n = load<i32>(axis);
  const fromStep = bytes<T>(load<i32>(axis, 4));
  const toStep = bytes<T>(load<i32>(axis, 8));
  if (rank > 1) {
    for (let i = 0; i < n; i++) {
      walk<T>(adding, rank - 1, axis + 16, from, to);
      from += fromStep;
      to += toStep;
    }
  } else if (fromStep == sizeof<T>() && toStep == sizeof<T>()) {
    if (adding) add<T>(n, to, from, to);
    else memory.copy(to, from, bytes<T>(n));
  } else {
    for (let i = 0; i < n; i++) {
      put<T>(adding, to, load<T>(from));
      from += fromStep;
      to += toStep;
    }
  }
}

/** Copies the numbers of a box of axes, bit by bit; i32 move as f32. */
export function move<T>(s: Move): void {
  walk<T>(false, s.rank, s.axes, s.from, s.to);
}

/** Adds the numbers of a box of axes, one after the other; those to which they are added may repeat. */
export function moveAdd<T>(s: Move): void {
  walk<T>(true, s.rank, s.axes, s.from, s.to);
}

/** to [n] = the numbers of `from` in the other of the types f64 and f32. */
export function convert<T>(n: i32, from: usize, to: usize): void {
  for (let i = 0; i < n; i++) {
    if (sizeof<T>() == 8) store<T>(at<T>(to, i), <T>load<f32>(at<f32>(from, i)));
    else store<T>(at<T>(to, i), <T>load<f64>(at<f64>(from, i)));
  }
}

/** out [n,depth]: row i is 1 at indices[i], from 0 to depth - 1, and 0 elsewhere. */
export function oneHot<T>(n: i32, depth: i32, indices: usize, out: usize): void {
  memory.fill(out, 0, <usize>n * bytes<T>(depth));
  for (let i = 0; i < n; i++) {
    store<T>(at<T>(out, load<i32>(at<i32>(indices, i))), 1);
    out += bytes<T>(depth);
  }
}
