// The peak of one core: thirteen independent chains of multiply-add in registers. bench/peak.ts compiles it with and without
// relaxed SIMD.

// @ts-ignore: decorator
@inline
function madd<T>(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_madd<T>(a, b, c);
  return v128.add<T>(v128.mul<T>(a, b), c);
}

/** Vector multiply-adds in one round of the loop. */
export const CHAINS: i32 = 13;

// @ts-ignore: decorator
@inline
function run<T>(rounds: i32): void {
  const m = v128.load(64);
  const a = v128.load(80);
  let x0 = v128.load(96);
  let x1 = v128.load(112);
  let x2 = v128.load(128);
  let x3 = v128.load(144);
  let x4 = v128.load(160);
  let x5 = v128.load(176);
  let x6 = v128.load(192);
  let x7 = v128.load(208);
  let x8 = v128.load(224);
  let x9 = v128.load(240);
  let x10 = v128.load(256);
  let x11 = v128.load(272);
  let x12 = v128.load(288);
  do {
    x0 = madd<T>(x0, m, a);
    x1 = madd<T>(x1, m, a);
    x2 = madd<T>(x2, m, a);
    x3 = madd<T>(x3, m, a);
    x4 = madd<T>(x4, m, a);
    x5 = madd<T>(x5, m, a);
    x6 = madd<T>(x6, m, a);
    x7 = madd<T>(x7, m, a);
    x8 = madd<T>(x8, m, a);
    x9 = madd<T>(x9, m, a);
    x10 = madd<T>(x10, m, a);
    x11 = madd<T>(x11, m, a);
    x12 = madd<T>(x12, m, a);
  } while (--rounds);
  v128.store(96, x0);
  v128.store(112, x1);
  v128.store(128, x2);
  v128.store(144, x3);
  v128.store(160, x4);
  v128.store(176, x5);
  v128.store(192, x6);
  v128.store(208, x7);
  v128.store(224, x8);
  v128.store(240, x9);
  v128.store(256, x10);
  v128.store(272, x11);
  v128.store(288, x12);
}

export function peak_f64(rounds: i32): void {
  run<f64>(rounds);
}

export function peak_f32(rounds: i32): void {
  run<f32>(rounds);
}
