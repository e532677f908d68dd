// Numbers as the command line gives them.

import type { Range } from "../train/settings.js";
import { usageError } from "./errors.js";

/** Reads a number as the command line gives it: decimal, in `range`. Throws an Error that says what was expected. */
export function parseNumber(text: string, range: Range): number {
  const value = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!range.test(value)) throw usageError(`expected ${range.expected}`);
  return value;
}
