// Recognises a file of the wrong kind by its first bytes or, for JSON, by its keys, so that an error can name it. Used for
// messages only.

import { isRecord } from "./json.js";

/** A kind of file, for a message. */
export interface FileKind {
  /** With its article: "an ONNX model". */
  readonly name: string;
  /** How to get what is wanted from it, if there is a way. */
  readonly hint?: string;
}

/** Bytes of the largest JSON that is parsed only to recognise it. */
const MAX_JSON = 32_000_000;

/** Files of a zip archive whose names are read at most. */
const MAX_NAMES = 1000;

const TORCH_HINT = "in Python, safetensors.torch.save_file(model.state_dict(), path) writes what readSafetensors reads";
const NUMPY_HINT = "in Python, safetensors.numpy.save_file(arrays, path) writes what readSafetensors reads";
const KERAS_HINT = 'the guide "Porting from Keras" shows how its weights come here';

/** First bytes of files, as Latin-1 characters. */
const BEGINNINGS: readonly (readonly [string, FileKind])[] = [
  ["\x89HDF\r\n\x1a\n", { name: "an HDF5 file (Keras .h5)", hint: KERAS_HINT }],
  ["\x93NUMPY", { name: "a NumPy .npy file", hint: NUMPY_HINT }],
  ["\x1f\x8b", { name: "a gzip file", hint: "unpack it first" }],
  // pickle protocol 2, then the magic number of torch.save before 1.6
  ["\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", { name: "a PyTorch checkpoint (pickle)", hint: TORCH_HINT }],
  ["version https://git-lfs", { name: "a Git LFS pointer", hint: "`git lfs pull` fetches the file itself" }],
  ["GGUF", { name: "a GGUF file" }],
];

/** The kind of file, if it is recognised and not safetensors. */
export function identify(bytes: Uint8Array): FileKind | undefined {
  for (const [beginning, kind] of BEGINNINGS) if (startsWith(bytes, 0, beginning)) return kind;
  if (startsWith(bytes, 0, "PK\x03\x04") || startsWith(bytes, 0, "PK\x05\x06")) return identifyZip(bytes);
  if (startsWith(bytes, 4, "TFL3")) return { name: "a TensorFlow Lite model" };
  if (bytes[0] === 0x80 && bytes[1]! >= 2 && bytes[1]! <= 5 && bytes[2] !== 0) return { name: "a Python pickle" };
  if (isOnnx(bytes)) return { name: "an ONNX model" };
  return identifyText(bytes);
}

/** The kind of file of parsed JSON, if it is recognised. */
export function identifyJson(value: unknown): FileKind | undefined {
  if (!isRecord(value)) return undefined;
  const has = (...keys: string[]) => keys.every((key) => Object.hasOwn(value, key));
  if (has("model_data")) {
    return { name: "JSON of Proteus", hint: "use fromProteus of wasm-rnn/audio" };
  }
  if (has("architecture", "config", "weights")) return { name: "JSON of NAM (Neural Amp Modeler)" };
  if (has("modelTopology") || has("weightsManifest")) {
    return {
      name: "a model.json of TensorFlow.js",
      hint: 'the guide "Porting from TensorFlow.js" shows how it comes here',
    };
  }
  if (has("class_name", "config")) return { name: "JSON of a Keras model, without weights", hint: KERAS_HINT };
  const names = Object.keys(value).slice(0, MAX_NAMES);
  if (has("layers") || has("in_shape") || names.some((name) => /(^|\.)weight(_hh_l0)?$/.test(name.slice(-100)))) {
    return { name: "JSON of RTNeural", hint: "use fromRtneural of wasm-rnn/audio" };
  }
  return undefined;
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
  if (some(/(^|\/)data\.pkl$/)) return { name: "a PyTorch checkpoint (zip)", hint: TORCH_HINT };
  if (some(/\.weights\.h5$/)) return { name: "a Keras 3 model (.keras)", hint: KERAS_HINT };
  if (some(/\.npy$/)) return { name: "a NumPy .npz file", hint: NUMPY_HINT };
  return { name: "a zip archive", hint: "unpack it first" };
}

/** Names of the files in a zip archive: from the directory at its end, or the first file's alone where it is cut off. */
function zipNames(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const names: string[] = [];
  const nameAt = (at: number, length: number) => {
    if (at + length <= bytes.length) names.push(latin1(bytes.subarray(at, at + Math.min(length, 300))));
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
  const start = startsWith(bytes, 0, "\xef\xbb\xbf") ? 3 : 0;
  const beginning = latin1(bytes.subarray(start, start + 200))
    .trimStart()
    .toLowerCase();
  if (beginning.startsWith("<!doctype html") || beginning.startsWith("<html")) {
    return { name: "an HTML page", hint: "is its address the file's own?" };
  }
  if (beginning.startsWith("<?xml") || beginning.startsWith("<svg")) return { name: "an XML file" };
  if (!/^[{[]\s*("|\{|\[|\}|\]|[-\d])/.test(beginning) || beginning.includes("\0")) return undefined;
  return (bytes.length <= MAX_JSON ? identifyJson(parse(bytes.subarray(start))) : undefined) ?? { name: "a JSON file" };
}

/** Parses bytes as JSON, reading them as Latin-1; undefined where they are not JSON. */
function parse(bytes: Uint8Array): unknown {
  try {
    const parts: string[] = [];
    for (let at = 0; at < bytes.length; at += 8192) parts.push(latin1(bytes.subarray(at, at + 8192)));
    return JSON.parse(parts.join(""));
  } catch {
    return undefined; // not JSON, or nested too deeply for the engine
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
