// Layer normalisation. Its equations are in assembly/layernorm.ts.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { layerNormBackward, layerNormForward, type FloatTensor, type Normalized } from "../../bindings/kernels.js";
import { describe, sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, Layer, type WasmParameter } from "./layer.js";

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
export class LayerNorm extends Layer<Normalized> {
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
      ? [...(normalizedShape as readonly number[])]
      : [normalizedShape as number];
    if (shape.length === 0) throw new ShapeError("normalizedShape", "[]", "at least one axis");
    for (const n of shape) checkSize("normalizedShape", n);
    if (sizeOf(shape) >= 2 ** 31) throw new ShapeError("normalizedShape", `${sizeOf(shape)} numbers`, "below 2^31");
    checkOptions("LayerNorm", options, ["eps", "elementwiseAffine", "dtype"]);
    const { eps = 1e-5, elementwiseAffine = true, dtype } = options;
    if (typeof eps !== "number" || !(eps >= 0 && eps < Infinity)) {
      throw new ValueError("eps", describe(eps), "a finite number >= 0");
    }
    checkFlag("elementwiseAffine", elementwiseAffine);
    super("LayerNorm", dtype);
    this.normalizedShape = Object.freeze(shape);
    this.eps = eps;
    this.#size = sizeOf(shape);
    if (elementwiseAffine) {
      const shapes = ["weight", "bias"].map((name) => [name, shape] as const);
      [this.#weight, this.#bias] = this.addParameters(shapes, () => 1) as [WasmParameter, WasmParameter];
      this.#bias.value.fill(0);
    }
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
    return this.record((keep, scratch) => {
      const taken = keep.copy("x", x, this.dtype, ["...", ...this.normalizedShape]);
      const rows = taken.shape.slice(0, -this.normalizedShape.length);
      const statistic = (name: string): FloatTensor => keep.allocate(name, this.dtype, rows);
      const tape = { x: taken, mean: statistic("mean"), rstd: statistic("rstd") };
      const output = layerNormForward(scratch, this.dtype, {
        ...tape,
        n: this.#size,
        weight: this.#weight?.value,
        bias: this.#bias?.value,
        eps: this.eps,
      });
      return { result: { output: output.download() }, tape };
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
    checkOptions("LayerNorm.backward", gradients, ["output"]);
    return this.replay((tape, scratch) => {
      const dx = layerNormBackward(scratch, this.dtype, {
        ...tape,
        n: this.#size,
        weight: this.#weight?.value,
        dy: gradients.output,
        dWeight: this.#weight?.grad,
        dBias: this.#bias?.grad,
      });
      return { x: dx.download() };
    });
  }
}
