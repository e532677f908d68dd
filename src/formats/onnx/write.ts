// Writes the records of model.ts as ONNX files, so that reading gives equal records.

import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "./model.js";
import { MessageWriter } from "./protobuf-writer.js";
import * as schema from "./schema.js";

/** Writes a model. */
export function writeOnnx(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter(schema.MODEL);
  writer.int("ir_version", model.irVersion);
  writer.text("producer_name", model.producerName);
  writer.text("producer_version", model.producerVersion);
  writer.text("domain", model.domain);
  if (model.modelVersion !== 0) writer.int("model_version", model.modelVersion);
  writer.text("doc_string", model.docString);
  writer.message("graph", schema.GRAPH, (each) => writeGraph(each, model.graph));
  writeOpsets(writer, model.opsets);
  for (const [key, value] of model.metadata) {
    writer.message("metadata_props", schema.STRING_ENTRY, (entry) => {
      entry.text("key", key);
      entry.text("value", value);
    });
  }
  for (const each of model.functions) {
    writer.message("functions", schema.FUNCTION, (inner) => writeFunction(inner, each));
  }
  return writer.finish();
}

function writeOpsets(writer: MessageWriter<"opset_import">, opsets: ReadonlyMap<string, number>): void {
  for (const [domain, version] of opsets) {
    writer.message("opset_import", schema.OPERATOR_SET, (each) => {
      each.text("domain", domain);
      each.int("version", version);
    });
  }
}

function writeFunction(writer: MessageWriter<keyof typeof schema.FUNCTION>, each: OnnxFunction): void {
  writer.text("name", each.name);
  writer.texts("input", each.inputs);
  writer.texts("output", each.outputs);
  for (const [name, value] of each.attributes) {
    if (value === undefined) writer.texts("attribute", [name]);
    else writeAttribute(writer, "attribute_proto", name, value);
  }
  for (const node of each.nodes) writer.message("node", schema.NODE, (inner) => writeNode(inner, node));
  writeOpsets(writer, each.opsets);
  writer.text("domain", each.domain);
}

function writeGraph(writer: MessageWriter<keyof typeof schema.GRAPH>, graph: OnnxGraph): void {
  for (const node of graph.nodes) writer.message("node", schema.NODE, (each) => writeNode(each, node));
  writer.text("name", graph.name);
  for (const tensor of graph.initializers.values()) writeTensor(writer, "initializer", tensor);
  for (const value of graph.inputs) writer.message("input", schema.VALUE, (each) => writeValue(each, value));
  for (const value of graph.outputs) writer.message("output", schema.VALUE, (each) => writeValue(each, value));
}

function writeNode(writer: MessageWriter<keyof typeof schema.NODE>, node: OnnxNode): void {
  writer.texts("input", node.inputs);
  writer.texts("output", node.outputs);
  writer.text("name", node.name);
  writer.text("op_type", node.opType);
  for (const [name, value] of node.attributes) writeAttribute(writer, "attribute", name, value);
  writer.text("domain", node.domain);
}

function writeAttribute<F extends string>(
  outer: MessageWriter<F>,
  field: F,
  name: string,
  attribute: OnnxAttribute,
): void {
  outer.message(field, schema.ATTRIBUTE, (writer) => {
    writer.text("name", name);
    const { type, value } = attribute;
    if (type === "float") writer.floats("f", [value]);
    else if (type === "int") writer.int("i", value);
    else if (type === "string") writer.texts("s", [value]);
    else if (type === "tensor") writeTensor(writer, "t", value);
    else if (type === "graph") writer.message("g", schema.GRAPH, (each) => writeGraph(each, value));
    else if (type === "floats") writer.floats("floats", value);
    else if (type === "ints") for (const each of value) writer.int("ints", each);
    else if (type === "strings") writer.texts("strings", value);
    else if (type === "tensors") for (const each of value) writeTensor(writer, "tensors", each);
    else if (type === "graphs") {
      for (const each of value) writer.message("graphs", schema.GRAPH, (inner) => writeGraph(inner, each));
    }
    const kind = type === "reference" ? attribute.of : type;
    const code = schema.ATTRIBUTE_TYPES.findIndex(([each]) => each === kind) + 1;
    if (code > 0) writer.int("type", code);
    if (type === "reference") writer.text("ref_attr_name", value);
  });
}

function writeTensor<F extends string>(outer: MessageWriter<F>, field: F, tensor: OnnxTensor): void {
  outer.message(field, schema.TENSOR, (writer) => {
    const { name, dtype, shape, data } = tensor;
    for (const size of shape) writer.int("dims", size);
    writer.int("data_type", codeOf(dtype));
    writer.text("name", name);
    writer.bytes("raw_data", new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  });
}

function codeOf(dtype: OnnxTensor["dtype"]): number {
  return schema.DATA_TYPES.findIndex(([, each]) => each === dtype);
}

function writeValue(writer: MessageWriter<keyof typeof schema.VALUE>, { name, dtype, shape }: OnnxValue): void {
  writer.text("name", name);
  if (dtype === undefined && shape === undefined) return;
  writer.message("type", schema.TYPE, (type) => {
    type.message("tensor_type", schema.TENSOR_TYPE, (tensor) => {
      if (dtype !== undefined) tensor.int("elem_type", codeOf(dtype));
      if (shape === undefined) return;
      tensor.message("shape", schema.SHAPE, (axes) => {
        for (const axis of shape) {
          axes.message("dim", schema.DIMENSION, (each) => {
            if (typeof axis === "number") each.int("dim_value", axis);
            else each.text("dim_param", axis);
          });
        }
      });
    });
  });
}
