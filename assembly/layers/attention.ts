// Additive attention (Bahdanau, Cho & Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and Translate"): for
// each row with query q [h], projected keys p_t [h] and keys k_t [k]
//
//   e_t    = v . tanh(q + p_t)                     over the steps that take part
//   w      = softmax(e),  o = sum over t of w_t k_t
//
// and backward, from do and dw:
//
//   a_t    = dw_t + do . k_t
//   de_t   = w_t (a_t - sum over s of w_s a_s)
//   dk_t   = w_t do
//   dp_t   = de_t v (1 - tanh^2(q + p_t)),  dq = sum over t of dp_t,  dv = sum over rows and t of de_t tanh(q + p_t)
//
// tanh is computed again instead of saved: a decoder runs this once for each of its steps, and would save [t,n,h] each time.

import { expShifted, maximum } from "../softmax";
import { tanh } from "../math";
import { at, bytes, fillLanes, lanes, loadLanes, loadSplat, madd, storeLanes, sumLanes } from "../simd";

/** Arguments of `additiveForward` and `additiveBackward`. */
@unmanaged
export class Additive {
  /** Rows, steps, units of q and p, and of keys. */
  n: i32;
  t: i32;
  h: i32;
  k: i32;
  /** in: q [n,h]. */
  query: usize;
  /** in: p and keys, [t,n,h] and [t,n,k], or with `batchFirst` [n,t,h] and [n,t,k]. Steps that do not take part are not read. */
  projected: usize;
  keys: usize;
  batchFirst: i32;
  /** in: v [h]. */
  v: usize;
  /** in: [n,t] i32, 0 where a step does not take part; 0: all do. */
  mask: usize;
  /** w [n,t]: out of `additiveForward`, in of `additiveBackward`. A row in which no step takes part has zeros. */
  weights: usize;
  /** out of `additiveForward`: o [n,k]. */
  output: usize;
  /** in of `additiveBackward`: do [n,k] and dw [n,t]; 0 for zeros. */
  dOutput: usize;
  dWeights: usize;
  /** out of `additiveBackward`: like `query`, `projected` and `keys`. */
  dQuery: usize;
  dProjected: usize;
  dKeys: usize;
  /** in/out of `additiveBackward`: dv [h] is added to it. */
  dV: usize;
}

/** Number of the vector of step t of row r among those of p and keys. */
// @ts-ignore: decorator
@inline
function place(s: Additive, r: i32, t: i32): i32 {
  return s.batchFirst ? r * s.t + t : t * s.n + r;
}

// @ts-ignore: decorator
@inline
function takesPart(s: Additive, r: i32, t: i32): bool {
  return s.mask == 0 || load<i32>(at<i32>(s.mask, r * s.t + t)) != 0;
}

/** The sum of a b over n numbers. */
function dot<T>(n: i32, a: usize, b: usize): T {
  let sum = v128.splat<T>(0);
  for (let i = 0; i < n; i += lanes<T>()) {
    sum = madd<T>(loadLanes<T>(at<T>(a, i), n - i), loadLanes<T>(at<T>(b, i), n - i), sum);
  }
  return sumLanes<T>(sum);
}

/** y [n] = factor x, or y += factor x with `add`. */
// @ts-ignore: decorator
@inline
function scaled<T>(n: i32, factor: v128, x: usize, y: usize, add: bool): void {
  for (let i = 0; i < n; i += lanes<T>()) {
    const product = loadLanes<T>(at<T>(x, i), n - i);
    const sum = add ? madd<T>(factor, product, loadLanes<T>(at<T>(y, i), n - i)) : v128.mul<T>(factor, product);
    storeLanes<T>(at<T>(y, i), sum, n - i);
  }
}

/** e_t of one row and step, summed from the first unit to the last, as a product by v sums. */
function score<T>(h: i32, v: usize, q: usize, p: usize): T {
  let sum = v128.splat<T>(0);
  for (let i = 0; i < h; i += lanes<T>()) {
    const y = tanh<T>(v128.add<T>(loadLanes<T>(at<T>(q, i), h - i), loadLanes<T>(at<T>(p, i), h - i)));
    const factor = loadLanes<T>(at<T>(v, i), h - i); // 0 past the last
    // lane indices must be literals
    sum = madd<T>(v128.splat<T>(v128.extract_lane<T>(factor, 0)), v128.splat<T>(v128.extract_lane<T>(y, 0)), sum);
    sum = madd<T>(v128.splat<T>(v128.extract_lane<T>(factor, 1)), v128.splat<T>(v128.extract_lane<T>(y, 1)), sum);
    if (sizeof<T>() == 4) {
      sum = madd<T>(v128.splat<T>(v128.extract_lane<T>(factor, 2)), v128.splat<T>(v128.extract_lane<T>(y, 2)), sum);
      sum = madd<T>(v128.splat<T>(v128.extract_lane<T>(factor, 3)), v128.splat<T>(v128.extract_lane<T>(y, 3)), sum);
    }
  }
  return v128.extract_lane<T>(sum, 0);
}

/** w and o of all rows. */
export function additiveForward<T>(s: Additive): void {
  const steps = s.t;
  let q = s.query;
  let w = s.weights;
  let o = s.output;
  for (let r = 0; r < s.n; r++) {
    let any = false;
    for (let t = 0; t < steps; t++) {
      let e = <T>-Infinity;
      if (takesPart(s, r, t)) {
        e = score<T>(s.h, s.v, q, at<T>(s.projected, place(s, r, t) * s.h));
        any = true;
      }
      store<T>(at<T>(w, t), e);
    }
    memory.fill(o, 0, bytes<T>(s.k));
    if (any) {
      const sum = v128.splat<T>(expShifted<T>(steps, w, maximum<T>(steps, w), w));
      for (let t = 0; t < steps; t += lanes<T>()) {
        storeLanes<T>(at<T>(w, t), v128.div<T>(loadLanes<T>(at<T>(w, t), steps - t), sum), steps - t);
      }
      for (let t = 0; t < steps; t++) {
        if (takesPart(s, r, t)) scaled<T>(s.k, loadSplat<T>(at<T>(w, t)), at<T>(s.keys, place(s, r, t) * s.k), o, true);
      }
    } else memory.fill(w, 0, bytes<T>(steps));
    q += bytes<T>(s.h);
    w += bytes<T>(steps);
    o += bytes<T>(s.k);
  }
}

/** a_t of row r, a step that takes part. */
function gradientOfWeight<T>(s: Additive, r: i32, t: i32): T {
  let a: T = s.dWeights ? load<T>(at<T>(s.dWeights, r * s.t + t)) : 0;
  if (s.dOutput) a += dot<T>(s.k, at<T>(s.dOutput, r * s.k), at<T>(s.keys, place(s, r, t) * s.k));
  return a;
}

/** dq, dp and dk of all rows; dv is added. */
export function additiveBackward<T>(s: Additive): void {
  const h = s.h;
  const one = v128.splat<T>(1);
  for (let r = 0; r < s.n; r++) {
    const q = at<T>(s.query, r * h);
    const dQ = at<T>(s.dQuery, r * h);
    const w = at<T>(s.weights, r * s.t);
    memory.fill(dQ, 0, bytes<T>(h));
    let mean: T = 0;
    for (let t = 0; t < s.t; t++) {
      if (takesPart(s, r, t)) mean += load<T>(at<T>(w, t)) * gradientOfWeight<T>(s, r, t);
    }
    for (let t = 0; t < s.t; t++) {
      const p = at<T>(s.projected, place(s, r, t) * h);
      const dP = at<T>(s.dProjected, place(s, r, t) * h);
      const dKey = at<T>(s.dKeys, place(s, r, t) * s.k);
      const weight = load<T>(at<T>(w, t));
      const taken = takesPart(s, r, t);
      if (taken && s.dOutput) scaled<T>(s.k, v128.splat<T>(weight), at<T>(s.dOutput, r * s.k), dKey, false);
      else memory.fill(dKey, 0, bytes<T>(s.k));
      if (!taken) {
        memory.fill(dP, 0, bytes<T>(h));
        continue;
      }
      const de = v128.splat<T>(<T>(weight * (gradientOfWeight<T>(s, r, t) - mean)));
      for (let i = 0; i < h; i += lanes<T>()) {
        const rest = h - i;
        const y = tanh<T>(v128.add<T>(loadLanes<T>(at<T>(q, i), rest), loadLanes<T>(at<T>(p, i), rest)));
        const slope = v128.mul<T>(v128.sub<T>(one, v128.mul<T>(y, y)), loadLanes<T>(at<T>(s.v, i), rest));
        const d = v128.mul<T>(de, slope);
        storeLanes<T>(at<T>(dP, i), d, rest);
        storeLanes<T>(at<T>(dQ, i), v128.add<T>(d, loadLanes<T>(at<T>(dQ, i), rest)), rest);
        storeLanes<T>(at<T>(s.dV, i), madd<T>(de, y, loadLanes<T>(at<T>(s.dV, i), rest)), rest);
      }
    }
  }
}

/** Whether two arrays have the same bits; `size` is a multiple of 4 bytes. */
export function sameBits(size: i32, a: usize, b: usize): bool {
  let i: usize = 0;
  for (; i + 16 <= <usize>size; i += 16) {
    if (v128.any_true(v128.xor(v128.load(a + i), v128.load(b + i)))) return false;
  }
  for (; i < <usize>size; i += 4) if (load<i32>(a + i) != load<i32>(b + i)) return false;
  return true;
}
