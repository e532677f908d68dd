// Types of coursera.ts: parameters, options, caches, gradients.

import type { Tensor } from "../../bindings/tensor.js";

/** Parameters of the RNN, f64 or f32. Wya and by go together: both or neither. */
export interface RnnParameters {
  /** Weights of x: (n_a, n_x). */
  Wax: Tensor;
  /** Weights of a: (n_a, n_a). */
  Waa: Tensor;
  /** (n_a, 1). */
  ba: Tensor;
  /** Of predictions: (n_y, n_a). */
  Wya?: Tensor | undefined;
  /** Of predictions: (n_y, 1). */
  by?: Tensor | undefined;
}

/** Parameters of the LSTM, f64 or f32; weights act on [a_prev; x]. Wy and by go together: both or neither. */
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
  Wy?: Tensor | undefined;
  /** Of predictions: (n_y, 1). */
  by?: Tensor | undefined;
}

/** Variants of the notebook's functions. */
export interface CourseOptions {
  /** The activation (default "tanh"); the LSTM has it in the candidate and in a = o tanh(c). */
  activation?: "tanh" | "relu" | undefined;
  /** The activation of the predictions (default "softmax"). */
  output?: "softmax" | "sigmoid" | undefined;
}

/** Saved by `rnnCellForward` for `rnnCellBackward`. */
export interface RnnCellCache {
  /** xt: (n_x, m). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly aPrev: Tensor;
  /** (n_a, m). */
  readonly aNext: Tensor;
}

/** Saved by `rnnForward` for `rnnBackward`. */
export interface RnnCaches {
  /** (n_x, m, T_x). */
  readonly x: Tensor;
  /** (n_a, m). */
  readonly a0: Tensor;
  /** (n_a, m, T_x). */
  readonly a: Tensor;
}

/** The gates of an LSTM, copied when they are first read: (n_a, m) of one step, (n_a, m, T_x) of all. */
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

/** Saved by `lstmCellForward` for `lstmCellBackward`. */
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

/** Saved by `lstmForward` for `lstmBackward`. */
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
