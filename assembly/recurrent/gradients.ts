// The gradients of weights and biases: products and sums over the rows of all steps.

import { gemm } from "../gemm/gemm";
import { at, bytes, lanes, loadLanes, storeLanes } from "../simd";
import { Sequence } from "./sequence";

/**
 * dW [columns,width] += dGates^T other, db += column sums of dGates.
 *
 *   dGates   in: [rows,columns], rows `stride` numbers apart
 *   other    in: [rows,width]
 */
export function addWeightGradient<T>(
  rows: i32,
  columns: i32,
  width: i32,
  dGates: usize,
  stride: i32,
  other: usize,
  dWeight: usize,
): void {
  gemm<T>(columns, width, rows, dGates, 1, stride, other, width, 1, dWeight, width, dWeight, width);
}

/** sums [columns] += the sums of m [rows,columns] over its rows, from first to last; rows `stride` numbers apart. */
export function addColumnSums<T>(rows: i32, columns: i32, m: usize, stride: i32, sums: usize): void {
  for (let j = 0; j < columns; j += lanes<T>()) {
    let p = at<T>(m, j);
    let sum = loadLanes<T>(at<T>(sums, j), columns - j);
    for (let i = 0; i < rows; i++) {
      sum = v128.add<T>(sum, loadLanes<T>(p, columns - j));
      p += bytes<T>(stride);
    }
    storeLanes<T>(at<T>(sums, j), sum, columns - j);
  }
}

/**
 * The gradients that all steps give at once, from dGates [rows,g] of RNN and LSTM: dx, dW_ih, dW_hh and the biases'.
 *
 *   hs                     in: [rows,P], what the recurrent product took
 *   dProducts, dRecurrent  in: [rows,g], gradients of what W_ih and W_hh gave: dGates, but for layer normalisation
 */
export function gatesBackward<T>(
  s: Sequence,
  g: i32,
  dGates: usize,
  hs: usize,
  dProducts: usize,
  dRecurrent: usize,
): void {
  if (s.dx) gemm<T>(s.rows, s.d, g, dProducts, g, 1, s.weightIh, s.d, 1, 0, 0, s.dx, s.d);
  addWeightGradient<T>(s.rows, g, s.d, dProducts, g, s.x, s.dWeightIh);
  addWeightGradient<T>(s.rows, g, s.p, dRecurrent, g, hs, s.dWeightHh);
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasIh);
    addColumnSums<T>(s.rows, g, dGates, g, s.dBiasHh);
  }
}
