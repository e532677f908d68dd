// The way back through a layer that is made of operations: each forward pass records them on a tape of its own.

import { floatDtype } from "../../bindings/kernels.js";
import { Arena, type WasmTensor } from "../../bindings/memory.js";
import type { Tensor } from "../../bindings/tensor.js";
import type { WasmParameter } from "../base/parameter.js";
import { guardGradients } from "../recording/minimize.js";
import type { Tape } from "../recording/tape.js";

/**
 * Goes back through the operations on a tape, and adds to the gradients of parameters. It can be repeated.
 *
 * @param results those whose gradient is given, with it
 * @param inputs those whose gradient is wanted
 * @param parameters those whose gradient is wanted; their values were given to operations
 * @returns the gradients of the inputs; undefined for zero
 * @throws ShapeError, DtypeError (a gradient, under the name "gradient"), OutOfMemoryError; gradients of parameters are then as they
 *   were
 */
export function backwardThrough(
  tape: Tape,
  results: readonly (readonly [result: WasmTensor, gradient: Tensor | undefined])[],
  inputs: readonly WasmTensor[],
  parameters: readonly WasmParameter[] = [],
): (Tensor | undefined)[] {
  const arena = new Arena(tape.core); // the tape frees it with the last use of the gradients
  try {
    const gradients = results
      .filter((each): each is readonly [WasmTensor, Tensor] => each[1] !== undefined)
      .map(([result, gradient]) => {
        const dtype = floatDtype("gradient", result);
        return [result, arena.copy("gradient", gradient, dtype, result.shape), 1] as const;
      });
    const wanted = new Set<object>([...inputs, ...parameters.map(({ value }) => value)]);
    return guardGradients(parameters, wanted, () =>
      tape.backward({ loss: 0, terms: [{ weight: 1, gradients }] }, wanted, inputs),
    );
  } finally {
    arena.dispose();
    tape.dispose();
  }
}
