// How a training is asked to end early: signals, and a stdout that cannot be written to any more.

import { codeOf } from "./errors.js";
import { onOutputError } from "./output.js";

/**
 * Milliseconds in which a signal that comes again counts as the same one: Ctrl-C under npx or npm comes once from the
 * terminal and once from npm.
 */
const REPEAT = 250;

/**
 * For commands that have something to save: notes a first SIGINT, SIGTERM or SIGHUP, or a failing stdout, as a request to
 * stop. A second SIGINT or SIGTERM ends the process at once; a SIGHUP never does, since a terminal that closes may send
 * several.
 */
export class StopRequest {
  /** What asked first; undefined as long as nothing did. */
  reason: "signal" | "output" | undefined;
  /** The first error of stdout other than a reader that went away. */
  outputError: unknown;

  #asked: number | undefined;

  readonly #onSignal = () => {
    const now = performance.now();
    if (this.#asked !== undefined && now - this.#asked > REPEAT) process.exit(130);
    this.#asked ??= now;
    this.#stop();
  };

  readonly #onHangUp = () => this.#stop();

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
    process.on("SIGHUP", this.#onHangUp);
    onOutputError((error) => {
      this.reason ??= "output";
      if (codeOf(error) !== "EPIPE") this.outputError ??= error;
    });
  }

  #stop(): void {
    if (this.reason === "signal") return;
    this.reason = "signal";
    const start = process.stdout.isTTY ? "\n" : ""; // below the progress bar
    process.stderr.write(`${start}wasm-rnn: stopping after this step and saving; once more stops at once\n`);
  }

  /** Gives signals, and errors of stdout unless something has asked to stop, their usual meaning back. */
  release(): void {
    if (this.reason === undefined) onOutputError();
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
    process.off("SIGHUP", this.#onHangUp);
  }
}
