// Losses: each gives the loss and its gradient with respect to the prediction. PyTorch's semantics.

import { currentCore } from "../bindings/instantiate.js";
import * as kernels from "../bindings/kernels.js";
import { floatDtype, type Reduction } from "../bindings/kernels.js";
import { withArena } from "../bindings/memory.js";
import type { Tensor } from "../bindings/tensor.js";
import { checkOptions } from "./nn/layer.js";

export type { Reduction };

export interface CrossEntropyOptions<R extends Reduction = Reduction> {
  /** Targets of this value count neither in the loss nor in the mean (default -100). */
  ignoreIndex?: number;
  /** "mean" (default) over the targets that count, "sum", or "none": a loss for each target. */
  reduction?: R;
}

export interface MseOptions<R extends Reduction = Reduction> {
  /** "mean" (default) over all elements, "sum", or "none": a loss for each element. */
  reduction?: R;
}

/** A number, or for reduction "none" a tensor. */
export type Loss<R extends Reduction> = R extends "none" ? Tensor : number;

/**
 * Softmax and cross-entropy in one: the loss of a target is log(sum of e^logits) - logits[target].
 *
 * @param logits [..., C], f64 or f32
 * @param targets [...], i32, each from 0 to C - 1 or ignoreIndex
 * @returns loss, and dLogits [..., C], the gradient of the loss (of the sum of the losses for "none")
 * @throws ShapeError, DtypeError, ValueError (target out of range), OutOfMemoryError
 */
export function crossEntropy<R extends Reduction = "mean">(
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions<R> = {},
): { loss: Loss<R>; dLogits: Tensor } {
  checkOptions("crossEntropy", options, ["ignoreIndex", "reduction"]);
  const { ignoreIndex = -100 } = options;
  const reduction: Reduction = options.reduction ?? "mean";
  return withArena(currentCore(), (arena) => {
    const args = { logits, targets, ignoreIndex, reduction };
    const { total, losses, dLogits } = kernels.crossEntropy(arena, floatDtype("logits", logits), args);
    return { loss: (reduction === "none" ? losses.download() : total) as Loss<R>, dLogits: dLogits.download() };
  });
}

/**
 * The squared error (prediction - target)^2.
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @returns loss, and dPrediction in the shape of prediction, the gradient of the loss (of the sum for "none")
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function mse<R extends Reduction = "mean">(
  prediction: Tensor,
  target: Tensor,
  options: MseOptions<R> = {},
): { loss: Loss<R>; dPrediction: Tensor } {
  checkOptions("mse", options, ["reduction"]);
  const reduction: Reduction = options.reduction ?? "mean";
  return withArena(currentCore(), (arena) => {
    const args = { prediction, target, reduction };
    const { total, losses, dPrediction } = kernels.mse(arena, floatDtype("prediction", prediction), args);
    return { loss: (reduction === "none" ? losses.download() : total) as Loss<R>, dPrediction: dPrediction.download() };
  });
}

/**
 * e^x / sum of e^x over the last axis.
 *
 * @param x [..., C], f64 or f32
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function softmax(x: Tensor): Tensor {
  return withArena(currentCore(), (arena) => {
    const dtype = floatDtype("x", x);
    const y = arena.copy("x", x, dtype, ["...", "C"]);
    kernels.softmax(arena, dtype, y);
    return y.download();
  });
}
