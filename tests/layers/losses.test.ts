// What losses count (weight, sampleWeight, lengths) and what they give where nothing counts or numbers are not finite, against
// PyTorch (tests/golden/losses.py) and central differences; and that targets which change while a loss runs reach nothing.
import { createContext, runInContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import * as api from "../../src/index.js";
import {
  DtypeError,
  Linear,
  RNN,
  ShapeError,
  UnsupportedError,
  ValueError,
  bceWithLogits,
  crossEntropy,
  l1,
  mse,
  nll,
  smoothL1,
  tensor,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import { both, testBoth } from "../helpers/both.js";
import { type Numbers, type Texts, golden, numbersOf, tensorOf, tensorsOf } from "../helpers/close.js";
import { type NumbersOf, tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { range, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Kind = "crossEntropy" | "nll" | "mse" | "l1" | "smoothL1" | "bceWithLogits";
type Options = Readonly<Record<string, unknown>>;
interface LossCase {
  readonly kind: Kind;
  readonly options: Options & { readonly lengths?: readonly number[]; readonly batchFirst?: boolean };
  readonly tensors: NumbersOf;
  readonly prediction: Numbers;
  readonly target: Numbers;
  readonly integral: boolean;
  readonly expected: { readonly loss: Numbers; readonly gradient: Numbers };
}
interface Golden {
  readonly losses: readonly LossCase[];
  readonly specials: readonly (Omit<LossCase, "prediction" | "target" | "expected"> & {
    readonly prediction: Texts;
    readonly target: Texts;
    readonly expected: { readonly loss: Texts; readonly gradient: Texts };
  })[];
  readonly optimizers: {
    readonly start: Texts;
    readonly gradients: readonly Texts[];
    readonly traces: readonly {
      readonly kind: "SGD" | "Adam" | "AdamW" | "RMSprop" | "Adagrad";
      readonly options: Options;
      readonly values: readonly Texts[];
    }[];
  };
}

const data = golden("losses") as Golden;

/** The losses with their types made equal: the loss and the gradient. */
function run(kind: Kind, prediction: Tensor, target: Tensor, options: object): { loss: Tensor | number; d: Tensor } {
  const loss = api[kind] as unknown as (p: Tensor, t: Tensor, o: object) => Record<string, Tensor>;
  const [value, d] = Object.values(loss(prediction, target, options)) as [Tensor | number, Tensor];
  return { loss: value, d };
}
const total = (loss: number | Tensor): number =>
  typeof loss === "number" ? loss : Array.from(loss.data).reduce((sum, v) => sum + v, 0);

/** A copy with `value` in all places of steps past a row's end. */
function spoiled({ data, shape }: Tensor, lengths: readonly number[], batchFirst: boolean, value: number): Tensor {
  const copy = data.slice();
  const [t, n] = batchFirst ? [shape[1]!, shape[0]!] : [shape[0]!, shape[1]!];
  const inner = data.length / (t * n);
  for (const step of range(0, t)) {
    for (const row of range(0, n)) {
      const at = (batchFirst ? row * t + step : step * n + row) * inner;
      if (step >= lengths[row]!) copy.fill(value, at, at + inner);
    }
  }
  return { data: copy, shape };
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const close = tolerances[dtype];

    const cases = data.losses.map((each, i) => {
      const tensors = Object.entries(each.tensors).map(([name, { shape }]) => `${name} [${shape.join(", ")}]`);
      return [`${i} ${each.kind} ${JSON.stringify(each.options)} ${tensors.join(" ")}`, each] as const;
    });
    test.each(cases)("%s", (_, { kind, options, tensors, prediction, target, integral, expected }) => {
      const own = { ...options, ...tensorsOf(tensors, dtype) };
      let x = tensorOf(prediction, dtype);
      let t = tensorOf(target, integral ? "i32" : dtype);
      const { lengths, batchFirst = false } = options;
      if (lengths) {
        x = spoiled(x, lengths, batchFirst, NaN);
        t = spoiled(t, lengths, batchFirst, integral ? -214 : NaN);
      }
      const { loss, d } = run(kind, x, t, own);
      expect(loss).toBeAllClose(expected.loss, close);
      expect(d).toBeAllClose(expected.gradient, close);
      if (lengths) {
        expect(d).toEqual(spoiled(d, lengths, batchFirst, 0));
        for (const given of [Int32Array.from(lengths), tensor([...lengths], undefined, "i32")]) {
          expect(run(kind, x, t, { ...own, lengths: given })).toEqual({ loss, d });
        }
      }
    });

    const kinds = ["crossEntropy", "nll", "mse", "l1", "smoothL1", "bceWithLogits"] as const;
    test.each(kinds)("%s: a sampleWeight of 2 is two steps, one of 0 none, lengths are weights of 0 and 1", (kind) => {
      const classes = kind === "crossEntropy" || kind === "nll";
      const x = wave([4, 5], dtype);
      const targets = [1, 0, 4, 2];
      const t = classes ? tensor(targets, [4], "i32") : wave([4, 5], dtype, 9);
      const weight = classes ? wave([5], dtype, 3) : wave([5], dtype, 4);
      weight.data.forEach((v, i) => (weight.data[i] = Math.abs(v)));
      const pick = (rows: number[], { data, shape }: Tensor): Tensor => {
        const inner = data.length / shape[0]!;
        const picked = rows.flatMap((r) => [...data.subarray(r * inner, (r + 1) * inner)]);
        return tensor(picked, [rows.length, ...shape.slice(1)], data instanceof Int32Array ? "i32" : dtype);
      };
      const rows = [0, 1, 1, 3, 3, 3];
      const sampleWeight = tensor([1, 2, 0, 3], [4], dtype);
      for (const options of [{}, { weight }]) {
        const weighted = run(kind, x, t, { ...options, sampleWeight });
        const repeated = run(kind, pick(rows, x), pick(rows, t), options);
        expect(weighted.loss).toBeAllClose(total(repeated.loss), close);
        const sum = (d: Tensor, row: number) =>
          rows.reduce(
            (all, r, i) => (r === row ? all.map((v, j) => v + d.data[5 * i + j]!) : all),
            Array<number>(5).fill(0),
          );
        for (const row of [0, 1, 2, 3]) {
          const expected = { shape: [5], data: sum(repeated.d, row) };
          expect({ shape: [5], data: weighted.d.data.subarray(5 * row, 5 * row + 5) }).toBeAllClose(expected, close);
        }
        const masked = run(kind, x, t, { ...options, sampleWeight: tensor([1, 1, 0, 0], [4], dtype) });
        const only = run(kind, pick([0, 1], x), pick([0, 1], t), options);
        if (classes) expect(run(kind, x, t, { ...options, lengths: [2] })).toEqual(masked); // one sequence [T]
        expect(masked.loss).toBe(only.loss);
        expect(masked.d.data.subarray(0, 10)).toEqual(only.d.data);
      }
      const ones = tensor(Array(4).fill(1) as number[], [4], dtype);
      expect(run(kind, x, t, { sampleWeight: ones, weight })).toEqual(run(kind, x, t, { weight }));
    });

    test("a large batch, where memory grows, and one without numbers", () => {
      const [t, n, d] = [300, 40, 7];
      const x = wave([t, n, d], dtype);
      const y = wave([t, n, d], dtype, 5);
      const lengths = range(0, n).map((row) => (row * 37) % (t + 1));
      const weight = wave([t, 1, d], dtype, 8);
      weight.data.forEach((v, i) => (weight.data[i] = Math.abs(v)));
      const { loss, dPrediction } = mse(x, y, { lengths, weight });
      let sum = 0;
      let divisor = 0;
      for (const step of range(0, t)) {
        for (const row of range(0, n)) {
          for (let i = 0; step < lengths[row]! && i < d; i++) {
            const at = (step * n + row) * d + i;
            sum += weight.data[step * d + i]! * (x.data[at]! - y.data[at]!) ** 2;
            divisor += weight.data[step * d + i]!;
          }
        }
      }
      expect(loss).toBeAllClose(sum / divisor, close);
      expect(dPrediction).toEqual(spoiled(dPrediction, lengths, false, 0));
      const none = (...shape: number[]): Tensor => ({
        data: dtype === "f64" ? new Float64Array() : new Float32Array(),
        shape,
      });
      const started = performance.now();
      for (const shape of [
        [0, 3],
        [2 ** 40, 0],
        [3, 0, 2 ** 30],
        [2 ** 40, 2, 0],
      ]) {
        for (const batchFirst of [false, true]) {
          const rows = (batchFirst ? shape[0] : shape[1])!;
          const given = rows < 9 ? { lengths: Array<number>(rows).fill(0), batchFirst } : {};
          const options = { weight: tensor([[1]], [1, 1], dtype), sampleWeight: tensor([1], [1], dtype), ...given };
          expect(mse(none(...shape), none(...shape), options)).toEqual({ loss: NaN, dPrediction: none(...shape) });
        }
      }
      expect(performance.now() - started).toBeLessThan(patient(1000));
    });
  });

  describe("central differences", () => {
    const lengths = [3, 1, 0, 2];
    const sampleWeight = tensor([[0.5, 1, 2, 1]]);
    const positive = (shape: number[], start: number): Tensor => ({
      data: wave(shape, "f64", start).data.map((v) => Math.abs(v) + 0.1),
      shape,
    });
    test.each([
      ["crossEntropy", { weight: positive([5], 1), labelSmoothing: 0.1, ignoreIndex: 2 }],
      ["crossEntropy", {}],
      ["nll", { weight: positive([5], 1) }],
      ["mse", { weight: positive([3, 4, 1], 2) }],
      ["l1", { weight: positive([5], 2) }],
      ["smoothL1", { weight: positive([5], 2), beta: 0.3 }],
      ["bceWithLogits", { weight: positive([3, 4, 5], 2), posWeight: positive([5], 3) }],
    ] as [Kind, object][])("%s %o", (kind, options) => {
      const classes = kind === "crossEntropy" || kind === "nll";
      const x = wave([3, 4, 5], "f64");
      const y = classes
        ? tensor(
            range(0, 12).map((i) => (3 * i) % 5),
            [3, 4],
            "i32",
          )
        : positive([3, 4, 5], 4);
      for (const reduction of ["mean", "sum", "none"]) {
        for (const own of [{ lengths }, { sampleWeight }, { lengths, sampleWeight }]) {
          const call = () => run(kind, x, y, { ...options, ...own, reduction });
          const { d } = call();
          x.data.forEach((value, i) => {
            const h = 1e-6;
            const at = (v: number): number => ((x.data[i] = v), total(call().loss));
            const slope = (at(value + h) - at(value - h)) / (2 * h);
            x.data[i] = value;
            expect(Math.abs(slope - d.data[i]!), `${reduction} ${i}`).toBeLessThan(1e-8);
          });
        }
      }
    });
  });

  const specials = data.specials.map((each) => {
    const what = !each.integral ? "" : "weight" in each.tensors ? "weights of 0" : "all ignored";
    return [each.kind, JSON.stringify(each.options), what, each] as const;
  });
  test.each(specials)("%s %s %s", (kind, _, __, { options, tensors, prediction, target, integral, expected }) => {
    const x = tensorOf(numbersOf(prediction), "f64");
    const t = tensorOf(numbersOf(target), integral ? "i32" : "f64");
    const { loss, d } = run(kind, x, t, { ...options, ...tensorsOf(tensors, "f64") });
    expect(loss).toBeAllClose(numbersOf(expected.loss), tolerances.f64);
    expect(d).toBeAllClose(numbersOf(expected.gradient), tolerances.f64);
  });

  testBoth("nothing counts in any loss: NaN for the mean, 0 for the sum, %s", (dtype) => {
    const x = wave([2, 3, 4], dtype);
    const classes = tensor([0, 1, 2, 3, 0, 1], [2, 3], "i32");
    const zeros = { data: x.data.map(() => 0), shape: x.shape };
    for (const kind of ["crossEntropy", "nll", "mse", "l1", "smoothL1", "bceWithLogits"] as const) {
      const t = kind === "crossEntropy" || kind === "nll" ? classes : wave([2, 3, 4], dtype, 3);
      for (const options of [{ lengths: [0, 0, 0] }, { sampleWeight: tensor([[0]], [1, 1], dtype) }]) {
        expect(run(kind, x, t, options)).toEqual({ loss: NaN, d: zeros });
        expect(run(kind, x, t, { ...options, reduction: "sum" })).toEqual({ loss: 0, d: zeros });
        const { loss } = run(kind, x, t, { ...options, reduction: "none" });
        expect((loss as Tensor).data.every((v) => v === 0)).toBe(true);
      }
    }
  });

  test("l1 where a difference is NaN: its gradient is 0, the loss NaN", () => {
    for (const dtype of ["f64", "f32"] as const) {
      const { loss, dPrediction } = l1(tensor([NaN, 2], [2], dtype), tensor([0, 0], [2], dtype));
      expect(loss).toBe(NaN);
      expect([...dPrediction.data]).toEqual([0, 0.5]);
    }
  });

  test.each(data.optimizers.traces)("$kind $options: infinite gradients as PyTorch's", ({ kind, options, values }) => {
    using layer = new api.Embedding(1, 8, { seed: 1 });
    const [parameter] = layer.parameters() as [Parameter];
    parameter.value.data.set(numbersOf(data.optimizers.start).data);
    using optimizer = new (api[kind] as new (parameters: Parameter[], options: object) => api.Optimizer)([parameter], {
      lr: 0.1,
      ...options,
    });
    values.forEach((expected, step) => {
      parameter.grad.data.set(numbersOf(data.optimizers.gradients[step]!).data);
      optimizer.step();
      expect({ shape: [8], data: parameter.value.data }, `step ${step}`).toBeAllClose(
        numbersOf(expected),
        tolerances.f64,
      );
    });
  });

  testBoth("LayerNorm of a row whose variance overflows is NaN, %s", (dtype) => {
    using layer = new api.LayerNorm(4, { dtype });
    const large = dtype === "f64" ? 1e200 : 1e25;
    const x = tensor(
      [
        [1, 2, 3, 4],
        [large, -large, large, -large],
      ],
      [2, 4],
      dtype,
    );
    const { output } = layer.forward(x);
    expect([...output.data].map(Number.isNaN)).toEqual([false, false, false, false, true, true, true, true]);
    const dx = layer.backward({ output: wave([2, 4], dtype) }).x;
    expect([...dx.data].map(Number.isNaN)).toEqual([false, false, false, false, true, true, true, true]);
  });

  describe("targets that change reach nothing", () => {
    const bytes = (layer: { parameters(): Parameter[] }): number[] =>
      layer.parameters().flatMap(({ value }) => [...value.data]);
    /** What a layer computes, too: the core's own tables are part of it. */
    const canary = () => {
      const linear = new Linear(64, 64, { seed: 1 });
      const rnn = new RNN(3, 4, { seed: 2 }).eval();
      const results = () => [...bytes(linear), ...bytes(rnn), ...rnn.forward(wave([3, 2, 3], "f64")).output.data];
      const before = results();
      return {
        check: () => expect(results()).toEqual(before),
        [Symbol.dispose]: () => {
          linear.dispose();
          rnn.dispose();
        },
      };
    };
    const logits = wave([2, 3], "f64");
    const losses = [crossEntropy, nll] as readonly ((x: Tensor, t: Tensor, o?: object) => unknown)[];
    /** Refused with an error of this package, or right. */
    const attempt = (call: () => unknown): void => {
      try {
        call();
      } catch (error) {
        expect(
          [ShapeError, ValueError, DtypeError].some((kind) => error instanceof kind),
          String(error),
        ).toBe(true);
      }
    };

    test("a length that lies", () => {
      using layers = canary();
      for (const loss of losses) {
        for (let target = -20000; target < 60000; target += 7) {
          const indices = Int32Array.of(target, 0);
          let reads = 0;
          Object.defineProperty(indices, "length", { get: () => (reads++ ? 2 : 0) });
          attempt(() => loss(logits, { data: indices, shape: [2] }));
        }
      }
      layers.check();
    });

    test("a target of -214, iterators, subarrays and species of a subclass", () => {
      using layers = canary();
      class Hostile extends Int32Array {
        override [Symbol.iterator](): ArrayIterator<number> {
          return [0, 0][Symbol.iterator]();
        }
        override subarray(): Int32Array<ArrayBuffer> {
          return Int32Array.of(0, 0);
        }
        override slice(): Int32Array<ArrayBuffer> {
          return Int32Array.of(0, 0);
        }
        override every(): boolean {
          return true;
        }
        static get [Symbol.species]() {
          return Float64Array;
        }
      }
      for (const loss of losses) {
        for (const target of [-214, -1, 3, 2 ** 31 - 1, -(2 ** 31)]) {
          for (const Kind of [Int32Array, Hostile]) {
            refuses(() => loss(logits, { data: Kind.of(0, target), shape: [2] }), ValueError, `targets: got ${target}`);
          }
        }
      }
      layers.check();
    });

    test("getters that give something else at the second read, and dispose of layers", () => {
      using layers = canary();
      for (const loss of losses) {
        for (const bad of [-214, 7, 60000]) {
          for (const when of [1, 2, 3]) {
            let reads = 0;
            const good = Int32Array.of(0, 1);
            const targets = {
              get data() {
                return ++reads >= when ? Int32Array.of(bad, bad) : good;
              },
              get shape() {
                new Linear(40, 40).dispose();
                good[0] = bad;
                return [2];
              },
            };
            attempt(() => loss(logits, targets));
          }
          const weight = {
            get data() {
              targets.data[1] = bad;
              return Float64Array.of(1, 1, 1);
            },
            shape: [3],
          };
          const targets = tensor([0, 1], [2], "i32");
          attempt(() => loss(logits, targets, { weight }));
          let read = 0;
          const lengths = [2, 2];
          Object.defineProperty(lengths, 1, { get: () => ((targets.data[0] = bad), read++ ? 2 ** 30 : 1) });
          attempt(() => loss(wave([2, 2, 3], "f64"), tensor([0, 0, 1, bad], [2, 2], "i32"), { lengths }));
        }
      }
      // A live tensor whose layer is disposed of by the getter of a later argument.
      const gone = new Linear(3, 2);
      const live = gone.parameters()[0]!.value;
      const last = {
        get data() {
          gone.dispose();
          return Int32Array.of(0, 1);
        },
        shape: [2],
      };
      const expected = crossEntropy({ data: live.data.slice(), shape: [2, 3] }, tensor([0, 1], [2], "i32"));
      expect(crossEntropy(live, last)).toEqual(expected);
      layers.check();
    });

    test("a SharedArrayBuffer that another thread writes to while losses run", async () => {
      using layers = canary();
      const [rows, classes] = [64, 3];
      const shared = new SharedArrayBuffer(4 * rows + 4);
      const indices = new Int32Array(shared, 0, rows);
      const flag = new Int32Array(shared, 4 * rows, 1);
      const worker = new Worker(
        `const { workerData } = require("node:worker_threads");
         const [indices, flag] = workerData;
         Atomics.store(flag, 0, 1);
         for (let i = 0; Atomics.load(flag, 0) !== 2; i++) indices[i % ${rows}] = i % 3 ? (i * 7919) % 200000 - 100000 : 1;
         indices.fill(0);`,
        { eval: true, workerData: [indices, flag] },
      );
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      while (Atomics.load(flag, 0) !== 1) await new Promise((resolve) => setTimeout(resolve, 1));
      const x = wave([rows, classes], "f64");
      let refused = 0;
      for (let i = 0; i < 4000; i++) {
        for (const loss of losses) {
          try {
            loss(x, { data: indices, shape: [rows] });
          } catch (error) {
            expect(error).toBeInstanceOf(ValueError);
            refused++;
          }
        }
      }
      Atomics.store(flag, 0, 2);
      await ended;
      expect(refused).toBeGreaterThan(0);
      layers.check();
    });

    test("typed arrays of another realm are told by what they are", () => {
      const foreign = runInContext(
        "({ soft: Float64Array.of(0.5, 0.5, 0, 0, 0, 1), hard: Int32Array.of(0, 9) })",
        createContext(),
      ) as { soft: Float64Array; hard: Int32Array };
      for (const loss of losses) attempt(() => loss(logits, { data: foreign.hard, shape: [2] }));
      // Probabilities: not read as classes. Whether another realm's arrays are taken is `checkTensor`'s business.
      attempt(() => crossEntropy(logits, { data: foreign.soft, shape: [2, 3] }));
    });
  });
});

describe("what is refused", () => {
  const x = wave([3, 4, 2], "f64");
  const call = (options: object, kind: Kind = "mse") => {
    const classes = kind === "crossEntropy" || kind === "nll";
    const targets = classes ? tensor(Array<number>(12).fill(1), [3, 4], "i32") : wave([3, 4, 2], "f64", 3);
    return () => run(kind, x, targets, options);
  };

  test.each(["crossEntropy", "nll", "mse", "l1", "smoothL1", "bceWithLogits"] as const)("%s", (kind) => {
    refuses(call({ lengths: [1, 2, 3] }, kind), ShapeError, "lengths: got 3 numbers, expected 4");
    refuses(call({ lengths: [1, 2, 3, 4], batchFirst: true }, kind), ShapeError, "lengths: got 4 numbers, expected 3");
    refuses(call({ lengths: [1, 2, 3, 4] }, kind), ValueError, "lengths[3]: got 4, expected an integer from 0 to 3");
    refuses(call({ lengths: [1, 2, -1, 0] }, kind), ValueError, "lengths[2]: got -1");
    refuses(call({ lengths: [1, 2, 0.5, 0] }, kind), ValueError, "lengths[2]: got 0.5");
    refuses(call({ lengths: [1, 2, "1", 0] }, kind), DtypeError, "lengths[2]");
    refuses(call({ lengths: Int32Array.of(0, 1, 2, 99) }, kind), ValueError, "lengths[3]: got 99");
    refuses(call({ lengths: tensor([1, 1, 1, -9], [4], "i32") }, kind), ValueError, "lengths[3]: got -9");
    refuses(call({ lengths: tensor([1, 1], [2], "i32") }, kind), ShapeError, "lengths: got [2], expected [4]");
    refuses(call({ lengths: tensor([1, 1, 1, 1]) }, kind), DtypeError, "lengths: got f64, expected i32");
    for (const lengths of [null, 3, "3", {}]) refuses(call({ lengths }, kind), DtypeError, "lengths");
    refuses(call({ batchFirst: 1 }, kind), ValueError, "batchFirst");
    refuses(call({ sampleWeight: wave([4], "f64") }, kind), ShapeError, "sampleWeight: got [4]", "first axes of [3, 4");
    refuses(call({ sampleWeight: wave([3, 4, 2, 1], "f64") }, kind), ShapeError, "sampleWeight: got [3, 4, 2, 1]");
    refuses(call({ sampleWeight: wave([3, 4], "f32") }, kind), DtypeError, "sampleWeight: got f32, expected f64");
    for (const sampleWeight of [null, 1, [1, 1, 1]]) refuses(call({ sampleWeight }, kind), DtypeError, "sampleWeight");
    refuses(call({ weight: wave([5], "f64") }, kind), ShapeError, "weight: got [5]");
    refuses(call({ weight: wave([2], "f32") }, kind), DtypeError, "weight: got f32, expected f64");
    refuses(call({ mask: x }, kind), UnsupportedError, "mask");
  });

  test("lengths of what has no steps; targets within the lengths are checked, those past them not", () => {
    const one = { data: Float64Array.of(1), shape: [] };
    refuses(() => mse(one, one, { lengths: [1] }), ShapeError, "lengths");
    refuses(() => crossEntropy(wave([3], "f64"), tensor(1, [], "i32"), { lengths: [1] }), ShapeError, "lengths");
    const targets = tensor([0, 1, 9, 0], [2, 2], "i32");
    const scores = wave([2, 2, 3], "f64");
    refuses(() => crossEntropy(scores, targets, { lengths: [2, 1] }), ValueError, "targets: got 9 at position 2");
    refuses(() => nll(scores, targets, { lengths: [1, 1], batchFirst: true }), ValueError, "targets: got 9");
    expect(crossEntropy(scores, targets, { lengths: [1, 2] }).loss).toBeGreaterThan(0);
    expect(
      nll(scores, targets, {
        sampleWeight: tensor([
          [1, 1],
          [-0, 1],
        ]),
      }).loss,
    ).not.toBe(NaN);
    refuses(
      () =>
        nll(scores, targets, {
          sampleWeight: tensor([
            [1, 1],
            [NaN, 1],
          ]),
        }),
      ValueError,
      "targets: got 9",
    );
  });

  test("undefined is as if an option were not there", () => {
    const nones = { weight: undefined, sampleWeight: undefined, lengths: undefined, batchFirst: undefined };
    const y = wave([3, 4, 2], "f64", 3);
    for (const loss of [mse, l1, smoothL1, bceWithLogits]) {
      expect(loss(x, y, { ...nones, reduction: undefined })).toEqual(loss(x, y));
    }
  });
});

testBoth("shapes of weights repeat as NumPy's, %s", (dtype) => {
  const shapes = [
    [],
    [1],
    [5],
    [4, 1],
    [4, 5],
    [1, 5],
    [3, 1, 1],
    [3, 4, 1],
    [1, 4, 5],
    [3, 1, 5],
    [1, 1, 1],
    [3, 4, 5],
  ];
  const x = wave([3, 4, 5], dtype);
  const y = wave([3, 4, 5], dtype, 2);
  const { loss } = mse(x, y, { reduction: "none" });
  for (const shape of shapes) {
    const weight = wave(shape, dtype, 7);
    const axes = [...Array<number>(3 - shape.length).fill(1), ...shape];
    const at = (i: number): number => {
      const index = [Math.floor(i / 20), Math.floor(i / 5) % 4, i % 5].map((n, axis) => (axes[axis] === 1 ? 0 : n));
      return weight.data[(index[0]! * axes[1]! + index[1]!) * axes[2]! + index[2]!]!;
    };
    const expected = { shape: [3, 4, 5], data: Array.from(loss.data, (v, i) => at(i) * v) };
    expect(mse(x, y, { reduction: "none", weight }).loss, String(shape)).toBeAllClose(expected, tolerances[dtype]);
  }
});
