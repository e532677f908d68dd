// Runs the golden files of Keras' layers: steps of a Sequential model, and the graphs that are none.
import { expect } from "vitest";
import { LSTMCell, tensor, toTorch, type NestedNumbers, type Tensor } from "../../src/index.js";
import { type Dtype, type Numbers, type Tolerance, tensorOf } from "./close.js";
import { TOLERANCES } from "./course.js";
import { direction, makeLayer, Sequential, sideBySide, type LayerSpec } from "./keras.js";
import { concatenate, range } from "./tensors.js";

/** A step with expected numbers: the f32 ones of their origin. */
interface Checked {
  /** How far off an f64 computation was that has nothing to do with this package's. */
  readonly difference_from_our_f64: number;
}
interface Predict extends Checked {
  readonly op: "predict";
  /** The output; a list where there are several. */
  readonly expect: NestedNumbers;
}
interface Reset {
  readonly op: "reset_states";
}
interface Fit {
  readonly op: "fit";
  readonly y: NestedNumbers;
  readonly batch_size: number;
  readonly epochs: number;
  readonly learning_rate: number;
  readonly loss: string;
  /** For each epoch. */
  readonly expect_loss?: readonly number[];
  readonly expect_loss_at_least?: number;
  /** For each epoch, from that f64 computation. */
  readonly recomputed_loss: readonly number[];
}
interface Weights extends Checked {
  readonly op: "weights";
  readonly layer: number;
  readonly expect: readonly NestedNumbers[];
}
type Step = Predict | Reset | Fit | Weights;

interface KerasFile {
  readonly case: string;
  readonly layers: readonly LayerSpec[];
  readonly input: Numbers;
  readonly steps: readonly Step[];
  /** In words. */
  readonly graph?: string;
  readonly expect: Readonly<Record<string, NestedNumbers>>;
  readonly check: { readonly worst_difference_from_our_f64: number };
  readonly tolerance: { readonly predict_abs: number; readonly loss_abs: number };
}

export function checkKeras(file: KerasFile, dtype: Dtype): void {
  if (file.graph === undefined) checkSteps(file, dtype);
  else checkGraph(file, dtype);
}

/** In f32 the file's own tolerance; in f64 as far off as the other f64 computation. */
function within(published: number, difference: number, dtype: Dtype): Tolerance {
  return { atol: dtype === "f64" ? Math.min(published, difference + 1e-9) : published };
}

function checkSteps({ layers, input, steps, tolerance }: KerasFile, dtype: Dtype): void {
  const x = tensorOf(input, layers[0]?.type === "Embedding" ? "i32" : dtype);
  const model = new Sequential(layers, x.shape.at(-1)!, dtype);
  steps.forEach((step, i) => {
    const label = `step ${i}, ${step.op}`;
    switch (step.op) {
      case "predict": {
        const outputs = model.predict(x);
        const expected = outputs.length === 1 ? [step.expect] : step.expect;
        checkAll(outputs, expected, within(tolerance.predict_abs, step.difference_from_our_f64, dtype), label);
        break;
      }
      case "reset_states":
        model.resetStates();
        break;
      case "fit":
        checkFit(model, x, step, tolerance.loss_abs, dtype, label);
        break;
      case "weights": {
        const allowed = within(tolerance.predict_abs, step.difference_from_our_f64, dtype);
        checkAll(model.weights(step.layer), step.expect, allowed, label);
        break;
      }
      default:
        throw new Error(`${label}: no such step is known`);
    }
  });
  model.dispose();
}

function checkAll(results: readonly Tensor[], expected: NestedNumbers, allowed: Tolerance, label: string): void {
  const list = Array.from(expected as ArrayLike<NestedNumbers>);
  expect(results.length, label).toBe(list.length);
  results.forEach((result, i) => expect(result, `${label}, result ${i}`).toBeAllClose(tensor(list[i]!), allowed));
}

function checkFit(model: Sequential, x: Tensor, step: Fit, published: number, dtype: Dtype, label: string): void {
  expect(step.loss, label).toBe("mse");
  const { batch_size: batchSize, epochs, learning_rate: learningRate } = step;
  const y = tensor(step.y, undefined, dtype);
  const losses = tensor(model.fit(x, y, { batchSize, epochs, learningRate }));
  expect(losses, label).toBeAllClose(tensor(step.recomputed_loss), TOLERANCES[dtype]);
  if (step.expect_loss) {
    expect(losses, label).toBeAllClose(tensor(step.expect_loss), { atol: published });
  }
  if (step.expect_loss_at_least !== undefined) {
    expect(Math.min(...losses.data), label).toBeGreaterThanOrEqual(step.expect_loss_at_least);
  }
}

// --------------------------------------------------------------------------------------------------------------------

type Graph = (file: never, dtype: Dtype) => Record<string, Tensor>;

const graphs: Readonly<Record<string, Graph>> = {
  bidirectional_gru_initial_state: bidirectionalWithStates,
  gru_initial_state_from_dense: stateFromDense,
  multi_rnn_cell_two_basic_lstm: basicLSTMCells,
  time_distributed_masked_attention: maskedAttention,
};

function checkGraph(file: KerasFile, dtype: Dtype): void {
  const graph = graphs[file.case];
  if (graph === undefined) throw new Error(`no runner for ${file.case}`);
  const results = graph(file as never, dtype);
  expect(Object.keys(results).sort()).toEqual(Object.keys(file.expect).sort());
  const allowed = within(file.tolerance.predict_abs, file.check.worst_difference_from_our_f64, dtype);
  for (const [name, result] of Object.entries(results)) {
    expect(result, name).toBeAllClose(tensor(file.expect[name]!), allowed);
  }
}

/** Both directions start from states of their own. */
function bidirectionalWithStates(
  file: {
    layers: [LayerSpec];
    x: { shape: number[]; fill: number };
    h0_forward: NestedNumbers;
    h0_backward: NestedNumbers;
  },
  dtype: Dtype,
): Record<string, Tensor> {
  const { shape, fill } = file.x;
  const size = shape.reduce((product, extent) => product * extent, 1);
  const x = tensorOf({ shape, data: new Float64Array(size).fill(fill) }, dtype);
  const both = makeLayer(file.layers[0], x.shape.at(-1)!, dtype);
  const h0 = tensor([file.h0_forward, file.h0_backward], undefined, dtype);
  const [forward, backward] = both.forward(x, { h0 }).outputs as [Tensor, Tensor];
  both.layer.dispose();
  return { forward, backward };
}

/** The output of a dense layer of ones is the GRU's initial state. */
function stateFromDense(
  file: { layers: [LayerSpec]; x1: NestedNumbers; x2: NestedNumbers },
  dtype: Dtype,
): Record<string, Tensor> {
  const [x1, x2] = [tensor(file.x1, undefined, dtype), tensor(file.x2, undefined, dtype)];
  const gru = makeLayer(file.layers[0], x2.shape.at(-1)!, dtype);
  const dense = makeLayer({ type: "Dense", units: gru.width, kernel: "ones" }, x1.shape.at(-1)!, dtype);
  const [h0] = dense.forward(x1).outputs as [Tensor];
  const [y] = gru.forward(x2, { h0: { shape: [1, ...h0.shape], data: h0.data } }).outputs as [Tensor];
  for (const { layer } of [dense, gru]) layer.dispose();
  return { h0, y };
}

/** Two LSTM cells, one on top of the other: gates i j f o of [x, h] kernel + bias, and forget_bias added to f's. */
function basicLSTMCells(
  file: { forget_bias: number; kernel1: Numbers; bias1: number[]; kernel2: Numbers; bias2: number[] },
  dtype: Dtype,
): Record<string, Tensor> {
  const { forget_bias: forgetBias } = file;
  const weights: [Numbers, number[]][] = [
    [file.kernel1, file.bias1],
    [file.kernel2, file.bias2],
  ];
  const states: { h: Tensor; c: Tensor }[] = [];
  let x = tensor([[1, 0]], undefined, dtype);
  for (const [numbers, bias] of weights) {
    const units = bias.length / 4;
    const dict = toTorch("tf1", "LSTM", { kernel: tensorOf(numbers), bias: tensor(bias) }, { forgetBias });
    const cell = new LSTMCell(numbers.shape[0]! - units, units, { dtype });
    cell.loadStateDict(
      Object.fromEntries(Object.entries(dict).map(([name, value]) => [name.replace("_l0", ""), value])),
    );
    const { h, c, cache } = cell.forward(x);
    states.push({ h: direction(h, 0), c: direction(c, 0) }); // [N,units] of the one row
    cache.dispose();
    cell.dispose();
    x = h;
  }
  const all = (name: "h" | "c"): Tensor => states.map((state) => state[name]).reduce(concatenate);
  return { c: all("c"), h: all("h") };
}

/** s[n,t,u] = y1[n,t] . z1[n,u]; y = [y1, s] times ones. */
function maskedAttention(
  file: { layers: [LayerSpec, LayerSpec]; x1: NestedNumbers; x2: NestedNumbers },
  dtype: Dtype,
): Record<string, Tensor> {
  const model = new Sequential(file.layers, 1, dtype); // the first is an Embedding: one index at a step
  const [y1, z1] = [file.x1, file.x2].map((x) => model.predict(tensor(x, undefined, "i32"))[0]!) as [Tensor, Tensor];
  const [n, t, units] = y1.shape as [number, number, number];
  const s = tensorOf({ shape: [n, t, t], data: new Float64Array(n * t * t) }, dtype);
  for (const i of range(0, n * t * t)) {
    const [row, step, other] = [Math.floor(i / t / t), Math.floor(i / t) % t, i % t];
    for (const k of range(0, units)) {
      s.data[i]! += y1.data[(row * t + step) * units + k]! * z1.data[(row * t + other) * units + k]!;
    }
  }
  const dense = makeLayer({ type: "TimeDistributedDense", units: 1, kernel: "ones" }, units + t, dtype);
  const [y] = dense.forward(sideBySide(y1, s)).outputs as [Tensor];
  dense.layer.dispose();
  model.dispose();
  return { y };
}
