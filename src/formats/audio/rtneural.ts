// Reads files of RTNeural: layers with Keras' arrays, or a state_dict with PyTorch's.

import { FormatError, ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { describe, type FloatDtype } from "../../../bindings/tensor.js";
import {
  ACTIVATIONS,
  assemble,
  checkLayerCount,
  sizeAfter,
  type NetworkDescription,
  type StreamingLayer,
} from "./description.js";
import { array, frameSize, parsed, record } from "./json.js";
import { kerasLayers } from "./rtneural-layers.js";
import { StateDict, type ConvolutionForm } from "./state-dict.js";

/** What a state_dict does not tell. */
export interface ModuleOptions {
  /** Its modules and activations, in the order in which they are applied. */
  readonly modules: readonly string[] | undefined;
  /** By the name of a module. */
  readonly convolutions: ReadonlyMap<string, ConvolutionForm> | undefined;
}

/** Numbers of an input frame at most, where no weights of the file have that size. */
const MAX_FRAME = 65_536;

/**
 * The network of a parsed file.
 *
 * @param options for a state_dict
 * @throws FormatError, ShapeError, UnsupportedError, ValueError
 */
export function readRtneural(json: unknown, dtype: FloatDtype, options: ModuleOptions): NetworkDescription {
  const file = parsed(json, "JSON of RTNeural");
  if (!Object.hasOwn(file, "layers") && !Object.hasOwn(file, "in_shape")) return fromModules(dtype, file, options);
  for (const [name, received] of [
    ["modules", "a list"],
    ["convolutions", "an object"],
  ] as const) {
    if (options[name] !== undefined) throw new ValueError(name, received, "none: the file has its own layers");
  }
  for (const gain of ["in_gain", "out_gain"]) {
    if (file[gain]) throw new UnsupportedError(gain, describe(file[gain]), "0 dB or none: a gain is for the caller");
  }
  const inputSize = frameSize("in_shape", file.in_shape);
  const layers: StreamingLayer[] = [];
  let size = inputSize;
  const listed = array("layers", file.layers);
  checkLayerCount("layers", listed.length);
  for (let i = 0; i < listed.length; i++) {
    const path = `layers[${i}]`;
    const more = kerasLayers(dtype, path, record(path, listed[i]), size);
    layers.push(...more);
    size = sizeAfter(more, size);
  }
  checkInputSize(layers, inputSize);
  const skip = file.in_skip ?? 0;
  if (Number.isSafeInteger(skip) && (skip as number) > inputSize) {
    throw new ShapeError("in_skip", `${skip as number} inputs`, `at most ${inputSize}, as in_shape says`);
  }
  return assemble(dtype, inputSize, layers, { path: "in_skip", count: skip });
}

/**
 * Refuses a size of an input frame that no weights of the file have. in_shape is a bare number: a small file could have gigabytes
 * allocated for it.
 */
function checkInputSize(layers: readonly StreamingLayer[], inputSize: number): void {
  const isSlope = (layer: StreamingLayer) => "slope" in layer && layer.slope.shape[1] !== inputSize;
  const first = layers.find((layer) => !isSlope(layer) && !ACTIVATIONS.some((name) => name === layer.type));
  if (first === undefined) {
    throw new FormatError("layers", "none with weights", `at least one, for frames of ${inputSize} numbers (in_shape)`);
  }
  const confirms = first.type === "batchnorm" ? first.mean.data.length === inputSize : !OPEN.includes(first.type);
  if (!confirms && inputSize > MAX_FRAME) {
    const expected = `at most ${MAX_FRAME} before a layer ${JSON.stringify(first.type)}, whose weights have another size`;
    throw new UnsupportedError("in_shape", `${inputSize} numbers`, expected);
  }
}

/** Layers whose weights do not have the size of their frames. */
const OPEN: readonly StreamingLayer["type"][] = ["gated", "conv2d"];

// --- PyTorch's arrays --------------------------------------------------------------------------------------------------

/** The network of a flat state_dict, with its modules in the given order. */
function fromModules(
  dtype: FloatDtype,
  file: Readonly<Record<string, unknown>>,
  { modules: given, convolutions }: ModuleOptions,
): NetworkDescription {
  const dict = new StateDict("json", file, dtype);
  const layers: StreamingLayer[] = [];
  let inputSize: number | undefined;
  let last: number | undefined;
  const names = given ?? dict.modules();
  checkLayerCount("json", names.length);
  for (const name of names) {
    const activation = ACTIVATIONS.find((each) => each === name);
    const prefix = name === "" ? "" : `${name}.`;
    if (dict.has(`${prefix}weight_hh_l0`)) {
      const layer = dict.recurrent(prefix, undefined, undefined, last);
      inputSize ??= layer.inputSize;
      layers.push(layer);
    } else if (dict.has(`${prefix}weight`)) {
      const isConvolution = dict.isConvolution(prefix);
      const before = layers.at(-1)?.type;
      if (!given && (before === "dense" || before === "conv1d")) {
        const kind = isConvolution ? "convolution" : "linear module";
        const expected = `options.modules: what stands between two linear modules is not in the file`;
        throw new UnsupportedError("json", `a ${kind} ${describe(name)} right after another`, expected);
      }
      const form = convolutions?.get(name);
      if (form && !isConvolution) {
        throw new ValueError("convolutions", describe(name), "names of convolutions of the file");
      }
      const layer = isConvolution ? dict.convolution(prefix, last, form) : dict.linear(prefix, last, undefined);
      inputSize ??= layer.weight.shape[1]! * ("groups" in layer ? layer.groups : 1);
      layers.push(layer);
    } else if (activation && inputSize !== undefined) {
      layers.push({ type: activation });
    } else if (given) {
      throw new ValueError("modules", describe(name), `a module of the file, or ${ACTIVATIONS.join(", ")} after one`);
    } else {
      throw new UnsupportedError("json", `a module ${describe(name)}`, "RNN, LSTM, GRU, Linear and Conv1d modules");
    }
    last = sizeAfter(layers.slice(-1), last ?? inputSize);
  }
  if (inputSize === undefined) throw new FormatError("json", "no module", "layers, or a state_dict");
  for (const name of convolutions?.keys() ?? []) {
    if (!names.includes(name)) throw new ValueError("convolutions", describe(name), "names of modules of the file");
  }
  dict.checkAllTaken();
  return assemble(dtype, inputSize, layers, { path: "skip", count: 0 });
}
