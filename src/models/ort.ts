// This package as the backend of onnxruntime-common, in place of onnxruntime-web's.

import * as common from "onnxruntime-common";
import { show } from "../../bindings/errors.js";
import type { ElementType } from "../base/element.js";
import type { StoredTensor } from "../formats/safetensors.js";
import type { Model } from "../graphs/model.js";
import { fromOnnx } from "../graphs/onnx.js";

type Handler = common.InferenceSessionHandler;
type SessionOptions = common.InferenceSession.SessionOptions;
type Metadata = common.InferenceSession.TensorValueMetadata;

const { env, registerBackend, Tensor } = common;

/** ONNX Runtime's names of number types. Its JavaScript tensors do not have bf16. */
const TYPES: Readonly<Partial<Record<ElementType, common.Tensor.Type>>> = {
  f64: "float64",
  f32: "float32",
  f16: "float16",
  i64: "int64",
  u64: "uint64",
  i32: "int32",
  u32: "uint32",
  i16: "int16",
  u16: "uint16",
  i8: "int8",
  u8: "uint8",
  bool: "bool",
};

/** Execution providers that apps ask onnxruntime-web for, beside wasm and cpu. */
const OTHER_PROVIDERS = ["webgpu", "webnn", "webgl"];

const warned = new Set<string>();

/** Warns of something once, if the log level lets warnings through. */
function warnOnce(text: string): void {
  if (warned.has(text) || env.logLevel === "error" || env.logLevel === "fatal") return;
  warned.add(text);
  console.warn(`wasm-rnn/ort: ${text}`);
}

/** Refuses or warns of settings that change what an app sees. All others are accepted: they make no difference here. */
function checkSettings(options: SessionOptions): void {
  const { executionProviders = [], preferredOutputLocation = "cpu" } = options;
  if (options.externalData?.length) throw new Error("externalData: this package reads models of one file only");
  for (const provider of executionProviders) {
    const name = typeof provider === "string" ? provider : provider.name;
    if (OTHER_PROVIDERS.includes(name)) warnOnce(`execution provider "${name}": models run on the CPU`);
  }
  const locations = Object.values(
    typeof preferredOutputLocation === "string" ? [preferredOutputLocation] : preferredOutputLocation,
  );
  if (locations.some((location) => !location.startsWith("cpu"))) {
    warnOnce("preferredOutputLocation: outputs are on the CPU");
  }
  if (options.optimizedModelFilePath !== undefined) warnOnce("optimizedModelFilePath: no file is written");
  if (env.wasm.numThreads! > 1) warnOnce("env.wasm.numThreads: models run on one thread");
  if (env.wasm.proxy) warnOnce("env.wasm.proxy: models run on the thread that calls them");
}

/** What this file uses of Node. */
interface NodeProcess {
  readonly versions?: { readonly node?: string };
  getBuiltinModule?(name: "node:fs/promises"): { readFile(path: string | URL): Promise<Uint8Array> };
}

/** The bytes at a URL or, in Node, of a file. */
async function readModel(path: string): Promise<Uint8Array> {
  const { process } = globalThis as { process?: NodeProcess };
  if (process?.versions?.node !== undefined && !/^(?!file:)[a-z][a-z\d+.-]+:/i.test(path)) {
    const files = process.getBuiltinModule?.("node:fs/promises");
    if (files === undefined) throw new Error(`${show(path)}: files are read in Node 20.16 or later: pass the bytes`);
    return files.readFile(/^file:/i.test(path) ? new URL(path) : path);
  }
  const response = await globalThis.fetch(path);
  if (!response.ok) throw new Error(`failed to load model: ${show(path)}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @throws Error if ONNX Runtime's tensors do not have the type */
function metadataOf({ name, dtype, shape }: Model["inputs"][number]): Metadata {
  const type = TYPES[dtype];
  if (type === undefined) throw new Error(`${show(name)}: ONNX Runtime's tensors cannot hold ${dtype}`);
  return { name, isTensor: true, type, shape: shape ?? [] };
}

/** @throws Error if the tensor's type is another */
function read({ name, dtype, shape: declared }: Model["inputs"][number], tensor: common.OnnxValue): StoredTensor {
  const type = TYPES[dtype];
  if (tensor.type !== type) throw new Error(`${show(name)}: got a tensor of ${tensor.type}, expected ${type}`);
  const { data, dims } = tensor as common.TypedTensor<Exclude<common.Tensor.Type, "string">>;
  // float16 may be a Float16Array, where there is one
  const half = type === "float16" && !(data instanceof Uint16Array);
  return {
    data: half ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data,
    shape: declared?.length === 0 && data.length === 1 ? [] : dims, // ONNX Runtime lets [1] pass for []
  };
}

class GraphSession implements Handler {
  readonly inputMetadata: readonly Metadata[];
  readonly outputMetadata: readonly Metadata[];
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  #model: Model | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.inputMetadata = model.inputs.map(metadataOf);
    this.outputMetadata = model.outputs.map(metadataOf);
    this.inputNames = model.inputs.map(({ name }) => name);
    this.outputNames = model.outputs.map(({ name }) => name);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- errors reject
  async run(...[feeds, fetches]: Parameters<Handler["run"]>): ReturnType<Handler["run"]> {
    if (this.#model === undefined) throw new Error("the session has been released");
    const results = this.#model.run(
      Object.fromEntries(this.#model.inputs.map((input) => [input.name, read(input, feeds[input.name]!)])),
    );
    const wanted = this.outputMetadata.filter(({ name }) => Object.hasOwn(fetches, name));
    return Object.fromEntries(
      wanted.map(({ name, type }) => {
        const { data, shape } = results[name]!;
        const result = new Tensor(type as "float32", data as Float32Array, shape);
        return [name, fetches[name] ? fill(name, fetches[name], result) : result];
      }),
    );
  }

  // eslint-disable-next-line @typescript-eslint/require-await
  async dispose(): Promise<void> {
    this.#model?.dispose();
    this.#model = undefined;
  }

  startProfiling(): void {}
  endProfiling(): void {}
}

/** Copies a result into a tensor that the caller has for it. */
function fill(name: string, target: common.OnnxValue, result: common.Tensor): common.OnnxValue {
  if (target.type !== result.type || target.dims.join() !== result.dims.join()) {
    const [got, expected] = [target, result].map(({ type, dims }) => `${type} [${dims.join(", ")}]`);
    throw new Error(`fetches: the tensor for ${show(name)} is ${got}, the output is ${expected}`);
  }
  (target.data as Float32Array).set(result.data as Float32Array);
  return target;
}

const backend: common.Backend = {
  init: () => Promise.resolve(),
  async createInferenceSessionHandler(given, options = {}) {
    checkSettings(options);
    const bytes = typeof given === "string" ? await readModel(given) : given;
    if (String.fromCharCode(...bytes.subarray(4, 8)) === "ORTM") {
      throw new Error("the model has ONNX Runtime's own format (.ort): pass the .onnx file that it was made from");
    }
    return new GraphSession(fromOnnx(bytes));
  },
};

// as onnxruntime-web does; where an app names no provider, the first with the highest priority is taken
for (const name of OTHER_PROVIDERS) registerBackend(name, backend, -1);
for (const name of ["cpu", "wasm"]) registerBackend(name, backend, 10);
Object.defineProperty(env.versions, "web", { value: env.versions.common, enumerable: true });

export * from "onnxruntime-common";
export default common;
