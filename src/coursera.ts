/**
 * The functions of the notebook "Building a Recurrent Neural Network - Step by Step" of the Coursera course Sequence Models
 * (deeplearning.ai, week 1, https://www.coursera.org/learn/nlp-sequence-models).
 *
 * The course's layouts: x (n_x, m[, T_x]), a (n_a, m[, T_x]), m examples; weights of the LSTM act on [a_prev; x]. Its
 * update gate "i" is PyTorch's input gate, its candidate "c~" (cct) PyTorch's g. Results have the dtype of x; parameters are
 * converted to it.
 *
 * @module wasm-rnn/coursera
 */

export {
  lstmBackward,
  lstmCellBackward,
  lstmCellForward,
  lstmForward,
  rnnBackward,
  rnnCellBackward,
  rnnCellForward,
  rnnForward,
  softmax,
} from "./courses/coursera.js";
export type * from "./courses/coursera-types.js";
