import type { Range } from "../train/settings.js";
import { usageError } from "./errors.js";

/** Parses a number of the command line: decimal, in `range`. Throws an Error that says what was expected. */
export function parseNumber(text: string, range: Range): number {
  const value = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!range.test(value)) throw usageError(`expected ${range.expected}`);
  return value;
}
