// wasm-rnn info of an ONNX file.

import type { UnsupportedError } from "../../bindings/errors.js";
import { showShape, sizeOf } from "../../bindings/tensor.js";
import type { OnnxFunction, OnnxGraph, OnnxModel, OnnxNode, OnnxValue } from "../formats/onnx/model.js";
import { readOnnx } from "../formats/onnx/read.js";
import { messageOf, named } from "./errors.js";
import { loadOnnx } from "./library.js";
import { count } from "./progress.js";

/** What there is to say of a model. */
export interface OnnxInfo {
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Shapes of the floating-point initializers, those within nodes included. */
  readonly parameters: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[];
  /** How often each operator is called, graphs within nodes and functions included; those of other domains with their domain. */
  readonly operators: Readonly<Record<string, number>>;
  readonly unsupported: readonly string[];
}

/** Floating-point types. */
const FLOATS = ["f64", "f32", "f16", "bf16"];

/** Visits all nodes and all graphs. */
function visit(
  { graph, functions }: OnnxModel,
  onNode: (node: OnnxNode) => void,
  onGraph: (graph: OnnxGraph) => void,
): void {
  const visitNodes = ({ nodes }: OnnxGraph | OnnxFunction): void => {
    for (const node of nodes) {
      onNode(node);
      for (const attribute of node.attributes.values()) {
        if (attribute.type === "graph") visitGraph(attribute.value);
        if (attribute.type === "graphs") attribute.value.forEach(visitGraph);
      }
    }
  };
  const visitGraph = (each: OnnxGraph): void => {
    onGraph(each);
    visitNodes(each);
  };
  visitGraph(graph);
  functions.forEach(visitNodes);
}

/** Why a file does not run. */
async function reasonsOf(bytes: Uint8Array): Promise<string[]> {
  const { fromOnnx } = await loadOnnx();
  try {
    fromOnnx(bytes).dispose();
    return [];
  } catch (error) {
    const unsupported = error instanceof Error && error.name === "UnsupportedError"; // of the library's own copy of the class
    return unsupported ? (error as UnsupportedError).received.split("; ") : [messageOf(error)];
  }
}

/** Reads what a file says. */
export async function readOnnxInfo(path: string, bytes: Uint8Array): Promise<OnnxInfo> {
  const model = named(path, () => readOnnx(bytes));
  const operators = new Map<string, number>();
  const parameters: { name: string; dtype: string; shape: readonly number[] }[] = [];
  const { inputs, outputs, initializers } = model.graph;
  visit(
    model,
    ({ domain, opType }) => {
      const name = domain === "" || domain === "ai.onnx" ? opType : `${domain}.${opType}`;
      operators.set(name, (operators.get(name) ?? 0) + 1);
    },
    (graph) => {
      for (const [name, { dtype, shape }] of graph.initializers) {
        if (FLOATS.includes(dtype)) parameters.push({ name, dtype, shape });
      }
    },
  );
  return {
    opsets: Object.fromEntries(Array.from(model.opsets, ([domain, version]) => [domain || "ai.onnx", version])),
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(" "),
    inputs: inputs.filter(({ name }) => !initializers.has(name)),
    outputs,
    parameters,
    operators: Object.fromEntries([...operators].sort(([a], [b]) => (a < b ? -1 : 1))),
    unsupported: await reasonsOf(bytes),
  };
}

/** An input or output on a line. */
function describeValue({ name, dtype, shape }: OnnxValue): string {
  return `${name} ${shape ? showShape(shape.map((n) => (n === "" ? "any" : n))) : "of any shape"} ${dtype ?? "of any type"}`;
}

/** The lines of a description. */
export function describeOnnx(info: OnnxInfo): string[] {
  const opsets = Object.entries(info.opsets).map(([domain, version]) => `${domain} ${version}`);
  const numbers = info.parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const nodes = Object.values(info.operators).reduce((sum, n) => sum + n, 0);
  return [
    `opset: ${opsets.join(", ")}${info.producer && `; written by ${info.producer}`}`,
    "inputs:",
    ...info.inputs.map((each) => `  ${describeValue(each)}`),
    "outputs:",
    ...info.outputs.map((each) => `  ${describeValue(each)}`),
    `parameters: ${count(info.parameters.length)}, ${count(numbers)} numbers`,
    `operators: ${count(Object.keys(info.operators).length)}, ${count(nodes)} nodes`,
    ...Object.entries(info.operators).map(([name, n]) => `  ${name} ${count(n)}`),
    `unsupported: ${info.unsupported.length === 0 ? "none; fromOnnx runs it" : count(info.unsupported.length)}`,
    ...info.unsupported.map((each) => `  ${each}`),
  ];
}
