// Batch normalisation. Its equations are in assembly/layers/batch-norm.ts.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import {
  batchNormBackward,
  batchNormForward,
  prepareBatchNorm,
  type BatchNormPass,
  type BatchNormWeights,
} from "../../bindings/layers.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { LiveTensor, takeMask, type WasmTensor } from "../../bindings/memory.js";
import {
  checkTensor,
  describe,
  kindOf,
  lengthOf,
  showShape,
  sizeOf,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkFlag, checkNumber, checkOptions, checkSize, lockFields } from "../base/check.js";
import { copyEntry, Layer, LayerMemory, type Module, type WasmParameter } from "./layer.js";
import { readSequences, stepOrder, type StepOrder, type StepsOptions } from "./steps.js";
import { openStream, setStreamPlan, type LayerStream, type LayerStreamOptions, type StreamPlan } from "./stream.js";

/**
 * Options of `BatchNorm1d`.
 *
 * @typeParam D the number type
 */
export interface BatchNorm1dOptions<D extends FloatDtype = FloatDtype> {
  /** Added to the variance (default 1e-5). */
  eps?: number | undefined;
  /** The weight of a batch in the running statistics (default 0.1); null: they are the means over all batches. */
  momentum?: number | null | undefined;
  /** Whether there are `weight` and `bias` (default true). */
  affine?: boolean | undefined;
  /** Whether rows are the first axis of x, for lengths (default false: steps; in a container as its recurrent layers). */
  batchFirst?: boolean | undefined;
  /** Number type of the parameters, inputs and outputs: "f64" (default) or "f32". */
  dtype?: D | undefined;
}

/** Options of `BatchNorm1d.forward`. */
export interface BatchNorm1dInput extends StepsOptions {
  /** 1 for a step that counts, 0 for one that does not (i32), in the shape of x without its last axis; instead of lengths. */
  mask?: Tensor | undefined;
}

/**
 * y = weight (x - mean) / sqrt(variance + eps) + bias, with mean and variance of each channel, the last axis, over all others (Ioffe
 * & Szegedy 2015), as PyTorch's [nn.BatchNorm1d](https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html), but with
 * channels last. In training the statistics are those of the batch, and the running ones take them in; in inference they are the
 * running ones. `weight` starts as ones, `bias` as zeros; `running_mean`, `running_var` and `num_batches_tracked` are in the
 * state dictionary, but are no parameters.
 *
 * @typeParam D the number type
 */
export class BatchNorm1d<D extends FloatDtype = "f64"> extends Layer<D> implements Module<D> {
  readonly #memory: LayerMemory<D, BatchNormPass>;
  readonly #weight: WasmParameter<D> | undefined;
  readonly #bias: WasmParameter<D> | undefined;
  readonly #runningMean: WasmTensor<D>;
  readonly #runningVar: WasmTensor<D>;
  readonly #batches: WasmTensor<D>;
  readonly #order: StepOrder;
  /** Added to the variance. */
  readonly eps: number;
  /** The weight of a batch in the running statistics; null: they are the means over all batches. */
  readonly momentum: number | null;

  /**
   * Creates the layer.
   *
   * @param numFeatures the number of channels
   * @param options eps, momentum, affine, batchFirst, dtype
   * @throws ShapeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** The number of channels. */
    readonly numFeatures: number,
    options: BatchNorm1dOptions<D> = {},
  ) {
    checkSize("numFeatures", numFeatures);
    const given = checkOptions("BatchNorm1d", options, ["eps", "momentum", "affine", "batchFirst", "dtype"]);
    const { eps = 1e-5, momentum = 0.1, affine = true, batchFirst, dtype } = given;
    checkNumber("eps", eps);
    if (momentum !== null && !(typeof momentum === "number" && momentum >= 0 && momentum <= 1)) {
      throw new ValueError("momentum", describe(momentum), "0 <= momentum <= 1, or null");
    }
    checkFlag("affine", affine);
    const memory = new LayerMemory<D, BatchNormPass>("BatchNorm1d", dtype);
    super(memory);
    this.#memory = memory;
    this.#order = stepOrder(this, { batchFirst }, { takes: ["lengths", "mask"] });
    this.eps = eps;
    this.momentum = momentum;
    if (affine) {
      const shapes = [
        ["weight", [numFeatures], (value: FloatTensor) => value.fill(1)] as const,
        ["bias", [numFeatures]] as const,
      ];
      [this.#weight, this.#bias] = memory.addParameters(shapes) as [WasmParameter<D>, WasmParameter<D>];
    }
    try {
      const addBuffer = (name: string, shape: readonly number[], value: number, read?: typeof readCount) => {
        const tensor = memory.arena.allocate(name, memory.dtype, shape);
        tensor.fill(value);
        memory.buffers.push({ name, value: new LiveTensor(tensor), ...(read && { read }) });
        return tensor;
      };
      this.#runningMean = addBuffer("running_mean", [numFeatures], 0);
      this.#runningVar = addBuffer("running_var", [numFeatures], 1);
      this.#batches = addBuffer("num_batches_tracked", [], 0, readCount);
    } catch (error) {
      memory.dispose();
      throw error;
    }
    setStreamPlan(this, () => this.#streamPlan());
    lockFields(this);
  }

  /** Whether rows are the first axis of x, for lengths. */
  get batchFirst(): boolean {
    return this.#order.batchFirst ?? false;
  }

  /**
   * Normalises x. Steps that do not count take no part in the statistics; there the output is 0.
   *
   * @param x [..., C]; with lengths [T,N,C], [N,T,C] with batchFirst, or [T,C]
   * @param options lengths of the rows, or a mask
   * @throws ShapeError, also where fewer than two steps count in training; DtypeError, ValueError, StateError, DisposedError,
   *   OutOfMemoryError
   */
  forward(
    x: Tensor,
    options: BatchNorm1dInput = {},
  ): {
    /** y, in the shape of x. */
    output: Tensor<D>;
  } {
    const { dtype } = this.#memory;
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch, { training }) => {
        const given = checkOptions("BatchNorm1d.forward", options, ["lengths", "mask"]);
        const read = checkTensor("x", x, dtype, ["...", this.numFeatures]);
        const flags = this.#flags(read, given);
        const rows = sizeOf(read.shape.slice(0, -1));
        const count = flags ? flags.reduce((sum, flag) => sum + flag, 0) : rows;
        if (training && count < 2) {
          const steps = `${count} step${count === 1 ? "" : "s"} that count${count === 1 ? "s" : ""}`;
          throw new ShapeError("x", `${showShape(read.shape)}: ${steps}`, "at least two, for a variance in training");
        }
        const copy: FloatTensor = saved.copyChecked("x", read, dtype); // first: it may be a live view
        const valid = flags && saved.allocate("mask", "i32", [rows]);
        valid?.set(flags!);
        const pass: BatchNormPass = {
          x: copy,
          valid,
          count,
          training,
          mean: saved.allocate("mean", dtype, [this.numFeatures]),
          rstd: saved.allocate("variance", dtype, [this.numFeatures]),
        };
        const { data: batches } = this.#batches;
        const factor = this.momentum ?? 1 / (batches[0]! + 1);
        const y = batchNormForward(scratch, pass, this.#weights(), this.eps, factor);
        if (training) this.#batches.data[0]! += 1;
        return { result: { output: y.download() as Tensor<D> }, values: pass };
      },
      (pass, { output }, scratch) => ({
        x: batchNormBackward(scratch, pass, this.#weights(), output!, this.#weight?.grad, this.#bias?.grad),
      }),
    );
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of x; what is at steps that do not count does not count either
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("BatchNorm1d.backward", gradients, ["output"]));
  }

  /**
   * Normalises one step at a time by copies of the running statistics and of the parameters, as `forward` does in inference mode.
   *
   * @param options the number of rows
   * @throws ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: LayerStreamOptions = {}): LayerStream<D> {
    return openStream(this, options);
  }

  /** 1 for each step that counts, in the order of x; undefined where all do. */
  #flags(x: Tensor, { lengths, mask }: BatchNorm1dInput): Int32Array | undefined {
    if (mask !== undefined) return takeMask(mask, lengths, x.shape.slice(0, -1));
    if (lengths === undefined) return undefined;
    const sequences = readSequences("BatchNorm1d.forward", x, this.#order.batchFirst, { lengths });
    const { axes, t } = sequences;
    const flags = new Int32Array(axes.n * t);
    sequences.lengths.forEach((length, row) => {
      for (let i = 0; i < length; i++) flags[axes.rowsFirst ? row * t + i : i * axes.n + row] = 1;
    });
    return flags;
  }

  #weights(): BatchNormWeights {
    return {
      weight: this.#weight?.value,
      bias: this.#bias?.value,
      runningMean: this.#runningMean,
      runningVar: this.#runningVar,
    };
  }

  #streamPlan(): StreamPlan {
    this.#memory.checkAlive();
    const { dtype, numFeatures, eps } = this;
    return {
      core: this.#memory.arena.core,
      dtype,
      features: numFeatures,
      make: (arena, x) => {
        const copy = (tensor: FloatTensor): FloatTensor => arena.copy("statistics", tensor, dtype, [numFeatures]);
        const { weight, bias, runningMean, runningVar } = this.#weights();
        const weights = {
          weight: weight && copy(weight),
          bias: bias && copy(bias),
          runningMean: copy(runningMean),
          runningVar: copy(runningVar),
        };
        const statistics = (): FloatTensor => arena.zeros("statistics", dtype, [numFeatures]);
        const pass = { x, count: 0, training: false, mean: statistics(), rstd: statistics() };
        const output: FloatTensor = arena.zeros("output", dtype, x.shape);
        return { output, run: prepareBatchNorm(arena, pass, weights, eps, output) };
      },
    };
  }
}

/** The number of batches from a state dictionary: f64 or f32, or an integer as in files of PyTorch's (i64). */
function readCount(name: string, entry: Tensor | null): TensorData {
  const { data, shape } = entry ?? ({} as Tensor); // read once
  const kind = kindOf(data);
  let count: TensorData;
  if (kind === "BigInt64Array" || kind === "Int32Array") {
    const size = lengthOf(data);
    if (size !== 1) throw new ShapeError(`dict["${name}"]`, `${size} numbers`, "1");
    count = copyEntry(name, { data: Float64Array.of(Number(data[0])), shape }, []);
  } else count = copyEntry(name, { data, shape }, []);
  if (Number.isSafeInteger(count[0]) && count[0]! >= 0) return count;
  throw new ValueError(`dict["${name}"]`, `${count[0]}`, "an integer >= 0");
}
