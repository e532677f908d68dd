// Steps cut into shards: what is added and averaged, in which order, and that a result depends on the job alone.
import { describe, expect, test } from "vitest";
import {
  Adam,
  BatchNorm1d,
  CharLM,
  crossEntropy,
  FormatError,
  Linear,
  mse,
  Sequential,
  ShapeError,
  SGD,
  StateError,
  tensor,
  ValueError,
  Vocabulary,
  type Tensor,
} from "../../src/index.js";
import { modelTask, shardBatches, trainShards, type Json, type ShardedProgress } from "../../src/cluster.js";
import { batches } from "../../src/train.js";
import { charLMShards, charLMTask } from "../../src/train/shard-tasks.js";
import { ShardedTrainer } from "../../src/train/sharded-trainer.js";
import {
  InProcess,
  ShardRunner,
  shardSeed,
  type ShardJob,
  type ShardResult,
  type Transport,
} from "../../src/train/shards.js";
import { DEFAULTS, isSettings, type Settings } from "../../src/train/settings.js";
import { Trainer } from "../../src/train/trainer.js";
import { testBoth } from "../helpers/both.js";
import { echoBatches, Tagger } from "../helpers/tagger.js";

const TEXT = "the whale and the old sea, and the ship. ".repeat(12);
const vocabulary = Vocabulary.fromText(TEXT);
const codes = vocabulary.encode(TEXT);

const SMALL: Settings = {
  ...DEFAULTS,
  ...{ hidden: 6, layers: 2, embedding: 4, seq: 5, batch: 6, epochs: 2, clip: 0.5, validation: 0.1, evalEvery: 11 },
};

const inProcess = () => new InProcess([charLMTask]);

/** Trains to the end, or for some rounds. */
async function train<T extends Trainer>(trainer: T, rounds = Infinity, transport: Transport = inProcess()): Promise<T> {
  if (trainer instanceof ShardedTrainer) trainer.transport = transport;
  for (let i = 0; i < rounds && !trainer.finished; i++) await trainer.advanceRound();
  return trainer;
}

const make = (settings: Partial<Settings>, stepsPerJob?: number) =>
  new ShardedTrainer({ ...SMALL, ...settings }, vocabulary, codes, { stepsPerJob });

/** Everything that a training has come to. */
const stateOf = (trainer: Trainer) => ({
  weights: trainer.model.stateDict(),
  optimizer: trainer.optimizer.stateDict(),
  state: trainer.model.state,
  losses: trainer.history.train,
  more: trainer.saveMore(),
});

/** Brings jobs in another order and as copies, and each to a computer of its own. */
const scattered: Transport = {
  run(jobs) {
    const results = new Map<ShardJob, ShardResult>();
    for (const job of [...jobs].reverse()) {
      const runner = new ShardRunner([charLMTask]);
      runner.run(structuredClone(job)); // once for nothing
      results.set(job, structuredClone(runner.run(structuredClone(job))));
      runner.dispose();
    }
    return Promise.resolve(jobs.map((job) => results.get(job)!));
  },
  close: () => Promise.resolve(),
};

describe.each(["f32", "f64"] as const)("a character model in %s", (dtype) => {
  test.each([1, 4])("of one shard, %i steps a job, has the bits of a training as a whole", async (stepsPerJob) => {
    const whole = await train(new Trainer({ ...SMALL, dtype }, vocabulary, codes));
    expect(stateOf(await train(make({ dtype }, stepsPerJob)))).toEqual(stateOf(whole));
  });

  test.each([{ shards: 3 }, { shards: 2, localSteps: 4 }, { shards: 2, localSteps: 4, outerMomentum: 0.9 }])(
    "of %o has the same bits wherever shards are computed",
    async (cut) => {
      const one = await train(make({ dtype, ...cut }));
      expect(stateOf(await train(make({ dtype, ...cut }), Infinity, scattered))).toEqual(stateOf(one));
      expect(one.history.train.at(-1)!).toBeLessThan(one.history.train[0]! - 0.04);
    },
  );
});

test("gradients of shards are those of the whole batch, up to rounding", async () => {
  const whole = await train(new Trainer({ ...SMALL, dtype: "f64" }, vocabulary, codes), 5);
  const cut = await train(make({ dtype: "f64", shards: 3 }), 5);
  for (const [name, { data }] of Object.entries<Tensor>(cut.model.stateDict())) {
    data.forEach((number, i) => expect(number).toBeCloseTo(whole.model.stateDict()[name]!.data[i]!, 9));
  }
  cut.history.train.forEach((loss, i) => expect(loss).toBeCloseTo(whole.history.train[i]!, 12));
});

test("a saved training goes on with the same bits", async () => {
  const cut = { shards: 2, localSteps: 4, outerMomentum: 0.5 };
  const whole = await train(make(cut));
  const first = await train(make(cut), 3);
  const second = make(cut);
  second.model.loadStateDict(first.model.stateDict());
  second.restoreMore(first.saveMore());
  second.history.train.push(...first.history.train);
  expect(stateOf(await train(second))).toEqual(stateOf(whole));

  const saved = first.saveMore();
  const { ["shards.1.state.h"]: _, ...rest } = saved;
  expect(() => make(cut).restoreMore(rest)).toThrow(FormatError);
  expect(() => make({ shards: 3, localSteps: 4 }).restoreMore(saved)).toThrow(FormatError);
});

test("rounds end with an epoch, before an evaluation, and at the end", async () => {
  const trainer = make({ shards: 2, localSteps: 4 });
  trainer.transport = inProcess();
  const ends: number[] = [];
  while (!trainer.finished) {
    await trainer.advanceRound();
    ends.push(trainer.step);
  }
  const { stepsPerEpoch } = trainer;
  expect([stepsPerEpoch, trainer.totalSteps]).toEqual([14, 28]);
  expect(ends).toEqual([4, 8, 11, 14, 18, 22, 26, 28]);
});

describe("local steps", () => {
  test("average what each shard comes to by itself", async () => {
    const { data, setup } = charLMShards(new CharLM(vocabulary, { ...sizes(), seed: 3 }), codes, {
      batch: 4,
      seq: 5,
      shards: 2,
    });
    const weights = new CharLM(vocabulary, { ...sizes(), seed: 3 }).stateDict();
    const ends = data.map(({ codes: own }) => {
      const model = new CharLM(vocabulary, { ...sizes(), seed: 3 });
      const optimizer = new Adam(model.parameters(), { lr: 0.01 });
      const length = (own!.data.length - 1) / 2;
      for (let start = 0; start < 15; start += 5) {
        const at = (offset: number): Tensor => ({
          data: Int32Array.from(
            { length: 10 },
            (_, i) => own!.data[(i % 2) * length + start + offset + Math.floor(i / 2)]!,
          ),
          shape: [5, 2],
        });
        model.trainStep(at(0), at(1), optimizer, { clip: 1 });
      }
      return model.stateDict();
    });
    const options = {
      setup,
      data,
      batches: 3,
      epochs: 1,
      weights,
      optimizer: { kind: "Adam" as const },
      lr: 0.01,
      clipNorm: 1,
    };
    const last = await lastOf(trainShards(charLMTask, inProcess(), { ...options, localSteps: 3 }));
    for (const [name, { data: own }] of Object.entries(last.position.weights)) {
      own.forEach((number, i) => {
        const mean = (ends[0]![name]!.data[i]! + ends[1]![name]!.data[i]!) / 2;
        expect(number).toBe(mean);
      });
    }
    // DiLoCo: v = d, p - 0.7 (d + m v)
    const pushed = await lastOf(
      trainShards(charLMTask, inProcess(), { ...options, localSteps: 3, outerMomentum: 0.9 }),
    );
    for (const [name, { data: own }] of Object.entries(pushed.position.weights)) {
      const before = weights[name]!.data;
      own.forEach((number, i) => {
        const change = before[i]! - last.position.weights[name]!.data[i]!;
        expect(number).toBe(before[i]! - 0.7 * (change + 0.9 * change));
      });
    }
  });

  const sizes = () => ({ embeddingDim: 3, hiddenSize: 4, numLayers: 1 });
});

async function lastOf(rounds: AsyncIterable<ShardedProgress>): Promise<ShardedProgress> {
  let last: ShardedProgress | undefined;
  for await (last of rounds);
  return last!;
}

// --- models of the caller's -------------------------------------------------------------------------------------------

const tagger = modelTask({
  name: "tagger",
  model: (setup) => new Tagger({ dropout: (setup as { dropout: number }).dropout }),
  loss: (output, y, { lengths, reduction }) => crossEntropy(output, y, { lengths, reduction }),
});

/** Batches of 4 sequences of different lengths. */
const data = (shards: number) => shardBatches(echoBatches(16, { shuffle: false, bucket: false }), shards);

const options = (shards: number, dropout = 0) => ({
  ...{ setup: { dropout }, data: data(shards), batches: 4, epochs: 2, weights: new Tagger({ seed: 4 }).stateDict() },
  ...{ optimizer: { kind: "SGD" as const, options: { momentum: 0.9 } }, lr: 0.1, clipNorm: 1 },
});

describe("a model of the caller's", () => {
  test("in shards of unequal numbers of targets has the gradients of the whole", async () => {
    const model = new Tagger({ seed: 4, dropout: 0 });
    const optimizer = new SGD(model.parameters(), { lr: 0.1, momentum: 0.9 });
    for (let epoch = 0; epoch < 2; epoch++) {
      for (const { x, y, lengths } of echoBatches(16, { shuffle: false, bucket: false })) {
        optimizer.minimize(() => crossEntropy(model.forward(x, { lengths }).output, y, { lengths }), { clipNorm: 1 });
      }
    }
    for (const shards of [1, 2, 4]) {
      const { weights, step } = (await lastOf(trainShards(tagger, new InProcess([tagger]), options(shards)))).position;
      expect(step).toBe(8);
      for (const [name, { data: own }] of Object.entries<Tensor>(model.stateDict())) {
        own.forEach((number, i) => expect(weights[name]!.data[i]!).toBeCloseTo(number, 10));
      }
    }
  });

  test("draws by step and shard, and goes on from a position", async () => {
    const run = (given: object = {}) => trainShards(tagger, new InProcess([tagger]), { ...options(2, 0.3), ...given });
    const whole = await lastOf(run());
    expect((await lastOf(run({ seed: 1 }))).losses).not.toEqual(whole.losses);
    let position;
    for await (const progress of run()) if (progress.step === 3) ({ position } = progress);
    expect((await lastOf(run({ position }))).losses).toEqual(whole.losses);
    expect(new Set([shardSeed(1, 2, 3), shardSeed(1, 3, 2), shardSeed(2, 2, 3), shardSeed(1, 2, 4)]).size).toBe(4);
  });

  testBoth("averages running statistics in the order of the shards", async (dtype) => {
    const task = modelTask({
      name: "normed",
      model: () => new Sequential({ norm: new BatchNorm1d(2, { dtype }), out: new Linear(2, 1, { dtype, seed: 1 }) }),
      loss: (output, y, { reduction }) => mse(output, y, { reduction }),
    });
    const rows = Array.from({ length: 6 }, (_, i) => ({
      x: tensor([i, i * i], [2], dtype),
      y: tensor([i / 3], [1], dtype),
    }));
    const all = [...batches(rows, { batchSize: 6 })];
    const model = new Sequential({ norm: new BatchNorm1d(2, { dtype }), out: new Linear(2, 1, { dtype, seed: 1 }) });
    const { weights } = (
      await lastOf(
        trainShards(task, new InProcess([task]), {
          ...{ setup: {}, data: shardBatches(all, 3), batches: 1, epochs: 1, weights: model.stateDict() },
          ...{ optimizer: { kind: "Adam" as const }, lr: 0.01 },
        }),
      )
    ).position;
    // the means of rows (0, 1), (2, 3), (4, 5) are 0.5, 2.5, 4.5; a tenth of each counts
    expect(weights["norm.running_mean"]!.data[0]).toBeCloseTo(0.25, dtype === "f32" ? 6 : 12);
    expect([...weights["norm.num_batches_tracked"]!.data]).toEqual([1]);
  });
});

// --- refusals ----------------------------------------------------------------------------------------------------------

describe("is refused", () => {
  test("a batch that the shards do not divide", () => {
    expect(() => make({ shards: 4 })).toThrow(ValueError);
    expect(() => make({ shards: 4 })).toThrow("shards: got 4, expected a divisor of the 6 rows of a batch");
    expect(() => shardBatches(echoBatches(14, { bucket: false }), 2)).not.toThrow();
    expect(() => shardBatches(echoBatches(15, { bucket: false }), 2)).toThrow("a divisor of the 3 rows of batch 3");
    expect(() => shardBatches([], 2)).toThrow(ValueError);
  });

  test("settings that are none", () => {
    expect(isSettings({ ...SMALL, shards: 2, localSteps: 3, outerMomentum: 0.9 })).toBe(true);
    for (const odd of [{ shards: 1 }, { shards: 2.5 }, { localSteps: "2" }, { outerMomentum: 1 }]) {
      expect(isSettings({ ...SMALL, ...odd })).toBe(false);
    }
    expect(() => make({ shards: 2, outerMomentum: 0.9 })).toThrow(ValueError);
  });

  test("a trainer without a transport", async () => {
    await expect(make({ shards: 2 }).advanceRound()).rejects.toThrow(StateError);
  });

  test.each([
    ["no record", 3, ValueError],
    ["a cell", { cell: "XYZ" }, ValueError],
    ["a size", { hiddenSize: 0 }, ValueError],
    ["a dtype", { dtype: "i32" }, ValueError],
    ["characters", { characters: "abc" }, ValueError],
    ["too large a model", { hiddenSize: 1e6 }, ValueError],
    ["characters twice", { characters: ["a", "a"] }, ValueError],
  ])("a setup with %s", (_, odd, kind) => {
    const { setup } = charLMShards(new CharLM(vocabulary, {}), codes, { batch: 4, seq: 5, shards: 2 });
    const given = (typeof odd === "object" ? { ...(setup as object), ...odd } : odd) as Json;
    expect(() => charLMTask.open(given, 2 ** 30)).toThrow(kind);
  });

  test("a job of another task, and an optimizer that is none", () => {
    const { setup, data: parts } = charLMShards(new CharLM(vocabulary, {}), codes, { batch: 4, seq: 5, shards: 2 });
    const plan = { step: 0, shard: 0, shards: 2, seed: 1, batches: [0] };
    const job = { task: "charlm", setup, data: parts[0]!, model: {}, carried: {}, plan };
    const runner = new ShardRunner([charLMTask]);
    expect(() => runner.run({ ...job, task: "other" })).toThrow("task: got other, expected charlm");
    expect(() => runner.run(job)).toThrow(ShapeError);
    const local = { optimizer: { kind: "toString" as "SGD" }, rates: [1], clip: null };
    expect(() => runner.run({ ...job, plan: { ...plan, local } })).toThrow(ValueError);
    runner.dispose();
  });

  test("a job with a setup or an optimizer that is no JSON; lists without methods are taken", () => {
    const { setup, data: parts } = charLMShards(new CharLM(vocabulary, {}), codes, { batch: 4, seq: 5, shards: 1 });
    const plan = { step: 0, shard: 0, shards: 1, seed: 1, batches: [0] };
    const model = charLMTask.open(setup, 2 ** 30).stateDict();
    const job = { task: "charlm", setup, data: parts[0]!, model, carried: {}, plan };
    const runner = new ShardRunner([charLMTask]);
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    for (const odd of [[10n], circular]) {
      expect(() => runner.run({ ...job, setup: odd as never })).toThrow(FormatError);
      const local = { optimizer: { kind: "SGD" as const, options: { odd } as never }, rates: [1], clip: null };
      expect(() => runner.run({ ...job, plan: { ...plan, local } })).toThrow(FormatError);
    }
    const bare = Object.setPrototypeOf([0], null) as number[];
    expect(runner.run({ ...job, plan: { ...plan, batches: bare } }).losses).toEqual(runner.run(job).losses);
    expect(() => runner.run({ ...job, plan: { ...plan, batches: new Array<number>(1) } })).toThrow("job plan.batches");
    runner.dispose();
  });

  test.each<[string, (result: ShardResult) => ShardResult]>([
    [
      "a tensor less",
      ({ values, ...rest }) => ({ ...rest, values: Object.fromEntries(Object.entries(values).slice(1)) }),
    ],
    [
      "another name",
      ({ values, ...rest }) => {
        const [[, first], ...others] = Object.entries(values) as [[string, Tensor], ...[string, Tensor][]];
        return { ...rest, values: { ...Object.fromEntries(others), other: first } };
      },
    ],
    [
      "another shape",
      ({ values, ...rest }) => ({
        ...rest,
        values: Object.fromEntries(
          Object.entries(values).map(([name, { data }]) => [name, { data, shape: [data.length, 1, 1] }]),
        ),
      }),
    ],
    ["no losses", (result) => ({ ...result, losses: [] })],
    ["norms", (result) => ({ ...result, norms: [1] })],
  ])("a result with %s, and nothing is changed", async (_, spoil) => {
    const trainer = make({ shards: 2 });
    const before = structuredClone(stateOf(trainer));
    const inner = inProcess();
    trainer.transport = {
      run: async (jobs) => (await inner.run(jobs)).map((result, i) => (i === 1 ? spoil(result) : result)),
      close: () => inner.close(),
    };
    await expect(trainer.advanceRound()).rejects.toThrow(/result of shard 1/);
    expect(stateOf(trainer)).toEqual(before);
  });

  test("what no training is made of", async () => {
    const next = (given: object) => trainShards(tagger, new InProcess([tagger]), { ...options(2), ...given }).next();
    for (const odd of [
      { setup: "text" },
      { data: [] },
      { batches: 0 },
      { epochs: 0 },
      { seed: -1 },
      { localSteps: 0 },
      { outerMomentum: 1 },
      { lr: -1 },
      { position: { step: -1, weights: options(2).weights } },
    ]) {
      await expect(next(odd), JSON.stringify(odd)).rejects.toThrow(ValueError);
    }
    await expect(next({ other: 1 })).rejects.toThrow("other");
    await expect(next({ setup: [10n] })).rejects.toThrow(FormatError);
    for (const odd of [{ name: "a b" }, { model: 1 }, { loss: undefined }, { count: 1 }]) {
      expect(() =>
        modelTask({ name: "x", model: () => new Tagger(), loss: () => ({ loss: 1 }), ...odd } as never),
      ).toThrow(ValueError);
    }
  });
});
