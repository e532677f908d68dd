// Which weights layers have, and what their shapes must be.

import { FormatError } from "../../../bindings/errors.js";
import { showShape, type Tensor } from "../../../bindings/tensor.js";
import { toTorch, fromTorch } from "../gates.js";
import { Config } from "./config.js";
import type { KerasLayer } from "./description.js";

/** Recurrent layers, and how many gates they have. */
export const RECURRENT: ReadonlyMap<string, { readonly cell: "RNN" | "LSTM" | "GRU"; readonly gates: number }> =
  /* @__PURE__ */ new Map([
    ["SimpleRNN", { cell: "RNN", gates: 1 }],
    ["LSTM", { cell: "LSTM", gates: 4 }],
    ["GRU", { cell: "GRU", gates: 3 }],
    ["CuDNNLSTM", { cell: "LSTM", gates: 4 }],
    ["CuDNNGRU", { cell: "GRU", gates: 3 }],
  ]);

/** The names of a layer's weights, in the order in which Keras keeps them. */
export function weightNames(kind: string, config: Config): readonly string[] {
  const some = (pairs: readonly (readonly [string, boolean])[]) => pairs.filter(([, has]) => has).map(([name]) => name);
  if (kind.startsWith("CuDNN")) return ["kernel", "recurrent_kernel", "bias"];
  if (RECURRENT.has(kind)) return ["kernel", "recurrent_kernel", ...some([["bias", config.flag("use_bias", true)]])];
  switch (kind) {
    case "Dense":
    case "Conv1D":
      return ["kernel", ...some([["bias", config.flag("use_bias", true)]])];
    case "Embedding":
      return ["embeddings"];
    case "BatchNormalization":
    case "LayerNormalization": {
      const own = some([
        ["gamma", config.flag("scale", true)],
        ["beta", config.flag("center", true)],
      ]);
      return kind === "LayerNormalization" ? own : [...own, "moving_mean", "moving_variance"];
    }
    case "Attention":
      return some([
        ["scale", config.flag("use_scale", false)],
        ["concat_score_weight", config.get("score_mode") === "concat"],
      ]);
    case "AdditiveAttention":
      return some([["scale", config.flag("use_scale", true)]]);
    case "PReLU":
      return ["alpha"];
    default:
      return [];
  }
}

/** What the shapes must be: numbers, or letters that stand for any length, the same one everywhere. */
function shapesOf(kind: string, config: Config): Readonly<Record<string, readonly (number | string)[]>> {
  const recurrent = RECURRENT.get(kind);
  if (recurrent) {
    const h = config.count("units");
    const gates = recurrent.gates * h;
    let bias: readonly number[] = [gates];
    if (kind.startsWith("CuDNN")) bias = [2 * gates];
    else if (kind === "GRU" && config.flag("reset_after", false)) bias = [2, gates];
    return { kernel: ["D", gates], recurrent_kernel: [h, gates], bias };
  }
  switch (kind) {
    case "Dense":
      return { kernel: ["D", config.count("units")], bias: [config.count("units")] };
    case "Conv1D": {
      const filters = config.single("filters");
      return { kernel: [config.single("kernel_size"), "C", filters], bias: [filters] };
    }
    case "Embedding":
      return { embeddings: [config.count("input_dim"), config.count("output_dim")] };
    case "BatchNormalization":
      return { gamma: ["C"], beta: ["C"], moving_mean: ["C"], moving_variance: ["C"] };
    default:
      return {};
  }
}

/**
 * Checks the shapes of a layer's weights.
 *
 * @throws FormatError naming the weight
 */
export function checkWeights(kind: string, config: Config, weights: ReadonlyMap<string, Tensor>): void {
  const lengths = new Map<string, number>();
  for (const [name, pattern] of Object.entries(shapesOf(kind, config))) {
    const shape = weights.get(name)?.shape;
    if (!shape) continue;
    const fits = pattern.every((n, i) => {
      const length = shape[i]!;
      if (typeof n === "number") return length === n;
      if (!lengths.has(n)) lengths.set(n, length);
      return length > 0 && lengths.get(n) === length;
    });
    if (shape.length === pattern.length && fits) continue;
    throw new FormatError(`${config.where}, ${name}`, showShape(shape), showShape(pattern));
  }
}

/** CuDNNLSTM and CuDNNGRU as LSTM and GRU, whose weights are laid out otherwise; other layers as they are. */
export function withoutCudnn(layer: KerasLayer): KerasLayer {
  const { kind, config, weights } = layer;
  if (!kind.startsWith("CuDNN")) return layer;
  const { cell } = RECURRENT.get(kind)!;
  const arrays = Object.fromEntries(weights) as unknown as { kernel: Tensor; recurrent_kernel: Tensor; bias: Tensor };
  const keras = fromTorch("keras", cell, toTorch("cudnn", cell, arrays));
  const json = {
    ...config.json,
    use_bias: true,
    activation: "tanh",
    recurrent_activation: "sigmoid",
    ...(cell === "GRU" && { reset_after: true }),
  };
  const names = ["kernel", "recurrent_kernel", "bias"] as const;
  return {
    ...layer,
    kind: cell,
    config: new Config(config.where, json),
    weights: new Map(names.map((name) => [name, keras[name]!])),
  };
}
