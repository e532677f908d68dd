// Kernels for networks that take one frame at a time. Each function takes tensors whose addresses do not change, and returns a
// function that runs the kernel and allocates nothing, so that it can run at audio rate. Do not call it after the tensors' arena
// was disposed of.

import { sizeOf } from "./tensor.js";
import { kernelsOf, pointer, type FloatTensor } from "./kernels.js";
import { ACTIVATION_CODES, type CellActivation } from "./recurrent.js";

/** y [N,out] = x [N,in] W^T + b. */
export function prepareLinear(
  x: FloatTensor,
  weight: FloatTensor,
  bias: FloatTensor | undefined,
  y: FloatTensor,
): () => void {
  const kernels = kernelsOf(y.arena, y.dtype);
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const [n, from, w, b, to] = [x.shape[0]!, x.pointer, weight.pointer, pointer(bias), y.pointer];
  return () => kernels.linearForward(n, inFeatures, outFeatures, from, w, b, to);
}

/** y = activation(x), element by element; y may be x. */
export function prepareActivation(activation: CellActivation, x: FloatTensor, y: FloatTensor): () => void {
  const kernels = kernelsOf(y.arena, y.dtype);
  const [code, n, from, to] = [ACTIVATION_CODES[activation], sizeOf(y.shape), x.pointer, y.pointer];
  return () => kernels.activation(code, n, from, to);
}

/** y = e^x, both of n numbers. */
export function prepareExp(x: FloatTensor, y: FloatTensor): () => void {
  const kernels = kernelsOf(y.arena, y.dtype);
  const [n, from, to] = [sizeOf(y.shape), x.pointer, y.pointer];
  return () => kernels.exp(n, from, to);
}

/** y = softmax of x, both [1,n]. */
export function prepareSoftmax(x: FloatTensor, y: FloatTensor): () => void {
  const kernels = kernelsOf(y.arena, y.dtype);
  const [n, from, to] = [sizeOf(y.shape), x.pointer, y.pointer];
  return () => kernels.softmax(1, n, from, to);
}

/** y = the rows of x [N,n], normalised; weight and bias [n]. */
export function prepareLayerNorm(
  x: FloatTensor,
  weight: FloatTensor | undefined,
  bias: FloatTensor | undefined,
  eps: number,
  y: FloatTensor,
): () => void {
  const kernels = kernelsOf(y.arena, y.dtype);
  const [rows, n] = x.shape as [number, number];
  const [from, w, b, to] = [x.pointer, pointer(weight), pointer(bias), y.pointer];
  return () => kernels.layerNormForward(rows, n, from, n, w, b, eps, to, n, 0, 0);
}
