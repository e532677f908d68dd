// Recognises a file by its first bytes or, for JSON, by its keys: for the errors of readers that got another kind, and for
// models/load.ts, which picks a reader.

import { isRecord } from "./json.js";
import { decodeLatin1 } from "./utf8.js";

/** Kinds that a reader of this package reads. */
export type FileFormat =
  "safetensors" | "onnx" | "tfjs" | "ml5" | "keras" | "h5" | "pytorch" | "npy" | "npz" | "rtneural" | "proteus" | "nam";

/** A kind of file. */
export interface FileKind {
  /** With its article: "an ONNX model". */
  readonly name: string;
  /** How to get what is wanted from it, if there is a way. */
  readonly hint?: string;
  /** For those that are read. */
  readonly format?: FileFormat;
}

/** The name of ONNX files. */
export const ONNX = "an ONNX model";

/** The names of files that are a server's or Git's answer in place of a file. */
export const HTML = "an HTML page";
export const LFS = "a Git LFS pointer";

/** What an error received for a .h5 file with weights alone. */
export const NO_KERAS_MODEL = "no model_config";

/** Bytes of the largest JSON that is parsed only to recognise it. */
const MAX_JSON = 32_000_000;

/** Files of a zip archive whose names are read at most. */
const MAX_NAMES = 1000;

const H5_HINT = "use fromKeras of wasm-rnn/keras, or readKerasWeights for weights alone";
const TFJS_HINT = "use fromTfjs of wasm-rnn/keras, or give loadModel of wasm-rnn/load all its files";
const ML5_HINT = "use fromMl5 of wasm-rnn/text, or give loadModel of wasm-rnn/load all its files";
const TOPOLOGY_HINT = "fromKeras of wasm-rnn/keras reads the model with its weights: .keras or .h5";

const KERAS = { format: "keras", hint: "use fromKeras of wasm-rnn/keras" } as const;
const NPZ = { format: "npz", hint: "use readNpz of wasm-rnn/npy" } as const;
const TORCH = { format: "pytorch", hint: "use readTorch of wasm-rnn/pytorch" } as const;

/** First bytes of files, as Latin-1 characters. */
const BEGINNINGS: readonly (readonly [string, FileKind])[] = /* @__PURE__ */ (() => [
  ["\x89HDF\r\n\x1a\n", { name: "an HDF5 file (Keras .h5)", hint: H5_HINT, format: "h5" }],
  ["\x93NUMPY", { name: "a NumPy .npy file", hint: "use readNpy of wasm-rnn/npy", format: "npy" }],
  ["\x1f\x8b", { name: "a gzip file", hint: "unpack it first" }],
  // pickle protocol 2, then the magic number of torch.save before 1.6
  ["\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", { name: "a PyTorch checkpoint (pickle)", ...TORCH }],
  ["version https://git-lfs", { name: LFS, hint: "`git lfs pull` fetches the file itself" }],
  ["GGUF", { name: "a GGUF file" }],
])();

/** The kind of file, if it is recognised and not safetensors. */
export function identify(bytes: Uint8Array): FileKind | undefined {
  for (const [beginning, kind] of BEGINNINGS) if (startsWith(bytes, 0, beginning)) return kind;
  if (startsWith(bytes, 0, "PK\x03\x04") || startsWith(bytes, 0, "PK\x05\x06")) return identifyZip(bytes);
  if (startsWith(bytes, 4, "TFL3")) return { name: "a TensorFlow Lite model" };
  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5 && bytes[2] !== 0) return { name: "a Python pickle" };
  if (isOnnx(bytes)) return { name: ONNX, hint: "use fromOnnx of wasm-rnn/onnx", format: "onnx" };
  return identifyText(bytes);
}

/** The kind of file of parsed JSON, if it is recognised. */
export function identifyJson(value: unknown): FileKind | undefined {
  if (!isRecord(value)) return undefined;
  const has = (...keys: string[]) => keys.every((key) => Object.hasOwn(value, key));
  if (has("model_data")) {
    return { name: "JSON of Proteus", hint: "use fromProteus of wasm-rnn/audio", format: "proteus" };
  }
  if (has("architecture", "config", "weights")) {
    return { name: "JSON of NAM (Neural Amp Modeler)", hint: "use fromNam of wasm-rnn/audio", format: "nam" };
  }
  if (has("modelTopology") || has("weightsManifest")) {
    return { name: "a model.json of TensorFlow.js", hint: TFJS_HINT, format: "tfjs" };
  }
  if (has("class_name", "config")) return { name: "JSON of a Keras model, without weights", hint: TOPOLOGY_HINT };
  const names = Object.keys(value).slice(0, MAX_NAMES);
  if (has("layers") || has("in_shape") || names.some((name) => /(^|\.)weight(_hh_l0)?$/.test(name.slice(-100)))) {
    return { name: "JSON of RTNeural", hint: "use fromRtneural of wasm-rnn/audio", format: "rtneural" };
  }
  if (names.length > 0 && names.every((name) => isVariable(value[name]))) {
    return { name: "a manifest.json of ml5", hint: ML5_HINT, format: "ml5" };
  }
  return undefined;
}

/** An entry of ml5's manifest. */
function isVariable(value: unknown): boolean {
  return isRecord(value) && typeof value.filename === "string" && Array.isArray(value.shape);
}

/** The "expected" part of a message about a file of another kind, with its hint. */
export function hinted(expected: string, { hint }: FileKind): string {
  return hint === undefined ? expected : `${expected}; ${hint}`;
}

function startsWith(bytes: Uint8Array, offset: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[offset + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Protocol buffers of a ModelProto: field 1, the version of the format, then another of its fields. */
function isOnnx(bytes: Uint8Array): boolean {
  const [tag, version = 0, next = 0] = bytes;
  const fields = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72]; // producer, domain, version, text, graph, opset, metadata
  return tag === 0x08 && version >= 2 && version <= 30 && fields.includes(next);
}

function identifyZip(bytes: Uint8Array): FileKind {
  const names = zipNames(bytes);
  const some = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (some(/(^|\/)data\.pkl$/)) return { name: "a PyTorch checkpoint (zip)", ...TORCH };
  if (some(/\.weights\.h5$/)) return { name: "a Keras 3 model (.keras)", ...KERAS };
  if (some(/\.npy$/)) return { name: "a NumPy .npz file", ...NPZ };
  return { name: "a zip archive", hint: "unpack it first" };
}

/** Names of the files in a zip archive: from the directory at its end, or the first file's alone where it is cut off. */
function zipNames(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const names: string[] = [];
  const nameAt = (at: number, length: number) => {
    if (at + length <= bytes.length) names.push(decodeLatin1(bytes.subarray(at, at + Math.min(length, 300))));
  };
  const last = bytes.length - 22;
  for (let end = last; end >= 0 && end > last - 65536; end--) {
    if (!startsWith(bytes, end, "PK\x05\x06")) continue;
    let at = view.getUint32(end + 16, true);
    while (names.length < MAX_NAMES && at + 46 <= bytes.length && startsWith(bytes, at, "PK\x01\x02")) {
      const length = view.getUint16(at + 28, true);
      nameAt(at + 46, length);
      at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    }
    break;
  }
  if (names.length === 0 && bytes.length >= 30) nameAt(30, view.getUint16(26, true));
  return names;
}

function identifyText(bytes: Uint8Array): FileKind | undefined {
  const start = textStart(bytes);
  const beginning = beginningOf(bytes, start).toLowerCase();
  if (beginning.startsWith("<!doctype html") || beginning.startsWith("<html")) {
    return { name: HTML, hint: "is its address the file's own?" };
  }
  if (beginning.startsWith("<?xml") || beginning.startsWith("<svg")) return { name: "an XML file" };
  if (!looksLikeJson(bytes)) return undefined;
  return (bytes.length <= MAX_JSON ? identifyJson(parse(bytes.subarray(start))) : undefined) ?? JSON_FILE;
}

/** The kind of JSON that is none of the others. */
export const JSON_FILE: FileKind = { name: "a JSON file" };

/** Whether a file begins as JSON objects and arrays do. */
export function looksLikeJson(bytes: Uint8Array): boolean {
  const beginning = beginningOf(bytes, textStart(bytes));
  return /^[{[]\s*("|\{|\[|\}|\]|[-\d])/.test(beginning) && !beginning.includes("\0");
}

/** Where text begins: after a byte order mark. */
export function textStart(bytes: Uint8Array): number {
  return startsWith(bytes, 0, "\xef\xbb\xbf") ? 3 : 0;
}

function beginningOf(bytes: Uint8Array, start: number): string {
  return decodeLatin1(bytes.subarray(start, start + 200)).trimStart();
}

/** Parses bytes as JSON, reading them as Latin-1; undefined where they are not JSON. */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decodeLatin1(bytes));
  } catch {
    return undefined; // not JSON, or nested too deeply for the engine
  }
}
