// What the functions of coursera.ts take and keep: parameters, options, caches, gradients.

import type { Tensor } from "../../bindings/tensor.js";

/** Parameters of the RNN, f64 or f32: those of predictions come both or not at all. */
export interface RnnParameters {
  /** On x: (n_a, n_x). */
  Wax: Tensor;
  /** On a: (n_a, n_a). */
  Waa: Tensor;
  /** (n_a, 1). */
  ba: Tensor;
  /** Of predictions: (n_y, n_a). */
  Wya?: Tensor;
  /** Of predictions: (n_y, 1). */
  by?: Tensor;
}

/** Parameters of the LSTM, f64 or f32; weights act on [a_prev; x]. Those of predictions come both or not at all. */
export interface LstmParameters {
  /** Forget gate: (n_a, n_a + n_x). */
  Wf: Tensor;
  /** Forget gate: (n_a, 1). */
  bf: Tensor;
  /** Update gate: (n_a, n_a + n_x). */
  Wi: Tensor;
  /** Update gate: (n_a, 1). */
  bi: Tensor;
  /** Candidate: (n_a, n_a + n_x). */
  Wc: Tensor;
  /** Candidate: (n_a, 1). */
  bc: Tensor;
  /** Output gate: (n_a, n_a + n_x). */
  Wo: Tensor;
  /** Output gate: (n_a, 1). */
  bo: Tensor;
  /** Of predictions: (n_y, n_a). */
  Wy?: Tensor;
  /** Of predictions: (n_y, 1). */
  by?: Tensor;
}

/** The notebook's other choices. */
export interface CourseOptions {
  /** What takes the place of tanh (default "tanh"): for the LSTM in the candidate and at the output. */
  activation?: "tanh" | "relu";
  /** What makes predictions (default "softmax"). */
  output?: "softmax" | "sigmoid";
}

/** What `rnnCellForward` keeps for `rnnCellBackward`. */
export interface RnnCellCache {
  /** xt: (n_x, m). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly aPrev: Tensor;
  /** (n_a, m). */
  readonly aNext: Tensor;
}

/** What `rnnForward` keeps for `rnnBackward`. */
export interface RnnCaches {
  /** (n_x, m, T_x). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly a0: Tensor;
  /** (n_a, m, T_x). */
  readonly a: Tensor;
}

/** The gates of an LSTM, made when they are first read: (n_a, m) of one step, (n_a, m, T_x) of all. */
export interface Gates {
  /** Forget gate. */
  readonly ft: Tensor;
  /** Update gate (elsewhere: input gate). */
  readonly it: Tensor;
  /** Candidate. */
  readonly cct: Tensor;
  /** Output gate. */
  readonly ot: Tensor;
}

/** What `lstmCellForward` keeps for `lstmCellBackward`. */
export interface LstmCellCache extends Gates {
  /** xt: (n_x, m). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly aPrev: Tensor;
  /** (n_a, m). */
  readonly cPrev: Tensor;
  /** (n_a, m). */
  readonly aNext: Tensor;
  /** (n_a, m). */
  readonly cNext: Tensor;
}

/** What `lstmForward` keeps for `lstmBackward`. */
export interface LstmCaches extends Gates {
  /** (n_x, m, T_x). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly a0: Tensor;
  /** (n_a, m, T_x). */
  readonly a: Tensor;
  /** (n_a, m, T_x). */
  readonly c: Tensor;
}

/** Gradients of the RNN's parameters. */
export interface RnnGradients {
  /** (n_a, n_x). */
  dWax: Tensor;
  /** (n_a, n_a). */
  dWaa: Tensor;
  /** (n_a, 1). */
  dba: Tensor;
}

/** Gradients of the LSTM's parameters; weights act on [a_prev; x]. */
export interface LstmGradients {
  /** Forget gate: (n_a, n_a + n_x). */
  dWf: Tensor;
  /** Forget gate: (n_a, 1). */
  dbf: Tensor;
  /** Update gate: (n_a, n_a + n_x). */
  dWi: Tensor;
  /** Update gate: (n_a, 1). */
  dbi: Tensor;
  /** Candidate: (n_a, n_a + n_x). */
  dWc: Tensor;
  /** Candidate: (n_a, 1). */
  dbc: Tensor;
  /** Output gate: (n_a, n_a + n_x). */
  dWo: Tensor;
  /** Output gate: (n_a, 1). */
  dbo: Tensor;
}
