// Arithmetic and functions of elements, with NumPy's broadcasting.

import { bindRecord, broadcastAxes, broadcastShape, graphKernels, writeAxes } from "../../bindings/graph.js";
import { DtypeError } from "../../bindings/errors.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { operands } from "../../bindings/wasm-graph.js";
import { floatTypeOf, type Operation } from "./operation.js";

type Unary = "neg" | "exp" | "log" | "sqrt" | "tanh" | "sigmoid" | "relu";
type Binary = "add" | "sub" | "mul" | "div" | "equal" | "tanhBackward" | "sigmoidBackward" | "reluBackward";

const nothing = (): void => {};

/** A pass over `out`, to which all operands broadcast. */
function bind(
  scratch: Arena,
  kernel: Unary | Binary | "where",
  out: WasmTensor,
  a: WasmTensor,
  b = a,
  condition?: WasmTensor,
): () => void {
  if (sizeOf(out.shape) === 0) return nothing;
  const shapes = [a, b, ...(condition ? [condition] : [])].map(({ shape }) => shape);
  const kernels = graphKernels(scratch.core)[out.dtype as FloatDtype];
  return bindRecord(scratch, kernels[kernel], operands, {
    a: a.pointer,
    b: b.pointer,
    condition: condition?.pointer ?? 0,
    out: out.pointer,
    ...writeAxes(scratch, broadcastAxes(out.shape, shapes)),
  });
}

function unary(name: Unary): Operation {
  return {
    name,
    infer: ([x]) => [{ dtype: floatTypeOf(["x"], [x!]), shape: x!.shape }],
    bind: (scratch, [x], [out]) => bind(scratch, name, out!, x!),
  };
}

function binary(name: Binary): Operation {
  return {
    name,
    infer: ([a, b]) => [{ dtype: floatTypeOf(["a", "b"], [a!, b!]), shape: broadcastShape(a!.shape, b!.shape) }],
    bind: (scratch, [a, b], [out]) => bind(scratch, name, out!, a!, b),
  };
}

/** -x. */
export const neg = /* @__PURE__ */ unary("neg");
/** e^x. */
export const exp = /* @__PURE__ */ unary("exp");
/** The natural logarithm. */
export const log = /* @__PURE__ */ unary("log");
/** The square root. */
export const sqrt = /* @__PURE__ */ unary("sqrt");
/** tanh x. */
export const tanh = /* @__PURE__ */ unary("tanh");
/** 1 / (1 + e^-x). */
export const sigmoid = /* @__PURE__ */ unary("sigmoid");
/** max(x, 0). */
export const relu = /* @__PURE__ */ unary("relu");

/** a + b. */
export const add = /* @__PURE__ */ binary("add");
/** a - b. */
export const sub = /* @__PURE__ */ binary("sub");
/** a b, element by element. */
export const mul = /* @__PURE__ */ binary("mul");
/** a / b. */
export const div = /* @__PURE__ */ binary("div");
/** 1 where a = b, else 0, of their type. */
export const equal = /* @__PURE__ */ binary("equal");
/** a (1 - b^2). */
export const tanhBackward = /* @__PURE__ */ binary("tanhBackward");
/** a b (1 - b). */
export const sigmoidBackward = /* @__PURE__ */ binary("sigmoidBackward");
/** a where b > 0, else 0. */
export const reluBackward = /* @__PURE__ */ binary("reluBackward");

/** Of condition (i32), a and b: a where the condition is not 0, else b. */
export const where: Operation = {
  name: "where",
  infer([condition, a, b]) {
    if (condition!.dtype !== "i32") throw new DtypeError("condition", condition!.dtype, "i32");
    const dtype = floatTypeOf(["a", "b"], [a!, b!]);
    return [{ dtype, shape: broadcastShape(broadcastShape(a!.shape, b!.shape), condition!.shape, "condition") }];
  },
  bind: (scratch, [condition, a, b], [out]) => bind(scratch, "where", out!, a!, b, condition),
};
