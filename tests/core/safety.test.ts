// Memory safety: hostile callers, threads that write while a call reads, and sizes past 32 bits. Every test runs between
// untouched layers, which must keep every bit, as must the core's own tables. Input that is read twice is in hostile.test.ts;
// random calls of all exports are in tests/fuzz.
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import { withArena } from "../../bindings/memory.js";
import { sequenceForward, Stepper, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import { writeRecord } from "../../bindings/record.js";
import { sequence as sequenceType } from "../../bindings/wasm.js";
import { fromRtneural } from "../../src/audio.js";
import * as coursera from "../../src/coursera.js";
import * as cs231n from "../../src/cs231n.js";
import {
  Adagrad,
  Adam,
  AdamW,
  AdditiveAttention,
  CellCache,
  CharLM,
  clipGradNorm,
  crossEntropy,
  ctcLoss,
  Dropout,
  Embedding,
  GRU,
  GRUCell,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  MultiheadAttention,
  nll,
  OutOfMemoryError,
  RMSprop,
  RNN,
  RNNCell,
  SGD,
  ShapeError,
  StateError,
  TextStreams,
  ValueError,
  Vocabulary,
  type FloatDtype,
  type Layer,
  type Parameter,
  type Tensor,
  type TensorData,
} from "../../src/index.js";
import * as all from "../../src/index.js";
import { onnxRecurrent } from "../../src/onnx.js";
import * as ops from "../../src/ops.js";
import { testNamed } from "../helpers/project.js";
import { wave as waveOf } from "../helpers/tensors.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants, type Variant } from "../helpers/variants.js";

const wave = (shape: readonly number[]) => waveOf(shape, "f64");
const bitsOf = (data: TensorData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

const TYPED: readonly string[] = Object.keys(all).filter((name) => name.endsWith("Error"));

/** Whether an error is one of the package's, or undefined. */
const isTyped = (error: unknown) => error === undefined || TYPED.includes((error as Error).name);

function errorOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** The bytes of a fresh instance that are not 0: the tables of the kernels. */
function tablesOf(variant: Variant): readonly (readonly [address: number, byte: number])[] {
  const path = new URL(`../../build/core${variant === "relaxed" ? ".relaxed" : ""}.wasm`, import.meta.url);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(path)));
  const fresh = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
  const tables: [number, number][] = [];
  fresh.forEach((byte, address) => byte !== 0 && tables.push([address, byte]));
  return tables;
}

/** Runs `body` between canaries: layers on both sides of a hole in the heap, in which `body` allocates. */
function guarded<R>(variant: Variant, body: () => R): R {
  const make = (count: number) =>
    Array.from({ length: count }, (_, i) => new LSTM(3, 4, { seed: i, dtype: i % 2 ? "f32" : "f64" }).eval());
  const before = make(4);
  const hole = Array.from({ length: 24 }, (_, i) => new Linear(1 << (i % 12), 4, { seed: 1 }));
  const canaries = [...before, ...make(4)];
  const run = (layer: LSTM<FloatDtype>) => {
    const { data } = wave([2, 1, 3]);
    return layer.forward({ data: layer.dtype === "f32" ? Float32Array.from(data) : data, shape: [2, 1, 3] }).output
      .data;
  };
  const bits = () =>
    canaries.map((layer) => [
      ...layer.parameters().flatMap(({ value, grad }) => [bitsOf(value.data), bitsOf(grad.data)]),
      bitsOf(run(layer)),
    ]);
  const expected = bits();
  for (const layer of hole) layer.dispose();
  const result = body();
  expect(bits()).toEqual(expected);
  const memory = new Uint8Array(canaries[0]!.parameters()[0]!.value.data.buffer);
  for (const [address, byte] of tablesOf(variant)) {
    if (memory[address] !== byte) throw new Error(`the core's table at ${address} has changed`);
  }
  for (const layer of canaries) layer.dispose();
  return result;
}

/** A constructor that anyone can call in JavaScript. */
type AnyClass = new (...args: unknown[]) => object;

const parentOf = (value: unknown) => Object.getPrototypeOf(value) as AnyClass;
const classOf = (value: unknown) => (value as { constructor: AnyClass }).constructor;

const dense = () =>
  fromRtneural({
    in_shape: [null, null, 1],
    layers: [{ type: "dense", shape: [null, null, 1], weights: [[[1]], [0]] }],
  });

describe.each(variants)("%s build: constructors, fields and prototypes within reach of callers", (variant) => {
  useVariant(variant);

  test("constructors of base classes refuse objects of the caller's", () => {
    guarded(variant, () => {
      const rules = {
        kind: "Evil",
        defaults: { lr: 1, weightDecay: 0, maximize: false },
        check() {},
        state: () => [],
        update: () => expect.unreachable("the rules of a caller were given a tensor in wasm memory"),
      };
      const linear = new Linear(2, 2);
      const memory = { parameters: linear.parameters(), arena: {}, training: true, checkAlive() {}, dtype: "f64" };
      const live = linear.parameters()[0]!.value;
      const cell = { kind: "RNN", phi: "tanh" };
      for (const Class of [LSTM, GRU, RNN]) {
        for (let base = parentOf(Class); base.prototype !== undefined; base = parentOf(base)) {
          refuses(() => new base(cell, 4, 64, {}), StateError, "a call of its constructor");
        }
      }
      for (const Class of [LSTMCell, GRUCell, RNNCell]) {
        for (let base = parentOf(Class); base.prototype !== undefined; base = parentOf(base)) {
          refuses(() => new base(cell, 4, 64, {}), StateError, "a call of its constructor");
        }
      }
      for (const Class of [SGD, Adam, AdamW, RMSprop, Adagrad]) {
        refuses(() => new (parentOf(Class))(rules, linear.parameters(), {}), StateError, "a call of its constructor");
      }
      refuses(() => new (parentOf(Linear))(memory), StateError, "a call of its constructor");
      refuses(() => new (classOf(live))({ shape: [9e9], pointer: 0, arena: {} }), all.DtypeError, "a tensor");
      refuses(() => new (classOf(new LSTM(2, 2).stream()))(memory, cell, [], {}), StateError, "a call of its");
      refuses(() => new (CellCache as unknown as AnyClass)(linear, {}, {}), StateError, "a call of its constructor");
      let reads = 0;
      const dtype = { toString: () => (reads++ % 2 ? "f64" : "f32") };
      const StreamingModel = classOf(dense());
      refuses(() => new StreamingModel(dtype, 4096, [{ type: "tanh" }], 0), StateError, "a call of its constructor");
    });
  });

  test("fields of subclasses do not decide sizes", () => {
    guarded(variant, () => {
      const shadow = (Class: unknown, ...names: string[]) => {
        const Sub = class extends (Class as AnyClass) {};
        for (const name of names) Object.defineProperty(Sub.prototype, name, { get: () => 64, set() {} });
        return Sub as unknown as new (...args: number[]) => Layer & { forward(x: Tensor): { output: Tensor } };
      };
      for (const Class of [LSTM, GRU, RNN]) {
        const layer = new (shadow(Class, "inputSize", "hiddenSize", "stateSize", "numLayers", "batchFirst"))(3, 2);
        expect(layer.forward(wave([2, 1, 3])).output.shape).toEqual([2, 1, 2]);
        refuses(() => layer.forward(wave([2, 1, 64])), ShapeError, "x");
        expect(() => Object.defineProperty(layer, "hiddenSize", { value: 64 })).toThrow(TypeError);
      }
      const table = new (shadow(Embedding, "numEmbeddings", "embeddingDim"))(3, 2);
      refuses(() => table.forward({ data: Int32Array.of(3), shape: [1] }), ValueError, "indices from 0 to 2");
      const linear = new (shadow(Linear, "inFeatures", "outFeatures"))(3, 2);
      refuses(() => linear.forward(wave([1, 64])), ShapeError, "x");
      const norm = new (shadow(LayerNorm, "normalizedShape"))(3);
      refuses(() => norm.forward(wave([1, 64])), ShapeError, "x");
    });
  });

  test("shapes that lie, overflow or are no arrays decide no size", () => {
    guarded(variant, () => {
      const linear = new Linear(2, 2);
      const norm = new LayerNorm(2);
      const lstm = new LSTM(2, 2);
      const calls: ((x: Tensor) => unknown)[] = [
        (x) => linear.forward(x),
        (x) => norm.forward(x),
        (x) => lstm.forward(x),
        (x) => lstm.forward(wave([1, 1, 2]), { h0: x }),
        (x) => new Dropout().forward(x),
        (x) => all.softmax(x),
        (x) => all.logSoftmax(x),
        (x) => all.mse(x, x),
        (x) => all.mse(wave([2]), wave([2]), { weight: x }),
        (x) => all.bceWithLogits(x, x, { posWeight: x, sampleWeight: x }),
        (x) => crossEntropy(x, x),
        (x) => coursera.softmax(x),
        (x) => new all.Activation("softmax").forward(x),
        (x) => new all.PReLU().forward(x),
        (x) => new all.MaxPool1d(2).forward(x),
        (x) => new all.AvgPool1d(2, { batchFirst: true }).forward(x, { lengths: [1, 0] }),
        (x) => new all.LastStep({ bidirectional: true }).forward(x),
        (x) => new all.MaxOverTime({ batchFirst: true }).forward(x),
        (x) => new all.Conv1d(2, 2, 2).forward(x),
        (x) => new all.BatchNorm1d(2).eval().forward(x, { mask: x }),
        (x) => ctcLoss(x, x),
        (x) => all.ctcGreedyDecode(x),
        (x) => new AdditiveAttention(2, 2, 2).forward(x, x),
        (x) => new MultiheadAttention(2, 1).forward(x, x, x, { mask: x }),
        (x) => ops.transpose(x),
        (x) => ops.matmul(x, x),
        (x) => ops.add(x, x),
        (x) => ops.concat([x, x], 0),
        (x) => ops.stack([x, x], -1),
        (x) => ops.max(x, 0),
        (x) => ops.reshape(wave([4]), x.shape),
        (x) => ops.oneHot(x, 2 ** 31),
      ];
      const sizes = [
        0,
        -0,
        1,
        2,
        -1,
        -2,
        NaN,
        Infinity,
        0.5,
        2 ** 16,
        2 ** 31,
        2 ** 32,
        2 ** 32 + 1,
        2 ** 53,
        2 ** 53 - 1,
      ];
      const size = fc.oneof(fc.constantFrom<unknown>(...sizes), fc.constantFrom<unknown>("2", null, [2], 2n, {}));
      const shapes = fc.oneof(
        fc.array(size, { maxLength: 5 }),
        fc.constantFrom<unknown>(undefined, null, "12", { length: 1 }),
      );
      const count = fc.constantFrom(0, 1, 2, 4);
      fc.assert(
        fc.property(shapes, count, fc.constantFrom(...calls), (shape, n, call) => {
          const error = errorOf(() => call({ data: new Float64Array(n).fill(0.5), shape } as Tensor));
          expect(isTyped(error) || String(error)).toBe(true);
        }),
        { numRuns: 6000, seed: 7 },
      );
    });
  });

  test("sizes of windows and lengths past 32 bits decide no address", () => {
    guarded(variant, () => {
      const size = fc.constantFrom(
        0,
        1,
        2,
        3,
        2 ** 16,
        2 ** 30 - 1,
        2 ** 30,
        2 ** 31 - 2,
        2 ** 31 - 1,
        2 ** 32,
        2 ** 40,
      );
      const padding = fc.oneof(size, fc.constantFrom("same", "causal"));
      const sizes = fc.record({ stride: size, dilation: size, padding, groups: fc.constantFrom(1, 2) });
      const x = wave([3, 2, 2]);
      const none = { data: new Float64Array(0), shape: [3, 0, 2] };
      const both = (layer: all.Conv1d | all.MaxPool1d) => {
        for (const [input, lengths] of [
          [x, [3, 1]],
          [x, [0, 0]],
          [none, []],
        ] as const) {
          // prettier-ignore
          layer.backward(layer.forward(input, { lengths }));
        }
      };
      fc.assert(
        fc.property(size, sizes, (taps, { stride, dilation, padding, groups }) => {
          const calls = [
            () => both(new all.Conv1d(2, 2, Math.min(taps, 3), { stride, dilation, padding, groups })),
            () => new all.Conv1d(2, 2, 2, { dilation, padding, groups }).stream({ batchSize: taps }),
            () => both(new all.MaxPool1d(taps, { stride, padding: padding as number })),
            () => both(new all.AvgPool1d(taps, { stride, padding: padding as number })),
          ];
          for (const error of calls.map(errorOf)) expect(isTyped(error) || String(error)).toBe(true);
        }),
        { numRuns: 300, seed: 7 },
      );
    });
  });

  test("a getter that runs, disposes or makes layers while backward reads writes nowhere else", () => {
    guarded(variant, () => {
      const layers: (() => [Layer & { forward(x: Tensor): unknown; backward(g: object): unknown }, Tensor, Tensor])[] =
        [
          () => [new LSTM(3, 4, { numLayers: 2, bidirectional: true }), wave([2, 1, 3]), wave([2, 1, 8])],
          () => [new GRU(3, 4), wave([2, 1, 3]), wave([2, 1, 4])],
          () => [new RNN(3, 4, { checkpoint: 1 }), wave([2, 1, 3]), wave([2, 1, 4])],
          () => [new Linear(3, 4), wave([2, 3]), wave([2, 4])],
          () => [new LayerNorm(3), wave([2, 3]), wave([2, 3])],
          () => [new Dropout(0.5), wave([2, 3]), wave([2, 3])],
          () => [new Embedding(3, 4), { data: Int32Array.of(0, 2), shape: [2] }, wave([2, 4])],
        ];
      for (const make of layers) {
        const acts: ((layer: ReturnType<typeof make>[0], x: Tensor, gradient: Tensor) => void)[] = [
          (layer) => layer.dispose(),
          (layer, x) => layer.forward(x),
          (layer, _, gradient) => layer.backward({ output: gradient }),
          (layer) => (layer.dispose(), void Array.from({ length: 20 }, (_, i) => new Linear(i + 1, 8))),
        ];
        for (const act of acts) {
          const [layer, x, gradient] = make();
          layer.forward(x);
          let done = false;
          const hostile = {
            get data() {
              if (!done) {
                done = true;
                act(layer, x, gradient);
              }
              return gradient.data;
            },
            shape: gradient.shape,
          };
          expect(isTyped(errorOf(() => layer.backward({ output: hostile })))).toBe(true);
          layer.dispose();
        }
      }
    });
  });

  test("replaced methods of a random generator can only change a mask", () => {
    guarded(variant, () => {
      for (const act of [
        (layer: Dropout) => layer.dispose(),
        (layer: Dropout) => layer.forward(wave([4])),
        () => new Linear(2000, 2000), // grows the memory
      ]) {
        const layer = new Dropout(0.5);
        let left = 3;
        layer.random.uint32 = () => (left-- > 0 && act(layer), 2 ** 31);
        expect(isTyped(errorOf(() => layer.forward(wave([64]))))).toBe(true);
      }
    });
  });

  test("properties set on a live view affect nobody else", () => {
    guarded(variant, () => {
      const layer = new Linear(2, 2, { seed: 1, bias: false });
      const x = wave([1, 2]);
      const { data: expected } = layer.forward(x).output;
      layer.backward({ output: { data: Float64Array.of(1, 1), shape: [1, 2] } });
      const [{ value, grad }] = layer.parameters() as [Parameter];
      const norm = clipGradNorm(layer.parameters(), Infinity, { normType: 1 });
      const fake = new ArrayBuffer(8);
      for (const { data } of [value, grad]) {
        for (const name of ["buffer", "length", "byteOffset", "byteLength", "set", "fill", "slice", "subarray"]) {
          Object.defineProperty(data, name, { value: name === "buffer" ? fake : 1 });
        }
        Object.defineProperty(data, Symbol.iterator, { value: () => expect.unreachable("a view's own iterator ran") });
      }
      expect(clipGradNorm(layer.parameters(), Infinity, { normType: 1 })).toBe(norm);
      expect(new Linear(2000, 2000).forward(wave([1, 2000])).output.shape).toEqual([1, 2000]); // grows the memory
      expect(layer.forward(x).output.data).toEqual(expected);
      expect(layer.stateDict().weight!.data.length).toBe(4);
      layer.zeroGrad();
      expect(clipGradNorm(layer.parameters(), Infinity, { normType: 1 })).toBe(0);
    });
  });

  test("the parameters of a CharLM cannot be replaced", () => {
    const model = new CharLM(new Vocabulary("ab"), { embeddingDim: 2, hiddenSize: 2, numLayers: 1 });
    const [first] = model.parameters() as [Parameter];
    const other = new Linear(2, 2).parameters()[0]!;
    expect(() => Object.assign(first, { value: other.value })).toThrow(TypeError);
    expect(Object.keys(model.stateDict())[0]).toBe("embedding.weight");
    model.dispose();
  });

  test("caches of the courses: changes by the caller decide no size", () => {
    guarded(variant, () => {
      const h = 64;
      const p = { Wax: wave([h, 3]), Waa: wave([h, h]), ba: wave([h, 1]) };
      const narrow = (cache: object, name: string, value: unknown) => Object.defineProperty(cache, name, { value });
      const one = coursera.rnnCellForward(wave([3, 4]), wave([h, 4]), p).cache;
      narrow(one, "aNext", wave([1, 4]));
      expect(Object.getOwnPropertySymbols(one)).toEqual([]);
      refuses(() => coursera.rnnCellBackward(wave([1, 4]), one), ShapeError, "daNext");
      expect(coursera.rnnCellBackward(wave([h, 4]), one).dxt.shape).toEqual([3, 4]);
      const steps = coursera.rnnForward(wave([3, 4, 2]), wave([h, 4]), p).caches;
      narrow(steps, "a", wave([1, 4, 2]));
      refuses(() => coursera.rnnBackward(wave([1, 4, 2]), steps), ShapeError, "da");
      const gate = () => wave([h, h + 3]);
      const bias = () => wave([h, 1]);
      const lstm = { Wf: gate(), Wi: gate(), Wc: gate(), Wo: gate(), bf: bias(), bi: bias(), bc: bias(), bo: bias() };
      const cell = coursera.lstmCellForward(wave([3, 4]), wave([h, 4]), wave([h, 4]), lstm).cache;
      narrow(cell, "aNext", wave([1, 4]));
      narrow(cell, "cNext", wave([1, 4]));
      refuses(() => coursera.lstmCellBackward(wave([1, 4]), wave([1, 4]), cell), ShapeError, "daNext");
      const all = coursera.lstmForward(wave([3, 4, 2]), wave([h, 4]), lstm).caches;
      narrow(all, "a", wave([1, 4, 2]));
      refuses(() => coursera.lstmBackward(wave([1, 4, 2]), all), ShapeError, "da");
      const copy = { ...one };
      refuses(() => coursera.rnnCellBackward(wave([h, 4]), copy), StateError, "cache");
      const { cache } = cs231n.rnnForward(wave([2, 3, 4]), wave([2, h]), wave([4, h]), wave([h, h]), wave([h]));
      narrow(cache, "x", wave([1, 1, 1]));
      refuses(() => cs231n.rnnBackward(wave([2, 3, 1]), cache), ShapeError, "dh");
    });
  });

  test("a cache whose dispose is replaced is still used up", () => {
    const cell = new LSTMCell(2, 2);
    const { cache } = cell.forward(wave([1, 2]));
    cache.dispose = () => {};
    cell.backward({ h: wave([1, 2]) }, cache);
    refuses(() => cell.backward({ h: wave([1, 2]) }, cache), StateError, "cache");
  });
});

/** Sizes of one layer, and of its pass. */
interface Sizes {
  t: number;
  n: number;
  d: number;
  h: number;
  p: number;
  rows: number;
}

describe.each(variants)("%s build: sizes past 32 bits", (variant) => {
  useVariant(variant);

  const LIMIT = 2 ** 32 - 1;
  const up = (n: number, to: number) => Math.ceil(n / to) * to;

  test("the scratch of a pass is reported exactly, or as more than any memory has", () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 2 ** 28 - 1 }));
    const sizes = fc.record({ n: size, d: size, h: size, p: size, rows: size });
    const flags = fc.record({ after: fc.boolean(), norm: fc.boolean(), mask: fc.boolean(), projected: fc.boolean() });
    const core = currentCore();
    const { kernels, record: sequence } = core;
    const fits = ({ d, h, p }: { d: number; h: number; p: number }) => h * d < 2 ** 30 && h * p < 2 ** 30;
    fc.assert(
      fc.property(sizes.filter(fits), flags, fc.constantFrom("f64", "f32"), (s, flag, dtype) => {
        const { n, d, h, rows } = s;
        const [bytes, width] = dtype === "f64" ? [8, 4] : [4, 8];
        const packed = (k: number, columns: number) => k * up(columns, width) * bytes;
        const kernel = kernels[dtype];
        const write = (p: number, projected: boolean) => {
          const fields = { t: 1, n, d, h, p, rows, resetAfter: flag.after };
          writeRecord(core, sequence, sequenceType, {
            ...fields,
            ...{ mask: flag.mask, normIh: flag.norm, weightHr: projected },
          });
        };
        const holds = (told: number, real: number) => {
          if (real > LIMIT) expect(told >>> 0).toBe(LIMIT);
          else expect(told >>> 0).toBeGreaterThanOrEqual(real);
        };
        const masked = (p: number) => (flag.mask ? n * p * bytes : 0);
        const normed = (count: number) => (flag.norm ? n * count * bytes : 0);
        write(h, false);
        const rnn = packed(d, h) + packed(h, h) + h * bytes;
        holds(kernel.rnnPackedBytes(sequence), rnn);
        holds(kernel.rnnWorkspace(sequence, false), rnn + masked(h));
        holds(kernel.rnnWorkspace(sequence, true), packed(h, h) + (flag.mask ? rows * h * bytes : 0));
        const hidden = flag.after ? packed(h, 3 * h) : packed(h, 2 * h) + packed(h, h);
        const gru = packed(d, h) + packed(d, 2 * h) + hidden + 4 * h * bytes;
        holds(kernel.gruPackedBytes(sequence), gru);
        holds(kernel.gruWorkspace(sequence, false), gru + masked(h) + normed(2 * h));
        const back = flag.after ? packed(3 * h, h) : packed(2 * h, h) + packed(h, h);
        holds(kernel.gruWorkspace(sequence, true), back + n * h * bytes + (flag.mask ? rows * h * bytes : 0));
        const p = flag.projected ? s.p : h;
        write(p, flag.projected);
        const projection = flag.projected ? packed(h, p) : 0;
        const lstm = packed(d, 4 * h) + packed(p, 4 * h) + 4 * h * bytes + projection;
        holds(kernel.lstmPackedBytes(sequence), lstm);
        const projected = flag.projected ? n * h * bytes : 0;
        holds(kernel.lstmWorkspace(sequence, false), lstm + masked(p) + projected + normed(4 * h));
        const more = flag.projected ? packed(p, h) + projected + rows * p * bytes : 0;
        const inputs = flag.mask ? rows * p * bytes : 0;
        holds(kernel.lstmWorkspace(sequence, true), packed(4 * h, p) + more + inputs + normed(h));
      }),
      { numRuns: 400, seed: 7 },
    );
  });

  // Tensors are only reserved: nothing is written to gigabytes of memory.
  const reserve = (cell: Cell, { t, n, d, h, p, rows }: Sizes, body: (parts: Reserved) => void) =>
    withArena(currentCore(), (arena) => {
      const gates = { RNN: 1, GRU: 3, LSTM: 4 }[cell.kind] * h;
      const make = (...shape: number[]) => arena.allocate("reserved", "f32", shape);
      const weights = { weightIh: make(gates, d), weightHh: make(gates, p) };
      const x = make(rows, d);
      body({ arena, weights, input: { cell, t, n, rows, x }, hs: make(n + rows, p), cs: make(n, h) });
    });
  type Arguments = Parameters<typeof sequenceForward>;
  interface Reserved {
    arena: Arguments[0];
    weights: RecurrentWeights;
    input: Arguments[2];
    hs: NonNullable<Arguments[4]["hs"]>;
    cs: NonNullable<Arguments[4]["cs"]>;
  }

  test("packed weights of more than 4 GiB are refused, in a pass and in a stream", () => {
    guarded(variant, () => {
      for (const [kind, d] of [
        ["RNN", 2 ** 27],
        ["GRU", 2 ** 26],
      ] as const) {
        const cell: Cell = { kind, phi: "tanh" };
        reserve(cell, { t: 1, n: 1, d, h: 1, p: 1, rows: 1 }, ({ arena, weights, input, hs }) => {
          refuses(
            () => sequenceForward(arena, "f32", input, weights, { hs }, { training: false }),
            OutOfMemoryError,
            "packed weights",
          );
          const h = arena.zeros("h", "f32", [1, 1]);
          refuses(
            () => new Stepper(arena, "f32", cell, weights, input.x, h, undefined),
            OutOfMemoryError,
            "packed weights",
          );
        });
      }
    });
  });

  test("scratch of more than 4 GiB for a large batch is refused", () => {
    guarded(variant, () => {
      const cell: Cell = { kind: "LSTM", phi: "tanh" };
      const [n, h] = [2 ** 18 - 2 ** 10, 2 ** 10]; // the scratch and the packed weights are 2^32 bytes and some
      reserve(cell, { t: 1, n, d: 8, h, p: h, rows: 1 }, ({ arena, weights, input, hs, cs }) => {
        const gain = (size: number) => arena.zeros("gain", "f32", [size]);
        const norms = { normIh: gain(4 * h), normHh: gain(4 * h), normC: gain(h), normCBias: gain(h) };
        const batchSizes = arena.zeros("batchSizes", "i32", [1]);
        batchSizes.fill(1);
        refuses(
          () =>
            sequenceForward(
              arena,
              "f32",
              { ...input, batchSizes },
              { ...weights, ...norms },
              { hs, cs },
              {
                training: false,
              },
            ),
          OutOfMemoryError,
          "packed weights",
        );
      });
    });
  });
});

describe.each(variants)("%s build: threads", (variant) => {
  const SIZE = 64;
  const shared = () => new Int32Array(new SharedArrayBuffer(SIZE * 4));
  const [targets, mask, lengths, text] = [shared(), shared(), shared(), shared()];
  let worker: Worker;

  beforeAll(async () => {
    worker = new Worker(
      `const { workerData, parentPort } = require("node:worker_threads");
       const bad = [0, 1, -1, 2, -214, 3, 4, 2147483647, -2147483648, 100000, -100, 5000];
       let i = 0;
       const end = Date.now() + 8000;
       parentPort.postMessage("runs");
       const turn = () => {
         for (let n = 0; n < 2e5; n++) {
           i = (i + 1) | 0;
           const view = workerData[i & 3];
           // mostly good numbers, so that many calls pass the check of what is there at first
           view[(i >> 2) & ${SIZE - 1}] = (i % 97 === 0) ? bad[(i >>> 3) % bad.length] : i & 1;
         }
         if (Date.now() < end) setImmediate(turn);
       };
       turn();`,
      { eval: true, workerData: [targets, mask, lengths, text] },
    );
    await new Promise((resolve) => worker.once("message", resolve));
  });
  afterAll(async () => void (await worker.terminate()));
  useVariant(variant);

  test("another thread writes into targets, indices, lengths, masks and texts while calls read them", () => {
    guarded(variant, () => {
      const x = wave([SIZE, 4]);
      const sequence = wave([8, 8, 2]);
      const table = new Embedding(4, 8, { seed: 1 }).eval();
      const layer = new LSTM(2, 4, { seed: 1, bidirectional: true }).eval();
      const rows = table.stream({ batchSize: 8 });
      const convolution = new all.Conv1d(2, 3, 2, { seed: 1 }).eval();
      const norm = new all.BatchNorm1d(2).eval();
      const attention = new AdditiveAttention(2, 2, 3, { seed: 1 }).eval();
      const heads = new MultiheadAttention(2, 1, { seed: 1 }).eval();
      const model = new CharLM(new Vocabulary("ab"), { embeddingDim: 2, hiddenSize: 2, numLayers: 1, seed: 1 });
      const streams = new TextStreams(text, 2, 8);
      const onnx = { X: sequence, W: wave([1, 16, 2]), R: wave([1, 16, 4]) };
      const calls: (() => unknown)[] = [
        () => crossEntropy(x, { data: targets, shape: [SIZE] }),
        () => crossEntropy(x, { data: targets, shape: [SIZE] }, { labelSmoothing: 0.1, weight: wave([4]) }),
        () => nll(x, { data: targets, shape: [SIZE] }, { ignoreIndex: 5 }),
        () =>
          crossEntropy(
            x,
            { data: Int32Array.from({ length: SIZE }, () => 1), shape: [SIZE] },
            { lengths: lengths.subarray(0, 1) },
          ),
        () =>
          ctcLoss(
            wave([8, 8, 4]),
            { data: targets, shape: [8, 8] },
            { blank: 2, targetLengths: lengths.subarray(0, 8) },
          ),
        () => table.forward({ data: targets, shape: [SIZE] }),
        () => layer.forward(sequence, { lengths: lengths.subarray(0, 8) }),
        () => layer.forward(sequence, { lengths: { data: lengths.subarray(0, 8), shape: [8] } }),
        () => layer.forward(sequence, { mask: { data: mask, shape: [8, 8] } }),
        () => convolution.forward(sequence, { lengths: lengths.subarray(0, 8) }),
        () => new all.MaxOverTime().forward(sequence, { lengths: lengths.subarray(0, 8) }),
        () => norm.forward(sequence, { mask: { data: mask, shape: [8, 8] } }),
        () => rows.step(targets.subarray(0, 8)),
        () => ops.oneHot({ data: targets, shape: [SIZE] }, 4),
        () => ops.where({ data: targets, shape: [SIZE] }, 1, wave([SIZE])),
        () => attention.forward(wave([8, 2]), sequence, { mask: { data: mask, shape: [8, 8] } }),
        () => heads.forward(sequence, undefined, undefined, { lengths: lengths.subarray(0, 8), causal: true }),
        () => onnxRecurrent("LSTM", {}, { ...onnx, sequence_lens: { data: lengths.subarray(0, 8), shape: [8] } }),
        () => streams.window(1),
        () => model.evaluate(text, { batchSize: 2, seqLen: 8 }),
      ];
      const refusals = calls.map(() => 0);
      const passes = calls.map(() => 0);
      const untyped = new Set<string>();
      for (const end = Date.now() + 1500; Date.now() < end;) {
        calls.forEach((call, i) => {
          const error = errorOf(call);
          if (!isTyped(error)) untyped.add(String(error));
          if (error === undefined) passes[i]!++;
          else refusals[i]!++;
        });
      }
      expect([...untyped]).toEqual([]);
      // The thread did write while calls ran: of each kind that checks, some were refused.
      expect(refusals.reduce((a, b) => a + b)).toBeGreaterThan(0);
      expect(passes.reduce((a, b) => a + b)).toBeGreaterThan(0);
      for (const each of [rows, table, convolution, norm, layer, attention, heads, model]) each.dispose();
    });
  });
});

describe.each(variants)("%s build: the last byte of 4 GiB", (variant) => {
  useVariant(variant);

  test("layers have the same bits where their memory ends at the last byte of 4 GiB", () => {
    const { heap } = currentCore();
    const results = () => {
      const found: string[] = [];
      for (const dtype of ["f64", "f32"] as const) {
        const as = (x: Tensor): Tensor =>
          dtype === "f64" ? x : { data: Float32Array.from(x.data as Float64Array), shape: x.shape };
        for (const layer of [
          new LSTM(3, 5, { seed: 1, dtype, projSize: 2 }),
          new LSTM(3, 5, { seed: 1, dtype, layerNorm: true }),
          new GRU(3, 5, { seed: 1, dtype, bidirectional: true }),
          new GRU(3, 5, { seed: 1, dtype, resetAfter: false }),
          new RNN(3, 5, { seed: 1, dtype }),
        ]) {
          const { output } = layer.forward(as(wave([3, 3, 3])), { lengths: [3, 2, 1] });
          const { x } = layer.backward({ output });
          found.push(bitsOf(output.data), bitsOf(x.data));
          found.push(...layer.parameters().map(({ grad }) => bitsOf(grad.data)));
          layer.dispose();
        }
        const linear = new Linear(5, 7, { seed: 1, dtype });
        const { output } = linear.forward(as(wave([3, 5])));
        linear.backward({ output });
        new Adam(linear.parameters()).step();
        found.push(bitsOf(output.data), ...linear.parameters().map(({ value }) => bitsOf(value.data)));
        const { dLogits } = crossEntropy(output, { data: Int32Array.of(0, 6, 3), shape: [3] });
        found.push(bitsOf(dLogits.data));
        linear.dispose();
      }
      return found;
    };
    const expected = results();
    const ballast: number[] = [];
    const fill = (least: number) => {
      for (let size = 2 ** 31; size >= least; size /= 2) {
        for (let address; (address = tryAllocate(size)) !== undefined;) ballast.push(address);
      }
    };
    const tryAllocate = (size: number) => {
      const error = errorOf(() => void (last = heap.allocate(size, "ballast")));
      return error === undefined ? last : undefined;
    };
    let last = 0;
    fill(64);
    expect(heap.byteLength).toBe(2 ** 32);
    // Free the last mebibyte, up to the last byte.
    ballast.sort((a, b) => a - b);
    while (ballast.at(-1)! >= 2 ** 32 - 2 ** 20) heap.free(ballast.pop()!);
    try {
      expect(results()).toEqual(expected);
    } finally {
      for (const address of ballast) heap.free(address);
    }
  });
});

test("SECURITY.md: every function and every test of its table exists", () => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  const [, table = ""] = read("SECURITY.md").split("## Where numbers from outside become addresses");
  const rows = table.split("\n").filter((line) => line.startsWith("| ") && !/^\| (place|-)/.test(line));
  expect(rows.length).toBeGreaterThan(30);
  for (const row of rows) {
    const [, , , checks = "", tests = ""] = row.split(" | ").flatMap((cell, i) => (i === 0 ? ["", cell] : [cell]));
    const functions = [...checks.matchAll(/`([\w./-]+)`: (\w+)/g)];
    const names = [...tests.matchAll(/`([\w-]+\.test\.ts)`: "(.+?)"(?=;| *\||$)/g)];
    expect(functions.length, row).toBeGreaterThan(0);
    expect(names.length, row).toBeGreaterThan(0);
    for (const [, path, name] of functions) {
      expect(read(path!), `${path}: ${name}`).toMatch(new RegExp(`(^|[ #(])${name}(<[^>]*>)?(\\(| = |:)`, "m"));
    }
    for (const [, file, name] of names) {
      expect(read(testNamed(file!)), `${file}: ${name}`).toContain(`"${name}"`);
    }
  }
});
