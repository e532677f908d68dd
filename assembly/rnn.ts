// The simple recurrent network (Elman 1990), forward and backward: one step (cell), then all steps (sequence).
//
//   h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)            phi = tanh or ReLU
//
//   da_t = (dOutput_t + dh_t) phi'(h_t)                         dh_t: what step t + 1 hands down (dh_n at the last step)
//   dh_(t-1) = W_hh^T da_t
//
// Shapes: x [T,N,D]; hs [T+1,N,H] with h_0 in slot 0, so that h_(t-1) of all steps is the same buffer; W_ih [H,D];
// W_hh [H,H]; b [H], or 0 for none. All buffers are dense, row-major, and do not overlap.

import { at, bytes, lanes, loadLanes, storeLanes } from "./simd";
import { activate, activateBackward, activation } from "./activation";
import { gemm, gemmPacked, packedBytes, packWeight } from "./gemm";
import { gatesBackward, inputForward, sumBiases } from "./recurrent";

/** Bytes of `work` for rnnForward and rnnBackward. */
export function rnnWorkspace<T>(h: i32): usize {
  return packedBytes<T>(h, h) + bytes<T>(h);
}

/** hNext [N,H]: in W_ih x + b, out phi(that + W_hh hPrev); weightHh packed. */
function rnnStep<T>(phi: i32, n: i32, h: i32, hPrev: usize, packedHh: usize, hNext: usize): void {
  gemmPacked<T>(n, h, h, hPrev, h, 1, packedHh, hNext, h, hNext, h);
  activation<T>(phi, n * h, hNext, hNext);
}

/** da [count] = (dOutput + dh) phi'(h); dOutput may be 0. */
function rnnStepBackward<T>(phi: i32, count: i32, h: usize, dOutput: usize, dh: usize, da: usize): void {
  for (let i = 0; i < count; i += lanes<T>()) {
    const rest = count - i;
    let d = loadLanes<T>(at<T>(dh, i), rest);
    if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, i), rest), d);
    storeLanes<T>(at<T>(da, i), activateBackward<T>(phi, d, loadLanes<T>(at<T>(h, i), rest)), rest);
  }
}

/**
 * One step: hNext [N,H] (out) from x [N,D] and hPrev [N,H].
 *
 *   packedIh, packedHh   W_ih^T [D,H] and W_hh^T [H,H], packed by `packWeight` once for many steps
 *   bias                 [H] = b_ih + b_hh, or 0
 */
export function rnnCellForward<T>(
  phi: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hPrev: usize,
  packedIh: usize,
  packedHh: usize,
  bias: usize,
  hNext: usize,
): void {
  gemmPacked<T>(n, h, d, x, d, 1, packedIh, bias, 0, hNext, h);
  rnnStep<T>(phi, n, h, hPrev, packedHh, hNext);
}

/**
 * One step backward, from hNext [N,H] and its gradient dhNext [N,H].
 *
 *   da              out: [N,H], the gradient of what phi was taken of
 *   dx, dhPrev      out: [N,D], [N,H]
 *   dWeightIh ...   in/out: += the gradients of the weights and biases
 */
export function rnnCellBackward<T>(
  phi: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hPrev: usize,
  hNext: usize,
  weightIh: usize,
  weightHh: usize,
  dhNext: usize,
  da: usize,
  dx: usize,
  dhPrev: usize,
  dWeightIh: usize,
  dWeightHh: usize,
  dBiasIh: usize,
  dBiasHh: usize,
): void {
  rnnStepBackward<T>(phi, n * h, hNext, 0, dhNext, da);
  gemm<T>(n, h, h, da, h, 1, weightHh, h, 1, 0, 0, dhPrev, h);
  gatesBackward<T>(n, d, h, h, da, x, hPrev, weightIh, dx, dWeightIh, dWeightHh, dBiasIh, dBiasHh);
}

/** All steps: hs [T+1,N,H], in h_0 in slot 0, out the rest. work: rnnWorkspace bytes. */
export function rnnForward<T>(
  phi: i32,
  t: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  weightIh: usize,
  weightHh: usize,
  biasIh: usize,
  biasHh: usize,
  hs: usize,
  work: usize,
): void {
  const packedHh = work;
  const bias = sumBiases<T>(h, biasIh, biasHh, work + packedBytes<T>(h, h));
  const step = bytes<T>(n * h);
  inputForward<T>(t * n, d, h, x, weightIh, bias, hs + step);
  packWeight<T>(h, h, weightHh, 1, h, packedHh);
  for (let i = 0; i < t; i++, hs += step) rnnStep<T>(phi, n, h, hs, packedHh, hs + step);
}

/**
 * All steps backward.
 *
 *   dOutput        in: [T,N,H], or 0
 *   dh             in: dh_n [N,H]; out: dh_0
 *   da             out: [T,N,H]
 *   dx             out: [T,N,D], or 0
 *   dWeightIh ...  in/out: +=
 */
export function rnnBackward<T>(
  phi: i32,
  t: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hs: usize,
  weightIh: usize,
  weightHh: usize,
  dOutput: usize,
  dh: usize,
  da: usize,
  dx: usize,
  dWeightIh: usize,
  dWeightHh: usize,
  dBiasIh: usize,
  dBiasHh: usize,
  work: usize,
): void {
  packWeight<T>(h, h, weightHh, h, 1, work);
  const step = bytes<T>(n * h);
  for (let i = t - 1; i >= 0; i--) {
    const offset = <usize>i * step;
    const daStep = da + offset;
    rnnStepBackward<T>(phi, n * h, hs + offset + step, dOutput ? dOutput + offset : 0, dh, daStep);
    gemmPacked<T>(n, h, h, daStep, h, 1, work, 0, 0, dh, h);
  }
  gatesBackward<T>(t * n, d, h, h, da, x, hs, weightIh, dx, dWeightIh, dWeightHh, dBiasIh, dBiasHh);
}
