// Layers models of TensorFlow.js: model.json and the bytes of weights, both ways.

import { FormatError, UnsupportedError } from "../../../bindings/errors.js";
import { sizeOf, type Tensor } from "../../../bindings/tensor.js";
import { readList } from "../../base/check.js";
import { widenHalf } from "../../base/element.js";
import { takeBytes } from "../arrays.js";
import { isRecord, parseJson, quote, writeJson } from "../json.js";
import { decodeUtf8 } from "../utf8.js";
import { Config, get, listOf, textOf, type Json } from "./config.js";
import type { KerasModel, Place, WeightSource } from "./description.js";
import { readKerasModel } from "./topology.js";

/** Bytes of one number, and how it is read. */
const TYPES: ReadonlyMap<string, readonly [bytes: number, read: (bytes: Uint8Array) => ArrayLike<number>]> =
  /* @__PURE__ */ new Map<string, readonly [number, (bytes: Uint8Array) => ArrayLike<number>]>([
    ["float32", [4, (bytes) => new Float32Array(aligned(bytes))]],
    ["int32", [4, (bytes) => new Int32Array(aligned(bytes))]],
    ["float16", [2, (bytes) => widenHalf("f16", new Uint16Array(aligned(bytes)))]],
    ["uint16", [2, (bytes) => new Uint16Array(aligned(bytes))]],
    ["uint8", [1, (bytes) => bytes]],
    ["bool", [1, (bytes) => bytes]],
  ]);

function aligned(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}

/** All weights of a weights manifest by name, in f32. */
function readManifest(manifest: readonly unknown[], bytes: Uint8Array): Map<string, Tensor> {
  const weights = new Map<string, Tensor>();
  let start = 0;
  manifest.forEach((group, g) => {
    if (!isRecord(group)) throw new FormatError(`weightsManifest[${g}]`, quote(group), "an object");
    listOf(`weightsManifest[${g}]`, group, "weights").forEach((entry, i) => {
      const where = `weightsManifest[${g}].weights[${i}]`;
      if (!isRecord(entry)) throw new FormatError(where, quote(entry), "an object");
      const name = textOf(where, entry, "name");
      if (weights.has(name)) throw new FormatError(where, `${quote(name)} twice`, "each name once");
      const [tensor, end] = readWeight(where, entry, bytes, start);
      weights.set(name, tensor);
      start = end;
    });
  });
  if (start !== bytes.length) throw new FormatError("shards", `${bytes.length} bytes`, `${start}, as the manifest has`);
  return weights;
}

function readWeight(where: string, entry: Json, bytes: Uint8Array, start: number): [Tensor, number] {
  const shape = listOf(where, entry, "shape") as number[];
  if (shape.length > 8 || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FormatError(`${where}.shape`, quote(shape), "a shape");
  }
  const quantization = get(entry, "quantization");
  const own = isRecord(quantization) ? quantization : undefined;
  const dtype = textOf(where, own ?? entry, "dtype");
  const type = TYPES.get(dtype);
  if (!type) throw new UnsupportedError(`${where}.dtype`, quote(dtype), [...TYPES.keys()].join(", "));
  const size = sizeOf(shape);
  const end = start + size * type[0];
  if (!(end <= bytes.length))
    throw new FormatError("shards", `${bytes.length} bytes`, `at least ${end}, as ${where} has`);
  const numbers = type[1](bytes.subarray(start, end));
  const data = Float32Array.from(numbers);
  if (own && dtype !== "float16") {
    const config = new Config(`${where}.quantization`, own);
    const [scale, min] = [config.number("scale"), config.number("min")];
    for (let i = 0; i < size; i++) data[i] = numbers[i]! * scale + min;
  }
  return [{ data, shape: [...shape] }, end];
}

/** The name of the layer that a weight of `layer` belongs to, by the parts of its name. */
export class NamedWeights implements WeightSource {
  readonly #byLayer = new Map<string, { readonly parts: readonly string[]; readonly tensor: Tensor }[]>();

  /** @param weights names such as lstm_1/lstm_cell/kernel:0 */
  constructor(weights: ReadonlyMap<string, Tensor>) {
    for (const [name, tensor] of weights) {
      const parts = name.replace(/:\d+$/, "").split("/");
      const add = (key: string, rest: readonly string[]) => {
        const list = this.#byLayer.get(key);
        if (list) list.push({ parts: rest, tensor });
        else this.#byLayer.set(key, [{ parts: rest, tensor }]);
      };
      for (let i = 0; i < Math.min(parts.length - 1, 4); i++) add(parts[i]!, parts.slice(i + 1));
    }
  }

  take({ name }: Place, part: "forward" | "backward" | "layer" | undefined, names: readonly string[]) {
    const own = this.#byLayer.get(name) ?? [];
    const entries = part === "forward" || part === "backward" ? own.filter(({ parts }) => parts.some((each) => each.startsWith(`${part}_`))) : own; // prettier-ignore
    return new Map(
      names.map((weight) => {
        const found = entries.filter(({ parts }) => parts[parts.length - 1] === weight);
        const least = Math.min(...found.map(({ parts }) => parts.length));
        const best = found.find(({ parts }) => parts.length === least);
        if (!best)
          throw new FormatError(`layer ${name}`, `no weight ${part ? `${part} ` : ""}${weight}`, "all its weights");
        return [weight, best.tensor] as const;
      }),
    );
  }
}

/** Keras 2 and TensorFlow.js: 0.2 x + 0.5. */
export const HARD_SIGMOID = [0.2, 0.5] as const;

function readModelJson(json: unknown): Json {
  const expected = "the object or text of a model.json";
  if (typeof json === "string") return checkRecord(parseJson("modelJson", json, expected));
  if (isRecord(json) && !ArrayBuffer.isView(json)) {
    return checkRecord(parseJson("modelJson", writeJson("modelJson", json, expected), expected)); // a copy, read once
  }
  return checkRecord(parseJson("modelJson", decodeUtf8(takeBytes("modelJson", json), "modelJson"), expected));
}

function checkRecord(value: unknown): Json {
  if (!isRecord(value)) throw new FormatError("modelJson", quote(value), "an object");
  return value;
}

/** All shards as one; a copy. */
function joinShards(shards: Uint8Array | readonly Uint8Array[]): Uint8Array {
  const parts = Array.isArray(shards)
    ? readList("shards", shards, "Uint8Arrays").map((each, i) => takeBytes(`shards[${i}]`, each))
    : [takeBytes("shards", shards)];
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let next = 0;
  for (const part of parts) {
    all.set(part, next);
    next += part.length;
  }
  return all;
}

/**
 * Reads model.json and the bytes of its weights.
 *
 * @param modelJson its object, text or bytes
 * @param shards the files of weights in the order of the manifest's paths, or their bytes joined
 * @throws FormatError, UnsupportedError, DtypeError
 */
export function readTfjs(modelJson: unknown, shards: Uint8Array | readonly Uint8Array[]): KerasModel {
  const json = readModelJson(modelJson);
  const format = get(json, "format");
  if (format === "graph-model") {
    throw new UnsupportedError("modelJson.format", quote(format), "a Layers model (format layers-model)");
  }
  const topology = get(json, "modelTopology") ?? get(json, "model_topology");
  if (!isRecord(topology)) throw new FormatError("modelJson.modelTopology", quote(topology), "an object");
  const inner = get(topology, "model_config");
  const model = isRecord(inner) ? inner : topology;
  const weights = readManifest(listOf("modelJson", json, "weightsManifest"), joinShards(shards));
  const reading = { source: new NamedWeights(weights), hardSigmoid: HARD_SIGMOID, zeroMasked: false };
  return readKerasModel(reading, model);
}
