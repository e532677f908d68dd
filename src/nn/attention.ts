// What attention layers share: keys that take part, and tensors that are read.

import type { Core } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { steady, takeLengths, takeMask, type Arena, type Lengths, type WasmTensor } from "../../bindings/memory.js";
import { checkTensor, type FloatDtype, type ReadTensor, type Tensor } from "../../bindings/tensor.js";

/** Options of attention: which keys take part. */
export interface AttentionOptions {
  /** The number of valid keys of each row, [N], each from 0 to the number of keys. Not together with `mask`. */
  lengths?: Lengths | undefined;
  /**
   * Which keys take part, i32: [N, number of keys], of 1 and 0, where 1 takes part. PyTorch's `key_padding_mask` is the
   * opposite: its True does not take part.
   */
  mask?: Tensor | undefined;
}

/** A tensor from outside, read once and checked. Numbers in wasm memory are copied, since allocating may move that. */
export function readInput(
  core: Core,
  argument: string,
  value: Tensor,
  dtype: FloatDtype,
  pattern: readonly (number | string)[],
): ReadTensor {
  return steady(core, checkTensor(argument, value, dtype, pattern));
}

/**
 * The keys that take part: [n,t], of 1 and 0; undefined where all do.
 *
 * @param shape of `mask`
 */
export function readTaking(
  { lengths, mask }: AttentionOptions,
  n: number,
  t: number,
  shape: readonly number[],
): Int32Array | undefined {
  let taking: Int32Array | undefined;
  if (mask !== undefined) {
    taking = takeMask(mask, lengths, shape);
  } else if (lengths !== undefined) {
    taking = new Int32Array(n * t);
    takeLengths(lengths, t, n).forEach((length, row) => taking!.fill(1, row * t, row * t + length));
  }
  return taking?.includes(0) ? taking : undefined;
}

/**
 * A copy of keys, [T,N,...] or with `batchFirst` [N,T,...], with zeros in those that do not take part: their numbers may be
 * anything, and must not become NaN in a product with 0.
 */
export function copyKeys(
  arena: Arena,
  argument: string,
  keys: Tensor,
  dtype: FloatDtype,
  batchFirst: boolean,
  taking: Int32Array | undefined,
): FloatTensor {
  const copy: FloatTensor = arena.copyChecked(argument, keys, dtype);
  if (!taking) return copy;
  const [first, second, size] = copy.shape as [number, number, number];
  const { data } = copy;
  const [n, t] = batchFirst ? [first, second] : [second, first];
  for (let i = 0; i < n * t; i++) {
    if (taking[i]) continue;
    const place = batchFirst ? i : (i % t) * n + Math.floor(i / t);
    data.fill(0, place * size, (place + 1) * size);
  }
  return copy;
}

/** [n,t] of `readTaking` in wasm memory. */
export function uploadTaking(
  arena: Arena,
  taking: Int32Array | undefined,
  shape: readonly number[],
): WasmTensor<"i32"> | undefined {
  return taking && arena.copyChecked("mask", { data: taking, shape }, "i32");
}
