// The variants of ONNX's LSTM operator, forward only:
//
//   peepholes (Gers & Schmidhuber 2000)   i += p_i c_(t-1), f += p_f c_(t-1), o += p_o c_t, before sigma
//   coupled                               f = 1 - i
//   clip                                  every non-linearity's input is limited, psi's too: h_t = o psi(clip(c_t)); c_t is not

import { at, bytes, lanes, loadLanes, madd, storeLanes } from "../simd";
import { Sequence } from "./sequence";

/** clip(x + peephole c); peephole: address of [lanes], or 0 for none. */
// @ts-ignore: decorator
@inline
export function gateInput<T>(x: v128, peephole: usize, c: v128, limit: v128, rest: i32): v128 {
  if (peephole) x = madd<T>(loadLanes<T>(peephole, rest), c, x);
  return limited<T>(x, limit);
}

/** x limited to [-limit, limit]; NaN for NaN. */
// @ts-ignore: decorator
@inline
export function limited<T>(x: v128, limit: v128): v128 {
  return v128.pmin<T>(v128.pmax<T>(x, v128.neg<T>(limit)), limit);
}

/** The limit, or infinity where there is none. */
// @ts-ignore: decorator
@inline
export function limitOf<T>(s: Sequence): v128 {
  return v128.splat<T>(s.clip != 0 ? <T>s.clip : <T>Infinity);
}

/**
 * The inputs of sigma and phi for i, f and g of m rows; that of o needs c_t, so lstmStep computes it.
 *
 *   gates  in/out: [m,4H], columns i f g
 *   cPrev  in: [m,H]
 */
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
        storeLanes<T>(p, gateInput<T>(loadLanes<T>(p, rest), peephole, c, limit, rest), rest);
      }
    }
    gates += bytes<T>(4 * h);
    cPrev += bytes<T>(h);
  }
}
