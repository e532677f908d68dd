// Packing: copies a matrix into panels, which the micro-kernel reads from front to back.

import { at, bytes, lanes } from "../simd";

/** Panels that are written side by side. */
const BAND: i32 = 8;

/**
 * Packs a matrix [k, n] into ceil(n / width) panels of [k][width]; the last one is padded with zeros. In order of memory:
 *
 *     | 0 1 2 3 4 |   width 4:   0 1 2 3 | 5 6 7 8     4 0 0 0 | 9 0 0 0
 *     | 5 6 7 8 9 |              panel 0               panel 1
 *
 *   matrix  in: element (p, j) is number p * rowStride + j * columnStride
 *   width   NR for B, the rows of a tile for A: 4, 6 or 8
 *   panels  out: panelStride bytes apart, at least k * width numbers each; must not overlap the matrix
 *
 * A is passed with its strides swapped: the micro-kernel reads the rows of a tile for each k.
 */
export function pack<T>(
  k: i32,
  n: i32,
  matrix: usize,
  rowStride: i32,
  columnStride: i32,
  width: i32,
  panels: usize,
  panelStride: usize,
): void {
  let j = 0;
  if (columnStride == 1) {
    for (let count = min(n / width, BAND); count; count = min((n - j) / width, BAND)) {
      packRows(k, count, at<T>(matrix, j), bytes<T>(rowStride), bytes<T>(width), panels, panelStride);
      panels += <usize>count * panelStride;
      j += count * width;
    }
  }
  for (; j < n; j += width) {
    const from = matrix + <usize>j * bytes<T>(columnStride);
    if (rowStride == 1 && j + width <= n) packColumns<T>(k, from, columnStride, width, panels);
    else packElements<T>(0, k, 0, min(width, n - j), from, rowStride, columnStride, width, panels);
    panels += panelStride;
  }
}

/** Rows [start, k) and columns [first, columns) of one panel, from any strides; zeros in the columns past those. */
function packElements<T>(
  start: i32,
  k: i32,
  first: i32,
  columns: i32,
  from: usize,
  rowStride: i32,
  columnStride: i32,
  width: i32,
  panel: usize,
): void {
  for (let p = start; p < k; p++) {
    const row = from + <usize>p * bytes<T>(rowStride);
    const out = panel + <usize>p * bytes<T>(width);
    for (let j = first; j < columns; j++) store<T>(at<T>(out, j), load<T>(row + <usize>j * bytes<T>(columnStride)));
    for (let j = columns; j < width; j++) store<T>(at<T>(out, j), 0);
  }
}

/** `count` full panels, from rows whose numbers are neighbours: along the rows. Strides and width in bytes; width: 16, 24 ... 56. */
function packRows(
  k: i32,
  count: i32,
  from: usize,
  rowStride: usize,
  width: usize,
  panels: usize,
  panelStride: usize,
): void {
  const vectors = width & ~15;
  for (let p = 0; p < k; p++) {
    let out = panels;
    let row = from;
    for (let i = 0; i < count; i++) {
      v128.store(out, v128.load(row));
      if (width >= 32) v128.store(out, v128.load(row, 16), 16);
      if (width >= 48) v128.store(out, v128.load(row, 32), 32);
      if (width & 8) store<u64>(out + vectors, load<u64>(row + vectors));
      row += width;
      out += panelStride;
    }
    from += rowStride;
    panels += width;
  }
}

/** One full panel, from columns whose numbers are neighbours: transposes lanes x lanes blocks in registers, the rest number by number. */
function packColumns<T>(k: i32, from: usize, columnStride: i32, width: i32, panel: usize): void {
  const stride = bytes<T>(columnStride);
  const panelRow = bytes<T>(width);
  const whole = k & ~(lanes<T>() - 1);
  const columns = width & ~(lanes<T>() - 1);
  for (let j = 0; j < columns; j += lanes<T>()) {
    let column = from + <usize>j * stride;
    let out = at<T>(panel, j);
    for (let p = 0; p < whole; p += lanes<T>()) {
      transposeBlock<T>(column, stride, out, panelRow);
      column += 16;
      out += 16 * <usize>width;
    }
  }
  if (columns < width) packElements<T>(0, whole, columns, width, from, 1, columnStride, width, panel);
  if (whole < k) packElements<T>(whole, k, 0, width, from, 1, columnStride, width, panel);
}

/** out [lanes][lanes] = from [lanes][lanes] transposed; strides in bytes. */
// @ts-ignore: decorator
@inline
export function transposeBlock<T>(from: usize, fromStride: usize, out: usize, outStride: usize): void {
  const r0 = v128.load(from);
  const r1 = v128.load(from + fromStride);
  if (sizeof<T>() == 8) {
    v128.store(out, v128.shuffle<i64>(r0, r1, 0, 2));
    v128.store(out + outStride, v128.shuffle<i64>(r0, r1, 1, 3));
  } else {
    const r2 = v128.load(from + 2 * fromStride);
    const r3 = v128.load(from + 3 * fromStride);
    const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
    const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
    const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
    const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
    v128.store(out, v128.shuffle<i64>(low01, low23, 0, 2));
    v128.store(out + outStride, v128.shuffle<i64>(low01, low23, 1, 3));
    v128.store(out + 2 * outStride, v128.shuffle<i64>(high01, high23, 0, 2));
    v128.store(out + 3 * outStride, v128.shuffle<i64>(high01, high23, 1, 3));
  }
}
