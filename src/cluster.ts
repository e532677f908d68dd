/**
 * Training on more than one core and more than one machine: batches cut into shards, which threads of this machine or workers on a
 * queue compute. A result depends on the job alone: neither the number of workers nor their ends change a bit. For Node; a queue needs
 * the packages bullmq and ioredis.
 *
 * @module wasm-rnn/cluster
 */

export {
  Cluster,
  trainShards,
  type LearningRateOf,
  type ClusterOptions,
  type ShardedPosition,
  type ShardedProgress,
  type ShardedTrainingOptions,
} from "./cluster/cluster.js";
export { runWorker, type WorkerOptions } from "./cluster/worker.js";
export { serveThread, threads, type ThreadsOptions } from "./cluster/threads.js";
export { cleanQueue, queueStatus } from "./cluster/admin.js";
export type { Build, QueueOptions, QueueStatus, RunStatus, WorkerStatus } from "./cluster/types.js";
export { ClusterError, type ClusterErrorCode } from "./cluster/errors.js";
export {
  charLMTask,
  modelTask,
  shardBatches,
  type ModelTaskOptions,
  type ShardInfo,
  type ShardedModel,
} from "./train/shard-tasks.js";
export {
  InProcess,
  type Json,
  type ShardJob,
  type ShardModel,
  type ShardOptimizer,
  type ShardPass,
  type ShardPlan,
  type ShardResult,
  type ShardTask,
  type Transport,
} from "./train/shards.js";
export type { Tensors } from "./train/records.js";
