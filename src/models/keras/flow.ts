// What flows between layers of a Keras model, and what layers are computed with.

import { ShapeError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import type { ElementType } from "../../base/element.js";
import { fillMask } from "../../base/mask.js";
import type { Random } from "../../base/random.js";
import type { KerasLayer } from "../../formats/keras/description.js";
import type { Builder } from "../../graphs/builder.js";
import { pair, reshaped } from "../../graphs/operators/compose.js";
import type { Numbers, Value } from "../../graphs/value.js";
import { add, mul } from "../../ops/elementwise.js";
import { matmul } from "../../ops/matmul.js";

/** A tensor and the mask that goes with it: [N,T], 1 for steps that count. */
export interface Flow {
  readonly value: Value;
  readonly mask?: Value | undefined;
}

/** What layers are computed with. */
export interface Context {
  readonly builder: Builder;
  /** Whether dropout and batch statistics are on. */
  readonly training: boolean;
  readonly random: Random;
  readonly hardSigmoid: readonly [number, number];
  /** Whether masked steps of Bidirectional's sequences are zeros. */
  readonly zeroMasked: boolean;
  /** A weight of a layer; undefined where it has none of that name. */
  weight(layer: KerasLayer, name: string): Value | undefined;
  /** Overwrites numbers of a weight that is not trained. */
  update(layer: KerasLayer, name: string, numbers: Numbers): void;
  /** A weight that is not trained: it gets no gradient. */
  statistic(layer: KerasLayer, name: string): Value;
  /** States of a stateful layer, which stay from run to run. */
  readonly states: Map<string, Value>;
}

/** Computes a layer's results. */
export type Compute = (context: Context, layer: KerasLayer, inputs: readonly Flow[]) => readonly Flow[];

/** A weight that a layer must have. */
export function weightOf(context: Context, layer: KerasLayer, name: string): Value {
  const value = context.weight(layer, name);
  if (!value) throw new ValueError(`layer ${layer.name}`, `no ${name}`, "all its weights");
  return value;
}

/** The only input of a layer. */
export function onlyInput(layer: KerasLayer, inputs: readonly Flow[]): Flow {
  if (inputs.length !== 1) throw new ValueError(`layer ${layer.name}`, `${inputs.length} inputs`, "one");
  return inputs[0]!;
}

/** Checks the number of axes. */
export function checkRank(layer: KerasLayer, { shape }: Value, rank: number, expected: string): void {
  if (shape.length !== rank) throw new ShapeError(`layer ${layer.name}`, showShape(shape), expected);
}

/** x [...,D] times weights [D,U], plus a bias [U]: one product of all rows. */
export function dense(builder: Builder, x: Value, weights: Value, bias: Value | undefined): Value {
  const { shape } = x;
  const [d] = weights.shape as [number];
  if (shape.length < 2 || shape[shape.length - 1] !== d) throw new ShapeError("x", showShape(shape), `[..., ${d}]`);
  const rows = shape.length === 2 ? x : reshaped(builder, x, [x.size / d, d]);
  const y = builder.one(matmul, bias ? [rows, weights, bias] : [rows, weights], {});
  return shape.length === 2 ? y : reshaped(builder, y, [...shape.slice(0, -1), weights.shape[1]!]);
}

/** In training 0 with probability `rate`, else 1 / (1 - rate); undefined where nothing is dropped. */
export function dropMask(context: Context, x: Value, rate: number, shape = x.shape): Value | undefined {
  const { builder, training, random } = context;
  if (!training || rate === 0) return undefined;
  const mask = new Float32Array(shape.reduce((a, b) => a * b, 1));
  fillMask(mask, rate, random);
  return builder.constant(x.dtype, shape, mask);
}

/** In training, numbers set to 0 with probability `rate`, the others scaled by 1 / (1 - rate); axes with 1 in `shape` share a draw. */
export function dropped(context: Context, x: Value, rate: number, shape = x.shape): Value {
  const mask = dropMask(context, x, rate, shape);
  return mask ? pair(context.builder, mul, x, mask) : x;
}

/** A mask as numbers, with axes of length 1 after it. */
export function maskNumbers(builder: Builder, mask: Value, dtype: ElementType, rank: number): Value {
  const shape = [...mask.shape, ...Array<number>(Math.max(0, rank - mask.shape.length)).fill(1)];
  return builder.hostOne([mask], dtype, shape, ([from], to) => to.set(from!));
}

/** Steps that count in all masks. */
export function allMasks(builder: Builder, flows: readonly Flow[]): Value | undefined {
  const masks = flows.flatMap(({ mask }) => (mask ? [mask] : []));
  const [first, ...more] = masks;
  if (!first || more.length === 0) return first;
  if (more.some(({ shape }) => showShape(shape) !== showShape(first.shape))) return undefined;
  return builder.hostOne(masks, "bool", first.shape, (all, to) => {
    for (let i = 0; i < to.length; i++) to[i] = Number(all.every((each) => each[i] !== 0));
  });
}

/** x plus y times a number. */
export function addScaled(builder: Builder, x: Value, y: Value, factor: number): Value {
  return pair(builder, add, x, pair(builder, mul, y, factor));
}
