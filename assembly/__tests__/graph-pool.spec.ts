// The graph module's pooling by tables of windows, against scalar loops.

import { PoolWindows, poolIndices, poolMax, poolMean } from "../graph/pool";
import { Buffer, expectIntact, expectSame, input, output, SIZES } from "./helpers";

/** Windows of 2 x 3 with a step of `stride`, over planes of rows x columns with a border of one. */
function check<T>(planes: i32, rows: i32, columns: i32, stride: i32, columnMajor: bool): void {
  const what = `${planes} planes of ${rows} x ${columns}, stride ${stride}`;
  const size = <i32>sizeof<T>();
  const width = columns + 2;
  const plane = (rows + 2) * width;
  const down = rows / stride + 1;
  const across = (columns - 1) / stride + 1;
  const s = new PoolWindows();
  s.planes = planes;
  s.xPlane = plane;
  s.taps = 6;
  const offsets = new Buffer<i32>(6);
  for (let t = 0; t < 6; t++) offsets[t] = size * ((t / 3) * width + (t % 3));
  s.count = down * across;
  const positions = new Buffer<i32>(s.count);
  for (let i = 0; i < s.count; i++) positions[i] = size * stride * ((i / across) * width + (i % across));
  offsets.freeze();
  positions.freeze();
  s.offsets = offsets.p;
  s.positions = positions.p;
  s.rows = rows;
  s.columns = columns;
  s.columnMajor = columnMajor;
  s.top = 1;
  s.left = 1;
  s.paddedRow = width;
  const numbers = input<T>(planes * rows * columns);
  const divisors = input<T>(s.count);
  s.divisors = divisors.p;
  for (let mean = 0; mean < 2; mean++) {
    const x = new Buffer<T>(planes * plane).fill(<T>(mean ? 0 : -Infinity));
    const y = output<T>(planes * s.count);
    const expected = output<T>(y.length);
    const indices = new Buffer<i32>(y.length);
    const expectedIndices = new Buffer<i32>(y.length).fill(0);
    for (let p = 0; p < planes; p++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const v = numbers[(p * rows + i) * columns + j];
          // Ties, and a NaN.
          x[p * plane + (i + 1) * width + j + 1] = mean || i + j > 0 ? (j % 4 == 1 ? <T>0.5 : v) : <T>NaN;
        }
      }
    }
    x.freeze();
    s.x = x.p;
    s.y = y.p;
    s.indices = indices.p;
    if (mean) poolMean<T>(s);
    else poolMax<T>(s);
    y.freeze();
    if (!mean) poolIndices<T>(s);
    for (let p = 0; p < planes; p++) {
      for (let i = 0; i < s.count; i++) {
        let result: T = mean ? 0 : -Infinity;
        let index = 0;
        for (let t = 0; t < 6; t++) {
          const row = (i / across) * stride + t / 3;
          const column = (i % across) * stride + (t % 3);
          const v = x[p * plane + row * width + column];
          if (mean) result += v;
          else if (v > result || (v != v && result == result)) {
            result = v;
            index = columnMajor ? (column - 1) * rows + row - 1 : (row - 1) * columns + column - 1;
          }
        }
        expected[p * s.count + i] = mean ? result / divisors[i] : result;
        expectedIndices[p * s.count + i] = p * rows * columns + index;
      }
    }
    expectSame<T>(what, y, expected);
    if (!mean) expectSame<i32>(what, indices, expectedIndices);
  }
  expectIntact(what);
}

function sizes<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b++) check<T>(1 + (a % 3), SIZES[a], SIZES[b], 1 + (b % 2), a % 2 == 1);
  }
}

describe("graph: pooling", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
});
