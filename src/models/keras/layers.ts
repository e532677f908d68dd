// Layers of Keras and TensorFlow.js by the names of their classes.

import { ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import type { KerasLayer } from "../../formats/keras/description.js";
import { located, type Builder } from "../../graphs/builder.js";
import { filled, pair, reshaped, transposed } from "../../graphs/operators/compose.js";
import type { Value } from "../../graphs/value.js";
import { checkAxis } from "../../ops/attributes.js";
import { conv } from "../../ops/conv.js";
import * as ops from "../../ops/elementwise.js";
import { matmul } from "../../ops/matmul.js";
import * as move from "../../ops/movement.js";
import { batchNorm, layerNorm } from "../../ops/norm.js";
import type { Operation } from "../../ops/operation.js";
import { averagePool, maxPool } from "../../ops/pool.js";
import { max, mean, sum } from "../../ops/reduction.js";
import { softmaxAlong } from "../../ops/softmax-along.js";
import { activated, checkActivation } from "./activations.js";
import {
  addScaled,
  allMasks,
  checkRank,
  dense,
  dropped,
  maskNumbers,
  onlyInput,
  weightOf,
  type Compute,
  type Context,
  type Flow,
} from "./flow.js";
import { bidirectional, recurrentLayer } from "./recurrent.js";

/** A layer with one input. */
function single(
  compute: (context: Context, layer: KerasLayer, x: Value, mask: Value | undefined) => Value | Flow,
  keepsMask = true,
): Compute {
  return (context, layer, inputs) => {
    const { value, mask } = onlyInput(layer, inputs);
    const result = compute(context, layer, value, mask);
    if (!("dtype" in result)) return [result];
    return [{ value: result, mask: keepsMask ? mask : undefined }];
  };
}

/** The layer's own activation. */
function withActivation({ builder, hardSigmoid }: Context, { config }: KerasLayer, x: Value): Value {
  return activated(builder, x, config.activation("activation"), hardSigmoid);
}

const denseLayer = single((context, layer, x) => {
  const y = dense(context.builder, x, weightOf(context, layer, "kernel"), context.weight(layer, "bias"));
  return withActivation(context, layer, y);
});

/** Rows of the table; numbers of any type, which must be whole. */
const embedding = single((context, layer, x) => {
  const { builder } = context;
  const table = weightOf(context, layer, "embeddings");
  const [count] = table.shape as [number];
  const indices = builder.hostToWasm([x], x.shape, ([from], [to]) => {
    for (let i = 0; i < to!.length; i++) {
      const index = from![i]!;
      if (!(Number.isInteger(index) && index >= 0 && index < count)) {
        throw new ValueError(`input of layer ${layer.name}`, `${index}`, `whole numbers from 0 to ${count - 1}`);
      }
      to![i] = index;
    }
  });
  const value = builder.one(move.gather, [table, indices], { axis: 0 });
  if (!layer.config.flag("mask_zero", false)) return { value };
  const mask = builder.hostOne([x], "bool", x.shape, ([from], to) => {
    for (let i = 0; i < to.length; i++) to[i] = Number(from![i] !== 0);
  });
  return { value, mask };
});

/** Steps of which all numbers are the value are masked, and zeros. */
const masking = single(({ builder }, { config }, x) => {
  const given = config.number("mask_value", 0);
  const own = x.dtype === "f32" ? Math.fround(given) : given;
  const width = x.shape[x.shape.length - 1]!;
  const mask = builder.hostOne([x], "bool", x.shape.slice(0, -1), ([from], to) => {
    for (let i = 0; i < to.length; i++) {
      to[i] = 0;
      for (let k = i * width; k < (i + 1) * width; k++) if (from![k] !== own) to[i] = 1;
    }
  });
  return { value: pair(builder, ops.mul, x, maskNumbers(builder, mask, x.dtype, x.shape.length)), mask };
});

const dropout = single((context, { config }, x) => {
  const noise: unknown = config.get("noise_shape");
  const shape = Array.isArray(noise) ? x.shape.map((n, i) => ((noise[i] as unknown) === 1 ? 1 : n)) : x.shape;
  return dropped(context, x, config.number("rate"), shape);
});

/** Whole channels. */
const spatialDropout = single((context, { config }, x) =>
  dropped(context, x, config.number("rate"), [
    x.shape[0]!,
    ...x.shape.slice(1, -1).map(() => 1),
    x.shape[x.shape.length - 1]!,
  ]),
);

/** Draws from N(shift, deviation). */
function noise({ random }: Context, size: number, deviation: number, shift: number): Float64Array {
  return Float64Array.from({ length: size }, () => shift + deviation * random.normal());
}

const gaussianNoise = single((context, { config }, x) => {
  if (!context.training) return x;
  const numbers = noise(context, x.size, config.number("stddev"), 0);
  return pair(context.builder, ops.add, x, context.builder.constant(x.dtype, x.shape, numbers));
});

const gaussianDropout = single((context, { config }, x) => {
  const rate = config.number("rate");
  if (!context.training || rate <= 0 || rate >= 1) return x;
  const numbers = noise(context, x.size, Math.sqrt(rate / (1 - rate)), 1);
  return pair(context.builder, ops.mul, x, context.builder.constant(x.dtype, x.shape, numbers));
});

const alphaDropout = single((context, { config }, x) => {
  const rate = config.number("rate");
  if (!context.training || rate <= 0 || rate >= 1) return x;
  const { builder, random } = context;
  const low = -1.7580993408473766; // -alpha scale of selu
  const a = ((1 - rate) * (1 + rate * low * low)) ** -0.5;
  const keeps = Float64Array.from({ length: x.size }, () => Number(random.uniform() >= rate));
  const kept = pair(builder, ops.mul, x, builder.constant(x.dtype, x.shape, keeps.map((keep) => a * keep))); // prettier-ignore
  const shift = keeps.map((keep) => a * low * (1 - keep) - a * low * rate);
  return pair(builder, ops.add, kept, builder.constant(x.dtype, x.shape, shift));
});

/** Whether the channels are the last axis. */
function channelsLast({ config }: KerasLayer): boolean {
  return config.choice("data_format", ["channels_last", "channels_first"], "channels_last") === "channels_last";
}

/** A function of [N,C,T] for x in the layer's order of axes. */
function channelsFirst(builder: Builder, layer: KerasLayer, x: Value, compute: (x: Value) => Value): Value {
  checkRank(layer, x, 3, "[N, T, C]");
  if (!channelsLast(layer)) return compute(x);
  return transposed(builder, compute(transposed(builder, x, [0, 2, 1])), [0, 2, 1]);
}

const conv1d = single((context, layer, x) => {
  const { builder } = context;
  const { config } = layer;
  const weights = transposed(builder, weightOf(context, layer, "kernel"), [2, 1, 0]);
  const bias = context.weight(layer, "bias");
  const padding = config.choice("padding", ["valid", "same", "causal"], "valid");
  const dilation = config.single("dilation_rate", 1);
  const attributes = {
    strides: [config.single("strides", 1)],
    dilations: [dilation],
    groups: config.count("groups", 1),
    ...(padding === "causal" ? { pads: [(weights.shape[2]! - 1) * dilation, 0] } : { autoPad: padding === "same" ? ("sameUpper" as const) : ("valid" as const) }), // prettier-ignore
  };
  const y = channelsFirst(builder, layer, x, (own) => builder.one(conv, bias ? [own, weights, bias] : [own, weights], attributes)); // prettier-ignore
  return withActivation(context, layer, y);
}, false);

function pool(operation: typeof maxPool | typeof averagePool): Compute {
  return single(({ builder }, layer, x) => {
    const { config } = layer;
    const size = config.single("pool_size", 2);
    const padding = config.choice("padding", ["valid", "same"], "valid");
    const attributes = {
      kernelShape: [size],
      strides: [config.single("strides", size)],
      autoPad: padding === "same" ? ("sameUpper" as const) : ("valid" as const),
    };
    return channelsFirst(builder, layer, x, (own) => builder.one(operation, [own], attributes)); // prettier-ignore
  }, false);
}

const globalMax = single(({ builder }, layer, x) => {
  checkRank(layer, x, 3, "[N, T, C]");
  return builder.one(max, [x], { axes: [channelsLast(layer) ? 1 : 2], keepDims: layer.config.flag("keepdims", false) });
}, false);

/** The mean of the steps that count. */
const globalAverage = single(({ builder }, layer, x, mask) => {
  checkRank(layer, x, 3, "[N, T, C]");
  const axis = channelsLast(layer) ? 1 : 2;
  const attributes = { axes: [axis], keepDims: layer.config.flag("keepdims", false) };
  if (!mask || axis !== 1) return builder.one(mean, [x], attributes);
  const counts = maskNumbers(builder, mask, x.dtype, 3);
  const total = builder.one(sum, [pair(builder, ops.mul, x, counts)], attributes);
  return pair(builder, ops.div, total, builder.one(sum, [counts], attributes));
}, false);

/** The only axis of a list, or the number. */
function axisOf({ config }: KerasLayer, rank: number): number {
  const axes = config.integers("axis", -1);
  if (axes.length > 1) config.unsupported("axis", "one axis");
  return checkAxis(axes[0]!, rank);
}

/** By the running statistics; in training by those of the batch, which the running ones follow. */
const batchNormalization = single((context, layer, x) => {
  const { builder } = context;
  const { config } = layer;
  const axis = axisOf(layer, x.shape.length);
  const channels = x.shape[axis]!;
  const rows = x.shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const own = reshaped(builder, x, [rows, channels, x.size === 0 ? 0 : x.size / (rows * channels)]);
  const gamma = context.weight(layer, "gamma") ?? filled(builder, x.dtype, [channels], 1);
  const beta = context.weight(layer, "beta") ?? filled(builder, x.dtype, [channels], 0);
  let statistics = ["moving_mean", "moving_variance"].map((name) => context.statistic(layer, name));
  if (context.training && config.flag("trainable", true)) {
    const axes = [0, 2];
    const average = builder.one(mean, [own], { axes, keepDims: true });
    const rest = pair(builder, ops.sub, own, average);
    const variance = builder.one(mean, [pair(builder, ops.mul, rest, rest)], { axes, keepDims: true });
    const momentum = config.number("momentum", 0.99);
    statistics = [average, variance].map((each, i) => {
      const name = ["moving_mean", "moving_variance"][i]!;
      const [before, now] = [builder.numbers(statistics[i]!), builder.numbers(each)];
      context.update(
        layer,
        name,
        Float64Array.from(before, (old, k) => old * momentum + now[k]! * (1 - momentum)),
      );
      return reshaped(builder, each, [channels]);
    });
  }
  const epsilon = config.number("epsilon", 1e-3);
  return reshaped(builder, builder.one(batchNorm, [own, gamma, beta, ...statistics], { epsilon }), x.shape);
});

/** Over the last axes. */
const layerNormalization = single((context, layer, x) => {
  const { builder } = context;
  const { config } = layer;
  const axes = config.integers("axis", -1).map((axis) => checkAxis(axis, x.shape.length)).sort((a, b) => a - b); // prettier-ignore
  const first = axes[0]!;
  if (axes.some((axis, i) => axis !== first + i) || axes[axes.length - 1] !== x.shape.length - 1) {
    config.unsupported("axis", "the last axes");
  }
  const shape = x.shape.slice(first);
  const [gamma, beta] = ["gamma", "beta"].map((name) => {
    const weight = context.weight(layer, name);
    return weight && showShape(weight.shape) !== showShape(shape) ? reshaped(builder, weight, shape) : weight;
  });
  const scale = gamma ?? (beta && filled(builder, x.dtype, shape, 1));
  const inputs = [x, scale, beta].filter((each): each is Value => each !== undefined);
  return builder.one(layerNorm, inputs, { axis: first, epsilon: config.number("epsilon", 1e-3) });
});

const flatten = single(({ builder }, layer, x) => {
  const own = channelsLast(layer) || x.shape.length < 3 ? x : transposed(builder, x, [0, ...x.shape.keys()].slice(0, 1).concat([...x.shape.keys()].slice(2), 1)); // prettier-ignore
  return reshaped(builder, own, [x.shape[0]!, x.shape.slice(1).reduce((a, b) => a * b, 1)]);
}, false);

const repeatVector = single(({ builder }, layer, x) => {
  checkRank(layer, x, 2, "[N, D]");
  const [n, d] = x.shape as [number, number];
  const times = layer.config.count("n");
  return builder.one(move.expand, [reshaped(builder, x, [n, 1, d])], { shape: [n, times, d] });
}, false);

const reshape = single(({ builder }, { config }, x) => {
  const target = config.integers("target_shape");
  if (target.some((n) => n < -1) || target.filter((n) => n === -1).length > 1) config.refuse("target_shape", "a shape");
  const [n] = x.shape as [number];
  const known = target.reduce((product, each) => (each === -1 ? product : product * each), 1);
  const size = n === 0 ? 0 : x.size / n;
  return reshaped(builder, x, [
    n,
    ...target.map((each) => (each === -1 ? Math.floor(size / Math.max(known, 1)) : each)),
  ]);
}, false);

const permute = single(({ builder }, { config }, x) => {
  const dims = config.integers("dims");
  const fits = dims.length === x.shape.length - 1 && [...dims].sort((a, b) => a - b).every((n, i) => n === i + 1);
  if (!fits) config.refuse("dims", `the axes 1 to ${x.shape.length - 1} in some order`);
  return transposed(builder, x, [0, ...dims]);
}, false);

/** Tensors of fewer axes get axes of length 1 after the first. */
function aligned(builder: Builder, inputs: readonly Flow[]): Value[] {
  const rank = Math.max(...inputs.map(({ value }) => value.shape.length));
  return inputs.map(({ value }) => {
    const { shape } = value;
    if (shape.length === rank) return value;
    return reshaped(builder, value, [shape[0]!, ...Array<number>(rank - shape.length).fill(1), ...shape.slice(1)]);
  });
}

function merge(compute: (builder: Builder, values: readonly Value[], layer: KerasLayer) => Value, least = 2): Compute {
  return ({ builder }, layer, inputs) => {
    if (inputs.length < least)
      throw new ValueError(`layer ${layer.name}`, `${inputs.length} inputs`, `at least ${least}`);
    const mask = inputs.every((each) => each.mask) ? allMasks(builder, inputs) : undefined;
    return [{ value: compute(builder, aligned(builder, inputs), layer), mask }];
  };
}

const folded = (operation: Operation): Compute =>
  merge((builder, values) => values.reduce((a, b) => pair(builder, operation, a, b)), 1);

const average = merge((builder, values) => {
  const total = values.reduce((a, b) => pair(builder, ops.add, a, b));
  return pair(builder, ops.div, total, values.length);
}, 1);

const subtract = merge((builder, [a, b]) => pair(builder, ops.sub, a!, b!));

const concatenate: Compute = ({ builder }, layer, inputs) => {
  if (inputs.length === 0) throw new ValueError(`layer ${layer.name}`, "no inputs", "at least one");
  const values = inputs.map(({ value }) => value);
  const axis = axisOf(layer, values[0]!.shape.length);
  const value = builder.one(move.concat, values, { axis });
  if (!inputs.some(({ mask }) => mask)) return [{ value }];
  if (axis !== 1) return [{ value, mask: allMasks(builder, inputs) }];
  const masks = inputs.map((each) => each.mask ?? builder.constant("bool", each.value.shape.slice(0, 2), new Uint8Array(each.value.shape[0]! * each.value.shape[1]!).fill(1))); // prettier-ignore
  return [{ value, mask: builder.one(move.concat, masks, { axis: 1 }) }];
};

/** Products of matrices over one axis of each. */
const dot: Compute = ({ builder }, layer, inputs) => {
  const { config } = layer;
  const [a, b] = inputs.map(({ value }) => value);
  if (!a || !b || inputs.length !== 2) throw new ValueError(`layer ${layer.name}`, `${inputs.length} inputs`, "two");
  const given = config.integers("axes");
  const axes = [checkAxis(given[0]!, a.shape.length), checkAxis(given[given.length - 1]!, b.shape.length)] as const;
  const norm = (x: Value, axis: number): Value => {
    if (!config.flag("normalize", false)) return x;
    const squares = builder.one(sum, [pair(builder, ops.mul, x, x)], { axes: [axis], keepDims: true });
    const root = builder.one(ops.sqrt, [pair(builder, ops.maximum, squares, 1e-12)], undefined);
    return pair(builder, ops.div, x, root);
  };
  const matrices = [norm(a, axes[0]), norm(b, axes[1])].map((x, i) => {
    const { shape } = x;
    if (shape.length > 3 || axes[i] === 0)
      throw new ShapeError(`layer ${layer.name}`, showShape(shape), "two or three axes");
    return shape.length === 2
      ? reshaped(builder, x, i === 0 ? [shape[0]!, 1, shape[1]!] : [shape[0]!, shape[1]!, 1])
      : x;
  }) as [Value, Value];
  const y = builder.one(matmul, matrices, {
    transposeA: a.shape.length === 3 && axes[0] === 1,
    transposeB: b.shape.length === 3 && axes[1] === 2,
  });
  const shape = [
    y.shape[0]!,
    ...(a.shape.length === 3 ? [y.shape[1]!] : []),
    ...(b.shape.length === 3 ? [y.shape[2]!] : []),
  ];
  return [{ value: reshaped(builder, y, shape.length === 1 ? [...shape, 1] : shape) }];
};

/** Query [N,T,D], value [N,S,D] and, perhaps, key [N,S,D]: value weighted by the softmax of the scores. */
const attention: Compute = (context, layer, inputs) => {
  const { builder } = context;
  const { config, kind } = layer;
  const [query, value, key = value] = inputs;
  if (!query || !value || !key || inputs.length > 3)
    throw new ValueError(`layer ${layer.name}`, `${inputs.length} inputs`, "two or three");
  for (const each of inputs) checkRank(layer, each.value, 3, "[N, T, D]");
  const scale = context.weight(layer, "scale");
  const [n, t, d] = query.value.shape as [number, number, number];
  const s = key.value.shape[1]!;
  let scores: Value;
  const additive = kind === "AdditiveAttention";
  if (additive || config.choice("score_mode", ["dot", "concat"], "dot") === "concat") {
    const sums = pair(
      builder,
      ops.add,
      reshaped(builder, query.value, [n, t, 1, d]),
      reshaped(builder, key.value, [n, 1, s, d]),
    );
    const factor = scale && !additive ? pair(builder, ops.mul, sums, scale) : sums;
    const bent = builder.one(ops.tanh, [factor], undefined);
    scores = builder.one(sum, [additive && scale ? pair(builder, ops.mul, bent, scale) : bent], { axes: [-1] });
    const weight = context.weight(layer, "concat_score_weight");
    if (weight) scores = pair(builder, ops.mul, scores, weight);
  } else {
    scores = builder.one(matmul, [query.value, key.value], { transposeB: true });
    if (scale) scores = pair(builder, ops.mul, scores, scale);
  }
  const barred: Value[] = [];
  if (value.mask) barred.push(reshaped(builder, maskNumbers(builder, value.mask, scores.dtype, 2), [n, 1, s]));
  if (config.flag("causal", false)) {
    const numbers = Float32Array.from({ length: t * s }, (_, i) => Number(i % s <= Math.floor(i / s)));
    barred.push(builder.constant(scores.dtype, [1, t, s], numbers));
  }
  if (barred.length > 0) {
    const allowed = barred.reduce((a, b) => pair(builder, ops.mul, a, b));
    scores = addScaled(builder, scores, pair(builder, ops.sub, 1, allowed), -1e9);
  }
  const weights = dropped(context, builder.one(softmaxAlong, [scores], { axis: -1 }), config.number("dropout", 0));
  let result = builder.one(matmul, [weights, value.value], {});
  if (query.mask) result = pair(builder, ops.mul, result, maskNumbers(builder, query.mask, result.dtype, 3));
  return [{ value: result, mask: query.mask }];
};

const leakyRelu = single(({ builder }, { config }, x) =>
  builder.one(ops.leakyRelu, [x], { alpha: config.number("alpha", config.number("negative_slope", 0.3)) }),
);

const relu = single(({ builder }, { config }, x) => {
  const slope = config.number("negative_slope", 0);
  const threshold = config.number("threshold", 0);
  if (threshold !== 0) config.unsupported("threshold", "0");
  const y = slope === 0 ? builder.one(ops.relu, [x], undefined) : builder.one(ops.leakyRelu, [x], { alpha: slope });
  const most = config.get("max_value");
  return most === undefined ? y : builder.one(ops.clip, [y], { min: -Infinity, max: config.number("max_value") });
});

const prelu = single((context, layer, x) => pair(context.builder, ops.prelu, x, weightOf(context, layer, "alpha")));

const softmaxLayer = single(({ builder }, layer, x) => {
  return builder.one(softmaxAlong, [x], { axis: axisOf(layer, x.shape.length) });
});

const zeroPadding = single(({ builder }, layer, x) => {
  checkRank(layer, x, 3, "[N, T, C]");
  const [before, after = before] = layer.config.integers("padding", 1) as [number, number?];
  if (before < 0 || after < 0) layer.config.refuse("padding", "whole numbers >= 0");
  return builder.one(move.pad, [x], { before: [0, before, 0], after: [0, after, 0], mode: "constant", value: 0 });
}, false);

const cropping = single(({ builder }, layer, x) => {
  checkRank(layer, x, 3, "[N, T, C]");
  const [before, after = before] = layer.config.integers("cropping", 1) as [number, number?];
  if (before < 0 || after < 0 || before + after > x.shape[1]!) layer.config.refuse("cropping", "parts of the steps");
  return builder.one(move.slice, [x], { axis: 1, start: before, end: x.shape[1]! - after });
}, false);

const upSampling = single(({ builder }, layer, x) => {
  checkRank(layer, x, 3, "[N, T, C]");
  const [n, t, c] = x.shape as [number, number, number];
  const times = layer.config.single("size", 2);
  const repeated = builder.one(move.expand, [reshaped(builder, x, [n, t, 1, c])], { shape: [n, t, times, c] });
  return reshaped(builder, repeated, [n, t * times, c]);
}, false);

/** The same layer for each step: steps are rows to it. */
const timeDistributed: Compute = (context, layer, inputs) => {
  const { value, mask } = onlyInput(layer, inputs);
  const { builder } = context;
  const [n, t, ...rest] = value.shape as [number, number, ...number[]];
  if (value.shape.length < 3) throw new ShapeError(`layer ${layer.name}`, showShape(value.shape), "[N, T, ...]");
  const rows = reshaped(builder, value, [n * t, ...rest]);
  const results = computeLayer(context, layer.inner!, [{ value: rows }]);
  return results.map((each) => ({ value: reshaped(builder, each.value, [n, t, ...each.value.shape.slice(1)]), mask }));
};

const same = single((_context, _layer, x) => x);

const LAYERS: ReadonlyMap<string, Compute> = /* @__PURE__ */ new Map<string, Compute>([
  ["Activation", single((context, layer, x) => withActivation(context, layer, x))],
  ["ActivityRegularization", same],
  ["Add", folded(ops.add)],
  ["AdditiveAttention", attention],
  ["AlphaDropout", alphaDropout],
  ["Attention", attention],
  ["Average", average],
  ["AveragePooling1D", pool(averagePool)],
  ["BatchNormalization", batchNormalization],
  ["Bidirectional", bidirectional],
  ["Concatenate", concatenate],
  ["Conv1D", conv1d],
  ["Cropping1D", cropping],
  ["Dense", denseLayer],
  ["Dot", dot],
  ["Dropout", dropout],
  ["ELU", single(({ builder }, { config }, x) => builder.one(ops.elu, [x], { alpha: config.number("alpha", 1) }))],
  ["Embedding", embedding],
  ["Flatten", flatten],
  ["GaussianDropout", gaussianDropout],
  ["GaussianNoise", gaussianNoise],
  ["GlobalAveragePooling1D", globalAverage],
  ["GlobalMaxPooling1D", globalMax],
  ["GRU", recurrentLayer],
  ["Identity", same],
  ["InputLayer", same],
  ["LayerNormalization", layerNormalization],
  ["LeakyReLU", leakyRelu],
  ["LSTM", recurrentLayer],
  ["Masking", masking],
  ["Maximum", folded(ops.maximum)],
  ["MaxPooling1D", pool(maxPool)],
  ["Minimum", folded(ops.minimum)],
  ["Multiply", folded(ops.mul)],
  ["Permute", permute],
  ["PReLU", prelu],
  ["ReLU", relu],
  ["RepeatVector", repeatVector],
  ["Reshape", reshape],
  ["SimpleRNN", recurrentLayer],
  ["Softmax", softmaxLayer],
  ["SpatialDropout1D", spatialDropout],
  ["Subtract", subtract],
  ["ThresholdedReLU", single(({ builder }, { config }, x) => builder.one(ops.thresholdedRelu, [x], { alpha: config.number("theta", 1) }))], // prettier-ignore
  ["TimeDistributed", timeDistributed],
  ["UpSampling1D", upSampling],
  ["ZeroPadding1D", zeroPadding],
]);

/** Checks that a layer's class and its activations are known. */
export function checkKind({ name, kind, config }: KerasLayer): void {
  if (!LAYERS.has(kind)) throw new UnsupportedError(`layer ${name}`, kind, [...LAYERS.keys()].join(", "));
  for (const key of ["activation", "recurrent_activation"]) {
    if (config.get(key) !== undefined) checkActivation(`${config.where}.${key}`, config.activation(key));
  }
}

/** Computes one layer, or a model that is one. */
export function computeLayer(context: Context, layer: KerasLayer, inputs: readonly Flow[]): readonly Flow[] {
  const { builder } = context;
  const where = builder.where;
  builder.count();
  builder.where = `node ${layer.name} (${layer.kind})`;
  try {
    return layer.model ? computeModel(context, layer.model, inputs) : LAYERS.get(layer.kind)!(context, layer, inputs);
  } catch (error) {
    throw located(builder.where, error);
  } finally {
    builder.where = where;
  }
}

/** Computes a model. */
export function computeModel(
  context: Context,
  model: NonNullable<KerasLayer["model"]>,
  inputs: readonly Flow[],
): readonly Flow[] {
  if (inputs.length !== model.inputs.length) {
    throw new ValueError(`model ${model.name}`, `${inputs.length} inputs`, `${model.inputs.length}`);
  }
  const results: (readonly Flow[])[] = [];
  const resultOf = ({ call, index }: { call: number; index: number }): Flow => {
    const flow = call < 0 ? inputs[-1 - call] : results[call]![index];
    if (!flow) throw new ValueError(`model ${model.name}`, `result ${index} of a layer`, "a result that it has");
    return flow;
  };
  for (const { layer, inputs: from } of model.calls) results.push(computeLayer(context, layer, from.map(resultOf))); // prettier-ignore
  return model.outputs.map(resultOf);
}
