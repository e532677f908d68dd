/**
 * The functions of rnn_layers.py in assignment 3 of Stanford's CS231n (RNN_Captioning.ipynb and LSTM_Captioning.ipynb,
 * https://cs231n.github.io/assignments2021/assignment3/).
 *
 * The course's layouts: batch first, x (N, D) or (N, T, D); weights (in, out); the LSTM's columns in the order i f o g.
 * Results have the dtype of x; the other inputs are converted to it.
 *
 * @module wasm-rnn/cs231n
 */

export {
  lstmBackward,
  lstmForward,
  lstmStepBackward,
  lstmStepForward,
  rnnBackward,
  rnnForward,
  rnnStepBackward,
  rnnStepForward,
  type Cache,
  type Gradients,
} from "./courses/cs231n.js";
