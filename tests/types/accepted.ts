// Code that must compile, against the package's declarations. types.test.ts runs tsc on it.

import {
  Activation,
  Adam,
  bceWithLogits,
  AvgPool1d,
  BatchNorm1d,
  CharLM,
  Conv1d,
  Dropout,
  Embedding,
  GRU,
  GRUCell,
  LSTM,
  LSTMCell,
  LastStep,
  LayerNorm,
  Linear,
  MaxOverTime,
  MaxPool1d,
  MeanOverTime,
  PReLU,
  RNN,
  RNNCell,
  ReduceLROnPlateau,
  SGD,
  StepLR,
  Vocabulary,
  AdditiveAttention,
  clipGradNorm,
  crossEntropy,
  ctcLoss,
  gradCheck,
  init,
  MultiheadAttention,
  mse,
  Sequential,
  softmax,
  tensor,
  toTorch,
  type FloatDtype,
  type LSTMOptions,
  type Module,
  type Parameter,
  type Tensor,
  type TensorData,
} from "wasm-rnn";
import * as ops from "wasm-rnn/ops";
import ortDefault, { InferenceSession, Tensor as OrtTensor } from "wasm-rnn/ort";
import * as ortWasm from "wasm-rnn/ort/wasm";
import {
  accuracy,
  batches,
  confusionMatrix,
  evaluate,
  fit,
  loadTraining,
  saveTraining,
  type Evaluation,
  type FitPosition,
  type Progress,
} from "wasm-rnn/train";

/** Compiles only where `Actual` is exactly `Expected`. */
function is<Expected>(): <Actual>(
  value: Actual,
  ...same: (<T>() => T extends Actual ? 1 : 2) extends <T>() => T extends Expected ? 1 : 2 ? [] : ["another type"]
) => void {
  return () => undefined;
}

// a tensor knows its array
declare const f32: Tensor<"f32">;
declare const f64: Tensor<"f64">;
declare const i32: Tensor<"i32">;
declare const any: Tensor;
is<Float32Array>()(f32.data);
is<Float64Array>()(f64.data);
is<Int32Array>()(i32.data);
is<TensorData>()(any.data);
export const wider: readonly Tensor[] = [f32, f64, i32, { data: new Float32Array(2), shape: [2] }];

// tensor() infers the dtype
is<Tensor<"f64">>()(tensor(1));
is<Tensor<"f64">>()(
  tensor([
    [1, 2],
    [3, 4],
  ]),
);
is<Tensor<"f64">>()(tensor([1, 2], [2, 1]));
is<Tensor<"f64">>()(tensor(new Float64Array(2)));
is<Tensor<"f32">>()(tensor(new Float32Array(2)));
is<Tensor<"f32">>()(tensor(new Float32Array(2), [2, 1]));
is<Tensor<"i32">>()(tensor(new Int32Array(2)));
is<Tensor<"f64">>()(tensor(new Uint8Array(2)));
is<Tensor<"f32">>()(tensor([1, 2], [2], "f32"));
is<Tensor<"i32">>()(tensor([1, 2], undefined, "i32"));
declare const unknownArray: ArrayLike<number>;
is<Tensor>()(tensor(unknownArray)); // perhaps a Float32Array
declare const dtype: FloatDtype;
declare const maybe: FloatDtype | undefined;
is<Tensor<FloatDtype>>()(tensor([1, 2], [2], dtype));
is<Tensor>()(tensor([1, 2], [2], maybe));

// layers: f64 without a dtype
is<Tensor<"f64">>()(new LSTM(4, 8).forward(f64).output);
is<Tensor<"f64">>()(new LSTM(4, 8, { numLayers: 2, seed: 1 }).forward(f64).cn);
is<Tensor<FloatDtype>>()(new GRU(4, 8, { dtype: undefined }).forward(f64).hn);
is<Tensor<"f64">>()(new Dropout().forward(f64).output);
is<"f64">()(new LayerNorm(8).dtype);

// and of the dtype that their options name
const lstm = new LSTM(4, 8, { dtype: "f32" });
is<LSTM<"f32">>()(lstm);
is<Tensor<"f32">>()(lstm.forward(f32).output);
is<Tensor<"f32">>()(lstm.forward(f32, { h0: f32, c0: f32, lengths: [1, 2] }).cn);
is<Tensor<"f32">>()(lstm.backward({ output: f32, cn: f32 }).c0);
is<Tensor<"f32">>()(lstm.backward({ output: undefined, hn: f32 }).x);
is<Float32Array>()(lstm.stream().step([1, 2, 3, 4]));
is<Tensor<"f32">>()(lstm.stream({ batchSize: undefined }).state.h);
is<Parameter<"f32">[]>()(lstm.parameters());
is<Float32Array>()(lstm.parameters()[0]!.grad.data);
is<Record<string, Tensor<"f32">>>()(lstm.stateDict());
is<Tensor<"f32">>()(new GRU(4, 8, { dtype: "f32" }).backward({ hn: f32 }).h0);
is<Tensor<"f32">>()(new RNN(4, 8, { dtype: "f32" }).forward(f32).output);
is<Tensor<"f32">>()(new Linear(4, 8, { dtype: "f32" }).backward({ output: f32 }).x);
is<Tensor<"f32">>()(new Embedding(4, 8, { dtype: "f32" }).forward(i32).output);
is<Tensor<"f32">>()(new LayerNorm(8, { dtype: "f32" }).forward(f32).output);
is<Tensor<"f32">>()(new Dropout(0.5, { dtype: "f32" }).backward({ output: f32 }).x);
is<Tensor<"f32">>()(new LSTMCell(4, 8, { dtype: "f32" }).forward(f32).c);
is<Tensor<"f64">>()(new GRUCell(4, 8).forward(f64).h);
const cell = new RNNCell(4, 8, { dtype: "f32" });
is<Tensor<"f32">>()(cell.backward({ h: f32 }, cell.forward(f32).cache).x);

// layers over time
is<Tensor<"f32">>()(new Conv1d(4, 8, 3, { dtype: "f32" }).forward(f32).output);
is<Tensor<"f64">>()(new BatchNorm1d(4).backward({ output: f64 }).x);
is<Tensor<"f32">>()(new PReLU(1, { dtype: "f32" }).forward(any).output);
is<Float32Array>()(new Conv1d(4, 8, 3, { dtype: "f32" }).stream({ batchSize: undefined }).step([1]));
is<number[] | undefined>()(new MaxPool1d(2).forward(f32, { lengths: [1] }).lengths);
// layers without parameters: of the type of their input
is<Tensor<"f32">>()(new Activation("tanh").forward(f32).output);
is<Tensor<"f64">>()(new AvgPool1d(2).backward({ output: f64 }).x);
is<Tensor<FloatDtype>>()(new LastStep().forward(any).output);
is<undefined>()(new MeanOverTime().dtype);
export const ofBoth: Module[] = [new Activation("elu"), new MaxOverTime(), new MaxPool1d(2)];

// a dtype that is known only at run time
const either = new LSTM(4, 8, { dtype });
is<LSTM<FloatDtype>>()(either);
is<Float64Array | Float32Array>()(either.forward(any).output.data);
declare const options: LSTMOptions;
is<LSTM<FloatDtype>>()(new LSTM(4, 8, options));
export const annotated: LSTM<FloatDtype>[] = [new LSTM(4, 8), lstm, either];

// inputs: any tensor, any plain record
new LSTM(4, 8).forward(any, { h0: any, c0: undefined, lengths: undefined, mask: undefined });
new Linear(4, 8).forward({ data: new Float64Array(4), shape: [1, 4] });

// options may be undefined
new LSTM(4, 8, {
  numLayers: undefined,
  bias: undefined,
  batchFirst: undefined,
  bidirectional: undefined,
  dropout: undefined,
  recurrentDropout: undefined,
  checkpoint: undefined,
  goBackwards: undefined,
  stateful: undefined,
  dtype: undefined,
  seed: undefined,
  activation: undefined,
  recurrentActivation: undefined,
  layerNorm: undefined,
  projSize: undefined,
  unitForgetBias: undefined,
}).resetState({ h0: undefined, c0: undefined });
new RNN(4, 8, { nonlinearity: undefined, activation: undefined });
new GRU(4, 8, { resetAfter: undefined }).stream().reset({ h0: undefined });
new Linear(4, 8, { bias: undefined, dtype: undefined, seed: undefined });
new Embedding(4, 8, { paddingIdx: undefined });
new LayerNorm(8, { eps: undefined, elementwiseAffine: undefined, dtype: undefined });
new Dropout(undefined, { seed: undefined });
new Conv1d(1, 1, 1, { stride: undefined, padding: undefined, dilation: undefined, groups: undefined, bias: undefined });
new Conv1d(1, 1, 1, { batchFirst: undefined, dtype: undefined, seed: undefined }).forward(f64, { lengths: undefined });
new MaxPool1d(2, { stride: undefined, padding: undefined, batchFirst: undefined });
new BatchNorm1d(2, { eps: undefined, momentum: undefined, affine: undefined, dtype: undefined });
new BatchNorm1d(2, { batchFirst: undefined }).forward(f64, { lengths: undefined, mask: undefined });
new PReLU(undefined, { init: undefined, dtype: undefined });
new LastStep({ batchFirst: undefined, bidirectional: undefined });
new RNNCell(4, 8, { nonlinearity: undefined, bias: undefined }).forward(f64, { h: undefined });
new GRUCell(4, 8, { resetAfter: undefined });
declare const parameters: Parameter[];
const sgd = new SGD(parameters, { lr: undefined, momentum: undefined, nesterov: undefined, weightDecay: undefined });
is<number>()(sgd.paramGroups[0]!.momentum);
new Adam([{ params: parameters, betas: undefined, eps: undefined, amsgrad: undefined, maximize: undefined }]);
new StepLR(sgd, { stepSize: 3, gamma: undefined });
new ReduceLROnPlateau(sgd, { mode: undefined, patience: undefined, minLr: undefined });
clipGradNorm(parameters, 1, { normType: undefined });
init.kaimingUniform(f64, { a: undefined, mode: undefined, nonlinearity: undefined, seed: undefined });
gradCheck(() => 0, parameters, { eps: undefined, tolerance: undefined });
toTorch(
  "keras",
  "LSTM",
  { kernel: f64, recurrent_kernel: f64, bias: undefined },
  { layer: undefined, reverse: undefined },
);
new CharLM(new Vocabulary("ab"), { cell: undefined, hiddenSize: undefined, dtype: undefined }).sample("a", {
  length: 1,
  temperature: undefined,
  unknown: undefined,
});

// a function that takes any layer
export function trainStep(model: Module, x: Tensor, target: Tensor): number {
  model.train().zeroGrad();
  const { loss, dPrediction } = mse(model.forward(x).output, target);
  is<Tensor<FloatDtype> | undefined>()(model.backward({ output: dPrediction }).x);
  new Adam(model.parameters()).step();
  model.eval().loadStateDict(model.stateDict());
  return loss;
}
for (const model of [
  lstm,
  new GRU(4, 8),
  new RNN(4, 8),
  new Linear(4, 8, { dtype: "f32" }),
  new Embedding(4, 8),
  new LayerNorm(8),
  new Dropout(),
  new Conv1d(4, 8, 3),
  new AvgPool1d(2),
  new BatchNorm1d(8),
  new PReLU(),
  new Activation("relu"),
  new MeanOverTime(),
]) {
  trainStep(model, any, any);
  model.dispose();
}
export const single: Module<"f32"> = lstm;

/** A model of the user's that stands where a layer stands. */
export class Tagger implements Module<"f32"> {
  readonly #layers = [new GRU(4, 8, { dtype: "f32" }), new Linear(8, 2, { dtype: "f32" })] as const;
  forward(x: Tensor): { output: Tensor<"f32"> } {
    return this.#layers[1].forward(this.#layers[0].forward(x).output);
  }
  backward({ output }: { output: Tensor }): { x: Tensor<"f32"> } {
    return this.#layers[0].backward({ output: this.#layers[1].backward({ output }).x });
  }
  parameters(): Parameter<"f32">[] {
    return this.#layers.flatMap((layer) => layer.parameters());
  }
  zeroGrad(): void {
    for (const layer of this.#layers) layer.zeroGrad();
  }
  train(): this {
    for (const layer of this.#layers) layer.train();
    return this;
  }
  eval(): this {
    for (const layer of this.#layers) layer.eval();
    return this;
  }
  stateDict(): Record<string, Tensor<"f32">> {
    return this.#layers[1].stateDict();
  }
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    this.#layers[1].loadStateDict(dict);
  }
  dispose(): void {
    for (const layer of this.#layers) layer.dispose();
  }
}

// the rest of the package takes and returns what it did
is<number>()(crossEntropy(any, any).loss);
is<Tensor>()(crossEntropy(any, any, { reduction: "none" }).loss);
export const probabilities: Tensor = softmax(any);
export const charlm: Tensor = new CharLM(Vocabulary.fromText("ab")).stateDict()["linear.bias"]!;

// losses: the gradient has the dtype of the prediction
is<Tensor<"f32">>()(mse(lstm.forward(f32).output, f32).dPrediction);
is<Tensor<"f32">>()(crossEntropy(f32, i32).dLogits);
is<Tensor<"f32">>()(ctcLoss(f32, i32).dLogits);
is<Tensor<"f32">>()(new MultiheadAttention(4, 2, { dtype: "f32" }).forward(any).weights);
is<Tensor<"f64">>()(new AdditiveAttention(1, 2, 3).forward(any, any, { lengths: [1] }).output);
is<number>()(ctcLoss(any, any, { targetLengths: [1], zeroInfinity: true }).loss);
is<Tensor<"f32">>()(ctcLoss(f32, i32, { reduction: "none" }).loss);
is<Tensor<"f64">>()(softmax(f64));

// functions of wasm-rnn/ops keep the dtype; those that compute have no results of i32
is<Tensor<"f32">>()(ops.add(f32, 1));
is<Tensor<"f64">>()(ops.sub(1, f64));
is<Tensor<"f64">>()(ops.sum(ops.mul(f64, f64), -1, true));
is<Tensor<FloatDtype>>()(ops.matmul(any, any));
is<Tensor<FloatDtype>>()(ops.softmax(any));
is<Tensor<"f32">>()(ops.where(i32, f32, 0));
is<Tensor<"i32">>()(ops.concat([i32, ops.reshape(i32, [-1])], 0));
is<Tensor>()(ops.transpose(any, [1, 0]));
is<Tensor<"f64">>()(ops.oneHot(i32, 3));
is<Tensor<"f32">>()(ops.oneHot(i32, 3, "f32"));
is<Tensor<"f64">>()(ops.max(f64, undefined));

// training: layers, chains and modules of one's own; losses and metrics as they are, or in functions
const chain = new Sequential({ lstm: new LSTM(2, 3), linear: new Linear(3, 4) });
is<Tensor<"f32">>()(new Sequential([new MultiheadAttention(2, 1, { dtype: "f32" })]).forward(f32).output);
const data = batches([{ x: [1, 2], y: 1 }, { x: any, y: any }], { batchSize: 2 }); // prettier-ignore
const optimizer = new Adam(chain.parameters());
is<AsyncGenerator<Progress, void, undefined>>()(fit(chain, data, { loss: crossEntropy, optimizer, epochs: 1 }));
fit(new LSTM(2, 3), data, { loss: (output, y) => mse(output, y), metrics: { accuracy }, optimizer, epochs: 1 });
fit(new Tagger(), data, {
  loss: (output, y, { lengths }) => crossEntropy(output, y, { lengths }),
  optimizer,
  epochs: 1,
});
const own = [{ x: any, y: { first: any } }];
fit(chain, own, { loss: (output, { first }) => bceWithLogits(output, first), validation: own, optimizer, epochs: 1 });
is<Promise<Evaluation>>()(evaluate(chain, data, { loss: crossEntropy }));
is<FitPosition | undefined>()(
  loadTraining(saveTraining({ model: chain, optimizer }), { model: chain, optimizer }).position,
);
is<number>()(accuracy(any, any));
is<Tensor<"i32">>()(confusionMatrix(any, any, 3));

// wasm-rnn/ort: onnxruntime-common's own types, under all of its names
const session: Promise<InferenceSession> = InferenceSession.create(new Uint8Array(8), { executionProviders: ["wasm"] });
is<Promise<InferenceSession.ReturnType>>()(session.then((made) => made.run({ x: new OrtTensor("float32", [1], [1]) })));
is<typeof InferenceSession>()(ortWasm.InferenceSession);
is<typeof InferenceSession>()(ortDefault.InferenceSession);
is<Float32Array>()(new OrtTensor("float32", [1]).data);
ortWasm.env.wasm.wasmPaths = "/";
