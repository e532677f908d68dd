// What the recurrent layers share: the product with the input, the gradients of the weights, column sums.

import { addColumnSums, gatesBackward, inputForward, sumBiases } from "../recurrent";
import { Buffer, expectIntact, expectSame, input, maddScalar, output, SIZES, state } from "./helpers";

/** sums += rows of m, from first to last: to the bit. */
function addRows<T>(rows: i32, columns: i32, m: Buffer<T>, sums: Buffer<T>): Buffer<T> {
  const expected = sums.copy();
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) expected[j] = expected[j] + m[i * columns + j];
  }
  return expected;
}

function columnSums<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      const m = input<T>(SIZES[r] * SIZES[c]);
      const sums = state<T>(SIZES[c]);
      const expected = addRows<T>(SIZES[r], SIZES[c], m, sums);
      addColumnSums<T>(SIZES[r], SIZES[c], m.p, sums.p);
      expectSame<T>(`column sums of ${SIZES[r]} x ${SIZES[c]}`, sums, expected);
      expectIntact(`column sums of ${SIZES[r]} x ${SIZES[c]}`);
    }
  }
}

function biases<T>(): void {
  for (let s = 0; s < SIZES.length; s++) {
    const a = input<T>(SIZES[s]);
    const b = input<T>(SIZES[s]);
    const expected = new Buffer<T>(SIZES[s]);
    for (let i = 0; i < SIZES[s]; i++) expected[i] = a[i] + b[i];
    const out = output<T>(SIZES[s]);
    expect(sumBiases<T>(SIZES[s], 0, 0, out.p)).toBe(0);
    expectSame<T>("no biases", out, output<T>(SIZES[s]));
    expect(sumBiases<T>(SIZES[s], a.p, b.p, out.p)).toBe(out.p);
    expectSame<T>("the sum of the biases", out, expected);
    expectIntact("biases");
  }
}

/** rows x G x D: x W_ih^T + b, to the bit. */
function inputProducts<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let s = 0; s < SIZES.length; s++) {
      const rows = SIZES[r];
      const g = SIZES[s];
      const d = SIZES[(r + s) % SIZES.length];
      const x = input<T>(rows * d);
      const weight = input<T>(g * d);
      const bias = input<T>(g);
      for (let flags = 0; flags < 2; flags++) {
        const expected = new Buffer<T>(rows * g);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < g; j++) {
            let sum: T = flags ? bias[j] : 0;
            for (let p = 0; p < d; p++) sum = maddScalar<T>(x[i * d + p], weight[j * d + p], sum);
            expected[i * g + j] = sum;
          }
        }
        const gates = output<T>(rows * g);
        inputForward<T>(rows, d, g, x.p, weight.p, flags ? bias.p : 0, gates.p);
        expectSame<T>(`input of ${rows} x ${d} x ${g}`, gates, expected);
      }
      expectIntact(`input of ${rows} x ${d} x ${g}`);
    }
  }
}

/** start += dGates^T other, in the order of the rows: to the bit. */
function outer<T>(rows: i32, g: i32, width: i32, dGates: Buffer<T>, other: Buffer<T>, start: Buffer<T>): Buffer<T> {
  const expected = start.copy();
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < g; j++) {
      for (let p = 0; p < width; p++) {
        const sum = expected[j * width + p];
        expected[j * width + p] = maddScalar<T>(dGates[i * g + j], other[i * width + p], sum);
      }
    }
  }
  return expected;
}

function backward<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let s = 0; s < SIZES.length; s++) {
      const rows = SIZES[r];
      const g = SIZES[s];
      const d = SIZES[(r + s) % SIZES.length];
      const h = SIZES[(r + 2 * s + 3) % SIZES.length];
      const what = `gradients of ${rows} rows, D ${d}, H ${h}, G ${g}`;
      const dGates = input<T>(rows * g);
      const x = input<T>(rows * d);
      const hPrev = input<T>(rows * h);
      const weight = input<T>(g * d);
      const startIh = input<T>(g * d);
      const startHh = input<T>(g * h);
      const startBias = input<T>(g);
      const dxExpected = new Buffer<T>(rows * d);
      for (let i = 0; i < rows; i++) {
        for (let p = 0; p < d; p++) {
          let sum: T = 0;
          for (let j = 0; j < g; j++) sum = maddScalar<T>(dGates[i * g + j], weight[j * d + p], sum);
          dxExpected[i * d + p] = sum;
        }
      }
      for (let flags = 0; flags < 4; flags++) {
        const hasDx = flags & 1;
        const hasBias = flags & 2;
        const dx = output<T>(rows * d);
        const dIh = startIh.copy();
        const dHh = startHh.copy();
        const bIh = startBias.copy();
        const bHh = startBias.copy();
        gatesBackward<T>(
          rows,
          d,
          h,
          g,
          dGates.p,
          x.p,
          hPrev.p,
          weight.p,
          hasDx ? dx.p : 0,
          dIh.p,
          dHh.p,
          hasBias ? bIh.p : 0,
          hasBias ? bHh.p : 0,
        );
        const bias = hasBias ? addRows<T>(rows, g, dGates, startBias) : startBias;
        expectSame<T>(`dx, ${what}`, dx, hasDx ? dxExpected : output<T>(rows * d));
        expectSame<T>(`dW_ih, ${what}`, dIh, outer<T>(rows, g, d, dGates, x, startIh));
        expectSame<T>(`dW_hh, ${what}`, dHh, outer<T>(rows, g, h, dGates, hPrev, startHh));
        expectSame<T>(`db_ih, ${what}`, bIh, bias);
        expectSame<T>(`db_hh, ${what}`, bHh, bias);
      }
      expectIntact(what);
    }
  }
}

describe("recurrent", () => {
  test("column sums f64", () => columnSums<f64>());
  test("column sums f32", () => columnSums<f32>());
  test("biases f64", () => biases<f64>());
  test("biases f32", () => biases<f32>());
  test("the product with the input f64", () => inputProducts<f64>());
  test("the product with the input f32", () => inputProducts<f32>());
  test("gradients of the weights f64", () => backward<f64>());
  test("gradients of the weights f32", () => backward<f32>());
});
