// A network read from the file of an audio model: layers in order, with their weights, and a skip connection. models/audio.ts
// runs it.

import { FormatError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import type { CellKind } from "../../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";

/** An activation over a frame. ELU has alpha 1. */
export type FrameActivation = "tanh" | "relu" | "sigmoid" | "softmax" | "elu";

/** A layer with its weights, in the model's dtype. */
export type StreamingLayer =
  | { type: CellKind; inputSize: number; hiddenSize: number; numLayers: number; state: Record<string, Tensor> }
  | { type: "dense"; /** [out,in] */ weight: Tensor; /** [out] */ bias: Tensor | undefined }
  | { type: "prelu"; /** [n], or [1] for all */ slope: Tensor }
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

/** The network, with its skip connection checked: `count` inputs are added to as many outputs, or one input to all. */
export function assemble(
  dtype: FloatDtype,
  inputSize: number,
  layers: readonly StreamingLayer[],
  skip: { path: string; count: unknown },
): NetworkDescription {
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
    return layer.type === "dense" ? layer.weight.shape[0]! : before;
  }, inputSize);
}
