// Derivatives of reductions.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { add, div, equal, exp, mul, neg, sign, sub } from "./elementwise.js";
import { calculator, scalar, type Calculate } from "./elementwise.backward.js";
import { expand } from "./movement.js";
import { apply, compute, differentiable, type Differentiable, type Operation } from "./operation.js";
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

/** For results that are one of the numbers: where several are, each gets an equal share, as in PyTorch's amax and amin. */
function chosen(operation: Operation<ops.ReductionAttributes>): Differentiable<ops.ReductionAttributes> {
  return differentiable(operation, "both", (arena, { inputs, outputs, gradients, attributes }) => {
    const [x] = inputs as [FloatTensor];
    const here = compute(arena, equal, [x, kept(outputs[0] as FloatTensor, x.shape, attributes)]);
    const [count] = apply(arena, ops.sum, [here], { ...attributes, keepDims: true });
    const share = compute(arena, div, [kept(gradients[0]!, x.shape, attributes), count!]);
    return [compute(arena, mul, [here, share])];
  });
}

export const max = /* @__PURE__ */ chosen(ops.max);
export const min = /* @__PURE__ */ chosen(ops.min);

/** A reduction whose derivative is a function of x and y, which is that of the result with the axes of x. */
function times(
  operation: Operation<ops.ReductionAttributes>,
  saves: Differentiable["saves"],
  derivative: (calc: Calculate, x: FloatTensor, y: FloatTensor) => FloatTensor,
): Differentiable<ops.ReductionAttributes> {
  return differentiable(operation, saves, (arena, { inputs, outputs, gradients, attributes }) => {
    const [x] = inputs as [FloatTensor];
    const calc = calculator(arena, x);
    const [y, dy] = [outputs[0] as FloatTensor, gradients[0]!].map((each) => kept(each, x.shape, attributes));
    return [calc(mul, dy!, derivative(calc, x, y!))];
  });
}

export const sumSquares = /* @__PURE__ */ times(ops.sumSquares, "inputs", (calc, x) => calc(add, x, x));
/** At 0 the derivative is 0. */
export const l1 = /* @__PURE__ */ times(ops.l1, "inputs", (calc, x) => calc(sign, x));
/** Where all numbers are 0, so is the derivative. */
export const l2 = /* @__PURE__ */ times(ops.l2, "both", (calc, x, y) => calc(div, x, calc(add, y, calc(equal, y, 0))));
export const logSumExp = /* @__PURE__ */ times(ops.logSumExp, "both", (calc, x, y) => calc(exp, calc(sub, x, y)));
export const logSum = /* @__PURE__ */ differentiable(
  ops.logSum,
  "outputs",
  (arena, { inputs, outputs, gradients, attributes }) => {
    const { shape } = inputs[0]!;
    const each = compute(arena, mul, [gradients[0]!, compute(arena, exp, [compute(arena, neg, [outputs[0]!])])]);
    return [repeat(arena, kept(each, shape, attributes), shape)];
  },
);

/** The product of the other numbers: of all but zeros, divided by a number where there is no zero, and where it is the only one. */
export const prod = /* @__PURE__ */ differentiable(ops.prod, "inputs", (arena, { inputs, gradients, attributes }) => {
  const [x] = inputs as [FloatTensor];
  const calc = calculator(arena, x);
  const reduce = (operation: typeof ops.prod, of: FloatTensor): FloatTensor =>
    apply(arena, operation, [of], { ...attributes, keepDims: true })[0] as FloatTensor;
  const zero = calc(equal, x, 0);
  const rest = calc(add, x, zero); // 1 in the place of zeros
  const others = calc(sub, reduce(ops.sum, zero), zero); // zeros among the other numbers
  const product = calc(div, calc(mul, reduce(ops.prod, rest), calc(equal, others, 0)), rest);
  return [calc(mul, kept(gradients[0]!, x.shape, attributes), product)];
});
