// The recurrent layers: RNN, LSTM and GRU. What runs a stack of them is in stack.ts; the mathematics is in assembly/.

import { UnsupportedError } from "../../bindings/errors.js";
import type { Activation } from "../../bindings/recurrent.js";
import type { Tensor } from "../../bindings/tensor.js";
import { checkFlag, lockFields } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import {
  checkActivation,
  checkNonlinearity,
  checkRecurrentOptions,
  type GRUOptions,
  type LSTMOptions,
  type LSTMState,
  type RNNOptions,
  type RNNState,
} from "./options.js";
import { Recurrent } from "./stack.js";

/** A stack whose state is h alone. */
abstract class SingleState extends Recurrent {
  /**
   * All steps of all layers.
   *
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]; T >= 1
   * @param state first states, and which steps take part
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), StateError (lengths and mask; stateful: another N),
   *   DisposedError, OutOfMemoryError
   */
  forward(
    x: Tensor,
    state: RNNState = {},
  ): {
    /** h of the last layer at every step: [T,N,directions*H], laid out as x. */
    output: Tensor;
    /** The last states: [numLayers*directions,N,H], without N for [T,D]. */
    hn: Tensor;
  } {
    const { output, hn } = this.run(x, state);
    return { output, hn };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor;
    /** The gradient of h0, in its shape, also where forward took none. */
    h0: Tensor;
  } {
    const { x, h0 } = this.runBackward(gradients);
    return { x, h0 };
  }
}

/**
 * A stack of simple recurrent layers (Elman 1990), as PyTorch's
 * [nn.RNN](https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html): h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).
 *
 * Parameters weight_ih_l0 [H,D], weight_hh_l0 [H,H], bias_ih_l0, bias_hh_l0 [H], ..., weight_ih_l0_reverse ..., drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class RNN extends SingleState {
  /** phi: the option `activation`, or else `nonlinearity`. */
  readonly nonlinearity: Activation;

  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const taken = checkRecurrentOptions("RNN", options, ["nonlinearity", "activation"]);
    const { nonlinearity = "tanh", activation = nonlinearity } = taken;
    checkNonlinearity(nonlinearity);
    checkActivation("activation", activation);
    super(sealed({ kind: "RNN", phi: activation }), inputSize, hiddenSize, taken);
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
 */
export class LSTM extends Recurrent {
  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    const own = ["projSize", "unitForgetBias", "activation", "recurrentActivation", "layerNorm"];
    const taken = checkRecurrentOptions("LSTM", options, own);
    const { activation = "tanh", recurrentActivation = "sigmoid", unitForgetBias = false } = taken;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("unitForgetBias", unitForgetBias);
    super(sealed({ kind: "LSTM", phi: activation, sigma: recurrentActivation }), inputSize, hiddenSize, taken);
    if (!unitForgetBias) return;
    for (const { name, value } of this.parameters()) {
      if (name.startsWith("bias_")) value.data.fill(0);
      if (name.startsWith("bias_ih")) value.data.fill(1, hiddenSize, 2 * hiddenSize);
    }
  }

  /**
   * All steps of all layers.
   *
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]; T >= 1
   * @param state first states, and which steps take part
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), StateError (lengths and mask; stateful: another N),
   *   DisposedError, OutOfMemoryError
   */
  forward(
    x: Tensor,
    state: LSTMState = {},
  ): {
    /** h of the last layer at every step: [T,N,directions*P], laid out as x. */
    output: Tensor;
    /** The last h: [numLayers*directions,N,P], without N for [T,D]. */
    hn: Tensor;
    /** The last c: [numLayers*directions,N,H], without N for [T,D]. */
    cn: Tensor;
  } {
    return this.run(x, state) as { output: Tensor; hn: Tensor; cn: Tensor };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor; cn?: Tensor }): {
    /** The gradient of x, in its shape. */
    x: Tensor;
    /** The gradient of h0, in its shape, also where forward took none. */
    h0: Tensor;
    /** The gradient of c0, in its shape, also where forward took none. */
    c0: Tensor;
  } {
    return this.runBackward(gradients) as { x: Tensor; h0: Tensor; c0: Tensor };
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
 */
export class GRU extends SingleState {
  /** Whether r is applied after the recurrent product. */
  readonly resetAfter: boolean;

  /**
   * @param inputSize D, the numbers that go in at a step
   * @param hiddenSize H, the numbers of the state
   * @param options layers, directions, dropout ...; one layer in one direction by default
   * @throws ShapeError (sizes), ValueError, UnsupportedError (an unknown option; layerNorm with resetAfter false), OutOfMemoryError
   */
  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    const own = ["resetAfter", "activation", "recurrentActivation", "layerNorm"];
    const taken = checkRecurrentOptions("GRU", options, own);
    const { activation = "tanh", recurrentActivation = "sigmoid", resetAfter = true } = taken;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("resetAfter", resetAfter);
    if (!resetAfter && taken.layerNorm) {
      throw new UnsupportedError("layerNorm", "resetAfter false", "resetAfter true, whose products are normalised");
    }
    super(
      sealed({ kind: "GRU", phi: activation, sigma: recurrentActivation, resetAfter }),
      inputSize,
      hiddenSize,
      taken,
    );
    this.resetAfter = resetAfter;
    lockFields(this);
  }
}
