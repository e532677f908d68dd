// What a file of an audio model describes: layers in a row, each with its weights, and inputs that are added to what comes
// out. models/audio.ts runs it.

import { FormatError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import type { CellKind } from "../../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";

/** A function from a frame to one of the same size; ELU has alpha 1. */
export type FrameActivation = "tanh" | "relu" | "sigmoid" | "softmax" | "elu";

/** What one layer does to a frame, with its weights in the model's dtype. */
export type StreamingLayer =
  | { type: CellKind; inputSize: number; hiddenSize: number; numLayers: number; state: Record<string, Tensor> }
  | { type: "dense"; /** [out,in] */ weight: Tensor; /** [out] */ bias: Tensor | undefined }
  | { type: "prelu"; /** [n], or [1] for all */ slope: Tensor }
  | { type: FrameActivation };

/** A network that takes one frame at a time, as a file has it. */
export interface NetworkDescription {
  dtype: FloatDtype;
  /** Numbers in a frame that goes in. */
  inputSize: number;
  layers: readonly StreamingLayer[];
  /** How many of the first numbers of a frame are added to the output: 0, 1 (to each of them), or as many as come out. */
  skip: number;
}

export const ACTIVATIONS: readonly FrameActivation[] = ["tanh", "relu", "sigmoid", "softmax", "elu"];

/** Layers of a file, those on top of each other in a recurrent module counted; models that run in real time have a few. */
const MAX_LAYERS = 1000;

export function checkLayerCount(path: string, count: number): void {
  if (!(count <= MAX_LAYERS)) throw new UnsupportedError(path, `${count} layers`, `at most ${MAX_LAYERS}`);
}

/** The network, after a check of its skip connection: `count` inputs that are added to as many outputs, or one to all. */
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
