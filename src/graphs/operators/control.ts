// If, Loop and Scan. Loops are unrolled: a plan has the calls of all iterations.

import { ShapeError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import type { OnnxGraph } from "../../formats/onnx/model.js";
import { checkAxis } from "../../ops/attributes.js";
import { pad, select, slice, stack } from "../../ops/movement.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import type { Value } from "../value.js";

function branch(node: Node, builder: Builder): readonly Value[] {
  const taken = builder.number("cond", node.input(0, "cond")) !== 0;
  return node.surroundings.graph(node.graph(taken ? "then_branch" : "else_branch"), []);
}

/** Collects what iterations yield. */
class Scans {
  readonly #rows: Value[][];

  constructor(
    readonly node: Node,
    count: number,
  ) {
    this.#rows = Array.from({ length: count }, () => []);
  }

  add(values: readonly Value[]): void {
    this.#rows.forEach((row, i) => row.push(values[i]!));
  }

  /** All of each, in the order of the iterations or against it. */
  finish(builder: Builder, axis: (i: number) => number, reversed: (i: number) => boolean): Value[] {
    const graph = this.node.graph("body");
    const first = graph.outputs.length - this.#rows.length;
    return this.#rows.map((row, i) => {
      if (row.length > 0) return builder.one(stack, reversed(i) ? [...row].reverse() : row, { axis: axis(i) });
      const { dtype, shape = [] } = graph.outputs[first + i]!;
      const known = shape.map((n) => (typeof n === "number" ? n : 0));
      return builder.constant(this.node.surroundings.computed(dtype ?? "f32"), [0, ...known], []);
    });
  }
}

/** The graph of a loop: it takes `inputs` values, and gives `outputs` at least. */
function bodyOf(node: Node, inputs: number, outputs: number): OnnxGraph {
  const body = node.graph("body");
  const { length } = body.inputs;
  if (length !== inputs) throw new ValueError("body", `${length} inputs`, `${inputs}`);
  if (body.outputs.length < outputs)
    throw new ValueError("body", `${body.outputs.length} outputs`, `at least ${outputs}`);
  return body;
}

function loop(node: Node, builder: Builder): readonly Value[] {
  const [count, condition] = [node.optional(0), node.optional(1)];
  const most = count ? builder.number("M", count) : Infinity;
  let goOn = condition ? builder.number("cond", condition) !== 0 : true;
  let carried = node.all(2);
  const body = bodyOf(node, 2 + carried.length, 1 + carried.length);
  const scans = new Scans(node, body.outputs.length - 1 - carried.length);
  for (let i = 0; i < most && goOn; i++) {
    builder.count();
    const results = node.surroundings.graph(body, [
      builder.constant("i64", [], [i]),
      builder.constant("bool", [], [1]),
      ...carried,
    ]);
    // A condition that nobody gave at first still ends the loop.
    goOn = builder.number("cond", results[0]!) !== 0;
    carried = results.slice(1, 1 + carried.length);
    scans.add(results.slice(1 + carried.length));
  }
  return [...carried, ...scans.finish(builder, () => 0, () => false)]; // prettier-ignore
}

/** @param directions of the scanned inputs: 1 is backwards */
function scan(node: Node, builder: Builder, inputs: readonly Value[], directions: readonly number[]): Value[] {
  const count = node.int("num_scan_inputs", 0);
  const states = inputs.length - count;
  if (!(count >= 1 && states >= 0)) throw new ValueError("num_scan_inputs", `${count}`, `from 1 to ${inputs.length}`);
  const body = bodyOf(node, inputs.length, states);
  let carried = inputs.slice(0, states);
  const scanned = inputs.slice(states);
  const axes = scanned.map((each, i) => checkAxis(node.ints("scan_input_axes")?.[i] ?? 0, each.shape.length));
  const lengths = scanned.map((each, i) => each.shape[axes[i]!]!);
  const length = lengths[0]!;
  if (lengths.some((each) => each !== length)) throw new ShapeError("scan inputs", showShape(lengths), "one length");
  const scans = new Scans(node, body.outputs.length - states);
  for (let i = 0; i < length; i++) {
    builder.count(1 + count);
    const entries = scanned.map((each, k) =>
      builder.one(select, [each], { axis: axes[k]!, index: directions[k] === 1 ? length - 1 - i : i }),
    );
    const results = node.surroundings.graph(body, [...carried, ...entries]);
    carried = results.slice(0, states);
    scans.add(results.slice(states));
  }
  return [
    ...carried,
    ...scans.finish(
      builder,
      (i) => node.ints("scan_output_axes")?.[i] ?? 0,
      (i) => node.ints("scan_output_directions")?.[i] === 1,
    ),
  ];
}

/** Each row of a batch by itself, as of opset 8; rows may have lengths. */
function scanRows(node: Node, builder: Builder): readonly Value[] {
  const [given, inputs] = [node.optional(0), node.all(1)];
  const states = inputs.length - node.int("num_scan_inputs", 0);
  const [rows, steps] = (inputs[states]?.shape ?? []) as [number?, number?];
  if (!rows || steps === undefined || inputs.some(({ shape }) => shape[0] !== rows)) {
    throw new ShapeError("scan inputs", inputs.map(({ shape }) => showShape(shape)).join(", "), "one batch in all");
  }
  const lengths = given && builder.numbers(given);
  if (lengths && lengths.length !== rows) throw new ShapeError("sequence_lens", `[${lengths.length}]`, `[${rows}]`);
  const results = Array.from({ length: rows }, (_, index) => {
    const entries = inputs.map((each) => builder.one(select, [each], { axis: 0, index }));
    const end = lengths?.[index] ?? steps;
    const own = entries.map((each, i) => (i < states ? each : builder.one(slice, [each], { axis: 0, start: 0, end })));
    return scan(node, builder, own, node.ints("directions") ?? []).map((each, i) => {
      if (i < states || end === steps) return each;
      const [before, after] = [each.shape.map(() => 0), each.shape.map((_, axis) => (axis === 0 ? steps - end : 0))];
      return builder.one(pad, [each], { before, after, mode: "constant", value: 0 });
    });
  });
  return results[0]!.map((_, i) => builder.one(stack, results.map((row) => row[i]!), { axis: 0 })); // prettier-ignore
}

export const control: Operators = {
  If: operator(["then_branch", "else_branch"], branch),
  Loop: operator(["body"], loop),
  Scan: operator(
    [
      "body",
      "num_scan_inputs",
      "scan_input_axes",
      "scan_input_directions",
      "scan_output_axes",
      "scan_output_directions",
      "directions",
    ],
    (node, builder) =>
      node.opset < 9
        ? scanRows(node, builder)
        : scan(node, builder, node.all(), node.ints("scan_input_directions") ?? []),
  ),
};
