/**
 * Models of audio effects from the JSON files in which they are passed around, for an AudioWorklet or any loop over
 * samples. There are two forms.
 *
 * RTNeural (https://github.com/jatinchowdhury18/RTNeural, python/model_utils.py, RTNeural/model_loader.h, torch_helpers.h):
 *
 *     { "in_shape": [null, null, D], "layers": [{ "type", "activation", "shape": [null, null, H], "weights": [...] }, ...] }
 *
 * with Keras' arrays: kernels [in, gates*H], LSTM i f c o with one bias [4H], GRU z r h with a bias [2,3H] (reset_after).
 * AIDA-X (https://github.com/AidaDSP/AIDA-X) adds "in_skip". Or a PyTorch state_dict, flat, with PyTorch's arrays.
 *
 * GuitarML's Proteus and NeuralPi, and what trains for them (https://github.com/Alec-Wright/CoreAudioML, SimpleRNN):
 *
 *     { "model_data": { "model": "SimpleRNN", "input_size", "hidden_size", "unit_type", "skip", ... },
 *       "state_dict": { "rec.weight_ih_l0": [...], ..., "lin.weight": [...], "lin.bias": [...] } }
 *
 * @module wasm-rnn/audio
 */

import { FormatError, ShapeError, UnsupportedError, ValueError } from "../bindings/errors.js";
import { GATES, type CellKind } from "../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../bindings/tensor.js";
import { bytesOf, isBytes } from "./io/arrays.js";
import { hinted, identify, identifyJson } from "./io/identify.js";
import { quote } from "./io/json.js";
import { StreamingModel, type FrameActivation, type StreamingLayer } from "./models/streaming.js";
import { checkOptions } from "./nn/layer.js";
import { sealed } from "./sealed.js";

export type { StreamingModel } from "./models/streaming.js";

/** Options of `fromProteus`. */
export interface StreamingOptions {
  /** The number type to compute in: "f32" (default) or "f64". */
  dtype?: FloatDtype;
}

/** Options of `fromRtneural`. */
export interface RtneuralOptions extends StreamingOptions {
  /**
   * For a state_dict, which does not say how its modules go together: their names, and activations ("tanh", "relu",
   * "sigmoid", "softmax", "elu"), in the order in which they are applied. By default all modules in the file's order,
   * where a linear one, if there is any, comes last.
   */
  modules?: readonly string[];
}

const ACTIVATIONS: readonly FrameActivation[] = ["tanh", "relu", "sigmoid", "softmax", "elu"];

/** Layers of a file, those on top of each other in a recurrent module counted; models that run in real time have a few. */
const MAX_LAYERS = 1000;

/**
 * A model from a file of RTNeural's: layers "lstm", "gru", "dense", "time-distributed-dense", "activation" (tanh, relu,
 * sigmoid, softmax, elu) and "prelu", as Keras exports them, or a state_dict of LSTM, GRU, RNN and Linear modules. Not
 * yet: "conv1d", "conv2d", "batchnorm" and gated activations. See [RTNeural](https://github.com/jatinchowdhury18/RTNeural).
 *
 * @param json the parsed file
 * @param options dtype "f32" by default; for a state_dict, the modules' order
 * @throws FormatError (which says what the file is, where it is another kind that is known), ShapeError, UnsupportedError
 *   naming the place in the file, such as layers[1].weights[0], also for more than 1,000 layers; ValueError,
 *   OutOfMemoryError
 */
export function fromRtneural(json: unknown, options: RtneuralOptions = {}): StreamingModel {
  checkOptions("fromRtneural", options, ["dtype", "modules"]);
  const dtype = dtypeOf(options);
  const modules = checkModules(options.modules);
  const file = parsed(json, "JSON of RTNeural");
  if (!Object.hasOwn(file, "layers") && !Object.hasOwn(file, "in_shape")) return fromModules(dtype, file, modules);
  if (modules !== undefined) throw new ValueError("modules", "a list", "none: the file has its own layers");
  for (const gain of ["in_gain", "out_gain"]) {
    if (file[gain]) throw new UnsupportedError(gain, describe(file[gain]), "0 dB or none: a gain is for the caller");
  }
  const inputSize = lastOf("in_shape", file.in_shape);
  const layers: StreamingLayer[] = [];
  let size = inputSize;
  const listed = array("layers", file.layers);
  checkCount("layers", listed.length);
  for (let i = 0; i < listed.length; i++) {
    const path = `layers[${i}]`;
    const more = kerasLayers(dtype, path, record(path, listed[i]), size);
    layers.push(...more);
    size = sizeAfter(more, size);
  }
  // in_shape is only a number, for which a small file could have gigabytes allocated
  const confirms = (layer: StreamingLayer) =>
    "slope" in layer ? layer.slope.shape[1] === inputSize : "state" in layer || "weight" in layer;
  if (!layers.some(confirms)) {
    throw new FormatError("layers", "none with weights", `at least one, for frames of ${inputSize} numbers (in_shape)`);
  }
  const skip = file.in_skip ?? 0;
  if (Number.isSafeInteger(skip) && (skip as number) > inputSize) {
    throw new ShapeError("in_skip", `${skip as number} inputs`, `at most ${inputSize}, as in_shape says`);
  }
  return assemble(dtype, inputSize, layers, { path: "in_skip", count: skip });
}

/**
 * A model from a file of Proteus, NeuralPi or their training program: one recurrent module (LSTM, GRU or RNN, of any number
 * of layers) and a linear one, with `skip` inputs added to what comes out. See
 * [CoreAudioML](https://github.com/Alec-Wright/CoreAudioML).
 *
 * @param json the parsed file
 * @param options dtype "f32" by default
 * @throws FormatError (which says what the file is, where it is another kind that is known), ShapeError, UnsupportedError
 *   naming the place in the file, such as state_dict["rec.weight_ih_l0"], also for more than 1,000 layers; ValueError,
 *   OutOfMemoryError
 */
export function fromProteus(json: unknown, options: StreamingOptions = {}): StreamingModel {
  checkOptions("fromProteus", options, ["dtype"]);
  const dtype = dtypeOf(options);
  const file = parsed(json, "JSON of Proteus");
  const data = record("model_data", file.model_data);
  const { model = "SimpleRNN", unit_type: unit, output_size: outputSize = 1, num_layers: numLayers = 1 } = data;
  if (model !== "SimpleRNN") throw new UnsupportedError("model_data.model", describe(model), '"SimpleRNN"');
  if (unit !== "LSTM" && unit !== "GRU" && unit !== "RNN") {
    throw new UnsupportedError("model_data.unit_type", describe(unit), '"LSTM", "GRU" or "RNN"');
  }
  const dict = new StateDict("state_dict", record("state_dict", file.state_dict), dtype);
  const inputSize = size("model_data.input_size", data.input_size);
  const rec = dict.recurrent("rec.", unit, size("model_data.hidden_size", data.hidden_size), inputSize);
  if (rec.numLayers !== size("model_data.num_layers", numLayers)) {
    throw new ShapeError("model_data.num_layers", describe(numLayers), `${rec.numLayers}, as state_dict has them`);
  }
  const lin = dict.linear("lin.", rec.hiddenSize, size("model_data.output_size", outputSize));
  dict.checkAllTaken();
  return assemble(dtype, inputSize, [rec, lin], { path: "model_data.skip", count: data.skip });
}

// --- what both share ---------------------------------------------------------------------------------------------------

function dtypeOf({ dtype = "f32" }: StreamingOptions): FloatDtype {
  if (dtype !== "f64" && dtype !== "f32") throw new ValueError("dtype", describe(dtype), '"f64" or "f32"');
  return dtype;
}

/** The parsed file, which is not one of another program, nor unparsed. */
function parsed(json: unknown, expected: string): Readonly<Record<string, unknown>> {
  if (typeof json === "string") throw new FormatError("json", "a string", `${expected}, parsed: JSON.parse(text)`);
  if (isBytes(json)) {
    const kind = identify(bytesOf("json", json));
    if (kind === undefined) throw new FormatError("json", "bytes", `${expected}, parsed`);
    const isJson = kind.name.includes("JSON");
    const how = `${expected}, parsed${isJson ? ": JSON.parse(new TextDecoder().decode(bytes))" : ""}`;
    throw new FormatError("json", `bytes of ${kind.name}`, kind.name === expected ? how : hinted(how, kind));
  }
  const file = record("json", json);
  const kind = identifyJson(file);
  if (kind === undefined || kind.name === expected) return file;
  const keys = expected === "JSON of Proteus" ? " (model_data, state_dict)" : " (in_shape, layers; or a state_dict)";
  throw new FormatError("json", kind.name, hinted(expected + keys, kind));
}

/** A copy of the modules' names. */
function checkModules(modules: unknown): readonly string[] | undefined {
  if (modules === undefined) return undefined;
  const expected = "an array of at least one string";
  if (!Array.isArray(modules)) throw new ValueError("modules", describe(modules), expected);
  const { length } = modules;
  if (length === 0) throw new ValueError("modules", "an empty array", expected);
  checkCount("modules", length);
  return Array.from({ length }, (_, i) => {
    const name: unknown = modules[i];
    if (typeof name !== "string") throw new ValueError("modules", `an array with ${describe(name)}`, expected);
    return name;
  });
}

function checkCount(path: string, count: number): void {
  if (!(count <= MAX_LAYERS)) throw new UnsupportedError(path, `${count} layers`, `at most ${MAX_LAYERS}`);
}

/** The model, after a check of its skip connection: `count` inputs that are added to as many outputs, or one to all. */
function assemble(
  dtype: FloatDtype,
  inputSize: number,
  layers: readonly StreamingLayer[],
  skip: { path: string; count: unknown },
): StreamingModel {
  const outputSize = sizeAfter(layers, inputSize);
  const { path, count } = skip;
  if (!Number.isSafeInteger(count) || (count as number) < 0) {
    throw new FormatError(path, describe(count), "a whole number >= 0");
  }
  const added = Math.min(count as number, inputSize); // x[:, :, 0:skip] in PyTorch, all of x where it has fewer
  if (added > 1 && added !== outputSize) {
    throw new ShapeError(path, `${added} inputs`, `0, 1 or as many as there are outputs: ${outputSize}`);
  }
  return new StreamingModel(dtype, inputSize, sealed([...layers]), added);
}

function sizeAfter(layers: readonly StreamingLayer[], inputSize: number): number {
  return layers.reduce((before, layer) => {
    if ("hiddenSize" in layer) return layer.hiddenSize;
    return layer.type === "dense" ? layer.weight.shape[0]! : before;
  }, inputSize);
}

// --- Keras' arrays -----------------------------------------------------------------------------------------------------

/** The layers that one of the file's is: itself, and the activation that it may name. */
function kerasLayers(
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
    const after = lastOf(`${path}.shape`, layer.shape);
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
      const order = kind === "GRU" ? [1, 0, 2] : [0, 1, 2, 3]; // Keras' z r h as r z n; i f c o as i f g o
      const state: Record<string, Tensor> = {
        weight_ih_l0: transposed(need(0, [before, g]), order),
        weight_hh_l0: transposed(need(1, [h, g]), order),
      };
      const bias = read(2, kind === "GRU" ? [2, g] : [g]);
      if (bias) {
        const row = (from: number) => transposed({ data: bias.data.slice(from, from + g), shape: [1, g] }, order).data;
        state.bias_ih_l0 = { data: row(0), shape: [g] };
        state.bias_hh_l0 = { data: kind === "GRU" ? row(g) : bias.data.slice().fill(0), shape: [g] };
      }
      return [{ type: kind, inputSize: before, hiddenSize: h, numLayers: 1, state }];
    }
    case "dense":
    case "time-distributed-dense": {
      most(2);
      const out = lastOf(`${path}.shape`, layer.shape);
      const weight = transposed(need(0, [before, out]), [0]);
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
    default: {
      const known = ["lstm", "gru", "dense", "time-distributed-dense", "activation", "prelu"];
      throw new UnsupportedError(`${path}.type`, describe(type), known.join(", "));
    }
  }
}

/** [rows,columns] as [columns,rows], its blocks of rows in another order: the one at `order[i]` comes i-th. */
function transposed({ data, shape }: Tensor, order: readonly number[]): Tensor {
  const [rows, columns] = shape as [number, number];
  const block = columns / order.length;
  const out = data.slice();
  for (let to = 0; to < columns; to++) {
    const from = order[Math.floor(to / block)]! * block + (to % block);
    for (let row = 0; row < rows; row++) out[to * rows + row] = data[row * columns + from]!;
  }
  return { data: out, shape: [columns, rows] };
}

// --- PyTorch's arrays --------------------------------------------------------------------------------------------------

/** A model from a flat state_dict, its modules put together as `given`. */
function fromModules(
  dtype: FloatDtype,
  file: Readonly<Record<string, unknown>>,
  given: readonly string[] | undefined,
): StreamingModel {
  const dict = new StateDict("json", file, dtype);
  const layers: StreamingLayer[] = [];
  let inputSize: number | undefined;
  let last: number | undefined;
  const names = given ?? dict.modules();
  checkCount("json", names.length);
  for (const name of names) {
    const activation = ACTIVATIONS.find((each) => each === name);
    const prefix = name === "" ? "" : `${name}.`;
    if (dict.has(`${prefix}weight_hh_l0`)) {
      const layer = dict.recurrent(prefix, undefined, undefined, last);
      inputSize ??= layer.inputSize;
      layers.push(layer);
    } else if (dict.has(`${prefix}weight`)) {
      if (!given && layers.at(-1)?.type === "dense") {
        const expected = "options.modules: what stands between two linear modules is not in the file";
        throw new UnsupportedError("json", `a linear module ${describe(name)} behind another`, expected);
      }
      const layer = dict.linear(prefix, last, undefined);
      inputSize ??= layer.weight.shape[1]!;
      layers.push(layer);
    } else if (activation && inputSize !== undefined) {
      layers.push({ type: activation });
    } else if (given) {
      throw new ValueError("modules", describe(name), `a module of the file, or ${ACTIVATIONS.join(", ")} behind one`);
    } else {
      throw new UnsupportedError("json", `a module ${describe(name)}`, "RNN, LSTM, GRU and Linear modules");
    }
    last = sizeAfter(layers.slice(-1), last ?? inputSize);
  }
  if (inputSize === undefined) throw new FormatError("json", "no module", "layers, or a state_dict");
  dict.checkAllTaken();
  return assemble(dtype, inputSize, layers, { path: "skip", count: 0 });
}

/** A state_dict as nested arrays, of which everything must be taken. */
class StateDict {
  readonly #left: Set<string>;

  constructor(
    readonly path: string,
    readonly entries: Readonly<Record<string, unknown>>,
    readonly dtype: FloatDtype,
  ) {
    this.#left = new Set(Object.keys(entries));
  }

  has(key: string): boolean {
    return Object.hasOwn(this.entries, key);
  }

  /** The names of all modules, in the file's order. */
  modules(): string[] {
    return [...new Set(Object.keys(this.entries).map((key) => key.slice(0, Math.max(0, key.lastIndexOf(".")))))];
  }

  /** RNN, LSTM or GRU layers on top of each other; what is not given follows from the shapes. */
  recurrent(
    prefix: string,
    kind: CellKind | undefined,
    hiddenSize: number | undefined,
    inputSize: number | undefined,
  ): StreamingLayer & { type: CellKind } {
    const hh = this.#read(`${prefix}weight_hh_l0`, [undefined, hiddenSize]).shape as [number, number];
    const h = hiddenSize ?? hh[1];
    const kinds = Object.keys(GATES) as CellKind[];
    const type = kind ?? kinds.find((each) => GATES[each] * h === hh[0]);
    if (type === undefined) {
      throw new ShapeError(this.#place(`${prefix}weight_hh_l0`), `${hh[0]} rows`, `1, 3 or 4 times ${h}`);
    }
    const g = GATES[type] * h;
    const state: Record<string, Tensor> = {};
    const bias = this.has(`${prefix}bias_ih_l0`);
    let width = inputSize;
    let layer = 0;
    for (; layer === 0 || this.has(`${prefix}weight_hh_l${layer}`); layer++) {
      checkCount(this.path, layer + 1);
      const take = (name: string, pattern: readonly (number | undefined)[]) =>
        (state[`${name}_l${layer}`] = this.#take(`${prefix}${name}_l${layer}`, pattern));
      const ih = take("weight_ih", [g, layer === 0 ? width : h]);
      width ??= ih.shape[1]!;
      take("weight_hh", [g, h]);
      if (bias) for (const name of ["bias_ih", "bias_hh"]) take(name, [g]);
    }
    return { type, inputSize: width!, hiddenSize: h, numLayers: layer, state };
  }

  /** A linear module. */
  linear(
    prefix: string,
    inFeatures: number | undefined,
    outFeatures: number | undefined,
  ): StreamingLayer & { type: "dense" } {
    const given = this.has(`${prefix}weight`) ? this.entries[`${prefix}weight`] : undefined;
    if (Array.isArray(given) && Array.isArray(given[0]) && Array.isArray(given[0][0])) {
      const place = this.#place(`${prefix}weight`);
      throw new UnsupportedError(place, "three axes (a convolution)", "RNN, LSTM, GRU and Linear modules");
    }
    const weight = this.#take(`${prefix}weight`, [outFeatures, inFeatures]);
    const bias = this.has(`${prefix}bias`) ? this.#take(`${prefix}bias`, [weight.shape[0]]) : undefined;
    return { type: "dense", weight, bias };
  }

  checkAllTaken(): void {
    for (const key of this.#left) {
      throw new UnsupportedError(this.path, `an entry ${describe(key)}`, "no other entries");
    }
  }

  #take(key: string, pattern: readonly (number | undefined)[]): Tensor {
    this.#left.delete(key);
    return this.#read(key, pattern);
  }

  #read(key: string, pattern: readonly (number | undefined)[]): Tensor {
    return numbers(this.#place(key), this.has(key) ? this.entries[key] : undefined, pattern, this.dtype);
  }

  #place(key: string): string {
    return `${this.path}[${quote(key)}]`;
  }
}

// --- JSON --------------------------------------------------------------------------------------------------------------

function record(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new FormatError(path, describe(value), "an object");
}

function array(path: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new FormatError(path, describe(value), "an array");
  if (value.length === 0) throw new FormatError(path, "an empty array", "at least one entry");
  return value;
}

function size(path: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new FormatError(path, describe(value), "a whole number > 0");
}

/** The last size of a shape; those before it (batch, time) are null. */
function lastOf(path: string, value: unknown): number {
  const shape = array(path, value);
  return size(`${path}[${shape.length - 1}]`, shape[shape.length - 1]);
}

/** A matrix or vector of numbers from nested arrays; `pattern` has its shape, as far as that is known. */
function numbers(path: string, value: unknown, pattern: readonly (number | undefined)[], dtype: FloatDtype): Tensor {
  const shape: number[] = [];
  const data: number[] = [];
  const walk = (place: string, each: unknown, axis: number): void => {
    const entries = array(place, each);
    const { length } = entries;
    const expected = (shape[axis] ??= pattern[axis] ?? length);
    if (length !== expected) throw new ShapeError(place, `${length} entries`, `${expected}`);
    for (let i = 0; i < expected; i++) {
      const entry = entries[i];
      if (axis < pattern.length - 1) {
        walk(`${place}[${i}]`, entry, axis + 1);
        continue;
      }
      if (typeof entry !== "number") throw new FormatError(`${place}[${i}]`, describe(entry), "a number");
      const rounded = dtype === "f64" ? entry : Math.fround(entry);
      if (!Number.isFinite(rounded)) {
        throw new FormatError(`${place}[${i}]`, describe(entry), `a number that is finite in ${dtype}`);
      }
      data.push(rounded);
    }
  };
  walk(path, value, 0);
  return { data: dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data), shape };
}
