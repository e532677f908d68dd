// Writes keras.json: models of layers that the real models do not have, with the results of @tensorflow/tfjs 4.22 (cpu).
// Run: npm install --prefix tests/tensorflow; node tests/golden/keras.mjs [folder with node_modules/@tensorflow/tfjs] [output]
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [, , folder = "tests/tensorflow", output = "tests/golden/keras.json"] = process.argv;
const tf = createRequire(join(resolve(folder), "package.json"))("@tensorflow/tfjs");
await tf.setBackend("cpu");

let seed = 1;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32 - 0.5;
};
const L = tf.layers;
const numbers = (shape) => tf.tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random), shape);
const round = (array) => Array.from(array, (x) => Math.fround(x));

/** A chain of layers on x. */
const chain = (shape, layers) => {
  const x = tf.input({ shape });
  return [tf.model({ inputs: x, outputs: layers.reduce((y, layer) => layer.apply(y), x) }), [numbers([2, ...shape])]];
};
/** A function of two inputs. */
const two = (a, b, build) => {
  const inputs = [tf.input({ shape: a }), tf.input({ shape: b })];
  return [tf.model({ inputs, outputs: build(...inputs) }), [numbers([2, ...a]), numbers([2, ...b])]];
};

const rnn = { units: 4, returnSequences: true };
const cases = {};
for (const mergeMode of ["concat", "sum", "mul", "ave"]) {
  cases[`Bidirectional ${mergeMode}`] = () => chain([5, 3], [L.bidirectional({ layer: L.lstm(rnn), mergeMode })]);
}
Object.assign(cases, {
  "Bidirectional last, masked": () =>
    chain(
      [6, 2],
      [L.masking({ maskValue: 0.5 }), L.bidirectional({ layer: L.gru({ units: 3 }), mergeMode: "concat" })],
    ),
  "LSTM masked backward": () => chain([6, 2], [L.masking({ maskValue: 0.5 }), L.lstm({ ...rnn, goBackwards: true })]),
  "SimpleRNN masked softsign": () =>
    chain([6, 2], [L.masking({ maskValue: 0.5 }), L.simpleRNN({ ...rnn, activation: "softsign" })]),
  "GRU elu": () => chain([4, 3], [L.gru({ ...rnn, activation: "elu", recurrentActivation: "hardSigmoid" })]),
  "LSTM linear": () => chain([4, 3], [L.lstm({ units: 2, activation: "linear" })]),
  "return state": () => {
    const x = tf.input({ shape: [4, 3] });
    const [, h, c] = L.lstm({ units: 3, returnState: true }).apply(x);
    const y = L.lstm({ units: 3, returnSequences: true }).apply([x, h, c]);
    return [tf.model({ inputs: x, outputs: [y, h, c] }), [numbers([2, 4, 3])]];
  },
  "Conv1D, pools": () =>
    chain(
      [9, 3],
      [
        L.conv1d({ filters: 4, kernelSize: 3, padding: "valid", activation: "relu" }),
        L.averagePooling1d({ poolSize: 2, strides: 2, padding: "same" }),
        L.averagePooling1d({ poolSize: 2, strides: 1 }),
        L.globalMaxPooling1d(),
      ],
    ),
  LayerNormalization: () => chain([4, 5], [L.layerNormalization({ epsilon: 0.01 }), L.globalAveragePooling1d()]),
  shapes: () =>
    chain(
      [4, 6],
      [
        L.permute({ dims: [2, 1] }),
        L.reshape({ targetShape: [8, 3] }),
        L.flatten(),
        L.dense({ units: 5 }),
        L.repeatVector({ n: 3 }),
        L.zeroPadding1d?.({ padding: 1 }) ?? L.activation({ activation: "tanh" }),
      ],
    ),
  "Dense 3-D": () => chain([4, 6], [L.dense({ units: 3, activation: "softmax" })]),
  "Softmax, LeakyReLU, ELU, ReLU, ThresholdedReLU": () =>
    chain(
      [7],
      [
        L.leakyReLU({ alpha: 0.1 }),
        L.elu(),
        L.dense({ units: 6 }),
        L.reLU({ maxValue: 0.3 }),
        L.thresholdedReLU({ theta: 0.1 }),
        L.softmax(),
      ],
    ),
  PReLU: () => chain([3, 4], [L.prelu({ alphaInitializer: "randomNormal" })]),
  Add: () => two([3], [3], (a, b) => L.add().apply([a, b])),
  Multiply: () => two([3], [3], (a, b) => L.multiply().apply([a, b])),
  Average: () => two([3], [3], (a, b) => L.average().apply([a, b])),
  Maximum: () => two([3], [3], (a, b) => L.maximum().apply([a, b])),
  Minimum: () => two([3], [3], (a, b) => L.minimum().apply([a, b])),
  "Concatenate axis 1": () => two([2, 3], [4, 3], (a, b) => L.concatenate({ axis: 1 }).apply([a, b])),
  Dot: () => two([4, 3], [5, 3], (a, b) => L.dot({ axes: 2 }).apply([a, b])),
  "Dot normalized": () => two([3], [3], (a, b) => L.dot({ axes: 1, normalize: true }).apply([a, b])),
  "shared layer": () => {
    const layer = L.dense({ units: 3 });
    return two([3], [3], (a, b) => L.concatenate().apply([layer.apply(a), layer.apply(layer.apply(b))]));
  },
  "nested model": () => {
    const inner = tf.sequential({
      layers: [L.dense({ units: 4, inputShape: [3], activation: "tanh" }), L.dense({ units: 2 })],
    });
    return chain([3], [inner, L.dense({ units: 2 })]);
  },
  "TimeDistributed Conv1D": () =>
    chain([3, 5, 2], [L.timeDistributed({ layer: L.conv1d({ filters: 3, kernelSize: 2 }) })]),
});
for (const activation of [
  "elu",
  "hardSigmoid",
  "linear",
  "relu",
  "relu6",
  "selu",
  "sigmoid",
  "softmax",
  "softplus",
  "softsign",
  "tanh",
  "swish",
  "mish",
  "gelu",
  "gelu_new",
]) {
  cases[`activation ${activation}`] = () => {
    const [model, [x]] = chain([8], [L.activation({ activation })]);
    return [model, [x.mul(12)]];
  };
}

Object.assign(cases, {
  "chain of convolutions": () =>
    chain(
      [12, 3],
      [
        L.conv1d({ filters: 4, kernelSize: 3, padding: "same", activation: "tanh" }),
        L.conv1d({ filters: 4, kernelSize: 4, padding: "same", dilationRate: 2, activation: "relu", useBias: false }),
        L.batchNormalization({ momentum: 0.9 }),
        L.maxPooling1d({ poolSize: 3, strides: 2 }),
        L.averagePooling1d({ poolSize: 2 }),
        L.conv1d({ filters: 5, kernelSize: 2, strides: 1, activation: "elu" }),
        L.globalAveragePooling1d(),
      ],
    ),
  "chain of recurrent layers": () =>
    chain(
      [6, 3],
      [
        L.simpleRNN({ ...rnn, activation: "relu" }),
        L.gru({ ...rnn, recurrentActivation: "sigmoid" }),
        L.layerNormalization(),
        L.timeDistributed({ layer: L.dense({ units: 5, activation: "tanh" }) }),
        L.dropout({ rate: 0.25 }),
        L.bidirectional({ layer: L.gru({ units: 3, useBias: false, recurrentActivation: "hardSigmoid" }), mergeMode: "concat" }), // prettier-ignore
        L.dense({ units: 4, activation: "softmax" }),
      ],
    ),
  "chain of activations": () =>
    chain(
      [7],
      [L.leakyReLU({ alpha: 0.01 }), L.elu(), L.dense({ units: 6 }), L.prelu(), L.reLU(), L.softmax({ axis: -1 })],
    ),
  "Embedding of a chain": () => {
    const [model] = chain([4], [L.embedding({ inputDim: 5, outputDim: 3 }), L.lstm({ units: 2 })]);
    return [model, [tf.tensor([0, 4, 2, 1, 3, 3, 0, 2], [2, 4])]];
  },
  log_softmax: () => chain([4], [L.activation({ activation: "logSoftmax" })]),
  "TimeDistributed Bidirectional": () =>
    chain(
      [2, 4, 3],
      [L.timeDistributed({ layer: L.bidirectional({ layer: L.lstm({ units: 2 }), mergeMode: "concat" }) })],
    ),
  "recurrent dropout, in inference": () => chain([4, 3], [L.lstm({ ...rnn, recurrentDropout: 0.4, dropout: 0.2 })]),
});

const written = {};
for (const [name, make] of Object.entries(cases)) {
  const [model, inputs] = make();
  for (const layer of model.layers)
    layer.setWeights(layer.getWeights().map((w) => numbers(w.shape).add(w.shape.length === 1 ? 0.6 : 0)));
  if (name.includes("masked")) {
    // steps of one value are masked, some first and in between
    const data = inputs[0].arraySync();
    for (const [row, step] of [
      [0, 0],
      [0, 2],
      [0, 5],
      [1, 4],
      [1, 5],
    ])
      data[row][step].fill(0.5);
    inputs[0] = tf.tensor(data);
  }
  let artifacts;
  await model.save(
    tf.io.withSaveHandler(
      async (all) => ((artifacts = all), { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } }),
    ),
  );
  const outputs = [model.predict(inputs.length === 1 ? inputs[0] : inputs)].flat();
  const { modelTopology, weightSpecs, weightData } = artifacts;
  const bytes = Buffer.from(
    Array.isArray(weightData) ? Buffer.concat(weightData.map((each) => Buffer.from(each))) : weightData,
  );
  const tensor = (t) => ({ data: round(t.dataSync()), shape: t.shape });
  written[name] = {
    json: { modelTopology, format: "layers-model", weightsManifest: [{ paths: ["w"], weights: weightSpecs }] },
    weights: bytes.toString("base64"),
    inputs: inputs.map(tensor),
    outputs: outputs.map(tensor),
  };
}
writeFileSync(output, `${JSON.stringify(written)}\n`);
