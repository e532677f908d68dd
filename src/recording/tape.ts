// A recording: the calls of a body in order, and the way back through them. A call knows how to turn the gradients of its results
// into those of its inputs; what links one call to the next is the identity of an array. Layers, operations and losses push calls;
// minimize.ts runs bodies.

import { StateError } from "../../bindings/errors.js";
import { currentCore, type Core } from "../../bindings/instantiate.js";
import { add, floatDtype, scale, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, viewedTensor, WasmTensor } from "../../bindings/memory.js";
import { dtypeOf, readTensor, ReadTensor, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { parameterOf, type WasmParameter } from "../base/parameter.js";

/** What a recording knows a tensor by: the caller's array, or the tensor in wasm memory itself. */
type Key = object;

/** Gradients by name; those left out are zero. */
export type Gradients = Readonly<Record<string, Tensor | undefined>>;

/** A call to be recorded. */
export interface Call {
  /** Inputs that have a gradient, by the names under which `backward` returns it; integers are passed over. */
  readonly inputs: Gradients;
  /** Results, by the names under which `backward` takes their gradients; what is no tensor of f64 or f32 is passed over. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /** Parameters to whose gradients `backward` adds by itself. */
  readonly parameters?: readonly WasmParameter[];
  /** Owns what `backward` needs; the recording frees it. */
  readonly arena: Arena;
  /** Gradients of the inputs from those of the outputs, both in wasm memory or not. */
  backward(gradients: Gradients, scratch: Arena): Gradients;
}

/** A loss to be recorded: its gradients are known when it is computed. */
interface LossCall {
  /** Each input, the gradient of the loss with respect to it, and a factor of that. */
  readonly gradients: readonly (readonly [input: Tensor, gradient: FloatTensor, factor: number])[];
  /** Owns the gradients; the recording frees it. */
  readonly arena: Arena;
}

/** A tensor's type and shape. */
interface Spec {
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
}

/** A summand of what is minimised: a loss, or a tensor of one number, whose gradient is 1. */
interface Term {
  readonly weight: number;
  readonly gradients: readonly (readonly [key: Key, gradient: FloatTensor | Spec, factor: number])[];
}

/** A loss and its summands. */
export interface Objective {
  readonly loss: number;
  readonly terms: readonly Term[];
}

type Named = readonly [name: string, key: Key, shape: readonly number[]];

interface RecordedCall {
  readonly call: Call;
  readonly inputs: readonly Named[];
  readonly outputs: readonly Named[];
}

/** What a recording knows a tensor by. */
export function keyOf(tensor: Tensor): Key {
  if (tensor instanceof WasmTensor) return tensor;
  const source = tensor instanceof ReadTensor ? tensor.source : tensor.data;
  return viewedTensor(source) ?? source;
}

function isFloat(value: unknown): value is Tensor {
  if (value instanceof WasmTensor) return value.dtype !== "i32";
  const dtype = dtypeOf((value as Partial<Tensor> | null | undefined)?.data);
  return dtype === "f64" || dtype === "f32";
}

/** The names, keys and shapes of the tensors of f64 or f32. */
function keysOf(tensors: Readonly<Record<string, unknown>>): Named[] {
  const keys: Named[] = [];
  for (const name in tensors) {
    const tensor = tensors[name];
    if (isFloat(tensor)) keys.push([name, keyOf(tensor), tensor.shape]);
  }
  return keys;
}

/** The gradients that are waiting to be used, in arenas that are freed when none of theirs is left. */
class Waiting {
  readonly #gradients = new Map<Key, FloatTensor>();
  readonly #uses = new Map<Arena, number>();

  hold(arena: Arena): void {
    this.#uses.set(arena, (this.#uses.get(arena) ?? 0) + 1);
  }

  release(arena: Arena): void {
    const uses = this.#uses.get(arena)! - 1;
    this.#uses.set(arena, uses);
    if (uses > 0) return;
    this.#uses.delete(arena);
    arena.dispose();
  }

  /** Adds a gradient to that of a key. */
  add(key: Key, gradient: FloatTensor, scratch: Arena): void {
    const before = this.#gradients.get(key);
    if (before) {
      const sum: FloatTensor = scratch.allocate("sum of gradients", before.dtype, before.shape);
      add(before, gradient, sum);
      gradient = sum;
      this.release(before.arena);
    }
    this.#gradients.set(key, gradient);
    this.hold(gradient.arena);
  }

  get(key: Key): FloatTensor | undefined {
    return this.#gradients.get(key);
  }

  /** Ends the use of a key's gradient. */
  drop(key: Key): void {
    const gradient = this.#gradients.get(key);
    if (!gradient) return;
    this.#gradients.delete(key);
    this.release(gradient.arena);
  }

  dispose(): void {
    for (const arena of this.#uses.keys()) arena.dispose();
  }
}

/** A recording. */
export class Tape {
  readonly #calls: RecordedCall[] = [];
  readonly #outputs = new WeakSet<Key>();
  readonly #losses = new WeakMap<object, Objective>();
  readonly #lossArenas: Arena[] = [];
  #core: Core | undefined;

  /** The core of all recorded calls. */
  get core(): Core {
    return (this.#core ??= currentCore());
  }

  /**
   * The core in which a call runs: that of the calls before and of parameters, which may have been created before or with threads, as long
   * as it is of the build that is selected.
   */
  coreFor(inputs: readonly Tensor[]): Core {
    const own = this.#core ?? inputs.map(keyOf).find((key) => key instanceof WasmTensor)?.arena.core;
    const current = currentCore();
    return own?.variant === current.variant ? own : current;
  }

  /** The inputs of a call as they are read, each once; tensors in wasm memory are inputs as they are. */
  read<T extends Readonly<Record<string, Tensor | undefined>>>(inputs: T): T {
    const read = Object.create(null) as Record<string, Tensor | undefined>; // names may be a file's
    for (const name in inputs) {
      const input = inputs[name];
      read[name] = input === undefined || input instanceof WasmTensor ? input : readTensor(name, input);
    }
    return read as T;
  }

  /** Whether a tensor is a result of a recorded call, or a parameter. */
  isRecorded(tensor: Tensor): boolean {
    const key = keyOf(tensor);
    return this.#outputs.has(key) || parameterOf(key) !== undefined;
  }

  /**
   * Records a call.
   *
   * @throws StateError where calls or parameters of different builds meet
   */
  push(call: Call): void {
    this.#own(call.arena);
    const inputs = keysOf(call.inputs);
    for (const [, key] of inputs) this.#ownKey(key);
    const outputs = keysOf(call.outputs);
    for (const [, key] of outputs) this.#outputs.add(key);
    this.#calls.push({ call, inputs, outputs });
  }

  /** Records a loss; `result` is what the caller gets, and returns from the body. */
  pushLoss(result: { readonly loss: number }, { gradients, arena }: LossCall): void {
    this.#own(arena);
    const terms = gradients.map(([input, gradient, factor]) => [keyOf(input), gradient, factor] as const);
    for (const [key] of terms) this.#ownKey(key);
    this.#lossArenas.push(arena);
    this.pushObjective(result, { loss: result.loss, terms: [{ weight: 1, gradients: terms }] });
  }

  /** Records what a result, by its identity, stands for. */
  pushObjective(result: object, objective: Objective): void {
    this.#losses.set(result, objective);
  }

  /**
   * What a result of a loss or a tensor of one number stands for; undefined for anything else.
   *
   * @throws StateError for a parameter of another build
   */
  objectiveOf(result: object): Objective | undefined {
    const known = this.#losses.get(result);
    if (known || !isFloat(result)) return known;
    const tensor = readTensor("loss", result);
    if (tensor.data.length !== 1) return undefined;
    const spec: Spec = { dtype: dtypeOf(tensor.data) as FloatDtype, shape: tensor.shape };
    const key = keyOf(tensor);
    this.#ownKey(key);
    const gradients = [[key, spec, 1] as const];
    return { loss: tensor.data[0]!, terms: [{ weight: 1, gradients }] };
  }

  /** Everything that a loss depends on: arrays, and the values of parameters. */
  reach({ terms }: Objective): ReadonlySet<Key> {
    const reached = new Set<Key>();
    for (const { gradients } of terms) for (const [key] of gradients) reached.add(key);
    for (let i = this.#calls.length - 1; i >= 0; i--) {
      const { call, inputs, outputs } = this.#calls[i]!;
      if (!outputs.some(([, key]) => reached.has(key))) continue;
      for (const [, key] of inputs) reached.add(key);
      for (const { value } of call.parameters ?? []) reached.add(value);
    }
    return reached;
  }

  /**
   * Goes backward from a loss: adds to the gradients of parameters, and returns those of other tensors. Layers on the way add to
   * the gradients of all their parameters.
   *
   * @param wanted values of parameters, and arrays
   * @param tensors those whose gradients are returned
   * @returns in the shapes of `tensors`; undefined for zero
   */
  backward({ terms }: Objective, wanted: ReadonlySet<Key>, tensors: readonly Tensor[] = []): (Tensor | undefined)[] {
    const needed = new Set(wanted);
    const isNeeded = this.#calls.map(({ call, inputs, outputs }) => {
      let any = false;
      for (const [, key] of inputs) any ||= needed.has(key);
      for (const { value } of call.parameters ?? []) any ||= wanted.has(value);
      if (any) for (const [, key] of outputs) needed.add(key);
      return any;
    });
    const waiting = new Waiting();
    const receive = (key: Key, gradient: FloatTensor, scratch: Arena): void => {
      const parameter = parameterOf(key);
      if (parameter) add(parameter.grad, inShape(gradient, parameter.grad.shape), parameter.grad);
      else waiting.add(key, gradient, scratch);
    };
    try {
      // a loss may be a term several times: its gradient is held until all terms are through
      const seeds = terms.flatMap(({ gradients }) => gradients.map(([, gradient]) => gradient));
      const owners = new Set(seeds.filter((each) => each instanceof WasmTensor).map(({ arena }) => arena));
      for (const arena of owners) waiting.hold(arena);
      for (const { weight, gradients } of terms) {
        for (const [key, gradient, factor] of gradients) {
          if (!needed.has(key)) continue;
          const scratch = new Arena(this.core); // lives as long as gradients in it are waiting
          waiting.hold(scratch);
          receive(key, seed(scratch, gradient, weight * factor), scratch);
          waiting.release(scratch);
        }
      }
      for (const arena of owners) waiting.release(arena);
      for (let i = this.#calls.length - 1; i >= 0; i--) {
        const { call, inputs, outputs } = this.#calls[i]!;
        const given = Object.create(null) as Record<string, Tensor>;
        let any = false;
        for (const [name, key, shape] of outputs) {
          const gradient = waiting.get(key);
          if (!gradient) continue;
          given[name] = inShape(gradient, shape);
          any = true;
        }
        if (any && isNeeded[i]) {
          const scratch = new Arena(this.core);
          waiting.hold(scratch);
          const gradients = call.backward(given, scratch);
          for (const [name, key] of inputs) {
            const gradient = gradients[name];
            if (gradient && needed.has(key)) receive(key, uploaded(scratch, name, gradient), scratch);
          }
          waiting.release(scratch);
        }
        for (const [, key] of outputs) waiting.drop(key);
        call.arena.dispose();
      }
      return tensors.map((tensor) => waiting.get(keyOf(tensor))?.download(tensor.shape));
    } finally {
      waiting.dispose();
    }
  }

  /** Frees all memory. */
  dispose(): void {
    for (const { call } of this.#calls) call.arena.dispose();
    for (const arena of this.#lossArenas) arena.dispose();
  }

  /** Refuses what is in another core than what came before. */
  #own({ core }: Arena): void {
    this.#core ??= core;
    if (core === this.#core) return;
    const { variant } = this.#core;
    throw new StateError(
      "body",
      `calls or parameters of the ${core.variant} build`,
      `those of the ${variant} build alone`,
    );
  }

  #ownKey(key: Key): void {
    if (key instanceof WasmTensor) this.#own(key.arena);
  }
}

/** The gradient in the shape of the tensor that it belongs to: a hand-made reshape has another. */
function inShape(gradient: FloatTensor, shape: readonly number[]): FloatTensor {
  const own = gradient.shape;
  const isSame = own.length === shape.length && own.every((n, axis) => n === shape[axis]);
  return isSame ? gradient : gradient.reshape(shape);
}

function uploaded(arena: Arena, name: string, gradient: Tensor): FloatTensor {
  if (gradient instanceof WasmTensor) return gradient as FloatTensor;
  return arena.upload(name, gradient, floatDtype(name, gradient), gradient.shape);
}

/** A gradient times a factor; a number type and a shape stand for a gradient of 1. */
function seed(scratch: Arena, gradient: FloatTensor | Spec, factor: number): FloatTensor {
  if (!(gradient instanceof WasmTensor)) {
    const one: FloatTensor = scratch.allocate("gradient of the loss", gradient.dtype, gradient.shape);
    one.fill(factor);
    return one;
  }
  if (factor === 1) return gradient;
  const scaled: FloatTensor = scratch.copy("gradient of the loss", gradient, gradient.dtype, gradient.shape);
  scale(scaled, factor);
  return scaled;
}
