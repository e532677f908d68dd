// Sequences in the caller's layout ([T,N,*], [N,T,*] or [T,*], with lengths or masks) and in the core's: [T,N,*].

import { ShapeError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import { steady, takeLengths, takeMask, takeTensor, type Lengths } from "../../bindings/memory.js";
import {
  checkKind,
  copied,
  readTensor,
  showShape,
  type Dtype,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { permute } from "../base/layout.js";
import type { ActiveSteps } from "./ragged.js";

/** The axes of the caller's sequence, and in which order time is read. */
export interface Layout {
  readonly unbatched: boolean;
  readonly batchFirst: boolean;
  /** Whether time is read from the last step to the first. */
  readonly reversed: boolean;
  readonly t: number;
  readonly n: number;
}

/** The caller's x as [T,N,inputSize] in the order in which it is read, a copy only where that differs or growth could move it. */
export function readSequence<D extends FloatDtype>(
  core: Core,
  x: Tensor,
  dtype: D,
  inputSize: number,
  batchFirst: boolean,
  reversed: boolean,
): { sequence: Tensor<D>; layout: Layout } {
  const plain = readTensor("x", x);
  const unbatched = plain.shape.length === 2;
  const axes = unbatched ? ["T"] : batchFirst ? ["N", "T"] : ["T", "N"];
  checkKind("x", plain, dtype, [...axes, inputSize]);
  const [first, second] = plain.shape as [number, number];
  const rowsFirst = batchFirst && !unbatched;
  const [t, n] = unbatched ? [first, 1] : rowsFirst ? [second, first] : [first, second];
  if (t === 0) throw new ShapeError("x", showShape(plain.shape), "at least one step");
  const layout = { unbatched, batchFirst: rowsFirst, reversed, t, n };
  const sequence = toTimeFirst(steady(core, plain) as Tensor as Tensor<D>, layout);
  return { sequence: readingOrder(sequence, layout), layout };
}

/** A copy of a tensor of the caller's, or undefined where it was left out. */
export function readOptional<D extends FloatDtype>(
  argument: string,
  tensor: Tensor | undefined,
  dtype: D,
  pattern: readonly (number | string)[],
): Tensor<D> | undefined {
  return tensor === undefined ? undefined : takeTensor(argument, tensor, dtype, pattern);
}

/** The shape of a sequence in the caller's layout. */
export function sequenceShape({ unbatched, batchFirst, t, n }: Layout, features: number): number[] {
  if (unbatched) return [t, features];
  return batchFirst ? [n, t, features] : [t, n, features];
}

/** [T,N,features] from a sequence in the caller's layout. */
export function toTimeFirst<D extends Dtype>(x: Tensor<D>, { batchFirst, t, n }: Layout): Tensor<D> {
  return batchFirst ? permute(x, [1, 0, 2]) : { data: x.data, shape: [t, n, x.shape.at(-1)!] };
}

/** A copy of [T,N,features] in the caller's layout. */
export function fromTimeFirst<D extends Dtype>(x: Tensor<D>, layout: Layout): Tensor<D> {
  if (layout.batchFirst) return permute(x, [1, 0, 2]);
  return { data: copied(x.data), shape: sequenceShape(layout, x.shape[2]!) };
}

/** [T,N,features] in the order in which the layer reads it, and back. */
export function readingOrder<D extends Dtype>(x: Tensor<D>, { reversed, t }: Layout): Tensor<D> {
  if (!reversed) return x;
  const { data, shape } = x;
  const size = data.length / t;
  const copy = data.slice() as TensorData<D>;
  for (let i = 0; size > 0 && i < t; i++) copy.set(data.subarray(i * size, (i + 1) * size), (t - 1 - i) * size);
  return { data: copy, shape };
}

/** The steps that take part; undefined where all do. */
export function activeSteps(
  layout: Layout,
  lengths: Lengths | undefined,
  mask: Tensor | undefined,
): ActiveSteps | undefined {
  const { t, n } = layout;
  if (lengths === undefined && mask === undefined) return undefined;
  let flags = new Uint8Array(t * n);
  if (mask === undefined) {
    takeLengths(lengths!, t, n).forEach((length, row) => {
      for (let i = 0; i < length; i++) flags[i * n + row] = 1;
    });
  } else {
    const shape = sequenceShape(layout, 1);
    flags = Uint8Array.from(toTimeFirst({ data: takeMask(mask, lengths, shape.slice(0, -1)), shape }, layout).data);
  }
  if (layout.reversed) flags = flags.map((_, i) => flags[(t - 1 - Math.floor(i / n)) * n + (i % n)]!);
  return flags.includes(0) ? { t, n, flags, repeat: mask !== undefined } : undefined;
}
