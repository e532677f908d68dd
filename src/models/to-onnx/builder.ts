// Puts the graph of an ONNX file together.

import { UnsupportedError } from "../../../bindings/errors.js";
import type { FloatDtype, Tensor } from "../../../bindings/tensor.js";
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValue } from "../../formats/onnx/model.js";

/** The lengths of axes, and names of open ones. */
export type Shape = readonly (number | string)[];

/** A value of the graph, and its shape where it is known. */
export interface Value {
  readonly name: string;
  readonly shape: Shape | undefined;
}

/** Attributes of a node: whole numbers and lists of them, texts and lists of them. */
export type Attributes = Readonly<
  Record<string, OnnxAttribute | string | number | readonly number[] | readonly string[]>
>;

/** Collects nodes, weights and constants. */
export class Builder {
  readonly #nodes: OnnxNode[] = [];
  readonly #initializers = new Map<string, OnnxTensor>();
  readonly #taken = new Set<string>();

  constructor(
    readonly opset: number,
    readonly dtype: FloatDtype,
  ) {}

  /** A name that nothing else has. */
  reserve(name: string): string {
    let own = name;
    for (let i = 1; this.#taken.has(own); i++) own = `${name}_${i}`;
    this.#taken.add(own);
    return own;
  }

  /** Adds a node; `path` is that of its layer. Absent inputs are "". Returns the names of its outputs. */
  nodes(path: string, opType: string, inputs: readonly string[], attributes: Attributes, count: number): string[] {
    const name = this.reserve(path + opType);
    const outputs = Array.from({ length: count }, (_, i) => (count === 1 ? name : this.reserve(`${name}_output${i}`)));
    const entries = Object.entries(attributes).map(([key, value]) => [key, attributeOf(value)] as const);
    const given = [...inputs];
    while (given.at(-1) === "") given.pop();
    this.#nodes.push({ name, opType, domain: "", inputs: given, outputs, attributes: new Map(entries) });
    return outputs;
  }

  /** Adds a node with one output, whose name is returned. */
  node(path: string, opType: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.nodes(path, opType, inputs, attributes, 1)[0]!;
  }

  /** Adds a reduction over an axis, which is an input or, before opset 18, an attribute. */
  reduce(path: string, opType: "ReduceMean" | "ReduceMax", x: string, axis: number): string {
    if (this.opset < 18) return this.node(path, opType, [x], { axes: [axis], keepdims: 0 });
    return this.node(path, opType, [x, this.ints([axis])], { keepdims: 0 });
  }

  /** Adds a weight or another constant, in the number type of the graph. */
  constant(name: string, { data, shape }: Pick<Tensor, "shape"> & { readonly data: ArrayLike<number> }): string {
    const numbers = this.dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data);
    return this.#initializer({ name: this.reserve(name), dtype: this.dtype, shape, data: numbers });
  }

  /** A list of whole numbers: one constant for all equal ones. */
  ints(numbers: readonly number[]): string {
    const name = `ints[${numbers.join()}]`;
    if (this.#initializers.has(name)) return name;
    return this.#initializer({
      name,
      dtype: "i64",
      shape: [numbers.length],
      data: BigInt64Array.from(numbers, BigInt),
    });
  }

  /** A single whole number. */
  int(number: number): string {
    const name = `int ${number}`;
    if (this.#initializers.has(name)) return name;
    return this.#initializer({ name, dtype: "i64", shape: [], data: BigInt64Array.of(BigInt(number)) });
  }

  /** Refuses opsets that lack an operator. */
  need(opset: number, layer: string): void {
    if (this.opset < opset) throw new UnsupportedError("opset", `${this.opset}`, `${opset} or later, for ${layer}`);
  }

  /**
   * The graph.
   *
   * @param outputs values by the names that they get
   */
  graph(name: string, inputs: readonly OnnxValue[], outputs: ReadonlyMap<string, Value>): OnnxGraph {
    const renamed = new Map<string, string>();
    const nodes = [...this.#nodes];
    const made = new Set(nodes.flatMap((node) => node.outputs));
    for (const [output, value] of outputs) {
      if (made.has(value.name) && !renamed.has(value.name)) renamed.set(value.name, output);
      else {
        const [from, attributes] = [renamed.get(value.name) ?? value.name, new Map<string, OnnxAttribute>()];
        nodes.push({ name: output, opType: "Identity", domain: "", inputs: [from], outputs: [output], attributes });
      }
    }
    const rename = (names: readonly string[]) => names.map((each) => renamed.get(each) ?? each);
    return {
      name,
      nodes: nodes.map((node) => ({ ...node, inputs: rename(node.inputs), outputs: rename(node.outputs) })),
      initializers: this.#initializers,
      inputs,
      outputs: [...outputs].map(([own, { shape }]) => ({ name: own, dtype: this.dtype, shape })),
    };
  }

  #initializer(tensor: OnnxTensor): string {
    this.#initializers.set(tensor.name, tensor);
    return tensor.name;
  }
}

function attributeOf(value: Attributes[string]): OnnxAttribute {
  if (typeof value === "number") return { type: "int", value };
  if (typeof value === "string") return { type: "string", value };
  if ("type" in value) return value;
  return typeof value[0] === "string"
    ? { type: "strings", value: value as readonly string[] }
    : { type: "ints", value: value as readonly number[] };
}
