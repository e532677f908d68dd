// What an operation is: it knows the shapes of its results and its kernel calls, and one that can be trained through knows its
// derivative. Operations run on tensors in wasm memory: at once (`apply`, and evaluate.ts for plain tensors), or bound once
// and run many times. Layers that are made of operations run them by `apply`.

import { DtypeError } from "../../bindings/errors.js";
import type { Axes } from "../../bindings/graph.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, withArena, type WasmTensor } from "../../bindings/memory.js";
import type { Dtype, FloatDtype, Tensor } from "../../bindings/tensor.js";
import type { Tape } from "../recording/tape.js";

/** What is known of a tensor before there are numbers. */
export interface Spec<D extends Dtype = Dtype> {
  readonly dtype: D;
  readonly shape: readonly number[];
}

/**
 * An operation.
 *
 * @typeParam Attributes what it takes beside tensors
 */
export interface Operation<Attributes = undefined> {
  /** Its own: derivatives are found by it, and it is named where memory does not suffice. */
  readonly name: string;
  /**
   * The results' types and shapes.
   *
   * @throws ShapeError, DtypeError, ValueError
   */
  infer(inputs: readonly Spec[], attributes: Attributes): readonly Spec[];
  /**
   * Fixes the tensors of a call, which `infer` has accepted. The function that is returned makes the call, any number of times, as
   * long as tensors and scratch live; it allocates nothing. Indices among the inputs were checked.
   *
   * An operation without `bind` is no copy: its result is the memory of its first input in another shape.
   *
   * @param scratch owns what the call needs beside the tensors
   * @param constant of each input, whether its numbers stay those that are there now: what is made of them is made once
   */
  bind?(
    scratch: Arena,
    inputs: readonly WasmTensor[],
    outputs: readonly WasmTensor[],
    attributes: Attributes,
    constant?: readonly boolean[],
  ): () => void;
  /** Whether the first result may lie where an input of its type and shape lies: any, or the first. */
  readonly inPlace?: boolean | "first";
}

/** A copy of a box of numbers. */
export interface Move {
  /** Which input and which result. */
  readonly input: number;
  readonly output: number;
  /** Numbers from the first one of each to the box. */
  readonly from: number;
  readonly to: number;
  /** Of the box: lengths, and strides in the input and in the result. */
  readonly axes: Axes;
}

/** An operation that moves numbers, of any type, and computes nothing. */
export interface Movement<Attributes = undefined> extends Operation<Attributes> {
  /** The copies that it is made of. Together they write all results, where `fill` is absent. */
  moves(inputs: readonly Spec[], outputs: readonly Spec[], attributes: Attributes): readonly Move[];
  /** The number that fills the first result before the copies. */
  fill?(attributes: Attributes): number;
}

/** A call whose gradients are known, and those of its inputs wanted. */
export interface BackwardCall<Attributes> {
  readonly inputs: readonly WasmTensor[];
  readonly outputs: readonly WasmTensor[];
  readonly attributes: Attributes;
  /** Those of the results, in their shapes; they must not be changed. */
  readonly gradients: readonly FloatTensor[];
}

/**
 * The derivative of an operation.
 *
 * @typeParam Attributes what it takes beside tensors
 */
export interface Derivative<Attributes = undefined> {
  /** The tensors whose numbers `backward` reads; of the others it reads dtype and shape alone. */
  readonly saves: "none" | "inputs" | "outputs" | "both";
  /**
   * The gradients of the inputs; undefined for an input without one.
   *
   * @param arena owns the gradients
   */
  backward(arena: Arena, call: BackwardCall<Attributes>): readonly (FloatTensor | undefined)[];
}

/** An operation and its derivative. */
export type Differentiable<Attributes = undefined> = Operation<Attributes> & Derivative<Attributes>;

/** An operation with its derivative. */
export function differentiable<Attributes>(
  operation: Operation<Attributes>,
  saves: Differentiable<Attributes>["saves"],
  backward: Differentiable<Attributes>["backward"],
): Differentiable<Attributes> {
  return { ...operation, saves, backward };
}

/** The number type of all inputs: one and the same, f64 or f32; errors have their names. */
export function floatTypeOf(names: readonly string[], inputs: readonly Spec[]): FloatDtype {
  const { dtype } = inputs[0]!;
  if (dtype !== "f64" && dtype !== "f32") throw new DtypeError(names[0]!, dtype, "a tensor of f64 or f32");
  const other = inputs.findIndex((each) => each.dtype !== dtype);
  if (other >= 0) throw new DtypeError(names[other]!, inputs[other]!.dtype, dtype);
  return dtype;
}

/** Runs an operation: the results are in `arena`, and those of an operation without `bind` where its first input is. */
function run<Attributes>(
  arena: Arena,
  operation: Operation<Attributes>,
  inputs: readonly WasmTensor[],
  attributes: Attributes,
): WasmTensor[] {
  const specs = operation.infer(inputs, attributes);
  if (!operation.bind) return [inputs[0]!.reshape(specs[0]!.shape)];
  const outputs = specs.map(({ dtype, shape }) => arena.allocate(operation.name, dtype, shape));
  withArena(arena.core, (scratch) => {
    scratch.limit = arena.limit;
    operation.bind!(scratch, inputs, outputs, attributes)();
  });
  return outputs;
}

/**
 * Runs an operation on tensors in wasm memory.
 *
 * @param arena owns the results; with a tape, it and the owners of the inputs must live until the way back is over
 * @param tape records the call if the operation has a derivative
 * @returns the results, in `arena`; that of an operation without `bind` is where its first input is
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function apply<Attributes>(
  arena: Arena,
  operation: Operation<Attributes> | Differentiable<Attributes>,
  inputs: readonly WasmTensor[],
  attributes: Attributes,
  tape?: Tape,
): WasmTensor[] {
  const outputs = run(arena, operation, inputs, attributes);
  if (tape && "backward" in operation) {
    const nothing = new Arena(arena.core); // what the tape frees with this call
    record(tape, nothing, operation, { inputs, outputs, attributes }, inputs, outputs);
  }
  return outputs;
}

/** `apply` of an operation without attributes to numbers of f64 or f32, for its only result. */
export function compute(
  arena: Arena,
  operation: Operation | Differentiable,
  inputs: readonly WasmTensor[],
  tape?: Tape,
): FloatTensor {
  return apply(arena, operation, inputs, undefined, tape)[0] as FloatTensor;
}

/** A list as a record by index, which it is. */
function byIndex<T>(list: readonly T[]): Readonly<Record<string, T>> {
  return list as unknown as Readonly<Record<string, T>>;
}

/**
 * Records a call that was made. Gradients of results that have none are zeros.
 *
 * @param arena owns what it saves; the tape frees it
 * @param keyInputs the inputs as the tape knows them
 * @param keyOutputs the results as the tape knows them
 */
export function record<Attributes>(
  tape: Tape,
  arena: Arena,
  operation: Pick<Derivative<Attributes>, "backward">,
  call: Omit<BackwardCall<Attributes>, "gradients">,
  keyInputs: readonly Tensor[],
  keyOutputs: readonly Tensor[],
): void {
  tape.push({
    inputs: byIndex(keyInputs),
    outputs: byIndex(keyOutputs),
    arena,
    backward(given, scratch) {
      const gradients = call.outputs.map((output, i) => {
        const { dtype, shape } = output as FloatTensor;
        const gradient = given[i];
        if (!gradient) return scratch.zeros("gradient", dtype, shape);
        return scratch.upload("gradient", gradient, dtype, shape);
      });
      return byIndex(operation.backward(scratch, { ...call, gradients }));
    },
  });
}
