// Kernels of layers in the layers module: convolution, pooling, batch normalisation, activations.
//
// Sequences are [T,N,C], [N,T,C] or [T,C]. T, N, C: steps, rows, numbers of a step. The caller has checked every argument.

import { pointer, type FloatTensor } from "./kernels.js";
import { startLayers } from "./layers-module.js";
import type { Arena, WasmTensor } from "./memory.js";
import { record, writeRecord } from "./record.js";
import { BYTES, sizeOf, type FloatDtype, type Tensor } from "./tensor.js";
import { batchNorm, convolution, pool, stepsOfRows } from "./wasm-layers.js";

const kernelsOf = ({ core }: Arena, dtype: FloatDtype) => startLayers(core)[dtype];

/** The axes of a batch of sequences. */
export interface SequenceAxes {
  /** Whether there is one sequence, without an axis for rows. */
  readonly unbatched: boolean;
  /** Whether rows are the first axis; so they are where there is one sequence. */
  readonly rowsFirst: boolean;
  readonly n: number;
}

/** The shape of sequences of t steps. */
export function shapeOfSequences({ unbatched, rowsFirst, n }: SequenceAxes, t: number, c: number): number[] {
  if (unbatched) return [t, c];
  return rowsFirst ? [n, t, c] : [t, n, c];
}

/** How many numbers apart steps are, and rows. */
function strides({ rowsFirst, n }: SequenceAxes, t: number, c: number): [step: number, row: number] {
  return rowsFirst ? [c, t * c] : [n * c, c];
}

function integers(arena: Arena, purpose: string, values: readonly number[]): WasmTensor<"i32"> {
  const tensor = arena.allocate(purpose, "i32", [values.length]);
  tensor.data.set(values);
  return tensor;
}

/** Sequences and their lengths in wasm memory. */
interface Sequences {
  readonly axes: SequenceAxes;
  readonly t: number;
  readonly c: number;
  readonly lengths: WasmTensor<"i32">;
}

function rowFields({ axes, t, c, lengths }: Sequences, tensor: FloatTensor, rows: FloatTensor, left: number) {
  const [stepStride, rowStride] = strides(axes, t, c);
  return {
    n: axes.n,
    c,
    lengths: lengths.pointer,
    tensor: tensor.pointer,
    t,
    stepStride,
    rowStride,
    rows: rows.pointer,
    steps: rows.shape[1]!,
    left,
  };
}

/** Dense rows [N,steps,C] with zeros before and after each sequence, which starts at step `left`. */
function toRows(arena: Arena, tensor: FloatTensor, sequences: Sequences, steps: number, left: number): FloatTensor {
  const rows: FloatTensor = arena.allocate("rows", tensor.dtype, [sequences.axes.n, steps, sequences.c]);
  const fields = rowFields(sequences, tensor, rows, left);
  kernelsOf(arena, tensor.dtype).toRows(record(arena.core, stepsOfRows, fields));
  return rows;
}

/** tensor = the sequences of dense rows, with zeros past the end of each. */
function fromRows(rows: FloatTensor, sequences: Sequences, left: number, tensor: FloatTensor): void {
  const { arena } = rows;
  const fields = rowFields(sequences, tensor, rows, left);
  kernelsOf(arena, rows.dtype).fromRows(record(arena.core, stepsOfRows, fields));
}

/** What a convolution is made of, beside its weights. */
export interface ConvolutionShape {
  readonly stride: number;
  readonly dilation: number;
  readonly groups: number;
  /** Zeros before and after a sequence. */
  readonly left: number;
  readonly right: number;
}

/** Sequences that go through a layer: their axes, steps, lengths, and the outputs of the longest and of each. */
export interface Windows {
  readonly axes: SequenceAxes;
  readonly t: number;
  readonly lengths: readonly number[];
  readonly outputs: number;
  readonly counts: readonly number[];
}

/** What the forward pass of a convolution saves for the backward pass. */
export interface ConvolutionPass extends Sequences {
  /** x [N,steps,C]. */
  readonly rows: FloatTensor;
  readonly outputs: number;
  readonly counts: WasmTensor<"i32">;
}

type ConvolutionFields = Parameters<typeof convolution.write>[3];

function convolutionFields(weight: FloatTensor, { stride, dilation, groups }: ConvolutionShape): ConvolutionFields {
  const [o, width, taps] = weight.shape as [number, number, number];
  // prettier-ignore
  return { n: 0, t: 0, counts: 0, c: width * groups, o, taps, stride, dilation, groups, x: 0, xRow: 0, weight: weight.pointer,
    bias: 0, panels: 0, y: 0, yStep: 0, yRow: 0, dy: 0, dx: 0, dWeight: 0, dBias: 0, work: 0 };
}

function passFields(pass: ConvolutionPass, weight: FloatTensor, shape: ConvolutionShape): ConvolutionFields {
  const fields = convolutionFields(weight, shape);
  fields.n = pass.axes.n;
  fields.t = pass.outputs;
  fields.counts = pass.counts.pointer;
  fields.x = pass.rows.pointer;
  fields.xRow = pass.rows.shape[1]! * pass.c;
  return fields;
}

/** Packs the weights, and writes where they are to `fields`. */
function packWeights(arena: Arena, dtype: FloatDtype, fields: ConvolutionFields): void {
  const { core } = arena;
  const kernels = kernelsOf(arena, dtype);
  writeRecord(core, core.record, convolution, fields);
  fields.panels = arena.bytes("packed weights", kernels.conv1dPackedBytes(core.record) >>> 0);
  writeRecord(core, core.record, convolution, fields);
  kernels.conv1dPack(core.record);
}

/**
 * y from x, both in the layout of `windows`.
 *
 * @param saved owns what the backward pass needs
 */
export function conv1dForward(
  saved: Arena,
  scratch: Arena,
  dtype: FloatDtype,
  x: Tensor,
  weight: FloatTensor,
  bias: FloatTensor | undefined,
  shape: ConvolutionShape,
  windows: Windows,
): { y: FloatTensor; pass: ConvolutionPass } {
  const { axes, t, outputs } = windows;
  const { left, right } = shape;
  const c = weight.shape[1]! * shape.groups;
  const whole = axes.rowsFirst && left + right === 0 && windows.lengths.every((length) => length === t);
  const input: FloatTensor = (whole ? saved : scratch).copyChecked("x", x, dtype); // first: it may be a live view
  const sequences = { axes, t, c, lengths: integers(saved, "lengths", windows.lengths) };
  const rows = whole ? input.reshape([axes.n, t, c]) : toRows(saved, input, sequences, left + t + right, left);
  const pass = { ...sequences, rows, outputs, counts: integers(saved, "counts", windows.counts) };
  const o = weight.shape[0]!;
  const y: FloatTensor = scratch.allocate("output", dtype, shapeOfSequences(axes, outputs, o));
  const fields = passFields(pass, weight, shape);
  fields.bias = pointer(bias);
  fields.y = y.pointer;
  [fields.yStep, fields.yRow] = strides(axes, outputs, o);
  packWeights(scratch, dtype, fields);
  const { core } = scratch;
  writeRecord(core, core.record, convolution, fields);
  kernelsOf(scratch, dtype).conv1dForward(core.record);
  return { y, pass };
}

/** dx from dy; dWeight and dBias are added to. */
export function conv1dBackward(
  scratch: Arena,
  pass: ConvolutionPass,
  weight: FloatTensor,
  shape: ConvolutionShape,
  dy: Tensor,
  dWeight: FloatTensor,
  dBias: FloatTensor | undefined,
): FloatTensor {
  const { core } = scratch;
  const { dtype } = weight;
  const { axes, outputs: t, counts } = pass;
  const o = weight.shape[0]!;
  const given: FloatTensor = scratch.upload("output", dy, dtype, shapeOfSequences(axes, t, o));
  const dRows = toRows(scratch, given, { axes, t, c: o, lengths: counts }, t, 0);
  const dxRows: FloatTensor = scratch.zeros("dx", dtype, pass.rows.shape);
  const dx: FloatTensor = scratch.allocate("dx", dtype, shapeOfSequences(axes, pass.t, pass.c));
  const fields = passFields(pass, weight, shape);
  fields.dy = dRows.pointer;
  fields.dx = dxRows.pointer;
  fields.dWeight = dWeight.pointer;
  fields.dBias = pointer(dBias);
  const kernels = kernelsOf(scratch, dtype);
  writeRecord(core, core.record, convolution, fields);
  fields.work = scratch.bytes("packed weights", kernels.conv1dWorkBytes(core.record) >>> 0);
  writeRecord(core, core.record, convolution, fields);
  kernels.conv1dBackward(core.record);
  fromRows(dxRows, pass, shape.left, dx);
  return dx;
}

/**
 * A convolution that runs one step at a time, with a stride of 1: output t from the inputs up to t, zeros before the first.
 *
 * @param x [N,C], read in every step
 * @param weight, bias copied
 */
export class ConvolutionStepper {
  /** [N,O]. */
  readonly output: FloatTensor;
  readonly #x: FloatTensor;
  /** [N,steps,C]: the window of the latest step ends before `#end`, and moves on by one in each. */
  readonly #history: FloatTensor;
  readonly #span: number;
  #end: number;
  readonly #record: number;
  readonly #fields: ConvolutionFields;
  readonly #forward: (address: number) => void;

  constructor(
    arena: Arena,
    x: FloatTensor,
    weight: FloatTensor,
    bias: FloatTensor | undefined,
    shape: ConvolutionShape,
  ) {
    const { dtype } = x;
    const [n, c] = x.shape as [number, number];
    const [o, , taps] = weight.shape as [number, number, number];
    this.#x = x;
    this.#span = (taps - 1) * shape.dilation + 1;
    this.#history = arena.zeros("history", dtype, [n, 2 * this.#span, c]);
    this.#end = this.#span - 1;
    this.output = arena.zeros("output", dtype, [n, o]);
    const counts = arena.allocate("counts", "i32", [n]);
    counts.fill(1);
    const fields = (this.#fields = convolutionFields(weight, shape));
    packWeights(arena, dtype, fields);
    fields.n = n;
    fields.t = 1;
    fields.counts = counts.pointer;
    fields.xRow = 2 * this.#span * c;
    fields.bias = bias ? arena.copy("bias", bias, dtype, [o]).pointer : 0;
    fields.y = this.output.pointer;
    fields.yStep = o;
    fields.yRow = o;
    this.#record = arena.bytes("convolution", convolution.bytes);
    this.#forward = kernelsOf(arena, dtype).conv1dForward;
  }

  run(): void {
    this.take();
    const history = this.#history;
    const fields = this.#fields;
    fields.x = history.pointer + (this.#end - this.#span) * history.shape[2]! * BYTES[history.dtype];
    writeRecord(history.arena.core, this.#record, convolution, fields);
    this.#forward(this.#record);
  }

  /** Takes x in and leaves the output as it is: for the steps between the outputs of a stride. */
  take(): void {
    const history = this.#history;
    const [n, steps, c] = history.shape as [number, number, number];
    const { core } = history.arena;
    const numbers = core.heap.view(history.dtype);
    const from = this.#x.pointer / numbers.BYTES_PER_ELEMENT;
    const first = history.pointer / numbers.BYTES_PER_ELEMENT;
    const kept = this.#span - 1;
    if (this.#end === steps) {
      for (let row = 0; row < n; row++) {
        const start = first + row * steps * c;
        numbers.copyWithin(start, start + (steps - kept) * c, start + steps * c);
      }
      this.#end = kept;
    }
    for (let row = 0; row < n; row++) {
      numbers.copyWithin(first + (row * steps + this.#end) * c, from + row * c, from + (row + 1) * c);
    }
    this.#end++;
  }

  /** Sets the inputs before the next step to zeros. */
  reset(): void {
    this.#history.fill(0);
    this.#end = this.#span - 1;
    this.output.fill(0);
  }
}

/**
 * y [outputs,O] from one sequence x [steps,C] that has its zeros at both ends, at addresses that do not change. Allocates nothing.
 *
 * @param weight packed into a copy
 * @param bias read in every call
 */
export function prepareConvolution(
  arena: Arena,
  x: FloatTensor,
  weight: FloatTensor,
  bias: FloatTensor | undefined,
  shape: ConvolutionShape,
  y: FloatTensor,
): () => void {
  const { core } = arena;
  const { dtype } = x;
  const [outputs, o] = y.shape as [number, number];
  const fields = convolutionFields(weight, shape);
  packWeights(arena, dtype, fields);
  fields.n = 1;
  fields.t = outputs;
  fields.counts = integers(arena, "counts", [outputs]).pointer;
  fields.x = x.pointer;
  fields.xRow = sizeOf(x.shape);
  fields.bias = pointer(bias);
  fields.y = y.pointer;
  fields.yStep = o;
  fields.yRow = outputs * o;
  const address = arena.bytes("convolution", convolution.bytes);
  writeRecord(core, address, convolution, fields);
  const { conv1dForward: forward } = kernelsOf(arena, dtype);
  return () => forward(address);
}

/** Windows of a pool: `taps` steps, `stride` apart, the first `left` steps before the sequence. */
export interface PoolShape {
  readonly taps: number;
  readonly stride: number;
  readonly left: number;
}

/** The largest number of each window, or the mean over all its steps ("average") or over those of the sequence ("mean"). */
export type PoolKind = "max" | "average" | "mean";

/** What the forward pass of a pool saves for the backward pass. */
export interface PoolPass extends Sequences {
  readonly dtype: FloatDtype;
  readonly outputs: number;
  readonly counts: WasmTensor<"i32">;
  /** Where the maxima are; none in inference. */
  readonly where?: FloatTensor | undefined;
}

function poolRecord(arena: Arena, kind: PoolKind, pass: PoolPass, shape: PoolShape, x: number, y: number): number {
  const { axes, t, c, outputs, lengths, counts, where } = pass;
  const [xStep, xRow] = strides(axes, t, c);
  const [yStep, yRow] = strides(axes, outputs, c);
  return record(arena.core, pool, {
    n: axes.n,
    c,
    t,
    outputs,
    lengths: lengths.pointer,
    counts: counts.pointer,
    ...shape,
    padded: kind === "average",
    x,
    xStep,
    xRow,
    y,
    yStep,
    yRow,
    where: pointer(where),
  });
}

/**
 * y from x, both in the layout of `windows`. Each window has a step of its sequence.
 *
 * @param saved owns what the backward pass needs
 */
export function poolForward(
  saved: Arena,
  scratch: Arena,
  kind: PoolKind,
  x: FloatTensor,
  shape: PoolShape,
  windows: Windows,
  keep: boolean,
): { y: FloatTensor; pass: PoolPass } {
  const { dtype } = x;
  const { axes, t, outputs } = windows;
  const c = x.shape[x.shape.length - 1]!;
  const of = shapeOfSequences(axes, outputs, c);
  const y: FloatTensor = scratch.allocate("output", dtype, of);
  const where: FloatTensor | undefined = keep && kind === "max" ? saved.allocate("maxima", dtype, of) : undefined;
  const pass = {
    axes,
    t,
    c,
    dtype,
    outputs,
    lengths: integers(saved, "lengths", windows.lengths),
    counts: integers(saved, "counts", windows.counts),
    where,
  };
  const kernels = kernelsOf(scratch, dtype);
  const forward = kind === "max" ? kernels.maxPool : kernels.meanPool;
  forward(poolRecord(scratch, kind, pass, shape, x.pointer, y.pointer));
  return { y, pass };
}

/**
 * dx from dy.
 *
 * @param dyShape that of dy, if it has no axis for its one output
 */
export function poolBackward(
  scratch: Arena,
  kind: PoolKind,
  pass: PoolPass,
  shape: PoolShape,
  dy: Tensor,
  dyShape: readonly number[] = shapeOfSequences(pass.axes, pass.outputs, pass.c),
): FloatTensor {
  const { axes, t, c, dtype } = pass;
  const given: FloatTensor = scratch.upload("output", dy, dtype, dyShape);
  const dx: FloatTensor = scratch.allocate("dx", dtype, shapeOfSequences(axes, t, c));
  const kernels = kernelsOf(scratch, dtype);
  const backward = kind === "max" ? kernels.maxPoolBackward : kernels.meanPoolBackward;
  backward(poolRecord(scratch, kind, pass, shape, dx.pointer, given.pointer));
  return dx;
}

/** Weights [C] and running statistics [C] of batch normalisation. */
export interface BatchNormWeights {
  readonly weight?: FloatTensor | undefined;
  readonly bias?: FloatTensor | undefined;
  readonly runningMean: FloatTensor;
  readonly runningVar: FloatTensor;
}

/** What the forward pass of batch normalisation saves for the backward pass. */
export interface BatchNormPass {
  /** [...,C]. */
  readonly x: FloatTensor;
  /** [rows], 1 for a row that counts; all do by default. */
  readonly valid?: WasmTensor<"i32"> | undefined;
  /** Rows that count. */
  readonly count: number;
  /** Whether mean and variance are those of the rows. */
  readonly training: boolean;
  readonly mean: FloatTensor;
  readonly rstd: FloatTensor;
}

function batchNormFields(pass: BatchNormPass, { weight, bias, runningMean, runningVar }: BatchNormWeights) {
  const { x, valid, count, training, mean, rstd } = pass;
  const c = mean.shape[0]!;
  return {
    eps: 0,
    factor: 0,
    rows: sizeOf(x.shape.slice(0, -1)),
    c,
    valid: pointer(valid),
    count,
    training,
    x: x.pointer,
    weight: pointer(weight),
    bias: pointer(bias),
    runningMean: runningMean.pointer,
    runningVar: runningVar.pointer,
    mean: mean.pointer,
    rstd: rstd.pointer,
    y: 0,
    dy: 0,
    dx: 0,
    dWeight: 0,
    dBias: 0,
    work: 0,
  };
}

/** y in the shape of x; in training the running statistics take in those of the batch with a weight of `factor`. */
export function batchNormForward(
  scratch: Arena,
  pass: BatchNormPass,
  weights: BatchNormWeights,
  eps: number,
  factor: number,
): FloatTensor {
  const { x } = pass;
  const y: FloatTensor = scratch.allocate("output", x.dtype, x.shape);
  const fields = batchNormFields(pass, weights);
  fields.eps = eps;
  fields.factor = factor;
  fields.y = y.pointer;
  fields.work = scratch.bytes("sums", 16 * fields.c);
  kernelsOf(scratch, x.dtype).batchNormForward(record(scratch.core, batchNorm, fields));
  return y;
}

/** dx from dy, both in the shape of x; dWeight and dBias are added to. */
export function batchNormBackward(
  scratch: Arena,
  pass: BatchNormPass,
  weights: BatchNormWeights,
  dy: Tensor,
  dWeight: FloatTensor | undefined,
  dBias: FloatTensor | undefined,
): FloatTensor {
  const { x } = pass;
  const given: FloatTensor = scratch.upload("output", dy, x.dtype, x.shape);
  const dx: FloatTensor = scratch.allocate("dx", x.dtype, x.shape);
  const fields = batchNormFields(pass, weights);
  fields.dy = given.pointer;
  fields.dx = dx.pointer;
  fields.dWeight = pointer(dWeight);
  fields.dBias = pointer(dBias);
  fields.work = scratch.bytes("sums", 16 * fields.c);
  kernelsOf(scratch, x.dtype).batchNormBackward(record(scratch.core, batchNorm, fields));
  return dx;
}

/** Batch normalisation in inference: y [rows,C] from x [rows,C], at addresses that do not change. Allocates nothing. */
export function prepareBatchNorm(
  arena: Arena,
  pass: BatchNormPass,
  weights: BatchNormWeights,
  eps: number,
  y: FloatTensor,
): () => void {
  const { core } = arena;
  const fields = batchNormFields(pass, weights);
  fields.eps = eps;
  fields.y = y.pointer;
  const address = arena.bytes("batch norm", batchNorm.bytes);
  writeRecord(core, address, batchNorm, fields);
  const { batchNormForward: forward } = kernelsOf(arena, y.dtype);
  return () => forward(address);
}

/** Non-linearities of layers: element by element, but for the last two, which are over the last axis. */
export type ActivationName =
  "tanh" | "relu" | "sigmoid" | "hardSigmoid" | "elu" | "leakyRelu" | "softmax" | "logSoftmax" | "linear";

/** The codes of assembly/layers/activation.ts; softmax and logSoftmax have kernels of their own. */
const CODES: Readonly<Record<Exclude<ActivationName, "softmax" | "logSoftmax">, number>> = {
  tanh: 0,
  relu: 1,
  sigmoid: 2,
  hardSigmoid: 3,
  linear: 4,
  elu: 5,
  leakyRelu: 6,
};

/** All names of activations. A function, which apps without activations leave out. */
export function activationNames(): ActivationName[] {
  return [...(Object.keys(CODES) as (keyof typeof CODES)[]), "softmax", "logSoftmax"];
}

/** Rows and their size; no rows where they are empty, which could be any number. */
const rowsOf = (shape: readonly number[]): [rows: number, n: number] => {
  const n = shape[shape.length - 1]!;
  return [n === 0 ? 0 : sizeOf(shape.slice(0, -1)), n];
};

/** y = the activation of x, in the shape of x. At addresses that do not change; allocates nothing. */
export function prepareActivation(name: ActivationName, x: FloatTensor, y: FloatTensor): () => void {
  const { dtype, arena } = y;
  const [from, to] = [x.pointer, y.pointer];
  if (name === "softmax" || name === "logSoftmax") {
    const [rows, n] = rowsOf(x.shape);
    const kernel = arena.core.kernels[dtype][name];
    return () => kernel(rows, n, from, to);
  }
  const [code, n] = [CODES[name], sizeOf(x.shape)];
  const { activationForward } = kernelsOf(arena, dtype);
  return () => activationForward(code, n, from, to);
}

/** dx from dy and y, all in one shape, of an activation of elements. */
export function activationBackward(
  scratch: Arena,
  name: Exclude<ActivationName, "softmax" | "logSoftmax">,
  y: FloatTensor,
  dy: FloatTensor,
): FloatTensor {
  const { dtype, shape } = y;
  const dx: FloatTensor = scratch.allocate("dx", dtype, shape);
  kernelsOf(scratch, dtype).activationBackward(CODES[name], sizeOf(shape), y.pointer, dy.pointer, dx.pointer);
  return dx;
}

/** y = x where x > 0, else slope x, in the shape of x; slope [C] or [1]. At addresses that do not change; allocates nothing. */
export function preparePrelu(x: FloatTensor, slope: FloatTensor, y: FloatTensor): () => void {
  const [rows, n] = rowsOf(x.shape);
  const [from, a, to, shared] = [x.pointer, slope.pointer, y.pointer, slope.shape[0] === 1];
  const { preluForward } = kernelsOf(y.arena, y.dtype);
  return () => preluForward(rows, n, from, a, shared, to);
}

/** dx from dy and x, all in one shape; dSlope is added to. */
export function preluBackward(
  scratch: Arena,
  x: FloatTensor,
  slope: FloatTensor,
  dy: Tensor,
  dSlope: FloatTensor,
): FloatTensor {
  const given: FloatTensor = scratch.upload("output", dy, x.dtype, x.shape);
  const dx: FloatTensor = scratch.allocate("dx", x.dtype, x.shape);
  const shared = slope.shape[0] === 1;
  // prettier-ignore
  kernelsOf(scratch, x.dtype).preluBackward(...rowsOf(x.shape), x.pointer, slope.pointer, shared, given.pointer, dx.pointer,
    dSlope.pointer);
  return dx;
}
