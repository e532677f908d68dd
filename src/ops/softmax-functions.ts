// Softmax as users call it. It is in the main entry point, too, so that nothing here imports the graph module.

import type { Dtype, FloatDtype, Tensor } from "../../bindings/tensor.js";
import { evaluate, readFloat } from "./evaluate.js";
import * as derivatives from "./softmax.backward.js";

/**
 * e^x / sum of e^x over the last axis, with the largest x subtracted from all, as PyTorch's
 * [functional.softmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html).
 *
 * @typeParam D the number type
 * @param x [..., C], f64 or f32
 * @returns [..., C], of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function softmax<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return evaluate(derivatives.softmax, [readFloat("x", x)], undefined) as Tensor<D & FloatDtype>;
}

/**
 * x - log(sum of e^x) over the last axis: the logarithm of `softmax`, finite even where softmax underflows to 0, as PyTorch's
 * [functional.log_softmax](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html).
 *
 * @typeParam D the number type
 * @param x [..., C], f64 or f32
 * @returns [..., C], of the type of x
 * @throws ShapeError, DtypeError, OutOfMemoryError
 */
export function logSoftmax<D extends Dtype>(x: Tensor<D>): Tensor<D & FloatDtype> {
  return evaluate(derivatives.logSoftmax, [readFloat("x", x)], undefined) as Tensor<D & FloatDtype>;
}
