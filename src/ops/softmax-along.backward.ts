// Derivatives of softmax and its logarithm over any axis.

import type { FloatTensor } from "../../bindings/kernels.js";
import { transpose } from "./movement.js";
import { apply, differentiable, type Differentiable, type Operation } from "./operation.js";
import { logSoftmax, softmax } from "./softmax.backward.js";
import * as ops from "./softmax-along.js";

function along(operation: Operation<ops.AlongAttributes>, last: Differentiable): Differentiable<ops.AlongAttributes> {
  return differentiable(operation, "outputs", (arena, { outputs, gradients, attributes: { axis } }) => {
    const { shape } = outputs[0]!;
    const orders = ops.ordersAlong(shape, axis);
    const move = (x: FloatTensor, axes: number[]): FloatTensor =>
      apply(arena, transpose, [x], { axes })[0] as FloatTensor;
    const rows = (x: FloatTensor): FloatTensor => (orders ? move(x, orders.there) : ops.rowsAlong(x, axis));
    const [y, dy] = [rows(outputs[0] as FloatTensor), rows(gradients[0]!)];
    const [dx] = last.backward(arena, { inputs: [y], outputs: [y], attributes: undefined, gradients: [dy] });
    return [orders ? move(dx!, orders.back) : dx!.reshape(shape)];
  });
}

export const softmaxAlong = /* @__PURE__ */ along(ops.softmaxAlong, softmax);
export const logSoftmaxAlong = /* @__PURE__ */ along(ops.logSoftmaxAlong, logSoftmax);
