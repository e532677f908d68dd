// saveTraining and loadTraining: an interrupted training gives the bits of one that was not, and loads whole or not at all.
import { describe, expect, test } from "vitest";
import {
  Adagrad,
  Adam,
  AdamW,
  CosineAnnealingLR,
  crossEntropy,
  DisposedError,
  Dropout,
  DtypeError,
  FormatError,
  GRU,
  Linear,
  LSTM,
  mse,
  Random,
  ReduceLROnPlateau,
  RMSprop,
  Sequential,
  SGD,
  ShapeError,
  StepLR,
  tensor,
  UnsupportedError,
  ValueError,
  type Optimizer,
  type Parameter,
  type Schedule,
  type Tensor,
} from "../../src/index.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { fit, loadTraining, saveTraining, type BatchLoss, type FitOptions, type Progress } from "../../src/train.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { echoBatches, Tagger } from "../helpers/tagger.js";
import "../helpers/bits.js";

const loss: BatchLoss = (output, y, { lengths }) => crossEntropy(output, y, { lengths });

const OPTIMIZERS: Record<string, (parameters: Parameter[]) => Optimizer> = {
  SGD: (parameters) => new SGD(parameters, { lr: 0.1, momentum: 0.9 }),
  Adam: (parameters) => new Adam(parameters, { lr: 0.02, amsgrad: true }),
  AdamW: (parameters) => new AdamW(parameters, { lr: 0.02 }),
  RMSprop: (parameters) => new RMSprop(parameters, { lr: 0.01, centered: true }),
  Adagrad: (parameters) => new Adagrad(parameters, { lr: 0.05 }),
};

const SCHEDULES: Record<string, (optimizer: Optimizer) => Schedule> = {
  StepLR: (optimizer) => new StepLR(optimizer, { stepSize: 1, gamma: 0.7 }),
  CosineAnnealingLR: (optimizer) => new CosineAnnealingLR(optimizer, { tMax: 3 }),
  ReduceLROnPlateau: (optimizer) => new ReduceLROnPlateau(optimizer, { patience: 0, factor: 0.5, threshold: 0.2 }),
};

/** Everything that a training is made of. */
function make(
  dtype: "f64" | "f32",
  seed: number,
  optimizerOf = OPTIMIZERS.Adam!,
  scheduleOf?: (of: Optimizer) => Schedule,
) {
  const model = new Tagger({ dtype, seed });
  const optimizer = optimizerOf(model.parameters());
  return { model, optimizer, schedule: scheduleOf?.(optimizer) };
}

type Parts = ReturnType<typeof make>;

/** Trains to the end, or for some steps. */
async function train(parts: Parts, given: Partial<FitOptions> = {}, steps = Infinity, seed = 5): Promise<Progress[]> {
  const { model, ...rest } = parts;
  const progress: Progress[] = [];
  for await (const each of fit(model, echoBatches(18, { seed }), { loss, epochs: 4, clipNorm: 1, ...rest, ...given })) {
    progress.push(each);
    if (progress.length === steps) break;
  }
  return progress;
}

function sameDicts(actual: Record<string, Tensor>, expected: Record<string, Tensor>): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, value] of Object.entries(actual)) expect(value).toHaveBits(expected[name]!);
}

function sameParts(actual: Parts, expected: Parts): void {
  sameDicts(actual.model.stateDict(), expected.model.stateDict());
  sameDicts(actual.optimizer.stateDict(), expected.optimizer.stateDict());
  expect(actual.optimizer.lr).toBe(expected.optimizer.lr);
  if (actual.schedule) sameDicts(actual.schedule.stateDict(), expected.schedule!.stateDict());
}

both("a training that goes on from a file, %s", (dtype) => {
  const STEPS = [1, 4, 5, 7, 10];

  test.each(Object.keys(SCHEDULES))(
    "has the bits of one that was not interrupted: dropout, shuffled buckets, %s",
    async (name) => {
      const whole = make(dtype, 1, OPTIMIZERS.Adam, SCHEDULES[name]);
      const expected = await train(whole);
      for (const steps of STEPS) {
        const first = make(dtype, 1, OPTIMIZERS.Adam, SCHEDULES[name]);
        const { position } = (await train(first, {}, steps)).at(-1)!;
        const bytes = saveTraining({ ...first, position });
        const second = make(dtype, 2, OPTIMIZERS.Adam, SCHEDULES[name]); // other weights, another seed of everything
        const loaded = loadTraining(bytes, second);
        expect(loaded.position).toEqual(position);
        const rest = await train(second, { position: loaded.position }, Infinity, 77);
        expect(rest).toEqual(expected.slice(steps));
        sameParts(second, whole);
      }
    },
  );

  test.each(Object.keys(OPTIMIZERS))("has the bits of one that was not interrupted: %s", async (name) => {
    const whole = make(dtype, 1, OPTIMIZERS[name]);
    const expected = await train(whole);
    const first = make(dtype, 1, OPTIMIZERS[name]);
    const { position } = (await train(first, {}, 7)).at(-1)!;
    const second = make(dtype, 2, OPTIMIZERS[name]);
    second.optimizer.lr = 9; // the file's is taken
    const loaded = loadTraining(saveTraining({ ...first, position }), second);
    expect(await train(second, { position: loaded.position })).toEqual(expected.slice(7));
    sameParts(second, whole);
  });

  test("has the bits of one that was not interrupted: early stopping, with the best weights in the file", async () => {
    const given = () => ({ validation: echoBatches(5), earlyStopping: { patience: 1, minDelta: 0.02 }, epochs: 40 });
    const whole = make(dtype, 1);
    const expected = await train(whole, given());
    expect(expected.length).toBeLessThan(40 * 5);
    for (const steps of [8, expected.length - 2, expected.length]) {
      const first = make(dtype, 1);
      const { position } = (await train(first, given(), steps)).at(-1)!;
      const second = make(dtype, 2);
      const loaded = loadTraining(saveTraining({ ...first, position }), second);
      await train(second, { ...given(), position: loaded.position });
      sameParts(second, whole);
    }
  });
});

describe("the file", () => {
  const training = () => make("f32", 1, OPTIMIZERS.Adam, SCHEDULES.StepLR);

  test("is safetensors: weights, state, schedule, learning rates, random states", async () => {
    const parts = training();
    await train(parts, {}, 2);
    const random = { mine: new Random(3), other: new Random(4) };
    const { tensors, metadata } = readSafetensors(
      saveTraining({ ...parts, random, position: { a: [1, "b", null, true] } }),
    );
    expect(metadata).toEqual({ format: "wasm-rnn training", version: "1", position: '{"a":[1,"b",null,true]}' });
    const names = Object.keys(tensors);
    expect(names.filter((name) => !/^(model|optimizer|schedule)\./.test(name)).sort()).toEqual(
      ["layers.dropout.random", "layers.lstm.random", "lr", "random.mine", "random.other"].sort(),
    );
    expect(tensors["model.linear.weight"]).toHaveBits(parts.model.linear.stateDict().weight!);
    expect(tensors["optimizer.0.exp_avg"]).toHaveBits(parts.optimizer.stateDict()["0.exp_avg"]!);
    expect(tensors["schedule.last_epoch"]).toHaveBits(parts.schedule!.stateDict().last_epoch!);
    expect([...new Uint32Array(tensors["random.mine"]!.data)]).toEqual([...random.mine.state]);
  });

  test("is the same for the same state, and saving changes nothing", async () => {
    const parts = training();
    await train(parts, {}, 2);
    const first = saveTraining(parts);
    expect(saveTraining(parts)).toEqual(first);
    const copy = make("f32", 9, OPTIMIZERS.Adam, SCHEDULES.StepLR);
    expect(loadTraining(first, copy)).toEqual({ position: undefined });
    expect(saveTraining(copy)).toEqual(first);
  });

  test("before the first step is one of a fresh optimizer", async () => {
    const bytes = saveTraining(training());
    const second = training();
    await train(second, {}, 3);
    loadTraining(bytes, second);
    expect(second.optimizer.stateDict()).toEqual({});
    expect(saveTraining(second)).toEqual(bytes);
  });

  test("holds random states of layers, alone and in models, and those of the caller", () => {
    const model = new LSTM(2, 3, { numLayers: 2, dropout: 0.5, seed: 1 });
    const optimizer = new SGD(model.parameters(), { lr: 0.1 });
    const x = tensor(new Float64Array(10).fill(1), [5, 1, 2]);
    const random = new Random(8);
    const bytes = saveTraining({ model, optimizer, random });
    const expected = [model.forward(x).output, model.forward(x).output];
    const drawn = random.uint32();
    loadTraining(bytes, { model, optimizer, random });
    for (const output of expected) expect(model.forward(x).output).toHaveBits(output);
    expect(random.uint32()).toBe(drawn);
    expect(Object.keys(readSafetensors(bytes).tensors)).toEqual(expect.arrayContaining(["layers.random", "random"]));
  });

  test.each([LSTM, GRU])("holds the states that stateful layers carry over to the next pass: %o", (Kind) => {
    const make = (seed: number) => {
      const model = new Sequential([
        new Kind(2, 3, { numLayers: 2, stateful: true, seed }),
        new Linear(3, 1, { seed }),
      ]);
      return { model, optimizer: new SGD(model.parameters(), { lr: 0.1 }) };
    };
    const [parts, other] = [make(1), make(2)];
    const x = tensor(new Float64Array(10).fill(0.5), [5, 1, 2]);
    const fresh = saveTraining(parts);
    const first = parts.model.forward(x).output;
    const bytes = saveTraining(parts);
    const second = parts.model.forward(x).output;
    expect(second).not.toEqual(first);
    loadTraining(bytes, other);
    expect(other.model.forward(x).output).toHaveBits(second);
    loadTraining(fresh, other);
    expect(other.model.forward(x).output).toHaveBits(first);
    const before = saveTraining(other);
    const { tensors, metadata } = readSafetensors(bytes);
    const misfit = { ...tensors, "carried.0.h0": tensor([[1]]) };
    refuses(() => loadTraining(writeSafetensors(misfit, metadata), other), ShapeError, "h0");
    const stray = { ...tensors, "carried.1.h0": tensor([[1]]) };
    refuses(() => loadTraining(writeSafetensors(stray, metadata), other), ValueError, "1.h0");
    expect(saveTraining(other)).toEqual(before);
  });

  test("holds random states of layers in lists and records of layers, at any depth", () => {
    const inner = { layers: { drop: new Dropout(0.5, { seed: 1 }) }, forward: () => 0 };
    const linear = new Linear(1, 1, { seed: 1 });
    const model = {
      layers: [inner, linear, inner],
      stateDict: () => linear.stateDict(),
      loadStateDict: (dict: Record<string, Tensor>) => linear.loadStateDict(dict),
    };
    const bytes = saveTraining({ model, optimizer: new SGD(linear.parameters(), { lr: 1 }) });
    const names = Object.keys(readSafetensors(bytes).tensors);
    expect(names.filter((name) => name.startsWith("layers"))).toEqual(["layers.0.drop.random"]);
  });

  test("positions come back as they were: numbers, texts, lists, records, tensors", () => {
    const parts = training();
    const trip = (position: unknown) => loadTraining<unknown>(saveTraining({ ...parts, position }), parts).position;
    const position = {
      numbers: [0.1, -1e300, 5e-324],
      nothing: null,
      flags: [true, false],
      "": { "\u{1f600}": "x\n" },
      tensors: [tensor([1, NaN]), { inner: tensor([[3]], undefined, "f32") }],
    };
    expect(trip(position)).toEqual(position);
    expect(trip({ a: undefined })).toEqual({});
    expect(trip(0)).toBe(0);
    const own = JSON.parse('{"__proto__":{"polluted":1}}') as object;
    expect(Object.getOwnPropertyNames(trip(own))).toEqual(["__proto__"]);
  });
});

describe("refused, with everything as it was", () => {
  const training = () => make("f64", 1, OPTIMIZERS.Adam, SCHEDULES.StepLR);
  const good = training();
  const random = new Random(4);

  /** `bytes` with its content changed. */
  function changed(change: (content: ReturnType<typeof readSafetensors>) => void): Uint8Array {
    const content = readSafetensors(saveTraining({ ...good, random, position: { a: tensor([1]) } }));
    change(content);
    return writeSafetensors(content.tensors, content.metadata);
  }

  async function keeps(bytes: Uint8Array, kind: Parameters<typeof refuses>[1], ...parts: string[]): Promise<void> {
    const own = training();
    await train(own, {}, 3);
    const ownRandom = new Random(5);
    const before = saveTraining({ ...own, random: ownRandom });
    refuses(() => loadTraining(bytes, { ...own, random: ownRandom }), kind, ...parts);
    expect(saveTraining({ ...own, random: ownRandom })).toEqual(before);
  }

  test("files that are none, or damaged", async () => {
    await keeps(new Uint8Array(9), FormatError);
    await keeps(writeSafetensors({}), FormatError, "format", "wasm-rnn training");
    await keeps(changed(({ metadata }) => (metadata.version = "2")), FormatError, "version"); // prettier-ignore
    await keeps(changed(({ metadata }) => (metadata.position = "{")), FormatError, "position"); // prettier-ignore
    await keeps(changed(({ tensors }) => delete tensors["position.0"]), FormatError, "position"); // prettier-ignore
    await keeps(changed(({ tensors }) => delete tensors.lr), FormatError, "lr"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors.lr = tensor([1, 2]))), ValueError, "optimizer", "1 groups", "2"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors.lr = tensor([-1]))), ValueError, "lr"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors.random = tensor([1, 2, 3, 4]))), FormatError, "random"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors.random = tensor([0, 0, 0, 0], [4], "i32"))), ValueError, "state"); // prettier-ignore
    await keeps(changed(({ tensors }) => delete tensors.random), ValueError, "random", "which the file has not"); // prettier-ignore
    await keeps(changed(({ tensors }) => delete tensors["layers.lstm.random"]), ValueError, "layers.lstm.random"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors["random.b"] = tensors.random!)), ValueError, "random.b"); // prettier-ignore
  });

  test("what does not fit, in whichever part", async () => {
    await keeps(changed(({ tensors }) => delete tensors["model.linear.bias"]), ShapeError, "bias"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors["model.linear.bias"] = tensor([1]))), ShapeError, "bias"); // prettier-ignore
    await keeps(changed(({ tensors }) => (tensors["optimizer.0.step"] = tensor(1))), ShapeError, "0.exp_avg"); // prettier-ignore
    await keeps(changed(({ tensors }) => delete tensors["schedule.last_epoch"]), ShapeError, "last_epoch"); // prettier-ignore
  });

  test("a schedule too many, or too few", () => {
    const bytes = saveTraining(good);
    const { schedule, ...without } = training();
    refuses(() => loadTraining(bytes, without), ValueError, "schedule");
    refuses(
      () => loadTraining(saveTraining(without), { ...without, schedule }),
      ValueError,
      "schedule",
      "which the file has not",
    );
  });

  test("arguments that cannot be", () => {
    const any = (value: unknown) => value as never;
    const { model, optimizer } = good;
    refuses(() => saveTraining(any(undefined)), ValueError, "saveTraining");
    refuses(() => saveTraining({ model, optimizer: any({}) }), ValueError, "optimizer");
    refuses(() => saveTraining({ model: any({ stateDict: () => 0 }), optimizer }), ValueError, "model");
    refuses(() => saveTraining({ model, optimizer, schedule: any({}) }), ValueError, "schedule");
    refuses(() => saveTraining({ model, optimizer, random: any(1) }), ValueError, "random");
    refuses(() => saveTraining({ model, optimizer, random: { a: any(1) } }), ValueError, "random.a");
    refuses(() => saveTraining(any({ model, optimizer, optimiser: 1 })), UnsupportedError, "optimiser");
    refuses(() => loadTraining(any("x"), { model, optimizer }), DtypeError, "bytes");
    refuses(
      () => loadTraining(saveTraining({ model, optimizer }), any({ model, optimizer, position: 1 })),
      UnsupportedError,
    );
    const positions: [unknown, string][] = [
      [NaN, "NaN"],
      [{ a: Infinity }, "position.a"],
      [[1n], "position[0]"],
      [{ f: () => 0 }, "position.f"],
      [new Map(), "Map"],
      [new Date(), "Date"],
      [{ a: { data: new Float64Array(2), shape: [3] } }, "position.a"],
    ];
    for (const [position, word] of positions) {
      expect(() => saveTraining({ model, optimizer, position }), word).toThrow(word);
    }
    refuses(() => saveTraining({ model, optimizer, position: { $tensor: 0 } }), UnsupportedError, "$tensor");
    const circle: unknown[] = [];
    circle.push(circle);
    refuses(() => saveTraining({ model, optimizer, position: circle }), ValueError, "deeper nesting");
  });

  test("disposed parts", () => {
    const model = new Linear(1, 1, { seed: 1 });
    const optimizer = new SGD(model.parameters(), { lr: 1 });
    optimizer.minimize(() => mse(model.forward(tensor([[1]])).output, tensor([[1]])));
    const bytes = saveTraining({ model, optimizer });
    model.dispose();
    refuses(() => saveTraining({ model, optimizer }), DisposedError);
    refuses(() => loadTraining(bytes, { model, optimizer }), DisposedError);
  });
});
