// What operators are written against: they compute values from values by operations in wasm and functions in JavaScript, and may ask
// for numbers. One kind of builder makes plans, another computes at once and records.

import type { Core } from "../../bindings/instantiate.js";
import { DtypeError, OutOfMemoryError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { MAX_RANK, showShape, sizeOf } from "../../bindings/tensor.js";
import type { ElementType } from "../base/element.js";
import type { Movement, Operation, Spec } from "../ops/operation.js";
import {
  bytesOf,
  constant,
  floatOf,
  makeNumbers,
  type Value,
  type Compute,
  type Numbers,
  type ValueSpec,
} from "./value.js";

/** What a graph may use. */
export interface Limits {
  /** Bytes of all tensors of a plan, and of what is computed while planning. */
  readonly memory: number;
  /** Nodes that are computed for a plan, each in each iteration of a Loop or Scan, and those iterations. */
  readonly iterations: number;
}

/** What holds where the caller sets nothing. */
export const DEFAULT_LIMITS: Limits = { memory: 2 ** 30, iterations: 1e5 };

export abstract class Builder {
  /** The node that is computed, for errors. */
  where: string | undefined;
  #iterations = 0;
  #bytes = 0;

  constructor(
    readonly core: Core,
    readonly limits: Limits,
  ) {}

  /**
   * Counts nodes and iterations.
   *
   * @throws ValueError where there are too many
   */
  count(more = 1): void {
    this.#iterations += more;
    const { iterations } = this.limits;
    if (this.#iterations <= iterations) return;
    throw new ValueError("nodes", `more than ${iterations} with iterations`, "fewer, or a higher maxIterations");
  }

  /** Runs an operation; movements take integers, too. */
  abstract run<Attributes>(
    operation: Operation<Attributes>,
    inputs: readonly Value[],
    attributes: Attributes,
  ): readonly Value[];

  /**
   * Computes in JavaScript.
   *
   * @param outputs types and shapes of the results
   */
  abstract host(inputs: readonly Value[], outputs: readonly ValueSpec[], compute: Compute): readonly Value[];

  /** The numbers, where they are known without a run. */
  abstract known(value: Value): Numbers | undefined;

  /** The numbers: what follows holds for them alone. */
  abstract numbers(value: Value): Numbers;

  /** `host` into i32 in wasm memory, for operations. */
  abstract hostToWasm(inputs: readonly Value[], shape: readonly number[], compute: Compute): Value;

  /**
   * Indices as i32 in wasm memory: from 0 to count - 1, of integers from -count to count - 1.
   *
   * @throws ValueError when the graph runs
   */
  indices(argument: string, value: Value, count: number): Value {
    return this.hostToWasm([value], value.shape, ([from], [to]) => {
      for (let i = 0; i < to!.length; i++) to![i] = checkPosition(argument, from![i]!, count);
    });
  }

  /** `run` of an operation with one result. */
  one<Attributes>(operation: Operation<Attributes>, inputs: readonly Value[], attributes: Attributes): Value {
    return this.run(operation, inputs, attributes)[0]!;
  }

  /** `host` with one result. */
  hostOne(
    inputs: readonly Value[],
    dtype: ElementType,
    shape: readonly number[],
    compute: (inputs: readonly Numbers[], output: Numbers) => void,
  ): Value {
    return this.host(inputs, [{ dtype, shape }], (numbers, outputs) => compute(numbers, outputs[0]!))[0]!;
  }

  /** Numbers that are fixed. */
  constant(dtype: ElementType, shape: readonly number[], numbers: ArrayLike<number>): Value {
    const own = makeNumbers(dtype, sizeOf(shape));
    own.set(numbers);
    return constant(dtype, shape, own);
  }

  /** The number of a value of one number. */
  number(argument: string, value: Value): number {
    if (value.size !== 1) throw new ShapeError(argument, showShape(value.shape), "one number");
    return this.numbers(value)[0]!;
  }

  /** The types and shapes of an operation's results; checked before there is memory for them. */
  protected infer<Attributes>(
    operation: Operation<Attributes>,
    inputs: readonly Value[],
    attributes: Attributes,
  ): readonly ValueSpec[] {
    const specs = inputs.map(({ dtype, shape }) => ({ dtype: floatOf(dtype) ?? dtype, shape }) as Spec);
    const results = operation.infer(specs, attributes);
    const label = inputs[0]!.dtype;
    // f16 and bf16 are f32 to operations
    return results.map(({ dtype, shape }) => ({ dtype: dtype === floatOf(label) ? label : dtype, shape }));
  }

  /** Refuses tensors that are too large. */
  protected check(outputs: readonly ValueSpec[]): void {
    for (const { dtype, shape } of outputs) {
      if (shape.length > MAX_RANK) throw new ShapeError("a tensor", `${shape.length} axes`, `at most ${MAX_RANK}`);
      if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
        throw new ShapeError("a tensor", showShape(shape), "whole numbers >= 0");
      }
      const bytes = sizeOf(shape) * bytesOf(dtype);
      if (!(bytes <= this.limits.memory)) this.#refuse(`${showShape(shape)} of ${dtype}`);
    }
  }

  /** Counts bytes of what a plan computes and holds. */
  protected account(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.limits.memory) this.#refuse(`${this.#bytes} bytes`);
  }

  /** `account` of tensors. */
  protected accountFor(values: readonly ValueSpec[]): void {
    for (const { dtype, shape } of values) this.account(sizeOf(shape) * bytesOf(dtype));
  }

  #refuse(received: string): never {
    throw new OutOfMemoryError("memory of a graph", received, `at most ${this.limits.memory} bytes (maxMemory)`);
  }
}

/** An error that names the node where it came about. */
export function located(where: string | undefined, error: unknown): unknown {
  for (const Kind of [ShapeError, DtypeError, ValueError, UnsupportedError, OutOfMemoryError]) {
    if (!(error instanceof Kind) || where === undefined || error.argument.startsWith("node ")) continue;
    return new Kind(`${where}, ${error.argument}`, error.received, error.expected);
  }
  return error;
}

/** Whether an operation moves numbers alone. */
export function isMovement<A>(operation: Operation<A>): operation is Movement<A> {
  return "moves" in operation;
}

/** A movement of numbers in JavaScript. */
export function moveNumbers<A>(
  operation: Movement<A>,
  inputs: readonly ValueSpec[],
  outputs: readonly ValueSpec[],
  attributes: A,
): Compute {
  const moves = operation.moves(inputs as readonly Spec[], outputs as readonly Spec[], attributes);
  const value = operation.fill?.(attributes);
  return (from, to) => {
    if (value !== undefined) to[0]!.fill(value);
    for (const move of moves) {
      if (move.axes.some(([n]) => n === 0)) continue;
      copy(from[move.input]!, move.from, to[move.output]!, move.to, move.axes, 0);
    }
  };
}

function copy(
  from: Numbers,
  start: number,
  to: Numbers,
  place: number,
  axes: readonly (readonly number[])[],
  axis: number,
): void {
  if (axis === axes.length) {
    to[place] = from[start]!;
    return;
  }
  const [n, fromStep, toStep] = axes[axis] as [number, number, number];
  const last = axis === axes.length - 1;
  for (let i = 0; i < n; i++) {
    if (last) to[place] = from[start]!;
    else copy(from, start, to, place, axes, axis + 1);
    start += fromStep;
    place += toStep;
  }
}

/** An index from 0 to count - 1, of one from -count to count - 1. */
export function checkPosition(argument: string, index: number, count: number): number {
  if (index >= -count && index < count) return index < 0 ? index + count : index;
  throw new ValueError(argument, `${index}`, count > 0 ? `an integer from ${-count} to ${count - 1}` : "none");
}
