// Parameters of layers and their initial values, modes, accumulated gradients, state dictionaries, disposal. Refused arguments
// are in errors.test.ts, memory in memory.test.ts; numbers are compared with PyTorch in pytorch.test.ts and with finite
// differences in gradients.test.ts.
import { describe, expect, test } from "vitest";
import {
  DisposedError,
  DtypeError,
  Embedding,
  GRU,
  LSTM,
  Linear,
  RNN,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  configure,
  tensor,
  type Layer,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { bytes, resident, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f64" | "f32";
type Options = Record<string, unknown>;

/** Any layer, under one type of forward and backward. */
type AnyLayer = Layer & {
  forward(x: Tensor, state?: Record<string, Tensor>): Record<string, Tensor>;
  backward(gradients: Record<string, Tensor>): Record<string, Tensor>;
};

/** A kind of layer: a constructor, inputs, and gradients of the outputs. */
interface Kind {
  readonly name: string;
  readonly make: (options?: Options) => AnyLayer;
  readonly x: (dtype: Dtype) => Tensor;
  readonly states?: (dtype: Dtype) => Record<string, Tensor>;
  readonly gradients: (dtype: Dtype) => Record<string, Tensor>;
  readonly expected: readonly (readonly [name: string, shape: readonly number[]])[];
}

const recurrent = (gates: number): Kind["expected"] => [
  ["weight_ih_l0", [gates * 4, 3]],
  ["weight_hh_l0", [gates * 4, 4]],
  ["bias_ih_l0", [gates * 4]],
  ["bias_hh_l0", [gates * 4]],
  ["weight_ih_l1", [gates * 4, 4]],
  ["weight_hh_l1", [gates * 4, 4]],
  ["bias_ih_l1", [gates * 4]],
  ["bias_hh_l1", [gates * 4]],
];
const kinds: readonly Kind[] = [
  {
    name: "RNN",
    make: (options) => new RNN(3, 4, { numLayers: 2, seed: 1, ...options }),
    x: (dtype) => wave([5, 2, 3], dtype),
    states: (dtype) => ({ h0: wave([2, 2, 4], dtype, 1) }),
    gradients: (dtype) => ({ output: wave([5, 2, 4], dtype, 2), hn: wave([2, 2, 4], dtype, 3) }),
    expected: recurrent(1),
  },
  {
    name: "LSTM",
    make: (options) => new LSTM(3, 4, { numLayers: 2, seed: 1, ...options }),
    x: (dtype) => wave([5, 2, 3], dtype),
    states: (dtype) => ({ h0: wave([2, 2, 4], dtype, 1), c0: wave([2, 2, 4], dtype, 4) }),
    gradients: (dtype) => ({
      output: wave([5, 2, 4], dtype, 2),
      hn: wave([2, 2, 4], dtype, 3),
      cn: wave([2, 2, 4], dtype, 5),
    }),
    expected: recurrent(4),
  },
  {
    name: "GRU",
    make: (options) => new GRU(3, 4, { numLayers: 2, seed: 1, ...options }),
    x: (dtype) => wave([5, 2, 3], dtype),
    states: (dtype) => ({ h0: wave([2, 2, 4], dtype, 1) }),
    gradients: (dtype) => ({ output: wave([5, 2, 4], dtype, 2), hn: wave([2, 2, 4], dtype, 3) }),
    expected: recurrent(3),
  },
  {
    name: "Linear",
    make: (options) => new Linear(3, 4, { seed: 1, ...options }),
    x: (dtype) => wave([5, 2, 3], dtype),
    gradients: (dtype) => ({ output: wave([5, 2, 4], dtype, 2) }),
    expected: [
      ["weight", [4, 3]],
      ["bias", [4]],
    ],
  },
  {
    name: "Embedding",
    make: (options) => new Embedding(6, 4, { seed: 1, ...options }),
    x: () => tensor([3, 0, 5, 3, 1, 1, 0, 2, 2, 5], [5, 2], "i32"),
    gradients: (dtype) => ({ output: wave([5, 2, 4], dtype, 2) }),
    expected: [["weight", [6, 4]]],
  },
];

const copies = (parameters: readonly Parameter[], of: "value" | "grad"): Tensor[] =>
  parameters.map((each) => ({ data: each[of].data.slice(), shape: each[of].shape }));
const first = (layer: Layer, index = 0): number[] => Array.from(layer.parameters()[index]!.value.data.slice(0, 3));

describe("initial values", () => {
  test.each(kinds)("$name: names, shapes, order", ({ make, expected }) => {
    using layer = make();
    expect(layer.parameters().map(({ name, value }) => [name, value.shape])).toEqual(expected);
    expect(layer.parameters().map(({ name, grad }) => [name, grad.shape])).toEqual(expected);
    for (const { grad } of layer.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
    expect(Object.keys(layer.stateDict())).toEqual(expected.map(([name]) => name));
  });

  test("both directions, projections, no biases: names, shapes, order", () => {
    using layer = new LSTM(3, 5, { numLayers: 2, bidirectional: true, projSize: 2, seed: 1 });
    const expected = ["l0", "l0_reverse", "l1", "l1_reverse"].flatMap((suffix) => [
      [`weight_ih_${suffix}`, [20, suffix.startsWith("l0") ? 3 : 4]],
      [`weight_hh_${suffix}`, [20, 2]],
      [`bias_ih_${suffix}`, [20]],
      [`bias_hh_${suffix}`, [20]],
      [`weight_hr_${suffix}`, [2, 5]],
    ]);
    expect(layer.parameters().map(({ name, value }) => [name, value.shape])).toEqual(expected);
    expect([layer.directions, layer.stateSize, layer.hiddenSize]).toEqual([2, 2, 5]);
    const { output, hn, cn } = layer.forward(wave([6, 3, 3], "f64"));
    expect([output.shape, hn.shape, cn.shape]).toEqual([[6, 3, 4], [4, 3, 2], [4, 3, 5]]); // prettier-ignore
    const { x, h0, c0 } = layer.backward({ output });
    expect([x.shape, h0.shape, c0.shape]).toEqual([[6, 3, 3], [4, 3, 2], [4, 3, 5]]); // prettier-ignore
    using plain = new GRU(3, 5, { bidirectional: true, bias: false });
    const names = ["weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse"];
    expect(plain.parameters().map(({ name }) => name)).toEqual(names);
    expect([plain.directions, plain.stateSize, plain.resetAfter]).toEqual([2, 5, true]);
  });

  test("no biases with bias: false", () => {
    using rnn = new RNN(3, 4, { bias: false });
    using linear = new Linear(3, 4, { bias: false });
    expect(rnn.parameters().map(({ name }) => name)).toEqual(["weight_ih_l0", "weight_hh_l0"]);
    expect(linear.parameters().map(({ name }) => name)).toEqual(["weight"]);
    expect(linear.forward(wave([2, 3], "f64")).output.shape).toEqual([2, 4]);
    expect(linear.backward({ output: wave([2, 4], "f64") }).x.shape).toEqual([2, 3]);
  });

  both("%s", (dtype) => {
    test.each([
      ["RNN", new RNN(40, 60, { dtype, seed: 3 }), 60],
      ["LSTM", new LSTM(40, 60, { dtype, seed: 3 }), 60],
      ["LSTM, projected", new LSTM(40, 60, { dtype, seed: 3, projSize: 30, bidirectional: true }), 60],
      ["GRU", new GRU(40, 60, { dtype, seed: 3 }), 60],
      ["Linear", new Linear(40, 300, { dtype, seed: 3 }), 40],
    ])("%s: uniform between -1/sqrt(n) and 1/sqrt(n)", (_, layer, n) => {
      const bound = 1 / Math.sqrt(n);
      for (const { name, value } of layer.parameters()) {
        const numbers = Array.from(value.data, (v) => v / bound);
        const size = numbers.length;
        expect(Math.max(...numbers.map(Math.abs)), name).toBeLessThanOrEqual(1 + 1e-7); // f32 rounds
        expect(Math.max(...numbers), name).toBeGreaterThan(1 - 20 / size);
        expect(Math.min(...numbers), name).toBeLessThan(-1 + 20 / size);
        expect(Math.abs(mean(numbers)), name).toBeLessThan(4 / Math.sqrt(3 * size));
        expect(Math.abs(mean(numbers.map((v) => v * v)) - 1 / 3), name).toBeLessThan(4 * Math.sqrt(4 / 45 / size));
      }
      layer.dispose();
    });

    test("Embedding: normal; the row of paddingIdx is zero", () => {
      using layer = new Embedding(100, 50, { dtype, seed: 3 });
      const numbers = Array.from(layer.parameters()[0]!.value.data);
      expect(Math.abs(mean(numbers))).toBeLessThan(4 / Math.sqrt(5000));
      expect(Math.abs(mean(numbers.map((v) => v * v)) - 1)).toBeLessThan(4 * Math.sqrt(2 / 5000));
      expect(numbers.filter((v) => Math.abs(v) > 1.96).length / 5000).toBeCloseTo(0.05, 1);
      for (const [paddingIdx, row] of [
        [2, 2],
        [-1, 99],
        [-100, 0],
      ] as const) {
        using padded = new Embedding(100, 50, { dtype, seed: 3, paddingIdx });
        const { data } = padded.parameters()[0]!.value;
        expect(Array.from(data)).toEqual(numbers.map((v, i) => (Math.floor(i / 50) === row ? 0 : v)));
      }
    });
  });

  test.each(kinds)("$name: the same seed gives the same weights", ({ make }) => {
    const numbers = (options?: Options): string => {
      using layer = make(options);
      return layer.parameters().map(({ value }) => bytes(value).toString("hex")).join(); // prettier-ignore
    };
    expect(numbers({ seed: 5 })).toBe(numbers({ seed: 5 }));
    expect(numbers({ seed: 5 })).not.toBe(numbers({ seed: 6 }));
    expect(numbers({ seed: 5 })).not.toBe(numbers({ seed: 5 + 2 ** 32 }));
    expect(numbers({ seed: undefined })).not.toBe(numbers({ seed: undefined }));
  });

  describe.each(variants)("%s build", (variant) => {
    useVariant(variant);

    test("a seed gives the same weights in every version", () => {
      using lstm = new LSTM(3, 4, { seed: 7 });
      expect(first(lstm)).toEqual([-0.4509904074254457, 0.4298532154569821, -0.10276343197108673]);
      expect(first(lstm, 3)).toEqual([0.043472471067572016, 0.23444096473663378, -0.3995488532477349]);
      using rnn = new RNN(3, 4, { seed: 7, numLayers: 2 });
      expect(first(rnn, 4).slice(0, 2)).toEqual([0.05659891307100262, -0.4646653402102554]);
      using linear = new Linear(3, 4, { seed: 7, dtype: "f32" });
      expect(first(linear, 1).slice(0, 2)).toEqual([-0.5740854740142822, 0.06624163687229156]);
      using embedding = new Embedding(3, 4, { seed: 7 });
      expect(first(embedding)).toEqual([-0.8525998390036965, 1.0359084785952293, -1.1065609146095021]);
    });
  });
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(kinds)("$name", (kind) => {
      const make = (options?: Options): AnyLayer => kind.make({ dtype, ...options });
      const x = kind.x(dtype);
      const states = kind.states?.(dtype);
      const gradients = kind.gradients(dtype);
      /** Results and gradients of parameters of one pass of a layer like `make`'s. */
      const pass = (layer: AnyLayer) => ({ forward: layer.forward(x, states), backward: layer.backward(gradients) });

      test("gradients accumulate until zeroGrad", () => {
        using layer = make();
        pass(layer);
        const once = copies(layer.parameters(), "grad");
        pass(layer);
        const close = dtype === "f64" ? 1e-14 : 1e-6;
        layer.parameters().forEach(({ grad, name }, i) => {
          const twice = { data: once[i]!.data.map((g) => 2 * g), shape: grad.shape };
          expect(twice.data.some((g) => g !== 0)).toBe(true);
          expect(grad, name).toBeAllClose(twice, { rtol: close, atol: close });
        });
        layer.zeroGrad();
        for (const { grad } of layer.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
        pass(layer);
        layer.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(once[i]!));
      });

      test("each backward needs one forward in training mode", () => {
        using layer = make();
        expect(layer.training).toBe(true);
        refuses(() => layer.backward(gradients), StateError, `${kind.name}.backward`, "no forward pass before it");
        const { backward } = pass(layer);
        refuses(() => layer.backward(gradients), StateError, `${kind.name}.backward`);

        expect(layer.eval()).toBe(layer);
        expect(layer.training).toBe(false);
        layer.forward(x, states);
        refuses(() => layer.backward(gradients), StateError, "no forward pass in training mode before it");

        expect(layer.train()).toBe(layer);
        expect(layer.training).toBe(true);
        layer.forward(x, states);
        layer.eval().forward(x); // keeps nothing, and leaves what was kept
        expect(layer.backward(gradients)).toEqual(backward);
        refuses(() => layer.backward(gradients), StateError);
      });

      test("backward belongs to the latest forward", () => {
        using layer = make();
        using other = make();
        const { backward } = pass(other);
        layer.forward(kind.name === "Embedding" ? tensor([1], [1], "i32") : wave([1, 1, 3], dtype));
        layer.forward(x, states);
        expect(layer.backward(gradients)).toEqual(backward);
      });

      test("refused arguments change nothing: the saved pass and the gradients stay", () => {
        using layer = make();
        using other = make();
        const expected = pass(other);
        layer.forward(x, states);
        const wrong = { ...gradients, output: wave([5, 2, 5], dtype) };
        refuses(() => layer.backward(wrong), ShapeError, "output", "[5, 2, 5]", "[5, 2, 4]");
        refuses(() => layer.backward({ outptu: gradients.output! }), UnsupportedError, "outptu");
        refuses(() => layer.backward(null as never), ValueError);
        refuses(() => layer.backward(undefined as never), ValueError);
        refuses(() => layer.forward({ data: x.data, shape: [7] }), ShapeError, "x: got");
        refuses(() => layer.forward(undefined as never), DtypeError, "x");
        for (const { grad } of layer.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
        expect(layer.backward(gradients)).toEqual(expected.backward);
        layer.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(other.parameters()[i]!.grad));
      });

      test("inputs are not modified; outputs belong to the caller", () => {
        using layer = make();
        const inputs = [x, ...Object.values(states ?? {}), ...Object.values(gradients)];
        const before = inputs.map(({ data }) => data.slice());
        const parameters = copies(layer.parameters(), "value");
        const passes = [pass(layer), pass(layer)];
        inputs.forEach(({ data }, i) => expect(data).toEqual(before[i]));
        layer.parameters().forEach(({ value }, i) => expect(value).toHaveBits(parameters[i]!));

        const results = passes.flatMap(({ forward, backward }) => [
          ...Object.values(forward),
          ...Object.values(backward),
        ]);
        const buffers = new Set([...results, ...inputs].map(({ data }) => data.buffer));
        expect(buffers.size).toBe(results.length + inputs.length); // none shared, none a part of another
        const shapes = new Set(results.map(({ shape }) => shape));
        expect(shapes.size).toBe(results.length);
        const memory = layer.parameters()[0]!.value.data.buffer;
        for (const { data, shape } of results) {
          expect(data.buffer).not.toBe(memory);
          expect(data).toHaveLength(shape.reduce((product, n) => product * n, 1));
          expect(data.byteLength).toBe(data.buffer.byteLength);
          data.fill(NaN);
        }
        expect(pass(layer).forward).toEqual(pass(layer).forward);
        expect(pass(layer).forward.output!.data.some(Number.isNaN)).toBe(false);
      });

      test("changed inputs after forward do not change backward", () => {
        using layer = make();
        using other = make();
        const { backward } = pass(other);
        const [xCopy, statesCopy] = [structuredClone(x), structuredClone(states)];
        layer.forward(xCopy, statesCopy);
        for (const { data } of [xCopy, ...Object.values(statesCopy ?? {})]) data.fill(0);
        expect(layer.backward(gradients)).toEqual(backward);
        layer.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(other.parameters()[i]!.grad));
      });

      test("an empty batch gives empty results", () => {
        using layer = make();
        const empty = kind.name === "Embedding" ? tensor([], [5, 0], "i32") : wave([5, 0, 3], dtype);
        const out = layer.forward(empty);
        expect(out.output!.shape).toEqual([5, 0, 4]);
        for (const { data } of Object.values(out)) expect(data).toHaveLength(0);
        const back = layer.backward({ output: wave([5, 0, 4], dtype) });
        for (const { data } of Object.values(back)) expect(data).toHaveLength(0);
        for (const { grad } of layer.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
        expect(layer.eval().forward(empty)).toEqual(out);
      });

      test("loadStateDict accepts stateDict, which is a copy", () => {
        using layer = make({ seed: 1 });
        using other = make({ seed: 2 });
        const dict = layer.stateDict();
        const kept = structuredClone(dict);
        layer.parameters()[0]!.value.data.fill(9);
        expect(dict).toEqual(kept);
        other.loadStateDict(dict);
        expect(other.stateDict()).toEqual(kept);
        Object.values(dict)[0]!.data.fill(8);
        expect(other.stateDict()).toEqual(kept);
      });

      test("loadStateDict is strict, and all or nothing", () => {
        using layer = make({ seed: 1 });
        const before = layer.stateDict();
        const [name, [rows = 0, ...rest]] = kind.expected.at(-1)!;
        const last = before[name]!;
        const good = Object.fromEntries(Object.entries(before).map(([key, { data, shape }]) => [key, { data: data.map((v) => v + 1), shape }])); // prettier-ignore
        const cases: [unknown, new (...args: never[]) => Error, string[]][] = [
          [{ ...good, [name]: undefined }, ShapeError, [`no entry "${name}"`]],
          [Object.fromEntries(Object.entries(good).filter(([key]) => key !== name)), ShapeError, [`no entry "${name}"`]],
          [{ ...good, extra: last }, ShapeError, ['unknown entry "extra"', name]],
          [{ ...good, [name]: wave([rows + 1, ...rest], dtype) }, ShapeError, [name, `[${[rows + 1, ...rest].join(", ")}]`]],
          [{ ...good, [name]: { data: last.data, shape: [last.data.length, 1, 1] } }, ShapeError, [name]],
          [{ ...good, [name]: { data: last.data.subarray(1), shape: last.shape } }, ShapeError, [name]],
          [{ ...good, [name]: { data: new Int32Array(last.data.length), shape: last.shape } }, DtypeError, [name, "i32", "f64 or f32"]],
          [{ ...good, [name]: null }, DtypeError, [name, "null"]],
          [{ ...good, [name]: [1, 2] }, DtypeError, [name, "Array"]],
          [{}, ShapeError, ["no entry"]],
          [null, DtypeError, ["dict", "null"]],
          [undefined, DtypeError, ["dict"]],
          ["weights", DtypeError, ["dict"]],
        ]; // prettier-ignore
        for (const [dict, error, parts] of cases) {
          refuses(() => layer.loadStateDict(dict as never), error, ...parts);
          expect(layer.stateDict()).toEqual(before);
        }
        layer.loadStateDict(good);
        expect(layer.stateDict()).toEqual(good);
      });

      test("loadStateDict converts between f64 and f32", () => {
        const otherDtype = dtype === "f64" ? "f32" : "f64";
        using layer = make({ seed: 1 });
        using other = kind.make({ dtype: otherDtype, seed: 2 });
        layer.loadStateDict(other.stateDict());
        for (const { name, value } of layer.parameters()) {
          const { data } = other.stateDict()[name]!;
          expect(resident(value).dtype).toBe(dtype);
          expect(Array.from(value.data)).toEqual(Array.from(data, (v) => (dtype === "f32" ? Math.fround(v) : v)));
        }
      });

      test("loadStateDict accepts live parameters, also the layer's own under other names", () => {
        using layer = make({ seed: 1 });
        using other = make({ seed: 2 });
        const live = Object.fromEntries(other.parameters().map(({ name, value }) => [name, value]));
        layer.loadStateDict(live);
        expect(layer.stateDict()).toEqual(other.stateDict());
        if (!kind.states) return;
        const before = layer.stateDict();
        const own = Object.fromEntries(layer.parameters().map(({ name, value }) => [name, value]));
        layer.loadStateDict({ ...own, bias_ih_l0: own.bias_hh_l0!, bias_hh_l0: own.bias_ih_l0! });
        expect(layer.stateDict()).toEqual({ ...before, bias_ih_l0: before.bias_hh_l0, bias_hh_l0: before.bias_ih_l0 });
      });

      test("every method throws after dispose()", () => {
        const layer = make();
        const parameter = layer.parameters()[0]!;
        const dict = layer.stateDict();
        layer.forward(x, states);
        layer.dispose();
        const calls: Record<string, () => unknown> = {
          forward: () => layer.forward(x, states),
          backward: () => layer.backward(gradients),
          parameters: () => layer.parameters(),
          zeroGrad: () => layer.zeroGrad(),
          train: () => layer.train(),
          eval: () => layer.eval(),
          stateDict: () => layer.stateDict(),
          loadStateDict: () => layer.loadStateDict(dict),
        };
        if (layer instanceof RNN || layer instanceof LSTM || layer instanceof GRU) calls.stream = () => layer.stream();
        for (const call of Object.values(calls)) refuses(call, DisposedError, kind.name, "disposed");
        for (const live of [parameter.value, parameter.grad]) refuses(() => live.data, DisposedError);
        for (const each of [parameter.value, parameter.grad].map(resident)) {
          refuses(() => each.data, DisposedError);
          refuses(() => each.set(Float64Array.of(1)), DisposedError);
          refuses(() => each.fill(1), DisposedError);
          refuses(() => each.download(), DisposedError);
        }
        layer.dispose(); // again: nothing
      });

      test("`using` disposes", () => {
        let outside: AnyLayer;
        {
          using layer = make();
          outside = layer;
          expect(layer.parameters()).not.toHaveLength(0);
        }
        refuses(() => outside.parameters(), DisposedError);
      });

      test("parameters are live and cannot be replaced", () => {
        using layer = make();
        const { value } = layer.parameters()[0]!;
        const inside = resident(value);
        layer.parameters().pop();
        expect(layer.parameters()).toHaveLength(kind.expected.length);
        expect(() => Object.assign(layer.parameters()[0]!, { value: null })).toThrow(TypeError);
        expect(() => (value.shape as number[]).push(7)).toThrow(TypeError);
        expect(() => Object.assign(value, { shape: [1e6] })).toThrow(TypeError);
        refuses(() => inside.set(new Float64Array(value.data.length + 1)), ShapeError);
        refuses(() => inside.slice(0, value.shape[0]! + 1), ShapeError);
        refuses(() => inside.reshape([1e6]), ShapeError);
        expect(layer.stateDict()).toEqual(make().stateDict());
      });
    });

    test("Linear: any number of axes; refused arguments", () => {
      using layer = new Linear(3, 4, { dtype });
      const other = dtype === "f64" ? "f32" : "f64";
      for (const outer of [[], [1], [5], [5, 2], [2, 1, 3, 2]]) {
        const x = wave([...outer, 3], dtype);
        expect(layer.forward(x).output.shape).toEqual([...outer, 4]);
        expect(layer.backward({ output: wave([...outer, 4], dtype) }).x.shape).toEqual(x.shape);
      }
      refuses(() => layer.forward(wave([2, 4], dtype)), ShapeError, "x: got [2, 4], expected [..., 3]");
      refuses(() => layer.forward(wave([], dtype)), ShapeError, "x: got [], expected [..., 3]");
      refuses(() => layer.forward(wave([2, 3], other)), DtypeError, `x: got ${other}, expected ${dtype}`);
      layer.forward(wave([4, 3], dtype));
      refuses(() => layer.backward({} as never), DtypeError, "output: got undefined");
      const { grad } = layer.parameters()[0]!;
      expect(layer.backward({ output: wave([4, 4], dtype) }).x.shape).toEqual([4, 3]);
      // its own gradient as the gradient of the output: read before it is added to, in products of several blocks, too
      const n = 150;
      using square = new Linear(n, n, { dtype, seed: 1, bias: false });
      using reference = new Linear(n, n, { dtype, seed: 1, bias: false });
      for (const each of [square, reference]) each.parameters()[0]!.grad.data.set(wave([n, n], dtype, 3).data);
      for (const each of [square, reference]) each.forward(wave([n, n], dtype));
      const expected = reference.backward({ output: wave([n, n], dtype, 3) });
      expect(square.backward({ output: square.parameters()[0]!.grad })).toEqual(expected);
      expect(square.parameters()[0]!.grad).toHaveBits(reference.parameters()[0]!.grad);
      expect(grad.shape).toEqual([4, 3]);
    });

    test("Embedding: rows; refused arguments", () => {
      using layer = new Embedding(5, 3, { dtype, paddingIdx: 1 });
      const table = layer.stateDict().weight!;
      const { output } = layer.forward(tensor([4, 1, 4, 0], [2, 2], "i32"));
      const rows = [4, 1, 4, 0].flatMap((row) => Array.from(table.data.slice(3 * row, 3 * row + 3)));
      expect(output).toHaveBits({ data: table.data.slice(0, 12).map((_, i) => rows[i]!), shape: [2, 2, 3] });
      const dOutput = wave([2, 2, 3], dtype);
      expect(layer.backward({ output: dOutput })).toEqual({});
      const expected = table.data.map((_, i) => {
        const [row, column] = [Math.floor(i / 3), i % 3];
        const [a, , b, c] = [0, 1, 2, 3].map((k) => dOutput.data[3 * k + column]!);
        return row === 4 ? a! + b! : row === 0 ? c! : 0; // a row of its own for each index, none for the padding
      });
      expect(layer.parameters()[0]!.grad).toHaveBits({ data: expected, shape: [5, 3] });
      expect(layer.forward(tensor(3, [], "i32")).output.shape).toEqual([3]);
      for (const [index, at] of [
        [5, 1],
        [-1, 0],
        [2 ** 31 - 1, 2],
        [-(2 ** 31), 1],
      ] as const) {
        const indices = [0, 0, 0].map((_, i) => (i === at ? index : 0));
        refuses(
          () => layer.forward(tensor(indices, [3], "i32")),
          ValueError,
          `x: got ${index} at position ${at}`,
          "0 to 4",
        );
      }
      refuses(() => layer.forward(tensor([0])), DtypeError, "x: got f64, expected i32");
    });
  });
});

test("objects of two builds cannot be mixed", { skip: variants.length < 2 }, () => {
  configure({ variant: "simd" });
  using one = new Linear(2, 2, { seed: 1 });
  configure({ variant: "relaxed" });
  using two = new Linear(2, 2, { seed: 1 });
  configure({ variant: "auto" });
  // as arguments their tensors are copied like any others
  expect(two.forward(one.parameters()[0]!.value).output).toEqual(two.forward(one.stateDict().weight!).output);
});

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, v) => sum + v, 0) / numbers.length;
}
