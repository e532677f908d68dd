/**
 * Models of Keras and TensorFlow.js that run, are streamed and trained.
 *
 * @module wasm-rnn/keras
 */

export { fromKeras, fromTfjs, readKerasWeights, toTfjs, type TfjsFiles } from "./models/keras.js";
export type { KerasOptions } from "./models/keras/model.js";
export { Model } from "./graphs/model.js";
export { Sequential } from "./nn/sequential.js";
export type { ModelStream, StreamOptions } from "./graphs/stream.js";
export type { ModelValue, Tensors } from "./graphs/feeds.js";
