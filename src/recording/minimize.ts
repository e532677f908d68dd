// Bodies that are recorded, and what is done with the recording: gradients, and steps of optimizers.

import { StateError, ValueError } from "../../bindings/errors.js";
import { Arena, withArena } from "../../bindings/memory.js";
import { currentCore } from "../../bindings/instantiate.js";
import { describe, readTensor, zeros, dtypeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { add, floatDtype, type FloatTensor } from "../../bindings/kernels.js";
import { readList } from "../base/check.js";
import { makeParameter, parameterOf, parametersOf, type Parameter, type WasmParameter } from "../base/parameter.js";
import { checkOutside, currentTape, setTape } from "./current.js";
import { keyOf, Tape, type Objective } from "./tape.js";

/**
 * What a body returns: the result of a loss with reduction "mean" or "sum", of `weightedSum`, or a tensor of one number, f64 or f32.
 */
export type LossResult =
  | {
      /** The loss. */
      readonly loss: number;
    }
  | Tensor<FloatDtype>;

const RETURNED =
  'the whole result of a loss with reduction "mean" or "sum", of weightedSum, or a tensor of one number, f64 or f32';

/** Records a body, and hands over the recording and the loss, which live until `use` returns. */
export function record<R>(owner: string, body: () => LossResult, use: (tape: Tape, objective: Objective) => R): R {
  checkOutside(owner);
  if (typeof body !== "function") throw new ValueError("body", describe(body), "a function that returns a loss");
  const tape = new Tape();
  try {
    let objective: Objective;
    setTape(tape);
    try {
      objective = objectiveOf(tape, "body's result", body());
    } finally {
      setTape(undefined);
    }
    return use(tape, objective);
  } finally {
    tape.dispose();
  }
}

function objectiveOf(tape: Tape, argument: string, result: unknown): Objective {
  const objective = typeof result === "object" && result !== null ? tape.objectiveOf(result) : undefined;
  if (objective) return objective;
  const loss: unknown = typeof result === "object" && (result as { loss?: unknown } | null)?.loss;
  let received = describe(result);
  if (result instanceof Promise) received = "a Promise: the body is asynchronous";
  else if (typeof loss === "number") received = "a copy of a loss's result, or a loss computed outside of the body";
  else if (typeof loss === "object") received = 'a loss with reduction "none"';
  throw new ValueError(argument, received, RETURNED);
}

/**
 * A sum of losses, each times its weight, for `minimize` and `valueAndGrad`.
 *
 * @param losses pairs of a loss and its weight, a finite number
 * @returns a loss
 * @throws ValueError
 */
export function weightedSum(losses: readonly (readonly [loss: LossResult, weight: number])[]): {
  /** The sum. */
  readonly loss: number;
} {
  const current = currentTape();
  const tape = current ?? new Tape();
  let sum = 0;
  const terms = readList("losses", losses, "pairs [loss, weight]").flatMap((pair, i) => {
    const argument = `losses[${i}]`;
    const [loss, weight, ...rest] = readList(argument, pair, "a loss and its weight");
    if (rest.length > 0 || typeof weight !== "number" || !Number.isFinite(weight)) {
      throw new ValueError(argument, describe(weight), "[loss, weight], the weight a finite number");
    }
    // outside of a body, only the number counts
    const value: unknown = !current && (loss as { loss?: unknown } | null | undefined)?.loss;
    const objective =
      typeof value === "number" ? { loss: value, terms: [] } : objectiveOf(tape, `${argument}[0]`, loss);
    sum += weight * objective.loss;
    return objective.terms.map((term) => ({ ...term, weight: weight * term.weight }));
  });
  const result = Object.freeze({ loss: sum });
  tape.pushObjective(result, { loss: sum, terms });
  return result;
}

/**
 * A free parameter, for optimizers and recorded bodies: a learned initial state, a scale.
 *
 * @param tensor the first numbers, f64 or f32; copied
 * @param name the name in errors and state dictionaries (default "parameter")
 * @throws DtypeError, ShapeError, ValueError, OutOfMemoryError
 */
export function parameter<D extends FloatDtype>(tensor: Tensor<D>, name = "parameter"): Parameter<D> {
  if (typeof name !== "string") throw new ValueError("name", describe(name), "a string");
  const given = readTensor("tensor", tensor, "a tensor of f64 or f32");
  const dtype = floatDtype("tensor", given) as D;
  const numbers = given.data.slice(); // of a live view, which allocating may detach
  const arena = new Arena(currentCore(), true);
  try {
    const made = makeParameter(arena, name, dtype, given.shape);
    made.value.set(numbers);
    made.grad.fill(0);
    return made.shown;
  } catch (error) {
    arena.dispose();
    throw error;
  }
}

/**
 * Runs `body`, and restores the gradients of parameters: of all of them where it throws, else of those that are not `kept`.
 */
export function guardGradients<R>(
  parameters: readonly Pick<WasmParameter, "value" | "grad">[],
  kept: ReadonlySet<object>,
  body: () => R,
): R {
  const [first] = parameters;
  if (!first) return body();
  return withArena(first.grad.arena.core, (arena) => {
    const copies = parameters.map(({ grad }) => copyOf(arena, grad));
    const restore = (which: (value: object) => boolean): void =>
      parameters.forEach(({ value, grad }, i) => which(value) && copyInto(copies[i]!, grad));
    try {
      const result = body();
      restore((value) => !kept.has(value));
      return result;
    } catch (error) {
      restore(() => true);
      throw error;
    }
  });
}

function copyOf(arena: Arena, tensor: FloatTensor): FloatTensor {
  const copy: FloatTensor = arena.allocate("gradients as they were", tensor.dtype, tensor.shape);
  copyInto(tensor, copy);
  return copy;
}

function copyInto(from: FloatTensor, to: FloatTensor): void {
  const all = to.arena.core.heap.view(to.dtype);
  const first = from.pointer / all.BYTES_PER_ELEMENT;
  all.copyWithin(to.pointer / all.BYTES_PER_ELEMENT, first, first + from.data.length);
}

/** `valueAndGrad` of ops/value-and-grad.ts, without derivatives of graphs. */
export function valueAndGrad(
  body: () => LossResult,
  wrt: readonly Tensor[] = [],
): {
  loss: number;
  gradients: Tensor[];
} {
  const tensors = readList("wrt", wrt, "tensors").map((given, i) => {
    const tensor = readTensor(`wrt[${i}]`, given as Tensor, "a tensor of f64 or f32");
    floatDtype(`wrt[${i}]`, tensor);
    return tensor;
  });
  return record("valueAndGrad", body, (tape, objective) => {
    const reached = tape.reach(objective);
    const keys = tensors.map(keyOf);
    const missed = keys.findIndex((key) => !reached.has(key));
    if (missed >= 0) {
      throw new StateError(
        `wrt[${missed}]`,
        "a tensor that the loss does not depend on",
        "an input of a recorded call; a copy is another tensor",
      );
    }
    const parameters = parametersOf(reached);
    const wanted = new Set<object>([...keys, ...parameters.map(({ value }) => value)]);
    const own = keys.map(parameterOf);
    const gradients = guardGradients(parameters, wanted, () =>
      withArena(tape.core, (arena) => {
        const before = new Map(
          own.filter((each) => each !== undefined).map((each) => [each, copyOf(arena, each.grad)]),
        );
        for (const { grad } of before.keys()) grad.fill(0);
        const found = tape.backward(objective, wanted, tensors);
        const results = tensors.map(({ data, shape }, i): Tensor => {
          return own[i]?.grad.download(shape) ?? found[i] ?? { data: zeros(dtypeOf(data), data.length), shape };
        });
        for (const [{ grad }, sum] of before) add(sum, grad, grad);
        return results;
      }),
    );
    return { loss: objective.loss, gradients };
  });
}
