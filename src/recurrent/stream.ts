// Runs a recurrent stack one step at a time. The state stays in wasm memory; a step allocates nothing.

import { DisposedError, StateError } from "../../bindings/errors.js";
import { Arena, LiveTensor, type WasmTensor } from "../../bindings/memory.js";
import { sizesOf, Stepper, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import { BYTES, type FloatDtype, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions, checkSize } from "../base/check.js";
import { LayerMemory } from "../nn/layer.js";
import { StepInput } from "../nn/step-input.js";
import { checkOutside } from "../recording/current.js";
import { readOptional } from "./sequences.js";

/** Options of `stream()` of a recurrent layer. */
export interface StreamOptions {
  /** N, the number of rows of the batch (default 1). */
  batchSize?: number | undefined;
}

/**
 * A recurrent stack that runs one step at a time, on a copy of the layer's weights; `layer.stream()` creates it.
 *
 * @typeParam D the number type
 */
export class Stream<D extends FloatDtype = FloatDtype> {
  /**
   * The state, live in wasm memory. Reading `.data` gives a current view; writing to it changes the state.
   */
  readonly state: {
    /** [numLayers,N,P]. */
    readonly h: Tensor<D>;
    /** [numLayers,N,H] (LSTM). */
    readonly c?: Tensor<D>;
  };
  readonly #arena: Arena;
  readonly #layers: Stepper[] = [];
  readonly #x: WasmTensor<D>;
  readonly #h: WasmTensor<D>;
  readonly #c: WasmTensor<D> | undefined;
  readonly #output: WasmTensor<D>;
  readonly #input: StepInput<D>;

  /** @internal */
  constructor(
    memory: LayerMemory<D, unknown>,
    cell: Cell,
    weights: readonly RecurrentWeights[],
    options: StreamOptions,
  ) {
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
      const state = (all: WasmTensor<D>, layer: number) => all.slice(layer, 1).reshape([n, all.shape[2]!]);
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
   * Runs one step, with the same bits as `forward`; nothing is allocated.
   *
   * @param x [N,D], N*D numbers
   * @returns h of the last layer [N,P], N*P numbers: a live view, valid until the next call of this package; copy it to keep it
   * @throws ShapeError, DtypeError, DisposedError
   */
  step(x: ArrayLike<number>): TensorData<D> {
    checkOutside("stream.step");
    this.#checkAlive();
    this.#input.read(x);
    for (const layer of this.#layers) layer.step();
    return this.#output.data;
  }

  /**
   * Sets the state.
   *
   * @param state h0 [numLayers,N,P] and, for an LSTM, c0 [numLayers,N,H]; zeros by default
   * @throws ShapeError, DtypeError, UnsupportedError, DisposedError
   */
  reset(state: { h0?: Tensor | undefined; c0?: Tensor | undefined } = {}): void {
    this.#checkAlive();
    const given = checkOptions("reset", state, this.#c ? ["h0", "c0"] : ["h0"]);
    const h0 = readOptional("h0", given.h0, this.#h.dtype, this.#h.shape);
    const c0 = this.#c && readOptional("c0", given.c0, this.#c.dtype, this.#c.shape);
    this.#checkAlive(); // code of the caller's may have run
    const set = (target: WasmTensor<D>, value: Tensor | undefined) => (value ? target.set(value.data) : target.fill(0));
    set(this.#h, h0);
    if (this.#c) set(this.#c, c0);
  }

  /** Frees the memory. */
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
