// What operators are composed of.

import { DtypeError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import { roundToHalf, type ElementType } from "../../base/element.js";
import { checkAxis } from "../../ops/attributes.js";
import { convert } from "../../ops/convert.js";
import { mul, where } from "../../ops/elementwise.js";
import * as move from "../../ops/movement.js";
import type { Operation } from "../../ops/operation.js";
import type { Builder } from "../builder.js";
import { floatOf, type Numbers, type Value } from "../value.js";
import { hostBroadcast } from "./host.js";

/** Sorted axes, each once. */
export function axesOf(axes: readonly number[], rank: number): number[] {
  const all = axes.map((axis) => checkAxis(axis, rank));
  if (new Set(all).size !== all.length) throw new ValueError("axes", showShape(axes), "each axis once");
  return all.sort((a, b) => a - b);
}

/** The same numbers in another shape. */
export function reshaped(builder: Builder, x: Value, shape: readonly number[]): Value {
  return builder.one(move.reshape, [x], { shape });
}

/** The same numbers with the axes in another order. */
export function transposed(builder: Builder, x: Value, axes: readonly number[]): Value {
  return axes.every((axis, i) => axis === i) ? x : builder.one(move.transpose, [x], { axes });
}

/** One number in a shape. */
export function filled(builder: Builder, dtype: ElementType, shape: readonly number[], value: number): Value {
  return builder.one(move.expand, [builder.constant(dtype, [], [value])], { shape });
}

/** Repeated to a shape to which it broadcasts. */
export function expanded(builder: Builder, x: Value, shape: readonly number[]): Value {
  return showShape(x.shape) === showShape(shape) ? x : builder.one(move.expand, [x], { shape });
}

/** A product, element by element, of any type. */
export function multiplied(builder: Builder, a: Value, b: Value): Value {
  return floatOf(a.dtype) ? pair(builder, mul, a, b) : hostBroadcast(builder, [a, b], a.dtype, (x, y) => x * y);
}

/** An operation of two operands; numbers are of the type of the other. */
export function pair(builder: Builder, operation: Operation, a: Value | number, b: Value | number): Value {
  const { dtype } = typeof a === "number" ? (b as Value) : a;
  const values = [a, b].map((each) => (typeof each === "number" ? builder.constant(dtype, [], [each]) : each));
  return builder.one(operation, values, undefined);
}

/** a where the condition is not 0, else b; they broadcast. */
export function choose(builder: Builder, condition: Value, a: Value, b: Value): Value {
  if (a.dtype !== b.dtype) throw new DtypeError("Y", b.dtype, a.dtype);
  if (!a.inWasm) {
    return hostBroadcast(builder, [condition, a, b], a.dtype, (c, x, y) => (c !== 0 ? x : y));
  }
  const flags = builder.hostToWasm([condition], condition.shape, ([from], [to]) => {
    to!.set(from!);
  });
  return builder.one(where, [flags, a, b], undefined);
}

/** A function of floating-point numbers; integers are f64 in it. */
export function throughFloat(builder: Builder, x: Value, compute: (x: Value) => Value): Value {
  return floatOf(x.dtype) ? compute(x) : cast(builder, compute(cast(builder, x, "f64")), x.dtype);
}

/** Where the types of 64-bit integers end; other integers keep their low bits. */
const BOUNDS: Partial<Record<ElementType, readonly [number, number]>> = {
  i64: [-(2 ** 63), 2 ** 63],
  u64: [0, 2 ** 64],
};

/** Numbers of one type as another, as C converts them. */
export function cast(builder: Builder, x: Value, dtype: ElementType): Value {
  const source = x.dtype;
  if (dtype === source) return x;
  if ((dtype === "f32" && source === "f64") || (dtype === "f64" && source === "f32")) {
    return builder.one(convert, [x], undefined);
  }
  return builder.hostOne([x], dtype, x.shape, ([from], to) => castNumbers(from!, source, dtype, to)); // prettier-ignore
}

function castNumbers(from: Numbers, source: ElementType, dtype: ElementType, to: Numbers): void {
  if (dtype === "bool") {
    for (let i = 0; i < to.length; i++) to[i] = from[i] === 0 ? 0 : 1;
  } else if (dtype === "f16" || dtype === "bf16") {
    for (let i = 0; i < to.length; i++) to[i] = roundToHalf(dtype, from[i]!);
  } else if (floatOf(dtype) || !floatOf(source)) {
    to.set(from); // between integers, the low bits
    if (dtype === "u64") for (let i = 0; i < to.length; i++) if (to[i]! < 0) to[i]! += 2 ** 64;
  } else {
    const [least, most] = BOUNDS[dtype] ?? [-(2 ** 53), 2 ** 53];
    for (let i = 0; i < to.length; i++) to[i] = Math.min(Math.max(Math.trunc(from[i]!), least), most) || 0; // of NaN
  }
}
