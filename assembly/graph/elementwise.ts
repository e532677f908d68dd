// Functions of one, two or three tensors, element by element, with NumPy's broadcasting. The host computes the output's shape,
// checks the operands and merges axes (bindings/graph.ts).

import {
  relu as positive,
  reluBackward as dRelu,
  sigmoidBackward as dSigmoid,
  tanhBackward as dTanh,
} from "../activation";
import { logLanes } from "../logarithm";
import * as math from "../math";
import { at, bytes, lanes, loadLanes, loadSplat, storeLanes } from "../simd";

/** Arguments of a kernel of up to three operands; those that it does not have are not read. */
@unmanaged
export class Operands {
  /** in: the operands, which may be the same. */
  a: usize;
  b: usize;
  /** in: numbers of i32, of which any but 0 means yes. */
  condition: usize;
  /** out: dense and row-major. It may be an operand of its own type that is not broadcast; otherwise it overlaps none. */
  out: usize;
  /** in: [rank,4] i32, outermost axis first: length (>= 1), and how many numbers apart the elements of a, b and condition are. */
  axes: usize;
  /** >= 1. */
  rank: i32;
}

// Codes of the operations. Each is a constant wherever it is used, so that no inner loop asks for it.
const NEG: i32 = 0;
const EXP: i32 = 1;
const LOG: i32 = 2;
const SQRT: i32 = 3;
const TANH: i32 = 4;
const SIGMOID: i32 = 5;
const RELU: i32 = 6;
const ADD: i32 = 7; // from here on two operands
const SUB: i32 = 8;
const MUL: i32 = 9;
const DIV: i32 = 10;
const EQUAL: i32 = 11;
const TANH_BACKWARD: i32 = 12;
const SIGMOID_BACKWARD: i32 = 13;
const RELU_BACKWARD: i32 = 14;
const WHERE: i32 = 15; // and a condition

// @ts-ignore: decorator
@inline
function apply<T>(operation: i32, a: v128, b: v128, condition: v128): v128 {
  if (operation == NEG) return v128.neg<T>(a);
  if (operation == EXP) return math.exp<T>(a);
  if (operation == LOG) return logLanes<T>(a);
  if (operation == SQRT) return v128.sqrt<T>(a);
  if (operation == TANH) return math.tanh<T>(a);
  if (operation == SIGMOID) return math.sigmoid<T>(a);
  if (operation == RELU) return positive<T>(a);
  if (operation == ADD) return v128.add<T>(a, b);
  if (operation == SUB) return v128.sub<T>(a, b);
  if (operation == MUL) return v128.mul<T>(a, b);
  if (operation == DIV) return v128.div<T>(a, b);
  if (operation == EQUAL) return v128.and(v128.eq<T>(a, b), math.one<T>());
  if (operation == TANH_BACKWARD) return dTanh<T>(a, b);
  if (operation == SIGMOID_BACKWARD) return dSigmoid<T>(a, b);
  if (operation == RELU_BACKWARD) return dRelu<T>(a, b);
  return v128.bitselect(a, b, condition);
}

/** min(n, lanes) numbers, `stride` numbers apart. */
function loadStrided<T>(p: usize, stride: i32, n: i32): v128 {
  const step = bytes<T>(stride);
  if (n == 1) return loadSplat<T>(p);
  if (sizeof<T>() == 8) return v128.load64_lane(p + step, loadSplat<T>(p), 1);
  const low = v128.load32_lane(p + step, loadSplat<T>(p), 1);
  if (n == 2) return low;
  const three = v128.load32_lane(p + 2 * step, low, 2);
  return n == 3 ? three : v128.load32_lane(p + 3 * step, three, 3);
}

/** The next lanes of an operand: `i` numbers from the start of its row, of which n - i are left. */
// @ts-ignore: decorator
@inline
function next<T>(p: usize, stride: i32, first: v128, i: i32, n: i32): v128 {
  if (!stride) return first;
  return stride == 1 ? loadLanes<T>(at<T>(p, i), n - i) : loadStrided<T>(at<T>(p, i * stride), stride, n - i);
}

/** All bits of a lane where its number of the condition is not 0. */
// @ts-ignore: decorator
@inline
function nextMask<T>(p: usize, stride: i32, i: i32, n: i32): v128 {
  if (sizeof<T>() == 4) return v128.ne<i32>(next<f32>(p, stride, loadSplat<f32>(p), i, n), v128.splat<i32>(0));
  const q = at<i32>(p, i * stride);
  if (stride == 1 && n - i > 1) return i64x2.ne(i64x2.extend_low_i32x4_s(v128.load64_zero(q)), i64x2.splat(0));
  const second = n - i > 1 ? load<i32>(at<i32>(q, stride)) : 0;
  return i64x2.ne(i64x2.replace_lane(i64x2.splat(<i64>load<i32>(q)), 1, <i64>second), i64x2.splat(0));
}

/** Whether an operation takes so little time that its whole vectors have a loop of their own, half as long. */
// @ts-ignore: decorator
@inline
function isShort(operation: i32): bool {
  return operation != EXP && operation != LOG && operation != TANH && operation != SIGMOID && operation != WHERE;
}

/** The innermost axis; a stride of 0 repeats one number, 1 is dense. */
// @ts-ignore: decorator
@inline
function row<T>(operation: i32, axis: usize, a: usize, b: usize, condition: usize, out: usize): void {
  const n = load<i32>(axis);
  const strideA = load<i32>(axis, 4);
  const strideB = load<i32>(axis, 8);
  const strideC = load<i32>(axis, 12);
  const left = loadSplat<T>(a);
  const right = operation >= ADD ? loadSplat<T>(b) : left;
  let i = 0;
  if (isShort(operation) && <u32>strideA <= 1 && (operation < ADD || <u32>strideB <= 1)) {
    for (; i <= n - lanes<T>(); i += lanes<T>()) {
      const x = strideA ? v128.load(at<T>(a, i)) : left;
      const y = operation >= ADD ? (strideB ? v128.load(at<T>(b, i)) : right) : x;
      v128.store(at<T>(out, i), apply<T>(operation, x, y, x));
    }
  }
  for (; i < n; i += lanes<T>()) {
    const x = next<T>(a, strideA, left, i, n);
    const y = operation >= ADD ? next<T>(b, strideB, right, i, n) : x;
    const mask = operation == WHERE ? nextMask<T>(condition, strideC, i, n) : x;
    storeLanes<T>(at<T>(out, i), apply<T>(operation, x, y, mask), n - i);
  }
}

function anyRow<T>(operation: i32, axis: usize, a: usize, b: usize, c: usize, out: usize): void {
  if (operation == NEG) row<T>(NEG, axis, a, b, c, out);
  else if (operation == EXP) row<T>(EXP, axis, a, b, c, out);
  else if (operation == LOG) row<T>(LOG, axis, a, b, c, out);
  else if (operation == SQRT) row<T>(SQRT, axis, a, b, c, out);
  else if (operation == TANH) row<T>(TANH, axis, a, b, c, out);
  else if (operation == SIGMOID) row<T>(SIGMOID, axis, a, b, c, out);
  else if (operation == RELU) row<T>(RELU, axis, a, b, c, out);
  else if (operation == ADD) row<T>(ADD, axis, a, b, c, out);
  else if (operation == SUB) row<T>(SUB, axis, a, b, c, out);
  else if (operation == MUL) row<T>(MUL, axis, a, b, c, out);
  else if (operation == DIV) row<T>(DIV, axis, a, b, c, out);
  else if (operation == EQUAL) row<T>(EQUAL, axis, a, b, c, out);
  else if (operation == TANH_BACKWARD) row<T>(TANH_BACKWARD, axis, a, b, c, out);
  else if (operation == SIGMOID_BACKWARD) row<T>(SIGMOID_BACKWARD, axis, a, b, c, out);
  else if (operation == RELU_BACKWARD) row<T>(RELU_BACKWARD, axis, a, b, c, out);
  else row<T>(WHERE, axis, a, b, c, out);
}

/** The axes from `axis` on; returns the address past the output. */
function walk<T>(operation: i32, rank: i32, axis: usize, a: usize, b: usize, condition: usize, out: usize): usize {
  const n = load<i32>(axis);
  if (rank == 1) {
    anyRow<T>(operation, axis, a, b, condition, out);
    return at<T>(out, n);
  }
  for (let i = 0; i < n; i++) {
    out = walk<T>(operation, rank - 1, axis + 16, a, b, condition, out);
    a += bytes<T>(load<i32>(axis, 4));
    b += bytes<T>(load<i32>(axis, 8));
    condition += bytes<i32>(load<i32>(axis, 12));
  }
  return out;
}

// @ts-ignore: decorator
@inline
function run<T>(operation: i32, s: Operands): void {
  walk<T>(operation, s.rank, s.axes, s.a, s.b, s.condition, s.out);
}

/** out = -a. */
export function neg<T>(s: Operands): void {
  run<T>(NEG, s);
}

/** out = e^a. */
export function exp<T>(s: Operands): void {
  run<T>(EXP, s);
}

/** out = the natural logarithm of a: -infinity for 0, NaN below. */
export function log<T>(s: Operands): void {
  run<T>(LOG, s);
}

/** out = the square root of a: NaN below 0. */
export function sqrt<T>(s: Operands): void {
  run<T>(SQRT, s);
}

/** out = tanh a. */
export function tanh<T>(s: Operands): void {
  run<T>(TANH, s);
}

/** out = 1 / (1 + e^-a). */
export function sigmoid<T>(s: Operands): void {
  run<T>(SIGMOID, s);
}

/** out = max(a, 0). */
export function relu<T>(s: Operands): void {
  run<T>(RELU, s);
}

/** out = a + b. */
export function add<T>(s: Operands): void {
  run<T>(ADD, s);
}

/** out = a - b. */
export function sub<T>(s: Operands): void {
  run<T>(SUB, s);
}

/** out = a b. */
export function mul<T>(s: Operands): void {
  run<T>(MUL, s);
}

/** out = a / b. */
export function div<T>(s: Operands): void {
  run<T>(DIV, s);
}

/** out = 1 where a = b, else 0. */
export function equal<T>(s: Operands): void {
  run<T>(EQUAL, s);
}

/** out = a (1 - b^2): the gradient of x from that of b = tanh x. */
export function tanhBackward<T>(s: Operands): void {
  run<T>(TANH_BACKWARD, s);
}

/** out = a b (1 - b): the gradient of x from that of b = sigmoid x. */
export function sigmoidBackward<T>(s: Operands): void {
  run<T>(SIGMOID_BACKWARD, s);
}

/** out = a where b > 0, else 0: the gradient of x from that of b = relu x. */
export function reluBackward<T>(s: Operands): void {
  run<T>(RELU_BACKWARD, s);
}

/** out = a where the condition is not 0, else b. */
export function where<T>(s: Operands): void {
  run<T>(WHERE, s);
}
