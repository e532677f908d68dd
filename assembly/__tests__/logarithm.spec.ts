// The logarithm of vectors: in f64 the bits of the scalar one, in f32 within 1 ulp of the f64 one; denormal numbers, zeros,
// negative numbers, infinities, NaN; each lane is independent of its neighbours.

import { logLanes } from "../logarithm";
import { lanes } from "../simd";
import { log } from "../math";
import { bitsOf, fail, randomBits } from "./helpers";
import { ulpErrorLog } from "./reference";

const spill = new StaticArray<u8>(16);

/** log x in lane `place`, with other numbers in the other lanes. */
function single<T>(x: T, place: i32 = 0): T {
  const p = changetype<usize>(spill);
  for (let i = 0; i < lanes<T>(); i++) store<T>(p + <usize>i * sizeof<T>(), i == place ? x : <T>(<f64>(3 + i)));
  v128.store(p, logLanes<T>(v128.load(p)));
  return load<T>(p + <usize>place * sizeof<T>());
}

function expectBits<T>(x: T, expected: T): void {
  for (let i = 0; i < lanes<T>(); i++) {
    const y = single<T>(x, i);
    if (bitsOf<T>(y) != bitsOf<T>(expected)) fail(`log(${x}) is ${y} in lane ${i}, expected ${expected}`);
  }
}

function specials<T>(): void {
  const largest = <T>(sizeof<T>() == 8 ? f64.MAX_VALUE : f32.MAX_VALUE);
  expectBits<T>(1, 0);
  expectBits<T>(0, <T>-Infinity);
  expectBits<T>(<T>-0.0, <T>-Infinity);
  expectBits<T>(<T>Infinity, <T>Infinity);
  expectBits<T>(<T>-Infinity, <T>NaN);
  expectBits<T>(-1, <T>NaN);
  expectBits<T>(-largest, <T>NaN);
  expectBits<T>(<T>(sizeof<T>() == 8 ? -5e-324 : -1e-45), <T>NaN);
  expectBits<T>(<T>NaN, <T>NaN);
  expectBits<T>(2, <T>0.6931471805599453);
}

function normal64(): void {
  for (let i = 0; i < 100000; i++) {
    const uniform = <f64>(randomBits() >> 11) * (1.0 / 9007199254740992.0);
    const near = 1 + (uniform - 0.5) * reinterpret<f64>((1023 - (randomBits() % 40)) << 52);
    const wide = (1 + uniform) * reinterpret<f64>((1 + (randomBits() % 2046)) << 52);
    expectBits<f64>(near, log(near));
    expectBits<f64>(wide, log(wide));
    if (!(ulpErrorLog(near, single<f64>(near)) <= 1)) fail(`log(${near})`);
  }
}

/** Denormal x: log x is log(2^54 x) - 54 ln 2, near -720, where an ulp is 1.1e-13. */
function denormal64(): void {
  for (let i = 0; i < 20000; i++) {
    const x = reinterpret<f64>((randomBits() >> (12 + (i % 50))) | 1);
    const expected = log(x * 18014398509481984.0) - 54 * 0.6931471805599453;
    const y = single<f64>(x);
    if (!(abs(y - expected) <= 2.3e-13)) fail(`log(${x}) is ${y}, expected ${expected}`);
  }
}

function accuracy32(first: u32, last: u32, step: u32): void {
  for (let bits = first; bits < last; bits += step) {
    const x = reinterpret<f32>(bits);
    const y = <f64>single<f32>(x, <i32>(bits & 3));
    const expected = Math.log(<f64>x);
    if (expected == 0 && y == 0) continue;
    const exponent = <i32>((reinterpret<u64>(expected) >> 52) & 0x7ff) - 1023;
    const ulp = reinterpret<f64>((<u64>(exponent - 23 + 1023)) << 52);
    if (!(abs(y - expected) <= ulp)) fail(`log(${x}) is ${y}, expected ${expected}`);
  }
}

describe("log of vectors", () => {
  test("specials f64", () => specials<f64>());
  test("specials f32", () => specials<f32>());
  test("f64: the bits of the scalar function", () => normal64());
  test("f64: denormal numbers", () => denormal64());
  test("f32: all exponents, with denormal numbers", () => accuracy32(1, 0x7f800000, 10007));
  test("f32: around 1", () => accuracy32(0x3f000000, 0x40000000, 61));
});
