// Silero VAD: how likely it is that a frame of sound has speech in it.

import { fromOnnx, type ModelStream } from "wasm-rnn/onnx";

/** Samples per second that the models know. */
export const SAMPLE_RATE = 16000;
/** Samples of a frame, and of the one before, which the model reads again. */
export const FRAME = 512;
const CONTEXT = 64;

export class Detector {
  /** Of the latest frame. */
  probability = 0;
  readonly #stream: ModelStream;
  readonly #samples = new Float32Array(CONTEXT + FRAME);
  readonly #feeds = { input: { data: this.#samples, shape: [1, CONTEXT + FRAME] } };
  #filled = CONTEXT;

  /** @param model the file silero_vad.onnx, version 5 or 6 */
  constructor(model: Uint8Array) {
    const sr = { data: BigInt64Array.of(BigInt(SAMPLE_RATE)), shape: [] };
    this.#stream = fromOnnx(model).stream({ carry: { stateN: "state" }, feeds: { ...this.#feeds, sr } });
  }

  /**
   * Takes samples, of which a whole number of times makes a frame.
   *
   * @returns whether a frame has become full: `probability` is its own
   */
  push(samples: Float32Array): boolean {
    this.#samples.set(samples, this.#filled);
    this.#filled += samples.length;
    if (this.#filled < this.#samples.length) return false;
    this.probability = this.#stream.step(this.#feeds).output!.data[0] as number;
    this.#samples.copyWithin(0, FRAME);
    this.#filled = CONTEXT;
    return true;
  }
}
