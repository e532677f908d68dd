// The bits of one thread, whatever the number of threads: layers, losses, optimizers and graphs' products over odd sizes; and which kernels
// are divided at all.
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { least, observed, rules, type Counts } from "../../bindings/splits.js";
import { Team } from "../../bindings/team.js";
import { sharedCores } from "../../bindings/threads.js";
import {
  Activation,
  Adagrad,
  Adam,
  Conv1d,
  Embedding,
  GRU,
  LayerNorm,
  Linear,
  LSTM,
  OutOfMemoryError,
  PReLU,
  RMSprop,
  RNN,
  SGD,
  buildInfo,
  clipGradNorm,
  clipGradValue,
  bceWithLogits,
  crossEntropy,
  mse,
  softmax,
  startThreads,
  stopThreads,
  type FloatDtype,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Trainable {
  train(): unknown;
  eval(): unknown;
  forward(x: Tensor, options?: object): object;
  backward(gradients: object): object;
  parameters(): Parameter[];
  dispose(): void;
}

const copy = ({ data, shape }: Tensor): Tensor => ({ data: data.slice(), shape: [...shape] });
const tensorsOf = (results: object): Tensor[] =>
  (Object.values(results) as (Tensor | undefined)[]).flatMap((x) => x ?? []);

/** All that a layer computes: in training, its gradients, and in inference. */
function passes(layer: Trainable, dtype: FloatDtype, shape: readonly number[], options?: object, x?: Tensor): Tensor[] {
  const input = x ?? wave(shape, dtype);
  layer.train();
  const results = layer.forward(input, options);
  const named = Object.entries(results) as [string, Tensor][];
  const gradients = Object.fromEntries(named.map(([name, { shape: own }], i) => [name, wave(own, dtype, i + 1)]));
  const found = [...tensorsOf(results), ...tensorsOf(layer.backward(gradients))];
  found.push(...layer.parameters().map(({ grad }) => copy(grad)));
  layer.eval();
  found.push(...tensorsOf(layer.forward(input, options)));
  layer.dispose();
  return found;
}

const lengths = [20, 1, 3, 0, 7, 20, 11, 5, 2, 19, 8];
const long = lengths.map((length) => Math.ceil(length * 7.5));
type Case = (dtype: FloatDtype) => Tensor[];

const recurrent = (
  make: (o: object) => unknown,
  t: number,
  n: number,
  d: number,
  options: object,
  more?: object,
): Case => {
  return (dtype) => passes(make({ ...options, dtype, seed: 1 }) as Trainable, dtype, [t, n, d], more);
};
const lstm = (o: object) => new LSTM(33, 65, o);
const wide = (o: object) => new LSTM(33, 129, o);
const gru = (o: object) => new GRU(33, 65, o);
const rnn = (o: object) => new RNN(65, 129, o);

/** Parameters after two steps of an optimizer. */
const optimized =
  (make: (parameters: Parameter[]) => { step(): void }): Case =>
  (dtype) => {
    const layer = new Linear(433, 501, { dtype, seed: 1 });
    for (const { grad } of layer.parameters()) (grad.data as Float64Array).set(wave(grad.shape, dtype).data);
    const optimizer = make(layer.parameters());
    for (let i = 0; i < 2; i++) {
      clipGradNorm(layer.parameters(), 1);
      clipGradValue(layer.parameters(), 0.01);
      optimizer.step();
    }
    return layer.parameters().map(({ value }) => copy(value));
  };

const cases: Record<string, Case> = {
  LSTM: recurrent(lstm, 20, 11, 33, {}),
  "LSTM, one row": recurrent(lstm, 300, 1, 33, {}),
  "LSTM, one row, both directions": recurrent(lstm, 150, 1, 33, { bidirectional: true, numLayers: 2 }),
  "LSTM, two rows, both directions, checkpoints": recurrent(lstm, 90, 2, 33, { bidirectional: true, checkpoint: 40 }),
  "GRU, one row, both directions, ragged": recurrent(gru, 150, 1, 33, { bidirectional: true }, { lengths: [131] }),
  "RNN, one row, both directions": recurrent(rnn, 150, 1, 65, { bidirectional: true }),
  "LSTM, unlike activations": recurrent(lstm, 20, 11, 33, { bias: false }),
  "LSTM, projected, two layers": recurrent(lstm, 20, 11, 33, { projSize: 31, numLayers: 2 }),
  "LSTM, layer-normalised": recurrent(lstm, 20, 11, 33, { layerNorm: true }),
  "LSTM, recurrent dropout": recurrent(lstm, 20, 11, 33, { recurrentDropout: 0.3 }),
  "LSTM, ragged, both directions": recurrent(lstm, 20, 11, 33, { bidirectional: true }, { lengths }),
  "LSTM, in chunks": recurrent(wide, 150, 11, 33, {}),
  "LSTM, ragged, in chunks": recurrent(wide, 150, 11, 33, { bidirectional: true, projSize: 20 }, { lengths: long }),
  "LSTM, checkpoints": recurrent(wide, 150, 11, 33, { checkpoint: 30 }),
  GRU: recurrent(gru, 20, 11, 33, {}),
  "GRU, reset before": recurrent(gru, 20, 11, 33, { resetAfter: false }),
  "GRU, reset before, ragged, dropout": recurrent(
    gru,
    20,
    11,
    33,
    { resetAfter: false, recurrentDropout: 0.3 },
    { lengths },
  ),
  "GRU, layer-normalised": recurrent(gru, 20, 11, 33, { layerNorm: true, recurrentDropout: 0.3 }),
  "GRU, backwards, in chunks": recurrent((o) => new GRU(33, 129, o), 150, 11, 33, { goBackwards: true }),
  RNN: recurrent(rnn, 20, 11, 65, { nonlinearity: "relu" }),
  "RNN, ragged, dropout": recurrent(rnn, 20, 11, 65, { bidirectional: true, recurrentDropout: 0.2 }, { lengths }),
  "Linear, many rows": (dtype) => passes(new Linear(71, 93, { dtype, seed: 1 }), dtype, [301, 71]),
  "Linear, one row": (dtype) => passes(new Linear(1201, 1103, { dtype, seed: 1 }), dtype, [1201]),
  LayerNorm: (dtype) => passes(new LayerNorm(401, { dtype }), dtype, [501, 401]),
  PReLU: (dtype) => passes(new PReLU(303, { dtype }), dtype, [801, 303]),
  Activation: (dtype) => passes(new Activation("elu"), dtype, [501, 301]),
  Conv1d: (dtype) => passes(new Conv1d(33, 35, 3, { dtype, seed: 1 }), dtype, [41, 11, 33]),
  Embedding: (dtype) => {
    const indices = { data: Int32Array.from({ length: 1501 }, (_, i) => (i * i) % 97), shape: [1501] };
    const layer = new Embedding(97, 403, { dtype, seed: 1 });
    const { output } = layer.forward(indices);
    layer.backward({ output: wave([1501, 403], dtype) });
    return [output, ...layer.parameters().map(({ grad }) => copy(grad))];
  },
  softmax: (dtype) => [softmax(wave([501, 301], dtype))],
  crossEntropy: (dtype) => {
    const targets = { data: Int32Array.from({ length: 1001 }, (_, i) => i % 301), shape: [1001] };
    const { loss, dLogits } = crossEntropy(wave([1001, 301], dtype), targets);
    return [{ data: Float64Array.of(loss), shape: [] }, dLogits];
  },
  "crossEntropy of probabilities, padded": (dtype) => {
    const [logits, targets] = [wave([50, 21, 303], dtype), softmax(wave([50, 21, 303], dtype, 2))];
    const padded = { lengths: Array.from({ length: 21 }, (_, i) => (i * i) % 51), reduction: "sum" } as const;
    const { loss, dLogits } = crossEntropy(logits, targets, { ...padded, labelSmoothing: 0.1 });
    return [{ data: Float64Array.of(loss), shape: [] }, dLogits];
  },
  mse: (dtype) => {
    const { loss, dPrediction } = mse(wave([301, 303], dtype), wave([301, 303], dtype, 2));
    return [{ data: Float64Array.of(loss), shape: [] }, dPrediction];
  },
  "bceWithLogits, weighted steps": (dtype) => {
    const target = { data: wave([101, 7, 123], dtype).data.map((x) => Number(x > 0)), shape: [101, 7, 123] };
    const sampleWeight = wave([101, 7], dtype, 3);
    const { loss, dLogits } = bceWithLogits(wave([101, 7, 123], dtype, 2), target, { sampleWeight });
    return [{ data: Float64Array.of(loss), shape: [] }, dLogits];
  },
  SGD: optimized((parameters) => new SGD(parameters, { lr: 0.1, momentum: 0.9 })),
  Adam: optimized((parameters) => new Adam(parameters, { lr: 0.1, amsgrad: true })),
  RMSprop: optimized((parameters) => new RMSprop(parameters, { lr: 0.1, centered: true, momentum: 0.5 })),
  Adagrad: optimized((parameters) => new Adagrad(parameters, { lr: 0.1 })),
};

least.work /= 4; // smaller cases take less time
const counts = (observed.counts = new Map<string, Counts>());

const WHAT = ["parallel", "below", "alone"] as const;

/** What became of the kernels that each case called, in the latest run. */
const calls = new Map<string, string>();

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);
  afterAll(stopThreads);
  const alone = new Map<string, Tensor[]>();
  const totals = () => {
    const sum = { parallel: 0, below: 0, alone: 0 };
    for (const own of counts.values()) for (const what of WHAT) sum[what] += own[what];
    return sum;
  };

  test.each(variant === "simd" ? [1, 2, 3, 5, 8] : [1, 2, 5])("%i threads: the same bits", async (n) => {
    expect(await startThreads(n)).toBe(n);
    expect(buildInfo().threads).toBe(n);
    for (const [name, compute] of Object.entries(cases)) {
      for (const dtype of ["f64", "f32"] as const) {
        const key = `${name}, ${dtype}`;
        const start = totals();
        const found = compute(dtype);
        const end = totals();
        calls.set(name, WHAT.map((what) => end[what] - start[what]).join(" | "));
        if (n === 1) alone.set(key, found);
        const expected = alone.get(key)!;
        expect(found.length).toBe(expected.length);
        found.forEach((tensor, i) => expect(tensor, `${key}, result ${i}`).toHaveBits(expected[i]!));
      }
    }
  });
});

test.each([LSTM, GRU, RNN])("both directions of few rows run at the same time: %o", async (Layer) => {
  await startThreads(2);
  const layer = new Layer(65, 129, { bidirectional: true, seed: 1 });
  const { output } = layer.forward(wave([150, 1, 65], "f64")); // compiles what it needs
  layer.backward({ output });
  const team = vi.spyOn(Team.prototype, "run");
  onTestFinished(() => team.mockRestore());
  layer.forward(wave([150, 1, 65], "f64"));
  layer.backward({ output });
  expect(team.mock.calls.map(([calls]) => calls.length)).toEqual([2, 2]);
  await stopThreads();
});

test("a pass that fails leaves no memory behind, of either direction", async () => {
  await startThreads(2);
  const layer = new LSTM(33, 65, { bidirectional: true, seed: 1 }).eval();
  const x = wave([150, 1, 33], "f64");
  const expected = layer.forward(x).output;
  const { heap } = sharedCores[buildInfo().variant]!.core;
  const before = heap.bytesUsed;
  const allocate = heap.allocate.bind(heap);
  const sum = vi.spyOn(heap, "allocate");
  onTestFinished(() => sum.mockRestore());
  layer.forward(x);
  for (let last = sum.mock.calls.length - 1; last >= 0; last--) {
    let count = 0;
    sum.mockImplementation((bytes, purpose) => {
      if (count++ === last) throw new OutOfMemoryError(purpose, `${bytes} bytes`, "fewer");
      return allocate(bytes, purpose);
    });
    expect(() => layer.forward(x)).toThrow(OutOfMemoryError);
    expect(heap.bytesUsed).toBe(before);
  }
  sum.mockRestore();
  expect(layer.forward(x).output).toHaveBits(expected);
  await stopThreads();
});

test("results are plain arrays of the caller's own", async () => {
  await startThreads(2);
  const layer = new LSTM(33, 65);
  for (const { data } of tensorsOf(layer.forward(wave([20, 11, 33], "f64")))) {
    expect(data.buffer).toBeInstanceOf(ArrayBuffer);
  }
  await stopThreads();
});

test("kernels with a rule were divided; prints how often", () => {
  const none = { parallel: 0, below: 0, alone: 0 };
  const rows = Object.keys(rules()).map((name) => [name, counts.get(name) ?? none] as const);
  const others = [...counts].filter(([, { alone }]) => alone > 0).map(([name, { alone }]) => `${name} ${alone}`);
  console.log(
    [
      "layer, calls of kernels of one pass each way and in inference: in parallel | below the size | on one thread",
      ...[...calls].map(([name, own]) => `${name}: ${own}`),
      "",
      "kernel: in parallel | below the size",
      ...rows.map(([name, { parallel, below }]) => `${name}: ${parallel} | ${below}`),
      "",
      `kernels on one thread: ${others.join(", ")}`,
    ].join("\n"),
  );
  expect(calls.size).toBe(Object.keys(cases).length);
  // Those below are of graphs, of models and of calls that only the kernels' own tests make.
  const elsewhere = [
    "gemm",
    "exp",
    "sigmoid",
    "activation",
    "add",
    "mul",
    "logSoftmax",
    "unary",
    "matmul",
    "convForward",
  ];
  expect(
    rows
      .filter(([, { parallel }]) => parallel === 0)
      .map(([name]) => name)
      .filter((name) => !elsewhere.includes(name)),
  ).toEqual([]);
});
