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
export function scratchBytes(): usize {
  return SCRATCH_BYTES;
}

/** Gives this instance its scratch, before any product: from `address` to the address that it returns. */
export function setScratch(address: usize): usize {
  scratch = address;
  return address + SCRATCH_BYTES;
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
 * One block of k, at most KC: B in panels, `panelStride` bytes apart. Rows of A in fours, packed; the last one to three as
 * two and as one, in place.
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
  const aPanelStride = <usize>k * bytes<T>(MR);
  const rowStride = bytes<T>(aRow);
  const cStride = bytes<T>(ldc);
  const startStride = start == c ? cStride : 0;
  const whole = m & ~(MR - 1);
  for (let i = 0; i < whole; i += MC) {
    const mc = min(MC, whole - i);
    pack<T>(k, mc, a + <usize>i * rowStride, aColumn, aRow, MR, scratch, aPanelStride);
    let panel = panels;
    for (let j = 0; j < n; j += nr<T>()) {
      let aPanel = scratch;
      let from = start == OVERWRITE ? ZEROS : at<T>(start, j) + <usize>i * startStride;
      let to = at<T>(c, j) + <usize>i * cStride;
      for (let r = 0; r < mc; r += MR) {
        tile<T>(MR, 1, n - j, k, aPanel, 0, 0, panel, panelStride, panel, from, startStride, to, cStride);
        aPanel += aPanelStride;
        from += <usize>MR * startStride;
        to += <usize>MR * cStride;
      }
      panel += panelStride;
    }
  }
  const numberStride = bytes<T>(aColumn);
  let from = start == OVERWRITE ? OVERWRITE : start + <usize>whole * startStride;
  a += <usize>whole * rowStride;
  c += <usize>whole * cStride;
  if (m & 2) {
    strip<T>(2, n, k, a, rowStride, numberStride, panels, panelStride, from, startStride, c, cStride);
    if (from != OVERWRITE) from += 2 * startStride;
    a += 2 * rowStride;
    c += 2 * cStride;
  }
  if (m & 1) strip<T>(1, n, k, a, rowStride, numberStride, panels, panelStride, from, startStride, c, cStride);
}

/** The last rows of C, `height` = 2 or 1, in tiles of 2 x 2 NR or 1 x 4 NR: as many accumulators as MR x NR has. */
function strip<T>(
  height: i32,
  n: i32,
  k: i32,
  a: usize,
  rowStride: usize,
  numberStride: usize,
  panels: usize,
  panelStride: usize,
  start: usize,
  startStride: usize,
  c: usize,
  cStride: usize,
): void {
  const count = height == 2 ? 2 : 4; // panels of B in a tile
  const last = panels + <usize>((n - 1) / nr<T>()) * panelStride;
  for (let j = 0; j < n; j += count * nr<T>()) {
    const from = start == OVERWRITE ? ZEROS : at<T>(start, j);
    const to = at<T>(c, j);
    tile<T>(
      height,
      count,
      n - j,
      k,
      a,
      rowStride,
      numberStride,
      panels,
      panelStride,
      last,
      from,
      startStride,
      to,
      cStride,
    );
    panels += <usize>count * panelStride;
  }
}

/**
 * One tile of C, `height` rows by `count` panels of B: 4 x 1, 2 x 2 or 1 x 4. The only place that knows edges: where fewer
 * columns are left than the tile is wide, the tile is computed in scratch, and only the columns that exist are copied.
 *
 *   columns    columns of C that are left
 *   a          height 4: a panel of A; else rows rowStride bytes apart, their numbers numberStride bytes apart
 *   panels     panels of B, panelStride bytes apart; `last` stands in for those past it, whose columns are dropped
 *   start, c   rows startStride (0 for a bias) and cStride bytes apart; start is an address in any case
 */
// @ts-ignore: decorator
@inline
function tile<T>(
  height: i32,
  count: i32,
  columns: i32,
  k: i32,
  a: usize,
  rowStride: usize,
  numberStride: usize,
  panels: usize,
  panelStride: usize,
  last: usize,
  start: usize,
  startStride: usize,
  c: usize,
  cStride: usize,
): void {
  const width = count * nr<T>();
  const edge = columns < width;
  const whole = scratch + TILE;
  const wholeStride = bytes<T>(width);
  if (edge) copyTile<T>(height, columns, start, startStride, whole, wholeStride);
  const from = edge ? whole : start;
  const fromStride = edge ? wholeStride : startStride;
  const to = edge ? whole : c;
  const toStride = edge ? wholeStride : cStride;
  if (height == MR) {
    microkernel<T>(k, a, panels, from, fromStride, to, toStride);
  } else if (height == 2) {
    const b1 = min(panels + panelStride, last);
    microkernelPair<T>(k, a, a + rowStride, numberStride, panels, b1, from, from + fromStride, to, to + toStride);
  } else {
    const b1 = min(panels + panelStride, last);
    const b2 = min(panels + 2 * panelStride, last);
    const b3 = min(panels + 3 * panelStride, last);
    microkernelRow<T>(k, a, numberStride, panels, b1, b2, b3, from, to);
  }
  if (edge) copyTile<T>(height, columns, whole, wholeStride, c, cStride);
}

function copyTile<T>(rows: i32, columns: i32, from: usize, fromStride: usize, to: usize, toStride: usize): void {
  for (let i = 0; i < rows; i++) {
    memory.copy(to, from, bytes<T>(columns));
    from += fromStride;
    to += toStride;
  }
}
