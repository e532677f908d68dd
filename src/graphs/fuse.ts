// Calls that do together what two do one after the other. The first of the two stays in the plan only where its result is used
// otherwise, too.

import { conv, convTranspose, type ConvAttributes } from "../ops/conv.js";
import { add, div, leakyRelu, mul, relu, sigmoid, sqrt, sub, tanh } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { checkAxes, pad, reshape, transpose, type PadAttributes } from "../ops/movement.js";
import { batchNorm } from "../ops/norm.js";
import type { Operation } from "../ops/operation.js";
import type { Builder } from "./builder.js";
import type { Value } from "./value.js";

/** A call of an operation. */
interface Call {
  readonly operation: Operation<unknown>;
  readonly inputs: readonly Value[];
  readonly attributes: unknown;
}

/** The call that computes a value, and nothing else. */
function callOf({ step, base }: Value): Call | undefined {
  if (!step?.operation || base || step.outputs.length > 1) return undefined;
  return step as Call;
}

const ACTIVATIONS: ReadonlyMap<unknown, ConvAttributes["activation"]> = /* @__PURE__ */ new Map<
  unknown,
  ConvAttributes["activation"]
>([
  [leakyRelu, "leakyRelu"],
  [relu, "relu"],
  [tanh, "tanh"],
  [sigmoid, "sigmoid"],
]);

/** A convolution and its activation. */
function activated({ operation, inputs, attributes: given }: Call): Call | undefined {
  const activation = ACTIVATIONS.get(operation);
  const before = activation && callOf(inputs[0]!);
  if (before?.operation !== conv && before?.operation !== convTranspose) return undefined;
  const attributes = before.attributes as ConvAttributes;
  if (attributes.activation) return undefined;
  const slope = activation === "leakyRelu" ? (given as { alpha: number }).alpha : undefined;
  return { ...before, attributes: { ...attributes, activation, slope } };
}

/** A product and a bias, which its sums start from as those of `Linear` do. */
function biased({ operation, inputs }: Call): Call | undefined {
  if (operation !== add) return undefined;
  for (const [i, product] of inputs.entries()) {
    const bias = inputs[1 - i]!;
    const before = callOf(product);
    if (before?.operation !== matmul || before.inputs.length > 2) continue;
    if (bias.shape.length !== 1 || bias.shape[0] !== product.shape.at(-1) || bias.dtype !== product.dtype) continue;
    return { ...before, inputs: [...before.inputs, bias] };
  }
  return undefined;
}

/** A convolution and the normalisation of its channels, all with fixed numbers: other weights. */
function normalized({ operation, inputs, attributes }: Call, builder: Builder): Call | undefined {
  const before = operation === batchNorm ? callOf(inputs[0]!) : undefined;
  if (before?.operation !== conv && before?.operation !== convTranspose) return undefined;
  const own = before.attributes as ConvAttributes;
  const [x, weight, bias] = before.inputs as [Value, Value, Value?];
  const [scale, offset, mean, variance] = inputs.slice(1) as [Value, Value, Value, Value];
  const fixed = [weight, ...(bias ? [bias] : []), scale, offset, mean, variance];
  if (own.activation || fixed.some((each) => !builder.known(each))) return undefined;
  const compute = (what: Operation<undefined>, ...values: Value[]) => builder.one(what, values, undefined);
  const shaped = (value: Value, shape: readonly number[]) => builder.one(reshape, [value], { shape });
  const { epsilon = 1e-5 } = attributes as { epsilon?: number };
  const deviation = compute(sqrt, compute(add, variance, builder.constant(variance.dtype, [], [epsilon])));
  const factor = compute(div, scale, deviation);
  // [groups, channels of a group, outputs of a group, taps ...], or with the outputs first
  const [groups, [first, second, ...taps]] = [own.groups ?? 1, weight.shape as [number, number, ...number[]]];
  const ones = taps.map(() => 1);
  const [whole, part] =
    before.operation === conv
      ? [weight.shape, [first, 1, ...ones]]
      : [[groups, first / groups, second, ...taps], [groups, 1, second, ...ones]]; // prettier-ignore
  const scaled = shaped(compute(mul, shaped(weight, whole), shaped(factor, part)), weight.shape);
  const moved = compute(
    add,
    compute(mul, compute(sub, bias ?? builder.constant(mean.dtype, [], [0]), mean), factor),
    offset,
  );
  return { ...before, inputs: [x, scaled, moved] };
}

/** A convolution of what is padded with zeros. */
function padded({ operation, inputs, attributes }: Call): Call | undefined {
  const [x, ...weights] = inputs as [Value, ...Value[]];
  const before = operation === conv ? callOf(x) : undefined;
  const own = attributes as ConvAttributes;
  if (before?.operation !== pad || (own.autoPad ?? "valid") !== "valid") return undefined;
  const { before: first, after: last, mode, value } = before.attributes as PadAttributes;
  if (mode !== "constant" || value !== 0 || [...first, ...last].some((n) => n < 0)) return undefined;
  if ([...first.slice(0, 2), ...last.slice(0, 2)].some((n) => n !== 0)) return undefined;
  const more = [...first.slice(2), ...last.slice(2)];
  const pads = more.map((n, i) => n + (own.pads?.[i] ?? 0));
  return { operation, inputs: [before.inputs[0]!, ...weights], attributes: { ...own, autoPad: undefined, pads } };
}

/** A transposition of a transposition. */
function transposed({ operation, inputs, attributes }: Call): Call | undefined {
  const before = operation === transpose ? callOf(inputs[0]!) : undefined;
  if (before?.operation !== transpose) return undefined;
  const rank = inputs[0]!.shape.length;
  const axesOf = (given: unknown) => checkAxes((given as { axes?: readonly number[] }).axes, rank);
  const inner = axesOf(before.attributes);
  const axes = axesOf(attributes).map((axis) => inner[axis]!);
  return { operation, inputs: before.inputs, attributes: { axes } };
}

const RULES = [activated, biased, normalized, padded, transposed];

/** A call in place of another and of one before it, where there is one. */
export function fuse(builder: Builder, call: Call): Call | undefined {
  for (const rule of RULES) {
    const fused = rule(call, builder);
    if (fused) return fused;
  }
  return undefined;
}
