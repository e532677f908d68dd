// Random numbers: the generator, distributions, saved states.
import { describe, expect, test } from "vitest";
import { Random, ValueError } from "../../src/index.js";
import { oddities, onlyTyped } from "../helpers/oddities.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

const draw = (count: number, next: () => number): number[] => Array.from({ length: count }, next);
const mean = (numbers: readonly number[]): number => numbers.reduce((sum, v) => sum + v, 0) / numbers.length;
const moment = (numbers: readonly number[], power: number): number => mean(numbers.map((v) => v ** power));

/** Within four standard errors. */
function near(value: number, expected: number, deviation: number, count: number): void {
  expect(Math.abs(value - expected)).toBeLessThan((4 * deviation) / Math.sqrt(count));
}

test("xoshiro128**: the numbers of its authors' code from the state 1 2 3 4", () => {
  // printed by https://prng.di.unimi.it/xoshiro128starstar.c with s = { 1, 2, 3, 4 }
  const random = new Random(0);
  random.state = [1, 2, 3, 4];
  expect(draw(8, () => random.uint32())).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849,
  ]);
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("a seed gives the same numbers in every version", () => {
    const random = new Random(42);
    expect(draw(2, () => random.uint32())).toEqual([660444221, 3652823732]);
    expect(draw(2, () => random.uniform())).toEqual([0.018084542542176507, 0.5348906284683476]);
    expect(draw(2, () => random.normal())).toEqual([1.6377429616879078, -0.46238198067144215]);
    const largest = new Random(2 ** 53 - 1);
    expect([largest.uint32(), largest.uniform(), largest.normal()]).toEqual([
      30487718, 0.8069561377448954, 0.08831634036873971,
    ]);
    expect(new Random(0).uint32()).toBe(1789933344);
  });
});

test("different seeds give different numbers", () => {
  const seeds = [0, 1, 2, 3, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52, 2 ** 53 - 1];
  expect(new Set(seeds.map((seed) => new Random(seed).uniform())).size).toBe(seeds.length);
  expect(new Random().uniform()).not.toBe(new Random().uniform());
});

const COUNT = 100_000;

test("uint32: integers over the whole range, every bit 1 half of the time", () => {
  const random = new Random(1);
  const numbers = draw(COUNT, () => random.uint32());
  for (const v of numbers) if (!(Number.isInteger(v) && v >= 0 && v < 2 ** 32)) expect(v).toBe("a uint32");
  for (let bit = 0; bit < 32; bit++) near(mean(numbers.map((v) => (v >>> bit) & 1)), 0.5, 0.5, COUNT);
});

test("uniform: in [0, 1), mean 1/2, variance 1/12, flat, neighbours independent", () => {
  const random = new Random(2);
  const numbers = draw(COUNT, () => random.uniform());
  expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  expect(Math.min(...numbers)).toBeLessThan(1e-3);
  expect(Math.max(...numbers)).toBeLessThan(1);
  expect(Math.max(...numbers)).toBeGreaterThan(1 - 1e-3);
  near(mean(numbers), 1 / 2, Math.sqrt(1 / 12), COUNT);
  const centred = numbers.map((v) => v - 0.5);
  near(moment(centred, 2), 1 / 12, Math.sqrt(1 / 180), COUNT);
  for (let tenth = 0; tenth < 10; tenth++) {
    near(numbers.filter((v) => Math.floor(10 * v) === tenth).length / COUNT, 0.1, 0.3, COUNT);
  }
  near(mean(centred.slice(1).map((v, i) => v * centred[i]!)), 0, 1 / 12, COUNT);
  expect(numbers.some((v) => (v * 2 ** 53) % 2 === 1)).toBe(true); // down to the last of 53 bits
});

test("normal: mean 0, variance 1, no skew, kurtosis 3, tails", () => {
  const random = new Random(3);
  const numbers = draw(COUNT, () => random.normal());
  near(mean(numbers), 0, 1, COUNT);
  near(moment(numbers, 2), 1, Math.sqrt(2), COUNT);
  near(moment(numbers, 3), 0, Math.sqrt(15), COUNT);
  near(moment(numbers, 4), 3, Math.sqrt(96), COUNT);
  near(numbers.filter((v) => Math.abs(v) > 1.959964).length / COUNT, 0.05, Math.sqrt(0.05 * 0.95), COUNT);
  expect(Math.max(...numbers.map(Math.abs))).toBeGreaterThan(3.5);
});

test("continues from a saved state; the state is a copy", () => {
  const random = new Random(4);
  draw(7, () => random.normal());
  const { state } = random;
  const expected = draw(20, () => random.normal());
  const other = new Random(5);
  other.state = state;
  expect(draw(20, () => other.normal())).toEqual(expected);
  other.state = Array.from(state);
  state.fill(7);
  other.state.fill(7);
  expect(draw(20, () => other.normal())).toEqual(expected);
});

test("refuses", () => {
  for (const seed of [-1, 0.5, NaN, Infinity, 2 ** 53, "1", null, 1n, {}]) {
    refuses(() => new Random(seed as number), ValueError, "seed", "an integer >= 0");
  }
  const random = new Random(6);
  const before = random.state;
  const wrong = [
    [1, 2, 3],
    [1, 2, 3, 4, 5],
    [0, 0, 0, 0],
    [1, 2, 3, -1],
    [1, 2, 3, 2 ** 32],
    [1, 2, 3, 0.5],
    [1, 2, 3, NaN],
    [1, 2, 3, "4"],
    [1, 2, 3, 4n],
    "1234",
    null,
    undefined,
    4,
    {},
  ];
  for (const state of wrong) {
    refuses(() => (random.state = state as number[]), ValueError, "state", "4 integers");
    expect(random.state).toEqual(before);
  }
});

test.each(oddities())("%s as a seed or a state gives a generator or a typed error", (_, value) => {
  const odd = value as never;
  onlyTyped(() => new Random(odd), "seed");
  const random = new Random(6);
  const before = random.state;
  const set = (state: unknown) => () => {
    random.state = state as number[];
    expect(random.state.every((word) => Number.isInteger(word))).toBe(true);
    random.state = before;
  };
  onlyTyped(set(odd), "state");
  onlyTyped(set([1, 2, 3, odd]), "a word of the state");
  expect(random.state).toEqual(before);
  expect(Random.isRandom(odd)).toBe(false);
});

test("each word of a state is read once", () => {
  const random = new Random(6);
  let reads = 0;
  const state = Object.defineProperty([1, 2, 3, 0], 3, { get: () => (reads++ ? 5n : 4) });
  random.state = state;
  expect([...random.state]).toEqual([1, 2, 3, 4]);
  expect(reads).toBe(1);
  expect(Random.isRandom(random)).toBe(true);
  expect(Random.isRandom(Object.create(Random.prototype))).toBe(false);
});
