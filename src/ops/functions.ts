// The functions of wasm-rnn/ops. Each reads its arguments once; evaluate.ts does the rest.

import { ValueError } from "../../bindings/errors.js";
import { startGraph } from "../../bindings/graph-module.js";
import { checkIndices } from "../../bindings/kernels.js";
import { describe, dtypeOf, readTensor, ReadTensor, sizeOf, zeros } from "../../bindings/tensor.js";
import type { Dtype, FloatDtype, Tensor } from "../../bindings/tensor.js";
import { checkDtype, checkFlag, checkSize, readList } from "../base/check.js";
import { checkProbability, fillMask } from "../base/mask.js";
import { Random } from "../base/random.js";
import * as elementwise from "./elementwise.backward.js";
import { evaluate as evaluateStarted, readFloat, readPair } from "./evaluate.js";
import { matmul as product } from "./matmul.backward.js";
import { oneHot as hot } from "./movement.js";
import * as movement from "./movement.backward.js";
import { floatTypeOf, type Differentiable, type Operation } from "./operation.js";
import * as reduction from "./reduction.backward.js";

/** Runs an operation of the graph module. */
function evaluate<Attributes>(
  operation: Operation<Attributes> | Differentiable<Attributes>,
  inputs: readonly ReadTensor[],
  attributes: Attributes,
  check?: (copies: readonly Tensor[]) => void,
  cost?: number,
): Tensor {
  return evaluateStarted(operation, inputs, attributes, check, startGraph, cost);
}

function unary<D extends Dtype>(operation: Differentiable, x: Tensor<D>): Tensor<D & FloatDtype> {
  return evaluate(operation, [readFloat("x", x)], undefined) as Tensor<D & FloatDtype>;
}

function binary<D extends Dtype>(
  operation: Differentiable,
  a: Tensor<D> | number,
  b: Tensor<D> | number,
): Tensor<D & FloatDtype> {
  return evaluate(operation, readPair(["a", "b"], a, b), undefined) as Tensor<D & FloatDtype>;
}

/**
 * a + b. The shapes broadcast by NumPy's rules.
 *
 * @typeParam D the number type
 * @param a f64 or f32, or a number, which is taken as of b's type
 * @param b of the type of a, or a number
 * @returns of their type, in the shape to which both broadcast
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function add<D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number): Tensor<D & FloatDtype> {
  return binary(elementwise.add, a, b);
}

/**
 * a - b. The shapes broadcast by NumPy's rules.
 *
 * @typeParam D the number type
 * @param a f64 or f32, or a number, which is taken as of b's type
 * @param b of the type of a, or a number
 * @returns of their type, in the shape to which both broadcast
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function sub<D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number): Tensor<D & FloatDtype> {
  return binary(elementwise.sub, a, b);
}

/**
 * a b, element by element. The shapes broadcast by NumPy's rules.
 *
 * @typeParam D the number type
 * @param a f64 or f32, or a number, which is taken as of b's type
 * @param b of the type of a, or a number
 * @returns of their type, in the shape to which both broadcast
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function mul<D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number): Tensor<D & FloatDtype> {
  return binary(elementwise.mul, a, b);
}

/**
 * a / b. The shapes broadcast by NumPy's rules.
 *
 * @typeParam D the number type
 * @param a f64 or f32, or a number, which is taken as of b's type
 * @param b of the type of a, or a number
 * @returns of their type, in the shape to which both broadcast
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function div<D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number): Tensor<D & FloatDtype> {
  return binary(elementwise.div, a, b);
}

/**
 * -x, element by element.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function neg<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.neg, x);
}

/**
 * e^x, element by element, within 2.5 ulp.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function exp<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.exp, x);
}

/**
 * The natural logarithm, element by element, within 1 ulp: -Infinity for 0, NaN below.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function log<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.log, x);
}

/**
 * The square root, element by element: NaN below 0. Its derivative at 0 is infinite.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function sqrt<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.sqrt, x);
}

/**
 * tanh x, element by element, within 2.5 ulp.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function tanh<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.tanh, x);
}

/**
 * 1 / (1 + e^-x), element by element, within 2.5 ulp.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function sigmoid<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.sigmoid, x);
}

/**
 * max(x, 0), element by element. Its derivative at 0 is 0, as PyTorch's.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function relu<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return unary(elementwise.relu, x);
}

/**
 * a where the condition is not 0, else b, as NumPy's where. The shapes broadcast by NumPy's rules. The condition has no gradient;
 * that of a is 0 where b was taken, and the other way round.
 *
 * @typeParam D the number type
 * @param condition i32: any number but 0 means yes
 * @param a f64 or f32, or a number, which is taken as of b's type
 * @param b of the type of a, or a number
 * @returns of the type of a and b, in the shape to which all broadcast
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function where<D extends Dtype>(
  condition: Tensor,
  a: Tensor<D> | number,
  b: Tensor<D> | number,
): Tensor<D & FloatDtype> {
  const yes = readTensor("condition", condition, "a tensor { data, shape } with i32 data");
  return evaluate(elementwise.where, [yes, ...readPair(["a", "b"], a, b)], undefined) as Tensor<D & FloatDtype>;
}

/**
 * The matrix product of each pair of matrices, as NumPy's matmul: the axes before the last two broadcast.
 *
 * @typeParam D the number type
 * @param a [..., m, k], f64 or f32
 * @param b [..., k, n], of the type of a
 * @returns [..., m, n]
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function matmul<D extends Dtype>(a: Tensor<D>, b: Tensor<D>): Tensor<D & FloatDtype> {
  const inputs = [readFloat("a", a), readFloat("b", b)];
  return evaluate(product, inputs, {}, undefined, inputs[0]!.shape.at(-1)) as Tensor<D & FloatDtype>;
}

/**
 * Sets each number to 0 with probability p and multiplies the others by 1 / (1 - p), as PyTorch's functional.dropout in training.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @param p probability of a 0, from 0 to 1
 * @param random its state advances by one draw of 32 bits for each number; by none for p = 0
 * @returns in the shape and of the type of x
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function dropout<D extends Dtype>(x: Tensor<D>, p: number, random: Random): Tensor<D & FloatDtype> {
  const read = readFloat("x", x);
  const dtype = floatTypeOf(["x"], [{ dtype: dtypeOf(read.data), shape: read.shape }]);
  checkProbability("p", p);
  if (!Random.isRandom(random)) throw new ValueError("random", describe(random), "a Random");
  const mask = zeros(dtype, sizeOf(read.shape));
  const before = random.state;
  try {
    fillMask(mask, p, random);
    const inputs = [read, new ReadTensor(mask, read.shape, mask)];
    return evaluate(elementwise.mask, inputs, undefined) as Tensor<D & FloatDtype>;
  } catch (error) {
    random.state = before; // memory did not suffice: nothing was drawn
    throw error;
  }
}

/**
 * Rows that are 1 at an index and 0 elsewhere.
 *
 * @typeParam D the number type
 * @param indices any shape, i32, each from 0 to depth - 1
 * @param depth the length of a row, >= 1
 * @param dtype the number type of the result: "f64" (default) or "f32"
 * @returns [..., depth]; it has no gradient
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function oneHot<D extends FloatDtype = "f64">(indices: Tensor, depth: number, dtype?: D): Tensor<D>;
export function oneHot(indices: Tensor, depth: number, dtype: FloatDtype = "f64"): Tensor {
  const read = readTensor("indices", indices, "a tensor { data, shape } with i32 data");
  checkSize("depth", depth);
  checkDtype(dtype);
  return evaluate(hot, [read], { depth, dtype }, ([copy]) => checkIndices("indices", copy!.data, depth));
}

/**
 * Another order of axes, as NumPy's transpose: axis i of the result is axis `axes[i]` of x.
 *
 * @typeParam D the number type
 * @param x any shape, any type
 * @param axes each axis once, counted from the end if negative; by default all in reverse order
 * @returns a copy
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function transpose<D extends Dtype>(x: Tensor<D>, axes?: readonly number[]): Tensor<D> {
  const read = readTensor("x", x);
  const order = axes === undefined ? undefined : (readList("axes", axes, "axes") as number[]);
  return evaluate(movement.transpose, [read], { axes: order }) as Tensor<D>;
}

/**
 * The same numbers in another shape, as NumPy's reshape.
 *
 * @typeParam D the number type
 * @param x any shape, any type
 * @param shape one length may be -1: that which fits
 * @returns a copy
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function reshape<D extends Dtype>(x: Tensor<D>, shape: readonly number[]): Tensor<D> {
  const read = readTensor("x", x);
  return evaluate(movement.reshape, [read], { shape: readList("shape", shape, "lengths") as number[] }) as Tensor<D>;
}

function readTensors<D extends Dtype>(tensors: readonly Tensor<D>[]): ReadTensor[] {
  return readList("tensors", tensors, "tensors").map((each, i) => readTensor(`tensors[${i}]`, each as Tensor));
}

/**
 * Joins tensors one after the other along an axis that they have, as NumPy's concatenate.
 *
 * @typeParam D the number type
 * @param tensors at least one, of one type, and of shapes that differ on the axis alone
 * @param axis counted from the end if negative
 * @returns of their type
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function concat<D extends Dtype>(tensors: readonly Tensor<D>[], axis: number): Tensor<D> {
  return evaluate(movement.concat, readTensors(tensors), { axis }) as Tensor<D>;
}

/**
 * Joins tensors along a new axis, as NumPy's stack.
 *
 * @typeParam D the number type
 * @param tensors at least one, of one type and shape
 * @param axis the new one, in the result; counted from the end if negative
 * @returns of their type
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function stack<D extends Dtype>(tensors: readonly Tensor<D>[], axis: number): Tensor<D> {
  return evaluate(movement.stack, readTensors(tensors), { axis }) as Tensor<D>;
}

/**
 * The entries of an axis from start up to, but not including, end.
 *
 * @typeParam D the number type
 * @param x at least one axis, any type
 * @param axis counted from the end if negative
 * @param start the first entry, counted from the end if negative
 * @param end at least start and at most the length of the axis; counted from the end if negative
 * @returns a copy; the axis has length end - start
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function slice<D extends Dtype>(x: Tensor<D>, axis: number, start: number, end: number): Tensor<D> {
  return evaluate(movement.slice, [readTensor("x", x)], { axis, start, end }) as Tensor<D>;
}

/**
 * One entry of an axis.
 *
 * @typeParam D the number type
 * @param x at least one axis, any type
 * @param axis counted from the end if negative
 * @param index the entry, counted from the end if negative
 * @returns a copy, without the axis
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function select<D extends Dtype>(x: Tensor<D>, axis: number, index: number): Tensor<D> {
  return evaluate(movement.select, [readTensor("x", x)], { axis, index }) as Tensor<D>;
}

function reduce<D extends Dtype>(
  operation: typeof reduction.sum,
  x: Tensor<D>,
  axis: number | undefined,
  keepDims: boolean,
): Tensor<D & FloatDtype> {
  checkFlag("keepDims", keepDims);
  const axes = axis === undefined ? undefined : [axis];
  return evaluate(operation, [readFloat("x", x)], { axes, keepDims }) as Tensor<D & FloatDtype>;
}

/**
 * The sum over an axis or over all numbers; 0 for none.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @param axis counted from the end if negative; all axes by default
 * @param keepDims whether the axis, or all axes, stay with length 1 (default false)
 * @returns of the type of x
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function sum<D extends Dtype>(x: Tensor<D>, axis?: number, keepDims = false): Tensor<D & FloatDtype> {
  return reduce(reduction.sum, x, axis, keepDims);
}

/**
 * The arithmetic mean over an axis or over all numbers; NaN for none.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @param axis counted from the end if negative; all axes by default
 * @param keepDims whether the axis, or all axes, stay with length 1 (default false)
 * @returns of the type of x
 * @throws ShapeError, DtypeError, ValueError, OutOfMemoryError
 */
export function mean<D extends Dtype>(x: Tensor<D>, axis?: number, keepDims = false): Tensor<D & FloatDtype> {
  return reduce(reduction.mean, x, axis, keepDims);
}

/**
 * The largest number of an axis or of all; NaN where one of them is NaN. Where several are the largest, each gets an equal share of
 * the gradient, as in PyTorch's amax.
 *
 * @typeParam D the number type
 * @param x any shape, f64 or f32
 * @param axis counted from the end if negative; all axes by default
 * @param keepDims whether the axis, or all axes, stay with length 1 (default false)
 * @returns of the type of x
 * @throws ShapeError (also for the largest of no numbers), DtypeError, ValueError, OutOfMemoryError
 */
export function max<D extends Dtype>(x: Tensor<D>, axis?: number, keepDims = false): Tensor<D & FloatDtype> {
  return reduce(reduction.max, x, axis, keepDims);
}
