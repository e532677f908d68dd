// LastStep, MeanOverTime, MaxOverTime: plain loops, hn of recurrent layers, finite differences, what containers set, errors.
import { describe, expect, test } from "vitest";
import {
  DtypeError,
  GRU,
  LSTM,
  LastStep,
  MaxOverTime,
  MeanOverTime,
  Sequential,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { checkGradients, firstSteps, rowOf } from "../helpers/layers.js";
import { refuses } from "../helpers/refuses.js";
import { swap, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const KINDS = { LastStep, MeanOverTime, MaxOverTime };
const names = ["LastStep", "MeanOverTime", "MaxOverTime"] as const;

/** [C] from the steps [T,C] of one row, in f64. */
const plain: Readonly<Record<keyof typeof KINDS, (column: number[]) => number>> = {
  LastStep: (column) => column.at(-1)!,
  MeanOverTime: (column) => column.reduce((sum, x) => sum + x, 0) / column.length,
  MaxOverTime: (column) => Math.max(...column),
};

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(names)("%s", (name) => {
      const [T, N, C] = [7, 4, 5];
      const lengths = [7, 1, 0, 4];

      test("each row over its own steps; a row without steps gives zeros", () => {
        using layer = new KINDS[name]();
        using rows = new KINDS[name]({ batchFirst: true });
        expect([layer.batchFirst, rows.batchFirst, layer.dtype]).toEqual([false, true, undefined]);
        const x = wave([T, N, C], dtype);
        const { output } = layer.forward(x, { lengths });
        expect(output.shape).toEqual([N, C]);
        for (let n = 0; n < N; n++) {
          const row = firstSteps(rowOf(x, n, false), lengths[n]!);
          for (let c = 0; c < C; c++) {
            const column = Array.from({ length: lengths[n]! }, (_, t) => row.data[t * C + c]!);
            const expected = lengths[n] ? plain[name](column) : 0;
            expect(output.data[n * C + c]).toBeCloseTo(expected, dtype === "f64" ? 14 : 6);
          }
          if (lengths[n] === 0) continue;
          const alone = layer.forward(row).output;
          expect(alone).toHaveBits({ data: output.data.slice(n * C, n * C + C), shape: [C] });
          const dy = wave([C], dtype, n);
          expect(layer.backward({ output: dy }).x.shape).toEqual([lengths[n], C]);
        }
        expect(rows.forward(swap(x), { lengths }).output).toHaveBits(output);
        const dy = wave([N, C], dtype, 3);
        layer.forward(x, { lengths });
        const { x: dx } = layer.backward({ output: dy });
        expect(rows.backward({ output: dy }).x).toHaveBits(swap(dx));
        for (let n = 0; n < N; n++) {
          expect(
            rowOf(dx, n, false)
              .data.slice(lengths[n]! * C)
              .every((d) => d === 0),
          ).toBe(true);
        }
        expect(layer.eval().forward(x, { lengths }).output).toHaveBits(output);
        refuses(() => layer.backward({ output: dy }), StateError, `${name}.backward`);
      });

      test("refuses", () => {
        using layer = new KINDS[name]();
        refuses(() => layer.forward(wave([3], dtype)), ShapeError, "x: got [3], expected [T, N, C]");
        refuses(() => layer.forward(wave([0, 3], dtype)), ShapeError, "at least one step");
        refuses(() => layer.forward(wave([3, 2, 2], dtype), { lengths: [4, 1] }), ValueError, "lengths[0]: got 4");
        refuses(() => layer.forward(tensor([1], [1, 1], "i32")), DtypeError, "x");
        refuses(() => layer.forward(wave([3, 2], dtype), { mask: 1 } as never), UnsupportedError, "mask");
        layer.forward(wave([3, 2, 2], dtype));
        refuses(() => layer.backward({ output: wave([2, 3], dtype) }), ShapeError, "output");
        refuses(() => new KINDS[name]({ batchFirst: 0 } as never), ValueError, "batchFirst");
        refuses(() => new KINDS[name]({ batch: true } as never), UnsupportedError, "batch");
      });

      test("what a container sets, unless the layer has it", () => {
        const open = new KINDS[name]();
        using chain = new Sequential([new LSTM(C, 2, { batchFirst: true, bidirectional: true, dtype, seed: 1 }), open]);
        expect(open.batchFirst).toBe(true);
        if (open instanceof LastStep) expect(open.bidirectional).toBe(true);
        expect(chain.forward(wave([N, T, C], dtype), { lengths }).output.shape).toEqual([N, 4]);
        using own = new KINDS[name]({ batchFirst: false });
        refuses(() => new Sequential([new LSTM(C, 2, { batchFirst: true }), own]), ValueError, "batchFirst false");
      });
    });

    test.each([true, false])("LastStep is hn of the top layer, bidirectional %j", (bidirectional) => {
      for (const Kind of [LSTM, GRU]) {
        for (const batchFirst of [false, true]) {
          using layer = new Kind(3, 4, { numLayers: 2, bidirectional, batchFirst, dtype, seed: 1 });
          using last = new LastStep({ bidirectional, batchFirst });
          const lengths = [6, 2, 0, 5];
          const x = wave(batchFirst ? [4, 6, 3] : [6, 4, 3], dtype);
          for (const options of [{}, { lengths }]) {
            const { output, hn } = layer.forward(x, options);
            const top: Tensor = take(hn, 0, bidirectional ? [2, 3] : [1]);
            const expected = swap(top); // [N,directions,H]
            const joined = { data: expected.data, shape: [4, bidirectional ? 8 : 4] };
            expect(last.forward(output, options).output).toHaveBits(joined);
          }
        }
      }
    });

    test("LastStep refuses an odd number of a bidirectional layer", () => {
      using layer = new LastStep({ bidirectional: true });
      expect(layer.bidirectional).toBe(true);
      refuses(() => layer.forward(wave([4, 2, 3], dtype)), ShapeError, "x: got 3 numbers of a step, expected an even");
      refuses(() => new LastStep({ bidirectional: 1 } as never), ValueError, "bidirectional");
    });
  });

  test.each(names)("finite differences: %s", (name) => {
    for (const options of [undefined, { lengths: [5, 0, 2] }]) {
      using layer = new KINDS[name]();
      checkGradients(layer, [5, 3, 4], options);
    }
    if (name !== "LastStep") return;
    using layer = new LastStep({ bidirectional: true, batchFirst: true });
    checkGradients(layer, [3, 5, 4], { lengths: [5, 0, 1] });
  });
});
