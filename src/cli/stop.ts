// Requests to stop a training: signals, and errors of stdout.

import { codeOf } from "./errors.js";
import { onOutputError } from "./output.js";

/**
 * A signal that is repeated within this many milliseconds counts as one: with npx or npm, Ctrl-C arrives from the terminal and
 * again from npm.
 */
const REPEAT = 250;

/**
 * For commands that save before they end: records the first SIGINT, SIGTERM or SIGHUP, or an error of stdout, as a request to
 * stop. A second SIGINT or SIGTERM ends the process at once. A second SIGHUP does not, since a closing terminal may send
 * several.
 */
export class StopRequest {
  /** The first reason to stop; undefined while there is none. */
  reason: "signal" | "output" | undefined;
  /** The first error of stdout other than EPIPE. */
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
    process.stderr.write(`${start}wasm-rnn: stopping after this step and saving; a second signal stops at once\n`);
  }

  /** Restores the default handling of signals, and of stdout errors unless a stop was requested. */
  release(): void {
    if (this.reason === undefined) onOutputError();
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
    process.off("SIGHUP", this.#onHangUp);
  }
}
