// wasm-rnn/ort, beside onnxruntime-common, whose exports it has, and onnxruntime-node, whose sessions it takes the place of.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as common from "onnxruntime-common";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { segmentsOf } from "../../examples/speech/segments.js";
import type { ElementType } from "../../src/base/element.js";
import ortDefault, * as ort from "../../src/ort.js";
import { graph, node, onnxFile } from "../helpers/make-onnx.js";
import { installedFile, installOnnxRuntime, ONE_THREAD, onnxRuntimeNode } from "../helpers/onnxruntime.js";
import { speeches } from "../helpers/speech.js";

/** sum = a + b, twice = sum + sum; a and b [N,2]. */
const SUMS = new Uint8Array(
  onnxFile(
    graph({ a: ["f32", ["N", 2]], b: ["f32", ["", 2]] }, { sum: ["f32", ["N", 2]], twice: ["f32", ["N", 2]] }, [
      node("Add", ["a", "b"], ["sum"]),
      node("Add", ["sum", "sum"], ["twice"]),
    ]),
  ),
);
const A = new ort.Tensor("float32", [1, 2, 3, 4], [2, 2]);
const B = new ort.Tensor("float32", [10, 20, 30, 40], [2, 2]);

const same = (dtype: ElementType, shape: string[] = ["N"]) =>
  onnxFile(graph({ x: [dtype, shape] }, { y: [dtype, shape] }, [node("Identity", ["x"], ["y"])]));

const create = ort.InferenceSession.create.bind(ort.InferenceSession);
const ready = installOnnxRuntime();

let warnings: string[];

beforeEach(() => {
  warnings = [];
  vi.spyOn(console, "warn").mockImplementation((text: string) => void warnings.push(text));
});

afterEach(() => {
  vi.restoreAllMocks();
  ort.env.logLevel = "warning";
  delete ort.env.wasm.numThreads;
  delete ort.env.wasm.proxy;
});

describe("exports", () => {
  test("are onnxruntime-common's, also by default", () => {
    for (const [name, exported] of Object.entries(common)) {
      expect(ort).toHaveProperty(name, exported);
      expect(ortDefault).toHaveProperty(name, exported);
    }
    expect(Object.keys(common)).toEqual(
      expect.arrayContaining(["env", "InferenceSession", "registerBackend", "Tensor"]),
    );
  });

  test("env has the versions that apps look for", () => {
    expect(ort.env.versions.web).toBe(ort.env.versions.common);
  });
});

describe("InferenceSession.create", () => {
  let folder: string;
  let server: Server;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-ort-"));
    writeFileSync(join(folder, "sums.onnx"), SUMS);
    server = createServer(({ url }, response) => {
      if (url === "/sums.onnx") response.end(SUMS);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  const expectSums = async (session: Promise<ort.InferenceSession>) => {
    const { sum } = await (await session).run({ a: A, b: B });
    expect(sum).toBeInstanceOf(ort.Tensor);
    expect([sum!.type, [...sum!.dims], [...(sum!.data as Float32Array)]]).toEqual([
      "float32",
      [2, 2],
      [11, 22, 33, 44],
    ]);
  };

  test("takes bytes, buffers and parts of buffers", async () => {
    const padded = new Uint8Array(SUMS.length + 7);
    padded.set(SUMS, 3);
    const shared = new SharedArrayBuffer(SUMS.length);
    new Uint8Array(shared).set(SUMS);
    await expectSums(create(SUMS));
    await expectSums(create(padded.subarray(3, 3 + SUMS.length)));
    await expectSums(create(SUMS.buffer));
    await expectSums(create(padded.buffer, 3, SUMS.length));
    await expectSums(create(shared));
    await expectSums(create(Buffer.from(SUMS), {}));
  });

  test.runIf("getBuiltinModule" in process)("takes paths and URLs", async () => {
    const path = join(folder, "sums.onnx");
    await expectSums(create(path));
    await expectSums(create(pathToFileURL(path).href));
    await expectSums(create(`data:application/octet-stream;base64,${Buffer.from(SUMS).toString("base64")}`));
    await expectSums(create(URL.createObjectURL(new Blob([SUMS]))));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await expectSums(create(`${url}sums.onnx`));
    await expect(create(`${url}none.onnx`)).rejects.toThrow(`failed to load model: ${url}none.onnx: status 404`);
    await expect(create(join(folder, "none.onnx"))).rejects.toThrow("ENOENT");
  });

  test("refuses what is no model, and says why", async () => {
    const bytes = (text: string) => new Uint8Array(Buffer.from(text));
    await expect(create(bytes("no model"))).rejects.toThrow(Error);
    await expect(create(bytes("\x18\0\0\0ORTM\0\0\0\0"))).rejects.toThrow(".ort");
    const unknown = onnxFile(graph({ x: ["f32", [1]] }, { y: ["f32", [1]] }, [node("Unheard", ["x"], ["y"])]));
    await expect(create(unknown)).rejects.toThrow("Unheard");
    await expect(create(same("bf16"))).rejects.toThrow("x: ONNX Runtime's tensors cannot hold bf16");
    await expect(create(SUMS, { externalData: ["weights.bin"] })).rejects.toThrow("externalData");
  });

  test("runs on the CPU whichever providers an app asks for, and says so once", async () => {
    await expectSums(create(SUMS, { executionProviders: ["webgpu", "wasm"] }));
    await expectSums(create(SUMS, { executionProviders: [{ name: "webgpu" }] }));
    await expectSums(create(SUMS, { executionProviders: ["webnn"] }));
    expect(warnings).toEqual(
      ["webgpu", "webnn"].map((name) => `wasm-rnn/ort: execution provider "${name}": models run on the CPU`),
    );
    await expectSums(create(SUMS, { executionProviders: ["cpu"] }));
    expect(warnings).toHaveLength(2);
    await expect(create(SUMS, { executionProviders: ["cuda"] })).rejects.toThrow("[cuda] backend not found");
  });

  test("accepts settings; warns once of those without the effect that an app expects", async () => {
    ort.env.wasm.numThreads = 4;
    ort.env.wasm.proxy = true;
    ort.env.wasm.simd = true;
    ort.env.wasm.wasmPaths = "/somewhere/";
    ort.env.logLevel = "error";
    const options: ort.InferenceSession.SessionOptions = {
      ...{ graphOptimizationLevel: "all", executionMode: "parallel", enableCpuMemArena: true, intraOpNumThreads: 4 },
      ...{ preferredOutputLocation: { sum: "gpu-buffer" }, optimizedModelFilePath: "out.onnx", enableProfiling: true },
    };
    await expectSums(create(SUMS, options));
    expect(warnings).toEqual([]);
    ort.env.logLevel = "warning";
    for (let i = 0; i < 2; i++) await expectSums(create(SUMS, options));
    expect(warnings.map((text) => text.split(":")[1]!.trim())).toEqual([
      ...["preferredOutputLocation", "optimizedModelFilePath", "env.wasm.numThreads", "env.wasm.proxy"],
    ]);
  });
});

describe("a session", () => {
  test("names its inputs and outputs", async () => {
    const session = await create(SUMS);
    expect(session.inputNames).toEqual(["a", "b"]);
    expect(session.outputNames).toEqual(["sum", "twice"]);
    expect(session.inputMetadata).toEqual([
      { name: "a", isTensor: true, type: "float32", shape: ["N", 2] },
      { name: "b", isTensor: true, type: "float32", shape: ["", 2] },
    ]);
    if (!ready) return;
    const reference = await onnxRuntimeNode().InferenceSession.create(SUMS);
    for (const key of ["inputNames", "outputNames", "inputMetadata", "outputMetadata"] as const) {
      expect(session[key]).toEqual(reference[key]);
    }
  });

  test("gives the outputs that are asked for", async () => {
    const session = await create(SUMS);
    const feeds = { a: A, b: B, other: A };
    expect(Object.keys(await session.run(feeds))).toEqual(["sum", "twice"]);
    expect(Object.keys(await session.run(feeds, { tag: "options" }))).toEqual(["sum", "twice"]);
    expect(Object.keys(await session.run(feeds, ["twice"], {}))).toEqual(["twice"]);
    expect(Object.keys(await session.run(feeds, { twice: null }))).toEqual(["twice"]);
    const own = new ort.Tensor("float32", new Float32Array(4), [2, 2]);
    const { twice } = await session.run(feeds, { twice: own });
    expect(twice).toBe(own);
    expect([...own.data]).toEqual([22, 44, 66, 88]);
    const wrong = new ort.Tensor("float32", new Float32Array(4), [4]);
    await expect(session.run(feeds, { sum: wrong })).rejects.toThrow(
      "fetches: the tensor for sum is float32 [4], the output is float32 [2, 2]",
    );
    await expect(session.run(feeds, ["product"])).rejects.toThrow("invalid output name: product");
  });

  test("refuses wrong feeds, and goes on", async () => {
    const session = await create(SUMS);
    const run = (a: ort.Tensor) => session.run({ a, b: B });
    await expect(session.run({ a: A })).rejects.toThrow("input 'b' is missing in 'feeds'");
    await expect(run(new ort.Tensor("float64", [1, 2], [1, 2]))).rejects.toThrow(
      "a: got a tensor of float64, expected float32",
    );
    await expect(run(new ort.Tensor("string", ["x"], [1]))).rejects.toThrow("a: got a tensor of string");
    await expect(run(new ort.Tensor("float32", [1, 2, 3], [1, 3]))).rejects.toThrow("a");
    const disposed = new ort.Tensor("float32", [1, 2, 3, 4], [2, 2]);
    disposed.dispose();
    await expect(run(disposed)).rejects.toThrow("disposed");
    expect([...((await run(A)).sum!.data as Float32Array)]).toEqual([11, 22, 33, 44]);
  });

  test("takes tensors of another copy of onnxruntime-common", async () => {
    const foreign = { type: "float32", data: A.data, dims: A.dims } as ort.Tensor;
    const { sum } = await (await create(SUMS)).run({ a: foreign, b: B });
    expect([...(sum!.data as Float32Array)]).toEqual([11, 22, 33, 44]);
  });

  test("results are the caller's; a released session refuses to run", async () => {
    const session = await create(SUMS);
    const first = await session.run({ a: A, b: B });
    await session.run({ a: B, b: B });
    expect([...(first.sum!.data as Float32Array)]).toEqual([11, 22, 33, 44]);
    session.startProfiling();
    session.endProfiling();
    await session.release();
    await session.release();
    expect(session.inputNames).toEqual(["a", "b"]);
    await expect(session.run({ a: A, b: B })).rejects.toThrow("released");
  });

  test("lets one number stand for a scalar", async () => {
    const { y } = await (await create(same("i64", []))).run({ x: new ort.Tensor("int64", [7n], [1]) });
    expect([y!.dims, y!.data]).toEqual([[], BigInt64Array.of(7n)]);
  });
});

/** Numbers at the ends of each type, and within. */
const TYPES = [
  ["f32", "float32", [0, -0, 1.5, 3.4e38, Infinity, NaN]],
  ["f64", "float64", [0, -0, 1.1, 1.7e308, -Infinity, NaN]],
  ["i64", "int64", [0n, -(2n ** 53n) + 1n, 2n ** 53n - 1n]],
  ["u64", "uint64", [0n, 2n ** 53n - 1n]],
  ["i32", "int32", [0, -(2 ** 31), 2 ** 31 - 1]],
  ["u32", "uint32", [0, 2 ** 32 - 1]],
  ["i16", "int16", [0, -(2 ** 15), 2 ** 15 - 1]],
  ["u16", "uint16", [0, 2 ** 16 - 1]],
  ["i8", "int8", [0, -128, 127]],
  ["u8", "uint8", [0, 255]],
  ["bool", "bool", [true, false]],
] as const;

describe("tensors", () => {
  test.each(TYPES)("of %s pass", async (dtype, type, numbers) => {
    const x = new ort.Tensor(type as "float32", numbers as unknown as number[], [numbers.length]);
    const { y } = await (await create(same(dtype))).run({ x });
    expect(y!.type).toBe(type);
    expect(y!.data).toEqual(x.data);
    expect(y!.data).not.toBe(x.data);
    if (!ready) return;
    const reference = onnxRuntimeNode();
    const session = await reference.InferenceSession.create(same(dtype), ONE_THREAD);
    const { y: theirs } = await session.run({
      x: new reference.Tensor(type as "float32", x.data, x.dims),
    });
    expect([y!.type, y!.dims, y!.data]).toEqual([theirs!.type, theirs!.dims, theirs!.data]);
  });

  test("of float16 pass, as bits or where the engine has them as numbers", async () => {
    const bits = Uint16Array.of(0x0000, 0x3c00, 0xc000, 0x7bff); // 0, 1, -2, 65504
    const session = await create(same("f16"));
    const { y } = await session.run({ x: new ort.Tensor("float16", bits, [4]) });
    const { buffer, byteOffset, length, constructor } = y!.data as Uint16Array;
    expect(y!.type).toBe("float16");
    expect(new Uint16Array(buffer, byteOffset, length)).toEqual(bits);
    expect(constructor).toBe((globalThis as { Float16Array?: unknown }).Float16Array ?? Uint16Array);
    const foreign = { type: "float16", data: new Uint16Array(bits), dims: [4] } as unknown as ort.Tensor;
    expect((await session.run({ x: foreign })).y!.data).toEqual(y!.data);
  });

  test("without elements pass", async () => {
    const { y } = await (await create(same("f32"))).run({ x: new ort.Tensor("float32", [], [0]) });
    expect([y!.dims, y!.data.length]).toEqual([[0], 0]);
  });
});

describe.runIf(ready)("Silero VAD, by ONNX Runtime's interface", () => {
  /** The probabilities of speech in frames of a recording. */
  async function detect(
    { InferenceSession, Tensor }: typeof common,
    model: string,
    audio: Float32Array,
  ): Promise<number[]> {
    const session = await InferenceSession.create(readFileSync(model), ONE_THREAD);
    const legacy = session.inputNames.includes("h");
    const [frame, context] = legacy ? [1536, 0] : [512, 64];
    const zeros = (...dims: number[]) => new Tensor("float32", new Float32Array(dims.reduce((a, b) => a * b)), dims);
    let states: Record<string, common.OnnxValue> = legacy
      ? { h: zeros(2, 1, 64), c: zeros(2, 1, 64) }
      : { state: zeros(2, 1, 128) };
    const padded = new Float32Array(context + audio.length);
    padded.set(audio, context);
    const sr = new Tensor("int64", [16000n]);
    const probabilities: number[] = [];
    for (let at = 0; at + frame <= audio.length; at += frame) {
      const input = new Tensor("float32", padded.slice(at, at + context + frame), [1, context + frame]);
      const { output, ...rest } = await session.run({ input, sr, ...states });
      states = legacy ? { h: rest.hn!, c: rest.cn! } : { state: rest.stateN! };
      probabilities.push((output!.data as Float32Array)[0]!);
    }
    await session.release();
    return probabilities;
  }

  // the file of @livekit/agents-plugin-silero 1.9.0, which feeds it as here, is the same
  test("version 6 is the model of @livekit/agents-plugin-silero", () => {
    const model = readFileSync(installedFile("@ricky0123/vad-web/dist/silero_vad_v6.onnx"));
    const digest = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3";
    expect(createHash("sha256").update(model).digest("hex")).toBe(digest);
  });

  describe.each([...speeches()])("%s", (_, audio) => {
    test.each(["v5", "v6", "legacy"])("%s finds what onnxruntime-node does", async (version) => {
      const model = installedFile(`@ricky0123/vad-web/dist/silero_vad_${version}.onnx`);
      const [got, want] = [await detect(ort, model, audio), await detect(onnxRuntimeNode(), model, audio)];
      expect(got).toHaveLength(want.length);
      expect(Math.max(...got.map((each, i) => Math.abs(each - want[i]!)))).toBeLessThan(1e-4);
      expect(segmentsOf(got)).toEqual(segmentsOf(want));
      expect(segmentsOf(want).length).toBeGreaterThan(0);
    });
  });
});
