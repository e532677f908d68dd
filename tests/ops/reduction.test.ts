// Reductions and softmax over any axes, against loops that compute each index from scratch; the same bits whatever lies beside an axis.
import { describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena } from "../../bindings/memory.js";
import { sizeOf, type Tensor } from "../../bindings/tensor.js";
import { ShapeError, tensor, ValueError } from "../../src/index.js";
import { transpose } from "../../src/ops/movement.js";
import { apply, type Operation } from "../../src/ops/operation.js";
import * as reduction from "../../src/ops/reduction.js";
import { logSoftmaxAlong, softmaxAlong } from "../../src/ops/softmax-along.js";
import { both } from "../helpers/both.js";
import { indexOf } from "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const total = (x: readonly number[]) => x.reduce((a, b) => a + b, 0);
const logSumExp = (x: readonly number[]) => Math.log(total(x.map(Math.exp)));

const FORMULAS: Readonly<Record<string, (x: readonly number[]) => number>> = {
  l1: (x) => total(x.map(Math.abs)),
  l2: (x) => Math.hypot(...x),
  logSum: (x) => Math.log(total(x)),
  logSumExp,
  max: (x) => Math.max(...x),
  mean: (x) => total(x) / x.length,
  min: (x) => Math.min(...x),
  prod: (x) => x.reduce((a, b) => a * b, 1),
  sum: total,
  sumSquares: (x) => total(x.map((each) => each * each)),
};

/** Each set of axes of a rank. */
const sets = (rank: number): number[][] =>
  Array.from({ length: 1 << rank }, (_, bits) => [...Array(rank).keys()].filter((axis) => bits & (1 << axis)));

/** The numbers of x that have the same index but for some axes, for each such index. */
function groups({ data, shape }: Tensor, axes: readonly number[]): number[][] {
  const found = new Map<string, number[]>();
  Array.from(data).forEach((value, i) => {
    const key = indexOf(i, shape).map((each, axis) => (axes.includes(axis) ? 0 : each)).join(); // prettier-ignore
    found.set(key, [...(found.get(key) ?? []), value]);
  });
  return [...found.values()];
}

const run = <A>(operation: Operation<A>, x: Tensor, attributes: A): Tensor => {
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const copy: FloatTensor = arena.copy("x", x, x.data instanceof Float64Array ? "f64" : "f32", ["..."]);
    return apply(arena, operation, [copy], attributes)[0]!.download();
  });
};

test("every reduction has a formula here", () => {
  const operations = Object.entries(reduction).filter(([, each]) => typeof each === "object");
  expect(operations.map(([name]) => name).sort()).toEqual(Object.keys(FORMULAS));
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const tolerance = dtype === "f64" ? { rtol: 1e-13, atol: 1e-13 } : { rtol: 2e-6, atol: 2e-6 };
    /** Positive numbers, so that logSum has a logarithm. */
    const numbers = (shape: readonly number[]): Tensor => {
      const { data } = wave(shape, dtype, 2);
      return tensor(Array.from(data, (x) => 1.5 + x), [...shape], dtype); // prettier-ignore
    };

    test.each(Object.entries(FORMULAS))("%s", (name, formula) => {
      const operation = reduction[name as "sum"];
      for (const shape of [[], [7], [3, 5], [2, 3, 5], [2, 1, 3, 2], [3, 2, 2, 3, 2]]) {
        const x = numbers(shape);
        for (const axes of sets(shape.length)) {
          const data = groups(x, axes).map(formula);
          const kept = shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
          const left = shape.filter((_, axis) => !axes.includes(axis));
          const fromEnd = axes.map((axis) => axis - shape.length).reverse();
          expect(run(operation, x, { axes, keepDims: true })).toBeAllClose({ shape: kept, data }, tolerance);
          expect(run(operation, x, { axes: fromEnd })).toBeAllClose({ shape: left, data }, tolerance);
        }
        const whole = formula(Array.from(x.data));
        expect(run(operation, x, {})).toBeAllClose({ shape: [], data: [whole] }, tolerance);
      }
    });

    test.each(Object.keys(FORMULAS))("%s: the same bits for each order of the other axes", (name) => {
      const operation = reduction[name as "sum"];
      const x = numbers([3, 17, 5]);
      const rows = run(transpose, x, { axes: [0, 2, 1] });
      const expected = run(operation, rows, { axes: [2] });
      expect(run(operation, x, { axes: [1] })).toEqual(expected);
      const turned = run(transpose, x, { axes: [1, 0, 2] });
      expect(run(operation, turned, { axes: [0] })).toEqual(expected);
    });

    test("softmax and its logarithm along any axis", () => {
      for (const shape of [[5], [3, 5], [2, 3, 5], [2, 3, 1, 1], [3, 2, 2, 3], [0, 3], [3, 0, 2]]) {
        const x = wave(shape, dtype, 3);
        for (const axis of [...shape.keys(), -1]) {
          const own = axis < 0 ? axis + shape.length : axis;
          const size = shape[own]!;
          const inner = sizeOf(shape.slice(own + 1));
          const data = Array.from(x.data, (value, i) => {
            const first = Math.floor(i / (size * inner)) * size * inner + (i % inner);
            return value - logSumExp(Array.from({ length: size }, (_, k) => x.data[first + k * inner]!));
          });
          expect(run(logSoftmaxAlong, x, { axis })).toBeAllClose({ shape, data }, tolerance);
          expect(run(softmaxAlong, x, { axis })).toBeAllClose({ shape, data: data.map(Math.exp) }, tolerance);
        }
      }
    });
  });
});

test("what is refused", () => {
  const x = { dtype: "f64", shape: [2, 3] } as const;
  refuses(() => reduction.sum.infer([x], { axes: [2] }), ValueError, "axis");
  refuses(() => reduction.sum.infer([x], { axes: [0.5] }), ValueError, "axis");
  refuses(() => reduction.sum.infer([x], { axes: [1, -1] }), ValueError, "axes");
  refuses(() => reduction.max.infer([{ dtype: "f64", shape: [2, 0] }], { axes: [1] }), ShapeError, "x");
  refuses(() => reduction.min.infer([{ dtype: "f64", shape: [2, 0] }], {}), ShapeError, "x");
  refuses(() => softmaxAlong.infer([x], { axis: -3 }), ValueError, "axis");
  expect(reduction.max.infer([{ dtype: "f64", shape: [0, 3] }], { axes: [1] })).toEqual([{ dtype: "f64", shape: [0] }]);
});
