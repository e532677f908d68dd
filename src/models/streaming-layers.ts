// The layers of a caller as parts of a StreamingModel, with what files of audio models can have of them.

import { DtypeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import { wasmTensorOf } from "../../bindings/memory.js";
import type { Cell } from "../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { readList } from "../base/check.js";
import {
  ACTIVATIONS,
  checkKept,
  checkLayerCount,
  type ConvolutionLayer,
  type StreamingLayer,
} from "../formats/audio/description.js";
import type { Activation } from "../nn/activation.js";
import type { BatchNorm1d } from "../nn/batch-norm.js";
import type { Conv1d } from "../nn/conv1d.js";
import { Layer } from "../nn/layer.js";
import { streamPlan } from "../nn/stream.js";
import { traitsOf } from "../nn/traits.js";
import type { LSTM } from "../recurrent/layers.js";
import type { StreamingPart } from "./streaming-stages.js";

type AnyLayer = Layer<FloatDtype, FloatDtype | undefined>;
type State = Readonly<Record<string, Tensor>>;

/** Copies of what a layer has, whatever methods the caller has put on it. */
const stateOf = (layer: AnyLayer): State => Layer.prototype.stateDict.call(layer as Layer);

/** The layers in the order in which they run, chains taken apart, with their names. */
function flatten(layers: unknown): [path: string, layer: AnyLayer][] {
  const listed = Array.isArray(layers)
    ? readList("layers", layers, "layers").map((layer, i): [string, unknown] => [`layers.${i}`, layer])
    : undefined;
  const isRecord = typeof layers === "object" && layers !== null;
  const isModel = isRecord && (traitsOf(layers).layers !== undefined || Layer.isLayer(layers));
  const named = isRecord && !isModel ? Object.entries(layers).map(([name, layer]): [string, unknown] => [`layers.${name}`, layer]) : undefined; // prettier-ignore
  const open: [path: string, layer: unknown][] = (listed ?? named ?? [["layers", layers]]).reverse();
  const flat: [string, AnyLayer][] = [];
  const seen = new Set<unknown>();
  for (let next = open.pop(); next; next = open.pop()) {
    const [path, layer] = next;
    if (seen.has(layer)) throw new ValueError(path, "a layer for the second time", "each layer once");
    seen.add(layer);
    const inner = typeof layer === "object" && layer !== null ? traitsOf(layer).layers : undefined;
    if (inner) {
      for (const { name, layer } of [...inner].reverse()) open.push([`${path}.${name}`, layer]);
      continue;
    }
    if (!Layer.isLayer(layer))
      throw new ValueError(path, describe(layer), "a layer of this package, or a chain of them");
    flat.push([path, layer]);
    checkLayerCount("layers", flat.length);
  }
  if (flat.length === 0) throw new ValueError("layers", "none", "at least one");
  return flat;
}

/** The parts of a model, and what they have in common. */
export interface Parts {
  readonly dtype: FloatDtype;
  readonly inputSize: number;
  readonly parts: readonly StreamingPart[];
  readonly core: Core;
}

/**
 * Takes a chain or a list of layers apart.
 *
 * @throws ValueError, UnsupportedError, DtypeError, DisposedError
 */
export function partsOf(layers: unknown): Parts {
  const flat = flatten(layers);
  let dtype: FloatDtype | undefined;
  let inputSize: number | undefined;
  let core: Core | undefined;
  const parts: StreamingPart[] = [];
  for (const [path, layer] of flat) {
    const kind = Layer.kindOf(layer);
    if (kind === "Embedding") throw new UnsupportedError(path, "a layer of indices", "layers of frames of numbers");
    const own = layer.dtype;
    if (own !== undefined && dtype !== undefined && own !== dtype) {
      throw new DtypeError(path, `a layer of ${own}`, `${dtype}, as the layers before`);
    }
    dtype ??= own;
    if (kind === "Dropout") continue; // drops nothing in inference mode
    if (kind === "Conv1d") {
      const convolution = layer as unknown as Conv1d<FloatDtype>;
      inputSize ??= convolution.inChannels;
      core ??= coreOf(layer);
      parts.push(describeConvolution(path, convolution));
      continue;
    }
    const { cell } = traitsOf(layer);
    const isRecurrent = cell !== undefined && cell.kind === kind; // a cell takes its state from outside
    if (isRecurrent) {
      inputSize ??= (layer as unknown as LSTM<FloatDtype>).inputSize;
      core ??= coreOf(layer);
    } else {
      const plan = planOf(path, layer);
      inputSize ??= plan.features;
      if (plan.dtype !== undefined) core ??= plan.core;
    }
    const described = isRecurrent
      ? describeRecurrent(layer as unknown as LSTM<FloatDtype>, cell)
      : describeLayer(layer, kind);
    parts.push({ type: "layer", path, layer, isRecurrent, described });
  }
  if (dtype === undefined || inputSize === undefined || core === undefined) {
    throw new ValueError("layers", "layers for frames of any size", "at least one that has a size");
  }
  checkKept(
    "layers",
    parts.filter((part): part is ConvolutionLayer => part.type === "conv1d"),
  );
  return { dtype, inputSize, parts, core };
}

function planOf(path: string, layer: object) {
  try {
    return streamPlan(layer);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    throw new UnsupportedError(path, describe(layer), "a layer that runs one step at a time");
  }
}

/** The build that a layer with parameters belongs to. */
function coreOf(layer: AnyLayer): Core | undefined {
  const [first] = Layer.prototype.parameters.call(layer as Layer);
  return first && wasmTensorOf(first.value)?.arena.core;
}

function describeConvolution(path: string, layer: Conv1d<FloatDtype>): ConvolutionLayer {
  const { stride, dilation, groups, kernelSize, padding } = layer;
  const { weight, bias } = stateOf(layer);
  const looksAhead =
    kernelSize > 1 ? padding !== "causal" && padding !== 0 : typeof padding === "number" && padding > 0;
  if (looksAhead) throw new UnsupportedError(`${path}.padding`, `${padding}`, '"causal" or 0: no later frames');
  return { type: "conv1d", weight: weight!, bias, stride, dilation, groups, causal: padding === "causal" };
}

/** What files of audio models can have of a layer; undefined where they cannot have it. */
function describeLayer(layer: AnyLayer, kind: string | undefined): readonly StreamingLayer[] | undefined {
  switch (kind) {
    case "Linear": {
      const { weight, bias } = stateOf(layer);
      return [{ type: "dense", weight: weight!, bias }];
    }
    case "BatchNorm1d": {
      const { weight, bias, running_mean: mean, running_var: variance } = stateOf(layer);
      const { eps } = layer as unknown as BatchNorm1d<FloatDtype>;
      return [{ type: "batchnorm", weight, bias, mean: mean!, variance: variance!, eps }];
    }
    case "PReLU":
      return [{ type: "prelu", slope: stateOf(layer).weight! }];
    case "Activation": {
      const { activation } = layer as unknown as Activation;
      if (activation === "linear") return [];
      const name = ACTIVATIONS.find((each) => each === activation);
      return name && [{ type: name }];
    }
    default:
      return undefined;
  }
}

function describeRecurrent(layer: LSTM<FloatDtype>, cell: Cell): readonly StreamingLayer[] | undefined {
  const state = stateOf(layer);
  const plain =
    cell.kind === "RNN"
      ? cell.phi === "tanh"
      : cell.phi === "tanh" && (cell.sigma ?? "sigmoid") === "sigmoid" && (cell.kind === "LSTM" || cell.resetAfter);
  if (!plain || Object.keys(state).some((name) => !/^(weight|bias)_(ih|hh)_l\d+$/.test(name))) return undefined;
  const { inputSize, hiddenSize, numLayers } = layer;
  return [{ type: cell.kind, inputSize, hiddenSize, numLayers, state }];
}
