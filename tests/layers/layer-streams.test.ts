// Streams of layers that are not recurrent, and of cells: the bits of the whole sequence, no allocation, the weights of when the
// stream was made, resets, chains, errors. Those of recurrent layers are in stream.test.ts.
import { describe, expect, test } from "vitest";
import { Arena } from "../../bindings/memory.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import {
  Activation,
  BatchNorm1d,
  Conv1d,
  DisposedError,
  DtypeError,
  Embedding,
  GRUCell,
  LSTMCell,
  LayerNorm,
  Linear,
  MaxPool1d,
  PReLU,
  RNNCell,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  mse,
  tensor,
  valueAndGrad,
  type FloatDtype,
  type Layer,
  type LayerStream,
  type LayerStreamOptions,
  type Tensor,
} from "../../src/index.js";
import { streamPlan } from "../../src/nn/stream.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Streaming = Layer<FloatDtype, FloatDtype | undefined> & {
  forward(x: Tensor): { output: Tensor };
  stream(options?: LayerStreamOptions): LayerStream;
};

const [T, N, C] = [11, 3, 4];

/** What makes each layer, and the output of the whole sequence where it is not that of `forward`. */
const LAYERS: Readonly<Record<string, (dtype: FloatDtype) => Streaming>> = {
  Linear: (dtype) => new Linear(C, 5, { dtype, seed: 1 }),
  "Linear without a bias": (dtype) => new Linear(C, 5, { bias: false, dtype, seed: 1 }),
  LayerNorm: (dtype) => new LayerNorm(C, { dtype }),
  "LayerNorm without weights": (dtype) => new LayerNorm(C, { elementwiseAffine: false, dtype }),
  BatchNorm1d: (dtype) => new BatchNorm1d(C, { dtype }),
  "BatchNorm1d without weights": (dtype) => new BatchNorm1d(C, { affine: false, dtype }),
  PReLU: (dtype) => new PReLU(C, { dtype }),
  "PReLU of one slope": (dtype) => new PReLU(1, { dtype }),
  tanh: () => new Activation("tanh"),
  elu: () => new Activation("elu"),
  softmax: () => new Activation("softmax"),
  logSoftmax: () => new Activation("logSoftmax"),
  "Conv1d causal": (dtype) => new Conv1d(C, 5, 3, { padding: "causal", dtype, seed: 1 }),
  "Conv1d causal, dilated": (dtype) =>
    new Conv1d(C, 6, 3, { padding: "causal", dilation: 2, groups: 2, dtype, seed: 1 }),
  "Conv1d causal, depthwise": (dtype) => new Conv1d(C, C, 4, { padding: "causal", groups: C, dtype, seed: 1 }),
  "Conv1d of one tap": (dtype) => new Conv1d(C, 5, 1, { bias: false, dtype, seed: 1 }),
};

/** Some training: weights and statistics that are not those of a new layer. */
function enliven(layer: Streaming): Streaming {
  layer.parameters().forEach(({ value }, i) => value.data.set(wave(value.shape, layer.dtype!, i).data));
  if (layer instanceof BatchNorm1d) layer.forward(wave([9, C], (layer as BatchNorm1d<FloatDtype>).dtype, 1));
  return layer.eval();
}

/** The outputs of all steps, copied. */
function run(stream: LayerStream, x: Tensor): Tensor[] {
  return Array.from({ length: x.shape[0]! }, (_, t) => {
    const output = stream.step(take(x, 0, [t]).data);
    return { data: output.slice(), shape: [1, N, output.length / N] };
  });
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(Object.entries(LAYERS))("%s", (_, make) => {
      const x = wave([T, N, C], dtype);

      test("steps have the bits of the sequence, also after a reset", () => {
        using layer = enliven(make(dtype));
        using stream = layer.stream({ batchSize: N });
        const { output } = layer.forward(x);
        for (let again = 0; again < 2; again++) {
          run(stream, x).forEach((out, t) => expect(out).toHaveBits(take(output, 0, [t])));
          stream.reset();
        }
      });

      test("the weights are those of the layer when the stream was made", () => {
        using layer = enliven(make(dtype));
        const { output } = layer.forward(x);
        using stream = layer.stream({ batchSize: N });
        for (const { value } of layer.parameters()) value.data.fill(9);
        if (layer instanceof BatchNorm1d) layer.train().forward(wave([5, C], dtype, 9));
        run(stream, take(x, 0, [0, 1])).forEach((out, t) => expect(out).toHaveBits(take(output, 0, [t])));
        layer.dispose();
        stream.reset();
        run(stream, x).forEach((out, t) => expect(out).toHaveBits(take(output, 0, [t])));
      });

      test("a step allocates no memory and no array; dispose() frees all", () => {
        using layer = enliven(make(dtype));
        const { heap } = currentCore();
        const { bytesUsed } = heap;
        const stream = layer.stream({ batchSize: N });
        const input = take(x, 0, [0]).data;
        const out = stream.step(input);
        const before = [heap.bytesUsed, heap.byteLength];
        for (let i = 0; i < 1000; i++) if (stream.step(input) !== out) expect(i).toBe("the step with a new array");
        expect([heap.bytesUsed, heap.byteLength]).toEqual(before);
        heap.free(heap.allocate(heap.byteLength, "growth"));
        expect(out).toHaveLength(0); // detached
        expect(stream.step(input).length).toBeGreaterThan(0);
        stream.dispose();
        stream.dispose();
        expect(heap.bytesUsed).toBe(bytesUsed);
        refuses(() => stream.step(input), DisposedError, "stream");
        refuses(() => stream.reset(), DisposedError, "stream");
      });

      test("one row by default; x may be any array of numbers, also the stream's own output", () => {
        using layer = enliven(make(dtype));
        using stream = layer.stream();
        const { output } = layer.forward(wave([1, C], dtype));
        const numbers = Array.from(wave([1, C], dtype).data);
        const typed = dtype === "f32" ? Float32Array.from(numbers) : Float64Array.from(numbers);
        expect({ data: stream.step(typed).slice(), shape: output.shape }).toHaveBits(output);
        stream.reset();
        expect({ data: stream.step(numbers).slice(), shape: output.shape }).toHaveBits(output);
        stream.reset();
        if (output.shape[1] !== C) return;
        const next = layer.forward(output).output;
        const live = stream.step(stream.step(typed)); // past the first output, as if that were the input
        if (!(layer instanceof Conv1d)) expect({ data: live.slice(), shape: next.shape }).toHaveBits(next);
      });

      test("refuses", () => {
        using layer = enliven(make(dtype));
        using stream = layer.stream({ batchSize: N });
        const input = take(x, 0, [0]).data;
        const output = stream.step(input).slice();
        refuses(
          () => stream.step(input.slice(1)),
          ShapeError,
          `x: got ${N * C - 1} numbers, expected ${N * C} numbers`,
        );
        refuses(() => stream.step({ length: N * C }), DtypeError, "x");
        refuses(() => stream.step([...input.slice(1), undefined] as never), DtypeError, `x[${N * C - 1}]`);
        stream.reset();
        expect(stream.step(input)).toEqual(output);
        for (const batchSize of [0, 1.5, NaN]) refuses(() => layer.stream({ batchSize }), ShapeError, "batchSize");
        refuses(() => layer.stream({ rows: 2 } as never), UnsupportedError, "rows");
        refuses(
          () => valueAndGrad(() => (stream.step(input), mse(x, x))),
          StateError,
          "stream.step: got a call inside a recorded body",
        );
        layer.dispose();
        refuses(() => layer.stream(), DisposedError);
      });
    });

    test("padding 0: each step returns the output whose window ends there", () => {
      using layer = new Conv1d(C, 5, 3, { dilation: 2, dtype, seed: 1 });
      using stream = layer.stream({ batchSize: N });
      const x = wave([T, N, C], dtype);
      const { output } = layer.forward(x);
      const steps = run(stream, x);
      for (let t = 4; t < T; t++) expect(steps[t]).toHaveBits(take(output, 0, [t - 4]));
    });

    test("long runs: the history of a convolution goes round", () => {
      using layer = new Conv1d(2, 3, 4, { padding: "causal", dilation: 5, dtype, seed: 1 });
      using stream = layer.stream();
      const x = wave([200, 2], dtype);
      const { output } = layer.forward(x);
      for (let t = 0; t < 200; t++) {
        const out = { data: stream.step(take(x, 0, [t]).data).slice(), shape: [1, 3] };
        expect(out).toHaveBits(take(output, 0, [t]));
      }
    });

    test("Embedding: a step takes indices", () => {
      using layer = new Embedding(6, 3, { dtype, seed: 1 });
      using stream = layer.stream({ batchSize: 2 });
      const { output } = layer.forward(tensor([5, 0, 3, 3], [2, 2], "i32"));
      expect(stream.step([5, 0]).slice()).toEqual(output.data.slice(0, 6));
      expect(stream.step(Int32Array.of(3, 3)).slice()).toEqual(output.data.slice(6));
      refuses(() => stream.step([0, 6]), ValueError, "x[1]: got 6, expected indices from 0 to 5");
      for (const index of [-1, 0.5, NaN]) refuses(() => stream.step([index, 0]), ValueError, "x[0]");
      refuses(() => stream.step([1]), ShapeError, "x");
      expect(stream.step([5, 0]).slice()).toEqual(output.data.slice(0, 6));
    });

    test.each([RNNCell, LSTMCell, GRUCell])("cells: %o", (Cell) => {
      using cell = new Cell(C, 5, { dtype, seed: 1 });
      using stream = cell.stream({ batchSize: N });
      const x = wave([T, N, C], dtype);
      let state: { h?: Tensor; c?: Tensor } = {};
      for (let t = 0; t < T; t++) {
        const step = take(x, 0, [t]);
        const { cache, ...next } = cell.forward({ data: step.data, shape: [N, C] }, state);
        cache.dispose();
        state = next;
        expect({ data: stream.step(step.data).slice(), shape: [N, 5] }).toHaveBits(state.h!);
      }
      expect(stream.state.h.shape).toEqual([1, N, 5]);
      expect(stream.state.h.data).toEqual(state.h!.data);
      if (state.c) expect(stream.state.c!.data).toEqual(state.c.data);
    });

    test("stages read each other's outputs without a copy", () => {
      using conv = new Conv1d(C, 6, 3, { padding: "causal", dtype, seed: 1 });
      using activation = new Activation("relu");
      using linear = new Linear(6, 2, { dtype, seed: 2 });
      const arena = new Arena(currentCore());
      const x: FloatTensor = arena.zeros("x", dtype, [1, C]);
      let last = x;
      const stages = [conv, activation, linear].map((layer) => {
        const stage = streamPlan(layer).make(arena, last);
        last = stage.output;
        return stage;
      });
      const whole = wave([T, C], dtype);
      const { output } = linear.forward(activation.forward(conv.forward(whole).output).output);
      for (let t = 0; t < T; t++) {
        x.set(take(whole, 0, [t]).data);
        for (const stage of stages) stage.run();
        expect(last.download()).toHaveBits(take(output, 0, [t]));
      }
      arena.dispose();
    });

    test("a layer that takes both number types follows the first step", () => {
      using layer = new Activation("tanh");
      using stream = layer.stream({ batchSize: 2 });
      refuses(() => stream.step([1, 2, 3]), ShapeError, "x: got 3 numbers, expected a multiple of batchSize, 2");
      refuses(() => stream.step([]), ShapeError, "x: got 0 numbers");
      refuses(() => stream.step([1, "2"] as never), DtypeError, "x[1]");
      const x = wave([2, 3], dtype);
      const out = stream.step(x.data).slice();
      expect({ data: out, shape: [2, 3] }).toHaveBits(layer.forward(x).output);
      refuses(() => stream.step([1, 2]), ShapeError, "x: got 2 numbers, expected 6 numbers");
      using prelu = new PReLU(1, { dtype });
      using own = prelu.stream(); // it has a number type
      const numbers = Array.from(x.data, (v) => v / 3);
      const { output } = prelu.forward(tensor(numbers, [1, 6], dtype));
      expect({ data: own.step(numbers).slice(), shape: [1, 6] }).toHaveBits(output);
    });
  });
});

describe("what looks ahead, or takes several steps, has no stream", () => {
  test.each([[{ padding: "same" }], [{ padding: 1 }]] as const)("Conv1d %j", (options) => {
    using layer = new Conv1d(2, 2, 3, options);
    refuses(() => layer.stream(), UnsupportedError, "padding", '"causal" or 0, for a stream');
  });

  test("Conv1d with a stride", () => {
    using layer = new Conv1d(2, 2, 3, { padding: "causal", stride: 2 });
    refuses(() => layer.stream(), UnsupportedError, "stride: got 2, expected 1, for a stream");
  });

  test("the plan of other layers", () => {
    refuses(
      () => streamPlan(new MaxPool1d(2)),
      UnsupportedError,
      "stream: got MaxPool1d, expected layers that can run one step at a time",
    );
  });

  test("the constructor of streams refuses", () => {
    using layer = new Linear(1, 1);
    using stream = layer.stream();
    const Stream = stream.constructor as unknown as new (...all: unknown[]) => unknown;
    refuses(() => new Stream({}, 1), StateError, "LayerStream");
    refuses(() => new Stream(), StateError, "LayerStream");
  });
});
