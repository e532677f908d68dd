// Normalisation and softmax.

import { ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { stridesOf } from "../../../bindings/graph.js";
import { showShape, sizeOf } from "../../../bindings/tensor.js";
import { checkAxis } from "../../ops/attributes.js";
import { abs, add, div, mul, pow, reciprocal, sqrt, sub } from "../../ops/elementwise.js";
import { pad, strided } from "../../ops/movement.js";
import * as norm from "../../ops/norm.js";
import { l1, l2, mean, sum } from "../../ops/reduction.js";
import * as along from "../../ops/softmax-along.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operator, type Operators } from "../node.js";
import { floatOf, type Value } from "../value.js";
import { axesOf, cast, filled, pair, reshaped } from "./compose.js";

/** The mean over axes, which stay, and the mean of the squares of what remains. */
function moments(builder: Builder, x: Value, axes: readonly number[]) {
  const average = builder.one(mean, [x], { axes, keepDims: true });
  const rest = pair(builder, sub, x, average);
  return { average, rest, variance: builder.one(mean, [pair(builder, mul, rest, rest)], { axes, keepDims: true }) };
}

/** Channels by given statistics or, in training, by their own, of which there are running means then. */
function batchNormalization(node: Node, builder: Builder): readonly Value[] {
  const x = node.input(0, "X");
  if (!node.flag("spatial", true)) throw new UnsupportedError("spatial", "0", "1");
  const given = ["scale", "B", "input_mean", "input_var"].map((name, i) => {
    const value = node.input(i + 1, name);
    return floatOf(value.dtype) === floatOf(x.dtype) ? value : cast(builder, value, x.dtype);
  });
  const epsilon = node.float("epsilon", 1e-5);
  const training = node.opset >= 14 ? node.flag("training_mode", false) : node.wants(1);
  if (!training) return [builder.one(norm.batchNorm, [x, ...given], { epsilon })];
  const [scale, bias, ...running] = given as [Value, Value, Value, Value];
  const axes = [...x.shape.keys()].filter((axis) => axis !== 1);
  const { average, variance } = moments(builder, x, axes);
  const own = [average, variance].map((each) => reshaped(builder, each, [each.size]));
  const momentum = node.float("momentum", 0.9);
  const updated = running.map((each, i) =>
    pair(builder, add, pair(builder, mul, each, momentum), pair(builder, mul, own[i]!, 1 - momentum)),
  );
  return [builder.one(norm.batchNorm, [x, scale, bias, ...own], { epsilon }), ...updated, ...own];
}

function groupNormalization(node: Node, builder: Builder): Value {
  const [x, scale, bias] = [node.input(0, "X"), node.input(1, "scale"), node.input(2, "bias")];
  const groups = node.int("num_groups", 0);
  const [n, channels, ...rest] = x.shape as [number, number, ...number[]];
  if (x.shape.length < 2 || !(groups > 0) || channels % groups !== 0) {
    throw new ValueError("num_groups", `${groups}`, `a divisor of the channels of ${showShape(x.shape)}`);
  }
  const attributes = { epsilon: node.float("epsilon", 1e-5) };
  const grouped = reshaped(builder, x, [n, groups, (channels / groups) * sizeOf(rest)]);
  if (node.opset < 21) return reshaped(builder, builder.one(norm.instanceNorm, [grouped, scale, bias], attributes), x.shape); // prettier-ignore
  const [ones, zeros] = [1, 0].map((value) => filled(builder, x.dtype, [groups], value)) as [Value, Value];
  const normal = reshaped(builder, builder.one(norm.instanceNorm, [grouped, ones, zeros], attributes), x.shape);
  const [factor, shift] = [scale, bias].map((each) => reshaped(builder, each, [channels, ...rest.map(() => 1)]));
  return pair(builder, add, pair(builder, mul, normal, factor!), shift!);
}

/** The operation's own statistics have no derivative, so they are computed by themselves. */
function layerNormalization(node: Node, builder: Builder): readonly Value[] {
  const [x, scale, bias] = [node.input(0, "X"), node.input(1, "Scale"), node.optional(2)];
  const axis = checkAxis(node.int("axis", -1), x.shape.length);
  const epsilon = node.float("epsilon", 1e-5);
  const weights = bias ? [scale, bias] : [scale];
  const whole = showShape(x.shape.slice(axis));
  const direct = weights.every(({ shape }) => showShape(shape) === whole);
  let y = builder.one(norm.layerNorm, direct ? [x, ...weights] : [x], { axis, epsilon });
  if (!direct) y = pair(builder, mul, y, scale);
  if (!direct && bias) y = pair(builder, add, y, bias);
  if (!node.wants(1) && !node.wants(2)) return [y];
  const { average, variance } = moments(builder, x, [...x.shape.keys()].slice(axis));
  const deviation = builder.one(sqrt, [pair(builder, add, variance, epsilon)], undefined);
  return [y, average, builder.one(reciprocal, [deviation], undefined)];
}

function meanVarianceNormalization(node: Node, builder: Builder): Value {
  const x = node.input(0, "X");
  const { rest, variance } = moments(builder, x, axesOf(node.ints("axes") ?? [0, 2, 3], x.shape.length));
  return pair(builder, div, rest, pair(builder, add, builder.one(sqrt, [variance], undefined), 1e-9));
}

function lpNormalization(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  const p = node.int("p", 2);
  if (p !== 1 && p !== 2) throw new ValueError("p", `${p}`, "1 or 2");
  const axes = [checkAxis(node.int("axis", -1), x.shape.length)];
  return pair(builder, div, x, builder.one(p === 1 ? l1 : l2, [x], { axes, keepDims: true }));
}

/** x / (bias + alpha / size (the sum of x^2 over `size` neighbouring channels))^beta. */
function localResponse(node: Node, builder: Builder): Value {
  const x = node.input(0, "X");
  const size = node.int("size", 0);
  const [n, channels, ...rest] = x.shape as [number, number, ...number[]];
  if (x.shape.length < 3) throw new ShapeError("X", showShape(x.shape), "[N, C, ...]");
  if (!(size > 0)) throw new ValueError("size", `${size}`, "at least 1");
  const before = x.shape.map((_, axis) => (axis === 1 ? Math.floor((size - 1) / 2) : 0));
  const after = x.shape.map((_, axis) => (axis === 1 ? Math.ceil((size - 1) / 2) : 0));
  const squares = builder.one(pad, [pair(builder, mul, x, x)], { before, after, mode: "constant", value: 0 });
  const strides = stridesOf(squares.shape);
  const shape = [n, channels, size, ...rest];
  const windows = builder.one(strided, [squares], { shape, strides: [strides[0]!, strides[1]!, ...strides.slice(1)] });
  const sums = builder.one(sum, [windows], { axes: [2] });
  const base = pair(builder, add, pair(builder, mul, sums, node.float("alpha", 1e-4) / size), node.float("bias", 1));
  return pair(builder, div, x, pair(builder, pow, base, node.float("beta", 0.75)));
}

/** The p-th root of the sum of |x|^p of each channel. */
function globalLpPool(node: Node, builder: Builder): Value {
  const x = node.input(0, "X");
  const p = node.int("p", 2);
  if (x.shape.length < 3) throw new ShapeError("X", showShape(x.shape), "[N, C, ...]");
  const powers = pair(builder, pow, builder.one(abs, [x], undefined), p);
  const axes = [...x.shape.keys()].slice(2);
  return pair(builder, pow, builder.one(sum, [powers], { axes, keepDims: true }), 1 / p);
}

/** Over an axis or, before opset 13, over it and all that follow. */
function softmax(operation: typeof along.softmaxAlong): Operator {
  return operator(["axis"], (node, builder) => {
    const x = node.input(0, "input");
    const axis = checkAxis(node.int("axis", node.opset >= 13 ? -1 : 1), x.shape.length);
    if (node.opset >= 13) return builder.one(operation, [x], { axis });
    const rows = reshaped(builder, x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))]);
    return reshaped(builder, builder.one(operation, [rows], { axis: 1 }), x.shape);
  });
}

export const norms: Operators = {
  BatchNormalization: operator(["epsilon", "momentum", "training_mode", "spatial"], batchNormalization),
  GlobalLpPool: operator(["p"], globalLpPool),
  GroupNormalization: operator(["epsilon", "num_groups", "stash_type"], groupNormalization),
  InstanceNormalization: operator(["epsilon"], (node, builder) =>
    builder.one(norm.instanceNorm, [node.input(0, "input"), node.input(1, "scale"), node.input(2, "B")], {
      epsilon: node.float("epsilon", 1e-5),
    }),
  ),
  LayerNormalization: operator(["axis", "epsilon", "stash_type"], layerNormalization),
  LogSoftmax: softmax(along.logSoftmaxAlong),
  LpNormalization: operator(["axis", "p"], lpNormalization),
  LRN: operator(["alpha", "beta", "bias", "size"], localResponse),
  MeanVarianceNormalization: operator(["axes"], meanVarianceNormalization),
  Softmax: softmax(along.softmaxAlong),
};
