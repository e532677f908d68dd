// Derivatives of convolutions: a convolution's and a transposed one's are each other's, and that of the weights is a convolution of x
// by dy.

import { UnsupportedError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { sumTo } from "./elementwise.backward.js";
import * as ops from "./conv.js";
import { box, transpose } from "./movement.js";
import { apply, differentiable } from "./operation.js";
import { attributesOf, unread, windowsOver, type WindowAxis } from "./windows.js";

/** The first numbers of the spatial axes. */
function cropped(arena: Arena, x: FloatTensor, sizes: readonly number[]): FloatTensor {
  const counts = [...x.shape.slice(0, 2), ...sizes];
  if (counts.join() === x.shape.join()) return x;
  const [starts, steps] = [0, 1].map((value) => counts.map(() => value)) as [number[], number[]];
  return apply(arena, box, [x], { starts, counts, steps })[0] as FloatTensor;
}

/** The second axis [groups,c] first, as [c,groups,N,...], in the shape [first,second,...]. */
function byChannel(arena: Arena, x: FloatTensor, groups: number, first: number, second: number): FloatTensor {
  const [n, c, ...sizes] = x.shape as [number, number, ...number[]];
  const axes = [2, 1, 0, ...sizes.map((_, i) => i + 3)];
  if (first === c) [axes[0], axes[1]] = [1, 2]; // [groups,c,N,...]
  const [turned] = apply(arena, transpose, [x.reshape([n, groups, c / groups, ...sizes])], { axes });
  return turned!.reshape([first, second, ...sizes]) as FloatTensor;
}

/**
 * The gradient of weights [O,C/G,taps]: of each tap, channel and output the sum over images and windows of x times dy. Images are
 * the channels of that convolution, channels its images, and windows the taps.
 */
function weightGradient(
  arena: Arena,
  x: FloatTensor,
  dy: FloatTensor,
  weight: FloatTensor,
  axes: readonly WindowAxis[],
  groups: number,
): FloatTensor {
  if (sizeOf(x.shape) === 0 || sizeOf(dy.shape) === 0) return arena.zeros("gradient", weight.dtype, weight.shape);
  const [n, c] = x.shape as [number, number];
  const outputs = dy.shape[1]!;
  const images = byChannel(arena, x, groups, c / groups, groups * n);
  const taps = byChannel(arena, dy, groups, outputs, n);
  const { strides, dilations, pads } = attributesOf(axes);
  const sums = apply(arena, ops.conv, [images, taps], { strides: dilations, dilations: strides, pads, groups });
  const gradient = cropped(arena, sums[0] as FloatTensor, weight.shape.slice(2));
  const order = [1, 0, ...axes.map((_, i) => i + 2)];
  return apply(arena, transpose, [gradient], { axes: order })[0] as FloatTensor;
}

/** The gradient of a bias: the sums of dy over all but the second axis. */
function biasGradient(arena: Arena, dy: FloatTensor): FloatTensor {
  const channels = [dy.shape[1]!, ...dy.shape.slice(2).map(() => 1)];
  return sumTo(arena, dy, channels).reshape([dy.shape[1]!]);
}

function refuseActivation({ activation }: ops.ConvAttributes): void {
  if (activation !== undefined) throw new UnsupportedError("activation", activation, "none, in a call with a gradient");
}

export const conv = /* @__PURE__ */ differentiable(ops.conv, "inputs", (arena, { inputs, gradients, attributes }) => {
  refuseActivation(attributes);
  const [x, weight] = inputs as [FloatTensor, FloatTensor];
  const [dy] = gradients as [FloatTensor];
  const { groups = 1 } = attributes;
  const axes = windowsOver(x.shape.slice(2), weight.shape.slice(2), attributes);
  const back = { ...attributesOf(axes), groups, outputPadding: axes.map(unread) };
  const [dx] = apply(arena, ops.convTranspose, [dy, weight], back) as [FloatTensor];
  const dWeight = weightGradient(arena, x, dy, weight, axes, groups);
  return [dx, dWeight, ...(inputs.length > 2 ? [biasGradient(arena, dy)] : [])];
});

export const convTranspose = /* @__PURE__ */ differentiable(
  ops.convTranspose,
  "inputs",
  (arena, { inputs, gradients, attributes }) => {
    refuseActivation(attributes);
    const [x, weight] = inputs as [FloatTensor, FloatTensor];
    const [dy] = gradients as [FloatTensor];
    const { groups = 1 } = attributes;
    const axes = ops.transposedAxes(x.shape.slice(2), weight.shape.slice(2), attributes).map((axis) => {
      const after = Math.max(-unread({ ...axis, after: 0 }), 0);
      return { ...axis, after };
    });
    const [wide] = apply(arena, ops.conv, [dy, weight], { ...attributesOf(axes), groups }) as [FloatTensor];
    const dx = cropped(arena, wide, x.shape.slice(2));
    const dWeight = weightGradient(arena, dy, x, weight, axes, groups);
    return [dx, dWeight, ...(inputs.length > 2 ? [biasGradient(arena, dy)] : [])];
  },
);
