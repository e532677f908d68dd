// A synthetic guitar: plucked strings by Karplus and Strong 1983, and a riff on them.

import { uniform } from "../speech/voice.js";

/** Samples per second that the model of the amplifier knows. */
export const SAMPLE_RATE = 44_100;
/** Seconds of the riff, which is played in a loop. */
export const RIFF = 6.4;

/** Adds a plucked string to `output`, from `start` on: its noise goes round a loop as long as its period, and loses its highs. */
function pluck(output: Float32Array, start: number, frequency: number, seconds: number, random: () => number): void {
  const period = Math.round(SAMPLE_RATE / frequency);
  const string = Float32Array.from({ length: period }, () => 2 * random() - 1);
  // a pick of some width
  for (let i = 1; i < period; i++) string[i] = 0.5 * string[i]! + 0.5 * string[i - 1]!;
  const length = Math.min(Math.round(seconds * SAMPLE_RATE), output.length - start);
  for (let i = 0; i < length; i++) {
    const at = i % period;
    const release = Math.min(1, (length - i) / 400);
    output[start + i]! += 0.4 * release * string[at]!;
    string[at] = 0.997 * (0.5 * string[at]! + 0.5 * string[(at + 1) % period]!);
  }
}

/** Notes of E minor, in semitones above the low E of a guitar. */
const SCALE = [0, 3, 5, 7, 10, 12, 15, 17, 19, 22, 24];
const note = (semitones: number) => 82.41 * 2 ** (semitones / 12);

/** [beat, semitones above the low E, beats] */
type Note = readonly [number, number, number];
const BEATS = 16;

/** The first riff: power chords and a line above them. */
const NOTES: readonly Note[] = [
  ...([[0, 0, 1.5], [1.5, 0, 0.5], [2, 3, 1], [3, 5, 1], [4, 0, 1.5], [5.5, 0, 0.5], [6, 3, 0.5], [6.5, 6, 0.5], [7, 5, 1]] as const).flatMap(([at, root, beats]) => [[at, root, beats], [at, root + 7, beats], [at, root + 12, beats]] as const), // prettier-ignore
  ...([[8, 24, 1], [9, 22, 0.5], [9.5, 19, 0.5], [10, 17, 1], [11, 19, 1], [12, 15, 0.5], [12.5, 17, 0.5], [13, 12, 1], [14, 10, 0.5], [14.5, 7, 0.5], [15, 12, 1]] as const), // prettier-ignore
  [8, 0, 4],
  [12, 3, 2],
  [14, 5, 2],
];

/** A riff by chance: two bars of power chords on few roots, then two of a line that walks the scale above a low note. */
function improvise(random: () => number): Note[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const notes: Note[] = [];
  for (let at = 0; at < BEATS / 2;) {
    const beats = Math.min(pick([0.5, 0.5, 1, 1.5]), BEATS / 2 - at);
    const root = at === 0 ? 0 : pick([0, 0, 3, 5, 7, 10]);
    for (const above of [0, 7, 12]) notes.push([at, root + above, beats]);
    at += beats;
  }
  notes.push([8, 0, 4], [12, pick([3, 5, 7]), 4]);
  let place = SCALE.length - 1 - Math.floor(4 * random());
  for (let at = BEATS / 2; at < BEATS;) {
    const beats = Math.min(pick([0.5, 0.5, 1]), BEATS - at);
    notes.push([at, SCALE[place]!, beats]);
    place = Math.max(4, Math.min(SCALE.length - 1, place + pick([-2, -1, -1, 1, 2])));
    at += beats;
  }
  return notes;
}

/** @param number 1 is composed; others are improvised, each always in the same way */
export function riff(number = 1): Float32Array<ArrayBuffer> {
  const notes = number === 1 ? NOTES : improvise(uniform(7919 * number));
  const random = uniform(7);
  const output = new Float32Array(Math.round(RIFF * SAMPLE_RATE));
  const beat = RIFF / BEATS;
  for (const [at, semitones, beats] of notes) {
    pluck(output, Math.round(at * beat * SAMPLE_RATE), note(semitones), beats * beat, random);
  }
  return output;
}

/** Notes and chords by chance, loud and soft: what the model of the amplifier learns from. */
export function practice(seconds: number, seed: number): Float32Array<ArrayBuffer> {
  const random = uniform(seed);
  const output = new Float32Array(Math.round(seconds * SAMPLE_RATE));
  const tone = new Float32Array(output.length);
  for (let at = 0; at < seconds - 0.5; at += 0.1 + 0.5 * random()) {
    const root = SCALE[Math.floor(random() * SCALE.length)]!;
    const chord = random() < 0.4 ? [root, root + 7, root + 12] : [root];
    tone.fill(0);
    for (const each of chord) pluck(tone, Math.round(at * SAMPLE_RATE), note(each), 0.2 + 1.2 * random(), random);
    const loudness = 0.05 + 1.4 * random() ** 2;
    const from = Math.round(at * SAMPLE_RATE);
    for (let i = from; i < Math.min(output.length, from + 1.5 * SAMPLE_RATE); i++) output[i]! += loudness * tone[i]!;
  }
  return output;
}
