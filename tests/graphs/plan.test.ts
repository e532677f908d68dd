// Plans: memory that values share, folding, branches and loops. A recorded run gives each value memory of its own and folds nothing,
// so random graphs must come out the same both ways, bit for bit.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OnnxNode, OnnxTensor } from "../../src/formats/onnx/model.js";
import { parameter, valueAndGrad } from "../../src/index.js";
import { fromOnnx, type Model } from "../../src/onnx.js";
import { sum } from "../../src/ops.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { useVariant, variants } from "../helpers/variants.js";

type Feeds = Record<string, StoredTensor>;

const f32 = (shape: readonly number[], numbers: readonly number[]) => ({ data: Float32Array.from(numbers), shape });
const ints = (numbers: readonly number[]) => onnxTensor("i64", [numbers.length], numbers);

/** The outputs of a run that is recorded. */
function recorded(model: Model, feeds: Feeds): Feeds {
  let outputs: Feeds = {};
  const one = parameter({ data: Float32Array.of(1), shape: [] });
  valueAndGrad(() => {
    outputs = model.run(feeds);
    return sum(one.value);
  });
  return outputs;
}

interface Known {
  name: string;
  shape: number[];
}

/** A random graph of movements, joins and arithmetic, whose values have many uses. */
function randomGraph(choose: (most: number) => number, length: number) {
  const nodes: OnnxNode[] = [];
  const initializers: Record<string, OnnxTensor> = { w: onnxTensor("f32", [2, 3, 4], Array.from({ length: 24 }, (_, i) => i / 7 - 1)) }; // prettier-ignore
  const values: Known[] = [
    { name: "x", shape: [2, 3, 4] },
    { name: "w", shape: [2, 3, 4] },
  ];
  const pick = () => values[choose(values.length)]!;
  const constant = (numbers: readonly number[]) => {
    const name = `c${Object.keys(initializers).length}`;
    initializers[name] = ints(numbers);
    return name;
  };
  const add = (opType: string, inputs: readonly string[], shape: number[], attributes = {}) => {
    const name = `v${nodes.length}`;
    nodes.push(node(opType, inputs, [name], attributes));
    values.push({ name, shape });
  };
  while (nodes.length < length) {
    const a = pick();
    const rank = a.shape.length;
    const kind = choose(9);
    if (kind < 2) add(["Neg", "Tanh", "Relu"][choose(3)]!, [a.name], a.shape);
    else if (kind < 4) {
      const same = values.filter(({ shape }) => shape.join() === a.shape.join());
      add(["Add", "Mul", "Sub"][choose(3)]!, [a.name, same[choose(same.length)]!.name], a.shape);
    } else if (kind === 4 && rank > 0) {
      const axis = choose(rank);
      const fits = values.filter(({ shape }) => shape.length === rank && shape.every((n, i) => i === axis || n === a.shape[i])); // prettier-ignore
      const parts = [a, fits[choose(fits.length)]!, fits[choose(fits.length)]!].slice(0, 2 + choose(2));
      const shape = a.shape.map((n, i) => (i === axis ? parts.reduce((all, each) => all + each.shape[i]!, 0) : n));
      if (shape.reduce((x, y) => x * y, 1) < 500) add("Concat", parts.map(({ name }) => name), shape, { axis }); // prettier-ignore
    } else if (kind === 5 && rank > 0) {
      const axis = choose(rank);
      const start = choose(a.shape[axis]! + 1);
      const end = start + choose(a.shape[axis]! - start + 1);
      const shape = a.shape.map((n, i) => (i === axis ? end - start : n));
      add("Slice", [a.name, constant([start]), constant([end]), constant([axis])], shape);
    } else if (kind === 6) {
      const perm = a.shape.map((_, i) => i).sort(() => choose(3) - 1);
      add("Transpose", [a.name], perm.map((i) => a.shape[i]!), perm.length ? { perm } : {}); // prettier-ignore
    } else if (kind === 7 && !a.shape.includes(0)) {
      const shape = [a.shape.reduce((x, y) => x * y, 1)];
      add("Reshape", [a.name, constant(shape)], shape);
    } else if (kind === 8) {
      add("Unsqueeze", [a.name, constant([0])], [1, ...a.shape]);
    }
  }
  const results = [values[values.length - 1]!, pick(), pick()].filter(({ name }) => name.startsWith("v"));
  const outputs = Object.fromEntries(results.map(({ name, shape }) => [name, ["f32", shape] as const]));
  return onnxFile(graph({ x: ["f32", [2, 3, 4]] }, outputs, nodes, initializers));
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("random graphs: run, streamed and recorded, the same bits", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(0xffff)), fc.integer({ min: 1, max: 40 }), (stream, length) => {
        const numbers = stream[Symbol.iterator]();
        const file = randomGraph((most) => numbers.next().value % most, length);
        const feeds = {
          x: f32(
            [2, 3, 4],
            Array.from({ length: 24 }, () => numbers.next().value / 0x8000 - 1),
          ),
        };
        const [planned, eager] = [fromOnnx(file), fromOnnx(file)];
        try {
          const first = planned.run(feeds);
          expect(planned.run(feeds)).toEqual(first);
          expect(recorded(eager, feeds)).toEqual(first);
          expect(eager.run(feeds)).toEqual(first); // with weights that may change
          const steps = planned.stream();
          steps.step(feeds);
          for (const [name, { data }] of Object.entries(steps.step(feeds))) expect(data).toEqual(first[name]!.data);
          steps.dispose();
        } finally {
          planned.dispose();
          eager.dispose();
        }
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  test("branches on what is fed: both are planned, each once", () => {
    const branch = (opType: string) => graph({}, { r: ["f32", [2]] }, [node(opType, ["x"], ["r"])]);
    const file = onnxFile(
      graph(
        { x: ["f32", [2]], rate: ["i64", []] },
        { y: ["f32", [2]] },
        [
          node("Equal", ["rate", "high"], ["isHigh"]),
          node("If", ["isHigh"], ["y"], { then_branch: branch("Neg"), else_branch: branch("Relu") }),
        ],
        { high: onnxTensor("i64", [], [16000]) },
      ),
    );
    const model = fromOnnx(file);
    const x = f32([2], [1, -2]);
    const rate = (n: bigint) => ({ data: BigInt64Array.of(n), shape: [] });
    for (let round = 0; round < 3; round++) {
      expect(model.run({ x, rate: rate(16000n) }).y).toEqual(f32([2], [-1, 2]));
      expect(model.run({ x, rate: rate(8000n) }).y).toEqual(f32([2], [1, 0]));
    }
    const stream = model.stream({ feeds: { rate: rate(16000n) } });
    expect(stream.step({ x }).y).toMatchObject(f32([2], [-1, 2]));
    expect(stream.step({ x, rate: rate(8000n) }).y).toMatchObject(f32([2], [1, 0]));
    expect(stream.step({ x, rate: rate(16000n) }).y).toMatchObject(f32([2], [-1, 2]));
    stream.dispose();
    model.dispose();
  });

  test("branches on what is computed", () => {
    const branch = (opType: string) => graph({}, { r: ["f32", [1]] }, [node(opType, ["t"], ["r"])]);
    const file = onnxFile(
      graph(
        { x: ["f32", [1]] },
        { y: ["f32", [1]] },
        [
          node("Tanh", ["x"], ["t"]),
          node("Less", ["t", "zero"], ["isNegative"]),
          node("If", ["isNegative"], ["p"], { then_branch: branch("Neg"), else_branch: branch("Identity") }),
          node("Add", ["p", "t"], ["y"]),
        ],
        { zero: onnxTensor("f32", [1], [0]) },
      ),
    );
    const model = fromOnnx(file);
    const run = (x: number) => (model.run({ x: f32([1], [x]) }).y!.data as Float32Array)[0]!;
    const tanh = run(0.5) / 2;
    expect(tanh).toBeCloseTo(0.46212, 4);
    for (let round = 0; round < 3; round++) {
      expect(run(-0.5)).toBe(0);
      expect(run(0.5)).toBe(2 * tanh);
    }
    model.dispose();
  });

  test("loops whose end depends on what is computed, and scans", () => {
    const body = graph(
      { i: ["i64", []], c: ["bool", []], v: ["f32", [1]] },
      { more: ["bool", []], v2: ["f32", [1]], s: ["f32", [1]] },
      [
        node("Add", ["v", "x"], ["v2"]),
        node("Less", ["v2", "limit"], ["less"]),
        node("Squeeze", ["less"], ["more"]),
        node("Neg", ["v2"], ["s"]),
      ],
    );
    const file = onnxFile(
      graph(
        { x: ["f32", [1]] },
        { v: ["f32", [1]], all: ["f32", ["T", 1]] },
        [node("Loop", ["", "yes", "x"], ["v", "all"], { body })],
        { yes: onnxTensor("bool", [], [1]), limit: onnxTensor("f32", [1], [10]) },
      ),
    );
    const model = fromOnnx(file);
    for (let round = 0; round < 2; round++) {
      expect(model.run({ x: f32([1], [3]) })).toEqual({ v: f32([1], [12]), all: f32([3, 1], [-6, -9, -12]) });
      expect(model.run({ x: f32([1], [9]) })).toEqual({ v: f32([1], [18]), all: f32([1, 1], [-18]) });
    }
    model.dispose();
    const sums = graph({ a: ["f32", [2]], x: ["f32", [2]] }, { b: ["f32", [2]], y: ["f32", [2]] }, [
      node("Add", ["a", "x"], ["b"]),
      node("Identity", ["b"], ["y"]),
    ]);
    const scan = fromOnnx(
      onnxFile(
        graph({ x: ["f32", ["T", 2]], a: ["f32", [2]] }, { b: ["f32", [2]], y: ["f32", ["T", 2]] }, [
          node("Scan", ["a", "x"], ["b", "y"], { body: sums, num_scan_inputs: 1 }),
        ]),
      ),
    );
    expect(scan.run({ a: f32([2], [1, 1]), x: f32([3, 2], [1, 2, 3, 4, 5, 6]) })).toEqual({
      b: f32([2], [10, 13]),
      y: f32([3, 2], [2, 3, 5, 7, 10, 13]),
    });
    scan.dispose();
  });

  test("functions of the model, with attributes of the call", () => {
    const double = {
      name: "Scaled",
      domain: "own",
      inputs: ["a"],
      outputs: ["b"],
      attributes: new Map([["axis", undefined]]),
      nodes: [
        {
          ...node("Concat", ["a", "a"], ["b"]),
          attributes: new Map([["axis", { type: "reference", value: "axis", of: "int" }]]),
        } as OnnxNode,
      ],
      opsets: new Map([["", 17]]),
    };
    const main = graph({ x: ["f32", [1, 2]] }, { y: ["f32", [1, 4]] }, [
      node("Scaled", ["x"], ["y"], { axis: 1 }, "own"),
    ]);
    const model = fromOnnx(onnxFile(main, { functions: [double] }));
    expect(model.run({ x: f32([1, 2], [1, 2]) }).y).toEqual(f32([1, 4], [1, 2, 1, 2]));
    model.dispose();
  });
});
