// Drives one contestant of bench/peers.ts: a process that answers lines of JSON with lines of JSON.

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Command } from "./peers/contestants.js";
import type { Measured, Ready, Task } from "./worker.js";

export class Contestant {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  #stderr = "";
  readonly #ended: Promise<never>;
  readonly #ready: Promise<Ready>;

  constructor({ file, args, env }: Command, task: Task) {
    this.#process = spawn(file, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#process.stderr.on("data", (text) => (this.#stderr = (this.#stderr + String(text)).slice(-2000)));
    this.#ended = new Promise((_, reject) => {
      this.#process.on("error", reject);
      this.#process.on("close", (code) => reject(new Error(`ended with ${code}: ${this.#stderr.trim()}`)));
    });
    this.#process.stdin.on("error", () => {}); // "close" has the reason
    this.#ready = this.#ask<Ready>(task);
    this.#ready.catch(() => {}); // ready() rejects
  }

  /** Its answer to the task; undefined if there is none within `limitMs`. */
  async ready(limitMs: number): Promise<Ready | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => (timer = setTimeout(resolve, limitMs, undefined)));
    try {
      return await Promise.race([this.#ready, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets it run for `ms` milliseconds, at least one call; returns the median time of a call in microseconds. */
  async run(ms: number): Promise<number> {
    return (await this.#ask<Measured>({ run: ms })).us;
  }

  stop(): void {
    this.#process.kill("SIGKILL");
  }

  #ask<A>(message: object): Promise<A> {
    const line = new Promise<string>((resolve) => this.#lines.once("line", resolve));
    this.#process.stdin.write(`${JSON.stringify(message)}\n`);
    return Promise.race([line, this.#ended]).then((text) => JSON.parse(text) as A);
  }
}
