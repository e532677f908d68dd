// What the public classes hand to the constructors of the classes that they extend. JavaScript lets anyone call those
// constructors (`Object.getPrototypeOf(LSTM)`, `model.constructor`), and what they take decides where kernels write.

import { StateError } from "../../bindings/errors.js";

const made = /* @__PURE__ */ new WeakSet();

/** Freezes what the package has made, and marks it as that. */
export function sealed<T extends object>(value: T): T {
  made.add(value);
  return Object.freeze(value);
}

/**
 * Refuses what is not `sealed`.
 *
 * @throws StateError
 */
export function checkSealed(owner: string, value: object, expected: string): void {
  if (!made.has(value)) throw new StateError(owner, "a call of its constructor", expected);
}
