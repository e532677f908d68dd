// The derivative of products of stacks of matrices.

import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { sumTo } from "./elementwise.backward.js";
import * as ops from "./matmul.js";
import { apply, differentiable } from "./operation.js";

function multiply(arena: Arena, a: FloatTensor, b: FloatTensor, attributes: ops.MatmulAttributes): FloatTensor {
  return apply(arena, ops.matmul, [a, b], attributes)[0] as FloatTensor;
}

/** The matrices of a stack below each other. */
function joined(x: FloatTensor): FloatTensor {
  return x.reshape([sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
}

/** For y = a b + bias: da = dy b^T, db = a^T dy, and dy for each row of the bias; of an operand that is transposed, the gradient is, too. */
export const matmul = /* @__PURE__ */ differentiable(
  ops.matmul,
  "inputs",
  (arena, { inputs, gradients, attributes: { transposeA = false, transposeB = false } }) => {
    const [a, b] = inputs as [FloatTensor, FloatTensor];
    const [dy] = gradients as [FloatTensor];
    const da = transposeA
      ? multiply(arena, b, dy, { transposeA: transposeB, transposeB: true })
      : multiply(arena, dy, b, { transposeB: !transposeB });
    // One b for all matrices of a: its gradient is one product over all their rows instead of a sum of many.
    const single = sizeOf(b.shape.slice(0, -2)) === 1 && !transposeA;
    const [left, right] = single ? [joined(a), joined(dy)] : [a, dy];
    const db = transposeB
      ? multiply(arena, right, left, { transposeA: true, transposeB: transposeA })
      : multiply(arena, left, right, { transposeA: !transposeA });
    const bias = inputs[2];
    return [sumTo(arena, da, a.shape), sumTo(arena, db, b.shape), ...(bias ? [sumTo(arena, dy, bias.shape)] : [])];
  },
);
