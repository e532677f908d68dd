// Checks of axes and positions, which count from the end where they are negative.

import { ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";

/** A position from 0 to count - 1, of one from -count to count - 1. */
function position(argument: string, value: number, count: number): number {
  if (!Number.isInteger(value) || value < -count || value >= count) {
    throw new ValueError(argument, describe(value), count > 0 ? `an integer from ${-count} to ${count - 1}` : "none");
  }
  return value < 0 ? value + count : value + 0; // not -0
}

/**
 * An axis of a tensor of `rank` axes.
 *
 * @throws ValueError
 */
export function checkAxis(axis: number, rank: number): number {
  return position("axis", axis, rank);
}

/**
 * An index into `count` entries.
 *
 * @throws ValueError
 */
export function checkIndex(index: number, count: number): number {
  return position("index", index, count);
}

/**
 * The end of a part, or its start: from 0 to count, of a number from -count to count.
 *
 * @throws ValueError
 */
export function checkBound(argument: string, bound: number, count: number): number {
  if (!Number.isInteger(bound) || bound < -count || bound > count) {
    throw new ValueError(argument, describe(bound), `an integer from ${-count} to ${count}`);
  }
  return bound < 0 ? bound + count : bound + 0;
}
