// What each unit of a layer does while the model reads a text. The states are those of the layer's own stream, step by
// step. A layer does not return its gates: they are computed from the previous states and the weights by the layer's equations,
// with the package's Linear for the products. A test compares them with the caches of wasm-rnn/coursera.

import type { CharLM } from "../../src/index.js";
import { layersOf, product } from "./layers.js";
import type { Activations } from "./protocol.js";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Reads `text` from a zero state; characters that the model does not know are left out. `layer` counts from 0. */
export function readActivations(model: CharLM, text: string, layer: number): Activations {
  const { cell, embeddingDim, hiddenSize: units, numLayers, dtype } = model.architecture;
  if (!(layer >= 0 && layer < numLayers)) throw new Error(`There is no layer ${layer + 1}.`);
  const characters = [...text].filter((character) => model.vocabulary.codeOf(character) !== undefined);
  if (characters.length === 0) throw new Error("The model knows none of these characters.");
  const codes = model.vocabulary.encode(characters.join(""));
  const steps = codes.length;

  const { embedding, recurrent, dispose } = layersOf(model);
  const embedded = embedding.eval().forward({ data: codes, shape: [steps] }).output.data;
  const stream = recurrent.stream();
  const width = layer === 0 ? embeddingDim : units;
  const Numbers = dtype === "f64" ? Float64Array : Float32Array;
  const inputs = new Numbers(steps * width);
  const before = new Numbers(steps * units); // h of the step before
  const h = new Float32Array(steps * units);
  const c = new Float32Array(steps * units);
  for (let t = 0; t < steps; t++) {
    before.set(stream.state.h.data.subarray(layer * units, (layer + 1) * units), t * units);
    const x = embedded.subarray(t * embeddingDim, (t + 1) * embeddingDim);
    stream.step(x);
    const state = stream.state.h.data;
    inputs.set(layer === 0 ? x : state.subarray((layer - 1) * units, layer * units), t * width);
    h.set(state.subarray(layer * units, (layer + 1) * units), t * units);
    if (stream.state.c) c.set(stream.state.c.data.subarray(layer * units, (layer + 1) * units), t * units);
  }
  stream.dispose();
  dispose();

  const kinds: Record<string, Float32Array> = { h };
  if (cell !== "RNN") {
    const fromInput = product(model, layer, "ih", { data: inputs, shape: [steps, width] });
    const fromState = product(model, layer, "hh", { data: before, shape: [steps, units] });
    const gates = cell === "LSTM" ? 4 : 3;
    /** Gate `index` of the cell's order, `activation` of its sum. */
    const gate = (index: number, activation: (input: number, state: number, at: number) => number) =>
      Float32Array.from({ length: steps * units }, (_, i) => {
        const at = Math.floor(i / units) * gates * units + index * units + (i % units);
        return activation(fromInput[at]!, fromState[at]!, i);
      });
    const sigma = (a: number, b: number) => sigmoid(a + b);
    if (cell === "LSTM") {
      kinds.c = c;
      kinds.i = gate(0, sigma);
      kinds.f = gate(1, sigma);
      kinds.g = gate(2, (a, b) => Math.tanh(a + b));
      kinds.o = gate(3, sigma);
    } else {
      const r = gate(0, sigma);
      kinds.r = r;
      kinds.z = gate(1, sigma);
      kinds.n = gate(2, (a, b, i) => Math.tanh(a + r[i]! * b));
    }
  }
  return { characters, units, layer, kinds };
}
