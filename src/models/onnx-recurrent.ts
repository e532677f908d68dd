// Runs ONNX's recurrent operators on the core, from and to the operators' own tensors.

import { DtypeError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import { withArena } from "../../bindings/memory.js";
import { describe, dtypeOf, readTensor, type Dtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { numberTypeOf } from "../formats/arrays.js";
import {
  recurrentAttributes,
  recurrentOperator,
  type OnnxAttributes,
  type OnnxOperator,
} from "../recurrent/operator-attributes.js";
import { recurrent } from "../recurrent/operator.js";

/** The operators' inputs; D: directions, G: 1, 4 or 3 gates, I: size of an input. Of one floating-point type. */
export interface OnnxInputs {
  /** [T,N,I], or [N,T,I] for layout 1. */
  X: Tensor;
  /** Weights [D,G*H,I]; gates i o f c, or z r h. */
  W: Tensor;
  /** Recurrent weights [D,G*H,H]. */
  R: Tensor;
  /** Biases `[D,2*G*H]`, W's and R's (default: zeros). */
  B?: Tensor | undefined;
  /** [N], i32: the steps of each row, 0 to T; past them Y is zero (default: T). */
  sequence_lens?: Tensor | undefined;
  /** First h [D,N,H], or [N,D,H] for layout 1 (default: zeros). */
  initial_h?: Tensor | undefined;
  /** LSTM: first c, as initial_h. */
  initial_c?: Tensor | undefined;
  /** LSTM: peepholes of i, o, f [D,3*H] (default: zeros). */
  P?: Tensor | undefined;
}

/** The operators' outputs, fresh and of the type of X. */
export interface OnnxOutputs {
  /** All h: [T,D,N,H], or [N,T,D,H] for layout 1. */
  Y: Tensor;
  /** The last h: [D,N,H], or [N,D,H] for layout 1. */
  Y_h: Tensor;
  /** LSTM: the last c, as Y_h. */
  Y_c?: Tensor;
}

/**
 * Runs an operator, forward, as ONNX specifies
 * [RNN](https://onnx.ai/onnx/operators/onnx__RNN.html), [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html) and
 * [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html).
 *
 * @param opType the operator
 * @param attributes by ONNX's names; {} for its defaults
 * @param inputs absent ones may be left out or undefined
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an attribute or activation that is not known),
 *   OutOfMemoryError
 */
export function onnxRecurrent(opType: OnnxOperator, attributes: OnnxAttributes, inputs: OnnxInputs): OnnxOutputs {
  const operator = recurrentOperator(opType);
  const tensors = checkOptions(opType, inputs, operator.inputs);
  const names = operator.inputs.filter((name) => tensors[name] !== undefined);
  const checked = recurrentAttributes(opType, attributes, names, operator.outputs);
  // Copy all inputs first: reading one tensor may run code that changes another.
  const copies = names.map((name): Tensor & { dtype: Dtype } => {
    const value = tensors[name]!;
    const { data, shape } = readTensor(name, { data: numbersOf(name, value), shape: value.shape });
    return { data: data.slice(), shape, dtype: dtypeOf(data) };
  });
  const specs = recurrent.infer(copies, checked);
  return withArena(currentCore(), (arena) => {
    const given = copies.map((copy, i) => arena.copyChecked(names[i]!, copy, copy.dtype));
    const results = specs.map(({ dtype, shape }, i) => arena.allocate(operator.outputs[i]!, dtype, shape));
    const constant = names.map(() => true);
    recurrent.bind!(arena, given, results, checked, constant)();
    return Object.fromEntries(
      results.map((each, i) => [operator.outputs[i]!, each.download()]),
    ) as unknown as OnnxOutputs;
  });
}

/** A caller's array, of f64, f32 or i32. */
function numbersOf(name: string, value: Tensor): Tensor["data"] {
  const { data } = (value as Tensor | null) ?? {};
  const dtype = numberTypeOf(data);
  if (dtype === "f64" || dtype === "f32" || dtype === "i32") return data as Tensor["data"];
  const expected = `a tensor of ${name === "sequence_lens" ? "i32" : "f64 or f32"}`;
  throw new DtypeError(name, dtype ?? describe(value), expected);
}
