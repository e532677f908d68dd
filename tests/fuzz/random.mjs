// Seeded random numbers. Each input has a generator of its own, made from the seed and the input's number, so that one
// input can be run alone.

export class Rng {
  #a;
  #b;
  #c;
  #d = 1;

  /** @param words any number of integers or strings that together are the seed */
  constructor(...words) {
    let hash = 0x811c9dc5;
    for (const character of words.join("/")) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
    this.#a = hash;
    this.#b = Math.imul(hash, 0x9e3779b1);
    this.#c = hash ^ 0x5bd1e995;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** sfc32 (Doty-Humphrey, PractRand). */
  u32() {
    const t = (this.#a + this.#b + this.#d++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    return t >>> 0;
  }

  /** [0, 1). */
  real() {
    return this.u32() / 4294967296;
  }

  /** An integer from 0 to n - 1. */
  int(n) {
    return Math.floor(this.real() * n);
  }

  /** An integer from low to high, both included. */
  range(low, high) {
    return low + this.int(high - low + 1);
  }

  bool(p = 0.5) {
    return this.real() < p;
  }

  pick(list) {
    return list[this.int(list.length)];
  }

  /** Calls one of the functions. */
  one(...functions) {
    return this.pick(functions)();
  }
}
