// Additive attention over the layers module's kernels; its equations are in assembly/layers/attention.ts.

import { pointer, type FloatTensor } from "./kernels.js";
import { startLayers } from "./layers-module.js";
import type { Arena, WasmTensor } from "./memory.js";
import { record } from "./record.js";
import { BYTES, sizeOf } from "./tensor.js";
import { additive } from "./wasm-layers.js";

/** What both passes of additive attention take. */
export interface AdditiveArguments {
  /** q [N,H]. */
  query: FloatTensor;
  /** p, and keys [..., K]: [T,N,...], or with `batchFirst` [N,T,...]. */
  projected: FloatTensor;
  keys: FloatTensor;
  batchFirst: boolean;
  /** v [H], of any shape. */
  v: FloatTensor;
  /** [N,T]: 0 where a step does not take part; undefined: all do. */
  mask: WasmTensor<"i32"> | undefined;
}

function fieldsOf({ query, projected, keys, batchFirst, v, mask }: AdditiveArguments) {
  const [first, second, h] = projected.shape as [number, number, number];
  return {
    n: batchFirst ? first : second,
    t: batchFirst ? second : first,
    h,
    k: keys.shape[2]!,
    query: query.pointer,
    projected: projected.pointer,
    keys: keys.pointer,
    batchFirst,
    v: v.pointer,
    mask: pointer(mask),
  };
}

/** The weights [N,T] and the sums of the keys by them [N,K]. */
export function additiveForward(
  arena: Arena,
  saved: Arena,
  args: AdditiveArguments,
): { weights: FloatTensor; output: FloatTensor } {
  const { dtype } = args.query;
  const fields = fieldsOf(args);
  const weights: FloatTensor = saved.allocate("weights", dtype, [fields.n, fields.t]);
  const output: FloatTensor = arena.allocate("output", dtype, [fields.n, fields.k]);
  const none = { dOutput: 0, dWeights: 0, dQuery: 0, dProjected: 0, dKeys: 0, dV: 0 };
  startLayers(arena.core)[dtype].additiveForward(
    record(arena.core, additive, { ...fields, weights: weights.pointer, output: output.pointer, ...none }),
  );
  return { weights, output };
}

/** The gradients of q, p and keys, in their shapes, from those of the results; dV is added to. */
export function additiveBackward(
  arena: Arena,
  args: AdditiveArguments & {
    weights: FloatTensor;
    dOutput: FloatTensor | undefined;
    dWeights: FloatTensor | undefined;
    dV: FloatTensor;
  },
): { dQuery: FloatTensor; dProjected: FloatTensor; dKeys: FloatTensor } {
  const { query, projected, keys, weights, dOutput, dWeights, dV } = args;
  const { dtype } = query;
  const like = ({ shape }: FloatTensor): FloatTensor => arena.allocate("gradients", dtype, shape);
  const [dQuery, dProjected, dKeys] = [like(query), like(projected), like(keys)];
  const fields = {
    ...fieldsOf(args),
    weights: weights.pointer,
    output: 0,
    dOutput: pointer(dOutput),
    dWeights: pointer(dWeights),
    dQuery: dQuery.pointer,
    dProjected: dProjected.pointer,
    dKeys: dKeys.pointer,
    dV: dV.pointer,
  };
  startLayers(arena.core)[dtype].additiveBackward(record(arena.core, additive, fields));
  return { dQuery, dProjected, dKeys };
}

/** Whether two tensors of one core have the same type, shape and bits. */
export function sameBits(a: FloatTensor, b: FloatTensor): boolean {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  const size = sizeOf(a.shape) * BYTES[a.dtype];
  return Boolean(startLayers(a.arena.core).f64.sameBits(size, a.pointer, b.pointer));
}
