// Gradients compared with central differences: of all parameters, inputs and initial states. And gradCheck, which compares
// them: it must find wrong gradients.
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  DisposedError,
  Dropout,
  DtypeError,
  Embedding,
  LSTM,
  LayerNorm,
  Linear,
  Random,
  ShapeError,
  UnsupportedError,
  ValueError,
  bceWithLogits,
  configure,
  crossEntropy,
  gradCheck,
  l1,
  logSoftmax,
  mse,
  nll,
  smoothL1,
  tensor,
  type Checked,
  type GradCheckOptions,
  type Layer,
  type Tensor,
} from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import "../helpers/close.js";
import {
  CELL_KINDS,
  KINDS,
  bothPasses,
  withoutUndefined,
  loop,
  makeCell,
  makeRecurrent,
  mapTensors,
  normal,
  makeInputs,
  rowsOfInputs,
  type Options,
  type PassInputs,
  type Recurrent,
  type Results,
  type Steps,
} from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { swap, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

/** Numbers of the standard normal distribution. */
function random(shape: readonly number[], seed: number): Tensor {
  const source = new Random(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  return { data: Float64Array.from({ length: size }, () => source.normal()), shape };
}

function dot(a: Tensor, b: Tensor): number {
  expect(a.shape).toEqual(b.shape);
  return sumOf(a.data, (v, i) => v * b.data[i]!);
}

function sumOf(numbers: ArrayLike<number>, term: (v: number, i: number) => number): number {
  return Array.from(numbers, term).reduce((sum, v) => sum + v, 0);
}

const copy = ({ data, shape }: Tensor): Tensor => ({ data: data.slice(), shape });
const checked = (name: string, value: Tensor, grad: Tensor): Checked => ({ name, value, grad });

/** gradCheck finds no fault, and no gradient is all zeros. */
function agrees(loss: () => number, all: readonly Checked[]): void {
  for (const { name, grad } of all)
    expect(
      grad.data.some((g) => Math.abs(g) > 1e-4),
      name,
    ).toBe(true);
  const { ok, worst } = gradCheck(loss, all);
  expect(ok, JSON.stringify(worst)).toBe(true);
}

/** Larger parameters than those of a new layer, so that no gradient is small. */
function enliven(layer: Layer, scale = 1): void {
  layer.parameters().forEach(({ value }, i) => {
    value.data.set(random(value.shape, 10 * i).data.map((v) => scale * v));
  });
}

/** Differences are computed in one build; the gradients of the others are compared with its gradients. */
describe("recurrent layers", () => {
  const [T, N, D] = [4, 3, 2];
  const lengths = [4, 0, 2];
  /** [T,N]: starts and ends, a hole, a row of nothing. */
  const mask = tensor([0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0], [T, N], "i32");
  const stack = { numLayers: 2, bidirectional: true };

  interface Setup {
    readonly make: () => Recurrent;
    readonly steps: Steps;
    /** Whether the layer draws masks in training. */
    readonly masks?: boolean;
    /** Of the parameters. */
    readonly scale?: number;
    /** Problems as the layer has them: T and N, or T alone. */
    readonly shape?: (given: PassInputs) => PassInputs;
  }

  /** A layer in the build that is current, after a forward and a backward pass, and what there are gradients of. */
  function passed({ make, steps, scale = 0.5, shape = (given) => given }: Setup) {
    const layer = make();
    enliven(layer, scale);
    const problem = shape(makeInputs(layer, T, N, 1, normal));
    const pass = bothPasses(layer, problem, steps);
    const inputs = Object.entries(withoutUndefined({ x: problem.x, ...problem.initial }));
    const all = [
      ...layer.parameters().map(({ name, value, grad }) => checked(name, value, copy(grad))),
      ...inputs.map(([name, value]) => checked(name, value, pass[name as "x" | "h0" | "c0"]!)),
    ];
    return { layer, problem, all };
  }

  function check(setup: Setup): void {
    const { layer, problem, all } = passed(setup);
    const { x, initial, gradients } = problem;
    const state = { ...initial, ...setup.steps };
    const forward = (): Results => {
      if (!setup.masks) return layer.eval().forward(x, state);
      using same = setup.make(); // draws the masks that the layer's first pass drew
      same.loadStateDict(layer.stateDict());
      return same.forward(x, state);
    };
    const loss = (): number => {
      const { output, hn, cn } = forward();
      return dot(output, gradients.output) + dot(hn, gradients.hn) + (cn ? dot(cn, gradients.cn!) : 0);
    };
    agrees(loss, all);
    for (const variant of variants.slice(1)) {
      configure({ variant });
      const other = passed(setup);
      all.forEach(({ name, grad }, i) => {
        expect(other.all[i]!.grad, name).toBeAllClose(grad, { rtol: 1e-9, atol: 1e-11 });
      });
      other.layer.dispose();
    }
    layer.dispose();
  }

  beforeEach(() => configure({ variant: variants[0]! }));
  afterAll(() => configure({ variant: "auto" }));

  describe.each(KINDS)("%s", (kind) => {
    const hiddenSize = kind === "RNN relu" ? 5 : kind === "LSTM projected" ? 4 : 3; // of some units, relu lets one live
    const make = (options: Options) => () => makeRecurrent(kind, D, hiddenSize, { seed: 1, ...options });

    test.each<[string, Options, Steps]>([
      ["one layer", {}, {}],
      ["one layer, no bias", { bias: false }, {}],
      ["three layers", { numLayers: 3 }, {}],
      ["both directions, two layers, no bias", { ...stack, bias: false }, {}],
      ["lengths", {}, { lengths }],
      ["lengths, both directions, two layers", stack, { lengths }],
      ["mask", {}, { mask }],
      ["mask, both directions, two layers", stack, { mask }],
      ["backwards, two layers", { goBackwards: true, numLayers: 2 }, {}],
      ["backwards, lengths", { goBackwards: true }, { lengths }],
      ["backwards, mask, both directions, two layers", { goBackwards: true, ...stack }, { mask }],
      ["checkpoints", { checkpoint: 2 }, {}],
      ["checkpoints, lengths, both directions, two layers", { checkpoint: 1, ...stack }, { lengths }],
      ["checkpoints, mask, both directions, backwards", { checkpoint: 3, bidirectional: true, goBackwards: true }, { mask }],
    ])("%s", (_, options, steps) => check({ make: make(options), steps })); // prettier-ignore

    test.each<[string, Options, Steps]>([
      ["dropout", { dropout: 0.4, numLayers: 2 }, {}],
      ["recurrent dropout", { recurrentDropout: 0.4 }, {}],
      ["recurrent dropout, lengths, both directions", { recurrentDropout: 0.4, bidirectional: true }, { lengths }],
      ["both, mask, checkpoints, both directions, two layers", { dropout: 0.3, recurrentDropout: 0.3, checkpoint: 3, ...stack }, { mask }],
      ["both, lengths, checkpoints, backwards", { dropout: 0.3, recurrentDropout: 0.3, checkpoint: 2, goBackwards: true, numLayers: 2 }, { lengths }],
    ])("%s", (_, options, steps) => check({ make: make(options), steps, masks: true })); // prettier-ignore

    test("batch first, lengths", () => {
      const swapped = ({ x, initial, gradients }: PassInputs): PassInputs => ({
        x: swap(x),
        initial,
        gradients: { ...gradients, output: swap(gradients.output) },
      });
      check({ make: make({ batchFirst: true, bidirectional: true }), steps: { lengths }, shape: swapped });
    });

    test("unbatched, lengths, from the last states only", () => {
      const row = (given: PassInputs): PassInputs => {
        const { x, initial, gradients } = rowsOfInputs(given, [1]);
        const squeeze = (of: Tensor): Tensor => ({ data: of.data, shape: [of.shape[0]!, of.shape[2]!] });
        gradients.output.data.fill(0);
        return { x: squeeze(x), initial: mapTensors(initial, squeeze), gradients: mapTensors(gradients, squeeze) };
      };
      check({ make: make({ bidirectional: true }), steps: { lengths: [3] }, shape: row });
    });

    // smaller parameters: where gates have no bound, states explode
    test.each<Options>(
      kind.startsWith("RNN")
        ? [{ activation: "sigmoid" }, { activation: "hardSigmoid" }, { activation: "linear" }]
        : [
            { activation: "relu", recurrentActivation: "hardSigmoid" },
            { activation: "sigmoid", recurrentActivation: "tanh" },
            { activation: "linear", recurrentActivation: "sigmoid" },
            { activation: "hardSigmoid", recurrentActivation: "relu" },
            { activation: "tanh", recurrentActivation: "linear" },
          ],
    )("%j", (activations) => {
      check({ make: make({ ...activations, bidirectional: true }), steps: { lengths }, scale: 0.25 });
    });
  });

  test.each(CELL_KINDS)("%s cell, batched and not", (kind) => {
    for (const batch of [[N], []]) {
      using cell = makeCell(kind, D, 3);
      enliven(cell);
      const [x, h0, c0] = [random([3, ...batch, D], 1), random([...batch, 3], 2), random([...batch, 3], 3)];
      const [output, hn, cn] = [random([3, ...batch, 3], 4), random([...batch, 3], 5), random([...batch, 3], 6)];
      const lstm = kind === "LSTM";
      const problem = { x, initial: { h0, ...(lstm && { c0 }) }, gradients: { output, hn, ...(lstm && { cn }) } };
      const pass = loop(cell, problem);
      const inputs = Object.entries({ x, ...problem.initial });
      const all = [
        ...cell.parameters().map(({ name, value, grad }) => checked(name, value, copy(grad))),
        ...inputs.map(([name, value]) => checked(name, value, pass[name as "x" | "h0" | "c0"]!)),
      ];
      agrees(() => {
        const results = loop(cell, problem);
        return dot(results.output, output) + dot(results.hn, hn) + (lstm ? dot(results.cn!, cn) : 0);
      }, all);
    }
  });
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test.each([[[7]], [[3, 7]], [[2, 3, 7]]])("Linear, x %j", (shape) => {
    using layer = new Linear(7, 5);
    const x = random(shape, 1);
    const weights = random([...shape.slice(0, -1), 5], 2);
    layer.forward(x);
    const dx = layer.backward({ output: weights }).x;
    layer.eval();
    agrees(() => dot(layer.forward(x).output, weights), [...layer.parameters(), checked("x", x, dx)]);
  });

  test.each([undefined, 2])("Embedding, paddingIdx %s", (paddingIdx) => {
    using layer = new Embedding(4, 3, { paddingIdx });
    const x = tensor([1, 2, 1, 0, 3, 1], [2, 3], "i32");
    const weights = random([2, 3, 3], 2);
    if (paddingIdx !== undefined) weights.data.fill(0, 3, 6); // the padding has no gradient, whatever the loss
    layer.forward(x);
    layer.backward({ output: weights });
    agrees(() => dot(layer.forward(x).output, weights), layer.parameters());
  });

  test.each([
    [[7], [7], {}],
    [[3, 7], [7], {}],
    [[2, 3, 4], [3, 4], { eps: 0.1 }],
    [[2, 3, 5], [5], { elementwiseAffine: false }],
  ])("LayerNorm, x %j over %j %j", (shape, normalized, options) => {
    using layer = new LayerNorm(normalized, options);
    enliven(layer);
    const x = random(shape, 1);
    const weights = random(shape, 2);
    layer.forward(x);
    const dx = layer.backward({ output: weights }).x;
    layer.eval();
    agrees(() => dot(layer.forward(x).output, weights), [...layer.parameters(), checked("x", x, dx)]);
  });

  test.each([0, 0.3])("Dropout %f", (p) => {
    using layer = new Dropout(p, { seed: 1 });
    const [x, weights] = [random([5, 7], 1), random([5, 7], 2)];
    const { state } = layer.random;
    const forward = () => {
      layer.random.state = state; // the same mask every time
      return layer.forward(x);
    };
    forward();
    const dx = layer.backward({ output: weights }).x;
    agrees(() => dot(forward().output, weights), [checked("x", x, dx)]);
  });

  describe("losses", () => {
    const total = (loss: number | Tensor): number => (typeof loss === "number" ? loss : sumOf(loss.data, (v) => v));

    describe.each(["mean", "sum", "none"] as const)("%s", (reduction) => {
      test.each([
        [[5], []],
        [[4, 5], [4]],
        [
          [2, 3, 5],
          [2, 3],
        ],
      ])("crossEntropy, logits %j", (shape, outer) => {
        const logits = random(shape, 1);
        logits.data.forEach((v, i) => (logits.data[i] = 3 * v));
        const size = shape.reduce((product, n) => product * n, 1) / 5;
        const targets = tensor(
          Array.from({ length: size }, (_, i) => (i * 3 + 1) % 5),
          outer,
          "i32",
        );
        for (const ignoreIndex of [-100, 4]) {
          const call = () => crossEntropy(logits, targets, { reduction, ignoreIndex });
          agrees(() => total(call().loss), [checked("logits", logits, call().dLogits)]);
        }
      });

      test.each([false, true])("crossEntropy with weights, label smoothing; probabilities %s", (probabilities) => {
        const logits = random([2, 3, 5], 1);
        const weight = { data: random([5], 2).data.map(Math.abs), shape: [5] };
        const shares = { data: random([2, 3, 5], 3).data.map(Math.abs), shape: [2, 3, 5] };
        const targets = probabilities ? shares : tensor([0, 4, -100, 2, 2, 1], [2, 3], "i32");
        for (const labelSmoothing of [0, 0.2]) {
          const call = () => crossEntropy(logits, targets, { reduction, weight, labelSmoothing });
          agrees(() => total(call().loss), [checked("logits", logits, call().dLogits)]);
        }
      });

      test("nll, with and without weights", () => {
        const x = logSoftmax(random([4, 5], 1));
        const targets = tensor([0, 4, -1, 2], [4], "i32");
        for (const weight of [undefined, tensor([0.5, 1, 2, 3, 0.25])]) {
          const call = () => nll(x, targets, { reduction, weight, ignoreIndex: -1 });
          agrees(() => total(call().loss), [checked("logProbabilities", x, call().dLogProbabilities)]);
        }
      });

      const regressions = { mse, l1, smoothL1, "smoothL1 0.5": smoothL1, "smoothL1 0": smoothL1 };
      test.each(
        Object.entries(regressions).flatMap(([name, f]) =>
          [[], [5], [2, 3, 4]].map((shape) => [name, shape, f] as const),
        ),
      )("%s, %j", (name, shape, loss) => {
        const [prediction, target] = [random(shape, 1), random(shape, 2)];
        const beta = name.split(" ")[1];
        const options = beta === undefined ? { reduction } : { reduction, beta: Number(beta) };
        const call = () => loss(prediction, target, options);
        agrees(() => total(call().loss), [checked("prediction", prediction, call().dPrediction)]);
      });

      test("bceWithLogits, with and without weights", () => {
        const logits = random([4, 3], 1);
        const targets = { data: random([4, 3], 2).data.map(Math.abs), shape: [4, 3] };
        for (const weights of [{}, { weight: tensor([[1], [2], [0.5], [3]]) }, { posWeight: tensor([0.5, 1, 4]) }]) {
          const call = () => bceWithLogits(logits, targets, { reduction, ...weights });
          agrees(() => total(call().loss), [checked("logits", logits, call().dLogits)]);
        }
      });
    });
  });

  test("a whole model: Embedding, LSTM, Linear, crossEntropy", () => {
    using embedding = new Embedding(6, 3, { seed: 1 });
    using lstm = new LSTM(3, 5, { numLayers: 2, seed: 2 });
    using linear = new Linear(5, 6, { seed: 3 });
    for (const layer of [embedding, lstm, linear]) enliven(layer);
    const x = tensor([0, 3, 5, 1, 2, 2, 4, 0], [4, 2], "i32");
    const y = tensor([3, 5, 1, 2, 2, 4, 0, 1], [4, 2], "i32");
    const forward = () => crossEntropy(linear.forward(lstm.forward(embedding.forward(x).output).output).output, y);
    const { dLogits } = forward();
    embedding.backward({ output: lstm.backward({ output: linear.backward({ output: dLogits }).x }).x });
    for (const layer of [embedding, lstm, linear]) layer.eval();
    agrees(() => forward().loss, [...embedding.parameters(), ...lstm.parameters(), ...linear.parameters()]);
  });
});

describe("gradCheck", () => {
  // loss = sum of a^2 b
  const problem = () => {
    const [a, b] = [random([3], 1), random([3], 2)];
    const da = { data: a.data.map((v, i) => 2 * v * b.data[i]!), shape: [3] };
    const db = { data: a.data.map((v) => v * v), shape: [3] };
    const loss = (): number => sumOf(a.data, (v, i) => v * v * b.data[i]!);
    return { loss, a, b, da, db, all: [checked("a", a, da), checked("b", b, db)] };
  };

  test.each([
    ["a", 0, 1e-4],
    ["a", 2, -1e-4],
    ["b", 1, 1e-5],
    ["b", 0, NaN],
    ["b", 2, Infinity],
  ] as const)("finds a wrong gradient: %s[%i] off by %f", (name, index, error) => {
    const { loss, all } = problem();
    expect(gradCheck(loss, all).ok).toBe(true);
    const { grad } = all.find((each) => each.name === name)!;
    const right = grad.data[index]!;
    const wrong = right + error;
    grad.data[index] = wrong;
    const { ok, worst } = gradCheck(loss, all);
    expect(ok).toBe(false);
    expect(worst).toMatchObject({ name, index, analytic: wrong });
    expect(worst.numeric).toBeCloseTo(right, 8);
  });

  test("reports the worst of several faults", () => {
    const { loss, all, da, db } = problem();
    da.data[1]! *= 1 + 1e-3;
    db.data[2]! *= 1 + 1e-2;
    da.data[2]! *= 1 + 1e-4;
    expect(gradCheck(loss, all).worst).toMatchObject({ name: "b", index: 2 });
  });

  test("a gradient of zeros is a fault where the true one is not zero", () => {
    const { loss, a } = problem();
    expect(gradCheck(loss, [checked("a", a, tensor([0, 0, 0]))]).ok).toBe(false);
  });

  test("tolerance and eps", () => {
    const { loss, all, da } = problem();
    da.data[0]! *= 1 + 1e-4;
    expect(gradCheck(loss, all).ok).toBe(false);
    expect(gradCheck(loss, all, { tolerance: 1e-3 }).ok).toBe(true);
    expect(gradCheck(loss, all, { tolerance: 1e-5 }).ok).toBe(false);
    const cube = tensor([1]); // (v + e)^3 - (v - e)^3 = 2 e (3 v^2 + e^2): half an eps of 0.1 is off by 0.01
    const call = (eps: number) => gradCheck(() => cube.data[0]! ** 3, [checked("v", cube, tensor([3]))], { eps });
    expect(call(0.1).worst.numeric).toBeCloseTo(3.01, 10);
    expect(call(1e-5).ok).toBe(true);
  });

  test("restores values and gradients, also where the loss throws or adds to them", () => {
    const { loss, all, a, b, da, db } = problem();
    const before = structuredClone([a, b, da, db]);
    gradCheck(() => (da.data[0]!++, loss()), all);
    expect([a, b, da, db]).toEqual(before);
    let calls = 0;
    const failing = (): number => {
      if (++calls === 3) throw new Error("no loss");
      return loss();
    };
    expect(() => gradCheck(failing, all)).toThrow("no loss");
    expect([a, b, da, db]).toEqual(before);
  });

  test("a loss that changes the array of parameters changes nothing of the check", () => {
    const { loss, all } = problem();
    const expected = gradCheck(loss, all);
    for (const change of [
      (list: Checked[]) => void list.push(list[0]!),
      (list: Checked[]) => void list.pop(),
      (list: Checked[]) => void (list.length = 0),
      (list: Checked[]) => void list.fill(undefined as unknown as Checked),
    ]) {
      const list = [...all];
      expect(gradCheck(() => (change(list), loss()), list)).toEqual(expected);
    }
  });

  test("a loss that is no finite number is refused; values and gradients stay unchanged", () => {
    const { all, a, b, da, db } = problem();
    const before = structuredClone([a, b, da, db]);
    for (const loss of ["1", undefined, null, 1n, NaN, Infinity, [1], {}, Symbol("1"), Promise.resolve(1)]) {
      const call = () => gradCheck((() => loss) as () => number, all);
      refuses(call, ValueError, "loss: got a function that returns", "one that returns a finite number");
    }
    expect([a, b, da, db]).toEqual(before);
  });

  test("a loss that disposes of the layer, or swaps arrays, is a typed error", () => {
    const layer = new Linear(1, 1, { seed: 1 });
    const parameters = layer.parameters();
    refuses(() => gradCheck(() => (layer.dispose(), 1), parameters), DisposedError);
    const value = { data: new Float64Array(2), shape: [2] };
    const grad = tensor([0, 0]);
    const swap = () => ((value.data = new Float64Array(1)), 1);
    refuses(() => gradCheck(swap, [{ name: "v", value, grad }]), ShapeError, "v.value: got 1 numbers");
  });

  test("a list of parameters with a length and nothing in it is refused at once", () => {
    const list = Object.assign([], { length: 2 ** 32 - 1 }) as Checked[];
    const start = performance.now();
    refuses(() => gradCheck(() => 1, list), ValueError, "parameters: got an array of length number 4294967295");
    refuses(
      () => gradCheck(() => 1, Object.assign([], { length: 3 })),
      DtypeError,
      "parameters[0].value: got undefined",
    );
    expect(performance.now() - start).toBeLessThan(patient(500));
  });

  test("refuses", () => {
    const { loss, all, a } = problem();
    const call = (f: unknown, p: unknown, o?: unknown) => () =>
      gradCheck(f as () => number, p as Checked[], o as GradCheckOptions);
    using single = new Linear(2, 2, { dtype: "f32" });
    refuses(call(loss, single.parameters()), DtypeError, "weight.value: got f32, expected f64");
    refuses(call(loss, [checked("a", a, wave([3], "f32"))]), DtypeError, "a.grad: got f32, expected f64");
    refuses(call(loss, [checked("a", a, tensor([1, 2]))]), ShapeError, "a.grad: got [2], expected [3]");
    refuses(call(loss, [{ name: "a", value: a }]), DtypeError, "a.grad: got undefined");
    refuses(call(loss, [null]), DtypeError);
    refuses(call(loss, []), ValueError, "parameters");
    refuses(call(loss, undefined), ValueError, "parameters");
    refuses(call(3, all), ValueError, "loss");
    for (const eps of [0, -1, NaN, Infinity, "1e-5"]) refuses(call(loss, all, { eps }), ValueError, "eps");
    for (const tolerance of [-1, NaN, "0"]) refuses(call(loss, all, { tolerance }), ValueError, "tolerance");
    refuses(call(loss, all, { rtol: 1 }), UnsupportedError, "rtol");
    refuses(call(loss, all, null), ValueError);
  });
});
