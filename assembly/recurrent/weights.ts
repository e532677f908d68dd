// The weights of an RNN or LSTM, packed once into one block of panels:
//
//   W_ih^T [D,G'] | W_hh^T [P,G'] | b_ih + b_hh [G'] | with a projection: W_hr^T [H,P]

import { add } from "../elementwise";
import { packedBytes, packedSize, packWeight } from "../gemm/gemm";
import { bytes } from "../simd";
import { Sequence } from "./sequence";

/** Bytes of the panels of `packWeights`; g = G'. */
export function packedWeightsBytes<T>(s: Sequence, g: i32): u64 {
  const projection = s.weightHr ? packedSize<T>(s.h, s.p) : 0;
  return packedSize<T>(s.d, g) + packedSize<T>(s.p, g) + <u64>biasBytes<T>(g) + projection;
}

// @ts-ignore: decorator
@inline
function biasBytes<T>(g: i32): usize {
  return (bytes<T>(g) + 31) & ~31;
}

/** Packs the weights of a layer; panels: out. b_ih + b_hh is zeros where there are no biases. */
export function packWeights<T>(s: Sequence, g: i32, panels: usize): void {
  packWeight<T>(s.d, g, s.weightIh, 1, s.d, panels);
  packWeight<T>(s.p, g, s.weightHh, 1, s.p, packedHh<T>(s, g, panels));
  sumBiases<T>(g, s.biasIh, s.biasHh, packedBias<T>(s, g, panels));
  if (s.weightHr) packWeight<T>(s.h, s.p, s.weightHr, 1, s.h, packedHr<T>(s, g, panels));
}

// @ts-ignore: decorator
@inline
export function packedHh<T>(s: Sequence, g: i32, panels: usize): usize {
  return panels + packedBytes<T>(s.d, g);
}

// @ts-ignore: decorator
@inline
export function packedBias<T>(s: Sequence, g: i32, panels: usize): usize {
  return packedHh<T>(s, g, panels) + packedBytes<T>(s.p, g);
}

// @ts-ignore: decorator
@inline
export function packedHr<T>(s: Sequence, g: i32, panels: usize): usize {
  return packedBias<T>(s, g, panels) + biasBytes<T>(g);
}

/** out [n] = biasIh + biasHh, or zeros where both are 0, "none". */
export function sumBiases<T>(n: i32, biasIh: usize, biasHh: usize, out: usize): void {
  if (biasIh) add<T>(n, biasIh, biasHh, out);
  else memory.fill(out, 0, bytes<T>(n));
}
