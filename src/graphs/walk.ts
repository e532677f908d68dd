// Runs the nodes of an ONNX graph, in their order, through a builder.

import { FormatError, show, UnsupportedError } from "../../bindings/errors.js";
import type { ElementType } from "../base/element.js";
import {
  PRODUCER,
  type OnnxAttribute,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
} from "../formats/onnx/model.js";
import { located, type Builder } from "./builder.js";
import { Node, type Operator, type Surroundings } from "./node.js";
import { operators } from "./operators/index.js";
import type { Value } from "./value.js";

const MAIN = "";

/** The newest version of the operators. Those before 7 are read as 7, from which most do not differ. */
const NEWEST = 22;

const domainOf = ({ domain }: { readonly domain: string }) => (domain === "ai.onnx" ? MAIN : domain);
const functionKey = (domain: string, name: string) => `${domain}:${name}`;

/** A model whose nodes are known. */
export interface Program {
  readonly graph: OnnxGraph;
  readonly opset: number;
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  /** Whether `toOnnx` wrote it. */
  readonly own: boolean;
}

function operatorOf(opType: string): Operator | undefined {
  return Object.hasOwn(operators, opType) ? operators[opType] : undefined;
}

function opsetOf(opsets: ReadonlyMap<string, number>): number {
  return opsets.get("") ?? opsets.get("ai.onnx") ?? NEWEST;
}

/**
 * Checks a model's structure: operators and attributes are known, and each name is given before it is used.
 *
 * @throws UnsupportedError naming all that is not supported; FormatError
 */
export function checkModel(model: OnnxModel): Program {
  const unsupported = unsupportedIn(model);
  if (unsupported.length > 0) {
    throw new UnsupportedError("model", unsupported.join("; "), "those of the guide on ONNX");
  }
  const functions = new Map(model.functions.map((each) => [functionKey(domainOf(each), each.name), each]));
  checkDepth(functions);
  checkNames(model.graph);
  for (const each of model.functions) {
    checkNodes(each.nodes, new Names(each.inputs), each.outputs, `function ${each.name}`);
  }
  return { graph: model.graph, opset: opsetOf(model.opsets), functions, own: model.producerName === PRODUCER };
}

/** What of a model is not supported; nodes are named. */
export function unsupportedIn(model: OnnxModel): string[] {
  const found: string[] = [];
  const opset = opsetOf(model.opsets);
  const functions = new Set(model.functions.map((each) => functionKey(domainOf(each), each.name)));
  const check = (nodes: readonly OnnxNode[], version: number): void => {
    for (const node of nodes) {
      const domain = domainOf(node);
      const where = `node ${show(node.name || node.outputs[0] || "")}: ${show(domain === MAIN ? node.opType : `${domain}.${node.opType}`)}`;
      if (!functions.has(functionKey(domain, node.opType))) {
        const known = domain === MAIN ? operatorOf(node.opType) : undefined;
        if (!known) found.push(`${where} (opset ${version})`);
        else {
          for (const name of node.attributes.keys()) {
            if (!known.attributes.includes(name)) found.push(`${where}, attribute ${show(name)} (opset ${version})`);
          }
        }
      }
      for (const attribute of node.attributes.values()) {
        if (attribute.type === "graph") check(attribute.value.nodes, version);
        if (attribute.type === "graphs") for (const each of attribute.value) check(each.nodes, version);
      }
    }
  };
  if (opset > NEWEST) found.push(`opset ${opset} (up to ${NEWEST} is supported)`);
  check(model.graph.nodes, opset);
  for (const each of model.functions) check(each.nodes, opsetOf(each.opsets));
  return found;
}

/** Names that are given in a graph, and in those around it. */
class Names {
  readonly #own: Set<string>;

  constructor(
    own: readonly string[],
    readonly around?: Names,
  ) {
    this.#own = new Set(own);
  }

  add(name: string): void {
    this.#own.add(name);
  }

  has(name: string): boolean {
    return this.#own.has(name) || (this.around?.has(name) ?? false);
  }
}

function checkNames(graph: OnnxGraph, around?: Names): void {
  const names = new Names([...graph.inputs.map(({ name }) => name), ...graph.initializers.keys()], around);
  checkNodes(graph.nodes, names, graph.outputs.map(({ name }) => name), `graph ${graph.name}`); // prettier-ignore
}

function checkNodes(nodes: readonly OnnxNode[], names: Names, outputs: readonly string[], where: string): void {
  for (const node of nodes) {
    for (const input of node.inputs) {
      if (input !== "" && !names.has(input)) {
        throw new FormatError(nameOf(node), `input "${input}"`, "a name that is given before it");
      }
    }
    for (const attribute of node.attributes.values()) {
      if (attribute.type === "graph") checkNames(attribute.value, names);
    }
    for (const output of node.outputs) if (output !== "") names.add(output);
  }
  for (const output of outputs) {
    if (!names.has(output)) throw new FormatError(where, `output "${output}"`, "the output of a node");
  }
}

/** The most functions that are called one within the other. */
const MAX_DEPTH = 50;

/** Refuses functions that call themselves, or others too deep down. */
function checkDepth(functions: ReadonlyMap<string, OnnxFunction>): void {
  const depths = new Map<string, number>();
  const depthOf = (key: string, way: readonly string[]): number => {
    const known = depths.get(key);
    if (known !== undefined) return known;
    if (way.includes(key)) throw new FormatError(`function ${key}`, "a call of itself", "functions without recursion");
    const within = [...way, key];
    const deepest = (nodes: readonly OnnxNode[]): number => {
      let most = 0;
      for (const node of nodes) {
        const target = functionKey(domainOf(node), node.opType);
        if (functions.has(target)) most = Math.max(most, depthOf(target, within));
        for (const { type, value } of node.attributes.values()) {
          if (type === "graph") most = Math.max(most, deepest(value.nodes));
        }
      }
      return most;
    };
    const depth = way.length < MAX_DEPTH ? 1 + deepest(functions.get(key)!.nodes) : Infinity;
    if (depth > MAX_DEPTH) throw new UnsupportedError(`function ${key}`, "calls that are nested deeper", `at most ${MAX_DEPTH} functions`); // prettier-ignore
    depths.set(key, depth);
    return depth;
  };
  for (const key of functions.keys()) depthOf(key, []);
}

/** The values of a graph by name, and those of the graphs around it. */
class Scope {
  readonly #values = new Map<string, Value>();

  constructor(readonly around?: Scope) {}

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  get(name: string): Value | undefined {
    return this.#values.get(name) ?? this.around?.get(name);
  }
}

/** What a run of a graph needs beside the graph. */
export interface Run {
  readonly builder: Builder;
  readonly program: Program;
  /** The value of a tensor in the file. */
  tensor(tensor: OnnxTensor): Value;
  /** The type in which numbers of a type are computed. */
  computed(dtype: ElementType): ElementType;
}

/** Computes the outputs of the main graph. */
export function walk(run: Run, feeds: ReadonlyMap<string, Value>): readonly Value[] {
  const scope = new Scope();
  for (const [name, tensor] of run.program.graph.initializers) scope.set(name, run.tensor(tensor));
  for (const [name, value] of feeds) scope.set(name, value);
  return walkNodes(run, run.program.graph.nodes, run.program.graph.outputs.map(({ name }) => name), scope, run.program.opset, NONE); // prettier-ignore
}

const NONE: ReadonlyMap<string, OnnxAttribute> = new Map();

function walkNodes(
  run: Run,
  nodes: readonly OnnxNode[],
  outputs: readonly string[],
  scope: Scope,
  opset: number,
  given: ReadonlyMap<string, OnnxAttribute>,
): readonly Value[] {
  const surroundings: Surroundings = {
    builder: run.builder,
    own: run.program.own,
    tensor: (tensor) => run.tensor(tensor),
    computed: (dtype) => run.computed(dtype),
    graph(graph, inputs) {
      const own = new Scope(scope);
      for (const [name, tensor] of graph.initializers) own.set(name, run.tensor(tensor));
      graph.inputs.forEach(({ name }, i) => {
        if (inputs[i]) own.set(name, inputs[i]);
      });
      return walkNodes(run, graph.nodes, graph.outputs.map(({ name }) => name), own, opset, given); // prettier-ignore
    },
  };
  for (const node of nodes) {
    run.builder.count();
    const inputs = node.inputs.map((name) => (name === "" ? undefined : scope.get(name)));
    const called = run.program.functions.get(functionKey(domainOf(node), node.opType));
    const attributes = resolve(node.attributes, given);
    let results: readonly (Value | undefined)[];
    if (called) results = callFunction(run, called, inputs, attributes);
    else
      results = computeNode(
        new Node(surroundings, node.opType, opset, inputs, node.outputs, attributes),
        node,
        nameOf(node),
      );
    node.outputs.forEach((name, i) => {
      if (name === "") return;
      const value = results[i];
      if (!value) throw new FormatError(nameOf(node), `output "${name}"`, `at most ${results.length} outputs`);
      scope.set(name, value);
    });
  }
  return outputs.map((name) => {
    const value = scope.get(name);
    if (!value) throw new FormatError(`output "${name}"`, "an input that was left out", "a tensor");
    return value;
  });
}

/** Attributes, with those of the function around for references. */
function resolve(
  attributes: ReadonlyMap<string, OnnxAttribute>,
  given: ReadonlyMap<string, OnnxAttribute>,
): ReadonlyMap<string, OnnxAttribute> {
  if (![...attributes.values()].some(({ type }) => type === "reference")) return attributes;
  const resolved = new Map<string, OnnxAttribute>();
  for (const [name, attribute] of attributes) {
    const value = attribute.type === "reference" ? given.get(attribute.value) : attribute;
    if (value) resolved.set(name, value);
  }
  return resolved;
}

function callFunction(
  run: Run,
  called: OnnxFunction,
  inputs: readonly (Value | undefined)[],
  attributes: ReadonlyMap<string, OnnxAttribute>,
): readonly Value[] {
  const scope = new Scope();
  called.inputs.forEach((name, i) => {
    if (inputs[i]) scope.set(name, inputs[i]);
  });
  const given = new Map(attributes);
  for (const [name, otherwise] of called.attributes) if (otherwise && !given.has(name)) given.set(name, otherwise);
  return walkNodes(run, called.nodes, called.outputs, scope, opsetOf(called.opsets), given);
}

function nameOf({ name, opType, outputs }: OnnxNode): string {
  return `node ${name || outputs[0] || ""} (${opType})`;
}

/** Computes a node; errors name it. */
function computeNode(node: Node, { opType }: OnnxNode, where: string): readonly (Value | undefined)[] {
  const { builder } = node;
  const around = builder.where;
  builder.where = where;
  try {
    const results = operatorOf(opType)!.compute(node, builder);
    return Array.isArray(results) ? (results as readonly (Value | undefined)[]) : [results as Value];
  } catch (error) {
    throw located(where, error);
  } finally {
    builder.where = around;
  }
}
