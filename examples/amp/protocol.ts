// What the page and its audio worklet tell each other.

/** The name of the processor. */
export const PROCESSOR = "amp";

/** To the processor: whether the sound goes through the model. */
export interface ToProcessor {
  readonly on: boolean;
}

/** From the processor: milliseconds that the model took for so many samples, by a clock of whole milliseconds; or why it cannot work. */
export type FromProcessor = { readonly samples: number; readonly milliseconds: number } | { readonly error: string };
