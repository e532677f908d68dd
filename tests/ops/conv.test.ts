// Convolutions, transposed convolutions and pools against loops over every index.
import { afterAll, describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import { withArena } from "../../bindings/memory.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { ShapeError, tensor, ValueError, DtypeError } from "../../src/index.js";
import { conv, convTranspose, type ConvAttributes, type ConvTransposeAttributes } from "../../src/ops/conv.js";
import { apply, type Operation } from "../../src/ops/operation.js";
import { averagePool, globalAveragePool, globalMaxPool, maxPool, type PoolAttributes } from "../../src/ops/pool.js";
import { indexOf } from "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Shape = readonly number[];
const DTYPES = ["f64", "f32"] as const;
const TOLERANCE = { f64: { rtol: 1e-13, atol: 1e-13 }, f32: { rtol: 1e-5, atol: 1e-5 } };

/** The results of a call, copied out. */
function run<A>(operation: Operation<A>, inputs: readonly Tensor[], attributes: A, dtype: FloatDtype): Tensor[] {
  startGraph(currentCore());
  return withArena(currentCore(), (arena) => {
    const copies = inputs.map(({ data, shape }) =>
      arena.copy("input", tensor(Array.from(data), [...shape], dtype), dtype, ["..."]),
    );
    return apply(arena, operation, copies, attributes).map((each) => each.download());
  });
}

/** The number at an index; undefined outside. */
function numberAt({ data, shape }: Tensor, index: Shape): number | undefined {
  if (index.some((i, axis) => i < 0 || i >= shape[axis]!)) return undefined;
  return data[index.reduce((flat, i, axis) => flat * shape[axis]! + i, 0)]!;
}

function filled(shape: Shape, f: (index: number[]) => number): Tensor {
  return { data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => f(indexOf(i, shape))), shape };
}

/** Every index of a shape. */
const indices = (shape: Shape) => Array.from({ length: sizeOf(shape) }, (_, i) => indexOf(i, shape));

interface Windows {
  strides: Shape;
  dilations: Shape;
  pads: Shape;
  groups: number;
}

function naiveConv(x: Tensor, weight: Tensor, bias: Tensor | undefined, out: Shape, w: Windows): Tensor {
  const [width, perGroup] = [weight.shape[1]!, weight.shape[0]! / w.groups];
  return filled(out, ([n, o, ...at]) => {
    let sum = bias ? bias.data[o!]! : 0;
    for (const tap of indices(weight.shape.slice(2))) {
      const place = at.map((i, axis) => i * w.strides[axis]! + tap[axis]! * w.dilations[axis]! - w.pads[axis]!);
      for (let c = 0; c < width; c++) {
        const from = [n!, Math.floor(o! / perGroup) * width + c, ...place];
        sum += (numberAt(x, from) ?? 0) * numberAt(weight, [o!, c, ...tap])!;
      }
    }
    return sum;
  });
}

function naiveTranspose(x: Tensor, weight: Tensor, bias: Tensor | undefined, out: Shape, w: Windows): Tensor {
  const y = filled(out, ([, o]) => (bias ? bias.data[o!]! : 0));
  const [width, perGroup] = [x.shape[1]! / w.groups, weight.shape[1]!];
  for (const [n, c, ...at] of indices(x.shape)) {
    for (const tap of indices(weight.shape.slice(2))) {
      const place = at.map((i, axis) => i * w.strides[axis]! + tap[axis]! * w.dilations[axis]! - w.pads[axis]!);
      for (let o = 0; o < perGroup; o++) {
        const to = [n!, Math.floor(c! / width) * perGroup + o, ...place];
        if (numberAt(y, to) === undefined) continue;
        const flat = to.reduce((sum, i, axis) => sum * out[axis]! + i, 0);
        y.data[flat]! += numberAt(x, [n!, c!, ...at])! * numberAt(weight, [c!, o, ...tap])!;
      }
    }
  }
  return y;
}

const windows = (rank: number, { strides, dilations, pads, groups = 1 }: ConvAttributes): Windows => ({
  strides: strides ?? Array<number>(rank).fill(1),
  dilations: dilations ?? Array<number>(rank).fill(1),
  pads: pads ?? Array<number>(2 * rank).fill(0),
  groups,
});

/** Shapes of x and weight, attributes, the spatial axes of y. */
const CONVOLUTIONS: readonly (readonly [x: Shape, weight: Shape, attributes: ConvAttributes, out: Shape])[] = [
  [[1, 1, 7], [1, 1, 3], {}, [5]],
  [[2, 3, 17], [5, 3, 4], { strides: [3] }, [5]],
  [[1, 1, 640], [34, 1, 256], { strides: [128] }, [4]],
  [[2, 5, 4], [9, 5, 3], { pads: [1, 1] }, [4]],
  [[2, 5, 4], [9, 5, 3], { pads: [2, 0], strides: [2] }, [2]],
  [[1, 300, 3], [17, 300, 1], {}, [3]],
  [[1, 6, 9], [6, 1, 5], { pads: [2, 2], groups: 6 }, [9]],
  [[1, 6, 9], [12, 1, 2], { groups: 6, dilations: [3] }, [6]],
  [[1, 6, 9], [4, 3, 2], { groups: 2, dilations: [2], pads: [0, 3] }, [10]],
  [[2, 1, 5, 7], [8, 1, 3, 3], { pads: [1, 1, 1, 1] }, [5, 7]],
  [[1, 8, 6, 5], [16, 8, 3, 3], { pads: [1, 1, 1, 1], strides: [2, 1] }, [3, 5]],
  [[1, 9, 1, 33], [16, 9, 1, 5], { pads: [0, 2, 0, 2], strides: [1, 2] }, [1, 17]],
  [[1, 16, 11, 33], [16, 1, 3, 3], { pads: [0, 1, 0, 1], dilations: [5, 1], groups: 16 }, [1, 33]],
  [[1, 24, 4, 6], [3, 24, 4, 1], {}, [1, 6]],
  [[1, 2, 3, 4], [2, 1, 2, 2], { strides: [2, 3], dilations: [2, 1], pads: [1, 0, 2, 1], groups: 2 }, [2, 2]],
  [[3, 4, 5, 5], [4, 4, 1, 1], { strides: [2, 2] }, [3, 3]],
  [[1, 2, 3, 3, 3], [3, 2, 2, 2, 2], { pads: [1, 0, 0, 0, 0, 1] }, [3, 2, 3]],
  [[0, 2, 3], [3, 2, 2], {}, [2]],
  [[1, 0, 3], [3, 0, 2], {}, [2]],
  [[1, 1, 3], [1, 1, 1], { pads: [3, 4] }, [10]],
  [[1, 2, 10, 7], [3, 2, 3, 2], { autoPad: "sameUpper", strides: [2, 3] }, [5, 3]],
  [[1, 2, 10, 7], [3, 2, 3, 2], { autoPad: "valid", pads: [1, 1, 1, 1] }, [8, 6]],
]; // prettier-ignore

const TRANSPOSED: readonly (readonly [x: Shape, weight: Shape, attributes: ConvTransposeAttributes, out: Shape])[] = [
  [[1, 1, 3], [1, 2, 3], {}, [5]],
  [[2, 3, 5], [3, 4, 4], { strides: [3], pads: [1, 2] }, [13]],
  [[1, 3, 5], [3, 4, 1], { strides: [3] }, [13]],
  [[1, 3, 5], [3, 9, 3], { strides: [2], outputPadding: [1], pads: [1, 1] }, [10]],
  [[1, 1, 3, 3], [1, 2, 3, 3], {}, [5, 5]],
  [[1, 1, 3, 3], [1, 2, 3, 3], { strides: [3, 2], pads: [1, 2, 1, 2] }, [7, 3]],
  [[1, 1, 3, 3], [1, 1, 2, 2], { dilations: [2, 2] }, [5, 5]],
  [[1, 16, 1, 17], [16, 8, 1, 5], { strides: [1, 2], pads: [0, 2, 0, 2], groups: 2 }, [1, 33]],
  [[1, 6, 21, 9], [6, 1, 3, 3], { dilations: [5, 1], pads: [10, 1, 10, 1], groups: 6 }, [11, 9]],
  [[2, 6, 4, 3], [6, 2, 2, 3], { dilations: [3, 2], strides: [2, 4], groups: 3, outputPadding: [1, 2] }, [11, 15]],
  [[1, 24, 1, 33], [24, 16, 1, 1], {}, [1, 33]],
  [[1, 1, 2, 3, 4], [1, 3, 3, 2, 3], { strides: [1, 2, 2] }, [4, 6, 9]],
  [[1, 1, 3, 3], [1, 2, 3, 3], { strides: [3, 2], outputShape: [10, 8] }, [10, 8]],
  [[0, 1, 3], [1, 2, 3], {}, [5]],
  [[1, 1, 2], [1, 1, 2], { strides: [7], dilations: [3] }, [11]],
]; // prettier-ignore

const title = (name: string, x: Shape, weight: Shape, attributes: object) =>
  `${name} [${x.join()}] [${weight.join()}] ${JSON.stringify(attributes)}`;

const cases = [
  ...CONVOLUTIONS.map((each) => ["conv", conv, naiveConv, ...each] as const),
  ...TRANSPOSED.map((each) => ["convTranspose", convTranspose, naiveTranspose, ...each] as const),
].map(([name, operation, naive, x, weight, attributes, out]) => ({
  title: title(name, x, weight, attributes),
  operation,
  naive,
  x,
  weight,
  attributes,
  out: [x[0]!, operation === conv ? weight[0]! : weight[1]! * (attributes.groups ?? 1), ...out],
}));

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(DTYPES)("%s", (dtype) => {
    test.each(cases)("$title", ({ operation, naive, x: xShape, weight: wShape, attributes, out }) => {
      const [x, weight] = [wave(xShape, dtype), wave(wShape, dtype, 2)];
      for (const bias of [undefined, wave([out[1]!], dtype, 3)]) {
        const inputs = bias ? [x, weight, bias] : [x, weight];
        const [y] = run(operation, inputs, attributes, dtype);
        const w = windows(xShape.length - 2, attributes);
        if (attributes.autoPad === "valid") w.pads = w.pads.map(() => 0);
        if (attributes.autoPad === "sameUpper") w.pads = out.slice(2).map((n, i) => Math.floor(((n - 1) * w.strides[i]! + wShape[i + 2]! - xShape[i + 2]!) / 2)); // prettier-ignore
        expect(y).toBeAllClose(naive(x, weight, bias, out, w), TOLERANCE[dtype]);
        expect(y!.data).toBeInstanceOf(dtype === "f64" ? Float64Array : Float32Array);
        // fused activations have the bits of a step after it
        const relu = run(operation, inputs, { ...attributes, activation: "relu" }, dtype)[0]!;
        expect(relu.data).toEqual(y!.data.map((v) => Math.max(v, 0)));
      }
    });

    test("an image has the same bits alone and in a batch; so have windows wherever they are", () => {
      const weight = wave([11, 3, 3, 2], dtype, 2);
      const image = wave([1, 3, 6, 7], dtype, 4);
      const size = image.data.length;
      const batch = wave([5, 3, 6, 7], dtype, 5);
      for (const i of [0, 2, 4]) batch.data.set(image.data, i * size);
      for (const attributes of [
        {},
        { pads: [1, 1, 1, 1], strides: [1, 2] },
        { dilations: [2, 1], pads: [0, 1, 2, 0] },
      ]) {
        const alone = run(conv, [image, weight], attributes, dtype)[0]!;
        const together = run(conv, [batch, weight], attributes, dtype)[0]!;
        const count = alone.data.length;
        for (const i of [0, 2, 4]) expect(together.data.slice(i * count, (i + 1) * count)).toEqual(alone.data);
      }
      const whole = run(conv, [image, weight], {}, dtype)[0]!;
      const rows = filled([1, 3, 3, 5], ([, c, i, j]) => numberAt(image, [0, c!, i! + 2, j! + 1])!);
      const part = run(conv, [rows, weight], {}, dtype)[0]!;
      const same = filled(part.shape, ([, o, , j]) => numberAt(whole, [0, o!, 2, j! + 1])!);
      expect(Array.from(part.data)).toEqual(Array.from(same.data));
    });

    test("weights that are constant are packed once", () => {
      startGraph(currentCore());
      withArena(currentCore(), (arena) => {
        const [x, weight] = [wave([1, 3, 8], dtype), wave([4, 3, 3], dtype, 2)].map((each) =>
          arena.copy("x", each, dtype, ["..."]),
        );
        const outputs = [conv, convTranspose].map((operation) => {
          const inputs = operation === conv ? [x!, weight!] : [arena.copy("x", wave([1, 4, 8], dtype), dtype, ["..."]), weight!]; // prettier-ignore
          const [spec] = operation.infer(inputs, {});
          const y = arena.allocate("y", dtype, spec!.shape);
          const call = operation.bind!(arena, inputs, [y], {}, [false, true]);
          call();
          return { call, y, inputs, first: y.download() };
        });
        weight!.fill(1);
        for (const { call, y, inputs, first } of outputs) {
          call();
          expect(y.download()).toEqual(first);
          inputs[0]!.fill(0);
          call();
          expect(Array.from(y.data).every((v) => v === 0)).toBe(true);
        }
      });
    });

    const POOLS: readonly (readonly [x: Shape, attributes: PoolAttributes, out: Shape])[] = [
      [[1, 3, 32], { kernelShape: [2] }, [31]],
      [[2, 3, 9], { kernelShape: [3], strides: [2], pads: [1, 0] }, [4]],
      [[1, 3, 8, 9], { kernelShape: [2, 2] }, [7, 8]],
      [[2, 2, 8, 9], { kernelShape: [2, 1], strides: [2, 1] }, [4, 9]],
      [[1, 1, 5, 5], { kernelShape: [5, 5], pads: [2, 2, 2, 2] }, [5, 5]],
      [[1, 1, 4, 4], { kernelShape: [3, 3], strides: [2, 2], ceilMode: true }, [2, 2]],
      [[1, 1, 4, 5], { kernelShape: [2, 2], strides: [3, 3], ceilMode: true, pads: [0, 0, 1, 1] }, [2, 2]],
      [[1, 1, 4, 4], { kernelShape: [2, 2], dilations: [2, 2] }, [2, 2]],
      [[1, 3, 7, 6], { kernelShape: [2, 2], autoPad: "sameUpper" }, [7, 6]],
      [[1, 3, 7, 6], { kernelShape: [2, 3], autoPad: "sameLower", strides: [2, 2] }, [4, 3]],
      [[1, 2, 4, 3, 3], { kernelShape: [2, 2, 2] }, [3, 2, 2]],
      [[1, 1, 1], { kernelShape: [1], ceilMode: true, strides: [2] }, [1]],
      [[0, 1, 3], { kernelShape: [2] }, [2]],
    ]; // prettier-ignore
    test.each(POOLS)("pools [%s] %o", (xShape, attributes, out) => {
      const x = wave(xShape, dtype);
      const rank = out.length;
      const { kernelShape, autoPad } = attributes;
      const w = windows(rank, attributes);
      if (autoPad) {
        const totals = out.map((n, i) => (n - 1) * w.strides[i]! + kernelShape[i]! - xShape[i + 2]!);
        const begins = totals.map((total) => (autoPad === "sameUpper" ? Math.floor(total / 2) : Math.ceil(total / 2)));
        w.pads = [...begins, ...totals.map((total, i) => total - begins[i]!)];
      }
      const shape = [...xShape.slice(0, 2), ...out];
      const places = (at: Shape) =>
        indices(kernelShape).map((tap) =>
          at.map((i, axis) => i * w.strides[axis]! + tap[axis]! * w.dilations[axis]! - w.pads[axis]!),
        );
      const numbers = (n: number, c: number, at: Shape) =>
        places(at).flatMap((place) => numberAt(x, [n, c, ...place]) ?? []);
      const largest = filled(shape, ([n, c, ...at]) => Math.max(...numbers(n!, c!, at)));
      const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
      for (const columnMajor of rank < 3 ? [false, true] : []) {
        const [y, found] = run(maxPool, [x], { ...attributes, indices: true, columnMajor }, dtype);
        expect(y).toBeAllClose(largest);
        const plane = sizeOf(xShape.slice(2));
        const expected = filled(shape, ([n, c, ...at]) => {
          const place = places(at).find((each) => numberAt(x, [n!, c!, ...each]) === numberAt(largest, [n!, c!, ...at]))!;
          const [sizes, ordered] = columnMajor ? [xShape.slice(2).reverse(), [...place].reverse()] : [xShape.slice(2), place];
          return (n! * xShape[1]! + c!) * plane + ordered.reduce((flat, i, axis) => flat * sizes[axis]! + i, 0);
        }); // prettier-ignore
        expect(found!.data).toBeInstanceOf(Int32Array);
        expect(found).toBeAllClose(expected);
      }
      expect(run(maxPool, [x], attributes, dtype)).toHaveLength(1);
      expect(run(maxPool, [x], attributes, dtype)[0]).toBeAllClose(largest);
      for (const countIncludePad of [false, true]) {
        const mean = filled(shape, ([n, c, ...at]) => {
          const inside = places(at).filter((place) =>
            place.every((i, axis) => i < xShape[axis + 2]! + w.pads[rank + axis]!),
          );
          const count = countIncludePad ? inside.length : numbers(n!, c!, at).length;
          return sum(numbers(n!, c!, at)) / count;
        });
        const [y] = run(averagePool, [x], { ...attributes, countIncludePad }, dtype);
        expect(y).toBeAllClose(mean, TOLERANCE[dtype]);
      }
    });

    test("global pools", () => {
      const x = wave([2, 3, 5, 7], dtype);
      const plane = (n: number, c: number) => Array.from(x.data).slice((n * 3 + c) * 35, (n * 3 + c + 1) * 35);
      const mean = filled([2, 3, 1, 1], ([n, c]) => plane(n!, c!).reduce((a, b) => a + b, 0) / 35);
      expect(run(globalAveragePool, [x], undefined, dtype)[0]).toBeAllClose(mean, TOLERANCE[dtype]);
      const largest = filled([2, 3, 1, 1], ([n, c]) => Math.max(...plane(n!, c!)));
      expect(run(globalMaxPool, [x], undefined, dtype)[0]).toBeAllClose(largest);
    });

    test("a maximum is NaN where a window has one; its index is that of the first", () => {
      const x = tensor([1, NaN, 3, NaN, 5, 2], [1, 1, 6], dtype);
      const [y, found] = run(maxPool, [x], { kernelShape: [2], indices: true }, dtype);
      expect(Array.from(y!.data)).toEqual([NaN, NaN, NaN, NaN, 5]);
      expect(Array.from(found!.data)).toEqual([1, 1, 3, 3, 4]);
    });
  });
});

test("fused activations are those of the elementwise kernels", () => {
  const [x, weight] = [wave([1, 3, 9], "f64"), wave([10, 3, 3], "f64", 2)];
  const plain = run(conv, [x, weight], {}, "f64")[0]!;
  const of = (activation: ConvAttributes["activation"], slope?: number) =>
    run(conv, [x, weight], { activation, slope }, "f64")[0]!;
  expect(of("tanh")).toBeAllClose({ ...plain, data: plain.data.map(Math.tanh) }, { rtol: 1e-15, atol: 1e-15 });
  const sigmoid = plain.data.map((v) => 1 / (1 + Math.exp(-v)));
  expect(of("sigmoid")).toBeAllClose({ ...plain, data: sigmoid }, { rtol: 1e-15 });
  expect(of("leakyRelu").data).toEqual(plain.data.map((v) => (v > 0 ? v : 0.01 * v)));
  expect(of("leakyRelu", 0.5).data).toEqual(plain.data.map((v) => (v > 0 ? v : 0.5 * v)));
});

test("bad arguments are named", () => {
  const f64 = (...shape: number[]) => ({ dtype: "f64" as const, shape });
  const f32 = (...shape: number[]) => ({ dtype: "f32" as const, shape });
  const x = f64(2, 4, 5, 6);
  const w = f64(8, 4, 3, 3);
  refuses(() => conv.infer([f64(2, 4), w], {}), ShapeError, "x", "[2, 4]", "[N, C, L], [N, C, H, W] ...");
  refuses(() => conv.infer([x, f64(8, 3, 3, 3)], {}), ShapeError, "weight", "[8, 3, 3, 3]", "[O, 4, k, k]");
  refuses(() => conv.infer([x, f64(8, 4, 3)], {}), ShapeError, "weight", "[8, 4, 3]", "[O, 4, k, k]");
  refuses(() => conv.infer([x, f64(8, 4, 0, 3)], {}), ShapeError, "weight");
  refuses(() => conv.infer([x, f64(7, 2, 3, 3)], { groups: 2 }), ShapeError, "weight", "[7, 2, 3, 3]", "[O in 2 groups, 2, k, k]"); // prettier-ignore
  refuses(() => conv.infer([x, w], { groups: 3 }), ValueError, "groups", "3", "a divisor of 4, the channels of x");
  refuses(() => conv.infer([x, w], { groups: 0 }), ValueError, "groups");
  refuses(() => conv.infer([x, w, f64(7)], {}), ShapeError, "bias", "[7]", "[8]");
  refuses(() => conv.infer([x, f32(8, 4, 3, 3)], {}), DtypeError, "weight", "f32", "f64");
  refuses(() => conv.infer([x, w], { strides: [1] }), ValueError, "strides", "[1]", "2 whole numbers >= 1");
  refuses(() => conv.infer([x, w], { strides: [1, 0] }), ValueError, "strides");
  refuses(() => conv.infer([x, w], { dilations: [1, 1.5] }), ValueError, "dilations");
  refuses(() => conv.infer([x, w], { pads: [0, 0, 0, -1] }), ValueError, "pads");
  refuses(() => conv.infer([x, w], { autoPad: "same" as never }), ValueError, "autoPad");
  refuses(() => conv.infer([x, w], { activation: "gelu" as never }), ValueError, "activation");
  refuses(() => conv.infer([x, w], { dilations: [3, 1] }), ShapeError, "x", "0 + 5 + 0 on axis 2", "at least 7, a window"); // prettier-ignore
  refuses(() => convTranspose.infer([x, f64(3, 4, 3, 3)], {}), ShapeError, "weight", "[3, 4, 3, 3]", "[4, O, k, k]");
  refuses(() => convTranspose.infer([x, f64(4, 4, 3, 3)], { pads: [5, 0, 4, 0] }), ShapeError, "pads");
  refuses(() => convTranspose.infer([x, f64(4, 4, 3, 3)], { outputShape: [5] }), ValueError, "outputShape");
  refuses(() => convTranspose.infer([x, f64(4, 4, 3, 3)], { outputPadding: [1, -1] }), ValueError, "outputPadding");
  refuses(() => maxPool.infer([x], { kernelShape: [2] }), ValueError, "kernelShape");
  refuses(() => maxPool.infer([f64(1, 1, 2, 2, 2)], { kernelShape: [1, 1, 1], indices: true }), ShapeError, "x");
  refuses(() => maxPool.infer([{ dtype: "i32", shape: [1, 1, 3] }], { kernelShape: [2] }), DtypeError, "x");
  refuses(() => globalMaxPool.infer([f64(1, 2, 0)], undefined), ShapeError, "x");
  refuses(() => globalAveragePool.infer([f64(1, 2)], undefined), ShapeError, "x");
});

afterAll(() => expect(currentCore().heap.bytesUsed).toBe(0));
