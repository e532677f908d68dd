// How the gradient fades on its way back through time: the norm of d loss / d x, where the loss is that of the last
// character alone and x what goes into the recurrent layers so many steps before it. One forward and one backward pass.

import { crossEntropy, type CharLM } from "wasm-rnn";
import { layersOf } from "./layers.js";
import type { Fading } from "./protocol.js";
import type { Training } from "./training.js";

export const STEPS_BACK = 60;
const PLACES = 32;

/** The curve of a model over places of the training's text: geometric means of the norms, the first taken as 1. */
export function fading(model: CharLM, training: Training, label: string): Fading {
  const length = Math.min(STEPS_BACK, training.characters.training - 2) + 1;
  const { inputs, next } = training.excerpts(PLACES, length);
  const { embedding, recurrent, linear, dispose } = layersOf(model);
  try {
    const { output } = recurrent.forward(embedding.forward(inputs).output);
    const units = model.architecture.hiddenSize;
    const last = { data: output.data.slice(-PLACES * units), shape: [PLACES, units] };
    const { dLogits } = crossEntropy(linear.forward(last).output, next);
    const dLast = linear.backward({ output: dLogits }).x;
    const { x } = recurrent.backward({ hn: atLastLayer(dLast.data, recurrent.numLayers, units) });
    const width = model.architecture.embeddingDim;
    const norms = Array.from({ length }, (_, back) => {
      let logs = 0;
      for (let n = 0; n < PLACES; n++) {
        const start = ((length - 1 - back) * PLACES + n) * width;
        logs += Math.log(Math.hypot(...x.data.subarray(start, start + width)) || Number.MIN_VALUE);
      }
      return Math.exp(logs / PLACES);
    });
    const first = norms[0] || 1;
    return { label, norms: norms.map((norm) => norm / first) };
  } finally {
    dispose();
  }
}

/** The gradient of hn [layers, N, H] that is `data` for the last layer and zero below: hn there is the last output. */
function atLastLayer(data: Float64Array | Float32Array | Int32Array, layers: number, units: number) {
  const all =
    data instanceof Float64Array
      ? new Float64Array(layers * PLACES * units)
      : new Float32Array(layers * PLACES * units);
  all.set(data, (layers - 1) * PLACES * units);
  return { data: all, shape: [layers, PLACES, units] };
}
