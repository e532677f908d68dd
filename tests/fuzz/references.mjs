// Small references for the readers: written from the formats' own texts, not from the package's code. Each either gives
// what a file says or throws Refused.

export class Refused extends Error {}

/** A file that the reference does not know enough of. */
export class Unknown extends Error {}

const refuse = (why) => {
  throw new Refused(why);
};

const need = (condition, why) => {
  if (!condition) refuse(why);
};

const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const isSize = (value) => Number.isSafeInteger(value) && value >= 0;

// --- safetensors (https://huggingface.co/docs/safetensors#format) ------------------------------------------------------

/** How a number is read, by dtype: [bytes, function of a DataView and an offset]. */
const DTYPES = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F16: [2, (view, at) => half(view.getUint16(at, true))],
  BF16: [2, (view, at) => bfloat(view.getUint16(at, true))],
  I64: [8, (view, at) => view.getBigInt64(at, true)],
  I32: [4, (view, at) => view.getInt32(at, true)],
  I16: [2, (view, at) => view.getInt16(at, true)],
  I8: [1, (view, at) => view.getInt8(at)],
  U8: [1, (view, at) => view.getUint8(at)],
  BOOL: [1, (view, at) => view.getUint8(at)],
};

function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

function bfloat(bits) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits * 65536);
  return view.getFloat32(0);
}

/** How many keys the objects in a parsed JSON text have. */
function keysIn(value) {
  let count = 0;
  for (const stack = [value]; stack.length > 0;) {
    const each = stack.pop();
    if (typeof each !== "object" || each === null) continue;
    if (!Array.isArray(each)) count += Object.keys(each).length;
    for (const part of Object.values(each)) stack.push(part);
  }
  return count;
}

/** Levels of JSON: 1 for an object of numbers. Level by level, since JSON.parse nests deeper than calls may. */
function depthOf(value) {
  const nested = (each) => typeof each === "object" && each !== null;
  let depth = 0;
  for (let level = [value].filter(nested); level.length > 0; depth++) {
    level = level.flatMap((each) => Object.values(each).filter(nested));
  }
  return depth;
}

/** { tensors: Map of name to { shape, numbers }, metadata: Map }. */
export function safetensors(bytes) {
  need(bytes.length >= 8, "no length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  need(size <= Math.min(100_000_000, bytes.length - 8), "length");
  let header;
  let text;
  try {
    text = new globalThis.TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, 8 + size));
    header = JSON.parse(text);
  } catch (error) {
    refuse(error.message);
  }
  need(text[0] === "{" && isRecord(header), "no object");
  let written = 0; // keys as they stand in the text: JSON.parse keeps one of equal ones
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)) if (colon) written++;
  need(written === keysIn(header), "a key twice");
  need(depthOf(header) <= 64, "nesting");
  const start = 8 + size;
  const data = bytes.length - start;
  const metadata = new Map();
  const tensors = new Map();
  const ranges = [];
  for (const [name, entry] of Object.entries(header)) {
    need(isRecord(entry), "entry");
    if (name === "__metadata__") {
      for (const [key, value] of Object.entries(entry)) {
        need(typeof value === "string", "metadata");
        metadata.set(key, value);
      }
      continue;
    }
    const own = (key) => (Object.hasOwn(entry, key) ? entry[key] : undefined);
    const [dtype, shape, offsets] = [own("dtype"), own("shape"), own("data_offsets")];
    need(typeof dtype === "string", "dtype");
    if (!Object.hasOwn(DTYPES, dtype)) {
      if (/^(U16|U32|U64|F8_|F4|F6_|C64)/.test(dtype)) throw new Unknown(dtype);
      refuse("dtype");
    }
    need(Array.isArray(shape) && shape.every(isSize), "shape");
    need(Array.isArray(offsets) && offsets.length === 2 && offsets.every(isSize), "offsets");
    const [begin, end] = offsets;
    need(begin <= end && end <= data, "range");
    let count = 1n;
    for (const n of shape) need((count *= BigInt(n)) < 2n ** 53n, "too many");
    const [width, read] = DTYPES[dtype];
    need(count * BigInt(width) === BigInt(end - begin), "size");
    const numbers = Array.from({ length: Number(count) }, (_, i) => read(view, start + begin + i * width));
    tensors.set(name, { shape, numbers });
    ranges.push([begin, end]);
  }
  let covered = 0;
  for (const [begin, end] of ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    need(begin === covered, "a gap");
    covered = end;
  }
  need(covered === data, "data behind");
  return { tensors, metadata };
}

// --- activations -------------------------------------------------------------------------------------------------------

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softmax = (x) => {
  const most = Math.max(...x);
  const powers = x.map((each) => Math.exp(each - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((each) => each / sum);
};
const FRAME = {
  tanh: (x) => x.map(Math.tanh),
  relu: (x) => x.map((each) => Math.max(0, each)),
  sigmoid: (x) => x.map(sigmoid),
  elu: (x) => x.map((each) => (each > 0 ? each : Math.expm1(each))),
  softmax,
};

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const column = (rows, j) => rows.map((row) => row[j]);

// --- RTNeural's and Proteus' JSON --------------------------------------------------------------------------------------

let isNumber = Number.isFinite;

/** Numbers must be finite in the type that they are computed in. */
function computeIn(dtype) {
  isNumber = (x) => typeof x === "number" && Number.isFinite(dtype === "f32" ? Math.fround(x) : x);
}

/** A matrix [rows, columns] of numbers in nested arrays. */
function matrix(value, rows, columns) {
  need(Array.isArray(value) && value.length === rows, "rows");
  for (const row of value) {
    need(Array.isArray(row) && row.length === columns && row.every((x) => isNumber(x)), "columns");
  }
  return value;
}

function vector(value, n) {
  need(Array.isArray(value) && value.length === n && value.every((x) => isNumber(x)), "vector");
  return value;
}

function lastOf(shape) {
  need(Array.isArray(shape) && Number.isSafeInteger(shape.at(-1)) && shape.at(-1) > 0, "shape");
  return shape.at(-1);
}

/** The numbers of a frame: of four axes the last two are its own. */
function frameSize(shape) {
  const last = lastOf(shape);
  if (shape.length !== 4) return last;
  need(Number.isSafeInteger(shape[2]) && shape[2] > 0, "shape");
  return last * shape[2];
}

/** A step of an LSTM whose columns of `ih` [in,4h] and `hh` [h,4h] are i f c o, with one bias [4h]. */
function lstmStep(state, x, ih, hh, bias) {
  const h = hh.length;
  const gate = (g, j) => dot(x, column(ih, g * h + j)) + dot(state.h, column(hh, g * h + j)) + bias[g * h + j];
  const next = { h: [], c: [] };
  for (let j = 0; j < h; j++) {
    next.c[j] = sigmoid(gate(1, j)) * state.c[j] + sigmoid(gate(0, j)) * Math.tanh(gate(2, j));
    next.h[j] = sigmoid(gate(3, j)) * Math.tanh(next.c[j]);
  }
  return next;
}

/** A step of a GRU whose columns are z r h, with biases [2,3h]; reset after. */
function gruStep(state, x, ih, hh, [bi, bh]) {
  const h = hh.length;
  const input = (g, j) => dot(x, column(ih, g * h + j)) + bi[g * h + j];
  const recurrent = (g, j) => dot(state.h, column(hh, g * h + j)) + bh[g * h + j];
  const next = [];
  for (let j = 0; j < h; j++) {
    const z = sigmoid(input(0, j) + recurrent(0, j));
    const r = sigmoid(input(1, j) + recurrent(1, j));
    next[j] = (1 - z) * Math.tanh(input(2, j) + r * recurrent(2, j)) + z * state.h[j];
  }
  return { h: next };
}

/** Keras' arrays in an RTNeural file: a function of a frame, or Refused. */
export function rtneural(file, dtype) {
  computeIn(dtype);
  need(isRecord(file), "file");
  if (!("layers" in file) && !("in_shape" in file)) throw new Unknown("a state_dict");
  for (const gain of ["in_gain", "out_gain"]) if (file[gain]) throw new Unknown("a gain");
  const inputs = frameSize(file.in_shape);
  let size = inputs;
  const steps = [];
  need(Array.isArray(file.layers) && file.layers.length > 0, "layers");
  for (const layer of file.layers) {
    need(isRecord(layer), "layer");
    const { type, weights } = layer;
    const activation = layer.activation ?? "";
    const before = size;
    if (type === "lstm" || type === "gru") {
      need(activation === "" || activation === "tanh", "activation");
      const h = lastOf(layer.shape);
      const g = (type === "lstm" ? 4 : 3) * h;
      need(Array.isArray(weights) && weights.length <= 3, "weights");
      const ih = matrix(weights[0], before, g);
      const hh = matrix(weights[1], h, g);
      const zeros = Array(g).fill(0);
      const none = type === "lstm" ? zeros : [zeros, zeros];
      const given = type === "lstm" ? vector : (value, n) => matrix(value, 2, n);
      const bias = weights[2] === undefined ? none : given(weights[2], g);
      let state = { h: Array(h).fill(0), c: Array(h).fill(0) };
      const step = type === "lstm" ? lstmStep : gruStep;
      steps.push((x) => (state = step(state, x, ih, hh, bias)).h);
      size = h;
    } else if (type === "dense" || type === "time-distributed-dense") {
      size = lastOf(layer.shape);
      need(Array.isArray(weights) && weights.length <= 2, "weights");
      const kernel = matrix(weights[0], before, size);
      const bias = weights[1] === undefined ? Array(size).fill(0) : vector(weights[1], size);
      steps.push((x) => bias.map((b, j) => dot(x, column(kernel, j)) + b));
      if (activation !== "") {
        need(typeof activation === "string" && Object.hasOwn(FRAME, activation), "activation");
        steps.push(FRAME[activation]);
      }
    } else if (type === "prelu") {
      need(activation === "", "activation");
      need(Array.isArray(weights) && weights.length === 1 && Array.isArray(weights[0]), "weights");
      const count = Array.isArray(weights[0][0]) && weights[0][0].length === 1 ? 1 : before;
      const [slope] = matrix(weights[0], 1, count);
      if (layer.shape !== undefined && layer.shape !== null) need(frameSize(layer.shape) === before, "shape");
      steps.push((x) => x.map((each, i) => (each > 0 ? each : each * slope[count === 1 ? 0 : i])));
    } else if (type === "activation") {
      need(weights === undefined || weights === null || (Array.isArray(weights) && weights.length === 0), "weights");
      if (layer.shape !== undefined && layer.shape !== null) need(frameSize(layer.shape) === before, "shape");
      if (activation === "") continue;
      need(typeof activation === "string" && Object.hasOwn(FRAME, activation), "activation");
      steps.push(FRAME[activation]);
    } else {
      throw new Unknown("a type");
    }
  }
  // in_shape alone is only a number: arrays must confirm it
  const confirms = ({ type, weights }) =>
    type !== "activation" &&
    (type !== "prelu" || inputs === 1 || weights[0][0].length > 1 || !Array.isArray(weights[0][0]));
  need(file.layers.some(confirms), "layers");
  const skip = file.in_skip ?? 0;
  need(isSize(skip) && skip <= inputs && (skip <= 1 || skip === size), "in_skip");
  const step = (x) => {
    const y = steps.reduce((frame, each) => each(frame), x);
    return skip === 0 ? y : y.map((each, i) => each + x[skip === 1 ? 0 : i]);
  };
  return { inputs, outputs: size, step };
}

/** A file of Proteus' with one recurrent layer. */
export function proteus(file, dtype) {
  computeIn(dtype);
  need(isRecord(file) && isRecord(file.model_data) && isRecord(file.state_dict), "file");
  const { model = "SimpleRNN", unit_type: unit, num_layers: layers = 1, output_size: outputs = 1 } = file.model_data;
  const { input_size: inputs, hidden_size: h, skip } = file.model_data;
  need(model === "SimpleRNN" && ["LSTM", "GRU", "RNN"].includes(unit), "model");
  for (const size of [layers, outputs, inputs, h]) need(isSize(size) && size > 0, "size");
  need(isSize(skip), "skip");
  const dict = file.state_dict;
  if (layers !== 1 || Object.hasOwn(dict, "rec.weight_hh_l1")) throw new Unknown("layers");
  const g = { LSTM: 4, GRU: 3, RNN: 1 }[unit] * h;
  const names = ["rec.weight_ih_l0", "rec.weight_hh_l0", "rec.bias_ih_l0", "rec.bias_hh_l0", "lin.weight", "lin.bias"];
  for (const name of Object.keys(dict)) need(names.includes(name), "an unknown entry");
  const own = (name) => (Object.hasOwn(dict, name) ? dict[name] : undefined);
  const ih = matrix(own(names[0]), g, inputs);
  const hh = matrix(own(names[1]), g, h);
  const biased = own(names[2]) !== undefined;
  need(biased || own(names[3]) === undefined, "one bias");
  const [bi, bh] = [2, 3].map((i) => (biased ? vector(own(names[i]), g) : Array(g).fill(0)));
  const weight = matrix(own(names[4]), outputs, h);
  const bias = own(names[5]) === undefined ? Array(outputs).fill(0) : vector(own(names[5]), outputs);
  const added = Math.min(skip, inputs);
  need(added <= 1 || added === outputs, "skip");
  let state = { h: Array(h).fill(0), c: Array(h).fill(0) };
  const step = (x) => {
    const input = (j) => dot(x, ih[j]) + bi[j];
    const recurrent = (j) => dot(state.h, hh[j]) + bh[j];
    const both = (j) => input(j) + recurrent(j);
    const next = { h: [], c: [] };
    for (let j = 0; j < h; j++) {
      if (unit === "RNN") next.h[j] = Math.tanh(both(j));
      if (unit === "GRU") {
        const [r, z] = [sigmoid(both(j)), sigmoid(both(h + j))];
        next.h[j] = (1 - z) * Math.tanh(input(2 * h + j) + r * recurrent(2 * h + j)) + z * state.h[j];
      }
      if (unit === "LSTM") {
        next.c[j] = sigmoid(both(h + j)) * state.c[j] + sigmoid(both(j)) * Math.tanh(both(2 * h + j));
        next.h[j] = sigmoid(both(3 * h + j)) * Math.tanh(next.c[j]);
      }
    }
    state = next;
    return weight.map((row, i) => dot(next.h, row) + bias[i] + (added === 0 ? 0 : x[added === 1 ? 0 : i]));
  };
  return { inputs, outputs, step };
}

// --- ONNX (https://onnx.ai/onnx/operators/) ----------------------------------------------------------------------------

const GATES = { RNN: 1, LSTM: 4, GRU: 3 };
const NAMES = { RNN: ["Tanh"], LSTM: ["Sigmoid", "Tanh", "Tanh"], GRU: ["Sigmoid", "Tanh"] };
const KNOWN = {
  RNN: [],
  LSTM: ["input_forget"],
  GRU: ["linear_before_reset"],
};
const COMMON = ["hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "clip"];

/** The operator by its equations: { Y, Y_h, Y_c } as flat arrays. The inputs' shapes are right. */
export function onnx(kind, attributes, inputs) {
  need(typeof kind === "string" && Object.hasOwn(GATES, kind), "operator");
  need(isRecord(attributes), "attributes");
  const given = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
  for (const key of Object.keys(given)) need([...COMMON, ...KNOWN[kind]].includes(key), "an unknown attribute");
  const { direction = "forward", layout = 0, clip = Infinity, input_forget = 0, linear_before_reset = 0 } = given;
  need(["forward", "reverse", "bidirectional"].includes(direction), "direction");
  for (const flag of [layout, input_forget, linear_before_reset]) need(flag === 0 || flag === 1, "a flag");
  need(typeof clip === "number" && clip > 0, "clip");
  const backwards = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const d = backwards.length;
  const defaults = backwards.flatMap(() => NAMES[kind]);
  const { activations = defaults, activation_alpha: alphas = [], activation_beta: betas = [] } = given;
  need(Array.isArray(activations) && activations.length === defaults.length, "activations");
  for (const list of [alphas, betas]) need(Array.isArray(list) && list.every(Number.isFinite), "alpha, beta");
  for (const list of [alphas, betas]) need(list.length <= activations.length, "too many");
  const pairs = [];
  const functions = activations.map((name, i) => {
    need(typeof name === "string", "activation");
    const limited = (f) => (x) => f(Math.max(-clip, Math.min(clip, x)));
    const which = name.toLowerCase();
    if (which === "tanh") return limited(Math.tanh);
    if (which === "sigmoid") return limited(sigmoid);
    if (which === "relu") return limited((x) => Math.max(0, x));
    need(which === "hardsigmoid", "activation");
    const taken = pairs.length;
    const [alpha, beta] = [alphas[taken] ?? 0.2, betas[taken] ?? 0.5];
    pairs.push([Math.floor(i / NAMES[kind].length), alpha, beta]);
    return limited((x) => Math.max(0, Math.min(1, alpha * x + beta)));
  });
  for (const [i, alpha, beta] of pairs) {
    if (pairs.some(([j, a, b]) => i === j && (a !== alpha || b !== beta))) throw new Unknown("two pairs");
  }
  const { X, W, R, B, P, sequence_lens: lens, initial_h: firstH, initial_c: firstC } = inputs;
  const [t, n] = layout ? [X.shape[1], X.shape[0]] : X.shape;
  const size = X.shape[2];
  const h = R.shape[2];
  if (given.hidden_size !== undefined) need(given.hidden_size === h, "hidden_size");
  const g = GATES[kind] * h;
  const at = (state, i, row, j) => (state ? state.data[(layout ? row * d + i : i * n + row) * h + j] : 0);
  const Y = Array(t * d * n * h).fill(0);
  const [Yh, Yc] = [Array(d * n * h).fill(0), Array(d * n * h).fill(0)];
  backwards.forEach((reverse, i) => {
    const [f, second, third] = functions.slice(i * NAMES[kind].length);
    for (let row = 0; row < n; row++) {
      const length = lens ? lens.data[row] : t;
      let [hs, cs] = [firstH, firstC].map((state) => Array.from({ length: h }, (_, j) => at(state, i, row, j)));
      for (let s = 0; s < length; s++) {
        const step = reverse ? length - 1 - s : s;
        const x = Array.from({ length: size }, (_, k) => X.data[(layout ? row * t + step : step * n + row) * size + k]);
        const rows = (tensor, width, from, j) =>
          tensor.data.slice((i * g + from + j) * width, (i * g + from + j + 1) * width);
        const input = (gate, j) => dot(x, rows(W, size, gate * h, j)) + (B ? B.data[i * 2 * g + gate * h + j] : 0);
        const bias = (gate, j) => (B ? B.data[i * 2 * g + g + gate * h + j] : 0);
        const recurrent = (gate, j, state = hs) => dot(state, rows(R, h, gate * h, j)) + bias(gate, j);
        const peephole = (gate, j, c) => (P ? P.data[i * 3 * h + gate * h + j] * c : 0);
        const each = (make) => Array.from({ length: h }, (_, j) => make(j));
        if (kind === "RNN") hs = each((j) => f(input(0, j) + recurrent(0, j)));
        if (kind === "GRU") {
          const z = each((j) => f(input(0, j) + recurrent(0, j)));
          const r = each((j) => f(input(1, j) + recurrent(1, j)));
          const reset = hs.map((value, j) => r[j] * value);
          const last = linear_before_reset
            ? (j) => second(input(2, j) + r[j] * recurrent(2, j))
            : (j) => second(input(2, j) + recurrent(2, j, reset));
          hs = each((j) => (1 - z[j]) * last(j) + z[j] * hs[j]);
        }
        if (kind === "LSTM") {
          const i_ = each((j) => f(input(0, j) + recurrent(0, j) + peephole(0, j, cs[j])));
          const f_ = input_forget
            ? i_.map((value) => 1 - value)
            : each((j) => f(input(2, j) + recurrent(2, j) + peephole(2, j, cs[j])));
          const c_ = each((j) => second(input(3, j) + recurrent(3, j)));
          const next = each((j) => f_[j] * cs[j] + i_[j] * c_[j]);
          const o_ = each((j) => f(input(1, j) + recurrent(1, j) + peephole(1, j, next[j])));
          cs = next;
          hs = each((j) => o_[j] * third(cs[j]));
        }
        hs.forEach((value, j) => (Y[(layout ? (row * t + step) * d + i : (step * d + i) * n + row) * h + j] = value));
      }
      for (let j = 0; j < h; j++) {
        const place = (layout ? row * d + i : i * n + row) * h + j;
        Yh[place] = hs[j];
        Yc[place] = cs[j];
      }
    }
  });
  return { Y, Y_h: Yh, ...(kind === "LSTM" && { Y_c: Yc }) };
}
