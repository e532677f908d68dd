// Conv1d: PyTorch's numbers (tests/golden/layers.py), finite differences, ragged rows against each row alone, bits, errors.
import { describe, expect, test } from "vitest";
import {
  Conv1d,
  DtypeError,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { casesOf, checkGradients, firstSteps, rowOf, runCase } from "../helpers/layers.js";
import { compare, tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, swap, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

/** Options that take each path: one product, one for each tap, groups, one channel in each group. */
const PATHS = [
  {},
  { padding: 2, bias: false },
  { padding: "same" },
  { padding: "causal", dilation: 2 },
  { stride: 2, padding: 1 },
  { stride: 3, dilation: 2, padding: "causal" },
  { groups: 2, padding: "same" },
  { groups: 4, padding: "causal" },
  { groups: 4, stride: 2, dilation: 2, padding: 2, bias: false },
] as const;

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(casesOf("Conv1d"))("PyTorch: %s", (_, each) => {
      const { lengths, ...result } = runCase(each, dtype);
      compare(result, each.expected, tolerances[dtype]);
      if (each.lengths) expect(lengths).toEqual(each.expected.counts!.data);
      else expect(lengths).toBeUndefined();
    });

    test.each(PATHS)("each row of a batch has the bits that it has alone: %j", (options) => {
      for (const batchFirst of [false, true]) {
        using layer = new Conv1d(4, 8, 3, { ...options, batchFirst, dtype, seed: 1 });
        const [T, N] = [9, 5];
        const lengths = [9, 5, 0, 1, 8];
        const x = wave(batchFirst ? [N, T, 4] : [T, N, 4], dtype);
        const { output, lengths: counts } = layer.forward(x, { lengths });
        const dy = wave(output.shape, dtype, 5);
        const { x: dx } = layer.backward({ output: dy });
        for (let row = 0; row < N; row++) {
          const mine = rowOf(output, row, batchFirst);
          const dMine = rowOf(dx, row, batchFirst);
          const count = counts![row]!;
          expect(mine.data.slice(count * 8).every((y) => y === 0)).toBe(true);
          expect(dMine.data.slice(lengths[row]! * 4).every((d) => d === 0)).toBe(true);
          if (count === 0) continue;
          const alone = layer.forward(firstSteps(rowOf(x, row, batchFirst), lengths[row]!)).output;
          expect(firstSteps(mine, count)).toHaveBits(alone);
          const back = layer.backward({ output: firstSteps(rowOf(dy, row, batchFirst), count) }).x;
          expect(firstSteps(dMine, lengths[row]!)).toHaveBits(back);
        }
        const whole = layer.forward(x, { lengths: new Array<number>(N).fill(T) });
        expect(whole.output).toHaveBits(layer.forward(x).output);
      }
    });

    test("batchFirst swaps axes, and nothing else", () => {
      using one = new Conv1d(3, 5, 3, { dtype, seed: 1 });
      using other = new Conv1d(3, 5, 3, { dtype, seed: 1, batchFirst: true });
      expect([one.batchFirst, other.batchFirst]).toEqual([false, true]);
      const x = wave([7, 2, 3], dtype);
      expect(other.forward(swap(x)).output).toHaveBits(swap(one.forward(x).output));
      const dy = wave([5, 2, 5], dtype);
      expect(other.backward({ output: swap(dy) }).x).toHaveBits(swap(one.backward({ output: dy }).x));
    });

    test("causal: an output depends on no later step", () => {
      using layer = new Conv1d(2, 3, 4, { padding: "causal", dilation: 2, dtype, seed: 1 });
      const x = wave([12, 1, 2], dtype);
      const { output } = layer.forward(x);
      for (const t of [0, 5, 10]) {
        const changed = { data: x.data.slice(), shape: x.shape };
        changed.data.fill(9, (t + 1) * 2);
        const steps = Array.from({ length: t + 1 }, (_, i) => i);
        expect(take(layer.forward(changed).output, 0, steps)).toHaveBits(take(output, 0, steps));
      }
    });

    test("initial weights: PyTorch's bounds, the same for the same seed", () => {
      using layer = new Conv1d(6, 32, 5, { groups: 2, dtype, seed: 3 });
      using same = new Conv1d(6, 32, 5, { groups: 2, dtype, seed: 3 });
      expect(layer.stateDict()).toEqual(same.stateDict());
      const bound = 1 / Math.sqrt(3 * 5);
      for (const { value } of layer.parameters()) {
        const largest = Math.max(...Array.from(value.data, Math.abs));
        expect(largest).toBeLessThanOrEqual(bound);
        expect(largest).toBeGreaterThan(0.8 * bound);
      }
    });

    test("inference has the bits of training; all memory comes back", () => {
      const layer = new Conv1d(3, 4, 3, { dtype, seed: 1 });
      const heap = heapOf(layer);
      const x = wave([6, 2, 3], dtype);
      const { output } = layer.forward(x);
      const { bytesUsed } = heap;
      layer.eval();
      expect(layer.forward(x).output).toHaveBits(output);
      expect(heap.bytesUsed).toBe(bytesUsed);
      layer.train();
      layer.backward({ output });
      expect(heap.bytesUsed).toBeLessThan(bytesUsed);
      refuses(() => layer.backward({ output }), StateError, "Conv1d.backward");
      layer.dispose();
    });

    test("refuses", () => {
      using layer = new Conv1d(3, 4, 3, { dtype, seed: 1 });
      const forward = (shape: readonly number[], options?: object) => layer.forward(wave(shape, dtype), options);
      refuses(() => forward([6, 2, 4]), ShapeError, "x: got [6, 2, 4], expected [T, N, 3]");
      refuses(() => forward([3]), ShapeError, "x");
      refuses(() => forward([0, 3]), ShapeError, "x: got [0, 3], expected at least one step");
      refuses(() => forward([2, 2, 3]), ShapeError, "x: got [2, 2, 3], expected at least 3 steps");
      refuses(() => forward([6, 2, 3], { lengths: [6] }), ShapeError, "lengths");
      refuses(() => forward([6, 2, 3], { lengths: [6, 7] }), ValueError, "lengths[1]: got 7");
      refuses(() => forward([6, 2, 3], { mask: 1 }), UnsupportedError, "Conv1d.forward option: got mask");
      const other = dtype === "f64" ? "f32" : "f64";
      refuses(() => layer.forward(wave([6, 2, 3], other)), DtypeError, `x: got ${other}`);
      forward([6, 2, 3]);
      refuses(() => layer.backward({ output: wave([5, 2, 4], dtype) }), ShapeError, "output: got [5, 2, 4]");
      refuses(() => layer.backward({} as never), DtypeError, "output");
      expect(layer.parameters().every(({ grad }) => grad.data.every((d) => d === 0))).toBe(true);
      layer.backward({ output: wave([4, 2, 4], dtype) });
    });

    test("an empty batch", () => {
      using layer = new Conv1d(3, 4, 3, { dtype, seed: 1 });
      const { output, lengths } = layer.forward(wave([6, 0, 3], dtype), { lengths: [] });
      expect([output.shape, lengths]).toEqual([[4, 0, 4], []]);
      expect(layer.backward({ output }).x.shape).toEqual([6, 0, 3]);
    });
  });

  test.each(PATHS)("finite differences: %j", (options) => {
    using layer = new Conv1d(4, 8, 3, { ...options, seed: 1 });
    checkGradients(layer, [7, 3, 4], { lengths: [7, 3, 5] });
  });
});

test.each<[unknown[], abstract new (...args: never[]) => Error, string]>([
  [[0, 1, 1], ShapeError, "inChannels"],
  [[1, 2.5, 1], ShapeError, "outChannels"],
  [[1, 1, 2 ** 31], ShapeError, "kernelSize"],
  [[1, 1, 1, { stride: 0 }], ShapeError, "stride"],
  [[1, 1, 1, { dilation: 2 ** 32 }], ShapeError, "dilation"],
  [[1, 1, 1, { padding: -1 }], ValueError, "padding"],
  [[1, 1, 1, { padding: "valid" }], ValueError, 'expected an integer >= 0, "same" or "causal"'],
  [[1, 1, 1, { padding: "same", stride: 2 }], ValueError, "a stride of 1"],
  [[3, 4, 1, { groups: 2 }], ShapeError, "inChannels: got 3, expected a multiple of groups, 2"],
  [[4, 3, 1, { groups: 2 }], ShapeError, "outChannels"],
  [[1, 1, 1, { batchFirst: 1 }], ValueError, "batchFirst"],
  [[1, 1, 1, { paddingMode: "zeros" }], UnsupportedError, "paddingMode"],
])("the constructor refuses %j", (given, kind, message) => {
  const make = Conv1d as unknown as new (...all: unknown[]) => Tensor;
  refuses(() => new make(...given), kind, message);
});
