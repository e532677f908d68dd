// Models for the fuzzer's calls of fromOnnx and of what it returns: small graphs of its own, whose shapes it knows, and ONNX's
// operator tests and real models where they are. They are mutated as records, so that most changes reach the operators.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { floats } from "./generators.mjs";
import { mutateOnnx, others, readOnnx, readTensorProto, writeOnnx } from "./onnx.mjs";
import { entries, fromSource, W } from "./subject.mjs";

const { operators } = await fromSource("src/graphs/operators/index.ts");
const { ELEMENT_ARRAYS } = await fromSource("src/base/element.ts");
const NAMES = Object.keys(operators);
const DTYPES = Object.keys(ELEMENT_ARRAYS);

const product = (shape) => shape.reduce((a, b) => a * b, 1);
const small = (r) => r.range(1, 4);

// --- records -----------------------------------------------------------------------------------------------------------

function arrayOf(dtype, numbers) {
  const data = new ELEMENT_ARRAYS[dtype](numbers.length);
  const wide = dtype === "i64" || dtype === "u64";
  numbers.forEach((each, i) => (data[i] = wide ? BigInt(Math.trunc(Number(each)) || 0) : Number(each)));
  return data;
}

const tensor = (dtype, shape, numbers, name = "") => ({ name, dtype, shape, data: arrayOf(dtype, numbers) });

/** Random numbers of a type: small whole ones for integers. */
function numbers(r, dtype, size) {
  const half = { f16: 0x3c00, bf16: 0x3f80 }[dtype];
  if (half) return Array.from({ length: size }, () => half + r.int(64));
  if (dtype === "bool") return Array.from({ length: size }, () => r.int(2));
  return dtype[0] === "f" ? [...floats(r, dtype, size)] : Array.from({ length: size }, () => r.int(4));
}

function attributeOf(value) {
  if (typeof value === "number") return { type: Number.isInteger(value) ? "int" : "float", value };
  if (typeof value === "string") return { type: "string", value };
  if (Array.isArray(value)) {
    const type = typeof value[0] === "string" ? "strings" : value.every(Number.isInteger) ? "ints" : "floats";
    return { type, value };
  }
  if (value.nodes) return { type: "graph", value };
  return value.dtype ? { type: "tensor", value } : value;
}

function node(opType, inputs, outputs, attributes = {}, domain = "") {
  const all = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return {
    name: "",
    opType,
    domain,
    inputs,
    outputs,
    attributes: new Map(all.map(([key, each]) => [key, attributeOf(each)])),
  };
}

const graphOf = (nodes, inputs, outputs, initializers = new Map()) => ({
  name: "g",
  nodes,
  initializers,
  inputs,
  outputs,
});
const valueOf = (name, dtype, shape) => ({ name, dtype, shape });
const scalar = (dtype, number) => tensor(dtype, [], [number]);

// --- graphs of the fuzzer's own ----------------------------------------------------------------------------------------

/** A graph while it is made: values of known types and shapes, of which every node makes more. */
class Sketch {
  nodes = [];
  initializers = new Map();
  inputs = [];
  feeds = {};
  functions = [];
  values = [];
  #count = 0;

  constructor(r, opset, float) {
    this.r = r;
    this.opset = opset;
    this.float = float;
  }

  name() {
    return `v${this.#count++}`;
  }

  /** Remembers a value. */
  add(name, dtype, shape) {
    const value = { name, dtype, shape };
    this.values.push(value);
    return value;
  }

  input(dtype, shape, given) {
    const name = this.name();
    const open = shape.map((n) => (this.r.bool(0.3) ? this.r.pick(["N", ""]) : n));
    this.inputs.push(valueOf(name, dtype, this.r.bool(0.9) ? open : undefined));
    this.feeds[name] = { data: arrayOf(dtype, given ?? numbers(this.r, dtype, product(shape))), shape };
    return this.add(name, dtype, shape);
  }

  init(dtype, shape, given) {
    const name = this.name();
    this.initializers.set(name, tensor(dtype, shape, given ?? numbers(this.r, dtype, product(shape)), name));
    return { name, dtype, shape };
  }

  /** Integers as a tensor. */
  ints(...list) {
    return this.init("i64", [list.length], list);
  }

  /** A node with one result. */
  node(opType, inputs, shape, attributes, dtype = inputs[0]?.dtype) {
    const name = this.name();
    const names = inputs.map((each) => each?.name ?? "");
    this.nodes.push(node(opType, names, [name], attributes));
    return this.add(name, dtype, shape);
  }

  /** A value of floating point of some rank. */
  floats(least = 0, most = 9) {
    const fit = this.values.filter(({ dtype, shape: { length } }) => dtype === this.float && length >= least && length <= most); // prettier-ignore
    return fit.length > 0 ? this.r.pick(fit) : this.input(this.float, Array.from({ length: least }, () => small(this.r))); // prettier-ignore
  }
}

/** Each adds a node or a few; the operators that it needs are known by the nodes it has added. */
const RECIPES = {
  unary(s) {
    const x = s.floats();
    const names = ["Relu", "Sigmoid", "Tanh", "Neg", "Identity", "Abs", "Floor", "Erf", "Sin", "Cos", "Softplus", "HardSwish", "Elu", "LeakyRelu"]; // prettier-ignore
    s.node(s.r.pick(names), [x], x.shape);
  },
  positive(s) {
    const x = s.floats();
    const square = s.node("Mul", [x, x], x.shape);
    s.node("Sqrt", [square], x.shape);
  },
  binary(s) {
    const x = s.floats();
    const shape = x.shape.slice(s.r.int(x.shape.length + 1)).map((n) => (s.r.bool(0.3) ? 1 : n));
    const y = s.r.bool() ? s.init(s.float, shape) : s.input(s.float, shape);
    s.node(s.r.pick(["Add", "Sub", "Mul"]), s.r.bool() ? [x, y] : [y, x], x.shape, {}, s.float);
  },
  matMul(s) {
    const x = s.floats(2);
    const [k, n] = [x.shape.at(-1), small(s.r)];
    s.node("MatMul", [x, s.init(s.float, [k, n])], [...x.shape.slice(0, -1), n]);
  },
  gemm(s) {
    const x = s.floats(2, 2);
    const [m, k, n, transB] = [x.shape[0], x.shape[1], small(s.r), s.r.int(2)];
    const inputs = [x, s.init(s.float, transB ? [n, k] : [k, n]), s.init(s.float, [n])];
    s.node("Gemm", inputs, [m, n], { transB, alpha: 0.5 });
  },
  transpose(s) {
    const x = s.floats(1);
    s.node("Transpose", [x], [...x.shape].reverse());
  },
  reshape(s) {
    const x = s.floats();
    s.node("Reshape", [x, s.ints(-1)], [product(x.shape)]);
  },
  squeeze(s) {
    const x = s.floats();
    const wide = s.node("Unsqueeze", [x, s.ints(0)], [1, ...x.shape]);
    s.node("Squeeze", [wide, s.ints(0)], x.shape);
  },
  concat(s) {
    const x = s.floats(1);
    s.node("Concat", [x, x], [2 * x.shape[0], ...x.shape.slice(1)], { axis: 0 });
  },
  slice(s) {
    const x = s.floats(1);
    const [start, step] = s.r.pick([[0, 1], [-1, -1], [0, 2]]); // prettier-ignore
    const count = step === 2 ? Math.ceil(x.shape[0] / 2) : x.shape[0];
    const end = step < 0 ? -1000 : 1000;
    s.node("Slice", [x, s.ints(start), s.ints(end), s.ints(0), s.ints(step)], [count, ...x.shape.slice(1)]);
  },
  gather(s) {
    const x = s.floats(1);
    if (x.shape[0] === 0) return;
    const count = small(s.r);
    const list = Array.from({ length: count }, () => s.r.int(x.shape[0]));
    const at = s.r.bool() ? s.ints(...list) : s.input("i64", [count], list);
    s.node("Gather", [x, at], [count, ...x.shape.slice(1)], { axis: 0 });
  },
  split(s) {
    const x = s.floats(1);
    const [a, b] = [s.name(), s.name()];
    const first = s.r.range(0, x.shape[0]);
    const sizes = [first, x.shape[0] - first];
    s.nodes.push(node("Split", [x.name, s.ints(...sizes).name], [a, b], { axis: 0 }));
    [a, b].forEach((name, i) => s.add(name, x.dtype, [sizes[i], ...x.shape.slice(1)]));
  },
  pad(s) {
    const x = s.floats(1, 3);
    const pads = [...x.shape.map(() => s.r.int(2)), ...x.shape.map(() => s.r.int(2))];
    const shape = x.shape.map((n, i) => n + pads[i] + pads[x.shape.length + i]);
    const mode = shape.includes(0) || x.shape.some((n) => n < 2) ? "constant" : s.r.pick(["constant", "reflect", "edge"]); // prettier-ignore
    s.node("Pad", [x, s.ints(...pads)], shape, { mode });
  },
  expand(s) {
    const x = s.floats();
    s.node("Expand", [x, s.ints(2, ...x.shape)], [2, ...x.shape]);
  },
  tile(s) {
    const x = s.floats(1);
    s.node("Tile", [x, s.ints(...x.shape.map(() => 2))], x.shape.map((n) => 2 * n)); // prettier-ignore
  },
  where(s) {
    const x = s.floats();
    const flag = s.node("Greater", [x, s.init(s.float, [])], x.shape, {}, "bool");
    s.node("Where", [flag, x, s.init(s.float, [])], x.shape, {}, s.float);
  },
  reduce(s) {
    const x = s.floats(1);
    if (x.shape[0] === 0) return;
    s.node(s.r.pick(["ReduceMean", "ReduceMax", "ReduceSumSquare", "ReduceL2"]), [x], [1, ...x.shape.slice(1)], { axes: [0] }); // prettier-ignore
  },
  softmax(s) {
    const x = s.floats(1);
    s.node(s.r.pick(["Softmax", "LogSoftmax"]), [x], x.shape, { axis: -1 });
  },
  conv(s) {
    const [n, c, length, groups] = [small(s.r), 2 * small(s.r), s.r.range(3, 9), s.r.range(1, 2)];
    const rank = s.r.range(1, 2);
    const [k, stride, dilation] = [s.r.range(1, 2), s.r.range(1, 2), s.r.range(1, 2)];
    const x = s.input(s.float, [n, c, ...Array(rank).fill(length)]);
    const out = Math.floor((length - dilation * (k - 1) - 1) / stride) + 1;
    const w = s.init(s.float, [groups * 2, c / groups, ...Array(rank).fill(k)]);
    const attributes = { group: groups, strides: Array(rank).fill(stride), dilations: Array(rank).fill(dilation) };
    const y = s.node("Conv", [x, w, s.init(s.float, [groups * 2])], [n, groups * 2, ...Array(rank).fill(out)], attributes); // prettier-ignore
    if (s.r.bool(0.3)) {
      const parts = Array.from({ length: 4 }, () => s.init(s.float, [groups * 2], numbers(s.r, s.float, groups * 2).map(Math.abs))); // prettier-ignore
      s.node("BatchNormalization", [y, ...parts], y.shape);
    }
    if (s.r.bool(0.3)) {
      const shape = y.shape.map((size, i) => (i < 2 ? size : Math.max(0, size - 1)));
      if (out > 1) s.node(s.r.pick(["MaxPool", "AveragePool"]), [y], shape, { kernel_shape: Array(rank).fill(2) });
    }
  },
  convTranspose(s) {
    const [n, c, length, k] = [small(s.r), small(s.r), small(s.r), s.r.range(1, 3)];
    const x = s.input(s.float, [n, c, length]);
    s.node("ConvTranspose", [x, s.init(s.float, [c, 2, k])], [n, 2, (length - 1) * 2 + k], { strides: [2] });
  },
  recurrent(s) {
    const x = s.floats(3, 3);
    const [t, n, i] = x.shape;
    if (t === 0 || n === 0 || i === 0) return;
    const [kind, h] = [s.r.pick(["LSTM", "GRU", "RNN"]), small(s.r)];
    const direction = s.r.pick(["forward", "reverse", "bidirectional"]);
    const d = direction === "bidirectional" ? 2 : 1;
    const g = { RNN: 1, LSTM: 4, GRU: 3 }[kind] * h;
    const [w, q, b] = [s.init(s.float, [d, g, i]), s.init(s.float, [d, g, h]), s.init(s.float, [d, 2 * g])];
    const state = s.r.bool() ? s.input(s.float, [d, n, h]) : s.init(s.float, [d, n, h]);
    const lengths = s.r.bool(0.3)
      ? s.input(
          "i32",
          [n],
          Array.from({ length: n }, () => s.r.range(0, t)),
        )
      : undefined;
    s.node(kind, [x, w, q, b, lengths, state], [t, d, n, h], { hidden_size: h, direction });
  },
  /** Arithmetic of shapes as exporters write it. */
  shapes(s) {
    const x = s.floats(1);
    const shape = s.node("Shape", [x], [x.shape.length], {}, "i64");
    const first = s.node("Gather", [shape, s.init("i64", [], [0])], [], { axis: 0 }, "i64");
    const wide = s.node("Unsqueeze", [first, s.ints(0)], [1], {}, "i64");
    const both = s.node("Concat", [wide, s.ints(-1)], [2], { axis: 0 }, "i64");
    if (product(x.shape) > 0) s.node("Reshape", [x, both], [x.shape[0], product(x.shape.slice(1))], {}, x.dtype);
    s.node("ConstantOfShape", [wide], [x.shape[0]], { value: tensor(s.float, [1], [0.5]) }, s.float);
    const zero = s.init("i64", [], [0]);
    const range = s.node("Range", [zero, first, s.init("i64", [], [1])], [x.shape[0]], {}, "i64");
    s.node("Cast", [range], range.shape, { to: { f32: 1, f64: 11 }[s.float] }, s.float);
  },
  /** A branch that an input decides, as Silero's sampling rate. */
  branch(s) {
    const x = s.floats();
    const rate = s.input("i64", [], [s.r.pick([8000, 16000])]);
    const cond = s.node("Equal", [rate, s.init("i64", [], [16000])], [], {}, "bool");
    const part = (opType) => {
      const own = s.name();
      return graphOf([node(opType, [x.name], [own])], [], [valueOf(own, x.dtype)]);
    };
    s.node("If", [cond], x.shape, { then_branch: part("Tanh"), else_branch: part("Neg") }, x.dtype);
  },
  loop(s) {
    const x = s.floats();
    const count = s.r.int(4);
    const [i, go, carried, next, more, row, last, rows] = Array.from({ length: 8 }, () => s.name());
    const nodes = [node("Tanh", [carried], [next]), node("Identity", [go], [more]), node("Neg", [carried], [row])];
    const inputs = [valueOf(i, "i64", []), valueOf(go, "bool", []), valueOf(carried, x.dtype, x.shape)];
    const outputs = [valueOf(more, "bool", []), valueOf(next, x.dtype, x.shape), valueOf(row, x.dtype, x.shape)];
    const most = s.r.bool() ? s.init("i64", [], [count]) : s.input("i64", [], [count]);
    const body = graphOf(nodes, inputs, outputs);
    s.nodes.push(node("Loop", [most.name, s.init("bool", [], [1]).name, x.name], [last, rows], { body }));
    s.add(last, x.dtype, x.shape);
    s.add(rows, x.dtype, [count, ...x.shape]);
  },
  scan(s) {
    const x = s.floats(1);
    const [state, entry, sum, out, last, rows] = Array.from({ length: 6 }, () => s.name());
    const rest = x.shape.slice(1);
    const nodes = [node("Add", [state, entry], [sum]), node("Identity", [sum], [out])];
    const inputs = [valueOf(state, x.dtype, rest), valueOf(entry, x.dtype, rest)];
    const outputs = [valueOf(sum, x.dtype, rest), valueOf(out, x.dtype, rest)];
    const body = graphOf(nodes, inputs, outputs);
    s.nodes.push(node("Scan", [s.init(x.dtype, rest).name, x.name], [last, rows], { body, num_scan_inputs: 1 }));
    s.add(last, x.dtype, rest);
    s.add(rows, x.dtype, x.shape);
  },
  call(s) {
    const x = s.floats();
    if (s.functions.length === 0) {
      const nodes = [node("Sigmoid", ["a"], ["b"]), node("Mul", ["a", "b"], ["c"])];
      s.functions.push({ name: "Swish", domain: "own", inputs: ["a"], outputs: ["c"], attributes: new Map(), nodes, opsets: new Map([["", s.opset]]) }); // prettier-ignore
    }
    const name = s.name();
    s.nodes.push(node("Swish", [x.name], [name], {}, "own"));
    s.add(name, x.dtype, x.shape);
  },
};

const nodesOf = ({ graph, functions }) => [graph.nodes, ...functions.map(({ nodes }) => nodes)].flat();

function within(nodes) {
  return nodes.flatMap((each) => [
    each,
    ...[...each.attributes.values()].flatMap(({ type, value }) => (type === "graph" ? within(value.nodes) : [])),
  ]);
}

/** Whether all operators of a model are there. */
const isKnown = (model) =>
  within(nodesOf(model)).every(({ opType, domain }) => domain !== "" || Object.hasOwn(operators, opType));

function modelOf(graph, opset, functions = []) {
  const opsets = new Map([["", opset], ...functions.map(({ domain }) => [domain, 1])]);
  const texts = { producerName: "fuzz", producerVersion: "", domain: "", docString: "" };
  return { irVersion: 8, modelVersion: 0, ...texts, opsets, graph, functions, metadata: new Map() };
}

/** A valid model and feeds for it, of operators that are there. */
export function ownModel(r, most = 6) {
  const sketch = new Sketch(r, r.range(13, 17), r.pick(["f32", "f32", "f64"]));
  sketch.input(sketch.float, Array.from({ length: r.range(1, 3) }, () => small(r))); // prettier-ignore
  for (let count = r.range(1, most); count > 0; count--) {
    const before = [sketch.nodes, sketch.values, sketch.inputs].map((list) => list.length);
    const { functions } = sketch;
    sketch.functions = [...functions];
    RECIPES[r.pick(Object.keys(RECIPES))](sketch);
    const tooLarge = sketch.values.some(({ shape }) => product(shape) > 2000);
    if (tooLarge || !isKnown({ graph: sketch, functions: sketch.functions })) {
      [sketch.nodes, sketch.values, sketch.inputs].forEach((list, i) => (list.length = before[i]));
      sketch.functions = functions;
    }
  }
  const { nodes, initializers, inputs, feeds, functions, values } = sketch;
  const outputs = values.slice(-r.range(1, 3)).map(({ name, dtype }) => valueOf(name, dtype, undefined));
  return { model: modelOf(graphOf(nodes, inputs, outputs, initializers), sketch.opset, functions), feeds };
}

// --- files of others ---------------------------------------------------------------------------------------------------

/** Feeds for the inputs that a model declares. */
function feedsFor(r, { graph }) {
  const open = new Map();
  const feeds = {};
  for (const { name, dtype = "f32", shape = [] } of graph.inputs) {
    if (graph.initializers.has(name)) continue;
    const own = shape.map((n) => {
      if (typeof n === "number") return Math.min(n, 2000);
      if (!open.has(n)) open.set(n, r.range(1, 3));
      return open.get(n);
    });
    feeds[name] = { data: arrayOf(dtype, numbers(r, dtype, product(own))), shape: own };
  }
  return feeds;
}

/** The feeds of an operator test. */
function recordedFeeds(path, { graph }) {
  const folder = join(dirname(path), "test_data_set_0");
  const feeds = {};
  graph.inputs.forEach(({ name }, i) => {
    const file = join(folder, `input_${i}.pb`);
    if (!existsSync(file)) return;
    const { data, shape } = readTensorProto(new Uint8Array(readFileSync(file)));
    feeds[name] = { data, shape };
  });
  return feeds;
}

function foreignModel(r) {
  const path = r.pick(others);
  const model = readOnnx(new Uint8Array(readFileSync(path)));
  const recorded = existsSync(join(dirname(path), "test_data_set_0"));
  return { model, feeds: recorded ? recordedFeeds(path, model) : feedsFor(r, model) };
}

/** A model of either kind. */
export function anyModel(r) {
  return others.length > 0 && r.bool(0.4) ? { ...foreignModel(r), own: false } : { ...ownModel(r), own: true };
}

// --- mutations ---------------------------------------------------------------------------------------------------------

const INTEGERS = [0, 1, -1, 2, 3, 5, -7, 64, 1000, 70_000, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 33 + 1, 2 ** 40, 2 ** 53 - 1, 2 ** 62, -(2 ** 63)]; // prettier-ignore
const FLOATS = [0, -0, 1, -1, 0.5, 1e-45, 1e38, 3.4e38, NaN, Infinity, -Infinity];
const TEXTS = ["", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "reflect", "edge", "wrap", "constant", "linear", "cubic", "nearest", "half_pixel", "align_corners", "asymmetric", "add", "mul", "max", "bidirectional", "reverse", "forward", "Tanh", "sum", "none", "ij,jk->ik", "...i->i", "__proto__"]; // prettier-ignore

/** A graph of a model, of those within nodes as well. */
function graphsOf(graph) {
  const inner = graph.nodes.flatMap(({ attributes }) =>
    [...attributes.values()].flatMap(({ type, value }) => (type === "graph" ? graphsOf(value) : [])),
  );
  return [graph, ...inner];
}

/** Names of values that a graph has. */
function namesIn(graph) {
  const own = graph.nodes.flatMap(({ outputs, inputs }) => [...outputs, ...inputs]);
  return [...own, ...graph.inputs.map(({ name }) => name), ...graph.initializers.keys(), ""];
}

function mutateNumbers(r, each) {
  const list = Array.from(each.data, Number);
  const numbersOf = each.dtype[0] === "f" ? FLOATS : INTEGERS;
  if (list.length > 0) {
    for (let count = r.range(1, 3); count > 0; count--) list[r.int(list.length)] = r.pick(numbersOf);
  }
  return { ...each, data: arrayOf(each.dtype, list) };
}

function resized(r, each, shape) {
  const size = product(shape);
  if (!(size <= 5000)) return each;
  const old = Array.from(each.data, Number);
  const list = Array.from({ length: size }, (_, i) => old[i % Math.max(1, old.length)] ?? 0);
  return { ...each, shape, data: arrayOf(each.dtype, list) };
}

function mutateTensor(r, each) {
  const { shape } = each;
  return r.one(
    () => mutateNumbers(r, each),
    () => mutateNumbers(r, each),
    () => resized(r, each, shape.map((n) => (r.bool() ? r.pick([0, 1, 2, 3, n + 1]) : n))), // prettier-ignore
    () => resized(r, each, [...shape, r.int(3)]),
    () => resized(r, each, [1, ...shape]),
    () => resized(r, each, shape.slice(1)),
    () => resized(r, each, [...shape].reverse()),
    () => resized(r, each, Array(r.pick([5, 20, 64])).fill(1)),
    () => resized(r, each, [0, 2 ** 31]),
    () => {
      const dtype = r.pick(DTYPES);
      return { ...each, dtype, data: arrayOf(dtype, dtype === "bool" ? Array(each.data.length).fill(1) : Array.from(each.data, Number)) }; // prettier-ignore
    },
  );
}

function anyAttribute(r) {
  const list = (from) => Array.from({ length: r.pick([0, 1, 1, 2, 2, 3, 4, 8]) }, () => r.pick(from));
  return r.one(
    () => ({ type: "int", value: r.pick(INTEGERS) }),
    () => ({ type: "int", value: r.range(-2, 5) }),
    () => ({ type: "float", value: r.pick(FLOATS) }),
    () => ({ type: "string", value: r.pick(TEXTS) }),
    () => ({ type: "ints", value: list(INTEGERS) }),
    () => ({ type: "ints", value: list([0, 1, 2, 3, -1]) }),
    () => ({ type: "floats", value: list(FLOATS) }),
    () => ({ type: "strings", value: list(TEXTS) }),
    () => ({ type: "tensor", value: mutateTensor(r, tensor("f32", [1], [0.5])) }),
    () => ({ type: "tensor", value: mutateTensor(r, tensor("i64", [2], [2, 3])) }),
  );
}

function mutateAttribute(r, attribute) {
  const { type, value } = attribute;
  if (type === "int") return { type, value: r.one(() => r.pick(INTEGERS), () => value + r.pick([1, -1]), () => -value) }; // prettier-ignore
  if (type === "ints") {
    const list = [...value];
    r.one(
      () => list.length > 0 && (list[r.int(list.length)] = r.pick(INTEGERS)),
      () => list.push(r.pick(INTEGERS)),
      () => list.pop(),
      () => list.reverse(),
    );
    return { type, value: list };
  }
  if (type === "tensor") return { type, value: mutateTensor(r, value) };
  if (type === "graph") return { type, value: r.bool() ? graphOf([], [], []) : { ...value, outputs: r.pick([value.outputs.slice(1), [...value.outputs, ...value.outputs]]) } }; // prettier-ignore
  if (type === "string") return { type, value: r.pick(TEXTS) };
  return anyAttribute(r);
}

function mutateNode(r, graph, i) {
  const each = graph.nodes[i];
  const change = (more) => (graph.nodes[i] = { ...each, ...more });
  const names = namesIn(graph);
  const attributes = new Map(each.attributes);
  const keys = [...attributes.keys()];
  const known = operators[each.opType]?.attributes ?? [];
  const replaced = (list, by) => list.map((name, k) => (k === at ? by : name));
  const at = r.int(Math.max(1, each.inputs.length));
  r.one(
    () => change({ opType: r.pick(NAMES) }),
    () => change({ inputs: replaced(each.inputs, r.pick(names)) }),
    () => change({ inputs: replaced(each.inputs, r.pick(names)) }),
    () => change({ inputs: each.inputs.slice(0, -1) }),
    () => change({ inputs: [...each.inputs, r.pick(names)] }),
    () => change({ inputs: [...each.inputs].reverse() }),
    () => change({ outputs: r.pick([[...each.outputs, "more"], each.outputs.slice(1), each.outputs.map(() => ""), [...each.outputs].reverse()]) }), // prettier-ignore
    () => {
      if (keys.length === 0) return;
      const key = r.pick(keys);
      attributes.set(key, mutateAttribute(r, attributes.get(key)));
      change({ attributes });
    },
    () => {
      if (keys.length === 0) return;
      const key = r.pick(keys);
      attributes.set(key, mutateAttribute(r, attributes.get(key)));
      change({ attributes });
    },
    () => {
      if (known.length === 0) return;
      attributes.set(r.pick(known), anyAttribute(r));
      change({ attributes });
    },
    () => {
      attributes.delete(r.pick([...keys, ""]));
      change({ attributes });
    },
  );
}

/** A node of any operator, with whatever it may be given. */
function wildNode(r, graph) {
  const opType = r.pick(NAMES);
  const { attributes } = operators[opType];
  const names = namesIn(graph);
  const inputs = Array.from({ length: r.range(0, 4) }, () => r.pick(names));
  const given = attributes.filter(() => r.bool(0.4)).map((key) => [key, anyAttribute(r)]);
  const outputs = [`w${r.int(5)}`];
  return { name: "", opType, domain: "", inputs, outputs, attributes: new Map(given) };
}

/** A loop around a graph's last node: a long or endless one perhaps. */
function inLoop(r, graph) {
  const last = graph.nodes.pop();
  if (!last) return;
  const [i, go, more] = ["i", "go", "more"];
  const nodes = [last, node("Identity", [go], [more])];
  const row = last.outputs.find((name) => name !== "");
  const outputs = [valueOf(more, "bool", []), ...(row ? [valueOf(row, "f32", r.pick([undefined, [2 ** 40]]))] : [])];
  const body = graphOf(nodes, [valueOf(i, "i64", []), valueOf(go, "bool", [])], outputs);
  const most = r.pick(["", "most"]);
  if (most) graph.initializers.set(most, { ...scalar("i64", r.pick(INTEGERS)), name: most });
  graph.nodes.push(node("Loop", [most, ""], row ? [row] : [], { body }));
}

function inBranch(r, graph) {
  const at = r.int(graph.nodes.length);
  const inner = graph.nodes[at];
  if (!inner) return;
  graph.initializers.set("cond", { ...scalar("bool", r.int(2)), name: "cond" });
  let own = graphOf([inner], [], inner.outputs.filter((name) => name !== "").map((name) => valueOf(name))); // prettier-ignore
  for (let depth = r.pick([0, 0, 3, 25]); depth > 0; depth--) {
    own = graphOf([node("If", ["cond"], inner.outputs, { then_branch: own, else_branch: graphOf([], [], []) })], [], own.outputs); // prettier-ignore
  }
  graph.nodes[at] = node("If", ["cond"], inner.outputs, { then_branch: own, else_branch: own });
}

/** Functions that call each other: each the next one several times. */
function bomb(r, model) {
  const [count, calls] = [r.pick([2, 20, 60, 3000]), r.pick([1, 2, 10])];
  const opsets = new Map([["", 17]]);
  const domain = "bomb";
  for (let i = 0; i < count; i++) {
    const nodes = [];
    for (let k = 0; k < calls; k++) {
      const [from, to] = [k === 0 ? "a" : `t${k - 1}`, k === calls - 1 ? "b" : `t${k}`];
      nodes.push(i === 0 ? node("Neg", [from], [to]) : node(`f${i - 1}`, [from], [to], {}, domain));
    }
    model.functions.push({ name: `f${i}`, domain, inputs: ["a"], outputs: ["b"], attributes: new Map(), nodes, opsets }); // prettier-ignore
  }
  model.opsets.set(domain, 1);
  const { graph } = model;
  const input = graph.inputs[0]?.name ?? [...graph.initializers.keys()][0];
  if (input === undefined) return;
  graph.nodes.push(node(`f${count - 1}`, [input], ["bombed"], {}, domain));
  graph.outputs.push(valueOf("bombed", "f32", undefined));
}

/** A chain of nodes of one kind. */
function chain(r, graph) {
  const input = graph.inputs[0]?.name ?? [...graph.initializers.keys()][0];
  if (input === undefined) return;
  const [opType, attributes] = r.pick([["Identity"], ["Unsqueeze", { axes: [0] }], ["Concat", { axis: 0 }], ["Reshape"], ["Neg"], ["Tile"], ["Expand"]]); // prettier-ignore
  graph.initializers.set("arg", { ...tensor("i64", [1], [r.pick([-1, 0, 2, 1000])]), name: "arg" });
  let last = input;
  for (let count = r.pick([1, 8, 70, 2000]), i = 0; i < count; i++) {
    const next = `c${i}`;
    const inputs = opType === "Concat" ? [last, last] : attributes || ["Identity", "Neg"].includes(opType) ? [last] : [last, "arg"]; // prettier-ignore
    graph.nodes.push(node(opType, inputs, [next], attributes));
    last = next;
  }
  graph.outputs.push(valueOf(last, "f32", undefined));
}

function mutateValue(r, each) {
  const { dtype, shape = [] } = each;
  return r.one(
    () => ({ ...each, dtype: r.pick([undefined, ...DTYPES]) }),
    () => ({ ...each, shape: undefined }),
    () => ({ ...each, shape: shape.map((n) => (r.bool() ? r.pick([0, 1, 7, 2 ** 31, 2 ** 53 - 1, "N", ""]) : n)) }),
    () => ({ ...each, shape: [...shape, 1] }),
    () => ({ ...each, dtype, shape: shape.slice(1) }),
  );
}

/** Gives a value another name everywhere. */
function rename(model, from, to) {
  if (from === "") return;
  const named = (name) => (name === from ? to : name);
  for (const graph of graphsOf(model.graph)) {
    graph.nodes.forEach((each, i) => {
      graph.nodes[i] = { ...each, inputs: each.inputs.map(named), outputs: each.outputs.map(named) };
    });
    for (const list of [graph.inputs, graph.outputs]) list.forEach((each, i) => (list[i] = { ...each, name: named(each.name) })); // prettier-ignore
    const weight = graph.initializers.get(from);
    if (weight) graph.initializers.set(to, { ...weight, name: to });
    graph.initializers.delete(from);
  }
}

function mutateOnce(r, model) {
  const graph = r.pick(graphsOf(model.graph));
  const { nodes, initializers, inputs, outputs } = graph;
  const at = r.int(Math.max(1, nodes.length));
  const weight = r.pick([...initializers.keys(), undefined]);
  const changeNode = () => nodes.length > 0 && mutateNode(r, graph, at);
  const changeTensor = () =>
    weight !== undefined && initializers.set(weight, mutateTensor(r, initializers.get(weight)));
  const swap = (list) => {
    if (list.length === 0) return;
    const [i, k] = [r.int(list.length), r.int(list.length)];
    [list[i], list[k]] = [list[k], list[i]];
  };
  r.one(
    changeNode,
    changeNode,
    changeNode,
    changeNode,
    changeTensor,
    changeTensor,
    changeTensor,
    () => nodes.splice(at, 1),
    () => nodes.length > 0 && nodes.splice(at, 0, nodes[at]),
    () => swap(nodes),
    () => nodes.splice(at, 0, wildNode(r, graph)),
    () => {
      const wild = wildNode(r, graph);
      nodes.push(wild);
      outputs.push(valueOf(wild.outputs[0], "f32", undefined));
    },
    () => initializers.delete(weight),
    () => inputs.length > 0 && (inputs[r.int(inputs.length)] = mutateValue(r, r.pick(inputs))),
    () => outputs.length > 0 && (outputs[r.int(outputs.length)] = mutateValue(r, r.pick(outputs))),
    () => outputs.push(valueOf(r.pick(namesIn(graph)) || "x", "f32", undefined)),
    () => model.opsets.set("", r.pick([1, 7, 8, 9, 10, 11, 12, 13, 18, 20, 22])),
    () => rename(model, r.pick(namesIn(graph)), r.pick(["__proto__", "constructor", "output"])),
    () => inLoop(r, graph),
    () => inBranch(r, graph),
    () => bomb(r, model),
    () => chain(r, graph),
  );
}

/** A copy of a graph's lists, and of those of the graphs in it: tensors are shared, and never changed. */
function copyGraph(graph) {
  const nodes = graph.nodes.map((each) => ({
    ...each,
    attributes: new Map([...each.attributes].map(([key, { type, value }]) => [key, { type, value: type === "graph" ? copyGraph(value) : value }])), // prettier-ignore
  }));
  return { ...graph, nodes, initializers: new Map(graph.initializers), inputs: [...graph.inputs], outputs: [...graph.outputs] }; // prettier-ignore
}

/** A model that is changed some times. */
function mutateModel(r, model) {
  const copy = { ...model, opsets: new Map(model.opsets), functions: [...model.functions], graph: copyGraph(model.graph) }; // prettier-ignore
  for (let count = r.pick([1, 1, 1, 2, 3]); count > 0; count--) mutateOnce(r, copy);
  return copy;
}

function mutateFeeds(r, feeds) {
  const mutated = Object.fromEntries(Object.entries(feeds));
  const names = Object.keys(feeds);
  if (names.length === 0) return mutated;
  const name = r.pick(names);
  const { data, shape } = feeds[name];
  const bits = data.constructor;
  const dtype = DTYPES.find((each) => ELEMENT_ARRAYS[each] === bits);
  const fit = (list) => ({ data: arrayOf(dtype, numbers(r, dtype, product(list))), shape: list });
  r.one(
    () => delete mutated[name],
    () => (mutated[name] = fit(shape.map((n) => (r.bool() ? r.pick([0, 1, 2, n + 1]) : n)))),
    () => (mutated[name] = fit([...shape, 1])),
    () => (mutated[name] = fit(shape.slice(1))),
    () => (mutated[name] = { data, shape: [...shape, 2] }),
    () => (mutated[name] = { data: Float32Array.from(data, Number), shape }),
    () => (mutated[name] = { ...mutateNumbers(r, { dtype, data }), shape }),
    () => (mutated[name] = { ...mutateNumbers(r, { dtype, data }), shape }),
  );
  return mutated;
}

// --- what must hold ----------------------------------------------------------------------------------------------------

const bytesOf = ({ data: { buffer, byteOffset, byteLength } }) => Buffer.from(buffer, byteOffset, byteLength);

const isNaNs = (a, b) => a.data.length === b.data.length && a.data.every((x, i) => Object.is(x, b.data[i]) || (Number.isNaN(x) && Number.isNaN(b.data[i]))); // prettier-ignore

/** The first output whose bits differ (those of a NaN may). */
function differing(a, b) {
  return Object.keys(a).find((name) => {
    const [one, other] = [a[name], b[name]];
    if (String(one.shape) !== String(other?.shape)) return true;
    return !bytesOf(one).equals(bytesOf(other)) && !isNaNs(one, other);
  });
}

/** Copies, of live views. */
const copied = (tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, { data, shape }]) => [name, { data: data.slice(), shape }]));

function isNear(a, b, tolerance) {
  return a === b || (Number.isNaN(a) && Number.isNaN(b)) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b)); // prettier-ignore
}

/** The floating-point output with which training is tried. */
function lossOf(model, results) {
  for (const { name, dtype } of model.outputs) {
    const { data, shape } = results[name];
    if ((dtype === "f32" || dtype === "f64") && data.length > 0) {
      return W.mse(results[name], { data: new data.constructor(data.length), shape });
    }
  }
  return undefined;
}

const LIMITS = { maxIterations: 3000, maxMemory: 2 ** 26 };

/** One model, mutated or not, through all that there is. */
export function checkGraph(call, r) {
  const { model, feeds, own } = anyModel(r);
  const plain = r.bool(0.15);
  let bytes = writeOnnx(plain ? model : mutateModel(r, model));
  if (!plain && r.bool(0.2)) bytes = mutateOnnx(r, bytes);
  const given = plain || r.bool(0.7) ? feeds : mutateFeeds(r, feeds);
  const limited = r.bool(0.95);
  if (!limited) call.patience = 15; // 100,000 nodes of a loop take their time
  const options = { ...(limited && LIMITS), ...(r.bool(0.2) && { dtype: r.pick(["f32", "f64"]) }) };
  call.words.push(`${model.graph.nodes.map(({ opType }) => opType).join(" ").slice(0, 300)}; ${JSON.stringify(options)}`); // prettier-ignore
  call.describe(bytes);
  const witness = own && r.bool(0.3) ? new Witness(call, model, feeds) : undefined;
  tryModel(call, r, { bytes, given, options, valid: plain && own && !options.dtype });
  witness?.check();
}

/** A valid model, which must give the same bits whatever happens to another one. */
class Witness {
  constructor(call, model, feeds) {
    Object.assign(this, { call, feeds, model: call.env.own(entries.onnx.fromOnnx(writeOnnx(model))) });
    this.before = this.model.run(feeds);
  }

  check() {
    if (differing(this.before, this.model.run(this.feeds))) this.call.found("corruption", "another model gives other bits"); // prettier-ignore
  }
}

function tryModel(call, r, { bytes, given, options, valid }) {
  const loaded = call.attempt(() => entries.onnx.fromOnnx(bytes, options));
  const check = ({ error }, what) => {
    if (error && valid) call.found("refused", `${what}: ${String(error.message).slice(0, 160)}`, error);
    return error === undefined;
  };
  if (!check(loaded, "fromOnnx")) return;
  const network = call.env.own(loaded.result);
  const ran = call.attempt(() => network.run(given));
  const fine = check(ran, "run");
  const again = call.attempt(() => network.run(given));
  if (fine !== (again.error === undefined)) call.found("wrong", "the second run ends otherwise", again.error);
  else if (fine && differing(ran.result, again.result)) call.found("wrong", "the second run gives other bits");
  const carry = carryOf(r, network);
  const stream = call.attempt(() => network.stream({ carry }));
  if (check(stream, "stream")) {
    call.env.own(stream.result);
    const step = call.attempt(() => copied(stream.result.step(given)));
    if (fine && step.error && valid && Object.keys(carry).length === 0)
      call.found("refused", `step: ${step.error.message}`, step.error);
    if (fine && !step.error && differing(ran.result, step.result)) call.found("wrong", "a step gives other bits");
    if (r.bool()) call.attempt(() => stream.result.step(mutateFeeds(r, given)));
    if (r.bool()) stream.result.reset();
    call.attempt(() => stream.result.step(given));
  }
  if (r.bool(0.3)) call.attempt(() => network.loadStateDict(network.stateDict()));
  if (r.bool(0.4)) checkTraining(call, network, given, { expected: ran.result, valid });
  if (!fine || r.bool(0.5)) return;
  const last = call.attempt(() => network.run(given));
  const tolerance = network.inputs.concat(network.outputs).some(({ dtype }) => dtype === "f32") ? 1e-3 : 1e-8;
  if (last.error) call.found("wrong", "the last run fails", last.error);
  else compareNearly(call, ran.result, last.result, tolerance, "the last run");
}

function carryOf(r, network) {
  const carry = {};
  for (const { name, dtype } of network.outputs) {
    const input = network.inputs.find((each) => each.dtype === dtype && !Object.values(carry).includes(each.name));
    if (input && r.bool(0.3)) carry[name] = input.name;
  }
  return carry;
}

/** Recorded runs agree with the plan's, and gradients are there or an operation says that it has none. */
function checkTraining(call, network, feeds, { expected, valid }) {
  let results;
  const trained = call.attempt(() =>
    W.valueAndGrad(() => {
      results = network.run(feeds);
      const loss = lossOf(network, results);
      if (!loss) throw new W.ValueError("outputs", "none of floating point", "one");
      return loss;
    }),
  );
  if (trained.error && !results && expected && valid) {
    call.found("wrong", `a recorded run fails: ${trained.error.message}`, trained.error);
  }
  if (!results || !expected) return;
  const tolerance = network.outputs.some(({ dtype }) => dtype === "f32") ? 1e-3 : 1e-8;
  compareNearly(call, expected, results, tolerance, "a recorded run");
}

function compareNearly(call, expected, got, tolerance, what) {
  for (const [name, { data, shape }] of Object.entries(expected)) {
    const other = got[name];
    if (String(other?.shape) !== String(shape)) return call.found("wrong", `${what}: ${name} has another shape`);
    if (!(data instanceof Float32Array || data instanceof Float64Array)) continue;
    if (data.some((x) => !(Math.abs(x) < 1e4))) return; // small differences have grown
    const at = data.findIndex((x, i) => !isNear(x, other.data[i], tolerance));
    if (at >= 0) return call.found("wrong", `${what}: ${name}[${at}] is ${other.data[at]}, not ${data[at]}`);
  }
}
