// One typed function per loss kernel: copies what the caller gave into wasm memory, checks the copies, makes room for
// results, calls. The formulas are in assembly/loss/.
//
// Targets become addresses in the kernels. So they are checked after the copy: the caller's own array can still change (a
// SharedArrayBuffer, a getter, a `length` that lies).

import { ShapeError, ValueError } from "./errors.js";
import {
  describe,
  dtypeOf,
  readTensor,
  showShape,
  sizeOf,
  zeros,
  type Dtype,
  type FloatDtype,
  type Tensor,
} from "./tensor.js";
import { takeLengths, takeTensor, type Arena, type Lengths, type WasmTensor } from "./memory.js";
import { floatDtype, kernelsOf, leading, pointer, type FloatTensor } from "./kernels.js";

/** How losses of single elements become one number: their mean, their sum, or not at all. */
export type Reduction = "mean" | "sum" | "none";

/** The sum or the mean of the losses, the losses, and the gradient with respect to the prediction. */
export interface LossResult {
  total: number;
  losses: FloatTensor;
  gradient: FloatTensor;
}

/** What all losses take beside prediction and target. */
export interface LossArguments {
  reduction?: Reduction | undefined;
  weight?: Tensor | undefined;
  sampleWeight?: Tensor | undefined;
  lengths?: Lengths | undefined;
  batchFirst?: boolean | undefined;
}

/** Checks `reduction`, and says whether the total is the mean. */
function isMean(reduction: Reduction = "mean"): boolean {
  if (!["mean", "sum", "none"].includes(reduction)) {
    throw new ValueError("reduction", describe(reduction), '"mean", "sum" or "none"');
  }
  return reduction === "mean";
}

/** A prediction of any shape, f64 or f32, checked; its numbers stay where they are (`takeTensor`). */
function takePrediction(argument: string, prediction: Tensor): { given: Tensor; dtype: FloatDtype } {
  const plain = readTensor(argument, prediction, "a tensor of f64 or f32");
  const dtype = floatDtype(argument, plain);
  return { given: takeTensor(argument, plain, dtype, ["..."]), dtype };
}

/** Class scores [..., C] and the classes' weights, checked. */
function takeScores(argument: string, scores: Tensor, weight: Tensor | undefined) {
  const { given, dtype } = takePrediction(argument, scores);
  const outer = leading(given.shape);
  const classes = given.shape[outer.length];
  if (classes === undefined) throw new ShapeError(argument, "[]", "[..., C]");
  if (classes === 0) throw new ShapeError(argument, "0 classes", "at least one");
  const weights = weight === undefined ? undefined : takeTensor("weight", weight, dtype, [classes]);
  return { scores: given, dtype, outer, classes, weight: weights };
}

/** A copy in wasm memory, where there is something to copy. */
function copy<D extends Dtype>(arena: Arena, argument: string, tensor: Tensor | undefined, dtype: D) {
  return tensor && arena.copy(argument, tensor, dtype, ["..."]);
}

/**
 * Checks targets in their copy: each is `ignoreIndex` or a class, except where its sampleWeight is 0, since the kernels do
 * not look at it there.
 */
function checkTargets(
  targets: WasmTensor<"i32">,
  classes: number,
  ignoreIndex: number,
  sampleWeight: FloatTensor | undefined,
): void {
  const { data } = targets;
  const weights = sampleWeight?.data;
  for (let i = 0; i < data.length; i++) {
    const target = data[i]!;
    if ((target < 0 || target >= classes) && target !== ignoreIndex && weights?.[i] !== 0) {
      throw new ValueError("targets", `${target} at position ${i}`, `indices from 0 to ${classes - 1}`);
    }
  }
}

function checkIgnoreIndex(ignoreIndex: number): void {
  if (typeof ignoreIndex !== "number" || (ignoreIndex | 0) !== ignoreIndex) {
    throw new ValueError("ignoreIndex", describe(ignoreIndex), "a 32-bit integer");
  }
}

/** Whether targets are meant as probabilities of all classes, right or wrong ones: floating-point, with an axis of them. */
function holdsProbabilities(targets: Tensor, rank: number): boolean {
  return dtypeOf(targets.data) !== "i32" && targets.shape.length === rank;
}

/** Cross-entropy of logits [..., C] and targets: classes [...] (i32) or probabilities [..., C] (of the logits' type). */
export function crossEntropy(
  arena: Arena,
  args: LossArguments & {
    logits: Tensor;
    targets: Tensor;
    ignoreIndex: number | undefined;
    labelSmoothing: number;
  },
): LossResult {
  const { ignoreIndex = -100, labelSmoothing } = args;
  const mean = isMean(args.reduction);
  const { scores, dtype, outer, classes, weight } = takeScores("logits", args.logits, args.weight);
  if (typeof labelSmoothing !== "number" || !(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ValueError("labelSmoothing", describe(labelSmoothing), "0 <= labelSmoothing <= 1");
  }
  const given = readTensor("targets", args.targets, "a tensor { data, shape } with i32 data");
  const soft = holdsProbabilities(given, scores.shape.length);
  if (soft && args.ignoreIndex !== undefined) {
    throw new ValueError("ignoreIndex", describe(ignoreIndex), "none where targets are probabilities");
  }
  checkIgnoreIndex(ignoreIndex);
  const targets = soft ? takeTensor("targets", given, dtype, scores.shape) : takeTensor("targets", given, "i32", outer);
  const steps = stepWeights(dtype, outer, outer.length, args);
  // All that runs code of the caller is over: copy, then check the copies.
  const logits = arena.copy("logits", scores, dtype, scores.shape);
  const probabilities = soft ? copy(arena, "targets", targets, dtype) : undefined;
  const indices = soft ? undefined : copy(arena, "targets", targets, "i32");
  const weights = copy(arena, "weight", weight, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  if (indices) checkTargets(indices, classes, ignoreIndex, sampleWeight);
  const losses = arena.allocate("losses", dtype, outer);
  const gradient = arena.allocate("dLogits", dtype, scores.shape);
  // prettier-ignore
  const total = kernelsOf(arena, dtype).crossEntropy(sizeOf(outer), classes, logits.pointer, pointer(indices),
    pointer(probabilities), pointer(weights), pointer(sampleWeight), ignoreIndex, labelSmoothing, mean, losses.pointer,
    gradient.pointer);
  return { total, losses, gradient };
}

/** The negative log-likelihood of log-probabilities [..., C] and targets [...] (i32). */
export function nll(
  arena: Arena,
  args: LossArguments & { logProbabilities: Tensor; targets: Tensor; ignoreIndex: number },
): LossResult {
  const { ignoreIndex } = args;
  const mean = isMean(args.reduction);
  const { scores, dtype, outer, classes, weight } = takeScores("logProbabilities", args.logProbabilities, args.weight);
  checkIgnoreIndex(ignoreIndex);
  const targets = takeTensor("targets", args.targets, "i32", outer);
  const steps = stepWeights(dtype, outer, outer.length, args);
  const x = arena.copy("logProbabilities", scores, dtype, scores.shape);
  const indices = arena.copy("targets", targets, "i32", outer);
  const weights = copy(arena, "weight", weight, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  checkTargets(indices, classes, ignoreIndex, sampleWeight);
  const losses = arena.allocate("losses", dtype, outer);
  const gradient = arena.allocate("dLogProbabilities", dtype, scores.shape);
  // prettier-ignore
  const total = kernelsOf(arena, dtype).nll(sizeOf(outer), classes, x.pointer, indices.pointer, pointer(weights),
    pointer(sampleWeight), ignoreIndex, mean, losses.pointer, gradient.pointer);
  return { total, losses, gradient };
}

/** Kinds of `elementwiseLoss`, as in assembly/loss/elementwise.ts. */
export const MSE = 0;
export const SMOOTH_L1 = 1;
export const BCE_WITH_LOGITS = 2;
export const L1 = 3;

/**
 * Losses of single elements. `names` are what the caller calls the prediction and the target (of one shape); weight and
 * posWeight are repeated to that shape.
 */
export function elementwiseLoss(
  arena: Arena,
  kind: typeof MSE | typeof SMOOTH_L1 | typeof BCE_WITH_LOGITS | typeof L1,
  args: LossArguments & {
    names: readonly [prediction: string, target: string];
    prediction: Tensor;
    target: Tensor;
    beta?: number;
    posWeight?: Tensor | undefined;
  },
): LossResult {
  const { names, beta = 0 } = args;
  const mean = isMean(args.reduction);
  if (typeof beta !== "number" || !(beta >= 0 && beta < Infinity)) {
    throw new ValueError("beta", describe(beta), "a finite number >= 0");
  }
  const { given, dtype } = takePrediction(names[0], args.prediction);
  const { shape } = given;
  const givenTarget = takeTensor(names[1], args.target, dtype, shape);
  const [givenWeight, givenPosWeight] = (["weight", "posWeight"] as const).map((name) => {
    const tensor = args[name];
    if (tensor === undefined) return undefined;
    const taken = takeTensor(name, tensor, dtype, ["..."]);
    const ones = Array<number>(Math.max(0, shape.length - taken.shape.length)).fill(1);
    return repeat(name, taken, [...ones, ...taken.shape], dtype, shape, `what repeats to ${showShape(shape)}`);
  });
  const steps = stepWeights(dtype, shape, 0, args);
  const prediction = arena.copy(names[0], given, dtype, shape);
  const target = arena.copy(names[1], givenTarget, dtype, shape);
  const weight = copy(arena, "weight", givenWeight, dtype);
  const posWeight = copy(arena, "posWeight", givenPosWeight, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  const losses = arena.allocate("losses", dtype, shape);
  const gradient = arena.allocate("gradient", dtype, shape);
  const size = sizeOf(shape);
  const inner = steps ? size / sizeOf(steps.shape) : size;
  // prettier-ignore
  const total = kernelsOf(arena, dtype).elementwiseLoss(kind, size, inner, prediction.pointer, target.pointer, beta,
    pointer(weight), pointer(posWeight), pointer(sampleWeight), mean, losses.pointer, gradient.pointer);
  return { total, losses, gradient };
}

/**
 * How much each step counts: sampleWeight, and 0 where `lengths` say that a row has ended; nothing where all count alike.
 * `shape` holds the steps in its first axes.
 *
 * @returns a tensor over the first axes of `shape`: at least `axes` of them, and as many as sampleWeight and lengths need
 */
function stepWeights(
  dtype: FloatDtype,
  shape: readonly number[],
  axes: number,
  { sampleWeight, lengths, batchFirst = false }: LossArguments,
): Tensor | undefined {
  if (typeof batchFirst !== "boolean") throw new ValueError("batchFirst", describe(batchFirst), "true or false");
  const given = sampleWeight === undefined ? undefined : takeTensor("sampleWeight", sampleWeight, dtype, ["..."]);
  let [t = 1, n = 1] = shape;
  if (batchFirst && shape.length > 1) [t, n] = [n, t];
  let valid: readonly number[] | undefined;
  if (lengths !== undefined) {
    if (shape.length === 0) throw new ShapeError("lengths", describe(lengths), "none where there is no axis of steps");
    valid = takeLengths(lengths, t, n);
  }
  if (!given && !valid) return undefined;
  const own = given?.shape ?? [];
  const steps = shape.slice(0, Math.max(axes, own.length, valid ? Math.min(2, shape.length) : 0));
  const ones = Array<number>(Math.max(0, steps.length - own.length)).fill(1);
  const start = given ?? { data: zeros(dtype, 1).fill(1), shape: [] };
  const expected = `what repeats to the first axes of ${showShape(shape)}`;
  if (sizeOf(shape) === 0) {
    checkRepeats("sampleWeight", own, [...own, ...ones], steps, expected);
    return undefined;
  }
  const { data } = repeat("sampleWeight", start, [...own, ...ones], dtype, steps, expected);
  if (valid) {
    const inner = sizeOf(steps) / (t * n);
    for (let i = 0; i < t * n; i++) {
      const step = batchFirst ? i % t : Math.floor(i / n);
      const row = batchFirst ? Math.floor(i / t) : i % n;
      if (step >= valid[row]!) data.fill(0, i * inner, (i + 1) * inner);
    }
  }
  return { data, shape: steps };
}

function checkRepeats(
  argument: string,
  given: readonly number[],
  from: readonly number[],
  to: readonly number[],
  expected: string,
): void {
  if (from.length !== to.length || from.some((n, axis) => n !== 1 && n !== to[axis])) {
    throw new ShapeError(argument, showShape(given), expected);
  }
}

/** A copy of a tensor, read with the axes `from`, repeated to `to`: an axis of 1 repeats, the others are equal. */
function repeat(
  argument: string,
  given: Tensor,
  from: readonly number[],
  dtype: FloatDtype,
  to: readonly number[],
  expected: string,
): Tensor {
  checkRepeats(argument, given.shape, from, to, expected);
  let data = zeros(dtype, sizeOf(to) === 0 ? 0 : sizeOf(from));
  if (data.length > 0) data.set(given.data);
  for (let axis = to.length - 1, block = 1; axis >= 0 && data.length > 0; axis--) {
    const n = to[axis]!;
    if (from[axis] !== n) {
      const next = zeros(dtype, data.length * n);
      for (let start = 0; start < data.length; start += block) {
        if (block === 1) next.fill(data[start]!, start * n, (start + 1) * n);
        else for (let k = 0; k < n; k++) next.set(data.subarray(start, start + block), start * n + k * block);
      }
      data = next;
    }
    block *= n;
  }
  return { data, shape: to };
}
