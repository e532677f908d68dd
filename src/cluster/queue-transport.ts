// Shards as jobs of a queue, for workers anywhere: the side of the run. Whatever happens to workers and to the server, a job is
// handed out until its result is there; a result depends on the job alone.

import type { Job, Queue, QueueEvents } from "bullmq";
import { Random } from "../base/random.js";
import { shardSeed, type ShardJob, type ShardResult, type Transport } from "../train/shards.js";
import { ALIVE, Connection, GONE, randomId } from "./connection.js";
import { ClusterError } from "./errors.js";
import {
  queueName,
  readResult,
  sameBuild,
  showBuild,
  unpackResult,
  type QueuedJob,
  type QueuedResult,
} from "./protocol.js";
import { workersOf } from "./registry.js";
import type { Build, QueueOptions } from "./types.js";
import { decodeTensors, encodeJson, encodeTensors, fullOr, MissingValue, refOf, Values, type Ref } from "./values.js";

/** Options of a transport by a queue. */
export interface QueueTransportOptions extends QueueOptions {
  /** The name of the task. */
  task: string;
  build: Build;
  /** The share of shards that two workers compute, in [0, 1]. */
  verify: number;
  /** Memory in bytes that a value may take. */
  maxMemory: number;
  /** Is told, in one line, what the run waits for. */
  onNote: (note: string) => void;
}

/** Milliseconds between two looks at a job of which nothing is heard. */
const LOOK = 1000;
/** Milliseconds until a run says what it waits for. */
const PATIENCE = 5000;
/** How often a job is handed out again because the server had lost its values or the job itself. */
const MOST = 100;

/** How a job ended. */
type Ending = { readonly value: unknown } | { readonly reason: string } | "lost";

export class QueueTransport implements Transport {
  readonly #connection: Connection;
  readonly #options: QueueTransportOptions;
  readonly #queue: Queue;
  readonly #events: QueueEvents;
  readonly #values: Values;
  readonly #run = randomId();
  readonly #alive: NodeJS.Timeout;
  /** Values by the tensors or the setup that they hold. */
  readonly #refs = new WeakMap<object, Ref>();
  /** On the server, by hash, and when that was last so. */
  readonly #stored = new Map<string, { readonly ref: Ref; readonly at: number }>();
  /** On the way to the server, by hash. */
  readonly #sending = new Map<string, Promise<void>>();
  /** Jobs and values that are to be removed as soon as workers have the next jobs. */
  readonly #litter: { jobs: string[]; refs: Ref[] } = { jobs: [], refs: [] };
  readonly #waiting = new Map<string, (ending: Ending) => void>();
  #jobs = 0;
  #noted = "";
  #closed = false;

  private constructor(connection: Connection, options: QueueTransportOptions) {
    const { Queue, QueueEvents } = connection.bullmq;
    this.#connection = connection;
    this.#options = options;
    const name = queueName(options.task, options.build);
    this.#queue = new Queue(name, { ...connection.shared, streams: { events: { maxLen: 1000 } } });
    this.#events = new QueueEvents(name, { ...connection.shared });
    this.#values = new Values(connection, this.#run, options.maxMemory);
    this.#queue.on("error", () => {}); // the connection counts how long it is down
    this.#events.on("error", () => {});
    this.#events.on("completed", ({ jobId, returnvalue }) => this.#end(jobId, { value: returnvalue }));
    this.#events.on("failed", ({ jobId, failedReason }) => this.#end(jobId, { reason: failedReason }));
    this.#alive = setInterval(() => void this.#sign().catch(() => {}), ALIVE);
    this.#alive.unref();
  }

  /** @throws ClusterError, ValueError */
  static async open(options: QueueTransportOptions): Promise<QueueTransport> {
    const connection = await Connection.open(options);
    const transport = new QueueTransport(connection, options);
    await connection.guard(Promise.all([transport.#events.waitUntilReady(), transport.#sign()]));
    return transport;
  }

  /** Bytes that went to the server and came from there. */
  get traffic(): Readonly<{ sent: number; received: number }> {
    return this.#values.traffic;
  }

  /** Says that the run is alive: workers drop the jobs of one that is not. */
  async #sign(): Promise<void> {
    const { redis, prefix } = this.#connection;
    const { task, build } = this.#options;
    await redis.set(`${prefix}:run:${this.#run}`, JSON.stringify({ task, build }), "PX", GONE);
  }

  #end(id: string, ending: Ending): void {
    this.#waiting.get(id)?.(ending);
  }

  async run(jobs: readonly ShardJob[]): Promise<readonly ShardResult[]> {
    const results = await this.#connection.guard(Promise.all(jobs.map((job) => this.#compute(job))));
    // what the next round does not need: its carried values are those of these results
    const used = jobs.flatMap((job) => [this.#refs.get(job.model), this.#refs.get(job.carried)]);
    this.#forget(
      used.filter((ref) => ref !== undefined),
      new Set(results.map(({ carried }) => this.#refs.get(carried)?.hash)),
    );
    return results;
  }

  /** Hands out a job, and again to another worker where it is to be verified. */
  async #compute(job: ShardJob): Promise<ShardResult> {
    const { result, values, carried } = await this.#ask(job, undefined, async (result) => {
      const [values, carried] = await Promise.all([this.#values.get(result.values), this.#values.get(result.carried)]);
      return { result, values, carried };
    });
    if (this.#isVerified(job)) {
      const second = await this.#ask(job, result.worker, (result) => Promise.resolve(result));
      if (result.values.hash !== second.values.hash || result.carried.hash !== second.carried.hash) {
        const what = `shard ${job.plan.shard} of step ${job.plan.step + 1}`;
        const who = `workers ${result.worker} and ${second.worker}`;
        throw new ClusterError("differ", `${what} has other bits on ${who}: one of them computes wrongly`);
      }
    }
    const state = decodeTensors(carried);
    this.#refs.set(state, result.carried);
    this.#forget([result.values]);
    return unpackResult(decodeTensors(values), state);
  }

  #isVerified({ plan }: ShardJob): boolean {
    const { verify } = this.#options;
    return verify > 0 && new Random(shardSeed(plan.seed + 1, plan.step, plan.shard)).uniform() < verify;
  }

  /**
   * What `use` makes of the answer to a job; `not` is a worker that may not give it. The job is handed out again where `use`
   * finds that the server has lost a value of the answer.
   */
  async #ask<T>(job: ShardJob, not: string | undefined, use: (result: QueuedResult) => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < MOST; attempt++) {
      const again = attempt > 0; // the server may have lost values
      const stored = await Promise.all([
        this.#store(job.setup as object, () => encodeJson(job.setup), again),
        ...[job.data, job.model, job.carried].map((own) => this.#store(own, () => encodeTensors(own), again)),
      ]);
      const [setup, data, model, carried] = stored.map(({ ref }) => ref) as [Ref, Ref, Ref, Ref];
      const payload: QueuedJob = { run: this.#run, build: this.#options.build, setup, data, model, carried, plan: job.plan, ...(not !== undefined && { not }) }; // prettier-ignore
      const ending = await this.#handOut(payload, Promise.all(stored.map(({ sent }) => sent)));
      if (ending === "lost") continue;
      if ("value" in ending) {
        const result = readResult(ending.value);
        if (result === "abandoned") {
          await this.#sign(); // the server has forgotten that the run is alive
          continue;
        }
        for (const ref of [result.values, result.carried]) this.#keep(ref);
        try {
          return await use(result);
        } catch (error) {
          if (error instanceof MissingValue) continue;
          throw error;
        }
      }
      if (!ending.reason.startsWith("missing ")) throw this.#failure(job, ending.reason);
    }
    throw this.#failure(job, "the server loses values before they are read: does it evict keys (maxmemory-policy)?");
  }

  #failure({ plan }: ShardJob, reason: string): Error {
    const full = fullOr(new Error(reason));
    if (full instanceof ClusterError) return full;
    return new ClusterError("shard", `shard ${plan.shard} of step ${plan.step + 1}: ${reason}`);
  }

  /**
   * Sends a value, unless the server has it.
   *
   * @param again whether to ask the server, of a value that it should have; else it is asked from time to time
   * @returns the value's name, and its way to the server: what is sent after it comes after it
   */
  async #store(object: object, encode: () => Uint8Array, again: boolean): Promise<{ ref: Ref; sent: Promise<void> }> {
    const known = this.#refs.get(object);
    if (known) {
      const sending = this.#sending.get(known.hash);
      if (sending) return { ref: known, sent: sending };
      const stored = this.#stored.get(known.hash);
      const fresh = stored !== undefined && Date.now() - stored.at < this.#connection.timeToLive / 4;
      if ((fresh && !again) || (await this.#values.touch(known))) {
        if (!fresh || again) this.#keep(known);
        return { ref: known, sent: Promise.resolve() };
      }
    }
    const bytes = encode();
    const ref = known ?? refOf(bytes);
    this.#refs.set(object, ref);
    let sent = this.#sending.get(ref.hash);
    if (!sent) {
      sent = this.#values
        .put(ref, bytes)
        .then(() => this.#keep(ref))
        .finally(() => this.#sending.delete(ref.hash));
      sent.catch(() => {}); // whoever has asked for it reports it
      this.#sending.set(ref.hash, sent);
    }
    return { ref, sent };
  }

  #keep(ref: Ref): void {
    this.#stored.set(ref.hash, { ref, at: Date.now() });
  }

  /**
   * Puts a job into the queue, and waits for its end: by events, and by looking, since events can be lost.
   *
   * @param sent the job's values, on their way to the server before it
   */
  async #handOut(payload: QueuedJob, sent: Promise<unknown>): Promise<Ending> {
    const id = `${this.#run}-${this.#jobs++}`;
    const keep = { age: this.#connection.timeToLive / 1000 };
    const ended = new Promise<Ending>((resolve) => this.#waiting.set(id, resolve));
    let looking = true;
    const watch = async (): Promise<Ending> => {
      for (let waited = LOOK; looking; waited += LOOK) {
        await new Promise((resolve) => setTimeout(resolve, LOOK));
        if (!looking || this.#closed) break;
        const ending = await this.#look(id).catch(() => undefined);
        if (ending) return ending;
        if (waited % PATIENCE === 0) await this.#noteWorkers(payload.not).catch(() => {});
      }
      return ended;
    };
    try {
      const added = this.#queue.add("shard", payload, { jobId: id, removeOnComplete: keep, removeOnFail: keep });
      await Promise.all([sent, added]).catch((error: unknown) => {
        throw fullOr(error);
      });
      this.#sweep();
      return await Promise.race([ended, watch()]);
    } finally {
      looking = false;
      this.#waiting.delete(id);
      this.#litter.jobs.push(id);
    }
  }

  /** How a job has ended; undefined while it has not. */
  async #look(id: string): Promise<Ending | undefined> {
    const job = (await this.#queue.getJob(id)) as Job | undefined;
    if (!job) return "lost";
    if (job.finishedOn === undefined) return undefined;
    return job.failedReason ? { reason: job.failedReason } : { value: job.returnvalue };
  }

  /** Says so where no worker can take the jobs. */
  async #noteWorkers(not: string | undefined): Promise<void> {
    const { task, build, onNote } = this.#options;
    const all = await workersOf(this.#connection);
    const able = all.filter(
      (worker) => sameBuild(worker.build, build) && worker.tasks.includes(task) && worker.id !== not,
    );
    const others = all
      .filter((worker) => !sameBuild(worker.build, build))
      .map(({ name, build }) => `${name}: ${showBuild(build)}`);
    const what = not === undefined ? "a worker" : "a second worker, to verify a shard";
    const but = others.length > 0 ? `; there are workers of another build (${others.slice(0, 5).join(", ")})` : "";
    const note =
      able.length > 0 ? "" : `waiting for ${what} with the task ${task} and the build ${showBuild(build)}${but}`;
    if (note !== "" && note !== this.#noted) onNote(note);
    this.#noted = note;
  }

  /** Has values removed from the server, after the next jobs are there. */
  #forget(refs: readonly Ref[], except: ReadonlySet<string | undefined> = new Set()): void {
    this.#litter.refs.push(...refs.filter(({ hash }) => !except.has(hash) && this.#stored.delete(hash)));
  }

  /** Removes jobs that have ended and values that nobody needs, without waiting for it. */
  #sweep(): void {
    const { jobs, refs } = this.#litter;
    // it may be that a second worker still computes a job
    for (const id of jobs.splice(0)) void this.#queue.remove(id).catch(() => {});
    const gone = refs.splice(0).filter(({ hash }) => !this.#stored.has(hash) && !this.#sending.has(hash));
    void this.#values.remove(gone).catch(() => {});
  }

  /** Removes what the run has left on the server, and disconnects. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#alive);
    const { redis, prefix } = this.#connection;
    const clean = async () => {
      await redis.del(`${prefix}:run:${this.#run}`);
      const jobs = [...this.#waiting.keys(), ...this.#litter.jobs];
      await Promise.all(jobs.map((id) => this.#queue.remove(id).catch(() => 0)));
      await this.#values.remove([...this.#litter.refs, ...[...this.#stored.values()].map(({ ref }) => ref)]);
    };
    // a server that has gone does not hold up the end
    const late = new Promise((resolve) => setTimeout(resolve, 2000).unref());
    await Promise.race([clean().catch(() => {}), late]);
    await Promise.race([Promise.all([this.#events.close(), this.#queue.close()]).catch(() => {}), late]);
    this.#connection.close();
  }
}
