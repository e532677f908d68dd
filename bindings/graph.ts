// Calls of the graph module's kernels: for graphs of operations, over a core's memory. graph-module.ts starts the module.

import { ShapeError } from "./errors.js";
import type { Core, KernelsByType } from "./instantiate.js";
import type { Arena } from "./memory.js";
import { writeRecord, type RecordType, type Values } from "./record.js";
import { showShape } from "./tensor.js";
import type { Exports } from "./wasm-graph.js";

/** The instances that were started, one for each core. */
export const graphInstances = /* @__PURE__ */ new WeakMap<Core, KernelsByType<Exports>>();

/** The graph's kernels over the memory of a core for which `startGraph` was called. */
export function graphKernels(core: Core): KernelsByType<Exports> {
  return graphInstances.get(core)!;
}

/**
 * The shape to which both broadcast, by NumPy's rules: axes are aligned at the last one, and an axis of 1 repeats.
 *
 * @param argument the name of b in errors
 * @throws ShapeError
 */
export function broadcastShape(a: readonly number[], b: readonly number[], argument = "b"): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError(argument, showShape(b), `a shape that broadcasts with ${showShape(a)}`);
    }
    return m === 1 ? n : m;
  });
}

/** Axes of a pass over tensors, outermost first: length, and how many numbers apart the elements of each tensor are. */
export type Axes = readonly (readonly number[])[];

/** How many numbers apart the elements of a dense tensor are on each axis. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let next = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides.unshift(next);
    next *= shape[axis]!;
  }
  return strides;
}

/** The axes of a pass over `shape`, to which each operand broadcasts: strides of 0 where an operand repeats. */
export function broadcastAxes(shape: readonly number[], operands: readonly (readonly number[])[]): number[][] {
  const strides = operands.map(stridesOf);
  return shape.map((n, axis) => [
    n,
    ...operands.map((operand, i) => {
      const own = axis - shape.length + operand.length;
      return (operand[own] ?? 1) === 1 ? 0 : strides[i]![own]!;
    }),
  ]);
}

/** The same pass with as few axes as possible: those of length 1 are left out, and neighbours merged where all strides allow it. */
export function mergeAxes(axes: Axes): number[][] {
  const merged: number[][] = [];
  for (let axis = axes.length - 1; axis >= 0; axis--) {
    const [n, ...strides] = axes[axis] as [number, ...number[]];
    if (n === 1) continue;
    const [inner] = merged;
    if (inner && strides.every((stride, i) => stride === inner[0]! * inner[i + 1]!)) inner[0]! *= n;
    else merged.unshift([n, ...strides]);
  }
  return merged.length > 0 ? merged : [[1]];
}

/**
 * Merges axes, of up to three tensors and of lengths >= 1, and writes them as kernels take them.
 *
 * @param scratch owns the memory
 */
export function writeAxes(scratch: Arena, axes: Axes): { axes: number; rank: number } {
  const merged = mergeAxes(axes);
  const address = scratch.bytes("axes", 16 * merged.length);
  const numbers = scratch.core.heap.view("i32");
  merged.forEach((axis, i) => {
    for (let j = 0; j < 4; j++) numbers[address / 4 + 4 * i + j] = axis[j] ?? 0;
  });
  return { axes: address, rank: merged.length };
}

/**
 * A call of a kernel, to be made any number of times.
 *
 * @param scratch owns the record of its arguments
 */
export function bindRecord<Field extends string>(
  scratch: Arena,
  kernel: (record: number) => void,
  type: RecordType<Field>,
  values: Values<Field>,
): () => void {
  const address = scratch.bytes("arguments", type.bytes);
  writeRecord(scratch.core, address, type, values);
  return () => kernel(address);
}

/** Makes calls one after the other. */
export function inOrder(calls: readonly ((() => void) | undefined)[]): () => void {
  const all = calls.filter((each) => each !== undefined);
  if (all.length === 1) return all[0]!;
  // by index: an iterator would be allocated in each step of a stream
  return () => {
    for (let i = 0; i < all.length; i++) all[i]!();
  };
}
