// MaxPool1d and AvgPool1d: PyTorch's numbers (tests/golden/layers.py), finite differences, ragged rows against each row alone, errors.
import { describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import {
  AvgPool1d,
  DtypeError,
  MaxPool1d,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  type PoolOptions,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { casesOf, checkGradients, firstSteps, rowOf, runCase } from "../helpers/layers.js";
import { compare, tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { swap, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const KINDS = { MaxPool1d, AvgPool1d };
const OPTIONS: readonly (readonly [number, PoolOptions])[] = [
  [2, {}],
  [3, { stride: 1, padding: 1 }],
  [4, { stride: 3, padding: 2 }],
  [1, { stride: 2 }],
];

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(casesOf("MaxPool1d", "AvgPool1d"))("PyTorch: %s", (_, each) => {
      const { lengths, ...result } = runCase(each, dtype);
      compare(result, each.expected, tolerances[dtype]);
      if (each.lengths) expect(lengths).toEqual(each.expected.counts!.data);
      else expect(lengths).toBeUndefined();
    });

    describe.each(["MaxPool1d", "AvgPool1d"] as const)("%s", (kind) => {
      test.each(OPTIONS)("each row of a batch has the bits that it has alone: %i, %j", (kernelSize, options) => {
        for (const batchFirst of [false, true]) {
          using layer = new KINDS[kind](kernelSize, { ...options, batchFirst });
          const lengths = [9, 5, 0, 1, 8];
          const x = wave(batchFirst ? [5, 9, 3] : [9, 5, 3], dtype);
          const { output, lengths: counts } = layer.forward(x, { lengths });
          const dy = wave(output.shape, dtype, 5);
          const { x: dx } = layer.backward({ output: dy });
          for (let row = 0; row < 5; row++) {
            const [mine, dMine] = [rowOf(output, row, batchFirst), rowOf(dx, row, batchFirst)];
            const count = counts![row]!;
            expect(mine.data.slice(count * 3).every((y) => y === 0)).toBe(true);
            expect(dMine.data.slice(lengths[row]! * 3).every((d) => d === 0)).toBe(true);
            if (count === 0) continue;
            const alone = layer.forward(firstSteps(rowOf(x, row, batchFirst), lengths[row]!)).output;
            expect(firstSteps(mine, count)).toHaveBits(alone);
            const back = layer.backward({ output: firstSteps(rowOf(dy, row, batchFirst), count) }).x;
            expect(firstSteps(dMine, lengths[row]!)).toHaveBits(back);
          }
        }
      });

      test("batchFirst swaps axes; inference has the same bits and saves nothing", () => {
        using one = new KINDS[kind](3, { stride: 2 });
        using other = new KINDS[kind](3, { stride: 2, batchFirst: true });
        const x = wave([7, 2, 3], dtype);
        const { output } = one.forward(x);
        expect(other.forward(swap(x)).output).toHaveBits(swap(output));
        const dy = wave([3, 2, 3], dtype);
        const { x: dx } = one.backward({ output: dy });
        expect(other.backward({ output: swap(dy) }).x).toHaveBits(swap(dx));
        const { heap } = currentCore();
        const { bytesUsed } = heap;
        expect(one.eval().forward(x).output).toHaveBits(output);
        expect(heap.bytesUsed).toBe(bytesUsed);
        refuses(() => one.backward({ output }), StateError, `${kind}.backward`);
      });

      test("refuses", () => {
        using layer = new KINDS[kind](3);
        refuses(() => layer.forward(wave([2, 3], dtype)), ShapeError, "x: got [2, 3], expected at least 3 steps");
        refuses(() => layer.forward(wave([3], dtype)), ShapeError, "x");
        refuses(() => layer.forward(wave([5, 2, 2], dtype), { lengths: [5] }), ShapeError, "lengths");
        refuses(() => layer.forward(tensor([1, 2, 3], [3, 1], "i32")), DtypeError, "x: got i32");
        layer.forward(wave([6, 3], dtype));
        refuses(() => layer.backward({ output: wave([3, 3], dtype) }), ShapeError, "output");
        const other = dtype === "f64" ? "f32" : "f64";
        refuses(() => layer.backward({ output: wave([2, 3], other) }), DtypeError, "output");
      });
    });

    test("they have no parameters and no number type of their own", () => {
      using layer = new MaxPool1d(2);
      expect(layer.dtype).toBeUndefined();
      expect([layer.parameters(), layer.stateDict(), layer.stride, layer.padding]).toEqual([[], {}, 2, 0]);
    });
  });

  describe.each(["MaxPool1d", "AvgPool1d"] as const)("%s", (kind) => {
    test.each(OPTIONS)("finite differences: %i, %j", (kernelSize, options) => {
      using layer = new KINDS[kind](kernelSize, options);
      checkGradients(layer, [7, 3, 2], { lengths: [7, 3, 5] });
    });

    test.each<[unknown[], abstract new (...args: never[]) => Error, string]>([
      [[0], ShapeError, "kernelSize"],
      [[2, { stride: 0 }], ShapeError, "stride"],
      [[3, { padding: 2 }], ValueError, "padding: got 2, expected an integer from 0 to 1, half of kernelSize"],
      [[3, { padding: -1 }], ValueError, "padding"],
      [[3, { dilation: 2 }], UnsupportedError, "dilation"],
      [[3, { batchFirst: "yes" }], ValueError, "batchFirst"],
    ])("the constructor refuses %j", (given, error, message) => {
      const make = KINDS[kind] as unknown as new (...all: unknown[]) => unknown;
      refuses(() => new make(...given), error, message);
    });
  });
});

test("the average counts padding as zeros, the maximum does not see it", () => {
  const x = tensor([-4, -2], [2, 1]);
  expect(Array.from(new AvgPool1d(2, { padding: 1 }).forward(x).output.data)).toEqual([-2, -1]);
  expect(Array.from(new MaxPool1d(2, { padding: 1 }).forward(x).output.data)).toEqual([-4, -2]);
});
