// Checks of parameters and numbers from outside, for optimizers, clipping and schedules.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { wasmTensorOf } from "../../bindings/memory.js";
import { describe, showShape } from "../../bindings/tensor.js";
import type { Parameter, WasmParameter } from "../nn/layer.js";

/** Checks that 0 <= value < limit. */
export function checkNumber(argument: string, value: number, limit = Infinity): void {
  if (typeof value !== "number" || !(value >= 0) || !(value < limit)) {
    const expected = limit === Infinity ? "a finite number >= 0" : `0 <= ${argument} < ${limit}`;
    throw new ValueError(argument, describe(value), expected);
  }
}

/** More parameters than any model has. */
const MAX_PARAMETERS = 2 ** 20;

/** A parameter in wasm memory. */
export type OwnParameter = Pick<WasmParameter, "name" | "value" | "grad">;

/** A copy of a list from outside, each element read once; `expected` says what of. */
export function readList(argument: string, list: unknown, expected: string): unknown[] {
  if (!Array.isArray(list)) throw new ValueError(argument, describe(list), `an array of ${expected}`);
  const length: unknown = list.length;
  if (!Number.isSafeInteger(length) || (length as number) < 0 || (length as number) > MAX_PARAMETERS) {
    throw new ValueError(argument, `an array of length ${describe(length)}`, `at most ${MAX_PARAMETERS} ${expected}`);
  }
  return Array.from({ length: length as number }, (_, i) => list[i] as unknown);
}

/** Parameters from outside, each read once: values and gradients fit, all are alive and in one core. */
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

/** Whether all are alive, all in one core, each with a gradient that fits. */
export function checkParameters(parameters: readonly OwnParameter[]): void {
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
