// The dense layer.

import { prepareLinear } from "../../bindings/frames.js";
import { linearBackward, linearForward, type FloatTensor } from "../../bindings/kernels.js";
import type { FloatDtype, Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions, type Module, type WasmParameter } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `Linear`.
 *
 * @typeParam D the number type
 */
export interface LinearOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Whether there is a bias (default true). */
  bias?: boolean | undefined;
}

/**
 * y = x W^T + b, as PyTorch's [nn.Linear](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html): `weight` [out,in] and
 * `bias` [out], drawn from U(-1/sqrt(in), 1/sqrt(in)).
 *
 * @typeParam D the number type
 */
export class Linear<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, FloatTensor>;
  readonly #weight: WasmParameter<D>;
  readonly #bias: WasmParameter<D> | undefined;

  /**
   * Creates the layer with random weights.
   *
   * @param inFeatures size of an input row
   * @param outFeatures size of an output row
   * @param options bias, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** Size of an input row. */
    readonly inFeatures: number,
    /** Size of an output row. */
    readonly outFeatures: number,
    options: LinearOptions<D> = {},
  ) {
    checkSize("inFeatures", inFeatures);
    checkSize("outFeatures", outFeatures);
    const { bias = true, dtype, seed } = checkOptions("Linear", options, ["bias", "dtype", "seed"]);
    checkFlag("bias", bias);
    const draw = initialDraw(new Random(seed), inFeatures);
    const shapes: [string, number[]][] = [["weight", [outFeatures, inFeatures]]];
    if (bias) shapes.push(["bias", [outFeatures]]);
    const memory = new LayerMemory<D, FloatTensor>("Linear", dtype);
    super(memory);
    this.#memory = memory;
    [this.#weight, this.#bias] = memory.addParameters(shapes, draw) as [WasmParameter<D>, WasmParameter<D> | undefined];
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /**
   * Computes y for every row of x.
   *
   * @param x [..., in]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** y [..., out]. */
    output: Tensor<D>;
  } {
    const { dtype } = this.#memory;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const values: FloatTensor = saved.copy("x", x, dtype, ["...", this.inFeatures]);
        const y = linearForward(scratch, dtype, { x: values, weight: this.#weight.value, bias: this.#bias?.value });
        return { result: { output: y.download() as Tensor<D> }, values };
      },
      (values, { output }, scratch) => {
        const gradients = { dWeight: this.#weight.grad, dBias: this.#bias?.grad };
        const args = { x: values, weight: this.#weight.value, dy: output!, ...gradients };
        return { x: linearBackward(scratch, dtype, args) };
      },
    );
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output [..., out]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x [..., in]. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("Linear.backward", gradients, ["output"]));
  }

  /**
   * Runs the layer one step at a time, on a copy of its weights.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    const { dtype, inFeatures, outFeatures } = this;
    return {
      core: this.#memory.arena.core,
      dtype,
      features: inFeatures,
      make: (arena, x) => {
        const weight: FloatTensor = arena.copy("weight", this.#weight.value, dtype, [outFeatures, inFeatures]);
        const bias: FloatTensor | undefined = this.#bias && arena.copy("bias", this.#bias.value, dtype, [outFeatures]);
        const output: FloatTensor = arena.zeros("output", dtype, [x.shape[0]!, outFeatures]);
        return { output, run: prepareLinear(x, weight, bias, output) };
      },
    };
  }
}
