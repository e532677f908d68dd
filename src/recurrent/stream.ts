// One step at a time: a recurrent stack with its state kept in wasm memory, and no allocation in a step.

import { DisposedError, StateError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, LiveTensor, takeTensor } from "../../bindings/memory.js";
import { sizesOf, Stepper, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import { BYTES, readNumbers, sizeOf, zeros, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize } from "../base/check.js";
import { LayerMemory } from "../nn/layer.js";

/** Options of `stream()` of a recurrent layer. */
export interface StreamOptions {
  /** N, the rows that step together (default 1). */
  batchSize?: number;
}

/** The numbers of a step, taken from the caller's array into wasm memory without an allocation. */
export class StepInput {
  readonly #tensor: FloatTensor;
  readonly #what: string;
  /** What was read so far: a plain array may have getters, which run code of the caller's. */
  readonly #numbers: Float64Array | Float32Array;
  #reading = false;

  /** @param what how many numbers a step has, in words */
  constructor(tensor: FloatTensor, what: string) {
    this.#tensor = tensor;
    this.#what = what;
    this.#numbers = zeros(tensor.dtype, sizeOf(tensor.shape)) as Float64Array | Float32Array;
  }

  /**
   * Reads every number once, then copies them all.
   *
   * @throws ShapeError, DtypeError; StateError in a call from a getter of x; DisposedError where such a getter disposed
   */
  take(x: ArrayLike<number>): void {
    if (this.#reading) throw new StateError("step", "a call from a getter of x", "one step after the other");
    this.#reading = true;
    try {
      readNumbers("x", x, this.#numbers.length, this.#what, this.#numbers);
    } finally {
      this.#reading = false;
    }
    this.#tensor.data.set(this.#numbers);
  }
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
  readonly #input: StepInput;

  /** @internal */
  constructor(memory: object, cell: Cell, weights: readonly RecurrentWeights[], options: StreamOptions) {
    if (!(memory instanceof LayerMemory)) throw new StateError("Stream", "a call of its constructor", "layer.stream()");
    const { batchSize: n = 1 } = checkOptions("stream", options, ["batchSize"]);
    checkSize("batchSize", n);
    memory.checkAlive(); // code of the caller's may have run
    const { dtype } = memory;
    const { core } = memory.arena;
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
      this.#input = new StepInput(this.#x, "batchSize x inputSize");
      const live = new LiveTensor(this.#h);
      this.state = Object.freeze(this.#c ? { h: live, c: new LiveTensor(this.#c) } : { h: live });
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
    this.#input.take(x);
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
    const given = checkOptions("reset", state, this.#c ? ["h0", "c0"] : ["h0"]);
    const take = (name: "h0" | "c0", target: FloatTensor | undefined) => {
      const value = given[name];
      if (value === undefined || target === undefined) return undefined;
      return takeTensor(name, value, target.dtype, target.shape);
    };
    const [h0, c0] = [take("h0", this.#h), take("c0", this.#c)];
    this.#checkAlive(); // code of the caller's may have run
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
