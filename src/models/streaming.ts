/// <reference lib="esnext.disposable" preserve="true" />
// Networks that process one frame (the numbers of one moment, for example one audio sample) at a time. Each layer's output
// stays in wasm memory, and a step allocates nothing. audio.ts makes them from files.

import { DisposedError, DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import { prepareActivation, prepareExp, prepareLinear, prepareSoftmax } from "../../bindings/frames.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor, wasmTensorOf } from "../../bindings/memory.js";
import type { CellActivation, CellKind } from "../../bindings/recurrent.js";
import { describe, dtypeOf, lengthOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkSize, lockFields } from "../base/check.js";
import { checkSealed } from "../base/sealed.js";
import type { StreamingLayer } from "../formats/audio/description.js";
import { StepInput } from "../nn/step-input.js";
import { checkOutside } from "../recording/current.js";
import { GRU, LSTM, RNN } from "../recurrent/layers.js";

/** A running layer: `step` reads the output of the layer before and writes its own. */
interface Stage {
  /** [1,n]. */
  readonly output: FloatTensor;
  /** Allocates nothing; engines would make an array for `const [a, b] = [c, d]`, too. */
  step(): void;
  reset?(): void;
  dispose?(): void;
}

/**
 * A network that takes one frame (the D numbers of one audio sample, or of one moment) at a time, and keeps its
 * state. `fromRtneural` and `fromProteus` make it. It has no sample rate: run it at the rate that it was trained at.
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

  /**
   * @internal
   * @param layers at least one, sealed
   * @param skip how many of the first numbers of x are added to the output: 0, 1 (to each of them), or M
   */
  constructor(dtype: FloatDtype, inputSize: number, layers: readonly StreamingLayer[], skip: number) {
    checkSealed("StreamingModel", layers, "fromRtneural or fromProteus");
    this.dtype = dtype;
    this.inputSize = inputSize;
    const arena = (this.#arena = new Arena(currentCore(), true));
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
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.outputSize = this.#output.shape[1]!;
    lockFields(this);
  }

  /**
   * Processes one frame. Allocates nothing.
   *
   * @param x D numbers
   * @returns M numbers: a live view, valid until the next call of this package (copy it to keep it)
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
   * Sets all states to zeros, as they are in a new model.
   *
   * @throws DisposedError
   */
  reset(): void {
    this.#checkAlive();
    for (const stage of this.#stages) stage.reset?.();
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
    for (let i = 0; i < stages.length; i++) stages[i]!.step();
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

function stageOf(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: StreamingLayer): Stage {
  switch (layer.type) {
    case "RNN":
    case "LSTM":
    case "GRU":
      return recurrentStage(dtype, x, layer);
    case "dense":
      return denseStage(arena, dtype, x, layer);
    case "prelu":
      return preluStage(arena, dtype, x, layer.slope);
    case "softmax":
      return softmaxStage(arena, dtype, x);
    case "elu":
      return eluStage(arena, dtype, x);
    default:
      return activationStage(arena, dtype, x, layer.type);
  }
}

function recurrentStage(dtype: FloatDtype, x: FloatTensor, layer: StreamingLayer & { type: CellKind }): Stage {
  const { type, inputSize, hiddenSize, numLayers, state } = layer;
  const options = { numLayers, bias: "bias_ih_l0" in state, dtype, seed: 0 };
  const kinds = { RNN, LSTM, GRU };
  const whole = new kinds[type](inputSize, hiddenSize, options);
  try {
    if (x.shape[1] !== inputSize) throw new ShapeError("inputSize", describe(inputSize), `${x.shape[1]}`);
    whole.loadStateDict(state);
    const stream = whole.stream();
    return {
      output: (wasmTensorOf(stream.state.h) as FloatTensor).slice(numLayers - 1, 1).reshape([1, hiddenSize]),
      step: () => void stream.step(x.data),
      reset: () => stream.reset(),
      dispose: () => stream.dispose(),
    };
  } finally {
    whole.dispose();
  }
}

function denseStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, layer: StreamingLayer & { type: "dense" }): Stage {
  const weight: FloatTensor = arena.copy("weight", layer.weight, dtype, ["out", x.shape[1]!]);
  const outFeatures = weight.shape[0]!;
  const bias: FloatTensor | undefined = layer.bias && arena.copy("bias", layer.bias, dtype, [outFeatures]);
  const output: FloatTensor = arena.zeros("output", dtype, [1, outFeatures]);
  return { output, step: prepareLinear(x, weight, bias, output) };
}

function activationStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, activation: CellActivation): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  return { output, step: prepareActivation(activation, x, output) };
}

function softmaxStage(arena: Arena, dtype: FloatDtype, x: FloatTensor): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  return { output, step: prepareSoftmax(x, output) };
}

/** x where x > 0, else e^x - 1 = tanh(x/2) (e^x + 1), which keeps its digits near 0. */
function eluStage(arena: Arena, dtype: FloatDtype, x: FloatTensor): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  const exp: FloatTensor = arena.zeros("e^x", dtype, x.shape);
  const n = x.shape[1]!;
  const tanhOfHalf = prepareActivation("tanh", output, output);
  const power = prepareExp(x, exp);
  return {
    output,
    step() {
      const input = x.data;
      const y = output.data;
      const e = exp.data;
      for (let i = 0; i < n; i++) y[i] = input[i]! / 2;
      tanhOfHalf();
      power();
      for (let i = 0; i < n; i++) y[i] = input[i]! > 0 ? input[i]! : y[i]! * (e[i]! + 1);
    },
  };
}

function preluStage(arena: Arena, dtype: FloatDtype, x: FloatTensor, given: Tensor): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, x.shape);
  const n = x.shape[1]!;
  const { data: slope } = takeTensor("slope", given, dtype, ["...", "n"]);
  if (slope.length !== 1 && slope.length !== n) throw new ShapeError("slope", `${slope.length} numbers`, `1 or ${n}`);
  return {
    output,
    step() {
      const input = x.data;
      const y = output.data;
      for (let i = 0; i < n; i++) y[i] = input[i]! > 0 ? input[i]! : input[i]! * slope[slope.length === 1 ? 0 : i]!;
    },
  };
}

function skipStage(arena: Arena, dtype: FloatDtype, last: FloatTensor, x: FloatTensor, skip: number): Stage {
  const output: FloatTensor = arena.zeros("output", dtype, last.shape);
  const n = last.shape[1]!;
  return {
    output,
    step() {
      const input = x.data;
      const before = last.data;
      const y = output.data;
      for (let i = 0; i < n; i++) y[i] = before[i]! + input[skip === 1 ? 0 : i]!;
    },
  };
}
