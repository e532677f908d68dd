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

export interface LinearOptions extends LayerOptions {
  /** Whether there is a bias (default true). */
  bias?: boolean;
}

/**
 * y = x W^T + b, as PyTorch's nn.Linear: `weight` [out,in] and `bias` [out], drawn from U(-1/sqrt(in), 1/sqrt(in)).
 */
export class Linear extends Layer<FloatTensor> {
  readonly #weight: WasmParameter;
  readonly #bias: WasmParameter | undefined;

  constructor(
    readonly inFeatures: number,
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
   * @param x [..., in]
   * @returns output [..., out]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): { output: Tensor } {
    return this.record((keep, scratch) => {
      const tape = keep.copy("x", x, this.dtype, ["...", this.inFeatures]);
      const y = linearForward(scratch, this.dtype, { x: tape, weight: this.#weight.value, bias: this.#bias?.value });
      return { result: { output: y.download() }, tape };
    });
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients.output [..., out]
   * @returns x [..., in]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): { x: Tensor } {
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
