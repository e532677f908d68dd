// Reads files of Neural Amp Modeler: sizes in config, all numbers of the model in one list. The order is that of NAM/lstm.cpp and
// NAM/wavenet.cpp of https://github.com/sdatkinson/NeuralAmpModelerCore.

import { FormatError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { GATES } from "../../../bindings/recurrent.js";
import { describe, sizeOf, zeros, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { bytesOf, isBytes } from "../arrays.js";
import { toTorch } from "../gates.js";
import { hinted, identify, identifyJson } from "../identify.js";
import { parseJson } from "../json.js";
import { decodeUtf8 } from "../utf8.js";
import {
  assemble,
  checkLayerCount,
  type NetworkDescription,
  type StreamingLayer,
  type WaveNetBlock,
} from "./description.js";
import { array, record, size } from "./json.js";

const EXPECTED = "JSON of NAM (Neural Amp Modeler)";

/**
 * The network of a file.
 *
 * @param given the parsed file, or its bytes
 * @throws FormatError, ShapeError, UnsupportedError
 */
export function readNam(given: unknown, dtype: FloatDtype): NetworkDescription {
  const file = parsed(given);
  const { architecture } = file;
  const config = record("config", file.config);
  const weights = new Weights(array("weights", file.weights), dtype);
  const network = architecture === "LSTM" ? readLstm(config, weights) : architecture === "WaveNet" ? readWaveNet(config, weights) : undefined; // prettier-ignore
  if (!network) throw new UnsupportedError("architecture", describe(architecture), '"LSTM" or "WaveNet"');
  weights.end();
  return assemble(dtype, network.inputSize, network.layers, { path: "skip", count: 0 });
}

function parsed(given: unknown): Readonly<Record<string, unknown>> {
  let json = given;
  if (isBytes(given)) {
    const bytes = bytesOf("json", given);
    const kind = identify(bytes);
    if (kind && !kind.name.includes("JSON"))
      throw new FormatError("json", `bytes of ${kind.name}`, hinted(EXPECTED, kind));
    json = parseJson("json", decodeUtf8(bytes, "json"), EXPECTED);
  } else if (typeof given === "string") throw new FormatError("json", "a string", `${EXPECTED}, parsed, or its bytes`);
  const file = record("json", json);
  const kind = identifyJson(file);
  if (kind && kind.name !== EXPECTED) throw new FormatError("json", kind.name, hinted(EXPECTED, kind));
  return file;
}

/** The file's list of numbers, taken from its start. */
class Weights {
  #next = 0;

  constructor(
    readonly list: readonly unknown[],
    readonly dtype: FloatDtype,
  ) {}

  /** The next numbers, in a shape whose sizes come from the file: they are compared with the length of the list first. */
  take(...shape: readonly number[]): Tensor {
    const count = sizeOf(shape);
    const left = this.list.length - this.#next;
    if (!(count <= left)) {
      throw new ShapeError("weights", `${this.list.length} numbers`, `at least ${this.#next + count}, as config says`);
    }
    const values: number[] = []; // no memory by the length alone: a list with holes ends at its first
    for (let i = 0; i < count; i++) {
      const at = this.#next + i;
      const value = this.list[at];
      if (typeof value !== "number") throw new FormatError(`weights[${at}]`, describe(value), "a number");
      const rounded = this.dtype === "f64" ? value : Math.fround(value);
      if (!Number.isFinite(rounded)) {
        throw new FormatError(`weights[${at}]`, describe(value), `a number that is finite in ${this.dtype}`);
      }
      values.push(rounded);
    }
    this.#next += count;
    return { data: this.dtype === "f64" ? Float64Array.from(values) : Float32Array.from(values), shape };
  }

  end(): void {
    if (this.#next === this.list.length) return;
    throw new ShapeError("weights", `${this.list.length} numbers`, `${this.#next}, as config says`);
  }
}

type Config = Readonly<Record<string, unknown>>;
type Read = { inputSize: number; layers: StreamingLayer[] };

/** Per layer W [4H,in+H], b [4H], h0 [H], c0 [H]; then the head's weight [H] and bias. */
function readLstm(config: Config, weights: Weights): Read {
  const inputSize = size("config.input_size", config.input_size);
  const h = size("config.hidden_size", config.hidden_size);
  const numLayers = size("config.num_layers", config.num_layers);
  checkLayerCount("config.num_layers", numLayers);
  const state: Record<string, Tensor> = {};
  const first = { h0: [] as Tensor[], c0: [] as Tensor[] };
  for (let layer = 0; layer < numLayers; layer++) {
    const width = layer === 0 ? inputSize : h;
    const W = weights.take(GATES.LSTM * h, width + h);
    const b = weights.take(GATES.LSTM * h);
    Object.assign(state, toTorch("nam", "LSTM", { W, b }, { layer }));
    first.h0.push(weights.take(h));
    first.c0.push(weights.take(h));
  }
  const stacked = (parts: readonly Tensor[]): Tensor => {
    const data = zeros(weights.dtype, numLayers * h);
    parts.forEach((part, i) => data.set(part.data, i * h));
    return { data, shape: [numLayers, 1, h] };
  };
  const initial = { h0: stacked(first.h0), c0: stacked(first.c0) };
  const head: StreamingLayer = { type: "dense", weight: weights.take(1, h), bias: weights.take(1) };
  return { inputSize, layers: [{ type: "LSTM", inputSize, hiddenSize: h, numLayers, state, initial }, head] };
}

/** The names of activations that this package has for elements. */
const ACTIVATIONS: Readonly<Record<string, WaveNetBlock["activation"]>> = {
  Tanh: "tanh",
  ReLU: "relu",
  Sigmoid: "sigmoid",
};

/** Keys of a stack of the first version of the format. Later ones have more, which change what is computed. */
const BLOCK_KEYS = [
  ...["input_size", "condition_size", "head_size", "channels", "kernel_size"],
  ...["dilations", "activation", "gated", "head_bias"],
];

/**
 * Per stack: rechannel [channels,in]; per layer the convolution [channels (twice with a gate),channels,taps] and its bias, mixin [..,1], the
 * output [channels,channels] and its bias; the head's [head,channels] and, if it has one, its bias. Last a scale.
 */
function readWaveNet(config: Config, weights: Weights): Read {
  for (const name of ["head", "condition_dsp"]) {
    const part = config[name];
    if (part !== undefined && part !== null) throw new UnsupportedError(`config.${name}`, describe(part), "none");
  }
  const listed = array("config.layers", config.layers);
  checkLayerCount("config.layers", listed.length);
  const blocks: WaveNetBlock[] = [];
  let count = 0;
  let before = { channels: 1, head: 0 };
  for (let i = 0; i < listed.length; i++) {
    const path = `config.layers[${i}]`;
    const block = record(path, listed[i]);
    for (const key of Object.keys(block)) {
      if (BLOCK_KEYS.includes(key)) continue;
      throw new UnsupportedError(path, `a key ${describe(key)}`, `a stack with ${BLOCK_KEYS.join(", ")} alone`);
    }
    const whole = (name: string) => size(`${path}.${name}`, block[name]);
    const [inputs, condition, headSize] = [whole("input_size"), whole("condition_size"), whole("head_size")];
    const [channels, taps] = [whole("channels"), whole("kernel_size")];
    const flag = (name: string): boolean => {
      const value = block[name];
      if (typeof value === "boolean") return value;
      throw new FormatError(`${path}.${name}`, describe(value), "true or false");
    };
    const [gated, headBias] = [flag("gated"), flag("head_bias")];
    const expect = (name: string, value: number, expected: number): void => {
      if (value !== expected) throw new ShapeError(`${path}.${name}`, `${value}`, `${expected}`);
    };
    expect("input_size", inputs, before.channels);
    expect("condition_size", condition, 1);
    if (i > 0) expect("channels", channels, before.head);
    if (i === listed.length - 1) expect("head_size", headSize, 1);
    const name = block.activation;
    const activation = typeof name === "string" && Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name]! : undefined;
    if (!activation) {
      throw new UnsupportedError(`${path}.activation`, describe(name), Object.keys(ACTIVATIONS).join(", "));
    }
    const dilations = array(`${path}.dilations`, block.dilations);
    count += dilations.length;
    checkLayerCount("config.layers", count);
    const rechannel = weights.take(channels, inputs);
    const outputs = gated ? 2 * channels : channels;
    const layers: WaveNetBlock["layers"][number][] = [];
    for (let k = 0; k < dilations.length; k++) {
      const dilation = size(`${path}.dilations[${k}]`, dilations[k]);
      const weight = weights.take(outputs, channels, taps);
      const bias = weights.take(outputs);
      const mixin = weights.take(outputs, condition);
      const output = { weight: weights.take(channels, channels), bias: weights.take(channels) };
      const convolution = { type: "conv1d", weight, bias, stride: 1, dilation, groups: 1, causal: true } as const;
      layers.push({ convolution, mixin, output });
    }
    const head = { weight: weights.take(headSize, channels), bias: headBias ? weights.take(headSize) : undefined };
    blocks.push({ rechannel, layers, activation, gated, head });
    before = { channels, head: headSize };
  }
  const scale = weights.take(1).data[0]!;
  return { inputSize: 1, layers: [{ type: "wavenet", blocks, scale }] };
}
