// Operations on plain tensors: read once, checked, copied into wasm memory, run, copied out, and recorded in a recorded body.

import { DtypeError } from "../../bindings/errors.js";
import { coreOfCall, EXPONENTIAL, type Core } from "../../bindings/instantiate.js";
import { Arena, steady, withArena } from "../../bindings/memory.js";
import {
  checkDimensions,
  describe,
  dtypeOf,
  ReadTensor,
  readTensor,
  sizeOf,
  type Dtype,
  type Tensor,
} from "../../bindings/tensor.js";
import { currentTape } from "../recording/current.js";
import { apply, record, type Differentiable, type Operation, type Spec } from "./operation.js";

const FLOAT = "a tensor of f64 or f32";

/** Reads a tensor from outside. */
export function readFloat(argument: string, value: Tensor): ReadTensor {
  return readTensor(argument, value, FLOAT);
}

/** Reads two operands, of which one may be a number: it is then of the other's type. */
export function readPair(
  names: readonly [string, string],
  a: Tensor | number,
  b: Tensor | number,
): [ReadTensor, ReadTensor] {
  if (typeof a !== "number") {
    const left = readFloat(names[0], a);
    return [left, typeof b === "number" ? numberLike(left, b) : readTensor(names[1], b, `${FLOAT}, or a number`)];
  }
  if (typeof b === "number") throw new DtypeError(names[1], describe(b), `${FLOAT}: ${names[0]} is a number`);
  const right = readFloat(names[1], b);
  return [numberLike(right, a), right];
}

/** A number as a tensor of another's type; of integers as f64, which is refused with them. */
function numberLike({ data }: Tensor, value: number): ReadTensor {
  const numbers = data instanceof Float32Array ? Float32Array.of(value) : Float64Array.of(value);
  return new ReadTensor(numbers, [], numbers);
}

/** The type and shape of a tensor that was read. */
export function specOf({ data, shape }: Tensor): Spec {
  return { dtype: dtypeOf(data), shape };
}

/**
 * Runs an operation on tensors that were read.
 *
 * @param check of the copies, whose numbers nobody else can change
 * @param start starts the module of the operation's kernels in the core where it runs
 * @param cost of a number of the results, in multiply-adds
 * @throws ShapeError, DtypeError, ValueError; StateError where a recorded body uses several builds; OutOfMemoryError
 */
export function evaluate<Attributes>(
  operation: Operation<Attributes> | Differentiable<Attributes>,
  inputs: readonly ReadTensor[],
  attributes: Attributes,
  check?: (copies: readonly Tensor[]) => void,
  start?: (core: Core) => void,
  cost = EXPONENTIAL,
): Tensor {
  const results = operation.infer(inputs.map(specOf), attributes); // errors come before memory is allocated
  for (const { shape } of results) checkDimensions(operation.name, shape); // empty tensors may have axes of any length
  const tape = "backward" in operation ? currentTape() : undefined;
  const core = tape?.coreFor(inputs) ?? coreOfCall(sizeOf(results[0]!.shape) * cost);
  start?.(core);
  const safe = inputs.map((each) => steady(core, each));
  const saves = tape ? (operation as Differentiable<Attributes>).saves : "none";
  return withArena(core, (scratch) => {
    const saved = tape ? new Arena(core) : undefined;
    try {
      const home = (kind: "inputs" | "outputs") => (saved && (saves === kind || saves === "both") ? saved : scratch);
      const copies = safe.map((each) => home("inputs").copyChecked(operation.name, each, dtypeOf<Dtype>(each.data)));
      check?.(copies);
      const outputs = apply(home("outputs"), operation, copies, attributes);
      const result = outputs[0]!.download();
      if (saved) {
        const call = { inputs: copies, outputs, attributes };
        record(tape!, saved, operation as Differentiable<Attributes>, call, inputs, [result]);
      }
      return result;
    } catch (error) {
      saved?.dispose();
      throw error;
    }
  });
}
