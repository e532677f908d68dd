// The topology of a Keras model: Sequential and functional models of Keras 2, Keras 3 and TensorFlow.js as calls of layers.

import { FormatError, UnsupportedError } from "../../../bindings/errors.js";
import { isRecord, quote } from "../json.js";
import { Config, get, listOf, recordOf, textOf, type Json } from "./config.js";
import type { KerasCall, KerasInput, KerasLayer, KerasModel, KerasResult, Place, WeightSource } from "./description.js";
import { checkWeights, RECURRENT, weightNames, withoutCudnn } from "./weights.js";

/** Models within models at most. */
const MAX_DEPTH = 8;
/** Layers and their calls at most. */
const MAX_CALLS = 1e5;

/** What a file says besides. */
export interface Reading {
  readonly source: WeightSource;
  readonly hardSigmoid: readonly [number, number];
  readonly zeroMasked: boolean;
}

/** A layer of Keras 3 may have the path of its class: "Custom>Name". */
function kindOf(where: string, json: Json): string {
  const kind = textOf(where, json, "class_name");
  const own = kind.slice(kind.lastIndexOf(">") + 1);
  return ALIASES.get(own) ?? own;
}

const ALIASES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["Functional", "Model"],
  ["LayersModel", "Model"],
  ["MaxPool1D", "MaxPooling1D"],
  ["AvgPool1D", "AveragePooling1D"],
  ["GlobalMaxPool1D", "GlobalMaxPooling1D"],
  ["GlobalAvgPool1D", "GlobalAveragePooling1D"],
  ["Convolution1D", "Conv1D"],
  ["RNN", "RNN"],
]);

/** dense_1 of the second Dense. */
function numberedName(kind: string, used: Map<string, number>): string {
  // as Keras' naming.to_snake_case
  const name = kind
    .replace(/\W+/g, "")
    .replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
  const count = used.get(name) ?? 0;
  used.set(name, count + 1);
  return count === 0 ? name : `${name}_${count}`;
}

/** A layer of JSON, with its weights. `wrapper` is the place of the TimeDistributed around it, whose name it has. */
function readLayer(
  reading: Reading,
  json: Json,
  where: string,
  parent: Place | undefined,
  used: Map<string, number>,
  depth: number,
  wrapper?: Place,
): KerasLayer {
  const written = textOf(where, json, "class_name");
  const kind = kindOf(where, json);
  const own = recordOf(where, json, "config");
  const named = kind === "Sequential" || kind === "Model" ? { name: kind, ...json, ...own } : { name: get(json, "name"), ...own }; // prettier-ignore
  const name = wrapper?.name ?? textOf(`${where}.config`, named, "name");
  const place: Place = wrapper
    ? { name, numbered: "", cell: false, parent: wrapper, wrapped: true }
    : { name, numbered: numberedName(written === "Functional" || kind === "Model" ? written : kind, used), cell: false, parent }; // prettier-ignore
  const config = new Config(`layer ${name}`, own);
  if (kind === "Sequential" || kind === "Model") {
    const model = readKerasModel(reading, json, place, depth + 1);
    return { name, kind: "Model", config, weights: new Map(), model };
  }
  if (kind !== "Bidirectional" && kind !== "TimeDistributed") return finish(reading, kind, config, place, undefined);
  if (depth >= MAX_DEPTH) throw new FormatError(where, "deeper nesting", `at most ${MAX_DEPTH} models and wrappers in each other`); // prettier-ignore
  const child = (key: string, part: "forward" | "backward" | "layer"): KerasLayer => {
    const inner = recordOf(config.where, own, key);
    const innerKind = kindOf(config.where, inner);
    const innerJson = recordOf(config.where, inner, "config");
    if (
      innerKind === "Sequential" ||
      innerKind === "Model" ||
      innerKind === "Bidirectional" ||
      innerKind === "TimeDistributed"
    ) {
      if (kind === "Bidirectional")
        throw new UnsupportedError(`${config.where}.${key}`, innerKind, "a recurrent layer");
      return readLayer(reading, inner, config.where, parent, used, depth + 1, place);
    }
    return finish(reading, innerKind, new Config(`layer ${name}`, innerJson), place, part);
  };
  if (kind === "TimeDistributed") return { name, kind, config, weights: new Map(), inner: child("layer", "layer") };
  const forward = child("layer", "forward");
  const other = get(own, "backward_layer");
  const backward = isRecord(other) ? child("backward_layer", "backward") : mirrored(child("layer", "backward"));
  for (const each of [forward, backward]) {
    if (!RECURRENT.has(each.kind)) throw new UnsupportedError(`${config.where}.layer`, each.kind, "a recurrent layer");
  }
  return { name, kind, config, weights: new Map(), inner: forward, backward };
}

/** The layer that reads the other way. */
function mirrored(layer: KerasLayer): KerasLayer {
  const { config } = layer;
  const json = { ...config.json, go_backwards: !config.flag("go_backwards", false) };
  return { ...layer, config: new Config(config.where, json) };
}

function finish(
  { source }: Reading,
  kind: string,
  config: Config,
  place: Place,
  part: "forward" | "backward" | "layer" | undefined,
): KerasLayer {
  const weights = source.take({ ...place, cell: RECURRENT.has(kind) }, part, weightNames(kind, config));
  checkWeights(kind, config, weights);
  return withoutCudnn({ name: place.name, kind, config, weights });
}

/** The shape of batch_input_shape or batch_shape. */
function inputShape(config: Config): KerasInput["shape"] {
  const own = config.get("batch_input_shape") ?? config.get("batch_shape");
  if (own === undefined) return undefined;
  const isLength = (n: unknown) => n === null || (Number.isSafeInteger(n) && (n as number) >= 0);
  if (!Array.isArray(own) || own.length > 8 || !own.every(isLength)) config.refuse("batch_input_shape", "a shape");
  return own as (number | null)[];
}

/**
 * Reads a model's topology and its weights.
 *
 * @param json { class_name, config } of Sequential, Model or Functional
 * @throws FormatError, UnsupportedError
 */
export function readKerasModel(reading: Reading, json: Json, place?: Place, depth = 0): KerasModel {
  if (depth > MAX_DEPTH) throw new FormatError("model", "deeper nesting", `at most ${MAX_DEPTH} models in each other`);
  const kind = kindOf("model", json);
  if (kind !== "Sequential" && kind !== "Model") {
    throw new UnsupportedError("class_name", quote(kind), "Sequential, Model or Functional");
  }
  const own = get(json, "config");
  const config: Json = Array.isArray(own) ? { layers: own as unknown[] } : recordOf("model", json, "config"); // a list in old files
  const given = get(config, "name");
  const name = typeof given === "string" ? given : "model";
  const used = new Map<string, number>();
  const layers = listOf(name, config, "layers").map((each, i): [KerasLayer, Json] => {
    if (!isRecord(each)) throw new FormatError(`layers[${i}]`, quote(each), "an object");
    return [readLayer(reading, each, `layers[${i}]`, place, used, depth), each];
  });
  const { hardSigmoid, zeroMasked } = reading;
  const rest = kind === "Sequential" ? chain(layers) : graph(name, config, layers);
  return { name, hardSigmoid, zeroMasked, ...rest };
}

type Connected = Pick<KerasModel, "inputs" | "calls" | "outputs" | "outputNames">;

/** The calls of a Sequential. */
function chain(layers: readonly (readonly [KerasLayer, Json])[]): Connected {
  const [first] = layers;
  if (!first) throw new FormatError("layers", "an empty list", "at least one layer");
  const explicit = first[0].kind === "InputLayer";
  const nested = first[0].model?.inputs[0];
  const input: KerasInput = {
    name: explicit ? first[0].name : `${first[0].name}_input`,
    shape: inputShape(first[0].config) ?? nested?.shape,
  };
  const rest = layers.slice(explicit ? 1 : 0);
  const calls = rest.map(([layer], i): KerasCall => ({ layer, inputs: [{ call: i - 1, index: 0 }] }));
  const outputNames = [layers[layers.length - 1]![0].name];
  return { inputs: [input], calls, outputs: [{ call: calls.length - 1, index: 0 }], outputNames };
}

/** A result by the names in the file. */
interface Reference {
  readonly layer: string;
  readonly node: number;
  readonly index: number;
}

function readReference(where: string, value: unknown): Reference {
  const [layer, node, index] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof layer !== "string" || !isIndex(node) || !isIndex(index)) {
    throw new FormatError(where, quote(value), "[layer, node, tensor]");
  }
  return { layer, node, index };
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** One reference, a list of them, or (Keras 3) a record. */
function readReferences(where: string, config: Json, key: string): Reference[] {
  const value = get(config, key);
  if (Array.isArray(value) && typeof value[0] === "string") return [readReference(where, value)];
  const list = isRecord(value) ? Object.values(value) : value;
  if (!Array.isArray(list) || list.length === 0) throw new FormatError(`${where}.${key}`, quote(value), "layers");
  return list.map((each) => readReference(`${where}.${key}`, each));
}

/** The inputs of each call of a layer. */
function readNodes(where: string, json: Json): Reference[][] {
  const nodes = get(json, "inbound_nodes") ?? [];
  if (!Array.isArray(nodes)) throw new FormatError(`${where}.inbound_nodes`, quote(nodes), "a list");
  return nodes.map((node: unknown) => {
    if (isRecord(node)) {
      // Keras 3: tensors anywhere in args and kwargs, in their order
      const found: Reference[] = [];
      collect(where, [get(node, "args"), get(node, "kwargs")], found, 0);
      return found;
    }
    if (!Array.isArray(node)) throw new FormatError(`${where}.inbound_nodes`, quote(node), "a list");
    if (typeof node[0] === "string") return [readReference(where, node)];
    return node.flatMap((each: unknown) => {
      const reference = readReference(where, each);
      const more: unknown = (each as unknown[])[3];
      if (!isRecord(more)) return [reference];
      checkArguments(where, more);
      return [reference];
    });
  });
}

/** Arguments of a call that change nothing, or that layers do not know. */
function checkArguments(where: string, more: Json): void {
  for (const [key, value] of Object.entries(more)) {
    if (key === "training" || key === "mask" || value === null || value === false) continue;
    throw new UnsupportedError(`${where}, argument ${key}`, quote(value), "a call without it");
  }
}

function collect(where: string, value: unknown, found: Reference[], depth: number): void {
  if (depth > MAX_DEPTH || found.length > MAX_CALLS) throw new FormatError(where, "deep arguments", "tensors");
  if (Array.isArray(value)) {
    for (const each of value) collect(where, each, found, depth + 1);
  } else if (isRecord(value)) {
    if (get(value, "class_name") === "__keras_tensor__") {
      found.push(readReference(where, get(recordOf(where, value, "config"), "keras_history")));
      return;
    }
    for (const [key, each] of Object.entries(value)) {
      if (key === "mask") continue; // masks flow with their tensors
      if (each === true && key !== "training") throw new UnsupportedError(`${where}, argument ${key}`, "true", "false");
      collect(where, each, found, depth + 1);
    }
  }
}

/** The calls of a functional model, each after those whose results it takes. */
function graph(name: string, config: Json, layers: readonly (readonly [KerasLayer, Json])[]): Connected {
  const inputs = readReferences(name, config, "input_layers");
  const outputs = readReferences(name, config, "output_layers");
  const byName = new Map(layers.map(([layer]) => [layer.name, layer]));
  if (byName.size < layers.length) throw new FormatError(name, "two layers of one name", "a name for each layer");
  const all = new Map<string, { layer: KerasLayer; from: readonly Reference[] }>();
  const keyOf = ({ layer, node }: Reference) => `${node}:${layer}`;
  const late = new Set<string>();
  const find = (reference: Reference) =>
    keyOf(late.has(reference.layer) ? { ...reference, node: reference.node - 1 } : reference);
  const nodes = layers.map(([layer, json]) => readNodes(layer.name, json));
  layers.forEach(([layer], i) => {
    nodes[i]!.forEach((from, node) => all.set(keyOf({ layer: layer.name, node, index: 0 }), { layer, from }));
  });
  // The nodes of a model within count from 1 on in some files: its own inputs were number 0.
  const counts = new Map(
    layers.flatMap(([layer], i) => (layer.model ? [[layer.name, nodes[i]!.length] as const] : [])),
  );
  for (const { layer, node } of [...nodes.flat(2), ...outputs])
    if (node >= (counts.get(layer) ?? Infinity)) late.add(layer);
  if (all.size > MAX_CALLS) throw new FormatError(name, `${all.size} calls`, `at most ${MAX_CALLS}`);
  const results = new Map<string, number>();
  inputs.forEach((reference, i) => {
    if (!byName.has(reference.layer)) throw new FormatError("input_layers", quote(reference.layer), "a layer");
    results.set(find(reference), -1 - i);
  });
  const calls: KerasCall[] = [];
  const resultOf = (reference: Reference): KerasResult => ({
    call: results.get(find(reference))!,
    index: reference.index,
  });
  // depth first, by a stack of its own
  const open = new Set<string>();
  const stack = outputs.map(find).reverse();
  while (stack.length > 0) {
    const key = stack[stack.length - 1]!;
    const entry = all.get(key);
    if (results.has(key)) {
      stack.pop();
      continue;
    }
    if (!entry || entry.from.length === 0)
      throw new FormatError(name, `no call ${quote(key)}`, "layers that are connected");
    const missing = entry.from.map(find).filter((each) => !results.has(each));
    if (missing.length === 0) {
      results.set(key, calls.length);
      calls.push({ layer: entry.layer, inputs: entry.from.map(resultOf) });
      stack.pop();
    } else {
      if (open.has(key)) throw new FormatError(name, "a circle of layers", "layers in an order");
      open.add(key);
      stack.push(...missing);
    }
  }
  return {
    inputs: inputs.map(({ layer }) => ({ name: layer, shape: inputShape(byName.get(layer)!.config) })),
    calls,
    outputs: outputs.map(resultOf),
    outputNames: outputs.map(({ layer }) => layer),
  };
}
