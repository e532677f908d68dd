// The eight functions of CS231n's rnn_layers.py, against numbers by NumPy (tests/golden/course.py).
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import * as coursera from "../../src/coursera.js";
import * as cs231n from "../../src/cs231n.js";
import { lstmBackward, lstmForward, rnnBackward, rnnForward } from "../../src/cs231n.js";
import { DtypeError, Linear, ShapeError, StateError, type Tensor } from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import { type Numbers, golden, tensorOf, tensorsOf } from "../helpers/close.js";
import { type CourseCase, TOLERANCES, cs231nLibrary as course, describeCases, need, run } from "../helpers/course.js";
import { oddities, onlyTyped } from "../helpers/oddities.js";
import { refuses } from "../helpers/refuses.js";

interface Case {
  readonly kind: string;
  readonly inputs: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers>>;
}

const data = (golden("course") as { readonly cs231n: Readonly<Record<string, Case>> }).cs231n;
const pick = (name: string): Case => {
  const found = data[name];
  if (found === undefined) throw new Error(`course.json has no ${name}`);
  return found;
};

const cases: Record<string, CourseCase> = Object.fromEntries(
  Object.entries(data).map(([name, { inputs, ...each }]) => [name, { ...each, tensors: inputs }]),
);

describeCases(course, cases);

describe("a sequence is its steps, one after the other", () => {
  test.each([
    ["rnn", "rnnStep"],
    ["lstm", "lstmStep"],
  ])("%s", (name, stepKind) => {
    const t = tensorsOf(pick(name).inputs);
    const { results } = course.forward(name, t);
    const [n, steps, d] = need(t, "x").shape as [number, number, number];
    const hidden = need(t, "h0").shape[1] as number;
    let state = { prevH: need(t, "h0"), prevC: { shape: [n, hidden], data: new Float64Array(n * hidden) } as Tensor };
    for (let step = 0; step < steps; step++) {
      const x: Tensor = { shape: [n, d], data: rows(need(t, "x"), step) };
      const { nextH, nextC } = course.forward(stepKind, { ...t, ...state, x }).results;
      expect(nextH).toBeAllClose({ shape: [n, hidden], data: rows(need(results, "h"), step) }, TOLERANCES.f64);
      state = { prevH: nextH as Tensor, prevC: nextC ?? state.prevC };
    }
  });
});

describe("types", () => {
  test("the results' fields can be used as they are declared", () => {
    const rnn = tensorsOf(pick("rnn").inputs) as Record<"x" | "h0" | "Wx" | "Wh" | "b" | "dh", Tensor>;
    const { h, cache } = rnnForward(rnn.x, rnn.h0, rnn.Wx, rnn.Wh, rnn.b);
    const { dx, dh0, dWx, dWh, db } = rnnBackward(rnn.dh, cache);
    expect([h, dx, dh0, dWx, dWh, db].map(({ shape }) => String(shape))).toEqual([
      "2,7,5",
      "2,7,3",
      "2,5",
      "3,5",
      "5,5",
      "5",
    ]);
    const lstm = tensorsOf(pick("lstm").inputs) as typeof rnn;
    const forward = lstmForward(lstm.x, lstm.h0, lstm.Wx, lstm.Wh, lstm.b);
    expect(lstmBackward(lstm.dh, forward.cache).dWh.shape).toEqual([5, 20]);
  });

  test("numbers that are no floats are refused", () => {
    const { inputs } = pick("lstm");
    const x = tensorOf(inputs.x as Numbers, "i32");
    expect(() => run(course, "lstm", { ...tensorsOf(inputs), x })).toThrow(DtypeError);
    expect(() => run(course, "lstm", { ...tensorsOf(inputs), x })).toThrow(/\bx\b/);
  });
});

/** One step of a (batch, time, features) tensor. */
function rows({ shape, data: all }: Tensor, step: number): Float64Array {
  const [n, steps, width] = shape as [number, number, number];
  const start = (row: number): number => (row * steps + step) * width;
  return Float64Array.from(
    Array.from({ length: n }, (_, row) => [...all.slice(start(row), start(row) + width)]).flat(),
  );
}

describe("caches and states", () => {
  const t = (...shape: number[]) =>
    tensorOf({ shape, data: Array.from({ length: shape.reduce((a, b) => a * b) }, () => 0.5) });

  test("a cache belongs to one course, one cell, and one function", () => {
    const { cache, h } = cs231n.rnnForward(t(2, 3, 4), t(2, 5), t(4, 5), t(5, 5), t(5));
    const { caches } = coursera.rnnForward(t(4, 2, 3), t(5, 2), { Wax: t(5, 4), Waa: t(5, 5), ba: t(5, 1) });
    expect(cs231n.rnnBackward(h, cache).dx.shape).toEqual([2, 3, 4]);
    expect(() => cs231n.rnnBackward(h, caches as never)).toThrow(StateError);
    expect(() => coursera.rnnBackward(t(5, 2, 3), cache as never)).toThrow(StateError);
    expect(() => cs231n.lstmBackward(h, cache)).toThrow(StateError);
    expect(() => cs231n.rnnStepBackward(t(2, 5), cache)).toThrow(StateError);
  });

  test("nothing that a user can reach of a cache decides what the backward functions read", () => {
    const victim = new Linear(64, 64, { seed: 1 });
    const weights = () => victim.parameters().map(({ value }) => [...value.data]);
    const before = weights();
    const rnn = { Wax: t(5, 4), Waa: t(5, 5), ba: t(5, 1) };
    const lstm = Object.fromEntries(["f", "i", "c", "o"].flatMap((g) => [[`W${g}`, t(5, 9)], [`b${g}`, t(5, 1)]])) as never; // prettier-ignore
    const cells = {
      rnn: coursera.rnnCellForward(t(4, 2), t(5, 2), rnn).cache,
      lstm: coursera.lstmCellForward(t(4, 2), t(5, 2), t(5, 2), lstm).cache,
    };
    const all = {
      rnn: coursera.rnnForward(t(4, 2, 3), t(5, 2), rnn).caches,
      lstm: coursera.lstmForward(t(4, 2, 3), t(5, 2), lstm).caches,
    };
    // shapes of what a user sees
    for (const shape of [
      [1, 2],
      [5, 1],
      [500, 2],
      [5, 2000],
    ]) {
      // prettier-ignore
      for (const cache of [cells.rnn, cells.lstm, all.rnn, all.lstm]) {
        for (const value of Object.values(cache) as Tensor[]) (value.shape as number[]).splice(0, 2, ...shape);
      }
      const [d2, d3] = [t(...shape), t(...shape, 3)];
      refuses(() => coursera.rnnCellBackward(d2, cells.rnn), ShapeError, "daNext", "expected [5, 2]");
      refuses(() => coursera.lstmCellBackward(t(5, 2), d2, cells.lstm), ShapeError, "dcNext", "expected [5, 2]");
      refuses(() => coursera.rnnBackward(d3, all.rnn), ShapeError, "da", "expected [5, 2, T]");
      refuses(() => coursera.lstmBackward(d3, all.lstm), ShapeError, "da", "expected [5, 2, T]");
    }
    expect(coursera.rnnCellBackward(t(5, 2), cells.rnn).dxt.shape).toEqual([4, 2]);
    // the arrays of what a user sees
    const step = cs231n.rnnStepForward(t(2, 4), t(2, 5), t(4, 5), t(5, 5), t(5));
    const expected = cs231n.rnnStepBackward(t(2, 5), step.cache);
    structuredClone(step.cache.x.data.buffer, { transfer: [step.cache.x.data.buffer as ArrayBuffer] });
    expect(cs231n.rnnStepBackward(t(2, 5), step.cache)).toEqual(expected);
    // there is no way from a cache to what is kept
    expect(Object.getOwnPropertySymbols(step.cache)).toEqual([]);
    const frozen = Object.freeze(coursera.lstmForward(t(4, 2, 3), t(5, 2), lstm).caches);
    expect(frozen.ft.shape).toEqual([5, 2, 3]);
    expect(frozen.ft).toBe(frozen.ft);
    const copies: unknown[] = [{ ...step.cache }, Object.create(step.cache), new Proxy(step.cache, {})];
    for (const cache of [...copies, ...oddities().map(([, value]) => value)]) {
      for (const call of [
        () => cs231n.rnnStepBackward(t(2, 5), cache as never),
        () => cs231n.lstmBackward(t(2, 3, 5), cache as never),
        () => coursera.rnnCellBackward(t(5, 2), cache as never),
        () => coursera.lstmBackward(t(5, 2, 3), cache as never),
      ]) {
        refuses(call, StateError, "the cache that the forward function of the same name returned");
      }
    }
    expect(weights()).toEqual(before);
    victim.dispose();
  });

  test("inputs and parameters are read once, from any realm, and a copy of them is used", () => {
    const make = runInNewContext("(list) => Float64Array.from(list)") as (list: unknown) => Float64Array;
    const foreign = (tensor: Tensor) => ({ data: make(tensor.data), shape: tensor.shape });
    const shared = ({ data, shape }: Tensor) => {
      const copy = new Float64Array(new SharedArrayBuffer(8 * data.length));
      copy.set(data);
      return { data: copy, shape };
    };
    const rnn = { Wax: t(5, 4), Waa: t(5, 5), ba: t(5, 1), Wya: t(2, 5), by: t(2, 1) };
    const expected = coursera.rnnForward(t(4, 2, 3), t(5, 2), rnn);
    const steps = cs231n.lstmForward(t(2, 3, 4), t(2, 5), t(4, 20), t(5, 20), t(20));
    for (const change of [foreign, shared]) {
      const reads: Record<string, number> = {};
      const parameters = Object.defineProperties(
        {},
        Object.fromEntries(
          Object.entries(rnn).map(([name, value]) => [
            name,
            { get: () => ((reads[name] = (reads[name] ?? 0) + 1), reads[name] === 1 ? change(value) : 5n) },
          ]),
        ),
      ) as typeof rnn;
      const { a, yPred, caches } = coursera.rnnForward(change(t(4, 2, 3)), change(t(5, 2)), parameters);
      expect([a, yPred]).toEqual([expected.a, expected.yPred]);
      expect(reads).toEqual({ Wax: 1, Waa: 1, ba: 1, Wya: 1, by: 1 });
      expect(coursera.rnnBackward(change(t(5, 2, 3)), caches)).toEqual(
        coursera.rnnBackward(t(5, 2, 3), expected.caches),
      );
      const [x, h0, Wx, Wh, b] = [t(2, 3, 4), t(2, 5), t(4, 20), t(5, 20), t(20)].map(change) as [Tensor, Tensor, Tensor, Tensor, Tensor]; // prettier-ignore
      expect(cs231n.lstmForward(x, h0, Wx, Wh, b).h).toEqual(steps.h);
      expect(coursera.softmax(change(t(3, 2)))).toEqual(coursera.softmax(t(3, 2)));
    }
  });

  test.each(oddities())("%s gives a result or a typed error", (_, value) => {
    const odd = value as never;
    const rnn = { Wax: t(5, 4), Waa: t(5, 5), ba: t(5, 1) };
    const calls: Record<string, () => unknown> = {
      "coursera x": () => coursera.rnnForward(odd, t(5, 2), rnn),
      "coursera x.data": () => coursera.rnnForward({ data: odd, shape: [4, 2, 3] }, t(5, 2), rnn),
      "coursera x.shape": () => coursera.rnnForward({ data: new Float64Array(24), shape: odd }, t(5, 2), rnn),
      "coursera a0": () => coursera.rnnForward(t(4, 2, 3), odd, rnn),
      "coursera p": () => coursera.rnnForward(t(4, 2, 3), t(5, 2), odd),
      "coursera Waa": () => coursera.rnnForward(t(4, 2, 3), t(5, 2), { ...rnn, Waa: odd }),
      "coursera Wya": () => coursera.rnnForward(t(4, 2, 3), t(5, 2), { ...rnn, Wya: odd, by: odd }),
      "coursera options": () => coursera.rnnForward(t(4, 2, 3), t(5, 2), rnn, odd),
      "coursera activation": () => coursera.rnnForward(t(4, 2, 3), t(5, 2), rnn, { activation: odd }),
      "coursera p of an LSTM": () => coursera.lstmCellForward(t(4, 2), t(5, 2), t(5, 2), odd),
      "coursera softmax": () => coursera.softmax(odd),
      "cs231n x": () => cs231n.lstmForward(odd, t(2, 5), t(4, 20), t(5, 20), t(20)),
      "cs231n Wh": () => cs231n.lstmForward(t(2, 3, 4), t(2, 5), t(4, 20), odd, t(20)),
      "cs231n b": () => cs231n.lstmForward(t(2, 3, 4), t(2, 5), t(4, 20), t(5, 20), odd),
    };
    for (const [name, call] of Object.entries(calls)) onlyTyped(call, name);
  });

  test("axes that hold no numbers cost nothing, and claim no memory", () => {
    const empty = (...shape: number[]): Tensor => ({ data: new Float64Array(0), shape });
    const start = performance.now();
    const lstm = Object.fromEntries(["f", "i", "c", "o"].flatMap((g) => [[`W${g}`, t(5, 9)], [`b${g}`, t(5, 1)]])) as never; // prettier-ignore
    refuses(() => coursera.lstmForward(empty(4, 0, 3), empty(2 ** 15, 0), lstm), ShapeError, "Wi: got [5, 9]");
    refuses(() => coursera.lstmForward(empty(2 ** 40, 0, 3), empty(5, 0), lstm), ShapeError, "Wi: got [5, 9]");
    onlyTyped(() => coursera.softmax(empty(2 ** 40, 0)), "softmax");
    onlyTyped(() => coursera.softmax(empty(0, 2 ** 40)), "softmax");
    onlyTyped(() => cs231n.rnnForward(empty(0, 2 ** 40, 4), empty(0, 5), t(4, 5), t(5, 5), t(5)), "rnnForward");
    onlyTyped(() => cs231n.rnnForward(empty(2, 2 ** 40, 0), t(2, 5), empty(0, 5), t(5, 5), t(5)), "rnnForward");
    expect(performance.now() - start).toBeLessThan(patient(1000));
  });

  test("one step of an LSTM wants prevC", () => {
    const step = () => cs231n.lstmStepForward(t(2, 4), t(2, 5), undefined as never, t(4, 20), t(5, 20), t(20));
    expect(step).toThrow(DtypeError);
    expect(step).toThrow(/prevC/);
  });
});
