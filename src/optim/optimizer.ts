// The base of the optimizers: parameters in groups, options, state by name, saving and loading. The optimizers themselves
// are in optimizers.ts.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import { clip, type FloatTensor } from "../../bindings/kernels.js";
import { Arena } from "../../bindings/memory.js";
import { describe, tensor, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkDict, checkFlag, checkFunction, checkOptions, lockFields, checkNumber, readList } from "../base/check.js";
import { checkSealed } from "../base/sealed.js";
import { parametersOf, type Parameter } from "../base/parameter.js";
import { copyEntry } from "../nn/layer.js";
import { checkOutside } from "../recording/current.js";
import { bringDerivatives } from "../ops/derivative.js";
import { derivatives } from "../ops/derivatives.js";
import { guardGradients, record, type LossResult } from "../recording/minimize.js";
import { Tape } from "../recording/tape.js";
import { checkLimit, limitNorm, normOf } from "./clip.js";
import { checkParameters, takeParameters, type OwnParameter } from "./parameters.js";

/** Options that all optimizers have. */
export interface OptimizerOptions {
  /** The learning rate, >= 0; each optimizer has a default of its own. */
  lr?: number | undefined;
  /** The L2 penalty: weightDecay times the parameter is added to its gradient (default 0). */
  weightDecay?: number | undefined;
  /** Whether the parameters climb their gradients instead of descending (default false). */
  maximize?: boolean | undefined;
}

/**
 * Parameters, or groups of parameters, each with options that replace the optimizer's (PyTorch's
 * [per-parameter options](https://docs.pytorch.org/docs/stable/optim.html#per-parameter-options)).
 *
 * @typeParam Options the optimizer's options
 */
export type ParametersOrGroups<Options> =
  | readonly Parameter[]
  | readonly (Options & {
      /** The parameters of the group. */
      readonly params: readonly Parameter[];
    })[];

/**
 * Parameters and the options of their updates. `lr` may be set at any time; the rest is read-only.
 *
 * @typeParam Options the optimizer's options
 */
export type ParamGroup<Options extends OptimizerOptions> = {
  readonly [Name in keyof Omit<Options, "lr">]-?: Exclude<Options[Name], undefined>;
} & {
  /** The parameters of the group. */
  readonly params: readonly Parameter[];
  /** The learning rate. */
  lr: number;
};

/** An optimizer's options and state. `Names` are PyTorch's names of the state of a parameter. */
export interface Rules<Options extends OptimizerOptions, Names extends string> {
  readonly kind: string;
  readonly defaults: Readonly<Required<Options>>;
  /** Checks the options; `where` precedes their names in errors. */
  check(options: Readonly<Required<Options>>, where: string): void;
  state(options: Readonly<Required<Options>>): readonly Names[];
  /** Initial value of the state (default 0). */
  start?(options: Readonly<Required<Options>>): number;
  /** Updates a parameter by its gradient, at step `t` >= 1; `powers` are betas^t. */
  update(
    parameter: OwnParameter,
    state: Partial<Record<Names, FloatTensor>>,
    options: Readonly<Required<Options>>,
    t: number,
    powers: readonly [number, number],
  ): void;
}

/** A parameter with the index of its group and its state. */
interface Member<Names extends string> {
  readonly parameter: OwnParameter;
  readonly group: number;
  readonly state: Partial<Record<Names, FloatTensor>>;
  /** The number of updates. */
  steps: number;
  /** betas^steps: running products, since Math.pow differs between engines. */
  readonly powers: [number, number];
}

/** Options of `minimize`. */
export interface MinimizeOptions {
  /** The largest norm of all gradients, as in `clipGradNorm` (default: none). */
  clipNorm?: number | undefined;
  /** The largest absolute value of a gradient, as in `clipGradValue` (default: none); applied after clipNorm. */
  clipValue?: number | undefined;
  /**
   * Whether the loss may leave out parameters of the optimizer (default false: an error). The step skips them: no decay, no
   * momentum, as PyTorch skips a grad of None.
   */
  allowUnused?: boolean | undefined;
}

/** `given` over `defaults`, checked. */
function settle<Options extends OptimizerOptions, Names extends string>(
  rules: Rules<Options, Names>,
  given: Options,
  defaults: Readonly<Required<Options>>,
  where: string,
): Required<Options> {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([key, value]) => {
      const own: unknown = given[key as keyof Options];
      const taken: unknown = own === undefined ? value : own;
      return [key, Array.isArray(taken) ? Object.freeze(readList(key, taken, "numbers")) : taken];
    }),
  ) as Required<Options>;
  const { lr, weightDecay, maximize } = options as Required<OptimizerOptions>;
  checkNumber(`${where}lr`, lr);
  checkNumber(`${where}weightDecay`, weightDecay);
  checkFlag(`${where}maximize`, maximize);
  rules.check(options, where);
  return options;
}

/** The caller's groups, read once; parameters without groups form one. */
function groupsOf<Options>(given: ParametersOrGroups<Options>) {
  const items = readList("parameters", given, "parameters or groups");
  const isGroup = (item: unknown): item is Options & { readonly params: readonly Parameter[] } =>
    typeof item === "object" && item !== null && "params" in item;
  if (!isGroup(items[0])) return [{ params: items as Parameter[], own: {} as Options, where: "", list: "parameters" }];
  return items.map((item, i) => {
    const where = `parameters[${i}]`;
    if (!isGroup(item)) throw new ValueError(where, describe(item), "a group { params, ... }, like the first");
    const { params: given, ...own } = item;
    const list = `${where}.params`;
    const params = readList(list, given, "parameters") as Parameter[];
    return { params, own: own as unknown as Options, where: `${where}.`, list };
  });
}

/**
 * The base of the optimizers.
 *
 * @typeParam Options the optimizer's options
 * @typeParam Names PyTorch's names of the state of a parameter
 */
export abstract class Optimizer<Options extends OptimizerOptions = OptimizerOptions, Names extends string = string> {
  /** The groups, in the order given; parameters without groups form one. */
  readonly paramGroups: readonly ParamGroup<Options>[];
  readonly #rules: Rules<Options, Names>;
  readonly #arena: Arena;
  readonly #members: Member<Names>[] = [];

  protected constructor(rules: Rules<Options, Names>, parameters: ParametersOrGroups<Options>, options: Options) {
    checkSealed("Optimizer", rules, "SGD, Adam, AdamW, RMSprop or Adagrad");
    bringDerivatives(derivatives, Tape);
    const known = Object.keys(rules.defaults);
    const common = settle(rules, checkOptions(rules.kind, options, known), rules.defaults, "");
    const groups = groupsOf(parameters).map(({ params, own, where, list }) => {
      const settings = settle(rules, checkOptions(`${rules.kind} group`, own, known), common, where);
      return { params, taken: takeParameters(params, list), settings };
    });
    const all = groups.flatMap(({ taken }) => taken);
    if (all.length === 0) throw new ValueError("parameters", "none", "at least one");
    checkParameters(all);
    const values = new Set<FloatTensor>();
    for (const { name, value } of all) {
      if (values.has(value)) throw new ValueError("parameters", `${name} twice`, "each parameter once, in one group");
      values.add(value);
    }
    this.#rules = rules;
    this.paramGroups = Object.freeze(
      groups.map(({ params, settings }) => {
        const group = { params: Object.freeze(params), ...settings };
        for (const key of Object.keys(group)) if (key !== "lr") Object.defineProperty(group, key, { writable: false });
        return Object.seal(group) as unknown as ParamGroup<Options>;
      }),
    );
    lockFields(this);
    const arena = (this.#arena = new Arena(all[0]!.value.arena.core, true));
    try {
      groups.forEach(({ taken, settings }, group) => {
        for (const parameter of taken) {
          const { name, value } = parameter;
          const make = (state: Names) => [state, arena.allocate(`${state} of ${name}`, value.dtype, value.shape)];
          const state = Object.fromEntries(rules.state(settings).map(make)) as Partial<Record<Names, FloatTensor>>;
          this.#members.push({ parameter, group, state, steps: 0, powers: [1, 1] });
        }
      });
    } catch (error) {
      arena.dispose();
      throw error;
    }
    this.#start();
  }

  /**
   * Whether a value is an optimizer of this package.
   *
   * @internal
   */
  static isOptimizer(value: unknown): value is Optimizer {
    return typeof value === "object" && value !== null && #rules in value;
  }

  /** The learning rate of the first group; setting it sets that of all groups. */
  get lr(): number {
    return this.paramGroups[0]!.lr;
  }

  /**
   * Sets the learning rate of all groups; the next `step` checks it.
   *
   * @param lr >= 0
   */
  set lr(lr: number) {
    for (const group of this.paramGroups) group.lr = lr;
  }

  /**
   * Updates every parameter p by its gradient g. weightDecay replaces g by g + weightDecay p (AdamW: p by
   * (1 - lr weightDecay) p); maximize replaces g by -g.
   *
   * @throws ValueError (lr), DisposedError; nothing is changed then
   */
  step(): void {
    checkOutside(`${this.#rules.kind}.step`);
    this.#checkReady();
    this.#checkLrs();
    this.#update();
  }

  /**
   * One step of training: records `body` and goes backward from the loss that it returns (see `valueAndGrad`), with the gradients
   * set to zero before, clips them, and updates the parameters by them. They stay readable. Parameters of layers that are not the
   * optimizer's are constants.
   *
   * @param body computes the loss, and returns it
   * @param options clipping, and whether the loss may leave out parameters
   * @throws StateError naming the parameters that the loss does not reach, or for a call inside a recorded body; ValueError (what
   *   body returns, lr, options), UnsupportedError, DisposedError, OutOfMemoryError; whatever body throws, unchanged. Parameters,
   *   gradients and the optimizer's state are then as they were
   */
  minimize(
    body: () => LossResult,
    options: MinimizeOptions = {},
    /**
     * Decides by the loss and the norm of the gradients, before they are clipped, whether the step is taken.
     *
     * @internal
     */
    accept: (loss: number, gradNorm: number) => boolean = () => true,
  ): {
    /** The loss before the step. */
    loss: number;
    /** The norm of all gradients, before clipping. */
    gradNorm: number;
  } {
    const { kind } = this.#rules;
    const given = checkOptions(`${kind}.minimize`, options, ["clipNorm", "clipValue", "allowUnused"]);
    const { clipNorm = Infinity, clipValue = Infinity, allowUnused = false } = given;
    checkLimit("clipNorm", clipNorm);
    checkLimit("clipValue", clipValue);
    checkFlag("allowUnused", allowUnused);
    checkFunction("accept", accept);
    return record(`${kind}.minimize`, body, (tape, objective) => {
      this.#checkReady();
      this.#checkLrs();
      const reached = tape.reach(objective);
      const unused = this.#members.filter(({ parameter }) => !reached.has(parameter.value));
      if (unused.length > 0 && !allowUnused) {
        const names = unused.map(({ parameter }) => parameter.name).join(", ");
        const expected =
          "one that depends on all of the optimizer's (a copy of a tensor is a constant), or allowUnused";
        throw new StateError("loss", `a loss that does not depend on ${names}`, expected);
      }
      const own = this.#members.map(({ parameter }) => parameter);
      const wanted = new Set(own.map(({ value }) => value));
      const others = parametersOf(reached).filter(({ value }) => !wanted.has(value));
      return guardGradients([...own, ...others], wanted, () => {
        for (const { grad } of own) grad.fill(0);
        tape.backward(objective, wanted);
        const { loss } = objective;
        const gradNorm = normOf(own);
        if (!accept(loss, gradNorm)) return { loss, gradNorm };
        limitNorm(own, gradNorm, clipNorm);
        if (clipValue < Infinity) for (const { grad } of own) clip(grad, clipValue);
        this.#update(new Set(unused));
        return { loss, gradNorm };
      });
    });
  }

  /**
   * Sets the gradients of all its parameters to zero.
   *
   * @throws DisposedError
   */
  zeroGrad(): void {
    this.#checkReady();
    for (const { parameter } of this.#members) parameter.grad.fill(0);
  }

  /**
   * Copies of the state by PyTorch's names, `<index>.<name>`, where the index counts the parameters of all groups; empty
   * before the first step. `<index>.step` counts the updates of the parameter: 0 where every step has skipped it. Options, also
   * lr, are not part of it.
   *
   * @throws DisposedError
   */
  stateDict(): Record<string, Tensor> {
    this.#checkAlive();
    if (this.#members.every(({ steps }) => steps === 0)) return {};
    const dict: Record<string, Tensor> = {};
    this.#members.forEach(({ state, steps }, i) => {
      dict[`${i}.step`] = tensor(steps);
      for (const [name, value] of entriesOf(state)) dict[`${i}.${name}`] = value.download();
    });
    return dict;
  }

  /**
   * Continues from a saved state; an empty one is a fresh start. f32 and f64 convert.
   *
   * @param dict what `stateDict` gave, of an optimizer over parameters of these shapes in this order
   * @throws ShapeError, DtypeError, ValueError naming a missing, unknown or misshapen entry, DisposedError; nothing is
   *   changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    checkOutside(`${this.#rules.kind}.loadStateDict`);
    this.#checkAlive();
    checkDict(dict);
    const keys = new Set(Object.keys(dict));
    const entries: [FloatTensor, TensorData][] = [];
    const counts: number[] = [];
    if (keys.size > 0) {
      const take = (key: string, shape: readonly number[]) => {
        if (!keys.delete(key)) throw new ShapeError("dict", `no entry "${key}"`, "the state of every parameter");
        return copyEntry(key, dict[key]!, shape);
      };
      this.#members.forEach(({ parameter, state }, i) => {
        const count = take(`${i}.step`, [])[0]!;
        if (!Number.isSafeInteger(count) || count < 0) {
          throw new ValueError(`dict["${i}.step"]`, `${count}`, "an integer >= 0");
        }
        counts.push(count);
        for (const [name, value] of entriesOf(state)) {
          entries.push([value, take(`${i}.${name}`, parameter.value.shape)]);
        }
      });
      for (const key of keys) throw new ShapeError("dict", `an unknown entry "${key}"`, "the state of every parameter");
    }
    this.#checkAlive(); // code of the caller's may have run
    if (counts.length === 0) this.#start();
    for (const [target, data] of entries) target.set(data);
    const known = new Map<string, readonly number[]>(); // the powers, by group and count
    this.#members.forEach((member, i) => {
      member.powers.fill(1);
      member.steps = counts[i] ?? 0;
      const key = `${member.group} ${member.steps}`;
      const powers = known.get(key);
      known.set(key, member.powers);
      if (powers) powers.forEach((power, k) => (member.powers[k as 0 | 1] = power));
      for (let step = 0; !powers && step < member.steps; step++) {
        const [first, second] = member.powers;
        this.#advance(member);
        if (member.powers[0] === first && member.powers[1] === second) break; // as small as they get
      }
    });
  }

  /** Frees the memory of the state at once. The parameters belong to their layers. */
  dispose(): void {
    checkOutside(`${this.#rules.kind}.dispose`);
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #start(): void {
    for (const { group, state } of this.#members) {
      const start = this.#rules.start?.(this.paramGroups[group] as unknown as Required<Options>) ?? 0;
      for (const [, value] of entriesOf(state)) value.fill(start);
    }
  }

  /** An option's name in errors. */
  #where(group: number, option: string): string {
    return this.paramGroups.length === 1 ? option : `paramGroups[${group}].${option}`;
  }

  #checkAlive(): void {
    if (this.#arena.disposed) {
      throw new DisposedError(this.#rules.kind, "a disposed optimizer", "one that is alive");
    }
  }

  #checkReady(): void {
    this.#checkAlive();
    checkParameters(this.#members.map(({ parameter }) => parameter));
  }

  #checkLrs(): void {
    this.paramGroups.forEach(({ lr }, i) => checkNumber(this.#where(i, "lr"), lr));
  }

  /** Updates all parameters but those that are skipped. */
  #update(skipped?: ReadonlySet<Member<Names>>): void {
    for (const member of this.#members) {
      if (skipped?.has(member)) continue;
      member.steps++;
      this.#advance(member);
      const options = this.paramGroups[member.group] as unknown as Required<Options>;
      this.#rules.update(member.parameter, member.state, options, member.steps, member.powers);
    }
  }

  /** Multiplies a member's powers by the betas of its group. */
  #advance({ group, powers }: Member<Names>): void {
    const { betas } = this.paramGroups[group] as { betas?: readonly [number, number] };
    if (betas) betas.forEach((beta, i) => (powers[i as 0 | 1] *= beta));
  }
}

function entriesOf(state: Partial<Record<string, FloatTensor>>): [string, FloatTensor][] {
  return Object.entries(state) as [string, FloatTensor][];
}
