// What each unit of a layer does while the model reads a text.

import type { CharLM } from "../../src/index.js";
import type { Activations } from "./protocol.js";
import { Reader } from "./reader.js";

/** Reads `text` from a zero state; characters that the model does not know are left out. `layer` counts from 0. */
export function readActivations(model: CharLM, text: string, layer: number): Activations {
  const { embeddingDim, hiddenSize: units, numLayers, dtype } = model.architecture;
  if (!(layer >= 0 && layer < numLayers)) throw new Error(`There is no layer ${layer + 1}.`);
  const characters = [...text].filter((character) => model.vocabulary.codeOf(character) !== undefined);
  if (characters.length === 0) throw new Error("The model knows none of these characters.");
  const codes = model.vocabulary.encode(characters.join(""));
  const steps = codes.length;
  const width = layer === 0 ? embeddingDim : units;
  const Numbers = dtype === "f64" ? Float64Array : Float32Array;
  const [inputs, before] = [new Numbers(steps * width), new Numbers(steps * units)];
  const [h, c] = [new Numbers(steps * units), new Numbers(steps * units)];
  const reader = new Reader(model);
  try {
    codes.forEach((code, t) => {
      reader.read(code);
      const latest = reader.latest(layer);
      inputs.set(latest.input, t * width);
      before.set(latest.before, t * units);
      h.set(latest.h, t * units);
      if (latest.c) c.set(latest.c, t * units);
    });
    return { characters, units, layer, kinds: reader.kinds(layer, { inputs, before, h, c }) };
  } finally {
    reader.dispose();
  }
}
