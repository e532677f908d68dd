/// <reference lib="esnext.disposable" preserve="true" />
// The base of all layers: parameters in wasm memory, modes, state dictionaries, disposal; and the Module type.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { floatDtype, uniform, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, wasmTensorOf, withArena, WasmTensor } from "../../bindings/memory.js";
import {
  BYTES,
  checkKind,
  describe,
  readTensor,
  sizeOf,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkDict, checkDtype, checkOptions } from "../base/check.js";
import { makeParameter, type Parameter, type WasmParameter } from "../base/parameter.js";
import type { Random } from "../base/random.js";
import { checkOutside, currentTape } from "../recording/current.js";
import type { Call, Gradients } from "../recording/tape.js";

export type { Parameter, WasmParameter };

/**
 * Options that all layers have.
 *
 * @typeParam D the number type
 */
export interface LayerOptions<D extends FloatDtype = FloatDtype> {
  /** Number type of the parameters, inputs and outputs: "f64" (default) or "f32". */
  dtype?: D | undefined;
  /** Seed of the initial weights, an integer >= 0; a different one each time by default. */
  seed?: number | undefined;
}

/** Options of `loadStateDict`: which entries of a dictionary are meant. */
export interface LoadOptions {
  /** Only entries whose names start with this are meant, without it: "lstm." for a part of a larger model (default ""). */
  prefix?: string | undefined;
  /**
   * Gives each entry another name, before the prefix counts; undefined leaves it out.
   *
   * @param name the name in the dictionary
   */
  rename?: ((name: string) => string | undefined) | undefined;
}

/**
 * The type of every layer, and of your own models that are used like one: it has parameters and runs forward and backward.
 * Cells are no modules: their `forward` returns the states of one step.
 *
 * @typeParam D the number type
 */
export interface Module<D extends FloatDtype = FloatDtype> {
  /**
   * Computes the output.
   *
   * @param x the input
   */
  forward(x: Tensor): {
    /** The output. */
    output: Tensor<D>;
  };
  /**
   * Adds to the gradients of the parameters, and returns that of x.
   *
   * @param gradients those of the values that `forward` returned
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x; absent if x is indices. */
    x?: Tensor<D>;
  };
  /** The parameters, live. */
  parameters(): Parameter<D>[];
  /** Sets all gradients to zero. */
  zeroGrad(): void;
  /** Switches to training mode. */
  train(): this;
  /** Switches to inference mode. */
  eval(): this;
  /** Copies of the parameters, by name. */
  stateDict(): Record<string, Tensor<D>>;
  /**
   * Sets all parameters from tensors, by name.
   *
   * @param dict an entry for each parameter
   * @param options which entries are meant
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, options?: LoadOptions): void;
  /** Frees the memory. */
  dispose(): void;
}

/** Gives a new parameter its numbers. */
export type Fill = (value: FloatTensor) => void;

/** PyTorch's initial weights: draws of U(-1/sqrt(size), 1/sqrt(size)). */
export function initialDraw(random: Random, size: number): Fill {
  return (value) => {
    const { state } = random;
    uniform(value, 1 / Math.sqrt(size), state);
    random.state = state;
  };
}

/** How a forward pass runs. */
export interface Mode {
  /** Whether the layer is in training mode: dropout, statistics of the batch. */
  readonly training: boolean;
  /** Whether a backward pass may follow. */
  readonly keep: boolean;
}

/** A tensor of a layer's state, as in its state dictionary. */
interface StateEntry<D extends FloatDtype = FloatDtype> {
  readonly name: string;
  readonly value: Tensor<D>;
  /** Reads the tensor from an entry of a dictionary; by default one of f64 or f32, in the shape of `value`. */
  readonly read?: (name: string, entry: Tensor) => TensorData;
}

/** The backward pass that belongs to the values that a forward pass saved. */
type Backward<Saved> = (values: Saved, gradients: Gradients, scratch: Arena) => Gradients;

/**
 * The private part of a layer: its memory, its parameters, and what the latest forward pass in training mode saved for the
 * backward pass. A layer holds it in a private field: whoever reached it could write anywhere in wasm memory.
 *
 * @typeParam D the number type
 * @typeParam Saved what a forward pass saves
 */
export class LayerMemory<D extends FloatDtype, Saved = never> {
  readonly arena: Arena;
  readonly dtype: D;
  readonly parameters: WasmParameter<D>[] = [];
  /** State that is not trained, such as running statistics. */
  readonly buffers: StateEntry<D>[] = [];
  /** Whether the layer is in training mode. */
  training = true;
  #saved: { arena: Arena; backward: Call["backward"] } | undefined;

  /**
   * @param kind the layer's name in errors
   * @param dtype "f64" by default, which D is then
   */
  constructor(
    readonly kind: string,
    dtype = "f64" as D,
  ) {
    checkDtype(dtype);
    this.dtype = dtype;
    this.arena = new Arena(currentCore(), true);
  }

  /**
   * Adds parameters whose numbers come from `fill`, zeros by default, or from one of their own. Where memory does not suffice for all
   * of them, the layer is disposed of.
   */
  addParameters(
    shapes: readonly (readonly [name: string, shape: readonly number[], fill?: Fill])[],
    fill: Fill = (value) => value.fill(0),
  ): WasmParameter<D>[] {
    const { arena, dtype, parameters } = this;
    const added: WasmParameter<D>[] = [];
    try {
      const sizes = shapes.map(([, shape]) => sizeOf(shape) * BYTES[dtype]);
      arena.core.heap.checkRoom([...sizes, ...sizes], `parameters of ${this.kind}`);
      for (const [name, shape] of shapes) added.push(makeParameter(arena, name, dtype, shape));
    } catch (error) {
      this.dispose();
      throw error;
    }
    added.forEach(({ value, grad }, k) => {
      (shapes[k]![2] ?? fill)(value);
      grad.fill(0);
    });
    parameters.push(...added);
    return added;
  }

  /**
   * Runs a forward pass. Where it is recorded, the recording keeps what the backward pass needs; else in training mode the layer
   * keeps it, in place of that of the pass before. Otherwise, or where `body` throws, it is freed.
   *
   * @param inputs by the names of their gradients, not read yet
   * @param body takes the inputs, allocates in `saved` what the backward pass needs, and returns it as `values`; the rest in
   *   `scratch`. The names of the gradients of its results are theirs
   * @param backward returns the gradients of the inputs, adds to those of the parameters
   */
  runForward<I extends Gradients, R extends object>(
    inputs: I,
    body: (inputs: I, saved: Arena, scratch: Arena, mode: Mode) => { result: R; values: Saved },
    backward: Backward<Saved>,
  ): R {
    this.checkAlive();
    const { training, parameters } = this;
    const { core } = this.arena;
    const tape = currentTape();
    const given = tape ? tape.read(inputs) : inputs;
    const keep = training || tape !== undefined;
    const arena = new Arena(core, training && !tape && this.arena); // a recording frees it in any case
    let kept = false;
    try {
      const { result, values } = withArena(core, (scratch) => body(given, arena, scratch, { training, keep }));
      this.checkAlive(); // code of the caller's may have run
      const back: Call["backward"] = (gradients, scratch) => backward(values, gradients, scratch);
      if (tape) {
        tape.push({ inputs: given, outputs: result as Record<string, unknown>, parameters, arena, backward: back });
      } else if (training) {
        this.#release();
        this.#saved = { arena, backward: back };
      }
      kept = keep;
      return result;
    } finally {
      if (!kept) arena.dispose();
    }
  }

  /** Runs the backward pass of the latest forward pass in training mode; frees what it saved if it succeeds. */
  runBackward<R>(gradients: object): R {
    checkOutside(`${this.kind}.backward`);
    this.checkAlive();
    const saved = this.#saved;
    if (!saved) {
      const received = this.training ? "no forward pass before it" : "no forward pass in training mode before it";
      throw new StateError(`${this.kind}.backward`, received, "one forward pass in training mode for each backward");
    }
    return withArena(this.arena.core, (scratch) => {
      const results: Record<string, Tensor | undefined> = { ...saved.backward(gradients as Gradients, scratch) };
      for (const name in results) {
        const result = results[name];
        if (result instanceof WasmTensor) results[name] = result.download();
      }
      this.#release();
      return results as R;
    });
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
type Memory<D extends FloatDtype> = Omit<LayerMemory<D, unknown>, "runForward" | "runBackward">;

/**
 * The base of all layers and cells.
 *
 * @typeParam D the number type
 * @typeParam Own the type of `dtype`: undefined in layers without parameters that take both number types
 */
export abstract class Layer<D extends FloatDtype = FloatDtype, Own extends FloatDtype | undefined = D> {
  /** Number type of the parameters, inputs and outputs; undefined if the layer has no parameters and takes f64 and f32. */
  readonly dtype: Own;
  readonly #memory: Memory<D>;

  /**
   * @internal
   * @param takesBoth whether inputs may be of f64 and f32
   */
  protected constructor(memory: Memory<D>, takesBoth = false) {
    if (!((memory as object) instanceof LayerMemory)) {
      throw new StateError("Layer", "a call of its constructor", "a layer of this package");
    }
    this.#memory = memory;
    this.dtype = (takesBoth ? undefined : memory.dtype) as Own;
  }

  /**
   * Whether a value is a layer of this package.
   *
   * @internal
   */
  static isLayer(value: unknown): value is Layer {
    return typeof value === "object" && value !== null && #memory in value;
  }

  /**
   * The name of a layer's class, also in minified code; undefined for what is no layer of this package.
   *
   * @internal
   */
  static kindOf(value: unknown): string | undefined {
    return Layer.isLayer(value) ? value.#memory.kind : undefined;
  }

  /** Whether the layer is in training mode, in which `forward` saves what `backward` needs. A new layer is. */
  get training(): boolean {
    return this.#memory.training;
  }

  /**
   * The parameters in PyTorch's order, live: no copies.
   *
   * @throws DisposedError
   */
  parameters(): Parameter<D>[] {
    this.#memory.checkAlive();
    return this.#memory.parameters.map(({ shown }) => shown);
  }

  /**
   * Sets all gradients to zero, as PyTorch's Module.zero_grad. Backward passes add to them.
   *
   * @throws DisposedError
   */
  zeroGrad(): void {
    this.#memory.checkAlive();
    for (const { grad } of this.#memory.parameters) grad.fill(0);
  }

  /**
   * Switches to training mode: `forward` saves what `backward` needs, and dropout is active. A new layer is in it.
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
   * Switches to inference mode: `forward` saves nothing, and there is no dropout.
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
   * Copies of the parameters, and of running statistics, by PyTorch's names.
   *
   * @throws DisposedError
   */
  stateDict(): Record<string, Tensor<D>> {
    return stateDictOf([...this.parameters(), ...this.#memory.buffers]);
  }

  /**
   * Sets the parameters, and running statistics, from tensors by name; f32 and f64 convert.
   *
   * @param dict an entry for each and no other, such as `stateDict` or `readSafetensors` returns
   * @param options which entries are meant: `prefix`, `rename`
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, ValueError, StateError, DisposedError; nothing
   *   is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, options: LoadOptions = {}): void {
    checkOutside(`${this.#memory.kind}.loadStateDict`);
    loadStateDictInto([...this.parameters(), ...this.#memory.buffers], dict, options);
  }

  /** Frees the layer's memory. The layer and its parameters cannot be used any more. */
  dispose(): void {
    checkOutside(`${this.#memory.kind}.dispose`);
    this.#memory.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Copies of the values, by name. */
export function stateDictOf<D extends FloatDtype>(state: readonly StateEntry<D>[]): Record<string, Tensor<D>> {
  return Object.fromEntries(state.map(({ name, value }) => [name, wasmTensorOf(value)!.download() as Tensor<D>]));
}

/**
 * The entries that are meant, by the names without the prefix; each with its name in the dictionary. None is read.
 *
 * @throws DtypeError, ValueError, UnsupportedError
 */
export function entriesMeant(dict: unknown, options: LoadOptions): Map<string, string> {
  checkDict(dict);
  const { prefix = "", rename } = checkOptions("loadStateDict", options, ["prefix", "rename"]);
  if (typeof prefix !== "string") throw new ValueError("prefix", describe(prefix), "a string");
  if (rename !== undefined && typeof rename !== "function")
    throw new ValueError("rename", describe(rename), "a function");
  const meant = new Map<string, string>();
  for (const key of Object.keys(dict as object)) {
    const name: unknown = rename ? rename(key) : key;
    if (name === undefined) continue;
    if (typeof name !== "string") throw new ValueError(`rename("${key}")`, describe(name), "a string or undefined");
    if (!name.startsWith(prefix)) continue;
    const own = name.slice(prefix.length);
    const other = meant.get(own);
    if (other !== undefined) throw new ValueError("rename", `"${name}" for "${other}" and "${key}"`, "different names");
    meant.set(own, key);
  }
  return meant;
}

/**
 * Copies of the entries of `dict` that are meant, in the order of the state.
 *
 * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry; ValueError, UnsupportedError (options)
 */
export function readStateDict(
  state: readonly (Omit<StateEntry, "value"> & { readonly value: Pick<Tensor, "shape"> })[],
  dict: Readonly<Record<string, Tensor>>,
  options: LoadOptions = {},
): TensorData[] {
  const meant = entriesMeant(dict, options);
  const { prefix = "" } = options;
  const names = new Set(state.map(({ name }) => name));
  const listed = (): string => [...names].slice(0, 20).join(", ") || "no entries";
  for (const [name, key] of meant) {
    if (!names.has(name)) throw new ShapeError("dict", `an unknown entry "${key}"`, listed());
  }
  return state.map(({ name, value, read }) => {
    const key = meant.get(name);
    const entry = key === undefined ? undefined : dict[key];
    if (entry === undefined) throw new ShapeError("dict", `no entry "${prefix}${name}"`, listed());
    return read ? read(key!, entry) : copyEntry(key!, entry, value.shape);
  });
}

/** Copies `dict` into the values, all or nothing; f32 and f64 convert. Throws as `readStateDict`. */
export function loadStateDictInto(
  state: readonly StateEntry[],
  dict: Readonly<Record<string, Tensor>>,
  options: LoadOptions = {},
): void {
  const copies = readStateDict(state, dict, options);
  state.forEach(({ value }, i) => wasmTensorOf(value)!.set(copies[i]!));
}

/** A copy of the numbers of an entry, which must have the shape, of f64 or f32. */
export function copyEntry(name: string, entry: Tensor, shape: readonly number[]): TensorData {
  const argument = `dict["${name}"]`;
  const plain = readTensor(argument, entry);
  checkKind(argument, plain, floatDtype(argument, plain), shape);
  return plain.data.slice();
}
