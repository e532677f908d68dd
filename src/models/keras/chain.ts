// Keras models that are a chain of layers which this package has, as a Sequential of them. Whatever is not the same here (masks, states
// that stay, other activations ...) is none: then the model is a graph, a Model.

import type { ActivationName } from "../../../bindings/layers.js";
import type { CellActivation } from "../../../bindings/recurrent.js";
import type { FloatDtype, Tensor } from "../../../bindings/tensor.js";
import { permute } from "../../base/layout.js";
import { present } from "../../base/present.js";
import type { Random } from "../../base/random.js";
import type { Config } from "../../formats/keras/config.js";
import type { KerasInput, KerasLayer, KerasModel } from "../../formats/keras/description.js";
import { RECURRENT } from "../../formats/keras/weights.js";
import { toTorch } from "../../formats/gates.js";
import { wholeNumbers } from "../../graphs/feeds.js";
import { Activation } from "../../nn/activation.js";
import { BatchNorm1d } from "../../nn/batch-norm.js";
import { Conv1d } from "../../nn/conv1d.js";
import { Dropout } from "../../nn/dropout.js";
import { Embedding } from "../../nn/embedding.js";
import { LayerNorm } from "../../nn/layer-norm.js";
import type { Layer, Module } from "../../nn/layer.js";
import { Linear } from "../../nn/linear.js";
import { LastStep, MaxOverTime, MeanOverTime } from "../../nn/over-time.js";
import { AvgPool1d, MaxPool1d } from "../../nn/pool.js";
import { PReLU } from "../../nn/prelu.js";
import { Sequential } from "../../nn/sequential.js";
import { setTraits, traitsOf } from "../../nn/traits.js";
import { GRU, LSTM, RNN } from "../../recurrent/layers.js";

type AnyLayer = Layer<FloatDtype, FloatDtype | undefined> & Module;

/** A layer to be made. */
interface Part {
  readonly name: string;
  readonly make: () => AnyLayer;
  /** Its state dictionary. */
  readonly state?: Readonly<Record<string, Tensor>>;
}

/** What is known where a layer stands. */
interface Place {
  readonly dtype: FloatDtype;
  readonly random: Random;
  readonly hardSigmoid: readonly [number, number];
  /** The number of axes; undefined where the file does not say it. */
  rank: number | undefined;
  /** Whether no layer comes before. */
  first: boolean;
}

/** The layers that one of Keras' is here; undefined where they are not the same. */
type Convert = (layer: KerasLayer, place: Place) => readonly Part[] | undefined;

/** Keras' names, in lower case without underscores. leaky_relu has another slope. */
const ACTIVATIONS: ReadonlyMap<string, ActivationName> = /* @__PURE__ */ new Map<string, ActivationName>([
  ["elu", "elu"],
  ["hardsigmoid", "hardSigmoid"],
  ["linear", "linear"],
  ["logsoftmax", "logSoftmax"],
  ["relu", "relu"],
  ["sigmoid", "sigmoid"],
  ["softmax", "softmax"],
  ["tanh", "tanh"],
]);
const CELL_ACTIVATIONS: readonly ActivationName[] = ["tanh", "relu", "sigmoid", "hardSigmoid", "linear"];

function activationOf(config: Config, key: string, { hardSigmoid }: Place, otherwise?: string) {
  const name = ACTIVATIONS.get(config.activation(key, otherwise));
  return name === "hardSigmoid" && hardSigmoid[0] !== 0.2 ? undefined : name; // Keras 3 has another one
}

function cellActivation(config: Config, key: string, place: Place, otherwise: string): CellActivation | undefined {
  const name = activationOf(config, key, place, otherwise);
  return name && CELL_ACTIVATIONS.includes(name) ? (name as CellActivation) : undefined;
}

const activationPart = (name: string, activation: ActivationName): Part => ({
  name,
  make: () => new Activation(activation),
});

/** The layer, and its activation as a layer of its own. */
function withActivation(part: Part, { config, name }: KerasLayer, place: Place): Part[] | undefined {
  const activation = activationOf(config, "activation", place);
  if (!activation) return undefined;
  return activation === "linear" ? [part] : [part, activationPart(`${name}_activation`, activation)];
}

/** Weights in the number type of the model. */
function weightsOf({ weights }: KerasLayer, dtype: FloatDtype): Record<string, Tensor> {
  const convert = (data: Tensor["data"]) => (dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data));
  return Object.fromEntries([...weights].map(([name, { data, shape }]) => [name, { data: convert(data), shape }]));
}

/** Whether x has so many axes, as far as the file says. */
function hasRank(place: Place, rank: number): boolean {
  return (place.rank ??= rank) === rank;
}

/** Whether a layer's only axis is the last one. */
function isLastAxis(config: Config, { rank }: Place): boolean {
  const axes = config.integers("axis", -1);
  return axes.length === 1 && (axes[0] === -1 || (rank !== undefined && axes[0] === rank - 1));
}

const channelsLast = (config: Config) => (config.get("data_format") ?? "channels_last") === "channels_last";
/** Whether an option is off. */
const isOff = (config: Config, ...keys: readonly string[]) => keys.every((key) => !config.get(key));

const dense: Convert = (layer, place) => {
  const { dtype } = place;
  const { kernel, bias } = weightsOf(layer, dtype);
  const [inputs, units] = kernel!.shape as [number, number];
  const make = () => new Linear(inputs, units, { bias: bias !== undefined, dtype, seed: 0 });
  const state = present({ weight: permute(kernel!, [1, 0]), bias });
  return withActivation({ name: layer.name, make, state }, layer, place);
};

const embedding: Convert = (layer, place) => {
  const { dtype } = place;
  if (!place.first || layer.config.flag("mask_zero", false)) return undefined;
  if (place.rank !== undefined) place.rank++;
  const { embeddings } = weightsOf(layer, dtype);
  const [count, size] = embeddings!.shape as [number, number];
  const make = () => {
    const own = new Embedding(count, size, { dtype, seed: 0 });
    const forward = (x: Tensor) => own.forward(wholeNumbers("x", x) as Tensor);
    setTraits(own, { ...traitsOf(own), link: { forward, backward: (gradients) => own.backward(gradients) } });
    return own;
  };
  return [{ name: layer.name, make, state: { weight: embeddings! } }];
};

/** A recurrent layer, or both directions of one. */
function recurrentParts(layer: KerasLayer, directions: readonly KerasLayer[], place: Place): Part[] | undefined {
  const [{ config, kind }] = directions as [KerasLayer];
  const { dtype } = place;
  const { cell } = RECURRENT.get(kind)!;
  if (!hasRank(place, 3)) return undefined;
  if (!isOff(config, "stateful", "return_state", "time_major", "dropout", "recurrent_dropout")) return undefined;
  const activation = cellActivation(config, "activation", place, "tanh");
  const recurrentActivation =
    cell === "RNN" ? "sigmoid" : cellActivation(config, "recurrent_activation", place, "hard_sigmoid");
  if (!activation || !recurrentActivation) return undefined;
  const resetAfter = config.flag("reset_after", false);
  const all = directions.map((each) => weightsOf(each, dtype) as unknown as Parameters<typeof toTorch<"keras">>[2]);
  const dicts = all.map((arrays, i) =>
    toTorch("keras", cell, arrays, { reverse: i > 0, ...(cell === "GRU" && { resetAfter }) }),
  );
  const { kernel, recurrent_kernel, bias } = all[0]!;
  const sizes = [kernel.shape[0]!, recurrent_kernel.shape[0]!] as const;
  const options = {
    activation,
    batchFirst: true,
    bias: bias !== undefined,
    bidirectional: directions.length > 1,
    dtype,
    seed: 0,
  };
  const make = () => {
    if (cell === "RNN") return new RNN(...sizes, options);
    if (cell === "LSTM") return new LSTM(...sizes, { ...options, recurrentActivation });
    return new GRU(...sizes, { ...options, recurrentActivation, resetAfter });
  };
  const parts: Part[] = [{ name: layer.name, make, state: Object.assign({}, ...dicts) as Record<string, Tensor> }];
  if (config.flag("return_sequences", false)) return parts;
  place.rank = 2;
  return [...parts, { name: `${layer.name}_last`, make: () => new LastStep() }];
}

const recurrent: Convert = (layer, place) =>
  isOff(layer.config, "go_backwards") ? recurrentParts(layer, [layer], place) : undefined;

/** What both directions of a layer must have in common, with Keras' defaults. */
const COMMON: readonly (readonly [key: string, otherwise: unknown])[] = [
  ["units", undefined],
  ["use_bias", true],
  ["reset_after", false],
  ["return_sequences", false],
  ["return_state", false],
  ["stateful", false],
  ["dropout", 0],
  ["recurrent_dropout", 0],
];

const bidirectional: Convert = (layer, place) => {
  const [a, b] = [layer.inner!, layer.backward!];
  const merging = layer.config.json.merge_mode ?? layer.config.json.mergeMode;
  const isConcat = merging === undefined ? !hasNull(layer.config) : merging === "concat";
  if (!isConcat || a.kind !== b.kind || !isOff(a.config, "go_backwards") || isOff(b.config, "go_backwards")) {
    return undefined;
  }
  if (COMMON.some(([key, otherwise]) => (a.config.get(key) ?? otherwise) !== (b.config.get(key) ?? otherwise))) {
    return undefined;
  }
  for (const [key, otherwise] of [
    ["activation", "tanh"],
    ["recurrent_activation", "hard_sigmoid"],
  ] as const) {
    if (a.config.activation(key, otherwise) !== b.config.activation(key, otherwise)) return undefined;
  }
  return recurrentParts(layer, [a, b], place);
};

/** Whether the directions stay apart: a merge_mode of null. */
const hasNull = ({ json }: Config) => json.merge_mode === null || json.mergeMode === null;

const conv1d: Convert = (layer, place) => {
  const { config, name } = layer;
  const { dtype } = place;
  if (!hasRank(place, 3) || !channelsLast(config)) return undefined;
  const given = config.choice("padding", ["valid", "same", "causal"], "valid");
  const [stride, dilation, groups] = [config.single("strides", 1), config.single("dilation_rate", 1), config.count("groups", 1)]; // prettier-ignore
  const { kernel, bias } = weightsOf(layer, dtype);
  const [taps, width, filters] = kernel!.shape as [number, number, number];
  if ((given === "same" && stride !== 1) || filters % groups !== 0) return undefined;
  const padding = given === "valid" ? 0 : given;
  const options = { stride, padding, dilation, groups, bias: bias !== undefined, batchFirst: true, dtype, seed: 0 };
  const make = () => new Conv1d(width * groups, filters, taps, options);
  return withActivation({ name, make, state: present({ weight: permute(kernel!, [2, 1, 0]), bias }) }, layer, place);
};

const pool =
  (Pool: typeof MaxPool1d | typeof AvgPool1d): Convert =>
  ({ config, name }, place) => {
    const size = config.single("pool_size", 2);
    const stride = config.single("strides", size);
    const isValid = config.choice("padding", ["valid", "same"], "valid") === "valid";
    if (!hasRank(place, 3) || !channelsLast(config) || !isValid) return undefined;
    return [{ name, make: () => new Pool(size, { stride, batchFirst: true }) }];
  };

const overTime =
  (OverTime: typeof MeanOverTime | typeof MaxOverTime): Convert =>
  ({ config, name }, place) => {
    if (!hasRank(place, 3) || !channelsLast(config) || config.flag("keepdims", false)) return undefined;
    place.rank = 2;
    return [{ name, make: () => new OverTime({ batchFirst: true }) }];
  };

/** Whether a layer has both scale and offset, or none. */
const isAffine = ({ weights }: KerasLayer) => weights.has("gamma") === weights.has("beta");

const batchNormalization: Convert = (layer, place) => {
  const { config, name } = layer;
  const { dtype } = place;
  const [eps, momentum] = [config.number("epsilon", 1e-3), config.number("momentum", 0.99)];
  if (!isLastAxis(config, place) || !isAffine(layer) || !config.flag("trainable", true)) return undefined;
  if (!(momentum >= 0 && momentum <= 1 && isOff(config, "renorm"))) return undefined;
  const { gamma, beta, moving_mean, moving_variance } = weightsOf(layer, dtype);
  const make = () =>
    new BatchNorm1d(moving_mean!.shape[0]!, { eps, momentum: 1 - momentum, affine: gamma !== undefined, dtype });
  const counts = { data: new Float64Array(1), shape: [] };
  const state = present({ weight: gamma, bias: beta, running_mean: moving_mean, running_var: moving_variance, num_batches_tracked: counts }); // prettier-ignore
  return [{ name, make, state }];
};

const layerNormalization: Convert = (layer, place) => {
  const { config, name } = layer;
  const { dtype } = place;
  const { gamma, beta } = weightsOf(layer, dtype);
  const eps = config.number("epsilon", 1e-3);
  if (!isLastAxis(config, place) || gamma?.shape.length !== 1 || !beta || eps < 0 || !isOff(config, "rms_scaling")) {
    return undefined;
  }
  const make = () => new LayerNorm(gamma.shape[0]!, { eps, dtype });
  return [{ name, make, state: { weight: gamma, bias: beta } }];
};

const dropout: Convert = ({ config, name }, { dtype, random }) => {
  const rate = config.number("rate");
  if (config.get("noise_shape") !== undefined || !(rate >= 0 && rate <= 1)) return undefined;
  const seed = random.uint32();
  return [{ name, make: () => new Dropout(rate, { dtype, seed }) }];
};

/** One slope, or one for each number of the last axis. */
const prelu: Convert = (layer, { dtype }) => {
  const { alpha } = weightsOf(layer, dtype);
  const count = alpha!.shape[alpha!.shape.length - 1];
  if (count === undefined || count < 1 || alpha!.data.length !== count) return undefined;
  const state = { weight: { data: alpha!.data, shape: [count] } };
  return [{ name: layer.name, make: () => new PReLU(count, { dtype }), state }];
};

/** A layer that is one of our activations if its options are such. */
const activationIf =
  (activation: ActivationName, isSame: (config: Config, place: Place) => boolean): Convert =>
  ({ config, name }, place) =>
    isSame(config, place) ? [activationPart(name, activation)] : undefined;

const timeDistributed: Convert = ({ inner, name }, place) =>
  inner!.kind === "Dense" && (place.rank ?? 3) >= 3 ? dense({ ...inner!, name }, place) : undefined;

/** Layers that do nothing. */
const nothing: Convert = () => [];

const CONVERTERS: ReadonlyMap<string, Convert> = /* @__PURE__ */ new Map<string, Convert>([
  [
    "Activation",
    ({ config, name }, place) => {
      const activation = activationOf(config, "activation", place);
      return activation && [activationPart(name, activation)];
    },
  ],
  ["ActivityRegularization", nothing],
  ["AveragePooling1D", /* @__PURE__ */ pool(AvgPool1d)],
  ["BatchNormalization", batchNormalization],
  ["Bidirectional", bidirectional],
  ["Conv1D", conv1d],
  ["Dense", dense],
  ["Dropout", dropout],
  ["ELU", /* @__PURE__ */ activationIf("elu", (config) => config.number("alpha", 1) === 1)],
  ["Embedding", embedding],
  ["GlobalAveragePooling1D", /* @__PURE__ */ overTime(MeanOverTime)],
  ["GlobalMaxPooling1D", /* @__PURE__ */ overTime(MaxOverTime)],
  ["GRU", recurrent],
  ["Identity", nothing],
  ["LayerNormalization", layerNormalization],
  [
    "LeakyReLU",
    /* @__PURE__ */ activationIf("leakyRelu", (config) => {
      const slope = config.number("alpha", config.number("negative_slope", 0.3));
      return Math.fround(slope) === Math.fround(0.01); // Keras writes it as f32
    }),
  ],
  ["LSTM", recurrent],
  ["MaxPooling1D", /* @__PURE__ */ pool(MaxPool1d)],
  ["PReLU", prelu],
  [
    "ReLU",
    /* @__PURE__ */ activationIf("relu", (config) => isOff(config, "negative_slope", "threshold") && config.get("max_value") === undefined), // prettier-ignore
  ],
  ["SimpleRNN", recurrent],
  ["Softmax", /* @__PURE__ */ activationIf("softmax", isLastAxis)],
  ["TimeDistributed", timeDistributed],
]);

/** The layers of a chain, in their order; undefined where the model is another graph, or has other layers. */
function partsOf({ inputs, calls, outputs }: KerasModel, place: Place): readonly Part[] | undefined {
  const isChain =
    inputs.length === 1 &&
    outputs.length === 1 &&
    outputs[0]!.call === calls.length - 1 &&
    new Set(calls.map(({ layer }) => layer)).size === calls.length &&
    calls.every(({ inputs: from }, i) => from.length === 1 && from[0]!.call === i - 1 && from[0]!.index === 0) &&
    outputs[0]!.index === 0;
  if (!isChain) return undefined;
  place.rank ??= inputs[0]!.shape?.length;
  const all: Part[] = [];
  for (const { layer } of calls) {
    const own = layer.model ? partsOf(layer.model, place) : CONVERTERS.get(layer.kind)?.(layer, place);
    if (!own) return undefined;
    all.push(...own);
    place.first &&= all.length === 0;
  }
  return all;
}

const inputs = /* @__PURE__ */ new WeakMap<Sequential, KerasInput>();

/** The input in the file that a chain was made of; undefined for other chains. */
export function chainInput(chain: Sequential): KerasInput | undefined {
  return inputs.get(chain);
}

/**
 * The model as a chain of this package's layers, in inference mode.
 *
 * @returns undefined where its results, states or masks would be others
 */
export function makeKerasChain(model: KerasModel, dtype: FloatDtype, random: Random): Sequential | undefined {
  const { hardSigmoid } = model;
  const parts = partsOf(model, { dtype, random, hardSigmoid, rank: undefined, first: true });
  if (!parts || parts.length === 0) return undefined;
  const names = parts.map(({ name }) => name);
  // A record puts names such as "1" first.
  const order = Object.keys(Object.fromEntries(names.map((name) => [name, name])));
  if (order.length !== names.length || order.some((name, i) => name !== names[i])) return undefined;
  if (names.some((name) => name === "" || name.includes("."))) return undefined;
  const made: [string, AnyLayer][] = [];
  try {
    for (const { name, make, state } of parts) {
      const layer = make();
      made.push([name, layer]);
      if (state) layer.loadStateDict(state);
    }
    const chain: Sequential = new Sequential<FloatDtype>(Object.fromEntries(made)).eval();
    inputs.set(chain, model.inputs[0]!);
    return chain;
  } catch (error) {
    for (const [, layer] of made) layer.dispose();
    throw error;
  }
}
