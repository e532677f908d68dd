// Derivatives of pools.

import { kernelsOf, type FloatTensor } from "../../bindings/kernels.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { convTranspose } from "./conv.js";
import { div } from "./elementwise.js";
import { scalar } from "./elementwise.backward.js";
import { expand } from "./movement.js";
import { apply, compute, differentiable } from "./operation.js";
import * as ops from "./pool.js";
import { attributesOf, unread } from "./windows.js";

/** dx: each number of dy where the first of the largest numbers of its window is. */
function maxBackward(arena: Arena, x: FloatTensor, dy: FloatTensor, attributes: ops.MaxPoolAttributes): FloatTensor {
  const places = { ...attributes, indices: true, columnMajor: false };
  const indices = apply(arena, ops.maxPool, [x], places)[1] as WasmTensor;
  const dx: FloatTensor = arena.zeros("gradient", x.dtype, x.shape);
  const { scatterRows } = kernelsOf(arena, x.dtype);
  scatterRows(sizeOf(dy.shape), 1, indices.pointer, dy.pointer, 1, dx.pointer, 1, -1);
  return dx;
}

export const maxPool = /* @__PURE__ */ differentiable(
  ops.maxPool,
  "inputs",
  (arena, { inputs, gradients, attributes }) => [
    maxBackward(arena, inputs[0] as FloatTensor, gradients[0]!, attributes),
  ],
);

/** dx: to every number of a window an equal share. */
export const averagePool = /* @__PURE__ */ differentiable(
  ops.averagePool,
  "none",
  (arena, { inputs, gradients, attributes }) => {
    const [x] = inputs as [FloatTensor];
    const [dy] = gradients as [FloatTensor];
    const axes = ops.poolAxes(x, attributes);
    const divisors: FloatTensor = arena.allocate(
      "divisors",
      x.dtype,
      axes.map(({ outputs }) => outputs),
    );
    ops.writeDivisors(divisors, x, attributes);
    const channels = x.shape[1]!;
    const ones: FloatTensor = arena.allocate("ones", x.dtype, [channels, 1, ...axes.map(({ taps }) => taps)]);
    ones.fill(1);
    const windows = { ...attributesOf(axes), groups: channels, outputPadding: axes.map(unread) };
    return apply(arena, convTranspose, [compute(arena, div, [dy, divisors]), ones], windows) as FloatTensor[];
  },
);

export const globalAveragePool = /* @__PURE__ */ differentiable(
  ops.globalAveragePool,
  "none",
  (arena, { inputs, gradients }) => {
    const { shape } = inputs[0]!;
    const share = compute(arena, div, [gradients[0]!, scalar(arena, gradients[0]!, sizeOf(shape.slice(2)))]);
    return apply(arena, expand, [share], { shape }) as FloatTensor[];
  },
);

/** To the first of the largest numbers, as of `maxPool`. */
export const globalMaxPool = /* @__PURE__ */ differentiable(
  ops.globalMaxPool,
  "inputs",
  (arena, { inputs, gradients }) => {
    const [x] = inputs as [FloatTensor];
    const n = sizeOf(x.shape.slice(2));
    const rows = x.reshape([...x.shape.slice(0, 2), n]);
    return [maxBackward(arena, rows, gradients[0]!, { kernelShape: [n] }).reshape(x.shape)];
  },
);
