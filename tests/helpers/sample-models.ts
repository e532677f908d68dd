// A small model file in every format that is read, with weights that are not alike.
import { zipSync } from "fflate";
import { StreamingModel, toProteus, toRtneural } from "../../src/audio.js";
import { CharLM, GRU, Linear, LSTM, Sequential, Vocabulary, writeCharLM } from "../../src/index.js";
import type { LoadedFormat } from "../../src/load.js";
import { writeNpy, writeNpz } from "../../src/npy.js";
import { toOnnx } from "../../src/onnx.js";
import { writeSafetensors } from "../../src/safetensors.js";
import { fileCases } from "./files.js";
import { makeHdf5, type H5Group } from "./make-hdf5.js";

/** The files of a model by their names, the one that is the model first. */
export type SampleFiles = Readonly<Record<string, Uint8Array>>;

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const json = (value: unknown) => bytesOf(JSON.stringify(value));
const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Numbers of f32, other ones for each seed. */
const numbers = (size: number, seed: number) =>
  Array.from({ length: size }, (_, i) => Math.fround(Math.sin(1 + i * 1.7 + seed * 13) / 2));

// --- Keras: an LSTM of 4 units over 3 numbers, and a Dense of 2; with `mask` it is no chain ------------------------------

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "lstm/kernel": [3, 16],
  "lstm/recurrent_kernel": [4, 16],
  "lstm/bias": [16],
  "dense/kernel": [4, 2],
  "dense/bias": [2],
};

function topology(mask: boolean): unknown {
  const input = { batch_input_shape: [null, null, 3] };
  const lstm = { name: "lstm", units: 4, activation: "tanh", recurrent_activation: "sigmoid", use_bias: true, return_sequences: true }; // prettier-ignore
  const dense = { name: "dense", units: 2, activation: "linear", use_bias: true };
  const layers = [
    { class_name: "LSTM", config: { ...lstm, ...(!mask && input) } },
    { class_name: "Dense", config: dense },
  ];
  if (mask) layers.unshift({ class_name: "Masking", config: { name: "mask", mask_value: 0, ...input } } as never);
  return { class_name: "Sequential", config: { name: "net", layers } };
}

/** A model.json with weights.bin. */
export function tfjsFiles({ mask = false } = {}): SampleFiles {
  const entries = Object.entries(SHAPES);
  const weights = entries.map(([name, shape]) => ({ name, shape, dtype: "float32" }));
  const bytes = Float32Array.from(entries.flatMap(([, shape], i) => numbers(sizeOf(shape), i)));
  const manifest = [{ paths: ["weights.bin"], weights }];
  const model = { format: "layers-model", generatedBy: "a test", modelTopology: topology(mask), weightsManifest: manifest }; // prettier-ignore
  return { "model.json": json(model), "weights.bin": new Uint8Array(bytes.buffer) };
}

function dataset(name: string) {
  const shape = [...SHAPES[name]!];
  return { data: numbers(sizeOf(shape), Object.keys(SHAPES).indexOf(name)), shape };
}

const weightsGroup = (): H5Group => {
  const layer = (name: string): H5Group => {
    const own = Object.keys(SHAPES).filter((each) => each.startsWith(`${name}/`));
    const entries = Object.fromEntries(own.map((each) => [`${each.slice(name.length + 1)}:0`, dataset(each)]));
    return { attributes: { weight_names: own.map((each) => `${each}:0`) }, entries: { [name]: { entries } } };
  };
  return { attributes: { layer_names: ["lstm", "dense"] }, entries: { lstm: layer("lstm"), dense: layer("dense") } };
};

function kerasArchive(): Uint8Array {
  const vars = (names: readonly string[]): H5Group => ({
    entries: { vars: { entries: Object.fromEntries(names.map((name, i) => [String(i), dataset(name)])) } },
  });
  const lstm: H5Group = { entries: { cell: vars(["lstm/kernel", "lstm/recurrent_kernel", "lstm/bias"]) } };
  const layers: H5Group = { entries: { lstm, dense: vars(["dense/kernel", "dense/bias"]) } };
  return zipSync({
    "metadata.json": json({}),
    "config.json": json(topology(false)),
    "model.weights.h5": makeHdf5({ entries: { layers } }),
  });
}

// --- others ----------------------------------------------------------------------------------------------------------

function ml5Files(): SampleFiles {
  const shapes = {
    embedding: [3, 2],
    "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/kernel": [6, 16],
    "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/bias": [16],
    "rnnlm/softmax_w": [4, 3],
    "rnnlm/softmax_b": [3],
  };
  const entries = Object.entries(shapes).map(([name, shape]) => ({ name, shape, filename: name.replaceAll("/", "_") }));
  return {
    "manifest.json": json(Object.fromEntries(entries.map(({ name, ...entry }) => [name, entry]))),
    "vocab.json": json({ a: 0, b: 2, "\n": 1 }),
    ...Object.fromEntries(entries.map(({ filename, shape }, i) => [filename, new Uint8Array(Float32Array.from(numbers(sizeOf(shape), i)).buffer)])), // prettier-ignore
  };
}

/** A character model of this package. */
export function charLMFile(dtype: "f32" | "f64" = "f32"): Uint8Array {
  using model = new CharLM(new Vocabulary("ab\ncd"), { embeddingDim: 2, hiddenSize: 4, numLayers: 2, dtype, seed: 1 });
  model.warmUp = "abba\n";
  return writeCharLM(model, { steps: 7 });
}

function streaming(layers: ConstructorParameters<typeof Sequential>[0], write: (model: StreamingModel) => string) {
  using chain = new Sequential(layers);
  using model = StreamingModel.from(chain);
  return bytesOf(write(model));
}

const f32 = { dtype: "f32", seed: 3 } as const;

function onnxFile(): Uint8Array {
  using chain = new Sequential({ lstm: new LSTM(3, 4, f32), dense: new Linear(4, 2, f32) });
  return toOnnx(chain);
}

/** Numbers of every type that both safetensors and .npz hold. */
const tensors = {
  "net.weight": { data: Float32Array.from(numbers(6, 1)), shape: [2, 3] },
  scale: { data: Float64Array.of(Math.PI, -0), shape: [2] },
  steps: { data: BigInt64Array.of(-(2n ** 60n)), shape: [] },
  codes: { data: Int32Array.of(-1, 7), shape: [2] },
  bytes: { data: Uint8Array.of(0, 255), shape: [1, 2] },
  empty: { data: new Float32Array(0), shape: [0, 3] },
};

const nam = {
  version: "0.5.4",
  architecture: "LSTM",
  config: { input_size: 1, hidden_size: 2, num_layers: 1 },
  // [W_ih W_hh] of each row, the bias, the states, the head
  weights: [...numbers(8 * 3, 1), ...numbers(8, 2), 0, 0, 0, 0, ...numbers(2, 3), 0.25],
};

/** The files of a format by name. */
export const SAMPLES: Readonly<Record<LoadedFormat, () => SampleFiles>> = {
  "wasm-rnn": () => ({ "model.safetensors": charLMFile() }),
  ml5: ml5Files,
  tfjs: tfjsFiles,
  keras: () => ({ "net.keras": kerasArchive() }),
  "keras-h5": () => ({
    "net.h5": makeHdf5({
      attributes: { model_config: JSON.stringify(topology(false)) },
      entries: { model_weights: weightsGroup() },
    }),
  }),
  "keras-weights": () => ({ "weights.h5": makeHdf5(weightsGroup()) }),
  rtneural: () => ({ "amp.json": streaming({ lstm: new LSTM(2, 4, f32), dense: new Linear(4, 2, f32) }, toRtneural) }),
  proteus: () => ({ "pedal.json": streaming({ gru: new GRU(1, 4, f32), dense: new Linear(4, 1, f32) }, toProteus) }),
  nam: () => ({ "amp.nam": json(nam) }),
  onnx: () => ({ "net.onnx": onnxFile() }),
  safetensors: () => ({ "net.safetensors": writeSafetensors(tensors, { format: "pt", note: "a \u001b[2Jtest" }) }),
  pytorch: () => ({ "net.pt": fileCases("torch").find(({ value }) => isStateDict(value))!.bytes }),
  npz: () => ({ "net.npz": writeNpz(tensors) }),
  npy: () => ({ "array.npy": writeNpy(tensors.steps) }),
};

/** Whether a checkpoint is a record of several tensors. */
function isStateDict(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const all = Object.values(value) as unknown[];
  return all.length > 1 && all.every((each) => ArrayBuffer.isView((each as { data?: unknown } | null)?.data));
}
