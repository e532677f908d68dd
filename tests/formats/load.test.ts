// loadModel: every real model (MODELS_DIR), small files of each format, several files by name, and what it refuses.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { StreamingModel } from "../../src/audio.js";
import {
  CharLM,
  DtypeError,
  FormatError,
  readCharLM,
  UnsupportedError,
  ValueError,
  Vocabulary,
  writeCharLM,
} from "../../src/index.js";
import { fromTfjs, Sequential } from "../../src/keras.js";
import { loadModel, type LoadedModel, type ModelFiles } from "../../src/load.js";
import { readNpy, readNpz, writeNpy, writeNpz } from "../../src/npy.js";
import { Model, onnxMetadata } from "../../src/onnx.js";
import { readTorch } from "../../src/pytorch.js";
import { fromMl5 } from "../../src/text.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { expectValue, fileCases } from "../helpers/files.js";
import { makeHdf5 } from "../helpers/make-hdf5.js";
import { float, graph, node, onnxFile } from "../helpers/make-onnx.js";
import { modelsDirectory, noModels } from "../helpers/onnx.js";

type Files = Record<string, Uint8Array>;

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const json = (value: unknown) => bytesOf(JSON.stringify(value));
const f32 = (...numbers: number[]) => new Uint8Array(Float32Array.from(numbers).buffer);

/** Disposes of a model once `use` is done with it. */
async function load(files: ModelFiles, use: (loaded: LoadedModel) => void | Promise<void>): Promise<void> {
  const loaded = await loadModel(files);
  try {
    await use(loaded);
  } finally {
    loaded.model?.dispose();
  }
}

async function refuses(files: ModelFiles, kind: new (...args: never[]) => Error, ...parts: string[]): Promise<void> {
  const error = await loadModel(files).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(kind);
  for (const part of parts) expect((error as Error).message).toContain(part);
}

// --- small files of each format --------------------------------------------------------------------------------------

const dense = { class_name: "Dense", config: { name: "d", units: 1, use_bias: false, batch_input_shape: [null, 2] } };
const topology = { class_name: "Sequential", config: { name: "s", layers: [dense] } };

/** y = [x0, x1] * [2, 3]. */
function tfjs(paths: readonly string[] = ["group1-shard1of2.bin", "group1-shard2of2.bin"]): Files {
  const model = {
    format: "layers-model",
    generatedBy: "keras v2.9.0",
    modelTopology: topology,
    weightsManifest: [{ paths, weights: [{ name: "d/kernel", shape: [2, 1], dtype: "float32" }] }],
  };
  return { "model.json": json(model), "group1-shard1of2.bin": f32(2), "group1-shard2of2.bin": f32(3) };
}

/** A character model over "a" and "b" whose variables are all zeros. */
function ml5(): Files {
  const shapes = {
    embedding: [2, 3],
    "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/kernel": [4, 4],
    "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell/bias": [4],
    "rnnlm/softmax_w": [1, 2],
    "rnnlm/softmax_b": [2],
  };
  const manifest = Object.entries(shapes).map(([name, shape]) => [
    name,
    { filename: name.replaceAll("/", "_"), shape },
  ]);
  const sizes = Object.values(shapes).map((shape) => shape.reduce((a, b) => a * b, 1));
  const variables = Object.keys(shapes).map((name, i) => [name.replaceAll("/", "_"), new Uint8Array(4 * sizes[i]!)]);
  return {
    "manifest.json": json(Object.fromEntries(manifest)),
    "vocab.json": json({ a: 0, b: 1 }),
    ...(Object.fromEntries(variables) as Files),
  };
}

const weightsGroup = {
  attributes: { layer_names: ["d"] },
  entries: {
    d: {
      attributes: { weight_names: ["d/kernel:0"] },
      entries: { d: { entries: { "kernel:0": { data: [2, 3], shape: [2, 1] } } } },
    },
  },
};
const h5 = () =>
  makeHdf5({ attributes: { model_config: JSON.stringify(topology) }, entries: { model_weights: weightsGroup } });

const keras = () =>
  zipSync({
    "metadata.json": bytesOf("{}"),
    "config.json": json(topology),
    "model.weights.h5": makeHdf5({
      entries: {
        layers: {
          entries: { dense: { entries: { vars: { entries: { "0": { data: [2, 3], shape: [2, 1] } } } } } },
        },
      },
    }),
  });

const onnx = () => {
  const nodes = [node("LeakyRelu", ["x"], ["y"], { alpha: float(0.5) })];
  return onnxFile(graph({ x: ["f32", ["n"]] }, { y: ["f32", ["n"]] }, nodes));
};

function charLM(): Uint8Array {
  using model = new CharLM(new Vocabulary("ab"), { embeddingDim: 2, hiddenSize: 2, numLayers: 1, seed: 1 });
  return writeCharLM(model, { steps: 7 });
}

const rtneural = {
  in_shape: [null, null, 1],
  layers: [{ type: "dense", activation: "", shape: [null, null, 1], weights: [[[3]], [1]] }],
};
const proteus = {
  model_data: { model: "SimpleRNN", input_size: 1, output_size: 1, hidden_size: 1, num_layers: 1, unit_type: "GRU", skip: 0, bias_fl: true }, // prettier-ignore
  state_dict: {
    "rec.weight_ih_l0": [[0], [0], [0]],
    "rec.weight_hh_l0": [[0], [0], [0]],
    "rec.bias_ih_l0": [0, 0, 0],
    "rec.bias_hh_l0": [0, 0, 0],
    "lin.weight": [[1]],
    "lin.bias": [0.5],
  },
};
const nam = {
  version: "0.5.4",
  metadata: { gear_type: "amp" },
  architecture: "LSTM",
  config: { input_size: 1, hidden_size: 1, num_layers: 1 },
  weights: [...Array<number>(4 * 3).fill(0), 0, 0, 1, 0.25],
};

const tensors = { a: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] } };

describe("each format", () => {
  test("a character model of this package", async () => {
    await load(charLM(), ({ format, model, metadata }) => {
      expect(format).toBe("wasm-rnn");
      expect(model).toBeInstanceOf(CharLM);
      expect(metadata).toMatchObject({ format: "wasm-rnn charlm", trained_steps: "7" });
      using own = readCharLM(charLM()).model;
      expect((model as CharLM).stateDict()).toEqual(own.stateDict());
    });
  });

  test("safetensors, with types that no layer takes", async () => {
    const bytes = writeSafetensors(tensors, JSON.parse('{"format":"pt","__proto__":"x"}') as Record<string, string>);
    const loaded = await loadModel(bytes);
    expect(loaded).toEqual({ format: "safetensors", ...readSafetensors(bytes) });
    expect(loaded.tensors!.a).toEqual(tensors.a);
  });

  test("ONNX", async () => {
    await load(onnx(), ({ format, model, metadata }) => {
      expect(format).toBe("onnx");
      const { y } = (model as Model).run({ x: { data: Float32Array.of(-2, 3), shape: [2] } });
      expect([...(y!.data as Float32Array)]).toEqual([-1, 3]);
      expect(metadata).toMatchObject({ irVersion: 8, producerName: "test", properties: {} });
      expect(metadata.opsets).toEqual({ "ai.onnx": 17 });
      expect(metadata).toEqual(onnxMetadata(model as Model));
    });
  });

  test.each([
    ["keras", "keras", keras],
    ["h5", "keras-h5", h5],
    ["TensorFlow.js", "tfjs", () => tfjs()],
  ] as const)("%s", async (_, format, make) => {
    await load(make(), (loaded) => {
      expect(loaded.format).toBe(format);
      const { output } = (loaded.model as Model).forward({ data: Float32Array.of(1, 10), shape: [1, 2] });
      expect([...output.data]).toEqual([32]);
      expect(loaded.metadata).toEqual(format === "tfjs" ? { format: "layers-model", generatedBy: "keras v2.9.0" } : {});
    });
  });

  test("weights of Keras alone, under the names that they have with a model", async () => {
    const loaded = await loadModel(makeHdf5(weightsGroup));
    expect(loaded).toEqual({
      format: "keras-weights",
      tensors: { "d/kernel:0": { data: Float32Array.of(2, 3), shape: [2, 1] } },
      metadata: {},
    });
  });

  test("a broken .h5 with a model stays an error of the model", async () => {
    const bytes = makeHdf5({ attributes: { model_config: "{" }, entries: { model_weights: weightsGroup } });
    await refuses(bytes, FormatError, "model_config");
    await refuses(
      makeHdf5({ attributes: { model_config: JSON.stringify(topology) } }),
      FormatError,
      "no model_weights",
    );
  });

  test("ml5", async () => {
    await load(ml5(), ({ format, model }) => {
      expect(format).toBe("ml5");
      expect((model as CharLM).vocabulary.characters).toEqual(["a", "b"]);
    });
  });

  test.each([
    ["rtneural", rtneural, 7, {}],
    ["proteus", proteus, 0.5, { model_data: proteus.model_data }],
    ["nam", nam, 0.25, { version: "0.5.4", metadata: { gear_type: "amp" }, architecture: "LSTM" }],
  ] as const)("%s, also with a byte order mark", async (format, value, y, metadata) => {
    for (const bytes of [json(value), bytesOf(`\ufeff${JSON.stringify(value, null, 2)}`)]) {
      await load(bytes, (loaded) => {
        expect(loaded.format).toBe(format);
        expect(loaded.model).toBeInstanceOf(StreamingModel);
        expect([...(loaded.model as StreamingModel).step([2])]).toEqual([y]);
        expect(loaded.metadata).toEqual(metadata);
      });
    }
  });

  test("npy and npz", async () => {
    const bytes = writeNpy(tensors.a);
    expect(await loadModel(bytes)).toEqual({ format: "npy", tensors: { array: tensors.a }, metadata: {} });
    const archive = writeNpz({ ...tensors, "b/c": { data: BigInt64Array.of(5n), shape: [] } });
    expect(await loadModel(archive)).toEqual({ format: "npz", tensors: readNpz(archive), metadata: {} });
  });

  test.each(fileCases("torch").filter(({ error }) => error === undefined))("PyTorch: $name", async ({ bytes }) => {
    const loaded = await loadModel(bytes);
    expect(loaded.format).toBe("pytorch");
    const { tensors: found, rest } = split(readTorch<unknown>(bytes));
    expect(Object.getPrototypeOf(loaded.tensors)).toBeNull();
    expectValue(loaded.tensors, found);
    expectValue(loaded.metadata, rest);
  });
});

/** By another way than the reader's: all paths, then the tensors among them. */
function split(value: unknown): { tensors: Record<string, unknown>; rest: unknown } {
  const found: Record<string, unknown> = {};
  const isTensor = (each: unknown): each is object =>
    typeof each === "object" && each !== null && "data" in each && "shape" in each;
  const rest = (each: unknown, path: string[]): unknown[] => {
    if (isTensor(each)) {
      found[path.join(".") || "array"] = each;
      return [];
    }
    if (typeof each !== "object" || each === null || ArrayBuffer.isView(each)) return [each];
    if (Array.isArray(each)) {
      const parts = each.map((part, i) => rest(part, [...path, `${i}`]));
      return parts.length > 0 && parts.every(({ length }) => length === 0) ? [] : [parts.map(([part]) => part ?? null)];
    }
    const parts = Object.entries(each).map(([key, part]) => [key, rest(part, [...path, key])] as const);
    const kept = parts.flatMap(([key, part]) => part.map((one) => [key, one] as const));
    if (kept.length === 0 && parts.length > 0) return [];
    const made = Object.create(null) as Record<string, unknown>;
    for (const [key, one] of kept) made[key] = one;
    return [made];
  };
  const [left] = rest(value, []);
  const plain = typeof left === "object" && left !== null && !Array.isArray(left) && !ArrayBuffer.isView(left);
  return { tensors: found, rest: plain ? left : left === undefined ? {} : { value: left } };
}

// --- several files ---------------------------------------------------------------------------------------------------

describe("several files", () => {
  const renamed = (files: Files, rename: (name: string) => string) =>
    Object.fromEntries(Object.entries(files).map(([name, bytes]) => [rename(name), bytes]));

  test.each<[string, Files, string]>([
    ["in a folder", renamed(tfjs(), (name) => `my model/${name}`), "tfjs"],
    ["in a folder of Windows", renamed(tfjs(), (name) => `a\\b\\${name}`), "tfjs"],
    ["model.json alone in a folder", renamed(tfjs(), (name) => (name === "model.json" ? `m/${name}` : name)), "tfjs"],
    ["model.json under another name", renamed(tfjs(), (name) => (name === "model.json" ? "text" : name)), "tfjs"],
    ["paths that begin with ./", tfjs(["./group1-shard1of2.bin", "./group1-shard2of2.bin"]), "tfjs"],
    ["paths with folders that are not there", tfjs(["w/group1-shard1of2.bin", "w/group1-shard2of2.bin"]), "tfjs"],
    ["in any order, with a licence", { LICENSE: bytesOf("MIT"), ...reversed(tfjs()) }, "tfjs"],
    ["with JSON that is no model, and broken JSON", { "a.json": json({ a: 1 }), "b.json": bytesOf("{"), ...tfjs() }, "tfjs"], // prettier-ignore
    ["a shard that looks like ONNX", { ...tfjs(), "group1-shard1of2.bin": Uint8Array.of(8, 7, 0x12, 0) }, "tfjs"],
    ["ml5 in a folder", renamed(ml5(), (name) => `dubois/${name}`), "ml5"],
    ["ml5 beside a licence", { "LICENSE.txt": bytesOf("MIT"), ...ml5() }, "ml5"],
    ["one file by its name", { "any name": onnx() }, "onnx"],
    ["a model beside a page", { "readme.html": bytesOf("<html>"), "m.onnx": onnx() }, "onnx"],
  ])("%s", async (_, files, format) => {
    await load(files, (loaded) => {
      expect(loaded.format).toBe(format);
    });
  });

  test("shards come in the order of model.json", async () => {
    await load(tfjs(["group1-shard2of2.bin", "group1-shard1of2.bin"]), ({ model }) => {
      const { output } = (model as Model).forward({ data: Float32Array.of(1, 10), shape: [1, 2] });
      expect([...output.data]).toEqual([23]);
    });
  });

  test("of two folders' shards those beside model.json are taken", async () => {
    const other = renamed({ ...tfjs(), "group1-shard1of2.bin": f32(100) }, (name) => `b/${name}`);
    delete other["b/model.json"];
    await load({ ...other, ...renamed(tfjs(), (name) => `a/${name}`) }, ({ model }) => {
      const { output } = (model as Model).forward({ data: Float32Array.of(1, 10), shape: [1, 2] });
      expect([...output.data]).toEqual([32]);
    });
  });

  test("are read once, by own properties", async () => {
    let reads = 0;
    const files = Object.create({ inherited: onnx() }) as Files;
    Object.defineProperty(files, "m.onnx", { enumerable: true, get: () => (reads++ === 0 ? onnx() : bytesOf("x")) });
    await load(files, ({ format }) => {
      expect([format, reads]).toEqual(["onnx", 1]);
    });
    const named = JSON.parse('{"__proto__":0}') as Files;
    Object.defineProperty(named, "__proto__", { value: onnx(), enumerable: true });
    await load(named, ({ format }) => {
      expect(format).toBe("onnx");
    });
  });
});

const reversed = (files: Files) => Object.fromEntries(Object.entries(files).reverse());

// --- errors ----------------------------------------------------------------------------------------------------------

/** The elements of an array by their indices, getters among them. */
function record(files: Uint8Array[]): Files {
  const { length: _, ...elements } = Object.getOwnPropertyDescriptors(files);
  return Object.create(null, elements as PropertyDescriptorMap) as Files;
}

describe("refused", () => {
  const [{ "model.json": model, ...shards }, { "manifest.json": manifest, ...variables }] = [tfjs(), ml5()] as [Files, Files]; // prettier-ignore
  const { "group1-shard1of2.bin": first } = shards;
  const noVocabulary = Object.fromEntries(Object.entries(variables).filter(([name]) => name !== "vocab.json"));
  const graphModel = json({ format: "graph-model", modelTopology: {}, weightsManifest: [] });

  test.each<[string, ModelFiles, new (...args: never[]) => Error, ...string[]]>([
    ["no files", {}, ValueError, "files: got 0 files"],
    [
      "too many files",
      Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`${i}`, first!])),
      ValueError,
      "1001",
    ],
    ["text", "model.onnx" as never, DtypeError, "files: got"],
    ["null", null as never, DtypeError, "files: got null"],
    ["an ArrayBuffer", new ArrayBuffer(8) as never, DtypeError, "new Uint8Array(buffer)"],
    ["a list", [onnx()] as never, DtypeError, "files: got"],
    ["a file that is no bytes", { "a.onnx": "text" as never }, DtypeError, 'files["a.onnx"]: got'],
    ["an empty file", new Uint8Array(), FormatError, "files: got an empty file"],
    ["bytes of no kind", Uint8Array.of(1, 2, 3), FormatError, "files: got bytes of an unknown kind"],
    ["a zip archive", zipSync({ "a.txt": bytesOf("x") }), FormatError, "a zip archive", "unpack it first"],
    ["a gzip file", gzipSync(onnx()), FormatError, "a gzip file", "unpack it first"],
    ["a page", bytesOf("<!DOCTYPE html>"), FormatError, "an HTML page", "is its address the file's own?"],
    ["a Git LFS pointer", bytesOf("version https://git-lfs.github.com/spec/v1\n"), FormatError, "git lfs pull"],
    ["a GGUF file", bytesOf("GGUF\x03"), FormatError, "a GGUF file"],
    ["JSON of something", json({ a: 1 }), FormatError, "a JSON file"],
    ["broken JSON", bytesOf('{"layers": ['), FormatError, "files: got something else, expected JSON"],
    ["JSON with a key twice", bytesOf('{"layers":1,"layers":2}'), FormatError, "twice"],
    ["a topology", json(topology), FormatError, "without weights", "fromKeras"],
    ["a graph model", { "model.json": graphModel }, UnsupportedError, "a graph model"],
    ["model.json alone", model!, FormatError, 'a model.json of TensorFlow.js, without "group1-shard1of2.bin"'],
    [
      "a shard that is missing",
      { "model.json": model!, "group1-shard1of2.bin": first! },
      FormatError,
      'without "group1-shard2of2.bin"',
    ],
    ["a shard that is a page", { ...tfjs(), "group1-shard2of2.bin": bytesOf("<html>") }, FormatError, 'files["group1-shard2of2.bin"]: got an HTML page'], // prettier-ignore
    ["a shard that is a pointer", { ...tfjs(), "group1-shard1of2.bin": bytesOf("version https://git-lfs.github.com/spec/v1") }, FormatError, "a Git LFS pointer"], // prettier-ignore
    ["a shard that is named twice", tfjs(["group1-shard1of2.bin", "group1-shard1of2.bin"]), FormatError, "twice"],
    ["a path that is a number", tfjs([5] as never), FormatError, "weightsManifest[0].paths[0]"],
    ["two folders' shards, none beside", { "model.json": model!, ...renamedInto("a", shards), ...renamedInto("b", shards) }, FormatError, "without"], // prettier-ignore
    ["shards alone", shards, FormatError, "no model among", "group1-shard1of2.bin"],
    ["ml5 without a variable", { ...ml5(), embedding: undefined as never }, DtypeError, 'files["embedding"]'],
    ["ml5's manifest alone", manifest!, FormatError, "a manifest.json of ml5", 'without "vocab.json"'],
    [
      "ml5 without its vocabulary",
      { "manifest.json": manifest!, ...noVocabulary },
      FormatError,
      'without "vocab.json"',
    ],
    [
      "two models",
      { "a.onnx": onnx(), "b.h5": h5() },
      FormatError,
      '2 models: "a.onnx" (an ONNX model), "b.h5" (an HDF5',
    ],
    ["a model of several files, and another", { ...tfjs(), "b.onnx": onnx() }, FormatError, "2 models"],
    ["a file of the format that is not whole", onnx().subarray(0, 20), FormatError],
  ])("%s", async (_, files, kind, ...parts) => {
    await refuses(files, kind, ...parts);
  });

  test("bytes that are given away before the reader is there", async () => {
    const bytes = onnx();
    const loading = loadModel(bytes);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    await expect(loading).rejects.toBeInstanceOf(DtypeError);
  });

  test.each<[string, string, (files: Uint8Array[]) => unknown]>([
    ["loadModel", 'files["0"]', (files) => loadModel(record(files))],
    ["fromMl5", 'files["0"]', (files) => fromMl5(record(files))],
    ["fromTfjs", "shards[0]", (files) => fromTfjs(model!, files)],
  ])("%s: of several files, one whose getter gives another away", async (_, argument, call) => {
    const first = bytesOf("{}");
    const give = () => (structuredClone(first, { transfer: [first.buffer] }), bytesOf("{}"));
    const files = Object.defineProperty([first, first], 1, { get: give, enumerable: true });
    const error = new DtypeError(argument, "a detached array", "one that still has its numbers");
    await expect((async () => await call(files))()).rejects.toThrow(error);
  });

  test("shards whose array has another iterator are read by their indices", () => {
    const list = Object.assign(Object.values(shards), { [Symbol.iterator]: () => 1 as never });
    using read = fromTfjs(model!, list);
    using expected = fromTfjs(model!, Object.values(shards));
    expect(read.stateDict()).toEqual(expected.stateDict());
  });

  test("tensors of one name", async () => {
    const kernel = { data: [1], shape: [1] };
    const bytes = makeHdf5({
      attributes: { layer_names: ["a"] },
      entries: {
        a: { attributes: { weight_names: ["k", "a/k"] }, entries: { a: { entries: { k: kernel } }, k: kernel } },
      },
    });
    await refuses(bytes, FormatError, 'files: got two tensors "a/k"');
  });
});

function renamedInto(folder: string, files: Files): Files {
  return Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, bytes]));
}

// --- real models -----------------------------------------------------------------------------------------------------

const folders = existsSync(modelsDirectory)
  ? readdirSync(modelsDirectory, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? [each.name] : []))
  : [];

/** The format by the folder's name, and the class of the model; `undefined` for tensors. */
const REAL: readonly (readonly [pattern: RegExp, format: string, model?: unknown])[] = [
  [/^(dtln-[12]|gtcrn.*|silero-vad(-legacy|-16k-op15|-op18-ifless)?)$/, "onnx", Model],
  [/^torch-(?!pt$)/, "onnx", Model],
  [/^tfjs-(text|gru-reset-after)/, "tfjs", Sequential],
  [/^tfjs-/, "tfjs", Model],
  [/^rtneural-/, "rtneural", StreamingModel],
  [/^nam-/, "nam", StreamingModel],
  [/^ml5-/, "ml5", CharLM],
  [/^textgenrnn-weights$/, "keras-weights"],
  [/safetensors/, "safetensors"],
  [/^g2p-en$/, "npz"],
  [/^torch-pt$/, "pytorch"],
];

describe.runIf(folders.length > 0)("real models", () => {
  const files = (folder: string) =>
    Object.fromEntries(
      readdirSync(join(modelsDirectory, folder))
        .filter((name) => !/^cases.*\.(json|safetensors)$/.test(name))
        .map((name) => [`${folder}/${name}`, new Uint8Array(readFileSync(join(modelsDirectory, folder, name)))]),
    );

  test.each(folders.filter((name) => name !== "dtln-chain" && name !== "npy" && name !== "torch-pt"))(
    "%s: the whole folder, beside its licence",
    async (folder) => {
      const [, format, kind] = REAL.find(([pattern]) => pattern.test(folder))!;
      await load(files(folder), (loaded) => {
        expect(loaded.format).toBe(format);
        if (kind) expect(loaded.model).toBeInstanceOf(kind);
        else expect(Object.keys(loaded.tensors!).length).toBeGreaterThan(0);
      });
    },
  );

  test.each(folders.filter((name) => name === "npy" || name === "torch-pt"))("%s: each file", async (folder) => {
    const all = Object.entries(files(folder)).filter(([name]) => !name.endsWith(".txt"));
    expect(all.length).toBeGreaterThan(4);
    for (const [name, bytes] of all) {
      const { format, tensors: found } = await loadModel(bytes);
      expect(name.endsWith(`.${format === "pytorch" ? "pt" : format}`)).toBe(true);
      if (format === "npy") expect(found.array).toEqual(readNpy(bytes));
    }
  });

  test.each(folders.filter((name) => name.startsWith("tfjs-text-")))("%s runs as by fromTfjs", async (folder) => {
    const all = files(folder);
    const name = Object.keys(all).find((each) => each.endsWith(".json"))!;
    const weights = Object.keys(all).find((each) => each.endsWith(".bin"))!;
    await load(all, ({ model }) => {
      using own = fromTfjs(all[name]!, all[weights]!);
      const [got, want] = [(model as Model).stateDict(), own.stateDict()];
      expect(Object.keys(got)).toEqual(Object.keys(want));
      for (const [key, { data }] of Object.entries(want)) {
        expect(Buffer.compare(Buffer.from(got[key]!.data.buffer), Buffer.from(data.buffer)), key).toBe(0);
      }
    });
  });
});

test("real models are there", (context) => {
  context.skip(folders.length === 0, noModels);
});
