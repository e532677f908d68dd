// Trainings of the caller's own models on a queue.

import { buildInfo } from "../../bindings/instantiate.js";
import { ValueError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkFunction, checkNumber, checkOptions, readList } from "../base/check.js";
import { isRecord, writeJson } from "../formats/json.js";
import type { Tensors } from "../train/records.js";
import { checkTaskName } from "../train/shard-tasks.js";
import {
  MAX_MEMORY,
  openModel,
  type Json,
  type ShardOptimizer,
  type ShardTask,
  type Transport,
} from "../train/shards.js";
import { checkCut, ShardedTraining } from "../train/sharded-training.js";
import { checkQueue } from "./connection.js";
import { QueueTransport } from "./queue-transport.js";
import type { QueueOptions } from "./types.js";

/**
 * The learning rate of a step.
 *
 * @param step from 0
 */
export type LearningRateOf = (step: number) => number;

/** Options of a `Cluster`. */
export interface ClusterOptions extends QueueOptions {
  /** The share of shards that two different workers compute, in [0, 1], to compare their bits (default 0). */
  verify?: number | undefined;
  /** Memory in bytes that a value may take (default 4 GiB). */
  maxMemory?: number | undefined;
  /**
   * Is told in one line what a training waits for.
   *
   * @param note the line
   */
  onNote?: ((note: string) => void) | undefined;
}

/** Options of a training in shards. */
export interface ShardedTrainingOptions {
  /** Describes the model to the task; JSON. */
  setup: Json;
  /** Each shard's part of the data: `shardBatches`. */
  data: readonly Tensors[];
  /** Batches of an epoch. */
  batches: number;
  /** Passes over the data. */
  epochs: number;
  /** The first weights, by name. */
  weights: Readonly<Record<string, Tensor>>;
  /** The optimizer: SGD, Adam, AdamW, RMSprop or Adagrad, and its options. */
  optimizer: ShardOptimizer;
  /** The learning rate, or that of each step, from 0. */
  lr: number | LearningRateOf;
  /** Steps that each shard takes by itself before the parameters are averaged (default 1: gradients are added at each step). */
  localSteps?: number | undefined;
  /** Nesterov momentum of the averaged changes, as in DiLoCo, in [0, 1) (default 0). */
  outerMomentum?: number | undefined;
  /** Largest norm of the gradients (default: none). */
  clipNorm?: number | undefined;
  /** Seed of dropout and the like (default 0). */
  seed?: number | undefined;
  /** Where to go on: the position of a `ShardedProgress`. */
  position?: ShardedPosition | undefined;
}

/** A training after a round: tensors and JSON, which `saveTraining` can store as a position. */
export interface ShardedPosition {
  /** Steps so far. */
  readonly step: number;
  /** Weights and running statistics. */
  readonly weights: Readonly<Record<string, Tensor>>;
  /** The state of the common optimizer. */
  readonly optimizer: Readonly<Record<string, Tensor>>;
  /** What each shard carries on. */
  readonly carried: readonly Readonly<Record<string, Tensor>>[];
  /** The momentum of the averaged changes. */
  readonly outer: Readonly<Record<string, Tensor>>;
}

/** What is told after each round. */
export interface ShardedProgress {
  /** Steps so far. */
  readonly step: number;
  /** The loss of each step of the round, before it. */
  readonly losses: readonly number[];
  /** The norm of the gradients of each step. */
  readonly gradNorms: readonly number[];
  /** A copy of the training after the round. */
  readonly position: ShardedPosition;
}

const NAMES = [
  ...["setup", "data", "batches", "epochs", "weights", "optimizer", "lr", "localSteps", "outerMomentum", "clipNorm"],
  ...["seed", "position"],
];

/**
 * Trains a model in shards. The result depends on the task, the options and the build alone, not on the transport.
 *
 * @param task the model and its loss: `modelTask`
 * @param transport where shards are computed: `threads`, or the queue of a `Cluster`; the caller's to close
 * @param options the training
 * @throws ValueError, ShapeError, ClusterError and whatever the task throws, as steps are asked for: the round is then not taken
 */
export async function* trainShards(
  task: ShardTask,
  transport: Transport,
  options: ShardedTrainingOptions,
): AsyncGenerator<ShardedProgress, void, undefined> {
  const given = checkOptions("trainShards", options, NAMES);
  const { setup, batches, epochs, weights, optimizer: kind, lr, position } = given;
  const { localSteps = 1, outerMomentum = 0, clipNorm: clip = Infinity, seed = 0 } = given;
  checkTask(task);
  checkFunction("transport.run", (transport as unknown as { run?: unknown } | undefined)?.run);
  if (typeof setup !== "object" || setup === null) throw new ValueError("setup", describe(setup), "a record or a list");
  writeJson("setup", setup); // workers get it as JSON
  const data = readList("data", given.data, "records of tensors") as Tensors[];
  if (data.length === 0) throw new ValueError("data", "an empty list", "each shard's part");
  const shards = data.length;
  for (const [name, count] of Object.entries({ batches, epochs })) checkCount(name, count, 1);
  for (const own of data) if (!isRecord(own)) throw new ValueError("data", describe(own), "records of tensors");
  checkCount("seed", seed, 0);
  checkCut({ shards, localSteps, outerMomentum }, shards);
  if (position !== undefined && !isRecord(position)) {
    throw new ValueError("position", describe(position), "that of a progress");
  }
  const rateOf = typeof lr === "function" ? lr : () => lr;
  const model = openModel(task, setup, MAX_MEMORY);
  let training: ShardedTraining | undefined;
  try {
    model.loadStateDict(position?.weights ?? weights);
    const parts = {
      task: task.name,
      setup,
      data,
      model,
      kind,
      seed,
      clip,
      transport,
      shards,
      localSteps,
      outerMomentum,
    };
    const own = (training = new ShardedTraining(parts));
    let step = 0;
    if (position) {
      ({ step } = position);
      checkCount("position.step", step, 0);
      own.optimizer.loadStateDict(position.optimizer);
      own.carried = readCarried(position.carried, shards);
      own.outer = readTensors("position.outer", position.outer);
    }
    while (step < batches * epochs) {
      const start = step % batches;
      const steps = Array.from({ length: Math.min(localSteps, batches - start) }, (_, i) => i);
      const rates = steps.map((i) => rateOf(step + i));
      for (const rate of rates) checkNumber("lr", rate);
      const results = await own.round({ step, batches: steps.map((i) => start + i), rates });
      step += steps.length;
      const state = { weights: model.stateDict(), optimizer: own.optimizer.stateDict() };
      yield {
        step,
        losses: results.map(({ loss }) => loss),
        gradNorms: results.map(({ gradNorm }) => gradNorm),
        position: { step, ...state, carried: own.carried, outer: own.outer },
      };
    }
  } finally {
    if (training) training.dispose();
    else model.dispose();
  }
}

function checkTask(task: unknown): void {
  const { name, open } = (task ?? {}) as Partial<Record<keyof ShardTask, unknown>>;
  checkTaskName(name);
  checkFunction("task.open", open);
}

/** What each shard of a position carries on. */
function readCarried(carried: unknown, shards: number): Tensors[] {
  if (Array.isArray(carried) && carried.length === shards) {
    return carried.map((own) => readTensors("position.carried", own));
  }
  throw new ValueError("position.carried", describe(carried), `a list of ${shards} records: each shard's`);
}

function readTensors(argument: string, tensors: unknown): Tensors {
  if (isRecord(tensors)) return tensors as Tensors;
  throw new ValueError(argument, describe(tensors), "a record of tensors");
}

/** Workers on a queue, as one machine. */
export class Cluster {
  readonly #options: ClusterOptions;

  /**
   * @param options the queue; nothing is connected yet
   * @throws ValueError, UnsupportedError
   */
  constructor(options: ClusterOptions) {
    const names = ["queue", "prefix", "timeout", "timeToLive", "verify", "maxMemory", "onNote"];
    const { verify = 0, ...rest } = checkOptions("Cluster", options, names);
    checkQueue(rest);
    checkCount("maxMemory", rest.maxMemory ?? MAX_MEMORY, 1);
    checkFunction("onNote", rest.onNote ?? (() => {}));
    if (typeof verify !== "number" || !(verify >= 0 && verify <= 1)) {
      throw new ValueError("verify", describe(verify), "a number in [0, 1]");
    }
    this.#options = { ...rest, verify };
  }

  /**
   * The transport of a task: for `trainShards`, and for several trainings at once.
   *
   * @param task the name of the task
   * @throws ClusterError, ValueError
   */
  async connect(task: string): Promise<Transport> {
    checkTaskName(task);
    const { verify = 0, maxMemory = MAX_MEMORY, onNote = () => {}, ...rest } = this.#options;
    return QueueTransport.open({ ...rest, task, build: buildInfo(), verify, maxMemory, onNote });
  }

  /**
   * Trains a model on the workers of the queue (see `trainShards`).
   *
   * @param task the model and its loss; workers have been started with the same task
   * @param options the training
   * @throws as `trainShards`
   */
  async *train(task: ShardTask, options: ShardedTrainingOptions): AsyncGenerator<ShardedProgress, void, undefined> {
    checkTask(task);
    const transport = await this.connect(task.name);
    try {
      yield* trainShards(task, transport, options);
    } finally {
      await transport.close();
    }
  }
}
