// What a shard of a training step computes: jobs and results, which are tensors and JSON, and the one place where jobs are computed.
// What a shard carries on (recurrent states, its optimizer) comes with the job and returns with the result. sharded-training.ts cuts
// steps into shards and puts results together. A transport brings jobs to where they are computed: `InProcess` here, threads and a queue
// in src/cluster/.

import { FormatError, ThreadError, ValueError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import type { Parameter } from "../base/parameter.js";
import { readList } from "../base/check.js";
import { Random } from "../base/random.js";
import { isRecord, writeJson } from "../formats/json.js";
import { clipGradNorm } from "../optim/clip.js";
import type { Optimizer } from "../optim/optimizer.js";
import { Adagrad, Adam, AdamW, RMSprop, SGD } from "../optim/optimizers.js";
import { addPart, part, type Tensors } from "./records.js";

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What a model is told to go through one batch of a shard. */
export interface ShardPass {
  /** The shard's part of the data: the same in all rounds. */
  readonly data: Tensors;
  /** The batch of the epoch, from 0. An epoch's first begins with no state. */
  readonly batch: number;
  /** For everything that is drawn in this batch: that of the step and the shard. */
  readonly seed: number;
  /** What the batch before returned; empty before the first. */
  readonly carried: Tensors;
  /** What the gradients are of: the mean of the losses of all targets, or their sum. */
  readonly reduction: "mean" | "sum";
}

/** A model as shards use it: its state is set before each job. */
export interface ShardModel {
  /** The parameters, live. */
  parameters(): readonly Parameter[];
  /** Copies of the parameters and of running statistics, by name. */
  stateDict(): Record<string, Tensor>;
  /**
   * Sets all of them.
   *
   * @param dict of `stateDict`
   */
  loadStateDict(dict: Tensors): void;
  /**
   * Sets the gradients to those of a batch's loss.
   *
   * @param pass the batch, and what it begins with
   */
  pass(pass: ShardPass): {
    /** The mean or the sum of the losses. */
    loss: number;
    /** How many losses they are. */
    count: number;
    /** For the next batch. */
    carried: Tensors;
  };
  /** Frees the memory. */
  dispose(): void;
}

/** A kind of model and loss that jobs can name. */
export interface ShardTask {
  /** The name that jobs have: letters, digits, "-" and "_". */
  readonly name: string;
  /**
   * Makes a model; its weights are set later.
   *
   * @param setup describes it; of a job, so it is to be checked before anything is allocated
   * @param maxBytes memory that the model may take
   */
  open(setup: Json, maxBytes: number): ShardModel;
}

const OPTIMIZERS = { SGD, Adam, AdamW, RMSprop, Adagrad };

/** An optimizer with its options, except lr, which each step has. */
export interface ShardOptimizer {
  /** The class. */
  readonly kind: keyof typeof OPTIMIZERS;
  /** Its options. */
  readonly options?: Readonly<Record<string, Json>>;
}

/** What a shard is to compute. */
export interface ShardPlan {
  /** The first step, from 0. */
  readonly step: number;
  /** Which of the shards it is, from 0. */
  readonly shard: number;
  /** How many there are. */
  readonly shards: number;
  /** Seed of the training. */
  readonly seed: number;
  /** The batches of the epoch, one for each step. */
  readonly batches: readonly number[];
  /** Steps that the shard takes by itself; absent where it computes gradients for a step that all take together. */
  readonly local?: {
    /** The optimizer. */
    readonly optimizer: ShardOptimizer;
    /** The learning rate of each step. */
    readonly rates: readonly number[];
    /** Largest norm of a step's gradients; null for none. */
    readonly clip: number | null;
  };
}

/** A shard's part of a round. */
export interface ShardJob {
  /** The name of the task. */
  readonly task: string;
  /** Describes the model; the same object in all jobs of a training. */
  readonly setup: Json;
  /** The shard's part of the data; the same object in all rounds. */
  readonly data: Tensors;
  /** Parameters and running statistics; the same object for all shards of a round. */
  readonly model: Tensors;
  /** What the shard's job of the round before returned: `state.<name>` and `optimizer.<name>`. */
  readonly carried: Tensors;
  /** The rest. */
  readonly plan: ShardPlan;
}

/** What a shard returns. */
export interface ShardResult {
  /** Of each batch, the loss and how many losses it is of. The loss is their sum where the plan has several shards and no local steps, else their mean. */
  readonly losses: readonly (readonly [loss: number, count: number])[];
  /** Of each local step, the norm of the gradients. */
  readonly norms: readonly number[];
  /** The gradients `grad.<name>`, or after local steps the parameters `model.<name>`; and running statistics, `model.<name>`. */
  readonly values: Tensors;
  /** For the shard's next job. */
  readonly carried: Tensors;
}

/** Brings jobs to where they are computed. */
export interface Transport {
  /**
   * Computes the shards of a round.
   *
   * @param jobs one for each shard
   * @returns their results, in their order
   */
  run(jobs: readonly ShardJob[]): Promise<readonly ShardResult[]>;
  /** Lets go of everything that the transport holds. */
  close(): Promise<void>;
}

/** Models that stay open for the next job. */
const OPEN = 4;

/** Memory that a model may take where nothing else is said: what WebAssembly has. */
export const MAX_MEMORY = 2 ** 32;

interface OpenModel {
  readonly model: ShardModel;
  readonly optimizer: Optimizer | undefined;
  /** Names of the state dictionary that are no parameters: running statistics. */
  readonly statistics: readonly string[];
}

/** Steps of a plan. */
const MANY = 1e6;

/**
 * A plan from outside, its lists as plain copies.
 *
 * @throws FormatError
 */
export function readPlan(plan: unknown): ShardPlan {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new FormatError(`job plan.${name}`, describe(value), expected);
  };
  if (!isRecord(plan)) return refuse("", plan, "a record");
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  for (const name of ["step", "shard", "shards", "seed"]) {
    if (!isCount(plan[name])) refuse(name, plan[name], "a whole number from 0 up");
  }
  const { batches, local } = plan;
  const listOf = (name: string, list: unknown, test: (value: unknown) => boolean, expected: string): number[] => {
    if (!Array.isArray(list) || list.length === 0 || list.length > MANY) return refuse(name, list, expected);
    const copy = readList(`job plan.${name}`, list, expected);
    return copy.every(test) ? (copy as number[]) : refuse(name, list, expected);
  };
  const checked = { ...plan, batches: listOf("batches", batches, isCount, "whole numbers") };
  if (local === undefined) return checked as unknown as ShardPlan;
  if (!isRecord(local)) return refuse("local", local, "a record");
  const { optimizer, clip } = local;
  if (!isRecord(optimizer) || typeof optimizer.kind !== "string")
    refuse("local.optimizer", optimizer, "kind and options");
  const rates = listOf("local.rates", local.rates, Number.isFinite, "a number for each batch");
  if (rates.length !== checked.batches.length) refuse("local.rates", rates, "a number for each batch");
  if (clip !== null && !Number.isFinite(clip)) refuse("local.clip", clip, "a number or null");
  return { ...checked, local: { ...local, rates } } as unknown as ShardPlan;
}

/** Computes jobs, one at a time. A result depends on the job alone: models are kept only to spare making them again. */
export class ShardRunner {
  readonly #tasks: ReadonlyMap<string, ShardTask>;
  readonly #maxBytes: number;
  readonly #open = new Map<string, OpenModel>();

  constructor(tasks: readonly ShardTask[], maxBytes = MAX_MEMORY) {
    this.#tasks = new Map(tasks.map((task) => [task.name, task]));
    this.#maxBytes = maxBytes;
  }

  /** @throws ValueError (an unknown task), FormatError (no job), and whatever the task's model throws */
  run(job: ShardJob): ShardResult {
    for (const name of ["data", "model", "carried"] as const) {
      const tensors: unknown = (job as ShardJob | undefined)?.[name];
      if (!isRecord(tensors)) throw new FormatError(`job ${name}`, describe(tensors), "a record of tensors");
    }
    const own = { ...job, plan: readPlan(job.plan) };
    try {
      return this.#compute(own);
    } catch (error) {
      if (error instanceof ThreadError) return this.#compute(own); // on one thread, from what the job brings
      throw error;
    }
  }

  #compute(job: ShardJob): ShardResult {
    const { plan } = job;
    const { model, optimizer, statistics } = this.#modelOf(job);
    model.loadStateDict(job.model);
    if (optimizer) optimizer.loadStateDict(part(job.carried, "optimizer."));
    const reduction = plan.local || plan.shards === 1 ? "mean" : "sum";
    let state: Tensors = part(job.carried, "state.");
    const losses: [number, number][] = [];
    const norms: number[] = [];
    plan.batches.forEach((batch, i) => {
      const seed = shardSeed(plan.seed, plan.step + i, plan.shard);
      const { loss, count, carried } = model.pass({ data: job.data, batch, seed, carried: state, reduction });
      losses.push([loss, count]);
      state = carried;
      if (!plan.local || !optimizer) return;
      norms.push(clipGradNorm(model.parameters(), plan.local.clip ?? Infinity));
      optimizer.lr = plan.local.rates[i]!;
      optimizer.step();
    });
    const values: Record<string, Tensor> = {};
    if (plan.local) addPart(values, "model.", model.stateDict());
    else {
      for (const { name, grad } of model.parameters()) {
        values[`grad.${name}`] = { data: grad.data.slice(), shape: [...grad.shape] };
      }
      const dict = statistics.length > 0 ? model.stateDict() : {};
      for (const name of statistics) values[`model.${name}`] = dict[name]!;
    }
    const carried: Record<string, Tensor> = {};
    addPart(carried, "state.", state);
    if (optimizer) addPart(carried, "optimizer.", optimizer.stateDict());
    return { losses, norms, values, carried };
  }

  /** The model of a job, made where it is not open. */
  #modelOf({ task: name, setup, plan }: ShardJob): OpenModel {
    const key = writeJson("job task, setup, optimizer", [name, setup, plan.local?.optimizer ?? null]);
    let open = this.#open.get(key);
    this.#open.delete(key);
    if (!open) {
      const task = this.#tasks.get(name);
      if (!task)
        throw new ValueError(
          "task",
          typeof name === "string" ? name : describe(name),
          [...this.#tasks.keys()].join(", ") || "none: there are no tasks",
        );
      for (const [oldest, { model, optimizer }] of this.#open) {
        if (this.#open.size < OPEN) break;
        optimizer?.dispose();
        model.dispose();
        this.#open.delete(oldest);
      }
      const model = openModel(task, setup, this.#maxBytes);
      try {
        const trained = new Set(model.parameters().map(({ name }) => name));
        const statistics = Object.keys(model.stateDict()).filter((name) => !trained.has(name));
        open = { model, optimizer: plan.local && makeOptimizer(plan.local.optimizer, model.parameters()), statistics };
      } catch (error) {
        model.dispose();
        throw error;
      }
    }
    this.#open.set(key, open); // the latest is the last
    return open;
  }

  dispose(): void {
    for (const { model, optimizer } of this.#open.values()) {
      optimizer?.dispose();
      model.dispose();
    }
    this.#open.clear();
  }
}

/** @throws ValueError where the task gives no model, and whatever it throws */
export function openModel(task: ShardTask, setup: Json, maxBytes: number): ShardModel {
  const model: unknown = task.open(setup, maxBytes);
  const { parameters, stateDict, loadStateDict, pass, dispose } = (model ?? {}) as Record<string, unknown>;
  for (const method of [parameters, stateDict, loadStateDict, pass, dispose]) {
    if (typeof method !== "function")
      throw new ValueError("task.open", describe(model), "a function that gives a model");
  }
  return model as ShardModel;
}

export function makeOptimizer(optimizer: ShardOptimizer, parameters: readonly Parameter[]): Optimizer {
  if (!isRecord(optimizer)) throw new ValueError("optimizer", describe(optimizer), "a record of kind and options");
  const { kind, options = {} } = optimizer;
  if (typeof kind !== "string" || !Object.hasOwn(OPTIMIZERS, kind))
    throw new ValueError(
      "optimizer",
      typeof kind === "string" ? kind : describe(kind),
      Object.keys(OPTIMIZERS).join(", "),
    );
  const lr = kind === "SGD" ? { lr: 0 } : {};
  return new OPTIMIZERS[kind](parameters, { ...lr, ...options });
}

/** The seed of a step and a shard, which depends on the three numbers alone: 32 bits. */
export function shardSeed(seed: number, step: number, shard: number): number {
  const mix = (low: number, high: number) => new Random((low >>> 0) + 2 ** 32 * (high % 2 ** 21)).uint32();
  return mix(mix(mix(seed, Math.floor(seed / 2 ** 32)), step), shard);
}

/** Computes shards in this process, one after the other. */
export class InProcess implements Transport {
  readonly #runner: ShardRunner;

  /**
   * Makes a transport that computes jobs here, one after the other.
   *
   * @param tasks those that jobs may name
   */
  constructor(tasks: readonly ShardTask[]) {
    const own = readList("tasks", tasks, "tasks");
    for (const task of own) {
      if (!isRecord(task) || typeof task.open !== "function") throw new ValueError("tasks", describe(task), "tasks");
    }
    this.#runner = new ShardRunner(own as ShardTask[]);
  }

  async run(jobs: readonly ShardJob[]): Promise<readonly ShardResult[]> {
    const own = readList("jobs", jobs, "jobs") as ShardJob[];
    await Promise.resolve();
    return own.map((job) => this.#runner.run(job));
  }

  close(): Promise<void> {
    this.#runner.dispose();
    return Promise.resolve();
  }
}
