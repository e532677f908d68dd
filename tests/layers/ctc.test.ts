// ctcLoss against PyTorch (tests/golden/ctc.py), the sum over all paths and central differences; the decoders against the
// probability of every labelling.
import { describe, expect, test } from "vitest";
import {
  Adam,
  DtypeError,
  GRU,
  Linear,
  OutOfMemoryError,
  ShapeError,
  UnsupportedError,
  ValueError,
  ctcBeamDecode,
  ctcGreedyDecode,
  ctcLoss,
  logSoftmax,
  mse,
  tensor,
  valueAndGrad,
  type CtcLossOptions,
  type Tensor,
} from "../../src/index.js";
import { currentCore } from "../../bindings/instantiate.js";
import { both, testBoth } from "../helpers/both.js";
import { type Numbers, type Texts, golden, numbersOf, tensorOf } from "../helpers/close.js";
import { centralDifferences } from "../helpers/gradient.js";
import { tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { range, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const { cases } = golden("ctc") as {
  readonly cases: readonly {
    readonly logits: Numbers;
    readonly targets: Numbers;
    readonly options: CtcLossOptions & { inputLengths: number[]; targetLengths: number[] };
    readonly expected: { readonly loss: Texts; readonly gradient: Texts };
  }[];
};

type Options = CtcLossOptions & { readonly inputLengths?: number[]; readonly targetLengths?: number[] };

const i32 = (values: number[] | number[][], shape?: number[]): Tensor => tensor(values, shape, "i32");

/** Logits with `value` in all steps past a row's end. */
function spoiled({ data, shape }: Tensor, lengths: readonly number[], value: number): Tensor {
  const copy = data.slice();
  const [t, n, c] = shape as [number, number, number];
  for (const step of range(0, t)) {
    for (const row of range(0, n)) {
      if (step >= lengths[row]!) copy.fill(value, (step * n + row) * c, (step * n + row + 1) * c);
    }
  }
  return { data: copy, shape };
}

/** The probabilities of all labellings of one row [T,C], by their labels joined with commas: the sums over all paths. */
function labellings(logits: Tensor, row: number, length: number, blank: number): Map<string, number> {
  const [, n, c] = logits.shape as [number, number, number];
  const y = range(0, length).map((step) => {
    const x = [...logits.data.subarray((step * n + row) * c, (step * n + row + 1) * c)];
    const sum = x.reduce((a, v) => a + Math.exp(v), 0);
    return x.map((v) => Math.exp(v) / sum);
  });
  const found = new Map<string, number>();
  const walk = (step: number, p: number, labels: number[], last: number): void => {
    if (step === length) {
      found.set(labels.join(), (found.get(labels.join()) ?? 0) + p);
      return;
    }
    y[step]!.forEach((q, k) => walk(step + 1, p * q, k === blank || k === last ? labels : [...labels, k], k));
  };
  walk(0, 1, [], blank);
  return found;
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const close = tolerances[dtype];

    const named = cases.map((each, i) => {
      const { reduction, zeroInfinity, inputLengths } = each.options;
      const what = `${reduction} of [${each.logits.shape.join()}], ${each.targets.shape[1]} labels, steps ${inputLengths.join()}`;
      return [`${i} ${what}${zeroInfinity ? ", zeroInfinity" : ""}`, each] as const;
    });
    test.each(named)("%s", (_, { logits, targets, options, expected }) => {
      const { inputLengths, targetLengths } = options;
      const x = tensorOf(logits, dtype);
      const t = tensorOf(targets, "i32");
      const { loss, dLogits } = ctcLoss(x, t, options);
      expect(loss).toBeAllClose(numbersOf(expected.loss), close);
      expect(dLogits).toBeAllClose(numbersOf(expected.gradient), close);
      // Neither steps nor labels past the lengths count, and lengths may be given in other ways.
      const columns = t.shape[1]!;
      const padded = i32(
        [...t.data].map((v, i) => (i % columns < targetLengths[Math.floor(i / columns)]! ? v : -99)),
        [...t.shape],
      );
      const other = {
        ...options,
        inputLengths: Int32Array.from(inputLengths),
        targetLengths: i32(targetLengths, [targetLengths.length]),
      };
      expect(ctcLoss(spoiled(x, inputLengths, NaN), padded, other)).toEqual({ loss, dLogits });
      expect(dLogits).toEqual(spoiled(dLogits, inputLengths, 0));
    });

    test("the loss is that of the sum over all paths", () => {
      const x = wave([5, 2, 4], dtype);
      for (const blank of range(0, 4)) {
        for (const length of range(0, 6)) {
          const all = labellings(x, 1, length, blank);
          expect([...all.values()].reduce((a, p) => a + p, 0)).toBeCloseTo(1, 12);
          const labels = range(0, 4).filter((k) => k !== blank);
          const targets = [[], ...labels.map((k) => [k]), ...labels.flatMap((k) => labels.map((j) => [k, j]))];
          targets.push([labels[0]!, labels[0]!, labels[0]!], [labels[2]!, labels[0]!, labels[2]!]);
          for (const target of targets) {
            const s = target.length;
            const options = { blank, inputLengths: [0, length], targetLengths: [0, s], reduction: "none" } as const;
            const { loss } = ctcLoss(x, i32([...target, ...target], [2, s]), options);
            expect(loss.data[0]).toBe(0); // no step and no label: the empty path
            expect(loss.data[1]).toBeAllClose(-Math.log(all.get(target.join()) ?? 0), close);
          }
        }
      }
    });

    test("a row has the same bits in any batch, whatever the padding", () => {
      const x = wave([9, 3, 5], dtype);
      const targets = i32([
        [1, 1, 2, 4],
        [3, 4, 0, 0],
        [2, 0, 0, 0],
      ]);
      const lengths = { inputLengths: [9, 5, 7], targetLengths: [4, 2, 1] };
      const all = ctcLoss(x, targets, { ...lengths, reduction: "none" });
      for (const row of range(0, 3)) {
        const [steps, labels] = [lengths.inputLengths[row]!, lengths.targetLengths[row]!];
        const own = take(take(x, 1, [row]), 0, range(0, steps));
        const { loss, dLogits } = ctcLoss(own, take(take(targets, 0, [row]), 1, range(0, labels)), {
          reduction: "none",
        });
        expect(loss.data[0]).toBe(all.loss.data[row]);
        expect(dLogits).toEqual(take(take(all.dLogits, 1, [row]), 0, range(0, steps)));
      }
    });

    test("log-probabilities do as well as logits", () => {
      const x = wave([9, 2, 5], dtype);
      const targets = i32([[1, 2, 2], [3, 4, 3]]); // prettier-ignore
      const { loss, dLogits } = ctcLoss(x, targets);
      const other = ctcLoss(logSoftmax(x), targets);
      expect(other.loss).toBeAllClose(loss, close);
      expect(other.dLogits).toBeAllClose(dLogits, close);
    });

    test("large and impossible logits; NaN and Infinity", () => {
      const x = wave([4, 1, 3], dtype);
      const shifted = { data: x.data.map((v) => v + 4096), shape: x.shape };
      const target = i32([[1, 2]]);
      const close = dtype === "f64" ? { atol: 1e-11 } : { atol: 1e-2 };
      expect(ctcLoss(shifted, target).loss).toBeAllClose(ctcLoss(x, target).loss, close);
      // Where all of a step's classes have the largest logit, it has no digits left for the logarithm of their sum.
      const equal = (value: number) => ({ data: x.data.map(() => value), shape: x.shape });
      for (const value of [1e18, -1e18, 3e38]) {
        expect(ctcLoss(equal(value), target)).toEqual(ctcLoss(equal(0), target));
        const [found] = ctcBeamDecode(equal(value), { beamWidth: 99 });
        expect(found).toEqual(ctcBeamDecode(equal(0), { beamWidth: 99 })[0]);
      }
      const never = { data: x.data.map((v, i) => (i % 3 === 2 ? -Infinity : v)), shape: x.shape };
      expect(ctcLoss(never, target)).toEqual({
        loss: Infinity,
        dLogits: { data: x.data.map(() => NaN), shape: x.shape },
      });
      const { loss, dLogits } = ctcLoss(never, i32([[1]]));
      expect(loss).toBeLessThan(4);
      expect([...dLogits.data].every((v, i) => (i % 3 === 2 ? v === 0 : Math.abs(v) < 1 && v !== 0))).toBe(true);
      for (const value of [NaN, Infinity]) {
        const bad = { data: x.data.slice(), shape: x.shape };
        bad.data[4] = value;
        const all = ctcLoss(bad, target, { zeroInfinity: true });
        expect(all).toEqual({ loss: NaN, dLogits: { data: x.data.map(() => NaN), shape: x.shape } });
      }
    });

    test("a thousand steps, where p is far below the smallest number; the gradient of each step adds up to 0", () => {
      const [t, n, c] = [1000, 2, 12];
      const x = wave([t, n, c], dtype);
      const targets = i32(
        range(0, 200).map((i) => 1 + ((7 * i) % 11)),
        [n, 100],
      );
      const { loss, dLogits } = ctcLoss(x, targets, { reduction: "sum" });
      expect(loss).toBeGreaterThan(2000);
      expect(loss).toBeLessThan(6000);
      for (let step = 0; step < t * n; step++) {
        const sum = [...dLogits.data.subarray(c * step, c * step + c)].reduce((a, v) => a + v, 0);
        expect(Math.abs(sum)).toBeLessThan(dtype === "f64" ? 1e-11 : 1e-6);
      }
    });

    test("no rows: NaN for the mean, 0 for the sum", () => {
      const x = { data: dtype === "f64" ? new Float64Array() : new Float32Array(), shape: [2 ** 40, 0, 3] };
      const none = i32([], [0, 5]);
      expect(ctcLoss(x, none)).toEqual({ loss: NaN, dLogits: x });
      expect(ctcLoss(x, none, { reduction: "sum" })).toEqual({ loss: 0, dLogits: x });
      expect(ctcLoss(x, none, { reduction: "none" }).loss.shape).toEqual([0]);
      expect(ctcGreedyDecode(x)).toEqual([]);
      expect(ctcBeamDecode(x, { beamWidth: 3 })).toEqual([]);
    });

    test("a wide beam finds every labelling with its probability", () => {
      const x = wave([5, 2, 3], dtype, 4);
      for (const blank of range(0, 3)) {
        const inputLengths = [5, 3];
        const found = ctcBeamDecode(x, { blank, inputLengths, beamWidth: 64, topPaths: 64 });
        for (const row of [0, 1]) {
          const all = labellings(x, row, inputLengths[row]!, blank);
          const expected = [...all].sort(([, p], [, q]) => q - p);
          expect(found[row]!.map(({ sequence }) => sequence.join())).toEqual(expected.map(([labels]) => labels));
          const logs = expected.map(([, p]) => Math.log(p));
          const actual = found[row]!.map(({ logProbability }) => logProbability);
          expect({ data: actual, shape: [logs.length] }).toBeAllClose({ data: logs, shape: [logs.length] }, close);
        }
      }
    });

    test("a beam's probability is at most that of ctcLoss, and near it if the beam is wide", () => {
      const x = { data: wave([12, 3, 6], dtype).data.map((v) => 4 * v), shape: [12, 3, 6] } as Tensor;
      const probability = (row: number, sequence: number[]): number =>
        -ctcLoss(take(x, 1, [row]), i32(sequence, [1, sequence.length]), { reduction: "sum" }).loss;
      let last = [-Infinity, -Infinity, -Infinity];
      for (const beamWidth of [1, 4, 30, 300]) {
        const found = ctcBeamDecode(x, { beamWidth });
        const best = found.map(([hypothesis], row) => {
          const { sequence, logProbability } = hypothesis!;
          const exact = probability(row, sequence);
          expect(logProbability).toBeLessThan(exact + 1e-5);
          if (beamWidth === 300) expect(logProbability).toBeAllClose(exact, { atol: 1e-2 });
          return exact;
        });
        if (beamWidth === 300) best.forEach((p, row) => expect(p).toBeGreaterThanOrEqual(last[row]!));
        last = best;
      }
      const greedy = ctcGreedyDecode(x);
      greedy.forEach((sequence, row) => expect(probability(row, sequence)).toBeLessThanOrEqual(last[row]!));
    });

    test("the best labelling need not be that of the best path", () => {
      const p = [0.6, 0.4, 0.6, 0.4]; // twice: blank, 1; the empty labelling has 0.36, [1] 0.64
      const x = tensor(p.map(Math.log), [2, 1, 2], dtype);
      expect(ctcGreedyDecode(x)).toEqual([[]]);
      const [first, second] = ctcBeamDecode(x, { beamWidth: 4, topPaths: 2 })[0]!;
      expect(first).toMatchObject({ sequence: [1] });
      expect(first!.logProbability).toBeAllClose(Math.log(0.64), close);
      expect(second).toMatchObject({ sequence: [] });
      expect(second!.logProbability).toBeAllClose(Math.log(0.36), close);
    });

    test("the greedy decoder merges repeats, removes blanks, and takes the lowest of equal classes", () => {
      const path = (classes: number[]): Tensor =>
        tensor(
          classes.flatMap((k) => range(0, 4).map((j) => (j === k ? 2 : j > k ? 2 : -1))),
          [classes.length, 1, 4],
          dtype,
        );
      expect(ctcGreedyDecode(path([1, 1, 0, 1, 2, 2, 3, 0, 0, 3]))).toEqual([[1, 1, 2, 3, 3]]);
      expect(ctcGreedyDecode(path([1, 1, 0, 1, 2, 2, 3, 0, 0, 3]), { blank: 3 })).toEqual([[1, 0, 1, 2, 0]]);
      expect(ctcGreedyDecode(path([1, 2, 3]), { inputLengths: [2] })).toEqual([[1, 2]]);
      expect(ctcGreedyDecode(path([1, 2, 3]), { inputLengths: [0] })).toEqual([[]]);
      const low = tensor([-Infinity, -Infinity, 5, Infinity], [2, 1, 2], dtype);
      expect(ctcGreedyDecode(low)).toEqual([[1]]);
    });
  });

  test("central differences", () => {
    const x = wave([6, 3, 4], "f64");
    const targets = i32([[1, 1, 2], [3, 1, 3], [2, -1, -1]]); // prettier-ignore
    for (const reduction of ["mean", "sum"] as const) {
      for (const options of [
        { reduction, targetLengths: [3, 3, 1] },
        { reduction, inputLengths: [6, 4, 2], targetLengths: [2, 3, 0] },
        { reduction, inputLengths: [6, 0, 1], targetLengths: [1, 2, 1], zeroInfinity: true },
      ]) {
        const numeric = centralDifferences(() => ctcLoss(x, targets, options).loss, x.data as Float64Array);
        const { dLogits } = ctcLoss(x, targets, options);
        expect(dLogits).toBeAllClose({ data: numeric, shape: x.shape }, { atol: 1e-10 });
      }
    }
  });
});

describe("recorded", () => {
  const x = wave([6, 3, 4], "f64");
  const targets = i32([[1, 1, 2], [3, 1, 3], [2, 0, 0]]); // prettier-ignore
  const options = { inputLengths: [6, 5, 4], targetLengths: [3, 3, 1] };

  test.each(["mean", "sum"] as const)("%s: the gradient is dLogits", (reduction) => {
    const { loss, dLogits } = ctcLoss(x, targets, { ...options, reduction });
    const recorded = valueAndGrad(() => ctcLoss(x, targets, { ...options, reduction }), [x]);
    expect(recorded).toEqual({ loss, gradients: [dLogits] });
  });

  test("none: each row's gradient times that of its loss", () => {
    const goal = tensor([1, 5, 2]);
    const body = () => mse(ctcLoss(x, targets, { ...options, reduction: "none" }).loss, goal);
    const numeric = centralDifferences(() => body().loss, x.data as Float64Array);
    expect(valueAndGrad(body, [x]).gradients[0]).toBeAllClose({ data: numeric, shape: x.shape }, { atol: 1e-9 });
  });

  test("minimize trains a layer to align a sequence", () => {
    using rnn = new GRU(3, 8, { seed: 1 });
    using linear = new Linear(8, 4, { seed: 2 });
    using optimizer = new Adam([...rnn.parameters(), ...linear.parameters()], { lr: 0.02 });
    const input = wave([10, 2, 3], "f64");
    const labels = i32([[1, 2, 3, 1], [2, 2, 3, 0]]); // prettier-ignore
    const logits = (): Tensor => linear.forward(rnn.forward(input).output).output;
    for (let step = 0; step < 150; step++) {
      optimizer.minimize(() => ctcLoss(logits(), labels, { targetLengths: [4, 3] }));
    }
    expect(ctcGreedyDecode(logits())).toEqual([[1, 2, 3, 1], [2, 2, 3]]); // prettier-ignore
    expect(ctcBeamDecode(logits(), { beamWidth: 8 }).map(([best]) => best!.sequence)).toEqual(
      ctcGreedyDecode(logits()),
    );
  });
});

test("ctcLoss leaves no memory behind", () => {
  const before = currentCore().heap.bytesUsed;
  ctcLoss(wave([4, 2, 3], "f64"), i32([[1], [2]]));
  expect(() => ctcLoss(wave([4, 2, 3], "f64"), i32([[1], [3]]))).toThrow(ValueError);
  ctcBeamDecode(wave([4, 2, 3], "f64"), { beamWidth: 3 });
  expect(currentCore().heap.bytesUsed).toBe(before);
});

testBoth("errors: %s", (dtype) => {
  const x = wave([4, 2, 3], dtype);
  const t = i32([[1, 2], [2, 1]]); // prettier-ignore
  const loss =
    (options: object, logits = x, targets = t): (() => unknown) =>
    () =>
      ctcLoss(logits, targets, options as Options);
  refuses(loss({}, wave([4, 3], dtype)), ShapeError, "logits", "[4, 3]", "[T, N, C]");
  refuses(loss({}, wave([0, 2, 3], dtype)), ShapeError, "logits", "at least one step and one class");
  refuses(loss({}, wave([4, 2, 0], dtype)), ShapeError, "logits", "at least one step and one class");
  refuses(loss({}, i32([1], [1, 1, 1])), DtypeError, "logits", "i32");
  refuses(loss({}, x, wave([2, 2], dtype)), DtypeError, "targets", dtype, "i32");
  refuses(loss({}, x, i32([1, 2])), ShapeError, "targets", "[2]", "[2, S]");
  refuses(loss({}, x, i32([[1, 2]])), ShapeError, "targets", "[1, 2]", "[2, S]");
  for (const label of [-1, 0, 3]) {
    refuses(loss({}, x, i32([[1, 2], [1, label]])), ValueError, "targets", `${label} at position 3`, "classes from 0 to 2 without the blank, 0"); // prettier-ignore
  }
  refuses(loss({ blank: 2 }), ValueError, "targets", "2 at position 1", "without the blank, 2");
  for (const blank of [-1, 3, 0.5, NaN, "0"]) refuses(loss({ blank }), ValueError, "blank", "an integer from 0 to 2");
  refuses(loss({ inputLengths: [4, 5] }), ValueError, "inputLengths[1]", "5", "an integer from 0 to 4");
  refuses(loss({ inputLengths: [4] }), ShapeError, "inputLengths", "2 numbers");
  refuses(loss({ targetLengths: [2, -1] }), ValueError, "targetLengths[1]", "-1", "an integer from 0 to 2");
  refuses(loss({ targetLengths: i32([1]) }), ShapeError, "targetLengths", "[1]", "[2]");
  refuses(loss({ reduction: "max" }), ValueError, "reduction", '"mean", "sum" or "none"');
  refuses(loss({ zeroInfinity: 1 }), ValueError, "zeroInfinity", "true or false");
  refuses(loss({ lengths: [1] }), UnsupportedError, "ctcLoss option", "lengths");
  refuses(() => ctcGreedyDecode(wave([4, 3], dtype)), ShapeError, "logits", "[T, N, C]");
  refuses(() => ctcGreedyDecode(x, { blank: 3 }), ValueError, "blank");
  refuses(() => ctcGreedyDecode(x, { inputLengths: [5, 1] }), ValueError, "inputLengths[0]");
  const nan = { data: x.data.slice(), shape: x.shape };
  nan.data[8] = NaN; // row 0, step 1
  refuses(() => ctcGreedyDecode(nan), ValueError, "logits", "NaN at position 8", "numbers");
  expect(ctcGreedyDecode(nan, { inputLengths: [1, 4] })).toEqual(ctcGreedyDecode(x, { inputLengths: [1, 4] }));
  refuses(() => ctcBeamDecode(nan, { beamWidth: 2 }), ValueError, "logits", "row 0", "no NaN");
  expect(ctcBeamDecode(nan, { beamWidth: 2, inputLengths: [1, 4] })).toHaveLength(2);
  for (const beamWidth of [0, 1.5, undefined]) {
    refuses(() => ctcBeamDecode(x, { beamWidth: beamWidth as number }), ValueError, "beamWidth", "an integer >= 1");
  }
  refuses(() => ctcBeamDecode(x, { beamWidth: 2, topPaths: 3 }), ValueError, "topPaths", "at most beamWidth, 2");
  refuses(() => ctcBeamDecode(x, { beamWidth: 2 ** 40 }), OutOfMemoryError, "beams");
  refuses(() => ctcBeamDecode(x, { beamWidth: 2 ** 28 }), OutOfMemoryError, "beams");
});
