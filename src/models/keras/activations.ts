// Activations of Keras and TensorFlow.js.

import { UnsupportedError } from "../../../bindings/errors.js";
import type { Builder } from "../../graphs/builder.js";
import { pair } from "../../graphs/operators/compose.js";
import type { Value } from "../../graphs/value.js";
import * as ops from "../../ops/elementwise.js";
import type { Operation } from "../../ops/operation.js";
import { logSoftmaxAlong, softmaxAlong } from "../../ops/softmax-along.js";

type Apply = (builder: Builder, x: Value, hardSigmoid: readonly [number, number]) => Value;

const plain =
  (operation: Operation): Apply =>
  (builder, x) =>
    builder.one(operation, [x], undefined);
const times =
  (operation: Operation): Apply =>
  (builder, x) =>
    pair(builder, ops.mul, x, builder.one(operation, [x], undefined));

const SELU = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };

const ACTIVATIONS: ReadonlyMap<string, Apply> = /* @__PURE__ */ new Map<string, Apply>([
  ["linear", (_, x) => x],
  ["elu", (builder, x) => builder.one(ops.elu, [x], { alpha: 1 })],
  ["selu", (builder, x) => builder.one(ops.selu, [x], SELU)],
  ["celu", (builder, x) => builder.one(ops.celu, [x], { alpha: 1 })],
  ["relu", plain(ops.relu)],
  ["relu6", (builder, x) => builder.one(ops.clip, [x], { min: 0, max: 6 })],
  ["leakyrelu", (builder, x) => builder.one(ops.leakyRelu, [x], { alpha: 0.2 })],
  ["tanh", plain(ops.tanh)],
  ["sigmoid", plain(ops.sigmoid)],
  ["hardsigmoid", (builder, x, [alpha, beta]) => builder.one(ops.hardSigmoid, [x], { alpha, beta })],
  ["softplus", plain(ops.softplus)],
  ["softsign", plain(ops.softsign)],
  ["softmax", (builder, x) => builder.one(softmaxAlong, [x], { axis: -1 })],
  ["logsoftmax", (builder, x) => builder.one(logSoftmaxAlong, [x], { axis: -1 })],
  ["swish", times(ops.sigmoid)],
  ["silu", times(ops.sigmoid)],
  ["hardswish", plain(ops.hardSwish)],
  ["hardsilu", plain(ops.hardSwish)],
  ["mish", plain(ops.mish)],
  ["gelu", plain(ops.gelu)],
  ["gelunew", plain(ops.geluTanh)],
  ["exponential", plain(ops.exp)],
]);

/** Checks the name of an activation, in lower case without underscores. */
export function checkActivation(where: string, name: string): void {
  if (!ACTIVATIONS.has(name)) throw new UnsupportedError(where, name, [...ACTIVATIONS.keys()].join(", "));
}

/** An activation by its name. */
export function activated(builder: Builder, x: Value, name: string, hardSigmoid: readonly [number, number]): Value {
  checkActivation("activation", name);
  return ACTIVATIONS.get(name)!(builder, x, hardSigmoid);
}
