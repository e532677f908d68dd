// Non-linearities as layers.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { activationNames, activationBackward, prepareActivation, type ActivationName } from "../../bindings/layers.js";
import { floatDtype, type FloatTensor } from "../../bindings/kernels.js";
import { describe, readTensor, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, lockFields } from "../base/check.js";
import { logSoftmax, softmax } from "../ops/softmax.backward.js";
import { Layer, LayerMemory, type Module } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

const OVER_AXIS = { softmax, logSoftmax };

/**
 * A non-linearity: "tanh", "relu", "sigmoid"; "hardSigmoid", min(max(0.2 x + 0.5, 0), 1) as in Keras; "elu", e^x - 1 below 0;
 * "leakyRelu", 0.01 x below 0; "softmax" and "logSoftmax" over the last axis; "linear", x itself. It has no parameters, and takes
 * f64 and f32.
 */
export class Activation extends Layer<FloatDtype, undefined> implements Module {
  readonly #memory: LayerMemory<FloatDtype, FloatTensor>;
  readonly #overAxis: boolean;

  /**
   * Creates the layer.
   *
   * @param activation its name
   * @throws ValueError
   */
  constructor(
    /** The name of the non-linearity. */
    readonly activation: ActivationName,
  ) {
    const names = activationNames();
    if (!names.includes(activation)) {
      throw new ValueError("activation", describe(activation), names.map((name) => `"${name}"`).join(", "));
    }
    const memory = new LayerMemory<FloatDtype, FloatTensor>("Activation");
    super(memory, true);
    this.#memory = memory;
    this.#overAxis = activation === "softmax" || activation === "logSoftmax";
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /**
   * Computes y.
   *
   * @param x of f64 or f32, in any shape; softmax and logSoftmax want at least one axis
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward<D extends FloatDtype = FloatDtype>(
    x: Tensor<D> | Tensor,
  ): {
    /** y, in the shape of x. */
    output: Tensor<D>;
  } {
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const read = readTensor("x", x);
        const dtype = floatDtype("x", read);
        if (this.#overAxis && read.shape.length === 0) throw new ShapeError("x", "[]", "at least one axis");
        const input: FloatTensor = scratch.copyChecked("x", read, dtype);
        const y: FloatTensor = saved.allocate("output", dtype, input.shape);
        prepareActivation(this.activation, input, y)();
        return { result: { output: y.download() as Tensor<D> }, values: y };
      },
      (y, { output }, scratch) => {
        const { activation } = this;
        const dy: FloatTensor = scratch.upload("output", output!, y.dtype, y.shape);
        if (activation !== "softmax" && activation !== "logSoftmax") {
          return { x: activationBackward(scratch, activation, y, dy) };
        }
        const call = { inputs: [y], outputs: [y], attributes: undefined, gradients: [dy] };
        return { x: OVER_AXIS[activation].backward(scratch, call)[0] };
      },
    );
  }

  /**
   * Computes the gradient of x. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward<D extends FloatDtype = FloatDtype>(gradients: {
    output: Tensor<D> | Tensor;
  }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("Activation.backward", gradients, ["output"]));
  }

  /**
   * Runs the layer one step at a time, on rows of any size.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError
   */
  stream(options: LayerStreamOptions = {}): LayerStream {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    return {
      core: this.#memory.arena.core,
      dtype: undefined,
      features: undefined,
      make: (arena, x) => {
        const output: FloatTensor = arena.zeros("output", x.dtype, x.shape);
        return { output, run: prepareActivation(this.activation, x, output) };
      },
    };
  }
}
