// An audio model in Proteus' form, 1 -> LSTM 40 -> 1 with the input added, and a signal for it. Weights and samples come
// from a generator of integers: the same numbers on every engine.

export const SAMPLE_RATE = 48000;
export const SECONDS = 10;

/** Numbers on (-bound, bound), multiples of bound / 2^15: xorshift32 (Marsaglia 2003). */
function generator(seed) {
  let state = seed;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >> 16) / 32768) * bound;
  };
}

const HIDDEN = 40;

/** The file's content. */
export function proteusFile() {
  const random = generator(2463534242);
  const vector = (n) => Array.from({ length: n }, () => random(0.25));
  const matrix = (rows, columns) => Array.from({ length: rows }, () => vector(columns));
  return {
    model_data: {
      model: "SimpleRNN",
      input_size: 1,
      skip: 1,
      output_size: 1,
      unit_type: "LSTM",
      num_layers: 1,
      hidden_size: HIDDEN,
      bias_fl: true,
    },
    state_dict: {
      "rec.weight_ih_l0": matrix(4 * HIDDEN, 1),
      "rec.weight_hh_l0": matrix(4 * HIDDEN, HIDDEN),
      "rec.bias_ih_l0": vector(4 * HIDDEN),
      "rec.bias_hh_l0": vector(4 * HIDDEN),
      "lin.weight": matrix(1, HIDDEN),
      "lin.bias": vector(1),
    },
  };
}

/** Noise that swells and fades twice a second, mono. */
export function signal() {
  const random = generator(123456789);
  const samples = new Float32Array(SECONDS * SAMPLE_RATE);
  const period = SAMPLE_RATE / 2;
  for (let t = 0; t < samples.length; t++) {
    const phase = (t % period) / period;
    samples[t] = random(4 * phase * (1 - phase));
  }
  return samples;
}
