// Schedules of the learning rate, with PyTorch's equations, options, defaults and state names. A schedule sets the lr of an
// optimizer's groups when it is created and at every step(), once an epoch, after the optimizer's steps. Several may share an
// optimizer: each starts from the lr that the others have set.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { checkTensor, describe, tensor, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkDict, checkOptions, checkNumber, readList } from "../base/check.js";

/** An `Optimizer`, or any object with groups. */
export interface Scheduled {
  /** The groups; at least one. */
  readonly paramGroups: readonly {
    /** The learning rate, which a schedule sets. */
    lr: number;
  }[];
}

/** The lr that a group had before any schedule. */
const initialLrs = /* @__PURE__ */ new WeakMap<object, number>();

/**
 * cos(pi x) for x >= 0, within 2.5e-16: by Taylor's series after an exact reduction to at most a quarter turn.
 * Math.cos gives other bits on other engines.
 */
export function cosPi(x: number): number {
  x %= 2;
  if (x > 1) x = 2 - x;
  if (x > 0.5) return -cosPi(1 - x);
  const sine = x > 0.25; // cos(pi x) = sin(pi (1/2 - x))
  const angle = Math.PI * (sine ? 0.5 - x : x);
  const square = angle * angle;
  let sum = 0;
  for (let k = sine ? 17 : 16; k > 1; k -= 2) sum = (1 + sum) * (-square / (k * (k - 1)));
  return sine ? angle + angle * sum : 1 + sum;
}

/** A schedule's groups and state, which only its own methods reach. */
class State {
  epoch = 0;
  /** State of this kind of schedule. */
  extra: () => Record<string, number | readonly number[]> = () => ({});
  /** Restores `extra`; each value is an array here. */
  restore: (values: Readonly<Record<string, readonly number[]>>) => void = () => {};
  readonly groups: readonly { lr: number }[];

  constructor(optimizer: unknown) {
    const groups: unknown = (optimizer as Scheduled | undefined)?.paramGroups;
    const list = Array.isArray(groups) ? readList("paramGroups", groups, "groups") : [];
    if (list.length === 0) throw new ValueError("optimizer", describe(optimizer), "an optimizer with paramGroups");
    const taken: { lr: number }[] = [];
    for (const [i, group] of list.entries()) {
      if (typeof group !== "object" || group === null) {
        throw new ValueError(`paramGroups[${i}]`, describe(group), "an object with lr");
      }
      taken.push(group as { lr: number });
    }
    this.groups = taken;
    this.readLrs();
  }

  /** The groups' learning rates, each read once and checked. */
  readLrs(): number[] {
    return this.groups.map((group, i) => {
      const argument = `paramGroups[${i}].lr`;
      let lr: number;
      try {
        ({ lr } = group);
      } catch (cause) {
        const error = new ValueError(argument, "a group that cannot be read", "one whose lr can be read");
        error.cause = cause;
        throw error;
      }
      checkNumber(argument, lr);
      return lr;
    });
  }

  /** The lr of each group before any schedule. */
  initialLrs(): number[] {
    const lrs = this.readLrs();
    return this.groups.map((group, i) => {
      if (!initialLrs.has(group)) initialLrs.set(group, lrs[i]!);
      return initialLrs.get(group)!;
    });
  }

  /** Sets the lr of each group or, if one refuses it, of none; `before` are the current ones. */
  setLrs(lrs: readonly number[], before: readonly number[]): void {
    lrs.forEach((lr, i) => checkNumber(`paramGroups[${i}].lr`, lr));
    let i = 0;
    try {
      for (; i < lrs.length; i++) this.groups[i]!.lr = lrs[i]!;
    } catch (cause) {
      const error = new ValueError(`paramGroups[${i}].lr`, "a group that refuses it", "one whose lr can be set");
      error.cause = cause;
      while (--i >= 0) {
        try {
          this.groups[i]!.lr = before[i]!;
        } catch {
          // it accepted the new lr and refuses the old one; `error` reports the first refusal
        }
      }
      throw error;
    }
  }
}

/** Base of all schedules: the groups, the number of epochs, saving and loading. */
export abstract class Schedule {
  readonly #state: State;

  /** @internal */
  constructor(state: State) {
    this.#state = state;
  }

  /**
   * Whether a value is a schedule of this package.
   *
   * @internal
   */
  static isSchedule(value: unknown): value is Schedule {
    return typeof value === "object" && value !== null && #state in value;
  }

  /** Number of steps so far (PyTorch's last_epoch). */
  get lastEpoch(): number {
    return this.#state.epoch;
  }

  /** The groups' current learning rates (PyTorch's get_last_lr). */
  get lastLr(): number[] {
    return this.#state.readLrs();
  }

  /** The state and the groups' learning rates, by PyTorch's names. */
  stateDict(): Record<string, Tensor> {
    const { epoch, extra } = this.#state;
    return {
      last_epoch: tensor(epoch),
      _last_lr: tensor(this.#state.readLrs()),
      ...Object.fromEntries(Object.entries(extra()).map(([name, value]) => [name, tensor(value)])),
    };
  }

  /**
   * Continues from a saved state; the optimizer's learning rates become those that were saved.
   *
   * @param dict what `stateDict` of a schedule of the same kind and as many groups gave
   * @throws ShapeError, DtypeError, ValueError naming a missing, unknown or wrong entry; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    checkDict(dict);
    const expected = Object.entries(Schedule.prototype.stateDict.call(this));
    const names = expected.map(([name]) => name);
    for (const name of Object.keys(dict)) {
      if (!names.includes(name)) throw new ShapeError("dict", `an unknown entry "${name}"`, names.join(", "));
    }
    const values: Record<string, readonly number[]> = {};
    for (const [name, { shape }] of expected) {
      if (!Object.hasOwn(dict, name)) throw new ShapeError("dict", `no entry "${name}"`, names.join(", "));
      const argument = `dict["${name}"]`;
      const { data } = checkTensor(argument, dict[name]!, "f64", shape);
      const numbers = Array.from(new Float64Array(data));
      for (const value of numbers) {
        if (shape.length > 0) checkNumber(argument, value);
        else if (name !== "best") checkCount(argument, value, 0);
        else if (Number.isNaN(value)) throw new ValueError(argument, "NaN", "a number");
      }
      values[name] = numbers;
    }
    const state = this.#state;
    state.setLrs(values._last_lr!, state.readLrs());
    state.epoch = values.last_epoch![0]!;
    state.restore(values);
  }
}

/** The lr of `epoch`, from that of the epoch before and that before any schedule. */
type NextLr = (lr: number, epoch: number, baseLr: number) => number;

/** Schedules that depend on the number of epochs alone. */
abstract class EpochSchedule extends Schedule {
  readonly #state: State;
  /** The lr of each group before any schedule. */
  #baseLrs: readonly number[];
  readonly #next: NextLr;

  /** @internal */
  constructor(state: State, next: NextLr) {
    super(state);
    this.#state = state;
    this.#next = next;
    this.#baseLrs = state.initialLrs();
    state.extra = () => ({ base_lrs: this.#baseLrs });
    state.restore = (values) => (this.#baseLrs = values.base_lrs!);
  }

  /**
   * Moves to the next epoch. Call it after the epoch's optimizer steps.
   *
   * @throws ValueError if an lr is, or would become, anything but a finite number >= 0, or cannot be set; nothing is changed then
   */
  step(): void {
    const state = this.#state;
    const epoch = state.epoch + 1;
    const lrs = state.readLrs();
    const next = this.#next;
    state.setLrs(
      lrs.map((lr, i) => next(lr, epoch, this.#baseLrs[i]!)),
      lrs,
    );
    state.epoch = epoch;
  }
}

/** Options of `StepLR`. */
export interface StepLROptions {
  /** Epochs between two changes. */
  stepSize: number;
  /** Factor of lr (default 0.1). */
  gamma?: number | undefined;
}

/**
 * lr = gamma lr every stepSize epochs, as PyTorch's
 * [lr_scheduler.StepLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html).
 */
export class StepLR extends EpochSchedule {
  /**
   * @param optimizer whose learning rates it sets
   * @param options stepSize, and gamma (0.1)
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(optimizer: Scheduled, options: StepLROptions) {
    checkOptions("StepLR", options, ["stepSize", "gamma"]);
    const { stepSize, gamma = 0.1 } = options;
    checkCount("stepSize", stepSize, 1);
    checkNumber("gamma", gamma);
    super(new State(optimizer), (lr, epoch) => (epoch % stepSize === 0 ? lr * gamma : lr));
  }
}

/** Options of `CosineAnnealingLR`. */
export interface CosineAnnealingLROptions {
  /** Epochs from the initial lr down to the least. */
  tMax: number;
  /** The least lr (default 0). */
  etaMin?: number | undefined;
}

/**
 * lr = etaMin + (initial lr - etaMin) (1 + cos(pi epoch / tMax)) / 2 (Loshchilov & Hutter 2017), by PyTorch's recurrence, as
 * its [lr_scheduler.CosineAnnealingLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html).
 * After tMax epochs lr climbs again.
 */
export class CosineAnnealingLR extends EpochSchedule {
  /**
   * @param optimizer whose learning rates it sets
   * @param options tMax, and etaMin (0)
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(optimizer: Scheduled, options: CosineAnnealingLROptions) {
    checkOptions("CosineAnnealingLR", options, ["tMax", "etaMin"]);
    const { tMax, etaMin = 0 } = options;
    checkCount("tMax", tMax, 1);
    checkNumber("etaMin", etaMin);
    super(new State(optimizer), (lr, epoch, baseLr) => {
      // one step after the least lr the quotient below would be 0 / 0
      if ((epoch - 1 - tMax) % (2 * tMax) === 0) return lr + ((baseLr - etaMin) * (1 - cosPi(1 / tMax))) / 2;
      return ((1 + cosPi(epoch / tMax)) / (1 + cosPi((epoch - 1) / tMax))) * (lr - etaMin) + etaMin;
    });
  }
}

/** Options of `LinearLR`. */
export interface LinearLROptions {
  /** Factor of the initial lr at the start, in (0, 1] (default 1/3). */
  startFactor?: number | undefined;
  /** Factor at the end, in [0, 1] (default 1). */
  endFactor?: number | undefined;
  /** Epochs between the two (default 5). */
  totalIters?: number | undefined;
}

/**
 * A warm-up: lr = initial lr (startFactor + (endFactor - startFactor) min(epoch / totalIters, 1)), as PyTorch's
 * [lr_scheduler.LinearLR](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html).
 */
export class LinearLR extends EpochSchedule {
  /**
   * Multiplies lr by startFactor.
   *
   * @param optimizer whose learning rates it sets
   * @param options from 1/3 to 1 in 5 epochs by default
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(optimizer: Scheduled, options: LinearLROptions = {}) {
    checkOptions("LinearLR", options, ["startFactor", "endFactor", "totalIters"]);
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5 } = options;
    if (typeof startFactor !== "number" || !(startFactor > 0 && startFactor <= 1)) {
      throw new ValueError("startFactor", describe(startFactor), "0 < startFactor <= 1");
    }
    if (typeof endFactor !== "number" || !(endFactor >= 0 && endFactor <= 1)) {
      throw new ValueError("endFactor", describe(endFactor), "0 <= endFactor <= 1");
    }
    checkCount("totalIters", totalIters, 1);
    const rise = endFactor - startFactor;
    const state = new State(optimizer);
    super(state, (lr, epoch) => {
      if (epoch > totalIters) return lr;
      // with endFactor 0, rounding may make the last factor negative
      return lr * Math.max(0, 1 + rise / (totalIters * startFactor + (epoch - 1) * rise));
    });
    const lrs = state.readLrs();
    state.setLrs(
      lrs.map((lr) => lr * startFactor),
      lrs,
    );
  }
}

/** Options of `ReduceLROnPlateau`. */
export interface ReduceLROnPlateauOptions {
  /** Whether a smaller metric is better, "min" (default), or a larger one, "max". */
  mode?: "min" | "max" | undefined;
  /** Factor of lr, below 1 (default 0.1). */
  factor?: number | undefined;
  /** Number of epochs in a row without improvement that are tolerated (default 10). */
  patience?: number | undefined;
  /** Smallest improvement on the best metric that counts (default 1e-4; see thresholdMode). */
  threshold?: number | undefined;
  /** Whether the threshold is a share of the best metric, "rel" (default), or a difference, "abs". */
  thresholdMode?: "rel" | "abs" | undefined;
  /** Number of epochs after a change in which nothing is counted (default 0). */
  cooldown?: number | undefined;
  /** The least lr, of all groups or of each (default 0). */
  minLr?: number | readonly number[] | undefined;
  /** Changes of lr of at most this size are skipped (default 1e-8). */
  eps?: number | undefined;
}

/**
 * lr = max(factor lr, minLr) when a metric has not improved for more than `patience` epochs in a row, as PyTorch's
 * [lr_scheduler.ReduceLROnPlateau](https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html).
 */
export class ReduceLROnPlateau extends Schedule {
  readonly #state: State;
  readonly #better: (metric: number, best: number) => boolean;
  readonly #factor: number;
  readonly #patience: number;
  readonly #cooldown: number;
  readonly #minLrs: readonly number[];
  readonly #eps: number;
  #best: number;
  #badEpochs = 0;
  #cooling = 0;

  /**
   * @param optimizer whose learning rates it sets
   * @param options a tenth of lr after 10 epochs without a smaller metric, by default
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError (minLr)
   */
  constructor(optimizer: Scheduled, options: ReduceLROnPlateauOptions = {}) {
    const names = ["mode", "factor", "patience", "threshold", "thresholdMode", "cooldown", "minLr", "eps"];
    checkOptions("ReduceLROnPlateau", options, names);
    const { mode = "min", factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = "rel" } = options;
    const { cooldown = 0, minLr = 0, eps = 1e-8 } = options;
    if (mode !== "min" && mode !== "max") throw new ValueError("mode", describe(mode), '"min" or "max"');
    if (thresholdMode !== "rel" && thresholdMode !== "abs") {
      throw new ValueError("thresholdMode", describe(thresholdMode), '"rel" or "abs"');
    }
    checkNumber("factor", factor, 1);
    checkCount("patience", patience, 0);
    checkNumber("threshold", threshold);
    checkCount("cooldown", cooldown, 0);
    checkNumber("eps", eps);
    const state = new State(optimizer);
    super(state);
    this.#state = state;
    const count = state.groups.length;
    const several = Array.isArray(minLr);
    const given = several ? (minLr as readonly number[]).length : count;
    if (given !== count) throw new ShapeError("minLr", `${given} numbers`, `one for each of ${count} groups`);
    const minLrs: number[] = [];
    for (let i = 0; i < count; i++) {
      const least = several ? (minLr as readonly number[])[i]! : (minLr as number);
      checkNumber("minLr", least);
      minLrs.push(least);
    }
    const sign = mode === "min" ? -1 : 1;
    const limit = (best: number) => (thresholdMode === "rel" ? best * (1 + sign * threshold) : best + sign * threshold);
    this.#better = mode === "min" ? (metric, best) => metric < limit(best) : (metric, best) => metric > limit(best);
    this.#best = mode === "min" ? Infinity : -Infinity;
    this.#factor = factor;
    this.#patience = patience;
    this.#cooldown = cooldown;
    this.#minLrs = minLrs;
    this.#eps = eps;
    state.extra = () => ({
      best: this.#best,
      num_bad_epochs: this.#badEpochs,
      cooldown_counter: this.#cooling,
    });
    state.restore = (values) => {
      this.#best = values.best![0]!;
      this.#badEpochs = values.num_bad_epochs![0]!;
      this.#cooling = values.cooldown_counter![0]!;
    };
  }

  /**
   * Moves to the next epoch.
   *
   * @param metric the epoch's metric, for example its validation loss; NaN is no improvement
   * @throws ValueError if the metric is not a number, or an lr is not a finite number >= 0 or cannot be set; nothing is changed
   *   then
   */
  step(metric: number): void {
    if (typeof metric !== "number") throw new ValueError("metric", describe(metric), "a number");
    const lrs = this.#state.readLrs();
    const better = this.#better(metric, this.#best);
    let cooling = Math.max(0, this.#cooling - 1);
    let badEpochs = better || this.#cooling > 0 ? 0 : this.#badEpochs + 1;
    if (badEpochs > this.#patience) {
      this.#state.setLrs(
        lrs.map((lr, i) => {
          const reduced = Math.max(lr * this.#factor, this.#minLrs[i]!);
          return lr - reduced > this.#eps ? reduced : lr;
        }),
        lrs,
      );
      cooling = this.#cooldown;
      badEpochs = 0;
    }
    this.#state.epoch++;
    if (better) this.#best = metric;
    this.#cooling = cooling;
    this.#badEpochs = badEpochs;
  }
}
