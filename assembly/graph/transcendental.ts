// Transcendental functions that only graphs need, of two f64; those of f32 go through them, too, and are rounded once. Not as fast as
// exp and tanh of math.ts, but small: coefficients are read in a loop, and functions share their parts.
//
// Largest errors in ulp of f64, over 60,000 inputs of each against 60 digits, in both builds:
//
//   sin, cos 2.1 (any finite x)   tan 3.5   asin 2.7   acos 2.4   atan 1.5   sinh 2.2   cosh 1.4   asinh 1.8   acosh 2.4
//   atanh 2.0   erf 1.7   softplus 1.8   mish 4.1   pow 1.2      gelu and its approximation 2 ulp of x
//
// Coefficients are by Remez' algorithm, the highest power first; errors of the approximations are below 1e-17.

import { logLanes } from "../logarithm";
import * as math from "../math";
import { madd } from "../simd";

// @ts-ignore: decorator
@inline
function constant(value: f64): v128 {
  return f64x2.splat(value);
}

/** Numbers 0 and 1 of f32. */
// @ts-ignore: decorator
@inline
export function lowHalf(x: v128): v128 {
  return f64x2.promote_low_f32x4(x);
}

/** Numbers 2 and 3 of f32. */
// @ts-ignore: decorator
@inline
export function highHalf(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(x, x, 1, 1));
}

/** Four of f32, rounded. */
// @ts-ignore: decorator
@inline
export function joinHalves(low: v128, high: v128): v128 {
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

// Codes of the functions.
export const SIN: i32 = 0;
export const COS: i32 = 1;
export const TAN: i32 = 2;
export const ASIN: i32 = 3;
export const ACOS: i32 = 4;
export const ATAN: i32 = 5;
export const SINH: i32 = 6;
export const COSH: i32 = 7;
export const ASINH: i32 = 8;
export const ACOSH: i32 = 9;
export const ATANH: i32 = 10;
export const ERF: i32 = 11;
export const SOFTPLUS: i32 = 12;
export const MISH: i32 = 13;
export const GELU: i32 = 14;
export const GELU_TANH: i32 = 15;

/** The function with a code. */
// @ts-ignore: decorator
@inline
export function evaluate(f: i32, x: v128): v128 {
  if (f <= TAN) return trigonometric(f, x);
  if (f == ASIN) return asin(x);
  if (f == ACOS) return acos(x);
  if (f == ATAN) return atan(x);
  if (f == SINH) return sinh(x);
  if (f == COSH) return cosh(x);
  if (f == ASINH) return asinh(x);
  if (f == ACOSH) return acosh(x);
  if (f == ATANH) return atanh(x);
  if (f == ERF) return erf(x);
  if (f == SOFTPLUS) return softplus(x);
  if (f == MISH) return mish(x);
  if (f == GELU) return gelu(x);
  return geluTanh(x);
}

const SIGN: u64 = 0x80000000_00000000;

/** The size of y, and the sign of x. */
// @ts-ignore: decorator
@inline
function copySign(x: v128, y: v128): v128 {
  return v128.bitselect(x, y, i64x2.splat(SIGN));
}

/** The polynomial in x of `n` coefficients. */
function polynomial(x: v128, p: usize, n: i32): v128 {
  let y = v128.load64_splat(p);
  for (let i = 1; i < n; i++) y = madd<f64>(y, x, v128.load64_splat((p += 8)));
  return y;
}

function exp(x: v128): v128 {
  return math.exp<f64>(x);
}

function log(x: v128): v128 {
  return logLanes<f64>(x);
}

/** 1.5 * 2^52: added to a number, it rounds it, and leaves the integer in the low bits. */
const ROUND: f64 = 6755399441055744;

/** x 2^n, n a whole number from -1100 to 1100; a denormal result is rounded once. */
function scale(x: v128, n: v128): v128 {
  const half = f64x2.nearest(f64x2.mul(n, constant(0.5)));
  const bias = constant(ROUND + 1023);
  const first = i64x2.shl(f64x2.add(half, bias), 52);
  const second = i64x2.shl(f64x2.add(f64x2.sub(n, half), bias), 52);
  return f64x2.mul(f64x2.mul(x, first), second);
}

// sin, cos, tan: x = n pi/2 + r, |r| <= pi/4. pi/2 is subtracted in three parts, of 33, 33 and 53 bits. For large x, and where that leaves
// too few digits, r comes from the bits of 2/pi (Payne & Hanek 1983).

/** 64 zeros, and the bits of 2/pi. */
// prettier-ignore
const TWO_OVER_PI = memory.data<u64>([
  0, 0xa2f9836e_4e441529, 0xfc2757d1_f534ddc0, 0xdb629599_3c439041, 0xfe5163ab_debbc561, 0xb7246e3a_424dd2e0,
  0x06492eea_09d1921c, 0xfe1deb1c_b129a73e, 0xe88235f5_2ebb4484, 0xe99c7026_b45f7e41, 0x3991d639_835339f4,
  0x9c845f8b_bdf9283b, 0x1ff897ff_de05980f, 0xef2f118b_5a0a6d1f, 0x6d367ecf_27cb09b7, 0x4f463f66_9e5fea2d,
  0x7527bac7_ebe5f17b, 0x3d0739f7_8a5292ea, 0x6bfb5fb1_1f8d5d08, 0x56033046_fc7b6bab,
]);

/** 64 bits from position `i` on. */
function bitsFrom(i: i32): u64 {
  const p = TWO_OVER_PI + <usize>((i >> 6) << 3);
  const shift = <u64>(i & 63);
  return (load<u64>(p) << shift) | ((load<u64>(p, 8) >> 1) >> (63 - shift));
}

/** The upper 64 bits of a product. */
function multiplyHigh(a: u64, b: u64): u64 {
  const low = <u64>(<u32>a);
  const high = a >> 32;
  const middle = high * <u64>(<u32>b) + ((low * <u64>(<u32>b)) >> 32);
  return high * (b >> 32) + (middle >> 32) + ((low * (b >> 32) + <u64>(<u32>middle)) >> 32);
}

/** n of the latest `reduceExactly`, modulo 4. */
let quadrant: i64 = 0;

/** r for any x of at least 1 in size: the bits of 2/pi from that of weight 2 on, times those of x. NaN for infinities. */
function reduceExactly(x: f64): f64 {
  const bits = reinterpret<u64>(x);
  const exponent = <i32>((bits >> 52) & 0x7ff) - 1075;
  if (exponent == 972) return NaN;
  const m = (bits & 0x000fffff_ffffffff) | 0x00100000_00000000; // |x| = m 2^exponent
  const middle = bitsFrom(exponent + 126);
  const third = multiplyHigh(m, bitsFrom(exponent + 190));
  const low = m * middle + third;
  const high = m * bitsFrom(exponent + 62) + multiplyHigh(m, middle) + <u64>(low < third);
  // |x| 2/pi = high 2^-62 + low 2^-126, modulo 4
  const fraction = <i64>((high << 2) | (low >> 62));
  quadrant = <i64>(high >> 62) + (fraction < 0 ? 1 : 0);
  const rest = <f64>(fraction & 0x7ff) + <f64>(low << 2) * (1.0 / 18446744073709551616.0);
  const turns = (<f64>(fraction & ~0x7ff) + rest) * (1.0 / 18446744073709551616.0);
  const r = turns * 1.5707963267948966 + turns * 6.123233995736766e-17;
  if (<i64>bits >= 0) return r;
  quadrant = -quadrant;
  return -r;
}

const SINE = memory.data<f64>([
  1.5896666531664004e-10, -2.5050755961220713e-8, 2.7557313678659287e-6, -0.00019841269829771124, 0.00833333333332237,
  -0.16666666666666632,
]); // prettier-ignore

// prettier-ignore
const COSINE = memory.data<f64>([
  -1.1359559568065912e-11, 2.087572162851806e-9, -2.7557314340697227e-7, 2.4801587289443627e-5, -0.0013888888888874066,
  0.0416666666666666,
]);

/** sin x, cos x or tan x; NaN for infinities. */
function trigonometric(f: i32, x: v128): v128 {
  let rounded = madd<f64>(x, constant(0.6366197723675814), constant(ROUND));
  const n = f64x2.sub(rounded, constant(ROUND));
  const first = f64x2.sub(x, f64x2.mul(n, constant(1.5707963267341256))); // exact
  const part = f64x2.mul(n, constant(6.077100506303966e-11)); // exact
  const second = f64x2.sub(first, part);
  const lost = f64x2.sub(f64x2.sub(first, second), part);
  let r = f64x2.sub(second, f64x2.sub(f64x2.mul(n, constant(2.0222662487959506e-21)), lost));
  const size = f64x2.abs(x);
  const near = f64x2.lt(f64x2.abs(r), f64x2.mul(size, constant(8.673617379884035e-19))); // 2^-60
  const hard = v128.or(near, f64x2.gt(size, constant(1e6)));
  if (i64x2.extract_lane(hard, 0)) {
    r = f64x2.replace_lane(r, 0, reduceExactly(f64x2.extract_lane(x, 0)));
    rounded = i64x2.replace_lane(rounded, 0, quadrant);
  }
  if (i64x2.extract_lane(hard, 1)) {
    r = f64x2.replace_lane(r, 1, reduceExactly(f64x2.extract_lane(x, 1)));
    rounded = i64x2.replace_lane(rounded, 1, quadrant);
  }
  const z = f64x2.mul(r, r);
  const sine = madd<f64>(f64x2.mul(r, z), polynomial(z, SINE, 6), r);
  const half = f64x2.mul(z, constant(0.5));
  const rough = f64x2.sub(math.one<f64>(), half);
  const rest = f64x2.sub(f64x2.sub(math.one<f64>(), rough), half);
  const cosine = f64x2.add(rough, madd<f64>(f64x2.mul(z, z), polynomial(z, COSINE, 6), rest));
  if (f == COS) rounded = i64x2.add(rounded, i64x2.splat(1));
  const odd = i64x2.shr_s(i64x2.shl(rounded, 63), 63);
  let y = v128.bitselect(cosine, sine, odd);
  if (f == TAN) y = f64x2.div(y, v128.bitselect(f64x2.neg(sine), cosine, odd));
  else y = v128.xor(y, v128.and(i64x2.shl(rounded, 62), i64x2.splat(SIGN)));
  return f == COS ? y : v128.bitselect(x, y, f64x2.eq(x, constant(0))); // the sign of 0
}

// prettier-ignore
const ARC_TANGENT = memory.data<f64>([
  -0.017919335768958402, 0.03807568939014689, -0.05039744287608935, 0.05847987008031286, -0.06663117454988521,
  0.07692061387223607, -0.09090897822873925, 0.1111111078568366, -0.14285714280239817, 0.19999999999954,
  -0.333333333333332,
]);

/** atan x, with t of at most tan(pi/8): atan t, pi/4 + atan t for t = (x - 1) / (x + 1), or pi/2 + atan t for t = -1/x. */
function atan(x: v128): v128 {
  const size = f64x2.abs(x);
  const one = math.one<f64>();
  const middle = f64x2.gt(size, constant(0.41421356237309503));
  const large = f64x2.gt(size, constant(2.414213562373095));
  let numerator = v128.bitselect(f64x2.sub(size, one), size, middle);
  let denominator = v128.bitselect(f64x2.add(size, one), one, middle);
  numerator = v128.bitselect(constant(-1), numerator, large);
  denominator = v128.bitselect(size, denominator, large);
  const t = f64x2.div(numerator, denominator);
  const z = f64x2.mul(t, t);
  const turn = v128.and(v128.bitselect(constant(2), one, large), middle);
  const rest = madd<f64>(
    f64x2.mul(t, z),
    polynomial(z, ARC_TANGENT, 11),
    f64x2.mul(turn, constant(3.061616997868383e-17)),
  );
  const y = f64x2.add(f64x2.mul(turn, constant(0.7853981633974483)), f64x2.add(t, rest));
  return copySign(x, y);
}

/** asin x = atan(x / sqrt(1 - x^2)); NaN beyond 1. */
function asin(x: v128): v128 {
  const one = math.one<f64>();
  return atan(f64x2.div(x, f64x2.sqrt(f64x2.mul(f64x2.sub(one, x), f64x2.add(one, x)))));
}

/** acos x = 2 atan(sqrt((1 - x) / (1 + x))); NaN beyond 1. */
function acos(x: v128): v128 {
  const one = math.one<f64>();
  const half = atan(f64x2.sqrt(f64x2.div(f64x2.sub(one, x), f64x2.add(one, x))));
  return f64x2.add(half, half);
}

/** e^x / 2 for x >= 0, which overflows only where sinh x does. */
function halfExp(x: v128): v128 {
  x = f64x2.pmin(x, constant(712));
  const n = f64x2.nearest(f64x2.mul(x, constant(1.4426950408889634)));
  return scale(
    f64x2.add(math.expm1Reduced<f64>(math.reduce<f64>(x, n)), math.one<f64>()),
    f64x2.sub(n, math.one<f64>()),
  );
}

function cosh(x: v128): v128 {
  const h = halfExp(f64x2.abs(x));
  return f64x2.add(h, f64x2.div(constant(0.25), h));
}

/** sinh |x| = (em + em / (em + 1)) / 2 with em = e^|x| - 1 below 1. */
function sinh(x: v128): v128 {
  const size = f64x2.abs(x);
  const one = math.one<f64>();
  const h = halfExp(size);
  const em = math.expm1<f64>(f64x2.pmin(size, one));
  const small = f64x2.mul(f64x2.add(em, f64x2.div(em, f64x2.add(em, one))), constant(0.5));
  const large = f64x2.sub(h, f64x2.div(constant(0.25), h));
  return copySign(x, v128.bitselect(small, large, f64x2.lt(size, one)));
}

/** log(1 + x), with all digits near 0. */
function log1p(x: v128): v128 {
  const one = math.one<f64>();
  const sum = f64x2.add(one, x);
  const correction = f64x2.div(f64x2.sub(x, f64x2.sub(sum, one)), sum);
  return f64x2.add(log(sum), v128.and(correction, f64x2.eq(correction, correction)));
}

/** log(1 + u), or log 2x where x is so large that u = 2x. */
function logOfSum(u: v128, x: v128): v128 {
  const large = f64x2.gt(x, constant(18014398509481984)); // 2^54
  const y = log1p(v128.bitselect(x, u, large));
  return f64x2.add(y, v128.and(large, constant(0.6931471805599453)));
}

/** asinh |x| = log(1 + |x| + x^2 / (1 + sqrt(x^2 + 1))). */
function asinh(x: v128): v128 {
  const size = f64x2.abs(x);
  const one = math.one<f64>();
  const square = f64x2.mul(x, x);
  const root = f64x2.sqrt(f64x2.add(square, one));
  return copySign(x, logOfSum(f64x2.add(size, f64x2.div(square, f64x2.add(one, root))), size));
}

/** acosh x = log(1 + t + sqrt(t (t + 2))) with t = x - 1; NaN below 1. */
function acosh(x: v128): v128 {
  const t = f64x2.sub(x, math.one<f64>());
  return logOfSum(f64x2.add(t, f64x2.sqrt(f64x2.mul(t, f64x2.add(t, constant(2))))), x);
}

/** atanh |x| = log(1 + 2|x| / (1 - |x|)) / 2; NaN beyond 1. */
function atanh(x: v128): v128 {
  const size = f64x2.abs(x);
  const y = log1p(f64x2.div(f64x2.add(size, size), f64x2.sub(math.one<f64>(), size)));
  return copySign(x, f64x2.mul(y, constant(0.5)));
}

/** log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
function softplus(x: v128): v128 {
  return f64x2.add(f64x2.pmax(x, constant(0)), log1p(exp(f64x2.neg(f64x2.abs(x)))));
}

/** x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2). */
function mish(x: v128): v128 {
  const e = exp(f64x2.pmin(x, constant(40)));
  const n = f64x2.mul(e, f64x2.add(e, constant(2)));
  return f64x2.mul(x, f64x2.div(n, f64x2.add(n, constant(2))));
}

/** erf x = x + x p(x^2) for x < 1. */
// prettier-ignore
const ERF_SMALL = memory.data<f64>([
  -7.801187300569166e-10, 1.3722974085575704e-8, -1.6209175051110697e-7, 1.6447517511669999e-6, -1.4924744644820118e-5,
  0.00012055295319228035, -0.0008548325989642959, 0.005223977607422088, -0.02686617064327602, 0.11283791670945252,
  -0.3761263890318355, 0.12837916709551256,
]);

/** erf x = 1 - e^(-x^2) p(1 / (x + 3)) for x from 1 to 6, past which it rounds to 1. */
// prettier-ignore
const ERF_LARGE = memory.data<f64>([
  -5515.725533818738, 16337.268496441842, -19571.852225982184, 12173.581960340793, -4531.02688617368, 1308.836417494836,
  -204.18788300657366, 44.46159902876202, 1.786089653814803, 1.8831025151043237, 0.5569325814728091, 0.00012596400681815948,
]);

function erf(x: v128): v128 {
  const one = math.one<f64>();
  const size = f64x2.pmin(f64x2.abs(x), constant(6));
  const z = f64x2.mul(size, size);
  const small = madd<f64>(size, polynomial(z, ERF_SMALL, 12), size);
  const p = polynomial(f64x2.div(one, f64x2.add(size, constant(3))), ERF_LARGE, 12);
  const large = f64x2.sub(one, f64x2.mul(exp(f64x2.neg(z)), p));
  return copySign(x, v128.bitselect(small, large, f64x2.lt(size, one)));
}

/** x (1 + erf(x / sqrt 2)) / 2. */
function gelu(x: v128): v128 {
  const phi = f64x2.add(math.one<f64>(), erf(f64x2.mul(x, constant(0.7071067811865476))));
  return f64x2.mul(f64x2.mul(x, constant(0.5)), phi);
}

/** x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. */
function geluTanh(x: v128): v128 {
  const factor = madd<f64>(f64x2.mul(x, x), constant(0.07135481627260025), constant(1.5957691216057308));
  return f64x2.mul(x, math.sigmoid<f64>(f64x2.mul(x, factor)));
}

// x^y = 2^(y log2 x) after FreeBSD's e_pow.c: log2 x in two parts, of which the first has 21 bits, so that products of first parts are exact.

/** 3/2 log(m) / s = 3 + s^2 + s^4 p(s^2) with s = (m - 1) / (m + 1), m from sqrt(1/2) to sqrt(2). */
// prettier-ignore
const LOGARITHM = memory.data<f64>([
  0.19794770759125838, 0.19885197292336856, 0.23080137230605652, 0.272726765244588, 0.33333333780177776,
  0.4285714285514775, 0.6000000000000338,
]);

/** The first 21 bits of a number's 53. */
// @ts-ignore: decorator
@inline
function head(x: v128): v128 {
  return v128.and(x, i64x2.splat(0xffffffff_00000000));
}

/** x^y for finite x > 0. */
function powPositive(x: v128, y: v128): v128 {
  const one = math.one<f64>();
  const small = f64x2.lt(x, constant(2.2250738585072014e-308));
  x = v128.bitselect(f64x2.mul(x, constant(18014398509481984)), x, small); // 2^54
  const shifted = i64x2.add(x, i64x2.splat(0x3ff00000_00000000 - 0x3fe6a09e_00000000));
  const exponent = v128.or(i64x2.shr_u(shifted, 52), constant(4503599627370496)); // 2^52 + the biased exponent
  const n = f64x2.sub(exponent, f64x2.add(constant(4503599627370496 + 1023), v128.and(small, constant(54))));
  const m = i64x2.add(v128.and(shifted, i64x2.splat(0x000fffff_ffffffff)), i64x2.splat(0x3fe6a09e_00000000));

  const f = f64x2.sub(m, one);
  const u = f64x2.add(constant(2), f);
  const uHigh = head(u);
  const s = f64x2.div(f, u);
  const sHigh = head(s);
  const left = f64x2.sub(f, f64x2.mul(sHigh, uHigh));
  const sLow = f64x2.div(f64x2.sub(left, f64x2.mul(sHigh, f64x2.sub(f, f64x2.sub(uHigh, constant(2))))), u);
  const z = f64x2.mul(s, s);
  const tail = madd<f64>(f64x2.mul(z, z), polynomial(z, LOGARITHM, 7), f64x2.mul(sLow, f64x2.add(sHigh, s)));
  const square = f64x2.mul(sHigh, sHigh);
  const tHigh = head(f64x2.add(f64x2.add(constant(3), square), tail));
  const tLow = f64x2.sub(tail, f64x2.sub(f64x2.sub(tHigh, constant(3)), square));
  const high = f64x2.mul(sHigh, tHigh);
  const low = f64x2.add(f64x2.mul(sLow, tHigh), f64x2.mul(tLow, s));
  const sum = head(f64x2.add(high, low)); // 3/2 log m
  const sumLow = f64x2.sub(low, f64x2.sub(sum, high));
  const lHigh = f64x2.mul(sum, constant(0.9617962837219238)); // times 2 / (3 ln 2)
  const lLow = f64x2.add(
    f64x2.mul(sum, constant(4.102040517767816e-7)),
    f64x2.mul(sumLow, constant(0.9617966939259756)),
  );
  const log2 = head(f64x2.add(f64x2.add(lHigh, lLow), n));
  const log2Low = f64x2.sub(lLow, f64x2.sub(f64x2.sub(log2, n), lHigh));

  const yHigh = head(y);
  const first = f64x2.mul(yHigh, log2);
  const second = f64x2.add(f64x2.mul(f64x2.sub(y, yHigh), log2), f64x2.mul(y, log2Low));
  const limit = constant(1080);
  const whole = f64x2.nearest(f64x2.pmax(f64x2.pmin(f64x2.add(first, second), limit), f64x2.neg(limit)));
  const over = f64x2.ge(f64x2.abs(whole), limit);
  const rHigh = v128.andnot(f64x2.sub(first, whole), over);
  const rLow = v128.andnot(second, over);
  const t = head(f64x2.add(rHigh, rLow));
  const tRest = f64x2.sub(rLow, f64x2.sub(t, rHigh));
  const a = f64x2.mul(t, constant(0.6931471228599548)); // exact
  const b = f64x2.add(f64x2.mul(tRest, constant(0.6931471805599453)), f64x2.mul(t, constant(5.7699990475432854e-8)));
  const r = f64x2.add(a, b);
  const lost = f64x2.sub(b, f64x2.sub(r, a));
  const p = math.expm1Reduced<f64>(r);
  return scale(f64x2.add(one, f64x2.add(p, madd<f64>(lost, p, lost))), whole);
}

/** x^y with the special cases of C's pow: x^0 and 1^y are 1 whatever the other is; a negative x has whole powers alone. */
// @ts-ignore: decorator
@inline
export function pow(x: v128, y: v128): v128 {
  const zero = constant(0);
  const infinity = constant(Infinity);
  const limit = constant(1e21); // even, and far more than any x but 1 bears
  const exponent = f64x2.pmax(f64x2.pmin(y, limit), f64x2.neg(limit));
  const size = f64x2.abs(x);
  let power = powPositive(size, exponent);
  // 0 and infinity
  const empty = f64x2.eq(size, zero);
  const ends = v128.or(empty, f64x2.eq(size, infinity));
  const grows = v128.xor(f64x2.gt(y, zero), empty);
  power = v128.bitselect(v128.and(infinity, grows), power, ends);
  // negative numbers
  const half = f64x2.mul(exponent, constant(0.5));
  const isWhole = f64x2.eq(f64x2.floor(exponent), exponent);
  const isOdd = v128.andnot(isWhole, f64x2.eq(f64x2.floor(half), half));
  power = v128.xor(power, v128.and(v128.and(x, isOdd), i64x2.splat(SIGN)));
  const none = v128.andnot(v128.andnot(f64x2.lt(x, zero), isWhole), ends);
  power = v128.or(power, v128.or(none, v128.or(f64x2.ne(x, x), f64x2.ne(y, y))));
  return v128.bitselect(math.one<f64>(), power, v128.or(f64x2.eq(y, zero), f64x2.eq(x, math.one<f64>())));
}
