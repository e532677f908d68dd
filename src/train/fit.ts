// The training loop over epochs and batches: one step of the optimizer after the other, with validation, schedule and early stopping
// at the end of each epoch. A position says all that the loop itself knows, so that it can continue from there.

import { ValueError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkFlag, checkFunction, checkNumber, checkOptions } from "../base/check.js";
import { isRecord, quote } from "../formats/json.js";
import { checkLimit } from "../optim/clip.js";
import { Optimizer } from "../optim/optimizer.js";
import { ReduceLROnPlateau, Schedule } from "../optim/schedule.js";
import { Batches, type BatchesPosition } from "./batches.js";
import {
  checkIterable,
  checkModel,
  evaluateBatches,
  forward,
  iterate,
  Mean,
  measure,
  readBatch,
  readMetrics,
  type BatchLoss,
  type BatchRun,
  type Evaluation,
  type Metric,
  type Metrics,
  type TrainableModel,
  type TrainingBatch,
} from "./evaluate.js";
import { Turns } from "./turns.js";

/** When training ends before its last epoch. */
export interface EarlyStopping {
  /** Epochs in a row without improvement, >= 1, after which training ends. */
  patience: number;
  /** Smallest improvement on the best epoch that counts (default 0). */
  minDelta?: number | undefined;
  /** Whether the model gets the weights of the best epoch at the end (default true); they are kept as a copy until then. */
  restoreBest?: boolean | undefined;
  /** The metric to watch, of the validation (default: the validation's loss, or without validation the mean training loss). */
  metric?: string | undefined;
  /** Whether a smaller value is better, "min" (default for the loss), or a larger one, "max" (default for a metric). */
  mode?: "min" | "max" | undefined;
}

/**
 * Options of `fit`.
 *
 * @typeParam Y the targets
 */
export interface FitOptions<Y = Tensor> {
  /** The loss of a batch, which is minimised. */
  loss: BatchLoss<Y>;
  /** Over the model's parameters, or some of them. */
  optimizer: Optimizer;
  /** Epochs in all, those before `position` included. */
  epochs: number;
  /** Batches to measure the model on after each epoch, in inference mode. */
  validation?: Iterable<TrainingBatch<Y>> | undefined;
  /** Metrics by name, of each step's output and of the validation. */
  metrics?: Readonly<Record<string, Metric<Y>>> | undefined;
  /** A schedule of the optimizer, stepped after each epoch; ReduceLROnPlateau gets the validation's loss, or the mean training loss. */
  schedule?: Schedule | undefined;
  /** Largest norm of all gradients, as in `clipGradNorm` (default: none). */
  clipNorm?: number | undefined;
  /** When to end before the last epoch (default: never). */
  earlyStopping?: EarlyStopping | undefined;
  /**
   * If loss or gradients are not finite: "stop" (default) throws a ValueError that names the parameter with the worst gradient;
   * "skip" leaves out the step, whose loss or gradNorm tells. Parameters and optimizer stay as they were before the step.
   */
  onNan?: "stop" | "skip" | undefined;
  /** Ends training before the next step: `fit` then throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Where to continue: the position of a `Progress`, which `loadTraining` returns, too (default: the start). */
  position?: FitPosition | undefined;
}

/** A place in a training: plain JSON, and tensors if early stopping keeps the best weights. `saveTraining` stores both. */
export interface FitPosition {
  /** Finished epochs. */
  readonly epoch: number;
  /** Batches since then. */
  readonly batch: number;
  /** Batches in all. */
  readonly step: number;
  /** Samples of these batches whose steps were taken since the last finished epoch, and the sum of their losses. */
  readonly samples: number;
  /** See `samples`. */
  readonly lossSum: number;
  /** The place in the data, if it is of `batches`. */
  readonly data?: BatchesPosition | undefined;
  /** What early stopping knows. */
  readonly stopping?: StoppingState | undefined;
}

/** What early stopping knows. */
export interface StoppingState {
  /** The best value so far; absent before the first. */
  readonly best?: number | undefined;
  /** Epochs in a row without improvement. */
  readonly bad: number;
  /** Whether training has ended. */
  readonly stopped: boolean;
  /** The weights of the best epoch. */
  readonly weights?: Readonly<Record<string, Tensor>> | undefined;
}

/** What `fit` tells after each step. */
export interface Progress {
  /** The epoch of the step, from 1. */
  readonly epoch: number;
  /** Steps in all, this one included. */
  readonly step: number;
  /** The loss of the batch, before the step. */
  readonly loss: number;
  /** The norm of all gradients, before clipping. */
  readonly gradNorm: number;
  /** The metrics of the batch's output, before the step; absent without metrics, and where the step is left out. */
  readonly metrics?: Readonly<Record<string, number>> | undefined;
  /** The validation after the last step of an epoch. */
  readonly validation?: Evaluation | undefined;
  /** Where a training that is saved now continues. */
  readonly position: FitPosition;
}

/** Options as they were read, with the metrics. */
type Settings<Y> = Omit<FitOptions<Y>, "metrics" | "earlyStopping" | "onNan" | "position"> & {
  readonly model: TrainableModel;
  readonly metrics: Metrics<Y>;
  readonly stopping: (Required<Omit<EarlyStopping, "metric">> & { metric: string | undefined }) | undefined;
  readonly skip: boolean;
};

/**
 * Trains a model: for each batch a forward pass, the loss, a backward pass and a step of the optimizer (`minimize`).
 *
 *     for await (const { epoch, step, loss } of fit(model, data, { loss: crossEntropy, optimizer, epochs: 10 })) ...
 *
 * It takes a step whenever the next value is asked for, and can be left at any of them. Between steps the event loop gets a turn every
 * 10 ms. The layers train in the modes that they are in: a layer in inference mode has no dropout, but is trained.
 *
 * @typeParam Y the targets
 * @param model every layer, `Sequential`, a `Module` of your own; its forward gets { lengths } if the batch has them
 * @param data batches, at least one each time that it is iterated; an iteration is an epoch
 * @param options loss, optimizer, epochs and the rest
 * @throws ValueError, UnsupportedError at once. When a step is asked for: ValueError (onNan "stop", data without batches, what
 *   loss and metrics return), StateError (parameters that the loss does not reach), the signal's reason, and whatever model, loss and
 *   metrics throw: the step is then not taken, unless it is the validation that throws
 */
export function fit<Y = Tensor>(
  model: TrainableModel,
  data: Iterable<TrainingBatch<Y>>,
  options: FitOptions<Y>,
): AsyncGenerator<Progress, void, undefined> {
  checkModel(model);
  checkIterable("data", data);
  const { position, ...settings } = readOptions(model, options);
  const source = data instanceof Batches ? new BatchesSource(data) : new IterableSource(data);
  if (position) source.start(position);
  return steps(settings, source as Source<Y>, position ?? START);
}

const NAMES = [
  ...["loss", "optimizer", "epochs", "validation", "metrics", "schedule", "clipNorm", "earlyStopping", "onNan"],
  ...["signal", "position"],
];

const START: FitPosition = Object.freeze({ epoch: 0, batch: 0, step: 0, samples: 0, lossSum: 0 });

function readOptions<Y>(
  model: TrainableModel,
  options: FitOptions<Y>,
): Settings<Y> & { position?: FitPosition | undefined } {
  const given = checkOptions("fit", options, NAMES);
  const { loss, optimizer, epochs, validation, schedule, clipNorm = Infinity, onNan = "stop", signal } = given;
  checkFunction("loss", loss);
  if (!Optimizer.isOptimizer(optimizer))
    throw new ValueError("optimizer", describe(optimizer), "an optimizer, such as Adam");
  checkCount("epochs", epochs, 1);
  if (validation !== undefined) checkIterable("validation", validation);
  const metrics = readMetrics<Y>(given.metrics);
  if (schedule !== undefined && !Schedule.isSchedule(schedule)) {
    throw new ValueError("schedule", describe(schedule), "a schedule, such as StepLR");
  }
  checkLimit("clipNorm", clipNorm);
  if (onNan !== "stop" && onNan !== "skip") throw new ValueError("onNan", describe(onNan), '"stop" or "skip"');
  if (signal !== undefined && typeof (signal as AbortSignal | null)?.aborted !== "boolean") {
    throw new ValueError("signal", describe(signal), "an AbortSignal");
  }
  const stopping =
    given.earlyStopping && readStopping(given.earlyStopping, validation === undefined ? undefined : metrics);
  const position = given.position === undefined ? undefined : readPosition(given.position);
  return {
    model,
    loss,
    optimizer,
    epochs,
    validation,
    metrics,
    schedule,
    clipNorm,
    stopping,
    skip: onNan === "skip",
    signal,
    position,
  };
}

/** @param metrics of the validation; undefined without one */
function readStopping(given: EarlyStopping, metrics: object | undefined): Settings<unknown>["stopping"] {
  const names = ["patience", "minDelta", "restoreBest", "metric", "mode"];
  const { patience, minDelta = 0, restoreBest = true, metric, ...rest } = checkOptions("earlyStopping", given, names);
  const { mode = metric === undefined ? "min" : "max" } = rest;
  checkCount("patience", patience, 1);
  checkNumber("minDelta", minDelta);
  checkFlag("restoreBest", restoreBest);
  if (mode !== "min" && mode !== "max") throw new ValueError("mode", describe(mode), '"min" or "max"');
  if (metric !== undefined && (metrics === undefined || !Object.hasOwn(metrics, metric))) {
    const known =
      metrics === undefined
        ? "none without validation"
        : Object.keys(metrics).join(", ") || "none: there are no metrics";
    throw new ValueError("metric", describe(metric), `a metric of the validation: ${known}`);
  }
  return { patience, minDelta, restoreBest, metric, mode };
}

/** A position from outside, read once. */
function readPosition(given: FitPosition): FitPosition {
  const names = ["epoch", "batch", "step", "samples", "lossSum", "data", "stopping"];
  const position = checkOptions("position", given, names);
  const { epoch, batch, step, samples, lossSum, stopping } = position;
  for (const [name, count] of Object.entries({ epoch, batch, step })) checkCount(`position.${name}`, count, 0);
  for (const [name, number] of Object.entries({ samples, lossSum })) {
    if (!Number.isFinite(number)) throw new ValueError(`position.${name}`, describe(number), "a finite number");
  }
  if (stopping === undefined) return position;
  const state = checkOptions("position.stopping", stopping, ["best", "bad", "stopped", "weights"]);
  const { best, bad, stopped, weights } = state;
  if (best !== undefined && !Number.isFinite(best)) {
    throw new ValueError("position.stopping.best", describe(best), "a finite number");
  }
  checkCount("position.stopping.bad", bad, 0);
  checkFlag("position.stopping.stopped", stopped);
  if (weights !== undefined && !isRecord(weights)) {
    throw new ValueError("position.stopping.weights", describe(weights), "tensors by name");
  }
  return { ...position, stopping: state };
}

/** Batches one by one. */
interface Source<Y> {
  /** Continues from a position. */
  start(position: FitPosition): void;
  /** The next batch. */
  next(): TrainingBatch<Y>;
  /** Whether the latest batch was the last one of its epoch. */
  readonly ended: boolean;
  /** The place in the data, if it has one. */
  readonly place: BatchesPosition | undefined;
}

/** Batches of `batches`: their position always says what comes next. */
class BatchesSource implements Source<Tensor> {
  constructor(readonly data: Batches) {}

  start({ data, epoch, batch }: FitPosition): void {
    this.data.position = data ?? { seed: this.data.position.seed, epoch, batch };
  }

  next(): TrainingBatch {
    return this.data[Symbol.iterator]().next().value as TrainingBatch; // an epoch has at least one
  }

  get ended(): boolean {
    return this.data.position.batch === 0;
  }

  get place(): BatchesPosition {
    return this.data.position;
  }
}

/** Batches of any iterable. It is one batch ahead, to know which is the last one of an epoch. */
class IterableSource<Y> implements Source<Y> {
  readonly place = undefined;
  #rest: Iterator<TrainingBatch<Y>> | undefined;
  #ahead: IteratorResult<TrainingBatch<Y>> | undefined;
  #passed = 0;

  constructor(readonly data: Iterable<TrainingBatch<Y>>) {}

  start({ batch }: FitPosition): void {
    this.#passed = batch;
  }

  next(): TrainingBatch<Y> {
    if (this.ended) {
      this.#rest = iterate("data", this.data);
      for (; this.#passed > 0; this.#passed--) if (this.#rest.next().done) break;
      this.#ahead = this.#rest.next();
      if (this.#ahead.done) {
        const expected = "at least one, in every epoch (a generator can be iterated only once)";
        throw new ValueError("data", "an iteration without another batch", expected);
      }
    }
    const { value } = this.#ahead as IteratorYieldResult<TrainingBatch<Y>>;
    this.#ahead = this.#rest!.next();
    return value;
  }

  get ended(): boolean {
    return this.#ahead?.done !== false;
  }
}

async function* steps<Y>(
  settings: Settings<Y>,
  source: Source<Y>,
  position: FitPosition,
): AsyncGenerator<Progress, void, undefined> {
  const { model, epochs, schedule, signal } = settings;
  const turns = new Turns();
  let mean = meanOf(position);
  while (position.epoch < epochs && position.stopping?.stopped !== true) {
    await turns.take();
    if (signal?.aborted) throw signal.reason;
    const step = position.step + 1;
    const { samples, metrics, loss, gradNorm } = takeStep(settings, source.next(), step);
    if (Number.isFinite(loss + gradNorm)) mean.add(loss, samples);
    const epoch = position.epoch + 1;
    let { stopping } = position;
    let validation: Evaluation | undefined;
    const { ended, place } = source;
    if (ended) {
      if (settings.validation !== undefined) {
        validation = await evaluateBatches("validation", model, settings.validation, settings.loss, settings.metrics);
      }
      const value = validation?.loss ?? mean.value;
      if (schedule instanceof ReduceLROnPlateau) schedule.step(value);
      else (schedule as { step(): void } | undefined)?.step();
      if (settings.stopping) {
        const { metric } = settings.stopping;
        stopping = judge(
          settings.stopping,
          stopping,
          metric === undefined ? value : validation!.metrics![metric]!,
          model,
        );
      }
      mean = new Mean();
    }
    position = Object.freeze({
      ...(ended ? { epoch, batch: 0 } : { epoch: epoch - 1, batch: position.batch + 1 }),
      step,
      samples: mean.weight,
      lossSum: mean.sum,
      ...(place && { data: place }),
      ...(stopping && { stopping }),
    });
    yield {
      epoch,
      step,
      loss,
      gradNorm,
      ...(metrics && { metrics }),
      ...(validation && { validation }),
      position,
    };
  }
  const best = settings.stopping?.restoreBest === true ? position.stopping?.weights : undefined;
  if (best) model.loadStateDict(best);
}

function meanOf({ samples, lossSum }: FitPosition): Mean {
  const mean = new Mean();
  mean.sum = lossSum;
  mean.weight = samples;
  return mean;
}

/** One step of the optimizer on a batch; none if loss or gradients are not finite. */
function takeStep<Y>(settings: Settings<Y>, given: TrainingBatch<Y>, step: number) {
  const { model, loss: lossOf, optimizer, metrics, clipNorm, skip } = settings;
  const batch = readBatch("data", given);
  let run!: BatchRun;
  const body = () => {
    run = forward(model, batch);
    return lossOf(run.output, batch.y, run.info);
  };
  let values: Record<string, number> | undefined;
  const accept = (loss: number, gradNorm: number) => {
    if (Number.isFinite(loss + gradNorm)) {
      if (Object.keys(metrics).length > 0) values = measure(metrics, run, batch.y); // before the step: they may throw
      return true;
    }
    if (!skip) throw notFinite(optimizer, loss, step);
    return false;
  };
  const { loss, gradNorm } = optimizer.minimize(body, { clipNorm }, accept);
  return { samples: batch.samples, loss, gradNorm, metrics: values };
}

/** The error that names the parameter whose gradient has most numbers that are not finite, or else the largest number. */
function notFinite(optimizer: Optimizer, loss: number, step: number): ValueError {
  let worst = { name: "", bad: -1, size: 0, largest: 0 };
  for (const { params } of optimizer.paramGroups) {
    for (const { name, grad } of params) {
      const { data } = grad;
      let [bad, largest] = [0, 0];
      for (const number of data) {
        if (Number.isFinite(number)) largest = Math.max(largest, Math.abs(number));
        else bad++;
      }
      if (bad > worst.bad || (bad === worst.bad && largest > worst.largest))
        worst = { name, bad, size: data.length, largest };
    }
  }
  const { name, bad, size, largest } = worst;
  const gradient = bad > 0 ? `${bad} of ${size} numbers not finite` : `up to ${largest}`;
  const received = `${loss} at step ${step}; the worst gradient is that of ${quote(name)}: ${gradient}`;
  return new ValueError("loss", received, 'finite numbers: a smaller lr, clipNorm, or onNan "skip" may help');
}

/** What early stopping knows after an epoch. */
function judge(
  { patience, minDelta, restoreBest, mode }: NonNullable<Settings<unknown>["stopping"]>,
  state: StoppingState | undefined,
  value: number,
  model: TrainableModel,
): StoppingState {
  const gain = state?.best === undefined ? Infinity : mode === "min" ? state.best - value : value - state.best;
  if (Number.isFinite(value) && gain > minDelta) {
    return { best: value, bad: 0, stopped: false, ...(restoreBest && { weights: model.stateDict() }) };
  }
  const bad = (state?.bad ?? 0) + 1;
  return { ...state, bad, stopped: bad >= patience };
}
