// Live values of parameters as arguments of calls, while the memory grows, and detaches their views, at every allocation.
import { afterEach, describe, expect, test, vi } from "vitest";
import { Heap } from "../../bindings/heap.js";
import { currentCore } from "../../bindings/instantiate.js";
import {
  Activation,
  AdditiveAttention,
  AvgPool1d,
  BatchNorm1d,
  bceWithLogits,
  Conv1d,
  crossEntropy,
  ctcLoss,
  Dropout,
  GRU,
  LastStep,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  MaxOverTime,
  MaxPool1d,
  MeanOverTime,
  mse,
  MultiheadAttention,
  parameter,
  PReLU,
  Sequential,
  tensor,
  valueAndGrad,
  type Tensor,
} from "../../src/index.js";
import * as ops from "../../src/ops.js";
import "../helpers/bits.js";
import { wave } from "../helpers/tensors.js";

const [T, N, C] = [5, 3, 4];
const lengths = [5, 1, 3];

/** The value of a new parameter. */
const live = (...shape: number[]) => parameter(wave(shape, "f64") as Tensor<"f64">).value;

/** From here on every allocation lets the memory grow. */
function growAlways(): void {
  const { memory } = currentCore();
  const { allocate } = Heap.prototype; // eslint-disable-line @typescript-eslint/unbound-method
  vi.spyOn(Heap.prototype, "allocate").mockImplementation(function (this: Heap, ...args) {
    memory.grow(1);
    return allocate.apply(this, args);
  });
}

afterEach(() => vi.restoreAllMocks());

/** A layer over steps. */
interface OverSteps {
  forward(x: Tensor, options?: { lengths: number[] }): { output: Tensor };
}

const seed = 1;
const layers: Record<string, () => OverSteps> = {
  LSTM: () => new LSTM(C, 2, { seed, numLayers: 2, bidirectional: true, goBackwards: true }),
  GRU: () => new GRU(C, C, { seed, checkpoint: 2, layerNorm: true }),
  Conv1d: () => new Conv1d(C, C, 3, { seed, padding: "same" }),
  BatchNorm1d: () => new BatchNorm1d(C),
  MaxPool1d: () => new MaxPool1d(2),
  AvgPool1d: () => new AvgPool1d(2),
  LastStep: () => new LastStep({ bidirectional: true }),
  MeanOverTime: () => new MeanOverTime(),
  MaxOverTime: () => new MaxOverTime(),
  Sequential: () => new Sequential([new MultiheadAttention(C, 2, { seed }), new GRU(C, C, { seed })]),
};
const calls: Record<string, () => () => Tensor | number> = {};
for (const [name, make] of Object.entries(layers)) {
  for (const options of [undefined, { lengths }]) {
    calls[options ? `${name} with lengths` : name] = () => {
      const [layer, x] = [make(), live(T, N, C)];
      return () => layer.forward(x, options).output;
    };
  }
}
Object.assign(calls, {
  states: () => {
    const [layer, x, h0, c0] = [new LSTM(C, C, { seed }), live(T, N, C), live(1, N, C), live(1, N, C)];
    return () => layer.forward(x, { h0, c0, lengths }).output;
  },
  LSTMCell: () => {
    const [cell, x, h, c] = [new LSTMCell(C, C, { seed }), live(N, C), live(N, C), live(N, C)];
    return () => cell.forward(x, { h, c }).c;
  },
  MultiheadAttention: () => {
    const [layer, q, k, v] = [new MultiheadAttention(C, 2, { seed }), live(2, N, C), live(T, N, C), live(T, N, C)];
    return () => layer.forward(q, k, v, { lengths, causal: true }).output;
  },
  AdditiveAttention: () => {
    const [layer, q, k] = [new AdditiveAttention(C, C, 2, { seed }), live(N, C), live(T, N, C)];
    return () => layer.forward(q, k, { lengths }).output;
  },
  "layers without time": () => {
    const x = live(N, C);
    const all = [new Linear(C, C, { seed }), new LayerNorm(C), new PReLU(C), new Activation("softmax"), new Dropout(0)];
    return () =>
      ops.concat(
        all.map((layer) => layer.forward(x).output),
        0,
      );
  },
  mse: () => {
    const [x, y] = [live(T, N, C), live(T, N, C)];
    return () => mse(x, y, { lengths, weight: wave([C], "f64"), reduction: "none" }).loss;
  },
  bceWithLogits: () => {
    const x = live(T, N, C);
    return () => bceWithLogits(x, wave([T, N, C], "f64"), { lengths, posWeight: wave([C], "f64") }).loss;
  },
  crossEntropy: () => {
    const x = live(T, N, C);
    return () => crossEntropy(x, tensor(new Int32Array(T * N), [T, N]), { lengths }).loss;
  },
  ctcLoss: () => {
    const x = live(T, N, C);
    return () => ctcLoss(x, tensor(new Int32Array(N).fill(1), [N, 1]), { inputLengths: lengths }).loss;
  },
  operations: () => {
    const [a, b, c] = [live(N, C), live(C, C), live(N, C)];
    return () => ops.where(tensor([1, 0, 1, 1], [C], "i32"), ops.matmul(a, b), ops.stack([c, ops.mul(a, c)], 0));
  },
});

describe.each(Object.entries(calls))("%s", (_, make) => {
  test.each([false, true])("recorded: %s", (recorded) => {
    const call = make();
    const run = (): Tensor => {
      let result: Tensor | number = 0;
      const body = () => {
        result = call();
        return typeof result === "number" ? tensor([0]) : ops.sum(result as Tensor<"f64">);
      };
      if (recorded) valueAndGrad(body);
      else body();
      return typeof result === "number" ? tensor([result]) : result;
    };
    const expected = run();
    growAlways();
    expect(run()).toHaveBits(expected);
  });
});

test("parameter() copies a live value", () => {
  const { value } = parameter(wave([7], "f64") as Tensor<"f64">);
  growAlways();
  expect(parameter(value).value).toHaveBits(wave([7], "f64"));
});
