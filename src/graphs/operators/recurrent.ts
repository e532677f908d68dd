// RNN, LSTM and GRU.

import { DtypeError } from "../../../bindings/errors.js";
import {
  recurrentAttributes,
  recurrentOperator,
  type OnnxAttributes,
  type OnnxOperator,
  type RecurrentOutput,
} from "../../recurrent/operator-attributes.js";
import { recurrent as operation } from "../../recurrent/operator.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import type { Value } from "../value.js";

/** The attributes that a node has, by name. */
function attributesOf(node: Node): OnnxAttributes {
  const entries = Array.from(node.attributes, ([name, { value }]) => [name, value] as const);
  // before opset 14 there is no layout; 0 stands for no limit in exports of some tools
  return Object.fromEntries(entries.filter(([name, value]) => name !== "clip" || value !== 0));
}

function compute(node: Node, builder: Builder): readonly (Value | undefined)[] {
  const kind = node.opType as OnnxOperator;
  const { inputs: names, outputs: all } = recurrentOperator(kind);
  const given = names.filter((_, i) => node.optional(i) !== undefined);
  const wanted = all.filter((_, i) => node.wants(i));
  const attributes = recurrentAttributes(kind, attributesOf(node), given, wanted.length > 0 ? wanted : all);
  const inputs = given.map((name) => {
    const value = node.input(names.indexOf(name), name);
    if (name !== "sequence_lens") return value;
    if (value.dtype !== "i32") throw new DtypeError(name, value.dtype, "i32");
    return builder.hostToWasm([value], value.shape, ([from], [to]) => to!.set(from!));
  });
  const results = new Map(
    builder.run(operation, inputs, attributes).map((value, i) => [attributes.outputs[i]!, value] as const),
  );
  return all.map((name: RecurrentOutput) => results.get(name));
}

const ATTRIBUTES = ["RNN", "LSTM", "GRU"].map(
  (name) => [name, operator(recurrentOperator(name as OnnxOperator).attributes, compute)] as const,
);

export const recurrent: Operators = Object.fromEntries(ATTRIBUTES);
