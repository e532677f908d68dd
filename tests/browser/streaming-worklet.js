// A model in an audio worklet: each block of 128 samples goes through it. After the last one it says how large the wasm
// memory was after the first block and after the last, and whether that is the same memory, never grown.
import { fromProteus } from "/dist/audio.js";
import { configure } from "/dist/index.js";

registerProcessor(
  "model",
  class extends AudioWorkletProcessor {
    #left;
    #model;
    #probe; // a second model: what a step of it gives is a view of the memory in which both live
    #view;
    #bytes;

    constructor({ processorOptions: { variant, file, frames } }) {
      super();
      this.#left = frames;
      try {
        configure({ variant });
        this.#model = fromProteus(file);
        this.#probe = fromProteus(file);
      } catch (error) {
        this.port.postMessage({ error: String(error) });
      }
    }

    process([[input]], [[output]]) {
      if (!input || !this.#probe || this.#left <= 0) return false;
      this.#model.process(input, output);
      this.#left -= input.length;
      if (this.#view === undefined) {
        this.#view = this.#probe.step([0]);
        this.#bytes = this.#view.buffer.byteLength;
      }
      if (this.#left > 0) return true;
      const last = this.#probe.step([0]);
      this.port.postMessage({
        bytes: [this.#bytes, last.buffer.byteLength],
        sameMemory: last === this.#view && last.buffer === this.#view.buffer,
      });
      return false;
    }
  },
);
