// One typed function per kernel of parameter updates. `options` are those of the optimizer's group; the equations are in
// assembly/optim.ts.

import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";
import { record } from "./record.js";
import { sizeOf } from "./tensor.js";
import { adagradStepFields, adamStepFields, rmspropStepFields, sgdStepFields } from "./wasm.js";

/** A parameter and its gradient, of one shape. */
export interface Update {
  value: FloatTensor;
  grad: FloatTensor;
}

interface Common {
  weightDecay: number;
  maximize: boolean;
}

/** The fields that all records have. */
function common({ value, grad }: Update, { weightDecay, maximize }: Common) {
  return {
    direction: maximize ? -1 : 1,
    weightDecay,
    n: sizeOf(value.shape),
    p: value.pointer,
    g: grad.pointer,
  };
}

/** One step of stochastic gradient descent. */
export function sgd(
  update: Update,
  buffer: FloatTensor | undefined,
  dampened: number,
  options: Common & { lr: number; momentum: number; nesterov: boolean },
): void {
  const { arena, dtype } = update.value;
  const { lr, momentum, nesterov } = options;
  const fields = { ...common(update, options), lr, momentum, dampened, nesterov, buffer: pointer(buffer) };
  kernelsOf(arena, dtype).sgd(record(arena.core, sgdStepFields, fields));
}

/** One step of Adam or, with `decay` below 1, AdamW; stepSize, correction2 and decay are those of `AdamStep`. */
export function adam(
  update: Update,
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
  const { arena, dtype } = update.value;
  const { betas, eps, stepSize, correction2, decay } = options;
  const fields = {
    ...common(update, options),
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
  kernelsOf(arena, dtype).adam(record(arena.core, adamStepFields, fields));
}

/** One step of RMSprop. */
export function rmsprop(
  update: Update,
  squareAvg: FloatTensor,
  gradAvg: FloatTensor | undefined,
  buffer: FloatTensor | undefined,
  options: Common & { lr: number; alpha: number; eps: number; momentum: number },
): void {
  const { arena, dtype } = update.value;
  const { lr, alpha, eps, momentum } = options;
  const fields = {
    ...common(update, options),
    lr,
    alpha,
    eps,
    momentum,
    squareAvg: squareAvg.pointer,
    gradAvg: pointer(gradAvg),
    buffer: pointer(buffer),
  };
  kernelsOf(arena, dtype).rmsprop(record(arena.core, rmspropStepFields, fields));
}

/** One step of Adagrad; stepSize is that of `AdagradStep`. */
export function adagrad(update: Update, sum: FloatTensor, stepSize: number, options: Common & { eps: number }): void {
  const { arena, dtype } = update.value;
  const fields = { ...common(update, options), stepSize, eps: options.eps, sum: sum.pointer };
  kernelsOf(arena, dtype).adagrad(record(arena.core, adagradStepFields, fields));
}
