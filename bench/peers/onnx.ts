// ONNX Runtime as a contestant; the argument names its package: onnxruntime-web (wasm) or onnxruntime-node.

import { reader, serve, type Numbers } from "../worker.js";
import { lstmModel } from "./onnx-model.js";

/** The part of its interface that is used; the package is not installed when types are checked. */
interface OnnxRuntime {
  env: { logLevel: string; wasm: { numThreads: number } };
  Tensor: new (type: "float32", data: Numbers, dims: number[]) => OnnxTensor;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<{ run(feeds: Values): Promise<Values> }> };
}
interface OnnxTensor {
  data: Float32Array<ArrayBuffer>;
}
type Values = Record<string, OnnxTensor>;

const name = process.argv[2]!;

await serve<Values>(async (task) => {
  const { op, sizes, threads } = task;
  const { N, T, D, H } = sizes;
  const read = reader(task);
  const ort = (await import(name)) as OnnxRuntime;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  const weights = Object.fromEntries(["weightIh", "weightHh", "biasIh", "biasHh"].map((key) => [key, read(key)]));
  const session = await ort.InferenceSession.create(await lstmModel(D, H, weights), {
    executionProviders: [name === "onnxruntime-web" ? "wasm" : "cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const zeros = () => new ort.Tensor("float32", new Float32Array(N * H), [1, N, H]);
  const feeds = { X: new ort.Tensor("float32", read("x"), [T, N, D]), initial_h: zeros(), initial_c: zeros() };
  const call =
    op === "forward"
      ? () => session.run(feeds)
      : async () => {
          const values = await session.run(feeds);
          feeds.initial_h = values.Y_h!;
          feeds.initial_c = values.Y_c!;
          return values;
        };
  return { call, results: ({ Y }) => ({ output: Y!.data }) }; // [T,1,N,H]
});
