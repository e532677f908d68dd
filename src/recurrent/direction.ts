// One recurrent layer in one direction: packs ragged batches, saves all states or only checkpoints, and runs the kernels.

import type { Core, PassRun } from "../../bindings/instantiate.js";
import { gatherRows, scatterRows, type Columns, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, type WasmTensor } from "../../bindings/memory.js";
import {
  allocateStates,
  backwardPass,
  forwardPass,
  sizesOf,
  type Cell,
  type InitialStates,
  type Input,
  type Pass,
  type PassOptions,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import { dtypeOf, zeros, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { raggedBatch, type ActiveSteps, type RaggedBatch } from "./ragged.js";

/** A ragged batch whose indices are in wasm memory, too. */
export interface WasmRaggedBatch {
  readonly indices: RaggedBatch;
  readonly batchSizes: WasmTensor<"i32"> | undefined;
  readonly paddedRows: WasmTensor<"i32">;
  readonly packedRows: WasmTensor<"i32">;
  readonly outputRows: WasmTensor<"i32"> | undefined;
}

/** The ragged batch of one direction; undefined where all rows run over all steps, first to last. */
export function uploadRagged(
  arena: Arena,
  active: ActiveSteps | undefined,
  reversed: boolean,
  t: number,
  n: number,
): WasmRaggedBatch | undefined {
  if (!active && !reversed) return undefined;
  const indices = raggedBatch(active ?? { t, n, flags: new Uint8Array(t * n).fill(1), repeat: false }, reversed);
  const { batchSizes, paddedRows, packedRows, outputRows } = indices;
  const upload = (data: Int32Array) => arena.copy("ragged rows", { data, shape: [data.length] }, "i32", ["rows"]);
  return {
    indices,
    batchSizes: batchSizes && upload(batchSizes),
    paddedRows: upload(paddedRows),
    packedRows: upload(packedRows),
    outputRows: outputRows && upload(outputRows),
  };
}

/** A copy [rows,size] of rows of a matrix: row i is row `indices[i]`. */
function selectRows({ data, shape }: Tensor, indices: Int32Array): Tensor {
  const size = shape[1]!;
  const rows = zeros(dtypeOf(data), indices.length * size);
  indices.forEach((row, i) => rows.set(data.subarray(row * size, (row + 1) * size), i * size));
  return { data: rows, shape: [indices.length, size] };
}

/** A tensor [N,size] in the order of the ragged batch, longest row first. */
export function sortRows<T extends Tensor | undefined>(tensor: T, ragged: WasmRaggedBatch | undefined): Tensor | T {
  return ragged && tensor ? selectRows(tensor, ragged.indices.sortedIndices) : tensor;
}

/** A copy of a tensor [N,size] in the order of the caller's batch. */
function unsortRows(tensor: FloatTensor, ragged: WasmRaggedBatch | undefined): Tensor {
  return ragged ? selectRows(tensor, ragged.indices.unsortedIndices) : tensor.download();
}

/** A part of a pass: it starts at step `start` from the states h, c [rows of the step before,*]. */
interface Segment {
  readonly start: number;
  readonly h: FloatTensor;
  readonly c: FloatTensor | undefined;
}

/** What the backward pass of a direction needs: the forward pass, or, with checkpoints, the states that segments start from. */
export interface DirectionPass {
  /** Without x, which is packed again. */
  readonly input: Omit<Input, "x">;
  /** [T,N,D], in the order of the caller's batch. */
  readonly x: FloatTensor;
  readonly ragged: WasmRaggedBatch | undefined;
  readonly pass: Omit<Pass, "x"> | undefined;
  readonly segments: readonly Segment[];
  /** Steps of a segment. */
  readonly checkpoint: number;
}

interface ForwardArgs {
  cell: Cell;
  weights: RecurrentWeights;
  ragged: WasmRaggedBatch | undefined;
  /** [T,N,D] */
  x: FloatTensor;
  /** [N,P], in the order of the ragged batch. */
  mask: FloatTensor | undefined;
  /** [N,*], in the order of the caller's batch. */
  initial: { h0: Tensor | undefined; c0: Tensor | undefined };
  /** Whether a backward pass follows. */
  training: boolean;
  /** In training, states are saved every so many steps; Infinity: all are. */
  checkpoint: number;
}

/**
 * Runs one layer in one direction. Both directions of a layer take as many turns (`runPasses`).
 *
 * @param saved   for what the backward pass needs, in inference for the states
 * @param scratch for the rest; must live as long as the states that are returned
 * @returns states [rows,P], packed, and the last ones [N,*] in the order of the caller's batch
 */
export function* forwardDirection(
  saved: Arena,
  scratch: Arena,
  dtype: FloatDtype,
  args: ForwardArgs,
): PassRun<{ saved: DirectionPass; states: FloatTensor; h: Tensor; c: Tensor | undefined }> {
  const { cell, weights, ragged, x, mask, training, checkpoint } = args;
  const [t, n] = x.shape as [number, number];
  const { steps, rows, lastRows } = ragged?.indices ?? { steps: t, rows: t * n, lastRows: undefined };
  const input: Omit<Input, "x"> = { cell, t: steps, n, batchSizes: ragged?.batchSizes, rows, mask };
  const { h0, c0 } = args.initial;
  const initial = { h0: sortRows(h0, ragged), c0: sortRows(c0, ragged) };
  const packed = { ...input, x: packInput(scratch, dtype, x, ragged) };
  const inSegments = training && checkpoint < steps && rows > 0;
  const { pass, segments } = inSegments
    ? yield* forwardSegments(saved, scratch, dtype, packed, weights, initial, ragged?.indices.batchSizes, checkpoint)
    : { pass: yield* forwardPass(saved, dtype, packed, weights, initial, { training }), segments: [] };
  const { hs, cs } = pass;
  const allCells = training && !inSegments; // else cs is the latest c, [N,H], in the order of the ragged batch
  const c = cs && (allCells ? lastStates(cs, n, rows, lastRows) : unsortRows(cs, ragged));
  return {
    saved: { input, x, ragged, segments, pass: inSegments ? undefined : pass, checkpoint },
    states: hs.slice(n, rows),
    h: lastStates(hs, n, rows, lastRows),
    c,
  };
}

/** x [T,N,D] as [rows,D]: packed, or the same memory. */
function packInput(arena: Arena, dtype: FloatDtype, x: FloatTensor, ragged: WasmRaggedBatch | undefined): FloatTensor {
  const [t, n, d] = x.shape as [number, number, number];
  if (!ragged) return x.reshape([t * n, d]);
  const { rows } = ragged.indices;
  const packed: FloatTensor = arena.allocate("packed x", dtype, [rows, d]);
  gatherRows(dtype, rows, ragged.paddedRows, allColumns(x), allColumns(packed));
  return packed;
}

function allColumns(tensor: FloatTensor): Columns {
  return { of: tensor, first: 0, width: tensor.shape[tensor.shape.length - 1]! };
}

/** A copy [N,*] of the last states in [N + rows,*]: the rows `lastRows`, or the last N. */
function lastStates(states: FloatTensor, n: number, rows: number, lastRows: Int32Array | undefined): Tensor {
  return lastRows ? selectRows(states, lastRows) : states.slice(rows, n).download();
}

/** The input of the steps start..end-1, and the packed row `offset` that it starts at. */
function segmentOf(input: Input, batchSizes: Int32Array | undefined, start: number, end: number) {
  const rowsOf = (from: number, to: number) =>
    batchSizes ? batchSizes.subarray(from, to).reduce((a, b) => a + b, 0) : (to - from) * input.n;
  const offset = rowsOf(0, start);
  const rows = rowsOf(start, end);
  const n = start > 0 && batchSizes ? batchSizes[start - 1]! : input.n; // rows of the state before it
  const x = input.x.slice(offset, rows);
  return { ...input, t: end - start, n, rows, x, batchSizes: input.batchSizes?.slice(start, end - start), offset };
}

/** Runs all steps in segments, and saves only the states that the segments start from. */
function* forwardSegments(
  saved: Arena,
  scratch: Arena,
  dtype: FloatDtype,
  input: Input,
  weights: RecurrentWeights,
  initial: InitialStates,
  batchSizes: Int32Array | undefined,
  checkpoint: number,
): PassRun<{ pass: Pass; segments: Segment[] }> {
  const { cell, t, n, rows } = input;
  const { h, p } = sizesOf(cell, weights);
  const hs = allocateStates(scratch, dtype, "states", { n, rows }, p, initial.h0);
  const cs = cell.kind === "LSTM" ? allocateStates(scratch, dtype, "cells", { n, rows: 0 }, h, initial.c0) : undefined;
  const segments: Segment[] = [];
  for (let start = 0; start < t; start += checkpoint) {
    const segment = segmentOf(input, batchSizes, start, Math.min(start + checkpoint, t));
    const save = (purpose: string, state: FloatTensor) => saved.copy(purpose, state, dtype, state.shape);
    const states = hs.slice(n + segment.offset - segment.n, segment.n + segment.rows);
    segments.push({
      start,
      h: save("states", states.slice(0, segment.n)),
      c: cs && save("cells", cs.slice(0, segment.n)),
    });
    const arena = new Arena(scratch.core);
    try {
      yield* forwardPass(arena, dtype, segment, weights, { hs: states, cs }, { training: false });
    } finally {
      arena.dispose();
    }
  }
  return { pass: { ...input, hs, cs }, segments };
}

interface BackwardArgs {
  saved: DirectionPass;
  weights: RecurrentWeights;
  gradients: RecurrentWeights;
  /** Gradient of the output, columns of [T,N,*]; zeros by default. */
  dOutput: Columns | undefined;
  /** [N,*], in the order of the caller's batch; zeros by default. */
  dhn: Tensor | undefined;
  dcn: Tensor | undefined;
  /** Out: [T,N,D]. */
  dx: FloatTensor;
  /** Whether to add to dx instead of overwriting it. */
  add: boolean;
  /** Whether to allocate everything and change nothing. */
  dryRun: boolean;
}

/**
 * Runs one layer in one direction backward. The second direction adds to dx in its last turn, after the first has written there.
 *
 * @returns the gradients of the initial states, [N,*], in the order of the caller's batch
 */
export function* backwardDirection(
  core: Core,
  dtype: FloatDtype,
  args: BackwardArgs,
): PassRun<{ h: Tensor; c: Tensor | undefined }> {
  const { saved, weights, gradients, dOutput, dx, add, dryRun } = args;
  const { input, ragged, pass, segments, checkpoint } = saved;
  const { cell, n, rows, t } = input;
  const { h, p } = sizesOf(cell, weights);
  const arena = new Arena(core);
  try {
    const x = packInput(arena, dtype, saved.x, ragged);
    const dStates = dOutput && packGradient(arena, dtype, dOutput, rows, ragged);
    const stateGradient = (purpose: string, gradient: Tensor | undefined, size: number): FloatTensor => {
      if (!gradient) return arena.zeros(purpose, dtype, [n, size]);
      return arena.copy(purpose, sortRows(gradient, ragged), dtype, [n, size]);
    };
    const dh = stateGradient("dhn", args.dhn, p);
    const dc = cell.kind === "LSTM" ? stateGradient("dcn", args.dcn, h) : undefined;
    const direct = !ragged && !add;
    const d = x.shape[1]!;
    const dInput: FloatTensor = direct ? dx.reshape([rows, d]) : arena.allocate("packed dx", dtype, [rows, d]);
    const run = (part: Pass, offset: number, arena: Arena) => {
      const [dOutput, dx] = [dStates?.slice(offset, part.rows), dInput.slice(offset, part.rows)];
      return backwardPass(arena, dtype, part, weights, gradients, { dOutput, dh, dc, dx }, dryRun);
    };
    if (pass) yield* run({ ...pass, x }, 0, arena);
    for (const { start, h: h0, c: c0 } of [...segments].reverse()) {
      const end = Math.min(start + checkpoint, t);
      const { offset, ...segment } = segmentOf({ ...input, x }, ragged?.indices.batchSizes, start, end);
      const scratch = new Arena(core);
      try {
        const options: PassOptions = { training: true, dryRun };
        yield* run(yield* forwardPass(scratch, dtype, segment, weights, { h0, c0 }, options), offset, scratch);
      } finally {
        scratch.dispose();
      }
    }
    if (!direct && !dryRun) {
      if (add) scatterRows(dtype, rows, ragged?.paddedRows, allColumns(dInput), allColumns(dx));
      else gatherRows(dtype, dx.shape[0]! * n, ragged!.packedRows, allColumns(dInput), allColumns(dx));
    }
    return { h: unsortRows(dh, ragged), c: dc && unsortRows(dc, ragged) };
  } finally {
    arena.dispose();
  }
}

/** The gradient of the states [rows,P] from that of the output. */
function packGradient(
  arena: Arena,
  dtype: FloatDtype,
  dOutput: Columns,
  rows: number,
  ragged: WasmRaggedBatch | undefined,
): FloatTensor {
  const { of: tensor, width } = dOutput;
  if (!ragged && tensor.shape[tensor.shape.length - 1] === width) return tensor.reshape([rows, width]);
  const packed: FloatTensor = arena.allocate("packed dOutput", dtype, [rows, width]);
  if (ragged?.outputRows) {
    packed.fill(0); // a packed row may be the output of several steps, or of none
    scatterRows(dtype, tensor.shape[0]! * tensor.shape[1]!, ragged.outputRows, dOutput, allColumns(packed));
  } else {
    gatherRows(dtype, rows, ragged?.paddedRows, dOutput, allColumns(packed));
  }
  return packed;
}
