// Files of Keras: .h5 of Keras 2 with a model or with weights alone, .keras of Keras 3.

import { FormatError } from "../../../bindings/errors.js";
import type { Tensor } from "../../../bindings/tensor.js";
import { NO_KERAS_MODEL } from "../identify.js";
import { hdf5Strings, readHdf5, type Hdf5Group } from "../hdf5.js";
import { isRecord, parseJson, quote } from "../json.js";
import { decodeUtf8 } from "../utf8.js";
import { checkMaxBytes, looksLikeZip, readZip, unzip } from "../zip.js";
import type { Json } from "./config.js";
import type { KerasModel, Place, WeightSource } from "./description.js";
import { HARD_SIGMOID, NamedWeights } from "./tfjs.js";
import { readKerasModel } from "./topology.js";

function readConfig(argument: string, text: string): Json {
  const json = parseJson(argument, text);
  if (!isRecord(json)) throw new FormatError(argument, quote(json), "an object");
  return json;
}

/** The weights of each layer of Keras 2: their names are paths within the layer's group. */
function layersOf(argument: string, root: Hdf5Group): Map<string, Map<string, Tensor>> {
  const layers = new Map<string, Map<string, Tensor>>();
  const names = hdf5Strings(root, "layer_names") ?? [...root.groups.keys()];
  for (const layer of names) {
    const group = root.groups.get(layer);
    if (!group) throw new FormatError(argument, `no group ${quote(layer)}`, "a group for each layer");
    const weights = new Map<string, Tensor>();
    for (const path of hdf5Strings(group, "weight_names") ?? pathsOf(group)) {
      weights.set(path, datasetAt(argument, group, path).read());
    }
    layers.set(layer, weights);
  }
  return layers;
}

/** The paths of all datasets. */
function pathsOf(group: Hdf5Group): string[] {
  const inner = [...group.groups].flatMap(([name, each]) => pathsOf(each).map((path) => `${name}/${path}`));
  return [...group.datasets.keys(), ...inner];
}

function datasetAt(argument: string, group: Hdf5Group, path: string) {
  const parts = path.split("/");
  let own: Hdf5Group | undefined = group;
  for (const part of parts.slice(0, -1)) own = own?.groups.get(part);
  const dataset = own?.datasets.get(parts[parts.length - 1]!);
  if (!dataset) throw new FormatError(argument, `no dataset ${quote(path)}`, "all weights that it names");
  return dataset;
}

/**
 * The weights of a .h5 or .hdf5 file of Keras 2, or of a .weights.h5 of Keras 3, by layer and name.
 *
 * @throws FormatError, UnsupportedError
 */
export function readWeights(argument: string, bytes: Uint8Array): Map<string, Map<string, Tensor>> {
  const root = readHdf5(argument, bytes);
  const own = root.groups.get("model_weights") ?? root;
  if (hdf5Strings(own, "layer_names")) return layersOf(argument, own);
  const parts = own.groups.get("layers") ?? own.groups.get("_layer_checkpoint_dependencies");
  const layers = new Map<string, Map<string, Tensor>>();
  for (const [name, group] of parts?.groups ?? own.groups) {
    layers.set(name, new Map(pathsOf(group).map((path) => [path, datasetAt(argument, group, path).read()])));
  }
  return layers;
}

/** The weights of Keras 3 have no names, but places: layers/lstm_1/cell/vars/0. */
class NumberedWeights implements WeightSource {
  constructor(
    readonly argument: string,
    readonly root: Hdf5Group,
  ) {}

  take(place: Place, part: "forward" | "backward" | "layer" | undefined, names: readonly string[]) {
    if (names.length === 0) return new Map<string, Tensor>();
    let group = this.#groupOf(place);
    if (part) group = group?.groups.get(part === "layer" ? "layer" : `${part}_layer`);
    if (place.cell) group = group?.groups.get("cell");
    const variables = group?.groups.get("vars");
    return new Map(
      names.map((name, i) => {
        const dataset = variables?.datasets.get(`${i}`);
        if (!dataset) throw new FormatError(this.argument, `no weight ${name} of layer ${place.name}`, "all weights");
        return [name, dataset.read()] as const;
      }),
    );
  }

  #groupOf({ numbered, name, parent, wrapped }: Place): Hdf5Group | undefined {
    const around = parent ? this.#groupOf(parent) : this.root;
    if (wrapped) return around?.groups.get("layer");
    for (const key of ["layers", "_layer_checkpoint_dependencies"]) {
      const layers = around?.groups.get(key);
      const found = layers?.groups.get(numbered) ?? layers?.groups.get(name);
      if (found) return found;
    }
    return undefined;
  }
}

/** Keras 3: relu6(x + 3) / 6. */
const HARD_SIGMOID_3 = [1 / 6, 0.5] as const;

/**
 * Reads a .keras file, or a .h5 file with a model.
 *
 * @throws FormatError, UnsupportedError
 */
export function readKeras(argument: string, bytes: Uint8Array): KerasModel {
  if (looksLikeZip(bytes)) {
    const entries = readZip(bytes, "a .keras file", checkMaxBytes(undefined, bytes.length));
    const contentOf = (name: string) => {
      const entry = entries.get(name);
      if (!entry) throw new FormatError(argument, `no ${name} in its archive`, "a .keras file");
      return unzip(bytes, entry);
    };
    const config = readConfig("config.json", decodeUtf8(contentOf("config.json"), "config.json"));
    const root = readHdf5("model.weights.h5", contentOf("model.weights.h5"));
    const source = new NumberedWeights("model.weights.h5", root);
    return readKerasModel({ source, hardSigmoid: HARD_SIGMOID_3, zeroMasked: true }, config);
  }
  const root = readHdf5(argument, bytes);
  const [text] = hdf5Strings(root, "model_config") ?? [];
  if (text === undefined)
    throw new FormatError(argument, NO_KERAS_MODEL, "a file of a model; readKerasWeights reads weights alone");
  const weights = root.groups.get("model_weights");
  if (!weights) throw new FormatError(argument, "no model_weights", "a file of a model");
  const named = new Map<string, Tensor>();
  for (const [layer, own] of layersOf(argument, weights)) {
    for (const [name, tensor] of own) named.set(name.startsWith(`${layer}/`) ? name : `${layer}/${name}`, tensor);
  }
  const [version = "2"] = hdf5Strings(root, "keras_version") ?? [];
  const hardSigmoid = version.startsWith("3") ? HARD_SIGMOID_3 : HARD_SIGMOID;
  const reading = { source: new NamedWeights(named), hardSigmoid, zeroMasked: true };
  return readKerasModel(reading, readConfig("model_config", text));
}
