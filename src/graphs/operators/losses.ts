// Losses of classes.

import { DtypeError, ShapeError } from "../../../bindings/errors.js";
import { showShape, sizeOf } from "../../../bindings/tensor.js";
import { div, mul, neg } from "../../ops/elementwise.js";
import { sum } from "../../ops/reduction.js";
import { logSoftmaxAlong } from "../../ops/softmax-along.js";
import { checkPosition, type Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import { floatOf, type Value } from "../value.js";
import { pair, reshaped } from "./compose.js";
import { placesOf, take } from "./indexing.js";

/** Minus the logarithm [N,C,...] at each target [N,...], weighted by class; targets of `ignore_index` do not count. */
function negativeLogLikelihood(node: Node, builder: Builder, logarithms: Value, target: Value, weight?: Value): Value {
  const [n, classes, ...rest] = logarithms.shape as [number, number, ...number[]];
  const shape = [n, ...rest];
  if (logarithms.shape.length < 2) throw new ShapeError("input", showShape(logarithms.shape), "[N, C, ...]");
  if (showShape(target.shape) !== showShape(shape)) {
    throw new ShapeError("target", showShape(target.shape), showShape(shape));
  }
  if (floatOf(target.dtype)) throw new DtypeError("target", target.dtype, "i64 or i32");
  if (weight && showShape(weight.shape) !== `[${classes}]`) {
    throw new ShapeError("weight", showShape(weight.shape), `[${classes}]`);
  }
  const ignored = node.has("ignore_index") ? node.int("ignore_index", 0) : NaN;
  const inner = sizeOf(rest);
  const starts = placesOf([n, inner], [classes * inner, 1]);
  const indices = builder.hostToWasm([target], shape, ([from], [to]) => {
    for (let i = 0; i < to!.length; i++) {
      to![i] = from![i] === ignored ? 0 : checkPosition("target", from![i]!, classes);
    }
  });
  const positions = builder.hostToWasm([indices], shape, ([from], [to]) => {
    for (let i = 0; i < to!.length; i++) to![i] = starts[i]! + from![i]! * inner;
  });
  const counted = builder.hostOne([target], logarithms.dtype, shape, ([from], to) => {
    for (let i = 0; i < to.length; i++) to[i] = from![i] === ignored ? 0 : 1;
  });
  const weights = weight ? pair(builder, mul, take(builder, weight, 0, indices), counted) : counted;
  const taken = take(builder, reshaped(builder, logarithms, [logarithms.size]), 0, positions);
  const losses = pair(builder, mul, builder.one(neg, [taken], undefined), weights);
  const reduction = node.choice("reduction", ["mean", "sum", "none"], "mean");
  if (reduction === "none") return losses;
  const total = builder.one(sum, [losses], {});
  return reduction === "sum" ? total : pair(builder, div, total, builder.one(sum, [weights], {}));
}

export const losses: Operators = {
  NegativeLogLikelihoodLoss: operator(["ignore_index", "reduction"], (node, builder) =>
    negativeLogLikelihood(node, builder, node.input(0, "input"), node.input(1, "target"), node.optional(2)),
  ),
  SoftmaxCrossEntropyLoss: operator(["ignore_index", "reduction"], (node, builder) => {
    const logarithms = builder.one(logSoftmaxAlong, [node.input(0, "scores")], { axis: 1 });
    return [negativeLogLikelihood(node, builder, logarithms, node.input(1, "labels"), node.optional(2)), logarithms];
  }),
};
