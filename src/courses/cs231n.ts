// The functions of CS231n's rnn_layers.py: convert the course's layouts to the core's, run pass.ts, convert back.

import { floatDtype } from "../../bindings/kernels.js";
import { GATES } from "../../bindings/recurrent.js";
import type { Tensor } from "../../bindings/tensor.js";
import { permute, reshape, take } from "../base/layout.js";
import { arraysOf, rowsOf } from "../formats/gates.js";
import { backward, checkSteps, forward, savedFor, withSaved, type CourseWeights, type Saved } from "./pass.js";

/** Saved by a forward function for the backward function of the same name. */
export interface Cache {
  /** The input, copied: (N, D) of one step, (N, T, D) of all. */
  readonly x: Tensor;
}

/** Gradients of the weights; G = H (RNN), or 4H in the order i f o g (LSTM). */
export interface Gradients {
  /** (D, G). */
  dWx: Tensor;
  /** (H, G). */
  dWh: Tensor;
  /** (G). */
  db: Tensor;
}

/** A copy of (N, T, D) as [T,N,D], or of (N, D) as [1,N,D]. */
function toCore(x: Tensor): Tensor {
  return x.shape.length === 3 ? permute(x, [1, 0, 2]) : { data: x.data.slice(), shape: [1, ...x.shape] };
}

function fromCore(x: Tensor, cell: boolean): Tensor {
  return cell ? reshape(x, x.shape.slice(1)) : permute(x, [1, 0, 2]);
}

function run(
  kind: "RNN" | "LSTM",
  cell: boolean,
  x: Tensor,
  [hName, h]: readonly [string, Tensor],
  c: Tensor | undefined, // of one step of an LSTM
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): { saved: Saved; cache: Cache } {
  const gates = GATES[kind];
  const dtype = floatDtype("x", x);
  const input = take("x", x, dtype, cell ? ["N", "D"] : ["N", "T", "D"]);
  if (!cell) checkSteps("x", input, 1);
  const n = input.shape[0]!;
  const d = input.shape[input.shape.length - 1]!;
  const h0 = take(hName, h, dtype, [n, "H"]);
  const size = h0.shape[1]!;
  const c0 = kind === "LSTM" && cell ? take("prevC", c!, dtype, [n, size]) : undefined;
  const weights = rowsOf("cs231n", kind, {
    Wx: take("Wx", Wx, dtype, [d, gates * size]),
    Wh: take("Wh", Wh, dtype, [size, gates * size]),
    b: take("b", b, dtype, [gates * size]),
  });
  const pass = {
    course: "cs231n",
    kind,
    cell,
    dtype,
    nonlinearity: "tanh",
    weights,
    x: toCore(input),
    h0,
    c0,
  } as const;
  const { saved } = forward(pass, () => undefined);
  return { saved, cache: withSaved({ x: input }, saved) };
}

/** The states of all steps, without the initial one: (N, T, H), or (N, H) of one step. */
function states(saved: Saved, all: Tensor): Tensor {
  const [t, n, h] = [saved.x.shape[0]!, saved.x.shape[1]!, all.shape[2]!];
  return fromCore({ data: all.data.slice(n * h), shape: [t, n, h] }, saved.cell);
}

function gradients({ kind }: Saved, weights: CourseWeights): Gradients {
  const { Wx, Wh, b } = arraysOf("cs231n", kind, weights);
  return { dWx: Wx!, dWh: Wh!, db: b! };
}

/** Converts the gradient of `states` to the core's layout. */
function upstream(argument: string, dh: Tensor, { x, hs, cell, dtype }: Saved): Tensor {
  const [t, n, h] = [x.shape[0]!, x.shape[1]!, hs.shape[2]!];
  return toCore(take(argument, dh, dtype, cell ? [n, h] : [n, t, h]));
}

/**
 * The assignment's rnn_step_forward: next_h = tanh(x Wx + prev_h Wh + b).
 *
 * @param x (N, D)
 * @param prevH (N, H)
 * @param Wx (D, H)
 * @param Wh (H, H)
 * @param b (H)
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function rnnStepForward(
  x: Tensor,
  prevH: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): {
  /** (N, H). */
  nextH: Tensor;
  /** What `rnnStepBackward` takes. */
  cache: Cache;
} {
  const { saved, cache } = run("RNN", true, x, ["prevH", prevH], undefined, Wx, Wh, b);
  return { nextH: states(saved, saved.hs), cache };
}

/**
 * The assignment's rnn_step_backward.
 *
 * @param dnextH the gradient of nextH (N, H)
 * @param cache of `rnnStepForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of rnnStepForward), OutOfMemoryError
 */
export function rnnStepBackward(
  dnextH: Tensor,
  cache: Cache,
): Gradients & {
  /** (N, D). */
  dx: Tensor;
  /** (N, H). */
  dprevH: Tensor;
} {
  const saved = savedFor("cache", cache, "cs231n", "RNN", true);
  const { dx, dh0, weights } = backward(saved, upstream("dnextH", dnextH, saved));
  return { dx: fromCore(dx, true), dprevH: dh0, ...gradients(saved, weights) };
}

/**
 * The assignment's rnn_forward: all steps of `rnnStepForward`.
 *
 * @param x (N, T, D), T >= 1
 * @param h0 (N, H)
 * @param Wx (D, H)
 * @param Wh (H, H)
 * @param b (H)
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function rnnForward(
  x: Tensor,
  h0: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): {
  /** (N, T, H). */
  h: Tensor;
  /** What `rnnBackward` takes. */
  cache: Cache;
} {
  const { saved, cache } = run("RNN", false, x, ["h0", h0], undefined, Wx, Wh, b);
  return { h: states(saved, saved.hs), cache };
}

/**
 * The assignment's rnn_backward.
 *
 * @param dh the gradient of h (N, T, H)
 * @param cache of `rnnForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of rnnForward), OutOfMemoryError
 */
export function rnnBackward(
  dh: Tensor,
  cache: Cache,
): Gradients & {
  /** (N, T, D). */
  dx: Tensor;
  /** (N, H). */
  dh0: Tensor;
} {
  const saved = savedFor("cache", cache, "cs231n", "RNN", false);
  const { dx, dh0, weights } = backward(saved, upstream("dh", dh, saved));
  return { dx: fromCore(dx, false), dh0, ...gradients(saved, weights) };
}

/**
 * The assignment's lstm_step_forward: [i f o g] = x Wx + prev_h Wh + b; next_c = sigmoid(f) prev_c + sigmoid(i) tanh(g);
 * next_h = sigmoid(o) tanh(next_c).
 *
 * @param x (N, D)
 * @param prevH (N, H)
 * @param prevC (N, H)
 * @param Wx (D, 4H)
 * @param Wh (H, 4H)
 * @param b (4H)
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function lstmStepForward(
  x: Tensor,
  prevH: Tensor,
  prevC: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): {
  /** (N, H). */
  nextH: Tensor;
  /** (N, H). */
  nextC: Tensor;
  /** What `lstmStepBackward` takes. */
  cache: Cache;
} {
  const { saved, cache } = run("LSTM", true, x, ["prevH", prevH], prevC, Wx, Wh, b);
  return { nextH: states(saved, saved.hs), nextC: states(saved, saved.cs!), cache };
}

/**
 * The assignment's lstm_step_backward.
 *
 * @param dnextH the gradient of nextH (N, H)
 * @param dnextC the gradient of nextC (N, H)
 * @param cache of `lstmStepForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of lstmStepForward), OutOfMemoryError
 */
export function lstmStepBackward(
  dnextH: Tensor,
  dnextC: Tensor,
  cache: Cache,
): Gradients & {
  /** (N, D). */
  dx: Tensor;
  /** (N, H). */
  dprevH: Tensor;
  /** (N, H). */
  dprevC: Tensor;
} {
  const saved = savedFor("cache", cache, "cs231n", "LSTM", true);
  const dc = take("dnextC", dnextC, saved.dtype, saved.hs.shape.slice(1));
  const { dx, dh0, dc0, weights } = backward(saved, upstream("dnextH", dnextH, saved), dc);
  return { dx: fromCore(dx, true), dprevH: dh0, dprevC: dc0!, ...gradients(saved, weights) };
}

/**
 * The assignment's lstm_forward: all steps of `lstmStepForward`, from c0 = 0.
 *
 * @param x (N, T, D), T >= 1
 * @param h0 (N, H)
 * @param Wx (D, 4H)
 * @param Wh (H, 4H)
 * @param b (4H)
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function lstmForward(
  x: Tensor,
  h0: Tensor,
  Wx: Tensor,
  Wh: Tensor,
  b: Tensor,
): {
  /** (N, T, H). */
  h: Tensor;
  /** What `lstmBackward` takes. */
  cache: Cache;
} {
  const { saved, cache } = run("LSTM", false, x, ["h0", h0], undefined, Wx, Wh, b);
  return { h: states(saved, saved.hs), cache };
}

/**
 * The assignment's lstm_backward.
 *
 * @param dh the gradient of h (N, T, H)
 * @param cache of `lstmForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of lstmForward), OutOfMemoryError
 */
export function lstmBackward(
  dh: Tensor,
  cache: Cache,
): Gradients & {
  /** (N, T, D). */
  dx: Tensor;
  /** (N, H). */
  dh0: Tensor;
} {
  const saved = savedFor("cache", cache, "cs231n", "LSTM", false);
  const { dx, dh0, weights } = backward(saved, upstream("dh", dh, saved));
  return { dx: fromCore(dx, false), dh0, ...gradients(saved, weights) };
}
