// Operators that go element by element.

import { DtypeError, ShapeError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import * as elementwise from "../../ops/elementwise.js";
import type { Operation } from "../../ops/operation.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operator, type Operators } from "../node.js";
import { floatOf, type Value } from "../value.js";
import { cast, pair, throughFloat } from "./compose.js";
import { hostBroadcast, hostCompare, type Comparison } from "./host.js";

type Two = (a: number, b: number) => number;

/** A function of one number; of integers where it has one in JavaScript. */
function unary(operation: Operation, host?: (x: number) => number): Operator {
  return operator([], (node, builder) => {
    const x = node.input(0, "X");
    if (floatOf(x.dtype)) return builder.one(operation, [x], undefined);
    if (!host) throw new DtypeError("X", x.dtype, "f64 or f32");
    return hostBroadcast(builder, [x], x.dtype, host);
  });
}

/** A function of one number with parameters: their defaults by the names of the attributes, and by the operation's names. */
function shaped<Name extends string>(
  operation: Operation<Record<Name, number>>,
  defaults: Readonly<Record<Name, number>>,
): Operator {
  const names = Object.keys(defaults) as Name[];
  return operator(names, (node, builder) => {
    const parameters = names.map((name) => [name, node.float(name, defaults[name])]);
    return builder.one(operation, [node.input(0, "X")], Object.fromEntries(parameters) as Record<Name, number>);
  });
}

/** A function of two numbers of one type. */
function apply(builder: Builder, operation: Operation, host: Two, a: Value, b: Value): Value {
  if (a.dtype !== b.dtype) throw new DtypeError("B", b.dtype, a.dtype);
  if (floatOf(a.dtype)) return builder.one(operation, [a, b], undefined);
  return hostBroadcast(builder, [a, b], a.dtype, host);
}

function binary(operation: Operation, host: Two): Operator {
  return operator(["axis", "broadcast"], (node, builder) =>
    apply(builder, operation, host, node.input(0, "A"), node.input(1, "B")),
  );
}

/** A function of any number of numbers of one type, from two of them. */
function variadic(operation: Operation, host: Two): Operator {
  return operator([], (node, builder) => node.all().reduce((a, b) => apply(builder, operation, host, a, b)));
}

/** Booleans, of two tensors of one type. */
function comparison(kind: Comparison): Operator {
  return operator(["axis", "broadcast"], (node, builder) => {
    const [a, b] = [node.input(0, "A"), node.input(1, "B")];
    if (a.dtype !== b.dtype) throw new DtypeError("B", b.dtype, a.dtype);
    return hostCompare(builder, [a, b], kind);
  });
}

/** A function of booleans. */
function logical(host: Two): Operator {
  return operator(["axis", "broadcast"], (node, builder) => {
    const [a, b] = [node.input(0, "A"), node.input(1, "B")];
    for (const { dtype } of [a, b]) if (dtype !== "bool") throw new DtypeError("A", dtype, "bool");
    return hostBroadcast(builder, [a, b], "bool", host);
  });
}

/** Of one tensor, booleans. */
function test(attributes: readonly string[], of: (node: Node) => (x: number) => boolean): Operator {
  return operator(attributes, (node, builder) => {
    const holds = of(node);
    return hostBroadcast(builder, [node.input(0, "X")], "bool", (x) => Number(holds(x)));
  });
}

/** A function of two integers, as halves of 32 bits where they are longer. */
function bitwise(halves: (a: number, b: number) => number): Operator {
  return operator([], (node, builder) => {
    const [a, b] = [node.input(0, "A"), node.input(1, "B")];
    checkInteger(a);
    if (a.dtype !== b.dtype) throw new DtypeError("B", b.dtype, a.dtype);
    const wide = a.dtype === "i64" || a.dtype === "u64";
    return hostBroadcast(builder, [a, b], a.dtype, (x, y) => {
      const low = halves(x, y);
      return wide ? halves(Math.floor(x / 2 ** 32), Math.floor(y / 2 ** 32)) * 2 ** 32 + (low >>> 0) : low;
    });
  });
}

function checkInteger({ dtype }: Value): void {
  if (floatOf(dtype) || dtype === "bool") throw new DtypeError("A", dtype, "integers");
}

/** Shifts without losing bits of integers below 2^53; typed arrays keep the low ones. */
function bitShift(node: Node, builder: Builder): Value {
  const [a, b] = [node.input(0, "X"), node.input(1, "Y")];
  checkInteger(a);
  if (a.dtype !== b.dtype) throw new DtypeError("Y", b.dtype, a.dtype);
  const left = node.choice("direction", ["LEFT", "RIGHT"], "LEFT") === "LEFT";
  return hostBroadcast(builder, [a, b], a.dtype, (x, y) => (left ? x * 2 ** y : Math.floor(x / 2 ** y)));
}

function checkDivisor(b: number): number {
  if (b === 0) throw new ValueError("B", "0", "a divisor that is not 0");
  return b;
}

/** Of the sign of b. */
function modulo(a: number, b: number): number {
  const rest = a % checkDivisor(b);
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

function mod(node: Node, builder: Builder): Value {
  const [a, b] = [node.input(0, "A"), node.input(1, "B")];
  if (node.flag("fmod", false)) return apply(builder, elementwise.fmod, (x, y) => x % checkDivisor(y), a, b);
  return apply(builder, elementwise.mod, modulo, a, b);
}

/** a^n for whole n: products of squares, which are exact where the result is. */
function power(a: number, n: number): number {
  if (n < 0) return 1 / power(a, -n);
  let result = 1;
  for (let square = a, rest = n; rest > 0; rest = Math.floor(rest / 2), square *= square) {
    if (rest % 2 === 1) result *= square;
  }
  return result;
}

/** A power of the first one's type. */
function pow(node: Node, builder: Builder): Value {
  const [a, b] = [node.input(0, "X"), node.input(1, "Y")];
  if (floatOf(a.dtype)) return pair(builder, elementwise.pow, a, cast(builder, b, a.dtype));
  if (!floatOf(b.dtype)) return hostBroadcast(builder, [a, b], a.dtype, (x, n) => Math.trunc(power(x, n)));
  const [x, y] = [a, b].map((each) => cast(builder, each, "f64")) as [Value, Value];
  const powers = builder.one(elementwise.pow, [x, y], undefined);
  return hostBroadcast(builder, [a, y, powers], a.dtype, (base, n, whole) =>
    Math.trunc(Number.isInteger(n) ? power(base, n) : whole),
  );
}

/** min(max(x, least), most). */
function clip(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  if (node.opset < 11) {
    const [min, max] = [node.float("min", -Infinity), node.float("max", Infinity)];
    return builder.one(elementwise.clip, [x], { min, max });
  }
  const [least, most] = [node.optional(1), node.optional(2)];
  for (const bound of [least, most]) {
    if (bound && bound.size !== 1) throw new ShapeError("min", showShape(bound.shape), "one number");
  }
  const [min, max] = [least ? builder.known(least)?.[0] : -Infinity, most ? builder.known(most)?.[0] : Infinity];
  if (floatOf(x.dtype) && min !== undefined && max !== undefined)
    return builder.one(elementwise.clip, [x], { min, max });
  const above = least ? apply(builder, elementwise.maximum, (a, b) => Math.max(a, b), x, least) : x;
  return most ? apply(builder, elementwise.minimum, (a, b) => Math.min(a, b), above, most) : above;
}

export const arithmetic: Operators = {
  Abs: unary(elementwise.abs, (x) => Math.abs(x)),
  Acos: unary(elementwise.acos),
  Acosh: unary(elementwise.acosh),
  Add: binary(elementwise.add, (a, b) => a + b),
  And: logical((a, b) => a & b),
  Asin: unary(elementwise.asin),
  Asinh: unary(elementwise.asinh),
  Atan: unary(elementwise.atan),
  Atanh: unary(elementwise.atanh),
  BitShift: operator(["direction"], bitShift),
  BitwiseAnd: bitwise((a, b) => a & b),
  BitwiseNot: operator([], (node, builder) => {
    const x = node.input(0, "X");
    checkInteger(x);
    return hostBroadcast(builder, [x], x.dtype, x.dtype === "u64" ? (a) => 2 ** 64 - 1 - a : (a) => -1 - a);
  }),
  BitwiseOr: bitwise((a, b) => a | b),
  BitwiseXor: bitwise((a, b) => a ^ b),
  Ceil: unary(elementwise.ceil),
  Celu: shaped(elementwise.celu, { alpha: 1 }),
  Clip: operator(["min", "max"], clip),
  Cos: unary(elementwise.cos),
  Cosh: unary(elementwise.cosh),
  Div: binary(elementwise.div, (a, b) => Math.trunc(a / checkDivisor(b))),
  Elu: shaped(elementwise.elu, { alpha: 1 }),
  Equal: comparison("equal"),
  Erf: unary(elementwise.erf),
  Exp: unary(elementwise.exp),
  Floor: unary(elementwise.floor),
  Gelu: operator(["approximate"], (node, builder) => {
    const rough = node.choice("approximate", ["none", "tanh"], "none") === "tanh";
    return builder.one(rough ? elementwise.geluTanh : elementwise.gelu, [node.input(0, "X")], undefined);
  }),
  Greater: comparison("greater"),
  GreaterOrEqual: comparison("greaterOrEqual"),
  HardSigmoid: shaped(elementwise.hardSigmoid, { alpha: 0.2, beta: 0.5 }),
  HardSwish: unary(elementwise.hardSwish),
  IsInf: test(["detect_negative", "detect_positive"], (node) => {
    const [negative, positive] = [node.flag("detect_negative", true), node.flag("detect_positive", true)];
    return (x) => (positive && x === Infinity) || (negative && x === -Infinity);
  }),
  IsNaN: operator([], (node, builder) => {
    const x = node.input(0, "X");
    return hostCompare(builder, [x, x], "different");
  }),
  LeakyRelu: shaped(elementwise.leakyRelu, { alpha: 0.01 }),
  Less: comparison("less"),
  LessOrEqual: comparison("lessOrEqual"),
  Log: unary(elementwise.log),
  Max: variadic(elementwise.maximum, (a, b) => Math.max(a, b)),
  Mean: operator([], (node, builder) => {
    const all = node.all();
    return pair(builder, elementwise.div, all.reduce((a, b) => pair(builder, elementwise.add, a, b)), all.length); // prettier-ignore
  }),
  Min: variadic(elementwise.minimum, (a, b) => Math.min(a, b)),
  Mish: unary(elementwise.mish),
  Mod: operator(["fmod"], mod),
  Mul: binary(elementwise.mul, (a, b) => a * b),
  Neg: unary(elementwise.neg, (x) => -x),
  Not: test([], () => (x) => x === 0),
  Or: logical((a, b) => a | b),
  Pow: operator(["axis", "broadcast"], pow),
  PRelu: binary(elementwise.prelu, (a, b) => (a > 0 ? a : a * b)),
  Reciprocal: unary(elementwise.reciprocal),
  Relu: unary(elementwise.relu, (x) => Math.max(x, 0)),
  Round: unary(elementwise.round),
  Selu: shaped(elementwise.selu, { alpha: 1.67326319217681884765625, gamma: 1.05070102214813232421875 }),
  Shrink: operator(["lambd", "bias"], (node, builder) =>
    throughFloat(builder, node.input(0, "input"), (x) =>
      builder.one(elementwise.shrink, [x], { lambd: node.float("lambd", 0.5), bias: node.float("bias", 0) }),
    ),
  ),
  Sigmoid: unary(elementwise.sigmoid),
  Sign: unary(elementwise.sign, (x) => Math.sign(x)),
  Sin: unary(elementwise.sin),
  Sinh: unary(elementwise.sinh),
  Softplus: unary(elementwise.softplus),
  Softsign: unary(elementwise.softsign),
  Sqrt: unary(elementwise.sqrt),
  Sub: binary(elementwise.sub, (a, b) => a - b),
  Sum: variadic(elementwise.add, (a, b) => a + b),
  Tan: unary(elementwise.tan),
  Tanh: unary(elementwise.tanh),
  ThresholdedRelu: shaped(elementwise.thresholdedRelu, { alpha: 1 }),
  Xor: logical((a, b) => a ^ b),
};
