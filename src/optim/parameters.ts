// Parameters and numbers that come from outside, held against what optimizers, clipping and schedules need.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { WasmTensor } from "../../bindings/memory.js";
import { describe, showShape } from "../../bindings/tensor.js";
import type { Parameter, WasmParameter } from "../nn/layer.js";

/** Holds an option against an interval that contains its start, 0. */
export function checkNumber(argument: string, value: number, limit = Infinity): void {
  if (typeof value !== "number" || !(value >= 0) || !(value < limit)) {
    const expected = limit === Infinity ? "a finite number >= 0" : `0 <= ${argument} < ${limit}`;
    throw new ValueError(argument, describe(value), expected);
  }
}

/** Copies of parameters, held against: values and gradients fit, all alive, all in one core. */
export function takeParameters(parameters: readonly Parameter[], argument = "parameters"): WasmParameter[] {
  if (!Array.isArray(parameters)) throw new ValueError(argument, describe(parameters), "an array of parameters");
  const taken = Array.from(parameters as readonly (Parameter | undefined)[], (parameter, i) => {
    const { name, value, grad } = parameter ?? {};
    if (!(value instanceof WasmTensor && grad instanceof WasmTensor)) {
      throw new ValueError(`${argument}[${i}]`, describe(parameter), "a parameter of a layer");
    }
    return { name: typeof name === "string" ? name : `${argument}[${i}]`, value, grad };
  });
  checkParameters(taken);
  return taken;
}

/** Whether all are alive, all in one core, each with a gradient that fits. */
export function checkParameters(parameters: readonly WasmParameter[]): void {
  const core = parameters[0]?.value.arena.core;
  for (const { name, value, grad } of parameters) {
    for (const { arena } of [value, grad]) {
      if (arena.disposed) throw new DisposedError(name, "a parameter of a disposed layer", "one that is alive");
      if (arena.core !== core) {
        throw new StateError(
          name,
          `a parameter of the ${arena.core.variant} build`,
          `one of the ${core!.variant} build, like the first`,
        );
      }
    }
    if (grad.dtype !== value.dtype || String(grad.shape) !== String(value.shape)) {
      const kind = ({ dtype, shape }: FloatTensor) => `${dtype} ${showShape(shape)}`;
      throw new ShapeError(`gradient of ${name}`, kind(grad), kind(value));
    }
  }
}
