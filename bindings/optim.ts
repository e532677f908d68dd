// One typed function per kernel of parameter updates. `options` are those of the optimizer's group; the equations are in
// assembly/training/optim.ts.

import { pointer, type FloatTensor } from "./kernels.js";
import { record } from "./record.js";
import { sizeOf } from "./tensor.js";
import { trainingKernels } from "./training-module.js";
import { adagradStep, adamStep, rmspropStep, sgdStep } from "./wasm-training.js";

/** A parameter and its gradient, of one shape. */
export interface Update {
  value: FloatTensor;
  grad: FloatTensor;
}

interface Common {
  weightDecay: number;
  maximize: boolean;
}

const direction = ({ maximize }: Common): number => (maximize ? -1 : 1);

/** One step of stochastic gradient descent. */
export function sgd(
  { value, grad }: Update,
  buffer: FloatTensor | undefined,
  dampened: number,
  options: Common & { lr: number; momentum: number; nesterov: boolean },
): void {
  const { arena, dtype } = value;
  const { lr, momentum, nesterov } = options;
  const fields = {
    direction: direction(options),
    weightDecay: options.weightDecay,
    n: sizeOf(value.shape),
    p: value.pointer,
    g: grad.pointer,
    lr,
    momentum,
    dampened,
    nesterov,
    buffer: pointer(buffer),
  };
  trainingKernels(arena, dtype).sgd(record(arena.core, sgdStep, fields));
}

/** One step of Adam or, with `decay` below 1, AdamW; stepSize, correction2 and decay are those of `AdamStep`. */
export function adam(
  { value, grad }: Update,
  expAvg: FloatTensor,
  expAvgSq: FloatTensor,
  maxExpAvgSq: FloatTensor | undefined,
  options: Common & {
    betas: readonly [number, number];
    eps: number;
    stepSize: number;
    correction2: number;
    decay: number;
  },
): void {
  const { arena, dtype } = value;
  const { betas, eps, stepSize, correction2, decay } = options;
  const fields = {
    direction: direction(options),
    weightDecay: options.weightDecay,
    n: sizeOf(value.shape),
    p: value.pointer,
    g: grad.pointer,
    stepSize,
    beta1: betas[0],
    beta2: betas[1],
    correction2,
    eps,
    decay,
    expAvg: expAvg.pointer,
    expAvgSq: expAvgSq.pointer,
    maxExpAvgSq: pointer(maxExpAvgSq),
  };
  trainingKernels(arena, dtype).adam(record(arena.core, adamStep, fields));
}

/** One step of RMSprop. */
export function rmsprop(
  { value, grad }: Update,
  squareAvg: FloatTensor,
  gradAvg: FloatTensor | undefined,
  buffer: FloatTensor | undefined,
  options: Common & { lr: number; alpha: number; eps: number; momentum: number },
): void {
  const { arena, dtype } = value;
  const { lr, alpha, eps, momentum } = options;
  const fields = {
    direction: direction(options),
    weightDecay: options.weightDecay,
    n: sizeOf(value.shape),
    p: value.pointer,
    g: grad.pointer,
    lr,
    alpha,
    eps,
    momentum,
    squareAvg: squareAvg.pointer,
    gradAvg: pointer(gradAvg),
    buffer: pointer(buffer),
  };
  trainingKernels(arena, dtype).rmsprop(record(arena.core, rmspropStep, fields));
}

/** One step of Adagrad; stepSize is that of `AdagradStep`. */
export function adagrad(
  { value, grad }: Update,
  sum: FloatTensor,
  stepSize: number,
  options: Common & { eps: number },
): void {
  const { arena, dtype } = value;
  const fields = {
    direction: direction(options),
    weightDecay: options.weightDecay,
    n: sizeOf(value.shape),
    p: value.pointer,
    g: grad.pointer,
    stepSize,
    eps: options.eps,
    sum: sum.pointer,
  };
  trainingKernels(arena, dtype).adagrad(record(arena.core, adagradStep, fields));
}
