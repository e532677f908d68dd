// The layers module's activations, compared with their equations in f64; derivatives with their formulas.

import { activationBackward, activationForward, preluBackward, preluForward } from "../layers/activation";
import { Buffer, expectClose, expectIntact, fail, input, output, SIZES, state, wide } from "./helpers";

const NAMES: StaticArray<string> = ["tanh", "relu", "sigmoid", "hard sigmoid", "linear", "elu", "leaky relu"];

function exact(code: i32, x: f64): f64 {
  if (code == 0) return NativeMath.tanh(x);
  if (code == 1) return max(x, 0);
  if (code == 2) return 1 / (1 + NativeMath.exp(-x));
  if (code == 3) return min(max(0.2 * x + 0.5, 0), 1);
  if (code == 4) return x;
  if (code == 5) return x > 0 ? x : NativeMath.expm1(x);
  return x > 0 ? x : 0.01 * x;
}

/** The derivative from y. */
function slope(code: i32, y: f64): f64 {
  if (code == 0) return 1 - y * y;
  if (code == 1) return y > 0 ? 1 : 0;
  if (code == 2) return y * (1 - y);
  if (code == 3) return y > 0 && y < 1 ? 0.2 : 0;
  if (code == 4) return 1;
  if (code == 5) return y > 0 ? 1 : y + 1;
  return y > 0 ? 1 : 0.01;
}

function elementwise<T>(): void {
  for (let code = 0; code < NAMES.length; code++) {
    for (let k = 0; k < SIZES.length; k++) {
      const n = SIZES[k];
      const x = input<T>(n, 4);
      const y = output<T>(n);
      activationForward<T>(code, n, x.p, y.p);
      const expected = wide<T>(x);
      for (let i = 0; i < n; i++) expected[i] = exact(code, expected[i]);
      expectClose<T>(NAMES[code], y, expected);
      const inPlace = x.copy();
      activationForward<T>(code, n, inPlace.p, inPlace.p);
      expectClose<T>(`${NAMES[code]} in place`, inPlace, wide<T>(y), 0);
      y.freeze();
      const d = state<T>(n);
      const dExpected = wide<T>(d);
      for (let i = 0; i < n; i++) dExpected[i] *= slope(code, <f64>y[i]);
      activationBackward<T>(code, n, y.p, d.p, d.p);
      expectClose<T>(`derivative of ${NAMES[code]}`, d, dExpected);
      expectIntact(NAMES[code]);
    }
  }
}

/** elu keeps its digits near 0, and has its limits at the infinities. */
function eluLimits<T>(): void {
  const x = new Buffer<T>(6);
  const values: StaticArray<f64> = [-1e-30, -1e-9, -Infinity, Infinity, -800, 0];
  for (let i = 0; i < 6; i++) x[i] = <T>values[i];
  const y = output<T>(6);
  activationForward<T>(5, 6, x.p, y.p);
  for (let i = 0; i < 6; i++) {
    const expected = exact(5, <f64>x[i]);
    const error = abs(<f64>y[i] - expected);
    if (!(<f64>y[i] == expected || error <= abs(expected) * (sizeof<T>() == 8 ? 1e-15 : 4e-7)))
      fail(`elu(${x[i]}) is ${y[i]}`);
  }
  x.fill(<T>NaN);
  for (let code = 0; code < NAMES.length; code++) {
    activationForward<T>(code, 6, x.p, y.p);
    for (let i = 0; i < 6; i++) if (y[i] == y[i]) fail(`${NAMES[code]} of NaN is ${y[i]}`);
  }
  expectIntact("limits");
}

function prelu<T>(): void {
  for (let k = 0; k < SIZES.length; k++) {
    for (let shared = 0; shared < 2; shared++) {
      const rows = 5;
      const n = SIZES[k];
      const x = input<T>(rows * n);
      const a = input<T>(shared ? 1 : n);
      const y = output<T>(rows * n);
      preluForward<T>(rows, n, x.p, a.p, shared != 0, y.p);
      const dy = input<T>(rows * n);
      const dx = output<T>(rows * n);
      const dSlope = state<T>(a.length);
      const yExpected = wide<T>(x);
      const dxExpected = wide<T>(dy);
      const dSlopeExpected = wide<T>(dSlope);
      for (let i = 0; i < rows * n; i++) {
        const j = shared ? 0 : i % n;
        if (x[i] > 0) continue;
        yExpected[i] *= <f64>a[j];
        dxExpected[i] *= <f64>a[j];
        dSlopeExpected[j] += <f64>dy[i] * <f64>x[i];
      }
      preluBackward<T>(rows, n, x.p, a.p, shared != 0, dy.p, dx.p, dSlope.p);
      const what = `prelu of ${n}, shared ${shared}`;
      expectClose<T>(what, y, yExpected);
      expectClose<T>(`dx of ${what}`, dx, dxExpected);
      expectClose<T>(`dSlope of ${what}`, dSlope, dSlopeExpected, 10);
      expectIntact(what);
    }
  }
}

describe("layers: activations", () => {
  test("element by element f64", () => elementwise<f64>());
  test("element by element f32", () => elementwise<f32>());
  test("limits f64", () => eluLimits<f64>());
  test("limits f32", () => eluLimits<f32>());
  test("PReLU f64", () => prelu<f64>());
  test("PReLU f32", () => prelu<f32>());
});
