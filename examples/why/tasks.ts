// Three tasks that need a memory. Each makes sequences [T, N, D] at random, and what shall be said after the last step; `gap` is how far
// back the answer lies. None of them is more than a few lines, since a network's memory is what they test.

import type { Random } from "../../src/index.js";

export type TaskName = "remember" | "add" | "brackets";

/** A batch: x time-major, one answer for each row. */
export interface Batch {
  x: { data: Float32Array; shape: [T: number, N: number, D: number] };
  /** Classes as i32 [N], or numbers as f32 [N, 1]. */
  y: { data: Int32Array; shape: [number] } | { data: Float32Array; shape: [number, 1] };
}

export interface Task {
  name: TaskName;
  /** What it asks for. */
  asks: string;
  inputs: number;
  /** Classes, or 1 for a number. */
  outputs: number;
  /** A network that has learned nothing scores 0, a perfect one 1: of `loss` for numbers, of the share that is right for classes. */
  score(measured: { loss: number; right: number }): number;
  /** What `score` says, in words. */
  tell(measured: { loss: number; right: number }): string;
  /** Sequences in signs, for people. */
  example(gap: number, random: Random): string;
  batch(gap: number, rows: number, random: Random): Batch;
}

const pick = (random: Random, count: number) => Math.floor(count * random.uniform());

/** Four symbols, of which the first is to be remembered while others go by. */
const SYMBOLS = ["A", "B", "C", "D"];
const QUERY = 2 * SYMBOLS.length;

const remember: Task = {
  name: "remember",
  asks: "The first letter is a capital. Other letters go by. At the question mark: which capital was it?",
  inputs: QUERY + 1, // four capitals, four small letters, the question
  outputs: SYMBOLS.length,
  score: ({ right }) => (right - 1 / SYMBOLS.length) / (1 - 1 / SYMBOLS.length),
  tell: ({ right }) => `${(100 * right).toFixed(0)}% right, guessing gives ${100 / SYMBOLS.length}%`,
  example(gap, random) {
    const noise = Array.from({ length: gap }, () => "abcd"[pick(random, 4)]).join("");
    return `${SYMBOLS[pick(random, 4)]}${noise}?`;
  },
  batch(gap, rows, random) {
    const steps = gap + 2;
    const x = new Float32Array(steps * rows * this.inputs);
    const y = new Int32Array(rows);
    for (let n = 0; n < rows; n++) {
      y[n] = pick(random, SYMBOLS.length);
      for (let t = 0; t < steps; t++) {
        const sign = t === 0 ? y[n]! : t === steps - 1 ? QUERY : SYMBOLS.length + pick(random, SYMBOLS.length);
        x[(t * rows + n) * this.inputs + sign] = 1;
      }
    }
    return { x: { data: x, shape: [steps, rows, this.inputs] }, y: { data: y, shape: [rows] } };
  },
};

/** Mean squared error of always saying 1: the variance of a sum of two numbers that are uniform on [0, 1). */
const GUESSED = 1 / 6;

const add: Task = {
  name: "add",
  asks: "Numbers between 0 and 1 go by, and two of them are marked. At the end: what is their sum? (Hochreiter and Schmidhuber 1997)",
  inputs: 2,
  outputs: 1,
  score: ({ loss }) => 1 - loss / GUESSED,
  tell: ({ loss }) => `error² ${loss.toFixed(3)}, guessing gives ${GUESSED.toFixed(3)}`,
  example(gap, random) {
    const numbers = Array.from({ length: gap + 2 }, () => random.uniform().toFixed(1).slice(1));
    numbers[0] = `[${numbers[0]}]`;
    numbers[1 + pick(random, Math.max(1, gap / 2))] = `[${random.uniform().toFixed(1).slice(1)}]`;
    return numbers.join(" ");
  },
  batch(gap, rows, random) {
    const steps = gap + 2;
    const x = new Float32Array(steps * rows * 2);
    const y = new Float32Array(rows);
    for (let n = 0; n < rows; n++) {
      for (let t = 0; t < steps; t++) x[(t * rows + n) * 2] = random.uniform();
      // one mark in each half, so that the answer lies far back
      const half = Math.floor(steps / 2);
      for (const t of [pick(random, half), half + pick(random, steps - half)]) {
        x[(t * rows + n) * 2 + 1] = 1;
        y[n]! += x[(t * rows + n) * 2]!;
      }
    }
    return { x: { data: x, shape: [steps, rows, 2] }, y: { data: y, shape: [rows, 1] } };
  },
};

const PAIRS = ["()", "[]", "{}"];

/** Brackets that open and close at random, `gap` of them inside one that stays open: its sign, and all others in order. */
function bracketsOf(gap: number, random: Random): { signs: number[]; open: number } {
  const open = pick(random, PAIRS.length);
  const signs = [open];
  const inner: number[] = [];
  for (let t = 0; t < gap; t++) {
    const left = gap - t;
    const closes = inner.length > 0 && (inner.length >= left || random.uniform() < 0.5);
    if (closes) signs.push(PAIRS.length + inner.pop()!);
    else if (left > 1) {
      inner.push(pick(random, PAIRS.length));
      signs.push(inner.at(-1)!);
    }
  }
  return { signs, open };
}

const brackets: Task = {
  name: "brackets",
  asks: "Brackets of three kinds open and close, all but the first. At the end: which one closes it?",
  inputs: 2 * PAIRS.length + 1,
  outputs: PAIRS.length,
  score: ({ right }) => (right - 1 / PAIRS.length) / (1 - 1 / PAIRS.length),
  tell: ({ right }) => `${(100 * right).toFixed(0)}% right, guessing gives ${(100 / PAIRS.length).toFixed(0)}%`,
  example(gap, random) {
    const { signs } = bracketsOf(gap, random);
    return `${signs.map((sign) => PAIRS[sign % PAIRS.length]![Math.floor(sign / PAIRS.length)]).join("")}?`;
  },
  batch(gap, rows, random) {
    const steps = gap + 2;
    const x = new Float32Array(steps * rows * this.inputs);
    const y = new Int32Array(rows);
    for (let n = 0; n < rows; n++) {
      const { signs, open } = bracketsOf(gap, random);
      y[n] = open;
      // the last is the question, and fills what an odd number of brackets leaves
      for (let t = 0; t < steps; t++) x[(t * rows + n) * this.inputs + (signs[t] ?? 2 * PAIRS.length)] = 1;
    }
    return { x: { data: x, shape: [steps, rows, this.inputs] }, y: { data: y, shape: [rows] } };
  },
};

export const TASKS: Readonly<Record<TaskName, Task>> = { remember, add, brackets };
