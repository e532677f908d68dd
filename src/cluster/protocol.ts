// Jobs and results as the queue has them: JSON, with values by their hashes. Everything from there is checked.

import { FormatError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { isRecord } from "../formats/json.js";
import { addPart, numbers, part, vector, type Tensors } from "../train/records.js";
import { readPlan, type ShardPlan, type ShardResult } from "../train/shards.js";
import type { Build } from "./types.js";
import { encodeJson, readRef, refOf, type Ref } from "./values.js";

export function sameBuild(a: Build, b: Build): boolean {
  return a.variant === b.variant && a.version === b.version && a.hash === b.hash;
}

export function showBuild({ variant, version, hash }: Build): string {
  return `${variant} of ${version} (${hash.slice(0, 8)})`;
}

/** The queue of the jobs of a task for a build: a worker of another build does not listen to it. */
export function queueName(task: string, { variant, version, hash }: Build): string {
  const pin = refOf(encodeJson([variant, version, hash])).hash;
  return `${task}.${pin.slice(0, 16)}`;
}

/** A job in the queue. */
export interface QueuedJob {
  readonly run: string;
  readonly build: Build;
  readonly setup: Ref;
  readonly data: Ref;
  readonly model: Ref;
  readonly carried: Ref;
  readonly plan: ShardPlan;
  /** A worker that may not take it: it has computed the same already. */
  readonly not?: string;
}

/** The answer to a job. */
export interface QueuedResult {
  /** The id of the worker. */
  readonly worker: string;
  /** losses, norms and values. */
  readonly values: Ref;
  readonly carried: Ref;
}

export function readJob(data: unknown): QueuedJob {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new FormatError(`job ${name}`, describe(value), expected);
  };
  if (!isRecord(data)) return refuse("data", data, "a record");
  const { run, build, setup, data: own, model, carried, plan, not } = data;
  if (typeof run !== "string" || !/^[0-9a-f]{16}$/.test(run)) refuse("run", run, "16 hexadecimal digits");
  if (not !== undefined && typeof not !== "string") refuse("not", not, "a worker");
  const refs = Object.fromEntries(
    Object.entries({ setup, data: own, model, carried }).map(([name, ref]) => [name, readRef(`job ${name}`, ref)]),
  ) as Record<"setup" | "data" | "model" | "carried", Ref>;
  return {
    run: run as string,
    build: readBuild(build),
    ...refs,
    plan: readPlan(plan),
    ...(not !== undefined && { not: not as string }),
  };
}

export function readBuild(build: unknown): Build {
  const { variant, version, hash } = (build ?? {}) as Partial<Record<keyof Build, unknown>>;
  if ((variant === "simd" || variant === "relaxed") && typeof version === "string" && typeof hash === "string") {
    return { variant, version, hash };
  }
  throw new FormatError("build", describe(build), "variant, version and hash");
}

export function readResult(value: unknown): QueuedResult | "abandoned" {
  if (!isRecord(value)) throw new FormatError("result", describe(value), "a record");
  if (value.abandoned === true) return "abandoned";
  const { worker, values, carried } = value;
  if (typeof worker !== "string") throw new FormatError("result worker", describe(worker), "an id");
  return { worker, values: readRef("result values", values), carried: readRef("result carried", carried) };
}

/** Losses, norms and values as one value; losses may be NaN, which JSON lacks. */
export function packResult({ losses, norms, values }: ShardResult): Tensors {
  const packed: Record<string, Tensors[string]> = {
    losses: { data: Float64Array.from(losses.flat()), shape: [losses.length, 2] },
    norms: vector(Float64Array.from(norms)),
  };
  addPart(packed, "values.", values);
  return packed;
}

export function unpackResult(packed: Tensors, carried: Tensors): ShardResult {
  const all = numbers(packed, "losses", Float64Array);
  const losses = Array.from({ length: all.length / 2 }, (_, i) => [all[2 * i]!, all[2 * i + 1]!] as const);
  return { losses, norms: [...numbers(packed, "norms", Float64Array)], values: part(packed, "values."), carried };
}
