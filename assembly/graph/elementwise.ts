// Functions of two tensors, element by element, with NumPy's broadcasting, and `where`. The host computes the output's shape, checks the
// operands and merges axes (bindings/graph.ts).

import { reluBackward, sigmoidBackward, tanhBackward } from "../activation";
import * as math from "../math";
import { at, bytes, lanes, loadLanes, loadSplat, storeLanes } from "../simd";
import { highHalf, joinHalves, lowHalf, pow as powWide } from "./transcendental";

/** Arguments of `elementwise`. */
@unmanaged
export class Operands {
  /** One of the codes below. */
  operation: i32;
  /** in: the operands, which may be the same. */
  a: usize;
  b: usize;
  /** in of `WHERE`: numbers of i32, of which any but 0 means yes. */
  condition: usize;
  /** out: dense and row-major. It may be an operand of its own type that is not broadcast; otherwise it overlaps none. */
  out: usize;
  /** in: [rank,4] i32, outermost axis first: length (>= 1), and how many numbers apart the elements of a, b and condition are. */
  axes: usize;
  /** >= 1. */
  rank: i32;
}

// Codes of the operations.
const ADD: i32 = 0;
const SUB: i32 = 1;
const MUL: i32 = 2;
const DIV: i32 = 3;
const MINIMUM: i32 = 4; // NaN where one is
const MAXIMUM: i32 = 5;
const PRELU: i32 = 6; // a above 0, else a b
const POW: i32 = 7;
const FMOD: i32 = 8; // a - b trunc(a / b), exactly
const MOD: i32 = 9; // of b's sign: a - b floor(a / b)
const EQUAL: i32 = 10; // 1 where they are, else 0
const TANH_BACKWARD: i32 = 11; // a (1 - b^2): the gradient of x from that of b = tanh x
const SIGMOID_BACKWARD: i32 = 12; // a b (1 - b)
const RELU_BACKWARD: i32 = 13; // a where b is above 0 or NaN, else 0
const WHERE: i32 = 14; // a where the condition is not 0, else b

function remainder(operation: i32, a: f64, b: f64): f64 {
  const rest = a % b;
  return operation == MOD && rest != 0 && rest < 0 != b < 0 ? rest + b : rest;
}

/** `POW`, `FMOD` and `MOD` of f64. */
function applyWide(operation: i32, a: v128, b: v128): v128 {
  if (operation == POW) return powWide(a, b);
  const first = remainder(operation, f64x2.extract_lane(a, 0), f64x2.extract_lane(b, 0));
  const second = remainder(operation, f64x2.extract_lane(a, 1), f64x2.extract_lane(b, 1));
  return f64x2.replace_lane(f64x2.splat(first), 1, second);
}

/** The same, for f32 rounded once. */
// @ts-ignore: decorator
@inline
function applyHalves<T>(operation: i32, a: v128, b: v128): v128 {
  if (sizeof<T>() == 8) return applyWide(operation, a, b);
  const low = applyWide(operation, lowHalf(a), lowHalf(b));
  return joinHalves(low, applyWide(operation, highHalf(a), highHalf(b)));
}

/** a^b. Exponents of 1, 2, 3, 1/2 and -1 have short forms, each element by itself. */
// @ts-ignore: decorator
@inline
function pow<T>(a: v128, b: v128): v128 {
  const square = v128.mul<T>(a, a);
  const one = v128.eq<T>(b, math.one<T>());
  const two = v128.eq<T>(b, v128.splat<T>(2));
  const three = v128.eq<T>(b, v128.splat<T>(3));
  const inverse = v128.eq<T>(b, v128.splat<T>(-1));
  const half = v128.and(v128.eq<T>(b, v128.splat<T>(<T>0.5)), v128.ne<T>(a, v128.splat<T>(<T>-Infinity)));
  let y = v128.sqrt<T>(v128.add<T>(a, v128.splat<T>(0))); // of 0 for -0
  y = v128.bitselect(a, y, one);
  y = v128.bitselect(square, y, two);
  y = v128.bitselect(v128.mul<T>(square, a), y, three);
  y = v128.bitselect(v128.div<T>(math.one<T>(), a), y, inverse);
  const short = v128.or(v128.or(v128.or(one, two), v128.or(three, inverse)), half);
  if (!v128.any_true(v128.not(short))) return y;
  return v128.bitselect(y, applyHalves<T>(POW, a, b), short);
}

// @ts-ignore: decorator
@inline
function apply<T>(operation: i32, a: v128, b: v128, condition: v128): v128 {
  switch (operation) {
    case ADD:
      return v128.add<T>(a, b);
    case SUB:
      return v128.sub<T>(a, b);
    case MUL:
      return v128.mul<T>(a, b);
    case DIV:
      return v128.div<T>(a, b);
    case MINIMUM:
      return v128.min<T>(a, b);
    case MAXIMUM:
      return v128.max<T>(a, b);
    case PRELU:
      return v128.bitselect(a, v128.mul<T>(a, b), v128.gt<T>(a, v128.splat<T>(0)));
    case POW:
      return pow<T>(a, b);
    case FMOD:
    case MOD:
      return applyHalves<T>(operation, a, b);
    case EQUAL:
      return v128.and(v128.eq<T>(a, b), math.one<T>());
    case TANH_BACKWARD:
      return tanhBackward<T>(a, b);
    case SIGMOID_BACKWARD:
      return sigmoidBackward<T>(a, b);
    case RELU_BACKWARD:
      return reluBackward<T>(a, b);
  }
  return v128.bitselect(a, b, condition);
}

function applyAny<T>(operation: i32, a: v128, b: v128, condition: v128): v128 {
  return apply<T>(operation, a, b, condition);
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

/** Whole vectors of the innermost axis, each operand dense or repeated; returns how many numbers they have. */
// @ts-ignore: decorator
@inline
function vectors<T>(operation: i32, axis: usize, a: usize, b: usize, out: usize): i32 {
  const n = load<i32>(axis);
  const strideA = load<i32>(axis, 4);
  const strideB = load<i32>(axis, 8);
  const left = loadSplat<T>(a);
  const right = loadSplat<T>(b);
  let i = 0;
  for (; i <= n - lanes<T>(); i += lanes<T>()) {
    const x = strideA ? v128.load(at<T>(a, i)) : left;
    const y = strideB ? v128.load(at<T>(b, i)) : right;
    v128.store(at<T>(out, i), apply<T>(operation, x, y, x));
  }
  return i;
}

/** The innermost axis; a stride of 0 repeats one number, 1 is dense. Most time goes into a few operations: their loops are their own. */
function row<T>(operation: i32, axis: usize, a: usize, b: usize, condition: usize, out: usize): void {
  const n = load<i32>(axis);
  const strideA = load<i32>(axis, 4);
  const strideB = load<i32>(axis, 8);
  const strideC = load<i32>(axis, 12);
  let i = 0;
  if (<u32>strideA <= 1 && <u32>strideB <= 1) {
    if (operation == ADD) i = vectors<T>(ADD, axis, a, b, out);
    else if (operation == SUB) i = vectors<T>(SUB, axis, a, b, out);
    else if (operation == MUL) i = vectors<T>(MUL, axis, a, b, out);
    else if (operation == DIV) i = vectors<T>(DIV, axis, a, b, out);
    else if (operation == PRELU) i = vectors<T>(PRELU, axis, a, b, out);
  }
  if (i == n) return;
  const left = loadSplat<T>(a);
  const right = loadSplat<T>(b);
  for (; i < n; i += lanes<T>()) {
    const x = next<T>(a, strideA, left, i, n);
    const y = next<T>(b, strideB, right, i, n);
    const mask = operation == WHERE ? nextMask<T>(condition, strideC, i, n) : x;
    storeLanes<T>(at<T>(out, i), applyAny<T>(operation, x, y, mask), n - i);
  }
}

/** The axes from `axis` on; returns the address past the output. */
function walk<T>(operation: i32, rank: i32, axis: usize, a: usize, b: usize, condition: usize, out: usize): usize {
  const n = load<i32>(axis);
  if (rank == 1) {
    row<T>(operation, axis, a, b, condition, out);
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

/** out = the operation of a and b, or of the condition, a and b. */
export function elementwise<T>(s: Operands): void {
  walk<T>(s.operation, s.rank, s.axes, s.a, s.b, s.condition, s.out);
}
