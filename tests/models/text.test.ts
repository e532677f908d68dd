// Vocabulary, splits and windows: text as numbers and back.

import fc from "fast-check";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { DtypeError, StateError, ValueError } from "../../bindings/errors.js";
import { splitText, TextStreams, Vocabulary } from "../../src/models/text.js";
import { patient } from "../helpers/clock.js";
import { oddities, onlyTyped } from "../helpers/oddities.js";
import { refuses } from "../helpers/refuses.js";

describe("Vocabulary", () => {
  test("is the text's code points, sorted", () => {
    const vocabulary = Vocabulary.fromText("ba\u{1F40B}\uFF21a\n");
    expect(vocabulary.characters).toEqual(["\n", "a", "b", "\uFF21", "\u{1F40B}"]); // UTF-16 order would swap the last two
    expect(vocabulary.size).toBe(5);
    expect(vocabulary.codeOf("b")).toBe(2);
    expect(vocabulary.codeOf("x")).toBeUndefined();
  });

  test("encodes and decodes any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const vocabulary = Vocabulary.fromText(text);
        const codes = vocabulary.encode(text);
        expect(codes.length).toBe([...text].length);
        expect(vocabulary.decode(codes)).toBe(text);
      }),
    );
  });

  test("names an unknown character, its code point and its place", () => {
    const vocabulary = Vocabulary.fromText("abc");
    expect(() => vocabulary.encode("ab\u{1F40B}")).toThrow(ValueError);
    expect(() => vocabulary.encode("ab\u{1F40B}")).toThrow('"\u{1F40B}" (U+1F40B) at position 2');
    expect(() => vocabulary.encode("\n")).toThrow('"\\n" (U+000A) at position 0');
  });

  test("refuses codes and characters that make no sense", () => {
    const vocabulary = Vocabulary.fromText("abc");
    expect(() => vocabulary.decode([0, 3])).toThrow("codes[1]: got 3, expected a whole number from 0 to 2");
    expect(() => vocabulary.decode([0.5])).toThrow(ValueError);
    expect(() => vocabulary.decode([-1])).toThrow(ValueError);
    expect(() => new Vocabulary(["a", "bc"])).toThrow('characters[1]: got "bc", expected a single character');
    expect(() => new Vocabulary(["a", ""])).toThrow(ValueError);
    expect(() => new Vocabulary(["a", "b", "a"])).toThrow('characters[2]: got "a" (U+0061) again');
  });
});

describe("splitText", () => {
  test("holds the end back", () => {
    const codes = Int32Array.from({ length: 10 }, (_, i) => i);
    const { train, validation } = splitText(codes, 0.25);
    expect([...train]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...validation]).toEqual([8, 9]);
    expect(splitText(codes, 0).validation.length).toBe(0);
  });

  test("refuses fractions outside [0, 1)", () => {
    for (const fraction of [-0.1, 1, NaN]) expect(() => splitText(new Int32Array(4), fraction)).toThrow(ValueError);
  });
});

describe("TextStreams", () => {
  test("cuts the text into streams side by side", () => {
    const streams = new TextStreams(
      Int32Array.from({ length: 12 }, (_, i) => i),
      2,
      3,
    );
    expect(streams.streamLength).toBe(5);
    expect(streams.windows).toBe(2);
    expect(streams.wholeWindows).toBe(1);
    const first = streams.window(0);
    expect(first.inputs.shape).toEqual([3, 2]);
    expect([...first.inputs.data]).toEqual([0, 5, 1, 6, 2, 7]);
    expect([...first.targets.data]).toEqual([1, 6, 2, 7, 3, 8]);
    const last = streams.window(1);
    expect(last.targets.shape).toEqual([2, 2]);
    expect([...last.inputs.data]).toEqual([3, 8, 4, 9]);
    expect([...last.targets.data]).toEqual([4, 9, 5, 10]);
  });

  test("every character is predicted once from the one before it, in order", () => {
    const sizes = fc.record({ length: fc.integer({ min: 2, max: 200 }), batch: fc.nat(8), seq: fc.nat(20) });
    fc.assert(
      fc.property(sizes, ({ length, batch, seq }) => {
        fc.pre(length > batch + 1);
        const codes = Int32Array.from({ length }, (_, i) => 1000 + i);
        const streams = new TextStreams(codes, batch + 1, seq + 1);
        const rows: number[][] = Array.from({ length: batch + 1 }, () => []);
        for (let index = 0; index < streams.windows; index++) {
          const { inputs, targets } = streams.window(index);
          inputs.data.forEach((code, i) => {
            expect(targets.data[i]).toBe(code + 1);
            rows[i % (batch + 1)]?.push(code);
          });
        }
        const used = streams.streamLength * (batch + 1);
        expect(rows.flat()).toEqual([...codes.subarray(0, used)]);
        expect(length - 1 - used).toBeLessThan(batch + 1);
      }),
    );
  });

  test("largestBatch is the largest that has a whole window", () => {
    for (const [length, batch, seq] of [
      [101, 10, 10],
      [100, 10, 10],
      [11, 10, 10],
      [10, 10, 10],
      [0, 3, 2],
    ] as const) {
      const found = TextStreams.largestBatch(length, batch, seq);
      if (found > 0) expect(new TextStreams(new Int32Array(length), found, seq).wholeWindows).toBeGreaterThan(0);
      if (found < batch && length > found + 1) {
        expect(new TextStreams(new Int32Array(length), found + 1, seq).wholeWindows).toBe(0);
      }
    }
    expect(TextStreams.largestBatch(10, 10, 10)).toBe(0);
    expect(TextStreams.largestBatch(11, 10, 10)).toBe(1);
    expect(TextStreams.largestBatch(101, 10, 10)).toBe(10);
  });

  test("refuses sizes and places that make no sense", () => {
    const codes = new Int32Array(10);
    expect(() => new TextStreams(codes, 0, 3)).toThrow("batchSize: got number 0, expected an integer >= 1");
    expect(() => new TextStreams(codes, 2, 1.5)).toThrow("seqLen: got number 1.5, expected an integer >= 1");
    expect(() => new TextStreams(codes, 10, 3)).toThrow(
      "codes: got 10 characters, expected at least 11 for 10 streams",
    );
    for (const wrong of [[0, 1, 2], new Uint8Array(3), "abc", undefined, null]) {
      refuses(() => new TextStreams(wrong as unknown as Int32Array, 1, 1), DtypeError, "codes: got", "an Int32Array");
    }
    const streams = new TextStreams(codes, 3, 3);
    for (const index of [-1, 1, 0.5]) expect(() => streams.window(index)).toThrow(ValueError);
  });
});

describe("wrong types", () => {
  test.each(oddities())("%s gives a result or a typed error", (_, value) => {
    const odd = value as never;
    const vocabulary = new Vocabulary("abc");
    const codes = Int32Array.of(0, 1, 2, 0);
    const streams = new TextStreams(codes, 1, 1);
    const calls: Record<string, () => unknown> = {
      "new Vocabulary": () => new Vocabulary(odd),
      "new Vocabulary of a list": () => new Vocabulary([odd]),
      fromText: () => Vocabulary.fromText(odd),
      isVocabulary: () => Vocabulary.isVocabulary(odd),
      codeOf: () => vocabulary.codeOf(odd),
      unknownIn: () => vocabulary.unknownIn(odd),
      encode: () => vocabulary.encode(odd),
      "encode: argument": () => vocabulary.encode("x", odd),
      decode: () => vocabulary.decode(odd),
      "decode of a list": () => vocabulary.decode([odd]),
      "splitText: codes": () => splitText(odd, 0.5),
      "splitText: fraction": () => splitText(codes, odd),
      "new TextStreams: codes": () => new TextStreams(odd, 1, 1),
      "new TextStreams: batchSize": () => new TextStreams(codes, odd, 1),
      "new TextStreams: seqLen": () => new TextStreams(codes, 1, odd),
      window: () => streams.window(odd),
      "largestBatch: length": () => TextStreams.largestBatch(odd, 1, 1),
      "largestBatch: batchSize": () => TextStreams.largestBatch(1, odd, 1),
      "largestBatch: seqLen": () => TextStreams.largestBatch(1, 1, odd),
    };
    const start = performance.now();
    for (const [name, call] of Object.entries(calls)) {
      onlyTyped(() => expect(call(), name).not.toBeNaN(), name);
    }
    expect(performance.now() - start).toBeLessThan(patient(2000));
  });

  test("the message says the argument, what came and what was expected", () => {
    const vocabulary = new Vocabulary("a");
    const codes = Int32Array.of(0, 1);
    const missing = undefined as never;
    refuses(() => vocabulary.encode(missing), ValueError, "text: got undefined, expected a string");
    refuses(() => vocabulary.encode(5 as never, "prompt"), ValueError, "prompt: got number 5, expected a string");
    refuses(() => vocabulary.decode(missing), ValueError, "codes: got undefined, expected an array of codes");
    refuses(() => vocabulary.decode(["0"] as never), ValueError, 'codes[0]: got "0", expected a whole number');
    refuses(() => new Vocabulary(missing), ValueError, "characters: got undefined, expected an iterable of characters");
    refuses(
      () => new Vocabulary([1n] as never),
      ValueError,
      "characters[0]: got bigint 1, expected a single character",
    );
    refuses(() => Vocabulary.fromText(5 as never), ValueError, "text: got number 5, expected a string");
    refuses(() => splitText("x" as never, 0.1), DtypeError, 'codes: got "x", expected an Int32Array');
    refuses(() => splitText(codes, "0.1" as never), ValueError, "fraction: got", "a number in [0, 1)");
    refuses(() => new TextStreams(codes, 1, 1).window(Symbol("s") as never), ValueError, "index: got symbol");
    refuses(() => TextStreams.largestBatch(missing, missing, missing), ValueError, "length: got undefined");
    refuses(() => vocabulary.decode({ length: 2 ** 40 }), ValueError, "codes: got 1099511627776 codes");
    const broken = {
      *[Symbol.iterator]() {
        yield "a";
        throw new RangeError("no more");
      },
    };
    refuses(() => new Vocabulary(broken), ValueError, "characters: got Object, expected an iterable of characters");
  });

  test("codes of another realm, of a subclass that lies, and shared ones are read as they are", () => {
    class Liar extends Int32Array {
      override get length(): number {
        return 2 ** 30;
      }
      override subarray(): Int32Array<ArrayBuffer> {
        throw new Error("not asked");
      }
    }
    const plain = Int32Array.from({ length: 9 }, (_, i) => i);
    const shared = new Int32Array(new SharedArrayBuffer(36));
    shared.set(plain);
    const foreign = runInNewContext("Int32Array.from({ length: 9 }, (_, i) => i)") as Int32Array;
    const expected = new TextStreams(plain, 2, 3).window(0);
    for (const codes of [new Liar(plain.buffer), shared, foreign]) {
      const streams = new TextStreams(codes, 2, 3);
      expect(streams.window(0)).toEqual(expected);
      const { train, validation } = splitText(codes, 0.25);
      expect([[...train], [...validation]]).toEqual([[0, 1, 2, 3, 4, 5, 6], [7, 8]]); // prettier-ignore
    }
    expect(Object.getPrototypeOf(splitText(new Liar(4), 0).train)).toBe(Int32Array.prototype);
  });

  test("a text whose array is detached later is refused", () => {
    const codes = new Int32Array(9);
    const streams = new TextStreams(codes, 2, 3);
    structuredClone(codes.buffer, { transfer: [codes.buffer] });
    refuses(() => streams.window(0), StateError, "codes: got a detached array");
  });

  test("nothing of a vocabulary or of streams can be set", () => {
    const vocabulary = new Vocabulary("abc") as unknown as Record<string, unknown>;
    const streams = new TextStreams(new Int32Array(9), 2, 3) as unknown as Record<string, unknown>;
    for (const name of ["characters", "size"]) expect(() => (vocabulary[name] = [])).toThrow(TypeError);
    for (const name of ["codes", "batchSize", "seqLen", "streamLength"]) {
      expect(() => (streams[name] = 2 ** 40)).toThrow(TypeError);
    }
    expect(() => (vocabulary.characters as string[]).push("d")).toThrow(TypeError);
    expect(Vocabulary.isVocabulary(vocabulary)).toBe(true);
    expect(Vocabulary.isVocabulary(Object.create(Vocabulary.prototype))).toBe(false);
  });

  test("the characters that a vocabulary lacks, each once", () => {
    expect(new Vocabulary("abc").unknownIn("a\u{1F40B}xb\u{1F40B}x")).toEqual(["\u{1F40B}", "x"]);
    expect(new Vocabulary("abc").unknownIn("")).toEqual([]);
  });
});
