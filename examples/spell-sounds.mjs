// Many to many, of unequal length, without an alignment: from letters to sounds by CTC.
// Nobody says which letters of "sixth" make which sounds. The network reads a word in both directions and writes two frames for each
// letter, a sound or nothing; the loss adds up all the ways in which the frames can spell the sounds.

import {
  Adam,
  ctcBeamDecode,
  ctcLoss,
  Dropout,
  Embedding,
  Linear,
  LinearLR,
  LSTM,
  Random,
  Sequential,
  startThreads,
} from "wasm-rnn";
import { transpose } from "wasm-rnn/ops";
import { batches, fit } from "wasm-rnn/train";
import { follow, options, pronunciations, reportSounds, sequence, split } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, count, hidden] = quick ? [1, 12000, 64] : [1, Infinity, 128];

const { names, words } = pronunciations();
const { train, validation, heldOut } = split(words, new Random(seed));
const classes = names.length + 1; // the last one is the blank: no sound
const samples = (/** @type {typeof words} */ of) =>
  of.map(({ letters, sounds }) => ({ x: letters, y: sequence(sounds) }));
console.log(`${Math.min(count, train.length)} words to train on, ${heldOut.length} held out`);

const model = new Sequential({
  embedding: new Embedding(26, 48, f32()),
  lstm: new LSTM(48, hidden, { numLayers: 2, bidirectional: true, batchFirst: true, dropout: 0.2, ...f32() }),
  dropout: new Dropout(0.2, f32()),
  linear: new Linear(2 * hidden, 2 * classes, f32()),
});
/** Two frames of each letter, [N,T,2C], as one after the other, [2T,N,C]. */
const frames = (/** @type {import("wasm-rnn").Tensor} */ { data, shape: [n, t] }) =>
  transpose({ data, shape: [n, 2 * t, classes] }, [1, 0, 2]);
const doubled = (/** @type {readonly number[] | undefined} */ lengths = []) => lengths.map((length) => 2 * length);

const form = { batchSize: 64, batchFirst: true, bucket: true };
const data = batches(samples(train.slice(0, count)), { ...form, shuffle: true, seed });
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.004 });
const training = fit(model, data, {
  loss: (output, y, { lengths, targetLengths }) =>
    ctcLoss(frames(output), y, {
      inputLengths: doubled(lengths),
      targetLengths,
      blank: classes - 1,
      zeroInfinity: true, // a word may have more sounds than frames
    }),
  optimizer,
  epochs,
  clipNorm: 1,
  validation: batches(samples(validation), { ...form, batchSize: 500 }),
  earlyStopping: { patience: epochs }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const [{ x, lengths }] = batches(samples(heldOut), { batchSize: heldOut.length, batchFirst: true });
const { output } = model.forward(x, { lengths });
const found = ctcBeamDecode(frames(output), { inputLengths: doubled(lengths), blank: classes - 1, beamWidth: 10 });
const spoken = found.map(([best]) => best.sequence);
reportSounds(spoken, heldOut, train, names);
