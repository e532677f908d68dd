// The innermost loops, against one multiply-add after the other.

import { bytes } from "../simd";
import { microkernel, microkernelRow, MR, nr } from "../microkernel";
import { Buffer, expectIntact, expectSame, input, maddScalar, output, SIZES, state } from "./helpers";

/** One tile: C starts from rows `fromStride` numbers apart (0: one for all), and is written `cStride` apart. */
function tile<T>(k: i32, fromStride: i32, cStride: i32): void {
  const a = input<T>(k * MR);
  const b = input<T>(k * nr<T>());
  const from = input<T>((MR - 1) * fromStride + nr<T>());
  const c = state<T>((MR - 1) * cStride + nr<T>());
  const expected = c.copy(); // what stands between rows stays
  for (let i = 0; i < MR; i++) {
    for (let j = 0; j < nr<T>(); j++) {
      let sum = from[i * fromStride + j];
      for (let p = 0; p < k; p++) sum = maddScalar<T>(a[p * MR + i], b[p * nr<T>() + j], sum);
      expected[i * cStride + j] = sum;
    }
  }
  microkernel<T>(k, a.p, b.p, from.p, bytes<T>(fromStride), c.p, bytes<T>(cStride));
  expectSame<T>(`tile of k = ${k}`, c, expected);
  if (fromStride == nr<T>()) {
    const inPlace = from.copy();
    const dense = new Buffer<T>(MR * nr<T>());
    for (let i = 0; i < dense.length; i++) dense[i] = expected[(i / nr<T>()) * cStride + (i % nr<T>())];
    microkernel<T>(k, a.p, b.p, inPlace.p, bytes<T>(fromStride), inPlace.p, bytes<T>(fromStride));
    expectSame<T>(`tile of k = ${k} in place`, inPlace, dense);
  }
  expectIntact(`tile of k = ${k}`);
}

function tiles<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    tile<T>(SIZES[i], 0, nr<T>());
    tile<T>(SIZES[i], nr<T>(), nr<T>());
    tile<T>(SIZES[i], nr<T>(), nr<T>() + 1);
    tile<T>(SIZES[i], nr<T>() + 3, nr<T>() + 5);
  }
}

/** One row from four panels, which need not be in order. */
function row<T>(k: i32, aStride: i32): void {
  const a = new Buffer<T>((k - 1) * aStride + 1).fill(<T>NaN);
  const numbers = new Buffer<T>(k).randomize(1);
  for (let p = 0; p < k; p++) a[p * aStride] = numbers[p];
  a.freeze();
  const panels: Buffer<T>[] = [];
  for (let i = 0; i < 4; i++) panels.push(input<T>(k * nr<T>()));
  const from = input<T>(4 * nr<T>());
  const expected = new Buffer<T>(4 * nr<T>());
  for (let j = 0; j < expected.length; j++) {
    let sum = from[j];
    const panel = panels[j / nr<T>()];
    for (let p = 0; p < k; p++) sum = maddScalar<T>(numbers[p], panel[p * nr<T>() + (j % nr<T>())], sum);
    expected[j] = sum;
  }
  const c = output<T>(4 * nr<T>());
  const stride = bytes<T>(aStride);
  microkernelRow<T>(k, a.p, stride, panels[0].p, panels[1].p, panels[2].p, panels[3].p, from.p, c.p);
  expectSame<T>(`row of k = ${k}`, c, expected);
  const inPlace = from.copy();
  microkernelRow<T>(k, a.p, stride, panels[0].p, panels[1].p, panels[2].p, panels[3].p, inPlace.p, inPlace.p);
  expectSame<T>(`row of k = ${k} in place`, inPlace, expected);
  expectIntact(`row of k = ${k}`);
}

function rows<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    row<T>(SIZES[i], 1);
    row<T>(SIZES[i], 4);
  }
}

describe("microkernel", () => {
  test("tile f64", () => tiles<f64>());
  test("tile f32", () => tiles<f32>());
  test("row f64", () => rows<f64>());
  test("row f32", () => rows<f32>());
});
