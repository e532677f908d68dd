// Convolutions and pools.

import { ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import * as convolution from "../../ops/conv.js";
import { abs, pow } from "../../ops/elementwise.js";
import * as pool from "../../ops/pool.js";
import type { WindowAttributes } from "../../ops/windows.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operator, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { filled, pair, throughFloat } from "./compose.js";

const WINDOWS = ["auto_pad", "dilations", "kernel_shape", "pads", "strides"];
/** The attributes of a convolution. */
export const CONVOLUTION = [...WINDOWS, "group"];

const AUTO_PAD = { NOTSET: undefined, VALID: "valid", SAME_UPPER: "sameUpper", SAME_LOWER: "sameLower" } as const;

function windowsOf(node: Node): WindowAttributes {
  return {
    strides: node.ints("strides"),
    dilations: node.ints("dilations"),
    pads: node.ints("pads"),
    autoPad: AUTO_PAD[node.choice("auto_pad", ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"], "NOTSET")],
  };
}

/** A convolution with the attributes of a node. */
export function convolve(node: Node, builder: Builder, x: Value, weight: Value, bias: Value | undefined): Value {
  checkKernel(node, weight);
  const order = node.surroundings.own ? "taps" : undefined; // that of Conv1d
  const attributes = { ...windowsOf(node), groups: node.int("group", 1), order } as const;
  return builder.one(convolution.conv, bias ? [x, weight, bias] : [x, weight], attributes);
}

function checkKernel(node: Node, { shape }: Value): void {
  const [given, own] = [node.ints("kernel_shape"), shape.slice(2)];
  if (given && showShape(given) !== showShape(own)) throw new ShapeError("kernel_shape", showShape(given), showShape(own)); // prettier-ignore
}

function convTranspose(node: Node, builder: Builder): Value {
  const [x, weight, bias] = [node.input(0, "X"), node.input(1, "W"), node.optional(2)];
  checkKernel(node, weight);
  return builder.one(convolution.convTranspose, bias ? [x, weight, bias] : [x, weight], {
    ...windowsOf(node),
    groups: node.int("group", 1),
    outputPadding: node.ints("output_padding"),
    outputShape: node.ints("output_shape"),
  });
}

/** Windows of a pool, whose size must be given. */
function poolOf(node: Node) {
  return { ...windowsOf(node), kernelShape: node.ints("kernel_shape") ?? [], ceilMode: node.flag("ceil_mode", false) };
}

function maxPool(node: Node, builder: Builder): readonly Value[] {
  const attributes = { ...poolOf(node), columnMajor: node.flag("storage_order", false), indices: node.wants(1) };
  let places: Value | undefined;
  const y = throughFloat(builder, node.input(0, "X"), (x) => {
    const [largest, at] = builder.run(pool.maxPool, [x], attributes);
    places = at;
    return largest!;
  });
  if (!places) return [y];
  const indices = builder.hostOne([places], "i64", places.shape, ([from], to) => {
    to.set(from!);
  });
  return [y, indices];
}

/** The p-th root of the sum of |x|^p in windows: those sums are a convolution of each channel. */
function lpPool(node: Node, builder: Builder): Value {
  const x = node.input(0, "X");
  if (node.flag("ceil_mode", false)) throw new UnsupportedError("ceil_mode", "1", "0");
  const p = node.int("p", 2);
  const powers = pair(builder, pow, builder.one(abs, [x], undefined), p);
  const channels = x.shape[1] ?? 0;
  const ones = filled(builder, x.dtype, [channels, 1, ...(node.ints("kernel_shape") ?? [])], 1);
  const sums = builder.one(convolution.conv, [powers, ones], { ...windowsOf(node), groups: channels });
  return pair(builder, pow, sums, 1 / p);
}

function global(operation: typeof pool.globalMaxPool): Operator {
  return operator([], (node, builder) => builder.one(operation, [node.input(0, "X")], undefined));
}

export const windows: Operators = {
  AveragePool: operator([...WINDOWS, "ceil_mode", "count_include_pad"], (node, builder) =>
    builder.one(pool.averagePool, [node.input(0, "X")], {
      ...poolOf(node),
      countIncludePad: node.flag("count_include_pad", false),
    }),
  ),
  Conv: operator(CONVOLUTION, (node, builder) =>
    convolve(node, builder, node.input(0, "X"), node.input(1, "W"), node.optional(2)),
  ),
  ConvTranspose: operator([...CONVOLUTION, "output_padding", "output_shape"], convTranspose),
  GlobalAveragePool: global(pool.globalAveragePool),
  GlobalMaxPool: global(pool.globalMaxPool),
  LpPool: operator([...WINDOWS, "p", "ceil_mode"], lpPool),
  MaxPool: operator([...WINDOWS, "ceil_mode", "storage_order"], maxPool),
};
