// The recurrent cells, for those who write their own loop over time: one step forward, one step backward.

import { DtypeError, StateError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor, withArena } from "../../bindings/memory.js";
import {
  sequenceBackward,
  sequenceForward,
  type Cell as CellOf,
  type Pass,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { Random } from "../random.js";
import { checkFlag, checkOptions, checkSize, initialDraw, Layer, type LayerOptions } from "./layer.js";
import { checkNonlinearity } from "./recurrent-options.js";
import { weightShapes, weightsOf } from "./weights.js";

/** Options that all cells have. */
export interface CellOptions extends LayerOptions {
  /** Whether there are biases (default true). */
  bias?: boolean;
}

/** Options of `RNNCell`. */
export interface RNNCellOptions extends CellOptions {
  /** "tanh" (default) or "relu". */
  nonlinearity?: "tanh" | "relu";
}

/** Options of `GRUCell`. */
export interface GRUCellOptions extends CellOptions {
  /** Whether the reset gate is applied after the recurrent product (default true) or before. */
  resetAfter?: boolean;
}

/** What one step keeps for its backward: as many steps may wait as a loop has. It is the cell's own; `dispose` lets go. */
export class CellCache {
  /** @internal */
  readonly owner: object;
  /** @internal */
  pass: Pass | undefined;
  readonly #arena: Arena;

  /** @internal */
  constructor(owner: object, arena: Arena, pass: Pass) {
    this.owner = owner;
    this.#arena = arena;
    this.pass = pass;
  }

  /** Gives the memory back at once; a backward does so itself. */
  dispose(): void {
    this.pass = undefined;
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The state of `RNNCell` and `GRUCell`, or its gradient. */
export interface CellState {
  /** [N,H], or [H] where x is [D]; zeros by default. */
  h?: Tensor;
}

/** The state of `LSTMCell`, or its gradient. */
export interface LSTMCellState extends CellState {
  /** [N,H], or [H] where x is [D]; zeros by default. */
  c?: Tensor;
}

/** What the cells share. */
abstract class Cell extends Layer<never> {
  readonly #cell: CellOf;
  readonly #weights: RecurrentWeights;
  readonly #gradients: RecurrentWeights;

  protected constructor(
    cell: CellOf,
    /** Size D of what goes in. */
    readonly inputSize: number,
    /** Size H of the state. */
    readonly hiddenSize: number,
    options: CellOptions,
  ) {
    checkSize("inputSize", inputSize);
    checkSize("hiddenSize", hiddenSize);
    const { bias = true, dtype, seed } = options;
    checkFlag("bias", bias);
    super(`${cell.kind}Cell`, dtype);
    this.#cell = cell;
    const shapes = weightShapes(cell.kind, inputSize, hiddenSize, options);
    const parameters = this.addParameters(shapes, initialDraw(new Random(seed), hiddenSize));
    this.#weights = weightsOf(parameters, "value");
    this.#gradients = weightsOf(parameters, "grad");
  }

  protected step(x: Tensor, state: LSTMCellState): { h: Tensor; c: Tensor | undefined; cache: CellCache } {
    this.checkAlive();
    const { dtype, hiddenSize } = this;
    const { core } = this.arena;
    const lstm = this.#cell.kind === "LSTM";
    checkOptions(`${this.#cell.kind}Cell.forward`, state, lstm ? ["h", "c"] : ["h"]);
    const axes = x?.shape?.length === 1 ? [] : ["N"];
    const input = takeTensor(core, "x", x, dtype, [...axes, this.inputSize]);
    const batch = input.shape.slice(0, -1);
    const n = batch[0] ?? 1;
    const take = (name: "h" | "c") => {
      const value = state[name];
      return value === undefined ? undefined : takeTensor(core, name, value, dtype, [...batch, hiddenSize]);
    };
    const [h0, c0] = [take("h"), take("c")];
    const keep = new Arena(core, true);
    try {
      const on: FloatTensor = keep.copy("x", input, dtype, input.shape);
      const pass = sequenceForward(
        keep,
        dtype,
        { cell: this.#cell, t: 1, n, rows: n, x: on },
        this.#weights,
        { h0, c0 },
        true,
      );
      const next = (of: FloatTensor) => of.slice(n, n).download([...batch, hiddenSize]);
      return { h: next(pass.hs), c: pass.cs && next(pass.cs), cache: new CellCache(this, keep, pass) };
    } catch (error) {
      keep.dispose();
      throw error;
    }
  }

  protected stepBackward(gradients: LSTMCellState, cache: CellCache): { x: Tensor; h: Tensor; c: Tensor | undefined } {
    this.checkAlive();
    const { dtype, hiddenSize } = this;
    const kind = this.#cell.kind;
    const lstm = kind === "LSTM";
    checkOptions(`${kind}Cell.backward`, gradients, lstm ? ["h", "c"] : ["h"]);
    if (!(cache instanceof CellCache)) throw new DtypeError("cache", describe(cache), "what forward returned as cache");
    const { pass, owner } = cache;
    if (owner !== this) throw new StateError("cache", "a cache of another cell", "one of this cell");
    if (!pass) throw new StateError("cache", "a cache that was used", "one backward for each forward");
    const { n, x } = pass;
    const batch = x.shape.slice(0, -1);
    const { core } = this.arena;
    const take = (name: "h" | "c") => {
      const value = gradients[name];
      return value === undefined ? undefined : takeTensor(core, name, value, dtype, [...batch, hiddenSize]);
    };
    const [givenH, givenC] = [take("h"), take("c")]; // both, before the memory can grow
    return withArena(core, (scratch) => {
      const gradient = (name: "h" | "c", value: Tensor | undefined): FloatTensor => {
        if (value === undefined) return scratch.zeros(name, dtype, [n, hiddenSize]);
        return scratch.copy(name, value, dtype, value.shape);
      };
      const dh = gradient("h", givenH);
      const dc = lstm ? gradient("c", givenC) : undefined;
      const dx: FloatTensor = scratch.allocate("dx", dtype, x.shape);
      sequenceBackward(scratch, dtype, pass, this.#weights, this.#gradients, { dh, dc, dx });
      cache.dispose();
      const shape = [...batch, hiddenSize];
      return { x: dx.download(), h: dh.download(shape), c: dc?.download(shape) };
    });
  }
}

/** A cell whose state is h alone. */
abstract class SingleStateCell extends Cell {
  /**
   * One step.
   *
   * @param x [N,D] or [D]
   * @param state the state before
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(
    x: Tensor,
    state: CellState = {},
  ): {
    /** The next state: [N,H] or [H]. */
    h: Tensor;
    /** What `backward` of this step takes. */
    cache: CellCache;
  } {
    const { h, cache } = this.step(x, state);
    return { h, cache };
  }

  /**
   * Gradients of the parameters are added to; the cache is consumed.
   *
   * @param gradients of what forward returned; what is left out counts as zeros
   * @param cache of that forward, which may be any earlier one
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(
    gradients: CellState,
    cache: CellCache,
  ): {
    /** The gradient of x, in its shape. */
    x: Tensor;
    /** The gradient of the state before: [N,H] or [H]. */
    h: Tensor;
  } {
    const { x, h } = this.stepBackward(gradients, cache);
    return { x, h };
  }
}

/**
 * One step of an RNN, as PyTorch's [nn.RNNCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html):
 * h' = phi(W_ih x + b_ih + W_hh h + b_hh).
 *
 * Parameters weight_ih [H,D], weight_hh [H,H], bias_ih, bias_hh [H], drawn from U(-1/sqrt(H), 1/sqrt(H)).
 */
export class RNNCell extends SingleStateCell {
  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options the non-linearity, bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions = {}) {
    checkOptions("RNNCell", options, ["nonlinearity", "bias", "dtype", "seed"]);
    const { nonlinearity = "tanh" } = options;
    checkNonlinearity(nonlinearity);
    super({ kind: "RNN", phi: nonlinearity }, inputSize, hiddenSize, options);
  }
}

/**
 * One step of an LSTM, as PyTorch's [nn.LSTMCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html); the
 * equations are those of `LSTM`.
 *
 * Parameters weight_ih [4H,D], weight_hh [4H,H], bias_ih, bias_hh [4H], in the gate order i f g o, drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class LSTMCell extends Cell {
  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    checkOptions("LSTMCell", options, ["bias", "dtype", "seed"]);
    super({ kind: "LSTM", phi: "tanh" }, inputSize, hiddenSize, options);
  }

  /**
   * One step.
   *
   * @param x [N,D] or [D]
   * @param state the state before
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(
    x: Tensor,
    state: LSTMCellState = {},
  ): {
    /** The next h: [N,H] or [H]. */
    h: Tensor;
    /** The next c: [N,H] or [H]. */
    c: Tensor;
    /** What `backward` of this step takes. */
    cache: CellCache;
  } {
    return this.step(x, state) as { h: Tensor; c: Tensor; cache: CellCache };
  }

  /**
   * Gradients of the parameters are added to; the cache is consumed.
   *
   * @param gradients of what forward returned; what is left out counts as zeros
   * @param cache of that forward, which may be any earlier one
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(
    gradients: LSTMCellState,
    cache: CellCache,
  ): {
    /** The gradient of x, in its shape. */
    x: Tensor;
    /** The gradient of h before: [N,H] or [H]. */
    h: Tensor;
    /** The gradient of c before: [N,H] or [H]. */
    c: Tensor;
  } {
    return this.stepBackward(gradients, cache) as { x: Tensor; h: Tensor; c: Tensor };
  }
}

/**
 * One step of a GRU, as PyTorch's [nn.GRUCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html); the equations
 * are those of `GRU`.
 *
 * Parameters weight_ih [3H,D], weight_hh [3H,H], bias_ih, bias_hh [3H], in the gate order r z n, drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class GRUCell extends SingleStateCell {
  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options resetAfter, bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: GRUCellOptions = {}) {
    checkOptions("GRUCell", options, ["resetAfter", "bias", "dtype", "seed"]);
    const { resetAfter = true } = options;
    checkFlag("resetAfter", resetAfter);
    super({ kind: "GRU", phi: "tanh", resetAfter }, inputSize, hiddenSize, options);
  }
}
