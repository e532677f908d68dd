// PReLU: a ReLU whose slope below 0 is learned. Its equations are in assembly/layers/activation.ts.

import { ValueError } from "../../bindings/errors.js";
import { preluBackward, preparePrelu } from "../../bindings/layers.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize, lockFields } from "../base/check.js";
import { Layer, LayerMemory, type Module, type WasmParameter } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `PReLU`.
 *
 * @typeParam D the number type
 */
export interface PReLUOptions<D extends FloatDtype = FloatDtype> {
  /** The slope at first (default 0.25). */
  init?: number | undefined;
  /** Number type of the parameters, inputs and outputs: "f64" (default) or "f32". */
  dtype?: D | undefined;
}

/**
 * x where x > 0, else weight x (He et al. 2015), as PyTorch's
 * [nn.PReLU](https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html): `weight` [numParameters], one slope for all numbers or
 * one for each channel, which is the last axis.
 *
 * @typeParam D the number type
 */
export class PReLU<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, FloatTensor>;
  readonly #weight: WasmParameter<D>;

  /**
   * Creates the layer.
   *
   * @param numParameters 1, or the number of channels
   * @param options init, dtype
   * @throws ShapeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** 1, or the number of channels. */
    readonly numParameters = 1,
    options: PReLUOptions<D> = {},
  ) {
    checkSize("numParameters", numParameters);
    const { init = 0.25, dtype } = checkOptions("PReLU", options, ["init", "dtype"]);
    if (!Number.isFinite(init)) throw new ValueError("init", describe(init), "a finite number");
    const memory = new LayerMemory<D, FloatTensor>("PReLU", dtype);
    super(memory);
    this.#memory = memory;
    [this.#weight] = memory.addParameters([["weight", [numParameters]]], (value) => value.fill(init)) as [
      WasmParameter<D>,
    ];
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /**
   * Computes y.
   *
   * @param x [..., C], C = numParameters unless that is 1
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
        const channels = this.numParameters === 1 ? "C" : this.numParameters;
        const values: FloatTensor = saved.copy("x", x, dtype, ["...", channels]);
        const y: FloatTensor = scratch.allocate("output", dtype, values.shape);
        preparePrelu(values, this.#weight.value, y)();
        return { result: { output: y.download() as Tensor<D> }, values };
      },
      (x, { output }, scratch) => ({
        x: preluBackward(scratch, x, this.#weight.value, output!, this.#weight.grad),
      }),
    );
  }

  /**
   * Adds to the gradient of the slope. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("PReLU.backward", gradients, ["output"]));
  }

  /**
   * Runs the layer one step at a time, on a copy of the slope; with one slope on rows of any size.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    const { dtype, numParameters } = this;
    const weight = this.#weight.value.download(); // now: the first step may come after changes
    return {
      core: this.#memory.arena.core,
      dtype,
      features: numParameters === 1 ? undefined : numParameters,
      make: (arena, x) => {
        const slope: FloatTensor = arena.copyChecked("weight", weight, dtype);
        const output: FloatTensor = arena.zeros("output", dtype, x.shape);
        return { output, run: preparePrelu(x, slope, output) };
      },
    };
  }
}
