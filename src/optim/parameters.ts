// Checks of parameters from outside, for optimizers and clipping.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { wasmTensorOf } from "../../bindings/memory.js";
import { describe, showShape } from "../../bindings/tensor.js";
import { readList } from "../base/check.js";
import type { Parameter, WasmParameter } from "../nn/layer.js";

/** A parameter in wasm memory. */
export type OwnParameter = Pick<WasmParameter, "name" | "value" | "grad">;

/** Reads parameters from outside, each once, and checks them (`checkParameters`). */
export function takeParameters(parameters: readonly Parameter[], argument = "parameters"): OwnParameter[] {
  const taken = readList(argument, parameters, "parameters").map((parameter, i) => {
    const { name, value, grad } = (parameter ?? {}) as Partial<Parameter>;
    const [own, gradient] = [wasmTensorOf(value), wasmTensorOf(grad)];
    if (!own || !gradient || own.dtype === "i32") {
      throw new ValueError(`${argument}[${i}]`, describe(parameter), "a parameter of a layer");
    }
    const called = typeof name === "string" ? name : `${argument}[${i}]`;
    return { name: called, value: own as FloatTensor, grad: gradient as FloatTensor };
  });
  checkParameters(taken);
  return taken;
}

/** What sets a core's parameters apart from those of another. */
function kindOf({ variant, extend }: Core, other: Core): string {
  return variant === other.variant
    ? `created ${extend ? "after" : "before"} startThreads()`
    : `of the ${variant} build`;
}

/** Checks that all are alive, in one core, each with a gradient of its type and shape. */
export function checkParameters(parameters: readonly OwnParameter[]): void {
  const core = parameters[0]?.value.arena.core;
  for (const { name, value, grad } of parameters) {
    for (const { arena } of [value, grad]) {
      if (arena.disposed) throw new DisposedError(name, "a parameter of a disposed layer", "one that is alive");
      if (arena.core !== core) {
        throw new StateError(
          name,
          `a parameter ${kindOf(arena.core, core!)}`,
          `one ${kindOf(core!, arena.core)}, like the first`,
        );
      }
    }
    if (grad.dtype !== value.dtype || String(grad.shape) !== String(value.shape)) {
      const kind = ({ dtype, shape }: FloatTensor) => `${dtype} ${showShape(shape)}`;
      throw new ShapeError(`gradient of ${name}`, kind(grad), kind(value));
    }
  }
}
