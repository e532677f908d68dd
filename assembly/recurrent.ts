// What all recurrent layers share: the product with the input and the gradients of the weights, for all steps at once.
//
// G is the number of gate columns: H for RNN, 4H for LSTM. `rows` is T*N. All buffers are dense and row-major.

import { at, bytes, lanes, loadLanes, storeLanes } from "./simd";
import { gemm } from "./gemm";
import { add } from "./elementwise";

/** out [G] = biasIh + biasHh; returns out, or 0 where there are no biases (both 0). */
export function sumBiases<T>(g: i32, biasIh: usize, biasHh: usize, out: usize): usize {
  if (!biasIh) return 0;
  add<T>(g, biasIh, biasHh, out);
  return out;
}

/** gates [rows,G] = bias + x [rows,D] W_ih^T, W_ih [G,D]; bias [G], or 0 for none. */
export function inputForward<T>(rows: i32, d: i32, g: i32, x: usize, weightIh: usize, bias: usize, gates: usize): void {
  gemm<T>(rows, g, d, x, d, 1, weightIh, 1, d, bias, 0, gates, g);
}

/**
 * From dGates [rows,G]:
 *
 *   dx [rows,D]     = dGates W_ih          out, overwritten; 0 where it is not wanted
 *   dW_ih [G,D]    += dGates^T x
 *   dW_hh [G,H]    += dGates^T hPrev       hPrev [rows,H]
 *   db_ih, db_hh   += column sums          [G] each, 0 where the layer has no biases
 */
export function gatesBackward<T>(
  rows: i32,
  d: i32,
  h: i32,
  g: i32,
  dGates: usize,
  x: usize,
  hPrev: usize,
  weightIh: usize,
  dx: usize,
  dWeightIh: usize,
  dWeightHh: usize,
  dBiasIh: usize,
  dBiasHh: usize,
): void {
  if (dx) gemm<T>(rows, d, g, dGates, g, 1, weightIh, d, 1, 0, 0, dx, d);
  gemm<T>(g, d, rows, dGates, 1, g, x, d, 1, dWeightIh, d, dWeightIh, d);
  gemm<T>(g, h, rows, dGates, 1, g, hPrev, h, 1, dWeightHh, h, dWeightHh, h);
  if (dBiasIh) {
    addColumnSums<T>(rows, g, dGates, dBiasIh);
    addColumnSums<T>(rows, g, dGates, dBiasHh);
  }
}

/** sums [columns] += the sums of m [rows,columns] over its rows, from first to last. */
export function addColumnSums<T>(rows: i32, columns: i32, m: usize, sums: usize): void {
  for (let j = 0; j < columns; j += lanes<T>()) {
    let p = at<T>(m, j);
    let sum = loadLanes<T>(at<T>(sums, j), columns - j);
    for (let i = 0; i < rows; i++) {
      sum = v128.add<T>(sum, loadLanes<T>(p, columns - j));
      p += bytes<T>(columns);
    }
    storeLanes<T>(at<T>(sums, j), sum, columns - j);
  }
}
