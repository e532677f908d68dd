// Models from RTNeural's and Proteus' files, one frame at a time: against PyTorch, against whole sequences to the bit, and
// what is refused. That nothing is allocated, and the speed in an audio worklet, is in audio.test.ts.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromProteus, fromRtneural, type RtneuralOptions, type StreamingModel } from "../../src/audio.js";
import {
  DisposedError,
  DtypeError,
  FormatError,
  GRU,
  Linear,
  LSTM,
  RNN,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  valueAndGrad,
  type NestedNumbers,
  type Tensor,
} from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { golden, tensorOf, type Dtype, type Numbers } from "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { bytes, heapOf, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly name: string;
  readonly form: "rtneural" | "proteus";
  readonly options: RtneuralOptions;
  readonly json: Json;
  readonly x: Numbers;
  readonly y: Numbers;
}
type Json = Record<string, unknown>;
type ErrorClass = abstract new (...args: never[]) => Error;
interface ProteusFile {
  model_data: { unit_type: "LSTM" | "GRU" | "RNN"; num_layers: number; skip: number; [name: string]: unknown };
  state_dict: Record<string, NestedNumbers>;
}

const { cases } = golden("streaming") as { cases: Case[] };
const caseOf = (name: string, form: Case["form"]): Case => {
  const found = cases.find((each) => each.name === name && each.form === form);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found;
};
const titled = cases.map((each) => [`${each.form}: ${each.name}`, each] as const);

const TOLERANCES = { f64: { rtol: 1e-9, atol: 1e-9 }, f32: { rtol: 1e-4, atol: 1e-6 } };

const load = ({ form, json, options }: Case, dtype: Dtype): StreamingModel =>
  form === "rtneural" ? fromRtneural(json, { ...options, dtype }) : fromProteus(json, { ...options, dtype });

type Block = Float64Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
const block = (x: Numbers, dtype: Dtype): Block => tensorOf(x, dtype).data as Block;

/** All frames of x [T,D] by `step`: [T,M]. */
function stepped(model: StreamingModel, x: Numbers, dtype: Dtype): Tensor {
  const [t, d] = x.shape as [number, number];
  const y: number[] = [];
  const input = block(x, dtype);
  for (let i = 0; i < t; i++) y.push(...model.step(input.subarray(i * d, (i + 1) * d)));
  return tensorOf({ data: y, shape: [t, model.outputSize] }, dtype);
}

/** The same by `process`, in blocks of so many frames. */
function processed(model: StreamingModel, x: Numbers, dtype: Dtype, frames: readonly number[]): Tensor {
  const [t, d] = x.shape as [number, number];
  const m = model.outputSize;
  const input = block(x, dtype);
  const data = dtype === "f64" ? new Float64Array(t * m) : new Float32Array(t * m);
  let at = 0;
  for (const count of frames) {
    model.process(input.subarray(at * d, (at + count) * d), data.subarray(at * m, (at + count) * m));
    at += count;
  }
  expect(at).toBe(t);
  return { data, shape: [t, m] };
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(titled)("%s: PyTorch's numbers, by step and in blocks", (_, each) => {
      using model = load(each, dtype);
      const [t, d] = each.x.shape as [number, number];
      expect([model.dtype, model.inputSize, model.outputSize]).toEqual([dtype, d, each.y.shape[1]]);
      const y = stepped(model, each.x, dtype);
      expect(y).toBeAllClose(each.y, TOLERANCES[dtype]);
      model.reset();
      expect(processed(model, each.x, dtype, [t])).toHaveBits(y);
      model.reset();
      expect(processed(model, each.x, dtype, [1, 0, 7, t - 11, 3])).toHaveBits(y);
    });

    test.each(titled.filter(([, { form }]) => form === "proteus"))("%s: the bits of the whole sequence", (_, each) => {
      using model = load(each, dtype);
      expect(stepped(model, each.x, dtype)).toHaveBits(batch(each.json as unknown as ProteusFile, each.x, dtype));
    });

    test.each([
      ["LSTM 7, in_skip", "LSTM 7, skip"],
      ["GRU 6", "GRU 6"],
      ["GRU 6, state_dict", "GRU 6"],
    ])("%s: the same weights in another form have the same bits", (rtneural, proteus) => {
      const each = caseOf(rtneural, "rtneural");
      using one = load(each, dtype);
      using two = load(caseOf(proteus, "proteus"), dtype);
      expect(stepped(one, each.x, dtype)).toHaveBits(stepped(two, each.x, dtype));
    });

    test("e^x - 1 keeps its digits near 0", () => {
      const shape = [null, null, 1];
      const identity = { type: "dense", activation: "elu", shape, weights: [[[1]]] };
      using model = fromRtneural({ in_shape: shape, layers: [identity] }, { dtype });
      for (const x of [-1e-7, -1e-3, -0.5, -3, -100, 0, 2]) {
        const expected = x > 0 ? x : Math.expm1(x);
        const [y] = model.step([x]);
        expect(Math.abs(y! - expected)).toBeLessThanOrEqual(Math.abs(expected) * (dtype === "f64" ? 2e-15 : 1e-6));
      }
      expect([...model.step([-Infinity])]).toEqual([-1]);
      expect([...model.step([NaN])]).toEqual([NaN]);
    });
  });

  const twin = caseOf("LSTM 7, skip", "proteus");

  test("is f32 unless dtype says f64; what comes out is live, what went in stays", () => {
    using model = fromProteus(twin.json);
    expect(model.dtype).toBe("f32");
    const x = new Float32Array([0.5]);
    const y = model.step(x);
    expect(y).toBeInstanceOf(Float32Array);
    expect(model.step(x)).toBe(y);
    expect([...x]).toEqual([0.5]);
    model.reset();
    const first = model.step([0.5])[0];
    model.reset();
    expect(model.step(new Int8Array([0]))[0]).not.toBe(first);
    model.reset();
    expect(model.step(Float64Array.of(0.5))[0]).toBe(first);
  });

  test("nothing of it is recorded, so a recorded body must not run it", () => {
    using model = fromProteus(twin.json);
    const frame = new Float32Array([0.5]);
    const calls = {
      step: () => model.step(frame),
      process: () => model.process(frame, frame),
      dispose: () => model.dispose(),
    };
    const first = model.step(frame)[0];
    model.reset();
    for (const [name, call] of Object.entries(calls)) {
      refuses(() => valueAndGrad(call as never), StateError, `StreamingModel.${name}`);
    }
    expect(model.step(frame)[0]).toBe(first);
  });

  test("process works in place", () => {
    using model = fromProteus(twin.json);
    const expected = stepped(model, twin.x, "f32");
    const data = block(twin.x, "f32");
    model.reset();
    model.process(data, data);
    expect({ data, shape: expected.shape }).toHaveBits(expected);
  });

  test("process takes blocks of one buffer where they do not touch, or lie exactly on each other", () => {
    using model = fromProteus(twin.json);
    const x = [0.5, -0.25, 0.125];
    const expected = x.flatMap((value) => [...model.step([value])]);
    const data = Float32Array.from([...x, 0, 0, 0]);
    model.reset();
    model.process(data.subarray(0, 3), data.subarray(3));
    expect([...data]).toEqual([...x, ...expected]);
    model.reset();
    model.process(data.subarray(0, 3), data.subarray(0, 3));
    expect([...data.subarray(0, 3)]).toEqual(expected);
  });

  test("models do not disturb each other, and memory may grow between steps", () => {
    using one = fromProteus(twin.json);
    using two = load(caseOf("all layers", "rtneural"), "f32");
    const expected = stepped(one, twin.x, "f32").data;
    one.reset();
    using probe = new Linear(1, 1);
    const heap = heapOf(probe);
    for (let t = 0; t < expected.length; t++) {
      if (t === 5) heap.free(heap.allocate(heap.byteLength, "growth"));
      two.step([t, 1, -t]);
      expect(one.step([twin.x.data[t]!])[0]).toBe(expected[t]);
    }
  });

  test("gives its memory back, also where making it fails", () => {
    using probe = new Linear(1, 1);
    const heap = heapOf(probe);
    const { bytesUsed } = heap;
    for (const each of cases) load(each, "f64").dispose();
    for (let i = 0; i < 3; i++) {
      const broken = changed(twin.json, (json: { model_data: { skip: number } }) => (json.model_data.skip = 1.5));
      refuses(() => fromProteus(broken), FormatError, "model_data.skip");
    }
    expect(heap.bytesUsed).toBe(bytesUsed);
    const model = fromProteus(twin.json);
    model.dispose();
    model.dispose();
    expect(heap.bytesUsed).toBe(bytesUsed);
    for (const call of [() => model.step([0]), () => model.reset(), () => model.process(ONE, ONE)]) {
      refuses(call, DisposedError, "model");
    }
  });
});

const ONE = new Float32Array(1);

/** The output of a Proteus file, computed by layers over the whole sequence. */
function batch({ model_data: data, state_dict: dict }: ProteusFile, x: Numbers, dtype: Dtype): Tensor {
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(dict).flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), tensor(value, undefined, dtype)]] : [],
      ),
    );
  const [rec, lin] = [part("rec."), part("lin.")];
  const [inputs, hidden] = [x.shape[1]!, rec.weight_hh_l0!.shape[1]!];
  const kinds = { RNN, LSTM, GRU };
  using layer = new kinds[data.unit_type](inputs, hidden, { numLayers: data.num_layers, dtype });
  using head = new Linear(hidden, lin.weight!.shape[0]!, { dtype });
  layer.loadStateDict(rec);
  head.loadStateDict(lin);
  const input = tensorOf(x, dtype);
  const { output } = head.forward(layer.forward(input).output);
  const m = output.shape[1]!;
  if (data.skip === 0) return output;
  for (let i = 0; i < output.data.length; i++) {
    const [t, j] = [Math.floor(i / m), i % m];
    output.data[i] = output.data[i]! + input.data[t * inputs + (data.skip === 1 ? 0 : j)]!;
  }
  return output;
}

/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-member-access,
   @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-assignment --
   files are broken at any place */
/** A copy of a file with something else somewhere. */
function changed(json: Json, change: (json: any) => unknown): Json {
  const copy = structuredClone(json);
  change(copy);
  return copy;
}

describe("refuses", () => {
  const keras = caseOf("LSTM 7, in_skip", "rtneural").json;
  const gru = caseOf("GRU 6", "rtneural").json;
  const all = caseOf("all layers", "rtneural").json;
  const flat = caseOf("GRU 6, state_dict", "rtneural").json;
  const named = caseOf("state_dict, modules named", "rtneural");
  const proteus = caseOf("LSTM 7, skip", "proteus").json;

  test.each<[string, Json, (json: any) => unknown, ErrorClass, string[]]>([
    [
      "a layer of another type",
      keras,
      (f) => (f.layers[0].type = "conv3d"),
      UnsupportedError,
      ["layers[0].type", "conv3d"],
    ],
    ["a layer that is none", keras, (f) => (f.layers[1] = 3), FormatError, ["layers[1]", "number 3"]],
    ["no layers", keras, (f) => (f.layers = []), FormatError, ["layers", "empty"]],
    ["no in_shape", keras, (f) => delete f.in_shape, FormatError, ["in_shape", "undefined"]],
    ["an in_shape without a size", keras, (f) => (f.in_shape = [1, null]), FormatError, ["in_shape[1]", "null"]],
    ["no shape", keras, (f) => delete f.layers[0].shape, FormatError, ["layers[0].shape"]],
    ["no weights", keras, (f) => delete f.layers[0].weights, FormatError, ["layers[0].weights"]],
    ["too few weights", keras, (f) => f.layers[0].weights.splice(1), FormatError, ["layers[0].weights", "1 arrays"]],
    [
      "other inputs",
      keras,
      (f) => (f.in_shape = [null, 2]),
      ShapeError,
      ["layers[0].weights[0]", "got 1", "expected 2"],
    ],
    ["a short row", keras, (f) => f.layers[0].weights[1][2].pop(), ShapeError, ["layers[0].weights[1][2]", "27", "28"]],
    ["other units", keras, (f) => (f.layers[0].shape[2] = 8), ShapeError, ["layers[0].weights[0][0]", "28", "32"]],
    ["other units below", keras, (f) => f.layers[1].weights[0].pop(), ShapeError, ["layers[1].weights[0]", "6", "7"]],
    ["text", keras, (f) => (f.layers[1].weights[0][2][0] = "1"), FormatError, ["layers[1].weights[0][2][0]", '"1"']],
    ["null", keras, (f) => (f.layers[1].weights[1][0] = null), FormatError, ["layers[1].weights[1][0]", "null"]],
    [
      "a vector for a matrix",
      keras,
      (f) => (f.layers[1].weights[0] = [1, 2, 3, 4, 5, 6, 7]),
      FormatError,
      ["layers[1].weights[0][0]"],
    ],
    [
      "an activation",
      keras,
      (f) => (f.layers[1].activation = "swish"),
      UnsupportedError,
      ["layers[1].activation", "swish"],
    ],
    [
      "a cell's activation",
      keras,
      (f) => (f.layers[0].activation = "relu"),
      UnsupportedError,
      ["layers[0].activation"],
    ],
    ["a gain", keras, (f) => (f.out_gain = -3), UnsupportedError, ["out_gain", "-3"]],
    ["more skip than inputs", keras, (f) => (f.in_skip = 2), ShapeError, ["in_skip", "2 inputs", "at most 1"]],
    ["a third array", keras, (f) => f.layers[1].weights.push([1]), FormatError, ["layers[1].weights", "3 arrays", "2"]],
    ["a fourth array", keras, (f) => f.layers[0].weights.push(0), FormatError, ["layers[0].weights", "4 arrays", "3"]],
    ["a fourth array", gru, (f) => f.layers[0].weights.push(0), FormatError, ["layers[0].weights", "4 arrays", "3"]],
    ["more slopes", all, (f) => f.layers[5].weights.push([1]), FormatError, ["layers[5].weights", "2 arrays", "1"]],
    [
      "a function's weights",
      all,
      (f) => f.layers[10].weights.push(1),
      FormatError,
      ["layers[10].weights", "at most 0"],
    ],
    ["slopes and more", all, (f) => (f.layers[5].activation = "relu"), UnsupportedError, ["layers[5].activation"]],
    ["slopes of a shape", all, (f) => (f.layers[5].shape[2] = 7), ShapeError, ["layers[5].shape", "got 7", "6"]],
    ["a function of a shape", all, (f) => (f.layers[10].shape[2] = 4), ShapeError, ["layers[10].shape", "got 4", "3"]],
    ["infinity", keras, (f) => (f.layers[1].weights[1][0] = Infinity), FormatError, ["layers[1].weights[1][0]"]],
    ["NaN", flat, (f) => (f["dense.bias"][0] = NaN), FormatError, ['json["dense.bias"][0]', "NaN", "finite in f32"]],
    ["too much for f32", keras, (f) => (f.layers[0].weights[0][0][3] = 1e300), FormatError, ["[0][0][3]", "1e+300"]],
    ["half a skip", keras, (f) => (f.in_skip = 0.5), FormatError, ["in_skip", "0.5"]],
    ["half a skip too many", keras, (f) => (f.in_skip = 1.5), FormatError, ["in_skip", "1.5"]],
    [
      "reset before",
      gru,
      (f) => (f.layers[0].weights[2] = f.layers[0].weights[2][0]),
      ShapeError,
      ["layers[0].weights[2]", "got 18", "expected 2"],
    ],
    [
      "slopes",
      all,
      (f) => f.layers[5].weights[0][0].pop(),
      ShapeError,
      ["layers[5].weights[0][0]", "got 5", "expected 6"],
    ],
    ["a state_dict with more", flat, (f) => (f["bn.running_mean"] = [1]), UnsupportedError, ["json", '"bn"']],
    ["a weight of one axis", flat, (f) => (f["bn.weight"] = [1]), UnsupportedError, ["bn"]],
    [
      "one direction more",
      flat,
      (f) => (f["gru.weight_ih_l0_reverse"] = [[1]]),
      UnsupportedError,
      ["gru.weight_ih_l0_reverse"],
    ],
    [
      "no rows for a gate",
      flat,
      (f) => f["gru.weight_hh_l0"].pop(),
      ShapeError,
      ['json["gru.weight_hh_l0"]', "17 rows", "6"],
    ],
    ["one bias alone", flat, (f) => delete f["gru.bias_hh_l0"], FormatError, ['json["gru.bias_hh_l0"]', "undefined"]],
    ["nothing", {}, () => 0, FormatError, ["json", "no module"]],
  ])("RTNeural: %s", (_, json, change, kind, parts) => {
    refuses(() => fromRtneural(changed(json, change)), kind, ...parts);
  });

  test.each<[string, (json: any) => unknown, ErrorClass, string[]]>([
    ["another model", (f) => (f.model_data.model = "ConvNet"), UnsupportedError, ["model_data.model", "ConvNet"]],
    ["another cell", (f) => (f.model_data.unit_type = "SSM"), UnsupportedError, ["model_data.unit_type", "SSM"]],
    [
      "the other cell",
      (f) => (f.model_data.unit_type = "GRU"),
      ShapeError,
      ['state_dict["rec.weight_ih_l0"]', "28", "21"],
    ],
    ["no model_data", (f) => delete f.model_data, FormatError, ["model_data", "undefined"]],
    ["no state_dict", (f) => delete f.state_dict, FormatError, ["state_dict", "undefined"]],
    ["no skip", (f) => delete f.model_data.skip, FormatError, ["model_data.skip", "undefined"]],
    ["other inputs", (f) => (f.model_data.input_size = 2), ShapeError, ['state_dict["rec.weight_ih_l0"][0]', "got 1"]],
    ["other units", (f) => (f.model_data.hidden_size = 8), ShapeError, ['state_dict["rec.weight_hh_l0"][0]', "got 7"]],
    ["units that are none", (f) => (f.model_data.hidden_size = -1), FormatError, ["model_data.hidden_size", "-1"]],
    [
      "other outputs",
      (f) => (f.model_data.output_size = 2),
      ShapeError,
      ['state_dict["lin.weight"]', "got 1", "expected 2"],
    ],
    ["other layers", (f) => (f.model_data.num_layers = 2), ShapeError, ["model_data.num_layers", "2", "1, as"]],
    [
      "a missing entry",
      (f) => delete f.state_dict["lin.weight"],
      FormatError,
      ['state_dict["lin.weight"]', "undefined"],
    ],
    ["an unknown entry", (f) => (f.state_dict["conv.weight"] = [[1]]), UnsupportedError, ["state_dict", "conv.weight"]],
    ["a short bias", (f) => f.state_dict["lin.bias"].push(1), ShapeError, ['state_dict["lin.bias"]', "got 2"]],
  ])("Proteus: %s", (_, change, kind, parts) => {
    refuses(() => fromProteus(changed(proteus, change)), kind, ...parts);
  });
  /* eslint-enable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-member-access,
   @typescript-eslint/no-unsafe-return, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-assignment */

  test("sizes that no array in the file has, before anything is allocated", () => {
    using probe = new Linear(1, 1);
    const { byteLength } = heapOf(probe);
    const nothing = { type: "activation", activation: "" };
    const tanh = { type: "activation", activation: "tanh" };
    const slope = { type: "prelu", weights: [[[0.5]]] };
    for (const size of [3e8, 1]) {
      for (const layers of [[nothing], [tanh, nothing], ...(size > 1 ? [[tanh, slope]] : [])]) {
        refuses(() => fromRtneural({ in_shape: [size], layers }), FormatError, "layers: got", "in_shape");
      }
    }
    const dense = { type: "dense", shape: [1], weights: [[[1]]] };
    refuses(
      () => fromRtneural({ in_shape: [3e8], layers: [tanh, dense] }),
      ShapeError,
      "layers[1].weights[0]",
      "got 1",
    );
    expect(heapOf(probe).byteLength).toBe(byteLength);
    using one = fromRtneural({ in_shape: [1], layers: [nothing, slope] });
    expect([...one.step([-3])]).toEqual([-1.5]);
  });

  test("weights as large as f64 has them, only there", () => {
    const json = changed(proteus, (file: ProteusFile) => (file.state_dict["lin.bias"] = [1e300]));
    refuses(() => fromProteus(json), FormatError, 'state_dict["lin.bias"][0]', "1e+300", "f32");
    using model = fromProteus(json, { dtype: "f64" });
    expect([...model.step([0])]).toEqual([1e300]);
  });

  test("Proteus: a skip of more inputs than there are is one of all, as in PyTorch's slices", () => {
    using one = fromProteus(proteus);
    using all = fromProteus(changed(proteus, (file: ProteusFile) => (file.model_data.skip = 5)));
    for (const x of [0.5, -0.25]) expect([...all.step([x])]).toEqual([...one.step([x])]);
  });

  test("a skip of some inputs to more outputs", () => {
    const json = changed(caseOf("GRU, 1 input skips to 2 outputs", "proteus").json, (file: ProteusFile) => {
      file.model_data.skip = 3;
    });
    refuses(() => fromProteus(json), ShapeError, "model_data.skip", "3 inputs", "2");
  });

  test("a file that was not parsed, and other things", () => {
    for (const json of [JSON.stringify(keras), null, undefined, [keras], 3]) {
      refuses(() => fromRtneural(json), FormatError, "json: got");
      refuses(() => fromProteus(json), FormatError, "json: got");
    }
    refuses(() => fromProteus(keras), FormatError, "model_data");
  });

  test("options", () => {
    refuses(() => fromRtneural(keras, { dtype: "f16" as "f32" }), ValueError, "dtype", "f16");
    refuses(() => fromProteus(proteus, { modules: [] } as object), UnsupportedError, "modules");
    refuses(() => fromRtneural(keras, { modules: ["lstm"] }), ValueError, "modules");
    refuses(() => fromRtneural(named.json), UnsupportedError, "right after another", "options.modules");
    for (const list of [5, {}, null, "tanh", [], [1], [undefined], [Symbol("gru")], ["gru", null]]) {
      for (const json of [flat, keras]) {
        refuses(() => fromRtneural(json, { modules: list as never }), ValueError, "modules", "at least one string");
      }
    }
    const modules = (...names: string[]) =>
      refuses(() => fromRtneural(flat, { modules: names }), ValueError, "modules");
    modules("gru", "swish", "dense");
    modules("tanh", "gru", "dense");
    refuses(() => fromRtneural(flat, { modules: ["gru"] }), UnsupportedError, "dense.weight");
    refuses(() => fromRtneural(flat, { modules: ["gru", "gru", "dense"] }), ShapeError, 'json["gru.weight_ih_l0"]');
  });

  test("frames and blocks of another size or kind, and changes nothing", () => {
    using model = load(named, "f32");
    const frame = [1, 2, 3];
    const expected = [...model.step(frame)];
    model.reset();
    for (const wrong of [[], [1, 2], new Float32Array(4)]) {
      refuses(() => model.step(wrong), ShapeError, "x: got", "3 numbers (inputSize)");
    }
    refuses(() => model.step(["1", 2, 3] as never), DtypeError, "x[0]");
    refuses(() => model.step(3 as never), DtypeError, "x: got");
    const f32 = (count: number) => new Float32Array(count);
    refuses(() => model.process(f32(7), f32(4)), ShapeError, "input: got 7 numbers", "multiple of 3");
    refuses(() => model.process(f32(6), f32(3)), ShapeError, "output: got 3 numbers", "4 (2 frames");
    refuses(() => model.process([1, 2, 3] as never, f32(2)), DtypeError, "input: got Array");
    refuses(() => model.process(f32(3), new Int32Array(2) as never), DtypeError, "output: got Int32Array");
    expect([...model.step(frame)]).toEqual(expected);
  });
});

test("refuses blocks that overlap or are gone, and changes nothing", () => {
  using one = fromProteus(caseOf("LSTM 7, skip", "proteus").json);
  using two = fromProteus(caseOf("RNN", "proteus").json);
  const expected = [...one.step([0.5])];
  one.reset();
  const buffer = new ArrayBuffer(64);
  const f32 = (offset: number, count: number) => new Float32Array(buffer, offset, count);
  f32(0, 16).fill(0.5);
  const before = buffer.slice(0);
  const overlaps = (model: StreamingModel, input: Block, output: Block) =>
    refuses(() => model.process(input, output), ValueError, "output: got", "a part of input");
  overlaps(one, f32(0, 4), f32(4, 4));
  overlaps(one, f32(4, 4), f32(0, 4));
  overlaps(one, f32(0, 4), new Float64Array(buffer, 0, 4));
  overlaps(one, new Float64Array(buffer, 8, 4), f32(20, 4));
  overlaps(two, f32(0, 12), f32(0, 4));
  overlaps(two, f32(0, 12), f32(44, 4));
  expect(new Uint8Array(buffer)).toEqual(new Uint8Array(before));

  const gone = new Float32Array(4);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  const empty = new Float32Array(0);
  for (const output of [empty, gone, new Float32Array(4)]) {
    refuses(() => one.process(gone, output), ValueError, "input: got", "detached");
  }
  refuses(() => one.process(empty, gone), ValueError, "output: got", "detached");
  one.process(empty, empty);
  one.process(f32(4, 0), f32(0, 0));
  one.process(empty, new Float64Array(0));
  expect([...one.step([0.5])]).toEqual(expected);
});

test("numbers of another type are rounded when they come in", () => {
  using model = fromProteus(caseOf("RNN", "proteus").json, { dtype: "f32" });
  const x = wave([8, 3], "f64");
  const y = new Float64Array(8);
  model.process(x.data as Float64Array, y);
  model.reset();
  const rounded = processed(model, { data: x.data, shape: [8, 3] }, "f32", [8]);
  expect(bytes({ data: Float32Array.from(y), shape: [8, 1] })).toEqual(bytes(rounded));
});

describe("files of many layers are read in linear time, up to 1,000", () => {
  const dense = { type: "dense", shape: [null, null, 1], weights: [[[1]], [0]] };
  const tanh = { type: "activation", activation: "tanh", shape: [null, null, 1] };
  const chain = (count: number) => ({ in_shape: [null, null, 1], layers: [dense, ...Array<object>(count).fill(tanh)] });
  const stack = (count: number, prefix = "") => {
    const names = Array.from({ length: count }, (_, i) => [`${prefix}weight_ih_l${i}`, `${prefix}weight_hh_l${i}`]);
    return Object.fromEntries(names.flat().map((name) => [name, [[1]]]));
  };

  test("1,000 layers load", () => {
    const modules = ["", ...Array<string>(999).fill("tanh")];
    for (const make of [() => fromRtneural(chain(999)), () => fromRtneural(stack(1), { modules })]) {
      using model = make();
      expect(model.step([0.5])[0]).toBeGreaterThan(0);
    }
  });

  test("more are refused at once", () => {
    const data = { unit_type: "RNN", input_size: 1, hidden_size: 1, skip: 0 };
    const proteus = { model_data: data, state_dict: stack(20_000, "rec.") };
    const [long, deep] = [chain(100_000), stack(20_000)];
    const modules = ["", ...Array<string>(200_000).fill("tanh")];
    const wide = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`m${i}.weight_hh_l0`, [[1]]]));
    const start = performance.now();
    refuses(() => fromRtneural(long), UnsupportedError, "layers: got 100001 layers, expected at most 1000");
    refuses(() => fromRtneural(deep), UnsupportedError, "json: got 1001 layers, expected at most 1000");
    refuses(() => fromProteus(proteus), UnsupportedError, "state_dict: got 1001 layers");
    refuses(() => fromRtneural(stack(1), { modules }), UnsupportedError, "modules: got 200001 layers");
    refuses(() => fromRtneural(wide), UnsupportedError, "json: got 200000 layers");
    expect(performance.now() - start).toBeLessThan(patient(10_000)); // it took minutes; 0.3 s on an idle machine
  });
});

describe("holes and odd lengths", () => {
  const dense = (...weights: unknown[]) => ({ type: "dense", shape: [1], weights });
  const hole = (length: number): unknown[] => Object.assign([], { length });

  test("a hole in `layers` or `weights` is no layer and no array", () => {
    const read = (layers: unknown) => () => fromRtneural({ in_shape: [1], layers });
    using whole = read([dense([[2]], [1])])();
    expect([...whole.step([3])]).toEqual([7]);
    refuses(read(hole(1)), FormatError, "layers[0]: got undefined");
    refuses(read([dense([[2]], [1]), ...hole(0).concat(hole(1))]), FormatError, "layers[1]: got undefined");
    refuses(read([dense([[2]]), dense(...hole(2))]), FormatError, "layers[1].weights[0]: got undefined");
    const sparse = dense([[2]]);
    sparse.weights.length = 2;
    refuses(read([sparse]), FormatError, "layers[0].weights[1]: got undefined");
  });

  test("lists that claim to be long end at their first hole", () => {
    const long = hole(2 ** 32 - 1);
    const state = (rows: unknown) => fromRtneural({ "gru.weight_hh_l0": rows });
    refuses(() => fromRtneural({ in_shape: [1], layers: long }), UnsupportedError, "layers: got 4294967295 layers");
    refuses(() => fromRtneural({}, { modules: long as never }), UnsupportedError, "modules: got 4294967295");
    refuses(() => state(long), FormatError, 'json["gru.weight_hh_l0"][0]: got undefined');
    refuses(() => state([long]), FormatError, 'json["gru.weight_hh_l0"][0][0]: got undefined');
    const slopes = { type: "prelu", weights: [[long]] };
    refuses(() => fromRtneural({ in_shape: [1], layers: [slopes] }), ShapeError, "layers[0].weights[0][0]");
  });
});

test("of RTNeural's layers those load that the guide says", () => {
  const guide = readFileSync(new URL("../../docs/guides/streaming.md", import.meta.url), "utf8");
  const rows = guide.split("\n").filter((line) => line.startsWith("| `"));
  const loads = rows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`([\w-]+)`/g)].map(([, type]) => type!));
  const zeros = (...shape: number[]): NestedNumbers =>
    shape.length === 0 ? 0 : Array.from({ length: shape[0]! }, () => zeros(...shape.slice(1)));
  const ones = [1, 1];
  const sizes = { kernel_size: [3], dilation: [2], num_filters_in: 2, num_features_in: 1, num_filters_out: 2 };
  const taps = { kernel_size_time: 3, kernel_size_feature: 1, strides: 1, padding: "valid", epsilon: 0.001 };
  const weights: Record<string, NestedNumbers[]> = {
    lstm: [zeros(2, 8), zeros(2, 8), zeros(8)],
    gru: [zeros(2, 6), zeros(2, 6), zeros(2, 6)],
    dense: [zeros(2, 2), zeros(2)],
    "time-distributed-dense": [zeros(2, 2), zeros(2)],
    activation: [],
    prelu: [zeros(1, 2)],
    conv1d: [zeros(3, 2, 2), zeros(2)],
    conv2d: [zeros(3, 1, 2, 2), zeros(2)],
    batchnorm: [zeros(2), zeros(2), zeros(2), ones],
    batchnorm2d: [zeros(2), ones],
    gated_activation: [],
  };
  expect(loads).toEqual(Object.keys(weights).sort((a, b) => loads.indexOf(a) - loads.indexOf(b)));
  const read = (type: string) => {
    const activation = type === "activation" ? "tanh" : "";
    const out = type === "gated_activation" ? 1 : 2;
    const shape = type.endsWith("2d") ? [null, null, 1, 2] : [null, null, out];
    const layer = { type, activation, shape, ...sizes, ...taps, weights: weights[type] };
    const dense = { type: "dense", activation: "", shape: [null, null, 2], weights: weights.dense };
    return fromRtneural({ in_shape: [null, null, 2], layers: [dense, layer] });
  };
  for (const type of loads) {
    using model = read(type);
    expect([...model.step([1, 2])]).toEqual(type === "gated_activation" ? [0] : [0, 0]);
    expect(model.ready).toBe(true);
  }
  refuses(() => read("conv3d"), UnsupportedError, 'layers[1].type: got "conv3d"');
});
