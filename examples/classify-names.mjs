// Many to one: reads a first name letter by letter, in both directions, then says whether it is a woman's or a man's.

import {
  Adam,
  crossEntropy,
  Dropout,
  Embedding,
  GRU,
  LastStep,
  Linear,
  LinearLR,
  Random,
  Sequential,
  startThreads,
  Vocabulary,
} from "wasm-rnn";
import { accuracy, batches, fit } from "wasm-rnn/train";
import { majority } from "./baselines.mjs";
import { argmax, firstNames, follow, options, report, split } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, hidden] = quick ? [3, 32] : [20, 96];

const letters = new Vocabulary("-abcdefghijklmnopqrstuvwxyz");
const samples = firstNames().map(({ name, sex }) => ({ name, x: letters.encode(name), y: sex }));
const { train, validation, heldOut } = split(samples, new Random(seed));
console.log(`${train.length} names to train on, ${heldOut.length} held out`);

const model = new Sequential({
  embedding: new Embedding(letters.size, 32, f32()),
  gru: new GRU(32, hidden, { bidirectional: true, ...f32() }),
  last: new LastStep(), // where each direction ends
  dropout: new Dropout(0.5, f32()),
  linear: new Linear(2 * hidden, 2, f32()),
});
const data = batches(train, { batchSize: 64, shuffle: true, seed });
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.004 });
const training = fit(model, data, {
  loss: (output, y) => crossEntropy(output, y),
  optimizer,
  epochs,
  clipNorm: 1,
  metrics: { accuracy: (output, y) => accuracy(output, y) },
  validation: batches(validation, { batchSize: 500 }),
  earlyStopping: { patience: epochs, metric: "accuracy" }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const [{ x, lengths }] = batches(heldOut, { batchSize: heldOut.length });
const guesses = argmax(model.forward(x, { lengths }).output);
const examples = heldOut
  .slice(0, 12)
  .map(({ name, y }, i) => `${name} ${["f", "m"][guesses[i]]}${guesses[i] === y ? "" : " (wrong)"}`);
console.log(`\n${examples.join(", ")}`);

/** The share of right guesses. */
const share = (/** @type {ArrayLike<number>} */ of) =>
  heldOut.filter(({ y }, i) => of[i] === y).length / heldOut.length;
/** The more frequent sex of names with the same key. */
const frequent = (/** @type {(name: string) => string} */ keyOf) =>
  share(
    majority(
      train,
      heldOut,
      ({ name }) => keyOf(name),
      ({ y }) => y,
    ),
  );
const baselines = {
  "the more frequent sex": frequent(() => ""),
  "the more frequent sex for the last letter": frequent((name) => name.slice(-1)),
};
report("accuracy", share(guesses), baselines, "higher");
