// What the site's pages compute without a page: the tasks of the race, what they say of it, trouble of a training, units that follow.

import { expect, test } from "vitest";
import { troubleOf } from "../../examples/browser/divergence.js";
import { followers } from "../../examples/browser/units.js";
import { amplify } from "../../examples/amp/circuit.js";
import { Race } from "../../examples/why/race.js";
import { TASKS } from "../../examples/why/tasks.js";
import { Random } from "../../src/index.js";

test("the answers of the tasks are in their sequences", () => {
  const [gap, rows] = [12, 40];
  const remember = TASKS.remember.batch(gap, rows, new Random(1));
  const [steps, , width] = remember.x.shape;
  expect(steps).toBe(gap + 2);
  for (let n = 0; n < rows; n++) {
    expect(remember.x.data[n * width + remember.y.data[n]!]).toBe(1); // the capital at the first step
    expect(remember.x.data[((steps - 1) * rows + n) * width + width - 1]).toBe(1); // the question at the last
  }
  const add = TASKS.add.batch(gap, rows, new Random(1));
  for (let n = 0; n < rows; n++) {
    let [sum, marks] = [0, 0];
    for (let t = 0; t < gap + 2; t++) {
      const at = (t * rows + n) * 2;
      sum += add.x.data[at]! * add.x.data[at + 1]!;
      marks += add.x.data[at + 1]!;
    }
    expect(marks).toBe(2);
    expect(add.y.data[n]).toBeCloseTo(sum, 5);
  }
  // all brackets but the first are closed again, in order
  for (let seed = 0; seed < 20; seed++) {
    const open: string[] = [];
    for (const sign of TASKS.brackets.example(gap, new Random(seed)).slice(0, -1)) {
      const kind = "([{".indexOf(sign);
      if (kind >= 0) open.push(")]}"[kind]!);
      else expect(open.pop()).toBe(sign);
    }
    expect(open).toHaveLength(1);
  }
});

test("a race has the same figures for the same seed; a short gap is solved, and its gradients are measured", () => {
  const run = () => {
    const race = new Race(TASKS.remember, 3, 1);
    for (let i = 0; i < 120; i++) race.advance();
    const result = { standings: race.standings, norms: race.norms() };
    race.dispose();
    return result;
  };
  const [a, b] = [run(), run()];
  expect(a).toEqual(b);
  for (const { cell, solvedAt } of a.standings) expect(solvedAt, cell).toBeLessThan(120);
  for (const { norms } of a.norms) {
    expect(norms).toHaveLength(5); // the state of no steps back, and of those before
    expect(norms[0]).toBe(1);
    for (const norm of norms) expect(norm).toBeGreaterThan(0);
  }
});

test("a loss above that of guessing by frequency for 20 steps is trouble", () => {
  const steps = (count: number, loss: (i: number) => number) => Array.from({ length: count }, (_, i) => loss(i));
  expect(
    troubleOf(
      steps(19, () => 9),
      3,
    ),
  ).toBeUndefined();
  expect(
    troubleOf(
      steps(25, (i) => 4.3 - 0.03 * i),
      3,
    ),
  ).toBeUndefined(); // a new model on its way
  expect(
    troubleOf(
      steps(80, (i) => 4.3 - 0.001 * i),
      3,
    ),
  ).toBe("slow");
  expect(
    troubleOf(
      steps(25, (i) => 4 + 0.1 * i),
      3,
    ),
  ).toBe("rising");
  expect(troubleOf([...steps(100, () => 2), ...steps(19, () => 5)], 3)).toBeUndefined();
  expect(troubleOf([...steps(100, () => 2), ...steps(20, () => 5)], 3)).toBe("rising");
});

test("a unit that follows vowels is found, with its correlation on the second half of the text, and not by chance", () => {
  const characters = [..."the whale is white and wide, and so it goes on and on for a while ".repeat(4)];
  const random = new Random(3);
  const noise = Float32Array.from({ length: 4 * characters.length }, () => random.uniform());
  const values = noise.map((value, i) =>
    i % 4 === 2 ? Number(/[aeiou]/.test(characters[Math.floor(i / 4)]!)) : value,
  );
  const [best] = followers({ characters, units: 4, layer: 0, kinds: {} }, values, noise);
  expect(best).toMatchObject({ property: "a vowel", unit: 2 });
  expect(best!.correlation).toBeCloseTo(1, 6);
  expect(best!.chance).toBeLessThan(0.3);
  for (const { correlation, chance } of followers({ characters, units: 4, layer: 0, kinds: {} }, noise, noise)) {
    expect(Math.abs(correlation)).toBe(chance); // an untrained network is no better than chance
  }
});

test("the amplifier flattens what is loud", () => {
  const loudest = (volume: number) => {
    const tone = Float32Array.from({ length: 4410 }, (_, t) => volume * Math.sin((2 * Math.PI * 196 * t) / 44_100));
    return Math.max(...amplify(tone).slice(2205));
  };
  expect(loudest(0.5) / loudest(0.01)).toBeLessThan(20);
  expect(loudest(0.02) / loudest(0.01)).toBeGreaterThan(1.5);
});
