// What an operation is: it knows the shapes of its results and its kernel calls, and one that can be trained through knows its
// derivative. Operations run on tensors in wasm memory: at once (`apply`, and evaluate.ts for plain tensors), or bound once
// and run many times. Layers that are made of operations run them by `apply`.

import { DtypeError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena, type WasmTensor } from "../../bindings/memory.js";
import type { Dtype, FloatDtype, Tensor } from "../../bindings/tensor.js";

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
  /** Names it where memory does not suffice. */
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
   */
  bind?(
    scratch: Arena,
    inputs: readonly WasmTensor[],
    outputs: readonly WasmTensor[],
    attributes: Attributes,
  ): () => void;
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
 * An operation and its derivative.
 *
 * @typeParam Attributes what it takes beside tensors
 */
export interface Differentiable<Attributes = undefined> extends Operation<Attributes> {
  /** The tensors whose numbers `backward` reads; of the others it reads dtype and shape alone. */
  readonly saves: "none" | "inputs" | "outputs" | "both";
  /**
   * The gradients of the inputs; undefined for an input without one.
   *
   * @param arena owns the gradients
   */
  backward(arena: Arena, call: BackwardCall<Attributes>): readonly (FloatTensor | undefined)[];
}

/** An operation with its derivative. */
export function differentiable<Attributes>(
  operation: Operation<Attributes>,
  saves: Differentiable<Attributes>["saves"],
  backward: Differentiable<Attributes>["backward"],
): Differentiable<Attributes> {
  return { ...operation, saves, backward };
}

/** What records calls. */
export interface Recorder {
  push(call: {
    inputs: Readonly<Record<string, Tensor | undefined>>;
    outputs: Readonly<Record<string, unknown>>;
    arena: Arena;
    backward(
      gradients: Readonly<Record<string, Tensor | undefined>>,
      scratch: Arena,
    ): Readonly<Record<string, Tensor | undefined>>;
  }): void;
}

/** The number type of all inputs from `first` on: one and the same, f64 or f32; `names` are those of all inputs. */
export function floatTypeOf(names: readonly string[], inputs: readonly Spec[], first = 0): FloatDtype {
  const { dtype } = inputs[first]!;
  if (dtype === "i32") throw new DtypeError(names[first]!, dtype, "a tensor of f64 or f32");
  for (let i = first + 1; i < inputs.length; i++) {
    if (inputs[i]!.dtype !== dtype) throw new DtypeError(names[i]!, inputs[i]!.dtype, dtype);
  }
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
  withArena(arena.core, (scratch) => operation.bind!(scratch, inputs, outputs, attributes)());
  return outputs;
}

/**
 * Runs an operation on tensors in wasm memory.
 *
 * @param arena owns the results. With a tape also what the way back needs, as far as the inputs' arenas do not: all must live as
 *   long as the tape
 * @param tape records the call if the operation has a derivative
 * @returns the results, in `arena`; that of an operation without `bind` is where its first input is
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function apply<Attributes>(
  arena: Arena,
  operation: Operation<Attributes> | Differentiable<Attributes>,
  inputs: readonly WasmTensor[],
  attributes: Attributes,
  tape?: Recorder,
): WasmTensor[] {
  const outputs = run(arena, operation, inputs, attributes);
  if (tape && "backward" in operation) record(tape, arena, operation, { inputs, outputs, attributes }, inputs, outputs);
  return outputs;
}

/** `apply` of an operation without attributes to numbers of f64 or f32, for its only result. */
export function compute(
  arena: Arena,
  operation: Operation | Differentiable,
  inputs: readonly WasmTensor[],
  tape?: Recorder,
): FloatTensor {
  return apply(arena, operation, inputs, undefined, tape)[0] as FloatTensor;
}

function byIndex<T>(list: readonly T[]): Record<string, T> {
  return Object.fromEntries(list.entries());
}

/**
 * Records a call that was made.
 *
 * @param arena owns what it saves; the tape frees it
 * @param keyInputs the inputs as the tape knows them
 * @param keyOutputs the results as the tape knows them
 */
export function record<Attributes>(
  tape: Recorder,
  arena: Arena,
  operation: Differentiable<Attributes>,
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
        return scratch.upload("gradient", gradient, dtype, ["..."]).reshape(shape);
      });
      return byIndex(operation.backward(scratch, { ...call, gradients }));
    },
  });
}
