// Additive attention. Its equations are in assembly/layers/attention.ts.

import { additiveBackward, additiveForward, sameBits } from "../../bindings/attention.js";
import { ShapeError } from "../../bindings/errors.js";
import { add, linearBackward, linearForward, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, type WasmTensor } from "../../bindings/memory.js";
import { BYTES, showShape, sizeOf, type FloatDtype, type ReadTensor, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { currentTape } from "../recording/current.js";
import { keyOf, type Tape } from "../recording/tape.js";
import { copyKeys, readInput, readTaking, uploadTaking, type AttentionOptions } from "./attention.js";
import { initialDraw, Layer, LayerMemory, type LayerOptions, type WasmParameter } from "./layer.js";
import { setTraits } from "./traits.js";

/**
 * Options of `AdditiveAttention`.
 *
 * @typeParam D the number type
 */
export interface AdditiveAttentionOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Whether keys are [N,T,K] instead of [T,N,K] (default false). */
  batchFirst?: boolean | undefined;
}

/** Keys, their projections, and what these were computed from. */
interface Projection {
  /** What a recording knows the keys by. */
  readonly source: object;
  readonly keys: FloatTensor;
  readonly weight: FloatTensor;
  readonly bias: FloatTensor;
  readonly projected: FloatTensor;
}

/** What a forward pass saves. */
interface Saved {
  readonly query: FloatTensor;
  /** The projected query. */
  readonly q: FloatTensor;
  readonly projection: Projection;
  readonly mask: WasmTensor<"i32"> | undefined;
  readonly weights: FloatTensor;
  /** Whether the projection was recorded as a call of its own. */
  readonly recorded: boolean;
}

/**
 * Additive attention (Bahdanau, Cho & Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and Translate"): each
 * query takes the keys' mean, weighted by softmax over t of v . tanh(W_q query + W_k key_t + b). Its parameters are `weight_query` [H,Q],
 * `weight_key` [H,K], `bias` [H] and `v` [H], drawn from U(-1/sqrt(in), 1/sqrt(in)) as those of three of PyTorch's nn.Linear: without
 * bias, with bias, without bias.
 *
 * A decoder calls it once for each of its steps, with the same keys: in a recorded body and in inference mode the projected keys are
 * kept and, as long as neither keys nor weights change, used again.
 *
 * @typeParam D the number type
 */
export class AdditiveAttention<D extends FloatDtype = "f64"> extends Layer<D> {
  readonly #memory: LayerMemory<D, Saved>;
  /** Whether keys are [N,T,K] instead of [T,N,K]. */
  readonly batchFirst: boolean;
  readonly #weightQuery: WasmParameter<D>;
  readonly #weightKey: WasmParameter<D>;
  readonly #bias: WasmParameter<D>;
  readonly #v: WasmParameter<D>;
  readonly #recorded = new WeakMap<Tape, Projection>();
  /** Of the latest call in inference mode. */
  #latest: Projection | undefined;

  /**
   * Creates the layer with random weights.
   *
   * @param querySize Q, the size of a query
   * @param keySize K, the size of a key
   * @param hiddenSize H, the size of their projections
   * @param options batchFirst, dtype, seed
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(
    /** The size of a query. */
    readonly querySize: number,
    /** The size of a key. */
    readonly keySize: number,
    /** The size of the projections. */
    readonly hiddenSize: number,
    options: AdditiveAttentionOptions<D> = {},
  ) {
    checkSize("querySize", querySize);
    checkSize("keySize", keySize);
    checkSize("hiddenSize", hiddenSize);
    const given = checkOptions("AdditiveAttention", options, ["batchFirst", "dtype", "seed"]);
    const { batchFirst = false, dtype, seed } = given;
    checkFlag("batchFirst", batchFirst);
    const random = new Random(seed);
    const memory = new LayerMemory<D, Saved>("AdditiveAttention", dtype);
    super(memory);
    this.#memory = memory;
    this.batchFirst = batchFirst;
    const parameters = memory.addParameters([
      ["weight_query", [hiddenSize, querySize], initialDraw(random, querySize)],
      ["weight_key", [hiddenSize, keySize], initialDraw(random, keySize)],
      ["bias", [hiddenSize], initialDraw(random, keySize)],
      ["v", [hiddenSize], initialDraw(random, hiddenSize)],
    ]);
    [this.#weightQuery, this.#weightKey, this.#bias, this.#v] = parameters as [
      WasmParameter<D>,
      WasmParameter<D>,
      WasmParameter<D>,
      WasmParameter<D>,
    ];
    setTraits(this, { batchFirst });
    lockFields(this);
  }

  /**
   * Computes the weights of the keys, and their sum by these weights. Where no key takes part, both are zeros.
   *
   * @param query [N,Q]
   * @param keys [T,N,K], or with `batchFirst` [N,T,K]; those that do not take part may be anything
   * @param options lengths, mask
   * @throws ShapeError, DtypeError, ValueError, StateError (lengths and mask), UnsupportedError, DisposedError,
   *   OutOfMemoryError
   */
  forward(
    query: Tensor,
    keys: Tensor,
    options: AttentionOptions = {},
  ): {
    /** The weighted sum of the keys [N,K]. */
    output: Tensor<D>;
    /** The weights [N,T]; those of a row add up to 1. */
    weights: Tensor<D>;
  } {
    const given = checkOptions("AdditiveAttention.forward", options, ["lengths", "mask"]);
    const memory = this.#memory;
    memory.checkAlive();
    const { dtype, training } = memory;
    const { core } = memory.arena;
    const { batchFirst } = this;
    const readQuery = readInput(core, "query", query, dtype, ["N", this.querySize]);
    const n = readQuery.shape[0]!;
    const axes = batchFirst ? [n, "T"] : ["T", n];
    const readKeys = readInput(core, "keys", keys, dtype, [...axes, this.keySize]);
    const t = readKeys.shape[batchFirst ? 1 : 0]!;
    if (t === 0) throw new ShapeError("keys", showShape(readKeys.shape), "at least one step");
    const taking = readTaking(given, n, t, [n, t]);
    const tape = currentTape();
    const known = tape || !training ? this.#knownProjection(readKeys, taking, tape) : undefined;
    try {
      return memory.runForward(
        { query: readQuery, keys: readKeys, projected: tape && known?.projected },
        (_, saved, scratch) => {
          const projection = known ?? this.#project(saved, readKeys.source, this.#copyKeys(saved, readKeys, taking));
          const queryCopy: FloatTensor = saved.copyChecked("query", readQuery, dtype);
          const q = linearForward(saved, dtype, { x: queryCopy, weight: this.#weightQuery.value });
          const mask = uploadTaking(saved, taking, [n, t]);
          const args = {
            query: q,
            projected: projection.projected,
            keys: projection.keys,
            batchFirst,
            v: this.#v.value,
            mask,
          };
          const { weights, output } = additiveForward(scratch, saved, args);
          const result = { output: output.download() as Tensor<D>, weights: weights.download() as Tensor<D> };
          return { result, values: { query: queryCopy, q, projection, mask, weights, recorded: tape !== undefined } };
        },
        (values, { output, weights }, scratch) => {
          const { projection, mask } = values;
          const dOutput = output && scratch.copy("output", output, dtype, [n, this.keySize]);
          const dWeights = weights && scratch.copy("weights", weights, dtype, [n, t]);
          // All gradients change, or none: there is room for theirs and for the copies of `linearBackward`.
          const { keys: k, projected: p } = projection;
          const sizes = [values.q, p, k, values.q, values.query, p, k].map(({ shape }) => BYTES[dtype] * sizeOf(shape));
          core.heap.checkRoom(sizes, "gradients of AdditiveAttention");
          const gradients = additiveBackward(scratch, {
            query: values.q,
            projected: projection.projected,
            keys: projection.keys,
            batchFirst,
            v: this.#v.value,
            mask,
            weights: values.weights,
            dOutput,
            dWeights,
            dV: this.#v.grad,
          });
          const { dKeys, dProjected } = gradients;
          const dQuery = linearBackward(scratch, dtype, {
            x: values.query,
            weight: this.#weightQuery.value,
            dy: gradients.dQuery,
            dWeight: this.#weightQuery.grad,
          });
          if (values.recorded) return { query: dQuery, keys: dKeys, projected: dProjected };
          add(this.#projectBackward(scratch, projection, dProjected), dKeys, dKeys);
          return { query: dQuery, keys: dKeys };
        },
      );
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /**
   * Adds to the gradients of the parameters. It belongs to the latest forward in training mode, and uses it up.
   *
   * @param gradients of the results of forward; one may be left out
   * @param gradients.output [N,K]
   * @param gradients.weights [N,T]
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor | undefined; weights?: Tensor | undefined }): {
    /** The gradient of query [N,Q]. */
    query: Tensor<D>;
    /** The gradient of keys, in their shape; 0 in those that do not take part. */
    keys: Tensor<D>;
  } {
    return this.#memory.runBackward(checkOptions("AdditiveAttention.backward", gradients, ["output", "weights"]));
  }

  /** Frees the memory of the layer. A second call does nothing. */
  override dispose(): void {
    this.#forget();
    super.dispose();
  }

  /** Frees what is kept between calls in inference mode. */
  #forget(): void {
    this.#latest?.keys.arena.dispose();
    this.#latest = undefined;
  }

  #copyKeys(arena: Arena, keys: ReadTensor, taking: Int32Array | undefined): FloatTensor {
    return copyKeys(arena, "keys", keys, this.#memory.dtype, this.batchFirst, taking);
  }

  #project(arena: Arena, source: object, keys: FloatTensor): Projection {
    const { dtype } = this.#memory;
    const weight: FloatTensor = arena.copy("weight_key", this.#weightKey.value, dtype, ["H", "K"]);
    const bias: FloatTensor = arena.copy("bias", this.#bias.value, dtype, ["H"]);
    return { source, keys, weight, bias, projected: linearForward(arena, dtype, { x: keys, weight, bias }) };
  }

  #projectBackward(scratch: Arena, { keys }: Projection, dy: Tensor): FloatTensor {
    const { dtype } = this.#memory;
    const gradients = { dWeight: this.#weightKey.grad, dBias: this.#bias.grad };
    return linearBackward(scratch, dtype, { x: keys, weight: this.#weightKey.value, dy, ...gradients });
  }

  /**
   * The projection of keys for a recording, which has a call of its own there, or for inference: that of an earlier call if neither
   * the keys nor the weights have changed a bit.
   */
  #knownProjection(given: ReadTensor, taking: Int32Array | undefined, tape: Tape | undefined): Projection {
    const arena = new Arena(this.#memory.arena.core, true);
    try {
      const keys = this.#copyKeys(arena, given, taking);
      const source = keyOf(given);
      const known = tape ? this.#recorded.get(tape) : this.#latest;
      const isSame =
        known &&
        (!tape || known.source === source) &&
        sameBits(known.keys, keys) &&
        sameBits(known.weight, this.#weightKey.value) &&
        sameBits(known.bias, this.#bias.value);
      if (isSame) {
        arena.dispose();
        return known;
      }
      const projection = this.#project(arena, source, keys);
      if (tape) {
        tape.push({
          inputs: { keys: given },
          outputs: { projected: projection.projected },
          parameters: [this.#weightKey, this.#bias],
          arena,
          backward: ({ projected }, scratch) => ({ keys: this.#projectBackward(scratch, projection, projected!) }),
        });
        this.#recorded.set(tape, projection);
      } else {
        this.#forget();
        this.#latest = projection;
      }
      return projection;
    } catch (error) {
      arena.dispose();
      throw error;
    }
  }
}
