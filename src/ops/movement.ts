// Operations that move numbers and compute nothing: f64, f32 and i32.

import { bindRecord, broadcastAxes, graphKernels, stridesOf, writeAxes, type Axes } from "../../bindings/graph.js";
import { DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import {
  BYTES,
  checkDimensions,
  describe,
  showShape,
  sizeOf,
  type Dtype,
  type FloatDtype,
} from "../../bindings/tensor.js";
import { move } from "../../bindings/wasm-graph.js";
import { checkAxis, checkBound, checkIndex } from "./attributes.js";
import type { Operation, Spec } from "./operation.js";

/** A place in a tensor: `offset` numbers from its first. */
interface Place {
  readonly tensor: WasmTensor;
  readonly offset?: number;
}

/** A copy of a box of axes: length, and the strides in `from` and in `to`. */
function bindMove(scratch: Arena, from: Place, to: Place, axes: Axes): () => void {
  if (axes.some(([n]) => n === 0)) return () => {};
  const { dtype } = to.tensor;
  const address = ({ tensor, offset = 0 }: Place) => tensor.pointer + offset * BYTES[dtype];
  const kernels = graphKernels(scratch.core)[dtype === "f64" ? "f64" : "f32"]; // the bits of i32 move as those of f32
  return bindRecord(scratch, kernels.move, move, {
    from: address(from),
    to: address(to),
    ...writeAxes(scratch, axes),
  });
}

/** A copy of a shape with `removed` lengths from `axis` on replaced by others. */
function splice(shape: readonly number[], axis: number, removed: number, ...lengths: number[]): number[] {
  return [...shape.slice(0, axis), ...lengths, ...shape.slice(axis + removed)];
}

/** The entries of `part` on an axis of `whole`, one after the other from `start` on; the other axes are the same. */
interface Part {
  whole: WasmTensor;
  part: WasmTensor;
  axis: number;
  start: number;
}

/** Copies a part of a tensor from it or to it. */
function bindPart(scratch: Arena, direction: "out of" | "into", { whole, part, axis, start }: Part): () => void {
  const outer = sizeOf(whole.shape.slice(0, axis));
  const inner = sizeOf(whole.shape.slice(axis + 1));
  const row = whole.shape[axis]! * inner;
  if (outer === 0 || inner === 0) return () => {};
  const width = sizeOf(part.shape) / outer;
  const place = { tensor: whole, offset: start * inner };
  if (direction === "into") return bindMove(scratch, { tensor: part }, place, [[outer, width, row], [width, 1, 1]]); // prettier-ignore
  return bindMove(scratch, place, { tensor: part }, [[outer, row, width], [width, 1, 1]]); // prettier-ignore
}

/** Zeros in the shape of `whole`, with `part` in its place: the way back of `slice`. */
export function embed<D extends Dtype>(
  arena: Arena,
  whole: Spec<D>,
  part: WasmTensor<D>,
  axis: number,
  start: number,
): WasmTensor<D> {
  const zeros = arena.zeros("gradient", whole.dtype, whole.shape);
  bindPart(arena, "into", { whole: zeros, part, axis, start })();
  return zeros;
}

/** The order of axes: reversed by default; each counts from the end if negative. */
export function checkAxes(axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const expected = `each of the ${rank} axes once`;
  if (axes.length !== rank) throw new ValueError("axes", showShape(axes), expected);
  const order = axes.map((axis) => checkAxis(axis, rank));
  if (new Set(order).size !== rank) throw new ValueError("axes", showShape(axes), expected);
  return order;
}

/** The same numbers with the axes in another order. */
export const transpose: Operation<{ axes?: readonly number[] | undefined }> = {
  name: "transpose",
  infer([x], { axes }) {
    const { dtype, shape } = x!;
    return [{ dtype, shape: checkAxes(axes, shape.length).map((axis) => shape[axis]!) }];
  },
  bind(scratch, [x], [out], { axes }) {
    const [from, to] = [stridesOf(x!.shape), stridesOf(out!.shape)];
    const order = checkAxes(axes, from.length);
    const box = out!.shape.map((n, i) => [n, from[order[i]!]!, to[i]!]);
    return bindMove(scratch, { tensor: x! }, { tensor: out! }, box);
  },
};

/** Repeats axes of length 1, and adds axes in front. */
export const expand: Operation<{ shape: readonly number[] }> = {
  name: "expand",
  infer: ([x], { shape }) => [{ dtype: x!.dtype, shape }],
  bind: (scratch, [x], [out]) =>
    bindMove(scratch, { tensor: x! }, { tensor: out! }, broadcastAxes(out!.shape, [x!.shape, out!.shape])),
};

/** The same numbers in another shape; -1 stands for the length that fits. */
export const reshape: Operation<{ shape: readonly number[] }> = {
  name: "reshape",
  infer([x], { shape: given }) {
    const size = sizeOf(x!.shape);
    const open = given.indexOf(-1);
    const known = checkDimensions(
      "shape",
      given.filter((_, i) => i !== open),
    );
    const shape = [...known];
    if (open >= 0) shape.splice(open, 0, size / sizeOf(known));
    if (sizeOf(shape) !== size || !shape.every(Number.isSafeInteger)) {
      throw new ShapeError("shape", showShape(given), `a shape of ${size} numbers`);
    }
    return [{ dtype: x!.dtype, shape }];
  },
};

/** Checks tensors to be joined: of one dtype and, but for `axis`, one shape. */
function checkJoined(tensors: readonly Spec[], first: Spec, axis?: number): void {
  tensors.forEach(({ dtype, shape }, i) => {
    if (dtype !== first.dtype) throw new DtypeError(`tensors[${i}]`, dtype, first.dtype);
    if (shape.length === first.shape.length && shape.every((n, j) => j === axis || n === first.shape[j])) return;
    const expected = first.shape.map((n, j) => (j === axis ? "any" : n));
    throw new ShapeError(`tensors[${i}]`, showShape(shape), showShape(expected));
  });
}

function firstOf(tensors: readonly Spec[]): Spec {
  const [first] = tensors;
  if (!first) throw new ValueError("tensors", "an empty array", "at least one tensor");
  return first;
}

/** Joins tensors, one after the other, along an axis that they have. */
export const concat: Operation<{ axis: number }> = {
  name: "concat",
  infer(tensors, { axis: given }) {
    const first = firstOf(tensors);
    const axis = checkAxis(given, first.shape.length);
    checkJoined(tensors, first, axis);
    const shape = [...first.shape];
    shape[axis] = tensors.reduce((sum, each) => sum + each.shape[axis]!, 0);
    return [{ dtype: first.dtype, shape }];
  },
  bind(scratch, tensors, [out], { axis: given }) {
    const axis = checkAxis(given, out!.shape.length);
    let start = 0;
    const calls = tensors.map((part) => {
      const call = bindPart(scratch, "into", { whole: out!, part, axis, start });
      start += part.shape[axis]!;
      return call;
    });
    return () => {
      for (const call of calls) call();
    };
  },
};

/** Joins tensors of one shape along a new axis. */
export const stack: Operation<{ axis: number }> = {
  name: "stack",
  infer(tensors, { axis }) {
    const first = firstOf(tensors);
    checkJoined(tensors, first);
    const { dtype, shape } = first;
    return [{ dtype, shape: splice(shape, checkAxis(axis, shape.length + 1), 0, tensors.length) }];
  },
  bind(scratch, tensors, [out], { axis: given }) {
    const axis = checkAxis(given, out!.shape.length);
    const parts = tensors.map((each) => each.reshape(splice(each.shape, axis, 0, 1)));
    return concat.bind!(scratch, parts, [out!], { axis });
  },
};

/** What `slice` takes beside x: positions count from the end if negative. */
export interface SliceAttributes {
  axis: number;
  start: number;
  end: number;
}

/** The axis, start and length of a part. */
export function partOf(
  shape: readonly number[],
  attributes: SliceAttributes,
): { axis: number; start: number; count: number } {
  const axis = checkAxis(attributes.axis, shape.length);
  const start = checkBound("start", attributes.start, shape[axis]!);
  const end = checkBound("end", attributes.end, shape[axis]!);
  if (end < start) throw new ValueError("end", describe(attributes.end), `at least the start, ${attributes.start}`);
  return { axis, start, count: end - start };
}

/** The entries from `start` to `end` (excluded) of an axis. */
export const slice: Operation<SliceAttributes> = {
  name: "slice",
  infer([x], attributes) {
    const { axis, count } = partOf(x!.shape, attributes);
    return [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1, count) }];
  },
  bind(scratch, [whole], [part], attributes) {
    return bindPart(scratch, "out of", { whole: whole!, part: part!, ...partOf(whole!.shape, attributes) });
  },
};

/** What `select` takes beside x: both count from the end if negative. */
export interface SelectAttributes {
  axis: number;
  index: number;
}

/** The axis and index of an entry. */
export function entryOf(shape: readonly number[], attributes: SelectAttributes): { axis: number; start: number } {
  const axis = checkAxis(attributes.axis, shape.length);
  return { axis, start: checkIndex(attributes.index, shape[axis]!) };
}

/** One entry of an axis, without that axis. */
export const select: Operation<SelectAttributes> = {
  name: "select",
  infer([x], attributes) {
    const { axis } = entryOf(x!.shape, attributes);
    return [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1) }];
  },
  bind(scratch, [whole], [part], attributes) {
    return bindPart(scratch, "out of", { whole: whole!, part: part!, ...entryOf(whole!.shape, attributes) });
  },
};

/** Of indices (i32), each from 0 to depth - 1, which was checked: 1 at the index along a new last axis, else 0. */
export const oneHot: Operation<{ depth: number; dtype: FloatDtype }> = {
  name: "oneHot",
  infer([indices], { depth, dtype }) {
    if (indices!.dtype !== "i32") throw new DtypeError("indices", indices!.dtype, "i32");
    return [{ dtype, shape: [...indices!.shape, depth] }];
  },
  bind(scratch, [indices], [out], { depth }) {
    const { pointer } = indices!;
    const count = sizeOf(indices!.shape);
    const kernels = graphKernels(scratch.core)[out!.dtype as FloatDtype];
    const to = out!.pointer;
    return () => kernels.oneHot(count, depth, pointer, to);
  },
};
