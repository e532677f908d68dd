// One recurrent layer over a sequence, in one direction, forward and backward: fills in the kernel's descriptor (`Sequence`)
// and allocates its outputs. The other kernels are in kernels.ts; the mathematics is in assembly/.
//
// T, N, D, H: steps, batch, input size, hidden size. P: size of h; H unless an LSTM projects it. G: rows of the weights.
// rows: of all steps, T*N; in a ragged batch the sum of `batchSizes` (assembly/recurrent/sequence.ts shows the layout).

import { ShapeError } from "./errors.js";
import { BYTES, showShape, sizeOf, type FloatDtype, type Tensor } from "./tensor.js";
import type { Core, Kernels, PassRun } from "./instantiate.js";
import type { Arena, WasmTensor } from "./memory.js";
import { backwardKernels } from "./backward-module.js";
import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";
import { writeRecord } from "./record.js";
import { sequence } from "./wasm.js";

/** The kind of a recurrent cell. */
export type CellKind = "RNN" | "LSTM" | "GRU";

/**
 * A non-linearity of a cell: tanh x, max(x, 0), 1 / (1 + e^-x), min(max(0.2 x + 0.5, 0), 1), or x itself. NaN gives NaN.
 */
export type CellActivation = "tanh" | "relu" | "sigmoid" | "hardSigmoid" | "linear";

/** The codes of assembly/activation.ts. */
export const ACTIVATION_CODES: Readonly<Record<CellActivation, number>> = {
  tanh: 0,
  relu: 1,
  sigmoid: 2,
  hardSigmoid: 3,
  linear: 4,
};

/** Rows of the weights in multiples of H: i f g o; r z n. */
export const GATES: Readonly<Record<CellKind, number>> = { RNN: 1, LSTM: 4, GRU: 3 };

/** A cell and its non-linearities. */
export interface Cell {
  readonly kind: CellKind;
  /** Non-linearity of the candidate, or of the RNN's state. */
  readonly phi: CellActivation;
  /** Non-linearity of the gates (default sigmoid). */
  readonly sigma?: CellActivation | undefined;
  /** Non-linearity between c and h (default phi). */
  readonly psi?: CellActivation | undefined;
  /** Slope and offset of the hard sigmoid (default 0.2 and 0.5). */
  readonly hard?: readonly [slope: number, offset: number];
  /** GRU: whether r is applied after the recurrent product. */
  readonly resetAfter?: boolean;
  /** Inference only: the inputs of the non-linearities are clipped to [-clip, clip]. */
  readonly clip?: number | undefined;
  /** Inference only: whether the LSTM's f is 1 - i. */
  readonly coupled?: boolean;
}

/**
 * W_ih [G,D], W_hh [G,P], b_ih and b_hh [G], W_hr [P,H], peepholes of i, f, o [3,H] (inference only), gains of layer
 * normalisation [G], [G], [H] and bias [H] (all that the cell has, or none); or the gradients of these.
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

/** Input of one layer's pass over a sequence. */
export interface Input {
  readonly cell: Cell;
  readonly t: number;
  readonly n: number;
  /** [T], never increasing: the rows of each step; N at each step by default. */
  readonly batchSizes?: WasmTensor<"i32"> | undefined;
  /** Rows of all steps. */
  readonly rows: number;
  /** [rows,D], in any shape. */
  readonly x: FloatTensor;
  /** [N,P], multiplied into h before the recurrent product. */
  readonly mask?: FloatTensor | undefined;
}

/** Input and results of a forward pass. In inference the results are hs and cs alone. */
export interface Pass extends Input {
  /** [N + rows,P]: h_0, then h of every step. */
  readonly hs: FloatTensor;
  /** LSTM, [N + rows,H]: c_0, then c of every step. In inference [N,H]: the latest c. */
  readonly cs?: FloatTensor;
  /** [rows,4H]: i f g o, or n r z q. The backward pass overwrites them. */
  readonly gates?: FloatTensor;
  /** LSTM, [rows,H]: psi(c). With a projection the backward pass overwrites it. */
  readonly psiC?: FloatTensor;
  /** Layer normalisation: the products of W_ih and W_hh, [rows,G] each, and moments [8,rows]. The backward pass overwrites them. */
  readonly products?: FloatTensor;
  readonly recurrentProducts?: FloatTensor;
  readonly moments?: FloatTensor;
}

/** The purpose of a pass. */
export interface PassOptions {
  /** Whether a backward pass follows: everything that it needs is saved. */
  readonly training: boolean;
  /**
   * Whether to allocate everything and compute nothing. A stack of layers does this first, so that it runs out of memory
   * before the first gradient changes, if at all.
   */
  readonly dryRun?: boolean;
}

/** Inference computes the gates of so many numbers at a time: 1 or 2 MiB, about an L2 cache. */
const CHUNK = 1 << 17;

/** The steps whose gates inference computes at a time. */
function chunkOf(t: number, n: number, h: number): number {
  return Math.max(1, Math.min(t, Math.floor(CHUNK / (4 * n * h))));
}

/** Built by named assignments: an object spread from others is a dictionary, from which reading 50 fields takes 20 us. */
type Fields = Parameters<typeof sequence.write>[3];

/** The kernels of one cell, for one number type. Each takes the address of a `Sequence`. */
interface CellKernels {
  forward: (sequence: number) => void;
  /** Bytes of scratch for one call. */
  workspace: (sequence: number, backward: boolean) => number;
  /** Bytes of the packed weights. */
  packedBytes: (sequence: number) => number;
  /** Packs the weights once, for a stream. */
  pack: (sequence: number, packed: number) => void;
}

const CELL_KERNELS: Readonly<Record<CellKind, (kernels: Kernels) => CellKernels>> = {
  RNN: (k) => ({
    forward: k.rnnForward,
    workspace: k.rnnWorkspace,
    packedBytes: k.rnnPackedBytes,
    pack: k.rnnPack,
  }),
  LSTM: (k) => ({
    forward: k.lstmForward,
    workspace: k.lstmWorkspace,
    packedBytes: k.lstmPackedBytes,
    pack: k.lstmPack,
  }),
  GRU: (k) => ({
    forward: k.gruForward,
    workspace: k.gruWorkspace,
    packedBytes: k.gruPackedBytes,
    pack: k.gruPack,
  }),
};

/** The kernel of a cell's way back. */
const BACKWARD = { RNN: "rnnBackward", LSTM: "lstmBackward", GRU: "gruBackward" } as const;

function cellKernels(arena: Arena, dtype: FloatDtype, kind: CellKind): CellKernels {
  return CELL_KERNELS[kind](kernelsOf(arena, dtype));
}

/** H and P of a layer. */
export function sizesOf(cell: Cell, { weightIh, weightHh }: RecurrentWeights<Tensor>): { h: number; p: number } {
  return { h: weightIh.shape[0]! / GATES[cell.kind], p: weightHh.shape[1]! };
}

/** The fields that forward and backward share. */
function passFields(pass: Omit<Pass, "hs"> & { readonly hs: number }, weights: RecurrentWeights): Fields {
  const { cell, t, n, rows, batchSizes, x, mask, hs } = pass;
  const [slope, offset] = cell.hard ?? [0.2, 0.5];
  const { h, p } = sizesOf(cell, weights);
  return {
    hardSlope: slope,
    hardOffset: offset,
    clip: cell.clip,
    t,
    n,
    d: weights.weightIh.shape[1]!,
    h,
    p,
    rows,
    batchSizes: pointer(batchSizes),
    sigma: ACTIVATION_CODES[cell.sigma ?? "sigmoid"],
    phi: ACTIVATION_CODES[cell.phi],
    psi: ACTIVATION_CODES[cell.psi ?? cell.phi],
    resetAfter: cell.resetAfter !== false,
    coupled: cell.coupled,
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
    hs,
    cs: pointer(pass.cs),
    gates: pointer(pass.gates),
    psiC: pointer(pass.psiC),
    products: pointer(pass.products),
    recurrentProducts: pointer(pass.recurrentProducts),
    moments: pointer(pass.moments),
  };
}

/** Runs bound passes that do not depend on one another, at the same time where there are threads for it. */
export function runBound({ together }: Core, bound: readonly { readonly pass: BoundPass }[]): void {
  if (together) together(bound.map(({ pass }) => pass.run));
  else for (let k = 0; k < bound.length; k++) bound[k]!.pass.run(); // by index: an iterator would be allocated
}

/** Runs passes to their ends, at the same time where there are threads for it. They return what the passes do, in their order. */
export function runPasses<R>({ passes }: Core, all: readonly PassRun<R>[]): R[] {
  if (passes) return passes(all);
  return all.map((pass) => {
    try {
      for (;;) {
        const { done, value } = pass.next();
        if (done) return value;
        value();
      }
    } finally {
      pass.return(undefined as R);
    }
  });
}

/** Describes a pass to the kernels, allocates their scratch, and waits until `kernel` has run, or in a dry run could have. */
function* prepared(
  core: Core,
  { workspace }: CellKernels,
  fields: Fields,
  dryRun: boolean,
  kernel: (sequence: number) => void,
  backward: boolean,
): PassRun<void> {
  const { heap, record } = core;
  writeRecord(core, record, sequence, fields);
  const space = Math.ceil(sequence.bytes / 64) * 64; // for a record of its own
  const address = heap.allocate(space + (workspace(record, backward) >>> 0), "packed weights"); // wasm returns a signed number
  try {
    fields.work = address + space;
    writeRecord(core, address, sequence, fields);
    yield () => {
      if (!dryRun) kernel(address);
    };
  } finally {
    heap.free(address);
  }
}

/** Refuses sizes of 0: a sum over nothing would leave its target unwritten. */
export function checkSizes({ weightIh, weightHh }: RecurrentWeights<Tensor>): void {
  if (weightHh.shape.includes(0)) {
    throw new ShapeError("weightHh", showShape(weightHh.shape), "at least one hidden unit");
  }
  if (weightIh.shape.includes(0)) {
    throw new ShapeError("weightIh", showShape(weightIh.shape), "at least one input feature");
  }
}

/** Allocates [N + rows,size] for states; the first N rows are the initial state, zeros by default. */
export function allocateStates(
  arena: Arena,
  dtype: FloatDtype,
  purpose: string,
  { n, rows }: { n: number; rows: number },
  size: number,
  initial?: Tensor,
): FloatTensor {
  const all: FloatTensor = arena.allocate(purpose, dtype, [n + rows, size]);
  const slot = all.slice(0, n);
  if (initial === undefined) slot.fill(0);
  else slot.set(initial.data);
  return all;
}

/** Initial states [N,P] and [N,H], which are copied (zeros by default); or the pass's own hs and cs, already filled in. */
export interface InitialStates {
  h0?: Tensor | undefined;
  c0?: Tensor | undefined;
  hs?: FloatTensor | undefined;
  cs?: FloatTensor | undefined;
}

/** `forwardPass`, run. */
export function sequenceForward(...args: Parameters<typeof forwardPass>): Pass {
  return runPasses(args[0].core, [forwardPass(...args)])[0]!;
}

/**
 * Runs one layer over all steps. The caller has checked every argument.
 *
 * @returns the results, allocated in `arena`
 */
export function* forwardPass(
  arena: Arena,
  dtype: FloatDtype,
  input: Input,
  weights: RecurrentWeights,
  initial: InitialStates,
  { training, dryRun = false }: PassOptions,
): PassRun<Pass> {
  const { cell, t, n, rows } = input;
  const { h, p } = sizesOf(cell, weights);
  const lstm = cell.kind === "LSTM";
  const hs = initial.hs ?? allocateStates(arena, dtype, `states of ${t} steps`, input, p, initial.h0);
  const cells = { n, rows: training ? rows : 0 };
  const cs = lstm
    ? (initial.cs ?? allocateStates(arena, dtype, `cells of ${t} steps`, cells, h, initial.c0))
    : undefined;
  const chunk = training ? t : chunkOf(t, n, h);
  const gateRows = training ? rows : Math.min(rows, chunk * n);
  const gates: FloatTensor | undefined =
    cell.kind === "RNN" ? undefined : arena.allocate("gates", dtype, [gateRows, 4 * h]);
  const psiC: FloatTensor | undefined = lstm && training ? arena.allocate("psi(c)", dtype, [rows, h]) : undefined;
  const norms = weights.normIh && allocateNorms(arena, dtype, gateRows, GATES[cell.kind] * h);
  const { batchSizes, x, mask } = input;
  const pass: Pass = { cell, t, n, batchSizes, rows, x, mask, hs, cs, gates, psiC, ...norms };
  if (rows === 0) return pass; // an empty batch
  const kernels = cellKernels(arena, dtype, cell.kind);
  const fields = passFields({ ...pass, hs: hs.pointer }, weights);
  fields.training = training;
  fields.chunk = chunk;
  yield* prepared(arena.core, kernels, fields, dryRun, kernels.forward, false);
  return pass;
}

function allocateNorms(arena: Arena, dtype: FloatDtype, rows: number, g: number) {
  const allocate = (shape: number[]): FloatTensor => arena.allocate("layer normalisation", dtype, shape);
  return { products: allocate([rows, g]), recurrentProducts: allocate([rows, g]), moments: allocate([8, rows]) };
}

/** Gradients that go into a backward pass and come out of it, all in wasm memory. */
export interface SequenceGradients {
  /** In: [rows,P]; zeros by default. */
  dOutput?: FloatTensor | undefined;
  /** [N,P]: in, the gradient of h_n; out, of h_0. */
  dh: FloatTensor;
  /** LSTM, [N,H]: in, the gradient of c_n; out, of c_0. */
  dc?: FloatTensor | undefined;
  /** Out: [rows,D], overwritten. */
  dx?: FloatTensor | undefined;
}

/**
 * Runs one layer backward over all steps, and adds to the gradients of the weights.
 *
 * @param pass of `sequenceForward` with `training`; used up
 */
export function* backwardPass(
  arena: Arena,
  dtype: FloatDtype,
  pass: Pass,
  weights: RecurrentWeights,
  gradients: RecurrentWeights,
  { dOutput, dh, dc, dx }: SequenceGradients,
  dryRun = false,
): PassRun<void> {
  const { cell, rows, hs } = pass;
  if (rows === 0) return; // an empty batch
  const kernels = cellKernels(arena, dtype, cell.kind);
  const da = cell.kind === "RNN" ? arena.bytes("gradients of the states", rows * hs.shape[1]! * BYTES[dtype]) : 0;
  const fields = passFields({ ...pass, hs: hs.pointer }, weights);
  fields.dOutput = pointer(dOutput);
  fields.dh = dh.pointer;
  fields.dc = pointer(dc);
  fields.dx = pointer(dx);
  fields.da = da;
  fields.dWeightIh = gradients.weightIh.pointer;
  fields.dWeightHh = gradients.weightHh.pointer;
  fields.dBiasIh = pointer(gradients.biasIh);
  fields.dBiasHh = pointer(gradients.biasHh);
  fields.dWeightHr = pointer(gradients.weightHr);
  fields.dNormIh = pointer(gradients.normIh);
  fields.dNormHh = pointer(gradients.normHh);
  fields.dNormC = pointer(gradients.normC);
  fields.dNormCBias = pointer(gradients.normCBias);
  yield* prepared(arena.core, kernels, fields, dryRun, backwardKernels(arena, dtype)[BACKWARD[cell.kind]], true);
}

/** `backwardPass`, run. */
export function sequenceBackward(...args: Parameters<typeof backwardPass>): void {
  runPasses(args[0].core, [backwardPass(...args)]);
}

/** A pass in inference that is bound once: `Input`, and where its states are. */
export interface BoundInput extends Input {
  /** The address of [N + rows,P], h_0 and then h of every step; or, with `h0`, N P numbers in front of h of the first step. */
  readonly hs: number;
  /** LSTM, [N,H]: out, the latest c; in, c_0, unless there is `c0`. */
  readonly cs: FloatTensor | undefined;
  readonly h0?: FloatTensor | undefined;
  readonly c0?: FloatTensor | undefined;
  /** Whether steps are taken from the last to the first. */
  readonly reversed?: boolean;
  /** Of how many other passes, each as large, the states lie between those of two steps (default 0). */
  readonly others?: number;
}

/** A pass in inference, to be run any number of times: its `Sequence` is written and its scratch allocated when it is made. */
export class BoundPass {
  readonly #core: Core;
  readonly #kernels: CellKernels;
  readonly #fields: Fields;
  /** The address of the pass's `Sequence`. */
  readonly sequence: number;

  /** @param weights need to live on only if they are packed again, apart from peepholes and gains */
  constructor(arena: Arena, dtype: FloatDtype, input: BoundInput, weights: RecurrentWeights) {
    const { cell, t, n, rows } = input;
    const { h } = sizesOf(cell, weights);
    const chunk = chunkOf(t, n, h);
    const gateRows = Math.min(rows, chunk * n);
    const gates = cell.kind === "RNN" ? undefined : arena.allocate("gates", dtype, [gateRows, 4 * h]);
    const norms = weights.normIh && allocateNorms(arena, dtype, gateRows, GATES[cell.kind] * h);
    this.#core = arena.core;
    const kernels = (this.#kernels = cellKernels(arena, dtype, cell.kind));
    const address = (this.sequence = arena.bytes("sequence", sequence.bytes));
    const fields = (this.#fields = passFields({ ...input, gates, ...norms }, weights));
    fields.chunk = chunk;
    fields.h0 = pointer(input.h0);
    fields.c0 = pointer(input.c0);
    fields.reversed = input.reversed;
    fields.others = input.others;
    this.#write();
    fields.panels = arena.bytes("packed weights", kernels.packedBytes(address) >>> 0);
    this.#write();
    fields.work = arena.bytes("scratch", kernels.workspace(address, false) >>> 0);
    this.#write();
  }

  #write(): void {
    writeRecord(this.#core, this.sequence, sequence, this.#fields);
  }

  /** Packs the weights as they are now, once before the first run. */
  pack(): void {
    this.#kernels.pack(this.sequence, this.#fields.panels as number);
  }

  /** Changes the number of steps and of their rows, to at most those at first. */
  resize(t: number, rows: number): void {
    this.#fields.t = t;
    this.#fields.rows = rows;
    this.#write();
  }

  readonly run = (): void => this.#kernels.forward(this.sequence);
}

/** A layer that runs one step at a time. */
export class Stepper {
  readonly #pass: BoundPass;
  readonly #h: FloatTensor;
  readonly #next: FloatTensor;

  /**
   * @param weights copied
   * @param x [N,D], read in every step
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
    const n = h.shape[0]!;
    this.#h = h;
    this.#next = arena.zeros("states", dtype, h.shape);
    // The gains are not packed: they are copied, since the stream may outlive the layer.
    const own = { ...weights };
    for (const name of ["normIh", "normHh", "normC", "normCBias"] as const) {
      const gain = weights[name];
      if (gain) own[name] = arena.copy(name, gain, dtype, gain.shape);
    }
    const hs = this.#next.pointer - sizeOf(h.shape) * BYTES[dtype];
    this.#pass = new BoundPass(arena, dtype, { cell, t: 1, n, rows: n, x, h0: h, hs, cs: c }, own);
    this.#pass.pack();
  }

  step(): void {
    this.#pass.run();
    const numbers = this.#h.arena.core.heap.view(this.#h.dtype);
    const next = this.#next.pointer / numbers.BYTES_PER_ELEMENT;
    numbers.copyWithin(this.#h.pointer / numbers.BYTES_PER_ELEMENT, next, next + sizeOf(this.#h.shape));
  }
}
