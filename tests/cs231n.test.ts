// The eight functions of CS231n's rnn_layers.py, against numbers by NumPy (tests/golden/course.py).
import { describe, expect, test } from "vitest";
import * as coursera from "../src/coursera.js";
import * as cs231n from "../src/cs231n.js";
import { lstmBackward, lstmForward, rnnBackward, rnnForward } from "../src/cs231n.js";
import { DtypeError, StateError, type Tensor } from "../src/index.js";
import { type Numbers, golden, tensorOf, tensorsOf } from "./helpers/close.js";
import { type CourseCase, TOLERANCES, cs231nLibrary as course, describeCases, need, run } from "./helpers/course.js";

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

  test("one step of an LSTM wants prevC", () => {
    const step = () => cs231n.lstmStepForward(t(2, 4), t(2, 5), undefined as never, t(4, 20), t(5, 20), t(20));
    expect(step).toThrow(DtypeError);
    expect(step).toThrow(/prevC/);
  });
});
