// Convolution over time. Its equations are in assembly/layers/conv.ts.

import { ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import {
  conv1dBackward,
  conv1dForward,
  ConvolutionStepper,
  type ConvolutionPass,
  type ConvolutionShape,
} from "../../bindings/layers.js";
import { describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions, type Module, type WasmParameter } from "./layer.js";
import { countWindows, readSequences, stepOrder, windowsOf, type StepOrder, type StepsOptions } from "./steps.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `Conv1d`.
 *
 * @typeParam D the number type
 */
export interface Conv1dOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Steps from one window to the next (default 1). */
  stride?: number | undefined;
  /**
   * Zeros around a sequence (default 0): so many on each side; "same": as many as keep the number of steps, an odd one on the
   * right, with a stride of 1; "causal": all of them before it, so that an output depends on no later step.
   */
  padding?: number | "same" | "causal" | undefined;
  /** Steps from one tap to the next (default 1). */
  dilation?: number | undefined;
  /** Groups of channels, each with outputs of its own; divides both numbers of channels (default 1). */
  groups?: number | undefined;
  /** Whether there is a bias (default true). */
  bias?: boolean | undefined;
  /** Whether x and output are [N,T,C] (default false: [T,N,C]; in a container as its recurrent layers). */
  batchFirst?: boolean | undefined;
}

/** The largest sizes in steps: kernels count in 32 bits. */
export const MOST_STEPS = 2 ** 31 - 1;

/** Checks a number of zeros: an integer >= 0. */
export function checkPadding(value: unknown, expected: string): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > MOST_STEPS) {
    throw new ValueError("padding", describe(value), expected);
  }
}

/**
 * A convolution over time, as PyTorch's [nn.Conv1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html), but with
 * channels last: output[t,o] = bias[o] + the sum over taps k and channels c of weight[o,c,k] x[t stride - padding + k dilation,c].
 *
 * `weight` [out,in/groups,kernelSize] and `bias` [out] are drawn from U(-1/sqrt(n), 1/sqrt(n)), n = in/groups kernelSize.
 *
 * @typeParam D the number type
 */
export class Conv1d<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, ConvolutionPass>;
  readonly #weight: WasmParameter<D>;
  readonly #bias: WasmParameter<D> | undefined;
  readonly #shape: ConvolutionShape;
  readonly #order: StepOrder;
  /** Steps from one window to the next. */
  readonly stride: number;
  /** Zeros around a sequence. */
  readonly padding: number | "same" | "causal";
  /** Steps from one tap to the next. */
  readonly dilation: number;
  /** Groups of channels. */
  readonly groups: number;

  /**
   * Creates the layer with random weights.
   *
   * @param inChannels numbers of a step of x
   * @param outChannels numbers of a step of the output
   * @param kernelSize taps of a window
   * @param options stride, padding, dilation, groups, bias, batchFirst, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** Numbers of a step of x. */
    readonly inChannels: number,
    /** Numbers of a step of the output. */
    readonly outChannels: number,
    /** Taps of a window. */
    readonly kernelSize: number,
    options: Conv1dOptions<D> = {},
  ) {
    checkSize("inChannels", inChannels);
    checkSize("outChannels", outChannels);
    checkSize("kernelSize", kernelSize, MOST_STEPS);
    const known = ["stride", "padding", "dilation", "groups", "bias", "batchFirst", "dtype", "seed"];
    const given = checkOptions("Conv1d", options, known);
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, batchFirst, dtype, seed } = given;
    checkSize("stride", stride, MOST_STEPS);
    checkSize("dilation", dilation, MOST_STEPS);
    checkSize("groups", groups);
    checkFlag("bias", bias);
    if (padding !== "same" && padding !== "causal") checkPadding(padding, 'an integer >= 0, "same" or "causal"');
    if (padding === "same" && stride !== 1) throw new ValueError("padding", "same", "a stride of 1 beside it");
    for (const [name, channels] of Object.entries({ inChannels, outChannels })) {
      if (channels % groups !== 0) throw new ShapeError(name, `${channels}`, `a multiple of groups, ${groups}`);
    }
    const width = inChannels / groups;
    const draw = initialDraw(new Random(seed), width * kernelSize);
    const shapes: [string, number[]][] = [["weight", [outChannels, width, kernelSize]]];
    if (bias) shapes.push(["bias", [outChannels]]);
    const memory = new LayerMemory<D, ConvolutionPass>("Conv1d", dtype);
    super(memory);
    this.#memory = memory;
    this.#order = stepOrder(this, { batchFirst });
    [this.#weight, this.#bias] = memory.addParameters(shapes, draw) as [WasmParameter<D>, WasmParameter<D> | undefined];
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    const spare = (kernelSize - 1) * dilation;
    const left = padding === "same" ? Math.floor(spare / 2) : padding === "causal" ? spare : padding;
    const right = padding === "same" ? spare - left : padding === "causal" ? 0 : padding;
    this.#shape = { stride, dilation, groups, left, right };
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /** Whether x and output are [N,T,C]. */
  get batchFirst(): boolean {
    return this.#order.batchFirst ?? false;
  }

  /**
   * Computes the output. Each row is computed as if it were alone: past its end there are zeros, and past its last output, too.
   *
   * @param x [T,N,in], [N,T,in] with batchFirst, or [T,in]
   * @param options lengths of the rows
   * @throws ShapeError, DtypeError, ValueError, DisposedError, OutOfMemoryError
   */
  forward(
    x: Tensor,
    options: StepsOptions = {},
  ): {
    /** [T',N,out], [N,T',out] or [T',out]; T' = floor((T + zeros - (kernelSize - 1) dilation - 1) / stride) + 1. */
    output: Tensor<D>;
    /** The number of outputs of each row, where lengths were given; 0 for a row without steps, or too short for a window. */
    lengths?: number[];
  } {
    const { dtype } = this.#memory;
    const shape = this.#shape;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const expected = { dtype, channels: this.inChannels };
        const sequences = readSequences("Conv1d.forward", x, this.#order.batchFirst, options, expected);
        const span = (this.kernelSize - 1) * this.dilation + 1;
        const padding = shape.left + shape.right;
        const windows = windowsOf(
          sequences,
          (steps) => countWindows(steps, span, this.stride, padding),
          Math.max(1, span - padding),
        );
        // prettier-ignore
        const { y, pass } = conv1dForward(saved, scratch, dtype, sequences.x, this.#weight.value, this.#bias?.value, shape,
          windows);
        const output = y.download() as Tensor<D>;
        return { result: sequences.ragged ? { output, lengths: [...windows.counts] } : { output }, values: pass };
      },
      (pass, { output }, scratch) => {
        const { value, grad } = this.#weight;
        return { x: conv1dBackward(scratch, pass, value, shape, output!, grad, this.#bias?.grad) };
      },
    );
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of the output; what is past a row's last output does not count
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape; zeros past the end of a row. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("Conv1d.backward", gradients, ["output"]));
  }

  /**
   * Runs the layer one step at a time, on a copy of its weights, with the bits of `forward` on the whole sequence. A step returns
   * the output whose window ends there, with zeros before the first step: with padding "causal" that is output t, and with
   * padding 0 output t - (kernelSize - 1) dilation, once there is one.
   *
   * @param options the number of rows
   * @throws UnsupportedError for a stride above 1, and for padding that looks ahead; ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    if (this.stride !== 1) throw new UnsupportedError("stride", `${this.stride}`, "1, for a stream");
    if (this.#shape.right > 0) throw new UnsupportedError("padding", `${this.padding}`, '"causal" or 0, for a stream');
    return {
      core: this.#memory.arena.core,
      dtype: this.dtype,
      features: this.inChannels,
      make: (arena, x) => new ConvolutionStepper(arena, x, this.#weight.value, this.#bias?.value, this.#shape),
    };
  }
}
