// The derivative of ONNX's recurrent operators: against central differences, and against the layers' backward pass bit by bit.
import { describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena } from "../../bindings/memory.js";
import { fromTorch, tensor, UnsupportedError, type FloatDtype, type Tensor } from "../../src/index.js";
import { backwardThrough } from "../../src/ops/composite.js";
import { apply } from "../../src/ops/operation.js";
import { Tape } from "../../src/recording/tape.js";
import {
  recurrentAttributes,
  type OnnxAttributes,
  type OnnxOperator,
  type RecurrentInput,
  type RecurrentOutput,
} from "../../src/recurrent/operator-attributes.js";
import { recurrent as derivative } from "../../src/recurrent/operator.backward.js";
import { recurrent as operation } from "../../src/recurrent/operator.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import { centralDifferences } from "../helpers/gradient.js";
import { makeRecurrent } from "../helpers/recurrent.js";
import { Bound, dtypeOf, type Inputs } from "../helpers/recurrent-operator.js";
import { refuses } from "../helpers/refuses.js";
import { swap, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const recurrent = { ...operation, ...derivative };

const [T, N, I, H] = [4, 3, 2, 3];

function inputsOf(kind: OnnxOperator, d: number, dtype: FloatDtype): Inputs {
  const g = { RNN: 1, LSTM: 4, GRU: 3 }[kind] * H;
  return {
    X: wave([T, N, I], dtype, 1),
    W: wave([d, g, I], dtype, 2),
    R: wave([d, g, H], dtype, 3),
    B: wave([d, 2 * g], dtype, 4),
    initial_h: wave([d, N, H], dtype, 5),
    ...(kind === "LSTM" && { initial_c: wave([d, N, H], dtype, 6) }),
  };
}

/** The gradients of the inputs for those of the results. */
function gradientsOf(
  kind: OnnxOperator,
  given: OnnxAttributes,
  inputs: Inputs,
  dOutputs: Partial<Record<RecurrentOutput, Tensor>>,
): Inputs {
  const names = Object.keys(inputs) as RecurrentInput[];
  const wanted = Object.keys(dOutputs) as RecurrentOutput[];
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const tensors = names.map((name) => {
      const dtype = name === "sequence_lens" ? "i32" : dtypeOf(inputs);
      return arena.copy(name, inputs[name]!, dtype, inputs[name]!.shape);
    });
    const tape = new Tape();
    const attributes = recurrentAttributes(kind, given, names, wanted);
    const results = apply(arena, recurrent, tensors, attributes, tape) as FloatTensor[];
    const pairs = results.map((each, i) => [each, dOutputs[wanted[i]!]] as const);
    const gradients = backwardThrough(tape, pairs, tensors);
    return Object.fromEntries(names.map((name, i) => [name, gradients[i]]));
  });
}

/** The gradients by central differences, of the sum of all results times `dOutputs`. */
function numericGradients(
  kind: OnnxOperator,
  given: OnnxAttributes,
  inputs: Inputs,
  dOutputs: Partial<Record<RecurrentOutput, Tensor>>,
): Inputs {
  const wanted = Object.keys(dOutputs) as RecurrentOutput[];
  using bound = new Bound(kind, given, inputs, [], wanted);
  const gradients = Object.entries(inputs).map(([name, { data, shape }]) => {
    if (name === "sequence_lens") return [name, undefined];
    const values = Float64Array.from(data);
    const loss = () => {
      bound.set({ [name]: { data: values, shape } });
      bound.run();
      let sum = 0;
      for (const output of wanted)
        bound.outputs[output]!.data.forEach((y, i) => (sum += y * dOutputs[output]!.data[i]!));
      return sum;
    };
    const numeric = centralDifferences(loss, values);
    loss(); // sets the input back
    return [name, { data: numeric, shape }];
  });
  return Object.fromEntries(gradients) as Inputs;
}

const CASES: readonly (readonly [OnnxOperator, OnnxAttributes])[] = [
  ["RNN", {}],
  ["RNN", { activations: ["Sigmoid"] }],
  ["LSTM", {}],
  ["LSTM", { activations: ["HardSigmoid", "Sigmoid", "Tanh"], activation_alpha: [0.25] }],
  ["GRU", {}],
  ["GRU", { linear_before_reset: 1 }],
];

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(CASES)("%s %j", (kind, given) => {
    test.each(["forward", "reverse", "bidirectional"] as const)("%s: central differences", (direction) => {
      const d = direction === "bidirectional" ? 2 : 1;
      const attributes: OnnxAttributes = { ...given, direction };
      if (d === 2 && given.activations) attributes.activations = [...given.activations, ...given.activations];
      if (d === 2 && given.activation_alpha) attributes.activation_alpha = [0.25, 0.25];
      for (const lengths of [undefined, [4, 1, 2], [3, 0, 4]]) {
        for (const layout of [0, 1]) {
          for (const bare of [false, true]) {
            const all = inputsOf(kind, d, "f64");
            const inputs: Inputs = bare ? { X: all.X!, W: all.W!, R: all.R! } : all;
            const state = [d, N, H];
            const dOutputs: Record<string, Tensor> = { Y: wave([T, d, N, H], "f64", 11), Y_h: wave(state, "f64", 12) };
            if (kind === "LSTM") dOutputs.Y_c = wave(state, "f64", 13);
            if (bare) delete dOutputs[layout ? "Y" : "Y_h"];
            if (layout) {
              for (const of of [inputs, dOutputs]) {
                const records = of as Record<string, Tensor>;
                for (const name of ["X", "initial_h", "initial_c", "Y_h", "Y_c"]) {
                  if (records[name]) records[name] = swap(records[name]);
                }
              }
              if (dOutputs.Y) dOutputs.Y = { data: dOutputs.Y.data, shape: [N, T, d, H] };
            }
            if (lengths) inputs.sequence_lens = tensor(lengths, [N], "i32");
            const call = [kind, { ...attributes, layout }, inputs, dOutputs] as const;
            const gradients = gradientsOf(...call);
            const numeric = numericGradients(...call);
            expect(Object.keys(gradients)).toEqual(Object.keys(inputs));
            for (const name of Object.keys(inputs) as RecurrentInput[]) {
              if (name === "sequence_lens") expect(gradients[name]).toBeUndefined();
              else expect(gradients[name], name).toBeAllClose(numeric[name]!, { rtol: 1e-8, atol: 1e-9 });
            }
          }
        }
      }
      expect(currentCore().heap.bytesUsed).toBe(0);
    });
  });

  both("%s", (dtype) => {
    test.each(["RNN", "LSTM", "GRU"] as const)("%s: the bits of the layer", (kind) => {
      using layer = makeRecurrent(kind === "RNN" ? "RNN tanh" : kind, I, H, { bidirectional: true, dtype, seed: 3 });
      const arrays = fromTorch("onnx", kind, layer.stateDict());
      const inputs: Inputs = { ...inputsOf(kind, 2, dtype), ...arrays };
      const attributes: OnnxAttributes = {
        direction: "bidirectional",
        ...(kind === "GRU" && { linear_before_reset: 1 }),
      };
      const lengths = [2, 4, 1];
      const state = { h0: inputs.initial_h, ...(kind === "LSTM" && { c0: inputs.initial_c }) };
      layer.forward(inputs.X!, { ...state, lengths });
      const dOutput = wave([T, N, 2 * H], dtype, 11);
      const [dhn, dcn] = [wave([2, N, H], dtype, 12), wave([2, N, H], dtype, 13)];
      const expected = layer.backward({ output: dOutput, hn: dhn, ...(kind === "LSTM" && { cn: dcn }) });
      // [T,N,D,H] as [T,D,N,H]
      const data = dOutput.data.slice();
      for (let row = 0; row < T * N * 2; row++) {
        const [t, n, i] = [Math.floor(row / (2 * N)), Math.floor(row / 2) % N, row % 2];
        data.set(dOutput.data.subarray(row * H, (row + 1) * H), ((t * 2 + i) * N + n) * H);
      }
      const dY = { data, shape: [T, 2, N, H] };
      const given = { ...inputs, sequence_lens: tensor(lengths, [N], "i32") };
      const gradients = gradientsOf(kind, attributes, given, { Y: dY, Y_h: dhn, ...(kind === "LSTM" && { Y_c: dcn }) });
      expect(gradients.X).toHaveBits(expected.x);
      expect(gradients.initial_h).toHaveBits(expected.h0);
      if (kind === "LSTM") expect(gradients.initial_c).toHaveBits((expected as unknown as { c0: Tensor }).c0);
      const grads = Object.fromEntries(layer.parameters().map(({ name, grad }) => [name, grad]));
      const weights = fromTorch("onnx", kind, grads);
      for (const name of ["W", "R", "B"] as const) expect(gradients[name], name).toHaveBits(weights[name]!);
    });
  });
});

test("what has no backward pass is refused by the names of operator and attribute", () => {
  const back = (kind: OnnxOperator, attributes: OnnxAttributes, more: Inputs = {}) =>
    gradientsOf(kind, attributes, { ...inputsOf(kind, 1, "f64"), ...more }, { Y: wave([T, 1, N, H], "f64") });
  refuses(() => back("LSTM", { clip: 3 }), UnsupportedError, "LSTM, clip: got a gradient");
  refuses(() => back("GRU", { clip: 3 }), UnsupportedError, "GRU, clip");
  refuses(() => back("LSTM", { input_forget: 1 }), UnsupportedError, "LSTM, input_forget");
  refuses(() => back("LSTM", {}, { P: wave([1, 3 * H], "f64") }), UnsupportedError, "LSTM, P");
  expect(currentCore().heap.bytesUsed).toBe(0);
});

test("a batch of none has gradients of no numbers, and zeros for the weights", () => {
  const inputs = inputsOf("GRU", 1, "f64");
  const none = { ...inputs, X: take(inputs.X!, 1, []), initial_h: take(inputs.initial_h!, 1, []) };
  const gradients = gradientsOf("GRU", {}, none, { Y: wave([T, 1, 0, H], "f64") });
  expect(gradients.X!.shape).toEqual([T, 0, I]);
  expect(gradients.W!.data.every((x) => x === 0)).toBe(true);
  expect(gradients.B!.shape).toEqual([1, 6 * H]);
});
