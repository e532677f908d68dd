// The functions of Coursera's notebook: convert the course's layouts to the core's, run pass.ts, convert back.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import {
  floatDtype,
  linearForward,
  sigmoid,
  softmax as softmaxRows,
  type FloatTensor,
} from "../../bindings/kernels.js";
import { withArena, type Arena } from "../../bindings/memory.js";
import { checkTensor, describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { permute, reshape, slice, take } from "../base/layout.js";
import { arraysOf, rowsOf } from "../formats/gates.js";
import type {
  CourseOptions,
  Gates,
  LstmCaches,
  LstmCellCache,
  LstmGradients,
  LstmParameters,
  RnnCaches,
  RnnCellCache,
  RnnGradients,
  RnnParameters,
} from "./coursera-types.js";
import { backward, checkSteps, forward, savedFor, withSaved, type CourseWeights, type Saved } from "./pass.js";

const LSTM_GATES = ["i", "f", "c", "o"] as const; // the order of the kernels: i f g o

/** (n, m[, T]) to [T,m,n], where T is 1 for one step. */
function toCore(x: Tensor): Tensor {
  if (x.shape.length === 3) return permute(x, [2, 1, 0]);
  return reshape(permute(x, [1, 0]), [1, x.shape[1]!, x.shape[0]!]);
}

/** [T,m,n] to (n, m, T), or [1,m,n] to (n, m). */
function fromCore(x: Tensor, cell: boolean): Tensor {
  return cell ? permute(reshape(x, x.shape.slice(1)), [1, 0]) : permute(x, [2, 1, 0]);
}

function checkCourseOptions(options: CourseOptions): Required<CourseOptions> {
  const { activation = "tanh", output = "softmax" } = checkOptions("course", options, ["activation", "output"]);
  if (activation !== "tanh" && activation !== "relu") {
    throw new ValueError("activation", describe(activation), '"tanh" or "relu"');
  }
  if (output !== "softmax" && output !== "sigmoid") {
    throw new ValueError("output", describe(output), '"softmax" or "sigmoid"');
  }
  return { activation, output };
}

/** Makes a function that computes the predictions, softmax or sigmoid of W a + b, from states [T,m,n_a] in wasm memory. */
function predictor(
  dtype: FloatDtype,
  nA: number,
  names: readonly [string, string],
  weight: Tensor | undefined,
  bias: Tensor | undefined,
  output: "softmax" | "sigmoid",
): (arena: Arena, a: FloatTensor) => Tensor | undefined {
  if (weight === undefined && bias === undefined) return () => undefined;
  if (weight === undefined) throw new ShapeError(names[0], "none", `both ${names[0]} and ${names[1]}, or neither`);
  if (bias === undefined) throw new ShapeError(names[1], "none", `both ${names[0]} and ${names[1]}, or neither`);
  const w = take(names[0], weight, dtype, ["n_y", nA]);
  const b = take(names[1], bias, dtype, [w.shape[0]!, 1]);
  return (arena, a) => {
    const y = linearForward(arena, dtype, { x: a, weight: w, bias: reshape(b, [w.shape[0]!]) });
    (output === "softmax" ? softmaxRows : sigmoid)(arena, dtype, y);
    return y.download();
  };
}

/** The parameters by name, each read once. */
function readParameters<P extends object>(p: P, required: readonly (keyof P & string)[], output: keyof P & string): P {
  if (p === null || typeof p !== "object") throw new ValueError("p", describe(p), "an object of parameters");
  const read: Partial<P> = {};
  for (const name of required) {
    read[name] = p[name];
    if (read[name] === undefined) throw new ShapeError(`p.${name}`, "none", "a tensor");
  }
  for (const name of [output, "by" as keyof P & string]) read[name] = p[name];
  return read as P;
}

function runRnn(cell: boolean, x: Tensor, a0: Tensor, p: RnnParameters, options: CourseOptions) {
  const [xName, aName] = cell ? ["xt", "aPrev"] : ["x", "a0"];
  const { activation, output } = checkCourseOptions(options);
  const { Wax, Waa, ba, Wya, by } = readParameters(p, ["Wax", "Waa", "ba"], "Wya");
  const dtype = floatDtype(xName, x);
  const input = take(xName, x, dtype, cell ? ["n_x", "m"] : ["n_x", "m", "T_x"]);
  checkSteps(xName, input, 2);
  const [nX, m] = input.shape as [number, number];
  const weightHh = take("Waa", Waa, dtype, ["n_a", "n_a"]);
  const nA = weightHh.shape[0]!;
  checkTensor("Waa", weightHh, dtype, [nA, nA]);
  const weightIh = take("Wax", Wax, dtype, [nA, nX]);
  const bias = take("ba", ba, dtype, [nA, 1]);
  const first = take(aName, a0, dtype, [nA, m]);
  const weights = rowsOf("coursera", "RNN", { Wax: weightIh, Waa: weightHh, ba: bias });
  const { saved, projected } = forward(
    {
      course: "coursera",
      kind: "RNN",
      cell,
      dtype,
      nonlinearity: activation,
      weights,
      x: toCore(input),
      h0: permute(first, [1, 0]),
    },
    predictor(dtype, nA, ["Wya", "by"], Wya, by, output),
  );
  const a = fromCore(slice(saved.hs, 1, saved.x.shape[0]!), cell);
  return { saved, input, first, a, y: projected && fromCore(projected, cell) };
}

/**
 * The notebook's rnn_cell_forward: a_next = tanh(Wax xt + Waa a_prev + ba), yt_pred = softmax(Wya a_next + by).
 *
 * @param xt (n_x, m)
 * @param aPrev (n_a, m)
 * @param p the parameters
 * @param options tanh and softmax by default
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
 */
export function rnnCellForward(
  xt: Tensor,
  aPrev: Tensor,
  p: RnnParameters,
  options: CourseOptions = {},
): {
  /** (n_a, m). */
  aNext: Tensor;
  /** (n_y, m); undefined without Wya and by. */
  ytPred: Tensor | undefined;
  /** What `rnnCellBackward` takes. */
  cache: RnnCellCache;
} {
  const { saved, input, first, a, y } = runRnn(true, xt, aPrev, p, options);
  return { aNext: a, ytPred: y, cache: withSaved({ x: input, aPrev: first, aNext: a }, saved) };
}

/**
 * The notebook's rnn_forward: all steps of `rnnCellForward`.
 *
 * @param x (n_x, m, T_x), T_x >= 1
 * @param a0 (n_a, m)
 * @param p the parameters
 * @param options tanh and softmax by default
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
 */
export function rnnForward(
  x: Tensor,
  a0: Tensor,
  p: RnnParameters,
  options: CourseOptions = {},
): {
  /** (n_a, m, T_x). */
  a: Tensor;
  /** (n_y, m, T_x); undefined without Wya and by. */
  yPred: Tensor | undefined;
  /** What `rnnBackward` takes. */
  caches: RnnCaches;
} {
  const { saved, input, first, a, y } = runRnn(false, x, a0, p, options);
  return { a, yPred: y, caches: withSaved({ x: input, a0: first, a }, saved) };
}

function rnnGradients(weights: CourseWeights): RnnGradients {
  const { Wax, Waa, ba } = arraysOf("coursera", "RNN", weights);
  return { dWax: Wax!, dWaa: Waa!, dba: ba! };
}

/** Converts the gradient of the states to the core's layout: (n_a, m) of one step, or (n_a, m, T) with 1 <= T <= T_x. */
function upstream(argument: string, da: Tensor, { x, hs, cell, dtype }: Saved): Tensor {
  const [tX, m, nA] = [x.shape[0]!, hs.shape[1]!, hs.shape[2]!];
  const taken = take(argument, da, dtype, cell ? [nA, m] : [nA, m, "T"]);
  const t = cell ? 1 : taken.shape[2]!;
  if (t < 1 || t > tX) throw new ShapeError(argument, `${t} steps`, `1 to ${tX}`);
  return toCore(taken);
}

/**
 * The notebook's rnn_cell_backward. The gradient of the predictions is not computed here: add it to daNext.
 *
 * @param daNext the gradient of aNext (n_a, m)
 * @param cache of `rnnCellForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of rnnCellForward), OutOfMemoryError
 */
export function rnnCellBackward(
  daNext: Tensor,
  cache: RnnCellCache,
): RnnGradients & {
  /** (n_x, m). */
  dxt: Tensor;
  /** (n_a, m). */
  daPrev: Tensor;
} {
  const saved = savedFor("cache", cache, "coursera", "RNN", true);
  const { dx, dh0, weights } = backward(saved, upstream("daNext", daNext, saved));
  return { dxt: fromCore(dx, true), daPrev: permute(dh0, [1, 0]), ...rnnGradients(weights) };
}

/**
 * The notebook's rnn_backward: backpropagation through all steps.
 *
 * @param da the gradient of a (n_a, m, T), 1 <= T <= T_x: the steps after them have none
 * @param caches of `rnnForward`
 * @throws ShapeError, DtypeError, StateError (not the caches of rnnForward), OutOfMemoryError
 */
export function rnnBackward(
  da: Tensor,
  caches: RnnCaches,
): RnnGradients & {
  /** (n_x, m, T). */
  dx: Tensor;
  /** (n_a, m). */
  da0: Tensor;
} {
  const saved = savedFor("caches", caches, "coursera", "RNN", false);
  const { dx, dh0, weights } = backward(saved, upstream("da", da, saved));
  return { dx: fromCore(dx, false), da0: permute(dh0, [1, 0]), ...rnnGradients(weights) };
}

/** Converts Wi, Wf, Wc, Wo, which act on [a_prev; x], and their biases to the core's layout. */
function lstmWeights(p: LstmParameters, dtype: FloatDtype, nA: number, nX: number): CourseWeights {
  const arrays: Record<string, Tensor> = {};
  // check all before allocating the result: a state of no examples may claim any n_a
  for (const gate of LSTM_GATES) {
    arrays[`W${gate}`] = take(`W${gate}`, p[`W${gate}`], dtype, [nA, nA + nX]);
    arrays[`b${gate}`] = take(`b${gate}`, p[`b${gate}`], dtype, [nA, 1]);
  }
  return rowsOf("coursera", "LSTM", arrays);
}

function runLstm(
  cell: boolean,
  x: Tensor,
  a0: Tensor,
  cPrev: Tensor | undefined,
  p: LstmParameters,
  options: CourseOptions,
) {
  const [xName, aName] = cell ? ["xt", "aPrev"] : ["x", "a0"];
  const { activation, output } = checkCourseOptions(options);
  const parameters = readParameters(p, ["Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo"], "Wy");
  const dtype = floatDtype(xName, x);
  const input = take(xName, x, dtype, cell ? ["n_x", "m"] : ["n_x", "m", "T_x"]);
  checkSteps(xName, input, 2);
  const [nX, m] = input.shape as [number, number];
  const first = take(aName, a0, dtype, ["n_a", m]);
  const nA = first.shape[0]!;
  const c0 = cell ? take("cPrev", cPrev!, dtype, [nA, m]) : undefined;
  const weights = lstmWeights(parameters, dtype, nA, nX);
  const { saved, projected } = forward(
    {
      course: "coursera",
      kind: "LSTM",
      cell,
      dtype,
      nonlinearity: activation,
      weights,
      x: toCore(input),
      h0: permute(first, [1, 0]),
      c0: c0 && permute(c0, [1, 0]),
    },
    predictor(dtype, nA, ["Wy", "by"], parameters.Wy, parameters.by, output),
  );
  const t = saved.x.shape[0]!;
  return {
    saved,
    input,
    first,
    c0,
    a: fromCore(slice(saved.hs, 1, t), cell),
    c: fromCore(slice(saved.cs!, 1, t), cell),
    y: projected && fromCore(projected, cell),
  };
}

const GATE_NAMES: readonly (keyof Gates)[] = ["it", "ft", "cct", "ot"]; // as LSTM_GATES

/** Adds the gates to a cache, as getters that copy them at the first read. */
function withGates<C extends object>(cache: C, saved: Saved): C & Gates {
  const { cell, gates } = saved;
  GATE_NAMES.forEach((name, g) => {
    let value: Tensor | undefined;
    const get = (): Tensor => {
      if (value !== undefined) return value;
      const nA = saved.weights.weightHh.shape[1]!;
      const all = permute(gates!, [2, 1, 0], { start: g * nA, length: nA });
      return (value = cell ? reshape(all, all.shape.slice(0, 2)) : all);
    };
    Object.defineProperty(cache, name, { get, enumerable: true });
  });
  return withSaved(cache, saved) as C & Gates;
}

/**
 * The notebook's lstm_cell_forward, with z = [a_prev; xt]:
 * ft, it, ot = sigmoid(Wf z + bf), (Wi z + bi), (Wo z + bo); cct = tanh(Wc z + bc); c_next = ft c_prev + it cct;
 * a_next = ot tanh(c_next); yt_pred = softmax(Wy a_next + by).
 *
 * @param xt (n_x, m)
 * @param aPrev (n_a, m)
 * @param cPrev (n_a, m)
 * @param p the parameters
 * @param options tanh and softmax by default
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
 */
export function lstmCellForward(
  xt: Tensor,
  aPrev: Tensor,
  cPrev: Tensor,
  p: LstmParameters,
  options: CourseOptions = {},
): {
  /** (n_a, m). */
  aNext: Tensor;
  /** (n_a, m). */
  cNext: Tensor;
  /** (n_y, m); undefined without Wy and by. */
  ytPred: Tensor | undefined;
  /** What `lstmCellBackward` takes. */
  cache: LstmCellCache;
} {
  const { saved, input, first, c0, a, c, y } = runLstm(true, xt, aPrev, cPrev, p, options);
  const cache = { x: input, aPrev: first, cPrev: c0!, aNext: a, cNext: c };
  return { aNext: a, cNext: c, ytPred: y, cache: withGates(cache, saved) };
}

/**
 * The notebook's lstm_forward: all steps of `lstmCellForward`, from c0 = 0.
 *
 * @param x (n_x, m, T_x), T_x >= 1
 * @param a0 (n_a, m)
 * @param p the parameters
 * @param options tanh and softmax by default
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an unknown option), OutOfMemoryError
 */
export function lstmForward(
  x: Tensor,
  a0: Tensor,
  p: LstmParameters,
  options: CourseOptions = {},
): {
  /** (n_a, m, T_x). */
  a: Tensor;
  /** (n_y, m, T_x); undefined without Wy and by. */
  y: Tensor | undefined;
  /** (n_a, m, T_x). */
  c: Tensor;
  /** What `lstmBackward` takes. */
  caches: LstmCaches;
} {
  const { saved, input, first, a, c, y } = runLstm(false, x, a0, undefined, p, options);
  return { a, y, c, caches: withGates({ x: input, a0: first, a, c }, saved) };
}

function lstmGradients(weights: CourseWeights): LstmGradients {
  const arrays = Object.entries(arraysOf("coursera", "LSTM", weights));
  return Object.fromEntries(arrays.map(([name, gradient]) => [`d${name}`, gradient])) as unknown as LstmGradients;
}

/**
 * The notebook's lstm_cell_backward.
 *
 * @param daNext the gradient of aNext (n_a, m)
 * @param dcNext the gradient of cNext (n_a, m)
 * @param cache of `lstmCellForward`
 * @throws ShapeError, DtypeError, StateError (not a cache of lstmCellForward), OutOfMemoryError
 */
export function lstmCellBackward(
  daNext: Tensor,
  dcNext: Tensor,
  cache: LstmCellCache,
): LstmGradients & {
  /** (n_x, m). */
  dxt: Tensor;
  /** (n_a, m). */
  daPrev: Tensor;
  /** (n_a, m). */
  dcPrev: Tensor;
} {
  const saved = savedFor("cache", cache, "coursera", "LSTM", true);
  const da = upstream("daNext", daNext, saved);
  const dc = reshape(upstream("dcNext", dcNext, saved), saved.hs.shape.slice(1));
  const { dx, dh0, dc0, weights } = backward(saved, da, dc);
  return {
    dxt: fromCore(dx, true),
    daPrev: permute(dh0, [1, 0]),
    dcPrev: permute(dc0!, [1, 0]),
    ...lstmGradients(weights),
  };
}

/**
 * The notebook's lstm_backward: backpropagation through all steps, of a and of c.
 *
 * @param da the gradient of a (n_a, m, T), 1 <= T <= T_x: the steps after them have none
 * @param caches of `lstmForward`
 * @throws ShapeError, DtypeError, StateError (not the caches of lstmForward), OutOfMemoryError
 */
export function lstmBackward(
  da: Tensor,
  caches: LstmCaches,
): LstmGradients & {
  /** (n_x, m, T). */
  dx: Tensor;
  /** (n_a, m). */
  da0: Tensor;
} {
  const saved = savedFor("caches", caches, "coursera", "LSTM", false);
  const { dx, dh0, weights } = backward(saved, upstream("da", da, saved));
  return { dx: fromCore(dx, false), da0: permute(dh0, [1, 0]), ...lstmGradients(weights) };
}

/**
 * The softmax of the course's rnn_utils: e^x / sum of e^x over axis 0, with the maximum subtracted first.
 *
 * @param x (n), (n, m) or (n, m, T), f64 or f32
 * @returns the shape and type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function softmax(x: Tensor): Tensor {
  const dtype = floatDtype("x", x);
  const { data, shape } = take("x", x, dtype, ["...", "n"]);
  const columns = data.length / (shape[0] || 1);
  return withArena(currentCore(), (arena) => {
    const rows = permute({ data, shape: [shape[0]!, columns] }, [1, 0]);
    const y = arena.upload("x", rows, dtype, ["...", "n"]);
    softmaxRows(arena, dtype, y);
    return reshape(permute(y.download(), [1, 0]), shape);
  });
}
