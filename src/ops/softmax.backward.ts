// Derivatives of softmax and its logarithm, by the core's kernels alone: sums over rows are products with ones.

import { add, kernelsOf, linearForward, mul, type FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { differentiable } from "./operation.js";
import * as ops from "./softmax.js";

/** -(the sum of x over its last axis), once for each number of x. */
function minusRowSums(arena: Arena, x: FloatTensor): FloatTensor {
  const { dtype, shape } = x;
  const n = shape.at(-1)!;
  const filled = (axes: number[], value: number): FloatTensor => {
    const tensor = arena.allocate("ones", dtype, axes);
    tensor.fill(value);
    return tensor;
  };
  const sums = linearForward(arena, dtype, { x, weight: filled([1, n], 1) });
  return linearForward(arena, dtype, { x: sums, weight: filled([n, 1], -1) });
}

/** A copy, which may be changed. */
function copy(arena: Arena, x: FloatTensor): FloatTensor {
  return arena.copy("gradient", x, x.dtype, x.shape);
}

/** dx = y (dy - sum of dy y). */
export const softmax = /* @__PURE__ */ differentiable(ops.softmax, "outputs", (arena, { outputs, gradients }) => {
  const dx = copy(arena, gradients[0]!);
  if (dx.data.length === 0) return [dx];
  const y = outputs[0] as FloatTensor;
  mul(dx, y);
  const sums = minusRowSums(arena, dx);
  add(gradients[0]!, sums, dx);
  mul(dx, y);
  return [dx];
});

/** dx = dy - e^y (sum of dy). */
export const logSoftmax = /* @__PURE__ */ differentiable(ops.logSoftmax, "outputs", (arena, { outputs, gradients }) => {
  const dx = copy(arena, outputs[0] as FloatTensor);
  if (dx.data.length === 0) return [dx];
  kernelsOf(arena, dx.dtype).exp(sizeOf(dx.shape), dx.pointer, dx.pointer);
  mul(dx, minusRowSums(arena, gradients[0]!));
  add(gradients[0]!, dx, dx);
  return [dx];
});
