// Operators that take entries at indices, or put them there.

import { DtypeError, ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { stridesOf } from "../../../bindings/graph.js";
import { checkDimensions, showShape, sizeOf } from "../../../bindings/tensor.js";
import { checkAxis } from "../../ops/attributes.js";
import * as move from "../../ops/movement.js";
import { checkPosition, type Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import { floatOf, makeNumbers, type Numbers, type Value } from "../value.js";
import { reshaped } from "./compose.js";

/** So many copies cost less than a look at each index. */
const FEW = 32;

/** The copies of rows at positions that are known; undefined where there are none or many. */
function fewRuns(known: Numbers | undefined): readonly move.Run[] | undefined {
  const runs = known && move.runsOf(known);
  return runs && runs.length <= FEW ? runs : undefined;
}

/**
 * Entries of an axis, whose place the axes of the positions take.
 *
 * @param positions of `hostToWasm`, from 0 on, which were checked
 */
export function take(builder: Builder, x: Value, axis: number, positions: Value): Value {
  const runs = fewRuns(builder.known(positions));
  if (runs) return builder.one(move.pick, [x], { axis, shape: positions.shape, runs });
  if (x.inWasm) return builder.one(move.gather, [x, positions], { axis });
  const shape = [...x.shape.slice(0, axis), ...positions.shape, ...x.shape.slice(axis + 1)];
  const width = sizeOf(x.shape.slice(axis + 1));
  const row = x.shape[axis]! * width;
  return builder.hostOne([x, positions], x.dtype, shape, ([from, at], to) => {
    const each = at!.length;
    for (let start = 0, next = 0; next < to.length; start += row) {
      for (let j = 0; j < each; j++) {
        const first = start + at![j]! * width;
        for (let k = 0; k < width; k++) to[next++] = from![first + k]!;
      }
    }
  });
}

/** The places of all elements of `shape` that lie as `strides` say. */
export function placesOf(shape: readonly number[], strides: readonly number[]): Numbers {
  const places = makeNumbers("i32", sizeOf(shape));
  let inner = places.length > 0 ? 1 : 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const whole = inner * shape[axis]!;
    for (let i = inner; i < whole; i++) places[i] = places[i - inner]! + strides[axis]!;
    inner = whole;
  }
  return places;
}

function checkInteger(argument: string, { dtype }: Value): void {
  if (floatOf(dtype) || dtype === "bool") throw new DtypeError(argument, dtype, "i64 or i32");
}

function gather(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const indices = node.input(1, "indices");
  const axis = checkAxis(node.int("axis", 0), x.shape.length);
  checkInteger("indices", indices);
  return take(builder, x, axis, builder.indices("indices", indices, x.shape[axis]!));
}

/** Where in the data each index points that stands for one element: on `axis` it decides, on the others its own place. */
function elementPositions(builder: Builder, data: Value, indices: Value, given: number): Value {
  const { shape } = data;
  const axis = checkAxis(given, shape.length);
  checkInteger("indices", indices);
  if (indices.shape.length !== shape.length || indices.shape.some((n, i) => i !== axis && n > shape[i]!)) {
    const expected = `at most ${showShape(shape)}, but on axis ${axis}`;
    throw new ShapeError("indices", showShape(indices.shape), expected);
  }
  const strides = stridesOf(shape);
  const [stride, count] = [strides[axis]!, shape[axis]!];
  const places = placesOf(indices.shape, strides.map((each, i) => (i === axis ? 0 : each))); // prettier-ignore
  return builder.hostToWasm([indices], indices.shape, ([from], [to]) => {
    for (let i = 0; i < to!.length; i++) to![i] = places[i]! + checkPosition("indices", from![i]!, count) * stride;
  });
}

function gatherElements(node: Node, builder: Builder): Value {
  const [data, indices] = [node.input(0, "data"), node.input(1, "indices")];
  const positions = elementPositions(builder, data, indices, node.int("axis", 0));
  return take(builder, reshaped(builder, data, [data.size]), 0, positions);
}

/** The rows of the data to which tuples of indices point, after `batch` axes that both have. */
function rowPositions(builder: Builder, data: Value, indices: Value, batch: number) {
  checkInteger("indices", indices);
  const { shape } = data;
  const depth = indices.shape.at(-1);
  const same = shape.slice(0, batch).every((n, i) => n === indices.shape[i]);
  if (depth === undefined || batch < 0 || batch >= indices.shape.length || batch + depth > shape.length || !same) {
    throw new ShapeError("indices", showShape(indices.shape), `tuples of axes of ${showShape(shape)}`);
  }
  const lengths = shape.slice(batch, batch + depth);
  const strides = stridesOf(lengths);
  const rest = shape.slice(batch + depth);
  const axes = indices.shape.slice(0, -1);
  const perBatch = sizeOf(axes.slice(batch));
  const rows = sizeOf(lengths);
  const positions = builder.hostToWasm([indices], axes, ([from], [to]) => {
    for (let i = 0, next = 0; i < to!.length; i++) {
      let row = Math.floor(i / perBatch) * rows;
      for (let k = 0; k < depth; k++) row += checkPosition("indices", from![next++]!, lengths[k]!) * strides[k]!;
      to![i] = row;
    }
  });
  return { positions, rows: sizeOf(shape.slice(0, batch)) * rows, rest };
}

function gatherND(node: Node, builder: Builder): Value {
  const [data, indices] = [node.input(0, "data"), node.input(1, "indices")];
  const { positions, rows, rest } = rowPositions(builder, data, indices, node.int("batch_dims", 0));
  const taken = take(builder, reshaped(builder, data, [rows, sizeOf(rest)]), 0, positions);
  return reshaped(builder, taken, [...positions.shape, ...rest]);
}

const REDUCTIONS = {
  none: (_: number, b: number) => b,
  add: (a: number, b: number) => a + b,
  mul: (a: number, b: number) => a * b,
  max: (a: number, b: number) => (a > b || a !== a ? a : b),
  min: (a: number, b: number) => (a < b || a !== a ? a : b),
};

/** Data with rows of `width` numbers at positions replaced by updates, or combined with them. */
function scatter(node: Node, builder: Builder, data: Value, updates: Value, positions: Value, width: number): Value {
  if (updates.dtype !== data.dtype) throw new DtypeError("updates", updates.dtype, data.dtype);
  const reduction = node.choice("reduction", ["none", "add", "mul", "max", "min"], "none");
  if (data.size === 0 || updates.size === 0) return data;
  if (reduction !== "none") {
    const combine = REDUCTIONS[reduction];
    return builder.hostOne([data, updates, positions], data.dtype, data.shape, ([from, more, at], to) => {
      to.set(from!);
      for (let i = 0, next = 0; i < at!.length; i++) {
        const first = at![i]! * width;
        for (let k = 0; k < width; k++) to[first + k] = combine(to[first + k]!, more![next++]!);
      }
    });
  }
  const [rows, count] = [data.size / width, updates.size / width];
  // Which row of the updates, if any, each row of the result is; of several the last.
  const known = builder.known(positions);
  if (known) {
    const sources = makeNumbers("i32", rows).fill(-1);
    for (let i = 0; i < count; i++) sources[known[i]!] = i;
    const runs = fewRuns(sources);
    if (runs) return builder.one(move.scatter, [data, updates], { width, runs });
  }
  const sources = builder.hostToWasm([positions], [rows], ([at], [to]) => {
    for (let i = 0; i < rows; i++) to![i] = i;
    for (let i = 0; i < count; i++) to![at![i]!] = rows + i;
  });
  const both = [reshaped(builder, data, [rows, width]), reshaped(builder, updates, [count, width])];
  return reshaped(builder, take(builder, builder.one(move.concat, both, { axis: 0 }), 0, sources), data.shape);
}

function scatterElements(node: Node, builder: Builder): Value {
  const [data, indices, updates] = [node.input(0, "data"), node.input(1, "indices"), node.input(2, "updates")];
  const positions = elementPositions(builder, data, indices, node.int("axis", 0));
  checkUpdates(updates, indices.shape);
  return scatter(node, builder, data, updates, positions, 1);
}

function scatterND(node: Node, builder: Builder): Value {
  const [data, indices, updates] = [node.input(0, "data"), node.input(1, "indices"), node.input(2, "updates")];
  const { positions, rest } = rowPositions(builder, data, indices, 0);
  checkUpdates(updates, [...positions.shape, ...rest]);
  return scatter(node, builder, data, updates, positions, sizeOf(rest));
}

function checkUpdates({ shape }: Value, expected: readonly number[]): void {
  if (showShape(shape) !== showShape(expected)) throw new ShapeError("updates", showShape(shape), showShape(expected));
}

/** How many numbers are not 0: what follows holds for as many. */
function countOf(builder: Builder, x: Value): number {
  const count = builder.hostOne([x], "i64", [], ([from], to) => {
    let n = 0;
    for (let i = 0; i < from!.length; i++) if (from![i] !== 0) n++;
    to[0] = n;
  });
  return builder.number("count", count);
}

/** The positions of numbers that are not 0. */
function positionsOf(builder: Builder, x: Value): Value {
  return builder.hostToWasm([x], [countOf(builder, x)], ([from], [to]) => {
    for (let i = 0, next = 0; i < from!.length; i++) if (from![i] !== 0) to![next++] = i;
  });
}

function nonZero(node: Node, builder: Builder): Value {
  const x = node.input(0, "X");
  const strides = stridesOf(x.shape);
  const positions = positionsOf(builder, x);
  const { size } = positions;
  return builder.hostOne([positions], "i64", [x.shape.length, size], ([at], to) => {
    for (let axis = 0; axis < strides.length; axis++) {
      const [stride, length] = [strides[axis]!, x.shape[axis]!];
      for (let i = 0; i < size; i++) to[axis * size + i] = Math.floor(at![i]! / stride) % length;
    }
  });
}

function compress(node: Node, builder: Builder): Value {
  const [input, condition] = [node.input(0, "input"), node.input(1, "condition")];
  const x = node.has("axis") ? input : reshaped(builder, input, [input.size]);
  const axis = checkAxis(node.int("axis", 0), x.shape.length);
  if (condition.dtype !== "bool") throw new DtypeError("condition", condition.dtype, "bool");
  if (condition.shape.length !== 1 || condition.size > x.shape[axis]!) {
    throw new ShapeError("condition", showShape(condition.shape), `[at most ${x.shape[axis]!}]`);
  }
  return take(builder, x, axis, positionsOf(builder, condition));
}

function oneHot(node: Node, builder: Builder): Value {
  const [indices, values] = [node.input(0, "indices"), node.input(2, "values")];
  const [depth] = checkDimensions("depth", [builder.number("depth", node.input(1, "depth"))]) as [number];
  if (values.size !== 2) throw new ShapeError("values", showShape(values.shape), "[2]");
  const axis = checkAxis(node.int("axis", -1), indices.shape.length + 1);
  const shape = [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)];
  const inner = sizeOf(indices.shape.slice(axis));
  return builder.hostOne([indices, values], values.dtype, shape, ([at, pair], to) => {
    to.fill(pair![0]!);
    for (let i = 0; i < at!.length; i++) {
      const index = at![i]! < 0 ? at![i]! + depth : at![i]!;
      if (index >= 0 && index < depth) to[(Math.floor(i / inner) * depth + index) * inner + (i % inner)] = pair![1]!;
    }
  });
}

/** Entry t of row n is entry lengths[n] - 1 - t while that is not negative. */
function reverseSequence(node: Node, builder: Builder): Value {
  const [x, lengths] = [node.input(0, "input"), node.input(1, "sequence_lens")];
  const [time, batch] = [node.int("time_axis", 0), node.int("batch_axis", 1)];
  if (x.shape.length < 2) throw new ShapeError("input", showShape(x.shape), "at least two axes");
  if (time + batch !== 1 || time * batch !== 0) throw new UnsupportedError("time_axis", `${time}`, "axes 0 and 1");
  const [first, second, ...rest] = x.shape as [number, number, ...number[]];
  const [steps, rows] = time === 0 ? [first, second] : [second, first];
  if (showShape(lengths.shape) !== showShape([rows])) {
    throw new ShapeError("sequence_lens", showShape(lengths.shape), showShape([rows]));
  }
  const [step, row] = time === 0 ? [rows, 1] : [1, steps];
  const positions = builder.hostToWasm([lengths], [first * second], ([from], [to]) => {
    for (let n = 0; n < rows; n++) {
      const length = from![n] === 0 ? 0 : checkPosition("sequence_lens", from![n]! - 1, steps) + 1;
      for (let t = 0; t < steps; t++) to![t * step + n * row] = (t < length ? length - 1 - t : t) * step + n * row;
    }
  });
  const taken = take(builder, reshaped(builder, x, [first * second, sizeOf(rest)]), 0, positions);
  return reshaped(builder, taken, x.shape);
}

export const indexing: Operators = {
  Compress: operator(["axis"], compress),
  Gather: operator(["axis"], gather),
  GatherElements: operator(["axis"], gatherElements),
  GatherND: operator(["batch_dims"], gatherND),
  NonZero: operator([], nonZero),
  OneHot: operator(["axis"], oneHot),
  ReverseSequence: operator(["batch_axis", "time_axis"], reverseSequence),
  Scatter: operator(["axis"], scatterElements),
  ScatterElements: operator(["axis", "reduction"], scatterElements),
  ScatterND: operator(["reduction"], scatterND),
};
