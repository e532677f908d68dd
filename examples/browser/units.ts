// Which units follow something that people can read off the text: for each such property, the unit whose values correlate
// with it best.

import type { Activations } from "./protocol.js";

/** Properties of a place in a text, as numbers. */
const PROPERTIES: Readonly<Record<string, (characters: readonly string[], place: number) => number>> = {
  "a space or line end": (all, place) => Number(/\s/.test(all[place]!)),
  "a vowel": (all, place) => Number(/[aeiou]/i.test(all[place]!)),
  "a capital": (all, place) => Number(/\p{Lu}/u.test(all[place]!)),
  punctuation: (all, place) => Number(/\p{P}/u.test(all[place]!)),
  "letters of the word so far": (all, place) => {
    let length = 0;
    while (place - length >= 0 && /[\p{L}\p{N}]/u.test(all[place - length]!)) length++;
    return length;
  },
  "place in the text": (_, place) => place,
};

export interface Follower {
  property: string;
  unit: number;
  /** Pearson's correlation, -1 to 1. */
  correlation: number;
}

export function followers({ characters, units }: Activations, values: Float32Array): Follower[] {
  const found: Follower[] = [];
  for (const [property, of] of Object.entries(PROPERTIES)) {
    const wanted = characters.map((_, place) => of(characters, place));
    let best: Follower = { property, unit: 0, correlation: 0 };
    for (let unit = 0; unit < units; unit++) {
      const own = characters.map((_, place) => values[place * units + unit] ?? 0);
      const r = correlation(own, wanted);
      if (Math.abs(r) > Math.abs(best.correlation)) best = { property, unit, correlation: r };
    }
    if (best.correlation !== 0) found.push(best);
  }
  return found.sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation));
}

/** Pearson's correlation; 0 where one of both does not vary. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (of: readonly number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    const [da, db] = [value - meanA, b[i]! - meanB];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  });
  return aa * bb > 1e-20 ? ab / Math.sqrt(aa * bb) : 0;
}
