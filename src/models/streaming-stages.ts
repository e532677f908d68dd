// The running layers of a StreamingModel. Outputs stay in wasm memory; a step allocates nothing.

import { DtypeError, ShapeError, StateError } from "../../bindings/errors.js";
import { prepareActivation, prepareExp, prepareLinear, prepareSoftmax } from "../../bindings/frames.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { ConvolutionStepper, prepareBatchNorm, prepareConvolution } from "../../bindings/layers.js";
import { Arena, takeTensor, wasmTensorOf } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import type {
  BatchNormLayer,
  Convolution2dLayer,
  ConvolutionLayer,
  FrameActivation,
  RecurrentLayer,
  StreamingLayer,
} from "../formats/audio/description.js";
import { streamPlan } from "../nn/stream.js";
import { GRU, LSTM, RNN } from "../recurrent/layers.js";
import { Recurrent } from "../recurrent/stack.js";
import type { Stream } from "../recurrent/stream.js";

/** A layer of a model: described, or one of the caller's. */
export type StreamingPart = StreamingLayer | LayerPart;

/** A layer of the caller's, of which a copy runs. */
export interface LayerPart {
  readonly type: "layer";
  /** Its name in errors: "layers.lstm". */
  readonly path: string;
  readonly layer: object;
  /** Whether it is an RNN, LSTM or GRU. */
  readonly isRecurrent: boolean;
  /** What files can have of it. */
  readonly described: readonly StreamingLayer[] | undefined;
}

/** What files can have of a layer; the name of one that they cannot have. */
export function exportedOf(part: StreamingPart): readonly StreamingLayer[] | string {
  if (part.type !== "layer") return [part];
  return part.described ?? part.path;
}

/** A running layer: `step` reads the output of the layer before and writes its own. */
export interface Stage {
  /** [1,n]. */
  readonly output: FloatTensor;
  /**
   * Allocates nothing; engines would make an array for `const [a, b] = [c, d]`, too. Returns false where the frame has no output: the
   * latest stays.
   */
  step(): boolean | void;
  reset?(): void;
  dispose?(): void;
}

type ElementActivation = Exclude<FrameActivation, "softmax">;
type AnyRecurrent = RNN<FloatDtype> | LSTM<FloatDtype> | GRU<FloatDtype>;

/** A running layer that reads x [1,n] in each step. */
export function stageOf(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: StreamingPart): Stage {
  switch (layer.type) {
    case "RNN":
    case "LSTM":
    case "GRU":
      return recurrentStage(dtype, x, layer);
    case "layer":
      return layerStage(arena, x, layer);
    case "conv1d":
      return convolutionStage(arena, dtype, x, layer);
    case "conv2d":
      return convolution2dStage(arena, dtype, x, layer);
    case "batchnorm":
      return batchNormStage(arena, dtype, x, layer);
    case "gated":
      return gatedStage(arena, dtype, x);
    case "wavenet":
      return waveNetStage(arena, dtype, x, layer);
    case "dense":
      return denseStage(arena, dtype, x, layer);
    case "prelu":
      return preluStage(arena, dtype, x, layer.slope);
    case "softmax":
      return softmaxStage(arena, dtype, x);
    default:
      return activationStage(arena, dtype, x, layer.type);
  }
}

function recurrentStage(dtype: FloatDtype, x: FloatTensor, layer: RecurrentLayer): Stage {
  const { type, inputSize, hiddenSize, numLayers, state, initial } = layer;
  const options = { numLayers, bias: "bias_ih_l0" in state, dtype, seed: 0 };
  const kinds = { RNN, LSTM, GRU };
  const whole = new kinds[type](inputSize, hiddenSize, options);
  try {
    whole.loadStateDict(state);
    return streamStage(x, whole, initial);
  } finally {
    whole.dispose();
  }
}

/** A stage of a recurrent layer's stream, from states that are not zeros if there are any. */
function streamStage(x: FloatTensor, layer: AnyRecurrent, initial?: RecurrentLayer["initial"]): Stage {
  if (x.shape[1] !== layer.inputSize) throw new ShapeError("inputSize", `${layer.inputSize}`, `${x.shape[1]}`);
  const stream = Recurrent.prototype.stream.call(layer as never) as Stream;
  const reset = () => stream.reset(initial);
  try {
    reset();
  } catch (error) {
    stream.dispose();
    throw error;
  }
  const h = wasmTensorOf(stream.state.h) as FloatTensor;
  return {
    output: h.slice(h.shape[0]! - 1, 1).reshape([1, h.shape[2]!]),
    step: () => void stream.step(x.data),
    reset,
    dispose: () => stream.dispose(),
  };
}

/** A layer of the caller's, with the bits of its own stream. */
function layerStage(arena: Arena, x: FloatTensor, { path, layer, isRecurrent }: LayerPart): Stage {
  if (isRecurrent) return streamStage(x, layer as AnyRecurrent);
  const plan = streamPlan(layer);
  const { core, dtype, features } = plan;
  if (core !== arena.core) throw new StateError(path, "a layer of another build of the core", "layers of one build");
  if (dtype !== undefined && dtype !== x.dtype) throw new DtypeError(path, `a layer of ${dtype}`, x.dtype);
  if (features !== undefined && features !== x.shape[1]) {
    throw new ShapeError(path, `a layer for ${features} numbers`, `${x.shape[1]}, as the layer before has them`);
  }
  const stepper = plan.make(arena, x);
  return {
    output: stepper.output,
    step: () => stepper.run(),
    ...(stepper.reset && { reset: () => stepper.reset?.() }),
  };
}

/** Runs `make` with copies of weights that are packed there, and frees the copies. */
function withWeights<T>({ core }: Arena, make: (scratch: Arena) => T): T {
  const scratch = new Arena(core);
  try {
    return make(scratch);
  } finally {
    scratch.dispose();
  }
}

function convolutionStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: ConvolutionLayer): Stage {
  const { weight, bias, stride, groups, causal } = layer;
  const [out, width, taps] = weight.shape as [number, number, number];
  if (width * groups !== x.shape[1]) throw new ShapeError("weight", `${width * groups} channels`, `${x.shape[1]}`);
  const dilation = taps === 1 ? 1 : layer.dilation;
  const shape = { stride: 1, dilation, groups, left: 0, right: 0 };
  const stepper = withWeights(arena, (scratch) => {
    const own = scratch.copy("weight", weight, dtype, [out, width, taps]);
    return new ConvolutionStepper(arena, x, own, bias && scratch.copy("bias", bias, dtype, [out]), shape);
  });
  const first = causal ? 0 : (taps - 1) * dilation;
  let wait = first; // frames until the next output
  return {
    output: stepper.output,
    step() {
      if (wait > 0) {
        wait--;
        stepper.take();
        return false;
      }
      wait = stride - 1;
      stepper.run();
      return true;
    },
    reset() {
      stepper.reset();
      wait = first;
    },
  };
}

/**
 * A convolution in time and over features: the taps in time are gathered into [features,timeTaps * filters], over which the other taps
 * move.
 */
function convolution2dStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: Convolution2dLayer): Stage {
  const { weight, filtersIn: c, featuresIn, featuresOut, timeTaps, left, right } = layer;
  const [out, width, taps] = weight.shape as [number, number, number];
  const frame = featuresIn * c;
  if (frame !== x.shape[1]) throw new ShapeError("weight", `${frame} numbers`, `${x.shape[1]}`);
  const dilation = timeTaps === 1 ? 1 : layer.dilation;
  const span = (timeTaps - 1) * dilation + 1;
  const history: FloatTensor = arena.zeros("history", dtype, [span, frame]); // a ring
  const gathered: FloatTensor = arena.zeros("window", dtype, [left + featuresIn + right, width]);
  const output: FloatTensor = arena.zeros("output", dtype, [featuresOut, out]);
  const shape = { stride: featuresOut === 1 ? 1 : layer.stride, dilation: 1, groups: 1, left: 0, right: 0 };
  const bias: FloatTensor | undefined = layer.bias && arena.copy("bias", layer.bias, dtype, [out]);
  const run = withWeights(arena, (scratch) => {
    const own = scratch.copy("weight", weight, dtype, [out, width, taps]);
    return prepareConvolution(arena, gathered, own, bias, shape, output);
  });
  let next = 0;
  return {
    output: output.reshape([1, featuresOut * out]),
    step() {
      const numbers = arena.core.heap.view(dtype);
      const size = numbers.BYTES_PER_ELEMENT;
      const from = x.pointer / size;
      const ring = history.pointer / size;
      const to = gathered.pointer / size + left * width;
      numbers.copyWithin(ring + next * frame, from, from + frame);
      for (let tap = 0; tap < timeTaps; tap++) {
        // the last tap is the present
        const row = ring + ((next + span - (timeTaps - 1 - tap) * dilation) % span) * frame;
        for (let f = 0; f < featuresIn; f++) {
          numbers.copyWithin(to + f * width + tap * c, row + f * c, row + (f + 1) * c);
        }
      }
      next = (next + 1) % span;
      run();
    },
    reset() {
      history.fill(0);
      output.fill(0);
      next = 0;
    },
  };
}

function batchNormStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: BatchNormLayer): Stage {
  const c = layer.mean.data.length;
  const n = x.shape[1]!;
  if (n % c !== 0) throw new ShapeError("mean", `${c} numbers`, `a divisor of ${n}`);
  const copy = (tensor: Tensor): FloatTensor => arena.copy("statistics", tensor, dtype, [c]);
  const weights = {
    weight: layer.weight && copy(layer.weight),
    bias: layer.bias && copy(layer.bias),
    runningMean: copy(layer.mean),
    runningVar: copy(layer.variance),
  };
  const statistics = (): FloatTensor => arena.zeros("statistics", dtype, [c]);
  const rows = x.reshape([n / c, c]);
  const pass = { x: rows, count: 0, training: false, mean: statistics(), rstd: statistics() };
  const output: FloatTensor = arena.zeros("output", dtype, rows.shape);
  return { output: output.reshape([1, n]), step: prepareBatchNorm(arena, pass, weights, layer.eps, output) };
}

/** [2n] to [n]: tanh of the first half times sigmoid of the second. */
function gatedStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, activation: ElementActivation = "tanh"): Stage {
  const n = x.shape[1]! / 2;
  const halves = x.reshape([2, n]);
  const [first, second] = [halves.slice(0, 1), halves.slice(1, 1)];
  const output: FloatTensor = arena.zeros("output", dtype, [1, n]);
  const gate: FloatTensor = arena.zeros("gate", dtype, [1, n]);
  const activate = elementwise(activation, first, output);
  const open = prepareActivation("sigmoid", second, gate);
  return {
    output,
    step() {
      activate();
      open();
      const y = output.data;
      const g = gate.data;
      for (let i = 0; i < n; i++) y[i] = y[i]! * g[i]!;
    },
  };
}

/** An activation of elements, ELU included; y is not x. */
function elementwise(name: ElementActivation, x: FloatTensor, y: FloatTensor): () => void {
  return name === "elu" ? elu(x, y) : prepareActivation(name, x, y);
}

/** x where x > 0, else e^x - 1 = tanh(x/2) (e^x + 1), which keeps its digits near 0; for f32 rounded once, after the product. */
function elu(x: FloatTensor, y: FloatTensor): () => void {
  const exp: FloatTensor = y.arena.zeros("e^x", y.dtype, y.shape);
  const n = sizeOf(y.shape);
  const tanhOfHalf = prepareActivation("tanh", y, y);
  const power = prepareExp(x, exp);
  return () => {
    const from = x.data;
    const to = y.data;
    const e = exp.data;
    for (let i = 0; i < n; i++) to[i] = from[i]! / 2;
    tanhOfHalf();
    power();
    for (let i = 0; i < n; i++) to[i] = from[i]! > 0 ? from[i]! : to[i]! * (e[i]! + 1);
  };
}

/**
 * Stacks of dilated convolutions (van den Oord et al. 2016) as Neural Amp Modeler has them: z = activation(conv(x) + mixin(input)), with a
 * gate or without; the head takes in z, and the next layer x + W z + b. The head of each stack is where the next starts.
 */
function waveNetStage(
  arena: Arena,
  dtype: FloatDtype,
  input: FloatTensor,
  { blocks, scale }: Extract<StreamingLayer, { type: "wavenet" }>,
): Stage {
  const stages: Stage[] = [];
  const push = (stage: Stage): FloatTensor => {
    stages.push(stage);
    return stage.output;
  };
  /** y += x, element by element. */
  const add = (y: FloatTensor, x: FloatTensor): void => {
    const n = x.shape[1]!;
    push({
      output: y,
      step() {
        const to = y.data;
        const from = x.data;
        for (let i = 0; i < n; i++) to[i] = to[i]! + from[i]!;
      },
    });
  };
  const dense = (x: FloatTensor, weight: Tensor, bias: Tensor | undefined): FloatTensor =>
    push(denseStage(arena, dtype, x, { type: "dense", weight, bias }));
  let x = input;
  let head: FloatTensor | undefined;
  for (const block of blocks) {
    x = dense(x, block.rechannel, undefined);
    for (const layer of block.layers) {
      const mixed = dense(input, layer.mixin, undefined);
      const z = push(convolutionStage(arena, dtype, x, layer.convolution));
      add(z, mixed);
      const activated = push(
        block.gated
          ? gatedStage(arena, dtype, z, block.activation)
          : activationStage(arena, dtype, z, block.activation),
      );
      if (head) add(head, activated);
      else {
        // a copy: the next layers add to it
        const sum: FloatTensor = arena.zeros("head", dtype, activated.shape);
        push({ output: sum, step: () => void sum.data.set(activated.data) });
        head = sum;
      }
      const next = dense(activated, layer.output.weight, layer.output.bias);
      add(next, x);
      x = next;
    }
    head = dense(head!, block.head.weight, block.head.bias);
  }
  const last = head!;
  push({
    output: last,
    step() {
      const y = last.data;
      for (let i = 0; i < y.length; i++) y[i] = y[i]! * scale;
    },
  });
  return {
    output: last,
    step() {
      for (let i = 0; i < stages.length; i++) stages[i]!.step();
    },
    reset() {
      for (const stage of stages) stage.reset?.();
      last.fill(0);
    },
  };
}

function denseStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: StreamingLayer & { type: "dense" }): Stage {
  const weight: FloatTensor = arena.copy("weight", layer.weight, dtype, ["out", x.shape[1]!]);
  const outFeatures = weight.shape[0]!;
  const bias: FloatTensor | undefined = layer.bias && arena.copy("bias", layer.bias, dtype, [outFeatures]);
  const output: FloatTensor = arena.zeros("output", dtype, [1, outFeatures]);
  return { output, step: prepareLinear(x, weight, bias, output) };
}

function activationStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, activation: ElementActivation): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  return { output, step: elementwise(activation, x, output) };
}

function softmaxStage(arena: Arena, dtype: FloatDtype, x: FloatTensor): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  return { output, step: prepareSoftmax(x, output) };
}

function preluStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, given: Tensor): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  const n = x.shape[1]!;
  const { data: slope } = takeTensor("slope", given, dtype, ["...", "n"]);
  if (slope.length !== 1 && slope.length !== n) throw new ShapeError("slope", `${slope.length} numbers`, `1 or ${n}`);
  return {
    output,
    step() {
      const input = x.data;
      const y = output.data;
      for (let i = 0; i < n; i++) y[i] = input[i]! > 0 ? input[i]! : input[i]! * slope[slope.length === 1 ? 0 : i]!;
    },
  };
}

/** The output of the layer before, with the first of the model's inputs added. */
export function skipStage(arena: Arena, dtype: FloatDtype, last: FloatTensor, x: FloatTensor, skip: number): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, last.shape);
  const n = last.shape[1]!;
  return {
    output,
    step() {
      const input = x.data;
      const before = last.data;
      const y = output.data;
      for (let i = 0; i < n; i++) y[i] = before[i]! + input[skip === 1 ? 0 : i]!;
    },
  };
}
