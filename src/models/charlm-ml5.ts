// Character models of ml5's charRNN as a CharLM.

import type { Tensor } from "../../bindings/tensor.js";
import { checkDtype, checkOptions } from "../base/check.js";
import { permute } from "../base/layout.js";
import { toTorch } from "../formats/gates.js";
import { readMl5 } from "../formats/ml5.js";
import { makeCharLM, type CharLM } from "./charlm.js";
import { Vocabulary } from "./text.js";

/** Options of `fromMl5`. */
export interface Ml5Options {
  /** The number type to compute in: "f32" (default) or "f64". */
  dtype?: "f32" | "f64" | undefined;
}

/** What TensorFlow's BasicLSTMCell adds to the forget gate: ml5 has no other. */
const FORGET_BIAS = 1;

/**
 * Makes a CharLM of the files of ml5's charRNN: an embedding, BasicLSTMCells on top of each other, and a softmax over characters. It samples
 * from a zero state, as ml5 does after its `reset()`.
 *
 * @param files by name: manifest.json, vocab.json, and those that the manifest names
 * @param options dtype "f32" by default
 * @returns a model, which is the caller's to dispose of; `writeCharLM` makes one file of it
 * @throws ValueError (a file that is missing), DtypeError, FormatError, ShapeError, UnsupportedError (a variable of another kind of
 *   model, a vocabulary of words) naming the file and the place in it; OutOfMemoryError
 */
export function fromMl5(files: Readonly<Record<string, Uint8Array>>, options: Ml5Options = {}): CharLM {
  const { dtype = "f32" } = checkOptions("fromMl5", options, ["dtype"]);
  checkDtype(dtype);
  const { characters, embedding, cells, softmax, hiddenSize } = readMl5(files);
  const state: Record<string, Tensor> = { "embedding.weight": embedding };
  cells.forEach((cell, layer) => {
    const converted = toTorch("tf1", "LSTM", cell, { layer, forgetBias: FORGET_BIAS });
    for (const [name, tensor] of Object.entries(converted)) state[`lstm.${name}`] = tensor;
  });
  state["linear.weight"] = permute(softmax.weight, [1, 0]);
  state["linear.bias"] = softmax.bias;
  const sizes = { embeddingDim: embedding.shape[1]!, hiddenSize, numLayers: cells.length };
  return makeCharLM(new Vocabulary(characters), { cell: "LSTM", ...sizes, dtype, seed: 0 }, state);
}
