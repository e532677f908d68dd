// The derivative of every operation, against central differences; and in f32 against f64.
import { describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena, type WasmTensor } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { tensor } from "../../src/index.js";
import { backwardThrough } from "../../src/ops/composite.js";
import * as elementwise from "../../src/ops/elementwise.backward.js";
import { matmul } from "../../src/ops/matmul.backward.js";
import * as movement from "../../src/ops/movement.backward.js";
import { apply, type Differentiable } from "../../src/ops/operation.js";
import * as reduction from "../../src/ops/reduction.backward.js";
import * as softmax from "../../src/ops/softmax.backward.js";
import { Tape } from "../../src/recording/tape.js";
import "../helpers/close.js";
import { centralDifferences } from "../helpers/gradient.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Shape = readonly number[];

interface Case {
  name: string;
  operation: Differentiable<never>;
  inputs: Tensor[];
  attributes: unknown;
}

const cases: Case[] = [];

function add<Attributes>(
  name: string,
  operation: Differentiable<Attributes>,
  inputs: readonly (Shape | Tensor)[],
  attributes: Attributes,
): void {
  const tensors = inputs.map((each, i) => ("data" in each ? each : wave(each, "f64", i + 1)));
  const shapes = tensors.map(({ shape }) => `[${shape.join()}]`).join(" ");
  const text = attributes === undefined ? "" : ` ${JSON.stringify(attributes)}`;
  cases.push({ name: `${name} ${shapes}${text}`, operation, inputs: tensors, attributes });
}

/** Numbers from 0.5 to 2.5. */
const positive = (shape: Shape): Tensor => {
  const { data } = wave(shape, "f64", 3);
  return { data: Float64Array.from(data, (x) => 1.5 + Math.sin(9 * x)), shape };
};
/** Numbers away from 0. */
const apart = (shape: Shape): Tensor => {
  const { data } = wave(shape, "f64", 5);
  return { data: Float64Array.from(data, (x) => x + (x < 0 ? -0.1 : 0.1)), shape };
};
/** Different numbers, at least 0.01 apart. */
const distinct = (shape: Shape): Tensor => {
  const n = sizeOf(shape);
  return { data: Float64Array.from({ length: n }, (_, i) => ((i * 7) % n) * 0.1 - 0.5 + i * 0.001), shape };
};

for (const shape of [[], [1], [7], [3, 5], [0, 3], [2, 3, 17]]) {
  for (const name of ["neg", "exp", "tanh", "sigmoid"] as const) add(name, elementwise[name], [shape], undefined);
  for (const name of ["log", "sqrt"] as const) add(name, elementwise[name], [positive(shape)], undefined);
  add("relu", elementwise.relu, [apart(shape)], undefined);
}

const PAIRS: readonly (readonly [Shape, Shape])[] = [
  [[], []],
  [[7], [7]],
  [[7], []],
  [[], [3, 5]],
  [[5, 7], [7]],
  [[5, 1], [1, 7]],
  [[5, 7], [5, 1]],
  [[1, 1, 1], [3]],
  [[2, 1, 3, 1], [5, 1, 4]],
  [[0, 3], [1, 3]],
  [[1, 3], [0, 3]],
]; // prettier-ignore
for (const [a, b] of PAIRS) {
  for (const [left, right] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const name of ["add", "sub", "mul"] as const) add(name, elementwise[name], [left, right], undefined);
    add("div", elementwise.div, [left, positive(right)], undefined);
    for (const shape of [left, [1], [3, 1, 1, 1]].filter(
      (each) => (!left.includes(0) && !right.includes(0)) || each === left,
    )) {
      const condition = tensor(
        Array.from({ length: sizeOf(shape) }, (_, i) => (i % 3) - 1),
        [...shape],
        "i32",
      );
      try {
        elementwise.where.infer(
          [
            { dtype: "i32", shape },
            { dtype: "f64", shape: left },
            { dtype: "f64", shape: right },
          ],
          undefined,
        );
      } catch {
        continue; // shapes that do not broadcast
      }
      add("where", elementwise.where, [condition, left, right], undefined);
    }
  }
}

for (const shape of [[], [7], [3, 5], [2, 3, 17], [4, 1, 2]]) {
  for (const keepDims of [false, true]) {
    for (const axis of [undefined, ...shape.keys(), ...shape.map((_, i) => i - shape.length)]) {
      add("sum", reduction.sum, [shape], { axis, keepDims });
      add("mean", reduction.mean, [shape], { axis, keepDims });
      add("max", reduction.max, [distinct(shape)], { axis, keepDims });
    }
  }
}
add("sum", reduction.sum, [[0, 3]], { axis: 0 });
add("sum", reduction.sum, [[0, 3]], {});
add("mean", reduction.mean, [[0, 3]], { axis: 1 });
add("max", reduction.max, [[0, 3]], { axis: 1 });

for (const axes of [undefined, [0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 0, 1], [1, 2, 0], [-1, 1, 0]]) {
  add("transpose", movement.transpose, [[2, 3, 5]], { axes });
}
add("transpose", movement.transpose, [[]], {});
add("transpose", movement.transpose, [[0, 3]], {});
add("expand", movement.expand, [[3, 1]], { shape: [2, 3, 5] });
add("reshape", movement.reshape, [[2, 3, 5]], { shape: [6, -1] });
add("reshape", movement.reshape, [[1]], { shape: [] });
add("concat", movement.concat, [[2, 3], [4, 3], [0, 3], [1, 3]], { axis: 0 }); // prettier-ignore
add("concat", movement.concat, [[2, 3, 2], [2, 1, 2]], { axis: -2 }); // prettier-ignore
add("concat", movement.concat, [[2, 3]], { axis: 1 });
add("stack", movement.stack, [[2, 3], [2, 3], [2, 3]], { axis: 0 }); // prettier-ignore
add("stack", movement.stack, [[2, 3], [2, 3]], { axis: 1 }); // prettier-ignore
add("stack", movement.stack, [[2, 3], [2, 3]], { axis: -1 }); // prettier-ignore
add("stack", movement.stack, [[], []], { axis: 0 });
for (const axis of [0, 1, 2, -1]) {
  add("slice", movement.slice, [[3, 4, 5]], { axis, start: 1, end: 3 });
  add("slice", movement.slice, [[3, 4, 5]], { axis, start: -2, end: -2 });
  add("select", movement.select, [[3, 4, 5]], { axis, index: 1 });
  add("select", movement.select, [[3, 4, 5]], { axis, index: -1 });
}

const PRODUCTS: readonly (readonly [Shape, Shape])[] = [
  [[1, 1], [1, 1]],
  [[3, 5], [5, 7]],
  [[2, 3, 5], [5, 7]],
  [[2, 3, 5], [1, 5, 7]],
  [[3, 5], [2, 5, 7]],
  [[2, 3, 5], [2, 5, 7]],
  [[2, 1, 3, 5], [4, 5, 2]],
  [[4, 3, 5], [2, 1, 5, 2]],
  [[2, 3, 0], [0, 7]],
  [[0, 3, 5], [5, 7]],
]; // prettier-ignore
const swap = (shape: Shape): Shape => [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];
for (const [a, b] of PRODUCTS) {
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const shapes = [transposeA ? swap(a) : a, transposeB ? swap(b) : b];
      add("matmul", matmul, shapes, { transposeA, transposeB });
    }
  }
}

for (const shape of [[1], [7], [3, 5], [2, 3, 33], [0, 3], [3, 0]]) {
  add("softmax", softmax.softmax, [shape], undefined);
  add("logSoftmax", softmax.logSoftmax, [shape], undefined);
}

/** The result, and the gradients of the inputs of f64 or f32 for that of the result. */
function run({ operation, inputs, attributes }: Case, dtype: FloatDtype) {
  return withArena(currentCore(), (arena) => {
    const copies = inputs.map((each) => copy(arena, each, dtype));
    const tape = new Tape();
    const [y] = apply(arena, operation, copies, attributes as never, tape) as FloatTensor[];
    const dy = wave(y!.shape, dtype, 11);
    const gradients = backwardThrough(tape, [[y!, dy]], copies);
    return { y: y!.download(), dy, gradients };
  });
}

function copy(arena: Arena, { data, shape }: Tensor, dtype: FloatDtype): WasmTensor {
  return data instanceof Int32Array
    ? arena.copy("input", { data, shape }, "i32", ["..."])
    : arena.copy("input", tensor(Array.from(data), [...shape], dtype), dtype, ["..."]);
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test.each(cases)("$name", (each) => {
    const { dy, gradients } = run(each, "f64");
    const narrow = run(each, "f32").gradients;
    each.inputs.forEach((input, i) => {
      if (input.data instanceof Int32Array) {
        expect(gradients[i]).toBeUndefined();
        return;
      }
      const values = Float64Array.from(input.data);
      const inputs = each.inputs.map((other, j) => (j === i ? { data: values, shape: input.shape } : other));
      const loss = () =>
        Array.from(run({ ...each, inputs }, "f64").y.data).reduce((sum, y, k) => sum + y * dy.data[k]!, 0);
      const numeric = { data: centralDifferences(loss, values), shape: input.shape };
      expect(gradients[i], `gradient ${i}`).toBeAllClose(numeric, { rtol: 1e-9, atol: 1e-9 });
      expect(narrow[i]!.data).toBeInstanceOf(Float32Array);
      expect(narrow[i], `gradient ${i} in f32`).toBeAllClose(gradients[i]!, { rtol: 1e-5, atol: 1e-5 });
    });
    expect(currentCore().heap.bytesUsed).toBe(0);
  });
});
