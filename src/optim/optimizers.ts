// The optimizers, with PyTorch's equations, options, defaults and state names. Their base class is in optimizer.ts,
// clipping in clip.ts, learning rates over time in schedule.ts.

import { ValueError } from "../../bindings/errors.js";
import { adagrad, adam, rmsprop, sgd } from "../../bindings/optim.js";
import { describe } from "../../bindings/tensor.js";
import { checkFlag, checkNumber } from "../base/check.js";
import { sealed } from "../base/sealed.js";
import { Optimizer, type OptimizerOptions, type ParametersOrGroups, type Rules } from "./optimizer.js";

/** Options of `SGD`; lr is 1e-3 by default. */
export interface SGDOptions extends OptimizerOptions {
  /** Factor of the buffer b at each step (default 0: there is no buffer). */
  momentum?: number | undefined;
  /** 1 - dampening is the factor of the gradient in the buffer (default 0). */
  dampening?: number | undefined;
  /** Nesterov's momentum; requires momentum > 0 and dampening 0 (default false). */
  nesterov?: boolean | undefined;
}

const SGD_RULES: Rules<SGDOptions, "momentum_buffer"> = /* @__PURE__ */ sealed({
  kind: "SGD",
  defaults: { lr: 1e-3, weightDecay: 0, maximize: false, momentum: 0, dampening: 0, nesterov: false },
  check({ momentum, dampening, nesterov }, where) {
    checkNumber(`${where}momentum`, momentum);
    checkNumber(`${where}dampening`, dampening);
    checkFlag(`${where}nesterov`, nesterov);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      const given = `momentum ${momentum}, dampening ${dampening}`;
      throw new ValueError(`${where}nesterov`, given, "momentum > 0 and dampening 0");
    }
  },
  state: ({ momentum }) => (momentum === 0 ? [] : ["momentum_buffer"]),
  update(parameter, state, options, t) {
    const dampened = t === 1 ? 1 : 1 - options.dampening; // PyTorch starts the buffer with the whole gradient
    sgd(parameter, state.momentum_buffer, dampened, options);
  },
});

/**
 * Stochastic gradient descent, as PyTorch's [optim.SGD](https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html): p -= lr g;
 * with momentum b = momentum b + (1 - dampening) g, b = g at first, and p -= lr b, or with nesterov (Sutskever et al. 2013)
 * p -= lr (g + momentum b).
 */
export class SGD extends Optimizer<SGDOptions, "momentum_buffer"> {
  /**
   * @param parameters those of layers, or groups of them
   * @param options of all groups that do not set their own
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError, StateError (parameters of different builds),
   *   DisposedError, OutOfMemoryError
   */
  constructor(parameters: ParametersOrGroups<SGDOptions>, options: SGDOptions = {}) {
    super(SGD_RULES, parameters, options);
  }
}

/** Options of `Adam`; lr is 1e-3 by default. */
export interface AdamOptions extends OptimizerOptions {
  /** Decay of the running averages m of the gradient and v of its square (default [0.9, 0.999]). */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator (default 1e-8). */
  eps?: number | undefined;
  /** Whether to use the largest v so far in place of v (AMSGrad, Reddi, Kale & Kumar 2018; default false). */
  amsgrad?: boolean | undefined;
}

/** Options of `AdamW`; lr is 1e-3 by default. */
export interface AdamWOptions extends AdamOptions {
  /** Decoupled weight decay: each step starts with p = (1 - lr weightDecay) p (default 1e-2). */
  weightDecay?: number | undefined;
}

type AdamNames = "exp_avg" | "exp_avg_sq" | "max_exp_avg_sq";

/** The rules of Adam or, with `decoupled` weight decay, of AdamW. */
function adamRules(kind: string, weightDecay: number, decoupled: boolean): Rules<AdamOptions, AdamNames> {
  return sealed<Rules<AdamOptions, AdamNames>>({
    kind,
    defaults: { lr: 1e-3, weightDecay, maximize: false, betas: [0.9, 0.999], eps: 1e-8, amsgrad: false },
    check({ betas, eps, amsgrad }, where) {
      if (!Array.isArray(betas) || betas.length !== 2) {
        throw new ValueError(`${where}betas`, describe(betas), "two numbers");
      }
      betas.forEach((beta: number, i) => checkNumber(`${where}betas[${i}]`, beta, 1));
      checkNumber(`${where}eps`, eps);
      checkFlag(`${where}amsgrad`, amsgrad);
    },
    state: ({ amsgrad }) => (amsgrad ? ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] : ["exp_avg", "exp_avg_sq"]),
    update(parameter, state, options, _t, [power1, power2]) {
      const { lr, weightDecay } = options;
      adam(parameter, state.exp_avg!, state.exp_avg_sq!, state.max_exp_avg_sq, {
        ...options,
        stepSize: lr / (1 - power1),
        correction2: Math.sqrt(1 - power2),
        ...(decoupled ? { weightDecay: 0, decay: 1 - lr * weightDecay } : { decay: 1 }),
      });
    },
  });
}

/**
 * Adam (Kingma & Ba 2015), as PyTorch's [optim.Adam](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html):
 * m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
 * p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) at step t.
 */
export class Adam extends Optimizer<AdamOptions, AdamNames> {
  /**
   * @param parameters those of layers, or groups of them
   * @param options of all groups that do not set their own
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError, StateError (parameters of different builds),
   *   DisposedError, OutOfMemoryError
   */
  constructor(parameters: ParametersOrGroups<AdamOptions>, options: AdamOptions = {}) {
    super(adamRules("Adam", 0, false), parameters, options);
  }
}

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019), as PyTorch's
 * [optim.AdamW](https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html): p = (1 - lr weightDecay) p, then Adam's step.
 */
export class AdamW extends Optimizer<AdamOptions, AdamNames> {
  /**
   * @param parameters those of layers, or groups of them
   * @param options of all groups that do not set their own
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError, StateError (parameters of different builds),
   *   DisposedError, OutOfMemoryError
   */
  constructor(parameters: ParametersOrGroups<AdamWOptions>, options: AdamWOptions = {}) {
    super(adamRules("AdamW", 1e-2, true), parameters, options);
  }
}

/** Options of `RMSprop`; lr is 1e-2 by default. */
export interface RMSpropOptions extends OptimizerOptions {
  /** Decay of the running average v of the squared gradient (default 0.99). */
  alpha?: number | undefined;
  /** Added to the denominator (default 1e-8). */
  eps?: number | undefined;
  /** Factor of the buffer b at each step (default 0: there is no buffer). */
  momentum?: number | undefined;
  /** Whether the square of the average gradient is subtracted from v (default false). */
  centered?: boolean | undefined;
}

type RMSpropNames = "square_avg" | "grad_avg" | "momentum_buffer";

const RMSPROP_RULES: Rules<RMSpropOptions, RMSpropNames> = /* @__PURE__ */ sealed({
  kind: "RMSprop",
  defaults: { lr: 1e-2, weightDecay: 0, maximize: false, alpha: 0.99, eps: 1e-8, momentum: 0, centered: false },
  check({ alpha, eps, momentum, centered }, where) {
    checkNumber(`${where}alpha`, alpha, 1);
    checkNumber(`${where}eps`, eps);
    checkNumber(`${where}momentum`, momentum);
    checkFlag(`${where}centered`, centered);
  },
  state({ momentum, centered }) {
    const names: RMSpropNames[] = ["square_avg"];
    if (centered) names.push("grad_avg");
    if (momentum > 0) names.push("momentum_buffer");
    return names;
  },
  update(parameter, state, options) {
    rmsprop(parameter, state.square_avg!, state.grad_avg, state.momentum_buffer, options);
  },
});

/**
 * RMSprop (Tieleman & Hinton 2012), as PyTorch's [optim.RMSprop](https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html):
 * v = alpha v + (1 - alpha) g^2, p -= lr g / (sqrt(v) + eps); centered (Graves 2013), v less the square of the average g;
 * with momentum, b = momentum b + g / (sqrt(v) + eps) and p -= lr b.
 */
export class RMSprop extends Optimizer<RMSpropOptions, RMSpropNames> {
  /**
   * @param parameters those of layers, or groups of them
   * @param options of all groups that do not set their own
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError, StateError (parameters of different builds),
   *   DisposedError, OutOfMemoryError
   */
  constructor(parameters: ParametersOrGroups<RMSpropOptions>, options: RMSpropOptions = {}) {
    super(RMSPROP_RULES, parameters, options);
  }
}

/** Options of `Adagrad`; lr is 1e-2 by default. */
export interface AdagradOptions extends OptimizerOptions {
  /** lr is divided by 1 + (t - 1) lrDecay at step t (default 0). */
  lrDecay?: number | undefined;
  /** Initial value of the sum of squares (default 0). A group may have its own, which PyTorch ignores. */
  initialAccumulatorValue?: number | undefined;
  /** Added to the denominator (default 1e-10). */
  eps?: number | undefined;
}

const ADAGRAD_RULES: Rules<AdagradOptions, "sum"> = /* @__PURE__ */ sealed({
  kind: "Adagrad",
  defaults: { lr: 1e-2, weightDecay: 0, maximize: false, lrDecay: 0, initialAccumulatorValue: 0, eps: 1e-10 },
  check({ lrDecay, initialAccumulatorValue, eps }, where) {
    checkNumber(`${where}lrDecay`, lrDecay);
    checkNumber(`${where}initialAccumulatorValue`, initialAccumulatorValue);
    checkNumber(`${where}eps`, eps);
  },
  state: () => ["sum"],
  start: ({ initialAccumulatorValue }) => initialAccumulatorValue,
  update(parameter, state, options, t) {
    adagrad(parameter, state.sum!, options.lr / (1 + (t - 1) * options.lrDecay), options);
  },
});

/**
 * Adagrad (Duchi, Hazan & Singer 2011), as PyTorch's [optim.Adagrad](https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html):
 * s += g^2, p -= lr / (1 + (t - 1) lrDecay) g / (sqrt(s) + eps) at step t.
 */
export class Adagrad extends Optimizer<AdagradOptions, "sum"> {
  /**
   * @param parameters those of layers, or groups of them
   * @param options of all groups that do not set their own
   * @throws ValueError, UnsupportedError (an unknown option), ShapeError, StateError (parameters of different builds),
   *   DisposedError, OutOfMemoryError
   */
  constructor(parameters: ParametersOrGroups<AdagradOptions>, options: AdagradOptions = {}) {
    super(ADAGRAD_RULES, parameters, options);
  }
}
