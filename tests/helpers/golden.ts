// Shared by the runners of the external golden data: tolerances, and parts of layers as plain tensors.
import type { Parameter, Tensor } from "../../src/index.js";
import { type Dtype, type Tolerance, halfUnit } from "./close.js";
import { TOLERANCES } from "./course.js";

/** The file's own tolerance, which is one for f64. */
export function toleranceOf(file: { readonly tolerance: Tolerance }, dtype: Dtype): Tolerance {
  return dtype === "f64" ? file.tolerance : TOLERANCES.f32;
}

/** Half a unit of the last digit printed. */
export function printedTolerance(figures: readonly number[], dtype: Dtype): Tolerance {
  return dtype === "f64" ? { atol: halfUnit(figures.map(String)) } : TOLERANCES.f32;
}

export function gradientOf(owner: { parameters(): Parameter[] }, name: string): Tensor {
  const parameter = owner.parameters().find((each) => each.name === name);
  if (parameter === undefined) throw new Error(`no parameter ${name}`);
  return copyOf(parameter.grad);
}

/** Parameters are live views; a copy outlives the layer. */
export function copyOf({ shape, data }: Tensor): Tensor {
  return { shape: [...shape], data: data.slice() };
}

/** A copy of [rows,columns] as [columns,rows]. */
export function transposed({ shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  return {
    shape: [columns, rows],
    data: data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)] as number),
  };
}
