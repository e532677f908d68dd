// Compares gradients with finite differences.

import { ValueError } from "../../bindings/errors.js";
import { checkTensor, describe, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions, readList } from "../base/check.js";

/** Something that has a gradient: a layer's parameter, or any tensor whose gradient was computed. */
export interface Checked {
  /** Its name in errors and in the result. */
  readonly name: string;
  /** f64; changed in place and restored. */
  readonly value: Tensor;
  /** The gradient to check: f64, in the shape of `value`. */
  readonly grad: Tensor;
}

/** Options of `gradCheck`. */
export interface GradCheckOptions {
  /** Half the distance between the two points of a finite difference (default 1e-5). */
  eps?: number | undefined;
  /** Largest difference allowed, relative to the larger of the two gradients (default 1e-6; 1e-9 absolute is added). */
  tolerance?: number | undefined;
}

/** Result of `gradCheck`. */
export interface GradCheckResult {
  /** Whether all differences are within the tolerance. */
  ok: boolean;
  /** The number with the largest difference relative to its tolerance. */
  worst: {
    /** The parameter. */
    name: string;
    /** Which of its numbers, in row-major order. */
    index: number;
    /** Its gradient in `grad`. */
    analytic: number;
    /** Its finite difference. */
    numeric: number;
  };
}

/**
 * Compares gradients with central differences (loss(v + eps) - loss(v - eps)) / (2 eps), number by number, as PyTorch's
 * [gradcheck](https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html): two calls of `loss` for each.
 *
 * Run backward first: the gradients compared are those in `grad` at the call. Values and gradients are restored at the end, even
 * if `loss` throws or adds to the gradients.
 *
 * @param loss computes the loss, a finite number, from the current values
 * @param parameters at least one, f64 only; the array is read once
 * @param options eps 1e-5 and tolerance 1e-6 by default
 * @throws DtypeError, ShapeError, ValueError (also for a loss that is not finite), DisposedError
 */
export function gradCheck(
  loss: () => number,
  parameters: readonly Checked[],
  options: GradCheckOptions = {},
): GradCheckResult {
  checkOptions("gradCheck", options, ["eps", "tolerance"]);
  const { eps = 1e-5, tolerance = 1e-6 } = options;
  if (typeof loss !== "function") throw new ValueError("loss", describe(loss), "a function that returns a number");
  if (!Number.isFinite(eps) || eps <= 0) throw new ValueError("eps", describe(eps), "a finite number > 0");
  if (!Number.isFinite(tolerance) || tolerance < 0) {
    throw new ValueError("tolerance", describe(tolerance), "a finite number >= 0");
  }
  const all = takeChecked(parameters);
  const lossNow = (): number => {
    const value: unknown = loss();
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new ValueError("loss", `a function that returns ${describe(value)}`, "one that returns a finite number");
  };
  let worst = { name: all[0]!.name, index: 0, analytic: 0, numeric: 0 };
  let worstShare = -1;
  restoring(
    () => {
      for (const { name, values, gradients } of all) {
        for (let index = 0; index < gradients.length; index++) {
          const original = values()[index]!;
          const at = (x: number) => {
            values()[index] = x;
            return lossNow();
          };
          let numeric = 0;
          restoring(
            () => (numeric = (at(original + eps) - at(original - eps)) / (2 * eps)),
            () => (values()[index] = original),
          );
          const analytic = gradients[index]!;
          const allowed = tolerance * Math.max(Math.abs(analytic), Math.abs(numeric)) + 1e-9;
          const share = Math.abs(analytic - numeric) / allowed;
          if (!(share <= worstShare)) {
            worst = { name, index, analytic, numeric };
            worstShare = Number.isNaN(share) ? Infinity : share;
          }
        }
      }
    },
    () => all.forEach(({ grad, gradients }) => grad().set(gradients)),
  );
  return { ok: worstShare <= 1, worst };
}

/** A parameter that has been read. Its arrays are read again at each use: growth of the memory detaches live views. */
interface Taken {
  readonly name: string;
  readonly values: () => TensorData;
  readonly grad: () => TensorData;
  /** The gradients at the call. */
  readonly gradients: Float64Array;
}

function takeChecked(parameters: unknown): Taken[] {
  const list = readList("parameters", parameters, "parameters");
  if (list.length === 0) throw new ValueError("parameters", "none", "at least one");
  const all: Taken[] = [];
  for (const [i, parameter] of list.entries()) {
    const { name: given, value, grad } = (parameter ?? {}) as Partial<Checked>;
    const name = typeof given === "string" ? given : `parameters[${i}]`;
    const { shape } = checkTensor(`${name}.value`, value as Tensor, "f64", ["..."]);
    const { data } = checkTensor(`${name}.grad`, grad as Tensor, "f64", shape);
    all.push({
      name,
      values: () => checkTensor(`${name}.value`, value as Tensor, "f64", shape).data,
      grad: () => checkTensor(`${name}.grad`, grad as Tensor, "f64", shape).data,
      gradients: new Float64Array(data),
    });
  }
  return all;
}

/** Runs `work`, and then `restore` in any case. If both throw, the error is that of `work`. */
function restoring(work: () => void, restore: () => void): void {
  try {
    work();
  } catch (error) {
    try {
      restore();
    } catch {
      // nothing is left to restore: `error` says why
    }
    throw error;
  }
  restore();
}
