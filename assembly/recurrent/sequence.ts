// What the kernels of rnn.ts, lstm.ts and gru.ts take: one layer's pass over a sequence, in one direction. Nothing is
// computed here.
//
// T, N, D, H: steps, batch, input size, hidden size. P: size of the state h, H unless the LSTM projects it. G: gate
// columns kept for each row, H (RNN) or 4H (LSTM, GRU).
//
// Sequences of different lengths come packed: rows sorted by length, longest first; step t has the first counts[t] rows
// of the batch and no others, and the steps lie one behind the other ("rows" below: T N of them where all have one length).
// The states have N rows in front, for step -1, so that the states that step t starts from are the first rows of what
// step t - 1 left.

/**
 * All buffers are dense, row-major, and do not overlap. 0 stands for a buffer that is not there. The fields, in this order,
 * are also what bindings/recurrent.ts writes (scripts/build.mjs reads them off this file).
 */
@unmanaged
export class Sequence {
  /** Slope and offset of the hard sigmoid; first, since `hardOf` gives their address. */
  hardSlope: f64;
  hardOffset: f64;
  /** Limit of what goes into a non-linearity, or 0; forward only. */
  clip: f64;

  t: i32;
  n: i32;
  d: i32;
  h: i32;
  p: i32;
  /** Rows of all steps. */
  rows: i32;
  /** in: [T] i32, the rows of each step, none larger than the one before; 0: N at each. */
  counts: usize;

  /** Codes of activation.ts: of the gates, of the candidate (or of the RNN's state), of c on its way to h. */
  sigma: i32;
  phi: i32;
  psi: i32;
  /** GRU: whether r is applied after the recurrent product. */
  resetAfter: i32;
  /** LSTM, forward only: whether f = 1 - i. */
  coupled: i32;
  /** Whether a backward pass will follow. */
  keep: i32;
  /** Steps whose gates are computed at once, and kept: T where a backward pass will follow. */
  chunk: i32;

  /** in: [rows,D]. */
  x: usize;
  /** in: the weights, [G',D], [G',P]; G' is H, 4H (i f g o) or 3H (r z n). */
  weightIh: usize;
  weightHh: usize;
  /** in: [G'] each; both or none. */
  biasIh: usize;
  biasHh: usize;
  /** in: [P,H], the LSTM's projection. */
  weightHr: usize;
  /** in: [3,H], the LSTM's peepholes of i, f, o; forward only. */
  peephole: usize;
  /** in: [N,P], what h is multiplied with before the recurrent product. */
  mask: usize;
  /**
   * Layer-normalised LSTM and GRU (resetAfter) only. in: the gains of what W_ih gives and of what W_hh gives, [G'] each;
   * LSTM: gain and bias of c on its way to h, [H] each.
   */
  normIh: usize;
  normHh: usize;
  normC: usize;
  normCBias: usize;
  /** in: the weights as `pack` of the cell packs them; 0: they are packed anew. */
  packed: usize;
  /** scratch, as long as the cell's workspace function says. */
  work: usize;

  /** [N + rows,P]: in h_0, out the states. */
  hs: usize;
  /** LSTM: [N + rows,H] where a backward pass follows: in c_0, out the states; else [N,H], in c_0, out c_n. */
  cs: usize;
  /** out: [chunk rows,G]: i f g o (LSTM) or n r z q (GRU), if `keep`. backward: out, their gradients. */
  gates: usize;
  /** LSTM, out: [rows,H], psi(c), if `keep`. */
  phiC: usize;
  /** Layer-normalised, out: [chunk rows,G'] each, what W_ih and W_hh give; backward: out, their gradients. */
  products: usize;
  recurrentProducts: usize;
  /** Layer-normalised, out: [8,chunk rows], means and 1 / standard deviations. */
  moments: usize;

  /** in: [rows,P], or 0. */
  dOutput: usize;
  /** in: [N,P] and (LSTM) [N,H], gradients of the last states; out: of the first. */
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

/** The hard sigmoid's constants, as activation.ts takes them. */
// @ts-ignore: decorator
@inline
export function hardOf(s: Sequence): usize {
  return changetype<usize>(s) + offsetof<Sequence>("hardSlope");
}

/** Rows of step i. */
// @ts-ignore: decorator
@inline
export function rowsAt(s: Sequence, i: i32): i32 {
  return s.counts ? load<i32>(s.counts + 4 * <usize>i) : s.n;
}

/** Rows of the block of states that step i starts from. */
// @ts-ignore: decorator
@inline
export function rowsBefore(s: Sequence, i: i32): i32 {
  return i == 0 ? s.n : rowsAt(s, i - 1);
}
