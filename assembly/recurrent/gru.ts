// The gated recurrent unit (Cho et al. 2014), forward and backward: one step, then all steps.
//
//   h' = mask h_(t-1)                                               mask: 1 where there is none
//   r = sigma(W_ir x_t + b_ir + W_hr h' + b_hr)                     sigma = sigmoid, phi = tanh, or others
//   z = sigma(W_iz x_t + b_iz + W_hz h' + b_hz)
//   n = phi(W_in x_t + b_in + r q), q = W_hn h' + b_hn              resetAfter: version 1 on arXiv, cuDNN, PyTorch
//   n = phi(W_in x_t + b_in + b_hn + W_hn q), q = r h'              resetBefore: version 3, ONNX's default
//   h_t = (1 - z) n + z h_(t-1)
//
//   dh = dOutput_t + dh_t                                           dh_t: handed back by step t + 1; dh_n at the last step
//   dz = dh (h_(t-1) - n) sigma'(z), dn = dh (1 - z) phi'(n)
//   resetAfter:   dq = dn r, dr = dn q sigma'(r)
//                 dh_(t-1) = dh z + mask W_hh^T [dr dz dq]
//   resetBefore:  dq = W_hn^T dn, dr = dq h' sigma'(r)
//                 dh_(t-1) = dh z + mask (dq r + W_h(r,z)^T [dr dz])
//
// Derivatives are computed from the outputs of the non-linearities.
//
// Layer-normalised, resetAfter only (Ba, Kiros & Hinton 2016, equations 29 to 31): gain LN(...) of W_i(r,z) x, W_h(r,z) h',
// W_in x and W_hn h', the first two over 2H, then the biases.
//
// P = H, G' = 3H: weights in the order r z n. G = 4H: gates in the order n r z q, in which the columns of either product are
// neighbours, [n r z] of W_ih x and [r z q] of W_hh h'. The fields of a sequence are described in sequence.ts.

import { at, bytes, fitting, lanes, loadLanes, madd, matrixBytes, storeLanes } from "../simd";
import { one } from "../math";
import { activate, activateBackward, activateGate, activateGateBackward } from "../activation";
import { add, clip, mul } from "../elementwise";
import { gemm, gemmPacked, OVERWRITE, packedBytes, packedSize, packWeight } from "../gemm/gemm";
import { addColumnSums, addWeightGradient } from "./gradients";
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
  rowsBetween,
  rowsHere,
  rowsOf,
  runs,
  Sequence,
  STEPS,
} from "./sequence";

// Packed weights: W_in^T [D,H] | W_i(r,z)^T [D,2H] | resetAfter: W_hh^T [H,3H]; else W_h(r,z)^T [H,2H] | W_hn^T [H,H]
// | biases of n r z q [4H].

/** Bytes of the packed weights. */
export function gruPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsSize<T>(s));
}

function packedWeightsSize<T>(s: Sequence): u64 {
  const h = s.h;
  const recurrent = s.resetAfter ? packedSize<T>(h, 3 * h) : packedSize<T>(h, 2 * h) + packedSize<T>(h, h);
  return packedSize<T>(s.d, h) + packedSize<T>(s.d, 2 * h) + recurrent + <u64>bytes<T>(4 * h);
}

export function packedIrz<T>(s: Sequence, panels: usize): usize {
  return panels + packedBytes<T>(s.d, s.h);
}

export function packedHh<T>(s: Sequence, panels: usize): usize {
  return packedIrz<T>(s, panels) + packedBytes<T>(s.d, 2 * s.h);
}

function packedHn<T>(s: Sequence, panels: usize): usize {
  return packedHh<T>(s, panels) + packedBytes<T>(s.h, 2 * s.h);
}

export function packedBias<T>(s: Sequence, panels: usize): usize {
  if (s.resetAfter) return packedHh<T>(s, panels) + packedBytes<T>(s.h, 3 * s.h);
  return packedHn<T>(s, panels) + packedBytes<T>(s.h, s.h);
}

/** Packs the weights, once for many passes with `s.panels`; panels: out. */
export function gruPack<T>(s: Sequence, panels: usize): void {
  const h = s.h;
  const d = s.d;
  packWeight<T>(d, h, at<T>(s.weightIh, 2 * h * d), 1, d, panels);
  packWeight<T>(d, 2 * h, s.weightIh, 1, d, packedIrz<T>(s, panels));
  packWeight<T>(h, s.resetAfter ? 3 * h : 2 * h, s.weightHh, 1, h, packedHh<T>(s, panels));
  if (!s.resetAfter) packWeight<T>(h, h, at<T>(s.weightHh, 2 * h * h), 1, h, packedHn<T>(s, panels));
  const n = packedBias<T>(s, panels);
  const rz = at<T>(n, h);
  const q = at<T>(n, 3 * h);
  memory.fill(n, 0, bytes<T>(4 * h));
  if (s.biasIh) {
    memory.copy(n, at<T>(s.biasIh, 2 * h), bytes<T>(h));
    add<T>(2 * h, s.biasIh, s.biasHh, rz);
    if (s.resetAfter) memory.copy(q, at<T>(s.biasHh, 2 * h), bytes<T>(h));
    else add<T>(h, n, at<T>(s.biasHh, 2 * h), n);
  }
}

/** The head of `work`: addresses of scratch. */
@unmanaged
class Work {
  /** forward: all weights, packed; backward: W_hh, or with resetBefore W_h(r,z), packed. */
  weights: usize;
  /** backward: W_hn, packed, with resetBefore. */
  weightsN: usize;
  /** forward: [N,H], h'. */
  masked: usize;
  /** backward: [rows,H], for `recurrentInputs`. */
  inputs: usize;
  /** forward: [N,2H], layer-normalised. */
  normalised: usize;
  /** backward: [N,H], the gradient of h'. */
  dMasked: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.panels ? 0 : packedWeightsSize<T>(s));
  end = block(work, offsetof<Work>("masked"), end, s.mask ? matrixBytes<T>(s.n, s.h) : 0);
  return block(work, offsetof<Work>("normalised"), end, s.normIh ? matrixBytes<T>(s.n, 2 * s.h) : 0);
}

function layOutBackward<T>(s: Sequence, work: usize): u64 {
  const h = s.h;
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, packedSize<T>(s.resetAfter ? 3 * h : 2 * h, h));
  end = block(work, offsetof<Work>("weightsN"), end, s.resetAfter ? 0 : packedSize<T>(h, h));
  end = block(work, offsetof<Work>("inputs"), end, recurrentInputsBytes<T>(s));
  return block(work, offsetof<Work>("dMasked"), end, matrixBytes<T>(s.n, h));
}

/** Bytes of `work` for gruForward, or for gruBackward. */
export function gruWorkspace<T>(s: Sequence, backward: bool): usize {
  return fitting(backward ? layOutBackward<T>(s, 0) : layOutForward<T>(s, 0));
}

/** As of the LSTM: [n r z] of the gates = W_ih x + b, or gain LN(W_ih x) + b. */
function inputProduct<T>(s: Sequence, rows: i32, chunkRow: i32, weights: usize, bias: usize): void {
  const h = s.h;
  const g = 4 * h;
  const d = s.d;
  const irz = packedIrz<T>(s, weights);
  const biasRz = at<T>(bias, h);
  const offset = partFirst(s, rows);
  const m = partCount(s, rows);
  const x = at<T>(s.x, (chunkRow + offset) * d);
  const gates = at<T>(s.gates, offset * g);
  const gatesRz = at<T>(gates, h);
  if (!s.normIh) {
    gemmPacked<T>(m, h, d, x, d, weights, bias, gates, g);
    gemmPacked<T>(m, 2 * h, d, x, d, irz, biasRz, gatesRz, g);
    return;
  }
  const n = at<T>(s.products, offset * 3 * h);
  const rz = at<T>(n, h);
  const gainN = at<T>(s.normIh, 2 * h);
  gemmPacked<T>(m, h, d, x, d, weights, OVERWRITE, n, 3 * h);
  gemmPacked<T>(m, 2 * h, d, x, d, irz, OVERWRITE, rz, 3 * h);
  normalise<T>(m, h, n, 3 * h, gainN, bias, gates, g, at<T>(s.moments, offset), rows);
  normalise<T>(m, 2 * h, rz, 3 * h, s.normIh, biasRz, gatesRz, g, at<T>(s.moments, 2 * rows + offset), rows);
}

/**
 * The recurrent product of m rows, which are rows offset .. offset + m of the chunk's: [r z] of the gates += W_h(r,z) h',
 * and with resetAfter q = W_hn h' + b_hn; or gain LN(...) of each product.
 *
 *   hMasked  in: [m,H], h'
 *   hh       in: W_hh, or with resetBefore W_h(r,z), packed
 *   bias     in: [4H], of n r z q
 */
function recurrentProduct<T>(
  s: Sequence,
  m: i32,
  hMasked: usize,
  hh: usize,
  bias: usize,
  offset: i32,
  rows: i32,
): void {
  const h = s.h;
  const g = 4 * h;
  const rz = at<T>(s.gates, offset * g + h);
  const q = at<T>(s.gates, offset * g + 3 * h);
  const biasQ = at<T>(bias, 3 * h);
  if (s.normIh) {
    const product = at<T>(s.recurrentProducts, offset * 3 * h);
    const productQ = at<T>(product, 2 * h);
    const gainQ = at<T>(s.normHh, 2 * h);
    const momentsRz = at<T>(s.moments, 4 * rows + offset);
    const momentsQ = at<T>(s.moments, 6 * rows + offset);
    const scratch = changetype<Work>(s.work).normalised;
    gemmPacked<T>(m, 3 * h, h, hMasked, h, hh, OVERWRITE, product, 3 * h);
    addNormalised<T>(m, 2 * h, product, 3 * h, s.normHh, rz, g, momentsRz, rows, scratch);
    normalise<T>(m, h, productQ, 3 * h, gainQ, biasQ, q, g, momentsQ, rows);
  } else if (s.resetAfter) {
    for (let row = 0; row < m; row++) memory.copy(at<T>(q, row * g), biasQ, bytes<T>(h)); // q = b_hn
    gemmPacked<T>(m, 3 * h, h, hMasked, h, hh, rz, rz, g); // [r z q] += W_hh h'
  } else {
    gemmPacked<T>(m, 2 * h, h, hMasked, h, hh, rz, rz, g); // [r z] += W_h(r,z) h'
  }
}

/** Layer-normalised: the gradient of W_ih x of all steps, in `products`, its columns [n r z]. */
function inputProductBackward<T>(s: Sequence): void {
  const h = s.h;
  const g = 4 * h;
  const n = s.products;
  const rz = at<T>(n, h);
  const gainN = at<T>(s.normIh, 2 * h);
  const dGainN = at<T>(s.dNormIh, 2 * h);
  const momentsRz = at<T>(s.moments, 2 * s.rows);
  normaliseBackward<T>(s.rows, h, n, 3 * h, gainN, s.gates, g, s.moments, s.rows, dGainN);
  normaliseBackward<T>(s.rows, 2 * h, rz, 3 * h, s.normIh, at<T>(s.gates, h), g, momentsRz, s.rows, s.dNormIh);
}

/** The gradient of W_hh h' of one step, its columns [r z q]: the gates' own, or that of `recurrentProducts`. */
function recurrentProductBackward<T>(s: Sequence, m: i32, row: i32): usize {
  const h = s.h;
  const g = 4 * h;
  const drz = at<T>(s.gates, row * g + h);
  if (!s.normIh) return drz;
  const dq = at<T>(drz, 2 * h);
  const rz = at<T>(s.recurrentProducts, row * 3 * h);
  const q = at<T>(rz, 2 * h);
  const gainQ = at<T>(s.normHh, 2 * h);
  const dGainQ = at<T>(s.dNormHh, 2 * h);
  const momentsRz = at<T>(s.moments, 4 * s.rows + row);
  const momentsQ = at<T>(s.moments, 6 * s.rows + row);
  normaliseBackward<T>(m, 2 * h, rz, 3 * h, s.normHh, drz, g, momentsRz, s.rows, s.dNormHh);
  normaliseBackward<T>(m, h, q, 3 * h, gainQ, dq, g, momentsQ, s.rows, dGainQ);
  return rz;
}

/**
 * r and z of m rows.
 *
 *   gates    in/out: [m,4H], columns r and z; out, with resetBefore: q = r h'
 *   hMasked  in: [m,H], h'
 */
function gruGates<T>(s: Sequence, m: i32, gates: usize, hMasked: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const before = !s.resetAfter;
  if (s.clip != 0) for (let row = 0; row < m; row++) clip<T>(2 * h, at<T>(gates, row * 4 * h + h), <T>s.clip);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pr = at<T>(gates, h + j);
      const pz = at<T>(gates, 2 * h + j);
      const r = activateGate<T>(sigma, loadLanes<T>(pr, rest), hard); // r = sigma(r)
      storeLanes<T>(pr, r, rest);
      storeLanes<T>(pz, activateGate<T>(sigma, loadLanes<T>(pz, rest), hard), rest); // z = sigma(z)
      if (before) storeLanes<T>(at<T>(gates, 3 * h + j), v128.mul<T>(r, loadLanes<T>(at<T>(hMasked, j), rest)), rest); // q = r h'
    }
    gates += bytes<T>(4 * h);
    hMasked += bytes<T>(h);
  }
}

/**
 * n and h_t of m rows.
 *
 *   gates  in/out: [m,4H], column n; in: z and, with resetAfter, r and q
 *   hPrev  in: [m,H]
 *   hNext  out: [m,H]
 */
function gruState<T>(s: Sequence, m: i32, gates: usize, hPrev: usize, hNext: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const phi = s.phi;
  const after = s.resetAfter;
  const high = v128.splat<T>(s.clip != 0 ? <T>s.clip : <T>Infinity);
  const low = v128.neg<T>(high);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pn = at<T>(gates, j);
      const z = loadLanes<T>(at<T>(gates, 2 * h + j), rest);
      let n = loadLanes<T>(pn, rest);
      if (after) {
        const r = loadLanes<T>(at<T>(gates, h + j), rest);
        n = madd<T>(r, loadLanes<T>(at<T>(gates, 3 * h + j), rest), n); // n += r q
      }
      n = activate<T>(phi, v128.pmin<T>(v128.pmax<T>(n, low), high), hard); // n = phi(n)
      storeLanes<T>(pn, n, rest);
      const zh = v128.mul<T>(z, loadLanes<T>(at<T>(hPrev, j), rest));
      storeLanes<T>(at<T>(hNext, j), madd<T>(v128.sub<T>(one<T>(), z), n, zh), rest); // h_t = (1 - z) n + z h_(t-1)
    }
    gates += bytes<T>(4 * h);
    hPrev += bytes<T>(h);
    hNext += bytes<T>(h);
  }
}

/**
 * The backward pass of gruState and, with resetAfter, of r.
 *
 *   gates    in: [m,4H], n r z q; out: dn r dz q, or with resetAfter dn dr dz dq
 *   hPrev    in: [m,H]
 *   dOutput  in: [m,H], or 0
 *   s.dh     in: dh_t; out: dh z
 */
function gruStateBackward<T>(s: Sequence, m: i32, gates: usize, hPrev: usize, dOutput: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const phi = s.phi;
  const after = s.resetAfter;
  let dh = s.dh;
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pn = at<T>(gates, j);
      const pr = pn + bytes<T>(h);
      const pz = pr + bytes<T>(h);
      const pq = pz + bytes<T>(h);
      const n = loadLanes<T>(pn, rest);
      const z = loadLanes<T>(pz, rest);
      let d = loadLanes<T>(at<T>(dh, j), rest);
      if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, j), rest), d); // dh = dOutput_t + dh_t
      const difference = v128.sub<T>(loadLanes<T>(at<T>(hPrev, j), rest), n);
      const dz = activateGateBackward<T>(sigma, v128.mul<T>(d, difference), z, hard); // dz = dh (h_(t-1) - n) sigma'(z)
      storeLanes<T>(pz, dz, rest);
      const dn = activateBackward<T>(phi, v128.mul<T>(d, v128.sub<T>(one<T>(), z)), n, hard); // dn = dh (1 - z) phi'(n)
      storeLanes<T>(pn, dn, rest);
      storeLanes<T>(at<T>(dh, j), v128.mul<T>(d, z), rest); // dh z
      if (after) {
        const r = loadLanes<T>(pr, rest);
        const q = loadLanes<T>(pq, rest);
        storeLanes<T>(pq, v128.mul<T>(dn, r), rest); // dq = dn r
        storeLanes<T>(pr, activateGateBackward<T>(sigma, v128.mul<T>(dn, q), r, hard), rest); // dr = dn q sigma'(r)
      }
    }
    gates += bytes<T>(4 * h);
    hPrev += bytes<T>(h);
    if (dOutput) dOutput += bytes<T>(h);
    dh += bytes<T>(h);
  }
}

/**
 * resetBefore: the backward pass of q = r h', of m rows.
 *
 *   gates    in: r; out: dr
 *   hMasked  in: [m,H], h'
 *   dq       in: [m,H]; out: dq r
 */
function gruResetBackward<T>(s: Sequence, m: i32, gates: usize, hMasked: usize, dq: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pr = at<T>(gates, h + j);
      const r = loadLanes<T>(pr, rest);
      const d = loadLanes<T>(at<T>(dq, j), rest);
      const dqh = v128.mul<T>(d, loadLanes<T>(at<T>(hMasked, j), rest));
      storeLanes<T>(pr, activateGateBackward<T>(s.sigma, dqh, r, hard), rest); // dr = dq h' sigma'(r)
      storeLanes<T>(at<T>(dq, j), v128.mul<T>(d, r), rest); // dq r
    }
    gates += bytes<T>(4 * h);
    hMasked += bytes<T>(h);
    dq += bytes<T>(h);
  }
}

/** All steps: hs from x and h_0. */
export function gruForward<T>(s: Sequence): void {
  const h = s.h;
  const g = 4 * h;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.panels ? s.panels : work.weights;
  if (!s.panels) gruPack<T>(s, weights);
  const bias = packedBias<T>(s, weights);
  const hh = packedHh<T>(s, weights);
  const hn = packedHn<T>(s, weights);
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
      const q = at<T>(gates, 3 * h);
      const hPrev = hBefore<T>(s, i, row);
      const hMasked = masked<T>(s, m, hPrev, work.masked);
      recurrentProduct<T>(s, m, hMasked, hh, bias, offset, rows);
      gruGates<T>(s, m, gates, hMasked);
      if (!s.resetAfter) gemmPacked<T>(m, h, h, q, g, hn, gates, gates, g); // n += W_hn q
      gruState<T>(s, m, gates, hPrev, hAfter<T>(s, row));
      if (!s.reversed) row += rowsOf(s, i, m);
    }
  }
}

/** All steps backward, from what gruForward saved in training. */
export function gruBackward<T>(s: Sequence): void {
  const h = s.h;
  const work = changetype<Work>(s.work);
  if (runs(s, PACK)) {
    layOutBackward<T>(s, s.work);
    packWeight<T>(s.resetAfter ? 3 * h : 2 * h, h, s.weightHh, h, 1, work.weights);
    if (!s.resetAfter) packWeight<T>(h, h, at<T>(s.weightHh, 2 * h * h), h, 1, work.weightsN);
    writeRecurrentInputs<T>(s, work.inputs);
  }
  const inputs = recurrentInputs(s, work.inputs);
  const stride = s.normIh ? 3 * h : 4 * h; // of the gradients of the products
  if (runs(s, STEPS)) backwardSteps<T>(s, inputs, stride);
  if (runs(s, GRADIENTS)) weightsBackward<T>(s, inputs, s.normIh ? s.products : s.gates, stride);
}

function backwardSteps<T>(s: Sequence, inputs: usize, stride: i32): void {
  const h = s.h;
  const g = 4 * h;
  const work = changetype<Work>(s.work);
  const weights = work.weights;
  const weightsN = work.weightsN;
  const dMasked = at<T>(work.dMasked, firstHere(s) * h);
  const dh = s.dh;
  let row = s.rows + firstHere(s);
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsHere(s, i);
    row -= rowsOf(s, i, m);
    if (isIdle(m)) continue;
    const gates = at<T>(s.gates, row * g);
    gruStateBackward<T>(s, m, gates, hBefore<T>(s, i, row), dOutputAt<T>(s, row));
    if (s.resetAfter) {
      const dProduct = recurrentProductBackward<T>(s, m, row);
      if (!s.mask) {
        gemmPacked<T>(m, h, 3 * h, dProduct, stride, weights, dh, dh, h); // dh z + W_hh^T [dr dz dq]
        continue;
      }
      gemmPacked<T>(m, h, 3 * h, dProduct, stride, weights, OVERWRITE, dMasked, h); // W_hh^T [dr dz dq]
    } else {
      gemmPacked<T>(m, h, h, gates, g, weightsN, OVERWRITE, dMasked, h); // dq = W_hn^T dn
      gruResetBackward<T>(s, m, gates, at<T>(inputs, row * h), dMasked);
      gemmPacked<T>(m, h, 2 * h, at<T>(gates, h), g, weights, dMasked, dMasked, h); // dq r + W_h(r,z)^T [dr dz]
    }
    if (s.mask) mul<T>(m * h, dMasked, s.mask, dMasked);
    add<T>(m * h, dh, dMasked, dh); // dh_(t-1) = dh z + mask (...)
  }
  if (s.normIh) inputProductBackward<T>(s);
}

/**
 * dx and the gradients of weights and biases, over all steps at once: this call's part of dx's rows, and of the others' rows.
 *
 *   inputs     in: [rows,H], h'
 *   dProducts  in: [rows,3H], columns [n r z] of the gradient of W_ih x, rows `stride` numbers apart
 */
function weightsBackward<T>(s: Sequence, inputs: usize, dProducts: usize, stride: i32): void {
  const h = s.h;
  const d = s.d;
  const g = 4 * h;
  const dn = s.gates;
  const drz = at<T>(s.gates, h);
  const q = at<T>(s.gates, 3 * h); // with resetAfter dq
  const dProductsRz = at<T>(dProducts, h);
  const dRecurrent = s.normIh ? s.recurrentProducts : drz;
  const dWeightHn = at<T>(s.dWeightHh, 2 * h * h);
  if (s.dx) {
    const row = partFirst(s, s.rows);
    const m = partCount(s, s.rows);
    const dx = at<T>(s.dx, row * d);
    gemm<T>(m, d, 2 * h, at<T>(dProductsRz, row * stride), stride, 1, s.weightIh, d, 1, OVERWRITE, dx, d);
    gemm<T>(m, d, h, at<T>(dProducts, row * stride), stride, 1, at<T>(s.weightIh, 2 * h * d), d, 1, dx, dx, d);
  }
  const j = partFirst(s, h);
  const rows = partCount(s, h);
  const k = partFirst(s, 2 * h);
  const rows2 = partCount(s, 2 * h);
  const hh = s.resetAfter ? 3 * h : 2 * h;
  const l = partFirst(s, hh);
  addWeightGradient<T>(s.rows, rows2, d, at<T>(dProductsRz, k), stride, s.x, at<T>(s.dWeightIh, k * d));
  addWeightGradient<T>(s.rows, rows, d, at<T>(dProducts, j), stride, s.x, at<T>(s.dWeightIh, (2 * h + j) * d));
  addWeightGradient<T>(s.rows, partCount(s, hh), h, at<T>(dRecurrent, l), stride, inputs, at<T>(s.dWeightHh, l * h));
  if (!s.resetAfter) {
    const to = at<T>(dWeightHn, j * h);
    gemm<T>(rows, h, s.rows, at<T>(dn, j), 1, g, q, g, 1, to, to, h); // dW_hn += dn^T q
  }
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, rows2, at<T>(drz, k), g, at<T>(s.dBiasIh, k));
    addColumnSums<T>(s.rows, rows, at<T>(dn, j), g, at<T>(s.dBiasIh, 2 * h + j));
    addColumnSums<T>(s.rows, rows2, at<T>(drz, k), g, at<T>(s.dBiasHh, k));
    addColumnSums<T>(s.rows, rows, at<T>(s.resetAfter ? q : dn, j), g, at<T>(s.dBiasHh, 2 * h + j));
  }
}
