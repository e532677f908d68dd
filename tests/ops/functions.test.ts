// The functions of wasm-rnn/ops on plain tensors: values against loops that compute each index from scratch, NumPy's semantics,
// bits, and what is refused. Gradients are in derivatives.test.ts, recorded-ops.test.ts and ops-pytorch.test.ts.
import { afterEach, describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import {
  Dropout,
  DtypeError,
  Linear,
  Random,
  ShapeError,
  softmax,
  logSoftmax,
  tensor,
  ValueError,
  type Tensor,
} from "../../src/index.js";
import * as ops from "../../src/ops.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { indexOf } from "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Shape = readonly number[];
type Float = "f64" | "f32";

const sizeOf = (shape: Shape) => shape.reduce((size, n) => size * n, 1);

/** The tensor of a shape whose number at an index is `value(index)`. */
function build(shape: Shape, dtype: Float | "i32", value: (index: number[]) => number): Tensor {
  const numbers = Array.from({ length: sizeOf(shape) }, (_, i) => value(indexOf(i, shape)));
  const arrays = { f64: Float64Array, f32: Float32Array, i32: Int32Array };
  return { data: arrays[dtype].from(numbers), shape: [...shape] };
}

/** The number at an index of a tensor, which may be one of a larger shape to which it broadcasts. */
function at({ data, shape }: Tensor, index: readonly number[]): number {
  const own = index.slice(index.length - shape.length);
  return data[shape.reduce((flat, n, axis) => flat * n + (n === 1 ? 0 : own[axis]!), 0)]!;
}

/** NumPy's rule, for shapes that broadcast. */
function broadcast(...shapes: Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const lengths = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return lengths.find((n) => n !== 1) ?? 1;
  });
}

const arithmetic = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
};

/** Each axis of [2, 3, 5] as it is, of length 1, or (in front) missing. */
const PARTS: Shape[] = [[]];
for (const lengths of [[2, 3, 5], [3, 5], [5]]) {
  for (let ones = 0; ones < 1 << lengths.length; ones++) {
    PARTS.push(lengths.map((n, axis) => (ones & (1 << axis) ? 1 : n)));
  }
}
const ODD: Shape[] = [[], [1], [2], [3], [5], [7], [17], [33], [3, 5], [1, 7, 1], [0], [3, 0, 2], [2, 3, 17]];

afterEach(() => expect(currentCore().heap.bytesUsed).toBe(0));

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("values %s", (dtype) => {
    const rounded = (value: number) => (dtype === "f64" ? value : Math.fround(value));

    test.each(Object.entries(arithmetic))("%s broadcasts like NumPy, whatever the axes", (name, f) => {
      for (const left of PARTS) {
        for (const right of PARTS) {
          const [a, b] = [wave(left, dtype), wave(right, dtype, 4)];
          const shape = broadcast(left, right);
          const expected = build(shape, dtype, (index) => rounded(f(at(a, index), at(b, index))));
          expect(ops[name as "add"](a, b)).toHaveBits(expected);
        }
      }
      for (const [left, right] of [
        [[0], [1]],
        [
          [3, 0],
          [3, 1],
        ],
        [[0, 3], [3]],
        [
          [2, 1],
          [2, 0],
        ],
      ] as [Shape, Shape][]) {
        const result = ops[name as "add"](wave(left, dtype), wave(right, dtype));
        expect(result).toHaveBits(build(broadcast(left, right), dtype, () => 0));
      }
    });

    test.each(Object.entries(arithmetic))("%s takes a number on either side", (name, f) => {
      for (const shape of ODD) {
        const x = wave(shape, dtype);
        const number = rounded(0.1);
        const left = ops[name as "add"](0.1, x);
        expect(left).toHaveBits(build(shape, dtype, (index) => rounded(f(number, at(x, index)))));
        const right = ops[name as "add"](x, 0.1);
        expect(right).toHaveBits(build(shape, dtype, (index) => rounded(f(at(x, index), number))));
      }
    });

    test("functions of one operand", () => {
      const exact = { neg: (x: number) => -x, sqrt: Math.sqrt, relu: (x: number) => Math.max(x, 0) };
      const near = {
        exp: Math.exp,
        log: Math.log,
        tanh: Math.tanh,
        sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
      };
      for (const shape of ODD) {
        const x = wave(shape, dtype);
        const positive = build(shape, dtype, (index) => 1.5 + at(x, index));
        for (const [name, f] of Object.entries(exact)) {
          const given = name === "sqrt" ? positive : x;
          expect(ops[name as "neg"](given)).toHaveBits(build(shape, dtype, (index) => rounded(f(at(given, index)))));
        }
        for (const [name, f] of Object.entries(near)) {
          const given = name === "log" ? positive : x;
          const expected = build(shape, dtype, (index) => f(at(given, index)));
          const ulp = dtype === "f64" ? 2 ** -52 : 2 ** -23;
          expect(ops[name as "exp"](given)).toBeAllClose(expected, { rtol: 3 * ulp, atol: ulp / 4 });
        }
      }
    });

    test("NaN, infinities and zeros", () => {
      const x = tensor([NaN, Infinity, -Infinity, 0, -0, -1], undefined, dtype);
      const results = (f: (x: Tensor) => Tensor) => Array.from(f(x).data);
      expect(results(ops.neg)).toEqual([NaN, -Infinity, Infinity, -0, 0, 1]);
      expect(results(ops.log)).toEqual([NaN, Infinity, NaN, -Infinity, -Infinity, NaN]);
      expect(results(ops.sqrt)).toEqual([NaN, Infinity, NaN, 0, -0, NaN]);
      expect(results(ops.exp).slice(0, 5)).toEqual([NaN, Infinity, 0, 1, 1]);
      expect(results(ops.tanh).slice(0, 5)).toEqual([NaN, 1, -1, 0, -0]);
      expect(results(ops.sigmoid).slice(0, 5)).toEqual([NaN, 1, 0, 0.5, 0.5]);
      expect(results(ops.relu).map((y) => y + 0)).toEqual([NaN, Infinity, 0, 0, 0, 0]);
      expect(Array.from(ops.div(x, 0).data)).toEqual([NaN, Infinity, -Infinity, NaN, NaN, -Infinity]);
    });

    test("where: any number but 0 means yes", () => {
      for (const shape of PARTS) {
        for (const left of PARTS.filter((_, i) => i % 3 === 0)) {
          for (const right of PARTS.filter((_, i) => i % 2 === 0)) {
            const condition = build(
              shape,
              "i32",
              (index) => [0, 1, -5, 0, 2 ** 31 - 1][index.reduce((s, i) => s + i, 0) % 5]!,
            );
            const [a, b] = [wave(left, dtype), wave(right, dtype, 3)];
            const expected = build(broadcast(shape, left, right), dtype, (index) =>
              at(condition, index) !== 0 ? at(a, index) : at(b, index),
            );
            expect(ops.where(condition, a, b)).toHaveBits(expected);
          }
        }
      }
      const condition = tensor([1, 0, 1], undefined, "i32");
      const x = tensor([NaN, 2, 3], undefined, dtype);
      expect(Array.from(ops.where(condition, 7, x).data)).toEqual([7, 2, 7]);
      expect(Array.from(ops.where(condition, x, -7).data)).toEqual([NaN, -7, 3]);
    });

    test("sum, mean and max over every axis", () => {
      for (const shape of [[], [1], [7], [33], [3, 5], [17, 1], [2, 3, 17], [5, 2, 3, 2]]) {
        const x = wave(shape, dtype);
        for (const axis of [undefined, ...shape.keys(), ...shape.map((_, i) => i - shape.length)]) {
          for (const keepDims of [false, true]) {
            const own = axis === undefined ? undefined : (axis + shape.length) % shape.length;
            const kept = shape.map((n, i) => (own === undefined || i === own ? 1 : n));
            const out = keepDims ? kept : shape.filter((_, i) => own !== undefined && i !== own);
            const rows = new Map<number, number[]>();
            Array.from(x.data).forEach((value, i) => {
              const index = indexOf(i, shape).map((j, k) => (kept[k] === 1 ? 0 : j));
              const row = index.reduce((flat, j, k) => flat * kept[k]! + j, 0);
              rows.set(row, [...(rows.get(row) ?? []), value]);
            });
            const reduce = (f: (row: number[]) => number) =>
              ({ data: [...rows.values()].map(f), shape: out }) as unknown as Tensor;
            const sum = (row: number[]) => row.reduce((total, value) => total + value, 0);
            const tolerance = { rtol: dtype === "f64" ? 1e-14 : 1e-5, atol: dtype === "f64" ? 1e-14 : 1e-6 };
            expect(ops.sum(x, axis, keepDims)).toBeAllClose(reduce(sum), tolerance);
            expect(ops.mean(x, axis, keepDims)).toBeAllClose(
              reduce((row) => sum(row) / row.length),
              tolerance,
            );
            expect(ops.max(x, axis, keepDims)).toBeAllClose(reduce((row) => Math.max(...row)));
          }
        }
      }
    });

    test("reductions of nothing: sums are 0, means NaN, a maximum is refused unless there is none", () => {
      const none = wave([3, 0], dtype);
      expect(ops.sum(none)).toHaveBits(build([], dtype, () => 0));
      expect(ops.sum(none, 1)).toHaveBits(build([3], dtype, () => 0));
      expect(ops.sum(none, 0)).toHaveBits(build([0], dtype, () => 0));
      expect(Array.from(ops.mean(none, 1).data)).toEqual([NaN, NaN, NaN]);
      expect(ops.max(none, 0)).toHaveBits(build([0], dtype, () => 0));
      refuses(() => ops.max(none), ShapeError, "x", "[3, 0]");
      refuses(() => ops.max(none, 1), ShapeError, "x", "[3, 0]");
      expect(Array.from(ops.max(tensor([[1, NaN], [2, 3]], undefined, dtype), 1).data)).toEqual([NaN, 3]); // prettier-ignore
    });

    test("the bits of a sum depend on its numbers alone: not on the axis, the batch or what lies beside it", () => {
      for (const n of [1, 2, 3, 4, 5, 7, 8, 17, 33, 100]) {
        const x = wave([n, 3], dtype); // sequences of n steps, side by side
        const columns = ops.transpose(x);
        for (const f of [ops.sum, ops.mean]) {
          const together = f(x, 0);
          expect(f(columns, 1)).toHaveBits(together);
          for (let j = 0; j < 3; j++) {
            const alone = ops.slice(x, 1, j, j + 1);
            expect(f(alone, 0)).toHaveBits(ops.slice(together, 0, j, j + 1));
            expect(f(alone)).toHaveBits(ops.select(together, 0, j));
          }
        }
      }
    });

    test("a product has the bits of Linear, and those of its matrices one by one", () => {
      for (const [m, k, n] of [
        [1, 1, 1],
        [3, 5, 7],
        [17, 33, 5],
        [2, 300, 9],
        [65, 7, 33],
      ] as const) {
        using linear = new Linear(k, n, { bias: false, dtype, seed: 1 });
        const x = wave([2, m, k], dtype);
        const weight = ops.transpose(linear.parameters()[0]!.value);
        const { output } = linear.forward(x);
        expect(ops.matmul(x, weight)).toHaveBits(output);
        const stacked = ops.stack([weight, weight], 0);
        expect(ops.matmul(x, stacked)).toHaveBits(output);
        expect(ops.matmul(ops.select(x, 0, 1), weight)).toHaveBits(ops.select(output, 0, 1));
        expect(ops.matmul(ops.slice(x, 1, 0, 1), weight)).toHaveBits(ops.slice(output, 1, 0, 1));
      }
    });

    test("matmul broadcasts stacks; over k = 0 it is 0", () => {
      for (const [left, right] of [
        [
          [2, 3, 5],
          [2, 5, 2],
        ],
        [
          [3, 5],
          [4, 5, 2],
        ],
        [
          [4, 1, 3, 5],
          [2, 5, 2],
        ],
        [
          [2, 2, 3, 5],
          [5, 2],
        ],
      ] as [Shape, Shape][]) {
        const [a, b] = [wave(left, dtype), wave(right, dtype, 2)];
        const shape = [...broadcast(left.slice(0, -2), right.slice(0, -2)), left.at(-2)!, right.at(-1)!];
        const expected = build(shape, dtype, (index) => {
          const [row, column] = index.slice(-2) as [number, number];
          const stack = index.slice(0, -2);
          let sum = 0;
          for (let k = 0; k < 5; k++) {
            const own = (x: Tensor, i: number, j: number) => {
              const outer: Tensor = { data: x.data, shape: x.shape.slice(0, -2) };
              const first = outer.shape.reduce((flat, n, axis) => {
                const at = stack[stack.length - outer.shape.length + axis]!;
                return flat * n + (n === 1 ? 0 : at);
              }, 0);
              return x.data[(first * x.shape.at(-2)! + i) * x.shape.at(-1)! + j]!;
            };
            sum += own(a, row, k) * own(b, k, column);
          }
          return sum;
        });
        expect(ops.matmul(a, b)).toBeAllClose(expected, { atol: dtype === "f64" ? 1e-14 : 1e-6 });
      }
      expect(ops.matmul(wave([2, 3, 0], dtype), wave([0, 4], dtype))).toHaveBits(build([2, 3, 4], dtype, () => 0));
      expect(ops.matmul(wave([0, 3], dtype), wave([3, 4], dtype))).toHaveBits(build([0, 4], dtype, () => 0));
    });

    test("softmax and logSoftmax are those of the main entry point", () => {
      expect(ops.softmax).toBe(softmax);
      expect(ops.logSoftmax).toBe(logSoftmax);
      for (const shape of [[1], [7], [3, 5], [2, 3, 33], [0, 3], [3, 0]]) {
        const x = wave(shape, dtype);
        const e = ops.exp(x);
        const rows = ops.sum(e, -1, true);
        const atol = dtype === "f64" ? 1e-14 : 1e-5;
        expect(softmax(x)).toBeAllClose(ops.div(e, rows), { atol });
        expect(logSoftmax(x)).toBeAllClose(ops.sub(x, ops.log(rows)), { atol });
      }
    });

    test("dropout has the masks of the layer, and draws as it does", () => {
      for (const p of [0, 0.3, 1]) {
        const x = wave([3, 17], dtype);
        using layer = new Dropout(p, { dtype, seed: 7 });
        const random = new Random(7);
        expect(ops.dropout(x, p, random)).toHaveBits(layer.forward(x).output);
        expect(random.state).toEqual(layer.random.state);
      }
      refuses(() => ops.dropout(wave([3], dtype), 1.5, new Random(1)), ValueError, "p");
      refuses(() => ops.dropout(wave([3], dtype), 0.5, {} as Random), ValueError, "random");
    });

    test("oneHot", () => {
      const indices = tensor([[0, 2], [1, 2]], undefined, "i32"); // prettier-ignore
      const expected = build([2, 2, 3], dtype, ([i, j, k]) => Number(indices.data[2 * i! + j!] === k));
      expect(ops.oneHot(indices, 3, dtype)).toHaveBits(expected);
      expect(ops.oneHot(tensor(1, [], "i32"), 2, dtype)).toHaveBits(tensor([0, 1], undefined, dtype));
      expect(ops.oneHot(tensor([], [0, 2], "i32"), 5, dtype)).toHaveBits(build([0, 2, 5], dtype, () => 0));
    });
  });

  describe.each(["f64", "f32", "i32"] as const)("movement of %s", (dtype) => {
    /** The numbers 1, 2, 3 ... */
    const count = (shape: Shape) => {
      let next = 0;
      return build(shape, dtype, () => ++next);
    };

    test("transpose", () => {
      for (const [shape, axes] of [
        [[], undefined],
        [[5], undefined],
        [[3, 5], undefined],
        [
          [3, 5],
          [0, 1],
        ],
        [
          [17, 33],
          [1, 0],
        ],
        [[2, 3, 5], undefined],
        [
          [2, 3, 5],
          [0, 2, 1],
        ],
        [
          [2, 3, 5],
          [1, 0, 2],
        ],
        [
          [2, 3, 5],
          [-1, 0, -2],
        ],
        [
          [2, 3, 5, 7],
          [0, 2, 1, 3],
        ],
        [
          [3, 0, 5],
          [2, 0, 1],
        ],
      ] as [Shape, number[] | undefined][]) {
        const x = count(shape);
        const order = axes?.map((axis) => (axis + shape.length) % shape.length) ?? [...shape.keys()].reverse();
        const expected = build(order.map((axis) => shape[axis]!), dtype, (index) =>
          at(x, shape.map((_, axis) => index[order.indexOf(axis)]!)),
        ); // prettier-ignore
        expect(ops.transpose(x, axes)).toHaveBits(expected);
      }
    });

    test("reshape: one length may be left open", () => {
      const x = count([2, 3, 5]);
      for (const shape of [[30], [5, 6], [-1], [2, -1], [-1, 1, 10], [1, 2, 3, 5]]) {
        const open = sizeOf(shape) < 0 ? -30 / sizeOf(shape) : 1;
        expect(ops.reshape(x, shape)).toHaveBits({ data: x.data, shape: shape.map((n) => (n === -1 ? open : n)) });
      }
      expect(ops.reshape(count([1]), [])).toHaveBits(count([]));
      expect(ops.reshape(count([0, 3]), [5, 0])).toHaveBits(count([5, 0]));
      expect(ops.reshape(count([0, 3]), [-1, 3])).toHaveBits(count([0, 3]));
    });

    test("concat and slice undo each other on every axis", () => {
      const whole = count([4, 5, 6]);
      for (const axis of [0, 1, 2, -1, -2, -3]) {
        const n = whole.shape.at(axis < 0 ? axis : axis - 3)!;
        const parts = [[0, 1], [1, 1], [1, -1], [-1, n]].map(([start, end]) => ops.slice(whole, axis, start!, end!)); // prettier-ignore
        expect(parts.map(({ shape }) => shape.at(axis < 0 ? axis : axis - 3))).toEqual([1, 0, n - 2, 1]);
        expect(ops.concat(parts, axis)).toHaveBits(whole);
        expect(ops.concat([whole], axis)).toHaveBits(whole);
      }
      const part = ops.slice(whole, 1, 2, 4);
      expect(part).toHaveBits(build([4, 2, 6], dtype, ([i, j, k]) => at(whole, [i!, j! + 2, k!])));
    });

    test("stack and select undo each other on every axis", () => {
      const parts = [count([3, 4]), ops.reshape(count([4, 3]), [3, 4]), ops.transpose(count([4, 3]))];
      for (const axis of [0, 1, 2, -1, -2, -3]) {
        const stacked = ops.stack(parts, axis);
        expect(stacked.shape.at(axis < 0 ? axis : axis - 3)).toBe(3);
        parts.forEach((part, i) => {
          expect(ops.select(stacked, axis, i)).toHaveBits(part);
          expect(ops.select(stacked, axis, i - 3)).toHaveBits(part);
        });
      }
      expect(ops.stack([count([]), count([])], 0)).toHaveBits(build([2], dtype, () => 1));
      expect(ops.select(count([3]), 0, 2)).toHaveBits(build([], dtype, () => 3));
    });
  });

  test("results belong to the caller: no other call and no argument shares their memory", () => {
    using linear = new Linear(3, 2, { seed: 1 });
    const { value } = linear.parameters()[0]!;
    const before = value.data.slice();
    for (const copy of [ops.reshape(value, [6]), ops.transpose(value), ops.slice(value, 0, 0, 2), ops.add(value, 0)]) {
      expect(copy.data.buffer).not.toBe(value.data.buffer);
      copy.data.fill(9);
    }
    expect(value.data).toEqual(before);
  });

  test("live views are read before memory grows", () => {
    using linear = new Linear(300, 200, { seed: 1 });
    const { value } = linear.parameters()[0]!;
    const copy = { data: value.data.slice(), shape: value.shape };
    const large = tensor(new Float64Array(100 * 200 * 300), [100, 200, 300]); // 48 MB
    expect(ops.select(ops.add(large, value), 0, 7)).toHaveBits(copy);
    expect(ops.concat([value, value], 0)).toHaveBits(ops.concat([copy, copy], 0));
  });
});

describe("refused", () => {
  const x = wave([2, 3], "f64");
  const f32 = wave([2, 3], "f32");
  const i32 = tensor([[0, 1, 2]], undefined, "i32");
  const any = (value: unknown) => value as never;

  test("what is no tensor of f64 or f32", () => {
    for (const name of [
      "neg",
      "exp",
      "log",
      "sqrt",
      "tanh",
      "sigmoid",
      "relu",
      "softmax",
      "logSoftmax",
      "sum",
      "mean",
      "max",
    ] as const) {
      // prettier-ignore
      refuses(() => ops[name](any(i32)), DtypeError, "x", "i32");
      refuses(() => ops[name](any(5)), DtypeError, "x", "5");
      refuses(() => ops[name](any(undefined)), DtypeError, "x", "undefined");
    }
    for (const name of ["add", "sub", "mul", "div", "matmul"] as const) {
      refuses(() => ops[name](i32, i32), DtypeError, "a", "i32");
      refuses(() => ops[name](x, any(f32)), DtypeError, "b", "f32", "f64");
      refuses(() => ops[name](x, any(i32)), DtypeError, "b", "i32", "f64");
      refuses(() => ops[name](x, any("2")), DtypeError, "b");
    }
    refuses(() => ops.add(1, 2), DtypeError, "b", "a is a number");
    refuses(() => ops.add(i32, 1), DtypeError, "a", "i32");
    refuses(() => ops.matmul(x, any(2)), DtypeError, "b");
    refuses(() => ops.where(any(x), x, x), DtypeError, "condition", "f64", "i32");
    refuses(() => ops.where(i32, x, any(f32)), DtypeError, "b", "f32");
    refuses(() => ops.where(i32, 1, 2), DtypeError, "b");
    refuses(() => ops.dropout(i32, 0.5, new Random(1)), DtypeError, "x", "i32");
    refuses(() => ops.concat([x, any(f32)], 0), DtypeError, "tensors[1]", "f32", "f64");
    refuses(() => ops.stack([x, any(i32)], 0), DtypeError, "tensors[1]", "i32", "f64");
    refuses(() => ops.concat([x, any(5)], 0), DtypeError, "tensors[1]", "5");
    refuses(() => ops.oneHot(x, 3), DtypeError, "indices", "f64", "i32");
  });

  test("shapes that do not fit", () => {
    for (const name of ["add", "sub", "mul", "div"] as const) {
      refuses(() => ops[name](x, wave([2], "f64")), ShapeError, "b", "[2]", "broadcasts with [2, 3]");
    }
    refuses(() => ops.where(tensor([1, 1], undefined, "i32"), x, 0), ShapeError, "condition", "[2]");
    refuses(() => ops.where(i32, x, wave([2], "f64")), ShapeError, "b", "[2]");
    refuses(() => ops.matmul(x, x), ShapeError, "b", "[2, 3]", "3 rows");
    refuses(() => ops.matmul(wave([3], "f64"), x), ShapeError, "a", "[3]", "two axes");
    refuses(() => ops.matmul(x, wave([3], "f64")), ShapeError, "b", "[3]", "two axes");
    refuses(() => ops.matmul(wave([2, 1, 3], "f64"), wave([3, 3, 1], "f64")), ShapeError, "b", "[3]");
    refuses(() => ops.softmax(wave([], "f64")), ShapeError, "x", "[]");
    refuses(() => ops.reshape(x, [4]), ShapeError, "shape", "[4]", "6 numbers");
    refuses(() => ops.reshape(x, [4, -1]), ShapeError, "shape", "[4, -1]");
    refuses(() => ops.reshape(x, [-1, -1]), ShapeError, "shape");
    refuses(() => ops.reshape(x, [2.5, -1]), ShapeError, "shape");
    refuses(() => ops.reshape(wave([0], "f64"), [0, -1]), ShapeError, "shape");
    refuses(() => ops.reshape(x, any(6)), ValueError, "shape");
    refuses(() => ops.concat([x, wave([2, 4], "f64")], 0), ShapeError, "tensors[1]", "[2, 4]", "[any, 3]");
    refuses(() => ops.concat([x, wave([2], "f64")], 0), ShapeError, "tensors[1]", "[2]", "[any, 3]");
    refuses(() => ops.stack([x, wave([1, 3], "f64")], 0), ShapeError, "tensors[1]", "[1, 3]", "[2, 3]");
    const long = (last: number) => wave([...Array<number>(16).fill(1), last], "f64");
    refuses(() => ops.stack([long(2), long(3)], 0), ShapeError, "tensors[1]");
  });

  test("axes, positions and flags", () => {
    for (const axis of [2, -3, 0.5, NaN, "0", null]) {
      for (const f of [ops.sum, ops.mean, ops.max]) refuses(() => f(x, any(axis)), ValueError, "axis", "from -2 to 1");
      refuses(() => ops.concat([x], any(axis)), ValueError, "axis", "from -2 to 1");
      refuses(() => ops.slice(x, any(axis), 0, 1), ValueError, "axis", "from -2 to 1");
      refuses(() => ops.select(x, any(axis), 0), ValueError, "axis", "from -2 to 1");
    }
    refuses(() => ops.sum(wave([], "f64"), 0), ValueError, "axis", "none");
    refuses(() => ops.sum(x, 0, any(1)), ValueError, "keepDims");
    refuses(() => ops.stack([x], 3), ValueError, "axis", "from -3 to 2");
    refuses(() => ops.stack([], 0), ValueError, "tensors", "empty");
    refuses(() => ops.concat([], 0), ValueError, "tensors", "empty");
    refuses(() => ops.concat(any(x), 0), ValueError, "tensors");
    refuses(() => ops.select(x, 1, 3), ValueError, "index", "from -3 to 2");
    refuses(() => ops.select(wave([2, 0], "f64"), 1, 0), ValueError, "index", "none");
    refuses(() => ops.slice(x, 1, 0, 4), ValueError, "end", "from -3 to 3");
    refuses(() => ops.slice(x, 1, -4, 1), ValueError, "start", "from -3 to 3");
    refuses(() => ops.slice(x, 1, 2, 1), ValueError, "end", "at least the start");
    refuses(() => ops.slice(x, 1, any(undefined), 1), ValueError, "start");
    refuses(() => ops.transpose(x, [0]), ValueError, "axes", "[0]", "each of the 2 axes once");
    refuses(() => ops.transpose(x, [0, -2]), ValueError, "axes", "[0, -2]");
    refuses(() => ops.transpose(x, [0, 2]), ValueError, "axis", "2");
    refuses(() => ops.transpose(x, any("01")), ValueError, "axes");
    refuses(() => ops.oneHot(i32, 2), ValueError, "indices", "2 at position 2");
    refuses(() => ops.oneHot(tensor([-1], undefined, "i32"), 2), ValueError, "indices", "-1");
    refuses(() => ops.oneHot(i32, 0), ShapeError, "depth");
    refuses(() => ops.oneHot(i32, 3, any("i32")), ValueError, "dtype");
  });

  test("arguments are read once", () => {
    let reads = 0;
    const sly = (good: Tensor): Tensor => {
      let first = true;
      return {
        get data() {
          reads++;
          const data = first ? good.data : new Float64Array(1);
          first = false;
          return data;
        },
        shape: good.shape,
      };
    };
    expect(ops.add(sly(x), 0)).toHaveBits(x);
    expect(ops.concat([sly(x)], 0)).toHaveBits(x);
    expect(ops.softmax(sly(x))).toHaveBits(ops.softmax(x));
    expect(reads).toBe(3);
  });
});
