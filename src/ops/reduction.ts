// Sums, means and maxima over one axis or all.

import { bindRecord, graphKernels } from "../../bindings/graph.js";
import { ShapeError } from "../../bindings/errors.js";
import { showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { reduction } from "../../bindings/wasm-graph.js";
import { checkAxis } from "./attributes.js";
import { floatTypeOf, type Operation } from "./operation.js";

/** What a reduction takes beside x. */
export interface ReductionAttributes {
  /** Counts from the end if negative; all axes by default. */
  axis?: number | undefined;
  /** Whether an axis that is reduced stays, with length 1 (default false). */
  keepDims?: boolean | undefined;
}

/** The axes before, on and after those that are reduced. */
function partsOf(shape: readonly number[], axis: number | undefined) {
  if (axis === undefined) return { before: [], reduced: shape, after: [] };
  const first = checkAxis(axis, shape.length);
  return { before: shape.slice(0, first), reduced: [shape[first]!], after: shape.slice(first + 1) };
}

/** The shape of a reduction of `shape`. */
export function reducedShape(shape: readonly number[], { axis, keepDims = false }: ReductionAttributes): number[] {
  const { before, reduced, after } = partsOf(shape, axis);
  return [...before, ...(keepDims ? reduced.map(() => 1) : []), ...after];
}

function reduce(name: "sum" | "mean" | "max"): Operation<ReductionAttributes> {
  return {
    name,
    infer([x], attributes) {
      const dtype = floatTypeOf(["x"], [x!]);
      const shape = reducedShape(x!.shape, attributes);
      const { reduced } = partsOf(x!.shape, attributes.axis);
      if (name === "max" && sizeOf(reduced) === 0 && sizeOf(shape) > 0) {
        throw new ShapeError("x", showShape(x!.shape), "at least one number to take the maximum of");
      }
      return [{ dtype, shape }];
    },
    bind(scratch, [x], [out], { axis }) {
      const { before, reduced, after } = partsOf(x!.shape, axis);
      const kernels = graphKernels(scratch.core)[out!.dtype as FloatDtype];
      return bindRecord(scratch, kernels[name], reduction, {
        x: x!.pointer,
        out: out!.pointer,
        outer: sizeOf(out!.shape) === 0 ? 0 : sizeOf(before), // without results the other lengths may be of any size
        n: sizeOf(reduced),
        inner: sizeOf(after),
      });
    },
  };
}

/** The sum. */
export const sum = /* @__PURE__ */ reduce("sum");
/** The arithmetic mean. */
export const mean = /* @__PURE__ */ reduce("mean");
/** The largest number. */
export const max = /* @__PURE__ */ reduce("max");
