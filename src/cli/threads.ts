// --threads: threads of this process that compute together, with the bits of one.

import { availableParallelism } from "node:os";
import { startThreads } from "../../bindings/threads.js";
import { MAX_THREADS } from "../../bindings/team.js";
import type { Range } from "../train/settings.js";
import { messageOf } from "./errors.js";
import { escapeControls } from "./escape.js";

/** Values of --threads. */
export const THREADS: Range = {
  test: (value) => Number.isInteger(value) && value >= 1 && value <= MAX_THREADS,
  expected: `a whole number from 1 to ${MAX_THREADS}`,
};

/** What a training computes, in multiply-adds of forward passes. */
export interface Work {
  /** Shards of a batch. */
  readonly shards: number;
  /** Of a step of one shard. */
  readonly step: number;
  /** Of a shard's steps in this run. */
  readonly all: number;
}

/** Less in a step, some milliseconds, is not divided, or so little of it that other threads gain nothing. */
const LEAST_STEP = 1e7;

/** Less in all, about a second, does not make up for the start of threads. */
const LEAST_IN_ALL = 4e9;

/** How many threads each of `workers` has: as many as the option says, or, where there is work for them, so many that all cores compute. */
export function threadsFor(given: number | undefined, workers: number, work?: Omit<Work, "shards">): number {
  if (given !== undefined) return given;
  if (work && (work.step < LEAST_STEP || work.all < LEAST_IN_ALL)) return 1;
  return Math.max(1, Math.floor(Math.min(MAX_THREADS, availableParallelism()) / workers));
}

/**
 * Starts threads for objects that are created from now on, or says in a line why there is one.
 *
 * @param start the function of the copy of this package whose objects compute
 * @returns how many there are
 */
export async function startedThreads(threads: number, start: typeof startThreads = startThreads): Promise<number> {
  if (threads === 1) return 1;
  let reason = "this host has no shared memory or starts no workers";
  try {
    const started = await start(threads);
    if (started > 1) return started;
  } catch (error) {
    if (!(error instanceof Error) || !["ThreadError", "OutOfMemoryError"].includes(error.name)) throw error;
    reason = messageOf(error);
  }
  process.stderr.write(`wasm-rnn: ${escapeControls(oneThread(threads, reason))}\n`);
  return 1;
}

/** What is said where threads do not start. */
const oneThread = (threads: number, reason: string) => `${threads} threads cannot start: going on with one (${reason})`;
