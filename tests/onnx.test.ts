// ONNX's recurrent operators against plain loops after the operators' specification: what the operators' own test data
// (golden.test.ts) does not have: ragged lengths, clip, input_forget, activations, peepholes in every direction.
import { describe, expect, test } from "vitest";
import { DtypeError, ShapeError, UnsupportedError, ValueError, tensor, type Tensor } from "../src/index.js";
import { onnxRecurrent, type OnnxAttributes, type OnnxInputs, type OnnxOperator } from "../src/onnx.js";
import "./helpers/close.js";
import { refuses } from "./helpers/refuses.js";
import { wave } from "./helpers/tensors.js";
import { useVariant, variants } from "./helpers/variants.js";

const [T, N, I, H] = [5, 3, 4, 3];
const GATES = { RNN: 1, LSTM: 4, GRU: 3 } as const;

const FUNCTIONS: Readonly<Record<string, (x: number, alpha: number, beta: number) => number>> = {
  Tanh: Math.tanh,
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Relu: (x) => Math.max(x, 0),
  HardSigmoid: (x, alpha, beta) => Math.min(Math.max(alpha * x + beta, 0), 1),
};

function inputsOf(kind: OnnxOperator, d: number, dtype: "f64" | "f32", lens?: readonly number[]): OnnxInputs {
  const g = GATES[kind] * H;
  return {
    X: wave([T, N, I], dtype, 1),
    W: wave([d, g, I], dtype, 2),
    R: wave([d, g, H], dtype, 3),
    B: wave([d, 2 * g], dtype, 4),
    ...(lens && { sequence_lens: tensor(lens, [N], "i32") }),
    initial_h: wave([d, N, H], dtype, 5),
    ...(kind === "LSTM" && { initial_c: wave([d, N, H], dtype, 6), P: wave([d, 3 * H], dtype, 7) }),
  };
}

/** The operator in scalar loops, layout 0. */
function naive(
  kind: OnnxOperator,
  attributes: OnnxAttributes,
  inputs: OnnxInputs,
): Record<"Y" | "Y_h" | "Y_c", number[]> {
  const { direction = "forward", clip = Infinity } = attributes;
  const reverse = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const d = reverse.length;
  const defaults = { RNN: ["Tanh"], LSTM: ["Sigmoid", "Tanh", "Tanh"], GRU: ["Sigmoid", "Tanh"] }[kind];
  const names = attributes.activations ?? reverse.flatMap(() => defaults);
  const Y = new Array<number>(T * d * N * H).fill(0);
  const last = { h: [] as number[], c: [] as number[] };
  for (let i = 0; i < d; i++) {
    const [alpha, beta] = [attributes.activation_alpha?.[0] ?? 0.2, attributes.activation_beta?.[0] ?? 0.5];
    const functions = names.slice(i * defaults.length, (i + 1) * defaults.length).map((name) => {
      return (x: number) => FUNCTIONS[name]!(Math.min(Math.max(x, -clip), clip), alpha, beta); // h's input, too
    });
    const [f, g, psi] = functions;
    const at = (of: Tensor | undefined, ...index: number[]): number => {
      if (of === undefined) return 0;
      return of.data[index.reduce((offset, k, axis) => offset * of.shape[axis]! + k, 0)]!;
    };
    for (let n = 0; n < N; n++) {
      const steps = inputs.sequence_lens?.data[n] ?? T;
      let h = Array.from({ length: H }, (_, j) => at(inputs.initial_h, i, n, j));
      let c = Array.from({ length: H }, (_, j) => at(inputs.initial_c, i, n, j));
      for (let s = 0; s < steps; s++) {
        const t = reverse[i] ? steps - 1 - s : s;
        const G = GATES[kind] * H;
        const x = (row: number) => {
          let sum = at(inputs.B, i, row);
          for (let k = 0; k < I; k++) sum += at(inputs.W, i, row, k) * at(inputs.X, t, n, k);
          return sum;
        };
        const r = (row: number, from: readonly number[]) => {
          let sum = at(inputs.B, i, G + row);
          for (let k = 0; k < H; k++) sum += at(inputs.R, i, row, k) * from[k]!;
          return sum;
        };
        const each = (body: (j: number) => number) => Array.from({ length: H }, (_, j) => body(j));
        if (kind === "RNN") {
          h = each((j) => f!(x(j) + r(j, h)));
        } else if (kind === "LSTM") {
          const before = h;
          const cPrev = c;
          const gate = (k: number, j: number) => x(k * H + j) + r(k * H + j, before); // i o f c
          const p = (k: number, j: number) => at(inputs.P, i, k * H + j); // i o f
          const input = each((j) => f!(gate(0, j) + p(0, j) * cPrev[j]!));
          const forget = each((j) => (attributes.input_forget ? 1 - input[j]! : f!(gate(2, j) + p(2, j) * cPrev[j]!)));
          c = each((j) => forget[j]! * cPrev[j]! + input[j]! * g!(gate(3, j)));
          h = each((j) => f!(gate(1, j) + p(1, j) * c[j]!) * psi!(c[j]!));
        } else {
          const before = h;
          const z = each((j) => f!(x(j) + r(j, before)));
          const reset = each((j) => f!(x(H + j) + r(H + j, before)));
          const scaled = before.map((value, j) => value * reset[j]!);
          const n0 = each((j) =>
            g!(
              attributes.linear_before_reset
                ? x(2 * H + j) + reset[j]! * r(2 * H + j, before)
                : x(2 * H + j) + r(2 * H + j, scaled),
            ),
          );
          h = each((j) => (1 - z[j]!) * n0[j]! + z[j]! * before[j]!);
        }
        h.forEach((value, j) => (Y[((t * d + i) * N + n) * H + j] = value));
      }
      last.h.push(...h);
      last.c.push(...c);
    }
  }
  return { Y, Y_h: last.h, Y_c: last.c };
}

const ALL: readonly (readonly [OnnxOperator, OnnxAttributes])[] = [
  ["RNN", {}],
  ["RNN", { activations: ["Relu"], clip: 0.7 }],
  ["RNN", { activations: ["Sigmoid"] }],
  ["RNN", { activations: ["HardSigmoid"], activation_alpha: [0.3], activation_beta: [0.4] }],
  ["LSTM", {}],
  ["LSTM", { input_forget: 1 }],
  ["LSTM", { clip: 0.3 }],
  ["LSTM", { activations: ["HardSigmoid", "Relu", "Sigmoid"], clip: 0.9, input_forget: 1 }],
  ["GRU", {}],
  ["GRU", { linear_before_reset: 1, clip: 0.4 }],
  ["GRU", { clip: 0.4 }],
  ["GRU", { activations: ["HardSigmoid", "Sigmoid"], activation_alpha: [0.25], activation_beta: [0.45] }],
];

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(["f64", "f32"] as const)("%s", (dtype) => {
    const close = dtype === "f64" ? { rtol: 1e-10, atol: 1e-12 } : { rtol: 1e-4, atol: 1e-6 };
    test.each(ALL)("%s %j: every direction, ragged or not, both layouts", (kind, given) => {
      for (const direction of ["forward", "reverse", "bidirectional"] as const) {
        const d = direction === "bidirectional" ? 2 : 1;
        const twice = <V>(values: readonly V[] | undefined) => values && (d === 2 ? [...values, ...values] : values);
        const attributes: OnnxAttributes = { ...given, direction, hidden_size: H };
        for (const name of ["activations", "activation_alpha", "activation_beta"] as const) {
          if (given[name]) Object.assign(attributes, { [name]: twice(given[name] as readonly unknown[]) });
        }
        for (const lens of [undefined, [5, 2, 4], [1, 0, 5]]) {
          const inputs = inputsOf(kind, d, dtype, lens);
          const expected = naive(kind, attributes, inputs);
          const outputs = onnxRecurrent(kind, attributes, inputs);
          expect(outputs.Y).toBeAllClose({ data: expected.Y, shape: [T, d, N, H] }, close);
          expect(outputs.Y_h).toBeAllClose({ data: expected.Y_h, shape: [d, N, H] }, close);
          expect(outputs.Y_c !== undefined).toBe(kind === "LSTM");
          if (outputs.Y_c) expect(outputs.Y_c).toBeAllClose({ data: expected.Y_c, shape: [d, N, H] }, close);

          const swapped = { ...inputs, X: swap(inputs.X) };
          for (const name of ["initial_h", "initial_c"] as const) {
            if (inputs[name]) swapped[name] = swap(inputs[name]);
          }
          const batchFirst = onnxRecurrent(kind, { ...attributes, layout: 1 }, swapped);
          expect(swap(batchFirst.Y_h)).toEqual(outputs.Y_h);
          expect(batchFirst.Y.shape).toEqual([N, T, d, H]);
          for (let n = 0; n < N; n++) {
            for (let t = 0; t < T; t++) {
              for (let i = 0; i < d; i++) {
                const from = ((n * T + t) * d + i) * H;
                const to = ((t * d + i) * N + n) * H;
                const part = (of: Tensor, start: number) => of.data.slice(start, start + H);
                expect(part(batchFirst.Y, from)).toEqual(part(outputs.Y, to));
              }
            }
          }
        }
      }
    });
  });
});

/** [a,b,c] to [b,a,c]. */
function swap({ data, shape }: Tensor): Tensor {
  const [a, b, c] = shape as [number, number, number];
  const swapped = data.slice();
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) swapped.set(data.subarray((i * b + j) * c, (i * b + j + 1) * c), (j * a + i) * c);
  }
  return { data: swapped, shape: [b, a, c] };
}

test("refuses what is not the operator's", () => {
  const inputs = inputsOf("LSTM", 1, "f64");
  const run = (attributes: object, changed: object = {}, kind = "LSTM") =>
    onnxRecurrent(kind as OnnxOperator, attributes, { ...inputs, ...changed });
  refuses(() => run({}, {}, "Conv"), UnsupportedError, "opType", "Conv");
  refuses(() => run({}, {}, "toString"), UnsupportedError, "opType");
  refuses(() => run({ hiden_size: 3 }), UnsupportedError, "hiden_size");
  refuses(() => run({ linear_before_reset: 1 }), UnsupportedError, "linear_before_reset");
  refuses(() => run({ hidden_size: 4 }), ValueError, "hidden_size", "3");
  refuses(() => run({ direction: "backward" }), ValueError, "direction");
  refuses(() => run({ layout: 2 }), ValueError, "layout");
  refuses(() => run({ clip: -1 }), ValueError, "clip");
  refuses(() => run({ input_forget: true }), ValueError, "input_forget");
  refuses(() => run({ activations: ["Tanh"] }), ValueError, "activations", "3 names");
  refuses(() => run({ activations: ["Sigmoid", "Softplus", "Tanh"] }), UnsupportedError, "activations", "Softplus");
  const hard = { activations: ["HardSigmoid", "HardSigmoid", "Tanh"] };
  refuses(() => run({ ...hard, activation_alpha: [0.2, 0.3] }), UnsupportedError, "activation_alpha");
  refuses(() => run({ ...hard, activation_alpha: ["0.2"] }), ValueError, "activation_alpha");
  refuses(() => run({}, { X: undefined }), DtypeError, "X");
  refuses(() => run({}, { R: undefined }), ShapeError, "R");
  refuses(() => run({}, { W: undefined }), ShapeError, "W");
  refuses(() => run({}, { W: wave([1, 9, I], "f64") }), ShapeError, "W", "[1, 12, 4]");
  refuses(() => run({}, { R: wave([1, 12, H], "f32") }), DtypeError, "R");
  refuses(() => run({}, { B: wave([1, 12], "f64") }), ShapeError, "B");
  refuses(() => run({}, { P: wave([1, 8], "f64") }), ShapeError, "P");
  refuses(() => run({}, { initial_c: wave([2, N, H], "f64") }), ShapeError, "initial_c");
  refuses(() => run({}, { sequence_lens: tensor([1, 2, 6], [3], "i32") }), ValueError, "lengths[2]", "0 to 5");
  refuses(() => run({}, { sequence_lens: tensor([1, 2, 3]) }), DtypeError, "lengths");
  refuses(() => run({}, { Z: wave([1], "f64") }), UnsupportedError, "Z");
});
