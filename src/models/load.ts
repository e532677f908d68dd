// Tells what files are by their content, and imports the reader of that format alone.

import { DtypeError, FormatError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { isBytes, takeBytes, takeFileBytes } from "../formats/arrays.js";
import {
  hinted,
  HTML,
  identify,
  identifyJson,
  JSON_FILE,
  LFS,
  looksLikeJson,
  NO_KERAS_MODEL,
  textStart,
  type FileFormat,
  type FileKind,
} from "../formats/identify.js";
import { isRecord, parseJson, quote } from "../formats/json.js";
import { looksLikeSafetensors } from "../formats/safetensors-header.js";
import type { StoredTensor } from "../formats/safetensors.js";
import { decodeUtf8 } from "../formats/utf8.js";
import type { Model } from "../graphs/model.js";
import type { Sequential } from "../nn/sequential.js";
import { FORMAT } from "./charlm-file.js";
import type { CharLM } from "./charlm.js";
import type { StreamingModel } from "./streaming.js";

/** The files of a model: the one, or several by their names, which may have folders ("model/model.json"). */
export type ModelFiles = Uint8Array | Readonly<Record<string, Uint8Array>>;

/** What was loaded; `Loaded*` are its kinds. */
export interface Loaded<Format extends string, Kind> {
  /** The format of the file. */
  format: Format;
  /** A model that runs; the caller's to dispose of. */
  model: Kind;
  /** None: they are the model's. */
  tensors?: undefined;
  /** What the file says beside numbers; a record without a prototype. */
  metadata: Record<string, unknown>;
}

/** A character model: of `writeCharLM`, with the file's metadata, or of ml5. */
export type LoadedCharLM = Loaded<"wasm-rnn" | "ml5", CharLM>;

/**
 * A model of layers: its metadata are those of `onnxMetadata` (ONNX), the texts of model.json beside topology and weights
 * (TensorFlow.js), or empty.
 */
export type LoadedGraph = Loaded<"onnx", Model> | Loaded<"tfjs" | "keras" | "keras-h5", Sequential | Model>;

/** A model of an audio effect: its metadata are the file's entries beside layers, sizes and weights. */
export type LoadedStreamingModel = Loaded<"rtneural" | "proteus" | "nam", StreamingModel>;

/** Numbers without a model. */
export interface LoadedTensors {
  /** The format of the file. */
  format: "safetensors" | "pytorch" | "keras-weights" | "npy" | "npz";
  /** None: the file has numbers alone. */
  model?: undefined;
  /**
   * The tensors by name; a record without a prototype. Those of Keras are "layer/weight", those of PyTorch's nested records are joined
   * by dots ("state_dict.lstm.weight_ih_l0"), an array without a name is `array`.
   */
  tensors: Record<string, StoredTensor>;
  /**
   * What the file says beside numbers; a record without a prototype. Of PyTorch's checkpoints all that is no tensor, nested as it was,
   * with null in the place of a tensor in a list.
   */
  metadata: Record<string, unknown>;
}

/** What `loadModel` gives: `format` tells whether there is a `model`, and of which class, or `tensors`. */
export type LoadedModel = LoadedCharLM | LoadedGraph | LoadedStreamingModel | LoadedTensors;

/** The formats by name. */
export type LoadedFormat = LoadedModel["format"];

/** Files of a caller at most. */
export const MAX_FILES = 1000;

/** A file with what it was recognised as. */
export interface Examined {
  /** "" for the only one. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly kind: FileKind | undefined;
  /** The parsed JSON. */
  readonly json?: unknown;
  /** Why it is no JSON, although it begins so. */
  readonly error?: FormatError;
}

const EXPECTED =
  "a model of ONNX, Keras, TensorFlow.js, PyTorch, RTNeural, Proteus, NAM, ml5 or this package, safetensors, .npy or .npz";

/**
 * Loads a model or tensors from files. What they are is told by their content: names matter only where one file names another. The
 * formats are listed on the page of `wasm-rnn/load`; options are those that each reader has by default.
 *
 * Of several files one is the model; those that it names (the shards of model.json, ml5's variables) must be there, in its folder or by
 * the ends of their names, and others that are no model (a licence, a page of text) are left aside. The bytes must stay as they are
 * until the promise is settled.
 *
 * @param files the file, or files by name
 * @returns the format with a model or tensors, and metadata
 * @throws FormatError for files that are not whole, that are none of these formats (naming what they are, if that is known), for several
 *   models, and for a file that another one names and that is not there; UnsupportedError for what the reader does not support;
 *   ValueError (no files, more than 1000), DtypeError (a file that is no Uint8Array), ShapeError, OutOfMemoryError
 */
export async function loadModel(files: ModelFiles): Promise<LoadedModel> {
  const { main, examined } = recognise(files);
  return READERS[main.kind.format](main, examined);
}

/** The file that is the model, and all files. Throws as `loadModel`. */
export function recognise(files: ModelFiles): { readonly main: Readable; readonly examined: readonly Examined[] } {
  const examined = takeFiles(files).map(([name, bytes]) => examine(name, bytes));
  return { main: mainOf(examined), examined };
}

/** The caller's files by name, each read once. */
function takeFiles(files: unknown): [name: string, bytes: Uint8Array][] {
  if (isBytes(files)) return [["", takeBytes("files", files)]];
  const isBuffer = Object.prototype.toString.call(files) === "[object ArrayBuffer]";
  if (typeof files !== "object" || files === null || Array.isArray(files) || ArrayBuffer.isView(files) || isBuffer) {
    const expected = "a Uint8Array (new Uint8Array(buffer)), or an object of them by the names of files";
    throw new DtypeError("files", describe(files), expected);
  }
  const names = Object.keys(files);
  if (names.length === 0 || names.length > MAX_FILES) {
    throw new ValueError("files", `${names.length} files`, `1 to ${MAX_FILES}, by their names`);
  }
  return takeFileBytes(files);
}

function examine(name: string, bytes: Uint8Array): Examined {
  if (looksLikeSafetensors(bytes, bytes.length)) {
    return { name, bytes, kind: { name: "a safetensors file", format: "safetensors" } };
  }
  if (!looksLikeJson(bytes)) return { name, bytes, kind: identify(bytes) };
  try {
    const argument = name === "" ? "files" : name;
    const json = parseJson(argument, decodeUtf8(bytes.subarray(textStart(bytes)), argument));
    return { name, bytes, kind: identifyJson(json) ?? JSON_FILE, json };
  } catch (error) {
    return { name, bytes, kind: JSON_FILE, error: error as FormatError };
  }
}

/** A file of a format that is read. */
export type Readable = Examined & { readonly kind: FileKind & { readonly format: FileFormat } };

const isReadable = (file: Examined): file is Readable => file.kind?.format !== undefined;

/** The one file that is a model. */
function mainOf(files: readonly Examined[]): Readable {
  const models = files.filter(isReadable);
  const [main, second] = models;
  if (main && !second) return main;
  if (main) {
    // a model of several files may have numbers that look like a file of their own
    const [whole, other] = models.filter(({ kind }) => kind.format === "tfjs" || kind.format === "ml5");
    if (whole && !other) {
      const paths = pathsOf(whole).slice(0, MAX_FILES);
      const parts = new Set(paths.map((path) => find(files, whole, path)?.name));
      if (models.every((each) => each === whole || parts.has(each.name))) return whole;
    }
    const shown = models.slice(0, 5).map(({ name, kind }) => `${quote(name)} (${kind.name})`);
    throw new FormatError("files", `${models.length} models: ${shown.join(", ")}`, "the files of one");
  }
  if (files.length === 1) {
    const [{ name, bytes, kind, error }] = files as readonly [Examined];
    if (error) throw error;
    const argument = name === "" ? "files" : `files[${quote(name)}]`;
    if (kind) throw new FormatError(argument, kind.name, hinted(EXPECTED, kind));
    throw new FormatError(argument, bytes.length === 0 ? "an empty file" : "bytes of an unknown kind", EXPECTED);
  }
  const shown = files.slice(0, 5).map(({ name, kind }) => `${quote(name)} (${kind?.name ?? "unknown"})`);
  const more = files.length > shown.length ? ", ..." : "";
  throw new FormatError("files", `no model among ${shown.join(", ")}${more}`, EXPECTED);
}

// --- models of several files ---------------------------------------------------------------------------------------------

/** The paths that a model of several files names, from its own folder. */
export function pathsOf({ kind, json }: Readable): string[] {
  if (!isRecord(json) || (kind.format !== "tfjs" && kind.format !== "ml5")) return [];
  if (kind.format === "ml5") {
    const names = Object.values(json).map((entry) => (isRecord(entry) ? entry.filename : undefined));
    return ["vocab.json", ...names.filter((name) => typeof name === "string")];
  }
  const groups = Array.isArray(json.weightsManifest) ? (json.weightsManifest as unknown[]) : [];
  return groups.flatMap((group, g) => {
    const paths = isRecord(group) && Array.isArray(group.paths) ? (group.paths as unknown[]) : [];
    return paths.map((path, p) => {
      if (typeof path === "string") return path;
      throw new FormatError(`weightsManifest[${g}].paths[${p}]`, describe(path), "the name of a file");
    });
  });
}

/** A path with "/" between its folders, and none before the first. */
const normal = (path: string) => path.replaceAll("\\", "/").replace(/^(\.?\/)+/, "");

/** The file of a path that `main` names: in its folder, else the only one whose name ends like it. */
function find(files: readonly Examined[], main: Examined, path: string): Examined | undefined {
  const own = normal(main.name);
  const wanted = normal(path);
  const inFolder = own.slice(0, own.lastIndexOf("/") + 1) + wanted;
  const exact = files.find(({ name }) => normal(name) === inFolder);
  if (exact) return exact;
  const last = `/${wanted.slice(wanted.lastIndexOf("/") + 1)}`;
  for (const end of new Set([`/${wanted}`, last])) {
    const [found, another] = files.filter(({ name }) => `/${normal(name)}`.endsWith(end));
    if (found && !another) return found;
  }
  return undefined;
}

/** The files that `main` names. */
export function companionsOf(main: Readable, files: readonly Examined[]): { path: string; bytes: Uint8Array }[] {
  const shown = main.name === "" ? main.kind.name : `${quote(main.name)}, ${main.kind.name}`;
  const taken = new Set<Examined>();
  return pathsOf(main).map((path) => {
    const found = find(files, main, path);
    if (!found) {
      throw new FormatError("files", `${shown}, without ${quote(path)}`, "the files that it names, by their names");
    }
    if (found.kind && (found.kind.name === HTML || found.kind.name === LFS)) {
      throw new FormatError(`files[${quote(found.name)}]`, found.kind.name, hinted(`the file of ${shown}`, found.kind));
    }
    if (taken.has(found))
      throw new FormatError("files", `${shown}, which names ${quote(path)} twice`, "each file once");
    taken.add(found);
    return { path, bytes: found.bytes };
  });
}

// --- the readers -----------------------------------------------------------------------------------------------------

/** Entry points with readers, each imported once a file needs it. The build leaves them to the package's own files. */
const LIBRARY = {
  safetensors: () => import("../safetensors.js"),
  index: () => import("../index.js"),
  onnx: () => import("../onnx.js"),
  keras: () => import("../keras.js"),
  text: () => import("../text.js"),
  pytorch: () => import("../pytorch.js"),
  npy: () => import("../npy.js"),
  audio: () => import("../audio.js"),
};

type Read = (main: Readable, files: readonly Examined[]) => Promise<LoadedModel>;

/** A record without a prototype. */
function record(entries: Iterable<readonly [string, unknown]> = []): Record<string, unknown> {
  const made = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of entries) made[key] = value;
  return made;
}

/** What parsed JSON says beside the entries of some names. */
const beside = (json: unknown, ...names: readonly string[]) =>
  record(Object.entries(json as object).filter(([key]) => !names.includes(key)));

const READERS: Readonly<Record<FileFormat, Read>> = {
  async safetensors({ bytes }) {
    const { readSafetensors } = await LIBRARY.safetensors();
    const { metadata } = readSafetensors(bytes, { only: () => false });
    if (metadata.format !== FORMAT) {
      return { format: "safetensors", ...readSafetensors<StoredTensor>(bytes) };
    }
    const { readCharLM } = await LIBRARY.index();
    return { format: "wasm-rnn", model: readCharLM(bytes).model, metadata };
  },

  async onnx({ bytes }) {
    const { fromOnnx, onnxMetadata } = await LIBRARY.onnx();
    const model = fromOnnx(bytes);
    return { format: "onnx", model, metadata: record(Object.entries(onnxMetadata(model))) };
  },

  async tfjs(main, files) {
    const json = main.json as Readonly<Record<string, unknown>>;
    if (json.format === "graph-model") {
      throw new UnsupportedError("files", `${main.kind.name}, a graph model`, "a Layers model (format layers-model)");
    }
    const shards = companionsOf(main, files).map(({ bytes }) => bytes);
    const { fromTfjs } = await LIBRARY.keras();
    const metadata = beside(json, "modelTopology", "weightsManifest");
    return { format: "tfjs", model: fromTfjs(json, shards), metadata };
  },

  async keras({ bytes }) {
    const { fromKeras } = await LIBRARY.keras();
    return { format: "keras", model: fromKeras(bytes), metadata: record() };
  },

  async h5({ bytes }) {
    const { fromKeras, readKerasWeights } = await LIBRARY.keras();
    try {
      return { format: "keras-h5", model: fromKeras(bytes), metadata: record() };
    } catch (error) {
      if (!(error instanceof FormatError && error.received === NO_KERAS_MODEL)) throw error;
    }
    const tensors = Object.create(null) as Record<string, StoredTensor>;
    for (const [layer, weights] of Object.entries(readKerasWeights(bytes))) {
      for (const [own, tensor] of Object.entries(weights)) {
        put(tensors, own.startsWith(`${layer}/`) ? own : `${layer}/${own}`, tensor);
      }
    }
    return { format: "keras-weights", tensors, metadata: record() };
  },

  async ml5(main, files) {
    const companions = companionsOf(main, files);
    const { fromMl5 } = await LIBRARY.text();
    const own = Object.create(null) as Record<string, Uint8Array>;
    for (const { path, bytes } of companions) own[path] = bytes;
    own["manifest.json"] = main.bytes.subarray(textStart(main.bytes));
    return { format: "ml5", model: fromMl5(own), metadata: record() };
  },

  async pytorch({ bytes }) {
    const { readTorch } = await LIBRARY.pytorch();
    const value = readTorch<unknown>(bytes);
    const { tensors, rest } = flatten(value, bytes.length);
    const isPlain = isRecord(rest) && !ArrayBuffer.isView(rest);
    const entries = isPlain ? Object.entries(rest) : rest === undefined ? [] : [["value", rest] as const];
    return { format: "pytorch", tensors, metadata: record(entries) };
  },

  async npy({ bytes }) {
    const { readNpy } = await LIBRARY.npy();
    const tensors = Object.create(null) as Record<string, StoredTensor>;
    tensors[NAMELESS] = readNpy<StoredTensor>(bytes);
    return { format: "npy", tensors, metadata: record() };
  },

  async npz({ bytes }) {
    const { readNpz } = await LIBRARY.npy();
    return { format: "npz", tensors: readNpz<StoredTensor>(bytes), metadata: record() };
  },

  async rtneural({ json }) {
    const { fromRtneural } = await LIBRARY.audio();
    return { format: "rtneural", model: fromRtneural(json), metadata: record() };
  },

  async proteus({ json }) {
    const { fromProteus } = await LIBRARY.audio();
    const model = fromProteus(json);
    return { format: "proteus", model, metadata: beside(json, "state_dict") };
  },

  async nam({ json }) {
    const { fromNam } = await LIBRARY.audio();
    const model = fromNam(json);
    return { format: "nam", model, metadata: beside(json, "config", "weights") };
  },
};

// --- tensors by name -------------------------------------------------------------------------------------------------

/** The name of an array that has none. */
const NAMELESS = "array";

function put(tensors: Record<string, StoredTensor>, name: string, tensor: StoredTensor): void {
  if (name in tensors) throw new FormatError("files", `two tensors ${quote(name)}`, "each name once");
  tensors[name] = tensor;
}

/** The tensors of nested records and lists by their paths, and what else there is; undefined where there is nothing else. */
function flatten(root: unknown, size: number): { tensors: Record<string, StoredTensor>; rest: unknown } {
  const tensors = Object.create(null) as Record<string, StoredTensor>;
  // records in several places have several names: they could be many more than there are bytes
  let budget = 1_000_000 + 64 * size;
  const walk = (value: unknown, name: string): unknown => {
    budget -= 1 + name.length;
    if (budget < 0) throw new FormatError("files", "too many names", "a tree of tensors");
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
    if (isTensor(value)) return void put(tensors, name === "" ? NAMELESS : name, value);
    const path = (key: string) => (name === "" ? key : `${name}.${key}`);
    if (Array.isArray(value)) {
      const rest = (value as unknown[]).map((each, i) => walk(each, path(`${i}`)));
      return rest.length > 0 && rest.every((each) => each === undefined) ? undefined : rest.map((each) => each ?? null);
    }
    const entries = Object.entries(value).map(([key, each]) => [key, walk(each, path(key))] as const);
    const kept = entries.filter(([, each]) => each !== undefined);
    return kept.length === 0 && entries.length > 0 ? undefined : record(kept);
  };
  return { tensors, rest: walk(root, "") };
}

function isTensor(value: object): value is StoredTensor {
  const { data, shape } = value as Partial<StoredTensor>;
  return ArrayBuffer.isView(data) && Array.isArray(shape);
}
