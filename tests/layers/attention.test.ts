// AdditiveAttention and MultiheadAttention against PyTorch (tests/golden/attention.py), recorded and explicit, and what they keep
// between the steps of a decoder.
import { describe, expect, test } from "vitest";
import {
  AdditiveAttention,
  DisposedError,
  DtypeError,
  Linear,
  MultiheadAttention,
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
import { centralDifferences } from "../helpers/gradient.js";
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
  readonly multihead: readonly (Case & {
    readonly embedDim: number;
    readonly numHeads: number;
    readonly options: { readonly bias: boolean; readonly batchFirst: boolean };
  })[];
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

    describe("multihead", () => {
      const named = data.multihead.map((each, i) => {
        const { embedDim, numHeads, options, inputs, forward } = each;
        const shapes = Object.values(inputs).map(({ shape }) => `[${shape.join()}]`);
        const what = `${Object.keys(forward).join()} ${options.bias ? "" : "no bias"}${options.batchFirst ? " batch first" : ""}`;
        return [`${i} ${embedDim} in ${numHeads} heads, ${shapes.join()} ${what}`, each] as const;
      });
      test.each(named)("as PyTorch, %s", (_, each) => {
        using layer = new MultiheadAttention(each.embedDim, each.numHeads, { ...each.options, dtype });
        expect(layer.parameters().map(({ name }) => name)).toEqual(Object.keys(each.weights));
        layer.loadStateDict(tensorsOf(each.weights, dtype));
        const { query, key, value } = tensorsOf(each.inputs, dtype) as Record<string, Tensor>;
        const { mask, ...others } = each.forward;
        // PyTorch's mask of one sequence has no axis of rows.
        const shape = query!.shape.length === 2 ? mask && [mask.shape[1]!] : mask?.shape;
        const options = { ...others, mask: mask && tensorOf({ data: mask.data, shape: shape! }, "i32") };
        const own = tensorsOf(each.gradients, dtype);
        const loose = { rtol: close.rtol!, atol: 10 * close.atol! }; // sums over heads and steps
        const results = layer.forward(query!, key, value, options);
        compareEach(results, each.expected.forward, close);
        compareEach(layer.backward(own), each.expected.backward, loose);
        compareEach(gradients(layer.parameters()), each.expected.parameters, loose);
        layer.zeroGrad();
        const inputs = [query!, key, value].filter((input) => input !== undefined);
        const recorded = valueAndGrad(() => seeded(layer.forward(query!, key, value, options), own), inputs);
        const found = Object.fromEntries(Object.keys(each.inputs).map((name, i) => [name, recorded.gradients[i]!]));
        const looser = { rtol: 2 * close.rtol!, atol: 30 * close.atol! }; // what `seeded` loses
        compareEach(found, each.expected.backward, looser);
        compareEach(gradients(layer.parameters()), each.expected.parameters, looser);
        expect(layer.eval().forward(query!, key, value, options)).toEqual(results);
      });

      test("keys that do not take part may be anything; where none does, the output is the bias", () => {
        for (const batchFirst of [false, true]) {
          using layer = new MultiheadAttention(4, 2, { dtype, seed: 1, batchFirst });
          const bias = wave([4], dtype, 7);
          layer.parameters()[3]!.value.data.set(bias.data);
          const query = wave(batchFirst ? [3, 2, 4] : [2, 3, 4], dtype);
          const keys = wave(batchFirst ? [3, 5, 4] : [5, 3, 4], dtype, 1);
          const values = wave(keys.shape, dtype, 2);
          const lengths = [5, 0, 2];
          const spoil = ({ data, shape }: Tensor): Tensor => {
            const copy = data.slice();
            for (const t of range(0, 5)) {
              for (const n of range(0, 3)) {
                const at = 4 * (batchFirst ? n * 5 + t : t * 3 + n);
                if (t >= lengths[n]!) copy.fill(t === 3 ? Infinity : NaN, at, at + 4);
              }
            }
            return { data: copy, shape };
          };
          const run = (key: Tensor, value: Tensor) => {
            layer.zeroGrad();
            const forward = layer.forward(query, key, value, { lengths });
            const backward = layer.backward({
              output: wave(query.shape, dtype, 3),
              weights: wave([3, 2, 5], dtype, 4),
            });
            return { ...forward, ...backward, ...gradients(layer.parameters()) };
          };
          const results = run(keys, values);
          expect(run(spoil(keys), spoil(values))).toEqual(results);
          expect(take(results.weights, 0, [1]).data.every((v) => v === 0)).toBe(true);
          const outputs = take(results.output, batchFirst ? 0 : 1, [1]).data;
          expect([...outputs]).toEqual([...bias.data, ...bias.data]);
          expect(Object.values(results).every((x) => (x as Tensor).data.every(Number.isFinite))).toBe(true);
        }
      });

      test("causal: each query has the bits of a call with the keys up to its own; a row alone those of the batch", () => {
        using layer = new MultiheadAttention(6, 3, { dtype, seed: 1 });
        layer.eval();
        const x = wave([7, 3, 6], dtype);
        const lengths = [7, 3, 5];
        const all = layer.forward(x, undefined, undefined, { causal: true });
        for (const i of range(0, 7)) {
          const { output, weights } = layer.forward(take(x, 0, [i]), take(x, 0, range(0, i + 1)));
          expect(output).toEqual(take(all.output, 0, [i]));
          expect(weights).toEqual(take(take(all.weights, 1, [i]), 2, range(0, i + 1)));
        }
        for (const causal of [false, true]) {
          const batch = layer.forward(x, undefined, undefined, { lengths, causal });
          lengths.forEach((length, row) => {
            const own = take(take(x, 1, [row]), 0, range(0, length));
            const alone = layer.forward(own, undefined, undefined, { causal });
            expect(alone.output).toEqual(take(take(batch.output, 1, [row]), 0, range(0, length)));
            const flat = { data: own.data, shape: [length, 6] }; // one sequence
            const { output } = layer.forward(flat, undefined, undefined, { causal, lengths: [length] });
            expect(output.data).toEqual(alone.output.data);
          });
        }
      });

      test("a causal mask and one of keys together", () => {
        using layer = new MultiheadAttention(4, 2, { dtype, seed: 1 });
        const x = wave([4, 2, 4], dtype);
        const mask = tensor([0, 1, 1, 0, 1, 1, 1, 1], [2, 4], "i32"); // query 0 of row 0 takes nothing
        const { weights } = layer.forward(x, undefined, undefined, { mask, causal: true });
        weights.data.forEach((weight, i) => {
          const [row, query, key] = [Math.floor(i / 16), Math.floor(i / 4) % 4, i % 4];
          expect(weight !== 0, `${i}`).toBe(key <= query && mask.data[4 * row + key] === 1);
        });
      });

      test("dropout drops weights in training alone; the same seed, the same masks", () => {
        const make = () => new MultiheadAttention(4, 2, { dtype, seed: 3, dropout: 0.5 });
        using layer = make();
        using other = make();
        const x = wave([6, 2, 4], dtype);
        const first = layer.forward(x);
        const zeros = first.weights.data.filter((v) => v === 0).length;
        expect(zeros).toBeGreaterThan(5); // both heads dropped it
        expect(zeros).toBeLessThan(40);
        const second = layer.forward(x);
        expect(second).not.toEqual(first);
        expect([other.forward(x), other.forward(x)]).toEqual([first, second]);
        expect(layer.backward({ output: x })).toEqual(other.backward({ output: x }));
        const { weights } = layer.eval().forward(x);
        expect(weights.data.every((v) => v > 0)).toBe(true);
        using plain = new MultiheadAttention(4, 2, { dtype, seed: 3 });
        expect(plain.forward(x).weights).toEqual(weights);
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

test("a batch without rows", () => {
  using heads = new MultiheadAttention(4, 2);
  using additive = new AdditiveAttention(2, 3, 4);
  const none = (...shape: number[]): Tensor => ({ data: new Float64Array(), shape });
  const options = { lengths: [] };
  expect(heads.forward(none(3, 0, 4), none(2, 0, 4), undefined, options)).toEqual({
    output: none(3, 0, 4),
    weights: none(0, 3, 2),
  });
  expect(heads.backward({ output: none(3, 0, 4) })).toEqual({ query: none(3, 0, 4), key: none(2, 0, 4) });
  expect(additive.forward(none(0, 2), none(5, 0, 3), options)).toEqual({ output: none(0, 3), weights: none(0, 5) });
  expect(additive.backward({ output: none(0, 3) })).toEqual({ query: none(0, 2), keys: none(5, 0, 3) });
});

test("multihead: initial weights as PyTorch's", () => {
  using layer = new MultiheadAttention(48, 4, { seed: 1 });
  const [inWeight, inBias, outWeight, outBias] = layer.parameters().map(({ value }) => value.data);
  const most = (data: ArrayLike<number>) => Array.from(data).reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  const bounds = [Math.sqrt(6 / (4 * 48)), 1 / Math.sqrt(48)];
  [inWeight!, outWeight!].forEach((data, i) => {
    expect(most(data)).toBeLessThan(bounds[i]!);
    expect(most(data)).toBeGreaterThan(0.99 * bounds[i]!);
  });
  for (const bias of [inBias!, outBias!]) expect(most(bias)).toBe(0);
});

test("additive: initial weights as those of three nn.Linear", () => {
  using layer = new AdditiveAttention(100, 25, 400, { seed: 1 });
  layer.parameters().forEach(({ value, name }, i) => {
    const bound = 1 / Math.sqrt([100, 25, 25, 400][i]!);
    const most = Array.from(value.data).reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    expect(most, name).toBeLessThan(bound);
    expect(most, name).toBeGreaterThan(0.98 * bound);
  });
});

describe("central differences", () => {
  const query = wave([3, 2, 4], "f64");
  const keys = wave([5, 2, 4], "f64", 1);
  const goal = wave([3, 2, 4], "f64", 2);
  const seen = wave([2, 3, 5], "f64", 3);
  const mask = tensor([0, 1, 1, 0, 1, 1, 1, 0, 0, 0], [2, 5], "i32");

  test.each([{}, { mask }, { lengths: [5, 2] }, { causal: true }, { mask, causal: true }])(
    "multihead %o",
    (options) => {
      // A layer of the same seed has the same dropout each time.
      const make = () => new MultiheadAttention(4, 2, { seed: 5, dropout: 0.3 });
      using layer = make();
      const state = layer.stateDict();
      const body = (layer: MultiheadAttention) => () => {
        const { output, weights } = layer.forward(query, keys, undefined, options);
        return weightedSum([[mse(output, goal, { reduction: "sum" }), 1], [mse(weights, seen, { reduction: "sum" }), 2]]); // prettier-ignore
      };
      const { gradients: found } = valueAndGrad(body(layer), [query, keys]);
      const loss = (): number => {
        using again = make();
        again.loadStateDict(state);
        return body(again)().loss;
      };
      const check = (values: Tensor, gradient: Tensor) => {
        const numeric = centralDifferences(loss, values.data as Float64Array);
        expect(gradient).toBeAllClose({ data: numeric, shape: values.shape }, { atol: 1e-9, rtol: 1e-9 });
      };
      check(query, found[0]!);
      check(keys, found[1]!);
      for (const { name, grad } of layer.parameters()) check(state[name]!, grad);
    },
  );

  test.each([{}, { mask }, { lengths: [5, 2] }])("additive %o", (options) => {
    using layer = new AdditiveAttention(4, 4, 3, { seed: 5 });
    const one = wave([2, 4], "f64", 4);
    const body = () => {
      const { output, weights } = layer.forward(one, keys, options);
      const again = layer.forward(output, keys, options);
      const terms = [[mse(again.output, wave([2, 4], "f64", 5)), 1], [mse(weights, wave([2, 5], "f64", 6)), 2]] as const; // prettier-ignore
      return weightedSum(terms);
    };
    const { gradients: found } = valueAndGrad(body, [one, keys]);
    const check = (values: Tensor, gradient: Tensor) => {
      const numeric = centralDifferences(() => body().loss, values.data as Float64Array);
      expect(gradient).toBeAllClose({ data: numeric, shape: values.shape }, { atol: 1e-10, rtol: 1e-9 });
    };
    check(one, found[0]!);
    check(keys, found[1]!);
    for (const { value, grad } of layer.parameters()) check(value, grad);
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
  test("multihead", () => {
    refuses(() => new MultiheadAttention(0, 1), ShapeError, "embedDim");
    refuses(() => new MultiheadAttention(4, 3), ShapeError, "numHeads", "3", "a divisor of embedDim, 4");
    refuses(() => new MultiheadAttention(4, 2, { dropout: 2 }), ValueError, "dropout");
    refuses(() => new MultiheadAttention(4, 2, { kdim: 3 } as object), UnsupportedError, "kdim");
    const layer = new MultiheadAttention(4, 2, { seed: 1, dropout: 0.5 });
    const query = wave([3, 2, 4], "f64");
    const keys = wave([5, 2, 4], "f64");
    const call = (q: unknown, k: unknown, v?: unknown, o: object = {}) => {
      return () => layer.forward(q as Tensor, k as Tensor, v as Tensor, o);
    };
    refuses(call(wave([4], "f64"), keys), ShapeError, "query", "[4]", "[T, N, 4]");
    refuses(call(wave([3, 2, 5], "f64"), keys), ShapeError, "query", "[3, 2, 5]", "[..., 4]");
    refuses(call(wave([0, 2, 4], "f64"), keys), ShapeError, "query", "at least one step");
    refuses(call(query, wave([0, 2, 4], "f64")), ShapeError, "key", "at least one step");
    refuses(call(query, wave([5, 1, 4], "f64")), ShapeError, "key", "[5, 1, 4]", "[T, 2, 4]");
    refuses(call(query, wave([5, 4], "f64")), ShapeError, "key", "[5, 4]");
    refuses(call(query, keys, query), ShapeError, "value", "[3, 2, 4]", "[5, 2, 4]");
    refuses(call(query, wave([5, 2, 4], "f32")), DtypeError, "key", "f32", "f64");
    refuses(call(query, { lengths: [1, 1] }), DtypeError, "key"); // options in the wrong place
    refuses(call(query, keys, undefined, { lengths: [6, 1] }), ValueError, "lengths[0]", "0 to 5");
    refuses(call(query, keys, undefined, { mask: tensor([1, 1], [1, 2], "i32") }), ShapeError, "mask", "[2, 5]");
    refuses(call(query, keys, undefined, { causal: 1 }), ValueError, "causal");
    refuses(call(query, keys, undefined, { needWeights: true }), UnsupportedError, "needWeights");
    refuses(() => layer.backward({}), StateError, "MultiheadAttention.backward", "no forward pass");
    const before = heapOf(layer).bytesUsed;
    layer.forward(query, keys);
    refuses(() => layer.backward({ output: keys }), ShapeError, "output", "[5, 2, 4]", "[3, 2, 4]");
    refuses(() => layer.backward({ weights: keys }), ShapeError, "weights", "[5, 2, 4]", "[2, 3, 5]");
    const { query: dQuery, key: dKey, value: dValue } = layer.backward({}); // no gradient: zeros
    expect([...dQuery.data, ...dKey!.data].every((v) => v === 0)).toBe(true);
    expect(dValue).toBeUndefined();
    expect(heapOf(layer).bytesUsed).toBe(before);
    layer.dispose();
    refuses(call(query, keys), DisposedError, "MultiheadAttention");
  });

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
    refuses(call(query, wave([0, 2, 3], "f64")), ShapeError, "keys", "[0, 2, 3]", "at least one step");
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
