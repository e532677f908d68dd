// Gradients of weights and biases: products and sums over the rows of all steps at once.

import { gemm, OVERWRITE } from "../gemm/gemm";
import { at, bytes, lanes, loadLanes, storeLanes } from "../simd";
import { Sequence } from "./sequence";

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

/** sums [columns] += the rows of matrix [rows,columns], from first to last; rows `stride` numbers apart. */
export function addColumnSums<T>(rows: i32, columns: i32, matrix: usize, stride: i32, sums: usize): void {
  for (let j = 0; j < columns; j += lanes<T>()) {
    let p = at<T>(matrix, j);
    let sum = loadLanes<T>(at<T>(sums, j), columns - j);
    for (let i = 0; i < rows; i++) {
      sum = v128.add<T>(sum, loadLanes<T>(p, columns - j));
      p += bytes<T>(stride);
    }
    storeLanes<T>(at<T>(sums, j), sum, columns - j);
  }
}

/**
 * RNN and LSTM, over all steps at once:
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
  if (s.dx) gemm<T>(s.rows, s.d, g, dProducts, g, 1, s.weightIh, s.d, 1, OVERWRITE, s.dx, s.d);
  addWeightGradient<T>(s.rows, g, s.d, dProducts, g, s.x, s.dWeightIh);
  addWeightGradient<T>(s.rows, g, s.p, dRecurrent, g, inputs, s.dWeightHh);
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasIh);
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasHh);
  }
}
