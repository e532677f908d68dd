// Batches of samples: in which order they come, and how samples of different lengths become one tensor.

import { DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import {
  describe,
  dtypeOf,
  kindOf,
  lengthOf,
  readTensor,
  showShape,
  sizeOf,
  zeros,
  type Dtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkCount, checkFlag, checkOptions, checkSize } from "../base/check.js";
import { Random } from "../base/random.js";

/** One sample: an input and its target. Other properties are ignored. */
export interface Sample {
  /**
   * A sequence: a tensor [T,...], or [T] of i32 (indices), or an array of T numbers: an Int32Array is [T], every other array [T,1], one
   * feature per step. Or no sequence: a tensor [D] of f64 or f32.
   */
  readonly x: Tensor | TensorData | readonly number[];
  /**
   * A class: a whole number. Or a tensor: [] or [K] of f64 or f32 for one answer, [S,...] or [S] of i32 for a sequence of them.
   */
  readonly y: number | Tensor;
}

/** Options of `batches`. */
export interface BatchesOptions {
  /** Samples of a batch, >= 1. */
  batchSize: number;
  /** Whether sequences become [N,T,...] instead of [T,N,...] (default false). */
  batchFirst?: boolean | undefined;
  /** Whether each epoch has an order of its own, instead of that of `samples` (default false). */
  shuffle?: boolean | undefined;
  /** Seed of the orders, an integer >= 0 (default: another one each time). */
  seed?: number | undefined;
  /**
   * Whether batches are of samples of similar lengths, which saves padding: the samples of 100 batches, or of as many as the number
   * says, are sorted by length and cut into batches, whose order is shuffled if `shuffle` is set (default false).
   */
  bucket?: boolean | number | undefined;
  /** Whether the samples that remain for a smaller last batch are left out of the epoch (default false). */
  dropLast?: boolean | undefined;
}

/** Samples side by side; N of them. */
export interface Batch {
  /** [T,N,...], or [N,T,...] with `batchFirst`, padded with 0; [N,D] for samples that are no sequences. */
  readonly x: Tensor;
  /**
   * The targets. Classes: i32 [N]. Answers: [N] or [N,K]. Sequences in which every sample has as many steps as its x: [T,N,...], or
   * [N,T,...] with `batchFirst`, like x. Other sequences: [N,S,...], S the longest of the batch. Padding is -100 for i32 (the
   * `ignoreIndex` of crossEntropy and nll), else 0.
   */
  readonly y: Tensor;
  /** [N] steps of each x. Absent for samples that are no sequences. */
  readonly lengths?: number[] | undefined;
  /** [N] steps of each y, for sequences that are not as long as their x. */
  readonly targetLengths?: number[] | undefined;
  /** True for sequences [N,T,...], else absent. */
  readonly batchFirst?: true;
}

/** A place in the orders of `batches`: plain JSON. */
export interface BatchesPosition {
  /** Seed of the orders. */
  readonly seed: number;
  /** The epoch, from 0. */
  readonly epoch: number;
  /** The next batch of that epoch, from 0. */
  readonly batch: number;
}

/** The padding of targets that are classes: what crossEntropy and nll ignore by default. */
const IGNORED = -100;

/** Batches of a window if `bucket` is true. */
const WINDOW = 100;

/** How the samples' tensors of one name become one tensor. */
interface Form {
  readonly dtype: Dtype;
  /** Whether the first axis of each is its steps. */
  readonly sequence: boolean;
  /** The axes after the steps, the same for all. */
  readonly rest: readonly number[];
}

/** What x or y of all samples are. */
interface Column extends Form {
  readonly name: "x" | "y";
  /** Of each sample, its numbers. */
  readonly data: readonly TensorData[];
  /** Of each sample, its steps; 1 if it is no sequence. */
  readonly lengths: readonly number[];
}

/** The order of an epoch: samples of all batches, and where each batch starts in it. */
interface Plan {
  readonly seed: number;
  readonly epoch: number;
  readonly order: readonly number[];
  readonly starts: readonly number[];
}

/** The samples in batches. Iterating it goes through the rest of an epoch: all of it, unless `position` is in its middle. */
export class Batches implements Iterable<Batch> {
  readonly #x: Column;
  readonly #y: Column;
  readonly #aligned: boolean;
  readonly #options: Readonly<{ batchSize: number; batchFirst: boolean; shuffle: boolean; window: number }>;
  /** Samples of an epoch. */
  readonly #count: number;
  #position: BatchesPosition;
  #plan: Plan | undefined;

  /** @internal */
  constructor(samples: readonly Sample[], options: BatchesOptions) {
    const names = ["batchSize", "batchFirst", "shuffle", "seed", "bucket", "dropLast"];
    const given = checkOptions("batches", options, names);
    const { batchSize, batchFirst = false, shuffle = false, bucket = false, dropLast = false } = given;
    checkSize("batchSize", batchSize);
    for (const [name, flag] of Object.entries({ batchFirst, shuffle, dropLast })) checkFlag(name, flag);
    if (typeof bucket !== "boolean") checkCount("bucket", bucket, 1);
    const { seed = shuffle ? new Random().uint32() : 0 } = given;
    checkCount("seed", seed, 0);
    const { x, y } = readSamples(samples);
    const count = dropLast ? x.data.length - (x.data.length % batchSize) : x.data.length;
    if (count === 0)
      throw new ValueError("samples", `${x.data.length}`, dropLast ? `at least ${batchSize}` : "at least 1");
    this.#x = x;
    this.#y = y;
    this.#aligned = x.sequence && y.sequence && x.lengths.every((length, i) => length === y.lengths[i]);
    const window = bucket === false ? 0 : batchSize * (bucket === true ? WINDOW : bucket);
    this.#options = { batchSize, batchFirst, shuffle, window };
    this.#count = count;
    this.#position = Object.freeze({ seed, epoch: 0, batch: 0 });
  }

  /** Batches of an epoch. */
  get batchesPerEpoch(): number {
    return Math.ceil(this.#count / this.#options.batchSize);
  }

  /**
   * The place of the batch that comes next: plain JSON. Setting it to one of an object with the same samples and options
   * continues from there, with the seed of that object.
   */
  get position(): BatchesPosition {
    return this.#position;
  }

  /**
   * Sets the place.
   *
   * @param position as it was read
   * @throws ValueError, UnsupportedError; nothing is changed then
   */
  set position(position: BatchesPosition) {
    const { seed, epoch, batch } = checkOptions("position", position, ["seed", "epoch", "batch"]);
    for (const [name, value] of Object.entries({ seed, epoch, batch })) checkCount(`position.${name}`, value, 0);
    const last = this.batchesPerEpoch - 1;
    if (batch > last)
      throw new ValueError("position.batch", `${batch}`, `at most ${last}: an epoch has ${last + 1} batches`);
    this.#position = Object.freeze({ seed, epoch, batch });
  }

  /**
   * The batches from `position` to the end of its epoch. Each moves `position` to the next batch, the last one to the next epoch: a loop
   * that was left early continues where it was. Numbers are read from the samples' arrays when a batch is made.
   */
  *[Symbol.iterator](): Generator<Batch, void, undefined> {
    const { epoch } = this.#position;
    while (this.#position.epoch === epoch) {
      const { seed, batch } = this.#position;
      const made = this.#make(this.#planOf(seed, epoch), batch);
      const next = batch + 1 < this.batchesPerEpoch ? { epoch, batch: batch + 1 } : { epoch: epoch + 1, batch: 0 };
      this.#position = Object.freeze({ seed, ...next });
      yield made;
    }
  }

  /** The order of an epoch, which depends on the seed and the epoch alone. */
  #planOf(seed: number, epoch: number): Plan {
    if (this.#plan?.seed === seed && this.#plan.epoch === epoch) return this.#plan;
    const { batchSize, shuffle, window } = this.#options;
    // Random takes seeds of 53 bits: 32 of them are drawn by the seed, the others count the epochs
    const random = shuffle ? new Random(new Random(seed).uint32() + 2 ** 32 * (epoch % 2 ** 21)) : undefined;
    const samples = shuffled(Array.from(this.#x.data.keys()), random).slice(0, this.#count);
    const order: number[] = [];
    const starts: number[] = [];
    for (let start = 0; start < samples.length; start += window || batchSize) {
      const part = samples.slice(start, start + (window || batchSize));
      const groups: number[][] = [];
      if (window > 0) part.sort((a, b) => this.#x.lengths[a]! - this.#x.lengths[b]!);
      for (let i = 0; i < part.length; i += batchSize) groups.push(part.slice(i, i + batchSize));
      for (const group of window > 0 ? shuffled(groups, random) : groups) {
        starts.push(order.length);
        for (const sample of group) order.push(sample);
      }
    }
    return (this.#plan = { seed, epoch, order, starts });
  }

  #make({ order, starts }: Plan, batch: number): Batch {
    const rows = order.slice(starts[batch], starts[batch + 1]);
    const { batchFirst } = this.#options;
    const x = pad(this.#x, rows, batchFirst);
    const y = pad(this.#y, rows, batchFirst || !this.#aligned);
    const lengthsOf = ({ lengths }: Column) => rows.map((row) => lengths[row]!);
    return {
      x,
      y,
      ...(this.#x.sequence && { lengths: lengthsOf(this.#x) }),
      ...(this.#x.sequence && batchFirst && { batchFirst }),
      ...(this.#y.sequence && !this.#aligned && { targetLengths: lengthsOf(this.#y) }),
    };
  }
}

/**
 * Puts samples into batches, padded to the longest of each batch.
 *
 *     const data = batches(samples, { batchSize: 32, shuffle: true, seed: 1 });
 *     for (let epoch = 0; epoch < 3; epoch++) for (const { x, y, lengths } of data) ...
 *
 * Each iteration is an epoch; its order depends on the seed and the number of the epoch alone. `position` is where the next
 * iteration starts, so that a training can continue in the middle of an epoch. The samples' numbers are read when a batch is made.
 *
 * @param samples at least one; x and y of all have the same types, and the same axes except for their lengths
 * @param options batchSize, batchFirst, shuffle, seed, bucket, dropLast
 * @throws ValueError, ShapeError, DtypeError (naming the sample), UnsupportedError (an unknown option)
 */
export function batches(samples: readonly Sample[], options: BatchesOptions): Batches {
  return new Batches(samples, options);
}

/** The list in a random order (Fisher & Yates); without a generator as it is. */
function shuffled<T>(list: T[], random: Random | undefined): T[] {
  if (random === undefined) return list;
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1));
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
  return list;
}

/** Reads all samples, each value once. */
function readSamples(samples: readonly Sample[]): { x: Column; y: Column } {
  if (!Array.isArray(samples)) throw new ValueError("samples", describe(samples), "an array of samples { x, y }");
  const length: unknown = samples.length;
  const [xs, ys]: [Tensor[], Tensor[]] = [[], []];
  let answers: "classes" | "tensors" | undefined;
  for (let i = 0; i < (length as number); i++) {
    const sample: unknown = samples[i];
    const argument = `samples[${i}]`;
    if (typeof sample !== "object" || sample === null) {
      throw new ValueError(argument, describe(sample), "a sample { x, y }");
    }
    const { x, y } = sample as Sample;
    xs.push(readInput(`${argument}.x`, x));
    const kind = typeof y === "number" ? "classes" : "tensors";
    answers ??= kind;
    if (kind !== answers)
      throw new DtypeError(`${argument}.y`, describe(y), `${oneOf(answers)}, as of the samples before`);
    ys.push(
      typeof y === "number"
        ? readClass(`${argument}.y`, y)
        : readTensor(`${argument}.y`, y, `${oneOf("classes")} or ${oneOf("tensors")}`),
    );
  }
  return { x: columnOf("x", xs), y: columnOf("y", ys) };
}

function oneOf(answers: "classes" | "tensors"): string {
  return answers === "classes" ? "a class (a number)" : "a tensor { data, shape }";
}

function readClass(argument: string, value: number): Tensor {
  const expected = "a class, which is a 32-bit integer; a real number as target is a tensor, such as tensor([0.5])";
  if ((value | 0) !== value) throw new ValueError(argument, describe(value), expected);
  return { data: Int32Array.of(value), shape: [] };
}

/** An input as a tensor. */
function readInput(argument: string, value: Sample["x"]): Tensor {
  if (Array.isArray(value)) {
    const numbers: number[] = [];
    const length: unknown = value.length;
    for (let i = 0; i < (length as number); i++) {
      const number: unknown = value[i];
      if (typeof number !== "number") throw new DtypeError(`${argument}[${i}]`, describe(number), "a number");
      numbers.push(number);
    }
    return { data: Float64Array.from(numbers), shape: [numbers.length, 1] };
  }
  const expected = "a tensor { data, shape }, an array of numbers, or a typed array of f64, f32 or i32";
  if (kindOf(value) === undefined) return readTensor(argument, value as Tensor, expected);
  const data = value as TensorData;
  const steps = [lengthOf(data)];
  return readTensor(argument, { data, shape: dtypeOf(data) === "i32" ? steps : [...steps, 1] }, expected);
}

/** The tensors of x or y, which must be alike. */
function columnOf(name: "x" | "y", tensors: readonly Tensor[]): Column {
  const forms = tensors.map((tensor, i) => formOf(`samples[${i}].${name}`, name, tensor));
  const first = forms[0] ?? { dtype: "f64", sequence: false, rest: [] };
  const show = ({ sequence, rest }: Form) => showShape(sequence ? ["T", ...rest] : rest);
  forms.forEach((form, i) => {
    const argument = `samples[${i}].${name}`;
    if (form.dtype !== first.dtype)
      throw new DtypeError(argument, form.dtype, `${first.dtype}, as of the first sample`);
    if (show(form) !== show(first))
      throw new ShapeError(argument, show(form), `${show(first)}, as of the first sample`);
  });
  const lengths = tensors.map(({ shape }) => (first.sequence ? shape[0]! : 1));
  return { ...first, name, data: tensors.map(({ data }) => data), lengths };
}

function formOf(argument: string, name: "x" | "y", { data, shape }: Tensor): Form {
  const dtype = dtypeOf(data);
  const sequence = shape.length > 1 || (shape.length === 1 && dtype === "i32");
  if (name === "x" && (shape.length === 0 || (sequence && shape[0] === 0))) {
    throw new ShapeError(argument, showShape(shape), "at least one step");
  }
  return { dtype, sequence, rest: sequence ? shape.slice(1) : shape };
}

/** The tensors of some samples as one, padded: [N,...] or, of sequences, [T,N,...] or [N,T,...]. */
function pad(
  { name, dtype, sequence, rest, data, lengths }: Column,
  rows: readonly number[],
  batchFirst: boolean,
): Tensor {
  const n = rows.length;
  const steps = rows.reduce((longest, row) => Math.max(longest, lengths[row]!), 0);
  const size = sizeOf(rest);
  const shape = sequence ? (batchFirst ? [n, steps, ...rest] : [steps, n, ...rest]) : [n, ...rest];
  const padded = zeros(dtype, sizeOf(shape));
  if (name === "y" && dtype === "i32") padded.fill(IGNORED);
  rows.forEach((row, i) => {
    const numbers = data[row]!;
    const length = lengths[row]!;
    if (numbers.length !== length * size) {
      throw new ShapeError(`samples[${row}].${name}`, "an array that has detached", "one that still has its numbers");
    }
    if (batchFirst || !sequence) return padded.set(numbers, i * steps * size);
    for (let t = 0; t < length; t++) {
      const [from, to] = [t * size, (t * n + i) * size];
      for (let k = 0; k < size; k++) padded[to + k] = numbers[from + k]!;
    }
  });
  return { data: padded, shape };
}
