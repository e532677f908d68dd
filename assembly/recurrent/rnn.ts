// The simple recurrent network (Elman 1990, "Finding Structure in Time"), forward and backward: one step, then all steps.
//
//   h_t = phi(W_ih x_t + b_ih + W_hh (mask h_(t-1)) + b_hh)        phi = tanh, ReLU ...; mask: 1 where there is none
//
//   da_t = (dOutput_t + dh_t) phi'(h_t)                            dh_t: handed back by step t + 1; dh_n at the last step
//   dh_(t-1) = mask W_hh^T da_t
//
// G' = P = H. The fields of a sequence are described in sequence.ts.

import { at, fitting, lanes, loadLanes, matrixBytes, storeLanes } from "../simd";
import { activateArray, activateBackward } from "../activation";
import { clip, mul } from "../elementwise";
import { gemmPacked, OVERWRITE, packedSize, packWeight } from "../gemm/gemm";
import { gatesBackward } from "./gradients";
import { masked, recurrentInputs, recurrentInputsBytes, writeRecurrentInputs } from "./products";
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
  rowsHere,
  rowsOf,
  runs,
  Sequence,
  STEPS,
} from "./sequence";
import { packWeights, packedBias, packedHh, packedWeightsBytes } from "./weights";

/** Bytes of the packed weights. */
export function rnnPackedBytes<T>(s: Sequence): usize {
  return fitting(packedWeightsBytes<T>(s, s.h));
}

/** Packs the weights, once for many passes with `s.panels`; panels: out. */
export function rnnPack<T>(s: Sequence, panels: usize): void {
  packWeights<T>(s, s.h, panels);
}

/** The head of `work`: addresses of scratch. */
@unmanaged
class Work {
  /** forward: all weights, packed; backward: W_hh, packed. */
  weights: usize;
  /** forward: [N,H], mask h. */
  masked: usize;
  /** backward: [rows,H], for `recurrentInputs`. */
  inputs: usize;
}

function layOutForward<T>(s: Sequence, work: usize): u64 {
  let end = firstBlock(work);
  end = block(work, offsetof<Work>("weights"), end, s.panels ? 0 : packedWeightsBytes<T>(s, s.h));
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

/** One step backward, for `count` numbers of h; dOutput may be 0. */
function rnnStepBackward<T>(s: Sequence, count: i32, h: usize, dOutput: usize, dh: usize, da: usize): void {
  const phi = s.phi;
  const hard = hardOf(s);
  for (let i = 0; i < count; i += lanes<T>()) {
    const rest = count - i;
    let d = loadLanes<T>(at<T>(dh, i), rest);
    if (dOutput) d = v128.add<T>(loadLanes<T>(at<T>(dOutput, i), rest), d); // d = dOutput_t + dh_t
    const a = activateBackward<T>(phi, d, loadLanes<T>(at<T>(h, i), rest), hard); // da = d phi'(h_t)
    storeLanes<T>(at<T>(da, i), a, rest);
  }
}

/** All steps: hs from x and h_0. */
export function rnnForward<T>(s: Sequence): void {
  const h = s.h;
  layOutForward<T>(s, s.work);
  const work = changetype<Work>(s.work);
  const weights = s.panels ? s.panels : work.weights;
  if (!s.panels) rnnPack<T>(s, weights);
  const hh = packedHh<T>(s, h, weights);
  const bias = packedBias<T>(s, h, weights);
  if (runs(s, INPUT) && !s.others) {
    const first = partFirst(s, s.rows);
    const x = at<T>(s.x, first * s.d);
    gemmPacked<T>(partCount(s, s.rows), h, s.d, x, s.d, weights, bias, hAfter<T>(s, first), h); // h_t = W_ih x_t + b
  }
  if (!runs(s, STEPS)) return;
  let row = (s.reversed ? s.rows : 0) + firstHere(s);
  for (let i = 0; i < s.t; i++) {
    const m = rowsHere(s, i);
    if (isIdle(m)) return;
    if (s.reversed) row -= rowsOf(s, i, m);
    const hMasked = masked<T>(s, m, hBefore<T>(s, i, row), work.masked);
    const hNext = hAfter<T>(s, row);
    if (s.others) gemmPacked<T>(m, h, s.d, at<T>(s.x, row * s.d), s.d, weights, bias, hNext, h);
    gemmPacked<T>(m, h, h, hMasked, h, hh, hNext, hNext, h); // h_t += W_hh (mask h_(t-1))
    if (s.clip != 0) clip<T>(m * h, hNext, <T>s.clip);
    activateArray<T>(s.phi, m * h, hNext, hNext, hardOf(s)); // h_t = phi(h_t)
    if (!s.reversed) row += rowsOf(s, i, m);
  }
}

/** All steps backward, from x and hs. */
export function rnnBackward<T>(s: Sequence): void {
  const h = s.h;
  const work = changetype<Work>(s.work);
  if (runs(s, PACK)) {
    layOutBackward<T>(s, s.work);
    packWeight<T>(h, h, s.weightHh, h, 1, work.weights);
    writeRecurrentInputs<T>(s, work.inputs);
  }
  if (runs(s, STEPS)) backwardSteps<T>(s);
  if (runs(s, GRADIENTS)) gatesBackward<T>(s, h, s.da, recurrentInputs(s, work.inputs), s.da, s.da);
}

function backwardSteps<T>(s: Sequence): void {
  const h = s.h;
  const weights = changetype<Work>(s.work).weights;
  const dh = s.dh;
  let row = s.rows + firstHere(s);
  for (let i = s.t - 1; i >= 0; i--) {
    const m = rowsHere(s, i);
    row -= rowsOf(s, i, m);
    if (isIdle(m)) continue;
    const da = at<T>(s.da, row * h);
    rnnStepBackward<T>(s, m * h, hAfter<T>(s, row), dOutputAt<T>(s, row), dh, da);
    gemmPacked<T>(m, h, h, da, h, weights, OVERWRITE, dh, h); // dh_(t-1) = W_hh^T da
    if (s.mask) mul<T>(m * h, dh, s.mask, dh);
  }
}
