// The connection to a Redis-compatible server, and the packages that speak to it.

import { randomBytes } from "node:crypto";
import type * as bullmqTypes from "bullmq";
import type { Redis } from "ioredis";
import { ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { checkNumber } from "../base/check.js";
import { ClusterError, messageOf } from "./errors.js";
import type { QueueOptions } from "./types.js";

type Bullmq = typeof bullmqTypes;

/** Milliseconds between two signs of life of a run or a worker, and after how many it counts as gone. */
export const ALIVE = 5_000;
export const GONE = 20_000;

/** An open connection. */
export class Connection {
  readonly redis: Redis;
  readonly bullmq: Bullmq;
  readonly prefix: string;
  /** Milliseconds. */
  readonly timeToLive: number;
  /** Rejects where the server has been unreachable for too long. */
  readonly lost: Promise<never>;
  readonly #watch: NodeJS.Timeout;

  private constructor(redis: Redis, bullmq: Bullmq, options: Required<QueueOptions>) {
    this.redis = redis;
    this.bullmq = bullmq;
    this.prefix = options.prefix;
    this.timeToLive = Math.ceil(options.timeToLive * 1000);
    let down: number | undefined;
    let last = "the connection was closed";
    let lose!: (error: Error) => void;
    this.lost = new Promise((_, reject) => (lose = reject));
    this.lost.catch(() => {}); // it may be that nobody waits
    redis.on("close", () => (down ??= Date.now()));
    redis.on("ready", () => (down = undefined));
    redis.on("error", (error) => (last = reasonOf(error)));
    this.#watch = setInterval(() => {
      if (down === undefined || Date.now() - down < options.timeout * 1000) return;
      const since = `for ${options.timeout} s`;
      lose(new ClusterError("unreachable", `the queue at ${placeOf(options.queue)} was unreachable ${since}: ${last}`));
    }, 200);
    this.#watch.unref();
  }

  /**
   * Connects.
   *
   * @throws ClusterError (missing packages, a server that is unreachable or refuses), ValueError (options)
   */
  static async open(given: QueueOptions): Promise<Connection> {
    const { queue, prefix, timeout, timeToLive } = checkQueue(given);
    const place = placeOf(queue);
    const { bullmq, ioredis } = await load();
    let opened = false;
    let last: unknown;
    const redis = new ioredis.Redis(queue, {
      lazyConnect: true,
      connectTimeout: timeout * 1000,
      maxRetriesPerRequest: null,
      retryStrategy: (times) => (opened ? Math.min(50 * times, 1000) : null),
    });
    redis.on("error", (error) => (last = error));
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer within ${timeout} s`)), timeout * 1000);
      });
      await Promise.race([redis.connect().then(() => redis.ping()), late]);
    } catch (error) {
      redis.disconnect();
      throw new ClusterError("unreachable", `the queue at ${place} cannot be used: ${reasonOf(last ?? error)}`);
    } finally {
      clearTimeout(timer);
    }
    opened = true;
    return new Connection(redis, bullmq, { queue, prefix, timeout, timeToLive });
  }

  /** The result of some work, unless the server is unreachable for too long before. */
  guard<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.lost]);
  }

  /** The options that all objects of BullMQ get. */
  get shared(): { connection: Redis; prefix: string } {
    return { connection: this.redis, prefix: `${this.prefix}:queue` };
  }

  close(): void {
    clearInterval(this.#watch);
    this.redis.disconnect();
  }
}

/** Seconds that a timer can wait. */
export const MAX_SECONDS = 2_147_483;

/**
 * The options of a queue, with their defaults.
 *
 * @throws ValueError
 */
export function checkQueue(
  options: QueueOptions,
): Required<{ [Name in keyof QueueOptions]: NonNullable<QueueOptions[Name]> }> {
  const { queue, prefix = "wasm-rnn", timeout = 30, timeToLive = 3600 } = options;
  placeOf(queue);
  if (typeof prefix !== "string" || !/^[\w.-]{1,100}$/.test(prefix)) {
    throw new ValueError("prefix", describe(prefix), 'letters, digits, ".", "-" and "_"');
  }
  for (const [name, value] of Object.entries({ timeout, timeToLive })) {
    checkNumber(name, value, MAX_SECONDS);
    if (value === 0) throw new ValueError(name, "0", "seconds, above 0");
  }
  return { queue, prefix, timeout, timeToLive };
}

async function load() {
  try {
    const [bullmq, ioredis] = await Promise.all([import("bullmq"), import("ioredis")]);
    return { bullmq, ioredis };
  } catch (error) {
    const reason = (error as { code?: unknown }).code;
    if (reason !== "ERR_MODULE_NOT_FOUND" && reason !== "MODULE_NOT_FOUND") throw error;
    throw new ClusterError("missing", "a queue needs two packages that are not installed: npm install bullmq ioredis");
  }
}

/** Host and port of a server, without user and password. */
export function placeOf(queue: unknown): string {
  const expected = "redis://host:port or rediss://host:port";
  if (typeof queue !== "string") throw new ValueError("queue", describe(queue), expected);
  let url: URL;
  try {
    url = new URL(queue);
  } catch {
    throw new ValueError("queue", "no URL", expected); // what came may have a password
  }
  if (url.protocol !== "redis:" && url.protocol !== "rediss:") throw new ValueError("queue", url.protocol, expected);
  return `${url.hostname}:${url.port || 6379}`;
}

/** Why a server cannot be used. */
function reasonOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  const message = messageOf(error);
  if (/^(WRONGPASS|NOAUTH|ERR (AUTH|invalid password))/.test(message))
    return `it refuses the user or password (${message})`;
  if (typeof code === "string" && /^(ERR_SSL|EPROTO|ERR_TLS)/.test(code))
    return `no TLS connection (${code}): redis:// is without TLS`;
  if (message === "Connection is closed.") return "it closed the connection: a server with TLS needs rediss://";
  return message;
}

/** 16 random hexadecimal digits. */
export function randomId(): string {
  return randomBytes(8).toString("hex");
}
