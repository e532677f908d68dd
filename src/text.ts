// Text as numbers: a vocabulary of characters, and the cutting of an encoded text into streams and windows for truncated
// backpropagation through time. Pure functions and classes; no files, no models.

import { DtypeError, ShapeError, ValueError } from "../bindings/errors.js";
import { describe, type Tensor } from "../bindings/tensor.js";

/**
 * A set of characters (Unicode code points, so that an emoji is one character) and their codes 0 .. size - 1.
 */
export class Vocabulary {
  /** The characters in order of their codes. */
  readonly characters: readonly string[];
  readonly #codes = new Map<string, number>();

  /**
   * @param characters in the order of their codes
   * @throws ValueError where one is not a single code point or comes twice
   */
  constructor(characters: Iterable<string>) {
    this.characters = [...characters];
    for (const [code, character] of this.characters.entries()) {
      if (typeof character !== "string" || [...character].length !== 1) {
        throw new ValueError(`characters[${code}]`, JSON.stringify(character), "a single character");
      }
      if (this.#codes.has(character)) {
        throw new ValueError(`characters[${code}]`, `${describeCharacter(character)} again`, "each once");
      }
      this.#codes.set(character, code);
    }
  }

  /**
   * The vocabulary of all characters of a text, sorted by code point.
   *
   * @param text may be empty
   */
  static fromText(text: string): Vocabulary {
    const characters = [...new Set(text)];
    return new Vocabulary(characters.sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)));
  }

  /** How many characters there are. */
  get size(): number {
    return this.characters.length;
  }

  /**
   * The code of a character; undefined where the vocabulary lacks it.
   *
   * @param character a single code point
   */
  codeOf(character: string): number | undefined {
    return this.#codes.get(character);
  }

  /**
   * One code per character.
   *
   * @param text characters of the vocabulary
   * @param argument what an error calls the text (default "text")
   * @throws ValueError naming the first character that the vocabulary lacks, and its place, in characters
   */
  encode(text: string, argument = "text"): Int32Array {
    const codes = new Int32Array(text.length); // at most one code per UTF-16 unit
    let count = 0;
    for (const character of text) {
      const code = this.#codes.get(character);
      if (code === undefined) {
        const received = `${describeCharacter(character)} at position ${count}`;
        throw new ValueError(argument, received, "only characters of the vocabulary");
      }
      codes[count++] = code;
    }
    return codes.slice(0, count);
  }

  /**
   * The text of codes.
   *
   * @param codes integers from 0 to size - 1
   * @throws ValueError naming the first other number
   */
  decode(codes: ArrayLike<number>): string {
    return Array.from(codes, (code, index) => {
      const character = this.characters[code];
      if (character === undefined) {
        throw new ValueError(`codes[${index}]`, `${code}`, `a whole number from 0 to ${this.size - 1}`);
      }
      return character;
    }).join("");
  }
}

/** A character for messages: quoted, and with its code point, since many look alike or are invisible. */
export function describeCharacter(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return `${JSON.stringify(character)} (U+${hex})`;
}

/**
 * Splits an encoded text: the last `floor(fraction * length)` codes are for validation, those before them for training.
 *
 * @param codes one per character, as of `Vocabulary.encode`
 * @param fraction in [0, 1)
 * @throws ValueError
 */
export function splitText(
  codes: Int32Array,
  fraction: number,
): {
  /** The first codes: a view of `codes`. */
  train: Int32Array;
  /** The last codes: a view of `codes`. */
  validation: Int32Array;
} {
  if (!(fraction >= 0 && fraction < 1)) {
    throw new ValueError("fraction", `${fraction}`, "a number from 0 up to, without, 1");
  }
  const border = codes.length - Math.floor(fraction * codes.length);
  return { train: codes.subarray(0, border), validation: codes.subarray(border) };
}

/** The inputs of one step of truncated backpropagation through time, and what should follow each. */
export interface TextWindow {
  /** Codes [T,N], i32. */
  inputs: Tensor;
  /** The codes that follow them [T,N], i32. */
  targets: Tensor;
}

/**
 * An encoded text as `batchSize` contiguous streams side by side, cut into windows of `seqLen` steps.
 *
 * Stream n is the n-th of `batchSize` equal parts of the text, so that row n of window w + 1 goes on where row n of window
 * w ended and a carried state stays valid. Each character is input once and target once, but for the text's first and last
 * and for at most batchSize - 1 at the end that fill no whole column. The last window may be shorter than seqLen;
 * `wholeWindows` leaves it out.
 */
export class TextStreams {
  /** The text that was given: no copy. */
  readonly codes: Int32Array;
  /** N, the streams side by side. */
  readonly batchSize: number;
  /** T, the steps of a whole window. */
  readonly seqLen: number;
  /** Characters to predict in each stream. */
  readonly streamLength: number;

  /**
   * @param codes one per character, as of `Vocabulary.encode`
   * @param batchSize N, the streams
   * @param seqLen T, the steps of a window
   * @throws DtypeError for codes that are no Int32Array; ValueError for sizes that are not whole numbers from 1 up;
   *   ShapeError for a text of no more than N characters
   */
  constructor(codes: Int32Array, batchSize: number, seqLen: number) {
    if (!(codes instanceof Int32Array)) throw new DtypeError("codes", describe(codes), "an Int32Array");
    checkSize("batchSize", batchSize);
    checkSize("seqLen", seqLen);
    this.codes = codes;
    this.batchSize = batchSize;
    this.seqLen = seqLen;
    this.streamLength = Math.floor((codes.length - 1) / batchSize);
    if (this.streamLength < 1) {
      throw new ShapeError("codes", `${codes.length} characters`, `at least ${batchSize + 1} for ${batchSize} streams`);
    }
  }

  /**
   * The largest batch up to `batchSize` for which a text of `length` characters has one whole window of `seqLen` steps
   * in each stream; 0 where it has none.
   *
   * @param length characters of the text
   * @param batchSize the streams that are wanted
   * @param seqLen the steps of a window
   */
  static largestBatch(length: number, batchSize: number, seqLen: number): number {
    return Math.max(0, Math.min(batchSize, Math.floor((length - 1) / seqLen)));
  }

  /** How many windows there are, counting a shorter last one. */
  get windows(): number {
    return Math.ceil(this.streamLength / this.seqLen);
  }

  /** How many windows have seqLen steps. */
  get wholeWindows(): number {
    return Math.floor(this.streamLength / this.seqLen);
  }

  /**
   * A window, in fresh arrays.
   *
   * @param index an integer from 0 to windows - 1
   * @throws ValueError
   */
  window(index: number): TextWindow {
    if (!Number.isInteger(index) || index < 0 || index >= this.windows) {
      throw new ValueError("index", `${index}`, `a whole number from 0 to ${this.windows - 1}`);
    }
    const { codes, batchSize, streamLength } = this;
    const start = index * this.seqLen;
    const steps = Math.min(this.seqLen, streamLength - start);
    const inputs = new Int32Array(steps * batchSize);
    const targets = new Int32Array(steps * batchSize);
    for (let n = 0; n < batchSize; n++) {
      let place = n * streamLength + start;
      for (let i = n; i < inputs.length; i += batchSize) {
        inputs[i] = codes[place++] ?? 0;
        targets[i] = codes[place] ?? 0;
      }
    }
    const shape = [steps, batchSize];
    return { inputs: { data: inputs, shape }, targets: { data: targets, shape } };
  }
}

function checkSize(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ValueError(name, `${value}`, "a whole number from 1 up");
  }
}
