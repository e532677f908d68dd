// The messages of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): the numbers of the fields that are
// read or refused by name. Other fields are skipped.

import type { ElementType } from "../../base/element.js";

/** The fields of a message: its numbers by name. */
export type Schema<Field extends string = string> = Readonly<Record<Field, number>>;

export const MODEL = {
  ir_version: 1,
  producer_name: 2,
  producer_version: 3,
  domain: 4,
  model_version: 5,
  doc_string: 6,
  graph: 7,
  opset_import: 8,
  metadata_props: 14,
  training_info: 20,
  functions: 25,
} as const;

export const OPERATOR_SET = { domain: 1, version: 2 } as const;

export const STRING_ENTRY = { key: 1, value: 2 } as const;

export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, sparse_initializer: 15 } as const;

export const NODE = { input: 1, output: 2, name: 3, op_type: 4, attribute: 5, domain: 7, overload: 8 } as const;

export const ATTRIBUTE = {
  name: 1,
  f: 2,
  i: 3,
  s: 4,
  t: 5,
  g: 6,
  floats: 7,
  ints: 8,
  strings: 9,
  tensors: 10,
  graphs: 11,
  tp: 14,
  type_protos: 15,
  type: 20,
  ref_attr_name: 21,
  sparse_tensor: 22,
  sparse_tensors: 23,
} as const;

export const TENSOR = {
  dims: 1,
  data_type: 2,
  segment: 3,
  float_data: 4,
  int32_data: 5,
  string_data: 6,
  int64_data: 7,
  name: 8,
  raw_data: 9,
  double_data: 10,
  uint64_data: 11,
  external_data: 13,
  data_location: 14,
} as const;

export const VALUE = { name: 1, type: 2 } as const;

export const TYPE = {
  tensor_type: 1,
  sequence_type: 4,
  map_type: 5,
  opaque_type: 7,
  sparse_tensor_type: 8,
  optional_type: 9,
} as const;

export const TENSOR_TYPE = { elem_type: 1, shape: 2 } as const;

export const SHAPE = { dim: 1 } as const;

export const DIMENSION = { dim_value: 1, dim_param: 2 } as const;

export const FUNCTION = {
  name: 1,
  input: 4,
  output: 5,
  attribute: 6,
  node: 7,
  opset_import: 9,
  domain: 10,
  attribute_proto: 11,
  overload: 13,
} as const;

/** TensorProto.DataType by number, and the types that are read. */
export const DATA_TYPES: readonly (readonly [name: string, dtype?: ElementType])[] = [
  ["UNDEFINED"],
  ["FLOAT", "f32"],
  ["UINT8", "u8"],
  ["INT8", "i8"],
  ["UINT16", "u16"],
  ["INT16", "i16"],
  ["INT32", "i32"],
  ["INT64", "i64"],
  ["STRING"],
  ["BOOL", "bool"],
  ["FLOAT16", "f16"],
  ["DOUBLE", "f64"],
  ["UINT32", "u32"],
  ["UINT64", "u64"],
  ["COMPLEX64"],
  ["COMPLEX128"],
  ["BFLOAT16", "bf16"],
];

/** AttributeProto.AttributeType by number from 1 on, and the field that holds the value. */
export const ATTRIBUTE_TYPES = [
  ["float", "f"],
  ["int", "i"],
  ["string", "s"],
  ["tensor", "t"],
  ["graph", "g"],
  ["floats", "floats"],
  ["ints", "ints"],
  ["strings", "strings"],
  ["tensors", "tensors"],
  ["graphs", "graphs"],
] as const;
