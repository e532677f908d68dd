// Softmax over the last axis, by the core's kernels: importing it brings nothing of the graph module.

import { ShapeError } from "../../bindings/errors.js";
import { leading } from "../../bindings/kernels.js";
import { sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { floatTypeOf, type Operation } from "./operation.js";

function overLastAxis(name: "softmax" | "logSoftmax"): Operation {
  return {
    name,
    inPlace: name === "softmax",
    infer([x]) {
      const { shape } = x!;
      if (shape.length === 0) throw new ShapeError("x", "[]", "[..., C]");
      return [{ dtype: floatTypeOf(["x"], [x!]), shape }];
    },
    bind(scratch, [x], [out]) {
      const classes = x!.shape.at(-1)!;
      if (classes === 0) return () => {};
      const kernel = scratch.core.kernels[out!.dtype as FloatDtype][name];
      const [rows, from, to] = [sizeOf(leading(x!.shape)), x!.pointer, out!.pointer];
      return () => kernel(rows, classes, from, to);
    },
  };
}

/** e^x / sum of e^x. */
export const softmax = /* @__PURE__ */ overLastAxis("softmax");
/** x - log(sum of e^x). */
export const logSoftmax = /* @__PURE__ */ overLastAxis("logSoftmax");
