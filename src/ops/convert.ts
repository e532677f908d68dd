// Numbers of f64 as f32, and the other way.

import { graphKernels } from "../../bindings/graph.js";
import { sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { floatTypeOf, type Operation } from "./operation.js";

/** The nearest numbers of the other type. */
export const convert: Operation = {
  name: "convert",
  infer: ([x]) => [{ dtype: floatTypeOf(["x"], [x!]) === "f64" ? "f32" : "f64", shape: x!.shape }],
  bind(scratch, [x], [out]) {
    const { convert: kernel } = graphKernels(scratch.core)[out!.dtype as FloatDtype];
    const [n, from, to] = [sizeOf(x!.shape), x!.pointer, out!.pointer];
    return () => kernel(n, from, to);
  },
};
