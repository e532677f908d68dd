// Element-wise functions: over arrays (exp, sigmoid, tanh ...), and the choice of a cell's non-linearities.

import { at, lanes, loadLanes, madd, storeLanes } from "./simd";
import * as math from "./math";

/** Codes of a cell's non-linearities. */
export const TANH: i32 = 0;
export const RELU: i32 = 1;
export const SIGMOID: i32 = 2;
export const HARD_SIGMOID: i32 = 3;
export const LINEAR: i32 = 4;

// The hard sigmoid is min(max(slope x + offset, 0), 1). `hard`: address of slope and offset, two f64; else unused.

/** max(x, 0); NaN for NaN. */
// @ts-ignore: decorator
@inline
export function relu<T>(x: v128): v128 {
  return v128.pmax<T>(x, v128.splat<T>(0));
}

/** y = phi(x), for a candidate or a state: tanh inlined, the others by a call. */
// @ts-ignore: decorator
@inline
export function activate<T>(phi: i32, x: v128, hard: usize): v128 {
  return phi == TANH ? math.tanh<T>(x) : activateAny<T>(phi, x, hard);
}

/** y = sigma(x), for a gate: sigmoid inlined, the others by a call. */
// @ts-ignore: decorator
@inline
export function activateGate<T>(sigma: i32, x: v128, hard: usize): v128 {
  return sigma == SIGMOID ? math.sigmoid<T>(x) : activateAny<T>(sigma, x, hard);
}

// @ts-ignore: decorator
@inline
function slopeOf<T>(hard: usize): v128 {
  return v128.splat<T>(<T>load<f64>(hard));
}

function activateAny<T>(code: i32, x: v128, hard: usize): v128 {
  if (code == RELU) return relu<T>(x);
  if (code == SIGMOID) return math.sigmoid<T>(x);
  if (code == HARD_SIGMOID) {
    const offset = v128.splat<T>(<T>load<f64>(hard, 8));
    return v128.pmin<T>(relu<T>(madd<T>(slopeOf<T>(hard), x, offset)), math.one<T>());
  }
  return code == TANH ? math.tanh<T>(x) : x;
}

/** dx = dy phi'(x), from y = phi(x): tanh' = 1 - y^2. */
// @ts-ignore: decorator
@inline
export function activateBackward<T>(phi: i32, dy: v128, y: v128, hard: usize): v128 {
  return phi == TANH ? tanhBackward<T>(dy, y) : activateAnyBackward<T>(phi, dy, y, hard);
}

/** dx = dy sigma'(x), from y = sigma(x): sigmoid' = y (1 - y). */
// @ts-ignore: decorator
@inline
export function activateGateBackward<T>(sigma: i32, dy: v128, y: v128, hard: usize): v128 {
  return sigma == SIGMOID ? sigmoidBackward<T>(dy, y) : activateAnyBackward<T>(sigma, dy, y, hard);
}

/** dx = dy (1 - y^2), from y = tanh x. */
// @ts-ignore: decorator
@inline
export function tanhBackward<T>(dy: v128, y: v128): v128 {
  return v128.mul<T>(dy, v128.sub<T>(math.one<T>(), v128.mul<T>(y, y)));
}

/** dx = dy y (1 - y), from y = sigmoid x. */
// @ts-ignore: decorator
@inline
export function sigmoidBackward<T>(dy: v128, y: v128): v128 {
  return v128.mul<T>(dy, v128.mul<T>(y, v128.sub<T>(math.one<T>(), y)));
}

/** e^x - 1 of x below 0, with all digits near 0; 0 above. */
// @ts-ignore: decorator
@inline
export function expm1Below<T>(x: v128): v128 {
  return math.expm1<T>(v128.pmax<T>(v128.pmin<T>(x, v128.splat<T>(0)), v128.splat<T>(-40)));
}

/** dx = dy where y = relu x is above 0 or NaN, else 0. */
// @ts-ignore: decorator
@inline
export function reluBackward<T>(dy: v128, y: v128): v128 {
  return v128.andnot(dy, v128.le<T>(y, v128.splat<T>(0)));
}

/** Hard sigmoid' = slope where 0 < y < 1, else 0. Where y is NaN, dx = dy or slope dy. */
function activateAnyBackward<T>(code: i32, dy: v128, y: v128, hard: usize): v128 {
  if (code == RELU) return reluBackward<T>(dy, y);
  if (code == SIGMOID) return sigmoidBackward<T>(dy, y);
  if (code == HARD_SIGMOID) {
    const flat = v128.or(v128.le<T>(y, v128.splat<T>(0)), v128.ge<T>(y, math.one<T>()));
    return v128.andnot(v128.mul<T>(dy, slopeOf<T>(hard)), flat);
  }
  return code == TANH ? tanhBackward<T>(dy, y) : dy;
}

/** y [n] = e^x [n]; y may be x. */
export function exp<T>(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>())
    storeLanes<T>(at<T>(y, i), math.exp<T>(loadLanes<T>(at<T>(x, i), n - i)), n - i);
}

/** y [n] = 1 / (1 + e^-x [n]); y may be x. */
export function sigmoid<T>(n: i32, x: usize, y: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(y, i), math.sigmoid<T>(loadLanes<T>(at<T>(x, i), n - i)), n - i);
  }
}

/** y [n] = phi(x [n]), for every code but HARD_SIGMOID; y may be x. */
export function activation<T>(phi: i32, n: i32, x: usize, y: usize): void {
  activateArray<T>(phi, n, x, y, 0);
}

/** y [n] = phi(x [n]); y may be x. */
export function activateArray<T>(phi: i32, n: i32, x: usize, y: usize, hard: usize): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(y, i), activate<T>(phi, loadLanes<T>(at<T>(x, i), n - i), hard), n - i);
  }
}
