/// <reference lib="esnext.disposable" preserve="true" />
// Layers that run one step at a time, each on a copy of its weights. Recurrent layers have streams of their own.

import { DisposedError, DtypeError, ShapeError, UnsupportedError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena } from "../../bindings/memory.js";
import {
  describe,
  dtypeOf,
  kindOf,
  lengthOf,
  readNumbers,
  type FloatDtype,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkOptions, checkSize } from "../base/check.js";
import { checkSealed, sealed } from "../base/sealed.js";
import { checkOutside } from "../recording/current.js";
import { StepInput } from "./step-input.js";

/** Options of `stream()` of a layer. */
export interface LayerStreamOptions {
  /** N, the number of rows of the batch (default 1). */
  batchSize?: number | undefined;
}

/** A layer that runs: `run` reads the tensor that it was made for, and writes its output. */
export interface Stage {
  /** [N,M]. */
  readonly output: FloatTensor;
  /** Allocates nothing. */
  run(): void;
  /** Sets its state, if it has one, to that before the first step. */
  reset?(): void;
}

/** How a layer becomes a stage. */
export interface StreamPlan {
  readonly core: Core;
  /** The number type of x; undefined: any. */
  readonly dtype: FloatDtype | undefined;
  /** D, the numbers of a row of x; undefined: any. */
  readonly features: number | undefined;
  /**
   * Makes the stage.
   *
   * @param arena owns it, and copies of the layer's weights
   * @param x [N,D], read in every step
   */
  make(arena: Arena, x: FloatTensor): Stage;
}

const plans = /* @__PURE__ */ new WeakMap<object, () => StreamPlan>();

/** Says how a layer becomes a stage. Layers call it in their constructors. */
export function setStreamPlan(layer: object, plan: () => StreamPlan): void {
  plans.set(layer, plan);
}

/**
 * How a layer becomes a stage; a stage may read another's output.
 *
 * @throws UnsupportedError where it cannot run step by step; DisposedError
 */
export function streamPlan(layer: object): StreamPlan {
  const plan = plans.get(layer);
  if (!plan) throw new UnsupportedError("stream", describe(layer), "layers that can run one step at a time");
  return plan();
}

/** A stream of one layer. */
export function openStream<D extends FloatDtype>(layer: object, options: LayerStreamOptions): LayerStream<D> {
  const { batchSize = 1 } = checkOptions("stream", options, ["batchSize"]);
  checkSize("batchSize", batchSize);
  return new LayerStream<D>(sealed({ ...streamPlan(layer) }), batchSize);
}

/**
 * A layer that runs one step at a time, on a copy of its weights; `layer.stream()` creates it.
 *
 * @typeParam D the number type
 */
export class LayerStream<D extends FloatDtype = FloatDtype> {
  readonly #arena: Arena;
  readonly #plan: StreamPlan;
  readonly #batchSize: number;
  #running: { input: StepInput; stage: Stage; output: FloatTensor } | undefined;

  /** @internal */
  constructor(plan: StreamPlan, batchSize: number) {
    checkSealed("LayerStream", plan, "layer.stream()");
    this.#plan = plan;
    this.#batchSize = batchSize;
    this.#arena = new Arena(plan.core, true);
    const { dtype, features } = plan;
    if (dtype === undefined || features === undefined) return;
    try {
      this.#start(dtype, features);
    } catch (error) {
      this.#arena.dispose();
      throw error;
    }
  }

  /**
   * Runs one step, with the bits that the layer gives in `forward` in inference mode; nothing is allocated. Where the layer takes
   * inputs of any size, the first step decides the size and the number type, that of a Float32Array or else f64.
   *
   * @param x [N,D], N*D numbers; indices [N] for an embedding
   * @returns the output [N,M], N*M numbers: a live view, valid until the next call of this package; copy it to keep it
   * @throws ShapeError, DtypeError, ValueError (an index out of range), StateError (in a recorded body), DisposedError
   */
  step(x: ArrayLike<number>): TensorData<D> {
    checkOutside("stream.step");
    this.#checkAlive();
    if (this.#running) this.#running.input.read(x);
    else this.#startWith(x);
    const { stage, output } = this.#running!;
    stage.run();
    return output.data as TensorData<D>;
  }

  /**
   * Goes back to before the first step.
   *
   * @throws DisposedError
   */
  reset(): void {
    this.#checkAlive();
    this.#running?.stage.reset?.();
  }

  /** Frees the memory. */
  dispose(): void {
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Reads the first step of a layer that takes any size. */
  #startWith(x: ArrayLike<number>): void {
    const typed = kindOf(x) !== undefined;
    if (!typed && !Array.isArray(x)) throw new DtypeError("x", describe(x), "an array of numbers");
    const count = typed ? lengthOf(x as unknown as ArrayBufferView) : x.length;
    const n = this.#batchSize;
    if (!(count > 0 && count % n === 0)) throw new ShapeError("x", `${count} numbers`, `a multiple of batchSize, ${n}`);
    const numbers = readNumbers("x", x, count, "its length", [] as number[]);
    this.#checkAlive(); // code of the caller's may have run
    const own = dtypeOf(x as unknown) === "f32" ? "f32" : "f64";
    if (!this.#running) this.#start(this.#plan.dtype ?? own, count / n);
    this.#running!.input.read(numbers);
  }

  #start(dtype: FloatDtype, features: number): void {
    const x: FloatTensor = this.#arena.zeros("x", dtype, [this.#batchSize, features]);
    const stage = this.#plan.make(this.#arena, x);
    const input = new StepInput(x, "batchSize x the size of a row");
    this.#running = { input, stage, output: stage.output.reshape(stage.output.shape) }; // its view is the caller's
  }

  #checkAlive(): void {
    if (this.#arena.disposed) throw new DisposedError("stream", "a disposed stream", "one that is alive");
  }
}
