// Half precision, over all its numbers, against numbers computed from the definition.
import { describe, expect, test } from "vitest";
import { bytesPerElement, ELEMENT_ARRAYS, narrowToHalf, widenHalf, type ElementType } from "../../src/base/element.js";

const ALL = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** The number that bits stand for: sign, exponent, fraction. */
function meaning(bits: number, fractionBits: number): number {
  const bias = fractionBits === 10 ? 15 : 127;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & ((1 << fractionBits) - 1)) / 2 ** fractionBits;
  if (exponent === 2 * bias + 1) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? 2 ** (1 - bias) * fraction : 2 ** (exponent - bias) * (1 + fraction));
}

describe.each([
  ["f16", 10, 65504],
  ["bf16", 7, (2 - 2 ** -7) * 2 ** 127],
] as const)("%s", (dtype, fractionBits, largest) => {
  const meant = Array.from(ALL, (bits) => meaning(bits, fractionBits));

  test("every number widens exactly, and comes back as it was", () => {
    const wide = widenHalf(dtype, ALL);
    expect(meant.findIndex((number, i) => !Object.is(wide[i], number))).toBe(-1);
    expect(narrowToHalf(dtype, wide)).toEqual(ALL);
    expect(Math.max(...meant.filter(Number.isFinite))).toBe(largest);
  });

  test("what lies between two numbers goes to the nearer, a tie to the even one", () => {
    const positive = ALL.subarray(
      0,
      ALL.findIndex((_, i) => meant[i] === Infinity),
    );
    const next = 2 * largest - meant[positive.length - 2]!; // the number that would follow the largest
    const inputs: number[] = [];
    const outputs: number[] = [];
    for (const bits of positive) {
      const middle = Math.fround((meant[bits]! + (bits + 1 < positive.length ? meant[bits + 1]! : next)) / 2);
      const [below, above] = [nextF32(middle, -1), nextF32(middle, 1)];
      inputs.push(below, middle, above);
      outputs.push(bits, bits + (bits & 1), bits + 1);
    }
    const narrowed = narrowToHalf(dtype, Float32Array.from(inputs));
    expect(outputs.findIndex((bits, i) => narrowed[i] !== bits)).toBe(-1);
    const mirrored = narrowToHalf(
      dtype,
      Float32Array.from(inputs, (number) => -number),
    );
    expect(outputs.findIndex((bits, i) => mirrored[i] !== (bits | 0x8000))).toBe(-1);
  });

  test("numbers that are too large become infinite, tiny ones zero; NaN stays NaN", () => {
    const numbers = Float32Array.of(3.4028234663852886e38, Infinity, 1e-45, -1e-45, -0, NaN);
    const wide = widenHalf(dtype, narrowToHalf(dtype, numbers));
    expect([...wide]).toEqual([Infinity, Infinity, 0, -0, -0, NaN]);
    // a NaN whose upper bits are infinity's
    expect(widenHalf(dtype, narrowToHalf(dtype, new Float32Array(Uint32Array.of(0x7f800001).buffer)))[0]).toBe(NaN);
  });
});

test("each type has its array", () => {
  const sizes = Object.keys(ELEMENT_ARRAYS).map((dtype) => [dtype, bytesPerElement(dtype as ElementType)]);
  expect(Object.fromEntries(sizes)).toEqual({
    ...{ f64: 8, f32: 4, f16: 2, bf16: 2, i64: 8, i32: 4, i16: 2, i8: 1, u64: 8, u32: 4, u16: 2, u8: 1, bool: 1 },
  });
});

/** The f32 number above (1) or below (-1) a positive one. */
function nextF32(value: number, step: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  bits[0]! += step;
  return new Float32Array(bits.buffer)[0]!;
}
