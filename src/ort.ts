/**
 * Everything that onnxruntime-common exports, with this package as its backend: apps that import onnxruntime-web run on it by an
 * alias of their bundler.
 *
 * @module wasm-rnn/ort
 */

export * from "./models/ort.js";
export { default, InferenceSession } from "./models/ort.js";
