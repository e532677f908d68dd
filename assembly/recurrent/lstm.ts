// Long short-term memory (Hochreiter & Schmidhuber 1997, forget gate: Gers et al. 2000), forward and backward: one step,
// then all steps.
//
//   [i f g o]_t = W_ih x_t + b_ih + W_hh (m h_(t-1)) + b_hh     before the non-linearities below
//   i = s(i), f = s(f), o = s(o), g = phi(g)                    s = sigmoid, phi = psi = tanh, or other ones; m: the
//   c_t = f c_(t-1) + i g                                       mask, where there is one
//   h_t = o psi(c_t), or W_hr (o psi(c_t)) with a projection (Sak et al. 2014)
//
//   dh  = dOutput_t + dh_t                                      dh_t, dc_t: what step t + 1 hands down (dh_n, dc_n at
//   dh  = W_hr^T dh with a projection                           the last step)
//   do  = dh psi(c_t) s'(o)
//   dc  = dc_t + dh o psi'(c_t)
//   di  = dc g s'(i),  df = dc c_(t-1) s'(f),  dg = dc i phi'(g)
//   dc_(t-1) = dc f
//   dh_(t-1) = m W_hh^T [di df dg do]
//
// Layer-normalised (Ba, Kiros & Hinton 2016, equations 20 to 22): gain LN(W_ih x_t) + b_ih + gain LN(W_hh h) + b_hh before the
// non-linearities, each over all 4H; h_t = o psi(gain LN(c_t) + bias).
//
// ONNX's variants, forward only, are in lstm-variant.ts.
//
// G = G' = 4H, gates in the order i f g o. The fields of a sequence are described in sequence.ts.

import { at, bytes, fitting, lanes, loadLanes, madd, matrixBytes, storeLanes } from "../simd";
import { one } from "../math";
import { activate, activateBackward, activateGate, activateGateBackward } from "../activation";
import { add, mul } from "../elementwise";
import { gemmPacked, packedSize, packWeight } from "../gemm/gemm";
import { layerNormBackward } from "../layernorm";
import { addWeightGradient, gatesBackward } from "./gradients";
import { limited, limitOf, lstmVariant, seen } from "./lstm-variant";
import { masked, normalise, normaliseBackward, recurrentInputs, recurrentInputsBytes } from "./products";
import { block, firstBlock } from "./scratch";
import { hardOf, rowsAt, rowsBefore, Sequence } from "./sequence";
import { packWeights, packedBias, packedHh, packedHr, packedWeightsBytes } from "./weights";

/** Bytes of packed weights. */
export function lstmPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsBytes<T>(s, 4 * s.h));
}

/** Packs the weights, once for many passes with `s.packed`. */
export function lstmPack<T>(s: Sequence, packed: usize): void {
  packWeights<T>(s, 4 * s.h, packed);
}

/** The head of `work`: addresses of scratch. */
@unmanaged
class Work {
  /** Packed; backward: W_hh alone. */
  weights: usize;
  /** backward: packed W_hr. */
  weightsHr: usize;
  /** [N,P], h times the mask. */
  masked: usize;
  /** [N,H], o psi(c) or its gradient, with a projection. */
  hidden: usize;
  /** backward: [rows,P], as of `recurrentInputs`. */
  inputs: usize;
  /** backward: [rows,P], dh of all steps, with a projection. */
  dhs: usize;
  /** [N,4H], backward [N,H], for layer normalisation. */
  normalised: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.packed ? 0 : packedWeightsBytes<T>(s, 4 * s.h));
  end = block(work, offsetof<Work>("masked"), end, s.mask ? matrixBytes<T>(s.n, s.p) : 0);
  end = block(work, offsetof<Work>("hidden"), end, s.weightHr ? matrixBytes<T>(s.n, s.h) : 0);
  return block(work, offsetof<Work>("normalised"), end, s.normIh ? matrixBytes<T>(s.n, 4 * s.h) : 0);
}

function layOutBackward<T>(s: Sequence, work: usize): u64 {
  const projected = s.weightHr != 0;
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, packedSize<T>(4 * s.h, s.p));
  end = block(work, offsetof<Work>("weightsHr"), end, projected ? packedSize<T>(s.p, s.h) : 0);
  end = block(work, offsetof<Work>("hidden"), end, projected ? matrixBytes<T>(s.n, s.h) : 0);
  end = block(work, offsetof<Work>("inputs"), end, recurrentInputsBytes<T>(s));
  end = block(work, offsetof<Work>("dhs"), end, projected ? matrixBytes<T>(s.rows, s.p) : 0);
  return block(work, offsetof<Work>("normalised"), end, s.normIh ? matrixBytes<T>(s.n, s.h) : 0);
}

/** Bytes of `work` for lstmForward, or for lstmBackward. */
export function lstmWorkspace<T>(s: Sequence, backward: bool): usize {
  return fitting(backward ? layOutBackward<T>(s, 0) : layOutForward<T>(s, 0));
}

/**
 * The non-linear part of one step of m rows.
 *
 *   gates        in: [m,4H] before the non-linearities; out, if `keep`: i f g o
 *   cPrev, cNext may be the same buffer
 *   hNext        out: o psi(c)
 *   phiC         out: [m,H], if `keep`
 */
function lstmStep<T>(s: Sequence, m: i32, gates: usize, cPrev: usize, cNext: usize, hNext: usize, phiC: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const phi = s.phi;
  const psi = s.psi;
  const keep = s.keep;
  const normed = s.normIh != 0;
  const variant = s.peephole || s.coupled || s.clip != 0;
  const limit = limitOf<T>(s);
  if (variant) lstmVariant<T>(s, m, gates, cPrev);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const offset = bytes<T>(j);
      const pi = gates + offset;
      const pf = pi + bytes<T>(h);
      const pg = pf + bytes<T>(h);
      const po = pg + bytes<T>(h);
      const i = activateGate<T>(sigma, loadLanes<T>(pi, rest), hard);
      let f = activateGate<T>(sigma, loadLanes<T>(pf, rest), hard);
      if (variant && s.coupled) f = v128.sub<T>(one<T>(), i);
      const g = activate<T>(phi, loadLanes<T>(pg, rest), hard);
      const c = madd<T>(i, g, v128.mul<T>(f, loadLanes<T>(cPrev + offset, rest)));
      let oSees = loadLanes<T>(po, rest);
      if (variant) oSees = seen<T>(oSees, s.peephole ? at<T>(s.peephole, 2 * h + j) : 0, c, limit, rest);
      const o = activateGate<T>(sigma, oSees, hard);
      storeLanes<T>(cNext + offset, c, rest);
      if (normed) {
        storeLanes<T>(po, o, rest);
        if (!keep) continue;
      }
      const pc = normed ? c : activate<T>(psi, variant ? limited<T>(c, limit) : c, hard);
      if (!normed) storeLanes<T>(hNext + offset, v128.mul<T>(o, pc), rest);
      if (keep) {
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
    phiC += bytes<T>(h);
  }
}

/**
 * Layer-normalised: h_t = o psi(gain LN(c_t) + bias) of m rows.
 *
 *   gates     in: o, the last H of each row's 4H
 *   moments   out, as of `normalise`
 */
function lstmNormalisedState<T>(
  s: Sequence,
  m: i32,
  gates: usize,
  c: usize,
  hNext: usize,
  phiC: usize,
  moments: usize,
  rows: i32,
): void {
  const h = s.h;
  const normalised = changetype<Work>(s.work).normalised;
  const hard = hardOf(s);
  normalise<T>(m, h, c, h, s.normC, s.normCBias, normalised, h, moments, rows, false, 0);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const i = row * h + j;
      const pc = activate<T>(s.psi, loadLanes<T>(at<T>(normalised, i), rest), hard);
      const o = loadLanes<T>(at<T>(gates, row * 4 * h + 3 * h + j), rest);
      storeLanes<T>(at<T>(hNext, i), v128.mul<T>(o, pc), rest);
      if (s.keep) storeLanes<T>(at<T>(phiC, i), pc, rest);
    }
  }
}

/** Its gradient: what comes back to c_t goes to `normalised` [m,H]; c is that of the step. */
function lstmNormalisedStateBackward<T>(
  s: Sequence,
  m: i32,
  gates: usize,
  c: usize,
  phiC: usize,
  dOutput: usize,
  dh: usize,
  moments: usize,
): void {
  const h = s.h;
  const normalised = changetype<Work>(s.work).normalised;
  const hard = hardOf(s);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const i = row * h + j;
      let d = loadLanes<T>(at<T>(dh, i), rest);
      if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, i), rest), d);
      const o = loadLanes<T>(at<T>(gates, row * 4 * h + 3 * h + j), rest);
      const through = activateBackward<T>(s.psi, v128.mul<T>(d, o), loadLanes<T>(at<T>(phiC, i), rest), hard);
      storeLanes<T>(at<T>(normalised, i), through, rest);
    }
  }
  const rstd = at<T>(moments, s.rows);
  layerNormBackward<T>(m, h, c, h, moments, rstd, s.normC, normalised, h, normalised, h, s.dNormC, s.dNormCBias);
}

/**
 * The non-linear part of one step of m rows backward.
 *
 *   gates       in: i f g o [m,4H]; out: their gradients before the non-linearities
 *   phiC        in: psi(c) [m,H]; out, with a projection: o psi(c)
 *   dOutput     in: [m,H], or 0
 *   dh          in: [m,H], what the next step hands down; s.dc likewise, out: dc_(t-1)
 */
function lstmStepBackward<T>(
  s: Sequence,
  m: i32,
  cPrev: usize,
  phiC: usize,
  gates: usize,
  dOutput: usize,
  dh: usize,
): void {
  const h = s.h;
  const normalised = changetype<Work>(s.work).normalised;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const phi = s.phi;
  const psi = s.psi;
  const projected = s.weightHr != 0;
  const normed = s.normIh != 0;
  let dc = s.dc;
  for (let row = 0; row < m; row++) {
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
      const through = normed
        ? loadLanes<T>(at<T>(normalised, row * h + j), rest)
        : activateBackward<T>(psi, v128.mul<T>(dhRow, o), pc, hard);
      const dcRow = v128.add<T>(loadLanes<T>(dc + offset, rest), through);
      const c = loadLanes<T>(cPrev + offset, rest);
      storeLanes<T>(pi, activateGateBackward<T>(sigma, v128.mul<T>(dcRow, g), i, hard), rest);
      storeLanes<T>(pf, activateGateBackward<T>(sigma, v128.mul<T>(dcRow, c), f, hard), rest);
      storeLanes<T>(pg, activateBackward<T>(phi, v128.mul<T>(dcRow, i), g, hard), rest);
      storeLanes<T>(po, activateGateBackward<T>(sigma, v128.mul<T>(dhRow, pc), o, hard), rest);
      storeLanes<T>(dc + offset, v128.mul<T>(dcRow, f), rest);
      if (projected) storeLanes<T>(phiC + offset, v128.mul<T>(o, pc), rest);
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
    phiC += bytes<T>(h);
    if (dOutput) dOutput += bytes<T>(h);
    dh += bytes<T>(h);
    dc += bytes<T>(h);
  }
}

/** All steps: hs and cs from x, h_0, c_0. */
export function lstmForward<T>(s: Sequence): void {
  const h = s.h;
  const p = s.p;
  const g = 4 * h;
  const keep = s.keep;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.packed ? s.packed : work.weights;
  const hidden = work.hidden;
  if (!s.packed) lstmPack<T>(s, weights);
  const hh = packedHh<T>(s, g, weights);
  const hr = packedHr<T>(s, g, weights);
  const bias = packedBias<T>(s, g, weights);
  let x = s.x;
  let hPrev = s.hs;
  let hNext = hPrev + bytes<T>(s.n * p);
  let cPrev = s.cs;
  let cNext = keep ? cPrev + bytes<T>(s.n * h) : cPrev;
  let phiC = s.phiC;
  for (let first = 0; first < s.t; first += s.chunk) {
    const end = min(first + s.chunk, s.t);
    let rows = 0;
    for (let i = first; i < end; i++) rows += rowsAt(s, i);
    let gates = s.gates;
    let moments = s.moments;
    let product = s.recurrentProducts;
    if (s.normIh) {
      gemmPacked<T>(rows, g, s.d, x, s.d, 1, weights, 0, 0, s.products, g);
      normalise<T>(rows, g, s.products, g, s.normIh, bias, gates, g, moments, rows, false, 0);
    } else {
      gemmPacked<T>(rows, g, s.d, x, s.d, 1, weights, bias, 0, gates, g);
    }
    x += bytes<T>(rows * s.d);
    for (let i = first; i < end; i++) {
      const m = rowsAt(s, i);
      const h0 = masked<T>(s, m, hPrev, work.masked);
      const hidden0 = s.weightHr ? hidden : hNext;
      if (s.normIh) {
        const m2 = at<T>(moments, 2 * rows);
        gemmPacked<T>(m, g, p, h0, p, 1, hh, 0, 0, product, g);
        normalise<T>(m, g, product, g, s.normHh, 0, gates, g, m2, rows, true, work.normalised);
      } else {
        gemmPacked<T>(m, g, p, h0, p, 1, hh, gates, g, gates, g);
      }
      lstmStep<T>(s, m, gates, cPrev, cNext, hidden0, phiC);
      if (s.normIh) {
        lstmNormalisedState<T>(s, m, gates, cNext, hidden0, phiC, at<T>(moments, 4 * rows), rows);
        moments += bytes<T>(m);
        product += bytes<T>(m * g);
      }
      if (s.weightHr) gemmPacked<T>(m, p, h, hidden, h, 1, hr, 0, 0, hNext, p);
      gates += bytes<T>(m * g);
      hPrev = hNext;
      hNext += bytes<T>(m * p);
      if (keep) {
        cPrev = cNext;
        cNext += bytes<T>(m * h);
        phiC += bytes<T>(m * h);
      }
    }
  }
}

/** All steps backward, from what lstmForward kept. */
export function lstmBackward<T>(s: Sequence): void {
  const h = s.h;
  const p = s.p;
  const g = 4 * h;
  const projected = s.weightHr != 0;
  layOutBackward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = work.weights;
  const weightsHr = work.weightsHr;
  const hidden = work.hidden;
  const dhs = work.dhs;
  packWeight<T>(g, p, s.weightHh, p, 1, weights);
  if (projected) packWeight<T>(p, h, s.weightHr, h, 1, weightsHr);
  let row = s.rows;
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsAt(s, i);
    row -= m;
    const gates = at<T>(s.gates, row * g);
    const cPrev = at<T>(s.cs, i == 0 ? 0 : (s.n + row - rowsBefore(s, i)) * h);
    const phiC = at<T>(s.phiC, row * h);
    let dOutput = s.dOutput ? at<T>(s.dOutput, row * p) : 0;
    let dh = s.dh;
    if (projected) {
      const total = at<T>(dhs, row * p);
      if (dOutput) add<T>(m * p, dOutput, dh, total);
      else memory.copy(total, dh, bytes<T>(m * p));
      gemmPacked<T>(m, h, p, total, p, 1, weightsHr, 0, 0, hidden, h);
      dOutput = 0;
      dh = hidden;
    }
    let dRecurrent = gates;
    if (s.normIh) {
      const moments = at<T>(s.moments, row);
      const c = at<T>(s.cs, (s.n + row) * h);
      lstmNormalisedStateBackward<T>(s, m, gates, c, phiC, dOutput, dh, at<T>(moments, 4 * s.rows));
      lstmStepBackward<T>(s, m, cPrev, phiC, gates, dOutput, dh);
      dRecurrent = at<T>(s.recurrentProducts, row * g);
      const m2 = at<T>(moments, 2 * s.rows);
      normaliseBackward<T>(m, g, dRecurrent, g, s.normHh, gates, g, m2, s.rows, s.dNormHh, 0);
    } else {
      lstmStepBackward<T>(s, m, cPrev, phiC, gates, dOutput, dh);
    }
    gemmPacked<T>(m, p, g, dRecurrent, g, 1, weights, 0, 0, s.dh, p);
    if (s.mask) mul<T>(m * p, s.dh, s.mask, s.dh);
  }
  const hs = recurrentInputs<T>(s, work.inputs);
  if (s.normIh) {
    normaliseBackward<T>(s.rows, g, s.products, g, s.normIh, s.gates, g, s.moments, s.rows, s.dNormIh, 0);
    gatesBackward<T>(s, g, s.gates, hs, s.products, s.recurrentProducts);
  } else {
    gatesBackward<T>(s, g, s.gates, hs, s.gates, s.gates);
  }
  if (projected) addWeightGradient<T>(s.rows, p, h, dhs, p, s.phiC, s.dWeightHr);
}
