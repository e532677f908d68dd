// Models of Keras and TensorFlow.js: recorded numbers of tfjs (MODELS_DIR), own models of tests/golden/keras.json.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readTfjs } from "../../src/formats/keras/tfjs.js";
import { fromKeras, fromTfjs, Model, readKerasWeights, Sequential, toTfjs } from "../../src/keras.js";
import { checkKerasOptions, makeKerasModel, type KerasOptions } from "../../src/models/keras/model.js";
import { readSafetensors, type StoredTensor } from "../../src/safetensors.js";
import {
  Adam,
  AdamW,
  FormatError,
  GRU,
  Linear,
  mse,
  toTorch,
  UnsupportedError,
  valueAndGrad,
  type Tensor,
} from "../../src/index.js";
import { modelsDirectory, noModels } from "../helpers/onnx.js";
import "../helpers/close.js";
import { root } from "../helpers/project.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly model: string;
  readonly steps: number;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly tolerance: { readonly abs: number; readonly rel: number };
}

/** The models of MODELS_DIR, and of golden numbers, that are chains of this package's layers. */
const CHAINS = new Set(["aiw-20", "nietzsche", "tomsawyer-20", "wooz-20"].map((name) => `tfjs-text-${name}`)).add("tfjs-gru-reset-after"); // prettier-ignore
const GOLDEN_CHAINS = new Set([
  "Bidirectional concat",
  "chain of activations",
  "chain of convolutions",
  "chain of recurrent layers",
  "Dense 3-D",
  "Embedding of a chain",
  "LayerNormalization",
  "LSTM linear",
  "log_softmax",
  "nested model",
  ...["elu", "hardSigmoid", "linear", "relu", "sigmoid", "softmax", "tanh"].map((name) => `activation ${name}`),
]);

const folders = existsSync(modelsDirectory)
  ? readdirSync(modelsDirectory)
      .filter((name) => name.startsWith("tfjs-"))
      .sort()
  : [];

function filesOf(folder: string) {
  const path = join(modelsDirectory, folder);
  const each = JSON.parse(readFileSync(join(path, "cases.json"), "utf8")) as Case;
  const { tensors } = readSafetensors<StoredTensor>(new Uint8Array(readFileSync(join(path, "cases.safetensors"))));
  const json = JSON.parse(readFileSync(join(path, each.model), "utf8")) as { weightsManifest: { paths: string[] }[] };
  const shards = json.weightsManifest.flatMap(({ paths }) => paths).map((file) => new Uint8Array(readFileSync(join(path, file)))); // prettier-ignore
  return { each, tensors, json, shards };
}

/** The model as a graph, also where it is a chain of layers. */
function graphOf(json: object, bytes: Uint8Array | readonly Uint8Array[], options: KerasOptions): Model {
  return makeKerasModel(readTfjs(json, bytes), checkKerasOptions("graphOf", options));
}

/** Runs a model; inputs and outputs go by their order. */
function run(model: Model | Sequential, inputs: readonly StoredTensor[]): Tensor[] {
  if (model instanceof Sequential) return [model.forward(inputs[0] as Tensor).output];
  const feeds = Object.fromEntries(inputs.map((input, i) => [model.inputs[i]!.name, input]));
  const results = model.run(feeds);
  return model.outputs.map(({ name }) => results[name] as Tensor);
}

/** Runs all steps. */
function runAll(model: Model | Sequential, folder: string, dtype: "f64" | "f32"): void {
  const { each, tensors } = filesOf(folder);
  const outputs = Object.keys(each.outputs);
  for (let step = 0; step < each.steps; step++) {
    const inputs = Object.keys(each.inputs).map((name) => {
      const { data, shape } = tensors[`in.${step}.${name}`]!;
      return { data: dtype === "f64" ? Float64Array.from(data as Float32Array) : data, shape };
    });
    const got = run(model, inputs);
    outputs.forEach((name, i) => {
      const want = tensors[`out.${step}.${name}`] as Tensor | undefined;
      if (!want) return;
      const { abs, rel } = each.tolerance;
      const { data, shape } = got[i]!;
      const largest = Math.max(...Array.from(want.data, Math.abs));
      expect({ data: Float64Array.from(data), shape }).toBeAllClose(
        { data: Float64Array.from(want.data), shape: want.shape },
        { atol: abs + rel * largest, rtol: 0 },
      );
    });
  }
}

test("models are there", (context) => {
  context.skip(folders.length === 0, noModels);
});

describe.each(folders.length > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);
  describe.each(["f32", "f64"] as const)("%s", (dtype) => {
    test.each(folders)("%s", (folder) => {
      const { json, shards } = filesOf(folder);
      using graph = graphOf(json, shards, { dtype });
      runAll(graph, folder, dtype);
      graph.resetState();
      runAll(graph, folder, dtype);
      using model = fromTfjs(json, shards, { dtype });
      expect(model instanceof Sequential).toBe(CHAINS.has(folder));
      if (model instanceof Sequential) runAll(model, folder, dtype);
    });
  });
});

interface Golden {
  readonly json: object;
  readonly weights: string;
  readonly inputs: readonly { readonly data: readonly number[]; readonly shape: readonly number[] }[];
  readonly outputs: Golden["inputs"];
}

const golden = JSON.parse(readFileSync(join(root, "tests/golden/keras.json"), "utf8")) as Record<string, Golden>;
const own = (name: string) => golden[name]!;
const bytesOf = ({ weights }: Golden) => new Uint8Array(Buffer.from(weights, "base64"));

function expectGolden(model: Model | Sequential, { inputs, outputs }: Golden, dtype: "f64" | "f32"): void {
  const make = (data: readonly number[]) => (dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data));
  const got = run(model, inputs.map(({ data, shape }) => ({ data: make(data), shape }))); // prettier-ignore
  expect(got.length).toBe(outputs.length);
  outputs.forEach(({ data, shape }, i) => {
    const result = got[i]!;
    const largest = Math.max(1, ...data.map(Math.abs));
    expect({ data: Float64Array.from(result.data), shape: result.shape }).toBeAllClose(
      { data: Float64Array.from(data), shape },
      { atol: 4e-6 * largest, rtol: 0 },
    );
  });
}

describe.each(["f32", "f64"] as const)("own models in %s", (dtype) => {
  test.each(Object.keys(golden))("%s", (name) => {
    const each = own(name);
    const bytes = bytesOf(each);
    using graph = graphOf(each.json, bytes, { dtype });
    expectGolden(graph, each, dtype);
    using model = fromTfjs(each.json, bytes, { dtype });
    expect(model instanceof Sequential).toBe(GOLDEN_CHAINS.has(name));
    expectGolden(model, each, dtype);
    for (const one of [graph, model]) {
      // written and read again: the same bits
      const files = toTfjs(one);
      using again = fromTfjs(files["model.json"], files["weights.bin"], { dtype });
      expect(again instanceof Sequential).toBe(model instanceof Sequential);
      expectGolden(again, each, dtype);
      if (!(one instanceof Model && again instanceof Sequential)) expect(again.stateDict()).toEqual(one.stateDict());
      expect(toTfjs(again)["weights.bin"]).toEqual(files["weights.bin"]);
    }
  });
});

describe("masked steps are zeros, and others as they are", () => {
  test.each(["LSTM masked backward", "SimpleRNN masked softsign", "Bidirectional last, masked"])("%s", (name) => {
    const each = own(name);
    const { data, shape } = each.inputs[0]!;
    const [n, t, d] = shape as [number, number, number];
    const describeWith = (flag: string) => {
      const text = JSON.stringify(each.json).replace(
        /"return_sequences":(true|false)/,
        `"return_sequences":true${flag}`,
      );
      return readTfjs(text, bytesOf(each));
    };
    const options = checkKerasOptions("keras", {});
    const isWrapped = name.startsWith("Bidirectional");
    using repeating = makeKerasModel(describeWith(""), options);
    const zeroing = isWrapped
      ? { ...describeWith(""), zeroMasked: true } // as Keras reads it
      : describeWith(',"zero_output_for_mask":true');
    using model = makeKerasModel(zeroing, options);
    const x = { data: Float32Array.from(data), shape };
    const [expected, got] = [repeating, model].map((one) => run(one, [x])[0]!) as [Tensor, Tensor];
    const h = expected.data.length / (n * t);
    let masked = 0;
    for (let i = 0; i < n * t; i++) {
      const step = name.includes("backward") ? t - 1 - (i % t) : i % t; // go_backwards gives the last step first
      const at = (i - (i % t) + step) * d;
      const isMasked = x.data.subarray(at, at + d).every((value) => value === 0.5);
      masked += Number(isMasked);
      const states = [...got.data.subarray(i * h, (i + 1) * h)];
      expect(states).toEqual(isMasked ? Array(h).fill(0) : [...expected.data.subarray(i * h, (i + 1) * h)]);
    }
    expect(masked).toBe(5);
  });
});

describe("training", () => {
  const name = "Bidirectional last, masked";
  test("minimize lowers a loss, and gradients are those of central differences", () => {
    const each = own(name);
    using model = graphOf(each.json, bytesOf(each), { dtype: "f64" });
    const x = { data: Float64Array.from(each.inputs[0]!.data), shape: each.inputs[0]!.shape };
    const target = { data: new Float64Array(each.outputs[0]!.data.length).fill(0.3), shape: each.outputs[0]!.shape };
    const loss = () => mse(model.forward(x).output as Tensor<"f64">, target);
    using optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const parameter = model.parameters().find((one) => one.name.endsWith("kernel"))!;
    model.zeroGrad();
    valueAndGrad(loss);
    const gradient = parameter.grad.data.slice();
    for (const i of [0, 1, gradient.length - 1]) {
      const at = (step: number) => {
        const numbers = parameter.value.data;
        const before = numbers[i]!;
        numbers[i] = before + step;
        const { loss: value } = loss();
        parameter.value.data[i] = before;
        return value;
      };
      expect((at(1e-5) - at(-1e-5)) / 2e-5).toBeCloseTo(gradient[i]!, 7);
    }
    const first = optimizer.minimize(loss);
    let last = first;
    for (let i = 0; i < 30; i++) last = optimizer.minimize(loss);
    expect(last.loss).toBeLessThan(first.loss / 2);
  });
});

/** A functional model of one layer on all inputs, whose weights come in their order. */
function oneLayer(
  kind: string,
  config: object,
  shapes: readonly (readonly (number | null)[])[],
  weights: Readonly<Record<string, Tensor>> = {},
): Model {
  // prettier-ignore
  const names = shapes.map((_, i) => `x${i}`);
  const inputs = names.map((name, i) => ({ class_name: "InputLayer", name, config: { name, batch_input_shape: shapes[i] }, inbound_nodes: [] })); // prettier-ignore
  const layer = { class_name: kind, name: "l", config: { name: "l", ...config }, inbound_nodes: [names.map((name) => [name, 0, 0, {}])] }; // prettier-ignore
  const topology = { name: "m", layers: [...inputs, layer], input_layers: names.map((name) => [name, 0, 0]), output_layers: [["l", 0, 0]] }; // prettier-ignore
  const entries = Object.entries(weights);
  const manifest = entries.map(([name, { shape }]) => ({ name: `l/${name}`, shape, dtype: "float32" }));
  const numbers = Float32Array.from(entries.flatMap(([, { data }]) => [...data]));
  return graphOf(
    { modelTopology: { className: "Model", config: topology }, weightsManifest: [{ paths: [], weights: manifest }] },
    new Uint8Array(numbers.buffer),
    { dtype: "f64", seed: 1 },
  );
}

const tensor64 = (shape: readonly number[], of: (i: number) => number): Tensor<"f64"> => ({
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => of(i)),
  shape: [...shape],
});

describe("layers that TensorFlow.js does not have", () => {
  const [q, v] = [tensor64([1, 2, 3], (i) => Math.sin(i)), tensor64([1, 4, 3], (i) => Math.cos(i))];
  test.each(["Attention", "AdditiveAttention"])("%s by loops", (kind) => {
    const scale = kind === "Attention" ? tensor64([], () => 0.5) : tensor64([3], (i) => 0.5 + i);
    using model = oneLayer(kind, { use_scale: true }, [[null, 2, 3], [null, 4, 3]], { scale }); // prettier-ignore
    const { l } = model.run({ x0: q, x1: v });
    const want = tensor64([1, 2, 3], () => 0);
    for (let t = 0; t < 2; t++) {
      const scores = Array.from({ length: 4 }, (_, s) => {
        let score = 0;
        for (let k = 0; k < 3; k++) {
          const [a, b] = [q.data[t * 3 + k]!, v.data[s * 3 + k]!];
          score += kind === "Attention" ? 0.5 * a * b : scale.data[k]! * Math.tanh(a + b);
        }
        return Math.exp(score);
      });
      const total = scores.reduce((a, b) => a + b);
      scores.forEach((score, s) => {
        for (let k = 0; k < 3; k++) want.data[t * 3 + k]! += (score / total) * v.data[s * 3 + k]!;
      });
    }
    expect(l as Tensor).toBeAllClose(want, { atol: 1e-12, rtol: 0 });
  });

  test("CuDNNGRU is the GRU with reset_after of the same numbers", () => {
    const [d, h] = [2, 3];
    const dense = { kernel: tensor64([d, 3 * h], (i) => Math.sin(i)), recurrent_kernel: tensor64([h, 3 * h], (i) => Math.cos(i)), bias: tensor64([6 * h], (i) => i / 20) }; // prettier-ignore
    const { weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 } = toTorch("cudnn", "GRU", dense);
    using model = oneLayer("CuDNNGRU", { units: h, return_sequences: true }, [[null, null, d]], dense);
    using layer = new GRU(d, h, { batchFirst: true });
    layer.loadStateDict(Object.fromEntries(Object.entries({ weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 }).map(([name, each]) => [name, { data: Float64Array.from(each!.data, Math.fround), shape: each!.shape }]))); // prettier-ignore
    const x = tensor64([2, 4, d], (i) => Math.sin(3 * i));
    expect(model.forward(x).output).toBeAllClose(layer.forward(x).output, { atol: 1e-6, rtol: 0 });
  });

  test("causal padding, dropout in training, batch statistics", () => {
    valueAndGrad(() =>
      mse(
        tensor64([1], () => 1),
        tensor64([1], () => 1),
      ),
    ); // brings the derivatives along, which training mode needs
    using conv = oneLayer("Conv1D", { filters: 1, kernel_size: 2, padding: "causal", use_bias: false, dilation_rate: 2 }, [[null, null, 1]], { kernel: tensor64([2, 1, 1], (i) => i + 1) }); // prettier-ignore
    expect([...conv.forward(tensor64([1, 4, 1], (i) => i + 1)).output.data]).toEqual([2, 4, 7, 10]);
    using dropout = oneLayer("Dropout", { rate: 0.5 }, [[null, 100]]);
    const ones = tensor64([1, 100], () => 1);
    expect(dropout.forward(ones).output.data).toEqual(ones.data);
    dropout.train();
    expect([...new Set(dropout.forward(ones).output.data)].sort()).toEqual([0, 2]);
    const four = { gamma: 1, beta: 0, moving_mean: 0, moving_variance: 1 };
    const weights = Object.fromEntries(Object.entries(four).map(([name, value]) => [name, tensor64([1], () => value)]));
    using norm = oneLayer("BatchNormalization", { momentum: 0.5, epsilon: 0 }, [[null, 1]], weights);
    norm.train();
    const x = tensor64([2, 1], (i) => 2 + 2 * i);
    expect([...norm.forward(x).output.data]).toEqual([-1, 1]);
    expect(norm.stateDict()["l/moving_mean"]!.data[0]).toBe(1.5);
    norm.eval();
    expect(norm.forward(x).output.data[0]).toBeCloseTo(0.5, 12);
  });

  test("what is refused names the layer", () => {
    expect(() => oneLayer("Dense", { units: 2, activation: "odd" }, [[null, 2]])).toThrow(FormatError);
    expect(() => oneLayer("Activation", { activation: "odd" }, [[null, 2]])).toThrow("layer l.activation: got odd");
    using embedding = oneLayer("Embedding", { input_dim: 3, output_dim: 1 }, [[null, null]], { embeddings: tensor64([3, 1], (i) => i) }); // prettier-ignore
    for (const data of [new Uint8Array([2, 0]), new Float32Array([2, 0]), new BigInt64Array([2n, 0n])]) {
      expect([...(embedding.run({ x0: { data, shape: [1, 2] } }).l as Tensor).data]).toEqual([2, 0]);
    }
    expect(() => embedding.run({ x0: { data: new Float32Array([0.5]), shape: [1, 1] } })).toThrow("whole number");
    expect(() => embedding.run({ x0: { data: new Float32Array([3]), shape: [1, 1] } })).toThrow("layer l");
    expect(() => toTfjs({} as Model)).toThrow(UnsupportedError);
    using chain = new Sequential([new Linear(2, 1)]);
    for (const other of [new Proxy(chain, {}), Object.create(Sequential.prototype) as Sequential, undefined as never]) {
      expect(() => toTfjs(other)).toThrow(UnsupportedError);
    }
    expect(() => fromKeras(new Uint8Array(100))).toThrow(FormatError);
    expect(() => readKerasWeights(new Uint8Array(100))).toThrow(FormatError);
  });
});

/** A Sequential of one layer, or several, whose weights are zeros. */
function sequential(layers: readonly object[], shapes: Readonly<Record<string, readonly number[]>>, seed = 1) {
  const weights = Object.entries(shapes).map(([name, shape]) => ({ name, shape, dtype: "float32" }));
  const size = weights.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const json = { modelTopology: { class_name: "Sequential", config: { name: "s", layers } }, weightsManifest: [{ paths: [], weights }] }; // prettier-ignore
  return fromTfjs(json, new Uint8Array(4 * size), { seed });
}

describe("chains", () => {
  const lstm = (config: object) => ({
    class_name: "LSTM",
    config: { name: "l", units: 2, batch_input_shape: [null, null, 3], ...config },
  });
  const lstmShapes = { "l/kernel": [3, 8], "l/recurrent_kernel": [2, 8], "l/bias": [8] };
  const layer = (kind: string, config: object, shape: (number | null)[] = [null, null, 3]) => ({ class_name: kind, config: { name: "l", batch_input_shape: shape, ...config } }); // prettier-ignore
  const norm = { "l/gamma": [3], "l/beta": [3], "l/moving_mean": [3], "l/moving_variance": [3] };
  const cases: [string, object, Readonly<Record<string, readonly number[]>>, boolean][] = [
    ["LSTM", lstm({}), lstmShapes, true],
    ["unrolled", lstm({ unroll: true }), lstmShapes, true],
    ["go_backwards", lstm({ go_backwards: true }), lstmShapes, false],
    ["stateful", lstm({ stateful: true }), lstmShapes, false],
    ["return_state", lstm({ return_state: true }), lstmShapes, false],
    ["dropout", lstm({ dropout: 0.1 }), lstmShapes, false],
    ["recurrent_dropout", lstm({ recurrent_dropout: 0.1 }), lstmShapes, false],
    ["time_major", lstm({ time_major: true }), lstmShapes, false],
    ["softsign", lstm({ activation: "softsign" }), lstmShapes, false],
    ["gates of elu", lstm({ recurrent_activation: "elu" }), lstmShapes, false],
    ["a name with a dot", { ...lstm({}), config: { ...lstm({}).config, name: "a.b" } }, { "a.b/kernel": [3, 8], "a.b/recurrent_kernel": [2, 8], "a.b/bias": [8] }, false], // prettier-ignore
    ["mask_zero", layer("Embedding", { input_dim: 4, output_dim: 2, mask_zero: true }, [null, 3]), { "l/embeddings": [4, 2] }, false], // prettier-ignore
    ["Embedding", layer("Embedding", { input_dim: 4, output_dim: 2 }, [null, 3]), { "l/embeddings": [4, 2] }, true],
    ["Masking", layer("Masking", {}), {}, false],
    ["LeakyReLU of 0.3", layer("LeakyReLU", {}), {}, false],
    ["LeakyReLU of 0.01", layer("LeakyReLU", { alpha: 0.009999999776482582 }), {}, true],
    ["ReLU", layer("ReLU", {}), {}, true],
    ["ReLU6", layer("ReLU", { max_value: 6 }), {}, false],
    ["ELU of 0.5", layer("ELU", { alpha: 0.5 }), {}, false],
    ["Softmax of axis 1", layer("Softmax", { axis: 1 }), {}, false],
    ["Softmax of axis 2", layer("Softmax", { axis: [2] }), {}, true],
    ["leaky_relu", layer("Activation", { activation: "leaky_relu" }), {}, false],
    ["MaxPooling1D", layer("MaxPooling1D", { pool_size: [2], strides: [1] }), {}, true],
    ["MaxPooling1D same", layer("MaxPooling1D", { pool_size: [2], padding: "same" }), {}, false],
    ["channels first", layer("AveragePooling1D", { data_format: "channels_first" }), {}, false],
    ["GlobalMaxPooling1D", layer("GlobalMaxPooling1D", {}), {}, true],
    ["keepdims", layer("GlobalMaxPooling1D", { keepdims: true }), {}, false],
    ["Conv1D same", layer("Conv1D", { filters: 2, kernel_size: 3, padding: "same" }), { "l/kernel": [3, 3, 2], "l/bias": [2] }, true], // prettier-ignore
    ["Conv1D same, in strides", layer("Conv1D", { filters: 2, kernel_size: 3, padding: "same", strides: 2 }), { "l/kernel": [3, 3, 2], "l/bias": [2] }, false], // prettier-ignore
    ["Conv1D gelu", layer("Conv1D", { filters: 2, kernel_size: 3, activation: "gelu" }), { "l/kernel": [3, 3, 2], "l/bias": [2] }, false], // prettier-ignore
    ["BatchNormalization", layer("BatchNormalization", { axis: [2] }), norm, true],
    ["BatchNormalization of time", layer("BatchNormalization", { axis: 1 }), norm, false],
    ["BatchNormalization, frozen", layer("BatchNormalization", { trainable: false }), norm, false],
    ["BatchNormalization without scale", layer("BatchNormalization", { scale: false }), { "l/beta": [3], "l/moving_mean": [3], "l/moving_variance": [3] }, false], // prettier-ignore
    ["LayerNormalization", layer("LayerNormalization", {}), { "l/gamma": [3], "l/beta": [3] }, true],
    ["LayerNormalization of two axes", layer("LayerNormalization", { axis: [1, 2] }), { "l/gamma": [3], "l/beta": [3] }, false], // prettier-ignore
    ["Dropout", layer("Dropout", { rate: 0.5 }), {}, true],
    ["noise_shape", layer("Dropout", { rate: 0.5, noise_shape: [null, 1, 3] }), {}, false],
    ["PReLU", layer("PReLU", { shared_axes: [1] }), { "l/alpha": [1, 3] }, true],
    ["PReLU of steps", layer("PReLU", {}), { "l/alpha": [2, 3] }, false],
    ["TimeDistributed Dense", layer("TimeDistributed", { layer: { class_name: "Dense", config: { units: 2 } } }), { "l/kernel": [3, 2], "l/bias": [2] }, true], // prettier-ignore
    ["TimeDistributed LSTM", layer("TimeDistributed", { layer: lstm({}) }, [null, null, null, 3]), lstmShapes, false],
  ];
  test.each(cases)("%s", (_, one, shapes, isChain) => {
    using model = sequential([one], shapes);
    expect(model instanceof Sequential).toBe(isChain);
    expect(model.training).toBe(false);
  });

  test("directions of a Bidirectional that differ, or are merged otherwise, stay a graph", () => {
    const inner = (config: object) => ({ class_name: "LSTM", config: { name: "x", units: 2, ...config } });
    const shapes = Object.fromEntries(["forward_x", "backward_x"].flatMap((part) => Object.entries(lstmShapes).map(([name, shape]) => [name.replace("l/", `l/${part}/`), shape]))); // prettier-ignore
    const make = (config: object) => sequential([layer("Bidirectional", config)], shapes);
    const backward = (config: object) => ({ layer: inner({}), backward_layer: inner({ go_backwards: true, ...config }) }); // prettier-ignore
    for (const [config, isChain] of [
      [{ layer: inner({}) }, true],
      [{ layer: inner({}), merge_mode: "concat" }, true],
      [{ layer: inner({}), merge_mode: "sum" }, false],
      [{ layer: inner({}), merge_mode: null }, false],
      [backward({}), true],
      [backward({ activation: "relu" }), false],
      [backward({ recurrent_activation: "sigmoid" }), false],
    ] as const) {
      using model = make(config);
      expect(model instanceof Sequential).toBe(isChain);
    }
  });

  test("layers have the names in the file, and what they do of their own has names, too", () => {
    const dense = { class_name: "Dense", config: { name: "d", units: 2, activation: "relu" } };
    using model = sequential([lstm({}), dense], { ...lstmShapes, "d/kernel": [2, 2], "d/bias": [2] }) as Sequential;
    expect(Object.keys(model.layers)).toEqual(["l", "l_last", "d", "d_activation"]);
    expect(Object.keys(model.stateDict())).toEqual([
      ...["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"].map((name) => `l.${name}`),
      "d.weight",
      "d.bias",
    ]);
    const numbered = (names: string[]) => names.map((name) => ({ class_name: "Activation", config: { name, activation: "tanh" } })); // prettier-ignore
    using inOrder = sequential(numbered(["0", "1"]), {});
    expect(inOrder instanceof Sequential).toBe(true);
    using notInOrder = sequential(numbered(["1", "0"]), {}); // a record would put 0 first
    expect(notInOrder instanceof Model).toBe(true);
  });

  test("whole numbers of any type are indices", () => {
    using model = sequential([layer("Embedding", { input_dim: 3, output_dim: 1 }, [null, null])], { "l/embeddings": [3, 1] }); // prettier-ignore
    const { "l.weight": weight } = model.stateDict();
    model.loadStateDict({ "l.weight": { data: Float32Array.of(0, 1, 2), shape: weight!.shape } });
    for (const data of [new Uint8Array([2, 0]), new Float32Array([2, 0]), new Int32Array([2, 0])]) {
      expect(model.forward({ data, shape: [1, 2] } as Tensor).output).toEqual({ data: Float32Array.of(2, 0), shape: [1, 2, 1] }); // prettier-ignore
    }
    expect(() => model.forward({ data: Float32Array.of(0.5), shape: [1, 1] })).toThrow("x[0]: got 0.5, expected a whole number"); // prettier-ignore
    expect(() => model.forward({ data: Float32Array.of(3), shape: [1, 1] })).toThrow("x: got 3 at position 0");
  });
});

describe("training of graphs", () => {
  test("running statistics are no parameters, and weight decay leaves them alone", () => {
    const weights = { gamma: tensor64([2], () => 1), moving_mean: tensor64([2], (i) => 3 + i), moving_variance: tensor64([2], () => 1) }; // prettier-ignore
    using model = oneLayer("BatchNormalization", { momentum: 0.5, center: false }, [[null, 2]], weights);
    const x = tensor64([4, 2], (i) => Math.sin(i));
    using optimizer = new AdamW(model.parameters(), { lr: 0.1, weightDecay: 0.5 });
    expect(model.parameters().map(({ name }) => name)).toEqual(["l/gamma"]);
    optimizer.minimize(() =>
      mse(
        model.forward(x).output as Tensor<"f64">,
        tensor64([4, 2], () => 0),
      ),
    ); // in inference mode
    expect([...model.stateDict()["l/moving_mean"]!.data]).toEqual([3, 4]);
    expect(model.stateDict()["l/gamma"]!.data[0]).toBeLessThan(0.96);
    model.train();
    model.forward(x);
    const mean = [0, 1].map((c) => [0, 1, 2, 3].reduce((sum, row) => sum + x.data[2 * row + c]! / 4, 0));
    model.stateDict()["l/moving_mean"]!.data.forEach((value, c) => expect(value).toBeCloseTo((3 + c + mean[c]!) / 2, 12)); // prettier-ignore
    const files = toTfjs(model);
    using again = fromTfjs(files["model.json"], files["weights.bin"], { dtype: "f64" });
    expect(again.stateDict()["l/moving_mean"]!.data[0]).toBe(Math.fround(model.stateDict()["l/moving_mean"]!.data[0]!));
    const state = model.stateDict();
    model.loadStateDict({ ...state, "l/moving_mean": tensor64([2], () => 9) });
    expect([...model.stateDict()["l/moving_mean"]!.data]).toEqual([9, 9]);
  });

  test("recurrent_dropout drops the same units of h at all steps", () => {
    valueAndGrad(() => mse(tensor64([1], () => 1), tensor64([1], () => 1))); // prettier-ignore
    const h = 40;
    const x = tensor64([1, 3, 1], () => 1);
    const config = { units: h, recurrent_dropout: 0.5, return_sequences: true };
    // h' = x + m h, with m of 0 or 2: 1 1 1 or 1 3 7
    const eye = tensor64([h, h], (i) => Number(i % (h + 1) === 0));
    const own = { kernel: tensor64([1, h], () => 1), recurrent_kernel: eye };
    using rnn = oneLayer("SimpleRNN", { ...config, activation: "linear", use_bias: false }, [[null, 3, 1]], own);
    const rows = (model: Model) => {
      const { data } = model.forward(x).output;
      return Array.from({ length: h }, (_, k) => [0, 1, 2].map((t) => data[t * h + k]!));
    };
    expect(new Set(rows(rnn).map(String))).toEqual(new Set(["1,2,3"]));
    rnn.train();
    expect(new Set(rows(rnn).map(String))).toEqual(new Set(["1,1,1", "1,3,7"]));
    // A GRU keeps what was dropped, too: h' = 0.5 m h + 0.5 tanh(b)
    const gru = {
      kernel: tensor64([1, 3 * h], () => 0),
      recurrent_kernel: tensor64([h, 3 * h], () => 0),
      bias: tensor64([3 * h], (i) => Number(i >= 2 * h)),
    };
    using gated = oneLayer("GRU", { ...config, recurrent_activation: "sigmoid" }, [[null, 3, 1]], gru);
    gated.train();
    const c = Math.tanh(1) / 2;
    for (const [a, b, d] of rows(gated)) {
      expect(a).toBeCloseTo(c, 12);
      const kept = b! > 1.5 * c;
      expect(b).toBeCloseTo(kept ? 2 * c : c, 12);
      expect(d).toBeCloseTo(kept ? 3 * c : c, 12);
    }
  });
});
