// Derivatives of sums, means and maxima.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { div, equal, mul } from "./elementwise.js";
import { scalar } from "./elementwise.backward.js";
import { expand } from "./movement.js";
import { apply, compute, differentiable } from "./operation.js";
import * as ops from "./reduction.js";

/** A gradient, or another tensor in the shape of the result, with the axes of x: 1 where they were reduced. */
function kept(tensor: FloatTensor, shape: readonly number[], attributes: ops.ReductionAttributes): FloatTensor {
  return tensor.reshape(ops.reducedShape(shape, { ...attributes, keepDims: true }));
}

/** Repeated in a larger shape. */
function repeat(arena: Arena, tensor: FloatTensor, shape: readonly number[]): FloatTensor {
  return apply(arena, expand, [tensor], { shape })[0] as FloatTensor;
}

export const sum = /* @__PURE__ */ differentiable(ops.sum, "none", (arena, { inputs, gradients, attributes }) => {
  const { shape } = inputs[0]!;
  return [repeat(arena, kept(gradients[0]!, shape, attributes), shape)];
});

export const mean = /* @__PURE__ */ differentiable(
  ops.mean,
  "none",
  (arena, { inputs, outputs, gradients, attributes }) => {
    const { shape } = inputs[0]!;
    const count = scalar(arena, gradients[0]!, sizeOf(shape) / sizeOf(outputs[0]!.shape));
    const each = compute(arena, div, [gradients[0]!, count]);
    return [repeat(arena, kept(each, shape, attributes), shape)];
  },
);

/** Where several numbers are the largest, each gets an equal share, as in PyTorch's amax. */
export const max = /* @__PURE__ */ differentiable(
  ops.max,
  "both",
  (arena, { inputs, outputs, gradients, attributes }) => {
    const [x] = inputs as [FloatTensor];
    const largest = compute(arena, equal, [x, kept(outputs[0] as FloatTensor, x.shape, attributes)]);
    const [count] = apply(arena, ops.sum, [largest], { ...attributes, keepDims: true });
    const share = compute(arena, div, [kept(gradients[0]!, x.shape, attributes), count!]);
    return [compute(arena, mul, [largest, share])];
  },
);
