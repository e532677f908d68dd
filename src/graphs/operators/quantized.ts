// Operators on quantised numbers: integers with a scale and a zero point. Products and convolutions of integers are computed in f64,
// which is exact.

import { DtypeError, ShapeError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import type { ElementType } from "../../base/element.js";
import { checkAxis } from "../../ops/attributes.js";
import { add, div, mul, neg, relu, sub } from "../../ops/elementwise.js";
import { max } from "../../ops/reduction.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { cast, pair, reshaped } from "./compose.js";
import { hostBroadcast } from "./host.js";
import { take } from "./indexing.js";
import { product } from "./layers.js";
import { dtypeOfCode } from "./movement.js";
import { convolve, CONVOLUTION } from "./windows.js";

/** The smallest and the largest number of each type. */
const LIMITS: Partial<Record<ElementType, readonly [number, number]>> = {
  u8: [0, 255],
  i8: [-128, 127],
  u16: [0, 65535],
  i16: [-32768, 32767],
};

function limitsOf(argument: string, dtype: ElementType): readonly [number, number] {
  const limits = LIMITS[dtype];
  if (!limits) throw new DtypeError(argument, dtype, Object.keys(LIMITS).join(", "));
  return limits;
}

/** Numbers below 2^51 are rounded by adding this: to whole ones, of two to the even one. */
const ROUND = 2 ** 52 + 2 ** 51;

/** Rounded, with the zero point added, within the limits of the type. */
function quantised(builder: Builder, x: Value, zeroPoint: Value, dtype: ElementType): Value {
  const [least, most] = limitsOf("y_zero_point", dtype);
  return hostBroadcast(builder, [x, zeroPoint], dtype, (value, zero) => {
    const bounded = Math.min(Math.max(value, -(2 ** 32)), 2 ** 32);
    return Math.min(Math.max(bounded + ROUND - ROUND + zero, least), most); // NaN becomes 0
  });
}

/** x - zero point, of the type. */
function centred(builder: Builder, x: Value, zeroPoint: Value | undefined, dtype: ElementType): Value {
  if (!zeroPoint) return cast(builder, x, dtype);
  if (zeroPoint.dtype !== x.dtype) throw new DtypeError("zero point", zeroPoint.dtype, x.dtype);
  return hostBroadcast(builder, [x, zeroPoint], dtype, (value, zero) => value - zero);
}

/** A scale or zero point, of all numbers, of each entry of an axis or of each block of them, in a shape that broadcasts with x. */
function spread(node: Node, builder: Builder, name: string, x: Value, value: Value): Value {
  if (value.size === 1 && value.shape.length <= 1) return reshaped(builder, value, []);
  const axis = checkAxis(node.int("axis", 1), x.shape.length);
  const block = node.int("block_size", 0);
  const length = x.shape[axis]!;
  if (block > 0 && value.shape.length === x.shape.length) {
    const { shape } = value;
    if (x.shape.some((n, i) => shape[i] !== (i === axis ? Math.ceil(n / block) : n))) {
      throw new ShapeError(name, showShape(shape), `one number for each ${block} on axis ${axis}`);
    }
    const positions = builder.hostToWasm([], [length], (_, [to]) => {
      for (let i = 0; i < length; i++) to![i] = Math.floor(i / block);
    });
    return take(builder, value, axis, positions);
  }
  if (value.shape.length !== 1 || value.size !== length) {
    throw new ShapeError(name, showShape(value.shape), showShape([length]));
  }
  return reshaped(builder, value, [length, ...x.shape.slice(axis + 1).map(() => 1)]);
}

function dequantizeLinear(node: Node, builder: Builder): Value {
  const [x, scale, zeroPoint] = [node.input(0, "x"), node.input(1, "x_scale"), node.optional(2)];
  const zero = zeroPoint && spread(node, builder, "x_zero_point", x, zeroPoint);
  const centre = centred(builder, x, zero, scale.dtype);
  return pair(builder, mul, centre, spread(node, builder, "x_scale", x, scale));
}

function quantizeLinear(node: Node, builder: Builder): Value {
  const [x, scale, zeroPoint] = [node.input(0, "x"), node.input(1, "y_scale"), node.optional(2)];
  const code = node.int("output_dtype", 0);
  const dtype = zeroPoint?.dtype ?? (code === 0 ? "u8" : dtypeOfCode(node, "output_dtype", code));
  const scaled = pair(builder, div, cast(builder, x, scale.dtype), spread(node, builder, "y_scale", x, scale));
  const zero = zeroPoint ? spread(node, builder, "y_zero_point", x, zeroPoint) : builder.constant(dtype, [], [0]);
  return quantised(builder, scaled, zero, dtype);
}

/** u8, with a scale and a zero point that just hold all numbers and 0. */
function dynamicQuantizeLinear(node: Node, builder: Builder): readonly Value[] {
  const x = node.input(0, "x");
  const most = builder.one(relu, [builder.one(max, [x], {})], undefined);
  const least = builder.one(relu, [builder.one(max, [builder.one(neg, [x], undefined)], {})], undefined); // its size
  const range = pair(builder, sub, most, builder.one(neg, [least], undefined));
  const scale = builder.hostOne([pair(builder, div, range, 255)], x.dtype, [], ([from], to) => {
    to[0] = from![0] === 0 ? 1 : from![0]!; // of zeros
  });
  const none = builder.constant("u8", [], [0]);
  const zero = quantised(builder, pair(builder, div, least, scale), none, "u8");
  return [quantised(builder, pair(builder, div, x, scale), zero, "u8"), scale, zero];
}

/** A zero point or scale of each row, where it is no single number. */
function ofRows(builder: Builder, value: Value): Value;
function ofRows(builder: Builder, value: Value | undefined): Value | undefined;
function ofRows(builder: Builder, value: Value | undefined): Value | undefined {
  return value?.shape.length === 1 && value.size > 1 ? reshaped(builder, value, [value.size, 1]) : value;
}

/** The product of integers, in f64. */
function integerProduct(builder: Builder, a: Value, aZero: Value | undefined, b: Value, bZero: Value | undefined) {
  const left = centred(builder, a, ofRows(builder, aZero), "f64");
  return product(builder, left, centred(builder, b, bZero, "f64"));
}

function matMulInteger(node: Node, builder: Builder): Value {
  const [a, b] = [node.input(0, "A"), node.input(1, "B")];
  return cast(builder, integerProduct(builder, a, node.optional(2), b, node.optional(3)), "i32");
}

/** A convolution of integers, in f64; zero points and scales of the weights may be of each output channel. */
function integerConvolution(
  node: Node,
  builder: Builder,
  names: readonly [x: number, xZero: number, weight: number, weightZero: number],
) {
  const [x, xZero, weight, weightZero] = names.map((i) => node.optional(i));
  if (!x || !weight) throw new ValueError("x", "none", "a tensor");
  const zero = weightZero && ofChannels(builder, weightZero, weight.shape.length - 1);
  return convolve(node, builder, centred(builder, x, xZero, "f64"), centred(builder, weight, zero, "f64"), undefined);
}

/** A number of each channel, in front of so many other axes. */
function ofChannels(builder: Builder, value: Value, axes: number): Value {
  return value.size === 1 ? reshaped(builder, value, []) : reshaped(builder, value, [value.size, ...Array<number>(axes).fill(1)]); // prettier-ignore
}

function qLinearConv(node: Node, builder: Builder): Value {
  const names = ["x_scale", "w_scale", "y_scale", "y_zero_point"];
  const [xScale, wScale, yScale, yZero] = [1, 4, 6, 7].map((index, i) => node.input(index, names[i]!)) as [Value, Value, Value, Value]; // prettier-ignore
  const sums = integerConvolution(node, builder, [0, 2, 3, 5]);
  const rest = sums.shape.length - 2;
  const bias = node.optional(8);
  const whole = bias ? pair(builder, add, sums, ofChannels(builder, cast(builder, bias, "f64"), rest)) : sums;
  const factor = pair(builder, div, pair(builder, mul, xScale, ofChannels(builder, wScale, rest)), yScale);
  return requantised(builder, whole, factor, yZero);
}

/** The result of a product, in f64, as quantised numbers. */
function requantised(builder: Builder, sums: Value, factor: Value, zeroPoint: Value): Value {
  return quantised(builder, pair(builder, mul, cast(builder, sums, factor.dtype), factor), zeroPoint, zeroPoint.dtype);
}

function qLinearMatMul(node: Node, builder: Builder): Value {
  const names = ["a", "a_scale", "a_zero_point", "b", "b_scale", "b_zero_point", "y_scale", "y_zero_point"];
  const [a, aScale, aZero, b, bScale, bZero, yScale, yZero] = names.map((name, i) => node.input(i, name)) as Values8;
  const scales = pair(builder, mul, ofRows(builder, aScale), bScale);
  const factor = pair(builder, div, scales, ofRows(builder, yScale));
  return requantised(builder, integerProduct(builder, a, aZero, b, bZero), factor, ofRows(builder, yZero));
}

type Values8 = [Value, Value, Value, Value, Value, Value, Value, Value];

export const quantization: Operators = {
  ConvInteger: operator(CONVOLUTION, (node, builder) =>
    cast(builder, integerConvolution(node, builder, [0, 2, 1, 3]), "i32"),
  ),
  DequantizeLinear: operator(["axis", "block_size", "output_dtype"], dequantizeLinear),
  DynamicQuantizeLinear: operator([], dynamicQuantizeLinear),
  MatMulInteger: operator([], matMulInteger),
  QLinearConv: operator(CONVOLUTION, qLinearConv),
  QLinearMatMul: operator([], qLinearMatMul),
  QuantizeLinear: operator(["axis", "block_size", "output_dtype", "precision", "saturate"], quantizeLinear),
};
