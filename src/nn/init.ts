// Initial values of parameters, with PyTorch's formulas and defaults (torch.nn.init): `init.xavierUniform(parameter)`.
// Every function fills a parameter, or any tensor, in place. One seed gives the same numbers everywhere.
//
// `init` is an object and no namespace (`export * as init`): bundlers keep the namespaces of a bundle, used or not.

import { DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { floatDtype } from "../../bindings/kernels.js";
import { project } from "../../bindings/training-module.js";
import { withArena } from "../../bindings/memory.js";
import {
  checkTensor,
  describe,
  dtypeOf,
  showShape,
  sizeOf,
  type FloatDtype,
  type Tensor,
} from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { Random } from "../base/random.js";
import type { Parameter } from "./layer.js";

/** The tensor to fill: a parameter, or a tensor of f64 or f32. */
export type InitTarget = Parameter | Tensor;

/** Options of initialisers that draw numbers. */
export interface SeedOptions {
  /** An integer >= 0; by default a different one each time. */
  seed?: number | undefined;
}

/** The non-linearity after a layer, for `calculateGain`. */
export type GainNonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

/** Options of `init.uniform`. */
export interface UniformOptions extends SeedOptions {
  /** The least number (default 0). */
  low?: number | undefined;
  /** Upper bound, not drawn itself; >= low (default 1). */
  high?: number | undefined;
}

/** Options of `init.normal`. */
export interface NormalOptions extends SeedOptions {
  /** The mean (default 0). */
  mean?: number | undefined;
  /** The standard deviation, >= 0 (default 1). */
  std?: number | undefined;
}

/** Options of `init.xavierUniform` and `init.xavierNormal`. */
export interface XavierOptions extends SeedOptions {
  /** Scales the numbers, for example by `calculateGain` (default 1). */
  gain?: number | undefined;
}

/** Options of `init.kaimingUniform` and `init.kaimingNormal`. */
export interface KaimingOptions extends SeedOptions {
  /** The slope of "leakyRelu" below 0 (default 0). */
  a?: number | undefined;
  /** Preserves the variance of the forward pass, "fanIn" (default), or of the backward pass, "fanOut". */
  mode?: "fanIn" | "fanOut" | undefined;
  /** The non-linearity after the layer (default "leakyRelu"). */
  nonlinearity?: GainNonlinearity | undefined;
}

/** Options of `init.orthogonal`. */
export interface OrthogonalOptions extends SeedOptions {
  /** Scales the matrix (default 1). */
  gain?: number | undefined;
  /** The number of blocks of rows, each orthogonal: the gates of a recurrent weight [gates H, H] (default 1). */
  gates?: number | undefined;
}

function checkFinite(argument: string, value: number, least = -Infinity): void {
  if (!Number.isFinite(value) || value < least) {
    throw new ValueError(argument, describe(value), least === 0 ? "a finite number >= 0" : "a finite number");
  }
}

/**
 * Checks the tensor to fill: f64 or f32, at least `axes` dimensions. Its data are read last, so that no code of the caller runs
 * between reading a live view and writing to it: a getter may dispose a layer, whose memory then belongs to another one.
 */
function take(target: InitTarget, axes = 0): Tensor {
  if (target === null || typeof target !== "object") {
    throw new DtypeError("target", describe(target), "a parameter or a tensor");
  }
  const [name, value] = "value" in target ? [target.name, target.value] : ["target", target];
  const argument = typeof name === "string" ? name : "target";
  const dimensions: unknown = (value as Tensor | null | undefined)?.shape;
  const own: unknown = Array.isArray(dimensions)
    ? Array.from({ length: Math.min(dimensions.length, 99) }, (_, axis) => dimensions[axis] as unknown)
    : dimensions;
  const data = (value as Tensor | null | undefined)?.data;
  const given = data === undefined ? value : { data, shape: own as number[] };
  const taken = checkTensor(argument, given, floatDtype(argument, given), ["..."]);
  if (taken.shape.length < axes) throw new ShapeError(argument, showShape(taken.shape), `at least ${axes} axes`);
  return taken;
}

function fill({ data }: Tensor, draw: () => number): void {
  for (let i = 0; i < data.length; i++) data[i] = draw();
}

function fillUniform(tensor: Tensor, low: number, high: number, random: Random): void {
  fill(tensor, () => low + (high - low) * random.uniform());
}

/** The inputs of each output, and the outputs of each input, for a weight [out, in, ...]. */
function fans([out, inputs, ...field]: readonly number[]): { fanIn: number; fanOut: number } {
  const size = sizeOf(field);
  return { fanIn: inputs! * size, fanOut: out! * size };
}

/**
 * The factor by which initial weights compensate for a non-linearity's effect on the variance: 1 for linear and sigmoid, 5/3 for
 * tanh, sqrt(2) for relu, sqrt(2 / (1 + a^2)) for leakyRelu, 3/4 for selu, as PyTorch's
 * [calculate_gain](https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain).
 *
 * @param nonlinearity the non-linearity after the layer
 * @param a the slope of leakyRelu below 0 (default 0.01)
 * @throws ValueError
 */
function calculateGain(nonlinearity: GainNonlinearity, a = 0.01): number {
  checkFinite("a", a);
  switch (nonlinearity) {
    case "linear":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.sqrt(2);
    case "leakyRelu":
      return Math.sqrt(2 / (1 + a * a));
    case "selu":
      return 3 / 4;
    default:
      throw new ValueError(
        "nonlinearity",
        describe(nonlinearity),
        '"linear", "sigmoid", "tanh", "relu", "leakyRelu" or "selu"',
      );
  }
}

/**
 * Numbers of U[low, high), 0 and 1 by default, as PyTorch's init.uniform_.
 *
 * @param target the tensor to fill
 * @param options low, high, seed
 * @throws ValueError, DtypeError, ShapeError, DisposedError, UnsupportedError
 */
function uniform(target: InitTarget, options: UniformOptions = {}): void {
  checkOptions("uniform", options, ["low", "high", "seed"]);
  const { low = 0, high = 1, seed } = options;
  checkFinite("low", low);
  checkFinite("high", high);
  if (high < low) throw new ValueError("high", describe(high), `at least low, ${low}`);
  fillUniform(take(target), low, high, new Random(seed));
}

/**
 * Numbers of the normal distribution, with mean 0 and standard deviation 1 by default, as PyTorch's init.normal_.
 *
 * @param target the tensor to fill
 * @param options mean, std, seed
 * @throws ValueError, DtypeError, ShapeError, DisposedError, UnsupportedError
 */
function normal(target: InitTarget, options: NormalOptions = {}): void {
  checkOptions("normal", options, ["mean", "std", "seed"]);
  const { mean = 0, std = 1, seed } = options;
  checkFinite("mean", mean);
  checkFinite("std", std, 0);
  const random = new Random(seed);
  fill(take(target), () => mean + std * random.normal());
}

/**
 * The same number everywhere, as PyTorch's init.constant_.
 *
 * @param target the tensor to fill
 * @param value any number
 * @throws ValueError, DtypeError, ShapeError, DisposedError
 */
function constant(target: InitTarget, value: number): void {
  if (typeof value !== "number") throw new ValueError("value", describe(value), "a number");
  fill(take(target), () => value);
}

/**
 * Zeros everywhere.
 *
 * @param target the tensor to fill
 * @throws DtypeError, ShapeError, DisposedError
 */
function zeros(target: InitTarget): void {
  constant(target, 0);
}

/**
 * Ones everywhere.
 *
 * @param target the tensor to fill
 * @throws DtypeError, ShapeError, DisposedError
 */
function ones(target: InitTarget): void {
  constant(target, 1);
}

/** Xavier initialisation: the tensor to fill, its standard deviation, and random numbers. */
function xavier(kind: string, target: InitTarget, options: XavierOptions) {
  checkOptions(kind, options, ["gain", "seed"]);
  const { gain = 1, seed } = options;
  checkFinite("gain", gain);
  const tensor = take(target, 2);
  const { fanIn, fanOut } = fans(tensor.shape);
  return { tensor, std: gain * Math.sqrt(2 / (fanIn + fanOut)), random: new Random(seed) };
}

/**
 * U(-b, b) with b = gain sqrt(6 / (fanIn + fanOut)) (Glorot & Bengio 2010), as PyTorch's init.xavier_uniform_. For a weight
 * [out, in, ...], fanIn and fanOut are in and out, times the lengths of the axes after them.
 *
 * @param target a weight [out, in, ...]
 * @param options gain, seed
 * @throws ShapeError, ValueError, DtypeError, DisposedError, UnsupportedError
 */
function xavierUniform(target: InitTarget, options: XavierOptions = {}): void {
  const { tensor, std, random } = xavier("xavierUniform", target, options);
  const bound = Math.sqrt(3) * std;
  fillUniform(tensor, -bound, bound, random);
}

/**
 * Normal with standard deviation gain sqrt(2 / (fanIn + fanOut)) (Glorot & Bengio 2010), as PyTorch's init.xavier_normal_.
 *
 * @param target a weight [out, in, ...]
 * @param options gain, seed
 * @throws ShapeError, ValueError, DtypeError, DisposedError, UnsupportedError
 */
function xavierNormal(target: InitTarget, options: XavierOptions = {}): void {
  const { tensor, std, random } = xavier("xavierNormal", target, options);
  fill(tensor, () => std * random.normal());
}

/** `xavier`, for Kaiming initialisation. */
function kaiming(kind: string, target: InitTarget, options: KaimingOptions) {
  checkOptions(kind, options, ["a", "mode", "nonlinearity", "seed"]);
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu", seed } = options;
  const gain = calculateGain(nonlinearity, a);
  if (mode !== "fanIn" && mode !== "fanOut") throw new ValueError("mode", describe(mode), '"fanIn" or "fanOut"');
  const tensor = take(target, 2);
  return { tensor, std: gain / Math.sqrt(fans(tensor.shape)[mode]), random: new Random(seed) };
}

/**
 * U(-b, b) with b = gain sqrt(3 / fan) (He et al. 2015), gain as in `calculateGain`, as PyTorch's init.kaiming_uniform_.
 *
 * @param target a weight [out, in, ...]
 * @param options a, mode, nonlinearity, seed
 * @throws ShapeError, ValueError, DtypeError, DisposedError, UnsupportedError
 */
function kaimingUniform(target: InitTarget, options: KaimingOptions = {}): void {
  const { tensor, std, random } = kaiming("kaimingUniform", target, options);
  const bound = Math.sqrt(3) * std;
  fillUniform(tensor, -bound, bound, random);
}

/**
 * Normal with standard deviation gain / sqrt(fan) (He et al. 2015), gain as in `calculateGain`, as PyTorch's
 * init.kaiming_normal_.
 *
 * @param target a weight [out, in, ...]
 * @param options a, mode, nonlinearity, seed
 * @throws ShapeError, ValueError, DtypeError, DisposedError, UnsupportedError
 */
function kaimingNormal(target: InitTarget, options: KaimingOptions = {}): void {
  const { tensor, std, random } = kaiming("kaimingNormal", target, options);
  fill(tensor, () => std * random.normal());
}

/**
 * `count` orthonormal vectors of `length` >= count numbers, [count,length], each random in the orthogonal complement of those before
 * it. Modified Gram-Schmidt runs twice, so that they are orthogonal to the last bits; the second pass of a vector runs together with
 * the first pass of the next one.
 */
function orthonormal(count: number, length: number, random: Random): Float64Array {
  return withArena(currentCore(), (arena) => {
    const vectors = arena.allocate("orthonormal vectors", "f64", [count, length]);
    const pairs = arena.allocate("orthonormal vectors", "f64", [length, 2]);
    const [all, pair] = [vectors.data, pairs.data];
    const draw = (which: 0 | 1): void => {
      for (let i = 0; i < length; i++) pair[2 * i + which] = random.normal();
    };
    let done = 0;
    let ahead = false; // whether the second of the pair has had its first pass
    while (done < count) {
      if (ahead) for (let i = 0; i < length; i++) pair[2 * i] = pair[2 * i + 1]!;
      else {
        pair.fill(0);
        draw(0);
        project(vectors, 0, done, pairs);
      }
      ahead = done + 1 < count;
      if (ahead) draw(1);
      project(vectors, 0, done, pairs);
      let squares = 0;
      for (let i = 0; i < length; i++) squares += pair[2 * i]! * pair[2 * i]!;
      const norm = Math.sqrt(squares);
      if (norm < 1e-6) continue; // nearly in the span of the others: too few digits are left
      for (let i = 0; i < length; i++) all[done * length + i] = pair[2 * i]! / norm;
      if (ahead) project(vectors, done, 1, pairs);
      done++;
    }
    return vectors.download().data;
  });
}

/**
 * A random orthogonal matrix times gain (Saxe, McClelland & Ganguli 2014): its rows are orthonormal or, if it has more rows than
 * columns, its columns. All axes after the first form the columns. PyTorch's init.orthogonal_ draws other matrices of the same
 * distribution.
 *
 * @param target a weight [out, in, ...]
 * @param options gain, gates, seed
 * @throws ShapeError, ValueError, DtypeError, DisposedError, UnsupportedError, OutOfMemoryError
 */
function orthogonal(target: InitTarget, options: OrthogonalOptions = {}): void {
  checkOptions("orthogonal", options, ["gain", "gates", "seed"]);
  const { gain = 1, gates = 1, seed } = options;
  checkFinite("gain", gain);
  const { data, shape } = take(target, 2);
  const columns = sizeOf(shape.slice(1));
  const rows = Number.isSafeInteger(gates) ? shape[0]! / gates : NaN;
  if (!Number.isInteger(rows) || gates < 1) {
    throw new ValueError("gates", describe(gates), `a divisor of ${shape[0]} rows`);
  }
  const random = new Random(seed);
  if (data.length === 0) return; // an axis may be as long as it likes then
  const { heap } = currentCore();
  const offset = data.byteOffset / data.BYTES_PER_ELEMENT;
  for (let gate = 0; gate < gates; gate++) {
    const wide = rows <= columns;
    const vectors = orthonormal(Math.min(rows, columns), Math.max(rows, columns), random);
    const detached = data.length === 0; // a live view, when the memory has grown
    const numbers = detached ? heap.view(dtypeOf(data) as FloatDtype) : data;
    const start = (detached ? offset : 0) + gate * rows * columns;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        numbers[start + r * columns + c] = gain * vectors[wide ? r * columns + c : c * rows + r]!;
      }
    }
  }
}

/**
 * Sets the bias of an LSTM's forget gates to `value` (bias_ih to value, bias_hh to 0), in all layers and directions, so
 * that it remembers from the start (Gers, Schmidhuber & Cummins 2000; Jozefowicz, Zaremba & Sutskever 2015: 1).
 *
 * @param layer an LSTM or LSTMCell
 * @param value a finite number (default 1)
 * @throws ValueError where the layer is no LSTM with biases; DisposedError
 */
function forgetGateBias(layer: { readonly hiddenSize: number; parameters(): Parameter[] }, value = 1): void {
  checkFinite("value", value);
  const expected = "an LSTM with biases";
  if (typeof (layer as typeof layer | null)?.parameters !== "function") {
    throw new ValueError("layer", describe(layer), expected);
  }
  const h = layer.hiddenSize;
  const parameters: unknown = layer.parameters();
  const named = (Array.isArray(parameters) ? Array.from<Parameter | undefined>(parameters) : []).map(
    (parameter) => [String(parameter?.name), parameter!] as const,
  );
  const biases = named.filter(([name]) => /^bias_[ih]h(_|$)/.test(name));
  if (biases.length === 0 || biases.some(([, bias]) => String(take(bias).shape) !== String([4 * h]))) {
    throw new ValueError("layer", `${describe(layer)}${biases.length === 0 ? " without biases" : ""}`, expected);
  }
  for (const [name, bias] of biases) take(bias).data.fill(name.startsWith("bias_ih") ? value : 0, h, 2 * h);
}

/**
 * Initialisers, as PyTorch's [nn.init](https://docs.pytorch.org/docs/stable/nn.init.html): each fills a parameter, or any
 * tensor of f64 or f32, in place, for example `init.orthogonal(parameter, { gates: 4 })`. One seed gives the same numbers on
 * every engine.
 *
 * @namespace
 */
export const init = /* @__PURE__ */ Object.freeze({
  /** The gain that compensates for a non-linearity. */
  calculateGain,
  /** One number everywhere. */
  constant,
  /** The forget gates' bias of an LSTM. */
  forgetGateBias,
  /** He et al. 2015, normal. */
  kaimingNormal,
  /** He et al. 2015, uniform. */
  kaimingUniform,
  /** Normal distribution. */
  normal,
  /** Ones. */
  ones,
  /** Saxe et al. 2014. */
  orthogonal,
  /** Uniform distribution. */
  uniform,
  /** Glorot & Bengio 2010, normal. */
  xavierNormal,
  /** Glorot & Bengio 2010, uniform. */
  xavierUniform,
  /** Zeros. */
  zeros,
});
