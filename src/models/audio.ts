// Builds models of audio effects from the descriptions that formats/audio reads, and writes them.

import { ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype } from "../../bindings/tensor.js";
import { checkDtype, checkOptions, checkSize } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import { checkLayerCount, type NetworkDescription } from "../formats/audio/description.js";
import { readNam } from "../formats/audio/nam.js";
import { readProteus } from "../formats/audio/proteus.js";
import { readRtneural } from "../formats/audio/rtneural.js";
import type { ConvolutionForm } from "../formats/audio/state-dict.js";
import { writeProteus, writeRtneural, type WritableNetwork } from "../formats/audio/write.js";
import { quote } from "../formats/json.js";
import { MOST_STEPS } from "../nn/conv1d.js";
import { networkOf, StreamingModel } from "./streaming.js";

/** Options of `fromProteus` and `fromNam`. */
export interface StreamingOptions {
  /** The number type to compute in: "f32" (default) or "f64". */
  dtype?: FloatDtype | undefined;
}

/** Options of `fromRtneural`. */
export interface RtneuralOptions extends StreamingOptions {
  /**
   * For a state_dict, which does not tell the order of its modules: their names, and activations ("tanh", "relu",
   * "sigmoid", "softmax", "elu"), in the order in which they are applied. By default all modules in the file's order; a
   * linear one or a convolution must then be the last.
   */
  modules?: readonly string[] | undefined;
  /**
   * For a state_dict, which does not tell the form of its convolutions, by the names of the modules ("" where the entries are `weight` and
   * `bias`): stride, dilation, groups, padding.
   */
  convolutions?: Readonly<Record<string, ConvolutionForm>> | undefined;
}

/**
 * Makes a model from a file of RTNeural: layers "lstm", "gru", "dense", "time-distributed-dense", "conv1d", "conv2d", "batchnorm",
 * "batchnorm2d", "activation" (tanh, relu, sigmoid, softmax, elu), "prelu" and "gated_activation" (tanh of the first half times sigmoid of the
 * second), as Keras exports them, or a state_dict of LSTM, GRU, RNN, Linear and Conv1d modules.
 * See [RTNeural](https://github.com/jatinchowdhury18/RTNeural).
 *
 * Convolutions of layers are causal: zeros come before the first frame. Those of a state_dict have no padding, so the first output comes when the
 * window is full; `model.ready` tells.
 *
 * @param json the parsed file
 * @param options dtype "f32" by default; for a state_dict, the modules' order and the form of convolutions
 * @throws FormatError (which names the file's kind if it is known), ShapeError, UnsupportedError
 *   naming the place in the file, such as layers[1].weights[0], also for more than 1,000 layers, and for convolutions over more than
 *   2^23 numbers of earlier frames; ValueError, OutOfMemoryError
 */
export function fromRtneural(json: unknown, options: RtneuralOptions = {}): StreamingModel {
  const given = checkOptions("fromRtneural", options, ["dtype", "modules", "convolutions"]);
  const dtype = dtypeOf(given);
  const modules = checkModules(given.modules);
  const convolutions = checkConvolutions(given.convolutions);
  return modelOf(readRtneural(json, dtype, { modules, convolutions }));
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

/**
 * Makes a model from a file of Neural Amp Modeler (.nam): architecture "LSTM", which starts from the states in the file, or "WaveNet" in the
 * form of stacks of dilated convolutions, with or without gates, whose earlier frames are zeros at first. The plug-in runs silence
 * through a model before the first sample: so does `model.process` with zeros. See
 * [NeuralAmpModelerCore](https://github.com/sdatkinson/NeuralAmpModelerCore).
 *
 * @param json the parsed file, or its bytes
 * @param options dtype "f32" by default
 * @throws FormatError (which names the file's kind if it is known), ShapeError, UnsupportedError naming another architecture or the place
 *   in the file, such as config.layers[0].activation; ValueError, OutOfMemoryError
 */
export function fromNam(json: unknown, options: StreamingOptions = {}): StreamingModel {
  const given = checkOptions("fromNam", options, ["dtype"]);
  return modelOf(readNam(json, dtypeOf(given)));
}

/**
 * Writes a model as JSON of RTNeural with Keras' arrays: what `fromRtneural` reads back computes the same bits, but for the last
 * one or two of an ELU. Two biases of an LSTM are added up, as RTNeural has one.
 *
 * @param model of a file, or of `StreamingModel.from(layers)`
 * @returns the text of the file
 * @throws UnsupportedError naming what RTNeural does not have: an RNN, states that do not start as zeros, convolutions without padding,
 *   other layers and options; ValueError (no model, weights that are not finite)
 */
export function toRtneural(model: StreamingModel): string {
  return writeRtneural(writable(model));
}

/**
 * Writes a model as JSON of Proteus: what `fromProteus` reads back computes the same bits.
 *
 * @param model of recurrent layers of one kind and size and a linear one, of a file or of `StreamingModel.from(layers)`
 * @returns the text of the file
 * @throws UnsupportedError (other layers, options, or states that do not start as zeros), ValueError (no model, weights that are not finite)
 */
export function toProteus(model: StreamingModel): string {
  return writeProteus(writable(model));
}

function writable(model: unknown): WritableNetwork {
  const network = networkOf(model);
  if (network) return network;
  throw new ValueError("model", describe(model), "a StreamingModel; StreamingModel.from(layers) makes one of layers");
}

/** The forms of convolutions, copied and checked. */
function checkConvolutions(given: unknown): ReadonlyMap<string, ConvolutionForm> | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new ValueError("convolutions", describe(given), "an object by the names of modules");
  }
  const names = Object.keys(given);
  checkLayerCount("convolutions", names.length);
  return new Map(
    names.map((name) => {
      const owner = `convolutions[${quote(name)}]`;
      const form = (given as Record<string, ConvolutionForm>)[name]!;
      const { stride, dilation, groups, padding } = checkOptions(owner, form, [
        "stride",
        "dilation",
        "groups",
        "padding",
      ]);
      for (const [key, value] of Object.entries({ stride, dilation, groups })) {
        if (value !== undefined) checkSize(`${owner}.${key}`, value, MOST_STEPS);
      }
      if (padding !== undefined && padding !== "valid" && padding !== "causal") {
        throw new ValueError(`${owner}.padding`, describe(padding), '"valid" or "causal"');
      }
      return [name, { stride, dilation, groups, padding }];
    }),
  );
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
