// The audio worklet: each block of samples goes through the model, without allocation.

import { fromProteus, type StreamingModel } from "wasm-rnn/audio";
import { PROCESSOR, type FromProcessor, type ToProcessor } from "./protocol.js";

declare const registerProcessor: (name: string, constructor: unknown) => void;
declare const AudioWorkletProcessor: new () => { readonly port: MessagePort };

/** Blocks between two reports: 0.3 seconds. */
const REPORT = 100;

registerProcessor(
  PROCESSOR,
  class extends AudioWorkletProcessor {
    #model: StreamingModel | undefined;
    #on = true;
    #blocks = 0;
    #milliseconds = 0;
    readonly #silence = new Float32Array(128);

    constructor({ processorOptions }: { processorOptions: { model: unknown; on: boolean } }) {
      super();
      this.#on = processorOptions.on;
      this.port.onmessage = ({ data }: MessageEvent<ToProcessor>) => (this.#on = data.on);
      try {
        this.#model = fromProteus(processorOptions.model);
      } catch (error) {
        this.#send({ error: String(error) });
      }
    }

    process([source]: Float32Array[][], [[output]]: [[Float32Array]]): boolean {
      if (this.#model === undefined) return false;
      const input = source?.[0] ?? this.#silence; // a source that has ended has no channels
      const start = Date.now();
      this.#model.process(input, output); // also while it is not heard: it keeps its state, and its load can be seen
      this.#milliseconds += Date.now() - start;
      if (!this.#on) output.set(input);
      if (++this.#blocks === REPORT) {
        this.#send({ samples: REPORT * output.length, milliseconds: this.#milliseconds });
        this.#blocks = this.#milliseconds = 0;
      }
      return true;
    }

    #send(message: FromProcessor): void {
      this.port.postMessage(message);
    }
  },
);
