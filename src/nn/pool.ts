// Pooling over time. Its equations are in assembly/layers/pool.ts.

import { ValueError } from "../../bindings/errors.js";
import { poolBackward, poolForward, type PoolKind, type PoolPass, type PoolShape } from "../../bindings/layers.js";
import type { FloatDtype, Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize, lockFields } from "../base/check.js";
import { checkSealed, sealed } from "../base/sealed.js";
import { checkPadding, MOST_STEPS } from "./conv1d.js";
import { Layer, LayerMemory, type Module } from "./layer.js";
import { countWindows, readSequences, stepOrder, windowsOf, type StepOrder, type StepsOptions } from "./steps.js";

/** Options of `MaxPool1d` and `AvgPool1d`. */
export interface PoolOptions {
  /** Steps from one window to the next (default kernelSize). */
  stride?: number | undefined;
  /** Steps that windows reach past each end of a sequence, at most half of kernelSize (default 0). */
  padding?: number | undefined;
  /** Whether x and output are [N,T,C] (default false: [T,N,C]; in a container as its recurrent layers). */
  batchFirst?: boolean | undefined;
}

/** The base of the two. */
abstract class Pool extends Layer<FloatDtype, undefined> implements Module {
  readonly #memory: LayerMemory<FloatDtype, PoolPass>;
  readonly #kind: PoolKind;
  readonly #shape: PoolShape;
  readonly #order: StepOrder;
  /** Steps from one window to the next. */
  readonly stride: number;
  /** Steps that windows reach past each end of a sequence. */
  readonly padding: number;

  protected constructor(
    own: { readonly name: string; readonly kind: PoolKind },
    /** Steps of a window. */
    readonly kernelSize: number,
    options: PoolOptions,
  ) {
    checkSealed("Pool", own, "MaxPool1d or AvgPool1d");
    checkSize("kernelSize", kernelSize, MOST_STEPS);
    const given = checkOptions(own.name, options, ["stride", "padding", "batchFirst"]);
    const { stride = kernelSize, padding = 0, batchFirst } = given;
    checkSize("stride", stride, MOST_STEPS);
    const most = Math.floor(kernelSize / 2);
    const expected = `an integer from 0 to ${most}, half of kernelSize`;
    checkPadding(padding, expected);
    if (padding > most) throw new ValueError("padding", `${padding}`, expected);
    const memory = new LayerMemory<FloatDtype, PoolPass>(own.name);
    super(memory, true);
    this.#memory = memory;
    this.#kind = own.kind;
    this.#order = stepOrder(this, { batchFirst });
    this.#shape = { taps: kernelSize, stride, left: padding };
    this.stride = stride;
    this.padding = padding;
    lockFields(this);
  }

  /** Whether x and output are [N,T,C]. */
  get batchFirst(): boolean {
    return this.#order.batchFirst ?? false;
  }

  /**
   * Computes the output. Each row is computed as if it were alone; past its last output there are zeros.
   *
   * @param x [T,N,C], [N,T,C] with batchFirst, or [T,C], of f64 or f32
   * @param options lengths of the rows
   * @throws ShapeError, DtypeError, ValueError, DisposedError, OutOfMemoryError
   */
  forward<D extends FloatDtype = FloatDtype>(
    x: Tensor<D> | Tensor,
    options: StepsOptions = {},
  ): {
    /** [T',N,C], [N,T',C] or [T',C]; T' = floor((T + 2 padding - kernelSize) / stride) + 1. */
    output: Tensor<D>;
    /** The number of outputs of each row, where lengths were given; 0 for a row without steps, or too short for a window. */
    lengths?: number[];
  } {
    const { taps, stride, left } = this.#shape;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch, { keep }) => {
        const sequences = readSequences(`${this.#memory.kind}.forward`, x, this.#order.batchFirst, options);
        const windows = windowsOf(
          sequences,
          (steps) => countWindows(steps, taps, stride, 2 * left),
          Math.max(1, taps - 2 * left),
        );
        const input = scratch.copyChecked("x", sequences.x, sequences.dtype);
        const { y, pass } = poolForward(saved, scratch, this.#kind, input, this.#shape, windows, keep);
        const output = y.download() as Tensor<D>;
        return { result: sequences.ragged ? { output, lengths: [...windows.counts] } : { output }, values: pass };
      },
      (pass, { output }, scratch) => ({ x: poolBackward(scratch, this.#kind, pass, this.#shape, output!) }),
    );
  }

  /**
   * Computes the gradient of x. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of the output; what is past a row's last output does not count
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward<D extends FloatDtype = FloatDtype>(gradients: {
    output: Tensor<D> | Tensor;
  }): {
    /** The gradient of x, in its shape; zeros past the end of a row. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions(`${this.#memory.kind}.backward`, gradients, ["output"]));
  }
}

/**
 * The largest number of each window over time, as PyTorch's
 * [nn.MaxPool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html), but with channels last. Padding never is the
 * largest; a NaN is. The gradient goes to the first of equal numbers. It has no parameters, and takes f64 and f32.
 */
export class MaxPool1d extends Pool {
  /**
   * Creates the layer.
   *
   * @param kernelSize steps of a window
   * @param options stride, padding, batchFirst
   * @throws ShapeError, ValueError, UnsupportedError (an unknown option)
   */
  constructor(kernelSize: number, options: PoolOptions = {}) {
    super(sealed({ name: "MaxPool1d", kind: "max" }), kernelSize, options);
  }
}

/**
 * The mean of each window over time, as PyTorch's
 * [nn.AvgPool1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html), but with channels last. Padding counts as
 * zeros: the sum is always divided by kernelSize. It has no parameters, and takes f64 and f32.
 */
export class AvgPool1d extends Pool {
  /**
   * Creates the layer.
   *
   * @param kernelSize steps of a window
   * @param options stride, padding, batchFirst
   * @throws ShapeError, ValueError, UnsupportedError (an unknown option)
   */
  constructor(kernelSize: number, options: PoolOptions = {}) {
    super(sealed({ name: "AvgPool1d", kind: "average" }), kernelSize, options);
  }
}
