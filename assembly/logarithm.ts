// The natural logarithm of vectors, after FreeBSD's e_log.c and e_logf.c: x = 2^k m with m in [sqrt(1/2), sqrt(2)), and for
// f = m - 1, s = f / (2 + f):
//
//   log x = k ln 2 + f - f^2/2 + s (f^2/2 + R(s^2))       R: a polynomial, ln 2 in two parts
//
// Its constants are not in math.ts, so that the core does not carry them. They are loaded for the reason given there.

import { one } from "./math";

const LN2_HIGH: i32 = 0;
const LN2_LOW: i32 = 1;
const TO_NORMAL: i32 = 2; // makes a denormal number a normal one: 2^54, 2^25
const NORMAL: i32 = 3; // the smallest normal number
const L: i32 = 4; // l1, l2, ...

// prettier-ignore
const F64_CONSTANTS = memory.data<f64>([
  0.6931471803691238, 0.6931471803691238, 1.9082149292705877e-10, 1.9082149292705877e-10,
  18014398509481984.0, 18014398509481984.0, 2.2250738585072014e-308, 2.2250738585072014e-308,
  0.6666666666666735, 0.6666666666666735, 0.3999999999940942, 0.3999999999940942,
  0.2857142874366239, 0.2857142874366239, 0.22222198432149784, 0.22222198432149784,
  0.1818357216161805, 0.1818357216161805, 0.15313837699209373, 0.15313837699209373,
  0.14798198605116586, 0.14798198605116586,
], 16);

// prettier-ignore
const F32_CONSTANTS = memory.data<f32>([
  0.69313812256, 0.69313812256, 0.69313812256, 0.69313812256,
  9.0580006145e-6, 9.0580006145e-6, 9.0580006145e-6, 9.0580006145e-6,
  33554432, 33554432, 33554432, 33554432, 1.1754943508222875e-38, 1.1754943508222875e-38, 1.1754943508222875e-38, 1.1754943508222875e-38,
  0.66666662693, 0.66666662693, 0.66666662693, 0.66666662693, 0.40000972152, 0.40000972152, 0.40000972152, 0.40000972152,
  0.28498786688, 0.28498786688, 0.28498786688, 0.28498786688, 0.24279078841, 0.24279078841, 0.24279078841, 0.24279078841,
], 16);

// @ts-ignore: decorator
@inline
function constant<T>(index: i32): v128 {
  return v128.load((sizeof<T>() == 8 ? F64_CONSTANTS : F32_CONSTANTS) + <usize>(index << 4));
}

/** a * b + c, rounded twice in both builds. */
// @ts-ignore: decorator
@inline
function multiplyAdd<T>(a: v128, b: v128, c: v128): v128 {
  return v128.add<T>(v128.mul<T>(a, b), c);
}

/**
 * The natural logarithm of each lane (after FreeBSD's e_log.c and e_logf.c): -infinity for 0, NaN below. In f64 a normal x has the
 * bits of `log`; both types have the same bits in both builds.
 */
// @ts-ignore: decorator
@inline
export function logLanes<T>(x: v128): v128 {
  const small = v128.lt<T>(x, constant<T>(NORMAL));
  const normal = v128.bitselect(v128.mul<T>(x, constant<T>(TO_NORMAL)), x, small);
  // m in [sqrt(1/2), sqrt(2)), x = 2^k m
  let k: v128;
  let m: v128;
  if (sizeof<T>() == 8) {
    const shifted = i64x2.add(normal, i64x2.splat(0x3ff00000_00000000 - 0x3fe6a09e_00000000));
    const exponent = v128.or(i64x2.shr_u(shifted, 52), f64x2.splat(4503599627370496.0)); // 2^52 + the biased exponent
    k = f64x2.sub(exponent, f64x2.splat(4503599627370496.0 + 1023.0));
    k = f64x2.sub(k, v128.and(small, f64x2.splat(54)));
    m = i64x2.add(v128.and(shifted, i64x2.splat(0x000fffff_ffffffff)), i64x2.splat(0x3fe6a09e_00000000));
  } else {
    const shifted = i32x4.add(normal, i32x4.splat(0x3f800000 - 0x3f3504f3));
    k = f32x4.convert_i32x4_s(i32x4.sub(i32x4.shr_u(shifted, 23), i32x4.splat(127)));
    k = f32x4.sub(k, v128.and(small, f32x4.splat(25)));
    m = i32x4.add(v128.and(shifted, i32x4.splat(0x007fffff)), i32x4.splat(0x3f3504f3));
  }
  const f = v128.sub<T>(m, one<T>());
  const s = v128.div<T>(f, v128.add<T>(v128.splat<T>(2), f));
  const z = v128.mul<T>(s, s);
  const w = v128.mul<T>(z, z);
  let even: v128;
  let odd: v128;
  if (sizeof<T>() == 8) {
    even = multiplyAdd<T>(w, multiplyAdd<T>(w, constant<T>(L + 5), constant<T>(L + 3)), constant<T>(L + 1));
    odd = multiplyAdd<T>(w, constant<T>(L + 6), constant<T>(L + 4));
    odd = multiplyAdd<T>(w, multiplyAdd<T>(w, odd, constant<T>(L + 2)), constant<T>(L));
  } else {
    even = multiplyAdd<T>(w, constant<T>(L + 3), constant<T>(L + 1));
    odd = multiplyAdd<T>(w, constant<T>(L + 2), constant<T>(L));
  }
  const half = v128.mul<T>(v128.mul<T>(v128.splat<T>(<T>0.5), f), f);
  const r = v128.add<T>(v128.add<T>(half, v128.mul<T>(w, even)), v128.mul<T>(z, odd));
  let y = multiplyAdd<T>(s, r, v128.mul<T>(k, constant<T>(LN2_LOW)));
  y = v128.add<T>(v128.sub<T>(y, half), f);
  y = multiplyAdd<T>(k, constant<T>(LN2_HIGH), y);
  y = v128.bitselect(y, x, v128.lt<T>(x, v128.splat<T>(<T>Infinity))); // NaN and infinity return themselves
  y = v128.bitselect(v128.splat<T>(<T>-Infinity), y, v128.eq<T>(x, v128.splat<T>(0)));
  return v128.or(y, v128.lt<T>(x, v128.splat<T>(0)));
}
