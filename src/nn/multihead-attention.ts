// Attention with several heads, made of operations.

import { ShapeError } from "../../bindings/errors.js";
import { startGraph } from "../../bindings/graph-module.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { takeTensor, type Arena, type WasmTensor } from "../../bindings/memory.js";
import { readTensor, showShape, zeros, type FloatDtype, type ReadTensor, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { checkProbability } from "../base/mask.js";
import { Random } from "../base/random.js";
import { backwardThrough } from "../ops/composite.js";
import * as elementwise from "../ops/elementwise.backward.js";
import { matmul } from "../ops/matmul.backward.js";
import * as movement from "../ops/movement.backward.js";
import { apply, type Differentiable } from "../ops/operation.js";
import { mean } from "../ops/reduction.backward.js";
import { softmax } from "../ops/softmax.backward.js";
import { Tape } from "../recording/tape.js";
import { readInput, readTaking, type AttentionOptions } from "./attention.js";
import { drawMask } from "./dropout.js";
import { initialDraw, Layer, LayerMemory, type Fill, type LayerOptions, type WasmParameter } from "./layer.js";
import { setTraits } from "./traits.js";

/**
 * Options of `MultiheadAttention`; the seed is that of the weights and of the dropout.
 *
 * @typeParam D the number type
 */
export interface MultiheadAttentionOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Whether the projections have biases (default true). */
  bias?: boolean | undefined;
  /** Probability of dropping a weight in training; the others are scaled by 1 / (1 - dropout) (default 0). */
  dropout?: number | undefined;
  /** Whether sequences are [N,T,E] instead of [T,N,E] (default false). */
  batchFirst?: boolean | undefined;
}

/** Options of `MultiheadAttention.forward`: which keys take part. */
export interface MultiheadAttentionInput extends AttentionOptions {
  /** Whether query i takes keys 0 to i alone (default false). */
  causal?: boolean | undefined;
}

/** The lowest finite number of a type: e^(it - x) is 0 for any score x, and no difference is NaN. */
function lowest(dtype: FloatDtype): number {
  return -(dtype === "f64" ? Number.MAX_VALUE : (2 - 2 ** -23) * 2 ** 127);
}

/** The axes of a call. */
interface Axes {
  readonly n: number;
  /** Steps of the queries, and of the keys. */
  readonly queries: number;
  readonly keys: number;
  readonly unbatched: boolean;
  /** Whether sequences are [N,T,E]. */
  readonly rowsFirst: boolean;
}

/** Where operations run, and the tape that records them, if any. */
interface Run {
  readonly arena: Arena;
  readonly tape: Tape | undefined;
}

/** Who attends to what, i32 of 1 and 0. */
interface Taking {
  /** The keys that take part, [N,T,1] or [T,N,1]; undefined: all. */
  readonly keys: Tensor<"i32"> | undefined;
  /** The keys that each query takes, to be broadcast to [N,heads,queries,keys]; undefined: all. */
  readonly pairs: Tensor<"i32"> | undefined;
  /** Whether a query takes none. */
  readonly anyEmpty: boolean;
}

/** What a forward pass saves. */
interface Saved {
  readonly tape: Tape;
  readonly inputs: Readonly<Record<string, FloatTensor>>;
  readonly output: FloatTensor;
  readonly weights: FloatTensor;
}

/**
 * Multi-head attention (Vaswani et al. 2017, "Attention Is All You Need"), as PyTorch's
 * [nn.MultiheadAttention](https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html): for each head, on its part
 * of the projected queries q, keys k and values v, softmax(q k^T / sqrt(E / heads)) v; then a projection of all heads' results. The
 * parameters are `in_proj_weight` [3E,E] and `in_proj_bias` [3E], of query, key and value in this order, `out_proj.weight` [E,E] and
 * `out_proj.bias` [E]. `in_proj_weight` is drawn by `init.xavierUniform`'s formula, `out_proj.weight` from U(-1/sqrt(E), 1/sqrt(E)); biases
 * start as zeros.
 *
 * @typeParam D the number type
 */
export class MultiheadAttention<D extends FloatDtype = "f64"> extends Layer<D> {
  readonly #memory: LayerMemory<D, Saved>;
  /** Whether sequences are [N,T,E] instead of [T,N,E]. */
  readonly batchFirst: boolean;
  /** Probability of dropping a weight in training. */
  readonly dropout: number;
  readonly #random: Random;
  readonly #inWeight: WasmParameter<D>;
  readonly #inBias: WasmParameter<D> | undefined;
  readonly #outWeight: WasmParameter<D>;
  readonly #outBias: WasmParameter<D> | undefined;

  /**
   * Creates the layer with random weights.
   *
   * @param embedDim E, the size of queries, keys, values and outputs
   * @param numHeads the number of heads, a divisor of E
   * @param options bias, dropout, batchFirst, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** The size of queries, keys, values and outputs. */
    readonly embedDim: number,
    /** The number of heads. */
    readonly numHeads: number,
    options: MultiheadAttentionOptions<D> = {},
  ) {
    checkSize("embedDim", embedDim);
    checkSize("numHeads", numHeads);
    if (embedDim % numHeads !== 0)
      throw new ShapeError("numHeads", `${numHeads}`, `a divisor of embedDim, ${embedDim}`);
    const names = ["bias", "dropout", "batchFirst", "dtype", "seed"];
    const given = checkOptions("MultiheadAttention", options, names);
    const { bias = true, dropout = 0, batchFirst = false, dtype, seed } = given;
    checkFlag("bias", bias);
    checkFlag("batchFirst", batchFirst);
    checkProbability("dropout", dropout);
    const random = new Random(seed);
    const memory = new LayerMemory<D, Saved>("MultiheadAttention", dtype);
    super(memory);
    this.#memory = memory;
    this.#random = random;
    this.batchFirst = batchFirst;
    this.dropout = dropout;
    // of in_proj_weight xavierUniform's bound: sqrt(6 / (3E + E)) = 1 / sqrt(2E / 3)
    const shapes: [string, number[], Fill?][] = [
      ["in_proj_weight", [3 * embedDim, embedDim], initialDraw(random, (2 * embedDim) / 3)],
      ["in_proj_bias", [3 * embedDim]],
      ["out_proj.weight", [embedDim, embedDim], initialDraw(random, embedDim)],
      ["out_proj.bias", [embedDim]],
    ];
    const parameters = memory.addParameters(shapes.filter(([name]) => bias || !name.endsWith("bias")));
    const named = Object.fromEntries(parameters.map((each) => [each.name, each]));
    this.#inWeight = named.in_proj_weight!;
    this.#inBias = named.in_proj_bias;
    this.#outWeight = named["out_proj.weight"]!;
    this.#outBias = named["out_proj.bias"];
    setTraits(this, {
      takes: ["lengths", "mask"],
      batchFirst,
      randoms: { random },
      link: {
        forward: (x, { lengths, mask } = {}) =>
          this.forward(x, undefined, undefined, { lengths, mask: mask && this.#rowsOf(mask) }),
        backward: (gradients) => ({ x: this.backward(gradients).query }),
      },
    });
    lockFields(this);
  }

  /**
   * Attends from each query to the keys of its row. A query for which no key takes part gets weights of 0, and the bias of the output's
   * projection as its output.
   *
   * @param query [T,N,E], with `batchFirst` [N,T,E], or one sequence [T,E]
   * @param key keys, with a number of steps of their own: by default the queries. Those that do not take part may be anything
   * @param value values, in the shape of the keys: by default the keys
   * @param options lengths, mask, causal; the mask of one sequence is [T]
   * @throws ShapeError, DtypeError, ValueError, StateError (lengths and mask), UnsupportedError, DisposedError,
   *   OutOfMemoryError
   */
  forward(
    query: Tensor,
    key?: Tensor,
    value?: Tensor,
    options: MultiheadAttentionInput = {},
  ): {
    /** In the shape of query. */
    output: Tensor<D>;
    /** The weights, with dropout in training mode: the mean of all heads, [N,queries,keys], or [queries,keys] of one sequence. */
    weights: Tensor<D>;
  } {
    const given = checkOptions("MultiheadAttention.forward", options, ["lengths", "mask", "causal"]);
    const memory = this.#memory;
    memory.checkAlive();
    const inputs = this.#read(query, key, value);
    const axes = this.#axesOf(inputs);
    const taking = takingOf(given, axes);
    const state = this.#random.state;
    try {
      return memory.runForward(
        inputs,
        (_, saved, scratch, { training, keep }) => {
          const tape = keep ? new Tape() : undefined;
          const copies: Record<string, FloatTensor> = {};
          const arena = keep ? saved : scratch;
          for (const [name, input] of Object.entries(inputs)) {
            if (input) copies[name] = arena.copyChecked(name, input, memory.dtype);
          }
          const { output, weights } = this.#attend({ arena, tape }, copies, axes, taking, training);
          const shape = axes.unbatched ? [axes.queries, axes.keys] : weights.shape;
          const result = {
            output: output.download(inputs.query.shape) as Tensor<D>,
            weights: weights.download(shape) as Tensor<D>,
          };
          return { result, values: { tape: tape!, inputs: copies, output, weights } };
        },
        ({ tape, inputs: copies, output, weights }, gradients, scratch) => {
          const upload = (
            name: string,
            result: FloatTensor,
            shape: readonly number[],
          ): [FloatTensor, Tensor | undefined] => {
            const gradient = gradients[name];
            return [result, gradient && scratch.upload(name, gradient, memory.dtype, shape).reshape(result.shape)];
          };
          const shape = axes.unbatched ? [axes.queries, axes.keys] : weights.shape;
          const results = [upload("output", output, inputs.query.shape), upload("weights", weights, shape)];
          const names = Object.keys(copies);
          const found = backwardThrough(tape, results, Object.values(copies), memory.parameters);
          return Object.fromEntries(
            names.map((name, i) => [name, found[i] ?? scratch.zeros(name, memory.dtype, copies[name]!.shape)]),
          );
        },
      );
    } catch (error) {
      this.#random.state = state;
      throw error;
    }
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward, in their shapes; one may be left out
   * @param gradients.output in the shape of query
   * @param gradients.weights [N,queries,keys]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor | undefined; weights?: Tensor | undefined }): {
    /** The gradient of query, with that of keys and values that were left out. */
    query: Tensor<D>;
    /** The gradient of key, with that of values that were left out; undefined where key was. */
    key?: Tensor<D>;
    /** The gradient of value; undefined where it was left out. */
    value?: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("MultiheadAttention.backward", gradients, ["output", "weights"]));
  }

  /** The mask of a container's sequences, [T,N], or [N,T] with `batchFirst`, as `forward` takes it; that of one sequence is [T]. */
  #rowsOf(mask: Tensor): Tensor {
    const read = readTensor("mask", mask);
    const [t, n] = read.shape;
    if (this.batchFirst || read.shape.length !== 2) return read;
    const { data } = takeTensor("mask", read, "i32", ["T", "N"]);
    return { data: transposed(data, t!, n!), shape: [n!, t!] };
  }

  #read(query: Tensor, key: Tensor | undefined, value: Tensor | undefined) {
    const { arena, dtype } = this.#memory;
    const { batchFirst, embedDim } = this;
    const read = (name: string, tensor: Tensor, pattern: readonly (number | string)[]): ReadTensor =>
      readInput(arena.core, name, tensor, dtype, pattern);
    const first = read("query", query, ["...", embedDim]);
    const rank = first.shape.length;
    if (rank !== 2 && rank !== 3) throw new ShapeError("query", showShape(first.shape), `[T, N, ${embedDim}]`);
    const [a, b] = first.shape;
    const pattern = rank === 2 ? ["T", embedDim] : batchFirst ? [a!, "T", embedDim] : ["T", b!, embedDim];
    const second = key === undefined ? undefined : read("key", key, pattern);
    const third = value === undefined ? undefined : read("value", value, (second ?? first).shape);
    return { query: first, key: second, value: third };
  }

  #axesOf({ query, key = query }: { query: ReadTensor; key: ReadTensor | undefined }): Axes {
    const unbatched = query.shape.length === 2;
    const rowsFirst = this.batchFirst && !unbatched;
    const axis = rowsFirst ? 1 : 0;
    const [queries, keys] = [query.shape[axis]!, key.shape[axis]!];
    if (queries === 0) throw new ShapeError("query", showShape(query.shape), "at least one step");
    if (keys === 0) throw new ShapeError("key", showShape(key.shape), "at least one step");
    return { n: unbatched ? 1 : query.shape[1 - axis]!, queries, keys, unbatched, rowsFirst };
  }

  /** Weights [N,queries,keys], and the output in the shape of the query rows. */
  #attend(
    run: Run,
    { query, key, value }: Readonly<Record<string, FloatTensor>>,
    axes: Axes,
    taking: Taking,
    training: boolean,
  ): { output: FloatTensor; weights: FloatTensor } {
    const { embedDim, numHeads } = this;
    const { n, queries, keys, rowsFirst } = axes;
    const { arena } = run;
    startGraph(arena.core);
    const { dtype } = this.#memory;
    const number = (value: number): FloatTensor => elementwise.scalar(arena, query!, value);
    const flags = (tensor: Tensor): WasmTensor<"i32"> => arena.copyChecked("mask", tensor, "i32");
    const batch = (x: FloatTensor, steps: number): FloatTensor =>
      one(run, movement.reshape, [x], { shape: rowsFirst ? [n, steps, embedDim] : [steps, n, embedDim] });
    /** [N,heads,T,E / heads] of the projection of x by a third of the weights. */
    const project = (x: FloatTensor, third: number, factor?: number): FloatTensor => {
      const range = { axis: 0, start: third * embedDim, end: (third + 1) * embedDim };
      const [weight, bias] = [this.#inWeight, this.#inBias].map(
        (each) => each && one(run, movement.slice, [each.value], range),
      );
      let y = linear(run, x, weight!, bias);
      if (factor !== undefined) y = one(run, elementwise.mask, [y, number(factor)], undefined);
      const shape = [...x.shape.slice(0, 2), numHeads, embedDim / numHeads];
      const parts = one(run, movement.reshape, [y], { shape });
      return one(run, movement.transpose, [parts], { axes: rowsFirst ? [0, 2, 1, 3] : [1, 2, 0, 3] });
    };

    const queryRows = batch(query!, queries);
    let keyRows = key ? batch(key, keys) : queryRows;
    let valueRows = value ? batch(value, keys) : keyRows;
    if (taking.keys) {
      // Zeros in the keys that do not take part: their weight of 0 times NaN would be NaN.
      const taken = flags(taking.keys);
      const clear = (x: FloatTensor): FloatTensor => one(run, elementwise.whereElse, [taken, x, number(0)], undefined);
      const shared = valueRows === keyRows;
      keyRows = clear(keyRows);
      valueRows = shared ? keyRows : clear(valueRows);
    }
    const q = project(queryRows, 0, 1 / Math.sqrt(embedDim / numHeads));
    const scores = one(run, matmul, [q, project(keyRows, 1)], { transposeB: true });
    const pairs = taking.pairs && flags(taking.pairs);
    const choose = (x: FloatTensor, other: number): FloatTensor =>
      one(run, elementwise.whereElse, [pairs!, x, number(other)], undefined);
    let weights = one(run, softmax, [pairs ? choose(scores, lowest(dtype)) : scores], undefined);
    if (taking.anyEmpty) weights = choose(weights, 0);
    if (training && this.dropout > 0) {
      const mask = drawMask(arena, "dropout", dtype, weights.shape, this.dropout, this.#random);
      weights = one(run, elementwise.mask, [weights, mask], undefined);
    }
    const context = one(run, matmul, [weights, project(valueRows, 2)], {});
    const rows = one(run, movement.transpose, [context], { axes: rowsFirst ? [0, 2, 1, 3] : [2, 0, 1, 3] });
    const joined = one(run, movement.reshape, [rows], { shape: queryRows.shape });
    return {
      output: linear(run, joined, this.#outWeight.value, this.#outBias?.value),
      weights: one(run, mean, [weights], { axes: [1] }),
    };
  }
}

/** Runs an operation, and records it where there is a tape. */
function one<Attributes>(
  { arena, tape }: Run,
  operation: Differentiable<Attributes>,
  inputs: readonly WasmTensor[],
  attributes: Attributes,
): FloatTensor {
  return apply(arena, operation, inputs, attributes, tape)[0] as FloatTensor;
}

/** x W^T + b. */
function linear(run: Run, x: FloatTensor, weight: FloatTensor, bias: FloatTensor | undefined): FloatTensor {
  return one(run, matmul, bias ? [x, weight, bias] : [x, weight], { transposeB: true });
}

/** Reads who attends to what. */
function takingOf(given: MultiheadAttentionInput, { n, queries, keys, unbatched, rowsFirst }: Axes): Taking {
  const { causal = false } = given;
  checkFlag("causal", causal);
  const taking = readTaking(given, n, keys, unbatched ? [keys] : [n, keys]);
  const own = taking && {
    data: rowsFirst ? taking : transposed(taking, n, keys),
    shape: rowsFirst ? [n, keys, 1] : [keys, n, 1],
  };
  if (!causal) {
    const anyEmpty = taking !== undefined && emptyRow(taking, n, keys);
    return { keys: own, pairs: taking && { data: taking, shape: [n, 1, 1, keys] }, anyEmpty };
  }
  const rows = taking ? n : 1;
  const pairs = zeros("i32", rows * queries * keys);
  for (let i = 0; i < rows * queries; i++) {
    const end = Math.min((i % queries) + 1, keys);
    const row = Math.floor(i / queries) * keys;
    if (taking) pairs.set(taking.subarray(row, row + end), i * keys);
    else pairs.fill(1, i * keys, i * keys + end);
  }
  const anyEmpty = taking !== undefined && emptyRow(pairs, n * queries, keys);
  return { keys: own, pairs: { data: pairs, shape: [rows, 1, queries, keys] }, anyEmpty };
}

/** Whether a row of flags [rows,columns] has zeros alone. */
function emptyRow(flags: Int32Array, rows: number, columns: number): boolean {
  for (let row = 0; row < rows; row++) {
    if (!flags.subarray(row * columns, (row + 1) * columns).includes(1)) return true;
  }
  return false;
}

/** [columns,rows] of flags [rows,columns]. */
function transposed(flags: Int32Array, rows: number, columns: number): Int32Array {
  return flags.map((_, i) => flags[(i % rows) * columns + Math.floor(i / rows)]!);
}
