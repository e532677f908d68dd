// Parameter updates, with PyTorch's equations and names. Each kernel takes a record, which bindings/optim.ts fills in. In all
// of them:
//
//   n            length of every array
//   p, g         in/out: parameters; in: their gradients
//   direction    1 to minimise, -1 to maximise
//   weightDecay  0: none
//
// Moments below the least normal number become 0. Where no gradient comes (unused rows of an embedding) they would decay into
// denormal numbers, and each operation on one costs some 100 cycles on x86. An average or sum of squares becomes 0 only where
// the other factor of the step is 0, and never with eps = 0, when it alone is the denominator.

import { at, lanes, loadLanes, madd, storeLanes } from "../simd";

/** g' = direction g + weightDecay p: the first line of every update. Without decay p is left out: 0 times infinity is NaN. */
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

/** The bound of `flushSquares`: 0, so that nothing is below it, with eps = 0. */
// @ts-ignore: decorator
@inline
function leastSquare<T>(eps: T): v128 {
  return v128.splat<T>(eps > <T>0 ? leastNormal<T>() : <T>0);
}


@unmanaged
export class SgdStep {
  lr: f64;
  direction: f64;
  weightDecay: f64;
  momentum: f64;
  /** 1 - dampening; 1 at the first step, when the buffer is zeros. */
  dampened: f64;
  n: i32;
  p: usize;
  g: usize;
  /** in/out: the momentum buffer; 0: none. */
  buffer: usize;
  nesterov: i32;
}

/**
 * Stochastic gradient descent:
 *
 *   g' = direction g + weightDecay p
 *   buffer = momentum buffer + dampened g'
 *   p -= lr (nesterov ? g' + momentum buffer : buffer)
 *
 * Without a buffer, p -= lr g'.
 */
export function sgd<T>(r: SgdStep): void {
  const n = r.n;
  const p = r.p;
  const g = r.g;
  const buffer = r.buffer;
  const nesterov = r.nesterov;
  const vLr = v128.splat<T>(-(<T>r.lr));
  const vDirection = v128.splat<T>(<T>r.direction);
  const vDecay = v128.splat<T>(<T>r.weightDecay);
  const decays = <T>r.weightDecay != <T>0;
  const vMomentum = v128.splat<T>(<T>r.momentum);
  const vDampened = v128.splat<T>(<T>r.dampened);
  const least = v128.splat<T>(leastNormal<T>());
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = decayed<T>(loadLanes<T>(at<T>(g, i), rest), vDirection, value, vDecay, decays);
    let step = gradient;
    if (buffer) {
      step = madd<T>(vMomentum, loadLanes<T>(at<T>(buffer, i), rest), v128.mul<T>(vDampened, gradient));
      step = flush<T>(step, least);
      storeLanes<T>(at<T>(buffer, i), step, rest);
      if (nesterov) step = madd<T>(vMomentum, step, gradient);
    }
    storeLanes<T>(at<T>(p, i), madd<T>(vLr, step, value), rest);
  }
}


@unmanaged
export class AdamStep {
  /** lr / (1 - beta1^t) at step t. */
  stepSize: f64;
  beta1: f64;
  beta2: f64;
  /** sqrt(1 - beta2^t). */
  correction2: f64;
  eps: f64;
  direction: f64;
  weightDecay: f64;
  /** AdamW: 1 - lr weightDecay, with 0 above; Adam: 1. */
  decay: f64;
  n: i32;
  p: usize;
  g: usize;
  /** in/out: m and v. */
  expAvg: usize;
  expAvgSq: usize;
  /** in/out: v' of AMSGrad; 0 without it. */
  maxExpAvgSq: usize;
}

/**
 * Adam (Kingma & Ba 2015), AMSGrad (Reddi, Kale & Kumar 2018), AdamW (Loshchilov & Hutter 2019):
 *
 *   p = decay p
 *   g' = direction g + weightDecay p
 *   m = beta1 m + (1 - beta1) g'                  expAvg
 *   v = beta2 v + (1 - beta2) g'^2                expAvgSq
 *   v' = max(v', v)                              maxExpAvgSq, AMSGrad only (else v' = v)
 *   p -= stepSize m / (sqrt(v') / correction2 + eps)
 */
export function adam<T>(r: AdamStep): void {
  const n = r.n;
  const p = r.p;
  const g = r.g;
  const expAvg = r.expAvg;
  const expAvgSq = r.expAvgSq;
  const maxExpAvgSq = r.maxExpAvgSq;
  const vFactor = v128.splat<T>(<T>r.decay);
  const vStep = v128.splat<T>(<T>r.stepSize);
  const vBeta1 = v128.splat<T>(<T>r.beta1);
  const vRest1 = v128.splat<T>(<T>(1 - r.beta1));
  const vBeta2 = v128.splat<T>(<T>r.beta2);
  const vRest2 = v128.splat<T>(<T>(1 - r.beta2));
  const vCorrection = v128.splat<T>(<T>r.correction2);
  const vEps = v128.splat<T>(<T>r.eps);
  const vDirection = v128.splat<T>(<T>r.direction);
  const vDecay = v128.splat<T>(<T>r.weightDecay);
  const decays = <T>r.weightDecay != <T>0;
  const least = v128.splat<T>(leastNormal<T>());
  const leastV = leastSquare<T>(<T>r.eps);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = v128.mul<T>(vFactor, loadLanes<T>(at<T>(p, i), rest));
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


@unmanaged
export class RmspropStep {
  lr: f64;
  alpha: f64;
  eps: f64;
  direction: f64;
  weightDecay: f64;
  momentum: f64;
  n: i32;
  p: usize;
  g: usize;
  /** in/out: s. */
  squareAvg: usize;
  /** in/out: a; 0 unless centered. */
  gradAvg: usize;
  /** in/out: the momentum buffer; 0: none. */
  buffer: usize;
}

/**
 * RMSprop (Tieleman & Hinton 2012):
 *
 *   g' = direction g + weightDecay p
 *   s = alpha s + (1 - alpha) g'^2                squareAvg
 *   a = alpha a + (1 - alpha) g'                  gradAvg, centered only (else a = 0)
 *   u = g' / (sqrt(s - a^2) + eps)
 *   p -= lr u, or with momentum: buffer = momentum buffer + u, p -= lr buffer
 */
export function rmsprop<T>(r: RmspropStep): void {
  const n = r.n;
  const p = r.p;
  const g = r.g;
  const squareAvg = r.squareAvg;
  const gradAvg = r.gradAvg;
  const buffer = r.buffer;
  const vLr = v128.splat<T>(-(<T>r.lr));
  const vAlpha = v128.splat<T>(<T>r.alpha);
  const vRest = v128.splat<T>(<T>(1 - r.alpha));
  const vEps = v128.splat<T>(<T>r.eps);
  const vDirection = v128.splat<T>(<T>r.direction);
  const vDecay = v128.splat<T>(<T>r.weightDecay);
  const decays = <T>r.weightDecay != <T>0;
  const vMomentum = v128.splat<T>(<T>r.momentum);
  const least = v128.splat<T>(leastNormal<T>());
  const leastS = leastSquare<T>(<T>r.eps);
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


@unmanaged
export class AdagradStep {
  /** lr / (1 + (t - 1) lrDecay) at step t. */
  stepSize: f64;
  eps: f64;
  direction: f64;
  weightDecay: f64;
  n: i32;
  p: usize;
  g: usize;
  /** in/out: the sum of g'^2. */
  sum: usize;
}

/**
 * Adagrad (Duchi, Hazan & Singer 2011):
 *
 *   g' = direction g + weightDecay p
 *   sum += g'^2
 *   p -= stepSize g' / (sqrt(sum) + eps)
 */
export function adagrad<T>(r: AdagradStep): void {
  const n = r.n;
  const p = r.p;
  const g = r.g;
  const sum = r.sum;
  const vStep = v128.splat<T>(-(<T>r.stepSize));
  const vEps = v128.splat<T>(<T>r.eps);
  const vDirection = v128.splat<T>(<T>r.direction);
  const vDecay = v128.splat<T>(<T>r.weightDecay);
  const decays = <T>r.weightDecay != <T>0;
  const leastS = leastSquare<T>(<T>r.eps);
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
