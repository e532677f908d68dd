// Matrix products: cache blocking, edges, and one row; after Goto & van de Geijn (2008) and BLIS.
//
//   C [m,n] = start + A [m,k] B [k,n]      start: zeros, a row for all rows (a bias), or C itself
//
// for blocks of KC of k, for blocks of NC of n:            B block packed: KC x NC, in L2 or L3
//   for blocks of MC of m:                                 A block packed: MC x KC, in L2
//     for panels of B (KC x NR, in L1), for panels of A:   micro-kernel
//
// Every element is summed over k in ascending order whatever the path (tile, edge, one row, blocks of k), so that its
// bits depend on its row of A, its column of B and its start alone.

import { at, bytes, matrixBytes } from "../simd";
import { microkernel, microkernelPair, microkernelRow, MR, nr } from "./microkernel";
import { pack } from "./pack";

const MC: i32 = 64;
const KC: i32 = 256;
const NC: i32 = 512;

// One set of blocks for each instance of the module: kernels are not re-entered.
const A_BLOCK: usize = memory.data(64 * 256 * 8, 64);
const B_BLOCK: usize = memory.data(256 * 512 * 8, 64);
const TILE: usize = memory.data(256, 64); // MR x NR, or 4 NR of one row: where the edges of C are computed
const ZEROS: usize = memory.data(256, 64); // what overwriting starts from; never written

/** Bytes of a [k, n] operand packed by `packWeight`; where n is small, several times those of the operand. */
export function packedSize<T>(k: i32, n: i32): u64 {
  return matrixBytes<T>(k, ((n + nr<T>() - 1) / nr<T>()) * nr<T>());
}

/** `packedSize`, of operands that were packed: how far behind one the next lies. */
export function packedBytes<T>(k: i32, n: i32): usize {
  return <usize>packedSize<T>(k, n);
}

/** Packs the right operand B [k,n] once for many calls of `gemmPacked`: out is packedBytes<T>(k, n) long. */
export function packWeight<T>(k: i32, n: i32, b: usize, bRow: i32, bColumn: i32, packed: usize): void {
  pack<T>(k, n, b, bRow, bColumn, nr<T>(), packed, <usize>k * bytes<T>(nr<T>()));
}

/**
 * C [m,n] = start + A [m,k] B [k,n]; m, n >= 0, k >= 1.
 *
 *   a, b    in: element (i, j) is number i * row + j * column (a transposed operand swaps its strides)
 *   start   in: 0 (start from zeros: C is not read), C itself with startRow = ldc (accumulate), or a row [n] for all
 *           rows with startRow = 0 (a bias)
 *   c       out: rows ldc numbers apart; must not overlap a or b
 */
export function gemm<T>(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  start: usize,
  startRow: i32,
  c: usize,
  ldc: i32,
): void {
  for (let p = 0; p < k; p += KC) {
    const kc = min(KC, k - p);
    const panelStride = <usize>kc * bytes<T>(nr<T>());
    const aBlock = a + <usize>p * bytes<T>(aColumn);
    for (let j = 0; j < n; j += NC) {
      const nc = min(NC, n - j);
      const bBlock = b + <usize>p * bytes<T>(bRow) + <usize>j * bytes<T>(bColumn);
      pack<T>(kc, nc, bBlock, bRow, bColumn, nr<T>(), B_BLOCK, panelStride);
      const from = start ? at<T>(start, j) : 0;
      block<T>(m, nc, kc, aBlock, aRow, aColumn, B_BLOCK, panelStride, from, startRow, at<T>(c, j), ldc);
    }
    start = c;
    startRow = ldc;
  }
}

/** `gemm` with B packed by `packWeight`. */
export function gemmPacked<T>(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  packed: usize,
  start: usize,
  startRow: i32,
  c: usize,
  ldc: i32,
): void {
  const panelStride = <usize>k * bytes<T>(nr<T>());
  for (let p = 0; p < k; p += KC) {
    const kc = min(KC, k - p);
    const aBlock = a + <usize>p * bytes<T>(aColumn);
    const panels = packed + <usize>p * bytes<T>(nr<T>());
    block<T>(m, n, kc, aBlock, aRow, aColumn, panels, panelStride, start, startRow, c, ldc);
    start = c;
    startRow = ldc;
  }
}

/**
 * One block of k, at most KC: B in panels, `panelStride` bytes apart. Rows in fours by the micro-kernel, on packed A;
 * the last one to three by the kernels for two rows and for one, on A as it is.
 */
function block<T>(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  panels: usize,
  panelStride: usize,
  start: usize,
  startRow: i32,
  c: usize,
  ldc: i32,
): void {
  const aPanelStride = <usize>k * bytes<T>(MR);
  const aStride = bytes<T>(aColumn);
  const fromStride = start ? bytes<T>(startRow) : 0;
  const cStride = bytes<T>(ldc);
  const whole = m & ~(MR - 1);
  for (let i = 0; i < whole; i += MC) {
    const mc = min(MC, whole - i);
    pack<T>(k, mc, a + <usize>i * bytes<T>(aRow), aColumn, aRow, MR, A_BLOCK, aPanelStride);
    let bPanel = panels;
    for (let j = 0; j < n; j += nr<T>()) {
      const columns = min(nr<T>(), n - j);
      let aPanel = A_BLOCK;
      let from = start ? at<T>(start, j) + <usize>i * fromStride : ZEROS;
      let to = at<T>(c, j) + <usize>i * cStride;
      for (let r = 0; r < mc; r += MR) {
        if (columns == nr<T>()) {
          microkernel<T>(k, aPanel, bPanel, from, fromStride, to, cStride);
        } else {
          copyTile<T>(MR, columns, from, fromStride, TILE, bytes<T>(nr<T>()));
          microkernel<T>(k, aPanel, bPanel, TILE, bytes<T>(nr<T>()), TILE, bytes<T>(nr<T>()));
          copyTile<T>(MR, columns, TILE, bytes<T>(nr<T>()), to, cStride);
        }
        aPanel += aPanelStride;
        from += <usize>MR * fromStride;
        to += <usize>MR * cStride;
      }
      bPanel += panelStride;
    }
  }
  let from = start ? start + <usize>whole * fromStride : 0;
  a += <usize>whole * bytes<T>(aRow);
  c += <usize>whole * cStride;
  if (m & 2) {
    twoRows<T>(n, k, a, a + bytes<T>(aRow), aStride, panels, panelStride, from, fromStride, c, cStride);
    if (from) from += 2 * fromStride;
    a += 2 * bytes<T>(aRow);
    c += 2 * cStride;
  }
  if (m & 1) oneRow<T>(n, k, a, aStride, panels, panelStride, from, c);
}

/** Two rows, two panels at a time; where one is left, it is computed twice and the copy dropped. */
function twoRows<T>(
  n: i32,
  k: i32,
  a0: usize,
  a1: usize,
  aStride: usize,
  panels: usize,
  panelStride: usize,
  start: usize,
  fromStride: usize,
  c: usize,
  cStride: usize,
): void {
  const width = 2 * nr<T>();
  for (let j = 0; j < n; j += width) {
    const columns = min(width, n - j);
    const from = start ? at<T>(start, j) : ZEROS;
    const to = at<T>(c, j);
    const b1 = columns > nr<T>() ? panels + panelStride : panels;
    if (columns == width) {
      microkernelPair<T>(k, a0, a1, aStride, panels, b1, from, from + fromStride, to, to + cStride);
    } else {
      copyTile<T>(2, columns, from, fromStride, TILE, bytes<T>(width));
      microkernelPair<T>(k, a0, a1, aStride, panels, b1, TILE, at<T>(TILE, width), TILE, at<T>(TILE, width));
      copyTile<T>(2, columns, TILE, bytes<T>(width), to, cStride);
    }
    panels += 2 * panelStride;
  }
}

/** One row, four panels at a time; where fewer are left, the last one is computed again and dropped. */
function oneRow<T>(
  n: i32,
  k: i32,
  a: usize,
  aStride: usize,
  panels: usize,
  panelStride: usize,
  start: usize,
  c: usize,
): void {
  const width = 4 * nr<T>();
  const last = panels + <usize>((n - 1) / nr<T>()) * panelStride;
  for (let j = 0; j < n; j += width) {
    const columns = min(width, n - j);
    const from = start ? at<T>(start, j) : ZEROS;
    const b1 = min(panels + panelStride, last);
    const b2 = min(panels + 2 * panelStride, last);
    const b3 = min(panels + 3 * panelStride, last);
    if (columns == width) {
      microkernelRow<T>(k, a, aStride, panels, b1, b2, b3, from, at<T>(c, j));
    } else {
      memory.copy(TILE, from, bytes<T>(columns));
      microkernelRow<T>(k, a, aStride, panels, b1, b2, b3, TILE, TILE);
      memory.copy(at<T>(c, j), TILE, bytes<T>(columns));
    }
    panels += 4 * panelStride;
  }
}

// @ts-ignore: decorator
@inline
function copyTile<T>(rows: i32, columns: i32, from: usize, fromStride: usize, to: usize, toStride: usize): void {
  for (let i = 0; i < rows; i++) {
    memory.copy(to, from, bytes<T>(columns));
    from += fromStride;
    to += toStride;
  }
}
