// AdditiveAttention and MultiheadAttention against PyTorch (tests/golden/attention.py), recorded and explicit, and what they keep
// between the steps of a decoder.
import { describe, expect, test } from "vitest";
import {
  AdditiveAttention,
  DisposedError,
  DtypeError,
  Linear,
  SGD,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  mse,
  parameter,
  tensor,
  valueAndGrad,
  weightedSum,
  type AttentionOptions,
  type Tensor,
} from "../../src/index.js";
import { currentCore } from "../../bindings/instantiate.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { type Numbers, golden, tensorOf, tensorsOf } from "../helpers/close.js";
import { compareEach, gradients, tolerances, type Expected, type NumbersOf } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, range, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly weights: NumbersOf;
  readonly inputs: NumbersOf;
  readonly forward: { readonly lengths?: number[]; readonly mask?: Numbers; readonly causal?: boolean };
  readonly gradients: NumbersOf;
  readonly expected: Expected;
}

const data = golden("attention") as {
  readonly additive: readonly (Case & { readonly sizes: [number, number, number]; readonly batchFirst: boolean })[];
};

/** Options of forward: masks as tensors of i32. */
const optionsOf = ({ forward }: Case): AttentionOptions => ({
  ...forward,
  mask: forward.mask && tensorOf(forward.mask, "i32"),
});

/** A loss whose gradients with respect to results are those given: the sum of their products, as a mean squared error. */
function seeded(results: Readonly<Record<string, Tensor>>, given: Readonly<Record<string, Tensor>>) {
  // 0.5 |y - (y0 - g)|^2 has the gradient g at y = y0
  return weightedSum(
    Object.entries(given).map(([name, g]) => {
      const y = results[name]!;
      const goal = { data: y.data.map((v, i) => v - g.data[i]!), shape: y.shape } as Tensor;
      return [mse(y, goal, { reduction: "sum" }), 0.5] as const;
    }),
  );
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const close = tolerances[dtype];

    describe("additive", () => {
      const make = ({
        sizes,
        batchFirst,
        weights,
      }: (typeof data.additive)[number]): AdditiveAttention<typeof dtype> => {
        const layer = new AdditiveAttention(...sizes, { batchFirst, dtype });
        expect(layer.parameters().map(({ name }) => name)).toEqual(Object.keys(weights));
        layer.loadStateDict(tensorsOf(weights, dtype));
        return layer;
      };
      const named = data.additive.map((each, i) => {
        const { sizes, batchFirst, forward, gradients } = each;
        const what = `${Object.keys(forward).join()} ${Object.keys(gradients).join(", ")}${batchFirst ? ", batch first" : ""}`;
        return [`${i} sizes ${sizes.join()} ${what}`, each] as const;
      });
      test.each(named)("as PyTorch, %s", (_, each) => {
        using layer = make(each);
        const { query, keys } = tensorsOf(each.inputs, dtype) as { query: Tensor; keys: Tensor };
        const own = tensorsOf(each.gradients, dtype);
        const results = layer.forward(query, keys, optionsOf(each));
        compareEach(results, each.expected.forward, close);
        compareEach(layer.backward(own), each.expected.backward, close);
        const explicit = gradients(layer.parameters());
        compareEach(explicit, each.expected.parameters, close);

        layer.zeroGrad();
        const recorded = valueAndGrad(() => seeded(layer.forward(query, keys, optionsOf(each)), own), [query, keys]);
        const [dQuery, dKeys] = recorded.gradients as [Tensor, Tensor];
        const loose = { rtol: close.rtol!, atol: 10 * close.atol! }; // the gradients are differences
        compareEach({ query: dQuery, keys: dKeys }, each.expected.backward, loose);
        compareEach(gradients(layer.parameters()), each.expected.parameters, loose);
        expect(layer.eval().forward(query, keys, optionsOf(each))).toEqual(results);
        expect(layer.forward(query, keys, optionsOf(each))).toEqual(results); // by the keys' projection of before
      });

      test("keys that do not take part may be anything; where none does, there are zeros", () => {
        using layer = new AdditiveAttention(2, 3, 4, { dtype, seed: 1 });
        const query = wave([3, 2], dtype);
        const keys = wave([5, 3, 3], dtype);
        const dOutput = wave([3, 3], dtype, 2);
        const dWeights = wave([3, 5], dtype, 3);
        const lengths = [5, 0, 2];
        const spoiled = { data: keys.data.slice(), shape: keys.shape };
        for (const t of range(0, 5)) {
          for (const n of range(0, 3)) {
            if (t >= lengths[n]!) spoiled.data.fill(n === 1 ? Infinity : NaN, (t * 3 + n) * 3, (t * 3 + n) * 3 + 3);
          }
        }
        const mask = tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0], [3, 5], "i32");
        const run = (keys: Tensor, options: object) => {
          layer.zeroGrad();
          const forward = layer.forward(query, keys, options);
          const backward = layer.backward({ output: dOutput, weights: dWeights });
          return { ...forward, ...backward, ...gradients(layer.parameters()), ofKeys: backward.keys };
        };
        const results = run(keys, { lengths });
        expect(run(spoiled, { lengths })).toEqual(results);
        expect(run(spoiled, { mask })).toEqual(results);
        const recorded = valueAndGrad(
          () => mse(layer.forward(query, spoiled, { mask }).output, wave([3, 3], dtype)),
          [query, spoiled],
        );
        expect([...recorded.gradients[1]!.data].every(Number.isFinite)).toBe(true);
        const row = (x: Tensor, n: number) => [...take(x, 0, [n]).data];
        expect(row(results.output, 1)).toEqual([0, 0, 0]);
        expect(row(results.weights, 1)).toEqual([0, 0, 0, 0, 0]);
        expect(row(results.query, 1).every((v) => v === 0)).toBe(true);
        for (const n of [0, 2]) expect(row(results.weights, n).reduce((a, v) => a + v, 0)).toBeCloseTo(1, 6);
        // A row alone has the same bits.
        const alone = layer.forward(take(query, 0, [2]), take(take(keys, 1, [2]), 0, [0, 1]));
        expect([...alone.output.data]).toEqual(row(results.output, 2));
        expect([...alone.weights.data]).toEqual(row(results.weights, 2).slice(0, 2));
      });

      test("a decoder's steps over the same keys: the gradients add up, as those of separate calls", () => {
        using layer = new AdditiveAttention(3, 3, 4, { dtype, seed: 2 });
        const keys = wave([6, 2, 3], dtype);
        const start = wave([2, 3], dtype, 1);
        const steps = (from: (step: number) => Tensor) => () => {
          let query = start;
          for (const step of range(0, 4)) query = layer.forward(query, from(step), { lengths: [6, 4] }).output;
          return mse(query, wave([2, 3], dtype, 5));
        };
        const shared = valueAndGrad(steps(() => keys), [start, keys]); // prettier-ignore
        const once = gradients(layer.parameters());
        layer.zeroGrad();
        const copies = range(0, 4).map(() => ({ data: keys.data.slice(), shape: keys.shape }));
        const apart = valueAndGrad(steps((step) => copies[step]!), [start, ...copies]); // prettier-ignore
        expect(apart.loss).toBe(shared.loss);
        const [dStart, ...dCopies] = apart.gradients;
        expect(shared.gradients[0]).toBeAllClose(dStart!, close);
        const sum = dCopies[0]!.data.map((_, i) => dCopies.reduce((a, { data }) => a + data[i]!, 0));
        expect(shared.gradients[1]).toBeAllClose({ data: sum, shape: keys.shape }, close);
        compareEach(gradients(layer.parameters()), once, close);
      });
    });
  });

  test("additive: keys or weights that change between calls are projected again", () => {
    using layer = new AdditiveAttention(2, 2, 3, { seed: 1 });
    using other = new AdditiveAttention(2, 2, 3, { seed: 1 });
    const query = wave([1, 2], "f64");
    const keys = wave([4, 1, 2], "f64");
    const check = () => expect(layer.eval().forward(query, keys)).toEqual(other.train().forward(query, keys));
    check();
    keys.data[3] = 9;
    check();
    for (const name of ["weight_key", "bias"]) {
      for (const each of [layer, other]) each.parameters().find((each) => each.name === name)!.value.data[1] = 2;
      check();
    }
    check();
    // Nothing of it is left, and a pass of training mode is not touched.
    const { output } = layer.train().forward(query, keys);
    const expected = other.forward(query, keys).output;
    layer.eval().forward(query, wave([5, 1, 2], "f64"));
    layer.forward(query, wave([2, 1, 2], "f64", 4));
    expect(layer.train().backward({ output })).toEqual(other.backward({ output: expected }));
    const heap = heapOf(layer);
    const before = heap.bytesUsed;
    for (const start of range(0, 5)) layer.eval().forward(query, wave([5, 1, 2], "f64", start));
    const during = heap.bytesUsed;
    layer.forward(query, wave([5, 1, 2], "f64", 7));
    expect(heap.bytesUsed).toBe(during);
    expect(during - before).toBeLessThan(2000);
    const empty = currentCore().heap.bytesUsed;
    {
      using short = new AdditiveAttention(2, 2, 3, { seed: 1 });
      short.eval().forward(query, keys);
      valueAndGrad(() => mse(short.forward(query, keys).output, wave([1, 2], "f64")));
      expect(() => valueAndGrad(() => (short.forward(query, keys), mse(query, wave([1, 3], "f64"))))).toThrow(
        ShapeError,
      );
    }
    expect(currentCore().heap.bytesUsed).toBe(empty);
  });

  test("additive: keys that change inside a recorded body, and keys that are a parameter", () => {
    using layer = new AdditiveAttention(2, 2, 3, { seed: 1 });
    const query = wave([1, 2], "f64");
    const keys = wave([4, 1, 2], "f64");
    const goal = wave([1, 2], "f64", 3);
    const body = () => {
      const first = layer.forward(query, keys).output;
      const kept = keys.data[0]!;
      keys.data[0] = 5;
      const second = layer.forward(query, keys).output;
      keys.data[0] = kept;
      return weightedSum([[mse(first, goal), 1], [mse(second, goal), 2]]); // prettier-ignore
    };
    const changed = { data: keys.data.slice(), shape: keys.shape };
    changed.data[0] = 5;
    const { loss } = mse(layer.forward(query, keys).output, goal);
    const other = mse(layer.forward(query, changed).output, goal).loss;
    expect(valueAndGrad(body).loss).toBe(loss + 2 * other);

    // Memory grows while live keys are read.
    const n = 2 ** 15;
    const large = wave([4, n, 2], "f64");
    const queries = wave([n, 2], "f64");
    const memory = parameter(large as Tensor<"f64">);
    const run = (keys: Tensor) => valueAndGrad(() => mse(layer.forward(queries, keys).output, queries), [keys]);
    expect(run(memory.value)).toEqual(run(large));
  });
});

test("additive: a pointer is learned", () => {
  // The key whose first number is 1 holds the answer in the others.
  using attention = new AdditiveAttention(1, 3, 8, { seed: 1 });
  using linear = new Linear(3, 2, { seed: 2 });
  using optimizer = new SGD([...attention.parameters(), ...linear.parameters()], { lr: 0.5, momentum: 0.9 });
  const [t, n] = [5, 8];
  const keys = wave([t, n, 3], "f64");
  const goal = new Float64Array(2 * n);
  for (const row of range(0, n)) {
    for (const step of range(0, t)) {
      const at = (step * n + row) * 3;
      keys.data[at] = Number(step === (row * 3) % t);
      if (keys.data[at] === 1) goal.set([keys.data[at + 1]!, keys.data[at + 2]!], 2 * row);
    }
  }
  const query = tensor(Array<number>(n).fill(1), [n, 1]);
  let loss = Infinity;
  for (let step = 0; step < 400; step++) {
    const body = () => mse(linear.forward(attention.forward(query, keys).output).output, { data: goal, shape: [n, 2] });
    ({ loss } = optimizer.minimize(body));
  }
  expect(loss).toBeLessThan(1e-3);
});

describe("errors", () => {
  test("additive", () => {
    refuses(() => new AdditiveAttention(0, 1, 1), ShapeError, "querySize");
    refuses(() => new AdditiveAttention(1, 1.5, 1), ShapeError, "keySize");
    refuses(() => new AdditiveAttention(1, 1, -1), ShapeError, "hiddenSize");
    refuses(() => new AdditiveAttention(1, 1, 1, { bias: true } as object), UnsupportedError, "bias", "batchFirst");
    refuses(() => new AdditiveAttention(1, 1, 1, { batchFirst: 1 } as object), ValueError, "batchFirst");
    const layer = new AdditiveAttention(2, 3, 4, { seed: 1 });
    const query = wave([2, 2], "f64");
    const keys = wave([5, 2, 3], "f64");
    const call =
      (q: unknown, k: unknown, o: object = {}) =>
      () =>
        layer.forward(q as Tensor, k as Tensor, o);
    refuses(call(wave([2, 3], "f64"), keys), ShapeError, "query", "[2, 3]", "[N, 2]");
    refuses(call(wave([2, 2], "f32"), keys), DtypeError, "query", "f32");
    refuses(call(undefined, keys), DtypeError, "query", "undefined");
    refuses(call(query, wave([5, 1, 3], "f64")), ShapeError, "keys", "[5, 1, 3]", "[T, 2, 3]");
    refuses(call(query, wave([2, 3], "f64")), ShapeError, "keys", "[2, 3]", "[T, 2, 3]");
    refuses(call(query, keys, { lengths: [6, 1] }), ValueError, "lengths[0]", "6", "0 to 5");
    refuses(call(query, keys, { lengths: [1] }), ShapeError, "lengths");
    refuses(call(query, keys, { mask: tensor([1, 1], [1, 2], "i32") }), ShapeError, "mask", "[1, 2]", "[2, 5]");
    refuses(call(query, keys, { mask: wave([2, 5], "f64") }), DtypeError, "mask", "f64", "i32");
    const two = tensor(Array<number>(10).fill(2), [2, 5], "i32");
    refuses(call(query, keys, { mask: two }), ValueError, "mask", "2", "0 or 1");
    refuses(call(query, keys, { mask: two, lengths: [1, 1] }), StateError, "mask", "one of the two");
    refuses(call(query, keys, { causal: true }), UnsupportedError, "causal");
    refuses(() => layer.backward({}), StateError, "AdditiveAttention.backward", "no forward pass");
    layer.forward(query, keys);
    refuses(() => layer.backward({ output: wave([2, 2], "f64") }), ShapeError, "output", "[2, 2]", "[2, 3]");
    refuses(() => layer.backward({ weights: wave([5, 2], "f64") }), ShapeError, "weights", "[5, 2]", "[2, 5]");
    const { query: dQuery, keys: dKeys } = layer.backward({}); // no gradient: zeros
    expect([...dQuery.data, ...dKeys.data].every((v) => v === 0)).toBe(true);
    layer.dispose();
    layer.dispose();
    refuses(call(query, keys), DisposedError, "AdditiveAttention");
  });
});
