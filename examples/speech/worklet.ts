// The audio worklet: each block of 128 samples goes through both models. Output 0 is what came in, as late as the other; output 1
// is without noise.

import { BLOCK, DELAY, Denoiser } from "./denoiser.js";
import { Detector } from "./detector.js";
import { FIELDS, PROCESSOR, type FromProcessor, type Models } from "./protocol.js";

declare const registerProcessor: (name: string, constructor: unknown) => void;
declare const AudioWorkletProcessor: new () => { readonly port: MessagePort };

registerProcessor(
  PROCESSOR,
  class extends AudioWorkletProcessor {
    #detector: Detector | undefined;
    #denoiser: Denoiser | undefined;
    /** The latest samples: those of DELAY ago come first. */
    readonly #late = new Float32Array(DELAY + BLOCK);
    readonly #numbers = new Float32Array(FIELDS.length);
    readonly #silence = new Float32Array(BLOCK);

    constructor({ processorOptions }: { processorOptions: Models }) {
      super();
      this.#begin();
      try {
        this.#detector = new Detector(processorOptions.silero);
        if (processorOptions.dtln) this.#denoiser = new Denoiser(processorOptions.dtln);
      } catch (error) {
        this.#send({ error: String(error) });
      }
    }

    process([source]: Float32Array[][], [[raw], [clean]]: [[Float32Array], [Float32Array]]): boolean {
      if (this.#detector === undefined) return false;
      const input = source?.[0] ?? this.#silence; // a source that has ended has no channels
      this.#late.copyWithin(0, BLOCK);
      this.#late.set(input, DELAY);
      for (let i = 0; i < BLOCK; i++) raw[i] = this.#late[i]!;
      const start = Date.now();
      if (this.#denoiser) this.#denoiser.process(input, clean);
      else clean.set(raw);
      const between = Date.now();
      const full = this.#detector.push(input);
      this.#numbers[5]! += Date.now() - between;
      this.#numbers[6]! += between - start;
      this.#widen(1, raw);
      this.#widen(3, clean);
      if (full) {
        this.#numbers[0] = this.#detector.probability;
        this.#send(this.#numbers);
        this.#begin();
      }
      return true;
    }

    /** Least and largest samples so far. */
    #widen(at: number, samples: Float32Array): void {
      for (const sample of samples) {
        if (sample < this.#numbers[at]!) this.#numbers[at] = sample;
        if (sample > this.#numbers[at + 1]!) this.#numbers[at + 1] = sample;
      }
    }

    #begin(): void {
      this.#numbers.fill(0);
    }

    #send(message: FromProcessor): void {
      this.port.postMessage(message);
    }
  },
);
