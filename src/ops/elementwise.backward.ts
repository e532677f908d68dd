// Derivatives of arithmetic and functions of elements.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import * as ops from "./elementwise.js";
import { apply, compute, differentiable, type Differentiable, type Operation, type Spec } from "./operation.js";
import { sum } from "./reduction.js";

/** Sums a gradient over the axes along which a tensor of `shape` was repeated: its own gradient. */
export function sumTo(arena: Arena, gradient: FloatTensor, shape: readonly number[]): FloatTensor {
  const added = gradient.shape.length - shape.length;
  let result = gradient;
  for (let axis = 0; axis < gradient.shape.length; axis++) {
    const own = shape[axis - added] ?? 1;
    if (own === result.shape[axis]) continue;
    result = apply(arena, sum, [result], { axis, keepDims: true })[0] as FloatTensor;
  }
  return result.reshape(shape);
}

/** A tensor of one number. */
export function scalar(arena: Arena, { dtype }: Spec, value: number): FloatTensor {
  const tensor = arena.allocate("a number", dtype as FloatTensor["dtype"], []);
  tensor.fill(value);
  return tensor;
}

/** An operation of one operand: dx from x, y and dy. */
function unary(
  operation: Operation,
  saves: Differentiable["saves"],
  backward: (arena: Arena, call: Record<"x" | "y" | "dy", FloatTensor>) => FloatTensor,
): Differentiable {
  return differentiable(operation, saves, (arena, { inputs, outputs, gradients }) => {
    const [x, y, dy] = [inputs[0], outputs[0], gradients[0]] as [FloatTensor, FloatTensor, FloatTensor];
    return [backward(arena, { x, y, dy })];
  });
}

/** An operation of two operands that broadcast: da and db in the shape of y, which are then summed, from a, b, y and dy. */
function binary(
  operation: Operation,
  saves: Differentiable["saves"],
  backward: (arena: Arena, call: Record<"a" | "b" | "y" | "dy", FloatTensor>) => FloatTensor[],
): Differentiable {
  return differentiable(operation, saves, (arena, { inputs, outputs, gradients }) => {
    const [a, b] = inputs as [FloatTensor, FloatTensor];
    const wide = backward(arena, { a, b, y: outputs[0] as FloatTensor, dy: gradients[0]! });
    return wide.map((gradient, i) => sumTo(arena, gradient, inputs[i]!.shape));
  });
}

export const neg = /* @__PURE__ */ unary(ops.neg, "none", (arena, { dy }) => compute(arena, ops.neg, [dy]));
export const exp = /* @__PURE__ */ unary(ops.exp, "outputs", (arena, { y, dy }) => compute(arena, ops.mul, [dy, y]));
export const log = /* @__PURE__ */ unary(ops.log, "inputs", (arena, { x, dy }) => compute(arena, ops.div, [dy, x]));
export const sqrt = /* @__PURE__ */ unary(ops.sqrt, "outputs", (arena, { y, dy }) =>
  compute(arena, ops.div, [dy, compute(arena, ops.add, [y, y])]),
);
export const tanh = /* @__PURE__ */ unary(ops.tanh, "outputs", (arena, { y, dy }) =>
  compute(arena, ops.tanhBackward, [dy, y]),
);
export const sigmoid = /* @__PURE__ */ unary(ops.sigmoid, "outputs", (arena, { y, dy }) =>
  compute(arena, ops.sigmoidBackward, [dy, y]),
);
/** At 0 the derivative is 0. */
export const relu = /* @__PURE__ */ unary(ops.relu, "outputs", (arena, { y, dy }) =>
  compute(arena, ops.reluBackward, [dy, y]),
);

export const add = /* @__PURE__ */ binary(ops.add, "none", (_, { dy }) => [dy, dy]);
export const sub = /* @__PURE__ */ binary(ops.sub, "none", (arena, { dy }) => [dy, compute(arena, ops.neg, [dy])]);
export const mul = /* @__PURE__ */ binary(ops.mul, "inputs", (arena, { a, b, dy }) => [
  compute(arena, ops.mul, [dy, b]),
  compute(arena, ops.mul, [dy, a]),
]);
export const div = /* @__PURE__ */ binary(ops.div, "both", (arena, { b, y, dy }) => {
  const da = compute(arena, ops.div, [dy, b]);
  return [da, compute(arena, ops.neg, [compute(arena, ops.mul, [da, y])])];
});

/** `mul` of a tensor and a mask, which has no gradient. */
export const mask = /* @__PURE__ */ differentiable(ops.mul, "inputs", (arena, { inputs, gradients }) => [
  sumTo(arena, compute(arena, ops.mul, [gradients[0]!, inputs[1]!]), inputs[0]!.shape),
]);

export const where = /* @__PURE__ */ differentiable(ops.where, "inputs", (arena, { inputs, gradients }) => {
  const [condition, a, b] = inputs;
  const [dy] = gradients as [FloatTensor];
  const zero = scalar(arena, dy, 0);
  return [
    undefined,
    sumTo(arena, compute(arena, ops.where, [condition!, dy, zero]), a!.shape),
    sumTo(arena, compute(arena, ops.where, [condition!, zero, dy]), b!.shape),
  ];
});

/** `where` of a tensor and a constant. */
export const whereElse = /* @__PURE__ */ differentiable(ops.where, "inputs", (arena, { inputs, gradients }) => {
  const [condition, a] = inputs;
  const [dy] = gradients as [FloatTensor];
  const da = compute(arena, ops.where, [condition!, dy, scalar(arena, dy, 0)]);
  return [undefined, sumTo(arena, da, a!.shape)];
});
