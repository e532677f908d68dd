// The recurrent layers: RNN, LSTM and GRU. What runs a stack of them is in stack.ts; the mathematics is in assembly/.

import { UnsupportedError } from "../../bindings/errors.js";
import type { Activation } from "../../bindings/recurrent.js";
import type { Tensor } from "../../bindings/tensor.js";
import { checkFlag } from "./layer.js";
import {
  checkActivation,
  checkNonlinearity,
  checkRecurrentOptions,
  type GRUOptions,
  type LSTMOptions,
  type LSTMState,
  type RNNOptions,
  type RNNState,
} from "./recurrent-options.js";
import { Recurrent } from "./stack.js";

/** A stack whose state is h alone. */
abstract class SingleState extends Recurrent {
  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,directions*H] (laid out as x), hn [numLayers*directions,N,H] (without N for [T,D])
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: RNNState = {}): { output: Tensor; hn: Tensor } {
    const { output, hn } = this.run(x, state);
    return { output, hn };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @returns gradients of x and h0, in their shapes
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor }): { x: Tensor; h0: Tensor } {
    const { x, h0 } = this.runBackward(gradients);
    return { x, h0 };
  }
}

/**
 * A stack of simple recurrent layers, as PyTorch's nn.RNN: h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).
 *
 * Parameters weight_ih_l0 [H,D], weight_hh_l0 [H,H], bias_ih_l0, bias_hh_l0 [H], ..., weight_ih_l0_reverse ..., drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class RNN extends SingleState {
  readonly nonlinearity: Activation;

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkRecurrentOptions("RNN", options, ["nonlinearity", "activation"]);
    const { nonlinearity = "tanh", activation = nonlinearity } = options;
    checkNonlinearity(nonlinearity);
    checkActivation("activation", activation);
    super({ kind: "RNN", phi: activation }, inputSize, hiddenSize, options);
    this.nonlinearity = activation;
  }
}

/**
 * A stack of long short-term memory layers, as PyTorch's nn.LSTM.
 *
 * Parameters weight_ih_l0 [4H,D], weight_hh_l0 [4H,P], bias_ih_l0, bias_hh_l0 [4H], with projSize weight_hr_l0 [P,H], ...,
 * weight_ih_l0_reverse ..., in the gate order i f g o, drawn from U(-1/sqrt(H), 1/sqrt(H)). P is projSize, or H.
 */
export class LSTM extends Recurrent {
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    const own = ["projSize", "unitForgetBias", "activation", "recurrentActivation", "layerNorm"];
    checkRecurrentOptions("LSTM", options, own);
    const { activation = "tanh", recurrentActivation = "sigmoid", unitForgetBias = false } = options;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("unitForgetBias", unitForgetBias);
    super({ kind: "LSTM", phi: activation, sigma: recurrentActivation }, inputSize, hiddenSize, options);
    if (!unitForgetBias) return;
    for (const { name, value } of this.parameters()) {
      if (name.startsWith("bias_")) value.data.fill(0);
      if (name.startsWith("bias_ih")) value.data.fill(1, hiddenSize, 2 * hiddenSize);
    }
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,directions*P] (laid out as x), hn [numLayers*directions,N,P] and cn [numLayers*directions,N,H]
   *   (without N for [T,D])
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: LSTMState = {}): { output: Tensor; hn: Tensor; cn: Tensor } {
    return this.run(x, state) as { output: Tensor; hn: Tensor; cn: Tensor };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @returns gradients of x, h0 and c0, in their shapes
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor; cn?: Tensor }): { x: Tensor; h0: Tensor; c0: Tensor } {
    return this.runBackward(gradients) as { x: Tensor; h0: Tensor; c0: Tensor };
  }
}

/**
 * A stack of gated recurrent units, as PyTorch's nn.GRU: h_t = (1 - z) n + z h_(t-1).
 *
 * Parameters weight_ih_l0 [3H,D], weight_hh_l0 [3H,H], bias_ih_l0, bias_hh_l0 [3H], ..., weight_ih_l0_reverse ..., in the
 * gate order r z n, drawn from U(-1/sqrt(H), 1/sqrt(H)).
 */
export class GRU extends SingleState {
  readonly resetAfter: boolean;

  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    checkRecurrentOptions("GRU", options, ["resetAfter", "activation", "recurrentActivation", "layerNorm"]);
    const { activation = "tanh", recurrentActivation = "sigmoid", resetAfter = true } = options;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("resetAfter", resetAfter);
    if (!resetAfter && options.layerNorm) {
      throw new UnsupportedError("layerNorm", "resetAfter false", "resetAfter true, whose products are normalised");
    }
    super({ kind: "GRU", phi: activation, sigma: recurrentActivation, resetAfter }, inputSize, hiddenSize, options);
    this.resetAfter = resetAfter;
  }
}
