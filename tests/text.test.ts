// Vocabulary, splits and windows: text as numbers and back.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DtypeError, ValueError } from "../bindings/errors.js";
import { splitText, TextStreams, Vocabulary } from "../src/text.js";
import { refuses } from "./helpers/refuses.js";

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
    expect(() => new TextStreams(codes, 0, 3)).toThrow("batchSize: got 0, expected a whole number from 1 up");
    expect(() => new TextStreams(codes, 2, 1.5)).toThrow("seqLen: got 1.5, expected a whole number from 1 up");
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
