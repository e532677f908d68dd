// Whole networks trained by minimize against PyTorch's autograd (tests/golden/networks.py): losses of three steps, the last
// gradients, and the parameters after them.
import { describe, expect, test } from "vitest";
import {
  Activation,
  AdditiveAttention,
  BatchNorm1d,
  Conv1d,
  crossEntropy,
  ctcLoss,
  Embedding,
  GRU,
  l1,
  LastStep,
  Linear,
  LSTMCell,
  mse,
  Sequential,
  SGD,
  tensor,
  weightedSum,
  type FloatDtype,
  type LossResult,
  type Tensor,
} from "../../src/index.js";
import { concat, stack } from "../../src/ops.js";
import { both } from "../helpers/both.js";
import { golden, tensorOf, type Numbers } from "../helpers/close.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Network {
  readonly name: string;
  readonly weights: Record<string, Numbers>;
  readonly inputs: Record<string, Numbers>;
  readonly losses: Numbers;
  readonly gradients: Record<string, Numbers>;
  readonly values: Record<string, Numbers>;
}

const { networks } = golden("networks") as { networks: Network[] };

/** The layers of each network, and its loss. */
const MODELS: Record<
  string,
  (dtype: FloatDtype, input: (name: string, dtype?: "i32") => Tensor) => [Sequential, () => LossResult]
> = {
  siamese(dtype, input) {
    const gru = new GRU(3, 4, { dtype });
    const linear = new Linear(4, 2, { dtype });
    const encode = (x: Tensor) => linear.forward(gru.forward(x).hn).output;
    const body = () => {
      const [a, b] = [encode(input("a")), encode(input("b"))] as const;
      return weightedSum([
        [mse(a, b), 1],
        [l1(a, b), 0.5],
      ]);
    };
    return [new Sequential({ gru, linear }), body];
  },

  decoder(dtype, input) {
    const embedding = new Embedding(6, 3, { dtype });
    const cell = new LSTMCell(8, 4, { dtype });
    const attention = new AdditiveAttention(4, 5, 3, { dtype });
    const head = new Linear(9, 6, { dtype });
    const [keys, targets] = [input("keys"), input("targets", "i32")];
    const lengths = Array.from(input("lengths", "i32").data);
    const body = () => {
      let state: { h: Tensor; c: Tensor } | undefined;
      let previous: Tensor = tensor([0, 0], [2], "i32");
      const logits: Tensor<FloatDtype>[] = [];
      for (let t = 0; t < 4; t++) {
        const query = state?.h ?? tensor(new Float64Array(8), [2, 4], "f64");
        const own = dtype === "f32" && !state ? tensor(new Float32Array(8), [2, 4]) : query;
        const { output: context } = attention.forward(own, keys, { lengths });
        const embedded = embedding.forward(previous).output;
        state = cell.forward(concat([embedded, context], 1), state);
        logits.push(head.forward(concat([state.h as Tensor<FloatDtype>, context], 1)).output);
        previous = { data: targets.data.slice(2 * t, 2 * t + 2), shape: [2] };
      }
      return crossEntropy(stack(logits, 0), targets);
    };
    const layers = { embedding, cell, attention, head };
    return [new Sequential(layers as never), body];
  },

  convolution(dtype, input) {
    const model = new Sequential({
      conv: new Conv1d(2, 4, 3, { padding: "same", dtype }),
      norm: new BatchNorm1d(4, { dtype }),
      relu: new Activation("relu"),
      gru: new GRU(4, 3, { dtype }),
      last: new LastStep(),
      head: new Linear(3, 3, { dtype }),
    } as never);
    const lengths = Array.from(input("lengths", "i32").data);
    const targets = input("targets", "i32");
    return [model, () => crossEntropy(model.forward(input("x"), { lengths }).output, targets)];
  },

  ctc(dtype, input) {
    const model = new Sequential({
      conv: new Conv1d(2, 4, 2, { stride: 2, dtype }),
      tanh: new Activation("tanh"),
      head: new Linear(4, 5, { dtype }),
    } as never);
    const [lengths, targetLengths] = [input("lengths", "i32"), input("targetLengths", "i32")];
    const body = () => {
      const { output, lengths: inputLengths } = model.forward(input("x"), { lengths });
      return ctcLoss(output, input("targets", "i32"), { inputLengths, targetLengths });
    };
    return [model, body];
  },
};

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(networks)("$name", ({ name, weights, inputs, losses, gradients, values }) => {
      const [model, body] = MODELS[name]!(dtype, (key, own) => tensorOf(inputs[key]!, own ?? dtype));
      for (const { name: key, value } of model.parameters()) value.data.set(Array.from(weights[key]!.data));
      const sgd = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
      const tolerance = dtype === "f64" ? { rtol: 1e-9, atol: 1e-12 } : { rtol: 1e-4, atol: 1e-5 };
      const found = Array.from(losses.data, () => sgd.minimize(body).loss);
      expect({ data: found, shape: [found.length] }).toBeAllClose(losses, tolerance);
      expect(
        model
          .parameters()
          .map(({ name: key }) => key)
          .sort(),
      ).toEqual(Object.keys(gradients).sort());
      for (const { name: key, grad } of model.parameters()) expect(grad, key).toBeAllClose(gradients[key]!, tolerance);
      const state = model.stateDict();
      for (const [key, value] of Object.entries(values)) expect(state[key], key).toBeAllClose(value, tolerance);
    });
  });
});
