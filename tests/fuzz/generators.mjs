// Valid calls of everything that the package exports: for each function, class and method a generator of arguments. The
// hostile parts are put in by hostile.mjs. An export that is not in these tables makes the fuzzer fail.

import { readFileSync } from "node:fs";
import { entries, fromSource, isClass, W } from "./subject.mjs";

const { graph: graphOf, node, onnxFile, onnxTensor } = await fromSource("tests/helpers/make-onnx.ts");

const { makeHdf5 } = await fromSource("tests/helpers/make-hdf5.ts");

export const none = () => [];

const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** What one input makes, so that it can be disposed of; and what must be unchanged after a call that threw. */
export class Env {
  made = [];
  disposals = [];
  watched = [];

  constructor(r) {
    this.r = r;
  }

  /** Remembers objects to dispose of. */
  own(object) {
    this.made.push(object);
    const { dispose } = object; // as it is now: properties are put on objects later
    this.disposals.push(() => dispose.call(object));
    return object;
  }

  /** `numbers` returns an array of typed arrays: their bytes are compared. */
  watch(name, numbers) {
    this.watched.push([name, numbers]);
  }

  watchParameters(name, parameters) {
    this.watch(name, () => parameters.flatMap(({ value, grad }) => [value.data, grad.data]));
  }

  dispose() {
    for (const dispose of this.disposals) dispose();
  }
}

// --- numbers -----------------------------------------------------------------------------------------------------------

export function floats(r, dtype, size) {
  const data = dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
  for (let i = 0; i < size; i++) data[i] = r.real() * 2 - 1;
  return data;
}

const tensor = (r, dtype, shape) => ({ data: floats(r, dtype, product(shape)), shape: [...shape] });
const indices = (r, shape, n) => ({ data: Int32Array.from({ length: product(shape) }, () => r.int(n)), shape });
const dtypeOf = (r) => r.pick(["f64", "f32"]);
const small = (r) => r.range(1, 4);

/** Some of the options, each with a probability of a half. */
function some(r, all) {
  return Object.fromEntries(Object.entries(all).filter(() => r.bool()));
}

/** Files of PyTorch that are read, of at most 20 kB: tests/golden/files.py. */
const checkpoints = Object.values(
  JSON.parse(readFileSync(new URL("../golden/files.json", import.meta.url), "utf8")).torch,
).flatMap(({ bytes, error }) => (error === undefined && bytes.length < 27_000 ? [bytes] : []));

export const checkpoint = (r) => new Uint8Array(globalThis.Buffer.from(r.pick(checkpoints), "base64"));

/** A tensor of any type that files of NumPy have. */
export function numpyTensor(r) {
  const floating = [Float64Array, Float32Array];
  const integers = [Int32Array, Int16Array, Int8Array, Uint32Array, Uint16Array, Uint8Array];
  const Kind = r.pick([...floating, ...integers, BigInt64Array, BigUint64Array]);
  const shape = Array.from({ length: r.int(4) }, () => r.int(4));
  const number = (i) => (Kind === BigInt64Array || Kind === BigUint64Array ? BigInt(i) : i);
  return { data: Kind.from({ length: product(shape) }, (_, i) => number(i)), shape };
}

const arrays = (r) => Object.fromEntries(["a", "b.c", "é"].slice(r.int(3)).map((name) => [name, numpyTensor(r)]));

// --- constructors ------------------------------------------------------------------------------------------------------

const common = (r) => ({ dtype: dtypeOf(r), seed: r.int(1000) });

const recurrentOptions = (r) => ({
  numLayers: r.range(1, 2),
  bias: r.bool(),
  batchFirst: r.bool(),
  bidirectional: r.bool(),
  dropout: r.pick([0, 0.5]),
  recurrentDropout: r.pick([0, 0.5]),
  checkpoint: r.range(1, 3),
  goBackwards: r.bool(),
  stateful: r.bool(),
  ...common(r),
});

const activation = (r) => r.pick(["tanh", "relu", "sigmoid", "hardSigmoid", "linear"]);

function parameters(env) {
  const { r } = env;
  const dtype = dtypeOf(r);
  const layer = env.own(new W.Linear(small(r), small(r), { seed: r.int(99), dtype }));
  const list = layer.parameters();
  for (const { grad } of list) grad.data.set(floats(r, dtype, grad.data.length));
  env.watchParameters("parameters", list);
  return list;
}

function groups(env, options) {
  const { r } = env;
  if (r.bool(0.7)) return parameters(env);
  const list = parameters(env);
  return [
    { params: list.slice(0, 1), ...some(r, options) },
    { params: list.slice(1), lr: 0.5 },
  ];
}

function optimizer(env, options) {
  const all = { lr: 0.1, weightDecay: 0.01, maximize: false, ...options };
  return [groups(env, all), some(env.r, all)];
}

function scheduled(env) {
  if (env.r.bool(0.7)) return env.own(new W.SGD(parameters(env), { lr: 0.1 }));
  return { paramGroups: [{ lr: 0.1 }, { lr: 0.2 }] };
}

const vocabulary = (r) => new W.Vocabulary(r.pick(["abc", "\nab", "xyz\u{1f600}"]));

// --- training in shards ------------------------------------------------------------------------------------------------

/** A queue whose server is not there. */
const queue = (r) => ({
  queue: r.pick(["redis://127.0.0.1:1", "rediss://user:secret@127.0.0.1:1/2"]),
  timeout: 0.5,
  ...some(r, { prefix: "p", timeToLive: 10 }),
});

/** A task, and a training of it in one or two shards. */
function sharded(env) {
  const { r } = env;
  const model = () => new W.Linear(2, 1, { seed: 3, dtype: "f32" });
  const task = entries.cluster.modelTask({ name: "t", model, loss: (output, y, options) => W.mse(output, y, options) });
  const own = env.own(model());
  const rows = [0, 1].map(() => ({ x: tensor(r, "f32", [2]), y: tensor(r, "f32", [1]) }));
  const options = {
    setup: {},
    data: entries.cluster.shardBatches(entries.train.batches(rows, { batchSize: 2 }), r.range(1, 2)),
    batches: 1,
    epochs: 2,
    weights: own.stateDict(),
    optimizer: { kind: r.pick(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]), ...some(r, { options: {} }) },
    lr: r.pick([0.1, () => 0.1]),
    ...some(r, { localSteps: 2, clipNorm: 1, seed: 4 }),
    ...(r.bool(0.2) && { localSteps: 2, outerMomentum: 0.9 }),
  };
  return { task, options };
}

function inProcess(env, task) {
  const transport = new entries.cluster.InProcess([task]);
  env.own({ dispose: () => void transport.close() });
  return transport;
}

/** A job of one shard. */
function shardJob(env) {
  const { r } = env;
  const { task, options } = sharded(env);
  const { setup, data, weights, optimizer } = options;
  const local = { optimizer, rates: [0.1], clip: r.pick([1, null]) };
  const plan = { step: 0, shard: 0, shards: data.length, seed: 1, batches: [0], ...(r.bool() && { local }) };
  return { task, job: { task: task.name, setup, data: data[0], model: weights, carried: {}, plan } };
}

const charLMSetup = (r) => ({
  characters: ["a", "b"],
  cell: r.pick(["LSTM", "GRU", "RNN"]),
  dtype: dtypeOf(r),
  ...{ embeddingDim: 2, hiddenSize: 2, numLayers: 1, batch: 1, seq: 2 },
});

/** Arguments of constructors, by the name of the class. */
export const CONSTRUCTORS = {
  Cluster: ({ r }) => [{ ...queue(r), ...some(r, { verify: 0.5, maxMemory: 1e6, onNote: () => {} }) }],
  ClusterError: ({ r }) => [r.pick(["missing", "shard"]), "text"],
  InProcess: (env) => [[sharded(env).task]],
  RNN: ({ r }) => [small(r), small(r), some(r, { nonlinearity: r.pick(["tanh", "relu"]), ...recurrentOptions(r) })],
  LSTM({ r }) {
    const own = { unitForgetBias: r.bool(), activation: activation(r), recurrentActivation: activation(r) };
    const h = r.range(2, 4);
    return [small(r), h, some(r, { ...own, layerNorm: r.bool(), projSize: r.int(h), ...recurrentOptions(r) })];
  },
  GRU({ r }) {
    const own = { resetAfter: r.bool(), activation: activation(r), recurrentActivation: activation(r) };
    return [small(r), small(r), some(r, { ...own, ...recurrentOptions(r) })];
  },
  RNNCell: ({ r }) => [small(r), small(r), some(r, { nonlinearity: "relu", bias: r.bool(), ...common(r) })],
  LSTMCell: ({ r }) => [small(r), small(r), some(r, { bias: r.bool(), ...common(r) })],
  GRUCell: ({ r }) => [small(r), small(r), some(r, { resetAfter: r.bool(), bias: r.bool(), ...common(r) })],
  Linear: ({ r }) => [small(r), small(r), some(r, { bias: r.bool(), ...common(r) })],
  Embedding: ({ r }) => [r.range(2, 5), small(r), some(r, { paddingIdx: r.range(-2, 1), ...common(r) })],
  Dropout: ({ r }) => [r.pick([0, 0.5, 1]), some(r, common(r))],
  LayerNorm: ({ r }) => [
    r.bool() ? small(r) : [small(r), small(r)],
    some(r, { eps: 1e-3, elementwiseAffine: r.bool(), dtype: dtypeOf(r) }),
  ],
  Conv1d({ r }) {
    const groups = r.range(1, 2);
    const padding = r.pick([0, 1, "same", "causal"]);
    const more = { dilation: r.range(1, 2), groups, bias: r.bool(), batchFirst: r.bool(), ...common(r) };
    const stride = padding === "same" ? 1 : r.range(1, 2);
    return [groups * r.range(1, 2), groups * small(r), r.range(1, 2), { stride, padding, groups, ...some(r, more) }];
  },
  MaxPool1d: ({ r }) => [r.range(1, 2), some(r, { stride: small(r), padding: 0, batchFirst: r.bool() })],
  AvgPool1d: ({ r }) => [r.range(1, 2), some(r, { stride: small(r), padding: 0, batchFirst: r.bool() })],
  BatchNorm1d: ({ r }) => [
    small(r),
    some(r, { eps: 1e-3, momentum: r.pick([0.5, null]), affine: r.bool(), batchFirst: r.bool(), dtype: dtypeOf(r) }),
  ],
  PReLU: ({ r }) => [small(r), some(r, { init: 0.1, dtype: dtypeOf(r) })],
  Activation: ({ r }) => [r.pick(["tanh", "hardSigmoid", "elu", "leakyRelu", "softmax", "logSoftmax", "linear"])],
  LastStep: ({ r }) => [some(r, { batchFirst: r.bool(), bidirectional: r.bool() })],
  MeanOverTime: ({ r }) => [some(r, { batchFirst: r.bool() })],
  MaxOverTime: ({ r }) => [some(r, { batchFirst: r.bool() })],
  Sequential(env) {
    const { r } = env;
    const [dtype, size] = [dtypeOf(r), small(r)];
    const gru = env.own(new W.GRU(2, 2, { seed: 2, dtype, ...some(r, { batchFirst: true, bidirectional: true }) }));
    const { batchFirst, directions } = gru;
    const attention = r.bool() && { att: env.own(new W.MultiheadAttention(2 * directions, 2, { dtype, batchFirst })) };
    const layers = {
      first: env.own(new W.Linear(size, 2, { seed: 1, dtype })),
      gru,
      ...attention,
      last: env.own(new W.LastStep()),
    };
    return [r.bool() ? layers : Object.values(layers)];
  },
  MultiheadAttention({ r }) {
    const heads = r.range(1, 2);
    const own = { bias: r.bool(), dropout: r.pick([0, 0.5]), batchFirst: r.bool() };
    return [heads * small(r), heads, some(r, { ...own, ...common(r) })];
  },
  AdditiveAttention: ({ r }) => [small(r), small(r), small(r), some(r, { batchFirst: r.bool(), ...common(r) })],
  SGD: (env) => optimizer(env, env.r.bool() ? { momentum: 0.9, dampening: 0.1 } : {}),
  Adam: (env) => optimizer(env, { betas: [0.9, 0.99], eps: 1e-6, amsgrad: env.r.bool() }),
  AdamW: (env) => optimizer(env, { betas: [0.9, 0.99], eps: 1e-6, amsgrad: env.r.bool() }),
  RMSprop: (env) => optimizer(env, { alpha: 0.9, eps: 1e-6, momentum: 0.5, centered: env.r.bool() }),
  Adagrad: (env) => optimizer(env, { lrDecay: 0.1, initialAccumulatorValue: 0.1, eps: 1e-6 }),
  StepLR: (env) => [scheduled(env), { stepSize: 2, ...some(env.r, { gamma: 0.5 }) }],
  CosineAnnealingLR: (env) => [scheduled(env), { tMax: 5, ...some(env.r, { etaMin: 0.01 }) }],
  LinearLR: (env) => [scheduled(env), some(env.r, { startFactor: 0.5, endFactor: 0.9, totalIters: 3 })],
  ReduceLROnPlateau: (env) => [
    scheduled(env),
    some(env.r, {
      mode: env.r.pick(["min", "max"]),
      factor: 0.5,
      patience: 1,
      threshold: 0.01,
      thresholdMode: env.r.pick(["rel", "abs"]),
      cooldown: 1,
      minLr: 0.001,
      eps: 0,
    }),
  ],
  Random: ({ r }) => [r.int(1000)],
  Vocabulary: ({ r }) => [r.pick(["abc", ["a", "b"], new Set(["x", "\u{1f600}"])])],
  TextStreams: ({ r }) => [Int32Array.from({ length: r.range(5, 12) }, () => r.int(3)), r.range(1, 2), r.range(1, 3)],
  CharLM({ r }) {
    const cell = r.pick(["LSTM", "GRU", "RNN"]);
    const gates = {
      ...(cell !== "RNN" && { recurrentActivation: r.pick(["sigmoid", "hardSigmoid"]) }),
      ...(cell === "GRU" && { resetAfter: r.bool() }),
    };
    const options = { cell, ...some(r, { ...gates, numLayers: r.range(1, 2), ...common(r) }) };
    return [vocabulary(r), { ...options, embeddingDim: small(r), hiddenSize: small(r) }];
  },
};
for (const [name, value] of Object.entries(W)) {
  if (isClass(value) && value.prototype instanceof Error) CONSTRUCTORS[name] = () => ["argument", "this", "that"];
}

const RECURRENT = ["RNN", "LSTM", "GRU"];
const CELLS = ["RNNCell", "LSTMCell", "GRUCell"];
const OVER_TIME = "Conv1d MaxPool1d AvgPool1d BatchNorm1d LastStep MeanOverTime MaxOverTime".split(" ");
const STREAMING = "Linear Embedding LayerNorm Conv1d BatchNorm1d PReLU Activation Dropout".split(" ");
const ATTENTION = ["MultiheadAttention", "AdditiveAttention"];
const PLAIN = [...new Set([...STREAMING, ...OVER_TIME, ...ATTENTION])];
const LAYERS = [...RECURRENT, ...CELLS, ...PLAIN];
const OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"];

const owned = new Set([...LAYERS, ...OPTIMIZERS, "CharLM"]);

/** A new object of a class of the main entry point. */
export function make(env, name) {
  const object = new W[name](...CONSTRUCTORS[name](env));
  if (owned.has(name)) env.own(object);
  return object;
}

const EPOCH_SCHEDULES = ["StepLR", "CosineAnnealingLR", "LinearLR"];
const SCHEDULES = [...EPOCH_SCHEDULES, "ReduceLROnPlateau"];

// --- passes ------------------------------------------------------------------------------------------------------------

function sequence(r, layer) {
  const [t, n] = [r.range(1, 3), r.range(1, 3)];
  const unbatched = r.bool(0.2);
  const batch = unbatched ? [t] : layer.batchFirst ? [n, t] : [t, n];
  return { t, n, unbatched, batch };
}

function stateOf(r, layer, count, which = r.bool()) {
  const states = layer.numLayers * layer.directions;
  if (!which) return {};
  const state = { h0: tensor(r, layer.dtype, [states, ...count, layer.stateSize]) };
  if (layer instanceof W.LSTM) state.c0 = tensor(r, layer.dtype, [states, ...count, layer.hiddenSize]);
  return some(r, state);
}

/** Sequences that are long enough for every window. */
function overTimeArguments(r, layer) {
  const [t, n] = [r.range(4, 6), r.range(1, 2)];
  const unbatched = r.bool(0.2);
  const batch = unbatched ? [t] : layer.batchFirst ? [n, t] : [t, n];
  const channels = layer.inChannels ?? layer.numFeatures ?? 2 * r.range(1, 2);
  const kind = r.int(3);
  const options = {};
  if (kind === 0) options.lengths = Array.from({ length: unbatched ? 1 : n }, () => r.range(2, t));
  if (kind === 1 && layer instanceof W.BatchNorm1d) {
    options.mask = indices(r, batch, 2);
    options.mask.data.fill(1, 0, 2); // a variance needs two
  }
  return [tensor(r, layer.dtype ?? dtypeOf(r), [...batch, channels]), options];
}

/** Which of t keys take part. */
function attended(r, n, t, shape = [n, t]) {
  return r.pick([{}, { lengths: Array.from({ length: n }, () => r.int(t + 1)) }, { mask: indices(r, shape, 2) }]);
}

function multihead(r, layer) {
  const { t, n, unbatched, batch } = sequence(r, layer);
  const size = layer.embedDim;
  const keys = r.range(1, 3);
  const shape = [...batch];
  shape[layer.batchFirst && !unbatched ? 1 : 0] = keys;
  const self = r.bool(0.3);
  const key = self ? undefined : tensor(r, layer.dtype, [...shape, size]);
  const value = self || r.bool() ? undefined : tensor(r, layer.dtype, [...shape, size]);
  const [rows, steps] = [unbatched ? 1 : n, self ? t : keys];
  const options = attended(r, rows, steps, unbatched ? [steps] : [rows, steps]);
  return [tensor(r, layer.dtype, [...batch, size]), key, value, { ...options, ...some(r, { causal: r.bool() }) }];
}

function forwardArguments(r, layer) {
  if (layer instanceof W.Embedding) return [indices(r, [r.range(1, 3), r.range(1, 2)], layer.numEmbeddings)];
  if (layer instanceof W.Linear) return [tensor(r, layer.dtype, [r.range(1, 3), layer.inFeatures])];
  if (layer instanceof W.LayerNorm) return [tensor(r, layer.dtype, [r.range(1, 3), ...layer.normalizedShape])];
  if (layer instanceof W.PReLU) return [tensor(r, layer.dtype, [r.range(1, 3), layer.numParameters])];
  if (layer instanceof W.Activation) return [tensor(r, dtypeOf(r), [r.range(1, 3), small(r)])];
  if (OVER_TIME.some((name) => layer instanceof W[name])) return overTimeArguments(r, layer);
  if (layer instanceof W.Dropout) return [tensor(r, layer.dtype, [r.range(1, 3), 2])];
  if (CELLS.some((name) => layer instanceof W[name])) {
    const batch = r.bool(0.3) ? [] : [r.range(1, 3)];
    const state = { h: tensor(r, layer.dtype, [...batch, layer.hiddenSize]) };
    if (layer instanceof W.LSTMCell) state.c = tensor(r, layer.dtype, [...batch, layer.hiddenSize]);
    return [tensor(r, layer.dtype, [...batch, layer.inputSize]), some(r, state)];
  }
  if (layer instanceof W.MultiheadAttention) return multihead(r, layer);
  if (layer instanceof W.AdditiveAttention) {
    const { t, n } = sequence(r, layer);
    const keys = tensor(r, layer.dtype, [...(layer.batchFirst ? [n, t] : [t, n]), layer.keySize]);
    return [tensor(r, layer.dtype, [n, layer.querySize]), keys, attended(r, n, t)];
  }
  const { t, n, unbatched, batch } = sequence(r, layer);
  const x = tensor(r, layer.dtype, [...batch, layer.inputSize]);
  const state = stateOf(r, layer, unbatched ? [] : [n]);
  const lengths = Array.from({ length: unbatched ? 1 : n }, () => r.int(t + 1));
  const ragged = r.int(6);
  if (ragged === 0) state.lengths = lengths;
  if (ragged === 1) state.lengths = Int32Array.from(lengths);
  if (ragged === 2) state.lengths = { data: Int32Array.from(lengths), shape: [lengths.length] };
  if (ragged === 3) state.mask = indices(r, batch, 2);
  return [x, state];
}

/** Gradients of a forward's results. */
function gradientsOf(r, result) {
  const gradients = {};
  for (const [name, value] of Object.entries(result)) {
    if (name === "cache" || name === "lengths" || value === undefined) continue;
    gradients[name] = tensor(r, value.data instanceof Float64Array ? "f64" : "f32", value.shape);
  }
  return gradients;
}

function watchLayer(env, layer) {
  env.watchParameters("layer", layer.parameters());
}

function layerFor(env, name) {
  const layer = make(env, name);
  watchLayer(env, layer);
  return layer;
}

function ran(env, layer) {
  layer.resetState?.();
  return layer.forward(...forwardArguments(env.r, layer));
}

function converted(r, dict) {
  if (r.bool(0.8)) return dict;
  const other = ({ data, shape }) => ({
    data: data instanceof Float64Array ? Float32Array.from(data) : Float64Array.from(data),
    shape,
  });
  return Object.fromEntries(Object.entries(dict).map(([name, value]) => [name, other(value)]));
}

function otherState(env, layer) {
  return converted(
    env.r,
    Object.fromEntries(
      Object.entries(layer.stateDict()).map(([name, { data, shape }]) => [
        name,
        name === "num_batches_tracked" ? { data, shape } : tensor(env.r, layer.dtype, shape),
      ]),
    ),
  );
}

function stepped(env, name) {
  const one = make(env, name);
  if (env.r.bool()) one.step();
  env.watch("optimizer", () => [
    Float64Array.from(one.paramGroups, ({ lr }) => lr),
    ...Object.values(one.stateDict()).map(({ data }) => data),
  ]);
  return one;
}

function watchSchedule(env, schedule) {
  env.watch("schedule", () => Object.values(schedule.stateDict()).map(({ data }) => data));
  return schedule;
}

function streamOf(env, name = env.r.pick(RECURRENT)) {
  const { r } = env;
  const layer = env.own(new W[name](small(r), small(r), { seed: 1, numLayers: r.range(1, 2), dtype: dtypeOf(r) }));
  const stream = env.own(layer.stream({ batchSize: r.range(1, 2) }));
  stream.step(floats(r, "f64", stream.state.h.shape[1] * layer.inputSize));
  env.watch("stream", () => [stream.state.h.data, ...(stream.state.c ? [stream.state.c.data] : [])]);
  return { layer, stream };
}

function layerStream(env) {
  const { r } = env;
  const makers = [
    () => new W.Linear(small(r), small(r), common(r)),
    () => new W.Conv1d(small(r), small(r), r.range(1, 3), { padding: "causal", ...common(r) }),
    () => new W.BatchNorm1d(small(r), { dtype: dtypeOf(r) }),
    () => new W.Activation("softmax"),
  ];
  const layer = env.own(r.pick(makers)());
  const stream = env.own(layer.stream({ batchSize: r.range(1, 2) }));
  if (layer instanceof W.Activation) stream.step(floats(r, dtypeOf(r), 4));
  return stream;
}

function charLM(env) {
  const model = make(env, "CharLM");
  env.watchParameters("model", model.parameters());
  env.watch("model's state", () => (model.state ? [model.state.h.data] : []));
  return model;
}

// --- files -------------------------------------------------------------------------------------------------------------

const matrix = (r, rows, columns) =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => r.real() - 0.5));
const vector = (r, n) => matrix(r, 1, n)[0];

/** A file of RTNeural's, as its Python writes it. */
export function rtneural(r) {
  const inputs = r.range(1, 2);
  const layers = [];
  let size = inputs;
  for (let count = r.range(1, 3); count > 0; count--) {
    const out = r.range(1, 3);
    const type = r.pick(["lstm", "gru", "dense", "time-distributed-dense", "prelu", "activation"]);
    const layer = { type, activation: "", shape: [null, null, out], weights: [] };
    if (type === "lstm") layer.weights = [matrix(r, size, 4 * out), matrix(r, out, 4 * out), vector(r, 4 * out)];
    if (type === "gru") layer.weights = [matrix(r, size, 3 * out), matrix(r, out, 3 * out), matrix(r, 2, 3 * out)];
    if (type.endsWith("dense")) layer.weights = [matrix(r, size, out), vector(r, out)];
    if (type.endsWith("dense") && r.bool()) layer.activation = r.pick(["tanh", "relu", "sigmoid", "softmax", "elu"]);
    if (type === "prelu") Object.assign(layer, { shape: [null, null, size], weights: [[vector(r, size)]] });
    if (type === "activation")
      Object.assign(layer, { shape: [null, null, size], activation: r.pick(["tanh", "relu"]) });
    layers.push(layer);
    size = layer.shape[2];
  }
  layers.push({ type: "dense", activation: "", shape: [null, null, 1], weights: [matrix(r, size, 1), [r.real()]] });
  return { in_shape: [null, null, inputs], ...some(r, { in_skip: 1 }), layers };
}

/** A PyTorch state_dict as RTNeural takes it. */
export function rtneuralDict(r) {
  const [d, h] = [r.range(1, 2), r.range(1, 3)];
  const g = r.pick([1, 3, 4]) * h;
  return {
    "lstm.weight_ih_l0": matrix(r, g, d),
    "lstm.weight_hh_l0": matrix(r, g, h),
    "lstm.bias_ih_l0": vector(r, g),
    "lstm.bias_hh_l0": vector(r, g),
    "dense.weight": matrix(r, 1, h),
    "dense.bias": vector(r, 1),
  };
}

/** A file of Proteus'. */
export function proteus(r) {
  const [d, h, unit] = [r.range(1, 2), r.range(1, 3), r.pick(["LSTM", "GRU", "RNN"])];
  const g = { LSTM: 4, GRU: 3, RNN: 1 }[unit] * h;
  const data = { model: "SimpleRNN", input_size: d, hidden_size: h, output_size: 1, unit_type: unit, num_layers: 1 };
  return {
    model_data: { ...data, skip: r.int(2), bias_fl: true },
    state_dict: {
      "rec.weight_ih_l0": matrix(r, g, d),
      "rec.weight_hh_l0": matrix(r, g, h),
      "rec.bias_ih_l0": vector(r, g),
      "rec.bias_hh_l0": vector(r, g),
      "lin.weight": matrix(r, 1, h),
      "lin.bias": vector(r, 1),
    },
  };
}

/** A file of Neural Amp Modeler with one LSTM layer, as an object or bytes. */
export function nam(r) {
  const [d, h] = [r.range(1, 2), r.range(1, 3)];
  const config = { input_size: d, hidden_size: h, num_layers: 1 };
  const file = { architecture: "LSTM", config, weights: vector(r, 4 * h * (d + h) + 4 * h + 2 * h + h + 1) };
  return r.bool() ? file : new Uint8Array(Buffer.from(JSON.stringify(file)));
}

/** The files of ml5's charRNN with one cell. */
export function ml5(r) {
  const [v, e, h] = [r.range(1, 3), r.range(1, 2), r.range(1, 3)];
  const json = (value) => new Uint8Array(Buffer.from(JSON.stringify(value)));
  const files = { "vocab.json": json(Object.fromEntries([..."abc"].slice(0, v).map((c, i) => [c, i]))) };
  const manifest = {};
  const cell = "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell";
  const shapes = { embedding: [v, e], [`${cell}/kernel`]: [e + h, 4 * h], [`${cell}/bias`]: [4 * h] };
  for (const [name, shape] of Object.entries({ ...shapes, "rnnlm/softmax_w": [h, v], "rnnlm/softmax_b": [v] })) {
    const filename = name.replaceAll("/", "_");
    manifest[name] = { filename, shape };
    files[filename] = new Uint8Array(floats(r, "f32", product(shape)).buffer);
  }
  files["manifest.json"] = json(manifest);
  return files;
}

/** A tensor of 0 to 3 axes for wasm-rnn/ops. */
function anyShape(r) {
  return Array.from({ length: r.int(4) }, () => small(r));
}

/** Two operands that broadcast, or one and a number. */
function operands(r) {
  const dtype = dtypeOf(r);
  const shape = anyShape(r);
  const other = shape.slice(r.int(shape.length + 1)).map((n) => (r.bool(0.3) ? 1 : n));
  const pair = [tensor(r, dtype, shape), r.bool(0.2) ? r.real() : tensor(r, dtype, other)];
  return r.bool() ? pair : pair.reverse();
}

/** A tensor of at least one axis and of any type, and one of its axes. */
function withAxis(r) {
  const shape = [small(r), ...anyShape(r)];
  const x = r.bool(0.2) ? indices(r, shape, 5) : tensor(r, dtypeOf(r), shape);
  return { x, shape, axis: r.int(shape.length) - (r.bool() ? shape.length : 0) };
}

/** Functions of wasm-rnn/ops. */
const OPS = {
  ...Object.fromEntries(["add", "sub", "mul", "div"].map((name) => [name, ({ r }) => operands(r)])),
  ...Object.fromEntries(
    ["neg", "exp", "log", "sqrt", "tanh", "sigmoid", "relu"].map((name) => [
      name,
      ({ r }) => [tensor(r, dtypeOf(r), anyShape(r))],
    ]),
  ),
  ...Object.fromEntries(
    ["softmax", "logSoftmax"].map((name) => [name, ({ r }) => [tensor(r, dtypeOf(r), [...anyShape(r), small(r)])]]),
  ),
  ...Object.fromEntries(
    ["sum", "mean", "max"].map((name) => [
      name,
      ({ r }) => {
        const shape = [small(r), ...anyShape(r)];
        return [tensor(r, dtypeOf(r), shape), r.bool(0.3) ? undefined : r.int(shape.length), r.bool()];
      },
    ]),
  ),
  where({ r }) {
    const [a, b] = operands(r);
    const { shape } = typeof a === "number" ? b : a;
    return [indices(r, shape, 2), a, b];
  },
  matmul({ r }) {
    const dtype = dtypeOf(r);
    const [m, k, n] = [small(r), small(r), small(r)];
    const stack = anyShape(r);
    return [tensor(r, dtype, [...stack, m, k]), tensor(r, dtype, [...(r.bool() ? stack : []), k, n])];
  },
  dropout: ({ r }) => [tensor(r, dtypeOf(r), anyShape(r)), r.pick([0, 0.5, 1]), new W.Random(3)],
  oneHot: ({ r }) => [indices(r, anyShape(r), 4), 4, ...(r.bool() ? [dtypeOf(r)] : [])],
  transpose({ r }) {
    const { x, shape } = withAxis(r);
    return [x, r.bool(0.3) ? undefined : shape.map((_, i) => shape.length - 1 - i)];
  },
  reshape({ r }) {
    const { x, shape } = withAxis(r);
    return [x, r.bool() ? [-1] : [...shape, 1]];
  },
  concat({ r }) {
    const { x, axis } = withAxis(r);
    return [Array.from({ length: r.range(1, 3) }, () => x), axis];
  },
  stack({ r }) {
    const { x, axis } = withAxis(r);
    return [Array.from({ length: r.range(1, 3) }, () => x), axis];
  },
  slice({ r }) {
    const { x, shape, axis } = withAxis(r);
    const start = r.int(shape.at(axis) + 1);
    return [x, axis, start, r.range(start, shape.at(axis))];
  },
  select({ r }) {
    const { x, shape, axis } = withAxis(r);
    return [x, axis, r.int(shape.at(axis))];
  },
};

/** Arguments of onnxRecurrent. */
export function onnx(r) {
  const kind = r.pick(["RNN", "LSTM", "GRU"]);
  const [t, n, i, h] = [r.range(1, 3), r.range(1, 2), small(r), small(r)];
  const direction = r.pick(["forward", "reverse", "bidirectional"]);
  const d = direction === "bidirectional" ? 2 : 1;
  const g = { RNN: 1, LSTM: 4, GRU: 3 }[kind] * h;
  const layout = r.int(2);
  const dtype = dtypeOf(r);
  const state = layout ? [n, d, h] : [d, n, h];
  const count = d * { RNN: 1, LSTM: 3, GRU: 2 }[kind];
  const attributes = {
    ...some(r, {
      hidden_size: h,
      activations: Array.from({ length: count }, () => r.pick(["Tanh", "Sigmoid", "Relu", "HardSigmoid"])),
      activation_alpha: Array.from({ length: count }, () => 0.2),
      activation_beta: Array.from({ length: count }, () => 0.5),
      clip: 0.75,
      ...(kind === "LSTM" && { input_forget: r.int(2) }),
      ...(kind === "GRU" && { linear_before_reset: r.int(2) }),
    }),
    direction,
    layout,
  };
  const inputs = {
    X: tensor(r, dtype, layout ? [n, t, i] : [t, n, i]),
    W: tensor(r, dtype, [d, g, i]),
    R: tensor(r, dtype, [d, g, h]),
    ...some(r, {
      B: tensor(r, dtype, [d, 2 * g]),
      sequence_lens: indices(r, [n], t + 1),
      initial_h: tensor(r, dtype, state),
      ...(kind === "LSTM" && { initial_c: tensor(r, dtype, state), P: tensor(r, dtype, [d, 3 * h]) }),
    }),
  };
  return [kind, attributes, inputs];
}

/** A file of a model with a recurrent layer, a state, and an integer that decides a branch. */
function graphFile(r) {
  const [i, h] = [small(r), small(r)];
  const weight = (shape) => onnxTensor("f32", shape, [...floats(r, "f32", product(shape))]);
  const branch = (opType) => graphOf({}, { b: ["f32", undefined] }, [node(opType, ["last"], ["b"])]);
  const nodes = [
    node("LSTM", ["x", "w", "r", "", "", "h0", "c0"], ["y", "h1", "c1"], { hidden_size: h }),
    node("Squeeze", ["h1", "zero"], ["last"]),
    node("Equal", ["rate", "high"], ["isHigh"]),
    node("If", ["isHigh"], ["out"], { then_branch: branch("Tanh"), else_branch: branch("Sigmoid") }),
  ];
  const state = ["f32", [1, "N", h]];
  const inputs = { x: ["f32", ["T", "N", i]], h0: state, c0: state, rate: ["i64", []] };
  const outputs = { out: ["f32", ["N", h]], h1: state, c1: state };
  const weights = { w: weight([1, 4 * h, i]), r: weight([1, 4 * h, h]), zero: onnxTensor("i64", [1], [0]), high: onnxTensor("i64", [], [16000]) }; // prettier-ignore
  return onnxFile(graphOf(inputs, outputs, nodes, weights));
}

const onnxOptions = (r) => some(r, { dtype: dtypeOf(r), maxMemory: 2 ** 20, maxIterations: 1000 });

function graphModel(env) {
  const model = env.own(entries.onnx.fromOnnx(graphFile(env.r), onnxOptions(env.r)));
  env.watch("model", () => Object.values(model.stateDict()).map(({ data }) => data));
  return model;
}

/** A model of Keras of an LSTM and a Dense layer: its topology, and its weights by layer and name. */
function kerasModel(r) {
  const [d, h, u] = [small(r), small(r), small(r)];
  const layers = [
    {
      class_name: "LSTM",
      config: { name: "lstm", units: h, recurrent_activation: "sigmoid", batch_input_shape: [null, null, d] },
    },
    { class_name: "Dense", config: { name: "dense", units: u, activation: r.pick(["linear", "softmax", "gelu"]) } },
  ];
  const weights = {
    lstm: { kernel: [d, 4 * h], recurrent_kernel: [h, 4 * h], bias: [4 * h] },
    dense: { kernel: [h, u], bias: [u] },
  };
  const drawn = Object.entries(weights).map(([layer, all]) => [
    layer,
    Object.fromEntries(Object.entries(all).map(([name, shape]) => [name, tensor(r, "f32", shape)])),
  ]);
  return { topology: { class_name: "Sequential", config: { name: "s", layers } }, weights: Object.fromEntries(drawn) };
}

export function tfjsFiles(r) {
  const { topology, weights } = kerasModel(r);
  const all = Object.entries(weights).flatMap(([layer, own]) =>
    Object.entries(own).map(([name, { data, shape }]) => ({ name: `${layer}/${name}`, shape, dtype: "float32", data })),
  );
  const bytes = new Uint8Array(Float32Array.from(all.flatMap(({ data }) => [...data])).buffer);
  const manifest = all.map(({ name, shape, dtype }) => ({ name, shape, dtype }));
  return [{ modelTopology: topology, weightsManifest: [{ paths: ["w"], weights: manifest }] }, bytes];
}

/** A text model of TensorFlow.js over three characters. */
function textFiles(r) {
  const h = small(r);
  const kind = r.pick(["LSTM", "GRU"]);
  const gates = { LSTM: 4, GRU: 3 }[kind] * h;
  const config = {
    units: h,
    recurrent_activation: r.pick(["sigmoid", "hard_sigmoid"]),
    batch_input_shape: [null, null, 3],
  };
  const layers = [
    { class_name: kind, config: { name: "r", ...config } },
    { class_name: "Dense", config: { name: "d", units: 3, activation: "softmax" } },
  ];
  const shapes = { "r/kernel": [3, gates], "r/recurrent_kernel": [h, gates], "r/bias": [gates], "d/kernel": [h, 3], "d/bias": [3] }; // prettier-ignore
  const weights = Object.entries(shapes).map(([name, shape]) => ({ name, shape, dtype: "float32" }));
  const count = Object.values(shapes).reduce((sum, shape) => sum + product(shape), 0);
  const topology = { class_name: "Sequential", config: { name: "s", layers } };
  const model = { modelTopology: topology, weightsManifest: [{ paths: ["w"], weights }] };
  return [model, new Uint8Array(floats(r, "f32", count).buffer)];
}

/** The same as the weights of a .keras file: its topology, and the file of weights. */
export function kerasWeights(r) {
  const { topology, weights } = kerasModel(r);
  const places = ({ kernel, recurrent_kernel, bias }) => {
    const entries = Object.entries([kernel, recurrent_kernel, bias].filter(Boolean));
    return { entries: { vars: { entries: Object.fromEntries(entries) } } };
  };
  const lstm = { entries: { cell: places(weights.lstm) } };
  return { topology, groups: makeHdf5({ entries: { layers: { entries: { lstm, dense: places(weights.dense) } } } }) };
}

/** A file of Keras 2 with a model. */
export function kerasFile(r) {
  const { topology, weights } = kerasModel(r);
  const layers = Object.entries(weights).map(([layer, entries]) => [
    layer,
    { attributes: { weight_names: Object.keys(entries) }, entries },
  ]);
  return makeHdf5({
    attributes: { model_config: JSON.stringify(topology) },
    entries: {
      model_weights: { attributes: { layer_names: Object.keys(weights) }, entries: Object.fromEntries(layers) },
    },
  });
}

/** Feeds of that model, without some of those in `optional`. */
function graphFeeds(r, { inputs }, optional = {}) {
  const [t, n] = [r.range(1, 3), r.range(1, 2)];
  const feeds = inputs.map(({ name, dtype, shape }) => {
    const own = shape.map((axis) => ({ T: t, N: n })[axis] ?? axis);
    return [name, dtype === "i64" ? { data: BigInt64Array.of(r.pick([8000n, 16000n])), shape: [] } : tensor(r, dtype, own)]; // prettier-ignore
  });
  return Object.fromEntries(feeds.filter(([name]) => !(name in optional && r.bool())));
}

const CARRY = { h1: "h0", c1: "c0" };

function graphStream(env) {
  const model = graphModel(env);
  const stream = env.own(model.stream({ carry: CARRY }));
  const feeds = graphFeeds(env.r, model);
  const { h1, c1 } = stream.step(feeds);
  env.graphFeeds = feeds;
  env.watch("stream", () => [h1.data, c1.data]);
  return stream;
}

function streamingModel(env) {
  const { r } = env;
  const read = entries.audio;
  const options = { dtype: dtypeOf(r) };
  const model = env.own(r.bool() ? read.fromRtneural(rtneural(r), options) : read.fromProteus(proteus(r), options));
  model.step(floats(r, "f64", model.inputSize));
  return model;
}

export function stateDict(r) {
  const dict = {};
  for (let i = r.range(0, 3); i > 0; i--) {
    const shape = Array.from({ length: r.int(3) }, () => r.int(4));
    dict[r.pick(["a", "b.weight", "c d", "\u00e9", "__proto__x"])] = r.bool(0.7)
      ? tensor(r, dtypeOf(r), shape)
      : indices(r, shape, 9);
  }
  return dict;
}

// --- courses -----------------------------------------------------------------------------------------------------------

function courseraParameters(r, dtype, lstm, nx, na) {
  const column = (n) => tensor(r, dtype, [n, 1]);
  const ny = small(r);
  const predictions = r.bool();
  if (!lstm) {
    return {
      Wax: tensor(r, dtype, [na, nx]),
      Waa: tensor(r, dtype, [na, na]),
      ba: column(na),
      ...(predictions && { Wya: tensor(r, dtype, [ny, na]), by: column(ny) }),
    };
  }
  const gate = () => tensor(r, dtype, [na, na + nx]);
  const [Wf, Wi, Wc, Wo] = [gate(), gate(), gate(), gate()];
  const [bf, bi, bc, bo] = [column(na), column(na), column(na), column(na)];
  return { Wf, bf, Wi, bi, Wc, bc, Wo, bo, ...(predictions && { Wy: tensor(r, dtype, [ny, na]), by: column(ny) }) };
}

function courseraForward({ r }, lstm, cell) {
  const [nx, na, m, t, dtype] = [small(r), small(r), r.range(1, 2), r.range(1, 3), dtypeOf(r)];
  const options = some(r, { activation: r.pick(["tanh", "relu"]), output: r.pick(["softmax", "sigmoid"]) });
  const x = tensor(r, dtype, cell ? [nx, m] : [nx, m, t]);
  const a = tensor(r, dtype, [na, m]);
  const c = lstm && cell ? [tensor(r, dtype, [na, m])] : [];
  return [x, a, ...c, courseraParameters(r, dtype, lstm, nx, na), options];
}

function courseraBackward(env, lstm, cell) {
  const name = `${lstm ? "lstm" : "rnn"}${cell ? "Cell" : ""}Forward`;
  const result = entries.coursera[name](...courseraForward(env, lstm, cell));
  const like = ({ data, shape }) => tensor(env.r, data instanceof Float64Array ? "f64" : "f32", shape);
  if (!cell) return [like(result.a), result.caches];
  return [like(result.aNext), ...(lstm ? [like(result.cNext)] : []), result.cache];
}

function cs231nForward({ r }, lstm, cell) {
  const [n, t, d, h, dtype] = [r.range(1, 2), r.range(1, 3), small(r), small(r), dtypeOf(r)];
  const g = lstm ? 4 * h : h;
  const states = lstm && cell ? 2 : 1;
  return [
    tensor(r, dtype, cell ? [n, d] : [n, t, d]),
    ...Array.from({ length: states }, () => tensor(r, dtype, [n, h])),
    tensor(r, dtype, [d, g]),
    tensor(r, dtype, [h, g]),
    tensor(r, dtype, [g]),
  ];
}

function cs231nBackward(env, lstm, cell) {
  const name = `${lstm ? "lstm" : "rnn"}${cell ? "Step" : ""}Forward`;
  const result = entries.cs231n[name](...cs231nForward(env, lstm, cell));
  const like = ({ data, shape }) => tensor(env.r, data instanceof Float64Array ? "f64" : "f32", shape);
  if (!cell) return [like(result.h), result.cache];
  return [like(result.nextH), ...(lstm ? [like(result.nextC)] : []), result.cache];
}

// --- training ----------------------------------------------------------------------------------------------------------

/** Samples of one of the kinds that `batches` takes. */
function samples(r) {
  const [dtype, features, size] = [dtypeOf(r), small(r), r.range(1, 2)];
  const x = r.pick([
    (t) => tensor(r, dtype, [t, features]),
    (t) => indices(r, [t], 5),
    (t) => Int32Array.from({ length: t }, () => r.int(5)),
    (t) => Array.from(floats(r, "f64", t)),
    () => tensor(r, dtype, [features]),
  ]);
  const y = r.pick([
    () => r.int(3),
    () => tensor(r, dtype, [size]),
    (t) => indices(r, [t], 3),
    () => indices(r, [r.int(3)], 3),
    (t) => tensor(r, dtype, [t, size]),
  ]);
  return Array.from({ length: r.range(1, 5) }, () => {
    const t = r.range(1, 4);
    return { x: x(t), y: y(t) };
  });
}

const batchesArguments = ({ r }) => [
  samples(r),
  {
    batchSize: r.range(1, 3),
    ...some(r, { batchFirst: r.bool(), shuffle: r.bool(), seed: r.int(99), bucket: r.pick([true, 2]) }),
  },
];

/** Predictions, targets and options of metrics. */
function predictions({ r }, more) {
  const [t, n, c] = [r.range(1, 3), r.range(1, 3), r.range(1, 3)];
  const predicted = r.bool() ? tensor(r, dtypeOf(r), [t, n, c]) : indices(r, [t, n], c);
  const lengths = Array.from({ length: n }, () => r.int(t + 1));
  return [predicted, indices(r, [t, n], c), ...more(c), some(r, { lengths, ignoreIndex: -1, batchFirst: false })];
}

/** A layer, an optimizer over its parameters, and perhaps a schedule and generators. */
function trainingParts(env) {
  const { r } = env;
  const model = make(env, r.pick(["Linear", "LSTM", "LayerNorm"]));
  const own = model.parameters().length > 0 ? model.parameters() : parameters(env);
  env.watchParameters("model", own);
  const optimizer = env.own(new W[r.pick(OPTIMIZERS)](own, { lr: 0.1 }));
  if (r.bool()) optimizer.step();
  env.watch("optimizer", () => Object.values(optimizer.stateDict()).map(({ data }) => data));
  const random = r.pick([new W.Random(1), { mine: new W.Random(2) }]);
  const schedule = new W.StepLR(optimizer, { stepSize: 1 });
  return { model, optimizer, ...some(r, { schedule, random }) };
}

/** Arguments of fit that learn y = 2 x, in vectors or sequences. */
function fitArguments(env) {
  const { r } = env;
  const [dtype, size] = [dtypeOf(r), small(r)];
  const model = env.own(new W.Linear(size, size, { dtype, seed: 1 }));
  const steps = r.bool() ? [] : [r.range(1, 3)];
  const pairs = Array.from({ length: r.range(1, 3) }, () => ({
    x: tensor(r, dtype, [...steps, size]),
    y: tensor(r, dtype, [...steps, size]),
  }));
  const data = () => entries.train.batches(pairs, { batchSize: 2 });
  const optimizer = env.own(new W.SGD(model.parameters(), { lr: 0.1 }));
  const options = {
    validation: r.bool() ? data() : [...data()],
    metrics: { m: () => r.real() },
    schedule: new W.StepLR(optimizer, { stepSize: 1 }),
    clipNorm: 1,
    earlyStopping: { patience: 1, ...some(r, { minDelta: 0.1, restoreBest: r.bool(), mode: "min" }) },
    onNan: r.pick(["stop", "skip"]),
    signal: new globalThis.AbortController().signal,
    position: { epoch: 0, batch: 0, step: 3, samples: 2, lossSum: 0.5 },
  };
  return [
    model,
    r.bool() ? data() : [...data()],
    { loss: (output, y) => W.mse(output, y), optimizer, epochs: 2, ...some(r, options) },
  ];
}

// --- functions ---------------------------------------------------------------------------------------------------------

const reduction = (r) => some(r, { reduction: r.pick(["mean", "sum", "none"]) });

function classes({ r }, more) {
  const [n, c, dtype] = [r.range(1, 3), r.range(2, 4), dtypeOf(r)];
  const options = { ...reduction(r), ...some(r, { ignoreIndex: -1, weight: tensor(r, dtype, [c]), ...more }) };
  return [tensor(r, dtype, [n, c]), indices(r, [n], c), options];
}

function ctc({ r }) {
  const [t, n, c] = [small(r), r.range(1, 2), r.range(2, 4)];
  const lengths = Array.from({ length: n }, () => r.int(t + 1));
  return { n, c, logits: tensor(r, dtypeOf(r), [t, n, c]), options: some(r, { inputLengths: lengths }) };
}

function elements({ r }, more = () => ({})) {
  const [shape, dtype] = [[r.range(1, 3), small(r)], dtypeOf(r)];
  return [tensor(r, dtype, shape), tensor(r, dtype, shape), { ...reduction(r), ...some(r, more(dtype, shape)) }];
}

function target(env, axes = 0) {
  const { r } = env;
  if (r.bool()) return parameters(env)[0];
  const one = tensor(r, dtypeOf(r), [small(r), small(r)].slice(axes && 0));
  const before = one.data;
  env.watch("target", () => [before]);
  return one;
}

const init = (options, axes) => (env) => [target(env, axes), some(env.r, { ...options(env.r), seed: env.r.int(99) })];

// --- gates -------------------------------------------------------------------------------------------------------------

/** Shapes of a convention's arrays by cell: G gates, D inputs, H units; those of other cells do not exist. */
const GATE_SHAPES = {
  onnx: (g, d, h, { s }) => ({ W: [s, g * h, d], R: [s, g * h, h], B: [s, 2 * g * h] }),
  keras: (g, d, h, { after }) => ({
    kernel: [d, g * h],
    recurrent_kernel: [h, g * h],
    bias: g === 3 && after ? [2, g * h] : [g * h],
  }),
  cudnn: (g, d, h) => ({ kernel: [d, g * h], recurrent_kernel: [h, g * h], bias: [2 * g * h] }),
  tf1: (g, d, h) => ({ kernel: [d + h, g * h], bias: [g * h] }),
  nam: (g, d, h) => ({ W: [g * h, d + h], b: [g * h] }),
  cs231n: (g, d, h) => ({ Wx: [d, g * h], Wh: [h, g * h], b: [g * h] }),
  coursera(g, d, h) {
    if (g === 1) return { Wax: [h, d], Waa: [h, h], ba: [h, 1] };
    const letters = g === 4 ? "fico" : "urc";
    return Object.fromEntries([...letters].flatMap((c) => [[`W${c}`, [h, h + d]], [`b${c}`, [h, 1]]])); // prettier-ignore
  },
};
const GATE_CELLS = { nam: ["LSTM"], cudnn: ["LSTM", "GRU"], tf1: ["RNN", "LSTM"], cs231n: ["RNN", "LSTM"] };

/** A convention with one of its cells, and options that fit. */
function gateRequest(r) {
  const name = r.pick(Object.keys(GATE_SHAPES));
  const cell = r.pick(GATE_CELLS[name] ?? ["RNN", "LSTM", "GRU"]);
  const after = name === "cudnn" || (name !== "coursera" && r.bool());
  const [g, d, h, s] = [{ RNN: 1, LSTM: 4, GRU: 3 }[cell], small(r), small(r), name === "onnx" ? r.range(1, 2) : 1];
  const options = {
    ...some(r, { layer: r.int(3), ...(s === 1 && { reverse: r.bool() }) }),
    ...(cell === "GRU" && { resetAfter: after }),
    ...(name === "tf1" && cell === "LSTM" && some(r, { forgetBias: r.real() })),
  };
  return { name, cell, g, d, h, s, after, options };
}

function gateArrays({ r }) {
  const { name, cell, g, d, h, s, after, options } = gateRequest(r);
  const dtype = dtypeOf(r);
  const shapes = Object.entries(GATE_SHAPES[name](g, d, h, { s, after }));
  return [name, cell, Object.fromEntries(shapes.map(([key, shape]) => [key, tensor(r, dtype, shape)])), options];
}

function gateDict({ r }) {
  const { name, cell, g, d, h, s, options } = gateRequest(r);
  const dtype = dtypeOf(r);
  const layer = `_l${options.layer ?? 0}`;
  const suffixes = s === 2 ? [layer, `${layer}_reverse`] : [`${layer}${options.reverse ? "_reverse" : ""}`];
  const bias = r.bool() && { bias_ih: [g * h], bias_hh: [g * h] };
  const shapes = Object.entries({ weight_ih: [g * h, d], weight_hh: [g * h, h], ...bias });
  const entries = suffixes.flatMap((suffix) => shapes.map(([key, shape]) => [key + suffix, tensor(r, dtype, shape)]));
  return [name, cell, Object.fromEntries(entries), options];
}

/** Arguments of functions, by "entry point.name". */
export const FUNCTIONS = {
  "cluster.charLMTask.open": ({ r }) => [charLMSetup(r), 1e6],
  "cluster.cleanQueue": ({ r }) => [{ ...queue(r), ...some(r, { all: true }) }],
  "cluster.modelTask": ({ r }) => [
    { name: "t", model: () => new W.Linear(2, 1), loss: W.mse, ...some(r, { count: () => 1 }) },
  ],
  "cluster.queueStatus": ({ r }) => [queue(r)],
  "cluster.runWorker": ({ r }) => [
    {
      ...queue(r),
      ...some(r, { threads: 1, name: "w", tasks: [], maxMemory: 1e6, lock: 1, onNote: () => {} }),
      ...some(r, { signal: globalThis.AbortSignal.abort() }),
    },
  ],
  "cluster.serveThread": none,
  "cluster.shardBatches": ({ r }) => [
    [1, 2].map(() => ({ x: tensor(r, "f32", [2, 3]), y: tensor(r, "f64", [2, 1]) })),
    r.range(1, 2),
  ],
  "cluster.threads": ({ r }) => [
    { workers: 1, ...some(r, { threads: 1, tasks: [], variant: "simd", maxMemory: 1e6, onNote: () => {} }) },
  ],
  "cluster.trainShards"(env) {
    const { task, options } = sharded(env);
    return [task, inProcess(env, task), options];
  },
  "index.parameter": ({ r }) => [tensor(r, dtypeOf(r), [small(r)]), "free"],
  "index.weightedSum": ({ r }) => [
    [
      [W.mse(tensor(r, "f64", [2]), tensor(r, "f64", [2])), r.real()],
      [tensor(r, "f32", [1]), 2],
    ],
  ],
  "index.valueAndGrad"(env) {
    const list = parameters(env);
    return [bodyOf(env, list), env.r.bool() ? [] : [list[0].value]];
  },
  "index.tensor": ({ r }) =>
    r.pick([
      [
        [
          [1, 2],
          [3, 4],
        ],
        [4],
        "f32",
      ],
      [5],
      [Float32Array.of(1, 2, 3, 4), [2, 2]],
      [[1, 2, 3], undefined, "i32"],
      [[Float64Array.of(1, 2), [3, 4]]],
    ]),
  "index.buildInfo": () => [],
  "index.startThreads": () => [1],
  "index.stopThreads": () => [],
  "index.configure": ({ r }) => [{ variant: r.pick(["auto", "simd"]) }],
  "index.initialize": () => [Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)],
  "index.bceWithLogits": (env) =>
    elements(env, (dtype, shape) => ({ weight: tensor(env.r, dtype, shape), posWeight: tensor(env.r, dtype, shape) })),
  "index.crossEntropy": (env) => classes(env, { labelSmoothing: 0.1 }),
  "index.nll": (env) => classes(env, {}),
  "index.ctcLoss"(env) {
    const { r } = env;
    const { n, c, logits, options } = ctc(env);
    const s = r.int(3);
    const own = { targetLengths: Array.from({ length: n }, () => r.int(s + 1)), zeroInfinity: r.bool() };
    return [logits, indices(r, [n, s], c - 1), { ...options, blank: c - 1, ...reduction(r), ...some(r, own) }];
  },
  "index.ctcGreedyDecode"(env) {
    const { logits, options } = ctc(env);
    return [logits, { ...options, ...some(env.r, { blank: 1 }) }];
  },
  "index.ctcBeamDecode"(env) {
    const { logits, options } = ctc(env);
    const beamWidth = env.r.range(1, 4);
    return [logits, { ...options, beamWidth, ...some(env.r, { blank: 1, topPaths: env.r.range(1, beamWidth) }) }];
  },
  "index.l1": (env) => elements(env),
  "index.mse": (env) => elements(env),
  "index.smoothL1": (env) => elements(env, () => ({ beta: 0.5 })),
  "index.softmax": ({ r }) => [tensor(r, dtypeOf(r), [small(r), small(r)])],
  "index.logSoftmax": ({ r }) => [tensor(r, dtypeOf(r), [small(r), small(r)])],
  "index.clipGradNorm": (env) => [parameters(env), 0.5, some(env.r, { normType: env.r.pick([1, 2, Infinity]) })],
  "index.clipGradValue": (env) => [parameters(env), 0.5],
  "index.gradCheck"(env) {
    const { r } = env;
    const layer = env.own(new W.Linear(1, 2, { seed: 3 }));
    watchLayer(env, layer);
    const x = tensor(r, "f64", [2, 1]);
    const goal = tensor(r, "f64", [2, 2]);
    const loss = () => W.mse(layer.eval().forward(x).output, goal).loss;
    return [loss, layer.parameters(), some(r, { eps: 1e-5, tolerance: 1e-3 })];
  },
  "index.toTorch": gateArrays,
  "index.fromTorch": gateDict,
  "index.countParameters": ({ r }) => [
    small(r),
    { embeddingDim: 2, hiddenSize: 3, numLayers: 1, ...some(r, { cell: "GRU" }) },
  ],
  "index.readCharLM": (env) => [W.writeCharLM(make(env, "CharLM"), { steps: 3, validation: { loss: 2.5, step: 2 } })],
  "index.writeCharLM": (env) => [
    charLM(env),
    { steps: env.r.int(9), ...some(env.r, { validation: { loss: 1.5, step: 2 } }) },
  ],
  "index.splitText": ({ r }) => [Int32Array.from({ length: r.int(9) }, (_, i) => i), r.real()],
  "index.init.calculateGain": ({ r }) => [r.pick(["linear", "tanh", "relu", "leakyRelu", "selu", "sigmoid"]), 0.2],
  "index.init.constant": (env) => [target(env), 0.5],
  "index.init.forgetGateBias"(env) {
    const layer = env.own(new W[env.r.pick(["LSTM", "LSTMCell"])](2, 2, { seed: 1 }));
    watchLayer(env, layer);
    return [layer, 2];
  },
  "index.init.kaimingNormal": init((r) => ({ a: 0.1, mode: r.pick(["fanIn", "fanOut"]), nonlinearity: "relu" }), 2),
  "index.init.kaimingUniform": init((r) => ({ a: 0.1, mode: r.pick(["fanIn", "fanOut"]), nonlinearity: "tanh" }), 2),
  "index.init.normal": init(() => ({ mean: 1, std: 2 })),
  "index.init.ones": (env) => [target(env)],
  "index.init.orthogonal": init(() => ({ gain: 2, gates: 1 }), 2),
  "index.init.uniform": init(() => ({ low: -1, high: 2 })),
  "index.init.xavierNormal": init(() => ({ gain: 2 }), 2),
  "index.init.xavierUniform": init(() => ({ gain: 2 }), 2),
  "index.init.zeros": (env) => [target(env)],
  "index.Vocabulary.fromText": ({ r }) => [r.pick(["", "hello", "\u{1f600}\n"])],
  "index.Vocabulary.isVocabulary": ({ r }) => [vocabulary(r)],
  "index.CharLM.isCharLM": (env) => [charLM(env)],
  "index.Random.isRandom": () => [new W.Random(1)],
  "index.TextStreams.largestBatch": ({ r }) => [r.int(20), r.range(1, 3), r.range(1, 3)],
  "audio.fromRtneural"({ r }) {
    if (r.bool(0.7)) return [rtneural(r), some(r, { dtype: dtypeOf(r) })];
    return [rtneuralDict(r), some(r, { dtype: dtypeOf(r), modules: ["lstm", "tanh", "dense"] })];
  },
  "audio.fromNam": ({ r }) => [nam(r), some(r, { dtype: dtypeOf(r) })],
  "audio.toRtneural": (env) => [env.own(entries.audio.fromRtneural(rtneural(env.r)))],
  "audio.toSequential": (env) => [env.own(entries.audio.fromRtneural({ ...rtneural(env.r), in_skip: 0 }))], // chains have no skip
  "audio.toProteus": (env) => [env.own(entries.audio.fromProteus(proteus(env.r)))],
  "audio.StreamingModel.from": (env) => [env.own(new W.Linear(small(env.r), small(env.r), common(env.r)))],
  "text.fromMl5": ({ r }) => [ml5(r), some(r, { dtype: dtypeOf(r) })],
  "text.charLMFromTfjs"({ r }) {
    const [model, bytes] = textFiles(r);
    return [
      model,
      bytes,
      { vocabulary: r.pick(["abc", ["a", "b", "c"], new W.Vocabulary("abc")]), ...some(r, { dtype: dtypeOf(r) }) },
    ];
  },
  "load.loadModel": ({ r }) => [r.bool() ? ml5(r) : r.one(() => kerasFile(r), () => graphFile(r), () => checkpoint(r))], // prettier-ignore
  "onnx.onnxMetadata": (env) => [graphModel(env)],
  "audio.fromProteus": ({ r }) => [proteus(r), some(r, { dtype: dtypeOf(r) })],
  "onnx.onnxRecurrent": ({ r }) => onnx(r),
  "onnx.toOnnx"(env) {
    const names = [
      "RNN",
      "LSTM",
      "GRU",
      "LSTMCell",
      "Linear",
      "Embedding",
      "Conv1d",
      "BatchNorm1d",
      "Activation",
      "LastStep",
    ];
    const kind = env.r.pick([...names, "MultiheadAttention", "AdditiveAttention", "Sequential", "Model"]);
    return [OBJECTS[kind](env), some(env.r, { opset: env.r.range(13, 22), dtype: dtypeOf(env.r) })];
  },
  "keras.fromKeras": ({ r }) => [kerasFile(r), some(r, { dtype: dtypeOf(r), seed: 1 })],
  "keras.fromTfjs": ({ r }) => [...tfjsFiles(r), some(r, { dtype: dtypeOf(r), seed: 1 })],
  "keras.readKerasWeights": ({ r }) => [kerasFile(r)],
  "keras.toTfjs": (env) => [env.own(entries.keras.fromTfjs(...tfjsFiles(env.r)))],
  "onnx.fromOnnx": ({ r }) => [graphFile(r), onnxOptions(r)],
  ...Object.fromEntries(Object.entries(OPS).map(([name, generate]) => [`ops.${name}`, generate])),
  "safetensors.readSafetensors": ({ r }) => [entries.safetensors.writeSafetensors(stateDict(r), { key: "value" })],
  "safetensors.writeSafetensors": ({ r }) => [stateDict(r), some(r, { a: "b", format: "pt" })],
  "npy.readNpy": ({ r }) => [entries.npy.writeNpy(numpyTensor(r))],
  "npy.readNpz": ({ r }) => [
    entries.npy.writeNpz(arrays(r), { compress: r.bool() }),
    some(r, { only: () => true, maxBytes: 1e6 }),
  ],
  "npy.writeNpy": ({ r }) => [numpyTensor(r)],
  "npy.writeNpz": ({ r }) => [arrays(r), some(r, { compress: r.bool() })],
  "pytorch.readTorch": ({ r }) => [checkpoint(r), { maxBytes: 1e6 }],
  "train.batches": batchesArguments,
  "train.accuracy": (env) => predictions(env, () => []),
  "train.perplexity": ({ r }) => [r.real()],
  "train.confusionMatrix": (env) => predictions(env, (c) => [c]),
  "train.fit": (env) => fitArguments(env),
  "train.evaluate"(env) {
    const [model, data, { loss, metrics = {} }] = fitArguments(env);
    env.watchParameters("model", model.parameters());
    return [model, data, { loss, ...some(env.r, { metrics }) }];
  },
  "train.saveTraining": (env) => [
    { ...trainingParts(env), ...some(env.r, { position: { epoch: 1, list: [0.5, "a"] } }) },
  ],
  "train.loadTraining"(env) {
    const parts = trainingParts(env);
    const position = { ...some(env.r, { batch: 2, best: W.tensor([1, 2]) }) };
    return [entries.train.saveTraining({ ...parts, position }), parts];
  },
  "train.report": ({ r }) => [indices(r, [2, 2], 9), ["yes", "no"]],
  "coursera.softmax": ({ r }) => [tensor(r, dtypeOf(r), [small(r), small(r)])],
};
for (const lstm of [false, true]) {
  for (const cell of [false, true]) {
    const kind = lstm ? "lstm" : "rnn";
    FUNCTIONS[`coursera.${kind}${cell ? "Cell" : ""}Forward`] = (env) => courseraForward(env, lstm, cell);
    FUNCTIONS[`coursera.${kind}${cell ? "Cell" : ""}Backward`] = (env) => courseraBackward(env, lstm, cell);
    FUNCTIONS[`cs231n.${kind}${cell ? "Step" : ""}Forward`] = (env) => cs231nForward(env, lstm, cell);
    FUNCTIONS[`cs231n.${kind}${cell ? "Step" : ""}Backward`] = (env) => cs231nBackward(env, lstm, cell);
  }
}

// --- methods -----------------------------------------------------------------------------------------------------------

/** Objects that methods are called on: by class, how one is made. */
export const OBJECTS = {
  Sequential: (env) => make(env, "Sequential"),
  ...Object.fromEntries(LAYERS.map((name) => [name, (env) => layerFor(env, name)])),
  ...Object.fromEntries(OPTIMIZERS.map((name) => [name, (env) => stepped(env, name)])),
  ...Object.fromEntries(SCHEDULES.map((name) => [name, (env) => watchSchedule(env, make(env, name))])),
  Random(env) {
    const random = make(env, "Random");
    env.watch("random", () => [random.state]);
    return random;
  },
  Vocabulary: (env) => make(env, "Vocabulary"),
  TextStreams: (env) => make(env, "TextStreams"),
  CharLM: charLM,
  Cluster: (env) => new entries.cluster.Cluster(...CONSTRUCTORS.Cluster(env)),
  InProcess(env) {
    const { task, job } = shardJob(env);
    return Object.assign(inProcess(env, task), { job });
  },
  CellCache(env) {
    const layer = layerFor(env, env.r.pick(CELLS));
    return env.own(ran(env, layer).cache);
  },
  Stream: (env) => streamOf(env).stream,
  LayerStream: layerStream,
  StreamingModel: (env) => streamingModel(env),
  Batches: (env) => entries.train.batches(...batchesArguments(env)),
  Model: graphModel,
  ModelStream: graphStream,
};

function backwardArguments(env, layer) {
  const result = env.ran ?? ran(env, layer);
  if (!result.cache) return [gradientsOf(env.r, result)];
  return [some(env.r, gradientsOf(env.r, result)), env.own(result.cache)];
}

const layerMethods = {
  forward: (env, layer) => forwardArguments(env.r, layer),
  backward: backwardArguments,
  parameters: none,
  zeroGrad: none,
  train: none,
  eval: none,
  stateDict: none,
  loadStateDict: (env, layer) => [otherState(env, layer)],
  dispose: none,
  "[Symbol.dispose]": none,
  training: none,
};
const recurrentMethods = {
  ...layerMethods,
  stream: ({ r }) => [some(r, { batchSize: r.range(1, 2) })],
  resetState: none,
  directions: none,
};
const streamingMethods = { ...layerMethods, stream: recurrentMethods.stream };
/** A body whose loss reaches the parameters. */
function bodyOf({ r }, parameters) {
  const penalty = ({ value }) =>
    W.mse(value, tensor(r, value.data instanceof Float64Array ? "f64" : "f32", value.shape));
  return () => W.weightedSum(parameters.map((parameter) => [penalty(parameter), 0.5]));
}

const optimizerMethods = {
  minimize: (env, one) => [
    bodyOf(env, [...one.paramGroups.flatMap(({ params }) => params)].slice(env.r.int(2))),
    { allowUnused: true, ...some(env.r, { clipNorm: 1, clipValue: 1 }) },
  ],
  step: none,
  zeroGrad: none,
  stateDict: none,
  loadStateDict(env, one) {
    if (env.r.bool(0.2)) return [{}];
    const dict = {};
    let i = 0;
    const saved = one.stateDict();
    if (Object.keys(saved).length === 0) return [{}];
    for (const [key, { data, shape }] of Object.entries(saved)) {
      const dtype = data instanceof Float64Array ? "f64" : "f32";
      dict[key] = key.endsWith(".step") ? W.tensor(3) : tensor(env.r, dtype, shape);
      if (!key.endsWith(".step")) dict[key].data.forEach((x, at, all) => (all[at] = Math.abs(x)));
      i++;
    }
    return i ? [dict] : [{}];
  },
  dispose: none,
  "[Symbol.dispose]": none,
  lr: ({ r }) => [r.real()],
};
const scheduleMethods = {
  step: (env, schedule) => (schedule instanceof W.ReduceLROnPlateau ? [env.r.real()] : []),
  lastEpoch: none,
  lastLr: none,
  stateDict: none,
  loadStateDict(env, schedule) {
    const dict = schedule.stateDict();
    dict.last_epoch = W.tensor(env.r.int(5));
    return [dict];
  },
};
const errorMethods = {};

/** Arguments of methods, getters (none) and setters, by class and name. */
export const METHODS = {
  ...Object.fromEntries(RECURRENT.map((name) => [name, recurrentMethods])),
  ...Object.fromEntries(PLAIN.map((name) => [name, { ...layerMethods, batchFirst: none, bidirectional: none }])),
  ...Object.fromEntries([...CELLS, ...STREAMING].map((name) => [name, { ...streamingMethods, batchFirst: none }])),
  Sequential: {
    ...layerMethods,
    forward({ r }, model) {
      const [first, gru] = Object.values(model.layers);
      const [t, n] = [r.range(1, 3), r.range(1, 2)];
      const x = tensor(r, first.dtype, [...(gru.batchFirst ? [n, t] : [t, n]), first.inFeatures]);
      return [x, some(r, { lengths: Array.from({ length: n }, () => r.int(t + 1)) })];
    },
    backward: (env, model) => [{ output: model.forward(...METHODS.Sequential.forward(env, model)).output }],
    loadStateDict: (env, model) => [model.stateDict(), some(env.r, { prefix: "" })],
    stream: recurrentMethods.stream,
  },
  ...Object.fromEntries(OPTIMIZERS.map((name) => [name, optimizerMethods])),
  ...Object.fromEntries(SCHEDULES.map((name) => [name, scheduleMethods])),
  Random: { uint32: none, uniform: none, normal: none, state: ({ r }) => [[1, 2, 3, r.int(9)]] },
  Vocabulary: {
    size: none,
    characters: none,
    unknownIn: ({ r }) => [r.pick(["", "abc", "?\u{1f600}a"])],
    codeOf: ({ r }) => [r.pick(["a", "?", "\u{1f600}"])],
    encode: ({ r }, vocabulary) => [vocabulary.characters.slice(0, r.int(3)).join(""), "text"],
    decode: ({ r }, vocabulary) => [Array.from({ length: r.int(4) }, () => r.int(vocabulary.size))],
  },
  TextStreams: {
    codes: none,
    batchSize: none,
    seqLen: none,
    streamLength: none,
    windows: none,
    wholeWindows: none,
    window: ({ r }, streams) => [r.int(streams.windows)],
  },
  CharLM: {
    vocabulary: none,
    architecture: none,
    state({ r }, { architecture: { cell, dtype, numLayers, hiddenSize } }) {
      const part = () => tensor(r, dtype, [numLayers, 2, hiddenSize]);
      return [r.bool(0.2) ? undefined : { h: part(), ...(cell === "LSTM" && { c: part() }) }];
    },
    warmUp: (_, model) => [model.vocabulary.characters.slice(0, 2).join("")],
    parameters: none,
    stateDict: none,
    loadStateDict: (env, model) => [
      Object.fromEntries(
        model.parameters().map(({ name, value }) => [name, tensor(env.r, model.architecture.dtype, value.shape)]),
      ),
    ],
    trainStep(env, model) {
      const { r } = env;
      const shape = [r.range(1, 3), r.range(1, 2)];
      const size = model.vocabulary.size;
      const own = env.own(new W.SGD(model.parameters(), { lr: 0.1 }));
      return [indices(r, shape, size), indices(r, shape, size), own, some(r, { clip: 1 })];
    },
    computeGradients({ r }, model) {
      const shape = [r.range(1, 3), r.range(1, 2)];
      const size = model.vocabulary.size;
      return [indices(r, shape, size), indices(r, shape, size), r.pick(["mean", "sum"])];
    },
    evaluate: ({ r }, model) => [
      Int32Array.from({ length: r.range(6, 12) }, () => r.int(model.vocabulary.size)),
      some(r, { batchSize: 2, seqLen: 2 }),
    ],
    evaluating: ({ r }, model) => [
      Int32Array.from({ length: r.range(6, 12) }, () => r.int(model.vocabulary.size)),
      some(r, { batchSize: 2, seqLen: 2 }),
    ],
    sample: ({ r }, model) => [
      model.vocabulary.characters[0],
      { length: r.int(3), ...some(r, { temperature: r.pick([0, 0.5]), random: new W.Random(4) }) },
    ],
    generate: ({ r }, model) => [
      model.vocabulary.characters[0],
      { length: r.int(3), ...some(r, { temperature: r.pick([0, 0.5]), random: new W.Random(4) }) },
    ],
    dispose: none,
    "[Symbol.dispose]": none,
  },
  CellCache: { dispose: none, "[Symbol.dispose]": none },
  Cluster: {
    connect: () => ["charlm"],
    train(env) {
      const { task, options } = sharded(env);
      return [task, options];
    },
  },
  InProcess: { run: (_, { job }) => [[job]], close: none },
  Stream: {
    step: ({ r }, stream) => [floats(r, dtypeOf(r), sizeOfInput(stream))],
    reset({ r }, { state }) {
      const dtype = state.h.data instanceof Float64Array ? "f64" : "f32";
      return [
        some(r, { h0: tensor(r, dtype, state.h.shape), ...(state.c && { c0: tensor(r, dtype, state.c.shape) }) }),
      ];
    },
    dispose: none,
    "[Symbol.dispose]": none,
  },
  Batches: {
    batchesPerEpoch: none,
    position: ({ r }, data) => [{ seed: r.int(9), epoch: r.int(9), batch: r.int(data.batchesPerEpoch) }],
    "[Symbol.iterator]": none,
  },
  LayerStream: {
    step: ({ r }, stream) => [floats(r, dtypeOf(r), sizeOfInput(stream))],
    reset: none,
    dispose: none,
    "[Symbol.dispose]": none,
  },
  Model: {
    ...layerMethods,
    run: ({ r }, model) => [graphFeeds(r, model)],
    forward: ({ r }, model) => [tensor(r, model.inputs[0].dtype, [1, 1, model.inputs[0].shape[2]])],
    backward({ r }, model) {
      model.train();
      return [some(r, gradientsOf(r, model.run(graphFeeds(r, model))))];
    },
    loadStateDict: ({ r }, model) => [
      Object.fromEntries(
        Object.entries(model.stateDict()).map(([name, { shape }]) => [name, tensor(r, dtypeOf(r), shape)]),
      ),
    ],
    stream: ({ r }, model) => [some(r, { carry: CARRY, feeds: some(r, graphFeeds(r, model)) })],
    resetState: none,
  },
  ModelStream: {
    step({ r, graphFeeds: { h0, c0, ...feeds } }) {
      return [{ ...feeds, ...some(r, { h0, c0 }) }];
    },
    reset: none,
    dispose: none,
    "[Symbol.dispose]": none,
  },
  StreamingModel: {
    ready: none,
    step: ({ r }, model) => [floats(r, dtypeOf(r), model.inputSize)],
    process({ r }, model) {
      const frames = r.range(1, 3);
      return [floats(r, dtypeOf(r), frames * model.inputSize), floats(r, dtypeOf(r), frames * model.outputSize)];
    },
    reset: none,
    dispose: none,
    "[Symbol.dispose]": none,
  },
};
for (const [name, value] of [...Object.entries(W), ["ClusterError", entries.cluster.ClusterError]]) {
  if (isClass(value) && value.prototype instanceof Error) METHODS[name] = errorMethods;
}

/** The size of a step's input is the stream's own business: its error says it. */
function sizeOfInput(stream) {
  try {
    stream.step([]);
  } catch ({ expected }) {
    return Number.parseInt(expected, 10);
  }
  return 0;
}
