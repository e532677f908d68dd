// Functions of one tensor, element by element, on dense numbers. exp, sigmoid and tanh are kernels of the core.

import { expm1Below, relu } from "../activation";
import { logLanes } from "../logarithm";
import * as math from "../math";
import { at, lanes, loadLanes, madd, storeLanes } from "../simd";
import * as wide from "./transcendental";

/** Arguments of `unary`. */
@unmanaged
export class Pointwise {
  /** Parameters of those functions that have some. */
  alpha: f64;
  beta: f64;
  /** One of the codes below. */
  operation: i32;
  n: i32;
  /** in: [n]. */
  x: usize;
  /** out: [n]; it may be x. */
  out: usize;
}

// Codes of the functions, with alpha and beta.
const NEG: i32 = 0;
const ABS: i32 = 1;
const SQRT: i32 = 2;
const RECIPROCAL: i32 = 3;
const FLOOR: i32 = 4;
const CEIL: i32 = 5;
const ROUND: i32 = 6; // half to even
const SIGN: i32 = 7;
const RELU: i32 = 8;
const LEAKY_RELU: i32 = 9; // x above 0, else alpha x
const THRESHOLDED_RELU: i32 = 10; // x above alpha, else 0
const HARD_SIGMOID: i32 = 11; // alpha x + beta, from 0 to 1
const HARD_SWISH: i32 = 12; // x times x / 6 + 1/2 from 0 to 1
const SHRINK: i32 = 13; // x + beta below -alpha, x - beta above alpha, else 0
const CLIP: i32 = 14; // from alpha to beta
const SOFTSIGN: i32 = 15; // x / (1 + |x|)
const ELU: i32 = 16; // beta times: x above 0, else alpha (e^x - 1)
const CELU: i32 = 17; // x above 0, else alpha (e^(x / alpha) - 1)
const LOG: i32 = 18;
const WIDE: i32 = 19; // from here on the functions of transcendental.ts, in the order of their codes

function applyWide(operation: i32, x: v128): v128 {
  return wide.evaluate(operation - WIDE, x);
}

/** min(max(y, 0), 1). */
// @ts-ignore: decorator
@inline
function unit<T>(y: v128): v128 {
  return v128.pmin<T>(relu<T>(y), math.one<T>());
}

function apply<T>(operation: i32, x: v128, alpha: v128, beta: v128): v128 {
  const one = math.one<T>();
  const above = v128.gt<T>(x, v128.splat<T>(0));
  switch (operation) {
    case NEG:
      return v128.neg<T>(x);
    case ABS:
      return v128.abs<T>(x);
    case SQRT:
      return v128.sqrt<T>(x);
    case RECIPROCAL:
      return v128.div<T>(one, x);
    case FLOOR:
      return v128.floor<T>(x);
    case CEIL:
      return v128.ceil<T>(x);
    case ROUND:
      return v128.nearest<T>(x);
    case SIGN: {
      const below = v128.and(v128.neg<T>(one), v128.lt<T>(x, v128.splat<T>(0)));
      return v128.or(v128.bitselect(one, below, above), v128.ne<T>(x, x));
    }
    case RELU:
      return relu<T>(x);
    case LEAKY_RELU:
      return v128.bitselect(x, v128.mul<T>(alpha, x), above);
    case THRESHOLDED_RELU:
      return v128.andnot(x, v128.le<T>(x, alpha));
    case HARD_SIGMOID:
      return unit<T>(madd<T>(alpha, x, beta));
    case HARD_SWISH:
      return v128.mul<T>(x, unit<T>(madd<T>(x, v128.splat<T>(<T>(1.0 / 6.0)), v128.splat<T>(<T>0.5))));
    case SHRINK: {
      const high = v128.and(v128.sub<T>(x, beta), v128.gt<T>(x, alpha));
      return v128.bitselect(v128.add<T>(x, beta), high, v128.lt<T>(x, v128.neg<T>(alpha)));
    }
    case CLIP:
      return v128.pmin<T>(v128.pmax<T>(x, alpha), beta);
    case SOFTSIGN:
      return v128.div<T>(x, v128.add<T>(one, v128.abs<T>(x)));
    case ELU:
      return v128.mul<T>(beta, v128.bitselect(x, v128.mul<T>(alpha, expm1Below<T>(x)), above));
    case CELU:
      return v128.bitselect(x, v128.mul<T>(alpha, expm1Below<T>(v128.div<T>(x, alpha))), above);
    case LOG:
      return logLanes<T>(x);
  }
  if (sizeof<T>() == 8) return applyWide(operation, x);
  return wide.joinHalves(applyWide(operation, wide.lowHalf(x)), applyWide(operation, wide.highHalf(x)));
}

/** out [n] = the function of x. */
export function unary<T>(s: Pointwise): void {
  const n = s.n;
  const x = s.x;
  const out = s.out;
  let i = 0;
  if (s.operation == RELU) {
    for (; i <= n - lanes<T>(); i += lanes<T>()) v128.store(at<T>(out, i), relu<T>(v128.load(at<T>(x, i))));
  }
  const alpha = v128.splat<T>(<T>s.alpha);
  const beta = v128.splat<T>(<T>s.beta);
  for (; i < n; i += lanes<T>()) {
    storeLanes<T>(at<T>(out, i), apply<T>(s.operation, loadLanes<T>(at<T>(x, i), n - i), alpha, beta), n - i);
  }
}
