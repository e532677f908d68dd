// A step of training, cut into shards by the job: every shard computes from the same parameters, on its rows of the batch, and what
// the shards return is put together in their order. Who computes which shard, how often and where changes no bit.
//
//     gradients   g = (sum over s of g_s) / (sum over s of n_s)     g_s: of the sum of the shard's losses, n_s: how many they are.
//                                                                   Sums are in f64 and rounded once; then clipping and the optimizer
//     local SGD   p <- (sum over s of p_s) / S                      p_s: the shard's parameters after its own steps
//     DiLoCo      d = p - (sum over s of p_s) / S;  v <- m v + d;  p <- p - 0.7 (d + m v)
//
// Local SGD: Stich 2019, https://arxiv.org/abs/1805.09767. DiLoCo: Douillard et al. 2023, https://arxiv.org/abs/2311.08105, whose outer
// optimizer is SGD with Nesterov momentum m = 0.9 and learning rate 0.7; every shard keeps its own inner optimizer.

import { FormatError, ShapeError, ValueError } from "../../bindings/errors.js";
import { dtypeOf, showShape, zeros, type Tensor } from "../../bindings/tensor.js";
import { checkCount } from "../base/check.js";
import { clipGradNorm } from "../optim/clip.js";
import type { Optimizer } from "../optim/optimizer.js";
import { part, type Tensors } from "./records.js";
import {
  makeOptimizer,
  type Json,
  type ShardJob,
  type ShardModel,
  type ShardOptimizer,
  type ShardResult,
  type Transport,
} from "./shards.js";

/** How a training is cut; the result depends on it. */
export interface Cut {
  /** S, the shards of a batch. */
  readonly shards: number;
  /** K, the steps that each shard takes by itself before the parameters are averaged; 1 for gradients that are added. */
  readonly localSteps: number;
  /** Nesterov momentum of the averaged changes, in [0, 1); 0 for none. */
  readonly outerMomentum: number;
}

/** The learning rate of averaged changes with momentum, as in DiLoCo. */
const OUTER_RATE = 0.7;

/**
 * Checks how a training is cut.
 *
 * @param rows of a batch
 * @throws ValueError
 */
export function checkCut({ shards, localSteps, outerMomentum }: Cut, rows: number): void {
  checkCount("shards", shards, 1);
  checkCount("localSteps", localSteps, 1);
  if (!(outerMomentum >= 0 && outerMomentum < 1)) {
    throw new ValueError("outerMomentum", `${outerMomentum}`, "a number in [0, 1)");
  }
  if (outerMomentum > 0 && localSteps === 1) {
    throw new ValueError("outerMomentum", `${outerMomentum} with localSteps 1`, "0, or localSteps of 2 or more");
  }
  if (rows % shards !== 0) throw new ValueError("shards", `${shards}`, `a divisor of the ${rows} rows of a batch`);
}

/** What a sharded training is made of. */
export interface ShardedParts extends Cut {
  /** The name of the task. */
  readonly task: string;
  /** Describes the model. */
  readonly setup: Json;
  /** Each shard's part of the data. */
  readonly data: readonly Tensors[];
  /** The model, which rounds change. */
  readonly model: ShardModel;
  /** The optimizer: of this kind. */
  readonly kind: ShardOptimizer;
  /** Seed of everything that is drawn. */
  readonly seed: number;
  /** Largest norm of the gradients of a step; Infinity for none. */
  readonly clip: number;
  /** Where shards are computed. */
  readonly transport: Transport;
}

/** The steps of a round. */
export interface Round {
  /** The first step, from 0. */
  readonly step: number;
  /** The batches of the epoch, one for each step. */
  readonly batches: readonly number[];
  /** The learning rate of each step. */
  readonly rates: readonly number[];
}

/** A training in rounds of one step, or of several that each shard takes by itself. */
export class ShardedTraining {
  readonly parts: ShardedParts;
  /** The optimizer of steps that all shards take together. */
  readonly optimizer: Optimizer;
  /** Of each shard, what it carries on. */
  carried: readonly Tensors[];
  /** The momentum of averaged changes, by parameter, in f64; empty before the first. */
  outer: Tensors = {};
  /** Where gradients are added. */
  #sum = zeros("f64", 0);

  /** @param optimizer over the parameters of the model (default: a new one); the training disposes of it */
  constructor(parts: ShardedParts, optimizer?: Optimizer) {
    checkCut(parts, parts.data.length);
    this.parts = parts;
    this.optimizer = optimizer ?? makeOptimizer(parts.kind, parts.model.parameters());
    this.carried = parts.data.map(() => ({}));
  }

  /** Whether shards take steps by themselves. */
  get local(): boolean {
    return this.parts.localSteps > 1;
  }

  /**
   * Takes the steps of a round. Where it throws, nothing is changed.
   *
   * @returns the loss and the norm of the gradients of each step; of local steps the mean of the shards' norms
   */
  async round({ step, batches, rates }: Round): Promise<{ loss: number; gradNorm: number }[]> {
    const { task, setup, data, model, kind, seed, clip, transport, shards } = this.parts;
    const before = model.stateDict();
    const local = this.local && { optimizer: kind, rates, clip: clip === Infinity ? null : clip };
    const jobs = data.map((own, shard): ShardJob => {
      const plan = { step, shard, shards, seed, batches, ...(local && { local }) };
      return { task, setup, data: own, model: before, carried: this.carried[shard]!, plan };
    });
    const results = await transport.run(jobs);
    results.forEach((result, shard) => this.#check(result, batches.length, shard, before));
    const losses = batches.map((_, i) =>
      lossOf(
        results.map(({ losses }) => losses[i]!),
        !local,
      ),
    );
    const norms = local
      ? batches.map((_, i) => mean(results.map(({ norms }) => norms[i]!)))
      : [this.#step(results, rates[0]!)];
    if (local) this.#average(results, before);
    this.carried = results.map(({ carried }) => carried);
    return losses.map((loss, i) => ({ loss, gradNorm: norms[i]! }));
  }

  /** Refuses results that are none of this training: they may come from elsewhere. */
  #check({ losses, norms, values }: ShardResult, steps: number, shard: number, before: Tensors): void {
    const where = `result of shard ${shard}`;
    if (losses.length !== steps || norms.length !== (this.local ? steps : 0)) {
      throw new FormatError(where, `${losses.length} losses and ${norms.length} norms`, `those of ${steps} steps`);
    }
    const parameters = new Set(this.parts.model.parameters().map(({ name }) => name));
    const names = Object.keys(before).map((name) => (this.local || !parameters.has(name) ? "model." : "grad.") + name);
    if (Object.keys(values).length !== names.length) {
      throw new FormatError(where, `${Object.keys(values).length} tensors`, `${names.length}`);
    }
    for (const name of names) {
      const own = before[name.slice(name.indexOf(".") + 1)]!;
      const found = values[name];
      const show = ({ data, shape }: Tensor) => `${dtypeOf(data)} ${showShape(shape)}`;
      if (!found) throw new FormatError(where, `no tensor ${name}`, show(own));
      if (show(found) !== show(own)) throw new ShapeError(`${where}: ${name}`, show(found), show(own));
    }
  }

  /** Adds the gradients, clips them, and takes a step. Returns their norm. */
  #step(results: readonly ShardResult[], rate: number): number {
    const { model, clip } = this.parts;
    const parameters = model.parameters();
    const counts = results.map(({ losses }) => losses[0]![1]);
    const count = counts.reduce((sum, own) => sum + own, 0);
    const largest = Math.max(0, ...parameters.map(({ grad }) => grad.data.length));
    if (this.#sum.length < largest) this.#sum = zeros("f64", largest);
    for (const { name, grad } of parameters) {
      const all = results.map(({ values }) => values[`grad.${name}`]!);
      // the gradients of one shard are those of the mean already
      (grad.data as Float64Array).set(all.length === 1 ? all[0]!.data : sumOver(all, count, this.#sum));
    }
    this.#statistics(results);
    const norm = clipGradNorm(parameters, clip);
    this.optimizer.lr = rate;
    this.optimizer.step();
    return norm;
  }

  /** Averages the statistics that are no parameters. */
  #statistics(results: readonly ShardResult[]): void {
    const { model } = this.parts;
    const names = Object.keys(part(results[0]!.values, "model."));
    if (names.length === 0) return;
    const dict = model.stateDict();
    for (const name of names) dict[name] = averageOf(results, name);
    model.loadStateDict(dict);
  }

  /** Averages the models, and with momentum goes on in the direction of the change. */
  #average(results: readonly ShardResult[], before: Tensors): void {
    const { model, outerMomentum: m } = this.parts;
    const trained = new Set(model.parameters().map(({ name }) => name));
    const dict: Record<string, Tensor> = {};
    const outer: Record<string, Tensor> = {};
    for (const [name, { data: old, shape }] of Object.entries(before)) {
      const average = averageOf(results, name);
      dict[name] = average;
      if (m === 0 || !trained.has(name)) continue;
      const v = zeros("f64", old.length);
      const last = this.outer[name]?.data;
      const next = zeros(dtypeOf(old) as "f32" | "f64", old.length);
      for (let i = 0; i < old.length; i++) {
        const change = old[i]! - average.data[i]!;
        v[i] = m * (last?.[i] ?? 0) + change;
        next[i] = old[i]! - OUTER_RATE * (change + m * v[i]!);
      }
      dict[name] = { data: next, shape };
      outer[name] = { data: v, shape };
    }
    model.loadStateDict(dict);
    this.outer = outer;
  }

  dispose(): void {
    this.optimizer.dispose();
    this.parts.model.dispose();
  }
}

/** The loss of a step from those of its shards, which are sums or, with local steps, means. */
function lossOf(losses: readonly (readonly [loss: number, count: number])[], sums: boolean): number {
  if (losses.length === 1) return losses[0]![0];
  let [total, count] = [0, 0];
  for (const [loss, own] of losses) {
    total += sums ? loss : loss * own;
    count += own;
  }
  return total / count;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** The sum of tensors in their order, divided, in f64, at the start of `memory`. */
function sumOver(tensors: readonly Tensor[], divisor: number, memory: Float64Array): Float64Array {
  const sum = memory.subarray(0, tensors[0]!.data.length).fill(0);
  for (const { data } of tensors) for (let i = 0; i < sum.length; i++) sum[i]! += data[i]!;
  for (let i = 0; i < sum.length; i++) sum[i]! /= divisor;
  return sum;
}

/** The mean of a part of the shards' models, rounded once to its own type. */
function averageOf(results: readonly ShardResult[], name: string): Tensor {
  const all = results.map(({ values }) => values[`model.${name}`]!);
  const [first] = all;
  if (all.length === 1) return first!;
  const data = zeros(dtypeOf(first!.data), first!.data.length);
  data.set(sumOver(all, all.length, zeros("f64", data.length)));
  return { data, shape: first!.shape };
}
