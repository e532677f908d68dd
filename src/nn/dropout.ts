// Dropout: numbers set to 0 at random while training.

import { ValueError } from "../../bindings/errors.js";
import { mul, type FloatTensor } from "../../bindings/kernels.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { Layer, LayerMemory, type LayerOptions } from "./layer.js";

/** Options of `Dropout`; the seed is that of the masks. */
export type DropoutOptions = LayerOptions;

export function checkProbability(argument: string, p: number): void {
  if (typeof p !== "number" || !(p >= 0 && p <= 1))
    throw new ValueError(argument, describe(p), `0 <= ${argument} <= 1`);
}

/** Fills a mask: 0 with probability p, else 1 / (1 - p). One draw of 32 bits for each number, none for p = 0. */
export function drawMask(mask: FloatTensor, p: number, random: Random): void {
  if (p === 0) return mask.fill(1);
  const threshold = p * 2 ** 32;
  const kept = p === 1 ? 0 : 1 / (1 - p);
  const { data } = mask;
  for (let i = 0; i < data.length; i++) data[i] = Number(random.uint32() >= threshold) * kept; // a branch takes twice the time
}

/**
 * In training mode sets each number to 0 with probability p and multiplies the others by 1 / (1 - p), a new choice in each
 * forward pass; after eval() lets everything through (Srivastava et al. 2014), as PyTorch's
 * [nn.Dropout](https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html). It has no parameters.
 */
export class Dropout extends Layer {
  readonly #memory: LayerMemory<FloatTensor>;
  /** The source of the masks; its `state` continues a sequence of them. */
  readonly random: Random;

  /**
   * @param p the probability of a 0, 0 to 1 (default 0.5)
   * @param options dtype, and the seed of the masks
   * @throws ValueError, UnsupportedError
   */
  constructor(
    /** The probability of a 0. */
    readonly p = 0.5,
    options: DropoutOptions = {},
  ) {
    checkProbability("p", p);
    const { dtype, seed } = checkOptions("Dropout", options, ["dtype", "seed"]);
    const random = new Random(seed);
    const memory = new LayerMemory<FloatTensor>("Dropout", dtype);
    super(memory);
    this.#memory = memory;
    this.random = random;
    lockFields(this);
  }

  /**
   * Drops out, in training mode by a new mask.
   *
   * @param x [...]
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** In the shape of x. */
    output: Tensor;
  } {
    const { dtype } = this.#memory;
    return this.#memory.record((saved, scratch, training) => {
      const output = scratch.copy("x", x, dtype, ["..."]);
      const mask: FloatTensor = saved.allocate("mask", dtype, output.shape);
      if (training) {
        drawMask(mask, this.p, this.random);
        mul(output, mask);
      }
      return { result: { output: output.download() }, values: mask };
    });
  }

  /**
   * By the mask of the latest forward in training mode, which it consumes.
   *
   * @param gradients of what forward returned
   * @param gradients.output in the shape of x
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor;
  } {
    const { output } = checkOptions("Dropout.backward", gradients, ["output"]);
    return this.#memory.replay((mask, scratch) => {
      const d: FloatTensor = scratch.copy("output", output, mask.dtype, mask.shape);
      mul(d, mask);
      return { x: d.download() };
    });
  }
}
