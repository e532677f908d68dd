// wasm-rnn bench: times the runs of an ONNX model, and the steps of its stream.

import { showShape, sizeOf } from "../../bindings/tensor.js";
import { ELEMENT_ARRAYS, type ElementType } from "../base/element.js";
import type { ModelValue } from "../graphs/feeds.js";
import type { Model } from "../graphs/model.js";
import type { Variant } from "./build.js";
import { CliError, messageOf, usageError } from "./errors.js";
import { escapeControls, safeJson } from "./escape.js";
import { readBytes } from "./files.js";
import { loadIndex, loadOnnx } from "./library.js";
import { print } from "./output.js";
import { count } from "./progress.js";
import { startedThreads, threadsFor } from "./threads.js";

/** Options of the command. Pairs are texts: an input's name and what it is given. */
export interface BenchOptions {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly values: ReadonlyMap<string, number>;
  readonly carry: ReadonlyMap<string, string>;
  readonly dtype: "f32" | "f64" | undefined;
  readonly seconds: number;
  readonly variant: Variant | undefined;
  /** undefined: as many as there are cores. */
  readonly threads: number | undefined;
  readonly json: boolean;
}

type Feeds = Parameters<Model["run"]>[0];

/** The times of many calls, in milliseconds. */
interface Times {
  readonly calls: number;
  readonly median: number;
  readonly p95: number;
}

/** Runs the command. Returns the exit code. */
export async function bench(path: string, options: BenchOptions): Promise<number> {
  const bytes = readBytes(path, "model");
  const [{ fromOnnx }, { configure, buildInfo, startThreads, stopThreads }] = await Promise.all([
    loadOnnx(),
    loadIndex(),
  ]);
  configure({ variant: options.variant ?? "auto" });
  const threads = await startedThreads(threadsFor(options.threads, 1), startThreads);
  try {
    const [loading, model] = timed(() => fromOnnx(bytes, { dtype: options.dtype }));
    const feeds = feedsOf(model, options);
    const [first] = timed(() => model.run(feeds));
    const run = times(() => model.run(feeds), options.seconds);
    const stream = model.stream({ carry: Object.fromEntries(options.carry) });
    const carried = new Set(options.carry.values());
    const stepped = Object.fromEntries(Object.entries(feeds).filter(([name]) => !carried.has(name)));
    const step = times(() => stream.step(stepped), options.seconds);
    report(path, options, { loading, first, run, step, feeds, variant: buildInfo().variant, threads });
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${path}: ${messageOf(error)}`);
  } finally {
    await stopThreads();
  }
  return 0;
}

/** Inputs: their numbers are given, or random from -0.5 to 0.5; whole numbers are 0. */
function feedsOf({ inputs }: Model, { shapes, values, carry }: BenchOptions): Feeds {
  const names = new Set(inputs.map(({ name }) => name));
  for (const name of [...shapes.keys(), ...values.keys(), ...carry.values()]) {
    if (names.has(name)) continue;
    throw usageError(`no input is named ${name}: the model has ${[...names].join(", ")}`);
  }
  return Object.fromEntries(
    inputs.map((input) => {
      const shape = shapes.get(input.name) ?? defaultShape(input);
      return [input.name, { data: numbersOf(input.dtype, sizeOf(shape), values.get(input.name)), shape }];
    }),
  );
}

/** The declared shape, open axes being 1. */
function defaultShape({ name, shape }: ModelValue): readonly number[] {
  if (!shape) throw usageError(`the model does not say the shape of ${name}: give --shape ${name}=...`);
  return shape.map((n) => (typeof n === "number" ? n : 1));
}

function numbersOf(dtype: ElementType, size: number, value: number | undefined) {
  const data = new ELEMENT_ARRAYS[dtype](size);
  const big = data instanceof BigInt64Array || data instanceof BigUint64Array;
  const isFloat = data instanceof Float32Array || data instanceof Float64Array;
  for (let i = 0; i < size; i++) {
    const number = value ?? (isFloat ? Math.random() - 0.5 : 0);
    data[i] = big ? BigInt(Math.trunc(number)) : number;
  }
  return data;
}

function timed<T>(call: () => T): [milliseconds: number, result: T] {
  const start = performance.now();
  const result = call();
  return [performance.now() - start, result];
}

/** Times calls for so many seconds, after half as many to warm up; at least three. */
function times(call: () => unknown, seconds: number): Times {
  const during = (milliseconds: number): number[] => {
    const each: number[] = [];
    const end = performance.now() + milliseconds;
    while (each.length < 3 || performance.now() < end) each.push(timed(call)[0]);
    return each.sort((a, b) => a - b);
  };
  during(500 * seconds);
  const all = during(1000 * seconds);
  const at = (share: number): number => all[Math.floor(share * (all.length - 1))]!;
  return { calls: all.length, median: at(0.5), p95: at(0.95) };
}

interface Results {
  readonly loading: number;
  readonly first: number;
  readonly run: Times;
  readonly step: Times;
  readonly feeds: Feeds;
  readonly variant: string;
  readonly threads: number;
}

function report(path: string, { json }: BenchOptions, { feeds, ...results }: Results): void {
  const shapes = Object.entries(feeds).map(([name, { shape }]) => [name, shape] as const);
  if (json) {
    print(`${safeJson({ event: "bench", file: path, shapes: Object.fromEntries(shapes), ...results })}\n`);
    return;
  }
  const shown = (milliseconds: number) => `${milliseconds.toPrecision(3)} ms`;
  const line = (name: string, { calls, median, p95 }: Times) =>
    `${name}: median ${shown(median)}, 95% within ${shown(p95)} (${count(calls)} calls)`;
  const lines = [
    `${path}: ${shapes.map(([name, shape]) => `${name} ${showShape(shape)}`).join(", ")}; ${results.variant} build, ${results.threads === 1 ? "one thread" : `${results.threads} threads`}`,
    `load: ${shown(results.loading)}, first run: ${shown(results.first)}`,
    line("run", results.run),
    line("stream step", results.step),
  ];
  print(lines.map((each) => `${escapeControls(each)}\n`).join(""));
}
