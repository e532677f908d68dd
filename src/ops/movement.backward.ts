// Derivatives of operations that move numbers: the gradient moves back.

import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type WasmTensor } from "../../bindings/memory.js";
import { BYTES, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { scalar, sumTo } from "./elementwise.backward.js";
import * as ops from "./movement.js";
import { checkAxis } from "./attributes.js";
import { apply, differentiable, type Differentiable, type Move, type Movement } from "./operation.js";

export const transpose = /* @__PURE__ */ differentiable(ops.transpose, "none", (arena, call) => {
  const order = ops.checkAxes(call.attributes.axes, call.inputs[0]!.shape.length);
  const axes = order.map((_, axis) => order.indexOf(axis));
  return apply(arena, ops.transpose, call.gradients, { axes }) as FloatTensor[];
});

export const expand = /* @__PURE__ */ differentiable(ops.expand, "none", (arena, { inputs, gradients }) => [
  sumTo(arena, gradients[0]!, inputs[0]!.shape),
]);

export const reshape = /* @__PURE__ */ differentiable(ops.reshape, "none", (_, { inputs, gradients }) => [
  gradients[0]!.reshape(inputs[0]!.shape),
]);

export const concat = /* @__PURE__ */ differentiable(ops.concat, "none", (arena, call) => {
  const axis = checkAxis(call.attributes.axis, call.outputs[0]!.shape.length);
  let end = 0;
  return call.inputs.map(({ shape }) => {
    const start = end;
    end += shape[axis]!;
    return apply(arena, ops.slice, call.gradients, { axis, start, end })[0] as FloatTensor;
  });
});

export const stack = /* @__PURE__ */ differentiable(ops.stack, "none", (arena, call) =>
  call.inputs.map(
    (_, index) => apply(arena, ops.select, call.gradients, { ...call.attributes, index })[0] as FloatTensor,
  ),
);

/** The gradient of what was copied is the sum of those of its copies. */
function back<Attributes>(operation: Movement<Attributes>): Differentiable<Attributes> {
  return differentiable(operation, "none", (arena, { inputs, outputs, attributes, gradients }) => {
    const results = inputs.map(({ dtype, shape }) => arena.zeros("gradient", dtype as FloatDtype, shape));
    const moves = operation.moves(inputs, outputs, attributes);
    withArena(arena.core, (scratch) => ops.bindMoves(scratch, gradients, results, moves.map(reversed), "moveAdd")());
    return results;
  });
}

function reversed({ input, output, from, to, axes }: Move): Move {
  return { input: output, output: input, from: to, to: from, axes: axes.map(([n, a, b]) => [n!, b!, a!]) };
}

export const slice = /* @__PURE__ */ back(ops.slice);
export const select = /* @__PURE__ */ back(ops.select);
export const box = /* @__PURE__ */ back(ops.box);
export const split = /* @__PURE__ */ back(ops.split);
export const pad = /* @__PURE__ */ back(ops.pad);
export const tile = /* @__PURE__ */ back(ops.tile);
export const strided = /* @__PURE__ */ back(ops.strided);
export const pick = /* @__PURE__ */ back(ops.pick);

/** The rows that were replaced have no gradient. */
export const scatter = /* @__PURE__ */ differentiable(
  ops.scatter,
  "none",
  (arena, { inputs, outputs, attributes, gradients }) => {
    const [dy] = gradients as [FloatTensor];
    const dx = arena.copy("gradient", dy, dy.dtype, dy.shape);
    const dUpdates = arena.zeros("gradient", dy.dtype, inputs[1]!.shape);
    const [, ...moves] = ops.scatter.moves(inputs, outputs, attributes);
    const nothing = moves.map((move) => ({ ...move, input: 0, from: 0, axes: move.axes.map(([n, , to]) => [n!, 0, to!]) })); // prettier-ignore
    withArena(arena.core, (scratch) => {
      ops.bindMoves(scratch, [dy], [dUpdates], moves.map(reversed).map((move) => ({ ...move, output: 0 })))(); // prettier-ignore
      ops.bindMoves(scratch, [scalar(arena, dy, 0)], [dx], nothing)();
    });
    return [dx, dUpdates];
  },
);

export const gather = /* @__PURE__ */ differentiable(
  ops.gather,
  "inputs",
  (arena, { inputs, gradients, attributes: { axis } }) => {
    const [x, indices] = inputs as [FloatTensor, WasmTensor];
    const [dy] = gradients as [FloatTensor];
    const dx = arena.zeros("gradient", x.dtype, x.shape);
    const width = sizeOf(x.shape.slice(axis + 1));
    const count = sizeOf(indices.shape);
    const bytes = width * BYTES[x.dtype];
    for (let i = 0; i < sizeOf(x.shape.slice(0, axis)); i++) {
      const [from, to] = [dy.pointer + i * count * bytes, dx.pointer + i * x.shape[axis]! * bytes];
      arena.core.kernels[x.dtype].scatterRows(count, width, indices.pointer, from, width, to, width, -1);
    }
    return [dx, undefined];
  },
);
