// What every engine must compute, bit for bit. Plain JavaScript that uses nothing of any host's: the package's modules are
// handed to it, so that it runs in Node, Bun, Deno, a page, a worker and an audio worklet alike. What the digests should be
// is in digests.json, one set for each build (`npm run conformance:write`).

/**
 * Runs everything with one build.
 *
 * @param {{ core: object, audio: object, coursera: object, cs231n: object, onnx: object }} modules the package's entry points
 * @param {"simd" | "relaxed"} variant the build
 * @param {Record<string, object>} course what tests/golden/course.json has under `coursera`
 * @returns {{ auto: string, variant: string, failures: string[], digests: Record<string, string> }} the builds that "auto"
 *   means and that was run, what is wrong whatever the digests say, and a digest of all that each case gives
 * @throws UnsupportedError where the build does not run here
 */
export function conform(modules, variant, course) {
  const { core } = modules;
  const auto = core.buildInfo().variant;
  core.configure({ variant });
  try {
    const failures = [...figures(modules, course), ...gradients(core), ...training(core)];
    const digests = {};
    for (const dtype of ["f64", "f32"]) {
      for (const [name, run] of Object.entries(CASES)) {
        digests[`${name}, ${dtype}`] = withTools(core, dtype, (tools) => digest(run(tools, modules, course)));
      }
    }
    return { auto, variant: core.buildInfo().variant, failures, digests };
  } finally {
    core.configure({ variant: "auto" });
  }
}

/** FNV-1a (64 bits) in hexadecimal over shapes and bytes of tensors; numbers count as f64, what is undefined not at all. */
export function digest(values) {
  const hash = new Fnv();
  for (const value of values.flat(Infinity)) {
    if (value === undefined) continue;
    const { shape, data } = typeof value === "number" ? { shape: [], data: Float64Array.of(value) } : value;
    hash.add(new Uint8Array(Uint32Array.of(shape.length, ...shape).buffer));
    hash.add(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.toString();
}

/** FNV-1a, 64 bits, in two halves: BigInt would take ten times as long. */
export class Fnv {
  #high = 0xcbf29ce4;
  #low = 0x84222325;

  add(bytes) {
    let [high, low] = [this.#high, this.#low];
    for (const byte of bytes) {
      // times the prime, 2^40 + 0x1b3
      const mixed = (low ^ byte) >>> 0;
      const product = mixed * 0x1b3;
      high = (high * 0x1b3 + Math.floor(product / 2 ** 32) + mixed * 2 ** 8) % 2 ** 32;
      low = product % 2 ** 32;
    }
    [this.#high, this.#low] = [high, low];
  }

  toString() {
    return [this.#high, this.#low].map((half) => half.toString(16).padStart(8, "0")).join("");
  }
}

/** Sizes T, N, D, H: odd, so that kernels meet their edges; WIDE crosses the blocks of the matrix product. */
const SMALL = [7, 5, 6, 9];
const WIDE = [3, 67, 30, 70];

/** Each gives tensors and numbers, in a list that may be nested. */
const CASES = {
  "RNN tanh": (tools) => recurrent(tools, "RNN"),
  "RNN relu, no bias, batch first": (tools) =>
    recurrent(tools, "RNN", { nonlinearity: "relu", bias: false, batchFirst: true }),
  "LSTM wide": (tools) => recurrent(tools, "LSTM", {}, {}, WIDE),
  "LSTM 2 layers, bidirectional, lengths": (tools) =>
    recurrent(tools, "LSTM", { numLayers: 2, bidirectional: true }, { lengths: [7, 3, 0, 5, 1] }),
  "LSTM 2 layers, projSize": (tools) => recurrent(tools, "LSTM", { numLayers: 2, projSize: 4 }),
  "LSTM layerNorm": (tools) => recurrent(tools, "LSTM", { layerNorm: true }),
  "LSTM 3 layers, dropout": (tools) =>
    recurrent(tools, "LSTM", { numLayers: 3, dropout: 0.3, recurrentDropout: 0.2, seed: 99 }),
  "LSTM hardSigmoid, checkpoint, backwards": (tools) =>
    recurrent(tools, "LSTM", { recurrentActivation: "hardSigmoid", checkpoint: 3, goBackwards: true }),
  "GRU wide, resetAfter": (tools) => recurrent(tools, "GRU", { resetAfter: true }, {}, WIDE),
  "GRU wide, reset before": (tools) => recurrent(tools, "GRU", { resetAfter: false }, {}, WIDE),
  "GRU bidirectional, mask": (tools) => {
    const mask = tools.core.tensor(
      Array.from({ length: 35 }, (_, i) => Number(i % 3 !== 1)),
      [7, 5],
      "i32",
    );
    return recurrent(tools, "GRU", { bidirectional: true }, { mask });
  },
  "GRU 2 layers, layerNorm, dropout": (tools) =>
    recurrent(tools, "GRU", { numLayers: 2, layerNorm: true, dropout: 0.5, seed: 7 }),
  cells: (tools) => ["RNNCell", "LSTMCell", "GRUCell"].map((kind) => cell(tools, kind)),
  stream: (tools) => ["RNN", "LSTM", "GRU"].map((kind) => stream(tools, kind)),
  "Linear, LayerNorm, Dropout": ({ make, draw }) =>
    [make("Linear", [37, 11], { seed: 1 }), make("LayerNorm", [37]), make("Dropout", [0.4], { seed: 2 })].map(
      (layer) => {
        const { output } = layer.forward(draw([3, 5, 37]));
        return [output, layer.backward({ output: draw(output.shape) }).x, numbersOf(layer)];
      },
    ),
  Embedding: ({ core, make, draw }) => {
    const layer = make("Embedding", [11, 6], { paddingIdx: 2, seed: 1 });
    const { output } = layer.forward(core.tensor([0, 3, 2, 10, 3, 3], [2, 3], "i32"));
    layer.backward({ output: draw(output.shape) });
    return [output, numbersOf(layer)];
  },
  losses,
  optimizers,
  "training with Adam": (tools) => Object.values(train(tools)),
  "character model": characterModel,
  init: ({ core: { init, tensor }, dtype }) =>
    ["uniform", "normal", "xavierUniform", "xavierNormal", "kaimingUniform", "kaimingNormal", "orthogonal"].map(
      (name) => {
        const target = tensor(new Array(12 * 7).fill(0), [12, 7], dtype);
        init[name](target, { seed: 5 });
        return target;
      },
    ),
  coursera: ({ dtype }, { coursera }, course) =>
    Object.values(course).map((each) => Object.values(runCourse(coursera, each, dtype))),
  cs231n: stanford,
  onnx,
  "audio models": audioModels,
};

/** What a case needs; all that `make` and `keep` had is disposed of at the end. */
function withTools(core, dtype, run) {
  const random = new core.Random(1);
  const kept = [];
  const keep = (owner) => (kept.push(owner), owner);
  /** Numbers from -1 to 1. */
  const draw = (shape) => {
    const size = shape.reduce((product, extent) => product * extent, 1);
    return core.tensor(
      Array.from({ length: size }, () => 2 * random.uniform() - 1),
      shape,
      dtype,
    );
  };
  const make = (kind, sizes, options) => keep(new core[kind](...sizes, { dtype, ...options }));
  try {
    return run({ core, dtype, draw, keep, make });
  } finally {
    for (const owner of kept) owner.dispose();
  }
}

/** Parameters and their gradients. */
const numbersOf = (layer) => layer.parameters().map(({ value, grad }) => [value, grad]);

function recurrent({ make, draw }, kind, options = {}, given = {}, [t, n, d, h] = SMALL) {
  const layer = make(kind, [d, h], { seed: 1, ...options });
  const states = (options.numLayers ?? 1) * (options.bidirectional ? 2 : 1);
  const first = { h0: draw([states, n, options.projSize ?? h]), ...(kind === "LSTM" && { c0: draw([states, n, h]) }) };
  const x = draw(options.batchFirst ? [n, t, d] : [t, n, d]);
  const { output, hn, cn } = layer.forward(x, { ...first, ...given });
  const gradients = { output: draw(output.shape), hn: draw(hn.shape), ...(cn && { cn: draw(cn.shape) }) };
  const { x: dx, h0, c0 } = layer.backward(gradients);
  return [output, hn, cn, dx, h0, c0, numbersOf(layer)];
}

function cell({ make, draw }, kind) {
  const layer = make(kind, [6, 9], { seed: 1 });
  const states = () => ({ h: draw([5, 9]), ...(kind === "LSTMCell" && { c: draw([5, 9]) }) });
  const { h, c, cache } = layer.forward(draw([5, 6]), states());
  const { x, h: dh, c: dc } = layer.backward(states(), cache);
  return [h, c, x, dh, dc, numbersOf(layer)];
}

function stream({ make, draw, keep }, kind) {
  const steps = keep(make(kind, [6, 9], { numLayers: 2, seed: 1 }).stream({ batchSize: 3 }));
  const outputs = Array.from({ length: 4 }, () => {
    const data = steps.step(draw([3, 6]).data).slice();
    return { shape: [3, 9], data };
  });
  return [outputs, steps.state.h, steps.state.c];
}

function losses({ core, draw, dtype }) {
  const logits = draw([7, 5, 9]);
  const classes = core.tensor(
    Array.from({ length: 35 }, (_, i) => (i % 6 === 5 ? -100 : (4 * i * i) % 9)),
    [7, 5],
    "i32",
  );
  const weight = core.tensor([1, 2, 3, 4, 5, 4, 3, 2, 1], [9], dtype);
  const flags = core.tensor(
    Array.from({ length: 315 }, (_, i) => i % 2),
    [7, 5, 9],
    dtype,
  );
  const logProbabilities = core.logSoftmax(logits);
  return [
    core.softmax(logits),
    logProbabilities,
    core.crossEntropy(logits, classes, { weight, labelSmoothing: 0.1 }),
    core.crossEntropy(logits, classes, { reduction: "none" }),
    core.nll(logProbabilities, classes, { reduction: "sum" }),
    core.bceWithLogits(logits, flags, { posWeight: weight }),
    core.mse(logits, draw([7, 5, 9])),
    core.l1(logits, draw([7, 5, 9])),
    core.smoothL1(logits, draw([7, 5, 9]), { beta: 0.5 }),
  ].map((result) => ("data" in result ? result : Object.values(result)));
}

function optimizers({ core, make, draw, keep }) {
  const kinds = {
    SGD: { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 },
    Adam: { amsgrad: true, weightDecay: 0.01 },
    AdamW: {},
    RMSprop: { centered: true, momentum: 0.5 },
    Adagrad: { lrDecay: 0.1 },
  };
  return Object.entries(kinds).map(([kind, options]) => {
    const layer = make("Linear", [7, 5], { seed: 1 });
    const parameters = layer.parameters();
    const optimizer = keep(new core[kind](parameters, options));
    const schedule = new core.CosineAnnealingLR(optimizer, { tMax: 5 });
    const steps = Array.from({ length: 4 }, () => {
      for (const { grad } of parameters) grad.data.set(draw(grad.shape).data);
      const norm = core.clipGradNorm(parameters, 2);
      optimizer.step();
      schedule.step();
      return [norm, schedule.lastLr];
    });
    return [steps, numbersOf(layer), Object.values(optimizer.stateDict())];
  });
}

/** Six steps of a small language model: losses, and what the first step and all steps left. */
function train({ core, make, keep }) {
  const [seqLen, batchSize, vocabulary] = [9, 5, 11];
  const symbols = Array.from({ length: (seqLen + 1) * batchSize }, (_, i) => (7 * i * i + 3 * i) % vocabulary);
  const window = (from) => core.tensor(symbols.slice(from).slice(0, seqLen * batchSize), [seqLen, batchSize], "i32");
  const [x, targets] = [window(0), window(batchSize)];
  const embedding = make("Embedding", [vocabulary, 6], { seed: 1 });
  const lstm = make("LSTM", [6, 17], { numLayers: 2, seed: 2 });
  const linear = make("Linear", [17, vocabulary], { seed: 3 });
  const layers = [embedding, lstm, linear];
  const parameters = layers.flatMap((layer) => layer.parameters());
  const adam = keep(new core.Adam(parameters, { lr: 0.01 }));
  const copies = () => parameters.flatMap(({ value, grad }) => [value, grad]).map(copyOf);

  const norms = [];
  const step = () => {
    adam.zeroGrad();
    const { output, hn, cn } = lstm.forward(embedding.forward(x).output);
    const { loss, dLogits } = core.crossEntropy(linear.forward(output).output, targets);
    const d = lstm.backward({ output: linear.backward({ output: dLogits }).x });
    embedding.backward({ output: d.x });
    norms.push(core.clipGradNorm(parameters, 0.125));
    adam.step();
    return { loss, tensors: [hn, cn, d.x, d.h0, d.c0] };
  };
  const { loss, tensors } = step();
  const first = [tensors, copies()];
  const results = [loss, ...Array.from({ length: 5 }, () => step().loss)];
  return { losses: results, norms, first, last: copies() };
}

const copyOf = ({ shape, data }) => ({ shape: [...shape], data: data.slice() });

function characterModel({ core, keep, dtype }) {
  const text = "the whale and the sea and the ship ".repeat(9);
  const vocabulary = core.Vocabulary.fromText(text);
  const model = keep(new core.CharLM(vocabulary, { embeddingDim: 5, hiddenSize: 13, numLayers: 2, dtype, seed: 4 }));
  const adam = keep(new core.AdamW(model.parameters(), { lr: 0.02 }));
  const streams = new core.TextStreams(vocabulary.encode(text), 3, 8);
  const losses = Array.from({ length: 5 }, (_, i) => {
    const { inputs, targets } = streams.window(i);
    return model.trainStep(inputs, targets, adam, { clip: 0.5 }).loss;
  });
  const written = vocabulary.encode(model.sample("the ", { length: 60, random: new core.Random(8) }));
  return [losses, ...written, numbersOf(model)];
}

function stanford({ draw }, { cs231n }) {
  const [t, n, d, h] = SMALL;
  return [1, 4].map((gates) => {
    const weights = () => [draw([d, gates * h]), draw([h, gates * h]), draw([gates * h])];
    const state = () => draw([n, h]);
    const lstm = gates === 4;
    const step = lstm
      ? cs231n.lstmStepForward(draw([n, d]), state(), state(), ...weights())
      : cs231n.rnnStepForward(draw([n, d]), state(), ...weights());
    const whole = cs231n[lstm ? "lstmForward" : "rnnForward"](draw([n, t, d]), state(), ...weights());
    const dStep = lstm
      ? cs231n.lstmStepBackward(state(), state(), step.cache)
      : cs231n.rnnStepBackward(state(), step.cache);
    const dWhole = cs231n[lstm ? "lstmBackward" : "rnnBackward"](draw([n, t, h]), whole.cache);
    return [step.nextH, step.nextC, whole.h, Object.values(dStep), Object.values(dWhole)];
  });
}

function onnx({ core, draw }, modules) {
  const [t, n, d, h] = SMALL;
  const run = (kind, gates, attributes, more = {}) => {
    const D = attributes.direction === "bidirectional" ? 2 : 1;
    const inputs = {
      X: draw([t, n, d]),
      W: draw([D, gates * h, d]),
      R: draw([D, gates * h, h]),
      B: draw([D, 2 * gates * h]),
      sequence_lens: core.tensor([7, 2, 5, 1, 7], [n], "i32"),
      initial_h: draw([D, n, h]),
    };
    return Object.values(modules.onnx.onnxRecurrent(kind, { hidden_size: h, ...attributes }, { ...inputs, ...more }));
  };
  return [
    run("RNN", 1, { direction: "reverse" }),
    run("LSTM", 4, { direction: "bidirectional", clip: 0.5 }, { P: draw([2, 3 * h]) }),
    run("GRU", 3, { linear_before_reset: 0 }),
    run("GRU", 3, { linear_before_reset: 1 }),
  ];
}

/** Models in the two forms of JSON, every kind of layer among them, over a block of frames. */
function audioModels({ draw, dtype, keep }, { audio }) {
  const numbers = (...shape) => {
    const { data } = draw(shape);
    const [rows, columns] = shape;
    if (columns === undefined) return [...data];
    return Array.from({ length: rows }, (_, i) => [...data.subarray(i * columns, (i + 1) * columns)]);
  };
  const layer = (type, size, ...weights) => ({ type, activation: "", shape: [null, null, size], weights });
  const layers = [
    layer("gru", 5, numbers(2, 15), numbers(5, 15), numbers(2, 15)),
    layer("prelu", 5, numbers(1, 5)),
    layer("lstm", 4, numbers(5, 16), numbers(4, 16), numbers(16)),
    { ...layer("dense", 3, numbers(4, 3), numbers(3)), activation: "elu" },
    { ...layer("dense", 3, numbers(3, 3), numbers(3)), activation: "softmax" },
  ];
  const rec = Object.entries({ weight_ih: [9, 1], weight_hh: [9, 9], bias_ih: [9], bias_hh: [9] });
  const proteus = {
    model_data: { model: "SimpleRNN", input_size: 1, skip: 1, unit_type: "RNN", num_layers: 1, hidden_size: 9 },
    state_dict: {
      ...Object.fromEntries(rec.map(([name, shape]) => [`rec.${name}_l0`, numbers(...shape)])),
      "lin.weight": numbers(1, 9),
      "lin.bias": numbers(1),
    },
  };
  const models = [
    audio.fromRtneural({ in_shape: [null, null, 2], layers }, { dtype }),
    audio.fromProteus(proteus, { dtype }),
  ];
  return models.map((model) => {
    keep(model);
    const { data } = draw([11, model.inputSize]);
    const output = new data.constructor(11 * model.outputSize);
    model.process(data, output);
    return { shape: [11, model.outputSize], data: output };
  });
}

/** The course's functions by kind: `t` has the inputs, `p` the parameters. */
const FUNCTIONS = {
  rnnCell: {
    forward: (course, t, ...rest) => course.rnnCellForward(t.xt, t.aPrev, ...rest),
    backward: (course, t, cache) => course.rnnCellBackward(t.daNext, cache),
  },
  rnn: {
    forward: (course, t, ...rest) => course.rnnForward(t.x, t.a0, ...rest),
    backward: (course, t, cache) => course.rnnBackward(t.da, cache),
  },
  lstmCell: {
    forward: (course, t, ...rest) => course.lstmCellForward(t.xt, t.aPrev, t.cPrev, ...rest),
    backward: (course, t, cache) => course.lstmCellBackward(t.daNext, t.dcNext, cache),
  },
  lstm: {
    forward: (course, t, ...rest) => course.lstmForward(t.x, t.a0, ...rest),
    backward: (course, t, cache) => course.lstmBackward(t.da, cache),
  },
};

/** All tensors that the forward function, and for a case with gradients the backward function, gives; caches included. */
function runCourse(course, { kind, inputs, params, options }, dtype) {
  const numbers = dtype === "f64" ? Float64Array : Float32Array;
  const tensors = (record) =>
    Object.fromEntries(
      Object.entries(record).map(([name, { shape, data }]) => [name, { shape, data: numbers.from(data) }]),
    );
  const t = tensors(inputs);
  const { forward, backward } = FUNCTIONS[kind];
  const { cache, caches, ...results } = forward(course, t, tensors(params), options);
  const kept = cache ?? caches;
  const gradients = "da" in t || "daNext" in t ? backward(course, t, kept) : {};
  const all = Object.entries({ ...kept, ...results, ...gradients });
  return Object.fromEntries(all.filter(([, value]) => value?.data));
}

/** The course's printed figures, within half a unit of their last digit. */
function figures({ coursera }, course) {
  const found = Object.entries(course).flatMap(([name, each]) => {
    const results = runCourse(coursera, each, "f64");
    return each.printed.map(({ tensor, index, values }) => {
      const { shape, data } = results[tensor];
      const size = shape.slice(index.length).reduce((product, extent) => product * extent, 1);
      const offset = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0) * size;
      const printed = values.split(" ");
      // NumPy prints a row with one number of decimals and drops trailing zeros
      const decimals = Math.max(...printed.map((figure) => figure.split(".")[1]?.length ?? 0));
      const right = printed.map((figure, i) => Math.abs(data[offset + i] - figure) <= 0.5001 * 10 ** -decimals);
      return right.length === size && right.every(Boolean)
        ? undefined
        : `${name}: ${tensor}[${index.join("][")}] is ${data.slice(offset, offset + size).join(" ")}, the course has ${values}`;
    });
  });
  const wrong = found.filter(Boolean);
  return found.length < 30 ? [`only ${found.length} figures of the course`, ...wrong] : wrong;
}

/** Gradients of each layer against central differences. */
function gradients(core) {
  const kinds = {
    RNN: {},
    LSTM: { bidirectional: true },
    GRU: { resetAfter: false },
    "GRU after": { resetAfter: true },
  };
  return Object.entries(kinds).flatMap(([name, options]) =>
    withTools(core, "f64", ({ make, draw }) => {
      const layer = make(name.split(" ")[0], [3, 4], { seed: 1, ...options });
      const x = draw([5, 2, 3]);
      const dOutput = draw([5, 2, options.bidirectional ? 8 : 4]);
      const loss = () => layer.forward(x).output.data.reduce((sum, value, i) => sum + value * dOutput.data[i], 0);
      loss();
      const grad = layer.backward({ output: dOutput }).x;
      const { ok, worst } = core.gradCheck(loss, [...layer.parameters(), { name: "x", value: x, grad }]);
      return ok
        ? []
        : [`${name}: the gradient of ${worst.name}[${worst.index}] is ${worst.analytic}, not ${worst.numeric}`];
    }),
  );
}

/** The loss falls with every step. */
function training(core) {
  return ["f64", "f32"].flatMap((dtype) => {
    const { losses, norms } = withTools(core, dtype, train);
    const falls = losses.every((loss, i) => i === 0 || loss < losses[i - 1]);
    return falls && norms[0] > 0.125
      ? []
      : [`training in ${dtype}: losses ${losses.join(" ")}, norms ${norms.join(" ")}`];
  });
}
