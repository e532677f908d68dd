// Optimizers and clipping: options, order of calls, saved state, what they refuse. Their numbers are held against PyTorch
// in pytorch.test.ts.
import { describe, expect, test } from "vitest";
import {
  Adagrad,
  Adam,
  AdamW,
  DisposedError,
  DtypeError,
  Embedding,
  Linear,
  RMSprop,
  SGD,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  clipGradNorm,
  clipGradValue,
  configure,
  tensor,
  type OptimizerOptions,
  type Parameter,
  type ParametersOrGroups,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, resident, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f64" | "f32";
type AnyOptimizer = SGD | Adam | AdamW | RMSprop | Adagrad;
type Make = (parameters: ParametersOrGroups<OptimizerOptions>, options?: object) => AnyOptimizer;

const makers: Readonly<Record<string, Make>> = {
  SGD: (parameters, options) => new SGD(parameters, options),
  Adam: (parameters, options) => new Adam(parameters, options),
  AdamW: (parameters, options) => new AdamW(parameters, options),
  Adagrad: (parameters, options) => new Adagrad(parameters, options),
  RMSprop: (parameters, options) => new RMSprop(parameters, options),
};

/** Optimizers with the names of their state. */
const settings: readonly (readonly [name: string, options: object, state: readonly string[]])[] = [
  ["SGD", { lr: 0.1 }, []],
  ["SGD", { lr: 0.1, momentum: 0.9, dampening: 0.5, weightDecay: 0.01 }, ["momentum_buffer"]],
  ["SGD", { lr: 0.1, momentum: 0.9, nesterov: true }, ["momentum_buffer"]],
  ["Adam", {}, ["exp_avg", "exp_avg_sq"]],
  ["Adam", { lr: 0.01, betas: [0.8, 0.95], eps: 1e-6, weightDecay: 0.1 }, ["exp_avg", "exp_avg_sq"]],
  ["Adam", { amsgrad: true, maximize: true }, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]],
  ["AdamW", { weightDecay: 0.1 }, ["exp_avg", "exp_avg_sq"]],
  ["Adagrad", { lrDecay: 0.1, initialAccumulatorValue: 0.5, weightDecay: 0.1 }, ["sum"]],
  ["RMSprop", {}, ["square_avg"]],
  [
    "RMSprop",
    { momentum: 0.5, centered: true, alpha: 0.9, weightDecay: 0.1 },
    ["square_avg", "grad_avg", "momentum_buffer"],
  ],
];

function setGradients(parameters: readonly Parameter[], step: number): void {
  parameters.forEach(({ grad }, i) => grad.data.set(wave(grad.shape, resident(grad).dtype, 10 * step + i).data));
}

const values = (parameters: readonly Parameter[]): Tensor[] =>
  parameters.map(({ value }) => ({ data: value.data.slice(), shape: value.shape }));

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const layer = () => new Linear(5, 3, { dtype, seed: 1 });

    describe.each(settings)("%s %j", (name, options, state) => {
      const make = (parameters: readonly Parameter[], more?: object): AnyOptimizer =>
        makers[name]!(parameters, { ...options, ...more });

      test("goes on from a saved state to the same bits", () => {
        using whole = layer();
        using parts = layer();
        using uninterrupted = make(whole.parameters());
        for (let step = 0; step < 9; step++) {
          setGradients(whole.parameters(), step);
          uninterrupted.step();
        }
        let saved: Record<string, Tensor> = {};
        for (let step = 0; step < 9; step += 3) {
          using optimizer = make(parts.parameters());
          optimizer.loadStateDict(saved);
          for (let i = step; i < step + 3; i++) {
            setGradients(parts.parameters(), i);
            optimizer.step();
          }
          saved = optimizer.stateDict();
        }
        parts.parameters().forEach(({ value }, i) => expect(value).toHaveBits(whole.parameters()[i]!.value));
        expect(saved).toEqual(uninterrupted.stateDict());
      });

      test("the state: names, shapes, copies", () => {
        using linear = layer();
        using optimizer = make(linear.parameters());
        expect(optimizer.stateDict()).toEqual({});
        setGradients(linear.parameters(), 0);
        optimizer.step();
        optimizer.step();
        const dict = optimizer.stateDict();
        const names = [0, 1].flatMap((i) => [`${i}.step`, ...state.map((each) => `${i}.${each}`)]);
        expect(Object.keys(dict)).toEqual(names);
        expect(dict["0.step"]).toEqual(tensor(2));
        for (const each of state) {
          expect(dict[`0.${each}`]!.shape).toEqual([3, 5]);
          expect(dict[`1.${each}`]!.shape).toEqual([3]);
          expect(dict[`1.${each}`]!.data.some((v) => v !== 0)).toBe(true);
        }
        const kept = structuredClone(dict);
        for (const { data } of Object.values(dict)) data.fill(7);
        expect(optimizer.stateDict()).toEqual(kept);
      });

      test("loadStateDict is strict, and all or nothing", () => {
        using linear = layer();
        using optimizer = make(linear.parameters());
        setGradients(linear.parameters(), 0);
        optimizer.step();
        const before = optimizer.stateDict();
        const good = structuredClone(before);
        for (const { data, shape } of Object.values(good)) if (shape.length > 0) data.fill(0.5);
        for (const i of [0, 1]) good[`${i}.step`] = tensor(5);
        const last = `1.${state.at(-1) ?? "step"}`;
        const without = Object.fromEntries(Object.entries(good).filter(([key]) => key !== last));
        const cases: [unknown, new (...args: never[]) => Error, string][] = [
          [without, ShapeError, `no entry "${last}"`],
          [{ ...good, "2.step": tensor(5) }, ShapeError, 'unknown entry "2.step"'],
          [{ ...good, [last]: tensor([1]) }, ShapeError, last],
          [{ ...good, [last]: null }, DtypeError, last],
          ...[-1, 1.5, NaN, Infinity].map(
            (count) =>
              [{ ...good, "0.step": tensor(count) }, ValueError, "0.step"] as [unknown, typeof ValueError, string],
          ),
          [{ ...good, "0.step": tensor(5, [], "i32") }, DtypeError, "0.step"],
          [null, DtypeError, "dict"],
          [3, DtypeError, "dict"],
        ];
        for (const [dict, error, part] of cases) {
          refuses(() => optimizer.loadStateDict(dict as never), error, part);
          expect(optimizer.stateDict()).toEqual(before);
        }
        optimizer.loadStateDict(good);
        expect(optimizer.stateDict()).toEqual(good);
        optimizer.loadStateDict({}); // a fresh start
        expect(optimizer.stateDict()).toEqual({});
      });

      test("loadStateDict converts between f64 and f32", () => {
        const other: Dtype = dtype === "f64" ? "f32" : "f64";
        using linear = layer();
        using source = new Linear(5, 3, { dtype: other });
        using from = make(source.parameters());
        setGradients(source.parameters(), 0);
        from.step();
        using to = make(linear.parameters());
        to.loadStateDict(from.stateDict());
        for (const [key, { data, shape }] of Object.entries(to.stateDict())) {
          if (shape.length > 0) expect(data).toBeInstanceOf(dtype === "f64" ? Float64Array : Float32Array);
          const expected = Array.from(from.stateDict()[key]!.data, (v) => (dtype === "f32" ? Math.fround(v) : v));
          expect(Array.from(data), key).toEqual(expected);
        }
      });

      test("lr may change between steps", () => {
        using one = layer();
        using two = layer();
        using changed = make(one.parameters(), { lr: 0.5 });
        using fixed = make(two.parameters(), { lr: 0.25 });
        changed.lr = 0.25;
        for (const [linear, optimizer] of [
          [one, changed],
          [two, fixed],
        ] as const) {
          setGradients(linear.parameters(), 0);
          optimizer.step();
        }
        expect(values(one.parameters())).toEqual(values(two.parameters()));
        changed.lr = NaN;
        refuses(() => changed.step(), ValueError, "lr");
        expect(values(one.parameters())).toEqual(values(two.parameters()));
        changed.lr = 0;
        const before = values(one.parameters());
        changed.step();
        expect(values(one.parameters())).toEqual(before);
      });

      test("zeroGrad", () => {
        using linear = layer();
        using optimizer = make(linear.parameters());
        setGradients(linear.parameters(), 0);
        optimizer.zeroGrad();
        for (const { grad } of linear.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
      });

      test("after a layer was disposed of, nothing changes", () => {
        using alive = layer();
        const disposed = layer();
        const [disposedParameter] = disposed.parameters() as [Parameter];
        using optimizer = make([...alive.parameters(), ...disposed.parameters()]);
        setGradients(alive.parameters(), 0);
        optimizer.step();
        const before = [values(alive.parameters()), optimizer.stateDict()];
        disposed.dispose();
        refuses(() => optimizer.step(), DisposedError, "weight", "disposed layer");
        refuses(() => optimizer.zeroGrad(), DisposedError);
        expect([values(alive.parameters()), optimizer.stateDict()]).toEqual(before);
        expect(alive.parameters()[0]!.grad.data.some((g) => g !== 0)).toBe(true);
        refuses(() => make(before as never), ValueError);
        refuses(() => clipGradNorm([...alive.parameters(), disposedParameter], 1), DisposedError);
        refuses(() => clipGradValue([...alive.parameters(), disposedParameter], 1), DisposedError);
        refuses(() => make([disposedParameter]), DisposedError);
      });

      test("dispose() gives the state back, and ends it", () => {
        using linear = layer();
        const heap = heapOf(linear);
        const { bytesUsed } = heap;
        const optimizer = make(linear.parameters());
        expect(heap.bytesUsed - bytesUsed).toBe(state.length * (dtype === "f64" ? 192 : 128)); // 15 and 3 numbers, in lines of 64 bytes
        optimizer.dispose();
        optimizer.dispose();
        expect(heap.bytesUsed).toBe(bytesUsed);
        for (const call of [
          () => optimizer.step(),
          () => optimizer.zeroGrad(),
          () => optimizer.stateDict(),
          () => optimizer.loadStateDict({}),
        ]) {
          refuses(call, DisposedError, name);
        }
      });

      test("the parameters are those of when it was made", () => {
        using linear = layer();
        const parameters = linear.parameters();
        using optimizer = make(parameters);
        parameters.length = 0;
        const before = values(linear.parameters());
        setGradients(linear.parameters(), 0);
        optimizer.step();
        linear.parameters().forEach(({ value }, i) => expect(value.data).not.toEqual(before[i]!.data));
      });
    });

    test("parameters that are none", () => {
      using linear = layer();
      using wide = new Linear(6, 3, { dtype });
      using other = new Linear(5, 3, { dtype: dtype === "f64" ? "f32" : "f64" });
      const [weight] = linear.parameters();
      const { value, grad } = weight!;
      const plain = { name: "plain", value: wave([3, 5], dtype), grad: wave([3, 5], dtype) };
      const calls = [
        ...Object.values(makers),
        (p: readonly Parameter[]) => clipGradNorm(p, 1),
        (p: readonly Parameter[]) => clipGradValue(p, 1),
      ];
      for (const call of calls) {
        for (const parameters of [null, undefined, 3, linear, weight]) {
          refuses(() => call(parameters as never), ValueError, "parameters", "array");
        }
        for (const parameter of [
          null,
          undefined,
          {},
          plain,
          { name: "a", value },
          { name: "a", value: plain.value, grad },
        ]) {
          refuses(() => call([weight!, parameter as never]), ValueError, "parameters[1]", "a parameter of a layer");
        }
        refuses(
          () => call([{ name: "a", value, grad: wide.parameters()[0]!.grad }]),
          ShapeError,
          "gradient of a",
          "[3, 6]",
          "[3, 5]",
        );
        refuses(() => call([{ name: "a", value, grad: other.parameters()[0]!.grad }]), ShapeError, "gradient of a");
      }
      for (const make of Object.values(makers)) refuses(() => make([]), ValueError, "parameters: got none");
      expect(clipGradNorm([], 1)).toBe(0);
    });

    describe("clipping", () => {
      test("clipGradNorm", () => {
        using linear = layer();
        const parameters = linear.parameters();
        const set = (): void => parameters.forEach(({ grad }, i) => grad.data.fill(i === 0 ? 1 : -7)); // 15 + 3 * 49 = 162
        const norm = Math.sqrt(162);
        set();
        expect(clipGradNorm(parameters, 100)).toBeCloseTo(norm, 5);
        expect(parameters[1]!.grad.data[0]).toBe(-7); // untouched
        expect(clipGradNorm(parameters, 1)).toBeCloseTo(norm, 5);
        const factor = 1 / (norm + 1e-6);
        parameters.forEach(({ grad }, i) => {
          for (const g of grad.data) expect(g).toBeCloseTo((i === 0 ? 1 : -7) * factor, dtype === "f64" ? 14 : 6);
        });
        expect(clipGradNorm(parameters, 1)).toBeCloseTo(1, 5);
        set();
        expect(clipGradNorm(parameters, 0)).toBeCloseTo(norm, 5);
        for (const { grad } of parameters) for (const g of grad.data) expect(Math.abs(g)).toBe(0);
        set();
        expect(clipGradNorm(parameters, Infinity)).toBeCloseTo(norm, 5);
        expect(parameters[1]!.grad.data[0]).toBe(-7);
        parameters[0]!.grad.data[3] = NaN;
        expect(clipGradNorm(parameters, 1)).toBeNaN(); // as PyTorch: the gradients are lost, and seen to be
        expect(parameters[1]!.grad.data[0]).toBeNaN();
      });

      test("clipGradValue", () => {
        using linear = new Linear(7, 1, { dtype, bias: false });
        const { grad } = linear.parameters()[0]!;
        const set = (): void => grad.data.set([-3, -0.5, -0, 0.5, 3, Infinity, NaN]);
        set();
        clipGradValue(linear.parameters(), 1);
        expect(Array.from(grad.data)).toEqual([-1, -0.5, -0, 0.5, 1, 1, NaN]);
        set();
        clipGradValue(linear.parameters(), 0);
        expect(Array.from(grad.data, Math.abs)).toEqual([0, 0, 0, 0, 0, 0, NaN]);
        set();
        clipGradValue(linear.parameters(), Infinity);
        expect(Array.from(grad.data)).toEqual([-3, -0.5, -0, 0.5, 3, Infinity, NaN]);
      });

      test("other norms", () => {
        using linear = layer();
        const parameters = linear.parameters();
        const set = (): void => parameters.forEach(({ grad }, i) => grad.data.fill(i === 0 ? 1 : -7));
        for (const [normType, norm] of [
          [1, 36],
          [2, Math.sqrt(162)],
          [Infinity, 7],
        ] as const) {
          set();
          expect(clipGradNorm(parameters, 1, { normType })).toBeCloseTo(norm, 5);
          expect(parameters[1]!.grad.data[0]).toBeCloseTo(-7 / (norm + 1e-6), dtype === "f64" ? 14 : 6);
          parameters[0]!.grad.data[3] = NaN;
          expect(clipGradNorm(parameters, 1, { normType })).toBeNaN();
          set();
          const before = parameters.map(({ grad }) => grad.data.slice());
          for (const wrong of [0, 3, "2", null, NaN]) {
            refuses(() => clipGradNorm(parameters, 1, { normType: wrong as number }), ValueError, "normType");
          }
          refuses(() => clipGradNorm(parameters, 1, { norm: 2 } as never), UnsupportedError, "norm", "normType");
          expect(parameters.map(({ grad }) => grad.data.slice())).toEqual(before);
        }
      });

      test("limits", () => {
        using linear = layer();
        for (const limit of [-1, NaN, "1", null, undefined, 1n]) {
          refuses(() => clipGradNorm(linear.parameters(), limit as number), ValueError, "maxNorm");
          refuses(() => clipGradValue(linear.parameters(), limit as number), ValueError, "value");
        }
      });
    });
  });
});

test.each([
  ["SGD", { momentum: -0.1 }, "momentum"],
  ["SGD", { dampening: -1 }, "dampening"],
  ["SGD", { nesterov: true }, "nesterov"],
  ["SGD", { nesterov: true, momentum: 0.9, dampening: 0.1 }, "nesterov"],
  ["SGD", { nesterov: 1, momentum: 0.9 }, "nesterov"],
  ["Adam", { betas: [1, 0.9] }, "betas[0]"],
  ["Adam", { betas: [0.9, -0.1] }, "betas[1]"],
  ["Adam", { betas: [0.9, "0.99"] }, "betas[1]"],
  ["Adam", { betas: [0.9] }, "betas"],
  ["Adam", { betas: 0.9 }, "betas"],
  ["Adam", { eps: -1e-8 }, "eps"],
  ["Adam", { amsgrad: "yes" }, "amsgrad"],
  ["AdamW", { maximize: 1 }, "maximize"],
  ["AdamW", { betas: [0.9, 1] }, "betas[1]"],
  ["Adagrad", { lrDecay: -1 }, "lrDecay"],
  ["Adagrad", { initialAccumulatorValue: -1 }, "initialAccumulatorValue"],
  ["Adagrad", { eps: -1 }, "eps"],
  ["RMSprop", { alpha: 1 }, "alpha"],
  ["RMSprop", { alpha: -0.1 }, "alpha"],
  ["RMSprop", { eps: NaN }, "eps"],
  ["RMSprop", { momentum: -1 }, "momentum"],
  ["RMSprop", { centered: "yes" }, "centered"],
  ...["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"].flatMap((name) =>
    [
      { lr: -1 },
      { lr: NaN },
      { lr: Infinity },
      { lr: "0.1" },
      { lr: null },
      { weightDecay: -1 },
      { weightDecay: null },
      { maximize: null },
    ].map((options) => [name, options, Object.keys(options)[0]!] as const),
  ),
] as const)("%s refuses %o", (name, options, argument) => {
  using linear = new Linear(2, 2);
  const heap = heapOf(linear);
  const { bytesUsed } = heap;
  refuses(() => makers[name]!(linear.parameters(), options), ValueError, argument);
  expect(heap.bytesUsed).toBe(bytesUsed);
});

describe("groups", () => {
  const linears = (): [Linear, Linear] => [new Linear(3, 2, { seed: 1 }), new Linear(2, 2, { seed: 2 })];

  test("each with its own options, the rest from the optimizer", () => {
    const [one, two] = linears();
    const options = { lr: 0.1, momentum: 0.5 };
    using optimizer = new SGD(
      [
        { params: one.parameters(), lr: 0.01, nesterov: true },
        { params: two.parameters(), momentum: undefined },
      ],
      options,
    );
    expect(optimizer.paramGroups.map(({ params, ...rest }) => [params.map(({ name }) => name), rest])).toEqual([
      [["weight", "bias"], { lr: 0.01, weightDecay: 0, maximize: false, momentum: 0.5, dampening: 0, nesterov: true }],
      [["weight", "bias"], { lr: 0.1, weightDecay: 0, maximize: false, momentum: 0.5, dampening: 0, nesterov: false }],
    ]);
    expect(optimizer.paramGroups[0]!.params[0]).toBe(one.parameters()[0]);
    expect(optimizer.lr).toBe(0.01);
    optimizer.lr = 0.3;
    expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.3, 0.3]);
    one.dispose();
    two.dispose();
  });

  test.each(Object.entries(makers))("%s: two groups do what two optimizers do", (_, make) => {
    const [together, apart] = [linears(), linears()];
    const settings = [{ lr: 0.05, weightDecay: 0.1 }, { maximize: true }] as const;
    using grouped = make([
      { params: together[0].parameters(), ...settings[0] },
      { params: together[1].parameters(), ...settings[1] },
    ]);
    const single = apart.map((layer, i) => make(layer.parameters(), settings[i]));
    for (let step = 0; step < 3; step++) {
      for (const pair of [together, apart]) pair.forEach((layer) => setGradients(layer.parameters(), step));
      grouped.step();
      for (const each of single) each.step();
    }
    together.forEach((layer, i) => expect(values(layer.parameters())).toEqual(values(apart[i]!.parameters())));
    // the state's index counts on through the groups
    const second = Object.entries(single[1]!.stateDict()).map(([key, value]) => {
      const [index, name] = key.split(".");
      return [`${Number(index) + 2}.${name}`, value] as const;
    });
    expect(grouped.stateDict()).toEqual({ ...single[0]!.stateDict(), ...Object.fromEntries(second) });
    for (const each of [...together, ...apart, ...single]) each.dispose();
  });

  test("a state for some groups only", () => {
    const [one, two] = linears();
    using optimizer = new SGD([{ params: one.parameters() }, { params: two.parameters(), momentum: 0.9 }]);
    setGradients([...one.parameters(), ...two.parameters()], 0);
    optimizer.step();
    const names = ["0.step", "1.step", "2.step", "2.momentum_buffer", "3.step", "3.momentum_buffer"];
    const state = optimizer.stateDict();
    expect(Object.keys(state)).toEqual(names);
    optimizer.loadStateDict({});
    optimizer.loadStateDict(state);
    expect(optimizer.stateDict()).toEqual(state);
    one.dispose();
    two.dispose();
  });

  test("only lr may be set, and is looked at before anything changes", () => {
    const [one, two] = linears();
    using optimizer = new Adam([{ params: one.parameters() }, { params: two.parameters() }]);
    const [group] = optimizer.paramGroups as unknown as [Record<string, unknown>];
    expect(() => (group.eps = 1)).toThrow(TypeError);
    expect(() => (group.params = [])).toThrow(TypeError);
    expect(() => (group.other = 1)).toThrow(TypeError);
    expect(() => ((group.betas as number[])[0] = 0)).toThrow(TypeError);
    expect(() => (group.params as unknown[]).pop()).toThrow(TypeError);
    const before = values([...one.parameters(), ...two.parameters()]);
    setGradients([...one.parameters(), ...two.parameters()], 0);
    for (const lr of [-1, NaN, "1", undefined]) {
      optimizer.paramGroups[1]!.lr = lr as number;
      refuses(() => optimizer.step(), ValueError, "paramGroups[1].lr");
    }
    expect(values([...one.parameters(), ...two.parameters()])).toEqual(before);
    expect(optimizer.stateDict()).toEqual({});
    one.dispose();
    two.dispose();
  });

  test("what is refused", () => {
    const [one, two] = linears();
    const heap = heapOf(one);
    const { bytesUsed } = heap;
    const params = one.parameters();
    for (const make of Object.values(makers)) {
      const call =
        (...groups: unknown[]) =>
        () =>
          make(groups as never);
      refuses(call({ params }, { params: two.parameters(), lr: -1 }), ValueError, "parameters[1].lr: got number -1");
      refuses(call({ params, learningRate: 1 }), UnsupportedError, "group", "learningRate");
      refuses(call({ params }, { params: [two.parameters()[0], params[1]] }), ValueError, "bias twice");
      refuses(call(...params, ...params), ValueError, "weight twice");
      refuses(call({ params }, ...two.parameters()), ValueError, "parameters[1]", "a group");
      refuses(call(...params, { params: two.parameters() }), ValueError, "parameters[2]", "a parameter of a layer");
      refuses(call({ params: one }), ValueError, "parameters[0].params: got Linear");
      refuses(call({ params: undefined }), ValueError, "parameters[0].params: got undefined");
      refuses(call({ params }, { params: [3] }), ValueError, "parameters[1].params[0]");
      refuses(call({ params: [] }, { params: [] }), ValueError, "parameters: got none");
    }
    refuses(() => new Adam([{ params, betas: [1, 0] }]), ValueError, "parameters[0].betas[0]");
    refuses(() => new SGD([{ params, nesterov: true }]), ValueError, "parameters[0].nesterov");
    two.dispose();
    refuses(() => new SGD([{ params }, { params: [] }, { params: two.parameters() }]), DisposedError);
    expect(heap.bytesUsed).toBeLessThanOrEqual(bytesUsed);
    one.dispose();
  });

  test("Adagrad starts from initialAccumulatorValue, and again after a fresh start", () => {
    using layer = new Linear(2, 1, { bias: false });
    using optimizer = new Adagrad(layer.parameters(), { initialAccumulatorValue: 0.25 });
    const [{ grad }] = layer.parameters() as [Parameter];
    for (let i = 0; i < 2; i++) {
      grad.data.set([1, 2]);
      optimizer.step();
      expect(optimizer.stateDict()["0.sum"]!.data).toEqual(Float64Array.of(1.25, 4.25));
      optimizer.loadStateDict({});
    }
  });
});

test("unknown options are refused by their names", () => {
  using linear = new Linear(2, 2);
  for (const [name, make] of Object.entries(makers)) {
    refuses(() => make(linear.parameters(), { learningRate: 1 }), UnsupportedError, name, "learningRate", "lr");
    refuses(() => make(linear.parameters(), { centred: true }), UnsupportedError, "centred");
    refuses(() => make(linear.parameters(), null as never), ValueError, name);
  }
});

/** Optimizers with state that decays, and the state that a step without a gradient flushes. */
const moments: readonly (readonly [name: string, options: object, flushed: readonly string[]])[] = [
  ["SGD", { momentum: 0.5 }, ["momentum_buffer"]],
  ["SGD", { momentum: 0.5, nesterov: true }, ["momentum_buffer"]],
  ["Adam", { betas: [0.5, 0.5] }, ["exp_avg", "exp_avg_sq"]],
  ["Adam", { betas: [0.5, 0.5], amsgrad: true }, ["exp_avg", "exp_avg_sq"]],
  ["AdamW", { betas: [0.5, 0.5], weightDecay: 0 }, ["exp_avg", "exp_avg_sq"]],
  ["RMSprop", { alpha: 0.5 }, ["square_avg"]],
  ["RMSprop", { alpha: 0.5, momentum: 0.5, centered: true }, ["square_avg", "grad_avg", "momentum_buffer"]],
  ["Adagrad", {}, ["sum"]],
];

describe.each(variants)("denormal moments, %s build", (variant) => {
  useVariant(variant);
  /** Sets all numbers of the state, and the gradients to 0. */
  const prepare = (optimizer: AnyOptimizer, parameter: Parameter, value: number): void => {
    optimizer.step();
    const dict = optimizer.stateDict();
    for (const [name, { data }] of Object.entries(dict)) if (!name.endsWith(".step")) data.fill(value);
    optimizer.loadStateDict(dict);
    parameter.grad.data.fill(0);
  };

  describe.each([
    ["f32", 2 ** -126],
    ["f64", 2 ** -1022],
  ] as const)("%s", (dtype, least) => {
    test.each(moments)("%s %o: moments below the least normal number become 0", (name, options, flushed) => {
      using layer = new Embedding(3, 5, { dtype, seed: 1 });
      const [parameter] = layer.parameters() as [Parameter];
      using optimizer = makers[name]!(layer.parameters(), options);
      const before = parameter.value.data.slice();
      for (const [value, expected] of [
        [least * 0.75, 0],
        [least, name === "Adagrad" ? least : 0],
        [least * 8, name === "Adagrad" ? least * 8 : least * 4],
      ] as const) {
        prepare(optimizer, parameter, value);
        optimizer.step();
        const state = optimizer.stateDict();
        for (const key of flushed) {
          expect([...new Set(state[`0.${key}`]!.data)], `${key} of ${value}`).toEqual([expected]);
        }
      }
      expect(parameter.value.data).toEqual(before);
    });

    test.each(moments)("%s %o: no slower with denormal moments", (name, options) => {
      const layers = [1, 2].map((seed) => new Embedding(1000, 64, { dtype, seed }));
      const pairs = layers.map((layer, i) => {
        const [parameter] = layer.parameters() as [Parameter];
        const optimizer = makers[name]!(layer.parameters(), options);
        prepare(optimizer, parameter, i === 0 ? 1 : least / 1024);
        return { optimizer, best: Infinity };
      });
      // The least of many, one after the other: without the flush it was 15 to 100 times more.
      for (let i = 0; i < 60; i++) {
        for (const pair of pairs) {
          const start = performance.now();
          pair.optimizer.step();
          pair.best = Math.min(pair.best, performance.now() - start);
        }
      }
      expect(pairs[1]!.best / pairs[0]!.best).toBeLessThan(2);
      pairs.forEach(({ optimizer }) => optimizer.dispose());
      layers.forEach((layer) => layer.dispose());
    });
  });

  test("with eps 0 squares stay: they are all that stands in the denominator", () => {
    using layer = new Embedding(2, 3, { dtype: "f32", seed: 1 });
    const [parameter] = layer.parameters() as [Parameter];
    const before = parameter.value.data.slice();
    for (const [name, options] of [
      ["Adam", { eps: 0 }],
      ["RMSprop", { eps: 0 }],
      ["Adagrad", { eps: 0 }],
    ] as const) {
      parameter.grad.data.fill(1);
      using optimizer = makers[name]!(layer.parameters(), { ...options, lr: 0 });
      prepare(optimizer, parameter, 2 ** -140);
      optimizer.step();
      optimizer.step();
      expect(parameter.value.data, name).toEqual(before); // not NaN by 0 / 0
    }
  });
});

test("Adam goes on from any number of steps at once", () => {
  using linear = new Linear(1, 1, { bias: false });
  using optimizer = new Adam(linear.parameters(), { betas: [0.9, 0.999] });
  const state = { "0.step": tensor(2 ** 53 - 2), "0.exp_avg": tensor([[0]]), "0.exp_avg_sq": tensor([[0]]) };
  optimizer.loadStateDict(state);
  const [{ value, grad }] = linear.parameters() as [Parameter];
  value.data[0] = 0;
  grad.data[0] = 1;
  optimizer.step(); // no bias is left to correct: 1e-3 * 0.1 / (sqrt(0.001) + 1e-8)
  expect(value.data[0]).toBeCloseTo((-1e-3 * 0.1) / (Math.sqrt(0.001) + 1e-8), 12);
});

test("parameters of two builds do not meet", { skip: variants.length < 2 }, () => {
  configure({ variant: "simd" });
  using one = new Linear(2, 2);
  configure({ variant: "relaxed" });
  using two = new Linear(2, 2);
  configure({ variant: "auto" });
  const both = [...one.parameters(), ...two.parameters()];
  for (const call of [
    ...Object.values(makers),
    (p: readonly Parameter[]) => clipGradNorm(p, 1),
    (p: readonly Parameter[]) => clipGradValue(p, 1),
  ]) {
    refuses(() => call(both), StateError, "weight", "relaxed build", "simd build");
  }
  const [{ name, value }] = one.parameters() as [Parameter];
  refuses(() => new SGD([{ name, value, grad: two.parameters()[0]!.grad }]), StateError, "relaxed");
});
