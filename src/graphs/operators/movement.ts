// Operators that move numbers, and those about shapes and types.

import { ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { broadcastShape } from "../../../bindings/graph.js";
import { checkDimensions, showShape, sizeOf } from "../../../bindings/tensor.js";
import type { ElementType } from "../../base/element.js";
import { DATA_TYPES } from "../../formats/onnx/schema.js";
import { checkAxis } from "../../ops/attributes.js";
import * as move from "../../ops/movement.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { axesOf, cast, choose, filled, reshaped, transposed } from "./compose.js";

/** The type that an attribute names by ONNX's number. */
export function dtypeOfCode(node: Node, name: string, code: number): ElementType {
  const [type, dtype] = DATA_TYPES[code] ?? [];
  if (!dtype) throw new UnsupportedError(name, type ?? `${code}`, "a type of numbers");
  return node.surroundings.computed(dtype);
}

/** The part of each axis that Slice takes. */
function slice(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const starts = node.integers("starts", 1, 10) ?? [];
  const ends = node.integers("ends", 2, 10) ?? [];
  const rank = x.shape.length;
  const axes = (node.integers("axes", 3, 10) ?? starts.map((_, i) => i)).map((axis) => checkAxis(axis, rank));
  const steps = (node.opset >= 10 ? node.integers("steps", 4, 10) : undefined) ?? starts.map(() => 1);
  if (starts.length !== ends.length || starts.length !== axes.length || starts.length !== steps.length) {
    throw new ShapeError("starts", `${starts.length} numbers`, "as many as ends, axes and steps have");
  }
  const box = { starts: x.shape.map(() => 0), counts: [...x.shape], steps: x.shape.map(() => 1) };
  axes.forEach((axis, i) => {
    const length = x.shape[axis]!;
    const step = steps[i]!;
    if (step === 0) throw new ValueError("steps", "0", "another number");
    const clamp = (bound: number, least: number, most: number) =>
      Math.min(Math.max(bound < 0 ? bound + length : bound, least), most);
    const start = step > 0 ? clamp(starts[i]!, 0, length) : clamp(starts[i]!, 0, length - 1);
    const end = step > 0 ? clamp(ends[i]!, 0, length) : clamp(ends[i]!, -1, length - 1);
    box.counts[axis] = length === 0 ? 0 : Math.max(0, Math.ceil((end - start) / step));
    box.starts[axis] = box.counts[axis] === 0 ? 0 : start;
    box.steps[axis] = box.counts[axis] > 1 ? step : 1;
  });
  return builder.one(move.box, [x], box);
}

function reshape(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const given = node.integers("shape", 1, 5) ?? [];
  const keepZero = node.flag("allowzero", false);
  const shape = given.map((n, i) => {
    if (n !== 0 || keepZero) return n;
    if (i >= x.shape.length) throw new ShapeError("shape", showShape(given), `at most ${x.shape.length} axes for 0`);
    return x.shape[i]!;
  });
  return reshaped(builder, x, shape);
}

function squeeze(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const given = node.integers("axes", 1, 13);
  const axes = given ? axesOf(given, x.shape.length) : undefined;
  for (const axis of axes ?? []) {
    if (x.shape[axis] !== 1) throw new ShapeError("axes", `axis ${axis} of ${showShape(x.shape)}`, "one of length 1");
  }
  return reshaped(builder, x, x.shape.filter((n, i) => (axes ? !axes.includes(i) : n !== 1))); // prettier-ignore
}

function unsqueeze(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const given = node.integers("axes", 1, 13) ?? [];
  const shape = [...x.shape];
  for (const axis of axesOf(given, shape.length + given.length)) shape.splice(axis, 0, 1);
  return reshaped(builder, x, shape);
}

function split(node: Node, builder: Builder): readonly Value[] {
  const x = node.input(0, "input");
  const axis = checkAxis(node.int("axis", 0), x.shape.length);
  const length = x.shape[axis]!;
  const count = node.outputs.length;
  const given = node.int("num_outputs", count);
  if (given !== count) throw new ValueError("num_outputs", `${given}`, `${count}, as there are outputs`);
  const equal = () => {
    const size = Math.ceil(length / count);
    return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(size, length - i * size)));
  };
  const sizes = node.integers("split", 1, 13) ?? equal();
  return builder.run(move.split, [x], { axis, sizes });
}

function pad(node: Node, builder: Builder): Value {
  const x = node.input(0, "data");
  const rank = x.shape.length;
  const mode = node.choice("mode", ["constant", "reflect", "edge", "wrap"], "constant");
  const pads = node.integers("pads", 1, 11) ?? [];
  const given = node.opset >= 18 && node.optional(3) ? Array.from(builder.numbers(node.optional(3)!)) : undefined;
  const axes = given?.map((axis) => checkAxis(axis, rank)) ?? x.shape.map((_, axis) => axis);
  if (pads.length !== 2 * axes.length) throw new ShapeError("pads", `${pads.length} numbers`, `${2 * axes.length}`);
  const before = x.shape.map(() => 0);
  const after = x.shape.map(() => 0);
  axes.forEach((axis, i) => {
    before[axis] = pads[i]!;
    after[axis] = pads[axes.length + i]!;
  });
  const filler = node.opset >= 11 ? node.optional(2) : undefined;
  const value = filler ? builder.number("constant_value", filler) : node.float("value", 0);
  return builder.one(move.pad, [x], { before, after, mode, value });
}

/** A shape that is an input. */
function shapeInput(node: Node, index: number, name: string): number[] {
  return checkDimensions(name, Array.from(node.builder.numbers(node.input(index, name))));
}

function constantOf(node: Node, builder: Builder): Value {
  const tensor = node.tensor("value") ?? node.tensor("sparse_value");
  if (tensor) return tensor;
  const float = node.surroundings.computed("f32");
  if (node.has("value_float")) return builder.constant(float, [], [node.float("value_float", 0)]);
  if (node.has("value_int")) return builder.constant("i64", [], [node.int("value_int", 0)]);
  const floats = node.floats("value_floats");
  if (floats) return builder.constant(float, [floats.length], floats);
  const ints = node.ints("value_ints");
  if (ints) return builder.constant("i64", [ints.length], ints);
  throw new ValueError("value", "none", "a tensor or numbers");
}

function constantOfShape(node: Node, builder: Builder): Value {
  const shape = shapeInput(node, 0, "input");
  const value = node.tensor("value");
  if (value && value.size !== 1) throw new ShapeError("value", showShape(value.shape), "one number");
  const number = value ? builder.numbers(value)[0]! : 0;
  return filled(builder, value?.dtype ?? node.surroundings.computed("f32"), shape, number);
}

function range(node: Node, builder: Builder): Value {
  const [start, limit, delta] = ["start", "limit", "delta"].map((name, i) => builder.number(name, node.input(i, name)));
  const count = Math.max(0, Math.ceil((limit! - start!) / delta!));
  if (!Number.isSafeInteger(count)) throw new ValueError("delta", `${delta!}`, "a number that leads to the limit");
  return builder.hostOne([], node.input(0, "start").dtype, [count], (_, to) => {
    for (let i = 0; i < count; i++) to[i] = start! + i * delta!;
  });
}

function expand(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  const shape = broadcastShape(x.shape, shapeInput(node, 1, "shape"), "shape");
  return builder.one(move.expand, [x], { shape });
}

function tile(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  const repeats = shapeInput(node, 1, "repeats");
  if (repeats.length !== x.shape.length) throw new ShapeError("repeats", `${repeats.length}`, `${x.shape.length}`);
  return builder.one(move.tile, [x], { repeats });
}

function shapeOf(node: Node, builder: Builder): Value {
  const { shape } = node.input(0, "data");
  const part = shape.slice(node.int("start", 0), node.has("end") ? node.int("end", 0) : undefined);
  return builder.constant("i64", [part.length], part);
}

/** The matrices of x, with zeros above or below a diagonal. */
function trilu(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  const [rows, columns] = x.shape.slice(-2);
  if (columns === undefined) throw new ShapeError("input", showShape(x.shape), "at least two axes");
  const given = node.optional(1);
  const k = given ? builder.number("k", given) : 0;
  const upper = node.flag("upper", true);
  const kept = builder.hostOne([], "bool", [rows!, columns], (_, to) => {
    for (let i = 0, next = 0; i < rows!; i++) {
      for (let j = 0; j < columns; j++) to[next++] = Number(upper ? j - i >= k : j - i <= k);
    }
  });
  return choose(builder, kept, x, builder.constant(x.dtype, [], [0]));
}

function eyeLike(node: Node, builder: Builder): Value {
  const { shape, dtype } = node.input(0, "input");
  if (shape.length !== 2) throw new ShapeError("input", showShape(shape), "[rows, columns]");
  const [rows, columns] = shape as [number, number];
  const k = node.int("k", 0);
  const type = node.has("dtype") ? dtypeOfCode(node, "dtype", node.int("dtype", 0)) : dtype;
  return builder.hostOne([], type, shape, (_, to) => {
    to.fill(0);
    for (let i = Math.max(0, -k); i < rows && i + k < columns; i++) to[i * columns + i + k] = 1;
  });
}

/** Blocks of channels as blocks of pixels, or the other way: [N,C,H,W]. */
function blocks(node: Node, builder: Builder, toSpace: boolean): Value {
  const x = node.input(0, "input");
  const b = node.int("blocksize", 0);
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const parts = toSpace ? [c / (b * b)] : [h / b, w / b];
  if (x.shape.length !== 4 || !(b > 0) || !parts.every(Number.isInteger)) {
    throw new ShapeError("input", showShape(x.shape), `[N,C,H,W] in blocks of ${b}`);
  }
  if (!toSpace) {
    const split = reshaped(builder, x, [n, c, h / b, b, w / b, b]);
    return reshaped(builder, transposed(builder, split, [0, 3, 5, 1, 2, 4]), [n, c * b * b, h / b, w / b]);
  }
  const columnFirst = node.choice("mode", ["DCR", "CRD"], "DCR") === "CRD";
  const split = reshaped(builder, x, columnFirst ? [n, c / (b * b), b, b, h, w] : [n, b, b, c / (b * b), h, w]);
  const moved = transposed(builder, split, columnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]);
  return reshaped(builder, moved, [n, c / (b * b), h * b, w * b]);
}

/** Dropout of inference. */
function dropout(node: Node, builder: Builder): readonly Value[] {
  const x = node.input(0, "data");
  const [ratio, training] = [node.optional(1), node.optional(2)];
  if (training && builder.number("training_mode", training) !== 0 && !(ratio && builder.number("ratio", ratio) === 0)) {
    throw new UnsupportedError("training_mode", "true", "false: its numbers would be random");
  }
  return node.wants(1) ? [x, filled(builder, node.opset >= 10 ? "bool" : x.dtype, x.shape, 1)] : [x];
}

export const movement: Operators = {
  Cast: operator(["to", "saturate"], (node, builder) =>
    cast(builder, node.input(0, "input"), dtypeOfCode(node, "to", node.int("to", 0))),
  ),
  CastLike: operator(["saturate"], (node, builder) =>
    cast(builder, node.input(0, "input"), node.input(1, "target_type").dtype),
  ),
  Concat: operator(["axis"], (node, builder) => builder.one(move.concat, node.all(), { axis: node.int("axis", 1) })),
  Constant: operator(
    [
      "value",
      "sparse_value",
      "value_float",
      "value_floats",
      "value_int",
      "value_ints",
      "value_string",
      "value_strings",
    ],
    constantOf,
  ),
  ConstantOfShape: operator(["value"], constantOfShape),
  DepthToSpace: operator(["blocksize", "mode"], (node, builder) => blocks(node, builder, true)),
  Dropout: operator(["ratio", "seed"], dropout),
  Expand: operator([], expand),
  EyeLike: operator(["dtype", "k"], eyeLike),
  Flatten: operator(["axis"], (node, builder) => {
    const x = node.input(0, "input");
    const axis = node.int("axis", 1);
    const at = axis === x.shape.length ? axis : checkAxis(axis, x.shape.length);
    return reshaped(builder, x, [sizeOf(x.shape.slice(0, at)), sizeOf(x.shape.slice(at))]);
  }),
  Identity: operator([], (node) => node.input(0, "input")),
  Pad: operator(["mode", "pads", "value"], pad),
  Range: operator([], range),
  Reshape: operator(["shape", "allowzero"], reshape),
  Shape: operator(["start", "end"], shapeOf),
  Size: operator([], (node, builder) => builder.constant("i64", [], [node.input(0, "data").size])),
  Slice: operator(["starts", "ends", "axes"], slice),
  SpaceToDepth: operator(["blocksize"], (node, builder) => blocks(node, builder, false)),
  Split: operator(["axis", "split", "num_outputs"], split),
  Squeeze: operator(["axes"], squeeze),
  Tile: operator([], tile),
  Transpose: operator(["perm"], (node, builder) =>
    builder.one(move.transpose, [node.input(0, "data")], { axes: node.ints("perm") }),
  ),
  Trilu: operator(["upper"], trilu),
  Unsqueeze: operator(["axes"], unsqueeze),
  Where: operator([], (node, builder) =>
    choose(builder, node.input(0, "condition"), node.input(1, "X"), node.input(2, "Y")),
  ),
};
