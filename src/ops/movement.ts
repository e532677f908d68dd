// Operations that move numbers and compute nothing: f64, f32 and i32.

import {
  bindRecord,
  broadcastAxes,
  graphKernels,
  inOrder,
  stridesOf,
  writeAxes,
  type Axes,
} from "../../bindings/graph.js";
import { DtypeError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { BYTES, checkDimensions, describe, showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { move } from "../../bindings/wasm-graph.js";
import { checkAxis, checkBound, checkIndex } from "./attributes.js";
import type { Move, Movement, Operation, Spec } from "./operation.js";

/** Calls of the kernel that copies, or of the one that adds. */
export function bindMoves(
  scratch: Arena,
  inputs: readonly WasmTensor[],
  outputs: readonly WasmTensor[],
  moves: readonly Move[],
  kernel: "move" | "moveAdd" = "move",
): () => void {
  const calls = moves
    .filter(({ axes }) => !axes.some(([n]) => n === 0))
    .filter(({ input, output, from, to, axes }) => {
      const inPlace = inputs[input]!.pointer === outputs[output]!.pointer && from === to;
      return !(inPlace && axes.every(([, fromStep, toStep]) => fromStep === toStep));
    })
    .map(({ input, output, from, to, axes }) => {
      const { dtype } = outputs[output]!;
      const kernels = graphKernels(scratch.core)[dtype === "f64" ? "f64" : "f32"]; // the bits of i32 move as those of f32
      return bindRecord(scratch, kernels[kernel], move, {
        from: inputs[input]!.pointer + from * BYTES[dtype],
        to: outputs[output]!.pointer + to * BYTES[dtype],
        ...writeAxes(scratch, axes),
      });
    });
  return inOrder(calls);
}

/** An operation made of copies. */
function movement<Attributes>(
  name: string,
  infer: Operation<Attributes>["infer"],
  moves: Movement<Attributes>["moves"],
  more: Pick<Movement<Attributes>, "fill" | "inPlace"> = {},
): Movement<Attributes> {
  const { fill } = more;
  const bind: Operation<Attributes>["bind"] = (scratch, inputs, outputs, attributes) => {
    const call = bindMoves(scratch, inputs, outputs, moves(inputs, outputs, attributes));
    if (!fill) return call;
    const value = fill(attributes);
    return () => {
      outputs[0]!.fill(value);
      call();
    };
  };
  return { name, infer, moves, bind, ...more };
}

/** A copy of a shape with `removed` lengths from `axis` on replaced by others. */
function splice(shape: readonly number[], axis: number, removed: number, ...lengths: number[]): number[] {
  return [...shape.slice(0, axis), ...lengths, ...shape.slice(axis + removed)];
}

/** The entries of a part on an axis of a whole, one after the other from `start` on; the other axes are the same. */
function partAxes(whole: readonly number[], axis: number, count: number) {
  const inner = sizeOf(whole.slice(axis + 1));
  return { outer: sizeOf(whole.slice(0, axis)), row: whole[axis]! * inner, width: count * inner, inner };
}

/** The copy of a part of input 0. */
function moveOut(whole: readonly number[], axis: number, start: number, count: number, output = 0): Move {
  const { outer, row, width, inner } = partAxes(whole, axis, count);
  const axes = [[outer, row, width], [width, 1, 1]]; // prettier-ignore
  return { input: 0, output, from: start * inner, to: 0, axes };
}

/** The copy of input `input` to a part of the result. */
function moveInto(whole: readonly number[], axis: number, start: number, count: number, input: number): Move {
  const { outer, row, width, inner } = partAxes(whole, axis, count);
  const axes = [[outer, width, row], [width, 1, 1]]; // prettier-ignore
  return { input, output: 0, from: 0, to: start * inner, axes };
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
export const transpose: Movement<{ axes?: readonly number[] | undefined }> = /* @__PURE__ */ movement(
  "transpose",
  ([x], { axes }) => {
    const { dtype, shape } = x!;
    return [{ dtype, shape: checkAxes(axes, shape.length).map((axis) => shape[axis]!) }];
  },
  ([x], [out], { axes }) => {
    const [from, to] = [stridesOf(x!.shape), stridesOf(out!.shape)];
    const order = checkAxes(axes, from.length);
    return [{ input: 0, output: 0, from: 0, to: 0, axes: out!.shape.map((n, i) => [n, from[order[i]!]!, to[i]!]) }];
  },
);

/** Repeats axes of length 1, and adds axes in front. */
export const expand: Movement<{ shape: readonly number[] }> = /* @__PURE__ */ movement(
  "expand",
  ([x], { shape }) => [{ dtype: x!.dtype, shape }],
  ([x], [out]) => [{ input: 0, output: 0, from: 0, to: 0, axes: broadcastAxes(out!.shape, [x!.shape, out!.shape]) }],
);

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

/** The copies that join tensors along an axis that they have. */
function joining(tensors: readonly Spec[], whole: readonly number[], axis: number): Move[] {
  let start = 0;
  return tensors.map(({ shape }, i) => {
    const count = shape[axis]!;
    start += count;
    return moveInto(whole, axis, start - count, count, i);
  });
}

/** Joins tensors, one after the other, along an axis that they have. */
export const concat: Movement<{ axis: number }> = /* @__PURE__ */ movement(
  "concat",
  (tensors, { axis: given }) => {
    const first = firstOf(tensors);
    const axis = checkAxis(given, first.shape.length);
    checkJoined(tensors, first, axis);
    const shape = [...first.shape];
    shape[axis] = tensors.reduce((sum, each) => sum + each.shape[axis]!, 0);
    return [{ dtype: first.dtype, shape }];
  },
  (tensors, [out], { axis }) => joining(tensors, out!.shape, checkAxis(axis, out!.shape.length)),
);

/** Joins tensors of one shape along a new axis. */
export const stack: Movement<{ axis: number }> = /* @__PURE__ */ movement(
  "stack",
  (tensors, { axis }) => {
    const first = firstOf(tensors);
    checkJoined(tensors, first);
    const { dtype, shape } = first;
    return [{ dtype, shape: splice(shape, checkAxis(axis, shape.length + 1), 0, tensors.length) }];
  },
  (tensors, [out], { axis: given }) => {
    const axis = checkAxis(given, out!.shape.length);
    const parts = tensors.map(({ dtype, shape }) => ({ dtype, shape: splice(shape, axis, 0, 1) }));
    return joining(parts, out!.shape, axis);
  },
);

/** What `slice` takes beside x: positions count from the end if negative. */
export interface SliceAttributes {
  axis: number;
  start: number;
  end: number;
}

/** The axis, start and length of a part. */
function partOf(shape: readonly number[], attributes: SliceAttributes): { axis: number; start: number; count: number } {
  const axis = checkAxis(attributes.axis, shape.length);
  const start = checkBound("start", attributes.start, shape[axis]!);
  const end = checkBound("end", attributes.end, shape[axis]!);
  if (end < start) throw new ValueError("end", describe(attributes.end), `at least the start, ${attributes.start}`);
  return { axis, start, count: end - start };
}

/** The entries from `start` to `end` (excluded) of an axis. */
export const slice: Movement<SliceAttributes> = /* @__PURE__ */ movement(
  "slice",
  ([x], attributes) => {
    const { axis, count } = partOf(x!.shape, attributes);
    return [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1, count) }];
  },
  ([x], _outputs, attributes) => {
    const { axis, start, count } = partOf(x!.shape, attributes);
    return [moveOut(x!.shape, axis, start, count)];
  },
);

/** A part of each axis: `counts` entries from `starts` on, `steps` apart (not 0, perhaps negative); nothing lies outside. */
export interface BoxAttributes {
  starts: readonly number[];
  counts: readonly number[];
  steps: readonly number[];
}

/** A part of each axis. */
export const box: Movement<BoxAttributes> = /* @__PURE__ */ movement(
  "box",
  ([x], { counts }) => [{ dtype: x!.dtype, shape: counts }],
  ([x], [out], { starts, counts, steps }) => {
    const [from, to] = [stridesOf(x!.shape), stridesOf(out!.shape)];
    const start = starts.reduce((sum, first, axis) => sum + first * from[axis]!, 0);
    return [{ input: 0, output: 0, from: start, to: 0, axes: counts.map((n, axis) => [n, from[axis]! * steps[axis]!, to[axis]!]) }]; // prettier-ignore
  },
);

/** Parts of an axis, one after the other. */
export const split: Movement<{ axis: number; sizes: readonly number[] }> = /* @__PURE__ */ movement(
  "split",
  ([x], { axis: given, sizes }) => {
    const { dtype, shape } = x!;
    const axis = checkAxis(given, shape.length);
    const sum = checkDimensions("split", sizes).reduce((a, b) => a + b, 0);
    if (sum !== shape[axis]) throw new ShapeError("split", showShape(sizes), `sizes with the sum ${shape[axis]!}`);
    return sizes.map((size) => ({ dtype, shape: splice(shape, axis, 1, size) }));
  },
  ([x], _outputs, { axis: given, sizes }) => {
    const axis = checkAxis(given, x!.shape.length);
    let start = 0;
    return sizes.map((size, i) => {
      start += size;
      return moveOut(x!.shape, axis, start - size, size, i);
    });
  },
);

/** What `pad` takes beside x. */
export interface PadAttributes {
  /** Entries before and after each axis; negative: as many are left out. */
  before: readonly number[];
  after: readonly number[];
  mode: "constant" | "reflect" | "edge" | "wrap";
  /** What the mode "constant" fills in. */
  value: number;
}

/** Entries of an axis of x that are copied: `n` from `from` on, `step` apart, to `to` on; perhaps many times, `every` apart. */
interface Stretch {
  from: number;
  to: number;
  n: number;
  step: number;
  times?: number;
  every?: number;
}

/** The copies on one axis of `length` entries. */
function stretches(mode: PadAttributes["mode"], length: number, before: number, after: number): Stretch[] {
  const [start, end] = [Math.max(0, -before), length - Math.max(0, -after)];
  const all: Stretch[] = [{ from: start, to: Math.max(0, before), n: end - start, step: 1 }];
  const add = (from: number, to: number, n: number, step: number): void => {
    if (n > 0) all.push({ from, to, n, step });
  };
  const last = before + length; // where the result's first entry past x is
  if (mode === "edge") {
    add(start, 0, before, 0);
    add(end - 1, last, after, 0);
  } else if (mode === "reflect") {
    add(before, 0, before, -1);
    add(length - 2, last, after, -1);
  } else if (mode === "wrap" && length > 0) {
    const repeat = (to: number, count: number) => {
      const times = Math.floor(count / length);
      if (times > 0) all.push({ from: 0, to, n: length, step: 1, times, every: length });
    };
    const [first, rest] = [before % length, after % length];
    if (before > 0) add(length - first, 0, first, 1);
    repeat(first, before);
    repeat(last, after);
    if (after > 0) add(0, last + after - rest, rest, 1);
  }
  return all;
}

/** The most copies that `pad` is made of: with each axis that has entries at both ends they are three times as many. */
const MOST_PARTS = 3 ** 7;

/** x with entries before and after each axis. */
export const pad: Movement<PadAttributes> = /* @__PURE__ */ movement(
  "pad",
  ([x], { before, after, mode }) => {
    const shape = x!.shape.map((n, axis) => {
      const [a, b] = [before[axis]!, after[axis]!];
      const most = mode === "reflect" ? n - 1 : mode === "constant" || n > 0 ? Infinity : 0;
      if (!(a <= most && b <= most)) throw new ShapeError("pads", showShape([a, b]), `at most ${most} on axis ${axis}`);
      if (Math.max(0, -a) + Math.max(0, -b) > n)
        throw new ShapeError("pads", showShape([a, b]), `at most ${n} left out`);
      return n + a + b;
    });
    return [{ dtype: x!.dtype, shape }];
  },
  ([x], [out], { before, after, mode }) => {
    const [from, to] = [stridesOf(x!.shape), stridesOf(out!.shape)];
    let moves: Move[] = [{ input: 0, output: 0, from: 0, to: 0, axes: [] }];
    x!.shape.forEach((length, axis) => {
      const parts = stretches(mode, length, before[axis]!, after[axis]!);
      if (moves.length * parts.length > MOST_PARTS) {
        throw new UnsupportedError("pads", `${x!.shape.length} axes in mode ${mode}`, "fewer axes that are padded");
      }
      moves = moves.flatMap((move) =>
        parts.map(({ times = 1, every = 0, ...part }) => ({
          ...move,
          from: move.from + part.from * from[axis]!,
          to: move.to + part.to * to[axis]!,
          axes: [...move.axes, [times, 0, every * to[axis]!], [part.n, part.step * from[axis]!, to[axis]!]],
        })),
      );
    });
    return moves;
  },
  { fill: ({ value }) => value },
);

/** Repeats each axis. */
export const tile: Movement<{ repeats: readonly number[] }> = /* @__PURE__ */ movement(
  "tile",
  ([x], { repeats }) => [{ dtype: x!.dtype, shape: x!.shape.map((n, axis) => n * repeats[axis]!) }],
  ([x], [out], { repeats }) => {
    const [from, to] = [stridesOf(x!.shape), stridesOf(out!.shape)];
    const axes = x!.shape.flatMap((n, axis) => [[repeats[axis]!, 0, n * to[axis]!], [n, from[axis]!, to[axis]!]]); // prettier-ignore
    return [{ input: 0, output: 0, from: 0, to: 0, axes }];
  },
);

/** Numbers that lie in x as `strides` say, from `start` on; none lies outside. */
export const strided: Movement<{ shape: readonly number[]; strides: readonly number[]; start?: number }> =
  /* @__PURE__ */ movement(
    "strided",
    ([x], { shape }) => [{ dtype: x!.dtype, shape }],
    (_inputs, [out], { strides, start = 0 }) => {
      const to = stridesOf(out!.shape);
      return [{ input: 0, output: 0, from: start, to: 0, axes: out!.shape.map((n, i) => [n, strides[i]!, to[i]!]) }];
    },
  );

/** Rows that are copied: `axes` as of a Move, in rows. */
export type Run = Pick<Move, "from" | "to" | "axes">;

/**
 * Joins copies whose places progress evenly, as often as it can.
 *
 * @param rows for each row of the result the row that it is; negative: none
 */
export function runsOf(rows: ArrayLike<number>): readonly Run[] {
  const single = (to: number): Run => ({ from: rows[to]! < 0 ? NaN : rows[to]!, to, axes: [] });
  let runs = joinRuns(rows.length, single).filter(({ from }) => from >= 0);
  for (let before = Infinity; runs.length < before;) {
    before = runs.length;
    runs = joinRuns(before, (i) => runs[i]!);
  }
  return runs;
}

function joinRuns(count: number, run: (i: number) => Run): Run[] {
  const joined: Run[] = [];
  for (let i = 0; i < count;) {
    const { from, to, axes } = run(i);
    let [n, fromStep, toStep] = [1, 0, 0];
    for (; i + n < count; n++) {
      const next = run(i + n);
      if (n === 1) [fromStep, toStep] = [next.from - from, next.to - to];
      const fits = next.from === from + n * fromStep && next.to === to + n * toStep;
      if (!fits || !sameAxes(next.axes, axes)) break;
    }
    joined.push({ from, to, axes: n > 1 ? [[n, fromStep, toStep], ...axes] : axes });
    i += n;
  }
  return joined;
}

function sameAxes(a: Axes, b: Axes): boolean {
  return a.length === b.length && a.every((axis, i) => axis.every((n, k) => n === b[i]![k]));
}

/** A run of rows of `width` numbers, between axes of which there are `outer`, of `from` and of `to` rows. */
function moveRun({ from, to, axes }: Run, width: number, input = 0, outer = 1, fromRows = 0, toRows = 0): Move {
  return {
    input,
    output: 0,
    from: from * width,
    to: to * width,
    axes: [
      [outer, fromRows * width, toRows * width],
      ...axes.map(([n, fromStep, toStep]) => [n!, fromStep! * width, toStep! * width]),
      [width, 1, 1],
    ],
  };
}

/** Entries of an axis, in runs that fill axes of `shape`, which stand in its place; none lies outside. */
export const pick: Movement<{ axis: number; shape: readonly number[]; runs: readonly Run[] }> =
  /* @__PURE__ */ movement(
    "pick",
    ([x], { axis, shape }) => [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1, ...shape) }],
    ([x], _outputs, { axis, shape, runs }) => {
      const [outer, width] = [sizeOf(x!.shape.slice(0, axis)), sizeOf(x!.shape.slice(axis + 1))];
      return runs.map((run) => moveRun(run, width, 0, outer, x!.shape[axis], sizeOf(shape)));
    },
  );

/** x with rows of `width` numbers replaced by rows of updates, in runs that do not overlap; none lies outside. */
export const scatter: Movement<{ width: number; runs: readonly Run[] }> = /* @__PURE__ */ movement(
  "scatter",
  ([x]) => [x!],
  ([x], _outputs, { width, runs }) => [
    { input: 0, output: 0, from: 0, to: 0, axes: [[sizeOf(x!.shape), 1, 1]] },
    ...runs.map((run) => moveRun(run, width, 1)),
  ],
  { inPlace: "first" },
);

/** The entries of an axis at indices (i32, which were checked; zeros at negative ones): their axes stand in its place. */
export const gather: Operation<{ axis: number }> = {
  name: "gather",
  infer: ([x, indices], { axis }) => [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1, ...indices!.shape) }],
  bind(scratch, [x, indices], [out], { axis }) {
    const outer = sizeOf(x!.shape.slice(0, axis));
    const width = sizeOf(x!.shape.slice(axis + 1));
    const [length, count] = [x!.shape[axis]!, sizeOf(indices!.shape)];
    const { gatherRows } = scratch.core.kernels[x!.dtype === "f64" ? "f64" : "f32"];
    const [at, from, to] = [indices!.pointer, x!.pointer, out!.pointer];
    const [fromStep, toStep] = [length * width * BYTES[x!.dtype], count * width * BYTES[x!.dtype]];
    return () => {
      for (let i = 0; i < outer; i++) gatherRows(count, width, at, from + i * fromStep, width, to + i * toStep, width);
    };
  },
};

/** What `select` takes beside x: both count from the end if negative. */
export interface SelectAttributes {
  axis: number;
  index: number;
}

/** The axis and index of an entry. */
function entryOf(shape: readonly number[], attributes: SelectAttributes): { axis: number; start: number } {
  const axis = checkAxis(attributes.axis, shape.length);
  return { axis, start: checkIndex(attributes.index, shape[axis]!) };
}

/** One entry of an axis, without that axis. */
export const select: Movement<SelectAttributes> = /* @__PURE__ */ movement(
  "select",
  ([x], attributes) => {
    const { axis } = entryOf(x!.shape, attributes);
    return [{ dtype: x!.dtype, shape: splice(x!.shape, axis, 1) }];
  },
  ([x], _outputs, attributes) => {
    const { axis, start } = entryOf(x!.shape, attributes);
    return [moveOut(x!.shape, axis, start, 1)];
  },
);

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
