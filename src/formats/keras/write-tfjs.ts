// Writes the model.json and the weights of a Layers model of TensorFlow.js.

import type { Tensor } from "../../../bindings/tensor.js";
import { get, type Json } from "./config.js";
import type { KerasLayer, KerasModel, KerasResult } from "./description.js";

/** The keys of configurations that mean something to a class in TensorFlow.js, beside name and trainable. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  Activation: ["activation"],
  AlphaDropout: ["rate", "seed"],
  BatchNormalization: ["axis", "momentum", "epsilon", "center", "scale"],
  Bidirectional: ["merge_mode"],
  Concatenate: ["axis"],
  Conv1D: ["filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation", "use_bias", "groups"], // prettier-ignore
  Cropping1D: ["cropping"],
  Dense: ["units", "activation", "use_bias"],
  Dot: ["axes", "normalize"],
  Dropout: ["rate", "noise_shape", "seed"],
  ELU: ["alpha"],
  Embedding: ["input_dim", "output_dim", "mask_zero", "input_length"],
  Flatten: ["data_format"],
  GaussianDropout: ["rate"],
  GaussianNoise: ["stddev"],
  LayerNormalization: ["axis", "epsilon", "center", "scale"],
  LeakyReLU: ["alpha", "negative_slope"],
  Masking: ["mask_value"],
  Permute: ["dims"],
  PReLU: ["shared_axes"],
  ReLU: ["max_value", "negative_slope", "threshold"],
  RepeatVector: ["n"],
  Reshape: ["target_shape"],
  Softmax: ["axis"],
  SpatialDropout1D: ["rate", "seed"],
  ThresholdedReLU: ["theta"],
  UpSampling1D: ["size"],
  ZeroPadding1D: ["padding"],
  Attention: ["use_scale", "score_mode", "dropout", "causal"],
  AdditiveAttention: ["use_scale", "dropout", "causal"],
};
const POOL = ["pool_size", "strides", "padding", "data_format"];
const RECURRENT = ["units", "activation", "recurrent_activation", "use_bias", "dropout", "recurrent_dropout", "reset_after", "return_sequences", "return_state", "go_backwards", "stateful", "unroll"]; // prettier-ignore
const MORE: Readonly<Record<string, readonly string[]>> = {
  MaxPooling1D: POOL,
  AveragePooling1D: POOL,
  GlobalMaxPooling1D: ["data_format"],
  GlobalAveragePooling1D: ["data_format"],
  SimpleRNN: RECURRENT,
  LSTM: RECURRENT,
  GRU: RECURRENT,
};

/** The names of TensorFlow.js for activations whose names have several words. */
const ACTIVATIONS: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["hardsigmoid", "hard_sigmoid"],
  ["gelunew", "gelu_new"],
  ["logsoftmax", "log_softmax"],
  ["silu", "swish"],
]);

function configOf(layer: KerasLayer, name: string): Json {
  const { kind, config } = layer;
  const own: Record<string, unknown> = { name, trainable: config.flag("trainable", true) };
  for (const key of KEYS[kind] ?? MORE[kind] ?? []) {
    const value =
      key === "merge_mode" ? (config.json.merge_mode ?? config.json.mergeMode ?? "concat") : get(config.json, key);
    if (value === undefined) continue;
    if (key.endsWith("activation")) {
      const activation = config.activation(key);
      own[key] = ACTIVATIONS.get(activation) ?? activation;
    } else own[key] = value;
  }
  if (kind === "LeakyReLU" && own.alpha === undefined && own.negative_slope !== undefined)
    own.alpha = own.negative_slope;
  delete own[kind === "LeakyReLU" ? "negative_slope" : ""];
  const merged = config.json.merge_mode === null || config.json.mergeMode === null;
  if (kind === "Bidirectional" && merged) own.merge_mode = null;
  if (layer.inner) {
    const innerName = layer.inner.config.get("name");
    const inner = typeof innerName === "string" ? innerName : `${name}_layer`;
    own.layer = layer.inner.model
      ? { class_name: "Model", config: modelConfig(layer.inner.model) }
      : { class_name: layer.inner.kind, config: configOf(layer.inner, inner) };
  }
  return own;
}

/** A functional model, whatever it was. Each call of a layer is one of its nodes. */
function modelConfig(model: KerasModel): Json {
  const nodes = new Map<KerasLayer, KerasResult[][]>();
  const nodeOf = model.calls.map(({ layer, inputs }) => {
    const own = nodes.get(layer);
    if (own) return own.push([...inputs]) - 1;
    nodes.set(layer, [[...inputs]]);
    return 0;
  });
  const reference = ({ call, index }: KerasResult) =>
    call < 0 ? [model.inputs[-1 - call]!.name, 0, 0] : [model.calls[call]!.layer.name, nodeOf[call]!, index];
  const inputs = model.inputs.map(({ name, shape }) => ({
    name,
    class_name: "InputLayer",
    config: { batch_input_shape: shape ?? [null], dtype: "float32", sparse: false, name },
    inbound_nodes: [],
  }));
  const layers = [...nodes].map(([layer, calls]) => ({
    name: layer.name,
    class_name: layer.kind,
    config: layer.model ? { ...modelConfig(layer.model), name: layer.name } : configOf(layer, layer.name),
    inbound_nodes: calls.map((each) => each.map((input) => [...reference(input), {}])),
  }));
  return {
    name: model.name,
    layers: [...inputs, ...layers],
    input_layers: model.inputs.map(({ name }) => [name, 0, 0]),
    output_layers: model.outputs.map(reference),
  };
}

/**
 * The files of a model.
 *
 * @param weights by their names, in f32
 */
export function writeTfjs(model: KerasModel, weights: ReadonlyMap<string, Tensor>): { json: Json; bytes: Uint8Array } {
  const entries = [...weights].map(([name, { data, shape }]) => ({ name, shape: [...shape], dtype: "float32", data }));
  const numbers = new Float32Array(entries.reduce((sum, { data }) => sum + data.length, 0));
  let next = 0;
  for (const { data } of entries) {
    numbers.set(data, next);
    next += data.length;
  }
  const json = {
    modelTopology: { class_name: "Model", config: modelConfig(model), keras_version: "tfjs-layers 4.22.0", backend: "tensor_flow.js" }, // prettier-ignore
    format: "layers-model",
    generatedBy: "wasm-rnn",
    convertedBy: null,
    weightsManifest: [
      { paths: ["weights.bin"], weights: entries.map(({ name, shape, dtype }) => ({ name, shape, dtype })) },
    ],
  };
  return { json, bytes: new Uint8Array(numbers.buffer) };
}
