// One layer of a recurrent network over a sequence, in one direction, forward and backward: describes it to the kernels
// and makes room for what they leave. The other kernels are in kernels.ts; the mathematics is in assembly/.
//
// T, N, D, H: steps, batch, input size, hidden size; P: size of h, H unless an LSTM projects it; rows: of all steps, T*N
// or, where rows differ in length, the sum of `counts` (assembly/recurrent/sequence.ts tells how they lie then).

import { ShapeError } from "./errors.js";
import { BYTES, showShape, type FloatDtype, type Tensor } from "./tensor.js";
import { withScratch, type Arena, type WasmTensor } from "./memory.js";
import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";
import { writeRecord } from "./record.js";
import { sequence } from "./wasm.js";

export type CellKind = "RNN" | "LSTM" | "GRU";

/**
 * What a non-linearity of a cell can be: tanh x, max(x, 0), 1 / (1 + e^-x), min(max(0.2 x + 0.5, 0), 1), or x itself. NaN
 * gives NaN.
 */
export type Activation = "tanh" | "relu" | "sigmoid" | "hardSigmoid" | "linear";

/** The codes of assembly/activation.ts. */
export const ACTIVATION_CODES: Readonly<Record<Activation, number>> = {
  tanh: 0,
  relu: 1,
  sigmoid: 2,
  hardSigmoid: 3,
  linear: 4,
};

/** Rows of the weights, in multiples of H: i f g o; r z n. */
export const GATES: Readonly<Record<CellKind, number>> = { RNN: 1, LSTM: 4, GRU: 3 };

/** A cell and its non-linearities. */
export interface Cell {
  readonly kind: CellKind;
  /** Of the candidate, or of the RNN's state. */
  readonly phi: Activation;
  /** Of the gates (default sigmoid). */
  readonly sigma?: Activation | undefined;
  /** Of c on its way to h (default phi). */
  readonly psi?: Activation | undefined;
  /** Slope and offset of the hard sigmoid (default 0.2 and 0.5). */
  readonly hard?: readonly [slope: number, offset: number];
  /** GRU: whether r is applied after the recurrent product. */
  readonly resetAfter?: boolean;
  /** Forward only: limit of what goes into non-linearities; whether the LSTM's f is 1 - i. */
  readonly clip?: number | undefined;
  readonly coupled?: boolean;
}

/**
 * W_ih [G,D], W_hh [G,P], b_ih and b_hh [G], W_hr [P,H], peepholes of i, f, o [3,H] (forward only), gains of layer
 * normalisation [G], [G], [H] and bias [H] (all of a cell's, or none), or gradients.
 */
export interface RecurrentWeights<W extends Tensor = FloatTensor> {
  weightIh: W;
  weightHh: W;
  biasIh?: W | undefined;
  biasHh?: W | undefined;
  weightHr?: W | undefined;
  peephole?: W | undefined;
  normIh?: W | undefined;
  normHh?: W | undefined;
  normC?: W | undefined;
  normCBias?: W | undefined;
}

/** A layer's pass over a sequence: what goes in. */
export interface Input {
  readonly cell: Cell;
  readonly t: number;
  readonly n: number;
  /** [T] rows of each step, none more than the one before; N at each by default. */
  readonly counts?: WasmTensor<"i32"> | undefined;
  /** Rows of all steps. */
  readonly rows: number;
  /** [rows,D], in any shape. */
  readonly x: FloatTensor;
  /** [N,P], what h is multiplied with before the recurrent product. */
  readonly mask?: FloatTensor | undefined;
}

/** What it leaves: for the backward pass everything, else hs and cn. */
export interface Pass extends Input {
  /** [N + rows,P], h_0 first. */
  readonly hs: FloatTensor;
  /** [N + rows,H], c_0 first (LSTM); without a backward pass [N,H], c_n. */
  readonly cs?: FloatTensor;
  /** [rows,4H]: i f g o, or n r z q. The backward pass overwrites them, and phiC where there is a projection. */
  readonly gates?: FloatTensor;
  /** [rows,H] (LSTM). */
  readonly phiC?: FloatTensor;
  /** Layer-normalised: what W_ih and W_hh give, [rows,G] each, and moments [8,rows]. Overwritten likewise. */
  readonly products?: FloatTensor;
  readonly recurrentProducts?: FloatTensor;
  readonly moments?: FloatTensor;
}

/** Gates of an inference pass are kept for so many numbers at a time: 1 or 2 MiB, about an L2 cache. */
const CHUNK = 1 << 17;

/** Built by named assignments: an object spread from others is a dictionary, from which reading 50 fields takes 20 us. */
type Fields = Parameters<typeof sequence.write>[3];

/** The kernels of a cell. */
function kernelsOfCell(arena: Arena, dtype: FloatDtype, kind: CellKind) {
  const k = kernelsOf(arena, dtype);
  if (kind === "LSTM") {
    return [k.lstmForward, k.lstmBackward, k.lstmWorkspace, k.lstmPackedBytes, k.lstmPack] as const;
  }
  if (kind === "GRU") return [k.gruForward, k.gruBackward, k.gruWorkspace, k.gruPackedBytes, k.gruPack] as const;
  return [k.rnnForward, k.rnnBackward, k.rnnWorkspace, k.rnnPackedBytes, k.rnnPack] as const;
}

/** H and P of a layer. */
export function sizesOf(cell: Cell, { weightIh, weightHh }: RecurrentWeights<Tensor>): { h: number; p: number } {
  return { h: weightIh.shape[0]! / GATES[cell.kind], p: weightHh.shape[1]! };
}

/** The fields of forward and backward alike. */
function commonFields(input: Input, weights: RecurrentWeights): Fields {
  const { cell, t, n, rows, counts, x, mask } = input;
  const [slope, offset] = cell.hard ?? [0.2, 0.5];
  const { h, p } = sizesOf(cell, weights);
  return {
    hardSlope: slope,
    hardOffset: offset,
    clip: cell.clip ?? 0,
    t,
    n,
    d: weights.weightIh.shape[1]!,
    h,
    p,
    rows,
    counts: pointer(counts),
    sigma: ACTIVATION_CODES[cell.sigma ?? "sigmoid"],
    phi: ACTIVATION_CODES[cell.phi],
    psi: ACTIVATION_CODES[cell.psi ?? cell.phi],
    resetAfter: cell.resetAfter === false ? 0 : 1,
    coupled: cell.coupled === true ? 1 : 0,
    x: x.pointer,
    weightIh: weights.weightIh.pointer,
    weightHh: weights.weightHh.pointer,
    biasIh: pointer(weights.biasIh),
    biasHh: pointer(weights.biasHh),
    weightHr: pointer(weights.weightHr),
    peephole: pointer(weights.peephole),
    normIh: pointer(weights.normIh),
    normHh: pointer(weights.normHh),
    normC: pointer(weights.normC),
    normCBias: pointer(weights.normCBias),
    mask: pointer(mask),
  };
}

/** Runs a kernel with room for its scratch; not where the batch is empty: there is nothing to compute then. */
function run(
  arena: Arena,
  dtype: FloatDtype,
  kind: CellKind,
  rows: number,
  fields: Fields,
  backward: boolean,
  rehearse: boolean,
): void {
  if (rows === 0) return;
  const { core } = arena;
  const address = core.record;
  const [forwardKernel, backwardKernel, workspace] = kernelsOfCell(arena, dtype, kind);
  writeRecord(core, address, sequence, fields);
  const bytes = workspace(address, backward) >>> 0; // wasm gives a signed number
  withScratch(core, "packed weights", bytes, (work) => {
    fields.work = work;
    writeRecord(core, address, sequence, fields);
    if (!rehearse) (backward ? backwardKernel : forwardKernel)(address);
  });
}

/** Refuses a layer of no size: a sum over nothing would leave what it is stored to as it was. */
export function checkSizes({ weightIh, weightHh }: RecurrentWeights<Tensor>): void {
  if (weightHh.shape.includes(0)) {
    throw new ShapeError("weightHh", showShape(weightHh.shape), "at least one hidden unit");
  }
  if (weightIh.shape.includes(0)) {
    throw new ShapeError("weightIh", showShape(weightIh.shape), "at least one input feature");
  }
}

/** Room for states, with the first ones copied in (or zero). */
export function allocateStates(
  arena: Arena,
  dtype: FloatDtype,
  purpose: string,
  { n, rows }: { n: number; rows: number },
  size: number,
  first?: Tensor,
): FloatTensor {
  const all: FloatTensor = arena.allocate(purpose, dtype, [n + rows, size]);
  const slot = all.slice(0, n);
  if (first === undefined) slot.fill(0);
  else slot.set(first.data);
  return all;
}

/** The first states of a pass, [N,P] and [N,H], to be copied (zeros by default); or the buffers themselves. */
export interface First {
  h0?: Tensor | undefined;
  c0?: Tensor | undefined;
  hs?: FloatTensor | undefined;
  cs?: FloatTensor | undefined;
}

/**
 * All steps of a layer, from what the caller has checked.
 *
 * @param keep whether a backward pass will follow
 * @param rehearse as for sequenceBackward
 */
export function sequenceForward(
  arena: Arena,
  dtype: FloatDtype,
  input: Input,
  weights: RecurrentWeights,
  first: First,
  keep: boolean,
  rehearse = false,
): Pass {
  const { cell, t, n, rows } = input;
  const { h, p } = sizesOf(cell, weights);
  const lstm = cell.kind === "LSTM";
  const hs = first.hs ?? allocateStates(arena, dtype, `states of ${t} steps`, input, p, first.h0);
  const cells = { n, rows: keep ? rows : 0 };
  const cs = lstm ? (first.cs ?? allocateStates(arena, dtype, `cells of ${t} steps`, cells, h, first.c0)) : undefined;
  const chunk = keep ? t : Math.max(1, Math.min(t, Math.floor(CHUNK / (4 * n * h))));
  const gateRows = keep ? rows : Math.min(rows, chunk * n);
  const gates: FloatTensor | undefined =
    cell.kind === "RNN" ? undefined : arena.allocate("gates", dtype, [gateRows, 4 * h]);
  const phiC: FloatTensor | undefined = lstm && keep ? arena.allocate("phi(c)", dtype, [rows, h]) : undefined;
  const normalised = weights.normIh && normalisedBuffers(arena, dtype, gateRows, GATES[cell.kind] * h);
  const pass: Pass = { ...input, hs, cs, gates, phiC, ...normalised };
  const fields = passFields(pass, weights);
  fields.keep = keep;
  fields.chunk = chunk;
  run(arena, dtype, cell.kind, rows, fields, false, rehearse);
  return pass;
}

function normalisedBuffers(arena: Arena, dtype: FloatDtype, rows: number, g: number) {
  const allocate = (shape: number[]): FloatTensor => arena.allocate("layer normalisation", dtype, shape);
  return { products: allocate([rows, g]), recurrentProducts: allocate([rows, g]), moments: allocate([8, rows]) };
}

/** `commonFields` and those of a pass's results. */
function passFields(pass: Pass, weights: RecurrentWeights): Fields {
  const fields = commonFields(pass, weights);
  fields.hs = pass.hs.pointer;
  fields.cs = pointer(pass.cs);
  fields.gates = pointer(pass.gates);
  fields.phiC = pointer(pass.phiC);
  fields.products = pointer(pass.products);
  fields.recurrentProducts = pointer(pass.recurrentProducts);
  fields.moments = pointer(pass.moments);
  return fields;
}

/** What backward takes and leaves, besides the pass: all in wasm memory. */
export interface Backward {
  /** [rows,P]; zeros by default. */
  dOutput?: FloatTensor | undefined;
  /** [N,P]: in, the gradient of h_n; out, of h_0. */
  dh: FloatTensor;
  /** [N,H]: in, the gradient of c_n; out, of c_0 (LSTM). */
  dc?: FloatTensor | undefined;
  /** [rows,D], overwritten. */
  dx?: FloatTensor | undefined;
}

/**
 * All steps of a layer backward; gradients of weights are added to.
 *
 * @param rehearse takes the memory that it will take and computes nothing: where memory does not do for a stack of
 *   layers, this finds out before the first gradient changes
 */
export function sequenceBackward(
  arena: Arena,
  dtype: FloatDtype,
  pass: Pass,
  weights: RecurrentWeights,
  gradients: RecurrentWeights,
  { dOutput, dh, dc, dx }: Backward,
  rehearse = false,
): void {
  const { cell, rows, hs } = pass;
  const fields = passFields(pass, weights);
  fields.dOutput = pointer(dOutput);
  fields.dh = dh.pointer;
  fields.dc = pointer(dc);
  fields.dx = pointer(dx);
  fields.dWeightIh = gradients.weightIh.pointer;
  fields.dWeightHh = gradients.weightHh.pointer;
  fields.dBiasIh = pointer(gradients.biasIh);
  fields.dBiasHh = pointer(gradients.biasHh);
  fields.dWeightHr = pointer(gradients.weightHr);
  fields.dNormIh = pointer(gradients.normIh);
  fields.dNormHh = pointer(gradients.normHh);
  fields.dNormC = pointer(gradients.normC);
  fields.dNormCBias = pointer(gradients.normCBias);
  if (cell.kind !== "RNN") return run(arena, dtype, cell.kind, rows, fields, true, rehearse);
  withScratch(arena.core, "gradients of the states", rows * hs.shape[1]! * BYTES[dtype], (da) => {
    fields.da = da;
    run(arena, dtype, cell.kind, rows, fields, true, rehearse);
  });
}

/** A layer that takes one step at a time: its weights packed, its `Sequence` written once. */
export class Stepper {
  readonly #forward: (address: number) => void;
  readonly #address: number;
  readonly #h: FloatTensor;
  readonly #hs: FloatTensor;

  /**
   * @param weights copied
   * @param x [N,D], read at every step
   * @param h, c [N,P], [N,H]: the state, which every step replaces (c: LSTM)
   */
  constructor(
    arena: Arena,
    dtype: FloatDtype,
    cell: Cell,
    weights: RecurrentWeights,
    x: FloatTensor,
    h: FloatTensor,
    c: FloatTensor | undefined,
  ) {
    const [n, p] = h.shape as [number, number];
    const [forward, , workspace, packedBytes, pack] = kernelsOfCell(arena, dtype, cell.kind);
    this.#forward = forward;
    this.#h = h;
    this.#hs = arena.zeros("states", dtype, [2, n, p]);
    const { h: hiddenSize } = sizesOf(cell, weights);
    const gates = arena.allocate("gates", dtype, [n, 4 * hiddenSize]);
    const normalised = weights.normIh && normalisedBuffers(arena, dtype, n, GATES[cell.kind] * hiddenSize);
    const input = { cell, t: 1, n, rows: n, x };
    // The gains are not packed: copies stand in for them, since the stream may outlive the layer.
    const own = { ...weights };
    for (const name of ["normIh", "normHh", "normC", "normCBias"] as const) {
      const gain = weights[name];
      if (gain) own[name] = arena.copy(name, gain, dtype, gain.shape);
    }
    const address = (this.#address = arena.bytes("sequence", sequence.bytes));
    const fields = passFields({ ...input, hs: this.#hs, cs: c, gates, ...normalised }, own);
    fields.chunk = 1;
    writeRecord(arena.core, address, sequence, fields);
    fields.packed = arena.bytes("packed weights", packedBytes(address) >>> 0);
    pack(address, fields.packed);
    writeRecord(arena.core, address, sequence, fields);
    fields.work = arena.bytes("scratch", workspace(address, false) >>> 0);
    writeRecord(arena.core, address, sequence, fields);
  }

  /** One step. */
  step(): void {
    const numbers = this.#h.arena.core.heap.view(this.#h.dtype);
    const size = this.#h.data.length;
    const h = this.#h.pointer / numbers.BYTES_PER_ELEMENT;
    const first = this.#hs.pointer / numbers.BYTES_PER_ELEMENT;
    numbers.copyWithin(first, h, h + size);
    this.#forward(this.#address);
    numbers.copyWithin(h, first + size, first + 2 * size);
  }
}
