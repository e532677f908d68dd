// The argument of the kernels in rnn.ts, lstm.ts and gru.ts: one layer's pass over a sequence, in one direction. Nothing is
// computed here.
//
// T, N, D, H: steps, batch, input size, hidden size. P: size of the state h, H unless the LSTM projects it. G': rows of the
// weights, H (RNN), 4H (LSTM, i f g o) or 3H (GRU, r z n). G: columns of the saved gates, 4H (LSTM, GRU); the RNN saves none.
//
// Sequences of different lengths are sorted by length, longest first, and stored as PyTorch's PackedSequence: step t has only
// the first batchSizes[t] rows of the batch, and the steps follow one another without gaps. rows: of all steps, T N where
// all have one length.
//
// States have N rows more, in front: h_0. Step t starts from the first rows of the block that step t - 1 wrote:
//
//     hs:  | h_0: N rows | h_1: batchSizes[0] rows | h_2: batchSizes[1] rows | ...
//
// The module "parts" is compiled from the same kernels for passes of several threads (bindings/splits.ts), with IN_PARTS defined. A call
// there runs a part of one phase of a pass, as a `Part` behind its copy of the record tells.

import { at } from "../simd";

/** forward, of one chunk and with `panels`: the products of the input, part `part` of `parts` of all rows. */
export const INPUT: i32 = 1;
/** backward: scratch is laid out, and what the next phases read is packed; by one call. */
export const PACK: i32 = 2;
/**
 * The steps, for the rows first .. last of the batch; a layer-normalised pass backward takes all of them at once. What has a row for each of the
 * batch (mask, h0, c0, dh, dc; in inference cs; forward work) is given from row `first` on.
 */
export const STEPS: i32 = 3;
/** backward: dx, part `part` of `parts` of its rows, and the gradients of weights and biases, that part of their rows. */
export const GRADIENTS: i32 = 4;

/** What a call of the module "parts" does. */
@unmanaged
class Part {
  phase: i32;
  part: i32;
  parts: i32;
  first: i32;
  last: i32;
}

/**
 * Buffers are dense and row-major, do not overlap, and belong to the caller; the kernels keep no address after a call.
 * 0 stands for a buffer that is not there. The host fills the fields by their names (scripts/exports.mjs reads them here).
 */
@unmanaged
export class Sequence {
  /** Slope and offset of the hard sigmoid; in front, since `hardOf` returns their address. */
  hardSlope: f64;
  hardOffset: f64;
  /** Limit of the inputs of non-linearities, or 0; forward only. */
  clip: f64;

  t: i32;
  n: i32;
  d: i32;
  h: i32;
  p: i32;
  rows: i32;
  /** in: [T] i32, rows of each step, non-increasing; 0: N at each. */
  batchSizes: usize;

  /** Codes of activation.ts: of the gates, of the candidate (or of the RNN's state), of c on its way to h. */
  sigma: i32;
  phi: i32;
  psi: i32;
  /** GRU: whether r is applied after the recurrent product. */
  resetAfter: i32;
  /** LSTM, forward only: whether f = 1 - i. */
  coupled: i32;
  /** forward: whether to save the gates (and an LSTM's c and psi(c)) for a backward pass. */
  training: i32;
  /** forward: steps whose input product is computed at once; T in training. */
  chunk: i32;

  /** in: [rows,D]. */
  x: usize;
  /** in: [G',D], [G',P]. */
  weightIh: usize;
  weightHh: usize;
  /** in: [G'] each; both or none. */
  biasIh: usize;
  biasHh: usize;
  /** in: [P,H], the LSTM's projection. */
  weightHr: usize;
  /** in: [3,H], the LSTM's peepholes of i, f, o; forward only. */
  peephole: usize;
  /** in: [N,P], multiplies h on its way into the recurrent product, the same at every step. */
  mask: usize;
  /**
   * Layer-normalised LSTM and GRU (resetAfter) only. in: gains of W_ih x and of W_hh h, [G'] each; LSTM: gain and bias of c,
   * [H] each.
   */
  normIh: usize;
  normHh: usize;
  normC: usize;
  normCBias: usize;
  /** in: the weights, packed by the cell's `pack` function; 0: each forward pass packs them. */
  panels: usize;
  /** scratch, as long as the cell's workspace function says. */
  work: usize;

  /** in/out: [N + rows,P]: h_0, then every state. */
  hs: usize;
  /** LSTM, in/out: in training [N + rows,H], c_0, then every state; else [N,H], c_0 replaced by c_n. */
  cs: usize;
  /** forward, not in training; in: [N,P] and (LSTM) [N,H], h_0 and c_0 where they are not in hs and cs, which then only take results. */
  h0: usize;
  c0: usize;
  /** forward, not in training: whether steps are taken from the last to the first; with h0, and without batchSizes. */
  reversed: i32;
  /** forward, not in training: of how many other passes the states lie between those of two steps; with h0. */
  others: i32;
  /** out: [chunk rows,G]: i f g o (LSTM) or n r z q (GRU), in training. backward: in/out, replaced by their gradients. */
  gates: usize;
  /** LSTM, out: [rows,H], psi(c), in training. backward: in, with a projection replaced by o psi(c). */
  psiC: usize;
  /** Layer-normalised, out: [chunk rows,G'] each, W_ih x and W_hh h. backward: in/out, replaced by their gradients. */
  products: usize;
  recurrentProducts: usize;
  /** Layer-normalised, out: [8,chunk rows], means and 1 / standard deviations. */
  moments: usize;

  /** in: [rows,P], or 0. */
  dOutput: usize;
  /** in/out: [N,P] and (LSTM) [N,H], gradients of the last states, replaced by those of the initial states. */
  dh: usize;
  dc: usize;
  /** out: [rows,D], overwritten, or 0. */
  dx: usize;
  /** RNN, out: [rows,H], gradients before phi. */
  da: usize;
  /** in/out: += the gradients. */
  dWeightIh: usize;
  dWeightHh: usize;
  dBiasIh: usize;
  dBiasHh: usize;
  dWeightHr: usize;
  dNormIh: usize;
  dNormHh: usize;
  dNormC: usize;
  dNormCBias: usize;
}

// @ts-ignore: decorator
@inline
function partOf(s: Sequence): Part {
  return changetype<Part>(changetype<usize>(s) + offsetof<Sequence>());
}

/** Whether this call runs a phase. */
// @ts-ignore: decorator
@inline
export function runs(s: Sequence, phase: i32): bool {
  return !isDefined(IN_PARTS) || partOf(s).phase == phase;
}

/** Where part `part` of `count` rows or columns starts: a multiple of 8; all of them for the one past the last. */
function partStart(s: Sequence, count: i32, part: i32): i32 {
  const parts = partOf(s).parts;
  return part < parts ? (<i32>((<i64>count * part) / parts)) & ~7 : count;
}

/** The first of this call's part of `count` rows or columns. */
// @ts-ignore: decorator
@inline
export function partFirst(s: Sequence, count: i32): i32 {
  return isDefined(IN_PARTS) ? partStart(s, count, partOf(s).part) : 0;
}

/** The number of rows or columns in this call's part of `count`. */
// @ts-ignore: decorator
@inline
export function partCount(s: Sequence, count: i32): i32 {
  if (!isDefined(IN_PARTS)) return count;
  return partStart(s, count, partOf(s).part + 1) - partStart(s, count, partOf(s).part);
}

/** The first row of the batch that this call takes through the steps. */
// @ts-ignore: decorator
@inline
export function firstHere(s: Sequence): i32 {
  return isDefined(IN_PARTS) ? partOf(s).first : 0;
}

/** The rows of step i that this call computes. */
// @ts-ignore: decorator
@inline
export function rowsHere(s: Sequence, i: i32): i32 {
  if (!isDefined(IN_PARTS)) return rowsAt(s, i);
  return max(0, min(rowsAt(s, i), partOf(s).last) - partOf(s).first);
}

/** All rows of step i, of which this call computes m. */
// @ts-ignore: decorator
@inline
export function rowsOf(s: Sequence, i: i32, m: i32): i32 {
  return isDefined(IN_PARTS) ? rowsAt(s, i) : m;
}

/** Whether a call has no rows at a step; without parts each step has some. */
// @ts-ignore: decorator
@inline
export function isIdle(m: i32): bool {
  return isDefined(IN_PARTS) && m == 0;
}

/** Address of the hard sigmoid's constants, as activation.ts takes it. */
// @ts-ignore: decorator
@inline
export function hardOf(s: Sequence): usize {
  return changetype<usize>(s) + offsetof<Sequence>("hardSlope");
}

// The head of step i. `row`: the first of the step's rows here among those of all steps.

/** Rows of step i. */
// @ts-ignore: decorator
@inline
export function rowsAt(s: Sequence, i: i32): i32 {
  return s.batchSizes ? load<i32>(s.batchSizes + 4 * <usize>i) : s.n;
}

/** Rows of the steps [start, end). */
export function rowsBetween(s: Sequence, start: i32, end: i32): i32 {
  let rows = 0;
  for (let i = start; i < end; i++) rows += rowsAt(s, i);
  return rows;
}

/** Row of hs and cs at which the states that step i starts from begin, in training. */
export function rowBefore(s: Sequence, i: i32, row: i32): i32 {
  return i == 0 ? firstHere(s) : s.n + row - rowsAt(s, i - 1);
}

/** h_(t-1), the states that step i starts from. */
export function hBefore<T>(s: Sequence, i: i32, row: i32): usize {
  if (i == 0) return s.h0 ? s.h0 : s.hs;
  return hAfter<T>(s, s.reversed ? row + s.n : row - rowsAt(s, i - 1));
}

/** h_t, the states that the step writes. */
// @ts-ignore: decorator
@inline
export function hAfter<T>(s: Sequence, row: i32): usize {
  return at<T>(s.hs, (s.n + row * (1 + s.others)) * s.p);
}

/** dOutput of the step, or 0. */
// @ts-ignore: decorator
@inline
export function dOutputAt<T>(s: Sequence, row: i32): usize {
  return s.dOutput ? at<T>(s.dOutput, row * s.p) : 0;
}
