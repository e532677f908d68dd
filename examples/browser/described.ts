// A file that the page loads and that is no model of characters: what is in it, as facts and rows of a table.

import { sizeOf, type Tensor } from "../../bindings/tensor.js";
import type { LoadedModel } from "../../src/load.js";
import { networkOf } from "../../src/models/streaming.js";
import type { Described } from "./protocol.js";

/** Rows of the table, and entries of metadata, at most. */
const MOST_ROWS = 500;
const MOST_ENTRIES = 20;
/** Characters of a value. */
const SHOWN = 200;

const FORMATS: Readonly<Record<LoadedModel["format"], string>> = {
  "wasm-rnn": "a model of characters",
  ml5: "a model of characters of ml5",
  onnx: "an ONNX model",
  tfjs: "a model of TensorFlow.js",
  keras: "a model of Keras 3",
  "keras-h5": "a model of Keras",
  "keras-weights": "weights of Keras",
  pytorch: "a checkpoint of PyTorch",
  safetensors: "safetensors",
  npy: "an array of NumPy",
  npz: "arrays of NumPy",
  rtneural: "a model of RTNeural",
  proteus: "a model of Proteus",
  nam: "a model of Neural Amp Modeler",
};

type Tensors = Iterable<readonly [name: string, tensor: { readonly data: object; readonly shape: readonly number[] }]>;

const shapeOf = (shape: readonly (number | string)[] | undefined) => (shape ? `[${shape.join(", ")}]` : "any shape");

/** "f32" of a Float32Array, and so on. */
const typeOf = (data: object) =>
  data.constructor.name
    .replace(/Array$|^Big/g, "")
    .replace("Float", "f")
    .replace("Uint", "u")
    .replace("Int", "i");

/** The weights of a model of an audio effect, with the number and kind of their layer. */
function weightsOf(model: object): Tensors {
  const layers = networkOf(model)?.layers.flatMap((each) => (typeof each === "string" ? [] : each)) ?? [];
  return layers.flatMap((layer, i) => {
    const { type, ...parts } = layer;
    const entries = Object.entries({ ...parts, ...("state" in layer && layer.state) });
    return entries.flatMap(([name, value]: [string, unknown]) =>
      typeof value === "object" && value !== null && "data" in value
        ? [[`${i} ${type}.${name}`, value as Tensor] as const]
        : [],
    );
  });
}

/** What a file holds. */
export function describeLoaded(loaded: LoadedModel): Described {
  const { format, model, tensors, metadata } = loaded;
  const facts: string[] = [];
  let parts: Tensors;
  if (tensors) parts = Object.entries(tensors);
  else if ("inputSize" in model) {
    facts.push(`Frames of ${model.inputSize} in, of ${model.outputSize} out.`);
    parts = weightsOf(model);
  } else if ("inputs" in model) {
    const list = (values: typeof model.inputs) =>
      values.map(({ name, dtype, shape }) => `${name} ${dtype} ${shapeOf(shape)}`).join("; ");
    facts.push(`Inputs: ${list(model.inputs)}. Outputs: ${list(model.outputs)}.`);
    parts = model.parameters().map(({ name, value }) => [name, value] as const);
  } else throw new TypeError("a model of characters is not described");
  for (const [key, value] of Object.entries(metadata).slice(0, MOST_ENTRIES)) facts.push(`${key}: ${shown(value)}`);
  const all = [...parts];
  const rows = all.slice(0, MOST_ROWS).map(([name, { data, shape }]) => [name, shapeOf(shape), typeOf(data)] as const);
  const numbers = all.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
  return { format: FORMATS[format], facts, total: all.length, numbers, rows };
}

function shown(value: unknown): string {
  const plain = (_: string, each: unknown) =>
    typeof each === "bigint" ? `${each}` : ArrayBuffer.isView(each) ? `${each.byteLength} bytes` : each;
  const text = typeof value === "string" ? value : JSON.stringify(value, plain);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)} …` : text;
}
