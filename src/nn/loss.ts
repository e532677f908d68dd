// Losses: each gives the loss and its gradient with respect to the prediction. PyTorch's semantics, defaults and names.

import { coreOfCall, EXPONENTIAL } from "../../bindings/instantiate.js";
import { StateError } from "../../bindings/errors.js";
import { mul, type FloatTensor } from "../../bindings/kernels.js";
import * as kernels from "../../bindings/loss.js";
import type { LossResult, Reduction } from "../../bindings/loss.js";
import { Arena, withArena, type Lengths } from "../../bindings/memory.js";
import { readTensor, sizeOf, type Dtype, type ReadTensor, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { currentTape } from "../recording/current.js";

export type { Reduction };

/**
 * A number, or for reduction "none" a tensor.
 *
 * @typeParam R the reduction
 * @typeParam D the number type of the prediction
 */
export type Loss<R extends Reduction, D extends Dtype = Dtype> = R extends "none" ? Tensor<D> : number;

/** Options of all losses. A mean over nothing (no target counts) is NaN, with gradients of 0, as in PyTorch. */
export interface LossOptions<R extends Reduction = Reduction> {
  /**
   * "mean" (default), "sum", or "none": a loss for each element, in the shape of the prediction, or, for losses over
   * classes, for each target, in the shape of the targets. The gradient is then that of the losses' sum.
   */
  reduction?: R | undefined;
  /**
   * The weight of each step or element (default 1), in the dtype of the prediction. Its axes are the first axes of the targets
   * (an axis of length 1 repeats), and a weight applies to everything in the axes after them: [T,N] or [T,1] for targets [T,N,D].
   * It multiplies the loss, and the mean divides by its sum: weight 2 equals two steps, weight 0 equals no step, whatever its
   * numbers are. PyTorch has no such option; scikit-learn's sample_weight means the same; Keras divides by the number of elements
   * instead.
   */
  sampleWeight?: Tensor | undefined;
  /**
   * The number of valid steps of each row, [N], each from 0 to T, for a prediction [T,N,...], or [N,T,...] with
   * `batchFirst`, or one sequence of targets [T]. Steps past a row's length do not count: their loss and gradient are exactly 0, the
   * mean does not divide by them, and their numbers may be anything, even NaN.
   */
  lengths?: Lengths | undefined;
  /** Whether the axes of `lengths` are [N,T,...] instead of [T,N,...] (default false). */
  batchFirst?: boolean | undefined;
}

/** Options of `nll`. */
export interface NllOptions<R extends Reduction = Reduction> extends LossOptions<R> {
  /** Targets of this value count neither in the loss nor in the mean (default -100). */
  ignoreIndex?: number | undefined;
  /**
   * A weight for each class, [C], in the dtype of the scores (default: 1 each); the mean divides by the weights of the
   * targets.
   */
  weight?: Tensor | undefined;
}

/** Options of `crossEntropy`. `ignoreIndex` is for targets that are classes; with probabilities it is an error. */
export interface CrossEntropyOptions<R extends Reduction = Reduction> extends NllOptions<R> {
  /** The share of a target's probability that is spread evenly over all classes, in [0, 1] (default 0). */
  labelSmoothing?: number | undefined;
}

/** Options of `mse` and `l1`. */
export interface ElementLossOptions<R extends Reduction = Reduction> extends LossOptions<R> {
  /**
   * A factor for each element's loss (default 1), in the dtype of the prediction and a shape that broadcasts to its shape
   * (NumPy's rules). The mean divides by the sum of the weights, as PyTorch's mse_loss and l1_loss do.
   */
  weight?: Tensor | undefined;
}

/** Options of `smoothL1`. PyTorch's smooth_l1_loss has no `weight`; here the mean divides by it as for `l1`. */
export interface SmoothL1Options<R extends Reduction = Reduction> extends ElementLossOptions<R> {
  /**
   * Below this distance the loss is a parabola, above it a line (default 1). 0 gives `l1`, also its gradient of 0 for equal
   * numbers, where PyTorch's is -1.
   */
  beta?: number | undefined;
}

/** Options of `bceWithLogits`: tensors in the dtype of the logits, in a shape that broadcasts to theirs (NumPy's rules). */
export interface BceWithLogitsOptions<R extends Reduction = Reduction> extends LossOptions<R> {
  /** A factor for each element's loss (default 1); the mean does not divide by it, as in PyTorch. */
  weight?: Tensor | undefined;
  /**
   * Weight of the positive class (default 1): above 1 for fewer misses, below 1 for fewer false alarms.
   */
  posWeight?: Tensor | undefined;
}

/** The options that all losses have. */
const COMMON = ["reduction", "weight", "sampleWeight", "lengths", "batchFirst"] as const;

/** Arguments of losses that are tensors. */
const TENSORS = [
  "weight",
  "sampleWeight",
  "posWeight",
  "logits",
  "logProbabilities",
  "targets",
  "prediction",
  "target",
];

/** What `runLoss` reads of a kernel's arguments. */
interface RunOptions<R extends Reduction> {
  reduction?: R | undefined;
  /** Where prediction and target have other names in errors. */
  names?: readonly [prediction: string, target: string];
}

/**
 * Runs a loss kernel, downloads its results and, in a recorded body, records it.
 *
 * @param args of the kernel
 * @param inputs the arguments that have a gradient: the factor of the kernel's gradient
 * @param name of the gradient in the result
 * @param cost of a number of the first input, in multiply-adds
 */
export function runLoss<R extends Reduction, D extends Dtype, A extends RunOptions<R>, Name extends string>(
  args: A,
  inputs: Readonly<Record<string, number>>,
  name: Name,
  kernel: (arena: Arena, args: A) => LossResult,
  cost = EXPONENTIAL,
): { loss: Loss<R, D> } & Record<Name, Tensor<D>> {
  const tape = currentTape();
  const nameOf = (key: string) => args.names?.[["prediction", "target"].indexOf(key)] ?? key;
  if (!tape) {
    const key = Object.keys(inputs)[0]!;
    const read = readTensor(nameOf(key), args[key as keyof A] as Tensor, "a tensor of f64 or f32");
    const core = coreOfCall(read.data.length * cost);
    return withArena(core, (arena) => download<R, D, Name>(args, name, kernel(arena, { ...args, [key]: read })));
  }
  const read: Record<string, ReadTensor> = {};
  for (const [key, value] of Object.entries(args) as [string, Tensor][]) {
    if (!TENSORS.includes(key)) continue;
    const called = nameOf(key);
    read[key] = readTensor(called, value);
    if (key in inputs || !tape.isRecorded(read[key])) continue;
    throw new StateError(called, "a recorded tensor", "a constant: it has no gradient here, a copy of it is one");
  }
  const arena = new Arena(tape.coreFor(Object.values(read)));
  try {
    const computed = kernel(arena, { ...args, ...read });
    const result = download<R, D, Name>(args, name, computed);
    const { gradient } = computed;
    const factors = Object.entries(inputs);
    if (args.reduction === "none") {
      tape.push({
        inputs: Object.fromEntries(factors.map(([key]) => [key, read[key]])),
        outputs: { loss: result.loss },
        arena,
        backward: ({ loss }, scratch) =>
          Object.fromEntries(factors.map(([key, factor]) => [key, scaledRows(scratch, computed, loss!, factor)])),
      });
    } else {
      const gradients = factors.map(([key, factor]) => [read[key]!, gradient, factor] as const);
      tape.pushLoss(result as { loss: number }, { gradients, arena });
    }
    return result;
  } catch (error) {
    arena.dispose();
    throw error;
  }
}

/** The gradient of a sum of losses, times a factor and for each loss its own gradient; `inner` as in `LossResult`. */
function scaledRows(
  scratch: Arena,
  { gradient, losses, inner = sizeOf(gradient.shape) / sizeOf(losses.shape) }: LossResult,
  dLoss: Tensor,
  factor: number,
): FloatTensor {
  const { dtype, shape } = gradient;
  const scaled: FloatTensor = scratch.copy("gradient", gradient, dtype, shape);
  const factors: FloatTensor = scratch.allocate("gradient", dtype, shape);
  const { data } = dLoss;
  for (let i = 0; i * inner < sizeOf(shape); i++) {
    factors.data.fill(factor * data[i % data.length]!, i * inner, (i + 1) * inner);
  }
  mul(scaled, factors);
  return scaled;
}

function download<R extends Reduction, D extends Dtype, Name extends string>(
  { reduction }: RunOptions<R>,
  name: Name,
  { total, losses, gradient }: LossResult,
): { loss: Loss<R, D> } & Record<Name, Tensor<D>> {
  const loss = reduction === "none" ? losses.download() : total;
  return { loss, [name]: gradient.download() } as { loss: Loss<R, D> } & Record<Name, Tensor<D>>;
}

/**
 * Softmax and cross-entropy in one: the loss of a target is weight[target] (log(sum of e^logits) - logits[target]), for
 * probabilities the sum of this over all classes times their probabilities, as PyTorch's
 * [functional.cross_entropy](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html). In nats.
 *
 * The mean divides by the sum of weight[target] sampleWeight over the targets that count (without both: by their number);
 * with probabilities by the sum of sampleWeight alone. Where none counts (all ignored, all lengths 0) it is NaN, as in
 * PyTorch, the sum is 0, and the gradient 0.
 *
 * @param logits [..., C], f64 or f32
 * @param targets classes [...], i32, each from 0 to C - 1 or ignoreIndex (any number past a row's length and where
 *   sampleWeight is 0); or probabilities [..., C] in the dtype of logits
 * @param options reduction, weight of each class, sampleWeight, lengths, batchFirst, ignoreIndex, labelSmoothing
 * @throws ShapeError, DtypeError, ValueError (target or length out of range), UnsupportedError, OutOfMemoryError
 */
export function crossEntropy<R extends Reduction = "mean", D extends Dtype = Dtype>(
  logits: Tensor<D>,
  targets: Tensor,
  options: CrossEntropyOptions<R> = {},
): {
  /** In nats; for "none" [...]. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses: [..., C]. */
  dLogits: Tensor<D>;
} {
  const given = checkOptions("crossEntropy", options, [...COMMON, "ignoreIndex", "labelSmoothing"]);
  const { ignoreIndex, labelSmoothing = 0 } = given;
  const args = { ...given, logits, targets, ignoreIndex, labelSmoothing };
  return runLoss<R, D, typeof args, "dLogits">(args, { logits: 1 }, "dLogits", kernels.crossEntropy);
}

/**
 * The negative log-likelihood -weight[target] logProbabilities[target], as PyTorch's
 * [functional.nll_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html). For training,
 * `crossEntropy` of the logits gives their gradient in one step.
 *
 * The mean divides as that of `crossEntropy`: by the sum of weight[target] sampleWeight over the targets that count; NaN
 * where none counts.
 *
 * @param logProbabilities [..., C], f64 or f32, for example of `logSoftmax`
 * @param targets [...], i32, each from 0 to C - 1 or ignoreIndex (any number past a row's length and where sampleWeight
 *   is 0)
 * @param options reduction, weight of each class, sampleWeight, lengths, batchFirst, ignoreIndex
 * @throws ShapeError, DtypeError, ValueError (target or length out of range), UnsupportedError, OutOfMemoryError
 */
export function nll<R extends Reduction = "mean", D extends Dtype = Dtype>(
  logProbabilities: Tensor<D>,
  targets: Tensor,
  options: NllOptions<R> = {},
): {
  /** In nats; for "none" [...]. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses: [..., C]. */
  dLogProbabilities: Tensor<D>;
} {
  const given = checkOptions("nll", options, [...COMMON, "ignoreIndex"]);
  const { ignoreIndex = -100 } = given;
  const args = { ...given, logProbabilities, targets, ignoreIndex };
  return runLoss<R, D, typeof args, "dLogProbabilities">(
    args,
    { logProbabilities: 1 },
    "dLogProbabilities",
    kernels.nll,
  );
}

/** A loss of prediction and target, element by element. */
function regression<R extends Reduction, D extends Dtype>(
  kind: typeof kernels.MSE | typeof kernels.SMOOTH_L1 | typeof kernels.L1,
  prediction: Tensor<D>,
  target: Tensor,
  options: ElementLossOptions<R>,
  beta = 0,
): { loss: Loss<R, D>; dPrediction: Tensor<D> } {
  const args = { ...options, names: ["prediction", "target"] as const, prediction, target, beta };
  const differentiable = { prediction: 1, target: -1 };
  return runLoss(args, differentiable, "dPrediction", (arena, args) => kernels.elementwiseLoss(arena, kind, args));
}

/**
 * The squared error weight (prediction - target)^2, as PyTorch's
 * [functional.mse_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html).
 *
 * The mean divides by the number of elements that count, with weight or sampleWeight by the sum of their product over these
 * elements (as PyTorch's by the sum of weight); NaN where none counts.
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction, weight of each element, sampleWeight, lengths, batchFirst
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function mse<R extends Reduction = "mean", D extends Dtype = Dtype>(
  prediction: Tensor<D>,
  target: Tensor,
  options: ElementLossOptions<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor<D>;
} {
  return regression<R, D>(kernels.MSE, prediction, target, checkOptions("mse", options, COMMON));
}

/**
 * The distance weight |prediction - target|, as PyTorch's
 * [functional.l1_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html). Its gradient is 0 where
 * the two are equal, and, as PyTorch's, where the distance is NaN.
 *
 * The mean divides as that of `mse`: by the number of elements that count, or the sum of weight sampleWeight over them.
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction, weight of each element, sampleWeight, lengths, batchFirst
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function l1<R extends Reduction = "mean", D extends Dtype = Dtype>(
  prediction: Tensor<D>,
  target: Tensor,
  options: ElementLossOptions<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor<D>;
} {
  return regression<R, D>(kernels.L1, prediction, target, checkOptions("l1", options, COMMON));
}

/**
 * With d = |prediction - target|: d^2 / (2 beta) where d < beta, else d - beta / 2 (Girshick 2015), as PyTorch's
 * [functional.smooth_l1_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html), times
 * weight, which PyTorch's does not have.
 *
 * The mean divides as that of `mse`: by the number of elements that count, or the sum of weight sampleWeight over them.
 *
 * @param prediction any shape, f64 or f32
 * @param target the shape and type of prediction
 * @param options reduction, beta, weight of each element, sampleWeight, lengths, batchFirst
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function smoothL1<R extends Reduction = "mean", D extends Dtype = Dtype>(
  prediction: Tensor<D>,
  target: Tensor,
  options: SmoothL1Options<R> = {},
): {
  /** For "none" in the shape of prediction. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of prediction. */
  dPrediction: Tensor<D>;
} {
  const { beta = 1, ...given } = checkOptions("smoothL1", options, [...COMMON, "beta"]);
  return regression<R, D>(kernels.SMOOTH_L1, prediction, target, given, beta);
}

/**
 * Sigmoid and binary cross-entropy in one: -weight (posWeight t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))), computed
 * without overflow for any logit, as PyTorch's
 * [functional.binary_cross_entropy_with_logits](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html).
 * In nats.
 *
 * The mean divides by the number of elements that count, with sampleWeight by its sum over these elements; not by weight,
 * as PyTorch's. NaN where none counts.
 *
 * @param logits x, any shape, f64 or f32
 * @param targets t, the shape and type of logits: probabilities of the positive answer
 * @param options reduction, weight of each element, posWeight, sampleWeight, lengths, batchFirst
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError
 */
export function bceWithLogits<R extends Reduction = "mean", D extends Dtype = Dtype>(
  logits: Tensor<D>,
  targets: Tensor,
  options: BceWithLogitsOptions<R> = {},
): {
  /** In nats; for "none" in the shape of logits. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses, in the shape of logits. */
  dLogits: Tensor<D>;
} {
  const given = checkOptions("bceWithLogits", options, [...COMMON, "posWeight"]);
  const args = { ...given, names: ["logits", "targets"] as const, prediction: logits, target: targets };
  return runLoss(args, { prediction: 1 }, "dLogits", (arena, args) =>
    kernels.elementwiseLoss(arena, kernels.BCE_WITH_LOGITS, args),
  );
}
