// Character models of TensorFlow.js: the recorded numbers of real ones (MODELS_DIR), own ones against fromTfjs, what is refused.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  CharLM,
  Embedding,
  FormatError,
  GRU,
  Linear,
  LSTM,
  Random,
  readCharLM,
  RNN,
  softmax,
  UnsupportedError,
  ValueError,
  Vocabulary,
  writeCharLM,
  type Tensor,
} from "../../src/index.js";
import { fromTfjs } from "../../src/keras.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { charLMFromTfjs } from "../../src/text.js";
import { both } from "../helpers/both.js";
import "../helpers/close.js";
import { modelsDirectory, noModels } from "../helpers/onnx.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

/** As many characters, which nothing else knows. */
const characters = (v: number) => Array.from({ length: v }, (_, i) => String.fromCodePoint(0x4e00 + i));

/** The logits after a window, by layers with the model's options and weights. */
function logitsAfter(model: CharLM, codes: Int32Array): Tensor {
  const { cell, embeddingDim, hiddenSize, numLayers, dtype, ...gates } = model.architecture;
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(model.stateDict()).flatMap(([name, tensor]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [],
      ),
    );
  using embedding = new Embedding(model.vocabulary.size, embeddingDim, { dtype });
  using recurrent = new { LSTM, GRU, RNN }[cell](embeddingDim, hiddenSize, { numLayers, dtype, ...gates });
  using linear = new Linear(hiddenSize, model.vocabulary.size, { dtype });
  embedding.loadStateDict(part("embedding."));
  recurrent.loadStateDict(part(`${cell.toLowerCase()}.`));
  linear.loadStateDict(part("linear."));
  const { hn } = recurrent.forward(embedding.forward({ data: codes, shape: [codes.length] }).output);
  return linear.forward({ data: hn.data.slice(-hiddenSize), shape: [1, hiddenSize] }).output;
}

const argmax = (values: ArrayLike<number>) => Array.from(values).indexOf(Math.max(...Array.from(values)));

// --- real models -----------------------------------------------------------------------------------------------------

const folders = existsSync(modelsDirectory)
  ? readdirSync(modelsDirectory).filter((name) => name.startsWith("tfjs-text-"))
  : [];

interface Case {
  readonly steps: number;
  readonly tolerance: { readonly abs: number; readonly rel: number };
}

function real(folder: string) {
  const read = (name: string) => new Uint8Array(readFileSync(join(modelsDirectory, folder, name)));
  const names = readdirSync(join(modelsDirectory, folder));
  const json = names.find((name) => name.endsWith(".json") && name !== "cases.json")!;
  const weights = names.find((name) => name.endsWith(".bin"))!;
  const each = JSON.parse(Buffer.from(read("cases.json")).toString()) as Case;
  return { json: read(json), shards: read(weights), each, numbers: readSafetensors(read("cases.safetensors")).tensors };
}

describe.each(folders.length > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(folders)("%s: recorded probabilities, and the character that is sampled", (folder) => {
      const { json, shards, each, numbers } = real(folder);
      const [, , v] = numbers["in.0.x"]!.shape as [number, number, number];
      using model = charLMFromTfjs(json, shards, { vocabulary: characters(v), dtype });
      expect(each.steps).toBeGreaterThan(1);
      for (let step = 0; step < each.steps; step++) {
        const [x, want] = [numbers[`in.${step}.x`]!, numbers[`out.${step}.y`]!];
        const [n, t] = x.shape as [number, number, number];
        expect(want.shape).toEqual([n, v]);
        const { abs, rel } = each.tolerance;
        const bounds = { atol: abs + rel * Math.max(...want.data), rtol: 0 };
        for (let row = 0; row < n; row++) {
          const rows = x.data.subarray(row * t * v, (row + 1) * t * v);
          const codes = Int32Array.from({ length: t }, (_, i) => argmax(rows.subarray(i * v, (i + 1) * v)));
          const wanted = Float64Array.from(want.data.subarray(row * v, (row + 1) * v));
          const got = Float64Array.from(softmax(logitsAfter(model, codes)).data);
          expect({ data: got, shape: [v] }).toBeAllClose({ data: wanted, shape: [v] }, bounds);
          const text = model.vocabulary.decode(codes);
          expect(model.sample(text, { length: 1, temperature: 0 })).toBe(characters(v)[argmax(wanted)]);
        }
      }
    });
  });
});

test("real models are there", (context) => {
  context.skip(folders.length === 0, noModels);
});

// --- own models ------------------------------------------------------------------------------------------------------

type Config = Record<string, unknown>;
type Layer = readonly [class_name: string, config: Config, weights?: Record<string, readonly number[]>];

const random = new Random(11);

/** model.json and weights of layers. */
function tfjs(...layers: readonly Layer[]): [modelJson: object, shards: Uint8Array] {
  const weights = layers.flatMap(([, , own = {}], i) =>
    Object.entries(own).map(([name, shape]) => ({ name: `layer${i}/${name}`, shape, dtype: "float32" })),
  );
  const count = weights.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const numbers = Float32Array.from({ length: count }, () => random.uniform() * 2 - 1);
  const json = {
    modelTopology: {
      class_name: "Sequential",
      config: { name: "s", layers: layers.map(([class_name, config], i) => ({ class_name, config: { name: `layer${i}`, ...config } })) }, // prettier-ignore
    },
    weightsManifest: [{ paths: ["weights.bin"], weights }],
  };
  return [json, new Uint8Array(numbers.buffer)];
}

const [V, H, E] = [5, 3, 2];
const first = { batch_input_shape: [null, null, V] };
const GATES = { LSTM: 4, GRU: 3, SimpleRNN: 1 };

/** A recurrent layer on inputs of d numbers. */
function recurrent(kind: keyof typeof GATES, d: number, config: Config = {}): Layer {
  const columns = GATES[kind] * H;
  const shapes: Record<string, number[]> = { kernel: [d, columns], recurrent_kernel: [H, columns] };
  if (config.use_bias !== false) shapes.bias = config.reset_after ? [2, columns] : [columns];
  return [kind, { units: H, ...config }, shapes];
}

const dense = (config: Config = {}): Layer => [
  "Dense",
  { units: V, activation: "softmax", ...config },
  { kernel: [H, V], ...(config.use_bias === false ? {} : { bias: [V] }) },
];
const embedding = (config: Config = {}): Layer => [
  "Embedding",
  { input_dim: V, output_dim: E, batch_input_shape: [null, null], ...config },
  { embeddings: [V, E] },
];
const upper = { return_sequences: true };
const hard = { recurrent_activation: "hard_sigmoid" };
const soft = { recurrent_activation: "sigmoid" };

const OWN: Record<string, readonly Layer[]> = {
  "LSTM, hard_sigmoid": [recurrent("LSTM", V, { ...first, ...hard }), dense()],
  "LSTM, sigmoid": [recurrent("LSTM", V, { ...first, ...soft }), dense()],
  "LSTM, the default": [recurrent("LSTM", V, first), dense()],
  "two LSTM with Dropout": [
    recurrent("LSTM", V, { ...first, ...upper, ...hard }),
    ["Dropout", { rate: 0.5 }],
    recurrent("LSTM", H, hard),
    ["Dropout", { rate: 0.2 }],
    dense(),
  ],
  "GRU, reset before": [recurrent("GRU", V, { ...first, ...soft, reset_after: false }), dense()],
  "GRU, reset after": [recurrent("GRU", V, { ...first, ...soft, reset_after: true }), dense()],
  "three GRU, hard_sigmoid": [
    recurrent("GRU", V, { ...first, ...upper, ...hard }),
    recurrent("GRU", H, { ...upper, ...hard }),
    recurrent("GRU", H, hard),
    dense(),
  ],
  SimpleRNN: [recurrent("SimpleRNN", V, first), dense()],
  "an Embedding": [embedding(), recurrent("LSTM", E, soft), dense()],
  "no biases": [recurrent("GRU", V, { ...first, use_bias: false, reset_after: true }), dense({ use_bias: false })],
  "softmax as a layer": [
    recurrent("LSTM", V, first),
    dense({ activation: "linear" }),
    ["Activation", { activation: "softmax" }],
  ],
  "a character for each step": [recurrent("LSTM", V, { ...first, ...upper }), dense()],
};

describe("own models", () => {
  test.each(Object.entries(OWN))("%s: as fromTfjs computes them", (name, layers) => {
    const [json, shards] = tfjs(...layers);
    const codes = Int32Array.of(0, 3, 1, 4, 4, 2, 0);
    const rows = new Float64Array(codes.length * V);
    codes.forEach((code, t) => (rows[t * V + code] = 1));
    const x = name === "an Embedding" ? { data: codes, shape: [1, 7] } : { data: rows, shape: [1, 7, V] };
    using keras = fromTfjs(json, shards, { dtype: "f64" });
    const probabilities = keras.forward(x).output.data.slice(-V);
    using model = charLMFromTfjs(json, shards, { vocabulary: "abcde", dtype: "f64" });
    expect(softmax(logitsAfter(model, codes))).toBeAllClose(
      { data: Float64Array.from(probabilities), shape: [1, V] },
      { rtol: 1e-12, atol: 0 },
    );
    expect(model.sample("adbeeca", { length: 1, temperature: 0 })).toBe("abcde"[argmax(probabilities)]);
  });

  test.each(Object.entries(OWN))("%s: writeCharLM keeps it", (_, layers) => {
    const [json, shards] = tfjs(...layers);
    using model = charLMFromTfjs(JSON.stringify(json), shards, { vocabulary: new Vocabulary("abcde") });
    const bytes = writeCharLM(model, { steps: 0 });
    using read = readCharLM(bytes).model;
    expect(read.architecture).toEqual(model.architecture);
    expect(read.sample("abc", { length: 20, random: new Random(1) })).toBe(
      model.sample("abc", { length: 20, random: new Random(1) }),
    );
    expect([...writeCharLM(read, { steps: 0 })]).toEqual([...bytes]);
  });

  test("the architecture says what is not the default, and a file of it has a version of its own", () => {
    const architectures = Object.entries(OWN).map(([name, layers]) => {
      using model = charLMFromTfjs(...tfjs(...layers), { vocabulary: "abcde" });
      const { recurrentActivation, resetAfter, numLayers, embeddingDim, dtype } = model.architecture;
      const { version } = readSafetensors(writeCharLM(model, { steps: 0 })).metadata;
      expect([dtype, numLayers > 0, embeddingDim === (name === "an Embedding" ? E : V)]).toEqual(["f32", true, true]);
      return [name, recurrentActivation, resetAfter, version];
    });
    expect(architectures).toEqual([
      ["LSTM, hard_sigmoid", "hardSigmoid", undefined, "2"],
      ["LSTM, sigmoid", undefined, undefined, "1"],
      ["LSTM, the default", "hardSigmoid", undefined, "2"],
      ["two LSTM with Dropout", "hardSigmoid", undefined, "2"],
      ["GRU, reset before", undefined, false, "2"],
      ["GRU, reset after", undefined, undefined, "1"],
      ["three GRU, hard_sigmoid", "hardSigmoid", false, "2"],
      ["SimpleRNN", undefined, undefined, "1"],
      ["an Embedding", undefined, undefined, "1"],
      ["no biases", "hardSigmoid", undefined, "2"],
      ["softmax as a layer", "hardSigmoid", undefined, "2"],
      ["a character for each step", "hardSigmoid", undefined, "2"],
    ]);
  });

  test("trains further", () => {
    using model = charLMFromTfjs(...tfjs(...OWN["GRU, reset before"]!), { vocabulary: "abcde", dtype: "f64" });
    const sgd = { zeroGrad: () => model.parameters().forEach(({ grad }) => grad.data.fill(0)), step: () => undefined };
    const codes = { data: Int32Array.of(0, 1, 2, 3), shape: [4, 1] };
    expect(model.trainStep(codes, codes, sgd).gradNorm).toBeGreaterThan(0);
  });
});

describe("refused", () => {
  const lstm = recurrent("LSTM", V, first);
  const last = recurrent("LSTM", H);

  test.each<[string, readonly Layer[], ...string[]]>([
    ["a model without recurrent layers", [["Dense", { units: V, ...first }, { kernel: [V, V], bias: [V] }]], "layer layer0 (Dense)"], // prettier-ignore
    ["no Dense", [lstm], "an end"],
    ["another layer before", [["Masking", first], recurrent("LSTM", V), dense()], "layer layer0 (Masking)"],
    ["another layer between", [recurrent("LSTM", V, { ...first, ...upper }), ["Masking", {}], last, dense()], "(Masking)"], // prettier-ignore
    ["another layer after", [lstm, dense(), ["Reshape", { target_shape: [V] }]], "layer layer2 (Reshape)"],
    ["another activation of the outputs", [lstm, dense({ activation: "sigmoid" })], "layer1.activation", "softmax"],
    ["no softmax", [lstm, dense({ activation: "linear" })], "layer1.activation", "softmax"],
    ["another activation of the cell", [recurrent("LSTM", V, { ...first, activation: "relu" }), dense()], "activation"],
    ["another one of the gates", [recurrent("LSTM", V, { ...first, recurrent_activation: "relu" }), dense()], "recurrent_activation"], // prettier-ignore
    ["sequences that are read from the end", [recurrent("LSTM", V, { ...first, go_backwards: true }), dense()], "go_backwards"], // prettier-ignore
    ["a lower layer that gives its last step alone", [lstm, last, dense()], "return_sequences"],
    ["layers of two kinds", [recurrent("LSTM", V, { ...first, ...upper }), recurrent("GRU", H), dense()], "layer layer1 (GRU)"], // prettier-ignore
    ["layers with two options", [recurrent("LSTM", V, { ...first, ...upper, ...soft }), recurrent("LSTM", H, hard), dense()], "layer layer1 (LSTM)"], // prettier-ignore
    ["a mask", [embedding({ mask_zero: true }), recurrent("LSTM", E), dense()], "mask_zero"],
    ["another table", [["Embedding", { input_dim: 9, output_dim: E, batch_input_shape: [null, null] }, { embeddings: [9, E] }], recurrent("LSTM", E), dense()], "input_dim"], // prettier-ignore
    ["rows of other features", [recurrent("LSTM", 7, { batch_input_shape: [null, null, 7] }), dense()], "inputs of 7"],
  ])("%s", (_, layers, ...parts) => {
    refuses(() => charLMFromTfjs(...tfjs(...layers), { vocabulary: "abcde" }), UnsupportedError, ...parts);
  });

  test("a graph", () => {
    const [json, shards] = tfjs(lstm, dense());
    const { modelTopology } = json as { modelTopology: { config: { layers: Config[] } } };
    const layers = modelTopology.config.layers.map((each, i) => ({
      ...each,
      name: `layer${i}`,
      inbound_nodes: [[[i === 0 ? "x" : `layer${i - 1}`, 0, 0, {}]]],
    }));
    const input = { class_name: "InputLayer", name: "x", config: { ...first, name: "x" }, inbound_nodes: [] };
    const config = { name: "m", layers: [input, ...layers], input_layers: [["x", 0, 0]] };
    const topology = (outputs: string[]) => ({
      class_name: "Model",
      config: { ...config, output_layers: outputs.map((name) => [name, 0, 0]) },
    });
    const call = (outputs: string[]) =>
      charLMFromTfjs({ ...json, modelTopology: topology(outputs) }, shards, { vocabulary: "abcde" });
    call(["layer1"]).dispose();
    refuses(() => call(["layer0", "layer1"]), UnsupportedError, "a graph of layers");
  });

  test("arguments", () => {
    const [json, shards] = tfjs(lstm, dense());
    const call = (options: unknown) => () => charLMFromTfjs(json, shards, options as never);
    refuses(call(undefined), ValueError, "charLMFromTfjs options: got undefined");
    refuses(call({}), ValueError, "characters: got undefined");
    refuses(call({ vocabulary: "abcd" }), ValueError, "vocabulary: got 4 characters, expected 5, the units of layer layer1"); // prettier-ignore
    refuses(call({ vocabulary: ["a", "b", "c", "d", "ee"] }), ValueError, "characters[4]");
    refuses(call({ vocabulary: "abcde", dtype: "f16" }), ValueError, "dtype");
    refuses(call({ vocabulary: "abcde", size: 5 }), UnsupportedError, "size");
    refuses(() => charLMFromTfjs(json, shards.subarray(4), { vocabulary: "abcde" }), FormatError, "shards");
  });

  test("one-hot rows of more characters than a table is made for", () => {
    const v = 4097;
    const wide = tfjs(
      ["SimpleRNN", { units: 1, batch_input_shape: [null, null, v] }, { kernel: [v, 1], recurrent_kernel: [1, 1], bias: [1] }], // prettier-ignore
      ["Dense", { units: v, activation: "softmax" }, { kernel: [1, v], bias: [v] }],
    );
    refuses(() => charLMFromTfjs(...wide, { vocabulary: characters(v) }), UnsupportedError, "4097 characters, one-hot");
  });
});

describe("options of a CharLM's gates", () => {
  test("are checked", () => {
    const make = (options: object) => () => new CharLM(new Vocabulary("ab"), options);
    refuses(make({ recurrentActivation: "tanh" }), ValueError, "recurrentActivation: got");
    refuses(make({ cell: "RNN", recurrentActivation: "hardSigmoid" }), ValueError, "recurrentActivation: got");
    refuses(make({ resetAfter: 1, cell: "GRU" }), ValueError, "resetAfter: got");
    refuses(make({ resetAfter: false }), ValueError, "resetAfter: got", "false for GRU");
    using model = new CharLM(new Vocabulary("ab"), { cell: "GRU", recurrentActivation: "sigmoid", resetAfter: true });
    expect(Object.keys(model.architecture)).toEqual(["cell", "embeddingDim", "hiddenSize", "numLayers", "dtype"]);
  });

  test("are checked in files, and those of version 1 have none", () => {
    using model = new CharLM(new Vocabulary("ab"), { cell: "GRU", resetAfter: false, hiddenSize: 2, seed: 1 });
    const { tensors, metadata } = readSafetensors(writeCharLM(model, { steps: 0 }));
    const own = JSON.parse(metadata.architecture!) as object;
    const read = (change: object, version = "2") =>
      readCharLM(
        writeSafetensors(tensors, { ...metadata, version, architecture: JSON.stringify({ ...own, ...change }) }),
      ).model;
    for (const [key, value] of [
      ["resetAfter", 0],
      ["recurrentActivation", "relu"],
      ["recurrentActivation", null],
    ] as const) {
      // prettier-ignore
      refuses(() => read({ [key]: value }), FormatError, `architecture ${key}: got`);
    }
    using plain = read({}, "1");
    expect(plain.architecture.resetAfter).toBeUndefined();
  });
});
