// Lanes, partial loads and stores, multiply-add.

import { at, bytes, fillLanes, lanes, loadLanes, loadSplat, madd, nmadd, storeLanes, sumLanes } from "../simd";
import { bitsOf, Buffer, endOfMemory, expectIntact, expectSame, fail, given, input, output, random } from "./helpers";

function sizes<T>(): void {
  expect(lanes<T>()).toBe(16 / <i32>sizeof<T>());
  expect(bytes<T>(7)).toBe(7 * sizeof<T>());
  expect(at<T>(1000, 7)).toBe(1000 + 7 * sizeof<T>());
}

/** A load of n numbers fills the lanes past them with zeros; a store of n numbers writes no others. */
function partial<T>(): void {
  for (let n = 1; n <= lanes<T>() + 2; n++) {
    const x = input<T>(n);
    const count = min(n, lanes<T>());
    const loaded = output<T>(lanes<T>());
    v128.store(loaded.p, loadLanes<T>(x.p, n));
    for (let i = 0; i < lanes<T>(); i++) {
      const expected = i < count ? x[i] : <T>0;
      if (bitsOf<T>(loaded[i]) != bitsOf<T>(expected)) fail(`lane ${i} of ${n} is ${loaded[i]}, expected ${expected}`);
    }
    const stored = output<T>(n);
    const expected = output<T>(n);
    for (let i = 0; i < count; i++) expected[i] = loaded[i];
    storeLanes<T>(stored.p, v128.load(loaded.p), n);
    expectSame<T>(`storeLanes(${n})`, stored, expected);
    expectIntact(`lanes ${n}`);
  }
}

/** At the end of memory: an access past the numbers traps. */
function atEndOfMemory<T>(): void {
  for (let n = 1; n <= lanes<T>(); n++) {
    const end = endOfMemory(bytes<T>(n));
    storeLanes<T>(end, v128.splat<T>(<T>n), n);
    const v = loadLanes<T>(end, n);
    const sum = sumLanes<T>(v);
    if (sum != <T>(n * n)) fail(`${n} lanes at the end of memory sum up to ${sum}`);
  }
}

/** The first n lanes do not change, the others are filled. */
function fill<T>(): void {
  for (let n = 1; n <= lanes<T>() + 2; n++) {
    const x = input<T>(lanes<T>());
    const filled = output<T>(lanes<T>());
    v128.store(filled.p, fillLanes<T>(v128.load(x.p), 7, n));
    for (let i = 0; i < lanes<T>(); i++) {
      const expected = i < n ? x[i] : <T>7;
      if (filled[i] != expected) fail(`lane ${i} of ${n} is ${filled[i]}, expected ${expected}`);
    }
    expectIntact(`fillLanes ${n}`);
  }
}

function firstLane<T>(v: v128): T {
  const all = output<T>(lanes<T>());
  v128.store(all.p, v);
  expectIntact("first lane");
  return all[0];
}

function splat<T>(): void {
  const x = input<T>(1);
  const all = output<T>(lanes<T>());
  v128.store(all.p, loadSplat<T>(x.p));
  expectSame<T>("loadSplat", all, new Buffer<T>(lanes<T>()).fill(x[0]));
  expect(firstLane<T>(loadSplat<T>(x.p))).toBe(x[0]);
  expectIntact("splat");
}

/** ((0 + 2) + (1 + 3)) for f32: the order is part of the result's bits. */
function sum<T>(): void {
  for (let i = 0; i < 100; i++) {
    const x = input<T>(lanes<T>());
    let expected = x[0] + x[1];
    if (lanes<T>() == 4) expected = <T>(x[0] + x[2]) + <T>(x[1] + x[3]);
    expect(sumLanes<T>(v128.load(x.p))).toBe(expected);
  }
}

/** a b + c and c - a b where rounding twice makes a difference; only the relaxed build may be fused. */
function multiplyAdd<T>(): void {
  let fused = 0;
  let unfused = 0;
  for (let i = 0; i < 1000; i++) {
    const a = <T>random();
    const b = <T>random();
    const c = -(<T>(a * b)); // a b + c is the rounding error of a b, exactly representable
    const sum = firstLane<T>(madd<T>(v128.splat<T>(a), v128.splat<T>(b), v128.splat<T>(c)));
    const difference = firstLane<T>(nmadd<T>(v128.splat<T>(a), v128.splat<T>(b), v128.splat<T>(-c)));
    if (sum == 0) unfused++;
    else fused++;
    if (sum != -difference) fail(`${a} * ${b} + ${c} is ${sum}, and - ${difference}`);
    if (sum != 0) {
      const error = <T>(sizeof<T>() == 8 ? 1.2e-16 : 6e-8);
      if (!(abs<T>(sum) <= error)) fail(`${a} * ${b} + ${c} is ${sum}`);
    }
  }
  // A product that happens to be exact has no rounding error: a few zeros do not mean that nothing is fused.
  if (ASC_FEATURE_RELAXED_SIMD) expect(fused == 0 || unfused < 100).toBe(true);
  else expect(fused).toBe(0);
  const x = given<T>([2, 3, 5, 7]);
  expect(firstLane<T>(madd<T>(loadSplat<T>(x.p), loadSplat<T>(at<T>(x.p, 1)), loadSplat<T>(at<T>(x.p, 2))))).toBe(11);
  expect(firstLane<T>(nmadd<T>(loadSplat<T>(x.p), loadSplat<T>(at<T>(x.p, 1)), loadSplat<T>(at<T>(x.p, 3))))).toBe(1);
}

describe("simd", () => {
  test("sizes f64", () => sizes<f64>());
  test("sizes f32", () => sizes<f32>());
  test("partial loads and stores f64", () => partial<f64>());
  test("partial loads and stores f32", () => partial<f32>());
  test("at the end of memory f64", () => atEndOfMemory<f64>());
  test("at the end of memory f32", () => atEndOfMemory<f32>());
  test("fillLanes f64", () => fill<f64>());
  test("fillLanes f32", () => fill<f32>());
  test("splat and first lane f64", () => splat<f64>());
  test("splat and first lane f32", () => splat<f32>());
  test("sumLanes f64", () => sum<f64>());
  test("sumLanes f32", () => sum<f32>());
  test("madd and nmadd f64", () => multiplyAdd<f64>());
  test("madd and nmadd f32", () => multiplyAdd<f32>());
});
