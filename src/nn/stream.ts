// One step at a time: a recurrent stack with its state kept in wasm memory, and no allocation in a step.

import { DisposedError, DtypeError, ShapeError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor } from "../../bindings/memory.js";
import {
  lstmCellForward,
  packWeights,
  rnnCellForward,
  type Nonlinearity,
  type PackedWeights,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import { BYTES, describe, sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize } from "./layer.js";

export interface StreamOptions {
  /** Rows that step together (default 1). */
  batchSize?: number;
}

/** A recurrent stack that takes one step at a time; made by `layer.stream()`, with a copy of the layer's weights. */
export class Stream {
  /**
   * The state, live in wasm memory: h and (LSTM) c, [numLayers,N,H]. Reading `.data` gives a current view; writing to it
   * changes the state.
   */
  readonly state: { readonly h: Tensor; readonly c?: Tensor };
  readonly #arena: Arena;
  readonly #kind: "RNN" | "LSTM";
  readonly #nonlinearity: Nonlinearity;
  readonly #layers: { weights: PackedWeights; x: FloatTensor; h: FloatTensor; c: FloatTensor }[] = [];
  readonly #x: FloatTensor;
  readonly #h: FloatTensor;
  readonly #c: FloatTensor;
  readonly #output: FloatTensor;
  readonly #scratch: FloatTensor; // gates [N,4H] (LSTM), or the next state [N,H] (RNN)

  /** @internal */
  constructor(
    core: Core,
    dtype: FloatDtype,
    kind: "RNN" | "LSTM",
    weights: readonly RecurrentWeights<FloatTensor>[],
    nonlinearity: Nonlinearity,
    options: StreamOptions,
  ) {
    checkOptions("stream", options, ["batchSize"]);
    const { batchSize: n = 1 } = options;
    checkSize("batchSize", n);
    this.#kind = kind;
    this.#nonlinearity = nonlinearity;
    const gates = kind === "LSTM" ? 4 : 1;
    const d = weights[0]!.weightIh.shape[1]!;
    const h = weights[0]!.weightHh.shape[1]!;
    const arena = (this.#arena = new Arena(core, true));
    try {
      const stateShape = [weights.length, n, h];
      const numbers = [n * d, sizeOf(stateShape), kind === "LSTM" ? sizeOf(stateShape) : 0, n * gates * h];
      core.heap.checkRoom(
        numbers.map((count) => count * BYTES[dtype]),
        `stream of ${n} rows`,
      );
      this.#x = arena.zeros("x", dtype, [n, d]);
      this.#h = arena.zeros("state", dtype, stateShape);
      this.#c = kind === "LSTM" ? arena.zeros("state", dtype, stateShape) : this.#h;
      this.#scratch = arena.allocate("gates", dtype, [n, gates * h]);
      const row = (of: FloatTensor, layer: number) => of.slice(layer, 1).reshape([n, h]);
      weights.forEach((layer, i) => {
        const x = i === 0 ? this.#x : row(this.#h, i - 1);
        const packed = packWeights(arena, dtype, gates, layer);
        this.#layers.push({ weights: packed, x, h: row(this.#h, i), c: row(this.#c, i) });
      });
      this.#output = row(this.#h, weights.length - 1);
      for (const state of [this.#h, this.#c]) state.freeze();
      this.state = Object.freeze(kind === "LSTM" ? { h: this.#h, c: this.#c } : { h: this.#h });
    } catch (error) {
      arena.dispose();
      throw error;
    }
  }

  /**
   * One step.
   *
   * @param x N*D numbers, row by row
   * @returns N*H numbers: a live view, valid until the next call of this package (copy it to keep it)
   * @throws ShapeError, DisposedError
   */
  step(x: ArrayLike<number>): Float64Array | Float32Array {
    this.#checkAlive();
    const input = this.#x.data;
    checkNumbers(x, input.length);
    input.set(x);
    for (const { weights, x: from, h, c } of this.#layers) {
      if (this.#kind === "LSTM") {
        lstmCellForward(this.#nonlinearity, from, h, c, weights, h, c, this.#scratch);
      } else {
        rnnCellForward(this.#nonlinearity, from, h, weights, this.#scratch);
        h.copyFrom(this.#scratch);
      }
    }
    return this.#output.data as Float64Array | Float32Array;
  }

  /** Sets the state: h0 and c0 [numLayers,N,H], zeros by default. */
  reset(state: { h0?: Tensor; c0?: Tensor } = {}): void {
    this.#checkAlive();
    checkOptions("reset", state, this.#kind === "LSTM" ? ["h0", "c0"] : ["h0"]);
    const take = (name: "h0" | "c0") => {
      const value = state[name];
      return value === undefined ? undefined : takeTensor(this.#arena.core, name, value, this.#h.dtype, this.#h.shape);
    };
    const [h0, c0] = [take("h0"), take("c0")];
    for (const [target, value] of [
      [this.#c, c0],
      [this.#h, h0],
    ] as const) {
      if (value) target.set(value.data);
      else target.fill(0);
    }
  }

  /** Gives the memory back at once. */
  dispose(): void {
    this.#arena.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkAlive(): void {
    if (this.#arena.disposed) throw new DisposedError("stream", "a disposed stream", "one that is alive");
  }
}

/** Holds the input of a step against what it must be. */
function checkNumbers(x: ArrayLike<number>, count: number): void {
  const expected = `${count} numbers (batchSize x inputSize)`;
  const typed =
    ArrayBuffer.isView(x) && !(x instanceof DataView || x instanceof BigInt64Array || x instanceof BigUint64Array);
  if (!typed && !Array.isArray(x)) throw new DtypeError("x", describe(x), expected);
  if (x.length !== count) throw new ShapeError("x", `${x.length} numbers`, expected);
  if (typed) return;
  for (let i = 0; i < count; i++) {
    if (typeof x[i] !== "number") throw new DtypeError(`x[${i}]`, describe(x[i]), "a number");
  }
}
