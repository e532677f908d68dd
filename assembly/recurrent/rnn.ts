// The simple recurrent network (Elman 1990), forward and backward: one step, then all steps.
//
//   h_t = phi(W_ih x_t + b_ih + W_hh (m h_(t-1)) + b_hh)        phi = tanh, ReLU ...; m: the mask, where there is one
//
//   da_t = (dOutput_t + dh_t) phi'(h_t)                         dh_t: what step t + 1 hands down (dh_n at the last step)
//   dh_(t-1) = m W_hh^T da_t
//
// G = G' = P = H. The fields of a sequence are described in sequence.ts.

import { at, bytes, fitting, lanes, loadLanes, matrixBytes, storeLanes } from "../simd";
import { activateArray, activateBackward } from "../activation";
import { clip, mul } from "../elementwise";
import { gemmPacked, packedSize, packWeight } from "../gemm/gemm";
import { gatesBackward } from "./gradients";
import { masked, recurrentInputs, recurrentInputsBytes } from "./products";
import { block, firstBlock } from "./scratch";
import { hardOf, rowsAt, Sequence } from "./sequence";
import { packWeights, packedBias, packedHh, packedWeightsBytes } from "./weights";

/** Bytes of packed weights. */
export function rnnPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsBytes<T>(s, s.h));
}

/** Packs the weights, once for many passes with `s.packed`. */
export function rnnPack<T>(s: Sequence, packed: usize): void {
  packWeights<T>(s, s.h, packed);
}

/** The head of `work`: addresses of scratch. */
@unmanaged
class Work {
  /** Packed. */
  weights: usize;
  /** [N,H], h times the mask. */
  masked: usize;
  /** backward: [rows,H], as of `recurrentInputs`. */
  inputs: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.packed ? 0 : packedWeightsBytes<T>(s, s.h));
  return block(work, offsetof<Work>("masked"), end, s.mask ? matrixBytes<T>(s.n, s.h) : 0);
}

function layOutBackward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, packedSize<T>(s.h, s.h));
  return block(work, offsetof<Work>("inputs"), end, recurrentInputsBytes<T>(s));
}

/** Bytes of `work` for rnnForward, or for rnnBackward. */
export function rnnWorkspace<T>(s: Sequence, backward: bool): usize {
  return fitting(backward ? layOutBackward<T>(s, 0) : layOutForward<T>(s, 0));
}

/** da [count] = (dOutput + dh) phi'(h); dOutput may be 0. */
function rnnStepBackward<T>(s: Sequence, count: i32, h: usize, dOutput: usize, dh: usize, da: usize): void {
  const phi = s.phi;
  const hard = hardOf(s);
  for (let i = 0; i < count; i += lanes<T>()) {
    const rest = count - i;
    let d = loadLanes<T>(at<T>(dh, i), rest);
    if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, i), rest), d);
    storeLanes<T>(at<T>(da, i), activateBackward<T>(phi, d, loadLanes<T>(at<T>(h, i), rest), hard), rest);
  }
}

/** All steps: hs from x and h_0. */
export function rnnForward<T>(s: Sequence): void {
  const h = s.h;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.packed ? s.packed : work.weights;
  if (!s.packed) rnnPack<T>(s, weights);
  const hh = packedHh<T>(s, h, weights);
  const bias = packedBias<T>(s, h, weights);
  let hPrev = s.hs;
  let hNext = hPrev + bytes<T>(s.n * h);
  gemmPacked<T>(s.rows, h, s.d, s.x, s.d, 1, weights, bias, 0, hNext, h);
  for (let i = 0; i < s.t; i++) {
    const m = rowsAt(s, i);
    gemmPacked<T>(m, h, h, masked<T>(s, m, hPrev, work.masked), h, 1, hh, hNext, h, hNext, h);
    if (s.clip != 0) clip<T>(m * h, hNext, <T>s.clip);
    activateArray<T>(s.phi, m * h, hNext, hNext, hardOf(s));
    hPrev = hNext;
    hNext += bytes<T>(m * h);
  }
}

/** All steps backward, from x and hs. */
export function rnnBackward<T>(s: Sequence): void {
  const h = s.h;
  layOutBackward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = work.weights;
  packWeight<T>(h, h, s.weightHh, h, 1, weights);
  let row = s.rows;
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsAt(s, i);
    row -= m;
    const da = at<T>(s.da, row * h);
    const hNext = at<T>(s.hs, (s.n + row) * h);
    rnnStepBackward<T>(s, m * h, hNext, s.dOutput ? at<T>(s.dOutput, row * h) : 0, s.dh, da);
    gemmPacked<T>(m, h, h, da, h, 1, weights, 0, 0, s.dh, h);
    if (s.mask) mul<T>(m * h, s.dh, s.mask, s.dh);
  }
  gatesBackward<T>(s, h, s.da, recurrentInputs<T>(s, work.inputs), s.da, s.da);
}
