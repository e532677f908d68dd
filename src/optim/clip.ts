// Clipping of gradients, with PyTorch's equations.

import { ValueError } from "../../bindings/errors.js";
import { clip, scale, sumSquares } from "../../bindings/kernels.js";
import { describe } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { type Parameter } from "../nn/layer.js";
import { takeParameters, type OwnParameter } from "./parameters.js";

/** Options of `clipGradNorm`. */
export interface ClipGradNormOptions {
  /** 2 (default): the root of the sum of squares; 1: the sum of absolute values; Infinity: the largest of them. */
  normType?: number | undefined;
}

/** The norm of all gradients as one vector; NaN if any number is NaN. */
export function normOf(parameters: readonly OwnParameter[], normType = 2): number {
  let total = 0;
  for (const { grad } of parameters) {
    if (normType === 2) total += sumSquares(grad);
    else if (normType === 1) for (const g of grad.data) total += Math.abs(g);
    else for (const g of grad.data) total = Math.max(total, Math.abs(g));
  }
  return normType === 2 ? Math.sqrt(total) : total;
}

/**
 * Scales all gradients so that their common norm is at most maxNorm, by min(1, maxNorm / (norm + 1e-6)) (Pascanu, Mikolov &
 * Bengio 2013), as PyTorch's [clip_grad_norm_](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html).
 *
 * @param parameters of layers, whose gradients are changed in place
 * @param maxNorm >= 0; Infinity changes nothing
 * @param options which norm, by default the Euclidean one
 * @returns the norm before
 * @throws ValueError, UnsupportedError, StateError (parameters of different builds), DisposedError
 */
export function clipGradNorm(
  parameters: readonly Parameter[],
  maxNorm: number,
  options: ClipGradNormOptions = {},
): number {
  checkLimit("maxNorm", maxNorm);
  const { normType = 2 } = checkOptions("clipGradNorm", options, ["normType"]);
  if (![1, 2, Infinity].includes(normType)) throw new ValueError("normType", describe(normType), "1, 2 or Infinity");
  const taken = takeParameters(parameters);
  const norm = normOf(taken, normType);
  limitNorm(taken, norm, maxNorm);
  return norm;
}

/** Scales gradients whose norm is `norm` so that it is at most maxNorm. */
export function limitNorm(parameters: readonly OwnParameter[], norm: number, maxNorm: number): void {
  const factor = maxNorm / (norm + 1e-6);
  if (!(factor >= 1)) for (const { grad } of parameters) scale(grad, factor);
}

/**
 * Limits every number of the gradients to [-value, value], as PyTorch's
 * [clip_grad_value_](https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html).
 *
 * @param parameters of layers, whose gradients are changed in place
 * @param value >= 0
 * @throws ValueError, StateError (parameters of different builds), DisposedError
 */
export function clipGradValue(parameters: readonly Parameter[], value: number): void {
  checkLimit("value", value);
  const taken = takeParameters(parameters);
  for (const { grad } of taken) clip(grad, value);
}

/** Checks a limit: a number >= 0, where Infinity means none. */
export function checkLimit(argument: string, value: number): void {
  if (typeof value !== "number" || !(value >= 0)) throw new ValueError(argument, describe(value), "a number >= 0");
}
