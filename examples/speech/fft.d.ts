// What the page uses of fft.js, which has no types. Complex numbers are pairs.

declare module "fft.js" {
  export default class FFT {
    constructor(size: number);
    /** Writes the first half of the spectrum of real numbers. */
    realTransform(output: Float64Array, input: Float32Array): void;
    /** Writes the second half, from the first. */
    completeSpectrum(spectrum: Float64Array): void;
    inverseTransform(output: Float64Array, input: Float64Array): void;
  }
}
