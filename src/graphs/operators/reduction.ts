// Operators over axes.

import type { Operation } from "../../ops/operation.js";
import * as ops from "../../ops/reduction.js";
import type { Builder } from "../builder.js";
import { operator, type Operator, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { throughFloat } from "./compose.js";

/** The sum over axes, without them. */
export function summed(builder: Builder, x: Value, axes: readonly number[]): Value {
  return throughFloat(builder, x, (float) => builder.one(ops.sum, [float], { axes }));
}

/** @param since the opset since which axes are an input */
function reducing(reduction: Operation<ops.ReductionAttributes>, since = 18): Operator {
  return operator(["axes", "keepdims", "noop_with_empty_axes"], (node, builder) => {
    const x = node.input(0, "data");
    const given = node.integers("axes", 1, since) ?? [];
    const axes = given.length > 0 || node.flag("noop_with_empty_axes", false) ? given : undefined;
    const attributes = { axes, keepDims: node.flag("keepdims", true) };
    return throughFloat(builder, x, (float) => builder.one(reduction, [float], attributes));
  });
}

export const reduction: Operators = {
  ReduceL1: reducing(ops.l1),
  ReduceL2: reducing(ops.l2),
  ReduceLogSum: reducing(ops.logSum),
  ReduceLogSumExp: reducing(ops.logSumExp),
  ReduceMax: reducing(ops.max),
  ReduceMean: reducing(ops.mean),
  ReduceMin: reducing(ops.min),
  ReduceProd: reducing(ops.prod),
  ReduceSum: reducing(ops.sum, 13),
  ReduceSumSquare: reducing(ops.sumSquares),
};
