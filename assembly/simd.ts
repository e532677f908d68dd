// Vectors: lanes, loads, stores, multiply-add. No layer's arithmetic is here.
//
// T is f32 or f64 everywhere, with one body for both; sizeof<T>() and ASC_FEATURE_RELAXED_SIMD prune at compile time.

/** Lanes of T in a v128: 2 (f64) or 4 (f32). */
// @ts-ignore: decorator
@inline
export function lanes<T>(): i32 {
  return 16 / sizeof<T>();
}

/** Bytes of `n` numbers of T. */
// @ts-ignore: decorator
@inline
export function bytes<T>(n: i32): usize {
  return <usize>n * sizeof<T>();
}

/** Bytes of a matrix of T, possibly more than a memory holds. */
export function matrixBytes<T>(rows: i32, columns: i32): u64 {
  return <u64>rows * <u64>columns * <u64>sizeof<T>();
}

/** A size for the host: those of 4 GiB and more become 2^32 - 1, which no host can allocate. */
export function fitting(bytes: u64): usize {
  return <usize>min<u64>(bytes, u32.MAX_VALUE);
}

/** Address of number `i` of T at `p`. */
// @ts-ignore: decorator
@inline
export function at<T>(p: usize, i: i32): usize {
  return p + <usize>i * sizeof<T>();
}

/** a * b + c: fused in the relaxed build, rounded twice in the other. */
// @ts-ignore: decorator
@inline
export function madd<T>(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_madd<T>(a, b, c);
  return v128.add<T>(v128.mul<T>(a, b), c);
}

/** c - a * b: fused in the relaxed build, rounded twice in the other. */
// @ts-ignore: decorator
@inline
export function nmadd<T>(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_nmadd<T>(a, b, c);
  return v128.sub<T>(c, v128.mul<T>(a, b));
}

/** The number at `p` in every lane. */
// @ts-ignore: decorator
@inline
export function loadSplat<T>(p: usize): v128 {
  if (sizeof<T>() == 8) return v128.load64_splat(p);
  return v128.load32_splat(p);
}

/**
 * Loads min(n, lanes) numbers, n >= 1, and 0 into the lanes past them; never reads past number n. Element-wise loops call it
 * for every vector, so the last, partial one runs the same code, with the same bits; the branch costs nothing beside the maths.
 */
// @ts-ignore: decorator
@inline
export function loadLanes<T>(p: usize, n: i32): v128 {
  return n >= lanes<T>() ? v128.load(p) : loadPartial<T>(p, n);
}

/** Stores the first min(n, lanes) numbers, n >= 1. Never writes past number n. */
// @ts-ignore: decorator
@inline
export function storeLanes<T>(p: usize, v: v128, n: i32): void {
  if (n >= lanes<T>()) v128.store(p, v);
  else storePartial<T>(p, v, n);
}

function loadPartial<T>(p: usize, n: i32): v128 {
  if (sizeof<T>() == 8) return v128.load64_zero(p);
  if (n == 1) return v128.load32_zero(p);
  const low = v128.load64_zero(p);
  return n == 2 ? low : v128.load32_lane(p, low, 2, 8);
}

function storePartial<T>(p: usize, v: v128, n: i32): void {
  if (sizeof<T>() == 8) return v128.store64_lane(p, v, 0);
  if (n == 1) return v128.store32_lane(p, v, 0);
  v128.store64_lane(p, v, 0);
  if (n == 3) v128.store32_lane(p, v, 2, 8);
}

/** The first `count` lanes of v, and `other` in the rest. */
// @ts-ignore: decorator
@inline
export function fillLanes<T>(v: v128, other: T, count: i32): v128 {
  if (count >= lanes<T>()) return v;
  if (sizeof<T>() == 8) return f64x2.replace_lane(v, 1, <f64>other);
  if (count < 4) v = f32x4.replace_lane(v, 3, <f32>other);
  if (count < 3) v = f32x4.replace_lane(v, 2, <f32>other);
  if (count < 2) v = f32x4.replace_lane(v, 1, <f32>other);
  return v;
}

/** Sum of the lanes, in the order ((0 + 2) + (1 + 3)) for f32. */
// @ts-ignore: decorator
@inline
export function sumLanes<T>(v: v128): T {
  if (sizeof<T>() == 8) return <T>(f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1));
  const pairs = f32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return <T>(f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1));
}
