// How each layer is written as nodes of an ONNX graph. Sequences have batches: [T,N,...], or with batchFirst [N,T,...].

import { UnsupportedError } from "../../../bindings/errors.js";
import type { CellActivation } from "../../../bindings/recurrent.js";
import type { FloatDtype, Tensor } from "../../../bindings/tensor.js";
import { permute, slice } from "../../base/layout.js";
import { fromTorch } from "../../formats/gates.js";
import type { OnnxAttribute } from "../../formats/onnx/model.js";
import type { Activation } from "../../nn/activation.js";
import type { AdditiveAttention } from "../../nn/additive-attention.js";
import type { BatchNorm1d } from "../../nn/batch-norm.js";
import type { Conv1d } from "../../nn/conv1d.js";
import type { Embedding } from "../../nn/embedding.js";
import { Layer } from "../../nn/layer.js";
import type { LayerNorm } from "../../nn/layer-norm.js";
import type { Linear } from "../../nn/linear.js";
import type { MultiheadAttention } from "../../nn/multihead-attention.js";
import type { LastStep } from "../../nn/over-time.js";
import type { MaxPool1d } from "../../nn/pool.js";
import type { PReLU } from "../../nn/prelu.js";
import { traitsOf } from "../../nn/traits.js";
import type { GRUCell, LSTMCell, RNNCell } from "../../recurrent/cells.js";
import type { GRU, LSTM, RNN } from "../../recurrent/layers.js";
import type { Attributes, Builder, Shape, Value } from "./builder.js";

/** How layers of a class are written. */
export interface Exporter<L> {
  /** The shape of x, where the layer wants sequences, or other axes that are known. */
  readonly input?: (layer: L) => Shape;
  /** Otherwise: the shape of x for an output in a shape. By default the same. */
  readonly inputFor?: (layer: L, output: Shape) => Shape;
  /** Whether x is indices. */
  readonly indices?: boolean;
  /** Writes a layer of a chain. `path` is the beginning of its names: "lstm.". */
  readonly write?: (builder: Builder, layer: L, path: string, x: Value) => Value;
  /** Writes a layer that is alone, where it has other inputs and outputs than x and output. */
  readonly whole?: (
    builder: Builder,
    layer: L,
  ) => { readonly inputs: readonly Value[]; readonly outputs: readonly [string, Value][] };
}

type State = Readonly<Record<string, Tensor>>;

/** Copies of what a layer has, whatever methods the caller has put on it. */
const stateOf = (layer: unknown): State => Layer.prototype.stateDict.call(layer as Layer);

const sequence = ({ batchFirst }: { readonly batchFirst: boolean }, features: number | string = "C"): Shape =>
  batchFirst ? ["N", "T", features] : ["T", "N", features];

/** A shape with another last axis. */
const withLast = (shape: Shape | undefined, last: number | string): Shape | undefined =>
  shape && [...shape.slice(0, -1), last];

const transposed = (weight: Tensor): Tensor => permute(weight, [1, 0]);

/** x W^T + b for x [...,in]. */
function linear(
  builder: Builder,
  path: string,
  x: string,
  weight: Tensor,
  bias: Tensor | undefined,
  name = "",
): string {
  const y = builder.node(path, "MatMul", [x, builder.constant(`${path}${name}weight`, transposed(weight))]);
  return bias ? builder.node(path, "Add", [y, builder.constant(`${path}${name}bias`, bias)]) : y;
}

// --- layers without states -------------------------------------------------------------------------------------------

const linearLayer: Exporter<Linear<FloatDtype>> = {
  inputFor: ({ inFeatures }, output) => withLast(output, inFeatures)!,
  write(builder, layer, path, x) {
    const { weight, bias } = stateOf(layer);
    return { name: linear(builder, path, x.name, weight!, bias), shape: withLast(x.shape, layer.outFeatures) };
  },
};

const embedding: Exporter<Embedding<FloatDtype>> = {
  indices: true,
  inputFor: (_, output) => output.slice(0, -1),
  write(builder, layer, path, { name, shape }) {
    const weight = builder.constant(`${path}weight`, stateOf(layer).weight!);
    return { name: builder.node(path, "Gather", [weight, name]), shape: shape && [...shape, layer.embeddingDim] };
  },
};

const dropout: Exporter<unknown> = { write: (_builder, _layer, _path, x) => x };

/** Operators whose defaults are ours, and attributes of the others. */
const ACTIVATIONS: Readonly<Record<Activation["activation"], readonly [opType: string, attributes?: Attributes]>> = {
  tanh: ["Tanh"],
  relu: ["Relu"],
  sigmoid: ["Sigmoid"],
  hardSigmoid: ["HardSigmoid"],
  elu: ["Elu"],
  leakyRelu: ["LeakyRelu"],
  softmax: ["Softmax", { axis: -1 }],
  logSoftmax: ["LogSoftmax", { axis: -1 }],
  linear: ["Identity"],
};

const activation: Exporter<Activation> = {
  write(builder, layer, path, { name, shape }) {
    const [opType, attributes] = ACTIVATIONS[layer.activation];
    return { name: builder.node(path, opType, [name], attributes), shape };
  },
};

const prelu: Exporter<PReLU<FloatDtype>> = {
  inputFor: ({ numParameters }, output) => (numParameters === 1 ? output : withLast(output, numParameters)!),
  write(builder, layer, path, { name, shape }) {
    const slope = builder.constant(`${path}weight`, stateOf(layer).weight!);
    return { name: builder.node(path, "PRelu", [name, slope]), shape };
  },
};

const layerNorm: Exporter<LayerNorm<FloatDtype>> = {
  inputFor: ({ normalizedShape }, output) => [...output.slice(0, -normalizedShape.length), ...normalizedShape],
  write(builder, layer, path, { name, shape }) {
    builder.need(17, "LayerNorm");
    const { normalizedShape, eps } = layer;
    const size = normalizedShape.reduce((product, n) => product * n, 1);
    const { weight = { data: new Float32Array(size).fill(1), shape: normalizedShape }, bias } = stateOf(layer);
    const inputs = [name, builder.constant(`${path}weight`, weight)];
    if (bias) inputs.push(builder.constant(`${path}bias`, bias));
    const attributes = { axis: -normalizedShape.length, epsilon: { type: "float", value: eps } as const };
    return { name: builder.node(path, "LayerNormalization", inputs, attributes), shape };
  },
};

// As its kernel computes it, not by BatchNormalization: that wants channels second, and rounds eps to f32.
const batchNorm: Exporter<BatchNorm1d<FloatDtype>> = {
  inputFor: ({ numFeatures }, output) => withLast(output, numFeatures)!,
  write(builder, layer, path, { name, shape }) {
    const { weight, bias, running_mean, running_var } = stateOf(layer);
    const rstd = Float64Array.from(running_var!.data, (variance) => 1 / Math.sqrt(variance + layer.eps));
    let y = builder.node(path, "Sub", [name, builder.constant(`${path}running_mean`, running_mean!)]);
    y = builder.node(path, "Mul", [y, builder.constant(`${path}rstd`, { data: rstd, shape: running_var!.shape })]);
    if (weight) y = builder.node(path, "Mul", [y, builder.constant(`${path}weight`, weight)]);
    if (bias) y = builder.node(path, "Add", [y, builder.constant(`${path}bias`, bias)]);
    return { name: y, shape };
  },
};

// --- layers over time ------------------------------------------------------------------------------------------------

/** Writes an operator that wants [N,C,T]. */
function channelsSecond(
  builder: Builder,
  path: string,
  batchFirst: boolean,
  x: string,
  write: (x: string) => string,
): string {
  const y = write(builder.node(path, "Transpose", [x], { perm: batchFirst ? [0, 2, 1] : [1, 2, 0] }));
  return builder.node(path, "Transpose", [y], { perm: batchFirst ? [0, 2, 1] : [2, 0, 1] });
}

/** The shape of a sequence after windows have moved over it. */
function moved(shape: Shape | undefined, batchFirst: boolean, channels: number | undefined, keepsSteps: boolean) {
  return shape?.map((axis, i) => {
    if (i === 2) return channels ?? axis;
    return i === (batchFirst ? 1 : 0) && !keepsSteps ? `${axis}'` : axis;
  });
}

const conv: Exporter<Conv1d<FloatDtype>> = {
  input: (layer) => sequence(layer, layer.inChannels),
  write(builder, layer, path, { name, shape }) {
    const { batchFirst, kernelSize, stride, dilation, groups, padding, outChannels } = layer;
    const { weight, bias } = stateOf(layer);
    const spare = (kernelSize - 1) * dilation;
    const left = padding === "same" ? Math.floor(spare / 2) : padding === "causal" ? spare : padding;
    const right = padding === "same" ? spare - left : padding === "causal" ? 0 : padding;
    const weights = [builder.constant(`${path}weight`, weight!)];
    if (bias) weights.push(builder.constant(`${path}bias`, bias));
    const windows = { kernel_shape: [kernelSize], strides: [stride], dilations: [dilation], pads: [left, right] };
    const y = channelsSecond(builder, path, batchFirst, name, (x) =>
      builder.node(path, "Conv", [x, ...weights], { ...windows, group: groups }),
    );
    return { name: y, shape: moved(shape, batchFirst, outChannels, stride === 1 && left + right === spare) };
  },
};

const pool = (opType: string, attributes: Attributes): Exporter<MaxPool1d> => ({
  input: (layer) => sequence(layer),
  write(builder, layer, path, { name, shape }) {
    const { batchFirst, kernelSize, stride, padding } = layer;
    const windows = { kernel_shape: [kernelSize], strides: [stride], pads: [padding, padding] };
    const y = channelsSecond(builder, path, batchFirst, name, (x) =>
      builder.node(path, opType, [x], { ...windows, ...attributes }),
    );
    return { name: y, shape: moved(shape, batchFirst, undefined, stride === 1 && 2 * padding === kernelSize - 1) };
  },
});

const withoutTime = (shape: Shape | undefined, { batchFirst }: { readonly batchFirst: boolean }): Shape | undefined =>
  shape && [shape[batchFirst ? 0 : 1]!, shape[2]!];

const lastStep: Exporter<LastStep> = {
  input: (layer) => sequence(layer),
  write(builder, layer, path, { name, shape }) {
    const { batchFirst, bidirectional } = layer;
    const step = (x: string, index: number) =>
      builder.node(path, "Gather", [x, builder.int(index)], { axis: batchFirst ? 1 : 0 });
    const rest = withoutTime(shape, layer);
    if (!bidirectional) return { name: step(name, -1), shape: rest };
    const halves: Attributes = builder.opset < 18 ? { axis: 2 } : { axis: 2, num_outputs: 2 };
    const [first, second] = builder.nodes(path, "Split", [name], halves, 2) as [string, string];
    return { name: builder.node(path, "Concat", [step(first, -1), step(second, 0)], { axis: 1 }), shape: rest };
  },
};

const overTime = (opType: "ReduceMean" | "ReduceMax"): Exporter<LastStep> => ({
  input: (layer) => sequence(layer),
  write: (builder, layer, path, { name, shape }) => ({
    name: builder.reduce(path, opType, name, layer.batchFirst ? 1 : 0),
    shape: withoutTime(shape, layer),
  }),
});

// --- recurrent layers ------------------------------------------------------------------------------------------------

type Stack = RNN<FloatDtype> | LSTM<FloatDtype> | GRU<FloatDtype>;
type AnyCell = RNNCell<FloatDtype> | LSTMCell<FloatDtype> | GRUCell<FloatDtype>;

/** The operators' names, and slope and offset of those that take them. */
const CELL_ACTIVATIONS: Readonly<Record<CellActivation, readonly [name: string, slope?: number, offset?: number]>> = {
  tanh: ["Tanh"],
  relu: ["Relu"],
  sigmoid: ["Sigmoid"],
  hardSigmoid: ["HardSigmoid", 0.2, 0.5],
  linear: ["Affine", 1, 0],
};

/** Refuses what the operators do not have, by name. */
function checkExpressible(path: string, state: State): void {
  for (const name of Object.keys(state)) {
    const option = name.startsWith("weight_hr") ? "projSize" : name.startsWith("weight_norm") ? "layerNorm" : undefined;
    if (option) throw new UnsupportedError(path + option, "set", "layers without it: ONNX's operators have none");
  }
}

/** The attributes of a layer's operator. */
function recurrentAttributes(layer: Stack | AnyCell, directions: number): Attributes {
  const { kind, phi, sigma = "sigmoid", psi = phi, resetAfter = false } = traitsOf(layer).cell!;
  const one = { RNN: [phi], LSTM: [sigma, phi, psi], GRU: [sigma, phi] }[kind];
  const all = (directions === 2 ? [...one, ...one] : one).map((each) => CELL_ACTIVATIONS[each]);
  const floats = (at: 1 | 2): OnnxAttribute => ({ type: "floats", value: all.flatMap((each) => each[at] ?? []) });
  const isDefault = one.join() === { RNN: "tanh", LSTM: "sigmoid,tanh,tanh", GRU: "sigmoid,tanh" }[kind];
  return {
    hidden_size: layer.hiddenSize,
    ...(directions === 2 && { direction: "bidirectional" }),
    ...(!isDefault && { activations: all.map(([name]) => name) }),
    // HardSigmoid's are the defaults, and exact then in f64; Affine has none
    ...(one.includes("linear") && { activation_alpha: floats(1), activation_beta: floats(2) }),
    ...(kind === "GRU" && { linear_before_reset: Number(resetAfter) }),
  };
}

/** Adds W, R and B of one layer of a stack. */
function recurrentWeights(builder: Builder, path: string, layer: object, state: State, index: number): string[] {
  const { kind, resetAfter = true } = traitsOf(layer).cell!;
  const options = kind === "GRU" ? { layer: index, resetAfter } : { layer: index };
  const { W, R, B } = fromTorch("onnx", kind, state, options);
  const suffix = `_l${index}`;
  const weights = [builder.constant(`${path}W${suffix}`, W), builder.constant(`${path}R${suffix}`, R)];
  return [...weights, B ? builder.constant(`${path}B${suffix}`, B) : "", ""];
}

/** Writes a stack of layers; h0 and c0 are zeros where they are missing. */
function stack(builder: Builder, layer: Stack, path: string, x: Value, h0?: Value, c0?: Value): Map<string, Value> {
  const { batchFirst, numLayers, directions, hiddenSize } = layer;
  const { cell, goBackwards } = traitsOf(layer);
  const { kind } = cell!;
  const state = stateOf(layer);
  checkExpressible(path, state);
  const attributes = recurrentAttributes(layer, directions);
  let { name: y } = x;
  if (batchFirst) y = builder.node(path, "Transpose", [y], { perm: [1, 0, 2] });
  if (goBackwards) {
    const [start, end] = [builder.ints([-1]), builder.ints([-(2 ** 31)])];
    y = builder.node(path, "Slice", [y, start, end, builder.ints([0]), builder.ints([-1])]);
  }
  const last: Record<"h" | "c", string[]> = { h: [], c: [] };
  for (let i = 0; i < numLayers; i++) {
    const own = (states: Value | undefined): string => {
      if (!states || numLayers === 1) return states?.name ?? "";
      const range = [builder.ints([i * directions]), builder.ints([(i + 1) * directions]), builder.ints([0])];
      return builder.node(path, "Slice", [states.name, ...range]);
    };
    const inputs = [y, ...recurrentWeights(builder, path, layer, state, i), own(h0), own(c0)];
    const [all, h, c] = builder.nodes(path, kind, inputs, attributes, kind === "LSTM" ? 3 : 2) as [
      string,
      string,
      string,
    ];
    last.h.push(h);
    last.c.push(c);
    // [T,directions,N,H] to [T,N,directions*H], after the last layer in the caller's order
    const rowsFirst = batchFirst && i === numLayers - 1;
    if (directions === 1) {
      y = builder.node(path, "Squeeze", [all, builder.ints([1])]);
      if (rowsFirst) y = builder.node(path, "Transpose", [y], { perm: [1, 0, 2] });
    } else {
      y = builder.node(path, "Transpose", [all], { perm: rowsFirst ? [2, 0, 1, 3] : [0, 2, 1, 3] });
      y = builder.node(path, "Reshape", [y, builder.ints([0, 0, directions * hiddenSize])]);
    }
  }
  const joined = (states: readonly string[]) =>
    numLayers === 1 ? states[0]! : builder.node(path, "Concat", states, { axis: 0 });
  const results = new Map<string, Value>([["output", { name: y, shape: withLast(x.shape, directions * hiddenSize) }]]);
  if (h0) results.set("hn", { name: joined(last.h), shape: h0.shape });
  if (c0) results.set("cn", { name: joined(last.c), shape: c0.shape });
  return results;
}

const recurrent: Exporter<Stack> = {
  input: (layer) => sequence(layer, layer.inputSize),
  write: (builder, layer, path, x) => stack(builder, layer, path, x).get("output")!,
  whole(builder, layer) {
    const shape = [layer.numLayers * layer.directions, "N", layer.stateSize];
    const x = { name: "input", shape: sequence(layer, layer.inputSize) };
    const states = stateNames(layer).map((name) => ({ name, shape }));
    return { inputs: [x, ...states], outputs: [...stack(builder, layer, "", x, ...states)] };
  },
};

const stateNames = (layer: object): string[] => (traitsOf(layer).cell!.kind === "LSTM" ? ["h0", "c0"] : ["h0"]);

/** A cell is the operator over one step. */
const cell: Exporter<AnyCell> = {
  whole(builder, layer) {
    const { kind } = traitsOf(layer).cell!;
    const { inputSize, hiddenSize } = layer;
    const first = builder.ints([0]);
    const x = { name: "input", shape: ["N", inputSize] };
    const states = stateNames(layer).map((name) => ({ name, shape: ["N", hiddenSize] }));
    const [step, ...before] = [x, ...states].map(({ name }) => builder.node("", "Unsqueeze", [name, first]));
    const state = Object.fromEntries(Object.entries(stateOf(layer)).map(([name, tensor]) => [`${name}_l0`, tensor]));
    const inputs = [step!, ...recurrentWeights(builder, "", layer, state, 0), ...before];
    const [, ...after] = builder.nodes("", kind, inputs, recurrentAttributes(layer, 1), 1 + states.length);
    const outputs = after.map((name, i): [string, Value] => {
      const next = builder.node("", "Squeeze", [name, first]);
      return [["hn", "cn"][i]!, { name: next, shape: states[i]!.shape }];
    });
    return { inputs: [x, ...states], outputs };
  },
};

// --- attention -------------------------------------------------------------------------------------------------------

/** Writes attention from queries to keys. Returns the output, and the weights of all heads. */
function attend(
  builder: Builder,
  layer: MultiheadAttention<FloatDtype>,
  path: string,
  query: string,
  key: string,
  value: string,
) {
  const { batchFirst, embedDim, numHeads } = layer;
  const state = stateOf(layer);
  const size = embedDim / numHeads;
  /** The projection by a third of the weights, times a factor, in heads. */
  const project = (x: string, third: number, perm: readonly number[], factor?: number): string => {
    const part = (tensor: Tensor | undefined) => tensor && slice(tensor, third * embedDim, embedDim);
    const [weight, bias] = [part(state.in_proj_weight)!, part(state.in_proj_bias)];
    let y = linear(builder, path, x, weight, bias, `${["q", "k", "v"][third]}_`);
    if (factor !== undefined) {
      y = builder.node(path, "Mul", [y, builder.constant(`${path}scale`, { data: [factor], shape: [] })]);
    }
    const heads = builder.node(path, "Reshape", [y, builder.ints([0, 0, numHeads, size])]);
    return builder.node(path, "Transpose", [heads], { perm });
  };
  const q = project(query, 0, batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3], 1 / Math.sqrt(size));
  const k = project(key, 1, batchFirst ? [0, 2, 3, 1] : [1, 2, 3, 0]);
  const weights = builder.node(path, "Softmax", [builder.node(path, "MatMul", [q, k])], { axis: -1 });
  const v = project(value, 2, batchFirst ? [0, 2, 1, 3] : [1, 2, 0, 3]);
  const context = builder.node(path, "MatMul", [weights, v]);
  const rows = builder.node(path, "Transpose", [context], { perm: batchFirst ? [0, 2, 1, 3] : [2, 0, 1, 3] });
  const joined = builder.node(path, "Reshape", [rows, builder.ints([0, 0, embedDim])]);
  const output = linear(builder, path, joined, state["out_proj.weight"]!, state["out_proj.bias"], "out_proj.");
  return { output, weights };
}

const multihead: Exporter<MultiheadAttention<FloatDtype>> = {
  input: (layer) => sequence(layer, layer.embedDim),
  write: (builder, layer, path, { name, shape }) => ({
    name: attend(builder, layer, path, name, name, name).output,
    shape,
  }),
  whole(builder, layer) {
    const query = { name: "query", shape: sequence(layer, layer.embedDim) };
    const others = ["key", "value"].map((name) => {
      const shape = query.shape.map((axis) => (axis === "T" ? "S" : axis));
      return { name, shape };
    });
    const { output, weights } = attend(builder, layer, "", "query", "key", "value");
    const mean = builder.reduce("", "ReduceMean", weights, 1);
    return {
      inputs: [query, ...others],
      outputs: [
        ["output", { name: output, shape: query.shape }],
        ["weights", { name: mean, shape: ["N", "T", "S"] }],
      ],
    };
  },
};

const additive: Exporter<AdditiveAttention<FloatDtype>> = {
  whole(builder, layer) {
    const { batchFirst, querySize, keySize } = layer;
    const { weight_query, weight_key, bias, v } = stateOf(layer);
    const query = { name: "query", shape: ["N", querySize] };
    const keys = { name: "keys", shape: sequence(layer, keySize) };
    let q = linear(builder, "", query.name, weight_query!, undefined, "query_");
    if (batchFirst) q = builder.node("", "Unsqueeze", [q, builder.ints([1])]);
    const k = linear(builder, "", keys.name, weight_key!, bias, "key_");
    const hidden = builder.node("", "Tanh", [builder.node("", "Add", [q, k])]);
    let scores = builder.node("", "MatMul", [hidden, builder.constant("v", v!)]);
    let rows = keys.name;
    if (!batchFirst) {
      scores = builder.node("", "Transpose", [scores], { perm: [1, 0] });
      rows = builder.node("", "Transpose", [rows], { perm: [1, 0, 2] });
    }
    const weights = builder.node("", "Softmax", [scores], { axis: -1 });
    const row = builder.node("", "Unsqueeze", [weights, builder.ints([1])]);
    const sum = builder.node("", "Squeeze", [builder.node("", "MatMul", [row, rows]), builder.ints([1])]);
    return {
      inputs: [query, keys],
      outputs: [
        ["output", { name: sum, shape: ["N", keySize] }],
        ["weights", { name: weights, shape: ["N", "T"] }],
      ],
    };
  },
};

/** By the names of the classes. */
export const EXPORTERS: ReadonlyMap<string | undefined, Exporter<never>> = /* @__PURE__ */ new Map<
  string | undefined,
  Exporter<never>
>([
  ["Linear", linearLayer],
  ["Embedding", embedding],
  ["Dropout", dropout],
  ["Activation", activation],
  ["PReLU", prelu],
  ["LayerNorm", layerNorm],
  ["BatchNorm1d", batchNorm],
  ["Conv1d", conv],
  ["MaxPool1d", /* @__PURE__ */ pool("MaxPool", {})],
  ["AvgPool1d", /* @__PURE__ */ pool("AveragePool", { count_include_pad: 1 })],
  ["LastStep", lastStep],
  ["MeanOverTime", /* @__PURE__ */ overTime("ReduceMean")],
  ["MaxOverTime", /* @__PURE__ */ overTime("ReduceMax")],
  ["RNN", recurrent],
  ["LSTM", recurrent],
  ["GRU", recurrent],
  ["RNNCell", cell],
  ["LSTMCell", cell],
  ["GRUCell", cell],
  ["MultiheadAttention", multihead],
  ["AdditiveAttention", additive],
]);
