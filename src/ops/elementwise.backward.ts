// Derivatives of arithmetic and functions of elements.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import * as ops from "./elementwise.js";
import { apply, compute, differentiable, type Differentiable, type Operation, type Spec } from "./operation.js";
import { sum } from "./reduction.js";

/** Sums a gradient over the axes along which a tensor of `shape` was repeated: its own gradient. */
export function sumTo(arena: Arena, gradient: FloatTensor, shape: readonly number[]): FloatTensor {
  const added = gradient.shape.length - shape.length;
  const axes = [...gradient.shape.keys()].filter((axis) => (shape[axis - added] ?? 1) !== gradient.shape[axis]);
  const sums = axes.length > 0 ? (apply(arena, sum, [gradient], { axes })[0] as FloatTensor) : gradient;
  return sums.reshape(shape);
}

/** A tensor of one number. */
export function scalar(arena: Arena, { dtype }: Spec, value: number): FloatTensor {
  const tensor = arena.allocate("a number", dtype as FloatTensor["dtype"], []);
  tensor.fill(value);
  return tensor;
}

/** Runs an operation on tensors and numbers. */
export type Calculate = (operation: Operation, ...operands: (FloatTensor | number)[]) => FloatTensor;

/** `Calculate` with numbers as of the type of `like`; the results are in `arena`. */
export function calculator(arena: Arena, like: Spec): Calculate {
  const tensorOf = (each: FloatTensor | number) => (typeof each === "number" ? scalar(arena, like, each) : each);
  return (operation, ...operands) => compute(arena, operation, operands.map(tensorOf));
}

/** 1 where x is above 0, else 0. */
function step(calc: Calculate, x: FloatTensor): FloatTensor {
  return calc(ops.sign, calc(ops.relu, x));
}

/** `above` where x is above 0, else `below`; both are finite. */
function choose(
  calc: Calculate,
  x: FloatTensor,
  above: FloatTensor | number,
  below: FloatTensor | number,
): FloatTensor {
  const yes = step(calc, x);
  return calc(ops.add, calc(ops.mul, yes, above), calc(ops.mul, calc(ops.sub, 1, yes), below));
}

/** e^(-x^2 / divisor). */
function bell(calc: Calculate, x: FloatTensor, divisor: number): FloatTensor {
  return calc(ops.exp, calc(ops.div, calc(ops.mul, x, x), -divisor));
}

/** 1 + x^2. */
function onePlusSquare(calc: Calculate, x: FloatTensor): FloatTensor {
  return calc(ops.add, 1, calc(ops.mul, x, x));
}

/** 1 - x^2. */
function oneMinusSquare(calc: Calculate, x: FloatTensor): FloatTensor {
  return calc(ops.mul, calc(ops.sub, 1, x), calc(ops.add, 1, x));
}

/** An operation of one operand: dx from x, y and dy. */
function unary<Attributes>(
  operation: Operation<Attributes>,
  saves: Differentiable["saves"],
  backward: (calc: Calculate, call: Record<"x" | "y" | "dy", FloatTensor>, attributes: Attributes) => FloatTensor,
): Differentiable<Attributes> {
  return differentiable(operation, saves, (arena, { inputs, outputs, gradients, attributes }) => {
    const [x, y, dy] = [inputs[0], outputs[0], gradients[0]] as [FloatTensor, FloatTensor, FloatTensor];
    return [backward(calculator(arena, dy), { x, y, dy }, attributes)];
  });
}

/** An operation of one operand whose derivative, by which dy is multiplied, is a function of x and y. */
function times<Attributes>(
  operation: Operation<Attributes>,
  saves: Differentiable["saves"],
  derivative: (calc: Calculate, call: Record<"x" | "y", FloatTensor>, attributes: Attributes) => FloatTensor,
): Differentiable<Attributes> {
  return unary(operation, saves, (calc, { x, y, dy }, attributes) =>
    calc(ops.mul, dy, derivative(calc, { x, y }, attributes)),
  );
}

/** An operation of two operands that broadcast: da and db in the shape of y, which are then summed, from a, b, y and dy. */
function binary(
  operation: Operation,
  saves: Differentiable["saves"],
  backward: (calc: Calculate, call: Record<"a" | "b" | "y" | "dy", FloatTensor>) => FloatTensor[],
): Differentiable {
  return differentiable(operation, saves, (arena, { inputs, outputs, gradients }) => {
    const [a, b] = inputs as [FloatTensor, FloatTensor];
    const wide = backward(calculator(arena, a), { a, b, y: outputs[0] as FloatTensor, dy: gradients[0]! });
    return wide.map((gradient, i) => sumTo(arena, gradient, inputs[i]!.shape));
  });
}

/** An operation that is constant between its jumps. */
function flat(operation: Operation): Differentiable {
  return differentiable(operation, "none", (_, { inputs }) => inputs.map(() => undefined));
}

export const ceil = /* @__PURE__ */ flat(ops.ceil);
export const equal = /* @__PURE__ */ flat(ops.equal);
export const floor = /* @__PURE__ */ flat(ops.floor);
export const round = /* @__PURE__ */ flat(ops.round);
export const sign = /* @__PURE__ */ flat(ops.sign);

export const neg = /* @__PURE__ */ unary(ops.neg, "none", (calc, { dy }) => calc(ops.neg, dy));
export const exp = /* @__PURE__ */ times(ops.exp, "outputs", (_, { y }) => y);
export const log = /* @__PURE__ */ unary(ops.log, "inputs", (calc, { x, dy }) => calc(ops.div, dy, x));
export const sqrt = /* @__PURE__ */ unary(ops.sqrt, "outputs", (calc, { y, dy }) =>
  calc(ops.div, dy, calc(ops.add, y, y)),
);
export const tanh = /* @__PURE__ */ unary(ops.tanh, "outputs", (calc, { y, dy }) => calc(ops.tanhBackward, dy, y));
export const sigmoid = /* @__PURE__ */ unary(ops.sigmoid, "outputs", (calc, { y, dy }) =>
  calc(ops.sigmoidBackward, dy, y),
);
/** At 0 the derivative is 0. */
export const relu = /* @__PURE__ */ unary(ops.relu, "outputs", (calc, { y, dy }) => calc(ops.reluBackward, dy, y));
/** At 0 the derivative is 0. */
export const abs = /* @__PURE__ */ times(ops.abs, "inputs", (calc, { x }) => calc(ops.sign, x));
export const reciprocal = /* @__PURE__ */ times(ops.reciprocal, "outputs", (calc, { y }) =>
  calc(ops.neg, calc(ops.mul, y, y)),
);

export const sin = /* @__PURE__ */ times(ops.sin, "inputs", (calc, { x }) => calc(ops.cos, x));
export const cos = /* @__PURE__ */ times(ops.cos, "inputs", (calc, { x }) => calc(ops.neg, calc(ops.sin, x)));
export const tan = /* @__PURE__ */ times(ops.tan, "outputs", (calc, { y }) => onePlusSquare(calc, y));
export const asin = /* @__PURE__ */ unary(ops.asin, "inputs", (calc, { x, dy }) =>
  calc(ops.div, dy, calc(ops.sqrt, oneMinusSquare(calc, x))),
);
export const acos = /* @__PURE__ */ unary(ops.acos, "inputs", (calc, { x, dy }) =>
  calc(ops.neg, calc(ops.div, dy, calc(ops.sqrt, oneMinusSquare(calc, x)))),
);
export const atan = /* @__PURE__ */ unary(ops.atan, "inputs", (calc, { x, dy }) =>
  calc(ops.div, dy, onePlusSquare(calc, x)),
);
export const sinh = /* @__PURE__ */ times(ops.sinh, "inputs", (calc, { x }) => calc(ops.cosh, x));
export const cosh = /* @__PURE__ */ times(ops.cosh, "inputs", (calc, { x }) => calc(ops.sinh, x));
export const asinh = /* @__PURE__ */ unary(ops.asinh, "outputs", (calc, { y, dy }) =>
  calc(ops.div, dy, calc(ops.cosh, y)),
);
export const acosh = /* @__PURE__ */ unary(ops.acosh, "outputs", (calc, { y, dy }) =>
  calc(ops.div, dy, calc(ops.sinh, y)),
);
export const atanh = /* @__PURE__ */ unary(ops.atanh, "inputs", (calc, { x, dy }) =>
  calc(ops.div, dy, oneMinusSquare(calc, x)),
);

export const leakyRelu = /* @__PURE__ */ times(ops.leakyRelu, "inputs", (calc, { x }, { alpha }) =>
  choose(calc, x, 1, alpha),
);
export const thresholdedRelu = /* @__PURE__ */ times(ops.thresholdedRelu, "inputs", (calc, { x }, { alpha }) =>
  step(calc, calc(ops.sub, x, alpha)),
);
export const shrink = /* @__PURE__ */ times(ops.shrink, "inputs", (calc, { x }, { lambd }) =>
  step(calc, calc(ops.sub, calc(ops.abs, x), lambd)),
);
/** At the bounds the derivative is 1, as that of PyTorch's clamp. */
export const clip = /* @__PURE__ */ times(ops.clip, "both", (calc, { x, y }) => calc(ops.equal, x, y));
/** At the bounds the derivative is 0. */
export const hardSigmoid = /* @__PURE__ */ times(ops.hardSigmoid, "outputs", (calc, { y }, { alpha }) =>
  calc(ops.mul, calc(ops.mul, step(calc, y), step(calc, calc(ops.sub, 1, y))), alpha),
);
/** From 1/2 + x / 3 between -3 and 3, where it is 0 and 1. */
export const hardSwish = /* @__PURE__ */ times(ops.hardSwish, "inputs", (calc, { x }) => {
  const inside = step(calc, calc(ops.sub, 3, calc(ops.abs, x)));
  const bounded = calc(ops.maximum, calc(ops.minimum, x, 3), -3);
  const line = calc(ops.add, 0.5, calc(ops.div, bounded, 3));
  return choose(calc, inside, line, step(calc, x));
});
export const softsign = /* @__PURE__ */ unary(ops.softsign, "inputs", (calc, { x, dy }) => {
  const sum = calc(ops.add, 1, calc(ops.abs, x));
  return calc(ops.div, dy, calc(ops.mul, sum, sum));
});
/** Below 0 that of alpha (e^x - 1) is y + alpha. */
export const elu = /* @__PURE__ */ times(ops.elu, "both", (calc, { x, y }, { alpha }) =>
  choose(calc, x, 1, calc(ops.add, calc(ops.minimum, y, 0), alpha)),
);
export const selu = /* @__PURE__ */ times(ops.selu, "both", (calc, { x, y }, { alpha, gamma }) =>
  choose(calc, x, gamma, calc(ops.add, calc(ops.minimum, y, 0), alpha * gamma)),
);
export const celu = /* @__PURE__ */ times(ops.celu, "both", (calc, { x, y }, { alpha }) =>
  choose(calc, x, 1, calc(ops.add, calc(ops.div, calc(ops.minimum, y, 0), alpha), 1)),
);
export const softplus = /* @__PURE__ */ times(ops.softplus, "inputs", (calc, { x }) => calc(ops.sigmoid, x));
/** With t = tanh(softplus x): t + x (1 - t^2) sigmoid x. */
export const mish = /* @__PURE__ */ times(ops.mish, "inputs", (calc, { x }) => {
  const t = calc(ops.tanh, calc(ops.softplus, x));
  return calc(ops.add, t, calc(ops.mul, calc(ops.tanhBackward, x, t), calc(ops.sigmoid, x)));
});
export const erf = /* @__PURE__ */ times(ops.erf, "inputs", (calc, { x }) =>
  calc(ops.mul, bell(calc, x, 1), 2 / Math.sqrt(Math.PI)),
);
/** (1 + erf(x / sqrt 2)) / 2 + x e^(-x^2 / 2) / sqrt(2 pi). */
export const gelu = /* @__PURE__ */ times(ops.gelu, "inputs", (calc, { x }) => {
  const phi = calc(ops.mul, calc(ops.add, 1, calc(ops.erf, calc(ops.mul, x, Math.SQRT1_2))), 0.5);
  return calc(ops.add, phi, calc(ops.mul, x, calc(ops.mul, bell(calc, x, 2), 1 / Math.sqrt(2 * Math.PI))));
});
/** For y = x s with s = sigmoid(c (x + 0.044715 x^3)): s + x s (1 - s) c (1 + 3 0.044715 x^2). */
export const geluTanh = /* @__PURE__ */ times(ops.geluTanh, "inputs", (calc, { x }) => {
  const [c, square] = [2 * Math.sqrt(2 / Math.PI), calc(ops.mul, x, x)];
  const line = (factor: number): FloatTensor => calc(ops.add, calc(ops.mul, square, factor * c), c);
  const s = calc(ops.sigmoid, calc(ops.mul, x, line(0.044715)));
  return calc(ops.add, s, calc(ops.sigmoidBackward, calc(ops.mul, x, line(3 * 0.044715)), s));
});

export const add = /* @__PURE__ */ binary(ops.add, "none", (_, { dy }) => [dy, dy]);
export const sub = /* @__PURE__ */ binary(ops.sub, "none", (calc, { dy }) => [dy, calc(ops.neg, dy)]);
export const mul = /* @__PURE__ */ binary(ops.mul, "inputs", (calc, { a, b, dy }) => [
  calc(ops.mul, dy, b),
  calc(ops.mul, dy, a),
]);
export const div = /* @__PURE__ */ binary(ops.div, "both", (calc, { b, y, dy }) => {
  const da = calc(ops.div, dy, b);
  return [da, calc(ops.neg, calc(ops.mul, da, y))];
});

/** Each of two equal operands gets half of the gradient, as in PyTorch. */
function chosen(operation: Operation): Differentiable {
  return binary(operation, "both", (calc, { a, b, y, dy }) => {
    const [left, right] = [calc(ops.equal, a, y), calc(ops.equal, b, y)];
    const share = calc(ops.div, dy, calc(ops.add, left, right));
    return [calc(ops.mul, left, share), calc(ops.mul, right, share)];
  });
}

export const minimum = /* @__PURE__ */ chosen(ops.minimum);
export const maximum = /* @__PURE__ */ chosen(ops.maximum);
export const prelu = /* @__PURE__ */ binary(ops.prelu, "inputs", (calc, { a, b, dy }) => [
  calc(ops.mul, dy, choose(calc, a, 1, b)),
  calc(ops.mul, dy, calc(ops.minimum, a, 0)),
]);
/**
 * da = b a^(b - 1) dy, 0 where b is. db = y log a dy, 0 where a is; an exponent of a negative number cannot move from the whole number
 * that it is, and has a gradient of 0.
 */
export const pow = /* @__PURE__ */ differentiable(ops.pow, "both", (arena, { inputs, outputs, gradients }) => {
  const [a, b, y, dy] = [...inputs, ...outputs, ...gradients] as [FloatTensor, FloatTensor, FloatTensor, FloatTensor];
  const calc = calculator(arena, a);
  const or1 = (x: FloatTensor): FloatTensor => calc(ops.add, x, calc(ops.equal, x, 0)); // 1 where x is 0
  const power = calc(ops.mul, b, calc(ops.pow, a, calc(ops.sub, or1(b), 1)));
  const db = sumTo(arena, calc(ops.mul, dy, calc(ops.mul, y, calc(ops.log, or1(a)))), b.shape);
  const [moving] = apply(arena, ops.shrink, [db], { lambd: 0, bias: 0 }); // 0 for NaN
  return [sumTo(arena, calc(ops.mul, dy, power), a.shape), moving as FloatTensor];
});

/** a - b n with a whole number n = (a - y) / b. */
function remainder(operation: Operation): Differentiable {
  return binary(operation, "both", (calc, { a, b, y, dy }) => [
    dy,
    calc(ops.mul, dy, calc(ops.div, calc(ops.sub, y, a), b)),
  ]);
}

export const fmod = /* @__PURE__ */ remainder(ops.fmod);
export const mod = /* @__PURE__ */ remainder(ops.mod);

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
