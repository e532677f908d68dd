// Which units follow something that people can read off a text: for each such property, the unit whose values correlate with it
// best. The unit is chosen on the first half of a text and measured on the second, and so is the best unit of an untrained network:
// with a hundred units one of them always fits a little, and an embedding alone tells vowels from spaces.

import type { Activations } from "./protocol.js";

/** Properties of each place in a text, as numbers. */
const PROPERTIES: Readonly<Record<string, (characters: readonly string[]) => number[]>> = {
  "a space or line end": (all) => all.map((each) => Number(/\s/.test(each))),
  "a vowel": (all) => all.map((each) => Number(/[aeiou]/i.test(each))),
  "a capital": (all) => all.map((each) => Number(/\p{Lu}/u.test(each))),
  punctuation: (all) => all.map((each) => Number(/\p{P}/u.test(each))),
  "letters of the word so far": (all) => since(all, (each) => !/[\p{L}\p{N}]/u.test(each)),
  "characters of the line so far": (all) => since(all, (each) => each === "\n"),
  "characters of the sentence so far": (all) => since(all, (each) => /[.!?;\n]/.test(each)),
  "inside quotes": (all) => {
    let inside = 0;
    return all.map((each) => {
      if (each === "“" || (each === '"' && inside === 0)) inside = 1;
      else if (each === "”" || each === '"' || each === "\n") inside = 0;
      return inside;
    });
  },
  "inside brackets": (all) => {
    let depth = 0;
    return all.map(
      (each) => (depth = Math.max(0, depth + Number("([{".includes(each)) - Number(")]}".includes(each)))),
    );
  },
};

/** Places since one that ends something, which itself has 0. */
function since(characters: readonly string[], ends: (character: string) => boolean): number[] {
  let length = 0;
  return characters.map((each) => (length = ends(each) ? 0 : length + 1));
}

export interface Follower {
  property: string;
  unit: number;
  /** Pearson's correlation on text that neither the training nor the choice of the unit has seen, -1 to 1. */
  correlation: number;
  /** What the best unit of an untrained network reaches, >= 0. */
  chance: number;
}

/** Values [characters, units] of one layer, and those of an untrained one over the same characters. The clearest come first. */
export function followers(
  { characters, units }: Activations,
  values: Float32Array,
  untrained: Float32Array,
): Follower[] {
  const found: Follower[] = [];
  const half = Math.floor(characters.length / 2);
  for (const [property, of] of Object.entries(PROPERTIES)) {
    const wanted = of(characters);
    const [unit, correlation] = bestUnit(values, units, wanted, half);
    const [, chance] = bestUnit(untrained, units, wanted, half);
    if (correlation !== 0) found.push({ property, unit, correlation, chance: Math.abs(chance) });
  }
  const clear = ({ correlation, chance }: Follower) => Math.abs(correlation) - chance;
  return found.sort((a, b) => clear(b) - clear(a));
}

/** The unit that follows `wanted` best before `half`, and how well it does from there on. */
function bestUnit(values: Float32Array, units: number, wanted: readonly number[], half: number): [number, number] {
  let best = [0, 0] as [unit: number, r: number];
  for (let unit = 0; unit < units; unit++) {
    const r = correlation(values, units, unit, wanted, 0, half);
    if (Math.abs(r) > Math.abs(best[1])) best = [unit, r];
  }
  return [best[0], correlation(values, units, best[0], wanted, half, wanted.length)];
}

/** Pearson's correlation over [from, to); 0 where one of both does not vary. */
function correlation(
  values: Float32Array,
  units: number,
  unit: number,
  wanted: readonly number[],
  from: number,
  to: number,
): number {
  let [a, b, ab, aa, bb] = [0, 0, 0, 0, 0];
  for (let place = from; place < to; place++) {
    a += values[place * units + unit]!;
    b += wanted[place]!;
  }
  [a, b] = [a / (to - from), b / (to - from)];
  for (let place = from; place < to; place++) {
    const [da, db] = [values[place * units + unit]! - a, wanted[place]! - b];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return aa * bb > 1e-20 ? ab / Math.sqrt(aa * bb) : 0;
}
