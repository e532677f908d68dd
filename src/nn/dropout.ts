// Dropout: sets numbers to 0 at random in training.

import { mul } from "../../bindings/kernels.js";
import type { Arena, WasmTensor } from "../../bindings/memory.js";
import type { FloatDtype, Tensor } from "../../bindings/tensor.js";
import { checkOptions, lockFields } from "../base/check.js";
import { checkProbability, fillMask } from "../base/mask.js";
import { Random } from "../base/random.js";
import { Layer, LayerMemory, type LayerOptions, type Module } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions } from "./stream.js";
import { setTraits } from "./traits.js";

/**
 * Options of `Dropout`; the seed is that of the masks.
 *
 * @typeParam D the number type
 */
export type DropoutOptions<D extends FloatDtype = FloatDtype> = LayerOptions<D>;

/** A new mask, of `fillMask`. */
export function drawMask<D extends FloatDtype>(
  arena: Arena,
  purpose: string,
  dtype: D,
  shape: readonly number[],
  p: number,
  random: Random,
): WasmTensor<D> {
  const mask = arena.allocate(`mask of ${purpose}`, dtype, shape);
  fillMask(mask.data, p, random);
  return mask;
}

/**
 * In training mode sets each number to 0 with probability p and scales the others by 1 / (1 - p), a new choice in
 * each forward pass; in inference mode changes nothing (Srivastava et al. 2014). As PyTorch's
 * [nn.Dropout](https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html). It has no parameters.
 *
 * @typeParam D the number type
 */
export class Dropout<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, WasmTensor<D> | undefined>;
  /** The generator of the masks. Setting its `state` continues from there. */
  readonly random: Random;

  /**
   * Creates the layer.
   *
   * @param p probability of a 0, from 0 to 1 (default 0.5)
   * @param options dtype, and the seed of the masks
   * @throws ValueError, UnsupportedError
   */
  constructor(
    /** Probability of a 0. */
    readonly p = 0.5,
    options: DropoutOptions<D> = {},
  ) {
    checkProbability("p", p);
    const { dtype, seed } = checkOptions("Dropout", options, ["dtype", "seed"]);
    const random = new Random(seed);
    const memory = new LayerMemory<D, WasmTensor<D> | undefined>("Dropout", dtype);
    super(memory);
    this.#memory = memory;
    this.random = random;
    setTraits(this, { randoms: { random } });
    setStreamPlan(this, () => {
      memory.checkAlive();
      return {
        core: memory.arena.core,
        dtype: memory.dtype,
        features: undefined,
        make: (_, x) => ({ output: x, run: () => {} }),
      };
    });
    lockFields(this);
  }

  /**
   * Drops numbers at random in training mode.
   *
   * @param x [...]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** In the shape of x. */
    output: Tensor<D>;
  } {
    const { dtype } = this.#memory;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch, { training }) => {
        const output = scratch.copy("x", x, dtype, ["..."]);
        const values = training ? drawMask(saved, "dropout", dtype, output.shape, this.p, this.random) : undefined;
        if (values) mul(output, values);
        return { result: { output: output.download() }, values };
      },
      (mask, { output }, scratch) => {
        if (!mask) return { x: output }; // recorded in inference mode
        const d = scratch.copy("output", output!, dtype, mask.shape);
        mul(d, mask);
        return { x: d };
      },
    );
  }

  /**
   * Applies the mask of the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("Dropout.backward", gradients, ["output"]));
  }

  /**
   * Hands on the numbers of a step as they are: a stream drops none, in either mode.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }
}
