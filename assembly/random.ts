// Random numbers: xoshiro128** (Blackman & Vigna 2021, https://prng.di.unimi.it), as src/base/random.ts has it.

/** The next integer, uniform in [0, 2^32); the state is 4 words. */
function next(state: usize): u32 {
  const s0 = load<u32>(state);
  const s1 = load<u32>(state, 4);
  const s2 = load<u32>(state, 8) ^ s0;
  const s3 = load<u32>(state, 12) ^ s1;
  store<u32>(state, s0 ^ s3);
  store<u32>(state, s1 ^ s2, 4);
  store<u32>(state, s2 ^ (s1 << 9), 8);
  store<u32>(state, rotl<u32>(s3, 11), 12);
  return rotl<u32>(s1 * 5, 7) * 9;
}

/**
 * y [size], numbers of `bytes` bytes each: draws of U(-bound, bound) with 53 random bits, of two integers. Continues from the state, 4
 * words. One function for both types, for its size.
 */
export function uniform(size: i32, state: usize, bound: f64, y: usize, bytes: i32): void {
  for (; size > 0; size--) {
    const high = (<u64>(next(state) >> 5)) << 26;
    const draw = (<f64>(high | (next(state) >> 6)) / 4503599627370496 - 1) * bound;
    if (bytes == 8) store<f64>(y, draw);
    else store<f32>(y, <f32>draw);
    y += bytes;
  }
}
