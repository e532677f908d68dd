// The embedding layer.

import { ValueError } from "../../bindings/errors.js";
import {
  embeddingBackward,
  embeddingForward,
  gatherRows,
  uploadIndices,
  type FloatTensor,
} from "../../bindings/kernels.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { describe, type FloatDtype, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { Layer, LayerMemory, type LayerOptions, type Module, type WasmParameter } from "./layer.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `Embedding`.
 *
 * @typeParam D the number type
 */
export interface EmbeddingOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** The index whose row starts as zeros and gets no gradient; negative counts from the end (default: none). */
  paddingIdx?: number | undefined;
}

/**
 * Rows of a table by index, as PyTorch's [nn.Embedding](https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html):
 * `weight` [numEmbeddings, embeddingDim], drawn from N(0, 1).
 *
 * @typeParam D the number type
 */
export class Embedding<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, WasmTensor<"i32">>;
  readonly #weight: WasmParameter<D>;
  readonly #paddingIdx: number;

  /**
   * Creates the table with random numbers.
   *
   * @param numEmbeddings number of rows
   * @param embeddingDim size of a row
   * @param options paddingIdx, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** Number of rows. */
    readonly numEmbeddings: number,
    /** Size of a row. */
    readonly embeddingDim: number,
    options: EmbeddingOptions<D> = {},
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
    const memory = new LayerMemory<D, WasmTensor<"i32">>("Embedding", dtype);
    super(memory);
    this.#memory = memory;
    const shapes = [["weight", [numEmbeddings, embeddingDim]]] as const;
    [this.#weight] = memory.addParameters(shapes, ({ data }) =>
      data.forEach((_, i) => (data[i] = random.normal())),
    ) as [WasmParameter<D>];
    this.#paddingIdx = paddingIdx === undefined ? -1 : (paddingIdx + numEmbeddings) % numEmbeddings;
    if (paddingIdx !== undefined) this.#weight.value.slice(this.#paddingIdx, 1).fill(0);
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /**
   * Looks up rows.
   *
   * @param x indices [...] (i32), each from 0 to numEmbeddings - 1
   * @throws ValueError (index out of range), DtypeError, ShapeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor): {
    /** The rows [..., embeddingDim]. */
    output: Tensor<D>;
  } {
    const { dtype } = this.#memory;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const values = uploadIndices(saved, "x", x, this.numEmbeddings);
        const output = embeddingForward(scratch, dtype, { indices: values, weight: this.#weight.value });
        return { result: { output: output.download() as Tensor<D> }, values };
      },
      (indices, { output }, scratch) => {
        const args = { indices, dOutput: output!, dWeight: this.#weight.grad, paddingIdx: this.#paddingIdx };
        embeddingBackward(scratch, dtype, args);
        return {};
      },
    );
  }

  /**
   * Adds to the gradient of the table. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output [..., embeddingDim]
   * @returns nothing: indices have no gradient
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): Record<string, never> {
    return this.#memory.runBackward(checkOptions("Embedding.backward", gradients, ["output"]));
  }

  /**
   * Looks up the indices of one step at a time, in a copy of the table. A step takes N indices.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    const { dtype, numEmbeddings, embeddingDim } = this;
    return {
      core: this.#memory.arena.core,
      dtype: "f64", // of the indices: f32 has too few digits
      features: 1,
      make: (arena, x) => {
        const weight: FloatTensor = arena.copy("weight", this.#weight.value, dtype, [numEmbeddings, embeddingDim]);
        const n = x.shape[0]!;
        const indices = arena.zeros("x", "i32", [n]);
        const output: FloatTensor = arena.zeros("output", dtype, [n, embeddingDim]);
        const from = { of: weight, first: 0, width: embeddingDim };
        const to = { of: output, first: 0, width: embeddingDim };
        const run = (): void => {
          checkStep(x.data, numEmbeddings);
          indices.data.set(x.data);
          gatherRows(dtype, n, indices, from, to);
        };
        return { output, run };
      },
    };
  }
}

/** Checks the indices of a step where they lie, in wasm memory. */
function checkStep(indices: TensorData, count: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (!(Number.isInteger(index) && index >= 0 && index < count)) {
      throw new ValueError(`x[${i}]`, `${index}`, `indices from 0 to ${count - 1}`);
    }
  }
}
