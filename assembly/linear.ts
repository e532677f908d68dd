// The dense layer:  y = x W^T + b          x [rows,in], W [out,in], b [out] (0 for none), y [rows,out]

import { gemm, OVERWRITE } from "./gemm/gemm";
import { addColumnSums, addWeightGradient } from "./recurrent/gradients";

/** y = x W^T + b. */
export function linearForward<T>(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  bias: usize,
  y: usize,
): void {
  gemm<T>(rows, outFeatures, inFeatures, x, inFeatures, 1, weight, 1, inFeatures, bias, y, outFeatures);
}

/** dx = dy W (overwritten; 0: not wanted); dW += dy^T x; db += column sums of dy (0: none). */
export function linearBackward<T>(
  rows: i32,
  inFeatures: i32,
  outFeatures: i32,
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dWeight: usize,
  dBias: usize,
): void {
  if (dx) gemm<T>(rows, inFeatures, outFeatures, dy, outFeatures, 1, weight, inFeatures, 1, OVERWRITE, dx, inFeatures);
  addWeightGradient<T>(rows, outFeatures, inFeatures, dy, outFeatures, x, dWeight);
  if (dBias) addColumnSums<T>(rows, outFeatures, dy, outFeatures, dBias);
}
