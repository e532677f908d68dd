// One layer of a recurrent stack in one direction: packs what must be packed, keeps all states or some, runs the kernels.

import type { Core } from "../../bindings/instantiate.js";
import { gatherRows, scatterRows, type Columns, type FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena, type WasmTensor } from "../../bindings/memory.js";
import {
  allocateStates,
  sequenceBackward,
  sequenceForward,
  sizesOf,
  type Cell,
  type First,
  type Input,
  type Pass,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import { zeros, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { pack, type Active, type Packing } from "./ragged.js";

/** A packing whose indices lie in wasm memory. */
export interface Resident {
  readonly packing: Packing;
  readonly counts: WasmTensor<"i32"> | undefined;
  readonly from: WasmTensor<"i32">;
  readonly place: WasmTensor<"i32">;
  readonly output: WasmTensor<"i32"> | undefined;
  /** [N,size] in the order of the batch to that of the packing, and back. */
  sort(of: Tensor): Tensor;
  unsort(of: Tensor): Tensor;
}

/** The packing of a direction; none where all steps of all rows run from first to last. */
export function residentPacking(
  arena: Arena,
  active: Active | undefined,
  reverse: boolean,
  t: number,
  n: number,
): Resident | undefined {
  if (!active && !reverse) return undefined;
  const packing = pack(active ?? { t, n, flags: new Uint8Array(t * n).fill(1), repeat: false }, reverse);
  const { counts, from, place, output, order } = packing;
  const upload = (data: Int32Array) => arena.copy("packing", { data, shape: [data.length] }, "i32", ["rows"]);
  return {
    packing,
    counts: counts && upload(counts),
    from: upload(from),
    place: upload(place),
    output: output && upload(output),
    sort: (of) => moveRows(of, (i) => [i, order[i]!]),
    unsort: (of) => moveRows(of, (i) => [order[i]!, i]),
  };
}

/** A copy of [N,size] whose row `to` is row `from`, for every [to, from] that `move` tells. */
function moveRows(of: Tensor, move: (i: number) => [to: number, from: number]): Tensor {
  const [n, size] = of.shape as [number, number];
  const { data } = of;
  const copy = data.slice();
  for (let i = 0; i < n; i++) {
    const [to, from] = move(i);
    copy.set(data.subarray(from * size, (from + 1) * size), to * size);
  }
  return { data: copy, shape: of.shape };
}

/** Steps from `first` on: where a pass is cut, and the states there, [rows of the step before,*]. */
interface Segment {
  readonly first: number;
  readonly h: FloatTensor;
  readonly c: FloatTensor | undefined;
}

/** What a direction's backward pass needs: the pass, or where only some states were kept, those. */
export interface DirectionTape {
  /** Without x, which is packed anew. */
  readonly input: Omit<Input, "x">;
  /** [T,N,D], in the order of the batch. */
  readonly x: FloatTensor;
  readonly packing: Resident | undefined;
  readonly pass: Omit<Pass, "x"> | undefined;
  readonly segments: readonly Segment[];
  /** States are kept every so many steps. */
  readonly every: number;
}

interface Forward {
  cell: Cell;
  weights: RecurrentWeights;
  packing: Resident | undefined;
  /** [T,N,D] */
  x: FloatTensor;
  /** [N,P], in the order of the packing. */
  mask: FloatTensor | undefined;
  /** [N,*], in the order of the batch. */
  first: { h0: Tensor | undefined; c0: Tensor | undefined };
  /** Whether a backward pass will follow. */
  keep: boolean;
  every: number;
}

/**
 * @param keep   for what a backward pass needs (or an inference pass's states)
 * @param scratch for what is needed no longer than the states
 * @returns states [rows,P], packed, and the last ones [N,*] in the order of the batch
 */
export function forwardDirection(
  keep: Arena,
  scratch: Arena,
  dtype: FloatDtype,
  args: Forward,
): { tape: DirectionTape; states: FloatTensor; h: Tensor; c: Tensor | undefined } {
  const { cell, weights, packing, x, mask, every } = args;
  const [t, n] = x.shape as [number, number];
  const { steps, rows, last } = packing?.packing ?? { steps: t, rows: t * n, last: undefined };
  const input: Omit<Input, "x"> = { cell, t: steps, n, counts: packing?.counts, rows, mask };
  const sort = (of: Tensor | undefined) => (of && packing ? packing.sort(of) : of);
  const first = { h0: sort(args.first.h0), c0: sort(args.first.c0) };
  const packed = { ...input, x: packedInput(scratch, dtype, x, packing) };
  const inSegments = args.keep && every < steps && rows > 0;
  const { pass, segments } = inSegments
    ? forwardSegments(keep, scratch, dtype, packed, weights, first, packing?.packing.counts, every)
    : { pass: sequenceForward(keep, dtype, packed, weights, first, args.keep), segments: [] };
  const { hs, cs } = pass;
  const tape = { input, x, packing, segments, pass: inSegments ? undefined : pass, every };
  // Where not all are kept, the cells are one [N,H], in the order of the packing.
  const keptCells = args.keep && !inSegments;
  const c = cs && (keptCells ? lastStates(cs, n, rows, last) : unsorted(cs, packing));
  return { tape, states: hs.slice(n, rows), h: lastStates(hs, n, rows, last), c };
}

/** x packed, or as it is: [rows,D]. */
function packedInput(arena: Arena, dtype: FloatDtype, x: FloatTensor, packing: Resident | undefined): FloatTensor {
  const [t, n, d] = x.shape as [number, number, number];
  if (!packing) return x.reshape([t * n, d]);
  const { rows } = packing.packing;
  const packed: FloatTensor = arena.allocate("packed x", dtype, [rows, d]);
  gatherRows(dtype, rows, packing.from, whole(x), whole(packed));
  return packed;
}

/** All columns of a tensor. */
function whole(of: FloatTensor): Columns {
  return { of, first: 0, width: of.shape[of.shape.length - 1]! };
}

/** A copy of the last states of [N + rows,*]: the rows `last`, or the last N. */
function lastStates(all: FloatTensor, n: number, rows: number, last: Int32Array | undefined): Tensor {
  if (!last) return all.slice(rows, n).download();
  const size = all.shape[1]!;
  const from = all.data;
  const data = zeros(all.dtype, n * size);
  last.forEach((row, i) => data.set(from.subarray(row * size, (row + 1) * size), i * size));
  return { data, shape: [n, size] };
}

function unsorted(of: FloatTensor, packing: Resident | undefined): Tensor {
  return packing ? packing.unsort(of) : of.download();
}

/** Rows of the steps first..end (not included) of a pass, and the pass cut down to them. */
function segmentOf(input: Input, counts: Int32Array | undefined, first: number, end: number) {
  const sum = (from: number, to: number) =>
    counts ? counts.subarray(from, to).reduce((a, b) => a + b, 0) : (to - from) * input.n;
  const offset = sum(0, first);
  const rows = sum(first, end);
  const n = first > 0 && counts ? counts[first - 1]! : input.n; // rows of the states that it starts from
  const x = input.x.slice(offset, rows);
  return { ...input, t: end - first, n, rows, x, counts: input.counts?.slice(first, end - first), offset };
}

/** All steps, of which only the states that segments start from are kept. */
function forwardSegments(
  keep: Arena,
  scratch: Arena,
  dtype: FloatDtype,
  input: Input,
  weights: RecurrentWeights,
  first: First,
  counts: Int32Array | undefined,
  every: number,
): { pass: Pass; segments: Segment[] } {
  const { cell, t, n, rows } = input;
  const { h, p } = sizesOf(cell, weights);
  const hs = allocateStates(scratch, dtype, "states", { n, rows }, p, first.h0);
  const cs = cell.kind === "LSTM" ? allocateStates(scratch, dtype, "cells", { n, rows: 0 }, h, first.c0) : undefined;
  const segments: Segment[] = [];
  for (let step = 0; step < t; step += every) {
    const segment = segmentOf(input, counts, step, Math.min(step + every, t));
    const before = hs.slice(n + segment.offset - segment.n, segment.n);
    const copy = (purpose: string, of: FloatTensor) => keep.copy(purpose, of, dtype, of.shape);
    segments.push({ first: step, h: copy("states", before), c: cs && copy("cells", cs.slice(0, segment.n)) });
    withArena(scratch.core, (arena) => {
      const states = hs.slice(n + segment.offset - segment.n, segment.n + segment.rows);
      sequenceForward(arena, dtype, segment, weights, { hs: states, cs }, false);
    });
  }
  return { pass: { ...input, hs, cs }, segments };
}

interface Backward {
  tape: DirectionTape;
  weights: RecurrentWeights;
  gradients: RecurrentWeights;
  /** Of [T,N,*]. */
  dOutput: Columns | undefined;
  /** [N,*], in the order of the batch. */
  dhn: Tensor | undefined;
  dcn: Tensor | undefined;
  /** out: [T,N,D]. */
  dx: FloatTensor;
  /** Whether dx is added to, not overwritten. */
  add: boolean;
  /** Whether only the memory is taken, and nothing changed. */
  rehearse: boolean;
}

/** Gradients of the first states, [N,*], in the order of the batch. */
export function backwardDirection(core: Core, dtype: FloatDtype, args: Backward): { h: Tensor; c: Tensor | undefined } {
  const { tape, weights, gradients, dOutput, dx, add, rehearse } = args;
  const { input, packing, pass, segments } = tape;
  const { cell, n, rows, t } = input;
  const { h, p } = sizesOf(cell, weights);
  return withArena(core, (arena) => {
    const x = packedInput(arena, dtype, tape.x, packing);
    const dStates = dOutput && packedGradient(arena, dtype, dOutput, rows, packing);
    const carried = (purpose: string, gradient: Tensor | undefined, size: number): FloatTensor => {
      if (!gradient) return arena.zeros(purpose, dtype, [n, size]);
      return arena.copy(purpose, packing ? packing.sort(gradient) : gradient, dtype, [n, size]);
    };
    const dh = carried("dhn", args.dhn, p);
    const dc = cell.kind === "LSTM" ? carried("dcn", args.dcn, h) : undefined;
    const direct = !packing && !add;
    const d = x.shape[1]!;
    const dInput: FloatTensor = direct ? dx.reshape([rows, d]) : arena.allocate("packed dx", dtype, [rows, d]);
    const run = (of: Pass, first: number, arena: Arena) => {
      const part = { dOutput: dStates?.slice(first, of.rows), dh, dc, dx: dInput.slice(first, of.rows) };
      sequenceBackward(arena, dtype, of, weights, gradients, part, rehearse);
    };
    if (pass) run({ ...pass, x }, 0, arena);
    for (const { first, h: h0, c: c0 } of [...segments].reverse()) {
      const { offset, ...segment } = segmentOf(
        { ...input, x },
        packing?.packing.counts,
        first,
        Math.min(first + tape.every, t),
      );
      withArena(core, (scratch) => {
        const again = sequenceForward(scratch, dtype, segment, weights, { h0, c0 }, true, rehearse);
        run(again, offset, scratch);
      });
    }
    if (!direct && !rehearse) {
      if (add) scatterRows(dtype, rows, packing?.from, whole(dInput), whole(dx));
      else gatherRows(dtype, dx.shape[0]! * n, packing!.place, whole(dInput), whole(dx));
    }
    return { h: unsorted(dh, packing), c: dc && unsorted(dc, packing) };
  });
}

/** [rows,P] from gradients of the output. */
function packedGradient(
  arena: Arena,
  dtype: FloatDtype,
  dOutput: Columns,
  rows: number,
  packing: Resident | undefined,
): FloatTensor {
  const { of, width } = dOutput;
  if (!packing && of.shape[of.shape.length - 1] === width) return of.reshape([rows, width]);
  const packed: FloatTensor = arena.allocate("packed dOutput", dtype, [rows, width]);
  if (packing?.output) {
    packed.fill(0); // some rows gave the output of several steps, others of none
    scatterRows(dtype, of.shape[0]! * of.shape[1]!, packing.output, dOutput, whole(packed));
  } else {
    gatherRows(dtype, rows, packing?.from, dOutput, whole(packed));
  }
  return packed;
}
