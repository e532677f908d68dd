// ONNX files for the fuzzer: small ones of its own, and ONNX's operator tests and real models where they are (OPERATORS_DIR,
// MODELS_DIR). They are mutated as trees of fields, so that most changes reach the inside of the reader.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fromSource, root } from "./subject.mjs";

export const { readOnnx, readTensorProto } = await fromSource("src/formats/onnx/read.ts");
export const { writeOnnx } = await fromSource("src/formats/onnx/write.ts");
const { ELEMENT_ARRAYS } = await fromSource("src/base/element.ts");

// --- files -------------------------------------------------------------------------------------------------------------

/** Paths of the files of others, the same at each start. */
export const others = ["OPERATORS_DIR", "MODELS_DIR"].flatMap((variable, i) => {
  const folder = resolve(root, process.env[variable] ?? ["../shared/onnx-node", "../shared/models"][i]);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder, { recursive: true }).filter((path) => path.endsWith(".onnx"));
  return files.sort().map((path) => join(folder, path));
});

const NAMES = ["x", "y", "w", "", "__proto__", "constructor", "\u00e9\u{1f600}"];

function tensor(r, name = "") {
  const dtype = r.pick(Object.keys(ELEMENT_ARRAYS));
  const shape = Array.from({ length: r.int(4) }, () => r.int(4));
  const data = new ELEMENT_ARRAYS[dtype](shape.reduce((a, b) => a * b, 1));
  const bits = new Uint8Array(data.buffer);
  for (let i = 0; i < bits.length; i++) bits[i] = dtype === "bool" ? r.int(2) : r.int(256);
  return { name, dtype, shape, data };
}

const names = (r) => Array.from({ length: r.int(4) }, () => r.pick(NAMES));

function attribute(r, depth, inFunction) {
  const number = () => r.pick([0, 1, -1, 127, 128, 2 ** 31, 2 ** 53 - 1, -(2 ** 63), 2 ** 63, r.int(1000)]);
  const float = () => Math.fround(r.pick([0, -0, 0.1, 1e-45, Infinity, r.real()]));
  const list = (make) => Array.from({ length: r.int(3) }, make);
  const graphs = depth > 0 && [
    () => ({ type: "graph", value: graph(r, depth - 1, inFunction) }),
    () => ({ type: "graphs", value: list(() => graph(r, depth - 1, inFunction)) }),
  ];
  const references = inFunction && [
    () => ({ type: "reference", value: "given", of: r.pick([undefined, "int", "tensor"]) }),
  ];
  return r.one(
    () => ({ type: "float", value: float() }),
    () => ({ type: "int", value: number() }),
    () => ({ type: "string", value: r.pick(NAMES) }),
    () => ({ type: "tensor", value: tensor(r) }),
    () => ({ type: "floats", value: list(float) }),
    () => ({ type: "ints", value: list(number) }),
    () => ({ type: "strings", value: names(r) }),
    () => ({ type: "tensors", value: list(() => tensor(r)) }),
    ...(graphs || []),
    ...(references || []),
  );
}

function node(r, depth, inFunction) {
  const attributes = Array.from({ length: r.int(3) }, (_, i) => [`a${i}`, attribute(r, depth, inFunction)]);
  const opType = r.pick(["Add", "Loop", "If", "LSTM", "Reshape"]);
  const domain = r.pick(["", "", "my.domain"]);
  return { name: r.pick(NAMES), opType, domain, inputs: names(r), outputs: names(r), attributes: new Map(attributes) };
}

function value(r) {
  const dtype = r.pick([undefined, ...Object.keys(ELEMENT_ARRAYS)]);
  const shape = r.pick([undefined, Array.from({ length: r.int(4) }, () => r.pick(["N", "", 0, 1, 7, 2 ** 40]))]);
  return { name: r.pick(["x", "y", "__proto__"]), dtype, shape };
}

function graph(r, depth, inFunction = false) {
  const list = (most, make) => Array.from({ length: r.int(most) }, make);
  const initializers = ["w", "__proto__", "x"].slice(r.int(4)).map((name) => [name, tensor(r, name)]);
  return {
    name: r.pick(NAMES),
    nodes: list(4, () => node(r, depth, inFunction)),
    initializers: new Map(initializers),
    inputs: list(3, () => value(r)),
    outputs: list(3, () => value(r)),
  };
}

/** A model with a little of everything that the format can say. */
function ownModel(r) {
  const opsets = new Map([["", r.range(1, 22)]]);
  const functions = Array.from({ length: r.int(3) }, () => ({
    name: "F",
    domain: "my.domain",
    inputs: names(r),
    outputs: names(r),
    attributes: new Map([
      ["needed", undefined],
      ["given", attribute(r, 1, false)],
    ]),
    nodes: [node(r, 1, true)],
    opsets,
  }));
  return {
    irVersion: r.range(1, 12),
    producerName: r.pick(NAMES),
    producerVersion: "",
    domain: "",
    modelVersion: r.pick([0, -1, 2 ** 53]),
    docString: r.pick(NAMES),
    opsets,
    graph: graph(r, 3),
    functions,
    metadata: new Map(r.bool() ? [["__proto__", "v"]] : []),
  };
}

/** The bytes of a valid file. */
export function onnxFile(r) {
  return others.length > 0 && r.bool() ? new Uint8Array(readFileSync(r.pick(others))) : writeOnnx(ownModel(r));
}

// --- trees of fields ---------------------------------------------------------------------------------------------------

/** Which fields of a message are messages, by number: onnx.proto. */
const DIMENSION = {};
const TENSOR = { 13: {} };
const TYPE = { 1: { 2: { 1: DIMENSION } } };
const VALUE = { 2: TYPE };
const ATTRIBUTE = { 5: TENSOR, 10: TENSOR };
const NODE = { 5: ATTRIBUTE };
const GRAPH = { 1: NODE, 5: TENSOR, 11: VALUE, 12: VALUE };
Object.assign(ATTRIBUTE, { 6: GRAPH, 11: GRAPH });
const MODEL = { 7: GRAPH, 8: {}, 14: {}, 25: { 7: NODE, 9: {}, 11: ATTRIBUTE } };

/** The fields of a valid message: { number, wire, value }, whose value is a bigint, bytes, or the fields of a message. */
function fieldsOf(bytes, messages) {
  let at = 0;
  const varint = () => {
    let number = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      number |= BigInt(byte & 127) << shift;
      if (byte < 128) return number;
    }
  };
  const take = (size) => bytes.subarray(at, (at += size));
  const fields = [];
  while (at < bytes.length) {
    const tag = Number(varint());
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint()));
    fields.push({ number, wire, value: wire === 2 && messages[number] ? fieldsOf(value, messages[number]) : value });
  }
  return fields;
}

function varintBytes(number) {
  let rest = BigInt.asUintN(64, number);
  const bytes = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

function encode(fields) {
  const parts = fields.flatMap(({ number, wire, value, lie = 0 }) => {
    const tag = varintBytes(BigInt(number * 8 + wire));
    if (typeof value === "bigint") return [tag, varintBytes(value)];
    const bytes = Array.isArray(value) ? encode(value) : value;
    return wire === 2 ? [tag, varintBytes(BigInt(bytes.length + lie)), bytes] : [tag, bytes];
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** All fields of a tree: [the list that holds it, its index]. */
function places(fields, found = []) {
  fields.forEach((field, i) => {
    found.push([fields, i]);
    if (Array.isArray(field.value)) places(field.value, found);
  });
  return found;
}

const NUMBERS = [0n, 1n, 2n, 3n, 7n, 8n, 16n, 127n, 128n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 62n, 2n ** 63n, -1n];

function mutateField(r, all) {
  const [list, i] = r.pick(all);
  const field = list[i];
  if (field === undefined) return; // taken away by an earlier mutation
  const [otherList, other] = r.pick(all);
  const { value } = field;
  const change = (more) => (list[i] = { ...field, ...more });
  // a message must not come into itself
  const flat = (each) => ({ ...each, value: Array.isArray(each.value) ? encode(each.value) : each.value });
  r.one(
    () => list.splice(i, 1),
    () => list.splice(i, 0, flat(field)),
    () => otherList[other] && change({ ...flat(otherList[other]), number: field.number }),
    () => otherList.splice(other, 0, flat(field)),
    () => change({ number: r.pick([0, 1, 2, 3, 4, 5, 7, 9, 14, 20, 21, 99, 2 ** 29]) }),
    () => change({ wire: r.int(8) }),
    () => change({ lie: r.pick([1, -1, 5, 2 ** 31, 2 ** 40, 2 ** 53]) }),
    () => change({ wire: 0, value: r.pick(NUMBERS) }),
    () => typeof value === "bigint" && change({ value: r.pick([...NUMBERS, value + 1n, value - 1n, -value]) }),
    () => typeof value === "bigint" && change({ value: r.pick([...NUMBERS, value + 1n, value - 1n, -value]) }),
    () => value instanceof Uint8Array && change({ value: value.subarray(0, r.int(value.length + 1)) }),
    () => value instanceof Uint8Array && change({ value: Uint8Array.of(...value.subarray(0, 99), r.int(256)) }),
    () => value instanceof Uint8Array && value.length > 0 && change({ value: flipped(r, value) }),
    () => Array.isArray(value) && change({ value: [...value].reverse() }),
    () => Array.isArray(value) && change({ value: nested(r) }),
  );
}

function flipped(r, bytes) {
  const copy = bytes.slice();
  copy[r.int(copy.length)] ^= 1 << r.int(8);
  return copy;
}

/** A graph in a node of a graph and so on. */
function nested(r) {
  const text = (number, value) => ({ number, wire: 2, value: Buffer.from(value) });
  let graph = new Uint8Array(0);
  for (let depth = r.pick([2, 32, 33, 2000]); depth > 0; depth--) {
    const branch = [text(1, "then_branch"), { number: 6, wire: 2, value: graph }];
    graph = encode([{ number: 1, wire: 2, value: [text(4, "If"), { number: 5, wire: 2, value: branch }] }]);
  }
  return graph;
}

/** A file that is changed some times. */
export function mutateOnnx(r, bytes) {
  const fields = fieldsOf(bytes, MODEL);
  for (let count = r.pick([0, 1, 1, 1, 2, 3]); count > 0; count--) mutateField(r, places(fields));
  const mutated = encode(fields);
  return r.one(
    () => mutated,
    () => mutated,
    () => mutated,
    () => mutated.subarray(0, r.int(mutated.length + 1)),
    () => (mutated.length > 0 ? flipped(r, mutated) : mutated),
  );
}
