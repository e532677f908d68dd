// A chain of this package's layers as the description of a Keras model.

import { UnsupportedError } from "../../../bindings/errors.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { permute } from "../../base/layout.js";
import { Config, type Json } from "../../formats/keras/config.js";
import type { KerasLayer, KerasModel } from "../../formats/keras/description.js";
import { fromTorch } from "../../formats/gates.js";
import { HARD_SIGMOID } from "../../formats/keras/tfjs.js";
import type { Activation } from "../../nn/activation.js";
import type { BatchNorm1d } from "../../nn/batch-norm.js";
import type { Conv1d } from "../../nn/conv1d.js";
import type { Dropout } from "../../nn/dropout.js";
import type { Embedding } from "../../nn/embedding.js";
import { Layer } from "../../nn/layer.js";
import type { LayerNorm } from "../../nn/layer-norm.js";
import type { Linear } from "../../nn/linear.js";
import type { LastStep } from "../../nn/over-time.js";
import type { AvgPool1d, MaxPool1d } from "../../nn/pool.js";
import type { PReLU } from "../../nn/prelu.js";
import type { Sequential } from "../../nn/sequential.js";
import { traitsOf } from "../../nn/traits.js";
import type { GRU, LSTM, RNN } from "../../recurrent/layers.js";
import { chainInput } from "./chain.js";
import { distinct } from "./names.js";

/** A layer of Keras, whose name is not its last one yet. */
interface Draft {
  readonly name: string;
  readonly kind: string;
  readonly config: Json;
  readonly weights?: Readonly<Record<string, Tensor | undefined>>;
  readonly inner?: Draft;
  readonly backward?: Draft;
}

/** One layer of a chain. */
interface Link<L> {
  readonly name: string;
  readonly layer: L;
  /** The name in errors. */
  readonly where: string;
  /** Whether sequences come in, which has a say in the shape of weights. */
  readonly sequences: boolean;
  /** The LastStep right after. */
  readonly last: LastStep | undefined;
}

/** How layers of a class are written. */
interface Writer<L> {
  write(link: Link<L>): readonly Draft[];
  /** The size of the last axis of x; undefined where it may be any. */
  readonly width?: (layer: L) => number | undefined;
  /** Whether x is sequences. */
  readonly sequences?: boolean;
}

type State = Readonly<Record<string, Tensor>>;

/** Copies of what a layer has, whatever methods the caller has put on it. */
const stateOf = (layer: unknown): State => Layer.prototype.stateDict.call(layer as Layer);

/** Keras' names of activations. */
const ACTIVATIONS: Readonly<Record<string, string>> = { hardSigmoid: "hard_sigmoid", logSoftmax: "log_softmax" };
const activationName = (name: string): string => ACTIVATIONS[name] ?? name;

function refuse(where: string, received: string, expected: string): never {
  throw new UnsupportedError(where, received, expected);
}

const linear: Writer<Linear<FloatDtype>> = {
  width: ({ inFeatures }) => inFeatures,
  write({ name, layer }) {
    const { weight, bias } = stateOf(layer);
    const config = { units: layer.outFeatures, activation: "linear", use_bias: bias !== undefined };
    return [{ name, kind: "Dense", config, weights: { kernel: permute(weight!, [1, 0]), bias } }];
  },
};

const embedding: Writer<Embedding<FloatDtype>> = {
  write({ name, layer }) {
    const config = { input_dim: layer.numEmbeddings, output_dim: layer.embeddingDim, mask_zero: false };
    return [{ name, kind: "Embedding", config, weights: { embeddings: stateOf(layer).weight } }];
  },
};

const activation: Writer<Activation> = {
  write({ name, layer }) {
    if (layer.activation === "leakyRelu") return [{ name, kind: "LeakyReLU", config: { alpha: 0.01 } }];
    return [{ name, kind: "Activation", config: { activation: activationName(layer.activation) } }];
  },
};

const dropout: Writer<Dropout<FloatDtype>> = {
  write: ({ name, layer }) => [{ name, kind: "Dropout", config: { rate: layer.p } }],
};

const prelu: Writer<PReLU<FloatDtype>> = {
  width: ({ numParameters }) => (numParameters === 1 ? undefined : numParameters),
  write({ name, layer, sequences }) {
    const { data } = stateOf(layer).weight!;
    const one = layer.numParameters === 1;
    const shape = sequences ? [1, data.length] : [data.length];
    const shared = [...(sequences ? [1] : []), ...(one ? [shape.length] : [])];
    return [{ name, kind: "PReLU", config: { shared_axes: shared }, weights: { alpha: { data, shape } } }];
  },
};

const layerNorm: Writer<LayerNorm<FloatDtype>> = {
  width: ({ normalizedShape }) => normalizedShape.at(-1),
  write({ name, where, layer }) {
    const { normalizedShape, eps } = layer;
    if (normalizedShape.length > 1) refuse(where, `${normalizedShape.length} axes`, "LayerNorm over the last axis");
    const { weight, bias } = stateOf(layer);
    const affine = weight !== undefined;
    const config = { axis: [-1], epsilon: eps, center: affine, scale: affine };
    return [{ name, kind: "LayerNormalization", config, weights: { gamma: weight, beta: bias } }];
  },
};

const batchNorm: Writer<BatchNorm1d<FloatDtype>> = {
  width: ({ numFeatures }) => numFeatures,
  write({ name, where, layer }) {
    const { eps, momentum } = layer;
    if (momentum === null) refuse(`${where}.momentum`, "null", "a number");
    const { weight, bias, running_mean, running_var } = stateOf(layer);
    const affine = weight !== undefined;
    const config = { axis: -1, momentum: 1 - momentum, epsilon: eps, center: affine, scale: affine };
    const weights = { gamma: weight, beta: bias, moving_mean: running_mean, moving_variance: running_var };
    return [{ name, kind: "BatchNormalization", config, weights }];
  },
};

const conv: Writer<Conv1d<FloatDtype>> = {
  width: ({ inChannels }) => inChannels,
  sequences: true,
  write({ name, where, layer }) {
    const { kernelSize, stride, dilation, groups, outChannels } = layer;
    let { padding } = layer;
    if (typeof padding === "number" && padding > 0 && stride === 1 && 2 * padding === (kernelSize - 1) * dilation) {
      padding = "same";
    }
    if (typeof padding === "number" && padding > 0) refuse(`${where}.padding`, `${padding}`, '0, "same" or "causal"');
    const { weight, bias } = stateOf(layer);
    const config = {
      filters: outChannels,
      kernel_size: [kernelSize],
      strides: [stride],
      padding: padding === 0 ? "valid" : padding,
      data_format: "channels_last",
      dilation_rate: [dilation],
      ...(groups > 1 && { groups }),
      activation: "linear",
      use_bias: bias !== undefined,
    };
    return [{ name, kind: "Conv1D", config, weights: { kernel: permute(weight!, [2, 1, 0]), bias } }];
  },
};

const pool = (kind: string): Writer<MaxPool1d | AvgPool1d> => ({
  sequences: true,
  write({ name, where, layer }) {
    const { kernelSize, stride, padding } = layer;
    if (padding > 0) refuse(`${where}.padding`, `${padding}`, "0");
    const config = { pool_size: [kernelSize], strides: [stride], padding: "valid", data_format: "channels_last" };
    return [{ name, kind, config }];
  },
});

const overTime = (kind: string): Writer<unknown> => ({
  sequences: true,
  write: ({ name }) => [{ name, kind, config: { data_format: "channels_last" } }],
});

const KINDS = { RNN: "SimpleRNN", LSTM: "LSTM", GRU: "GRU" } as const;

/** One layer of Keras for each of the stack, and dropout between them. */
const recurrent: Writer<RNN<FloatDtype> | LSTM<FloatDtype> | GRU<FloatDtype>> = {
  width: ({ inputSize }) => inputSize,
  sequences: true,
  write({ name, where, layer, last }) {
    const { cell, goBackwards = false, carried, dropouts } = traitsOf(layer);
    const { kind, phi, sigma, resetAfter = false } = cell!;
    const { dropout, recurrentDropout } = dropouts!;
    const state = stateOf(layer);
    const has = (part: string) => Object.keys(state).some((key) => key.startsWith(part));
    const both = layer.directions > 1;
    if (has("weight_hr")) refuse(`${where}.projSize`, `${layer.stateSize}`, "0");
    if (has("weight_norm")) refuse(`${where}.layerNorm`, "true", "false");
    if (carried) refuse(`${where}.stateful`, "true", "false: Keras' stateful layers are for one batch size");
    if (both && goBackwards) refuse(`${where}.goBackwards`, "true", "false, of a bidirectional layer");
    if (kind === "GRU" && recurrentDropout > 0) refuse(`${where}.recurrentDropout`, `${recurrentDropout}`, "0, of a GRU"); // prettier-ignore
    if (last && last.bidirectional !== both) refuse(where, `a LastStep with bidirectional ${last.bidirectional}`, `${both}`); // prettier-ignore
    const useBias = has("bias_ih");
    const configOf = (index: number): Json => ({
      units: layer.hiddenSize,
      activation: activationName(phi),
      ...(kind !== "RNN" && { recurrent_activation: activationName(sigma ?? "sigmoid") }),
      use_bias: useBias,
      recurrent_dropout: recurrentDropout,
      ...(resetAfter && { reset_after: true }),
      return_sequences: index < layer.numLayers - 1 || last === undefined,
      go_backwards: goBackwards,
    });
    const drafts: Draft[] = [];
    for (let i = 0; i < layer.numLayers; i++) {
      const options = { layer: i, ...(kind === "GRU" && { resetAfter }) };
      const [forward, backward] = [false, true].slice(0, layer.directions).map((reverse): Draft => {
        const weights = fromTorch("keras", kind, state, { ...options, reverse });
        const config = { ...configOf(i), ...(reverse && { go_backwards: true }) };
        return { name: i === 0 ? name : `${name}_${i}`, kind: KINDS[kind], config, weights: { ...weights } };
      });
      if (i > 0 && dropout > 0) drafts.push({ name: `${name}_dropout`, kind: "Dropout", config: { rate: dropout } });
      if (!backward) drafts.push(forward!);
      else drafts.push({ name: forward!.name, kind: "Bidirectional", config: { merge_mode: "concat" }, inner: forward!, backward }); // prettier-ignore
    }
    return drafts;
  },
};

/** By the names of the classes; LastStep is part of the recurrent layer before it. */
const WRITERS: ReadonlyMap<string | undefined, Writer<never>> = /* @__PURE__ */ new Map<
  string | undefined,
  Writer<never>
>([
  ["Activation", activation],
  ["AvgPool1d", /* @__PURE__ */ pool("AveragePooling1D")],
  ["BatchNorm1d", batchNorm],
  ["Conv1d", conv],
  ["Dropout", dropout],
  ["Embedding", embedding],
  ["GRU", recurrent],
  ["LayerNorm", layerNorm],
  ["Linear", linear],
  ["LSTM", recurrent],
  ["MaxOverTime", /* @__PURE__ */ overTime("GlobalMaxPooling1D")],
  ["MaxPool1d", /* @__PURE__ */ pool("MaxPooling1D")],
  ["MeanOverTime", /* @__PURE__ */ overTime("GlobalAveragePooling1D")],
  ["PReLU", prelu],
  ["RNN", recurrent],
]);

/** The layers of a chain of chains, in the order in which they run. */
function layersOf(model: object, path: string): { name: string; layer: object; where: string }[] {
  return traitsOf(model).layers!.flatMap(({ name, layer }) => {
    const own = path === "" ? name : `${path}.${name}`;
    return traitsOf(layer).layers ? layersOf(layer, own) : [{ name: own, layer, where: `layers.${own}` }];
  });
}

/** A name that Keras takes: lists of layers have numbers, and paths are joined. */
const nameOf = ({ name, kind }: Draft): string =>
  (/^\d/.test(name) ? `${kind.toLowerCase()}_${name}` : name).replace(/[./]/g, "_");

function layerOf(draft: Draft, name: string): KerasLayer {
  const weights = Object.entries(draft.weights ?? {}).filter((entry): entry is [string, Tensor] => !!entry[1]);
  const named = (each: Draft | undefined) => each && layerOf({ ...each, config: { ...each.config, name } }, name);
  return {
    name,
    kind: draft.kind,
    config: new Config(`layer ${name}`, draft.config),
    weights: new Map(weights),
    inner: named(draft.inner),
    backward: named(draft.backward),
  };
}

/** The shape of x, batch first: sequences where a layer of the chain wants them. */
function inputShape(links: readonly { kind: string | undefined; layer: object }[]): (number | null)[] {
  if (links[0]!.kind === "Embedding") return [null, null];
  const writers = links.map(({ kind, layer }) => ({ writer: WRITERS.get(kind), layer: layer as never }));
  const sized = writers.map(({ writer, layer }) => writer?.width?.(layer)).find((width) => width !== undefined);
  return [null, ...(writers.some(({ writer }) => writer?.sequences) ? [null] : []), sized ?? null];
}

/**
 * A chain of layers as a Keras model, which takes and gives batches first.
 *
 * @throws UnsupportedError naming a layer that Keras does not have; DisposedError
 */
export function describeChain(model: Sequential): KerasModel {
  const links = layersOf(model, "").map((each) => ({ ...each, kind: Layer.kindOf(each.layer) }));
  const input = chainInput(model);
  const shape = input?.shape ?? inputShape(links);
  const lastOf = (i: number) => (links[i]?.kind === "LastStep" ? (links[i].layer as LastStep) : undefined);
  const endOfTime = (i: number) =>
    links.slice(0, i).some(({ layer }) => traitsOf(layer).endsTime === true) || shape.length + Number(links[0]!.kind === "Embedding") < 3; // prettier-ignore
  const drafts = links.flatMap(({ name, layer, where, kind }, i): readonly Draft[] => {
    if (kind === "LastStep" && traitsOf(links[i - 1]?.layer ?? {}).cell) return [];
    const writer = WRITERS.get(kind);
    if (!writer) refuse(where, kind ?? describe(layer), "a layer that Keras has");
    return writer.write({ name, layer: layer as never, where, sequences: !endOfTime(i), last: lastOf(i + 1) });
  });
  const names = distinct(drafts.map(nameOf));
  const layers = drafts.map((draft, i) => layerOf(draft, names[i]!));
  return {
    name: "sequential",
    inputs: [{ name: distinct([...names, input?.name ?? `${names[0]}_input`]).at(-1)!, shape }],
    calls: layers.map((layer, i) => ({ layer, inputs: [{ call: i - 1, index: 0 }] })),
    outputs: [{ call: layers.length - 1, index: 0 }],
    outputNames: [names.at(-1)!],
    hardSigmoid: HARD_SIGMOID,
    zeroMasked: false,
  };
}
