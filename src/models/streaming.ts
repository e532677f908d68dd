/// <reference lib="esnext.disposable" preserve="true" />
// Networks that process one frame (the numbers of one moment, for example one audio sample) at a time. Each layer's output
// stays in wasm memory, and a step allocates nothing. audio.ts makes them from files, streaming-layers.ts from layers.

import { DisposedError, DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena } from "../../bindings/memory.js";
import { describe, dtypeOf, lengthOf, type FloatDtype } from "../../bindings/tensor.js";
import { checkSize, lockFields } from "../base/check.js";
import { checkSealed, sealed } from "../base/sealed.js";
import type { Layer } from "../nn/layer.js";
import type { LayerList, Sequential } from "../nn/sequential.js";
import { StepInput } from "../nn/step-input.js";
import { checkOutside } from "../recording/current.js";
import { partsOf } from "./streaming-layers.js";
import { exportedOf, skipStage, stageOf, type StreamingPart, type Stage } from "./streaming-stages.js";

/** What a model is made of, for writers of files. */
export interface StreamingNetwork {
  readonly dtype: FloatDtype;
  readonly inputSize: number;
  readonly layers: readonly ReturnType<typeof exportedOf>[];
  readonly skip: number;
}

/** What a model was made of; undefined for any other value. */
export let networkOf: (value: unknown) => StreamingNetwork | undefined;

/**
 * A network that takes one frame (the D numbers of one audio sample, or of one moment) at a time, and keeps its
 * state. `fromRtneural`, `fromProteus`, `fromNam` and `StreamingModel.from` make it. It has no sample rate: run it at the rate that it
 * was trained at.
 */
export class StreamingModel {
  /** The number type that it computes in. */
  readonly dtype: FloatDtype;
  /** D, the numbers of an input frame. */
  readonly inputSize: number;
  /** M, the numbers of an output frame. */
  readonly outputSize: number;
  readonly #arena: Arena;
  readonly #x: FloatTensor;
  readonly #stages: Stage[] = [];
  readonly #input: StepInput;
  readonly #output: FloatTensor;
  readonly #network: StreamingNetwork;
  #ready = false;

  /**
   * @internal
   * @param layers at least one, sealed
   * @param skip how many of the first numbers of x are added to the output: 0, 1 (to each of them), or M
   */
  constructor(
    dtype: FloatDtype,
    inputSize: number,
    layers: readonly StreamingPart[],
    skip: number,
    core = currentCore(),
  ) {
    checkSealed("StreamingModel", layers, "fromRtneural, fromProteus, fromNam or StreamingModel.from");
    this.dtype = dtype;
    this.inputSize = inputSize;
    const arena = (this.#arena = new Arena(core, true));
    try {
      checkSize("inputSize", inputSize);
      this.#x = arena.zeros("x", dtype, [1, inputSize]);
      this.#input = new StepInput(this.#x, "inputSize");
      let last = this.#x;
      const add = (stage: Stage) => {
        this.#stages.push(stage);
        last = stage.output;
      };
      for (const layer of layers) add(stageOf(arena, dtype, last, layer));
      const m = last.shape[1]!;
      if (skip !== 0 && skip !== 1 && (skip !== m || skip > inputSize)) {
        throw new ShapeError("skip", describe(skip), `0, 1 or ${m}, at most ${inputSize}`);
      }
      if (skip > 0) add(skipStage(arena, dtype, last, this.#x, skip));
      this.#output = last.reshape(last.shape); // its view is the caller's
      this.#network = sealed({ dtype, inputSize, layers: sealed(layers.map(exportedOf)), skip });
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.outputSize = this.#output.shape[1]!;
    lockFields(this);
  }

  /**
   * Makes a model of trained layers, with copies of their present weights: outputs have the bits of `forward` in inference mode.
   * Convolutions have padding "causal" or 0; one of stride s has an output every s frames, and one without padding has its first when
   * its window is full (see `ready`).
   *
   * @param layers a `Sequential`, a layer, or layers in the order in which they run
   * @throws UnsupportedError naming a layer that looks ahead or takes indices; ValueError (no layer, or none that has a size), DtypeError
   *   (number types that differ), DisposedError, OutOfMemoryError
   */
  static from(layers: Sequential | Layer<FloatDtype, FloatDtype | undefined> | LayerList): StreamingModel {
    checkOutside("StreamingModel.from");
    const { dtype, inputSize, parts, core } = partsOf(layers);
    return new StreamingModel(dtype, inputSize, sealed(parts), 0, core);
  }

  static {
    networkOf = (value) =>
      typeof value === "object" && value !== null && #network in value ? value.#network : undefined;
  }

  /**
   * Whether the latest frame had an output of its own. Where a convolution has a stride, or its first window is not full yet, a step
   * returns the latest output again, zeros at first. Always true after a step of a model without such a convolution.
   */
  get ready(): boolean {
    return this.#ready;
  }

  /**
   * Processes one frame. Allocates nothing.
   *
   * @param x D numbers
   * @returns M numbers, the latest where the frame has none (see `ready`): a live view, valid until the next call of this package (copy it to keep it)
   * @throws ShapeError, DtypeError, DisposedError
   */
  step(x: ArrayLike<number>): Float64Array | Float32Array {
    checkOutside("StreamingModel.step");
    this.#checkAlive();
    this.#input.read(x);
    this.#run();
    return this.#output.data;
  }

  /**
   * Processes a block of frames in order, continuing from the state after the block before. Allocates nothing.
   *
   * @param input [T,D], frame by frame
   * @param output [T,M], written; may be `input` itself, or another view of all of it, where M is D
   * @throws ShapeError, DtypeError, ValueError (a detached array, or an output over another part of the input),
   *   DisposedError, before any frame is taken
   */
  process(input: Float64Array | Float32Array, output: Float64Array | Float32Array): void {
    checkOutside("StreamingModel.process");
    this.#checkAlive();
    const inputLength = checkBlock("input", input);
    const outputLength = checkBlock("output", output);
    const { inputSize: d, outputSize: m } = this;
    const frames = inputLength / d;
    if (!Number.isInteger(frames)) {
      throw new ShapeError("input", `${inputLength} numbers`, `a multiple of ${d} (inputSize)`);
    }
    if (outputLength !== frames * m) {
      throw new ShapeError("output", `${outputLength} numbers`, `${frames * m} (${frames} frames x outputSize)`);
    }
    if (input !== output) checkOverlap(input, output, d === m);
    const x = this.#x.data; // current throughout: a step does not grow the memory
    const y = this.#output.data;
    for (let t = 0; t < frames; t++) {
      for (let i = 0; i < d; i++) x[i] = input[t * d + i]!;
      this.#run();
      for (let i = 0; i < m; i++) output[t * m + i] = y[i]!;
    }
  }

  /**
   * Sets all states to those of a new model: zeros, or what the file has.
   *
   * @throws DisposedError
   */
  reset(): void {
    this.#checkAlive();
    for (const stage of this.#stages) stage.reset?.();
    if (!this.#stages[this.#stages.length - 1]?.reset) this.#output.fill(0);
    this.#ready = false;
  }

  /** Gives the memory back at once. */
  dispose(): void {
    checkOutside("StreamingModel.dispose");
    for (const stage of this.#stages) stage.dispose?.();
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #run(): void {
    const stages = this.#stages;
    this.#ready = false;
    for (let i = 0; i < stages.length; i++) if (stages[i]!.step() === false) return; // what follows runs at its outputs
    this.#ready = true;
  }

  #checkAlive(): void {
    if (this.#arena.disposed) throw new DisposedError("model", "a disposed model", "one that is alive");
  }
}

/** The length of a caller's array. */
function checkBlock(argument: string, block: Float32Array | Float64Array): number {
  const dtype = dtypeOf(block);
  if (dtype !== "f64" && dtype !== "f32") {
    throw new DtypeError(argument, describe(block), "a Float32Array or Float64Array");
  }
  const length = lengthOf(block);
  if (length > 0) return length;
  try {
    Float64Array.prototype.at.call(block, 0); // throws where the buffer is detached; in Node 20 no property tells that from an empty array
  } catch {
    throw new ValueError(argument, `a ${describe(block)} that has detached`, "one that is alive");
  }
  return 0;
}

/** Refuses an output that overwrites input frames before they are read: it may share memory only if all frames coincide. */
function checkOverlap(
  input: Float64Array | Float32Array,
  output: Float64Array | Float32Array,
  sameSize: boolean,
): void {
  if (input.buffer !== output.buffer) return;
  const from = input.byteOffset;
  const to = output.byteOffset;
  if (from >= to + output.byteLength || to >= from + input.byteLength) return;
  if (sameSize && from === to && input.BYTES_PER_ELEMENT === output.BYTES_PER_ELEMENT) return;
  throw new ValueError("output", "an array over a part of input", "input itself (where M is D), or memory of its own");
}
