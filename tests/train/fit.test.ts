// fit: the same steps as by hand, validation, schedules, early stopping, numbers that are not finite, signals, turns of the event loop.
import { describe, expect, test } from "vitest";
import {
  Adam,
  crossEntropy,
  Dropout,
  DtypeError,
  Embedding,
  GRU,
  LastStep,
  Linear,
  LSTM,
  MaxPool1d,
  mse,
  ReduceLROnPlateau,
  Sequential,
  SGD,
  StateError,
  StepLR,
  tensor,
  UnsupportedError,
  ValueError,
  type Tensor,
} from "../../src/index.js";
import {
  accuracy,
  batches,
  evaluate,
  fit,
  loadTraining,
  saveTraining,
  type BatchLoss,
  type FitOptions,
  type FitPosition,
  type Progress,
  type TrainableModel,
  type TrainingBatch,
} from "../../src/train.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { echoBatches, SYMBOLS, Tagger } from "../helpers/tagger.js";
import "../helpers/bits.js";

const loss: BatchLoss = (output, y, { lengths }) => crossEntropy(output, y, { lengths });
const accurate = (output: Tensor, y: Tensor, { lengths }: { lengths: number[] | undefined }) =>
  accuracy(output, y, { lengths });

async function all(run: AsyncIterable<Progress>): Promise<Progress[]> {
  const progress: Progress[] = [];
  for await (const each of run) progress.push(each);
  return progress;
}

/** Compares the weights of two models, bit by bit. */
function sameWeights(
  actual: { stateDict(): Record<string, Tensor> },
  expected: { stateDict(): Record<string, Tensor> },
): void {
  const weights = actual.stateDict();
  const others = expected.stateDict();
  expect(Object.keys(weights)).toEqual(Object.keys(others));
  for (const [name, weight] of Object.entries(weights)) expect(weight).toHaveBits(others[name]!);
}

/** A line y = 2 x, learned by one weight. */
function line(weight = 0) {
  const model = new Linear(1, 1, { bias: false, seed: 1 });
  model.parameters()[0]!.value.data[0] = weight;
  const data = batches(
    [1, 2, 3].map((x) => ({ x: tensor([x]), y: tensor([2 * x]) })),
    { batchSize: 1 },
  );
  return {
    model,
    data,
    optimizer: new SGD(model.parameters(), { lr: 0.01 }),
    weight: () => model.parameters()[0]!.value.data[0]!,
  };
}
const squared: BatchLoss = (output, y) => mse(output, y);

both("fit, %s", (dtype) => {
  test("takes the steps that minimize takes in a loop, with the same bits", async () => {
    const [model, other] = [new Tagger({ dtype }), new Tagger({ dtype })];
    const optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const progress = await all(fit(model, echoBatches(18), { loss, optimizer, epochs: 3, clipNorm: 0.5 }));

    const byHand = new Adam(other.parameters(), { lr: 0.02 });
    const expected: Partial<Progress>[] = [];
    const data = echoBatches(18);
    for (let epoch = 1; epoch <= 3; epoch++) {
      for (const { x, y, lengths } of data) {
        const body = () => crossEntropy(other.forward(x, { lengths }).output, y, { lengths });
        const result = byHand.minimize(body, { clipNorm: 0.5 });
        expected.push({ epoch, step: expected.length + 1, ...result });
      }
    }
    expect(progress.map(({ epoch, step, loss, gradNorm }) => ({ epoch, step, loss, gradNorm }))).toEqual(expected);
    sameWeights(model, other);
    expect(progress).toHaveLength(15);
  });

  test("learns", async () => {
    const model = new Tagger({ dtype, dropout: 0 });
    const optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const progress = await all(fit(model, echoBatches(40), { loss, optimizer, epochs: 30, metrics: { accurate } }));
    expect(progress.at(-1)!.metrics!.accurate).toBe(1);
    const scores = await evaluate(model, echoBatches(40), { loss, metrics: { accurate } });
    expect(scores.metrics).toEqual({ accurate: 1 });
    expect(scores.loss).toBeLessThan(0.1);
  });
});

describe("batches", () => {
  test("a model without lengths gets none, and vectors are batches, too", async () => {
    const { model, data, optimizer, weight } = line();
    await all(fit(model, data, { loss: squared, optimizer, epochs: 60 }));
    expect(weight()).toBeCloseTo(2, 5);
  });

  test("may be of any iterable, of any targets", async () => {
    const { model, optimizer, weight } = line();
    const data = [1, 2].map((x) => ({ x: tensor([x], [1, 1]), y: { double: tensor([2 * x], [1, 1]) } }));
    const progress = await all(
      fit(model, data, { loss: (output, { double }) => mse(output, double), optimizer, epochs: 2 }),
    );
    expect(progress.map(({ epoch }) => epoch)).toEqual([1, 1, 2, 2]);
    expect(progress.map(({ position: { epoch, batch } }) => [epoch, batch])).toEqual([[0, 1], [1, 0], [1, 1], [2, 0]]); // prettier-ignore
    expect(weight()).toBeGreaterThan(0);
  });

  test("that can be iterated only once are an error in the second epoch", async () => {
    const { model, data, optimizer } = line();
    const once = data[Symbol.iterator]();
    const run = fit(model, { [Symbol.iterator]: () => once }, { loss: squared, optimizer, epochs: 2 });
    for (let i = 0; i < 3; i++) await run.next();
    await expect(run.next()).rejects.toThrow(/^data: got an iteration without another batch/);
  });

  test("loss and metrics get the lengths that forward returns, else those of the batch", async () => {
    const { model, optimizer } = line();
    const seen: unknown[] = [];
    const shortening: TrainableModel = {
      forward: (x) => ({ ...model.forward(x), lengths: [7] }),
      train: () => model.train(),
      eval: () => model.eval(),
      stateDict: () => model.stateDict(),
      loadStateDict: (dict) => model.loadStateDict(dict),
    };
    const batch = { x: tensor([1], [1, 1]), y: tensor([1], [1, 1]), lengths: [1], targetLengths: [3] };
    const noted: BatchLoss = (output, y, info) => (seen.push(info), mse(output, y));
    const metrics = { noted: (_: Tensor, __: Tensor, info: unknown) => seen.push(info) };
    await all(fit(shortening, [batch], { loss: noted, metrics, optimizer, epochs: 1 }));
    const unchanged = { ...shortening, forward: (x: Tensor) => model.forward(x) };
    await all(fit(unchanged, [batch], { loss: noted, optimizer, epochs: 1 }));
    const [returned, given] = [[7], [1]].map((lengths) => ({ lengths, targetLengths: [3] }));
    expect(seen).toEqual([returned, returned, given]);
  });
});

describe("Sequential", () => {
  const chain = (seed = 1) =>
    new Sequential({
      embedding: new Embedding(SYMBOLS, 4, { seed }),
      lstm: new LSTM(4, 7, { seed, numLayers: 2, dropout: 0.2 }),
      rest: new Sequential([new Dropout(0.3, { seed }), new Linear(7, SYMBOLS, { seed })]),
    });

  test("is trained with the bits of the same steps by hand", async () => {
    const [model, other] = [chain(), chain()];
    const optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const progress = await all(fit(model, echoBatches(18), { loss, optimizer, epochs: 2 }));
    const byHand = new Adam(other.parameters(), { lr: 0.02 });
    const data = echoBatches(18);
    const expected: number[] = [];
    for (let epoch = 0; epoch < 2; epoch++) {
      for (const { x, y, lengths } of data) {
        const body = () => crossEntropy(other.forward(x, { lengths }).output, y, { lengths });
        expected.push(byHand.minimize(body).loss);
      }
    }
    expect(progress.map((each) => each.loss)).toEqual(expected);
    sameWeights(model, other);
  });

  test("that ends time hands no lengths to loss and metrics, which may be the package's own", async () => {
    const model = new Sequential({ ...chain().layers, last: new LastStep() });
    const samples = [1, 2, 3].map((length) => ({ x: new Int32Array(length).fill(length), y: length }));
    const optimizer = new Adam(model.parameters(), { lr: 0.05 });
    const data = batches(samples, { batchSize: 3 });
    const options = { loss: crossEntropy, metrics: { accuracy }, optimizer, epochs: 60 };
    const progress = await all(fit(model, data, options));
    expect(progress.at(-1)!.metrics).toEqual({ accuracy: 1 });
    // a chain whose output has steps hands on the lengths, also where there are fewer
    const pooled = new Sequential([chain(), new MaxPool1d(2)]);
    const seen: unknown[] = [];
    const halves: BatchLoss = (output, y, { lengths }) => {
      seen.push(lengths);
      return crossEntropy(output, tensor(new Int32Array(output.shape[0]! * y.shape[1]!), output.shape.slice(0, 2)), {
        lengths,
      });
    };
    await evaluate(
      pooled,
      [{ x: tensor(new Int32Array(10), [5, 2]), y: tensor([0, 0], [1, 2], "i32"), lengths: [5, 2] }],
      { loss: halves },
    );
    expect(seen).toEqual([[2, 1]]);
    const steps = chain();
    await all(fit(steps, echoBatches(6), { ...options, optimizer: new Adam(steps.parameters()), epochs: 1 }));
  });

  test("batch first, the package's own loss and metric read the lengths by rows: the numbers are those of time first", async () => {
    const run = async (batchFirst: boolean, wrapped: boolean) => {
      const gru = new GRU(1, 3, { seed: 1, batchFirst });
      const chain = new Sequential([gru, new Linear(3, 3, { seed: 2 })]);
      const forward: TrainableModel["forward"] = (x, options) => chain.forward(x, options);
      const own: TrainableModel = {
        forward,
        train: () => chain.train(),
        eval: () => chain.eval(),
        stateDict: () => chain.stateDict(),
        loadStateDict: (dict) => chain.loadStateDict(dict),
      };
      const samples = [1, 3, 2].map((length, i) => ({
        x: tensor(Array.from({ length }, (_, t) => [t - i])),
        y: tensor(
          Array.from({ length }, (_, t) => (t + i) % 3),
          [length],
          "i32",
        ),
      }));
      const optimizer = new SGD(chain.parameters(), { lr: 0.1 });
      const data = batches(samples, { batchSize: 3, batchFirst });
      const batch = { ...[...data][0]!, ...(!wrapped && { batchFirst: undefined }) }; // then as the chain has it
      const options = { loss: crossEntropy, metrics: { accuracy }, optimizer, epochs: 3 };
      const progress = await all(fit(wrapped ? own : chain, [batch], options));
      return progress.map(({ loss, metrics }) => [loss, metrics!.accuracy!]).flat();
    };
    const expected = await run(false, false);
    for (const wrapped of [false, true]) {
      (await run(true, wrapped)).forEach((number, i) => expect(number).toBeCloseTo(expected[i]!, 12));
    }
    const wrong = [{ x: tensor([[1]]), y: tensor([[1]]), batchFirst: 1 as never }];
    const { model } = line();
    await expect(evaluate(model, wrong, { loss: mse })).rejects.toThrow("batchFirst: got number 1");
  });

  test("keeps the modes of each layer and chain over a validation", async () => {
    const model = chain();
    model.layers.rest.eval();
    model.layers.rest.layers[1]!.train();
    const { embedding, lstm, rest } = model.layers;
    const modes = () => [model, embedding, lstm, rest, ...rest.layers].map(({ training }) => training);
    const before = modes();
    expect(before).toEqual([true, true, true, false, false, true]);
    await evaluate(model, echoBatches(4), { loss });
    expect(modes()).toEqual(before);
  });

  test("continues from a file with the same bits", async () => {
    const train = async (
      model: ReturnType<typeof chain>,
      from: FitPosition | undefined,
      optimizer: Adam,
      steps = Infinity,
    ) => {
      const progress: Progress[] = [];
      for await (const each of fit(model, echoBatches(18), { loss, optimizer, epochs: 3, position: from })) {
        if (progress.push(each) === steps) break;
      }
      return progress;
    };
    const whole = chain();
    const expected = await train(whole, undefined, new Adam(whole.parameters()));
    const interrupted = chain();
    const first = { model: interrupted, optimizer: new Adam(interrupted.parameters()) };
    const { position } = (await train(interrupted, undefined, first.optimizer, 7)).at(-1)!;
    const model = chain(2);
    const optimizer = new Adam(model.parameters());
    const loaded = loadTraining(saveTraining({ ...first, position }), { model, optimizer });
    expect(await train(model, loaded.position, optimizer)).toEqual(expected.slice(7));
    sameWeights(model, whole);
  });
});

describe("modes", () => {
  test("training is in the modes that the layers are in, validation in inference mode; modes are restored", async () => {
    const model = new Tagger();
    model.dropout.eval();
    const modes: boolean[][] = [];
    const noted: BatchLoss = (...args) => {
      modes.push(Object.values(model.parts).map(({ training }) => training));
      return loss(...args);
    };
    const optimizer = new SGD(model.parameters(), { lr: 0.1 });
    const validation = echoBatches(4);
    await all(fit(model, echoBatches(4), { loss: noted, optimizer, epochs: 2, validation }));
    const [training, inference] = [[true, true, false, true], [false, false, false, false]]; // prettier-ignore
    expect(modes).toEqual([training, inference, training, inference]);
    expect(Object.values(model.parts).map((part) => part.training)).toEqual(training);
  });

  test("modes are restored where validation throws", async () => {
    const model = new Dropout(0.5, { seed: 1 });
    const failing = () => {
      throw new RangeError("no");
    };
    const data = [{ x: tensor([1]), y: tensor([1]) }];
    await expect(evaluate(model, data, { loss: failing })).rejects.toThrow(RangeError);
    expect(model.training).toBe(true);
    model.eval();
    await evaluate(model, data, { loss: squared });
    expect(model.training).toBe(false);
  });
});

describe("validation", () => {
  test("is the mean over samples, of loss and metrics; it changes nothing", async () => {
    const model = new Tagger({ dropout: 0 });
    const before = model.stateDict();
    const [first, second] = [...batches(echoesOf(5), { batchSize: 4 })];
    const one = async (batch: TrainingBatch) => evaluate(model, [batch], { loss, metrics: { accurate } });
    const [a, b] = [await one(first!), await one(second!)];
    const whole = await evaluate(model, [first!, second!], { loss, metrics: { accurate } });
    expect(whole.loss).toBeCloseTo((4 * a.loss + b.loss) / 5, 14);
    expect(whole.metrics!.accurate).toBeCloseTo((4 * a.metrics!.accurate! + b.metrics!.accurate!) / 5, 14);
    expect(a.loss).toBe(crossEntropy(model.eval().forward(first!.x, first).output, first!.y).loss);
    for (const [name, weight] of Object.entries(model.stateDict())) expect(weight).toHaveBits(before[name]!);
  });

  test("leaves out batches whose metric is NaN", async () => {
    const { model, data } = line();
    const metrics = { odd: (_: Tensor, y: Tensor) => (y.data[0] === 4 ? NaN : y.data[0]!), none: () => NaN };
    expect((await evaluate(model, data, { loss: squared, metrics })).metrics).toEqual({ odd: 4, none: NaN });
  });

  test("is of a whole epoch, and moves no position: the training's batches do as well", async () => {
    const { model, data, optimizer } = line();
    const options = { loss: squared };
    const whole = await evaluate(model, data, options);
    expect(data.position).toEqual({ seed: 0, epoch: 0, batch: 0 });
    data.position = { seed: 0, epoch: 3, batch: 2 };
    expect(await evaluate(model, data, options)).toEqual(whole);
    expect(data.position).toEqual({ seed: 0, epoch: 3, batch: 2 });
    const other = line();
    const progress = await all(fit(model, line().data, { ...options, optimizer, epochs: 3, validation: line().data }));
    const shared = await all(
      fit(other.model, other.data, { ...options, optimizer: other.optimizer, epochs: 3, validation: other.data }),
    );
    expect(shared).toEqual(progress);
  });

  test("comes with the last step of each epoch", async () => {
    const { model, data, optimizer } = line();
    const validation = line().data;
    const progress = await all(fit(model, data, { loss: squared, optimizer, epochs: 2, validation }));
    expect(progress.map((each) => each.validation !== undefined)).toEqual([false, false, true, false, false, true]);
    expect(progress[5]!.validation).toEqual(await evaluate(model, line().data, { loss: squared }));
  });

  test("without batches is an error", async () => {
    const { model, data, optimizer } = line();
    const run = all(fit(model, data, { loss: squared, optimizer, epochs: 1, validation: [] }));
    await expect(run).rejects.toThrow("validation: got an iteration without a batch");
  });
});

describe("schedule", () => {
  test("is stepped after each epoch", async () => {
    const { model, data, optimizer } = line();
    const lrs: number[] = [];
    const schedule = new StepLR(optimizer, { stepSize: 1, gamma: 0.5 });
    for await (const { step } of fit(model, data, { loss: squared, optimizer, epochs: 3, schedule })) {
      lrs[step - 1] = optimizer.lr;
    }
    expect(lrs).toEqual([0.01, 0.01, 0.005, 0.005, 0.005, 0.0025, 0.0025, 0.0025, 0.00125]);
  });

  test("on a plateau it gets the validation's loss, else the mean training loss", async () => {
    const metrics = async (validation?: Iterable<TrainingBatch>) => {
      const { model, data, optimizer } = line();
      const schedule = new ReduceLROnPlateau(optimizer);
      const progress = await all(fit(model, data, { loss: squared, optimizer, epochs: 1, schedule, validation }));
      return { best: schedule.stateDict().best!.data[0]!, progress };
    };
    const without = await metrics();
    const [a, b, c] = without.progress.map((each) => each.loss);
    expect(without.best).toBe((a! + b! + c!) / 3);
    const validated = await metrics(line().data);
    expect(validated.best).toBe(validated.progress.at(-1)!.validation!.loss);
  });
});

describe("early stopping", () => {
  /** Runs epochs of one step with these validation losses, or metrics. Returns the weight at the end and the losses that were used. */
  async function run(values: number[], earlyStopping: FitOptions["earlyStopping"], position?: FitPosition) {
    const { model, optimizer, weight } = line();
    const batch = { x: tensor([1], [1, 1]), y: tensor([2], [1, 1]) };
    const weights: number[] = [];
    let epoch = position?.epoch ?? 0;
    const value = () => values[epoch]!;
    const validation = { *[Symbol.iterator]() { yield batch; epoch++; } }; // prettier-ignore
    const measured: BatchLoss = (output, y) => (model.training ? mse(output, y) : { loss: value() });
    const progress: Progress[] = [];
    const metrics = { score: value };
    for await (const each of fit(model, [batch], {
      loss: measured,
      metrics,
      optimizer,
      epochs: values.length,
      validation,
      earlyStopping,
      position,
    })) {
      weights.push(weight());
      progress.push(each);
    }
    return { weights, weight: weight(), progress };
  }

  test("ends after `patience` epochs without improvement, with the weights of the best", async () => {
    const { weights, weight } = await run([3, 2, 2.5, 2, 1, 0], { patience: 2 });
    expect(weights).toHaveLength(4);
    expect(weight).toBe(weights[1]);
    expect(weight).not.toBe(weights[3]);
  });

  test("puts the best weights back if all epochs were used", async () => {
    const { weights, weight } = await run([3, 2, 2.5, 4], { patience: 9 });
    expect(weights).toHaveLength(4);
    expect(weight).toBe(weights[1]);
  });

  test("restoreBest false leaves the latest weights, and keeps no copy", async () => {
    const { weights, weight, progress } = await run([3, 2, 2.5, 2], { patience: 2, restoreBest: false });
    expect(weight).toBe(weights[3]);
    expect(progress[3]!.position.stopping).toEqual({ best: 2, bad: 2, stopped: true });
  });

  test("minDelta is the least improvement that counts", async () => {
    expect((await run([3, 2.5, 2, 1], { patience: 1, minDelta: 0.5 })).weights).toHaveLength(2);
    expect((await run([3, 2.4, 1.8, 1], { patience: 1, minDelta: 0.5 })).weights).toHaveLength(4);
  });

  test("watches a metric, of which more is better, or less with mode", async () => {
    expect((await run([1, 2, 3, 2, 1], { patience: 1, metric: "score" })).weights).toHaveLength(4);
    expect((await run([3, 2, 1, 2, 1], { patience: 1, metric: "score", mode: "min" })).weights).toHaveLength(4);
  });

  test("NaN is no improvement", async () => {
    const { weights, weight } = await run([NaN, 3, NaN, NaN, 1], { patience: 2 });
    expect(weights).toHaveLength(4);
    expect(weight).toBe(weights[1]);
  });

  test("without validation it watches the mean training loss", async () => {
    const { model, data, optimizer } = line();
    optimizer.lr = 0.3; // diverges
    const progress = await all(
      fit(model, data, { loss: squared, optimizer, epochs: 9, earlyStopping: { patience: 2 } }),
    );
    expect(progress.at(-1)!.epoch).toBe(3);
    expect(progress.at(-1)!.position.stopping!.best).toBe(
      (progress[0]!.loss + progress[1]!.loss + progress[2]!.loss) / 3,
    );
  });

  test("continues from a position, and stays stopped", async () => {
    const values = [3, 2, 2.5, 2, 1, 0];
    const whole = await run(values, { patience: 2 });
    const { position } = whole.progress[2]!;
    expect((await run(values, { patience: 2 }, position)).progress).toHaveLength(1);
    const stopped = await run(values, { patience: 2 }, whole.progress[3]!.position);
    expect(stopped.progress).toHaveLength(0);
    expect(stopped.weight).toBe(whole.weight);
  });
});

describe("numbers that are not finite", () => {
  /** A layer with a gradient that overflows: of bias, or of everything. */
  function broken() {
    const model = new LSTM(1, 2, { seed: 1 });
    const optimizer = new Adam(model.parameters(), { lr: 0.1 });
    const good = { x: tensor([1], [1, 1, 1]), y: tensor([1, 1], [1, 1, 2]) };
    const bad = { x: tensor([Infinity], [1, 1, 1]), y: tensor([1, 1], [1, 1, 2]) };
    return { model, optimizer, good, bad };
  }

  test("are an error that names the parameter with the worst gradient; nothing is changed", async () => {
    const { model, optimizer, good, bad } = broken();
    const run = fit(model, [good, bad], { loss: squared, optimizer, epochs: 1 });
    await run.next();
    const [weights, state] = [model.stateDict(), optimizer.stateDict()];
    const error: unknown = await run.next().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ValueError);
    expect((error as Error).message).toMatch(
      /^loss: got \S+ at step 2; the worst gradient is that of "weight_ih_l0": \d of 8 numbers not finite/,
    );
    for (const [name, weight] of Object.entries(weights)) expect(model.stateDict()[name]).toHaveBits(weight);
    for (const [name, value] of Object.entries(state)) expect(optimizer.stateDict()[name]).toHaveBits(value);
  });

  test("name the largest gradient if all are finite", async () => {
    const { model, data, optimizer } = line();
    const huge: BatchLoss = (output, y) => mse(output, tensor([1e308 * y.data[0]!], y.shape), { reduction: "sum" });
    const run = all(fit(model, data, { loss: huge, optimizer, epochs: 1 }));
    await expect(run).rejects.toThrow(/^loss: got Infinity at step 1; the worst gradient is that of "weight"/);
  });

  test('are left out with onNan "skip"', async () => {
    const [{ model, optimizer, good, bad }, other] = [broken(), broken()];
    const options = { loss: squared, epochs: 2, metrics: { one: () => 1 } };
    const progress = await all(fit(model, [bad, good, bad], { ...options, optimizer, onNan: "skip" }));
    await all(fit(other.model, [good], { ...options, optimizer: other.optimizer }));
    sameWeights(model, other.model);
    expect(progress.map((each) => Number.isFinite(each.loss + each.gradNorm))).toEqual([
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
    expect(progress.map(({ metrics }) => metrics)).toEqual([
      undefined,
      { one: 1 },
      undefined,
      undefined,
      { one: 1 },
      undefined,
    ]);
    expect(progress[1]!.position).toMatchObject({ samples: 1, lossSum: progress[1]!.loss });
  });
});

describe("between steps", () => {
  test("a signal ends training before the next step; its reason is thrown", async () => {
    const { model, data, optimizer, weight } = line();
    const stop = new AbortController();
    const run = fit(model, data, { loss: squared, optimizer, epochs: 9, signal: stop.signal });
    await run.next();
    const before = weight();
    const reason = new Error("enough");
    stop.abort(reason);
    await expect(run.next()).rejects.toBe(reason);
    expect(weight()).toBe(before);
    expect(data.position).toMatchObject({ epoch: 0, batch: 1 });
    expect(await run.next()).toEqual({ done: true, value: undefined });
  });

  test("the loop can be left, and takes no step ahead", async () => {
    const { model, data, optimizer } = line();
    for await (const { step, position } of fit(model, data, { loss: squared, optimizer, epochs: 9 })) {
      expect(data.position).toEqual(position.data);
      if (step === 2) break;
    }
    expect(data.position).toMatchObject({ epoch: 0, batch: 2 });
    expect(optimizer.stateDict()["0.step"]!.data[0]).toBe(2);
  });

  test.each([
    ["setImmediate", []],
    ["MessageChannel", ["setImmediate"]],
    ["setTimeout", ["setImmediate", "MessageChannel"]],
  ] as const)("the event loop gets a turn every 10 ms, by %s", async (name, without) => {
    const original = Object.getOwnPropertyDescriptor(globalThis, name)!;
    const originals = without.map((each) => [each, Object.getOwnPropertyDescriptor(globalThis, each)!] as const);
    const { model, data, optimizer } = line();
    let [steps, turns, ticks] = [0, 0, 0];
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    try {
      const host = (globalThis as unknown as Record<string, new (...args: unknown[]) => object>)[name]!;
      const value = function (...args: unknown[]): unknown {
        turns++;
        return new.target ? Reflect.construct(host, args) : Reflect.apply(host, undefined, args);
      };
      Object.defineProperty(globalThis, name, { value, configurable: true });
      for (const each of without) Object.defineProperty(globalThis, each, { value: undefined, configurable: true });
      for await (const each of fit(model, data, { loss: squared, optimizer, epochs: 1e6 })) {
        steps = each.step;
        if (performance.now() - start > 300 && ticks > 2) break;
      }
    } finally {
      for (const [each, descriptor] of [[name, original] as const, ...originals]) {
        Object.defineProperty(globalThis, each, descriptor);
      }
      clearInterval(timer);
    }
    expect(turns).toBeGreaterThan(2);
    expect(turns).toBeLessThanOrEqual((performance.now() - start) / 9);
    expect(turns).toBeLessThan(steps);
  });
});

describe("position", () => {
  test("continues anywhere, with the bits of a training that was not interrupted", async () => {
    const make = () => {
      const { model, optimizer } = line(-1);
      const schedule = new ReduceLROnPlateau(optimizer, { patience: 0, factor: 0.5, threshold: 0.3 });
      return { model, options: { loss: squared, epochs: 4, optimizer, schedule } };
    };
    for (const own of [false, true]) {
      const data = () => (own ? [...line().data] : line().data); // an array of batches, or batches
      const whole = make();
      const progress = await all(fit(whole.model, data(), whole.options));
      for (let k = 1; k < progress.length; k++) {
        const parts = make();
        let position: FitPosition | undefined;
        for await (const each of fit(parts.model, data(), parts.options)) {
          ({ position } = each);
          if (each.step === k) break;
        }
        position = JSON.parse(JSON.stringify(position)) as FitPosition;
        const rest = await all(fit(parts.model, data(), { ...parts.options, position }));
        expect(rest).toEqual(progress.slice(k));
        sameWeights(parts.model, whole.model);
      }
    }
  });

  test("at the end leaves nothing to do; without it training starts over", async () => {
    const { model, data, optimizer } = line();
    const options = { loss: squared, optimizer, epochs: 2 };
    const progress = await all(fit(model, data, options));
    expect(await all(fit(model, data, { ...options, position: progress.at(-1)!.position }))).toEqual([]);
    expect(await all(fit(model, data, options))).toHaveLength(6);
  });
});

describe("refused", () => {
  const { model, data, optimizer } = line();
  const run = (given: object) => () => fit(model, data, { loss: squared, optimizer, epochs: 1, ...given });

  test("arguments that cannot be, at the call", () => {
    const any = (value: unknown) => value as never;
    refuses(() => fit(any({}), data, { loss: squared, optimizer, epochs: 1 }), ValueError, "model", "forward()");
    refuses(() => fit(any(null), data, { loss: squared, optimizer, epochs: 1 }), ValueError, "model");
    refuses(() => fit(model, any(5), { loss: squared, optimizer, epochs: 1 }), ValueError, "data");
    refuses(() => fit(model, any("ab"), { loss: squared, optimizer, epochs: 1 }), ValueError, "data");
    refuses(run({ loss: undefined }), ValueError, "loss");
    refuses(run({ optimizer: { minimize: () => 0 } }), ValueError, "optimizer");
    refuses(run({ epochs: 0 }), ValueError, "epochs");
    refuses(run({ epochs: 1.5 }), ValueError, "epochs");
    refuses(run({ validation: 1 }), ValueError, "validation");
    refuses(run({ metrics: { a: 1 } }), ValueError, "metrics.a");
    refuses(run({ metrics: [] }), ValueError, "metrics");
    refuses(run({ schedule: {} }), ValueError, "schedule");
    refuses(run({ clipNorm: -1 }), ValueError, "clipNorm");
    refuses(run({ onNan: "ignore" }), ValueError, "onNan");
    refuses(run({ signal: null }), ValueError, "signal");
    refuses(run({ clip: 1 }), UnsupportedError, "clip");
    refuses(run({ earlyStopping: { patience: 0 } }), ValueError, "patience");
    refuses(run({ earlyStopping: { patience: 1, minDelta: -1 } }), ValueError, "minDelta");
    refuses(run({ earlyStopping: { patience: 1, restoreBest: 1 } }), ValueError, "restoreBest");
    refuses(run({ earlyStopping: { patience: 1, mode: "most" } }), ValueError, "mode");
    refuses(run({ earlyStopping: { patience: 1, metric: "a" } }), ValueError, "metric", "none without validation");
    const validation = data;
    refuses(
      run({ validation, earlyStopping: { patience: 1, metric: "a" } }),
      ValueError,
      "metric",
      "there are no metrics",
    );
    refuses(
      run({ validation, metrics: { b: () => 1 }, earlyStopping: { patience: 1, metric: "a" } }),
      ValueError,
      "metric",
      "b",
    );
  });

  test("positions that cannot be", () => {
    const good = { epoch: 0, batch: 0, step: 0, samples: 0, lossSum: 0 };
    const stopping = { bad: 0, stopped: false };
    refuses(run({ position: { ...good, epoch: -1 } }), ValueError, "position.epoch");
    refuses(run({ position: { ...good, lossSum: NaN } }), ValueError, "position.lossSum");
    refuses(run({ position: { ...good, batch: 3 } }), ValueError, "position.batch");
    refuses(run({ position: { ...good, data: { seed: 1 } } }), ValueError, "position.epoch");
    refuses(run({ position: { ...good, stopping: { ...stopping, best: "a" } } }), ValueError, "position.stopping.best");
    refuses(run({ position: { ...good, stopping: { ...stopping, bad: -1 } } }), ValueError, "position.stopping.bad");
    refuses(
      run({ position: { ...good, stopping: { ...stopping, stopped: 1 } } }),
      ValueError,
      "position.stopping.stopped",
    );
    refuses(
      run({ position: { ...good, stopping: { ...stopping, weights: 1 } } }),
      ValueError,
      "position.stopping.weights",
    );
    refuses(run({ position: { ...good, place: 1 } }), UnsupportedError, "place");
  });

  test("what the caller's functions return; the step is not taken", async () => {
    const { model, data, optimizer, weight } = line(1);
    const first = (given: object) => fit(model, data, { loss: squared, optimizer, epochs: 1, ...given }).next();
    await expect(first({ loss: () => 1 })).rejects.toThrow(ValueError);
    await expect(first({ metrics: { m: () => "1" } })).rejects.toThrow("metrics.m");
    await expect(first({ loss: () => { throw new RangeError("mine"); } })).rejects.toThrow(RangeError); // prettier-ignore
    await expect(first({ metrics: { m: () => { throw new RangeError("mine"); } } })).rejects.toThrow(RangeError); // prettier-ignore
    const other = new Linear(1, 1, { seed: 1 });
    await expect(first({ loss: (_: Tensor, y: Tensor) => mse(other.forward(y).output, y) })).rejects.toThrow(
      StateError,
    );
    expect(weight()).toBe(1);
    await expect(evaluate(model, data, { loss: () => ({ loss: undefined as never }) })).rejects.toThrow(DtypeError);
    const returning = Object.assign(new Tagger(), { forward: () => 1 as never });
    await expect(evaluate(returning, data, { loss: squared })).rejects.toThrow("forward returns number 1");
    await expect(evaluate(model, [1 as never], { loss: squared })).rejects.toThrow(ValueError);
  });
});

function echoesOf(count: number) {
  return [...echoBatches(count, { batchSize: 1, shuffle: false, bucket: false })].map(({ x, y }) => ({
    x: { data: x.data, shape: [x.data.length] },
    y: { data: y.data, shape: [y.data.length] },
  }));
}
