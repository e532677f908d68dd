// Losses: each gives the loss and its gradient with respect to the prediction. PyTorch's semantics, defaults and names.

import { currentCore } from "../bindings/instantiate.js";
import { floatDtype, logSoftmax as logSoftmaxKernel, softmax as softmaxKernel } from "../bindings/kernels.js";
import * as kernels from "../bindings/loss.js";
import type { LossResult, Reduction } from "../bindings/loss.js";
import { withArena, type Arena } from "../bindings/memory.js";
import type { FloatDtype, Tensor } from "../bindings/tensor.js";
import { checkOptions } from "./nn/layer.js";

export type { Reduction };

/**
 * A number, or for reduction "none" a tensor.
 *
 * @typeParam R the reduction
 */
export type Loss<R extends Reduction> = R extends "none" ? Tensor : number;

/** What all losses can be told. */
export interface LossOptions<R extends Reduction = Reduction> {
  /**
   * "mean" (default), "sum", or "none": a loss for each element, in the shape of the prediction, or, for losses over
   * classes, for each target, in the shape of the targets. The gradient is then that of the losses' sum.
   */
  reduction?: R;
}

/** Options of `nll`. */
export interface NllOptions<R extends Reduction = Reduction> extends LossOptions<R> {
  /** Targets of this value count neither in the loss nor in the mean (default -100). */
  ignoreIndex?: number;
  /**
   * A weight for each class, [C], in the dtype of the scores (default: 1 each); the mean is then divided by the weights of
   * the targets.
   */
  weight?: Tensor;
}

/** Options of `crossEntropy`. `ignoreIndex` is for targets that are classes: with probabilities it is refused. */
export interface CrossEntropyOptions<R extends Reduction = Reduction> extends NllOptions<R> {
  /** How much of a target's probability is spread evenly over all classes, 0 to 1 (default 0). */
  labelSmoothing?: number;
}

/** Options of `smoothL1`. */
export interface SmoothL1Options<R extends Reduction = Reduction> extends LossOptions<R> {
  /**
   * Below this distance the loss is a parabola, above it a line (default 1). 0 gives `l1`, also its gradient of 0 for equal
   * numbers, where PyTorch's is -1.
   */
  beta?: number;
}

/** Options of `bceWithLogits`: tensors in the dtype of the logits, in a shape that repeats to theirs (NumPy's rules). */
export interface BceWithLogitsOptions<R extends Reduction = Reduction> extends LossOptions<R> {
  /** What each element's loss is multiplied with (default 1); the mean is still over the number of elements. */
  weight?: Tensor;
  /**
   * What the part of the positive answer is multiplied with (default 1): above 1 for fewer misses, below 1 for fewer false
   * alarms.
   */
  posWeight?: Tensor;
}

/** Runs a loss kernel, and hands its results to the caller. */
function run<R extends Reduction>(
  argument: string,
  prediction: Tensor,
  reduction: R,
  kernel: (arena: Arena, dtype: FloatDtype) => LossResult,
): { loss: Loss<R>; gradient: Tensor } {
  return withArena(currentCore(), (arena) => {
    const { total, losses, gradient } = kernel(arena, floatDtype(argument, prediction));
    return { loss: (reduction === "none" ? losses.download() : total) as Loss<R>, gradient: gradient.download() };
  });
}

/** The option as it was given, or its default. */
function reductionOf<R extends Reduction>(options: LossOptions<R>): R {
  return options.reduction ?? ("mean" as R);
}

/**
 * Softmax and cross-entropy in one: the loss of a target is weight[target] (log(sum of e^logits) - logits[target]), for
 * probabilities the sum of this over all classes times their probabilities, as PyTorch's
 * [functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html). In nats.
 *
 * The mean is over the targets that count, weighted by `weight`, with probabilities over all of them.
 *
 * @param logits [..., C], f64 or f32
 * @param targets classes [...], i32, each from 0 to C - 1 or ignoreIndex; or probabilities [..., C] in the dtype of logits
 * @param options reduction, weight of each class, ignoreIndex, labelSmoothing
 * @throws ShapeError, DtypeError, ValueError (target out of range), UnsupportedError, OutOfMemoryError
 */
export function crossEntropy<R extends Reduction = "mean">(
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions<R> = {},
): {
  /** In nats; for "none" [...]. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses: [..., C]. */
  dLogits: Tensor;
} {
  checkOptions("crossEntropy", options, ["ignoreIndex", "reduction", "labelSmoothing", "weight"]);
  const { ignoreIndex, labelSmoothing = 0, weight } = options;
  const reduction = reductionOf(options);
  const args = { logits, targets, weight, ignoreIndex, labelSmoothing, reduction };
  const result = run("logits", logits, reduction, (arena, dtype) => kernels.crossEntropy(arena, dtype, args));
  return { loss: result.loss, dLogits: result.gradient };
}

/**
 * The negative log-likelihood -weight[target] logProbabilities[target], as PyTorch's
 * [functional.nll_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html); the mean is weighted. For
 * training, `crossEntropy` of the logits gives their gradient in one step.
 *
 * @param logProbabilities [..., C], f64 or f32, for example of `logSoftmax`
 * @param targets [...], i32, each from 0 to C - 1 or ignoreIndex
 * @param options reduction, weight of each class, ignoreIndex
 * @throws ShapeError, DtypeError, ValueError (target out of range), UnsupportedError, OutOfMemoryError
 */
export function nll<R extends Reduction = "mean">(
  logProbabilities: Tensor,
  targets: Tensor,
  options: NllOptions<R> = {},
): {
  /** In nats; for "none" [...]. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses: [..., C]. */
  dLogProbabilities: Tensor;
} {
  checkOptions("nll", options, ["ignoreIndex", "reduction", "weight"]);
  const { ignoreIndex = -100, weight } = options;
  const reduction = reductionOf(options);
  const args = { logProbabilities, targets, weight, ignoreIndex, reduction };
  const result = run("logProbabilities", logProbabilities, reduction, (arena, dtype) =>
    kernels.nll(arena, dtype, args),
  );
  return { loss: result.loss, dLogProbabilities: result.gradient };
}

/** A loss of prediction and target, element by element. */
function regression<R extends Reduction>(
  kind: typeof kernels.MSE | typeof kernels.SMOOTH_L1,
  prediction: Tensor,
  target: Tensor,
  options: LossOptions<R>,
  beta = 0,
): { loss: Loss<R>; dPrediction: Tensor } {
  const reduction = reductionOf(options);
  const args = { names: ["prediction", "target"] as const, prediction, target, beta, reduction };
  const result = run("prediction", prediction, reduction, (arena, dtype) =>
    kernels.elementwiseLoss(arena, dtype, kind, args),
  );
  return { loss: result.loss, dPrediction: result.gradient };
}

/**
 * The squared error (prediction - target)^2, as PyTorch's
 * [functional.mse_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html).
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function mse<R extends Reduction = "mean">(
  prediction: Tensor,
  target: Tensor,
  options: LossOptions<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor;
} {
  checkOptions("mse", options, ["reduction"]);
  return regression(kernels.MSE, prediction, target, options);
}

/**
 * The distance |prediction - target|, as PyTorch's
 * [functional.l1_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html); its gradient where they are equal
 * is 0.
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function l1<R extends Reduction = "mean">(
  prediction: Tensor,
  target: Tensor,
  options: LossOptions<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor;
} {
  checkOptions("l1", options, ["reduction"]);
  return regression(kernels.SMOOTH_L1, prediction, target, options);
}

/**
 * With d = |prediction - target|: d^2 / (2 beta) where d < beta, else d - beta / 2 (Girshick 2015), as PyTorch's
 * [functional.smooth_l1_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html).
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction, beta
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function smoothL1<R extends Reduction = "mean">(
  prediction: Tensor,
  target: Tensor,
  options: SmoothL1Options<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor;
} {
  checkOptions("smoothL1", options, ["reduction", "beta"]);
  const { beta = 1 } = options;
  return regression(kernels.SMOOTH_L1, prediction, target, options, beta);
}

/**
 * Sigmoid and binary cross-entropy in one: -weight (posWeight t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))), computed
 * so that no logit is too large, as PyTorch's
 * [functional.binary_cross_entropy_with_logits](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html).
 * In nats.
 *
 * @param logits x, any shape, f64 or f32
 * @param targets t, the shape and type of logits: probabilities of the positive answer
 * @param options reduction, weight of each element, posWeight
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function bceWithLogits<R extends Reduction = "mean">(
  logits: Tensor,
  targets: Tensor,
  options: BceWithLogitsOptions<R> = {},
): {
  /** In nats; for "none" in the shape of logits. */
  loss: Loss<R>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of logits. */
  dLogits: Tensor;
} {
  checkOptions("bceWithLogits", options, ["reduction", "weight", "posWeight"]);
  const { weight, posWeight } = options;
  const reduction = reductionOf(options);
  const names = ["logits", "targets"] as const;
  const args = { names, prediction: logits, target: targets, weight, posWeight, reduction };
  const result = run("logits", logits, reduction, (arena, dtype) =>
    kernels.elementwiseLoss(arena, dtype, kernels.BCE_WITH_LOGITS, args),
  );
  return { loss: result.loss, dLogits: result.gradient };
}

/**
 * e^x / sum of e^x over the last axis, with the largest x subtracted from all, as PyTorch's
 * [functional.softmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html).
 *
 * @param x [..., C], f64 or f32
 * @returns [..., C], of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function softmax(x: Tensor): Tensor {
  return withArena(currentCore(), (arena) => {
    const dtype = floatDtype("x", x);
    const y = arena.copy("x", x, dtype, ["...", "C"]);
    softmaxKernel(arena, dtype, y);
    return y.download();
  });
}

/**
 * x - log(sum of e^x) over the last axis: the logarithm of `softmax`, also where that is 0, as PyTorch's
 * [functional.log_softmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html).
 *
 * @param x [..., C], f64 or f32
 * @returns [..., C], of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function logSoftmax(x: Tensor): Tensor {
  return withArena(currentCore(), (arena) => {
    const dtype = floatDtype("x", x);
    return logSoftmaxKernel(arena, dtype, arena.upload("x", x, dtype, ["...", "C"])).download();
  });
}
