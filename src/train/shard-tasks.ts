// The tasks of shards: CharLM on a text, and models of the caller's on batches.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { BYTES, describe, dtypeOf, readTensor, showShape, sizeOf, zeros, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkFunction, checkOptions, readList } from "../base/check.js";
import { Random } from "../base/random.js";
import { isRecord } from "../formats/json.js";
import { countParameters } from "../models/charlm-file.js";
import { CHARLM_CELLS, CharLM, type CharLMCell, type CharLMOptions } from "../models/charlm.js";
import { TextStreams, Vocabulary } from "../models/text.js";
import { traitsOf } from "../nn/traits.js";
import { valueAndGrad } from "../ops/value-and-grad.js";
import type { LossResult } from "../recording/minimize.js";
import type { Parameter } from "../base/parameter.js";
import { forward, readBatch, type BatchInfo, type TrainableModel, type TrainingBatch } from "./evaluate.js";
import { modulesOf } from "./modules.js";
import { addPart, part, type Tensors } from "./records.js";
import { checkCut } from "./sharded-training.js";
import type { Json, ShardModel, ShardPass, ShardTask } from "./shards.js";

/** Character language models by truncated backpropagation through time: `TextStreams` cut into shards of neighbouring streams. */
export const charLMTask: ShardTask = Object.freeze({
  name: "charlm",
  open(setup: Json, maxBytes: number): ShardModel {
    checkCount("maxBytes", maxBytes, 1);
    const { characters, batch, seq, ...options } = readCharLMSetup(setup);
    const { cell, embeddingDim, hiddenSize, numLayers, dtype } = options;
    const size = characters.length;
    // as of a training: weights, gradients, Adam's moments, and what the backward pass needs
    const window = batch * seq * (numLayers * 6 * hiddenSize + embeddingDim + 2 * size);
    const bytes = (4 * countParameters(size, { cell, embeddingDim, hiddenSize, numLayers }) + window) * BYTES[dtype];
    if (!(bytes <= maxBytes)) throw new ValueError("setup", `a model of ${bytes} bytes`, `at most ${maxBytes}`);
    const model = new CharLM(new Vocabulary(characters), { ...options, seed: 0 });
    return new CharLMShard(model, batch, seq);
  },
});

/** A shard's setup and part of the text. */
interface CharLMSetup extends Required<Pick<CharLMOptions, "embeddingDim" | "hiddenSize" | "numLayers">> {
  readonly cell: CharLMCell;
  readonly dtype: "f32" | "f64";
  readonly characters: readonly string[];
  /** Streams of a shard. */
  readonly batch: number;
  readonly seq: number;
}

function readCharLMSetup(setup: Json): CharLMSetup {
  const refuse = (name: string, value: unknown, expected: string): never => {
    throw new ValueError(`setup.${name}`, describe(value), expected);
  };
  if (!isRecord(setup)) return refuse("", setup, "a record");
  const { characters, cell, dtype, ...rest } = setup;
  if (!Array.isArray(characters)) refuse("characters", characters, "a list of characters");
  if (!CHARLM_CELLS.includes(cell as CharLMCell)) refuse("cell", cell, CHARLM_CELLS.join(", "));
  if (dtype !== "f32" && dtype !== "f64") refuse("dtype", dtype, '"f32" or "f64"');
  for (const name of ["embeddingDim", "hiddenSize", "numLayers", "batch", "seq"]) {
    const value = rest[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1) refuse(name, value, "a whole number from 1 up");
  }
  return setup as unknown as CharLMSetup;
}

/** The setup of a model's shards, and each shard's part of a text: `batch` streams in `shards` parts. */
export function charLMShards(
  model: CharLM,
  codes: Int32Array,
  { batch, seq, shards }: { batch: number; seq: number; shards: number },
): { setup: Json; data: Tensors[] } {
  checkCut({ shards, localSteps: 1, outerMomentum: 0 }, batch);
  const rows = batch / shards;
  const { streamLength } = new TextStreams(codes, batch, seq);
  const data = Array.from({ length: shards }, (_, shard): Tensors => {
    const start = shard * rows * streamLength;
    const own = codes.slice(start, start + rows * streamLength + 1); // the last character is a target only
    return { codes: { data: own, shape: [own.length] } };
  });
  const setup = { ...model.architecture, characters: model.vocabulary.characters, batch: rows, seq };
  return { setup, data };
}

/** A CharLM on the streams of a shard. */
export class CharLMShard implements ShardModel {
  readonly #batch: number;
  readonly #seq: number;

  constructor(
    readonly model: CharLM,
    batch: number,
    seq: number,
  ) {
    this.#batch = batch;
    this.#seq = seq;
  }

  parameters(): readonly Parameter[] {
    return this.model.parameters();
  }

  stateDict(): Record<string, Tensor> {
    return this.model.stateDict();
  }

  loadStateDict(dict: Tensors): void {
    this.model.loadStateDict(dict);
  }

  pass({ data, batch, carried, reduction }: ShardPass) {
    const { model } = this;
    const streams = new TextStreams(data.codes?.data as Int32Array, this.#batch, this.#seq);
    const { inputs, targets } = streams.window(batch);
    const { h, c } = carried;
    model.state = batch === 0 || !h ? undefined : { h, ...(c && { c }) };
    const { loss, count } = model.computeGradients(inputs, targets, reduction);
    const state = model.state!;
    return { loss, count, carried: { h: state.h, ...(state.c && { c: state.c }) } };
  }

  dispose(): void {
    this.model.dispose();
  }
}

/** What the loss of a shard is told beside output and targets. */
export interface ShardInfo extends BatchInfo {
  /** What the loss is to be, for the losses of this package: `mse(output, y, { lengths, reduction })`. */
  readonly reduction: "mean" | "sum";
}

/** A model that shards are trained on. */
export interface ShardedModel extends TrainableModel {
  /** What is trained. */
  parameters(): readonly Parameter[];
  /** Gives its memory back. */
  dispose?(): void;
}

/** A model of the caller's, with its loss. */
export interface ModelTaskOptions {
  /** The name that jobs have: letters, digits, "-" and "_". */
  name: string;
  /**
   * Makes the model: a `Sequential`, a layer, a `Module` of your own. Its weights are set afterwards.
   *
   * @param setup that of the training, to be checked: it comes from the queue
   */
  model: (setup: Json) => ShardedModel;
  /**
   * The loss of a shard's batch, with the reduction that `info` says.
   *
   * @param output of the model
   * @param y the targets
   * @param info lengths and reduction
   */
  loss: (output: Tensor, y: Tensor, info: ShardInfo) => LossResult;
  /**
   * The number of losses of which `loss` is the mean (default: targets of i32 that are not -100; numbers of other targets, within
   * the lengths of their rows if these are those of x).
   *
   * @param y the targets
   * @param info lengths
   */
  count?: (y: Tensor, info: BatchInfo) => number;
}

/**
 * A task for models of your own, on batches (see `shardBatches`).
 *
 * @param options name, model, loss, count
 * @throws ValueError
 */
export function modelTask(options: ModelTaskOptions): ShardTask {
  const names = ["name", "model", "loss", "count"];
  const { name, model, loss, count = countTargets } = checkOptions("modelTask", options, names);
  checkTaskName(name);
  for (const [argument, value] of Object.entries({ model, loss, count })) checkFunction(argument, value);
  return Object.freeze({
    name,
    open: (setup: Json) => new BatchShard(model(setup), loss, count),
  });
}

/** @throws ValueError */
export function checkTaskName(name: unknown): void {
  if (typeof name === "string" && /^[\w-]{1,50}$/.test(name)) return;
  throw new ValueError("name", describe(name), 'at most 50 letters, digits, "-" and "_"');
}

/** A model of the caller's, on the batches of a shard. */
class BatchShard implements ShardModel {
  readonly #model: ReturnType<ModelTaskOptions["model"]>;
  readonly #loss: ModelTaskOptions["loss"];
  readonly #count: NonNullable<ModelTaskOptions["count"]>;

  constructor(
    model: ReturnType<ModelTaskOptions["model"]>,
    loss: ModelTaskOptions["loss"],
    count: NonNullable<ModelTaskOptions["count"]>,
  ) {
    this.#model = model;
    this.#loss = loss;
    this.#count = count;
  }

  parameters(): readonly Parameter[] {
    return this.#model.parameters();
  }

  stateDict(): Record<string, Tensor> {
    return this.#model.stateDict();
  }

  loadStateDict(dict: Tensors): void {
    this.#model.loadStateDict(dict);
  }

  pass({ data, batch, seed, carried, reduction }: ShardPass) {
    const model = this.#model;
    const random = new Random(seed);
    const stateful: [string, { carried: () => Readonly<Record<string, Tensor | undefined>>; layer: object }][] = [];
    for (const [path, layer] of modulesOf(model)) {
      const traits = traitsOf(layer);
      for (const own of Object.values(traits.randoms ?? {})) own.state = new Random(random.uint32()).state;
      if (traits.carried) stateful.push([path, { carried: traits.carried, layer }]);
    }
    for (const [path, { layer }] of stateful) {
      const state = batch === 0 ? {} : part(carried, `${path}.`);
      (layer as { resetState(state: object): void }).resetState({ ...state });
    }
    const { x, y, lengths, targetLengths, first } = part(data, `${batch}.`);
    if (!x || !y) throw new ValueError("batch", `${batch}`, "a batch of the shard's data");
    const listOf = (tensor: Tensor | undefined) => tensor && Array.from(tensor.data);
    const read = readBatch<Tensor>("data", {
      x,
      y,
      lengths: listOf(lengths),
      targetLengths: listOf(targetLengths),
      ...(first && { batchFirst: first.data[0] === 1 }),
    });
    let info!: BatchInfo;
    for (const { grad } of model.parameters()) (grad.data as Float64Array).fill(0);
    const { loss } = valueAndGrad(() => {
      const run = forward(model, read);
      ({ info } = run);
      return this.#loss(run.output, y, { ...info, reduction });
    });
    const next: Record<string, Tensor> = {};
    for (const [path, { carried: stateOf }] of stateful) {
      const state = Object.entries(stateOf()).filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
      addPart(next, `${path}.`, Object.fromEntries(state));
    }
    return { loss, count: this.#count(y, info), carried: next };
  }

  dispose(): void {
    this.#model.dispose?.();
  }
}

/** How many targets a loss of this package is the mean of. */
function countTargets({ data, shape }: Tensor, { lengths, targetLengths }: BatchInfo): number {
  if (dtypeOf(data) === "i32") return (data as Int32Array).filter((target) => target !== -100).length;
  if (lengths === undefined || targetLengths !== undefined || shape.length < 2) return data.length;
  return lengths.reduce((sum, length) => sum + length, 0) * sizeOf(shape.slice(2));
}

/**
 * Batches cut into shards: each shard's part of the data of a `modelTask`.
 *
 * @param batches of an epoch, each of a number of rows that `shards` divides
 * @param shards how many
 * @throws ValueError naming the batch that `shards` does not divide, ShapeError
 */
export function shardBatches(batches: Iterable<TrainingBatch>, shards: number): Tensors[] {
  checkCount("shards", shards, 1);
  if (typeof (batches as Partial<Iterable<TrainingBatch>> | null)?.[Symbol.iterator] !== "function") {
    throw new ValueError("batches", describe(batches), "batches, as of `batches`");
  }
  let data: Record<string, Tensor>[] = [];
  let index = 0;
  // arrays by their elements, whatever their iterator
  const all = Array.isArray(batches) ? (readList("batches", batches, "batches") as TrainingBatch[]) : batches;
  for (const batch of all) {
    const { lengths, targetLengths, batchFirst, samples, ...pair } = readBatch<Tensor>("data", batch);
    const [x, y] = [readTensor("x", pair.x), readTensor("y", pair.y)];
    if (samples % shards !== 0) {
      throw new ValueError("shards", `${shards}`, `a divisor of the ${samples} rows of batch ${index}`);
    }
    if (index === 0) data = Array.from({ length: shards }, () => ({}));
    // sequences [T,N,...] have their rows on the second axis, and so have targets for each step of x
    const axis = lengths !== undefined && batchFirst !== true ? 1 : 0;
    const stepwise = axis === 1 && targetLengths === undefined && y.shape.length > 1;
    const alike = stepwise && y.shape[0] === x.shape[0] && y.shape[1] === samples;
    const list = (numbers: readonly number[]): Tensor => ({ data: Int32Array.from(numbers), shape: [numbers.length] });
    const tensors: Record<string, [Tensor, number]> = { x: [x, axis], y: [y, alike ? 1 : 0] };
    if (lengths) tensors.lengths = [list(lengths), 0];
    if (targetLengths) tensors.targetLengths = [list(targetLengths), 0];
    for (const [name, [tensor, rows]] of Object.entries(tensors)) {
      splitRows(name, tensor, rows, shards).forEach((own, shard) => (data[shard]![`${index}.${name}`] = own));
    }
    if (batchFirst !== undefined) {
      for (const own of data) own[`${index}.first`] = { data: Int32Array.of(batchFirst ? 1 : 0), shape: [1] };
    }
    index++;
  }
  if (index === 0) throw new ValueError("data", "no batches", "at least one");
  return data;
}

/** A tensor in equal parts along an axis. */
function splitRows(name: string, { data, shape }: Tensor, axis: number, parts: number): Tensor[] {
  const rows = shape[axis];
  if (rows === undefined || rows % parts !== 0) {
    throw new ShapeError(name, showShape(shape), `an axis ${axis} that ${parts} divides`);
  }
  const outer = sizeOf(shape.slice(0, axis));
  const own = (rows / parts) * sizeOf(shape.slice(axis + 1));
  return Array.from({ length: parts }, (_, part) => {
    const numbers = zeros(dtypeOf(data), outer * own);
    for (let i = 0; i < outer; i++) {
      const start = (i * parts + part) * own;
      numbers.set(data.subarray(start, start + own), i * own);
    }
    return { data: numbers, shape: shape.map((size, i) => (i === axis ? rows / parts : size)) };
  });
}
