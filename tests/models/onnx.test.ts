// ONNX's recurrent operators against plain loops after the operators' specification: what the operators' own test data
// (golden.test.ts) does not have: ragged lengths, clip, input_forget, activations, peepholes in every direction.
import { describe, expect, test } from "vitest";
import { DtypeError, ShapeError, UnsupportedError, ValueError, tensor, type Tensor } from "../../src/index.js";
import { onnxRecurrent, type OnnxAttributes, type OnnxInputs, type OnnxOperator } from "../../src/onnx.js";
import "../helpers/close.js";
import { both, testBoth } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

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

  both("%s", (dtype) => {
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
  refuses(() => run({}, { sequence_lens: tensor([1, 2, 6], [3], "i32") }), ValueError, "sequence_lens[2]", "0 to 5");
  refuses(() => run({}, { sequence_lens: tensor([1, 2, 3]) }), DtypeError, "sequence_lens: got f64", "i32");
  refuses(() => run({}, { Z: wave([1], "f64") }), UnsupportedError, "Z");
});

describe("names are looked up among the operator's own", () => {
  const run = (kind: unknown, attributes: object = {}) =>
    onnxRecurrent(kind as OnnxOperator, attributes, inputsOf(kind === "RNN" ? "RNN" : "LSTM", 1, "f64"));

  test("operators", () => {
    const names: unknown[] = ["constructor", "__proto__", "toString", "lstm", "", null, undefined, 5, 5n, {}, []];
    const like: unknown[] = [["LSTM"], new String("LSTM"), { toString: () => "LSTM" }, Object.create(null)];
    for (const kind of [...names, ...like]) {
      refuses(() => run(kind), UnsupportedError, "opType: got", "RNN, LSTM, GRU");
    }
  });

  test("activations", () => {
    const names = ["constructor", "__proto__", "toString", "hasOwnProperty", "", "Elu", ["Tanh"], new String("Tanh")];
    for (const name of [...names, null, undefined, 5, 5n, {}, Object.create(null)]) {
      refuses(() => run("RNN", { activations: [name] }), UnsupportedError, "activations: got", "HardSigmoid");
    }
    expect(run("RNN", { activations: ["TANH"] })).toEqual(run("RNN"));
    for (const list of [null, 5, "Tanh", {}, { length: 1, 0: "Tanh" }, new Set(["Tanh"]), [], ["Tanh", "Tanh"]]) {
      refuses(() => run("RNN", { activations: list }), ValueError, "activations: got", "1 names");
    }
    refuses(() => run("RNN", { activations: Object.assign([], { length: 2 ** 31 }) }), ValueError, "activations");
    refuses(() => run("RNN", { activations: Object.assign([], { length: 1 }) }), UnsupportedError, "got undefined");
  });

  test("activation_alpha and activation_beta", () => {
    const hard = { activations: ["HardSigmoid"] };
    for (const name of ["activation_alpha", "activation_beta"]) {
      const lists = [5, null, {}, "0.2", [null], ["0.2"], [NaN], [Infinity], [1n], [[0.2]], [0.1, 0.2], [undefined]];
      for (const list of [...lists, Object.assign([], { length: 2 ** 31 }), new Float32Array(1)]) {
        refuses(() => run("RNN", { ...hard, [name]: list }), ValueError, `${name}: got`, "finite numbers");
        refuses(() => run("RNN", { [name]: list }), ValueError, `${name}: got`); // where nothing takes them, too
      }
      expect(run("RNN", { ...hard, [name]: undefined })).toEqual(run("RNN", hard));
    }
  });

  test("the rest of the attributes", () => {
    for (const value of [null, "1", [1], true, NaN, {}, 1n]) {
      refuses(() => run("LSTM", { clip: value }), ValueError, "clip: got");
      refuses(() => run("LSTM", { input_forget: value }), ValueError, "input_forget: got");
      refuses(() => run("LSTM", { layout: value }), ValueError, "layout: got");
      refuses(() => run("LSTM", { direction: value }), ValueError, "direction: got");
      refuses(() => run("LSTM", { hidden_size: value }), ValueError, "hidden_size: got");
    }
    refuses(() => run("LSTM", { direction: ["reverse"] }), ValueError, "direction: got Array");
  });
});

describe.each(variants)("clip, %s build", (variant) => {
  useVariant(variant);

  testBoth("limits c on its way to h, and c itself not, %s", (dtype) => {
    const t = (values: number[], shape: number[]) => tensor(values, shape, dtype);
    const lstm = (clip: number, c: number, more: Partial<OnnxInputs> = {}) =>
      onnxRecurrent(
        "LSTM",
        { clip },
        {
          X: t([0, 0], [2, 1, 1]),
          W: t([0, 0, 0, 0], [1, 4, 1]),
          R: t([0, 0, 0, 0], [1, 4, 1]),
          initial_c: t([c], [1, 1, 1]),
          ...more,
        },
      );
    // i = f = o = sigmoid(0) = 1/2, g = 0: c_1 = 2, c_2 = 1; h_t = 1/2 tanh(1/2) for both, as c_t > clip
    const close = { rtol: dtype === "f64" ? 1e-14 : 1e-6 };
    const { Y, Y_h, Y_c } = lstm(0.5, 4);
    const h = 0.23105857863000487; // 1/2 tanh(1/2)
    expect(Y).toBeAllClose({ data: [h, h], shape: [2, 1, 1, 1] }, close);
    expect(Y_h).toBeAllClose({ data: [h], shape: [1, 1, 1] }, close);
    expect(Y_c!).toBeAllClose({ data: [1], shape: [1, 1, 1] }, close);
    expect(lstm(0.5, -4).Y).toBeAllClose({ data: [-h, -h], shape: [2, 1, 1, 1] }, close);
    // c_t within the limit: 1/2 tanh(2), 1/2 tanh(1)
    const free = [Math.tanh(2) / 2, Math.tanh(1) / 2];
    expect(lstm(2.5, 4).Y).toBeAllClose({ data: free, shape: [2, 1, 1, 1] }, close);
    // o's peephole sees c_t itself: o = sigmoid(clip(2 * 1)) = sigmoid(1/2)
    const seen = lstm(0.5, 4, { P: t([0, 2, 0], [1, 3]) });
    expect(seen.Y.data[0]).toBeCloseTo(0.6224593312018546 * Math.tanh(0.5), dtype === "f64" ? 14 : 6);
    expect([...lstm(0.5, NaN).Y.data]).toEqual([NaN, NaN]);
  });
});

test("errors have the operator's names, and say the dtype", () => {
  const inputs = inputsOf("LSTM", 1, "f64", [5, 2, 4]);
  const run = (changed: object) => onnxRecurrent("LSTM", {}, { ...inputs, ...changed });
  const i64 = { data: BigInt64Array.of(5n, 2n, 4n), shape: [3] };
  refuses(() => run({ sequence_lens: i64 }), DtypeError, "sequence_lens: got i64, expected a tensor of i32");
  refuses(() => run({ sequence_lens: [5, 2, 4] }), DtypeError, "sequence_lens: got Array, expected a tensor of i32");
  refuses(() => run({ sequence_lens: tensor([5, 2], [2], "i32") }), ShapeError, "sequence_lens: got [2], expected [3]");
  refuses(() => run({ sequence_lens: tensor([5, -1, 2], [3], "i32") }), ValueError, "sequence_lens[1]: got -1");
  for (const name of ["X", "W", "R", "B", "P", "initial_h", "initial_c"] as const) {
    const { shape } = inputs[name]!;
    const of = (data: unknown) => ({ [name]: { data, shape } });
    const size = shape.reduce((a, b) => a * b);
    refuses(() => run(of(new Int32Array(size))), DtypeError, `${name}: got i32, expected f64`);
    refuses(() => run(of(new BigInt64Array(size))), DtypeError, `${name}: got i64, expected a tensor of f64 or f32`);
    refuses(() => run(of(new Uint8Array(size))), DtypeError, `${name}: got u8`);
    refuses(() => run({ [name]: null }), DtypeError, `${name}: got null`);
    if (name !== "X") refuses(() => run(of(new Float32Array(size))), DtypeError, `${name}: got f32, expected f64`);
  }
});

test("inputs are read once: a getter that changes an earlier one changes nothing", () => {
  const inputs = inputsOf("LSTM", 2, "f64");
  const attributes: OnnxAttributes = { direction: "bidirectional" };
  const expected = onnxRecurrent("LSTM", attributes, inputs);
  const hostile = { ...inputs, X: { data: inputs.X.data.slice(), shape: [...inputs.X.shape] } };
  const { data, shape } = inputs.P!;
  hostile.P = {
    get data() {
      structuredClone(hostile.X.data.buffer, { transfer: [hostile.X.data.buffer] });
      hostile.X.shape[0] = 1e9;
      return data;
    },
    shape,
  };
  expect(onnxRecurrent("LSTM", attributes, hostile)).toEqual(expected);
});
