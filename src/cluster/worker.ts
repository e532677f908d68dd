// A worker: takes jobs from a queue, computes them in threads, and returns their results. It keeps nothing that a result depends on.
// Nothing that comes from the queue is executed or imported: jobs name tasks that the worker was started with.

import { availableParallelism } from "node:os";
import type { Job, Worker } from "bullmq";
import { buildInfo } from "../../bindings/instantiate.js";
import { ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { checkCount, checkFunction, checkNumber, checkOptions } from "../base/check.js";
import { MAX_MEMORY, type ShardJob } from "../train/shards.js";
import { ALIVE, checkQueue, Connection, GONE, MAX_SECONDS, randomId } from "./connection.js";
import { messageOf, readUrls } from "./errors.js";
import { packResult, queueName, readJob, sameBuild, showBuild, type QueuedResult } from "./protocol.js";
import { runsOf } from "./registry.js";
import { checkWorkers, loadTasks, Threads } from "./threads.js";
import type { Build, QueueOptions } from "./types.js";
import { Cache, decodeJson, decodeTensors, encodeTensors, fullOr, refOf, Values, type Ref } from "./values.js";

/** Options of `runWorker`. */
export interface WorkerOptions extends QueueOptions {
  /** Jobs that it computes at the same time, each in a thread (default: the cores of the machine). */
  threads?: number | undefined;
  /** A name for people (default "worker"). */
  name?: string | undefined;
  /** URLs of modules that export tasks, beside "charlm": the worker's threads import them. */
  tasks?: readonly (string | URL)[] | undefined;
  /** Memory in bytes that a model, a value or the cache of values may take (default 4 GiB). */
  maxMemory?: number | undefined;
  /** Seconds without a sign of life after which a job of this worker is another's (default 30). */
  lock?: number | undefined;
  /** Ends the worker: after the jobs that it has. */
  signal?: AbortSignal | undefined;
  /**
   * Is told in one line what happens: a run of another build, a job that failed.
   *
   * @param note the line
   */
  onNote?: ((note: string) => void) | undefined;
}

const NAMES = [
  "queue",
  "prefix",
  "timeout",
  "timeToLive",
  "threads",
  "name",
  "tasks",
  "maxMemory",
  "lock",
  "signal",
  "onNote",
];

/** Bytes of values that are kept for the next jobs, unless maxMemory is less. */
const CACHE = 2 ** 28;

/**
 * Computes jobs of a queue until `signal` ends it. After an interruption of the connection it goes on.
 *
 * @param options the queue, threads, tasks
 * @throws ClusterError (a queue that cannot be used), ValueError, UnsupportedError
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const given = checkOptions("runWorker", options, NAMES);
  const { threads = availableParallelism(), name = "worker", signal, onNote = () => {} } = given;
  const { maxMemory = MAX_MEMORY, lock = 30, queue, prefix, timeout, timeToLive } = given;
  checkWorkers("threads", threads);
  checkCount("maxMemory", maxMemory, 1);
  checkNumber("lock", lock, MAX_SECONDS);
  checkFunction("onNote", onNote);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new ValueError("signal", describe(signal), "an AbortSignal");
  }
  if (!(lock >= 0.1)) throw new ValueError("lock", `${lock}`, "seconds, 0.1 or more");
  if (typeof name !== "string" || !/^[\w.-]{1,100}$/.test(name)) {
    throw new ValueError("name", describe(name), 'letters, digits, ".", "-" and "_"');
  }
  checkQueue(given);
  const urls = readUrls(given.tasks ?? []);
  const build = buildInfo();
  const tasks = (await loadTasks(urls)).map((task) => task.name);
  const connection = await Connection.open({ queue, prefix, timeout, timeToLive });
  const { redis, bullmq, shared } = connection;
  const pool = new Threads({ workers: threads, tasks: urls, variant: build.variant, maxMemory });
  const id = `${name}-${randomId()}`;
  const hand = new Hand(connection, pool, { id, build, maxMemory });
  const key = `${connection.prefix}:worker:${id}`;
  const strange = new Set<string>();
  const sign = async () => {
    await redis.set(key, JSON.stringify({ name, build, tasks, threads }), "PX", GONE);
    for (const run of await runsOf(connection)) {
      if (sameBuild(run.build, build) || strange.has(run.id)) continue;
      strange.add(run.id);
      onNote(
        `run ${run.id} needs the build ${showBuild(run.build)}: this worker has ${showBuild(build)} and takes none of its jobs`,
      );
    }
  };
  const alive = setInterval(() => void sign().catch(() => {}), ALIVE);
  const workers: Worker[] = [];
  try {
    await connection.guard(sign());
    for (const task of tasks) {
      const worker = new bullmq.Worker(queueName(task, build), (job, token) => hand.compute(task, job, token), {
        ...shared,
        concurrency: threads,
        lockDuration: Math.ceil(lock * 1000),
        stalledInterval: Math.ceil(lock * 1000),
        maxStalledCount: 1e9, // a job is handed out again however many workers die of something else
        drainDelay: 1,
      });
      worker.on("error", (error) => {
        // of the connection, which comes back; and of a job that another worker has got meanwhile
        if (/lock|not in the active state/i.test(error.message))
          onNote(`a job was another worker's by the time it was done`);
      });
      worker.on("failed", (_, error) => {
        if (!error.message.startsWith("missing ")) onNote(`a job failed: ${messageOf(error)}`);
      });
      workers.push(worker);
    }
    await new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      else signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    clearInterval(alive);
    const late = new Promise((resolve) => setTimeout(resolve, (timeout ?? 30) * 1000).unref());
    await Promise.race([Promise.all(workers.map((worker) => worker.close())).catch(() => {}), late]);
    await Promise.race([redis.del(key).catch(() => {}), late]);
    await pool.close();
    connection.close();
  }
}

/** What a worker does with a job. */
class Hand {
  readonly #connection: Connection;
  readonly #pool: Threads;
  readonly #own: { readonly id: string; readonly build: Build; readonly maxMemory: number };
  readonly #cache: Cache;

  constructor(connection: Connection, pool: Threads, own: { id: string; build: Build; maxMemory: number }) {
    this.#connection = connection;
    this.#pool = pool;
    this.#own = own;
    this.#cache = new Cache(Math.min(own.maxMemory, CACHE));
  }

  async compute(task: string, job: Job, token: string | undefined): Promise<QueuedResult | { abandoned: true }> {
    const { id, build, maxMemory } = this.#own;
    const { run, build: wanted, not, plan, ...refs } = readJob(job.data);
    if (!sameBuild(wanted, build)) throw new ValueError("build", showBuild(wanted), showBuild(build));
    if (not === id) {
      await job.moveToDelayed(Date.now() + Math.min(10 * job.attemptsStarted, 200), token);
      throw new this.#connection.bullmq.DelayedError();
    }
    const { redis, prefix } = this.#connection;
    const lives = redis.exists(`${prefix}:run:${run}`);
    const values = new Values(this.#connection, run, maxMemory);
    const tensors = (ref: Ref) => this.#cache.get(ref, "tensors", async () => decodeTensors(await values.get(ref)));
    const inputs = Promise.all([
      this.#cache.get(refs.setup, "json", async () => decodeJson(await values.get(refs.setup))),
      tensors(refs.data),
      tensors(refs.model),
      tensors(refs.carried),
    ]);
    inputs.catch(() => {}); // of a run that has ended they may be gone
    if ((await lives) === 0) return { abandoned: true };
    const [setup, data, model, carried] = await inputs;
    const shard: ShardJob = { task, setup, data, model, carried, plan };
    const result = await this.#pool.runOne(shard);
    const bytes = [packResult(result), result.carried].map(encodeTensors);
    const [own, next] = bytes.map(refOf) as [Ref, Ref];
    try {
      await Promise.all([values.put(own, bytes[0]!), values.put(next, bytes[1]!)]);
    } catch (error) {
      throw fullOr(error);
    }
    this.#cache.set(next, "tensors", Promise.resolve(result.carried)); // likely its next job's
    return { worker: id, values: own, carried: next };
  }
}
