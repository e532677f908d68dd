// What an ONNX file says, as plain records. Names from files are keys of Maps only.

import type { ElementData, ElementType } from "../../base/element.js";

/** The producer of the files that this package writes. */
export const PRODUCER = "wasm-rnn";

/** Numbers in a shape: an initializer, or a constant of a node. */
export interface OnnxTensor {
  /** "" where the file gives none. */
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Row-major; f16 and bf16 are bits, bool is 0 or 1. */
  readonly data: ElementData;
}

/** An attribute of a node. Whole numbers beyond 2^53 are the nearest double. */
export type OnnxAttribute =
  | { readonly type: "float" | "int"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "tensor"; readonly value: OnnxTensor }
  | { readonly type: "graph"; readonly value: OnnxGraph }
  | { readonly type: "floats" | "ints"; readonly value: readonly number[] }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "tensors"; readonly value: readonly OnnxTensor[] }
  | { readonly type: "graphs"; readonly value: readonly OnnxGraph[] }
  | OnnxReference;

/** In a function: the attribute of that name of the node that calls it. */
export interface OnnxReference {
  readonly type: "reference";
  readonly value: string;
  /** The type of the attribute, where the file says it. */
  readonly of: Exclude<OnnxAttribute["type"], "reference"> | undefined;
}

/** A call of an operator or function. */
export interface OnnxNode {
  /** "" where the file gives none. */
  readonly name: string;
  readonly opType: string;
  /** "" is ONNX's own domain. */
  readonly domain: string;
  /** Names of values; "" is an absent one. */
  readonly inputs: readonly string[];
  /** Names of values; "" is one that is not wanted. */
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

/** An input or output of a graph. */
export interface OnnxValue {
  readonly name: string;
  /** undefined where the file does not say it, as in a graph within a node. */
  readonly dtype: ElementType | undefined;
  /** For an open axis its name, or "" where it has none; undefined where not even the rank is known. */
  readonly shape: readonly (number | string)[] | undefined;
}

/** A graph: of the model, or of a branch or loop within a node. */
export interface OnnxGraph {
  readonly name: string;
  /** In the file's order. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** A function of the model: an operator that is made of others. */
export interface OnnxFunction {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The attributes that a call may give, with their defaults; undefined where there is none. */
  readonly attributes: ReadonlyMap<string, OnnxAttribute | undefined>;
  readonly nodes: readonly OnnxNode[];
  /** Versions of the operators by domain, as of a model. */
  readonly opsets: ReadonlyMap<string, number>;
}

/** A whole file. */
export interface OnnxModel {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  readonly domain: string;
  readonly modelVersion: number;
  readonly docString: string;
  /** Versions of the operators by domain; "" is ONNX's own. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: OnnxGraph;
  readonly functions: readonly OnnxFunction[];
  readonly metadata: ReadonlyMap<string, string>;
}
