// Reads the files of ml5's charRNN: a manifest, a file for each variable, and the vocabulary. Variables have TensorFlow 1's names.

import { FormatError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, showShape, sizeOf, type Tensor } from "../../bindings/tensor.js";
import { takeFileBytes } from "./arrays.js";
import { isRecord, parseJson, quote } from "./json.js";
import { decodeUtf8 } from "./utf8.js";

/** A model of characters: Embedding, BasicLSTMCells on top of each other, softmax. */
export interface Ml5Description {
  /** In the order of their codes. */
  readonly characters: readonly string[];
  /** [V,E]. */
  readonly embedding: Tensor;
  /** Each of H units: kernel [in + H,4H], bias [4H], in TensorFlow 1's order of gates. */
  readonly cells: readonly { readonly kernel: Tensor; readonly bias: Tensor }[];
  /** [H,V], [V]. */
  readonly softmax: { readonly weight: Tensor; readonly bias: Tensor };
  readonly hiddenSize: number;
}

/** Files of a caller at most, and axes of a variable. */
const MAX_FILES = 1000;
const MAX_AXES = 8;

/**
 * The model of files by name.
 *
 * @throws ValueError, DtypeError (files), FormatError, ShapeError, UnsupportedError
 */
export function readMl5(given: unknown): Ml5Description {
  const files = takeFiles(given);
  const variables = readVariables(files);
  const characters = readVocabulary(files);
  const take = (name: string, pattern: readonly (number | string)[]): Tensor => {
    const tensor = variables.get(name);
    if (!tensor) throw new FormatError("manifest.json", `no variable ${quote(name)}`, `one of shape ${showShape(pattern)}`); // prettier-ignore
    const { shape } = tensor;
    const fits = shape.length === pattern.length && pattern.every((size, i) => typeof size === "string" || size === shape[i]); // prettier-ignore
    if (!fits) throw new ShapeError(`manifest.json[${quote(name)}]`, showShape(shape), showShape(pattern));
    variables.delete(name);
    return tensor;
  };
  const v = characters.length;
  const embedding = take("embedding", [v, "E"]);
  const cells: { kernel: Tensor; bias: Tensor }[] = [];
  let [width, hiddenSize] = [embedding.shape[1]!, 0];
  for (;;) {
    const path = `rnnlm/multi_rnn_cell/cell_${cells.length}/basic_lstm_cell`;
    if (cells.length > 0 && !variables.has(`${path}/kernel`)) break;
    const bias = take(`${path}/bias`, [cells.length === 0 ? "4H" : 4 * hiddenSize]);
    const [columns] = bias.shape as [number];
    if (columns % 4 !== 0)
      throw new ShapeError(`manifest.json[${quote(`${path}/bias`)}]`, showShape(bias.shape), "[4H]");
    hiddenSize = columns / 4;
    cells.push({ kernel: take(`${path}/kernel`, [width + hiddenSize, columns]), bias });
    width = hiddenSize;
  }
  const softmax = { weight: take("rnnlm/softmax_w", [hiddenSize, v]), bias: take("rnnlm/softmax_b", [v]) };
  for (const [name, { shape }] of variables) {
    if (shape.length === 0) continue; // the learning rate, a count of steps
    throw new UnsupportedError("manifest.json", `a variable ${quote(name)}`, "those of an embedding, BasicLSTMCells and a softmax"); // prettier-ignore
  }
  return { characters, embedding, cells, softmax, hiddenSize };
}

/** The caller's files by name, each read once. */
function takeFiles(given: unknown): ReadonlyMap<string, Uint8Array> {
  if (typeof given !== "object" || given === null) {
    throw new ValueError("files", describe(given), "an object of Uint8Arrays by the names of files");
  }
  const names = Object.keys(given);
  if (names.length > MAX_FILES) throw new ValueError("files", `${names.length} files`, `at most ${MAX_FILES}`);
  return new Map(takeFileBytes(given));
}

function readJson(files: ReadonlyMap<string, Uint8Array>, name: string): Readonly<Record<string, unknown>> {
  const bytes = files.get(name);
  if (!bytes)
    throw new ValueError("files", `no ${name}`, "manifest.json, vocab.json and the files that the manifest names");
  const value = parseJson(name, decodeUtf8(bytes, name));
  if (isRecord(value)) return value;
  throw new FormatError(name, describe(value), "an object");
}

/** The manifest's variables, f32. */
function readVariables(files: ReadonlyMap<string, Uint8Array>): Map<string, Tensor> {
  const manifest = readJson(files, "manifest.json");
  const variables = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(manifest)) {
    const path = `manifest.json[${quote(name)}]`;
    if (!isRecord(entry)) throw new FormatError(path, describe(entry), "an object with filename and shape");
    const { filename, shape } = entry;
    if (typeof filename !== "string") throw new FormatError(`${path}.filename`, describe(filename), "a string");
    const isSize = (size: unknown) => Number.isSafeInteger(size) && (size as number) >= 1;
    if (!Array.isArray(shape) || shape.length > MAX_AXES || !shape.every(isSize)) {
      throw new FormatError(`${path}.shape`, describe(shape), `at most ${MAX_AXES} whole numbers >= 1`);
    }
    const sizes = (shape as number[]).slice();
    const bytes = files.get(filename);
    if (!bytes) throw new ValueError("files", `no ${quote(filename)}`, `the file of ${quote(name)} in manifest.json`);
    if (bytes.length !== 4 * sizeOf(sizes)) {
      const expected = `${4 * sizeOf(sizes)}: f32 in shape ${showShape(sizes)}`;
      throw new FormatError(`files[${quote(filename)}]`, `${bytes.length} bytes`, expected);
    }
    // a copy, aligned; hosts are little-endian
    variables.set(name, { data: new Float32Array(bytes.slice().buffer), shape: sizes });
  }
  return variables;
}

/** The characters in the order of their codes. */
function readVocabulary(files: ReadonlyMap<string, Uint8Array>): string[] {
  const entries = Object.entries(readJson(files, "vocab.json"));
  if (entries.length === 0) throw new FormatError("vocab.json", "no characters", "at least one");
  const characters = new Map<number, string>();
  for (const [character, code] of entries) {
    const path = `vocab.json[${quote(character)}]`;
    if (character.length !== 1 && !(character.length === 2 && character.codePointAt(0)! > 0xffff)) {
      throw new UnsupportedError(path, "a word", "single characters");
    }
    if (!Number.isSafeInteger(code) || (code as number) < 0 || (code as number) >= entries.length) {
      throw new FormatError(path, describe(code), `a code from 0 to ${entries.length - 1}`);
    }
    const other = characters.get(code as number);
    if (other !== undefined)
      throw new FormatError(path, `${code as number}, the code of ${quote(other)}`, "another code");
    characters.set(code as number, character);
  }
  return Array.from(entries, (_, code) => characters.get(code)!);
}
