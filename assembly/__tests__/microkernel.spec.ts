// The micro-kernels, compared with scalar multiply-adds.

import { bytes } from "../simd";
import { microkernel, microkernelPair, microkernelRow, MR, nr } from "../gemm/microkernel";
import { Buffer, expectIntact, expectSame, input, maddScalar, output, SIZES, state } from "./helpers";

/** One tile of 4 rows to MR: those of `from` are fromStride numbers apart (0: one for all), rows of C cStride. */
function tile<T>(rows: i32, k: i32, fromStride: i32, cStride: i32): void {
  const what = `tile of ${rows} rows, k = ${k}`;
  const a = input<T>(k * rows);
  const b = input<T>(k * nr<T>());
  const from = input<T>((rows - 1) * fromStride + nr<T>());
  const c = state<T>((rows - 1) * cStride + nr<T>());
  const expected = c.copy(); // gaps between rows do not change
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < nr<T>(); j++) {
      let sum = from[i * fromStride + j];
      for (let p = 0; p < k; p++) sum = maddScalar<T>(a[p * rows + i], b[p * nr<T>() + j], sum);
      expected[i * cStride + j] = sum;
    }
  }
  microkernel<T>(rows, k, a.p, b.p, from.p, bytes<T>(fromStride), c.p, bytes<T>(cStride));
  expectSame<T>(what, c, expected);
  if (fromStride == nr<T>()) {
    const inPlace = from.copy();
    const dense = new Buffer<T>(rows * nr<T>());
    for (let i = 0; i < dense.length; i++) dense[i] = expected[(i / nr<T>()) * cStride + (i % nr<T>())];
    microkernel<T>(rows, k, a.p, b.p, inPlace.p, bytes<T>(fromStride), inPlace.p, bytes<T>(fromStride));
    expectSame<T>(`${what} in place`, inPlace, dense);
  }
  expectIntact(what);
}

function tiles<T>(): void {
  for (let rows = 4; rows <= MR; rows += 2) {
    for (let i = 0; i < SIZES.length; i++) {
      tile<T>(rows, SIZES[i], 0, nr<T>());
      tile<T>(rows, SIZES[i], nr<T>(), nr<T>());
      tile<T>(rows, SIZES[i], nr<T>(), nr<T>() + 1);
      tile<T>(rows, SIZES[i], nr<T>() + 3, nr<T>() + 5);
    }
  }
}

/** k numbers, `stride` apart; NaN between them. */
function spread<T>(numbers: Buffer<T>, stride: i32): Buffer<T> {
  const buffer = new Buffer<T>((numbers.length - 1) * stride + 1).fill(<T>NaN);
  for (let p = 0; p < numbers.length; p++) buffer[p * stride] = numbers[p];
  buffer.freeze();
  return buffer;
}

/** One row of A times some panels, starting from `from`. */
function naiveRow<T>(a: Buffer<T>, panels: Buffer<T>[], from: Buffer<T>): Buffer<T> {
  const expected = new Buffer<T>(from.length);
  for (let j = 0; j < expected.length; j++) {
    let sum = from[j];
    const panel = panels[j / nr<T>()];
    for (let p = 0; p < a.length; p++) sum = maddScalar<T>(a[p], panel[p * nr<T>() + (j % nr<T>())], sum);
    expected[j] = sum;
  }
  return expected;
}

/** One row and four panels, which need not be in order. */
function row<T>(k: i32, aStride: i32): void {
  const numbers = input<T>(k);
  const a = spread<T>(numbers, aStride);
  const panels: Buffer<T>[] = [];
  for (let i = 0; i < 4; i++) panels.push(input<T>(k * nr<T>()));
  const from = input<T>(4 * nr<T>());
  const expected = naiveRow<T>(numbers, panels, from);
  const c = output<T>(4 * nr<T>());
  const stride = bytes<T>(aStride);
  microkernelRow<T>(k, a.p, stride, panels[0].p, panels[1].p, panels[2].p, panels[3].p, from.p, c.p);
  expectSame<T>(`row of k = ${k}`, c, expected);
  const inPlace = from.copy();
  microkernelRow<T>(k, a.p, stride, panels[0].p, panels[1].p, panels[2].p, panels[3].p, inPlace.p, inPlace.p);
  expectSame<T>(`row of k = ${k} in place`, inPlace, expected);
  expectIntact(`row of k = ${k}`);
}

/** Two rows and two panels. */
function pair<T>(k: i32, aStride: i32): void {
  const what = `two rows of k = ${k}`;
  const numbers0 = input<T>(k);
  const numbers1 = input<T>(k);
  const a0 = spread<T>(numbers0, aStride);
  const a1 = spread<T>(numbers1, aStride);
  const panels: Buffer<T>[] = [input<T>(k * nr<T>()), input<T>(k * nr<T>())];
  const b0 = panels[0].p;
  const b1 = panels[1].p;
  const from0 = input<T>(2 * nr<T>());
  const from1 = input<T>(2 * nr<T>());
  const expected0 = naiveRow<T>(numbers0, panels, from0);
  const expected1 = naiveRow<T>(numbers1, panels, from1);
  const to0 = output<T>(2 * nr<T>());
  const to1 = output<T>(2 * nr<T>());
  const stride = bytes<T>(aStride);
  microkernelPair<T>(k, a0.p, a1.p, stride, b0, b1, from0.p, from1.p, to0.p, to1.p);
  expectSame<T>(`first of ${what}`, to0, expected0);
  expectSame<T>(`second of ${what}`, to1, expected1);
  const inPlace0 = from0.copy();
  const inPlace1 = from1.copy();
  microkernelPair<T>(k, a0.p, a1.p, stride, b0, b1, inPlace0.p, inPlace1.p, inPlace0.p, inPlace1.p);
  expectSame<T>(`first of ${what} in place`, inPlace0, expected0);
  expectSame<T>(`second of ${what} in place`, inPlace1, expected1);
  expectIntact(what);
}

function rows<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    row<T>(SIZES[i], 1);
    row<T>(SIZES[i], 4);
  }
}

function pairs<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    pair<T>(SIZES[i], 1);
    pair<T>(SIZES[i], 3);
  }
}

describe("microkernel", () => {
  test("tile f64", () => tiles<f64>());
  test("tile f32", () => tiles<f32>());
  test("two rows f64", () => pairs<f64>());
  test("two rows f32", () => pairs<f32>());
  test("row f64", () => rows<f64>());
  test("row f32", () => rows<f32>());
});
