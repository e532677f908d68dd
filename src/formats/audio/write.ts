// Writes networks as JSON of RTNeural and of Proteus. Numbers are written so that they are read back to the bit.

import { UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { dtypeOf, sizeOf, zeros, type Tensor } from "../../../bindings/tensor.js";
import { permute, reshape } from "../../base/layout.js";
import { fromTorch } from "../gates.js";
import { sizeAfter, type RecurrentLayer, type StreamingLayer } from "./description.js";

/** A model to write: for each layer what files can have of it, or the name of one that they cannot have. */
export interface WritableNetwork {
  readonly inputSize: number;
  readonly layers: readonly (readonly StreamingLayer[] | string)[];
  readonly skip: number;
}

/** JSON of a number, a string, or lists and records of them. */
type Json = string | number | null | readonly Json[] | { readonly [key: string]: Json };

/** As JSON.stringify, but -0 stays what it is. */
function write(value: Json): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join(",")}]`;
  return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${write(each)}`).join(",")}}`; // prettier-ignore
}

/** Nested arrays of a tensor of at most four axes. */
function nested(argument: string, { data, shape }: Tensor): Json {
  if (shape.length === 1) {
    return Array.from(data, (value) => {
      if (Number.isFinite(value)) return value;
      throw new ValueError(argument, `a weight of ${value}`, "finite weights");
    });
  }
  const rest = shape.slice(1);
  const size = sizeOf(rest);
  return Array.from({ length: shape[0]! }, (_, i) =>
    nested(argument, { data: data.subarray(i * size, (i + 1) * size), shape: rest }),
  );
}

/** All layers of a network that files can have. */
function layersOf(format: string, layers: WritableNetwork["layers"]): StreamingLayer[] {
  return layers.flatMap((each) => {
    if (typeof each !== "string") return [...each];
    throw new UnsupportedError(each, "a layer or options that such files do not have", `layers of ${format}`);
  });
}

function checkInitial({ initial }: RecurrentLayer, format: string): void {
  const isZero = ({ data }: Tensor) => data.every((value: number) => Object.is(value, 0));
  if (!initial || (isZero(initial.h0) && isZero(initial.c0))) return;
  throw new UnsupportedError(
    "model",
    "states that do not start as zeros",
    `states that files of ${format} have: zeros`,
  );
}

const zerosLike = (x: Tensor, count: number): Tensor => ({ data: zeros(dtypeOf(x.data), count), shape: [count] });

/**
 * A network as JSON of RTNeural.
 *
 * @throws UnsupportedError, ValueError
 */
export function writeRtneural({ inputSize, layers, skip }: WritableNetwork): string {
  const described = layersOf("RTNeural", layers);
  const written: Json[] = [];
  let size = inputSize;
  for (const layer of described) {
    const before = size;
    size = sizeAfter([layer], before);
    written.push(...rtneuralLayers(layer, before, size));
  }
  const file: Json = { in_shape: [null, null, inputSize], ...(skip > 0 && { in_skip: skip }), layers: written };
  return write(file);
}

function rtneuralLayers(layer: StreamingLayer, before: number, after: number): Json[] {
  const shape = [null, null, after];
  const json = (type: string, weights: readonly Tensor[], more: Readonly<Record<string, Json>> = {}): Json => ({
    type,
    activation: "",
    shape,
    ...more,
    weights: weights.map((each) => nested("model", each)),
  });
  switch (layer.type) {
    case "RNN":
      throw new UnsupportedError("model", "an RNN", "LSTM and GRU: RTNeural has no RNN");
    case "LSTM":
    case "GRU":
      checkInitial(layer, "RTNeural");
      return Array.from({ length: layer.numLayers }, (_, i) => {
        const biased: Record<string, Tensor> = { ...layer.state };
        const hh = layer.state[`weight_hh_l${i}`]!;
        for (const name of ["bias_ih", "bias_hh"]) biased[`${name}_l${i}`] ??= zerosLike(hh, hh.shape[0]!);
        const { kernel, recurrent_kernel, bias } = fromTorch("keras", layer.type, biased, { layer: i });
        return json(layer.type.toLowerCase(), [kernel, recurrent_kernel, bias!], { activation: "tanh" });
      });
    case "dense": {
      const { weight, bias = zerosLike(weight, after) } = layer;
      return [json("dense", [permute(weight, [1, 0]), bias])];
    }
    case "conv1d": {
      const { weight, bias = zerosLike(weight, after), stride, dilation, groups, causal } = layer;
      const taps = weight.shape[2]!;
      if (!causal && taps > 1) {
        throw new UnsupportedError("model", "a convolution without padding", "causal ones: RTNeural has no others");
      }
      const more = { kernel_size: [taps], dilation: [dilation], groups, ...(stride > 1 && { strides: [stride] }) };
      return [json("conv1d", [permute(weight, [2, 1, 0]), bias], more)];
    }
    case "conv2d": {
      const { filtersIn, featuresIn, featuresOut, timeTaps, dilation, stride, left, right } = layer;
      const [filtersOut, , featureTaps] = layer.weight.shape as [number, number, number];
      const weight = tapsFirst(layer.weight, timeTaps, filtersIn);
      const { bias = zerosLike(weight, filtersOut) } = layer;
      const sizes = { num_filters_in: filtersIn, num_features_in: featuresIn, num_filters_out: filtersOut };
      const kernel = { kernel_size_time: timeTaps, kernel_size_feature: featureTaps, dilation, strides: stride };
      const padding = left + right > 0 ? "same" : "valid"; // without zeros both are one
      return [json("conv2d", [weight, bias], { ...sizes, ...kernel, padding, shape: [null, null, featuresOut, filtersOut] })]; // prettier-ignore
    }
    case "batchnorm": {
      const { weight, bias, mean, variance, eps } = layer;
      const affine = weight && bias ? [weight, bias] : [];
      const c = mean.data.length;
      const sizes = { num_filters_in: c, num_features_in: before / c, shape: [null, null, before / c, c] };
      const more = { epsilon: eps, ...(c !== before && sizes) };
      return [json(c === before ? "batchnorm" : "batchnorm2d", [...affine, mean, variance], more)];
    }
    case "gated":
      return [json("gated_activation", [])];
    case "prelu":
      return [json("prelu", [reshape(layer.slope, [1, layer.slope.data.length])])];
    case "wavenet":
      throw new UnsupportedError("model", "a WaveNet", "layers of RTNeural");
    default:
      return [json("activation", [], { activation: layer.type })];
  }
}

/** [out,timeTaps * in,featureTaps] as [timeTaps,featureTaps,in,out]. */
function tapsFirst({ data, shape }: Tensor, times: number, inputs: number): Tensor {
  const [outputs, , features] = shape as [number, number, number];
  const result = zeros(dtypeOf(data), data.length);
  let at = 0;
  for (let o = 0; o < outputs; o++) {
    for (let t = 0; t < times; t++) {
      for (let i = 0; i < inputs; i++) {
        for (let f = 0; f < features; f++) result[((t * features + f) * inputs + i) * outputs + o] = data[at++]!;
      }
    }
  }
  return { data: result, shape: [times, features, inputs, outputs] };
}

/**
 * A network as JSON of Proteus: recurrent layers of one kind and size, and a linear one.
 *
 * @throws UnsupportedError, ValueError
 */
export function writeProteus({ inputSize, layers, skip }: WritableNetwork): string {
  const described = layersOf("Proteus", layers);
  const dense = described.at(-1);
  const recurrent = described.slice(0, -1);
  const [first] = recurrent;
  const expected = "recurrent layers of one kind and size, and one linear layer after them";
  const shown = described.map(({ type }) => type).slice(0, 20).join(", "); // prettier-ignore
  if (dense?.type !== "dense" || !first || !("hiddenSize" in first)) {
    throw new UnsupportedError("model", `layers ${shown}`, expected);
  }
  const state: Record<string, Json> = {};
  const biased = "bias_ih_l0" in first.state;
  let count = 0;
  for (const layer of recurrent) {
    const fits = "hiddenSize" in layer && layer.type === first.type && layer.hiddenSize === first.hiddenSize;
    if (!fits || "bias_ih_l0" in layer.state !== biased)
      throw new UnsupportedError("model", `layers ${shown}`, expected);
    checkInitial(layer, "Proteus");
    for (let i = 0; i < layer.numLayers; i++, count++) {
      for (const name of ["weight_ih", "weight_hh", ...(biased ? ["bias_ih", "bias_hh"] : [])]) {
        state[`rec.${name}_l${count}`] = nested("model", layer.state[`${name}_l${i}`]!);
      }
    }
  }
  state["lin.weight"] = nested("model", dense.weight);
  if (dense.bias) state["lin.bias"] = nested("model", dense.bias);
  const data = {
    model: "SimpleRNN",
    input_size: inputSize,
    skip,
    output_size: dense.weight.shape[0]!,
    unit_type: first.type,
    num_layers: count,
    hidden_size: first.hiddenSize,
  };
  return `{"model_data":${write(data).slice(0, -1)},"bias_fl":${biased}},"state_dict":${write(state)}}`;
}
