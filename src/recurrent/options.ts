// The options of the recurrent layers, what their forward takes besides x, and the checks of both that are not the stack's.

import { ValueError } from "../../bindings/errors.js";
import type { Activation, CellKind } from "../../bindings/recurrent.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { type LayerOptions } from "../nn/layer.js";

/** Options that all recurrent layers have. */
export interface RecurrentOptions extends LayerOptions {
  /** Layers on top of each other (default 1). */
  numLayers?: number;
  /** Whether there are biases (default true). */
  bias?: boolean;
  /** Whether sequences come as [N,T,D] instead of [T,N,D] (default false). Does not change the states' shapes. */
  batchFirst?: boolean;
  /** Whether a second set of layers reads every sequence from its end (default false); outputs stand side by side. */
  bidirectional?: boolean;
  /**
   * Probability with which an output of every layer but the last is dropped in training, the others times 1 / (1 - dropout)
   * (default 0).
   */
  dropout?: number;
  /** Probability with which a unit of h is dropped before the recurrent product in training: the same units at all steps
   * of a sequence (Gal & Ghahramani 2016; default 0). */
  recurrentDropout?: number;
  /**
   * Keep states only every so many steps, and recompute the others in backward (Chen et al. 2016; default: keep all). Near
   * sqrt(T) it takes the least memory.
   */
  checkpoint?: number;
  /** Read sequences from the last step to the first; outputs come in that order (Keras' go_backwards; default false). */
  goBackwards?: boolean;
  /** Start from the states that the pass before ended with, until `resetState()` (Keras' stateful; default false). */
  stateful?: boolean;
}

/** Options of `RNN`. */
export interface RNNOptions extends RecurrentOptions {
  /** phi: "tanh" (default) or "relu". */
  nonlinearity?: "tanh" | "relu";
  /** Any other non-linearity, for models from elsewhere, in place of `nonlinearity`. */
  activation?: Activation;
}

/** What LSTM and GRU have for models from elsewhere. */
export interface GatedOptions extends RecurrentOptions {
  /** Of the candidate, and of the LSTM's c on its way to h (default "tanh"). */
  activation?: Activation;
  /** Of the gates (default "sigmoid"); "hardSigmoid" is Keras 2's min(max(0.2 x + 0.5, 0), 1). */
  recurrentActivation?: Activation;
  /**
   * Whether what the weights give, and the LSTM's c on its way to h, are layer-normalised (Ba et al. 2016; default false):
   * parameters weight_norm_ih_l0, weight_norm_hh_l0 [4H or 3H], LSTM also weight_norm_c_l0, bias_norm_c_l0 [H], ..., which
   * start as ones and zeros. A GRU normalises r and z together, and n on its own; an LSTM all four gates together.
   */
  layerNorm?: boolean;
}

/** Options of `LSTM`. */
export interface LSTMOptions extends GatedOptions {
  /** Size P < H to which h is projected, by W_hr (Sak, Senior & Beaufays 2014; default 0: not at all). */
  projSize?: number;
  /**
   * Whether bias_ih of the forget gate starts as 1 and all other biases as 0 (Jozefowicz, Zaremba & Sutskever 2015; Keras'
   * unit_forget_bias; default false).
   */
  unitForgetBias?: boolean;
}

/** Options of `GRU`. */
export interface GRUOptions extends GatedOptions {
  /** Whether the reset gate is applied after the recurrent product (default true, as PyTorch, cuDNN, Keras 3) or before. */
  resetAfter?: boolean;
}

/** What `forward` takes besides x: first states, and which steps take part. */
export interface RNNState {
  /** [numLayers * directions,N,P] (P = H without projSize), without N for unbatched x; zeros by default. */
  h0?: Tensor;
  /** [N] steps of each row, 0 to T: the output behind them is zeros, and the last state is that of the row's last step. */
  lengths?: Tensor | readonly number[] | Int32Array;
  /** The axes of x without the last; 0 or 1 (i32): a masked step (0) repeats the output and state before it, as in Keras. Not with `lengths`. */
  mask?: Tensor;
}
/** What `LSTM.forward` takes besides x. */
export interface LSTMState extends RNNState {
  /** [numLayers * directions,N,H], without N for unbatched x; zeros by default. */
  c0?: Tensor;
}

const OPTIONS = ["numLayers", "bias", "batchFirst", "bidirectional", "dropout", "recurrentDropout", "checkpoint"];
const MORE_OPTIONS = ["goBackwards", "stateful", "dtype", "seed"];
const ACTIVATIONS: readonly Activation[] = ["tanh", "relu", "sigmoid", "hardSigmoid", "linear"];

/** A copy of options (`checkOptions`), which must be those of all recurrent layers or this kind's `own`. */
export function checkRecurrentOptions<Options extends RecurrentOptions>(
  kind: CellKind,
  options: Options,
  own: readonly string[],
): Options {
  return checkOptions(kind, options, [...OPTIONS, ...own, ...MORE_OPTIONS]);
}

export function checkActivation(argument: string, value: Activation): void {
  if (!ACTIVATIONS.includes(value)) throw new ValueError(argument, describe(value), ACTIVATIONS.join(", "));
}

export function checkNonlinearity(value: "tanh" | "relu"): void {
  if (value !== "tanh" && value !== "relu") throw new ValueError("nonlinearity", describe(value), '"tanh" or "relu"');
}
