// One typed function per loss kernel: reads and checks its arguments, copies them into wasm memory, allocates the results and calls
// the kernel. The formulas are in assembly/training/.
//
// Reading an argument may run the caller's code (a getter), and allocating may detach live views. So all arguments are read, once,
// before the first is copied. The caller or another thread can still change their numbers until then: targets, which become
// addresses, are checked in the copy.

import { ShapeError, ValueError } from "./errors.js";
import {
  checkKind,
  checkTensor,
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
import { steady, takeLengths, type Arena, type Lengths, type WasmTensor } from "./memory.js";
import { floatDtype, leading, pointer, type FloatTensor } from "./kernels.js";
import { record } from "./record.js";
import { trainingKernels } from "./training-module.js";
import { classLoss, elementLoss } from "./wasm-training.js";

/** How the losses of elements or rows become one number: their mean, their sum, or not at all. */
export type Reduction = "mean" | "sum" | "none";

/** The sum or the mean of the losses, the losses, and the gradient with respect to the prediction. */
export interface LossResult {
  total: number;
  losses: FloatTensor;
  gradient: FloatTensor;
  /** How many consecutive numbers of the gradient belong to one loss, before those of the next; by default all of a loss. */
  inner?: number;
}

/** The arguments of all losses beside prediction and target. */
export interface LossArguments {
  reduction?: Reduction | undefined;
  weight?: Tensor | undefined;
  sampleWeight?: Tensor | undefined;
  lengths?: Lengths | undefined;
  batchFirst?: boolean | undefined;
}

/** Whether the total is the mean; checks `reduction`. */
export function isMean(reduction: Reduction = "mean"): boolean {
  if (!["mean", "sum", "none"].includes(reduction)) {
    throw new ValueError("reduction", describe(reduction), '"mean", "sum" or "none"');
  }
  return reduction === "mean";
}

/** Reads a prediction of any shape, f64 or f32. */
export function readPrediction(arena: Arena, argument: string, prediction: Tensor): { x: Tensor; dtype: FloatDtype } {
  const x = steady(arena.core, readTensor(argument, prediction, "a tensor of f64 or f32"));
  return { x, dtype: floatDtype(argument, x) };
}

/** Reads class scores [..., C] and the classes' weights. */
function readScores(arena: Arena, argument: string, scores: Tensor, weight: Tensor | undefined) {
  const { x, dtype } = readPrediction(arena, argument, scores);
  const outer = leading(x.shape);
  const classes = x.shape[outer.length];
  if (classes === undefined) throw new ShapeError(argument, "[]", "[..., C]");
  if (classes === 0) throw new ShapeError(argument, "0 classes", "at least one");
  const weights =
    weight === undefined ? undefined : steady(arena.core, checkTensor("weight", weight, dtype, [classes]));
  return { x, dtype, outer, classes, weights };
}

/** A copy, in wasm memory, of a tensor that was read; undefined for none. */
function copy<D extends Dtype>(arena: Arena, argument: string, tensor: Tensor | undefined, dtype: D) {
  return tensor && arena.copyChecked(argument, tensor, dtype);
}

/**
 * Checks targets in their copy: each is `ignoreIndex` or a class, except where its sampleWeight is 0, since the kernels do
 * not read it there.
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

/** Whether targets are probabilities of all classes (valid or not): floating-point, with an axis of classes. */
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
  const { x, dtype, outer, classes, weights } = readScores(arena, "logits", args.logits, args.weight);
  if (typeof labelSmoothing !== "number" || !(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ValueError("labelSmoothing", describe(labelSmoothing), "0 <= labelSmoothing <= 1");
  }
  const given = steady(arena.core, readTensor("targets", args.targets, "a tensor { data, shape } with i32 data"));
  const soft = holdsProbabilities(given, x.shape.length);
  if (soft && args.ignoreIndex !== undefined) {
    throw new ValueError("ignoreIndex", describe(ignoreIndex), "none where targets are probabilities");
  }
  checkIgnoreIndex(ignoreIndex);
  checkKind("targets", given, soft ? dtype : "i32", soft ? x.shape : outer);
  const steps = stepWeights(dtype, outer, outer.length, args);
  const logits = arena.copyChecked("logits", x, dtype);
  const probabilities = soft ? arena.copyChecked("targets", given, dtype) : undefined;
  const targets = soft ? undefined : arena.copyChecked("targets", given, "i32");
  const weight = copy(arena, "weight", weights, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  if (targets) checkTargets(targets, classes, ignoreIndex, sampleWeight);
  const losses = arena.allocate("losses", dtype, outer);
  const gradient = arena.allocate("dLogits", dtype, x.shape);
  const fields = {
    smoothing: labelSmoothing,
    rows: sizeOf(outer),
    n: classes,
    x: logits.pointer,
    targets: pointer(targets),
    probabilities: pointer(probabilities),
    weight: pointer(weight),
    sampleWeight: pointer(sampleWeight),
    ignoreIndex,
    mean,
    factor: 0,
    losses: losses.pointer,
    terms: 0,
    dX: gradient.pointer,
  };
  const total = trainingKernels(arena, dtype).crossEntropy(record(arena.core, classLoss, fields));
  return { total, losses, gradient };
}

/** The negative log-likelihood of log-probabilities [..., C] and targets [...] (i32). */
export function nll(
  arena: Arena,
  args: LossArguments & { logProbabilities: Tensor; targets: Tensor; ignoreIndex: number },
): LossResult {
  const { ignoreIndex } = args;
  const mean = isMean(args.reduction);
  const { x, dtype, outer, classes, weights } = readScores(
    arena,
    "logProbabilities",
    args.logProbabilities,
    args.weight,
  );
  checkIgnoreIndex(ignoreIndex);
  const given = steady(arena.core, checkTensor("targets", args.targets, "i32", outer));
  const steps = stepWeights(dtype, outer, outer.length, args);
  const logProbabilities = arena.copyChecked("logProbabilities", x, dtype);
  const targets = arena.copyChecked("targets", given, "i32");
  const weight = copy(arena, "weight", weights, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  checkTargets(targets, classes, ignoreIndex, sampleWeight);
  const losses = arena.allocate("losses", dtype, outer);
  const gradient = arena.allocate("dLogProbabilities", dtype, x.shape);
  const fields = {
    smoothing: 0,
    rows: sizeOf(outer),
    n: classes,
    x: logProbabilities.pointer,
    targets: targets.pointer,
    probabilities: 0,
    weight: pointer(weight),
    sampleWeight: pointer(sampleWeight),
    ignoreIndex,
    mean,
    factor: 0,
    losses: losses.pointer,
    terms: 0,
    dX: gradient.pointer,
  };
  const total = trainingKernels(arena, dtype).nll(record(arena.core, classLoss, fields));
  return { total, losses, gradient };
}

/** Values of `ElementLoss.kind`, as in assembly/training/elementwise.ts. */
export const MSE = 0;
export const SMOOTH_L1 = 1;
export const BCE_WITH_LOGITS = 2;
export const L1 = 3;

/**
 * Losses over single elements of a prediction and a target of one shape, to which weight and posWeight are broadcast. `names`
 * are the two arguments' names in errors.
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
  const { x, dtype } = readPrediction(arena, names[0], args.prediction);
  const { shape } = x;
  const t = steady(arena.core, checkTensor(names[1], args.target, dtype, shape));
  const [weights, posWeights] = (["weight", "posWeight"] as const).map((name) => {
    const tensor = args[name];
    if (tensor === undefined) return undefined;
    const given = checkTensor(name, tensor, dtype, ["..."]);
    const ones = Array<number>(Math.max(0, shape.length - given.shape.length)).fill(1);
    const from = [...ones, ...given.shape];
    return repeat(name, given, from, dtype, shape, `a shape that broadcasts to ${showShape(shape)}`);
  });
  const steps = stepWeights(dtype, shape, 0, args);
  const prediction = arena.copyChecked(names[0], x, dtype);
  const target = arena.copyChecked(names[1], t, dtype);
  const weight = copy(arena, "weight", weights, dtype);
  const posWeight = copy(arena, "posWeight", posWeights, dtype);
  const sampleWeight = copy(arena, "sampleWeight", steps, dtype);
  const losses = arena.allocate("losses", dtype, shape);
  const gradient = arena.allocate("gradient", dtype, shape);
  const n = sizeOf(shape);
  const fields = {
    beta,
    kind,
    n,
    inner: steps ? n / sizeOf(steps.shape) : n,
    prediction: prediction.pointer,
    target: target.pointer,
    weight: pointer(weight),
    posWeight: pointer(posWeight),
    sampleWeight: pointer(sampleWeight),
    mean,
    factor: 0,
    losses: losses.pointer,
    terms: 0,
    dPrediction: gradient.pointer,
  };
  const total = trainingKernels(arena, dtype).elementwiseLoss(record(arena.core, elementLoss, fields));
  return { total, losses, gradient };
}

/**
 * The weight of each step: its sampleWeight, and 0 past a row's length; undefined where all weigh 1.
 *
 * @param shape holds the steps in its first axes
 * @returns a new tensor over the first axes of `shape`: at least `axes` of them, and as many as sampleWeight and lengths need
 */
function stepWeights(
  dtype: FloatDtype,
  shape: readonly number[],
  axes: number,
  { sampleWeight, lengths, batchFirst = false }: LossArguments,
): Tensor | undefined {
  if (typeof batchFirst !== "boolean") throw new ValueError("batchFirst", describe(batchFirst), "true or false");
  let [t = 1, n = 1] = shape;
  if (batchFirst && shape.length > 1) [t, n] = [n, t];
  let valid: readonly number[] | undefined;
  if (lengths !== undefined) {
    if (shape.length === 0) throw new ShapeError("lengths", describe(lengths), "none where there is no axis of steps");
    valid = takeLengths(lengths, t, n);
  }
  if (sampleWeight === undefined && !valid) return undefined;
  // Read after lengths, so that none of the caller's code runs before `repeat` copies it.
  const given = sampleWeight === undefined ? undefined : checkTensor("sampleWeight", sampleWeight, dtype, ["..."]);
  const own = given?.shape ?? [];
  const steps = shape.slice(0, Math.max(axes, own.length, valid ? Math.min(2, shape.length) : 0));
  const from = [...own, ...Array<number>(Math.max(0, steps.length - own.length)).fill(1)];
  const start = given ?? { data: zeros(dtype, 1).fill(1), shape: [] };
  const expected = `a shape that broadcasts to the first axes of ${showShape(shape)}`;
  if (sizeOf(shape) === 0) {
    checkRepeats("sampleWeight", own, from, steps, expected);
    return undefined;
  }
  const repeated = repeat("sampleWeight", start, from, dtype, steps, expected);
  if (valid) {
    const inner = sizeOf(steps) / (t * n);
    for (let i = 0; i < t * n; i++) {
      const step = batchFirst ? i % t : Math.floor(i / n);
      const row = batchFirst ? Math.floor(i / t) : i % n;
      if (step >= valid[row]!) repeated.data.fill(0, i * inner, (i + 1) * inner);
    }
  }
  return repeated;
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

/** A copy of a tensor, viewed in the shape `from` and broadcast to `to`: an axis of 1 repeats, the others are equal. */
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
