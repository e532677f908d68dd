// The process of one contestant. It reads lines of JSON from bench/peers.ts: first a Task, then how long to measure, any
// number of times; it sleeps in between. bench/peers/python.py uses the same protocol.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { medianTime } from "./common.js";
import type { Sizes } from "./cases.js";

/** "step" is one step of a stream, with carried state. */
export type Op = "forward" | "forward+backward" | "step";

export interface Task {
  op: Op;
  dtype: "f64" | "f32";
  sizes: Sizes;
  /** How many threads compute. */
  threads: number;
  /**
   * Folder with x [T,N,D], dOutput [T,N,H], weightIh [4H,D], weightHh [4H,H] (gates i f g o), biasIh and biasHh [4H] as raw
   * f64. Initial states are zeros.
   */
  folder: string;
  /** Results are written to `folder` as `<name>.<result>.raw`. */
  name: string;
}

/** The answer to a Task. */
export interface Ready {
  /** Time of the first call. */
  firstMs: number;
  results: string[];
}

/** The answer to { run: milliseconds }. */
export interface Measured {
  /** Median time of one call. */
  us: number;
  calls: number;
}

export interface Prepared<R> {
  /** The call to measure. */
  call: () => R | Promise<R>;
  /** The results of a call: output [T,N,H]; dX, dWeightIh, dWeightHh, dBias, dH0 and dC0, in the shapes of a Task. */
  results: (result: R) => Record<string, ArrayLike<number>>;
}

export type Numbers = Float64Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** Reads the arrays of a task. */
export function reader({ folder, dtype }: Task): (name: string) => Numbers {
  return (name) => {
    const bytes = readFileSync(join(folder, `${name}.raw`));
    const numbers = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    return dtype === "f64" ? numbers : Float32Array.from(numbers);
  };
}

/** A matrix [rows,columns] as [columns,rows]. */
export function transpose(matrix: Numbers, rows: number, columns: number): Numbers {
  return matrix.map((_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** Answers each line of the standard input. */
export async function serve<R>(prepare: (task: Task) => Prepared<R> | Promise<Prepared<R>>): Promise<void> {
  console.log = console.info = console.warn = () => {}; // the standard output is for answers alone
  const answer = (message: Ready | Measured) => process.stdout.write(`${JSON.stringify(message)}\n`);
  let prepared: Prepared<R> | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    if (prepared === undefined) {
      const task = JSON.parse(line) as Task;
      prepared = await prepare(task);
      answer(await first(task, prepared));
    } else {
      answer(await medianTime(prepared.call, (JSON.parse(line) as { run: number }).run));
    }
  }
}

async function first<R>({ op, folder, name }: Task, { call, results }: Prepared<R>): Promise<Ready> {
  const start = performance.now();
  let result = await call();
  const firstMs = performance.now() - start;
  if (op === "step") for (let i = 1; i < 3; i++) result = await call(); // the third output depends on carried states
  const all = Object.entries(results(result));
  for (const [key, values] of all) writeFileSync(join(folder, `${name}.${key}.raw`), Float64Array.from(values));
  return { firstMs, results: all.map(([key]) => key) };
}
