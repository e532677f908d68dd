// Layer normalisation. Its equations are in assembly/layernorm.ts.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { layerNormBackward, layerNormForward, type FloatTensor, type Normalized } from "../../bindings/kernels.js";
import { checkDimensions, describe, sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Layer, LayerMemory, type WasmParameter } from "./layer.js";

/** Options of `LayerNorm`. */
export interface LayerNormOptions {
  /** Added to the variance (default 1e-5). */
  eps?: number;
  /** Whether there are `weight` and `bias` (default true). */
  elementwiseAffine?: boolean;
  /** "f64" (default) or "f32". */
  dtype?: FloatDtype;
}

/**
 * y = weight (x - mean) / sqrt(variance + eps) + bias, with mean and variance over the last axes of x (Ba, Kiros & Hinton
 * 2016), as PyTorch's [nn.LayerNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html): `weight` starts with
 * ones, `bias` with zeros, both in the shape of those axes.
 */
export class LayerNorm extends Layer {
  readonly #memory: LayerMemory<Normalized>;
  /** The lengths of the last axes of x, over which mean and variance are taken. */
  readonly normalizedShape: readonly number[];
  /** What is added to the variance. */
  readonly eps: number;
  readonly #size: number;
  readonly #weight: WasmParameter | undefined;
  readonly #bias: WasmParameter | undefined;

  /**
   * @param normalizedShape the lengths of the last axes of x, or of the last one
   * @param options eps, elementwiseAffine, dtype
   * @throws ShapeError, ValueError, UnsupportedError, OutOfMemoryError
   */
  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    const shape = Array.isArray(normalizedShape)
      ? checkDimensions("normalizedShape", normalizedShape)
      : [normalizedShape as number];
    if (shape.length === 0) throw new ShapeError("normalizedShape", "[]", "at least one axis");
    for (const n of shape) checkSize("normalizedShape", n);
    if (sizeOf(shape) >= 2 ** 31) throw new ShapeError("normalizedShape", `${sizeOf(shape)} numbers`, "below 2^31");
    const taken = checkOptions("LayerNorm", options, ["eps", "elementwiseAffine", "dtype"]);
    const { eps = 1e-5, elementwiseAffine = true, dtype } = taken;
    if (typeof eps !== "number" || !(eps >= 0 && eps < Infinity)) {
      throw new ValueError("eps", describe(eps), "a finite number >= 0");
    }
    checkFlag("elementwiseAffine", elementwiseAffine);
    const memory = new LayerMemory<Normalized>("LayerNorm", dtype);
    super(memory);
    this.#memory = memory;
    this.normalizedShape = Object.freeze(shape);
    this.eps = eps;
    this.#size = sizeOf(shape);
    if (elementwiseAffine) {
      const shapes = ["weight", "bias"].map((name) => [name, shape] as const);
      [this.#weight, this.#bias] = memory.addParameters(shapes, () => 1) as [WasmParameter, WasmParameter];
      this.#bias.value.fill(0);
    }
    lockFields(this);
  }

  /**
   * Normalises.
   *
   * @param x [..., normalizedShape]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** y, in the shape of x. */
    output: Tensor;
  } {
    const { dtype } = this.#memory;
    return this.#memory.record((saved, scratch) => {
      const taken: FloatTensor = saved.copy("x", x, dtype, ["...", ...this.normalizedShape]);
      const rows = taken.shape.slice(0, -this.normalizedShape.length);
      const statistic = (name: string): FloatTensor => saved.allocate(name, dtype, rows);
      const values = { x: taken, mean: statistic("mean"), rstd: statistic("rstd") };
      const output = layerNormForward(scratch, dtype, {
        ...values,
        n: this.#size,
        weight: this.#weight?.value,
        bias: this.#bias?.value,
        eps: this.eps,
      });
      return { result: { output: output.download() }, values };
    });
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor;
  } {
    const { output } = checkOptions("LayerNorm.backward", gradients, ["output"]);
    return this.#memory.replay((values, scratch) => {
      const dx = layerNormBackward(scratch, this.#memory.dtype, {
        ...values,
        n: this.#size,
        weight: this.#weight?.value,
        dy: output,
        dWeight: this.#weight?.grad,
        dBias: this.#bias?.grad,
      });
      return { x: dx.download() };
    });
  }
}
