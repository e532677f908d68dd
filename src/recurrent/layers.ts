// The recurrent layers RNN, LSTM and GRU: their options and parameters. forward and backward are in stack.ts; the mathematics
// is in assembly/.

import { UnsupportedError } from "../../bindings/errors.js";
import type { CellActivation } from "../../bindings/recurrent.js";
import type { FloatDtype } from "../../bindings/tensor.js";
import { checkFlag, lockFields } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import {
  checkActivation,
  checkNonlinearity,
  checkRecurrentOptions,
  type GRUOptions,
  type LSTMInputGradients,
  type LSTMOptions,
  type LSTMOutput,
  type LSTMState,
  type RNNInputGradients,
  type RNNOptions,
  type RNNOutput,
  type RNNState,
} from "./options.js";
import { Recurrent } from "./stack.js";

/**
 * A stack of simple recurrent layers (Elman 1990), as PyTorch's
 * [nn.RNN](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html): h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).
 *
 * Parameters weight_ih_l0 [H,D], weight_hh_l0 [H,H], bias_ih_l0, bias_hh_l0 [H], ..., weight_ih_l0_reverse ..., drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 *
 * @typeParam D the number type
 */
export class RNN<D extends FloatDtype = "f64"> extends Recurrent<D, RNNState, RNNOutput<D>, RNNInputGradients<D>> {
  /** phi: the option `activation`, or else `nonlinearity`. */
  readonly nonlinearity: CellActivation;

  /**
   * Creates a stack with random weights.
   *
   * @param inputSize D, the size of the input at a step
   * @param hiddenSize H, the size of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions<D> = {}) {
    const given = checkRecurrentOptions("RNN", options, ["nonlinearity", "activation"]);
    const { nonlinearity = "tanh", activation = nonlinearity } = given;
    checkNonlinearity(nonlinearity);
    checkActivation("activation", activation);
    super(sealed({ kind: "RNN", phi: activation }), inputSize, hiddenSize, given);
    this.nonlinearity = activation;
    lockFields(this);
  }
}

/**
 * A stack of long short-term memory layers (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000), as PyTorch's
 * [nn.LSTM](https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html): [i f g o] = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh,
 * c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t).
 *
 * Parameters weight_ih_l0 [4H,D], weight_hh_l0 [4H,P], bias_ih_l0, bias_hh_l0 [4H], with projSize weight_hr_l0 [P,H], ...,
 * weight_ih_l0_reverse ..., in the gate order i f g o, drawn from U(-1/sqrt(H), 1/sqrt(H)). P is projSize, or H.
 *
 * @typeParam D the number type
 */
export class LSTM<D extends FloatDtype = "f64"> extends Recurrent<D, LSTMState, LSTMOutput<D>, LSTMInputGradients<D>> {
  /**
   * Creates a stack with random weights.
   *
   * @param inputSize D, the size of the input at a step
   * @param hiddenSize H, the size of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions<D> = {}) {
    const own = ["projSize", "unitForgetBias", "activation", "recurrentActivation", "layerNorm"];
    const given = checkRecurrentOptions("LSTM", options, own);
    const { activation = "tanh", recurrentActivation = "sigmoid", unitForgetBias = false } = given;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("unitForgetBias", unitForgetBias);
    super(sealed({ kind: "LSTM", phi: activation, sigma: recurrentActivation }), inputSize, hiddenSize, given);
    if (!unitForgetBias) return;
    for (const { name, value } of this.parameters()) {
      if (name.startsWith("bias_")) value.data.fill(0);
      if (name.startsWith("bias_ih")) value.data.fill(1, hiddenSize, 2 * hiddenSize);
    }
  }
}

/**
 * A stack of gated recurrent units (Cho et al. 2014), as PyTorch's
 * [nn.GRU](https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html): r, z = sigmoid(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh),
 * n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn)), h_t = (1 - z) n + z h_(t-1); without `resetAfter`
 * n = tanh(W_in x_t + b_in + W_hn (r h_(t-1)) + b_hn).
 *
 * Parameters weight_ih_l0 [3H,D], weight_hh_l0 [3H,H], bias_ih_l0, bias_hh_l0 [3H], ..., weight_ih_l0_reverse ..., in the
 * gate order r z n, drawn from U(-1/sqrt(H), 1/sqrt(H)).
 *
 * @typeParam D the number type
 */
export class GRU<D extends FloatDtype = "f64"> extends Recurrent<D, RNNState, RNNOutput<D>, RNNInputGradients<D>> {
  /** Whether r is applied after the recurrent product. */
  readonly resetAfter: boolean;

  /**
   * Creates a stack with random weights.
   *
   * @param inputSize D, the size of the input at a step
   * @param hiddenSize H, the size of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option; layerNorm with resetAfter false), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: GRUOptions<D> = {}) {
    const own = ["resetAfter", "activation", "recurrentActivation", "layerNorm"];
    const given = checkRecurrentOptions("GRU", options, own);
    const { activation = "tanh", recurrentActivation = "sigmoid", resetAfter = true } = given;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("resetAfter", resetAfter);
    if (!resetAfter && given.layerNorm) {
      throw new UnsupportedError("layerNorm", "resetAfter false", "resetAfter true, whose products are normalised");
    }
    super(
      sealed({ kind: "GRU", phi: activation, sigma: recurrentActivation, resetAfter }),
      inputSize,
      hiddenSize,
      given,
    );
    this.resetAfter = resetAfter;
    lockFields(this);
  }
}
