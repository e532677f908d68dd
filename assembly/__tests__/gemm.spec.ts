// Matrix products, compared bit by bit with the plain triple loop that sums over k in ascending order.

import { bytes } from "../simd";
import { gemm, gemmPacked, OVERWRITE, packedBytes, packWeight, scratchBytes, setScratch } from "../gemm/gemm";
import { Buffer, endOfMemory, expectIntact, expectSame, fail, input, maddScalar, output, SIZES } from "./helpers";
import { COLUMNS, LAYOUTS, Matrix, PADDED, ROWS, SPREAD, TRANSPOSED } from "./matrix";
import { scratch } from "./scratch";

// The forms of `start`.
const ZEROS: i32 = 0;
const BIAS: i32 = 1;
const ITSELF: i32 = 2;

/** C before the call: NaN where it is overwritten, numbers where it is added to, and in the gaps between rows. */
function before<T>(m: i32, n: i32, ldc: i32, start: i32): Buffer<T> {
  const c = new Buffer<T>((m - 1) * ldc + n).randomize(1);
  if (start == ITSELF) return c;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) c[i * ldc + j] = <T>NaN;
  }
  return c;
}

function naive<T>(a: Matrix<T>, b: Matrix<T>, start: i32, bias: Buffer<T>, c: Buffer<T>, ldc: i32): void {
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.columns; j++) {
      let sum: T = start == ZEROS ? 0 : start == BIAS ? bias[j] : c[i * ldc + j];
      for (let p = 0; p < a.columns; p++) sum = maddScalar<T>(a.get(i, p), b.get(p, j), sum);
      c[i * ldc + j] = sum;
    }
  }
}

/** gemm and gemmPacked, compared with `naive`. */
function check<T>(a: Matrix<T>, b: Matrix<T>, start: i32, ldc: i32): Buffer<T> {
  const m = a.rows;
  const n = b.columns;
  const k = a.columns;
  const what = `${m} x ${n} x ${k}, start ${start}, ldc ${ldc}, strides ${a.columnStride} and ${b.columnStride}`;
  const bias = input<T>(n);
  const c = before<T>(m, n, ldc, start);
  const c2 = c.copy();
  const expected = c.copy();
  naive<T>(a, b, start, bias, expected, ldc);
  const ap = a.buffer.p;
  const bp = b.buffer.p;

  const from = start == ZEROS ? OVERWRITE : start == BIAS ? bias.p : c.p;
  gemm<T>(m, n, k, ap, a.rowStride, a.columnStride, bp, b.rowStride, b.columnStride, from, c.p, ldc);
  expectSame<T>(`gemm ${what}`, c, expected);

  const packed = output<T>(<i32>(packedBytes<T>(k, n) / sizeof<T>()));
  packWeight<T>(k, n, bp, b.rowStride, b.columnStride, packed.p);
  packed.freeze();
  const from2 = start == ITSELF ? c2.p : from;
  const rows = a.columnStride == 1 ? a : a.dense();
  gemmPacked<T>(m, n, k, rows.buffer.p, rows.rowStride, packed.p, from2, c2.p, ldc);
  expectSame<T>(`gemmPacked ${what}`, c2, expected);
  expectIntact(what);
  return expected;
}

function checkSize<T>(m: i32, n: i32, k: i32, aLayout: i32, bLayout: i32, start: i32, gap: i32): void {
  check<T>(new Matrix<T>(m, k, aLayout), new Matrix<T>(k, n, bLayout), start, n + gap);
}

/** Every m, n, k and start; layouts and gaps in turn. */
function oddSizes<T>(): void {
  let turn = 0;
  for (let m = 0; m < SIZES.length; m++) {
    for (let n = 0; n < SIZES.length; n++) {
      for (let k = 0; k < SIZES.length; k++) {
        for (let start = ZEROS; start <= ITSELF; start++) {
          const aLayout = turn % LAYOUTS;
          const bLayout = (turn / LAYOUTS) % LAYOUTS;
          checkSize<T>(SIZES[m], SIZES[n], SIZES[k], aLayout, bLayout, start, turn % 3);
          turn++;
        }
      }
    }
  }
}

/** A few sizes with both operands in every layout, every start, with and without gaps. */
function everything<T>(): void {
  const sizes: StaticArray<i32> = [1, 5, 3, 1, 33, 7, 2, 9, 5, 7, 17, 3, 8, 16, 4];
  for (let s = 0; s < sizes.length; s += 3) {
    for (let layouts = 0; layouts < LAYOUTS * LAYOUTS; layouts++) {
      for (let start = ZEROS; start <= ITSELF; start++) {
        for (let gap = 0; gap < 2; gap++) {
          checkSize<T>(sizes[s], sizes[s + 1], sizes[s + 2], layouts % LAYOUTS, layouts / LAYOUTS, start, gap);
        }
      }
    }
  }
}

/** Every number of rows up to one past the last block of m (72) and some more, for all mixtures of tiles. */
function rows<T>(): void {
  for (let m = 1; m <= 80; m++) checkSize<T>(m, 9, 3, m % LAYOUTS, ROWS, m % 3, m & 1);
  for (let m = 130; m <= 146; m++) checkSize<T>(m, 3, 2, COLUMNS, ROWS, m % 3, 0);
}

/** Sizes on both sides of the blocks of m (60, the last one 72), k (256) and n (512). */
function blocks<T>(): void {
  for (let start = ZEROS; start <= ITSELF; start++) {
    checkSize<T>(72, 3, 255, ROWS, ROWS, start, 0);
    checkSize<T>(60, 5, 256, ROWS, COLUMNS, start, 1);
    checkSize<T>(73, 7, 257, COLUMNS, ROWS, start, 0);
    checkSize<T>(130, 9, 2, ROWS, ROWS, start, 3);
    checkSize<T>(5, 511, 3, ROWS, COLUMNS, start, 0);
    checkSize<T>(2, 512, 17, COLUMNS, COLUMNS, start, 0);
    checkSize<T>(3, 513, 258, ROWS, PADDED, start, 2);
    checkSize<T>(1, 513, 513, ROWS, ROWS, start, 0);
    checkSize<T>(1, 1030, 5, COLUMNS, COLUMNS, start, 0);
    checkSize<T>(1, 7, 769, SPREAD, TRANSPOSED, start, 0);
    checkSize<T>(66, 515, 9, ROWS, SPREAD, start, 1);
  }
  checkSize<T>(67, 517, 259, ROWS, ROWS, ZEROS, 0);
}

/** NaN and infinities affect their row of A and column of B alone, whatever the padding and the neighbours. */
function specials<T>(): void {
  const values: T[] = [<T>NaN, <T>Infinity, <T>-Infinity];
  for (let m = 1; m <= 6; m++) {
    for (let n = 1; n <= 19; n += 3) {
      for (let v = 0; v < 3; v++) {
        const row = (m + v) % m;
        const column = (n * v + 1) % n;
        const a = new Matrix<T>(m, 5, ROWS);
        const b = new Matrix<T>(5, n, ROWS);
        a.set(row, v, values[v]);
        b.set(4 - v, column, values[(v + n) % 3]);
        const c = check<T>(a, b, m & 1 ? BIAS : ZEROS, n);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            const finite = i != row && j != column;
            if (isFinite(c[i * n + j]) != finite) fail(`${m} x ${n}: (${i}, ${j}) is ${c[i * n + j]}`);
          }
        }
      }
    }
  }
}

/** Products of which most are denormal, and sums that start from denormals. */
function denormals<T>(): void {
  const scale = sizeof<T>() == 8 ? 1e-160 : 1e-21;
  for (let m = 1; m <= 5; m += 2) {
    const c = check<T>(new Matrix<T>(m, 3, ROWS, scale), new Matrix<T>(3, 9, ROWS, scale), ZEROS, 9);
    let found = 0;
    for (let i = 0; i < c.length; i++) if (c[i] != 0 && abs<T>(c[i]) < <T>scale * <T>1e-16) found++;
    expect(found).toBeGreaterThan(0);
  }
}

/** Each operand in turn ends where the memory ends: an access past its end traps. */
function atEndOfMemory<T>(): void {
  for (let m = 1; m <= 5; m++) {
    for (let n = 1; n <= 20; n++) {
      const k = 3;
      const a = input<T>(m * k);
      const b = input<T>(k * n);
      const bias = input<T>(n);
      const c = output<T>(m * n);
      const last = output<T>(m * n);
      gemm<T>(m, n, k, a.p, k, 1, b.p, n, 1, bias.p, c.p, n);
      for (let operand = 0; operand < 4; operand++) {
        const original = operand == 0 ? a : operand == 1 ? b : operand == 2 ? bias : c;
        const size = bytes<T>(original.length);
        const end = endOfMemory(size);
        memory.copy(end, original.p, size);
        const ap = operand == 0 ? end : a.p;
        const bp = operand == 1 ? end : b.p;
        const biasP = operand == 2 ? end : bias.p;
        const cp = operand == 3 ? end : last.p;
        gemm<T>(m, n, k, ap, k, 1, bp, n, 1, biasP, cp, n);
        if (memory.compare(cp, c.p, bytes<T>(m * n)) != 0) fail(`operand ${operand} of ${m} x ${n} at the end`);
      }
      const packed = output<T>(<i32>(packedBytes<T>(k, n) / sizeof<T>()));
      packWeight<T>(k, n, b.p, n, 1, packed.p);
      const end = endOfMemory(packedBytes<T>(k, n));
      memory.copy(end, packed.p, packedBytes<T>(k, n));
      gemmPacked<T>(m, n, k, a.p, k, end, bias.p, last.p, n);
      expectSame<T>(`a packed operand of ${m} x ${n} at the end`, last, c);
      expectIntact("the end of memory");
    }
  }
}

/** No rows or no columns: nothing is written. */
function empty<T>(): void {
  const a = input<T>(15);
  const b = input<T>(15);
  const c = input<T>(15);
  gemm<T>(0, 3, 5, a.p, 5, 1, b.p, 3, 1, OVERWRITE, c.p, 3);
  gemm<T>(3, 0, 5, a.p, 5, 1, b.p, 3, 1, OVERWRITE, c.p, 3);
  gemm<T>(1, 0, 5, a.p, 5, 1, b.p, 3, 1, OVERWRITE, c.p, 3);
  gemmPacked<T>(0, 3, 5, a.p, 5, b.p, OVERWRITE, c.p, 3);
  gemmPacked<T>(1, 0, 5, a.p, 5, b.p, OVERWRITE, c.p, 3);
  expectIntact("an empty product");
}

/** Products write to the scratch that was set last, and nowhere else. */
function ownScratch(): void {
  const length = <i32>(scratchBytes() / 8);
  const before = output<f64>(length);
  setScratch(before.p, true);
  const a = new Matrix<f64>(67, 259, ROWS);
  const b = new Matrix<f64>(259, 517, ROWS);
  const c = output<f64>(67 * 517);
  gemm<f64>(67, 517, 259, a.buffer.p, 259, 1, b.buffer.p, 517, 1, OVERWRITE, c.p, 517);
  before.freeze();
  const after = output<f64>(length);
  setScratch(after.p, true);
  const again = output<f64>(67 * 517);
  gemm<f64>(67, 517, 259, a.buffer.p, 259, 1, b.buffer.p, 517, 1, OVERWRITE, again.p, 517);
  expectSame<f64>("a product in another scratch", again, c);
  expectSame<f64>("the contents of the scratch", after, before);
  expect(isNaN(after[0])).toBe(false);
  setScratch(scratch, true);
  expectIntact("a product in its own scratch");
}

/** Runs a test with tiles of 6 rows and without; the SIMD build has no others than those of 4. */
function inAllTiles(run: () => void): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    setScratch(scratch, false);
    run();
  }
  setScratch(scratch, true);
  run();
}

describe("gemm", () => {
  test("scratch of its own", () => ownScratch());
  test("rows f64", () => inAllTiles(() => rows<f64>()));
  test("rows f32", () => inAllTiles(() => rows<f32>()));
  test("odd sizes f64", () => inAllTiles(() => oddSizes<f64>()));
  test("odd sizes f32", () => inAllTiles(() => oddSizes<f32>()));
  test("every layout, start and gap f64", () => inAllTiles(() => everything<f64>()));
  test("every layout, start and gap f32", () => inAllTiles(() => everything<f32>()));
  test("blocks f64", () => inAllTiles(() => blocks<f64>()));
  test("blocks f32", () => inAllTiles(() => blocks<f32>()));
  test("NaN and infinities f64", () => inAllTiles(() => specials<f64>()));
  test("NaN and infinities f32", () => inAllTiles(() => specials<f32>()));
  test("denormals f64", () => inAllTiles(() => denormals<f64>()));
  test("denormals f32", () => inAllTiles(() => denormals<f32>()));
  test("at the end of memory f64", () => inAllTiles(() => atEndOfMemory<f64>()));
  test("at the end of memory f32", () => inAllTiles(() => atEndOfMemory<f32>()));
  test("empty f64", () => inAllTiles(() => empty<f64>()));
  test("empty f32", () => inAllTiles(() => empty<f32>()));
});
