// A voice that says nothing: vowels and hisses by the oldest recipe of speech synthesis, a source and a filter (Fant 1960). Pulses of
// a glottis go through three resonators, which move from vowel to vowel. Silero takes it for speech.

/** The first three formants of vowels in Hz (Peterson and Barney 1952, men). */
const VOWELS = [
  [730, 1090, 2440],
  [270, 2290, 3010],
  [530, 1840, 2480],
  [570, 840, 2410],
  [300, 870, 2240],
  [660, 1720, 2410],
] as const;
const BANDWIDTHS = [80, 100, 140] as const;

/** Uniform on [0, 1): xorshift32 (Marsaglia 2003). */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The flow through the glottis at a phase of its period: opens, closes faster, stays closed. */
function flow(phase: number): number {
  if (phase < 0.4) return Math.sin((Math.PI * phase) / 0.4) / 2;
  return phase < 0.56 ? -Math.sin((Math.PI * (phase - 0.4)) / 0.16) : 0;
}

/**
 * Syllables without a pause for some seconds.
 *
 * @returns samples within [-1, 1]
 */
export function speak(seconds: number, sampleRate: number, seed = 1): Float32Array {
  const random = uniform(seed);
  const output = new Float32Array(Math.round(seconds * sampleRate));
  const formants: number[] = [...VOWELS[0]];
  const filters = formants.map(() => [0, 0] as [number, number]);
  let [phase, lastHiss, t] = [0, 0, 0];
  while (t < output.length) {
    const hiss = random() < 0.5 ? Math.floor((0.05 + 0.05 * random()) * sampleRate) : 0;
    for (let i = 0; i < hiss && t < output.length; i++, t++) {
      const noise = 2 * random() - 1;
      output[t] = 0.015 * Math.sin((Math.PI * i) / hiss) * (noise - lastHiss);
      lastHiss = noise;
    }
    const vowel = VOWELS[Math.floor(random() * VOWELS.length)]!;
    const length = Math.floor((0.12 + 0.12 * random()) * sampleRate);
    const [pitch, glide] = [110 + 40 * random(), 0.3 * random() - 0.2];
    for (let i = 0; i < length && t < output.length; i++, t++) {
      phase = (phase + (pitch * (1 + (glide * i) / length)) / sampleRate) % 1;
      let sample = flow(phase) + 0.02 * (2 * random() - 1);
      for (const [k, filter] of filters.entries()) {
        formants[k]! += (vowel[k]! - formants[k]!) * (40 / sampleRate);
        const radius = Math.exp((-Math.PI * BANDWIDTHS[k]!) / sampleRate);
        const turn = 2 * radius * Math.cos((2 * Math.PI * formants[k]!) / sampleRate);
        sample = (1 - turn + radius ** 2) * sample + turn * filter[0] - radius ** 2 * filter[1];
        filter[1] = filter[0];
        filter[0] = sample;
      }
      output[t] = 0.25 * sample * Math.min(1, i / (0.02 * sampleRate), (length - i) / (0.03 * sampleRate));
    }
  }
  return output;
}

/**
 * Three phrases with silence between them, in noise.
 *
 * @param seed of what is said
 */
export function recording(sampleRate: number, seed = 1): Float32Array<ArrayBuffer> {
  const random = uniform(2463534242);
  const output = Float32Array.from({ length: 9 * sampleRate }, () => 0.01 * (random() + random() + random() - 1.5));
  for (const [start, seconds] of [
    [1, 1.5],
    [3.5, 1],
    [5.5, 2],
  ] as const) {
    const at = Math.round(start * sampleRate);
    for (const [i, sample] of speak(seconds, sampleRate, seed + at).entries()) output[at + i]! += sample;
  }
  return output;
}
