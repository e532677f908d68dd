// One interface to the functions of Coursera and CS231n, so that the same tests run on both: tensors by name in, all results
// by name out.
import { describe, expect, test } from "vitest";
import * as coursera from "../../src/coursera.js";
import * as cs231n from "../../src/cs231n.js";
import { ShapeError, type Tensor } from "../../src/index.js";
import { both } from "./both.js";
import { type Dtype, type Numbers, type Tensors, tensorOf, tensorsOf } from "./close.js";
import { centralDifferences } from "./gradient.js";
import { useVariant, variants } from "./variants.js";

export interface CourseOptions {
  activation?: "tanh" | "relu";
  output?: "softmax" | "sigmoid";
}

export interface Library {
  readonly batchAxis: number;
  readonly timeAxis: number;
  /** Results of the forward function (states, predictions), and its cache for the backward function. */
  forward(kind: string, t: Tensors, options?: CourseOptions): { results: Tensors; cache: unknown };
  backward(kind: string, t: Tensors, cache: unknown): Tensors;
}

/** A case of course.json. `tensors` are inputs and parameters; gradients that come in have names that begin with d. */
export interface CourseCase {
  readonly kind: string;
  readonly options?: CourseOptions;
  readonly tensors: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers>>;
}

export const TOLERANCES: Readonly<Record<Dtype, { rtol: number; atol: number }>> = {
  f64: { rtol: 1e-10, atol: 1e-12 },
  f32: { rtol: 2e-5, atol: 2e-5 },
};

// --------------------------------------------------------------------------------------------------------------------

export const courseraLibrary: Library = {
  batchAxis: 1,
  timeAxis: 2,
  forward(kind, t, options) {
    const p = parameters(t);
    const rnn = p as unknown as Parameters<typeof coursera.rnnForward>[2];
    const lstm = p as unknown as Parameters<typeof coursera.lstmForward>[2];
    switch (kind) {
      case "rnnCell":
        return split(coursera.rnnCellForward(need(t, "xt"), need(t, "aPrev"), rnn, options));
      case "rnn":
        return split(coursera.rnnForward(need(t, "x"), need(t, "a0"), rnn, options));
      case "lstmCell":
        return split(coursera.lstmCellForward(need(t, "xt"), need(t, "aPrev"), need(t, "cPrev"), lstm, options));
      case "lstm":
        return split(coursera.lstmForward(need(t, "x"), need(t, "a0"), lstm, options));
    }
    throw new Error(`no Coursera function for ${kind}`);
  },
  backward(kind, t, cache) {
    const c = cache as never; // made by the forward function of the same kind
    switch (kind) {
      case "rnnCell":
        return named(coursera.rnnCellBackward(need(t, "daNext"), c));
      case "rnn":
        return named(coursera.rnnBackward(need(t, "da"), c));
      case "lstmCell":
        return named(coursera.lstmCellBackward(need(t, "daNext"), need(t, "dcNext"), c));
      case "lstm":
        return named(coursera.lstmBackward(need(t, "da"), c));
    }
    throw new Error(`no Coursera function for ${kind}`);
  },
};

export const cs231nLibrary: Library = {
  batchAxis: 0,
  timeAxis: 1,
  forward(kind, t) {
    const weights = [need(t, "Wx"), need(t, "Wh"), need(t, "b")] as const;
    switch (kind) {
      case "rnnStep":
        return split(cs231n.rnnStepForward(need(t, "x"), need(t, "prevH"), ...weights));
      case "rnn":
        return split(cs231n.rnnForward(need(t, "x"), need(t, "h0"), ...weights));
      case "lstmStep":
        return split(cs231n.lstmStepForward(need(t, "x"), need(t, "prevH"), need(t, "prevC"), ...weights));
      case "lstm":
        return split(cs231n.lstmForward(need(t, "x"), need(t, "h0"), ...weights));
    }
    throw new Error(`no CS231n function for ${kind}`);
  },
  backward(kind, t, cache) {
    const c = cache as never; // made by the forward function of the same kind
    switch (kind) {
      case "rnnStep":
        return named(cs231n.rnnStepBackward(need(t, "dnextH"), c));
      case "rnn":
        return named(cs231n.rnnBackward(need(t, "dh"), c));
      case "lstmStep":
        return named(cs231n.lstmStepBackward(need(t, "dnextH"), need(t, "dnextC"), c));
      case "lstm":
        return named(cs231n.lstmBackward(need(t, "dh"), c));
    }
    throw new Error(`no CS231n function for ${kind}`);
  },
};

/** Forward, and backward where the tensors hold a gradient. */
export function run(library: Library, kind: string, t: Tensors, options?: CourseOptions): Tensors {
  const { results, cache } = library.forward(kind, t, options);
  return upstream(t).length > 0 ? { ...results, ...library.backward(kind, t, cache) } : results;
}

function split(result: object): { results: Tensors; cache: unknown } {
  const { cache, caches, ...results } = named(result);
  return { results, cache: cache ?? caches };
}

function named(result: object): Tensors {
  return Object.fromEntries<Tensor>(Object.entries(result).filter(([, value]) => value !== undefined));
}

function parameters(t: Tensors): Tensors {
  return Object.fromEntries(Object.entries(t).filter(([name]) => isParameter(name)));
}

const isParameter = (name: string): boolean => /^[Wb]/.test(name);
const upstream = (t: Readonly<Record<string, unknown>>): string[] =>
  Object.keys(t).filter((name) => name.startsWith("d"));

export function need(t: Tensors, name: string): Tensor {
  const value = t[name];
  if (value === undefined) throw new Error(`the case has no ${name}`);
  return value;
}

// --------------------------------------------------------------------------------------------------------------------

/** The tests of every function of a course. */
export function describeCases(library: Library, cases: Readonly<Record<string, CourseCase>>): void {
  const all = Object.entries(cases);
  const withBackward = all.filter(([, { tensors }]) => upstream(tensors).length > 0);
  const perKind = [...new Map(withBackward.map(([, each]) => [each.kind, each])).entries()];

  describe.each(variants)("%s build", (variant) => {
    useVariant(variant);

    both("%s", (dtype) => {
      test.each(all)("%s", (_, { kind, tensors, options, expected }) => {
        const results = run(library, kind, tensorsOf(tensors, dtype), options);
        expect(Object.keys(results).sort()).toEqual(Object.keys(expected).sort());
        for (const [name, value] of Object.entries(expected)) {
          expect(results[name], name).toBeAllClose(value, TOLERANCES[dtype]);
          expect(results[name]?.data, name).toBeInstanceOf(dtype === "f64" ? Float64Array : Float32Array);
        }
      });
    });
  });

  describe("gradients agree with central differences", () => {
    test.each(withBackward)("%s", (_, { kind, tensors, options }) => {
      const t = tensorsOf(tensors);
      const loss = (): number => {
        const { results } = library.forward(kind, t, options);
        return upstream(t).reduce((sum, name) => sum + weighted(need(results, name.slice(1)), need(t, name)), 0);
      };
      const { cache } = library.forward(kind, t, options);
      for (const [name, gradient] of Object.entries(library.backward(kind, t, cache))) {
        const { shape, data } = need(t, name.slice(1)); // daPrev is the gradient of aPrev
        const covered = gradient.data.length < data.length ? firstSteps(shape, data, gradient.shape) : undefined;
        const numeric = centralDifferences(loss, data as Float64Array);
        const values = covered?.map((i) => numeric[i] as number) ?? numeric;
        expect(gradient, name).toBeAllClose({ shape: gradient.shape, data: values }, { rtol: 1e-6, atol: 1e-9 });
      }
    });
  });

  describe.each(perKind)("%s", (kind, { tensors, options, expected }) => {
    test("leaves its inputs as they were", () => {
      const t = tensorsOf(tensors);
      run(library, kind, t, options);
      for (const [name, value] of Object.entries(tensors)) expect(t[name], name).toBeAllClose(value);
    });

    test("backward twice on one cache gives the same numbers, in arrays of their own", () => {
      const t = tensorsOf(tensors);
      const { cache } = library.forward(kind, t, options);
      const first = library.backward(kind, t, cache);
      const second = library.backward(kind, t, cache);
      for (const name of Object.keys(first)) {
        expect(need(second, name), name).toBeAllClose(need(first, name));
        expect(need(second, name).data.buffer).not.toBe(need(first, name).data.buffer);
      }
    });

    test("a batch of 0 gives empty results and gradients of 0", () => {
      const empty = (name: string, shape: readonly number[]): number[] =>
        shape.map((extent, axis) => (axis === library.batchAxis && !isParameter(name) ? 0 : extent));
      const t = Object.fromEntries(
        Object.entries(tensors).map(([name, value]) => {
          const shape = empty(name, value.shape);
          return [name, shape.includes(0) ? tensorOf({ shape, data: [] }) : tensorOf(value)];
        }),
      );
      const results = run(library, kind, t, options);
      for (const [name, value] of Object.entries(expected)) {
        const shape = empty(name.replace(/^d/, ""), value.shape);
        const size = shape.reduce((product, extent) => product * extent, 1);
        expect(results[name], name).toBeAllClose({ shape, data: new Float64Array(size) });
      }
    });

    if (tensors.x?.shape.length === 3) {
      test("a sequence of 0 steps is refused", () => {
        const t = tensorsOf(tensors);
        const shape = need(t, "x").shape.map((extent, axis) => (axis === library.timeAxis ? 0 : extent));
        refused(library, kind, { ...t, x: tensorOf({ shape, data: [] }) }, "x", options);
      });
    }

    test.each(Object.keys(tensors))("%s with an axis too many, or too few numbers, is refused by name", (name) => {
      const t = tensorsOf(tensors);
      const { shape, data } = need(t, name);
      refused(library, kind, { ...t, [name]: { shape: [...shape, 1], data } }, name, options);
      refused(library, kind, { ...t, [name]: { shape, data: data.slice(1) } }, name, options);
    });

    test.each(Object.keys(tensors).filter(isParameter))("%s with wrong extents is refused by name", (name) => {
      const t = tensorsOf(tensors);
      need(t, name).shape.forEach((_, axis) => {
        if (/^Wya?$/.test(name) && axis === 0) return; // how many outputs there are is the caller's choice
        refused(library, kind, { ...t, [name]: padded(need(t, name), axis) }, name, options);
      });
    });

    const states = Object.keys(tensors).filter((name) => !isParameter(name) && !/^xt?$/.test(name));
    test.each(states)("%s with another batch than x is refused by name", (name) => {
      const t = tensorsOf(tensors);
      refused(library, kind, { ...t, [name]: padded(need(t, name), library.batchAxis) }, name, options);
    });
  });
}

/** Sum of result * gradient, over the first steps where the gradient has fewer (time is then the last axis). */
function weighted(result: Numbers, gradient: Numbers): number {
  const covered =
    result.data.length > gradient.data.length ? firstSteps(result.shape, result.data, gradient.shape) : undefined;
  let sum = 0;
  for (let i = 0; i < gradient.data.length; i++) {
    sum += (gradient.data[i] as number) * (result.data[covered?.[i] ?? i] as number);
  }
  return sum;
}

/** Flat positions of the first steps along the last axis. */
function firstSteps(shape: readonly number[], data: ArrayLike<number>, covered: readonly number[]): number[] {
  const steps = shape.at(-1) as number;
  return Array.from({ length: data.length }, (_, i) => i).filter((i) => i % steps < (covered.at(-1) as number));
}

/** One more index along `axis`, filled with 0.5. */
function padded({ shape }: Numbers, axis: number): Tensor {
  const larger = shape.map((extent, k) => (k === axis ? extent + 1 : extent));
  return { shape: larger, data: new Float64Array(larger.reduce((product, extent) => product * extent, 1)).fill(0.5) };
}

/** The forward or the backward function throws a ShapeError that says which argument it is about. */
export function refused(library: Library, kind: string, t: Tensors, name: string, options?: CourseOptions): void {
  let error: unknown;
  try {
    run(library, kind, t, options);
  } catch (caught) {
    error = caught;
  }
  expect(error, name).toBeInstanceOf(ShapeError);
  expect((error as Error).message).toMatch(new RegExp(`\\b${name}\\b`));
}
