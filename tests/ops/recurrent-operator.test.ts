// ONNX's recurrent operators as an operation that is bound once and run many times. What it computes is compared with plain loops
// in models/onnx.test.ts, which calls it through onnxRecurrent; here with the layers, bit by bit.
import { describe, expect, test, vi } from "vitest";
import { graphInstances } from "../../bindings/graph.js";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import {
  DtypeError,
  fromTorch,
  ShapeError,
  tensor,
  ValueError,
  type FloatDtype,
  type Tensor,
} from "../../src/index.js";
import { onnxRecurrent, type OnnxInputs } from "../../src/onnx.js";
import {
  recurrentAttributes,
  recurrentOperator,
  type OnnxAttributes,
  type OnnxOperator,
  type RecurrentInput,
} from "../../src/recurrent/operator-attributes.js";
import { recurrent } from "../../src/recurrent/operator.js";
import "../helpers/bits.js";
import { both, testBoth } from "../helpers/both.js";
import { makeRecurrent } from "../helpers/recurrent.js";
import { Bound, type Inputs } from "../helpers/recurrent-operator.js";
import { refuses } from "../helpers/refuses.js";
import { bytes, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const [T, N, I, H] = [5, 3, 4, 7];
const KINDS = ["RNN", "LSTM", "GRU"] as const;
const DIRECTIONS = ["forward", "reverse", "bidirectional"] as const;
const LENGTHS = [[5, 2, 4], [1, 0, 5], [5, 5, 5], [0, 0, 0]]; // prettier-ignore

/** All inputs of a kind; `start` makes other numbers. */
function inputsOf(kind: OnnxOperator, d: number, dtype: FloatDtype, start = 0, [t, n] = [T, N]): Inputs {
  const g = { RNN: 1, LSTM: 4, GRU: 3 }[kind] * H;
  return {
    X: wave([t, n, I], dtype, start + 1),
    W: wave([d, g, I], dtype, start + 2),
    R: wave([d, g, H], dtype, start + 3),
    B: wave([d, 2 * g], dtype, start + 4),
    initial_h: wave([d, n, H], dtype, start + 5),
    ...(kind === "LSTM" && { initial_c: wave([d, n, H], dtype, start + 6), P: wave([d, 3 * H], dtype, start + 7) }),
  };
}

function expectBits(actual: Record<string, Tensor>, expected: object): void {
  const all = expected as Record<string, Tensor>;
  for (const name in actual) expect(actual[name], name).toHaveBits(all[name]!);
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(KINDS)("%s: the bits of the layer, as a whole and step by step", (kind) => {
      for (const bidirectional of [false, true]) {
        const d = bidirectional ? 2 : 1;
        using layer = makeRecurrent(kind === "RNN" ? "RNN tanh" : kind, I, H, { bidirectional, dtype, seed: 3 });
        const arrays = fromTorch("onnx", kind, layer.stateDict());
        const inputs: Inputs = { ...inputsOf(kind, d, dtype), ...arrays };
        delete inputs.P;
        const attributes: OnnxAttributes = {
          direction: bidirectional ? "bidirectional" : "forward",
          ...(kind === "GRU" && { linear_before_reset: 1 }),
        };
        const state = { h0: inputs.initial_h, ...(kind === "LSTM" && { c0: inputs.initial_c }) };
        const expected = layer.forward(inputs.X!, state);
        using whole = new Bound(kind, attributes, inputs, ["W", "R", "B"]);
        whole.run();
        const { Y, Y_h, Y_c } = whole.results();
        // [T,D,N,H] as [T,N,D*H]
        const output = expected.output.data.slice();
        for (let row = 0; row < T * d * N; row++) {
          const [step, i, n] = [Math.floor(row / (d * N)), Math.floor(row / N) % d, row % N];
          output.set(Y!.data.subarray(row * H, (row + 1) * H), ((step * N + n) * d + i) * H);
        }
        expect({ data: output, shape: expected.output.shape }).toHaveBits(expected.output);
        expect(Y_h).toHaveBits(expected.hn);
        if ("cn" in expected) expect(Y_c).toHaveBits(expected.cn as Tensor);
        if (bidirectional) continue;
        const X = take(inputs.X!, 0, [0]);
        using single = new Bound(kind, attributes, { ...inputs, X }, ["W", "R", "B"]);
        for (let t = 0; t < T; t++) {
          single.set({ X: take(inputs.X!, 0, [t]) });
          single.run();
          expect(single.outputs.Y!.download()).toHaveBits(take(Y!, 0, [t]));
          single.set({ initial_h: single.outputs.Y_h!, ...(Y_c && { initial_c: single.outputs.Y_c! }) });
        }
        expectBits({ Y_h: single.outputs.Y_h!, ...(Y_c && { Y_c: single.outputs.Y_c! }) }, { Y_h, Y_c });
      }
    });

    describe.each(KINDS)("%s", (kind) => {
      const weights: readonly RecurrentInput[] = ["W", "R", "B", "P"];

      test.each(DIRECTIONS)("%s: bound once, run with other numbers, weights and lengths", (direction) => {
        const d = direction === "bidirectional" ? 2 : 1;
        for (const layout of [0, 1]) {
          const first = { ...inputsOf(kind, d, dtype), sequence_lens: tensor(LENGTHS[0]!, [N], "i32") };
          const shapes = layout ? { X: [N, T, I], initial_h: [N, d, H], initial_c: [N, d, H] } : {};
          const shaped = (inputs: Inputs): Inputs =>
            Object.fromEntries(
              Object.entries(inputs).map(([name, { data, shape }]) => [
                name,
                { data, shape: shapes[name as keyof typeof shapes] ?? shape },
              ]),
            );
          using ragged = new Bound(kind, { direction, layout }, shaped(first));
          const { sequence_lens, ...rest } = first;
          using whole = new Bound(kind, { direction, layout }, shaped(rest));
          using packed = new Bound(kind, { direction, layout }, shaped(first), [...weights, "sequence_lens"]);
          LENGTHS.forEach((lengths, k) => {
            const inputs = inputsOf(kind, d, dtype, 10 * k);
            const lens = { sequence_lens: tensor(lengths, [N], "i32") };
            const expected = (given: Inputs) => onnxRecurrent(kind, { direction, layout }, shaped(given) as OnnxInputs);
            ragged.set({ ...inputs, ...lens });
            whole.set(inputs);
            const before = currentCore().heap.bytesUsed;
            for (let again = 0; again < 2; again++) {
              ragged.run();
              whole.run();
              expectBits(ragged.results(), expected({ ...inputs, ...lens }));
              expectBits(whole.results(), expected(inputs));
            }
            expect(currentCore().heap.bytesUsed).toBe(before);
            // Weights and lengths are those of its making, whatever happens to the tensors.
            packed.set({ ...inputs, ...lens });
            packed.run();
            const { W, R, B, P } = first as Inputs;
            const stay = { W: W!, R: R!, B: B!, ...(P && { P }) };
            expectBits(packed.results(), expected({ ...inputs, ...stay, sequence_lens }));
          });
        }
        expect(currentCore().heap.bytesUsed).toBe(0);
      });

      test("only the outputs that are wanted", () => {
        for (const [t, n] of [[1, 1], [1, N], [T, 1], [T, N]] as const) {
          for (const direction of DIRECTIONS) {
            const inputs = inputsOf(kind, direction === "bidirectional" ? 2 : 1, dtype, 0, [t, n]);
            const expected = onnxRecurrent(kind, { direction }, inputs as OnnxInputs);
            const { outputs } = recurrentOperator(kind);
            for (let set = 0; set < 2 ** outputs.length; set++) {
              const wanted = outputs.filter((_, i) => (set >> i) & 1);
              for (const lens of [undefined, tensor(new Array<number>(n).fill(t), [n], "i32")]) {
                const given = lens ? { ...inputs, sequence_lens: lens } : inputs;
                using bound = new Bound(kind, { direction }, given, [], wanted);
                bound.run();
                expectBits(bound.results(), expected);
                for (const name of Object.keys(given) as RecurrentInput[]) {
                  expect(bound.inputs[name]!.download(), name).toHaveBits(given[name]!);
                }
              }
            }
          }
        }
      }); // prettier-ignore

      test("a batch of one is the same in both layouts; a batch of none has results of no numbers", () => {
        const inputs = inputsOf(kind, 2, dtype, 0, [T, 1]);
        const swapped = { ...inputs, X: { data: inputs.X!.data, shape: [1, T, I] } };
        for (const name of ["initial_h", "initial_c"] as const) {
          if (inputs[name]) swapped[name] = { data: inputs[name].data, shape: [1, 2, H] };
        }
        const one = onnxRecurrent(kind, { direction: "bidirectional" }, inputs as OnnxInputs);
        const other = onnxRecurrent(kind, { direction: "bidirectional", layout: 1 }, swapped as OnnxInputs);
        expect(bytes(other.Y)).toEqual(bytes(one.Y));
        expect(bytes(other.Y_h)).toEqual(bytes(one.Y_h));
        using none = new Bound(kind, { direction: "bidirectional" }, inputsOf(kind, 2, dtype, 0, [T, 0]));
        none.run();
        expect(none.results().Y).toEqual({ data: none.results().Y!.data, shape: [T, 2, 0, H] });
      });

      test("after the memory has grown", () => {
        const inputs = { ...inputsOf(kind, 1, dtype), sequence_lens: tensor(LENGTHS[0]!, [N], "i32") };
        using bound = new Bound(kind, {}, inputs);
        bound.run();
        const { heap } = currentCore();
        heap.free(heap.allocate(heap.byteLength, "growth"));
        bound.run();
        expectBits(bound.results(), onnxRecurrent(kind, {}, inputs as unknown as OnnxInputs));
      });
    });
  });
});

describe.each(variants)("GRUs of few units, %s build", (variant) => {
  useVariant(variant);

  testBoth("the graph module's kernel has the bits of the core's, %s", (dtype) => {
    const core = currentCore();
    const started = startGraph(core);
    const calls = vi.spyOn(started[dtype], "gruSmall");
    try {
      for (const h of [2, 3, 4, 8, 16, 20]) {
        for (const [t, n] of [[1, 1], [5, 1], [5, 2], [1, 3], [5, 0]] as const) {
          for (const direction of DIRECTIONS) {
            for (const after of [1, 0]) {
              const d = direction === "bidirectional" ? 2 : 1;
              const inputs: Inputs = {
                X: wave([t, n, I], dtype, 1),
                W: wave([d, 3 * h, I], dtype, 2),
                R: wave([d, 3 * h, h], dtype, 3),
                B: wave([d, 6 * h], dtype, 4),
                initial_h: wave([d, n, h], dtype, 5),
              };
              const attributes: OnnxAttributes = { direction, linear_before_reset: after };
              calls.mockClear();
              using bound = new Bound("GRU", attributes, inputs, ["W", "R", "B"]);
              bound.run();
              const lanes = dtype === "f64" ? 2 : 4;
              const small = after === 1 && n > 0 && n <= 2 && h <= 16 && h % lanes === 0;
              expect(calls).toHaveBeenCalledTimes(small ? 1 : 0);
              graphInstances.delete(core);
              expectBits(bound.results(), onnxRecurrent("GRU", attributes, inputs as OnnxInputs));
              graphInstances.set(core, started);
            }
          }
        }
      }
    } finally {
      calls.mockRestore();
      graphInstances.delete(core);
    }
  }); // prettier-ignore
});

test("lengths of each run", () => {
  const inputs = { ...inputsOf("LSTM", 1, "f32"), sequence_lens: tensor([5, 2, 4], [N], "i32") };
  using bound = new Bound("LSTM", {}, inputs);
  bound.run();
  const before = bound.results();
  for (const [lengths, row] of [
    [[5, 6, 4], 1],
    [[-1, 2, 4], 0],
    [[5, 2, 2 ** 31 - 1], 2],
    [[5, 2, -(2 ** 31)], 2],
  ] as const) {
    bound.set({ X: wave([T, N, I], "f32", 20), sequence_lens: tensor([...lengths], [N], "i32") });
    refuses(
      () => bound.run(),
      ValueError,
      `sequence_lens[${row}]: got ${lengths[row]}, expected an integer from 0 to 5`,
    );
    expectBits(bound.results(), before);
    refuses(() => new Bound("LSTM", {}, { ...inputs, sequence_lens: tensor([...lengths], [N], "i32") }, ["sequence_lens"]), ValueError, `sequence_lens[${row}]`); // prettier-ignore
  }
  bound.set(inputs);
  bound.run();
  expectBits(bound.results(), before);
});

test("infer has the specs of what is wanted, and refuses by ONNX's names", () => {
  const spec = (dtype: "f64" | "f32" | "i32", ...shape: number[]) => ({ dtype, shape });
  const lstm = (names: readonly RecurrentInput[], ...specs: ReturnType<typeof spec>[]) =>
    recurrent.infer(specs, recurrentAttributes("LSTM", { hidden_size: 7 }, names, ["Y_c", "Y"]));
  const [X, W, R] = [spec("f32", 5, 3, 4), spec("f32", 1, 28, 4), spec("f32", 1, 28, 7)];
  expect(lstm(["X", "W", "R"], X, W, R)).toEqual([spec("f32", 1, 3, 7), spec("f32", 5, 1, 3, 7)]);
  refuses(() => lstm(["W", "R"], W, R), DtypeError, "X: got undefined");
  refuses(() => lstm(["X", "W"], X, W), ShapeError, "R: got none");
  refuses(() => lstm(["X", "W", "R"], spec("i32", 5, 3, 4), W, R), DtypeError, "X: got i32");
  refuses(() => lstm(["X", "W", "R"], X, spec("f64", 1, 28, 4), R), DtypeError, "W: got f64, expected f32");
  refuses(() => lstm(["X", "W", "R"], spec("f32", 0, 3, 4), W, R), ShapeError, "X: got [0, 3, 4]", "one step");
  refuses(() => lstm(["X", "W", "R"], spec("f32", 5, 3), W, R), ShapeError, "X: got [5, 3], expected [T, N, I]");
  refuses(() => lstm(["X", "W", "R"], X, W, spec("f32", 1, 32, 8)), ValueError, "hidden_size: got number 7");
  const withLengths: RecurrentInput[] = ["X", "W", "R", "sequence_lens"];
  refuses(() => lstm(withLengths, X, W, R, spec("f32", 3)), DtypeError, "sequence_lens: got f32, expected i32");
  refuses(() => lstm(withLengths, X, W, R, spec("i32", 4)), ShapeError, "sequence_lens: got [4], expected [3]");
});

test("a run allocates nothing, and all memory is given back", () => {
  const { heap } = currentCore();
  expect(heap.bytesUsed).toBe(0);
  {
    using bound = new Bound("GRU", { direction: "bidirectional" }, inputsOf("GRU", 2, "f64"));
    const before = [heap.bytesUsed, heap.byteLength];
    for (let i = 0; i < 1000; i++) bound.run();
    expect([heap.bytesUsed, heap.byteLength]).toEqual(before);
  }
  expect(heap.bytesUsed).toBe(0);
});
