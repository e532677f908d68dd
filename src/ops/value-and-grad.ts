// Gradients of a body that may run graphs.

import type { Tensor } from "../../bindings/tensor.js";
import * as recording from "../recording/minimize.js";
import type { LossResult } from "../recording/minimize.js";
import { Tape } from "../recording/tape.js";
import { bringDerivatives } from "./derivative.js";
import { derivatives } from "./derivatives.js";

/**
 * Records a body and goes backward from the loss that it returns: adds to the gradient of every parameter that the loss depends on.
 *
 * Inside the body every call of a layer, a cell, a container, a loss or a function of `wasm-rnn/ops` is recorded. Tensors are
 * known by their `data` arrays: a copy is a constant.
 *
 * @param body computes the loss, and returns it
 * @param wrt tensors whose gradients are returned, too; the loss must depend on each
 * @throws StateError (a tensor of `wrt` that the loss does not depend on; a call inside a recorded body), ValueError (what body
 *   returns), OutOfMemoryError; whatever body throws, unchanged. All gradients are then as they were
 */
export function valueAndGrad(
  body: () => LossResult,
  wrt: readonly Tensor[] = [],
): {
  /** The loss. */
  loss: number;
  /** The gradients of `wrt`, in its order and shapes. */
  gradients: Tensor[];
} {
  bringDerivatives(derivatives, Tape);
  return recording.valueAndGrad(body, wrt);
}
