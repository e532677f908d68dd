// The input of streams.

import { StateError } from "../../bindings/errors.js";
import type { WasmTensor } from "../../bindings/memory.js";
import { readNumbers, sizeOf, zeros, type FloatDtype, type TensorData } from "../../bindings/tensor.js";

/** Reads the numbers of a step from the caller's array into wasm memory without an allocation. */
export class StepInput<D extends FloatDtype = FloatDtype> {
  readonly #tensor: WasmTensor<D>;
  readonly #expected: string;
  /** The numbers read so far: a plain array may have getters, which run code of the caller's. */
  readonly #numbers: TensorData<D>;
  #reading = false;

  /** @param expected how many numbers a step has, in words */
  constructor(tensor: WasmTensor<D>, expected: string) {
    this.#tensor = tensor;
    this.#expected = expected;
    this.#numbers = zeros(tensor.dtype, sizeOf(tensor.shape));
  }

  /**
   * Reads every number once, then copies them all.
   *
   * @throws ShapeError, DtypeError; StateError in a call from a getter of x; DisposedError where such a getter disposed
   */
  read(x: ArrayLike<number>): void {
    if (this.#reading) throw new StateError("step", "a call from a getter of x", "one step after the other");
    this.#reading = true;
    try {
      readNumbers("x", x, this.#numbers.length, this.#expected, this.#numbers);
    } finally {
      this.#reading = false;
    }
    this.#tensor.data.set(this.#numbers);
  }
}
