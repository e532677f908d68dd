// Draws, compared bit by bit with the recurrence of xoshiro128** in 64-bit arithmetic.

import { uniform } from "../random";
import { Buffer, expectIntact, expectSame, output, SIZES } from "./helpers";

const MASK: u64 = 0xffffffff;

/** The next integer of a state of four words, each in 64 bits. */
function nextOf(s: StaticArray<u64>): u64 {
  const product = (s[1] * 5) & MASK;
  const turned = ((product << 7) | (product >> 25)) & MASK;
  const shifted = (s[1] << 9) & MASK;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = ((s[3] << 11) | (s[3] >> 21)) & MASK;
  return (turned * 9) & MASK;
}

function draws<T>(): void {
  const words = new Buffer<i32>(4);
  const s: StaticArray<u64> = [1, 0xdeadbeef, 0x80000001, 0xffffffff];
  for (let k = 0; k < 4; k++) words[k] = <i32>s[k];
  for (let i = 0; i < SIZES.length; i++) {
    const bound = 1 / Math.sqrt(<f64>SIZES[i]);
    const expected = new Buffer<T>(SIZES[i]);
    for (let k = 0; k < SIZES[i]; k++) {
      const bits = (nextOf(s) >> 5) * 67108864;
      const fraction = <f64>(bits + (nextOf(s) >> 6)) / 9007199254740992;
      expected[k] = <T>((2 * fraction - 1) * bound);
    }
    const y = output<T>(SIZES[i]);
    uniform(SIZES[i], words.p, bound, y.p, sizeof<T>());
    const what = `${SIZES[i]} draws`;
    expectSame<T>(what, y, expected);
    expectIntact(what);
    for (let k = 0; k < 4; k++) expect(words[k]).toBe(<i32>s[k], `word ${k} of the state after ${what}`);
  }
}

describe("uniform draws", () => {
  test("f64", () => {
    draws<f64>();
  });
  test("f32", () => {
    draws<f32>();
  });
});
