// Normalisation against its formulas.
import { afterAll, describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import { withArena } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { DtypeError, ShapeError, tensor, ValueError } from "../../src/index.js";
import { batchNorm, instanceNorm, layerNorm } from "../../src/ops/norm.js";
import { apply, type Operation } from "../../src/ops/operation.js";
import "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const TOLERANCE = { f64: { rtol: 1e-12, atol: 1e-12 }, f32: { rtol: 1e-4, atol: 1e-5 } };

function run<A>(operation: Operation<A>, inputs: readonly Tensor[], attributes: A, dtype: FloatDtype): Tensor[] {
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const copies = inputs.map(({ data, shape }) =>
      arena.copy("input", tensor(Array.from(data), [...shape], dtype), dtype, ["..."]),
    );
    return apply(arena, operation, copies, attributes).map((each) => each.download());
  });
}

/** Each row of n numbers: its mean and variance. */
function statistics(x: Tensor, n: number) {
  const rows = Array.from({ length: n === 0 ? 0 : x.data.length / n }, (_, i) => Array.from(x.data).slice(i * n, i * n + n)); // prettier-ignore
  return rows.map((row) => {
    const mean = row.reduce((a, b) => a + b, 0) / n;
    return { row, mean, variance: row.reduce((a, b) => a + (b - mean) ** 2, 0) / n };
  });
}

const positive = (x: Tensor): Tensor => ({ ...x, data: Float64Array.from(x.data, (v) => v * v + 0.1) });

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(["f64", "f32"] as const)("%s", (dtype) => {
    test.each([[[2, 3]], [[2, 5, 7]], [[1, 4, 3, 33]], [[0, 2, 3]], [[3, 2, 0]]])("of channels: [%s]", (shape) => {
      const x = wave(shape, dtype);
      const [scale, bias, mean] = [2, 3, 4].map((seed) => wave([shape[1]!], dtype, seed)) as [Tensor, Tensor, Tensor];
      const variance = positive(wave([shape[1]!], dtype, 5));
      const n = sizeOf(shape.slice(2));
      const expected = (f: (v: number, c: number, i: number) => number) => ({
        shape,
        data: Array.from(x.data, (v, i) => f(v, Math.floor(i / n) % shape[1]!, i)),
      });
      const batch = (epsilon: number) =>
        expected((v, c) => ((v - mean.data[c]!) * scale.data[c]!) / Math.sqrt(variance.data[c]! + epsilon) + bias.data[c]!); // prettier-ignore
      const inputs = [x, scale, bias, mean, variance];
      expect(run(batchNorm, inputs, {}, dtype)[0]).toBeAllClose(batch(1e-5), TOLERANCE[dtype]);
      expect(run(batchNorm, inputs, { epsilon: 0.5 }, dtype)[0]).toBeAllClose(batch(0.5), TOLERANCE[dtype]);
      const own = statistics(x, n);
      const instance = expected((v, c, i) => {
        const plane = own[Math.floor(i / n)]!;
        return ((v - plane.mean) * scale.data[c]!) / Math.sqrt(plane.variance + 0.01) + bias.data[c]!;
      });
      expect(run(instanceNorm, [x, scale, bias], { epsilon: 0.01 }, dtype)[0]).toBeAllClose(instance, TOLERANCE[dtype]);
    });

    test.each([[[7], 0], [[3, 5], -1], [[2, 3, 5], 1], [[2, 3, 4, 5], 0], [[2, 3, 4, 5], -2], [[0, 3], 1], [[3, 0], 1]] as const)(
      "over the last axes: [%s] from axis %s",
      (shape, axis) => {
        const x = wave(shape, dtype);
        const normalized = shape.slice(axis);
        const n = sizeOf(normalized);
        const [scale, bias] = [wave(normalized, dtype, 2), wave(normalized, dtype, 3)];
        const own = statistics(x, n);
        const data = own.flatMap(({ row, mean, variance }) => row.map((v) => (v - mean) / Math.sqrt(variance + 1e-5)));
        const inputs = [x, scale, bias];
        for (const count of [1, 2, 3]) {
          const expected = data.map((v, i) => (count > 1 ? v * scale.data[i % n]! : v) + (count > 2 ? bias.data[i % n]! : 0)); // prettier-ignore
          const results = run(layerNorm, inputs.slice(0, count), { axis }, dtype);
          expect(results).toHaveLength(1);
          expect(results[0]).toBeAllClose({ shape, data: expected }, TOLERANCE[dtype]);
        }
        if (n === 0) return;
        const [, mean, rstd] = run(layerNorm, inputs, { axis, statistics: true }, dtype);
        const kept = [...shape.slice(0, shape.length - normalized.length), ...normalized.map(() => 1)];
        expect(mean).toBeAllClose({ shape: kept, data: own.map((each) => each.mean) }, TOLERANCE[dtype]);
        const rstds = own.map(({ variance }) => 1 / Math.sqrt(variance + 1e-5));
        expect(rstd).toBeAllClose({ shape: kept, data: rstds }, TOLERANCE[dtype]);
      },
    ); // prettier-ignore
  });
});

test("bad arguments are named", () => {
  const f64 = (...shape: number[]) => ({ dtype: "f64" as const, shape });
  const c = f64(3);
  refuses(() => batchNorm.infer([f64(3), c, c, c, c], {}), ShapeError, "x", "[3]", "[N, C, ...]");
  refuses(() => batchNorm.infer([f64(2, 3), c, c, f64(4), c], {}), ShapeError, "mean", "[4]", "[3]");
  refuses(() => instanceNorm.infer([f64(2, 3), f64(3, 1), c], {}), ShapeError, "scale", "[3, 1]", "[3]");
  refuses(() => instanceNorm.infer([f64(2, 3), c, { dtype: "f32", shape: [3] }], {}), DtypeError, "bias", "f32", "f64");
  refuses(() => layerNorm.infer([f64(2, 3), f64(2)], {}), ShapeError, "scale", "[2]", "[3]");
  refuses(() => layerNorm.infer([f64(2, 3)], { axis: 2 }), ValueError, "axis");
});

afterAll(() => expect(currentCore().heap.bytesUsed).toBe(0));
