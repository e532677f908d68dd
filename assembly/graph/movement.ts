// Moving numbers without arithmetic: one strided copy is every transposition, slice, concatenation and repetition.

import { at, bytes } from "../simd";

/** Arguments of `move`. */
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

function walk<T>(rank: i32, axis: usize, from: usize, to: usize): void {
  const n = load<i32>(axis);
  const fromStep = bytes<T>(load<i32>(axis, 4));
  const toStep = bytes<T>(load<i32>(axis, 8));
  if (rank > 1) {
    for (let i = 0; i < n; i++) {
      walk<T>(rank - 1, axis + 16, from, to);
      from += fromStep;
      to += toStep;
    }
  } else if (fromStep == sizeof<T>() && toStep == sizeof<T>()) {
    memory.copy(to, from, bytes<T>(n));
  } else {
    for (let i = 0; i < n; i++) {
      store<T>(to, load<T>(from));
      from += fromStep;
      to += toStep;
    }
  }
}

/** Copies the numbers of a box of axes, bit by bit; i32 move as f32. */
export function move<T>(s: Move): void {
  walk<T>(s.rank, s.axes, s.from, s.to);
}

/** out [n,depth]: row i is 1 at indices[i], from 0 to depth - 1, and 0 elsewhere. */
export function oneHot<T>(n: i32, depth: i32, indices: usize, out: usize): void {
  memory.fill(out, 0, <usize>n * bytes<T>(depth));
  for (let i = 0; i < n; i++) {
    store<T>(at<T>(out, load<i32>(at<i32>(indices, i))), 1);
    out += bytes<T>(depth);
  }
}
