// Running out of 4 GiB: an OutOfMemoryError before anything has changed. Memory that is only reserved costs nothing, so these
// tests fill a core's memory without filling the machine's.
import { describe, expect, test } from "vitest";
import type { Heap } from "../../bindings/heap.js";
import { currentCore } from "../../bindings/instantiate.js";
import {
  Activation,
  Adam,
  AdditiveAttention,
  AvgPool1d,
  BatchNorm1d,
  Conv1d,
  Embedding,
  GRU,
  LSTM,
  LSTMCell,
  LastStep,
  Linear,
  MaxOverTime,
  MaxPool1d,
  MultiheadAttention,
  OutOfMemoryError,
  PReLU,
  RNN,
  crossEntropy,
  ctcLoss,
  mse,
  tensor,
  valueAndGrad,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import * as ops from "../../src/ops.js";
import { both } from "../helpers/both.js";
import { bothPasses, makeRecurrent, makeInputs, type Kind, type Options, type Steps } from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { bytes, range, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const heap = (): Heap => currentCore().heap;

/** Runs `body` while `free` bytes, in so many blocks apart from each other, are all that is left. */
function withLittleLeft<R>(free: number, body: () => R, blocks = 1): R {
  const room: number[] = [];
  const ballast: number[] = [];
  for (let i = 0; i < blocks; i++) {
    room.push(heap().allocate(free / blocks, "room"));
    ballast.push(heap().allocate(64, "between"));
  }
  for (let size = 2 ** 32; size >= 64; size /= 2) {
    for (;;) {
      try {
        ballast.push(heap().allocate(size, "ballast"));
      } catch (error) {
        if (error instanceof OutOfMemoryError) break;
        throw error;
      }
    }
  }
  for (const address of room) heap().free(address);
  try {
    return body();
  } finally {
    for (const address of ballast) heap().free(address);
  }
}

/**
 * Tries a call with more and more memory until it succeeds; before that, it must fail every time, at every place where it
 * can, and leave what `unchanged` gives as it was.
 */
function outgrow<R>(call: () => R, unchanged: () => unknown, step: number): R {
  const before = unchanged();
  let failures = 0;
  for (let free = 64; ; free += step) {
    const { bytesUsed } = heap();
    let result: R | undefined;
    const done = withLittleLeft(free, () => {
      const used = heap().bytesUsed;
      try {
        result = call();
        return true;
      } catch (error) {
        if (!(error instanceof OutOfMemoryError)) throw error;
        expect(error.message).toContain("expected at most 4096 MiB in all");
        failures++;
        expect(heap().bytesUsed).toBe(used);
        return false;
      }
    });
    if (done) {
      expect(failures).toBeGreaterThan(2);
      return result!;
    }
    expect(heap().bytesUsed).toBe(bytesUsed);
    expect(unchanged()).toEqual(before);
  }
}

/** The bits of all gradients, as a text: quick to compare. */
const gradients = (layer: { parameters(): Parameter[] }): string =>
  layer
    .parameters()
    .map(({ grad }) => bytes(grad).toString("latin1"))
    .join("");

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe("sizes that can never fit are refused at once, without growing the memory", () => {
    test.each([
      ["RNN", () => new RNN(1, 2 ** 20)],
      ["RNN, whose first matrix alone would fit", () => new RNN(1, 2 ** 28, { dtype: "f32" })],
      ["LSTM", () => new LSTM(2 ** 26, 1)],
      ["LSTM, whose layers alone would fit", () => new LSTM(1, 1000, { numLayers: 65536 })],
      ["LSTM of many small layers", () => new LSTM(1, 64, { numLayers: 65536, dtype: "f32" })],
      ["LSTM, projected, of both directions", () => new LSTM(1, 2 ** 14, { projSize: 2 ** 12, bidirectional: true })],
      ["GRU", () => new GRU(2 ** 27, 1)],
      ["LSTMCell", () => new LSTMCell(2 ** 26, 1)],
      ["Linear", () => new Linear(2 ** 15, 2 ** 15)],
      ["Linear without its gradient", () => new Linear(2 ** 28, 1)],
      ["Linear", () => new Linear(2 ** 53 - 1, 2 ** 53 - 1)],
      ["Embedding", () => new Embedding(2 ** 30, 1)],
    ] as const)("%s", (_, make) => {
      const before = [heap().bytesUsed, heap().byteLength];
      refuses(make, OutOfMemoryError, "parameters of", "at most 4096 MiB in all");
      expect([heap().bytesUsed, heap().byteLength]).toEqual(before);
    });

    test.each(["train", "eval"] as const)("a sequence, %s", (mode) => {
      const rows = 2 ** 21; // x: 8 MiB; output: 8 GiB, and so are the last states
      const x = { data: new Float32Array(rows), shape: [1, rows, 1] };
      for (const layer of [
        new RNN(1, 1024, { dtype: "f32" }),
        new LSTM(1, 1024, { dtype: "f32" }),
        new GRU(1, 1024, { dtype: "f32" }),
        new LSTM(1, 1024, { dtype: "f32", checkpoint: 1 }),
        new Linear(1, 1024, { dtype: "f32" }),
      ]) {
        layer[mode]();
        const { bytesUsed } = heap();
        refuses(() => layer.forward(x), OutOfMemoryError);
        expect(heap().bytesUsed).toBe(bytesUsed);
        expect(layer.eval().forward({ data: x.data.slice(0, 3), shape: [1, 3, 1] }).output.shape).toEqual([1, 3, 1024]);
        layer.dispose();
      }
    });

    test("a stream", () => {
      using layer = new LSTM(3, 4);
      const { bytesUsed } = heap();
      for (const batchSize of [2 ** 30, 2 ** 53 - 1]) {
        refuses(() => layer.stream({ batchSize }), OutOfMemoryError, "stream");
        expect(heap().bytesUsed).toBe(bytesUsed);
      }
    });
  });

  both("when little is left: %s", (dtype) => {
    const [t, n, h] = [6, 16, 8];
    const lengths = range(0, n).map((row) => (5 * row) % (t + 1));
    const mask = tensor(range(0, t * n).map((i) => Number(i % 3 > 0)), [t, n], "i32"); // prettier-ignore

    test.each([
      ["RNN, 1 layer", (seed: number) => new RNN(3, h, { dtype, seed })],
      ["RNN, 2 layers", (seed: number) => new RNN(3, h, { dtype, seed, numLayers: 2 })],
      ["RNN, 3 layers, wide input", (seed: number) => new RNN(30, h, { dtype, seed, numLayers: 3 })],
      ["LSTM, 1 layer", (seed: number) => new LSTM(3, h, { dtype, seed })],
      ["LSTM, 3 layers", (seed: number) => new LSTM(3, h, { dtype, seed, numLayers: 3 })],
      ["LSTM, 2 layers, wide input", (seed: number) => new LSTM(50, h, { dtype, seed, numLayers: 2 })],
      ["GRU, 1 layer", (seed: number) => new GRU(3, h, { dtype, seed })],
      ["GRU, 2 layers", (seed: number) => new GRU(3, h, { dtype, seed, numLayers: 2, resetAfter: false })],
      ["GRU, both directions", (seed: number) => new GRU(3, h / 2, { dtype, seed, bidirectional: true })],
      ["LSTM, projected, 2 layers", (seed: number) => new LSTM(3, 12, { dtype, seed, projSize: h, numLayers: 2 })],
      ["Linear", (seed: number) => new Linear(3, h, { dtype, seed })],
    ] as const)("%s: forward and backward do all or nothing", (_, make) => {
      using reference = make(1) as LSTM;
      const inputSize = reference.inputSize ?? 3;
      const [x, other, dOutput] = [
        wave([t, n, inputSize], dtype),
        wave([2, n, inputSize], dtype, 1),
        wave([t, n, h], dtype, 2),
      ];
      const step = dtype === "f64" ? 1472 : 832;

      using layer = make(1) as LSTM;
      const grads = (): string => gradients(layer);
      layer.forward(other); // a tape, which stays until another takes its place
      const output = outgrow(() => layer.forward(x), grads, step);
      expect(output).toEqual(reference.forward(x));
      const dInputs = outgrow(() => layer.backward({ output: dOutput }), grads, step);
      expect(dInputs).toEqual(reference.backward({ output: dOutput }));
      expect(grads()).toBe(gradients(reference));

      layer.forward(x);
      withLittleLeft(640, () => expect(() => layer.forward(other)).toThrow(OutOfMemoryError));
      expect(layer.backward({ output: dOutput })).toEqual(dInputs); // the earlier tape, still there
      expect(outgrow(() => layer.eval().forward(x), grads, step)).toEqual(output);
    });

    test("attention: forward and backward do all or nothing", () => {
      const x = wave([t, n, h], dtype);
      const query = wave([n, h], dtype, 1);
      const step = dtype === "f64" ? 8256 : 4160;
      const check = <L extends MultiheadAttention<typeof dtype> | AdditiveAttention<typeof dtype>>(
        make: () => L,
        forward: (layer: L) => { output: Tensor; weights: Tensor },
      ) => {
        using reference = make();
        using layer = make();
        const grads = (): string => gradients(layer);
        const results = outgrow(() => forward(layer), grads, step);
        expect(results).toEqual(forward(reference));
        const dInputs = outgrow(() => layer.backward(results), grads, step);
        expect(dInputs).toEqual(reference.backward(results));
        expect(grads()).toBe(gradients(reference));
        layer.eval();
        expect(outgrow(() => forward(layer), grads, step).output.shape).toEqual(results.output.shape);
      };
      const options = { lengths };
      check(
        () => new MultiheadAttention(h, 2, { dtype, seed: 1, dropout: 0.25 }),
        (layer) => layer.forward(x, undefined, undefined, options),
      );
      check(
        () => new AdditiveAttention(h, h, 12, { dtype, seed: 1 }),
        (layer) => layer.forward(query, x, options),
      );
    });

    const NETWORKS = {
      Conv1d: () => new Conv1d(h, h, 3, { padding: "causal", dtype, seed: 1 }),
      "Conv1d, groups": () => new Conv1d(h, h, 3, { dilation: 2, groups: 2, batchFirst: true, dtype, seed: 1 }),
      "Conv1d, depthwise": () => new Conv1d(h, h, 2, { stride: 2, groups: h, dtype, seed: 1 }),
      MaxPool1d: () => new MaxPool1d(2),
      AvgPool1d: () => new AvgPool1d(3, { padding: 1 }),
      BatchNorm1d: () => new BatchNorm1d(h, { dtype }),
      PReLU: () => new PReLU(h, { dtype }),
      elu: () => new Activation("elu"),
      softmax: () => new Activation("softmax"),
      LastStep: () => new LastStep({ bidirectional: true }),
      MaxOverTime: () => new MaxOverTime(),
    };

    test.each(Object.entries(NETWORKS))("%s: forward and backward do all or nothing", (_, make) => {
      interface Any extends Disposable {
        forward(x: Tensor): { output: Tensor };
        backward(gradients: { output: Tensor }): { x: Tensor };
        parameters(): Parameter[];
        stateDict(): Record<string, Tensor>;
        eval(): Any;
      }
      using reference = make() as Any;
      using layer = make() as Any;
      const state = () => [gradients(layer), layer.stateDict()];
      const x = wave([t, n, h], dtype);
      const step = dtype === "f64" ? 1472 : 832;
      const results = outgrow(() => layer.forward(x), state, step);
      expect(results).toEqual(reference.forward(x));
      expect(outgrow(() => layer.backward(results), state, step)).toEqual(reference.backward(results));
      expect(gradients(layer)).toBe(gradients(reference));
      expect(outgrow(() => layer.eval().forward(x), state, step)).toEqual(reference.eval().forward(x));
    });

    test("operations, recorded and not, and ctcLoss do all or nothing", () => {
      using linear = new Linear(h, h, { dtype, seed: 1 });
      const [weight] = linear.parameters() as [Parameter];
      const x = wave([t, n, h], dtype);
      const mask = tensor(range(0, n).map((i) => i % 2), [n, 1], "i32"); // prettier-ignore
      const targets = tensor(range(0, 2 * n).map((i) => 1 + (i % 3)), [n, 2], "i32"); // prettier-ignore
      const grads = () => gradients(linear);
      const network = () => {
        const y = ops.where(mask, ops.matmul(x, weight.value), ops.exp(x));
        const parts = ops.concat([ops.slice(y, 0, 0, 2), ops.transpose(y, [0, 1, 2])], 0);
        return ops.max(ops.softmax(ops.sum(parts, 0)));
      };
      const step = dtype === "f64" ? 1472 : 832;
      const expected = network();
      expect(outgrow(network, grads, step)).toEqual(expected);
      expect(outgrow(() => valueAndGrad(network), grads, step).loss).toBe(expected.data[0]);
      const loss = ctcLoss(x, targets);
      expect(outgrow(() => ctcLoss(x, targets), grads, step)).toEqual(loss);
    });

    test.each<[string, Kind, Options, Steps]>([
      ["lengths", "GRU", {}, { lengths }],
      ["mask, both directions, 2 layers", "LSTM projected", { bidirectional: true, numLayers: 2 }, { mask }],
      ["checkpoints", "LSTM", { checkpoint: 2 }, {}],
      ["checkpoints, both directions, lengths", "RNN tanh", { checkpoint: 4, bidirectional: true }, { lengths }],
      ["dropout of both kinds, 2 layers", "GRU", { dropout: 0.5, recurrentDropout: 0.5, numLayers: 2 }, {}],
      ["stateful, backwards", "LSTM", { stateful: true, goBackwards: true }, { lengths }],
    ])("%s: forward and backward do all or nothing", (_, kind, options, steps) => {
      using layer = makeRecurrent(kind, 3, h, { dtype, seed: 1, ...options });
      using reference = makeRecurrent(kind, 3, h, { dtype, seed: 1, ...options });
      const problem = makeInputs(layer, t, n, 1);
      const { x, initial, gradients: upstream } = problem;
      const step = dtype === "f64" ? 2560 : 1344;
      const grads = (): string => gradients(layer);
      layer.forward(x, { ...initial, ...steps });
      layer.backward(upstream);
      bothPasses(reference, problem, steps);
      const output = outgrow(() => layer.forward(x, steps), grads, step);
      expect(output).toEqual(reference.forward(x, steps));
      expect(outgrow(() => layer.backward(upstream), grads, step)).toEqual(reference.backward(upstream));
      expect(grads()).toBe(gradients(reference));
      layer.eval();
      reference.eval();
      expect(outgrow(() => layer.forward(x, steps), grads, step)).toEqual(reference.forward(x, steps));
    });

    test("a cell", () => {
      using cell = new LSTMCell(3, h, { dtype, seed: 1 });
      using reference = new LSTMCell(3, h, { dtype, seed: 1 });
      const x = wave([n, 3], dtype);
      const state = { h: wave([n, h], dtype, 1), c: wave([n, h], dtype, 2) };
      const upstream = { h: wave([n, h], dtype, 3) };
      const grads = (): string => gradients(cell);
      const { cache, ...next } = outgrow(() => cell.forward(x, state), grads, 640);
      const { cache: other, ...expected } = reference.forward(x, state);
      expect(next).toEqual(expected);
      expect(outgrow(() => cell.backward(upstream, cache), grads, 320)).toEqual(reference.backward(upstream, other));
      expect(grads()).toBe(gradients(reference));
    });

    test("constructors, streams and optimizers", () => {
      const { bytesUsed } = heap();
      outgrow(
        () => new LSTM(5, 6, { dtype, numLayers: 2 }),
        () => heap().bytesUsed,
        640,
      ).dispose();
      using layer = new LSTM(5, 6, { dtype, numLayers: 2, seed: 1 });
      outgrow(
        () => layer.stream({ batchSize: 3 }),
        () => layer.stateDict(),
        640,
      ).dispose();
      outgrow(
        () => new Adam(layer.parameters()),
        () => layer.stateDict(),
        640,
      ).dispose();
      layer.dispose();
      expect(heap().bytesUsed).toBe(bytesUsed);
    });

    test("enough, but in pieces", () => {
      withLittleLeft(
        2 ** 20,
        () => {
          const { bytesUsed } = heap();
          const make = () => new LSTM(1, 20, { dtype }); // 4 KiB in each piece; weight_ih has 320 or 640 bytes, weight_hh 6400 or 12800
          refuses(make, OutOfMemoryError, "parameter weight_hh_l0 [80, 20]");
          expect(heap().bytesUsed).toBe(bytesUsed);
          new LSTM(2, 2, { dtype }).dispose();
          expect(heap().bytesUsed).toBe(bytesUsed);
        },
        256,
      );
    });

    test("losses", () => {
      const x = wave([50, 7], dtype);
      const targets = { data: new Int32Array(50), shape: [50] };
      const { bytesUsed } = heap();
      expect(
        outgrow(
          () => mse(x, x),
          () => heap().bytesUsed,
          640,
        ).loss,
      ).toBe(0);
      expect(
        outgrow(
          () => crossEntropy(x, targets),
          () => heap().bytesUsed,
          640,
        ),
      ).toEqual(crossEntropy(x, targets));
      expect(heap().bytesUsed).toBe(bytesUsed);
    });
  });
});
