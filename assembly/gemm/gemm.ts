// Matrix products: cache blocking and edges, after Goto & van de Geijn 2008 ("Anatomy of High-Performance Matrix
// Multiplication") and BLIS (Van Zee & van de Geijn 2015). The innermost loops are in microkernel.ts, packing is in pack.ts.
//
//   C [m,n] = start + A [m,k] B [k,n]      start: OVERWRITE (zeros), a bias [n] for every row, or C itself (C += A B)
//
//   for blocks of KC of k:
//     for blocks of NC of n:             pack B: KC x NC, in L2 or L3
//       for blocks of MC of m:           pack A: MC x KC, in L2
//         for panels of B:               KC x NR, in L1
//           for panels of A:             micro-kernel: one tile of C, 6 or 4 x NR
//
// Each element is summed over k in ascending order whatever the path (tile, edge, one row, blocks of k), so its bits
// depend on its row of A, its column of B and its start alone. A product may therefore be split by rows or by columns: for
// the columns [j, end) pass B, start and C from column j; of packed panels that is at packedBytes(k, j), j a multiple of NR.

import { at, bytes, matrixBytes } from "../simd";
import { microkernel, microkernelPair, microkernelRow, nr, TALL } from "./microkernel";
import { pack } from "./pack";

const MC: i32 = 60; // a multiple of all tiles
const LAST_MC: i32 = MC + 12; // the last block: what it has more than MC is tiles without a rest
const NR: usize = 32; // bytes of a row of a panel of B: nr<T>() numbers
const KC: i32 = 256;
const NC: i32 = 512;

// The scratch of this instance of the module: a packed block of A, one of B, and the tile in which edges of C are computed.
// Instances that share a memory have one each.
let scratch: usize = 0;
const B_BLOCK: usize = <usize>(LAST_MC * KC) * 8; // past A's
const TILE: usize = B_BLOCK + <usize>(KC * NC) * 8;
const SCRATCH_BYTES: usize = TILE + 192;

// Whether tiles have 6 rows, or 4. The engine decides that (bindings/instantiate.ts), since tiles differ in speed alone.
let tall: bool = false;

const ZEROS: usize = memory.data(128, 64); // one row of the widest tile; never written

/** The `start` of a product that overwrites C, which is not read. */
export const OVERWRITE: usize = 0;

/** Bytes of scratch that an instance needs. */
export function scratchBytes(): usize {
  return SCRATCH_BYTES;
}

/**
 * Gives this instance its scratch, before any product: from `address` to the address that it returns. `tallTiles`: whether tiles
 * have 6 rows where this module has such.
 */
export function setScratch(address: usize, tallTiles: bool): usize {
  scratch = address;
  if (TALL) tall = tallTiles;
  return address + SCRATCH_BYTES;
}

/** Rows of the next tile where `left` >= 4 are left: 6, and 4 where that leaves no rest, or of an odd number one row. */
// @ts-ignore: decorator
@inline
function tileRows(left: i32): i32 {
  if (!TALL || !tall) return 4;
  return left < 6 || (left & ~1) == 8 ? 4 : 6;
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
    const aBlock = a + <usize>p * bytes<T>(aColumn);
    for (let j = 0; j < n; j += NC) {
      const nc = min(NC, n - j);
      const bBlock = b + <usize>p * bytes<T>(bRow) + <usize>j * bytes<T>(bColumn);
      packWeight<T>(kc, nc, bBlock, bRow, bColumn, panels);
      const from = start == OVERWRITE ? OVERWRITE : at<T>(start, j);
      block(sizeof<T>(), m, nc, kc, aBlock, aRow, aColumn, panels, kc, from, at<T>(c, j), ldc);
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
  for (let p = 0; p < k; p += KC) {
    block(sizeof<T>(), m, n, min(KC, k - p), at<T>(a, p), lda, 1, panels + <usize>p * NR, k, start, c, ldc);
    start = c;
  }
}

// From here on sizes are in bytes, so that both types have the same code up to packing and the micro-kernels.

/**
 * One block of k, at most KC. Rows of A in tiles, packed; the last one to three as two and as one, in place.
 *
 *   size      bytes of a number
 *   panels    in: panels of B, `height` rows each, of which k are read
 *   the rest  as of `gemm`
 */
function block(
  size: usize,
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  panels: usize,
  height: i32,
  start: usize,
  c: usize,
  ldc: i32,
): void {
  const width = <usize>n * size;
  const panelStride = <usize>height * NR;
  const rowStride = <usize>aRow * size;
  const cStride = <usize>ldc * size;
  const startStride = start == c ? cStride : 0;
  while (m >= 4) {
    const mc = m > LAST_MC ? MC : m;
    const whole = packTiles(size, k, mc, a, aRow, aColumn);
    let panel = panels;
    for (let j: usize = 0; j < width; j += NR) {
      let aPanel = scratch;
      let from = start == OVERWRITE ? ZEROS : start + j;
      let to = c + j;
      for (let i = 0; i < whole;) {
        const rows = tileRows(mc - i);
        tile(true, size, rows, 1, width - j, k, aPanel, 0, 0, panel, 0, 0, from, startStride, to, cStride);
        aPanel += <usize>(k * rows) * size;
        from += <usize>rows * startStride;
        to += <usize>rows * cStride;
        i += rows;
      }
      panel += panelStride;
    }
    m -= whole;
    a += <usize>whole * rowStride;
    c += <usize>whole * cStride;
    if (start != OVERWRITE) start += <usize>whole * startStride;
  }
  const numberStride = <usize>aColumn * size;
  if (m & 2) {
    strip(size, 2, width, k, a, rowStride, numberStride, panels, panelStride, start, startStride, c, cStride);
    if (start != OVERWRITE) start += 2 * startStride;
    a += 2 * rowStride;
    c += 2 * cStride;
  }
  if (m & 1) strip(size, 1, width, k, a, rowStride, numberStride, panels, panelStride, start, startStride, c, cStride);
}

/** Packs the rows of A that tiles take, a panel for each, and returns how many these are. */
function packTiles(size: usize, k: i32, m: i32, a: usize, aRow: i32, aColumn: i32): i32 {
  let panel = scratch;
  let i = 0;
  while (m - i >= 4) {
    const left = m - i;
    const rows = tileRows(left);
    const same = rows == 4 ? left & ~3 : left < 14 ? rows : left - ((left - 8) % 6) - 8; // rows in tiles of that height
    const from = a + <usize>(i * aRow) * size;
    const panelStride = <usize>(k * rows) * size;
    if (size == 8) pack<f64>(k, same, from, aColumn, aRow, rows, panel, panelStride);
    else pack<f32>(k, same, from, aColumn, aRow, rows, panel, panelStride);
    panel += <usize>(k * same) * size;
    i += same;
  }
  return i;
}

/** The last rows of C, `height` = 2 or 1, in tiles of 2 x 2 NR or 1 x 4 NR: as many accumulators as 4 x NR has. */
function strip(
  size: usize,
  height: i32,
  width: usize,
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
  const count: usize = height == 2 ? 2 : 4; // panels of B in a tile
  const last = panels + ((width - 1) / NR) * panelStride;
  for (let j: usize = 0; j < width; j += count * NR) {
    const from = start == OVERWRITE ? ZEROS : start + j;
    // prettier-ignore
    tile(
      false, size, height, count, width - j, k, a, rowStride, numberStride, panels, panelStride, last, from, startStride, c + j, cStride,
    );
    panels += count * panelStride;
  }
}

/**
 * One tile of C, `height` rows by `count` panels of B: 6 or 4 x 1, 2 x 2 or 1 x 4. The only place that knows edges: where C has
 * fewer columns left than the tile, the tile is computed in scratch, and only the columns that exist are copied.
 *
 *   packed     a constant: whether a is a panel of A, with count = 1
 *   size       bytes of a number
 *   left       bytes that are left of each row of C
 *   a          a panel of A, or rows rowStride bytes apart, their numbers numberStride bytes apart
 *   panels     panels of B, panelStride bytes apart; `last` stands in for those past it, whose columns are dropped
 *   start, c   rows startStride (0 for a bias) and cStride bytes apart; start is an address in any case
 */
// @ts-ignore: decorator
@inline
function tile(
  packed: bool,
  size: usize,
  height: i32,
  count: usize,
  left: usize,
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
  const width = count * NR;
  const edge = left < width;
  const whole = scratch + TILE;
  if (edge) copyTile(height, left, start, startStride, whole, width);
  const from = edge ? whole : start;
  const fromStride = edge ? width : startStride;
  const to = edge ? whole : c;
  const toStride = edge ? width : cStride;
  if (packed) {
    if (size == 8) microkernel<f64>(height, k, a, panels, from, fromStride, to, toStride);
    else microkernel<f32>(height, k, a, panels, from, fromStride, to, toStride);
  } else {
    const b1 = min(panels + panelStride, last);
    if (height == 2) {
      const a1 = a + rowStride;
      const from1 = from + fromStride;
      const to1 = to + toStride;
      if (size == 8) microkernelPair<f64>(k, a, a1, numberStride, panels, b1, from, from1, to, to1);
      else microkernelPair<f32>(k, a, a1, numberStride, panels, b1, from, from1, to, to1);
    } else {
      const b2 = min(panels + 2 * panelStride, last);
      const b3 = min(panels + 3 * panelStride, last);
      if (size == 8) microkernelRow<f64>(k, a, numberStride, panels, b1, b2, b3, from, to);
      else microkernelRow<f32>(k, a, numberStride, panels, b1, b2, b3, from, to);
    }
  }
  if (edge) copyTile(height, left, whole, width, c, cStride);
}

function copyTile(rows: i32, width: usize, from: usize, fromStride: usize, to: usize, toStride: usize): void {
  for (let i = 0; i < rows; i++) {
    memory.copy(to, from, width);
    from += fromStride;
    to += toStride;
  }
}
