// Derivatives of operations that move numbers: the gradient moves back.

import type { FloatTensor } from "../../bindings/kernels.js";
import { sumTo } from "./elementwise.backward.js";
import * as ops from "./movement.js";
import { checkAxis } from "./attributes.js";
import { apply, differentiable, type BackwardCall } from "./operation.js";

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

/** The gradient of a part is that of the whole, with zeros around it. */
function around<Attributes>(
  place: (shape: readonly number[], attributes: Attributes) => { axis: number; start: number },
): (arena: FloatTensor["arena"], call: BackwardCall<Attributes>) => FloatTensor[] {
  return (arena, { inputs, gradients, attributes }) => {
    const whole = inputs[0] as FloatTensor;
    const { axis, start } = place(whole.shape, attributes);
    return [ops.embed(arena, whole, gradients[0]!, axis, start)];
  };
}

export const slice = /* @__PURE__ */ differentiable(ops.slice, "none", /* @__PURE__ */ around(ops.partOf));
export const select = /* @__PURE__ */ differentiable(ops.select, "none", /* @__PURE__ */ around(ops.entryOf));
