// The derivative of an operation. What differentiates (optimizers, valueAndGrad) brings derivatives and recordings along, so that an app
// that only runs graphs carries none.

import type { Tape } from "../recording/tape.js";
import type { Derivative, Operation } from "./operation.js";

/** By the names of operations. */
export type Derivatives = ReadonlyMap<string, Derivative<unknown>>;

let brought: { readonly derivatives: Derivatives; readonly Recording: new () => Tape } | undefined;

/** Brings the derivatives of all operations, and the class of recordings. */
export function bringDerivatives(derivatives: Derivatives, Recording: new () => Tape): void {
  brought = { derivatives, Recording };
}

/** A recording; undefined where no derivatives were brought. */
export function newRecording(): Tape | undefined {
  return brought && new brought.Recording();
}

/** The derivative of an operation in such a recording; undefined if it has none. */
export function derivativeOf<Attributes>(operation: Operation<Attributes>): Derivative<Attributes> | undefined {
  return brought!.derivatives.get(operation.name);
}
