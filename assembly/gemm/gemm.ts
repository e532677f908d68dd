// Matrix products: cache blocking and edges, after Goto & van de Geijn 2008 ("Anatomy of High-Performance Matrix
// Multiplication") and BLIS (Van Zee & van de Geijn 2015). The innermost loops are in microkernel.ts, packing is in pack.ts.
//
//   C [m,n] = start + A [m,k] B [k,n]      start: OVERWRITE (zeros), a bias [n] for every row, or C itself (C += A B)
//
//   for blocks of KC of k:
//     for blocks of NC of n:             pack B: KC x NC, in L2 or L3
//       for blocks of MC of m:           pack A: MC x KC, in L2
//         for panels of B:               KC x NR, in L1
//           for panels of A:             micro-kernel: one tile of C, MR x NR
//
// Each element is summed over k in ascending order whatever the path (tile, edge, one row, blocks of k), so its bits
// depend on its row of A, its column of B and its start alone. A product may therefore be split by rows or by columns: for
// the columns [j, end) pass B, start and C from column j; of packed panels that is at packedBytes(k, j), j a multiple of NR.

import { at, bytes, matrixBytes } from "../simd";
import { microkernel, microkernelPair, microkernelRow, MR, nr } from "./microkernel";
import { pack } from "./pack";

const MC: i32 = 64;
const KC: i32 = 256;
const NC: i32 = 512;

// The scratch of this instance of the module: a packed block of A, one of B, and the tile in which edges of C are computed.
// Instances that share a memory have one each.
let scratch: usize = 0;
const B_BLOCK: usize = <usize>(MC * KC) * 8; // past A's
const TILE: usize = B_BLOCK + <usize>(KC * NC) * 8;
const SCRATCH_BYTES: usize = TILE + 128;

const ZEROS: usize = memory.data(128, 64); // one row of the widest tile; never written

/** The `start` of a product that overwrites C, which is not read. */
export const OVERWRITE: usize = 0;

/** Bytes of scratch that an instance needs. */
export function gemmScratchBytes(): usize {
  return SCRATCH_BYTES;
}

/** Gives this instance its scratch, `gemmScratchBytes()` long, before any product. */
export function setGemmScratch(address: usize): void {
  scratch = address;
}

/** Bytes of a [k, n] operand packed by `packWeight`; for a small n several times those of the operand. */
export function packedSize<T>(k: i32, n: i32): u64 {
  return matrixBytes<T>(k, ((n + nr<T>() - 1) / nr<T>()) * nr<T>());
}

/** `packedSize` of an operand that is in memory, and so fits. */
export function packedBytes<T>(k: i32, n: i32): usize {
  return <usize>packedSize<T>(k, n);
}

/** Packs the right operand B [k,n] once for many calls of `gemmPacked`; panels: out, packedBytes<T>(k, n) long. */
export function packWeight<T>(k: i32, n: i32, b: usize, bRow: i32, bColumn: i32, panels: usize): void {
  pack<T>(k, n, b, bRow, bColumn, nr<T>(), panels, <usize>k * bytes<T>(nr<T>()));
}

/**
 * C [m,n] = start + A [m,k] B [k,n]; m, n >= 0, k >= 1.
 *
 *   a, b    in: element (i, j) is number i * row + j * column (a transposed operand swaps its strides)
 *   start   in: OVERWRITE, a bias [n], or c: then C += A B
 *   c       in/out: [m,n], rows ldc numbers apart; must not overlap a or b
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
  c: usize,
  ldc: i32,
): void {
  const panels = scratch + B_BLOCK;
  for (let p = 0; p < k; p += KC) {
    const kc = min(KC, k - p);
    const panelStride = <usize>kc * bytes<T>(nr<T>());
    const aBlock = a + <usize>p * bytes<T>(aColumn);
    for (let j = 0; j < n; j += NC) {
      const nc = min(NC, n - j);
      const bBlock = b + <usize>p * bytes<T>(bRow) + <usize>j * bytes<T>(bColumn);
      pack<T>(kc, nc, bBlock, bRow, bColumn, nr<T>(), panels, panelStride);
      const from = start == OVERWRITE ? OVERWRITE : at<T>(start, j);
      block<T>(m, nc, kc, aBlock, aRow, aColumn, panels, panelStride, from, at<T>(c, j), ldc);
    }
    start = c;
  }
}

/** `gemm` with rows of A dense, lda numbers apart, and B packed by `packWeight`. */
export function gemmPacked<T>(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  lda: i32,
  panels: usize,
  start: usize,
  c: usize,
  ldc: i32,
): void {
  const panelStride = <usize>k * bytes<T>(nr<T>());
  for (let p = 0; p < k; p += KC) {
    const kc = min(KC, k - p);
    block<T>(m, n, kc, at<T>(a, p), lda, 1, at<T>(panels, p * nr<T>()), panelStride, start, c, ldc);
    start = c;
  }
}

/**
 * One block of k, at most KC: B in panels, `panelStride` bytes apart. Rows of A in fours, packed; the last one to three
 * as two and as one, in place.
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
  c: usize,
  ldc: i32,
): void {
  const rowBytes = bytes<T>(aRow);
  const cStride = bytes<T>(ldc);
  const startStride = start == c ? cStride : 0;
  const panelOfA = <usize>k * bytes<T>(MR);
  const whole = m & ~(MR - 1);
  for (let i = 0; i < whole; i += MC) {
    const mc = min(MC, whole - i);
    pack<T>(k, mc, a + <usize>i * rowBytes, aColumn, aRow, MR, scratch, panelOfA);
    const from = start == OVERWRITE ? OVERWRITE : start + <usize>i * startStride;
    const to = c + <usize>i * cStride;
    tiles<T>(MR, mc, n, k, scratch, panelOfA, 0, panels, panelStride, from, startStride, to, cStride);
  }
  const aStride = bytes<T>(aColumn);
  for (let height = 2, i = whole; height > 0; height >>= 1) {
    if (!(m & height)) continue;
    const rows = a + <usize>i * rowBytes;
    const from = start == OVERWRITE ? OVERWRITE : start + <usize>i * startStride;
    const to = c + <usize>i * cStride;
    tiles<T>(height, height, n, k, rows, rowBytes, aStride, panels, panelStride, from, startStride, to, cStride);
    i += height;
  }
}

/**
 * m rows of C by tiles of one height: 4 x NR, 2 x 2 NR or 1 x 4 NR, 8 vectors each. The only place that knows edges: where
 * fewer columns are left than a tile is wide, it is computed in scratch, with the last panel in place of those past the
 * end, and only the columns that exist are copied to C.
 *
 *   m         a multiple of `height`
 *   a         height 4: panels of A, aStride bytes apart; height 2 and 1: the rows, aStride bytes apart, and their numbers
 *             aColumn bytes
 *   start, c  as of `gemm`, rows startStride (0 for a bias) and cStride bytes apart
 */
function tiles<T>(
  height: i32,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aStride: usize,
  aColumn: usize,
  panels: usize,
  panelStride: usize,
  start: usize,
  startStride: usize,
  c: usize,
  cStride: usize,
): void {
  const width = (MR / height) * nr<T>();
  const last = panels + <usize>((n - 1) / nr<T>()) * panelStride;
  const tile = scratch + TILE;
  for (let j = 0; j < n; j += width) {
    const columns = min(width, n - j);
    const edge = columns < width;
    const b1 = min(panels + panelStride, last);
    const toStride = edge ? bytes<T>(width) : cStride;
    const fromStride = edge ? toStride : startStride;
    let aTile = a;
    let startTile = start == OVERWRITE ? ZEROS : at<T>(start, j);
    let cTile = at<T>(c, j);
    for (let i = 0; i < m; i += height) {
      const from = edge ? tile : startTile;
      const to = edge ? tile : cTile;
      if (edge) copyTile<T>(height, columns, startTile, startStride, tile, toStride);
      if (height == MR) {
        microkernel<T>(k, aTile, panels, from, fromStride, to, toStride);
      } else if (height == 2) {
        microkernelPair<T>(k, a, a + aStride, aColumn, panels, b1, from, from + fromStride, to, to + toStride);
      } else {
        const b2 = min(panels + 2 * panelStride, last);
        const b3 = min(panels + 3 * panelStride, last);
        microkernelRow<T>(k, a, aColumn, panels, b1, b2, b3, from, to);
      }
      if (edge) copyTile<T>(height, columns, tile, toStride, cTile, cStride);
      aTile += aStride;
      startTile += <usize>height * startStride;
      cTile += <usize>height * cStride;
    }
    panels += <usize>(MR / height) * panelStride;
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
