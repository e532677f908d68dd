// A streaming model as a chain of layers, which can be trained and written in other formats.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { present } from "../base/present.js";
import { sizeAfter, type StreamingLayer } from "../formats/audio/description.js";
import { Activation } from "../nn/activation.js";
import { BatchNorm1d } from "../nn/batch-norm.js";
import { Conv1d } from "../nn/conv1d.js";
import type { Module } from "../nn/layer.js";
import { Linear } from "../nn/linear.js";
import { PReLU } from "../nn/prelu.js";
import { Sequential } from "../nn/sequential.js";
import { GRU, LSTM, RNN } from "../recurrent/layers.js";
import { networkOf, type StreamingModel } from "./streaming.js";

const RECURRENT = { RNN, LSTM, GRU };

/** A layer, and its state_dict. */
type Made = readonly [layer: Module, state: Readonly<Record<string, Tensor | undefined>>];

/**
 * Makes a chain of layers of a model, with copies of its weights: to train it, or to write it in other formats (`toOnnx`, `toTfjs`, `stateDict`).
 * Layers are named after their kinds and places: `lstm_0`, `dense_1`. Sequences are [T,D] or [T,N,D]; a convolution without padding
 * shortens them, where the stream waits for its first window. `StreamingModel.from` makes a stream of the chain.
 *
 * @param model of a file, or of `StreamingModel.from(layers)`
 * @returns a chain in inference mode, which is the caller's to dispose of
 * @throws UnsupportedError naming what has no layer here: a skip connection, states that do not start as zeros, a `conv2d`, a gated activation, a
 *   WaveNet, layers that files do not have; ValueError (no model), OutOfMemoryError
 */
export function toSequential(model: StreamingModel): Sequential {
  const network = networkOf(model);
  if (!network) throw new ValueError("model", describe(model), "a StreamingModel");
  const { dtype, inputSize, layers, skip } = network;
  if (skip > 0) throw new UnsupportedError("model", "a skip connection", "layers one after the other");
  const made: Record<string, Module> = {};
  try {
    let size = inputSize;
    layers.flatMap(known).forEach((layer, i) => {
      const [own, state] = layerOf(layer, size, dtype);
      made[`${layer.type.toLowerCase()}_${i}`] = own;
      own.loadStateDict(present(state));
      size = sizeAfter([layer], size);
    });
    return new Sequential(made).eval();
  } catch (error) {
    for (const layer of Object.values(made)) layer.dispose();
    throw error;
  }
}

/** What files have of a layer. */
function known(layers: readonly StreamingLayer[] | string): readonly StreamingLayer[] {
  if (typeof layers !== "string") return layers;
  throw new UnsupportedError(layers, "a layer or options that files of audio models do not have", "others");
}

function layerOf(layer: StreamingLayer, before: number, dtype: FloatDtype): Made {
  const seed = 0;
  switch (layer.type) {
    case "RNN":
    case "LSTM":
    case "GRU": {
      const { type, inputSize, hiddenSize, numLayers, state, initial } = layer;
      const starts = initial ? [initial.h0, initial.c0] : [];
      if (starts.some(({ data }) => !data.every((value: number) => Object.is(value, 0)))) {
        throw new UnsupportedError("model", "states that do not start as zeros", "zeros");
      }
      const options = { numLayers, bias: "bias_ih_l0" in state, dtype, seed };
      return [new RECURRENT[type](inputSize, hiddenSize, options), state];
    }
    case "dense": {
      const { weight, bias } = layer;
      return [new Linear(before, weight.shape[0]!, { bias: bias !== undefined, dtype, seed }), { weight, bias }];
    }
    case "conv1d": {
      const { weight, bias, stride, dilation, groups, causal } = layer;
      const [outputs, , taps] = weight.shape as [number, number, number];
      const padding = causal ? "causal" : 0;
      const options = { stride, dilation, groups, padding, bias: bias !== undefined, dtype, seed } as const;
      return [new Conv1d(before, outputs, taps, options), { weight, bias }];
    }
    case "batchnorm": {
      const { weight, bias, mean, variance, eps } = layer;
      if (mean.data.length !== before) {
        throw new UnsupportedError("model", "a batch normalisation of features and filters", "one of all numbers of a frame"); // prettier-ignore
      }
      const num_batches_tracked = { data: new Float64Array(1), shape: [] };
      const options = { eps, affine: weight !== undefined, dtype };
      return [new BatchNorm1d(before, options), { weight, bias, running_mean: mean, running_var: variance, num_batches_tracked }]; // prettier-ignore
    }
    case "prelu": {
      const count = layer.slope.data.length;
      return [new PReLU(count, { dtype }), { weight: { data: layer.slope.data, shape: [count] } }];
    }
    case "conv2d":
    case "gated":
    case "wavenet": {
      const names = { conv2d: "a conv2d", gated: "a gated activation", wavenet: "a WaveNet" };
      throw new UnsupportedError("model", names[layer.type], "layers that a chain has");
    }
    default:
      return [new Activation(layer.type), {}];
  }
}
