// Parameters: trainable tensors in wasm memory, each with its gradient.

import { LiveTensor, type Arena, type WasmTensor } from "../../bindings/memory.js";
import { showShape, type FloatDtype, type Tensor } from "../../bindings/tensor.js";

/**
 * A trainable tensor and its gradient, both live in wasm memory: `.data` is a current view.
 *
 * @typeParam D the number type
 */
export interface Parameter<D extends FloatDtype = FloatDtype> {
  /** The name in PyTorch's state_dict, such as weight_ih_l0. */
  readonly name: string;
  /** The numbers. Writing to `.data` changes the layer. */
  readonly value: Tensor<D>;
  /** The sum of the gradients of all backward passes since `zeroGrad`, in the shape of `value`. */
  readonly grad: Tensor<D>;
}

/** A parameter in wasm memory, for layers and optimizers. */
export interface WasmParameter<D extends FloatDtype = FloatDtype> {
  readonly name: string;
  readonly value: WasmTensor<D>;
  readonly grad: WasmTensor<D>;
  /** The same parameter as users hold it. */
  readonly shown: Parameter<D>;
}

/** The parameters by their values. */
const parameters = /* @__PURE__ */ new WeakMap<object, WasmParameter>();

/** The parameter whose value this tensor is; undefined for any other value. */
export function parameterOf(value: object): WasmParameter | undefined {
  return parameters.get(value);
}

/** The parameters among values. */
export function parametersOf(values: Iterable<object>): WasmParameter[] {
  return Array.from(values, (value) => parameters.get(value)).filter((parameter) => parameter !== undefined);
}

/** A new parameter, not initialised. */
export function makeParameter<D extends FloatDtype>(
  arena: Arena,
  name: string,
  dtype: D,
  shape: readonly number[],
): WasmParameter<D> {
  const value = arena.allocate(`parameter ${name} ${showShape(shape)}`, dtype, [...shape]);
  const grad = arena.allocate(`gradient of ${name}`, dtype, [...shape]);
  const shown = Object.freeze({ name, value: new LiveTensor(value), grad: new LiveTensor(grad) });
  const parameter = { name, value, grad, shown };
  parameters.set(value, parameter);
  return parameter;
}
