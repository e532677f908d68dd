// Signs of life: workers and runs, each under a key that the server drops where it is not renewed.

import { isRecord } from "../formats/json.js";
import type { Connection } from "./connection.js";
import { readBuild } from "./protocol.js";
import type { Build, RunStatus, WorkerStatus } from "./types.js";

/** The keys that match a pattern. */
export async function keysOf({ redis, prefix }: Connection, pattern: string): Promise<string[]> {
  const keys = new Set<string>();
  let cursor = "0";
  do {
    const [next, found] = await redis.scan(cursor, "MATCH", `${prefix}:${pattern}`, "COUNT", 1000);
    for (const key of found) keys.add(key);
    cursor = next;
  } while (cursor !== "0");
  return [...keys].sort();
}

/** The records under the keys that match a pattern, each with the last part of its key. Others are left out. */
async function recordsOf(
  connection: Connection,
  pattern: string,
): Promise<[id: string, Readonly<Record<string, unknown>>][]> {
  const keys = await keysOf(connection, pattern);
  const texts = keys.length > 0 ? await connection.redis.mget(keys) : [];
  return keys.flatMap((key, i): [string, Readonly<Record<string, unknown>>][] => {
    try {
      const record: unknown = JSON.parse(texts[i] ?? "null");
      return isRecord(record)
        ? [[key.slice(key.lastIndexOf(":") + 1), { ...record, build: readBuild(record.build) }]]
        : [];
    } catch {
      return [];
    }
  });
}

export async function workersOf(connection: Connection): Promise<WorkerStatus[]> {
  const records = await recordsOf(connection, "worker:*");
  return records.map(([id, { name, build, tasks, threads }]) => ({
    id,
    name: String(name).slice(0, 100),
    build: build as Build,
    tasks: Array.isArray(tasks) ? tasks.map(String) : [],
    threads: Number(threads),
  }));
}

export async function runsOf(connection: Connection): Promise<RunStatus[]> {
  const records = await recordsOf(connection, "run:*");
  return records.map(([id, { task, build }]) => ({ id, task: String(task).slice(0, 100), build: build as Build }));
}
