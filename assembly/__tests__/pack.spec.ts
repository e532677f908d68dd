// Packing, from all layouts.

import { bytes, lanes } from "../simd";
import { nr } from "../gemm/microkernel";
import { packedBytes, packWeight } from "../gemm/gemm";
import { pack } from "../gemm/pack";
import { endOfMemory, expectIntact, expectSame, output, SIZES, state } from "./helpers";
import { LAYOUTS, Matrix, ROWS } from "./matrix";

/** Panels of `width` columns, with gaps of `gap` numbers between them. */
function check<T>(k: i32, n: i32, layout: i32, width: i32, gap: i32): void {
  const m = new Matrix<T>(k, n, layout);
  const panels = (n + width - 1) / width;
  const stride = k * width + gap;
  const packed = state<T>((panels - 1) * stride + k * width);
  const expected = packed.copy(); // gaps between panels do not change
  for (let panel = 0; panel < panels; panel++) {
    for (let p = 0; p < k; p++) {
      for (let j = 0; j < width; j++) {
        const column = panel * width + j;
        expected[panel * stride + p * width + j] = column < n ? m.get(p, column) : <T>0;
      }
    }
  }
  pack<T>(k, n, m.buffer.p, m.rowStride, m.columnStride, width, packed.p, bytes<T>(stride));
  const what = `pack ${k} x ${n}, layout ${layout}, width ${width}`;
  expectSame<T>(what, packed, expected);
  expectIntact(what);
}

function layouts<T>(): void {
  const widths: i32[] = [lanes<T>(), 4, 6, nr<T>(), 3 * lanes<T>()];
  for (let w = 0; w < widths.length; w++) {
    for (let layout = ROWS; layout < LAYOUTS; layout++) {
      for (let i = 0; i < SIZES.length; i++) {
        for (let j = 0; j < SIZES.length; j++) check<T>(SIZES[i], SIZES[j], layout, widths[w], (i + j) % 3);
      }
      check<T>(8, 16, layout, widths[w], 0);
      check<T>(3, 20 * widths[w], layout, widths[w], 1); // more panels than are written side by side
    }
  }
}

/** packWeight is pack in panels of NR without gaps, in exactly packedBytes. */
function weights<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    for (let j = 0; j < SIZES.length + 2; j++) {
      const k = SIZES[i];
      const n = j < SIZES.length ? SIZES[j] : (j - SIZES.length + 1) * nr<T>(); // also one and two whole panels
      for (let layout = ROWS; layout < LAYOUTS; layout++) {
        const b = new Matrix<T>(k, n, layout);
        const length = ((n + nr<T>() - 1) / nr<T>()) * nr<T>() * k;
        expect(packedBytes<T>(k, n)).toBe(bytes<T>(length));
        const expected = output<T>(length);
        pack<T>(k, n, b.buffer.p, b.rowStride, b.columnStride, nr<T>(), expected.p, bytes<T>(k * nr<T>()));
        const packed = output<T>(length);
        packWeight<T>(k, n, b.buffer.p, b.rowStride, b.columnStride, packed.p);
        expectSame<T>(`packWeight ${k} x ${n}`, packed, expected);
        expectIntact(`packWeight ${k} x ${n}`);
      }
    }
  }
}

/** The source ends where the memory ends: an access past its end traps. */
function atEndOfMemory<T>(): void {
  for (let layout = ROWS; layout < LAYOUTS; layout++) {
    for (let n = 1; n <= 2 * nr<T>() + 1; n++) {
      const m = new Matrix<T>(7, n, layout);
      const size = bytes<T>(m.buffer.length);
      const packed = output<T>(7 * (n + nr<T>()));
      const end = endOfMemory(size);
      memory.copy(end, m.buffer.p, size);
      pack<T>(7, n, end, m.rowStride, m.columnStride, nr<T>(), packed.p, bytes<T>(7 * nr<T>()));
    }
  }
  expectIntact("the end of memory");
}

describe("pack", () => {
  test("all layouts f64", () => layouts<f64>());
  test("all layouts f32", () => layouts<f32>());
  test("weights f64", () => weights<f64>());
  test("weights f32", () => weights<f32>());
  test("at the end of memory f64", () => atEndOfMemory<f64>());
  test("at the end of memory f32", () => atEndOfMemory<f32>());
});
