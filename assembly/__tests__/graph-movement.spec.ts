// The graph module's strided copy and oneHot, against loops that compute each index from scratch.

import { convert, Move, move, moveAdd, oneHot } from "../graph/movement";
import { Buffer, expectIntact, expectSame, fail, input, output, SIZES, state } from "./helpers";

/** Copies a box of `axes`, [rank,4], and compares every number of the destination: those outside the box keep their value. */
function expectMoved<T>(what: string, axes: Buffer<i32>): void {
  axes.freeze();
  let count = 1;
  let fromSpan = 1;
  let toSpan = 1;
  for (let axis = 0; axis < axes.length; axis += 4) {
    count *= axes[axis];
    fromSpan += (axes[axis] - 1) * axes[axis + 1];
    toSpan += (axes[axis] - 1) * axes[axis + 2];
  }
  const from = input<T>(fromSpan);
  const to = output<T>(toSpan);
  const expected = to.copy();
  for (let i = 0; i < count; i++) {
    let rest = i;
    let source = 0;
    let target = 0;
    for (let axis = axes.length - 4; axis >= 0; axis -= 4) {
      source += (rest % axes[axis]) * axes[axis + 1];
      target += (rest % axes[axis]) * axes[axis + 2];
      rest /= axes[axis];
    }
    expected[target] = from[source];
  }
  const s = new Move();
  s.from = from.p;
  s.to = to.p;
  s.axes = axes.p;
  s.rank = axes.length / 4;
  move<T>(s);
  expectSame<T>(what, to, expected);
  expectIntact(what);
}

/** Adds a box of `axes`, [rank,4], to numbers that may repeat. */
function expectAdded<T>(what: string, axes: Buffer<i32>): void {
  axes.freeze();
  let fromSpan = 1;
  let toSpan = 1;
  for (let axis = 0; axis < axes.length; axis += 4) {
    fromSpan += (axes[axis] - 1) * axes[axis + 1];
    toSpan += (axes[axis] - 1) * axes[axis + 2];
  }
  const from = input<T>(fromSpan);
  const to = state<T>(toSpan);
  const expected = to.copy();
  const inner = axes.length - 4;
  const outer = axes.length > 4 ? axes[0] : 1;
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < axes[inner]; j++) {
      const target = (axes.length > 4 ? i * axes[2] : 0) + j * axes[inner + 2];
      expected[target] += from[(axes.length > 4 ? i * axes[1] : 0) + j * axes[inner + 1]];
    }
  }
  const s = new Move();
  s.from = from.p;
  s.to = to.p;
  s.axes = axes.p;
  s.rank = axes.length / 4;
  moveAdd<T>(s);
  expectSame<T>(what, to, expected);
  expectIntact(what);
}

function sums<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    for (let strides = 0; strides < 9; strides++) {
      const axes = new Buffer<i32>(4);
      axes[0] = SIZES[i];
      axes[1] = strides % 3;
      axes[2] = strides / 3; // 0 sums
      expectAdded<T>(`${axes[0]} numbers, strides ${axes[1]} and ${axes[2]}`, axes);
      const two = new Buffer<i32>(8); // rows of 3 or 5, summed where strides are 0
      for (let k = 0; k < 4; k++) two[k] = [SIZES[i], 5, strides % 3, 9][k];
      for (let k = 0; k < 4; k++) two[4 + k] = [3, 1, strides / 3, 9][k];
      expectAdded<T>(`${two[0]} rows, strides ${two[2]} and ${two[6]}`, two);
    }
  }
}

function conversions<T, From>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    const n = SIZES[i];
    const from = input<From>(n);
    const to = output<T>(n);
    const expected = new Buffer<T>(n);
    for (let k = 0; k < n; k++) expected[k] = <T>from[k];
    convert<T>(n, from.p, to.p);
    expectSame<T>(`convert [${n}]`, to, expected);
    expectIntact("convert");
  }
}

function boxes<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    const n = SIZES[i];
    for (let strides = 0; strides < 12; strides++) {
      const axes = new Buffer<i32>(4);
      axes[0] = n;
      axes[1] = strides & 3; // 0 repeats one number
      axes[2] = 1 + (strides >> 2);
      expectMoved<T>(`${n} numbers, strides ${axes[1]} and ${axes[2]}`, axes);
    }
    for (let j = 0; j < SIZES.length; j++) {
      const columns = SIZES[j];
      for (let gap = 0; gap < 2; gap++) {
        const transposed = new Buffer<i32>(8); // [n,columns] to [columns,n]
        const rows = new Buffer<i32>(8); // rows of a wider matrix, to rows of another
        for (let k = 0; k < 4; k++) transposed[k] = [columns, 1, n + gap, 9][k];
        for (let k = 0; k < 4; k++) transposed[4 + k] = [n, columns + gap, 1, 9][k];
        for (let k = 0; k < 4; k++) rows[k] = [n, columns + gap, columns + 3, 9][k];
        for (let k = 0; k < 4; k++) rows[4 + k] = [columns, 1, 1, 9][k];
        expectMoved<T>(`[${n},${columns}] transposed, gap ${gap}`, transposed);
        expectMoved<T>(`[${n},${columns}] in rows, gap ${gap}`, rows);
      }
    }
  }
  const axes = new Buffer<i32>(12);
  for (let k = 0; k < 12; k++) axes[k] = [3, 1, 35, 0, 5, 21, 7, 0, 7, 3, 1, 0][k]; // [5,7,3] to [3,5,7]
  expectMoved<T>("three axes", axes);
}

/** Bits that are no number move unchanged: i32 move as f32. */
function integers(): void {
  const bits: StaticArray<i32> = [-1, i32.MIN_VALUE, 0x7fa00001, 0x7f800001, 5, 0];
  for (let step = 1; step < 3; step++) {
    const from = new Buffer<i32>(12);
    const to = new Buffer<i32>(6);
    for (let i = 0; i < 6; i++) from[i * step] = bits[i];
    const axes = new Buffer<i32>(4);
    for (let k = 0; k < 4; k++) axes[k] = [6, step, 1, 0][k];
    const s = new Move();
    s.from = from.p;
    s.to = to.p;
    s.axes = axes.p;
    s.rank = 1;
    move<f32>(s);
    for (let i = 0; i < 6; i++) if (to[i] != bits[i]) fail(`${bits[i]} moved as ${to[i]}`);
    expectIntact("integers");
  }
}

function hot<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    for (let j = 0; j < SIZES.length; j++) {
      const n = SIZES[i];
      const depth = SIZES[j];
      const indices = new Buffer<i32>(n);
      for (let k = 0; k < n; k++) indices[k] = (k * 3 + 1) % depth;
      indices.freeze();
      const out = output<T>(n * depth);
      oneHot<T>(n, depth, indices.p, out.p);
      const expected = new Buffer<T>(n * depth).fill(0);
      for (let k = 0; k < n; k++) expected[k * depth + indices[k]] = 1;
      expectSame<T>(`oneHot [${n},${depth}]`, out, expected);
      expectIntact("oneHot");
    }
  }
}

describe("graph: movement", () => {
  test("boxes f64", () => boxes<f64>());
  test("boxes f32", () => boxes<f32>());
  test("sums f64", () => sums<f64>());
  test("sums f32", () => sums<f32>());
  test("convert f64", () => conversions<f64, f32>());
  test("convert f32", () => conversions<f32, f64>());
  test("integers", () => integers());
  test("oneHot f64", () => hot<f64>());
  test("oneHot f32", () => hot<f32>());
});
