// Builds models of audio effects from the descriptions that formats/audio reads.

import { ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype } from "../../bindings/tensor.js";
import { checkDtype, checkOptions } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import { checkLayerCount, type NetworkDescription } from "../formats/audio/description.js";
import { readProteus } from "../formats/audio/proteus.js";
import { readRtneural } from "../formats/audio/rtneural.js";
import { StreamingModel } from "./streaming.js";

/** Options of `fromProteus`. */
export interface StreamingOptions {
  /** The number type to compute in: "f32" (default) or "f64". */
  dtype?: FloatDtype | undefined;
}

/** Options of `fromRtneural`. */
export interface RtneuralOptions extends StreamingOptions {
  /**
   * For a state_dict, which does not tell the order of its modules: their names, and activations ("tanh", "relu",
   * "sigmoid", "softmax", "elu"), in the order in which they are applied. By default all modules in the file's order; a
   * linear one must then be the last.
   */
  modules?: readonly string[] | undefined;
}

/**
 * Makes a model from a file of RTNeural: layers "lstm", "gru", "dense", "time-distributed-dense", "activation" (tanh, relu,
 * sigmoid, softmax, elu) and "prelu", as Keras exports them, or a state_dict of LSTM, GRU, RNN and Linear modules. Not
 * supported: "conv1d", "conv2d", "batchnorm" and gated activations. See [RTNeural](https://github.com/jatinchowdhury18/RTNeural).
 *
 * @param json the parsed file
 * @param options dtype "f32" by default; for a state_dict, the modules' order
 * @throws FormatError (which names the file's kind if it is known), ShapeError, UnsupportedError
 *   naming the place in the file, such as layers[1].weights[0], also for more than 1,000 layers; ValueError,
 *   OutOfMemoryError
 */
export function fromRtneural(json: unknown, options: RtneuralOptions = {}): StreamingModel {
  checkOptions("fromRtneural", options, ["dtype", "modules"]);
  const dtype = dtypeOf(options);
  return modelOf(readRtneural(json, dtype, checkModules(options.modules)));
}

/**
 * Makes a model from a file of Proteus, NeuralPi or their training program: one recurrent module (LSTM, GRU or RNN, of any
 * number of layers) and a linear one, with the first `skip` inputs added to the output. See
 * [CoreAudioML](https://github.com/Alec-Wright/CoreAudioML).
 *
 * @param json the parsed file
 * @param options dtype "f32" by default
 * @throws FormatError (which names the file's kind if it is known), ShapeError, UnsupportedError
 *   naming the place in the file, such as state_dict["rec.weight_ih_l0"], also for more than 1,000 layers; ValueError,
 *   OutOfMemoryError
 */
export function fromProteus(json: unknown, options: StreamingOptions = {}): StreamingModel {
  checkOptions("fromProteus", options, ["dtype"]);
  return modelOf(readProteus(json, dtypeOf(options)));
}

function modelOf({ dtype, inputSize, layers, skip }: NetworkDescription): StreamingModel {
  return new StreamingModel(dtype, inputSize, sealed([...layers]), skip);
}

function dtypeOf({ dtype = "f32" }: StreamingOptions): FloatDtype {
  checkDtype(dtype);
  return dtype;
}

/** Checks the modules' names, and copies them. */
function checkModules(modules: unknown): readonly string[] | undefined {
  if (modules === undefined) return undefined;
  const expected = "an array of at least one string";
  if (!Array.isArray(modules)) throw new ValueError("modules", describe(modules), expected);
  const { length } = modules;
  if (length === 0) throw new ValueError("modules", "an empty array", expected);
  checkLayerCount("modules", length);
  return Array.from({ length }, (_, i) => {
    const name: unknown = modules[i];
    if (typeof name !== "string") throw new ValueError("modules", `an array with ${describe(name)}`, expected);
    return name;
  });
}
