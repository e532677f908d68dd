// The parameters of one recurrent layer in one direction: PyTorch's names and shapes.

import { GATES, type CellKind, type RecurrentWeights } from "../../bindings/recurrent.js";
import type { WasmParameter } from "../nn/layer.js";

/** Names, each with `suffix`, and shapes of the parameters, in the order in which they are drawn. */
export function weightShapes(
  kind: CellKind,
  inputSize: number,
  hiddenSize: number,
  options: { bias?: boolean | undefined; projSize?: number | undefined; layerNorm?: boolean | undefined },
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

/** The values or the gradients of the parameters of `weightShapes`, as the kernels name them. */
export function weightsOf(parameters: readonly WasmParameter[], part: "value" | "grad"): RecurrentWeights {
  const find = (prefix: string) => parameters.find(({ name }) => name.startsWith(prefix))?.[part];
  return {
    weightIh: find("weight_ih")!,
    weightHh: find("weight_hh")!,
    biasIh: find("bias_ih"),
    biasHh: find("bias_hh"),
    weightHr: find("weight_hr"),
    normIh: find("weight_norm_ih"),
    normHh: find("weight_norm_hh"),
    normC: find("weight_norm_c"),
    normCBias: find("bias_norm_c"),
  };
}
