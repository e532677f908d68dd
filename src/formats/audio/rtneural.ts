// Reads files of RTNeural: layers with Keras' arrays, or a state_dict with PyTorch's.

import { FormatError, ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { GATES } from "../../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { permute } from "../../base/layout.js";
import { toTorch } from "../gates.js";
import {
  ACTIVATIONS,
  assemble,
  checkLayerCount,
  sizeAfter,
  type NetworkDescription,
  type StreamingLayer,
} from "./description.js";
import { array, lastOf, numbers, parsed, record } from "./json.js";
import { StateDict } from "./state-dict.js";

/**
 * The network of a parsed file.
 *
 * @param modules for a state_dict: its modules and activations, in the order in which they are applied
 * @throws FormatError, ShapeError, UnsupportedError, ValueError
 */
export function readRtneural(
  json: unknown,
  dtype: FloatDtype,
  modules: readonly string[] | undefined,
): NetworkDescription {
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
  checkLayerCount("layers", listed.length);
  for (let i = 0; i < listed.length; i++) {
    const path = `layers[${i}]`;
    const more = kerasLayers(dtype, path, record(path, listed[i]), size);
    layers.push(...more);
    size = sizeAfter(more, size);
  }
  // in_shape is a bare number: a small file could have gigabytes allocated for it
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

// --- Keras' arrays -----------------------------------------------------------------------------------------------------

/** A layer of the file, followed by its activation if it names one. */
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
    default: {
      const known = ["lstm", "gru", "dense", "time-distributed-dense", "activation", "prelu"];
      throw new UnsupportedError(`${path}.type`, describe(type), known.join(", "));
    }
  }
}

// --- PyTorch's arrays --------------------------------------------------------------------------------------------------

/** The network of a flat state_dict, with its modules in the given order. */
function fromModules(
  dtype: FloatDtype,
  file: Readonly<Record<string, unknown>>,
  given: readonly string[] | undefined,
): NetworkDescription {
  const dict = new StateDict("json", file, dtype);
  const layers: StreamingLayer[] = [];
  let inputSize: number | undefined;
  let last: number | undefined;
  const names = given ?? dict.modules();
  checkLayerCount("json", names.length);
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
        throw new UnsupportedError("json", `a linear module ${describe(name)} right after another`, expected);
      }
      const layer = dict.linear(prefix, last, undefined);
      inputSize ??= layer.weight.shape[1]!;
      layers.push(layer);
    } else if (activation && inputSize !== undefined) {
      layers.push({ type: activation });
    } else if (given) {
      throw new ValueError("modules", describe(name), `a module of the file, or ${ACTIVATIONS.join(", ")} after one`);
    } else {
      throw new UnsupportedError("json", `a module ${describe(name)}`, "RNN, LSTM, GRU and Linear modules");
    }
    last = sizeAfter(layers.slice(-1), last ?? inputSize);
  }
  if (inputSize === undefined) throw new FormatError("json", "no module", "layers, or a state_dict");
  dict.checkAllTaken();
  return assemble(dtype, inputSize, layers, { path: "skip", count: 0 });
}
