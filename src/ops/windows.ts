// Windows over the spatial axes of tensors [N,C,...]: their sizes and padding, and the tables of offsets by which kernels
// find their numbers (assembly/graph/windows.ts).

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { bindRecord, graphKernels, stridesOf, writeAxes } from "../../bindings/graph.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { BYTES, describe, showShape, sizeOf, type FloatDtype, type TensorData } from "../../bindings/tensor.js";
import { move } from "../../bindings/wasm-graph.js";
import type { Spec } from "./operation.js";

/** Where windows are; lists have an entry for each spatial axis, `pads` those of the beginnings and then those of the ends. */
export interface WindowAttributes {
  /** Default: ones. */
  strides?: readonly number[] | undefined;
  /** Default: ones. */
  dilations?: readonly number[] | undefined;
  /** Default: zeros. */
  pads?: readonly number[] | undefined;
  /**
   * Instead of pads: none, or so many that there are ceil(size / stride) windows, the odd one at the end ("sameUpper") or at the
   * beginning.
   */
  autoPad?: "valid" | "sameUpper" | "sameLower" | undefined;
}

/** Windows on one axis. */
export interface WindowAxis {
  readonly size: number;
  readonly taps: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding: as given, and as windows read it. */
  readonly before: number;
  readonly after: number;
  readonly outputs: number;
}

/**
 * The spatial axes of x.
 *
 * @throws ShapeError
 */
export function spatialOf({ shape }: Spec): readonly number[] {
  if (shape.length < 3) throw new ShapeError("x", showShape(shape), "[N, C, L], [N, C, H, W] ...");
  return shape.slice(2);
}

/**
 * A list of `count` whole numbers from `least` on.
 *
 * @throws ValueError
 */
export function checkCounts(
  argument: string,
  list: readonly number[],
  count: number,
  least: number,
): readonly number[] {
  if (list.length !== count || !list.every((each) => Number.isSafeInteger(each) && each >= least)) {
    throw new ValueError(argument, showShape(list), `${count} whole number${count === 1 ? "" : "s"} >= ${least}`);
  }
  return list;
}

/** Padding that makes a total: its beginning and its end. */
export function shareOf(total: number, autoPad: WindowAttributes["autoPad"]): [before: number, after: number] {
  const half = Math.floor(Math.max(total, 0) / 2);
  return autoPad === "sameUpper" ? [half, Math.max(total, 0) - half] : [Math.max(total, 0) - half, half];
}

/** Strides, dilations and pads, checked; pads are undefined where `autoPad` makes them. */
export function checkWindows(rank: number, attributes: WindowAttributes) {
  const { strides = Array<number>(rank).fill(1), dilations = Array<number>(rank).fill(1), autoPad } = attributes;
  if (![undefined, "valid", "sameUpper", "sameLower"].includes(autoPad)) {
    throw new ValueError("autoPad", describe(autoPad), '"valid", "sameUpper" or "sameLower"');
  }
  const given = autoPad === undefined ? (attributes.pads ?? []) : [];
  const pads = given.length === 0 ? Array<number>(2 * rank).fill(0) : checkCounts("pads", given, 2 * rank, 0);
  return {
    strides: checkCounts("strides", strides, rank, 1),
    dilations: checkCounts("dilations", dilations, rank, 1),
    pads: autoPad === undefined || autoPad === "valid" ? pads : undefined,
    autoPad,
  };
}

/**
 * Windows over axes of `sizes`.
 *
 * @param ceilMode whether a last window may reach past the padding, if it starts before the end of x
 * @throws ValueError, ShapeError (no window)
 */
export function windowsOver(
  sizes: readonly number[],
  taps: readonly number[],
  attributes: WindowAttributes,
  ceilMode = false,
): WindowAxis[] {
  const { strides, dilations, pads, autoPad } = checkWindows(sizes.length, attributes);
  return sizes.map((size, i) => {
    const [stride, dilation] = [strides[i]!, dilations[i]!];
    const width = (taps[i]! - 1) * dilation + 1;
    const [before, after] = pads
      ? [pads[i]!, pads[sizes.length + i]!]
      : shareOf((Math.ceil(size / stride) - 1) * stride + width - size, autoPad);
    const steps = (before + size + after - width) / stride;
    let outputs = Math.floor(steps) + 1;
    if (ceilMode && steps > 0) outputs = Math.min(Math.ceil(steps), Math.ceil((before + size) / stride) - 1) + 1;
    if (!(outputs > 0)) {
      throw new ShapeError("x", `${before} + ${size} + ${after} on axis ${i + 2}`, `at least ${width}, a window`);
    }
    const read = (outputs - 1) * stride + width - size - before;
    return { size, taps: taps[i]!, stride, dilation, before, after: Math.max(read, 0), outputs };
  });
}

/** How many numbers of an axis and its padding the windows do not reach, at the end. */
export function unread({ size, taps, stride, dilation, before, after, outputs }: WindowAxis): number {
  return before + size + after - ((outputs - 1) * stride + (taps - 1) * dilation + 1);
}

/** The attributes of windows. */
export function attributesOf(axes: readonly WindowAxis[]) {
  return {
    strides: axes.map(({ stride }) => stride),
    dilations: axes.map(({ dilation }) => dilation),
    pads: [...axes.map(({ before }) => before), ...axes.map(({ after }) => after)],
  };
}

/** A number for each of 0 ... n - 1. */
export function range(n: number, f: (i: number) => number): Int32Array {
  const numbers = new Int32Array(n);
  for (let i = 0; i < n; i++) numbers[i] = f(i);
  return numbers;
}

/** Lists of numbers, one for each axis. */
export type Lists = readonly ArrayLike<number>[];

/** How many choices there are of a number of each list. */
export function choicesOf(lists: Lists): number {
  return lists.reduce((product, { length }) => product * length, 1);
}

/**
 * Writes all choices of a number of each list, those of the first list's first number first: each is `first`, joined with its
 * numbers in turn.
 */
export function writeChoices(
  out: TensorData,
  lists: Lists,
  first: number,
  join: (all: number, one: number) => number,
): void {
  out[0] = first;
  let n = 1;
  for (const list of lists) {
    for (let i = n - 1; i >= 0; i--) {
      const all = out[i]!;
      for (let j = list.length - 1; j >= 0; j--) out[i * list.length + j] = join(all, list[j]!);
    }
    n *= list.length;
  }
}

/** A table in wasm memory of the sums of a number of each list, times `unit`; those of the first list's first number first. */
export function table(scratch: Arena, purpose: string, lists: Lists, unit: number): number {
  const count = choicesOf(lists);
  const address = scratch.bytes(purpose, 4 * count);
  const out = scratch.core.heap.view("i32").subarray(address / 4, address / 4 + count);
  writeChoices(out, lists, 0, (sum, n) => sum + n * unit);
  return address;
}

/** Images with their padding in wasm memory. */
export interface Padded {
  readonly pointer: number;
  /** How many numbers apart the spatial axes' are, and images of one channel. */
  readonly strides: readonly number[];
  readonly plane: number;
  /** Copies x there; undefined where it is x itself. */
  readonly fill: (() => void) | undefined;
}

/** x [N,C,...] with `value` before and after on its spatial axes. */
export function padded(
  scratch: Arena,
  x: WasmTensor,
  axes: readonly Pick<WindowAxis, "size" | "before" | "after">[],
  value: number,
): Padded {
  const dtype = x.dtype as FloatDtype;
  const shape = axes.map(({ size, before, after }) => before + size + after);
  const [strides, plane] = [stridesOf(shape), sizeOf(shape)];
  const sizes = axes.map(({ size }) => size);
  if (plane === sizeOf(sizes)) return { pointer: x.pointer, strides, plane, fill: undefined };
  const planes = sizeOf(x.shape.slice(0, 2));
  const copy = scratch.allocate("x with its padding", dtype, [planes, ...shape]);
  copy.fill(value); // the padding stays
  const first = axes.reduce((sum, { before }, i) => sum + before * strides[i]!, 0);
  const own = stridesOf(sizes);
  const box = [[planes, sizeOf(sizes), plane], ...sizes.map((size, i) => [size, own[i]!, strides[i]!])];
  if (sizeOf(x.shape) === 0) return { pointer: copy.pointer, strides, plane, fill: undefined };
  const fields = { from: x.pointer, to: copy.pointer + first * BYTES[dtype], ...writeAxes(scratch, box) };
  const fill = bindRecord(scratch, graphKernels(scratch.core)[dtype].move, move, fields);
  return { pointer: copy.pointer, strides, plane, fill };
}

/** Where windows start in x, and their taps in a window, in numbers: their sums over axes. */
export function offsetsOf(axes: readonly WindowAxis[], { strides }: Padded): { taps: Lists; positions: Lists } {
  return {
    taps: axes.map(({ taps, dilation }, i) => range(taps, (j) => j * dilation * strides[i]!)),
    positions: axes.map(({ outputs, stride }, i) => range(outputs, (j) => j * stride * strides[i]!)),
  };
}
