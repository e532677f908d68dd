// Functions shared by the recurrent layers: packed weights, input of the recurrent product, weight gradients, column sums. All
// are compared bit by bit.

import { gemmPacked, OVERWRITE } from "../gemm/gemm";
import { addColumnSums, addWeightGradient, gatesBackward } from "../recurrent/gradients";
import { masked, recurrentInputs, recurrentInputsBytes, writeRecurrentInputs } from "../recurrent/products";
import { Sequence } from "../recurrent/sequence";
import { packedBias, packedHh, packedHr, packedWeightsBytes, packWeights, sumBiases } from "../recurrent/weights";
import { bytes } from "../simd";
import { descriptor } from "./calls";
import {
  Buffer,
  expectIntact,
  expectSame,
  expectSameRange,
  given,
  input,
  maddScalar,
  output,
  SIZES,
  state,
} from "./helpers";
import { Matrix, PADDED, ROWS } from "./matrix";
import "./scratch";

/** sums += rows of m, from first to last. */
function addRows<T>(m: Matrix<T>, sums: Buffer<T>): Buffer<T> {
  const expected = sums.copy();
  for (let i = 0; i < m.rows; i++) {
    for (let j = 0; j < m.columns; j++) expected[j] = expected[j] + m.get(i, j);
  }
  return expected;
}

/** Dense rows, and rows with NaNs between them. */
function columnSums<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      for (let layout = ROWS; layout <= PADDED; layout += PADDED - ROWS) {
        const what = `column sums of ${SIZES[r]} x ${SIZES[c]}, layout ${layout}`;
        const m = new Matrix<T>(SIZES[r], SIZES[c], layout);
        const sums = state<T>(SIZES[c]);
        const expected = addRows<T>(m, sums);
        addColumnSums<T>(SIZES[r], SIZES[c], m.buffer.p, m.rowStride, sums.p);
        expectSame<T>(what, sums, expected);
        expectIntact(what);
      }
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
    sumBiases<T>(SIZES[s], a.p, b.p, out.p);
    expectSame<T>("the sum of the biases", out, expected);
    sumBiases<T>(SIZES[s], 0, 0, out.p);
    expectSame<T>("no biases", out, new Buffer<T>(SIZES[s]).fill(0));
    expectIntact("biases");
  }
}

/** start + a weight^T of `rows` rows; weight [columns,k]. */
function product<T>(rows: i32, columns: i32, k: i32, a: Buffer<T>, weight: Buffer<T>, start: Buffer<T>): Buffer<T> {
  const out = new Buffer<T>(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = start[j];
      for (let p = 0; p < k; p++) sum = maddScalar<T>(a[i * k + p], weight[j * k + p], sum);
      out[i * columns + j] = sum;
    }
  }
  return out;
}

/** W_ih x + b_ih + b_hh, W_hh h and W_hr h from packed weights, in a buffer of exactly their size. */
function packed<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b++) {
      for (let flags = 0; flags < 4; flags++) {
        const d = SIZES[a];
        const h = SIZES[b];
        const p = flags & 1 ? SIZES[(a + b + 2) % SIZES.length] : h;
        const g = 4 * h - 1;
        const rows = SIZES[(a + 2 * b) % SIZES.length];
        const what = `packed weights, D ${d}, H ${h}, P ${p}, flags ${flags}`;
        const block = descriptor();
        const s = changetype<Sequence>(block.p);
        const weightIh = input<T>(g * d);
        const weightHh = input<T>(g * p);
        const weightHr = input<T>(p * h);
        const biasIh = input<T>(g);
        const biasHh = input<T>(g);
        s.d = d;
        s.h = h;
        s.p = p;
        s.weightIh = weightIh.p;
        s.weightHh = weightHh.p;
        s.weightHr = flags & 1 ? weightHr.p : 0;
        s.biasIh = flags & 2 ? biasIh.p : 0;
        s.biasHh = flags & 2 ? biasHh.p : 0;
        block.freeze();
        const weights = output<T>(<i32>(packedWeightsBytes<T>(s, g) / sizeof<T>()));
        packWeights<T>(s, g, weights.p);
        weights.freeze();
        const bias = new Buffer<T>(g).fill(0);
        if (flags & 2) for (let i = 0; i < g; i++) bias[i] = biasIh[i] + biasHh[i];
        const zeros = new Buffer<T>(max(g, p)).fill(0);
        const start = packedBias<T>(s, g, weights.p);

        const x = input<T>(rows * d);
        const fromX = output<T>(rows * g);
        gemmPacked<T>(rows, g, d, x.p, d, weights.p, start, fromX.p, g);
        expectSame<T>(`from x, ${what}`, fromX, product<T>(rows, g, d, x, weightIh, bias));
        const hPrev = input<T>(rows * p);
        const fromH = output<T>(rows * g);
        gemmPacked<T>(rows, g, p, hPrev.p, p, packedHh<T>(s, g, weights.p), OVERWRITE, fromH.p, g);
        expectSame<T>(`from h, ${what}`, fromH, product<T>(rows, g, p, hPrev, weightHh, zeros));
        if (flags & 1) {
          const hidden = input<T>(rows * h);
          const projected = output<T>(rows * p);
          const hr = packedHr<T>(s, g, weights.p);
          gemmPacked<T>(rows, p, h, hidden.p, h, hr, OVERWRITE, projected.p, p);
          expectSame<T>(`projected, ${what}`, projected, product<T>(rows, p, h, hidden, weightHr, zeros));
        }
        expectIntact(what);
      }
    }
  }
}

/** The input of the recurrent product: the states, of equal or different lengths, with or without a mask. */
function inputs<T>(): void {
  const batchSizes = given<i32>([4, 4, 3, 1, 0]);
  for (let size = 0; size < SIZES.length; size++) {
    for (let flags = 0; flags < 4; flags++) {
      const ragged = flags & 1;
      const p = SIZES[size];
      const n = 5;
      const rows = ragged ? 12 : 25;
      const what = `the recurrent product's input, P ${p}, flags ${flags}`;
      const hs = input<T>((n + rows) * p);
      const mask = input<T>(n * p);
      const block = descriptor();
      const s = changetype<Sequence>(block.p);
      s.t = 5;
      s.n = n;
      s.p = p;
      s.rows = rows;
      s.hs = hs.p;
      s.batchSizes = ragged ? batchSizes.p : 0;
      s.mask = flags & 2 ? mask.p : 0;
      block.freeze();
      const expected = new Buffer<T>(rows * p);
      let from = 0; // the block of states that a step starts from
      let to = 0;
      for (let i = 0; i < 5; i++) {
        const m = ragged ? batchSizes[i] : n;
        const scratch = output<T>(m * p);
        const seen = masked<T>(s, m, hs.p + bytes<T>(from * p), scratch.p);
        for (let j = 0; j < m * p; j++) {
          expected[to * p + j] = flags & 2 ? hs[from * p + j] * mask[j] : hs[from * p + j];
        }
        if (flags & 2) {
          expect(seen).toBe(scratch.p);
          expectSameRange<T>(`step ${i} of ${what}`, scratch, 0, expected, to * p, m * p);
        } else {
          expect(seen).toBe(hs.p + bytes<T>(from * p));
        }
        from += i == 0 ? n : ragged ? batchSizes[i - 1] : n;
        to += m;
      }
      const out = output<T>(<i32>(recurrentInputsBytes<T>(s) / sizeof<T>()));
      writeRecurrentInputs<T>(s, out.p);
      const all = recurrentInputs(s, out.p);
      if (flags) {
        expect(all).toBe(out.p);
        expectSame<T>(what, out, expected);
      } else {
        expect(out.length).toBe(0);
        expect(all).toBe(hs.p);
      }
      expectIntact(what);
    }
  }
}

/** start += dGates^T other, in the order of the rows. */
function outer<T>(dGates: Matrix<T>, width: i32, other: Buffer<T>, start: Buffer<T>): Buffer<T> {
  const expected = start.copy();
  for (let i = 0; i < dGates.rows; i++) {
    for (let j = 0; j < dGates.columns; j++) {
      for (let p = 0; p < width; p++) {
        const sum = expected[j * width + p];
        expected[j * width + p] = maddScalar<T>(dGates.get(i, j), other[i * width + p], sum);
      }
    }
  }
  return expected;
}

/** Dense rows of gradients, and rows with NaNs between them. */
function weightGradient<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      for (let layout = ROWS; layout <= PADDED; layout += PADDED - ROWS) {
        const width = SIZES[(r + c) % SIZES.length];
        const what = `dW of ${SIZES[r]} rows, ${SIZES[c]} x ${width}, layout ${layout}`;
        const dGates = new Matrix<T>(SIZES[r], SIZES[c], layout);
        const other = input<T>(SIZES[r] * width);
        const dWeight = state<T>(SIZES[c] * width);
        const expected = outer<T>(dGates, width, other, dWeight);
        const stride = dGates.rowStride;
        addWeightGradient<T>(SIZES[r], SIZES[c], width, dGates.buffer.p, stride, other.p, dWeight.p);
        expectSame<T>(what, dWeight, expected);
        expectIntact(what);
      }
    }
  }
}

/** Bias gradients come from dGates, weight gradients from those of the two products. */
function backward<T>(): void {
  for (let r = 0; r < SIZES.length; r++) {
    for (let c = 0; c < SIZES.length; c++) {
      const rows = SIZES[r];
      const g = SIZES[c];
      const d = SIZES[(r + c) % SIZES.length];
      const p = SIZES[(r + 2 * c + 3) % SIZES.length];
      const what = `gradients of ${rows} rows, D ${d}, P ${p}, G ${g}`;
      const dGates = new Matrix<T>(rows, g, ROWS);
      const dProducts = new Matrix<T>(rows, g, ROWS);
      const dRecurrent = new Matrix<T>(rows, g, ROWS);
      const x = input<T>(rows * d);
      const hPrev = input<T>(rows * p);
      const weight = input<T>(g * d);
      const startIh = input<T>(g * d);
      const startHh = input<T>(g * p);
      const startBias = input<T>(g);
      const dxExpected = new Buffer<T>(rows * d);
      for (let i = 0; i < rows; i++) {
        for (let k = 0; k < d; k++) {
          let sum: T = 0;
          for (let j = 0; j < g; j++) sum = maddScalar<T>(dProducts.get(i, j), weight[j * d + k], sum);
          dxExpected[i * d + k] = sum;
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
        const block = descriptor();
        const s = changetype<Sequence>(block.p);
        s.d = d;
        s.p = p;
        s.rows = rows;
        s.x = x.p;
        s.weightIh = weight.p;
        s.dx = hasDx ? dx.p : 0;
        s.dWeightIh = dIh.p;
        s.dWeightHh = dHh.p;
        s.dBiasIh = hasBias ? bIh.p : 0;
        s.dBiasHh = hasBias ? bHh.p : 0;
        block.freeze();
        gatesBackward<T>(s, g, dGates.buffer.p, hPrev.p, dProducts.buffer.p, dRecurrent.buffer.p);
        const bias = hasBias ? addRows<T>(dGates, startBias) : startBias;
        expectSame<T>(`dx, ${what}`, dx, hasDx ? dxExpected : output<T>(rows * d));
        expectSame<T>(`dW_ih, ${what}`, dIh, outer<T>(dProducts, d, x, startIh));
        expectSame<T>(`dW_hh, ${what}`, dHh, outer<T>(dRecurrent, p, hPrev, startHh));
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
  test("packed weights f64", () => packed<f64>());
  test("packed weights f32", () => packed<f32>());
  test("the recurrent product's input f64", () => inputs<f64>());
  test("the recurrent product's input f32", () => inputs<f32>());
  test("gradients of a weight f64", () => weightGradient<f64>());
  test("gradients of a weight f32", () => weightGradient<f32>());
  test("gradients of the weights f64", () => backward<f64>());
  test("gradients of the weights f32", () => backward<f32>());
});
