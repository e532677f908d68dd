// Models of ONNX files.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype } from "../../bindings/tensor.js";
import { checkCount, checkDtype, checkOptions } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import { narrowToHalf, widenHalf, type ElementType } from "../base/element.js";
import { takeBytes } from "../formats/arrays.js";
import type { OnnxGraph, OnnxModel, OnnxTensor, OnnxValue } from "../formats/onnx/model.js";
import { readOnnx } from "../formats/onnx/read.js";
import { DEFAULT_LIMITS, type Limits } from "./builder.js";
import type { ModelValue } from "./feeds.js";
import { Model } from "./model.js";
import type { Definition } from "./prepared.js";
import { constant, floatOf, type Numbers, type Value } from "./value.js";
import { checkModel, walk } from "./walk.js";

/** Options of `fromOnnx`. */
export interface OnnxOptions {
  /** The type in which all floating-point numbers are computed, given and returned; by default those of the file. */
  dtype?: FloatDtype | undefined;
  /** The most bytes of memory that a plan may take, with what is computed while it is made (default 1 GiB). */
  maxMemory?: number | undefined;
  /** The most nodes that a plan may have, each counted in each iteration of a Loop or Scan, and the iterations (default 100,000). */
  maxIterations?: number | undefined;
}

/** What an ONNX file says beside its graph. */
export interface OnnxMetadata {
  /** The version of the format. */
  irVersion: number;
  /** The versions of the operators by domain, "ai.onnx" for ONNX's own; a record without a prototype. */
  opsets: Record<string, number>;
  /** The program that wrote the file: "pytorch". Here and below "" stands for nothing. */
  producerName: string;
  /** Its version. */
  producerVersion: string;
  /** A name space for the model. */
  domain: string;
  /** The model's version, 0 for none. */
  modelVersion: number;
  /** A description. */
  docString: string;
  /** The file's own entries (`metadata_props`), such as the names of classes; a record without a prototype. */
  properties: Record<string, string>;
}

/** The numbers of a tensor in a file, in the type in which they are computed. */
function numbersOf({ dtype, data }: OnnxTensor, computed: ElementType): Numbers {
  const own = dtype === "f16" || dtype === "bf16" ? widenHalf(dtype, data as Uint16Array) : data;
  if (own instanceof BigInt64Array || own instanceof BigUint64Array) return Float64Array.from(own, Number);
  const float = floatOf(computed);
  if (float === "f64" && !(own instanceof Float64Array)) return Float64Array.from(own);
  return float === "f32" && !(own instanceof Float32Array) ? Float32Array.from(own) : own;
}

/** All graphs of a graph: itself, and those within its nodes. */
function graphsOf(graph: OnnxGraph): OnnxGraph[] {
  const within = graph.nodes.flatMap(({ attributes }) =>
    [...attributes.values()].flatMap((each) => (each.type === "graph" ? graphsOf(each.value) : [])),
  );
  return [graph, ...within];
}

/** The files of models, and which of their tensors are parameters. */
const files = /* @__PURE__ */ new WeakMap<Model, { file: OnnxModel; names: ReadonlyMap<OnnxTensor, string> }>();

/** The file that a model was read from, with the parameters as they are now; undefined for other models. */
export function fileOf(model: Model): OnnxModel | undefined {
  const known = files.get(model);
  if (!known) return undefined;
  const { file, names } = known;
  const state = model.stateDict();
  const current = (tensor: OnnxTensor): OnnxTensor => {
    const name = names.get(tensor);
    if (name === undefined) return tensor;
    const numbers = state[name]!.data;
    const { dtype } = tensor;
    if (dtype === "f64") return { ...tensor, data: Float64Array.from(numbers) };
    const narrow = Float32Array.from(numbers);
    return { ...tensor, data: dtype === "f32" ? narrow : narrowToHalf(dtype as "f16" | "bf16", narrow) };
  };
  const graphWithin = (graph: OnnxGraph): OnnxGraph => ({
    ...graph,
    initializers: new Map(Array.from(graph.initializers, ([name, tensor]) => [name, current(tensor)])),
    nodes: graph.nodes.map((node) => ({
      ...node,
      attributes: new Map(
        Array.from(node.attributes, ([name, each]) => [
          name,
          each.type === "graph" ? { type: "graph", value: graphWithin(each.value) } : each,
        ]),
      ),
    })),
  });
  return { ...file, graph: graphWithin(file.graph) };
}

/**
 * What the file of a model says beside its graph.
 *
 * @param model of `fromOnnx`; it may be disposed of
 * @throws ValueError for other models
 */
export function onnxMetadata(model: Model): OnnxMetadata {
  const file = model instanceof Model ? files.get(model)?.file : undefined;
  if (!file) throw new ValueError("model", describe(model), "a model of fromOnnx");
  const { irVersion, producerName, producerVersion, domain, modelVersion, docString } = file;
  const opsets = Object.create(null) as Record<string, number>;
  for (const [name, version] of file.opsets) opsets[name === "" ? "ai.onnx" : name] = version;
  const properties = Object.create(null) as Record<string, string>;
  for (const [key, value] of file.metadata) properties[key] = value;
  return { irVersion, opsets, producerName, producerVersion, domain, modelVersion, docString, properties };
}

/**
 * Reads an ONNX model (opset 7 to 22) that runs.
 *
 * Its floating-point initializers are the parameters of the model, by their names in the file.
 *
 * @param bytes the file
 * @param options see {@link OnnxOptions}
 * @returns the model, in inference mode
 * @throws FormatError (a corrupt file), UnsupportedError (naming every operator that is not there, and its node), DtypeError,
 *   ValueError, OutOfMemoryError
 */
export function fromOnnx(bytes: Uint8Array, options: OnnxOptions = {}): Model {
  const {
    dtype,
    maxMemory = DEFAULT_LIMITS.memory,
    maxIterations = DEFAULT_LIMITS.iterations,
  } = checkOptions("fromOnnx", options, ["dtype", "maxMemory", "maxIterations"]);
  if (dtype !== undefined) checkDtype(dtype);
  checkCount("maxMemory", maxMemory, 1);
  checkCount("maxIterations", maxIterations, 1);
  const limits: Limits = { memory: maxMemory, iterations: maxIterations };
  const file = readOnnx(takeBytes("bytes", bytes));
  const program = checkModel(file);
  const computed = (own: ElementType): ElementType => (dtype && floatOf(own) ? dtype : own);

  const numbers = new Map<OnnxTensor, Numbers>();
  const weights = new Map<string, Value>();
  const names = new Map<OnnxTensor, string>();
  const uses = new Map<string, number>();
  for (const { initializers } of graphsOf(file.graph)) {
    for (const [name, tensor] of initializers) {
      if (!floatOf(tensor.dtype)) continue;
      let own = name;
      while (weights.has(own)) own = `${name}.${uses.set(name, (uses.get(name) ?? 0) + 1).get(name)!}`; // branches may use a name again
      const type = computed(tensor.dtype);
      weights.set(own, constant(type, tensor.shape, numbersOf(tensor, type)));
      names.set(tensor, own);
    }
  }
  const valueOf = ({ name, dtype: own, shape }: OnnxValue): ModelValue => {
    if (!own) throw new UnsupportedError(name, "a value without a type", "a tensor");
    return { name, dtype: computed(own), shape };
  };
  const initialized = file.graph.initializers;
  const inputs = file.graph.inputs.filter(({ name }) => !initialized.has(name)).map(valueOf);
  const definition: Definition = {
    inputs,
    outputs: file.graph.outputs.map(valueOf),
    weights,
    limits,
    build(builder, feeds, weight) {
      const values = new Map<OnnxTensor, Value>(); // of this plan: it owns what is uploaded
      const tensor = (each: OnnxTensor): Value => {
        const name = names.get(each);
        if (name !== undefined) return weight(name);
        let value = values.get(each);
        if (!value) {
          const type = computed(each.dtype);
          const known = numbers.get(each) ?? numbersOf(each, type);
          numbers.set(each, known);
          values.set(each, (value = constant(type, each.shape, known)));
        }
        return value;
      };
      return walk({ builder, program, computed, tensor }, new Map(inputs.map(({ name }, i) => [name, feeds[i]!])));
    },
  };
  const float = inputs.concat(definition.outputs).find((each) => each.dtype === "f64" || each.dtype === "f32")?.dtype;
  const model = new Model(sealed(definition), (float as FloatDtype | undefined) ?? "f32");
  files.set(model, { file, names });
  return model;
}
