/// <reference lib="esnext.disposable" preserve="true" />
// What every layer has: parameters in wasm memory, modes, state_dict, disposal.

import {
  DisposedError,
  DtypeError,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
} from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { Arena, takeTensor, withArena, type WasmTensor } from "../../bindings/memory.js";
import { floatDtype } from "../../bindings/kernels.js";
import { BYTES, describe, showShape, sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import type { Random } from "../random.js";

/** A trainable tensor and its gradient, both live in wasm memory: `.data` is a current view. */
export interface Parameter {
  /** As in PyTorch's state_dict, such as weight_ih_l0. */
  readonly name: string;
  /** The numbers; writing to `.data` changes the layer. */
  readonly value: Tensor;
  /** The sum of the gradients of all backward passes since `zeroGrad`, in the shape of `value`. */
  readonly grad: Tensor;
}

/** A parameter as layers and optimizers have it. */
export interface WasmParameter extends Parameter {
  readonly value: WasmTensor<FloatDtype>;
  readonly grad: WasmTensor<FloatDtype>;
}

/** Options that all layers have. */
export interface LayerOptions {
  /** The type of the parameters and of what goes in and comes out: "f64" (default) or "f32". */
  dtype?: FloatDtype;
  /** Seed of the initial weights, an integer >= 0; by default another one each time. */
  seed?: number;
}

/** Refuses options that are not known, so that none is passed over in silence. */
export function checkOptions(owner: string, options: object, known: readonly string[]): void {
  if (options === null || typeof options !== "object") {
    throw new ValueError(`${owner} options`, describe(options), "an object");
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw new UnsupportedError(`${owner} option`, key, known.join(", "));
  }
}

export function checkSize(argument: string, value: number, largest = Infinity): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > largest) {
    const expected = largest === Infinity ? "an integer >= 1" : `an integer from 1 to ${largest}`;
    throw new ShapeError(argument, describe(value), expected);
  }
}

export function checkFlag(argument: string, value: boolean): void {
  if (typeof value !== "boolean") throw new ValueError(argument, describe(value), "true or false");
}

/** How PyTorch's layers start: draws of U(-1/sqrt(size), 1/sqrt(size)). */
export function initialDraw(random: Random, size: number): () => number {
  const bound = 1 / Math.sqrt(size);
  return () => (2 * random.uniform() - 1) * bound;
}

function checkDtype(dtype: FloatDtype): void {
  if (dtype !== "f64" && dtype !== "f32") throw new ValueError("dtype", describe(dtype), '"f64" or "f32"');
}

/**
 * A part of a network with parameters.
 *
 * @typeParam Tape what a forward pass in training mode keeps for the backward pass
 */
export abstract class Layer<Tape = unknown> {
  /** The number type of the parameters, and of what goes in and comes out. */
  readonly dtype: FloatDtype;
  protected readonly arena: Arena;
  readonly #parameters: WasmParameter[] = [];
  readonly #kind: string;
  #training = true;
  #kept: { arena: Arena; tape: Tape } | undefined;

  protected constructor(kind: string, dtype: FloatDtype = "f64") {
    checkDtype(dtype);
    this.#kind = kind;
    this.dtype = dtype;
    this.arena = new Arena(currentCore(), true);
  }

  /**
   * Adds parameters whose numbers come from `draw`, one after the other in row-major order: all, or, where memory does
   * not do, none, and the layer is disposed of.
   */
  protected addParameters(
    shapes: readonly (readonly [name: string, shape: readonly number[]])[],
    draw: () => number,
  ): WasmParameter[] {
    const { arena, dtype } = this;
    try {
      const sizes = shapes.map(([, shape]) => sizeOf(shape) * BYTES[dtype]);
      arena.core.heap.checkRoom([...sizes, ...sizes], `parameters of ${this.#kind}`);
      for (const [name, shape] of shapes) {
        const value = arena.allocate(`parameter ${name} ${showShape(shape)}`, dtype, [...shape]).freeze();
        const grad = arena.allocate(`gradient of ${name}`, dtype, [...shape]).freeze();
        this.#parameters.push(Object.freeze({ name, value, grad }));
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    for (const { value, grad } of this.#parameters) {
      const { data } = value;
      for (let i = 0; i < data.length; i++) data[i] = draw();
      grad.fill(0);
    }
    return [...this.#parameters];
  }

  /** Whether the layer is in training mode, in which `forward` keeps what `backward` needs. A new layer is. */
  get training(): boolean {
    return this.#training;
  }

  /**
   * The parameters, in PyTorch's order, as they live in the layer: no copies.
   *
   * @throws DisposedError
   */
  parameters(): Parameter[] {
    this.checkAlive();
    return [...this.#parameters];
  }

  /**
   * Sets all gradients to zero, as PyTorch's Module.zero_grad: backward passes add to them.
   *
   * @throws DisposedError
   */
  zeroGrad(): void {
    this.checkAlive();
    for (const { grad } of this.#parameters) grad.fill(0);
  }

  /**
   * Training mode, in which a new layer is: `forward` keeps what `backward` needs, and drops out.
   *
   * @returns the layer
   * @throws DisposedError
   */
  train(): this {
    this.checkAlive();
    this.#training = true;
    return this;
  }

  /**
   * Inference mode: `forward` keeps nothing, and no dropout.
   *
   * @returns the layer
   * @throws DisposedError
   */
  eval(): this {
    this.checkAlive();
    this.#training = false;
    return this;
  }

  /**
   * Copies of the parameters by PyTorch's names.
   *
   * @throws DisposedError
   */
  stateDict(): Record<string, Tensor> {
    this.checkAlive();
    return stateDictOf(this.#parameters);
  }

  /**
   * Sets all parameters from tensors by name; f32 and f64 convert.
   *
   * @param dict an entry for each parameter, and no other, as `stateDict` or `readSafetensors` gives them
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, DisposedError; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    this.checkAlive();
    loadStateDictInto(this.#parameters, dict);
  }

  /** Gives the layer's memory back at once. The layer and its parameters cannot be used any more. */
  dispose(): void {
    this.#release();
    this.arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * A forward pass: `body` puts what backward needs into `keep`, everything else into `scratch`. In training mode its
   * tape takes the place of the one before.
   */
  protected record<R>(body: (keep: Arena, scratch: Arena) => { result: R; tape: Tape }): R {
    this.checkAlive();
    const { core } = this.arena;
    const keep = new Arena(core, this.#training);
    let kept = false;
    try {
      const { result, tape } = withArena(core, (scratch) => body(keep, scratch));
      if (this.#training) {
        this.#release();
        this.#kept = { arena: keep, tape };
        kept = true;
      }
      return result;
    } finally {
      if (!kept) keep.dispose();
    }
  }

  /** A backward pass: takes the tape of the latest forward pass in training mode, and lets go of it when it succeeds. */
  protected replay<R>(body: (tape: Tape, scratch: Arena) => R): R {
    this.checkAlive();
    const kept = this.#kept;
    if (!kept) {
      const received = this.#training ? "no forward pass before it" : "no forward pass in training mode before it";
      throw new StateError(`${this.#kind}.backward`, received, "one forward pass in training mode for each backward");
    }
    const result = withArena(this.arena.core, (scratch) => body(kept.tape, scratch));
    this.#release();
    return result;
  }

  #release(): void {
    this.#kept?.arena.dispose();
    this.#kept = undefined;
  }

  protected checkAlive(): void {
    if (this.arena.disposed) throw new DisposedError(this.#kind, "a disposed layer", "one that is alive");
  }
}

/** Copies of the values of parameters, by name. */
export function stateDictOf(parameters: readonly Parameter[]): Record<string, Tensor> {
  return Object.fromEntries(parameters.map(({ name, value }) => [name, (value as WasmTensor).download()]));
}

/**
 * Copies `dict` into the values of parameters, all or nothing; f32 and f64 convert.
 *
 * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry
 */
export function loadStateDictInto(parameters: readonly Parameter[], dict: Readonly<Record<string, Tensor>>): void {
  checkDict(dict);
  const names = parameters.map(({ name }) => name);
  for (const name of Object.keys(dict)) {
    if (!names.includes(name))
      throw new ShapeError("dict", `an unknown entry "${name}"`, names.join(", ") || "no entries");
  }
  const entries = parameters.map(({ name, value }) => {
    const entry = Object.hasOwn(dict, name) ? dict[name] : undefined;
    if (entry === undefined) throw new ShapeError("dict", `no entry "${name}"`, names.join(", "));
    const target = value as WasmTensor;
    return [target, takeEntry(target.arena, name, entry, target.shape)] as const;
  });
  for (const [target, { data }] of entries) target.set(data);
}

export function checkDict(dict: unknown): void {
  if (dict === null || typeof dict !== "object") {
    throw new DtypeError("dict", describe(dict), "a record of tensors by name");
  }
}

/** An entry, held against a shape; f64 and f32 will do. */
export function takeEntry(arena: Arena, name: string, entry: Tensor, shape: readonly number[]): Tensor {
  const argument = `dict["${name}"]`;
  return takeTensor(arena.core, argument, entry, floatDtype(argument, entry), shape);
}
