// Shards in worker threads of this machine.

import { parentPort, Worker, workerData } from "node:worker_threads";
import { buildInfo, configure } from "../../bindings/instantiate.js";
import { ValueError } from "../../bindings/errors.js";
import { startThreads } from "../../bindings/threads.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkFunction, checkOptions } from "../base/check.js";
import type { Tensors } from "../train/records.js";
import { charLMTask, checkTaskName } from "../train/shard-tasks.js";
import {
  MAX_MEMORY,
  ShardRunner,
  type ShardJob,
  type ShardResult,
  type ShardTask,
  type Transport,
} from "../train/shards.js";
import { ClusterError, messageOf, readUrls } from "./errors.js";

/** Options of `threads`. */
export interface ThreadsOptions {
  /** How many workers, each a thread that computes one shard at a time. */
  workers: number;
  /** How many threads compute a shard together in each worker, as by `startThreads` (default 1): they change no bit. */
  threads?: number | undefined;
  /** URLs of modules that export tasks, beside the task "charlm"; each thread imports them. */
  tasks?: readonly (string | URL)[] | undefined;
  /** The build of the threads (default: the one that is selected here). */
  variant?: "simd" | "relaxed" | undefined;
  /** Memory in bytes that a thread's model may take (default 4 GiB). */
  maxMemory?: number | undefined;
  /**
   * Is told in one line where a worker computes with one thread, since others did not start.
   *
   * @param note the line
   */
  onNote?: ((note: string) => void) | undefined;
}

/** What a thread is started with. */
interface ThreadData {
  readonly url: string;
  readonly tasks: readonly string[];
  readonly variant: "simd" | "relaxed";
  readonly threads: number;
  readonly maxMemory: number;
}

/** A job as it is sent: tensors that the thread knows already are named by a number alone. */
interface Message {
  readonly job: Omit<ShardJob, "data" | "model"> & { readonly data?: Tensors; readonly model?: Tensors };
  readonly dataId: number;
  readonly modelId: number;
  readonly forget: readonly number[];
}

type Reply = { readonly result: ShardResult } | { readonly error: unknown };

/** What a thread says beside replies. */
interface Note {
  readonly note: string;
}

/** Tensors that a thread keeps for later jobs. */
const KEPT = 32;

/** Imports the copy of this package that modules with tasks import: its objects are for each other. */
const CODE = `
const { workerData } = require("node:worker_threads");
const path = require("node:module").createRequire(workerData.url).resolve("wasm-rnn/cluster");
import(require("node:url").pathToFileURL(path).href).then((cluster) => cluster.serveThread());`;

/** More workers or threads than any machine has cores. */
const MOST = 256;

export function checkWorkers(argument: string, count: unknown): void {
  if (Number.isInteger(count) && (count as number) >= 1 && (count as number) <= MOST) return;
  throw new ValueError(argument, describe(count), `an integer from 1 to ${MOST}`);
}

/** A thread, which computes one job at a time. */
class Thread {
  readonly #worker: Worker;
  /** What it keeps, the latest last. */
  readonly #known = new Set<number>();
  #done: ((reply: Reply) => void) | undefined;
  ended = false;

  constructor(data: ThreadData, onNote: (note: string) => void) {
    // without this process's options: --input-type=module would make the code a module
    this.#worker = new Worker(CODE, { eval: true, workerData: data, execArgv: [] });
    const end = (reason: string) => {
      this.ended = true;
      this.#done?.({ error: new ClusterError("shard", `a worker thread ended: ${reason}`) });
    };
    this.#worker.on("message", (said: Reply | Note) => ("note" in said ? onNote(said.note) : this.#done?.(said)));
    this.#worker.on("error", (error) => end(messageOf(error)));
    this.#worker.on("exit", (code) => end(`exit code ${code}`));
    this.#worker.unref();
  }

  async run(job: ShardJob, idOf: (tensors: Tensors) => number): Promise<ShardResult> {
    const [dataId, modelId] = [idOf(job.data), idOf(job.model)];
    const { data, model, ...rest } = job;
    const message: Message = {
      job: { ...rest, ...(!this.#known.has(dataId) && { data }), ...(!this.#known.has(modelId) && { model }) },
      dataId,
      modelId,
      forget: this.#keep(modelId, dataId),
    };
    this.#worker.ref();
    const reply = await new Promise<Reply>((resolve) => {
      this.#done = resolve;
      if (this.ended) resolve({ error: new ClusterError("shard", "a worker thread has ended") });
      else this.#worker.postMessage(message);
    });
    this.#done = undefined;
    this.#worker.unref();
    if ("error" in reply) throw reply.error;
    return reply.result;
  }

  #keep(...ids: number[]): number[] {
    for (const id of ids) {
      this.#known.delete(id);
      this.#known.add(id);
    }
    const forget = [...this.#known].slice(0, Math.max(0, this.#known.size - KEPT));
    for (const id of forget) this.#known.delete(id);
    return forget;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Worker threads that compute shards: a transport, and the hands of a worker of a queue. */
export class Threads implements Transport {
  readonly #data: ThreadData;
  readonly #onNote: (note: string) => void;
  readonly #free: Thread[] = [];
  readonly #all = new Set<Thread>();
  readonly #waiting: ((thread: Thread) => void)[] = [];
  readonly #ids = new WeakMap<Tensors, number>();
  /** By tensors, the same in memory that all threads see: data of shards and models of rounds are not copied for each. */
  readonly #shared = new WeakMap<Tensors, Tensors>();
  #next = 0;

  /** @throws ValueError */
  constructor(options: ThreadsOptions) {
    const names = ["workers", "threads", "tasks", "variant", "maxMemory", "onNote"];
    const given = checkOptions("threads", options, names);
    const { workers, threads = 1, variant = buildInfo().variant, maxMemory = MAX_MEMORY, onNote = () => {} } = given;
    checkWorkers("workers", workers);
    checkWorkers("threads", threads);
    checkCount("maxMemory", maxMemory, 1);
    checkFunction("onNote", onNote);
    if (variant !== "simd" && variant !== "relaxed") {
      throw new ValueError("variant", describe(variant), '"simd" or "relaxed"');
    }
    this.#onNote = onNote;
    this.#data = { url: import.meta.url, tasks: readUrls(given.tasks ?? []), variant, threads, maxMemory };
    for (let i = 0; i < workers; i++) this.#free.push(this.#start());
  }

  #start(): Thread {
    const thread = new Thread(this.#data, this.#onNote);
    this.#all.add(thread);
    return thread;
  }

  run(jobs: readonly ShardJob[]): Promise<readonly ShardResult[]> {
    return Promise.all(jobs.map((job) => this.runOne(job)));
  }

  /** Computes a job as soon as a thread is free. A thread that ends is replaced. */
  async runOne(job: ShardJob): Promise<ShardResult> {
    const thread = this.#free.pop() ?? (await new Promise<Thread>((resolve) => this.#waiting.push(resolve)));
    try {
      const seen = { ...job, data: this.#share(job.data), model: this.#share(job.model) };
      return await thread.run(seen, (tensors) => this.#idOf(tensors));
    } finally {
      let next = thread;
      if (thread.ended) {
        this.#all.delete(thread);
        next = this.#start();
      }
      const waiting = this.#waiting.shift();
      if (waiting) waiting(next);
      else this.#free.push(next);
    }
  }

  #share(tensors: Tensors): Tensors {
    let shared = this.#shared.get(tensors);
    if (!shared) this.#shared.set(tensors, (shared = inSharedMemory(tensors)));
    return shared;
  }

  #idOf(tensors: Tensors): number {
    let id = this.#ids.get(tensors);
    if (id === undefined) this.#ids.set(tensors, (id = this.#next++));
    return id;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((thread) => thread.close()));
  }
}

/** A copy of tensors in one piece of memory that threads see without copies of their own. */
function inSharedMemory(tensors: Tensors): Tensors {
  const aligned = (bytes: number) => Math.ceil(bytes / 8) * 8;
  const size = Object.values(tensors).reduce((sum, { data }) => sum + aligned(data.byteLength), 0);
  const memory = new SharedArrayBuffer(size);
  const copies = Object.create(null) as Record<string, Tensor>;
  let start = 0;
  for (const [name, { data, shape }] of Object.entries(tensors)) {
    const copy = new (data.constructor as typeof Float64Array)(memory, start, data.length);
    copy.set(data);
    copies[name] = { data: copy, shape };
    start += aligned(data.byteLength);
  }
  return copies;
}

/** The memory of a result's values that belongs to them alone: it changes threads without a copy. */
function ownMemory({ values }: ShardResult): ArrayBuffer[] {
  const own = Object.values(values).filter(({ data }) => data.byteLength === data.buffer.byteLength);
  return [...new Set(own.map(({ data }) => data.buffer as ArrayBuffer))];
}

/**
 * Shards in worker threads of this machine, for `ShardedTraining` and `Cluster`.
 *
 * @param options how many, and their tasks
 * @throws ValueError
 */
export function threads(options: ThreadsOptions): Transport {
  return new Threads(options);
}

/** The tasks that modules export, and "charlm". */
export async function loadTasks(urls: readonly (string | URL)[]): Promise<ShardTask[]> {
  const tasks = new Map<string, ShardTask>([[charLMTask.name, charLMTask]]);
  for (const url of urls) {
    let module: Record<string, unknown>;
    try {
      module = (await import(/* webpackIgnore: true */ String(url))) as Record<string, unknown>;
    } catch (error) {
      throw new ValueError("tasks", String(url), `a module that can be imported (${messageOf(error)})`);
    }
    const exported = Object.values(module).flat();
    const found = exported.filter((each): each is ShardTask => typeof (each as ShardTask | null)?.open === "function");
    if (found.length === 0) throw new ValueError("tasks", String(url), "a module that exports tasks");
    for (const task of found) {
      checkTaskName(task.name);
      if ((tasks.get(task.name) ?? task) !== task)
        throw new ValueError("tasks", `${task.name} twice`, "different names");
      tasks.set(task.name, task);
    }
  }
  return [...tasks.values()];
}

/**
 * Serves the jobs of the thread that started this one.
 *
 * @internal
 */
export async function serveThread(): Promise<void> {
  if (!parentPort) throw new ValueError("serveThread", describe(parentPort), "a worker thread");
  const { tasks: urls, variant, threads, maxMemory } = workerData as ThreadData;
  const port = parentPort;
  const kept = new Map<number, Tensors>();
  configure({ variant });
  const started = startThreads(threads).catch((error: unknown) => {
    port.postMessage({ note: `a worker computes with one thread: ${messageOf(error)}` });
  });
  const ready = started.then(() => loadTasks(urls)).then((tasks) => new ShardRunner(tasks, maxMemory));
  ready.catch(() => {}); // each job reports it
  port.on("message", ({ job, dataId, modelId, forget }: Message) => {
    if (job.data) kept.set(dataId, job.data);
    if (job.model) kept.set(modelId, job.model);
    const whole: ShardJob = { ...job, data: kept.get(dataId)!, model: kept.get(modelId)! };
    for (const id of forget) kept.delete(id);
    ready
      .then((runner) => {
        const result = runner.run(whole);
        port.postMessage({ result }, ownMemory(result));
      })
      .catch((error: unknown) => port.postMessage({ error: new Error(messageOf(error)) }));
  });
  await ready.catch(() => {});
}
