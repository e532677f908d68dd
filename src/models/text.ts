// Text as numbers: a vocabulary of characters, and encoded texts cut into streams and windows for truncated backpropagation
// through time.

import { DtypeError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import { describe, kindOf, lengthOf, readTensor, zeros, type Tensor } from "../../bindings/tensor.js";
import { checkCount } from "../base/check.js";

/** Codes whose text every 64-bit engine can hold, at two UTF-16 units each. */
const LONGEST = 2 ** 28 - 12;

/**
 * A set of characters (Unicode code points, so that an emoji is one character) and their codes 0 .. size - 1.
 */
export class Vocabulary {
  /** The characters in order of their codes. */
  readonly #characters: readonly string[];
  readonly #codes = new Map<string, number>();

  /**
   * @param characters in the order of their codes
   * @throws ValueError where one is not a single code point or comes twice
   */
  constructor(characters: Iterable<string>) {
    let odd: ValueError | undefined;
    const expected = "an iterable of characters";
    if (characters === undefined || characters === null)
      throw new ValueError("characters", describe(characters), expected);
    reading("characters", characters, expected, () => {
      for (const character of characters as Iterable<unknown>) {
        const argument = `characters[${this.#codes.size}]`;
        if (!isCharacter(character)) odd = new ValueError(argument, describe(character), "a single character");
        else if (this.#codes.has(character)) {
          odd = new ValueError(argument, `${describeCharacter(character)} again`, "each once");
        } else this.#codes.set(character, this.#codes.size);
        if (odd !== undefined) break;
      }
    });
    if (odd !== undefined) throw odd;
    this.#characters = Object.freeze([...this.#codes.keys()]);
  }

  /**
   * The vocabulary of all characters of a text, sorted by code point.
   *
   * @param text may be empty
   * @throws ValueError
   */
  static fromText(text: string): Vocabulary {
    checkText("text", text);
    const characters = [...new Set(text)];
    return new Vocabulary(characters.sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)));
  }

  /**
   * Whether a value is a vocabulary made by this class.
   *
   * @internal
   */
  static isVocabulary(value: unknown): value is Vocabulary {
    return typeof value === "object" && value !== null && #codes in value;
  }

  /** The characters in order of their codes; frozen. */
  get characters(): readonly string[] {
    return this.#characters;
  }

  /** How many characters there are. */
  get size(): number {
    return this.#characters.length;
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
   * The characters of a text that the vocabulary lacks, each once, in the order in which they come.
   *
   * @param text any text
   * @throws ValueError
   */
  unknownIn(text: string): string[] {
    checkText("text", text);
    const unknown = new Set<string>();
    for (const character of text) if (!this.#codes.has(character)) unknown.add(character);
    return [...unknown];
  }

  /**
   * One code per character.
   *
   * @param text characters of the vocabulary
   * @param argument the text's name in errors (default "text")
   * @throws ValueError naming the first character that the vocabulary lacks, and its place, in characters;
   *   OutOfMemoryError
   */
  encode(text: string, argument = "text"): Int32Array {
    checkText("argument", argument);
    checkText(argument, text);
    const codes = zeros("i32", text.length); // at most one code per UTF-16 unit
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
   * @throws ValueError naming the first value that is no code; OutOfMemoryError
   */
  decode(codes: ArrayLike<number>): string {
    const expected = "an array of codes";
    if (typeof codes !== "object" || codes === null) throw new ValueError("codes", describe(codes), expected);
    const length: unknown = reading("codes", codes, expected, () => codes.length);
    if (!Number.isSafeInteger(length) || (length as number) < 0) {
      throw new ValueError("codes", describe(codes), expected);
    }
    if ((length as number) > LONGEST) {
      throw new ValueError("codes", `${length as number} codes`, `at most ${LONGEST}`);
    }
    let text = "";
    let index = 0;
    let code: unknown;
    const whole = reading("codes", codes, expected, () => {
      for (; index < (length as number); index++) {
        code = codes[index];
        const character = Number.isInteger(code) ? this.#characters[code as number] : undefined;
        if (character === undefined) return false;
        text += character;
      }
      return true;
    });
    if (!whole) {
      throw new ValueError(`codes[${index}]`, describeNumber(code), `a whole number from 0 to ${this.size - 1}`);
    }
    return text;
  }
}

/** A value where a number was expected, for messages. */
export function describeNumber(value: unknown): string {
  return typeof value === "number" ? `${value}` : describe(value);
}

/** A string from outside. */
function checkText(argument: string, text: unknown): asserts text is string {
  if (typeof text !== "string") throw new ValueError(argument, describe(text), "a string");
}

function isCharacter(value: unknown): value is string {
  if (typeof value !== "string") return false;
  return value.length === 1 || (value.length === 2 && (value.codePointAt(0) ?? 0) > 0xffff);
}

/**
 * Runs `read`, which reads a value from outside.
 *
 * @throws ValueError where the value throws (a getter, a proxy, an iterator): the error's cause
 */
export function reading<T>(argument: string, value: unknown, expected: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const error = new ValueError(argument, describe(value), expected);
    error.cause = cause;
    throw error;
  }
}

/** A character for messages: quoted, and with its code point, since many look alike or are invisible. */
export function describeCharacter(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return `${quoteCharacter(character)} (U+${hex})`;
}

/** A character in quotes; one that cannot be seen alone (control, format, combining, surrogate) as its code point. */
function quoteCharacter(character: string): string {
  if (character === '"' || character === "\\" || /^[\n\r\t]$/.test(character)) return JSON.stringify(character);
  if (!/^[\p{C}\p{M}\p{Zl}\p{Zp}]/u.test(character)) return `"${character}"`;
  return `"\\u{${(character.codePointAt(0) ?? 0).toString(16)}}"`;
}

/** Characters that a message lists. */
const LISTED = 20;
/** Characters that it lists with their code points. */
const DETAILED = 6;

/**
 * Characters for messages: the first 20, in quotes, with their code points where they are few, and how many more there
 * are; at most 150 UTF-16 units.
 */
export function describeCharacters(characters: readonly string[]): string {
  const each = characters.length <= DETAILED ? describeCharacter : quoteCharacter;
  let listed = 0;
  let text = "";
  for (const character of characters.slice(0, LISTED)) {
    const next = `${text === "" ? "" : ", "}${each(character)}`;
    if (text.length + next.length > 130) break;
    text += next;
    listed++;
  }
  return listed === characters.length ? text : `${text} and ${characters.length - listed} more`;
}

/**
 * A plain view of codes from outside, an Int32Array of any realm: no property of the caller's object is read.
 *
 * @throws DtypeError
 */
function viewCodes(argument: string, codes: Int32Array): Int32Array {
  if (kindOf(codes) !== "Int32Array") throw new DtypeError(argument, describe(codes), "an Int32Array");
  return readTensor(argument, { data: codes, shape: [lengthOf(codes)] }).data as Int32Array;
}

/**
 * Splits an encoded text: the last `floor(fraction * length)` codes are for validation, those before them for training.
 *
 * @param codes one per character, as of `Vocabulary.encode`
 * @param fraction in [0, 1)
 * @throws DtypeError (codes that are no Int32Array), ValueError (fraction)
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
  const all = viewCodes("codes", codes);
  if (typeof fraction !== "number" || !(fraction >= 0 && fraction < 1)) {
    throw new ValueError("fraction", describeNumber(fraction), "a number in [0, 1)");
  }
  const border = all.length - Math.floor(fraction * all.length);
  return { train: all.subarray(0, border), validation: all.subarray(border) };
}

/** The inputs and targets of one step of truncated backpropagation through time. */
export interface TextWindow {
  /** Codes [T,N], i32. */
  inputs: Tensor;
  /** The codes that follow them [T,N], i32. */
  targets: Tensor;
}

/**
 * An encoded text as `batchSize` contiguous streams side by side, cut into windows of `seqLen` steps.
 *
 * Stream n is the n-th of `batchSize` equal parts of the text, so that row n of window w + 1 continues row n of window w
 * and a carried state stays valid. Each character is input once and target once, but for the text's first and last
 * and for at most batchSize - 1 at the end that fill no whole column. The last window may be shorter than seqLen;
 * `wholeWindows` leaves it out.
 */
export class TextStreams {
  readonly #codes: Int32Array;
  readonly #batchSize: number;
  readonly #seqLen: number;
  readonly #streamLength: number;

  /**
   * @param codes one per character, as of `Vocabulary.encode`
   * @param batchSize N, the streams
   * @param seqLen T, the steps of a window
   * @throws DtypeError for codes that are no Int32Array; ValueError for sizes that are not integers >= 1;
   *   ShapeError for a text of no more than N characters
   */
  constructor(codes: Int32Array, batchSize: number, seqLen: number) {
    this.#codes = viewCodes("codes", codes);
    checkCount("batchSize", batchSize, 1);
    checkCount("seqLen", seqLen, 1);
    this.#batchSize = batchSize;
    this.#seqLen = seqLen;
    const { length } = this.#codes;
    this.#streamLength = Math.floor((length - 1) / batchSize);
    if (this.#streamLength < 1) {
      throw new ShapeError("codes", `${length} characters`, `at least ${batchSize + 1} for ${batchSize} streams`);
    }
  }

  /**
   * The largest batch up to `batchSize` for which a text of `length` characters has one whole window of `seqLen` steps
   * in each stream; 0 where it has none.
   *
   * @param length characters of the text, from 0 up
   * @param batchSize the streams that are wanted, from 1 up
   * @param seqLen the steps of a window, from 1 up
   * @throws ValueError
   */
  static largestBatch(length: number, batchSize: number, seqLen: number): number {
    checkCount("length", length, 0);
    checkCount("batchSize", batchSize, 1);
    checkCount("seqLen", seqLen, 1);
    return Math.max(0, Math.min(batchSize, Math.floor((length - 1) / seqLen)));
  }

  /** The text that was given: a view of it, no copy. */
  get codes(): Int32Array {
    return this.#codes;
  }

  /** N, the streams side by side. */
  get batchSize(): number {
    return this.#batchSize;
  }

  /** T, the steps of a whole window. */
  get seqLen(): number {
    return this.#seqLen;
  }

  /** Characters to predict in each stream. */
  get streamLength(): number {
    return this.#streamLength;
  }

  /** How many windows there are, counting a shorter last one. */
  get windows(): number {
    return Math.ceil(this.#streamLength / this.#seqLen);
  }

  /** How many windows have seqLen steps. */
  get wholeWindows(): number {
    return Math.floor(this.#streamLength / this.#seqLen);
  }

  /**
   * A window, in fresh arrays.
   *
   * @param index an integer from 0 to windows - 1
   * @throws ValueError; StateError where the text's array has been detached; OutOfMemoryError
   */
  window(index: number): TextWindow {
    if (!Number.isInteger(index) || index < 0 || index >= this.windows) {
      throw new ValueError("index", describeNumber(index), `a whole number from 0 to ${this.windows - 1}`);
    }
    const codes = this.#codes;
    if (codes.length === 0) throw new StateError("codes", "a detached array", "the text that was given");
    const batchSize = this.#batchSize;
    const start = index * this.#seqLen;
    const steps = Math.min(this.#seqLen, this.#streamLength - start);
    const inputs = zeros("i32", steps * batchSize);
    const targets = zeros("i32", steps * batchSize);
    for (let n = 0; n < batchSize; n++) {
      let place = n * this.#streamLength + start;
      for (let i = n; i < inputs.length; i += batchSize) {
        inputs[i] = codes[place++] ?? 0;
        targets[i] = codes[place] ?? 0;
      }
    }
    const shape = [steps, batchSize];
    return { inputs: { data: inputs, shape }, targets: { data: targets, shape } };
  }
}
