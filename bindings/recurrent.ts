// One typed function per recurrent kernel: checks shapes, makes room for results, calls. The other kernels are in
// kernels.ts; the mathematics is in assembly/.
//
// Tensors that come in may lie anywhere (`Arena.upload` copies them in where needed); those that come out lie in the
// arena. T, N, D, H: steps, batch, input size, hidden size; G: gate columns, H (RNN) or 4H (LSTM, order i f g o).

import { ShapeError } from "./errors.js";
import { checkTensor, showShape, type FloatDtype, type Tensor } from "./tensor.js";
import { takeTensor, withScratch, type Arena } from "./memory.js";
import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";

/** The non-linearity phi of a cell; the codes are those of assembly/activation.ts. */
export type Nonlinearity = "tanh" | "relu";
const PHI: Readonly<Record<Nonlinearity, number>> = { tanh: 0, relu: 1 };

/** W_ih [G,D], W_hh [G,H], b_ih and b_hh [G], or their gradients. */
export interface RecurrentWeights<W extends Tensor = Tensor> {
  weightIh: W;
  weightHh: W;
  biasIh?: W | undefined;
  biasHh?: W | undefined;
}

/** What a forward pass keeps for the backward pass. */
export interface RnnTape<W extends Tensor = FloatTensor> {
  nonlinearity: Nonlinearity;
  x: W; // [T,N,D]
  hs: W; // [T+1,N,H], h_0 first
}

/** What a forward pass keeps for the backward pass, which overwrites `gates`. */
export interface LstmTape<W extends Tensor = FloatTensor> extends RnnTape<W> {
  cs: W; // [T+1,N,H], c_0 first
  phiC: W; // [T,N,H]
  gates: W; // [T,N,4H], i f g o
}

/** Gates of an inference pass are kept for so many numbers at a time: 1 or 2 MiB, about an L2 cache. */
const CHUNK = 1 << 17;

/** Steps, batch, input size, hidden size of one layer. */
export interface Sizes {
  t: number;
  n: number;
  d: number;
  h: number;
}

/** Runs a kernel with room for its packed weights; not where the batch is empty: there is nothing to compute then. */
function withWorkspace(
  arena: Arena,
  dtype: FloatDtype,
  gates: 1 | 4,
  { n, h }: Sizes,
  kernel: (work: number) => void,
): void {
  if (n === 0) return;
  const kernels = kernelsOf(arena, dtype);
  const bytes = gates === 1 ? kernels.rnnWorkspace(h) : kernels.lstmWorkspace(h);
  withScratch(arena.core, "packed weights", bytes >>> 0, kernel); // wasm gives a signed number
}

/**
 * Takes what rnnBackward (gates = 1) or lstmBackward (4) will take, in their order, and computes nothing: where memory
 * does not do for a stack of layers, this finds out before the first gradient changes.
 */
export function rehearseBackward(arena: Arena, dtype: FloatDtype, gates: 1 | 4, dOutput: boolean, sizes: Sizes): void {
  const { t, n, d, h } = sizes;
  if (dOutput) arena.allocate("dOutput", dtype, [t, n, h]);
  arena.allocate("dhn", dtype, [n, h]);
  arena.allocate(gates === 1 ? "gradients of the states" : "dcn", dtype, gates === 1 ? [t, n, h] : [n, h]);
  arena.allocate("dx", dtype, [t, n, d]);
  withWorkspace(arena, dtype, gates, sizes, () => {});
}

/** Uploads x and the weights of a recurrent layer with `gates` gates, and reads the sizes off them. */
function uploadSequence(arena: Arena, dtype: FloatDtype, gates: number, x: Tensor, weights: RecurrentWeights) {
  checkTensor("weightHh", weights.weightHh, dtype, ["G", "H"]);
  const h = weights.weightHh.shape[1]!;
  const g = gates * h;
  const weightHh = arena.upload("weightHh", weights.weightHh, dtype, [g, h]);
  const weightIh = arena.upload("weightIh", weights.weightIh, dtype, [g, "D"]);
  const d = weightIh.shape[1]!;
  checkFeatures(d, h);
  const on: FloatTensor = arena.upload("x", x, dtype, ["T", "N", d]);
  const [t, n] = on.shape as [number, number];
  if (t === 0) throw new ShapeError("x", showShape(on.shape), "at least one step");
  const bias = (name: "biasIh" | "biasHh") => weights[name] && arena.upload(name, weights[name], dtype, [g]);
  const resident: RecurrentWeights<FloatTensor> = {
    weightIh,
    weightHh,
    biasIh: bias("biasIh"),
    biasHh: bias("biasHh"),
  };
  if (!resident.biasIh !== !resident.biasHh) throw new ShapeError("biasHh", "one of the biases", "both or none");
  return { x: on, weights: resident, sizes: { t, n, d, h } };
}

/** A sum over no features would leave what it is stored to as it was. */
function checkFeatures(d: number, h: number): void {
  if (h === 0) throw new ShapeError("weightHh", showShape([h, h]), "at least one hidden unit");
  if (d === 0) throw new ShapeError("weightIh", showShape(["G", d]), "at least one input feature");
}

/** Room for the states of all steps, with the first one copied in (or zero). */
function states(
  arena: Arena,
  dtype: FloatDtype,
  name: string,
  steps: number,
  first: Tensor | undefined,
  n: number,
  h: number,
) {
  const given = first && takeTensor(arena.core, name, first, dtype, [n, h]);
  const all: FloatTensor = arena.allocate(`states of ${steps} steps`, dtype, [steps + 1, n, h]);
  const slot = all.slice(0, 1);
  if (given === undefined) slot.fill(0);
  else slot.set(given.data);
  return all;
}

/** The gradient that comes from behind the last step: a copy, since the kernel turns it into that of the first. */
function carried(
  arena: Arena,
  dtype: FloatDtype,
  name: string,
  gradient: Tensor | undefined,
  { n, h }: Sizes,
): FloatTensor {
  if (gradient === undefined) return arena.zeros(name, dtype, [n, h]);
  return arena.copy(name, gradient, dtype, [n, h]);
}

function sizesOf(tape: { x: Tensor; hs: Tensor }): Sizes {
  const [t, n, d] = tape.x.shape as [number, number, number];
  return { t, n, d, h: tape.hs.shape[2]! };
}

function checkWeights(dtype: FloatDtype, g: number, d: number, h: number, weights: RecurrentWeights): void {
  checkTensor("weightIh", weights.weightIh, dtype, [g, d]);
  checkTensor("weightHh", weights.weightHh, dtype, [g, h]);
  if (weights.biasIh) checkTensor("biasIh", weights.biasIh, dtype, [g]);
  if (weights.biasHh) checkTensor("biasHh", weights.biasHh, dtype, [g]);
}

/** All steps of an RNN: x [T,N,D], h0 [N,H] (zeros by default). */
export function rnnForward(
  arena: Arena,
  dtype: FloatDtype,
  args: { nonlinearity: Nonlinearity; x: Tensor; h0?: Tensor | undefined; weights: RecurrentWeights },
): RnnTape {
  const { x, weights, sizes } = uploadSequence(arena, dtype, 1, args.x, args.weights);
  const { t, n, d, h } = sizes;
  const hs = states(arena, dtype, "h0", t, args.h0, n, h);
  const kernels = kernelsOf(arena, dtype);
  withWorkspace(arena, dtype, 1, sizes, (work) => {
    // prettier-ignore
    kernels.rnnForward(PHI[args.nonlinearity], t, n, d, h, x.pointer, weights.weightIh.pointer, weights.weightHh.pointer,
      pointer(weights.biasIh), pointer(weights.biasHh), hs.pointer, work);
  });
  return { nonlinearity: args.nonlinearity, x, hs };
}

/** All steps of an RNN backward: dOutput [T,N,H], dhn [N,H] (zeros by default); gradients of weights are added to. */
export function rnnBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    tape: RnnTape;
    weights: RecurrentWeights<FloatTensor>;
    gradients: RecurrentWeights<FloatTensor>;
    dOutput?: Tensor | undefined;
    dhn?: Tensor | undefined;
  },
): { dx: FloatTensor; dh0: FloatTensor } {
  const { tape, weights, gradients } = args;
  const sizes = sizesOf(tape);
  const { t, n, d, h } = sizes;
  checkWeights(dtype, h, d, h, gradients);
  const dOutput = args.dOutput && arena.upload("dOutput", args.dOutput, dtype, [t, n, h]);
  const dh = carried(arena, dtype, "dhn", args.dhn, sizes);
  const da = arena.allocate("gradients of the states", dtype, [t, n, h]);
  const dx = arena.allocate("dx", dtype, [t, n, d]);
  const kernels = kernelsOf(arena, dtype);
  withWorkspace(arena, dtype, 1, sizes, (work) => {
    // prettier-ignore
    kernels.rnnBackward(PHI[tape.nonlinearity], t, n, d, h, tape.x.pointer, tape.hs.pointer, weights.weightIh.pointer,
      weights.weightHh.pointer, pointer(dOutput), dh.pointer, da.pointer, dx.pointer, gradients.weightIh.pointer,
      gradients.weightHh.pointer, pointer(gradients.biasIh), pointer(gradients.biasHh), work);
  });
  return { dx, dh0: dh };
}

/**
 * All steps of an LSTM: x [T,N,D], h0, c0 [N,H] (zeros by default).
 *
 * @param args.keep whether a backward pass will follow: the tape then holds everything; else only `hs`, and cn
 */
export function lstmForward(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    nonlinearity: Nonlinearity;
    x: Tensor;
    h0?: Tensor | undefined;
    c0?: Tensor | undefined;
    weights: RecurrentWeights;
    keep: boolean;
  },
): { tape: LstmTape | undefined; hs: FloatTensor; cn: FloatTensor } {
  const { x, weights, sizes } = uploadSequence(arena, dtype, 4, args.x, args.weights);
  const { t, n, d, h } = sizes;
  const { nonlinearity, keep } = args;
  const hs = states(arena, dtype, "h0", t, args.h0, n, h);
  const cs = states(arena, dtype, "c0", keep ? t : 0, args.c0, n, h);
  const chunk = keep ? t : Math.max(1, Math.min(t, Math.floor(CHUNK / (4 * n * h))));
  const gates: FloatTensor = arena.allocate("gates", dtype, [chunk, n, 4 * h]);
  const phiC: FloatTensor | undefined = keep ? arena.allocate("phi(c)", dtype, [t, n, h]) : undefined;
  const kernels = kernelsOf(arena, dtype);
  withWorkspace(arena, dtype, 4, sizes, (work) => {
    // prettier-ignore
    kernels.lstmForward(PHI[nonlinearity], t, n, d, h, x.pointer, weights.weightIh.pointer, weights.weightHh.pointer,
      pointer(weights.biasIh), pointer(weights.biasHh), hs.pointer, cs.pointer, pointer(phiC), gates.pointer, chunk,
      work);
  });
  const tape = phiC && { nonlinearity, x, hs, cs, phiC, gates };
  return { tape, hs, cn: cs.slice(keep ? t : 0, 1).reshape([n, h]) };
}

/**
 * All steps of an LSTM backward: dOutput [T,N,H], dhn, dcn [N,H] (zeros by default). Gradients of weights are added to;
 * `tape.gates` is overwritten.
 */
export function lstmBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    tape: LstmTape;
    weights: RecurrentWeights<FloatTensor>;
    gradients: RecurrentWeights<FloatTensor>;
    dOutput?: Tensor | undefined;
    dhn?: Tensor | undefined;
    dcn?: Tensor | undefined;
  },
): { dx: FloatTensor; dh0: FloatTensor; dc0: FloatTensor } {
  const { tape, weights, gradients } = args;
  const sizes = sizesOf(tape);
  const { t, n, d, h } = sizes;
  checkWeights(dtype, 4 * h, d, h, gradients);
  const dOutput = args.dOutput && arena.upload("dOutput", args.dOutput, dtype, [t, n, h]);
  const dh = carried(arena, dtype, "dhn", args.dhn, sizes);
  const dc = carried(arena, dtype, "dcn", args.dcn, sizes);
  const dx = arena.allocate("dx", dtype, [t, n, d]);
  const kernels = kernelsOf(arena, dtype);
  withWorkspace(arena, dtype, 4, sizes, (work) => {
    // prettier-ignore
    kernels.lstmBackward(PHI[tape.nonlinearity], t, n, d, h, tape.x.pointer, tape.hs.pointer, tape.cs.pointer, tape.phiC.pointer,
      tape.gates.pointer, weights.weightIh.pointer, weights.weightHh.pointer, pointer(dOutput), dh.pointer,
      dc.pointer, dx.pointer, gradients.weightIh.pointer, gradients.weightHh.pointer, pointer(gradients.biasIh),
      pointer(gradients.biasHh), work);
  });
  return { dx, dh0: dh, dc0: dc };
}

/** Weights packed once for many single steps; `bias` is b_ih + b_hh. */
export interface PackedWeights {
  d: number;
  h: number;
  ih: number;
  hh: number;
  bias: number;
}

/** Packs the weights of a layer with `gates` gates (1: RNN, 4: LSTM) for rnnCellForward and lstmCellForward. */
export function packWeights(
  arena: Arena,
  dtype: FloatDtype,
  gates: number,
  { weightIh, weightHh, biasIh, biasHh }: RecurrentWeights<FloatTensor>,
): PackedWeights {
  const d = weightIh.shape[1]!;
  const h = weightHh.shape[1]!;
  const g = gates * h;
  checkFeatures(d, h);
  checkWeights(dtype, g, d, h, { weightIh, weightHh, biasIh, biasHh });
  const kernels = kernelsOf(arena, dtype);
  const packed = (k: number, weight: FloatTensor) => {
    const out = arena.bytes("packed weights", kernels.packedBytes(k, g) >>> 0);
    kernels.packWeight(k, g, weight.pointer, 1, k, out);
    return out;
  };
  const bias = biasIh && biasHh && arena.allocate("bias", dtype, [g]);
  if (bias) kernels.add(g, biasIh.pointer, biasHh.pointer, bias.pointer);
  return { d, h, ih: packed(d, weightIh), hh: packed(h, weightHh), bias: pointer(bias) };
}

/** One step of an RNN: x [N,D], hPrev [N,H], hNext [N,H] (out; not hPrev). All in wasm memory, shapes as made. */
export function rnnCellForward(
  nonlinearity: Nonlinearity,
  x: FloatTensor,
  hPrev: FloatTensor,
  weights: PackedWeights,
  hNext: FloatTensor,
): void {
  const { d, h, ih, hh, bias } = weights;
  const n = x.shape[0]!;
  // prettier-ignore
  kernelsOf(x.arena, x.dtype).rnnCellForward(PHI[nonlinearity], n, d, h, x.pointer, hPrev.pointer, ih, hh, bias,
    hNext.pointer);
}

/**
 * One step of an LSTM: x [N,D], hPrev, cPrev, hNext, cNext [N,H] (the next ones out; they may be the previous ones).
 *
 * @param gates out: [N,4H], i f g o where phiC is given, else scratch
 * @param phiC  out: [N,H], for the backward pass
 */
export function lstmCellForward(
  nonlinearity: Nonlinearity,
  x: FloatTensor,
  hPrev: FloatTensor,
  cPrev: FloatTensor,
  weights: PackedWeights,
  hNext: FloatTensor,
  cNext: FloatTensor,
  gates: FloatTensor,
  phiC?: FloatTensor,
): void {
  const { d, h, ih, hh, bias } = weights;
  const n = x.shape[0]!;
  // prettier-ignore
  kernelsOf(x.arena, x.dtype).lstmCellForward(PHI[nonlinearity], n, d, h, x.pointer, hPrev.pointer, cPrev.pointer, ih,
    hh, bias, hNext.pointer, cNext.pointer, gates.pointer, pointer(phiC));
}

/** One step of an RNN backward: dhNext [N,H]; gradients of weights are added to. */
export function rnnCellBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    nonlinearity: Nonlinearity;
    x: Tensor;
    hPrev: Tensor;
    hNext: Tensor;
    weights: RecurrentWeights<FloatTensor>;
    gradients: RecurrentWeights<FloatTensor>;
    dhNext: Tensor;
  },
): { dx: FloatTensor; dhPrev: FloatTensor } {
  const { weights, gradients } = args;
  const x = arena.upload("x", args.x, dtype, ["N", "D"]);
  const [n, d] = x.shape as [number, number];
  const h = weights.weightHh.shape[1]!;
  checkWeights(dtype, h, d, h, gradients);
  const hPrev = arena.upload("hPrev", args.hPrev, dtype, [n, h]);
  const hNext = arena.upload("hNext", args.hNext, dtype, [n, h]);
  const dhNext = arena.upload("dhNext", args.dhNext, dtype, [n, h]);
  const da = arena.allocate("da", dtype, [n, h]);
  const dx = arena.allocate("dx", dtype, [n, d]);
  const dhPrev = arena.allocate("dhPrev", dtype, [n, h]);
  // prettier-ignore
  kernelsOf(arena, dtype).rnnCellBackward(PHI[args.nonlinearity], n, d, h, x.pointer, hPrev.pointer, hNext.pointer,
    weights.weightIh.pointer, weights.weightHh.pointer, dhNext.pointer, da.pointer, dx.pointer, dhPrev.pointer,
    gradients.weightIh.pointer, gradients.weightHh.pointer, pointer(gradients.biasIh), pointer(gradients.biasHh));
  return { dx, dhPrev };
}

/** One step of an LSTM backward: dhNext, dcNext [N,H]; gradients of weights are added to, `gates` is overwritten. */
export function lstmCellBackward(
  arena: Arena,
  dtype: FloatDtype,
  args: {
    nonlinearity: Nonlinearity;
    x: Tensor;
    hPrev: Tensor;
    cPrev: Tensor;
    gates: FloatTensor;
    phiC: Tensor;
    weights: RecurrentWeights<FloatTensor>;
    gradients: RecurrentWeights<FloatTensor>;
    dhNext: Tensor;
    dcNext: Tensor;
  },
): { dx: FloatTensor; dhPrev: FloatTensor; dcPrev: FloatTensor } {
  const { weights, gradients, gates } = args;
  const x = arena.upload("x", args.x, dtype, ["N", "D"]);
  const [n, d] = x.shape as [number, number];
  const h = weights.weightHh.shape[1]!;
  checkWeights(dtype, 4 * h, d, h, gradients);
  const hPrev = arena.upload("hPrev", args.hPrev, dtype, [n, h]);
  const cPrev = arena.upload("cPrev", args.cPrev, dtype, [n, h]);
  const phiC = arena.upload("phiC", args.phiC, dtype, [n, h]);
  const dhNext = arena.upload("dhNext", args.dhNext, dtype, [n, h]);
  const dc = carried(arena, dtype, "dcNext", args.dcNext, { t: 1, n, d, h });
  const dx = arena.allocate("dx", dtype, [n, d]);
  const dhPrev = arena.allocate("dhPrev", dtype, [n, h]);
  // prettier-ignore
  kernelsOf(arena, dtype).lstmCellBackward(PHI[args.nonlinearity], n, d, h, x.pointer, hPrev.pointer, cPrev.pointer,
    gates.pointer, phiC.pointer, weights.weightIh.pointer, weights.weightHh.pointer, dhNext.pointer, dc.pointer,
    dx.pointer, dhPrev.pointer, gradients.weightIh.pointer, gradients.weightHh.pointer, pointer(gradients.biasIh),
    pointer(gradients.biasHh));
  return { dx, dhPrev, dcPrev: dc };
}
