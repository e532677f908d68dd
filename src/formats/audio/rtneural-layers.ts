// Reads the layers of RTNeural's JSON: Keras' arrays under names of RTNeural's own.

import { FormatError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { GATES } from "../../../bindings/recurrent.js";
import { describe, zeros, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { permute } from "../../base/layout.js";
import { toTorch } from "../gates.js";
import { ACTIVATIONS, type Convolution2dLayer, type StreamingLayer } from "./description.js";
import { array, frameSize, lastOf, lastSize, numbers } from "./json.js";

/** A layer of the file, followed by its activation if it names one. */
export function kerasLayers(
  dtype: FloatDtype,
  path: string,
  layer: Readonly<Record<string, unknown>>,
  before: number,
): StreamingLayer[] {
  const { type, activation = "" } = layer;
  const weights = () => array(`${path}.weights`, layer.weights);
  const most = (count: number): void => {
    const given: unknown = layer.weights ?? [];
    if (Array.isArray(given) && given.length <= count) return;
    const received = Array.isArray(given) ? `${given.length} arrays` : describe(given);
    throw new FormatError(`${path}.weights`, received, `at most ${count} arrays`);
  };
  const keepsSize = (): void => {
    if (layer.shape === undefined || layer.shape === null) return;
    const after = frameSize(`${path}.shape`, layer.shape);
    if (after !== before) throw new ShapeError(`${path}.shape`, `${after}`, `${before}, as in the layer before`);
  };
  const read = (index: number, pattern: readonly number[]): Tensor | undefined => {
    const given = weights();
    return index < given.length ? numbers(`${path}.weights[${index}]`, given[index], pattern, dtype) : undefined;
  };
  const need = (index: number, pattern: readonly number[]): Tensor => {
    const value = read(index, pattern);
    if (value) return value;
    throw new FormatError(`${path}.weights`, `${weights().length} arrays`, `at least ${index + 1}`);
  };
  const activations = (): StreamingLayer[] => {
    if (activation === "" || activation === null) return [];
    const name = ACTIVATIONS.find((each) => each === activation);
    if (name) return [{ type: name }];
    throw new UnsupportedError(`${path}.activation`, describe(activation), ACTIVATIONS.join(", "));
  };
  switch (type) {
    case "lstm":
    case "gru": {
      if (activation !== "" && activation !== "tanh" && activation !== null) {
        throw new UnsupportedError(`${path}.activation`, describe(activation), '"tanh" or none');
      }
      most(3);
      const h = lastOf(`${path}.shape`, layer.shape);
      const kind = type === "lstm" ? "LSTM" : "GRU";
      const g = GATES[kind] * h;
      const state = toTorch("keras", kind, {
        kernel: need(0, [before, g]),
        recurrent_kernel: need(1, [h, g]),
        bias: read(2, kind === "GRU" ? [2, g] : [g]),
      });
      return [{ type: kind, inputSize: before, hiddenSize: h, numLayers: 1, state }];
    }
    case "dense":
    case "time-distributed-dense": {
      most(2);
      const out = lastOf(`${path}.shape`, layer.shape);
      const weight = permute(need(0, [before, out]), [1, 0]);
      return [{ type: "dense", weight, bias: read(1, [out]) }, ...activations()];
    }
    case "activation":
      most(0);
      keepsSize();
      return activations();
    case "prelu": {
      if (activation !== "" && activation !== null) {
        throw new UnsupportedError(`${path}.activation`, describe(activation), "none");
      }
      most(1);
      keepsSize();
      const rows = array(`${path}.weights[0]`, weights()[0]);
      const values = array(`${path}.weights[0][0]`, rows[0]); // [1,n], or [1,1] for one slope
      return [
        { type: "prelu", slope: numbers(`${path}.weights[0]`, rows, [1, values.length === 1 ? 1 : before], dtype) },
      ];
    }
    case "conv1d": {
      most(2);
      const out = lastOf(`${path}.shape`, layer.shape);
      const taps = lastSize(`${path}.kernel_size`, layer.kernel_size);
      const dilation = lastSize(`${path}.dilation`, layer.dilation, 1);
      const groups = lastSize(`${path}.groups`, layer.groups, 1);
      const stride = lastSize(`${path}.strides`, layer.strides, 1);
      for (const [name, channels] of [
        ["the size before", before],
        ["shape", out],
      ] as const) {
        // prettier-ignore
        if (channels % groups === 0) continue;
        throw new ShapeError(`${path}.groups`, `${groups}`, `a divisor of ${name}, ${channels}`);
      }
      const weight = permute(need(0, [taps, before / groups, out]), [2, 1, 0]);
      return [
        { type: "conv1d", weight, bias: read(1, [out]), stride, dilation, groups, causal: true },
        ...activations(),
      ];
    }
    case "conv2d":
      most(2);
      return [convolution2d(path, layer, before, need, read), ...activations()];
    case "batchnorm":
    case "batchnorm2d": {
      most(4);
      keepsSize();
      if (activation !== "" && activation !== null) {
        throw new UnsupportedError(`${path}.activation`, describe(activation), "none");
      }
      const c = type === "batchnorm" ? before : filtersOf(path, layer, before);
      const eps = layer.epsilon;
      if (typeof eps !== "number" || !(eps >= 0) || !Number.isFinite(eps)) {
        throw new FormatError(`${path}.epsilon`, describe(eps), "a finite number >= 0");
      }
      const count = weights().length;
      if (count !== 2 && count !== 4) {
        throw new FormatError(
          `${path}.weights`,
          `${count} arrays`,
          "2 (mean, variance) or 4 (weight, bias, mean, variance)",
        );
      }
      const [weight, bias] = count === 4 ? [need(0, [c]), need(1, [c])] : [];
      return [{ type: "batchnorm", weight, bias, mean: need(count - 2, [c]), variance: need(count - 1, [c]), eps }];
    }
    case "gated_activation": {
      most(0);
      const half = lastOf(`${path}.shape`, layer.shape);
      if (2 * half !== before) throw new ShapeError(`${path}.shape`, `${half}`, `half of the size before, ${before}`);
      return [{ type: "gated", size: half }];
    }
    default: {
      const known = ["lstm", "gru", "dense", "time-distributed-dense", "conv1d", "conv2d", "batchnorm", "batchnorm2d"];
      known.push("activation", "prelu", "gated_activation");
      throw new UnsupportedError(`${path}.type`, describe(type), known.join(", "));
    }
  }
}

type Layer = Readonly<Record<string, unknown>>;
type Read<T> = (index: number, pattern: readonly number[]) => T;

/** The filters of a frame [features,filters]. */
function filtersOf(path: string, layer: Layer, before: number): number {
  const filters = lastSize(`${path}.num_filters_in`, layer.num_filters_in);
  const features = lastSize(`${path}.num_features_in`, layer.num_features_in);
  if (filters * features === before) return filters;
  const received = `${features} x num_filters_in, ${filters}`;
  throw new ShapeError(`${path}.num_features_in`, received, `${before}, the size before`);
}

/**
 * A convolution over time and features. Frames are [features,filters]; in time it is causal, whatever its padding says, which is
 * that of the features: "valid", or "same" as TensorFlow pads.
 */
function convolution2d(
  path: string,
  layer: Layer,
  before: number,
  need: Read<Tensor>,
  read: Read<Tensor | undefined>,
): Convolution2dLayer {
  const whole = (name: string) => lastSize(`${path}.${name}`, layer[name]);
  const filtersIn = filtersOf(path, layer, before);
  const featuresIn = before / filtersIn;
  const filtersOut = whole("num_filters_out");
  const timeTaps = whole("kernel_size_time");
  const featureTaps = whole("kernel_size_feature");
  const [dilation, stride] = [whole("dilation"), whole("strides")];
  const { padding } = layer;
  if (padding !== "valid" && padding !== "same") {
    throw new UnsupportedError(`${path}.padding`, describe(padding), '"valid" or "same"');
  }
  const missing = featureTaps - (featuresIn % stride === 0 ? stride : featuresIn % stride);
  const around = padding === "valid" ? 0 : Math.max(0, missing);
  const left = Math.floor(around / 2);
  const featuresOut = Math.floor((featuresIn + around - featureTaps) / stride) + 1;
  if (featuresOut < 1) {
    throw new ShapeError(`${path}.kernel_size_feature`, `${featureTaps}`, `at most ${featuresIn}, the features`);
  }
  const size = frameSize(`${path}.shape`, layer.shape);
  if (size !== featuresOut * filtersOut) {
    throw new ShapeError(`${path}.shape`, `${size}`, `${featuresOut} features x ${filtersOut} filters`);
  }
  const weight = outputsFirst(need(0, [timeTaps, featureTaps, filtersIn, filtersOut]));
  const sizes = { filtersIn, featuresIn, featuresOut, timeTaps, dilation, stride, left, right: around - left };
  return { type: "conv2d", weight, bias: read(1, [filtersOut]), ...sizes };
}

/** [timeTaps,featureTaps,in,out] as [out,timeTaps * in,featureTaps]. */
function outputsFirst({ data, shape }: Tensor): Tensor {
  const [times, features, inputs, outputs] = shape as [number, number, number, number];
  const result = zeros(data instanceof Float64Array ? "f64" : "f32", data.length);
  let at = 0;
  for (let t = 0; t < times; t++) {
    for (let f = 0; f < features; f++) {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) result[((o * times + t) * inputs + i) * features + f] = data[at++]!;
      }
    }
  }
  return { data: result, shape: [outputs, times * inputs, features] };
}
