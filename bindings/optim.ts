// One typed function per kernel of parameter updates. `options` are those of the optimizer's group; the equations are in
// assembly/optim.ts.

import { sizeOf } from "./tensor.js";
import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";

/** A parameter and its gradient, of one shape. */
export interface Update {
  value: FloatTensor;
  grad: FloatTensor;
}

interface Common {
  lr: number;
  weightDecay: number;
  maximize: boolean;
}

const direction = ({ maximize }: Common): number => (maximize ? -1 : 1);

/** One step of stochastic gradient descent. */
export function sgd(
  { value, grad }: Update,
  buffer: FloatTensor | undefined,
  o: Common & { momentum: number; keep: number; nesterov: boolean },
): void {
  // prettier-ignore
  kernelsOf(value.arena, value.dtype).sgd(sizeOf(value.shape), value.pointer, grad.pointer, pointer(buffer), o.lr,
    direction(o), o.weightDecay, o.momentum, o.keep, o.nesterov);
}

/** One step of Adam; `keep` of the parameter stays before it (AdamW), 1 for all of it. */
export function adam(
  { value, grad }: Update,
  expAvg: FloatTensor,
  expAvgSq: FloatTensor,
  maxExpAvgSq: FloatTensor | undefined,
  o: Common & { stepSize: number; betas: readonly [number, number]; correction2: number; eps: number; keep: number },
): void {
  const [beta1, beta2] = o.betas;
  // prettier-ignore
  kernelsOf(value.arena, value.dtype).adam(sizeOf(value.shape), value.pointer, grad.pointer, expAvg.pointer,
    expAvgSq.pointer, pointer(maxExpAvgSq), o.stepSize, beta1, 1 - beta1, beta2, 1 - beta2, o.correction2, o.eps,
    direction(o), o.weightDecay, o.keep);
}

/** One step of RMSprop. */
export function rmsprop(
  { value, grad }: Update,
  squareAvg: FloatTensor,
  gradAvg: FloatTensor | undefined,
  buffer: FloatTensor | undefined,
  o: Common & { alpha: number; eps: number; momentum: number },
): void {
  // prettier-ignore
  kernelsOf(value.arena, value.dtype).rmsprop(sizeOf(value.shape), value.pointer, grad.pointer, squareAvg.pointer,
    pointer(gradAvg), pointer(buffer), o.lr, o.alpha, 1 - o.alpha, o.eps, direction(o), o.weightDecay, o.momentum);
}

/** One step of Adagrad. */
export function adagrad(
  { value, grad }: Update,
  sum: FloatTensor,
  o: Common & { stepSize: number; eps: number },
): void {
  // prettier-ignore
  kernelsOf(value.arena, value.dtype).adagrad(sizeOf(value.shape), value.pointer, grad.pointer, sum.pointer, o.stepSize,
    o.eps, direction(o), o.weightDecay);
}
