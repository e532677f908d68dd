// Reductions over any set of axes.

import { bindRecord, graphKernels } from "../../bindings/graph.js";
import { ShapeError, ValueError } from "../../bindings/errors.js";
import { showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { reduction } from "../../bindings/wasm-graph.js";
import { checkAxis } from "./attributes.js";
import { transpose } from "./movement.js";
import { floatTypeOf, type Operation } from "./operation.js";

/** What a reduction takes beside x. */
export interface ReductionAttributes {
  /** Each counts from the end if negative; all axes by default. */
  axes?: readonly number[] | undefined;
  /** Whether axes that are reduced stay, with length 1 (default false). */
  keepDims?: boolean | undefined;
}

/** Which axes of `rank` are reduced. */
function reducedAxes(rank: number, { axes }: ReductionAttributes): boolean[] {
  const reduced = Array<boolean>(rank).fill(axes === undefined);
  for (const axis of axes ?? []) {
    const own = checkAxis(axis, rank);
    if (reduced[own]) throw new ValueError("axes", showShape(axes!), "each axis once");
    reduced[own] = true;
  }
  return reduced;
}

/** The shape of a reduction of `shape`. */
export function reducedShape(shape: readonly number[], attributes: ReductionAttributes): number[] {
  const reduced = reducedAxes(shape.length, attributes);
  if (attributes.keepDims) return shape.map((n, axis) => (reduced[axis] ? 1 : n));
  return shape.filter((_, axis) => !reduced[axis]);
}

function reduce(name: string, code: number): Operation<ReductionAttributes> {
  return {
    name,
    infer([x], attributes) {
      const dtype = floatTypeOf(["x"], [x!]);
      const shape = reducedShape(x!.shape, attributes);
      if ((name === "max" || name === "min") && sizeOf(x!.shape) === 0 && sizeOf(shape) > 0) {
        throw new ShapeError("x", showShape(x!.shape), "at least one number");
      }
      return [{ dtype, shape }];
    },
    bind(scratch, [x], [out], attributes) {
      const { shape } = x!;
      const reduced = reducedAxes(shape.length, attributes);
      const first = reduced.indexOf(true);
      const end = reduced.lastIndexOf(true) + 1;
      const lengths = (which: boolean, from = 0, to = shape.length): number =>
        sizeOf(shape.filter((_, axis) => axis >= from && axis < to && reduced[axis] === which));
      const run = (from: number, outer: number, inner: number): (() => void) =>
        bindRecord(scratch, graphKernels(scratch.core)[out!.dtype as FloatDtype].reduce, reduction, {
          operation: code,
          x: from,
          out: out!.pointer,
          outer: sizeOf(out!.shape) === 0 ? 0 : outer, // without results the other lengths may be of any size
          n: lengths(true),
          inner,
        });
      const neighbours = reduced.slice(first, end).every(Boolean);
      if (neighbours || sizeOf(shape) === 0) return run(x!.pointer, lengths(false, 0, end), lengths(false, end));
      const axes = [...shape.keys()].sort((a, b) => Number(reduced[a]) - Number(reduced[b]));
      const copy = scratch.allocate("x with neighbouring axes", x!.dtype, axes.map((axis) => shape[axis]!)); // prettier-ignore
      const move = transpose.bind!(scratch, [x!], [copy], { axes });
      const rows = run(copy.pointer, lengths(false), 1);
      return () => {
        move();
        rows();
      };
    },
  };
}

/** The sum. */
export const sum = /* @__PURE__ */ reduce("sum", 0);
/** The arithmetic mean. */
export const mean = /* @__PURE__ */ reduce("mean", 1);
/** The largest number. */
export const max = /* @__PURE__ */ reduce("max", 2);
/** The smallest number. */
export const min = /* @__PURE__ */ reduce("min", 3);
/** The product. */
export const prod = /* @__PURE__ */ reduce("prod", 4);
/** The sum of squares. */
export const sumSquares = /* @__PURE__ */ reduce("sumSquares", 5);
/** The sum of |x|. */
export const l1 = /* @__PURE__ */ reduce("l1", 6);
/** The root of the sum of squares. */
export const l2 = /* @__PURE__ */ reduce("l2", 7);
/** The logarithm of the sum. */
export const logSum = /* @__PURE__ */ reduce("logSum", 8);
/** log(sum of e^x), finite wherever the result is. */
export const logSumExp = /* @__PURE__ */ reduce("logSumExp", 9);
