// How a command is asked to end early: signals, and a reader of stdout that went away.

import { codeOf, messageOf } from "./errors.js";

/** For commands that only print: ends the process, quietly, when nobody reads stdout any more (`| head`). */
export function quitOnBrokenPipe(): void {
  process.stdout.on("error", (error) => {
    if (codeOf(error) !== "EPIPE") process.stderr.write(`wasm-rnn: cannot write output: ${messageOf(error)}\n`);
    process.exit(codeOf(error) === "EPIPE" ? 0 : 1);
  });
}

/**
 * For commands that have something to save: notes a first SIGINT or SIGTERM, or a broken stdout, as a request to stop.
 * A second signal ends the process at once.
 */
export class StopRequest {
  /** What asked; undefined as long as nothing did. */
  reason: "signal" | "pipe" | undefined;

  readonly #onSignal = () => {
    if (this.reason === "signal") process.exit(130);
    this.reason = "signal";
    const start = process.stdout.isTTY ? "\n" : ""; // below the progress bar
    process.stderr.write(`${start}wasm-rnn: stopping after this step and saving; once more stops at once\n`);
  };

  readonly #onOutputError = () => {
    this.reason ??= "pipe";
  };

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
    process.stdout.on("error", this.#onOutputError); // stays: later writes fail too
  }

  /** Gives the signals their usual meaning back. */
  release(): void {
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
  }
}
