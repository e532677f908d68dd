// Arithmetic of two tensors with NumPy's broadcasting. The host computes the output's shape, checks the operands and merges axes
// (bindings/graph.ts).

import { at, bytes, lanes, loadLanes, loadSplat, storeLanes } from "../simd";

/** Arguments of a kernel of two operands. */
@unmanaged
export class BinaryOperands {
  /** in: the operands, which may be the same. */
  a: usize;
  b: usize;
  /** out: dense and row-major. It may be an operand that is not broadcast; otherwise it overlaps none. */
  out: usize;
  /** in: [rank,3] i32, outermost axis first: length (>= 1), and how many numbers apart a's and b's elements are. */
  axes: usize;
  /** >= 1. */
  rank: i32;
}

// Codes of the operations. Each is a constant wherever it is used, so that no inner loop asks for it.
const ADD: i32 = 0;
const SUB: i32 = 1;
const MUL: i32 = 2;
const DIV: i32 = 3;

// @ts-ignore: decorator
@inline
function apply<T>(operation: i32, a: v128, b: v128): v128 {
  if (operation == ADD) return v128.add<T>(a, b);
  if (operation == SUB) return v128.sub<T>(a, b);
  if (operation == MUL) return v128.mul<T>(a, b);
  return v128.div<T>(a, b);
}

/** The innermost axis; a stride of 0 repeats one number, 1 is dense. */
// @ts-ignore: decorator
@inline
function row<T>(operation: i32, n: i32, a: usize, strideA: i32, b: usize, strideB: i32, out: usize): void {
  if (<u32>strideA <= 1 && <u32>strideB <= 1) {
    const left = loadSplat<T>(a);
    const right = loadSplat<T>(b);
    for (let i = 0; i < n; i += lanes<T>()) {
      const x = strideA ? loadLanes<T>(at<T>(a, i), n - i) : left;
      const y = strideB ? loadLanes<T>(at<T>(b, i), n - i) : right;
      storeLanes<T>(at<T>(out, i), apply<T>(operation, x, y), n - i);
    }
  } else {
    for (let i = 0; i < n; i++) {
      storeLanes<T>(at<T>(out, i), apply<T>(operation, loadSplat<T>(a), loadSplat<T>(b)), 1);
      a += bytes<T>(strideA);
      b += bytes<T>(strideB);
    }
  }
}

/** The axes from `axis` on; returns the address past the output. */
function walk<T>(operation: i32, rank: i32, axis: usize, a: usize, b: usize, out: usize): usize {
  const n = load<i32>(axis);
  const strideA = load<i32>(axis, 4);
  const strideB = load<i32>(axis, 8);
  if (rank > 1) {
    for (let i = 0; i < n; i++) {
      out = walk<T>(operation, rank - 1, axis + 12, a, b, out);
      a += bytes<T>(strideA);
      b += bytes<T>(strideB);
    }
    return out;
  }
  if (operation == ADD) row<T>(ADD, n, a, strideA, b, strideB, out);
  else if (operation == SUB) row<T>(SUB, n, a, strideA, b, strideB, out);
  else if (operation == MUL) row<T>(MUL, n, a, strideA, b, strideB, out);
  else row<T>(DIV, n, a, strideA, b, strideB, out);
  return at<T>(out, n);
}

/** out = a + b. */
export function add<T>(s: BinaryOperands): void {
  walk<T>(ADD, s.rank, s.axes, s.a, s.b, s.out);
}

/** out = a - b. */
export function sub<T>(s: BinaryOperands): void {
  walk<T>(SUB, s.rank, s.axes, s.a, s.b, s.out);
}

/** out = a b. */
export function mul<T>(s: BinaryOperands): void {
  walk<T>(MUL, s.rank, s.axes, s.a, s.b, s.out);
}

/** out = a / b. */
export function div<T>(s: BinaryOperands): void {
  walk<T>(DIV, s.rank, s.axes, s.a, s.b, s.out);
}
