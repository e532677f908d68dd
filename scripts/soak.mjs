// npm run soak: faults that only a long run shows. Rounds of create, train, stream, dispose with every kind of layer, cell, loss
// and optimizer, which must free all wasm memory and let no heap grow; a stream of millions of steps, which must have the same
// bits as a sequence; a sequence of a million steps, forward and backward with checkpoints; and threads that start, compute and stop
// thousands of times, and must leave no thread and no memory. Prints its figures. Exits with 1 if one is wrong.
//
//     npm run soak -- --quick                    a small part of each, within a minute
//     npm run soak -- --rounds N --steps N --length N --starts N --seed N

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";
import { currentCore } from "../bindings/instantiate.js";
import { sharedCores } from "../bindings/threads.js";
import { fromProteus } from "../src/audio.js";
import * as rnn from "../src/index.js";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    steps: { type: "string" },
    length: { type: "string" },
    starts: { type: "string" },
    seed: { type: "string", default: "1" },
  },
});
const size = (name, full, quick) => {
  const value = Number(given[name] ?? (given.quick ? quick : full));
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name}: got ${given[name]}, expected an integer >= 1`);
  process.exit(2);
};
const ROUNDS = size("rounds", 40_000, 2_400);
const STEPS = size("steps", 5_000_000, 200_000);
const LENGTH = size("length", 1_000_000, 100_000);
const STARTS = size("starts", 10_000, 200);
const CYCLE = Math.ceil(ROUNDS / 16); // rounds repeat after a cycle, so the memory of the largest is allocated in the first one
const WARM_UP = 4 * CYCLE; // by then compilers and memory pools have settled
const MAX_JS_GROWTH = (given.quick ? 2 : 1) << 20; // bytes after a garbage collection; the size of optimised code settles late
const MAX_RSS_GROWTH = 64 << 20; // bytes: the engine returns pages late

v8.setFlagsFromString("--expose-gc");
const gc = vm.runInNewContext("gc");
let random = new rnn.Random(Number(given.seed));
const { heap } = currentCore();
const failures = [];

const pick = (items) => items[random.uint32() % items.length];
const chance = (p) => random.uniform() < p;
const whole = (from, to) => from + (random.uint32() % (to - from + 1));
const MIB = 1 << 20;
const mib = (bytes) => `${(bytes / MIB).toFixed(2)} MiB`;
const count = (n) => n.toLocaleString("en");

function check(holds, text) {
  if (!holds) failures.push(text);
  console.log(`  ${holds ? "ok  " : "FAIL"} ${text}`);
}

let said = performance.now();
/** Prints the progress of a part, every ten seconds. */
function progress(what, done, all) {
  if (performance.now() - said < 10_000) return;
  said = performance.now();
  console.log(`  ${what}: ${count(done)} of ${count(all)}`);
}

function numbers(dtype, ...shape) {
  const length = shape.reduce((a, b) => a * b, 1);
  const data = dtype === "f32" ? new Float32Array(length) : new Float64Array(length);
  for (let i = 0; i < length; i++) data[i] = 2 * random.uniform() - 1;
  return { data, shape };
}

function indices(below, ...shape) {
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Int32Array.from({ length }, () => random.uint32() % below), shape };
}

// --------------------------------------------------------------------------------------------------------------------
// rounds

function optimizer(parameters) {
  const weightDecay = chance(0.5) ? 0.01 : 0;
  switch (pick(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])) {
    case "SGD":
      return new rnn.SGD(parameters, { lr: 0.01, momentum: chance(0.5) ? 0.9 : 0, weightDecay });
    case "Adam":
      return new rnn.Adam(parameters, { lr: 0.01, amsgrad: chance(0.5), weightDecay });
    case "AdamW":
      return new rnn.AdamW(parameters, { lr: 0.01 });
    case "RMSprop":
      return new rnn.RMSprop(parameters, { lr: 0.01, momentum: chance(0.5) ? 0.9 : 0, centered: chance(0.5) });
    default:
      return new rnn.Adagrad(parameters, { lr: 0.01, weightDecay });
  }
}

/** The loss and its gradient at the output. */
function lossOf(output, dtype) {
  const { shape } = output;
  const target = () => numbers(dtype, ...shape);
  switch (pick(["mse", "l1", "smoothL1", "bceWithLogits", "crossEntropy", "nll"])) {
    case "mse":
      return rnn.mse(output, target());
    case "l1":
      return rnn.l1(output, target());
    case "smoothL1":
      return rnn.smoothL1(output, target());
    case "bceWithLogits":
      return rnn.bceWithLogits(output, { data: target().data.map((x) => (x > 0 ? 1 : 0)), shape });
    case "crossEntropy":
      return rnn.crossEntropy(output, indices(shape.at(-1), ...shape.slice(0, -1)), { labelSmoothing: 0.1 });
    default: {
      const logProbabilities = rnn.logSoftmax(output);
      return rnn.nll(logProbabilities, indices(shape.at(-1), ...shape.slice(0, -1)));
    }
  }
}

const gradientOf = ({ dPrediction, dLogits, dLogProbabilities }) => dPrediction ?? dLogits ?? dLogProbabilities;

function recurrent(kind, d, h, dtype) {
  const bidirectional = chance(0.2);
  const numLayers = whole(1, 2);
  const own = {
    RNN: () => ({ nonlinearity: pick(["tanh", "relu"]) }),
    LSTM: () => ({ projSize: chance(0.3) ? h - 1 : 0, layerNorm: chance(0.2) }),
    GRU: () => (chance(0.2) ? { layerNorm: true } : { resetAfter: chance(0.5) }),
  }[kind]();
  return new rnn[kind](d, h, {
    numLayers,
    bidirectional,
    bias: chance(0.8),
    dropout: numLayers > 1 && chance(0.3) ? 0.2 : 0,
    recurrentDropout: chance(0.2) ? 0.2 : 0,
    ...(chance(0.3) && { checkpoint: whole(1, 4) }),
    dtype,
    seed: random.uint32(),
    ...own,
  });
}

/** Embedding, Dropout, a recurrent layer, LayerNorm, Linear: two steps of training, then one in eval, then a stream. */
function layersRound(kind) {
  const dtype = pick(["f32", "f64"]);
  const [t, n, d, h, v] = [whole(1, 6), whole(1, 4), whole(1, 6), whole(2, 9), whole(2, 5)];
  const embedding = new rnn.Embedding(7, d, { dtype, seed: random.uint32() });
  const dropout = new rnn.Dropout(0.3, { seed: random.uint32(), dtype });
  const layer = recurrent(kind, d, h, dtype);
  const x = indices(7, t, n);
  const options = {};
  if (chance(0.3)) options.lengths = Array.from({ length: n }, () => whole(0, t));
  else if (chance(0.2)) options.mask = indices(2, t, n);
  const forward = () => {
    const { output } = dropout.forward(embedding.forward(x).output);
    return layer.forward(output, options).output;
  };
  const width = forward().shape.at(-1);
  const norm = new rnn.LayerNorm(width, { dtype });
  const linear = new rnn.Linear(width, v, { dtype, seed: random.uint32() });
  const layers = [embedding, dropout, layer, norm, linear];
  const parameters = layers.flatMap((each) => each.parameters());
  const optim = optimizer(parameters);
  for (let step = 0; step < 2; step++) {
    optim.zeroGrad();
    const loss = lossOf(linear.forward(norm.forward(forward()).output).output, dtype);
    const dNorm = linear.backward({ output: gradientOf(loss) }).x;
    const dLayer = layer.backward({ output: norm.backward({ output: dNorm }).x }).x;
    embedding.backward({ output: dropout.backward({ output: dLayer }).x });
    if (chance(0.5)) rnn.clipGradNorm(parameters, 1);
    else rnn.clipGradValue(parameters, 1);
    optim.step();
  }
  for (const each of layers) each.eval();
  forward();
  layer.loadStateDict(layer.stateDict());
  if (width <= h && streams(layer, d, dtype)) return; // it has disposed of the layer
  const all = [...layers, optim];
  for (const each of all) each.dispose();

  /** Runs a stream that outlives its layer. Returns false if the layer has no streams. */
  function streams() {
    let stream;
    try {
      stream = layer.stream({ batchSize: n });
    } catch (error) {
      if (error instanceof rnn.UnsupportedError) return false;
      throw error;
    }
    for (const each of [...layers, optim]) each.dispose();
    for (let i = 0; i < 3; i++) stream.step(numbers(dtype, n, d).data);
    stream.reset();
    stream.dispose();
    return true;
  }
}

function cellRound(kind) {
  const dtype = pick(["f32", "f64"]);
  const [n, d, h] = [whole(1, 3), whole(1, 5), whole(1, 8)];
  const cell = new rnn[kind](d, h, { dtype, seed: random.uint32() });
  const optim = optimizer(cell.parameters());
  const caches = [];
  let state = {};
  for (let t = 0; t < 3; t++) {
    const { cache, ...next } = cell.forward(numbers(dtype, n, d), state);
    caches.push(cache);
    state = next;
  }
  caches.pop().dispose(); // a cache that no backward pass uses
  let gradients = { h: numbers(dtype, n, h) };
  for (const cache of caches.reverse()) {
    const { h: dh, c: dc } = cell.backward(gradients, cache);
    gradients = dc ? { h: dh, c: dc } : { h: dh };
  }
  optim.step();
  cell.dispose();
  optim.dispose();
}

function charlmRound() {
  const text = "the whale and the sea ";
  const vocabulary = rnn.Vocabulary.fromText(text);
  const cell = pick(["LSTM", "GRU", "RNN"]);
  const dtype = pick(["f32", "f64"]);
  const model = new rnn.CharLM(vocabulary, { cell, embeddingDim: 3, hiddenSize: 5, numLayers: 1, dtype, seed: 1 });
  const optim = optimizer(model.parameters());
  const x = indices(vocabulary.size, 4, 2);
  model.trainStep(x, x, optim, { clip: 1 });
  model.sample("the", { length: 5, random: new rnn.Random(1) });
  const copy = rnn.readCharLM(rnn.writeCharLM(model, { steps: 1 })).model;
  for (const each of [copy, model, optim]) each.dispose();
}

function audioRound() {
  const [h] = [whole(2, 8)];
  const values = (...shape) => (shape.length === 1 ? Array.from(numbers("f64", ...shape).data) : nested(shape));
  const nested = ([rows, columns]) => Array.from({ length: rows }, () => values(columns));
  const model = fromProteus({
    model_data: { model: "SimpleRNN", unit_type: "LSTM", input_size: 1, output_size: 1, hidden_size: h, skip: 1, num_layers: 1, bias_fl: true }, // prettier-ignore
    state_dict: {
      "rec.weight_ih_l0": values(4 * h, 1),
      "rec.weight_hh_l0": values(4 * h, h),
      "rec.bias_ih_l0": values(4 * h),
      "rec.bias_hh_l0": values(4 * h),
      "lin.weight": values(1, h),
      "lin.bias": values(1),
    },
  });
  model.process(new Float32Array(32).fill(0.1), new Float32Array(32));
  model.dispose();
}

const KINDS = {
  RNN: () => layersRound("RNN"),
  LSTM: () => layersRound("LSTM"),
  GRU: () => layersRound("GRU"),
  RNNCell: () => cellRound("RNNCell"),
  LSTMCell: () => cellRound("LSTMCell"),
  GRUCell: () => cellRound("GRUCell"),
  CharLM: charlmRound,
  StreamingModel: audioRound,
};

/** The sizes of the JavaScript heap, buffers, resident set and wasm memory after garbage collection. */
async function memory() {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5)); // finalizers run between tasks
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return { js: heapUsed, buffers: arrayBuffers, rss, wasm: heap.byteLength, used: heap.bytesUsed };
}

async function rounds() {
  console.log(`${count(ROUNDS)} rounds of create, train, stream, dispose`);
  const kinds = Object.keys(KINDS);
  const used = heap.bytesUsed;
  let lost = 0;
  let before;
  for (let round = 0; round < ROUNDS; round++) {
    if (round % CYCLE === 0) random = new rnn.Random(Number(given.seed));
    if (round === WARM_UP) before = await memory();
    const kind = kinds[round % kinds.length];
    KINDS[kind]();
    if (heap.bytesUsed !== used + lost) {
      const leak = heap.bytesUsed - used - lost;
      if (failures.length < 10) failures.push(`round ${round}, ${kind}: ${leak} bytes of wasm memory are not freed`);
      lost += leak;
    }
    progress("rounds", round, ROUNDS);
  }
  const after = await memory();
  const grown = (name) => after[name] - before[name];
  const since = `since round ${count(WARM_UP)}`;
  check(lost === 0, `wasm memory in use after each round as before it: ${lost} bytes lost`);
  check(grown("wasm") === 0, `wasm memory: ${mib(after.wasm)}, grown by ${grown("wasm")} bytes ${since}`);
  check(grown("js") < MAX_JS_GROWTH, `JavaScript heap: ${mib(after.js)}, grown by ${mib(grown("js"))} ${since}`);
  check(grown("buffers") < MAX_JS_GROWTH, `array buffers: ${mib(after.buffers)}, grown by ${mib(grown("buffers"))} ${since}`); // prettier-ignore
  check(grown("rss") < MAX_RSS_GROWTH, `resident set: ${mib(after.rss)}, grown by ${mib(grown("rss"))} ${since}`);
}

// --------------------------------------------------------------------------------------------------------------------
// steps

const bitsOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);
const sameBits = (a, b) => a.length === b.length && bitsOf(a).equals(bitsOf(b));

/** Compares one long stream with the same sequence, run in pieces: each starts from the final states of the one before. */
function steps(kind, dtype) {
  const [d, h, piece] = [3, 12, 10_000];
  const layer = new rnn[kind](d, h, { numLayers: 2, dtype, seed: 5 }).eval();
  const stream = layer.stream();
  const output = numbers(dtype, piece, h).data;
  const started = performance.now();
  let state = {};
  let wrong = 0;
  let done = 0;
  let inStream = 0;
  while (done < STEPS) {
    const t = Math.min(piece, STEPS - done);
    const x = numbers(dtype, t, 1, d);
    const frames = Array.from({ length: t }, (_, i) => x.data.subarray(i * d, (i + 1) * d));
    const from = performance.now();
    for (let i = 0; i < t; i++) output.set(stream.step(frames[i]), i * h);
    inStream += performance.now() - from;
    const { output: sequence, hn, cn } = layer.forward(x, state);
    state = cn ? { h0: hn, c0: cn } : { h0: hn };
    if (!sameBits(sequence.data, output.subarray(0, t * h))) wrong++;
    done += t;
    progress(`steps of ${kind}, ${dtype}`, done, STEPS);
  }
  stream.dispose();
  layer.dispose();
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const each = ((inStream * 1000) / STEPS).toFixed(2);
  check(wrong === 0, `${kind}, ${dtype}: ${count(STEPS)} steps have the bits of the sequence, ${wrong} pieces differ (${each} us a step, ${seconds} s in all)`); // prettier-ignore
}

// --------------------------------------------------------------------------------------------------------------------
// one long sequence

/**
 * Compares one call on LENGTH steps, with checkpoints, with calls on pieces without checkpoints, chained by states in the forward
 * pass and by their gradients in the backward pass.
 */
function long(kind, dtype) {
  const [d, h, piece] = [2, 8, 10_000];
  const options = { dtype, seed: 6 };
  const whole = new rnn[kind](d, h, { ...options, checkpoint: Math.round(Math.sqrt(LENGTH)) });
  const pieces = new rnn[kind](d, h, options);
  const x = numbers(dtype, LENGTH, 1, d);
  const dOutput = numbers(dtype, LENGTH, 1, h);
  const used = heap.bytesUsed;
  const started = performance.now();
  const { output } = whole.forward(x);
  const forward = performance.now();
  const gradients = whole.backward({ output: dOutput });
  const backward = performance.now();
  const left = heap.bytesUsed - used;
  progress(`${kind}, ${dtype}`, LENGTH, LENGTH);

  const part = ({ data }, from, to, width) => ({ data: data.subarray(from * width, to * width), shape: [to - from, 1, width] }); // prettier-ignore
  const starts = Array.from({ length: Math.ceil(LENGTH / piece) }, (_, i) => i * piece);
  const states = [{}];
  let same = true;
  const run = (from, state) => pieces.forward(part(x, from, Math.min(from + piece, LENGTH), d), state);
  for (const from of starts) {
    const { output: y, hn, cn } = run(from, states.at(-1));
    same &&= sameBits(y.data, part(output, from, Math.min(from + piece, LENGTH), h).data);
    states.push(cn ? { h0: hn, c0: cn } : { h0: hn });
  }
  check(same, `${kind}, ${dtype}: the output of ${count(LENGTH)} steps has the bits of the pieces`);
  let sameGradients = true;
  let next = {};
  for (const [i, from] of [...starts.entries()].reverse()) {
    const to = Math.min(from + piece, LENGTH);
    run(from, states[i]);
    const { x: dx, h0, c0 } = pieces.backward({ output: part(dOutput, from, to, h), ...next });
    sameGradients &&= sameBits(dx.data, part(gradients.x, from, to, d).data);
    next = c0 ? { hn: h0, cn: c0 } : { hn: h0 };
  }
  sameGradients &&= sameBits(next.hn.data, gradients.h0.data);
  const times = `forward ${((forward - started) / 1000).toFixed(1)} s, backward ${((backward - forward) / 1000).toFixed(1)} s`; // prettier-ignore
  check(sameGradients, `${kind}, ${dtype}: the gradients of x and h0 with checkpoints have the bits of those of the pieces (${times})`); // prettier-ignore
  whole.dispose();
  pieces.dispose();
  check(left === 0, `${kind}, ${dtype}: ${left} bytes of wasm memory more in use after the backward pass than before; the memory has ${mib(heap.byteLength)}`); // prettier-ignore
}

// --------------------------------------------------------------------------------------------------------------------
// threads

/** Threads of this process; undefined where the system does not tell. */
function threadsHere() {
  if (process.platform !== "linux") return undefined;
  return Number(/^Threads:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
}

/** Starts 2, 3 or 4 threads, computes, and stops them, again and again. */
async function starts() {
  const x = numbers("f32", 24, 16, 64);
  const expected = new rnn.LSTM(64, 64, { dtype: "f32", seed: 7 }).forward(x).output.data;
  const warmUp = Math.ceil(STARTS / 10);
  const [starting, stopping] = [[], []];
  let wrong = 0;
  let before;
  let shared;
  const now = async () => ({ ...(await memory()), threads: threadsHere(), used: shared.heap.bytesUsed, wasm: shared.heap.byteLength }); // prettier-ignore
  for (let i = 0; i < STARTS; i++) {
    if (i === warmUp) before = await now();
    const started = performance.now();
    const threads = await rnn.startThreads(2 + (i % 3));
    starting.push(performance.now() - started);
    if (threads !== 2 + (i % 3)) wrong++;
    const layer = new rnn.LSTM(64, 64, { dtype: "f32", seed: 7 });
    if (!sameBits(layer.forward(x).output.data, expected)) wrong++;
    layer.dispose();
    shared = sharedCores[rnn.buildInfo().variant].core;
    const computed = performance.now();
    await rnn.stopThreads();
    stopping.push(performance.now() - computed);
    progress("starts", i, STARTS);
  }
  const after = await now();
  const grown = (name) => after[name] - before[name];
  const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)].toFixed(1);
  check(wrong === 0, `${count(STARTS)} starts of 2 to 4 threads have the bits of one, ${wrong} do not (median ${median(starting)} ms to start, ${median(stopping)} ms to stop)`); // prettier-ignore
  const since = `since start ${count(warmUp)}`;
  check(grown("used") === 0, `wasm memory in use: ${grown("used")} bytes more ${since}`);
  check(grown("wasm") === 0, `wasm memory: ${mib(after.wasm)}, grown by ${grown("wasm")} bytes ${since}`);
  if (after.threads !== undefined) check(grown("threads") <= 0, `threads of the process: ${after.threads}, ${grown("threads")} more ${since}`); // prettier-ignore
  check(grown("js") < MAX_JS_GROWTH, `JavaScript heap: ${mib(after.js)}, grown by ${mib(grown("js"))} ${since}`);
  check(grown("rss") < MAX_RSS_GROWTH, `resident set: ${mib(after.rss)}, grown by ${mib(grown("rss"))} ${since}`);
}

const { variant, version } = rnn.buildInfo();
console.log(`wasm-rnn ${version}, ${variant} build, Node ${process.versions.node}, seed ${given.seed}`);
await rounds();
console.log(`a stream of ${count(STEPS)} steps`);
for (const [kind, dtype] of [["LSTM", "f32"], ["GRU", "f64"], ["RNN", "f32"]]) steps(kind, dtype); // prettier-ignore
console.log(`a sequence of ${count(LENGTH)} steps`);
for (const [kind, dtype] of [["LSTM", "f32"], ["GRU", "f64"]]) long(kind, dtype); // prettier-ignore
console.log(`threads that start and stop ${count(STARTS)} times`);
await starts();
if (failures.length > 0) {
  console.error(`\n${failures.join("\n")}`);
  process.exitCode = 1;
}
console.log(`${failures.length === 0 ? "No growth, equal bits" : "FAILED"}, after ${(performance.now() / 1000).toFixed(0)} s.`); // prettier-ignore
