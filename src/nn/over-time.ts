// One step from a sequence: its last, the mean of its steps, or the largest numbers.

import { ShapeError } from "../../bindings/errors.js";
import { poolBackward, poolForward, shapeOfSequences, type PoolKind, type PoolPass } from "../../bindings/layers.js";
import { gatherRows, scatterRows, type FloatTensor } from "../../bindings/kernels.js";
import type { WasmTensor } from "../../bindings/memory.js";
import type { FloatDtype, Tensor } from "../../bindings/tensor.js";
import { checkOptions, lockFields } from "../base/check.js";
import { checkSealed, sealed } from "../base/sealed.js";
import { Layer, LayerMemory, type Module } from "./layer.js";
import { readSequences, stepOrder, stepShape, type Sequences, type StepOrder, type StepsOptions } from "./steps.js";

/** Options of `MeanOverTime` and `MaxOverTime`. */
export interface OverTimeOptions {
  /** Whether x is [N,T,C] (default false: [T,N,C]; in a container as its recurrent layers). */
  batchFirst?: boolean | undefined;
}

/** Options of `LastStep`. */
export interface LastStepOptions extends OverTimeOptions {
  /** Whether x is the output of a bidirectional layer (default false; in a container as the recurrent layer before). */
  bidirectional?: boolean | undefined;
}

/** What the forward pass of `LastStep` saves: the axes of x, and which of its steps each part of the output is. */
interface Chosen {
  readonly sequences: Pick<Sequences, "axes" | "t" | "c" | "dtype">;
  readonly parts: readonly { readonly first: number; readonly width: number; readonly index: WasmTensor<"i32"> }[];
}

/**
 * The last valid step of each row, as `hn` of a recurrent layer. With `bidirectional` the second half of the numbers is taken from
 * the first step instead, where the reverse direction ends: the output is PyTorch's `hn` of the top layer, both directions one
 * after the other. A row without steps gives zeros. It has no parameters, and takes f64 and f32.
 */
export class LastStep extends Layer<FloatDtype, undefined> implements Module {
  readonly #memory: LayerMemory<FloatDtype, Chosen>;
  readonly #order: StepOrder;

  /**
   * Creates the layer.
   *
   * @param options batchFirst, bidirectional
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(options: LastStepOptions = {}) {
    const { batchFirst, bidirectional } = checkOptions("LastStep", options, ["batchFirst", "bidirectional"]);
    const memory = new LayerMemory<FloatDtype, Chosen>("LastStep");
    super(memory, true);
    this.#memory = memory;
    this.#order = stepOrder(this, { batchFirst, bidirectional }, { endsTime: true });
    lockFields(this);
  }

  /** Whether x is [N,T,C]. */
  get batchFirst(): boolean {
    return this.#order.batchFirst ?? false;
  }

  /** Whether the second half of the numbers is taken from the first step. */
  get bidirectional(): boolean {
    return this.#order.bidirectional ?? false;
  }

  /**
   * Takes the step.
   *
   * @param x [T,N,C], [N,T,C] with batchFirst, or [T,C], of f64 or f32
   * @param options lengths of the rows
   * @throws ShapeError, DtypeError, ValueError, DisposedError, OutOfMemoryError
   */
  forward<D extends FloatDtype = FloatDtype>(
    x: Tensor<D> | Tensor,
    options: StepsOptions = {},
  ): {
    /** [N,C], or [C] for one sequence. */
    output: Tensor<D>;
  } {
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch) => {
        const sequences = readSequences("LastStep.forward", x, this.#order.batchFirst, options);
        const { axes, t, c, dtype, lengths } = sequences;
        const { n } = axes;
        const { bidirectional } = this;
        if (bidirectional && c % 2 !== 0) {
          throw new ShapeError("x", `${c} numbers of a step`, "an even number, half from each direction");
        }
        const input: FloatTensor = scratch.copyChecked("x", sequences.x, dtype); // first: it may be a live view
        const half = bidirectional ? c / 2 : c;
        const rowsOf = (stepOf: (length: number) => number): WasmTensor<"i32"> => {
          const index = saved.allocate("index", "i32", [n]);
          const rows = lengths.map((length, row) => {
            if (length === 0) return -1;
            return axes.rowsFirst ? row * t + stepOf(length) : stepOf(length) * n + row;
          });
          index.data.set(rows);
          return index;
        };
        const parts = [{ first: 0, width: half, index: rowsOf((length) => length - 1) }];
        if (bidirectional) parts.push({ first: half, width: half, index: rowsOf(() => 0) });
        const y: FloatTensor = scratch.allocate("output", dtype, stepShape(axes, c));
        for (const { first, width, index } of parts) {
          gatherRows(dtype, n, index, { of: input, first, width }, { of: y, first, width });
        }
        return { result: { output: y.download() as Tensor<D> }, values: { sequences: { axes, t, c, dtype }, parts } };
      },
      ({ sequences: { axes, t, c, dtype }, parts }, { output }, scratch) => {
        const dy: FloatTensor = scratch.upload("output", output!, dtype, stepShape(axes, c));
        const dx: FloatTensor = scratch.zeros("dx", dtype, shapeOfSequences(axes, t, c));
        for (const { first, width, index } of parts) {
          scatterRows(dtype, axes.n, index, { of: dy, first, width }, { of: dx, first, width });
        }
        return { x: dx };
      },
    );
  }

  /**
   * Computes the gradient of x. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output [N,C] or [C]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward<D extends FloatDtype = FloatDtype>(gradients: {
    output: Tensor<D> | Tensor;
  }): {
    /** The gradient of x, in its shape. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("LastStep.backward", gradients, ["output"]));
  }
}

/** The base of the other two: a pool with one window, the sequence. */
abstract class OverTime extends Layer<FloatDtype, undefined> implements Module {
  readonly #memory: LayerMemory<FloatDtype, PoolPass>;
  readonly #kind: PoolKind;
  readonly #order: StepOrder;

  protected constructor(own: { readonly name: string; readonly kind: PoolKind }, options: OverTimeOptions) {
    checkSealed("OverTime", own, "MeanOverTime or MaxOverTime");
    const { batchFirst } = checkOptions(own.name, options, ["batchFirst"]);
    const memory = new LayerMemory<FloatDtype, PoolPass>(own.name);
    super(memory, true);
    this.#memory = memory;
    this.#kind = own.kind;
    this.#order = stepOrder(this, { batchFirst }, { endsTime: true });
    lockFields(this);
  }

  /** Whether x is [N,T,C]. */
  get batchFirst(): boolean {
    return this.#order.batchFirst ?? false;
  }

  /**
   * Computes the output. A row without steps gives zeros.
   *
   * @param x [T,N,C], [N,T,C] with batchFirst, or [T,C], of f64 or f32
   * @param options lengths of the rows
   * @throws ShapeError, DtypeError, ValueError, DisposedError, OutOfMemoryError
   */
  forward<D extends FloatDtype = FloatDtype>(
    x: Tensor<D> | Tensor,
    options: StepsOptions = {},
  ): {
    /** [N,C], or [C] for one sequence. */
    output: Tensor<D>;
  } {
    return this.#memory.runForward(
      { x },
      ({ x }, saved, scratch, { keep }) => {
        const sequences = readSequences(`${this.#memory.kind}.forward`, x, this.#order.batchFirst, options);
        const { axes, t, c, dtype, lengths } = sequences;
        const windows = { axes, t, lengths, outputs: 1, counts: lengths.map((length) => Math.min(length, 1)) };
        const input = scratch.copyChecked("x", sequences.x, dtype);
        const shape = { taps: t, stride: 1, left: 0 };
        const { y, pass } = poolForward(saved, scratch, this.#kind, input, shape, windows, keep);
        return { result: { output: y.download(stepShape(axes, c)) as Tensor<D> }, values: pass };
      },
      (pass, { output }, scratch) => {
        const shape = { taps: pass.t, stride: 1, left: 0 };
        return { x: poolBackward(scratch, this.#kind, pass, shape, output!, stepShape(pass.axes, pass.c)) };
      },
    );
  }

  /**
   * Computes the gradient of x. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward
   * @param gradients.output [N,C] or [C]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward<D extends FloatDtype = FloatDtype>(gradients: {
    output: Tensor<D> | Tensor;
  }): {
    /** The gradient of x, in its shape; zeros past the end of a row. */
    x: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions(`${this.#memory.kind}.backward`, gradients, ["output"]));
  }
}

/** The mean of the valid steps of each row. It has no parameters, and takes f64 and f32. */
export class MeanOverTime extends OverTime {
  /**
   * Creates the layer.
   *
   * @param options batchFirst
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(options: OverTimeOptions = {}) {
    super(sealed({ name: "MeanOverTime", kind: "mean" }), options);
  }
}

/**
 * The largest of the valid steps of each row, number by number; NaN where one is NaN. The gradient goes to the first of equal
 * numbers. It has no parameters, and takes f64 and f32.
 */
export class MaxOverTime extends OverTime {
  /**
   * Creates the layer.
   *
   * @param options batchFirst
   * @throws ValueError, UnsupportedError (an unknown option)
   */
  constructor(options: OverTimeOptions = {}) {
    super(sealed({ name: "MaxOverTime", kind: "max" }), options);
  }
}
