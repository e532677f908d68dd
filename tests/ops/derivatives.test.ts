// The derivative of every operation, against central differences; and in f32 against f64.
import { describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena, type WasmTensor } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { tensor } from "../../src/index.js";
import { backwardThrough } from "../../src/ops/composite.js";
import * as convolution from "../../src/ops/conv.backward.js";
import * as convert from "../../src/ops/convert.backward.js";
import * as elementwise from "../../src/ops/elementwise.backward.js";
import * as matmul from "../../src/ops/matmul.backward.js";
import { runsOf } from "../../src/ops/movement.js";
import * as movement from "../../src/ops/movement.backward.js";
import { derivatives } from "../../src/ops/derivatives.js";
import * as norm from "../../src/ops/norm.backward.js";
import { apply, type Differentiable } from "../../src/ops/operation.js";
import * as pool from "../../src/ops/pool.backward.js";
import * as reduction from "../../src/ops/reduction.backward.js";
import * as softmax from "../../src/ops/softmax.backward.js";
import * as along from "../../src/ops/softmax-along.backward.js";
import { Tape } from "../../src/recording/tape.js";
import { recurrent } from "../../src/recurrent/operator.js";
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

/** Numbers from -2.9 to 2.9, away from -2, -1, 0, 1 and 2, and from `besides`. */
const between = (shape: Shape, ...besides: number[]): Tensor => {
  const { data } = apart(shape);
  const jumps = [-2, -1, 0, 1, 2, ...besides];
  const away = (x: number): number => (jumps.some((jump) => Math.abs(x - jump) < 0.02) ? away(x + 0.04) : x);
  return { data: Float64Array.from(data, (x) => away(2.5 * Math.sin(3 * x))), shape };
};
/** Numbers inside of -1 and 1. */
const unit = (shape: Shape): Tensor => {
  const { data } = wave(shape, "f64", 7);
  return { data: Float64Array.from(data, (x) => 0.9 * Math.sin(5 * x)), shape };
};
const aboveOne = (shape: Shape): Tensor => {
  const { data } = positive(shape);
  return { data: data.map((x) => x + 1), shape };
};

for (const shape of [[], [1], [7], [3, 5], [0, 3], [2, 3, 17]]) {
  for (const name of ["neg", "exp", "tanh", "sigmoid"] as const) add(name, elementwise[name], [shape], undefined);
  for (const name of ["log", "sqrt"] as const) add(name, elementwise[name], [positive(shape)], undefined);
  add("relu", elementwise.relu, [apart(shape)], undefined);
}
for (const shape of [[], [0, 3], [3, 5]]) {
  // prettier-ignore
  const names = [
    "atan", "asinh", "cos", "cosh", "erf", "gelu", "geluTanh", "mish", "sin", "sinh", "softplus", "tan",
  ] as const;
  for (const name of names) add(name, elementwise[name], [shape], undefined);
  add("reciprocal", elementwise.reciprocal, [positive(shape)], undefined);
  for (const name of ["abs", "softsign"] as const) add(name, elementwise[name], [apart(shape)], undefined);
  for (const name of ["asin", "acos", "atanh"] as const) add(name, elementwise[name], [unit(shape)], undefined);
  for (const name of ["ceil", "floor", "round", "sign"] as const) {
    add(name, elementwise[name], [between(shape, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5)], undefined);
  }
  add("acosh", elementwise.acosh, [aboveOne(shape)], undefined);
  add("celu", elementwise.celu, [apart(shape)], { alpha: 0.7 });
  add("clip", elementwise.clip, [between(shape)], { min: -1, max: 2 });
  add("elu", elementwise.elu, [apart(shape)], { alpha: 0.7 });
  add("hardSigmoid", elementwise.hardSigmoid, [between(shape)], { alpha: 0.5, beta: 0.5 });
  const wide = between(shape);
  add("hardSwish", elementwise.hardSwish, [{ ...wide, data: wide.data.map((x) => 1.5 * x) }], undefined);
  add("leakyRelu", elementwise.leakyRelu, [apart(shape)], { alpha: 0.2 });
  add("selu", elementwise.selu, [apart(shape)], { alpha: 1.7, gamma: 1.1 });
  add("shrink", elementwise.shrink, [between(shape)], { lambd: 1, bias: 0.3 });
  add("thresholdedRelu", elementwise.thresholdedRelu, [between(shape)], { alpha: 1 });
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
    add("equal", elementwise.equal, [left, apart(right)], undefined);
    for (const name of ["minimum", "maximum"] as const)
      add(name, elementwise[name], [unit(left), between(right)], undefined);
    for (const name of ["fmod", "mod"] as const)
      add(name, elementwise[name], [wave(left, "f64", 8), aboveOne(right)], undefined);
    add("pow", elementwise.pow, [positive(left), between(right)], undefined);
    add("prelu", elementwise.prelu, [apart(left), right], undefined);
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
    const each = [...shape.keys(), ...shape.map((_, i) => i - shape.length)].map((axis) => [axis]);
    for (const axes of [
      undefined,
      ...each,
      [],
      ...(shape.length > 2
        ? [
            [0, 2],
            [-1, 1],
            [1, 0],
          ]
        : []),
    ]) {
      add("sum", reduction.sum, [shape], { axes, keepDims });
      add("mean", reduction.mean, [shape], { axes, keepDims });
      add("max", reduction.max, [distinct(shape)], { axes, keepDims });
      if (sizeOf(shape) > 20) continue; // the others have the same indices
      add("min", reduction.min, [distinct(shape)], { axes, keepDims });
      for (const name of ["prod", "logSumExp"] as const) add(name, reduction[name], [shape], { axes, keepDims });
      for (const name of ["sumSquares", "l1", "l2"] as const)
        add(name, reduction[name], [apart(shape)], { axes, keepDims });
      add("logSum", reduction.logSum, [positive(shape)], { axes, keepDims });
    }
  }
}
add("sum", reduction.sum, [[0, 3]], { axes: [0] });
add("sum", reduction.sum, [[0, 3]], {});
add("mean", reduction.mean, [[0, 3]], { axes: [1] });
add("max", reduction.max, [[0, 3]], { axes: [1] });

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

const ODD = { starts: [2, 0, 1], counts: [2, 4, 2], steps: [-1, 1, 3] };
add("box", movement.box, [[3, 4, 5]], ODD);
add("box", movement.box, [[3, 4]], { starts: [0, 0], counts: [0, 4], steps: [1, 1] });
add("split", movement.split, [[2, 5, 3]], { axis: 1, sizes: [2, 0, 3] });
add("split", movement.split, [[6]], { axis: -1, sizes: [1, 4, 1] });
for (const mode of ["constant", "reflect", "edge", "wrap"] as const) {
  add("pad", movement.pad, [[3, 4]], { before: [2, 0], after: [1, 3], mode, value: 5 });
  add("pad", movement.pad, [[4, 5]], { before: [-1, 2], after: [1, -2], mode, value: 5 });
}
add("pad", movement.pad, [[2]], { before: [5], after: [4], mode: "wrap", value: 0 });
add("tile", movement.tile, [[2, 3, 1]], { repeats: [3, 1, 4] });
add("tile", movement.tile, [[2, 3]], { repeats: [0, 1] });
add("strided", movement.strided, [[12]], { shape: [4, 5], strides: [2, 1], start: 1 });
add("strided", movement.strided, [[3, 3]], { shape: [3], strides: [4] });
for (const rows of [[0, 1, 2], [3, 1, 3, 0, 0], [2, 0, 3, 1, 2, 0], []]) {
  const attributes = { axis: 1, shape: rows.length === 6 ? [2, 3] : [rows.length], runs: runsOf(rows) };
  add("pick", movement.pick, [[2, 4, 3]], attributes);
  const indices = tensor([...rows, ...(rows.length === 5 ? [-1] : [])], undefined, "i32");
  add("gather", movement.gather, [[2, 4, 3], indices], { axis: 1 });
}
for (const sources of [
  [-1, 0, 1, -1],
  [1, -1, 0, 2],
  [2, 1, 0, 3],
  [-1, -1, -1, -1],
]) {
  const count = sources.filter((each) => each >= 0).length;
  add("scatter", movement.scatter, [[2, 2, 3], [count + 1, 3]], { width: 3, runs: runsOf(sources) }); // prettier-ignore
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
      add("matmul", matmul.matmul, shapes, { transposeA, transposeB });
      add("matmul with a bias", matmul.matmul, [...shapes, [b.at(-1)!]], { transposeA, transposeB });
    }
  }
}

for (const shape of [[1], [7], [3, 5], [2, 3, 33], [0, 3], [3, 0]]) {
  add("softmax", softmax.softmax, [shape], undefined);
  add("logSoftmax", softmax.logSoftmax, [shape], undefined);
}
for (const shape of [[7], [3, 5], [2, 3, 5], [2, 3, 1, 1], [0, 3], [3, 0, 2]]) {
  for (const axis of [...shape.keys(), -1, -shape.length]) {
    add("softmaxAlong", along.softmaxAlong, [shape], { axis });
    add("logSoftmaxAlong", along.logSoftmaxAlong, [shape], { axis });
  }
}

const CONVOLUTIONS: readonly (readonly [x: Shape, weight: Shape, attributes: Parameters<typeof convolution.conv.infer>[1]])[] = [
  [[2, 3, 7], [4, 3, 3], {}],
  [[2, 3, 8], [4, 3, 3], { strides: [2], pads: [1, 0] }],
  [[1, 4, 8], [6, 2, 2], { groups: 2, dilations: [3], strides: [2] }],
  [[1, 4, 9], [4, 1, 2], { groups: 4, strides: [4], autoPad: "sameUpper" }],
  [[2, 2, 5, 6], [3, 2, 3, 2], { pads: [1, 0, 2, 1], strides: [1, 2], dilations: [2, 1] }],
  [[1, 1, 5], [1, 1, 2], { strides: [3], pads: [4, 4] }],
  [[0, 2, 5], [3, 2, 2], {}],
]; // prettier-ignore
for (const [x, weight, attributes] of CONVOLUTIONS) {
  add("conv", convolution.conv, [x, weight], attributes);
  add("conv", convolution.conv, [x, weight, [weight[0]!]], attributes);
}
const TRANSPOSED: readonly (readonly [
  x: Shape,
  weight: Shape,
  attributes: Parameters<typeof convolution.convTranspose.infer>[1],
])[] = [
  [[2, 3, 5], [3, 4, 3], {}],
  [[2, 4, 5], [4, 2, 4], { strides: [3], pads: [1, 2], groups: 2 }],
  [[1, 3, 3], [3, 2, 2], { strides: [3], outputPadding: [2], dilations: [2] }],
  [[1, 2, 3, 4], [2, 1, 2, 3], { strides: [2, 1], pads: [0, 1, 1, 0], groups: 2, dilations: [1, 2] }],
  [[1, 1, 3, 3], [1, 2, 3, 3], { strides: [3, 2], outputShape: [10, 8] }],
  [[1, 2, 4], [2, 2, 3], { strides: [2], autoPad: "sameUpper" }],
]; // prettier-ignore
for (const [x, weight, attributes] of TRANSPOSED) {
  add("convTranspose", convolution.convTranspose, [x, weight], attributes);
  add("convTranspose", convolution.convTranspose, [x, weight, [weight[1]! * (attributes.groups ?? 1)]], attributes);
}
const POOLS: readonly (readonly [x: Shape, attributes: Parameters<typeof pool.averagePool.infer>[1]])[] = [
  [[2, 3, 7], { kernelShape: [3] }],
  [[1, 2, 5, 6], { kernelShape: [2, 3], strides: [2, 1], pads: [1, 0, 0, 2] }],
  [[1, 2, 5, 5], { kernelShape: [2, 2], strides: [2, 2], ceilMode: true }],
  [[1, 1, 6], { kernelShape: [2], dilations: [3], autoPad: "valid" }],
]; // prettier-ignore
for (const [x, attributes] of POOLS) {
  add("maxPool", pool.maxPool, [distinct(x)], attributes);
  for (const countIncludePad of [false, true]) {
    add("averagePool", pool.averagePool, [x], { ...attributes, countIncludePad });
  }
}
for (const shape of [[2, 3, 5], [1, 2, 3, 4]]) {
  add("globalAveragePool", pool.globalAveragePool, [shape], undefined);
  add("globalMaxPool", pool.globalMaxPool, [distinct(shape)], undefined);
} // prettier-ignore

for (const shape of [[2, 3], [2, 3, 5], [1, 4, 2, 3], [0, 3, 2]]) {
  const c = [shape[1]!];
  add("batchNorm", norm.batchNorm, [shape, c, c, c, positive(c)], { epsilon: 0.1 });
  if (shape.length > 2) add("instanceNorm", norm.instanceNorm, [shape, c, c], {});
  for (const axis of [-1, 1, 0]) {
    const own = shape.slice(axis);
    add("layerNorm", norm.layerNorm, [shape], { axis, epsilon: 0.01 });
    add("layerNorm", norm.layerNorm, [shape, own], { axis, epsilon: 0.01 });
    add("layerNorm", norm.layerNorm, [shape, own, own], { axis, epsilon: 0.01 });
  }
} // prettier-ignore

/** The results, and the gradients of the inputs of f64 or f32 for those of the results. */
function run({ operation, inputs, attributes }: Case, dtype: FloatDtype) {
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const copies = inputs.map((each) => copy(arena, each, dtype));
    const tape = new Tape();
    const results = apply(arena, operation, copies, attributes as never, tape) as FloatTensor[];
    const pairs = results.map((y, i) => [y, wave(y.shape, dtype, 11 + i)] as const);
    const gradients = backwardThrough(tape, pairs, copies);
    const sums = pairs.map(([y, dy]) => Array.from(y.data).reduce((sum, each, k) => sum + each * dy.data[k]!, 0));
    return { loss: sums.reduce((a, b) => a + b, 0), gradients };
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
    const { gradients } = run(each, "f64");
    const narrow = run(each, "f32").gradients;
    each.inputs.forEach((input, i) => {
      if (input.data instanceof Int32Array) {
        expect(gradients[i]).toBeUndefined();
        return;
      }
      const values = Float64Array.from(input.data);
      const inputs = each.inputs.map((other, j) => (j === i ? { data: values, shape: input.shape } : other));
      const loss = () => run({ ...each, inputs }, "f64").loss;
      const numeric = { data: centralDifferences(loss, values), shape: input.shape };
      if (!gradients[i]) {
        expect(numeric.data.every((x) => x === 0)).toBe(true);
        return;
      }
      expect(gradients[i], `gradient ${i}`).toBeAllClose(numeric, { rtol: 1e-9, atol: 1e-9 });
      expect(narrow[i]!.data).toBeInstanceOf(Float32Array);
      expect(narrow[i], `gradient ${i} in f32`).toBeAllClose(gradients[i], { rtol: 1e-5, atol: 1e-5 });
    });
    expect(currentCore().heap.bytesUsed).toBe(0);
  });
});

/** The gradient of x, for a gradient of ones. */
function gradientsAt<Attributes>(
  operation: Differentiable<Attributes>,
  inputs: readonly number[][],
  attributes: Attributes,
): number[][] {
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const tensors = inputs.map((x): FloatTensor => arena.copy("x", tensor(x), "f64", ["n"]));
    const tape = new Tape();
    const [y] = apply(arena, operation, tensors, attributes, tape) as FloatTensor[];
    const ones = tensor(Array<number>(sizeOf(y!.shape)).fill(1), [...y!.shape]);
    return backwardThrough(tape, [[y!, ones]], tensors).map((each) => Array.from(each!.data));
  });
}

test("where a function has a kink, or a formula a pole", () => {
  expect(gradientsAt(elementwise.abs, [[0, -0]], undefined)).toEqual([[0, 0]]);
  expect(gradientsAt(elementwise.relu, [[0, Infinity]], undefined)).toEqual([[0, 1]]);
  expect(gradientsAt(elementwise.clip, [[-1, 2, -Infinity]], { min: -1, max: 2 })).toEqual([[1, 1, 0]]);
  expect(gradientsAt(elementwise.hardSigmoid, [[-1, 1]], { alpha: 0.5, beta: 0.5 })).toEqual([[0, 0]]);
  expect(gradientsAt(elementwise.hardSwish, [[-3, 3, -9, 9]], undefined)).toEqual([[0, 1, 0, 1]]);
  expect(gradientsAt(elementwise.leakyRelu, [[Infinity, -Infinity]], { alpha: 0.1 })).toEqual([[1, 0.1]]);
  expect(gradientsAt(elementwise.elu, [[Infinity, -Infinity]], { alpha: 0.5 })).toEqual([[1, 0]]);
  expect(gradientsAt(elementwise.maximum, [[1, 2], [1, 3]], undefined)).toEqual([[0.5, 0], [0.5, 1]]); // prettier-ignore
  expect(gradientsAt(elementwise.minimum, [[Infinity, 2], [Infinity, 3]], undefined)).toEqual([[0.5, 1], [0.5, 0]]); // prettier-ignore
  expect(gradientsAt(elementwise.pow, [[0, 0, 0, -2], [2, 1, 0, 2]], undefined)[0]).toEqual([0, 1, 0, -4]); // prettier-ignore
  expect(gradientsAt(elementwise.pow, [[0, 0, -3], [2, 0, 2]], undefined)[1]).toEqual([0, 0, 0]); // prettier-ignore
  expect(gradientsAt(reduction.max, [[3, 1, 3]], {})).toEqual([[0.5, 0, 0.5]]);
  expect(gradientsAt(reduction.l1, [[0, -2]], {})).toEqual([[0, -1]]);
  expect(gradientsAt(reduction.l2, [[0, 0]], {})).toEqual([[0, 0]]);
  expect(gradientsAt(reduction.prod, [[2, 0, 3]], {})).toEqual([[0, 6, 0]]);
  expect(gradientsAt(reduction.prod, [[0, 2, 0]], {})).toEqual([[0, 0, 0]]);
  expect(gradientsAt(reduction.logSumExp, [[1000]], {})).toEqual([[1]]);
});

test("that of convert converts back", () => {
  startGraph(currentCore());
  withArena(currentCore(), (arena) => {
    for (const [from, to] of [
      ["f32", "f64"],
      ["f64", "f32"],
    ] as const) {
      const x = arena.copy("x", wave([2, 17], from, 1), from, ["..."]);
      const tape = new Tape();
      const [y] = apply(arena, convert.convert, [x], undefined, tape) as FloatTensor[];
      expect(y!.download()).toEqual(tensor(Array.from(x.data), [2, 17], to));
      const dy = wave([2, 17], to, 2);
      expect(backwardThrough(tape, [[y!, dy]], [x])[0]).toEqual(tensor(Array.from(dy.data), [2, 17], from));
    }
  });
});

test("are found by the names of their operations", () => {
  const modules = { convolution, convert, elementwise, matmul, movement, norm, pool, reduction, softmax, along };
  const tested = new Set<unknown>(cases.map(({ operation }) => operation)).add(convert.convert);
  for (const module of Object.values(modules)) {
    for (const [name, derivative] of Object.entries(module) as [string, Differentiable<unknown>][]) {
      if (typeof derivative === "function" || name === "mask" || name === "whereElse") continue; // of recorded calls
      expect(derivatives.get(derivative.name), name).toBe(derivative);
      expect(tested, name).toContain(derivative);
    }
  }
  expect(derivatives.has(recurrent.name)).toBe(true); // recurrent-derivative.test.ts
});
