// Dropout: the share of numbers that stay, and their factor; one mask forward and backward; seeds; inference.
import { describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import { DisposedError, Dropout, StateError, tensor, type Tensor } from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const full = (shape: readonly number[], dtype: "f64" | "f32", value = 1): Tensor => {
  const x = wave(shape, dtype);
  x.data.fill(value);
  return x;
};

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const round = dtype === "f64" ? (v: number) => v : Math.fround;

    test.each([0.1, 0.5, 0.9])("p = %f: the share that stays, and its factor", (p) => {
      using layer = new Dropout(p, { dtype, seed: 3 });
      const size = 100_000;
      const { data } = layer.forward(full([100, 1000], dtype)).output;
      const kept = data.filter((v) => v !== 0);
      expect(kept.every((v) => v === round(1 / (1 - p)))).toBe(true);
      // 4 standard deviations of a binomial share: 1 draw in 16,000 is outside, and the seed is fixed
      expect(Math.abs(kept.length / size - (1 - p))).toBeLessThan(4 * Math.sqrt((p * (1 - p)) / size));
      // neighbours are independent: both stay (1 - p)^2 of the time
      let both = 0;
      for (let i = 1; i < size; i++) if (data[i] !== 0 && data[i - 1] !== 0) both++;
      const share = (1 - p) ** 2;
      expect(Math.abs(both / size - share)).toBeLessThan(8 * Math.sqrt((share * (1 - share)) / size));
    });

    test("backward applies the mask of its forward", () => {
      using layer = new Dropout(0.4, { dtype, seed: 1 });
      const x = wave([7, 11], dtype);
      const mask = new Dropout(0.4, { dtype, seed: 1 }).forward(full([7, 11], dtype)).output;
      const dy = wave([7, 11], dtype, 5);
      const by = ({ data, shape }: Tensor): Tensor => {
        const product = data.slice();
        for (let i = 0; i < data.length; i++) product[i] = data[i]! * mask.data[i]!;
        return { data: product, shape };
      };
      const before = structuredClone(x);
      expect(layer.forward(x).output).toHaveBits(by(x));
      expect(layer.backward({ output: dy }).x).toHaveBits(by(dy));
      expect(x).toEqual(before);
      refuses(() => layer.backward({ output: dy }), StateError, "Dropout.backward");
    });

    test("the same seed gives the same masks, another seed other ones", () => {
      const x = full([50], dtype);
      const draw = (seed: number): Tensor[] => {
        using layer = new Dropout(0.5, { dtype, seed });
        return [layer.forward(x).output, layer.forward(x).output, layer.forward(x).output];
      };
      const [first, second, third] = draw(7) as [Tensor, Tensor, Tensor];
      expect(draw(7)).toEqual([first, second, third]);
      expect(first).not.toEqual(second);
      expect(draw(8)[0]).not.toEqual(first);
      using layer = new Dropout(0.5, { dtype, seed: 7 });
      layer.forward(x);
      const { state } = layer.random;
      layer.forward(x);
      layer.random.state = state; // as for going on from a saved state
      expect(layer.forward(x).output).toEqual(second);
    });

    test("inference changes nothing, draws nothing and saves nothing", () => {
      using layer = new Dropout(0.5, { dtype, seed: 1 });
      const x = wave([3, 5], dtype);
      const { state } = layer.random;
      layer.eval();
      const { output } = layer.forward(x);
      expect(output).toEqual(x);
      expect(output.data.buffer).not.toBe(x.data.buffer);
      expect(layer.random.state).toEqual(state);
      refuses(() => layer.backward({ output: x }), StateError, "training mode");
      layer.train();
      expect(layer.forward(x).output).not.toEqual(x);
    });

    test("p = 0 and p = 1", () => {
      const x = wave([33], dtype);
      using none = new Dropout(0, { dtype });
      expect(none.forward(x).output).toEqual(x);
      expect(none.backward({ output: x }).x).toEqual(x);
      using all = new Dropout(1, { dtype });
      expect(all.forward(x).output.data.every((v) => v === 0)).toBe(true);
      expect(all.backward({ output: x }).x.data.every((v) => v === 0)).toBe(true);
      const broken = { data: x.data.slice(), shape: [33] };
      broken.data[3] = NaN;
      expect(all.forward(broken).output.data[3]).toBeNaN(); // as PyTorch: NaN times 0
    });

    test("a stream hands numbers on, in both modes", () => {
      using layer = new Dropout(0.5, { dtype, seed: 1 });
      using stream = layer.stream({ batchSize: 2 });
      const x = wave([2, 3], dtype);
      expect(stream.step(x.data)).toEqual(x.data);
      layer.eval();
      expect(stream.step(x.data)).toEqual(x.data);
    });

    test("any shape; dispose() frees all memory", () => {
      const { heap } = currentCore();
      const { bytesUsed } = heap;
      const layer = new Dropout(0.5, { dtype });
      for (const shape of [[], [0], [2, 0, 3], [1], [2, 3, 4]]) {
        expect(layer.forward(full(shape, dtype)).output.shape).toEqual(shape);
        expect(layer.backward({ output: full(shape, dtype) }).x.shape).toEqual(shape);
      }
      expect(layer.parameters()).toEqual([]);
      expect(layer.stateDict()).toEqual({});
      layer.loadStateDict({});
      layer.forward(full([1000], dtype));
      expect(heap.bytesUsed).toBeGreaterThan(bytesUsed); // the mask
      layer.dispose();
      expect(heap.bytesUsed).toBe(bytesUsed);
      refuses(() => layer.forward(tensor(1)), DisposedError, "Dropout");
    });
  });
});
