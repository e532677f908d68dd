// DTLN: suppresses noise (Westhausen and Meyer 2020). The first network masks the spectrum, the second the signal; frames of 512
// samples overlap, and each block of 128 adds to the output what the last four frames say of it.

import FFT from "fft.js";
import { fromOnnx, type ModelStream } from "wasm-rnn/onnx";

const FRAME = 512;
/** Samples that go in and come out at once. */
export const BLOCK = 128;
/** Samples by which the output is late. */
export const DELAY = FRAME - BLOCK;
const BINS = FRAME / 2 + 1;

export class Denoiser {
  readonly #fft = new FFT(FRAME);
  readonly #spectrum = new Float64Array(2 * FRAME);
  readonly #signal = new Float64Array(2 * FRAME);
  readonly #input = new Float32Array(FRAME);
  readonly #output = new Float32Array(FRAME);
  readonly #magnitudes = new Float32Array(BINS);
  readonly #masked = new Float32Array(FRAME);
  readonly #feeds = [
    { input_2: { data: this.#magnitudes, shape: [1, 1, BINS] } },
    { input_4: { data: this.#masked, shape: [1, 1, FRAME] } },
  ] as const;
  readonly #streams: readonly [ModelStream, ModelStream];

  /** @param models the files model_1.onnx and model_2.onnx */
  constructor(models: readonly [Uint8Array, Uint8Array]) {
    this.#streams = [
      fromOnnx(models[0]).stream({ carry: { tf_op_layer_stack_2: "input_3" }, feeds: this.#feeds[0] }),
      fromOnnx(models[1]).stream({ carry: { tf_op_layer_stack_5: "input_5" }, feeds: this.#feeds[1] }),
    ];
  }

  /** Takes a block; writes the block of DELAY samples before, without noise. */
  process(input: Float32Array, output: Float32Array): void {
    this.#input.copyWithin(0, BLOCK);
    this.#input.set(input, DELAY);
    const magnitudes = this.#magnitudes;
    const spectrum = this.#spectrum;
    const masked = this.#masked;
    this.#fft.realTransform(spectrum, this.#input);
    for (let i = 0; i < BINS; i++) magnitudes[i] = Math.sqrt(spectrum[2 * i]! ** 2 + spectrum[2 * i + 1]! ** 2);
    const mask = this.#streams[0].step(this.#feeds[0]).activation_2!.data as Float32Array;
    for (let i = 0; i < BINS; i++) {
      spectrum[2 * i]! *= mask[i]!;
      spectrum[2 * i + 1]! *= mask[i]!;
    }
    this.#fft.completeSpectrum(spectrum);
    this.#fft.inverseTransform(this.#signal, spectrum);
    for (let i = 0; i < FRAME; i++) masked[i] = this.#signal[2 * i]!;
    const clean = this.#streams[1].step(this.#feeds[1]).conv1d_3!.data as Float32Array;
    this.#output.copyWithin(0, BLOCK);
    this.#output.fill(0, DELAY);
    for (let i = 0; i < FRAME; i++) this.#output[i]! += clean[i]!;
    for (let i = 0; i < BLOCK; i++) output[i] = this.#output[i]!;
  }
}
