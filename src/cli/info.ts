// wasm-rnn info: prints the contents of a safetensors file, of this package or any other, and of an ONNX model; info-model.ts prints those of
// other formats.

import { showShape } from "../../bindings/tensor.js";
import { identify, ONNX } from "../formats/identify.js";
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
import { isFolder, readBytes } from "./files.js";
import { architectureLines, infoOfModel, vocabularyLine } from "./info-model.js";
import { describeOnnx, readOnnxInfo } from "./info-onnx.js";
import { count, describeLoss } from "./progress.js";
import { printJson, printLine as print, printMetadata, show } from "./show.js";

/** Bytes that are read to recognise a file of another format. */
const PROBED = 256_000_000;

/** Runs the command. Returns the exit code. */
export async function info(path: string, { json }: { json: boolean }): Promise<number> {
  if (isFolder(path)) return infoOfModel(path, json);
  const { bytes, size } = readBeginning(path, PREFIX + 1);
  if (looksLikeSafetensors(bytes, size)) return infoOfSafetensors(path, json);
  if (identify(bytes)?.name === ONNX || /\.onnx$/i.test(path)) return infoOfOnnx(path, json);
  // of a file that should be safetensors and is of no known kind, the header's error says most
  const isOther = !/\.safetensors$/i.test(path) || identify(readBeginning(path, PROBED).bytes)?.format !== undefined;
  return isOther ? infoOfModel(path, json) : infoOfSafetensors(path, json);
}

async function infoOfOnnx(path: string, json: boolean): Promise<number> {
  const bytes = readBytes(path, "model");
  const found = await readOnnxInfo(path, bytes);
  if (json) printJson({ event: "info", format: "onnx", bytes: bytes.length, ...found });
  else {
    print(`${show(path)}: ONNX model, ${count(bytes.length)} bytes`);
    for (const line of describeOnnx(found)) print(show(line));
  }
  return 0;
}

function infoOfSafetensors(path: string, json: boolean): number {
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
  print(`${show(path)}: character model of wasm-rnn, ${count(size)} bytes`);
  for (const line of architectureLines(model)) print(line);
  print(`trained steps: ${count(training.steps)}`);
  const { from_training_id: origin, from_trained_steps: step, from_sha256: hash } = metadata;
  if (origin !== undefined) print(show(`began with: training ${origin}, step ${step}`));
  else if (hash !== undefined) print(show(`began with: the model of SHA-256 ${hash}`));
  if (training.validation !== undefined) {
    print(`validation loss: ${describeLoss(training.validation.loss)}, after step ${count(training.validation.step)}`);
  }
  print(vocabularyLine(model));
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
  printMetadata(metadata);
}

function printTensors({ entries }: SafetensorsHeader): void {
  for (const { name, shape, dtype } of entries) print(`  ${show(name)} ${showShape(shape)} ${show(dtype)}`);
}
