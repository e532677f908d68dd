// Normalisation: of channels by given statistics or by each image's own, and over the last axes.

import { ShapeError } from "../../bindings/errors.js";
import { bindRecord, graphKernels, inOrder } from "../../bindings/graph.js";
import { pointer } from "../../bindings/kernels.js";
import { showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { normalization } from "../../bindings/wasm-graph.js";
import { checkAxis } from "./attributes.js";
import { floatTypeOf, type Operation, type Spec } from "./operation.js";

/** What `batchNorm` and `instanceNorm` take beside tensors. */
export interface NormAttributes {
  /** Added to the variance (default 1e-5). */
  epsilon?: number | undefined;
}

/** What `layerNorm` takes beside tensors. */
export interface LayerNormAttributes extends NormAttributes {
  /** The first axis that is normalised, counted from the end if negative (default -1). */
  axis?: number | undefined;
  /** Whether there are two more results: mean and 1 / deviation (default false). */
  statistics?: boolean | undefined;
}

const EPSILON = 1e-5;

/** Checks x [N,C,...] and vectors [C]. */
function inferChannels(names: readonly string[], inputs: readonly Spec[]): readonly Spec[] {
  const dtype = floatTypeOf(names, inputs);
  const { shape } = inputs[0]!;
  if (shape.length < 2) throw new ShapeError("x", showShape(shape), "[N, C, ...]");
  inputs.forEach((each, i) => {
    if (i === 0 || (each.shape.length === 1 && each.shape[0] === shape[1])) return;
    throw new ShapeError(names[i]!, showShape(each.shape), `[${shape[1]}]`);
  });
  return [{ dtype, shape }];
}

/** (x - mean) scale / sqrt(variance + epsilon) + bias, of x [N,C,...] and scale, bias, mean, variance [C]. */
export const batchNorm: Operation<NormAttributes> = {
  name: "batchNorm",
  infer: (inputs) => inferChannels(["x", "scale", "bias", "mean", "variance"], inputs),
  bind(scratch, [x, scale, bias, mean, variance], [y], { epsilon = EPSILON }) {
    const { shape } = x!;
    const n = sizeOf(shape.slice(2));
    return bindRecord(scratch, graphKernels(scratch.core)[y!.dtype as FloatDtype].normalize, normalization, {
      epsilon,
      planes: n === 0 ? 0 : sizeOf(shape.slice(0, 2)),
      channels: shape[1]!,
      n,
      x: x!.pointer,
      y: y!.pointer,
      mean: mean!.pointer,
      variance: variance!.pointer,
      scale: scale!.pointer,
      bias: bias!.pointer,
    });
  },
};

/** `batchNorm` of x [N,C,...] by mean and variance of each image's channels; scale, bias [C]. */
export const instanceNorm: Operation<NormAttributes> = {
  name: "instanceNorm",
  infer: (inputs) => inferChannels(["x", "scale", "bias"], inputs),
  bind(scratch, [x, scale, bias], [y], { epsilon = EPSILON }) {
    const { shape } = x!;
    const n = sizeOf(shape.slice(2));
    const planes = n === 0 ? 0 : sizeOf(shape.slice(0, 2));
    const dtype = y!.dtype as FloatDtype;
    const { layerNormForward } = scratch.core.kernels[dtype];
    const [from, to] = [x!.pointer, y!.pointer];
    const scaled = bindRecord(scratch, graphKernels(scratch.core)[dtype].normalize, normalization, {
      epsilon: 0,
      planes,
      channels: shape[1]!,
      n,
      x: to,
      y: to,
      mean: 0,
      variance: 0,
      scale: scale!.pointer,
      bias: bias!.pointer,
    });
    return inOrder([() => layerNormForward(planes, n, from, n, 0, 0, epsilon, to, n, 0, 0), scaled]);
  },
};

/** Which axes of x are normalised. */
export function normalizedAxes({ shape }: Spec, { axis = -1 }: LayerNormAttributes) {
  const first = checkAxis(axis, shape.length);
  return { rows: shape.slice(0, first), normalized: shape.slice(first) };
}

/** (x - mean) / sqrt(variance + epsilon) over the last axes, times scale and plus bias, where they are given, in these axes. */
export const layerNorm: Operation<LayerNormAttributes> = {
  name: "layerNorm",
  infer(inputs, attributes) {
    const names = ["x", "scale", "bias"];
    const dtype = floatTypeOf(names, inputs);
    const [x] = inputs as [Spec];
    const { rows, normalized } = normalizedAxes(x, attributes);
    inputs.forEach(({ shape }, i) => {
      if (i === 0 || showShape(shape) === showShape(normalized)) return;
      throw new ShapeError(names[i]!, showShape(shape), showShape(normalized));
    });
    const statistics = { dtype, shape: [...rows, ...normalized.map(() => 1)] };
    return [{ dtype, shape: x.shape }, ...(attributes.statistics ? [statistics, statistics] : [])];
  },
  bind(scratch, [x, scale, bias], [y, mean, rstd], attributes) {
    const { rows, normalized } = normalizedAxes(x!, attributes);
    const { epsilon = EPSILON } = attributes;
    const n = sizeOf(normalized);
    const count = n === 0 ? 0 : sizeOf(rows);
    const { layerNormForward } = scratch.core.kernels[y!.dtype as FloatDtype];
    const [from, to, weights, biases] = [x!.pointer, y!.pointer, pointer(scale), pointer(bias)];
    const [means, rstds] = [pointer(mean), pointer(rstd)];
    return () => layerNormForward(count, n, from, n, weights, biases, epsilon, to, n, means, rstds);
  },
};
