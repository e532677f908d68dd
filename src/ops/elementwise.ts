// Arithmetic and functions of elements, with NumPy's broadcasting.

import { bindRecord, broadcastAxes, broadcastShape, graphKernels, writeAxes } from "../../bindings/graph.js";
import { DtypeError } from "../../bindings/errors.js";
import type { Kernels } from "../../bindings/instantiate.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { operands, pointwise } from "../../bindings/wasm-graph.js";
import { floatTypeOf, type Operation, type Spec } from "./operation.js";

function inferUnary([x]: readonly Spec[]): Spec[] {
  return [{ dtype: floatTypeOf(["x"], [x!]), shape: x!.shape }];
}

/** A function of the core. */
function ofCore(name: string, run: (kernels: Kernels, n: number, x: number, out: number) => void): Operation {
  return {
    name,
    inPlace: true,
    infer: inferUnary,
    bind({ core }, [x], [out]) {
      const kernels = core.kernels[out!.dtype as FloatDtype];
      const [n, from, to] = [sizeOf(out!.shape), x!.pointer, out!.pointer];
      return () => run(kernels, n, from, to);
    },
  };
}

/**
 * A function of one tensor.
 *
 * @param code in assembly/graph/unary.ts
 * @param parameters alpha and beta there, of the attributes
 */
function unary<Attributes = undefined>(
  name: string,
  code: number,
  parameters: (attributes: Attributes) => readonly number[] = () => [],
): Operation<Attributes> {
  return {
    name,
    inPlace: true,
    infer: inferUnary,
    bind(scratch, [x], [out], attributes) {
      const [alpha = 0, beta = 0] = parameters(attributes);
      return bindRecord(scratch, graphKernels(scratch.core)[out!.dtype as FloatDtype].unary, pointwise, {
        alpha,
        beta,
        operation: code,
        n: sizeOf(out!.shape),
        x: x!.pointer,
        out: out!.pointer,
      });
    },
  };
}

/** A pass over `out`, to which all operands broadcast, by the code of an operation in assembly/graph/elementwise.ts. */
function bind(
  scratch: Arena,
  operation: number,
  out: WasmTensor,
  a: WasmTensor,
  b: WasmTensor,
  condition?: WasmTensor,
): () => void {
  if (sizeOf(out.shape) === 0) return () => {};
  const shapes = [a, b, ...(condition ? [condition] : [])].map(({ shape }) => shape);
  return bindRecord(scratch, graphKernels(scratch.core)[out.dtype as FloatDtype].elementwise, operands, {
    operation,
    a: a.pointer,
    b: b.pointer,
    condition: condition?.pointer ?? 0,
    out: out.pointer,
    ...writeAxes(scratch, broadcastAxes(out.shape, shapes)),
  });
}

function binary(name: string, code: number): Operation {
  return {
    name,
    inPlace: true,
    infer: ([a, b]) => [{ dtype: floatTypeOf(["a", "b"], [a!, b!]), shape: broadcastShape(a!.shape, b!.shape) }],
    bind: (scratch, [a, b], [out]) => bind(scratch, code, out!, a!, b!),
  };
}

/** e^x. */
export const exp = /* @__PURE__ */ ofCore("exp", (kernels, n, x, out) => kernels.exp(n, x, out));
/** 1 / (1 + e^-x). */
export const sigmoid = /* @__PURE__ */ ofCore("sigmoid", (kernels, n, x, out) => kernels.sigmoid(n, x, out));
/** tanh x. */
export const tanh = /* @__PURE__ */ ofCore("tanh", (kernels, n, x, out) => kernels.activation(0, n, x, out));

/** -x. */
export const neg = /* @__PURE__ */ unary("neg", 0);
/** |x|. */
export const abs = /* @__PURE__ */ unary("abs", 1);
/** The square root. */
export const sqrt = /* @__PURE__ */ unary("sqrt", 2);
/** 1 / x. */
export const reciprocal = /* @__PURE__ */ unary("reciprocal", 3);
/** The largest whole number that is not above x. */
export const floor = /* @__PURE__ */ unary("floor", 4);
/** The smallest whole number that is not below x. */
export const ceil = /* @__PURE__ */ unary("ceil", 5);
/** The nearest whole number, of two the even one. */
export const round = /* @__PURE__ */ unary("round", 6);
/** 1, 0 or -1; NaN of NaN. */
export const sign = /* @__PURE__ */ unary("sign", 7);
/** max(x, 0). */
export const relu = /* @__PURE__ */ unary("relu", 8);
/** x above 0, else alpha x. */
export const leakyRelu = /* @__PURE__ */ unary<{ alpha: number }>("leakyRelu", 9, ({ alpha }) => [alpha]);
/** x above alpha, else 0. */
export const thresholdedRelu = /* @__PURE__ */ unary<{ alpha: number }>("thresholdedRelu", 10, ({ alpha }) => [alpha]);
/** min(max(alpha x + beta, 0), 1). */
export const hardSigmoid = /* @__PURE__ */ unary<{ alpha: number; beta: number }>(
  "hardSigmoid",
  11,
  ({ alpha, beta }) => [alpha, beta],
);
/** x min(max(x / 6 + 1/2, 0), 1). */
export const hardSwish = /* @__PURE__ */ unary("hardSwish", 12);
/** x + bias below -lambd, x - bias above lambd, else 0. */
export const shrink = /* @__PURE__ */ unary<{ lambd: number; bias: number }>("shrink", 13, ({ lambd, bias }) => [
  lambd,
  bias,
]);
/** min(max(x, min), max). */
export const clip = /* @__PURE__ */ unary<{ min: number; max: number }>("clip", 14, ({ min, max }) => [min, max]);
/** x / (1 + |x|). */
export const softsign = /* @__PURE__ */ unary("softsign", 15);
/** x above 0, else alpha (e^x - 1). */
export const elu = /* @__PURE__ */ unary<{ alpha: number }>("elu", 16, ({ alpha }) => [alpha, 1]);
/** gamma times elu x. */
export const selu = /* @__PURE__ */ unary<{ alpha: number; gamma: number }>("selu", 16, ({ alpha, gamma }) => [
  alpha,
  gamma,
]);
/** x above 0, else alpha (e^(x / alpha) - 1). */
export const celu = /* @__PURE__ */ unary<{ alpha: number }>("celu", 17, ({ alpha }) => [alpha]);
/** The natural logarithm. */
export const log = /* @__PURE__ */ unary("log", 18);
/** The sine. */
export const sin = /* @__PURE__ */ unary("sin", 19);
/** The cosine. */
export const cos = /* @__PURE__ */ unary("cos", 20);
/** The tangent. */
export const tan = /* @__PURE__ */ unary("tan", 21);
/** The inverse of the sine, from -pi/2 to pi/2. */
export const asin = /* @__PURE__ */ unary("asin", 22);
/** The inverse of the cosine, from 0 to pi. */
export const acos = /* @__PURE__ */ unary("acos", 23);
/** The inverse of the tangent, from -pi/2 to pi/2. */
export const atan = /* @__PURE__ */ unary("atan", 24);
/** (e^x - e^-x) / 2. */
export const sinh = /* @__PURE__ */ unary("sinh", 25);
/** (e^x + e^-x) / 2. */
export const cosh = /* @__PURE__ */ unary("cosh", 26);
/** The inverse of sinh. */
export const asinh = /* @__PURE__ */ unary("asinh", 27);
/** The inverse of cosh, from 0 on. */
export const acosh = /* @__PURE__ */ unary("acosh", 28);
/** The inverse of tanh. */
export const atanh = /* @__PURE__ */ unary("atanh", 29);
/** The error function. */
export const erf = /* @__PURE__ */ unary("erf", 30);
/** log(1 + e^x). */
export const softplus = /* @__PURE__ */ unary("softplus", 31);
/** x tanh(softplus x). */
export const mish = /* @__PURE__ */ unary("mish", 32);
/** x (1 + erf(x / sqrt 2)) / 2. */
export const gelu = /* @__PURE__ */ unary("gelu", 33);
/** x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. */
export const geluTanh = /* @__PURE__ */ unary("geluTanh", 34);

/** a + b. */
export const add = /* @__PURE__ */ binary("add", 0);
/** a - b. */
export const sub = /* @__PURE__ */ binary("sub", 1);
/** a b, element by element. */
export const mul = /* @__PURE__ */ binary("mul", 2);
/** a / b. */
export const div = /* @__PURE__ */ binary("div", 3);
/** The smaller one; NaN where one is. */
export const minimum = /* @__PURE__ */ binary("minimum", 4);
/** The larger one; NaN where one is. */
export const maximum = /* @__PURE__ */ binary("maximum", 5);
/** a above 0, else a b. */
export const prelu = /* @__PURE__ */ binary("prelu", 6);
/** a^b, with the special cases of C's pow. */
export const pow = /* @__PURE__ */ binary("pow", 7);
/** a - b trunc(a / b), exactly: C's fmod, of a's sign. */
export const fmod = /* @__PURE__ */ binary("fmod", 8);
/** a - b floor(a / b): NumPy's mod, of b's sign. */
export const mod = /* @__PURE__ */ binary("mod", 9);
/** 1 where a = b, else 0, of their type. */
export const equal = /* @__PURE__ */ binary("equal", 10);
/** a (1 - b^2). */
export const tanhBackward = /* @__PURE__ */ binary("tanhBackward", 11);
/** a b (1 - b). */
export const sigmoidBackward = /* @__PURE__ */ binary("sigmoidBackward", 12);
/** a where b > 0, else 0. */
export const reluBackward = /* @__PURE__ */ binary("reluBackward", 13);

/** Of condition (i32), a and b: a where the condition is not 0, else b. */
export const where: Operation = {
  name: "where",
  inPlace: true,
  infer([condition, a, b]) {
    if (condition!.dtype !== "i32") throw new DtypeError("condition", condition!.dtype, "i32");
    const dtype = floatTypeOf(["a", "b"], [a!, b!]);
    return [{ dtype, shape: broadcastShape(broadcastShape(a!.shape, b!.shape), condition!.shape, "condition") }];
  },
  bind: (scratch, [condition, a, b], [out]) => bind(scratch, 14, out!, a!, b!, condition),
};
