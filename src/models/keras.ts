// Models of Keras and TensorFlow.js.

import { UnsupportedError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { takeBytes } from "../formats/arrays.js";
import { readKeras, readWeights } from "../formats/keras/files.js";
import { readTfjs } from "../formats/keras/tfjs.js";
import { writeTfjs } from "../formats/keras/write-tfjs.js";
import { encodeUtf8 } from "../formats/utf8.js";
import { Model } from "../graphs/model.js";
import { makeKerasChain } from "./keras/chain.js";
import { checkKerasOptions, makeKerasModel, originOf, type KerasOptions } from "./keras/model.js";
import { leavesOf, parameterNames } from "./keras/names.js";
import { describeChain } from "./keras/written.js";
import type { Sequential } from "../nn/sequential.js";
import { traitsOf } from "../nn/traits.js";
import type { KerasModel } from "../formats/keras/description.js";

function make(description: KerasModel, options: ReturnType<typeof checkKerasOptions>): Sequential | Model {
  return makeKerasChain(description, options.dtype, options.random) ?? makeKerasModel(description, options);
}

/**
 * Reads a Layers model of TensorFlow.js (`model.save`, or the converter's layers_model) that runs.
 *
 * A chain of layers that this package has, too, becomes a `Sequential` of them under the names in the file; an activation is a layer of
 * its own, "dense_activation", and so is the last step of a recurrent layer, "lstm_last". In training it follows this package's layers:
 * recurrent layers have two biases, the second of zeros, and `running_var` takes in the unbiased variance. Every other model is a
 * `Model`, which is trained as in Keras: where masks, stateful layers, `go_backwards`, dropout of recurrent layers, other activations or
 * layers, or more than one input occur.
 *
 * Inputs have the batch first. Inputs that go into Embedding layers alone take whole numbers of any type. Stateful layers keep their
 * state from run to run until `resetState`. In training mode (`train`) dropout and batch statistics are on; those of a `Model` once an
 * optimizer was made. `recurrent_dropout` has one mask for all steps and gates, as in TensorFlow.js and Keras 3.
 *
 * @param modelJson model.json: its object, text or bytes
 * @param shards the files of weights in the order in which model.json lists them, or their bytes joined
 * @param options see {@link KerasOptions}
 * @returns the model, in inference mode
 * @throws FormatError (a file that is not whole), UnsupportedError (naming a layer, an activation or an option), DtypeError, ValueError
 */
export function fromTfjs(
  modelJson: object | string | Uint8Array,
  shards: Uint8Array | readonly Uint8Array[],
  options: KerasOptions = {},
): Sequential | Model {
  const checked = checkKerasOptions("fromTfjs", options);
  return make(readTfjs(modelJson, shards), checked);
}

/**
 * Reads a model of Keras that runs: a .keras file of Keras 3, or a .h5 file of Keras 2 with the model.
 *
 * @param bytes the file
 * @param options see {@link KerasOptions}
 * @returns the model, as of `fromTfjs`
 * @throws FormatError (a file that is not whole, or weights alone), UnsupportedError, DtypeError, ValueError
 */
export function fromKeras(bytes: Uint8Array, options: KerasOptions = {}): Sequential | Model {
  const checked = checkKerasOptions("fromKeras", options);
  return make(readKeras("bytes", takeBytes("bytes", bytes)), checked);
}

/**
 * Reads the weights of a .h5 or .hdf5 file of Keras, with or without a model.
 *
 * @param bytes the file
 * @returns the weights by layer and by their names in the file: `weights["lstm_1"]["lstm_1/kernel:0"]`. The records have no prototype
 * @throws FormatError, UnsupportedError, DtypeError
 */
export function readKerasWeights(bytes: Uint8Array): Record<string, Record<string, Tensor>> {
  const layers = Object.create(null) as Record<string, Record<string, Tensor>>;
  for (const [layer, weights] of readWeights("bytes", takeBytes("bytes", bytes))) {
    const own = Object.create(null) as Record<string, Tensor>;
    for (const [name, { data, shape }] of weights) own[name] = { data, shape: [...shape] };
    layers[layer] = own;
  }
  return layers;
}

/** The files of a Layers model of TensorFlow.js. */
export interface TfjsFiles {
  /** The topology, and names and shapes of the weights. */
  "model.json": Uint8Array;
  /** The weights in f32. */
  "weights.bin": Uint8Array;
}

/**
 * Writes a `Sequential` of this package's layers, or a model that `fromTfjs` or `fromKeras` made, with its parameters as they are now, for
 * TensorFlow.js: as a functional model, with CuDNN layers as LSTM and GRU.
 *
 * Inputs of TensorFlow.js have the batch first, whatever those of a `Sequential` have. The two biases of its recurrent layers are added
 * up; a stack of them becomes a layer each. x is [N,D] where no layer wants sequences. f64 becomes f32. TensorFlow.js itself refuses GRU
 * with reset_after (`resetAfter`, the default here), causal convolutions, groups, gelu_new, Attention and AdditiveAttention; Keras and
 * `fromTfjs` read them. Where Bidirectional gives zeros at masked steps, as in Keras, it repeats the output before them.
 *
 * @param model the model
 * @returns the bytes of the files by name
 * @throws UnsupportedError naming a layer or an option that Keras does not have; for other models, and for activations that Keras 3
 *   computes otherwise; DisposedError
 */
export function toTfjs(model: Sequential | Model): TfjsFiles {
  const isChain = traitsOf(model).layers !== undefined; // which what only inherits from a chain has not
  const { description, weights } = isChain ? chainOf(model as Sequential) : graphOf(model as Model);
  const { json, bytes } = writeTfjs(description, weights);
  const text = JSON.stringify(json);
  if (description.hardSigmoid[0] !== 0.2 && text.includes('"hard_sigmoid"')) {
    throw new UnsupportedError("model", "hard_sigmoid of Keras 3", "hard_sigmoid of Keras 2 and TensorFlow.js");
  }
  return { "model.json": encodeUtf8(text), "weights.bin": bytes };
}

/** What is written: a model, and all its weights by name. */
interface Written {
  readonly description: KerasModel;
  readonly weights: ReadonlyMap<string, Tensor>;
}

function chainOf(model: Sequential): Written {
  const description = describeChain(model);
  const names = parameterNames(leavesOf(description));
  const all = [...names].flatMap(([layer, own]) =>
    [...own].map(([name, key]) => [key, layer.weights.get(name)!] as const),
  );
  return { description, weights: new Map(all) };
}

function graphOf(model: Model): Written {
  const origin = model instanceof Model ? originOf(model) : undefined;
  if (!origin) throw new UnsupportedError("model", describe(model), "a Sequential, or what fromTfjs or fromKeras made");
  const { description, names } = origin;
  const state = model.stateDict();
  const weights = new Map<string, Tensor>();
  for (const own of names.values()) for (const key of own.values()) weights.set(key, state[key]!);
  return { description, weights };
}
