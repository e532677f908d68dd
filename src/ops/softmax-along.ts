// Softmax over any axis, as that of softmax.ts over the last one of a copy with another order of axes.

import { inOrder } from "../../bindings/graph.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { checkAxis } from "./attributes.js";
import { transpose } from "./movement.js";
import type { Operation } from "./operation.js";
import { logSoftmax, softmax } from "./softmax.js";

/** The axis counts from the end if negative. */
export interface AlongAttributes {
  axis: number;
}

/** The order of axes that makes one the last, and the way back; none where it is the last but for axes of length 1. */
export function ordersAlong(shape: readonly number[], axis: number): { there: number[]; back: number[] } | undefined {
  const own = checkAxis(axis, shape.length);
  if (sizeOf(shape.slice(own + 1)) === 1) return undefined;
  const there = [...[...shape.keys()].filter((each) => each !== own), own];
  return { there, back: there.map((_, each) => there.indexOf(each)) };
}

/** A tensor without axes of length 1 after `axis`. */
export function rowsAlong<T extends WasmTensor>(tensor: T, axis: number): T {
  return tensor.reshape(tensor.shape.slice(0, checkAxis(axis, tensor.shape.length) + 1)) as T;
}

function along(name: string, last: Operation): Operation<AlongAttributes> {
  return {
    name,
    infer([x], { axis }) {
      checkAxis(axis, x!.shape.length);
      return last.infer([x!], undefined);
    },
    bind(scratch, [x], [out], { axis }) {
      const orders = ordersAlong(x!.shape, axis);
      if (!orders) return last.bind!(scratch, [rowsAlong(x!, axis)], [rowsAlong(out!, axis)], undefined);
      const shape = orders.there.map((each) => x!.shape[each]!);
      const [from, to] = [1, 2].map(() => scratch.allocate("another order of axes", x!.dtype, shape));
      return inOrder([
        transpose.bind!(scratch, [x!], [from!], { axes: orders.there }),
        last.bind!(scratch, [from!], [to!], undefined),
        transpose.bind!(scratch, [to!], [out!], { axes: orders.back }),
      ]);
    },
  };
}

/** e^x / sum of e^x. */
export const softmaxAlong = /* @__PURE__ */ along("softmaxAlong", softmax);
/** x - log(sum of e^x). */
export const logSoftmaxAlong = /* @__PURE__ */ along("logSoftmaxAlong", logSoftmax);
