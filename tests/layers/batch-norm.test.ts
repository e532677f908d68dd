// BatchNorm1d: PyTorch's numbers (tests/golden/layers.py), finite differences, which steps count, running statistics and modes,
// state dictionaries, errors.
import { describe, expect, test } from "vitest";
import {
  BatchNorm1d,
  DtypeError,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  mse,
  tensor,
  valueAndGrad,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { casesOf, checkGradients, runCase } from "../helpers/layers.js";
import { compare, compareEach, gradients, tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, swap, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const flags = (numbers: readonly number[], shape: readonly number[]): Tensor => tensor([...numbers], shape, "i32");

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(casesOf("BatchNorm1d"))("PyTorch: %s", (_, each) => {
      const { state, ...result } = runCase(each, dtype);
      compare(result, each.expected, tolerances[dtype]);
      const buffers = Object.fromEntries(Object.entries(state).filter(([name]) => !(name in each.weights)));
      compareEach(buffers, each.expected.buffers!, tolerances[dtype]);
    });

    test("lengths and masks: only steps that count matter; elsewhere outputs and gradients are 0", () => {
      const [T, N, C] = [4, 3, 5];
      const lengths = [4, 1, 2];
      using layer = new BatchNorm1d(C, { dtype });
      using masked = new BatchNorm1d(C, { dtype });
      using rows = new BatchNorm1d(C, { dtype, batchFirst: true });
      const x = wave([T, N, C], dtype);
      const noisy = { data: x.data.slice(), shape: x.shape };
      const valid = (t: number, n: number): boolean => t < lengths[n]!;
      const mask: number[] = [];
      const kept: number[] = [];
      for (let t = 0; t < T; t++) {
        for (let n = 0; n < N; n++) {
          mask.push(Number(valid(t, n)));
          const at = (t * N + n) * C;
          if (valid(t, n)) kept.push(...x.data.slice(at, at + C));
          else noisy.data.fill(NaN, at, at + C);
        }
      }
      const { output } = layer.forward(x, { lengths });
      expect(masked.forward(noisy, { mask: flags(mask, [T, N]) }).output).toHaveBits(output);
      const swapped = rows.forward(swap(noisy), { lengths }).output; // sums in another order
      expect(swapped).toBeAllClose(swap(output), tolerances[dtype]);
      const dy = wave([T, N, C], dtype, 4);
      const { x: dx } = layer.backward({ output: dy });
      expect(masked.backward({ output: dy }).x).toHaveBits(dx);
      expect(gradients(masked.parameters())).toEqual(gradients(layer.parameters()));
      using alone = new BatchNorm1d(C, { dtype });
      const dense = alone.forward(tensor(kept, [7, C], dtype)).output;
      let next = 0;
      mask.forEach((flag, i) => {
        const part = { data: output.data.slice(i * C, i * C + C), shape: [C] };
        const dPart = dx.data.slice(i * C, i * C + C);
        if (flag) expect(part).toHaveBits({ data: dense.data.slice(next, (next += C)), shape: [C] });
        else expect([...part.data, ...dPart].every((v) => v === 0)).toBe(true);
      });
      expect(layer.stateDict()).toEqual(alone.stateDict());
      expect(masked.stateDict()).toEqual(alone.stateDict());
    });

    test("inference uses the running statistics, and changes nothing", () => {
      using layer = new BatchNorm1d(3, { dtype });
      layer.backward({ output: layer.forward(wave([6, 3], dtype)).output });
      const state = layer.stateDict();
      expect(Array.from(state.num_batches_tracked!.data)).toEqual([1]);
      layer.eval();
      const x = wave([2, 4, 3], dtype, 3);
      const { output } = layer.forward(x);
      const { bytesUsed } = heapOf(layer);
      expect(layer.forward(x).output).toHaveBits(output);
      expect(heapOf(layer).bytesUsed).toBe(bytesUsed);
      const row = { data: x.data.slice(3, 6), shape: [3] };
      expect(layer.forward(row).output.data).toEqual(output.data.slice(3, 6)); // one step is enough
      expect(layer.stateDict()).toEqual(state);
      refuses(() => layer.backward({ output }), StateError, "training mode");
    });

    test("recorded in inference mode: running statistics are constants", () => {
      using layer = new BatchNorm1d(2, { dtype });
      for (let i = 0; i < 3; i++) layer.forward(wave([5, 2], dtype, i));
      const { running_var: variance } = layer.eval().stateDict();
      const x = wave([4, 2], dtype, 9);
      const target = wave([4, 2], dtype, 2);
      const { gradients: found } = valueAndGrad(() => mse(layer.forward(x).output, target, { reduction: "sum" }), [x]);
      const { output } = layer.forward(x);
      const expected = Array.from(output.data, (y, i) => {
        return (2 * (y - target.data[i]!)) / Math.sqrt(variance!.data[i % 2]! + layer.eps);
      });
      expect(found[0]).toBeAllClose({ data: expected, shape: [4, 2] }, { rtol: dtype === "f64" ? 1e-12 : 1e-5 });
    });

    test("state dictionaries: PyTorch's names, restored; counts of any number type", () => {
      using layer = new BatchNorm1d(3, { dtype, momentum: null });
      using other = new BatchNorm1d(3, { dtype, momentum: null });
      for (let i = 0; i < 3; i++) layer.forward(wave([5, 3], dtype, i));
      const state = layer.stateDict();
      const names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
      expect(Object.keys(state)).toEqual(names);
      expect(layer.parameters().map(({ name }) => name)).toEqual(names.slice(0, 2));
      other.loadStateDict(state);
      const x = wave([4, 3], dtype, 8);
      expect(other.forward(x).output).toHaveBits(layer.forward(x).output);
      expect(other.stateDict()).toEqual(layer.stateDict());
      for (const data of [BigInt64Array.of(7n), Int32Array.of(7), Float64Array.of(7), Float32Array.of(7)]) {
        other.loadStateDict({ ...state, num_batches_tracked: { data, shape: [] } as never });
        expect(Array.from(other.stateDict().num_batches_tracked!.data)).toEqual([7]);
      }
      const before = other.stateDict();
      const { running_var: dropped, ...rest } = state;
      refuses(() => other.loadStateDict(rest), ShapeError, 'no entry "running_var"');
      refuses(() => other.loadStateDict({ ...state, running_mean: dropped!, running_var: wave([2], dtype) }), ShapeError, "running_var"); // prettier-ignore
      const counts = [BigInt64Array.of(), BigInt64Array.of(1n, 2n)];
      for (const data of counts) {
        const wrong = { ...state, num_batches_tracked: { data, shape: [data.length] } as never };
        refuses(() => other.loadStateDict(wrong), ShapeError, "num_batches_tracked");
      }
      expect(other.stateDict()).toEqual(before);
    });

    test("refuses, and changes nothing", () => {
      using layer = new BatchNorm1d(3, { dtype });
      const x = wave([4, 2, 3], dtype);
      const state = layer.stateDict();
      refuses(() => layer.forward(wave([4, 2], dtype)), ShapeError, "x: got [4, 2], expected [..., 3]");
      refuses(
        () => layer.forward(wave([1, 3], dtype)),
        ShapeError,
        "x: got [1, 3]: 1 step that counts, expected at least two",
      );
      refuses(() => layer.forward(x, { lengths: [1, 0] }), ShapeError, "1 step that counts");
      refuses(() => layer.forward(wave([0, 3], dtype)), ShapeError, "0 steps that count");
      refuses(() => layer.forward(x, { lengths: [1, 1], mask: flags(new Array<number>(8).fill(1), [4, 2]) }), StateError, "mask"); // prettier-ignore
      refuses(() => layer.forward(x, { mask: flags([1, 1], [2]) }), ShapeError, "mask");
      refuses(() => layer.forward(x, { mask: flags([1, 1, 1, 1, 2, 1, 1, 1], [4, 2]) }), ValueError, "mask: got 2");
      refuses(() => layer.forward(x, { mask: wave([4, 2], dtype) }), DtypeError, "mask");
      refuses(() => layer.forward(wave([4, 2, 2, 3], dtype), { lengths: [1, 1] }), ShapeError, "x");
      expect(layer.stateDict()).toEqual(state);
    });
  });

  test.each([undefined, { lengths: [5, 2, 0] }])("finite differences: %j", (options) => {
    for (const affine of [true, false]) {
      using layer = new BatchNorm1d(4, { affine, eps: 0.01 });
      layer.parameters().forEach(({ value }, i) => value.data.set(wave([4], "f64", i).data));
      checkGradients(layer, [5, 3, 4], options);
    }
  });
});

test("statistics of f32 are summed in f64", () => {
  const n = 100_000;
  const data = Float32Array.from({ length: n }, (_, i) => 1000 + Math.sin(i));
  using layer = new BatchNorm1d(1, { dtype: "f32", momentum: 1 });
  layer.forward({ data, shape: [n, 1] });
  const mean = data.reduce((sum, x) => sum + x, 0) / n;
  const variance = data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1);
  const { running_mean: m, running_var: v } = layer.stateDict();
  expect(m!.data[0]).toBe(Math.fround(mean));
  expect(Math.abs(v!.data[0]! / variance - 1)).toBeLessThan(1e-7);
});

test.each<[unknown[], abstract new (...args: never[]) => Error, string]>([
  [[0], ShapeError, "numFeatures"],
  [[2, { eps: -1 }], ValueError, "eps"],
  [[2, { momentum: 2 }], ValueError, "momentum: got number 2, expected 0 <= momentum <= 1, or null"],
  [[2, { affine: 1 }], ValueError, "affine"],
  [[2, { batchFirst: 1 }], ValueError, "batchFirst"],
  [[2, { trackRunningStats: false }], UnsupportedError, "trackRunningStats"],
])("the constructor refuses %j", (given, kind, message) => {
  const make = BatchNorm1d as unknown as new (...all: unknown[]) => unknown;
  refuses(() => new make(...given), kind, message);
});
