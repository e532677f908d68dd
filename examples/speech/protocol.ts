// What the page and its audio worklet tell each other.

/** The name of the processor. */
export const PROCESSOR = "speech";

/** The models' files. */
export interface Models {
  readonly silero: Uint8Array;
  /** Both stages; undefined where the page was built without them. */
  readonly dtln: readonly [Uint8Array, Uint8Array] | undefined;
}

/** Numbers that the processor sends for each frame, in this order. */
export const FIELDS = ["probability", "rawLow", "rawHigh", "cleanLow", "cleanHigh", "detecting", "denoising"] as const;

/**
 * A frame: the probability of speech; least and largest sample as it came and without noise; milliseconds that both models took since
 * the frame before, by a clock of whole milliseconds: sums are right.
 */
export type Frame = Readonly<Record<(typeof FIELDS)[number], number>>;

/** What the processor sends: a frame's numbers, or why it cannot work. */
export type FromProcessor = Float32Array | { readonly error: string };

export function frameOf(numbers: Float32Array): Frame {
  return Object.fromEntries(FIELDS.map((name, i) => [name, numbers[i]!])) as unknown as Frame;
}
