// The derivative of converting: the gradient is converted back.

import * as ops from "./convert.js";
import { compute, differentiable } from "./operation.js";

export const convert = /* @__PURE__ */ differentiable(ops.convert, "none", (arena, { gradients }) => [
  compute(arena, ops.convert, [gradients[0]!]),
]);
