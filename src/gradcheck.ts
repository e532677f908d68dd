// The check of gradients against difference quotients.

import { ValueError } from "../bindings/errors.js";
import { checkTensor, describe, type Tensor } from "../bindings/tensor.js";
import { checkOptions } from "./nn/layer.js";

/** Something that has a gradient: a layer's parameter, or any tensor whose gradient was computed. */
export interface Checked {
  /** What errors and the result call it. */
  readonly name: string;
  /** f64; changed in place and put back. */
  readonly value: Tensor;
  /** f64, in the shape of `value`: what is checked. */
  readonly grad: Tensor;
}

/** Options of `gradCheck`. */
export interface GradCheckOptions {
  /** Half the distance of the two points of a difference quotient (default 1e-5). */
  eps?: number;
  /** Largest difference allowed, relative to the larger of the two gradients (default 1e-6; 1e-9 absolute is added). */
  tolerance?: number;
}

/** What `gradCheck` found. */
export interface GradCheckResult {
  /** Whether all differences are allowed ones. */
  ok: boolean;
  /** Where the difference was largest beside what is allowed. */
  worst: {
    /** The parameter. */
    name: string;
    /** Which of its numbers, in row-major order. */
    index: number;
    /** What `grad` has there. */
    analytic: number;
    /** The difference quotient. */
    numeric: number;
  };
}

/**
 * Holds gradients against central differences (loss(v + eps) - loss(v - eps)) / (2 eps), number by number, as PyTorch's
 * [gradcheck](https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html): two calls of `loss` for each.
 *
 * Run backward first: the gradients compared are those in `grad` at the call. They and the values are as before at the
 * end, also where `loss` throws or adds to the gradients.
 *
 * @param loss computes the loss from the current values
 * @param parameters at least one, f64 only
 * @param options eps 1e-5 and tolerance 1e-6 by default
 * @throws DtypeError, ShapeError, ValueError
 */
export function gradCheck(
  loss: () => number,
  parameters: readonly Checked[],
  options: GradCheckOptions = {},
): GradCheckResult {
  checkOptions("gradCheck", options, ["eps", "tolerance"]);
  const { eps = 1e-5, tolerance = 1e-6 } = options;
  if (typeof loss !== "function") throw new ValueError("loss", describe(loss), "a function that gives a number");
  if (!Number.isFinite(eps) || eps <= 0) throw new ValueError("eps", describe(eps), "a number > 0");
  if (!Number.isFinite(tolerance) || tolerance < 0) {
    throw new ValueError("tolerance", describe(tolerance), "a number >= 0");
  }
  checkArray("parameters", parameters);
  if (parameters.length === 0) throw new ValueError("parameters", "none", "at least one");
  for (const [i, parameter] of (parameters as readonly (Checked | undefined)[]).entries()) {
    const { name, value, grad } = parameter ?? {};
    const label = typeof name === "string" ? name : `parameters[${i}]`;
    const { shape } = checkTensor(`${label}.value`, value as Tensor, "f64", ["..."]);
    checkTensor(`${label}.grad`, grad as Tensor, "f64", shape);
  }
  const gradients = parameters.map(({ grad }) => Float64Array.from(grad.data));
  let worst = { name: parameters[0]!.name, index: 0, analytic: 0, numeric: 0 };
  let worstShare = -1;
  try {
    parameters.forEach(({ name, value }, p) => {
      for (let index = 0; index < gradients[p]!.length; index++) {
        const original = value.data[index]!;
        const at = (x: number) => {
          value.data[index] = x; // .data anew each time: the loss may have grown the memory
          return loss();
        };
        let numeric: number;
        try {
          numeric = (at(original + eps) - at(original - eps)) / (2 * eps);
        } finally {
          value.data[index] = original;
        }
        const analytic = gradients[p]![index]!;
        const allowed = tolerance * Math.max(Math.abs(analytic), Math.abs(numeric)) + 1e-9;
        const share = Math.abs(analytic - numeric) / allowed;
        if (!(share <= worstShare)) {
          worst = { name, index, analytic, numeric };
          worstShare = Number.isNaN(share) ? Infinity : share;
        }
      }
    });
  } finally {
    parameters.forEach(({ grad }, p) => grad.data.set(gradients[p]!));
  }
  return { ok: worstShare <= 1, worst };
}

function checkArray(argument: string, value: unknown): void {
  if (!Array.isArray(value)) throw new ValueError(argument, describe(value), "an array");
}
