// How tests say that a call is refused.
import { expect } from "vitest";

type ErrorClass = abstract new (...args: never[]) => Error;

/** The call throws that very class of error, and its message has all the parts. */
export function refuses(call: () => unknown, kind: ErrorClass, ...parts: readonly string[]): void {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(kind);
  const { name, message } = error as Error;
  expect(name).toBe(kind.name);
  for (const part of parts) expect(message).toContain(part);
}
