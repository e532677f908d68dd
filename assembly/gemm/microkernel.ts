// The innermost loops of every matrix product: for four rows, for two and for one. All sum over k in the same order, so a
// row has the same bits alone and in a batch. Edges are handled in gemm.ts.

import { bytes, lanes, loadSplat, madd } from "../simd";

/** Rows of C that one call of the micro-kernel computes. */
export const MR: i32 = 4;

/** Columns of C that one call of the micro-kernel computes: two vectors, 4 (f64) or 8 (f32). */
// @ts-ignore: decorator
@inline
export function nr<T>(): i32 {
  return 2 * lanes<T>();
}

/**
 * C = from + A B for one tile of MR x NR.
 *
 *   a     in: panel of A, [k][MR]
 *   b     in: panel of B, [k][NR]
 *   from  in: initial values of the accumulators, [MR][NR], rows `fromStride` bytes apart (0: one row for all)
 *   c     out: [MR][NR], rows `cStride` bytes apart; may be `from`
 *
 * Each element is summed over k in ascending order, starting with `from`: k in two calls gives the bits of one. 8
 * accumulators, 2 vectors of B and 1 splat of A fit the 16 xmm registers of x86 on every V8; a 6 x NR tile is 10% faster on
 * Node 24, but spills and takes twice the time on Node 20 and 22.
 */
export function microkernel<T>(
  k: i32,
  a: usize,
  b: usize,
  from: usize,
  fromStride: usize,
  c: usize,
  cStride: usize,
): void {
  let row = from;
  let c00 = v128.load(row);
  let c01 = v128.load(row, 16);
  row += fromStride;
  let c10 = v128.load(row);
  let c11 = v128.load(row, 16);
  row += fromStride;
  let c20 = v128.load(row);
  let c21 = v128.load(row, 16);
  row += fromStride;
  let c30 = v128.load(row);
  let c31 = v128.load(row, 16);
  do {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = loadSplat<T>(a);
    c00 = madd<T>(a0, b0, c00);
    c01 = madd<T>(a0, b1, c01);
    const a1 = loadSplat<T>(a + bytes<T>(1));
    c10 = madd<T>(a1, b0, c10);
    c11 = madd<T>(a1, b1, c11);
    const a2 = loadSplat<T>(a + bytes<T>(2));
    c20 = madd<T>(a2, b0, c20);
    c21 = madd<T>(a2, b1, c21);
    const a3 = loadSplat<T>(a + bytes<T>(3));
    c30 = madd<T>(a3, b0, c30);
    c31 = madd<T>(a3, b1, c31);
    a += bytes<T>(4);
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
