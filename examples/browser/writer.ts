// Writes on and on, one character at a time, from the end of the text that the model was trained on.

import { Random, type CharLM } from "../../src/index.js";
import type { Written } from "./protocol.js";
import { Reader } from "./reader.js";

/** Likely characters that are shown. */
const LIKELIEST = 3;
const COLDEST = 0.05;

export class Writer {
  readonly #reader: Reader;
  readonly #random: Random;

  /** Has read the model's warm-up, up to its last word, when it is made. */
  constructor(
    private readonly model: CharLM,
    temperature: number,
    seed: number,
  ) {
    this.#reader = new Reader(model, Math.max(COLDEST, temperature));
    this.#random = new Random(seed);
    const text = model.warmUp.replace(/(?<=\s)\S+$/, "");
    const codes = model.vocabulary.encode(text);
    for (const code of codes.length > 0 ? codes : [model.vocabulary.codeOf("\n") ?? 0]) this.#reader.read(code);
  }

  /** Some more characters, what may come after them, and what a layer's units do at each. */
  write(layer: number, count = 1): Written {
    const written = Array.from({ length: count }, () => {
      const code = this.#reader.draw(this.#random);
      this.#reader.read(code);
      const { input: inputs, ...others } = this.#reader.latest(layer);
      return { code, kinds: this.#reader.kinds(layer, { inputs, ...others }) };
    });
    const { hiddenSize } = this.model.architecture;
    const joined = Object.keys(written[0]!.kinds).map((kind) => {
      const all = new Float32Array(count * hiddenSize);
      written.forEach(({ kinds }, t) => all.set(kinds[kind]!, t * hiddenSize));
      return [kind, all] as const;
    });
    return {
      characters: written.map(({ code }) => this.model.vocabulary.decode(Int32Array.of(code))),
      next: this.#reader.likeliest(LIKELIEST),
      layer,
      kinds: Object.fromEntries(joined),
    };
  }

  dispose(): void {
    this.#reader.dispose();
  }
}
