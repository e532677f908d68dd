// One to many: from one symbol (a woman's or a man's name?) comes a sequence of letters.
// A language model of first names: it learns to tell the next letter from those before, and then writes names of its own.

import { Adam, clipGradNorm, crossEntropy, Embedding, Linear, LSTM, Random, softmax, Vocabulary } from "wasm-rnn";
import { batches, firstNames, options, pad, progress, report, shuffled } from "./common.mjs";

const { quick, seed } = options();
const [steps, hidden] = quick ? [240, 64] : [1200, 128];
const learningRate = 0.005;

const END = ".";
const STARTS = ["♀", "♂"];
const symbols = new Vocabulary([END, ...STARTS, ..."-abcdefghijklmnopqrstuvwxyz"]);

const random = new Random(seed);
const texts = shuffled(firstNames(), random).map(({ name, sex }) => symbols.encode(STARTS[sex] + name + END));
const [heldOut, train] = [texts.slice(0, 1000), texts.slice(1000)];
console.log(`${train.length} names to train on, ${heldOut.length} held out`);

const embedding = new Embedding(symbols.size, 24, { dtype: "f32", seed });
const lstm = new LSTM(24, hidden, { dtype: "f32", seed: seed + 1 });
const head = new Linear(hidden, symbols.size, { dtype: "f32", seed: seed + 2 });
const layers = [embedding, lstm, head];
const parameters = layers.flatMap((layer) => layer.parameters());

/**
 * Nats per letter (the end of a name is one), and the gradient.
 *
 * @param {Int32Array[]} batch
 */
function lossOf(batch) {
  const { codes, lengths } = pad(batch.map((text) => text.slice(0, -1)));
  const targets = pad(
    batch.map((text) => text.slice(1)),
    -100, // crossEntropy's ignoreIndex: steps past a name's end do not count
  );
  const { output } = lstm.forward(embedding.forward(codes).output, { lengths });
  return crossEntropy(head.forward(output).output, targets.codes);
}

const adam = new Adam(parameters, { lr: learningRate });
const show = progress(steps);
for (const [step, batch] of batches(train, { steps, batchSize: 64, random })) {
  adam.lr = learningRate * (1 - step / steps);
  adam.zeroGrad();
  const { loss, dLogits } = lossOf(batch);
  const { x } = lstm.backward({ output: head.backward({ output: dLogits }).x });
  embedding.backward({ output: x });
  clipGradNorm(parameters, 1);
  adam.step();
  show(step, loss);
}

for (const layer of layers) layer.eval();

/**
 * Writes a name, a letter at a time.
 *
 * @param {string} start
 */
function write(start) {
  const stream = lstm.stream(); // keeps the state from step to step
  let text = start;
  while (!text.endsWith(END) && text.length < 20) {
    const last = /** @type {number} */ (symbols.codeOf(text.slice(-1)));
    const { output } = embedding.forward({ data: Int32Array.of(last), shape: [1] });
    const h = stream.step(output.data);
    const { data } = softmax(head.forward({ data: h.slice(), shape: [1, hidden] }).output);
    let [code, left] = [0, random.uniform() - data[0]];
    while (left > 0 && code < data.length - 1) left -= data[++code];
    text += symbols.characters[code];
  }
  stream.dispose();
  return text.slice(1).replace(END, "");
}

const known = new Set(texts.map((text) => symbols.decode(text.slice(1, -1))));
for (const start of STARTS) {
  const names = Array.from({ length: 12 }, () => write(start));
  console.log(`\n${start} ${names.map((name) => (known.has(name) ? `(${name})` : name)).join(", ")}`);
}
console.log("\nnames in brackets are in the data, the others are new");

/**
 * Nats per letter of held-out names where a letter depends on `order` symbols before it alone.
 *
 * @param {number} order
 */
function countingModel(order) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  const keys = (/** @type {Int32Array} */ text, /** @type {number} */ i) => {
    const context = text.slice(Math.max(0, i - order), i).join();
    return [context, `${context}>${text[i]}`];
  };
  for (const text of train) {
    for (let i = 1; i < text.length; i++) {
      for (const key of keys(text, i)) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  let [nats, letters] = [0, 0];
  for (const text of heldOut) {
    for (let i = 1; i < text.length; i++, letters++) {
      const [all, these] = keys(text, i).map((key) => counts.get(key) ?? 0);
      nats -= Math.log((these + 1) / (all + symbols.size - STARTS.length)); // each symbol counts once more: none is 0
    }
  }
  return nats / letters;
}

const baselines = {
  "each letter by its frequency": countingModel(0),
  "each letter by the one before (bigrams)": countingModel(1),
  "each letter by the two before (trigrams)": countingModel(2),
};
report("nats per letter", lossOf(heldOut).loss, baselines, "lower");
