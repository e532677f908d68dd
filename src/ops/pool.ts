// Pooling of tensors [N,C,L], [N,C,H,W] ..., by windows and over all spatial axes.

import { ShapeError } from "../../bindings/errors.js";
import { bindRecord, graphKernels, inOrder } from "../../bindings/graph.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { BYTES, showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { poolWindows } from "../../bindings/wasm-graph.js";
import { floatTypeOf, type Operation, type Spec } from "./operation.js";
import { max, mean, type ReductionAttributes } from "./reduction.js";
import {
  checkCounts,
  choicesOf,
  offsetsOf,
  padded,
  range,
  spatialOf,
  table,
  windowsOver,
  writeChoices,
  type WindowAttributes,
  type WindowAxis,
} from "./windows.js";

/** What a pool takes beside x. */
export interface PoolAttributes extends WindowAttributes {
  /** Numbers of a window on each spatial axis. */
  kernelShape: readonly number[];
  /** Whether a last window may reach past the padding (default false). */
  ceilMode?: boolean | undefined;
}

/** What `maxPool` takes beside x. */
export interface MaxPoolAttributes extends PoolAttributes {
  /** Whether there is a second result, i32: where in x each maximum is. */
  indices?: boolean | undefined;
  /** Whether indices count down columns first (default false). */
  columnMajor?: boolean | undefined;
}

/** What `averagePool` takes beside x. */
export interface AveragePoolAttributes extends PoolAttributes {
  /** Whether the padding counts (default false). */
  countIncludePad?: boolean | undefined;
}

/** The windows of a pool. */
export function poolAxes(x: Spec, attributes: PoolAttributes): WindowAxis[] {
  const sizes = spatialOf(x);
  const taps = checkCounts("kernelShape", attributes.kernelShape, sizes.length, 1);
  return windowsOver(sizes, taps, attributes, attributes.ceilMode);
}

/** Of the taps of each window on an axis, how many are from the numbers `start` to `end` of x, some of them padding. */
function counts({ taps, stride, dilation, before, outputs }: WindowAxis, start: number, end: number): Int32Array {
  return range(outputs, (i) => {
    const tapAt = (place: number) => Math.min(Math.max(Math.ceil((place - i * stride + before) / dilation), 0), taps);
    return tapAt(end) - tapAt(start);
  });
}

/** Writes the divisors of all windows: how many numbers of x each has, or of x with its padding. */
export function writeDivisors(out: WasmTensor, x: Spec, attributes: AveragePoolAttributes): void {
  const axes = poolAxes(x, attributes);
  const { pads = [], autoPad, countIncludePad = false } = attributes;
  const lists = axes.map((axis, i) => {
    if (!countIncludePad) return counts(axis, 0, axis.size);
    const after = autoPad === undefined ? (pads[axes.length + i] ?? 0) : axis.after;
    return counts(axis, -axis.before, axis.size + after);
  });
  writeChoices(out.data, lists, 1, (product, n) => product * n);
}

function pool<Attributes extends PoolAttributes>(
  name: string,
  value: number,
  withIndices: (attributes: Attributes) => boolean,
  divisors?: (out: WasmTensor, x: Spec, attributes: Attributes) => void,
): Operation<Attributes> {
  return {
    name,
    infer([x], attributes) {
      const dtype = floatTypeOf(["x"], [x!]);
      const shape = [...x!.shape.slice(0, 2), ...poolAxes(x!, attributes).map(({ outputs }) => outputs)];
      if (withIndices(attributes) && shape.length > 4) {
        throw new ShapeError("x", showShape(x!.shape), "[N, C, L] or [N, C, H, W], with indices");
      }
      return [{ dtype, shape }, ...(withIndices(attributes) ? [{ dtype: "i32" as const, shape }] : [])];
    },
    bind(scratch, [x], [y, indices], attributes) {
      if (sizeOf(y!.shape) === 0) return () => {};
      const dtype = y!.dtype as FloatDtype;
      const axes = poolAxes(x!, attributes);
      const image = padded(scratch, x!, axes, value);
      const { taps, positions } = offsetsOf(axes, image);
      const bytes = BYTES[dtype];
      const columns = axes.at(-1)!;
      const rows = axes.length > 1 ? axes.at(-2)! : { size: 1, before: 0 };
      const count = choicesOf(positions);
      const by = divisors && scratch.allocate("divisors", dtype, [count]);
      if (by) divisors(by, x!, attributes);
      const fields = {
        planes: sizeOf(x!.shape.slice(0, 2)),
        xPlane: image.plane,
        x: image.pointer,
        taps: choicesOf(taps),
        offsets: table(scratch, "taps", taps, bytes),
        positions: table(scratch, "positions", positions, bytes),
        count,
        y: y!.pointer,
        divisors: by?.pointer ?? 0,
        indices: indices?.pointer ?? 0,
        rows: rows.size,
        columns: columns.size,
        columnMajor: Boolean((attributes as MaxPoolAttributes).columnMajor),
        top: rows.before,
        left: columns.before,
        paddedRow: columns.before + columns.size + columns.after,
      };
      const kernels = graphKernels(scratch.core)[dtype];
      return inOrder([
        image.fill,
        bindRecord(scratch, divisors ? kernels.poolMean : kernels.poolMax, poolWindows, fields),
        indices && bindRecord(scratch, kernels.poolIndices, poolWindows, fields),
      ]);
    },
  };
}

/** The largest numbers of windows, NaN where one has a NaN, and, if they are asked for, their indices in x. */
export const maxPool: Operation<MaxPoolAttributes> = /* @__PURE__ */ pool<MaxPoolAttributes>(
  "maxPool",
  -Infinity,
  ({ indices = false }) => indices,
);

/** The means of windows. */
export const averagePool: Operation<AveragePoolAttributes> = /* @__PURE__ */ pool<AveragePoolAttributes>(
  "averagePool",
  0,
  () => false,
  writeDivisors,
);

/** A reduction over all spatial axes, which stay with length 1. */
function global(name: string, over: Operation<ReductionAttributes>): Operation {
  const attributesOf = ({ shape }: Spec): ReductionAttributes => ({
    axes: [...shape.keys()].slice(2),
    keepDims: true,
  });
  return {
    name,
    infer([x]) {
      const { shape } = x!;
      if (shape.length < 3) throw new ShapeError("x", showShape(shape), "[N, C, L], [N, C, H, W] ...");
      return over.infer([x!], attributesOf(x!));
    },
    bind: (scratch, [x], [y]) => over.bind!(scratch, [x!], [y!], attributesOf(x!)),
  };
}

/** The mean of each channel. */
export const globalAveragePool = /* @__PURE__ */ global("globalAveragePool", mean);
/** The largest number of each channel. */
export const globalMaxPool = /* @__PURE__ */ global("globalMaxPool", max);
