// Shared by both courses: a forward and a backward pass of the core over JavaScript tensors in the core's layout ([T,N,*],
// weights [G,*], gates i f g o). coursera.ts and cs231n.ts convert their layouts.

import { ShapeError, StateError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena } from "../../bindings/memory.js";
import {
  checkSizes,
  sequenceBackward,
  sequenceForward,
  type Cell,
  type Pass,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import { describe, showShape, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { slice } from "../base/layout.js";
import type { GateRows } from "../formats/gates.js";

/** One layer's weights, or their gradients, with one bias: `biasIh`. */
export type CourseWeights = Omit<GateRows, "biasHh">;

/** Saved by a forward function for its backward function: private copies. */
export interface Saved {
  readonly course: "coursera" | "cs231n";
  readonly kind: "RNN" | "LSTM";
  /** Whether the function computes one step only. */
  readonly cell: boolean;
  readonly dtype: FloatDtype;
  readonly nonlinearity: "tanh" | "relu";
  readonly weights: CourseWeights;
  readonly x: Tensor; // [T,N,D]
  readonly hs: Tensor; // [T+1,N,H]
  readonly cs?: Tensor; // [T+1,N,H]
  readonly psiC?: Tensor; // [T,N,H]
  readonly gates?: Tensor; // [T,N,4H], i f g o
}

const cellOf = ({ kind, nonlinearity }: Pick<Saved, "kind" | "nonlinearity">): Cell => ({ kind, phi: nonlinearity });

/** The saved record of each cache. Users hold the caches only, so they can neither change nor forge a record. */
const savedByCache = /* @__PURE__ */ new WeakMap<object, Saved>();

/** Stores the record of a cache. */
export function withSaved<C extends object>(cache: C, saved: Saved): C {
  savedByCache.set(cache, saved);
  return cache;
}

/** The record of a cache; refuses caches of other functions. */
export function savedFor(
  argument: string,
  cache: object,
  course: Saved["course"],
  kind: Saved["kind"],
  cell: boolean,
): Saved {
  const saved = savedByCache.get(cache);
  if (saved?.course !== course || saved.kind !== kind || saved.cell !== cell) {
    throw new StateError(argument, describe(cache), "the cache that the forward function of the same name returned");
  }
  return saved;
}

/** Refuses sequences without steps. */
export function checkSteps(argument: string, x: Tensor, timeAxis: number): void {
  if (x.shape[timeAxis] === 0) throw new ShapeError(argument, showShape(x.shape), "at least one step");
}

/** Uploads weights. The kernels take two biases: the second is zeros. */
function upload(arena: Arena, dtype: FloatDtype, { weightIh, weightHh, biasIh }: CourseWeights) {
  const resident: RecurrentWeights<FloatTensor> = {
    weightIh: arena.upload("weightIh", weightIh, dtype, ["G", "D"]),
    weightHh: arena.upload("weightHh", weightHh, dtype, ["G", "H"]),
    biasIh: arena.upload("bias", biasIh!, dtype, ["G"]),
    biasHh: arena.zeros("bias", dtype, biasIh!.shape),
  };
  return resident;
}

/**
 * Runs all steps.
 *
 * @param input.x [T,N,D]
 * @param input.h0, input.c0 [N,H]; zeros where c0 is left out
 * @param project is called with the output [T,N,H] in wasm memory
 */
export function forward<R>(
  input: Omit<Saved, "hs" | "cs" | "psiC" | "gates"> & { h0: Tensor; c0?: Tensor },
  project: (arena: Arena, output: FloatTensor) => R,
): { saved: Saved; projected: R } {
  const { h0, c0, ...given } = input;
  const { dtype, weights, x } = given;
  const [t, n] = x.shape as [number, number, number];
  const h = h0.shape[1]!;
  return withArena(currentCore(), (arena) => {
    const resident = upload(arena, dtype, weights);
    const on = arena.upload("x", x, dtype, ["T", "N", "D"]);
    const pass = { cell: cellOf(given), t, n, rows: t * n, x: on };
    checkSizes(resident);
    const { hs, cs, psiC, gates } = sequenceForward(arena, dtype, pass, resident, { h0, c0 }, { training: true });
    const projected = project(arena, hs.slice(n, t * n).reshape([t, n, h]));
    const steps = (of: FloatTensor | undefined) => of?.download([t, n, of.shape[1]!]);
    const [all, cells] = [hs, cs].map((of) => of?.download([t + 1, n, h]));
    return { saved: { ...given, hs: all!, cs: cells, psiC: steps(psiC), gates: steps(gates) }, projected };
  });
}

/** Gradients of x [T,N,D], of the initial states [N,H], and of the weights, in the core's layout. */
export interface CourseGradients {
  dx: Tensor;
  dh0: Tensor;
  dc0: Tensor | undefined; // where dcNext was given
  weights: CourseWeights;
}

/**
 * Backpropagates through the first T' steps of a forward pass.
 *
 * @param dOutput [T',N,H], T' <= T: the steps after them have no gradient
 * @param dcNext  [N,H]; zeros where it is left out
 */
export function backward(saved: Saved, dOutput: Tensor, dcNext?: Tensor): CourseGradients {
  const { dtype, x, hs, cs, psiC, gates } = saved;
  const [t, n, h] = dOutput.shape as [number, number, number];
  return withArena(currentCore(), (arena) => {
    const weights = upload(arena, dtype, saved.weights);
    const like = ({ shape }: FloatTensor) => arena.zeros("gradients of the weights", dtype, shape);
    const gradients: RecurrentWeights = {
      weightIh: like(weights.weightIh),
      weightHh: like(weights.weightHh),
      biasIh: like(weights.biasIh!),
      biasHh: like(weights.biasIh!),
    };
    const up = (of: Tensor, steps = t): FloatTensor =>
      arena.upload("cache", slice(of, 0, steps), dtype, ["T", "N", "H"]).reshape([steps * n, of.shape[2]!]);
    const lstm = cs && psiC && gates && { cs: up(cs, t + 1), psiC: up(psiC), gates: up(gates) };
    const pass: Pass = { cell: cellOf(saved), t, n, rows: t * n, x: up(x), hs: up(hs, t + 1), ...lstm };
    const dh = arena.zeros("dh", dtype, [n, h]);
    const dc = dcNext ? arena.copy("dcNext", dcNext, dtype, [n, h]) : arena.zeros("dc", dtype, [n, h]);
    const dx = arena.allocate("dx", dtype, [t, n, x.shape[2]!]);
    sequenceBackward(arena, dtype, pass, weights, gradients, { dOutput: up(dOutput), dh, dc, dx });
    return {
      dx: dx.download(),
      dh0: dh.download(),
      dc0: dcNext && dc.download(),
      weights: {
        weightIh: gradients.weightIh.download(),
        weightHh: gradients.weightHh.download(),
        biasIh: gradients.biasIh!.download(),
      },
    };
  });
}
