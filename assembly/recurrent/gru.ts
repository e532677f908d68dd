// The gated recurrent unit, forward and backward: one step, then all steps.
//
//   r = s(W_ir x_t + b_ir + W_hr h' + b_hr)                     h' = m h_(t-1); m: the mask, where there is one
//   z = s(W_iz x_t + b_iz + W_hz h' + b_hz)
//   n = phi(W_in x_t + b_in + r q), q = W_hn h' + b_hn          resetAfter: cuDNN, PyTorch
//   n = phi(W_in x_t + b_in + b_hn + W_hn q), q = r h'          resetBefore: Cho et al. 2014 (version 1), ONNX's default
//   h_t = (1 - z) n + z h_(t-1)
//
//   dh  = dOutput_t + dh_t                                      dh_t: what step t + 1 hands down (dh_n at the last step)
//   dz  = dh (h_(t-1) - n) s'(z),  dn = dh (1 - z) phi'(n)
//   resetAfter:   dq = dn r,  dr = dn q s'(r)
//                 dh_(t-1) = dh z + m W_hh^T [dr dz dq]
//   resetBefore:  dq = W_hn^T dn,  dr = dq h' s'(r)
//                 dh_(t-1) = dh z + m (dq r + W_h(r,z)^T [dr dz])
//
// Layer-normalised, resetAfter only (Ba, Kiros & Hinton 2016, equations 29 to 31): gain LN(...) of what W_i(r,z), W_h(r,z), W_in
// and W_hn give, the first two over 2H, then the biases.
//
// s = sigmoid, phi = tanh, or other ones. G' = 3H: weights in the order r z n. Rows of gates are n r z q, G = 4H: what W_ih
// gives lies side by side, and so does what W_hh gives. P = H. The fields of a sequence are described in sequence.ts.

import { at, bytes, fitting, lanes, loadLanes, madd, matrixBytes, storeLanes } from "../simd";
import { one } from "../math";
import { activate, activateBackward, activateGate, activateGateBackward } from "../activation";
import { add, clip, mul } from "../elementwise";
import { gemm, gemmPacked, packedBytes, packedSize, packWeight } from "../gemm/gemm";
import { addColumnSums, addWeightGradient } from "./gradients";
import { masked, normalise, normaliseBackward, recurrentInputs, recurrentInputsBytes } from "./products";
import { block, firstBlock } from "./scratch";
import { hardOf, rowsAt, rowsBefore, Sequence } from "./sequence";

// Packed weights: W_in^T [D,H] | W_i(r,z)^T [D,2H] | resetAfter: W_hh^T [H,3H]; else W_h(r,z)^T [H,2H] | W_hn^T [H,H]
// | biases of n r z q [4H].

/** Bytes of packed weights. */
export function gruPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsSize<T>(s));
}

function packedWeightsSize<T>(s: Sequence): u64 {
  const h = s.h;
  const hidden = s.resetAfter ? packedSize<T>(h, 3 * h) : packedSize<T>(h, 2 * h) + packedSize<T>(h, h);
  return packedSize<T>(s.d, h) + packedSize<T>(s.d, 2 * h) + hidden + <u64>bytes<T>(4 * h);
}

// @ts-ignore: decorator
@inline
function packedIrz<T>(s: Sequence, packed: usize): usize {
  return packed + packedBytes<T>(s.d, s.h);
}

// @ts-ignore: decorator
@inline
function packedHh<T>(s: Sequence, packed: usize): usize {
  return packedIrz<T>(s, packed) + packedBytes<T>(s.d, 2 * s.h);
}

// @ts-ignore: decorator
@inline
function packedHn<T>(s: Sequence, packed: usize): usize {
  return packedHh<T>(s, packed) + packedBytes<T>(s.h, 2 * s.h);
}

// @ts-ignore: decorator
@inline
function packedBias<T>(s: Sequence, packed: usize): usize {
  if (s.resetAfter) return packedHh<T>(s, packed) + packedBytes<T>(s.h, 3 * s.h);
  return packedHn<T>(s, packed) + packedBytes<T>(s.h, s.h);
}

/** Packs the weights, once for many passes with `s.packed`. */
export function gruPack<T>(s: Sequence, packed: usize): void {
  const h = s.h;
  const d = s.d;
  packWeight<T>(d, h, at<T>(s.weightIh, 2 * h * d), 1, d, packed);
  packWeight<T>(d, 2 * h, s.weightIh, 1, d, packedIrz<T>(s, packed));
  packWeight<T>(h, s.resetAfter ? 3 * h : 2 * h, s.weightHh, 1, h, packedHh<T>(s, packed));
  if (!s.resetAfter) packWeight<T>(h, h, at<T>(s.weightHh, 2 * h * h), 1, h, packedHn<T>(s, packed));
  const n = packedBias<T>(s, packed);
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
  /** Packed; backward: W_hh, or with resetBefore W_h(r,z), alone. */
  weights: usize;
  /** backward: packed W_hn, resetBefore. */
  weightsN: usize;
  /** [N,H], h times the mask. */
  masked: usize;
  /** backward: [rows,H], as of `recurrentInputs`. */
  inputs: usize;
  /** [N,2H], for layer normalisation. */
  normalised: usize;
  /** backward: [N,H], the gradient that comes through the recurrent product. */
  through: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.packed ? 0 : packedWeightsSize<T>(s));
  end = block(work, offsetof<Work>("masked"), end, s.mask ? matrixBytes<T>(s.n, s.h) : 0);
  return block(work, offsetof<Work>("normalised"), end, s.normIh ? matrixBytes<T>(s.n, 2 * s.h) : 0);
}

function layOutBackward<T>(s: Sequence, work: usize): u64 {
  const h = s.h;
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, packedSize<T>(s.resetAfter ? 3 * h : 2 * h, h));
  end = block(work, offsetof<Work>("weightsN"), end, s.resetAfter ? 0 : packedSize<T>(h, h));
  end = block(work, offsetof<Work>("inputs"), end, recurrentInputsBytes<T>(s));
  return block(work, offsetof<Work>("through"), end, matrixBytes<T>(s.n, h));
}

/** Bytes of `work` for gruForward, or for gruBackward. */
export function gruWorkspace<T>(s: Sequence, backward: bool): usize {
  return fitting(backward ? layOutBackward<T>(s, 0) : layOutForward<T>(s, 0));
}

/** Limits columns first..first + count of m rows of gates. */
function limit<T>(s: Sequence, m: i32, gates: usize, first: i32, count: i32): void {
  for (let row = 0; row < m; row++) clip<T>(count, at<T>(gates, row * 4 * s.h + first), <T>s.clip);
}

/** r and z of m rows, in place; q = r h' with resetBefore. */
function gruGates<T>(s: Sequence, m: i32, gates: usize, h0: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  const sigma = s.sigma;
  const before = !s.resetAfter;
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pr = at<T>(gates, h + j);
      const pz = at<T>(gates, 2 * h + j);
      const r = activateGate<T>(sigma, loadLanes<T>(pr, rest), hard);
      storeLanes<T>(pr, r, rest);
      storeLanes<T>(pz, activateGate<T>(sigma, loadLanes<T>(pz, rest), hard), rest);
      if (before) storeLanes<T>(at<T>(gates, 3 * h + j), v128.mul<T>(r, loadLanes<T>(at<T>(h0, j), rest)), rest);
    }
    gates += bytes<T>(4 * h);
    h0 += bytes<T>(h);
  }
}

/** n and h_t of m rows, from r, z and (resetAfter) q. */
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
        n = madd<T>(r, loadLanes<T>(at<T>(gates, 3 * h + j), rest), n);
      }
      n = activate<T>(phi, v128.pmin<T>(v128.pmax<T>(n, low), high), hard);
      storeLanes<T>(pn, n, rest);
      const keptH = v128.mul<T>(z, loadLanes<T>(at<T>(hPrev, j), rest));
      storeLanes<T>(at<T>(hNext, j), madd<T>(v128.sub<T>(one<T>(), z), n, keptH), rest);
    }
    gates += bytes<T>(4 * h);
    hPrev += bytes<T>(h);
    hNext += bytes<T>(h);
  }
}

/** All steps: hs from x and h_0. */
export function gruForward<T>(s: Sequence): void {
  const h = s.h;
  const g = 4 * h;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.packed ? s.packed : work.weights;
  if (!s.packed) gruPack<T>(s, weights);
  const bias = packedBias<T>(s, weights);
  const irz = packedIrz<T>(s, weights);
  const hh = packedHh<T>(s, weights);
  const hn = packedHn<T>(s, weights);
  let x = s.x;
  let hPrev = s.hs;
  let hNext = hPrev + bytes<T>(s.n * h);
  for (let first = 0; first < s.t; first += s.chunk) {
    const end = min(first + s.chunk, s.t);
    let rows = 0;
    for (let i = first; i < end; i++) rows += rowsAt(s, i);
    let gates = s.gates;
    let moments = s.moments;
    let product = s.recurrentProducts;
    if (s.normIh) {
      const n = s.products;
      const rz = at<T>(n, h);
      const gainN = at<T>(s.normIh, 2 * h);
      gemmPacked<T>(rows, h, s.d, x, s.d, 1, weights, 0, 0, n, 3 * h);
      gemmPacked<T>(rows, 2 * h, s.d, x, s.d, 1, irz, 0, 0, rz, 3 * h);
      const m2 = at<T>(moments, 2 * rows);
      normalise<T>(rows, h, n, 3 * h, gainN, bias, gates, g, moments, rows, false, 0);
      const biasRz = at<T>(bias, h);
      normalise<T>(rows, 2 * h, rz, 3 * h, s.normIh, biasRz, at<T>(gates, h), g, m2, rows, false, 0);
    } else {
      gemmPacked<T>(rows, h, s.d, x, s.d, 1, weights, bias, 0, gates, g);
      gemmPacked<T>(rows, 2 * h, s.d, x, s.d, 1, irz, at<T>(bias, h), 0, at<T>(gates, h), g);
    }
    x += bytes<T>(rows * s.d);
    for (let i = first; i < end; i++) {
      const m = rowsAt(s, i);
      const h0 = masked<T>(s, m, hPrev, work.masked);
      const rz = at<T>(gates, h);
      if (s.normIh) {
        const q = at<T>(gates, 3 * h);
        const gainQ = at<T>(s.normHh, 2 * h);
        const m4 = at<T>(moments, 4 * rows);
        const m6 = at<T>(moments, 6 * rows);
        gemmPacked<T>(m, 3 * h, h, h0, h, 1, hh, 0, 0, product, 3 * h);
        normalise<T>(m, 2 * h, product, 3 * h, s.normHh, 0, rz, g, m4, rows, true, work.normalised);
        const productQ = at<T>(product, 2 * h);
        normalise<T>(m, h, productQ, 3 * h, gainQ, at<T>(bias, 3 * h), q, g, m6, rows, false, 0);
        moments += bytes<T>(m);
        product += bytes<T>(3 * m * h);
      } else if (s.resetAfter) {
        for (let row = 0; row < m; row++) {
          memory.copy(at<T>(gates, row * g + 3 * h), at<T>(bias, 3 * h), bytes<T>(h)); // q starts from its bias
        }
        gemmPacked<T>(m, 3 * h, h, h0, h, 1, hh, rz, g, rz, g);
      } else {
        gemmPacked<T>(m, 2 * h, h, h0, h, 1, hh, rz, g, rz, g);
      }
      if (s.clip != 0) limit<T>(s, m, gates, h, 2 * h);
      gruGates<T>(s, m, gates, h0);
      if (!s.resetAfter) gemmPacked<T>(m, h, h, at<T>(gates, 3 * h), g, 1, hn, gates, g, gates, g);
      gruState<T>(s, m, gates, hPrev, hNext);
      gates += bytes<T>(m * g);
      hPrev = hNext;
      hNext += bytes<T>(m * h);
    }
  }
}

/**
 * dz and dn of m rows, and (resetAfter) dr and dq; dh: out dh z.
 *
 *   gates   in: n r z q; out: dn r dz q, or (resetAfter) dn dr dz dq
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
      if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, j), rest), d);
      const toward = v128.sub<T>(loadLanes<T>(at<T>(hPrev, j), rest), n);
      storeLanes<T>(pz, activateGateBackward<T>(sigma, v128.mul<T>(d, toward), z, hard), rest);
      const dn = activateBackward<T>(phi, v128.mul<T>(d, v128.sub<T>(one<T>(), z)), n, hard);
      storeLanes<T>(pn, dn, rest);
      storeLanes<T>(at<T>(dh, j), v128.mul<T>(d, z), rest);
      if (after) {
        const r = loadLanes<T>(pr, rest);
        const q = loadLanes<T>(pq, rest);
        storeLanes<T>(pq, v128.mul<T>(dn, r), rest);
        storeLanes<T>(pr, activateGateBackward<T>(sigma, v128.mul<T>(dn, q), r, hard), rest);
      }
    }
    gates += bytes<T>(4 * h);
    hPrev += bytes<T>(h);
    if (dOutput) dOutput += bytes<T>(h);
    dh += bytes<T>(h);
  }
}

/** resetBefore: dr of m rows from dq, which becomes dq r. */
function gruResetBackward<T>(s: Sequence, m: i32, gates: usize, h0: usize, dq: usize): void {
  const h = s.h;
  const hard = hardOf(s);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const pr = at<T>(gates, h + j);
      const r = loadLanes<T>(pr, rest);
      const d = loadLanes<T>(at<T>(dq, j), rest);
      storeLanes<T>(
        pr,
        activateGateBackward<T>(s.sigma, v128.mul<T>(d, loadLanes<T>(at<T>(h0, j), rest)), r, hard),
        rest,
      );
      storeLanes<T>(at<T>(dq, j), v128.mul<T>(d, r), rest);
    }
    gates += bytes<T>(4 * h);
    h0 += bytes<T>(h);
    dq += bytes<T>(h);
  }
}

/** All steps backward, from what gruForward kept. */
export function gruBackward<T>(s: Sequence): void {
  const h = s.h;
  const d = s.d;
  const g = 4 * h;
  layOutBackward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = work.weights;
  const weightsN = work.weightsN;
  const through = work.through;
  packWeight<T>(s.resetAfter ? 3 * h : 2 * h, h, s.weightHh, h, 1, weights);
  if (!s.resetAfter) packWeight<T>(h, h, at<T>(s.weightHh, 2 * h * h), h, 1, weightsN);
  const h0s = recurrentInputs<T>(s, work.inputs);
  let row = s.rows;
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsAt(s, i);
    row -= m;
    const gates = at<T>(s.gates, row * g);
    const rz = at<T>(gates, h);
    const hPrev = at<T>(s.hs, i == 0 ? 0 : (s.n + row - rowsBefore(s, i)) * h);
    gruStateBackward<T>(s, m, gates, hPrev, s.dOutput ? at<T>(s.dOutput, row * h) : 0);
    let dRecurrent = rz;
    let stride = g;
    if (s.normIh) {
      dRecurrent = at<T>(s.recurrentProducts, row * 3 * h);
      stride = 3 * h;
      const m4 = at<T>(s.moments, 4 * s.rows + row);
      const m6 = at<T>(s.moments, 6 * s.rows + row);
      const q = at<T>(dRecurrent, 2 * h);
      const gainQ = at<T>(s.normHh, 2 * h);
      const dq = at<T>(gates, 3 * h);
      normaliseBackward<T>(m, 2 * h, dRecurrent, stride, s.normHh, rz, g, m4, s.rows, s.dNormHh, 0);
      normaliseBackward<T>(m, h, q, stride, gainQ, dq, g, m6, s.rows, at<T>(s.dNormHh, 2 * h), 0);
    }
    if (s.resetAfter && !s.mask) {
      gemmPacked<T>(m, h, 3 * h, dRecurrent, stride, 1, weights, s.dh, h, s.dh, h);
      continue;
    }
    if (s.resetAfter) {
      gemmPacked<T>(m, h, 3 * h, dRecurrent, stride, 1, weights, 0, 0, through, h);
    } else {
      gemmPacked<T>(m, h, h, gates, g, 1, weightsN, 0, 0, through, h);
      gruResetBackward<T>(s, m, gates, at<T>(h0s, row * h), through);
      gemmPacked<T>(m, h, 2 * h, rz, g, 1, weights, through, h, through, h);
    }
    if (s.mask) mul<T>(m * h, through, s.mask, through);
    add<T>(m * h, s.dh, through, s.dh);
  }

  const dn = s.gates;
  const drz = at<T>(s.gates, h);
  const q = at<T>(s.gates, 3 * h); // dq with resetAfter
  // Gradients of what the weights gave: n r z of W_ih, r z q of W_hh.
  let pn = dn;
  let prz = drz;
  let hrz = drz;
  let pStride = g;
  let hStride = g;
  if (s.normIh) {
    pn = s.products;
    prz = at<T>(pn, h);
    hrz = s.recurrentProducts;
    pStride = hStride = 3 * h;
    const m2 = at<T>(s.moments, 2 * s.rows);
    const gainN = at<T>(s.normIh, 2 * h);
    const dGainN = at<T>(s.dNormIh, 2 * h);
    normaliseBackward<T>(s.rows, h, pn, pStride, gainN, dn, g, s.moments, s.rows, dGainN, 0);
    normaliseBackward<T>(s.rows, 2 * h, prz, pStride, s.normIh, drz, g, m2, s.rows, s.dNormIh, 0);
  }
  if (s.dx) {
    gemm<T>(s.rows, d, 2 * h, prz, pStride, 1, s.weightIh, d, 1, 0, 0, s.dx, d);
    gemm<T>(s.rows, d, h, pn, pStride, 1, at<T>(s.weightIh, 2 * h * d), d, 1, s.dx, d, s.dx, d);
  }
  addWeightGradient<T>(s.rows, 2 * h, d, prz, pStride, s.x, s.dWeightIh);
  addWeightGradient<T>(s.rows, h, d, pn, pStride, s.x, at<T>(s.dWeightIh, 2 * h * d));
  addWeightGradient<T>(s.rows, s.resetAfter ? 3 * h : 2 * h, h, hrz, hStride, h0s, s.dWeightHh);
  const dWeightHn = at<T>(s.dWeightHh, 2 * h * h);
  if (!s.resetAfter) gemm<T>(h, h, s.rows, dn, 1, g, q, g, 1, dWeightHn, h, dWeightHn, h);
  if (s.dBiasIh) {
    addColumnSums<T>(s.rows, 2 * h, drz, g, s.dBiasIh);
    addColumnSums<T>(s.rows, h, dn, g, at<T>(s.dBiasIh, 2 * h));
    addColumnSums<T>(s.rows, 2 * h, drz, g, s.dBiasHh);
    addColumnSums<T>(s.rows, h, s.resetAfter ? q : dn, g, at<T>(s.dBiasHh, 2 * h));
  }
}
