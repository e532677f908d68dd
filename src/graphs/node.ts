// A node of an ONNX graph as its operator sees it: inputs, attributes, subgraphs, and the builder to compute with.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import type { ElementType } from "../base/element.js";
import type { OnnxAttribute, OnnxGraph, OnnxTensor } from "../formats/onnx/model.js";
import type { Builder } from "./builder.js";
import type { Value } from "./value.js";

/** What nodes need of the graph around them. */
export interface Surroundings {
  readonly builder: Builder;
  /** Whether `toOnnx` wrote the file: it then gives the bits of the layers that it was written from. */
  readonly own: boolean;
  /** The value of a tensor in the file. */
  tensor(tensor: OnnxTensor): Value;
  /** The type in which numbers of a type are computed. */
  computed(dtype: ElementType): ElementType;
  /** Runs a subgraph, which sees the values of the graphs around it. */
  graph(graph: OnnxGraph, inputs: readonly Value[]): readonly Value[];
}

/** The values of attributes by their types. */
interface AttributeValues {
  int: number;
  float: number;
  string: string;
  tensor: OnnxTensor;
  graph: OnnxGraph;
}
type AttributeValue<Type> = Type extends keyof AttributeValues ? AttributeValues[Type] : readonly (number | string)[];

export class Node {
  constructor(
    readonly surroundings: Surroundings,
    readonly opType: string,
    readonly opset: number,
    /** undefined for one that is left out. */
    readonly inputs: readonly (Value | undefined)[],
    /** "" for one that is left out. */
    readonly outputs: readonly string[],
    readonly attributes: ReadonlyMap<string, OnnxAttribute>,
  ) {}

  get builder(): Builder {
    return this.surroundings.builder;
  }

  /** An input that must be there. */
  input(index: number, name: string): Value {
    const value = this.inputs[index];
    if (!value) throw new ValueError(name, "none", "a tensor");
    return value;
  }

  /** An input that may be left out. */
  optional(index: number): Value | undefined {
    return this.inputs[index];
  }

  /** All inputs, of which there is one at least, from some on: none of them may be left out. */
  all(first = 0): readonly Value[] {
    if (this.inputs.length === 0) throw new ValueError("inputs", "none", "at least one tensor");
    return this.inputs.slice(first).map((_, i) => this.input(first + i, `input ${first + i}`));
  }

  /** Whether an output is asked for. */
  wants(index: number): boolean {
    return (this.outputs[index] ?? "") !== "";
  }

  #get<Type extends OnnxAttribute["type"]>(name: string, type: Type): AttributeValue<Type> | undefined {
    const attribute = this.attributes.get(name);
    if (!attribute) return undefined;
    if (attribute.type !== type) throw new ValueError(name, `an attribute of type ${attribute.type}`, type);
    return attribute.value as AttributeValue<Type>;
  }

  has(name: string): boolean {
    return this.attributes.has(name);
  }

  int(name: string, otherwise: number): number {
    return this.#get(name, "int") ?? otherwise;
  }

  /** An attribute that is 0 or 1. */
  flag(name: string, otherwise: boolean): boolean {
    return this.int(name, Number(otherwise)) !== 0;
  }

  /** A number, which files hold as f32; where `toOnnx` wrote it, the shortest decimal that it stands for. */
  float(name: string, otherwise: number): number {
    const value = this.#get(name, "float");
    if (value === undefined) return otherwise;
    if (!this.surroundings.own) return value;
    for (let digits = 1; digits < 9; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) return short;
    }
    return value;
  }

  string(name: string, otherwise: string): string {
    return this.#get(name, "string") ?? otherwise;
  }

  ints(name: string): readonly number[] | undefined {
    return this.#list<number>(name, "ints");
  }

  floats(name: string): readonly number[] | undefined {
    return this.#list<number>(name, "floats");
  }

  strings(name: string): readonly string[] | undefined {
    return this.#list<string>(name, "strings");
  }

  /** A list; one without elements may be of any type. */
  #list<T>(name: string, type: "ints" | "floats" | "strings"): readonly T[] | undefined {
    const attribute = this.attributes.get(name);
    if (attribute && Array.isArray(attribute.value) && attribute.value.length === 0) return [];
    return this.#get(name, type) as readonly unknown[] as readonly T[] | undefined;
  }

  tensor(name: string): Value | undefined {
    const tensor = this.#get(name, "tensor");
    return tensor && this.surroundings.tensor(tensor);
  }

  graph(name: string): OnnxGraph {
    const graph = this.#get(name, "graph");
    if (!graph) throw new ValueError(name, "none", "a graph");
    return graph;
  }

  /** Integers that are an input since some opset, and an attribute before; undefined where neither is there. */
  integers(name: string, index: number, since: number): readonly number[] | undefined {
    if (this.opset < since) return this.ints(name);
    const value = this.optional(index);
    return value && Array.from(this.builder.numbers(value));
  }

  /** A choice among strings. */
  choice<Choice extends string>(name: string, choices: readonly Choice[], otherwise: Choice): Choice {
    const value = this.string(name, otherwise);
    if (!(choices as readonly string[]).includes(value)) {
      throw new UnsupportedError(name, describe(value), choices.join(", "));
    }
    return value as Choice;
  }
}

/** An operator: what it may be given, and how it is computed. */
export interface Operator {
  /** The attributes that it knows. */
  readonly attributes: readonly string[];
  /** The results, in the order of the outputs; those that nobody wants may be left out. */
  readonly compute: (node: Node, builder: Builder) => readonly (Value | undefined)[] | Value;
}

export type Operators = Readonly<Record<string, Operator>>;

/** Describes an operator. */
export function operator(attributes: readonly string[], compute: Operator["compute"]): Operator {
  return { attributes, compute };
}
