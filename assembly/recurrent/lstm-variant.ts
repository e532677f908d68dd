// The LSTM's variants of ONNX's operator, forward only: peepholes (Gers & Schmidhuber 2000: i and f also see p c_(t-1), o sees
// p c_t), f = 1 - i (coupled), and a limit (clip) of the input of every non-linearity, psi included: h_t = o psi(clip(c_t)),
// while c_t itself stays as it is.

import { at, bytes, lanes, loadLanes, madd, storeLanes } from "../simd";
import { Sequence } from "./sequence";

/** x [lanes], and where there is a peephole, peephole [lanes] c more; limited. */
// @ts-ignore: decorator
@inline
export function seen<T>(x: v128, peephole: usize, c: v128, limit: v128, rest: i32): v128 {
  if (peephole) x = madd<T>(loadLanes<T>(peephole, rest), c, x);
  return limited<T>(x, limit);
}

/** x within [-limit, limit]; a NaN stays one. */
// @ts-ignore: decorator
@inline
export function limited<T>(x: v128, limit: v128): v128 {
  return v128.pmin<T>(v128.pmax<T>(x, v128.neg<T>(limit)), limit);
}

// @ts-ignore: decorator
@inline
export function limitOf<T>(s: Sequence): v128 {
  return v128.splat<T>(s.clip != 0 ? <T>s.clip : <T>Infinity);
}

/** ONNX's variants: what i, f and g of m rows see before the non-linearities; o follows in `lstmStep`: it sees c_t. */
export function lstmVariant<T>(s: Sequence, m: i32, gates: usize, cPrev: usize): void {
  const h = s.h;
  const limit = limitOf<T>(s);
  for (let row = 0; row < m; row++) {
    for (let j = 0; j < h; j += lanes<T>()) {
      const rest = h - j;
      const c = loadLanes<T>(at<T>(cPrev, j), rest);
      for (let g = 0; g < 3; g++) {
        const p = at<T>(gates, g * h + j);
        const peephole = g < 2 && s.peephole ? at<T>(s.peephole, g * h + j) : 0;
        storeLanes<T>(p, seen<T>(loadLanes<T>(p, rest), peephole, c, limit, rest), rest);
      }
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
  }
}
