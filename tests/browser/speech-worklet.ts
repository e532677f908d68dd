// Both models of examples/speech in an audio worklet. After the last block it says how large the wasm memory was after the first
// steps and after the last, and whether that is the same memory: what a step of a small stream gives is a view of it.
import { LSTM } from "wasm-rnn";
import { Denoiser } from "../../examples/speech/denoiser.js";
import { Detector } from "../../examples/speech/detector.js";

declare const registerProcessor: (name: string, constructor: unknown) => void;
declare const AudioWorkletProcessor: new () => { readonly port: MessagePort };

/** Blocks after which both models have made their first step, which allocates. */
const FIRST = 4;

interface Options {
  readonly silero: Uint8Array;
  readonly dtln: readonly Uint8Array[];
  readonly blocks: number;
}

registerProcessor(
  "allocation",
  class extends AudioWorkletProcessor {
    readonly #detector: Detector;
    readonly #denoiser: Denoiser | undefined;
    readonly #probe = new LSTM(1, 1, { seed: 1 }).stream();
    readonly #blocks: number;
    #done = 0;
    #first: ArrayBufferView | undefined;
    #bytes = 0;

    constructor({ processorOptions: { silero, dtln, blocks } }: { processorOptions: Options }) {
      super();
      this.#blocks = blocks;
      this.#detector = new Detector(silero);
      const [first, second] = dtln;
      if (first && second) this.#denoiser = new Denoiser([first, second]);
    }

    process([source]: Float32Array[][], [[output]]: [[Float32Array]]): boolean {
      const input = source?.[0];
      if (input === undefined || this.#done === this.#blocks) return this.#done < this.#blocks;
      this.#detector.push(input);
      this.#denoiser?.process(input, output);
      this.#done++;
      if (this.#done === FIRST) {
        this.#first = this.#probe.step([0]);
        this.#bytes = this.#first.buffer.byteLength;
      }
      if (this.#done < this.#blocks) return true;
      const last = this.#probe.step([0]);
      this.port.postMessage({
        bytes: [this.#bytes, last.buffer.byteLength],
        sameMemory: last === this.#first && last.buffer === this.#first.buffer,
        blocks: this.#done,
      });
      return false;
    }
  },
);
