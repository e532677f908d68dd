// Character models of TensorFlow.js as a CharLM.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import { sizeOf, zeros, type Tensor } from "../../bindings/tensor.js";
import { checkDtype, checkOptions } from "../base/check.js";
import { permute } from "../base/layout.js";
import { toTorch } from "../formats/gates.js";
import type { KerasLayer, KerasModel } from "../formats/keras/description.js";
import { readTfjs } from "../formats/keras/tfjs.js";
import { RECURRENT } from "../formats/keras/weights.js";
import { makeCharLM, type CharLM, type CharLMOptions } from "./charlm.js";
import { Vocabulary } from "./text.js";

/** Options of `charLMFromTfjs`. */
export interface TfjsTextOptions {
  /** The characters in the order of their codes, which model.json does not tell: V of them. */
  vocabulary: Vocabulary | Iterable<string>;
  /** The number type to compute in: "f32" (default) or "f64". */
  dtype?: "f32" | "f64" | undefined;
}

/** The most characters whose codes may go in one-hot: the table of their rows has the square of that. */
const MAX_ONE_HOT = 4096;

/** The keys of the architecture that the recurrent layers decide. */
type Variant = Pick<CharLMOptions, "cell" | "hiddenSize" | "recurrentActivation" | "resetAfter">;

/**
 * Makes a CharLM of a Layers model of TensorFlow.js that predicts the next character, such as the
 * [lstm-text-generation](https://github.com/tensorflow/tfjs-examples/tree/master/lstm-text-generation) example trains: one-hot rows or
 * an Embedding, LSTM, GRU or SimpleRNN layers of one kind and size on top of each other, Dense and softmax. Dropout is left out.
 *
 * After the characters of a window the logits are those of the model. Sampling goes on from the state that it has reached, where a program of
 * TensorFlow.js has the last window read anew for each character. One-hot rows become an Embedding whose table is the identity.
 *
 * @param modelJson model.json: its object, text or bytes
 * @param shards the files of weights in the order in which model.json lists them, or their bytes joined
 * @param options the vocabulary, and dtype "f32" by default
 * @returns a model, which is the caller's to dispose of; `writeCharLM` makes one file of it
 * @throws ValueError (a vocabulary that is none, or not of V characters), UnsupportedError naming the layer or option that a CharLM does
 *   not have, FormatError (a file that is not whole), DtypeError, OutOfMemoryError
 */
export function charLMFromTfjs(
  modelJson: object | string | Uint8Array,
  shards: Uint8Array | readonly Uint8Array[],
  options: TfjsTextOptions,
): CharLM {
  const { vocabulary: given, dtype = "f32" } = checkOptions("charLMFromTfjs", options, ["vocabulary", "dtype"]);
  checkDtype(dtype);
  const vocabulary = Vocabulary.isVocabulary(given) ? given : new Vocabulary(given);
  const layers = chainOf(readTfjs(modelJson, shards));

  const first = layers[0]?.kind === "Embedding" ? layers.shift()! : undefined;
  const stack: KerasLayer[] = [];
  while (layers[0] && RECURRENT.has(layers[0].kind)) stack.push(layers.shift()!);
  const [dense, activation, ...more] = layers;
  const kinds = "an Embedding or one-hot rows, recurrent layers, Dense and softmax";
  if (stack.length === 0 || dense?.kind !== "Dense") throw unexpected(layers[0], kinds);
  const softmax = dense.config.activation("activation") === "linear" && activation?.kind === "Activation" ? activation : dense; // prettier-ignore
  if (softmax.config.activation("activation") !== "softmax") softmax.config.unsupported("activation", "softmax");
  const extra = softmax === dense ? activation : more[0];
  if (extra) throw unexpected(extra, kinds);

  const kernel = dense.weights.get("kernel")!;
  const [, v] = kernel.shape as [number, number];
  if (vocabulary.size !== v) {
    throw new ValueError("vocabulary", `${vocabulary.size} characters`, `${v}, the units of layer ${dense.name}`);
  }
  const variant = variantOf(stack);
  const embedding = first ? tableOf(first, v) : oneHot(stack[0]!, v);
  const state: Record<string, Tensor> = { "embedding.weight": embedding };
  stack.forEach((each, layer) => {
    for (const [name, tensor] of Object.entries(entriesOf(each, layer))) {
      state[`${variant.cell!.toLowerCase()}.${name}`] = tensor;
    }
  });
  state["linear.weight"] = permute(kernel, [1, 0]);
  state["linear.bias"] = dense.weights.get("bias") ?? zerosOf([v]);
  const sizes = { embeddingDim: embedding.shape[1]!, numLayers: stack.length };
  return makeCharLM(vocabulary, { ...variant, ...sizes, dtype, seed: 0 }, state);
}

function unexpected(layer: KerasLayer | undefined, expected: string): UnsupportedError {
  return new UnsupportedError("modelJson", layer ? `layer ${layer.name} (${layer.kind})` : "an end", expected);
}

/** The layers of a model in which each takes what the one before it gives. */
function chainOf({ inputs, calls, outputs }: KerasModel): KerasLayer[] {
  const follows = calls.every(({ inputs: [input, ...more] }, i) => input?.call === i - 1 && more.length === 0);
  if (inputs.length !== 1 || outputs.length !== 1 || outputs[0]!.call !== calls.length - 1 || !follows) {
    throw new UnsupportedError("modelJson", "a graph of layers", "layers one after the other");
  }
  return calls
    .map(({ layer }) => (layer.kind === "TimeDistributed" && layer.inner ? layer.inner : layer))
    .filter(({ kind }) => kind !== "Dropout");
}

/** What the recurrent layers have in common. */
function variantOf(stack: readonly KerasLayer[]): Variant {
  const variants = stack.map((layer, i): Variant => {
    const { kind, config } = layer;
    const { cell } = RECURRENT.get(kind)!;
    if (config.activation("activation", "tanh") !== "tanh") config.unsupported("activation", "tanh");
    for (const key of ["go_backwards", "return_state", "time_major"]) {
      if (config.flag(key, false)) config.unsupported(key, "false");
    }
    if (i < stack.length - 1 && !config.flag("return_sequences", false)) config.unsupported("return_sequences", "true");
    const sigma = cell === "RNN" ? "sigmoid" : config.activation("recurrent_activation", "hard_sigmoid");
    if (sigma !== "sigmoid" && sigma !== "hardsigmoid") {
      config.unsupported("recurrent_activation", "sigmoid or hard_sigmoid");
    }
    return {
      cell,
      hiddenSize: config.count("units"),
      ...(sigma === "hardsigmoid" && { recurrentActivation: "hardSigmoid" }),
      ...(cell === "GRU" && { resetAfter: config.flag("reset_after", false) }),
    };
  });
  const [first, ...others] = variants as [Variant, ...Variant[]];
  const differs = others.findIndex((each) => JSON.stringify(each) !== JSON.stringify(first));
  if (differs >= 0) {
    throw unexpected(stack[differs + 1], `recurrent layers of the kind, size and options of layer ${stack[0]!.name}`);
  }
  return first;
}

/** A layer's weights as entries of a state_dict. */
function entriesOf({ kind, config, weights }: KerasLayer, layer: number): Record<string, Tensor> {
  const { cell, gates } = RECURRENT.get(kind)!;
  const resetAfter = kind === "GRU" && config.flag("reset_after", false);
  const columns = gates * config.count("units");
  const bias = weights.get("bias") ?? zerosOf(resetAfter ? [2, columns] : [columns]);
  const arrays = { kernel: weights.get("kernel")!, recurrent_kernel: weights.get("recurrent_kernel")!, bias };
  return toTorch("keras", cell, arrays, { layer, ...(kind === "GRU" && { resetAfter }) });
}

/** The table of an Embedding. */
function tableOf({ config, weights }: KerasLayer, v: number): Tensor {
  if (config.flag("mask_zero", false)) config.unsupported("mask_zero", "false");
  if (config.count("input_dim") !== v) config.unsupported("input_dim", `${v}, a row for each character`);
  return weights.get("embeddings")!;
}

/** The table whose rows are one-hot. */
function oneHot({ name, weights }: KerasLayer, v: number): Tensor {
  const [d] = weights.get("kernel")!.shape;
  if (d !== v) throw new UnsupportedError(`layer ${name}`, `inputs of ${d}`, `${v}, one-hot rows of the characters`);
  if (v > MAX_ONE_HOT) {
    throw new UnsupportedError("vocabulary", `${v} characters, one-hot`, `at most ${MAX_ONE_HOT}, or an Embedding`);
  }
  const table = zerosOf([v, v]);
  for (let i = 0; i < v; i++) table.data[i * v + i] = 1;
  return table;
}

function zerosOf(shape: readonly number[]): Tensor<"f32"> {
  return { data: zeros("f32", sizeOf(shape)), shape };
}
