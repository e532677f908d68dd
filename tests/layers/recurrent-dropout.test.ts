// Dropout inside the recurrent layers: between the layers of a stack, and of the state. That gradients go with the masks
// is in gradients.test.ts, that checkpoints keep them in properties.test.ts.
import { describe, expect, test } from "vitest";
import { GRU, LSTM, RNN, type FloatDtype, type Tensor } from "../../src/index.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import {
  KINDS,
  bothPasses,
  expectBits,
  gradientsOf,
  makeRecurrent,
  makeInputs,
  type Options,
  type Recurrent,
} from "../helpers/recurrent.js";
import { heapOf, range, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f64" | "f32";

function filled(shape: readonly number[], dtype: Dtype, value: number): Tensor {
  const x = wave(shape, dtype);
  x.data.fill(value);
  return x;
}

/** Sets the parameters whose names start so: a number for all, or "identity". */
function set(layer: Recurrent, values: Readonly<Record<string, number | "identity">>): void {
  for (const { name, value } of layer.parameters()) {
    const to = Object.entries(values).find(([start]) => name.startsWith(start))?.[1] ?? 0;
    const columns = value.shape[1]!;
    value.data.forEach((_, i) => {
      value.data[i] = to === "identity" ? Number(Math.floor(i / columns) === i % columns) : to;
    });
  }
}

/** A stack in which every layer gives what it is given, so that dropout shows. */
function transparent(size: number, options: Options): RNN<FloatDtype> {
  const layer = new RNN(size, size, { activation: "linear", ...options });
  set(layer, { weight_ih: "identity" });
  return layer;
}

/** A layer that gives its first state again and again, so that dropout of the state shows. */
function holding(size: number, options: Options): RNN<FloatDtype> {
  const layer = new RNN(1, size, { activation: "linear", ...options });
  set(layer, { weight_hh: "identity" });
  return layer;
}

/** `count` of `size` is what a binomial distribution gives: beyond 4 of its standard deviations, 1 draw in 16,000 is. */
function expectShare(count: number, size: number, p: number): void {
  expect(Math.abs(count - size * p)).toBeLessThan(4 * Math.sqrt(size * p * (1 - p)));
}

const count = (x: ArrayLike<number>, holds: (v: number) => boolean): number => Array.from(x).filter(holds).length;

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const round = dtype === "f64" ? (v: number) => v : Math.fround;
    const [t, n, size] = [50, 20, 30];
    const ones = filled([t, n, size], dtype, 1);

    describe("dropout", () => {
      test.each([0.1, 0.5, 0.9])("%f: how many outputs are dropped, and what the others become", (p) => {
        using layer = transparent(size, { numLayers: 2, dropout: p, dtype, seed: 1 });
        const { data } = layer.forward(ones).output;
        expect(data.every((v) => v === 0 || v === round(1 / (1 - p)))).toBe(true);
        expectShare(
          count(data, (v) => v === 0),
          data.length,
          p,
        );
        // every step, row and unit on its own: neighbours along each axis are dropped together as often as chance has it
        for (const stride of [1, size, n * size]) {
          const pairs = range(0, data.length - stride).filter((i) => data[i] === 0 && data[i + stride] === 0);
          // overlapping pairs: their variance is less than 3 times that of as many draws
          const variance = 3 * data.length * p ** 2 * (1 - p ** 2);
          expect(Math.abs(pairs.length - (data.length - stride) * p ** 2)).toBeLessThan(4 * Math.sqrt(variance));
        }
      });

      test("p = 0 and p = 1", () => {
        using none = transparent(size, { numLayers: 2, dropout: 0, dtype });
        expect(none.forward(ones).output).toHaveBits(ones);
        using all = transparent(size, { numLayers: 2, dropout: 1, dtype });
        expect(all.forward(ones).output.data.every((v) => v === 0)).toBe(true);
        const { x } = all.backward({ output: ones });
        expect(x.data.every((v) => v === 0)).toBe(true);
      });

      test("gradients pass only where outputs were not dropped", () => {
        using layer = transparent(size, { numLayers: 2, dropout: 0.3, dtype, seed: 2 });
        const mask = layer.forward(ones).output;
        const upstream = wave([t, n, size], dtype, 1);
        const expected = upstream.data.map((g, i) => g * mask.data[i]!);
        expect(layer.backward({ output: upstream }).x).toBeAllClose({ data: expected, shape: [t, n, size] });
      });

      test("each layer but the last has its own mask; nothing is dropped from the last layer's output", () => {
        using one = transparent(size, { numLayers: 1, dropout: 0.9, dtype });
        expect(one.forward(ones).output).toHaveBits(ones);
        using layer = transparent(size, { numLayers: 3, dropout: 0.5, dtype, seed: 3 });
        set(layer, { weight_ih: "identity", bias_ih_l2: 1 });
        const { data } = layer.forward(ones).output;
        expect(new Set(data)).toEqual(new Set([1, 5])); // of two masks: 2 * 2 and the bias, or the bias alone
        expectShare(
          count(data, (v) => v === 5),
          data.length,
          0.25,
        );
      });

      test("the two directions are dropped independently", () => {
        // the second layer lets the first of two units through, in one direction the first's, in the other the second's
        using layer = new RNN(1, 1, { activation: "linear", numLayers: 2, bidirectional: true, dropout: 0.5, dtype, seed: 4 }); // prettier-ignore
        set(layer, { weight_ih_l0: 1 });
        const named = Object.fromEntries(layer.parameters().map(({ name, value }) => [name, value.data]));
        named.weight_ih_l1!.set([1, 0]);
        named.weight_ih_l1_reverse!.set([0, 1]);
        const { data } = layer.forward(filled([2000, 1, 1], dtype, 1)).output;
        const [first, second] = [0, 1].map((direction) => data.filter((_, i) => i % 2 === direction));
        for (const each of [first!, second!])
          expectShare(
            count(each, (v) => v === 0),
            2000,
            0.5,
          );
        expectShare(range(0, 2000).filter((i) => first![i] === second![i]).length, 2000, 0.5);
      });
    });

    describe("recurrentDropout", () => {
      test.each([0.2, 0.5])("%f: a unit is dropped at all steps of a sequence, or at none", (p) => {
        const rows = 400;
        using layer = holding(size, { recurrentDropout: p, dtype, seed: 1 });
        const { output } = layer.forward(filled([4, rows, 1], dtype, 1), { h0: filled([1, rows, size], dtype, 1) });
        const [first, ...later] = range(0, 4).map((step) => take(output, 0, [step]).data);
        const kept = round(1 / (1 - p));
        expect(first!.every((v) => v === 0 || v === kept)).toBe(true);
        expectShare(
          count(first!, (v) => v === 0),
          rows * size,
          p,
        );
        let power = kept;
        for (const data of later) {
          power = round(power * kept);
          const expected = first!.map((v) => (v === 0 ? 0 : power)); // the same ones, dropped or scaled once more
          expect(data.every((v, i) => v === expected[i])).toBe(true);
        }
        // rows have masks of their own
        const together = range(0, (rows - 1) * size).filter((i) => first![i] === 0 && first![i + size] === 0).length;
        const variance = 3 * rows * size * p ** 2 * (1 - p ** 2);
        expect(Math.abs(together - (rows - 1) * size * p ** 2)).toBeLessThan(4 * Math.sqrt(variance));
      });

      test("every sequence, layer and direction has its own mask", () => {
        using layer = holding(size, { recurrentDropout: 0.5, numLayers: 2, bidirectional: true, dtype, seed: 2 });
        const pass = () => layer.forward(filled([1, 1, 1], dtype, 0), { h0: filled([4, 1, size], dtype, 1) }).hn;
        const [one, two] = [pass(), pass()];
        const masks = [one, two].flatMap((hn) => range(0, 4).map((i) => String(take(hn, 0, [i]).data)));
        expect(new Set(masks).size).toBe(8);
      });

      test("a row keeps its mask when rows are sorted by length", () => {
        const lengths = [1, 3, 0, 4, 2];
        const state = { h0: filled([1, 5, size], dtype, 1) };
        const x = filled([4, 5, 1], dtype, 0);
        using layer = holding(size, { recurrentDropout: 0.5, dtype, seed: 3 });
        using same = holding(size, { recurrentDropout: 0.5, dtype, seed: 3 });
        const whole = layer.forward(x, state).output;
        const ragged = same.forward(x, { ...state, lengths }).output;
        lengths.forEach((length, row) => {
          const [a, b] = [whole, ragged].map((of) => take(take(of, 1, [row]), 0, range(0, length)));
          expect(b).toHaveBits(a!);
        });
      });

      test.each(KINDS)("%s: all dropped is weights of zero", (kind) => {
        using dropped = makeRecurrent(kind, 3, 6, { recurrentDropout: 1, bidirectional: true, dtype, seed: 1 });
        using without = makeRecurrent(kind, 3, 6, { bidirectional: true, dtype, seed: 1 });
        for (const { name, value } of without.parameters()) if (name.startsWith("weight_hh")) value.data.fill(0);
        const problem = makeInputs(dropped, 5, 3, 1);
        const [pass, expected] = [bothPasses(dropped, problem), bothPasses(without, problem)];
        for (const [name, of] of Object.entries(expected)) expect(pass[name as "x"], name).toBeAllClose(of as Tensor);
        dropped.parameters().forEach(({ name, grad }, i) => {
          if (name.startsWith("weight_hh")) expect(grad.data.every((g) => g === 0)).toBe(true);
          else expect(grad).toBeAllClose(gradientsOf(without)[i]!);
        });
      });

      // dropping units of h is dropping columns of W_hh, and a column without a gradient is one that was dropped
      test.each(KINDS)("%s: what enters the recurrent product, and nothing else", (kind) => {
        const p = 0.4;
        using layer = makeRecurrent(kind, 3, 12, { recurrentDropout: p, dtype, seed: 5 });
        using thinned = makeRecurrent(kind, 3, 12, { dtype, seed: 5 });
        const problem = makeInputs(layer, 5, 1, 1);
        const pass = bothPasses(layer, problem);
        const { grad } = layer.parameters()[1]!;
        const [rows, columns] = grad.shape as [number, number];
        const column = (j: number): number[] => range(0, rows).map((i) => grad.data[i * columns + j]!);
        const kept = range(0, columns).map((j) => column(j).some((g) => g !== 0));
        expect(new Set(kept).size).toBe(2);
        const { data } = thinned.parameters()[1]!.value;
        data.forEach((v, i) => (data[i] = kept[i % columns] ? v / (1 - p) : 0));
        const { output, hn } = bothPasses(thinned, problem);
        const close = dtype === "f64" ? { rtol: 1e-12, atol: 1e-13 } : { rtol: 1e-4, atol: 1e-5 };
        expect(pass.output).toBeAllClose(output, close);
        expect(pass.hn).toBeAllClose(hn, close);
      });
    });

    test.each(KINDS)("%s: the seed decides; eval drops nothing and draws nothing", (kind) => {
      const options = { numLayers: 2, bidirectional: true, dropout: 0.4, recurrentDropout: 0.3, dtype };
      using layer = makeRecurrent(kind, 3, 6, { ...options, seed: 1 });
      using same = makeRecurrent(kind, 3, 6, { ...options, seed: 1 });
      using plain = makeRecurrent(kind, 3, 6, { numLayers: 2, bidirectional: true, dtype, seed: 1 });
      const problem = makeInputs(layer, 5, 3, 1);
      const { x, initial } = problem;
      const passes = range(0, 3).map(() => bothPasses(layer, problem));
      expectBits(bothPasses(same, problem), passes[0]!, "first pass");
      expectBits(same.eval().forward(x, initial), plain.eval().forward(x, initial), "eval");
      same.train();
      expectBits(bothPasses(same, problem), passes[1]!, "second pass");
      expectBits(bothPasses(same, problem), passes[2]!, "third pass");
      gradientsOf(same).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(layer)[i]!));
      expect(passes[1]!.output.data).not.toEqual(passes[0]!.output.data);
      using other = makeRecurrent(kind, 3, 6, { ...options, seed: 2 });
      other.loadStateDict(layer.stateDict());
      expect(bothPasses(other, problem).output.data).not.toEqual(passes[0]!.output.data);
    });

    test("masks are saved until backward, and freed then", () => {
      const make = (dropout: number, recurrentDropout: number): number => {
        using layer = new LSTM(8, 8, { numLayers: 2, dropout, recurrentDropout, dtype, seed: 1 });
        const heap = heapOf(layer);
        const alone = heap.bytesUsed;
        layer.forward(wave([6, 4, 8], dtype));
        const kept = heap.bytesUsed - alone;
        layer.backward({ output: wave([6, 4, 8], dtype) });
        expect(heap.bytesUsed).toBe(alone);
        layer.eval().forward(wave([6, 4, 8], dtype));
        expect(heap.bytesUsed).toBe(alone);
        return kept;
      };
      const bytes = dtype === "f64" ? 8 : 4;
      expect(make(0, 0.5) - make(0, 0)).toBe(2 * 4 * 8 * bytes); // [N,H] for each layer
      expect(make(0.5, 0) - make(0, 0)).toBe(2 * 6 * 4 * 8 * bytes); // [T,N,H], and the output with it applied
    });

    test("refused calls draw nothing", () => {
      const options = { numLayers: 2, dropout: 0.5, recurrentDropout: 0.5, dtype, seed: 1 };
      using layer = new GRU(3, 6, options);
      using same = new GRU(3, 6, options);
      const problem = makeInputs(layer, 5, 3, 1);
      const { x } = problem;
      expect(() => layer.forward(wave([5, 3, 4], dtype))).toThrow();
      expect(() => layer.forward(x, { h0: x })).toThrow();
      expect(() => layer.forward(x, { lengths: [1, 2, 9] })).toThrow();
      expect(() => layer.forward(x, { mask: x })).toThrow();
      expectBits(bothPasses(layer, problem), bothPasses(same, problem), "after refusals");
    });
  });
});
