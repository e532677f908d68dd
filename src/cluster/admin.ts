// What is on the server of a queue, and its removal.

import { checkFlag, checkOptions } from "../base/check.js";
import { Connection } from "./connection.js";
import { keysOf, runsOf, workersOf } from "./registry.js";
import type { QueueOptions, QueueStatus } from "./types.js";

/** Names of `QueueOptions`. */
const NAMES = ["queue", "prefix", "timeout", "timeToLive"];

/** Runs `work` with a connection of its own. */
async function connected<T>(options: QueueOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.open(options);
  try {
    return await connection.guard(work(connection));
  } finally {
    connection.close();
  }
}

/**
 * What is on the server of a queue.
 *
 * @param options the queue
 * @throws ClusterError, ValueError
 */
export async function queueStatus(options: QueueOptions): Promise<QueueStatus> {
  return connected(checkOptions("queueStatus", options, NAMES), async (connection) => {
    const { redis, bullmq, prefix, shared } = connection;
    const [workers, runs] = await Promise.all([workersOf(connection), runsOf(connection)]);
    const queues = [];
    for (const key of await keysOf(connection, "queue:*:meta")) {
      const name = key.slice(`${prefix}:queue:`.length, -":meta".length);
      const queue = new bullmq.Queue(name, shared);
      const counts = await queue.getJobCounts("waiting", "delayed", "active", "completed", "failed");
      await queue.close();
      const { waiting = 0, delayed = 0, active = 0, completed = 0, failed = 0 } = counts;
      queues.push({ name, waiting: waiting + delayed, active, completed, failed });
    }
    const keys = await keysOf(connection, "value:*");
    const sizes = await Promise.all(keys.map((value) => redis.strlen(value)));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    return { workers, runs, queues, values: { count: keys.length, bytes } };
  });
}

/**
 * Removes what runs that have ended, in whatever way, have left on the server; with `all`, everything, of living runs too.
 *
 * @param options the queue
 * @param options.all whether living runs lose everything, too (default: false)
 * @returns how many keys were removed
 * @throws ClusterError, ValueError
 */
export async function cleanQueue(options: QueueOptions & { all?: boolean | undefined }): Promise<number> {
  const { all = false, ...queue } = checkOptions("cleanQueue", options, [...NAMES, "all"]);
  checkFlag("all", all);
  return connected(queue, async (connection) => {
    const { redis, prefix } = connection;
    const living = all ? [] : (await runsOf(connection)).map(({ id }) => id);
    const keep = (key: string) => {
      if (living.some((id) => key.startsWith(`${prefix}:value:${id}:`))) return true;
      if (living.length > 0 && key.startsWith(`${prefix}:queue:`)) {
        // jobs of the living, and what their queue is made of
        const id = /:([0-9a-f]{16})-\d+(:lock)?$/.exec(key)?.[1];
        return id === undefined || living.includes(id);
      }
      return false;
    };
    const kinds = all ? ["value:*", "queue:*", "run:*"] : ["value:*", "queue:*"];
    let removed = 0;
    for (const kind of kinds) {
      const keys = (await keysOf(connection, kind)).filter((key) => !keep(key));
      if (keys.length > 0) removed += await redis.unlink(keys);
    }
    return removed;
  });
}
