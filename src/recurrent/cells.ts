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
import { describe, readTensor, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { checkSealed, sealed } from "../base/sealed.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions } from "../nn/layer.js";
import { setTraits } from "../nn/traits.js";
import { checkOutside, currentTape } from "../recording/current.js";
import type { Gradients } from "../recording/tape.js";
import { checkNonlinearity } from "./options.js";
import { weightShapes, weightsOf } from "./parameters.js";
import { readOptional } from "./sequences.js";
import { Stream, type StreamOptions } from "./stream.js";

/**
 * Options that all cells have.
 *
 * @typeParam D the number type
 */
export interface CellOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Whether there are biases (default true). */
  bias?: boolean | undefined;
}

/**
 * Options of `RNNCell`.
 *
 * @typeParam D the number type
 */
export interface RNNCellOptions<D extends FloatDtype = FloatDtype> extends CellOptions<D> {
  /** "tanh" (default) or "relu". */
  nonlinearity?: "tanh" | "relu" | undefined;
}

/**
 * Options of `GRUCell`.
 *
 * @typeParam D the number type
 */
export interface GRUCellOptions<D extends FloatDtype = FloatDtype> extends CellOptions<D> {
  /** Whether the reset gate is applied after the recurrent product (default true) or before. */
  resetAfter?: boolean | undefined;
}

/** The contents of caches. A map instead of private fields: a bundler leaves it out of apps without cells. */
const contents = /* @__PURE__ */ new WeakMap<object, { owner: object; arena: Arena; pass: Pass | undefined }>();

/**
 * What one step in training mode saved for its backward pass. A loop may hold as many as it has steps; `dispose` frees one
 * that is not needed. In inference mode a step saves nothing.
 */
export class CellCache {
  /** @internal */
  constructor(owner: object, arena: Arena, pass: Pass | undefined) {
    if (!(arena instanceof Arena)) throw new StateError("CellCache", "a call of its constructor", "cell.forward()");
    contents.set(this, { owner, arena, pass });
  }

  /** Frees the memory; `backward` does so itself. */
  dispose(): void {
    checkOutside("CellCache.dispose");
    contents.get(this)?.arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The state of `RNNCell` and `GRUCell`, or the gradient of the next state. */
export interface CellState {
  /** [N,H], or [H] where x is [D]; zeros by default. */
  h?: Tensor | undefined;
}

/** The state of `LSTMCell`, or the gradient of the next state. */
export interface LSTMCellState extends CellState {
  /** [N,H], or [H] where x is [D]; zeros by default. */
  c?: Tensor | undefined;
}

/**
 * Results of `forward` of `RNNCell` and `GRUCell`.
 *
 * @typeParam D the number type
 */
export type CellOutput<D extends FloatDtype = FloatDtype> = {
  /** The next h: [N,H] or [H]. */
  h: Tensor<D>;
  /** An argument of `backward` for this step. */
  cache: CellCache;
};

/**
 * Results of `LSTMCell.forward`.
 *
 * @typeParam D the number type
 */
export type LSTMCellOutput<D extends FloatDtype = FloatDtype> = CellOutput<D> & {
  /** The next c: [N,H] or [H]. */
  c: Tensor<D>;
};

/**
 * Results of `backward` of `RNNCell` and `GRUCell`.
 *
 * @typeParam D the number type
 */
export type CellInputGradients<D extends FloatDtype = FloatDtype> = {
  /** The gradient of x, in its shape. */
  x: Tensor<D>;
  /** The gradient of the previous h: [N,H] or [H]. */
  h: Tensor<D>;
};

/**
 * Results of `LSTMCell.backward`.
 *
 * @typeParam D the number type
 */
export type LSTMCellInputGradients<D extends FloatDtype = FloatDtype> = CellInputGradients<D> & {
  /** The gradient of the previous c: [N,H] or [H]. */
  c: Tensor<D>;
};

/**
 * The base of the cells.
 *
 * @typeParam D the number type
 * @typeParam State the state, or the gradient of the next state
 * @typeParam Output the results of forward
 * @typeParam InputGradients the results of backward
 */
abstract class Cell<
  D extends FloatDtype,
  State extends CellState,
  Output extends CellOutput<D>,
  InputGradients extends CellInputGradients<D>,
> extends Layer<D> {
  readonly #memory: LayerMemory<D>;
  readonly #cell: CellOf;
  readonly #weights: RecurrentWeights;
  readonly #gradients: RecurrentWeights;

  protected constructor(
    cell: CellOf,
    /** Size D of x. */
    readonly inputSize: number,
    /** Size H of the state. */
    readonly hiddenSize: number,
    options: CellOptions<D>,
  ) {
    checkSealed("Cell", cell, "RNNCell, LSTMCell or GRUCell");
    checkSize("inputSize", inputSize);
    checkSize("hiddenSize", hiddenSize);
    const { bias = true, dtype, seed } = options;
    checkFlag("bias", bias);
    const random = new Random(seed);
    const memory = new LayerMemory<D>(`${cell.kind}Cell`, dtype);
    super(memory);
    this.#memory = memory;
    this.#cell = cell;
    const shapes = weightShapes(cell.kind, inputSize, hiddenSize, options);
    const parameters = memory.addParameters(shapes, initialDraw(random, hiddenSize));
    this.#weights = weightsOf(parameters, "value");
    this.#gradients = weightsOf(parameters, "grad");
    setTraits(this, { cell });
    lockFields(this);
  }

  /**
   * Runs one step.
   *
   * @param x [N,D] or [D]
   * @param state the previous state, or what `forward` returned for the previous step
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: State = {} as State): Output {
    this.#memory.checkAlive();
    const { dtype, kind, training, parameters } = this.#memory;
    // the whole result of the step before will do
    const given: LSTMCellState = checkOptions(`${kind}.forward`, state, [...this.#stateNames(), "cache"]);
    const tape = currentTape();
    const inputs = { x, h: given.h, c: given.c };
    const { x: read, h: h0, c: c0 } = tape ? tape.read(inputs) : inputs;
    const plain = readTensor("x", read);
    const axes = plain.shape.length === 1 ? [] : ["N"];
    const input = takeTensor("x", plain, dtype, [...axes, this.inputSize]);
    const batch = input.shape.slice(0, -1);
    const n = batch[0] ?? 1;
    const shape = [...batch, this.hiddenSize];
    const initial = {
      h0: readOptional("h", h0, dtype, shape),
      c0: readOptional("c", c0, dtype, shape),
    };
    this.#memory.checkAlive(); // code of the caller's may have run
    const keep = training || tape !== undefined;
    const saved = new Arena(this.#memory.arena.core, training && !tape);
    let handedOut = false;
    try {
      const step = { cell: this.#cell, t: 1, n, rows: n, x: saved.copy("x", input, dtype, input.shape) as FloatTensor };
      const pass = sequenceForward(saved, dtype, step, this.#weights, initial, { training: keep });
      const h = pass.hs.slice(n, n).download(shape);
      const c = pass.cs && (keep ? pass.cs.slice(n, n) : pass.cs).download(shape);
      const outputs = c ? { h, c } : { h };
      if (tape) {
        const backward = (gradients: Gradients, scratch: Arena) => this.#backward(pass, gradients, scratch);
        tape.push({ inputs: { x: plain, h: h0, c: c0 }, outputs, parameters, arena: saved, backward });
      }
      const cache = new CellCache(this, saved, training && !tape ? pass : undefined);
      handedOut = keep;
      return { ...outputs, cache } as unknown as Output;
    } finally {
      if (!handedOut) saved.dispose();
    }
  }

  /**
   * Runs one step backward, and adds to the gradients of the parameters. It uses the cache up.
   *
   * @param gradients of the results of forward; those left out are zero
   * @param cache of that forward, which need not be the latest
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: State, cache: CellCache): InputGradients {
    const { kind, dtype, arena } = this.#memory;
    checkOutside(`${kind}.backward`);
    this.#memory.checkAlive();
    const given: LSTMCellState = checkOptions(`${kind}.backward`, gradients, this.#stateNames());
    const { x } = this.#passOf(cache);
    const shape = [...x.shape.slice(0, -1), this.hiddenSize];
    const [h, c] = [readOptional("h", given.h, dtype, shape), readOptional("c", given.c, dtype, shape)];
    this.#memory.checkAlive(); // code of the caller's may have run
    const pass = this.#passOf(cache);
    return withArena(arena.core, (scratch) => {
      const results = this.#backward(pass, { h, c }, scratch);
      contents.get(cache)?.arena.dispose(); // not its own method, which anyone can replace
      const downloaded: Record<string, Tensor> = {};
      for (const name in results) downloaded[name] = results[name]!.download();
      return downloaded as unknown as InputGradients;
    });
  }

  /** Runs the step of a pass backward; the gradients have the right shapes. */
  #backward(pass: Pass, { h, c }: Gradients, scratch: Arena): Record<string, FloatTensor> {
    const { hiddenSize } = this;
    const { dtype } = this.#memory;
    const { n, x } = pass;
    const upload = (name: "h" | "c", gradient: Tensor | undefined): FloatTensor => {
      if (gradient === undefined) return scratch.zeros(name, dtype, [n, hiddenSize]);
      return scratch.copy(name, gradient, dtype, gradient.shape);
    };
    const dh = upload("h", h);
    const dc = this.#cell.kind === "LSTM" ? upload("c", c) : undefined;
    const dx: FloatTensor = scratch.allocate("dx", dtype, x.shape);
    sequenceBackward(scratch, dtype, pass, this.#weights, this.#gradients, { dh, dc, dx });
    const shape = [...x.shape.slice(0, -1), hiddenSize];
    const states = { x: dx, h: dh.reshape(shape) };
    return dc ? { ...states, c: dc.reshape(shape) } : states;
  }

  /**
   * Runs the cell one step at a time, on a copy of its weights, with the state kept inside: h is [1,N,H] there, as in the stream of
   * a recurrent layer.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: StreamOptions = {}): Stream<D> {
    return new Stream(this.#memory, this.#cell, [this.#weights], options);
  }

  #stateNames(): readonly string[] {
    return this.#cell.kind === "LSTM" ? ["h", "c"] : ["h"];
  }

  /** The pass that a cache from outside saved. */
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

/**
 * One step of an RNN, as PyTorch's [nn.RNNCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html):
 * h' = phi(W_ih x + b_ih + W_hh h + b_hh).
 *
 * Parameters weight_ih [H,D], weight_hh [H,H], bias_ih, bias_hh [H], drawn from U(-1/sqrt(H), 1/sqrt(H)).
 *
 * @typeParam D the number type
 */
export class RNNCell<D extends FloatDtype = "f64"> extends Cell<D, CellState, CellOutput<D>, CellInputGradients<D>> {
  /**
   * Creates a cell with random weights.
   *
   * @param inputSize D, the size of x
   * @param hiddenSize H, the size of the state
   * @param options the non-linearity, bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions<D> = {}) {
    const given = checkOptions("RNNCell", options, ["nonlinearity", "bias", "dtype", "seed"]);
    const { nonlinearity = "tanh" } = given;
    checkNonlinearity(nonlinearity);
    super(sealed({ kind: "RNN", phi: nonlinearity }), inputSize, hiddenSize, given);
  }
}

/**
 * One step of an LSTM, as PyTorch's [nn.LSTMCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html); the
 * equations are those of `LSTM`.
 *
 * Parameters weight_ih [4H,D], weight_hh [4H,H], bias_ih, bias_hh [4H], in the gate order i f g o, drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 *
 * @typeParam D the number type
 */
export class LSTMCell<D extends FloatDtype = "f64"> extends Cell<
  D,
  LSTMCellState,
  LSTMCellOutput<D>,
  LSTMCellInputGradients<D>
> {
  /**
   * Creates a cell with random weights.
   *
   * @param inputSize D, the size of x
   * @param hiddenSize H, the size of the state
   * @param options bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: CellOptions<D> = {}) {
    const given = checkOptions("LSTMCell", options, ["bias", "dtype", "seed"]);
    super(sealed({ kind: "LSTM", phi: "tanh" }), inputSize, hiddenSize, given);
  }
}

/**
 * One step of a GRU, as PyTorch's [nn.GRUCell](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html); the equations
 * are those of `GRU`.
 *
 * Parameters weight_ih [3H,D], weight_hh [3H,H], bias_ih, bias_hh [3H], in the gate order r z n, drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 *
 * @typeParam D the number type
 */
export class GRUCell<D extends FloatDtype = "f64"> extends Cell<D, CellState, CellOutput<D>, CellInputGradients<D>> {
  /**
   * Creates a cell with random weights.
   *
   * @param inputSize D, the size of x
   * @param hiddenSize H, the size of the state
   * @param options resetAfter, bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: GRUCellOptions<D> = {}) {
    const given = checkOptions("GRUCell", options, ["resetAfter", "bias", "dtype", "seed"]);
    const { resetAfter = true } = given;
    checkFlag("resetAfter", resetAfter);
    super(sealed({ kind: "GRU", phi: "tanh", resetAfter }), inputSize, hiddenSize, given);
  }
}
