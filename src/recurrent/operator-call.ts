// A call of ONNX's operators RNN, LSTM and GRU: tensors by their names, sizes, and weights of one direction.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { WasmTensor } from "../../bindings/memory.js";
import type { RecurrentWeights } from "../../bindings/recurrent.js";
import { BYTES, sizeOf } from "../../bindings/tensor.js";
import type { Spec } from "../ops/operation.js";
import type { RecurrentAttributes, RecurrentInput } from "./operator-attributes.js";

export type Named<Name extends string, T> = Partial<Readonly<Record<Name, T>>>;

/** Tensors by their names. */
export function named<Name extends string, T>(names: readonly Name[], tensors: readonly T[]): Named<Name, T> {
  return Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as Named<Name, T>;
}

/** The sizes of a call whose inputs were checked. */
export function sizesOfCall({ X, R }: Named<RecurrentInput, Spec>, { batchFirst, reverse }: RecurrentAttributes) {
  const [first, second, i] = X!.shape as [number, number, number];
  const [t, n] = batchFirst ? [second, first] : [first, second];
  return { t, n, i, h: R!.shape[2]!, d: reverse.length };
}

/** Entry `index` of the first axis, without that axis. */
export function entry(x: FloatTensor, index: number): FloatTensor {
  return x.slice(index, 1).reshape(x.shape.slice(1));
}

/** W, R and B (or their gradients) of direction i, with ONNX's order of gates; the same memory. */
export function weightsOf({ W, R, B }: Named<"W" | "R" | "B", WasmTensor>, i: number): RecurrentWeights {
  const of = (x: WasmTensor) => entry(x as FloatTensor, i);
  const biases = B && of(B);
  const half = biases && biases.shape[0]! / 2;
  return {
    weightIh: of(W!),
    weightHh: of(R!),
    ...(biases && { biasIh: biases.slice(0, half!), biasHh: biases.slice(half!, half!) }),
  };
}

/** Weights of one kind for those of another. */
export function mapWeights(weights: RecurrentWeights, change: (x: FloatTensor) => FloatTensor): RecurrentWeights {
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  return {
    weightIh: change(weightIh),
    weightHh: change(weightHh),
    ...(biasIh && biasHh && { biasIh: change(biasIh), biasHh: change(biasHh) }),
  };
}

/** A copy, to be made any number of times: block i of `to`, of the first axis, is block `order[i]` of `from`. */
export function bindBlocks(from: FloatTensor, to: FloatTensor, order: readonly number[]): () => void {
  const { dtype } = to;
  const { heap } = to.arena.core;
  const [size, width] = [sizeOf(to.shape) / order.length, BYTES[dtype]];
  const [source, target] = [from.pointer / width, to.pointer / width];
  return () => {
    const numbers = heap.view(dtype);
    for (let i = 0; i < order.length; i++) {
      const start = source + order[i]! * size;
      numbers.copyWithin(target + i * size, start, start + size);
    }
  };
}
