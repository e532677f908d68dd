// The embedding layer.

import { ValueError } from "../../bindings/errors.js";
import { embeddingBackward, embeddingForward, uploadIndices } from "../../bindings/kernels.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { Layer, LayerMemory, type LayerOptions, type WasmParameter } from "./layer.js";

/** Options of `Embedding`. */
export interface EmbeddingOptions extends LayerOptions {
  /** The index whose row starts as zeros and gets no gradient; negative counts from the end (default: none). */
  paddingIdx?: number;
}

/**
 * Rows of a table by index, as PyTorch's [nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html):
 * `weight` [numEmbeddings, embeddingDim], drawn from N(0, 1).
 */
export class Embedding extends Layer {
  readonly #memory: LayerMemory<WasmTensor<"i32">>;
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
    checkSize("numEmbeddings", numEmbeddings);
    checkSize("embeddingDim", embeddingDim);
    const { paddingIdx, dtype, seed } = checkOptions("Embedding", options, ["paddingIdx", "dtype", "seed"]);
    if (paddingIdx !== undefined) {
      if (!Number.isInteger(paddingIdx) || paddingIdx < -numEmbeddings || paddingIdx >= numEmbeddings) {
        const expected = `an integer from ${-numEmbeddings} to ${numEmbeddings - 1}`;
        throw new ValueError("paddingIdx", describe(paddingIdx), expected);
      }
    }
    const random = new Random(seed);
    const memory = new LayerMemory<WasmTensor<"i32">>("Embedding", dtype);
    super(memory);
    this.#memory = memory;
    const shapes = [["weight", [numEmbeddings, embeddingDim]]] as const;
    [this.#weight] = memory.addParameters(shapes, () => random.normal()) as [WasmParameter];
    this.#paddingIdx = paddingIdx === undefined ? -1 : (paddingIdx + numEmbeddings) % numEmbeddings;
    if (paddingIdx !== undefined) this.#weight.value.slice(this.#paddingIdx, 1).fill(0);
    lockFields(this);
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
    return this.#memory.record((saved, scratch) => {
      const values = uploadIndices(saved, "x", x, this.numEmbeddings);
      const args = { indices: values, weight: this.#weight.value };
      const output = embeddingForward(scratch, this.#memory.dtype, args);
      return { result: { output: output.download() }, values };
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
    const { output } = checkOptions("Embedding.backward", gradients, ["output"]);
    return this.#memory.replay((indices, scratch) => {
      embeddingBackward(scratch, this.#memory.dtype, {
        indices,
        dOutput: output,
        dWeight: this.#weight.grad,
        paddingIdx: this.#paddingIdx,
      });
      return {};
    });
  }
}
