/**
 * ONNX's recurrent operators RNN, LSTM and GRU, called with the operators' own tensors.
 *
 * Specification: https://onnx.ai/onnx/operators/ (RNN, LSTM, GRU; layout: opset 14). Gate orders: LSTM i o f c, peepholes
 * i o f, GRU z r h. There is no backward pass.
 *
 * @module wasm-rnn/onnx
 */

export {
  onnxRecurrent,
  type OnnxAttributes,
  type OnnxInputs,
  type OnnxOperator,
  type OnnxOutputs,
} from "./models/onnx-recurrent.js";
