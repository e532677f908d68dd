// Sequences as users have them ([T,N,*], [N,T,*] or [T,*]; lengths; masks), and as the core has them: [T,N,*].

import { ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import { takeLengths, takeTensor, WasmTensor, type Lengths } from "../../bindings/memory.js";
import { describe, readTensor, showShape, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { permute } from "../base/layout.js";
import type { Active } from "./ragged.js";

/** How the time, batch and feature axes of a sequence lie. */
export interface Layout {
  readonly unbatched: boolean;
  readonly batchFirst: boolean;
  /** Whether time runs from the last step to the first. */
  readonly backwards: boolean;
  readonly t: number;
  readonly n: number;
}

/** x from outside, and its layout. */
export function takeInput(
  x: Tensor,
  dtype: FloatDtype,
  inputSize: number,
  batchFirst: boolean,
  backwards: boolean,
): { sequence: Tensor; layout: Layout } {
  const plain = readTensor("x", x);
  const unbatched = plain.shape.length === 2;
  const order = unbatched ? ["T"] : batchFirst ? ["N", "T"] : ["T", "N"];
  const sequence = takeTensor("x", plain, dtype, [...order, inputSize]);
  const [first, second] = sequence.shape as [number, number];
  const rowsFirst = batchFirst && !unbatched;
  const [t, n] = unbatched ? [first, 1] : rowsFirst ? [second, first] : [first, second];
  if (t === 0) throw new ShapeError("x", showShape(sequence.shape), "at least one step");
  return { sequence, layout: { unbatched, batchFirst: rowsFirst, backwards, t, n } };
}

export function sequenceShape({ unbatched, batchFirst, t, n }: Layout, features: number): number[] {
  if (unbatched) return [t, features];
  return batchFirst ? [n, t, features] : [t, n, features];
}

/** A sequence from outside as [T,N,features]. */
export function toTimeFirst(x: Tensor, { batchFirst, t, n }: Layout): Tensor {
  const features = x.shape[x.shape.length - 1]!;
  return batchFirst ? permute(x, [1, 0, 2]) : { data: x.data, shape: [t, n, features] };
}

/** A copy of [T,N,features] as the caller has sequences. */
export function fromTimeFirst(x: Tensor, layout: Layout): Tensor {
  if (layout.batchFirst) return permute(x, [1, 0, 2]);
  const shape = sequenceShape(layout, x.shape[2]!);
  return x instanceof WasmTensor ? x.download(shape) : { data: x.data.slice(), shape };
}

/** [T,N,features] in the order in which the layer reads it, or back: where it goes backwards, turned round. */
export function inOrder(x: Tensor, { backwards }: Layout): Tensor {
  return backwards ? reverseTime(x) : x;
}

/** A copy with the first axis turned round. */
function reverseTime({ data, shape }: Tensor): Tensor {
  const t = shape[0]!;
  const size = data.length / t;
  const reversed = data.slice();
  for (let i = 0; size > 0 && i < t; i++) reversed.set(data.subarray(i * size, (i + 1) * size), (t - 1 - i) * size);
  return { data: reversed, shape };
}

/** Which steps take part, where not all do. */
export function activeSteps(
  layout: Layout,
  lengths: Lengths | undefined,
  mask: Tensor | undefined,
): Active | undefined {
  const { t, n } = layout;
  if (lengths !== undefined && mask !== undefined) throw new StateError("mask", "lengths as well", "one of the two");
  if (lengths === undefined && mask === undefined) return undefined;
  let flags = new Uint8Array(t * n);
  if (lengths !== undefined) {
    takeLengths(lengths, t, n).forEach((length, row) => {
      for (let i = 0; i < length; i++) flags[i * n + row] = 1;
    });
  } else {
    const given = takeTensor("mask", mask!, "i32", sequenceShape(layout, 1).slice(0, -1));
    for (const flag of given.data) {
      if (flag !== 0 && flag !== 1) throw new ValueError("mask", describe(flag), "0 or 1");
    }
    flags = Uint8Array.from(toTimeFirst({ data: given.data, shape: [...given.shape, 1] }, layout).data);
  }
  if (layout.backwards) flags = reverseFlags(flags, n);
  return flags.includes(0) ? { t, n, flags, repeat: mask !== undefined } : undefined;
}

function reverseFlags(flags: Uint8Array, n: number): Uint8Array<ArrayBuffer> {
  const t = flags.length / n;
  return Uint8Array.from(flags, (_, i) => flags[(t - 1 - Math.floor(i / n)) * n + (i % n)]!);
}
