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
import { describe, readTensor, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { checkSealed, sealed } from "../base/sealed.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions } from "../nn/layer.js";
import { checkNonlinearity } from "./options.js";
import { weightShapes, weightsOf } from "./parameters.js";

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

/** What a cache stands for. A map, not private fields: a bundler leaves it out of apps without cells. */
const contents = /* @__PURE__ */ new WeakMap<object, { owner: object; arena: Arena; pass: Pass | undefined }>();

/**
 * What one step in training mode saved for its backward pass; as many steps may wait as a loop has. `dispose` gives its
 * memory back. In inference mode (`eval`) a step saves nothing.
 */
export class CellCache {
  /** @internal */
  constructor(owner: object, arena: Arena, pass: Pass | undefined) {
    if (!(arena instanceof Arena)) throw new StateError("CellCache", "a call of its constructor", "cell.forward()");
    contents.set(this, { owner, arena, pass });
  }

  /** Gives the memory back at once; a backward does so itself. */
  dispose(): void {
    contents.get(this)?.arena.dispose();
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
abstract class Cell extends Layer {
  readonly #memory: LayerMemory;
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
    checkSealed("Cell", cell, "RNNCell, LSTMCell or GRUCell");
    checkSize("inputSize", inputSize);
    checkSize("hiddenSize", hiddenSize);
    const { bias = true, dtype, seed } = options;
    checkFlag("bias", bias);
    const random = new Random(seed);
    const memory = new LayerMemory(`${cell.kind}Cell`, dtype);
    super(memory);
    this.#memory = memory;
    this.#cell = cell;
    const shapes = weightShapes(cell.kind, inputSize, hiddenSize, options);
    const parameters = memory.addParameters(shapes, initialDraw(random, hiddenSize));
    this.#weights = weightsOf(parameters, "value");
    this.#gradients = weightsOf(parameters, "grad");
    lockFields(this);
  }

  protected step(x: Tensor, state: LSTMCellState): { h: Tensor; c: Tensor | undefined; cache: CellCache } {
    this.#memory.checkAlive();
    const { hiddenSize } = this;
    const { dtype, kind, training } = this.#memory;
    const { core } = this.#memory.arena;
    const taken = checkOptions(`${kind}.forward`, state, this.#stateNames());
    const plain = readTensor("x", x);
    const axes = plain.shape.length === 1 ? [] : ["N"];
    const input = takeTensor("x", plain, dtype, [...axes, this.inputSize]);
    const batch = input.shape.slice(0, -1);
    const n = batch[0] ?? 1;
    const take = (name: "h" | "c") => {
      const value = taken[name];
      return value === undefined ? undefined : takeTensor(name, value, dtype, [...batch, hiddenSize]);
    };
    const first = { h0: take("h"), c0: take("c") };
    this.#memory.checkAlive(); // code of the caller's may have run
    const saved = new Arena(core, training);
    let kept = false;
    try {
      const on: FloatTensor = saved.copy("x", input, dtype, input.shape);
      const step = { cell: this.#cell, t: 1, n, rows: n, x: on };
      const pass = sequenceForward(saved, dtype, step, this.#weights, first, training);
      const shape = [...batch, hiddenSize];
      const h = pass.hs.slice(n, n).download(shape);
      const c = pass.cs && (training ? pass.cs.slice(n, n) : pass.cs).download(shape);
      const cache = new CellCache(this, saved, training ? pass : undefined);
      kept = training;
      return { h, c, cache };
    } finally {
      if (!kept) saved.dispose();
    }
  }

  protected stepBackward(gradients: LSTMCellState, cache: CellCache): { x: Tensor; h: Tensor; c: Tensor | undefined } {
    this.#memory.checkAlive();
    const { hiddenSize } = this;
    const { dtype, kind } = this.#memory;
    const lstm = this.#cell.kind === "LSTM";
    const given = checkOptions(`${kind}.backward`, gradients, this.#stateNames());
    const { n, x } = this.#passOf(cache);
    const batch = x.shape.slice(0, -1);
    const take = (name: "h" | "c") => {
      const value = given[name];
      return value === undefined ? undefined : takeTensor(name, value, dtype, [...batch, hiddenSize]);
    };
    const [givenH, givenC] = [take("h"), take("c")];
    this.#memory.checkAlive(); // code of the caller's may have run
    const pass = this.#passOf(cache);
    return withArena(this.#memory.arena.core, (scratch) => {
      const gradient = (name: "h" | "c", value: Tensor | undefined): FloatTensor => {
        if (value === undefined) return scratch.zeros(name, dtype, [n, hiddenSize]);
        return scratch.copy(name, value, dtype, value.shape);
      };
      const dh = gradient("h", givenH);
      const dc = lstm ? gradient("c", givenC) : undefined;
      const dx: FloatTensor = scratch.allocate("dx", dtype, x.shape);
      sequenceBackward(scratch, dtype, pass, this.#weights, this.#gradients, { dh, dc, dx });
      contents.get(cache)?.arena.dispose(); // not its own method, which anyone can replace
      const shape = [...batch, hiddenSize];
      return { x: dx.download(), h: dh.download(shape), c: dc?.download(shape) };
    });
  }

  #stateNames(): readonly string[] {
    return this.#cell.kind === "LSTM" ? ["h", "c"] : ["h"];
  }

  /** What the step of a cache from outside saved. */
  #passOf(cache: CellCache): Pass {
    const content = contents.get(cache);
    if (!content) throw new DtypeError("cache", describe(cache), "what forward returned as cache");
    if (content.owner !== this) throw new StateError("cache", "a cache of another cell", "one of this cell");
    if (!content.pass || content.arena.disposed) {
      const received = "a cache that was used, disposed of, or made in inference mode";
      throw new StateError("cache", received, "that of one forward in training mode for each backward");
    }
    return content.pass;
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
    const taken = checkOptions("RNNCell", options, ["nonlinearity", "bias", "dtype", "seed"]);
    const { nonlinearity = "tanh" } = taken;
    checkNonlinearity(nonlinearity);
    super(sealed({ kind: "RNN", phi: nonlinearity }), inputSize, hiddenSize, taken);
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
    const taken = checkOptions("LSTMCell", options, ["bias", "dtype", "seed"]);
    super(sealed({ kind: "LSTM", phi: "tanh" }), inputSize, hiddenSize, taken);
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
    const taken = checkOptions("GRUCell", options, ["resetAfter", "bias", "dtype", "seed"]);
    const { resetAfter = true } = taken;
    checkFlag("resetAfter", resetAfter);
    super(sealed({ kind: "GRU", phi: "tanh", resetAfter }), inputSize, hiddenSize, taken);
  }
}
