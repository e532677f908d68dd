// What the browser test asks of the built package, in a page, in a worker, in an audio worklet and in Node alike. It
// uses nothing that one of these hosts lacks, and loads nothing: the package's modules are handed to it. What the
// results should be is in ../browser.test.ts.

/**
 * Runs everything with one build.
 *
 * @param {{ core: object, coursera: object }} modules the package's entry points
 * @param {string} variant "simd" or "relaxed"
 * @param {Record<string, object>} cases of tests/golden/course.json
 */
export function runChecks({ core, coursera }, variant, cases) {
  const auto = core.buildInfo().variant;
  core.configure({ variant });
  return {
    auto,
    build: core.buildInfo(),
    course: Object.fromEntries(Object.entries(cases).map(([name, each]) => [name, runCourse(coursera, each)])),
    training: { f64: train(core, "f64"), f32: train(core, "f32") },
  };
}

/** The course's functions by kind: `t` has the inputs, `p` the parameters. */
const FUNCTIONS = {
  rnnCell: {
    forward: (course, t, p) => course.rnnCellForward(t.xt, t.aPrev, p),
    backward: (course, t, cache) => course.rnnCellBackward(t.daNext, cache),
  },
  rnn: {
    forward: (course, t, p) => course.rnnForward(t.x, t.a0, p),
    backward: (course, t, cache) => course.rnnBackward(t.da, cache),
  },
  lstmCell: {
    forward: (course, t, p) => course.lstmCellForward(t.xt, t.aPrev, t.cPrev, p),
    backward: (course, t, cache) => course.lstmCellBackward(t.daNext, t.dcNext, cache),
  },
  lstm: {
    forward: (course, t, p) => course.lstmForward(t.x, t.a0, p),
    backward: (course, t, cache) => course.lstmBackward(t.da, cache),
  },
};

/** All that the forward function, and for a case with gradients the backward function, gives; caches included. */
function runCourse(course, { kind, inputs, params }) {
  const tensors = (record) =>
    Object.fromEntries(
      Object.entries(record).map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data) }]),
    );
  const t = tensors(inputs);
  const { forward, backward } = FUNCTIONS[kind];
  const { cache, caches, ...results } = forward(course, t, tensors(params));
  const kept = cache ?? caches;
  const gradients = "da" in t || "daNext" in t ? backward(course, t, kept) : {};
  return allBits({ ...kept, ...results, ...gradients });
}

/**
 * Steps of a small language model. Sizes are odd, so that every kernel meets its edges; the first step's gradients are
 * clipped.
 */
function train({ Adam, clipGradNorm, crossEntropy, Embedding, Linear, LSTM, tensor }, dtype) {
  const [seqLen, batchSize, vocabulary] = [9, 5, 11];
  const symbols = Array.from({ length: (seqLen + 1) * batchSize }, (_, i) => (7 * i * i + 3 * i) % vocabulary);
  const window = (from) => tensor(symbols.slice(from).slice(0, seqLen * batchSize), [seqLen, batchSize], "i32");
  const [x, targets] = [window(0), window(batchSize)];

  const embedding = new Embedding(vocabulary, 6, { dtype, seed: 1 });
  const lstm = new LSTM(6, 17, { numLayers: 2, dtype, seed: 2 });
  const linear = new Linear(17, vocabulary, { dtype, seed: 3 });
  const parameters = [embedding, lstm, linear].flatMap((layer) => layer.parameters());
  const adam = new Adam(parameters, { lr: 0.01 });

  const step = () => {
    adam.zeroGrad();
    const { output, hn, cn } = lstm.forward(embedding.forward(x).output);
    const { loss, dLogits } = crossEntropy(linear.forward(output).output, targets);
    const d = lstm.backward({ output: linear.backward({ output: dLogits }).x });
    embedding.backward({ output: d.x });
    const norm = clipGradNorm(parameters, 0.125);
    adam.step();
    return { loss, norm, tensors: { hn, cn, dx: d.x, dh0: d.h0, dc0: d.c0 } };
  };

  const { loss, norm, tensors } = step();
  const numbers = Object.fromEntries(
    parameters.flatMap(({ value, grad }, i) => [
      [`value ${i}`, value],
      [`grad ${i}`, grad],
    ]),
  );
  const first = allBits({ ...tensors, ...numbers });
  const losses = [loss];
  for (let i = 0; i < 5; i++) losses.push(step().loss);
  const results = { norm, losses, first, last: allBits(linear.stateDict()) };
  for (const each of [embedding, lstm, linear, adam]) each.dispose();
  return results;
}

/** Tensors with their bits in hexadecimal, since JSON has no -0, NaN or Infinity. */
function allBits(tensors) {
  const bits = ({ shape, data }) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { shape: [...shape], bits: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  };
  return Object.fromEntries(
    Object.entries(tensors)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, bits(value)]),
  );
}
