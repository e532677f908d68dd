// Connectionist temporal classification: the loss, and decoders.

import * as kernels from "../../bindings/ctc.js";
import type { CtcHypothesis } from "../../bindings/ctc.js";
import { ValueError } from "../../bindings/errors.js";
import { coreOfCall } from "../../bindings/instantiate.js";
import type { Reduction } from "../../bindings/loss.js";
import { withArena, type Lengths } from "../../bindings/memory.js";
import { describe, type Dtype, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkFlag, checkOptions } from "../base/check.js";
import { runLoss, type Loss } from "./loss.js";

export type { CtcHypothesis };

/** Options of `ctcGreedyDecode`. */
export interface CtcDecodeOptions {
  /** The number of valid steps of each row, [N], each from 0 to T (default T). */
  inputLengths?: Lengths | undefined;
  /** The class of the blank (default 0). */
  blank?: number | undefined;
}

/** Options of `ctcLoss`. */
export interface CtcLossOptions<R extends Reduction = Reduction> extends CtcDecodeOptions {
  /** The number of labels of each row's target, [N], each from 0 to S (default S). */
  targetLengths?: Lengths | undefined;
  /**
   * "mean" (default: each loss divided by the length of its target, by 1 where that is 0, and the mean over N of these), "sum", or
   * "none": a loss for each row, [N]. The gradient is then that of the losses' sum.
   */
  reduction?: R | undefined;
  /** Whether rows without any alignment have loss and gradient 0, not Infinity and NaN (default false). */
  zeroInfinity?: boolean | undefined;
}

/** Options of `ctcBeamDecode`. */
export interface CtcBeamDecodeOptions extends CtcDecodeOptions {
  /** How many prefixes are kept at each step, an integer >= 1. */
  beamWidth: number;
  /** How many labellings are returned at most, an integer from 1 to beamWidth (default 1). */
  topPaths?: number | undefined;
}

/**
 * Connectionist temporal classification (Graves et al. 2006): minus the logarithm of the probability of a target sequence, summed over
 * all its alignments to the steps, as PyTorch's
 * [functional.ctc_loss](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html) of log_softmax(logits). In
 * nats.
 *
 * An alignment gives each step one class; its labels are those classes with repeats merged and blanks then removed. So a row
 * needs as many steps as labels, and one more for each label that equals the one before it. With fewer there is no alignment: the loss
 * is Infinity and the gradient of all of the row's steps NaN, as in PyTorch; with `zeroInfinity` both are 0.
 *
 * @param logits [T,N,C], f64 or f32, T >= 1; log-probabilities give the same loss. Steps past a row's length may be anything, even
 *   NaN; their gradient is 0
 * @param targets [N,S], i32: classes from 0 to C - 1 without the blank, padded with anything past a row's length
 * @param options inputLengths, targetLengths, blank, reduction, zeroInfinity
 * @throws ShapeError, DtypeError, ValueError (target or length out of range), UnsupportedError, OutOfMemoryError
 */
export function ctcLoss<R extends Reduction = "mean", D extends Dtype = Dtype>(
  logits: Tensor<D>,
  targets: Tensor,
  options: CtcLossOptions<R> = {},
): {
  /** In nats; for "none" [N]. */
  loss: Loss<R, D>;
  /** The gradient of the loss, or of the sum of the losses: [T,N,C]. */
  dLogits: Tensor<D>;
} {
  const names = ["inputLengths", "targetLengths", "blank", "reduction", "zeroInfinity"];
  const { blank = 0, zeroInfinity = false, ...given } = checkOptions("ctcLoss", options, names);
  checkFlag("zeroInfinity", zeroInfinity);
  const args = { ...given, logits, targets, blank, zeroInfinity };
  return runLoss<R, D, typeof args, "dLogits">(args, { logits: 1 }, "dLogits", kernels.ctcLoss, 0);
}

/**
 * Best path decoding: the class of the highest logit at each step (the lowest class of several), repeats merged and blanks then
 * removed. That is the labelling of the most probable alignment, which need not be the most probable labelling.
 *
 * @param logits [T,N,C], f64 or f32, T >= 1; log-probabilities and probabilities do as well
 * @param options inputLengths, blank
 * @returns the labels of each row
 * @throws ShapeError, DtypeError, ValueError (length out of range, NaN), UnsupportedError, OutOfMemoryError
 */
export function ctcGreedyDecode(logits: Tensor, options: CtcDecodeOptions = {}): number[][] {
  const { blank = 0, inputLengths } = checkOptions("ctcGreedyDecode", options, ["inputLengths", "blank"]);
  return withArena(coreOfCall(0), (arena) => kernels.ctcGreedy(arena, { logits, inputLengths, blank }));
}

/**
 * Searches for the most probable labellings, of which each adds up the probabilities of all its alignments: a beam search over prefixes
 * ([Hannun et al. 2014](https://arxiv.org/abs/1408.2873), without a language model). A prefix that drops out of the beam takes its
 * probability with it, so probabilities are lower bounds; they are exact if the beam is wide enough for all prefixes.
 *
 * @param logits [T,N,C], f64 or f32, T >= 1, finite or -Infinity; log-probabilities do as well
 * @param options inputLengths, blank, beamWidth, topPaths
 * @returns for each row up to topPaths labellings, the most probable first
 * @throws ShapeError, DtypeError, ValueError (length out of range, NaN), UnsupportedError, OutOfMemoryError
 */
export function ctcBeamDecode(logits: Tensor, options: CtcBeamDecodeOptions): CtcHypothesis[][] {
  const names = ["inputLengths", "blank", "beamWidth", "topPaths"];
  const { blank = 0, inputLengths, beamWidth, topPaths = 1 } = checkOptions("ctcBeamDecode", options, names);
  checkCount("beamWidth", beamWidth, 1);
  checkCount("topPaths", topPaths, 1);
  if (topPaths > beamWidth) throw new ValueError("topPaths", describe(topPaths), `at most beamWidth, ${beamWidth}`);
  return withArena(coreOfCall(0), (arena) =>
    kernels.ctcBeamSearch(arena, { logits, inputLengths, blank, beamWidth, topPaths }),
  );
}
