/**
 * ONNX models that run, are streamed and trained (`fromOnnx`); layers and models as ONNX files (`toOnnx`); and ONNX's recurrent operators RNN, LSTM and GRU, called with the
 * operators' own tensors (`onnxRecurrent`).
 *
 * Specification: https://onnx.ai/onnx/operators/ (RNN, LSTM, GRU; layout: opset 14). Gate orders: LSTM i o f c, peepholes
 * i o f, GRU z r h.
 *
 * @module wasm-rnn/onnx
 */

export { fromOnnx, onnxMetadata, type OnnxMetadata, type OnnxOptions } from "./graphs/onnx.js";
export { Model } from "./graphs/model.js";
export type { ModelStream, StreamOptions } from "./graphs/stream.js";
export type { ModelValue, Tensors } from "./graphs/feeds.js";
export type { ElementArrays, ElementType } from "./base/element.js";
export { toOnnx, type ToOnnxOptions } from "./models/to-onnx.js";
export { onnxRecurrent, type OnnxInputs, type OnnxOutputs } from "./models/onnx-recurrent.js";
export type { OnnxAttributes, OnnxOperator } from "./recurrent/operator-attributes.js";
