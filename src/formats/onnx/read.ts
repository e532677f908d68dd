// Reads ONNX files (https://onnx.ai/onnx/repo-docs/IR.html): what they say, as the records of model.ts. Whether the graph makes
// sense is for those to check who build it. Time and memory are a small multiple of the file's size.

import type { UnsupportedError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import { bytesPerElement, ELEMENT_ARRAYS, type ElementData, type ElementType } from "../../base/element.js";
import { takeBytes } from "../arrays.js";
import { elements } from "../safetensors-header.js";
import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "./model.js";
import { MessageReader } from "./protobuf.js";
import * as schema from "./schema.js";

/**
 * The latest version of ONNX's own operators that is read. An old version is no error here: some operators have not changed
 * since, and whoever builds the graph knows which.
 */
const LATEST_OPSET = 22;

const MAX_RANK = 64;
const MAX_INT32 = 2 ** 31 - 1;

type Reader<S extends schema.Schema> = MessageReader<Extract<keyof S, string>>;

/**
 * Reads a model.
 *
 * @throws FormatError, naming the field, for anything that is not a whole valid model; UnsupportedError, naming what it is,
 *   for external data, training info, sparse tensors, sequences, maps, optional types, and for tensors of strings, complex
 *   numbers or less than a byte that are used
 */
export function readOnnx(bytes: Uint8Array): OnnxModel {
  return readModel(new MessageReader(takeBytes("bytes", bytes), schema.MODEL, "model"));
}

/**
 * Reads a tensor that is a file of its own.
 *
 * @throws FormatError, UnsupportedError as `readOnnx`
 */
export function readTensorProto(bytes: Uint8Array): OnnxTensor {
  return readTensor(new MessageReader(takeBytes("bytes", bytes), schema.TENSOR, "tensor"));
}

/** What is known of the graphs around the message that is read. */
interface Context {
  readonly inFunction: boolean;
  /** Names of all values that nodes take and graphs give. */
  readonly used: Set<string>;
  /** Initializers of types that are not read: an error only if they are used. */
  readonly unread: Map<string, UnsupportedError>;
}

function readModel(reader: Reader<typeof schema.MODEL>): OnnxModel {
  const context: Context = { inFunction: false, used: new Set(), unread: new Map() };
  let [irVersion, modelVersion, graph] = [0, 0, undefined as OnnxGraph | undefined];
  let [producerName, producerVersion, domain, docString] = ["", "", "", ""];
  const opsets = new Map<string, number>();
  const functions: OnnxFunction[] = [];
  const metadata = new Map<string, string>();
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "ir_version") irVersion = reader.whole(1, MAX_INT32);
    else if (field === "producer_name") producerName = reader.string();
    else if (field === "producer_version") producerVersion = reader.string();
    else if (field === "domain") domain = reader.string();
    else if (field === "model_version") modelVersion = reader.int64();
    else if (field === "doc_string") docString = reader.string();
    else if (field === "graph") graph = reader.message(schema.GRAPH, (each) => readGraph(each, context));
    else if (field === "opset_import") readOpset(reader, opsets);
    else if (field === "metadata_props") {
      const [key, value] = reader.message(schema.STRING_ENTRY, readEntry);
      metadata.set(key, value);
    } else if (field === "functions") {
      const inner = { ...context, inFunction: true };
      functions.push(reader.message(schema.FUNCTION, (each) => readFunction(each, inner), functions.length));
    } else throw reader.unsupported("training info", "a model for inference");
  }
  if (irVersion === 0) reader.fail("no ir_version", "the version of the format");
  if (graph === undefined) reader.fail("no graph", "a graph");
  for (const [name, error] of context.unread) if (context.used.has(name)) throw error;
  return {
    irVersion,
    producerName,
    producerVersion,
    domain,
    modelVersion,
    docString,
    opsets,
    graph,
    functions,
    metadata,
  };
}

/** ONNX's own domain has two names. */
function readDomain(reader: MessageReader): string {
  const domain = reader.string();
  return domain === "ai.onnx" ? "" : domain;
}

/** Reads an entry of opset_import. Of several of a domain the highest counts. */
function readOpset(outer: MessageReader, opsets: Map<string, number>): void {
  outer.message(schema.OPERATOR_SET, (reader) => {
    let [domain, version] = ["", 0];
    for (let field = reader.next(); field !== undefined; field = reader.next()) {
      if (field === "domain") domain = readDomain(reader);
      else version = reader.whole(1, MAX_INT32);
    }
    if (version === 0) reader.fail("no version", "the version of the operators");
    if (domain === "" && version > LATEST_OPSET) {
      throw outer.unsupported(`opset ${version} of ai.onnx`, `at most ${LATEST_OPSET}`);
    }
    opsets.set(domain, Math.max(version, opsets.get(domain) ?? 0));
  });
}

function readEntry(reader: Reader<typeof schema.STRING_ENTRY>): [key: string, value: string] {
  let [key, value] = ["", ""];
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "key") key = reader.string();
    else value = reader.string();
  }
  return [key, value];
}

function readFunction(reader: Reader<typeof schema.FUNCTION>, context: Context): OnnxFunction {
  let [name, domain] = ["", ""];
  const [inputs, outputs, nodes]: [string[], string[], OnnxNode[]] = [[], [], []];
  const attributes = new Map<string, OnnxAttribute | undefined>();
  const opsets = new Map<string, number>();
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "name") reader.label = name = reader.string();
    else if (field === "domain") domain = readDomain(reader);
    else if (field === "input") inputs.push(reader.string());
    else if (field === "output") outputs.push(reader.string());
    else if (field === "attribute") attributes.set(reader.string(), undefined);
    else if (field === "attribute_proto") readAttribute(reader, context, attributes);
    else if (field === "node") nodes.push(reader.message(schema.NODE, (each) => readNode(each, context), nodes.length));
    else if (field === "opset_import") readOpset(reader, opsets);
    else refuseOverload(reader);
  }
  if (name === "") reader.fail("no name", "the name of a function");
  for (const output of outputs) context.used.add(output);
  return { name, domain, inputs, outputs, attributes, nodes, opsets };
}

function refuseOverload(reader: MessageReader): void {
  const overload = reader.string();
  if (overload !== "") throw reader.unsupported(JSON.stringify(overload), "functions without overloads");
}

function readGraph(reader: Reader<typeof schema.GRAPH>, context: Context): OnnxGraph {
  let name = "";
  const nodes: OnnxNode[] = [];
  const initializers = new Map<string, OnnxTensor>();
  const [inputs, outputs]: [OnnxValue[], OnnxValue[]] = [[], []];
  let count = 0;
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "node") nodes.push(reader.message(schema.NODE, (each) => readNode(each, context), nodes.length));
    else if (field === "name") name = reader.string();
    else if (field === "initializer") {
      const tensor = reader.message(schema.TENSOR, (each) => readInitializer(each, context), count++);
      if (tensor === undefined) continue;
      if (initializers.has(tensor.name)) reader.fail(`a second ${JSON.stringify(tensor.name)}`, "each name once");
      initializers.set(tensor.name, tensor);
    } else if (field === "input") inputs.push(reader.message(schema.VALUE, readValue, inputs.length));
    else if (field === "output") outputs.push(reader.message(schema.VALUE, readValue, outputs.length));
    else throw reader.unsupported("a sparse tensor", "dense tensors");
  }
  for (const output of outputs) context.used.add(output.name);
  return { name, nodes, initializers, inputs, outputs };
}

/** Most nodes have no attributes. */
const NO_ATTRIBUTES: ReadonlyMap<string, OnnxAttribute> = /* @__PURE__ */ new Map();

function readNode(reader: Reader<typeof schema.NODE>, context: Context): OnnxNode {
  let [name, opType, domain] = ["", "", ""];
  const [inputs, outputs]: [string[], string[]] = [[], []];
  let attributes: Map<string, OnnxAttribute> | undefined;
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "input") inputs.push(reader.string());
    else if (field === "output") outputs.push(reader.string());
    else if (field === "name") {
      name = reader.string();
      if (name !== "") reader.label = name;
    } else if (field === "op_type") {
      opType = reader.string();
      if (name === "") reader.label = opType;
    } else if (field === "domain") domain = readDomain(reader);
    else if (field === "attribute") readAttribute(reader, context, (attributes ??= new Map<string, OnnxAttribute>()));
    else refuseOverload(reader);
  }
  if (opType === "") reader.fail("no op_type", "the name of an operator");
  for (const input of inputs) context.used.add(input);
  return { name, opType, domain, inputs, outputs, attributes: attributes ?? NO_ATTRIBUTES };
}

// --- attributes ------------------------------------------------------------------------------------------------------

/** The values of an attribute's message, by field. Writers may leave out a zero, an empty text or list. */
interface AttributeValues {
  f: number;
  i: number;
  s: string;
  t?: OnnxTensor;
  g?: OnnxGraph;
  floats: number[];
  ints: number[];
  strings: string[];
  tensors: OnnxTensor[];
  graphs: OnnxGraph[];
}

function readAttribute(
  outer: MessageReader,
  context: Context,
  attributes: Map<string, OnnxAttribute | undefined>,
): void {
  outer.message(
    schema.ATTRIBUTE,
    (reader) => {
      const [name, attribute] = readNamedAttribute(reader, context);
      if (attributes.get(name) !== undefined) reader.fail("a second of that name", "each name once");
      attributes.set(name, attribute);
    },
    attributes.size,
  );
}

function readNamedAttribute(
  reader: Reader<typeof schema.ATTRIBUTE>,
  context: Context,
): [name: string, attribute: OnnxAttribute] {
  let [name, reference, type] = ["", "", 0];
  const values: AttributeValues = { f: 0, i: 0, s: "", floats: [], ints: [], strings: [], tensors: [], graphs: [] };
  let given: keyof AttributeValues | undefined;
  let several = false;
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "name") reader.label = name = reader.string();
    else if (field === "type") type = reader.whole(0, MAX_INT32);
    else if (field === "ref_attr_name") reference = reader.string();
    else if (field === "tp" || field === "type_protos") throw reader.unsupported("a type", "numbers, texts, graphs");
    else if (field === "sparse_tensor" || field === "sparse_tensors") {
      throw reader.unsupported("a sparse tensor", "dense tensors");
    } else {
      several ||= given !== undefined && given !== field;
      given = field;
      const { floats, ints, strings, tensors, graphs } = values;
      const graph = (each: Reader<typeof schema.GRAPH>) => readGraph(each, context);
      if (field === "f") values.f = reader.float();
      else if (field === "i") values.i = reader.int64();
      else if (field === "s") values.s = reader.string();
      else if (field === "t") values.t = reader.message(schema.TENSOR, readTensor);
      else if (field === "g") values.g = reader.message(schema.GRAPH, graph);
      else if (field === "floats") for (const each of new Float32Array(aligned(reader.fixed(4)))) floats.push(each);
      else if (field === "ints") reader.varints((value) => ints.push(value));
      else if (field === "strings") strings.push(reader.string());
      else if (field === "tensors") tensors.push(reader.message(schema.TENSOR, readTensor, tensors.length));
      else graphs.push(reader.message(schema.GRAPH, graph, graphs.length));
    }
  }
  if (name === "") reader.fail("no name", "the name of an attribute");
  const known = schema.ATTRIBUTE_TYPES.find(([, field], i) => (type === 0 ? field === given : i === type - 1));
  if (reference !== "") {
    if (!context.inFunction) reader.fail("a reference to another attribute", "a value: this is not within a function");
    return [name, { type: "reference", value: reference, of: known?.[0] }];
  }
  if (type === 0 && (given === undefined || several)) reader.fail(several ? "values" : "no value", "a value");
  if (known === undefined) throw reader.unsupported(`an attribute of type ${type}`, "numbers, texts, tensors, graphs");
  const value = values[known[1]];
  if (value === undefined) reader.fail("no value", `a ${known[0]}`);
  return [name, { type: known[0], value } as OnnxAttribute];
}

// --- tensors ---------------------------------------------------------------------------------------------------------

/** Reads an initializer; undefined for one of a type that is not read. */
function readInitializer(reader: Reader<typeof schema.TENSOR>, context: Context): OnnxTensor | undefined {
  const tensor = readAnyTensor(reader);
  if (tensor.name === "") reader.fail("no name", "the name of an initializer");
  if (tensor.dtype !== undefined) return tensor;
  context.unread.set(tensor.name, tensor.error);
  return undefined;
}

function readTensor(reader: Reader<typeof schema.TENSOR>): OnnxTensor {
  const tensor = readAnyTensor(reader);
  if (tensor.dtype === undefined) throw tensor.error;
  return tensor;
}

/** A tensor of a type that is not read. */
interface UnreadTensor {
  readonly name: string;
  readonly dtype: undefined;
  readonly error: UnsupportedError;
}

/** Where a tensor's numbers are that are not raw: types without a field of their own are in int32_data. */
const DATA_FIELDS: ReadonlyMap<ElementType, keyof typeof schema.TENSOR> = /* @__PURE__ */ new Map([
  ["f32", "float_data"],
  ["f64", "double_data"],
  ["i64", "int64_data"],
  ["u64", "uint64_data"],
  ["u32", "uint64_data"],
] as const);

function readAnyTensor(reader: Reader<typeof schema.TENSOR>): OnnxTensor | UnreadTensor {
  let [name, type] = ["", 0];
  let raw: Uint8Array | undefined;
  let typed = false;
  const shape: number[] = [];
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "dims") {
      reader.varints((size) => {
        if (!Number.isSafeInteger(size) || size < 0) reader.fail(`${size}`, "a whole number >= 0");
        if (shape.push(size) > MAX_RANK) reader.fail("more axes", `at most ${MAX_RANK}`);
      });
    } else if (field === "data_type") type = reader.whole(0, MAX_INT32);
    else if (field === "name") reader.label = name = reader.string();
    else if (field === "raw_data") raw = reader.view();
    else if (field === "external_data" || (field === "data_location" && reader.int64() !== 0)) {
      throw reader.unsupported("data in another file", "data within the model");
    } else if (field === "segment") throw reader.unsupported("a part of a tensor", "whole tensors");
    else if (field !== "data_location") {
      typed = true;
      reader.skip();
    }
  }
  if (type === 0) reader.fail("no data_type", "the type of the numbers");
  const [typeName = `type ${type}`, dtype] = schema.DATA_TYPES[type] ?? [];
  if (dtype === undefined) {
    return { name, dtype, error: reader.unsupported(typeName, "real numbers of whole bytes") };
  }
  if (typed && raw !== undefined && raw.length > 0) reader.fail("raw_data and numbers", "one of them");
  const count = elements(shape);
  const size = bytesPerElement(dtype);
  if (raw !== undefined && !typed) {
    if (raw.length !== count * size) {
      reader.fail(`${raw.length} bytes`, `${count * size} for ${typeName} of shape ${showShape(shape)}`);
    }
  } else if (!(count <= reader.size)) reader.fail(`shape ${showShape(shape)}`, "one that holds the numbers");
  const data =
    raw !== undefined && !typed
      ? new ELEMENT_ARRAYS[dtype](aligned(raw))
      : readNumbers(reader, dtype, new ELEMENT_ARRAYS[dtype](count));
  if (dtype === "bool" && (data as Uint8Array).some((each) => each > 1)) reader.fail("another number", "BOOL: 0 or 1");
  return { name, dtype, shape, data };
}

/** A copy of bytes at the start of a buffer. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.length);
  copy.set(bytes);
  return copy.buffer;
}

/** Fills an array with the numbers of the field for its type, which must be as many. */
function readNumbers<D extends ElementData>(reader: Reader<typeof schema.TENSOR>, dtype: ElementType, data: D): D {
  const source = DATA_FIELDS.get(dtype) ?? "int32_data";
  const bytes = new Uint8Array(data.buffer);
  const halves = new Uint32Array(data.BYTES_PER_ELEMENT === 8 ? (data.buffer as ArrayBuffer) : new ArrayBuffer(0));
  let count = 0;
  const more = (number: number) => {
    count += number;
    if (count > data.length) reader.fail(`more than ${data.length} numbers`, "as many as the shape holds");
  };
  reader.rewind();
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field !== source) reader.skip();
    else if (dtype === "f32" || dtype === "f64") {
      const width = dtype === "f32" ? 4 : 8;
      const fixed = reader.fixed(width);
      const at = width * count;
      more(fixed.length / width);
      bytes.set(fixed, at);
    } else {
      reader.varints((value, low, high) => {
        const at = count;
        more(1);
        if (dtype === "i64" || dtype === "u64") {
          halves[2 * at] = low;
          halves[2 * at + 1] = high;
          return;
        }
        data[at] = value;
        if (data[at] !== value) reader.fail(`${value}`, `a number of ${dtype}`);
      });
    }
  }
  if (count < data.length) reader.fail(`${count} numbers in ${source}`, `${data.length}, as the shape holds`);
  return data;
}

// --- inputs and outputs ----------------------------------------------------------------------------------------------

function readValue(reader: Reader<typeof schema.VALUE>): OnnxValue {
  let name = "";
  let type: Pick<OnnxValue, "dtype" | "shape"> = { dtype: undefined, shape: undefined };
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "name") reader.label = name = reader.string();
    else type = reader.message(schema.TYPE, readType);
  }
  if (name === "") reader.fail("no name", "the name of a value");
  return { name, ...type };
}

function readType(reader: Reader<typeof schema.TYPE>): Pick<OnnxValue, "dtype" | "shape"> {
  let [type, shape] = [0, undefined as (number | string)[] | undefined];
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field !== "tensor_type") throw reader.unsupported(field.replace("_type", ""), "a tensor");
    reader.message(schema.TENSOR_TYPE, (tensor) => {
      for (let part = tensor.next(); part !== undefined; part = tensor.next()) {
        if (part === "elem_type") type = tensor.whole(0, MAX_INT32);
        else shape = tensor.message(schema.SHAPE, readShape);
      }
    });
  }
  if (type === 0) return { dtype: undefined, shape };
  const [typeName = `type ${type}`, dtype] = schema.DATA_TYPES[type] ?? [];
  if (dtype === undefined) throw reader.unsupported(typeName, "real numbers of whole bytes");
  return { dtype, shape };
}

function readShape(reader: Reader<typeof schema.SHAPE>): (number | string)[] {
  const shape: (number | string)[] = [];
  while (reader.next() !== undefined) {
    if (shape.length === MAX_RANK) reader.fail("more axes", `at most ${MAX_RANK}`);
    shape.push(reader.message(schema.DIMENSION, readDimension, shape.length));
  }
  return shape;
}

/** An axis without a number, or with one below 0 as some writers have it, is open. */
function readDimension(reader: Reader<typeof schema.DIMENSION>): number | string {
  let axis: number | string = "";
  for (let field = reader.next(); field !== undefined; field = reader.next()) {
    if (field === "dim_param") axis = reader.string();
    else {
      const size = reader.int64();
      if (size > Number.MAX_SAFE_INTEGER) reader.fail(`${size}`, "at most 2^53 - 1");
      axis = size < 0 ? "" : size;
    }
  }
  return axis;
}
