// Derivatives of normalisation.

import { layerNormBackward, type FloatTensor } from "../../bindings/kernels.js";
import type { Arena } from "../../bindings/memory.js";
import { sizeOf } from "../../bindings/tensor.js";
import { add, div, mul, neg, sqrt, sub } from "./elementwise.js";
import { scalar, sumTo } from "./elementwise.backward.js";
import * as ops from "./norm.js";
import { apply, compute, differentiable } from "./operation.js";

/** A vector [C] along the second axis of tensors of some rank. */
function channels(vector: FloatTensor, rank: number): FloatTensor {
  return vector.reshape([vector.shape[0]!, ...Array<number>(rank - 2).fill(1)]);
}

/**
 * With xhat = (x - mean) / sqrt(variance + epsilon): dx = dy scale / sqrt(variance + epsilon), dScale = sum of dy xhat, dBias = sum of
 * dy, dMean = -scale dBias / sqrt(variance + epsilon), dVariance = -scale dScale / (2 (variance + epsilon)).
 */
export const batchNorm = /* @__PURE__ */ differentiable(
  ops.batchNorm,
  "inputs",
  (arena, { inputs, gradients, attributes: { epsilon = 1e-5 } }) => {
    type Inputs = [FloatTensor, FloatTensor, FloatTensor, FloatTensor, FloatTensor];
    const [x, scale, bias, mean, variance] = inputs as Inputs;
    const [dy] = gradients as [FloatTensor];
    const rank = x.shape.length;
    const sum = (tensor: FloatTensor) => sumTo(arena, tensor, channels(bias, rank).shape).reshape(bias.shape);
    const wide = compute(arena, add, [variance, scalar(arena, x, epsilon)]);
    const deviation = compute(arena, sqrt, [wide]);
    const factor = compute(arena, div, [scale, deviation]);
    const centred = compute(arena, sub, [x, channels(mean, rank)]);
    const dScale = compute(arena, div, [sum(compute(arena, mul, [dy, centred])), deviation]);
    const dBias = sum(dy);
    const half = compute(arena, div, [compute(arena, mul, [scale, dScale]), compute(arena, add, [wide, wide])]);
    return [
      compute(arena, mul, [dy, channels(factor, rank)]),
      dScale,
      dBias,
      compute(arena, neg, [compute(arena, mul, [factor, dBias])]),
      compute(arena, neg, [half]),
    ];
  },
);

/** dx from the gradient of the normalised numbers, or with scale of those times it; rows of n numbers. */
function normalizedBackward(
  arena: Arena,
  x: FloatTensor,
  dy: FloatTensor,
  n: number,
  epsilon: number,
  scale?: FloatTensor,
) {
  const rows = x.reshape([n === 0 ? 0 : sizeOf(x.shape) / n, n]);
  const attributes = { epsilon, statistics: true };
  const [xhat, mean, rstd] = apply(arena, ops.layerNorm, [rows], attributes) as FloatTensor[];
  const weights = scale?.reshape([n]);
  const zeros = (): FloatTensor => arena.zeros("gradient", x.dtype, [n]);
  const [dWeight, dBias] = [weights && zeros(), weights && zeros()];
  const dx = layerNormBackward(arena, x.dtype, {
    x: rows,
    mean: mean!,
    rstd: rstd!,
    n,
    weight: weights,
    dy: dy.reshape(rows.shape),
    dWeight,
    dBias,
  });
  return { dx: dx.reshape(x.shape), dWeight, dBias, xhat: xhat!.reshape(x.shape) };
}

export const instanceNorm = /* @__PURE__ */ differentiable(
  ops.instanceNorm,
  "inputs",
  (arena, { inputs, gradients, attributes: { epsilon = 1e-5 } }) => {
    const [x, scale] = inputs as [FloatTensor, FloatTensor];
    const [dy] = gradients as [FloatTensor];
    const along = channels(scale, x.shape.length);
    const sum = (tensor: FloatTensor) => sumTo(arena, tensor, along.shape).reshape(scale.shape);
    const scaled = compute(arena, mul, [dy, along]);
    const { dx, xhat } = normalizedBackward(arena, x, scaled, sizeOf(x.shape.slice(2)), epsilon);
    return [dx, sum(compute(arena, mul, [dy, xhat])), sum(dy)];
  },
);

/** Of the first result alone. */
export const layerNorm = /* @__PURE__ */ differentiable(
  ops.layerNorm,
  "inputs",
  (arena, { inputs, gradients, attributes }) => {
    const [x, scale, bias] = inputs as [FloatTensor, FloatTensor?, FloatTensor?];
    const { normalized } = ops.normalizedAxes(x, attributes);
    const { dx, dWeight, dBias } = normalizedBackward(
      arena,
      x,
      gradients[0]!,
      sizeOf(normalized),
      attributes.epsilon ?? 1e-5,
      scale,
    );
    return [dx, ...(scale ? [dWeight!.reshape(scale.shape)] : []), ...(bias ? [dBias!.reshape(bias.shape)] : [])];
  },
);
