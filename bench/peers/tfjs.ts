// TensorFlow.js as a contestant; the argument names its backend: cpu or wasm.

import { fileURLToPath } from "node:url";
import { reader, serve, transpose, type Numbers } from "../worker.js";

/** The part of its interface that is used; the package is not installed when types are checked. */
interface Tfjs {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(values: Numbers, shape: number[]): TfTensor;
  variable(tensor: TfTensor): TfTensor;
  zeros(shape: number[]): TfTensor;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  sum(a: TfTensor): TfTensor;
  tidy<R>(body: () => R): R;
  dispose(tensors: TfTensor[]): void;
  variableGrads(f: () => TfTensor, variables: TfTensor[]): { value: TfTensor; grads: Record<string, TfTensor> };
  layers: { lstm(options: object): TfLayer };
}
interface TfTensor {
  name: string;
  dataSync(): Float32Array<ArrayBuffer>;
  dispose(): void;
}
interface TfLayer {
  apply(x: TfTensor): TfTensor;
  setWeights(weights: TfTensor[]): void;
  trainableWeights: { read(): TfTensor }[];
  cell: { call(inputs: TfTensor[], options: object): TfTensor[] };
}
interface TfjsWasm {
  setWasmPaths(folder: string): void;
  setThreadsCount(threads: number): void;
}

const backend = process.argv[2]!;
const names = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"];

await serve<Record<string, Float32Array<ArrayBuffer>>>(async (task) => {
  const { op, sizes } = task;
  const { N, T, D, H } = sizes;
  const read = reader(task);
  const tf = (await import(names[0]!)) as Tfjs;
  if (backend === "wasm") {
    const wasm = (await import(names[1]!)) as TfjsWasm;
    wasm.setWasmPaths(fileURLToPath(new URL("../node_modules/@tensorflow/tfjs-backend-wasm/dist/", import.meta.url)));
    wasm.setThreadsCount(1);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`no backend ${backend}`);
  await tf.ready();

  // Keras' gate order i f c o is i f g o; its weights are transposed, and there is one bias.
  const layer = tf.layers.lstm({
    units: H,
    returnSequences: true,
    recurrentActivation: "sigmoid",
    recurrentInitializer: "glorotUniform", // the default takes seconds
  });
  const batchFirst = (sequence: Numbers, features: number): TfTensor => {
    const row = (n: number, t: number) => sequence.subarray((t * N + n) * features, (t * N + n + 1) * features);
    const rows = Array.from({ length: N * T }, (_, i) => [...row(Math.floor(i / T), i % T)]);
    return tf.tensor(Float32Array.from(rows.flat()), [N, T, features]);
  };
  const timeFirst = (sequence: Numbers, features: number): Numbers =>
    sequence.map((_, i) => {
      const [t, n] = [Math.floor(i / (N * features)), Math.floor(i / features) % N];
      return sequence[(n * T + t) * features + (i % features)]!;
    });
  const x = tf.variable(batchFirst(read("x"), D));
  layer.apply(x).dispose();
  const [biasIh, biasHh] = [read("biasIh"), read("biasHh")];
  layer.setWeights([
    tf.tensor(transpose(read("weightIh"), 4 * H, D), [D, 4 * H]),
    tf.tensor(transpose(read("weightHh"), 4 * H, H), [H, 4 * H]),
    tf.tensor(
      biasIh.map((b, i) => b + biasHh[i]!),
      [4 * H],
    ),
  ]);

  if (op === "step") {
    const input = tf.tensor(read("x"), [N, D]);
    let state = [tf.zeros([N, H]), tf.zeros([N, H])];
    const call = () => {
      const [output, h, c] = tf.tidy(() => layer.cell.call([input, ...state], {}));
      tf.dispose(state);
      state = [h!, c!];
      return { output: output!.dataSync() }; // output and h are one tensor
    };
    return { call, results: (result) => result };
  }
  if (op === "forward") {
    const call = () => {
      const y = layer.apply(x);
      const output = y.dataSync();
      y.dispose();
      return { output };
    };
    return { call, results: ({ output }) => ({ output: timeFirst(output!, H) }) };
  }
  const dOutput = batchFirst(read("dOutput"), H);
  const variables = [x, ...layer.trainableWeights.map((weight) => weight.read())];
  const call = () => {
    const { value, grads } = tf.variableGrads(() => tf.sum(tf.mul(layer.apply(x), dOutput)), variables);
    const [dX, dKernel, dRecurrent, dBias] = variables.map(({ name }) => grads[name]!.dataSync());
    tf.dispose([value, ...Object.values(grads)]);
    return { dX: dX!, dKernel: dKernel!, dRecurrent: dRecurrent!, dBias: dBias! };
  };
  return {
    call,
    results: ({ dX, dKernel, dRecurrent, dBias }) => ({
      dX: timeFirst(dX!, D),
      dWeightIh: transpose(dKernel!, D, 4 * H),
      dWeightHh: transpose(dRecurrent!, H, 4 * H),
      dBias: dBias!,
    }),
  };
});
