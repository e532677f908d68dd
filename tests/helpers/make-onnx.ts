// Small ONNX models for tests, written from short records.
import { ELEMENT_ARRAYS, type ElementType } from "../../src/base/element.js";
import type {
  OnnxAttribute,
  OnnxFunction,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValue,
} from "../../src/formats/onnx/model.js";
import { writeOnnx } from "../../src/formats/onnx/write.js";

/** A tensor of a model. */
export function onnxTensor(dtype: ElementType, shape: readonly number[], numbers: readonly number[]): OnnxTensor {
  const data = new ELEMENT_ARRAYS[dtype](numbers.length);
  numbers.forEach((each, i) => (data[i] = dtype === "i64" || dtype === "u64" ? BigInt(each) : each));
  return { name: "", dtype, shape, data };
}

type Attribute = number | string | readonly number[] | readonly string[] | OnnxTensor | OnnxGraph | OnnxAttribute;

/** An attribute: whole numbers are ints, others floats. */
function attribute(value: Attribute): OnnxAttribute {
  if (typeof value === "number") return { type: Number.isInteger(value) ? "int" : "float", value };
  if (typeof value === "string") return { type: "string", value };
  if (Array.isArray(value)) {
    const list = value as readonly (number | string)[];
    if (typeof list[0] === "string") return { type: "strings", value: list as readonly string[] };
    return { type: list.every(Number.isInteger) ? "ints" : "floats", value: list as readonly number[] };
  }
  if ("nodes" in value) return { type: "graph", value };
  if ("dtype" in value) return { type: "tensor", value };
  return value as OnnxAttribute;
}

/** A number that is a float, though it is whole. */
export const float = (value: number): OnnxAttribute => ({ type: "float", value });

/** A node: `node("Add", ["a", "b"], ["c"])`. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = "",
): OnnxNode {
  const entries = Object.entries(attributes).map(([name, value]) => [name, attribute(value)] as const);
  return { name: "", opType, domain, inputs, outputs, attributes: new Map(entries) };
}

/** Inputs or outputs by name: their types and shapes. */
type Values = Readonly<Record<string, readonly [dtype: ElementType, shape: readonly (number | string)[] | undefined]>>;

function values(record: Values): OnnxValue[] {
  return Object.entries(record).map(([name, [dtype, shape]]) => ({ name, dtype, shape }));
}

/** A graph. */
export function graph(
  inputs: Values,
  outputs: Values,
  nodes: readonly OnnxNode[],
  initializers: Readonly<Record<string, OnnxTensor>> = {},
): OnnxGraph {
  const named = Object.entries(initializers).map(([name, tensor]) => [name, { ...tensor, name }] as const);
  return { name: "test", nodes, initializers: new Map(named), inputs: values(inputs), outputs: values(outputs) };
}

/** The bytes of a model. */
export function onnxFile(
  main: OnnxGraph,
  { opset = 17, functions = [] }: { opset?: number; functions?: readonly OnnxFunction[] } = {},
): Uint8Array {
  const model: OnnxModel = {
    irVersion: 8,
    producerName: "test",
    producerVersion: "",
    domain: "",
    modelVersion: 0,
    docString: "",
    opsets: new Map([["", opset], ...functions.map(({ domain }) => [domain, 1] as const)]),
    graph: main,
    functions,
    metadata: new Map(),
  };
  return writeOnnx(model);
}
