// Sequences as layers take them: [T,N,C], [N,T,C] with batchFirst, or one sequence [T,C]; rows may have lengths.

import { ShapeError } from "../../bindings/errors.js";
import type { SequenceAxes, Windows } from "../../bindings/layers.js";
import { floatDtype } from "../../bindings/kernels.js";
import { takeLengths, type Lengths } from "../../bindings/memory.js";
import { checkKind, readTensor, showShape, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions } from "../base/check.js";
import { setTraits, type Axes, type Traits } from "./traits.js";

/** Options of `forward` of layers that know where a sequence ends. */
export interface StepsOptions {
  /** The number of valid steps of each row, N integers from 0 to T; all steps by default. */
  lengths?: Lengths | undefined;
}

/** How a layer reads the axes of its input; undefined: as the layers around it in a container do, by default time first. */
export interface StepOrder {
  batchFirst: boolean | undefined;
  /** `LastStep` alone. */
  bidirectional?: boolean | undefined;
}

/**
 * The order of a layer's axes, as its options have it; a container sets what they leave open.
 *
 * @param own what else containers ask about the layer
 */
export function stepOrder(layer: object, order: StepOrder, own: Omit<Traits, "batchFirst" | "adopt"> = {}): StepOrder {
  if (order.batchFirst !== undefined) checkFlag("batchFirst", order.batchFirst);
  if (order.bidirectional !== undefined) checkFlag("bidirectional", order.bidirectional);
  const adopt = ({ batchFirst, bidirectional }: Axes): void => {
    order.batchFirst ??= batchFirst;
    order.bidirectional ??= bidirectional;
  };
  setTraits(layer, { takes: ["lengths"], ...own, batchFirst: order.batchFirst, adopt });
  return order;
}

/** A batch of sequences from outside, read and checked. */
export interface Sequences {
  /** Not a copy. */
  readonly x: Tensor;
  readonly dtype: FloatDtype;
  readonly axes: SequenceAxes;
  readonly t: number;
  readonly c: number;
  /** The steps of each row. */
  readonly lengths: readonly number[];
  /** Whether the caller gave lengths. */
  readonly ragged: boolean;
}

/**
 * Reads x and the lengths of its rows.
 *
 * @param owner the call's name in errors
 * @param expected the number type and the size of a step, where the layer has them
 * @throws ShapeError, DtypeError, ValueError
 */
export function readSequences(
  owner: string,
  x: Tensor,
  batchFirst: boolean | undefined,
  options: StepsOptions,
  expected: { readonly dtype?: FloatDtype; readonly channels?: number } = {},
): Sequences {
  const given = checkOptions(owner, options, ["lengths"]);
  const read = readTensor("x", x);
  const dtype = expected.dtype ?? floatDtype("x", read);
  const unbatched = read.shape.length === 2;
  const rowsFirst = unbatched || batchFirst === true;
  const leading = unbatched ? ["T"] : rowsFirst ? ["N", "T"] : ["T", "N"];
  checkKind("x", read, dtype, [...leading, expected.channels ?? "C"]);
  const [first, second, third] = read.shape as [number, number, number];
  const [n, t, c] = unbatched ? [1, first, second] : rowsFirst ? [first, second, third] : [second, first, third];
  if (t === 0) throw new ShapeError("x", showShape(read.shape), "at least one step");
  if (c === 0) throw new ShapeError("x", showShape(read.shape), "at least one number in a step"); // n would be any number
  const ragged = given.lengths !== undefined;
  const lengths = ragged ? takeLengths(given.lengths!, t, n) : new Array<number>(n).fill(t);
  return { x: read, dtype, axes: { unbatched, rowsFirst, n }, t, c, lengths, ragged };
}

/**
 * The outputs of a layer whose windows move over sequences.
 *
 * @param outputsOf how many outputs a sequence of so many steps has
 * @param least the steps of the shortest sequence that has an output
 * @throws ShapeError where all sequences would have none
 */
export function windowsOf(
  { x, axes, t, lengths }: Sequences,
  outputsOf: (steps: number) => number,
  least: number,
): Windows {
  const outputs = outputsOf(t);
  if (outputs === 0) throw new ShapeError("x", showShape(x.shape), `at least ${least} steps, for one window`);
  return { axes, t, lengths, outputs, counts: lengths.map(outputsOf) };
}

/** The outputs of windows of `span` steps, `stride` apart, over `steps` and `padding` zeros; none over no steps. */
export function countWindows(steps: number, span: number, stride: number, padding: number): number {
  return steps === 0 ? 0 : Math.max(0, Math.floor((steps + padding - span) / stride) + 1);
}

/** The shape of one step of each row: [N,C], or [C]. */
export function stepShape({ unbatched, n }: SequenceAxes, c: number): number[] {
  return unbatched ? [c] : [n, c];
}
