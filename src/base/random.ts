// Seeded random numbers, the same on every engine.

import { ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { describe, kindOf, lengthOf } from "../../bindings/tensor.js";
import { checkCount } from "./check.js";

/**
 * Random numbers, the same on every engine for one seed: xoshiro128** (Blackman & Vigna 2021,
 * https://prng.di.unimi.it), seeded by splitmix32. Not for secrets.
 */
export class Random {
  readonly #state = new Uint32Array(4);

  /**
   * Creates a generator.
   *
   * @param seed an integer from 0 to 2^53 - 1; a different one in each run by default
   * @throws ValueError
   */
  constructor(seed: number = Math.floor(Math.random() * 2 ** 53)) {
    checkCount("seed", seed, 0);
    let x = seed >>> 0;
    const high = Math.floor(seed / 2 ** 32);
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x ^ Math.imul(high, 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      this.#state[i] = z ^ (z >>> 15);
    }
    if (this.#state.every((word) => word === 0)) this.#state[0] = 1;
  }

  /**
   * Whether a value is a generator made by this class.
   *
   * @internal
   */
  static isRandom(value: unknown): value is Random {
    return typeof value === "object" && value !== null && #state in value;
  }

  /** A copy of the generator's state, 4 words. Setting it continues from there. */
  get state(): Uint32Array {
    return this.#state.slice();
  }

  /**
   * Sets the state.
   *
   * @param words 4 integers from 0 to 2^32 - 1, not all of them 0
   * @throws ValueError
   */
  set state(words: ArrayLike<number>) {
    const expected = "4 integers from 0 to 2^32 - 1, not all of them 0";
    const typed = kindOf(words) !== undefined;
    if (!typed && !Array.isArray(words)) throw new ValueError("state", describe(words), expected);
    const length: unknown = typed ? lengthOf(words as unknown as ArrayBufferView) : words.length;
    if (length !== 4) throw new ValueError("state", `${describe(words)} of length ${describe(length)}`, expected);
    const given: number[] = [];
    for (let i = 0; i < 4; i++) {
      const word: unknown = words[i];
      if (typeof word !== "number" || word >>> 0 !== word)
        throw new ValueError(`state[${i}]`, describe(word), expected);
      given.push(word);
    }
    if (given.every((word) => word === 0)) throw new ValueError("state", "4 zeros", expected); // the generator would return zeros for ever
    this.#state.set(given);
  }

  /** The next integer, uniform in [0, 2^32). */
  uint32(): number {
    return this.#next();
  }

  #next(): number {
    const s = this.#state;
    const s1 = s[1]!;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    s[2]! ^= s[0]!;
    s[3]! ^= s1;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= s1 << 9;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** A number, uniform in [0, 1), with 53 random bits: two draws of `uint32`. */
  uniform(): number {
    return this.#fraction();
  }

  #fraction(): number {
    return ((this.#next() >>> 5) * 67108864 + (this.#next() >>> 6)) / 9007199254740992;
  }

  /** A number of the standard normal distribution, by Marsaglia's polar method. */
  normal(): number {
    for (;;) {
      const u = 2 * this.#fraction() - 1;
      const v = 2 * this.#fraction() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * currentCore().log(s)) / s);
    }
  }
}
