/// <reference lib="esnext.disposable" preserve="true" />
// What every layer has: parameters in wasm memory, modes, state_dict, disposal.

import { DisposedError, ShapeError, StateError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { floatDtype } from "../../bindings/kernels.js";
import { Arena, LiveTensor, wasmTensorOf, withArena, type WasmTensor } from "../../bindings/memory.js";
import {
  BYTES,
  checkKind,
  readTensor,
  showShape,
  sizeOf,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkDict, checkDtype } from "../base/check.js";
import type { Random } from "../base/random.js";

/** A trainable tensor and its gradient, both live in wasm memory: `.data` is a current view. */
export interface Parameter {
  /** As in PyTorch's state_dict, such as weight_ih_l0. */
  readonly name: string;
  /** The numbers; writing to `.data` changes the layer. */
  readonly value: Tensor;
  /** The sum of the gradients of all backward passes since `zeroGrad`, in the shape of `value`. */
  readonly grad: Tensor;
}

/** A parameter as layers and optimizers have it, in wasm memory. */
export interface WasmParameter {
  readonly name: string;
  readonly value: WasmTensor<FloatDtype>;
  readonly grad: WasmTensor<FloatDtype>;
  /** As users hold it. */
  readonly shown: Parameter;
}

/** Options that all layers have. */
export interface LayerOptions {
  /** The type of the parameters and of what goes in and comes out: "f64" (default) or "f32". */
  dtype?: FloatDtype;
  /** Seed of the initial weights, an integer >= 0; by default another one each time. */
  seed?: number;
}

/** How PyTorch's layers start: draws of U(-1/sqrt(size), 1/sqrt(size)). */
export function initialDraw(random: Random, size: number): () => number {
  const bound = 1 / Math.sqrt(size);
  return () => (2 * random.uniform() - 1) * bound;
}

/**
 * What a layer keeps to itself: its memory, the parameters there, and what the latest forward pass in training mode saved
 * for the backward pass. A layer holds it in a private field: whoever reached it could write anywhere in wasm memory.
 *
 * @typeParam Saved what a forward pass saves
 */
export class LayerMemory<Saved = never> {
  readonly arena: Arena;
  readonly parameters: WasmParameter[] = [];
  /** Whether the layer is in training mode. */
  training = true;
  #saved: { arena: Arena; values: Saved } | undefined;

  /**
   * @param kind the layer's name in errors
   * @param dtype of the parameters
   */
  constructor(
    readonly kind: string,
    readonly dtype: FloatDtype = "f64",
  ) {
    checkDtype(dtype);
    this.arena = new Arena(currentCore(), true);
  }

  /**
   * Adds parameters whose numbers come from `draw`, one after the other in row-major order: all, or, where memory does
   * not do, none, and the layer is disposed of.
   */
  addParameters(
    shapes: readonly (readonly [name: string, shape: readonly number[]])[],
    draw: () => number,
  ): WasmParameter[] {
    const { arena, dtype, parameters } = this;
    try {
      const sizes = shapes.map(([, shape]) => sizeOf(shape) * BYTES[dtype]);
      arena.core.heap.checkRoom([...sizes, ...sizes], `parameters of ${this.kind}`);
      for (const [name, shape] of shapes) {
        const value = arena.allocate(`parameter ${name} ${showShape(shape)}`, dtype, [...shape]);
        const grad = arena.allocate(`gradient of ${name}`, dtype, [...shape]);
        const shown = Object.freeze({ name, value: new LiveTensor(value), grad: new LiveTensor(grad) });
        parameters.push({ name, value, grad, shown });
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
    for (const { value, grad } of parameters) {
      const { data } = value;
      for (let i = 0; i < data.length; i++) data[i] = draw();
      grad.fill(0);
    }
    return [...parameters];
  }

  /**
   * A forward pass: `body` saves what backward needs in the arena `saved`, everything else in `scratch`. In training mode
   * what it saved replaces what the pass before it did.
   */
  record<R>(body: (saved: Arena, scratch: Arena, training: boolean) => { result: R; values: Saved }): R {
    this.checkAlive();
    const { training } = this;
    const { core } = this.arena;
    const arena = new Arena(core, training);
    let saved = false;
    try {
      const { result, values } = withArena(core, (scratch) => body(arena, scratch, training));
      this.checkAlive(); // code of the caller's may have run
      if (training) {
        this.#release();
        this.#saved = { arena, values };
        saved = true;
      }
      return result;
    } finally {
      if (!saved) arena.dispose();
    }
  }

  /** A backward pass: takes what the latest forward pass in training mode saved, and frees it when it succeeds. */
  replay<R>(body: (values: Saved, scratch: Arena) => R): R {
    this.checkAlive();
    const saved = this.#saved;
    if (!saved) {
      const received = this.training ? "no forward pass before it" : "no forward pass in training mode before it";
      throw new StateError(`${this.kind}.backward`, received, "one forward pass in training mode for each backward");
    }
    const result = withArena(this.arena.core, (scratch) => body(saved.values, scratch));
    this.#release();
    return result;
  }

  dispose(): void {
    this.#release();
    this.arena.dispose();
  }

  checkAlive(): void {
    if (this.arena.disposed) throw new DisposedError(this.kind, "a disposed layer", "one that is alive");
  }

  #release(): void {
    this.#saved?.arena.dispose();
    this.#saved = undefined;
  }
}

/** `LayerMemory`, whatever a forward pass saves there. */
type Memory = Omit<LayerMemory<unknown>, "record" | "replay">;

/** A part of a network with parameters. */
export abstract class Layer {
  /** The number type of the parameters, and of what goes in and comes out. */
  readonly dtype: FloatDtype;
  readonly #memory: Memory;

  /** @internal */
  protected constructor(memory: Memory) {
    if (!(memory instanceof LayerMemory)) {
      throw new StateError("Layer", "a call of its constructor", "a layer of this package");
    }
    this.#memory = memory;
    this.dtype = memory.dtype;
  }

  /** Whether the layer is in training mode, in which `forward` keeps what `backward` needs. A new layer is. */
  get training(): boolean {
    return this.#memory.training;
  }

  /**
   * The parameters, in PyTorch's order, as they live in the layer: no copies.
   *
   * @throws DisposedError
   */
  parameters(): Parameter[] {
    this.#memory.checkAlive();
    return this.#memory.parameters.map(({ shown }) => shown);
  }

  /**
   * Sets all gradients to zero, as PyTorch's Module.zero_grad: backward passes add to them.
   *
   * @throws DisposedError
   */
  zeroGrad(): void {
    this.#memory.checkAlive();
    for (const { grad } of this.#memory.parameters) grad.fill(0);
  }

  /**
   * Training mode, in which a new layer is: `forward` keeps what `backward` needs, and drops out.
   *
   * @returns the layer
   * @throws DisposedError
   */
  train(): this {
    this.#memory.checkAlive();
    this.#memory.training = true;
    return this;
  }

  /**
   * Inference mode: `forward` keeps nothing, and no dropout.
   *
   * @returns the layer
   * @throws DisposedError
   */
  eval(): this {
    this.#memory.checkAlive();
    this.#memory.training = false;
    return this;
  }

  /**
   * Copies of the parameters by PyTorch's names.
   *
   * @throws DisposedError
   */
  stateDict(): Record<string, Tensor> {
    return stateDictOf(this.parameters());
  }

  /**
   * Sets all parameters from tensors by name; f32 and f64 convert.
   *
   * @param dict an entry for each parameter, and no other, as `stateDict` or `readSafetensors` gives them
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, DisposedError; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    loadStateDictInto(this.parameters(), dict);
  }

  /** Gives the layer's memory back at once. The layer and its parameters cannot be used any more. */
  dispose(): void {
    this.#memory.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Copies of the values of parameters, by name. */
export function stateDictOf(parameters: readonly Parameter[]): Record<string, Tensor> {
  return Object.fromEntries(parameters.map(({ name, value }) => [name, wasmTensorOf(value)!.download()]));
}

/**
 * Copies `dict` into the values of parameters, all or nothing; f32 and f64 convert.
 *
 * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry
 */
export function loadStateDictInto(parameters: readonly Parameter[], dict: Readonly<Record<string, Tensor>>): void {
  checkDict(dict);
  const names = new Set(parameters.map(({ name }) => name));
  const listed = (): string => [...names].slice(0, 20).join(", ") || "no entries";
  for (const name of Object.keys(dict)) {
    if (!names.has(name)) throw new ShapeError("dict", `an unknown entry "${name}"`, listed());
  }
  const copies = parameters.map(({ name, value }) => {
    const entry = Object.hasOwn(dict, name) ? dict[name] : undefined;
    if (entry === undefined) throw new ShapeError("dict", `no entry "${name}"`, listed());
    return copyEntry(name, entry, value.shape);
  });
  parameters.forEach(({ value }, i) => wasmTensorOf(value)!.set(copies[i]!));
}

/** A copy of the numbers of an entry that must have a shape; f64 and f32 will do. */
export function copyEntry(name: string, entry: Tensor, shape: readonly number[]): TensorData {
  const argument = `dict["${name}"]`;
  const plain = readTensor(argument, entry);
  checkKind(argument, plain, floatDtype(argument, plain), shape);
  return plain.data.slice();
}
