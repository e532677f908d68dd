// One step at a time: a recurrent stack with its state kept in wasm memory, and no allocation in a step.

import { DisposedError, DtypeError, ShapeError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor } from "../../bindings/memory.js";
import { sizesOf, Stepper, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import { BYTES, describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize } from "./layer.js";

/** Options of `stream()` of a recurrent layer. */
export interface StreamOptions {
  /** N, the rows that step together (default 1). */
  batchSize?: number;
}

/** A recurrent stack that takes one step at a time; made by `layer.stream()`, with a copy of the layer's weights. */
export class Stream {
  /**
   * The state, live in wasm memory. Reading `.data` gives a current view; writing to it changes the state.
   */
  readonly state: {
    /** [numLayers,N,P]. */
    readonly h: Tensor;
    /** [numLayers,N,H] (LSTM). */
    readonly c?: Tensor;
  };
  readonly #arena: Arena;
  readonly #layers: Stepper[] = [];
  readonly #x: FloatTensor;
  readonly #h: FloatTensor;
  readonly #c: FloatTensor | undefined;
  readonly #output: FloatTensor;

  /** @internal */
  constructor(core: Core, dtype: FloatDtype, cell: Cell, weights: readonly RecurrentWeights[], options: StreamOptions) {
    checkOptions("stream", options, ["batchSize"]);
    const { batchSize: n = 1 } = options;
    checkSize("batchSize", n);
    const d = weights[0]!.weightIh.shape[1]!;
    const { h, p } = sizesOf(cell, weights[0]!);
    const layers = weights.length;
    const arena = (this.#arena = new Arena(core, true));
    try {
      const numbers = [n * d, layers * n * p, layers * n * h, layers * n * 4 * h];
      core.heap.checkRoom(
        numbers.map((count) => count * BYTES[dtype]),
        `stream of ${n} rows`,
      );
      this.#x = arena.zeros("x", dtype, [n, d]);
      this.#h = arena.zeros("state", dtype, [layers, n, p]);
      this.#c = cell.kind === "LSTM" ? arena.zeros("state", dtype, [layers, n, h]) : undefined;
      const state = (of: FloatTensor, layer: number) => of.slice(layer, 1).reshape([n, of.shape[2]!]);
      weights.forEach((layer, i) => {
        const x = i === 0 ? this.#x : state(this.#h, i - 1);
        const c = this.#c && state(this.#c, i);
        this.#layers.push(new Stepper(arena, dtype, cell, layer, x, state(this.#h, i), c));
      });
      this.#output = state(this.#h, layers - 1);
      for (const each of [this.#h, this.#c]) each?.freeze();
      this.state = Object.freeze(this.#c ? { h: this.#h, c: this.#c } : { h: this.#h });
    } catch (error) {
      arena.dispose();
      throw error;
    }
  }

  /**
   * One step, to the same bits as `forward`; nothing is allocated.
   *
   * @param x N*D numbers, row by row
   * @returns h of the last layer, N*P numbers: a live view, valid until the next call of this package (copy it to keep it)
   * @throws ShapeError, DtypeError, DisposedError
   */
  step(x: ArrayLike<number>): Float64Array | Float32Array {
    this.#checkAlive();
    const input = this.#x.data;
    checkNumbers(x, input.length, "batchSize x inputSize");
    input.set(x);
    for (const layer of this.#layers) layer.step();
    return this.#output.data as Float64Array | Float32Array;
  }

  /**
   * Sets the state.
   *
   * @param state h0 [numLayers,N,P] and, for an LSTM, c0 [numLayers,N,H]; zeros by default
   * @throws ShapeError, DtypeError, UnsupportedError, DisposedError
   */
  reset(state: { h0?: Tensor; c0?: Tensor } = {}): void {
    this.#checkAlive();
    checkOptions("reset", state, this.#c ? ["h0", "c0"] : ["h0"]);
    const take = (name: "h0" | "c0", target: FloatTensor | undefined) => {
      const value = state[name];
      if (value === undefined || target === undefined) return undefined;
      return takeTensor(this.#arena.core, name, value, target.dtype, target.shape);
    };
    const [h0, c0] = [take("h0", this.#h), take("c0", this.#c)];
    for (const [target, value] of [
      [this.#c, c0],
      [this.#h, h0],
    ] as const) {
      if (value) target?.set(value.data);
      else target?.fill(0);
    }
  }

  /** Gives the memory back at once. */
  dispose(): void {
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkAlive(): void {
    if (this.#arena.disposed) throw new DisposedError("stream", "a disposed stream", "one that is alive");
  }
}

/** Holds the input of a step against what it must be: `count` numbers, which are as many as `what` says. */
export function checkNumbers(x: ArrayLike<number>, count: number, what: string): void {
  const typed =
    ArrayBuffer.isView(x) && !(x instanceof DataView || x instanceof BigInt64Array || x instanceof BigUint64Array);
  // what is expected is spelled out only to be thrown: a text made at every step would be an allocation
  if (!typed && !Array.isArray(x)) throw new DtypeError("x", describe(x), `${count} numbers (${what})`);
  if (x.length !== count) throw new ShapeError("x", `${x.length} numbers`, `${count} numbers (${what})`);
  if (typed) return;
  for (let i = 0; i < count; i++) {
    if (typeof x[i] !== "number") throw new DtypeError(`x[${i}]`, describe(x[i]), "a number");
  }
}
