// One typed function per loss kernel: checks, makes room for results, calls. The formulas are in assembly/loss.ts.

import { ShapeError, ValueError } from "./errors.js";
import { checkTensor, describe, showShape, sizeOf, zeros, type FloatDtype, type Tensor } from "./tensor.js";
import { takeTensor, type Arena, type WasmTensor } from "./memory.js";
import { checkIndices, kernelsOf, leading, pointer, type FloatTensor } from "./kernels.js";

/** How losses of single elements become one number: their mean, their sum, or not at all. */
export type Reduction = "mean" | "sum" | "none";

/** The sum or the mean of the losses, the losses, and the gradient with respect to the prediction. */
export interface LossResult {
  total: number;
  losses: FloatTensor;
  gradient: FloatTensor;
}

function checkReduction(reduction: Reduction): void {
  if (!["mean", "sum", "none"].includes(reduction)) {
    throw new ValueError("reduction", describe(reduction), '"mean", "sum" or "none"');
  }
}

/** Class scores [..., C] and what else the losses over classes take, checked; nothing is in wasm memory yet. */
function takeClasses(argument: string, scores: Tensor, dtype: FloatDtype, weight: Tensor | undefined) {
  const taken = takeTensor(argument, scores, dtype, ["...", "C"]);
  const outer = leading(taken.shape);
  const classes = taken.shape[outer.length]!;
  if (classes === 0) throw new ShapeError(argument, "0 classes", "at least one");
  const weights = weight === undefined ? undefined : takeTensor("weight", weight, dtype, [classes]);
  return { scores: taken, outer, rows: sizeOf(outer), classes, weights };
}

/** Targets [...] (i32), checked, and what the mean over those that count divides by: their number, or their weights. */
function takeTargets(
  targets: Tensor,
  { outer, classes, weights }: { outer: number[]; classes: number; weights: Tensor | undefined },
  ignoreIndex: number,
): { indices: Tensor; divisor: number } {
  if (typeof ignoreIndex !== "number" || (ignoreIndex | 0) !== ignoreIndex) {
    throw new ValueError("ignoreIndex", describe(ignoreIndex), "a 32-bit integer");
  }
  const indices = takeTensor("targets", targets, "i32", outer);
  checkIndices("targets", indices.data, classes, ignoreIndex);
  let divisor = 0;
  for (const target of indices.data) if (target !== ignoreIndex) divisor += weights ? weights.data[target]! : 1;
  return { indices, divisor };
}

/** Whether targets are meant as probabilities of all classes, right or wrong ones: floating-point, with an axis of them. */
function holdsProbabilities(targets: Tensor | null | undefined, rank: number): boolean {
  const { data, shape } = (targets ?? {}) as Partial<Tensor>;
  return (data instanceof Float64Array || data instanceof Float32Array) && shape?.length === rank;
}

/** `upload` of what may be left out. */
function uploadOptional(arena: Arena, argument: string, tensor: Tensor | undefined, dtype: FloatDtype) {
  return tensor && arena.upload(argument, tensor, dtype, ["..."]);
}

/** Cross-entropy of logits [..., C] and targets: classes [...] (i32) or probabilities [..., C] (of `dtype`). */
export function crossEntropy(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    logits: Tensor;
    targets: Tensor;
    weight: Tensor | undefined;
    ignoreIndex: number | undefined;
    labelSmoothing: number;
    reduction: Reduction;
  },
): LossResult {
  const { ignoreIndex = -100, labelSmoothing, reduction } = args;
  checkReduction(reduction);
  const given = takeClasses("logits", args.logits, dtype, args.weight);
  if (typeof labelSmoothing !== "number" || !(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ValueError("labelSmoothing", describe(labelSmoothing), "0 <= labelSmoothing <= 1");
  }
  let probabilities: Tensor | undefined;
  let classes: { indices: Tensor; divisor: number } | undefined;
  if (holdsProbabilities(args.targets, given.scores.shape.length)) {
    if (args.ignoreIndex !== undefined) {
      throw new ValueError("ignoreIndex", describe(ignoreIndex), "none where targets are probabilities");
    }
    probabilities = takeTensor("targets", args.targets, dtype, given.scores.shape);
  } else {
    classes = takeTargets(args.targets, given, ignoreIndex);
  }
  const factor = reduction === "mean" ? 1 / (classes ? classes.divisor : given.rows) : 1;
  const logits = arena.upload("logits", given.scores, dtype, ["..."]);
  const indices: WasmTensor | undefined = classes && arena.upload("targets", classes.indices, "i32", ["..."]);
  const shares = uploadOptional(arena, "targets", probabilities, dtype);
  const weight = uploadOptional(arena, "weight", given.weights, dtype);
  const losses = arena.allocate("losses", dtype, given.outer);
  const gradient = arena.allocate("dLogits", dtype, logits.shape);
  // prettier-ignore
  const sum = kernelsOf(arena, dtype).crossEntropy(given.rows, given.classes, logits.pointer, pointer(indices),
    pointer(shares), pointer(weight), ignoreIndex, labelSmoothing, factor, losses.pointer, gradient.pointer);
  return { total: sum * factor, losses, gradient };
}

/** The negative log-likelihood of log-probabilities [..., C] and targets [...] (i32). */
export function nll(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    logProbabilities: Tensor;
    targets: Tensor;
    weight: Tensor | undefined;
    ignoreIndex: number;
    reduction: Reduction;
  },
): LossResult {
  const { ignoreIndex, reduction } = args;
  checkReduction(reduction);
  const given = takeClasses("logProbabilities", args.logProbabilities, dtype, args.weight);
  const classes = takeTargets(args.targets, given, ignoreIndex);
  const factor = reduction === "mean" ? 1 / classes.divisor : 1;
  const x = arena.upload("logProbabilities", given.scores, dtype, ["..."]);
  const indices = arena.upload("targets", classes.indices, "i32", ["..."]);
  const weight = uploadOptional(arena, "weight", given.weights, dtype);
  const losses = arena.allocate("losses", dtype, given.outer);
  const gradient = arena.allocate("dLogProbabilities", dtype, x.shape);
  // prettier-ignore
  const sum = kernelsOf(arena, dtype).nll(given.rows, given.classes, x.pointer, indices.pointer, pointer(weight),
    ignoreIndex, factor, losses.pointer, gradient.pointer);
  return { total: sum * factor, losses, gradient };
}

/** Kinds of `elementwiseLoss`, as in assembly/loss.ts. */
export const MSE = 0;
export const SMOOTH_L1 = 1;
export const BCE_WITH_LOGITS = 2;

/**
 * Losses of single elements. `names` are what the caller calls the prediction and the target (of one shape); weight and
 * posWeight are repeated to that shape.
 */
export function elementwiseLoss(
  arena: Arena,
  dtype: FloatDtype,
  kind: typeof MSE | typeof SMOOTH_L1 | typeof BCE_WITH_LOGITS,
  args: {
    names: readonly [prediction: string, target: string];
    prediction: Tensor;
    target: Tensor;
    beta?: number;
    weight?: Tensor | undefined;
    posWeight?: Tensor | undefined;
    reduction: Reduction;
  },
): LossResult {
  const { names, beta = 0, reduction } = args;
  checkReduction(reduction);
  if (typeof beta !== "number" || !(beta >= 0 && beta < Infinity)) {
    throw new ValueError("beta", describe(beta), "a finite number >= 0");
  }
  const given = takeTensor(names[0], args.prediction, dtype, ["..."]);
  const { shape } = given;
  const givenTarget = takeTensor(names[1], args.target, dtype, shape);
  const [givenWeight, givenPosWeight] = (["weight", "posWeight"] as const).map((name) => {
    const tensor = args[name];
    return tensor === undefined ? undefined : broadcast(name, tensor, dtype, shape);
  });
  const prediction = arena.upload(names[0], given, dtype, shape);
  const target = arena.upload(names[1], givenTarget, dtype, shape);
  const weight = uploadOptional(arena, "weight", givenWeight, dtype);
  const posWeight = uploadOptional(arena, "posWeight", givenPosWeight, dtype);
  const losses = arena.allocate("losses", dtype, shape);
  const gradient = arena.allocate("gradient", dtype, shape);
  const size = sizeOf(shape);
  const factor = reduction === "mean" ? 1 / size : 1;
  // prettier-ignore
  const sum = kernelsOf(arena, dtype).elementwiseLoss(kind, size, prediction.pointer, target.pointer, beta,
    pointer(weight), pointer(posWeight), factor, losses.pointer, gradient.pointer);
  return { total: sum * factor, losses, gradient };
}

/** A copy of a tensor, repeated to `shape` by NumPy's rules: axes are matched from the last, and one of 1 repeats. */
function broadcast(argument: string, tensor: Tensor, dtype: FloatDtype, shape: readonly number[]): Tensor {
  const given = checkTensor(argument, tensor, dtype, ["..."]);
  const skip = shape.length - given.shape.length;
  if (skip < 0 || given.shape.some((n, axis) => n !== 1 && n !== shape[skip + axis])) {
    throw new ShapeError(argument, showShape(given.shape), `what repeats to ${showShape(shape)}`);
  }
  const size = sizeOf(shape);
  const data = zeros(dtype, size);
  for (let i = 0; i < size; i++) {
    let from = 0;
    let stride = 1;
    let rest = i;
    for (let axis = shape.length - 1; axis >= skip; axis--) {
      const n = given.shape[axis - skip]!;
      if (n > 1) from += stride * (rest % shape[axis]!);
      stride *= n;
      rest = Math.floor(rest / shape[axis]!);
    }
    data[i] = given.data[from]!;
  }
  return { data, shape: [...shape] };
}
