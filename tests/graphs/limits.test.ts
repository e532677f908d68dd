// What a small file may cost: loops, functions, chains and constants without end are refused in time, by name. Each was found by the
// fuzzer (tests/fuzz/graphs.mjs), or is of a kind with what it found.
import { describe, expect, test } from "vitest";
import type { OnnxFunction, OnnxGraph, OnnxNode } from "../../src/formats/onnx/model.js";
import {
  FormatError,
  OutOfMemoryError,
  ShapeError,
  UnsupportedError,
  ValueError,
  valueAndGrad,
  type Tensor,
} from "../../src/index.js";
import { fromOnnx, type OnnxOptions } from "../../src/onnx.js";
import { sum } from "../../src/ops.js";
import { float, graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { refuses } from "../helpers/refuses.js";

const i64 = (shape: readonly number[], numbers: readonly number[]) => onnxTensor("i64", shape, numbers);
const ints = (...numbers: readonly number[]) => i64([numbers.length], numbers);
const x = { x: { data: Float32Array.of(0.5, 1, 2, 4), shape: [4] } };

/** A model of x [4] and whatever y is. */
function modelOf(
  nodes: readonly OnnxNode[],
  initializers: Parameters<typeof graph>[3] = {},
  options: OnnxOptions = {},
  functions: readonly OnnxFunction[] = [],
) {
  return fromOnnx(onnxFile(graph({ x: ["f32", [4]] }, { y: ["f32", undefined] }, nodes, initializers), { functions }), options); // prettier-ignore
}

/** The processor's time of a call. */
function seconds(call: () => void): number {
  const start = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

/** The body of a Loop that never ends by itself: nodes from v to w. */
function body(nodes: readonly OnnxNode[], condition = [node("Identity", ["go"], ["more"])]): OnnxGraph {
  const inputs = { i: ["i64", []], go: ["bool", []], v: ["f32", [4]] } as const;
  return graph(inputs, { more: ["bool", []], w: ["f32", [4]] }, [...nodes, ...condition]);
}

describe("loops without an end", () => {
  const endless: Readonly<Record<string, [nodes: OnnxNode[], initializers?: Parameters<typeof graph>[3]]>> = {
    "that compute nothing": [[node("Loop", ["", "", "x"], ["y"], { body: body([node("Identity", ["v"], ["w"])]) })]],
    "of operations": [[node("Loop", ["", "", "x"], ["y"], { body: body([node("Tanh", ["v"], ["w"])]) })]],
    "of constants": [
      [node("Loop", ["", "", "c"], ["y"], { body: body([node("Tanh", ["v"], ["w"])]) })],
      { c: onnxTensor("f32", [4], [1, 2, 3, 4]) },
    ],
    "whose condition is computed": [
      [
        node("Loop", ["", "", "x"], ["y"], {
          body: body(
            [node("Tanh", ["v"], ["w"])],
            [node("ReduceMax", ["w"], ["most"], { keepdims: 0 }), node("Less", ["most", "two"], ["more"])],
          ),
        }),
      ],
      { two: onnxTensor("f32", [], [2]) },
    ],
    "in loops": [
      [
        node("Loop", ["", "", "x"], ["y"], {
          body: body([node("Loop", ["many", "", "v"], ["w"], { body: body([node("Neg", ["v"], ["w"])]) })]),
        }),
      ],
      { many: i64([], [2 ** 40]) },
    ],
  };
  test.each(Object.keys(endless))("%s end at the limit, in a time that grows with it", (name) => {
    const [nodes, initializers] = endless[name]!;
    const endsAt = (limit: number, options: OnnxOptions) =>
      seconds(() => {
        const model = modelOf(nodes, initializers, options);
        refuses(() => model.run(x), ValueError, `(Loop), nodes: got more than ${limit} with iterations`);
        model.dispose();
      });
    const less = endsAt(25_000, { maxIterations: 25_000 });
    expect(endsAt(100_000, {})).toBeLessThan(2 * 4 * less);
  });

  test("a limit that is set holds for Loop and Scan, and what fits runs", () => {
    const nodes = [node("Loop", ["n", "", "x"], ["y"], { body: body([node("Neg", ["v"], ["w"])]) })];
    const limited = (n: number) => modelOf(nodes, { n: i64([], [n]) }, { maxIterations: 100 });
    expect(limited(32).run(x).y).toEqual(x.x);
    refuses(() => limited(34).run(x), ValueError, "nodes: got more than 100 with iterations");
    const inner = graph({ s: ["f32", []], e: ["f32", []] }, { t: ["f32", []] }, [node("Add", ["s", "e"], ["t"])]);
    const scan = (n: number) =>
      modelOf([node("Expand", ["x", "shape"], ["wide"]), node("Scan", ["zero", "wide"], ["y"], { body: inner, num_scan_inputs: 1, scan_input_axes: [0] })], { shape: ints(n, 4), zero: onnxTensor("f32", [4], [0, 0, 0, 0]) }, { maxIterations: 100 }); // prettier-ignore
    expect(scan(32).run(x).y!.data).toEqual(Float32Array.of(16, 32, 64, 128));
    refuses(() => scan(40).run(x), ValueError, "node y (Scan), nodes: got more than 100 with iterations");
  });
});

describe("functions", () => {
  const chain = (count: number, calls: number): OnnxFunction[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `f${i}`,
      domain: "own",
      inputs: ["a0"],
      outputs: [`a${calls}`],
      attributes: new Map(),
      nodes: Array.from({ length: calls }, (_each, k) =>
        i === 0 ? node("Neg", [`a${k}`], [`a${k + 1}`]) : node(`f${i - 1}`, [`a${k}`], [`a${k + 1}`], {}, "own"),
      ),
      opsets: new Map([["", 17]]),
    }));

  test("that call the next one twice are counted", () => {
    const bomb = modelOf([node("f39", ["x"], ["y"], {}, "own")], {}, {}, chain(40, 2));
    refuses(() => bomb.run(x), ValueError, "nodes: got more than 100000 with iterations");
    const few = modelOf([node("f5", ["x"], ["y"], {}, "own")], {}, {}, chain(6, 2));
    expect(few.run(x).y).toEqual(x.x);
  });

  test("that are nested too deep, or call themselves, are refused", () => {
    const call = (i: number) => [node(`f${i}`, ["x"], ["y"], {}, "own")];
    expect(modelOf(call(49), {}, {}, chain(50, 1)).run(x).y!.data).toEqual(x.x.data.map((each) => -each));
    refuses(() => modelOf(call(99), {}, {}, chain(100, 1)), UnsupportedError, "calls that are nested deeper, expected at most 50"); // prettier-ignore
    refuses(() => modelOf(call(0), {}, {}, chain(20_000, 1)), UnsupportedError, "at most 50 functions");
    const loop = chain(3, 1).map((each, i) => ({ ...each, nodes: [node(`f${(i + 1) % 3}`, ["a0"], ["a1"], {}, "own")] })); // prettier-ignore
    refuses(() => modelOf(call(0), {}, {}, loop), FormatError, "a call of itself");
  });
});

describe("long chains", () => {
  const LENGTH = 20_000;
  const chained = (opType: string, more: readonly string[] = [], attributes = {}) =>
    Array.from({ length: LENGTH }, (_, i) => node(opType, [i === 0 ? "x" : `v${i - 1}`, ...more], [i === LENGTH - 1 ? "y" : `v${i}`], attributes)); // prettier-ignore

  test.each([
    ["Identity", {}],
    ["Neg", {}],
    ["Reshape", { shape: [4] }],
    ["Concat", {}],
  ] as const)("of %s", (opType, { shape }: { shape?: readonly number[] }) => {
    const nodes = chained(opType, shape ? ["shape"] : [], opType === "Concat" ? { axis: 0 } : {});
    const model = modelOf(nodes, shape ? { shape: ints(...shape) } : {});
    expect(model.run(x).y).toEqual(x.x);
    const stream = model.stream();
    expect(stream.step(x).y).toMatchObject(x.x);
    stream.dispose();
    model.dispose();
  });

  test("of integers that are asked for at their end", () => {
    const count = 20_000;
    const adding = Array.from({ length: count }, (_, i) =>
      node("Add", [i === 0 ? "n" : `v${i - 1}`, "one"], [`v${i}`]),
    );
    const nodes = [...adding, node("Unsqueeze", [`v${count - 1}`, "zero"], ["s"]), node("ConstantOfShape", ["s"], ["y"])]; // prettier-ignore
    const file = onnxFile(
      graph({ n: ["i64", []] }, { y: ["f32", undefined] }, nodes, { one: i64([], [1]), zero: ints(0) }),
    );
    const model = fromOnnx(file);
    for (const n of [1, 2, 1]) {
      expect(model.run({ n: { data: BigInt64Array.of(BigInt(n)), shape: [] } }).y!.shape).toEqual([count + n]);
    }
    model.dispose();
  });

  test("of parts that are joined again and again", () => {
    const count = 1000;
    const joins = Array.from({ length: count }, (_, i) => node("Concat", [i === 0 ? "x" : `v${i - 1}`, "x"], [i === count - 1 ? "y" : `v${i}`], { axis: 0 })); // prettier-ignore
    const { data } = modelOf(joins).run(x).y!;
    expect(data).toEqual(Float32Array.from({ length: 4 * (count + 1) }, (_, i) => x.x.data[i % 4]!));
  });

  test("of branches that see the names around them, in a time that grows with their number", () => {
    const less = branches(750);
    expect(branches(3000)).toBeLessThan(2 * 4 * less);
  });

  /** The time of a chain of `If`. */
  function branches(count: number): number {
    const branch = (i: number) => graph({}, { b: ["f32", undefined] }, [node("Neg", [i === 0 ? "x" : `v${i - 1}`], ["b"])]); // prettier-ignore
    const nodes = Array.from({ length: count }, (_, i) => node("If", ["yes"], [i === count - 1 ? "y" : `v${i}`], { then_branch: branch(i), else_branch: branch(i) })); // prettier-ignore
    return seconds(() => {
      const model = modelOf(nodes, { yes: onnxTensor("bool", [], [1]) });
      expect(model.run(x).y).toEqual(x.x);
      model.dispose();
    });
  }
});

describe("memory", () => {
  const small = { maxMemory: 1e6 };

  test("of constants, of integers and of what is between is counted together", () => {
    const wide = { shape: ints(50_000) };
    const constants = Array.from({ length: 6 }, (_, i) => node("ConstantOfShape", ["shape"], [`c${i}`], { value: onnxTensor("f32", [1], [i]) })); // prettier-ignore
    const summed = [...constants, node("Sum", ["c0", "c1", "c2", "c3", "c4", "c5"], ["y"])];
    refuses(() => modelOf(summed, wide, small).run(x), OutOfMemoryError, "memory of a graph: got", "at most 1000000 bytes (maxMemory)"); // prettier-ignore
    expect(modelOf(summed, wide).run(x).y!.data[7]).toBe(15);

    const flags = Array.from({ length: 30 }, (_, i) => node("Not", [i === 0 ? "f" : `n${i - 1}`], [i === 29 ? "y" : `n${i}`])); // prettier-ignore
    const file = onnxFile(graph({ f: ["bool", ["N"]] }, { y: ["bool", undefined] }, flags));
    const feeds = { f: { data: new Uint8Array(50_000), shape: [50_000] } };
    refuses(() => fromOnnx(file, small).run(feeds), OutOfMemoryError, "memory of a graph");
    expect(fromOnnx(file).run(feeds).y!.data).toEqual(feeds.f.data);
  });

  test("of loops that are planned on as numbers are known", () => {
    const condition = [node("ReduceMax", ["w"], ["most"], { keepdims: 0 }), node("Less", ["most", "two"], ["more"])];
    const grow = graph(
      { i: ["i64", []], go: ["bool", []], v: ["f32", [4]] },
      { more: ["bool", []], w: ["f32", [4]] },
      [
        node("Expand", ["v", "shape"], ["wide"]),
        node("Tanh", ["wide"], ["other"]),
        node("ReduceMean", ["other"], ["w"], { axes: [0], keepdims: 0 }),
        ...condition,
      ],
    ); // prettier-ignore
    const model = modelOf([node("Loop", ["", "", "x"], ["y"], { body: grow })], { shape: ints(10_000, 4), two: onnxTensor("f32", [], [2]) }, { maxMemory: 1e7 }); // prettier-ignore
    refuses(() => model.run(x), OutOfMemoryError, "at most 10000000 bytes");
  });

  test("of what operations need beside their results", () => {
    const far = 2 ** 22;
    const windows = { pads: [far, far], strides: [2 * far] }; // 2 windows over 8 million numbers
    for (const [op, inputs, attributes] of [
      ["Conv", ["x", "w"], windows],
      ["MaxPool", ["x"], { ...windows, kernel_shape: [1] }],
      ["AveragePool", ["x"], { ...windows, kernel_shape: [1], count_include_pad: 1 }],
    ] as const) {
      const file = onnxFile(graph({ x: ["f32", [1, 1, 4]] }, { y: ["f32", undefined] }, [node(op, inputs, ["y"], attributes)], { w: onnxTensor("f32", [1, 1, 1], [3]) })); // prettier-ignore
      const feeds = { x: { data: Float32Array.of(1, 2, 3, 4), shape: [1, 1, 4] } };
      refuses(() => fromOnnx(file, small).run(feeds), OutOfMemoryError, `node y (${op}), `, "bytes, expected at most 1000000 bytes"); // prettier-ignore
      expect(fromOnnx(file).run(feeds).y!.shape).toEqual([1, 1, 2]);
      const recorded = () => valueAndGrad(() => sum(fromOnnx(file, small).run(feeds).y as Tensor), [feeds.x]); // prettier-ignore
      refuses(recorded, OutOfMemoryError, `node y (${op}), `, "bytes, expected at most 1000000 bytes");
    }
  });

  test("of a state that nobody gave is that of a plan", () => {
    const file = onnxFile(
      graph({ x: ["f32", [1]], s: ["f32", [2 ** 40]] }, { t: ["f32", [2 ** 40]] }, [node("Identity", ["s"], ["t"])]),
    );
    const stream = fromOnnx(file).stream({ carry: { t: "s" } });
    refuses(
      () => stream.step({ x: { data: Float32Array.of(1), shape: [1] } }),
      OutOfMemoryError,
      "inputs: got 43980465",
    );
    stream.dispose();
  });

  test("sizes that numbers do not hold, and too many axes", () => {
    const one = (nodes: readonly OnnxNode[], shape: readonly number[]) => modelOf(nodes, { shape: ints(...shape) });
    const huge = [2 ** 31, 2 ** 31, 2 ** 31];
    refuses(() => one([node("ConstantOfShape", ["shape"], ["y"])], huge).run(x), OutOfMemoryError, "node y (ConstantOfShape)"); // prettier-ignore
    refuses(() => one([node("Expand", ["x", "shape"], ["y"])], [2 ** 33, 1]).run(x), OutOfMemoryError, "node y (Expand)"); // prettier-ignore
    refuses(() => one([node("Tile", ["x", "shape"], ["y"])], [2 ** 52]).run(x), ShapeError, "node y (Tile)");
    refuses(() => one([node("ConstantOfShape", ["shape"], ["y"])], [-1]).run(x), ShapeError, "whole numbers >= 0");
    const axes = Array.from({ length: 40 }, (_, i) => i);
    const deeper = [node("Unsqueeze", ["x", "shape"], ["a"]), node("Unsqueeze", ["a", "shape"], ["y"])];
    refuses(() => one(deeper, axes).run(x), ShapeError, "at most 64");
    const joined = [node("Unsqueeze", ["x", "shape"], ["a"]), node("Cast", ["a"], ["b"], { to: 7 }), node("Gather", ["a", "b"], ["y"])]; // prettier-ignore
    refuses(() => one(joined, axes).run(x), ShapeError, "node y (Gather), a tensor: got 81 axes");
  });
});

describe("numbers of copies", () => {
  test("Pad on many axes, and by many periods", () => {
    const rank = 20;
    const shape = Array.from({ length: rank }, () => 2);
    const file = (mode: string, n: number, dims: readonly number[]) =>
      onnxFile(
        graph({ x: ["f32", dims] }, { y: ["f32", undefined] }, [node("Pad", ["x", "pads"], ["y"], { mode })], {
          pads: ints(...[...dims, ...dims].map(() => n)),
        }),
        { opset: 19 },
      );
    const many = { x: { data: new Float32Array(2 ** rank), shape } };
    refuses(() => fromOnnx(file("reflect", 1, shape), { maxMemory: 2 ** 50 }).run(many), UnsupportedError, "node y (Pad), pads: got 20 axes"); // prettier-ignore
    const two = { x: { data: Float32Array.of(1, 2), shape: [2] } };
    const { data } = fromOnnx(file("wrap", 100_001, [2])).run(two).y!;
    expect(data).toEqual(Float32Array.from({ length: 200_004 }, (_, i) => 2 - (i % 2)));
    for (const n of [1, 2, 3, 4, 5]) {
      const three = { x: { data: Float32Array.of(1, 2, 3), shape: [3] } };
      const wrapped = Array.from({ length: 3 + 2 * n }, (_, i) => ((((i - n) % 3) + 3) % 3) + 1);
      expect(Array.from(fromOnnx(file("wrap", n, [3])).run(three).y!.data, Number)).toEqual(wrapped);
    }
  });

  test("Split into more parts than are named", () => {
    const file = onnxFile(graph({ x: ["f32", [4]] }, { y: ["f32", undefined] }, [node("Split", ["x"], ["y"], { num_outputs: 2 ** 40 })]), { opset: 18 }); // prettier-ignore
    refuses(() => fromOnnx(file).run(x), ValueError, "node y (Split), num_outputs: got 1099511627776");
  });
});

test("errors of a run name the node, in the first run and later", () => {
  const file = onnxFile(
    graph({ x: ["f32", [4]], at: ["i64", [1]] }, { y: ["f32", undefined] }, [node("Gather", ["x", "at"], ["a"]), node("Mul", ["a", "a"], ["y"])]), // prettier-ignore
  );
  const model = fromOnnx(file);
  const run = (at: bigint) => model.run({ ...x, at: { data: BigInt64Array.of(at), shape: [1] } });
  refuses(() => run(9n), ValueError, "node a (Gather), indices: got 9, expected an integer from -4 to 3");
  expect(run(3n).y!.data).toEqual(Float32Array.of(16));
  refuses(() => run(-5n), ValueError, "node a (Gather), indices: got -5");
  expect(run(-1n).y!.data).toEqual(Float32Array.of(16));
  refuses(() => modelOf([node("LeakyRelu", ["x"], ["y"], { alpha: "a" })]).run(x), ValueError, "node y (LeakyRelu), alpha"); // prettier-ignore
  expect(modelOf([node("LeakyRelu", ["x"], ["y"], { alpha: float(1) })]).run(x).y).toEqual(x.x);
});

test("bodies of loops that take or give too little", () => {
  const wrong = graph({ i: ["i64", []], go: ["bool", []] }, { go: ["bool", []] }, []);
  const loop = (inputs: readonly string[], inner: OnnxGraph) => modelOf([node("Loop", inputs, ["y"], { body: inner })]);
  refuses(() => loop(["", "", "x"], wrong).run(x), ValueError, "node y (Loop), body: got 2 inputs, expected 3");
  refuses(() => loop(["", ""], graph({ i: ["i64", []], go: ["bool", []] }, {}, [])).run(x), ValueError, "body: got 0 outputs, expected at least 1"); // prettier-ignore
  refuses(() => loop(["", "", ""], wrong).run(x), ValueError, "node y (Loop), input 2: got none, expected a tensor");
  const scan = (count: number) => modelOf([node("Scan", ["x", "x"], ["y"], { body: wrong, num_scan_inputs: count })]);
  for (const count of [-1, 0, 3, 2 ** 40]) refuses(() => scan(count).run(x), ValueError, "node y (Scan), num_scan_inputs"); // prettier-ignore
  const nothing = modelOf([node("f", [""], ["y"], {}, "own")], {}, {}, [
    { name: "f", domain: "own", inputs: ["a"], outputs: ["a"], attributes: new Map(), nodes: [], opsets: new Map() },
  ]);
  refuses(() => nothing.run(x), FormatError, 'output "a": got an input that was left out');
  refuses(() => modelOf([node("Sum", [], ["y"])]).run(x), ValueError, "node y (Sum), inputs: got none");
});
