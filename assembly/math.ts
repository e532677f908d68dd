// exp, sigmoid, tanh and log: the only transcendental functions that results depend on, with the same bits in every engine.
//
// exp: Cody-Waite reduction x = n ln 2 + r, |r| <= ln 2 / 2, then e^r = 1 + r + r^2 q(r), q by Chebyshev interpolation
// (degree 9 for f64, 4 for f32; relative error 1.7e-17 and 1.0e-8), evaluated by Estrin's scheme. Adding 1.5 * 2^52
// (2^23 for f32) rounds x log2 e to n and leaves n in the low bits; a shift moves it into the exponent. Largest errors, in
// ulp, over all f32 inputs (exp, sigmoid, tanh) and 10^8 random f64 inputs of each, in both builds: exp 1.21, sigmoid 2.45,
// tanh 2.46, log 0.78 (f64 only, 10^7). __tests__/math.spec.ts allows 2.5, and 1 for log.
//
// NaN in, NaN out: pmin(x, limit) and pmax(x, limit) return x where the comparison is false, as for NaN.
//
// The constants are loaded, not written as v128.splat(c): Binaryen would fold those into v128.const, and V8 rebuilds a
// v128.const at every use, which doubled the time of exp.

import { madd, nmadd } from "./simd";

const ROUND: i32 = 0; // 1.5 * 2^52 + exponent bias + 64
const ROUND_ONE: i32 = 1; // 1.5 * 2^52 + exponent bias
const LOG2E: i32 = 2;
const LN2_HIGH: i32 = 3;
const LN2_LOW: i32 = 4;
const UNSCALE: i32 = 5; // 2^-64
const SCALE: i32 = 6; // 2^64
const ONE: i32 = 7;
const TWO: i32 = 8;
const EXP_MIN: i32 = 9; // e^EXP_MIN rounds to 0
const EXP_MAX: i32 = 10; // e^EXP_MAX rounds to infinity
const TANH_MAX: i32 = 11; // tanh(TANH_MAX) rounds to 1
const TANH_SMALL: i32 = 12; // below ln 2 / 4, see tanh
const SIGN: i32 = 13; // -0
const Q: i32 = 14; // q0, q1, ...

// prettier-ignore
const F64_CONSTANTS = memory.data<f64>([
  6755399441056831.0, 6755399441056831.0, 6755399441056767.0, 6755399441056767.0,
  1.4426950408889634, 1.4426950408889634, 0.6931471803691238, 0.6931471803691238,
  1.9082149292705877e-10, 1.9082149292705877e-10, 5.421010862427522e-20, 5.421010862427522e-20,
  18446744073709551616.0, 18446744073709551616.0, 1, 1,
  2, 2, -746, -746,
  710, 710, 20, 20,
  0.17, 0.17, -0.0, -0.0,
  0.5, 0.5, 0.16666666666666669, 0.16666666666666669,
  0.04166666666662413, 0.04166666666662413, 0.008333333333330062, 0.008333333333330062,
  0.0013888888917213717, 0.0013888888917213717, 0.00019841269863053618, 0.00019841269863053618,
  2.4801521295954376e-05, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7557268459997064e-06,
  2.7620088445409746e-07, 2.7620088445409746e-07, 2.510038549551032e-08, 2.510038549551032e-08,
], 16);

// prettier-ignore
const F32_CONSTANTS = memory.data<f32>([
  12583103, 12583103, 12583103, 12583103, 12583039, 12583039, 12583039, 12583039,
  1.4426950408889634, 1.4426950408889634, 1.4426950408889634, 1.4426950408889634,
  0.693115234375, 0.693115234375, 0.693115234375, 0.693115234375,
  3.1946184945309415e-05, 3.1946184945309415e-05, 3.1946184945309415e-05, 3.1946184945309415e-05,
  5.421010862427522e-20, 5.421010862427522e-20, 5.421010862427522e-20, 5.421010862427522e-20,
  18446744073709551616.0, 18446744073709551616.0, 18446744073709551616.0, 18446744073709551616.0, 1, 1, 1, 1,
  2, 2, 2, 2, -104, -104, -104, -104,
  89, 89, 89, 89, 10, 10, 10, 10,
  0.17, 0.17, 0.17, 0.17, -0.0, -0.0, -0.0, -0.0,
  0.5, 0.5, 0.5, 0.5, 0.16666576989698775, 0.16666576989698775, 0.16666576989698775, 0.16666576989698775,
  0.041666554617204574, 0.041666554617204574, 0.041666554617204574, 0.041666554617204574,
  0.008363179052722578, 0.008363179052722578, 0.008363179052722578, 0.008363179052722578,
  0.0013926183587713494, 0.0013926183587713494, 0.0013926183587713494, 0.0013926183587713494,
], 16);

// @ts-ignore: decorator
@inline
function constant<T>(index: i32): v128 {
  return v128.load((sizeof<T>() == 8 ? F64_CONSTANTS : F32_CONSTANTS) + <usize>(index << 4));
}

/** 1 in every lane. */
// @ts-ignore: decorator
@inline
export function one<T>(): v128 {
  return constant<T>(ONE);
}

/**
 * 2^k, from the integer k + exponent bias that a rounding constant left in the low bits. To be multiplied by: adding k to
 * an exponent instead would turn a NaN with a payload in its low bits into a number.
 */
// @ts-ignore: decorator
@inline
function toPower<T>(rounded: v128): v128 {
  if (sizeof<T>() == 8) return i64x2.shl(rounded, 52);
  return i32x4.shl(rounded, 23);
}

/** x - n ln 2. */
// @ts-ignore: decorator
@inline
export function reduce<T>(x: v128, n: v128): v128 {
  return nmadd<T>(n, constant<T>(LN2_LOW), nmadd<T>(n, constant<T>(LN2_HIGH), x));
}

/** e^r - 1 for |r| <= ln 2 / 2. */
// @ts-ignore: decorator
@inline
export function expm1Reduced<T>(r: v128): v128 {
  const r2 = v128.mul<T>(r, r);
  const r4 = v128.mul<T>(r2, r2);
  const q01 = madd<T>(r, constant<T>(Q + 1), constant<T>(Q));
  const q23 = madd<T>(r, constant<T>(Q + 3), constant<T>(Q + 2));
  let q: v128;
  if (sizeof<T>() == 8) {
    const q45 = madd<T>(r, constant<T>(Q + 5), constant<T>(Q + 4));
    const q67 = madd<T>(r, constant<T>(Q + 7), constant<T>(Q + 6));
    const q89 = madd<T>(r, constant<T>(Q + 9), constant<T>(Q + 8));
    const high = madd<T>(r4, q89, madd<T>(r2, q67, q45));
    q = madd<T>(r4, high, madd<T>(r2, q23, q01));
  } else {
    q = madd<T>(r4, constant<T>(Q + 4), madd<T>(r2, q23, q01));
  }
  return madd<T>(r2, q, r);
}

/** e^x for x <= 0; denormal results are rounded once, -infinity gives 0. */
// @ts-ignore: decorator
@inline
export function expNonPositive<T>(x: v128): v128 {
  x = v128.pmax<T>(x, constant<T>(EXP_MIN));
  const rounded = madd<T>(x, constant<T>(LOG2E), constant<T>(ROUND));
  const r = reduce<T>(x, v128.sub<T>(rounded, constant<T>(ROUND)));
  const power = v128.add<T>(expm1Reduced<T>(r), constant<T>(ONE));
  return v128.mul<T>(v128.mul<T>(power, toPower<T>(rounded)), constant<T>(UNSCALE));
}

/** e^x. */
// @ts-ignore: decorator
@inline
export function exp<T>(x: v128): v128 {
  x = v128.pmin<T>(v128.pmax<T>(x, constant<T>(EXP_MIN)), constant<T>(EXP_MAX));
  const rounded = madd<T>(x, constant<T>(LOG2E), constant<T>(ROUND));
  const n = v128.sub<T>(rounded, constant<T>(ROUND));
  const power = v128.add<T>(expm1Reduced<T>(reduce<T>(x, n)), constant<T>(ONE));
  // 2^n in two factors, 2^(n + 64) 2^-64 or 2^(n - 64) 2^64, so that neither end overflows on the way.
  const small = v128.lt<T>(x, v128.splat<T>(0));
  const shifted = v128.bitselect(rounded, v128.sub<T>(rounded, v128.splat<T>(128)), small);
  const factor = v128.bitselect(constant<T>(UNSCALE), constant<T>(SCALE), small);
  return v128.mul<T>(v128.mul<T>(power, toPower<T>(shifted)), factor);
}

/** 1 / (1 + e^-x), for x < 0 as e^-|x| / (1 + e^-|x|): accurate for results down to the smallest denormal. */
// @ts-ignore: decorator
@inline
export function sigmoid<T>(x: v128): v128 {
  const e = expNonPositive<T>(v128.neg<T>(v128.abs<T>(x)));
  const numerator = v128.bitselect(e, constant<T>(ONE), v128.lt<T>(x, v128.splat<T>(0)));
  return v128.div<T>(numerator, v128.add<T>(constant<T>(ONE), e));
}

/** e^x - 1 for |x| <= TANH_MAX + TANH_MAX, with all digits near 0. */
// @ts-ignore: decorator
@inline
export function expm1<T>(x: v128): v128 {
  const rounded = madd<T>(x, constant<T>(LOG2E), constant<T>(ROUND_ONE));
  const power = toPower<T>(rounded); // 2^n
  const p = expm1Reduced<T>(reduce<T>(x, v128.sub<T>(rounded, constant<T>(ROUND_ONE))));
  return madd<T>(power, p, v128.sub<T>(power, constant<T>(ONE)));
}

/**
 * tanh |x| = em / (em + 2) with em = e^(2|x|) - 1, and the sign of x.
 *
 * Below 0.17 it is -em / (em + 2) with em = e^(-2|x|) - 1: there em + 2 < 2 has half the rounding error, and em is as
 * far up in its binade as the result. The first form alone has 2.58 ulp at 0.1255, the second 2.81 at 0.2088.
 */
// @ts-ignore: decorator
@inline
export function tanh<T>(x: v128): v128 {
  const z = v128.pmin<T>(v128.abs<T>(x), constant<T>(TANH_MAX));
  const negative = v128.and(v128.lt<T>(z, constant<T>(TANH_SMALL)), constant<T>(SIGN));
  const em = expm1<T>(v128.xor(v128.add<T>(z, z), negative));
  const t = v128.div<T>(em, v128.add<T>(em, constant<T>(TWO)));
  return v128.bitselect(x, t, constant<T>(SIGN));
}

/** Natural logarithm of a normal x > 0, within 1 ulp (after FreeBSD's e_log.c); NaN and infinity return themselves. */
export function log(x: f64): f64 {
  if (!(x < Infinity)) return x;
  const bits = reinterpret<u64>(x);
  // m in [sqrt(1/2), sqrt(2)), x = 2^k m
  const shifted = bits + (0x3ff00000_00000000 - 0x3fe6a09e_00000000);
  const k = <f64>(<i32>(shifted >> 52) - 1023);
  const m = reinterpret<f64>((shifted & 0x000fffff_ffffffff) + 0x3fe6a09e_00000000);
  const f = m - 1;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const t1 = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const t2 = z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  const half = 0.5 * f * f;
  return s * (half + t1 + t2) + k * 1.9082149292705877e-10 - half + f + k * 0.6931471803691238;
}
