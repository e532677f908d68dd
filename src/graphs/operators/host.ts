// Functions of numbers in JavaScript, element by element: arithmetic of integers, comparisons, logic.

import { ValueError } from "../../../bindings/errors.js";
import { broadcastAxes, broadcastShape, mergeAxes } from "../../../bindings/graph.js";
import type { ElementType } from "../../base/element.js";
import type { Builder } from "../builder.js";
import type { Numbers, Value } from "../value.js";

/** Places in one to three tensors that broadcast, one after the other. */
class Places {
  a = 0;
  b = 0;
  c = 0;
  readonly #axes: number;
  /** Of each axis its length and steps, and where it is. */
  readonly #steps: Float64Array;
  readonly #at: Float64Array;

  constructor(axes: readonly (readonly number[])[]) {
    this.#axes = axes.length;
    this.#steps = new Float64Array(4 * axes.length);
    axes.forEach((axis, i) => this.#steps.set(axis, 4 * i));
    this.#at = new Float64Array(axes.length);
  }

  /** After the last place comes the first. */
  next(): void {
    const steps = this.#steps;
    const at = this.#at;
    for (let axis = this.#axes - 1; axis >= 0; axis--) {
      const k = 4 * axis;
      at[axis]!++;
      this.a += steps[k + 1]!;
      this.b += steps[k + 2]!;
      this.c += steps[k + 3]!;
      const n = steps[k]!;
      if (at[axis]! < n) return;
      at[axis] = 0;
      this.a -= n * steps[k + 1]!;
      this.b -= n * steps[k + 2]!;
      this.c -= n * steps[k + 3]!;
    }
  }
}

/** The shape of tensors that broadcast, and their places. */
function broadcast(inputs: readonly Value[]): { shape: readonly number[]; places: () => Places } {
  const shapes = inputs.map((each) => each.shape);
  const shape = shapes.reduce<readonly number[]>((all, each) => broadcastShape(all, each), []);
  let places: Places | undefined;
  return { shape, places: () => (places ??= new Places(mergeAxes(broadcastAxes(shape, shapes)))) };
}

/**
 * A function of the elements of one to three tensors that broadcast. Numbers that are not whole are allocated at its call: see
 * `hostCompare`.
 *
 * @param compute gets one number of each tensor
 */
export function hostBroadcast(
  builder: Builder,
  inputs: readonly Value[],
  dtype: ElementType,
  compute: (a: number, b: number, c: number) => number,
): Value {
  const { shape, places } = broadcast(inputs);
  const absent = new Uint8Array(1);
  return builder.hostOne(inputs, dtype, shape, (from, to) => {
    const at = places();
    const a = from[0]!;
    const b = from[1] ?? absent;
    const c = from[2] ?? absent;
    for (let i = 0; i < to.length; i++, at.next()) to[i] = compute(a[at.a]!, b[at.b]!, c[at.c]!);
    checkSafe(to, dtype);
  });
}

export type Comparison = "equal" | "different" | "less" | "lessOrEqual" | "greater" | "greaterOrEqual";

function holds(comparison: Comparison, a: number, b: number): boolean {
  if (comparison === "equal") return a === b;
  if (comparison === "different") return a !== b;
  if (comparison === "less") return a < b;
  if (comparison === "lessOrEqual") return a <= b;
  return comparison === "greater" ? a > b : a >= b;
}

/** Compares the elements of two tensors that broadcast. */
export function hostCompare(builder: Builder, inputs: readonly [Value, Value], comparison: Comparison): Value {
  const { shape, places } = broadcast(inputs);
  return builder.hostOne(inputs, "bool", shape, (from, to) => {
    const at = places();
    const a = from[0]!;
    const b = from[1]!;
    for (let i = 0; i < to.length; i++, at.next()) to[i] = holds(comparison, a[at.a]!, b[at.b]!) ? 1 : 0;
  });
}

/**
 * Refuses 64-bit integers that JavaScript's numbers do not hold.
 *
 * @throws ValueError
 */
export function checkSafe(numbers: Numbers, dtype: ElementType): void {
  if (dtype !== "i64" && dtype !== "u64") return;
  for (let i = 0; i < numbers.length; i++) {
    if (!Number.isSafeInteger(numbers[i])) throw new ValueError("result", `${numbers[i]!}`, "integers up to 2^53");
  }
}
