// How the gradient fades on its way back through time: the norm of d loss / d h at every step, where the loss is that of
// the last character alone. The text is read one step at a time: the backward pass of a step gives the gradient of the
// state before it, which is handed to the step before.

import { crossEntropy, LSTM, type FloatDtype, type GRU, type RNN, type Tensor } from "../../src/index.js";
import { layersOf } from "./layers.js";
import type { Training } from "./training.js";

const STEPS_BACK = 60;
const PLACES = 32;

export type Recurrent = LSTM<FloatDtype> | GRU<FloatDtype> | RNN<FloatDtype>;

/** h and, for LSTM, c, [layers, N, H]; or the loss' gradients with respect to them. */
interface State {
  h?: Tensor;
  c?: Tensor;
}

/**
 * By steps back, over places of the training's text: geometric means of the norm, the one at no step back taken as 1. A
 * text that is too short to look as far back gives a shorter list.
 */
export function fading(training: Training): number[] {
  const { model } = training;
  const length = Math.min(STEPS_BACK, training.characters.training - 2) + 1;
  const { inputs, next } = training.excerpts(PLACES, length);
  const { embedding, recurrent, linear, dispose } = layersOf(model);
  try {
    const { embeddingDim, hiddenSize, numLayers } = model.architecture;
    const embedded = embedding.forward(inputs).output.data;
    const row = PLACES * embeddingDim;
    const steps = Array.from({ length }, (_, t) => ({
      data: embedded.subarray(t * row, (t + 1) * row),
      shape: [1, PLACES, embeddingDim],
    }));
    const below = (numLayers - 1) * PLACES * hiddenSize; // the logits see the last layer alone
    return normsBack(recurrent, steps, (h) => {
      const { dLogits } = crossEntropy(
        linear.forward({ data: h.data.subarray(below), shape: [PLACES, hiddenSize] }).output,
        next,
      );
      const dh = { data: h.data.slice().fill(0), shape: h.shape };
      dh.data.set(linear.backward({ output: dLogits }).x.data, below);
      return dh;
    });
  } finally {
    dispose();
  }
}

/**
 * By steps back: the norm of the loss' gradient with respect to h, the one at no step back taken as 1.
 *
 * @param steps inputs [1, N, D], one after another
 * @param gradientOf the gradient of the loss with respect to the last h, both [layers, N, H]
 */
export function normsBack(recurrent: Recurrent, steps: readonly Tensor[], gradientOf: (h: Tensor) => Tensor): number[] {
  const states: State[] = [{}];
  for (const x of steps) states.push(forward(recurrent, x, states.at(-1)!));
  const dh = gradientOf(states.pop()!.h!);
  let gradient: State = { h: dh };
  const norms = [meanNorm(dh)];
  while (states.length > 1) {
    forward(recurrent, steps[states.length - 1]!, states.pop()!); // a backward pass belongs to the latest forward pass
    gradient = backward(recurrent, gradient);
    norms.push(meanNorm(gradient.h!));
  }
  return norms.map((norm) => norm / norms[0]!);
}

/** The state after one step. */
function forward(layers: Recurrent, x: Tensor, { h, c }: State): State {
  if (!(layers instanceof LSTM)) return { h: layers.forward(x, { h0: h }).hn };
  const { hn, cn } = layers.forward(x, { h0: h, c0: c });
  return { h: hn, c: cn };
}

/** The gradients of the state before the latest step, from those of the state after it. */
function backward(layers: Recurrent, { h, c }: State): State {
  if (!(layers instanceof LSTM)) return { h: layers.backward({ hn: h }).h0 };
  const { h0, c0 } = layers.backward({ hn: h, cn: c });
  return { h: h0, c: c0 };
}

/** Geometric mean over the places of the norm over all layers' units. */
function meanNorm({ data, shape }: Tensor): number {
  const [layers, places, units] = shape as [number, number, number];
  let logs = 0;
  for (let n = 0; n < places; n++) {
    const norms = Array.from({ length: layers }, (_, layer) => {
      const start = (layer * places + n) * units;
      return Math.hypot(...data.subarray(start, start + units));
    });
    logs += Math.log(Math.hypot(...norms) || Number.MIN_VALUE);
  }
  return Math.exp(logs / places);
}
