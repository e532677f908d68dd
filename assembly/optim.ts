// Parameter updates, with PyTorch's equations and names. p: parameters [n], g: their gradients [n], left as they are;
// direction: 1, or -1 where what g is the gradient of is to grow (PyTorch's maximize).
//
// Moments below the least normal number become 0: where no gradient comes (unused rows of an embedding), they would decay
// into denormal numbers and stay there, and every operation of x86 on one of those takes some 100 cycles. An average or sum of
// squares becomes 0 only where the step does not depend on it (its other factor is 0), and never with eps = 0, where it is
// all that stands in the denominator.

import { at, lanes, loadLanes, madd, storeLanes } from "./simd";

/** g' = direction g + weightDecay p: the first line of every update. Without decay p stays out: 0 times infinity is NaN. */
// @ts-ignore: decorator
@inline
function decayed<T>(g: v128, direction: v128, p: v128, weightDecay: v128, decays: bool): v128 {
  const gradient = v128.mul<T>(direction, g);
  return decays ? madd<T>(weightDecay, p, gradient) : gradient;
}

/** The least normal number. */
// @ts-ignore: decorator
@inline
function leastNormal<T>(): T {
  return sizeof<T>() == 8 ? <T>f64.MIN_NORMAL_VALUE : <T>f32.MIN_NORMAL_VALUE;
}

/** `moment`, 0 where it is below `least`; NaN stays. */
// @ts-ignore: decorator
@inline
function flush<T>(moment: v128, least: v128): v128 {
  return v128.andnot(moment, v128.lt<T>(v128.abs<T>(moment), least));
}

/** `squares` >= 0, 0 where they are below `least` and `factor` is 0; NaN stays. */
// @ts-ignore: decorator
@inline
function flushSquares<T>(squares: v128, least: v128, factor: v128): v128 {
  const idle = v128.eq<T>(factor, v128.splat<T>(0));
  return v128.andnot(squares, v128.and(v128.lt<T>(squares, least), idle));
}

/** The bound of `flushSquares`: none with eps = 0. */
// @ts-ignore: decorator
@inline
function leastSquare<T>(eps: T): v128 {
  return v128.splat<T>(eps > <T>0 ? leastNormal<T>() : <T>0);
}

/**
 * Stochastic gradient descent:
 *
 *   g' = direction g + weightDecay p
 *   buffer = momentum buffer + keep g'          keep = 1 - dampening; 1 at the first step, when buffer is zeros
 *   p -= lr (nesterov ? g' + momentum buffer : buffer)
 *
 * Without momentum buffer is 0 and p -= lr g'.
 */
export function sgd<T>(
  n: i32,
  p: usize,
  g: usize,
  buffer: usize,
  lr: T,
  direction: T,
  weightDecay: T,
  momentum: T,
  keep: T,
  nesterov: bool,
): void {
  const vLr = v128.splat<T>(-lr);
  const vDirection = v128.splat<T>(direction);
  const vDecay = v128.splat<T>(weightDecay);
  const decays = weightDecay != <T>0;
  const vMomentum = v128.splat<T>(momentum);
  const vKeep = v128.splat<T>(keep);
  const least = v128.splat<T>(leastNormal<T>());
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = decayed<T>(loadLanes<T>(at<T>(g, i), rest), vDirection, value, vDecay, decays);
    let step = gradient;
    if (buffer) {
      step = madd<T>(vMomentum, loadLanes<T>(at<T>(buffer, i), rest), v128.mul<T>(vKeep, gradient));
      step = flush<T>(step, least);
      storeLanes<T>(at<T>(buffer, i), step, rest);
      if (nesterov) step = madd<T>(vMomentum, step, gradient);
    }
    storeLanes<T>(at<T>(p, i), madd<T>(vLr, step, value), rest);
  }
}

/**
 * Adam (Kingma & Ba 2015), with AMSGrad (Reddi, Kale & Kumar 2018) where there is maxExpAvgSq (else 0), and AdamW
 * (Loshchilov & Hutter 2019) by keep = 1 - lr weightDecay in place of weightDecay (keep = 1 for Adam):
 *
 *   p = keep p
 *   g' = direction g + weightDecay p
 *   m = beta1 m + (1 - beta1) g'                  expAvg
 *   v = beta2 v + (1 - beta2) g'^2                expAvgSq
 *   v' = maxExpAvgSq = max(maxExpAvgSq, v)        AMSGrad only (else v' = v)
 *   p -= stepSize m / (sqrt(v') / correction2 + eps)
 *
 * stepSize = lr / (1 - beta1^t), correction2 = sqrt(1 - beta2^t).
 */
export function adam<T>(
  n: i32,
  p: usize,
  g: usize,
  expAvg: usize,
  expAvgSq: usize,
  maxExpAvgSq: usize,
  stepSize: T,
  beta1: T,
  oneMinusBeta1: T,
  beta2: T,
  oneMinusBeta2: T,
  correction2: T,
  eps: T,
  direction: T,
  weightDecay: T,
  keep: T,
): void {
  const vKeep = v128.splat<T>(keep);
  const vStep = v128.splat<T>(stepSize);
  const vBeta1 = v128.splat<T>(beta1);
  const vRest1 = v128.splat<T>(oneMinusBeta1);
  const vBeta2 = v128.splat<T>(beta2);
  const vRest2 = v128.splat<T>(oneMinusBeta2);
  const vCorrection = v128.splat<T>(correction2);
  const vEps = v128.splat<T>(eps);
  const vDirection = v128.splat<T>(direction);
  const vDecay = v128.splat<T>(weightDecay);
  const decays = weightDecay != <T>0;
  const least = v128.splat<T>(leastNormal<T>());
  const leastV = leastSquare<T>(eps);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = v128.mul<T>(vKeep, loadLanes<T>(at<T>(p, i), rest));
    const gradient = decayed<T>(loadLanes<T>(at<T>(g, i), rest), vDirection, value, vDecay, decays);
    const average = madd<T>(vBeta1, loadLanes<T>(at<T>(expAvg, i), rest), v128.mul<T>(vRest1, gradient));
    const m = flush<T>(average, least);
    const squares = v128.mul<T>(vRest2, v128.mul<T>(gradient, gradient));
    let v = madd<T>(vBeta2, loadLanes<T>(at<T>(expAvgSq, i), rest), squares);
    v = flushSquares<T>(v, leastV, m);
    storeLanes<T>(at<T>(expAvg, i), m, rest);
    storeLanes<T>(at<T>(expAvgSq, i), v, rest);
    if (maxExpAvgSq) {
      v = flushSquares<T>(v128.max<T>(loadLanes<T>(at<T>(maxExpAvgSq, i), rest), v), leastV, m);
      storeLanes<T>(at<T>(maxExpAvgSq, i), v, rest);
    }
    const root = v128.add<T>(v128.div<T>(v128.sqrt<T>(v), vCorrection), vEps);
    storeLanes<T>(at<T>(p, i), v128.sub<T>(value, v128.div<T>(v128.mul<T>(vStep, m), root)), rest);
  }
}

/**
 * RMSprop (Tieleman & Hinton 2012):
 *
 *   g' = direction g + weightDecay p
 *   s = alpha s + (1 - alpha) g'^2                squareAvg
 *   a = alpha a + (1 - alpha) g'                  gradAvg, centered only (else 0)
 *   u = g' / (sqrt(s - a^2) + eps)
 *   p -= lr u, or with momentum: buffer = momentum buffer + u, p -= lr buffer
 */
export function rmsprop<T>(
  n: i32,
  p: usize,
  g: usize,
  squareAvg: usize,
  gradAvg: usize,
  buffer: usize,
  lr: T,
  alpha: T,
  oneMinusAlpha: T,
  eps: T,
  direction: T,
  weightDecay: T,
  momentum: T,
): void {
  const vLr = v128.splat<T>(-lr);
  const vAlpha = v128.splat<T>(alpha);
  const vRest = v128.splat<T>(oneMinusAlpha);
  const vEps = v128.splat<T>(eps);
  const vDirection = v128.splat<T>(direction);
  const vDecay = v128.splat<T>(weightDecay);
  const decays = weightDecay != <T>0;
  const vMomentum = v128.splat<T>(momentum);
  const least = v128.splat<T>(leastNormal<T>());
  const leastS = leastSquare<T>(eps);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = decayed<T>(loadLanes<T>(at<T>(g, i), rest), vDirection, value, vDecay, decays);
    const squares = v128.mul<T>(vRest, v128.mul<T>(gradient, gradient));
    let s = madd<T>(vAlpha, loadLanes<T>(at<T>(squareAvg, i), rest), squares);
    s = flushSquares<T>(s, leastS, gradient);
    storeLanes<T>(at<T>(squareAvg, i), s, rest);
    if (gradAvg) {
      const average = madd<T>(vAlpha, loadLanes<T>(at<T>(gradAvg, i), rest), v128.mul<T>(vRest, gradient));
      const a = flush<T>(average, least);
      storeLanes<T>(at<T>(gradAvg, i), a, rest);
      s = v128.sub<T>(s, v128.mul<T>(a, a));
    }
    let step = v128.div<T>(gradient, v128.add<T>(v128.sqrt<T>(s), vEps));
    if (buffer) {
      step = flush<T>(madd<T>(vMomentum, loadLanes<T>(at<T>(buffer, i), rest), step), least);
      storeLanes<T>(at<T>(buffer, i), step, rest);
    }
    storeLanes<T>(at<T>(p, i), madd<T>(vLr, step, value), rest);
  }
}

/**
 * Adagrad (Duchi, Hazan & Singer 2011):
 *
 *   g' = direction g + weightDecay p
 *   sum += g'^2
 *   p -= stepSize g' / (sqrt(sum) + eps)
 *
 * stepSize = lr / (1 + (t - 1) lrDecay).
 */
export function adagrad<T>(
  n: i32,
  p: usize,
  g: usize,
  sum: usize,
  stepSize: T,
  eps: T,
  direction: T,
  weightDecay: T,
): void {
  const vStep = v128.splat<T>(-stepSize);
  const vEps = v128.splat<T>(eps);
  const vDirection = v128.splat<T>(direction);
  const vDecay = v128.splat<T>(weightDecay);
  const decays = weightDecay != <T>0;
  const leastS = leastSquare<T>(eps);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = decayed<T>(loadLanes<T>(at<T>(g, i), rest), vDirection, value, vDecay, decays);
    let s = madd<T>(gradient, gradient, loadLanes<T>(at<T>(sum, i), rest));
    s = flushSquares<T>(s, leastS, gradient);
    storeLanes<T>(at<T>(sum, i), s, rest);
    const step = v128.div<T>(gradient, v128.add<T>(v128.sqrt<T>(s), vEps));
    storeLanes<T>(at<T>(p, i), madd<T>(vStep, step, value), rest);
  }
}
