/**
 * Models of audio effects from the JSON files of RTNeural and Proteus, for an AudioWorklet or any loop over samples.
 *
 * RTNeural (https://github.com/jatinchowdhury18/RTNeural, python/model_utils.py, RTNeural/model_loader.h, torch_helpers.h):
 *
 *     { "in_shape": [null, null, D], "layers": [{ "type", "activation", "shape": [null, null, H], "weights": [...] }, ...] }
 *
 * with Keras' arrays: kernels [in, gates*H], LSTM i f c o with one bias [4H], GRU z r h with a bias [2,3H] (reset_after).
 * AIDA-X (https://github.com/AidaDSP/AIDA-X) adds "in_skip". Or a PyTorch state_dict, flat, with PyTorch's arrays.
 *
 * GuitarML's Proteus and NeuralPi, and the program that trains for them (https://github.com/Alec-Wright/CoreAudioML, SimpleRNN):
 *
 *     { "model_data": { "model": "SimpleRNN", "input_size", "hidden_size", "unit_type", "skip", ... },
 *       "state_dict": { "rec.weight_ih_l0": [...], ..., "lin.weight": [...], "lin.bias": [...] } }
 *
 * Neural Amp Modeler (https://github.com/sdatkinson/NeuralAmpModelerCore):
 *
 *     { "architecture": "LSTM" | "WaveNet", "config": { ... }, "weights": [...], ... }
 *
 * @module wasm-rnn/audio
 */

export {
  fromNam,
  fromProteus,
  fromRtneural,
  toProteus,
  toRtneural,
  type RtneuralOptions,
  type StreamingOptions,
} from "./models/audio.js";
export type { ConvolutionForm } from "./formats/audio/state-dict.js";
export { StreamingModel } from "./models/streaming.js";
export { toSequential } from "./models/streaming-chain.js";
