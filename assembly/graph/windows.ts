// Windows of tensors [N,C,...]: an output position and a tap of the window are offsets in bytes, from tables, that add up to where the
// number lies; strides, dilations and the number of spatial axes are in the tables alone. Where the tensor has padding, it was
// copied into a larger one.

import { at, bytes, storeLanes } from "../simd";

/** Entry i of a table of offsets. */
// @ts-ignore: decorator
@inline
export function offset(table: usize, i: i32): usize {
  return <usize>load<i32>(at<i32>(table, i));
}

/** Whether the offsets of n positions, which ascend, are those of neighbours: from entry i on, of which `rest` are left. */
// @ts-ignore: decorator
@inline
export function areNeighbours<T>(table: usize, i: i32, rest: i32, n: i32): bool {
  return rest >= n && offset(table, i + n - 1) - offset(table, i) == bytes<T>(n - 1);
}

/** Whether those of a vector of f32 are every second number. */
// @ts-ignore: decorator
@inline
export function areEverySecond<T>(table: usize, i: i32, rest: i32): bool {
  if (sizeof<T>() == 8 || rest < 4) return false;
  const first = offset(table, i);
  const far = offset(table, i + 1) == first + 8 && offset(table, i + 2) == first + 16;
  return far && offset(table, i + 3) == first + 24;
}

/** The numbers at p, p + 8, p + 16 and p + 24; of f32. Nothing past them is read. */
// @ts-ignore: decorator
@inline
export function loadEverySecond(p: usize): v128 {
  return v128.shuffle<i32>(v128.load(p), v128.load(p, 12), 0, 2, 5, 7);
}

/** The numbers at `p` + the offsets from entry i on, of which `rest` >= 1 are left; the last one stands in for those past it. */
export function gather<T>(p: usize, table: usize, i: i32, rest: i32): v128 {
  const last = i + rest - 1;
  const p1 = p + offset(table, min(i + 1, last));
  const p0 = p + offset(table, i);
  if (sizeof<T>() == 8) return v128.load64_lane(p1, v128.load64_zero(p0), 1);
  const two = v128.load32_lane(p1, v128.load32_zero(p0), 1);
  const p2 = p + offset(table, min(i + 2, last));
  const p3 = p + offset(table, min(i + 3, last));
  return v128.load32_lane(p3, v128.load32_lane(p2, two, 2), 3);
}

/** Stores the first min(rest, lanes) numbers as output positions i, i + 1 ...: neighbours where `table` is 0. */
// @ts-ignore: decorator
@inline
export function put<T>(v: v128, y: usize, table: usize, i: i32, rest: i32): void {
  if (table) scatter<T>(v, y, table, i, rest);
  else storeLanes<T>(at<T>(y, i), v, rest);
}

function scatter<T>(v: v128, y: usize, table: usize, i: i32, rest: i32): void {
  if (sizeof<T>() == 8) {
    v128.store64_lane(y + offset(table, i), v, 0);
    if (rest > 1) v128.store64_lane(y + offset(table, i + 1), v, 1);
  } else {
    v128.store32_lane(y + offset(table, i), v, 0);
    if (rest > 1) v128.store32_lane(y + offset(table, i + 1), v, 1);
    if (rest > 2) v128.store32_lane(y + offset(table, i + 2), v, 2);
    if (rest > 3) v128.store32_lane(y + offset(table, i + 3), v, 3);
  }
}
