// Measures a model on batches: the mean loss, and the means of metrics.

import { ValueError } from "../../bindings/errors.js";
import type { Lengths } from "../../bindings/memory.js";
import { describe, kindOf, readTensor, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkFunction, checkOptions } from "../base/check.js";
import { isRecord } from "../formats/json.js";
import { traitsOf } from "../nn/traits.js";
import type { LossResult } from "../recording/minimize.js";
import { Batches } from "./batches.js";
import { modulesOf } from "./modules.js";
import { Turns } from "./turns.js";

/**
 * A model as `fit` and `evaluate` use it: every layer, `Sequential`, a `Module` of your own.
 */
export interface TrainableModel {
  /**
   * Computes the output of a batch.
   *
   * @param x of the batch
   * @param options what else the batch says of x; absent where it says nothing
   * @param options.lengths steps of each row
   */
  forward(
    x: Tensor,
    options?: { lengths?: readonly number[] | undefined },
  ): {
    /** The output, which loss and metrics get. */
    output: Tensor;
    /** Steps of each row of the output, if they are not those of x. */
    lengths?: Lengths | undefined;
  };
  /** Switches to training mode. */
  train(): unknown;
  /** Switches to inference mode. */
  eval(): unknown;
  /** Copies of the weights, by name. */
  stateDict(): Record<string, Tensor>;
  /**
   * Sets all weights.
   *
   * @param dict of `stateDict`
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void;
}

/**
 * A batch as `fit` and `evaluate` use it: one of `batches`, or of your own.
 *
 * @typeParam Y the targets
 */
export interface TrainingBatch<Y = Tensor> {
  /** The input. */
  readonly x: Tensor;
  /** The targets, which are handed to loss and metrics as they are. */
  readonly y: Y;
  /** Steps of each row; the model gets them. */
  readonly lengths?: number[] | undefined;
  /** Steps of each row of y. */
  readonly targetLengths?: number[] | undefined;
  /** Whether sequences are [N,T,...] (default: as the model has it, if it is a layer of this package, else false). */
  readonly batchFirst?: boolean | undefined;
}

/** What loss and metrics are told of a batch beside output and targets. */
export interface BatchInfo {
  /**
   * Steps of each row of the output: those that `forward` returned, else those of the batch. Undefined without lengths, and for layers of
   * this package whose output has no steps, such as a `Sequential` with `LastStep`.
   */
  readonly lengths: number[] | undefined;
  /** Steps of each row of the targets; only if they are not those of x. */
  readonly targetLengths?: number[] | undefined;
  /** True with lengths of sequences [N,T,...], else absent. */
  readonly batchFirst?: true;
}

/**
 * The loss of a batch.
 *
 * @typeParam Y the targets
 * @param output of the model
 * @param y the targets
 * @param info the lengths, as the losses of this package take them
 * @returns the result of a loss, as it is
 */
export type BatchLoss<Y = Tensor> = (output: Tensor, y: Y, info: BatchInfo) => LossResult;

/**
 * A number that says how good a batch's output is.
 *
 * @typeParam Y the targets
 * @param output of the model
 * @param y the targets
 * @param info the lengths
 * @returns NaN where nothing counts
 */
export type Metric<Y = Tensor> = (output: Tensor, y: Y, info: BatchInfo) => number;

/** Mean loss and metrics of several batches. */
export interface Evaluation {
  /** The mean of the batches' losses, weighted by their numbers of samples. */
  readonly loss: number;
  /** Likewise of each metric, without the batches in which it is NaN; absent without metrics. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
}

/**
 * Options of `evaluate`.
 *
 * @typeParam Y the targets
 */
export interface EvaluateOptions<Y = Tensor> {
  /** The loss of a batch, a mean. */
  loss: BatchLoss<Y>;
  /** Metrics of a batch, by name. */
  metrics?: Readonly<Record<string, Metric<Y>>> | undefined;
}

/**
 * Measures a model on batches, in inference mode; each layer's mode is restored. Between batches the event loop gets a turn
 * every 10 ms.
 *
 * @typeParam Y the targets
 * @param model every layer, `Sequential`, a `Module` of your own
 * @param data batches, at least one; those of `batches` are all of an epoch, and their position stays
 * @param options loss and metrics
 * @throws ValueError, DtypeError, UnsupportedError (rejections); whatever model, loss and metrics throw
 */
export async function evaluate<Y = Tensor>(
  model: TrainableModel,
  data: Iterable<TrainingBatch<Y>>,
  options: EvaluateOptions<Y>,
): Promise<Evaluation> {
  const { loss, metrics } = checkOptions("evaluate", options, ["loss", "metrics"]);
  checkModel(model);
  checkIterable("data", data);
  checkFunction("loss", loss);
  return evaluateBatches("data", model, data, loss, readMetrics(metrics));
}

/** `evaluate` with checked arguments. */
export async function evaluateBatches<Y>(
  argument: string,
  model: TrainableModel,
  data: Iterable<TrainingBatch<Y>>,
  loss: BatchLoss<Y>,
  metrics: Metrics<Y>,
): Promise<Evaluation> {
  const turns = new Turns();
  const losses = new Mean();
  const means = Object.keys(metrics).map((name) => [name, new Mean()] as const);
  for (const batch of wholeEpoch(argument, data)) {
    await turns.take();
    const one = readBatch(argument, batch);
    // the modes change for one batch at a time: code of the caller's may run in a turn
    const restore = inferenceMode(model);
    try {
      const run = forward(model, one);
      losses.add(lossOf(loss(run.output, one.y, run.info)), one.samples);
      const values = measure(metrics, run, one.y);
      for (const [name, mean] of means) if (!Number.isNaN(values[name])) mean.add(values[name]!, one.samples);
    } finally {
      restore();
    }
  }
  if (losses.count === 0)
    throw new ValueError(argument, "an iteration without a batch", "at least one batch each time");
  if (means.length === 0) return { loss: losses.value };
  return { loss: losses.value, metrics: Object.fromEntries(means.map(([name, mean]) => [name, mean.value])) };
}

/**
 * The batches of an epoch. Those of `batches` start over, in the same order each time, and their position is restored: a measurement
 * does not depend on those before, and the batches may be those of the training.
 */
function* wholeEpoch<Y>(argument: string, data: Iterable<TrainingBatch<Y>>): Iterable<TrainingBatch<Y>> {
  if (!(data instanceof Batches)) {
    yield* iterate(argument, data);
    return;
  }
  const { position } = data;
  data.position = { ...position, batch: 0 };
  try {
    yield* data as Iterable<TrainingBatch<Y>>;
  } finally {
    data.position = position;
  }
}

/** The batches of an iterable of the caller's. */
export function* iterate<Y>(argument: string, data: Iterable<TrainingBatch<Y>>): Generator<TrainingBatch<Y>, void> {
  const iterator: unknown = data[Symbol.iterator]();
  if (typeof (iterator as Partial<Iterator<unknown>> | null | undefined)?.next !== "function") {
    throw new ValueError(argument, `an iterator that is ${describe(iterator)}`, "an iterable of batches");
  }
  yield* { [Symbol.iterator]: () => iterator as Iterator<TrainingBatch<Y>> };
}

/** A weighted mean. */
export class Mean {
  sum = 0;
  weight = 0;
  count = 0;

  add(value: number, weight: number): void {
    this.sum += value * weight;
    this.weight += weight;
    this.count++;
  }

  /** NaN of nothing. */
  get value(): number {
    return this.sum / this.weight;
  }
}

/** Metrics as they were read. */
export type Metrics<Y> = Readonly<Record<string, Metric<Y>>>;

export function readMetrics<Y>(metrics: unknown = {}): Metrics<Y> {
  if (!isRecord(metrics)) throw new ValueError("metrics", describe(metrics), "functions by name");
  const entries = Object.entries(metrics);
  for (const [name, metric] of entries) checkFunction(`metrics.${name}`, metric);
  return Object.fromEntries(entries) as Metrics<Y>;
}

/** A batch as it was read, and its number of samples. */
export interface ReadBatch<Y> extends TrainingBatch<Y> {
  readonly samples: number;
}

export function readBatch<Y>(argument: string, batch: TrainingBatch<Y>): ReadBatch<Y> {
  if (!isRecord(batch)) throw new ValueError(argument, describe(batch), "batches { x, y, lengths }");
  const { x, y, lengths, targetLengths, batchFirst } = batch;
  if (batchFirst !== undefined) checkFlag("batchFirst", batchFirst);
  const { shape } = readTensor("x", x);
  if (lengths !== undefined && !Array.isArray(lengths)) throw new ValueError("lengths", describe(lengths), "an array");
  const samples = lengths === undefined ? (shape[0] ?? 1) : lengths.length;
  return { x, y, lengths, targetLengths, batchFirst, samples };
}

/** A model's output for a batch, and what loss and metrics are told. */
export interface BatchRun {
  readonly output: Tensor;
  readonly info: BatchInfo;
}

export function forward<Y>(model: TrainableModel, batch: ReadBatch<Y>): BatchRun {
  const { x, lengths, targetLengths } = batch;
  const { endsTime, batchFirst } = traitsOf(model);
  const result: unknown = lengths === undefined ? model.forward(x) : model.forward(x, { lengths });
  if (!isRecord(result)) throw new ValueError("model", `forward returns ${describe(result)}`, "{ output }");
  const { output, lengths: after = lengths } = result as { output: Tensor; lengths?: Lengths };
  // LastStep and its like: the output has no steps
  const list = after === undefined || endsTime === true ? undefined : listOf(after);
  const rowsFirst = list !== undefined && (batch.batchFirst ?? batchFirst) === true;
  return {
    output,
    info: { lengths: list, ...(targetLengths && { targetLengths }), ...(rowsFirst && { batchFirst: true }) },
  };
}

function listOf(lengths: Lengths): number[] {
  return Array.isArray(lengths)
    ? (lengths as number[])
    : Array.from("shape" in lengths ? lengths.data : (lengths as Int32Array));
}

/** The metrics of a batch. */
export function measure<Y>(metrics: Metrics<Y>, { output, info }: BatchRun, y: Y): Record<string, number> {
  const values = Object.entries(metrics).map(([name, metric]) => {
    const value: unknown = metric(output, y, info);
    if (typeof value !== "number") throw new ValueError(`metrics.${name}`, describe(value), "a number");
    return [name, value] as const;
  });
  return Object.fromEntries(values);
}

/** The number of a loss outside of a recording. */
function lossOf(result: LossResult): number {
  const { loss } = (result ?? {}) as { loss?: unknown };
  const expected = 'the result of a loss with reduction "mean" or "sum"';
  const data = loss === undefined ? readTensor("loss", result as Tensor, expected).data : undefined;
  const value = data?.length === 1 ? data[0] : loss;
  if (typeof value !== "number") throw new ValueError("loss", describe(result), expected);
  return value;
}

/** Switches to inference mode. Returns a function that gives each layer and container its mode back. */
function inferenceMode(model: TrainableModel): () => void {
  const parts = modulesOf(model).map(([, part]) => part as Partial<TrainableModel> & { training?: unknown });
  const modes = parts.map((part) => [part, part.training !== false] as const);
  model.eval();
  return () => {
    for (const [part, trains] of modes) {
      if (trains) part.train?.();
      else part.eval?.();
    }
  };
}

export function checkModel(model: unknown): void {
  const methods = ["forward", "train", "eval", "stateDict", "loadStateDict"] as const;
  const missing =
    typeof model === "object" && model !== null
      ? methods.find((name) => typeof (model as Partial<TrainableModel>)[name] !== "function")
      : "forward";
  if (missing)
    throw new ValueError("model", `${describe(model)} without ${missing}()`, "a layer, a Sequential or a Module");
}

export function checkIterable(argument: string, data: unknown): void {
  const iterable = typeof (data as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] === "function";
  if (!iterable || typeof data === "string" || kindOf(data) !== undefined)
    throw new ValueError(argument, describe(data), "an iterable of batches");
}
