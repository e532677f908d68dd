// Readers: valid files, mutated, and what small references say to them. Accepted and refused must agree, numbers be equal.

import { isDeepStrictEqual } from "node:util";
import { floats, make, onnx, OBJECTS, proteus, rtneural, stateDict } from "./generators.mjs";
import { MAKERS, mutateFiles } from "./files.mjs";
import { checkGraph } from "./graphs.mjs";
import { mutateJson, mutateText, part, PARTS, put } from "./mutations.mjs";
import { mutateOnnx, onnxFile, readOnnx, writeOnnx } from "./onnx.mjs";
import * as references from "./references.mjs";
import { entries, W } from "./subject.mjs";

const { readSafetensors, writeSafetensors } = entries.safetensors;

// --- files of safetensors ------------------------------------------------------------------------------------------------

const encoder = new globalThis.TextEncoder();

const file = (json, data, length) => {
  const header = typeof json === "string" ? encoder.encode(json) : json;
  const bytes = new Uint8Array(8 + header.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(length ?? header.length)), true);
  bytes.set(header, 8);
  bytes.set(data, 8 + header.length);
  return bytes;
};

/** A safetensors file by a writer of its own: all dtypes, entries in any order, spaces. */
function ownFile(r) {
  const widths = { F64: 8, F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, I16: 2, I8: 1, U8: 1, BOOL: 1 };
  const names = ["a", "b.c", "\u00e9", "__proto__", "constructor", "0", "length", "", "x y"];
  let offset = 0;
  const entries = Array.from({ length: r.int(4) }, () => {
    const dtype = r.bool(0.6) ? r.pick(["F64", "F32", "F16", "BF16", "I32"]) : r.pick(Object.keys(widths));
    const shape = Array.from({ length: r.int(4) }, () => r.int(3));
    const begin = offset;
    offset += widths[dtype] * shape.reduce((a, b) => a * b, 1);
    const name = names.splice(r.int(names.length), 1)[0];
    return [name, { dtype, shape, data_offsets: [begin, offset] }];
  });
  if (r.bool()) entries.push(["__metadata__", { format: "pt", [r.pick(["__proto__", "k", "\u2028"])]: "v" }]);
  if (r.bool()) entries.reverse();
  const pairs = entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  const data = Uint8Array.from({ length: offset }, () => (r.bool(0.3) ? r.pick([0, 1, 0x7f, 0x80, 0xff]) : r.int(256)));
  return file(`{${pairs.join(r.pick([",", " , "]))}}${" ".repeat(r.int(9))}`, data);
}

function mutateBytes(r, bytes) {
  const at = r.int(Math.max(1, bytes.length));
  const headerSize = Math.min(
    Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)),
    bytes.length - 8,
  );
  const json = () => new globalThis.TextDecoder().decode(bytes.subarray(8, 8 + headerSize));
  const data = bytes.subarray(8 + headerSize);
  return r.one(
    () => {
      const copy = bytes.slice();
      copy[at] ^= 1 << r.int(8);
      return copy;
    },
    () => bytes.slice(0, at),
    () =>
      Uint8Array.of(
        ...bytes.subarray(0, at),
        ...Array.from({ length: r.int(9) }, () => r.int(256)),
        ...bytes.subarray(at),
      ),
    () => Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(Math.min(bytes.length, at + r.int(9)))),
    () => Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(r.int(bytes.length))),
    () => file(bytes.subarray(8, 8 + headerSize), data, r.pick([0, 1, headerSize + 1, headerSize - 1, bytes.length - 8, 2 ** 32, 2 ** 53, -1])), // prettier-ignore
    () => file(mutateText(r, json()), data),
    () => file(mutateText(r, json()), data),
    () => file(mutateText(r, mutateText(r, json())), data),
    () => file(mutateText(r, json()), data, headerSize),
    () => {
      try {
        const parsed = JSON.parse(json());
        mutateJson(r, parsed);
        return file(JSON.stringify(parsed), data);
      } catch {
        return bytes;
      }
    },
    () => file(bytes.subarray(8, 8 + headerSize), Uint8Array.of(...data, ...Array(r.int(9)).fill(1))),
  );
}

// --- comparing ---------------------------------------------------------------------------------------------------------

const sameNumber = (a, b) => Object.is(a, b) || Number(a) === Number(b) || (Number.isNaN(a) && Number.isNaN(b));

function near(a, b, tolerance) {
  if (Object.is(a, b) || (Number.isNaN(a) && Number.isNaN(b))) return true;
  return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b));
}

/** The reference's answer: { result } or { refused } or { unknown }. */
function ask(reference) {
  try {
    return { result: reference() };
  } catch (error) {
    if (error instanceof references.Unknown) return { unknown: error.message };
    if (error instanceof references.Refused) return { refused: error.message };
    throw error;
  }
}

/** Calls the reader; a difference in who accepts is a finding. Returns both results where both accept. */
function compare(call, read, reference) {
  const expected = ask(reference);
  const got = call.attempt(read);
  if (expected.unknown !== undefined) return undefined;
  if (got.error && expected.refused === undefined) {
    call.found("refused", `the reference accepts; got ${String(got.error.message).slice(0, 120)}`, got.error);
  }
  if (!got.error && expected.refused !== undefined) {
    call.found("accepted", `the reference refuses: ${expected.refused.slice(0, 100)}`);
  }
  return got.error || expected.refused !== undefined ? undefined : [got.result, expected.result];
}

/** Frames through a streaming model and its reference. */
function compareModel(call, r, [model, reference], dtype) {
  call.env.own(model);
  if (model.inputSize !== reference.inputs || model.outputSize !== reference.outputs) {
    return call.found("wrong", `sizes ${model.inputSize}, ${model.outputSize}`);
  }
  for (let t = 0; t < 3; t++) {
    const x = floats(r, dtype, model.inputSize);
    const y = model.step(x);
    const expected = reference.step([...x]);
    const worst = expected.findIndex((value, i) => !near(y[i], value, dtype === "f64" ? 1e-9 : 1e-3));
    if (worst >= 0 && expected.every((value) => Math.abs(value) < 1e6)) {
      return call.found("wrong", `step ${t}: ${y[worst]}, the reference gives ${expected[worst]}`);
    }
  }
}

const copy = (json) => JSON.parse(JSON.stringify(json));

/** JSON that is mutated some times. */
function mutatedJson(call, r, json) {
  const mutated = copy(json);
  for (let count = r.pick([0, 1, 1, 1, 2, 3]); count > 0; count--) {
    try {
      mutateJson(r, mutated);
    } catch {
      break; // too deep to be cloned
    }
  }
  call.describe(mutated);
  return mutated;
}

// --- the readers -------------------------------------------------------------------------------------------------------

function checkSafetensors(call, r) {
  let bytes = r.bool(0.4) ? writeSafetensors(stateDict(r), r.bool() ? { a: "b" } : {}) : ownFile(r);
  for (let count = r.pick([0, 1, 1, 2, 3]); count > 0 && bytes.length >= 8; count--) bytes = mutateBytes(r, bytes);
  call.describe(bytes);
  const both = compare(
    call,
    () => readSafetensors(bytes),
    () => references.safetensors(bytes),
  );
  if (!both) return;
  const [{ tensors, metadata }, expected] = both;
  const names = Object.keys(tensors);
  if (names.length !== expected.tensors.size) call.found("wrong", "other tensors");
  for (const [name, { shape, numbers }] of expected.tensors) {
    const own = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    const same = own && String(own.shape) === String(shape) && own.data.length === numbers.length;
    if (!same || !numbers.every((number, i) => sameNumber(own.data[i], number)))
      call.found("wrong", "a tensor is another");
  }
  for (const [key, value] of expected.metadata) {
    if (!Object.hasOwn(metadata, key) || metadata[key] !== value) call.found("wrong", "metadata is other");
  }
}

function checkCharLM(call, r) {
  const model = make(call.env, "CharLM");
  let bytes = W.writeCharLM(model, { steps: r.int(5), validation: { loss: 1.5, step: 2 } });
  const headerSize = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  if (r.bool(0.7)) {
    const header = JSON.parse(new globalThis.TextDecoder().decode(bytes.subarray(8, 8 + headerSize)));
    const meta = header.__metadata__;
    const key = r.pick(Object.keys(meta));
    if (r.bool())
      meta[key] = r.pick([mutateText(r, meta[key]), String(r.pick(PARTS)), meta[r.pick(Object.keys(meta))]]);
    else if (r.bool(0.3)) delete meta[key];
    else {
      const inner = ["architecture", "vocabulary"].includes(key) ? key : "architecture";
      try {
        const parsed = JSON.parse(meta[inner]);
        mutateJson(r, parsed);
        meta[inner] = JSON.stringify(parsed);
      } catch {
        // nothing to mutate
      }
    }
    bytes = file(JSON.stringify(header), bytes.subarray(8 + headerSize));
  } else {
    for (let count = r.int(3); count > 0 && bytes.length >= 8; count--) bytes = mutateBytes(r, bytes);
  }
  call.describe(bytes);
  const { result, error } = call.attempt(() => W.readCharLM(bytes));
  if (error) return;
  call.env.own(result.model);
  const { tensors, metadata } = references.safetensors(bytes);
  const parsed = JSON.parse(metadata.get("architecture"));
  const { architecture, vocabulary } = result.model;
  for (const name of ["embeddingDim", "hiddenSize", "numLayers"]) {
    if (parsed[name] !== architecture[name]) call.found("wrong", `architecture ${name}`);
  }
  const layers = ["embedding", architecture.cell.toLowerCase(), "linear"];
  if (JSON.stringify(parsed.layers) !== JSON.stringify(layers)) call.found("accepted", `layers ${JSON.stringify(parsed.layers)}`); // prettier-ignore
  const characters = JSON.parse(metadata.get("vocabulary"));
  if (JSON.stringify(characters) !== JSON.stringify(vocabulary.characters)) call.found("wrong", "the vocabulary");
  if (metadata.get("dtype") !== architecture.dtype) call.found("wrong", "dtype");
  if (!Object.is(Number(metadata.get("trained_steps") ?? 0), result.training.steps)) call.found("wrong", "steps");
  const dict = result.model.stateDict();
  for (const [name, { numbers }] of tensors) {
    const rounded = architecture.dtype === "f32" ? numbers.map((x) => Math.fround(Number(x))) : numbers;
    if (!rounded.every((number, i) => sameNumber(dict[name]?.data[i], number)))
      call.found("wrong", "a weight is another");
  }
}

function checkRtneural(call, r) {
  const json = mutatedJson(call, r, rtneural(r));
  const dtype = r.pick(["f64", "f32"]);
  const both = compare(
    call,
    () => entries.audio.fromRtneural(json, { dtype }),
    () => references.rtneural(json, dtype),
  );
  if (both) compareModel(call, r, both, dtype);
}

function checkProteus(call, r) {
  const json = mutatedJson(call, r, proteus(r));
  const dtype = r.pick(["f64", "f32"]);
  const both = compare(
    call,
    () => entries.audio.fromProteus(json, { dtype }),
    () => references.proteus(json, dtype),
  );
  if (both) compareModel(call, r, both, dtype);
}

function checkOnnx(call, r) {
  const [kind, attributes, inputs] = onnx(r);
  const mutated = copy(attributes);
  for (let count = r.pick([0, 0, 1, 1, 2]); count > 0; count--) mutateJson(r, mutated);
  if (r.bool(0.1)) put(mutated, r.pick(["activations", "activation_alpha", "clip", "layout", "extra"]), part(r));
  const operator = r.bool(0.95)
    ? kind
    : r.pick([[kind], kind.toLowerCase(), "constructor", new String(kind), "", null]);
  call.describe([operator, mutated]);
  // another layout or direction asks for other shapes
  if (mutated.layout !== attributes.layout || mutated.direction !== attributes.direction) {
    if (call.attempt(() => entries.onnx.onnxRecurrent(operator, mutated, inputs)).error) return;
  }
  const dtype = inputs.X.data instanceof Float64Array ? "f64" : "f32";
  const reference = () => references.onnx(operator, mutated, inputs);
  const both = compare(call, () => entries.onnx.onnxRecurrent(operator, mutated, inputs), reference);
  if (!both) return;
  const [got, expected] = both;
  for (const [name, numbers] of Object.entries(expected)) {
    const { data } = got[name];
    const at = numbers.findIndex((number, i) => !near(data[i], number, dtype === "f64" ? 1e-9 : 1e-3));
    if (data.length !== numbers.length || at >= 0) {
      if (numbers.some((number) => Math.abs(number) > 1e4)) return;
      return call.found("wrong", `${name}[${at}] is ${data[at]}, the reference gives ${numbers[at]}`);
    }
  }
}

function checkOnnxFile(call, r) {
  const bytes = mutateOnnx(r, onnxFile(r));
  call.describe(bytes);
  const { result, error } = call.attempt(() => readOnnx(bytes));
  if (error) return;
  // what was read is what is written
  if (!isDeepStrictEqual(readOnnx(writeOnnx(result)), result)) call.found("wrong", "written and read it is another");
}

function checkVocabulary(call, r) {
  const characters = Array.from({ length: r.int(5) }, () =>
    r.pick(["a", "b", "\n", "\u{1f600}", "\ud800", "e\u0301", "ab", "", " ", "__proto__", "\u0000", 5, null, ["a"]]),
  );
  call.describe(characters);
  const both = compare(
    call,
    () => new W.Vocabulary(characters),
    () => {
      for (const one of characters) {
        if (typeof one !== "string" || !/^.$/su.test(one)) throw new references.Refused("a character");
      }
      if (new Set(characters).size < characters.length) throw new references.Refused("twice");
      return new Map(characters.map((one, code) => [one, code]));
    },
  );
  if (!both) return;
  const [vocabulary, codes] = both;
  const text = Array.from({ length: r.int(4) }, () => r.pick([...characters, "a", "z", "\ud800"])).join("");
  const encoded = compare(
    call,
    () => [...vocabulary.encode(text)],
    () =>
      [...text].map((one) => {
        if (!codes.has(one)) throw new references.Refused("an unknown character");
        return codes.get(one);
      }),
  );
  if (encoded && String(encoded[0]) !== String(encoded[1])) call.found("wrong", "other codes");
  const numbers = Array.from({ length: r.int(4) }, () => r.pick([0, 1, 2, -1, 0.5, NaN, -0, 7, "0", "length", null]));
  const decoded = compare(
    call,
    () => vocabulary.decode(numbers),
    () =>
      numbers
        .map((code) => {
          if (typeof code !== "number" || !Number.isInteger(code)) throw new references.Refused("a code");
          if (code < 0 || code >= characters.length) throw new references.Refused("a code");
          return characters[code];
        })
        .join(""),
  );
  if (decoded && decoded[0] !== decoded[1]) call.found("wrong", "another text");
}

/** A state as a record of tensors, with entries changed, renamed, left out, doubled under another name. */
function mutateDict(r, dict) {
  const mutated = { ...dict };
  const names = Object.keys(mutated);
  for (let count = r.pick([0, 1, 1, 2]); count > 0 && names.length > 0; count--) {
    const name = r.pick(names);
    const entry = mutated[name];
    const whole = ArrayBuffer.isView(entry?.data) && Array.isArray(entry.shape);
    const { data, shape } = whole ? entry : { data: new Float64Array(1), shape: [1] };
    r.one(
      () => delete mutated[name],
      () => put(mutated, r.pick(["extra", "__proto__", "constructor", `${name} `]), { data, shape }),
      () => put(mutated, name, { data: data.slice(0, -1), shape }),
      () => put(mutated, name, { data, shape: [...shape, 1] }),
      () => put(mutated, name, { data, shape: r.pick([[], [...shape].reverse(), [data.length], [0], [-1], null]) }),
      () => put(mutated, name, { data: Float32Array.from(data), shape }),
      () => put(mutated, name, { data: Float64Array.from(data), shape }),
      () => put(mutated, name, { data: Int32Array.from(data), shape }),
      () => put(mutated, name, { data: Array.from(data), shape }),
      () => put(mutated, name, { data: data.map(() => r.pick([0, -1, NaN, Infinity, 2 ** 53, 0.5, 3])), shape }),
      () => put(mutated, name, r.pick([null, undefined, 5, "x", [], {}])),
    );
  }
  return mutated;
}

/** Whether an entry is a tensor of floats in a shape. */
function fits(entry, shape, kinds = [Float64Array, Float32Array]) {
  return (
    typeof entry === "object" &&
    entry !== null &&
    kinds.some((Kind) => entry.data instanceof Kind) &&
    Array.isArray(entry.shape) &&
    String(entry.shape) === String(shape) &&
    entry.shape.length === shape.length &&
    entry.data.length === shape.reduce((a, b) => a * b, 1)
  );
}

function sameNames(dict, names) {
  const keys = Object.keys(dict);
  return keys.length === names.length && names.every((name) => keys.includes(name));
}

function checkLayerState(call, r) {
  const layer = OBJECTS[r.pick(["RNN", "LSTM", "GRU", "Linear", "Embedding", "LayerNorm", "LSTMCell", "CharLM"])](
    call.env,
  );
  const expected = layer.stateDict();
  for (const { data } of Object.values(expected)) data.forEach((x, i) => (data[i] = r.real() - 0.5));
  const dict = mutateDict(r, expected);
  call.describe(dict);
  const both = compare(
    call,
    () => layer.loadStateDict(dict),
    () => {
      if (!sameNames(dict, Object.keys(expected))) throw new references.Refused("names");
      for (const [name, { shape }] of Object.entries(expected)) {
        if (!fits(dict[name], shape)) throw new references.Refused(name);
      }
    },
  );
  if (!both) return;
  const now = layer.stateDict();
  for (const [name, { data }] of Object.entries(now)) {
    const wanted = data instanceof Float32Array ? Float32Array.from(dict[name].data) : dict[name].data;
    if (!data.every((x, i) => Object.is(x, wanted[i]))) call.found("wrong", "other numbers");
  }
}

function checkOptimizerState(call, r) {
  const name = r.pick(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]);
  const optimizer = OBJECTS[name](call.env);
  optimizer.step();
  const expected = optimizer.stateDict();
  const dict = mutateDict(r, expected);
  call.describe(dict);
  const both = compare(
    call,
    () => optimizer.loadStateDict(dict),
    () => {
      if (Object.keys(dict).length === 0) return;
      if (!sameNames(dict, Object.keys(expected))) throw new references.Refused("names");
      for (const [key, { shape }] of Object.entries(expected)) {
        if (!fits(dict[key], shape)) throw new references.Refused(key);
        if (!key.endsWith(".step")) continue;
        const [count] = dict[key].data;
        if (!Number.isSafeInteger(count) || count < 0) throw new references.Refused("steps");
      }
    },
  );
  if (!both || Object.keys(dict).length === 0) return;
  for (const [key, { data }] of Object.entries(optimizer.stateDict())) {
    const wanted = data instanceof Float32Array ? Float32Array.from(dict[key].data) : dict[key].data;
    if (!data.every((x, i) => Object.is(x, wanted[i]))) call.found("wrong", "other numbers");
  }
}

function checkScheduleState(call, r) {
  const schedule = OBJECTS[r.pick(["StepLR", "CosineAnnealingLR", "LinearLR", "ReduceLROnPlateau"])](call.env);
  const expected = schedule.stateDict();
  const dict = mutateDict(r, expected);
  call.describe(dict);
  const both = compare(
    call,
    () => schedule.loadStateDict(dict),
    () => {
      if (!sameNames(dict, Object.keys(expected))) throw new references.Refused("names");
      for (const [name, { shape }] of Object.entries(expected)) {
        if (!fits(dict[name], shape, [Float64Array])) throw new references.Refused(name);
        for (const value of dict[name].data) {
          const right =
            name === "best"
              ? !Number.isNaN(value)
              : shape.length > 0
                ? Number.isFinite(value) && value >= 0
                : Number.isSafeInteger(value) && value >= 0;
          if (!right) throw new references.Refused(name);
        }
      }
    },
  );
  if (!both) return;
  for (const [name, { data }] of Object.entries(schedule.stateDict())) {
    if (!data.every((x, i) => sameNumber(x, dict[name].data[i]))) call.found("wrong", `other ${name}`);
  }
}

/** Files of a format through loadModel: what it gives is what it says, and a file that is not changed is accepted. */
function loaderOf(format) {
  return async (call, r) => {
    let files = MAKERS[format](r, call.env);
    const changes = format === "onnx" ? r.int(2) : r.pick([0, 1, 1, 1, 2, 3]); // mutateOnnx takes valid files
    for (let count = changes; count > 0; count--) files = mutateFiles(r, format, files);
    call.describe(files);
    const { result, error } = await call.attemptLater(() => entries.load.loadModel(files));
    if (error) {
      if (changes === 0 && format !== "onnx") call.found("refused", error.message, error);
      return;
    }
    const { format: found, model, tensors, metadata } = result;
    if (model) call.env.own(model);
    if (changes === 0 && found !== format) call.found("wrong", `format ${found}`);
    if ((model === undefined) === (tensors === undefined)) call.found("wrong", "not one of model and tensors");
    if (Object.getPrototypeOf(metadata) !== null) call.found("wrong", "metadata with a prototype");
    for (const { data, shape } of Object.values(tensors ?? {})) {
      if (data.length !== shape.reduce((a, b) => a * b, 1))
        call.found("wrong", `${data.length} numbers of shape ${shape}`);
    }
  };
}

/** Readers by name. */
export const READERS = {
  ...Object.fromEntries(Object.keys(MAKERS).map((format) => [`files: loadModel of ${format}`, loaderOf(format)])),
  "files: readSafetensors": checkSafetensors,
  "files: readCharLM": checkCharLM,
  "files: fromRtneural": checkRtneural,
  "files: fromProteus": checkProteus,
  "files: readOnnx": checkOnnxFile,
  "files: fromOnnx": checkGraph,
  "files: onnxRecurrent": checkOnnx,
  "files: Vocabulary": checkVocabulary,
  "files: loadStateDict of layers": checkLayerState,
  "files: loadStateDict of optimizers": checkOptimizerState,
  "files: loadStateDict of schedules": checkScheduleState,
};
