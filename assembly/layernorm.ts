// Layer normalisation over rows of n numbers (Ba, Kiros & Hinton 2016, "Layer Normalization", equations 3 and 4):
//
//   mean = (sum of x) / n        var = (sum of (x - mean)^2) / n        rstd = 1 / sqrt(var + eps)
//   xhat = (x - mean) rstd       y = weight xhat + bias
//
// A row whose variance overflows becomes NaN.
//
// backward, from dy:
//
//   dXhat = weight dy            dWeight += sum over rows of dy xhat        dBias += sum over rows of dy
//   dx = rstd (dXhat - (sum of dXhat) / n - xhat (sum of dXhat xhat) / n)
//
// Rows may be slices of wider rows: row r of x starts at number r strideX. Each row is summed on its own, lane by lane from
// the front, so its bits depend on its numbers alone.

import { at, bytes, fillLanes, lanes, loadLanes, madd, nmadd, storeLanes, sumLanes } from "./simd";

/**
 *   x             in: rows of n, strideX numbers apart
 *   weight, bias  in: [n], or 0 for ones and zeros
 *   y             out: rows of n, strideY numbers apart; may be x with its stride
 *   mean, rstd    out: [rows] each, for the backward pass; or 0 for none
 */
export function layerNormForward<T>(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  weight: usize,
  bias: usize,
  eps: T,
  y: usize,
  strideY: i32,
  mean: usize,
  rstd: usize,
): void {
  for (let r = 0; r < rows; r++) {
    let sum = v128.splat<T>(0);
    for (let i = 0; i < n; i += lanes<T>()) sum = v128.add<T>(sum, loadLanes<T>(at<T>(x, i), n - i));
    const m = sumLanes<T>(sum) / <T>n;
    const vMean = v128.splat<T>(m);
    let squares = v128.splat<T>(0);
    for (let i = 0; i < n; i += lanes<T>()) {
      const d = fillLanes<T>(v128.sub<T>(loadLanes<T>(at<T>(x, i), n - i), vMean), 0, n - i);
      squares = madd<T>(d, d, squares);
    }
    const variance = sumLanes<T>(squares) / <T>n;
    // An infinite variance would make rstd and the row 0, which looks like a result.
    const s = variance < <T>Infinity ? <T>1 / sqrt<T>(variance + eps) : <T>NaN;
    const vRstd = v128.splat<T>(s);
    for (let i = 0; i < n; i += lanes<T>()) {
      const rest = n - i;
      let v = v128.mul<T>(v128.sub<T>(loadLanes<T>(at<T>(x, i), rest), vMean), vRstd);
      if (weight) v = v128.mul<T>(loadLanes<T>(at<T>(weight, i), rest), v);
      if (bias) v = v128.add<T>(v, loadLanes<T>(at<T>(bias, i), rest));
      storeLanes<T>(at<T>(y, i), v, rest);
    }
    if (mean) store<T>(at<T>(mean, r), m);
    if (rstd) store<T>(at<T>(rstd, r), s);
    x += bytes<T>(strideX);
    y += bytes<T>(strideY);
  }
}

/**
 *   x               in: as in the forward pass
 *   mean, rstd      in: [rows] each, from the forward pass
 *   weight          in: [n], or 0 for ones
 *   dy              in: rows of n, strideDy numbers apart
 *   dx              out: rows of n, strideDx numbers apart; may be dy with its stride, x with its stride, or 0 for none
 *   dWeight, dBias  in/out: [n], += the gradients; or 0 for none
 */
export function layerNormBackward<T>(
  rows: i32,
  n: i32,
  x: usize,
  strideX: i32,
  mean: usize,
  rstd: usize,
  weight: usize,
  dy: usize,
  strideDy: i32,
  dx: usize,
  strideDx: i32,
  dWeight: usize,
  dBias: usize,
): void {
  for (let r = 0; r < rows; r++) {
    const vMean = v128.splat<T>(load<T>(at<T>(mean, r)));
    const vRstd = v128.splat<T>(load<T>(at<T>(rstd, r)));
    let sum = v128.splat<T>(0);
    let dot = v128.splat<T>(0);
    for (let i = 0; i < n; i += lanes<T>()) {
      const rest = n - i;
      const xhat = v128.mul<T>(v128.sub<T>(loadLanes<T>(at<T>(x, i), rest), vMean), vRstd);
      const d = loadLanes<T>(at<T>(dy, i), rest);
      let dXhat = d; // 0 in the lanes past the end of the row, where xhat is not
      if (weight) dXhat = v128.mul<T>(loadLanes<T>(at<T>(weight, i), rest), d);
      sum = v128.add<T>(sum, dXhat);
      dot = madd<T>(dXhat, xhat, dot);
      if (dWeight) storeLanes<T>(at<T>(dWeight, i), madd<T>(d, xhat, loadLanes<T>(at<T>(dWeight, i), rest)), rest);
      if (dBias) storeLanes<T>(at<T>(dBias, i), v128.add<T>(loadLanes<T>(at<T>(dBias, i), rest), d), rest);
    }
    if (dx) {
      const vSum = v128.splat<T>(sumLanes<T>(sum) / <T>n);
      const vDot = v128.splat<T>(sumLanes<T>(dot) / <T>n);
      for (let i = 0; i < n; i += lanes<T>()) {
        const rest = n - i;
        const xhat = v128.mul<T>(v128.sub<T>(loadLanes<T>(at<T>(x, i), rest), vMean), vRstd);
        let dXhat = loadLanes<T>(at<T>(dy, i), rest);
        if (weight) dXhat = v128.mul<T>(loadLanes<T>(at<T>(weight, i), rest), dXhat);
        const d = nmadd<T>(xhat, vDot, v128.sub<T>(dXhat, vSum));
        storeLanes<T>(at<T>(dx, i), v128.mul<T>(vRstd, d), rest);
      }
      dx += bytes<T>(strideDx);
    }
    x += bytes<T>(strideX);
    dy += bytes<T>(strideDy);
  }
}
