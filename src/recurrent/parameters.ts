// The parameters of one recurrent layer in one direction: PyTorch's names and shapes, and how the kernels take them.

import { GATES, type CellKind, type RecurrentWeights } from "../../bindings/recurrent.js";
import type { WasmParameter } from "../nn/layer.js";

/** The parameters' names, each with `suffix`, and shapes, in the order in which they are drawn. */
export function weightShapes(
  kind: CellKind,
  inputSize: number,
  hiddenSize: number,
  options: { bias?: boolean; projSize?: number; layerNorm?: boolean },
  suffix = "",
): [name: string, shape: number[]][] {
  const { bias = true, projSize, layerNorm } = options;
  const rows = GATES[kind] * hiddenSize;
  const shapes: [string, number[]][] = [
    ["weight_ih", [rows, inputSize]],
    ["weight_hh", [rows, projSize || hiddenSize]],
  ];
  if (bias) shapes.push(["bias_ih", [rows]], ["bias_hh", [rows]]);
  if (projSize) shapes.push(["weight_hr", [projSize, hiddenSize]]);
  if (layerNorm) shapes.push(["weight_norm_ih", [rows]], ["weight_norm_hh", [rows]]);
  if (layerNorm && kind === "LSTM") shapes.push(["weight_norm_c", [hiddenSize]], ["bias_norm_c", [hiddenSize]]);
  return shapes.map(([name, shape]) => [name + suffix, shape]);
}

/** What kernels take of the parameters of `weightShapes`: the values or the gradients. */
export function weightsOf(parameters: readonly WasmParameter[], what: "value" | "grad"): RecurrentWeights {
  const of = (kind: string) => parameters.find(({ name }) => name.startsWith(kind))?.[what];
  return {
    weightIh: of("weight_ih")!,
    weightHh: of("weight_hh")!,
    biasIh: of("bias_ih"),
    biasHh: of("bias_hh"),
    weightHr: of("weight_hr"),
    normIh: of("weight_norm_ih"),
    normHh: of("weight_norm_hh"),
    normC: of("weight_norm_c"),
    normCBias: of("bias_norm_c"),
  };
}
