// Convolutions of tensors [N,C,L], [N,C,H,W] ...

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { bindRecord, graphKernels, inOrder, stridesOf } from "../../bindings/graph.js";
import { convScratchBytes, pointer } from "../../bindings/kernels.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import { BYTES, describe, showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { conv as convRecord } from "../../bindings/wasm-graph.js";
import { floatTypeOf, type Operation, type Spec } from "./operation.js";
import {
  checkCounts,
  checkWindows,
  offsetsOf,
  padded,
  range,
  shareOf,
  spatialOf,
  table,
  windowsOver,
  choicesOf,
  type Lists,
  type Padded,
  type WindowAttributes,
  type WindowAxis,
} from "./windows.js";

/** The codes of assembly/activation.ts and conv.ts. */
const ACTIVATIONS = { tanh: 0, relu: 1, sigmoid: 2, leakyRelu: 6 };
const LINEAR = 4;

/** What a convolution takes beside x, weight and bias. */
export interface ConvAttributes extends WindowAttributes {
  /** Channels are in so many groups (default 1). */
  groups?: number | undefined;
  /**
   * Of the sums: the products of a channel beside each other and the bias last (default), or those of a tap beside each other
   * and the bias first, as `Conv1d` sums.
   */
  order?: "channels" | "taps" | undefined;
  /** Of the result; none by default. Calls that are differentiated have none. */
  activation?: keyof typeof ACTIVATIONS | undefined;
  /** Of the leaky ReLU (default 0.01). */
  slope?: number | undefined;
}

/** What a transposed convolution takes beside x, weight and bias. */
export interface ConvTransposeAttributes extends ConvAttributes {
  /** So many numbers more at the end of each spatial axis (default: none). */
  outputPadding?: readonly number[] | undefined;
  /** The spatial axes of the result: instead of pads, which follow from it. */
  outputShape?: readonly number[] | undefined;
}

const NAMES = ["x", "weight", "bias"];

/** Checks the shapes but for the spatial axes; `transposed`: which axis of the weights the channels of x are. */
function checkShapes(inputs: readonly Spec[], { groups = 1, activation }: ConvAttributes, transposed: boolean) {
  const [x, weight, bias] = inputs as [Spec, Spec, Spec?];
  const dtype = floatTypeOf(NAMES, inputs);
  const sizes = spatialOf(x);
  checkCounts("groups", [groups], 1, 1);
  if (activation !== undefined && !Object.hasOwn(ACTIVATIONS, activation)) {
    throw new ValueError("activation", describe(activation), Object.keys(ACTIVATIONS).join(", "));
  }
  const [n, c] = x.shape as [number, number];
  const [first = 0, second = 0, ...taps] = weight.shape;
  const [inputsOf, outputs] = transposed ? [first, second * groups] : [second * groups, first];
  if (c % groups !== 0) throw new ValueError("groups", `${groups}`, `a divisor of ${c}, the channels of x`);
  if (taps.length !== sizes.length || inputsOf !== c || outputs % groups !== 0 || taps.includes(0)) {
    const [from, to] = transposed ? [c, "O"] : [groups > 1 ? `O in ${groups} groups` : "O", c / groups];
    throw new ShapeError("weight", showShape(weight.shape), `[${from}, ${to}${", k".repeat(sizes.length)}]`);
  }
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs)) {
    throw new ShapeError("bias", showShape(bias.shape), `[${outputs}]`);
  }
  return { dtype, n, outputs, groups, sizes, taps };
}

/** Taps and positions, in numbers: for each axis, to be added. */
interface Call {
  /** Where the taps' numbers are in a window, and where in the weights. */
  readonly taps: Lists;
  readonly weights: Lists;
  /** Where windows start in x, and where results are in y; undefined: beside each other. */
  readonly positions: Lists;
  readonly yPositions: Lists | undefined;
}

/** How far apart channels, outputs and groups are in the weights. */
interface WeightStrides {
  readonly weightChannel: number;
  readonly weightOutput: number;
  readonly weightGroup: number;
}

/** A call of the kernel, and before it that which packs the weights, unless they are constant. */
function bindConv(
  scratch: Arena,
  inputs: readonly WasmTensor[],
  y: WasmTensor,
  attributes: ConvAttributes,
  constant: readonly boolean[],
  image: Padded,
  strides: WeightStrides,
  { taps, weights, positions, yPositions }: Call,
): () => void {
  const [x, weight, bias] = inputs as [WasmTensor, WasmTensor, WasmTensor?];
  const { groups = 1, order = "channels", activation, slope = 0.01 } = attributes;
  const tapsFirst = order === "taps";
  const dtype = y.dtype as FloatDtype;
  const bytes = BYTES[dtype];
  const kernels = graphKernels(scratch.core)[dtype];
  const channels = x.shape[1]! / groups;
  const outputs = y.shape[1]! / groups;
  const size = choicesOf(taps);
  const k = size * channels;
  const direct = channels === 1 && outputs <= 4;
  const lanes = 32 / bytes; // of a panel
  const columns = direct ? outputs : Math.ceil(outputs / lanes) * lanes;
  const yPlane = sizeOf(y.shape.slice(2));
  const ofChannels = [range(channels, (c) => c * image.plane)];
  const fields = {
    slope,
    activation: activation === undefined ? LINEAR : ACTIVATIONS[activation],
    images: x.shape[0]!,
    groups,
    channels,
    outputs,
    direct,
    taps: size,
    weightTaps: table(scratch, "taps", weights, 1),
    ...strides,
    weight: weight.pointer,
    panels: scratch.bytes("packed weights", groups * columns * k * bytes),
    kChannel: tapsFirst ? 1 : size,
    kTap: tapsFirst ? channels : 1,
    bias: pointer(bias),
    biasFirst: tapsFirst,
    x: image.pointer,
    xImage: groups * channels * image.plane,
    xGroup: channels * image.plane,
    offsets: table(scratch, "taps", tapsFirst ? [...taps, ...ofChannels] : [...ofChannels, ...taps], bytes),
    positions: table(scratch, "positions", positions, bytes),
    count: choicesOf(positions),
    y: y.pointer,
    yImage: groups * outputs * yPlane,
    yPlane,
    yPositions: yPositions ? table(scratch, "positions", yPositions, bytes) : 0,
    work: scratch.bytes("rows", convScratchBytes(k, outputs, bytes)),
  };
  const forward = bindRecord(scratch, kernels.convForward, convRecord, fields);
  const pack = bindRecord(scratch, kernels.convPack, convRecord, fields);
  if (!constant[1]) return inOrder([pack, forward]);
  pack();
  return forward;
}

/**
 * y [N,O,...] from x [N,C,...], weight [O,C/G,...] and, where there is one, bias [O]: bias plus the sum over taps and, within each,
 * over the channels of the group.
 */
export const conv: Operation<ConvAttributes> = {
  name: "conv",
  infer(inputs, attributes) {
    const { dtype, n, outputs, sizes, taps } = checkShapes(inputs, attributes, false);
    return [{ dtype, shape: [n, outputs, ...windowsOver(sizes, taps, attributes).map((axis) => axis.outputs)] }];
  },
  bind(scratch, inputs, [y], attributes, constant = []) {
    if (sizeOf(y!.shape) === 0) return () => {};
    const [x, weight] = inputs as [WasmTensor, WasmTensor];
    const axes = windowsOver(x.shape.slice(2), weight.shape.slice(2), attributes);
    const image = padded(scratch, x, axes, 0);
    const { taps, positions } = offsetsOf(axes, image);
    const size = choicesOf(taps);
    const width = weight.shape[1]!;
    const outputs = weight.shape[0]! / (attributes.groups ?? 1);
    const strides = { weightChannel: size, weightOutput: size * width, weightGroup: size * width * outputs };
    const call = { taps, weights: [range(size, (i) => i)], positions, yPositions: undefined };
    return inOrder([image.fill, bindConv(scratch, inputs, y!, attributes, constant, image, strides, call)]);
  },
};

/** The axes of a transposed convolution: windows over its result, whose outputs are x. `before`, `after`: what is cut off the result. */
export function transposedAxes(sizes: readonly number[], taps: readonly number[], attributes: ConvTransposeAttributes) {
  const rank = sizes.length;
  const { strides, dilations, pads, autoPad } = checkWindows(rank, attributes);
  const more = attributes.outputPadding?.length ? checkCounts("outputPadding", attributes.outputPadding, rank, 0) : [];
  const shape = attributes.outputShape?.length
    ? checkCounts("outputShape", attributes.outputShape, rank, 0)
    : undefined;
  return sizes.map((outputs, i): WindowAxis => {
    const [stride, dilation] = [strides[i]!, dilations[i]!];
    const whole = (outputs - 1) * stride + (taps[i]! - 1) * dilation + 1 + (more[i] ?? 0);
    const wanted = shape ? shape[i]! : pads ? whole - pads[i]! - pads[rank + i]! : outputs * stride;
    const [before, after] = pads && !shape ? [pads[i]!, pads[rank + i]!] : shareOf(whole - wanted, autoPad);
    if (wanted < 1)
      throw new ShapeError("pads", `${before} and ${after} of ${whole} on axis ${i + 2}`, "less than all");
    return { size: wanted, taps: taps[i]!, stride, dilation, before, after, outputs };
  });
}

/** The results of a transposed convolution at positions of one remainder by the stride, where taps meet them. */
interface Phase {
  /** The first such position, and how many there are. */
  readonly first: number;
  readonly count: number;
  /** Taps, and for each where the number of x is that it meets at the first position: before it are zeros. */
  readonly taps: readonly number[];
  readonly starts: readonly number[];
}

function phasesOf({ size, taps, stride, dilation, before }: WindowAxis): Phase[] {
  const phases = new Map<number, number[]>();
  for (let tap = 0; tap < taps; tap++) {
    const first = (((tap * dilation - before) % stride) + stride) % stride;
    const met = phases.get(first);
    if (met) met.push(tap);
    else if (first < size) phases.set(first, [tap]);
  }
  return [...phases].map(([first, met]) => ({
    first,
    count: Math.ceil((size - first) / stride),
    taps: met,
    starts: met.map((tap) => (first + before - tap * dilation) / stride),
  }));
}

/** Every choice of one phase for each axis. */
function combinations(phases: readonly (readonly Phase[])[]): Phase[][] {
  return phases.reduce<Phase[][]>((all, list) => all.flatMap((some) => list.map((each) => [...some, each])), [[]]);
}

/** The padding of x that the phases of an axis read. */
function paddingOf(phases: readonly Phase[], { outputs: size }: WindowAxis) {
  let [before, after] = [0, 0];
  for (const { count, starts } of phases) {
    for (const start of starts) {
      before = Math.max(before, -start);
      after = Math.max(after, start + count - size);
    }
  }
  return { size, before, after };
}

/**
 * y [N,O,...] from x [N,C,...], weight [C,O/G,...] and, where there is one, bias [O]: each number of x times the weights, added where
 * its window of y is. Positions of one remainder by the stride are one call, so that no zeros between the numbers of x
 * are multiplied.
 */
export const convTranspose: Operation<ConvTransposeAttributes> = {
  name: "convTranspose",
  infer(inputs, attributes) {
    const { dtype, n, outputs, sizes, taps } = checkShapes(inputs, attributes, true);
    return [{ dtype, shape: [n, outputs, ...transposedAxes(sizes, taps, attributes).map(({ size }) => size)] }];
  },
  bind(scratch, inputs, [y], attributes, constant = []) {
    if (sizeOf(y!.shape) === 0) return () => {};
    const [x, weight] = inputs as [WasmTensor, WasmTensor];
    const axes = transposedAxes(x.shape.slice(2), weight.shape.slice(2), attributes);
    const phases = axes.map(phasesOf);
    const paddings = axes.map((axis, i) => paddingOf(phases[i]!, axis));
    const image = padded(scratch, x, paddings, 0);
    const [tapStrides, yStrides] = [weight, y!].map(({ shape }) => stridesOf(shape.slice(2))) as [number[], number[]];
    const size = sizeOf(weight.shape.slice(2));
    const outputs = weight.shape[1]!;
    const channels = x.shape[1]! / (attributes.groups ?? 1);
    const strides = { weightChannel: size * outputs, weightOutput: size, weightGroup: size * outputs * channels };
    const bind = (call: Call) => bindConv(scratch, inputs, y!, attributes, constant, image, strides, call);
    const dense = axes.every(({ stride }) => stride === 1);
    const calls = combinations(phases).map((each) =>
      bind({
        taps: each.map(({ starts }, i) => starts.map((start) => (start + paddings[i]!.before) * image.strides[i]!)),
        weights: each.map(({ taps }, i) => taps.map((tap) => tap * tapStrides[i]!)),
        positions: each.map(({ count }, i) => range(count, (j) => j * image.strides[i]!)),
        yPositions: dense
          ? undefined
          : each.map(({ first, count }, i) => range(count, (j) => (first + j * axes[i]!.stride) * yStrides[i]!)),
      }),
    );
    // where no tap meets: the bias
    const all = axes.every(({ size }, i) => phases[i]!.reduce((sum, { count }) => sum + count, 0) === size);
    const positions = [new Int32Array(all ? 0 : sizeOf(y!.shape.slice(2)))];
    const bias = all ? undefined : bind({ taps: [[]], weights: [[]], positions, yPositions: undefined });
    return inOrder([image.fill, bias, ...calls]);
  },
};
