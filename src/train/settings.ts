// The settings of a training, their defaults and valid ranges, for the command line and the state file. Settings, text and
// build together determine every number of a training.

import { CHARLM_CELLS, type CharLMCell } from "../models/charlm.js";

/** The settings of a training. With the text and the build they determine its numbers. */
export interface Settings {
  cell: CharLMCell;
  hidden: number;
  layers: number;
  embedding: number;
  seq: number;
  batch: number;
  epochs: number;
  lr: number;
  clip: number;
  dtype: "f32" | "f64";
  seed: number;
  /** Fraction of the text, at its end, held back for validation. */
  validation: number;
  /** Steps from one evaluation to the next. */
  evalEvery: number;
  /** Shards of a batch, 2 or more; absent for one, which is training as a whole. */
  shards?: number;
  /** Steps that each shard takes by itself, 2 or more; absent for gradients that are added at each step. */
  localSteps?: number;
  /** Nesterov momentum of the averaged changes; absent for none. */
  outerMomentum?: number;
}

/** Defaults; that of evalEvery is a tenth of the planned steps. */
export const DEFAULTS: Readonly<Omit<Settings, "evalEvery">> = {
  cell: "LSTM",
  hidden: 128,
  layers: 2,
  embedding: 64,
  seq: 50,
  batch: 50,
  epochs: 1,
  lr: 0.005,
  clip: 5,
  dtype: "f32",
  seed: 1,
  validation: 0.05,
};

/** A set of numbers, and its description for error messages. */
export interface Range {
  test: (value: number) => boolean;
  expected: string;
}

const whole = (value: number) => Number.isSafeInteger(value);

export const RANGES = {
  count: { test: (value) => whole(value) && value >= 1, expected: "a whole number from 1 up" },
  length: { test: (value) => whole(value) && value >= 0, expected: "a whole number from 0 up" },
  seed: {
    test: (value) => whole(value) && value >= 0 && value < 2 ** 32,
    expected: "a whole number from 0 to 4294967295",
  },
  positive: { test: (value) => value > 0 && value < Infinity, expected: "a number above 0" },
  fraction: { test: (value) => value >= 0 && value < 1, expected: "a number in [0, 1)" },
  temperature: { test: (value) => value >= 0 && value < Infinity, expected: "a number from 0 up" },
} satisfies Record<string, Range>;

/** Settings that are absent in most trainings. */
const OPTIONAL = {
  shards: { test: (value) => whole(value) && value >= 2, expected: "a whole number from 2 up" },
  localSteps: { test: (value) => whole(value) && value >= 2, expected: "a whole number from 2 up" },
  outerMomentum: { test: (value) => value > 0 && value < 1, expected: "a number above 0 and below 1" },
} satisfies Record<string, Range>;

const CHECKS: Record<Exclude<keyof Settings, "cell" | "dtype" | keyof typeof OPTIONAL>, Range> = {
  hidden: RANGES.count,
  layers: RANGES.count,
  embedding: RANGES.count,
  seq: RANGES.count,
  batch: RANGES.count,
  epochs: RANGES.count,
  lr: RANGES.positive,
  clip: RANGES.positive,
  seed: RANGES.seed,
  validation: RANGES.fraction,
  evalEvery: RANGES.count,
};

/** Whether `value`, read from a file, is a complete set of valid settings. */
export function isSettings(value: unknown): value is Settings {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Record<string, unknown>;
  const numbers = Object.entries(CHECKS).every(([name, { test }]) => {
    const number = record[name];
    return typeof number === "number" && test(number);
  });
  const cut = Object.entries<Range>(OPTIONAL).every(([name, { test }]) => {
    const number = record[name];
    return number === undefined || (typeof number === "number" && test(number));
  });
  return (
    numbers &&
    cut &&
    CHARLM_CELLS.includes(record.cell as CharLMCell) &&
    (record.dtype === "f32" || record.dtype === "f64")
  );
}

/**
 * The learning rate of a step (from 0) out of `total`: it rises linearly to `lr` over the first twentieth of the steps (at
 * most 100), then falls linearly to a twentieth of `lr`. It depends on its arguments only, so a resumed training has the same
 * rates.
 */
export function learningRate(step: number, total: number, lr: number): number {
  const warmUp = Math.min(100, Math.ceil(total / 20));
  if (step < warmUp) return (lr * (step + 1)) / warmUp;
  return lr * (1 - 0.95 * ((step + 1 - warmUp) / (total - warmUp)));
}
