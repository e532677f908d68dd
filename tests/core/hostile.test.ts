// Input that changes while it is read, comes from another realm, or is not what its type says: each is read once, refused
// with a typed error that names it, and changes nothing. Fuzzing of all exports is in tests/fuzz.
import vm from "node:vm";
import { describe, expect, test } from "vitest";
import {
  Adam,
  Adagrad,
  AdamW,
  CharLM,
  clipGradNorm,
  crossEntropy,
  Dropout,
  DisposedError,
  DtypeError,
  Embedding,
  GRU,
  GRUCell,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  mse,
  OutOfMemoryError,
  RMSprop,
  RNNCell,
  SGD,
  ShapeError,
  StateError,
  tensor,
  UnsupportedError,
  ValueError,
  Vocabulary,
  type CellCache,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import { onnxRecurrent } from "../../src/onnx.js";
import { fromRtneural } from "../../src/audio.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { patient } from "../helpers/clock.js";
import { heapOf, wave } from "../helpers/tensors.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

const weightsOf = (layer: { parameters(): Parameter[] }) => layer.parameters().map(({ value }) => [...value.data]);

/** Numbers of which the one at `place` is a getter, and runs `body` with the count of its reads. */
function withGetter(numbers: number[], place: number, body: (reads: number) => unknown): number[] {
  let reads = 0;
  Object.defineProperty(numbers, place, { get: () => body(++reads) });
  return numbers;
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("a step whose input disposes the stream writes to no other layer", () => {
    const makers = [
      () => new LSTM(3, 8, { seed: 1 }).stream(),
      () =>
        fromRtneural({
          in_shape: [null, null, 3],
          layers: [{ type: "dense", shape: [null, null, 1], activation: "", weights: [[[1], [2], [3]], [0]] }],
        }),
    ];
    const expected = weightsOf(new Linear(3, 4, { seed: 5 }));
    for (const make of makers) {
      const stream = make();
      const others: Linear[] = [];
      let reads = 0;
      const x = withGetter([0.1, 0.2, 0.3], 1, (count) => {
        reads = count;
        stream.dispose();
        for (let i = 0; i < 40; i++) others.push(new Linear(3, 4, { seed: 5 }));
        return 7777;
      });
      refuses(() => stream.step(x), DisposedError);
      expect(reads).toBe(1);
      expect(others.map(weightsOf)).toEqual(others.map(() => expected));
      for (const other of others) other.dispose();
    }
  });

  test("an array that grows, or gives another kind of value at a later read", () => {
    using stream = new LSTM(3, 4, { seed: 1 }).stream();
    const before = [...stream.state.h.data];
    let reads = 0;
    const growing = new Proxy([1, 2, 3], {
      get: (x, name): unknown => (name === "length" ? 3 + 1000 * reads++ : Reflect.get(x, name)),
    });
    expect(stream.step(growing)).toHaveLength(4);
    stream.reset();
    const expected = [...stream.step([1, 2, 3])];
    stream.reset();
    expect([...stream.step(withGetter([1, 2, 3], 1, (count) => (count === 1 ? 2 : 2n)))]).toEqual(expected);
    stream.reset();
    refuses(() => stream.step(withGetter([1, 2, 3], 1, () => 2n)), DtypeError, "x[1]: got bigint 2, expected a number");
    refuses(
      () => stream.step(withGetter([1, 2, 3], 1, () => stream.step([1, 2, 3]))),
      StateError,
      "a call from a getter",
    );
    expect([...stream.state.h.data]).toEqual(before);
  });

  test("nothing within reach of a program leads to an address in wasm memory", () => {
    using lstm = new LSTM(3, 4, { seed: 1 });
    using cell = new LSTMCell(3, 4, { seed: 1 });
    using stream = lstm.stream();
    using victim = new Linear(8, 8, { seed: 2 });
    const before = weightsOf(victim);
    const { cache } = cell.forward(wave([1, 3], "f64"));
    const { value } = lstm.parameters()[0]!;
    type Constructor = new (...args: unknown[]) => unknown;
    const again = (object: object, ...args: unknown[]) => new (object.constructor as Constructor)(...args);
    const forged = { pointer: 1024, shape: [4, 4], dtype: "f64", data: new Float64Array(16) };
    refuses(() => again(value, forged), DtypeError, "tensor");
    refuses(() => again(stream, { arena: {}, checkAlive() {} }, {}, [], {}), StateError, "layer.stream()");
    refuses(() => again(cache, cell, { disposed: false }, {}), StateError, "cell.forward()");
    const fake = Object.create(Object.getPrototypeOf(cache) as object) as CellCache;
    refuses(() => cell.backward({ h: wave([1, 4], "f64") }, fake), DtypeError, "cache");
    refuses(() => cell.backward({}, Object.assign(fake, { owner: cell, pass: {} })), DtypeError, "cache");
    refuses(() => new SGD([{ name: "w", value: forged, grad: forged }]), ValueError, "parameters[0]");
    for (const object of [lstm, cell, stream, value, cache, new Adam(victim.parameters())]) {
      const names = new Set<string>();
      for (let level: object = object; level !== Object.prototype; level = Object.getPrototypeOf(level) as object) {
        for (const name of Object.getOwnPropertyNames(level)) names.add(name);
      }
      for (const name of ["arena", "pointer", "core", "heap", "pass", "record", "replay", "addParameters", "update"]) {
        expect(names).not.toContain(name);
      }
    }
    for (const [name, size] of [
      ["inputSize", 100],
      ["hiddenSize", 100],
      ["dtype", "f32"],
      ["numLayers", 9],
    ] as const) {
      expect(() => Object.assign(lstm, { [name]: size })).toThrow(TypeError);
    }
    expect(weightsOf(victim)).toEqual(before);
  });

  test("a state_dict that detaches an entry while it is read changes nothing", () => {
    using layer = new LSTM(2, 2, { seed: 1 });
    const before = weightsOf(layer);
    const dict: Record<string, Tensor> = new LSTM(2, 2, { seed: 2 }).stateDict();
    const detach = (name: string) => {
      const { buffer } = dict[name]!.data;
      if (buffer.byteLength > 0) structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
    };
    const { data, shape } = dict.bias_hh_l0!;
    // An entry that was read already is a copy: the load succeeds. One that is yet to be read is refused.
    const late = { ...dict, bias_hh_l0: { data, get shape() { return detach("weight_hh_l0"), shape; } } }; // prettier-ignore
    layer.loadStateDict(late);
    expect(weightsOf(layer)).toEqual(weightsOf(new LSTM(2, 2, { seed: 2 })));
    layer.loadStateDict(new LSTM(2, 2, { seed: 1 }).stateDict());
    const early = { ...new LSTM(2, 2, { seed: 2 }).stateDict() };
    const first = early.weight_ih_l0!;
    early.weight_ih_l0 = {
      data: first.data,
      get shape() {
        const { buffer } = early.bias_hh_l0!.data;
        structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
        return first.shape;
      },
    };
    refuses(() => layer.loadStateDict(early), ShapeError, 'dict["bias_hh_l0"]', "detached");
    expect(weightsOf(layer)).toEqual(before);
  });

  test("an optimizer's state that detaches an entry while it is read changes nothing", () => {
    using layer = new Linear(2, 3, { seed: 1 });
    const optimizer = new Adam(layer.parameters());
    layer.parameters().forEach(({ grad }) => grad.data.fill(0.5));
    optimizer.step();
    const before = optimizer.stateDict();
    const dict = optimizer.stateDict();
    for (const entry of Object.values(dict)) if (entry.data.length > 1) entry.data.fill(9);
    const first = dict["0.exp_avg"]!;
    dict["0.exp_avg"] = {
      data: first.data,
      get shape() {
        const { buffer } = dict["1.exp_avg_sq"]!.data;
        structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
        return first.shape;
      },
    };
    refuses(() => optimizer.loadStateDict(dict), ShapeError, "1.exp_avg_sq");
    expect(optimizer.stateDict()).toEqual(before);
  });

  test("cells save nothing in inference mode", () => {
    for (const cell of [new RNNCell(8, 16), new LSTMCell(8, 16), new GRUCell(8, 16)]) {
      cell.eval();
      const heap = heapOf(cell);
      const x = wave([2, 8], "f64");
      const expected = cell.train().forward(x);
      cell.eval();
      const before = heap.bytesUsed;
      const caches = Array.from({ length: 100 }, () => cell.forward(x));
      expect(heap.bytesUsed).toBe(before);
      expect(caches[99]!.h).toEqual(expected.h);
      const [cache] = [caches[0]!.cache];
      refuses(() => cell.backward({ h: expected.h }, cache), StateError, "inference mode");
      expected.cache.dispose();
      cell.dispose();
    }
  });

  test("resetState sets the states of a stateful layer", () => {
    using lstm = new LSTM(3, 4, { seed: 1, stateful: true });
    using plain = new LSTM(3, 4, { seed: 1 });
    const x = wave([5, 2, 3], "f64");
    const [h0, c0] = [wave([1, 2, 4], "f64", 1), wave([1, 2, 4], "f64", 2)];
    lstm.forward(x);
    lstm.resetState({ h0, c0 });
    expect(lstm.forward(x)).toEqual(plain.forward(x, { h0, c0 }));
    lstm.resetState();
    expect(lstm.forward(x)).toEqual(plain.forward(x));
    const state = lstm.forward(x);
    lstm.resetState({ h0: state.hn, c0: state.cn });
    refuses(() => lstm.resetState({ h0: wave([1, 2, 5], "f64") }), ShapeError, "h0: got [1, 2, 5], expected [1, N, 4]");
    refuses(
      () => lstm.resetState({ h0, c0: wave([1, 3, 4], "f64") }),
      ShapeError,
      "c0: got [1, 3, 4], expected [1, 2, 4]",
    );
    refuses(() => lstm.resetState({ H0: h0 } as object), UnsupportedError, "did you mean h0?");
    expect(lstm.forward(x)).toEqual(plain.forward(x, { h0: state.hn, c0: state.cn })); // refusals changed nothing
    refuses(() => plain.resetState({ h0, c0 }), StateError, "stateful");
    using gru = new GRU(3, 4, { seed: 1, stateful: true, bidirectional: true });
    gru.resetState({ h0: wave([2, 4], "f64") });
    expect(gru.forward(wave([5, 3], "f64")).hn.shape).toEqual([2, 4]);
  });

  test("typed arrays and arrays of another realm are accepted like this realm's", () => {
    const foreign = <T>(code: string): T => vm.runInNewContext(code) as T;
    const numbers = "0.1, 0.2, 0.3, 0.4, 0.5, 0.6";
    const x = { data: foreign<Float64Array>(`Float64Array.of(${numbers})`), shape: foreign<number[]>("[2, 1, 3]") };
    const own = tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [2, 1, 3]);
    const make = { seed: 1 };
    expect(new LSTM(3, 2, make).forward(x)).toEqual(new LSTM(3, 2, make).forward(own));
    expect(new Linear(3, 2, make).forward(x)).toEqual(new Linear(3, 2, make).forward(own));
    expect(new LayerNorm(3).forward(x)).toEqual(new LayerNorm(3).forward(own));
    expect(new Dropout(0.5, make).forward(x)).toEqual(new Dropout(0.5, make).forward(own));
    expect(mse(x, own)).toEqual(mse(own, own));
    expect(tensor(x.data)).toEqual(tensor(own.data));
    expect(tensor(foreign<Float32Array>("Float32Array.of(1, 2)")).data).toEqual(Float32Array.of(1, 2));
    expect(tensor(foreign<number[][]>("[[1, 2], [3, 4]]"))).toEqual(tensor([[1, 2], [3, 4]])); // prettier-ignore
    const indices = { data: foreign<Int32Array>("Int32Array.of(2, 0)"), shape: [2] };
    const ours = { data: Int32Array.of(2, 0), shape: [2] };
    expect(new Embedding(3, 2, make).forward(indices)).toEqual(new Embedding(3, 2, make).forward(ours));
    const logits = tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [2, 3]);
    expect(crossEntropy(logits, indices)).toEqual(crossEntropy(logits, ours));
    const lengths = foreign<Int32Array>("Int32Array.of(1)");
    expect(new GRU(3, 2, make).forward(x, { lengths })).toEqual(new GRU(3, 2, make).forward(own, { lengths: [1] }));
    expect([...new GRU(3, 2, make).stream().step(foreign("Float32Array.of(1, 2, 3)"))]).toEqual([
      ...new GRU(3, 2, make).stream().step([1, 2, 3]),
    ]);
    const file = writeSafetensors({ x: own });
    const other = vm.runInNewContext("Uint8Array.from(bytes)", { bytes: [...file] }) as Uint8Array;
    expect(readSafetensors(other)).toEqual(readSafetensors(file));
    using layer = new Linear(3, 2, make);
    layer.loadStateDict({ weight: { data: x.data, shape: [2, 3] }, bias: tensor([1, 2]) });
    expect([...layer.parameters()[0]!.value.data]).toEqual([...own.data]);
  });

  test("an OutOfMemoryError says how to free memory", () => {
    using layer = new Linear(2, 2);
    expect(weightsOf(layer)).toHaveLength(2);
    refuses(() => new LSTM(30_000, 30_000), OutOfMemoryError, "dispose()");
  });
});

test("a list whose length is a lie is refused at once", () => {
  const start = performance.now();
  for (const Kind of [SGD, Adam, AdamW, RMSprop, Adagrad]) {
    refuses(() => new Kind(Object.assign([], { length: 2 ** 31 })), ValueError, "2147483648");
    refuses(
      () => new Kind([{ params: Object.assign([], { length: 2 ** 32 - 1 }) }]),
      ValueError,
      "parameters[0].params",
    );
  }
  refuses(() => clipGradNorm(Object.assign([], { length: 2 ** 31 }), 1), ValueError, "parameters");
  expect(performance.now() - start).toBeLessThan(patient(1000));
});

test("errors show at most 200 characters of a value, and no control characters", () => {
  const long = "\u001b[2J\u202e\u0007\n".repeat(1_000_000);
  const calls = [
    () => new LSTM(2, 3, { [long]: 1 }),
    () => new LSTM(2, 3, { dtype: long as "f32" }),
    () => new Linear(2, 3).loadStateDict({ [long]: tensor([1]) }),
    () => new Vocabulary("a").encode(long),
    () => new CharLM(new Vocabulary("a"), { cell: long as "LSTM" }),
    () => tensor(Array.from({ length: 1e5 }, () => 1), Array.from({ length: 60 }, () => 7)), // prettier-ignore
    () => onnxRecurrent(long as "LSTM", {}, {} as never),
    () =>
      readSafetensors(writeSafetensors({ x: tensor([1]) }, { [`a${long.slice(0, 1000)}`]: 1 as unknown as string })),
    () => new ShapeError(long, long, long).message as unknown,
  ].map((call) => () => {
    const result = call();
    if (typeof result === "string") throw new ShapeError(long, long, long);
  });
  for (const call of calls) {
    let message = "";
    try {
      call();
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).not.toBe("");
    expect(message.length).toBeLessThan(1000);
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});

test("values that cannot become a string are described", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const values = [
    Symbol("s"),
    Object.create(null),
    proxy,
    5n,
    { toString: null },
    Object.create(Float32Array.prototype),
  ];
  using layer = new Linear(2, 3);
  for (const value of values as never[]) {
    refuses(() => new LSTM(value, 3), ShapeError, "inputSize");
    refuses(() => new LSTM(2, 3, { dtype: value }), ValueError, "dtype");
    refuses(() => layer.forward({ data: value, shape: [2] }), DtypeError, "x");
    refuses(() => layer.forward({ data: new Float64Array(2), shape: [value] }), ShapeError, "x");
    if (value === proxy) continue; // reading it throws, as it says
    refuses(() => mse(value, value), DtypeError, "prediction");
    refuses(() => tensor([value]), DtypeError, "values");
  }
});

test("unknown options suggest the nearest known one", () => {
  refuses(() => new LSTM(2, 3, { num_layers: 2 } as object), UnsupportedError, "num_layers", "did you mean numLayers?");
  refuses(() => new LSTM(2, 3, { batchfirst: true } as object), UnsupportedError, "did you mean batchFirst?");
  refuses(
    () => new SGD(new Linear(1, 1).parameters(), { momentun: 1 } as object),
    UnsupportedError,
    "did you mean momentum?",
  );
  expect(() => new LSTM(2, 3, { colour: 2 } as object)).not.toThrow(/did you mean/);
  expect(() => new LSTM(2, 3, { colour: 2 } as object)).toThrow(UnsupportedError);
});

test("a live view says why it cannot be posted, and what to post instead", () => {
  using layer = new Linear(2, 3);
  const { value } = layer.parameters()[0]!;
  expect(() => structuredClone(value)).toThrow(/post \{ data: x\.data\.slice\(\), shape: x\.shape \}/);
  expect(structuredClone({ data: value.data.slice(), shape: value.shape })).toEqual(layer.stateDict().weight);
});
