// Files of toTfjs, opened by TensorFlow.js itself (tests/tensorflow pins it), and read again here: networks of this package's layers, and
// models that came from files.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import {
  Activation,
  Adam,
  AvgPool1d,
  BatchNorm1d,
  Conv1d,
  Dropout,
  Embedding,
  GRU,
  LastStep,
  LayerNorm,
  Linear,
  LSTM,
  MaxOverTime,
  MaxPool1d,
  MeanOverTime,
  mse,
  MultiheadAttention,
  PReLU,
  Random,
  RNN,
  Sequential,
  UnsupportedError,
  type LayerList,
  type Tensor,
} from "../../src/index.js";
import { fromTfjs, toTfjs, type Model, type TfjsFiles } from "../../src/keras.js";
import "../helpers/close.js";
import { installOrReport } from "../helpers/installed.js";
import { root } from "../helpers/project.js";

const FOLDER = join(root, "tests/tensorflow");

/** What is used of TensorFlow.js. */
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  tensor(data: ArrayLike<number>, shape: readonly number[]): TfTensor;
  loadLayersModel(handler: unknown): Promise<{ predict(x: TfTensor | TfTensor[]): TfTensor | TfTensor[] }>;
  readonly io: { fromMemory(artifacts: object): unknown };
}

interface TfTensor {
  readonly shape: readonly number[];
  dataSync(): Float32Array;
}

const isThere = installOrReport("tests/tensorflow");
let tf: TensorFlow;

beforeAll(async () => {
  if (!isThere) return;
  tf = createRequire(join(FOLDER, "package.json"))("@tensorflow/tfjs") as TensorFlow;
  await tf.setBackend("cpu");
});

/** Opens the files, and runs the model. */
async function runByTensorFlow(files: TfjsFiles, inputs: readonly Tensor[]): Promise<Tensor[]> {
  const json = JSON.parse(new TextDecoder().decode(files["model.json"])) as {
    modelTopology: object;
    weightsManifest: { weights: object[] }[];
  };
  const { modelTopology, weightsManifest } = json;
  const weightSpecs = weightsManifest[0]!.weights;
  const weightData = files["weights.bin"].slice().buffer;
  const model = await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
  const x = inputs.map(({ data, shape }) => tf.tensor(data, shape));
  return [model.predict(x.length === 1 ? x[0]! : x)].flat().map((y) => ({ data: y.dataSync(), shape: y.shape }));
}

const f32 = { dtype: "f32" as const };
const batch = { ...f32, batchFirst: true };
const random = new Random(5);
const draw = (...shape: number[]): Tensor<"f32"> => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
  shape,
});
const indices = (...shape: number[]): Tensor<"i32"> => ({
  data: Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uint32() % 7),
  shape,
});

const chains: [string, () => LayerList, Tensor][] = [
  [
    "embedding, LSTM, last step, dense",
    () => ({
      embedding: new Embedding(7, 4, { ...f32, seed: 1 }),
      lstm: new LSTM(4, 5, { ...batch, seed: 2 }),
      last: new LastStep(),
      drop: new Dropout(0.3, f32),
      dense: new Linear(5, 3, { ...f32, seed: 3 }),
      classes: new Activation("softmax"),
    }),
    indices(2, 6),
  ],
  [
    "a list; stacked, bidirectional, with dropout between",
    () => [
      new LSTM(3, 4, { ...batch, numLayers: 2, bidirectional: true, dropout: 0.2, recurrentDropout: 0.1, seed: 1 }),
      new LayerNorm(8, f32),
      new RNN(8, 4, { ...batch, nonlinearity: "relu", bidirectional: true, bias: false, seed: 2 }),
      new LastStep(),
      new PReLU(8, f32),
    ],
    draw(2, 5, 3),
  ],
  [
    "GRU before the product, hardSigmoid, backwards",
    () => [
      new GRU(3, 4, { ...batch, resetAfter: false, recurrentActivation: "hardSigmoid", seed: 1 }),
      new RNN(4, 4, { ...batch, activation: "linear", goBackwards: true, seed: 4 }),
      new PReLU(1, f32),
      new LayerNorm(4, { ...f32, elementwiseAffine: false }),
      new MaxOverTime({ batchFirst: true }),
    ],
    draw(2, 5, 3),
  ],
  [
    "convolutions and pools",
    () => ({
      conv: new Conv1d(3, 4, 3, { ...batch, padding: "same", seed: 1 }),
      norm: new BatchNorm1d(4, batch),
      elu: new Activation("elu"),
      padded: new Conv1d(4, 4, 5, { ...batch, padding: 4, dilation: 2, bias: false, seed: 2 }),
      plain: new BatchNorm1d(4, { ...batch, affine: false }),
      pool: new MaxPool1d(3, { stride: 2, batchFirst: true }),
      strided: new Conv1d(4, 5, 2, { ...batch, stride: 2, seed: 3 }),
      leaky: new Activation("leakyRelu"),
      average: new AvgPool1d(2, { batchFirst: true }),
      mean: new MeanOverTime({ batchFirst: true }),
    }),
    draw(2, 16, 3),
  ],
  [
    "dense layers, chains within",
    () => ({
      one: new Sequential([new Linear(3, 4, { ...f32, seed: 1 }), new Activation("tanh")]),
      two: new Sequential({ "a/b": new Linear(4, 4, { ...f32, seed: 2 }), out: new Activation("logSoftmax") }),
    }),
    draw(4, 3),
  ],
];

describe("networks of this package", () => {
  test.each(chains)("%s", async (_, make, x) => {
    using model = new Sequential(make());
    // trained: biases and statistics are not what they were made with
    using optimizer = new Adam(model.parameters(), { lr: 0.01 });
    const { shape } = model.forward(x).output;
    const target = draw(...shape);
    for (let i = 0; i < 3; i++) optimizer.minimize(() => mse(model.forward(x).output, target));
    model.eval();
    const want = model.forward(x).output;
    const files = toTfjs(model);
    using again = fromTfjs(files["model.json"], files["weights.bin"]);
    expect(again.forward(x).output).toBeAllClose(want, { atol: 4e-6, rtol: 0 });
    const twice = toTfjs(again);
    expect(twice["weights.bin"]).toEqual(files["weights.bin"]);
    using third = fromTfjs(twice["model.json"], twice["weights.bin"]);
    expect(third.stateDict()).toEqual(again.stateDict());
    if (!isThere) return;
    for (const each of [files, twice]) {
      const [got] = await runByTensorFlow(each, [x]);
      expect(got!).toBeAllClose(want, { atol: 4e-6, rtol: 0 });
    }
  });

  test("steps first are the same network", () => {
    using model = new Sequential([new LSTM(3, 4, { ...f32, seed: 1 }), new LastStep()]).eval();
    const files = toTfjs(model);
    using again = fromTfjs(files["model.json"], files["weights.bin"]);
    const x = draw(5, 1, 3);
    const got = again.forward({ data: x.data, shape: [1, 5, 3] }).output;
    expect(got).toBeAllClose(model.forward(x).output, { atol: 1e-6, rtol: 0 });
  });

  test("what Keras does not have is named", () => {
    const refused: [LayerList, string][] = [
      [{ a: new Linear(2, 4, f32), attention: new MultiheadAttention(4, 2, f32) }, "layers.attention: got MultiheadAttention"],
      [{ lstm: new LSTM(3, 4, { ...f32, projSize: 2 }) }, "layers.lstm.projSize: got 2"],
      [{ lstm: new LSTM(3, 4, { ...f32, layerNorm: true }) }, "layers.lstm.layerNorm"],
      [{ lstm: new LSTM(3, 4, { ...f32, stateful: true }) }, "layers.lstm.stateful"],
      [{ gru: new GRU(3, 4, { ...f32, recurrentDropout: 0.5 }) }, "layers.gru.recurrentDropout"],
      [{ rnn: new RNN(3, 4, { ...f32, bidirectional: true, goBackwards: true }) }, "layers.rnn.goBackwards"],
      [{ rnn: new RNN(3, 4, f32), last: new LastStep({ bidirectional: true }) }, "layers.rnn: got a LastStep with bidirectional true"],
      [{ rnn: new RNN(3, 4, f32), norm: new LayerNorm(4, f32), last: new LastStep() }, "layers.last: got LastStep"],
      [{ conv: new Conv1d(3, 4, 3, { ...f32, padding: 2 }) }, "layers.conv.padding: got 2"],
      [{ pool: new AvgPool1d(3, { padding: 1 }) }, "layers.pool.padding: got 1"],
      [{ norm: new BatchNorm1d(3, { ...f32, momentum: null }) }, "layers.norm.momentum: got null"],
      [{ norm: new LayerNorm([2, 3], f32) }, "layers.norm: got 2 axes"],
      [{ inner: new Sequential({ norm: new LayerNorm([2, 3], f32) }) }, "layers.inner.norm: got 2 axes"],
    ]; // prettier-ignore
    for (const [layers, message] of refused) {
      using model = new Sequential(layers);
      expect(() => toTfjs(model)).toThrow(UnsupportedError);
      expect(() => toTfjs(model)).toThrow(message);
    }
    const own = { forward: (x: Tensor) => ({ output: x as Tensor<"f32"> }), dispose() {} };
    using foreign = new Sequential({ own: own as unknown as Activation });
    expect(() => toTfjs(foreign)).toThrow("layers.own: got Object, expected a layer that Keras has");
    expect(() => toTfjs(new Linear(2, 2) as unknown as Model)).toThrow(UnsupportedError);
  });

  test("a GRU with resetAfter, causal convolutions and groups are for Keras", () => {
    using model = new Sequential({
      conv: new Conv1d(4, 4, 3, { ...batch, padding: "causal", groups: 2, seed: 1 }),
      gru: new GRU(4, 3, { ...batch, seed: 2 }),
    }).eval();
    const files = toTfjs(model);
    const text = new TextDecoder().decode(files["model.json"]);
    for (const part of ['"padding":"causal"', '"groups":2', '"reset_after":true']) expect(text).toContain(part);
    using again = fromTfjs(files["model.json"], files["weights.bin"]);
    expect(again.stateDict()).toEqual(model.stateDict()); // two biases here and there
    const x = draw(2, 5, 4);
    expect(again.forward(x)).toEqual(model.forward(x));
  });
});

interface Golden {
  readonly json: object;
  readonly weights: string;
  readonly inputs: readonly { readonly data: readonly number[]; readonly shape: readonly number[] }[];
  readonly outputs: Golden["inputs"];
}

const golden = JSON.parse(readFileSync(join(root, "tests/golden/keras.json"), "utf8")) as Record<string, Golden>;

describe("models from files", () => {
  test.each(Object.keys(golden))("%s", async (name) => {
    const { json, weights, inputs, outputs } = golden[name]!;
    using model = fromTfjs(json, new Uint8Array(Buffer.from(weights, "base64")));
    const files = toTfjs(model);
    expect(Object.keys(files)).toEqual(["model.json", "weights.bin"]);
    if (!isThere) return;
    const x = inputs.map(({ data, shape }) => ({ data: Float32Array.from(data), shape }));
    if (name === "activation gelu_new") {
      // TensorFlow.js does not read the name that it writes
      await expect(runByTensorFlow(files, x)).rejects.toThrow("Unknown activation: geluNew");
      return;
    }
    const got = await runByTensorFlow(files, x);
    expect(got.length).toBe(outputs.length);
    outputs.forEach(({ data, shape }, i) => {
      const atol = 1e-6 * Math.max(1, ...data.map(Math.abs));
      expect(got[i]!).toBeAllClose({ data: Float32Array.from(data), shape }, { atol, rtol: 0 });
    });
  });
});
