// Options, arguments and results of the recurrent layers, and checks of options.

import { ValueError } from "../../bindings/errors.js";
import type { Lengths } from "../../bindings/memory.js";
import type { CellActivation, CellKind } from "../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { type LayerOptions } from "../nn/layer.js";

/**
 * Options that all recurrent layers have.
 *
 * @typeParam D the number type
 */
export interface RecurrentOptions<D extends FloatDtype = FloatDtype> extends LayerOptions<D> {
  /** Number of stacked layers (default 1). */
  numLayers?: number | undefined;
  /** Whether there are biases (default true). */
  bias?: boolean | undefined;
  /** Whether sequences are [N,T,D] instead of [T,N,D] (default false). The shapes of states do not change. */
  batchFirst?: boolean | undefined;
  /**
   * Whether a second set of layers reads every sequence from its end (default false). Each output is that of the first
   * set, followed by that of the second.
   */
  bidirectional?: boolean | undefined;
  /**
   * Probability of dropping an output of every layer but the last in training; the others are scaled by 1 / (1 - dropout)
   * (default 0).
   */
  dropout?: number | undefined;
  /**
   * Probability of dropping a unit of h before the recurrent product in training, the same units at all steps of a
   * sequence (Gal & Ghahramani 2016; default 0).
   */
  recurrentDropout?: number | undefined;
  /**
   * Save the states of only every so many steps, and compute the others again in backward (Chen et al. 2016; default: save
   * all). Memory is least near sqrt(T).
   */
  checkpoint?: number | undefined;
  /** Whether to read sequences from the last step to the first; outputs are in that order (Keras' go_backwards; default false). */
  goBackwards?: boolean | undefined;
  /** Whether each pass starts from the last states of the pass before, until `resetState()` (Keras' stateful; default false). */
  stateful?: boolean | undefined;
}

/**
 * Options of `RNN`.
 *
 * @typeParam D the number type
 */
export interface RNNOptions<D extends FloatDtype = FloatDtype> extends RecurrentOptions<D> {
  /** phi: "tanh" (default) or "relu". */
  nonlinearity?: "tanh" | "relu" | undefined;
  /** Any other non-linearity, for models from elsewhere; used instead of `nonlinearity`. */
  activation?: CellActivation | undefined;
}

/**
 * Options that LSTM and GRU share.
 *
 * @typeParam D the number type
 */
export interface GatedOptions<D extends FloatDtype = FloatDtype> extends RecurrentOptions<D> {
  /** Non-linearity of the candidate, and of the LSTM between c and h (default "tanh"). */
  activation?: CellActivation | undefined;
  /** Non-linearity of the gates (default "sigmoid"); "hardSigmoid" is Keras 2's min(max(0.2 x + 0.5, 0), 1). */
  recurrentActivation?: CellActivation | undefined;
  /**
   * Whether to layer-normalise the products of the weights, and the LSTM's c before psi (Ba et al. 2016; default false).
   * Adds the parameters weight_norm_ih_l0, weight_norm_hh_l0 [4H or 3H], LSTM also weight_norm_c_l0, bias_norm_c_l0 [H],
   * ..., which start as ones and zeros. An LSTM normalises its four gates together; a GRU normalises r and z together, and n
   * alone.
   */
  layerNorm?: boolean | undefined;
}

/**
 * Options of `LSTM`.
 *
 * @typeParam D the number type
 */
export interface LSTMOptions<D extends FloatDtype = FloatDtype> extends GatedOptions<D> {
  /** Size P < H to which W_hr projects h (Sak, Senior & Beaufays 2014; default 0: no projection). */
  projSize?: number | undefined;
  /**
   * Whether bias_ih of the forget gate starts as 1 and all other biases as 0 (Jozefowicz, Zaremba & Sutskever 2015; Keras'
   * unit_forget_bias; default false).
   */
  unitForgetBias?: boolean | undefined;
}

/**
 * Options of `GRU`.
 *
 * @typeParam D the number type
 */
export interface GRUOptions<D extends FloatDtype = FloatDtype> extends GatedOptions<D> {
  /** Whether the reset gate is applied after the recurrent product (default true, as in PyTorch, cuDNN, Keras 3) or before. */
  resetAfter?: boolean | undefined;
}

/** Initial states of `RNN` and `GRU`, and which steps take part. */
export interface RNNState {
  /** [numLayers * directions,N,P] (P = H without projSize), without N for unbatched x; zeros by default. */
  h0?: Tensor | undefined;
  /** [N] the number of valid steps of each row, 0 to T. Past a row's end outputs are zero; hn is the state at its end. */
  lengths?: Lengths | undefined;
  /**
   * [T,N], [N,T] with batchFirst, or [T] unbatched, of 0 or 1 (i32). A step with 0 is skipped: it repeats the output and the
   * state before it, as in Keras. Not together with `lengths`.
   */
  mask?: Tensor | undefined;
}

/** Initial states of `LSTM`, and which steps take part. */
export interface LSTMState extends RNNState {
  /** [numLayers * directions,N,H], without N for unbatched x; zeros by default. */
  c0?: Tensor | undefined;
}

/**
 * Results of `RNN.forward` and `GRU.forward`.
 *
 * @typeParam D the number type
 */
export type RNNOutput<D extends FloatDtype = FloatDtype> = {
  /** h of the last layer at every step: [T,N,directions*P], in the layout of x (P = H without projSize). */
  output: Tensor<D>;
  /** The last h: [numLayers*directions,N,P], without N for unbatched x. */
  hn: Tensor<D>;
};

/**
 * Results of `LSTM.forward`.
 *
 * @typeParam D the number type
 */
export type LSTMOutput<D extends FloatDtype = FloatDtype> = RNNOutput<D> & {
  /** The last c: [numLayers*directions,N,H], without N for unbatched x. */
  cn: Tensor<D>;
};

/**
 * Gradients that go into `backward`: of the results of `forward`, in their shapes. A gradient that is left out is zero.
 *
 * @typeParam Output the results of forward
 */
export type OutputGradients<Output> = { [Name in keyof Output]?: Tensor | undefined };

/**
 * Results of `RNN.backward` and `GRU.backward`.
 *
 * @typeParam D the number type
 */
export type RNNInputGradients<D extends FloatDtype = FloatDtype> = {
  /** The gradient of x, in its shape. */
  x: Tensor<D>;
  /** The gradient of h0, in its shape, also where forward got none. */
  h0: Tensor<D>;
};

/**
 * Results of `LSTM.backward`.
 *
 * @typeParam D the number type
 */
export type LSTMInputGradients<D extends FloatDtype = FloatDtype> = RNNInputGradients<D> & {
  /** The gradient of c0, in its shape, also where forward got none. */
  c0: Tensor<D>;
};

const OPTIONS = ["numLayers", "bias", "batchFirst", "bidirectional", "dropout", "recurrentDropout", "checkpoint"];
const MORE_OPTIONS = ["goBackwards", "stateful", "dtype", "seed"];
const ACTIVATIONS: readonly CellActivation[] = ["tanh", "relu", "sigmoid", "hardSigmoid", "linear"];

/** A copy of options, which must be those of all recurrent layers or the kind's `own` (`checkOptions`). */
export function checkRecurrentOptions<Options extends RecurrentOptions>(
  kind: CellKind,
  options: Options,
  own: readonly string[],
): Options {
  return checkOptions(kind, options, [...OPTIONS, ...own, ...MORE_OPTIONS]);
}

export function checkActivation(argument: string, value: CellActivation): void {
  if (!ACTIVATIONS.includes(value)) throw new ValueError(argument, describe(value), ACTIVATIONS.join(", "));
}

export function checkNonlinearity(value: "tanh" | "relu"): void {
  if (value !== "tanh" && value !== "relu") throw new ValueError("nonlinearity", describe(value), '"tanh" or "relu"');
}
