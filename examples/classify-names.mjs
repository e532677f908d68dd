// Many to one: reads a first name letter by letter, then says whether it is a woman's or a man's.
// The letters of a batch of names lie side by side, [T,N]; `lengths` tells the GRU where each name ends, so that its last
// state hn is that of the last letter.

import { Adam, clipGradNorm, crossEntropy, Embedding, GRU, Linear, Random, tensor, Vocabulary } from "wasm-rnn";
import { argmax, batches, firstNames, options, pad, progress, report, shuffled } from "./common.mjs";

const { quick, seed } = options();
const [steps, hidden] = quick ? [150, 32] : [900, 96];
const learningRate = 0.005;

const random = new Random(seed);
const names = shuffled(firstNames(), random);
const [heldOut, train] = [names.slice(0, 1000), names.slice(1000)];
console.log(`${train.length} names to train on, ${heldOut.length} held out`);

const alphabet = new Vocabulary("-abcdefghijklmnopqrstuvwxyz");
const embedding = new Embedding(alphabet.size, 24, { dtype: "f32", seed });
const gru = new GRU(24, hidden, { dtype: "f32", seed: seed + 1 });
const head = new Linear(hidden, 2, { dtype: "f32", seed: seed + 2 });
const layers = [embedding, gru, head];
const parameters = layers.flatMap((layer) => layer.parameters());

/** @param {{ name: string, sex: number }[]} batch */
function forward(batch) {
  const { codes, lengths } = pad(batch.map(({ name }) => alphabet.encode(name)));
  const { hn } = gru.forward(embedding.forward(codes).output, { lengths });
  return head.forward(hn).output; // [1,N,2]: hn has an axis for the layers
}

const adam = new Adam(parameters, { lr: learningRate });
const show = progress(steps);
for (const [step, batch] of batches(train, { steps, batchSize: 64, random })) {
  adam.lr = learningRate * (1 - step / steps);
  adam.zeroGrad();
  const targets = tensor([batch.map(({ sex }) => sex)], [1, batch.length], "i32");
  const { loss, dLogits } = crossEntropy(forward(batch), targets);
  const { x } = gru.backward({ hn: head.backward({ output: dLogits }).x });
  embedding.backward({ output: x });
  clipGradNorm(parameters, 1);
  adam.step();
  show(step, loss);
}

for (const layer of layers) layer.eval();
const guesses = argmax(forward(heldOut));

const examples = heldOut
  .slice(0, 12)
  .map(({ name, sex }, i) => `${name} ${["f", "m"][guesses[i]]}${guesses[i] === sex ? "" : " (wrong)"}`);
console.log(`\n${examples.join(", ")}`);

/** @param {(item: { name: string, sex: number }, i: number) => number} guess */
const accuracy = (guess) => heldOut.filter((item, i) => guess(item, i) === item.sex).length / heldOut.length;

const males = new Map(); // by last letter, and "" for all: men less women
for (const { name, sex } of train) {
  for (const key of ["", name.slice(-1)]) males.set(key, (males.get(key) ?? 0) + (sex === 1 ? 1 : -1));
}
const majority = (/** @type {string} */ key) => (males.get(key) > 0 ? 1 : 0);
const baselines = {
  "the more frequent sex": accuracy(() => majority("")),
  "the more frequent sex for the last letter": accuracy(({ name }) => majority(name.slice(-1))),
};
const reached = accuracy((_, i) => guesses[i]);
report("accuracy", reached, baselines, "higher");
