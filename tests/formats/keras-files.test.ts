// Files of Keras: .h5, .keras, weights alone; and files that are none.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/index.js";
import { fromKeras, fromTfjs, readKerasWeights } from "../../src/keras.js";
import { readSafetensors } from "../../src/safetensors.js";
import "../helpers/close.js";
import { makeHdf5 } from "../helpers/make-hdf5.js";
import { modelsDirectory, noModels } from "../helpers/onnx.js";

const ERRORS = ["FormatError", "UnsupportedError", "DtypeError", "ShapeError", "ValueError", "OutOfMemoryError"];

/** Whatever the bytes are, a reader returns or throws a typed error. */
function expectTyped(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    expect(ERRORS).toContain((error as Error).constructor.name);
  }
}

const random = new Random(7);
const numbers = (...shape: number[]) => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() - 0.5),
  shape,
});

const lstm = { kernel: numbers(3, 16), recurrent_kernel: numbers(4, 16), bias: numbers(16) };
const dense = { kernel: numbers(8, 2), bias: numbers(2) };
const backward = { kernel: numbers(3, 16), recurrent_kernel: numbers(4, 16), bias: numbers(16) };
const layers = [
  {
    class_name: "Bidirectional",
    config: {
      name: "bi",
      merge_mode: "concat",
      batch_input_shape: [null, null, 3],
      layer: {
        class_name: "LSTM",
        config: { name: "lstm", units: 4, recurrent_activation: "sigmoid", use_bias: true },
      },
    },
  },
  { class_name: "Dense", config: { name: "dense", units: 2, activation: "hard_sigmoid" } },
];
const config = { class_name: "Sequential", config: { name: "s", layers } };
const x = numbers(2, 5, 3);

/** The same model as a file of Keras 2 and of TensorFlow.js. */
function h5(): Uint8Array {
  const names = ["kernel:0", "recurrent_kernel:0", "bias:0"];
  const part = ({ kernel, recurrent_kernel, bias }: typeof lstm) => ({
    entries: { lstm_cell: { entries: { "kernel:0": kernel, "recurrent_kernel:0": recurrent_kernel, "bias:0": bias } } },
  });
  return makeHdf5({
    attributes: { keras_version: "2.9.0", model_config: JSON.stringify(config) },
    entries: {
      model_weights: {
        attributes: { layer_names: ["bi", "dense"] },
        entries: {
          bi: {
            attributes: {
              weight_names: ["forward_lstm", "backward_lstm"].flatMap((each) =>
                names.map((name) => `bi/${each}/lstm_cell/${name}`),
              ),
            },
            entries: { bi: { entries: { forward_lstm: part(lstm), backward_lstm: part(backward) } } },
          },
          dense: {
            attributes: { weight_names: ["dense/kernel:0", "dense/bias:0"] },
            entries: { dense: { entries: { "kernel:0": dense.kernel, "bias:0": dense.bias } } },
          },
        },
      },
    },
  });
}

/** A model.json, and its weights. */
function tfjs(): [object, Uint8Array] {
  const all = [
    ...Object.entries(lstm).map(([name, tensor]) => [`bi/forward_lstm/${name}`, tensor] as const),
    ...Object.entries(backward).map(([name, tensor]) => [`bi/backward_lstm/${name}`, tensor] as const),
    ...Object.entries(dense).map(([name, tensor]) => [`dense/${name}`, tensor] as const),
  ];
  const weights = all.map(([name, { shape }]) => ({ name, shape, dtype: "float32" }));
  const bytes = new Uint8Array(Float32Array.from(all.flatMap(([, { data }]) => [...data])).buffer);
  return [{ modelTopology: config, weightsManifest: [{ paths: ["w"], weights }] }, bytes];
}

/** As Keras 3 writes it. */
function keras3(hardSigmoid = "hard_sigmoid"): Uint8Array {
  const vars = (list: readonly { data: Float32Array; shape: number[] }[]) => ({
    entries: { vars: { entries: Object.fromEntries(list.map((each, i) => [`${i}`, each])) } },
  });
  const cell = (each: typeof lstm) => ({ entries: { cell: vars([each.kernel, each.recurrent_kernel, each.bias]) } });
  const weights = makeHdf5({
    entries: {
      layers: {
        entries: {
          bidirectional: { entries: { forward_layer: cell(lstm), backward_layer: cell(backward) } },
          dense: vars([dense.kernel, dense.bias]),
        },
      },
    },
  });
  const tensor = (name: string) => ({ class_name: "__keras_tensor__", config: { shape: [null, 5, 3], dtype: "float32", keras_history: [name, 0, 0] } }); // prettier-ignore
  const functional = {
    module: "keras.src.models.functional",
    class_name: "Functional",
    config: {
      name: "f",
      layers: [
        {
          class_name: "InputLayer",
          config: { name: "in", batch_shape: [null, null, 3], dtype: "float32" },
          name: "in",
          inbound_nodes: [],
        },
        { ...layers[0], name: "bi", inbound_nodes: [{ args: [tensor("in")], kwargs: { training: false } }] },
        {
          class_name: "Dense",
          config: { name: "dense", units: 2, activation: hardSigmoid },
          name: "dense",
          inbound_nodes: [{ args: [tensor("bi")], kwargs: {} }],
        },
      ],
      input_layers: ["in", 0, 0],
      output_layers: ["dense", 0, 0],
    },
  };
  return zipSync({
    "metadata.json": new TextEncoder().encode("{}"),
    "config.json": new TextEncoder().encode(JSON.stringify(functional)),
    "model.weights.h5": weights,
  });
}

describe("files", () => {
  test(".h5 and TensorFlow.js give the same model", () => {
    using a = fromKeras(h5());
    using b = fromTfjs(...tfjs());
    expect(a.forward(x)).toEqual(b.forward(x));
    expect(Object.keys(a.stateDict())).toEqual(Object.keys(b.stateDict()));
  });

  test(".keras has weights by place, and another hard_sigmoid", () => {
    using a = fromKeras(keras3("linear"));
    using b = fromKeras(keras3());
    const linear = a.forward(x).output.data;
    const want = Float32Array.from(linear, (v) => Math.min(Math.max(v / 6 + 0.5, 0), 1));
    expect(b.forward(x).output).toBeAllClose({ data: want, shape: [2, 2] }, { atol: 1e-6, rtol: 0 });
    using two = fromTfjs(...tfjs());
    const other = Float32Array.from(linear, (v) => Math.min(Math.max(v * 0.2 + 0.5, 0), 1));
    expect(two.forward(x).output).toBeAllClose({ data: other, shape: [2, 2] }, { atol: 1e-6, rtol: 0 });
  });

  test("weights alone", () => {
    const weights = readKerasWeights(h5());
    expect(Object.keys(weights)).toEqual(["bi", "dense"]);
    expect(weights.dense!["dense/kernel:0"]).toEqual(dense.kernel);
    expect(Object.getPrototypeOf(weights)).toBeNull();
    expect(() => fromKeras(makeHdf5({}))).toThrow("model_config");
  });

  test("names such as __proto__ are names", () => {
    const own = numbers(2);
    const file = makeHdf5({ entries: { ["__proto__" as string]: { entries: { constructor: own } } } });
    const weights = readKerasWeights(file);
    expect(Object.keys(weights)).toEqual(["__proto__"]);
    expect(Object.keys(weights.__proto__!)).toEqual(["constructor"]);
    expect(weights.__proto__!.constructor).toEqual(own);
    expect(Object.getPrototypeOf(weights)).toBeNull();
  });
});

describe("files that are none", () => {
  const readers: [string, Uint8Array, (bytes: Uint8Array) => unknown][] = [
    ["h5", h5(), (bytes) => fromKeras(bytes).dispose()],
    ["weights", h5(), readKerasWeights],
    ["keras", keras3(), (bytes) => fromKeras(bytes).dispose()],
  ];
  test.each(readers)("%s cut off anywhere", (_, bytes, read) => {
    for (let end = 0; end < bytes.length; end += 1 + Math.floor(bytes.length / 150)) {
      expectTyped(() => read(bytes.slice(0, end)));
    }
    expect(() => read(bytes.slice(0, 40))).toThrow();
  });

  test.each(readers)("%s with bits flipped", (_, bytes, read) => {
    const flips = new Random(3);
    for (let i = 0; i < 100; i++) {
      const copy = bytes.slice();
      for (let k = 0; k <= i % 3; k++) copy[flips.uint32() % copy.length]! ^= 1 << (flips.uint32() % 8);
      expectTyped(() => read(copy));
    }
  });

  test("a model.json and its weights", () => {
    const [json, bytes] = tfjs();
    const text = JSON.stringify(json);
    for (let end = 0; end < text.length; end += 97)
      expect(() => fromTfjs(text.slice(0, end), bytes)).toThrow(/modelJson/);
    expect(() => fromTfjs(json, bytes.slice(0, 100))).toThrow("shards");
    expect(() => fromTfjs(json, new Uint8Array(bytes.length + 4))).toThrow("shards");
    expect(() => fromTfjs({ format: "graph-model" }, bytes)).toThrow("Layers model");
    const flips = new Random(5);
    for (let i = 0; i < 100; i++) {
      const copy = new TextEncoder().encode(text);
      copy[flips.uint32() % copy.length]! ^= 1 << (flips.uint32() % 7);
      expectTyped(() => fromTfjs(copy, bytes).dispose());
    }
  });

  test("layers in a circle, unknown layers, models in models without an end", () => {
    const node = (from: string) => [[[from, 0, 0, {}]]];
    const layer = (name: string, from: string) => ({
      class_name: "Activation",
      name,
      config: { name, activation: "tanh" },
      inbound_nodes: node(from),
    });
    const model = (all: object[]) => ({
      modelTopology: {
        class_name: "Model",
        config: {
          name: "m",
          layers: [{ class_name: "InputLayer", name: "i", config: { name: "i" }, inbound_nodes: [] }, ...all],
          input_layers: [["i", 0, 0]],
          output_layers: [["b", 0, 0]],
        },
      },
      weightsManifest: [],
    });
    const none = new Uint8Array(0);
    expect(() => fromTfjs(model([layer("a", "b"), layer("b", "a")]), none)).toThrow("circle");
    expect(() => fromTfjs(model([layer("b", "missing")]), none)).toThrow("no call");
    expect(() => fromTfjs(model([{ ...layer("b", "i"), class_name: "Lambda" }]), none)).toThrow("layer b: got Lambda");
    let nested: object = { class_name: "Sequential", config: { name: "s", layers: [layer("b", "i")] } };
    for (let i = 0; i < 12; i++) nested = { class_name: "Sequential", config: { name: `s${i}`, layers: [nested] } };
    expect(() => fromTfjs({ modelTopology: nested, weightsManifest: [] }, none)).toThrow("nesting");
  });

  test("an archive that claims to be large", () => {
    const bomb = zipSync({ "config.json": new Uint8Array(1e6), "model.weights.h5": new Uint8Array(1e6) });
    const entry = Buffer.from(bomb).indexOf("PK\x01\x02", "latin1");
    new DataView(bomb.buffer).setUint32(entry + 24, 0xf000_0000, true); // its size
    expect(() => fromKeras(bomb)).toThrow(
      /entry "config.json": got 4026531840 bytes in \d+, expected at most 1032 times as many/,
    );
  });
});

test("textgenrnn: CuDNNLSTM", (context) => {
  const folder = join(modelsDirectory, "textgenrnn-weights");
  context.skip(!existsSync(folder), noModels);
  const weights = readKerasWeights(new Uint8Array(readFileSync(join(folder, "textgenrnn_weights.hdf5"))));
  const { tensors } = readSafetensors(new Uint8Array(readFileSync(join(folder, "cases.safetensors"))));
  const rnn = (name: string, from: string) => ({
    class_name: "CuDNNLSTM",
    name,
    config: { name, units: 128, return_sequences: true },
    inbound_nodes: [[[from, 0, 0, {}]]],
  });
  const topology = {
    class_name: "Model",
    config: {
      name: "textgenrnn",
      layers: [
        {
          class_name: "InputLayer",
          name: "input",
          config: { name: "input", batch_input_shape: [null, 40] },
          inbound_nodes: [],
        },
        {
          class_name: "Embedding",
          name: "embedding",
          config: { name: "embedding", input_dim: 465, output_dim: 100 },
          inbound_nodes: [[["input", 0, 0, {}]]],
        },
        rnn("rnn_1", "embedding"),
        rnn("rnn_2", "rnn_1"),
        {
          class_name: "Concatenate",
          name: "rnn_concat",
          config: { name: "rnn_concat", axis: -1 },
          inbound_nodes: [
            [
              ["embedding", 0, 0, {}],
              ["rnn_1", 0, 0, {}],
              ["rnn_2", 0, 0, {}],
            ],
          ],
        },
      ],
      input_layers: [["input", 0, 0]],
      output_layers: [["rnn_concat", 0, 0]],
    },
  };
  const entries = ["embedding", "rnn_1", "rnn_2"].flatMap((layer) => Object.entries(weights[layer]!));
  const manifest = entries.map(([name, { shape }]) => ({ name: name.replace(":0", ""), shape, dtype: "float32" }));
  const bytes = Buffer.concat(entries.map(([, { data }]) => Buffer.from((data as Float32Array).slice().buffer)));
  using model = fromTfjs({ modelTopology: topology, weightsManifest: [{ paths: ["w"], weights: manifest }] }, bytes);
  const attention = Array.from(weights.attention!["attention/attention_W:0"]!.data);
  for (let step = 0; step < 5; step++) {
    const tokens = tensors[`in.${step}.tokens`]!;
    const { data } = model.forward(tokens).output;
    const scores = Array.from({ length: 40 }, (_, t) =>
      attention.reduce((sum, w, k) => sum + w * data[t * 356 + k]!, 0),
    );
    const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
    const total = powers.reduce((a, b) => a + b);
    const pooled = Float64Array.from({ length: 356 }, (_, k) =>
      powers.reduce((sum, p, t) => sum + (p / total) * data[t * 356 + k]!, 0),
    );
    const want = tensors[`out.${step}.pooled`];
    if (want)
      expect({ data: pooled, shape: [1, 356] }).toBeAllClose(
        { data: Float64Array.from(want.data), shape: want.shape },
        { atol: 1e-5, rtol: 0 },
      );
  }
});
