// Layers that toOnnx writes, with inputs, and what they compute.
import {
  Activation,
  AdditiveAttention,
  AvgPool1d,
  BatchNorm1d,
  Conv1d,
  Dropout,
  Embedding,
  GRU,
  GRUCell,
  LastStep,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  MaxOverTime,
  MaxPool1d,
  MeanOverTime,
  MultiheadAttention,
  PReLU,
  RNN,
  RNNCell,
  Sequential,
  type Tensor,
} from "../../src/index.js";
import type { toOnnx } from "../../src/onnx.js";
import type { Dtype, Tensors } from "./close.js";
import { wave } from "./tensors.js";

export type Exported = Parameters<typeof toOnnx>[0];

/** A layer, inputs by their names in the file, and the outputs. */
export interface ExportCase {
  make(dtype: Dtype): Exported;
  feeds(dtype: Dtype): Tensors;
  /** What the package computes, by the names in the file. */
  run(model: never, feeds: Tensors): Tensors;
}

const N = 3;
const T = 5;

/** Weights that no initialiser draws: those that start as ones and zeros have a part in the numbers, too. */
function stirred<M extends { parameters(): { value: Tensor }[] }>(model: M): M {
  model.parameters().forEach(({ value }, i) => {
    const { data } = wave(value.shape, "f64", i);
    for (let k = 0; k < data.length; k++) value.data[k]! += 0.3 * data[k]!;
  });
  return model;
}

/** A layer that takes x and gives an output. */
const plain = (make: ExportCase["make"], shape: readonly number[] = [T, N, 4]): ExportCase => ({
  make,
  feeds: (dtype) => ({ input: wave(shape, dtype) }),
  run: (model: { forward(x: Tensor): { output: Tensor } }, { input }) => {
    const { output } = model.forward(input!);
    return { output };
  },
});

/** A recurrent layer with its states. */
const recurrent = (make: (dtype: Dtype) => RNN<Dtype> | LSTM<Dtype> | GRU<Dtype>): ExportCase => ({
  make: (dtype) => stirred(make(dtype)),
  feeds(dtype) {
    const layer = make(dtype);
    const states = [layer.numLayers * layer.directions, N, layer.hiddenSize];
    const input = wave(layer.batchFirst ? [N, T, layer.inputSize] : [T, N, layer.inputSize], dtype);
    const h0 = wave(states, dtype, 7);
    return { input, h0, ...(layer instanceof LSTM && { c0: wave(states, dtype, 8) }) };
  },
  run: (layer: LSTM<Dtype>, { input, ...states }) => layer.forward(input!, states),
});

const cell = (make: (dtype: Dtype) => RNNCell<Dtype> | LSTMCell<Dtype> | GRUCell<Dtype>): ExportCase => ({
  make: (dtype) => stirred(make(dtype)),
  feeds(dtype) {
    const states = wave([N, 3], dtype, 7);
    const input = wave([N, 4], dtype);
    return { input, h0: states, ...(make(dtype) instanceof LSTMCell && { c0: wave([N, 3], dtype, 8) }) };
  },
  run(layer: LSTMCell<Dtype>, { input, h0, c0 }) {
    const { h, c } = layer.forward(input!, c0 ? { h: h0, c: c0 } : { h: h0 }) as { h: Tensor; c?: Tensor };
    return { hn: h, ...(c && { cn: c }) };
  },
});

const indices = (shape: readonly number[]): Tensor => ({
  data: Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (3 * i + 1) % 7),
  shape,
});

/** A layer with running statistics that are not those of the start. */
function trained(layer: BatchNorm1d<Dtype>): BatchNorm1d<Dtype> {
  layer.forward(wave([9, 4], layer.dtype, 3));
  return stirred(layer);
}

export const EXPORTS: Readonly<Record<string, ExportCase>> = {
  Linear: plain((dtype) => stirred(new Linear(4, 3, { dtype, seed: 1 }))),
  "Linear without bias, of one row": plain((dtype) => new Linear(4, 3, { dtype, seed: 1, bias: false }), [4]),
  Embedding: {
    make: (dtype) => new Embedding(7, 3, { dtype, seed: 1 }),
    feeds: () => ({ input: indices([T, N]) }),
    run: (model: Embedding<Dtype>, { input }) => model.forward(input!),
  },
  Dropout: plain((dtype) => new Dropout(0.5, { dtype, seed: 1 })),
  ...Object.fromEntries(
    (["tanh", "relu", "sigmoid", "hardSigmoid", "elu", "leakyRelu", "softmax", "logSoftmax", "linear"] as const).map(
      (name) => [`Activation ${name}`, plain(() => new Activation(name))],
    ),
  ),
  "PReLU of one slope": plain((dtype) => new PReLU(1, { dtype })),
  "PReLU of channels": plain((dtype) => stirred(new PReLU(4, { dtype }))),
  LayerNorm: plain((dtype) => stirred(new LayerNorm(4, { dtype }))),
  "LayerNorm of two axes, plain, with another eps": plain(
    (dtype) => new LayerNorm([3, 4], { dtype, elementwiseAffine: false, eps: 2 ** -7 }),
  ),
  BatchNorm1d: plain((dtype) => trained(new BatchNorm1d(4, { dtype, eps: 1e-3 }))),
  "BatchNorm1d without weights": plain((dtype) => trained(new BatchNorm1d(4, { dtype, affine: false })), [T, 4]),
  Conv1d: plain((dtype) => stirred(new Conv1d(4, 6, 3, { dtype, seed: 1 }))),
  "Conv1d with all options": plain(
    (dtype) => new Conv1d(4, 6, 2, { dtype, seed: 1, stride: 2, padding: 2, dilation: 2, groups: 2, bias: false, batchFirst: true }), // prettier-ignore
    [N, 9, 4],
  ),
  "Conv1d same": plain((dtype) => new Conv1d(4, 2, 4, { dtype, seed: 1, padding: "same" })),
  "Conv1d causal": plain((dtype) => new Conv1d(4, 2, 3, { dtype, seed: 1, padding: "causal", dilation: 2 })),
  MaxPool1d: plain(() => new MaxPool1d(2)),
  "MaxPool1d with all options": plain(() => new MaxPool1d(4, { stride: 3, padding: 2, batchFirst: true }), [N, 7, 4]),
  AvgPool1d: plain(() => new AvgPool1d(3, { stride: 2, padding: 1 })),
  LastStep: plain(() => new LastStep()),
  "LastStep of two directions, batch first": plain(
    () => new LastStep({ bidirectional: true, batchFirst: true }),
    [N, T, 4],
  ),
  MeanOverTime: plain(() => new MeanOverTime()),
  "MeanOverTime batch first": plain(() => new MeanOverTime({ batchFirst: true }), [N, T, 4]),
  MaxOverTime: plain(() => new MaxOverTime()),
  "MaxOverTime batch first": plain(() => new MaxOverTime({ batchFirst: true }), [N, T, 4]),

  RNN: recurrent((dtype) => new RNN(4, 3, { dtype, seed: 1 })),
  "RNN relu, two layers and directions": recurrent(
    (dtype) => new RNN(4, 3, { dtype, seed: 1, nonlinearity: "relu", numLayers: 2, bidirectional: true }),
  ),
  "RNN linear, without bias": recurrent(
    (dtype) => new RNN(4, 3, { dtype, seed: 1, activation: "linear", bias: false }),
  ),
  LSTM: recurrent((dtype) => new LSTM(4, 3, { dtype, seed: 1 })),
  "LSTM, three layers, batch first": recurrent(
    (dtype) => new LSTM(4, 3, { dtype, seed: 1, numLayers: 3, batchFirst: true, dropout: 0.5 }),
  ),
  "LSTM, two layers and directions, batch first": recurrent(
    (dtype) => new LSTM(4, 3, { dtype, seed: 1, numLayers: 2, bidirectional: true, batchFirst: true }),
  ),
  "LSTM of Keras 2": recurrent((dtype) => new LSTM(4, 3, { dtype, seed: 1, recurrentActivation: "hardSigmoid" })),
  "LSTM of other activations, backwards": recurrent(
    (dtype) => new LSTM(4, 3, { dtype, seed: 1, activation: "relu", recurrentActivation: "linear", goBackwards: true }),
  ),
  "LSTM backwards in two directions": recurrent(
    (dtype) => new LSTM(4, 3, { dtype, seed: 1, bidirectional: true, goBackwards: true, batchFirst: true }),
  ),
  GRU: recurrent((dtype) => new GRU(4, 3, { dtype, seed: 1 })),
  "GRU, reset before, two directions": recurrent(
    (dtype) => new GRU(4, 3, { dtype, seed: 1, resetAfter: false, bidirectional: true }),
  ),
  "GRU without bias, hardSigmoid": recurrent(
    (dtype) =>
      new GRU(4, 3, { dtype, seed: 1, bias: false, recurrentActivation: "hardSigmoid", activation: "sigmoid" }),
  ),
  RNNCell: cell((dtype) => new RNNCell(4, 3, { dtype, seed: 1, nonlinearity: "relu" })),
  LSTMCell: cell((dtype) => new LSTMCell(4, 3, { dtype, seed: 1 })),
  GRUCell: cell((dtype) => new GRUCell(4, 3, { dtype, seed: 1, resetAfter: false, bias: false })),

  MultiheadAttention: {
    make: (dtype) => stirred(new MultiheadAttention(4, 2, { dtype, seed: 1, dropout: 0.3 })),
    feeds: (dtype) => ({
      query: wave([T, N, 4], dtype),
      key: wave([6, N, 4], dtype, 3),
      value: wave([6, N, 4], dtype, 5),
    }),
    run: (layer: MultiheadAttention<Dtype>, { query, key, value }) => layer.forward(query!, key, value),
  },
  "MultiheadAttention batch first, without bias": {
    make: (dtype) => new MultiheadAttention(6, 2, { dtype, seed: 1, bias: false, batchFirst: true }),
    feeds(dtype) {
      const query = wave([N, T, 6], dtype);
      return { query, key: query, value: query };
    },
    run: (layer: MultiheadAttention<Dtype>, { query }) => layer.forward(query!),
  },
  ...Object.fromEntries(
    [false, true].map((batchFirst): [string, ExportCase] => [
      `AdditiveAttention${batchFirst ? " batch first" : ""}`,
      {
        make: (dtype) => stirred(new AdditiveAttention(3, 4, 5, { dtype, seed: 1, batchFirst })),
        feeds: (dtype) => ({ query: wave([N, 3], dtype), keys: wave(batchFirst ? [N, T, 4] : [T, N, 4], dtype, 3) }),
        run: (layer: AdditiveAttention<Dtype>, { query, keys }) => layer.forward(query!, keys!),
      },
    ]),
  ),

  "a chain of a list": plain((dtype) => new Sequential([new Linear(4, 3, { dtype, seed: 1 }), new Activation("tanh")])),
  "a tagger, batch first": {
    ...plain(
      (dtype) =>
        new Sequential({
          embedding: new Embedding(7, 4, { dtype, seed: 1 }),
          dropout: new Dropout(0.5, { dtype, seed: 1 }),
          lstm: new LSTM(4, 3, { dtype, seed: 2, numLayers: 2, bidirectional: true, batchFirst: true }),
          linear: new Linear(6, 5, { dtype, seed: 3 }),
          softmax: new Activation("logSoftmax"),
        }),
    ),
    feeds: () => ({ input: indices([N, T]) }),
  },
  "a chain of chains": plain(
    (dtype) =>
      new Sequential({
        norm: new LayerNorm([N, 4], { dtype }),
        bottom: new Sequential({
          conv: new Conv1d(4, 6, 3, { dtype, seed: 1, padding: "causal" }),
          bn: trained6(dtype),
          relu: new PReLU(6, { dtype }),
          pool: new MaxPool1d(2),
        }),
        attention: new MultiheadAttention(6, 3, { dtype, seed: 4 }),
        top: new Sequential([new GRU(6, 3, { dtype, seed: 5, bidirectional: true }), new LastStep()]),
        head: new Linear(6, 2, { dtype, seed: 6 }),
      }),
  ),
};

function trained6(dtype: Dtype): BatchNorm1d<Dtype> {
  const layer = new BatchNorm1d(6, { dtype });
  layer.forward(wave([9, 6], dtype, 3));
  return layer;
}

/** Made, and in inference mode. */
export function makeIn(each: ExportCase, dtype: Dtype): Exported & { eval(): unknown } {
  const model = each.make(dtype);
  model.eval();
  return model;
}
