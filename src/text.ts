/**
 * Models of text from files of other programs.
 *
 * ml5's charRNN (https://github.com/ml5js/ml5-data-and-models, models/charRNN; made by its training program from TensorFlow 1): a manifest
 * and a file of little-endian f32 for each variable, and the vocabulary.
 *
 *     manifest.json { name: { "filename", "shape" } }     vocab.json { character: code }
 *     embedding [V,E]     rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/kernel [E+H,4H], .../bias [4H]     rnnlm/softmax_w [H,V], softmax_b [V]
 *
 * Text models of TensorFlow.js (https://github.com/tensorflow/tfjs-examples, lstm-text-generation), whose vocabulary the caller gives:
 *
 *     x one-hot [N,T,V], or codes into an Embedding     LSTM, GRU or SimpleRNN layers     Dense [H,V], softmax
 *
 * `writeCharLM` of `wasm-rnn` makes one file of a model, which `wasm-rnn sample` runs.
 *
 * @module wasm-rnn/text
 */

export { fromMl5, type Ml5Options } from "./models/charlm-ml5.js";
export { charLMFromTfjs, type TfjsTextOptions } from "./models/charlm-tfjs.js";
export type { CharLM } from "./models/charlm.js";
