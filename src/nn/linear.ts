// The dense layer.

import { linearBackward, linearForward, type FloatTensor } from "../../bindings/kernels.js";
import type { Tensor } from "../../bindings/tensor.js";
import { Random } from "../random.js";
import {
  checkFlag,
  checkOptions,
  checkSize,
  initialDraw,
  Layer,
  type LayerOptions,
  type WasmParameter,
} from "./layer.js";

/** Options of `Linear`. */
export interface LinearOptions extends LayerOptions {
  /** Whether there is a bias (default true). */
  bias?: boolean;
}

/**
 * y = x W^T + b, as PyTorch's [nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html): `weight` [out,in] and
 * `bias` [out], drawn from U(-1/sqrt(in), 1/sqrt(in)).
 */
export class Linear extends Layer<FloatTensor> {
  readonly #weight: WasmParameter;
  readonly #bias: WasmParameter | undefined;

  /**
   * @param inFeatures numbers of an input
   * @param outFeatures numbers of an output
   * @param options bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** Numbers of an input. */
    readonly inFeatures: number,
    /** Numbers of an output. */
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    checkOptions("Linear", options, ["bias", "dtype", "seed"]);
    checkSize("inFeatures", inFeatures);
    checkSize("outFeatures", outFeatures);
    const { bias = true, dtype, seed } = options;
    checkFlag("bias", bias);
    super("Linear", dtype);
    const draw = initialDraw(new Random(seed), inFeatures);
    const shapes: [string, number[]][] = [["weight", [outFeatures, inFeatures]]];
    if (bias) shapes.push(["bias", [outFeatures]]);
    [this.#weight, this.#bias] = this.addParameters(shapes, draw) as [WasmParameter, WasmParameter | undefined];
  }

  /**
   * Every row of x on its own.
   *
   * @param x [..., in]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** y [..., out]. */
    output: Tensor;
  } {
    return this.record((keep, scratch) => {
      const tape = keep.copy("x", x, this.dtype, ["...", this.inFeatures]);
      const y = linearForward(scratch, this.dtype, { x: tape, weight: this.#weight.value, bias: this.#bias?.value });
      return { result: { output: y.download() }, tape };
    });
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned
   * @param gradients.output [..., out]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x [..., in]. */
    x: Tensor;
  } {
    checkOptions("Linear.backward", gradients, ["output"]);
    return this.replay((x, scratch) => {
      const dx = linearBackward(scratch, this.dtype, {
        x,
        weight: this.#weight.value,
        dy: gradients.output,
        dWeight: this.#weight.grad,
        dBias: this.#bias?.grad,
      });
      return { x: dx.download() };
    });
  }
}
