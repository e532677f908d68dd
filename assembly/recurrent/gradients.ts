// Gradients of weights and biases: products and sums over the rows of all steps at once.

import { gemm, OVERWRITE } from "../gemm/gemm";
import { at, bytes, lanes, loadLanes, storeLanes } from "../simd";
import { partCount, partFirst, Sequence } from "./sequence";

/**
 * dW [columns,width] += dGates^T input, summed over rows from first to last.
 *
 *   dGates   in: [rows,columns], rows `stride` numbers apart
 *   input    in: [rows,width], dense
 *   dWeight  in/out: dense; must not overlap the others
 */
export function addWeightGradient<T>(
  rows: i32,
  columns: i32,
  width: i32,
  dGates: usize,
  stride: i32,
  input: usize,
  dWeight: usize,
): void {
  gemm<T>(columns, width, rows, dGates, 1, stride, input, width, 1, dWeight, dWeight, width);
}

/** Rows that `addColumnSums` reads at a time. */
const BAND: i32 = 8;

/**
 * sums [columns] += the rows of matrix [rows,columns], from first to last; rows `stride` numbers apart. Reads a band of rows at a time,
 * along the rows: down a column, each number may be in a page of its own.
 */
export function addColumnSums<T>(rows: i32, columns: i32, matrix: usize, stride: i32, sums: usize): void {
  for (; rows > 0; rows -= BAND) {
    const band = min(BAND, rows);
    for (let j = 0; j < columns; j += lanes<T>()) {
      let p = at<T>(matrix, j);
      let sum = loadLanes<T>(at<T>(sums, j), columns - j);
      for (let i = 0; i < band; i++) {
        sum = v128.add<T>(sum, loadLanes<T>(p, columns - j));
        p += bytes<T>(stride);
      }
      storeLanes<T>(at<T>(sums, j), sum, columns - j);
    }
    matrix += <usize>BAND * bytes<T>(stride);
  }
}

/**
 * RNN and LSTM, over all steps at once; of dx the rows, of the others the rows or columns of g that are this call's part:
 *
 *   dx = dProducts W_ih,  dW_ih += dProducts^T x,  dW_hh += dRecurrent^T inputs,  db_ih += sum of dGates,  db_hh likewise
 *
 *   dGates                 in: [rows,g]
 *   inputs                 in: [rows,P], mask h_(t-1)
 *   dProducts, dRecurrent  in: [rows,g], gradients of W_ih x and W_hh h: dGates, unless layer normalisation lies between
 */
export function gatesBackward<T>(
  s: Sequence,
  g: i32,
  dGates: usize,
  inputs: usize,
  dProducts: usize,
  dRecurrent: usize,
): void {
  const d = s.d;
  const p = s.p;
  const row = partFirst(s, s.rows);
  const j = partFirst(s, g);
  const columns = partCount(s, g);
  if (s.dx) {
    gemm<T>(
      partCount(s, s.rows),
      d,
      g,
      at<T>(dProducts, row * g),
      g,
      1,
      s.weightIh,
      d,
      1,
      OVERWRITE,
      at<T>(s.dx, row * d),
      d,
    );
  }
  addWeightGradient<T>(s.rows, columns, d, at<T>(dProducts, j), g, s.x, at<T>(s.dWeightIh, j * d));
  addWeightGradient<T>(s.rows, columns, p, at<T>(dRecurrent, j), g, inputs, at<T>(s.dWeightHh, j * p));
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, columns, at<T>(dGates, j), g, at<T>(s.dBiasIh, j));
    addColumnSums<T>(s.rows, columns, at<T>(dGates, j), g, at<T>(s.dBiasHh, j));
  }
}
