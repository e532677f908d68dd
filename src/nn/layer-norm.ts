// Layer normalisation. Its equations are in assembly/layernorm.ts.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { prepareLayerNorm } from "../../bindings/frames.js";
import { layerNormBackward, layerNormForward, type FloatTensor, type Normalized } from "../../bindings/kernels.js";
import { checkDimensions, describe, sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Layer, LayerMemory, type Module, type WasmParameter } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `LayerNorm`.
 *
 * @typeParam D the number type
 */
export interface LayerNormOptions<D extends FloatDtype = FloatDtype> {
  /** Added to the variance (default 1e-5). */
  eps?: number | undefined;
  /** Whether there are `weight` and `bias` (default true). */
  elementwiseAffine?: boolean | undefined;
  /** Number type of the parameters, inputs and outputs: "f64" (default) or "f32". */
  dtype?: D | undefined;
}

/**
 * y = weight (x - mean) / sqrt(variance + eps) + bias, with mean and variance over the last axes of x (Ba, Kiros & Hinton
 * 2016), as PyTorch's [nn.LayerNorm](https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html): `weight` starts as
 * ones, `bias` as zeros, both in the shape of those axes.
 *
 * @typeParam D the number type
 */
export class LayerNorm<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, Normalized>;
  /** The lengths of the last axes of x, over which mean and variance are taken. */
  readonly normalizedShape: readonly number[];
  /** Added to the variance. */
  readonly eps: number;
  readonly #size: number;
  readonly #weight: WasmParameter<D> | undefined;
  readonly #bias: WasmParameter<D> | undefined;

  /**
   * Creates the layer.
   *
   * @param normalizedShape the lengths of the last axes of x, or of the last one
   * @param options eps, elementwiseAffine, dtype
   * @throws ShapeError, ValueError, UnsupportedError, OutOfMemoryError
   */
  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions<D> = {}) {
    const shape = Array.isArray(normalizedShape)
      ? checkDimensions("normalizedShape", normalizedShape)
      : [normalizedShape as number];
    if (shape.length === 0) throw new ShapeError("normalizedShape", "[]", "at least one axis");
    for (const n of shape) checkSize("normalizedShape", n);
    if (sizeOf(shape) >= 2 ** 31) throw new ShapeError("normalizedShape", `${sizeOf(shape)} numbers`, "below 2^31");
    const given = checkOptions("LayerNorm", options, ["eps", "elementwiseAffine", "dtype"]);
    const { eps = 1e-5, elementwiseAffine = true, dtype } = given;
    if (typeof eps !== "number" || !(eps >= 0 && eps < Infinity)) {
      throw new ValueError("eps", describe(eps), "a finite number >= 0");
    }
    checkFlag("elementwiseAffine", elementwiseAffine);
    const memory = new LayerMemory<D, Normalized>("LayerNorm", dtype);
    super(memory);
    this.#memory = memory;
    this.normalizedShape = Object.freeze(shape);
    this.eps = eps;
    this.#size = sizeOf(shape);
    if (elementwiseAffine) {
      const shapes = [["weight", shape, (value: FloatTensor) => value.fill(1)] as const, ["bias", shape] as const];
      [this.#weight, this.#bias] = memory.addParameters(shapes) as [WasmParameter<D>, WasmParameter<D>];
    }
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /**
   * Normalises x.
   *
   * @param x [..., normalizedShape]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** y, in the shape of x. */
    output: Tensor<D>;
  } {
    const { dtype } = this.#memory;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const input: FloatTensor = saved.copy("x", x, dtype, ["...", ...this.normalizedShape]);
        const rows = input.shape.slice(0, -this.normalizedShape.length);
        const statistic = (name: string): FloatTensor => saved.allocate(name, dtype, rows);
        const values = { x: input, mean: statistic("mean"), rstd: statistic("rstd") };
        const output = layerNormForward(scratch, dtype, {
          ...values,
          n: this.#size,
          weight: this.#weight?.value,
          bias: this.#bias?.value,
          eps: this.eps,
        });
        return { result: { output: output.download() as Tensor<D> }, values };
      },
      (values, { output }, scratch) => ({
        x: layerNormBackward(scratch, dtype, {
          ...values,
          n: this.#size,
          weight: this.#weight?.value,
          dy: output!,
          dWeight: this.#weight?.grad,
          dBias: this.#bias?.grad,
        }),
      }),
    );
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("LayerNorm.backward", gradients, ["output"]));
  }

  /**
   * Runs the layer one step at a time, on a copy of its weights. A row is as many numbers as `normalizedShape` has.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    const { dtype, eps } = this;
    return {
      core: this.#memory.arena.core,
      dtype,
      features: this.#size,
      make: (arena, x) => {
        const copy = (parameter: WasmParameter<D> | undefined): FloatTensor | undefined =>
          parameter && arena.copy(parameter.name, parameter.value, dtype, this.normalizedShape);
        const output: FloatTensor = arena.zeros("output", dtype, x.shape);
        return { output, run: prepareLayerNorm(x, copy(this.#weight), copy(this.#bias), eps, output) };
      },
    };
  }
}
