// Many to many, of unequal length: from the letters of a word to the sounds it is spoken with.
// An encoder reads the letters in both directions. A decoder says one sound after the other: at each step it looks at the letters
// through attention, which learns where to look, and is told the sound before.

import {
  Adam,
  AdditiveAttention,
  crossEntropy,
  Dropout,
  Embedding,
  Linear,
  LinearLR,
  LSTM,
  LSTMCell,
  Random,
  startThreads,
} from "wasm-rnn";
import { concat, stack } from "wasm-rnn/ops";
import { batches } from "wasm-rnn/train";
import { argmax, options, progress, pronunciations, reportSounds, sequence, shuffled, take } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [steps, hidden] = quick ? [150, 64] : [1600, 128];

const { names, words } = pronunciations();
const [START, END] = [names.length, names.length + 1];
const order = shuffled(words, new Random(seed));
const [heldOut, train] = [order.slice(0, 1000), order.slice(1000)];
console.log(`${train.length} words to train on, ${heldOut.length} held out`);

const layers = {
  letters: new Embedding(26, 48, f32()),
  encoder: new LSTM(48, hidden, { bidirectional: true, ...f32() }),
  sounds: new Embedding(names.length + 2, 48, f32()),
  attention: new AdditiveAttention(hidden, 2 * hidden, hidden, f32()),
  decoder: new LSTMCell(48 + 2 * hidden, hidden, f32()),
  dropout: new Dropout(0.2, f32()),
  head: new Linear(3 * hidden, names.length + 2, f32()),
};

/** @typedef {import("wasm-rnn").Tensor<"f32">} Tensor */

/**
 * Reads words. The result does a step of the decoder: from its state and the sounds before, [N], to its next state and the features
 * of the next sounds.
 *
 * @param {Pick<import("wasm-rnn/train").Batch, "x" | "lengths">} letters
 */
function encode({ x, lengths }) {
  const { output: keys } = layers.encoder.forward(layers.letters.forward(x).output, { lengths });
  return (/** @type {{ h?: Tensor, c?: Tensor }} */ { h: query, c: cell }, /** @type {Int32Array} */ before) => {
    const shape = [before.length];
    const zeros = { data: new Float32Array(before.length * hidden), shape: [before.length, hidden] };
    const context = layers.attention.forward(query ?? zeros, keys, { lengths }).output;
    const input = concat([layers.sounds.forward({ data: before, shape }).output, context], 1);
    const { h, c } = layers.decoder.forward(input, { h: query, c: cell });
    return { h, c, features: concat([h, context], 1) };
  };
}

const optimizer = new Adam(
  Object.values(layers).flatMap((layer) => layer.parameters()),
  { lr: 0.004 },
);
const schedule = new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps });
const samples = train.map(({ letters, sounds }) => ({ x: letters, y: sequence([...sounds, END]) }));
const data = batches(samples, { batchSize: 64, shuffle: true, seed, bucket: true, dropLast: true });
const show = progress(steps);
for (const [step, batch] of take(data, steps)) {
  const { y } = batch; // [N,S], padded with -100
  const [n, s] = y.shape;
  const { loss } = optimizer.minimize(
    () => {
      const decode = encode(batch);
      let state = decode({}, new Int32Array(n).fill(START));
      const features = [state.features];
      for (let i = 0; i < s - 1; i++) {
        // in training the decoder is told which sound was right before, whatever it would have said
        const before = Int32Array.from({ length: n }, (_, row) => Math.max(y.data[row * s + i], 0));
        state = decode(state, before);
        features.push(state.features);
      }
      const { output } = layers.head.forward(layers.dropout.forward(stack(features, 1)).output);
      return crossEntropy(output, y);
    },
    { clipNorm: 1 },
  );
  schedule.step();
  show(step, loss);
}

for (const layer of Object.values(layers)) layer.eval();

/** The sounds of words, each the likeliest after those before it. */
function pronounce(/** @type {typeof heldOut} */ words) {
  const [batch] = batches(
    words.map(({ letters }) => ({ x: letters, y: 0 })),
    { batchSize: words.length },
  );
  const decode = encode(batch);
  let last = new Int32Array(words.length).fill(START);
  /** @type {number[][]} */
  const spoken = words.map(() => []);
  for (let step = 0, state = {}; step < 20; step++) {
    const next = decode(state, last);
    state = next;
    last = argmax(layers.head.forward(next.features).output);
    last.forEach((sound, row) => spoken[row].push(sound));
  }
  return spoken.map((sounds) => sounds.slice(0, sounds.includes(END) ? sounds.indexOf(END) : undefined));
}

const spoken = pronounce(heldOut);
reportSounds(spoken, heldOut, train, names);
