// A graph for given shapes of its inputs: their places, and the plans that have been made, each for other answers.

import type { Core } from "../../bindings/instantiate.js";
import { OutOfMemoryError } from "../../bindings/errors.js";
import { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import type { Builder, Limits } from "./builder.js";
import { Slot, type ModelValue } from "./feeds.js";
import { Planner, type Plan } from "./plan.js";
import { bytesOf, Value } from "./value.js";

/** The most plans that are kept. */
const MOST = 8;

/** Computes the outputs of a graph from its inputs. */
export type Build = (builder: Builder, inputs: readonly Value[]) => readonly Value[];

/** What a model is made of. */
export interface Definition {
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** Parameters by name, as constants. */
  readonly weights: Map<string, Value>;
  /** Those weights that are no parameters, since they are not trained: running statistics. */
  readonly statistics?: ReadonlySet<string>;
  readonly limits: Limits;
  /**
   * How many of the last inputs and outputs are states, which the model keeps from run to run: each output becomes the input of its
   * place. Their first axis is the batch.
   */
  readonly states?: number | undefined;
  /** The inputs of i32 that may come as whole numbers of any type. */
  readonly whole?: ReadonlySet<string> | undefined;
  build(builder: Builder, inputs: readonly Value[], weight: (name: string) => Value): readonly Value[];
}

export class Prepared {
  readonly slots: readonly Slot[];
  readonly #arena: Arena;
  readonly #plans: { readonly plan: Plan; used: number }[] = [];
  #clock = 0;

  constructor(
    readonly core: Core,
    readonly limits: Limits,
    readonly build: Build,
    inputs: readonly ModelValue[],
    shapes: readonly (readonly number[])[],
  ) {
    const bytes = shapes.reduce((sum, shape, i) => sum + sizeOf(shape) * bytesOf(inputs[i]!.dtype), 0);
    if (!(bytes <= limits.memory)) {
      throw new OutOfMemoryError("inputs", `${bytes} bytes`, `at most ${limits.memory} bytes (maxMemory)`);
    }
    this.#arena = new Arena(core, true);
    try {
      this.slots = inputs.map(({ name, dtype }, i) => new Slot(this.#arena, name, dtype, shapes[i]!));
    } catch (error) {
      this.#arena.dispose();
      throw error;
    }
  }

  /** Runs with what the slots hold: by the latest plan, if it holds for that, and without an allocation then. */
  run(): Plan {
    const plans = this.#plans;
    for (let i = 0; i < plans.length; i++) {
      const entry = plans[i]!;
      if (!entry.plan.run()) continue;
      entry.used = ++this.#clock;
      if (i > 0) {
        plans[i] = plans[0]!;
        plans[0] = entry;
      }
      return entry.plan;
    }
    const planner = new Planner(this.core, this.limits);
    try {
      const inputs = this.slots.map(({ dtype, shape, tensor, numbers }) => {
        const value = new Value(dtype, shape);
        value.tensor = tensor;
        value.numbers = numbers;
        if (numbers && value.size <= FEW) value.sources = new Set([value]);
        return value;
      });
      planner.finish(this.build(planner, inputs));
    } catch (error) {
      planner.plan.arena.dispose();
      throw error;
    }
    if (plans.length === MOST) {
      const oldest = plans.reduce((a, b) => (a.used < b.used ? a : b));
      plans.splice(plans.indexOf(oldest), 1);
      oldest.plan.arena.dispose();
    }
    plans.unshift({ plan: planner.plan, used: ++this.#clock });
    return planner.plan;
  }

  dispose(): void {
    for (const { plan } of this.#plans) plan.arena.dispose();
    this.#plans.length = 0;
    this.#arena.dispose();
  }
}

/** So many integers that are fed are compared one by one where they decide what is planned; more are not looked at. */
const FEW = 64;
