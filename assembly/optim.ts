// Parameter updates, with PyTorch's equations and names. p: parameters [n], g: their gradients [n], left as they are.

import { at, lanes, loadLanes, madd, storeLanes } from "./simd";

/**
 * Stochastic gradient descent:
 *
 *   g' = g + weightDecay p
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
  weightDecay: T,
  momentum: T,
  keep: T,
  nesterov: bool,
): void {
  const vLr = v128.splat<T>(-lr);
  const vDecay = v128.splat<T>(weightDecay);
  const vMomentum = v128.splat<T>(momentum);
  const vKeep = v128.splat<T>(keep);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = madd<T>(vDecay, value, loadLanes<T>(at<T>(g, i), rest));
    let step = gradient;
    if (buffer) {
      step = madd<T>(vMomentum, loadLanes<T>(at<T>(buffer, i), rest), v128.mul<T>(vKeep, gradient));
      storeLanes<T>(at<T>(buffer, i), step, rest);
      if (nesterov) step = madd<T>(vMomentum, step, gradient);
    }
    storeLanes<T>(at<T>(p, i), madd<T>(vLr, step, value), rest);
  }
}

/**
 * Adam (Kingma & Ba 2015):
 *
 *   g' = g + weightDecay p
 *   m = beta1 m + (1 - beta1) g'                  expAvg
 *   v = beta2 v + (1 - beta2) g'^2                expAvgSq
 *   p -= stepSize m / (sqrt(v) / correction2 + eps)
 *
 * stepSize = lr / (1 - beta1^t), correction2 = sqrt(1 - beta2^t).
 */
export function adam<T>(
  n: i32,
  p: usize,
  g: usize,
  expAvg: usize,
  expAvgSq: usize,
  stepSize: T,
  beta1: T,
  oneMinusBeta1: T,
  beta2: T,
  oneMinusBeta2: T,
  correction2: T,
  eps: T,
  weightDecay: T,
): void {
  const vStep = v128.splat<T>(stepSize);
  const vBeta1 = v128.splat<T>(beta1);
  const vRest1 = v128.splat<T>(oneMinusBeta1);
  const vBeta2 = v128.splat<T>(beta2);
  const vRest2 = v128.splat<T>(oneMinusBeta2);
  const vCorrection = v128.splat<T>(correction2);
  const vEps = v128.splat<T>(eps);
  const vDecay = v128.splat<T>(weightDecay);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = madd<T>(vDecay, value, loadLanes<T>(at<T>(g, i), rest));
    const m = madd<T>(vBeta1, loadLanes<T>(at<T>(expAvg, i), rest), v128.mul<T>(vRest1, gradient));
    const squares = v128.mul<T>(vRest2, v128.mul<T>(gradient, gradient));
    const v = madd<T>(vBeta2, loadLanes<T>(at<T>(expAvgSq, i), rest), squares);
    storeLanes<T>(at<T>(expAvg, i), m, rest);
    storeLanes<T>(at<T>(expAvgSq, i), v, rest);
    const root = v128.add<T>(v128.div<T>(v128.sqrt<T>(v), vCorrection), vEps);
    storeLanes<T>(at<T>(p, i), v128.sub<T>(value, v128.div<T>(v128.mul<T>(vStep, m), root)), rest);
  }
}

/**
 * RMSprop (Tieleman & Hinton 2012):
 *
 *   g' = g + weightDecay p
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
  weightDecay: T,
  momentum: T,
): void {
  const vLr = v128.splat<T>(-lr);
  const vAlpha = v128.splat<T>(alpha);
  const vRest = v128.splat<T>(oneMinusAlpha);
  const vEps = v128.splat<T>(eps);
  const vDecay = v128.splat<T>(weightDecay);
  const vMomentum = v128.splat<T>(momentum);
  for (let i = 0; i < n; i += lanes<T>()) {
    const rest = n - i;
    const value = loadLanes<T>(at<T>(p, i), rest);
    const gradient = madd<T>(vDecay, value, loadLanes<T>(at<T>(g, i), rest));
    const squares = v128.mul<T>(vRest, v128.mul<T>(gradient, gradient));
    let s = madd<T>(vAlpha, loadLanes<T>(at<T>(squareAvg, i), rest), squares);
    storeLanes<T>(at<T>(squareAvg, i), s, rest);
    if (gradAvg) {
      const a = madd<T>(vAlpha, loadLanes<T>(at<T>(gradAvg, i), rest), v128.mul<T>(vRest, gradient));
      storeLanes<T>(at<T>(gradAvg, i), a, rest);
      s = v128.sub<T>(s, v128.mul<T>(a, a));
    }
    let step = v128.div<T>(gradient, v128.add<T>(v128.sqrt<T>(s), vEps));
    if (buffer) {
      step = madd<T>(vMomentum, loadLanes<T>(at<T>(buffer, i), rest), step);
      storeLanes<T>(at<T>(buffer, i), step, rest);
    }
    storeLanes<T>(at<T>(p, i), madd<T>(vLr, step, value), rest);
  }
}
