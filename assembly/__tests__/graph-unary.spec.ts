// The graph module's functions of one tensor, against scalars.

import { Pointwise, unary } from "../graph/unary";
import * as wide from "../graph/transcendental";
import { logLanes } from "../logarithm";
import { bitsOf, Buffer, expectIntact, expectSame, fail, given, maddScalar, output, SIZES } from "./helpers";

// prettier-ignore
const NAMES: StaticArray<string> = [
  "neg", "abs", "sqrt", "reciprocal", "floor", "ceil", "round", "sign", "relu", "leakyRelu", "thresholdedRelu", "hardSigmoid",
  "hardSwish", "shrink", "clip", "softsign", "elu", "celu", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
  "asinh", "acosh", "atanh", "erf", "softplus", "mish", "gelu", "geluTanh",
];
const ELU: i32 = 16;
const CELU: i32 = 17;
const WIDE: i32 = 19;

const ALPHA: f64 = 0.3;
const BETA: f64 = 0.45;

function lane<T>(v: v128): T {
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(v, 0) : f32x4.extract_lane(v, 0));
}

function unit<T>(x: T): T {
  return x < 0 ? 0 : x > 1 ? 1 : x;
}

/** The functions but elu and celu, to the bit. */
function exact<T>(operation: i32, x: T): T {
  const alpha = <T>ALPHA;
  const beta = <T>BETA;
  if (operation == 0) return -x as T;
  if (operation == 1) return abs<T>(x);
  if (operation == 2) return sqrt<T>(x);
  if (operation == 3) return (1 / x) as T;
  if (operation == 4) return floor<T>(x);
  if (operation == 5) return ceil<T>(x);
  if (operation == 6) return nearest<T>(x);
  if (operation == 7) return x != x ? x : x > 0 ? 1 : x < 0 ? -1 : 0;
  if (operation == 8) return x < 0 ? 0 : x;
  if (operation == 9) return x > 0 ? x : ((alpha * x) as T);
  if (operation == 10) return x <= alpha ? 0 : x;
  if (operation == 11) return unit<T>(maddScalar<T>(alpha, x, beta));
  if (operation == 12) return (x * unit<T>(maddScalar<T>(x, <T>(1.0 / 6.0), <T>0.5))) as T;
  if (operation == 13) return x < -alpha ? <T>(x + beta) : x > alpha ? <T>(x - beta) : 0;
  if (operation == 14) return x < alpha ? alpha : x > beta ? beta : x;
  if (operation == 15) return <T>(x / <T>(1 + abs<T>(x)));
  if (operation == 18) return lane<T>(logLanes<T>(v128.splat<T>(x)));
  return <T>f64x2.extract_lane(wide.evaluate(operation - WIDE, f64x2.splat(<f64>x)), 0);
}

function call<T>(operation: i32, x: Buffer<T>, out: Buffer<T>): void {
  const s = new Pointwise();
  s.alpha = ALPHA;
  s.beta = BETA;
  s.operation = operation;
  s.n = x.length;
  s.x = x.p;
  s.out = out.p;
  unary<T>(s);
}

/** x above 0, else alpha (e^(factor x) - 1), within 3 ulp or a denormal number. */
function expectElu<T>(operation: i32, x: Buffer<T>, out: Buffer<T>): void {
  const alpha = <f64>(<T>ALPHA);
  for (let i = 0; i < x.length; i++) {
    const v = <f64>x[i];
    let expected = v > 0 ? v : alpha * NativeMath.expm1(operation == CELU ? v / alpha : v);
    if (operation == ELU) expected *= <f64>(<T>BETA);
    const tolerance = sizeof<T>() == 8 ? 7e-16 * abs(expected) + 5e-324 : 4e-7 * abs(expected) + 2e-45;
    const same = expected != expected ? out[i] != out[i] : abs(<f64>out[i] - expected) <= tolerance;
    if (!same && <f64>out[i] != expected) fail(`${NAMES[operation]}(${v}) is ${out[i]}, expected ${expected}`);
  }
}

function values<T>(): Buffer<T> {
  const denormal = <T>(sizeof<T>() == 8 ? 5e-324 : 1e-45);
  // prettier-ignore
  return given<T>([
    <T>NaN, <T>Infinity, <T>-Infinity, denormal, -denormal, <T>-0.0, 0, <T>0.5, <T>-0.5, <T>1.5, <T>2.5, <T>-2.5, <T>ALPHA, <T>BETA,
    1, -1, 3, -3, <T>1e-20, <T>-1e-20, 100, -100, <T>-0.3, <T>1e30, <T>-1e30, 6,
  ]);
}

function functions<T>(): void {
  for (let operation = 0; operation < NAMES.length; operation++) {
    for (let k = -1; k < SIZES.length; k++) {
      const x = k < 0 ? values<T>() : new Buffer<T>(SIZES[k]).randomize(3);
      x.freeze();
      const out = output<T>(x.length);
      call<T>(operation, x, out);
      if (operation == ELU || operation == CELU) expectElu<T>(operation, x, out);
      else {
        for (let i = 0; i < x.length; i++) {
          const expected = exact<T>(operation, x[i]);
          if (bitsOf<T>(out[i]) != bitsOf<T>(expected))
            fail(`${NAMES[operation]}(${x[i]}) is ${out[i]}, expected ${expected}`);
        }
      }
      const inPlace = x.copy();
      call<T>(operation, inPlace, inPlace);
      expectSame<T>(`${NAMES[operation]} in place`, inPlace, out);
      expectIntact(NAMES[operation]);
    }
  }
}

describe("graph: functions of one tensor", () => {
  test("f64", () => functions<f64>());
  test("f32", () => functions<f32>());
});
