// The innermost loops of every matrix product: for four rows or more, for two and for one. All sum over k in the same order, so a
// row has the same bits alone and in a batch. Edges are handled in gemm.ts.

import { bytes, lanes, loadSplat, madd } from "../simd";

/** Whether this module has tiles of 6 rows: in the relaxed build, but for the graph module, of which apps are to be small. */
// @ts-ignore: decorator
@inline
export const TALL: bool = ASC_FEATURE_RELAXED_SIMD && !isDefined(SHORT_TILES);

/** Rows of the largest tile of C. */
// @ts-ignore: decorator
@inline
export const MR: i32 = TALL ? 6 : 4;

// Whether loads of A get their offsets as part of the instruction. It is faster in V8 and slower in JavaScriptCore, which runs the SIMD
// build only.
// @ts-ignore: decorator
@inline
const IMMEDIATE: bool = ASC_FEATURE_RELAXED_SIMD;

/** Columns of C that one call of the micro-kernel computes: two vectors, 4 (f64) or 8 (f32). */
// @ts-ignore: decorator
@inline
export function nr<T>(): i32 {
  return 2 * lanes<T>();
}

/**
 * C = from + A B for one tile of `rows` x NR; rows: 4, or where there are TALL ones 6.
 *
 *   a     in: panel of A, [k][rows]
 *   b     in: panel of B, [k][NR]
 *   from  in: initial values of the accumulators, [rows][NR], rows `fromStride` bytes apart (0: one row for all)
 *   c     out: [rows][NR], rows `cStride` bytes apart; may be `from`
 *
 * Each element is summed over k in ascending order, starting with `from`: k in two calls gives the bits of one.
 *
 * Of the 16 xmm registers of x86, 4 rows take 8 accumulators, 2 vectors of B and 1 splat of A on every V8. 6 rows take 15, and are
 * 10% faster, where the compiler keeps the order of the loads (from V8 13 on); before, they spill and take twice the time. Without
 * a fused multiply-add, its product takes one more.
 */
// @ts-ignore: decorator
@inline
export function microkernel<T>(
  rows: i32,
  k: i32,
  a: usize,
  b: usize,
  from: usize,
  fromStride: usize,
  c: usize,
  cStride: usize,
): void {
  if (TALL && rows == 6) microkernel6<T>(k, a, b, from, fromStride, c, cStride);
  else microkernel4<T>(k, a, b, from, fromStride, c, cStride);
}

function microkernel4<T>(k: i32, a: usize, b: usize, from: usize, fromStride: usize, c: usize, cStride: usize): void {
  tile<T>(4, k, a, b, from, fromStride, c, cStride);
}

function microkernel6<T>(k: i32, a: usize, b: usize, from: usize, fromStride: usize, c: usize, cStride: usize): void {
  tile<T>(6, k, a, b, from, fromStride, c, cStride);
}

/** The micro-kernel; rows: a constant where this is inlined. */
// @ts-ignore: decorator
@inline
function tile<T>(
  rows: i32,
  k: i32,
  a: usize,
  b: usize,
  from: usize,
  fromStride: usize,
  c: usize,
  cStride: usize,
): void {
  let c00 = v128.load(from);
  let c01 = v128.load(from, 16);
  from += fromStride;
  let c10 = v128.load(from);
  let c11 = v128.load(from, 16);
  from += fromStride;
  let c20 = v128.load(from);
  let c21 = v128.load(from, 16);
  from += fromStride;
  let c30 = v128.load(from);
  let c31 = v128.load(from, 16);
  let c40 = c30;
  let c41 = c31;
  let c50 = c30;
  let c51 = c31;
  if (rows == 6) {
    from += fromStride;
    c40 = v128.load(from);
    c41 = v128.load(from, 16);
    from += fromStride;
    c50 = v128.load(from);
    c51 = v128.load(from, 16);
  }
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = loadSplat<T>(a);
    c00 = madd<T>(a0, b0, c00);
    c01 = madd<T>(a0, b1, c01);
    const a1 = IMMEDIATE ? v128.load_splat<T>(a, sizeof<T>()) : loadSplat<T>(a + sizeof<T>());
    c10 = madd<T>(a1, b0, c10);
    c11 = madd<T>(a1, b1, c11);
    const a2 = IMMEDIATE ? v128.load_splat<T>(a, 2 * sizeof<T>()) : loadSplat<T>(a + 2 * sizeof<T>());
    c20 = madd<T>(a2, b0, c20);
    c21 = madd<T>(a2, b1, c21);
    const a3 = IMMEDIATE ? v128.load_splat<T>(a, 3 * sizeof<T>()) : loadSplat<T>(a + 3 * sizeof<T>());
    c30 = madd<T>(a3, b0, c30);
    c31 = madd<T>(a3, b1, c31);
    if (rows == 6) {
      const a4 = v128.load_splat<T>(a, 4 * sizeof<T>());
      c40 = madd<T>(a4, b0, c40);
      c41 = madd<T>(a4, b1, c41);
      const a5 = v128.load_splat<T>(a, 5 * sizeof<T>());
      c50 = madd<T>(a5, b0, c50);
      c51 = madd<T>(a5, b1, c51);
    }
    a += bytes<T>(rows);
    b += 32;
  } while (--k);
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += cStride;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += cStride;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += cStride;
  v128.store(c, c30);
  v128.store(c, c31, 16);
  if (rows == 6) {
    c += cStride;
    v128.store(c, c40);
    v128.store(c, c41, 16);
    c += cStride;
    v128.store(c, c50);
    v128.store(c, c51, 16);
  }
}

/**
 * c = from + a B for one row and four panels of B at once: with fewer, a matrix-vector product waits for its own sums.
 *
 *   a            in: [k], numbers `aStride` bytes apart
 *   b0..b3       in: four panels of B, [k][NR] each
 *   from, c      in, out: [4 NR]; may be the same
 */
export function microkernelRow<T>(
  k: i32,
  a: usize,
  aStride: usize,
  b0: usize,
  b1: usize,
  b2: usize,
  b3: usize,
  from: usize,
  c: usize,
): void {
  let c0 = v128.load(from);
  let c1 = v128.load(from, 16);
  let c2 = v128.load(from, 32);
  let c3 = v128.load(from, 48);
  let c4 = v128.load(from, 64);
  let c5 = v128.load(from, 80);
  let c6 = v128.load(from, 96);
  let c7 = v128.load(from, 112);
  do {
    const s = loadSplat<T>(a);
    c0 = madd<T>(s, v128.load(b0), c0);
    c1 = madd<T>(s, v128.load(b0, 16), c1);
    c2 = madd<T>(s, v128.load(b1), c2);
    c3 = madd<T>(s, v128.load(b1, 16), c3);
    c4 = madd<T>(s, v128.load(b2), c4);
    c5 = madd<T>(s, v128.load(b2, 16), c5);
    c6 = madd<T>(s, v128.load(b3), c6);
    c7 = madd<T>(s, v128.load(b3, 16), c7);
    a += aStride;
    b0 += 32;
    b1 += 32;
    b2 += 32;
    b3 += 32;
  } while (--k);
  v128.store(c, c0);
  v128.store(c, c1, 16);
  v128.store(c, c2, 32);
  v128.store(c, c3, 48);
  v128.store(c, c4, 64);
  v128.store(c, c5, 80);
  v128.store(c, c6, 96);
  v128.store(c, c7, 112);
}

/**
 * Two rows and two panels of B at once.
 *
 *   a0, a1        in: [k] each, numbers `aStride` bytes apart
 *   b0, b1        in: panels of B, [k][NR] each
 *   from0, from1  in: [2 NR] each
 *   to0, to1      out: [2 NR] each; may be from0, from1
 */
export function microkernelPair<T>(
  k: i32,
  a0: usize,
  a1: usize,
  aStride: usize,
  b0: usize,
  b1: usize,
  from0: usize,
  from1: usize,
  to0: usize,
  to1: usize,
): void {
  let c0 = v128.load(from0);
  let c1 = v128.load(from0, 16);
  let c2 = v128.load(from0, 32);
  let c3 = v128.load(from0, 48);
  let d0 = v128.load(from1);
  let d1 = v128.load(from1, 16);
  let d2 = v128.load(from1, 32);
  let d3 = v128.load(from1, 48);
  do {
    const v0 = v128.load(b0);
    const v1 = v128.load(b0, 16);
    const v2 = v128.load(b1);
    const v3 = v128.load(b1, 16);
    const s = loadSplat<T>(a0);
    c0 = madd<T>(s, v0, c0);
    c1 = madd<T>(s, v1, c1);
    c2 = madd<T>(s, v2, c2);
    c3 = madd<T>(s, v3, c3);
    const u = loadSplat<T>(a1);
    d0 = madd<T>(u, v0, d0);
    d1 = madd<T>(u, v1, d1);
    d2 = madd<T>(u, v2, d2);
    d3 = madd<T>(u, v3, d3);
    a0 += aStride;
    a1 += aStride;
    b0 += 32;
    b1 += 32;
  } while (--k);
  v128.store(to0, c0);
  v128.store(to0, c1, 16);
  v128.store(to0, c2, 32);
  v128.store(to0, c3, 48);
  v128.store(to1, d0);
  v128.store(to1, d1, 16);
  v128.store(to1, d2, 32);
  v128.store(to1, d3, 48);
}
