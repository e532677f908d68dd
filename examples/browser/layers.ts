// The layers of a character model one by one, which the model itself does not expose: made from its state dict.

import { Embedding, GRU, Linear, LSTM, RNN, type CharLM, type Tensor } from "../../src/index.js";

const RECURRENT = { LSTM, GRU, RNN };

/** Copies of the layers of a model, with its weights. The caller's to dispose of. */
export function layersOf(model: CharLM) {
  const { cell, embeddingDim, hiddenSize, numLayers, dtype, ...gates } = model.architecture;
  const dict = model.stateDict();
  const part = (prefix: string) => strip(dict, `${prefix}.`);
  const embedding = new Embedding(model.vocabulary.size, embeddingDim, { dtype });
  const recurrent = new RECURRENT[cell](embeddingDim, hiddenSize, { numLayers, dtype, ...gates });
  const linear = new Linear(hiddenSize, model.vocabulary.size, { dtype });
  embedding.loadStateDict(part("embedding"));
  recurrent.loadStateDict(part(cell.toLowerCase()));
  linear.loadStateDict(part("linear"));
  const dispose = () => [embedding, recurrent, linear].forEach((layer) => layer.dispose());
  return { embedding, recurrent, linear, dispose };
}

/** Sets the biases of an LSTM's gates as the layer's option unitForgetBias does: the forget gates start open. */
export function openForgetGates(model: CharLM): void {
  const { hiddenSize } = model.architecture;
  const dict = model.stateDict();
  for (const [name, { data }] of Object.entries(dict)) {
    if (name.startsWith("lstm.bias")) data.fill(0);
    if (name.startsWith("lstm.bias_ih")) data.fill(1, hiddenSize, 2 * hiddenSize);
  }
  model.loadStateDict(dict);
}

function strip(dict: Record<string, Tensor>, prefix: string): Record<string, Tensor> {
  const own = Object.entries(dict).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}
