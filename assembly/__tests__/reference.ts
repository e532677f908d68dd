// Elementary functions with errors far below one ulp, and the error of a result in ulp.
//
// The reference for f32 are the f64 functions of the standard library; for f64, double-double arithmetic (Dekker 1971): a
// number is the unevaluated sum of two f64, here the two lanes of a v128, with about 105 bits.

export const EXP: i32 = 0;
export const EXP_NON_POSITIVE: i32 = 1;
export const SIGMOID: i32 = 2;
export const TANH: i32 = 3;

function dd(high: f64, low: f64): v128 {
  return f64x2(high, low);
}

function high(a: v128): f64 {
  return f64x2.extract_lane(a, 0);
}

function low(a: v128): f64 {
  return f64x2.extract_lane(a, 1);
}

/** a + b exactly, |a| >= |b|. */
function normalize(a: f64, b: f64): v128 {
  const s = a + b;
  return dd(s, b - (s - a));
}

function add(a: v128, b: v128): v128 {
  const s = high(a) + high(b);
  const t = s - high(a);
  return normalize(s, high(a) - (s - t) + (high(b) - t) + (low(a) + low(b)));
}

/** The upper 26 bits. */
function upper(a: f64): f64 {
  const t = 134217729 * a;
  return t - (t - a);
}

function mul(a: v128, b: v128): v128 {
  const p = high(a) * high(b);
  const ah = upper(high(a));
  const bh = upper(high(b));
  const al = high(a) - ah;
  const bl = high(b) - bh;
  const error = al * bl - (p - ah * bh - al * bh - ah * bl);
  return normalize(p, error + (high(a) * low(b) + low(a) * high(b)));
}

function div(a: v128, b: v128): v128 {
  const q = high(a) / high(b);
  const rest = add(a, f64x2.neg(mul(b, dd(q, 0))));
  return normalize(q, high(rest) / high(b));
}

/** 2^n for any n whose power is a normal number. */
function power2(n: i32): f64 {
  return reinterpret<f64>((<i64>(n + 1023)) << 52);
}

/** x 2^n for n beyond the range of one factor. */
function scale(x: f64, n: i32): f64 {
  const half = n / 2;
  return x * power2(half) * power2(n - half);
}

// The result of a reference is mantissa * 2^exponent.
let exponent: i32 = 0;

/** e^x by its Taylor series in (x - n ln 2) / 256, squared eight times. */
function expReference(x: f64): v128 {
  const n = nearest(x * 1.4426950408889634);
  let r = add(dd(x, 0), f64x2.neg(mul(dd(n, 0), dd(0.6931471805599453, 2.3190468138462996e-17))));
  r = f64x2.mul(r, f64x2.splat(1.0 / 256));
  let sum = dd(1, 0);
  for (let i = 9; i >= 1; i--) sum = add(dd(1, 0), mul(sum, div(r, dd(i, 0))));
  for (let i = 0; i < 8; i++) sum = mul(sum, sum);
  exponent = <i32>n;
  return sum;
}

function sigmoidReference(x: f64): v128 {
  const e = expReference(-abs(x));
  const n = exponent;
  const unscaled = n < -1000 ? dd(0, 0) : f64x2.mul(e, f64x2.splat(power2(n)));
  const denominator = add(dd(1, 0), unscaled);
  if (x < 0) return div(e, denominator);
  exponent = 0;
  return div(dd(1, 0), denominator);
}

function tanhReference(x: f64): v128 {
  const a = abs(x);
  let t = dd(1, 0);
  exponent = 0;
  if (a < power2(-30)) {
    exponent = a < power2(-500) ? -600 : 0;
    t = normalize(scale(a, -exponent), scale((-a * a * a) / 3, -exponent));
  } else if (a < 40) {
    const e = expReference(-2 * a);
    const unscaled = f64x2.mul(e, f64x2.splat(power2(exponent)));
    t = div(add(dd(1, 0), f64x2.neg(unscaled)), add(dd(1, 0), unscaled));
    exponent = 0;
  }
  return x < 0 ? f64x2.neg(t) : t;
}

/** ulp of a number of `digits` bits and magnitude 2^e, least exponent `least`. */
function ulpExponent(e: i32, digits: i32, least: i32): i32 {
  return max(e, least) - digits + 1;
}

/** floor(log2 |x|), x a normal number. */
function magnitude(x: f64): i32 {
  return <i32>((reinterpret<u64>(x) >> 52) & 0x7ff) - 1023;
}

/** The error of y = f(x), in ulp of f(x). */
export function ulpError64(f: i32, x: f64, y: f64): f64 {
  let expected: v128;
  if (f == SIGMOID) expected = sigmoidReference(x);
  else if (f == TANH) expected = tanhReference(x);
  else expected = expReference(x);
  if (high(expected) == 0) return y == 0 ? 0 : Infinity;
  const ulp = ulpExponent(magnitude(high(expected)) + exponent, 53, -1022) - exponent;
  return abs(scale(y, -exponent) - high(expected) - low(expected)) * power2(-ulp);
}

/** The error of y = f(x), in ulp of f(x); infinity counts as 2^128. */
export function ulpError32(f: i32, x: f32, y: f32): f64 {
  const a = <f64>x;
  let expected: f64;
  if (f == SIGMOID) {
    const e = Math.exp(-abs(a));
    expected = (a < 0 ? e : 1) / (1 + e);
  } else expected = f == TANH ? Math.tanh(a) : Math.exp(a);
  if (expected == 0) return y == 0 ? 0 : Infinity;
  expected = min(expected, power2(128));
  const ulp = ulpExponent(magnitude(expected), 24, -126);
  const actual = y == <f32>Infinity ? power2(128) : <f64>y;
  return abs(actual - expected) * power2(-ulp);
}

/** The error of y = log x, in ulp of log x: log x - y = log(x e^-y). */
export function ulpErrorLog(x: f64, y: f64): f64 {
  const f = x - 1;
  const ulp = power2(-ulpExponent(magnitude(y), 53, -1022));
  if (abs(f) < power2(-20)) {
    // f - f^2/2 + f^3/3 - f^4/4 + f^5/5
    const t = dd(f, 0);
    let sum = dd(0.2, 0);
    for (let i = 4; i >= 1; i--) sum = add(div(dd(1, 0), dd(i, 0)), f64x2.neg(mul(sum, t)));
    sum = mul(sum, t);
    return abs(y - high(sum) - low(sum)) * ulp;
  }
  const e = expReference(-y);
  const k = magnitude(x);
  const product = mul(e, dd(scale(x, -k), 0));
  const rest = add(f64x2.mul(product, f64x2.splat(power2(k + exponent))), dd(-1, 0));
  return abs(high(rest) + low(rest)) * ulp;
}
