// Operators with weights: products, convolutions, recurrent layers, norms.

import { DtypeError, ShapeError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import { matmul } from "../../ops/matmul.js";
import { add } from "../../ops/elementwise.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import { floatOf, type Value } from "../value.js";
import { cast, multiplied, pair, reshaped } from "./compose.js";

/** Products of stacks of matrices; a vector is a matrix of one row or column. Those of integers are computed in f64. */
export function product(builder: Builder, a: Value, b: Value): Value {
  if (!floatOf(a.dtype)) {
    const [left, right] = [a, b].map((each) => cast(builder, each, "f64")) as [Value, Value];
    return cast(builder, product(builder, left, right), a.dtype);
  }
  if (a.shape.length === 0 || b.shape.length === 0) throw new ShapeError("A", showShape(a.shape), "at least one axis");
  const left = a.shape.length === 1 ? reshaped(builder, a, [1, ...a.shape]) : a;
  const right = b.shape.length === 1 ? reshaped(builder, b, [...b.shape, 1]) : b;
  const y = builder.one(matmul, [left, right], {});
  if (left === a && right === b) return y;
  const rows = left === a ? y.shape.slice(-2, -1) : [];
  return reshaped(builder, y, [...y.shape.slice(0, -2), ...rows, ...(right === b ? y.shape.slice(-1) : [])]);
}

function scaled(builder: Builder, x: Value, factor: number): Value {
  return factor === 1 ? x : multiplied(builder, x, builder.constant(x.dtype, [], [factor]));
}

function gemm(node: Node, builder: Builder): Value {
  const [a, b, c] = [node.input(0, "A"), node.input(1, "B"), node.optional(2)];
  for (const each of [a, b]) if (each.shape.length !== 2) throw new ShapeError("A", showShape(each.shape), "a matrix");
  if (!floatOf(a.dtype)) throw new DtypeError("A", a.dtype, "f64 or f32");
  const attributes = { transposeA: node.flag("transA", false), transposeB: node.flag("transB", false) };
  const [alpha, beta] = [node.float("alpha", 1), node.float("beta", 1)];
  const columns = b.shape[attributes.transposeB ? 0 : 1];
  if (c && alpha === 1 && beta === 1 && c.shape.length === 1 && c.shape[0] === columns) {
    return builder.one(matmul, [a, b, c], attributes);
  }
  const product = scaled(builder, builder.one(matmul, [a, b], attributes), alpha);
  return c ? pair(builder, add, product, scaled(builder, c, beta)) : product;
}

export const layers: Operators = {
  Gemm: operator(["alpha", "beta", "transA", "transB", "broadcast"], gemm),
  MatMul: operator([], (node, builder) => product(builder, node.input(0, "A"), node.input(1, "B"))),
};
