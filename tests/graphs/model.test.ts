// Models of graphs: what they take and give, plans and their limits, weights, streams.
import { describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import { Model, fromOnnx } from "../../src/onnx.js";
import {
  DisposedError,
  DtypeError,
  FormatError,
  OutOfMemoryError,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
} from "../../src/index.js";
import { graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

const f32 = (shape: readonly number[], numbers: readonly number[]) => ({ data: Float32Array.from(numbers), shape });

/** y = x w + b, with the batch open. */
const affine = () =>
  onnxFile(
    graph(
      { x: ["f32", ["N", 3]] },
      { y: ["f32", ["N", 2]] },
      [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "b"], ["y"])],
      { w: onnxTensor("f32", [3, 2], [1, 2, 3, 4, 5, 6]), b: onnxTensor("f32", [2], [10, 20]) },
    ),
  );

/** state' = state + x, y = 2 state'. */
const counter = () =>
  onnxFile(
    graph({ x: ["f32", ["N", 2]], state: ["f32", ["N", 2]] }, { y: ["f32", ["N", 2]], next: ["f32", ["N", 2]] }, [
      node("Add", ["state", "x"], ["next"]),
      node("Add", ["next", "next"], ["y"]),
    ]),
  );

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("inputs, outputs and results", () => {
    const model = fromOnnx(affine());
    expect(model).toBeInstanceOf(Model);
    expect(model.inputs).toEqual([{ name: "x", dtype: "f32", shape: ["N", 3] }]);
    expect(model.outputs).toEqual([{ name: "y", dtype: "f32", shape: ["N", 2] }]);
    expect(model.training).toBe(false);
    const x = f32([1, 3], [1, 2, 3]);
    expect(model.run({ x, other: x })).toEqual({ y: f32([1, 2], [32, 48]) });
    expect(model.forward(x)).toEqual({ output: f32([1, 2], [32, 48]) });
    const twice = model.run({ x: f32([2, 3], [1, 2, 3, 0, 0, 0]) });
    expect(twice.y).toEqual(f32([2, 2], [32, 48, 10, 20]));
    expect(Object.getPrototypeOf(twice)).toBe(null);
    model.dispose();
    expect(() => model.run({ x })).toThrow(DisposedError);
  });

  test("results are the caller's, and do not change with the next run", () => {
    const model = fromOnnx(affine());
    const first = model.run({ x: f32([1, 3], [1, 2, 3]) });
    model.run({ x: f32([1, 3], [0, 0, 0]) });
    expect(first.y).toEqual(f32([1, 2], [32, 48]));
    model.dispose();
  });

  test("the same graph in f64", () => {
    const model = fromOnnx(affine(), { dtype: "f64" });
    expect(model.inputs[0]!.dtype).toBe("f64");
    const { y } = model.run({ x: { data: Float64Array.of(0.1, 0.2, 0.3), shape: [1, 3] } });
    expect(Array.from(y!.data as Float64Array)).toEqual([
      expect.closeTo(0.1 + 0.6 + 1.5 + 10, 13),
      expect.closeTo(0.2 + 0.8 + 1.8 + 20, 13),
    ]);
    model.dispose();
  });

  test("types of numbers: each comes and goes in its own array", () => {
    const types = { f64: [1.5], f32: [1.5], i64: [-5], u64: [7], i32: [-3], u32: [4e9], i16: [-2], u16: [65535], i8: [-1], u8: [255], bool: [1], f16: [0x3e00], bf16: [0x3fc0] } as const; // prettier-ignore
    for (const [dtype, numbers] of Object.entries(types)) {
      const type = dtype as keyof typeof types;
      const file = onnxFile(graph({ x: [type, [1]] }, { y: [type, [1]] }, [node("Identity", ["x"], ["y"])]));
      const model = fromOnnx(file);
      const { data } = onnxTensor(type, [1], numbers);
      expect(model.run({ x: { data, shape: [1] } }).y, dtype).toEqual({ data, shape: [1] });
      model.dispose();
    }
    const model = fromOnnx(onnxFile(graph({ x: ["i64", [2]] }, { y: ["i64", [2]] }, [node("Neg", ["x"], ["y"])])));
    const y = { data: BigInt64Array.of(-1n, 2n), shape: [2] };
    expect(model.run({ x: { data: Int32Array.of(1, -2), shape: [2] } }).y).toEqual(y);
    expect(model.run({ x: { data: [1, -2] as unknown as Int32Array, shape: [2] } }).y).toEqual(y);
    refuses(() => model.run({ x: { data: BigInt64Array.of(1n, 2n ** 60n), shape: [2] } }), ValueError, "feeds.x: got");
    refuses(() => model.run({ x: { data: [1, 0.5] as unknown as Int32Array, shape: [2] } }), DtypeError, "feeds.x[1]");
    model.dispose();
  });

  test("wrong inputs are refused by name, and the next run is right", () => {
    const model = fromOnnx(affine());
    const x = f32([1, 3], [1, 2, 3]);
    refuses(() => model.run({}), ValueError, "feeds: got no x, expected x");
    refuses(() => model.run(null as never), ValueError, "feeds: got null");
    refuses(() => model.run({ x: 1 as never }), DtypeError, "feeds.x: got number 1");
    refuses(() => model.run({ x: { ...x, shape: [3, 1] } }), ShapeError, "feeds.x: got [3, 1], expected [N, 3]");
    refuses(() => model.run({ x: { ...x, shape: [2, 3] } }), ShapeError, "feeds.x: got 3 numbers, expected 6");
    refuses(() => model.run({ x: { data: new Float64Array(3), shape: [1, 3] } }), DtypeError, "feeds.x: got f64");
    expect(model.run({ x }).y).toEqual(f32([1, 2], [32, 48]));
    const two = fromOnnx(counter());
    refuses(() => two.forward(x), StateError, "forward: got a model with 2 inputs and 2 outputs");
    model.dispose();
    two.dispose();
  });

  test("plans of many shapes and answers come and go without leaking", () => {
    const file = onnxFile(
      graph(
        { x: ["f32", ["N"]], n: ["i64", []] },
        { y: ["f32", undefined] },
        [node("Range", ["zero", "n", "one"], ["r"]), node("Gather", ["x", "r"], ["y"])],
        { zero: onnxTensor("i64", [], [0]), one: onnxTensor("i64", [], [1]) },
      ),
    );
    const model = fromOnnx(file);
    const x = Float32Array.from({ length: 40 }, (_, i) => i);
    const run = (length: number, n: number) =>
      model.run({ x: { data: x.subarray(0, length), shape: [length] }, n: { data: [n] as never, shape: [] } }).y;
    for (let round = 0; round < 3; round++) {
      for (let length = 20; length < 40; length++) {
        for (const n of [1, length, 5]) {
          expect(run(length, n)).toEqual({ data: x.slice(0, n), shape: [n] });
        }
      }
    }
    const { heap } = currentCore();
    const used = heap.bytesUsed;
    for (let length = 20; length < 40; length++) run(length, 3);
    expect(heap.bytesUsed).toBeLessThanOrEqual(used + 4096);
    refuses(() => run(20, 21), ValueError, "node y (Gather), indices");
    expect(run(20, 2)).toEqual({ data: x.slice(0, 2), shape: [2] });
    model.dispose();
  });

  test("weights: state dictionaries before and after the parameters were asked for", () => {
    const model = fromOnnx(affine());
    const x = f32([1, 3], [1, 2, 3]);
    expect(model.stateDict()).toEqual({ w: f32([3, 2], [1, 2, 3, 4, 5, 6]), b: f32([2], [10, 20]) });
    expect(model.run({ x }).y).toEqual(f32([1, 2], [32, 48]));
    model.loadStateDict({ w: f32([3, 2], [1, 1, 1, 1, 1, 1]), b: { data: Float64Array.of(0, 1), shape: [2] } });
    expect(model.run({ x }).y).toEqual(f32([1, 2], [6, 7]));
    refuses(() => model.loadStateDict({ b: f32([2], [0, 0]) }), ShapeError, 'dict: got no entry "w"');
    const [w, b] = model.parameters();
    expect([w!.name, b!.name]).toEqual(["w", "b"]);
    (b!.value.data as Float32Array)[0] = 100;
    expect(model.run({ x }).y).toEqual(f32([1, 2], [106, 7]));
    model.loadStateDict({ w: f32([3, 2], [0, 0, 0, 0, 0, 0]), b: f32([2], [1, 2]) });
    expect(model.run({ x }).y).toEqual(f32([1, 2], [1, 2]));
    expect(model.stateDict().b).toEqual(f32([2], [1, 2]));
    model.dispose();
  });

  describe("streams", () => {
    test("feed outputs back, and show the same record each time", () => {
      const model = fromOnnx(counter());
      const stream = model.stream({ carry: { next: "state" } });
      const x = f32([1, 2], [1, 2]);
      const outputs = stream.step({ x });
      expect(Object.isFrozen(outputs)).toBe(true);
      expect(outputs).toMatchObject({ y: f32([1, 2], [2, 4]), next: f32([1, 2], [1, 2]) });
      expect(stream.step({ x })).toBe(outputs);
      expect(outputs.y).toMatchObject(f32([1, 2], [4, 8]));
      expect(stream.step({ x, state: f32([1, 2], [10, 20]) }).next).toMatchObject(f32([1, 2], [11, 22]));
      stream.reset();
      expect(stream.step({ x }).next).toMatchObject(f32([1, 2], [1, 2]));
      model.run({ x, state: x }); // has memory of its own
      expect(stream.step({ x }).next).toMatchObject(f32([1, 2], [2, 4]));
      stream.dispose();
      expect(() => stream.step({ x })).toThrow(DisposedError);
      model.dispose();
    });

    test("open axes of a state are those of the other inputs, and stay", () => {
      const model = fromOnnx(counter());
      const stream = model.stream({ carry: { next: "state" } });
      refuses(() => stream.step({ x: f32([1, 3], [1, 2, 3]) }), ShapeError, "feeds.x: got [1, 3], expected [N, 2]");
      const x = f32([3, 2], [1, 2, 3, 4, 5, 6]);
      expect(stream.step({ x }).next).toMatchObject(x);
      refuses(() => stream.step({ x: f32([1, 2], [1, 2]) }), ShapeError, "feeds.x: got [1, 2], expected [3, 2]");
      refuses(() => stream.step({}), ValueError, "feeds: got no x");
      expect(stream.step({ x }).next).toMatchObject(f32([3, 2], [2, 4, 6, 8, 10, 12]));
      stream.dispose();
      model.dispose();
    });

    test("inputs of all steps", () => {
      const model = fromOnnx(counter());
      const stream = model.stream({ carry: { next: "state" }, feeds: { x: f32([1, 2], [1, 1]) } });
      stream.step();
      expect(stream.step({}).next).toMatchObject(f32([1, 2], [2, 2]));
      expect(stream.step({ x: f32([1, 2], [5, 5]) }).next).toMatchObject(f32([1, 2], [7, 7]));
      stream.dispose();
      refuses(() => model.stream({ carry: { next: "nothing" } }), ValueError, 'carry.next: got "nothing"');
      refuses(() => model.stream({ carry: { nothing: "x" } }), ValueError, "carry: got nothing, expected y, next");
      refuses(() => model.stream({ carry: { next: "x", y: "x" } }), ValueError, "carry.y: got x");
      refuses(() => model.stream({ feeds: { z: f32([1], [1]) } }), ValueError, "feeds: got z, expected x, state");
      refuses(() => model.stream({ more: 1 } as never), UnsupportedError, "stream option: got more");
      model.dispose();
    });

    test("a step that fails leaves the state, and what was given, as they were", () => {
      const file = onnxFile(
        graph(
          { x: ["f32", [2]], state: ["f32", [2]], at: ["i64", [1]], count: ["i64", [1]] },
          { next: ["f32", [2]], total: ["i64", [1]], y: ["f32", [1]] },
          [
            node("Add", ["state", "x"], ["next"]),
            node("Add", ["count", "at"], ["total"]),
            node("Gather", ["next", "at"], ["y"]),
          ],
        ),
      );
      const model = fromOnnx(file);
      const at = (index: bigint) => ({ data: BigInt64Array.of(index), shape: [1] });
      const stream = model.stream({ carry: { next: "state", total: "count" }, feeds: { at: at(1n) } });
      const x = f32([2], [1, 2]);
      const state = f32([2], [50, 60]);
      refuses(() => stream.step({ x, state, at: at(7n) }), ValueError, "node y (Gather), indices");
      expect(stream.step({ x })).toMatchObject({ next: x, y: f32([1], [2]), total: at(1n) });
      refuses(() => stream.step({ x, state, count: at(9n), at: at(7n) }), ValueError, "indices: got 7");
      refuses(() => stream.step({ x, state, at: at(2n ** 60n) }), ValueError, "feeds.at: got 115292");
      refuses(() => stream.step({ x, state: f32([3], [1, 2, 3]) }), ShapeError, "feeds.state");
      expect(stream.step({ x })).toMatchObject({ next: f32([2], [2, 4]), y: f32([1], [4]), total: at(2n) });
      expect(stream.step({ x, state, at: at(0n) })).toMatchObject({ next: f32([2], [51, 62]), y: f32([1], [51]) });
      expect(stream.step({ x })).toMatchObject({ next: f32([2], [52, 64]), y: f32([1], [52]), total: at(2n) });
      stream.dispose();
      model.dispose();
    });

    test("keep what their plans share while plans come and go", () => {
      const file = onnxFile(
        graph(
          { x: ["f32", ["N"]], n: ["i64", [1]] },
          { y: ["f32", undefined] },
          [
            node("Constant", [], ["c"], { value: onnxTensor("f32", [1], [3]) }),
            node("Add", ["x", "c"], ["a"]),
            node("Mul", ["a", "w"], ["m"]),
            node("Expand", ["m", "n"], ["e"]),
            node("ReduceMean", ["e"], ["y"], { axes: [0] }),
          ],
          { w: onnxTensor("f32", [1], [2]) },
        ),
      );
      const model = fromOnnx(file);
      const n = (count: number) => ({ data: BigInt64Array.of(BigInt(count)), shape: [1] });
      const [stream, other] = [model.stream(), model.stream()];
      for (let round = 0; round < 2; round++) {
        for (let count = 1; count < 20; count++) {
          const feeds = { x: f32([1], [count]), n: n(count) };
          const y = f32([1], [2 * (count + 3)]);
          expect(model.run(feeds).y).toEqual(y);
          expect(stream.step(feeds).y).toMatchObject(y);
          const many = f32([20 - count], new Array<number>(20 - count).fill(count));
          expect(model.run({ x: many, n: n(1) }).y).toEqual(y);
        }
        other.dispose();
      }
      model.dispose();
      expect(stream.step({ x: f32([1], [0]), n: n(1) }).y).toMatchObject(f32([1], [6]));
      stream.dispose();
    });

    test("keep their weights", () => {
      const model = fromOnnx(affine());
      const stream = model.stream();
      const x = f32([1, 3], [1, 2, 3]);
      stream.step({ x });
      model.loadStateDict({ w: f32([3, 2], [0, 0, 0, 0, 0, 0]), b: f32([2], [0, 0]) });
      model.dispose();
      expect(stream.step({ x }).y).toMatchObject(f32([1, 2], [32, 48]));
      stream.dispose();
    });
  });
});

describe("files that are refused", () => {
  const file = (nodes: Parameters<typeof graph>[2], opset = 17) =>
    onnxFile(graph({ x: ["f32", [2]] }, { y: ["f32", [2]] }, nodes), { opset });

  test("unknown operators and attributes, all at once", () => {
    const nodes = [
      node("Foo", ["x"], ["a"]),
      node("Bar", ["a"], ["b"], {}, "com.example"),
      node("Relu", ["b"], ["y"], { slope: 0.5 }),
    ];
    refuses(() => fromOnnx(file(nodes)), UnsupportedError, "node a: Foo (opset 17); node b: com.example.Bar");
    refuses(() => fromOnnx(file(nodes)), UnsupportedError, "node y: Relu, attribute slope (opset 17)");
    refuses(() => fromOnnx(file([node("Relu", ["x"], ["y"])], 23)), UnsupportedError, "opset 23");
  });

  test("names that nobody gives, cycles", () => {
    refuses(() => fromOnnx(file([node("Relu", ["z"], ["y"])])), FormatError, 'node y (Relu): got input "z"');
    const cycle = [node("Add", ["x", "y"], ["a"]), node("Relu", ["a"], ["y"])];
    refuses(() => fromOnnx(file(cycle)), FormatError, 'node a (Add): got input "y"');
    refuses(() => fromOnnx(file([node("Relu", ["x"], ["z"])])), FormatError, 'graph test: got output "y"');
  });

  test("wrong options", () => {
    refuses(() => fromOnnx(affine(), { dtype: "f16" as never }), ValueError, "dtype: got");
    refuses(() => fromOnnx(affine(), { maxMemory: 0 }), ValueError, "maxMemory: got");
    refuses(() => fromOnnx(affine(), { maxIterations: 0.5 }), ValueError, "maxIterations: got");
    refuses(() => fromOnnx(affine(), { other: 1 } as never), UnsupportedError, "fromOnnx option: got other");
    refuses(() => fromOnnx("file" as never), DtypeError, "bytes: got");
    expect(() => new Model({} as never, "f32")).toThrow(StateError);
  });

  test("bombs end at the limits", () => {
    const bomb = onnxFile(
      graph({}, { y: ["f32", undefined] }, [node("ConstantOfShape", ["s"], ["y"])], {
        s: onnxTensor("i64", [3], [1000, 1000, 1000]),
      }),
    );
    const model = fromOnnx(bomb);
    refuses(
      () => model.run({}),
      OutOfMemoryError,
      "node y (ConstantOfShape), memory of a graph: got [1000, 1000, 1000] of f32",
    );
    const doubling = Array.from({ length: 40 }, (_, i) =>
      node("Concat", [`a${i}`, `a${i}`], [`a${i + 1}`], { axis: 0 }),
    );
    const long = fromOnnx(onnxFile(graph({ a0: ["f32", [1]] }, { a40: ["f32", undefined] }, doubling)), {
      maxMemory: 1e6,
    });
    refuses(() => long.run({ a0: f32([1], [1]) }), OutOfMemoryError, "at most 1000000 bytes");
    const body = graph({ i: ["i64", []], c: ["bool", []], v: ["f32", [1]] }, { c2: ["bool", []], v2: ["f32", [1]] }, [
      node("Identity", ["c"], ["c2"]),
      node("Add", ["v", "v"], ["v2"]),
    ]);
    const endless = onnxFile(
      graph({ x: ["f32", [1]] }, { y: ["f32", [1]] }, [node("Loop", ["", "yes", "x"], ["y"], { body })], {
        yes: onnxTensor("bool", [], [1]),
      }),
    );
    const loop = fromOnnx(endless, { maxIterations: 1000 });
    refuses(() => loop.run({ x: f32([1], [1]) }), ValueError, "nodes: got more than 1000 with iterations");
    for (const each of [model, long, loop]) each.dispose();
  });
});
