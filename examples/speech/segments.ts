// From probabilities to stretches of speech.

import { FRAME, SAMPLE_RATE } from "./detector.js";

/** Seconds. */
export interface Segment {
  readonly start: number;
  readonly end: number;
}

/** It begins where a frame is likely to be speech, and ends behind the last such frame before some that are not. */
export const LIKELY = 0.5;
const PAUSE = 8;

/** @param probabilities of frames one after another */
export function segmentsOf(probabilities: Iterable<number>): Segment[] {
  const frames: [first: number, last: number][] = [];
  let at = 0;
  for (const probability of probabilities) {
    const latest = frames.at(-1);
    if (probability >= LIKELY) {
      if (latest && at - latest[1] <= PAUSE) latest[1] = at;
      else frames.push([at, at]);
    }
    at++;
  }
  const seconds = FRAME / SAMPLE_RATE;
  return frames.map(([first, last]) => ({ start: first * seconds, end: (last + 1) * seconds }));
}
