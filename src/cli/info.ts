// wasm-rnn info: prints the contents of a safetensors file, of this package or any other.

import { showShape } from "../../bindings/tensor.js";
import {
  elements,
  headerLength,
  looksLikeSafetensors,
  PREFIX,
  readHeader,
  type SafetensorsHeader,
} from "../formats/safetensors-header.js";
import { countParameters, FORMAT, readCharLM } from "../models/charlm-file.js";
import { readBeginning } from "./beginning.js";
import { named } from "./errors.js";
import { escapeControls, safeJson } from "./escape.js";
import { readBytes } from "./files.js";
import { print as write } from "./output.js";
import { count, describeLoss } from "./progress.js";

/** Bytes that are read to recognise a file of another format. */
const PROBED = 256_000_000;

/** Metadata entries that are printed; --json prints all. */
const LISTED = 100;

/** Characters of a name or value that are printed; --json prints all. */
const SHOWN = 200;

/** Runs the command. Returns the exit code. */
export function info(path: string, { json }: { json: boolean }): number {
  const { header, size } = headerOf(path);
  const tensors = Object.fromEntries(header.entries.map(({ name, shape }) => [name, shape]));
  const dtypes = Object.fromEntries(header.entries.map(({ name, dtype }) => [name, dtype]));
  const { metadata } = header;
  if (metadata.format !== FORMAT) {
    if (json) printJson({ event: "info", format: "safetensors", bytes: size, tensors, dtypes, metadata });
    else printHeader(path, size, header);
    return 0;
  }
  const { model, training } = named(path, () => readCharLM(readBytes(path, "model")));
  const { vocabulary, architecture } = model;
  const parameters = countParameters(vocabulary.size, architecture);
  model.dispose();
  if (json) {
    const { characters } = vocabulary;
    const figures = { architecture, parameters, training, vocabulary: characters };
    printJson({ event: "info", format: FORMAT, bytes: size, ...figures, tensors, dtypes, metadata });
    return 0;
  }
  const { cell, embeddingDim, hiddenSize, numLayers, dtype } = architecture;
  print(`${show(path)}: character model of wasm-rnn, ${count(size)} bytes`);
  print(`architecture: embedding ${embeddingDim}, ${numLayers} x ${cell} ${hiddenSize}, linear ${vocabulary.size}`);
  print(`parameters: ${count(parameters)} (${dtype})`);
  print(`trained steps: ${count(training.steps)}`);
  if (training.validation !== undefined) {
    print(`validation loss: ${describeLoss(training.validation.loss)}, after step ${count(training.validation.step)}`);
  }
  print(`vocabulary: ${vocabulary.size} characters: ${value(vocabulary.characters.join(""))}`);
  printTensors(header);
  return 0;
}

/** Reads only the header: the file may be larger than memory. */
function headerOf(path: string): { header: SafetensorsHeader; size: number } {
  const { bytes, size } = readBeginning(path, PREFIX + 1);
  return named(path, () => {
    const enough = looksLikeSafetensors(bytes, size) ? bytes : readBeginning(path, PROBED).bytes;
    const length = headerLength(enough, size);
    return { header: readHeader(readBeginning(path, PREFIX + length).bytes, size), size };
  });
}

function printHeader(path: string, size: number, header: SafetensorsHeader): void {
  const { entries, metadata } = header;
  print(`${show(path)}: safetensors file, ${count(size)} bytes`);
  const numbers = entries.reduce((sum, { shape }) => sum + elements(shape), 0);
  print(`tensors: ${count(entries.length)}, ${count(numbers)} numbers`);
  printTensors(header);
  const pairs = Object.entries(metadata);
  print(`metadata: ${pairs.length === 0 ? "none" : `${count(pairs.length)} entries`}`);
  for (const [key, text] of pairs.slice(0, LISTED)) print(`  ${show(key)}: ${value(text)}`);
  if (pairs.length > LISTED) print(`  ... and ${count(pairs.length - LISTED)} more; --json has all`);
}

function printTensors({ entries }: SafetensorsHeader): void {
  for (const { name, shape, dtype } of entries) print(`  ${show(name)} ${showShape(shape)} ${show(dtype)}`);
}

/** A text in quotation marks, shortened if it is long, and then with its length. */
function value(text: string): string {
  const shown = show(JSON.stringify(text.slice(0, SHOWN)));
  return text.length > SHOWN ? `${shown}... (${count(text.length)} characters; --json has all)` : shown;
}

/** A text from a file, escaped for a terminal and shortened if it is long. */
function show(text: string): string {
  const escaped = escapeControls(text.slice(0, SHOWN));
  return text.length > SHOWN ? `${escaped}...` : escaped;
}

function printJson(value: unknown): void {
  print(safeJson(value));
}

function print(line: string): void {
  write(`${line}\n`);
}
