// Long short-term memory (Hochreiter & Schmidhuber 1997, forget gate: Gers et al. 2000), forward and backward: one step
// (cell), then all steps (sequence).
//
//   [i f g o]_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh         before the non-linearities below
//   i = s(i), f = s(f), o = s(o), g = phi(g)                    s = sigmoid; phi = tanh (or ReLU)
//   c_t = f c_(t-1) + i g
//   h_t = o phi(c_t)
//
//   dh  = dOutput_t + dh_t                                      dh_t, dc_t: what step t + 1 hands down (dh_n, dc_n at
//   do  = dh phi(c_t) s'(o)                                     the last step)
//   dc  = dc_t + dh o phi'(c_t)
//   di  = dc g s'(i),  df = dc c_(t-1) s'(f),  dg = dc i phi'(g)
//   dc_(t-1) = dc f
//   dh_(t-1) = W_hh^T [di df dg do]
//
// Shapes: x [T,N,D]; hs, cs [T+1,N,H] with h_0, c_0 in slot 0; gates [T,N,4H] in the order i f g o; phiC [T,N,H] = phi(c);
// W_ih [4H,D]; W_hh [4H,H]; b [4H], or 0 for none. All buffers are dense, row-major, and do not overlap.

import { at, bytes, lanes, loadLanes, madd, storeLanes } from "./simd";
import { sigmoid } from "./math";
import { activate, activateBackward, sigmoidBackward } from "./activation";
import { gemm, gemmPacked, packedBytes, packWeight } from "./gemm";
import { gatesBackward, inputForward, sumBiases } from "./recurrent";

/** Bytes of `work` for lstmForward and lstmBackward. */
export function lstmWorkspace<T>(h: i32): usize {
  return max(packedBytes<T>(h, 4 * h) + bytes<T>(4 * h), packedBytes<T>(4 * h, h));
}

/**
 * The non-linear part of one step, and its product with W_hh.
 *
 *   gates        in: W_ih x + b [N,4H]; out: i f g o
 *   cPrev, cNext may be the same buffer
 *   phiC         out: [N,H], or 0 where no backward will follow
 */
function lstmStep<T>(
  phi: i32,
  n: i32,
  h: i32,
  hPrev: usize,
  packedHh: usize,
  gates: usize,
  cPrev: usize,
  cNext: usize,
  hNext: usize,
  phiC: usize,
): void {
  gemmPacked<T>(n, 4 * h, h, hPrev, h, 1, packedHh, gates, 4 * h, gates, 4 * h);
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const offset = bytes<T>(j);
      const pi = gates + offset;
      const pf = pi + bytes<T>(h);
      const pg = pf + bytes<T>(h);
      const po = pg + bytes<T>(h);
      const i = sigmoid<T>(loadLanes<T>(pi, rest));
      const f = sigmoid<T>(loadLanes<T>(pf, rest));
      const g = activate<T>(phi, loadLanes<T>(pg, rest));
      const o = sigmoid<T>(loadLanes<T>(po, rest));
      const c = madd<T>(i, g, v128.mul<T>(f, loadLanes<T>(cPrev + offset, rest)));
      const pc = activate<T>(phi, c);
      storeLanes<T>(cNext + offset, c, rest);
      storeLanes<T>(hNext + offset, v128.mul<T>(o, pc), rest);
      if (phiC) {
        storeLanes<T>(pi, i, rest);
        storeLanes<T>(pf, f, rest);
        storeLanes<T>(pg, g, rest);
        storeLanes<T>(po, o, rest);
        storeLanes<T>(phiC + offset, pc, rest);
      }
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
    cNext += bytes<T>(h);
    hNext += bytes<T>(h);
    if (phiC) phiC += bytes<T>(h);
  }
}

/**
 * The non-linear part of one step backward.
 *
 *   gates       in: i f g o [N,4H]; out: their gradients before the non-linearities
 *   dOutput     in: [N,H], or 0
 *   dh, dc      in: [N,H], what the next step hands down; dc out: dc_(t-1)
 */
function lstmStepBackward<T>(
  phi: i32,
  n: i32,
  h: i32,
  cPrev: usize,
  phiC: usize,
  gates: usize,
  dOutput: usize,
  dh: usize,
  dc: usize,
): void {
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const offset = bytes<T>(j);
      const pi = gates + offset;
      const pf = pi + bytes<T>(h);
      const pg = pf + bytes<T>(h);
      const po = pg + bytes<T>(h);
      const i = loadLanes<T>(pi, rest);
      const f = loadLanes<T>(pf, rest);
      const g = loadLanes<T>(pg, rest);
      const o = loadLanes<T>(po, rest);
      const pc = loadLanes<T>(phiC + offset, rest);
      let dhRow = loadLanes<T>(dh + offset, rest);
      if (dOutput) dhRow = v128.add<T>(loadLanes<T>(dOutput + offset, rest), dhRow);
      const through = activateBackward<T>(phi, v128.mul<T>(dhRow, o), pc);
      const dcRow = v128.add<T>(loadLanes<T>(dc + offset, rest), through);
      storeLanes<T>(pi, sigmoidBackward<T>(v128.mul<T>(dcRow, g), i), rest);
      storeLanes<T>(pf, sigmoidBackward<T>(v128.mul<T>(dcRow, loadLanes<T>(cPrev + offset, rest)), f), rest);
      storeLanes<T>(pg, activateBackward<T>(phi, v128.mul<T>(dcRow, i), g), rest);
      storeLanes<T>(po, sigmoidBackward<T>(v128.mul<T>(dhRow, pc), o), rest);
      storeLanes<T>(dc + offset, v128.mul<T>(dcRow, f), rest);
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
    phiC += bytes<T>(h);
    if (dOutput) dOutput += bytes<T>(h);
    dh += bytes<T>(h);
    dc += bytes<T>(h);
  }
}

/**
 * One step: hNext, cNext [N,H] (out) from x [N,D], hPrev, cPrev [N,H].
 *
 *   packedIh, packedHh   W_ih^T [D,4H] and W_hh^T [H,4H], packed by `packWeight` once for many steps
 *   bias                 [4H] = b_ih + b_hh, or 0
 *   gates                out: [N,4H], i f g o where phiC is given; else scratch
 *   phiC                 out: [N,H], or 0 where no backward will follow
 * cNext may be cPrev.
 */
export function lstmCellForward<T>(
  phi: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hPrev: usize,
  cPrev: usize,
  packedIh: usize,
  packedHh: usize,
  bias: usize,
  hNext: usize,
  cNext: usize,
  gates: usize,
  phiC: usize,
): void {
  gemmPacked<T>(n, 4 * h, d, x, d, 1, packedIh, bias, 0, gates, 4 * h);
  lstmStep<T>(phi, n, h, hPrev, packedHh, gates, cPrev, cNext, hNext, phiC);
}

/**
 * One step backward, from the gradients of hNext and cNext.
 *
 *   gates          in: i f g o [N,4H]; out: their gradients before the non-linearities
 *   dh             in: dhNext [N,H]; dhPrev out in dhPrev
 *   dc             in: dcNext [N,H]; out: dcPrev
 *   dx             out: [N,D]
 *   dWeightIh ...  in/out: += the gradients of the weights and biases
 */
export function lstmCellBackward<T>(
  phi: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hPrev: usize,
  cPrev: usize,
  gates: usize,
  phiC: usize,
  weightIh: usize,
  weightHh: usize,
  dhNext: usize,
  dc: usize,
  dx: usize,
  dhPrev: usize,
  dWeightIh: usize,
  dWeightHh: usize,
  dBiasIh: usize,
  dBiasHh: usize,
): void {
  lstmStepBackward<T>(phi, n, h, cPrev, phiC, gates, 0, dhNext, dc);
  gemm<T>(n, h, 4 * h, gates, 4 * h, 1, weightHh, h, 1, 0, 0, dhPrev, h);
  gatesBackward<T>(n, d, h, 4 * h, gates, x, hPrev, weightIh, dx, dWeightIh, dWeightHh, dBiasIh, dBiasHh);
}

/**
 * All steps: hs [T+1,N,H], in h_0 in slot 0, out the rest.
 *
 * To keep what backward needs, phiC is given: cs [T+1,N,H] (c_0 in slot 0), phiC [T,N,H] and gates [T,N,4H] are filled
 * and chunk = T. Without (phiC = 0): cs is one [N,H], in c_0 and out c_n, and gates holds `chunk` steps [chunk,N,4H].
 *
 *   work     lstmWorkspace bytes
 */
export function lstmForward<T>(
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
  cs: usize,
  phiC: usize,
  gates: usize,
  chunk: i32,
  work: usize,
): void {
  const g = 4 * h;
  const packedHh = work;
  const bias = sumBiases<T>(g, biasIh, biasHh, work + packedBytes<T>(h, g));
  const step = bytes<T>(n * h);
  packWeight<T>(h, g, weightHh, 1, h, packedHh);
  for (let first = 0; first < t; first += chunk) {
    const steps = min(chunk, t - first);
    inputForward<T>(steps * n, d, g, x, weightIh, bias, gates);
    let gatesStep = gates;
    for (let i = 0; i < steps; i++) {
      const cNext = phiC ? cs + step : cs;
      lstmStep<T>(phi, n, h, hs, packedHh, gatesStep, cs, cNext, hs + step, phiC);
      gatesStep += 4 * step;
      hs += step;
      cs = cNext;
      if (phiC) phiC += step;
    }
    x += <usize>steps * bytes<T>(n * d);
  }
}

/**
 * All steps backward, from what lstmForward kept.
 *
 *   gates          in: i f g o [T,N,4H]; out: their gradients before the non-linearities
 *   dOutput        in: [T,N,H], or 0
 *   dh, dc         in: dh_n, dc_n [N,H]; out: dh_0, dc_0
 *   dx             out: [T,N,D], or 0
 *   dWeightIh ...  in/out: +=
 */
export function lstmBackward<T>(
  phi: i32,
  t: i32,
  n: i32,
  d: i32,
  h: i32,
  x: usize,
  hs: usize,
  cs: usize,
  phiC: usize,
  gates: usize,
  weightIh: usize,
  weightHh: usize,
  dOutput: usize,
  dh: usize,
  dc: usize,
  dx: usize,
  dWeightIh: usize,
  dWeightHh: usize,
  dBiasIh: usize,
  dBiasHh: usize,
  work: usize,
): void {
  packWeight<T>(4 * h, h, weightHh, h, 1, work);
  const step = bytes<T>(n * h);
  for (let i = t - 1; i >= 0; i--) {
    const offset = <usize>i * step;
    const gatesStep = gates + 4 * offset;
    const dOutputStep = dOutput ? dOutput + offset : 0;
    lstmStepBackward<T>(phi, n, h, cs + offset, phiC + offset, gatesStep, dOutputStep, dh, dc);
    gemmPacked<T>(n, h, 4 * h, gatesStep, 4 * h, 1, work, 0, 0, dh, h);
  }
  gatesBackward<T>(t * n, d, h, 4 * h, gates, x, hs, weightIh, dx, dWeightIh, dWeightHh, dBiasIh, dBiasHh);
}
