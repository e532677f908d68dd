// A network read from the file of an audio model: layers in order, with their weights, and a skip connection.
// models/audio.ts runs it; write.ts writes it.

import { FormatError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import type { CellKind } from "../../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";

/** An activation over a frame. ELU has alpha 1. */
export type FrameActivation = "tanh" | "relu" | "sigmoid" | "softmax" | "elu";

/** A stack of recurrent layers with PyTorch's weights. */
export interface RecurrentLayer {
  type: CellKind;
  inputSize: number;
  hiddenSize: number;
  numLayers: number;
  state: Record<string, Tensor>;
  /** h0 and c0 [numLayers,1,H], where the states do not start as zeros. */
  initial?: Record<"h0" | "c0", Tensor> | undefined;
}

/** A convolution over time. */
export interface ConvolutionLayer {
  type: "conv1d";
  /** [out,in/groups,taps]. */
  weight: Tensor;
  /** [out]. */
  bias: Tensor | undefined;
  stride: number;
  dilation: number;
  groups: number;
  /** Whether zeros come before the first frame, so that it has an output; else the first whole window has the first output. */
  causal: boolean;
}

/** A convolution over time and over the features of a frame [features,filters], causal in time. */
export interface Convolution2dLayer {
  type: "conv2d";
  /** [filtersOut,timeTaps * filtersIn,featureTaps]. */
  weight: Tensor;
  /** [filtersOut]. */
  bias: Tensor | undefined;
  filtersIn: number;
  featuresIn: number;
  featuresOut: number;
  timeTaps: number;
  /** Steps from one tap to the next in time. */
  dilation: number;
  /** Features from one window to the next. */
  stride: number;
  /** Zeros before and after the features. */
  left: number;
  right: number;
}

/** Batch normalisation of frames [.., C] by stored statistics, each [C]. */
export interface BatchNormLayer {
  type: "batchnorm";
  weight: Tensor | undefined;
  bias: Tensor | undefined;
  mean: Tensor;
  variance: Tensor;
  eps: number;
}

/** A stack of dilated convolutions, each with a residual connection and one to the head, as Neural Amp Modeler has them. */
export interface WaveNetBlock {
  /** [channels,in]. */
  rechannel: Tensor;
  layers: readonly {
    convolution: ConvolutionLayer;
    /** [channels, or twice as many with a gate; condition]. */
    mixin: Tensor;
    output: { weight: Tensor; bias: Tensor };
  }[];
  activation: Exclude<FrameActivation, "softmax">;
  gated: boolean;
  /** [head,channels], and [head]. */
  head: { weight: Tensor; bias: Tensor | undefined };
}

/** A layer with its weights, in the model's dtype. */
export type StreamingLayer =
  | RecurrentLayer
  | { type: "dense"; /** [out,in] */ weight: Tensor; /** [out] */ bias: Tensor | undefined }
  | ConvolutionLayer
  | Convolution2dLayer
  | BatchNormLayer
  | { type: "wavenet"; blocks: readonly WaveNetBlock[]; scale: number }
  | { type: "prelu"; /** [n], or [1] for all */ slope: Tensor }
  | { type: "gated"; /** [2n] -> [n]: tanh of the first half times sigmoid of the second */ size: number }
  | { type: FrameActivation };

/** A network that takes one frame at a time. */
export interface NetworkDescription {
  dtype: FloatDtype;
  /** Numbers in an input frame. */
  inputSize: number;
  layers: readonly StreamingLayer[];
  /** How many of the input's first numbers are added to the output: 0, 1 (to each output), or as many as there are outputs. */
  skip: number;
}

export const ACTIVATIONS: readonly FrameActivation[] = ["tanh", "relu", "sigmoid", "softmax", "elu"];

/** Layers of a file at most, counting each layer of a recurrent module. Models that run in real time have a few. */
const MAX_LAYERS = 1000;

export function checkLayerCount(path: string, count: number): void {
  if (!(count <= MAX_LAYERS)) throw new UnsupportedError(path, `${count} layers`, `at most ${MAX_LAYERS}`);
}

/** Numbers of earlier frames that all convolutions of a model may keep: dilations and features are bare numbers in a file. */
const MAX_KEPT = 2 ** 23;

/** Numbers of frames that a layer keeps between steps. */
function keptBy(layer: StreamingLayer): number {
  if (layer.type === "wavenet") {
    const layers = layer.blocks.flatMap((block) => block.layers);
    return layers.reduce((sum, { convolution }) => sum + keptBy(convolution), 0);
  }
  if (layer.type === "conv1d") {
    const [, width, taps] = layer.weight.shape as [number, number, number];
    return ((taps - 1) * layer.dilation + 1) * width * layer.groups;
  }
  if (layer.type !== "conv2d") return 0;
  const { timeTaps, dilation, filtersIn, featuresIn, featuresOut, left, right, weight } = layer;
  const span = (timeTaps - 1) * dilation + 1;
  const gathered = (left + featuresIn + right) * timeTaps * filtersIn;
  return span * featuresIn * filtersIn + gathered + featuresOut * weight.shape[0]!;
}

/** Refuses layers whose earlier frames take more memory than a model in real time has use for. */
export function checkKept(path: string, layers: readonly StreamingLayer[]): void {
  const kept = layers.reduce((sum, layer) => sum + keptBy(layer), 0);
  if (kept <= MAX_KEPT) return;
  throw new UnsupportedError(path, `convolutions over ${kept} numbers of earlier frames`, `at most ${MAX_KEPT}`);
}

/** The network, with its skip connection checked: `count` inputs are added to as many outputs, or one input to all. */
export function assemble(
  dtype: FloatDtype,
  inputSize: number,
  layers: readonly StreamingLayer[],
  skip: { path: string; count: unknown },
): NetworkDescription {
  checkKept("layers", layers);
  const outputSize = sizeAfter(layers, inputSize);
  const { path, count } = skip;
  if (!Number.isSafeInteger(count) || (count as number) < 0) {
    throw new FormatError(path, describe(count), "a whole number >= 0");
  }
  const added = Math.min(count as number, inputSize); // x[:, :, 0:skip] in PyTorch, all of x where it has fewer
  if (added > 1 && added !== outputSize) {
    throw new ShapeError(path, `${added} inputs`, `0, 1 or as many as there are outputs: ${outputSize}`);
  }
  return { dtype, inputSize, layers, skip: added };
}

export function sizeAfter(layers: readonly StreamingLayer[], inputSize: number): number {
  return layers.reduce((before, layer) => {
    if ("hiddenSize" in layer) return layer.hiddenSize;
    switch (layer.type) {
      case "dense":
      case "conv1d":
        return layer.weight.shape[0]!;
      case "conv2d":
        return layer.weight.shape[0]! * layer.featuresOut;
      case "gated":
        return layer.size;
      case "wavenet":
        return 1;
      default:
        return before;
    }
  }, inputSize);
}
