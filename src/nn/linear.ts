// The dense layer.

import { linearBackward, linearForward, type FloatTensor } from "../../bindings/kernels.js";
import type { Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions, type WasmParameter } from "./layer.js";

/** Options of `Linear`. */
export interface LinearOptions extends LayerOptions {
  /** Whether there is a bias (default true). */
  bias?: boolean;
}

/**
 * y = x W^T + b, as PyTorch's [nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html): `weight` [out,in] and
 * `bias` [out], drawn from U(-1/sqrt(in), 1/sqrt(in)).
 */
export class Linear extends Layer {
  readonly #memory: LayerMemory<FloatTensor>;
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
    checkSize("inFeatures", inFeatures);
    checkSize("outFeatures", outFeatures);
    const { bias = true, dtype, seed } = checkOptions("Linear", options, ["bias", "dtype", "seed"]);
    checkFlag("bias", bias);
    const draw = initialDraw(new Random(seed), inFeatures);
    const shapes: [string, number[]][] = [["weight", [outFeatures, inFeatures]]];
    if (bias) shapes.push(["bias", [outFeatures]]);
    const memory = new LayerMemory<FloatTensor>("Linear", dtype);
    super(memory);
    this.#memory = memory;
    [this.#weight, this.#bias] = memory.addParameters(shapes, draw) as [WasmParameter, WasmParameter | undefined];
    lockFields(this);
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
    const { dtype } = this.#memory;
    return this.#memory.record((saved, scratch) => {
      const values: FloatTensor = saved.copy("x", x, dtype, ["...", this.inFeatures]);
      const y = linearForward(scratch, dtype, { x: values, weight: this.#weight.value, bias: this.#bias?.value });
      return { result: { output: y.download() }, values };
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
    const { output } = checkOptions("Linear.backward", gradients, ["output"]);
    return this.#memory.replay((x, scratch) => {
      const dx = linearBackward(scratch, this.#memory.dtype, {
        x,
        weight: this.#weight.value,
        dy: output,
        dWeight: this.#weight.grad,
        dBias: this.#bias?.grad,
      });
      return { x: dx.download() };
    });
  }
}
