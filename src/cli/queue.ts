// What shards of a training are computed by: threads of this machine, or workers on a queue. And the commands worker and queue.

import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InProcess, type Transport } from "../train/shards.js";
import { charLMTask } from "../train/shard-tasks.js";
import { chooseBuild, type Build, type Variant } from "./build.js";
import { CliError, messageOf, usageError } from "./errors.js";
import { escapeControls, safeJson } from "./escape.js";
import { loadCluster, loadIndex } from "./library.js";
import { print } from "./output.js";
import { count } from "./progress.js";

/** The options of every command that uses a queue. */
export interface QueueFlags {
  /** The URL; true: that of the environment. */
  url: string | true;
  prefix?: string | undefined;
  timeout?: number | undefined;
  /** The share of shards that are computed twice. */
  verify?: number | undefined;
}

/** The environment variable of the URL, which may have a password. */
export const QUEUE_VARIABLE = "WASM_RNN_QUEUE";

/** The library's options of a queue. */
function queueOptions({ url, prefix, timeout }: QueueFlags) {
  const queue = url === true ? process.env[QUEUE_VARIABLE] : url;
  if (!queue) throw usageError(`name a queue: --queue redis://host:6379, or set ${QUEUE_VARIABLE}`);
  return { queue, prefix, timeout };
}

/** Runs `work`; errors of the queue become the command's. A queue that cannot be used is wrong usage. */
export async function withQueueErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { name, code, argument } = error as { name?: unknown; code?: unknown; argument?: unknown };
    if (name === "ClusterError") {
      throw new CliError(messageOf(error), code === "unreachable" || code === "missing" ? 2 : 1);
    }
    if (argument === "queue" || argument === "prefix" || argument === "tasks") throw usageError(messageOf(error));
    throw error;
  }
}

/** Writes a line about the queue to stderr. */
export function note(line: string): void {
  process.stderr.write(`wasm-rnn: ${escapeControls(line)}\n`);
}

/** Options that say who computes shards. */
export interface Computers {
  workers?: number | undefined;
  threads?: number | undefined;
  queue?: QueueFlags | undefined;
}

/** Refuses options of this machine's workers where those of a queue compute. */
export function checkComputers({ workers, threads, queue }: Computers): void {
  if (!queue) return;
  const refuse = (option: string) => usageError(`${option} is for workers of this machine: not with --queue`);
  if (workers !== undefined) throw refuse("--workers");
  if (threads !== undefined) throw refuse("--threads");
}

/** How many workers compute shards: 1 for this thread, 0 for those of a queue. */
export function workersFor({ workers, queue }: Computers, shards: number): number {
  return queue ? 0 : (workers ?? Math.min(shards, availableParallelism()));
}

/** Where the shards of a training are computed: on the queue, or by so many workers of so many threads. */
export async function openTransport(
  queue: QueueFlags | undefined,
  build: Build,
  workers: number,
  threads: number,
): Promise<Transport> {
  if (queue) {
    const options = queueOptions(queue);
    const transport = await withQueueErrors(async () => {
      const { Cluster } = await clusterOf(build.variant);
      const { verify } = queue;
      return new Cluster({ ...options, verify, onNote: note }).connect(charLMTask.name);
    });
    return { run: (jobs) => withQueueErrors(() => transport.run(jobs)), close: () => transport.close() };
  }
  if (workers === 1) return new InProcess([charLMTask]);
  const cluster = await clusterOf(build.variant);
  return cluster.threads({ workers, threads, variant: build.variant, onNote: note });
}

/** The library's own copy, which computes by the same build. */
async function clusterOf(variant: Variant) {
  const [{ configure }, cluster] = await Promise.all([loadIndex(), loadCluster()]);
  configure({ variant });
  return cluster;
}

export interface WorkerCommandOptions extends QueueFlags {
  threads?: number | undefined;
  name?: string | undefined;
  /** Files of modules with tasks. */
  tasks: readonly string[];
  /** Megabytes. */
  maxMemory?: number | undefined;
  lock?: number | undefined;
  variant?: Variant | undefined;
}

/** Runs `wasm-rnn worker` until a signal ends it. Returns the exit code. */
export async function worker(options: WorkerCommandOptions): Promise<number> {
  const { threads, name, tasks, maxMemory, lock, variant = "auto" } = options;
  const queue = queueOptions(options);
  const build = chooseBuild(variant);
  const { runWorker } = await clusterOf(build.variant);
  const ending = new AbortController();
  const end = () => {
    if (ending.signal.aborted) process.exit(130);
    note("ending after the jobs that it has; a second signal ends at once");
    ending.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
  await withQueueErrors(async () => {
    const done = runWorker({
      ...queue,
      threads,
      name,
      tasks: tasks.map((file) => pathToFileURL(resolve(file))),
      maxMemory: maxMemory === undefined ? undefined : maxMemory * 1e6,
      lock,
      signal: ending.signal,
      onNote: note,
    });
    print(
      `worker ${name ?? ""} with the ${build.variant} build of ${build.version}: Ctrl-C ends it\n`.replace("  ", " "),
    );
    await done;
  });
  return 0;
}

/** Runs `wasm-rnn queue status`. Returns the exit code. */
export async function status(options: QueueFlags, json: boolean): Promise<number> {
  const queue = queueOptions(options);
  const found = await withQueueErrors(async () => (await loadCluster()).queueStatus(queue));
  if (json) {
    print(`${safeJson(found)}\n`);
    return 0;
  }
  const { workers, runs, queues, values } = found;
  const line = (text: string) => print(`${escapeControls(text)}\n`);
  const showBuild = ({ variant, version, hash }: Build) => `${variant} of ${version} (${hash.slice(0, 8)})`;
  line(`workers: ${workers.length}`);
  for (const { id, build, tasks, threads } of workers) {
    line(`    ${id}: ${threads} threads, ${showBuild(build)}, tasks ${tasks.join(", ")}`);
  }
  line(`runs: ${runs.length}`);
  for (const { id, task, build } of runs) line(`    ${id}: ${task}, ${showBuild(build)}`);
  for (const { name, waiting, active, completed, failed } of queues) {
    line(`jobs of ${name}: ${waiting} waiting, ${active} active, ${completed} completed, ${failed} failed`);
  }
  line(`values: ${count(values.count)}, ${(values.bytes / 1e6).toFixed(1)} MB`);
  return 0;
}

/** Runs `wasm-rnn queue clean`. Returns the exit code. */
export async function clean(options: QueueFlags, all: boolean): Promise<number> {
  const queue = queueOptions(options);
  const removed = await withQueueErrors(async () => (await loadCluster()).cleanQueue({ ...queue, all }));
  print(`${count(removed)} keys removed\n`);
  return 0;
}
