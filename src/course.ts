// What the functions of both courses share: one pass of the core over JavaScript tensors in the core's own layout
// ([T,N,*], weights [G,*], gates i f g o). coursera.ts and cs231n.ts convert their layouts to it and back.

import { ShapeError, StateError } from "../bindings/errors.js";
import { currentCore } from "../bindings/instantiate.js";
import type { FloatTensor } from "../bindings/kernels.js";
import { withArena, type Arena } from "../bindings/memory.js";
import {
  lstmBackward,
  lstmCellBackward,
  lstmCellForward,
  lstmForward,
  packWeights,
  rnnBackward,
  rnnCellBackward,
  rnnCellForward,
  rnnForward,
  type Nonlinearity,
  type RecurrentWeights,
} from "../bindings/recurrent.js";
import { describe, showShape, zeros, type FloatDtype, type Tensor } from "../bindings/tensor.js";
import { reshape, slice } from "./layout.js";

/** One layer's weights with one bias. */
export interface CourseWeights {
  weightIh: Tensor; // [G,D]
  weightHh: Tensor; // [G,H]
  bias: Tensor; // [G]
}

/** What a forward function keeps for its backward function: copies that are JavaScript's. */
export interface Kept {
  readonly course: "coursera" | "cs231n";
  readonly kind: "rnn" | "lstm";
  /** One step, by the cell kernels. */
  readonly cell: boolean;
  readonly dtype: FloatDtype;
  readonly nonlinearity: Nonlinearity;
  readonly weights: CourseWeights;
  readonly x: Tensor; // [T,N,D]
  readonly hs: Tensor; // [T+1,N,H]
  readonly cs?: Tensor; // [T+1,N,H]
  readonly phiC?: Tensor; // [T,N,H]
  readonly gates?: Tensor; // [T,N,4H], i f g o
}

const KEPT = Symbol("kept");

/** Attaches what is kept to the cache that a user sees. */
export function withKept<C extends object>(cache: C, kept: Kept): C {
  return Object.defineProperty(cache, KEPT, { value: kept });
}

/** What `withKept` attached, where the cache is one of the function's own. */
export function keptOf(
  argument: string,
  cache: object,
  course: Kept["course"],
  kind: Kept["kind"],
  cell: boolean,
): Kept {
  const kept = (cache as { [KEPT]?: Kept } | null | undefined)?.[KEPT];
  if (kept?.course !== course || kept.kind !== kind || kept.cell !== cell) {
    throw new StateError(argument, describe(cache), "what the forward function of the same name returned");
  }
  return kept;
}

/** Refuses sequences without steps. */
export function checkSteps(argument: string, x: Tensor, timeAxis: number): void {
  if (x.shape[timeAxis] === 0) throw new ShapeError(argument, showShape(x.shape), "at least one step");
}

/** Uploads weights; the second bias of the core's kernels is zeros. */
function upload(arena: Arena, dtype: FloatDtype, { weightIh, weightHh, bias }: CourseWeights) {
  const resident: RecurrentWeights<FloatTensor> = {
    weightIh: arena.upload("weightIh", weightIh, dtype, ["G", "D"]),
    weightHh: arena.upload("weightHh", weightHh, dtype, ["G", "H"]),
    biasIh: arena.upload("bias", bias, dtype, ["G"]),
    biasHh: arena.zeros("bias", dtype, bias.shape),
  };
  return resident;
}

/**
 * All steps, or one by the cell kernels.
 *
 * @param input.x [T,N,D]
 * @param input.h0, input.c0 [N,H]; zeros where c0 is left out
 * @param project runs on the output [T,N,H] while it is in wasm memory
 */
export function forward<R>(
  input: Omit<Kept, "hs" | "cs" | "phiC" | "gates"> & { h0: Tensor; c0?: Tensor },
  project: (arena: Arena, output: FloatTensor) => R,
): { kept: Kept; projected: R } {
  const { course, kind, cell, dtype, nonlinearity, weights, x, h0, c0 } = input;
  const [t, n] = x.shape as [number, number, number];
  const h = h0.shape[1]!;
  const given = { course, kind, cell, dtype, nonlinearity, weights, x };
  return withArena(currentCore(), (arena) => {
    const resident = upload(arena, dtype, weights);
    let hs: FloatTensor;
    let rest = {};
    if (!cell) {
      const args = { nonlinearity, x, h0, weights: resident };
      if (kind === "rnn") {
        hs = rnnForward(arena, dtype, args).hs;
      } else {
        const tape = lstmForward(arena, dtype, { ...args, c0, keep: true }).tape!;
        hs = tape.hs;
        rest = { cs: tape.cs.download(), phiC: tape.phiC.download(), gates: tape.gates.download() };
      }
    } else {
      const packed = packWeights(arena, dtype, kind === "rnn" ? 1 : 4, resident);
      const step = arena.upload("x", reshape(x, x.shape.slice(1)), dtype, ["N", "D"]);
      const states = (value: Tensor) => {
        const both = arena.allocate("states", dtype, [2, n, h]);
        both.slice(0, 1).set(value.data);
        return [both, both.slice(0, 1).reshape([n, h]), both.slice(1, 1).reshape([n, h])] as const;
      };
      const [all, hPrev, hNext] = states(h0);
      hs = all;
      if (kind === "rnn") {
        rnnCellForward(nonlinearity, step, hPrev, packed, hNext);
      } else {
        const [cs, cPrev, cNext] = states(c0!);
        const gates = arena.allocate("gates", dtype, [1, n, 4 * h]);
        const phiC = arena.allocate("phi(c)", dtype, [1, n, h]);
        lstmCellForward(nonlinearity, step, hPrev, cPrev, packed, hNext, cNext, gates, phiC);
        rest = { cs: cs.download(), phiC: phiC.download(), gates: gates.download() };
      }
    }
    const projected = project(arena, hs.slice(1, t));
    return { kept: { ...given, hs: hs.download(), ...rest }, projected };
  });
}

/** Gradients of one pass: of x [T,N,D], the first states [N,H], and the weights in the core's layout. */
export interface CourseGradients {
  dx: Tensor;
  dh0: Tensor;
  dc0: Tensor;
  weights: CourseWeights;
}

/**
 * Backward through the first steps of a forward pass.
 *
 * @param dOutput [T',N,H], T' <= T: the steps behind have no gradient
 * @param dcNext  [N,H], cells only
 */
export function backward(kept: Kept, dOutput: Tensor, dcNext?: Tensor): CourseGradients {
  const { kind, cell, dtype, nonlinearity } = kept;
  const steps = dOutput.shape[0]!;
  return withArena(currentCore(), (arena) => {
    const weights = upload(arena, dtype, kept.weights);
    const like = ({ shape }: FloatTensor) => arena.zeros("gradients of the weights", dtype, shape);
    const gradients: RecurrentWeights<FloatTensor> = {
      weightIh: like(weights.weightIh),
      weightHh: like(weights.weightHh),
      biasIh: like(weights.biasIh!),
      biasHh: like(weights.biasIh!),
    };
    const up = (x: Tensor): FloatTensor => arena.upload("cache", x, dtype, ["T", "N", "H"]);
    const row = (of: Tensor, i: number) => reshape(slice(of, i, 1), of.shape.slice(1));
    let result: { dx: FloatTensor; dh0: FloatTensor; dc0?: FloatTensor };
    if (cell) {
      const { x, hs, cs, phiC } = kept;
      const args = { nonlinearity, x: row(x, 0), hPrev: row(hs, 0), weights, gradients, dhNext: row(dOutput, 0) };
      if (kind === "rnn") {
        const { dx, dhPrev } = rnnCellBackward(arena, dtype, { ...args, hNext: row(hs, 1) });
        result = { dx, dh0: dhPrev };
      } else {
        const gates = up(kept.gates!).slice(0, 1);
        const state = { cPrev: row(cs!, 0), phiC: row(phiC!, 0), gates, dcNext: dcNext! };
        const { dx, dhPrev, dcPrev } = lstmCellBackward(arena, dtype, { ...args, ...state });
        result = { dx, dh0: dhPrev, dc0: dcPrev };
      }
    } else {
      const tape = { nonlinearity, x: up(slice(kept.x, 0, steps)), hs: up(slice(kept.hs, 0, steps + 1)) };
      const args = { weights, gradients, dOutput };
      if (kind === "rnn") {
        result = rnnBackward(arena, dtype, { ...args, tape });
      } else {
        const { cs, phiC, gates } = kept;
        const more = {
          cs: up(slice(cs!, 0, steps + 1)),
          phiC: up(slice(phiC!, 0, steps)),
          gates: up(slice(gates!, 0, steps)),
        };
        result = lstmBackward(arena, dtype, { ...args, tape: { ...tape, ...more } });
      }
    }
    const { dx, dh0, dc0 } = result;
    return {
      dx: dx.download([steps, ...kept.x.shape.slice(1)]),
      dh0: dh0.download(),
      dc0: dc0?.download() ?? { data: zeros(dtype, 0), shape: [0] },
      weights: {
        weightIh: gradients.weightIh.download(),
        weightHh: gradients.weightHh.download(),
        bias: gradients.biasIh!.download(),
      },
    };
  });
}
