// Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000; projection: Sak,
// Senior & Beaufays 2014), forward and backward: one step, then all steps.
//
//   [i f g o] = W_ih x_t + b_ih + W_hh (mask h_(t-1)) + b_hh        mask: 1 where there is none
//   i = sigma(i), f = sigma(f), g = phi(g), o = sigma(o)            sigma = sigmoid, phi = psi = tanh, or others
//   c_t = f c_(t-1) + i g
//   h_t = o psi(c_t)                                                with a projection: W_hr (o psi(c_t))
//
//   dh = dOutput_t + dh_t                                           dh_t, dc_t: handed back by step t + 1; dh_n, dc_n at
//   dh = W_hr^T dh, with a projection                               the last step
//   dc = dc_t + dh o psi'(c_t)
//   di = dc g sigma'(i), df = dc c_(t-1) sigma'(f), dg = dc i phi'(g), do = dh psi(c_t) sigma'(o)
//   dc_(t-1) = dc f
//   dh_(t-1) = mask W_hh^T [di df dg do]
//
// Derivatives are computed from the outputs of the non-linearities. gradients.ts has dx, dW and db.
//
// Layer-normalised (Ba, Kiros & Hinton 2016, equations 20 to 22): gain LN(W_ih x_t) + b_ih + gain LN(W_hh h) + b_hh in place
// of the first line, each LN over all 4H; h_t = o psi(gain LN(c_t) + bias).
//
// ONNX's variants, forward only, are in lstm-variant.ts.
//
// G = G' = 4H, gates in the order i f g o. The fields of a sequence are described in sequence.ts.

import { at, bytes, fitting, lanes, loadLanes, madd, matrixBytes, storeLanes } from "../simd";
import { one } from "../math";
import { activate, activateBackward, activateGate, activateGateBackward } from "../activation";
import { add, mul } from "../elementwise";
import { gemmPacked, OVERWRITE, packedSize, packWeight } from "../gemm/gemm";
import { layerNormBackward } from "../layernorm";
import { addWeightGradient, gatesBackward } from "./gradients";
import { gateInput, limited, limitOf, lstmVariant } from "./lstm-variant";
import {
  addNormalised,
  masked,
  normalise,
  normaliseBackward,
  recurrentInputs,
  recurrentInputsBytes,
  writeRecurrentInputs,
} from "./products";
import { block, firstBlock } from "./scratch";
import {
  dOutputAt,
  firstHere,
  GRADIENTS,
  hAfter,
  hardOf,
  hBefore,
  INPUT,
  isIdle,
  PACK,
  partCount,
  partFirst,
  rowBefore,
  rowsBetween,
  rowsHere,
  rowsOf,
  runs,
  Sequence,
  STEPS,
} from "./sequence";
import { packWeights, packedBias, packedHh, packedHr, packedWeightsBytes } from "./weights";

/** Bytes of the packed weights. */
export function lstmPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsBytes<T>(s, 4 * s.h));
}

/** Packs the weights, once for many passes with `s.panels`; panels: out. */
export function lstmPack<T>(s: Sequence, panels: usize): void {
  packWeights<T>(s, 4 * s.h, panels);
}

/** The head of `work`: addresses of scratch. */
@unmanaged
class Work {
  /** forward: all weights, packed; backward: W_hh, packed. */
  weights: usize;
  /** backward: W_hr, packed. */
  weightsHr: usize;
  /** forward: [N,P], mask h. */
  masked: usize;
  /** With a projection. forward: [N,H], o psi(c); backward: its gradient. */
  hidden: usize;
  /** backward: [rows,P], for `recurrentInputs`. */
  inputs: usize;
  /** backward: [rows,P], dOutput + dh of all steps, with a projection. */
  dhs: usize;
  /** Layer-normalised. forward: [N,4H]; backward: [N,H]. */
  normalised: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.panels ? 0 : packedWeightsBytes<T>(s, 4 * s.h));
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

/** gates = W_ih x + b, or gain LN(W_ih x) + b, for this call's part of the `rows` rows of a chunk, which starts at row chunkRow. */
function inputProduct<T>(s: Sequence, rows: i32, chunkRow: i32, weights: usize, bias: usize): void {
  const g = 4 * s.h;
  const offset = partFirst(s, rows);
  const m = partCount(s, rows);
  const x = at<T>(s.x, (chunkRow + offset) * s.d);
  const gates = at<T>(s.gates, offset * g);
  if (!s.normIh) {
    gemmPacked<T>(m, g, s.d, x, s.d, weights, bias, gates, g);
    return;
  }
  const product = at<T>(s.products, offset * g);
  gemmPacked<T>(m, g, s.d, x, s.d, weights, OVERWRITE, product, g);
  normalise<T>(m, g, product, g, s.normIh, bias, gates, g, at<T>(s.moments, offset), rows);
}

/**
 * gates += W_hh h, or gain LN(W_hh h), for m rows of one step, which are rows offset .. offset + m of the chunk's.
 *
 *   h   in: [m,P], mask h_(t-1)
 *   hh  in: W_hh, packed
 */
function recurrentProduct<T>(s: Sequence, m: i32, h: usize, hh: usize, offset: i32, rows: i32): void {
  const g = 4 * s.h;
  const gates = at<T>(s.gates, offset * g);
  if (!s.normIh) {
    gemmPacked<T>(m, g, s.p, h, s.p, hh, gates, gates, g);
    return;
  }
  const product = at<T>(s.recurrentProducts, offset * g);
  const moments = at<T>(s.moments, 2 * rows + offset);
  gemmPacked<T>(m, g, s.p, h, s.p, hh, OVERWRITE, product, g);
  const scratch = changetype<Work>(s.work).normalised;
  addNormalised<T>(m, g, product, g, s.normHh, gates, g, moments, rows, scratch);
}

/** Layer-normalised: the gradient of W_ih x of all steps, in `products`, from that of the gates. */
function inputProductBackward<T>(s: Sequence): void {
  const g = 4 * s.h;
  normaliseBackward<T>(s.rows, g, s.products, g, s.normIh, s.gates, g, s.moments, s.rows, s.dNormIh);
}

/** The gradient of W_hh h of one step, [m,4H], from that of the gates. */
function recurrentProductBackward<T>(s: Sequence, m: i32, row: i32): usize {
  const g = 4 * s.h;
  const gates = at<T>(s.gates, row * g);
  if (!s.normIh) return gates;
  const product = at<T>(s.recurrentProducts, row * g);
  const moments = at<T>(s.moments, 2 * s.rows + row);
  normaliseBackward<T>(m, g, product, g, s.normHh, gates, g, moments, s.rows, s.dNormHh);
  return product;
}

/**
 * The non-linear part of one step of m rows.
 *
 *   gates   in: [m,4H], before the non-linearities; out, in training: i f g o (layer-normalised: o always)
 *   cPrev   in: [m,H]
 *   cNext   out: [m,H]; may be cPrev
 *   hNext   out: [m,H], o psi(c_t); layer-normalised: untouched, see lstmNormalisedState
 *   psiC    out: [m,H], psi(c_t), in training
 */
function lstmStep<T>(s: Sequence, m: i32, gates: usize, cPrev: usize, cNext: usize, hNext: usize, psiC: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const phi = s.phi;
  const psi = s.psi;
  const training = s.training;
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
      const i = activateGate<T>(sigma, loadLanes<T>(pi, rest), hard); // i = sigma(i)
      let f = activateGate<T>(sigma, loadLanes<T>(pf, rest), hard); // f = sigma(f)
      if (variant && s.coupled) f = v128.sub<T>(one<T>(), i);
      const g = activate<T>(phi, loadLanes<T>(pg, rest), hard); // g = phi(g)
      const c = madd<T>(i, g, v128.mul<T>(f, loadLanes<T>(cPrev + offset, rest))); // c_t = f c_(t-1) + i g
      let oInput = loadLanes<T>(po, rest);
      if (variant) oInput = gateInput<T>(oInput, s.peephole ? at<T>(s.peephole, 2 * h + j) : 0, c, limit, rest);
      const o = activateGate<T>(sigma, oInput, hard); // o = sigma(o)
      storeLanes<T>(cNext + offset, c, rest);
      if (normed) {
        storeLanes<T>(po, o, rest);
        if (!training) continue;
      }
      const pc = normed ? c : activate<T>(psi, variant ? limited<T>(c, limit) : c, hard); // psi(c_t)
      if (!normed) storeLanes<T>(hNext + offset, v128.mul<T>(o, pc), rest); // h_t = o psi(c_t)
      if (training) {
        storeLanes<T>(pi, i, rest);
        storeLanes<T>(pf, f, rest);
        storeLanes<T>(pg, g, rest);
        storeLanes<T>(po, o, rest);
        storeLanes<T>(psiC + offset, pc, rest);
      }
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
    cNext += bytes<T>(h);
    hNext += bytes<T>(h);
    psiC += bytes<T>(h);
  }
}

/**
 * The non-linear part of one step of m rows backward.
 *
 *   gates    in: [m,4H], i f g o; out: di df dg do
 *   cPrev    in: [m,H]
 *   psiC     in: [m,H], psi(c_t); out, with a projection: o psi(c_t)
 *   dOutput  in: [m,H], or 0
 *   dh       in: [m,H], dh_t; with a projection W_hr^T (dOutput_t + dh_t), and dOutput is 0
 *   s.dc     in: dc_t; out: dc_(t-1)
 */
function lstmStepBackward<T>(
  s: Sequence,
  m: i32,
  cPrev: usize,
  psiC: usize,
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
      const pc = loadLanes<T>(psiC + offset, rest);
      let dhRow = loadLanes<T>(dh + offset, rest);
      if (dOutput) dhRow = v128.add<T>(loadLanes<T>(dOutput + offset, rest), dhRow); // dh = dOutput_t + dh_t
      const through = normed
        ? loadLanes<T>(at<T>(normalised, row * h + j), rest)
        : activateBackward<T>(psi, v128.mul<T>(dhRow, o), pc, hard); // dh o psi'(c_t)
      const dcRow = v128.add<T>(loadLanes<T>(dc + offset, rest), through); // dc = dc_t + dh o psi'(c_t)
      const c = loadLanes<T>(cPrev + offset, rest);
      storeLanes<T>(pi, activateGateBackward<T>(sigma, v128.mul<T>(dcRow, g), i, hard), rest); // di = dc g sigma'(i)
      storeLanes<T>(pf, activateGateBackward<T>(sigma, v128.mul<T>(dcRow, c), f, hard), rest); // df = dc c_(t-1) sigma'(f)
      storeLanes<T>(pg, activateBackward<T>(phi, v128.mul<T>(dcRow, i), g, hard), rest); // dg = dc i phi'(g)
      storeLanes<T>(po, activateGateBackward<T>(sigma, v128.mul<T>(dhRow, pc), o, hard), rest); // do = dh psi(c_t) sigma'(o)
      storeLanes<T>(dc + offset, v128.mul<T>(dcRow, f), rest); // dc_(t-1) = dc f
      if (projected) storeLanes<T>(psiC + offset, v128.mul<T>(o, pc), rest);
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
    psiC += bytes<T>(h);
    if (dOutput) dOutput += bytes<T>(h);
    dh += bytes<T>(h);
    dc += bytes<T>(h);
  }
}

/**
 * Layer-normalised: the state of m rows.
 *
 *   gates    in: [m,4H], of which o is read
 *   c        in: [m,H], c_t
 *   hNext    out: [m,H], o psi(gain LN(c_t) + bias)
 *   psiC     out: [m,H], psi(gain LN(c_t) + bias), in training
 *   moments  out: as of `normalise`
 */
function lstmNormalisedState<T>(
  s: Sequence,
  m: i32,
  gates: usize,
  c: usize,
  hNext: usize,
  psiC: usize,
  moments: usize,
  rows: i32,
): void {
  const h = s.h;
  const normalised = changetype<Work>(s.work).normalised;
  const hard = hardOf(s);
  normalise<T>(m, h, c, h, s.normC, s.normCBias, normalised, h, moments, rows);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const i = row * h + j;
      const pc = activate<T>(s.psi, loadLanes<T>(at<T>(normalised, i), rest), hard);
      const o = loadLanes<T>(at<T>(gates, row * 4 * h + 3 * h + j), rest);
      storeLanes<T>(at<T>(hNext, i), v128.mul<T>(o, pc), rest); // h_t = o psi(gain LN(c_t) + bias)
      if (s.training) storeLanes<T>(at<T>(psiC, i), pc, rest);
    }
  }
}

/**
 * The gradient of c_t through lstmNormalisedState, for the m rows from `row` on: written to `normalised` [m,H], where
 * lstmStepBackward finds it. dOutput, dh: as there.
 */
function lstmNormalisedStateBackward<T>(s: Sequence, m: i32, row: i32, dOutput: usize, dh: usize): void {
  const h = s.h;
  const gates = at<T>(s.gates, row * 4 * h);
  const c = at<T>(s.cs, (s.n + row) * h);
  const psiC = at<T>(s.psiC, row * h);
  const moments = at<T>(s.moments, 4 * s.rows + row);
  const normalised = changetype<Work>(s.work).normalised;
  const hard = hardOf(s);
  for (let r = 0; r < m; r++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const i = r * h + j;
      let d = loadLanes<T>(at<T>(dh, i), rest);
      if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, i), rest), d); // dh = dOutput_t + dh_t
      const o = loadLanes<T>(at<T>(gates, r * 4 * h + 3 * h + j), rest);
      const through = activateBackward<T>(s.psi, v128.mul<T>(d, o), loadLanes<T>(at<T>(psiC, i), rest), hard); // dh o psi'
      storeLanes<T>(at<T>(normalised, i), through, rest);
    }
  }
  const rstd = at<T>(moments, s.rows);
  layerNormBackward<T>(m, h, c, h, moments, rstd, s.normC, normalised, h, normalised, h, s.dNormC, s.dNormCBias);
}

/** With a projection: W_hr^T (dOutput_t + dh_t) of the m rows from `row` on, [m,H]; the sum stays in `dhs` for dW_hr. */
function projectionBackward<T>(s: Sequence, m: i32, row: i32): usize {
  const work = changetype<Work>(s.work);
  const dh = at<T>(work.dhs, row * s.p);
  const dOutput = dOutputAt<T>(s, row);
  const hidden = at<T>(work.hidden, firstHere(s) * s.h);
  if (dOutput) add<T>(m * s.p, dOutput, s.dh, dh);
  else memory.copy(dh, s.dh, bytes<T>(m * s.p));
  gemmPacked<T>(m, s.h, s.p, dh, s.p, work.weightsHr, OVERWRITE, hidden, s.h);
  return hidden;
}

/** All steps: hs and cs from x, h_0, c_0. */
export function lstmForward<T>(s: Sequence): void {
  const h = s.h;
  const p = s.p;
  const g = 4 * h;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.panels ? s.panels : work.weights;
  if (!s.panels) lstmPack<T>(s, weights);
  const hh = packedHh<T>(s, g, weights);
  const hr = packedHr<T>(s, g, weights);
  const bias = packedBias<T>(s, g, weights);
  let row = (s.reversed ? s.rows : 0) + firstHere(s);
  for (let start = 0; start < s.t; start += s.chunk) {
    const end = min(start + s.chunk, s.t);
    const rows = rowsBetween(s, start, end);
    const chunkRow = (s.reversed ? row - rows : row) - firstHere(s);
    if (runs(s, INPUT)) inputProduct<T>(s, rows, chunkRow, weights, bias);
    if (!runs(s, STEPS)) return;
    for (let i = start; i < end; i++) {
      const m = rowsHere(s, i);
      if (isIdle(m)) return;
      if (s.reversed) row -= rowsOf(s, i, m);
      const offset = row - chunkRow;
      const gates = at<T>(s.gates, offset * g);
      const hNext = hAfter<T>(s, row);
      const cPrev = s.training ? at<T>(s.cs, rowBefore(s, i, row) * h) : i == 0 && s.c0 ? s.c0 : s.cs;
      const cNext = s.training ? at<T>(s.cs, (s.n + row) * h) : s.cs;
      const psiC = s.training ? at<T>(s.psiC, row * h) : 0;
      const hidden = s.weightHr ? work.hidden : hNext;
      recurrentProduct<T>(s, m, masked<T>(s, m, hBefore<T>(s, i, row), work.masked), hh, offset, rows);
      lstmStep<T>(s, m, gates, cPrev, cNext, hidden, psiC);
      if (s.normIh) {
        lstmNormalisedState<T>(s, m, gates, cNext, hidden, psiC, at<T>(s.moments, 4 * rows + offset), rows);
      }
      if (s.weightHr) gemmPacked<T>(m, p, h, hidden, h, hr, OVERWRITE, hNext, p); // h_t = W_hr (o psi(c_t))
      if (!s.reversed) row += rowsOf(s, i, m);
    }
  }
}

/** All steps backward, from what lstmForward saved in training. */
export function lstmBackward<T>(s: Sequence): void {
  const h = s.h;
  const p = s.p;
  const g = 4 * h;
  const projected = s.weightHr != 0;
  const work = changetype<Work>(s.work);
  if (runs(s, PACK)) {
    layOutBackward<T>(s, s.work);
    packWeight<T>(g, p, s.weightHh, p, 1, work.weights);
    if (projected) packWeight<T>(p, h, s.weightHr, h, 1, work.weightsHr);
    writeRecurrentInputs<T>(s, work.inputs);
  }
  if (runs(s, STEPS)) backwardSteps<T>(s);
  if (!runs(s, GRADIENTS)) return;
  const dProducts = s.normIh ? s.products : s.gates;
  const dRecurrent = s.normIh ? s.recurrentProducts : s.gates;
  gatesBackward<T>(s, g, s.gates, recurrentInputs(s, work.inputs), dProducts, dRecurrent);
  if (!projected) return;
  const first = partFirst(s, p);
  addWeightGradient<T>(s.rows, partCount(s, p), h, at<T>(work.dhs, first), p, s.psiC, at<T>(s.dWeightHr, first * h));
}

function backwardSteps<T>(s: Sequence): void {
  const h = s.h;
  const p = s.p;
  const g = 4 * h;
  const projected = s.weightHr != 0;
  const weights = changetype<Work>(s.work).weights;
  let row = s.rows + firstHere(s);
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsHere(s, i);
    row -= rowsOf(s, i, m);
    if (isIdle(m)) continue;
    const gates = at<T>(s.gates, row * g);
    const cPrev = at<T>(s.cs, rowBefore(s, i, row) * h);
    const psiC = at<T>(s.psiC, row * h);
    const dOutput: usize = projected ? 0 : dOutputAt<T>(s, row);
    const dh = projected ? projectionBackward<T>(s, m, row) : s.dh;
    if (s.normIh) lstmNormalisedStateBackward<T>(s, m, row, dOutput, dh);
    lstmStepBackward<T>(s, m, cPrev, psiC, gates, dOutput, dh);
    const dProduct = recurrentProductBackward<T>(s, m, row);
    gemmPacked<T>(m, p, g, dProduct, g, weights, OVERWRITE, s.dh, p); // dh_(t-1) = W_hh^T [di df dg do]
    if (s.mask) mul<T>(m * p, s.dh, s.mask, s.dh);
  }
  if (s.normIh) inputProductBackward<T>(s);
}
