// Marks the arguments that public classes pass to the constructors of their base classes. Anyone can call those constructors
// (`Object.getPrototypeOf(LSTM)`, `model.constructor`), and their arguments decide where kernels write.

import { StateError } from "../../bindings/errors.js";

const made = /* @__PURE__ */ new WeakSet();

/** Freezes an object of the package's own, and marks it as such. */
export function sealed<T extends object>(value: T): T {
  made.add(value);
  return Object.freeze(value);
}

/**
 * Checks that an object is marked by `sealed`.
 *
 * @throws StateError
 */
export function checkSealed(owner: string, value: object, expected: string): void {
  if (!made.has(value)) throw new StateError(owner, "a call of its constructor", expected);
}
