// Optimizers and clipping of gradients, with PyTorch's equations, options, defaults and state names.

import { DisposedError, ShapeError, StateError, ValueError } from "../bindings/errors.js";
import { adam, clip, rmsprop, scale, sgd, sumSquares, type FloatTensor } from "../bindings/kernels.js";
import { Arena, WasmTensor } from "../bindings/memory.js";
import { describe, showShape, tensor, type Tensor, type TensorData } from "../bindings/tensor.js";
import { checkDict, checkFlag, checkOptions, takeEntry, type Parameter, type WasmParameter } from "./nn/layer.js";

/** Options that all optimizers have. */
export interface OptimizerOptions {
  /** Learning rate. */
  lr?: number;
  /** The L2 penalty: weightDecay times the parameter is added to its gradient (default 0). */
  weightDecay?: number;
}

export interface SGDOptions extends OptimizerOptions {
  /** Default 0. */
  momentum?: number;
  /** How much less than the whole gradient goes into the momentum (default 0). */
  dampening?: number;
  /** Nesterov's momentum; wants momentum > 0 and dampening 0 (default false). */
  nesterov?: boolean;
}

export interface AdamOptions extends OptimizerOptions {
  /** Decay of the averages of the gradient and of its square (default [0.9, 0.999]). */
  betas?: readonly [number, number];
  /** Added to the denominator (default 1e-8). */
  eps?: number;
}

export interface RMSpropOptions extends OptimizerOptions {
  /** Decay of the average of the squared gradient (default 0.99). */
  alpha?: number;
  /** Added to the denominator (default 1e-8). */
  eps?: number;
  /** Default 0. */
  momentum?: number;
  /** Whether the average gradient is subtracted from the average square (default false). */
  centered?: boolean;
}

/** Holds an option against an interval that contains its start. */
function checkNumber(argument: string, value: number, limit = Infinity): void {
  if (typeof value !== "number" || !(value >= 0) || !(value < limit)) {
    throw new ValueError(
      argument,
      describe(value),
      limit === Infinity ? "a finite number >= 0" : `0 <= ${argument} < ${limit}`,
    );
  }
}

/** Copies of parameters, held against: values and gradients fit, all alive, all in one core. */
function takeParameters(parameters: readonly Parameter[]): WasmParameter[] {
  if (!Array.isArray(parameters)) throw new ValueError("parameters", describe(parameters), "an array of parameters");
  const taken = Array.from(parameters as readonly (Parameter | undefined)[], (parameter, i) => {
    const { name, value, grad } = parameter ?? {};
    if (!(value instanceof WasmTensor && grad instanceof WasmTensor)) {
      throw new ValueError(`parameters[${i}]`, describe(parameter), "a parameter of a layer");
    }
    return { name: typeof name === "string" ? name : `parameters[${i}]`, value, grad };
  });
  checkParameters(taken);
  return taken;
}

function checkParameters(parameters: readonly WasmParameter[]): void {
  const core = parameters[0]?.value.arena.core;
  for (const { name, value, grad } of parameters) {
    for (const { arena } of [value, grad]) {
      if (arena.disposed) throw new DisposedError(name, "a parameter of a disposed layer", "one that is alive");
      if (arena.core !== core) {
        throw new StateError(
          name,
          `a parameter of the ${arena.core.variant} build`,
          `one of the ${core!.variant} build, like the first`,
        );
      }
    }
    if (grad.dtype !== value.dtype || String(grad.shape) !== String(value.shape)) {
      const kind = ({ dtype, shape }: FloatTensor) => `${dtype} ${showShape(shape)}`;
      throw new ShapeError(`gradient of ${name}`, kind(grad), kind(value));
    }
  }
}

/** What the optimizers share: parameters, state by name, saving and loading. `Names` are PyTorch's names of the state. */
abstract class Optimizer<Names extends string> {
  /** The learning rate of the steps to come: may be set at any time. */
  lr: number;
  protected readonly weightDecay: number;
  readonly #kind: string;
  readonly #parameters: readonly WasmParameter[];
  readonly #names: readonly Names[];
  readonly #arena: Arena;
  readonly #state: Record<Names, FloatTensor>[];
  protected steps = 0;

  protected constructor(
    kind: string,
    parameters: readonly Parameter[],
    names: readonly Names[],
    lr: number,
    options: OptimizerOptions,
  ) {
    const taken = takeParameters(parameters);
    if (taken.length === 0) throw new ValueError("parameters", "none", "at least one");
    checkNumber("lr", lr);
    this.lr = lr;
    const { weightDecay = 0 } = options;
    checkNumber("weightDecay", weightDecay);
    this.weightDecay = weightDecay;
    this.#kind = kind;
    this.#parameters = taken;
    this.#names = names;
    const arena = (this.#arena = new Arena(taken[0]!.value.arena.core, true));
    try {
      this.#state = taken.map(({ name, value }) => {
        const make = (state: Names) => [state, arena.zeros(`${state} of ${name}`, value.dtype, value.shape)];
        return Object.fromEntries(names.map(make)) as Record<Names, FloatTensor>;
      });
    } catch (error) {
      arena.dispose();
      throw error;
    }
  }

  /** Changes every parameter once, by its gradient. */
  step(): void {
    this.#checkAlive();
    checkNumber("lr", this.lr);
    checkParameters(this.#parameters);
    this.steps++;
    this.beginStep();
    this.#parameters.forEach((parameter, i) => this.update(parameter, this.#state[i]!));
  }

  /** Sets all gradients to zero. */
  zeroGrad(): void {
    this.#checkAlive();
    checkParameters(this.#parameters);
    for (const { grad } of this.#parameters) grad.fill(0);
  }

  /** Copies of the state by PyTorch's names, "<index>.<name>"; empty before the first step. */
  stateDict(): Record<string, Tensor> {
    this.#checkAlive();
    if (this.steps === 0) return {};
    const dict: Record<string, Tensor> = {};
    this.#state.forEach((state, i) => {
      dict[`${i}.step`] = tensor(this.steps);
      for (const name of this.#names) dict[`${i}.${name}`] = state[name].download();
    });
    return dict;
  }

  /**
   * Continues from a saved state; an empty one is a fresh start. f32 and f64 convert.
   *
   * @throws ShapeError, DtypeError, ValueError naming a missing, unknown or misshapen entry; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    this.#checkAlive();
    checkDict(dict);
    const keys = new Set(Object.keys(dict));
    const entries: [FloatTensor, TensorData][] = [];
    let steps = 0;
    if (keys.size > 0) {
      const take = (key: string, shape: readonly number[]) => {
        if (!keys.delete(key)) throw new ShapeError("dict", `no entry "${key}"`, "the state of every parameter");
        return takeEntry(this.#arena, key, dict[key]!, shape).data;
      };
      this.#parameters.forEach(({ value }, i) => {
        const count = take(`${i}.step`, [])[0]!;
        if (!Number.isSafeInteger(count) || count < 1 || (i > 0 && count !== steps)) {
          throw new ValueError(
            `dict["${i}.step"]`,
            `${count}`,
            i === 0 ? "an integer >= 1" : `${steps}, as the others`,
          );
        }
        steps = count;
        for (const name of this.#names) entries.push([this.#state[i]![name], take(`${i}.${name}`, value.shape)]);
      });
      for (const key of keys) throw new ShapeError("dict", `an unknown entry "${key}"`, "the state of every parameter");
    }
    if (steps === 0) for (const state of this.#state) for (const name of this.#names) state[name].fill(0);
    for (const [target, data] of entries) target.set(data);
    this.steps = steps;
    this.resumed();
  }

  /** Gives the state's memory back at once. */
  dispose(): void {
    this.#arena.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkAlive(): void {
    if (this.#arena.disposed) throw new DisposedError(this.#kind, "a disposed optimizer", "one that is alive");
  }

  /** Called after `steps` was counted up, once for all parameters. */
  protected beginStep(): void {}

  /** Called after `steps` was loaded. */
  protected resumed(): void {}

  protected abstract update(parameter: WasmParameter, state: Record<Names, FloatTensor>): void;
}

/** Stochastic gradient descent, as PyTorch's optim.SGD. */
export class SGD extends Optimizer<"momentum_buffer"> {
  readonly #momentum: number;
  readonly #dampening: number;
  readonly #nesterov: boolean;

  /** @param options.lr default 1e-3 */
  constructor(parameters: readonly Parameter[], options: SGDOptions = {}) {
    checkOptions("SGD", options, ["lr", "weightDecay", "momentum", "dampening", "nesterov"]);
    const { lr = 1e-3, momentum = 0, dampening = 0, nesterov = false } = options;
    checkNumber("momentum", momentum);
    checkNumber("dampening", dampening);
    checkFlag("nesterov", nesterov);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ValueError("nesterov", `momentum ${momentum}, dampening ${dampening}`, "momentum > 0 and dampening 0");
    }
    super("SGD", parameters, momentum === 0 ? [] : ["momentum_buffer"], lr, options);
    this.#momentum = momentum;
    this.#dampening = dampening;
    this.#nesterov = nesterov;
  }

  protected override update(parameter: WasmParameter, state: { momentum_buffer?: FloatTensor }): void {
    sgd(parameter, state.momentum_buffer, {
      lr: this.lr,
      weightDecay: this.weightDecay,
      momentum: this.#momentum,
      keep: this.steps === 1 ? 1 : 1 - this.#dampening, // PyTorch starts the buffer with the whole gradient
      nesterov: this.#nesterov,
    });
  }
}

/** Adam (Kingma & Ba 2015), as PyTorch's optim.Adam. */
export class Adam extends Optimizer<"exp_avg" | "exp_avg_sq"> {
  readonly #betas: readonly [number, number];
  readonly #eps: number;
  // beta^t as running products: Math.pow differs between engines.
  #power1 = 1;
  #power2 = 1;

  /** @param options.lr default 1e-3 */
  constructor(parameters: readonly Parameter[], options: AdamOptions = {}) {
    checkOptions("Adam", options, ["lr", "weightDecay", "betas", "eps"]);
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8 } = options;
    if (!Array.isArray(betas) || betas.length !== 2) throw new ValueError("betas", describe(betas), "two numbers");
    betas.forEach((beta, i) => checkNumber(`betas[${i}]`, beta, 1));
    checkNumber("eps", eps);
    super("Adam", parameters, ["exp_avg", "exp_avg_sq"], lr, options);
    this.#betas = [betas[0], betas[1]];
    this.#eps = eps;
  }

  protected override beginStep(): void {
    this.#power1 *= this.#betas[0];
    this.#power2 *= this.#betas[1];
  }

  protected override resumed(): void {
    this.#power1 = this.#power2 = 1;
    for (let i = 0; i < this.steps; i++) {
      const before = [this.#power1, this.#power2];
      this.beginStep();
      if (this.#power1 === before[0] && this.#power2 === before[1]) break; // as small as they get
    }
  }

  protected override update(parameter: WasmParameter, state: Record<"exp_avg" | "exp_avg_sq", FloatTensor>): void {
    adam(parameter, state.exp_avg, state.exp_avg_sq, {
      stepSize: this.lr / (1 - this.#power1),
      beta1: this.#betas[0],
      beta2: this.#betas[1],
      correction2: Math.sqrt(1 - this.#power2),
      eps: this.#eps,
      weightDecay: this.weightDecay,
    });
  }
}

/** RMSprop (Tieleman & Hinton 2012), as PyTorch's optim.RMSprop. */
export class RMSprop extends Optimizer<"square_avg" | "grad_avg" | "momentum_buffer"> {
  readonly #alpha: number;
  readonly #eps: number;
  readonly #momentum: number;

  /** @param options.lr default 1e-2 */
  constructor(parameters: readonly Parameter[], options: RMSpropOptions = {}) {
    checkOptions("RMSprop", options, ["lr", "weightDecay", "alpha", "eps", "momentum", "centered"]);
    const { lr = 1e-2, alpha = 0.99, eps = 1e-8, momentum = 0, centered = false } = options;
    checkNumber("alpha", alpha, 1);
    checkNumber("eps", eps);
    checkNumber("momentum", momentum);
    checkFlag("centered", centered);
    const names: ("square_avg" | "grad_avg" | "momentum_buffer")[] = ["square_avg"];
    if (centered) names.push("grad_avg");
    if (momentum > 0) names.push("momentum_buffer");
    super("RMSprop", parameters, names, lr, options);
    this.#alpha = alpha;
    this.#eps = eps;
    this.#momentum = momentum;
  }

  protected override update(
    parameter: WasmParameter,
    state: { square_avg: FloatTensor; grad_avg?: FloatTensor; momentum_buffer?: FloatTensor },
  ): void {
    rmsprop(parameter, state.square_avg, state.grad_avg, state.momentum_buffer, {
      lr: this.lr,
      alpha: this.#alpha,
      eps: this.#eps,
      weightDecay: this.weightDecay,
      momentum: this.#momentum,
    });
  }
}

/**
 * Scales all gradients so that their common L2 norm is at most maxNorm: by min(1, maxNorm / (norm + 1e-6)).
 *
 * @returns the norm before
 * @throws ValueError, StateError (parameters of different builds), DisposedError
 */
export function clipGradNorm(parameters: readonly Parameter[], maxNorm: number): number {
  const taken = takeParameters(parameters);
  if (typeof maxNorm !== "number" || !(maxNorm >= 0)) {
    throw new ValueError("maxNorm", describe(maxNorm), "a number >= 0");
  }
  let squares = 0;
  for (const { grad } of taken) squares += sumSquares(grad);
  const norm = Math.sqrt(squares);
  const factor = maxNorm / (norm + 1e-6);
  if (!(factor >= 1)) for (const { grad } of taken) scale(grad, factor);
  return norm;
}

/**
 * Limits every number of the gradients to [-value, value].
 *
 * @throws ValueError, StateError (parameters of different builds), DisposedError
 */
export function clipGradValue(parameters: readonly Parameter[], value: number): void {
  const taken = takeParameters(parameters);
  if (typeof value !== "number" || !(value >= 0)) throw new ValueError("value", describe(value), "a number >= 0");
  for (const { grad } of taken) clip(grad, value);
}
