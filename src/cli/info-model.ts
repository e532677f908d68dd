// wasm-rnn info of models and tensors in formats other than safetensors and ONNX. What they say is read from their descriptions, so that a
// model which does not run here is described, too.

import type { UnsupportedError } from "../../bindings/errors.js";
import { showShape, sizeOf } from "../../bindings/tensor.js";
import { numberTypeOf } from "../formats/arrays.js";
import { sizeAfter, type NetworkDescription } from "../formats/audio/description.js";
import { readNam } from "../formats/audio/nam.js";
import { readProteus } from "../formats/audio/proteus.js";
import { readRtneural } from "../formats/audio/rtneural.js";
import type { KerasLayer, KerasModel } from "../formats/keras/description.js";
import { readKeras } from "../formats/keras/files.js";
import { readTfjs } from "../formats/keras/tfjs.js";
import { countParameters } from "../models/charlm-file.js";
import type { CharLM } from "../models/charlm.js";
import { companionsOf, recognise, type LoadedFormat, type LoadedModel, type ModelFiles } from "../models/load.js";
import { messageOf, namedLater } from "./errors.js";
import { loadLoad } from "./library.js";
import { readModelFiles } from "./model-files.js";
import { count } from "./progress.js";
import { printJson, printLine, printMetadata, show, value } from "./show.js";

type Shape = readonly (number | string)[];

/** A layer with the shapes of its weights by name. */
interface LayerInfo {
  readonly name: string;
  readonly type: string;
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

/** A model as its file describes it. */
interface Description {
  /** A shape that the file does not say is undefined. */
  readonly inputs: readonly { readonly name: string; readonly shape: Shape | undefined }[];
  readonly outputs: readonly { readonly name: string; readonly shape: Shape | undefined }[];
  readonly layers: readonly LayerInfo[];
}

/** What the formats are called. */
const TITLES: Readonly<Record<Exclude<LoadedFormat, "wasm-rnn" | "safetensors" | "onnx">, string>> = {
  tfjs: "Layers model of TensorFlow.js",
  keras: "model of Keras 3 (.keras)",
  "keras-h5": "model of Keras (.h5)",
  "keras-weights": "weights of Keras (.h5)",
  pytorch: "PyTorch checkpoint",
  npy: "NumPy array (.npy)",
  npz: "NumPy arrays (.npz)",
  rtneural: "model of RTNeural",
  proteus: "model of Proteus",
  nam: "model of Neural Amp Modeler",
  ml5: "character model of ml5",
};

type Format = keyof typeof TITLES;

// --- descriptions ----------------------------------------------------------------------------------------------------

/** What a model's file says; undefined for files that have no layers, or do not say them. */
function describe({ main, examined }: ReturnType<typeof recognise>): Description | undefined {
  switch (main.kind.format) {
    case "tfjs":
      return ofKeras(readTfjs(main.json, companionsOf(main, examined).map(({ bytes }) => bytes))); // prettier-ignore
    case "keras":
    case "h5":
      return ofKeras(readKeras("file", main.bytes));
    case "rtneural":
      return ofNetwork(readRtneural(main.json, "f32", { modules: undefined, convolutions: undefined }));
    case "proteus":
      return ofNetwork(readProteus(main.json, "f32"));
    case "nam":
      return ofNetwork(readNam(main.json, "f32"));
    default:
      return undefined;
  }
}

function ofKeras(model: KerasModel): Description {
  const outputs = model.outputNames.map((name) => ({ name, shape: undefined }));
  const inputs = model.inputs.map(({ name, shape }) => ({ name, shape: shape?.map((n) => n ?? "any") }));
  return { inputs, outputs, layers: kerasLayers(model, "") };
}

function kerasLayers({ calls }: KerasModel, prefix: string): LayerInfo[] {
  const layers = new Set(calls.map(({ layer }) => layer)); // one may be called often
  return [...layers].flatMap((layer): LayerInfo[] => {
    const name = prefix + layer.name;
    if (layer.model) return kerasLayers(layer.model, `${name}/`);
    return [{ name, type: typeOf(layer), weights: Object.fromEntries(kerasWeights(layer)) }];
  });
}

function typeOf({ kind, inner }: KerasLayer): string {
  return inner ? `${kind}(${typeOf(inner)})` : kind;
}

function kerasWeights({ weights, inner, backward }: KerasLayer): [name: string, shape: readonly number[]][] {
  const part = (prefix: string, layer: KerasLayer | undefined) =>
    layer ? kerasWeights(layer).map(([name, shape]): [string, readonly number[]] => [prefix + name, shape]) : [];
  const own = [...weights].map(([name, { shape }]): [string, readonly number[]] => [name, shape]);
  return [...own, ...part(backward ? "forward/" : "", inner), ...part("backward/", backward)];
}

function ofNetwork({ inputSize, layers }: NetworkDescription): Description {
  const frames = (size: number): Shape => ["frames", size];
  return {
    inputs: [{ name: "input", shape: frames(inputSize) }],
    outputs: [{ name: "output", shape: frames(sizeAfter(layers, inputSize)) }],
    layers: layers.map((layer, i) => {
      const { type, state, ...own } = layer as typeof layer & { state?: object };
      return { name: String(i), type, weights: Object.fromEntries(tensorsIn({ ...state, ...own }, "")) };
    }),
  };
}

/** The tensors of nested records and lists, by their paths. */
function tensorsIn(record: object, prefix: string): [name: string, shape: readonly number[]][] {
  return Object.entries(record).flatMap(([key, each]: [string, unknown]): [string, readonly number[]][] => {
    if (typeof each !== "object" || each === null) return [];
    const { data, shape } = each as { data?: unknown; shape?: readonly number[] };
    if (ArrayBuffer.isView(data) && shape) return [[prefix + key, shape]];
    return tensorsIn(each, `${prefix}${key}.`);
  });
}

// --- what there is to say --------------------------------------------------------------------------------------------

interface ModelInfo {
  readonly format: Format;
  readonly description: Description | undefined;
  readonly loaded: LoadedModel | undefined;
  readonly unsupported: readonly string[];
}

const isUnsupported = (error: unknown): error is UnsupportedError =>
  error instanceof Error && error.name === "UnsupportedError"; // it may be of the library's own copy of the class

async function readInfo(files: ModelFiles): Promise<ModelInfo> {
  const unsupported = new Set<string>();
  const attempt = async <T>(work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      unsupported.add(messageOf(error));
      return undefined;
    }
  };
  const { loadModel } = await loadLoad();
  const loaded = await attempt(() => loadModel(files));
  const recognised = recognise(files);
  const { format: kind } = recognised.main.kind;
  const format = (loaded?.format ?? (kind === "h5" ? "keras-h5" : kind)) as Format;
  const description = format === "keras-weights" ? undefined : await attempt(() => describe(recognised));
  return { format, description, loaded, unsupported: [...unsupported] };
}

/** Runs the command on files that are neither safetensors nor ONNX. Returns the exit code. */
export async function infoOfModel(path: string, json: boolean): Promise<number> {
  const { files, paths, size } = readModelFiles(path);
  const info = await namedLater(path, () => readInfo(files));
  try {
    if (json) printJson({ event: "info", format: info.format, bytes: size, files: paths, ...fieldsOf(info) });
    else {
      const several = paths.length > 1 ? ` in ${paths.length} files` : "";
      printLine(`${show(path)}: ${TITLES[info.format]}, ${count(size)} bytes${several}`);
      printInfo(info);
    }
  } finally {
    info.loaded?.model?.dispose();
  }
  return 0;
}

const numbersIn = (shapes: readonly (readonly number[])[]): number =>
  shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);

const weightsIn = (layers: readonly LayerInfo[]) => layers.flatMap(({ weights }) => Object.values(weights));

const isCharacterModel = (loaded: LoadedModel | undefined) => loaded?.format === "ml5" || loaded?.format === "wasm-rnn";

/** What --json prints. */
function fieldsOf({ description, loaded, unsupported }: ModelInfo): object {
  const metadata = loaded ? plainJson(loaded.metadata) : {};
  if (loaded?.tensors) {
    const entries = Object.entries(loaded.tensors);
    const tensors = Object.fromEntries(entries.map(([name, { shape }]) => [name, shape]));
    const dtypes = Object.fromEntries(entries.map(([name, { data }]) => [name, numberTypeOf(data)]));
    return { tensors, dtypes, metadata, unsupported };
  }
  if (isCharacterModel(loaded)) {
    const { vocabulary, architecture } = loaded!.model as CharLM;
    const parameters = countParameters(vocabulary.size, architecture);
    return { architecture, parameters, vocabulary: vocabulary.characters, metadata, unsupported };
  }
  const { inputs = [], outputs = [], layers = [] } = description ?? {};
  return { inputs, outputs, layers, parameters: numbersIn(weightsIn(layers)), metadata, unsupported };
}

function printInfo({ description, loaded, unsupported }: ModelInfo): void {
  if (description) printDescription(description);
  if (isCharacterModel(loaded)) {
    for (const line of architectureLines(loaded!.model as CharLM)) printLine(line);
    printLine(vocabularyLine(loaded!.model as CharLM));
  }
  if (loaded?.tensors) {
    const entries = Object.entries(loaded.tensors);
    printLine(`tensors: ${count(entries.length)}, ${count(numbersIn(entries.map(([, { shape }]) => shape)))} numbers`);
    for (const [name, { data, shape }] of entries)
      printLine(`  ${show(name)} ${showShape(shape)} ${numberTypeOf(data)}`);
  }
  if (loaded) printMetadata(plainJson(loaded.metadata) as Record<string, unknown>);
  if (loaded?.model) printLine("unsupported: none; loadModel runs it");
  for (const each of unsupported) printLine(`unsupported: ${show(each)}`);
}

function printDescription({ inputs, outputs, layers }: Description): void {
  const line = ({ name, shape }: Description["inputs"][number]) =>
    printLine(`  ${show(name)}${shape ? ` ${showShape(shape)}` : ""}`);
  printLine("inputs:");
  inputs.forEach(line);
  printLine("outputs:");
  outputs.forEach(line);
  printLine(`layers: ${count(layers.length)}`);
  for (const { name, type, weights } of layers) {
    const shapes = Object.entries(weights).map(([key, shape]) => `${key} ${showShape(shape)}`);
    printLine(`  ${show(name)}: ${show(type)}${shapes.length > 0 ? `, ${show(shapes.join(", "))}` : ""}`);
  }
  const weights = weightsIn(layers);
  printLine(`parameters: ${count(weights.length)}, ${count(numbersIn(weights))} numbers`);
}

/** The lines on the layers of a character model. */
export function architectureLines({ vocabulary, architecture }: CharLM): string[] {
  const { cell, embeddingDim, hiddenSize, numLayers, dtype } = architecture;
  return [
    `architecture: embedding ${embeddingDim}, ${numLayers} x ${cell} ${hiddenSize}, linear ${vocabulary.size}`,
    `parameters: ${count(countParameters(vocabulary.size, architecture))} (${dtype})`,
  ];
}

/** The line on its characters. */
export function vocabularyLine({ vocabulary }: CharLM): string {
  return `vocabulary: ${vocabulary.size} characters: ${value(vocabulary.characters.join(""))}`;
}

/** A value as JSON has it: whole numbers beyond 2^53 are texts, bytes their number. */
function plainJson(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.map(plainJson);
  const plain = Object.create(null) as Record<string, unknown>;
  for (const [key, each] of Object.entries(value)) plain[key] = plainJson(each);
  return plain;
}
