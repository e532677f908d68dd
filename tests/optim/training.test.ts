// Losses with all options, optimizers with groups and clipping, schedules and layer normalisation against PyTorch
// (tests/golden/training.py).
import { describe, expect, test } from "vitest";
import * as api from "../../src/index.js";
import {
  LayerNorm,
  Linear,
  clipGradNorm,
  clipGradValue,
  logSoftmax,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import { both } from "../helpers/both.js";
import { type Numbers, golden, tensorOf, tensorsOf } from "../helpers/close.js";
import { type NumbersOf, tolerances } from "../helpers/pytorch.js";
import { useVariant, variants } from "../helpers/variants.js";

type Options = Readonly<Record<string, unknown>>;

interface LossCase {
  readonly kind: "crossEntropy" | "nll" | "mse" | "l1" | "smoothL1" | "bceWithLogits";
  readonly options: Options;
  readonly tensors: NumbersOf;
  readonly prediction: Numbers;
  readonly target: Numbers;
  readonly integral: boolean;
  readonly expected: { readonly loss: Numbers; readonly gradient: Numbers };
}
interface Trace {
  readonly kind: "SGD" | "Adam" | "AdamW" | "RMSprop" | "Adagrad";
  readonly options: Options;
  readonly groups: readonly [Options, Options] | null;
  readonly clipping: { readonly norm?: number; readonly normType?: number | "inf"; readonly value?: number } | null;
  readonly expected: { readonly values: readonly (readonly Numbers[])[]; readonly state: NumbersOf };
}
interface ScheduleCase {
  readonly schedules: readonly {
    readonly kind: "StepLR" | "CosineAnnealingLR" | "LinearLR" | "ReduceLROnPlateau";
    readonly options: Options;
  }[];
  readonly expected: readonly (readonly [number, number])[];
}
interface Golden {
  readonly losses: readonly LossCase[];
  readonly logSoftmax: readonly { readonly x: Numbers; readonly expected: Numbers }[];
  readonly optimizers: {
    readonly start: readonly Numbers[];
    readonly gradients: readonly (readonly Numbers[])[];
    readonly traces: readonly Trace[];
  };
  readonly schedules: { readonly metrics: readonly number[]; readonly cases: readonly ScheduleCase[] };
  readonly layerNorm: readonly {
    readonly normalizedShape: readonly number[];
    readonly options: { readonly eps: number; readonly elementwiseAffine: boolean };
    readonly weights: NumbersOf;
    readonly x: Numbers;
    readonly gradient: Numbers;
    readonly expected: { readonly output: Numbers; readonly x: Numbers; readonly parameters: NumbersOf };
  }[];
}

/** The losses with their types made equal. */
type AnyLoss = (prediction: Tensor, target: Tensor, options: object) => Record<string, Tensor | number>;
/** The optimizers, and the schedules, likewise. */
type AnyOptimizer = new (parameters: unknown, options: object) => api.Optimizer;
type AnySchedule = new (optimizer: api.Scheduled, options: object) => api.Schedule & { step(metric?: number): void };

const data = golden("training") as Golden;
const gradientName = { logits: "dLogits", nll: "dLogProbabilities", other: "dPrediction" };
const nameOf = (kind: LossCase["kind"]): string =>
  kind === "nll"
    ? gradientName.nll
    : kind === "crossEntropy" || kind === "bceWithLogits"
      ? gradientName.logits
      : gradientName.other;

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const close = tolerances[dtype];
    const make = (numbers: Numbers): Tensor => tensorOf(numbers, dtype);

    const losses = data.losses.map((each) => {
      const tensors = Object.entries(each.tensors).map(([name, { shape }]) => `${name} [${shape.join(", ")}]`);
      const kind = each.kind === "crossEntropy" && !each.integral ? "crossEntropy of probabilities" : each.kind;
      return [[kind, JSON.stringify(each.options), ...tensors].join(" "), each] as const;
    });
    test.each(losses)("%s", (_, { kind, options, tensors, prediction, target, integral, expected }) => {
      const results = (api[kind] as AnyLoss)(make(prediction), tensorOf(target, integral ? "i32" : dtype), {
        ...options,
        ...tensorsOf(tensors, dtype),
      });
      expect(Object.keys(results)).toEqual(["loss", nameOf(kind)]);
      expect(results.loss).toBeAllClose(expected.loss, close);
      expect(typeof results.loss).toBe(options.reduction === "none" ? "object" : "number");
      expect(results[nameOf(kind)]).toBeAllClose(expected.gradient, close);
    });

    test.each(data.logSoftmax)("logSoftmax $x.shape", ({ x, expected }) => {
      expect(logSoftmax(make(x))).toBeAllClose(expected, close);
    });

    test.each(data.layerNorm)("LayerNorm $normalizedShape $options, x $x.shape", (each) => {
      const shape = each.normalizedShape.length === 1 ? each.normalizedShape[0]! : each.normalizedShape;
      using layer = new LayerNorm(shape, { ...each.options, dtype });
      layer.loadStateDict(tensorsOf(each.weights, dtype));
      expect(layer.forward(make(each.x)).output).toBeAllClose(each.expected.output, close);
      expect(layer.backward({ output: make(each.gradient) }).x).toBeAllClose(each.expected.x, close);
      const parameters = layer.parameters();
      expect(parameters.map(({ name }) => name)).toEqual(Object.keys(each.expected.parameters));
      for (const { name, grad } of parameters) expect(grad, name).toBeAllClose(each.expected.parameters[name]!, close);
    });

    describe("optimizers", () => {
      const { start, gradients, traces } = data.optimizers;

      /** Two layers whose parameters, in order, start as given. */
      const layersOf = (): [Linear, Linear] => {
        const layers = [0, 2].map((i) => {
          const [outFeatures, inFeatures] = start[i]!.shape as [number, number];
          const layer = new Linear(inFeatures, outFeatures, { dtype });
          layer.loadStateDict({ weight: make(start[i]!), bias: make(start[i + 1]!) });
          return layer;
        });
        return layers as [Linear, Linear];
      };
      const optimizerOf = ({ kind, options, groups }: Trace, layers: [Linear, Linear]): api.Optimizer => {
        const parameters = groups
          ? layers.map((layer, i) => ({ params: layer.parameters(), ...groups[i] }))
          : layers.flatMap((layer) => layer.parameters());
        return new (api[kind] as unknown as AnyOptimizer)(parameters, options);
      };
      const clip = (parameters: Parameter[], clipping: Trace["clipping"]): void => {
        if (clipping?.value !== undefined) clipGradValue(parameters, clipping.value);
        if (clipping?.norm === undefined) return;
        clipGradNorm(parameters, clipping.norm, { normType: Number(clipping.normType === "inf" ? Infinity : (clipping.normType ?? 2)) }); // prettier-ignore
      };

      // whole: one optimizer; parts: a new one for every step, from the state of the one before
      const titled = traces.flatMap((trace) => {
        const { kind, options, groups, clipping } = trace;
        const title = [kind, JSON.stringify(options), ...(groups ?? []).map((o) => JSON.stringify(o))].join(" ");
        const clipped = clipping ? `${title} clipped ${JSON.stringify(clipping)}` : title;
        return (["whole", "parts"] as const).map((how) => [`${clipped}, ${how}`, how, trace] as const);
      });
      test.each(titled)("%s", (_, how, trace) => {
        const layers = layersOf();
        const parameters = layers.flatMap((layer) => layer.parameters());
        let optimizer = optimizerOf(trace, layers);
        gradients.forEach((values, step) => {
          if (how === "parts") {
            const state = optimizer.stateDict();
            optimizer.dispose();
            optimizer = optimizerOf(trace, layers);
            optimizer.loadStateDict(state);
          }
          optimizer.zeroGrad();
          parameters.forEach(({ grad }, i) => grad.data.set(values[i]!.data));
          clip(parameters, trace.clipping);
          optimizer.step();
          parameters.forEach(({ name, value }, i) => {
            expect(value, `${i}, ${name}, after step ${step + 1}`).toBeAllClose(
              trace.expected.values[step]![i]!,
              close,
            );
          });
        });
        const state = optimizer.stateDict();
        const expected = Object.entries(trace.expected.state);
        for (const [key, value] of expected) {
          // PyTorch's step is a scalar of shape [], which RMSprop and Adagrad count, too
          if (key.endsWith(".step")) expect(state[key]!.data[0], key).toBe(value.data[0]);
          else expect(state[key], key).toBeAllClose(value, close);
        }
        const inPyTorch = new Set(expected.map(([key]) => key));
        expect(Object.keys(state).filter((key) => !inPyTorch.has(key) && !key.endsWith(".step"))).toEqual([]);
        for (const each of [optimizer, ...layers]) each.dispose();
      });
    });
  });
});

describe("schedules", () => {
  const { metrics, cases } = data.schedules;
  const make = ({ schedules }: ScheduleCase, optimizer: api.Scheduled) =>
    schedules.map(({ kind, options }) => new (api[kind] as unknown as AnySchedule)(optimizer, options));
  const optimizer = (): api.Scheduled => ({ paramGroups: [{ lr: 0.1 }, { lr: 0.02 }] });
  const rates = (of: api.Scheduled) => tensorOf({ shape: [2], data: of.paramGroups.map(({ lr }) => lr) });
  const titled = cases.map((each) => [JSON.stringify(each.schedules), each] as const);

  test.each(titled)("%s", (_, each) => {
    const of = optimizer();
    const schedules = make(each, of);
    each.expected.forEach((expected, epoch) => {
      if (epoch > 0) for (const schedule of schedules) schedule.step(metrics[epoch - 1]);
      const close = { rtol: 1e-12, atol: 1e-14 };
      expect(rates(of), `epoch ${epoch}`).toBeAllClose({ shape: [2], data: expected }, close);
      for (const schedule of schedules) {
        expect(schedule.lastEpoch).toBe(epoch);
        expect(schedule.lastLr).toEqual(of.paramGroups.map(({ lr }) => lr));
      }
    });
  });

  test.each(titled)("%s: continues from a saved state with the same bits", (_, each) => {
    const whole = optimizer();
    const uninterrupted = make(each, whole);
    let parts = optimizer();
    let schedules = make(each, parts);
    for (const metric of metrics) {
      const states = schedules.map((schedule) => structuredClone(schedule.stateDict()));
      parts = optimizer();
      schedules = make(each, parts);
      schedules.forEach((schedule, i) => schedule.loadStateDict(states[i]!));
      for (const schedule of schedules) schedule.step(metric);
      for (const schedule of uninterrupted) schedule.step(metric);
      expect(rates(parts)).toEqual(rates(whole));
      expect(schedules.map((schedule) => schedule.stateDict())).toEqual(uninterrupted.map((s) => s.stateDict()));
    }
  });
});

test("the golden data cover all options", () => {
  for (const kind of ["crossEntropy", "nll", "mse", "l1", "smoothL1", "bceWithLogits"]) {
    for (const reduction of ["mean", "sum", "none"]) {
      const some = data.losses.some((each) => each.kind === kind && each.options.reduction === reduction);
      expect(some, `${kind} ${reduction}`).toBe(true);
    }
  }
  for (const kind of ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]) {
    const traces = data.optimizers.traces.filter((trace) => trace.kind === kind);
    expect(traces.some(({ groups }) => groups !== null) && traces.some(({ clipping }) => clipping !== null)).toBe(true);
    expect(traces.some(({ options }) => options.maximize === true)).toBe(true);
  }
});
