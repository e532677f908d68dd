// The gated recurrent unit of few units, forward: a step of a row stays in registers, and two directions take turns, so that one works
// while the other waits for its own results. ../recurrent/gru.ts has the equations; the bits are the same.

import { gemmPacked } from "../gemm/gemm";
import { one, sigmoid, tanh } from "../math";
import { packedBias, packedHh, packedIrz } from "../recurrent/gru";
import { hAfter, hBefore, Sequence } from "../recurrent/sequence";
import { at, bytes, lanes, loadSplat, madd } from "../simd";

/** Column `column`, a multiple of the lanes, of packed panels of k rows; the next row is 32 bytes further. */
// @ts-ignore: decorator
@inline
function columnOf<T>(panels: usize, k: i32, column: i32): usize {
  const inPanel = column & (2 * lanes<T>() - 1);
  return panels + <usize>k * bytes<T>(column - inPanel) + bytes<T>(inPanel);
}

/**
 * One step of one row.
 *
 *   hh     in: W_hh, packed
 *   bias   in: [4H], of n r z q
 *   gates  in: [4H], n r z of W_ih x + b
 *   hPrev  in: [H]
 *   hNext  out: [H]
 */
function step<T>(h: i32, hh: usize, bias: usize, gates: usize, hPrev: usize, hNext: usize): void {
  for (let j = 0; j < h; j += lanes<T>()) {
    let r = v128.load(at<T>(gates, h + j));
    let z = v128.load(at<T>(gates, 2 * h + j));
    let q = v128.load(at<T>(bias, 3 * h + j));
    let toR = columnOf<T>(hh, h, j);
    let toZ = columnOf<T>(hh, h, h + j);
    let toQ = columnOf<T>(hh, h, 2 * h + j);
    let from = hPrev;
    let k = h;
    do {
      const hk = loadSplat<T>(from);
      r = madd<T>(hk, v128.load(toR), r);
      z = madd<T>(hk, v128.load(toZ), z);
      q = madd<T>(hk, v128.load(toQ), q);
      from += sizeof<T>();
      toR += 32;
      toZ += 32;
      toQ += 32;
    } while (--k);
    r = sigmoid<T>(r);
    z = sigmoid<T>(z);
    const n = tanh<T>(madd<T>(r, q, v128.load(at<T>(gates, j))));
    const zh = v128.mul<T>(z, v128.load(at<T>(hPrev, j)));
    v128.store(at<T>(hNext, j), madd<T>(v128.sub<T>(one<T>(), z), n, zh)); // h_t = (1 - z) n + z h_(t-1)
  }
}

/** [n r z] of the gates = W_ih x + b, for the steps [start, end) in the order in which they are taken. */
function inputProduct<T>(s: Sequence, start: i32, end: i32): void {
  const h = s.h;
  const bias = packedBias<T>(s, s.panels);
  const rows = (end - start) * s.n;
  const x = at<T>(s.x, rowOf(s, s.reversed ? end - 1 : start) * s.d);
  gemmPacked<T>(rows, h, s.d, x, s.d, s.panels, bias, s.gates, 4 * h);
  const irz = packedIrz<T>(s, s.panels);
  gemmPacked<T>(rows, 2 * h, s.d, x, s.d, irz, at<T>(bias, h), at<T>(s.gates, h), 4 * h);
}

/** The first row of the i-th step that is taken. */
function rowOf(s: Sequence, i: i32): i32 {
  return s.n * (s.reversed ? s.t - 1 - i : i);
}

/** The i-th step that is taken, of a chunk of the steps [start, end). */
function stepAt<T>(s: Sequence, i: i32, start: i32, end: i32, hh: usize, bias: usize): void {
  const h = s.h;
  const row = rowOf(s, i);
  let gates = at<T>(s.gates, (row - rowOf(s, s.reversed ? end - 1 : start)) * 4 * h);
  let hPrev = hBefore<T>(s, i, row);
  let hNext = hAfter<T>(s, row);
  for (let r = 0; r < s.n; r++) {
    step<T>(h, hh, bias, gates, hPrev, hNext);
    gates += bytes<T>(4 * h);
    hPrev += bytes<T>(h);
    hNext += bytes<T>(h);
  }
}

/**
 * All steps: hs from x and h_0, as of gruForward in inference.
 *
 *   first, second  a `Sequence` each, of as many steps and rows, with h0 and panels, resetAfter, sigmoid and tanh, and none of
 *                  batchSizes, clip, mask and layer normalisation; H is a multiple of the lanes. second: or 0
 */
export function gruSmall<T>(first: usize, second: usize): void {
  const a = changetype<Sequence>(first);
  const b = changetype<Sequence>(second ? second : first);
  const hhA = packedHh<T>(a, a.panels);
  const hhB = packedHh<T>(b, b.panels);
  const biasA = packedBias<T>(a, a.panels);
  const biasB = packedBias<T>(b, b.panels);
  for (let start = 0; start < a.t; start += a.chunk) {
    const end = min(start + a.chunk, a.t);
    inputProduct<T>(a, start, end);
    if (second) inputProduct<T>(b, start, end);
    for (let i = start; i < end; i++) {
      stepAt<T>(a, i, start, end, hhA, biasA);
      if (second) stepAt<T>(b, i, start, end, hhB, biasB);
    }
  }
}
