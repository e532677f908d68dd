// The embedding layer.

import { ValueError } from "../../bindings/errors.js";
import { embeddingBackward, embeddingForward, uploadIndices } from "../../bindings/kernels.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { Random } from "../random.js";
import { checkOptions, checkSize, Layer, type LayerOptions, type WasmParameter } from "./layer.js";

/** Options of `Embedding`. */
export interface EmbeddingOptions extends LayerOptions {
  /** The index whose row starts as zeros and gets no gradient; negative counts from the end (default: none). */
  paddingIdx?: number;
}

/**
 * Rows of a table by index, as PyTorch's [nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html):
 * `weight` [numEmbeddings, embeddingDim], drawn from N(0, 1).
 */
export class Embedding extends Layer<WasmTensor<"i32">> {
  readonly #weight: WasmParameter;
  readonly #paddingIdx: number;

  /**
   * @param numEmbeddings rows of the table
   * @param embeddingDim numbers of a row
   * @param options paddingIdx, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** Rows of the table. */
    readonly numEmbeddings: number,
    /** Numbers of a row. */
    readonly embeddingDim: number,
    options: EmbeddingOptions = {},
  ) {
    checkOptions("Embedding", options, ["paddingIdx", "dtype", "seed"]);
    checkSize("numEmbeddings", numEmbeddings);
    checkSize("embeddingDim", embeddingDim);
    const { paddingIdx, dtype, seed } = options;
    if (paddingIdx !== undefined) {
      if (!Number.isInteger(paddingIdx) || paddingIdx < -numEmbeddings || paddingIdx >= numEmbeddings) {
        const expected = `an integer from ${-numEmbeddings} to ${numEmbeddings - 1}`;
        throw new ValueError("paddingIdx", describe(paddingIdx), expected);
      }
    }
    super("Embedding", dtype);
    const random = new Random(seed);
    const shapes = [["weight", [numEmbeddings, embeddingDim]]] as const;
    [this.#weight] = this.addParameters(shapes, () => random.normal()) as [WasmParameter];
    this.#paddingIdx = paddingIdx === undefined ? -1 : (paddingIdx + numEmbeddings) % numEmbeddings;
    if (paddingIdx !== undefined) this.#weight.value.slice(this.#paddingIdx, 1).fill(0);
  }

  /**
   * Looks rows up.
   *
   * @param x indices [...] (i32), each from 0 to numEmbeddings - 1
   * @throws ValueError (index out of range), DtypeError, ShapeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** The rows [..., embeddingDim]. */
    output: Tensor;
  } {
    return this.record((keep, scratch) => {
      const tape = uploadIndices(keep, "x", x, this.numEmbeddings);
      const output = embeddingForward(scratch, this.dtype, { indices: tape, weight: this.#weight.value });
      return { result: { output: output.download() }, tape };
    });
  }

  /**
   * The gradient of the table is added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned
   * @param gradients.output [..., embeddingDim]
   * @returns nothing: indices have no gradient
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): Record<string, never> {
    checkOptions("Embedding.backward", gradients, ["output"]);
    return this.replay((indices, scratch) => {
      embeddingBackward(scratch, this.dtype, {
        indices,
        dOutput: gradients.output,
        dWeight: this.#weight.grad,
        paddingIdx: this.#paddingIdx,
      });
      return {};
    });
  }
}
