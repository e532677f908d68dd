// One to many: from one symbol (a woman's or a man's name?) comes a sequence of letters.
// A language model of first names: it learns to tell the next letter from those before, and then writes names of its own.

import {
  Adam,
  crossEntropy,
  Dropout,
  Embedding,
  Linear,
  LinearLR,
  LSTM,
  Random,
  Sequential,
  softmax,
  startThreads,
  tensor,
  Vocabulary,
} from "wasm-rnn";
import { batches, evaluate, fit } from "wasm-rnn/train";
import { countingModel } from "./baselines.mjs";
import { firstNames, follow, options, report, sequence, split } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, hidden, dropout] = quick ? [5, 64, 0] : [24, 192, 0.4]; // a short training does not overfit

const END = ".";
const STARTS = ["♀", "♂"];
const symbols = new Vocabulary([END, ...STARTS, ..."-abcdefghijklmnopqrstuvwxyz"]);

const random = new Random(seed);
const texts = firstNames().map(({ name, sex }) => symbols.encode(STARTS[sex] + name + END));
const { train, validation, heldOut } = split(texts, random);
const samples = (/** @type {Int32Array[]} */ names) =>
  names.map((text) => ({ x: text.slice(0, -1), y: sequence(text.slice(1)) }));
console.log(`${train.length} names to train on, ${heldOut.length} held out`);

const model = new Sequential({
  embedding: new Embedding(symbols.size, 32, f32()),
  lstm: new LSTM(32, hidden, { recurrentDropout: 0.3, ...f32() }),
  dropout: new Dropout(dropout, f32()),
  linear: new Linear(hidden, symbols.size, f32()),
});
const data = batches(samples(train), { batchSize: 64, shuffle: true, seed });
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.008 });
/** @type {import("wasm-rnn/train").BatchLoss} */
const loss = (output, y) => crossEntropy(output, y); // steps past a name's end do not count
const training = fit(model, data, {
  loss,
  optimizer,
  epochs,
  clipNorm: 1,
  validation: batches(samples(validation), { batchSize: 500 }),
  earlyStopping: { patience: epochs }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const stream = model.stream(); // keeps the state from step to step

/** Writes a name, a letter at a time. */
function write(/** @type {string} */ start) {
  stream.reset();
  let text = start;
  while (!text.endsWith(END) && text.length < 20) {
    const { data } = softmax(tensor(stream.step(symbols.encode(text.slice(-1)))));
    let [code, left] = [0, random.uniform() - data[0]];
    while (left > 0 && code < data.length - 1) left -= data[++code];
    text += symbols.characters[code];
  }
  return text.slice(1).replace(END, "");
}

const known = new Set(texts.map((text) => symbols.decode(text.slice(1, -1))));
for (const start of STARTS) {
  const names = Array.from({ length: 12 }, () => write(start));
  console.log(`\n${start} ${names.map((name) => (known.has(name) ? `(${name})` : name)).join(", ")}`);
}
console.log("\nnames in brackets are in the data, the others are new");

const counted = (/** @type {number} */ order) => countingModel(train, heldOut, order, symbols.size - STARTS.length);
const baselines = {
  "each letter by its frequency": counted(0),
  "each letter by the one before (bigrams)": counted(1),
  "each letter by the two before (trigrams)": counted(2),
};
// one batch: the mean over its letters is that of all letters
const reached = await evaluate(model, batches(samples(heldOut), { batchSize: heldOut.length }), { loss });
report("nats per letter", reached.loss, baselines, "lower");
