// wasm-rnn info: what a model file holds.

import { countParameters, readCharLM } from "../models/charlm-file.js";
import { named } from "./errors.js";
import { readBytes } from "./files.js";
import { print as write } from "./output.js";
import { count, describeLoss } from "./progress.js";

/** Runs the command. Returns the exit code. */
export function info(path: string, { json }: { json: boolean }): number {
  const bytes = readBytes(path, "model");
  const { model, training } = named(path, () => readCharLM(bytes));
  const { vocabulary, architecture } = model;
  const parameters = countParameters(vocabulary.size, architecture);
  const tensors = Object.fromEntries(model.parameters().map(({ name, value }) => [name, value.shape]));
  model.dispose();
  if (json) {
    const { characters } = vocabulary;
    print(JSON.stringify({ event: "info", architecture, parameters, training, vocabulary: characters, tensors }));
    return 0;
  }
  const { cell, embeddingDim, hiddenSize, numLayers, dtype } = architecture;
  print(`${path}: character model of wasm-rnn, ${count(bytes.length)} bytes`);
  print(`architecture: embedding ${embeddingDim}, ${numLayers} x ${cell} ${hiddenSize}, linear ${vocabulary.size}`);
  print(`parameters: ${count(parameters)} (${dtype})`);
  print(`trained steps: ${count(training.steps)}`);
  if (training.validation !== undefined) {
    print(`validation loss: ${describeLoss(training.validation.loss)}, after step ${count(training.validation.step)}`);
  }
  print(`vocabulary: ${vocabulary.size} characters: ${JSON.stringify(vocabulary.characters.join(""))}`);
  for (const [name, shape] of Object.entries(tensors)) print(`  ${name} [${shape.join(", ")}]`);
  return 0;
}

function print(line: string): void {
  write(`${line}\n`);
}
