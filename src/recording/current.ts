// The recording that runs, if any. Layers, operations and losses ask here; all else about recordings is in tape.ts.

import { StateError } from "../../bindings/errors.js";
import type { Tape } from "./tape.js";

let current: Tape | undefined;

/** The recording of the body that runs now; undefined outside of `minimize` and `valueAndGrad`. */
export function currentTape(): Tape | undefined {
  return current;
}

/** Starts a recording, or ends it (undefined). */
export function setTape(tape: Tape | undefined): void {
  current = tape;
}

/**
 * Refuses a call inside a body that is being recorded.
 *
 * @throws StateError
 */
export function checkOutside(call: string): void {
  if (current) throw new StateError(call, "a call inside a recorded body", "one outside of it");
}
