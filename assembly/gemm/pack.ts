// Packing: copies a matrix into panels, which the micro-kernel reads from front to back.

import { at, bytes, lanes } from "../simd";

/**
 * Packs a matrix [k, n] into ceil(n / width) panels of [k][width]; the last one is padded with zeros. In order of memory:
 *
 *     | 0 1 2 3 4 |   width 4:   0 1 2 3 | 5 6 7 8     4 0 0 0 | 9 0 0 0
 *     | 5 6 7 8 9 |              panel 0               panel 1
 *
 *   matrix  in: element (p, j) is number p * rowStride + j * columnStride
 *   width   multiple of the lanes of T: NR for B, MR for A
 *   panels  out: panelStride bytes apart, at least k * width numbers each; must not overlap the matrix
 *
 * A is passed with its strides swapped: the micro-kernel reads MR rows of it for each k.
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
  for (let j = 0; j < n; j += width) {
    const from = matrix + <usize>j * bytes<T>(columnStride);
    if (j + width > n) packElements<T>(0, k, n - j, from, rowStride, columnStride, width, panels);
    else if (columnStride == 1) packRows<T>(k, from, rowStride, width, panels);
    else if (rowStride == 1) packColumns<T>(k, from, columnStride, width, panels);
    else packElements<T>(0, k, width, from, rowStride, columnStride, width, panels);
    panels += panelStride;
  }
}

/** Rows [start, k) of one panel, from any strides and any number of columns. */
function packElements<T>(
  start: i32,
  k: i32,
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
    for (let j = 0; j < columns; j++) store<T>(at<T>(out, j), load<T>(row + <usize>j * bytes<T>(columnStride)));
    for (let j = columns; j < width; j++) store<T>(at<T>(out, j), 0);
  }
}

/** One full panel, from rows whose numbers are neighbours. */
function packRows<T>(k: i32, from: usize, rowStride: i32, width: i32, panel: usize): void {
  for (let p = 0; p < k; p++) {
    for (let i: usize = 0; i < bytes<T>(width); i += 16) v128.store(panel + i, v128.load(from + i));
    from += bytes<T>(rowStride);
    panel += bytes<T>(width);
  }
}

/** One full panel, from columns whose numbers are neighbours: transposes lanes x lanes blocks in registers. */
function packColumns<T>(k: i32, from: usize, columnStride: i32, width: i32, panel: usize): void {
  const stride = bytes<T>(columnStride);
  const panelRow = bytes<T>(width);
  const whole = k & ~(lanes<T>() - 1);
  for (let j = 0; j < width; j += lanes<T>()) {
    let column = from + <usize>j * stride;
    let out = at<T>(panel, j);
    for (let p = 0; p < whole; p += lanes<T>()) {
      transposeBlock<T>(column, stride, out, panelRow);
      column += 16;
      out += 16 * <usize>width;
    }
  }
  packElements<T>(whole, k, width, from, 1, columnStride, width, panel);
}

/** out [lanes][lanes] = from [lanes][lanes] transposed; strides in bytes. */
// @ts-ignore: decorator
@inline
function transposeBlock<T>(from: usize, fromStride: usize, out: usize, outStride: usize): void {
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
